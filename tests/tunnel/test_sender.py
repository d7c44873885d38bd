"""The sending half: marks, window and timer, without a receiver beside it."""

from __future__ import annotations

import pytest

from l2tpd.errors import LocalProtocolError
from l2tpd.tunnel.sender import LARGEST_WINDOW, NEVER, OLDEST_NR, Sender


def make(*items: str, window: int = 8, cwnd: int = 8) -> Sender[str]:
    """Make a sender with these messages queued."""
    sender: Sender[str] = Sender(1.0, 8.0, 5)
    sender.set_peer_window(window)
    sender.cwnd = cwnd
    for item in items:
        sender.enqueue(item, note=False)
    return sender


def sent(sender: Sender[str], now: float) -> str:
    """Return what leaves now, run together."""
    return "".join(packet.item or "-" for packet in sender.transmit(0, now))


def test_a_timeout_repeats_the_head_alone() -> None:
    """With four messages in flight, the timer repeats the first only (appendix A: CWND is set to one)."""
    sender = make(*"abcd")
    assert "abcd" == sent(sender, 0.0)
    sender.expire(1.0)
    assert "a" == sent(sender, 1.0)
    assert (1, 4) == (sender.cwnd, sender.ssthresh)


def test_a_peer_that_queued_the_rest_is_sent_nothing_twice() -> None:
    """If the head was all that was missing, its ACK covers the window and only new messages follow."""
    sender = make(*"abcde", window=4, cwnd=4)
    assert "abcd" == sent(sender, 0.0)
    sender.expire(1.0)
    assert "a" == sent(sender, 1.0)
    assert sender.acknowledge(4, 1.1)
    assert "e" == sent(sender, 1.1)
    assert 1 == sender.retransmitted


def test_a_peer_that_discarded_the_rest_gets_it_in_slow_start() -> None:
    """If the peer discards early messages, the ACK of the head alone brings the others again, two, then four."""
    sender = make(*"abcdefg")
    assert "abcdefg" == sent(sender, 0.0)
    sender.expire(1.0)
    assert "a" == sent(sender, 1.0)
    assert sender.acknowledge(1, 1.1)
    assert "bc" == sent(sender, 1.1)
    assert sender.acknowledge(3, 1.2)
    assert "defg" == sent(sender, 1.2)
    assert 7 == sender.retransmitted


def test_a_late_ack_after_a_timeout_spares_the_repetition() -> None:
    """An ACK that arrives after the timer fired but before anything was repeated leaves nothing to repeat."""
    sender = make(*"ab")
    assert "ab" == sent(sender, 0.0)
    sender.expire(1.0)
    assert sender.acknowledge(2, 1.0)
    assert "" == sent(sender, 1.0)
    assert NEVER == sender.deadline


def test_an_ack_that_advances_restarts_the_timer() -> None:
    """With b still in flight after a was acknowledged at 0.9, the timer runs to 1.9."""
    sender = make(*"ab")
    assert "ab" == sent(sender, 0.0)
    assert sender.acknowledge(1, 0.9)
    assert 1.9 == sender.deadline


def test_a_message_sent_later_does_not_put_the_timer_off() -> None:
    """The timer is that of the oldest message in flight: b, sent at 0.9, leaves the deadline of a at 1.0."""
    sender = make("a")
    assert "a" == sent(sender, 0.0)
    sender.enqueue("b", note=False)
    assert "b" == sent(sender, 0.9)
    assert 1.0 == sender.deadline


def test_repetitions_and_new_messages_that_leave_together_are_told_apart() -> None:
    """When the window opens over the last repetition and the first new message, one of each is counted."""
    sender = make(*"abc", window=2, cwnd=2)
    assert "ab" == sent(sender, 0.0)
    sender.expire(1.0)
    assert "a" == sent(sender, 1.0)
    assert sender.acknowledge(1, 1.1)
    assert "bc" == sent(sender, 1.1)
    assert (2, 3) == (sender.retransmitted, sender.fresh)


def test_a_late_ack_does_not_revive_a_failed_sender() -> None:
    """After the verdict an ACK that would open the window brings nothing out."""
    sender = make(*"ab", window=1, cwnd=1)
    sender.max_retries = 0
    assert "a" == sent(sender, 0.0)
    sender.expire(1.0)
    assert sender.failed
    assert sender.acknowledge(1, 1.5)
    assert "" == sent(sender, 1.5)


def test_half_earned_growth_is_forgotten_at_a_loss() -> None:
    """Seven of eight ACKs towards the next packet count for nothing once a message was lost (appendix A)."""
    sender = make(*("x" * 40), window=16, cwnd=8)
    sender.ssthresh = 8
    assert 8 == len(sent(sender, 0.0))
    assert sender.acknowledge(7, 0.1)
    assert 8 == sender.cwnd
    sender.expire(1.1)
    assert (1, 4) == (sender.cwnd, sender.ssthresh)
    sizes = []
    for _ in range(5):
        sizes.append(len(sent(sender, 1.1)))
        assert sender.acknowledge(sender.fresh if len(sizes) > 1 else 8, 1.1)
    assert [1, 2, 4, 5, 6] == sizes


def test_the_congestion_window_stays_inside_a_window_that_shrank_and_grew() -> None:
    """Acknowledging far more than the congestion window at once never lifts it above the peer's window."""
    sender = make(*("x" * 30), window=20, cwnd=20)
    assert 20 == len(sent(sender, 0.0))
    sender.set_peer_window(2)
    sender.set_peer_window(9)
    assert sender.acknowledge(20, 0.1)
    assert 9 == sender.cwnd == len(sent(sender, 0.1))


def test_the_peers_window_may_shrink_below_what_is_in_flight() -> None:
    """A Receive Window Size below the number in flight sends nothing new until enough is acknowledged."""
    sender = make(*"abcdef", window=4, cwnd=4)
    assert "abcd" == sent(sender, 0.0)
    sender.set_peer_window(2)
    assert sender.acknowledge(2, 0.1)
    assert "" == sent(sender, 0.1)
    assert sender.acknowledge(3, 0.2)
    assert "e" == sent(sender, 0.2)


@pytest.mark.parametrize("size", [0, -1])
def test_a_window_of_zero_is_refused(size: int) -> None:
    """A Receive Window Size of 0 is invalid (RFC 2661 5.8)."""
    with pytest.raises(LocalProtocolError):
        make().set_peer_window(size)


def test_a_huge_window_is_cut_where_nr_would_become_ambiguous() -> None:
    """The AVP may say 65535; half the number space is the most that can be told apart."""
    sender = make(window=65535)
    assert LARGEST_WINDOW == sender.peer_window == 32767


def test_an_empty_queue_keeps_no_memory_of_its_largest_day() -> None:
    """After thousands of queued messages have been acknowledged, nothing of them is left."""
    sender = make(*("x" * 5000), window=32767, cwnd=32767)
    empty = make()
    assert 5000 == len(sent(sender, 0.0))
    assert sender.acknowledge(5000, 0.1)
    assert empty._items.__sizeof__() == sender._items.__sizeof__()


def acknowledged(count: int) -> Sender[str]:
    """Make a sender of which the peer has acknowledged this many messages, one by one."""
    sender = make(window=1, cwnd=1)
    for number in range(1, count + 1):
        sender.enqueue("m", note=False)
        sender.transmit(0, 0.0)
        assert sender.acknowledge(number & 0xFFFF, 0.0)
    return sender


@pytest.mark.parametrize("count", [0, 3, OLDEST_NR, 2_000, 66_000])
def test_an_old_nr_is_one_that_the_peer_has_sent_lately(count: int) -> None:
    """Behind by no more than was ever acknowledged, and by no more than 1,024; what is older is nobody's honest Nr (RFC 5961 5.2)."""
    sender = acknowledged(count)
    furthest = min(count, OLDEST_NR)
    taken = [behind for behind in range(1, 0x10000) if sender.acknowledge((count - behind) & 0xFFFF, 0.0)]
    assert list(range(1, furthest + 1)) == taken
    assert (furthest, 0xFFFF - furthest) == (sender.old_nr, sender.bad_nr)
    assert count == sender.acknowledged
