"""What depends on which protocol a control connection speaks, and on whether it speaks one at all: one value a dialect.

Everything that two dialects share stands in `core.py`; what differs is data here, or a function named here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from l2tpd.config.model import Encapsulation, Mode, Role, TunnelSettings, Version
from l2tpd.errors import LocalProtocolError
from l2tpd.session import speech, speech3
from l2tpd.session.call import Kind
from l2tpd.session.speech import Speech
from l2tpd.tunnel import speech as control_speech
from l2tpd.tunnel import speech3 as control_speech3
from l2tpd.tunnel.guard import Guard
from l2tpd.tunnel.speech import Speech as ControlSpeech
from l2tpd.tunnel.static import QUIESCENT_TABLE, STATIC_TABLE
from l2tpd.tunnel.table import TABLE, Table
from l2tpd.wire import messages
from l2tpd.wire.header import ControlHeader, build_control, build_control3, parse_control, parse_control3
from l2tpd.wire.messages import Vocabulary, encode3, message
from l2tpd.wire.numbers import MessageType


@attrs.frozen(kw_only=True, eq=False)
class Dialect:
    """How control connections of one kind look on the wire, and how they behave."""

    version: Version
    mode: Mode
    header: int  # the version that headers say
    id_bits: int
    parse: Callable[[bytes], tuple[ControlHeader, bytes]]
    build: Callable[[int, int, int, int, bytes], bytes]
    vocabulary: Vocabulary  # what messages and attributes there are
    guarded: bool  # messages may be signed (RFC 3931 4.3)
    ack: bytes  # the body of what only acknowledges
    table: Table
    control: ControlSpeech  # what is said about the tunnel
    speech: Speech  # ... and about calls
    kinds: Mapping[Role, Kind]  # of the calls that we open
    talks: bool  # control messages are exchanged
    negotiates: bool  # ids, and whether a call is wanted, are settled with the peer

    def guard(
        self, settings: TunnelSettings, secret: bytes, encap: Encapsulation, random: Callable[[int], bytes]
    ) -> Guard | None:
        """Return what signs and judges the messages of a tunnel, where they are signed."""
        return Guard.of(settings, secret, encap, random) if self.guarded else None

    def jitter(self, random: Callable[[int], bytes]) -> float:
        """Return what of the HELLO time is to be waited (RFC 3931 4.4: MUST be jittered)."""
        return 1.0 if self.header == 2 else 1 - random(1)[0] / 2560  # at least nine tenths

    def chosen(self, answer: bytes) -> Dialect:
        """Return the dialect to go on in after this packet: where either would do, that of the peer (RFC 3931 4.7.3)."""
        if self.version is not Version.AUTO or len(answer) < 2:
            return self
        return V3 if answer[1] & 0xF == 3 else V2


def _parse3(datagram: bytes) -> tuple[ControlHeader, bytes]:
    """Split a message of version 3; what only acknowledges has no body afterwards (RFC 3931 4.2)."""
    header, body = parse_control3(datagram)
    return header, b"" if _acknowledges(body) else body


def _acknowledges(body: bytes) -> bool:
    """Tell whether a body begins with the Message Type of an ACK; neither its M bit nor the reserved ones can make it count as a message (5.1, 5.2)."""
    return body[1:8] == _ACK_BUT_FLAGS and not body[0] & 0x43


def _build3(connection_id: int, session_id: int, ns: int, nr: int, body: bytes) -> bytes:
    del session_id  # RFC 3931 3.2.1: the header has none
    return build_control3(connection_id, ns, nr, body)


_ACK = encode3(message(MessageType.ACK))
_ACK_BUT_FLAGS = _ACK[1:]

V2 = Dialect(
    version=Version.L2TPV2,
    mode=Mode.DYNAMIC,
    header=2,
    id_bits=16,
    parse=parse_control,
    build=build_control,
    vocabulary=messages.V2,
    guarded=False,
    ack=b"",
    table=TABLE,
    control=control_speech.V2,
    speech=speech.V2,
    kinds={Role.LAC: Kind.LAC_INCOMING, Role.LNS: Kind.LNS_OUTGOING},
    talks=True,
    negotiates=True,
)
QUIESCENT = Dialect(
    version=Version.L2TPV3,
    mode=Mode.QUIESCENT,
    header=3,
    id_bits=32,
    parse=_parse3,
    build=_build3,
    vocabulary=messages.V3,
    guarded=False,
    ack=_ACK,
    table=QUIESCENT_TABLE,
    control=control_speech.V2,
    speech=speech.FIXED,
    kinds={Role.LAC: Kind.STATIC, Role.LNS: Kind.STATIC},
    talks=True,
    negotiates=False,
)
V3 = attrs.evolve(
    QUIESCENT,
    mode=Mode.DYNAMIC,
    guarded=True,
    table=TABLE,
    control=control_speech3.V3,
    speech=speech3.V3,
    kinds=V2.kinds,
    negotiates=True,
)
EITHER = attrs.evolve(
    V2, version=Version.AUTO, vocabulary=messages.FALLBACK, guarded=True, control=control_speech3.EITHER
)
STATIC = attrs.evolve(QUIESCENT, mode=Mode.STATIC, table=STATIC_TABLE, talks=False)

DIALECTS: Mapping[tuple[Version, Mode], Dialect] = {
    (dialect.version, dialect.mode): dialect for dialect in (V2, V3, EITHER, QUIESCENT, STATIC)
}


def dialect_of(version: Version, mode: Mode) -> Dialect:
    """Return the dialect of a configured tunnel. Raises `LocalProtocolError` when nobody speaks it."""
    try:
        return DIALECTS[version, mode]
    except KeyError:
        raise LocalProtocolError(f"there is no {mode.value} {version.value} tunnel") from None
