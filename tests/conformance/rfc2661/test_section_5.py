"""RFC 2661 section 5, but for 5.8: protocol operation. Each test quotes the requirement that it checks."""

from __future__ import annotations

import hashlib

import pytest

from dialogue import (
    OURS,
    SECRET,
    THEIRS,
    ZLB,
    a_site,
    called,
    cdn,
    dialled,
    hello,
    icrp,
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
from l2tpd.config.model import Role, SessionSettings
from l2tpd.kernel.ops import DeleteTunnel
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import ASSIGNED_SESSION_ID, ASSIGNED_TUNNEL_ID, CHALLENGE, CHALLENGE_RESPONSE, RESULT_CODE
from l2tpd.wire.messages import message
from l2tpd.wire.numbers import MessageType, StopResult


def test_5_the_control_connection_must_be_established_before_a_call_is_initiated() -> None:
    """No ICRQ leaves before SCCCN has, and one that arrives too early is refused."""
    say = dialled()
    say.open_session()
    say.peer >> ZLB
    say.silent()
    early = called()
    early.peer >> icrq()
    early.us << MessageType.STOPCCN


def test_5_1_three_messages_and_a_zlb() -> None:
    """SCCRQ, SCCRP, SCCCN, ZLB ACK: "The ZLB ACK is sent if there are no further messages waiting in queue for that peer"."""
    say = called()
    say.peer >> scccn()
    say.us << ZLB
    waiting = called()
    waiting.open_session()
    waiting.peer >> scccn()
    carrier = waiting.us << MessageType.ICRQ
    assert 2 == carrier.nr
    waiting.silent()


def test_5_1_1_a_challenge_in_sccrq_must_be_answered_in_sccrp() -> None:
    """The response is MD5 over the message type 2, the secret and the challenge (4.4.3)."""
    say = stage(origin="network", secret=SECRET)
    say.peer >> sccrq(challenge=b"who are you")
    wanted = hashlib.md5(b"\2" + SECRET.encode() + b"who are you").digest()
    say.us << message(MessageType.SCCRP, {CHALLENGE_RESPONSE: wanted})


def test_5_1_1_a_challenge_in_sccrp_must_be_answered_in_scccn() -> None:
    """The same with message type 3."""
    say = dialled(secret=SECRET)
    ours = hashlib.md5(b"\2" + SECRET.encode() + say.core.challenge).digest()
    say.peer >> sccrp(challenge=b"who are you", challenge_response=ours)
    wanted = hashlib.md5(b"\3" + SECRET.encode() + b"who are you").digest()
    say.us << message(MessageType.SCCCN, {CHALLENGE_RESPONSE: wanted})


def test_5_1_1_without_a_match_establishment_must_be_disallowed() -> None:
    """If the expected response and response received from a peer does not match": nothing is established, on either side."""
    asked = dialled(secret=SECRET)
    asked.peer >> sccrp(challenge_response=bytes(16))
    asked.us << MessageType.STOPCCN
    answering = called(secret=SECRET)
    answering.peer >> scccn(challenge_response=bytes(16))
    answering.us << MessageType.STOPCCN
    for say in (asked, answering):
        assert "tunnel up" not in say.told()
        assert [] == say.plane()


def test_5_1_1_without_a_shared_secret_a_challenge_cannot_be_answered() -> None:
    """To participate in tunnel authentication, a single shared secret MUST exist": the peer that challenges is told so, "not authorized"."""
    answering = stage(origin="network")
    answering.peer >> sccrq(challenge=b"who are you")
    asking = dialled()
    asking.peer >> sccrp(challenge=b"who are you")
    for say in (answering, asking):
        stopped = (say.us << MessageType.STOPCCN).said
        assert stopped is not None
        assert StopResult.NOT_AUTHORIZED == stopped[RESULT_CODE].result


def test_5_1_1_a_challenge_is_never_the_same_twice() -> None:
    """A constant challenge could be answered by whoever has listened once."""
    seen = set()
    site = a_site()
    for number in range(1, 50):
        say = stage(local_id=number, site=site, secret=SECRET)
        say.open()
        asked = say.us << MessageType.SCCRQ
        assert asked.said is not None
        seen.add(asked.said[CHALLENGE])
    assert 49 == len(seen)


def test_5_2_1_incoming_call() -> None:
    """ICRQ, ICRP, ICCN, ZLB ACK."""
    say = up_called()
    call = incoming(say)
    say.state_is(CallState.ESTABLISHED, call)


def test_5_3_ids_that_are_not_assigned_yet_must_be_sent_as_0() -> None:
    """the Session ID field MUST be sent as 0" and "the Tunnel ID MUST be sent as 0"; afterwards the assigned ones are used."""
    say = stage()
    say.open()
    asked = say.us << message(MessageType.SCCRQ, {ASSIGNED_TUNNEL_ID: OURS})
    assert (0, 0) == asked[:2]
    say.peer >> sccrp()
    confirmed = say.us << MessageType.SCCCN
    assert (THEIRS, 0) == confirmed[:2]
    say.peer >> ZLB
    call = say.open_session()
    reported_ = say.us << message(MessageType.ICRQ, {ASSIGNED_SESSION_ID: call.local_id})
    assert (THEIRS, 0) == reported_[:2]
    say.peer.say(icrp(), session_id=call.local_id)
    connected = say.us << MessageType.ICCN
    assert (THEIRS, 500) == connected[:2]


def test_5_3_zero_must_not_be_assigned() -> None:
    """A peer that assigns tunnel 0 or session 0 breaks a MUST NOT, and is refused."""
    say = stage(origin="network")
    whole = say.peer.body(sccrq())
    assigned = bytes.fromhex("8008 0000 0009 0009")
    assert assigned in whole
    say.peer >> whole.replace(assigned, bytes.fromhex("8008 0000 0009 0000"))
    say.us << MessageType.STOPCCN
    tunnel = up_called()
    tunnel.peer >> bytes.fromhex("8008 0000 0000 000a 8008 0000 000e 0000 800a 0000 000f 00000001")
    tunnel.us << ZLB
    assert {} == tunnel.core.calls


def test_5_3_multiple_sessions_may_exist_within_a_tunnel() -> None:
    """In both directions and both roles at once; each has an id of its own."""
    say = up()
    first, second = incoming(say, 500), reported(say, 501)
    third = say.open_session(SessionSettings(role=Role.LNS, called_number="1"))
    say.us << MessageType.OCRQ
    assert 3 == len({first.local_id, second.local_id, third.local_id} - {0})


def test_5_5_hello_after_a_period_without_data_or_control() -> None:
    """injecting Hello control messages after a specified period of time has elapsed since the last data or control message was received"."""
    say = up(hello_timeout=10.0)
    say.at(5.0)
    say.peer >> ZLB
    say.at(9.0)
    say.core.channel.touch(9.0)
    say.at(18.9)
    say.silent()
    say.at(19.0)
    say.us << MessageType.HELLO


def test_5_5_if_the_hello_is_not_delivered_the_tunnel_is_down() -> None:
    """if the Hello message is not reliably delivered then the tunnel is declared down and is reset"."""
    say = up()
    say.peer.deaf = True
    say.at(91.0)
    say.skip()
    say.state_is(State.CLOSED)
    assert "tunnel down 1" in say.told()


@pytest.mark.parametrize("retries", [1, 3])
def test_5_8_after_several_retransmissions_the_tunnel_and_all_sessions_must_be_cleared(retries: int) -> None:
    """a recommended default is 5, but SHOULD be configurable": after so many copies, each later than the one before, nothing is left."""
    say = up(max_retries=retries)
    calls = [incoming(say, 500), reported(say, 501)]
    say.told()
    say.peer.deaf = True
    say.do(say.core.probe)
    say.at(100.0)
    assert [MessageType.HELLO] * (1 + retries) == [heard.said.type for heard in say.skip() if heard.said]
    say.state_is(State.CLOSED)
    for call in calls:
        say.state_is(CallState.IDLE, call)
    assert ["session down", "session deleted"] * 2 == [word for word in say.told() if "session" in word]
    assert isinstance(say.plane()[-1], DeleteTunnel)


def test_5_5_a_peer_may_never_send_hello() -> None:
    """6.5: "A peer MUST NOT expect HELLO messages at any time or interval": it need only answer ours."""
    say = up()
    for minute in range(1, 11):
        say.at(60.0 * minute)
        say.us << MessageType.HELLO
        say.peer >> ZLB
    say.state_is(State.ESTABLISHED)


def test_5_6_cdn_clears_a_session_and_the_connection_may_stay() -> None:
    """CDN, ZLB ACK, clean up, from either side."""
    say = up()
    ours, theirs = reported(say, 500), incoming(say, 501)
    say.do(say.core.close_session, ours.local_id)
    say.us << MessageType.CDN
    say.peer.say(cdn(501), session_id=theirs.local_id)
    say.us << ZLB
    assert {} == say.core.calls
    say.state_is(State.ESTABLISHED)


@pytest.mark.parametrize("copies", [1, 5])
def test_5_7_the_receiver_must_acknowledge_and_keep_state_for_31_seconds(copies: int) -> None:
    """MUST send a ZLB ACK and maintain enough control connection state to properly accept StopCCN retransmissions over a full cycle"."""
    say = up()
    copy = say.peer >> stopccn()
    say.us << ZLB
    for number in range(1, copies + 1):
        say.at(30.0 * number / copies)
        say.peer.again(copy)
        say.us << ZLB
    say.at(31.0)
    say.state_is(State.CLOSED)


def test_5_7_a_single_stopccn_shuts_down_all_sessions() -> None:
    """it is not necessary to clear each session individually": we do not, and we do not expect it."""
    say = up()
    reported(say, 500)
    reported(say, 501)
    say.close()
    say.us << MessageType.STOPCCN
    say.silent()


def test_5_5_hello_is_acknowledged() -> None:
    """6.5: "the receiver will return either a ZLB ACK or an (unrelated) message piggybacking the necessary acknowledgement"."""
    say = up()
    say.peer >> hello()
    answered = say.us << ZLB
    assert 2 == answered.nr
