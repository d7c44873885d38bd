"""The daemon's clock."""

from __future__ import annotations

import math
import time

import trio

from l2tpd.clock import OFTEN, PassClock


def work() -> None:
    """Keep the loop from going on until time has passed."""
    begun = time.monotonic()
    while time.monotonic() - begun < 0.001:
        pass


def test_time_stands_still_while_tasks_run() -> None:
    """Whoever asks in one pass of the loop is told one time, however long the pass takes; the next pass has a later one."""
    clock = PassClock()

    async def ask() -> tuple[float, float, float]:
        first = trio.current_time()
        work()
        second = trio.current_time()
        await trio.lowlevel.checkpoint()
        return first, second, trio.current_time()

    first, second, third = trio.run(ask, clock=clock, instruments=[clock])
    assert first == second < third


def test_time_goes_on_in_a_long_pass() -> None:
    """Whoever asks again and again is told of it, so that a deadline is at most that early; it never goes back."""
    clock = PassClock()
    told = [clock.current_time()]
    work()
    told += [clock.current_time() for _ in range(OFTEN)]
    assert told[0] + 0.001 <= told[-1] <= time.monotonic()
    assert sorted(told) == told
    assert told[0] == told[1]


def test_a_deadline_comes_in_time() -> None:
    """What sleeps is woken at its deadline, which counts from the pass in which it was set."""
    clock = PassClock()

    async def wait() -> tuple[float, float]:
        begun = trio.current_time()
        await trio.sleep(0.01)
        return begun, trio.current_time()

    begun, ended = trio.run(wait, clock=clock, instruments=[clock])
    assert begun + 0.01 <= ended <= time.monotonic()


def test_what_a_pass_has_taken_is_not_slept() -> None:
    """The loop sleeps until a deadline, and not for as long as there was when its last pass began."""
    clock = PassClock()
    work()
    assert clock.deadline_to_sleep_time(clock.current_time() + 1) <= 0.999
    assert math.inf == clock.deadline_to_sleep_time(math.inf)
