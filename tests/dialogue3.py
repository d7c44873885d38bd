"""What a peer says in version 3, with the AVPs that RFC 3931 6 demands, and the scenes in which many dialogues of version 3 begin.

Session messages name both sides' session ids: `ours` is the id that we gave to the call, 0 where the peer cannot know it (5.4.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dialogue import THEIRS, ZLB, Dialogue, called, dialled, up, up_called
from l2tpd.config.model import SessionSettings
from l2tpd.session.call import Call
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.dialect import V3
from l2tpd.wire import avp as avps
from l2tpd.wire.avp import (
    ASSIGNED_CONTROL_CONNECTION_ID,
    CALL_ERRORS,
    CALL_SERIAL_NUMBER,
    CIRCUIT_STATUS,
    HOST_NAME,
    L2_SPECIFIC_SUBLAYER,
    LOCAL_SESSION_ID,
    PSEUDOWIRE_CAPABILITIES,
    PSEUDOWIRE_TYPE,
    RECEIVE_WINDOW_SIZE,
    REMOTE_END_ID,
    REMOTE_SESSION_ID,
    RESULT_CODE,
    ROUTER_ID,
    Avp,
    RawAvp,
)
from l2tpd.wire.messages import V3 as WORDS
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import CallErrors, ResultCode

THEIR_CALL: Final = 0x10000500
"""The peer's session id where a test does not say another; more than the 16 bits of version 2."""
PPP: Final = 7
"""The pseudowire type of every call that a test does not want otherwise."""


def said3(kind: MessageType, values: Mapping[Avp[Any], Any], *extra: RawAvp, **more: Any) -> Message:
    """Return a message; AVPs are named as in `wire.avp`, and None takes one away."""
    named = {getattr(avps, name.upper()): value for name, value in more.items()}
    whole = {avp: value for avp, value in {**values, **named}.items() if value is not None}
    return message(kind, whole, extra, vocabulary=WORDS)


def _introduction() -> dict[Avp[Any], Any]:
    return {
        HOST_NAME: "peer",
        ROUTER_ID: 0xC0000209,
        ASSIGNED_CONTROL_CONNECTION_ID: THEIRS,
        PSEUDOWIRE_CAPABILITIES: (PPP, 5, 4),
        RECEIVE_WINDOW_SIZE: 64,
    }


def sccrq3(*extra: RawAvp, **more: Any) -> Message:
    return said3(MessageType.SCCRQ, _introduction(), *extra, **more)


def sccrp3(*extra: RawAvp, **more: Any) -> Message:
    return said3(MessageType.SCCRP, _introduction(), *extra, **more)


def scccn3(*extra: RawAvp) -> Message:
    return said3(MessageType.SCCCN, {}, *extra)


def stopccn3(result: int = 1, error: int | None = None, *, connection_id: int | None = THEIRS) -> Message:
    code = ResultCode(result, error)
    return said3(MessageType.STOPCCN, {RESULT_CODE: code}, assigned_control_connection_id=connection_id)


def hello3(*extra: RawAvp) -> Message:
    return said3(MessageType.HELLO, {}, *extra)


def _ids(local: int, ours: int) -> dict[Avp[Any], Any]:
    return {LOCAL_SESSION_ID: local, REMOTE_SESSION_ID: ours}


def _asked(local: int, end_id: str, ours: int) -> dict[Avp[Any], Any]:
    return _ids(local, ours) | {
        CALL_SERIAL_NUMBER: 1,
        PSEUDOWIRE_TYPE: PPP,
        REMOTE_END_ID: end_id,
        CIRCUIT_STATUS: 3,
        L2_SPECIFIC_SUBLAYER: 1,
    }


def _answered(local: int, ours: int) -> dict[Avp[Any], Any]:
    return _ids(local, ours) | {CIRCUIT_STATUS: 3, L2_SPECIFIC_SUBLAYER: 1}


def icrq3(local: int = THEIR_CALL, *extra: RawAvp, end_id: str = "circuit", ours: int = 0, **more: Any) -> Message:
    return said3(MessageType.ICRQ, _asked(local, end_id, ours), *extra, **more)


def ocrq3(local: int = THEIR_CALL, *extra: RawAvp, end_id: str = "circuit", ours: int = 0, **more: Any) -> Message:
    return said3(MessageType.OCRQ, _asked(local, end_id, ours), *extra, **more)


def icrp3(ours: int, local: int = THEIR_CALL, *extra: RawAvp, **more: Any) -> Message:
    return said3(MessageType.ICRP, _answered(local, ours), *extra, **more)


def ocrp3(ours: int, local: int = THEIR_CALL, *extra: RawAvp, **more: Any) -> Message:
    return said3(MessageType.OCRP, _answered(local, ours), *extra, **more)


def iccn3(ours: int, local: int = THEIR_CALL, *extra: RawAvp, **more: Any) -> Message:
    return said3(MessageType.ICCN, _ids(local, ours), *extra, **more)


def occn3(ours: int, local: int = THEIR_CALL, *extra: RawAvp, **more: Any) -> Message:
    return said3(MessageType.OCCN, _ids(local, ours), *extra, **more)


def cdn3(ours: int, local: int = THEIR_CALL, *extra: RawAvp, result: int = 3, error: int | None = None) -> Message:
    return said3(MessageType.CDN, {RESULT_CODE: ResultCode(result, error), **_ids(local, ours)}, *extra)


def wen3(ours: int, local: int = THEIR_CALL) -> Message:
    return said3(MessageType.WEN, {**_ids(local, ours), CALL_ERRORS: CallErrors(timeout_errors=5)})


def sli3(ours: int, status: int, local: int = THEIR_CALL) -> Message:
    return said3(MessageType.SLI, {**_ids(local, ours), CIRCUIT_STATUS: status})


# --- scenes -------------------------------------------------------------------------------------------------------------------


def dialled3(**settings: Any) -> Dialogue:
    """Return a dialogue in which our SCCRQ is out."""
    return dialled(dialect=V3, **settings)


def called3(**settings: Any) -> Dialogue:
    """Return a dialogue in which the peer's SCCRQ was answered by our SCCRP."""
    return called(sccrq3(), dialect=V3, **settings)


def up3(**settings: Any) -> Dialogue:
    """Return a dialogue in an established connection that we asked for; events and plane requests so far are taken."""
    return up(sccrp3(), dialect=V3, **settings)


def up_called3(**settings: Any) -> Dialogue:
    """Return a dialogue in an established connection that the peer asked for."""
    return up_called(sccrq3(), scccn3(), dialect=V3, **settings)


def incoming3(say: Dialogue, local: int = THEIR_CALL, **more: Any) -> Call:
    """Let the peer bring up a call by ICRQ; return ours."""
    before = set(say.core.calls)
    say.peer >> icrq3(local, **more)
    say.us << MessageType.ICRP
    (new,) = set(say.core.calls) - before
    say.peer >> iccn3(new, local)
    say.us << ZLB
    say.state_is(CallState.ESTABLISHED, say.core.calls[new])
    return say.core.calls[new]


def asked3(say: Dialogue, settings: SessionSettings | None = None, **more: Any) -> Call:
    """Ask for a call by ICRQ; return it while its answer is awaited."""
    call = say.open_session(settings, **more)
    say.us << MessageType.ICRQ
    return call


def reported3(say: Dialogue, settings: SessionSettings | None = None, local: int = THEIR_CALL, **more: Any) -> Call:
    """Bring up a call for which we ask by ICRQ; return it."""
    call = asked3(say, settings)
    say.peer >> icrp3(call.local_id, local, **more)
    say.us << MessageType.ICCN
    say.peer >> ZLB
    say.state_is(CallState.ESTABLISHED, call)
    return call


def heard(say: Dialogue, kind: MessageType) -> Message:
    """Take what we said next, which must be of this type."""
    said = (say.us << kind).said
    assert said is not None
    return said
