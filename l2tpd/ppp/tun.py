"""Packets of a session whose frames come to this process: they go through a TUN interface of its own.

An interface is read in batches into one buffer that all of them share, because none holds it across an await. There is room before the packet for the
header that it gets on its way, so that it is not copied.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import attrs
import trio

from l2tpd.errors import PlaneError
from l2tpd.ppp.accountant import Meter, Traffic
from l2tpd.ppp.numbers import Protocol as Number

if TYPE_CHECKING:
    from l2tpd.kernel.ops import FramePort
    from l2tpd.kernel.ops import Link as Interface
    from l2tpd.ppp.carrier import Owner
    from l2tpd.ppp.mppe import Keys
    from l2tpd.ppp.subscribers import Network

_BATCH = 64
_LARGEST = 65535
_HEADROOM = 4  # octets of the longest header before a packet (RFC 1661 2, RFC 1662 3.1)
_BUFFER = memoryview(bytearray(_HEADROOM + _LARGEST))
_PACKET = _BUFFER[_HEADROOM:]


class Tun(Protocol):
    """A TUN interface; its descriptor is -1 once it is closed."""

    @property
    def descriptor(self) -> int:
        """Return the descriptor."""

    @property
    def name(self) -> str:
        """Return the interface's name."""

    async def readable(self) -> None:
        """Wait until it has a packet. Raises `trio.ClosedResourceError` when it is closed."""


@runtime_checkable
class Tuns(Protocol):
    """Makes interfaces for packets."""

    async def open_tun(self, interface: Interface) -> Tun:
        """Make an interface, with its address, and up. Raises `PlaneError`."""

    async def settle_tun(self, tun: Any, interface: Interface) -> None:
        """Give an interface another address. Raises `PlaneError`."""

    async def add_route(self, tun: Any, prefix: Network, mtu: int) -> None:
        """Route a prefix into an interface, with packets of at most `mtu` octets; 0: as many as the interface takes. Raises `PlaneError`."""

    async def delete_route(self, tun: Any, prefix: Network) -> None:
        """Take back what `add_route` has done; nothing happens when the interface is gone."""

    async def close_tun(self, tun: Any) -> None:
        """Remove an interface that `open_tun` has made; nothing happens the second time."""


async def read_packets(tun: Tun, take: Callable[[memoryview], None]) -> None:
    """Hand every packet of an interface to `take` until the interface is gone. Raises `trio.ClosedResourceError` when it is closed."""
    while True:
        await tun.readable()
        try:
            _drain(tun, take)
        except OSError:
            return


def _drain(tun: Tun, take: Callable[[memoryview], None]) -> None:
    """Read up to `_BATCH` packets. Raises `OSError` when the interface is gone."""
    for _ in range(_BATCH):
        if tun.descriptor < 0:
            return
        try:
            octets = os.readv(tun.descriptor, (_PACKET,))
        except BlockingIOError:
            return
        take(_PACKET[:octets])


def send_packet(packet: memoryview, owner: Owner, port: FramePort) -> None:
    """Send the packet that `read_packets` has just read, if its protocol is Opened."""
    protocol = Number.IPV6 if packet[0] >> 4 == 6 else Number.IPV4
    header = owner.header(protocol)
    if header is not None:
        start = _HEADROOM - len(header)
        _BUFFER[start:_HEADROOM] = header
        port.send(_BUFFER[start : _HEADROOM + len(packet)])
    elif (frame := owner.seal(protocol, packet)) is not None:
        port.send(frame)


class Unencrypting:
    """What a carrier says of encryption to whom the link gives packets that are encrypted already."""

    __slots__ = ()
    strengths: ClassVar[frozenset[int]] = frozenset()

    def encrypt(self, keys: Keys, *, must: bool) -> None:
        """Do nothing: the link sees to it."""
        del keys, must

    def encrypted(self) -> None:
        """Do nothing."""


def emit(packet: bytes, owner: Owner, port: FramePort) -> None:
    """Send a packet of our own, if its protocol is Opened."""
    header = owner.header(Number.IPV6)
    frame = owner.seal(Number.IPV6, packet) if header is None else header + packet
    if frame is not None:
        port.send(frame)


@attrs.define(eq=False)
class TunCarrier(Unencrypting):
    """Carries the PPP of a session whose frames come to this process: its packets go through a TUN interface."""

    _port: FramePort
    _tuns: Tuns
    _tun: Tun | None = None
    _moved: float = 0.0  # when the last packet went through
    _meter: Meter = attrs.field(factory=Meter)

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        self._port.send(frame)

    def hear(self, owner: Owner) -> None:
        """Have frames handed over by whoever reads the tunnel's socket."""
        self._port.attach(owner.take)

    def deliver(self, packet: bytes) -> bool:
        """Write a packet to the interface."""
        if self._tun is None or self._tun.descriptor < 0:
            return False
        try:
            os.write(self._tun.descriptor, packet)
        except OSError:  # its queue is full, it is down or gone
            return False
        self._moved = trio.current_time()
        self._meter.took(len(packet))
        return True

    async def open(self, interface: Interface, mru: int, protocol: int) -> str:
        """Make the interface; what it may send is for the link to say."""
        del mru, protocol
        self._tun = await self._tuns.open_tun(interface)
        self._moved, self._meter = trio.current_time(), Meter()
        return self._tun.name

    async def extend(self, interface: Interface, protocol: int) -> None:
        """Give the interface another address; which packets pass is for the link to say."""
        del protocol
        if self._tun is None:
            raise PlaneError(errno.ENODEV, "there is no interface")
        await self._tuns.settle_tun(self._tun, interface)

    def pump(self, owner: Owner) -> Callable[[], Awaitable[None]] | None:
        """Send what the interface has to send."""
        return None if self._tun is None else partial(self._pump, owner, self._tun)

    async def _pump(self, owner: Owner, tun: Tun) -> None:
        try:
            await read_packets(tun, partial(self._send_packet, owner))
        except trio.ClosedResourceError:  # no `suppress`, which would take another 280 octets of each session
            return
        owner.gone(f"the interface {tun.name} was deleted")

    def _send_packet(self, owner: Owner, packet: memoryview) -> None:
        self._moved = trio.current_time()
        self._meter.gave(len(packet))
        send_packet(packet, owner, self._port)

    async def route(self, prefix: str) -> None:
        """Route a prefix into the interface."""
        if self._tun is None:
            raise PlaneError(errno.ENODEV, "there is no interface")
        await self._tuns.add_route(self._tun, ip_network(prefix), 0)

    def emit(self, packet: bytes, owner: Owner) -> None:
        """Send a packet of our own."""
        emit(packet, owner, self._port)

    def overhear(self, owner: Owner) -> None:
        """Do nothing: all packets pass through this process."""

    def idle(self, now: float) -> float:
        """Return for how many seconds no packet has passed."""
        return now - self._moved

    def traffic(self) -> Traffic:
        """Return what has passed."""
        return self._meter.read()

    async def close(self) -> None:
        """Remove the interface."""
        tun, self._tun, self._meter = self._tun, None, Meter()  # what it has counted was carried over
        if tun is not None:
            await self._tuns.close_tun(tun)

    async def finish(self) -> None:
        """Remove the interface; the port is the plane's."""
        await self.close()
