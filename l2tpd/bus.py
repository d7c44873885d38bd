"""Fan-out of events to bounded subscribers.

Publishing is synchronous and never waits: the publisher is a tunnel that has packets to answer. A subscriber that has fallen `size` events
behind loses the newest ones, and finds a `Lost` in their place once it reads on, so that order is kept and a gap is always visible. Nothing
here grows with the slowness of a reader.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Self

import attrs
import trio

from l2tpd.events import Event, Lost, Stamped

Wants = Callable[[Event], bool]
"""Says whether a subscriber wants an event; must be quick and must not raise."""

DEFAULT_SIZE = 1000
"""Events that may wait for one subscriber; who does not read loses the rest and is told so."""


@attrs.define(eq=False)
class Subscription:
    """One subscriber's queue: iterate it to receive; it ends when the bus or the subscription is closed."""

    _bus: Bus
    wants: Wants
    size: int
    lost: int = 0  # events lost in all
    _gap: int = 0  # events lost since the last one queued
    _waiting: list[Stamped | Lost] = attrs.field(factory=list)
    _taken: list[Stamped | Lost] = attrs.field(factory=list)  # reversed: the next one is the last
    _parked: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _closed: bool = False

    def offer(self, stamped: Stamped) -> None:
        """Queue an event, or count it as lost when the queue is full."""
        if len(self._waiting) + len(self._taken) >= self.size:
            self.lost += 1
            self._gap += 1
            return
        if self._gap:
            self._waiting.append(Lost(self._gap))
            self._gap = 0
        self._waiting.append(stamped)
        self._parked.unpark()

    def close(self) -> None:
        """Stop receiving; what is queued already may still be read."""
        self._closed = True
        self._bus.forget(self)
        self._parked.unpark_all()

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Stamped | Lost:
        """Wait for the next event or gap."""
        await trio.lowlevel.checkpoint()
        while True:
            item = self._next_nowait()
            if item is not None:
                return item
            if self._closed:
                raise StopAsyncIteration
            await self._parked.park()

    def _next_nowait(self) -> Stamped | Lost | None:
        """Take the oldest item; two lists make a queue that costs nothing while it is empty."""
        if not self._taken:
            self._taken, self._waiting = self._waiting[::-1], []
        if self._taken:
            return self._taken.pop()
        if self._gap:
            gap, self._gap = Lost(self._gap), 0
            return gap
        return None


@attrs.define(eq=False)
class Bus:
    """Where events are published and subscribed to."""

    _clock: Callable[[], float] = time.time
    _subscriptions: list[Subscription] = attrs.field(factory=list)
    published: int = 0

    def publish(self, event: Event) -> None:
        """Stamp an event and offer it to everyone who wants it; never waits."""
        self.published += 1
        if not self._subscriptions:
            return
        stamped = Stamped(self._clock(), event)
        for subscription in self._subscriptions:
            if subscription.wants(event):
                subscription.offer(stamped)

    def subscribe(self, wants: Wants = lambda _event: True, size: int = DEFAULT_SIZE) -> Subscription:
        """Open a subscription that holds at most `size` events; the caller closes it."""
        subscription = Subscription(self, wants, size)
        self._subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Drop a subscription that was closed; doing it again does no harm."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def close(self) -> None:
        """End every subscription once it has been read to its end."""
        for subscription in list(self._subscriptions):
            subscription.close()
