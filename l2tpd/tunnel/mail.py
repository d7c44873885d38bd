"""Messages on their way into a control connection and out of it: read, counted, traced, and handed to the tables or to the channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2tpd.errors import Malformed
from l2tpd.tunnel import tracing
from l2tpd.tunnel.inputs import BY_MESSAGE, Input
from l2tpd.tunnel.quirks import decoding
from l2tpd.wire.messages import Fault, Message, decode, encode
from l2tpd.wire.numbers import ErrorCode, MessageType

if TYPE_CHECKING:
    from l2tpd.tunnel.core import ControlConnection

# SCCRQ: the peer can choose a secret only after reading our Host Name. StopCCN: whoever does not know the secret must be able to read why.
_NEVER_HIDDEN = frozenset({MessageType.SCCRQ, MessageType.STOPCCN})


def read(core: ControlConnection, octets: bytes) -> Message:
    """Decode the body of a message; one that cannot be read at all becomes a message with a fault."""
    try:
        return decode(octets, secret=core.secret, quirks=decoding(core.quirks), vocabulary=core.dialect.vocabulary)
    except Malformed as defect:
        # RFC 2661 7.1: without a readable Message Type the state is unknown, and the control connection is cleared
        return Message(0, {}, fault=Fault(ErrorCode.BAD_LENGTH, str(defect)))


def arrive(core: ControlConnection, said: Message, session_id: int) -> Input:
    """Count and trace a message that the channel delivered; return which input it is."""
    counters = core.site.counters
    kind = said.type if said.known else 0  # a peer may number its messages as it likes, but not fill a table with it
    counters.received[kind] = counters.received.get(kind, 0) + 1
    if said.fault is not None:
        counters.bad[kind] = counters.bad.get(kind, 0) + 1
    _note_arrival(core, said, session_id)
    if said.session_scoped:
        return Input.CALL
    if said.fault is not None and said.type != MessageType.STOPCCN:  # whoever leaves need not do it in good order
        return Input.BAD
    told = BY_MESSAGE.get(said.type, Input.UNKNOWN)
    counters.ignored_messages += told is Input.UNKNOWN
    return told


def post(core: ControlConnection, said: Message, session_id: int, now: float, *, note: bool = False) -> None:
    """Hand a message to the channel; with `note` its acknowledgement is watched for."""
    hide = core.settings.hide_avps and _may_hide(core) and said.type not in _NEVER_HIDDEN
    body = encode(said, secret=core.secret, hide=hide, random=core.site.random, vocabulary=core.dialect.vocabulary)
    core.channel.send((session_id, body), now, note=note)
    sent = core.site.counters.sent
    sent[said.type] = sent.get(said.type, 0) + 1
    if (mask := core.trace | core.site.trace) & tracing.ANY_MESSAGE:
        core.remark(tracing.message("sending", said, session_id, mask))


def _may_hide(core: ControlConnection) -> bool:
    """RFC 3931 5.3: only where messages are signed as well."""
    return bool(core.secret) and (core.guard is None or core.guard.demands)


def _note_arrival(core: ControlConnection, said: Message, session_id: int) -> None:
    counters = core.site.counters
    if said.notes:
        counters.ignored_avps += len(said.notes)
    if said.fault is not None:
        counters.unacceptable += 1
        core.complain(f"{said.name}: {said.fault.text}")
    if (mask := core.trace | core.site.trace) & tracing.ANY_MESSAGE:
        core.remark(tracing.message("received", said, session_id, mask))
