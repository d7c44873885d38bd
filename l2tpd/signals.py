"""Turn Unix signals, and the end of standard input, into calls on the event loop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import trio

from l2tpd.errors import StartupError
from l2tpd.supervise import contained

_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_INPUT = 1 << 12  # octets that are dropped at a time


async def watch(
    stop: Callable[[bool], object],
    reload: Callable[[], object],
    reopen_log: Callable[[], object],
    dump: Callable[[], object],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve signals until cancelled; reports started once none can be missed.

    The first TERM or INT calls `stop(False)`, end politely; each further one `stop(True)`, at once. HUP calls `reload`, USR1 `reopen_log`, USR2
    `dump`. INT is taken here so that a KeyboardInterrupt never lands in some random task.
    """
    actions = {signal.SIGHUP: reload, signal.SIGUSR1: reopen_log, signal.SIGUSR2: dump}
    stopping = False
    with trio.open_signal_receiver(*_STOP, *actions) as receiver:
        task_status.started()
        async for number in receiver:
            if number in _STOP:
                stop(stopping)
                stopping = True
            else:
                name = signal.Signals(number)
                with contained(f"what {name.name} asks for", kind="signal"):
                    actions[name]()


async def watch_input(stop: Callable[[bool], object], descriptor: int = 0) -> None:
    """Call `stop(False)` once when a pipe or terminal, by default standard input, has come to its end; what is read before that is dropped.

    Who holds the other end of a pipe lets go of it in whatever way it ends, killed or not. Raises `StartupError` for what cannot be waited for.
    """
    goes_on = True
    while goes_on:
        try:
            await trio.lowlevel.wait_readable(descriptor)
        except OSError as error:
            raise StartupError(f"--stop-at-eof: standard input cannot be waited for: {error.strerror}") from error
        goes_on = _goes_on(descriptor)
    stop(False)


def _goes_on(descriptor: int) -> bool:
    """Drop what has come; tell whether more may."""
    try:
        return bool(os.read(descriptor, _INPUT))
    except BlockingIOError:  # who has the same end was faster
        return True
    except OSError:  # a terminal that is gone, say, or a connection that was broken off
        return False
