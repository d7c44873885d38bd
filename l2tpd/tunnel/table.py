"""The control connection state table of RFC 2661 7.2.1, complete.

"Send StopCCN, Clean up" of the RFC is: drop the calls, send, go to `closing`. "Clean up" after the peer's StopCCN goes to `lingering`.
Every pair of state and input has an answer. An action that finds a message unacceptable raises `RemoteProtocolError`; `feed` then sends the
StopCCN that the error describes, which is why rows whose RFC event says "acceptable" also allow `closing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from l2tpd.errors import LocalProtocolError, RemoteProtocolError
from l2tpd.tunnel import actions as do
from l2tpd.tunnel.inputs import Input
from l2tpd.tunnel.states import State

if TYPE_CHECKING:
    from l2tpd.tunnel.core import ControlConnection
    from l2tpd.wire.messages import Message

IDLE, WAIT_CTL_REPLY, WAIT_CTL_CONN, ESTABLISHED = (
    State.IDLE,
    State.WAIT_CTL_REPLY,
    State.WAIT_CTL_CONN,
    State.ESTABLISHED,
)
CLOSING, LINGERING, CLOSED = State.CLOSING, State.LINGERING, State.CLOSED

OPENING = frozenset({IDLE, WAIT_CTL_REPLY, WAIT_CTL_CONN})
LIVE = OPENING | {ESTABLISHED}
OVER = frozenset({CLOSING, LINGERING, CLOSED})
ANY = frozenset(State)


class Row(NamedTuple):
    """The answer to one state and input: what to do, and where that may lead."""

    action: do.Action
    following: frozenset[State]


Table = Mapping[tuple[State, Input], Row]
"""An answer to every pair of state and input."""


def rows(
    states: Iterable[State] | State, inputs: Iterable[Input] | Input, action: do.Action, *following: State
) -> dict[tuple[State, Input], Row]:
    """Return the same answer for every pair of these states and inputs; without following states, the connection stays where it is."""
    some = (states,) if isinstance(states, State) else states
    told = (inputs,) if isinstance(inputs, Input) else tuple(inputs)
    return {(state, one): Row(action, frozenset(following or {state})) for state in some for one in told}


TABLE: Table = {
    # 7.2.1, in the order of the RFC
    **rows(IDLE, Input.OPEN, do.send_sccrq, WAIT_CTL_REPLY),
    **rows(IDLE, Input.SCCRQ, do.accept_sccrq, WAIT_CTL_CONN, CLOSING),
    **rows(IDLE, Input.SCCRP, do.refuse_sequence, CLOSING),
    **rows(IDLE, Input.SCCCN, do.vanish, CLOSED),
    **rows(WAIT_CTL_REPLY, Input.SCCRP, do.accept_sccrp, ESTABLISHED, CLOSING),
    **rows(WAIT_CTL_REPLY, Input.LOST_TIE, do.lose_tie, CLOSED),
    **rows(WAIT_CTL_REPLY, {Input.SCCRQ, Input.SCCCN}, do.refuse_sequence, CLOSING),
    **rows(WAIT_CTL_CONN, Input.SCCCN, do.accept_scccn, ESTABLISHED, CLOSING),
    **rows(WAIT_CTL_CONN, {Input.SCCRQ, Input.SCCRP}, do.refuse_sequence, CLOSING),
    **rows(ESTABLISHED, {Input.SCCRQ, Input.SCCRP, Input.SCCCN}, do.refuse_sequence, CLOSING),
    **rows({WAIT_CTL_REPLY, WAIT_CTL_CONN, ESTABLISHED}, Input.CLOSE, do.close, CLOSING),
    **rows(WAIT_CTL_REPLY, Input.STOPCCN, do.end_by_peer, LINGERING),
    **rows(WAIT_CTL_CONN, Input.STOPCCN, do.end_by_peer, LINGERING, WAIT_CTL_CONN),
    **rows(ESTABLISHED, Input.STOPCCN, do.end_by_peer, LINGERING, ESTABLISHED),
    **rows(CLOSING, Input.STOPCCN, do.end_by_peer, LINGERING, CLOSING),
    # what the RFC says in prose
    **rows(ESTABLISHED, Input.CALL, do.route_call, ESTABLISHED),  # 5.2
    **rows(OPENING, Input.CALL, do.refuse_sequence, CLOSING),  # 5.0: the control connection MUST be established first
    **rows(LIVE, Input.BAD, do.refuse_bad, CLOSING),  # 4.2, 7.1
    **rows(ANY, {Input.HELLO, Input.UNKNOWN}, do.ignore),  # 5.5: acknowledged like any message; 4.4.1: M bit clear
    **rows({WAIT_CTL_REPLY, WAIT_CTL_CONN, ESTABLISHED}, Input.DEAD, do.give_up, CLOSED),  # 5.8: cleared
    **rows({CLOSING, LINGERING}, Input.DEAD, do.vanish, CLOSED),
    **rows(CLOSING, Input.DELIVERED, do.linger, LINGERING),  # 5.8: "operated for the full retransmission interval"
    **rows({CLOSING, LINGERING}, Input.EXPIRED, do.vanish, CLOSED),
    # ours: time-outs, the data plane
    **rows({WAIT_CTL_REPLY, WAIT_CTL_CONN}, Input.EXPIRED, do.expire, CLOSING),
    **rows(ESTABLISHED, Input.EXPIRED, do.close_idle, CLOSING, ESTABLISHED),
    **rows({WAIT_CTL_CONN, ESTABLISHED}, Input.PLANE_FAILED, do.plane_failed, CLOSING),
    # what cannot matter: nothing was said yet, or all has been said
    **rows(IDLE, {Input.CLOSE, Input.STOPCCN, Input.DEAD, Input.EXPIRED, Input.LOST_TIE}, do.vanish, CLOSED),
    **rows({IDLE, WAIT_CTL_REPLY}, Input.PLANE_FAILED, do.ignore),
    **rows({WAIT_CTL_CONN, ESTABLISHED}, Input.LOST_TIE, do.ignore),
    **rows({WAIT_CTL_REPLY, WAIT_CTL_CONN, ESTABLISHED}, Input.OPEN, do.ignore),
    **rows(LIVE, Input.DELIVERED, do.ignore),
    **rows(CLOSING, Input.SCCRP, do.learn_late),
    **rows({LINGERING, CLOSED}, Input.SCCRP, do.ignore),
    **rows(
        OVER,
        {Input.OPEN, Input.CLOSE, Input.SCCRQ, Input.SCCCN, Input.CALL, Input.BAD, Input.LOST_TIE, Input.PLANE_FAILED},
        do.ignore,
    ),
    **rows({LINGERING, CLOSED}, {Input.STOPCCN, Input.DELIVERED}, do.ignore),
    **rows(CLOSED, Input.EXPIRED, do.ignore),
    **rows(CLOSED, Input.DEAD, do.ignore),
}


def feed(core: ControlConnection, told: Input, cause: Message | None, now: float) -> None:
    """Give a control connection one input: do what the table says and move it.

    Raises `LocalProtocolError` when an action leads to a state that its row does not allow, which is a bug of ours.
    """
    row = core.dialect.table[core.state, told]
    try:
        following = row.action(core, cause, now)
    except RemoteProtocolError as error:
        following = do.refuse(core, error, now)
    if following not in row.following:
        raise LocalProtocolError(f"{told.name} in {core.state.value} led to {following.value}")
    core.enter(following, now)
