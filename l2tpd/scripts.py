"""Run the hook scripts: what `hooks` says of an event, as a process; and whoever is to be told of a peer's name servers, by `nameservers`.

Theory of operation. `offer` is called for every event, synchronously, by a tunnel that has packets to answer: it looks whether the script exists,
unless it has just looked, and if so puts the event behind the earlier ones of its tunnel or session. Such a lane is served by at most one process at a
time, so that the scripts of one instance see things happen in order; lanes take turns, and at most `limit` scripts run at once. One that runs longer
than `timeout` is killed together with its process group.

A peer may have its network go up and down as fast as it likes. Where many events of a session wait, one that takes back another that waits is left
out together with it. Whoever is told of name servers is told by interface, and hears of one that another session has by now from that session alone.

So a script can hurt nobody but itself: while one hangs, those of its own instance wait; when `size` events wait, further ones are dropped and
counted; nothing is read from it, and its exit status means nothing. What it leaves in the background when it ends is its own affair.
Of a program that is told of name servers the log says how it failed, with the first line of what it has written to stderr.

Whoever can write a script, or replace it, can do what the daemon can. So a script must belong to the daemon's user or root, must not be
writable by others, nor must the directory that it is in; what does not comply is not run.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import attrs
import trio

from l2tpd import hooks, log
from l2tpd.events import Event, PppEvent, What
from l2tpd.nameservers import Call, handover
from l2tpd.supervise import contain, goodbye

LIMIT = 16
"""Scripts that run at once, unless the configuration says otherwise."""

TIMEOUT = 30.0
"""Seconds that a script may take, unless the configuration says otherwise."""

SIZE = 20_000
"""Events that may wait for their script."""

LANE = 64
"""Of one session: from so many on, its networks' ups and downs that cancel each other are left out."""

_LONGEST_LINE = 1000  # octets of a program's last words

GLANCE = 0.05
"""Seconds for which it is known whether there is a script."""

REAP = 5.0  # seconds that the kernel may take to end what was killed; only a process stuck in a driver takes longer

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""All that a script has in its environment besides what the event tells."""

_log = log.get("scripts")


class Errand(NamedTuple):
    """What is run for an event: the script of a name, or, with a `call`, the program of that name."""

    name: str
    event: hooks.Hooked
    call: Call | None = None


@attrs.define(eq=False)
class Scripts:
    """The scripts of one directory. Directory, limit and timeout may be changed at any time, and hold from the next script on.

    `counts` says how often scripts were `run`, and of these `killed`, and how many were `refused` or `dropped`.
    """

    directory: Path
    limit: int = LIMIT
    timeout: float = TIMEOUT
    size: int = SIZE
    path: str = PATH  # where programs are looked for that are no scripts
    waiting: int = 0
    running: int = 0
    counts: Counter[str] = attrs.field(factory=Counter)
    _lanes: dict[hooks.Instance, list[Errand]] = attrs.field(factory=dict)  # where something waits or runs
    _handed: dict[tuple[str, str], hooks.Instance] = attrs.field(
        factory=dict
    )  # whose name servers a program was told of last, by program and interface
    _ready: deque[hooks.Instance] = attrs.field(factory=deque)  # of these, where something waits and nothing runs
    _seen: dict[str, bool] = attrs.field(factory=dict)  # which scripts there are, by path
    _look_again: float = 0.0  # when that is old
    _changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _remarks: log.RateLimit = attrs.field(factory=log.RateLimit)

    def offer(self, event: Event) -> None:
        """Queue an event if there is a script for it; never waits."""
        hooked = hooks.hooked(event)
        if hooked is None:
            return
        if isinstance(hooked, PppEvent):
            if self._cancels(hooked):
                self._remark("dropped", hooks.script(hooked), "its network goes up and down faster than scripts run")
                return
            self._hand_over(hooked)
        if self._is_there(hooks.script(hooked)):
            self._admit(Errand(hooks.script(hooked), hooked))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run scripts until cancelled, which kills those that run."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                while self._ready and self.running < self.limit:
                    self.running += 1
                    nursery.start_soon(self._serve, self._ready.popleft())
                await self._changed.park()

    async def finish(self, seconds: float) -> None:
        """Wait until every script has run, but not longer than this, nor when cancelled; the rest is said and never run."""
        try:
            with trio.move_on_after(seconds):
                while self._lanes:
                    await self._changed.park()
        finally:
            if self._lanes:
                _log.warning("the end comes before all scripts were run", running=self.running, waiting=self.waiting)

    def _is_there(self, script: str) -> bool:
        """Tell whether there is a script: this is all that an event costs where there are none."""
        now, path = trio.current_time(), f"{self.directory}/{script}"
        if now >= self._look_again:
            self._seen.clear()
            self._look_again = now + GLANCE
        there = self._seen.get(path)
        if there is None:
            there = self._seen[path] = os.path.exists(path)  # noqa: PTH110 - three times as quick as pathlib
        return there

    def _hand_over(self, event: PppEvent) -> None:
        call = handover(event)
        if call is not None:
            if event.what is What.UP:
                self._handed[call.program, event.interface] = hooks.instance(event)
            self._admit(Errand(call.program, event, call))

    # --- lanes ----------------------------------------------------------------------------------------------------------------

    def _cancels(self, event: PppEvent) -> bool:
        """In a long lane, leave out what an event makes pointless; tell whether that is the event itself as well."""
        lane = self._lanes.get(hooks.instance(event), [])
        if len(lane) < LANE:
            return False
        last = next((errand.event for errand in reversed(lane) if _about(errand.event, event)), None)
        if last is None or last is lane[0].event:  # of which a part may have been run
            return False
        if last.what is What.UP:
            kept = [errand for errand in lane if errand.event is not last]
            self.waiting -= len(lane) - len(kept)
            lane[:] = kept
        return event.what is What.DOWN

    def _admit(self, errand: Errand) -> None:
        if self.waiting >= self.size:
            self._remark("dropped", errand.name, f"{self.waiting} wait already")
        else:
            self._queue(errand)

    def _queue(self, errand: Errand) -> None:
        instance = hooks.instance(errand.event)
        lane = self._lanes.get(instance)
        if lane is None:
            lane = self._lanes[instance] = []  # short, and a deque is ten times as large
            self._ready.append(instance)
            self._changed.unpark_all()
        lane.append(errand)
        self.waiting += 1

    async def _serve(self, instance: hooks.Instance) -> None:
        """Run the first script of a lane, then put the lane behind the others."""
        lane = self._lanes[instance]
        errand = lane.pop(0)
        self.waiting -= 1
        call = partial(self._call, errand)
        await contain(f"script {errand.name}", call, on_crash=lambda _: None, kind="script")
        self.running -= 1
        if lane:
            self._ready.append(instance)
        else:
            del self._lanes[instance]
        self._changed.unpark_all()

    # --- processes ------------------------------------------------------------------------------------------------------------

    async def _call(self, errand: Errand) -> None:
        name = errand.name
        if errand.call is not None and not self._holds(errand):
            return
        path = self.directory / name if errand.call is None else Path(shutil.which(name, path=self.path) or name)
        fault = flaw(path)
        if fault:
            self._remark("refused", name, fault)
            return
        try:
            with _ear(errand) as ear:
                process = await _spawn(path, errand, ear.writing)
                self.counts["run"] += 1
                status = await self._attend(name, process)
                if status and errand.call is not None:
                    self._failed(name, status, ear.first_line())
        except OSError as error:
            self._remark("refused", name, f"cannot be run: {error.strerror}")

    def _holds(self, errand: Errand) -> bool:
        """Tell whether name servers still concern the session of an errand: its interface may be another one's by now."""
        event = errand.event
        interface = event.interface if isinstance(event, PppEvent) else ""
        return self._handed.get((errand.name, interface)) == hooks.instance(event)

    async def _attend(self, name: str, process: trio.Process) -> int | None:
        """Wait for the end of a script, and bring it about when it is due; return its status, None where it was killed."""
        status = None
        try:
            with trio.move_on_after(self.timeout):
                status = await process.wait()
                _log.debug("script ended", script=name, status=status)
        finally:
            if status is None:
                await _kill(process)  # noqa: ASYNC102 - shielded, with a deadline
        if status is None:
            self._remark("killed", name, f"it took longer than {self.timeout:g} s")
        return status

    def _failed(self, name: str, status: int, reason: str) -> None:
        said = {"program": name, "status": status, **({"reason": reason} if reason else {})}
        self._remarks.say(("failed", name), trio.current_time(), _log.warning, "name servers: a program failed", **said)

    def _remark(self, fate: str, name: str, reason: str) -> None:
        """Count what became of a script, and say it within limits: events come as fast as peers please."""
        self.counts[fate] += 1
        self._remarks.say((fate, name), trio.current_time(), _log.warning, f"script {fate}", script=name, reason=reason)


def _about(some: hooks.Hooked, event: PppEvent) -> bool:
    """Tell whether an event is about the same network."""
    return isinstance(some, PppEvent) and some.network == event.network


def flaw(path: Path) -> str:
    """Return why a script must not be run; empty when it may be."""
    try:
        target = path.resolve(strict=True)
        for folder in dict.fromkeys((path.parent, target.parent)):
            if fault := _exposure(folder.stat()):
                return f"its directory {folder} {fault}"
        status = target.stat()
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "is no file"
    return _exposure(status) or ("" if os.access(target, os.X_OK) else "is not executable")


def _exposure(status: os.stat_result) -> str:
    """Return who else could have written this; empty when nobody could."""
    if status.st_uid not in {0, os.geteuid()}:
        return f"belongs to the user {status.st_uid}"
    mode = stat.S_IMODE(status.st_mode)
    return f"can be written by others (mode {mode:04o})" if mode & 0o022 else ""


@attrs.frozen
class _Ear:
    """What a program writes to stderr, of which so much is heard as fits into a pipe; more of it fails, and never waits."""

    writing: int = subprocess.DEVNULL
    reading: int = -1

    def first_line(self) -> str:
        """Return the first line that was written; others may write on."""
        with suppress(OSError):  # nothing was
            said = os.read(self.reading, _LONGEST_LINE).decode("utf-8", "replace").strip()
            return next(iter(said.splitlines()), "")
        return ""


@contextmanager
def _ear(errand: Errand) -> Iterator[_Ear]:
    """Hear a program that is no script. Raises `OSError`."""
    if errand.call is None:
        yield _Ear()
        return
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        yield _Ear(writing, reading)
    finally:
        os.close(reading)
        os.close(writing)


async def _spawn(path: Path, errand: Errand, stderr: int) -> trio.Process:
    """Start a script in a session and process group of its own. Raises `OSError`."""
    event, call = errand.event, errand.call
    # By way of octets, so that a script reads UTF-8 whatever the locale that the daemon was started in.
    told = {name: os.fsdecode(value.encode("utf-8", "replace")) for name, value in hooks.environment(event).items()}
    with _text(call.text if call else b"") as stdin:
        return await trio.lowlevel.open_process(
            [path, *(hooks.arguments(event) if call is None else call.arguments)],
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd="/",
            env={"PATH": PATH, **told},
            start_new_session=True,
        )


@contextmanager
def _text(text: bytes) -> Iterator[int]:
    """Lend a descriptor from which a short text can be read, once."""
    if not text:
        yield subprocess.DEVNULL
        return
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            os.write(writing, text)  # far below what a pipe holds
        finally:
            os.close(writing)
        yield reading
    finally:
        os.close(reading)


async def _kill(process: trio.Process) -> None:
    """End a process that was not waited for, and all of its group."""
    # Until we have reaped it, nobody else can have its number; `returncode` would reap it, so it is not asked.
    with suppress(OSError):  # an unprivileged daemon may not end what a script became by a setuid program
        os.killpg(process.pid, signal.SIGKILL)
    with goodbye(REAP):
        await process.wait()
