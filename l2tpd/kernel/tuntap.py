"""The user-space plane: the data packets of our tunnels move through this process, between their sockets and TAP interfaces.

Theory of operation. From the peer: whoever reads a tunnel's socket hands its data packets to `receive`, which finds the session, has its carriage
check and order them, and writes the frames to the session's TAP at once. To the peer: every Ethernet session has a pump, a task of the tunnel's
nursery that waits until its TAP is readable, sends up to `BATCH` frames without awaiting, and lets others have their turn. A packet is read and
written by one system call each, in one buffer that all pumps share, because none of them holds it across an await. Nothing here waits to send or
to deliver: what does not fit into a socket or a TAP now is counted and lost, as on any link.

A pump is also the clock of its session: a packet that waits for an earlier one is delivered when its time is up, even if no other comes. A PPP
session has no interface; its frames go through a port to PPP in this process, and it has a pump only where packets may have to wait.

What blocks. Making an interface and settling it (`Links`) is the work of one thread, closing one (16 ms in the kernel) that of a few, so that a tunnel
of a hundred sessions is gone in a moment. A TAP dies with its descriptor: nothing is left of a daemon that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from l2tpd.bell import Bell
from l2tpd.config.model import Pseudowire, Sublayer
from l2tpd.errors import Malformed, PlaneError
from l2tpd.kernel.carriage import Carriage, Counters, Frame, carriage, check_numbers
from l2tpd.kernel.links import Links, Network
from l2tpd.kernel.ops import (
    CreateSession,
    CreateTunnel,
    DeleteSession,
    DeleteTunnel,
    Descriptor,
    Link,
    ModifySession,
    Operation,
    Outcome,
)
from l2tpd.kernel.overhead import overhead
from l2tpd.kernel.worker import once_free
from l2tpd.tunnel.port import enlarge_buffer
from l2tpd.wire import data3, header
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.kernel.worker import Worker

DEVICE = "/dev/net/tun"

BATCH = 64
"""How many frames of an interface are sent before other tasks get their turn."""

WAITING = 64
"""How many received PPP frames wait for somebody to take them."""

_CLOSERS = 32  # threads that close interfaces of one tunnel at the same time
_LARGEST = 65535  # octets of an IP packet
_BUFFER = 1 << 17  # octets; a frame that is larger than any packet must not look as if it were not
_ANY_PPP = "ppp%d"
_ANY_NAME = "l2tp%d"  # of which the kernel makes the first that is free
_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_TAP, _IFF_NO_PI, _IFF_TUN_EXCL = 0x0001, 0x0002, 0x1000, 0x8000
_NAME_OCTETS = 15  # IFNAMSIZ of linux/if.h, less the final zero
_IFREQ = struct.Struct("16sH22x")  # struct ifreq: name, flags
_GET = "module tun is missing, or the container was not given the device"

Ending = tuple[int, str]


# --- interfaces -------------------------------------------------------------------------------------------------------------------


def open_tap(name: str = "", *, frames: bool = True) -> tuple[int, str]:
    """Make a TAP interface, or without `frames` a TUN interface, which has packets; return its non-blocking descriptor and its name. Blocks. Raises `PlaneError`, also for a name that is taken."""
    octets = (name or (_ANY_NAME if frames else _ANY_PPP)).encode()
    if len(octets) > _NAME_OCTETS:  # the kernel would cut it
        raise PlaneError(errno.EINVAL, f"`{name}` is no name for an interface: it is longer than {_NAME_OCTETS} octets")
    descriptor = _open_device()
    request = _IFREQ.pack(octets, (_IFF_TAP if frames else _IFF_TUN) | _IFF_NO_PI | _IFF_TUN_EXCL)
    try:
        answer = fcntl.ioctl(descriptor, _TUNSETIFF, request)
    except OSError as error:
        os.close(descriptor)
        raise _refused(name, error) from error
    return descriptor, _IFREQ.unpack(answer)[0].rstrip(b"\0").decode()


def probe() -> None:
    """Make an interface and remove it again. Blocks. Raises `PlaneError` naming what is missing."""
    os.close(open_tap()[0])


def _open_device() -> int:
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        text = f"{DEVICE} may not be opened: that takes root, or access to the device"
        raise PlaneError(error.errno or 0, text) from error
    except OSError as error:
        raise PlaneError(error.errno or 0, f"{DEVICE} cannot be opened: {error.strerror} ({_GET})") from error


def _refused(name: str, error: OSError) -> PlaneError:
    reasons = {
        errno.EBUSY: f"an interface `{name}` exists already",
        errno.EINVAL: f"`{name}` is no name for an interface",
        errno.EPERM: "no interface can be made: that takes root, or the capability CAP_NET_ADMIN",
    }
    number = error.errno or 0
    return PlaneError(number, reasons.get(number, f"interface `{name}` cannot be made: {error.strerror}"))


# --- sessions ---------------------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Session:
    """A session's traffic: `put` hands a received frame on, and raises `OSError` when it cannot."""

    carriage: Carriage
    socket: Descriptor
    put: Callable[[Frame], object]
    sending: bool = True  # the peer takes packets
    _scope: trio.CancelScope | None = None  # in which the pump waits; its deadline is the order's

    def receive(self, packet: memoryview, now: float) -> None:
        """Take a packet of this session."""
        self._deliver(self.carriage.unwrap(packet, now))
        if self._scope is not None and (deadline := self.carriage.order.deadline) is not None:
            self._scope.deadline = deadline

    def send(self, frame: Frame) -> None:
        """Send a frame to the peer, or count that it is lost."""
        if not self.sending:
            self.carriage.counters.tx_errors += 1
            return
        try:
            # A socket that its owner has closed meanwhile has the descriptor -1.
            octets = os.writev(self.socket.fileno(), (self.carriage.head(), frame))
        except OSError:  # full buffers, an ICMP error, no route, a frame that is too large
            self.carriage.counters.tx_errors += 1
        else:
            self.carriage.sent(octets)

    async def wait(self, event: Callable[[], Awaitable[object]]) -> None:
        """Wait for an event, but not beyond the time of a held packet; deliver those whose time is up."""
        order = self.carriage.order
        with trio.CancelScope(deadline=math.inf if order.deadline is None else order.deadline) as self._scope:
            await event()
        self._scope = None
        self._deliver(order.expire(trio.current_time()))

    def _deliver(self, frames: Iterable[Frame]) -> None:
        for frame in frames:
            try:
                self.put(frame)
            except OSError:  # the interface is down or gone, its queue is full, nobody takes frames
                self.carriage.counters.rx_errors += 1


@attrs.define(eq=False)
class Tap:
    """A TAP interface with its descriptor, -1 once it is to be closed."""

    descriptor: int
    name: str

    def put(self, frame: Frame) -> None:
        """Have the interface receive a frame. Raises `OSError`."""
        os.write(self.descriptor, frame)

    async def readable(self) -> None:
        """Wait until the interface has a frame, or is gone. Raises `trio.ClosedResourceError` when `shut` is or was called."""
        if self.descriptor < 0:
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_readable(self.descriptor)

    def shut(self) -> list[int]:
        """Wake who waits and use the descriptor no more; return it, for the caller to close."""
        descriptor, self.descriptor = self.descriptor, -1
        trio.lowlevel.notify_closing(descriptor)
        return [descriptor]


def _drop(frame: Frame) -> None:
    """Send a frame of a session that is deleted."""
    del frame


@attrs.define(eq=False)
class Port:
    """The frames of a PPP session, for PPP in this process: a `FramePort`."""

    send: Callable[[Frame], None]
    _counters: Counters
    _taker: Callable[[Frame], None] | None = None
    _waiting: list[bytes] = attrs.field(factory=list)
    closed: bool = False
    ending: Bell = attrs.field(factory=Bell)

    def spoofed(self) -> None:
        """Count a packet whose source is not the peer's."""
        self._counters.rx_spoofed += 1
        self._counters.rx_errors += 1

    def attach(self, taker: Callable[[Frame], None]) -> None:
        """Have frames handed to `taker`, first those that wait; there are none any more once it is shut."""
        if self.closed:
            return
        self._taker = taker
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            taker(frame)

    def put(self, frame: Frame) -> None:
        """Hand a frame on or let it wait. Raises `OSError` when too many do."""
        if self._taker is not None:
            self._taker(frame)
        elif len(self._waiting) < WAITING:
            self._waiting.append(bytes(frame))
        else:
            raise OSError(errno.ENOBUFS, "nobody takes frames")

    def shut(self) -> list[int]:
        """Wake who waits for the end, and forget who sends and who takes: they know us as well. There is no descriptor to close."""
        self.closed = True
        self.ending.ring()
        self.send, self._taker = _drop, None
        return []


async def pump_tap(session: Session, tap: Tap, buffer: memoryview) -> Ending:
    """Send what an interface has to send, until it is gone."""
    try:
        while True:
            await session.wait(tap.readable)
            while tap.descriptor >= 0 and _drain(session, tap, buffer):
                await trio.lowlevel.checkpoint()
    except trio.ClosedResourceError:
        return CallResult.ADMIN, "the session was deleted"
    except OSError as error:
        return CallResult.LOST_CARRIER, f"interface {tap.name} is gone ({error.strerror})"


def _drain(session: Session, tap: Tap, buffer: memoryview) -> bool:
    """Send up to `BATCH` frames; tell whether there may be more. Raises `OSError` when the interface is gone."""
    for _ in range(BATCH):
        try:
            octets = os.readv(tap.descriptor, (buffer,))
        except BlockingIOError:
            return False
        session.send(buffer[:octets])
    return True


async def pump_port(session: Session, port: Port) -> Ending:
    """Deliver PPP frames that waited for earlier ones, until the session is deleted."""
    while not port.closed:
        await session.wait(port.ending.wait)
    return CallResult.ADMIN, "the session was deleted"


# --- the plane --------------------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class _Carried:
    """A session with the end that its frames go to, and what its create came to."""

    session: Session
    end: Tap | Port
    outcome: Outcome
    sublayer: Sublayer


@attrs.define(eq=False)
class _Tunnel:
    """A tunnel, the peer's numeric address, its sessions, and what was counted of it beyond them."""

    operation: CreateTunnel
    socket: Descriptor
    peer: str
    sessions: dict[int, _Carried] = attrs.field(factory=dict)
    past: Counters = attrs.field(factory=Counters)  # of sessions that have ended, and of packets for none

    def counters(self) -> Counters:
        """Add up everything."""
        total = Counters()
        for counters in (self.past, *(carried.session.carriage.counters for carried in self.sessions.values())):
            total.add(counters)
        return total


class UserPlane:
    """Moves packets in this process. Use it from the event loop's thread."""

    name = "user"
    exclusive_paths = False  # a packet's session is found whatever socket it came by

    def __init__(self, worker: Worker) -> None:
        """Make interfaces in the thread of `worker`, which `close` ends."""
        self._worker = worker
        self._closers = trio.CapacityLimiter(_CLOSERS)
        self._tunnels: dict[int, _Tunnel] = {}
        self._owners: dict[int, int] = {}  # sessions of version 3, and their tunnels
        self._past = Counters()  # of tunnels that have ended
        self._buffer = memoryview(bytearray(_BUFFER))
        self._links: Links | None = None  # of the worker's thread

    def perform_nowait(self, operation: Operation) -> Outcome | None:
        """Always ask to be awaited: what is immediate must not overtake what is not."""
        del operation
        return None

    async def perform(self, operation: Operation) -> Outcome:
        """Carry out an operation. Raises `PlaneError`."""
        match operation:
            case CreateTunnel():
                self._create_tunnel(operation)
            case CreateSession():
                return await self._create_session(operation)
            case ModifySession():
                self._modify(operation)
            case DeleteSession():
                await self._delete_session(operation)
            case DeleteTunnel():
                await self._delete_tunnel(operation)
        return Outcome()

    def receive(self, tunnel_id: int, packet: memoryview, now: float) -> bool:
        """Take a data packet, of version 2 the whole, of version 3 from the session id on; tell whether its session is here. Never waits."""
        tunnel = self._tunnels.get(tunnel_id)
        if tunnel is None:
            return False
        carried = tunnel.sessions.get(_session_of(tunnel.operation, packet))
        if carried is None:
            tunnel.past.rx_invalid += 1
            return False
        carried.session.receive(packet, now)
        return True

    def owner(self, packet: memoryview) -> int:
        """Return the tunnel of the session that a packet of version 3 names, taken from the session id on; 0 when there is none.

        For packets that came by another socket than their tunnel's: several may run between the same addresses and ports, and data names no tunnel.
        """
        try:
            return self._owners.get(data3.session_of(packet), 0)
        except Malformed:
            return 0

    async def totals(self) -> Mapping[str, int]:
        """Return the counters of everything that was and is carried, added up."""
        total = Counters()
        for counters in (self._past, *(tunnel.counters() for tunnel in self._tunnels.values())):
            total.add(counters)
        return total.as_mapping()

    async def statistics(self, tunnel_id: int, session_id: int = 0) -> Mapping[str, int]:
        """Return the counters of a session, or of a tunnel with all the sessions that it has had. Raises `PlaneError`."""
        tunnel = self._tunnel(tunnel_id)
        if not session_id:
            return tunnel.counters().as_mapping()
        return self._carried(tunnel, session_id).session.carriage.counters.as_mapping()

    def close(self) -> None:
        """Close every interface, and end the thread. Blocks."""
        for tunnel in self._tunnels.values():
            for descriptor in _shut(tunnel.sessions.values()):
                os.close(descriptor)
        self._tunnels.clear()
        self._worker.close(self._close_links)

    async def open_tun(self, interface: Link) -> Tap:
        """Make an interface for the packets of a PPP session, with its address, and up. Raises `PlaneError`."""
        return await once_free(partial(self._worker.run, partial(self._open_tun, interface)))

    async def settle_tun(self, tun: Tap, interface: Link) -> None:
        """Give an interface that `open_tun` made another address. Raises `PlaneError`."""
        await self._worker.run(lambda: self._open_links().settle(tun.name, interface, interface.mtu))

    async def close_tun(self, tun: Tap) -> None:
        """Remove an interface that `open_tun` made; nothing happens the second time."""
        if tun.descriptor >= 0:
            await self._close_all(tun.shut())

    async def add_route(self, tun: Tap, prefix: Network, mtu: int) -> None:
        """Route a prefix into an interface, with packets of at most `mtu` octets; 0: as many as the interface takes. Raises `PlaneError`."""
        await once_free(partial(self._worker.run, lambda: self._open_links().add_route(tun.name, prefix, mtu)))

    async def delete_route(self, tun: Tap, prefix: Network) -> None:
        """Take back what `add_route` has done; nothing happens when the interface is gone, and its routes with it."""
        with suppress(PlaneError):
            await self._worker.run(lambda: self._open_links().delete_route(tun.name, prefix))

    # --- operations -----------------------------------------------------------------------------------------------------------------

    def _create_tunnel(self, operation: CreateTunnel) -> None:
        if operation.tunnel_id in self._tunnels:
            return
        if operation.socket is None:
            raise PlaneError(errno.EBADF, f"tunnel {operation.tunnel_id} has no socket any more")
        peer = _take_over(operation.socket, operation.tunnel_id)
        self._tunnels[operation.tunnel_id] = _Tunnel(operation, operation.socket, peer)

    async def _create_session(self, operation: CreateSession) -> Outcome:
        tunnel = self._tunnel(operation.tunnel_id)
        if (known := tunnel.sessions.get(operation.session_id)) is not None:
            return known.outcome
        made = carriage(tunnel.operation, operation)
        if operation.pseudowire is Pseudowire.PPP:
            carried = _on_port(tunnel, operation, made)
        else:
            tap, interface = await self._worker.run(partial(self._open, tunnel, operation))
            carried = self._on_tap(tunnel, operation, made, tap, interface)
        tunnel.sessions[operation.session_id] = carried
        if tunnel.operation.version == 3:
            self._owners.setdefault(operation.session_id, operation.tunnel_id)
        return carried.outcome

    def _on_tap(self, tunnel: _Tunnel, operation: CreateSession, made: Carriage, tap: Tap, interface: str) -> _Carried:
        session = Session(made, tunnel.socket, tap.put, operation.sending)
        outcome = Outcome(interface, pump=partial(pump_tap, session, tap, self._buffer))
        return _Carried(session, tap, outcome, operation.sublayer)

    def _modify(self, operation: ModifySession) -> None:
        tunnel = self._tunnel(operation.tunnel_id)
        carried = self._carried(tunnel, operation.session_id)
        check_numbers(tunnel.operation.version, carried.sublayer, operation.sequencing)
        carried.session.carriage.sequence(operation.sequencing)
        carried.session.sending = operation.sending

    async def _delete_session(self, operation: DeleteSession) -> None:
        tunnel = self._tunnels.get(operation.tunnel_id)
        carried = tunnel.sessions.pop(operation.session_id, None) if tunnel else None
        if tunnel is None or carried is None:
            return
        tunnel.past.add(carried.session.carriage.counters)
        self._disown(operation.tunnel_id, [operation.session_id])
        await self._close_all(_shut([carried]))

    async def _delete_tunnel(self, operation: DeleteTunnel) -> None:
        tunnel = self._tunnels.pop(operation.tunnel_id, None)
        if tunnel is None:
            return
        self._past.add(tunnel.counters())
        self._disown(operation.tunnel_id, tunnel.sessions)
        await self._close_all(_shut(tunnel.sessions.values()))

    def _disown(self, tunnel_id: int, sessions: Iterable[int]) -> None:
        for session_id in sessions:
            if self._owners.get(session_id) == tunnel_id:
                del self._owners[session_id]

    async def _close_all(self, descriptors: Iterable[int]) -> None:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for descriptor in descriptors:
                    nursery.start_soon(partial(trio.to_thread.run_sync, os.close, descriptor, limiter=self._closers))

    def _tunnel(self, tunnel_id: int) -> _Tunnel:
        if (tunnel := self._tunnels.get(tunnel_id)) is None:
            raise PlaneError(errno.ENODEV, f"the user-space plane has no tunnel {tunnel_id}")
        return tunnel

    def _carried(self, tunnel: _Tunnel, session_id: int) -> _Carried:
        if (carried := tunnel.sessions.get(session_id)) is None:
            whose = f"{tunnel.operation.tunnel_id}/{session_id}"
            raise PlaneError(errno.ENODEV, f"the user-space plane has no session {whose}")
        return carried

    # --- in the worker's thread -------------------------------------------------------------------------------------------------

    def _open(self, tunnel: _Tunnel, operation: CreateSession) -> tuple[Tap, str]:
        """Make a session's interface; return it, and the name of the one that carries its traffic."""
        tap = Tap(*open_tap(operation.link.name))
        try:
            return tap, self._settle(tap, tunnel, operation)
        except BaseException:
            os.close(tap.descriptor)
            raise

    def _open_tun(self, interface: Link) -> Tap:
        tun = Tap(*open_tap(interface.name, frames=False))
        try:
            self._open_links().disown(tun.name)  # PPP negotiates them (RFC 5072 5)
            self._open_links().settle(tun.name, interface, interface.mtu)
        except BaseException:
            os.close(tun.descriptor)
            raise
        return tun

    def _settle(self, tap: Tap, tunnel: _Tunnel, operation: CreateSession) -> str:
        links, peer = self._open_links(), tunnel.peer
        mtu = operation.link.mtu or min(links.path_mtu(peer), _LARGEST) - _overhead(tunnel, operation)
        interface = links.settle(tap.name, operation.link, mtu)
        if links.route_interface(peer) in {interface, tap.name}:
            text = f"the peer {peer} would be reached through {interface}, whose packets travel to that peer: choose another address"
            raise PlaneError(errno.ELOOP, text)
        return interface

    def _open_links(self) -> Links:
        if self._links is None:
            self._links = Links()
        return self._links

    def _close_links(self) -> None:
        if self._links is not None:
            self._links.close()


def _on_port(tunnel: _Tunnel, operation: CreateSession, made: Carriage) -> _Carried:
    session = Session(made, tunnel.socket, _nowhere, operation.sending)
    port = Port(session.send, made.counters)
    session.put = port.put
    pump = partial(pump_port, session, port) if operation.reorder_timeout else None
    return _Carried(session, port, Outcome(pump=pump, port=port), operation.sublayer)


def _nowhere(frame: Frame) -> None:
    """Take a frame, until there is a port."""


def _shut(sessions: Iterable[_Carried]) -> list[int]:
    return [descriptor for carried in sessions for descriptor in carried.end.shut()]


def _overhead(tunnel: _Tunnel, operation: CreateSession) -> int:
    return overhead(
        tunnel.operation.encap,
        6 if ":" in tunnel.peer else 4,
        tunnel.operation.version,
        len(operation.peer_cookie),
        operation.sublayer,
        vlan=bool(operation.link.vlan_id),
    )


def _session_of(tunnel: CreateTunnel, packet: memoryview) -> int:
    """Return which session a packet names; 0, which none has, when it names none of this tunnel."""
    try:
        if tunnel.version == 3:
            return data3.session_of(packet)
        version, control, tunnel_id, session_id = header.peek(packet)
    except Malformed:
        return 0
    return session_id if (version, control, tunnel_id) == (2, False, tunnel.tunnel_id) else 0


def _take_over(owner: Descriptor, tunnel_id: int) -> str:
    """Give a tunnel's socket room for bursts of data packets; return the numeric address that it is connected to. Raises `PlaneError`."""
    try:
        with socket.socket(fileno=os.dup(owner.fileno())) as sock:
            enlarge_buffer(sock)
            return str(sock.getpeername()[0])
    except OSError as error:
        raise PlaneError(error.errno or 0, f"the socket of tunnel {tunnel_id}: {error.strerror}") from error
