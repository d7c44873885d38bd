"""A bell wakes the one task that waits for it, and an alarm clock rings many."""

from __future__ import annotations

import math

import trio
from trio.testing import wait_all_tasks_blocked

from l2tpd.bell import AlarmClock, Bell


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


# --- an alarm clock -----------------------------------------------------------------------------------------------------------------


async def rung(bell: Bell) -> float:
    """Return when a bell rings, in seconds; one that never does is a failure, and not a test that hangs."""
    with trio.fail_after(60):
        await bell.wait()
    return trio.current_time()


async def test_each_at_its_time(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    """Whichever was set first, and also those that were set before anybody kept the time."""
    clock, began, times = AlarmClock(), trio.current_time(), dict[int, float]()

    async def sleep(seconds: int) -> None:
        bell = Bell()
        clock.set(bell, began + seconds)
        times[seconds] = await rung(bell) - began

    nursery.start_soon(sleep, 2)
    await wait_all_tasks_blocked()
    nursery.start_soon(clock.serve)
    for seconds in (3, 1):
        await wait_all_tasks_blocked()
        nursery.start_soon(sleep, seconds)
    await trio.sleep(5)
    assert {1: 1, 2: 2, 3: 3} == times


async def test_a_time_that_has_passed_is_now(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    """Whoever sets it may be late."""
    clock, bell, now = AlarmClock(), Bell(), trio.current_time()
    nursery.start_soon(clock.serve)
    await wait_all_tasks_blocked()
    clock.set(bell, now - 1)
    assert now == await rung(bell)


async def test_another_time_is_the_only_one(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock) -> None:
    """Be it earlier, later or none."""
    clock, bell, began = AlarmClock(), Bell(), trio.current_time()
    nursery.start_soon(clock.serve)
    await wait_all_tasks_blocked()
    for when in (9, 5, 7):
        clock.set(bell, began + when)
    assert began + 7 == await rung(bell)
    clock.set(bell, began + 8)
    clock.set(bell, math.inf)
    with trio.move_on_after(60) as scope:
        await bell.wait()
    assert scope.cancelled_caught
