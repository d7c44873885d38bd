"""How the task of a session waits: for a bell, and one alarm clock rings those of all.

Of trio's own, an event has a set for those who wait and makes a function for each, and a scope with a deadline has two sets: 1,300 octets of every
session that is up and idle, where a bell has 50 and its time, if it has one, 200.
"""

from __future__ import annotations

import math

import trio

from l2tpd.deadlines import Deadlines


class Bell:
    """Wakes one task, as often as it is rung."""

    __slots__ = ("_rung", "_sleeper")

    def __init__(self) -> None:
        """Begin without having rung."""
        self._rung = False
        self._sleeper: trio.lowlevel.Task | None = None

    def ring(self) -> None:
        """Wake the task that waits; while none does, have the next `wait` end at once."""
        if self._sleeper is None:
            self._rung = True
        else:
            trio.lowlevel.reschedule(self._sleeper)
            self._sleeper = None

    async def wait(self) -> None:
        """Wait until the bell rings, or has rung since the last time. Only one task may wait."""
        if self._rung:
            await trio.lowlevel.checkpoint()
        else:
            self._sleeper = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._leave)
        self._rung = False

    def _leave(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._sleeper = None
        return trio.lowlevel.Abort.SUCCEEDED


class AlarmClock:
    """Rings bells when their time has come."""

    def __init__(self) -> None:
        """Begin without any."""
        self._deadlines: Deadlines[Bell] = Deadlines()
        self._scope: trio.CancelScope | None = None  # of the task that waits for the first of them

    def set(self, bell: Bell, when: float) -> None:
        """Have a bell rung at this time instead of any other, `math.inf`: at none."""
        if when == math.inf:
            self._deadlines.cancel(bell)
            return
        self._deadlines.set(bell, when)
        if self._scope is not None and when < self._scope.deadline:
            self._scope.deadline = when

    async def serve(self) -> None:
        """Ring them until cancelled."""
        while True:
            first = self._deadlines.next()
            with trio.CancelScope(deadline=math.inf if first is None else first) as self._scope:
                await trio.sleep_forever()  # noqa: TID251 - what happens is the deadline, which moves
            self._scope = None
            for bell in self._deadlines.due(trio.current_time()):
                bell.ring()
