"""RFC 3931 section 4.2: reliable delivery of control messages in version 3; what both versions share is shown in `rfc2661/test_section_5_8.py`."""

from __future__ import annotations

import pytest

from dialogue import OURS, THEIRS, ZLB, stage
from dialogue3 import called3, dialled3, hello3, icrq3, incoming3, scccn3, sccrp3, sccrq3, stopccn3, up3, up_called3
from l2tpd.config.model import Encapsulation, TunnelSettings
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.dialect import V3
from l2tpd.tunnel.states import State
from l2tpd.wire.header import build_control3, parse_control3
from l2tpd.wire.messages import decode3
from l2tpd.wire.numbers import MessageType

SETTINGS = pytest.mark.parametrize("secret", ["", "sesame"])
ACK = bytes.fromhex("8008 0000 0000 0014")


def raw(core_says: list[bytes]) -> bytes:
    (datagram,) = core_says
    return datagram


@SETTINGS
def test_4_2_what_only_acknowledges_is_an_explicit_ack(secret: str) -> None:
    """sent explicitly via an ACK message": the Message Type AVP with 20, not an empty body, with or without authentication."""
    say = called3(secret=secret)
    confirmation = say.peer.seal.sign(build_control3(OURS, 1, 1, say.peer.body(scccn3())))
    say.core.receive_datagram(confirmation, say.core.peer, 0.0)
    header, body = parse_control3(raw(say.core.datagrams_to_send(0.0)))
    assert (THEIRS, 0, 1, 2) == header
    assert MessageType.ACK == decode3(body).type
    assert bool(secret) == (len(body) > len(ACK))


@SETTINGS
def test_4_2_ns_is_not_incremented_after_an_ack(secret: str) -> None:
    """All control messages take up one slot in the control message sequence number space, except the ACK message."""
    say = up3(secret=secret)
    for ns in (1, 2, 3):
        say.peer >> hello3()
        acknowledged = say.us << ZLB
        assert (2, ns + 1) == (acknowledged.ns, acknowledged.nr)
    say.do(say.core.probe)
    asked = say.us << MessageType.HELLO
    assert 2 == asked.ns


@SETTINGS
def test_4_2_the_ns_of_an_ack_does_not_update_nr(secret: str) -> None:
    """the Nr of the next message sent is not updated by the Ns of the ACK message"; its own Nr empties our queue."""
    say = up3(secret=secret)
    say.do(say.core.probe)
    say.us << MessageType.HELLO
    say.peer.ns = 77
    say.peer >> ZLB
    assert say.core.channel.idle
    say.peer.ns = 1
    say.peer >> hello3()
    heard = say.us << ZLB
    assert 2 == heard.nr


@pytest.mark.parametrize("flags", ["8008", "0008", "bc08"])
def test_5_1_and_5_2_neither_the_m_bit_nor_reserved_bits_make_an_ack_a_message(flags: str) -> None:
    """In no case shall a receiver of an AVP "validate" if the M bit is set on a recognized AVP"; reserved bits are ignored."""
    say = up3()
    for _ in range(2):
        say.peer.say(bytes.fromhex(flags + "0000 0000 0014"))
        say.peer.ns -= 1
    say.silent()
    say.peer >> hello3()
    heard = say.us << ZLB
    assert 2 == heard.nr


def test_6_15_a_zlb_serves_the_same_function_without_authentication() -> None:
    """A message received without any AVPs ... serves the same function as the Explicit Acknowledgement."""
    say = up3()
    say.do(say.core.probe)
    say.us << MessageType.HELLO
    say.peer >> b""
    assert say.core.channel.idle
    say.silent()


def test_6_15_a_zlb_is_not_permitted_with_authentication() -> None:
    """ZLB messages are only permitted when Control Message Authentication ... is not enabled": such a one acknowledges nothing."""
    say = up3(secret="sesame")
    say.do(say.core.probe)
    say.us << MessageType.HELLO
    say.peer >> b""
    assert not say.core.channel.idle
    assert 1 == say.site.counters.auth_failures


@SETTINGS
def test_4_2_duplicates_must_be_acknowledged(secret: str) -> None:
    """receipt of duplicate messages MUST be acknowledged by the reliable delivery mechanism", and they are ignored otherwise."""
    say = up_called3(secret=secret)
    asked = say.peer >> icrq3()
    say.us << MessageType.ICRP
    say.peer >> ZLB
    for _ in range(2):
        say.peer.again(asked)
        heard = say.us << ZLB
        assert (2, 3) == (heard.ns, heard.nr)
        assert heard.signed is (True if secret else None)
    assert 1 == len(say.core.calls)


@SETTINGS
def test_4_2_a_retransmission_has_the_same_ns_and_the_newest_nr(secret: str) -> None:
    """The retransmitted message contains the same Ns value, but the Nr value MUST be updated"; so it is signed anew."""
    say = up3(secret=secret)
    say.peer.deaf = True
    say.do(say.core.probe)
    first = say.us << MessageType.HELLO
    say.peer >> hello3()
    say.us << ZLB
    say.at(1.0)
    second = say.us << MessageType.HELLO
    assert (first.ns, first.nr + 1) == (second.ns, second.nr)
    assert second.signed is (True if secret else None)


def test_4_2_exponential_backoff_up_to_8_seconds_then_all_must_be_cleared() -> None:
    """Each subsequent retransmission of a message MUST employ an exponential backoff interval"; the maximum of ten is the RFC's recommendation."""
    say = dialled3(max_retries=10, establish_timeout=1000.0)
    times = [1.0, 3.0, 7.0, *(7.0 + 8.0 * place for place in range(1, 8))]
    for when in times:
        say.at(when)
        say.us << MessageType.SCCRQ
    say.silent()
    say.at(times[-1] + 8.0)
    say.state_is(State.CLOSED)


def test_4_2_nr_should_be_sanity_checked_before_flushing_the_retransmit_queue() -> None:
    """if the Nr received in a control message is greater than the last Ns sent plus 1 ..., the control message is clearly invalid."""
    say = up3()
    say.do(say.core.probe)
    say.us << MessageType.HELLO
    say.peer.nr += 5
    say.peer >> ZLB
    assert not say.core.channel.idle


@SETTINGS
def test_4_2_messages_are_delivered_in_order_and_without_duplication(secret: str) -> None:
    """Two requests that change places on the way are answered in the order of their numbers."""
    say = up_called3(secret=secret)
    say.peer.ns += 1
    say.peer >> icrq3(2)
    late = say.us << ZLB
    assert 2 == late.nr
    say.peer.ns -= 2
    say.peer >> icrq3(1)
    assert [1, 2] == [call.peer_id for call in say.core.calls.values()]
    say.skip()


def test_4_2_the_receive_window_of_the_peer_must_not_be_overrun() -> None:
    """Each peer MUST limit the number of unacknowledged messages it will send ... by this Receive Window Size."""
    say = dialled3()
    say.peer >> sccrp3(receive_window_size=1)
    say.us << MessageType.SCCCN
    for _ in range(3):
        say.open_session()
    say.silent()
    for _ in range(3):
        say.peer >> ZLB
        say.us << MessageType.ICRQ


def test_5_4_3_without_a_receive_window_size_the_window_is_4() -> None:
    """If absent, the peer must assume a Window Size of 4 for its transmit window."""
    say = stage(dialect=V3, origin="network")
    say.peer >> sccrq3(receive_window_size=None)
    say.us << MessageType.SCCRP
    assert say.core.facts is not None
    assert 4 == say.core.facts.receive_window == say.core.channel.peer_window


@pytest.mark.parametrize("encap", Encapsulation)
def test_4_2_acknowledgements_are_not_delayed(encap: Encapsulation) -> None:
    """MUST NOT actively delay acknowledgment of messages as a technique for flow control"."""
    say = up3(encap=encap)
    for _ in range(20):
        say.peer >> hello3()
        say.us << ZLB


@SETTINGS
def test_3_3_2_the_recipient_of_a_stopccn_must_ack_it_for_a_full_cycle(secret: str) -> None:
    """maintain enough control connection state to properly accept StopCCN retransmissions"; its ACKs are signed like any other message."""
    say = up_called3(secret=secret)
    ended = say.peer >> stopccn3()
    first = say.us << ZLB
    for when in (1.0, 3.0, 7.0, 15.0, 30.9):
        say.at(when)
        say.peer.again(ended)
        heard = say.us << ZLB
        assert first[:4] == heard[:4]
        assert heard.signed is (True if secret else None)
    say.at(31.0)
    say.state_is(State.CLOSED)


@pytest.mark.parametrize("retries", [1, 10])
def test_4_2_the_connection_and_all_its_sessions_must_be_cleared(retries: int) -> None:
    """If no peer response is detected after several retransmissions (a recommended default is 10, but MUST be configurable)."""
    say = up_called3(max_retries=retries)
    calls = [incoming3(say, local) for local in (1, 2)]
    say.peer.deaf = True
    say.do(say.core.probe)
    say.at(200.0)
    assert [MessageType.HELLO] * (1 + retries) == [heard.said.type for heard in say.skip() if heard.said]
    say.state_is(State.CLOSED)
    for call in calls:
        say.state_is(CallState.IDLE, call)


@pytest.mark.parametrize("first", [0.5, 1.0, 3.0])
def test_4_2_the_first_interval_should_be_configurable(first: float) -> None:
    """a recommended default is 1 second", which is ours; each later one is twice as long, up to 8 seconds."""
    say = dialled3(retry_timeout=first)
    times = [first, 3 * first]
    for when in times:
        say.at(when - 0.01)
        say.silent()
        say.at(when)
        say.us << MessageType.SCCRQ
    assert 1.0 == TunnelSettings().retry_timeout
