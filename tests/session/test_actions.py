"""Dialogues about calls: how they come up, how they end, and every race between the two ends."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from books import consistent
from dialogue import (
    OURS,
    OUTGOING,
    THEIRS,
    ZLB,
    called,
    cdn,
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
from l2tpd.config.model import Pseudowire, SessionSettings
from l2tpd.errors import LocalProtocolError
from l2tpd.events import SessionEvent
from l2tpd.kernel.ops import CreateSession, DeleteSession, Link, ModifySession
from l2tpd.session.call import State
from l2tpd.session.inputs import Input
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
    Avp,
)
from l2tpd.wire.messages import message
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import AccmValue, CallErrors, ResultCode

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
    wanted: dict[Avp[Any], Any] = {
        TX_CONNECT_SPEED: 0xFFFFFFFF,
        FRAMING_TYPE: 1,
        RX_CONNECT_SPEED: 2_000,
        PRIVATE_GROUP_ID: "blue",
        SEQUENCING_REQUIRED: True,
    }
    connected = say.us << message(MessageType.ICCN, wanted)
    assert (THEIRS, 500) == connected[:2]
    assert ["session created", "session up"] == say.told()
    last = say.history[-1]
    assert isinstance(last, SessionEvent)
    assert ("branch", "t", "ppp0", 500, "mine") == (
        last.name,
        last.tunnel_name,
        last.interface,
        last.peer_session_id,
        last.user_data,
    )
    made = CreateSession(
        tunnel_id=OURS,
        session_id=call.local_id,
        peer_session_id=500,
        pseudowire=Pseudowire.PPP,
        link=Link(name="isp0"),
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
    made, changed = say.plane()
    assert isinstance(made, CreateSession)
    assert (True, False) == (made.lns_mode, made.sequencing)
    assert changed == ModifySession(tunnel_id=OURS, session_id=call.local_id, sequencing=True)
    consistent(say)


def test_numbering_that_the_data_plane_refuses_ends_the_call() -> None:
    """A peer that requires sequencing would drop what is not numbered (4.4.4); what the plane has made is deleted."""
    say = up_called()
    say.peer >> icrq()
    answered = say.us << MessageType.ICRP
    assert answered.said is not None
    session_id = answered.said[ASSIGNED_SESSION_ID]
    say.peer.say(iccn(sequencing_required=True), session_id=session_id)
    say.us << ZLB
    say.plane()
    say.plane_failed(session_id, "no numbers here")
    ended = say.us << MessageType.CDN
    assert ended.said is not None
    assert "no numbers here" == ended.said[RESULT_CODE].message
    assert [DeleteSession(tunnel_id=OURS, session_id=session_id)] == say.plane()
    consistent(say)


def test_we_ask_for_an_outgoing_call() -> None:
    """OCRQ with all that 6.9 asks for; OCRP and OCCN bring it up (5.2.2)."""
    say = up()
    call = say.open_session(OUTGOING)
    asked = say.us << message(
        MessageType.OCRQ,
        {
            MINIMUM_BPS: 300,
            MAXIMUM_BPS: 64_000,
            BEARER_TYPE: 3,
            FRAMING_TYPE: 3,
            CALLED_NUMBER: "555",
            SUB_ADDRESS: "7",
        },
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


# --- ending -------------------------------------------------------------------------------------------------------------------


def test_we_end_a_call() -> None:
    """CDN with code and text to the peer's session, the plane's delete, the events, in this order (5.6)."""
    say = up()
    call = reported(say)
    say.told()
    say.plane()
    say.do(say.core.close_session, call.local_id, text="enough")
    ended = say.us << message(
        MessageType.CDN, {RESULT_CODE: ResultCode(3, 0, "enough"), ASSIGNED_SESSION_ID: call.local_id}
    )
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
    """No CDN when the tunnel goes, from either side; every call is told down before the tunnel, without a code of its own (5.7)."""
    for by_peer in (True, False):
        say = up()
        reported(say)
        say.told()
        say.plane()
        if by_peer:
            say.peer >> stopccn(6, 0, "going down")
            say.us << ZLB
        else:
            say.close(result=6, text="bye")
            say.us << MessageType.STOPCCN
        told = [event for event in say.events if isinstance(event, SessionEvent)]
        by, text = ("peer", "going down") if by_peer else ("us", "bye")
        assert [(None, None, f"the tunnel ended: {text}", by, True)] * 2 == [
            (event.result, event.error, event.message, event.by, event.up) for event in told
        ]
        assert ["session down", "session deleted", "tunnel down 6", "tunnel deleted 6"] == say.told()
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


# --- our own mistakes ---------------------------------------------------------------------------------------------------------


def test_a_cdn_needs_a_reason() -> None:
    """Whoever closes a call says why first."""
    say = up()
    call = reported(say)
    with pytest.raises(LocalProtocolError, match="without a reason"):
        say.core.feed_call(call, Input.CLOSE, None, 0.0)


def test_an_input_that_is_a_message_brings_the_message() -> None:
    """CDN without the CDN is a mistake of ours."""
    say = up()
    call = reported(say)
    with pytest.raises(LocalProtocolError, match="needs the message"):
        say.core.feed_call(call, Input.CDN, None, 0.0)


def test_forgetting_twice_is_forgetting_once() -> None:
    """A call that is gone is counted as ended once."""
    say = up()
    call = reported(say)
    say.do(say.core.close_session, call.local_id)
    say.us << MessageType.CDN
    say.core.forget(call, 0.0)
    consistent(say)


def test_events_tell_whether_the_call_had_been_up() -> None:
    """A call that came up says so until its end, one that was refused never does; a reason that the tunnel lacks leaves no colon."""
    lived, failed = up_called(), up()
    incoming(lived)
    lived.peer >> stopccn(6)
    lived.us << ZLB
    call = failed.open_session()
    failed.us << MessageType.ICRQ
    failed.peer.say(cdn(), session_id=call.local_id)
    failed.us << ZLB
    told = [[event for event in say.events if isinstance(event, SessionEvent)] for say in (lived, failed)]
    assert [[False, True, True, True], [False, False]] == [[event.up for event in events] for events in told]
    assert (False, "the tunnel ended") == (call.was_up, told[0][-1].message)
