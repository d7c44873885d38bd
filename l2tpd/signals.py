"""Turn Unix signals into calls on the event loop."""

from __future__ import annotations

import signal
from collections.abc import Callable

import trio

from l2tpd.supervise import contained

_STOP = frozenset({signal.SIGTERM, signal.SIGINT})


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
