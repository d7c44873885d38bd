"""One heap for many deadlines, so that a tunnel with thousands of sessions needs a single timer.

Moving or cancelling a deadline does not search the heap: the old entry stays behind, dead, and is dropped when it surfaces. When dead entries
outnumber the living the heap is rebuilt, so memory stays within a constant factor of what is armed.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SLACK = (
    64  # dead entries that are tolerated whatever the number of living ones: rebuilding a short heap is not worth it
)


def earliest(*deadlines: float | None) -> float | None:
    """Return the earliest of some deadlines, where None stands for never."""
    soonest = None
    for when in deadlines:
        if when is not None and (soonest is None or when < soonest):
            soonest = when
    return soonest


class Deadlines(Generic[K]):
    """A set of keys, each with at most one deadline in seconds of the caller's clock."""

    __slots__ = ("_entries", "_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._entries: dict[K, tuple[float, int, K]] = {}
        self._serial = 0  # breaks ties first come, first served, and keeps keys from being compared

    def __len__(self) -> int:
        """Count the armed deadlines."""
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        """Tell whether `key` is armed."""
        return key in self._entries

    def set(self, key: K, when: float) -> None:
        """Arm `key` for `when`, replacing the deadline it had."""
        self._serial += 1
        entry = (when, self._serial, key)
        self._entries[key] = entry
        heapq.heappush(self._heap, entry)
        self._compact()

    def cancel(self, key: K) -> None:
        """Disarm `key`; nothing happens when it is not armed."""
        if self._entries.pop(key, None) is not None:
            self._compact()

    def when(self, key: K) -> float | None:
        """Return the deadline of `key`, or None when it is not armed."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def next(self) -> float | None:
        """Return the earliest deadline, or None when nothing is armed."""
        heap = self._heap
        while heap and self._entries.get(heap[0][2]) is not heap[0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> list[K]:
        """Disarm and return every key whose deadline is `now` or earlier, earliest first."""
        keys: list[K] = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            entry = heapq.heappop(heap)
            if self._entries.get(entry[2]) is entry:
                del self._entries[entry[2]]
                keys.append(entry[2])
        return keys

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._entries) + _SLACK:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)
