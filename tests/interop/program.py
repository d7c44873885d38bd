"""A running program whose output we read line by line as it comes: what a test waits for is an event, never a pause."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from signal import SIGKILL, Signals
from typing import TypeVar

import trio

T = TypeVar("T")
P = TypeVar("P", bound="Program")

SLOWNESS = float(os.environ.get("L2TPD_TESTS_SLOWNESS", "1"))
"""How many times slower than a busy machine we may be: the rig of an emulated one says so."""

PATIENCE = 40.0 * SLOWNESS
"""How long anything that should happen may take, in seconds; no test waits for it to pass."""


async def polled(probe: Callable[[], Awaitable[T | None]], complaint: Callable[[], str], within: float = PATIENCE) -> T:
    """Ask `probe` again and again, for what nobody tells us about; raises `AssertionError` when it finds nothing in time."""
    with trio.move_on_after(within):
        while True:
            found = await probe()
            if found is not None:
                return found
            await trio.sleep(0.02)
    raise AssertionError(complaint())


class Watched:
    """Something that changes now and then and that can be waited for."""

    def __init__(self) -> None:
        """Begin with nothing changed."""
        self._changed = trio.Event()

    def changed(self) -> None:
        """Wake everybody who waits."""
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, probe: Callable[[], T | None], what: Callable[[], str], within: float = PATIENCE) -> T:
        """Return what `probe` finds, now or after a change; raises `AssertionError` with `what()` when it finds nothing in time."""
        with trio.move_on_after(within):
            while (found := probe()) is None:
                await self._changed.wait()
            return found
        raise AssertionError(what())


class Program(Watched):
    """A child process in a session of its own, with the lines it wrote so far on stdout and stderr."""

    def __init__(self, name: str, process: trio.Process) -> None:
        """Take over a process whose stdout is a pipe."""
        super().__init__()
        self.name = name
        self.lines: list[str] = []
        self._process = process
        self._read_until = 0
        self._ended = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything it wrote."""
        return "\n".join(self.lines)

    def signal(self, number: Signals) -> None:
        """Send a signal to the process alone, not to its children."""
        self._process.send_signal(number)

    async def says(self, pattern: str, within: float = PATIENCE) -> re.Match[str]:
        """Wait for a line that matches, written after the one that the last call found; raises `AssertionError` with the whole log."""
        expression = re.compile(pattern)

        def probe() -> re.Match[str] | None:
            for index in range(self._read_until, len(self.lines)):
                if match := expression.search(self.lines[index]):
                    self._read_until = index + 1
                    return match
            if self._ended:
                raise AssertionError(self._complaint(f"ended without saying {pattern!r}"))
            return None

        return await self.until(probe, lambda: self._complaint(f"did not say {pattern!r} within {within} s"), within)

    async def ended(self, within: float = PATIENCE) -> int:
        """Wait for its end and return the exit status, negative for a signal."""
        with trio.move_on_after(within):
            return await self._process.wait()
        raise AssertionError(self._complaint(f"still runs after {within} s"))

    def _complaint(self, text: str) -> str:
        return f"{self.name} {text}; it wrote:\n{self.log}"

    async def read(self) -> None:
        """Collect lines until the program and its children have closed the pipe."""
        assert self._process.stdout is not None
        rest = b""
        async with self._process.stdout as pipe:
            async for chunk in pipe:
                *whole, rest = (rest + chunk).split(b"\n")
                self.lines += [line.decode(errors="replace") for line in whole]
                self.changed()
        self.lines += [rest.decode(errors="replace")] if rest else []
        self._ended = True
        self.changed()

    async def stop(self, polite: Signals | None) -> None:
        """Ask it to end, insist after a few seconds, and take whatever is left of its process group along."""
        if self._process.poll() is None and polite is not None:
            self.signal(polite)
            with trio.move_on_after(10 * SLOWNESS):
                await self._process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, SIGKILL)
        await self._process.wait()


async def spawn(argv: Sequence[str], env: Mapping[str, str] | None = None) -> trio.Process:
    """Start a program in a session of its own, with `env` added to the environment; stdout and stderr are one pipe.

    The session matters: l2tpns 2.4.1 ends with kill(0, SIGTERM), which would end us as well.
    """
    return await trio.lowlevel.open_process(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | dict(env or {}),
        start_new_session=True,
    )


@asynccontextmanager
async def running(program: P, polite: Signals | None) -> AsyncIterator[P]:
    """Read a program's output while the block runs; afterwards stop it, `polite` being the signal that it likes (None: SIGKILL at once)."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.read)
        try:
            yield program
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 15 * SLOWNESS):
                await program.stop(polite)
            nursery.cancel_scope.deadline = (
                trio.current_time() + 2
            )  # for the rest of its output; a stray child may hold the pipe
    print(f"--- {program.name} wrote:\n{program.log}")  # pytest shows it where a test has failed
