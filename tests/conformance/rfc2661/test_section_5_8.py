"""RFC 2661 5.8: reliable delivery of control messages. Each test quotes the requirement that it checks."""

from __future__ import annotations

import pytest

from badnet import DEAD, BadNet, Weather, channel_end
from l2tpd.errors import LocalProtocolError
from l2tpd.tunnel.channel import Channel, ChannelSettings, Transmission

QUIET = ChannelSettings(hello_timeout=0.0)


def fresh(window: int = 128) -> Channel[str]:
    """Make a channel towards a peer with this window."""
    channel: Channel[str] = Channel(QUIET, 0.0)
    channel.set_peer_window(window)
    return channel


def pair(
    weather: Weather, seed: int
) -> tuple[Channel[str], list[str], Channel[str], list[str], BadNet[Transmission[str]]]:
    """Join two channels by such a path; each comes with its inbox."""
    left, right = fresh(), fresh()
    left_inbox: list[str] = []
    right_inbox: list[str] = []
    net = BadNet(channel_end(left, left_inbox), channel_end(right, right_inbox), weather, seed=seed)
    return left, left_inbox, right, right_inbox, net


def test_5_8_ns_begins_at_0_and_each_subsequent_message_is_sent_with_the_next_increment() -> None:
    """RFC: "The message sequence number, Ns, begins at 0. Each subsequent message is sent with the next increment"."""
    channel = fresh()
    for expected in range(5):
        channel.send("m", 0.0)
        assert [expected] == [packet.ns for packet in channel.transmit(0.0)]
        channel.receive(0, expected + 1, None, 0.0)


def test_5_8_the_sequence_number_is_a_free_running_counter_modulo_65536() -> None:
    """RFC: "a free running counter represented modulo 65536": 65535 is followed by 0, for Ns and for Nr."""
    channel = fresh()
    for n in range(65_536):
        channel.receive(n, n, "m", 0.0)
        channel.send("m", 0.0)
        last = channel.transmit(0.0)
    assert [Transmission(65_535, 0, "m")] == last
    channel.receive(0, 0, "m", 0.0)
    channel.send("m", 0.0)
    assert [Transmission(0, 1, "m")] == channel.transmit(0.0)


def test_5_8_the_preceding_32767_values_are_duplicates() -> None:
    """With 15 received last, "0 through 15, as well as 32784 through 65535" are duplicates."""
    channel = fresh()
    for ns in range(16):
        channel.receive(ns, 0, "m", 0.0)
    channel.transmit(0.0)
    for ns in (0, 15, 32784, 65535):
        assert [] == list(channel.receive(ns, 0, "again", 0.0))
    assert 4 == channel.stats.duplicates
    channel.receive(32783, 0, "far ahead", 0.0)
    assert (4, 1) == (channel.stats.duplicates, channel.stats.out_of_window)


def test_5_8_receipt_of_duplicate_messages_must_be_acknowledged() -> None:
    """RFC: "receipt of duplicate messages MUST be acknowledged": piggybacked or in a ZLB."""
    channel = fresh()
    channel.receive(0, 0, "m", 0.0)
    assert [Transmission(0, 1, None)] == channel.transmit(0.0)
    channel.receive(0, 0, "m", 1.0)
    assert [Transmission(0, 1, None)] == channel.transmit(1.0)
    channel.receive(0, 0, "m", 3.0)
    channel.send("reply", 3.0)
    assert [Transmission(0, 1, "reply")] == channel.transmit(3.0)


def test_5_8_ns_is_not_incremented_after_a_zlb_message_is_sent() -> None:
    """RFC: "Ns is not incremented after a ZLB message is sent"."""
    channel = fresh()
    channel.receive(0, 0, "m", 0.0)
    assert [Transmission(0, 1, None)] == channel.transmit(0.0)
    channel.send("m", 0.0)
    assert [Transmission(0, 1, "m")] == channel.transmit(0.0)


def test_5_8_nr_is_not_updated_by_the_ns_of_a_zlb() -> None:
    """RFC: "Nr of the next message sent is not be updated by the Ns of the ZLB"."""
    channel = fresh()
    channel.receive(0, 0, None, 0.0)
    channel.send("m", 0.0)
    assert [Transmission(0, 0, "m")] == channel.transmit(0.0)


def test_5_8_nr_in_a_received_zlb_flushes_messages_from_the_retransmit_queue() -> None:
    """RFC: "the Nr in a received ZLB is used to flush messages from the local retransmit queue"."""
    channel = fresh()
    channel.send("m", 0.0)
    channel.transmit(0.0)
    channel.receive(0, 1, None, 0.1)
    assert channel.idle
    assert channel.next_timer() is None


def test_5_8_messages_are_delivered_in_order_and_without_duplication() -> None:
    """RFC: "messages are delivered in order and without duplication to the upper level"; early ones "may be queued"."""
    channel = fresh()
    arrivals = [(1, "b"), (3, "d"), (0, "a"), (1, "b"), (2, "c"), (3, "d"), (0, "a")]
    delivered = [item for ns, text in arrivals for item in channel.receive(ns, 0, text, 0.0)]
    assert ["a", "b", "c", "d"] == delivered


def test_5_8_the_retransmitted_message_contains_the_same_ns_and_an_updated_nr() -> None:
    """RFC: "contains the same Ns value, but the Nr value MUST be updated"."""
    channel = fresh()
    channel.send("m", 0.0)
    assert [Transmission(0, 0, "m")] == channel.transmit(0.0)
    channel.receive(0, 0, "x", 0.5)
    channel.transmit(0.5)
    channel.handle_timer(1.0)
    assert [Transmission(0, 1, "m")] == channel.transmit(1.0)


def test_5_8_each_retransmission_must_employ_an_exponential_backoff_interval_until_the_tunnel_is_cleared() -> None:
    """1 s, 2 s, 4 s, then the cap of 8 s; after the recommended five retransmissions the tunnel is lost, at 31 s."""
    left, _, _, right_inbox, net = pair(DEAD, seed=1)
    left.send("SCCRQ", 0.0)
    net.run_until(1e6)
    assert [0.0, 1.0, 3.0, 7.0, 15.0, 23.0] == [passage.sent_at for passage in net.passages]
    assert left.failed
    assert [] == right_inbox


def test_5_8_the_cap_must_be_no_less_than_8_seconds() -> None:
    """RFC: "This cap MUST be no less than 8 seconds per retransmission"."""
    with pytest.raises(LocalProtocolError, match="retry_cap"):
        ChannelSettings(retry_cap=7.999)
    assert 8.0 == ChannelSettings(retry_cap=8.0).retry_cap


def test_5_8_up_to_n_messages_are_outstanding() -> None:
    """RFC: "B is now allowed to have up to N outstanding control messages"."""
    channel = fresh(window=4)
    for _ in range(3):
        channel.send("warm", 0.0)
        channel.transmit(0.0)
        channel.receive(0, channel.ns, None, 0.0)
    for _ in range(6):
        channel.send("m", 0.0)
    assert [3, 4, 5, 6] == [packet.ns for packet in channel.transmit(0.0)]
    channel.receive(0, 3, None, 0.0)
    assert [] == channel.transmit(0.0)
    channel.receive(0, 4, None, 0.0)
    assert [7] == [packet.ns for packet in channel.transmit(0.0)]


def test_5_8_must_accept_a_window_of_up_to_4_from_its_peer() -> None:
    """RFC: "An implementation ... MUST accept a window of up to 4": we do, though our own be one."""
    channel: Channel[str] = Channel(ChannelSettings(receive_window=1), 0.0)
    for _ in range(20):
        channel.send("m", 0.0)
    sizes = []
    for _ in range(4):
        sizes.append(len(channel.transmit(0.0)))
        channel.receive(0, channel.ns, None, 0.0)
    assert [1, 2, 4, 4] == sizes


def test_5_8_a_peer_must_not_withhold_acknowledgment() -> None:
    """RFC: "A peer MUST NOT withhold acknowledgment": the ACK leaves though our queue is full and our window closed."""
    channel = fresh(window=1)
    for _ in range(50):
        channel.send("m", 0.0)
    channel.transmit(0.0)
    for ns in range(128):
        channel.receive(ns, 0, "m", 0.1)
    assert [Transmission(1, 128, None)] == channel.transmit(0.1)


@pytest.mark.parametrize("seed", range(10))
def test_5_8_the_reliable_transport_delivers_over_a_bad_path(seed: int) -> None:
    """A quarter lost, some doubled, all reordered: three hundred messages each way arrive once and in order."""
    weather = Weather(loss=0.25, duplication=0.1, delay_min=0.01, delay_max=0.3)
    left, left_inbox, right, right_inbox, net = pair(weather, seed)
    messages = [str(n) for n in range(300)]
    for text in messages:
        left.send(text, 0.0)
        right.send(text, 0.0)
    net.run_until(5000.0, lambda: (left.idle or left.failed) and (right.idle or right.failed))
    assert not left.failed
    assert not right.failed
    assert messages == left_inbox == right_inbox
