"""A bad network between two cores, in virtual time.

Both ends are sans-IO cores: whatever accepts packets, emits packets and names its next deadline can be joined here, a
channel or a whole tunnel. The path loses, duplicates, delays and so reorders packets by a seeded random source, so
that every run can be repeated exactly.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

import attrs

from l2tpd.tunnel.channel import Channel, Transmission

P = TypeVar("P")

STUCK = 10_000
"""Events at one instant after which a run is a livelock, not a busy moment."""


@attrs.frozen(kw_only=True)
class Weather:
    """How bad the path is: probabilities 0..1 a packet, delays in seconds (unequal delays reorder)."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_min: float = 0.01
    delay_max: float = 0.01


FINE = Weather()
DEAD = Weather(loss=1.0)


@attrs.define(eq=False, kw_only=True)
class End(Generic[P]):
    """One core as four callables; `receive` and `handle_timer` take the virtual time last."""

    receive: Callable[[P, float], object]
    transmit: Callable[[float], Iterable[P]]
    handle_timer: Callable[[float], object]
    next_timer: Callable[[], float | None]


class Passage(NamedTuple, Generic[P]):
    """One packet that an end sent: when, from which end (0 or 1), and when its copies arrive (none: lost)."""

    sent_at: float
    origin: int
    packet: P
    arrivals: tuple[float, ...]


class BadNet(Generic[P]):
    """Join two ends; `run_until` moves virtual time, `passages` remembers every packet sent."""

    def __init__(
        self, left: End[P], right: End[P], weather: Weather = FINE, *, seed: int = 0, now: float = 0.0
    ) -> None:
        """Join the ends at virtual time `now`; nothing moves before the first call."""
        self.ends = (left, right)
        self.weather = weather
        self.now = now
        self.passages: list[Passage[P]] = []
        self._random = random.Random(seed)
        self._in_transit: list[tuple[float, int, int, P]] = []
        self._serial = 0

    def flush(self) -> None:
        """Collect what both ends want to send now; call it after touching an end from outside."""
        for origin, end in enumerate(self.ends):
            for packet in end.transmit(self.now):
                self._post(origin, packet)

    def next_event(self) -> float | None:
        """Return the time of the next arrival or deadline, or None when nothing will ever happen."""
        times = [when for end in self.ends if (when := end.next_timer()) is not None]
        if self._in_transit:
            times.append(self._in_transit[0][0])
        return min(times) if times else None

    def step(self) -> bool:
        """Advance to the next event, let it happen, flush; return False when nothing will ever happen."""
        when = self.next_event()
        if when is None:
            return False
        self.now = max(self.now, when)
        self._arrive()
        for end in self.ends:
            deadline = end.next_timer()
            if deadline is not None and deadline <= self.now:
                end.handle_timer(self.now)
        self.flush()
        return True

    def run_until(self, limit: float, done: Callable[[], bool] = lambda: False) -> None:
        """Run until `done` holds or nothing is left to happen before virtual time `limit`, where time then stands."""
        self.flush()
        idle_steps = 0
        while not done():
            when = self.next_event()
            if when is None or when > limit:
                self.now = limit
                return
            idle_steps = idle_steps + 1 if when <= self.now else 0
            if idle_steps > STUCK:
                raise AssertionError(f"time stands still at {self.now}: a deadline is never moved")
            self.step()

    def _post(self, origin: int, packet: P) -> None:
        copies = 1 + (self._random.random() < self.weather.duplication)
        arrivals = tuple(self._arrival() for _ in range(copies) if self._random.random() >= self.weather.loss)
        for arrival in arrivals:
            self._serial += 1
            heapq.heappush(self._in_transit, (arrival, self._serial, 1 - origin, packet))
        self.passages.append(Passage(self.now, origin, packet, arrivals))

    def _arrival(self) -> float:
        return self.now + self._random.uniform(self.weather.delay_min, self.weather.delay_max)

    def _arrive(self) -> None:
        while self._in_transit and self._in_transit[0][0] <= self.now:
            _, _, target, packet = heapq.heappop(self._in_transit)
            self.ends[target].receive(packet, self.now)


def channel_end(channel: Channel[P], inbox: list[P]) -> End[Transmission[P]]:
    """Make an end of `channel`; what it delivers is appended to `inbox`."""

    def receive(packet: Transmission[P], now: float) -> None:
        inbox.extend(channel.receive(packet.ns, packet.nr, packet.item, now))

    return End(
        receive=receive,
        transmit=channel.transmit,
        handle_timer=channel.handle_timer,
        next_timer=channel.next_timer,
    )
