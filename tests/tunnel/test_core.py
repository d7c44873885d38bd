"""Dialogues of a whole control connection with a peer that the test plays."""

from __future__ import annotations

import pytest

from books import bookkeeping, consistent
from dialogue import (
    OURS,
    PEER,
    ZLB,
    a_site,
    called,
    cdn,
    dialled,
    hello,
    iccn,
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
from l2tpd.config.model import Address, SessionSettings, TunnelSettings
from l2tpd.errors import LocalProtocolError
from l2tpd.session.call import State as CallState
from l2tpd.trace import Category
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import (
    HOST_NAME,
    RESULT_CODE,
)
from l2tpd.wire.header import ControlHeader, build_control
from l2tpd.wire.messages import message
from l2tpd.wire.numbers import ErrorCode, MessageType, StopResult
from l2tpd.wire.values import ResultCode

# --- life and death (5.5, 5.8) ------------------------------------------------------------------------------------------------


def test_hello_after_silence() -> None:
    """HELLO 60 s after the last packet, again 60 s after its acknowledgement."""
    say = up()
    say.at(59.9)
    say.silent()
    for when in (60.0, 120.0):
        say.at(when)
        greeted = say.us << MessageType.HELLO
        assert 0 == greeted.session_id
        say.peer >> ZLB


def test_hello_of_the_peer_is_acknowledged() -> None:
    """A ZLB answers it (6.5), and ours is put off."""
    say = up()
    say.at(50.0)
    say.peer >> hello()
    say.us << ZLB
    say.at(109.9)
    say.silent()
    say.at(110.0)
    say.us << MessageType.HELLO


def test_data_counts_as_life() -> None:
    """A data packet, which the shell reports by `channel.touch`, puts off the HELLO (5.5: "data or control")."""
    say = up()
    say.at(59.0)
    say.core.channel.touch(59.0)
    say.at(118.9)
    say.silent()
    say.at(119.0)
    say.us << MessageType.HELLO


def test_no_hello_while_the_tunnel_is_being_set_up() -> None:
    """Between SCCRP and SCCCN there is nothing to keep alive."""
    say = called(hello_timeout=5.0)
    say.peer >> ZLB
    say.at(60.0)
    say.silent()
    say.state_is(State.WAIT_CTL_CONN)


def test_a_dead_peer_is_found_31_seconds_after_the_hello() -> None:
    """HELLO is sent six times; then the tunnel and its sessions are cleared without a word (5.8)."""
    say = up()
    call = reported(say)
    say.told()
    say.peer.deaf = True
    for after in (0, 1, 3, 7, 15, 23):
        say.at(60.0 + after)
        say.us << MessageType.HELLO
    say.at(90.9)
    say.state_is(State.ESTABLISHED)
    say.at(91.0)
    say.state_is(State.CLOSED)
    say.state_is(CallState.IDLE, call)
    assert ["session down", "session deleted", "tunnel down 1", "tunnel deleted 1"] == say.told()
    assert say.core.ending is not None
    assert "the peer does not answer" == say.core.ending.message
    say.at(200.0)
    say.silent()
    bookkeeping(say)


def test_a_probe_is_a_hello_at_once() -> None:
    """`probe` asks an idle peer now; while anything is unacknowledged that is probe enough, and a tunnel not established has nothing to ask."""
    say = up()
    say.do(say.core.probe)
    say.us << MessageType.HELLO
    say.do(say.core.probe)
    say.silent()
    dialling = dialled()
    dialling.do(dialling.core.probe)
    dialling.silent()


def test_an_unanswered_sccrq_gives_up() -> None:
    """Six SCCRQ in 31 s, then the tunnel is gone."""
    say = dialled()
    for when in (1, 3, 7, 15, 23):
        say.at(float(when))
        say.us << MessageType.SCCRQ
    say.at(31.0)
    say.state_is(State.CLOSED)
    assert ["tunnel created", "tunnel deleted 1"] == say.told()


def test_the_establish_timeout() -> None:
    """A peer that acknowledges but never answers is told so after `establish_timeout`, on both sides."""
    for say in (dialled(establish_timeout=10.0), called(establish_timeout=10.0)):
        say.peer >> ZLB
        say.at(9.9)
        say.silent()
        say.at(10.0)
        stopped = say.us << MessageType.STOPCCN
        assert stopped.said is not None
        assert ResultCode(1, 0, "not established in time") == stopped.said[RESULT_CODE]
        consistent(say)


def test_the_idle_timeout() -> None:
    """A tunnel without sessions is stopped `idle_timeout` after it came up or its last session ended; a session stops the clock."""
    say = up(idle_timeout=30.0)
    say.at(20.0)
    call = reported(say)
    say.at(50.0)
    say.silent()
    say.do(say.core.close_session, call.local_id)
    say.us << MessageType.CDN
    say.peer >> ZLB
    say.at(79.9)
    say.silent()
    say.at(80.0)
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert ResultCode(1, 0, "idle") == stopped.said[RESULT_CODE]
    say.peer >> ZLB
    say.at(111.0)
    say.state_is(State.CLOSED)
    bookkeeping(say)


def test_the_idle_timeout_ends_with_the_tunnel() -> None:
    """When the tunnel goes and takes its last session along, no idle timeout stays behind."""
    say = up(idle_timeout=200.0)
    reported(say)
    say.peer.deaf = True
    say.do(say.core.probe)
    say.at(31.0)
    say.skip()
    say.state_is(State.CLOSED)
    assert say.core.next_timer() is None


def test_an_idle_timeout_that_was_taken_back() -> None:
    """`idle_timeout = 0` in a reload saves a tunnel whose clock was running."""
    say = up(idle_timeout=30.0)
    say.core.reconfigure(TunnelSettings(idle_timeout=0.0), 0.0)
    assert say.core._deadlines.next() is None
    say.at(31.0)
    say.silent()
    say.state_is(State.ESTABLISHED)


# --- addresses (8.1) ----------------------------------------------------------------------------------------------------------


def test_the_answer_may_come_from_another_port() -> None:
    """Whoever is called may answer from a port of its choice; from then on that is where we send (8.1)."""
    say = dialled()
    say.peer.address = Address(PEER.host, 40_000)
    say.peer >> sccrp()
    confirmed = say.us << MessageType.SCCCN
    assert Address(PEER.host, 40_000) == confirmed.address == say.core.peer


@pytest.mark.parametrize("address", [Address(PEER.host, 1702), Address("192.0.2.66", 1701)])
def test_addresses_are_static_once_known(address: Address) -> None:
    """Then only the known address and port are listened to, whatever a packet says (8.1: MUST remain static)."""
    for say in (up(), called()):
        before = say.core.state
        say.peer.address = address
        say.peer >> stopccn()
        say.silent()
        say.state_is(before)
        assert 1 == say.site.counters.foreign


def test_the_answer_does_not_come_from_another_host() -> None:
    """The port may change, the address may not."""
    say = dialled()
    say.peer.address = Address("192.0.2.66", 1701)
    say.peer >> sccrp()
    say.silent()
    say.state_is(State.WAIT_CTL_REPLY)
    assert 1 == say.site.counters.foreign


def test_a_mere_acknowledgement_from_another_port_moves_nothing() -> None:
    """Only a message that is delivered moves the tunnel to another port."""
    say = dialled()
    say.peer.address = Address(PEER.host, 40_000)
    say.peer >> ZLB
    assert PEER == say.core.peer


# --- rubbish --------------------------------------------------------------------------------------------------------------------


def test_what_is_no_control_message_is_counted() -> None:
    """Malformed headers are counted and complained about, never answered (7.1)."""
    say = up()
    for datagram in (b"", b"\xc8\x02", b"\0\2" + bytes(20), b"\xc8\x03" + bytes(20)):
        say.core.receive_datagram(datagram, PEER, 0.0)
    say.settle()
    say.silent()
    assert 4 == say.site.counters.malformed == len(say.remarks)


def test_a_message_for_another_tunnel_is_counted() -> None:
    """It is neither acknowledged nor acted upon."""
    say = up()
    say.peer.tunnel_id = OURS + 1
    say.peer >> stopccn()
    say.silent()
    assert 1 == say.site.counters.no_tunnel


def test_a_body_without_a_message_type_ends_the_tunnel() -> None:
    """Without a readable Message Type the state is unknown: StopCCN with result 2 (7.1)."""
    say = up()
    say.peer >> b"\0\0\0"
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert (StopResult.ERROR, ErrorCode.BAD_LENGTH) == (
        stopped.said[RESULT_CODE].result,
        stopped.said[RESULT_CODE].error,
    )


def test_an_unknown_message_that_may_be_ignored_is_ignored() -> None:
    """M bit clear on the Message Type: acknowledged, counted and passed over (4.4.1)."""
    say = up()
    say.peer >> bytes.fromhex("0008 0000 0000 00ff")
    say.us << ZLB
    say.state_is(State.ESTABLISHED)
    assert 1 == say.site.counters.ignored_messages


def test_an_unknown_mandatory_message_ends_the_tunnel() -> None:
    """M bit set: the tunnel is cleared (4.4.1)."""
    say = up()
    say.peer >> bytes.fromhex("8008 0000 0000 00ff")
    say.us << MessageType.STOPCCN


# --- the data plane and the tunnel --------------------------------------------------------------------------------------------


def test_a_data_plane_that_refuses_the_tunnel_stops_it() -> None:
    """StopCCN with result 2, error 4; no delete for what was never made."""
    say = up_called()
    say.plane_failed(0, "out of memory " * 100)
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    code = stopped.said[RESULT_CODE]
    assert (StopResult.ERROR, ErrorCode.NO_RESOURCES, 500) == (code.result, code.error, len(code.message))
    assert ["tunnel down 2", "tunnel deleted 2"] == say.told()
    assert [] == say.plane()
    consistent(say)


# --- reload ---------------------------------------------------------------------------------------------------------------------


def test_reconfigure_changes_timers_retries_and_limits() -> None:
    """A live tunnel takes over the HELLO interval, the retries and the session limit."""
    say = up()
    say.core.reconfigure(TunnelSettings(hello_timeout=10.0, retry_timeout=2.0, max_retries=1, max_sessions=1), 0.0)
    reported(say)
    with pytest.raises(LocalProtocolError, match="limit"):
        say.core.open_session(SessionSettings(), say.now)
    say.peer.deaf = True
    for when in (10.0, 12.0):
        say.at(when)
        say.us << MessageType.HELLO
    say.at(16.0)
    say.state_is(State.CLOSED)


def test_reconfigure_starts_the_idle_timeout_anew() -> None:
    """A tunnel without calls is stopped the new time after the reload, one with a call not at all until it ends."""
    idle, used = up(idle_timeout=300.0), up()
    call = reported(used)
    for say in (idle, used):
        say.at(20.0)
        say.do(say.core.reconfigure, TunnelSettings(idle_timeout=30.0, hello_timeout=0.0))
        say.at(49.9)
        say.silent()
    idle.at(50.0)
    idle.us << MessageType.STOPCCN
    used.at(50.0)
    used.silent()
    used.do(used.core.close_session, call.local_id)
    used.us << MessageType.CDN
    used.peer >> ZLB
    used.at(80.0)
    used.us << MessageType.STOPCCN


def test_reconfigure_leaves_a_tunnel_alone_that_is_no_longer_or_not_yet_established() -> None:
    """The deadline of a set-up and of a StopCCN stay what they were."""
    dialling, closing = dialled(establish_timeout=10.0), up()
    closing.peer.deaf = True
    closing.close()
    closing.us << MessageType.STOPCCN
    for say, end in ((dialling, 10.0), (closing, 31.0)):
        say.do(say.core.reconfigure, TunnelSettings(idle_timeout=5.0))
        assert end == say.core._deadlines.next()


def test_reconfigure_changes_what_is_traced() -> None:
    """The categories of the new settings count at once, and none are left of the old ones."""
    say = up()
    say.do(say.core.reconfigure, TunnelSettings(trace=("protocol",)))
    say.peer >> hello()
    say.us << ZLB
    assert {Category.PROTOCOL} == {remark.category for remark in say.remarks}
    say.do(say.core.reconfigure, TunnelSettings())
    say.remarks.clear()
    say.peer >> hello()
    say.us << ZLB
    assert [] == say.remarks


# --- tracing --------------------------------------------------------------------------------------------------------------------


def test_trace_lines_come_when_they_are_asked_for() -> None:
    """Without a mask nothing is traced; with one the messages, the states and the ignored AVPs appear, each under its category."""
    say = up()
    assert [] == say.remarks
    say.core.trace = Category.ALL
    incoming(say)
    say.peer >> message(MessageType.HELLO, {HOST_NAME: "x"})
    say.us << ZLB
    categories = {remark.category for remark in say.remarks}
    assert {Category.PROTOCOL, Category.FSM, Category.AVP_INFO} <= categories
    lines = [remark.text for remark in say.remarks]
    assert any(line.startswith("received ICRQ") for line in lines)
    assert any(line.startswith("sending ICRP") for line in lines)


# --- many tunnels -------------------------------------------------------------------------------------------------------------


def test_two_tunnels_of_one_peer_do_not_hear_each_other() -> None:
    """Same address, same port: only the tunnel id tells them apart (5.3)."""
    one, two = up(), stage(local_id=8)
    two.open()
    two.us << MessageType.SCCRQ
    two.peer >> sccrp(assigned_tunnel_id=10)
    two.us << MessageType.SCCCN
    datagram = one.peer >> stopccn()
    one.us << ZLB
    two.core.receive_datagram(datagram, PEER, 0.0)
    two.silent()
    two.state_is(State.ESTABLISHED)


def test_copies_of_the_sccrq_reach_the_tunnel_that_answered_it() -> None:
    """They go to tunnel 0 with Ns 0, and are acknowledged even after the tunnel is up."""
    say = stage(origin="network")
    first = say.peer >> sccrq()
    say.us << MessageType.SCCRP
    say.peer >> scccn()
    say.us << ZLB
    say.peer.again(first)
    say.us << ZLB
    say.state_is(State.ESTABLISHED)


def test_a_first_packet_that_was_decoded_already_is_not_decoded_again() -> None:
    """The listener reads an SCCRQ to find its peer entry and hands over what it has read."""
    core = ControlConnection(OURS, a_site(), TunnelSettings(), PEER, 0.0, origin="network")
    core.take_packet(ControlHeader(0, 0, 0, 0), b"not even decodable", PEER, 0.0, sccrq())
    assert core.state is State.WAIT_CTL_CONN
    assert 1 == len(core.datagrams_to_send(0.0))


def test_a_session_message_before_the_tunnel_is_up_is_refused() -> None:
    """ICRQ instead of SCCCN is an improper sequence: StopCCN with result 7 (7.1, 4.4.2)."""
    for say in (dialled(), called()):
        say.peer >> icrq()
        stopped = say.us << MessageType.STOPCCN
        assert stopped.said is not None
        assert StopResult.FSM_ERROR == stopped.said[RESULT_CODE].result


def test_everything_after_our_stopccn_is_acknowledged_and_ignored() -> None:
    """Calls, HELLO and even SCCRQ mean nothing any more."""
    say = up()
    say.peer.deaf = True
    say.close()
    say.us << MessageType.STOPCCN
    for said in (icrq(), hello(), scccn(), iccn(), cdn()):
        say.peer >> said
        say.us << ZLB
    say.state_is(State.CLOSING)
    assert {} == say.core.calls


def test_opening_twice_is_opening_once() -> None:
    """A second `open` does nothing."""
    say = dialled()
    say.open()
    say.silent()


def test_nothing_is_heard_after_the_end() -> None:
    """A closed tunnel neither acts nor answers."""
    say = stage()
    say.close()
    say.core.receive_datagram(build_control(OURS, 0, 0, 0, b""), PEER, 0.0)
    say.core.take_packet(ControlHeader(OURS, 0, 0, 0), b"xxxx", PEER, 0.0)
    say.settle()
    say.silent()


# --- what is counted ----------------------------------------------------------------------------------------------------------


def test_what_came_is_counted_by_type_and_unknown_types_together() -> None:
    """A peer that numbers its messages as it likes fills no table: they all count under 0; the bad ones count again."""
    say = up()
    for kind in (255, 256, 40_000):
        say.peer >> bytes.fromhex("0008 0000 0000") + kind.to_bytes(2, "big")
        say.us << ZLB
    say.peer >> hello()
    say.us << ZLB
    say.peer >> bytes.fromhex("8008 0000 0000 000a 8008 0000 000e 01f4")
    say.us << MessageType.CDN
    counters = say.site.counters
    assert {MessageType.SCCRP: 1, 0: 3, MessageType.HELLO: 1, MessageType.ICRQ: 1} == counters.received
    assert {MessageType.ICRQ: 1} == counters.bad
    say.peer >> bytes.fromhex("8008 0000 0000 00ff")
    say.us << MessageType.STOPCCN
    assert {MessageType.ICRQ: 1, 0: 1} == counters.bad
