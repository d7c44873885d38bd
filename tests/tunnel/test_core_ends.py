"""Dialogues about the ends of a control connection: callers that may not be there, peers that leave, tunnels that are dropped."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from books import bookkeeping, consistent
from dialogue import (
    OURS,
    PEER,
    ZLB,
    Dialogue,
    called,
    configured,
    dialled,
    hello,
    icrq,
    reported,
    sccrp,
    sccrq,
    stage,
    stopccn,
    unknown,
    up,
    up_called,
)
from l2tpd.config.model import SessionSettings, TunnelSettings
from l2tpd.errors import LocalProtocolError
from l2tpd.events import SessionEvent, What
from l2tpd.kernel.ops import DeleteTunnel
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.actions import PACE
from l2tpd.tunnel.core import LARGEST_EARLY
from l2tpd.tunnel.dialect import STATIC
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import RESULT_CODE, RawAvp
from l2tpd.wire.header import build_control, parse_control
from l2tpd.wire.messages import message
from l2tpd.wire.numbers import ErrorCode, MessageType, StopResult
from l2tpd.wire.values import ResultCode


def ignorable(size: int) -> bytes:
    """Return an AVP of this many octets that nobody knows and nobody minds."""
    return RawAvp(mandatory=False, hidden=False, vendor=0, number=999, value=bytes(size - 6)).pack()


# --- a peer that may not be there ---------------------------------------------------------------------------------------------


def test_a_caller_that_never_answers_hears_three_sccrps() -> None:
    """SCCRP goes out at 0, 1 and 3 s; at 7 s the tunnel is gone, for the caller's address may be forged."""
    say = stage(origin="network")
    say.peer.deaf = True
    say.peer >> sccrq()
    for when in (0.0, 1.0, 3.0):
        say.at(when)
        say.us << MessageType.SCCRP
    say.at(6.9)
    say.state_is(State.WAIT_CTL_CONN)
    say.at(7.0)
    say.state_is(State.CLOSED)
    assert ["tunnel created", "tunnel deleted 1"] == say.told()
    assert say.core.next_timer() is None
    consistent(say)


def test_a_caller_that_is_refused_hears_three_stopccns() -> None:
    """The same holds for a refusal."""
    say = stage(origin="network")
    say.peer.deaf = True
    say.peer >> icrq()
    for when in (0.0, 1.0, 3.0):
        say.at(when)
        say.us << MessageType.STOPCCN
    say.at(7.0)
    say.state_is(State.CLOSED)
    assert say.core.next_timer() is None


def test_a_caller_that_answered_deserves_all_retries() -> None:
    """Once the tunnel is established its messages are repeated as configured: six HELLO in 31 s."""
    say = up_called()
    say.peer.deaf = True
    for after in (0, 1, 3, 7, 15, 23):
        say.at(60.0 + after)
        say.us << MessageType.HELLO
    say.at(91.0)
    say.state_is(State.CLOSED)


@pytest.mark.parametrize(("retries", "times"), [(1, (1.0,)), (5, (1.0, 3.0))])
def test_a_reload_grants_an_unproven_caller_nothing(retries: int, times: tuple[float, ...]) -> None:
    """Fewer retries than two are taken over at once, more only when the tunnel is established."""
    say = called()
    say.core.reconfigure(TunnelSettings(max_retries=retries), 0.0)
    say.peer.deaf = True
    for when in times:
        say.at(when)
        say.us << MessageType.SCCRP
    say.at(7.0)
    say.state_is(State.CLOSED)


@pytest.mark.parametrize("scene", [lambda: stage(origin="network"), called])
def test_nothing_early_is_kept_of_an_unproven_caller(scene: Callable[[], Dialogue]) -> None:
    """A message ahead of its turn is dropped and counted, whatever its size; its repetition comes in order."""
    say = scene()
    expected = say.core.channel.nr
    datagram = build_control(OURS, 0, expected + 1, say.peer.nr, say.peer.body(hello()))
    say.core.take_packet(*parse_control(datagram), PEER, 0.0)
    say.settle()
    say.silent()
    assert 1 == say.site.counters.ignored_messages
    assert (0, expected) == (say.core.channel._receiver.waiting, say.core.channel.nr)


def test_a_zlb_of_an_unproven_caller_counts_whatever_its_ns() -> None:
    """Its SCCCN is lost, its ZLB carries the Ns of what it would send next (5.8: that Ns is nothing): our SCCRP is acknowledged by it."""
    say = called()
    say.peer.ns = 2
    say.peer >> ZLB
    assert say.core.channel.idle
    assert 0 == say.site.counters.ignored_messages
    say.at(7.0)
    say.silent()
    say.state_is(State.WAIT_CTL_CONN)


@pytest.mark.parametrize(("size", "kept"), [(LARGEST_EARLY, 1), (LARGEST_EARLY + 1, 0)])
def test_a_large_message_is_not_kept_until_its_turn(size: int, kept: int) -> None:
    """Up to 4,096 octets wait for the messages before them; a larger one has to be repeated, and then is taken."""
    say = up()
    body = say.peer.body(hello())
    body += ignorable(1000) * 4
    body += ignorable(size - len(body))
    assert size == len(body)
    say.peer.ns += 1
    say.peer >> body
    assert kept == say.core.channel._receiver.waiting
    assert 1 - kept == say.site.counters.ignored_messages
    say.skip()
    say.peer.ns -= 2
    say.peer >> hello()
    say.us << ZLB
    assert 1 + kept == say.site.counters.received[MessageType.HELLO]
    if not kept:
        say.peer >> body
        say.us << ZLB


# --- the end ------------------------------------------------------------------------------------------------------------------


def test_a_peer_that_takes_its_time_does_not_keep_a_closing_tunnel() -> None:
    """Messages wait before the StopCCN and the peer takes one in a long while: 31 s after the end was decided the tunnel is gone."""
    say = up()
    say.peer.deaf = True
    for _ in range(8):
        say.open_session()
    say.close()
    say.state_is(State.CLOSING)
    for when in (6.0, 12.0, 18.0, 24.0, 30.0):
        say.at(when)
        say.peer.nr += 1
        say.peer >> ZLB
        assert MessageType.STOPCCN not in {heard.said.type for heard in say.skip() if heard.said}
    say.at(30.9)
    say.skip()
    say.state_is(State.CLOSING)
    assert 31.0 == say.core._deadlines.next()
    consistent(say)
    say.at(31.0)
    say.silent()
    say.state_is(State.CLOSED)
    assert say.core.next_timer() is None
    bookkeeping(say)


def test_a_stopccn_without_a_result_is_obeyed() -> None:
    """It names its tunnel and lacks the Result Code: the peer is gone all the same, and nothing answers it but the acknowledgement."""
    say = up()
    say.peer >> bytes.fromhex("8008 0000 0000 0004 8008 0000 0009 0009")
    say.us << ZLB
    say.state_is(State.LINGERING)
    assert ["tunnel down 0", "tunnel deleted 0"] == say.told()
    assert (1, {MessageType.STOPCCN: 1}) == (say.site.counters.unacceptable, say.site.counters.bad)


def test_a_stopccn_with_an_unknown_mandatory_avp_is_obeyed() -> None:
    """Whatever else it wants of us, it wants to end; its code is the reason that is told."""
    said = stopccn(6, 0, "bye")
    for say in (dialled(), called(), up()):
        say.peer >> attrs.evolve(said, extra=(unknown(mandatory=True),))
        say.us << ZLB
        say.state_is(State.LINGERING)
        assert say.core.ending is not None
        assert (6, "bye", "peer") == (say.core.ending.result, say.core.ending.message, say.core.ending.by)


def test_a_stopccn_that_names_no_tunnel_is_ignored_where_the_peer_has_an_id() -> None:
    """Without Assigned Tunnel ID it may be anybody's; before the peer has given its id there is nothing to compare (4.4.3)."""
    nameless = bytes.fromhex("8008 0000 0000 0004 8008 0000 0001 0006")
    for say in (called(), up()):
        before = say.core.state
        say.peer >> nameless
        say.us << ZLB
        say.state_is(before)
        assert "another Assigned Tunnel ID" in say.remarks[-1].text
    dialling = dialled()
    dialling.peer >> nameless
    dialling.us << ZLB
    dialling.state_is(State.LINGERING)
    assert ["tunnel created", "tunnel deleted 6"] == dialling.told()


def test_closing_for_an_error_says_which() -> None:
    """`close` takes the error code of RFC 2661 4.4.2, and events tell it."""
    say = up()
    say.close(result=StopResult.ERROR, text="full", error=ErrorCode.NO_RESOURCES)
    say.us << message(MessageType.STOPCCN, {RESULT_CODE: ResultCode(2, 4, "full")})
    assert [(2, 4, "full")] * 2 == [(event.result, event.error, event.message) for event in say.events]


@pytest.mark.parametrize("scene", [stage, dialled, called, up, up_called])
def test_giving_up_is_silent(scene: Callable[[], Dialogue]) -> None:
    """The tunnel and its calls are gone at once, without a word and without a deadline."""
    say = scene()
    call = say.open_session()
    say.skip()
    say.do(say.core.give_up)
    say.silent()
    say.state_is(State.CLOSED)
    say.state_is(CallState.IDLE, call)
    assert say.core.next_timer() is None
    assert "tunnel deleted 1" == say.told()[-1]
    consistent(say)
    bookkeeping(say)


def test_giving_up_what_is_over_forgets_the_rest() -> None:
    """While closing or lingering too."""
    closing, lingering = up(), up()
    closing.peer.deaf = True
    closing.close()
    closing.us << MessageType.STOPCCN
    lingering.peer >> stopccn()
    lingering.us << ZLB
    for say in (closing, lingering):
        say.do(say.core.give_up)
        say.state_is(State.CLOSED)
        assert say.core.next_timer() is None
        assert 2 == len(say.told())


def test_events_tell_whether_it_had_been_up() -> None:
    """A tunnel that came up says so until its end, one that did not says so too."""
    lived, failed = stage(), dialled()
    lived.open()
    lived.us << MessageType.SCCRQ
    lived.peer >> sccrp()
    lived.us << MessageType.SCCCN
    for say in (lived, failed):
        say.peer >> stopccn()
        say.us << ZLB
    assert [False, True, True, True] == [event.up for event in lived.events]
    assert [False, False] == [event.up for event in failed.events]


# --- a tunnel with very many calls --------------------------------------------------------------------------------------------


def crowded(count: int = 2 * PACE + 1) -> Dialogue:
    """Return a dialogue in a tunnel with so many established calls, and one more that waits for the peer's ICRP."""
    say = up(max_sessions=0, receive_window=8)
    for number in range(1, count + 1):
        reported(say, number)
    say.open_session()
    say.us << MessageType.ICRQ
    say.peer >> ZLB
    say.told()
    say.plane()
    return say


def by_the_peer(say: Dialogue) -> None:
    say.peer >> stopccn()
    say.us << ZLB


def by_us(say: Dialogue) -> None:
    say.close(result=StopResult.GENERAL)
    say.us << MessageType.STOPCCN


def by_silence(say: Dialogue) -> None:
    say.do(say.core.give_up)


ENDS: list[Callable[[Dialogue], None]] = [by_the_peer, by_us, by_silence]


@pytest.mark.parametrize("end", ENDS)
def test_many_calls_end_a_few_at_a_time(end: Callable[[Dialogue], None]) -> None:
    """The peer hears of the end at once; the calls go in turns between which others have theirs, and the tunnel is told of last."""
    say = crowded()
    end(say)
    assert ["session down", "session deleted"] * PACE == say.told()
    assert [] == say.plane()
    for left in (PACE + 2, 2):
        assert left == len(say.core.calls) == say.site.ending
        assert (due := say.core.next_timer()) is not None
        assert due <= say.now
        say.at(say.now)
    assert not say.core.calls
    assert 0 == say.site.ending
    assert ["session down", "session deleted", "session deleted"] == say.told()[-5:-2]
    assert ["down", "deleted"] == [event.what.value for event in say.history[-2:]]
    assert [DeleteTunnel(tunnel_id=OURS)] == say.plane()
    say.silent()
    consistent(say)
    bookkeeping(say)


@pytest.mark.parametrize("end", ENDS)
def test_a_call_whose_turn_to_end_has_not_come_says_nothing_more(end: Callable[[Dialogue], None]) -> None:
    """Whatever happens to one meanwhile, it ends with its tunnel and for its reason: no CDN follows a StopCCN."""
    say = crowded()
    end(say)
    left = list(say.core.calls)
    asking = left[-1]
    say.do(say.core.plane_up, asking, "ppp0")
    say.do(say.core.plane_failed, left[-2], "no memory")
    say.do(say.core.close_session, left[-3], text="LCP has ended")
    say.do(say.core.set_circuit, left[-4], active=False)
    assert set(left[-4:]).isdisjoint(say.core.calls)
    say.silent()
    ends = [event for event in say.history if isinstance(event, SessionEvent) and event.what is What.DELETED]
    assert 1 == len({(event.result, event.message, event.by) for event in ends})
    with pytest.raises(LocalProtocolError):
        say.open_session()
    say.at(say.now)
    consistent(say)
    bookkeeping(say)


def test_a_call_that_is_due_ends_with_its_tunnel() -> None:
    """Its own time being over changes nothing any more."""
    say = crowded()
    by_us(say)
    say.peer >> ZLB
    (late,) = (call for call in say.core.calls.values() if call.state is CallState.WAIT_REPLY)
    say.core._deadlines.set(late.local_id, say.now)
    say.at(say.now)
    assert late.ending is not None
    assert late.ending.message.startswith("the tunnel ended")
    say.at(40.0)
    say.silent()
    consistent(say)


def test_calls_without_negotiation_end_together() -> None:
    """Who configures pseudowires may want their numbers for others in the same breath."""
    say = configured(STATIC)
    say.open()
    for number in range(1, 2 * PACE):
        say.open_session(SessionSettings(session_id=number, peer_session_id=number))
    say.close()
    assert not say.core.calls
    assert say.core.leaving is None
    consistent(say)
