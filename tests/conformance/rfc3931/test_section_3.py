"""RFC 3931 sections 3.3 and 3.4: how connections and sessions come and go; each test quotes the requirement that it checks."""

from __future__ import annotations

import pytest

from dialogue import OURS, ZLB, stage
from dialogue3 import (
    called3,
    cdn3,
    dialled3,
    iccn3,
    icrp3,
    icrq3,
    incoming3,
    occn3,
    ocrp3,
    ocrq3,
    reported3,
    scccn3,
    sccrp3,
    sccrq3,
    stopccn3,
    up3,
    up_called3,
)
from l2tpd.config.model import Pseudowire, Role, SessionSettings
from l2tpd.kernel.ops import CreateSession, ModifySession
from l2tpd.session.call import State as CallState
from l2tpd.session.speech3 import PSEUDOWIRES
from l2tpd.tunnel.dialect import V3
from l2tpd.tunnel.states import State
from l2tpd.wire.header import parse_control3
from l2tpd.wire.numbers import MessageType


def test_3_2_1_every_message_of_ours_has_ver_3_and_the_bits_that_must_be_1() -> None:
    """The T bit MUST be set to 1", "The L and S bits MUST be set to 1", "All reserved bits MUST be set to 0", and Ver 3; the Length is the whole."""
    say = stage(dialect=V3)
    say.core.open(0.0)
    sent = say.core.datagrams_to_send(0.0)
    say.peer.tunnel_id = say.core.local_id
    say.core.receive_datagram(V3.build(say.core.local_id, 0, 0, 1, say.peer.body(sccrp3())), say.peer.address, 0.0)
    sent += say.core.datagrams_to_send(0.0)
    say.core.take_outputs()
    assert 2 == len(sent)
    for datagram in sent:
        assert b"\xc8\x03" + len(datagram).to_bytes(2, "big") == datagram[:4]
        parse_control3(datagram)


def test_3_2_1_ns_begins_at_zero_and_counts_each_message() -> None:
    """beginning at zero and incrementing by one (modulo 2**16) for each message sent."""
    say = stage(dialect=V3)
    say.open()
    asked = say.us << MessageType.SCCRQ
    say.peer >> sccrp3()
    connected = say.us << MessageType.SCCCN
    assert [(0, 0), (1, 1)] == [(heard.ns, heard.nr) for heard in (asked, connected)]
    say.peer >> ZLB


def test_3_3_1_a_three_message_exchange_establishes_the_control_connection() -> None:
    """SCCRQ, SCCRP, SCCCN, from either side."""
    dialling = dialled3()
    dialling.peer >> sccrp3()
    dialling.us << MessageType.SCCCN
    answering = called3()
    answering.peer >> scccn3()
    answering.us << ZLB
    for say in (dialling, answering):
        say.state_is(State.ESTABLISHED)
        assert "tunnel up" in say.told()


def test_3_3_the_peer_is_identified_while_the_connection_is_established() -> None:
    """LCCEs are identified ... either by the Host Name AVP, the Router ID AVP, or a combination of the two."""
    say = stage(dialect=V3, origin="network")
    say.peer >> sccrq3(host_name="lcce.example", router_id=77)
    say.us << MessageType.SCCRP
    assert say.core.facts is not None
    assert ("lcce.example", 77) == (say.core.facts.host_name, say.core.facts.router_id)


def test_3_3_2_one_stopccn_tears_down_the_connection_and_all_its_sessions() -> None:
    """it is not necessary to clear each session individually."""
    say = up_called3()
    calls = [incoming3(say, local) for local in (1, 2)]
    say.peer >> stopccn3()
    say.us << ZLB
    for call in calls:
        say.state_is(CallState.IDLE, call)
    say.state_is(State.LINGERING)


def test_3_4_1_three_messages_establish_an_incoming_call() -> None:
    """ICRQ, ICRP, ICCN, from either side, on connections that either side has asked for."""
    for say in (up3(), up_called3()):
        assert {CallState.ESTABLISHED} == {reported3(say).state, incoming3(say, 77).state}


def test_3_4_2_three_messages_establish_an_outgoing_call() -> None:
    """OCRQ, OCRP, OCCN."""
    say = up_called3(late=True)
    say.peer >> ocrq3()
    say.us << MessageType.OCRP
    say.peer >> ZLB
    (call,) = say.core.calls.values()
    say.plane_up(call)
    say.us << MessageType.OCCN
    asking = up3()
    ours = asking.open_session(SessionSettings(role=Role.LNS))
    asking.us << MessageType.OCRQ
    asking.peer >> ocrp3(ours.local_id)
    asking.us << ZLB
    asking.peer >> occn3(ours.local_id)
    asking.us << ZLB
    assert {CallState.ESTABLISHED} == {call.state, ours.state}


def test_3_4_3_a_cdn_tears_down_one_session() -> None:
    """Session teardown may be initiated by either the LAC or LNS": the other sessions and the connection stay."""
    say = up_called3()
    first, second, third = (incoming3(say, local) for local in (1, 2, 3))
    say.peer >> cdn3(first.local_id, 1)
    say.us << ZLB
    say.do(say.core.close_session, second.local_id)
    say.us << MessageType.CDN
    assert [third] == list(say.core.calls.values())
    say.state_is(CallState.ESTABLISHED, third)
    say.state_is(State.ESTABLISHED)


def test_3_4_3_after_the_last_session_the_connection_may_be_torn_down() -> None:
    """MAY be torn down as well": after `idle_timeout`, where the operator wants it."""
    say = up_called3(idle_timeout=10.0)
    call = incoming3(say)
    say.peer >> cdn3(call.local_id)
    say.us << ZLB
    say.at(10.0)
    say.us << MessageType.STOPCCN


def test_3_4_sessions_wait_for_the_control_connection() -> None:
    """After successful control connection establishment, individual sessions may be created": one that comes earlier clears the connection."""
    waiting = dialled3()
    waiting.open_session()
    waiting.silent()
    early = called3()
    early.peer >> icrq3()
    early.us << MessageType.STOPCCN


def test_3_4_a_session_that_nobody_answers_ends() -> None:
    """7.4.2 and our own deadline: neither side keeps half a call for ever."""
    say = up3(hello_timeout=0.0)
    call = say.open_session(SessionSettings(establish_timeout=5.0))
    say.us << MessageType.ICRQ
    say.peer >> ZLB
    say.at(5.0)
    say.us << MessageType.CDN
    say.peer >> icrp3(call.local_id)  # too late: to a session that is gone
    say.us << MessageType.CDN
    say.peer >> iccn3(call.local_id)
    say.us << ZLB


@pytest.mark.parametrize("pseudowire", [Pseudowire.ETH, Pseudowire.ETH_VLAN])
def test_3_a_session_must_be_established_before_frames_are_forwarded(pseudowire: Pseudowire) -> None:
    """An L2TP session MUST be established before L2TP can begin to forward session frames": an interface is there before, and silent; a peer's early frames are taken."""
    say = up_called3()
    say.policy.settings = SessionSettings(vlan_id=7)
    say.peer >> icrq3(pseudowire_type=PSEUDOWIRES[pseudowire])
    say.us << MessageType.ICRP
    (call,), (made,) = say.core.calls.values(), say.plane()
    assert isinstance(made, CreateSession)
    assert not made.sending
    say.peer >> iccn3(call.local_id)
    say.us << ZLB
    assert [ModifySession(tunnel_id=OURS, session_id=call.local_id, sequencing=False, sending=True)] == say.plane()


def test_6_10_data_must_not_be_forwarded_until_the_occn_is_received() -> None:
    """Data MUST NOT be forwarded until the OCCN is received, which indicates that the call has been placed."""
    say = up3()
    call = say.open_session(SessionSettings(role=Role.LNS, pseudowire=Pseudowire.ETH))
    say.us << MessageType.OCRQ
    say.peer >> ocrp3(call.local_id)
    say.us << ZLB
    (made,) = say.plane()
    assert isinstance(made, CreateSession)
    assert not made.sending
    say.peer >> occn3(call.local_id)
    say.us << ZLB
    assert [ModifySession(tunnel_id=OURS, session_id=call.local_id, sequencing=False, sending=True)] == say.plane()


def test_3_whose_iccn_or_occn_connects_a_call_needs_no_leave_to_forward() -> None:
    """Who sends it has the data plane up first, so that nothing of the peer's is lost, and is established with it; so is whoever has PPP, which begins then."""
    reporting = up3()
    reported3(reporting, SessionSettings(pseudowire=Pseudowire.ETH))
    placing = up_called3()
    placing.peer >> ocrq3(pseudowire_type=5)
    placing.skip()
    taking = up_called3()
    incoming3(taking)
    for say in (reporting, placing, taking):
        (made,) = say.plane()
        assert isinstance(made, CreateSession)
        assert made.sending
