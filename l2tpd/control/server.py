"""The control socket: a Unix stream socket that serves the control methods.

What a client does must not be felt by a tunnel, nor by another client:

- The socket appears under its name only when owner, group and mode are right and it listens; a stale one is replaced, a live one never.
- Where its name was removed, by a hand or by a tidying of the directory, it is made anew: without it nobody could ask for that.
- Who can connect may read. Root, the daemon's own user and the socket's owner may write (SO_PEERCRED).
- Connections are capped, and one user cannot take them all; root and the daemon's user always find a place.
- One request at a time is computed between two looks at the network, whoever sent it, and each is bounded by paging.
- A client's requests are answered one after the other, and an answer that is not read in time ends the connection, so at most one waits.
- Events and captured messages that are not read are dropped and the client is told how many; a client may stay silent or half way through a line for ever.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
import struct
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import attrs
import trio

from l2tpd import log
from l2tpd.control import methods
from l2tpd.control.jsonrpc import (
    BUSY,
    CONFIG_ERROR,
    INTERNAL_ERROR,
    REFUSED,
    Failure,
    Json,
    Lines,
    LineTooLong,
    Request,
    RequestId,
    Response,
    read_request,
    request_id,
    write_request,
    write_response,
)
from l2tpd.control.operator import Operator
from l2tpd.errors import ConfigError, ControlError, LocalProtocolError, StartupError
from l2tpd.supervise import welcome

MAX_CONNECTIONS = 64
MAX_CONNECTIONS_PER_USER = 16  # of users other than root and the daemon's own
MAX_CONNECTIONS_OF_USERS = 48  # of all these users together
REPLY_TIMEOUT = 10.0  # seconds in which a client must take an answer
CHUNK = 4096  # octets read at once
BACKLOG = 64
MAX_PATH = 107  # octets, unix(7)
LOOK = 10.0  # seconds until we see that the socket's name was removed
ITEMS_AT_ONCE = 128  # of a subscription, written in one go
TICK = 0.05  # seconds: when more has happened, subscribers are told at the same time, so that they are told the same, and of much in one go
LINES_KEPT = 1024  # of items, for subscribers who have still to be told of them
BATCHES_KEPT = 8  # of items, likewise

_log = log.get("control")
_PEERCRED = struct.Struct("3i")  # pid, uid, gid


async def serve(
    operator: Operator,
    path: Path,
    owner: str,
    group: str,
    mode: int,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Serve the control methods on a Unix socket at `path` until cancelled; then the socket is removed.

    `owner` and `group` are names or numbers, empty for the daemon's own. Reports readiness when the socket can be connected to. Raises
    `StartupError` when it cannot be made, or another daemon answers on it.
    """
    uid, gid = _uid(owner), _gid(group)
    door = _Door(path, uid, gid, mode)
    door.open()
    try:
        server = _Server(operator=operator, owner=os.geteuid() if uid < 0 else uid)
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                async with trio.open_nursery() as entrance:
                    entrance.start_soon(welcome, door.listener, "control client", server.admit, nursery)
                    await door.lost()
                    entrance.cancel_scope.cancel()
                await door.remake()
    finally:
        door.close()


# --- the socket


@attrs.define(eq=False)
class _Door:
    """The socket that listens at a path."""

    path: Path
    uid: int
    gid: int
    mode: int
    listener: trio.socket.SocketType = attrs.field(init=False)
    _made: tuple[int, int] = (0, 0)  # device and inode

    def open(self) -> None:
        """Make it. Raises `StartupError`."""
        if len(os.fsencode(self.path)) > MAX_PATH:
            raise StartupError(f"the control socket's path is longer than {MAX_PATH} octets: {self.path}")
        try:
            with contextlib.ExitStack() as stack:
                plain = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                _refuse_live(self.path)
                self._made = _place(plain, self.path, self.uid, self.gid, self.mode)
                stack.pop_all()
        except OSError as error:
            raise StartupError(f"cannot make the control socket {self.path}: {error.strerror or error}") from error
        plain.setblocking(False)
        self.listener = trio.socket.from_stdlib_socket(plain)

    async def lost(self) -> None:
        """Return once nothing has the name any more; what has taken it is somebody's."""
        while True:
            await trio.sleep(LOOK)
            try:
                self.path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return
            except OSError:
                continue

    async def remake(self) -> None:
        """Make it anew; what prevents that is said once an hour, and it is tried until it succeeds."""
        self.listener.close()
        limit = log.RateLimit(rate=1 / 3600, burst=1)
        while True:
            try:
                self.open()
            except StartupError as error:
                limit.say(self.path, trio.current_time(), _log.warning, str(error))
                await trio.sleep(LOOK)
            else:
                _log.warning("the control socket was removed, and is made anew", path=str(self.path))
                return

    def close(self) -> None:
        """Remove it, if it is still ours."""
        self.listener.close()
        _remove(self.path, self._made)


def _place(listener: socket.socket, path: Path, uid: int, gid: int, mode: int) -> tuple[int, int]:
    """Bind beside `path`, set the rights, listen, and only then take the name; returns device and inode."""
    # Until it listens nobody can connect, whatever the umask was; so the rights are right before anyone is let in.
    beside = path.parent / f".{os.getpid()}.ctl"
    beside.unlink(missing_ok=True)
    listener.bind(os.fsencode(beside))
    try:
        _give(beside, uid, gid)
        beside.chmod(mode)
        listener.listen(BACKLOG)
        beside.rename(path)
    except (OSError, StartupError):
        beside.unlink(missing_ok=True)
        raise
    made = path.lstat()
    return made.st_dev, made.st_ino


def _give(socket_path: Path, uid: int, gid: int) -> None:
    """Let user and group have the socket, -1 being nobody in particular. Raises `StartupError` where it is not ours to give."""
    try:
        os.chown(socket_path, uid, gid)
    except PermissionError:
        raise StartupError(
            "cannot give the control socket to system.control_owner or control_group: "
            "that takes CAP_CHOWN, or to be a member of the group (in a unit of systemd's, SupplementaryGroups=)"
        ) from None


def _refuse_live(path: Path) -> None:
    """Raise `StartupError` if somebody answers on the socket, or if what is there is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StartupError(f"cannot make the control socket {path}: there is something else of that name")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        number = probe.connect_ex(os.fsencode(path))
    if number not in {errno.ECONNREFUSED, errno.ENOENT}:  # EAGAIN: it listens, and its backlog is full
        raise StartupError(f"another l2tpd is running: it answers on {path}")


def _remove(path: Path, ours: tuple[int, int]) -> None:
    """Remove the socket, unless another daemon has put its own there."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if (found.st_dev, found.st_ino) == ours:
            path.unlink()


def _uid(owner: str) -> int:
    """Return the uid meant by a name or number; -1 for none. Raises `StartupError`."""
    if not owner or owner.isdecimal():
        return int(owner or -1)
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        raise StartupError(f"the control socket cannot belong to user `{owner}`: there is no such user") from None


def _gid(group: str) -> int:
    """Return the gid meant by a name or number; -1 for none. Raises `StartupError`."""
    if not group or group.isdecimal():
        return int(group or -1)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise StartupError(f"the control socket cannot belong to group `{group}`: there is no such group") from None


# --- connections


@attrs.define(eq=False)
class _Server:
    """What all connections share."""

    operator: Operator
    owner: int  # uid of the socket's owner
    # Held while a request is computed; it is fair and changes hands once per pass of the loop.
    turn: trio.Lock = attrs.field(factory=trio.Lock)
    by_user: Counter[int] = attrs.field(factory=Counter)
    _lines: dict[tuple[int, object], tuple[object, bytes]] = attrs.field(factory=dict)
    _batches: dict[tuple[object, ...], tuple[Sequence[object], bytes]] = attrs.field(factory=dict)

    def notifications(self, opened: methods.Opened[Any], items: Sequence[object]) -> bytes:
        """Write items of a subscription, once for all who are told just the same."""
        if not opened.may_wait:  # a capture tells nobody else the same, and its items are large
            return b"".join(self._line(opened, item) for item in items)
        key = opened.params, *map(id, items)  # what is kept lives, so nothing else has its identity
        if (kept := self._batches.get(key)) is not None:
            return kept[1]
        lines = b"".join(self.notification(opened, item) for item in items)
        self._batches[key] = items, lines
        if len(self._batches) > BATCHES_KEPT:
            del self._batches[next(iter(self._batches))]
        return lines

    def notification(self, opened: methods.Opened[Any], item: object) -> bytes:
        """Write an item of a subscription as a line, once for all who are told the same of it: that is the dearest part of telling them."""
        key = id(item), opened.params
        if (kept := self._lines.get(key)) is not None:
            return kept[1]
        line = self._line(opened, item)
        self._lines[key] = item, line
        if len(self._lines) > LINES_KEPT:
            del self._lines[next(iter(self._lines))]
        return line

    def _line(self, opened: methods.Opened[Any], item: object) -> bytes:
        return write_request(Request(method=opened.notification, params=opened.params(item), expects_reply=False))

    async def admit(self, stream: trio.SocketStream) -> None:
        """Serve a client if there is a place for their user."""
        _pid, uid, _gid = _PEERCRED.unpack(
            stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
        )
        self.by_user[uid] += 1
        try:
            client = _Client(server=self, stream=stream, may_write=self._is_ours(uid) or uid == self.owner)
            if self._is_full(uid):
                self.operator.client_refused()
                await client.send(write_response(_refusal(None, ControlError(BUSY, "too many control connections"))))
            else:
                await client.serve()
        finally:
            self.by_user[uid] -= 1
            if not self.by_user[uid]:
                del self.by_user[uid]

    def _is_ours(self, uid: int) -> bool:
        """Tell whether a user is root or the daemon's own."""
        return uid in {0, os.geteuid()}

    def _is_full(self, uid: int) -> bool:
        """Tell whether a user has just taken a place too many."""
        if self._is_ours(uid):
            return self.by_user.total() > MAX_CONNECTIONS
        others = sum(number for user, number in self.by_user.items() if not self._is_ours(user))
        return self.by_user[uid] > MAX_CONNECTIONS_PER_USER or others > MAX_CONNECTIONS_OF_USERS


@attrs.define(eq=False)
class _Client:
    """One connection: answers its requests in their order, and sends events beside them."""

    server: _Server
    stream: trio.SocketStream
    may_write: bool
    _sending: trio.Lock = attrs.field(factory=trio.Lock)
    _opened: methods.Opened[Any] | None = None

    async def serve(self) -> None:
        """Serve until the client goes, misbehaves, or does not take an answer in time."""
        try:
            async with trio.open_nursery() as nursery:
                await self._answer_all(nursery)
                nursery.cancel_scope.cancel()
        finally:
            if self._opened is not None:
                self._opened.subscription.close()

    async def _answer_all(self, nursery: trio.Nursery) -> None:
        """Answer line after line; returns when the connection should end."""
        lines = Lines()
        while received := await self._receive():
            try:
                complete = lines.feed(received)
            except LineTooLong as error:
                self.server.operator.line_refused()
                await self.send(write_response(_refusal(None, error)))
                return
            for line in complete:
                if not await self._answer(line, nursery):
                    return

    async def _receive(self) -> bytes | bytearray:
        """Read what has arrived; nothing when the client has gone."""
        try:
            return await self.stream.receive_some(CHUNK)
        except trio.BrokenResourceError:
            return b""

    async def _answer(self, line: bytes, nursery: trio.Nursery) -> bool:
        """Answer one line; returns whether the connection may go on."""
        before = self._opened
        answer = await self._compute(line)
        if answer is not None and not await self.send(answer):
            return False
        if self._opened is not before and self._opened is not None:
            nursery.start_soon(self._notify, self._opened, nursery.cancel_scope)
        return True

    async def _compute(self, line: bytes) -> bytes | None:
        """Carry out one request; returns the line to answer, None for a notification."""
        try:
            request = read_request(line)
        except ControlError as error:
            return write_response(_refusal(request_id(line), error))
        async with self.server.turn:
            outcome = self._begin(request)
        if isinstance(outcome, Awaitable):
            outcome = await self._finish(request, outcome)
        return outcome if request.expects_reply else None

    def _begin(self, request: Request) -> bytes | Awaitable[object]:
        """Carry out a request as far as it goes without waiting."""
        try:
            result = methods.begin(self.server.operator, request, may_write=self.may_write)
            if isinstance(result, Awaitable):
                return result
            if isinstance(result, methods.Opened):
                result = self._subscribe(result)
            return write_response(Response(id=request.id, result=methods.plain(result)))
        except Exception as error:  # noqa: BLE001 - a bug in one method is an answer, not an end
            return self._failed(request, error)

    async def _finish(self, request: Request, waiting: Awaitable[object]) -> bytes:
        """Wait for the rest of a request."""
        try:
            result = await waiting
            return write_response(Response(id=request.id, result=methods.plain(result)))
        except Exception as error:  # noqa: BLE001 - a bug ends its request alone
            return self._failed(request, error)

    def _failed(self, request: Request, error: Exception) -> bytes:
        """Answer with what went wrong; a bug is logged here and tells the client nothing of the inside."""
        if not isinstance(error, ControlError | ConfigError | LocalProtocolError):
            self.server.operator.crashed(f"control method {request.method}", error)
        return write_response(_refusal(request.id, error))

    def _subscribe(self, opened: methods.Opened[Any]) -> object:
        """Keep the one subscription that a connection may have."""
        if self._opened is not None:
            opened.subscription.close()
            raise ControlError(REFUSED, f"this connection has subscribed already: to `{self._opened.notification}`")
        self._opened = opened
        return opened.answer

    async def _notify(self, opened: methods.Opened[Any], connection: trio.CancelScope) -> None:
        """Send what happens as it comes, as slowly as the client reads; when there is no more, the connection ends."""
        async for item in opened.subscription:
            items = (item, *opened.subscription.rest(ITEMS_AT_ONCE))
            lines = self.server.notifications(opened, items)
            async with self._sending:
                try:
                    await self.stream.send_all(lines)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    break
            if opened.may_wait and len(items) <= ITEMS_AT_ONCE:
                await trio.sleep_until((trio.current_time() // TICK + 1) * TICK)
        connection.cancel()

    async def send(self, line: bytes) -> bool:
        """Send one answer; returns whether it was taken in time."""
        try:
            with trio.fail_after(REPLY_TIMEOUT):
                async with self._sending:
                    await self.stream.send_all(line)
        except (trio.BrokenResourceError, trio.TooSlowError):
            return False
        return True


def _refusal(identifier: RequestId, error: Exception) -> Response:
    """Make the response that says why a request was not carried out."""
    return Response(id=identifier, failure=_failure(error))


def _failure(error: Exception) -> Failure:
    """Translate an exception into what the client may know of it."""
    if isinstance(error, ControlError):
        return Failure(code=error.code, message=error.text)
    if isinstance(error, ConfigError):
        told: list[Json] = [{"file": at.file, "key": at.key, "text": at.text} for at in error.problems]
        return Failure(code=CONFIG_ERROR, message=str(error), data=told)
    if isinstance(error, LocalProtocolError):
        return Failure(code=REFUSED, message=str(error))
    return Failure(code=INTERNAL_ERROR, message="a bug in the daemon prevented this; its log has the details")
