"""The control connection table: every state and input has an answer, and every answer is tried."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import attrs
import pytest

from books import bookkeeping, consistent
from dialogue import (
    SECRET,
    Dialogue,
    called,
    dialled,
    hello,
    icrq,
    incoming,
    reported,
    scccn,
    sccrp,
    sccrq,
    stage,
    stopccn,
    up,
    up_called,
)
from l2tpd.errors import LocalProtocolError
from l2tpd.tunnel import table
from l2tpd.tunnel.inputs import BY_MESSAGE, Input
from l2tpd.tunnel.states import State
from l2tpd.tunnel.table import TABLE, Row
from l2tpd.wire.messages import MESSAGES, Fault, Message
from l2tpd.wire.numbers import ErrorCode, MessageType
from l2tpd.wire.values import ProtocolVersion

PAIRS = list(itertools.product(State, Input))


def busy(say: Dialogue) -> Dialogue:
    """An established tunnel with a call that is up, one that is being set up, and an idle timeout to come."""
    reported(say, 500)
    incoming(say, 501)
    say.open_session()
    say.skip()
    return say


def closing() -> Dialogue:
    say = busy(up())
    say.peer.deaf = True
    say.close()
    say.skip()
    return say


def lingering() -> Dialogue:
    say = busy(up_called())
    say.peer >> stopccn()
    say.skip()
    return say


def closed() -> Dialogue:
    say = lingering()
    say.at(31.0)
    return say


ROADS: dict[State, tuple[Callable[[], Dialogue], ...]] = {
    State.IDLE: (stage, lambda: stage(origin="network", secret=SECRET)),
    State.WAIT_CTL_REPLY: (dialled, lambda: dialled(secret=SECRET)),
    State.WAIT_CTL_CONN: (called, lambda: called(secret=SECRET)),
    State.ESTABLISHED: (lambda: up(idle_timeout=20.0), lambda: busy(up()), lambda: busy(up_called(idle_timeout=20.0))),
    State.CLOSING: (closing,),
    State.LINGERING: (lingering,),
    State.CLOSED: (closed,),
}

FAULT = Fault(ErrorCode.BAD_VALUE, "made up")
CAUSES: dict[Input, tuple[Message | None, ...]] = {
    Input.SCCRQ: (sccrq(), sccrq(protocol_version=ProtocolVersion(2, 0)), sccrq(challenge=b"challenge")),
    Input.SCCRP: (sccrp(), sccrp(protocol_version=ProtocolVersion(0, 9)), sccrp(challenge_response=bytes(16))),
    Input.SCCCN: (scccn(), scccn(challenge_response=bytes(16))),
    Input.STOPCCN: (stopccn(), stopccn(2, 8, "why"), stopccn(tunnel_id=99)),
    Input.HELLO: (hello(),),
    Input.CALL: (icrq(), attrs.evolve(icrq(), fault=FAULT)),
    Input.UNKNOWN: (Message(255, {}),),
    Input.BAD: tuple(
        attrs.evolve(said, fault=FAULT) for said in (sccrq(), sccrp(), scccn(), stopccn(), hello(), Message(0, {}))
    ),
}


def feed(say: Dialogue, told: Input, cause: Message | None) -> None:
    """Give the core an input the way that it gets it in life, where that takes more than the table."""
    core = say.core
    if told is Input.CLOSE:
        core.close(say.now, text="enough")
    elif told is Input.PLANE_FAILED:
        core.plane_failed(0, "no", say.now)
    else:
        table.feed(core, told, cause, say.now)
    say.settle()


def test_every_state_and_input_has_a_row() -> None:
    """The table is the product of both, no more and no less."""
    assert set(PAIRS) == set(TABLE)


def test_every_message_type_has_an_input() -> None:
    """A message of RFC 2661 is never unknown; those of RFC 5515 may be ignored."""
    assert {kind for kind in MESSAGES if kind not in {MessageType.CSUN, MessageType.CSURQ}} == set(BY_MESSAGE)


@pytest.mark.parametrize(("state", "told"), PAIRS, ids=lambda member: member.name)
def test_every_row_does_as_it_says(state: State, told: Input) -> None:
    """Whatever the message, the row leads where it may, the books agree, and the tunnel still ends as it should."""
    for road in ROADS[state]:
        for cause in CAUSES.get(told, (None,)):
            say = road()
            say.state_is(state)
            feed(say, told, cause)
            assert say.core.state in TABLE[state, told].following
            consistent(say)
            say.close()
            say.at(say.now + 400.0)
            say.skip()
            say.state_is(State.CLOSED)
            assert say.core.next_timer() is None
            consistent(say)
            bookkeeping(say, failed=(0,) if told is Input.PLANE_FAILED else ())


@pytest.mark.parametrize(
    "told", [Input.SCCRQ, Input.SCCRP, Input.SCCCN, Input.STOPCCN, Input.HELLO, Input.CALL, Input.UNKNOWN, Input.BAD]
)
def test_every_message_leads_somewhere_allowed_when_it_comes_by_the_wire(told: Input) -> None:
    """The same by whole datagrams: what the core does with a message is what its row says."""
    bodies: dict[Input, list[Message | bytes]] = {
        Input.UNKNOWN: [bytes.fromhex("0008 0000 0000 00ff")],
        Input.BAD: [
            bytes.fromhex("8008 0000 0000 00ff"),
            bytes.fromhex("8008 0000 0000 0003 8008 0000 1fff 0000"),
            b"\0",
        ],
    }
    for state, roads in ROADS.items():
        for road in roads:
            for said in bodies.get(told) or [
                cause for cause in CAUSES[told] if cause is not None and cause.fault is None
            ]:
                say = road()
                before = say.core.state
                assert before is state
                say.peer >> said
                assert say.core.state in TABLE[state, told].following
                consistent(say)
                say.skip()


def test_a_row_that_leads_astray_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that returns a state which its row does not list is reported as a bug of ours, and the tunnel does not move."""
    say = up()
    wrong = Row(lambda core, cause, now: State.IDLE, frozenset({State.ESTABLISHED}))
    monkeypatch.setitem(TABLE, (State.ESTABLISHED, Input.HELLO), wrong)
    with pytest.raises(LocalProtocolError, match=r"HELLO in established led to idle"):
        table.feed(say.core, Input.HELLO, hello(), 0.0)
    say.state_is(State.ESTABLISHED)


def test_no_row_leads_back_to_idle() -> None:
    """`idle` is before the beginning: a tunnel that is over goes through `closing` or `lingering` to `closed`."""
    assert {State.IDLE} == {state for (state, _), row in TABLE.items() if State.IDLE in row.following}


@pytest.mark.parametrize("state", [State.CLOSING, State.LINGERING, State.CLOSED], ids=lambda member: member.name)
def test_nothing_brings_a_tunnel_back(state: State) -> None:
    """From a state in which the tunnel is over, no input leads to one in which it is not."""
    order = [State.CLOSING, State.LINGERING, State.CLOSED]
    later = set(order[order.index(state) :])
    assert all(row.following <= later for (where, _), row in TABLE.items() if where is state)
