"""How much memory something takes for a moment: what is read again and again must not have room for the largest packet made for each.

What is kept of one packet stands where its room was, the next needs another, and the heap grows, though nothing is lost.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

SMALL = 3 << 14
"""Octets: less than the largest packet has, and more than is made of a small one, also where somebody notes which lines have run."""


@contextmanager
def small() -> Iterator[None]:
    """Fail if the block took much memory at any moment."""
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < SMALL
