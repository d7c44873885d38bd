"""The daemon's clock, which is not read each time that somebody asks.

Theory of operation. The loop reads the clock once before it sleeps and once when it goes on; whoever asks in between is told that of the latter: what happens
in one pass of the loop happens at one time. A session's way up asks fifty times. On most machines each reading would cost next to nothing; but where the
clock is not mapped into the process, as in some virtual machines, it is a call of the system.

A deadline counts from what its setter is told, and so comes early by what the pass has taken by then. That must not grow with the load, or messages would
be repeated the sooner, the less there is time for them: a long pass reads the clock again every so many times that it is asked.
"""

from __future__ import annotations

import math
import time
from typing import Final

import trio

OFTEN: Final = 16
"""How often the clock is asked until it is read again: while sessions come up, for a millisecond or two."""


class PassClock(trio.abc.Clock, trio.abc.Instrument):
    """The time of the loop's present pass, in seconds since the machine started; for `trio.run` both its clock and an instrument."""

    def __init__(self) -> None:
        """Read the clock for the first time."""
        self._read()

    def start_clock(self) -> None:
        """Begin with the first pass."""
        self._read()

    def current_time(self) -> float:
        """Return when the present pass began, or a later time of it."""
        self._asked += 1
        if self._asked > OFTEN:
            self._read()
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return for how many seconds to sleep from now on: the pass itself has taken some of the time."""
        return deadline - time.monotonic() if deadline < math.inf else math.inf

    def after_io_wait(self, timeout: float) -> None:
        """Begin another pass."""
        del timeout
        self._read()

    def _read(self) -> None:
        self._now, self._asked = time.monotonic(), 0
