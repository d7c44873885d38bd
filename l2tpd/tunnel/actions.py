"""The actions named in the control connection table: each does what its row says and returns the next state.

An action that finds the peer at fault raises `RemoteProtocolError` with StopCCN codes; `table.feed` answers it through `refuse`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from l2tpd.errors import LocalProtocolError, RemoteProtocolError
from l2tpd.events import TunnelEvent, What
from l2tpd.kernel.ops import CreateTunnel, DeleteTunnel
from l2tpd.session.call import Ending
from l2tpd.session.call import State as CallState
from l2tpd.session.inputs import Input as CallInput
from l2tpd.tunnel import requests
from l2tpd.tunnel.linger import CYCLE
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import RESULT_CODE
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import MessageType, StopResult
from l2tpd.wire.values import ResultCode

if TYPE_CHECKING:
    from l2tpd.tunnel.core import ControlConnection

Action = Callable[["ControlConnection", "Message | None", float], State]

PACE = 64
"""How many calls end with their tunnel before other tasks get their turn."""

# --- setting up ---------------------------------------------------------------------------------------------------------------


def send_sccrq(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Ask for a tunnel (idle, local open request)."""
    del cause
    core.set_deadline(now + core.settings.establish_timeout)
    core.send_control(message(MessageType.SCCRQ, core.dialect.control.request(core)), now)
    return State.WAIT_CTL_REPLY


def accept_sccrq(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Answer a request (idle, receive SCCRQ acceptable)."""
    said, control = _required(cause), core.dialect.control
    core.learn_peer(said)
    control.check(said, core.settings, core.site)
    core.set_deadline(now + core.settings.establish_timeout)
    core.send_control(message(MessageType.SCCRP, control.reply(core, said)), now)
    return State.WAIT_CTL_CONN


def accept_sccrp(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Confirm the tunnel (wait-ctl-reply, receive SCCRP acceptable)."""
    said, control = _required(cause), core.dialect.control
    core.learn_peer(said)
    control.check(said, core.settings, core.site)
    control.verify(core, said)
    core.send_control(message(MessageType.SCCCN, control.confirm(core, said)), now)
    return establish(core, now)


def accept_scccn(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Take the tunnel into service (wait-ctl-conn, receive SCCCN acceptable)."""
    core.dialect.control.verify(core, _required(cause))
    return establish(core, now)


def route_call(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Hand a message to the call that it concerns (established)."""
    requests.route(core, _required(cause), now)
    return State.ESTABLISHED


# --- refusing and ending ------------------------------------------------------------------------------------------------------


def refuse_sequence(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Answer a message that does not belong here (7.1: "received in an improper sequence")."""
    said = _required(cause)
    core.learn_id(said)
    return _stop(core, now, StopResult.FSM_ERROR, None, f"{said.name} is not expected in state {core.state.value}")


def refuse_bad(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Answer a message that cannot be accepted (4.2, 7.1)."""
    said = _required(cause)
    core.learn_id(said)
    fault = said.fault
    if fault is None:
        raise LocalProtocolError("a message without a fault was called bad")
    return _stop(core, now, StopResult.ERROR, fault.error, fault.text)


def refuse(core: ControlConnection, error: RemoteProtocolError, now: float) -> State:
    """Answer what an action would not take."""
    return _stop(core, now, error.result, error.error, error.text)


def close(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Stop for the reason in `core.ending` (established, admin tunnel close)."""
    del cause
    ending = core.ending
    if ending is None or ending.result is None:
        raise LocalProtocolError("a tunnel is closed without a reason")
    return _stop(core, now, ending.result, ending.error, ending.message)


def close_idle(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Stop a tunnel whose last session ended `idle_timeout` ago (7.6 leaves it to us)."""
    del cause
    if core.calls or not core.settings.idle_timeout:
        return State.ESTABLISHED
    return _stop(core, now, StopResult.GENERAL, None, "idle")


def expire(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Stop a tunnel that was not established in time."""
    del cause
    return _stop(core, now, core.dialect.control.timed_out, None, "not established in time")


def plane_failed(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Stop a tunnel that the data plane will not carry; the shell has put the reason into `core.ending`."""
    core.plane_asked = False
    return close(core, cause, now)


def end_by_peer(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Clean up after the peer's StopCCN, and stay to acknowledge its copies (5.7).

    The Assigned Tunnel ID must be the one that the peer gave first (4.4.3): another one is somebody else's guess.
    """
    said = _required(cause)
    named = said.get(core.dialect.control.peer_id)
    may_be_absent = core.dialect.header == 3  # RFC 3931 6.4
    if core.peer_id and named != core.peer_id and not (named is None and may_be_absent):
        core.complain(f"StopCCN with another {core.dialect.control.peer_id.name} than the peer's, ignored")
        return core.state
    core.learn_id(said)
    code = said.get(RESULT_CODE) or ResultCode(0)
    if core.state is not State.CLOSING:
        _clear(core, now, Ending(code.result, code.error, code.message, "peer"))
    return linger(core, None, now)


def give_up(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Clear the tunnel: the peer does not answer (5.8)."""
    del cause
    _clear(core, now, Ending(StopResult.GENERAL, None, "the peer does not answer", "us"))
    return State.CLOSED


def lose_tie(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Silently discard our request (4.4.3, Tie Breaker)."""
    del cause
    _clear(core, now, Ending(StopResult.EXISTS, None, "the peer's request won the tie", "us"))
    return State.CLOSED


def linger(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Stay for one retransmission cycle (5.7, 5.8)."""
    del cause
    core.fall_silent(now)
    core.set_deadline(now + CYCLE)
    return State.LINGERING


def vanish(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Be gone."""
    del cause
    _clear(core, now, core.ending or Ending(StopResult.GENERAL, None, "", "us"))
    core.clear_deadline()
    return State.CLOSED


def learn_late(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Take the peer's id from an SCCRP that comes too late, so that our StopCCN finds the tunnel that it ends."""
    del now
    core.learn_id(_required(cause))
    return core.state


def ignore(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Stay; the channel has acknowledged what there was to acknowledge."""
    del cause, now
    return core.state


def tunnel_event(what: What, core: ControlConnection) -> TunnelEvent:
    """Return the event that tells what happened to a tunnel."""
    ending = core.ending
    return TunnelEvent(
        what=what,
        tunnel_id=core.local_id,
        peer_tunnel_id=core.peer_id,
        name=core.name,
        origin=core.origin,
        version=core.dialect.version.value,
        encap=core.encap.value,
        peer_address=str(core.peer),
        result=ending.result if ending else None,
        error=ending.error if ending else None,
        message=ending.message if ending else "",
        by=ending.by if ending else "",
        up=core.was_up,
    )


# --- helpers ------------------------------------------------------------------------------------------------------------------


def establish(core: ControlConnection, now: float) -> State:
    """Take the tunnel into service, and begin with the calls that wait for it."""
    core.clear_deadline()
    core.was_up = True
    core.prove()
    core.plane_asked = True
    core.plane(
        CreateTunnel(
            tunnel_id=core.local_id, peer_tunnel_id=core.peer_id, version=core.dialect.header, encap=core.encap
        )
    )
    core.since = now
    core.tell_tunnel(What.UP)
    for call in list(core.calls.values()):
        core.begin(call, now)
    core.watch_idleness(now)
    return State.ESTABLISHED


def _stop(core: ControlConnection, now: float, result: int, error: int | None, text: str) -> State:
    """Drop the calls, then send StopCCN, which speaks for all of them (5.7)."""
    _clear(core, now, core.ending or Ending(result, error, text, "us"))
    code = ResultCode(result, error, text)
    core.send_noted(message(MessageType.STOPCCN, {core.dialect.control.peer_id: core.local_id, RESULT_CODE: code}), now)
    core.set_deadline(now + CYCLE)  # whatever is queued before it
    return State.CLOSING


def _clear(core: ControlConnection, now: float, ending: Ending) -> None:
    """Begin to leave nothing of the tunnel but its channel; the second time there is nothing to begin with."""
    if core.cleared:
        return
    core.cleared = True
    core.ending = ending
    core.retire_challenge()
    core.clear_deadline()
    core.leaving = Ending(None, None, f"the tunnel ended: {ending.message}".removesuffix(": "), ending.by)
    core.site.ending += len(core.calls)
    # One without negotiation is ended by an operator, who may want its numbers for another one in the same breath.
    end_calls(core, now, PACE if core.dialect.negotiates else len(core.calls))


def end_calls(core: ControlConnection, now: float, most: int = PACE) -> None:
    """End so many calls of a tunnel that is over; after the last of them the data plane lets go of it, and it is told of.

    Tens of thousands at once would keep everybody else waiting for seconds. While some are left, the timer is due.
    """
    for call in list(islice(core.calls.values(), most)):
        core.feed_call(call, CallInput.TUNNEL_GONE, None, now)
    if core.calls:
        return
    core.leaving = None
    if core.plane_asked:
        core.plane(DeleteTunnel(tunnel_id=core.local_id))
    if core.was_up:
        core.tell_tunnel(What.DOWN)
    core.tell_tunnel(What.DELETED)


def drop(core: ControlConnection, now: float) -> None:
    """Let go of a tunnel whose calls a bug of ours keeps from ending: what counts them and what the data plane has of them, without their automata."""
    for call in list(core.calls.values()):
        core.site.moved(call.state, CallState.IDLE)
        core.forget(call, now)
    if core.leaving is not None:
        end_calls(core, now)
    elif core.plane_asked and not core.cleared:
        core.plane(DeleteTunnel(tunnel_id=core.local_id))


def _required(cause: Message | None) -> Message:
    if cause is None:
        raise LocalProtocolError("this action needs the message that caused it")
    return cause
