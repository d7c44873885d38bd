"""A daemon for commands to talk to: the real control socket, in a thread of its own, over rows in memory."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio

from control.double import Double
from l2tpd.control import server


@attrs.define(eq=False)
class Daemon:
    """A running daemon: its rows, its socket, and how to end it."""

    double: Double
    path: Path
    _token: trio.lowlevel.TrioToken | None = None
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _ready: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))
        self._thread.start()
        assert self._ready.wait(10)

    def do(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Run a function in the daemon."""
        return trio.from_thread.run_sync(function, *arguments, trio_token=self._token)

    def stop(self) -> None:
        if self._thread is not None:
            self.do(self._scope.cancel)
            self._thread.join(10)
            self._thread = None

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(server.serve, self.double, self.path, "", "", 0o660))
                self._ready.set()


def program(*words: str, stdout: int = subprocess.PIPE, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run Python on these words, in a process of its own, with this in its environment and its output to this descriptor."""
    roots = [str(Path(__file__).parents[2] / part) for part in ("", "cli")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots), **more}
    # One that becomes another user could not write coverage data, and would say so where its own words are expected.
    environment = {key: value for key, value in environment.items() if not key.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
