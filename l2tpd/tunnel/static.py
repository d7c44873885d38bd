"""Tunnels without negotiation: both ends are configured with the same numbers.

A static tunnel is up when it is opened, and says nothing: `ip l2tp` or any router with a static configuration may be at its far end. A quiescent one
exchanges HELLO messages, acknowledged as any message is, and nothing else (RFC 3931 4.4); it is up while the peer answers them, so both ends have to run
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2tpd.session.call import Ending
from l2tpd.tunnel import actions as do
from l2tpd.tunnel.inputs import Input
from l2tpd.tunnel.states import State
from l2tpd.tunnel.table import Table, rows
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import MessageType, StopResult

if TYPE_CHECKING:
    from l2tpd.tunnel.core import ControlConnection

IDLE, WAIT, ESTABLISHED, CLOSED = State.IDLE, State.WAIT_CTL_REPLY, State.ESTABLISHED, State.CLOSED
NEVER = frozenset(State) - {IDLE, WAIT, ESTABLISHED, CLOSED}


def come_up(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Take the tunnel into service: there is nobody to ask."""
    del cause
    return do.establish(core, now)


def ask(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Find out whether the peer is there."""
    del cause
    core.send_noted(message(MessageType.HELLO, {}), now)
    return WAIT


def fail(core: ControlConnection, cause: Message | None, now: float) -> State:
    """End a tunnel that the data plane will not carry; the shell has put the reason into `core.ending`."""
    core.plane_asked = False
    return do.vanish(core, cause, now)


def complain(core: ControlConnection, cause: Message | None, now: float) -> State:
    """Leave a message alone that has no place here: the peer is configured for another kind of tunnel."""
    del now
    if cause is not None:
        core.complain(f"{cause.name} has no place in a {core.dialect.mode.value} tunnel")
    return core.state


def lose(core: ControlConnection, cause: Message | None, now: float) -> State:
    """End a tunnel whose peer has fallen silent; it is opened again if it is persistent."""
    core.ending = core.ending or Ending(StopResult.GENERAL, None, "the peer does not answer", "us")
    return do.vanish(core, cause, now)


_SPOKEN = frozenset({Input.SCCRQ, Input.SCCRP, Input.SCCCN, Input.STOPCCN, Input.CALL, Input.BAD})
_OURS = frozenset({Input.OPEN, Input.EXPIRED, Input.LOST_TIE, Input.DELIVERED, Input.HELLO, Input.UNKNOWN})

_COMMON: Table = {
    **rows({WAIT, ESTABLISHED}, _SPOKEN, complain),
    **rows({WAIT, ESTABLISHED}, _OURS, do.ignore),
    **rows({IDLE, WAIT, ESTABLISHED}, Input.CLOSE, do.vanish, CLOSED),
    **rows({IDLE, WAIT, ESTABLISHED}, Input.DEAD, lose, CLOSED),
    **rows({IDLE, WAIT, ESTABLISHED}, Input.PLANE_FAILED, fail, CLOSED),
    **rows(IDLE, _SPOKEN | _OURS, do.ignore),
    **rows(NEVER | {CLOSED}, Input, do.ignore),
}
STATIC_TABLE: Table = {**_COMMON, **rows(IDLE, Input.OPEN, come_up, ESTABLISHED)}
QUIESCENT_TABLE: Table = {
    **_COMMON,
    **rows(IDLE, Input.OPEN, ask, WAIT),
    **rows(WAIT, Input.DELIVERED, come_up, ESTABLISHED),
}
