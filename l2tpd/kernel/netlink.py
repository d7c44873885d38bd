"""The Linux plane: L2TP in the kernel, over generic netlink, with a PPPoX socket for each PPP session and an interface for each other one.

Theory of operation. The kernel works inside the send call (deleting a session waits for readers on other processors, 26 to 52 ms), so every
operation runs in one thread of its own, one at a time, on blocking sockets. Nothing here decides anything: the adapter task submits one
operation after another and waits for each. PPPoX sockets are closed in a thread of their own (up to 32 ms each), so that the end of a tunnel
with a thousand sessions holds up nobody else.

What is ours in the kernel hangs on our descriptors. A tunnel lives as long as the socket that it was made on, a session as long as its
tunnel, an interface and the VLAN link on it as long as their session; all of it therefore dies with this process, however it dies, and a start
finds no leftovers of a crashed run. What a dump shows at start belongs to others (`ip l2tp`, xl2tpd) and is never touched; a tunnel id that one
of them has is refused, and another attempt draws another.

Two tunnels between the same addresses and ports. Before Linux 6.11 the kernel looks a session up in the tunnel whose socket a packet came by,
and of sockets that are connected alike only the newest gets any. A second tunnel would silence the first, so it is refused. Without UDP there
is no such thing: the kernel finds a session by its id alone.

An interface whose addresses make the tunnel's own packets go into it is refused too: they would be wrapped over and over again.

The kernel answers the delete of a tunnel, and since Linux 6.11 that of a session, before it is done with it. A create that finds an id or a name
taken by what we deleted just now is tried again for a while, so that a static tunnel, or a session with a fixed name, can come back under its numbers at once.
"""

from __future__ import annotations

import errno
import math
import os
import re
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import attrs
import trio

from l2tpd.config.model import Encapsulation, Pseudowire, Sublayer
from l2tpd.errors import PlaneError
from l2tpd.kernel import genl, nlsock, pppox
from l2tpd.kernel.links import Links
from l2tpd.kernel.ops import (
    CreateSession,
    CreateTunnel,
    Delete,
    DeleteSession,
    DeleteTunnel,
    ModifySession,
    Operation,
    Outcome,
    inverse,
)
from l2tpd.kernel.overhead import overhead
from l2tpd.kernel.worker import Closer, Worker

SHARING_SINCE = (6, 11)
"""The first Linux that finds a session whatever socket its packet came by."""

_GONE = frozenset({errno.ENOENT, errno.ENODEV})
_TAKEN = frozenset({errno.EEXIST, errno.ENOTUNIQ})
# Seconds after which what is still taken by a tunnel that we deleted counts as somebody else's: at least, for each session, and at most.
_ENDING, _ENDING_SESSION, _ENDING_MOST = 1.0, 0.05, 10.0
_AGAIN = 0.02  # seconds between two attempts
# Seconds for which the sessions of a tunnel, of which many may come at once, take the MTU of its path for the same.
_FRESH = 2.0
_LOT = 100  # tunnels and sessions whose counters are read in one go: some milliseconds of the worker's time
_DROPS = ("rx_seq_discards", "rx_oos_packets", "rx_errors", "rx_cookie_discards")
"""What the kernel counts of sessions only; all else it counts of their tunnel as well, also of those that have ended."""


class Path(NamedTuple):
    """Both ends of a connected socket."""

    local: tuple[str, int]
    peer: tuple[str, int]


class Netlink:
    """A blocking generic netlink socket that speaks L2TP. Use it from one thread at a time."""

    def __init__(self) -> None:
        """Open the socket and resolve the family. Raises `PlaneError` when the kernel has no L2TP."""
        self._kernel = nlsock.Conversation(nlsock.GENERIC)
        try:
            (answer,) = self._kernel.ask(genl.resolve_family(self._kernel.next()))
        except PlaneError:
            self._kernel.close()
            raise
        self._family = genl.family_of(answer)

    def close(self) -> None:
        """Close the socket."""
        self._kernel.close()

    def carry_out(self, operation: Operation, *, descriptor: int = -1, version: int = 2) -> None:
        """Carry out an operation; see `genl.request`. Raises `PlaneError` with what the kernel says."""
        number = self._kernel.next()
        self._kernel.ask(genl.request(operation, self._family, number, descriptor=descriptor, version=version))

    def tunnel(self, tunnel_id: int) -> genl.TunnelFacts:
        """Return what the kernel knows of a tunnel. Raises `PlaneError`."""
        (answer,) = self._kernel.ask(genl.query(self._family, self._kernel.next(), tunnel_id))
        return genl.tunnel_of(answer)

    def session(self, tunnel_id: int, session_id: int) -> genl.SessionFacts:
        """Return what the kernel knows of a session. Raises `PlaneError`."""
        (answer,) = self._kernel.ask(genl.query(self._family, self._kernel.next(), tunnel_id, session_id))
        return genl.session_of(answer)

    def counters(self, tunnel_id: int, session_id: int = 0) -> Mapping[str, int]:
        """Return what the kernel has counted of a session, or of a tunnel when `session_id` is 0. Raises `PlaneError`."""
        (answer,) = self._kernel.ask(genl.query(self._family, self._kernel.next(), tunnel_id, session_id))
        return genl.counters_of(answer)

    def tunnels(self) -> list[genl.TunnelFacts]:
        """Return all tunnels of this network namespace, whoever made them."""
        dump = genl.dump_tunnels(self._family, self._kernel.next())
        return [genl.tunnel_of(answer) for answer in self._kernel.stream(dump)]

    def sessions(self) -> list[genl.SessionFacts]:
        """Return all sessions of this network namespace, whoever made them."""
        dump = genl.dump_sessions(self._family, self._kernel.next())
        return [genl.session_of(answer) for answer in self._kernel.stream(dump)]


@attrs.define(eq=False)
class _Session:
    """A session that the kernel has for us."""

    outcome: Outcome
    numberable: bool  # its packets have a place for numbers
    interfaces: frozenset[str] = frozenset()  # its own, and the VLAN link on it
    master: str = ""  # its own
    sending: bool = True
    channel: socket.socket | None = None
    counted: Mapping[str, int] = attrs.field(factory=dict)  # of `_DROPS`, as last seen


@attrs.define(eq=False)
class _Carried:
    """A tunnel that the kernel has for us."""

    operation: CreateTunnel
    path: Path
    sessions: dict[int, _Session] = attrs.field(factory=dict)
    counted: Mapping[str, int] = attrs.field(factory=dict)  # all but `_DROPS`, as last seen
    path_mtu: int = 0  # octets, as found at `measured`
    measured: float = -math.inf

    @property
    def peer(self) -> str:
        """The peer's numeric address."""
        return self.path.peer[0]

    @property
    def channels(self) -> Iterable[socket.socket]:
        """The PPPoX sockets of its sessions."""
        return (session.channel for session in self.sessions.values() if session.channel is not None)


class LinuxPlane:
    """Carries out operations in the kernel."""

    name = "kernel"

    def __init__(self, netlink: Netlink, release: str, worker: Worker | None = None) -> None:
        """Use an open netlink socket in the network namespace of this thread; `release` is the kernel's, as `uname -r` tells it.

        An event loop of another namespace has to give us a thread of this one, which is not `alone`.
        """
        self.exclusive_paths = _version(release) < SHARING_SINCE
        self._netlink = netlink
        self._release = release
        self._tunnels: dict[int, _Carried] = {}
        self._paths: dict[Path, int] = {}
        self._ended: Counter[str] = Counter()  # what tunnels and sessions had counted that we deleted
        # Until when, and what, the kernel may not be done with.
        self._ending: deque[tuple[float, frozenset[str]]] = deque()
        self._owners: dict[str, _Carried] = {}  # by interface
        self._refused: set[Delete] = set()  # to be asked for once more
        self._worker = worker or Worker("netlink")
        self._opened_links: Links | None = None
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
                outcome = await self._persist(operation, partial(self._perform, operation, descriptor))
            return outcome  # noqa: RET504 - mypy cannot tell that the scope above never ends the block early
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    async def _persist(self, operation: Operation, work: Callable[[], Outcome]) -> Outcome:
        """Do it, again if need be, while that which is in the way is about to go. Raises `PlaneError`."""
        at_once = isinstance(operation, CreateSession) and operation.pseudowire is Pseudowire.PPP  # no interface
        while True:
            try:
                return await self._worker.run(work, at_once=at_once)
            except PlaneError as error:
                if error.errno not in _TAKEN or not self._is_ending(_wanted(operation)):
                    raise
            await trio.sleep(_AGAIN)

    def _is_ending(self, wanted: frozenset[str]) -> bool:
        now = time.monotonic()
        return any(until > now and not wanted.isdisjoint(names) for until, names in self._ending)

    async def statistics(self, tunnel_id: int, session_id: int = 0) -> Mapping[str, int]:
        """Return the kernel's counters of a session, or of the tunnel itself. Raises `PlaneError`."""
        return await self._worker.run(partial(self._netlink.counters, tunnel_id, session_id))

    async def totals(self) -> Mapping[str, int]:
        """Return the kernel's counters of all that is ours, and was: what a tunnel or session had counted is read once more when it is deleted.

        Where the kernel lost it before that (a tunnel whose socket is closed), what the last call of this saw counts. Operations get their turn
        between one lot of sessions and the next.
        """
        ours = await self._worker.run(self._ours)
        for start in range(0, len(ours), _LOT):
            await self._worker.run(partial(self._look, ours[start : start + _LOT]))
        return await self._worker.run(self._add_up)

    def close(self) -> None:
        """Close every socket; what the kernel still carries for them ends."""
        for carried in self._tunnels.values():
            self._closer.close(carried.channels)
        self._tunnels.clear()
        self._paths.clear()
        self._owners.clear()
        self._worker.close(self._close_sockets)
        self._closer.finish()

    # --- in the worker thread -------------------------------------------------------------------------------------------------

    @property
    def _links(self) -> Links:
        if self._opened_links is None:
            self._opened_links = Links()
        return self._opened_links

    def _close_sockets(self) -> None:
        self._netlink.close()
        if self._opened_links is not None:
            self._opened_links.close()

    def _ours(self) -> list[tuple[int, int]]:
        """Return tunnel and session ids of what is ours; 0 is no session, but the tunnel itself."""
        return [(number, session) for number, carried in self._tunnels.items() for session in (0, *carried.sessions)]

    def _look(self, ids: Iterable[tuple[int, int]]) -> None:
        # One by one: for each session of a dump, Linux before 6.12 walks past all those before it, which with 10,000 in a tunnel takes seconds.
        for tunnel_id, session_id in ids:
            found = self._session(tunnel_id, session_id) if session_id else self._tunnels.get(tunnel_id)
            if found is not None:  # not deleted meanwhile
                with suppress(PlaneError):  # the kernel lost it
                    found.counted = (_dropped if session_id else _moved)(self._netlink.counters(tunnel_id, session_id))

    def _add_up(self) -> Mapping[str, int]:
        sums = Counter(self._ended)
        for carried in self._tunnels.values():
            sums.update(_counted(carried))
        return dict(sums)

    def _perform(self, operation: Operation, descriptor: int) -> Outcome:
        match operation:
            case CreateTunnel():
                self._create_tunnel(operation, descriptor)
            case DeleteTunnel():
                self._delete_tunnel(operation)
            case CreateSession():
                return self._create_session(operation)
            case ModifySession():
                self._modify_session(operation)
            case DeleteSession():
                self._delete_session(operation)
        return Outcome()

    def _create_tunnel(self, operation: CreateTunnel, descriptor: int) -> None:
        known = self._tunnels.get(operation.tunnel_id)
        if known is not None and known.operation.peer_tunnel_id == operation.peer_tunnel_id:
            return  # done before: this is a second attempt
        path = _path_of(descriptor)
        if operation.encap is Encapsulation.UDP:
            self._check_path(path)
        try:
            self._netlink.carry_out(operation, descriptor=descriptor)
        except PlaneError as error:
            raise PlaneError(error.errno, f"the kernel refused tunnel {operation.tunnel_id}: {error.text}") from error
        # Without the socket: it is its owner's to close.
        self._tunnels[operation.tunnel_id] = _Carried(attrs.evolve(operation, socket=None), path)
        if operation.encap is Encapsulation.UDP:
            self._paths[path] = operation.tunnel_id

    def _check_path(self, path: Path) -> None:
        other = self._paths.get(path)
        if other is not None and self.exclusive_paths:
            raise PlaneError(
                errno.EADDRINUSE,
                f"Linux {self._release} cannot carry two tunnels between {_shown(path.local)} and {_shown(path.peer)}, and tunnel {other} is "
                f"there: give one of them another `local_port`, or use Linux {'.'.join(map(str, SHARING_SINCE))} or newer",
            )

    def _delete_tunnel(self, operation: DeleteTunnel) -> None:
        carried = self._tunnels.pop(operation.tunnel_id, None)
        if carried is None:
            self._forget_again(operation, f"tunnel {operation.tunnel_id}")
            return
        if self._paths.get(carried.path) == operation.tunnel_id:
            del self._paths[carried.path]
        self._disown(carried.sessions.values())
        self._note_end(carried, carried.sessions, {f"tunnel {operation.tunnel_id}"})
        try:
            with suppress(PlaneError):  # it may be gone
                carried.counted = _moved(self._netlink.counters(operation.tunnel_id))
            self._ended.update(_counted(carried))
            self._forget(operation, f"tunnel {operation.tunnel_id}")
        finally:
            self._closer.close(carried.channels)

    def _note_end(self, carried: _Carried, sessions: Mapping[int, _Session], names: set[str]) -> None:
        """Remember what the kernel may not be done with: sessions of a tunnel, and these names."""
        now = time.monotonic()
        while self._ending and self._ending[0][0] < now:
            self._ending.popleft()
        if carried.operation.version == 3:  # whose sessions may have ids and interfaces that are the same every time
            names.update(f"session {session_id}" for session_id in sessions)
            names.update(*(session.interfaces for session in sessions.values()))
        if names:
            patience = _ENDING + _ENDING_SESSION * (len(sessions) + len(self._ending))  # one ends after the other
            self._ending.append((now + min(patience, _ENDING_MOST), frozenset(names)))

    def _disown(self, sessions: Iterable[_Session]) -> None:
        for session in sessions:
            for interface in session.interfaces:
                self._owners.pop(interface, None)  # renamed behind our back, its name may have become another's

    def _create_session(self, operation: CreateSession) -> Outcome:
        carried = self._tunnels.get(operation.tunnel_id)
        if carried is None:
            raise PlaneError(errno.ENODEV, f"the kernel has no tunnel for {_whose(operation)}")
        if (known := carried.sessions.get(operation.session_id)) is not None:
            return known.outcome
        try:
            self._netlink.carry_out(operation, version=carried.operation.version)
        except PlaneError as error:
            raise self._refusal(operation, error) from error
        try:
            session = self._equip(operation, carried)
        except Exception:
            self._forget(inverse(operation), _whose(operation))
            raise
        carried.sessions[operation.session_id] = session
        self._owners.update(dict.fromkeys(session.interfaces, carried))
        return session.outcome

    def _refusal(self, operation: CreateSession, error: PlaneError) -> PlaneError:
        """Say why the kernel did not make a session: it has one number for a name and for an id that are taken."""
        if error.errno != errno.EEXIST:
            return PlaneError(error.errno, f"the kernel refused {_whose(operation)}: {error.text}")
        name = operation.link.name
        if operation.pseudowire is not Pseudowire.PPP and name and self._links.exists(name):
            return PlaneError(
                errno.ENOTUNIQ, f"an interface `{name}` exists already, so {_whose(operation)} cannot have it"
            )
        return PlaneError(errno.EEXIST, f"the kernel refused {_whose(operation)}: it has a session of this id already")

    def _equip(self, operation: CreateSession, carried: _Carried) -> _Session:
        """Give a session of the kernel the means to be used."""
        numberable = carried.operation.version == 2 or operation.sublayer is not Sublayer.NONE
        if operation.pseudowire is Pseudowire.PPP:
            near, far = operation.session_id, operation.peer_session_id
            ids = operation.tunnel_id, near, carried.operation.peer_tunnel_id, far
            channel = pppox.open_session(*ids, version=carried.operation.version)
            return _Session(Outcome(channel=channel.fileno()), numberable, channel=channel)
        master = operation.link.name
        if not master:
            master = self._netlink.session(operation.tunnel_id, operation.session_id).interface
        if not operation.sending:
            self._links.hold(master)
        interface = self._links.settle(master, operation.link, operation.link.mtu or self._mtu(operation, carried))
        names = frozenset({master, interface})
        session = _Session(Outcome(interface), numberable, names, master, operation.sending)
        if operation.link.address:  # without, nobody's packets go into it yet
            self._check_recursion(carried, session)
        return session

    def _mtu(self, operation: CreateSession, carried: _Carried) -> int:
        """Return what the path to the peer leaves."""
        peer, tunnel = carried.peer, carried.operation
        fixed = overhead(
            tunnel.encap,
            6 if ":" in peer else 4,
            tunnel.version,
            len(operation.peer_cookie),
            operation.sublayer,
            bool(operation.link.vlan_id),
        )
        return self._path_mtu(carried) - fixed

    def _path_mtu(self, carried: _Carried) -> int:
        now = time.monotonic()
        if now - carried.measured > _FRESH:
            carried.path_mtu, carried.measured = self._links.path_mtu(carried.peer), now
        return carried.path_mtu

    def _check_recursion(self, carried: _Carried, session: _Session) -> None:
        """Follow the way of a tunnel's packets, through other tunnels of ours if need be. Raises `PlaneError` when it leads into `session`."""
        tunnel: _Carried | None = carried
        seen: list[_Carried] = []
        while tunnel is not None and tunnel not in seen:
            seen.append(tunnel)
            interface = self._links.route_interface(tunnel.peer)
            if interface in session.interfaces:
                text = f"the tunnel's own packets to {tunnel.peer} would go into its interface {interface}: its addresses are in the way of the peer's"
                raise PlaneError(errno.ELOOP, text)
            tunnel = self._owners.get(interface)

    def _modify_session(self, operation: ModifySession) -> None:
        session = self._session(operation.tunnel_id, operation.session_id)
        if session is None:
            raise PlaneError(errno.ENODEV, f"the kernel has no {_whose(operation)} of ours")
        if operation.sequencing and not session.numberable:
            raise PlaneError(errno.EINVAL, genl.NO_NUMBERS)
        try:
            self._netlink.carry_out(operation)
        except PlaneError as error:
            raise PlaneError(error.errno, f"the kernel refused to change {_whose(operation)}: {error.text}") from error
        if session.master and operation.sending != session.sending:
            (self._links.release if operation.sending else self._links.hold)(session.master)
            session.sending = operation.sending

    def _delete_session(self, operation: DeleteSession) -> None:
        session = self._session(operation.tunnel_id, operation.session_id)
        if session is None:
            self._forget_again(operation, _whose(operation))
            return
        carried = self._tunnels[operation.tunnel_id]
        del carried.sessions[operation.session_id]
        self._note_end(carried, {operation.session_id: session}, set())
        self._disown([session])
        try:
            with suppress(PlaneError):  # it may be gone
                session.counted = _dropped(self._netlink.counters(operation.tunnel_id, operation.session_id))
            self._ended.update(session.counted)
            self._forget(operation, _whose(operation))
        finally:
            if session.channel is not None:
                self._closer.close([session.channel])

    def _session(self, tunnel_id: int, session_id: int) -> _Session | None:
        carried = self._tunnels.get(tunnel_id)
        return carried.sessions.get(session_id) if carried else None

    def _forget_again(self, operation: Delete, whose: str) -> None:
        """Carry out what was refused once; else it was never ours, and one of this number would be somebody else's."""
        if operation in self._refused:
            try:
                self._forget(operation, whose)
            finally:
                self._refused.discard(operation)

    def _forget(self, operation: Delete, whose: str) -> None:
        try:
            self._netlink.carry_out(operation)
        except PlaneError as error:
            if error.errno not in _GONE:  # gone: with its socket, say
                self._refused.add(operation)
                raise PlaneError(error.errno, f"the kernel does not let go of {whose}: {error.text}") from error


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
            return Path(_end(sock.getsockname()), _end(sock.getpeername()))
    except OSError as error:
        raise PlaneError(error.errno or 0, f"the tunnel's socket: {error.strerror}") from error


def _end(name: tuple[Any, ...]) -> tuple[str, int]:
    """Return address and port; a link-local address brings the number of its interface, without which it says nothing (RFC 4007 11)."""
    host, port, *more = name
    return (f"{host}%{more[1]}" if more and more[1] else str(host)), int(port)


def _whose(operation: CreateSession | ModifySession | DeleteSession) -> str:
    return f"session {operation.tunnel_id}/{operation.session_id}"


def _wanted(operation: Operation) -> frozenset[str]:
    """Return what an operation needs that only one tunnel or session can have, in the words of `LinuxPlane._note_end`."""
    match operation:
        case CreateTunnel():
            return frozenset({f"tunnel {operation.tunnel_id}"})
        case CreateSession():
            return frozenset({f"session {operation.session_id}", operation.link.name})
    return frozenset()


def _moved(counters: Mapping[str, int]) -> Mapping[str, int]:
    return {name: value for name, value in counters.items() if name not in _DROPS}


def _dropped(counters: Mapping[str, int]) -> Mapping[str, int]:
    return {name: counters[name] for name in _DROPS if name in counters}


def _counted(carried: _Carried) -> Counter[str]:
    """Add up what was last seen of a tunnel and its sessions."""
    sums = Counter(carried.counted)
    for session in carried.sessions.values():
        sums.update(session.counted)
    return sums


def _version(release: str) -> tuple[int, int]:
    """Return major and minor number of a kernel's release; one that cannot be read counts as old."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _shown(end: tuple[str, int]) -> str:
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"
