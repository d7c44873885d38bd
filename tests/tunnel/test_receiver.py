"""The receiving half: what a sequence number means."""

from __future__ import annotations

from l2tpd.tunnel.receiver import Arrival, Receiver


def test_a_window_of_four_takes_three_early_messages() -> None:
    """With a window of 4, numbers 1..3 ahead of 0 are early and 4 is outside; the half behind is duplicate."""
    receiver: Receiver[str] = Receiver(4)
    verdicts = [receiver.classify(ns) for ns in (0, 1, 3, 4, 32767, 32768, 65535)]
    outside, duplicate = Arrival.OUTSIDE, Arrival.DUPLICATE
    assert [Arrival.EXPECTED, Arrival.EARLY, Arrival.EARLY, outside, outside, duplicate, duplicate] == verdicts
    assert (2, 2, 2) == (receiver.out_of_order, receiver.out_of_window, receiver.duplicates)


def test_the_gap_closed_releases_what_waited_up_to_the_next_gap() -> None:
    """1 and 3 wait; 0 releases itself and 1; 2 releases itself and 3."""
    receiver: Receiver[str] = Receiver(8)
    receiver.keep(1, "b")
    receiver.keep(3, "d")
    assert ["a", "b"] == list(receiver.deliver("a"))
    assert 1 == receiver.waiting
    assert ["c", "d"] == list(receiver.deliver("c"))
    assert (0, 4) == (receiver.waiting, receiver.expected)


def test_a_copy_of_a_waiting_message_is_a_duplicate() -> None:
    """The first copy of an early message is kept, the second is a duplicate: a late forger changes nothing."""
    receiver: Receiver[str] = Receiver(8)
    assert Arrival.EARLY is receiver.classify(2)
    receiver.keep(2, "true")
    assert Arrival.DUPLICATE is receiver.classify(2)
