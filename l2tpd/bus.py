"""Fan-out of events, and of whatever else happens, to bounded subscribers.

Publishing is synchronous and never waits: the publisher is a tunnel that has packets to answer. A subscriber that has fallen `size` items
behind loses the newest ones, and finds a `Lost` in their place once it reads on, so that order is kept and a gap is always visible. Nothing
here grows with the slowness of a reader.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, Self, TypeVar

import attrs
import trio

from l2tpd.events import Event, Lost, Stamped
from l2tpd.supervise import contained

T = TypeVar("T")

DEFAULT_SIZE = 1000
"""Items that may wait for one subscriber; who does not read loses the rest and is told so."""


@attrs.define(eq=False)
class Queue(Generic[T]):
    """One subscriber's queue: iterate it to receive; it ends when what it subscribes to, or the queue, is closed."""

    _source: Fan[T]
    wants: Callable[[T], bool] | None  # None: all
    size: int
    lost: int = 0  # items lost in all
    _gap: int = 0  # items lost since the last one queued
    _waiting: list[T | Lost] = attrs.field(factory=list)
    _taken: list[T | Lost] = attrs.field(factory=list)  # reversed: the next one is the last
    _parked: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _closed: bool = False

    def offer(self, item: T) -> None:
        """Queue an item, or count it as lost when the queue is full."""
        if len(self._waiting) + len(self._taken) >= self.size:
            self.lost += 1
            self._source.lost += 1
            self._gap += 1
            return
        if self._gap:
            self._waiting.append(Lost(self._gap))
            self._gap = 0
        self._waiting.append(item)
        if self._parked:  # a reader who is behind is not parked, and unparking nobody costs as much as all the rest
            self._parked.unpark()

    def close(self) -> None:
        """Stop receiving; what is queued already may still be read."""
        self._closed = True
        self._source.forget(self)
        self._parked.unpark_all()

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> T | Lost:
        """Wait for the next item or gap."""
        await trio.lowlevel.checkpoint()
        while True:
            item = self._next_nowait()
            if item is not None:
                return item
            if self._closed:
                raise StopAsyncIteration
            await self._parked.park()

    def rest(self, limit: int) -> list[T | Lost]:
        """Take what waits besides, at most `limit` items, the oldest first: who reads late catches up in one go."""
        taken: list[T | Lost] = []
        if len(self._taken) <= limit:
            taken, self._taken = self._taken[::-1], []
        while len(taken) < limit and (item := self._next_nowait()) is not None:
            taken.append(item)
        return taken

    def _next_nowait(self) -> T | Lost | None:
        """Take the oldest item; two lists make a queue that costs nothing while it is empty."""
        if not self._taken:
            self._taken, self._waiting = self._waiting[::-1], []
        if self._taken:
            return self._taken.pop()
        if self._gap:
            gap, self._gap = Lost(self._gap), 0
            return gap
        return None


Subscription = Queue[Stamped]


@attrs.define(eq=False)
class Fan(Generic[T]):
    """Where items of one kind are offered to whoever subscribes to them; nothing needs to be made while `subscribers` is empty."""

    subscribers: list[Queue[T]] = attrs.field(init=False, factory=list)
    lost: int = attrs.field(init=False, default=0)  # items, by all who ever subscribed

    def offer(self, item: T) -> None:
        """Offer an item to everyone who wants it; never waits."""
        for queue in self.subscribers:
            if queue.wants is None:
                queue.offer(item)
                continue
            with contained("what a subscriber wants", kind="bus"):
                if queue.wants(item):
                    queue.offer(item)

    def attach(self, wants: Callable[[T], bool] | None, size: int = DEFAULT_SIZE) -> Queue[T]:
        """Open a subscription that holds at most `size` items; the caller closes it. `wants` must be quick; where it raises, the item is not wanted."""
        queue = Queue(self, wants, size)
        self.subscribers.append(queue)
        return queue

    def forget(self, queue: Queue[T]) -> None:
        """Drop a subscription that was closed; doing it again does no harm."""
        if queue in self.subscribers:
            self.subscribers.remove(queue)

    def close(self) -> None:
        """End every subscription once it has been read to its end."""
        for queue in list(self.subscribers):
            queue.close()


@attrs.define(eq=False)
class Bus(Fan[Stamped]):
    """Where events are published and subscribed to."""

    _clock: Callable[[], float] = time.time
    published: int = 0

    def publish(self, event: Event) -> None:
        """Stamp an event and offer it to everyone who wants it; never waits."""
        self.published += 1
        if self.subscribers:
            self.offer(Stamped(self._clock(), event))

    def subscribe(self, wants: Callable[[Event], bool] | None = None, size: int = DEFAULT_SIZE) -> Subscription:
        """Open a subscription to the events that are wanted, by default all."""
        return self.attach(None if wants is None else lambda stamped: wants(stamped.event), size)
