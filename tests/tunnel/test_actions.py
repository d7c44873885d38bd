"""Dialogues about setting a tunnel up and ending it, with a peer that the test plays."""

from __future__ import annotations

import attrs
import pytest

from books import bookkeeping, consistent
from dialogue import (
    OURS,
    PEER,
    SECRET,
    THEIRS,
    ZLB,
    a_site,
    called,
    dialled,
    reported,
    scccn,
    sccrp,
    sccrq,
    stage,
    stopccn,
    up,
)
from l2tpd.config.model import SessionSettings, TunnelSettings
from l2tpd.errors import LocalProtocolError, RemoteProtocolError
from l2tpd.kernel.ops import CreateTunnel, DeleteTunnel
from l2tpd.session.call import State as CallState
from l2tpd.tunnel import table
from l2tpd.tunnel.inputs import Input
from l2tpd.tunnel.speech import V2
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import (
    ASSIGNED_TUNNEL_ID,
    BEARER_CAPABILITIES,
    CHALLENGE,
    FRAMING_CAPABILITIES,
    HOST_NAME,
    PROTOCOL_VERSION,
    RECEIVE_WINDOW_SIZE,
    RESULT_CODE,
    TIE_BREAKER,
    VENDOR_NAME,
)
from l2tpd.wire.messages import message
from l2tpd.wire.numbers import MessageType, StopResult
from l2tpd.wire.values import ProtocolVersion, ResultCode

# --- setting up ---------------------------------------------------------------------------------------------------------------


def test_we_dial() -> None:
    """SCCRQ to tunnel 0 with all that 6.1 asks for, SCCCN to the id that the peer assigned, then the tunnel is up (5.1)."""
    say = stage(host_name="here", receive_window=10, tie_breaker=True)
    say.open()
    asked = say.us << message(
        MessageType.SCCRQ,
        {
            PROTOCOL_VERSION: ProtocolVersion(1, 0),
            FRAMING_CAPABILITIES: 3,
            BEARER_CAPABILITIES: 3,
            HOST_NAME: "here",
            VENDOR_NAME: "l2tpd",
            ASSIGNED_TUNNEL_ID: OURS,
            RECEIVE_WINDOW_SIZE: 10,
        },
    )
    assert (0, 0, 0, 0) == asked[:4]
    assert asked.said is not None
    assert TIE_BREAKER in asked.said
    assert CHALLENGE not in asked.said
    say.state_is(State.WAIT_CTL_REPLY)
    say.peer >> sccrp(firmware_revision=5, vendor_name="Other")
    confirmed = say.us << MessageType.SCCCN
    assert (THEIRS, 0, 1, 1) == confirmed[:4]
    say.state_is(State.ESTABLISHED)
    assert ["tunnel created", "tunnel up"] == say.told()
    assert [CreateTunnel(tunnel_id=OURS, peer_tunnel_id=THEIRS)] == say.plane()
    assert say.core.facts is not None
    assert ("peer", "Other", 5, 3, 3, 64) == attrs.astuple(say.core.facts)[:6]
    say.peer >> ZLB
    say.silent()
    consistent(say)


def test_we_are_called() -> None:
    """SCCRP answers the SCCRQ, a ZLB the SCCCN, and then the tunnel is up (5.1)."""
    say = stage(origin="network")
    say.peer >> sccrq()
    answered = say.us << message(MessageType.SCCRP, {HOST_NAME: "us", ASSIGNED_TUNNEL_ID: OURS})
    assert (THEIRS, 0, 0, 1) == answered[:4]
    assert answered.said is not None
    assert TIE_BREAKER not in answered.said
    say.state_is(State.WAIT_CTL_CONN)
    assert ["tunnel created"] == say.told()
    assert [] == say.plane()  # nothing of the data plane before the peer has shown that it is there
    say.peer >> scccn()
    say.us << ZLB
    say.state_is(State.ESTABLISHED)
    assert ["tunnel up"] == say.told()
    assert [CreateTunnel(tunnel_id=OURS, peer_tunnel_id=THEIRS)] == say.plane()
    consistent(say)


def test_an_absent_receive_window_means_four() -> None:
    """Without Receive Window Size the peer's window is 4 (4.4.3), and it is shown so."""
    say = dialled()
    say.peer >> sccrp(receive_window_size=None)
    say.us << MessageType.SCCCN
    assert say.core.facts is not None
    assert 4 == say.core.facts.receive_window == say.core.channel.peer_window


def test_the_tie_breaker_is_left_out_unless_it_is_asked_for() -> None:
    """It would keep the two sides from having more than one tunnel (4.4.3)."""
    say = stage()
    say.open()
    asked = say.us << MessageType.SCCRQ
    assert asked.said is not None
    assert TIE_BREAKER not in asked.said


def test_a_repeated_sccrq_is_acknowledged_and_answered_by_the_same_sccrp() -> None:
    """A copy of the SCCRQ is a duplicate: it is acknowledged at once, and no second SCCRP with a new number is made (5.8)."""
    say = stage(origin="network")
    first = say.peer >> sccrq()
    answered = say.us << MessageType.SCCRP
    say.peer.again(first)
    acknowledged = say.us << ZLB
    assert 1 == acknowledged.nr
    say.at(1.0)
    repeated = say.us << MessageType.SCCRP
    assert answered == repeated
    assert ["tunnel created"] == say.told()


def test_a_lost_sccrp_is_repeated_until_the_scccn_comes() -> None:
    """The peer hears nothing for two seconds; the third SCCRP gets through and the tunnel comes up (5.8)."""
    say = stage(origin="network")
    say.peer.deaf = True
    first = say.peer >> sccrq()
    for when in (0.0, 1.0):
        say.at(when)
        say.us << MessageType.SCCRP
    say.peer.again(first)
    say.us << ZLB
    say.peer.deaf = False
    say.at(3.0)
    say.us << MessageType.SCCRP
    say.peer >> scccn()
    say.us << ZLB
    say.state_is(State.ESTABLISHED)


def test_an_sccrp_to_an_established_tunnel_is_no_duplicate_set_up() -> None:
    """A copy of the SCCRP is only acknowledged."""
    say = dialled()
    copy = say.peer >> sccrp()
    say.us << MessageType.SCCCN
    say.peer.again(copy)
    say.us << ZLB
    say.state_is(State.ESTABLISHED)


@pytest.mark.parametrize("version", [ProtocolVersion(0, 0), ProtocolVersion(2, 0), ProtocolVersion(3, 1)])
def test_another_protocol_version_is_refused(version: ProtocolVersion) -> None:
    """StopCCN with result 5 and the version that we speak as error code (4.4.2), in SCCRQ as in SCCRP (7.2.1)."""
    refusal = message(MessageType.STOPCCN, {ASSIGNED_TUNNEL_ID: OURS})
    for say, request in (
        (stage(origin="network"), sccrq(protocol_version=version)),
        (dialled(), sccrp(protocol_version=version)),
    ):
        say.peer >> request
        stopped = say.us << refusal
        assert stopped.said is not None
        assert (StopResult.BAD_VERSION, 0x0100) == (stopped.said[RESULT_CODE].result, stopped.said[RESULT_CODE].error)
        assert THEIRS == stopped.tunnel_id
        consistent(say)


def test_a_higher_revision_of_our_version_is_spoken() -> None:
    """The revision says nothing about compatibility: version 1 revision 7 is accepted (4.4.3)."""
    say = stage(origin="network")
    say.peer >> sccrq(protocol_version=ProtocolVersion(1, 7))
    say.us << MessageType.SCCRP


# --- ending (5.7) -------------------------------------------------------------------------------------------------------------


def test_we_stop_and_the_peer_acknowledges() -> None:
    """One StopCCN with result, error and text; after its acknowledgement we stay for 31 s and are gone."""
    say = up()
    say.close(result=StopResult.SHUTTING_DOWN, text="bye")
    say.us << message(MessageType.STOPCCN, {ASSIGNED_TUNNEL_ID: OURS, RESULT_CODE: ResultCode(6, 0, "bye")})
    say.state_is(State.CLOSING)
    assert ["tunnel down 6", "tunnel deleted 6"] == say.told()
    assert [DeleteTunnel(tunnel_id=OURS)] == say.plane()
    say.at(0.5)
    say.peer >> ZLB
    say.state_is(State.LINGERING)
    say.at(31.4)
    say.state_is(State.LINGERING)
    say.at(31.5)
    say.state_is(State.CLOSED)
    assert say.core.next_timer() is None
    bookkeeping(say)


def test_an_unacknowledged_stopccn_is_repeated_until_we_give_up() -> None:
    """StopCCN is repeated like any message; when nobody answers for 31 s the tunnel is gone (5.8)."""
    say = up()
    say.peer.deaf = True
    say.close()
    for when in (0, 1, 3, 7, 15, 23):
        say.at(float(when))
        say.us << MessageType.STOPCCN
    say.at(31.0)
    say.state_is(State.CLOSED)
    assert ["tunnel down 1", "tunnel deleted 1"] == say.told()
    bookkeeping(say)


def test_the_peer_stops_and_copies_are_acknowledged_for_31_seconds() -> None:
    """Copies of the StopCCN get a ZLB each for a full cycle, then silence (5.7)."""
    say = up()
    copy = say.peer >> stopccn(6, 0, "going down")
    first = say.us << ZLB
    assert 2 == first.nr
    say.state_is(State.LINGERING)
    assert ["tunnel down 6", "tunnel deleted 6"] == say.told()
    assert say.core.ending is not None
    assert (6, 0, "going down", "peer") == attrs.astuple(say.core.ending)
    for when in (1.0, 3.0, 7.0, 15.0, 23.0, 30.9):
        say.at(when)
        say.peer.again(copy)
        again = say.us << ZLB
        assert first == again
    say.at(31.0)
    say.state_is(State.CLOSED)
    say.peer.again(copy)
    say.silent()
    bookkeeping(say)


def test_what_outlives_the_tunnel_acknowledges_what_the_tunnel_did() -> None:
    """`remains` has the ids, the peer and the numbers from which a listener can go on acknowledging."""
    say = up()
    say.peer >> stopccn()
    last = say.us << ZLB
    assert (OURS, THEIRS, PEER, last.ns, last.nr) == say.core.remains()[:5]


def test_messages_that_were_queued_use_up_no_number_when_the_peer_stops() -> None:
    """What waited for the window when the StopCCN came is dropped; the acknowledgement carries the Ns that the peer expects."""
    say = up()
    say.peer.deaf = True
    for _ in range(8):
        say.open_session()
    sent = len(say.skip())
    say.peer >> stopccn()
    last = say.us << ZLB
    assert 2 + sent == last.ns


def test_stopccn_from_both_sides_crossing() -> None:
    """Each acknowledges the other's; ours stays the reason, and the events are told once."""
    say = up()
    say.peer.deaf = True
    say.close(text="ours")
    say.us << MessageType.STOPCCN
    say.peer >> stopccn(6)
    say.us << ZLB
    say.state_is(State.LINGERING)
    say.at(5.0)
    say.silent()
    assert ["tunnel down 1", "tunnel deleted 1"] == say.told()
    assert [DeleteTunnel(tunnel_id=OURS)] == say.plane()


def test_a_stopccn_that_acknowledges_ours_ends_the_tunnel_once() -> None:
    """Crossing the other way: the peer's StopCCN carries the acknowledgement of ours."""
    say = up()
    say.close()
    say.us << MessageType.STOPCCN
    say.peer >> stopccn()
    say.us << ZLB
    say.state_is(State.LINGERING)
    assert ["tunnel down 1", "tunnel deleted 1"] == say.told()


def test_a_stopccn_with_another_assigned_tunnel_id_is_ignored() -> None:
    """It is acknowledged, complained about, and ends nothing (4.4.3: MUST be the one of SCCRQ or SCCRP)."""
    say = up()
    call = reported(say)
    say.peer >> stopccn(tunnel_id=THEIRS + 1)
    say.us << ZLB
    say.state_is(State.ESTABLISHED)
    say.state_is(CallState.ESTABLISHED, call)
    assert "another Assigned Tunnel ID" in say.remarks[-1].text
    say.peer >> stopccn()
    say.us << ZLB
    say.state_is(State.LINGERING)


def test_a_peer_that_refuses_us_without_an_id_of_its_own() -> None:
    """StopCCN in answer to SCCRQ with Assigned Tunnel ID 0, as several daemons send it, ends the attempt with its reason."""
    say = dialled()
    refusal = bytes.fromhex("8008 0000 0000 0004 8008 0000 0009 0000 8008 0000 0001 0004")
    say.peer >> refusal
    say.us << ZLB
    say.state_is(State.LINGERING)
    assert ["tunnel created", "tunnel deleted 4"] == say.told()
    bookkeeping(say)


def test_a_stopccn_to_tunnel_0_from_a_peer_that_saw_no_sccrp() -> None:
    """A caller that gives up before our SCCRP reached it can only address tunnel 0 (5.3); its copies are acknowledged too."""
    say = stage(origin="network")
    say.peer.deaf = True
    say.peer >> sccrq()
    say.us << MessageType.SCCRP
    copy = say.peer >> stopccn(6)
    acknowledged = say.us << ZLB
    assert (THEIRS, 2) == (acknowledged.tunnel_id, acknowledged.nr)
    say.state_is(State.LINGERING)
    say.at(5.0)
    say.peer.again(copy)
    say.us << ZLB


def test_a_packet_to_tunnel_0_does_not_reach_an_established_tunnel() -> None:
    """Once the peer knows our id, 0 is not it."""
    say = up()
    say.peer.tunnel_id = 0
    say.peer >> stopccn()
    say.silent()
    say.state_is(State.ESTABLISHED)
    assert 1 == say.site.counters.no_tunnel


def test_giving_up_before_the_answer_came() -> None:
    """Closed while SCCRQ is out: the StopCCN waits for the SCCRQ's acknowledgement and goes to the id that the late SCCRP tells."""
    say = dialled()
    say.close(text="changed my mind")
    say.silent()
    say.peer >> sccrp()
    stopped = say.us << MessageType.STOPCCN
    assert THEIRS == stopped.tunnel_id
    say.peer >> ZLB
    say.state_is(State.LINGERING)
    bookkeeping(say)


def test_closing_twice_says_one_stopccn_and_keeps_the_first_reason() -> None:
    """The second close changes nothing."""
    say = up()
    say.close(text="first")
    say.close(text="second")
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert "first" == stopped.said[RESULT_CODE].message
    say.silent()


def test_closing_before_anything_was_said() -> None:
    """A tunnel that never spoke is over without a word."""
    say = stage()
    say.close()
    say.silent()
    say.state_is(State.CLOSED)
    assert ["tunnel created", "tunnel deleted 1"] == say.told()


def test_a_reason_of_any_length_fits() -> None:
    """A long text is cut at a character, lone surrogates are replaced, and the StopCCN is sent."""
    say = up()
    say.close(text="€" * 900 + "\ud800")
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert "€" * 166 == stopped.said[RESULT_CODE].message


def test_a_lost_tie_is_silent() -> None:
    """The loser discards its request without a word, and its waiting calls with it (4.4.3)."""
    say = dialled(secret=SECRET)
    call = say.open_session()
    say.do(say.core.lose_tie)
    say.at(60.0)
    say.silent()
    say.state_is(State.CLOSED)
    say.state_is(CallState.IDLE, call)
    consistent(say)
    bookkeeping(say)


# --- our own mistakes ---------------------------------------------------------------------------------------------------------


def test_inputs_bring_what_they_need() -> None:
    """A close without a reason, a fault without a fault, a message without the message: all are bugs of ours and reported as such."""
    for told, cause, text in (
        (Input.CLOSE, None, "without a reason"),
        (Input.BAD, scccn(), "without a fault"),
        (Input.STOPCCN, None, "needs the message"),
    ):
        say = up()
        with pytest.raises(LocalProtocolError, match=text):
            table.feed(say.core, told, cause, 0.0)
        say.state_is(State.ESTABLISHED)


def test_two_deadlines_at_the_same_moment() -> None:
    """The tunnel gives up at the very instant at which its waiting call would: the call goes with the tunnel, once."""
    say = called(establish_timeout=10.0)
    say.open_session(SessionSettings(establish_timeout=10.0))
    say.peer >> ZLB
    say.at(10.0)
    say.us << MessageType.STOPCCN
    assert ["tunnel created", "session created", "session deleted", "tunnel deleted 1"] == say.told()
    consistent(say)


# --- what needs no tunnel -----------------------------------------------------------------------------------------------------


def test_a_request_is_checked_before_anything_is_kept() -> None:
    """Version, a challenge without a secret, a challenge of ours: each has its code, and no core is needed to find out (4.4.2)."""
    site = a_site()
    challenge = b"sixteen octets!!"
    site.challenges.add(challenge)
    with_secret, without = TunnelSettings(secret=SECRET), TunnelSettings()
    for said, settings, code in (
        (sccrq(protocol_version=ProtocolVersion(2, 0)), without, (StopResult.BAD_VERSION, 0x0100)),
        (sccrq(challenge=b"any"), without, (StopResult.NOT_AUTHORIZED, 0)),
        (sccrq(challenge=challenge), with_secret, (StopResult.NOT_AUTHORIZED, 0)),
    ):
        with pytest.raises(RemoteProtocolError) as refused:
            V2.check(said, settings, site)
        assert code == (refused.value.result, refused.value.error)
    assert 1 == site.counters.auth_failures
    V2.check(sccrq(challenge=b"another"), with_secret, site)
    V2.check(sccrq(), without, site)
