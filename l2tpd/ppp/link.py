"""One PPP link: phases, protocols, and the outside (RFC 1661 3). Pure; it is told the time and given randomness.

Theory of operation. A link is used by five verbs: `receive_frame`, `handle_timer`, `next_timer`, `frames_to_send`, `next_event`; and by commands.
Whoever owns it calls the last three after each of the first two and after every command. A link lives once: after `LinkDown` it is deaf and mute,
for over L2TP another call is another session.

LCP opens first. Then each direction that LCP has agreed on authenticates, then the network protocols open, each for itself. When LCP leaves
Opened, because either side negotiates anew or ends, all above it falls and is built up again if LCP comes back (3.4). What belongs to another
phase is dropped in silence; a protocol that we do not speak is rejected, in the Network phase only (3.5, 5.7).

Three questions go outside as events and may take their time: whether credentials are right, who encrypts, and which address a peer shall have. While
one of the latter two is open, the peer's last packet of a protocol that waits for it is kept, so that it need not be repeated.

What it never does: raise because of what a peer sends; send a packet larger than the peer takes; wait for ever, since each phase has its deadline;
negotiate for ever with a peer that begins again and again.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final, NamedTuple

import attrs

from l2tpd.deadlines import earliest
from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.ppp.admission import Admission
from l2tpd.ppp.auth import Refusal
from l2tpd.ppp.automaton import Event as Input
from l2tpd.ppp.automaton import State
from l2tpd.ppp.ccp import Ccp
from l2tpd.ppp.control import Control
from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.encryption import Encryption
from l2tpd.ppp.events import (
    AddressNeeded,
    AuthFailed,
    CheckCredentials,
    Event,
    Ipv4Up,
    Ipv6Up,
    LinkDown,
    LinkOpened,
    NetworkDown,
)
from l2tpd.ppp.frame import HEADERS, parse_frame
from l2tpd.ppp.ipcp import Ipcp, unpack_address
from l2tpd.ppp.ipv6cp import Ipv6cp
from l2tpd.ppp.lcp import Lcp
from l2tpd.ppp.numbers import BY_PEER, BY_US, DEFAULT_MRU, Auth, Disconnect, LcpOption, Protocol
from l2tpd.ppp.settings import Grant, LinkSettings, Proxy, ProxyPolicy
from l2tpd.wire.values import DisconnectCause


class Phase(enum.Enum):
    """The phases of RFC 1661 3.2."""

    DEAD = "dead"
    ESTABLISH = "establish"
    AUTHENTICATE = "authenticate"
    NETWORK = "network"
    TERMINATE = "terminate"


class Payload(NamedTuple):
    """A packet of a network protocol that may pass."""

    protocol: int
    octets: bytes


@attrs.define
class Counters:
    """What has happened on a link, in frames."""

    received: int = 0
    sent: int = 0
    discarded: int = 0  # malformed, out of sequence or out of phase
    rejected: int = 0  # of a protocol that we do not speak


NEGOTIATIONS: Final = 32
"""How often LCP, IPCP and IPV6CP may come up, together: thrice is usual. Each time is told to a server, scripts and the log."""
FORGOTTEN: Final = 20.0  # seconds, after which one of them counts no longer

_NO_GRANT: Final = Grant()
_NONE_HELD: Final[Mapping[int, bytes]] = {}

_DATA: Final = {Protocol.IPCP: Protocol.IPV4, Protocol.IPV6CP: Protocol.IPV6, Protocol.CCP: Protocol.COMPRESSED}
"""The protocol that an NCP opens."""


def _without(protocol: int, passing: tuple[int, ...]) -> tuple[int, ...]:
    """Return protocols but for one."""
    return tuple(other for other in passing if other != protocol)


class Link:
    """One PPP link. `random` returns as many octets as it is asked for, such as nobody can foretell."""

    __slots__ = (
        "_address_for",
        "_admission",
        "_deadline",
        "_events",
        "_frames",
        "_grant",
        "_headers",
        "_held",
        "_ncps",
        "_passing",
        "_proxy",
        "_random",
        "_restless",
        "cause",
        "counters",
        "encryption",
        "lcp",
        "peer_mru",
        "phase",
        "settings",
        "user",
    )

    def __init__(self, settings: LinkSettings, random: Callable[[int], bytes]) -> None:
        """Begin in phase Dead."""
        self.settings = settings
        self.phase = Phase.DEAD
        self.user = ""
        self.cause: DisconnectCause | None = None
        self.counters = Counters()
        self.peer_mru = DEFAULT_MRU
        """The largest information field that the peer takes; noted as LCP comes up and goes, since every packet asks."""
        self.lcp = Lcp(settings.limits, settings=settings, random=random)
        self._random = random
        self._ncps = tuple(self._make_ncps())
        self._admission = Admission(settings, random)
        self._proxy: Proxy | None = None  # while it is what the present negotiation rests on
        self._grant = _NO_GRANT
        self._address_for: str | None = None  # the user to whom the address of our settings was given
        self._deadline: float | None = None  # of the phase
        self._restless = 0.0  # when all negotiations are forgotten
        self._held = _NONE_HELD  # the peer's last packet of protocols that cannot begin yet
        self._passing: tuple[int, ...] = ()  # network protocols whose packets may pass as they are
        self.encryption = Encryption(settings)
        self._headers: Mapping[int, bytes] = HEADERS[False, False]
        self._frames: list[bytes] = []
        self._events: list[Event] = []

    def _make_ncps(self) -> Iterator[Control]:
        settings = self.settings
        if settings.ipv4 is not None:
            yield Ipcp(settings.limits, settings=settings.ipv4)
        if settings.ipv6 is not None:
            yield Ipv6cp(settings.limits, settings=settings.ipv6, random=self._random)

    # --- commands -----------------------------------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Let the link come up as soon as the layer below it is up."""
        self.lcp.feed(Input.OPEN, self, now)
        for ncp in self._ncps:
            ncp.feed(Input.OPEN, self, now)

    def lower_up(self, now: float) -> None:
        """Say that frames can be exchanged. Raises `LocalProtocolError` when that was said before."""
        if self.phase is not Phase.DEAD or self.cause is not None:
            raise LocalProtocolError("the layer below the link is up already, or the link is over")
        self._enter(Phase.ESTABLISH, now, self.settings.establish_timeout)
        if not (self.lcp.state is State.STARTING and self._adopt(now)):
            self.lcp.feed(Input.UP, self, now)

    def lower_down(self, now: float, text: str = "the call has ended") -> None:
        """Say that frames can be exchanged no longer: the link ends without another word."""
        if self.phase is not Phase.DEAD:
            self.lcp.blame(DisconnectCause(Disconnect.UNKNOWN, 0, 0, text))
            self._finish(now)

    def close(self, now: float, text: str = "", code: Disconnect = Disconnect.ADMIN) -> None:
        """End the link with a Terminate-Request that carries `text`; `LinkDown` follows when the peer has answered, or does not."""
        self.end(DisconnectCause(code, 0, BY_US, text), now)

    def awaits(self, credentials: Credentials) -> bool:
        """Tell whether a decision about these very credentials is still waited for."""
        return self._admission.asked(credentials) is not None

    def accept_credentials(self, credentials: Credentials, grant: Grant, now: float) -> None:
        """Let the peer in; nothing happens if nobody waits for the answer any longer."""
        authenticator = self._admission.asked(credentials)
        if authenticator is not None:
            self._grant, self.user = grant, credentials.user
            authenticator.accept(grant.message, self, now)

    def refuse_credentials(
        self, credentials: Credentials, message: bytes, now: float, reason: str = "wrong name or password"
    ) -> None:
        """Turn the peer away with a message, and end the link for a reason of ours; nothing happens if nobody waits for the answer any longer."""
        authenticator = self._admission.asked(credentials)
        if authenticator is not None:
            authenticator.refuse(message, self, now)
            refusal = Refusal(Disconnect.AUTH_FAILED, ours=False, text=reason)
            self.failed(credentials.kind, credentials.user, refusal, now)

    def assign_address(self, address: str, now: float) -> None:
        """Give the peer the address for which `AddressNeeded` asked. Raises `LocalProtocolError` for what is no address."""
        ipcp = self._ncp(Protocol.IPCP)
        if isinstance(ipcp, Ipcp) and self._waits_for_address(ipcp):
            try:
                self._provide(ipcp, address)
            except ValueError:
                raise LocalProtocolError(f"{address!r} is no IPv4 address") from None
            self._address_for = self.user
            self.start(ipcp, now)

    # --- the five verbs -----------------------------------------------------------------------------------------------------------

    def receive_frame(self, frame: bytes, now: float) -> Payload | None:
        """Take a frame. Returns a packet that is to be passed on, None when the frame was ours or was dropped."""
        self.counters.received += 1
        try:
            protocol, information = parse_frame(frame)
            if protocol in self._passing:
                return Payload(protocol, information)
            if protocol == Protocol.COMPRESSED and self.encryption.on:
                return Payload(*self.encryption.unseal(information, self, now))
            self._receive(protocol, information, now)
        except Malformed:
            self.discard()
        return None

    def handle_timer(self, now: float) -> None:
        """Do all that is due."""
        self.lcp.handle_timer(now, self)
        for ncp in self._above:
            ncp.handle_timer(now, self)
        self._admission.handle_timer(self, now)
        if self._deadline is not None and self._deadline <= now:
            self._deadline = None
            self._phase_is_over(now)

    def next_timer(self) -> float | None:
        """Return when `handle_timer` is to be called, None: never, as things stand. A `Payload` changes nothing in that."""
        above = [ncp.deadline for ncp in self._above]
        return earliest(self._deadline, self.lcp.deadline, self._admission.deadline, *above)

    def frames_to_send(self) -> list[bytes]:
        """Return the frames that are to leave, in order; each only once."""
        frames, self._frames = self._frames, []
        return frames

    def next_event(self) -> Event | None:
        """Return what has happened and was not told yet, the oldest first; None: nothing."""
        return self._events.pop(0) if self._events else None

    @property
    def upcoming(self) -> Event | None:
        """What `next_event` will tell."""
        return self._events[0] if self._events else None

    def take_events(self) -> list[Event]:
        """Return all that has happened and was not told yet, the oldest first."""
        events, self._events = self._events, []
        return events

    def header(self, protocol: int) -> bytes | None:
        """Return what to put before a packet of a network protocol, None while none may pass as it is."""
        return self._headers[protocol] if protocol in self._passing else None

    def passes(self, protocol: int) -> bool:
        """Tell whether packets of a network protocol may pass, encrypted or as they are."""
        return protocol in self._passing or protocol in self.encryption.passing

    def seal(self, protocol: int, packet: bytes | memoryview) -> bytes | None:
        """Return the frame of a packet of a network protocol that may pass encrypted, None while none may."""
        sealed = self.encryption.seal(protocol, packet)
        return self._headers[Protocol.COMPRESSED] + sealed if sealed is not None else None

    # --- what protocols ask of their link -----------------------------------------------------------------------------------------

    def transmit(self, protocol: int, packet: bytes) -> None:
        """Send a packet, unless it is larger than the peer takes; LCP sees to that by itself."""
        if protocol != Protocol.LCP and len(packet) > self.peer_mru:
            self.discard()
            return
        self.counters.sent += 1
        self._frames.append(self._headers[protocol] + packet)

    def discard(self) -> None:
        """Count a packet that was dropped."""
        self.counters.discarded += 1

    def give_up(self, control: Control, cause: DisconnectCause, now: float) -> None:
        """Close a protocol, and with LCP the link."""
        if isinstance(control, Lcp):
            self.end(cause, now)
        elif isinstance(control, Ccp):
            self.encryption.give_up(cause, self, now)
        else:
            control.blame(cause)
            control.close(self, now, cause.message)

    def layer_up(self, control: Control, now: float) -> None:
        """Go on: a protocol is Opened."""
        control.cause, control.reported = None, False
        if not isinstance(control, Ccp) and not self._may_negotiate(now):
            self.end(DisconnectCause(Disconnect.ADMIN, 0, 0, "the peer negotiates anew without end"), now)
            return
        self._UP[type(control)](self, control, now)

    def _may_negotiate(self, now: float) -> bool:
        self._restless = max(self._restless, now) + FORGOTTEN
        return self._restless - now <= NEGOTIATIONS * FORGOTTEN

    def layer_down(self, control: Control, now: float) -> None:
        """Go back: a protocol is Opened no longer."""
        if isinstance(control, Lcp):
            self._lcp_down(now)
        elif isinstance(control, Ccp):
            control.end()
        else:
            ended = _DATA[Protocol(control.PROTOCOL)]
            self._passing = _without(ended, self._passing)
            self.encryption.passing = _without(ended, self.encryption.passing)
            self._report(control)

    def layer_finished(self, control: Control, now: float) -> None:
        """End the link with LCP, or with the last NCP that we have given up ourselves (3.7: one that the peer closed is no reason).

        One that the session is of no use without ends it whoever has closed it. One in whose midst the peer has fallen silent ends it too: the peer may have that one open, and nobody would ever tell it otherwise.
        """
        if isinstance(control, Lcp):
            self._finish(now)
            return
        if isinstance(control, Ccp):
            self.encryption.finished(control, self, now)
            return
        self._report(control)
        useless = control.PROTOCOL in self.settings.required
        if useless or control.forsaken or all(ncp.state in {State.INITIAL, State.CLOSED} for ncp in self._ncps):
            self.end(control.cause or DisconnectCause(Disconnect.NO_NCP), now)

    def _report(self, ncp: Control) -> None:
        """Say once that packets of an NCP's protocol may not pass."""
        if not ncp.reported:
            ncp.reported = True
            self._events.append(NetworkDown(protocol=_DATA[Protocol(ncp.PROTOCOL)], cause=ncp.cause))

    def protocol_refused(self, protocol: int, now: float) -> None:
        """Stop using a protocol that the peer does not know (RFC 1661 5.7)."""
        for ncp in self._above:
            if protocol in {ncp.PROTOCOL, _DATA[Protocol(ncp.PROTOCOL)]}:
                unknown = ncp.fault(Disconnect.NO_NCP, BY_PEER, "the peer does not know the protocol")
                self._fall_silent(ncp, ncp.unencrypted() if isinstance(ncp, Ccp) else unknown, now)
        if protocol in {Protocol.PAP, Protocol.CHAP} and self.phase is Phase.AUTHENTICATE:
            self.end(
                DisconnectCause(Disconnect.AUTH_UNACCEPTABLE, protocol, BY_PEER, "the peer does not know the protocol"),
                now,
            )

    def check(self, credentials: Credentials) -> None:
        """Ask the outside about the peer's credentials."""
        self._events.append(CheckCredentials(credentials=credentials, again=self.phase is Phase.NETWORK))

    def proved(self, now: float) -> None:
        """Go on when both directions are done."""
        if self.phase is Phase.AUTHENTICATE and self._admission.complete:
            self._start_network(now)

    def failed(self, kind: Auth, user: str, refusal: Refusal, now: float) -> None:
        """Say who was refused, and end the link (3.5)."""
        self._events.append(AuthFailed(kind=kind, user=user, ours=refusal.ours, message=refusal.text))
        direction = BY_US if refusal.ours else BY_PEER  # RFC 3145 3.3: whose identity it was
        self.end(DisconnectCause(refusal.code, kind.protocol, direction, refusal.text), now)

    def reflected(self, challenge: bytes, name: bytes) -> bool:
        """Tell whether a Challenge is one of ours, or comes under our own name while we challenge as well."""
        return self._admission.reflected(challenge, name)

    # --- frames -------------------------------------------------------------------------------------------------------------------

    def _receive(self, protocol: int, information: bytes, now: float) -> None:
        if protocol == Protocol.LCP and self.phase is not Phase.DEAD:
            self.lcp.receive(information, self, now)
        elif protocol in {Protocol.PAP, Protocol.CHAP} and self.phase in {Phase.AUTHENTICATE, Phase.NETWORK}:
            self._admission.receive(protocol, information, self, now)
        elif self.phase is Phase.NETWORK:
            self._receive_network(protocol, information, now)
        else:
            self.discard()

    def _receive_network(self, protocol: int, information: bytes, now: float) -> None:
        ncp = self._ncp(protocol)
        if (ncp is None and protocol == Protocol.CCP and self.encryption.on) or (ncp and ncp.state is State.STARTING):
            self._held = {**self._held, protocol: information}
        elif ncp is None:
            self._receive_strange(protocol, information)
        else:
            ncp.receive(information, self, now)

    def _receive_strange(self, protocol: int, information: bytes) -> None:
        """Reject a protocol, unless it is one that merely is not Opened (3.6)."""
        if any(protocol == _DATA[Protocol(ncp.PROTOCOL)] for ncp in self._ncps):
            self.discard()
            return
        self.counters.rejected += 1
        self.lcp.reject_protocol(protocol, information, self)

    # --- phases -------------------------------------------------------------------------------------------------------------------

    def _enter(self, phase: Phase, now: float, patience: float) -> None:
        self.phase = phase
        self._deadline = now + patience if patience else None

    def _adopt(self, now: float) -> bool:
        """Take over what a LAC has negotiated, if we may."""
        proxy = self.settings.proxy
        if proxy is None or self.settings.proxy_policy is ProxyPolicy.IGNORE:
            return False
        self._proxy = proxy
        adopted = self.lcp.adopt(proxy.last_sent, proxy.last_received, self, now)
        self._proxy = None
        return adopted

    def _lcp_up(self, lcp: Lcp, now: float) -> None:
        self._headers = HEADERS[LcpOption.ACFC in lcp.peer, LcpOption.PFC in lcp.peer]
        self.peer_mru = lcp.peer_mru
        opened = LinkOpened(
            mru=lcp.mru,
            mtu=min(self.peer_mru, self.settings.mtu or self.peer_mru),
            peer_proves=lcp.authenticating,
            we_prove=lcp.authenticated,
        )
        self._events.append(opened)
        lcp.started(self, now)
        self._start_auth(now)

    def _lcp_down(self, now: float) -> None:
        self.lcp.stopped()
        self.peer_mru = DEFAULT_MRU
        ending = self.lcp.state in {State.CLOSING, State.STOPPING}
        self._enter(
            *((Phase.TERMINATE, now, 0.0) if ending else (Phase.ESTABLISH, now, self.settings.establish_timeout))
        )
        self._admission.stop()
        self._held = _NONE_HELD
        self._drop_ncps(now)

    @property
    def _above(self) -> tuple[Control, ...]:
        """All that is negotiated in phase Network."""
        ccp = self.encryption.ccp
        return (*self._ncps, ccp) if ccp is not None else self._ncps

    def _ncp(self, protocol: int) -> Control | None:
        """Return what negotiates under this protocol in phase Network, None: nothing does."""
        for ncp in self._above:
            if protocol == ncp.PROTOCOL:
                return ncp
        return None

    def _drop_ncps(self, now: float) -> None:
        above = self._above
        self.encryption.drop(self)  # first: an interface that has the keys does not outlive them
        for ncp in above:
            if ncp.state >= State.CLOSED:
                ncp.feed(Input.DOWN, self, now)

    def _start_auth(self, now: float) -> None:
        lcp = self.lcp
        self._enter(Phase.AUTHENTICATE, now, self.settings.auth_timeout)
        self._admission.start(lcp.authenticating, lcp.authenticated, self._proxy, self, now)
        self.proved(now)

    def _start_network(self, now: float) -> None:
        self._enter(Phase.NETWORK, now, self.settings.network_timeout)
        self.encryption.begin(self._grant.keys or self._admission.keys, self, now)

    def start_networks(self, now: float) -> None:
        """Let the network protocols begin."""
        for ncp in self._ncps:
            if ncp.state is not State.STARTING:
                continue  # given up before
            self._START[type(ncp)](self, ncp, now)
        if not self._ncps:
            self.end(DisconnectCause(Disconnect.NO_NCP, 0, 0, "no network protocol is wanted"), now)

    def _start_ipv4(self, ipcp: Ipcp, now: float) -> None:
        given = unpack_address(ipcp.assigned) if self._address_for == self.user else ""  # to the same user before
        peer = self._grant.address or given or ipcp.settings.peer
        if ipcp.settings.serve and not peer:
            self._events.append(AddressNeeded(user=self.user))
        else:
            self._provide(ipcp, peer)
            self.start(ipcp, now)

    def _start_ipv6(self, ipv6cp: Ipv6cp, now: float) -> None:
        base, granted = self.settings.ipv6 or ipv6cp.settings, self._grant.interface_id
        ipv6cp.settings = attrs.evolve(base, peer=granted) if granted else base
        self.start(ipv6cp, now)

    def _provide(self, ipcp: Ipcp, peer: str) -> None:
        grant, settings = self._grant, ipcp.settings
        ipcp.provide(peer, grant.dns or settings.dns, grant.nbns or settings.nbns)

    def start(self, control: Control, now: float) -> None:
        """Let a protocol of phase Network begin, and hear what has waited for it."""
        control.feed(Input.UP, self, now)
        if held := self._held.get(control.PROTOCOL):
            rest = {number: other for number, other in self._held.items() if number != control.PROTOCOL}
            self._held = rest or _NONE_HELD
            control.receive(held, self, now)

    def _waits_for_address(self, ipcp: Ipcp) -> bool:
        return self.phase is Phase.NETWORK and ipcp.state is State.STARTING

    def _ipcp_up(self, ipcp: Ipcp, now: float) -> None:
        if not ipcp.local_address:
            self.give_up(ipcp, ipcp.fault(Disconnect.NO_ADDRESS, BY_PEER, "the peer gives us no address"), now)
            return
        self._pass(Protocol.IPV4, Ipv4Up(local=ipcp.local_address, peer=ipcp.peer_address, dns=ipcp.dns))

    def _ccp_up(self, ccp: Ccp, now: float) -> None:
        self.encryption.opened(ccp, self, now)

    def _ipv6cp_up(self, ipv6cp: Ipv6cp, now: float) -> None:
        self._pass(Protocol.IPV6, Ipv6Up(local=ipv6cp.local, peer=ipv6cp.peer_identifier))

    def _pass(self, protocol: int, event: Event) -> None:
        self._deadline = None
        if self.encryption.on:
            self.encryption.passing += (protocol,)
        else:
            self._passing += (protocol,)
        self._events.append(event)

    def _fall_silent(self, ncp: Control, cause: DisconnectCause, now: float) -> None:
        """Give an NCP up without another word to the peer."""
        ncp.blame(cause)
        if ncp.state >= State.CLOSED:
            ncp.feed(Input.DOWN, self, now)
        ncp.feed(Input.CLOSE, self, now)

    def _phase_is_over(self, now: float) -> None:
        """End a phase that lasted too long."""
        code = _TOO_LATE[self.phase]
        self.end(DisconnectCause(code, 0, 0, f"phase {self.phase.value} lasted too long"), now)

    def tell(self, event: Event) -> None:
        """Tell the outside what has happened."""
        self._events.append(event)

    def end(self, cause: DisconnectCause, now: float) -> None:
        """End the link for this cause."""
        self.lcp.blame(cause)
        if self.phase is Phase.DEAD:
            self._finish(now)
            return
        self.lcp.close(self, now, cause.message)
        if self.lcp.state is State.CLOSED:  # it was never opened, and so does not finish by itself
            self._finish(now)
        else:
            self._enter(Phase.TERMINATE, now, 0.0)

    def _finish(self, now: float) -> None:
        """Go to Dead, once."""
        if self.cause is not None:
            return
        self.cause = self.lcp.cause or DisconnectCause(Disconnect.UNKNOWN)
        if self.lcp.state >= State.CLOSED:
            self.lcp.feed(Input.DOWN, self, now)
        self._drop_ncps(now)
        self._enter(Phase.DEAD, now, 0.0)
        self._admission.stop()
        self._events.append(LinkDown(cause=self.cause))

    # --- tables -------------------------------------------------------------------------------------------------------------------

    _UP: ClassVar[Mapping[type[Control], Callable[[Link, Any, float], None]]] = {
        Lcp: _lcp_up,
        Ipcp: _ipcp_up,
        Ipv6cp: _ipv6cp_up,
        Ccp: _ccp_up,
    }
    _START: ClassVar[Mapping[type[Control], Callable[[Link, Any, float], None]]] = {
        Ipcp: _start_ipv4,
        Ipv6cp: _start_ipv6,
    }


_TOO_LATE: Final = {
    Phase.ESTABLISH: Disconnect.LCP_TIMEOUT,
    Phase.AUTHENTICATE: Disconnect.AUTH_TIMEOUT,
    Phase.NETWORK: Disconnect.NCP_TIMEOUT,
}
