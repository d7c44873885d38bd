"""The four call tables: every state and input has an answer, and every answer is tried in a real tunnel."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import attrs
import pytest

from books import bookkeeping, consistent
from dialogue import (
    ZLB,
    Dialogue,
    cdn,
    configured,
    iccn,
    icrp,
    icrq,
    occn,
    ocrp,
    ocrq,
    stage,
    up,
    up_called,
)
from l2tpd.config.model import Pseudowire, Role, SessionSettings
from l2tpd.errors import LocalProtocolError
from l2tpd.session.call import Call, Ending, Kind, State
from l2tpd.session.inputs import BY_MESSAGE, Input
from l2tpd.session.table import TABLES, Row, feed
from l2tpd.tunnel.dialect import QUIESCENT
from l2tpd.tunnel.inputs import Input as TunnelInput
from l2tpd.tunnel.states import State as TunnelState
from l2tpd.tunnel.table import feed as feed_tunnel
from l2tpd.wire.avp import ACCM, CALL_ERRORS
from l2tpd.wire.messages import MESSAGES, Fault, Message, message
from l2tpd.wire.numbers import ErrorCode, MessageType
from l2tpd.wire.values import AccmValue, CallErrors

FIXED = SessionSettings(pseudowire=Pseudowire.ETH, session_id=7, peer_session_id=8)
OUTGOING = SessionSettings(role=Role.LNS, called_number="555")
CELLS = list(itertools.product(Kind, State, Input))

Scene = tuple[Dialogue, Call]


def newest(say: Dialogue) -> Call:
    return list(say.core.calls.values())[-1]


def unopened(kind: Kind) -> Scene:
    """A call before its first input, as nothing but the tunnel itself ever sees it."""
    say = up(late=True)
    return say, say.core.new_call(kind, FIXED, 0.0)


def waiting(settings: SessionSettings) -> Scene:
    say = stage()
    return say, say.open_session(settings)


def asked(settings: SessionSettings) -> Scene:
    say = up(late=True)
    call = say.open_session(settings)
    say.skip()
    return say, call


def answered(settings: SessionSettings) -> Scene:
    say, call = asked(settings)
    say.peer.say(icrp() if settings.role is Role.LAC else ocrp(), session_id=call.local_id)
    say.skip()
    return say, call


def requested(said: Message) -> Scene:
    say = up_called(late=True)
    say.peer >> said
    say.skip()
    return say, newest(say)


def carried(scene: Scene) -> Scene:
    say, call = scene
    say.plane_up(call)
    say.skip()
    return scene


def told(scene: Scene, said: Message) -> Scene:
    say, call = scene
    say.peer.say(said, session_id=call.local_id)
    say.skip()
    return scene


def fixed(*, heard: bool) -> Scene:
    """A call of a tunnel without negotiation, whose peer has shown itself or has not."""
    say = configured(QUIESCENT, late=True)
    say.open()
    call = say.open_session(FIXED)
    if heard:
        say.peer.hear(say.us << MessageType.HELLO)
        say.peer >> ZLB
    say.skip()
    return say, call


LAC = SessionSettings()
ROADS: dict[tuple[Kind, State], tuple[Callable[[], Scene], ...]] = {
    (Kind.LAC_INCOMING, State.WAIT_TUNNEL): (lambda: waiting(LAC),),
    (Kind.LAC_INCOMING, State.WAIT_REPLY): (lambda: asked(LAC),),
    (Kind.LAC_INCOMING, State.WAIT_PLANE): (lambda: answered(LAC),),
    (Kind.LAC_INCOMING, State.ESTABLISHED): (lambda: carried(answered(LAC)),),
    (Kind.LNS_INCOMING, State.WAIT_PLANE): (lambda: requested(icrq()),),
    (Kind.LNS_INCOMING, State.WAIT_CONNECT): (lambda: carried(requested(icrq())),),
    (Kind.LNS_INCOMING, State.ESTABLISHED): (lambda: told(carried(requested(icrq())), iccn()),),
    (Kind.LAC_OUTGOING, State.WAIT_CS_ANSWER): (lambda: requested(ocrq()),),
    (Kind.LAC_OUTGOING, State.ESTABLISHED): (lambda: carried(requested(ocrq())),),
    (Kind.LNS_OUTGOING, State.WAIT_TUNNEL): (lambda: waiting(OUTGOING),),
    (Kind.LNS_OUTGOING, State.WAIT_REPLY): (lambda: asked(OUTGOING),),
    (Kind.LNS_OUTGOING, State.WAIT_CONNECT): (lambda: answered(OUTGOING), lambda: carried(answered(OUTGOING))),
    (Kind.LNS_OUTGOING, State.WAIT_PLANE): (lambda: told(answered(OUTGOING), occn()),),
    (Kind.STATIC, State.WAIT_TUNNEL): (lambda: fixed(heard=False),),
    (Kind.STATIC, State.WAIT_PLANE): (lambda: fixed(heard=True),),
    (Kind.STATIC, State.ESTABLISHED): (lambda: carried(fixed(heard=True)),),
    (Kind.LNS_OUTGOING, State.ESTABLISHED): (
        lambda: carried(told(answered(OUTGOING), occn())),
        lambda: told(carried(answered(OUTGOING)), occn()),
    ),
}

FAULT = Fault(ErrorCode.BAD_VALUE, "made up")
WEN = message(MessageType.WEN, {CALL_ERRORS: CallErrors(1, 2, 3, 4, 5, 6)})
SLI = message(MessageType.SLI, {ACCM: AccmValue()})
SAID: dict[Input, Message] = {
    Input.ICRQ: icrq(),
    Input.ICRP: icrp(),
    Input.ICCN: iccn(),
    Input.OCRQ: ocrq(),
    Input.OCRP: ocrp(),
    Input.OCCN: occn(),
    Input.CDN: cdn(),
    Input.WEN: WEN,
    Input.SLI: SLI,
}
CAUSES: dict[Input, tuple[Message | None, ...]] = {
    **{key: (said,) for key, said in SAID.items()},
    Input.BAD: (
        *(attrs.evolve(said, fault=FAULT) for said in SAID.values()),
        Message(MessageType.CDN, {}, fault=FAULT),
    ),
}
FORCED = [cell for cell in CELLS if cell[:2] not in ROADS]


def give(say: Dialogue, call: Call, told_: Input, cause: Message | None) -> None:
    """Give a call an input the way that it gets it in life, where that takes more than the table."""
    core = say.core
    match told_:
        case Input.CLOSE:
            core.close_session(call.local_id, say.now, "enough")
        case Input.PLANE_FAILED:
            core.plane_failed(call.local_id, "no", say.now)
        case Input.PLANE_UP:
            core.plane_up(call.local_id, "ppp7", say.now)
        case Input.TUNNEL_OPEN if (call.kind, core.state) == (Kind.STATIC, TunnelState.WAIT_CTL_REPLY):
            feed_tunnel(core, TunnelInput.DELIVERED, None, say.now)  # else the data plane would hear of the call first
        case Input.TUNNEL_GONE:
            call.ending = Ending(None, None, "the tunnel ended", "us")
            core.feed_call(call, told_, None, say.now)
        case _:
            core.feed_call(call, told_, cause, say.now)
    say.settle()


def test_every_kind_state_and_input_has_a_row() -> None:
    """Each table is the product of states and inputs, no more and no less."""
    for kind in Kind:
        assert set(itertools.product(State, Input)) == set(TABLES[kind])


def test_every_session_message_has_an_input() -> None:
    """All messages about a session are inputs of the call tables."""
    assert {kind for kind, row in MESSAGES.items() if row.session_scoped} == set(BY_MESSAGE)


def test_the_roads_lead_to_every_state_that_a_kind_has() -> None:
    """What no road reaches, no row leads to: the other states of a kind are impossible."""
    for kind in Kind:
        reachable: set[State] = set()
        found = {State.IDLE}
        while found - reachable:
            reachable |= found
            found = {state for (where, _), row in TABLES[kind].items() if where in reachable for state in row.following}
        assert reachable - {State.IDLE} == {state for which, state in ROADS if which is kind}


@pytest.mark.parametrize(("kind", "state"), ROADS, ids=str)
@pytest.mark.parametrize("told_", Input, ids=lambda member: member.name)
def test_every_row_does_as_it_says(kind: Kind, state: State, told_: Input) -> None:
    """Whatever the message, the row leads where it may, the books agree, and everything made is unmade."""
    for road in ROADS[kind, state]:
        for cause in CAUSES.get(told_, (None,)):
            say, call = road()
            assert (kind, state) == (call.kind, call.state)
            give(say, call, told_, cause)
            assert call.state in TABLES[kind][state, told_].following
            assert (call.state is State.IDLE) == (call.local_id not in say.core.calls)
            consistent(say)
            say.close()
            say.at(say.now + 400.0)
            say.skip()
            say.state_is(TunnelState.CLOSED)
            bookkeeping(say, failed=(call.local_id,) if told_ is Input.PLANE_FAILED else ())


@pytest.mark.parametrize(("kind", "state", "told_"), FORCED, ids=str)
def test_even_impossible_cells_are_safe(kind: Kind, state: State, told_: Input) -> None:
    """A state that a kind never has, and `idle`, in which a call is only before its first input, still answer without an exception."""
    for cause in CAUSES.get(told_, (None,)):
        say, call = unopened(kind)
        say.site.moved(call.state, state)
        call.state = state
        give(say, call, told_, cause)
        assert call.state in TABLES[kind][state, told_].following
        say.skip()


def test_a_row_that_leads_astray_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that returns a state which its row does not list is reported as a bug of ours, and the call does not move."""
    say, call = asked(LAC)
    wrong = Row(lambda call, cause, carrier, now: State.IDLE, frozenset({State.WAIT_REPLY}))
    monkeypatch.setitem(TABLES[Kind.LAC_INCOMING], (State.WAIT_REPLY, Input.WEN), wrong)
    with pytest.raises(LocalProtocolError, match=r"LAIC: WEN in wait-reply led to idle"):
        feed(call, Input.WEN, WEN, say.core, 0.0)
    say.state_is(State.WAIT_REPLY, call)
