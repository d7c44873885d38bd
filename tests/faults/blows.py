"""A blow at every moment: a scenario is run again and again, and each time everything is cancelled one step of the event loop later.

    async def scenario(blow: Blow) -> None:
        async with stage(tmp_path) as on:
            lns = await on.start(...)
            blow.strikes(on.nursery.cancel_scope)  # from here on steps count
            await until(...)

    assert 50 < await everywhere(scenario)

A step is what a task does between two checkpoints, whichever task it is; a blow after each of them meets every task at every checkpoint where it can
be found. The rounds end with the first in which the scenario came to its own end. After each round nothing may be left: no descriptor, no task, no
thread that is not waiting for other work, no child process; what else there is for a scenario to leave behind, it looks at itself.
"""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

import attrs
import trio

from l2tpd.daemon import Daemon
from l2tpd.kernel.worker import Worker
from l2tpd.tunnel.states import State

ENOUGH = 3000
"""Rounds after which a scenario is one that never ends."""


@attrs.define(eq=False)
class Blow(trio.abc.Instrument):
    """Calls something after so many steps, counted from `strikes` on."""

    after: int
    steps: int = 0
    struck: bool = False
    _strike: Callable[[], object] | None = None

    def strikes(self, scope: trio.CancelScope) -> None:
        """Begin to count; cancel `scope` when the time has come."""
        self._strike = scope.cancel

    def holds(self) -> None:
        """Count no longer: what follows is only a test's own tidying."""
        self._strike = None

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count one step."""
        del task
        if self._strike is None or self.struck:
            return
        self.steps += 1
        if self.steps == self.after:
            self.struck = True
            self._strike()


@attrs.frozen
class Belongings:
    """What a process has that it could forget to let go of."""

    descriptors: Counter[str]
    tasks: int
    threads: int
    children: frozenset[str]


def belongings() -> Belongings:
    """Take stock."""
    return Belongings(
        _descriptors(), trio.lowlevel.current_statistics().tasks_living, _busy_threads(), frozenset(_children())
    )


def _descriptors() -> Counter[str]:
    """Count open descriptors by what they are, with the numbers of sockets and pipes left out: those are never the same."""
    found: Counter[str] = Counter()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found[str(link.readlink()).partition(":")[0]] += 1
    return found


def _busy_threads() -> int:
    """Count threads, but for those that trio keeps for a while in case somebody needs one."""
    return sum(not thread.name.startswith("Trio thread") for thread in threading.enumerate())


def _children() -> set[str]:
    try:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    except FileNotFoundError:  # not every kernel makes such a list
        return {stat.parent.name for stat in Path("/proc").glob("[0-9]*/stat") if _parent(stat) == os.getpid()}


def _parent(stat: Path) -> int:
    """Return who has started a process, or 0 when it is gone."""
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


async def settled(before: Belongings) -> None:
    """Wait until we have what we had; raises `AssertionError` showing both where that does not come: threads may take a moment to close something."""
    for _ in range(4000):
        if belongings() == before:
            return
        await trio.sleep(0.005)
    gc.collect()  # an object that nobody holds would close what it has, and say so in a warning
    assert before == (now := belongings()), f"{now} is left of {before}"


async def quiet() -> None:
    """Wait until nothing has come or gone for half a second: who takes stock then does not count what is about to end."""
    found, looks = belongings(), 0
    while looks < 100:
        await trio.sleep(0.005)
        now = belongings()
        found, looks = now, looks + 1 if now == found else 0


async def everywhere(scenario: Callable[[Blow], Awaitable[object]], *, stride: int = 1) -> int:
    """Run a scenario with a blow after every step, or every `stride`-th one; return how many steps it has when it is left alone."""
    with closing(Worker("first")) as first:  # after which there is what all of a loop share
        await first.run(os.getpid)
    gc.collect()  # an earlier loop, of another test
    before = belongings()
    for after in range(1, ENOUGH * stride, stride):
        blow = Blow(after)
        trio.lowlevel.add_instrument(blow)
        try:
            await scenario(blow)
        except BaseException as error:
            error.add_note(f"the blow fell after {after} steps")
            raise
        finally:
            trio.lowlevel.remove_instrument(blow)
        try:
            await settled(before)
        except AssertionError as error:
            error.add_note(f"the blow fell after {after} steps")
            raise
        if not blow.struck:
            return blow.steps
    raise AssertionError("the scenario never ends by itself")


def nothing_kept(daemon: Daemon) -> None:
    """Fail unless a daemon that has ended has given everything back that it counts; the tunnels that it would dial again may wait for that."""
    kept = [(tunnel.core.state, tunnel.sock) for tunnel in daemon.registry]
    assert [(State.IDLE, None)] * len(kept) == kept, f"kept: {kept}"
    assert (0, 0) == (daemon.registry.half_open, daemon.registry.sessions)
    assert set() == daemon.site.challenges
    assert {} == {state: count for state, count in daemon.site.calls_by_state.items() if count}
    assert 0 == daemon.adapter.waiting
    assert [] == daemon.bus.subscribers
    assert [] == daemon.tap.subscribers
    leases = daemon.leases
    assert ({}, {}, {}) == (leases._guests, leases._sessions, leases._watched)
    assert (set(), {}) == (leases._names._taken, leases._addresses._held)
