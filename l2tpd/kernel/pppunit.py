"""PPP whose packets the kernel moves: its own frames come to this process, all others go through an interface of the kernel's.

Theory of operation. While LCP and authentication last, whole frames come by the session's PPPoX socket: who is not let in costs nothing more. For the
first network protocol the socket becomes a channel of `/dev/ppp`, to which a unit is connected: that is the interface, made by rtnetlink, which gives it
its final name at once. From then on LCP comes by the channel, and what else is not a packet by the unit, or by the channel where it was faster than
the unit; both are read. What waited in the socket the kernel has put into the channel, by which we send then: our descriptor of the socket has served
its turn, and is closed.

Nothing has to be said to the kernel of ACFC and PFC (RFC 1661 6.5, 6.6): over L2TP it sends both fields whole, and takes them in any form.

Every call here that may wait for the kernel (16 ms to learn the number of a channel, as long to remove an interface, 32 ms to close the socket) runs in
a thread, and all of a session's way from socket to interface in one, since changing threads costs more than most of these calls. The waiting of several
overlaps; but rtnetlink is asked for one thing after the other, as the kernel would have it anyway. Who ends has threads of its own, so that who begins
does not stand behind them. A descriptor in the hands of a thread cannot be lost: whoever waits for one waits for it to the end, also when cancelled.

What the kernel answers at once is asked by `brief`. Of all requests to the device it takes one at a time, and a pppd beside us may have its turn while it
waits for an interface: then the event loop waits for that too, for milliseconds and seldom. To rule that out would cost each session more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import trio

from l2tpd.errors import PlaneError
from l2tpd.kernel import brief, nlmsg, nlsock, rtnl
from l2tpd.kernel.links import Links, Network
from l2tpd.kernel.overhear import Overhearer
from l2tpd.kernel.pppcipher import STRENGTHS, UnitCipher
from l2tpd.kernel.pppframes import Ear, Frames
from l2tpd.kernel.pppox import DEVICE
from l2tpd.kernel.worker import ALONE, Worker, once_free
from l2tpd.ppp.accountant import Traffic
from l2tpd.ppp.frame import ADDRESS_AND_CONTROL
from l2tpd.ppp.numbers import Protocol as Number

if TYPE_CHECKING:
    from l2tpd.kernel.ops import Link as Interface
    from l2tpd.ppp.carrier import Owner
    from l2tpd.ppp.mppe import Keys

T = TypeVar("T")

# linux/ppp-ioctl.h
_GCHAN, _ATTCHAN, _CONNECT, _DISCONN = 0x80047437, 0x40047438, 0x4004743A, 0x7439
_GUNIT, _SMRU, _SNPMODE, _GIDLE = 0x80047456, 0x40047452, 0x4008744B, 0x8010743F
_INT: Final = struct.Struct("=i")
_NPIOCTL: Final = struct.Struct("=Ii")
_MRU: Final = (
    1500  # octets that a new interface takes, linux/ppp_defs.h: it goes by that only for how much room it makes
)
_IDLE: Final = struct.Struct("=qq")  # ppp_idle64: seconds since the last packet was sent, and was received
_PASS, _DROP = 0, 1
_NETWORKS: Final = (Number.IPV4, Number.IPV6)
_CCP: Final = Number.CCP.to_bytes(2, "big")

# linux/rtnetlink.h, linux/neighbour.h
_NEWROUTE, _GETROUTE, _NEWNEIGH, _DELNEIGH = 24, 26, 28, 29
_IFINFO: Final = struct.Struct("=xxHiI4x")  # ifinfomsg: type, index, flags
_ETHERNET, _NOARP = 1, 1 << 7  # linux/if_arp.h, linux/if.h
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths, tos, table, protocol, scope, type, flags
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")  # ndmsg: family, index, state, flags, type
_AF_INET: Final = 2
_MAIN, _BOOT, _LINK_SCOPE, _UNICAST = 254, 3, 253, 1
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_PERMANENT, _PROXY, _NDA_DST = 0x80, 0x08, 1
_ASKED: Final = nlmsg.REQUEST | nlmsg.ACK
_MADE: Final = _ASKED | nlmsg.CREATE | nlmsg.EXCLUSIVE

# That wait for the kernel at a time. It waits until all processors have seen a change, and so where there is one only, for nothing.
_THREADS: Final = 1 if ALONE else 16
_BUSY: Final = 5.0  # seconds for which somebody else may make interfaces
_AGAIN: Final = 0.001
_waiting_ioctl: Final = brief.ioctl if ALONE else fcntl.ioctl  # waits for other processors


class Unit(NamedTuple):
    """An interface: where its frames come from, and its name."""

    frames: Frames
    name: str


class Ends:
    """Where the frames of a session come from that are no packets: its socket, until that becomes a channel."""

    def __init__(self, sock: int, ear: Ear) -> None:
        """Take over a descriptor of the socket, which does not block."""
        self.socket = Frames(sock, ear)
        self.channel: Frames | None = None

    @property
    def present(self) -> Frames:
        """Return where they come from now."""
        return self.channel or self.socket


# --- the kernel -------------------------------------------------------------------------------------------------------------------


class Units:
    """Makes and removes PPP interfaces, in the network namespace of this thread; used from the event loop's."""

    def __init__(self) -> None:
        """Begin without threads; they come with the first session. Raises `OSError` when no descriptor is left."""
        self.ear = Ear()
        self.overhearer = Overhearer()
        self._makers: Worker | None = None
        self._enders: Worker | None = None
        self._turn: AbstractContextManager[object] = nullcontext() if ALONE else threading.Lock()  # to ask rtnetlink
        self._kernel: nlsock.Conversation | None = None
        self._links: Links | None = None

    async def make(self, ends: Ends, interface: Interface, mru: int, protocol: int) -> Unit:
        """Make an interface, with addresses, up, for packets of `protocol` (0x0021, 0x0057) alone, on the channel that the session's socket becomes.

        That is there from then on, also when the interface is not; what waits in the socket comes by it. Raises `PlaneError`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        ends.socket.mute()  # from here on nothing is cancelled
        try:
            descriptor, name = await self._work(partial(self._make, ends, interface, mru, protocol))
        finally:
            for spent in ends.socket.shut() if ends.channel is not None else ():
                brief.close(
                    spent
                )  # here, not in the thread: nobody may be about to write to it; the data plane has another descriptor of it
        return Unit(Frames(descriptor, self.ear), name)

    async def extend(self, unit: Unit, interface: Interface, protocol: int) -> None:
        """Let packets of another protocol pass through an interface as well, and give it their address. Raises `PlaneError`."""
        await self._ask(partial(self._extend, unit, interface, protocol))

    async def route(self, unit: Unit, prefix: str) -> None:
        """Route a prefix into an interface, for as long as that is there. Raises `PlaneError`."""
        await once_free(partial(self._ask, partial(self._route, unit.name, ip_network(prefix))))

    async def remove(self, unit: Unit, channel: Frames) -> None:
        """Remove an interface, so that another can be made on its channel."""
        closing = unit.frames.shut()  # first: without its channel a unit reads as if it were gone
        with trio.CancelScope(shield=True):
            await self._end(partial(_remove, channel.descriptor, closing))

    async def close_all(self, descriptors: Sequence[int]) -> None:
        """Close these, one after the other; with a unit goes its interface."""
        if not descriptors:
            return
        with trio.CancelScope(shield=True):
            await self._end(partial(_close_all, descriptors))

    async def announce(self, peer: str) -> int:
        """Answer ARP for a peer on the Ethernet that its address belongs to, and return the index of that. Raises `PlaneError`."""
        return await self._ask(partial(self._announce, IPv4Address(peer)))

    async def withdraw(self, peer: str, index: int) -> None:
        """Take back what `announce` has done."""
        with suppress(PlaneError):  # the Ethernet may be gone, or an operator was quicker
            await self._ask(partial(self._say, _proxy, False, index, IPv4Address(peer)))

    async def add_default(self, interface: str) -> bool:
        """Route everything into an interface, unless there is a default route; tell whether it was done. Raises `PlaneError`."""
        return await self._ask(partial(self._add_default, interface))

    def close(self) -> None:
        """End the threads. Blocks."""
        for worker in (self._makers, self._enders):
            if worker is not None:
                worker.close()
        for held in (self._kernel, self._links):
            if held is not None:
                held.close()
        self.ear.close()

    async def _work(self, work: Callable[[], T]) -> T:
        if self._makers is None:
            try:
                self._makers = Worker("ppp interfaces", _THREADS)
            except RuntimeError as error:
                raise PlaneError(errno.EAGAIN, f"no thread makes PPP interfaces: {error}") from error
        return await self._makers.run(work)

    async def _ask(self, work: Callable[[], T]) -> T:
        return await self._work(partial(self._in_turn, work))

    async def _end(self, work: Callable[[], T]) -> T:
        if self._enders is None:
            try:
                self._enders = Worker("ppp ends", _THREADS)
            except RuntimeError:  # no thread is to be had, and what is to end has to end all the same
                return work()
        return await self._enders.run(work)

    # --- in a thread, the most in turn -----------------------------------------------------------------------------------------------------

    def _in_turn(self, work: Callable[[], T]) -> T:
        with self._turn:
            return work()

    def _make(self, ends: Ends, interface: Interface, mru: int, protocol: int) -> tuple[int, str]:
        if ends.channel is None:
            ends.channel = Frames(_attach(ends.socket.descriptor), self.ear)
        try:
            descriptor = _opened()
            try:
                with self._turn:
                    return descriptor, self._equip(descriptor, ends.channel.descriptor, interface, mru, protocol)
            except BaseException:
                os.close(descriptor)  # and with it the interface
                raise
        except OSError as error:
            raise PlaneError(error.errno or 0, f"the kernel makes no PPP interface: {error.strerror}") from error

    def _equip(self, descriptor: int, channel: int, interface: Interface, mru: int, protocol: int) -> str:
        self._new_interface(descriptor, interface)
        number = _ioctl(descriptor, _GUNIT)
        name = interface.name or f"ppp{number}"
        self._opened_links().add_address(name, interface)
        if mru > _MRU:
            _ioctl(descriptor, _SMRU, mru)
        for network in _NETWORKS:
            if network != protocol:  # of a new interface all may pass
                brief.ioctl(descriptor, _SNPMODE, _NPIOCTL.pack(network, _DROP))
        _ioctl(channel, _CONNECT, number)  # last: it has been on from the beginning, and no packet is to see half of it
        return name

    def _extend(self, unit: Unit, interface: Interface, protocol: int) -> None:
        try:
            brief.ioctl(unit.frames.descriptor, _SNPMODE, _NPIOCTL.pack(protocol, _PASS))
        except OSError as error:
            text = f"interface {unit.name} lets no packets of protocol 0x{protocol:04x} pass: {error.strerror}"
            raise PlaneError(error.errno or 0, text) from error
        self._opened_links().settle(unit.name, interface, interface.mtu)

    def _route(self, name: str, prefix: Network) -> None:
        self._opened_links().add_route(name, prefix)

    def _opened_links(self) -> Links:
        if self._links is None:
            self._links = Links()
        return self._links

    def _new_interface(self, descriptor: int, interface: Interface) -> None:
        """Make a unit. Raises `PlaneError`."""
        name, until = interface.name, time.monotonic() + _BUSY
        while True:
            try:
                self._say(rtnl.add_unit, name, descriptor, interface.mtu)
            except PlaneError as error:
                if error.errno == errno.EEXIST:
                    raise PlaneError(error.errno, f"an interface `{name}` exists already") from error
                if error.errno != errno.EBUSY or time.monotonic() > until:
                    text = f"the kernel makes no PPP interface `{name}`: {error.text}"
                    raise PlaneError(error.errno, text) from error
            else:
                return
            time.sleep(_AGAIN)  # somebody else is making one, and the kernel wants to be asked again

    def _announce(self, peer: IPv4Address) -> int:
        try:
            (route,) = self._say(_get_route, peer)
        except PlaneError as error:
            raise PlaneError(error.errno, f"no route to {peer}: {error.text}") from error
        index = _neighbourhood(route)
        if not index or not _has_arp(self._say(rtnl.get_link, index)[0]):
            raise PlaneError(errno.ENETUNREACH, f"{peer} belongs to no Ethernet that we are connected to")
        self._say(_proxy, True, index, peer)
        return index

    def _add_default(self, interface: str) -> bool:
        try:
            if _has_default():
                return False
            self._say(_default_route, socket.if_nametoindex(interface))
        except OSError as error:
            raise PlaneError(error.errno or errno.ENODEV, f"no default route through {interface}: {error}") from error
        except PlaneError as error:
            raise PlaneError(error.errno, f"no default route through {interface}: {error.text}") from error
        return True

    def _say(self, request: Callable[..., bytes], *arguments: object) -> list[bytes]:
        if self._kernel is None:
            self._kernel = nlsock.Conversation(nlsock.ROUTE)
        return self._kernel.ask(request(self._kernel.next(), *arguments))


# --- in any thread ----------------------------------------------------------------------------------------------------------------


def _opened() -> int:
    return brief.opened(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _ioctl(descriptor: int, request: int, value: int = 0) -> int:
    return int(_INT.unpack(brief.ioctl(descriptor, request, _INT.pack(value)))[0])


def _attach(sock: int) -> int:
    try:
        (index,) = _INT.unpack(_waiting_ioctl(sock, _GCHAN, bytes(_INT.size)))
        descriptor = _opened()
        try:
            _ioctl(descriptor, _ATTCHAN, index)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise PlaneError(error.errno or 0, f"the session cannot become a PPP channel: {error.strerror}") from error
    return descriptor


def _remove(channel: int, closing: Iterable[int]) -> None:
    with suppress(OSError):  # it is connected to nothing, or dead
        fcntl.ioctl(channel, _DISCONN)
    _close_all(closing)


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _has_default() -> bool:
    """Tell whether there is a default route for IPv4, whatever its metric: destination and mask are the second and the eighth column."""
    with Path("/proc/thread-self/net/route").open() as table:
        return any((columns := line.split())[1] == "00000000" == columns[7] for line in table)


# --- rtnetlink --------------------------------------------------------------------------------------------------------------------


def _get_route(sequence: int, address: IPv4Address) -> bytes:
    head = _ROUTE.pack(_AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
    return nlmsg.message(_GETROUTE, _ASKED, sequence, head + nlmsg.attribute(_RTA_DST, address.packed))


def _neighbourhood(route: bytes) -> int:
    """Return the index of the interface on whose network a route ends, 0: on none."""
    kind = _ROUTE.unpack_from(route, nlmsg.HEADER.size)[7]
    said = dict(nlmsg.attributes(route, nlmsg.HEADER.size + _ROUTE.size))
    return nlmsg.number(said.get(_RTA_OIF, b"")) if kind == _UNICAST and _RTA_GATEWAY not in said else 0


def _has_arp(link: bytes) -> bool:
    """Tell whether an interface is an Ethernet with ARP."""
    kind, _, flags = _IFINFO.unpack_from(link, nlmsg.HEADER.size)
    return kind == _ETHERNET and not flags & _NOARP


def _default_route(sequence: int, index: int) -> bytes:
    head = _ROUTE.pack(_AF_INET, 0, 0, 0, _MAIN, _BOOT, _LINK_SCOPE, _UNICAST, 0)
    return nlmsg.message(_NEWROUTE, _MADE, sequence, head + nlmsg.attribute(_RTA_OIF, _INT.pack(index)))


def _proxy(sequence: int, add: bool, index: int, peer: IPv4Address) -> bytes:
    kind, flags = (_NEWNEIGH, _ASKED | nlmsg.CREATE) if add else (_DELNEIGH, _ASKED)
    head = _NEIGHBOUR.pack(_AF_INET, index, _PERMANENT, _PROXY, 0)
    return nlmsg.message(kind, flags, sequence, head + nlmsg.attribute(_NDA_DST, peer.packed))


# --- one session ------------------------------------------------------------------------------------------------------------------


class UnitCarrier:
    """Carries one session's PPP over its PPPoX socket: frames of PPP's own through this process, packets through an interface of the kernel's."""

    def __init__(self, sock: int, units: Units) -> None:
        """Take over a descriptor of the socket, which does not block."""
        self._units = units
        self._ends = Ends(sock, units.ear)
        self._unit: Unit | None = None
        self._cipher: UnitCipher | None = None
        self._taker: Callable[[bytes], None] | None = None  # of what is overheard
        self._owner: Owner | None = None

    def send(self, frame: bytes) -> None:
        """Send a frame; one that the kernel does not take now is lost. It writes address and control itself."""
        packet, descriptor = frame.removeprefix(ADDRESS_AND_CONTROL), self._ends.present.descriptor
        with suppress(OSError):
            if self._cipher is not None and packet.startswith(_CCP):
                self._cipher.send(packet, descriptor)
            else:
                brief.write(descriptor, packet)

    @property
    def strengths(self) -> frozenset[int]:
        """Those that the kernel has."""
        return STRENGTHS

    def encrypt(self, keys: Keys, *, must: bool) -> None:
        """Have the interface encrypt. Raises `PlaneError`."""
        if self._unit is None:
            raise PlaneError(errno.ENODEV, "there is no PPP interface")
        self._cipher = UnitCipher(self._unit.frames.descriptor, keys, must=must)

    def encrypted(self) -> None:
        """Let packets pass; of an interface that is gone, its reader hears."""
        with suppress(OSError):
            if self._cipher is not None:
                self._cipher.start()

    def hear(self, owner: Owner) -> None:
        """Hand over the frames of the session: those of its socket until that is a channel, and then those of the channel."""
        self._owner = owner
        self._listen(self._ends.present)

    def _listen(self, frames: Frames) -> None:
        owner = self._owner
        if owner is None:  # nobody wants to hear of any
            return
        try:
            frames.listen(owner.take, partial(owner.lost, "the kernel has the session no longer"))
        except OSError as error:
            owner.lost(f"frames of PPP cannot be waited for: {error.strerror}")

    def deliver(self, packet: bytes) -> bool:
        """Drop a packet that came before there was an interface."""
        del packet
        return False

    async def open(self, interface: Interface, mru: int, protocol: int) -> str:
        """Make the interface, see `Units.make`, and return its name. Raises `PlaneError`."""
        self._unit = await once_free(partial(self._make, interface, mru, protocol))
        return self._unit.name

    async def _make(self, interface: Interface, mru: int, protocol: int) -> Unit:
        before = self._ends.channel
        try:
            return await self._units.make(self._ends, interface, mru, protocol)
        finally:
            if before is None:
                self._ends.socket.mute()
                self._listen(self._ends.present)

    async def extend(self, interface: Interface, protocol: int) -> None:
        """Have the interface carry another protocol, see `Units.extend`. Raises `PlaneError`."""
        if self._unit is None:
            raise PlaneError(errno.ENODEV, "there is no PPP interface")
        await self._units.extend(self._unit, interface, protocol)
        if self._cipher is not None:
            with suppress(OSError):
                self._cipher.admit(protocol)

    def pump(self, owner: Owner) -> None:
        """Hand over the frames that come by the interface until it is gone."""
        if self._unit is not None:
            gone = partial(owner.gone, f"the interface {self._unit.name} was deleted")
            try:
                self._unit.frames.listen(owner.take, gone)
            except OSError as error:
                owner.gone(f"the interface {self._unit.name} cannot be waited for: {error.strerror}")

    async def route(self, prefix: str) -> None:
        """Route a prefix into the interface. Raises `PlaneError`."""
        if self._unit is None:
            raise PlaneError(errno.ENODEV, "there is no PPP interface")
        await self._units.route(self._unit, prefix)

    def emit(self, packet: bytes, owner: Owner) -> None:
        """Send a packet of our own past the interface, whose idle time it is not to end; where that encrypts, it has to go through it.

        There it would leave unencrypted while CCP is not Opened, whatever keeps other packets back: it is lost then.
        """
        frame = Number.IPV6.to_bytes(2, "big") + packet
        if self._cipher is not None and self._unit is not None:
            with suppress(OSError):
                if self._cipher.passing:
                    os.write(self._unit.frames.descriptor, frame)
        elif owner.header(Number.IPV6) is not None:
            self.send(frame)

    def overhear(self, owner: Owner) -> None:
        """Have the interface's packets looked through for what asks the router."""
        if self._unit is not None:
            self._taker = owner.ask
            self._units.overhearer.add(self._unit.name, self._taker)

    def idle(self, now: float) -> float:
        """Return for how many seconds no packet has passed, as the kernel counts them; 0 where there is no interface."""
        del now
        if self._unit is None:
            return 0.0
        with suppress(OSError):
            return float(min(_IDLE.unpack(fcntl.ioctl(self._unit.frames.descriptor, _GIDLE, bytes(_IDLE.size)))))
        return 0.0

    def traffic(self) -> Traffic:
        """Return what has passed through the interface, as the kernel counts it; nothing where there is no interface."""
        return interface_traffic(self._unit.name) if self._unit is not None else Traffic()

    async def close(self) -> None:
        """Remove the interface; another can be made."""
        unit = self._leave()
        if unit is not None:
            await self._units.remove(unit, self._ends.present)

    async def finish(self) -> None:
        """Remove the interface and let go of the session."""
        unit = self._leave()
        held = (unit.frames if unit else None, self._ends.channel, self._ends.socket)
        descriptors = [descriptor for frames in held if frames is not None for descriptor in frames.shut()]
        self._owner = None  # who knows us as well
        await self._units.close_all(descriptors)

    def _leave(self) -> Unit | None:
        """Let go of the interface, which is still there."""
        unit, self._unit, self._cipher = self._unit, None, None
        taker, self._taker = self._taker, None
        if unit is not None and taker is not None:
            self._units.overhearer.remove(unit.name, taker)
        return unit


def interface_traffic(name: str) -> Traffic:
    """Return what has passed through an interface: what it received came from the peer. Of one that is gone, nothing is known."""
    folder = Path("/sys/class/net", name, "statistics")
    try:
        took, gave, took_packets, gave_packets = (
            int((folder / counter).read_text()) for counter in ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")
        )
    except (OSError, ValueError):
        return Traffic()
    return Traffic(input_octets=took, output_octets=gave, input_packets=took_packets, output_packets=gave_packets)
