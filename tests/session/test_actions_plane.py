"""Calls and the data plane: what waits for it, and what follows when it fails."""

from __future__ import annotations

from books import consistent
from dialogue import (
    OUTGOING,
    ZLB,
    cdn,
    icrq,
    incoming,
    occn,
    ocrp,
    reported,
    up,
    up_called,
)
from l2tpd.kernel.ops import CreateSession, DeleteSession
from l2tpd.session.call import State
from l2tpd.wire.avp import (
    RESULT_CODE,
)
from l2tpd.wire.numbers import CallResult, ErrorCode, MessageType


def test_the_peer_is_told_to_talk_only_when_the_data_plane_listens() -> None:
    """ICRP waits for the plane; the ICRQ is acknowledged 100 ms after it came if that takes longer."""
    say = up_called(late=True)
    say.peer >> icrq()
    say.silent()
    (call,) = say.core.calls.values()
    say.state_is(State.WAIT_PLANE, call)
    say.at(0.09)
    say.silent()
    say.at(0.1)
    say.us << ZLB
    say.at(0.5)
    say.plane_up(call, "ppp3")
    say.us << MessageType.ICRP
    assert "ppp3" == call.interface


def test_a_plane_that_is_quick_enough_lets_the_reply_carry_the_acknowledgement() -> None:
    """Within 100 ms no ZLB is spent."""
    say = up_called(late=True)
    say.peer >> icrq()
    (call,) = say.core.calls.values()
    say.at(0.05)
    say.plane_up(call)
    answered = say.us << MessageType.ICRP
    assert 3 == answered.nr
    say.peer >> ZLB
    say.at(1.0)


def test_a_duplicate_does_not_wait_for_the_plane() -> None:
    """A peer that repeats its ICRQ is acknowledged at once."""
    say = up_called(late=True)
    copy = say.peer >> icrq()
    say.at(0.05)
    say.peer.again(copy)
    say.us << ZLB


def test_occn_may_come_before_the_plane() -> None:
    """The peer's bearer answered faster than our plane: up when the plane is (7.5.2)."""
    say = up(late=True)
    call = say.open_session(OUTGOING)
    say.us << MessageType.OCRQ
    say.peer.say(ocrp(), session_id=call.local_id)
    say.peer.say(occn(), session_id=call.local_id)
    say.at(1.0)
    assert say.skip()
    say.state_is(State.WAIT_PLANE, call)
    say.plane_up(call)
    say.state_is(State.ESTABLISHED, call)
    assert ["session created", "session up"] == say.told()


def test_a_plane_that_refuses_a_session_ends_that_session() -> None:
    """CDN with result 4, error 4 and the plane's reason; the tunnel and its other call live on, and nothing is deleted that was not made."""
    say = up_called()
    other = incoming(say, 501)
    say.late = True
    say.plane()
    say.peer >> icrq()
    call = list(say.core.calls.values())[-1]
    say.plane_failed(call.local_id, "File exists " * 90)
    ended = say.us << MessageType.CDN
    assert 500 == ended.session_id
    assert ended.said is not None
    code = ended.said[RESULT_CODE]
    assert (CallResult.NO_FACILITIES_TEMPORARY, ErrorCode.NO_RESOURCES, 500) == (
        code.result,
        code.error,
        len(code.message),
    )
    assert [CreateSession] == [type(operation) for operation in say.plane()]
    say.state_is(State.ESTABLISHED, other)
    consistent(say)


def test_a_plane_that_loses_an_established_session_ends_it() -> None:
    """The same after it was up."""
    say = up()
    call = reported(say)
    say.told()
    say.plane_failed(call.local_id, "interface deleted")
    say.us << MessageType.CDN
    assert ["session down 4", "session deleted 4"] == say.told()


def test_a_plane_that_answers_after_the_end_changes_nothing() -> None:
    """The call went while its session was being made: the delete was asked for, and the late answer finds nobody."""
    say = up_called(late=True)
    say.peer >> icrq()
    (call,) = say.core.calls.values()
    say.peer.say(cdn(), session_id=0)
    say.us << ZLB
    assert [CreateSession, DeleteSession] == [type(operation) for operation in say.plane()]
    say.plane_up(call)
    say.plane_failed(call.local_id)
    say.silent()
    assert ["session created", "session deleted 3"] == say.told()
