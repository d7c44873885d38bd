"""The order of received data packets of one session: which are new, which wait for an earlier one, which are dropped. Pure.

Theory of operation (RFC 3931 4.6.1 and appendix C; RFC 2661 5.4 asks the same of its 16 bits). `expected` is the number after the last one that was
delivered in order. The half of the number space from there on is new; everything else is old, a duplicate or late, and dropped. A new packet with a
gap before it is delivered at once, and what was missing counts as lost; or, with a timeout, it is held until the gap is filled or its time is up,
whichever comes first. Held packets that nobody waits for any more are delivered, never dropped: the wire did not lose them. (Linux instead
drops what waited too long, and without a timeout drops everything after a gap until it has seen five packets in a row.)

Resynchronisation. A peer that lost its state begins anew at zero, which may look old for half the number space. Old packets that are in
sequence among themselves are therefore counted, and at the fifth (`RESYNCHRONISE`, Linux's threshold as well) the order begins anew from it.

Memory. At most `HELD` packets of a session are held; one more, and the oldest gap is given up.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

HELD = 64
"""How many packets of a session may wait for earlier ones."""

RESYNCHRONISE = 5
"""How many old packets in a row begin a new order (RFC 3931 appendix C)."""


class Held(NamedTuple):
    """A packet that waits for an earlier one, until `deadline`."""

    frame: bytes
    deadline: float


@attrs.define(eq=False)
class Order:
    """The sequence of one session's received packets.

    `bits` is the size of its sequence numbers, `timeout` how long in seconds a packet may wait for an earlier one: 0, and none does.
    """

    bits: int
    timeout: float = 0.0
    resynchronise: int = RESYNCHRONISE
    expected: int = 0  # RFC 3931 4.6: numbers begin at zero
    discarded: int = 0  # old ones and duplicates
    out_of_order: int = 0  # came after a later one, in time
    _held: dict[int, Held] = attrs.field(factory=dict)
    _old: int = -1  # the last old number
    _row: int = 0  # how many old ones have come in sequence

    @property
    def deadline(self) -> float | None:
        """Return when the first of the held packets has waited long enough, or None when none is held."""
        # Each waits equally long, and a dictionary keeps the order of arrival.
        return next(iter(self._held.values())).deadline if self._held else None

    def follows(self, ns: int) -> bool:
        """Take note of a packet and return True if it is exactly the next one and nothing is held; else it has to be taken by `take`."""
        if ns != self.expected or self._held:
            return False
        self.expected = self._after(ns)
        self._row = 0
        return True

    def take(self, ns: int, frame: bytes, now: float) -> list[bytes]:
        """Take a packet; return what is to be delivered now, in this order."""
        gap = self._distance(ns)
        if gap >> (self.bits - 1):
            return self._take_old(ns, frame)
        if ns in self._held:
            self.discarded += 1
            return []
        self._row = 0
        if self._held and gap < max(map(self._distance, self._held)):
            self.out_of_order += 1
        if gap and self.timeout:
            return self._hold(ns, frame, now)
        self._advance(ns)
        return [frame, *self._released()]

    def expire(self, now: float) -> list[bytes]:
        """Give up the gaps before packets that have waited long enough; return what is to be delivered."""
        overdue = [self._distance(ns) for ns, held in self._held.items() if held.deadline <= now]
        return self._give_up(max(overdue)) if overdue else []

    def _take_old(self, ns: int, frame: bytes) -> list[bytes]:
        self._row = self._row + 1 if ns == self._after(self._old) else 1
        self._old = ns
        if self._row < self.resynchronise:
            self.discarded += 1
            return []
        waiting = self._give_up(self._furthest())
        self._row = 0
        self._advance(ns)
        return [*waiting, frame]

    def _hold(self, ns: int, frame: bytes, now: float) -> list[bytes]:
        self._held[ns] = Held(frame, now + self.timeout)
        if len(self._held) <= HELD:
            return []
        return self._give_up(min(map(self._distance, self._held)))

    def _give_up(self, distance: int) -> list[bytes]:
        """Deliver what is held up to this distance from the expected number, and what follows that without a gap."""
        due = sorted((self._distance(ns), ns) for ns in self._held)
        numbers = [ns for far, ns in due if far <= distance]
        frames = [self._held.pop(ns).frame for ns in numbers]
        if numbers:
            self._advance(numbers[-1])
        return frames + self._released()

    def _released(self) -> list[bytes]:
        frames = []
        while (held := self._held.pop(self.expected, None)) is not None:
            frames.append(held.frame)
            self._advance(self.expected)
        return frames

    def _furthest(self) -> int:
        return max(map(self._distance, self._held), default=0)

    def _advance(self, ns: int) -> None:
        self.expected = self._after(ns)

    def _after(self, ns: int) -> int:
        return (ns + 1) & ((1 << self.bits) - 1)

    def _distance(self, ns: int) -> int:
        return (ns - self.expected) & ((1 << self.bits) - 1)
