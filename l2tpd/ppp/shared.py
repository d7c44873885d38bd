"""One interface for all sessions of a PPP profile: descriptors and interfaces are what run out first where there are many subscribers.

Theory of operation. The first session of a profile makes the TUN interface, with the profile's own address on it, and the last one to leave
removes it. Each session brings a route for its address and its prefixes, and nothing for the whole pool: so the kernel itself answers for addresses that nobody has
at the moment, a packet larger than that very subscriber takes gets its ICMP answer from the kernel, a subscriber may have an address of no pool, and
whoever looks at the routing table sees who is there. That is one request to the kernel for each session, where an interface of its own takes four.

One task reads an interface, and finds the session by where a packet goes. What comes from a subscriber must come from its own address: else it could
pretend to be its neighbour, which an interface of its own would leave to the kernel's reverse path filter. Such packets are dropped and counted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_network
from typing import TYPE_CHECKING

import attrs
import trio

from l2tpd import log
from l2tpd.errors import LocalProtocolError, PlaneError
from l2tpd.kernel.ops import Link as Interface
from l2tpd.ppp.accountant import Meter, Traffic
from l2tpd.ppp.numbers import Protocol as Number
from l2tpd.ppp.packet6 import is_link_scope
from l2tpd.ppp.subscribers import Network, Subscribers, destination, source
from l2tpd.ppp.tun import Tun, Tuns, Unencrypting, emit, read_packets, send_packet
from l2tpd.supervise import contain, contained, crashes

if TYPE_CHECKING:
    from l2tpd.kernel.ops import FramePort
    from l2tpd.ppp.carrier import Owner

_log = log.get("ppp")


@attrs.define(eq=False)
class Common:
    """An interface and the sessions that use it."""

    profile: str
    users: int = 0  # also those that still wait for it
    tun: Tun | None = None
    mtu: int = 0  # the largest that any of them needs
    addresses: set[str] = attrs.field(factory=set)  # ours
    members: Subscribers[SharedCarrier] = attrs.field(factory=Subscribers)
    changing: trio.Lock = attrs.field(factory=trio.Lock)  # while it is made or removed
    refusal: PlaneError | None = None  # why it could not be made when that was last tried

    def take(self, packet: memoryview) -> None:
        """Hand a packet to the session that it is for; there may be none for a broadcast, and such. A bug there ends that session."""
        member = self.members.find(destination(packet))
        try:
            if member is not None:
                member.forward(packet)
        except Exception as bug:  # noqa: BLE001 - the boundary between one session and all that share the interface
            crashes["link"] += 1
            _log.error("sending a packet of a shared interface crashed", profile=self.profile, exc_info=bug)
            self._give_up(member)

    def _give_up(self, member: SharedCarrier | None) -> None:
        with contained(f"the end of a session with profile {self.profile}", kind="link"):
            if member is not None:
                member.gone("internal error")


class SharedTuns:
    """The interfaces that sessions share, by PPP profile."""

    def __init__(self, tuns: Callable[[], Tuns | None]) -> None:
        """Begin without any; `tuns` returns who makes them."""
        self._maker = tuns
        self._commons: dict[str, Common] = {}
        self._readers: trio.Nursery | None = None

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read the interfaces until cancelled."""
        async with trio.open_nursery() as readers:
            self._readers = readers
            try:
                task_status.started()
                await trio.sleep_forever()  # noqa: TID251 - its children work
            finally:
                self._readers = None  # already here: once its block is left, a nursery takes nobody

    def enter(self, profile: str) -> Common:
        """Count one more user of a profile's interface, which is not there yet if it is the first."""
        common = self._commons.setdefault(profile, Common(profile))
        common.users += 1
        return common

    async def prepare(self, common: Common, wanted: Interface) -> str:
        """See to it that an interface is there and has our address; return its name. Raises `PlaneError`."""
        known = common.refusal
        async with common.changing:
            if common.tun is None:
                common.tun, common.mtu = await self._make(common, wanted, known), wanted.mtu
            elif (
                wanted.address not in common.addresses or wanted.mtu > common.mtu
            ):  # a reload has changed the profile, or a peer takes more
                common.mtu = max(common.mtu, wanted.mtu)
                await self._tuns.settle_tun(common.tun, attrs.evolve(wanted, mtu=common.mtu))
            common.addresses.add(wanted.address)
            return common.tun.name

    async def claim(self, common: Common, prefix: Network, mtu: int, member: SharedCarrier) -> None:
        """Let a session have the packets for a prefix, which `leave` takes back. Raises `PlaneError`."""
        try:
            common.members.add(prefix, member)
        except LocalProtocolError as error:
            raise PlaneError(errno.EADDRINUSE, str(error)) from None
        await self._tuns.add_route(common.tun, prefix, mtu)

    async def leave(self, common: Common, prefixes: Iterable[Network], member: SharedCarrier) -> None:
        """Count one user less, and take back what it has claimed; the interface goes with the last one."""
        held = [prefix for prefix in prefixes if common.members.remove(prefix, member)]
        common.users -= 1
        tun = common.tun
        for prefix in held:
            if tun is not None and tun is common.tun:  # else the last one has left meanwhile: its routes went with it
                await self._tuns.delete_route(tun, prefix)
        if not common.users:
            await self._close(common)

    @property
    def _tuns(self) -> Tuns:
        tuns = self._maker()
        if tuns is None:
            raise PlaneError(errno.EOPNOTSUPP, "this data plane makes no interfaces")
        return tuns

    async def _make(self, common: Common, wanted: Interface, known: PlaneError | None) -> Tun:
        """Make the interface, unless somebody has just tried in vain: that may take seconds, and those who waited would try one after the other."""
        if common.refusal is not None and common.refusal is not known:
            raise PlaneError(common.refusal.errno, common.refusal.text)
        try:
            return await self._open(common, wanted)
        except PlaneError as error:
            common.refusal = PlaneError(error.errno, error.text)  # without the traceback of this one
            raise

    async def _open(self, common: Common, wanted: Interface) -> Tun:
        tun = await self._tuns.open_tun(wanted)
        if self._readers is None:  # the daemon may have been cancelled meanwhile
            await self._tuns.close_tun(tun)
            raise PlaneError(errno.ESHUTDOWN, "nobody reads interfaces")
        self._readers.start_soon(self._read, common, tun)
        return tun

    async def _close(self, common: Common) -> None:
        async with common.changing:  # somebody may have come while we waited
            if not common.users and common.tun is not None:
                tun, common.tun = common.tun, None
                common.addresses.clear()
                await self._tuns.close_tun(tun)
            if not common.users:
                self._forget(common)

    async def _read(self, common: Common, tun: Tun) -> None:
        async def read() -> None:
            with suppress(trio.ClosedResourceError):
                await read_packets(tun, common.take)

        await contain(f"interface {tun.name}", read, kind="link")
        if tun is common.tun:  # it was not closed by us: who comes now needs another one
            self._forget(common)
            for member in common.members.owners():
                with contained(f"a session on {tun.name}", kind="link"):
                    member.gone(f"the interface {tun.name} was deleted")

    def _forget(self, common: Common) -> None:
        if self._commons.get(common.profile) is common:
            del self._commons[common.profile]


@attrs.define(eq=False)
class SharedCarrier(Unencrypting):
    """Carries the PPP of a session whose frames come to this process: its packets go through the interface of its profile."""

    _port: FramePort
    _shared: SharedTuns
    _profile: str
    _owner: Owner | None = None
    _common: Common | None = None
    _claims: list[Network] = attrs.field(factory=list)
    _mtu: int = 0  # of this subscriber
    _moved: float = 0.0  # when the last packet passed
    _meter: Meter = attrs.field(factory=Meter)

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        self._port.send(frame)

    def hear(self, owner: Owner) -> None:
        """Have frames handed over by whoever reads the tunnel's socket."""
        self._owner = owner
        self._port.attach(owner.take)

    def deliver(self, packet: bytes) -> bool:
        """Write a packet to the interface, if it comes from where its sender is."""
        common = self._common
        if common is None or common.tun is None or common.tun.descriptor < 0:
            return False
        origin = source(packet)
        if common.members.find(origin) is not self:
            if not _nowhere(origin):
                self._port.spoofed()
            return False
        self._moved = trio.current_time()
        try:
            os.write(common.tun.descriptor, packet)
        except OSError:  # its queue is full, it is down or gone
            return False
        self._meter.took(len(packet))
        return True

    def forward(self, packet: memoryview) -> None:
        """Send a packet of the interface."""
        if self._owner is not None:
            self._moved = trio.current_time()
            self._meter.gave(len(packet))
            send_packet(packet, self._owner, self._port)

    def gone(self, why: str) -> None:
        """Hear why packets can pass no longer."""
        if self._owner is not None:
            self._owner.gone(why)

    async def open(self, interface: Interface, mru: int, protocol: int) -> str:
        """Take a place on the interface; what may be sent is for the link to say."""
        del mru
        self._common = common = self._shared.enter(self._profile)
        self._mtu, self._moved = interface.mtu, trio.current_time()
        return await self._admit(common, interface, protocol)

    async def extend(self, interface: Interface, protocol: int) -> None:
        """Let another protocol have the place as well."""
        if self._common is None:
            raise PlaneError(errno.ENODEV, "there is no interface")
        await self._admit(self._common, interface, protocol)

    async def _admit(self, common: Common, interface: Interface, protocol: int) -> str:
        """See to the addresses of a protocol. Of IPv6 there are none: those of the link name nobody where there are many links, others are routed."""
        if protocol != Number.IPV4:
            return await self._shared.prepare(common, attrs.evolve(interface, address="", peer_address=""))
        name = await self._shared.prepare(common, attrs.evolve(interface, peer_address=""))
        await self._claim(common, interface.peer_address)
        return name

    def emit(self, packet: bytes, owner: Owner) -> None:
        """Send a packet of our own."""
        emit(packet, owner, self._port)

    def overhear(self, owner: Owner) -> None:
        """Do nothing: all packets pass through this process."""

    async def route(self, prefix: str) -> None:
        """Have a prefix behind the subscriber routed to it; it may send from there as well."""
        if self._common is None:
            raise PlaneError(errno.ENODEV, "there is no interface")
        await self._claim(self._common, prefix)

    async def _claim(self, common: Common, prefix: str) -> None:
        network = ip_network(prefix)
        self._claims.append(network)
        await self._shared.claim(common, network, self._mtu, self)

    def idle(self, now: float) -> float:
        """Return for how many seconds no packet has passed."""
        return now - self._moved

    def traffic(self) -> Traffic:
        """Return what has passed."""
        return self._meter.read()

    def pump(self, owner: Owner) -> None:
        """Leave the interface to whoever reads it for all."""
        del owner

    async def close(self) -> None:
        """Give the place on the interface back; who is cancelled meanwhile leaves nothing behind."""
        common, self._common, self._meter = self._common, None, Meter()
        claims, self._claims = self._claims, []
        if common is not None:
            with trio.CancelScope(shield=True):
                await self._shared.leave(common, claims, self)

    async def finish(self) -> None:
        """Give the place back, and forget who had it; the port is the plane's."""
        await self.close()
        self._owner = None


def _nowhere(address: bytes) -> bool:
    """Tell whether an address is one of IPv6 that means something on its link alone, or nothing: no harm is meant by it."""
    return len(address) == 16 and (is_link_scope(address) or not any(address))
