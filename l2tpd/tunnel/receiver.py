"""The receiving half of reliable delivery: order, duplicates, early messages (RFC 2661 5.8).

`expected` is the running number of the next message to deliver; its low 16 bits are the Nr that we send. A message is
the expected one, a duplicate (behind), early (ahead, inside the window that we advertised) or outside the window.
Early ones wait, since real peers repeat slowly; there can be one less of them than the window is wide, so a peer
cannot make us keep more. What lies outside the window is forged or from a peer that ignores our window: nothing is
kept and nothing is answered.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import attrs

from l2tpd.tunnel.sequence import HALF, forward

T = TypeVar("T")

NOTHING: Final = ()


class Arrival(enum.Enum):
    """What a message with a sequence number turned out to be."""

    EXPECTED = "expected"
    EARLY = "early"
    DUPLICATE = "duplicate"
    OUTSIDE = "outside"


@attrs.define(eq=False, weakref_slot=False)
class Receiver(Generic[T]):
    """Deliver messages once and in order; `window` is the Receive Window Size that was advertised (messages)."""

    window: int
    expected: int = attrs.field(init=False, default=0)
    duplicates: int = attrs.field(init=False, default=0)
    out_of_order: int = attrs.field(init=False, default=0)
    out_of_window: int = attrs.field(init=False, default=0)
    _early: dict[int, T] = attrs.field(init=False, factory=dict)

    @property
    def waiting(self) -> int:
        """Early messages that wait for an earlier one."""
        return len(self._early)

    def classify(self, ns: int) -> Arrival:
        """Say what a non-ZLB message with sequence number `ns` is, and count it; nothing is kept yet."""
        ahead = forward(ns, self.expected)
        if ahead == 0:
            return Arrival.EXPECTED
        if ahead >= HALF or self.expected + ahead in self._early:
            self.duplicates += 1
            return Arrival.DUPLICATE
        if ahead >= self.window:
            self.out_of_window += 1
            return Arrival.OUTSIDE
        self.out_of_order += 1
        return Arrival.EARLY

    def keep(self, ns: int, item: T) -> None:
        """Put an early message aside."""
        self._early[self.expected + forward(ns, self.expected)] = item

    def deliver(self, item: T) -> Sequence[T]:
        """Take the expected message and return it with every early one that it was holding up."""
        self.expected += 1
        if not self._early:
            return (item,)
        items = [item]
        while self.expected in self._early:
            items.append(self._early.pop(self.expected))
            self.expected += 1
        return items
