"""The actions named in the call tables: each does what its row says and returns the next state.

Every action takes the call, the message that caused it (or None), its carrier and the time. Nothing here waits, reads a clock or touches a
socket.
"""

from __future__ import annotations

from collections.abc import Callable

from l2tpd.config.model import Pseudowire, Role
from l2tpd.config.scalars import end_id_as_said
from l2tpd.errors import LocalProtocolError, RemoteProtocolError
from l2tpd.events import SessionEvent, What
from l2tpd.kernel.ops import CreateSession, DeleteSession, Link, ModifySession
from l2tpd.ppp.describe import disconnect_text
from l2tpd.session.call import ACTIVE, NO_IPV6, Call, Carrier, Ending, Kind, State
from l2tpd.session.speech import Values
from l2tpd.wire.avp import ACCM, CALL_ERRORS, CIRCUIT_STATUS, PPP_DISCONNECT_CAUSE, RESULT_CODE
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import CallResult, MessageType
from l2tpd.wire.values import ResultCode

Action = Callable[[Call, Message | None, Carrier, float], State]

_CONNECTED_BY_PEER = frozenset({Kind.LNS_INCOMING, Kind.LNS_OUTGOING})
_INTERFACES = frozenset({Pseudowire.ETH, Pseudowire.ETH_VLAN})

# --- opening ------------------------------------------------------------------------------------------------------------------


def wait_for_tunnel(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Wait for the control connection (7.4.1, 7.5.2: idle, open request)."""
    del cause
    carrier.expect(call, now + call.settings.establish_timeout)
    return State.WAIT_TUNNEL


def send_icrq(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Announce the incoming call (7.4.1: wait-tunnel, tunnel-open)."""
    del cause
    _say(call, carrier, now, MessageType.ICRQ)
    return State.WAIT_REPLY


def send_ocrq(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Ask for an outgoing call (7.5.2: wait-tunnel, tunnel-open)."""
    del cause
    _say(call, carrier, now, MessageType.OCRQ)
    return State.WAIT_REPLY


def accept_icrq(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Take the call, and let the data plane come up before the peer is told to talk (7.4.2: idle, ICRQ acceptable)."""
    _learn(call, _required(cause), carrier)
    carrier.expect(call, now + call.settings.establish_timeout)
    return _ask_plane(call, carrier, State.WAIT_PLANE)


def accept_ocrq(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Take the outgoing call: say so, then open the bearer, which is the data plane here (7.5.1: idle, OCRQ acceptable)."""
    _learn(call, _required(cause), carrier)
    carrier.expect(call, now + call.settings.establish_timeout)
    _say(call, carrier, now, MessageType.OCRP)
    return _ask_plane(call, carrier, State.WAIT_CS_ANSWER)


def carry(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Have the data plane carry a call about which nothing needs to be said."""
    del cause
    carrier.expect(call, now + call.settings.establish_timeout)
    return _ask_plane(call, carrier, State.WAIT_PLANE)


# --- answers ------------------------------------------------------------------------------------------------------------------


def accept_icrp(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Bring the data plane up before the ICCN lets the peer talk (7.4.1: wait-reply, ICRP acceptable)."""
    del now
    _learn(call, _required(cause), carrier)
    return _ask_plane(call, carrier, State.WAIT_PLANE)


def accept_ocrp(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Note that the call is in progress and prepare for data (7.5.2: wait-reply, OCRP acceptable)."""
    del now
    _learn(call, _required(cause), carrier)
    return _ask_plane(call, carrier, State.WAIT_CONNECT)


def send_icrp(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Accept the call now that frames can be taken (7.4.2: idle, ICRQ acceptable, second half)."""
    del cause
    _say(call, carrier, now, MessageType.ICRP)
    return State.WAIT_CONNECT


def send_iccn(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Connect the call (7.4.1: wait-reply, ICRP acceptable, second half)."""
    del cause
    _say(call, carrier, now, MessageType.ICCN)
    return _up(call, carrier, now)


def send_occn(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Report the bearer's answer (7.5.1: wait-cs-answer, bearer answer)."""
    del cause
    _say(call, carrier, now, MessageType.OCCN)
    return _up(call, carrier, now)


def connected(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Take ICCN or OCCN; up, unless the data plane still has to come (7.4.2, 7.5.2: wait-connect)."""
    carrier.speech.connected(call, _required(cause))
    return _up(call, carrier, now) if call.plane_up else State.WAIT_PLANE


def plane_ready(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Note that the data plane came up before the peer's OCCN."""
    del cause, carrier, now
    return call.state


def establish(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Come up: the peer's OCCN was here first, the data plane is here now."""
    del cause
    return _up(call, carrier, now)


# --- reports during the call --------------------------------------------------------------------------------------------------


def note_wan_errors(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Keep the newest WAN-Error-Notify (RFC 2661 6.13) for `show session`."""
    del carrier, now
    call.wan_errors = _required(cause).get(CALL_ERRORS)
    return call.state


def note_link(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Keep what the newest Set-Link-Info says: a character map (RFC 2661 6.14; Meraki sends it to anyone), or a circuit (RFC 3931 6.14)."""
    del now
    said = _required(cause)
    call.accm = said.get(ACCM) or call.accm
    call.circuit = said.get(CIRCUIT_STATUS) if CIRCUIT_STATUS in said else call.circuit
    if call.state is State.ESTABLISHED:
        _adapt_plane(call, carrier)
    return call.state


def report_circuit(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Send SLI with our Circuit Status (RFC 3931 6.14); version 2 has no word for it."""
    del cause
    if MessageType.SLI in carrier.speech.says:
        _say(call, carrier, now, MessageType.SLI)
    return call.state


def ignore(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Stay."""
    del cause, carrier, now
    return call.state


# --- ends ---------------------------------------------------------------------------------------------------------------------


def end_by_peer(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Clean up after the peer's CDN."""
    said = _required(cause)
    code = said.get(RESULT_CODE) or ResultCode(0)
    call.ending = Ending(code.result, code.error, code.message, "peer")
    call.disconnect = said.get(PPP_DISCONNECT_CAUSE)
    return finish(call, carrier, now)


def close(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Send the CDN that `call.ending` holds, and clean up."""
    del cause
    send_cdn(call, carrier, now)
    return finish(call, carrier, now)


def close_unheard(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Clean up a call of which the peer has not heard yet (wait-tunnel, close request)."""
    del cause
    return finish(call, carrier, now)


def clean_up(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Clean up without a CDN, where the RFC asks for none."""
    call.ending = _misplaced(call, _required(cause), carrier)
    return finish(call, carrier, now)


def refuse(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Answer an unacceptable message with CDN and clean up (7.1; 4.2 for unknown mandatory AVPs)."""
    said = _required(cause)
    if said.fault is not None:
        call.ending = Ending(CallResult.ERROR, said.fault.error, said.fault.text, "us")
    else:
        call.ending = _misplaced(call, said, carrier)
    call.peer_id = call.peer_id or carrier.speech.peer_id(said)
    return close(call, None, carrier, now)


def fail_unheard(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Give up a call that the data plane will not carry and of which the peer does not hear."""
    del cause
    call.plane_asked = call.plane_up
    return finish(call, carrier, now)


def expire_unheard(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Give up a call of which the peer does not hear and that was not up in time."""
    del cause
    call.ending = Ending(carrier.speech.timed_out, None, "not established in time", "us")
    return finish(call, carrier, now)


def reject(call: Call, error: RemoteProtocolError, carrier: Carrier, now: float) -> State:
    """Answer what an action would not take, and clean up."""
    call.ending = Ending(error.result, error.error, error.text, "us")
    return close(call, None, carrier, now)


def plane_failed(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Give the call up, since no frame could be carried; the shell has put the reason into `call.ending`."""
    call.plane_asked = call.plane_up  # what has come up is still there, where only a change of it was refused
    return close(call, cause, carrier, now)


def expire(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Give up a call that was not connected in time."""
    if call.state is State.WAIT_TUNNEL:
        return expire_unheard(call, cause, carrier, now)
    call.ending = Ending(carrier.speech.timed_out, None, "not established in time", "us")
    return close(call, None, carrier, now)


def tunnel_gone(call: Call, cause: Message | None, carrier: Carrier, now: float) -> State:
    """Clean up without a word: the whole tunnel ends, and its StopCCN speaks for every call (5.7)."""
    del cause
    call.plane_asked = False  # the deletion of the tunnel takes its sessions with it
    return finish(call, carrier, now)


def finish(call: Call, carrier: Carrier, now: float) -> State:
    """Leave nothing behind: the data plane, the events, the id."""
    if call.plane_asked:
        carrier.plane(DeleteSession(tunnel_id=carrier.local_id, session_id=call.local_id))
    carrier.relax(call)
    if call.state is State.ESTABLISHED:
        carrier.tell(event(What.DOWN, call, carrier))
    carrier.tell(event(What.DELETED, call, carrier))
    carrier.forget(call, now)
    return State.IDLE


def send_cdn(call: Call, carrier: Carrier, now: float) -> None:
    """Send CDN with the call's ending."""
    ending = call.ending
    if ending is None or ending.result is None:
        raise LocalProtocolError("a call is closed without a reason")
    code = ResultCode(ending.result, ending.error, ending.message)
    speech = carrier.speech
    values = {**speech.cdn(call.local_id, call.peer_id, code), **speech.cause(call)}
    _send(call, carrier, now, MessageType.CDN, values)


def event(what: What, call: Call, carrier: Carrier) -> SessionEvent:
    """Return the event that tells what happened to a call."""
    ending, six = call.ending, call.ppp_ipv6 or NO_IPV6
    return SessionEvent(
        what=what,
        tunnel_id=carrier.local_id,
        session_id=call.local_id,
        peer_tunnel_id=carrier.peer_id,
        peer_session_id=call.peer_id,
        name=call.name,
        tunnel_name=carrier.name,
        profile=call.profile,
        pseudowire_profile=call.settings.pseudowire_profile,
        pseudowire=call.settings.pseudowire.value,
        interface=call.interface,
        result=ending.result if ending else None,
        error=ending.error if ending else None,
        message=ending.message if ending else "",
        by=ending.by if ending else "",
        up=call.was_up or what is What.UP,
        user_data=call.settings.user_data,
        mtu=call.settings.mtu,
        address=call.settings.address,
        far_address=call.settings.peer_address,
        bridge=call.settings.bridge,
        remote_end_id=end_id_as_said(call.end_id),
        ppp_user=call.ppp_user,
        ppp_local=call.ppp_local,
        ppp_remote=call.ppp_remote,
        ppp_ipv6_local=six.local,
        ppp_ipv6_remote=six.remote,
        ppp_ipv6_prefix=six.prefix,
        ppp_delegated_prefix=six.delegated_prefix,
        ppp_ipv6_address=six.address,
        ppp_cause=disconnect_text(call.disconnect, ending.by) if call.disconnect and ending else "",
    )


# --- helpers ------------------------------------------------------------------------------------------------------------------


def _say(call: Call, carrier: Carrier, now: float, kind: MessageType) -> None:
    values = carrier.speech.says[kind](call)
    if CIRCUIT_STATUS in values:
        call.told_active = bool(values[CIRCUIT_STATUS] & ACTIVE)
    _send(call, carrier, now, kind, values)


def _send(call: Call, carrier: Carrier, now: float, kind: MessageType, values: Values) -> None:
    silent = carrier.silent_avps
    kept = {avp: value for avp, value in values.items() if avp not in silent} if silent else values
    carrier.send(message(kind, kept), call.peer_id, now)


def _misplaced(call: Call, said: Message, carrier: Carrier) -> Ending:
    return Ending(*carrier.speech.misplaced, f"{said.name} is not expected in state {call.state.value}", "us")


def _learn(call: Call, said: Message, carrier: Carrier) -> None:
    carrier.learn_peer_id(call, carrier.speech.peer_id(said))  # first: a refusal has to name it
    carrier.speech.learn(call, said)


def _ask_plane(call: Call, carrier: Carrier, following: State) -> State:
    asked = call.settings
    call.plane_asked = True
    call.sequencing = call.numbered = call.sequencing or asked.sequencing_required
    call.sending = call.wanted and not _waits(call)
    carrier.plane(
        CreateSession(
            tunnel_id=carrier.local_id,
            session_id=call.local_id,
            peer_session_id=call.peer_id,
            pseudowire=asked.pseudowire,
            link=Link(
                name=asked.interface_name,
                mtu=asked.mtu,
                vlan_id=asked.vlan_id,
                address=asked.address,
                peer_address=asked.peer_address,
                bridge=asked.bridge,
            ),
            lns_mode=call.kind.role is Role.LNS,
            sequencing=call.sequencing,
            reorder_timeout=round(asked.reorder_timeout * 1000),
            cookie=call.cookie,
            peer_cookie=call.peer_cookie,
            sublayer=call.sublayer,
            sending=call.sending,
        )
    )
    return following


def _waits(call: Call) -> bool:
    """Tell whether frames wait for the peer's ICCN or OCCN (RFC 3931 6.10), where no PPP of ours is what would send them."""
    return call.kind in _CONNECTED_BY_PEER and call.settings.pseudowire in _INTERFACES


def _adapt_plane(call: Call, carrier: Carrier) -> None:
    """Have an established call's data plane do what the peer has asked for: numbers (RFC 2661 4.4.4), packets or none (RFC 3931 5.4.5)."""
    if (call.sequencing, call.wanted) == (call.numbered, call.sending):
        return
    call.numbered, call.sending = call.sequencing, call.wanted
    carrier.plane(
        ModifySession(
            tunnel_id=carrier.local_id,
            session_id=call.local_id,
            sequencing=call.numbered,
            sending=call.sending,
        )
    )


def _up(call: Call, carrier: Carrier, now: float) -> State:
    call.since = now
    call.was_up = True
    _adapt_plane(call, carrier)
    carrier.relax(call)
    carrier.tell(event(What.UP, call, carrier))
    if call.active != call.told_active:  # it changed while the call was being set up
        report_circuit(call, None, carrier, now)
    return State.ESTABLISHED


def _required(cause: Message | None) -> Message:
    if cause is None:
        raise LocalProtocolError("this action needs the message that caused it")
    return cause
