"""PPP of one session in this process: a link of ours between the session's frames and an interface.

Theory of operation. Frames come from a carrier: whoever reads the tunnel's socket, or the kernel. They are dealt with there and then: a packet of a
network protocol goes to the interface, anything else to the link, whose answers leave at once. What takes time is left to the session's task: it
waits for the link's timer or for events, looks up credentials, makes the interface, and returns when the link is down. Two more tasks wait for
frames, and for what the interface has to send.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs
import trio

from l2tpd import log
from l2tpd.config.model import PppAuthentication
from l2tpd.errors import LocalProtocolError, PlaneError
from l2tpd.kernel.ops import Link as Interface
from l2tpd.ppp import secrets
from l2tpd.ppp.credentials import verify
from l2tpd.ppp.describe import describe
from l2tpd.ppp.events import AddressNeeded, AuthFailed, CheckCredentials, Ipv4Up, LinkDown, NetworkDown
from l2tpd.ppp.link import Link
from l2tpd.ppp.numbers import Auth, Disconnect
from l2tpd.ppp.numbers import Protocol as Number
from l2tpd.ppp.settings import Grant, Ipv4Settings, LinkSettings
from l2tpd.supervise import goodbye
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.kernel.ops import FramePort
    from l2tpd.ppp.leases import Lease, Leases
    from l2tpd.session.call import Call

SECRETS: Mapping[Auth, Path] = {
    Auth.PAP: Path("/etc/ppp/pap-secrets"),
    Auth.CHAP: Path("/etc/ppp/chap-secrets"),
    Auth.MSCHAPV2: Path("/etc/ppp/chap-secrets"),
}
"""Where users stand, as pppd has them."""

_BATCH = 64
_LOOKUPS = 8
_LARGEST = 65535
_REQUIRE = {
    PppAuthentication.NONE: (),
    PppAuthentication.PAP: (Auth.PAP,),
    PppAuthentication.CHAP: (Auth.CHAP,),
    PppAuthentication.MSCHAPV2: (Auth.MSCHAPV2,),
}
_REFUSED = frozenset({Disconnect.AUTH_FAILED, Disconnect.AUTH_TIMEOUT, Disconnect.AUTH_UNACCEPTABLE, Disconnect.ADMIN})

_log = log.get("ppp")


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

    async def close_tun(self, tun: Any) -> None:
        """Remove an interface that `open_tun` has made; nothing happens the second time."""


class Owner(Protocol):
    """The link that a carrier works for."""

    def take(self, frame: bytes | memoryview) -> None:
        """Take a frame of the peer; never raises, never waits."""

    def header(self, protocol: int) -> bytes | None:
        """Return what to put before a packet of a network protocol, None while none may pass."""


class Carrier(Protocol):
    """What a link runs over: its frames, and the interface of its packets."""

    def send(self, frame: bytes) -> None:
        """Send a frame to the peer. Never waits: what cannot be sent now is lost."""

    async def serve(self, owner: Owner) -> str:
        """Hand received frames to `owner` until there can be no more, and return why; nothing if somebody else sees to that from now on."""

    def deliver(self, packet: bytes) -> bool:
        """Pass a received packet on; tell whether that was possible."""

    async def open(self, interface: Interface, mru: int, protocol: int) -> str:
        """Make the interface for packets of a protocol, up, and return its name; `mru` is the most that we take. Raises `PlaneError`."""

    async def pump(self, owner: Owner) -> None:
        """Do what the interface needs until it is gone. Raises `trio.ClosedResourceError` when it is closed."""

    async def close(self) -> None:
        """Remove the interface, if there is one; another can be made."""

    async def finish(self) -> None:
        """Let go of everything."""


class Surroundings(Protocol):
    """What the machine around an interface is told of it; all of this raises `PlaneError`."""

    async def announce(self, peer: str) -> int:
        """Answer ARP for a peer on the Ethernet that its address belongs to, and return the index of that."""

    async def withdraw(self, peer: str, index: int) -> None:
        """Take back what `announce` has done."""

    async def add_default(self, interface: str) -> bool:
        """Route everything into an interface, unless there is a default route; tell whether it was done."""


def settings(lease: Lease, name: str) -> LinkSettings:
    """Return how the link of a session behaves."""
    ppp = lease.ppp
    client = not lease.lns
    return LinkSettings(
        name=name,
        mru=ppp.mru or lease.mtu,
        mtu=lease.mtu,
        require=_REQUIRE[ppp.auth] if lease.lns else (),
        user=lease.user,
        password=lease.password,
        echo_interval=ppp.lcp_echo_interval,
        echo_failure=ppp.lcp_echo_failure,
        ipv4=Ipv4Settings(
            local=lease.local,
            accept_local=client,
            peer=lease.remote,
            serve=bool(lease.remote),
            dns=ppp.dns if lease.lns else (),
            ask_dns=client,
        ),
    )


class Builtin:
    """Runs PPP for sessions in this process."""

    def __init__(self, leases: Leases, name: Callable[[], str], remark: Callable[[int, int, str], None]) -> None:
        """Give sessions what `leases` has for them; `name` is ours in Challenges, `remark` is told each frame of PPP's own, with tunnel and session."""
        self.leases = leases
        self._name = name
        self._remark = remark
        self.surroundings: Surroundings | None = None
        # Of their own: a dead resolver may hold all threads of the common one.
        self._lookups = trio.CapacityLimiter(_LOOKUPS)

    async def run(self, tunnel_id: int, call: Call, carrier: Carrier) -> tuple[int, str]:
        """Run PPP on a call until it ends by itself; return the result code for the CDN and the reason in words."""
        try:
            with self.leases.lease(call) as lease:
                running = _Running(
                    call=call,
                    lease=lease,
                    carrier=carrier,
                    surroundings=self.surroundings,
                    link=Link(settings(lease, self._name()), os.urandom),
                    remark=lambda line: self._remark(tunnel_id, call.local_id, line),
                    tunnel_id=tunnel_id,
                    name=self._name(),
                    lookups=self._lookups,
                )
                return await running.run()
        except LocalProtocolError as error:
            return CallResult.NO_FACILITIES_TEMPORARY, str(error)


@attrs.define(eq=False)
class TunCarrier:
    """Carries the PPP of a session whose frames come to this process: its packets go through a TUN interface."""

    _port: FramePort
    _tuns: Tuns
    _tun: Tun | None = None

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        self._port.send(frame)

    async def serve(self, owner: Owner) -> str:
        """Have frames handed over by whoever reads the tunnel's socket."""
        self._port.attach(owner.take)
        await trio.lowlevel.checkpoint()
        return ""

    def deliver(self, packet: bytes) -> bool:
        """Write a packet to the interface."""
        if self._tun is None or self._tun.descriptor < 0:
            return False
        try:
            os.write(self._tun.descriptor, packet)
        except OSError:  # its queue is full, it is down or gone
            return False
        return True

    async def open(self, interface: Interface, mru: int, protocol: int) -> str:
        """Make the interface; what it may send is for the link to say."""
        del mru, protocol
        self._tun = await self._tuns.open_tun(interface)
        return self._tun.name

    async def pump(self, owner: Owner) -> None:
        """Send what the interface has to send."""
        tun = self._tun
        if tun is None:
            raise trio.ClosedResourceError
        while True:
            await tun.readable()
            try:
                self._drain(tun, owner)
            except OSError:
                return
            await trio.lowlevel.checkpoint()

    def _drain(self, tun: Tun, owner: Owner) -> None:
        for _ in range(_BATCH):
            if tun.descriptor < 0:
                return
            try:
                packet = os.read(tun.descriptor, _LARGEST)
            except BlockingIOError:
                return
            header = owner.header(Number.IPV6 if packet[0] >> 4 == 6 else Number.IPV4)
            if header is not None:
                self._port.send(header + packet)

    async def close(self) -> None:
        """Remove the interface."""
        tun, self._tun = self._tun, None
        if tun is not None:
            await self._tuns.close_tun(tun)

    async def finish(self) -> None:
        """Remove the interface; the port is the plane's."""
        await self.close()


@attrs.define(eq=False, kw_only=True)
class _Running:
    """PPP of one session while it lasts."""

    call: Call
    lease: Lease
    carrier: Carrier
    surroundings: Surroundings | None
    link: Link
    remark: Callable[[str], None]
    tunnel_id: int
    name: str
    lookups: trio.CapacityLimiter
    _announced: tuple[str, int] | None = None  # a peer, and the index of the Ethernet where we answer for it
    _wake: trio.Event = attrs.field(factory=trio.Event)

    async def run(self) -> tuple[int, str]:
        """Serve until the link is down."""
        now = trio.current_time()
        self.link.open(now)
        self.link.lower_up(now)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen)  # only now: frames that have waited are for a link that is up
                ending = await self._serve(nursery)
                nursery.cancel_scope.cancel()
            return ending
        finally:
            self.call.interface = ""
            self.link.close(trio.current_time(), "the session ends")
            self._flush()
            with goodbye(5.0):
                await self._withdraw()
                await self.carrier.finish()

    # --- in whatever task reads frames ------------------------------------------------------------------------------------------

    def take(self, frame: bytes | memoryview) -> None:
        """Take a frame of the peer; never raises, never waits."""
        try:
            payload = self.link.receive_frame(bytes(frame), trio.current_time())
            if payload is not None:
                # An interface goes by the first octet, whatever protocol was agreed on: neither may pass for the other.
                version = 6 if payload.protocol == Number.IPV6 else 4
                fits = payload.octets[:1] != b"" and payload.octets[0] >> 4 == version
                if not fits or not self.carrier.deliver(payload.octets):
                    self.link.discard()
                return
            self.remark(f"received {describe(bytes(frame))}")
            self._flush()
        except Exception as bug:  # noqa: BLE001 - the boundary between this link and the tunnel that feeds it
            _log.error("PPP crashed", tid=self.tunnel_id, sid=self.call.local_id, exc_info=bug)
            self.link.lower_down(trio.current_time(), "internal error")
        self._wake.set()

    def header(self, protocol: int) -> bytes | None:
        """Return what to put before a packet of a network protocol, None while none may pass."""
        return self.link.header(protocol)

    def _flush(self) -> None:
        for frame in self.link.frames_to_send():
            self.remark(f"sent {describe(frame)}")
            self.carrier.send(frame)

    # --- the session's task -----------------------------------------------------------------------------------------------------

    async def _serve(self, nursery: trio.Nursery) -> tuple[int, str]:
        while True:
            self._flush()
            for event in self.link.take_events():
                if isinstance(event, LinkDown):
                    result = CallResult.ADMIN if event.cause.code in _REFUSED else CallResult.LOST_CARRIER
                    return result, event.cause.message or Disconnect(event.cause.code).name.lower().replace("_", " ")
                try:
                    await self._handle(event, nursery)
                except PlaneError as error:  # no interface, and so no use for the link
                    return CallResult.NO_FACILITIES_TEMPORARY, error.text
                self._flush()
            when = self.link.next_timer()
            with trio.move_on_at(math.inf if when is None else when):
                await self._wake.wait()
            self._wake = trio.Event()
            self.link.handle_timer(trio.current_time())

    async def _handle(self, event: object, nursery: trio.Nursery) -> None:
        match event:
            case CheckCredentials():
                await self._check(event)
            case AddressNeeded():
                self.link.assign_address(self.lease.remote, trio.current_time())
            case Ipv4Up():
                await self._bring_up(event, nursery)
            case NetworkDown() if event.protocol == Number.IPV4:
                await self._remove()
            case AuthFailed():
                whose = "we are refused" if event.ours else f"{event.user!r} is refused"
                _log.warning(f"PPP: {whose}", **self._ids, reason=event.message)
            case _:
                return  # what only others want to know

    async def _check(self, event: CheckCredentials) -> None:
        """Look a user up and say whether it may come in."""
        said = event.credentials
        look_up = partial(_look_up, SECRETS.get(said.kind), said.user, self.name)
        found = await trio.to_thread.run_sync(look_up, limiter=self.lookups)
        message = verify(said, found.secret) if found and found.addresses != ("-",) else None  # `-`: no address at all
        now = trio.current_time()
        if found is None or message is None:
            self.link.refuse_credentials(said, b"unknown user, or wrong password", now)
        else:
            self.link.accept_credentials(said, Grant(address=_own_address(found), message=message), now)

    async def _bring_up(self, event: Ipv4Up, nursery: trio.Nursery) -> None:
        await self._remove()
        await self._announce(event.peer)
        mtu = min(self.lease.mtu, self.link.peer_mru)
        wanted = Interface(name=self.lease.interface, mtu=mtu, address=event.local, peer_address=event.peer)
        name = await self.carrier.open(wanted, self.link.lcp.mru, Number.IPV4)
        call = self.call
        call.interface, call.ppp_local, call.ppp_remote = name, event.local, event.peer
        nursery.start_soon(self._pump, name)
        await self._add_default(name)
        _log.notice("PPP up", **self._ids, interface=name, local=event.local, remote=event.peer)

    async def _announce(self, peer: str) -> None:
        if not (self.lease.ppp.proxy_arp and self.surroundings and peer):
            return
        try:
            self._announced = peer, await self.surroundings.announce(peer)
        except PlaneError as error:  # the session is good for those who have a route
            _log.warning("PPP: nobody answers ARP for the peer", **self._ids, remote=peer, reason=error.text)

    async def _add_default(self, interface: str) -> None:
        if not (self.lease.ppp.default_route and self.surroundings):
            return
        try:
            done = await self.surroundings.add_default(interface)
        except PlaneError as error:
            _log.warning("PPP: no default route", **self._ids, interface=interface, reason=error.text)
        else:
            if not done:
                _log.notice("PPP: the default route that is there stays", **self._ids, interface=interface)

    async def _remove(self) -> None:
        await self._withdraw()
        self.call.interface = ""
        await self.carrier.close()

    async def _withdraw(self) -> None:
        announced, self._announced = self._announced, None
        if announced and self.surroundings:
            await self.surroundings.withdraw(*announced)

    async def _listen(self) -> None:
        if why := await self.carrier.serve(self):
            self.link.lower_down(trio.current_time(), why)
            self._wake.set()

    async def _pump(self, interface: str) -> None:
        """Do what the interface needs, until it is gone."""
        try:
            await self.carrier.pump(self)
        except trio.ClosedResourceError:
            return
        self.link.close(trio.current_time(), f"interface {interface} is gone")
        self._wake.set()

    @property
    def _ids(self) -> dict[str, Any]:
        return {"tid": self.tunnel_id, "sid": self.call.local_id}


def _look_up(path: Path | None, user: str, server: str) -> secrets.Secret | None:
    """Find a user in a secrets file; one that cannot be read has no users."""
    if path is None:
        return None
    try:
        text = path.read_text(errors="surrogateescape")
    except OSError as error:
        _log.warning("no users can be looked up", file=str(path), reason=str(error.strerror))
        return None
    return secrets.find(secrets.parse(text), user, server)


def _own_address(found: secrets.Secret) -> str:
    """Return the address that a user always has, if its line names a single one."""
    plain = [
        word for word in found.addresses if word not in {"*", "-"} and "/" not in word and not word.startswith("!")
    ]
    return plain[0] if len(plain) == 1 == len(found.addresses) else ""
