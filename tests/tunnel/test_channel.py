"""Dialogues of one channel with a peer that the test plays, in virtual time (RFC 2661 5.5 and 5.8)."""

from __future__ import annotations

from typing import Any

import pytest

from l2tpd.errors import LocalProtocolError
from l2tpd.tunnel.channel import Channel, ChannelSettings, Transmission

DEFAULTS = ChannelSettings()


def make(*, window: int | None = None, now: float = 0.0, **settings: Any) -> Channel[str]:
    """Make a channel with these settings; without `window` the peer's is not known yet."""
    channel: Channel[str] = Channel(ChannelSettings(**settings), now)
    if window is not None:
        channel.set_peer_window(window)
    return channel


def at(channel: Channel[str], now: float) -> list[tuple[int, int, str | None]]:
    """Let the time come and return what leaves, as (ns, nr, item)."""
    channel.handle_timer(now)
    return [(ns, nr, item) for ns, nr, item in channel.transmit(now)]


def widen(channel: Channel[str], size: int, now: float = 0.0) -> int:
    """Exchange messages until the congestion window is `size`; return the next Ns."""
    while channel.cwnd < size:
        channel.send("warm", now)
        channel.transmit(now)
        channel.receive(0, channel.ns, None, now)
    return channel.ns


# Retransmission


def test_unanswered_message_is_repeated_with_backoff_until_the_peer_is_declared_dead() -> None:
    """Sent at 0, repeated at 1, 3, 7, 15, 23 with the same Ns; at 31 the peer is dead (RFC 2661 5.8)."""
    us = make()
    us.send("SCCRQ", 0.0)
    for t in (0.0, 1.0, 3.0, 7.0, 15.0, 23.0):
        assert [(0, 0, "SCCRQ")] == at(us, t)
        assert not us.failed
    assert 31.0 == us.next_timer()
    assert [] == at(us, 31.0)
    assert us.failed
    assert us.next_timer() is None


def test_nothing_leaves_between_the_deadlines() -> None:
    """A timer call before the deadline does nothing, and a second look at the same instant finds nothing."""
    us = make()
    us.send("SCCRQ", 0.0)
    assert [(0, 0, "SCCRQ")] == at(us, 0.0)
    assert [] == at(us, 0.0)
    assert [] == at(us, 0.999)
    assert [(0, 0, "SCCRQ")] == at(us, 1.0)
    assert [] == at(us, 1.0)
    assert [] == at(us, 2.999)


def test_a_failed_channel_is_silent() -> None:
    """Once the peer is declared dead nothing leaves, neither message nor ZLB, and nothing is waited for."""
    us = make(max_retries=0)
    us.send("HELLO", 0.0)
    at(us, 0.0)
    assert [] == at(us, 1.0)
    assert us.failed
    us.send("StopCCN", 1.0)
    us.receive(0, 0, "late", 1.0)
    assert [] == at(us, 1.0)
    assert us.next_timer() is None


def test_a_clock_that_jumped_is_one_step() -> None:
    """An hour that passes at once costs one retry, not all of them."""
    us = make()
    us.send("HELLO", 0.0)
    at(us, 0.0)
    assert [(0, 0, "HELLO")] == at(us, 3600.0)
    assert 3602.0 == us.next_timer()
    assert not us.failed


def test_a_retransmission_carries_the_same_ns_and_the_present_nr() -> None:
    """Nr of a repeated message is updated with what arrived meanwhile (RFC 2661 5.8: MUST)."""
    us = make()
    us.send("ICRQ", 0.0)
    assert [(0, 0, "ICRQ")] == at(us, 0.0)
    us.receive(0, 0, "HELLO", 0.5)
    assert [(1, 1, None)] == at(us, 0.5)
    assert [(0, 1, "ICRQ")] == at(us, 1.0)


def test_progress_resets_backoff_and_retries() -> None:
    """Each of two messages gets all its retries, however many the other one used."""
    us = make(window=4)
    us.send("a", 0.0)
    us.send("b", 0.0)
    for t in (0.0, 1.0, 3.0, 7.0, 15.0, 23.0):
        assert [(0, 0, "a")] == at(us, t)
    us.receive(0, 1, None, 30.0)
    for t in (30.0, 31.0, 33.0, 37.0, 45.0, 53.0):
        assert [(1, 0, "b")] == at(us, t)
    assert [] == at(us, 61.0)
    assert us.failed


@pytest.mark.parametrize(
    ("settings", "times"),
    [
        ({"retry_timeout": 3.0, "max_retries": 3}, (0, 3, 9, 17)),
        ({"retry_timeout": 1.0, "retry_cap": 60.0}, (0, 1, 3, 7, 15, 31)),
        ({"retry_timeout": 10.0, "max_retries": 2}, (0, 10, 20)),
    ],
)
def test_the_backoff_is_configurable(settings: dict[str, Any], times: tuple[float, ...]) -> None:
    """The interval doubles from retry_timeout to retry_cap; a longer retry_timeout is its own cap."""
    us = make(**settings)
    us.send("m", 0.0)
    for t in times:
        assert t == (us.next_timer() if t else 0)
        assert [(0, 0, "m")] == at(us, t)


def test_new_times_take_effect_with_the_next_deadline() -> None:
    """After reconfiguration the running deadline stands and the next ones follow the new settings."""
    us = make()
    us.send("a", 0.0)
    at(us, 0.0)
    us.reconfigure(ChannelSettings(retry_timeout=2.0, retry_cap=20.0, max_retries=1, hello_timeout=7.0))
    assert 1.0 == us.next_timer()
    assert [(0, 0, "a")] == at(us, 1.0)
    us.receive(0, 1, None, 1.5)
    assert 8.5 == us.next_timer()
    us.send("b", 1.5)
    at(us, 1.5)
    assert 3.5 == us.next_timer()
    at(us, 3.5)
    assert 7.5 == us.next_timer()
    at(us, 7.5)
    assert us.failed


# Acknowledgement


def test_an_owed_ack_leaves_at_once_when_nothing_carries_it() -> None:
    """A message that provokes no answer is acknowledged by a ZLB in the same turn, once."""
    us = make()
    assert ["HELLO"] == list(us.receive(0, 0, "HELLO", 5.0))
    assert [(0, 1, None)] == at(us, 5.0)
    assert [] == at(us, 5.0)


def test_a_held_ack_rides_on_the_reply() -> None:
    """With hold_ack the ACK waits, and the reply within the delay carries it instead of a ZLB."""
    us = make()
    us.receive(0, 0, "ICRQ", 5.0)
    us.hold_ack()
    assert [] == at(us, 5.0)
    assert 5.1 == us.next_timer()
    us.send("ICRP", 5.05)
    assert [(0, 1, "ICRP")] == at(us, 5.05)
    assert 0 == us.stats.zlb_sent


def test_a_held_ack_waits_no_longer_than_the_delay() -> None:
    """Without a reply the held ACK leaves as a ZLB after ack_delay, counted from the oldest message it answers."""
    us = make()
    us.receive(0, 0, "ICRQ", 5.0)
    us.hold_ack()
    us.receive(1, 0, "ICRQ", 5.06)
    us.hold_ack()
    assert [] == at(us, 5.09)
    assert [(0, 2, None)] == at(us, 5.1)


def test_each_debt_has_its_own_delay() -> None:
    """A held ACK that was paid leaves nothing behind: the next one waits its full delay."""
    us = make()
    us.receive(0, 0, "ICRQ", 5.0)
    us.hold_ack()
    assert [(0, 1, None)] == at(us, 5.1)
    us.receive(1, 0, "ICRQ", 6.0)
    us.hold_ack()
    assert [] == at(us, 6.0)
    assert 6.1 == us.next_timer()


def test_a_message_without_hold_ends_the_holding() -> None:
    """A HELLO after a held ICRQ is acknowledged at once, and the ICRQ with it."""
    us = make()
    us.receive(0, 0, "ICRQ", 5.0)
    us.hold_ack()
    assert [] == at(us, 5.0)
    us.receive(1, 0, "HELLO", 5.01)
    assert [(0, 2, None)] == at(us, 5.01)


def test_a_duplicate_ends_the_holding_and_is_acknowledged() -> None:
    """The peer repeats itself for lack of the ACK: it leaves at once, held or not (RFC 2661 5.8: MUST)."""
    us = make()
    us.receive(0, 0, "ICRQ", 5.0)
    us.hold_ack()
    assert [] == at(us, 5.0)
    assert [] == list(us.receive(0, 0, "ICRQ", 5.05))
    us.hold_ack()
    assert [(0, 1, None)] == at(us, 5.05)
    assert 1 == us.stats.duplicates


def test_holding_nothing_is_nothing() -> None:
    """hold_ack without a debt sends nothing and waits for nothing."""
    us = make(hello_timeout=0.0)
    us.hold_ack()
    assert us.next_timer() is None
    assert [] == at(us, 1.0)


def test_many_datagrams_read_before_one_transmit_make_one_ack() -> None:
    """Sixty-four messages read in one go are acknowledged by one ZLB."""
    us = make()
    for ns in range(64):
        assert [f"m{ns}"] == list(us.receive(ns, 0, f"m{ns}", 1.0))
    assert [(0, 64, None)] == at(us, 1.0)


def test_a_zlb_is_sent_though_messages_of_ours_wait_for_the_window() -> None:
    """A closed window holds back our messages but not the acknowledgement of the peer's."""
    us = make()
    us.send("a", 0.0)
    us.send("b", 0.0)
    assert [(0, 0, "a")] == at(us, 0.0)
    us.receive(0, 0, "HELLO", 0.1)
    assert [(1, 1, None)] == at(us, 0.1)


def test_a_zlb_is_neither_acknowledged_nor_counted_as_a_message() -> None:
    """A ZLB provokes no answer, whatever its Ns, and the next message may have the same Ns (RFC 2661 5.8)."""
    us = make()
    for ns in (0, 1, 65535):
        assert [] == list(us.receive(ns, 0, None, 0.0))
    assert [] == at(us, 0.0)
    assert 0 == us.nr
    assert ["m"] == list(us.receive(0, 0, "m", 0.1))


def test_our_zlb_carries_the_next_ns_and_uses_none_up() -> None:
    """The Ns of a ZLB is that of the next message to be sent, even while earlier ones are unacknowledged."""
    us = make()
    us.send("a", 0.0)
    at(us, 0.0)
    us.receive(0, 0, "x", 0.1)
    assert [(1, 1, None)] == at(us, 0.1)
    us.receive(1, 1, "y", 0.2)
    assert [(1, 2, None)] == at(us, 0.2)
    us.send("b", 0.3)
    assert [(1, 2, "b")] == at(us, 0.3)


# Order


def test_early_messages_wait_for_the_missing_one() -> None:
    """Messages that overtook one are delivered behind it, in order; each arrival is answered with what is missing."""
    us = make()
    assert [] == list(us.receive(2, 0, "c", 0.0))
    assert [(0, 0, None)] == at(us, 0.0)
    assert [] == list(us.receive(1, 0, "b", 0.1))
    assert ["a", "b", "c"] == list(us.receive(0, 0, "a", 0.2))
    assert [(0, 3, None)] == at(us, 0.2)
    assert 2 == us.stats.out_of_order


def test_duplicates_are_acknowledged_and_not_delivered() -> None:
    """A copy of a delivered message, of any age, yields nothing but an ACK."""
    us = make()
    for ns in range(3):
        us.receive(ns, 0, "m", 0.0)
    at(us, 0.0)
    for ns in (0, 2, 32771, 65535):
        assert [] == list(us.receive(ns, 0, "m", 1.0))
        assert [(0, 3, None)] == at(us, 1.0)
    assert 4 == us.stats.duplicates


def test_a_scan_of_all_sequence_numbers_delivers_the_expected_one_alone() -> None:
    """A forger who tries every Ns, expected one excepted, tears nothing down and fills no more than the window."""
    us = make(receive_window=4)
    us.receive(0, 0, "m", 0.0)
    for ns in range(65536):
        if ns != 1:
            assert [] == list(us.receive(ns, 0, "forged", 0.0))
    stats = us.stats
    assert (3, 32768, 32764) == (stats.out_of_order, stats.duplicates, stats.out_of_window)
    assert [(0, 1, None)] == at(us, 0.0)


def test_a_message_outside_the_window_is_not_answered() -> None:
    """With a window of 1 nothing early is kept, and nothing tells a forger or the peer of it."""
    us = make(receive_window=1)
    assert [] == list(us.receive(1, 0, "b", 0.0))
    assert [] == at(us, 0.0)
    assert ["a"] == list(us.receive(0, 0, "a", 0.1))
    assert ["b"] == list(us.receive(1, 0, "b", 0.2))
    assert 1 == us.stats.out_of_window


# Acknowledgement numbers


@pytest.mark.parametrize("nr", [2, 3, 100, 32767, 32768, 65535])
def test_an_nr_beyond_what_was_sent_acknowledges_nothing_and_condemns_the_message(nr: int) -> None:
    """A forged Nr frees nothing, delivers nothing and provokes nothing; the true message is taken afterwards."""
    us = make(window=4)
    us.send("a", 0.0)
    us.send("b", 0.0)
    assert [(0, 0, "a")] == at(us, 0.0)
    assert [] == list(us.receive(0, nr, "StopCCN", 0.1))
    assert [] == list(us.receive(0, nr, None, 0.1))
    assert [] == at(us, 0.1)
    assert (2, 2) == (us.queued, us.stats.bad_nr)
    assert ["true"] == list(us.receive(0, 1, "true", 0.2))
    assert [(1, 1, "b")] == at(us, 0.2)


@pytest.mark.parametrize("nr", [0, 1, 2])
def test_an_old_nr_is_ignored_and_its_message_taken(nr: int) -> None:
    """Reordering brings old Nr values: counted, acknowledging nothing, and the message is delivered."""
    us = make(window=4)
    for _ in range(3):
        us.send("m", 0.0)
        at(us, 0.0)
        us.receive(0, us.ns, None, 0.0)
    us.send("d", 0.1)
    at(us, 0.1)
    assert ["x"] == list(us.receive(0, nr, "x", 0.2))
    assert (1, 1) == (us.queued, us.stats.old_nr)


def test_a_dropped_packet_is_no_sign_of_life() -> None:
    """A forged Nr does not put off the HELLO."""
    us = make()
    us.receive(0, 7, None, 50.0)
    assert 60.0 == us.next_timer()


# Window


def test_the_window_is_four_until_the_peer_says_otherwise() -> None:
    """Before a Receive Window Size AVP no more than 4 messages are ever in flight (RFC 2661 4.4.3)."""
    us = make()
    widen(us, 4)
    for _ in range(10):
        us.send("m", 0.0)
    assert 4 == len(at(us, 0.0))
    assert (4, 10) == (us.in_flight, us.queued)


def test_the_peers_window_bounds_what_is_in_flight() -> None:
    """However wide the congestion window wants to be, the peer's window holds; each ACK lets as many follow."""
    us = make(window=3)
    base = widen(us, 3)
    for n in range(6):
        us.send(f"m{n}", 0.0)
    assert ["m0", "m1", "m2"] == [item for _, _, item in at(us, 0.0)]
    us.receive(0, base + 2, None, 0.1)
    assert ["m3", "m4"] == [item for _, _, item in at(us, 0.1)]
    assert 3 == us.cwnd == us.peer_window


def test_a_window_of_one_is_lock_step() -> None:
    """A peer with a window of 1 gets one message at a time."""
    us = make(window=1)
    for item in "abc":
        us.send(item, 0.0)
    for ns, item in enumerate("abc"):
        assert [(ns, 0, item)] == at(us, 0.0)
        assert [] == at(us, 0.0)
        us.receive(0, ns + 1, None, 0.0)
    assert us.idle


def test_a_window_of_zero_is_refused() -> None:
    """A Receive Window Size of 0 is invalid and our caller must have refused it."""
    with pytest.raises(LocalProtocolError):
        make().set_peer_window(0)


# HELLO


def hello_due_at(channel: Channel[str], now: float) -> bool:
    """Let the time come and say whether a HELLO is due."""
    channel.handle_timer(now)
    return channel.hello_due


def test_silence_calls_for_a_hello_once() -> None:
    """After hello_timeout without a packet hello_due is raised, and no further deadline is named."""
    us = make(now=100.0)
    assert 160.0 == us.next_timer()
    assert not hello_due_at(us, 159.0)
    assert hello_due_at(us, 160.0)
    assert us.next_timer() is None
    us.send("HELLO", 160.0)
    assert not us.hello_due
    assert [(0, 0, "HELLO")] == at(us, 160.0)
    us.receive(0, 1, None, 160.2)
    assert 220.2 == us.next_timer()


def test_data_and_control_packets_put_the_hello_off() -> None:
    """Data as well as control counts as life (RFC 2661 5.5), also when the HELLO was already due."""
    us = make()
    us.touch(30.0)
    assert 90.0 == us.next_timer()
    us.receive(0, 0, None, 40.0)
    assert 100.0 == us.next_timer()
    assert hello_due_at(us, 100.0)
    us.touch(100.1)
    assert not us.hello_due
    assert hello_due_at(us, 160.1)
    us.receive(0, 0, None, 160.2)
    assert not us.hello_due


def test_no_hello_while_something_of_ours_is_outstanding() -> None:
    """A message that waits for its ACK probes the path itself."""
    us = make(hello_timeout=5.0, retry_timeout=10.0)
    us.send("a", 0.0)
    at(us, 0.0)
    assert not hello_due_at(us, 6.0)
    assert 10.0 == us.next_timer()


def test_a_hello_timeout_of_zero_never_asks() -> None:
    """With hello_timeout 0 an idle channel has no deadline at all."""
    us = make(hello_timeout=0.0)
    assert us.next_timer() is None
    assert not hello_due_at(us, 1e9)


# Delivery notes


def test_only_noted_items_are_reported() -> None:
    """Tokens of noted items appear in `delivered` when the peer has acknowledged them, in order, once."""
    us = make(window=8)
    widen(us, 8)
    first = us.send("a", 0.0)
    noted = [us.send("StopCCN", 0.0, note=True), us.send("CDN", 0.0, note=True)]
    assert [first + 1, first + 2] == noted
    at(us, 0.0)
    us.receive(0, us.ns - 2, None, 0.1)
    assert [] == us.delivered
    us.receive(0, us.ns - 1, None, 0.2)
    assert noted[:1] == us.delivered
    us.delivered.clear()
    us.receive(0, us.ns, None, 0.3)
    assert noted[1:] == us.delivered
    assert us.idle


# Settings, statistics, views


@pytest.mark.parametrize(
    "wrong",
    [
        {"retry_cap": 7.9},
        {"retry_timeout": 0.0},
        {"retry_timeout": float("nan")},
        {"retry_timeout": float("inf")},
        {"max_retries": -1},
        {"receive_window": 0},
        {"receive_window": 32768},
        {"hello_timeout": -1.0},
        {"ack_delay": -0.1},
        {"ack_delay": float("nan")},
    ],
)
def test_settings_that_the_rfc_forbids_are_refused(wrong: dict[str, Any]) -> None:
    """The cap MUST be no less than 8 s (RFC 2661 5.8); the rest could never work. The error names the setting."""
    with pytest.raises(LocalProtocolError, match=next(iter(wrong))):
        ChannelSettings(**wrong)


def test_the_defaults_are_the_recommended_ones() -> None:
    """Retry after 1 s, five retries, cap 8 s, HELLO after 60 s."""
    assert (1.0, 8.0, 5, 128, 60.0, 0.1) == (
        DEFAULTS.retry_timeout,
        DEFAULTS.retry_cap,
        DEFAULTS.max_retries,
        DEFAULTS.receive_window,
        DEFAULTS.hello_timeout,
        DEFAULTS.ack_delay,
    )


def test_the_statistics_tell_every_packet() -> None:
    """Each packet is counted once, by what it was."""
    us = make(window=4)
    us.send("a", 0.0)
    at(us, 0.0)
    at(us, 1.0)
    us.receive(0, 1, "x", 1.1)
    us.receive(0, 1, "x", 1.1)
    us.receive(2, 1, "z", 1.1)
    us.receive(999, 1, "forged", 1.1)
    us.receive(1, 9, "forged", 1.1)
    us.receive(1, 0, None, 1.1)
    at(us, 1.1)
    stats = us.stats
    assert (1, 1, 1) == (stats.sent, stats.retransmitted, stats.zlb_sent)
    assert (2, 1, 1, 1, 1) == (
        stats.received,
        stats.duplicates,
        stats.out_of_window,
        stats.zlb_received,
        stats.bad_nr,
    )
    assert (1, 1) == (stats.out_of_order, stats.old_nr)


def test_the_views_show_the_transport_state() -> None:
    """Ns, Nr, windows and threshold are readable for `show tunnel`."""
    us = make(window=16)
    us.send("a", 0.0)
    us.send("b", 0.0)
    at(us, 0.0)
    us.receive(0, 1, "x", 0.1)
    assert [Transmission(1, 1, "b")] == us.transmit(0.1)
    assert (2, 1, 2, 16, 16, 1, 1) == (
        us.ns,
        us.nr,
        us.cwnd,
        us.ssthresh,
        us.peer_window,
        us.queued,
        us.in_flight,
    )


# Wrap-around


def test_seventy_thousand_messages_cross_the_wrap() -> None:
    """Two channels exchange 70,000 messages each way, with acknowledgements on both sides, across Ns 65535 -> 0."""
    left, right = make(window=128), make(window=128)
    for n in range(70_000):
        left.send(str(n), 0.0)
        for ns, nr, item in left.transmit(0.0):
            assert (n & 0xFFFF) == ns
            assert [str(n)] == list(right.receive(ns, nr, item, 0.0))
        right.send(str(n), 0.0)
        for ns, nr, item in right.transmit(0.0):
            assert ((n + 1) & 0xFFFF) == nr
            assert [str(n)] == list(left.receive(ns, nr, item, 0.0))
    assert (70_000, 70_000) == (left.stats.received, right.stats.received)
    assert 70_000 - 65_536 == left.nr == right.nr


def test_order_duplicates_and_forged_nr_at_the_wrap() -> None:
    """Around Ns 65535 early messages wait, copies are duplicates, and Nr is judged as anywhere else."""
    us = make(window=8)
    for n in range(65_534):
        us.receive(n, n, "m", 0.0)
        us.send("m", 0.0)
        us.transmit(0.0)
    us.receive(0, 65_534, None, 0.0)
    for item in "abcd":
        us.send(item, 0.0)
    assert [(65_534, "a"), (65_535, "b"), (0, "c"), (1, "d")] == [(ns, item) for ns, _, item in at(us, 0.0)]
    assert [] == list(us.receive(0, 65_534, "C", 0.1))
    assert [] == list(us.receive(65_535, 65_535, "B", 0.1))
    assert ["A", "B", "C"] == list(us.receive(65_534, 0, "A", 0.1))
    assert 2 == us.queued
    assert [] == list(us.receive(65_535, 0, "B", 0.2))
    assert [] == list(us.receive(1, 3, "forged", 0.2))
    assert ["D"] == list(us.receive(1, 2, "D", 0.2))
    assert us.idle
    assert (1, 1) == (us.stats.duplicates, us.stats.bad_nr)
