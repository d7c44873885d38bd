"""Two channels over any path: every message is delivered once and in order, or the tunnel fails in bounded time."""

from __future__ import annotations

import copy
import functools

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from badnet import DEAD, BadNet, Weather, channel_end
from l2tpd.tunnel.channel import Channel, ChannelSettings, Transmission

CYCLE = 31.0
"""Seconds from the first transmission of a message to the verdict that the peer is gone, with the default settings."""

WRAP = 65_530
"""Messages exchanged beforehand to bring a pair just short of the wrap-around of its sequence numbers."""


class Side:
    """One channel with what it was asked to send and what it delivered; HELLO is an ordinary item here."""

    def __init__(self, channel: Channel[int]) -> None:
        self.channel = channel
        self.asked: list[int] = []
        self.noted: list[int] = []
        self.inbox: list[int] = []
        self.emitted = 0
        self.arrived = 0

    def ask(self, now: float) -> None:
        """Send the next item."""
        item = len(self.asked)
        self.asked.append(item)
        self.noted.append(self.channel.send(item, now, note=True))

    def take(self, packet: Transmission[int], now: float) -> None:
        """Receive a packet."""
        self.arrived += 1
        self.inbox += self.channel.receive(packet.ns, packet.nr, packet.item, now)

    def flush(self, now: float) -> list[Transmission[int]]:
        """Do what is due."""
        self.channel.handle_timer(now)
        if self.channel.hello_due:
            self.ask(now)
        packets = self.channel.transmit(now)
        self.emitted += len(packets)
        return packets

    @property
    def settled(self) -> bool:
        """Whether everything asked was acknowledged, or the peer given up."""
        return self.channel.idle or self.channel.failed


@functools.cache
def prepared(left_window: int, right_window: int, exchanged: int) -> tuple[Channel[int], Channel[int]]:
    """Make a pair of channels that have exchanged so many messages each way; copy it before use."""
    left = Channel[int](ChannelSettings(receive_window=left_window, hello_timeout=20.0), 0.0)
    right = Channel[int](ChannelSettings(receive_window=right_window, hello_timeout=20.0), 0.0)
    left.set_peer_window(right_window)
    right.set_peer_window(left_window)
    for _ in range(exchanged):
        for speaker, listener in ((left, right), (right, left)):
            speaker.send(0, 0.0)
            for packet in speaker.transmit(0.0):
                listener.receive(packet.ns, packet.nr, packet.item, 0.0)
    for packet in left.transmit(0.0):
        right.receive(packet.ns, packet.nr, packet.item, 0.0)
    return left, right


class TwoChannels(RuleBasedStateMachine):
    """The path is a bag of packets a direction: Hypothesis takes any of them, copies it, or throws it away."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sides: tuple[Side, Side]
        self.paths: tuple[list[Transmission[int]], list[Transmission[int]]] = ([], [])

    @initialize(windows=st.sampled_from([(1, 4), (4, 16), (128, 128)]), exchanged=st.sampled_from([0, WRAP]))
    def begin(self, windows: tuple[int, int], exchanged: int) -> None:
        """Start fresh or just short of the wrap-around."""
        left, right = copy.deepcopy(prepared(*windows, exchanged))
        self.sides = Side(left), Side(right)
        self.base = [side.channel.stats for side in self.sides]

    def flush(self) -> None:
        """Let both sides do what is due."""
        for side, path in zip(self.sides, self.paths, strict=True):
            path.extend(side.flush(self.now))

    @rule(side=st.integers(0, 1), count=st.integers(1, 6))
    def ask(self, side: int, count: int) -> None:
        """The core has something to say."""
        for _ in range(count):
            self.sides[side].ask(self.now)
        self.flush()

    @precondition(lambda self: any(self.paths))
    @rule(side=st.integers(0, 1), pick=st.integers(0, 1 << 16), copies=st.integers(1, 2), hold=st.booleans())
    def arrive(self, side: int, pick: int, copies: int, hold: bool) -> None:
        """Any packet in transit arrives, perhaps leaving a copy behind, perhaps with a reply expected to follow."""
        path = self.paths[side]
        if path:
            index = pick % len(path)
            packet = path[index] if copies == 2 else path.pop(index)
            self.sides[1 - side].take(packet, self.now)
            if hold:
                self.sides[1 - side].channel.hold_ack()
            self.flush()

    @precondition(lambda self: any(self.paths))
    @rule(side=st.integers(0, 1))
    def arrive_all(self, side: int) -> None:
        """All packets in transit one way arrive before one transmit."""
        for packet in self.paths[side]:
            self.sides[1 - side].take(packet, self.now)
        self.paths[side].clear()
        self.flush()

    @precondition(lambda self: any(self.paths))
    @rule(side=st.integers(0, 1), pick=st.integers(0, 1 << 16))
    def lose(self, side: int, pick: int) -> None:
        """Any packet in transit is lost."""
        path = self.paths[side]
        if path:
            path.pop(pick % len(path))

    @rule(seconds=st.floats(0.0, 12.0))
    def wait(self, seconds: float) -> None:
        """Time passes in one piece: deadlines are met late."""
        self.now += seconds
        self.flush()

    @rule()
    def wait_for_the_next_deadline(self) -> None:
        """Time passes exactly to the next deadline."""
        times = [when for side in self.sides if (when := side.channel.next_timer()) is not None]
        if times:
            self.now = min(times)
            self.flush()

    @rule(side=st.integers(0, 1), ns=st.integers(0, 65535), beyond=st.integers(1, 32000))
    def forge(self, side: int, ns: int, beyond: int) -> None:
        """A forged packet whose Nr lies beyond what was sent changes nothing."""
        victim = self.sides[side]
        before = victim.channel.queued, victim.channel.nr
        victim.take(Transmission(ns, (victim.channel.ns + beyond) & 0xFFFF, -1), self.now)
        assert before == (victim.channel.queued, victim.channel.nr)
        assert [] == victim.flush(self.now)

    @invariant()
    def each_message_is_delivered_once_and_in_order(self) -> None:
        """An inbox is always a beginning of what the other side sent."""
        left, right = self.sides
        assert left.asked[: len(right.inbox)] == right.inbox
        assert right.asked[: len(left.inbox)] == left.inbox

    @invariant()
    def what_is_noted_as_delivered_was_delivered(self) -> None:
        """A delivery note never comes before the delivery."""
        left, right = self.sides
        for here, there in ((left, right), (right, left)):
            done = here.channel.delivered
            assert here.noted[: len(done)] == done
            assert len(done) <= len(there.inbox)

    @invariant()
    def the_windows_are_honoured(self) -> None:
        """Neither what is in flight nor CWND exceeds the peer's window."""
        for side in self.sides:
            channel = side.channel
            assert 0 <= channel.in_flight <= channel.peer_window
            assert 1 <= channel.cwnd <= channel.peer_window

    @invariant()
    def every_packet_is_counted_once(self) -> None:
        """The statistics add up to the packets that left and arrived."""
        for side, base in zip(self.sides, self.base, strict=True):
            stats = side.channel.stats
            out = stats.sent + stats.retransmitted + stats.zlb_sent
            into = stats.received + stats.duplicates + stats.out_of_window + stats.zlb_received + stats.bad_nr
            assert out - (base.sent + base.retransmitted + base.zlb_sent) == side.emitted
            assert into - (base.received + base.zlb_received) == side.arrived

    @invariant()
    def nothing_is_due_that_was_not_done(self) -> None:
        """No deadline is in the past, and a second transmit returns nothing."""
        for side in self.sides:
            when = side.channel.next_timer()
            assert when is None or when > self.now
            assert [] == side.channel.transmit(self.now)

    def teardown(self) -> None:
        """Let the path be good from now on: within two cycles everything has arrived, or the failure is known."""
        if not hasattr(self, "sides"):
            return
        limit = self.now + 2 * CYCLE + 20.0
        while any(self.paths) or not all(side.settled for side in self.sides):
            if any(self.paths):
                self.arrive_all(0)
                self.arrive_all(1)
                continue
            times = [when for side in self.sides if (when := side.channel.next_timer()) is not None]
            assert times, "something is outstanding and nobody will ever move"
            self.now = max(self.now, min(times))
            assert self.now <= limit
            self.flush()
        left, right = self.sides
        if not left.channel.failed and not right.channel.failed:
            assert left.asked == right.inbox
            assert right.asked == left.inbox


TwoChannels.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestTwoChannels = TwoChannels.TestCase


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    weather=st.builds(
        Weather,
        loss=st.floats(0.0, 0.6),
        duplication=st.floats(0.0, 0.5),
        delay_min=st.just(0.001),
        delay_max=st.floats(0.001, 3.0),
    ),
    windows=st.sampled_from([(1, 4), (4, 16), (128, 128)]),
    exchanged=st.sampled_from([0, WRAP]),
    count=st.integers(0, 60),
)
def test_any_weather_delivers_or_fails_in_bounded_time(
    seed: int, weather: Weather, windows: tuple[int, int], exchanged: int, count: int
) -> None:
    """Whatever the weather, both sides settle within one cycle a message, in order and without a copy."""
    left, right = copy.deepcopy(prepared(*windows, exchanged))
    left_inbox: list[int] = []
    right_inbox: list[int] = []
    net = BadNet(channel_end(left, left_inbox), channel_end(right, right_inbox), weather, seed=seed)
    messages = list(range(count))
    for item in messages:
        left.send(item, 0.0)
        right.send(item, 0.0)

    def settled() -> bool:
        return (left.idle or left.failed) and (right.idle or right.failed)

    net.run_until(CYCLE * (2 * count + 1), settled)
    assert settled()
    assert messages[: len(right_inbox)] == right_inbox
    assert messages[: len(left_inbox)] == left_inbox
    if not left.failed:
        assert messages == right_inbox
    if not right.failed:
        assert messages == left_inbox


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1 << 32), quiet=st.floats(0.0, 200.0))
def test_a_path_that_dies_is_noticed_by_both_sides_in_bounded_time(seed: int, quiet: float) -> None:
    """With nothing to say, HELLO finds a dead path within hello_timeout and one cycle (RFC 2661 5.5)."""
    left, right = copy.deepcopy(prepared(4, 16, 0))
    ends = [channel_end(left, []), channel_end(right, [])]
    for end, channel in zip(ends, (left, right), strict=True):
        end.handle_timer = functools.partial(say_hello, channel)
    net = BadNet(ends[0], ends[1], Weather(delay_max=0.05), seed=seed)
    net.run_until(quiet)
    assert [False, False] == [left.failed, right.failed]
    net.weather = DEAD
    net.run_until(quiet + 0.1 + 20.0 + CYCLE)
    assert [True, True] == [left.failed, right.failed]


def say_hello(channel: Channel[int], now: float) -> None:
    """Let a timer pass as the core does: a HELLO is sent when one is due."""
    channel.handle_timer(now)
    if channel.hello_due:
        channel.send(0, now)
