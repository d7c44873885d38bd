"""Keep one task's bug from becoming everybody's, let clients in, and give the last words of a task a deadline."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import trio

from l2tpd import log

PAUSE = 0.1  # seconds until a system that lets nobody in, for want of descriptors or memory, is asked again
REST = 1.0  # seconds between a crash of what serves everybody and its next beginning: it may crash at once

T = TypeVar("T")

_log = log.get("supervise")

crashes: Counter[str] = Counter()
"""Exceptions contained so far, by kind of task."""


def _nothing(_: object) -> None:
    """Leave a crash at what its log says."""


async def contain(
    name: str,
    fn: Callable[[], Awaitable[T]],
    *,
    on_crash: Callable[[ExceptionGroup[Exception]], object] = _nothing,
    kind: str = "task",
) -> T | None:
    """Run `fn` and return what it returns; should it crash, log the traceback once, count it under `kind`, call `on_crash` with the exceptions, and return None.

    `name` says in the log whose crash it was; `kind` is one of a few words of the program's, never a peer's, since each is counted apart.
    Cancellation passes. A crash of `on_crash` itself is logged and goes no further.
    """
    # except*, not except: a cancel that arrives while the bug unwinds makes trio raise a BaseExceptionGroup of the bug and Cancelled, which
    # `except Exception` does not match; here the bug is contained and Cancelled goes on its way.
    try:
        return await fn()
    except* Exception as group:  # noqa: BLE001 - see above
        crashes[kind] += 1
        _log.error(f"{name} crashed", kind=kind, exc_info=group)
        _report(name, on_crash, group)
    return None


def _report(
    name: str, on_crash: Callable[[ExceptionGroup[Exception]], object], group: ExceptionGroup[Exception]
) -> None:
    try:
        on_crash(group)
    except Exception as again:  # noqa: BLE001 - whatever it is, the boundary must hold
        _log.error(f"cleaning up after {name} failed", exc_info=again)


async def keep(name: str, fn: Callable[[], Awaitable[object]], *, kind: str) -> NoReturn:
    """Run what serves everybody, until cancelled: a crash of it is contained, and a moment later it begins anew."""
    while True:
        await contain(name, fn, kind=kind)
        await trio.sleep(REST)


class contained:  # noqa: N801 - used as a statement; no generator, which would take three times as long for each packet
    """Keep a bug of the block, which does not wait, from whoever runs it: log the traceback, and count it under `kind` as `contain` does."""

    __slots__ = ("_kind", "_name")

    def __init__(self, name: str, *, kind: str) -> None:
        self._name, self._kind = name, kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, bug: BaseException | None, _trace: object) -> bool:
        if not isinstance(bug, Exception):
            return False
        crashes[self._kind] += 1
        _log.error(f"{self._name} crashed", kind=self._kind, exc_info=bug)
        return True


async def welcome(
    listener: trio.socket.SocketType,
    kind: str,
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    nursery: trio.Nursery,
) -> NoReturn:
    """Serve everyone who connects to a socket that listens, each in a task of their own whose crash is theirs alone.

    Who cannot be let in waits in the backlog; the log says so once a minute.
    """
    number, shortage = 0, log.RateLimit(rate=1 / 60, burst=1)
    while True:
        try:
            accepted, _ = await listener.accept()
        except OSError as error:  # none is a reason to stop answering
            gone = error.errno == errno.ECONNABORTED  # the client: the next one may be there already
            if not gone:
                shortage.say(kind, trio.current_time(), _log.warning, f"a {kind} has to wait", reason=error.strerror)
            await trio.sleep(0 if gone else PAUSE)
            continue
        number += 1
        nursery.start_soon(_serve, f"{kind} {number}", kind, serve, accepted)


async def _serve(
    name: str, kind: str, serve: Callable[[trio.SocketStream], Awaitable[None]], accepted: trio.socket.SocketType
) -> None:
    async def serve_it() -> None:
        async with trio.SocketStream(accepted) as stream:
            await serve(stream)

    await contain(name, serve_it, kind=kind)


def goodbye(seconds: float) -> trio.CancelScope:
    """Shield the block from cancellation from outside for at most `seconds`: the only place where a dying task may await."""
    return trio.move_on_after(seconds, shield=True)
