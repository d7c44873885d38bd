"""State tables as the RFCs print them, and how a row is played by a whole control connection: what RFC 2661 7 and RFC 3931 7 have in common.

A row is the RFC's: state, event, what is sent, new state. The RFC's `idle` at the end of a row is a control connection that is over, though it
may still have to deliver its StopCCN, or a call that is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dialogue import Dialogue
from l2tpd.session.call import Call, Kind
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.states import State
from l2tpd.wire.messages import Message

OVER = {State.CLOSING, State.LINGERING, State.CLOSED}


class Row(NamedTuple):
    """A row about control connections."""

    state: str
    event: str
    act: Callable[[Dialogue], object]
    sends: list[str]
    new: str


class CallRow(NamedTuple):
    """A row about calls."""

    kind: Kind
    state: str
    event: str
    sends: list[str]
    new: str


def rows(kind: Kind, states: str, events: str, sends: str, new: str) -> list[CallRow]:
    """Spread a row of the RFC that names several states or events."""
    wanted = sends.split() if sends else []
    return [CallRow(kind, state, event, wanted, new) for state in states.split(", ") for event in events.split(", ")]


def hear(said: Message) -> Callable[[Dialogue], object]:
    """Have the peer say this."""
    return lambda say: say.peer >> said


def sent(say: Dialogue) -> list[str]:
    """Take what we said, acknowledgements apart."""
    return [heard.said.name for heard in say.skip() if heard.said is not None]


def play(row: Row, say: Dialogue) -> None:
    """Let it happen: what the row says is sent, nothing else is, and the new state is the row's."""
    row.act(say)
    assert row.sends == sent(say)
    if row.new == "idle":
        assert say.core.state in OVER
        assert {} == say.core.calls
    else:
        assert row.new == say.core.state.value


def arrive(call: Call, state: str, say: Dialogue) -> None:
    """Have the data plane say yes if the call waits for it: then it is in this state, and all that was said on the way is taken."""
    say.peer.say(b"")
    if call.state.value != state:
        say.plane_up(call)
    say.peer.say(b"")
    sent(say)
    assert state == call.state.value


def gone(say: Dialogue, call: Call | None) -> None:
    """There is no call any more."""
    assert {} == say.core.calls
    assert call is None or call.state is CallState.IDLE
