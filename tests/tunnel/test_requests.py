"""Whom messages about calls reach, and which calls that a peer asks for are taken; ties are in `conformance/rfc3931/test_section_5_4_4.py`."""

from __future__ import annotations

import pytest

from dialogue import THEIRS, ZLB, cdn, iccn, icrp, icrq, incoming, ocrp, octets, unknown, up, up_called
from dialogue3 import cdn3, icrp3, icrq3, incoming3, up3, up_called3
from l2tpd.config.model import SessionSettings
from l2tpd.errors import LocalProtocolError, RemoteProtocolError
from l2tpd.ids import Allocator
from l2tpd.session.call import Kind
from l2tpd.session.call import State as CallState
from l2tpd.wire.avp import ASSIGNED_SESSION_ID, LOCAL_SESSION_ID, REMOTE_SESSION_ID, RESULT_CODE
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import CallResult, ErrorCode, MessageType


def test_a_message_reaches_the_call_that_it_names() -> None:
    """By the header in version 2, by the Remote Session ID in version 3, and no other call."""
    say = up_called()
    first, second = incoming(say, 1), incoming(say, 2)
    say.peer.say(cdn(1), session_id=first.local_id)
    say.us << ZLB
    assert [second] == list(say.core.calls.values())
    new = up_called3()
    first, second = incoming3(new, 1), incoming3(new, 2)
    new.peer >> cdn3(first.local_id, 2)  # what it calls itself does not matter, once we are named
    new.us << ZLB
    assert [second] == list(new.core.calls.values())


@pytest.mark.parametrize("said", [icrp(), ocrp(), iccn(unknown(mandatory=True), assigned_session_id=500)])
def test_an_answer_to_nobody_is_refused(said: Message) -> None:
    """RFC 2661 7.4.2, 7.5.1: idle; the CDN goes to the id that its sender told."""
    say = up()
    say.peer.say(said)
    refused = say.us << MessageType.CDN
    assert refused.said is not None
    assert (THEIRS, 500) == refused[:2]
    assert (2, ErrorCode.BAD_SESSION_ID) == (refused.said[RESULT_CODE].result, refused.said[RESULT_CODE].error)
    assert refused.said[ASSIGNED_SESSION_ID] != 0


@pytest.mark.parametrize("kind", [MessageType.CDN, MessageType.WEN, MessageType.SLI, MessageType.ICCN])
def test_what_else_is_for_nobody_is_counted(kind: MessageType) -> None:
    """There is nobody to be told."""
    say = up()
    body = {MessageType.ICCN: say.peer.body(iccn()), MessageType.CDN: say.peer.body(cdn())}
    say.peer.say(body.get(kind) or b"\x80\x08\0\0\0\0\0" + bytes((kind,)), session_id=4711)
    say.us << ZLB
    assert 1 == say.site.counters.no_session


def test_a_request_with_a_fault_is_refused_with_it() -> None:
    """Before anybody is asked whether the call is wanted."""
    say = up_called()
    say.peer >> icrq(500, unknown(mandatory=True))
    refused = say.us << MessageType.CDN
    assert refused.said is not None
    assert (2, ErrorCode.UNKNOWN_MANDATORY_AVP) == (
        refused.said[RESULT_CODE].result,
        refused.said[RESULT_CODE].error,
    )
    assert 0 == say.policy.live


def test_a_refusal_of_the_policy_is_passed_on() -> None:
    """With its codes and text, and counted; nothing is kept."""
    for say, said in ((up_called(), icrq()), (up_called3(), icrq3(500))):
        say.policy.refusal = RemoteProtocolError(CallResult.BUSY, ErrorCode.NONE, "not today")
        say.peer >> said
        refused = say.us << MessageType.CDN
        assert refused.said is not None
        assert (CallResult.BUSY, "not today") == (
            refused.said[RESULT_CODE].result,
            refused.said[RESULT_CODE].message,
        )
        assert (0, 1) == (len(say.core.calls), say.site.counters.sessions_refused)


def test_the_limit_holds_for_both_sides() -> None:
    """The peer's request is refused for lack of resources, ours is not even made."""
    for say, said in ((up_called(max_sessions=1), icrq()), (up_called3(max_sessions=1), icrq3(500))):
        say.open_session()
        say.us << MessageType.ICRQ
        say.peer >> said
        refused = say.us << MessageType.CDN
        assert refused.said is not None
        assert (CallResult.NO_FACILITIES_TEMPORARY, ErrorCode.NO_RESOURCES) == (
            refused.said[RESULT_CODE].result,
            refused.said[RESULT_CODE].error,
        )
        with pytest.raises(LocalProtocolError, match="1 sessions are the limit"):
            say.core.open_session(SessionSettings(), say.now)


def test_a_call_of_ours_that_loses_makes_room_for_the_one_that_wins() -> None:
    """They are one circuit, and the limit is for circuits."""
    say = up3(max_sessions=1)
    ours = say.open_session(SessionSettings(remote_end_id="circuit"))
    say.us << MessageType.ICRQ
    say.peer >> icrq3(tie_breaker=0)
    say.us << MessageType.ICRP
    say.state_is(CallState.IDLE, ours)
    assert 1 == len(say.core.calls)


def test_what_we_have_asked_for_is_known_until_it_is_answered() -> None:
    """By its Remote End ID, so that a request of the peer is compared with one call, not with all; what the answer says of it changes nothing."""
    answers = (cdn3, ZLB), (lambda ours: icrp3(ours, remote_end_id="other"), MessageType.ICCN)
    for reply, then in answers:
        say = up3()
        ours = say.open_session(SessionSettings(remote_end_id="circuit"))
        say.us << MessageType.ICRQ
        assert {(Kind.LAC_INCOMING, "circuit"): ours} == say.core.asked
        say.peer >> reply(ours.local_id)
        say.us << then
        assert {} == say.core.asked


def test_a_refusal_names_no_call_of_ours() -> None:
    """Its Local Session ID is drawn, since it must not be 0 (RFC 3931 5.4.4), and nothing is kept under it."""
    say = up_called3()
    call = incoming3(say)
    say.peer >> icrq3(call.peer_id)
    refused = say.us << MessageType.CDN
    assert refused.said is not None
    assert call.peer_id == refused.said[REMOTE_SESSION_ID]
    assert refused.said[LOCAL_SESSION_ID] not in {0, call.local_id}
    assert [call] == list(say.core.calls.values())


def test_a_request_in_the_name_of_a_call_ends_that_call() -> None:
    """RFC 2661 7.4.2: "wait-connect, Receive ICRQ: Send CDN, clean up"."""
    say = up_called()
    call = incoming(say)
    say.peer.say(icrq(501), session_id=call.local_id)
    say.us << message(MessageType.CDN, {ASSIGNED_SESSION_ID: call.local_id})
    assert {} == say.core.calls


def test_without_a_free_id_a_request_is_refused() -> None:
    """For now: the calls that there are go on."""
    say = up_called3()
    call = incoming3(say)
    say.core._ids = Allocator(1, octets("ids"), 31.0)  # which has but one id to give
    say.peer >> icrq3(77)
    refused = say.us << MessageType.CDN
    assert refused.said is not None
    assert (CallResult.NO_FACILITIES_TEMPORARY, ErrorCode.NO_RESOURCES) == (
        refused.said[RESULT_CODE].result,
        refused.said[RESULT_CODE].error,
    )
    say.state_is(CallState.ESTABLISHED, call)
