"""Keep one task's bug from becoming everybody's, and give the last words of a task a deadline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import trio

from l2tpd import log

_log = log.get("supervise")

crashes: Counter[str] = Counter()
"""Exceptions contained so far, by kind of task."""


async def contain(
    name: str,
    fn: Callable[[], Awaitable[object]],
    *,
    on_crash: Callable[[ExceptionGroup[Exception]], object],
    kind: str = "task",
) -> None:
    """Run `fn`; should it crash, log the traceback once, count it under `kind` and call `on_crash` with the exceptions.

    `name` says in the log whose crash it was; `kind` is one of a few words of the program's, never a peer's, since each is counted apart.
    Cancellation passes. A crash of `on_crash` itself is logged and goes no further.
    """
    # except*, not except: a cancel that arrives while the bug unwinds makes trio raise a BaseExceptionGroup of the bug and Cancelled, which
    # `except Exception` does not match; here the bug is contained and Cancelled goes on its way.
    try:
        await fn()
    except* Exception as group:  # noqa: BLE001 - see above
        crashes[kind] += 1
        _log.error(f"{name} crashed", kind=kind, exc_info=group)
        _report(name, on_crash, group)


def _report(
    name: str, on_crash: Callable[[ExceptionGroup[Exception]], object], group: ExceptionGroup[Exception]
) -> None:
    try:
        on_crash(group)
    except Exception as again:  # noqa: BLE001 - whatever it is, the boundary must hold
        _log.error(f"cleaning up after {name} failed", exc_info=again)


def goodbye(seconds: float) -> trio.CancelScope:
    """Shield the block from cancellation from outside for at most `seconds`: the only place where a dying task may await."""
    return trio.move_on_after(seconds, shield=True)
