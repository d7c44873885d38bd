"""A client of the control socket on trio.

`Client` is one connection: `call` a method, or read `events` after subscribing. Failures are `CommandError`s with a sentence for the user.
"""

from __future__ import annotations

import contextlib
import grp
import math
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import trio

from l2tpctl.errors import CommandError, Disconnected, NotAllowed, NotRunning
from l2tpctl.render import printable
from l2tpd.control.jsonrpc import MAX_REPLY, Json, Lines, Request, Response, read_answer, write_request
from l2tpd.errors import ControlError

CONNECT_TIMEOUT = 5.0  # seconds
CHUNK = 65536


class Client:
    """One connection to the daemon; requests go one after the other."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._lines = Lines(MAX_REPLY)
        self._read: deque[bytes] = deque()
        self._events: deque[Mapping[str, Json]] = deque()
        self._last_id = 0

    async def call(self, method: str, params: Mapping[str, Json]) -> Json:
        """Call a method and return its result; raises `CommandError` with what the daemon says is wrong."""
        self._last_id += 1
        request = Request(method=method, params=params, id=self._last_id)
        with contextlib.suppress(trio.BrokenResourceError):  # what it has to say about that may still be read
            await self._stream.send_all(write_request(request))
        while True:
            answer = await self._next()
            if answer is None:
                raise Disconnected
            if isinstance(answer, Request):
                self._events.append(answer.params)
            elif answer.failure is not None:
                raise CommandError(_of_a_command(answer.failure.message))
            elif answer.id == self._last_id:
                return answer.result

    async def call_pages(
        self, method: str, params: Mapping[str, Json], take: Callable[[Mapping[str, Json]], object]
    ) -> None:
        """Call a list method page after page; `take` is given one before the next is asked for, so no more than one is held."""
        cursor: Json = None
        while True:
            page = await self.call(method, {**params, "cursor": cursor} if cursor is not None else params)
            if not isinstance(page, dict):
                raise CommandError(f"l2tpd answered `{method}` with something else than a list")
            take(page)
            cursor = page.get("cursor")
            if cursor is None:
                return

    async def next_event(self) -> Mapping[str, Json] | None:
        """Wait for the params of the next notification of what was subscribed to; None when the daemon has ended."""
        while not self._events:
            answer = await self._next()
            if answer is None:
                return None
            if isinstance(answer, Request):
                self._events.append(answer.params)
        return self._events.popleft()

    async def _next(self) -> Response | Request | None:
        """Read the next message; None when the daemon has closed the connection."""
        while not self._read:
            try:
                received = await self._stream.receive_some(CHUNK)
                if not received:
                    return None
                self._read.extend(self._lines.feed(received))
            except trio.BrokenResourceError:
                return None
            except ControlError as error:
                raise CommandError(f"l2tpd's answer cannot be read: {error}") from error
        try:
            return read_answer(self._read.popleft())
        except ControlError as error:
            raise CommandError(f"l2tpd's answer cannot be read: {error}") from error


def _of_a_command(message: str) -> str:
    """Leave out what stands for the name of a file where the mistakes are a request's: on a command line there is no doubt."""
    return "\n".join(printable(line.removeprefix("request: ")) for line in message.splitlines())


@contextlib.asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Client]:
    """Connect to the daemon; raises `NotRunning`, `NotAllowed` or another `CommandError`."""
    stream = await _connect(path)
    async with stream:
        yield Client(stream)


async def _connect(path: Path) -> trio.SocketStream:
    """Open the connection and translate what may go wrong."""
    try:
        with trio.fail_after(CONNECT_TIMEOUT):
            return await trio.open_unix_socket(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        raise NotRunning(path) from None
    except PermissionError:
        raise NotAllowed(path, _group(path)) from None
    except trio.TooSlowError:
        raise _silent(path) from None
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot connect to {path}: {error}") from None


def _silent(path: Path) -> CommandError:
    return CommandError(f"l2tpd does not answer on {path}")


def _group(path: Path) -> str:
    """Name the group whose members may connect, or nothing if none may or it cannot be told."""
    try:
        found = path.stat()
        return grp.getgrgid(found.st_gid).gr_name if found.st_mode & 0o060 == 0o060 else ""
    except (OSError, KeyError):
        return ""


def call(path: Path, method: str, params: Mapping[str, Json], patience: float = math.inf) -> Json:
    """Connect, call one method, and return its result, for which it waits so many seconds."""

    async def talk() -> Json:
        try:
            with trio.fail_after(patience):
                async with connected(path) as client:
                    return await client.call(method, params)
        except trio.TooSlowError:
            raise _silent(path) from None

    return trio.run(talk)


def call_pages(
    path: Path, method: str, params: Mapping[str, Json], take: Callable[[Mapping[str, Json]], object]
) -> None:
    """Connect, and call a list method page after page."""

    async def talk() -> None:
        async with connected(path) as client:
            await client.call_pages(method, params, take)

    trio.run(talk)
