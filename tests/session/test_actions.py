"""Dialogues about calls: how they come up, how they end, and every race between the two ends."""

from __future__ import annotations

import attrs
import pytest
from dialogue import (
    OURS,
    THEIRS,
    ZLB,
    a_site,
    bookkeeping,
    called,
    cdn,
    consistent,
    iccn,
    icrp,
    icrq,
    incoming,
    occn,
    ocrp,
    ocrq,
    reported,
    scccn,
    sccrp,
    stage,
    stopccn,
    unknown,
    up,
    up_called,
)

from l2tpd.config.model import Role, SessionSettings, TunnelSettings
from l2tpd.errors import Exhausted, LocalProtocolError, RemoteProtocolError
from l2tpd.events import SessionEvent
from l2tpd.kernel.ops import CreateSession, DeleteSession
from l2tpd.session.call import State
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.states import State as TunnelState
from l2tpd.wire.avp import (
    ACCM,
    ASSIGNED_SESSION_ID,
    BEARER_TYPE,
    CALL_ERRORS,
    CALL_SERIAL_NUMBER,
    CALLED_NUMBER,
    CALLING_NUMBER,
    FRAMING_TYPE,
    MAXIMUM_BPS,
    MINIMUM_BPS,
    PHYSICAL_CHANNEL_ID,
    PRIVATE_GROUP_ID,
    RESULT_CODE,
    RX_CONNECT_SPEED,
    SEQUENCING_REQUIRED,
    SUB_ADDRESS,
    TX_CONNECT_SPEED,
)
from l2tpd.wire.header import ControlHeader
from l2tpd.wire.messages import message
from l2tpd.wire.numbers import CallResult, ErrorCode, MessageType
from l2tpd.wire.values import AccmValue, CallErrors, ResultCode

OUTGOING = SessionSettings(role=Role.LNS, called_number="555", sub_address="7", minimum_bps=300, maximum_bps=64_000)


# --- coming up ----------------------------------------------------------------------------------------------------------------


def test_we_report_a_call() -> None:
    """ICRQ to session 0, ICCN to the session that ICRP assigned, with what the settings say (5.2.1, 6.6, 6.8)."""
    say = up()
    settings = SessionSettings(
        calling_number="11",
        called_number="22",
        sub_address="33",
        bearer_type="digital",
        framing_type="sync",
        physical_channel_id=4,
        tx_connect_speed=10_000_000_000,
        rx_connect_speed=2_000,
        private_group_id="blue",
        sequencing_required=True,
        interface_name="isp0",
        user_data="mine",
    )
    call = say.open_session(settings, name="branch")
    asked = say.us << message(
        MessageType.ICRQ,
        {
            ASSIGNED_SESSION_ID: call.local_id,
            CALL_SERIAL_NUMBER: 1,
            BEARER_TYPE: 1,
            CALLING_NUMBER: "11",
            CALLED_NUMBER: "22",
            SUB_ADDRESS: "33",
            PHYSICAL_CHANNEL_ID: 4,
        },
    )
    assert (THEIRS, 0) == asked[:2]
    say.peer.say(icrp(), session_id=call.local_id)
    wanted = {TX_CONNECT_SPEED: 0xFFFFFFFF, FRAMING_TYPE: 1, RX_CONNECT_SPEED: 2_000, PRIVATE_GROUP_ID: "blue", SEQUENCING_REQUIRED: True}
    connected = say.us << message(MessageType.ICCN, wanted)
    assert (THEIRS, 500) == connected[:2]
    assert ["session created", "session up"] == say.told()
    last = say.history[-1]
    assert isinstance(last, SessionEvent)
    assert ("branch", "t", "ppp0", 500, "mine") == (last.name, last.tunnel_name, last.interface, last.peer_session_id, last.user_data)
    made = CreateSession(
        tunnel_id=OURS,
        session_id=call.local_id,
        peer_session_id=500,
        pseudowire="ppp",
        interface_name="isp0",
        lns_mode=False,
        sequencing=True,
    )
    assert [made] == say.plane()
    consistent(say)


def test_a_call_says_only_what_its_settings_say() -> None:
    """Optional AVPs without a value are absent."""
    say = up()
    call = say.open_session()
    asked = say.us << MessageType.ICRQ
    assert asked.said is not None
    assert {ASSIGNED_SESSION_ID, CALL_SERIAL_NUMBER} == {avp for avp in asked.said.values if avp.number}
    say.peer.say(icrp(), session_id=call.local_id)
    connected = say.us << MessageType.ICCN
    assert connected.said is not None
    assert {TX_CONNECT_SPEED, FRAMING_TYPE} == {avp for avp in connected.said.values if avp.number}


def test_the_peer_reports_a_call() -> None:
    """ICRP when the data plane is there, established with the ICCN, whose speeds are kept (5.2.1)."""
    say = up_called()
    say.peer >> icrq(calling_number="11", called_number="22")
    answered = say.us << MessageType.ICRP
    assert (THEIRS, 500) == answered[:2]
    assert answered.said is not None
    call = say.core.calls[answered.said[ASSIGNED_SESSION_ID]]
    assert ("11", "22", 1) == (call.calling_number, call.called_number, call.serial)
    say.peer.say(iccn(rx_connect_speed=32_000, sequencing_required=True), session_id=call.local_id)
    say.us << ZLB
    assert (64_000, 32_000, True) == (call.tx_connect_speed, call.rx_connect_speed, call.sequencing)
    assert ["session created", "session up"] == say.told()
    (made,) = say.plane()
    assert isinstance(made, CreateSession)
    assert made.lns_mode
    consistent(say)


def test_we_ask_for_an_outgoing_call() -> None:
    """OCRQ with all that 6.9 asks for; OCRP and OCCN bring it up (5.2.2)."""
    say = up()
    call = say.open_session(OUTGOING)
    asked = say.us << message(
        MessageType.OCRQ,
        {MINIMUM_BPS: 300, MAXIMUM_BPS: 64_000, BEARER_TYPE: 3, FRAMING_TYPE: 3, CALLED_NUMBER: "555", SUB_ADDRESS: "7"},
    )
    assert asked.said is not None
    assert CALLING_NUMBER not in asked.said
    say.peer.say(ocrp(), session_id=call.local_id)
    say.us << ZLB
    say.state_is(State.WAIT_CONNECT, call)
    say.peer.say(occn(), session_id=call.local_id)
    say.us << ZLB
    say.state_is(State.ESTABLISHED, call)
    assert 64_000 == call.tx_connect_speed
    assert ["session created", "session up"] == say.told()


def test_the_peer_asks_for_an_outgoing_call() -> None:
    """OCRP at once, OCCN when the bearer answers, which is the data plane here (7.5.1)."""
    say = up_called(late=True)
    say.peer >> ocrq()
    say.us << MessageType.OCRP
    say.peer >> ZLB
    (call,) = say.core.calls.values()
    say.state_is(State.WAIT_CS_ANSWER, call)
    say.at(5.0)
    say.plane_up(call)
    connected = say.us << MessageType.OCCN
    assert 500 == connected.session_id
    say.state_is(State.ESTABLISHED, call)


def test_a_call_waits_for_its_tunnel() -> None:
    """Calls asked for before the tunnel is up are sent as soon as it is, in order (7.4.1: wait-tunnel)."""
    say = stage()
    first = say.open_session(name="first")
    say.open()
    say.us << MessageType.SCCRQ
    second = say.open_session(name="second")
    say.state_is(State.WAIT_TUNNEL, first)
    say.peer >> sccrp()
    say.us << MessageType.SCCCN
    say.us << message(MessageType.ICRQ, {ASSIGNED_SESSION_ID: first.local_id})
    say.peer >> ZLB
    say.us << message(MessageType.ICRQ, {ASSIGNED_SESSION_ID: second.local_id})


def test_a_call_also_waits_in_a_tunnel_that_the_peer_opens() -> None:
    """The responder's waiting calls start with the SCCCN (7.2.1: wait-ctl-conn, "send tunnel-open event to waiting sessions")."""
    say = called()
    say.open_session()
    say.peer >> scccn()
    say.us << MessageType.ICRQ


def test_a_waiting_call_is_closed_without_a_word() -> None:
    """The peer never heard of it (7.4.1: wait-tunnel, local close request)."""
    say = stage()
    call = say.open_session()
    say.do(say.core.close_session, call.local_id, text="no more")
    say.silent()
    assert ["tunnel created", "session created", "session deleted 3"] == say.told()
    consistent(say)


# --- the data plane -------------------------------------------------------------------------------------------------------------


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
    assert (CallResult.NO_FACILITIES_TEMPORARY, ErrorCode.NO_RESOURCES, 500) == (code.result, code.error, len(code.message))
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


# --- ending -------------------------------------------------------------------------------------------------------------------


def test_we_end_a_call() -> None:
    """CDN with code and text to the peer's session, the plane's delete, the events, in this order (5.6)."""
    say = up()
    call = reported(say)
    say.told()
    say.plane()
    say.do(say.core.close_session, call.local_id, text="enough")
    ended = say.us << message(MessageType.CDN, {RESULT_CODE: ResultCode(3, 0, "enough"), ASSIGNED_SESSION_ID: call.local_id})
    assert 500 == ended.session_id
    assert ["session down 3", "session deleted 3"] == say.told()
    assert [DeleteSession(tunnel_id=OURS, session_id=call.local_id)] == say.plane()
    consistent(say)


def test_the_peer_ends_a_call() -> None:
    """Its codes and text are kept and told; nothing but an acknowledgement is sent (6.12)."""
    say = up()
    call = reported(say)
    say.told()
    say.peer.say(cdn(500, 2, 6, "carrier lost"), session_id=call.local_id)
    say.us << ZLB
    assert call.ending is not None
    assert (2, 6, "carrier lost", "peer") == attrs.astuple(call.ending)
    assert ["session down 2", "session deleted 2"] == say.told()


def test_ending_a_call_that_is_gone_is_nothing() -> None:
    """`close_session` of an unknown id says nothing."""
    say = up()
    say.do(say.core.close_session, 4711)
    say.silent()


def test_a_cdn_before_the_peer_has_told_its_id() -> None:
    """We give up before ICRP: the CDN goes to session 0 and names our own id (4.4.4, 5.3)."""
    say = up()
    call = say.open_session()
    say.us << MessageType.ICRQ
    say.do(say.core.close_session, call.local_id)
    say.peer >> ZLB
    ended = say.us << message(MessageType.CDN, {ASSIGNED_SESSION_ID: call.local_id})
    assert 0 == ended.session_id


def test_a_cdn_to_session_0_finds_its_call() -> None:
    """The peer gives up before it has seen our ICRP: only its own id names the call."""
    say = up_called()
    say.peer >> icrq()
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    say.peer.say(cdn(500, 1), session_id=0)
    say.us << ZLB
    say.state_is(State.IDLE, call)
    consistent(say)


def test_a_cdn_that_crosses_our_icrp() -> None:
    """The same, addressed: the peer read the ICRP, yet its CDN was already decided."""
    say = up_called()
    say.peer >> icrq()
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    say.peer.say(cdn(500, 1), session_id=call.local_id)
    say.us << ZLB
    say.state_is(State.IDLE, call)


def test_our_cdn_crosses_the_icrp() -> None:
    """We ended the call; the ICRP that was on its way is answered by a CDN, in case ours never named the call to the peer."""
    say = up()
    call = say.open_session()
    say.us << MessageType.ICRQ
    say.do(say.core.close_session, call.local_id)
    say.peer.say(icrp(), session_id=call.local_id)
    first, second = say.us << MessageType.CDN, say.us << MessageType.CDN
    assert (0, 500) == (first.session_id, second.session_id)
    assert {} == say.core.calls


def test_cdns_that_cross() -> None:
    """Both sides end the call at once: theirs finds nothing, is acknowledged and counted, and not answered."""
    say = up()
    call = reported(say)
    say.do(say.core.close_session, call.local_id)
    say.us << MessageType.CDN
    say.peer.say(cdn(), session_id=call.local_id)
    say.us << ZLB
    assert 1 == say.site.counters.no_session


def test_even_a_faulty_cdn_for_no_session_is_not_answered() -> None:
    """Two sides that answer each other's CDNs would never stop."""
    say = up()
    say.peer.say(cdn(500, 3, None, "", unknown(mandatory=True)), session_id=999)
    say.us << ZLB


def test_a_refusal_without_an_id_of_the_peer() -> None:
    """CDN with Assigned Session ID 0, as peers send it that refuse before choosing one, ends the call that the header names."""
    say = up()
    call = say.open_session()
    say.us << MessageType.ICRQ
    say.peer.say(bytes.fromhex("8008 0000 0000 000e 8008 0000 0001 0004 8008 0000 000e 0000"), session_id=call.local_id)
    say.us << ZLB
    assert ["session created", "session deleted 4"] == say.told()


def test_stopccn_speaks_for_every_call() -> None:
    """No CDN when the tunnel goes, from either side; every call is told down with the tunnel's reason, before the tunnel (5.7)."""
    for by_peer in (True, False):
        say = up()
        reported(say)
        say.told()
        say.plane()
        if by_peer:
            say.peer >> stopccn(6)
            say.us << ZLB
        else:
            say.close(result=6)
            say.us << MessageType.STOPCCN
        assert ["session down 6", "session deleted 6", "tunnel down 6", "tunnel deleted 6"] == say.told()
        assert 1 == len(say.plane())  # the tunnel's delete takes its sessions with it
        consistent(say)


def test_the_establish_timeout_of_a_call() -> None:
    """A call that is not up in time ends with result 10, as caller and as called; one still waiting for its tunnel ends silently."""
    settings = SessionSettings(establish_timeout=10.0)
    ours = up()
    ours.open_session(settings)
    ours.us << MessageType.ICRQ
    ours.peer >> ZLB
    theirs = up_called()
    theirs.policy.settings = settings
    theirs.peer >> icrq()
    theirs.us << MessageType.ICRP
    theirs.peer >> ZLB
    for say in (ours, theirs):
        say.at(9.9)
        say.silent()
        say.at(10.0)
        ended = say.us << MessageType.CDN
        assert ended.said is not None
        assert ResultCode(10, 0, "not established in time") == ended.said[RESULT_CODE]
        consistent(say)
    waiting = called()
    waiting.open_session(settings)
    waiting.peer >> ZLB
    waiting.at(10.0)
    waiting.silent()
    assert "session deleted 10" == waiting.told()[-1]


def test_an_established_call_has_no_deadline() -> None:
    """Once up it stays up."""
    say = up(hello_timeout=0.0)
    call = reported(say, settings=SessionSettings(establish_timeout=10.0))
    say.at(1000.0)
    say.silent()
    say.state_is(State.ESTABLISHED, call)


# --- refusals -----------------------------------------------------------------------------------------------------------------


def test_the_limit_of_the_tunnel() -> None:
    """The call beyond `max_sessions` gets CDN with result 4 and error 4, addressed by its own id; the first is not harmed."""
    say = up_called(max_sessions=1)
    first = incoming(say, 500)
    say.peer >> icrq(501)
    refused = say.us << MessageType.CDN
    assert (THEIRS, 501) == refused[:2]
    assert refused.said is not None
    assert (4, 4) == (refused.said[RESULT_CODE].result, refused.said[RESULT_CODE].error)
    assert refused.said[ASSIGNED_SESSION_ID] not in say.core.calls
    say.state_is(State.ESTABLISHED, first)
    assert 1 == say.site.counters.sessions_refused
    with pytest.raises(LocalProtocolError, match="limit"):
        say.core.open_session(SessionSettings(), 0.0)
    consistent(say)


def test_the_policy_refuses() -> None:
    """What `admit` raises is what the CDN says, and nothing is counted or created."""
    say = up_called()
    say.policy.refusal = RemoteProtocolError(CallResult.NO_FACILITIES_PERMANENT, ErrorCode.TRY_ANOTHER, "go away")
    say.peer >> icrq()
    refused = say.us << MessageType.CDN
    assert refused.said is not None
    assert ResultCode(5, 7, "go away") == refused.said[RESULT_CODE]
    assert [] == say.told()
    consistent(say)


def test_an_unknown_mandatory_avp_ends_the_call_alone() -> None:
    """In a session message it costs the session: result 2, error 8 (4.1, 4.2); the tunnel lives."""
    say = up_called()
    say.peer >> icrq(500, unknown(mandatory=True))
    refused = say.us << MessageType.CDN
    assert 500 == refused.session_id
    say.peer >> icrq(501)
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    say.peer.say(iccn(unknown(mandatory=True)), session_id=call.local_id)
    ended = say.us << MessageType.CDN
    for heard in (refused, ended):
        assert heard.said is not None
        assert (2, 8) == (heard.said[RESULT_CODE].result, heard.said[RESULT_CODE].error)
    say.state_is(TunnelState.ESTABLISHED)
    consistent(say)


def test_an_unknown_mandatory_avp_in_a_tunnel_message_ends_the_tunnel() -> None:
    """The same AVP in SCCRP costs the tunnel: StopCCN, result 2, error 8 (4.1, 4.2)."""
    say = stage()
    say.open()
    say.us << MessageType.SCCRQ
    say.peer >> sccrp(unknown(mandatory=True))
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert (2, 8) == (stopped.said[RESULT_CODE].result, stopped.said[RESULT_CODE].error)
    assert THEIRS == stopped.tunnel_id


def test_an_unknown_avp_that_is_not_mandatory_is_ignored() -> None:
    """Counted, and that is all (4.1)."""
    say = up_called()
    say.peer >> icrq(500, unknown(mandatory=False))
    say.us << MessageType.ICRP


def test_an_icrq_without_a_required_avp_is_refused() -> None:
    """Without Call Serial Number: CDN to the Assigned Session ID that it did carry (7.1)."""
    say = up_called()
    say.peer >> bytes.fromhex("8008 0000 0000 000a 8008 0000 000e 01f4")
    refused = say.us << MessageType.CDN
    assert 500 == refused.session_id


def test_an_icrq_without_an_id_cannot_be_answered() -> None:
    """No Assigned Session ID, nobody to send a CDN to: acknowledged and counted."""
    say = up_called()
    say.peer >> bytes.fromhex("8008 0000 0000 000a 800a 0000 000f 00000001")
    say.us << ZLB
    assert 1 == say.site.counters.no_session


def test_a_session_id_that_the_peer_has_in_use() -> None:
    """An ICRQ with the id of a live call is an ICRQ to that call: CDN, clean up (7.4.2); after that the id may be used again."""
    say = up_called()
    call = incoming(say)
    say.peer >> icrq()
    ended = say.us << MessageType.CDN
    assert 500 == ended.session_id
    say.state_is(State.IDLE, call)
    consistent(say)
    incoming(say)


def test_an_answer_to_a_call_that_we_never_made() -> None:
    """ICRP and OCRP for no call get a CDN with error 5, ICCN, OCCN, WEN and SLI nothing (7.4.1 to 7.5.2: idle)."""
    say = up()
    for said in (icrp(), ocrp()):
        say.peer.say(said, session_id=4711)
        refused = say.us << MessageType.CDN
        assert refused.said is not None
        assert (2, 5) == (refused.said[RESULT_CODE].result, refused.said[RESULT_CODE].error)
    for said in (iccn(), occn(), message(MessageType.SLI, {ACCM: AccmValue()})):
        say.peer.say(said, session_id=4711)
        say.us << ZLB
    assert {} == say.core.calls


# --- capabilities -------------------------------------------------------------------------------------------------------------


def test_no_outgoing_call_to_a_peer_without_bearer_capabilities() -> None:
    """6.9: an LNS MUST have received Bearer Capabilities before it asks."""
    say = stage()
    waiting = say.open_session(OUTGOING)
    say.open()
    say.us << MessageType.SCCRQ
    say.peer >> sccrp(bearer_capabilities=None)
    say.us << MessageType.SCCCN
    say.peer >> ZLB
    say.silent()
    say.state_is(State.IDLE, waiting)
    assert waiting.ending is not None
    assert (5, "the peer has no any bearer") == (waiting.ending.result, waiting.ending.message)
    with pytest.raises(LocalProtocolError, match="bearer"):
        say.core.open_session(OUTGOING, 0.0)
    consistent(say)


@pytest.mark.parametrize(("bearer", "framing", "fits"), [("digital", "sync", True), ("analog", "sync", False), ("digital", "async", False)])
def test_an_outgoing_call_asks_only_for_what_the_peer_has(bearer: str, framing: str, fits: bool) -> None:
    """4.4.3: a bearer or framing that was not offered is not asked for."""
    say = stage()
    say.open()
    say.us << MessageType.SCCRQ
    say.peer >> sccrp(bearer_capabilities=1, framing_capabilities=1)
    say.us << MessageType.SCCCN
    say.peer >> ZLB
    settings = SessionSettings(role=Role.LNS, called_number="1", bearer_type=bearer, framing_type=framing)
    if fits:
        say.open_session(settings)
        say.us << MessageType.OCRQ
    else:
        with pytest.raises(LocalProtocolError, match="the peer has no"):
            say.core.open_session(settings, 0.0)


# --- reports ------------------------------------------------------------------------------------------------------------------


def test_wan_errors_are_kept() -> None:
    """The newest WEN replaces the one before (6.13: cumulative)."""
    say = up_called()
    call = incoming(say)
    for count in (1, 2):
        errors = CallErrors(count, 0, 0, 0, 0, 0)
        say.peer.say(message(MessageType.WEN, {CALL_ERRORS: errors}), session_id=call.local_id)
        say.us << ZLB
        assert errors == call.wan_errors


def test_sli_is_accepted() -> None:
    """It concerns framing that no bearer of ours has (6.14)."""
    say = up()
    call = reported(say)
    say.peer.say(message(MessageType.SLI, {ACCM: AccmValue(0, 0)}), session_id=call.local_id)
    say.us << ZLB
    say.state_is(State.ESTABLISHED, call)


# --- ids ----------------------------------------------------------------------------------------------------------------------


def test_session_ids_are_never_zero_and_rest_after_use() -> None:
    """A random source that yields only zeros and sevens still gives ids from 1, each different, and an old one only after 31 s."""
    yields = iter([0, 0, 7, 7])
    site = a_site()
    site.random = lambda size: next(yields, 7).to_bytes(size, "big")
    core = ControlConnection(OURS, site, TunnelSettings(), up().core.peer, 0.0, origin="local")
    first, second = core.open_session(SessionSettings(), 0.0), core.open_session(SessionSettings(), 0.0)
    assert (7, 8) == (first.local_id, second.local_id)
    core.close_session(first.local_id, 0.0)
    assert 9 == core.open_session(SessionSettings(), 30.9).local_id
    assert 7 == core.open_session(SessionSettings(), 31.0).local_id


def test_all_65535_session_ids_can_be_used() -> None:
    """With every id but 0 taken the operator is told so and a peer's call is not made; the one that becomes free is found."""
    say = up_called(hello_timeout=0.0)
    core = say.core
    template = reported(say, 400)
    taken = {number: template for number in range(1, 65_536)}
    core.calls = {**taken, **core.calls}
    with pytest.raises(Exhausted):
        core.open_session(SessionSettings(), 0.0)
    say.peer >> icrq()
    say.us << ZLB  # even a CDN would need an id
    assert 1 == say.site.counters.sessions_refused
    del core.calls[4711]
    assert 4711 == core.open_session(SessionSettings(), 0.0).local_id


def test_refused_calls_use_up_no_ids() -> None:
    """More calls than there are ids, refused within a second, each get their CDN, and nothing is kept of them."""
    say = up_called(max_sessions=1)
    incoming(say, 500)
    channel, core = say.core.channel, say.core
    body = say.peer.body(icrq(501))
    for _ in range(66_000):
        core.take_packet(ControlHeader(OURS, 0, say.peer.ns, channel.ns), body, core.peer, 1.0)
        say.peer.ns = (say.peer.ns + 1) & 0xFFFF
        assert 1 == len(core.datagrams_to_send(1.0))
    assert 0 == core._allocator().resting(1.0)


def test_many_calls_in_one_tunnel() -> None:
    """A hundred calls come and go; the books are balanced after each."""
    say = up_called()
    calls = [incoming(say, 1_000 + index) for index in range(100)]
    consistent(say)
    for index, call in enumerate(calls):
        say.peer.say(cdn(1_000 + index), session_id=call.local_id)
        say.us << ZLB
    consistent(say)
    say.close()
    say.us << MessageType.STOPCCN
    say.peer >> ZLB
    bookkeeping(say)
