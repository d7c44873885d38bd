"""A bell that one task waits for: what `trio.Event` is to many, with a tenth of the memory, for a session has its own and there are many sessions."""

from __future__ import annotations

import trio


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
