"""The Linux plane: L2TP in the kernel, over generic netlink, with a PPPoX socket for each PPP session.

Theory of operation. The kernel works inside the send call (deleting a session waits for readers on other processors, 26 to 52 ms), so every
operation runs in a worker thread, one at a time, on one blocking socket. Nothing here decides anything: the adapter task submits one
operation after another and waits for each. PPPoX sockets are closed in a thread of their own (up to 32 ms each), so that the end of a tunnel
with a thousand sessions holds up nobody else.

What is ours in the kernel hangs on our descriptors. A tunnel lives as long as the UDP socket that it was made on, a session as long as its
tunnel; both therefore die with this process, however it dies, and a start finds no leftovers of a crashed run. What a dump shows at start
belongs to others (`ip l2tp`, xl2tpd) and is never touched; a tunnel id that one of them has is refused, and another attempt draws another.

Two tunnels between the same addresses and ports. Before Linux 6.11 the kernel looks a session up in the tunnel whose socket a packet came by,
and of sockets that are connected alike only the newest gets any. A second tunnel would silence the first, so it is refused.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

import attrs
import trio

from l2tpd.errors import PlaneError
from l2tpd.kernel import genl, pppox
from l2tpd.kernel.ops import (
    CreateSession,
    CreateTunnel,
    DeleteSession,
    DeleteTunnel,
    Operation,
    Outcome,
)

SHARING_SINCE = (6, 11)
"""The first Linux that finds a session whatever socket its packet came by."""

_RECEIVE = 1 << 16
_TIMEOUT = 10.0  # seconds: a kernel that does not answer a request is a bug of its own
_NETLINK_GENERIC, _SOL_NETLINK, _CAP_ACK, _EXT_ACK = 16, 270, 10, 11  # linux/netlink.h
_GONE = frozenset({errno.ENOENT, errno.ENODEV})


class Path(NamedTuple):
    """Both ends of a connected socket."""

    local: tuple[str, int]
    peer: tuple[str, int]


class Netlink:
    """A blocking generic netlink socket that speaks L2TP. Use it from one thread at a time."""

    def __init__(self) -> None:
        """Open the socket and resolve the family. Raises `PlaneError` when the kernel has no L2TP."""
        self._sequence = 0
        try:
            self._socket = _generic_netlink()
        except OSError as error:
            raise PlaneError(error.errno or 0, f"no netlink socket: {error.strerror}") from error
        try:
            (answer,) = self._ask(genl.resolve_family(self._next()))
        except PlaneError:
            self._socket.close()
            raise
        self._family = genl.family_of(answer)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def carry_out(self, operation: Operation, descriptor: int = -1) -> None:
        """Carry out an operation. Raises `PlaneError` with what the kernel says."""
        self._ask(genl.request(operation, self._family, self._next(), descriptor))

    def tunnel(self, tunnel_id: int) -> genl.TunnelFacts:
        """Return what the kernel knows of a tunnel. Raises `PlaneError`."""
        (answer,) = self._ask(genl.query(self._family, self._next(), tunnel_id))
        return genl.tunnel_of(answer)

    def session(self, tunnel_id: int, session_id: int) -> genl.SessionFacts:
        """Return what the kernel knows of a session. Raises `PlaneError`."""
        (answer,) = self._ask(genl.query(self._family, self._next(), tunnel_id, session_id))
        return genl.session_of(answer)

    def tunnels(self) -> list[genl.TunnelFacts]:
        """Return all tunnels of this network namespace, whoever made them."""
        return [genl.tunnel_of(answer) for answer in self._ask(genl.dump_tunnels(self._family, self._next()))]

    def sessions(self) -> list[genl.SessionFacts]:
        """Return all sessions of this network namespace, whoever made them."""
        return [genl.session_of(answer) for answer in self._ask(genl.dump_sessions(self._family, self._next()))]

    def _next(self) -> int:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return self._sequence

    def _ask(self, request: bytes) -> list[bytes]:
        """Send a request and return the bodies of its answers."""
        try:
            self._socket.send(request)
            return self._collect()
        except OSError as error:
            raise PlaneError(error.errno or 0, f"netlink: {error.strerror or error}") from error

    def _collect(self) -> list[bytes]:
        bodies: list[bytes] = []
        while True:
            for answer in genl.answers(self._socket.recv(_RECEIVE)):
                if answer.sequence != self._sequence:
                    continue  # of a request that was given up
                if not answer.final:
                    bodies.append(answer.body)
                elif answer.errno:
                    raise PlaneError(answer.errno, answer.text or os.strerror(answer.errno))
                else:
                    return bodies


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
            sock.close()


@attrs.define(eq=False)
class _Carried:
    """A tunnel that the kernel has for us."""

    peer_tunnel_id: int
    path: Path
    channels: dict[int, socket.socket] = attrs.field(factory=dict)


class LinuxPlane:
    """Carries out operations in the kernel."""

    name = "kernel"

    def __init__(self, netlink: Netlink, release: str) -> None:
        """Use an open netlink socket; `release` is the kernel's, as `uname -r` tells it."""
        self.exclusive_paths = _version(release) < SHARING_SINCE
        self._netlink = netlink
        self._release = release
        self._tunnels: dict[int, _Carried] = {}
        self._paths: dict[Path, int] = {}
        self._turn = trio.CapacityLimiter(1)
        self._closer = Closer()

    def perform_nowait(self, operation: Operation) -> Outcome | None:
        """Always ask to be awaited."""
        del operation
        return None

    async def perform(self, operation: Operation) -> Outcome:
        """Carry out an operation in the worker thread. Raises `PlaneError` with the kernel's own words. Cannot be cancelled."""
        # A socket that its owner closes meanwhile must not become somebody else's descriptor: the thread works on one of its own.
        descriptor = _duplicate(operation) if isinstance(operation, CreateTunnel) else -1
        try:
            with trio.CancelScope(shield=True):
                outcome = await trio.to_thread.run_sync(
                    partial(self._perform, operation, descriptor), limiter=self._turn
                )
            return outcome  # noqa: RET504 - mypy cannot tell that the scope above never ends the block early
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    async def statistics(self, tunnel_id: int, session_id: int = 0) -> Mapping[str, int]:
        """Return the kernel's counters of a session, or of the tunnel itself. Raises `PlaneError`."""
        return await trio.to_thread.run_sync(partial(self._count, tunnel_id, session_id), limiter=self._turn)

    def close(self) -> None:
        """Close every socket; what the kernel still carries for them ends."""
        for carried in self._tunnels.values():
            self._closer.close(carried.channels.values())
        self._tunnels.clear()
        self._paths.clear()
        self._netlink.close()
        self._closer.finish()

    # --- in the worker thread -------------------------------------------------------------------------------------------------

    def _count(self, tunnel_id: int, session_id: int) -> Mapping[str, int]:
        netlink = self._netlink
        return netlink.session(tunnel_id, session_id).counters if session_id else netlink.tunnel(tunnel_id).counters

    def _perform(self, operation: Operation, descriptor: int) -> Outcome:
        match operation:
            case CreateTunnel():
                self._create_tunnel(operation, descriptor)
            case DeleteTunnel():
                self._delete_tunnel(operation)
            case CreateSession():
                return Outcome(channel=self._create_session(operation))
            case DeleteSession():
                self._delete_session(operation)
        return Outcome()

    def _create_tunnel(self, operation: CreateTunnel, descriptor: int) -> None:
        known = self._tunnels.get(operation.tunnel_id)
        if known is not None and known.peer_tunnel_id == operation.peer_tunnel_id:
            return  # done before: this is a second attempt
        path = _path_of(descriptor)
        other = self._paths.get(path)
        if other is not None and self.exclusive_paths:
            raise PlaneError(
                errno.EADDRINUSE,
                f"Linux {self._release} cannot carry two tunnels between {_shown(path.local)} and {_shown(path.peer)}, and tunnel {other} is "
                f"there: give one of them another `local_port`, or use Linux {'.'.join(map(str, SHARING_SINCE))} or newer",
            )
        try:
            self._netlink.carry_out(operation, descriptor)
        except PlaneError as error:
            raise PlaneError(error.errno, f"the kernel refused tunnel {operation.tunnel_id}: {error.text}") from error
        self._tunnels[operation.tunnel_id] = _Carried(operation.peer_tunnel_id, path)
        self._paths[path] = operation.tunnel_id

    def _delete_tunnel(self, operation: DeleteTunnel) -> None:
        carried = self._tunnels.pop(operation.tunnel_id, None)
        if carried is None:
            return  # never ours: one of this number would be somebody else's
        if self._paths.get(carried.path) == operation.tunnel_id:
            del self._paths[carried.path]
        try:
            self._forget(operation, f"tunnel {operation.tunnel_id}")
        finally:
            self._closer.close(carried.channels.values())

    def _create_session(self, operation: CreateSession) -> int:
        carried = self._tunnels.get(operation.tunnel_id)
        whose = f"session {operation.tunnel_id}/{operation.session_id}"
        if carried is None:
            raise PlaneError(errno.ENODEV, f"the kernel has no tunnel for {whose}")
        if (known := carried.channels.get(operation.session_id)) is not None:
            return known.fileno()
        try:
            self._netlink.carry_out(operation)
        except PlaneError as error:
            raise PlaneError(error.errno, f"the kernel refused {whose}: {error.text}") from error
        try:
            channel = pppox.open_session(
                operation.tunnel_id, operation.session_id, carried.peer_tunnel_id, operation.peer_session_id
            )
        except PlaneError:
            self._netlink.carry_out(DeleteSession(tunnel_id=operation.tunnel_id, session_id=operation.session_id))
            raise
        carried.channels[operation.session_id] = channel
        return channel.fileno()

    def _delete_session(self, operation: DeleteSession) -> None:
        carried = self._tunnels.get(operation.tunnel_id)
        channel = carried.channels.pop(operation.session_id, None) if carried else None
        if channel is None:
            return
        try:
            self._forget(operation, f"session {operation.tunnel_id}/{operation.session_id}")
        finally:
            self._closer.close([channel])

    def _forget(self, operation: DeleteTunnel | DeleteSession, whose: str) -> None:
        try:
            self._netlink.carry_out(operation)
        except PlaneError as error:
            if error.errno not in _GONE:  # gone: with its socket, say
                raise PlaneError(error.errno, f"the kernel does not let go of {whose}: {error.text}") from error


def _generic_netlink() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC)
    try:
        sock.bind((0, 0))
        sock.settimeout(_TIMEOUT)
        sock.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        sock.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
    except OSError:
        sock.close()
        raise
    return sock


def _duplicate(operation: CreateTunnel) -> int:
    descriptor = -1 if operation.socket is None else operation.socket.fileno()
    if descriptor < 0:
        raise PlaneError(errno.EBADF, f"tunnel {operation.tunnel_id} has no socket any more")
    try:
        return os.dup(descriptor)
    except OSError as error:
        raise PlaneError(error.errno or 0, f"tunnel {operation.tunnel_id}: {error.strerror}") from error


def _path_of(descriptor: int) -> Path:
    """Return both ends of a socket. Raises `PlaneError` when it is not connected."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            return Path(sock.getsockname()[:2], sock.getpeername()[:2])
    except OSError as error:
        raise PlaneError(error.errno or 0, f"the tunnel's socket: {error.strerror}") from error


def _version(release: str) -> tuple[int, int]:
    """Return major and minor number of a kernel's release; one that cannot be read counts as old."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _shown(end: tuple[str, int]) -> str:
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"
