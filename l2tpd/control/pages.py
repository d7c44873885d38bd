"""Lists in pages: a page examines at most `PAGE` rows, so that no request holds the daemon up for longer than a few milliseconds.

A page may therefore hold fewer rows than were asked for, and only a missing cursor ends a list.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from l2tpd.control import params as p
from l2tpd.control.jsonrpc import INVALID_PARAMS
from l2tpd.errors import ControlError

V = TypeVar("V")


def limit(wanted: p.Page | p.LogTail, most: int = p.PAGE) -> int:
    """Return how many rows a page may examine."""
    if not 1 <= wanted.limit <= most:
        raise ControlError(INVALID_PARAMS, f"`limit` must be 1 to {most}")
    return wanted.limit


def position(cursor: str | None, length: int) -> tuple[int, ...]:
    """Read a cursor as its numbers; without one, what comes before everything."""
    if cursor is None:
        return (-1,) * length
    parts = cursor.split("/")
    if len(parts) != length or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        raise ControlError(INVALID_PARAMS, "`cursor` is not one that this list gave")
    return tuple(int(part) for part in parts)


def cut(steps: Iterator[tuple[str, V | None]], wanted: p.Page) -> tuple[tuple[V, ...], str | None]:
    """Take the rows of so many steps; each step is a cursor with a row, or with None for one that was filtered out."""
    most = limit(wanted)
    rows: list[V] = []
    cursor = None
    for taken, (at, row) in enumerate(steps):
        if taken == most:
            return tuple(rows), cursor
        cursor = at
        if row is not None:
            rows.append(row)
    return tuple(rows), None


def ascending(ids: Iterable[int], start: int) -> Iterator[int]:
    """Yield the ids from `start` on in order; costs the few that are taken, not a sort of all."""
    heap = [number for number in ids if number >= start]
    heapq.heapify(heap)
    while heap:
        yield heapq.heappop(heap)


def by_index(items: Sequence[V], wanted: p.Page) -> tuple[Sequence[V], str | None]:
    """Cut a page out of a sequence; the cursor is the index of its last item."""
    start = position(wanted.cursor, 1)[0] + 1
    end = start + limit(wanted)
    return items[start:end], str(end - 1) if end < len(items) else None
