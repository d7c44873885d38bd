"""PPP of one session in this process: a link of ours between the session's frames and an interface.

Theory of operation. Frames come from a carrier: whoever reads the tunnel's socket, or the kernel. They are dealt with there and then: a packet of a
network protocol goes to the interface, anything else to the link, whose answers leave at once. What takes time is left to the session's task: it
waits for the link's timer or for events, looks up credentials, makes the interface, and returns when the link is down. Where a TUN interface is the
session's own, one more task waits for what it has to send.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import attrs
import trio

from l2tpd import log
from l2tpd.bell import AlarmClock, Bell
from l2tpd.config.model import DnsHandover, PppAuthority
from l2tpd.draws import Draws
from l2tpd.errors import LocalProtocolError, PlaneError
from l2tpd.events import Network, PppEvent, What
from l2tpd.kernel.ops import Link as Interface
from l2tpd.ppp import proxy, terms
from l2tpd.ppp.account import Account
from l2tpd.ppp.authorities import LocalUsers, SecretsFiles
from l2tpd.ppp.events import (
    AddressNeeded,
    AuthFailed,
    CheckCredentials,
    EncryptionNeeded,
    EncryptionOver,
    EncryptionUp,
    Ipv4Up,
    Ipv6Up,
    LinkDown,
    LinkOpened,
    NetworkDown,
)
from l2tpd.ppp.gate import Gate
from l2tpd.ppp.instances import Instances, Limits, Report
from l2tpd.ppp.ipv6cp import link_local
from l2tpd.ppp.link import Link, Phase
from l2tpd.ppp.mppe import GROWTH, STRENGTHS
from l2tpd.ppp.numbers import Disconnect
from l2tpd.ppp.numbers import Protocol as Number
from l2tpd.ppp.uplink import Uplink, machine_duid
from l2tpd.ppp.way import UNTOLD, Way
from l2tpd.session.call import NO_IPV6, Ipv6Facts
from l2tpd.supervise import crashes, goodbye
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.ppp.accountant import Accountant
    from l2tpd.ppp.authority import Authority
    from l2tpd.ppp.carrier import Carrier, Surroundings
    from l2tpd.ppp.lease import Lease
    from l2tpd.ppp.leases import Leases
    from l2tpd.session.call import Call
    from l2tpd.wire.values import DisconnectCause

_IPV6_MTU = 1280  # octets, RFC 8200 5
_ENDING = frozenset({Phase.TERMINATE, Phase.DEAD})
_RESULTS = {
    Disconnect.AUTH_FAILED: CallResult.ADMIN,
    Disconnect.AUTH_TIMEOUT: CallResult.ADMIN,
    Disconnect.AUTH_UNACCEPTABLE: CallResult.ADMIN,
    Disconnect.ADMIN: CallResult.ADMIN,
    Disconnect.NO_ENCRYPTION: CallResult.ADMIN,
    Disconnect.NO_ADDRESS: CallResult.NO_FACILITIES_TEMPORARY,
}
"""What a CDN says of why PPP ended (RFC 2661 4.4.2); of any other reason, that the carrier was lost."""

_log = log.get("ppp")


class Builtin:
    """Runs PPP for sessions in this process."""

    def __init__(
        self,
        leases: Leases,
        name: Callable[[], str],
        remark: Callable[[int, int, str, bytes], None],
        way_of: Callable[[int], Way] = lambda _tunnel_id: UNTOLD,
    ) -> None:
        """Give sessions what `leases` has for them; `name` is ours in Challenges, `way_of` describes a tunnel.

        `remark` hears of each frame of PPP's own: tunnel, session, which way, and the frame, which becomes a line only where one wants to read it.
        """
        self.leases = leases
        self._name = name
        self._remark = remark
        self.surroundings: Surroundings | None = None
        self.way_of = way_of
        self.accountant: Accountant | None = None
        self.instances = Instances()
        self._random = Draws(os.urandom)
        self.clock = AlarmClock()  # of all sessions: somebody has to serve it
        self._duid = machine_duid()
        self.lost: Counter[str] = Counter()
        self.authorities: dict[PppAuthority, Authority] = {
            PppAuthority.SECRETS: SecretsFiles(),
            PppAuthority.USERS: LocalUsers(leases.config),
        }

    async def run(self, tunnel_id: int, call: Call, carrier: Carrier) -> tuple[int, str]:
        """Run PPP on a call until it ends by itself; return the result code for the CDN and the reason in words."""
        account = None
        try:
            with self.leases.lease(call) as lease:
                report, call.proxy = proxy.reported(call.proxy), None
                link = Link(terms.settings(lease, self._name(), report), self._random)
                gate = self._gate(tunnel_id, call, lease, link)
                running = _Running(
                    accountant=self.accountant,
                    uplink=Uplink(gate=gate, carrier=carrier, duid=self._duid, lost=self.lost),
                    call=call,
                    lease=lease,
                    carrier=carrier,
                    surroundings=self.surroundings,
                    link=link,
                    gate=gate,
                    remark=self._remark,
                    tunnel_id=tunnel_id,
                    tell=self.instances.tell,
                    clock=self.clock,
                )
                account = running.account
                with self.instances.holding(running):
                    return await running.run()
        except LocalProtocolError as error:
            return CallResult.NO_FACILITIES_TEMPORARY, str(error)
        finally:
            if account is not None:
                account.close()  # only now: a server that hears of it may give the next session what this one had

    def _gate(self, tunnel_id: int, call: Call, lease: Lease, link: Link) -> Gate:
        authority = self.authorities.get(lease.ppp.authority)
        if authority is None:
            raise LocalProtocolError(f'nobody knows the callers: `authority = "{lease.ppp.authority.value}"`')
        return Gate(
            tunnel_id=tunnel_id,
            way=self.way_of(tunnel_id),
            name=self._name(),
            call=call,
            lease=lease,
            leases=self.leases,
            link=link,
            authority=authority,
        )


@attrs.define(eq=False, kw_only=True)
class _Running:
    """PPP of one session while it lasts."""

    call: Call
    lease: Lease
    carrier: Carrier
    surroundings: Surroundings | None
    link: Link
    remark: Callable[[int, int, str, bytes], None]
    tunnel_id: int
    gate: Gate
    accountant: Accountant | None
    tell: Callable[[PppEvent], None]
    clock: AlarmClock
    engine: str = "builtin"
    sets_down: bool = False
    uplink: Uplink
    account: Account = attrs.field(init=False)
    report: Report = attrs.field(init=False)
    _interface: str = ""  # the carrier's, which may be there before a network is up
    _networks: tuple[Ipv4Up | Ipv6Up, ...] = ()  # what passes through the interface
    _led: tuple[str, ...] = ()  # the prefixes that are routed into it
    _announced: tuple[str, int] | None = None  # a peer, and the index of the Ethernet where we answer for it
    _wake: Bell = attrs.field(factory=Bell)  # has the session's task look at the link
    _until: float = math.inf  # when the session's task looks at the link by itself
    # Made when somebody is asked: together they take 400 octets.
    _asking: trio.CancelScope | None = None  # whether the caller may come in
    _turn: trio.Lock | None = None  # for one question at a time, also where a cancelled one goes on for a while

    def __attrs_post_init__(self) -> None:
        self.gate.wake = self._wake.ring
        self.account = Account(
            accountant=self.accountant if self.lease.lns else None,
            call=self.call,
            gate=self.gate,
            by_radius=self.lease.ppp.authority is PppAuthority.RADIUS,
            count=self.carrier.traffic,
        )
        self.report = Report(self.tunnel_id, self.call, self.tell, self.account.moved)

    async def run(self) -> tuple[int, str]:
        """Serve until the link is down."""
        now = trio.current_time()
        self.link.open(now)
        self.link.lower_up(now)
        try:
            async with trio.open_nursery() as nursery:
                self.carrier.hear(self)  # only now: frames that have waited are for a link that is up
                ending = await self._serve(nursery)
                nursery.cancel_scope.cancel()
            return ending
        finally:
            self.clock.set(self._wake, math.inf)
            self.report.over(self.link.cause.message if self.link.cause else "", trio.current_time())
            self.account.settle()
            self.call.interface = ""
            self.uplink.part(self)
            self.link.close(trio.current_time(), "the session ends")
            self.link.take_events()  # whatever it has asked for, a frame that comes late gets nothing
            self._flush()
            with goodbye(5.0):
                await self._withdraw()  # noqa: ASYNC102 - goodbye is a shield with a deadline
                await self.carrier.finish()  # noqa: ASYNC102 - the same

    # --- in whatever task reads frames ------------------------------------------------------------------------------------------

    def take(self, frame: bytes | memoryview) -> None:
        """Take a frame of the peer; never raises, never waits."""
        try:
            octets = bytes(frame)
            payload = self.link.receive_frame(octets, trio.current_time())
            if payload is not None:
                # An interface goes by the first octet, whatever protocol was agreed on: neither may pass for the other.
                version = 6 if payload.protocol == Number.IPV6 else 4
                fits = payload.octets[:1] != b"" and payload.octets[0] >> 4 == version
                if version == 6 and self.uplink.takes(payload.octets):
                    self.ask(payload.octets)
                elif not fits or not self.carrier.deliver(payload.octets):
                    self.link.discard()
                return
            self.remark(self.tunnel_id, self.call.local_id, "received", octets)
            self._answer()
            self._flush()
        except Exception as bug:  # noqa: BLE001 - the boundary between this link and the tunnel that feeds it
            crashes["link"] += 1
            _log.error("PPP crashed", tid=self.tunnel_id, sid=self.call.local_id, exc_info=bug)
            self.link.lower_down(trio.current_time(), "internal error")
        self._look()

    def header(self, protocol: int) -> bytes | None:
        """Return what to put before a packet of a network protocol, None while none may pass as it is."""
        return self.link.header(protocol)

    def seal(self, protocol: int, packet: bytes | memoryview) -> bytes | None:
        """Return the frame of a packet of a network protocol that may pass encrypted, None while none may."""
        return self.link.seal(protocol, packet)

    def ask(self, packet: bytes) -> None:
        """Take a packet that asks the router for something; never raises, never waits."""
        if self.uplink.takes(packet) and not self.uplink.ask(packet, self, trio.current_time()):
            self.link.discard()
        if self.uplink.next_timer < self._until:
            self._wake.ring()

    def gone(self, why: str) -> None:
        """Hear why packets can pass no longer."""
        self._disconnect(why)

    def lost(self, why: str) -> None:
        """Hear why frames can come no longer."""
        self.link.lower_down(trio.current_time(), why)
        self._wake.ring()

    def disconnect(self, text: str) -> None:
        """End the session for somebody else, with a Terminate-Request."""
        self.account.told = True
        self._disconnect(text)

    @property
    def state(self) -> str:
        """How far the link is."""
        return "up" if self.report.networks else self.link.phase.value

    def limits(self, now: float) -> Limits:
        """Return how long the session may last."""
        return self.gate.limits(now)

    def configured(self) -> None:
        """Go by the limits of a new configuration."""
        self.gate.apply(trio.current_time())
        self._wake.ring()

    def _disconnect(self, reason: str) -> None:
        self.uplink.part(self)
        self.link.close(trio.current_time(), reason)
        self._wake.ring()

    def limit(self, session_timeout: float | None, idle_timeout: float | None) -> None:
        """Set how long the session may last and be idle, in seconds; None leaves it as it is."""
        self.gate.limit(session_timeout, idle_timeout, trio.current_time())
        self._wake.ring()

    def _look(self) -> None:
        """Wake the session's task, if there is an event for it or a timer is due before it wakes by itself: most frames bring neither."""
        if self.link.upcoming is not None or ((when := self.link.next_timer()) is not None and when < self._until):
            self._wake.ring()

    def _answer(self) -> None:
        """Give the link what it asks next, as long as that takes no time: the session's task need not be woken for it."""
        while (event := self.link.upcoming) is not None and self._answers(event):
            self.link.next_event()

    def _answers(self, event: object) -> bool:
        """Answer an event, if that takes no time and is no end; tell whether that was so."""
        match event:
            case LinkOpened():
                return True
            case CheckCredentials():
                if self._asking is not None:
                    self._asking.cancel()  # the caller has begun anew: nobody waits for that answer
                return self.gate.check_nowait(event)
            case AddressNeeded():
                try:
                    address = self.gate.any_address()
                except LocalProtocolError:
                    return False  # the session's task will hear it too, and ends the session
                self.link.assign_address(address, trio.current_time())
                return True
        return False

    async def _check(self, event: CheckCredentials, scope: trio.CancelScope) -> None:
        with scope:
            self._turn = self._turn or trio.Lock()
            async with self._turn:
                await self.gate.check(event)

    def _flush(self) -> None:
        for frame in self.link.frames_to_send():
            self.remark(self.tunnel_id, self.call.local_id, "sent", frame)
            self.carrier.send(frame)

    # --- the session's task -----------------------------------------------------------------------------------------------------

    async def _serve(self, nursery: trio.Nursery) -> tuple[int, str]:
        while True:
            self._flush()
            for event in self.link.take_events():
                if isinstance(event, LinkDown):
                    self.call.disconnect = event.cause
                    result = _RESULTS.get(Disconnect(event.cause.code), CallResult.LOST_CARRIER)
                    return result, event.cause.message or Disconnect(event.cause.code).name.lower().replace("_", " ")
                try:
                    await self._handle(event, nursery)
                except (PlaneError, LocalProtocolError) as error:  # no interface or no address: no use for the link
                    return CallResult.NO_FACILITIES_TEMPORARY, str(error)
                self._flush()
            when = self.link.next_timer()
            self._until = min(math.inf if when is None else when, self.gate.deadline, self.uplink.next_timer)
            self.clock.set(self._wake, self._until)
            await self._wake.wait()
            now = trio.current_time()
            self.link.handle_timer(now)
            self.uplink.handle_timer(self, now)
            if reason := self.gate.overdue(now, self.carrier.idle):
                self.uplink.part(self)
                self.link.close(now, reason)

    async def _handle(self, event: object, nursery: trio.Nursery) -> None:
        match event:
            case CheckCredentials() if not self._answers(event):
                self._asking = trio.CancelScope()
                nursery.start_soon(self._check, event, self._asking)
            case AddressNeeded():
                self.link.assign_address(self.gate.any_address(), trio.current_time())
            case EncryptionNeeded():
                await self._encrypt(event, nursery)
            case EncryptionUp():
                self._encrypted(event)
            case EncryptionOver():
                self.report.encryption = ""
                await self._strip()
            case Ipv4Up():
                await self._bring_up(event, nursery)
            case Ipv6Up():
                await self._bring_up_ipv6(event, nursery)
            case NetworkDown():
                await self._bring_down(event, nursery)
            case AuthFailed():
                whose = "we are refused" if event.ours else f"{event.user!r} is refused"
                _log.warning(f"PPP: {whose}", **self._ids, reason=event.message)
            case _:
                return  # what only others want to know

    async def _bring_up(self, event: Ipv4Up, nursery: trio.Nursery) -> None:
        await self._announce(event.peer)
        name = await self._connect(Number.IPV4, event.local, event.peer, nursery)
        self._networks += (event,)
        self.call.ppp_local, self.call.ppp_remote = event.local, event.peer
        await self._add_default(name)
        await self._route(self._routes(4))
        self.gate.begin(trio.current_time())
        self.account.open(self)
        whose = {"user": self.call.ppp_user} if self.call.ppp_user else {}
        _log.notice("PPP up", **self._ids, **whose, interface=name, local=event.local, remote=event.peer)
        self._tell_up("ipv4", event.local, event.peer, event.dns)

    async def _bring_up_ipv6(self, event: Ipv6Up, nursery: trio.Nursery) -> None:
        near, far = link_local(event.local), link_local(event.peer)
        try:
            name = await self._connect(Number.IPV6, f"{near}/64", "", nursery)  # RFC 4291 2.5.6
        except PlaneError as error:  # the session is good for IPv4
            _log.warning("PPP: no IPv6", **self._ids, reason=error.text)
        else:
            self._networks += (event,)
            given = await self.uplink.give(event.local, self._mtu, self._route, self._routes(6))
            self.uplink.open(self, trio.current_time())
            self.call.ppp_ipv6 = Ipv6Facts(
                local=near,
                remote=far,
                prefix=given.prefix,
                delegated_prefix=given.delegated,
                address=given.address,
            )
            self.gate.begin(trio.current_time())
            self.account.open(self)
            said = {"prefix": given.prefix, "delegated": given.delegated, "address": given.address}
            whose = {key: value for key, value in said.items() if value}
            _log.notice("PPP: IPv6 up", **self._ids, interface=name, local=near, remote=far, **whose)
            self._tell_up("ipv6", near, far)

    def _tell_up(self, network: Network, local: str, remote: str, dns: tuple[str, ...] = ()) -> None:
        six = (self.call.ppp_ipv6 if network == "ipv6" else None) or NO_IPV6
        event = PppEvent(
            what=What.UP,
            network=network,
            tunnel_id=self.tunnel_id,
            session_id=self.call.local_id,
            interface=self.call.interface,
            mtu=self._mtu,
            local=local,
            remote=remote,
            dns=dns,
            dns_handover=self._dns_handover if dns else "",
            routes=tuple(filter(self._leads, dict.fromkeys(self._routes(6 if network == "ipv6" else 4)))),
            prefix=six.prefix,
            delegated_prefix=six.delegated_prefix,
        )
        self.report.up(event, trio.current_time())

    async def _connect(self, protocol: int, near: str, far: str, nursery: trio.Nursery) -> str:
        """Let packets of a protocol pass through the interface, which the first protocol makes, and return its name. Raises `PlaneError`."""
        if protocol == Number.IPV6 and self._mtu < _IPV6_MTU:
            raise PlaneError(errno.EMSGSIZE, f"an MTU of {self._mtu} is less than the {_IPV6_MTU} of IPv6 (RFC 8200 5)")
        wanted = Interface(name=self.lease.interface, mtu=self._mtu, address=near, peer_address=far)
        if self._interface:
            await self.carrier.extend(wanted, protocol)
        else:
            await self._make(wanted, protocol, nursery)
        self.call.interface = self._interface
        return self._interface

    async def _make(self, wanted: Interface, protocol: int, nursery: trio.Nursery) -> None:
        self._interface = await self.carrier.open(wanted, self.link.lcp.mru, protocol)
        if (pump := self.carrier.pump(self)) is not None:
            nursery.start_soon(pump)

    async def _encrypt(self, event: EncryptionNeeded, nursery: trio.Nursery) -> None:
        """Have packets encrypted by the carrier, whose interface has to be there for that before there is an address; else by the link."""
        strengths, encryption, fault = self.carrier.strengths, self.link.encryption, ""
        if strengths and encryption.awaits(event.keys):
            try:
                await self._make(Interface(name=self.lease.interface, mtu=self._mtu), Number.CCP, nursery)
                self.carrier.encrypt(event.keys, must=event.required)
            except PlaneError as error:
                _log.warning("PPP: no encryption", **self._ids, reason=error.text)
                fault = error.text
        if not encryption.awaits(event.keys):  # any longer: the interface goes with these keys, and others get theirs
            return
        if fault:
            encryption.forgo(fault, self.link, trio.current_time())
        else:
            encryption.agree(strengths or STRENGTHS, self.link, trio.current_time(), inside=not strengths)
        self._look()

    def _encrypted(self, event: EncryptionUp) -> None:
        if self.link.encryption.up:  # still: what is being negotiated anew will be told again
            self.carrier.encrypted()
        mode = "stateless" if event.send_stateless and event.receive_stateless else "stateful"
        self.report.encryption = f"MPPE, {event.send_bits} bits, {mode}"
        if not event.resumed:  # which a peer may do as often as it likes
            _log.notice("PPP: encrypted by MPPE", **self._ids, bits=event.send_bits, mode=mode)

    async def _strip(self) -> None:
        """Remove an interface that has keys which hold no longer."""
        if self.carrier.strengths and self._interface:
            self._networks = ()
            self._tell_down()
            await self._remove()

    async def _bring_down(self, gone: NetworkDown, nursery: trio.Nursery) -> None:
        """Remove the interface, and make another one for the protocol that is left, if one is.

        One that encrypts by itself cannot be made anew without its peer's help, and goes with the session.
        """
        if self.link.phase not in _ENDING:  # at its end, a session tells what it had
            self._forget(gone.protocol)
        rest = tuple(event for event in self._networks if event.protocol != gone.protocol)
        if len(rest) == len(self._networks):
            return
        self._networks = rest
        self._tell_down(gone.cause)
        if self.carrier.strengths and self.link.encryption.on:
            self._disconnect("a network protocol has ended, and with it what encrypts")
            return
        self._networks = ()
        await self._remove()
        for event in rest:
            if self.link.passes(event.protocol):
                await self._handle(event, nursery)

    def _forget(self, protocol: int) -> None:
        """Show addresses of a network protocol no longer."""
        if protocol == Number.IPV6:
            self.call.ppp_ipv6 = None
        else:
            self.call.ppp_local = self.call.ppp_remote = ""

    @property
    def _mtu(self) -> int:
        room = min(self.lease.mtu, self.link.peer_mru) - (GROWTH if self.link.encryption.on else 0)
        return min(self.gate.verdict.mtu or room, room)

    def _tell_down(self, cause: DisconnectCause | None = None) -> None:
        """Say that all networks are down: with one of them all lose their interface."""
        cause = cause or self.link.lcp.cause
        self.report.all_down(cause, cause.message if cause else "", trio.current_time())

    @property
    def _dns_handover(self) -> str:
        said = self.lease.ppp.dns_handover
        return said.value if not self.lease.lns and said is not DnsHandover.NONE else ""

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

    def _routes(self, version: int) -> list[str]:
        """Return what is behind the peer, of one version of IP."""
        return [prefix for prefix in self.gate.verdict.routes if ip_network(prefix).version == version]

    def _leads(self, prefix: str) -> bool:
        """Tell whether a prefix is routed to the peer, as its own address is."""
        return prefix in self._led or prefix == f"{self.call.ppp_remote}/32"

    async def _route(self, prefixes: Iterable[str]) -> None:
        """Route these to the peer, but for what another session, or somebody beside us, has routed: it was there first, and stays."""
        for prefix in itertools.filterfalse(self._leads, prefixes):
            try:
                await self._lead(prefix)
            except PlaneError as error:
                _log.warning("PPP: no route to what is behind the peer", **self._ids, prefix=prefix, reason=error.text)

    async def _lead(self, prefix: str) -> None:
        if not self.gate.leases.claim_route(self.call, prefix):
            raise PlaneError(errno.EEXIST, "another session has it")
        await self.carrier.route(prefix)
        self._led += (prefix,)

    async def _remove(self) -> None:
        self.uplink.part(self)
        await self._withdraw()
        self.call.interface = self._interface = ""
        self._led = ()
        self.account.carry_over()
        await self.carrier.close()

    async def _withdraw(self) -> None:
        if self._announced and self.surroundings:
            await self.surroundings.withdraw(*self._announced)
        self._announced = None  # only now: who is cancelled while waiting comes here again

    @property
    def _ids(self) -> dict[str, Any]:
        return {"tid": self.tunnel_id, "sid": self.call.local_id}
