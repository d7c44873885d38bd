"""The call state tables of RFC 2661: 7.4.1, 7.4.2, 7.5.1 and 7.5.2, complete.

Theory of operation. A call moves by one table, chosen by `Kind`. A row names the states and inputs that it answers, the action, and the states
that the action may lead to. Every pair of state and input has an answer: what the RFC leaves out is written out below it, under `RULES`. A call
that reached `idle` again is finished and has been forgotten by its tunnel, so nothing but its first input ever finds it there.

One state is ours. The RFC's "prepare for data" takes time where a kernel does it, and a peer that is told to talk talks at once; so ICRP and
ICCN leave only when the data plane is up, and `wait-plane` is where a call waits for it. Towards the peer it is still in the state before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from l2tpd.errors import LocalProtocolError, RemoteProtocolError
from l2tpd.session import actions as do
from l2tpd.session.call import Call, Carrier, Kind, State
from l2tpd.session.inputs import Input
from l2tpd.wire.messages import Message

IDLE, WAIT_TUNNEL, WAIT_REPLY = State.IDLE, State.WAIT_TUNNEL, State.WAIT_REPLY
WAIT_CONNECT, WAIT_CS_ANSWER, WAIT_PLANE, ESTABLISHED = (
    State.WAIT_CONNECT,
    State.WAIT_CS_ANSWER,
    State.WAIT_PLANE,
    State.ESTABLISHED,
)


class Row(NamedTuple):
    """The answer to one state and input: what to do, and where that may lead."""

    action: do.Action
    following: frozenset[State]


class Rule(NamedTuple):
    """Rows of one kind for every pair of these states and inputs."""

    states: frozenset[State]
    inputs: frozenset[Input]
    action: do.Action
    following: frozenset[State] | None  # None: the call stays where it is


def on(states: Iterable[State] | State, inputs: Iterable[Input] | Input, action: do.Action, *following: State) -> Rule:
    """Return the rule for these states and inputs."""
    some = frozenset({states}) if isinstance(states, State) else frozenset(states)
    told = frozenset({inputs}) if isinstance(inputs, Input) else frozenset(inputs)
    return Rule(some, told, action, frozenset(following) if following else None)


REQUESTS = frozenset({Input.ICRQ, Input.ICRP, Input.ICCN, Input.OCRQ, Input.OCRP, Input.OCCN})
OPEN_STATES = frozenset(State) - {IDLE}
HEARD = OPEN_STATES - {WAIT_TUNNEL}  # states in which the peer knows of the call
UNFINISHED = OPEN_STATES - {ESTABLISHED}

# What is the same for all four kinds; a kind's own rules go before it.
RULES = (
    on(HEARD, Input.CDN, do.end_by_peer, IDLE),  # 7.4, 7.5: "Receive CDN, Clean up, idle", in every state
    on(HEARD, Input.CLOSE, do.close, IDLE),  # "Local close request, Send CDN, Clean up"
    on(WAIT_TUNNEL, Input.CLOSE, do.close_unheard, IDLE),
    on(HEARD, REQUESTS, do.refuse, IDLE),  # every request out of its place: "Send CDN, Clean up"
    on(HEARD, Input.BAD, do.refuse, IDLE),  # 4.2, 7.1
    on(OPEN_STATES, Input.WEN, do.note_wan_errors),
    on(OPEN_STATES, Input.SLI, do.note_link),
    on(UNFINISHED, Input.EXPIRED, do.expire, IDLE),
    on(HEARD, Input.PLANE_FAILED, do.plane_failed, IDLE),
    on(frozenset(State), Input.TUNNEL_GONE, do.tunnel_gone, IDLE),
    # What cannot matter: an open request to an open call, a timer that lost a race, a plane that answers what was not asked, a peer's
    # message to a call of which it has not heard, and a message to a call that has ended ("idle: Clean up").
    on(OPEN_STATES, {Input.OPEN, Input.TUNNEL_OPEN, Input.PLANE_UP}, do.ignore),
    on(ESTABLISHED, Input.EXPIRED, do.ignore),
    on(ESTABLISHED, Input.CIRCUIT, do.report_circuit),
    on(frozenset(State) - {ESTABLISHED}, Input.CIRCUIT, do.ignore),  # its state is told when it is connected
    on(WAIT_TUNNEL, REQUESTS | {Input.CDN, Input.BAD, Input.PLANE_FAILED}, do.ignore),
    on(IDLE, {Input.ICCN, Input.OCCN, Input.CDN, Input.WEN, Input.SLI}, do.ignore),
    on(
        IDLE, {Input.OPEN, Input.TUNNEL_OPEN, Input.CLOSE, Input.EXPIRED, Input.PLANE_UP, Input.PLANE_FAILED}, do.ignore
    ),
    on(IDLE, {Input.ICRQ, Input.ICRP, Input.OCRQ, Input.OCRP, Input.BAD}, do.refuse, IDLE),  # "Send CDN, Clean up"
)

LAC_INCOMING = (  # 7.4.1
    on(IDLE, Input.OPEN, do.wait_for_tunnel, WAIT_TUNNEL),
    on(WAIT_TUNNEL, Input.TUNNEL_OPEN, do.send_icrq, WAIT_REPLY),
    on(WAIT_REPLY, Input.ICRP, do.accept_icrp, WAIT_PLANE),
    on(WAIT_REPLY, Input.ICCN, do.clean_up, IDLE),
    on(IDLE, Input.ICRP, do.ignore),
    on(WAIT_PLANE, Input.PLANE_UP, do.send_iccn, ESTABLISHED),
)

LNS_INCOMING = (  # 7.4.2
    on(IDLE, Input.ICRQ, do.accept_icrq, WAIT_PLANE),
    on(WAIT_PLANE, Input.PLANE_UP, do.send_icrp, WAIT_CONNECT),
    on(WAIT_CONNECT, Input.ICCN, do.connected, ESTABLISHED),
)

LAC_OUTGOING = (  # 7.5.1; our bearer is the data plane, so its coming up is the "bearer answer"
    on(IDLE, Input.OCRQ, do.accept_ocrq, WAIT_CS_ANSWER),
    on(WAIT_CS_ANSWER, Input.PLANE_UP, do.send_occn, ESTABLISHED),
)

LNS_OUTGOING = (  # 7.5.2
    on(IDLE, Input.OPEN, do.wait_for_tunnel, WAIT_TUNNEL),
    on(WAIT_TUNNEL, Input.TUNNEL_OPEN, do.send_ocrq, WAIT_REPLY),
    on(WAIT_REPLY, Input.OCRP, do.accept_ocrp, WAIT_CONNECT),
    on(IDLE, Input.OCRP, do.ignore),
    on(WAIT_CONNECT, Input.PLANE_UP, do.plane_ready, WAIT_CONNECT),
    on(WAIT_CONNECT, Input.OCCN, do.connected, ESTABLISHED, WAIT_PLANE),
    on(WAIT_PLANE, Input.PLANE_UP, do.establish, ESTABLISHED),
)

STATIC = (  # ours: both ends are configured, so nothing is said, and whatever ends the call ends it here
    on(IDLE, Input.OPEN, do.wait_for_tunnel, WAIT_TUNNEL),
    on(WAIT_TUNNEL, Input.TUNNEL_OPEN, do.carry, WAIT_PLANE),
    on(WAIT_PLANE, Input.PLANE_UP, do.establish, ESTABLISHED),
    on(OPEN_STATES, Input.CLOSE, do.close_unheard, IDLE),
    on(OPEN_STATES, Input.PLANE_FAILED, do.fail_unheard, IDLE),
    on(UNFINISHED, Input.EXPIRED, do.expire_unheard, IDLE),
    on(OPEN_STATES, REQUESTS | {Input.CDN, Input.BAD, Input.WEN, Input.SLI}, do.ignore),
    on(IDLE, REQUESTS | {Input.BAD}, do.ignore),
    on(frozenset(State), Input.CIRCUIT, do.ignore),
)


def _spread(rules: Iterable[Rule]) -> dict[tuple[State, Input], Row]:
    table: dict[tuple[State, Input], Row] = {}
    for rule in rules:
        for state in rule.states:
            for told in rule.inputs:
                table.setdefault((state, told), Row(rule.action, rule.following or frozenset({state})))
    return table


TABLES: Mapping[Kind, Mapping[tuple[State, Input], Row]] = {
    Kind.LAC_INCOMING: _spread(LAC_INCOMING + RULES),
    Kind.LNS_INCOMING: _spread(LNS_INCOMING + RULES),
    Kind.LAC_OUTGOING: _spread(LAC_OUTGOING + RULES),
    Kind.LNS_OUTGOING: _spread(LNS_OUTGOING + RULES),
    Kind.STATIC: _spread(STATIC + RULES),
}


def feed(call: Call, told: Input, cause: Message | None, carrier: Carrier, now: float) -> None:
    """Give a call one input: do what its table says and move it.

    Raises `LocalProtocolError` when an action leads to a state that its row does not allow, which is a bug of ours.
    """
    row = TABLES[call.kind][call.state, told]
    if told is Input.PLANE_UP:
        call.plane_up = True
    try:
        following = row.action(call, cause, carrier, now)
    except RemoteProtocolError as error:
        following = do.reject(call, error, carrier, now)
        call.state = following
        return
    if following not in row.following:
        raise LocalProtocolError(f"{call.kind.value}: {told.name} in {call.state.value} led to {following.value}")
    if following is not call.state:
        if call.begun is None and following is not State.WAIT_TUNNEL:
            call.begun = now
        call.state = following
        call.since = now
