"""Threads that block, so that the event loop does not: one for work on the kernel, and one that closes sockets.

Theory of operation. A thread keeps the network namespace that it was born in, whatever happens to the process later, and a netlink socket answers one
request at a time: so a worker is one thread from beginning to end, which takes one piece of work after another in the order in which they came. Where
neither matters it may be several, whose waiting for the kernel overlaps; trio's own threads would take more for each piece than that itself does. What
has been handed over is carried out, and whoever handed it over waits for it even when cancelled: work on the kernel that nobody hears the end of
would be lost.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

import attrs
import trio

from l2tpd.errors import PlaneError
from l2tpd.kernel import brief

T = TypeVar("T")

ALONE: Final = os.cpu_count() == 1
"""Whether there is one processor only."""

_IN_THE_WAY = (0.01, 0.1, 1.0, 2.0)  # seconds between attempts to make what there is already
_TAKEN = frozenset({errno.EEXIST, errno.EBUSY})
_ONE = (1).to_bytes(8, sys.byteorder)  # what is added to an eventfd(2)
_TIMEOUT = 10.0  # seconds: work that takes longer than this is stuck, and must not keep the daemon from ending


class _Done:
    """Wakes tasks whose work is done: the loop is told once for all that it has not heard of yet.

    Whoever tells it keeps the interpreter while he does so. Trio's own way lets other threads have it, so that a thread that has nothing to do any more waits
    for it twice, beside a busy loop; that costs more than most of what is done here.
    """

    def __init__(self) -> None:
        """Begin with a task of the loop that listens. Raises `OSError` when no descriptor is left."""
        self._tasks: deque[trio.lowlevel.Task] = deque()
        self._told = False
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self._bell)  # a thread may still be about to ring it when the loop ends
        trio.lowlevel.spawn_system_task(self._listen)

    def tell(self, task: trio.lowlevel.Task) -> None:
        """Wake a task; from any thread."""
        self._tasks.append(task)
        # The loop forgets that it was told before it looks for tasks, and so finds this one. Two threads may both tell it; that neither does must not be:
        # to go by the number of tasks would be wrong, since both may have added theirs before either counts.
        if not self._told:
            self._told = True
            brief.write(self._bell, _ONE)

    async def _listen(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._bell)
            os.eventfd_read(self._bell)
            self._wake()

    def _wake(self) -> None:
        self._told = False
        while self._tasks:
            trio.lowlevel.reschedule(self._tasks.popleft())


_of_loop: trio.lowlevel.RunVar[_Done] = trio.lowlevel.RunVar("l2tpd.kernel.worker")


def _done() -> _Done:
    """Return that of the present loop, which all workers share. Raises `OSError` when no descriptor is left."""
    try:
        return _of_loop.get()
    except LookupError:
        _of_loop.set(made := _Done())
        return made


@attrs.define(eq=False)
class _Job(Generic[T]):
    """A piece of work on its way, and what came of it; made by the task that waits for it."""

    work: Callable[[], T]
    done: _Done = attrs.field(factory=_done)
    task: trio.lowlevel.Task = attrs.field(factory=trio.lowlevel.current_task)
    results: list[T] = attrs.field(factory=list)
    error: BaseException | None = None

    def carry_out(self) -> None:
        """Do the work and wake who waits for it."""
        try:
            self.results.append(self.work())
        except BaseException as error:  # noqa: BLE001, ASYNC103 - it is the caller's, whatever it is
            self.error = error
        self.done.tell(self.task)

    def result(self) -> T:
        """Return what the work returned, or raise what it raised."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # whose traceback leads to this frame
        return self.results[0]


class Worker:
    """Threads of its own for blocking work, from now until `close`: one, or as many as there is work at a time, but at most `most`."""

    def __init__(self, name: str, most: int = 1, *, alone: bool = ALONE) -> None:
        """Start a thread; `name` is what a debugger shows. Several may take work that came in one order in another. `alone`: on the only processor."""
        self._name = name
        self._alone = alone
        self._most = most
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._closed = False
        self._waiting = 0  # tasks, for their work
        self._threads: list[threading.Thread] = []
        self._start()

    async def run(self, work: Callable[[], T], *, at_once: bool = False) -> T:
        """Carry out `work` in a thread and return what it returns, or raise what it raises. Once handed over, it cannot be cancelled.

        Where it says that the kernel does it `at_once`, but for waiting until all processors have seen a change, and there is no other processor, it is
        carried out here and now, in the network namespace of the event loop: to change threads, and to change back, would take many times as long. No thread
        does anything else meanwhile.
        """
        if self._closed:
            raise RuntimeError(f"the thread `{self._name}` has ended")
        await trio.lowlevel.checkpoint_if_cancelled()
        if at_once and self._alone and not self._waiting:
            return work()
        if len(self._threads) < min(self._waiting + 1, self._most):
            with suppress(RuntimeError):  # the system has no more: those that are there do
                self._start()
        job = _Job(work)
        self._waiting += 1
        self._queue.put(job.carry_out)
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        self._waiting -= 1
        return job.result()

    def close(self, last: Callable[[], None] | None = None) -> None:
        """End the threads when what was handed over is done, with `last` as the last work, and wait for that. Blocks, for ten seconds each at the most."""
        self._closed = True
        if last is not None:
            self._queue.put(last)
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(_TIMEOUT)

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _serve(self) -> None:
        while (carry_out := self._queue.get()) is not None:
            carry_out()
            del carry_out  # what it works on should not have to wait for the next one to come


class Closer:
    """Closes sockets, in a thread that exists once there was something to close."""

    def __init__(self) -> None:
        """Start with nothing to do."""
        self._queue: SimpleQueue[socket.socket | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def close(self, sockets: Iterable[socket.socket]) -> None:
        """Close these, soon."""
        for sock in sockets:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="closer", daemon=True)
                self._thread.start()
            self._queue.put(sock)

    def finish(self) -> None:
        """Wait until everything is closed."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(_TIMEOUT)
            self._thread = None

    def _run(self) -> None:
        while (sock := self._queue.get()) is not None:
            with suppress(OSError):  # it is closed already; the others are not
                sock.close()


async def once_free(attempt: Callable[[], Awaitable[T]]) -> T:
    """Make an interface or a route, trying again for a while what a former interface is in the way of. Raises `PlaneError`.

    One that is closed lives on, with its routes, until a child that was forked at that moment begins its program. A failed attempt must leave nothing.
    """
    for pause in _IN_THE_WAY:
        try:
            return await attempt()
        except PlaneError as error:
            if error.errno not in _TAKEN:
                raise
        await trio.sleep(pause)
    return await attempt()
