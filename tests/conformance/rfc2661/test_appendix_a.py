"""RFC 2661 appendix A: control channel slow start and congestion avoidance."""

from __future__ import annotations

import pytest

from l2tpd.tunnel.channel import Channel, ChannelSettings


def sender(window: int, backlog: int) -> Channel[int]:
    """Make a channel towards a peer with this window, with so many messages queued."""
    channel: Channel[int] = Channel(ChannelSettings(hello_timeout=0.0), 0.0)
    channel.set_peer_window(window)
    for item in range(backlog):
        channel.send(item, 0.0)
    return channel


def round_trip(channel: Channel[int], now: float) -> int:
    """Send what may be sent, acknowledge each message by its own ZLB, and return how many there were."""
    packets = channel.transmit(now)
    for packet in packets:
        channel.receive(0, packet.ns + 1, None, now)
    return len(packets)


def test_cwnd_is_initialized_to_one_packet_and_ssthresh_to_the_advertised_window() -> None:
    """RFC: "CWND is initialized to one packet, and SSHTRESH is initialized to the advertised window"."""
    channel = sender(16, 8)
    assert (1, 16) == (channel.cwnd, channel.ssthresh)
    assert 1 == len(channel.transmit(0.0))


def test_cwnd_is_increased_by_one_packet_each_time_an_ack_is_received() -> None:
    """RFC: "CWND is increased by one packet each time an ACK (explicit ZLB or piggybacked) is received"."""
    channel = sender(16, 100)
    channel.transmit(0.0)
    channel.receive(0, 1, None, 0.0)
    assert 2 == channel.cwnd
    channel.transmit(0.0)
    channel.receive(0, 2, 99, 0.0)
    assert 3 == channel.cwnd
    channel.receive(1, 3, None, 0.0)
    assert 4 == channel.cwnd


def test_slow_start_doubles_cwnd_each_round_trip_up_to_the_advertised_window() -> None:
    """RFC: "has the effect of doubling CWND with each round trip", "never ... to exceed the advertised window"."""
    channel = sender(20, 1000)
    assert [1, 2, 4, 8, 16, 20, 20] == [round_trip(channel, float(n)) for n in range(7)]


@pytest.mark.parametrize("window", [1, 2, 3])
def test_small_windows_are_never_exceeded(window: int) -> None:
    """A window of one stays a window of one, before and after a loss."""
    channel = sender(window, 100)
    assert window == max(round_trip(channel, 0.0) for _ in range(6))
    channel.transmit(0.0)
    channel.handle_timer(1.0)
    assert window >= channel.ssthresh
    assert window == max(round_trip(channel, 1.0) for _ in range(9))


def test_congestion_saves_half_of_cwnd_in_ssthresh_and_reenters_slow_start() -> None:
    """RFC: "one half of the CWND is saved in SSTHRESH, and CWND is set to one."."""
    channel = sender(16, 1000)
    assert [1, 2, 4, 8, 16] == [round_trip(channel, 0.0) for _ in range(5)]
    assert 16 == len(channel.transmit(0.0))
    channel.handle_timer(1.0)
    assert (1, 8) == (channel.cwnd, channel.ssthresh)
    slow_start = [1, 2, 4, 8]
    avoidance = [9, 10, 11, 12, 13, 14, 15, 16]
    assert [*slow_start, *avoidance, 16] == [round_trip(channel, 1.0) for _ in range(13)]


def test_congestion_avoidance_needs_cwnd_acks_for_one_packet() -> None:
    """RFC: "CWND is increased by one packet after CWND new ACKs have been received"."""
    channel = sender(16, 1000)
    for _ in range(5):
        round_trip(channel, 0.0)
    channel.transmit(0.0)
    channel.handle_timer(1.0)
    for _ in range(4):
        round_trip(channel, 1.0)
    grown = []
    for packet in channel.transmit(1.0):
        channel.receive(0, packet.ns + 1, None, 1.0)
        grown.append(channel.cwnd)
    assert [9] * 8 + [10] == grown


def test_an_ack_that_covers_several_messages_counts_for_each() -> None:
    """A peer that coalesces its ACKs gets the same doubling a round trip as one that does not."""
    channel = sender(64, 1000)
    sizes = []
    for _ in range(6):
        sizes.append(len(channel.transmit(0.0)))
        channel.receive(0, channel.ns, None, 0.0)
    assert [1, 2, 4, 8, 16, 32] == sizes


def test_an_ack_of_what_was_given_up_for_lost_opens_no_window() -> None:
    """After a timeout, the ACK of sixteen messages of which one was repeated widens CWND by that one."""
    channel = sender(16, 1000)
    for _ in range(5):
        round_trip(channel, 0.0)
    assert 16 == len(channel.transmit(0.0))
    channel.handle_timer(1.0)
    assert 1 == len(channel.transmit(1.0))
    channel.receive(0, channel.ns, None, 1.1)
    assert 2 == channel.cwnd == len(channel.transmit(1.1))


def test_ssthresh_starts_at_the_window_of_the_avp_even_after_a_lost_sccrq() -> None:
    """The advertised window becomes known with the reply; a repeated SCCRQ does not leave a threshold of two behind."""
    channel: Channel[str] = Channel(ChannelSettings(), 0.0)
    channel.send("SCCRQ", 0.0)
    channel.transmit(0.0)
    channel.handle_timer(1.0)
    assert 2 == channel.ssthresh
    channel.set_peer_window(128)
    assert 128 == channel.ssthresh
