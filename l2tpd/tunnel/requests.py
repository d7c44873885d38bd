"""Messages about calls: whom they reach, which calls that a peer asks for are taken, and how the others are refused (RFC 2661 5.2, 7.4.2, 7.5.1: idle, not acceptable)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2tpd.errors import Exhausted, LocalProtocolError, RemoteProtocolError
from l2tpd.session.call import Call, Ending, Kind, State
from l2tpd.session.inputs import BY_MESSAGE, Input
from l2tpd.tunnel.collision import Verdict, judge
from l2tpd.tunnel.states import State as TunnelState
from l2tpd.wire.avp import CALL_SERIAL_NUMBER, TIE_BREAKER
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import CallResult, ErrorCode, MessageType
from l2tpd.wire.values import ResultCode

if TYPE_CHECKING:
    from l2tpd.config.model import SessionSettings
    from l2tpd.tunnel.core import ControlConnection


ASKING = frozenset({MessageType.ICRQ, MessageType.OCRQ})
_COUNTERPART = {Kind.LNS_INCOMING: Kind.LAC_INCOMING, Kind.LAC_OUTGOING: Kind.LNS_OUTGOING}
_ANSWERING = frozenset({MessageType.ICRP, MessageType.OCRP})
_OPEN = frozenset({TunnelState.IDLE, TunnelState.WAIT_CTL_REPLY, TunnelState.WAIT_CTL_CONN, TunnelState.ESTABLISHED})


def route(core: ControlConnection, said: Message, now: float) -> None:
    """Give a session-scoped message to its call, or open one for it (RFC 2661 5.2, 5.3)."""
    call = core.find_call(said)
    told = BY_MESSAGE[said.type] if said.fault is None or said.type == MessageType.CDN else Input.BAD
    if call is not None:
        core.feed_call(call, told, said, now)
    elif said.type in ASKING:
        take(core, said, now)
    elif said.type in _ANSWERING or (told is Input.BAD and said.type != MessageType.CDN):
        refuse(core, said, CallResult.ERROR, ErrorCode.BAD_SESSION_ID, "no such session", now)
    else:
        core.site.counters.no_session += 1


def take(core: ControlConnection, said: Message, now: float) -> None:
    """Open a call for an ICRQ or OCRQ, or refuse it."""
    kind = Kind.LNS_INCOMING if said.type == MessageType.ICRQ else Kind.LAC_OUTGOING
    if said.fault is not None:
        refuse(core, said, CallResult.ERROR, said.fault.error, said.fault.text, now)
        return
    try:
        call = _open(core, kind, said, now)
    except RemoteProtocolError as refusal:
        core.site.counters.sessions_refused += 1
        refuse(core, said, refusal.result, refusal.error, refusal.text, now)
    except Exhausted as full:
        core.site.counters.sessions_refused += 1
        refuse(core, said, CallResult.NO_FACILITIES_TEMPORARY, ErrorCode.NO_RESOURCES, str(full), now)
    else:
        core.feed_call(call, BY_MESSAGE[said.type], said, now)


def _open(core: ControlConnection, kind: Kind, said: Message, now: float) -> Call:
    """Return a call for a request that can be met. Raises `RemoteProtocolError` and `Exhausted`."""
    speech = core.speech
    _check_id(core, speech.peer_id(said))
    ours = _survivor(core, kind, said, now) if core.asked else None
    check_limit(core)  # afterwards: a call of ours that has lost is no longer in the way
    if ours is not None:  # the peer's request for the same circuit takes its place
        name, profile, settings = ours.name, ours.profile, ours.settings
    else:
        name, (profile, settings) = "", core.site.calls.admit(core, kind, speech.end_id(said))
    settings = speech.settle(said, settings)
    return core.new_call(kind, settings, now, name=name, profile=profile, serial=said[CALL_SERIAL_NUMBER])


def _survivor(core: ControlConnection, kind: Kind, said: Message, now: float) -> Call | None:
    """Settle who wins where both sides ask for the same circuit at once (RFC 3931 5.4.4, Session Tie Breaker).

    Return our call if it has lost, and was dropped for it. Raises `RemoteProtocolError` when the peer's request has lost.
    """
    call = core.asked.get((_COUNTERPART[kind], core.speech.end_id(said)))
    if call is None:
        return None
    verdict = judge(call.tie_breaker, said.get(TIE_BREAKER))
    if verdict is not Verdict.WE_WIN:
        call.ending = Ending(CallResult.LOST_TIE, None, "the peer has asked for it as well", "us")
        core.feed_call(call, Input.TUNNEL_GONE, None, now)
    if verdict is not Verdict.THEY_WIN:
        raise RemoteProtocolError(CallResult.LOST_TIE, ErrorCode.NONE, "we have asked for it as well")
    return call


def follow(core: ControlConnection, call: Call, before: State) -> None:
    """Keep the list of what we have asked for, now that a call may have left `before` for another state."""
    if call.state is before or not call.end_id:
        return
    if call.state is State.WAIT_REPLY:
        core.asked.setdefault((call.kind, call.end_id), call)
    elif before is State.WAIT_REPLY and core.asked.get((call.kind, call.end_id)) is call:
        del core.asked[call.kind, call.end_id]


def refuse(core: ControlConnection, said: Message, result: int, error: int, text: str, now: float) -> None:
    """Send a CDN for a session that never was; it needs an id of ours all the same (RFC 2661 4.4.4).

    Any number will do: nothing is kept under it, and a flood of refused calls must not use up the ids of others.
    """
    peer_session_id = core.speech.peer_id(said)
    if not peer_session_id:
        core.site.counters.no_session += 1
        return
    session_id = int.from_bytes(core.site.random(2), "big") or 1
    code = ResultCode(result, error, text)
    core.send(message(MessageType.CDN, core.speech.cdn(session_id, peer_session_id, code)), peer_session_id, now)


def _check_id(core: ControlConnection, peer_session_id: int) -> None:
    if core.knows_session_of_peer(peer_session_id):
        raise RemoteProtocolError(CallResult.ERROR, ErrorCode.BAD_SESSION_ID, "that session id is in use")


def check_limit(core: ControlConnection) -> None:
    """Raise `RemoteProtocolError` when the tunnel has as many sessions as it may."""
    limit = core.settings.max_sessions
    if limit and len(core.calls) >= limit:
        text = f"{limit} sessions are the limit of this tunnel"
        raise RemoteProtocolError(CallResult.NO_FACILITIES_TEMPORARY, ErrorCode.NO_RESOURCES, text)


def check_ours(core: ControlConnection, kind: Kind, settings: SessionSettings) -> None:
    """Raise `LocalProtocolError` when a call that we want cannot be asked for."""
    if core.state not in _OPEN:
        raise LocalProtocolError(f"the tunnel is {core.state.value}")
    try:
        check_limit(core)
    except RemoteProtocolError as refusal:
        raise LocalProtocolError(refusal.text) from None
    lack = core.facts.lack(kind, settings) if core.facts else ""
    if kind is Kind.STATIC and settings.session_id in core.calls:
        lack = f"session id {settings.session_id} is in use"
    if lack:
        raise LocalProtocolError(lack)
