"""A namespace for tests: who is in it, and that nobody is left behind in it."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest
import trio

import taps

NAMESPACE = Path("/proc/thread-self/ns/net")

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=taps.why_not())


async def test_threads_that_are_kept_come_along_and_back() -> None:
    """What trio runs in a thread is in the namespace of whoever asks, also where the thread is older, and where the namespace is over."""

    async def seen(count: int = 3) -> set[str]:
        found: set[str] = set()
        together = threading.Barrier(count)

        def look() -> None:
            together.wait(12 * taps.WITHIN)
            found.add(str(NAMESPACE.readlink()))

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(partial(trio.to_thread.run_sync, look))
        return found

    home = await seen()
    with taps.namespace():
        away = await seen(6)
        assert {str(NAMESPACE.readlink())} == away
    assert home == await seen(9)
    assert not home & away
