"""A bell wakes the one task that waits for it."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from l2tpd.bell import Bell


async def test_it_wakes_who_waits(nursery: trio.Nursery) -> None:
    """Once for each time that it is rung."""
    bell, woken = Bell(), list[int]()

    async def sleep() -> None:
        for number in range(3):
            await bell.wait()
            woken.append(number)

    nursery.start_soon(sleep)
    for expected in ([], [0], [0, 1], [0, 1, 2]):
        await wait_all_tasks_blocked()
        assert expected == woken
        bell.ring()


async def test_it_is_heard_later() -> None:
    """A bell that has rung while nobody waited ends the next wait, however often it has, and that one alone."""
    bell = Bell()
    bell.ring()
    bell.ring()
    await bell.wait()
    with trio.move_on_after(0) as scope:
        await bell.wait()
    assert scope.cancelled_caught


async def test_who_was_cancelled_waits_no_longer(nursery: trio.Nursery) -> None:
    """A bell that rings afterwards is heard by who waits next."""
    bell, scope = Bell(), trio.CancelScope()

    async def sleep() -> None:
        with scope:
            await bell.wait()

    nursery.start_soon(sleep)
    await wait_all_tasks_blocked()
    scope.cancel()
    await wait_all_tasks_blocked()
    assert scope.cancelled_caught
    bell.ring()
    await bell.wait()


async def test_a_cancelled_wait_keeps_what_has_rung() -> None:
    """It was not heard."""
    bell = Bell()
    bell.ring()
    with trio.move_on_after(0) as scope:
        await bell.wait()
    assert scope.cancelled_caught
    await bell.wait()
