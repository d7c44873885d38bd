"""Many LACs towards one LNS: set tunnels and incoming calls up, hold them, tear them down (RFC 2661 7.2.1, 7.4.1).

A tunnel counts as up when its SCCCN is acknowledged, a call when its ICCN is.
"""

import ipaddress
import os
from array import array
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from bench import packets
from bench.engine import Address, Engine, Framing, Link, Sent
from bench.packets3 import Signer, Version3

FIRST_SOURCE = int(ipaddress.IPv4Address("127.1.0.1"))
LOOK_EVERY = 0.5
TURN = 0.005  # longest wait before what is due by the clock is looked at again
CHALLENGE_LENGTH = 16


class State:
    """How far a tunnel is."""

    OPENING, UP, CLOSING, DOWN = range(4)


class Wire(Framing, Protocol):
    """The messages of a version of the protocol: the module `packets`, or a `packets3.Version3`."""

    def sccrq(self, tunnel: int, index: int, nonce: bytes = b"", /) -> bytearray:
        """Build an SCCRQ; `nonce` is the Challenge or the Control Message Authentication Nonce."""

    def scccn(self, peer: int, answer: bytes = b"") -> bytearray:
        """Build an SCCCN."""

    def stopccn(self, peer: int, tunnel: int) -> bytearray:
        """Build a StopCCN."""

    def hello(self, peer: int) -> bytearray:
        """Build a HELLO."""

    def icrq(self, peer: int, session: int, serial: int) -> bytearray:
        """Build an ICRQ."""

    def iccn(self, peer: int, peer_session: int, session: int) -> bytearray:
        """Build an ICCN."""

    def cdn(self, peer: int, peer_session: int, session: int) -> bytearray:
        """Build a CDN."""

    def avps(self, data: bytes, kind: int) -> dict[int, bytes]:
        """Read AVPs."""

    def tunnel_of(self, found: dict[int, bytes]) -> int:
        """Read the peer's tunnel id."""

    def session_of(self, found: dict[int, bytes]) -> int:
        """Read the peer's session id."""

    def our_session(self, found: dict[int, bytes], addressed: int) -> int:
        """Tell which of our sessions a message is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the LACs behave.

    `width` tunnels and `call_width` calls are in set-up at a time. With `same_source` all tunnels share one address and
    port; otherwise each slot has an address 127.1.x.y of its own, and with `rotate_sources` a replacement gets a fresh one.
    """

    server: Address
    width: int = 64
    call_width: int = 64
    same_source: bool = False
    rotate_sources: bool = False
    secret: bytes = b""
    version: int = 2
    patience: float = 120.0


class Tunnel(Link):
    """A tunnel seen from its LAC."""

    __slots__ = ("began", "calls", "challenge", "next_call", "sessions", "slot", "state", "wanted")

    def __init__(self, local: int, settings: Settings, source: bytes, slot: int) -> None:
        """Make an idle tunnel for `slot`."""
        super().__init__(local, settings.server, source)
        self.slot = slot
        self.state = State.OPENING
        self.began = 0.0
        self.challenge = b""
        self.wanted = 0
        self.next_call = 0
        self.calls: dict[int, float] = {}
        self.sessions: dict[int, int] = {}


class Lac:
    """All the LACs, as the role of one engine."""

    def __init__(self, engine: Engine[Tunnel], settings: Settings) -> None:
        """Take the engine over."""
        self.engine = engine
        engine.role = self
        self.settings = settings
        self.wire: Wire = wire_of(settings.version, settings.secret)
        self.tunnels: list[Tunnel] = []
        self.opening = self.closing = self.calling = 0
        self.up = self.failed = self.closed = self.dropped = 0
        self.calls_up = self.calls_failed = 0
        self.hellos_answered = self.hellos_late = 0
        self.tunnel_latency = array("d")
        self.call_latency = array("d")
        self.last = 0.0
        self.stopccns: Counter[str] = Counter()
        self.cdns: Counter[str] = Counter()
        self.server_lives: Callable[[], bool] = lambda: True
        self.on_up: Callable[[Tunnel], None] = _nothing
        self.on_down: Callable[[Tunnel], None] = _nothing
        self._slots = 0
        self._sources = 0
        self._serial = 0
        self._callers: deque[Tunnel] = deque()

    # What disciplines ask for

    def run(self, pump: Callable[[], None], done: Callable[[], bool], limit: float | None = None) -> bool:
        """Serve the network until `done`, calling `pump` each turn; False when `limit` seconds passed or the server died."""
        look = monotonic()
        end = look + (self.settings.patience if limit is None else limit)
        while not done():
            pump()
            self.engine.turn(TURN)
            if (now := monotonic()) > look:
                look = now + LOOK_EVERY
                if now > end or not self.server_lives():
                    return False
        return True

    def open(self, slot: int | None = None, calls: int = 0) -> Tunnel:
        """Send the SCCRQ of a new tunnel that will place `calls` calls once it is up."""
        if slot is None:
            slot = self._slots
            self._slots += 1
        tunnel = Tunnel(self.engine.free_id(), self.settings, self._source(slot), slot)
        tunnel.wanted = calls
        nonce = self._introduce(tunnel)
        self.engine.links[tunnel.local] = tunnel
        self.opening += 1
        packet = self.wire.sccrq(tunnel.local, 0 if self.settings.same_source else slot, nonce)
        tunnel.began = monotonic()
        self.engine.send(tunnel, packet, packets.SCCRQ)
        return tunnel

    def _introduce(self, tunnel: Tunnel) -> bytes:
        """Return what the SCCRQ has to say for the peer to prove that it knows the secret."""
        if not self.settings.secret:
            return b""
        if self.settings.version == 3:
            tunnel.signer = Signer(self.settings.secret)
            return tunnel.signer.nonce
        tunnel.challenge = os.urandom(CHALLENGE_LENGTH)
        return tunnel.challenge

    def _source(self, slot: int) -> bytes:
        if self.settings.same_source:
            return b""
        if self.settings.rotate_sources:
            slot = self._sources
            self._sources = (slot + 1) % 0xFF0000
        return (FIRST_SOURCE + slot).to_bytes(4, "big")

    def call(self, tunnel: Tunnel, count: int) -> None:
        """Queue `count` more calls in a tunnel that is up."""
        tunnel.wanted += count
        self._callers.append(tunnel)

    def pump_calls(self) -> None:
        """Send ICRQs in turn over the tunnels that want calls, as far as the width and the peers' windows go."""
        for _ in range(len(self._callers)):
            if self.calling >= self.settings.call_width:
                return
            tunnel = self._callers.popleft()
            if tunnel.state == State.UP and tunnel.wanted:
                if tunnel.has_room():
                    self._icrq(tunnel)
                self._callers.append(tunnel)

    def _icrq(self, tunnel: Tunnel) -> None:
        tunnel.wanted -= 1
        tunnel.next_call = session = tunnel.next_call % 0xFFFF + 1
        self._serial += 1
        self.calling += 1
        tunnel.calls[session] = monotonic()
        self.engine.send(tunnel, self.wire.icrq(tunnel.remote, session, self._serial), packets.ICRQ, session)

    def hello(self, tunnel: Tunnel) -> Sent[Tunnel]:
        """Send a HELLO."""
        return self.engine.send(tunnel, self.wire.hello(tunnel.remote), packets.HELLO)

    def hang_up(self, tunnel: Tunnel, session: int) -> None:
        """Send the CDN of an established call."""
        remote = tunnel.sessions.pop(session)
        self.calls_up -= 1
        self.engine.send(tunnel, self.wire.cdn(tunnel.remote, remote, session), packets.CDN, session)

    def stop(self, tunnel: Tunnel) -> None:
        """Send the StopCCN of an established tunnel."""
        tunnel.state = State.CLOSING
        self.closing += 1
        self.up -= 1
        self._end_calls(tunnel)
        self.engine.send(tunnel, self.wire.stopccn(tunnel.remote, tunnel.local), packets.STOPCCN)

    def settled(self) -> bool:
        """Tell whether no set-up and no tear-down is in progress or waiting."""
        return not (
            self.opening or self.closing or self.calling or any(t.wanted for t in self._callers if t.state == State.UP)
        )

    # What the engine reports

    def stranger(self, data: bytes, hit: bytes, sender: Address) -> None:
        """Count a message to a tunnel id that is not ours (a late copy, or an answer to a hostile datagram)."""
        self.engine.counts["strangers"] += 1

    def message(self, link: Tunnel, kind: int, session: int, data: bytes, sender: Address) -> None:
        """Act on the next message of a tunnel."""
        match kind:
            case packets.ICRP:
                self._icrp(link, session, data)
            case packets.SCCRP:
                self._sccrp(link, data, sender)
            case packets.HELLO:
                self.engine.counts["hellos received"] += 1
            case packets.CDN:
                self._cdn(link, session, data)
            case packets.STOPCCN:
                self._stopccn(link, data, sender)
            case _:
                self.engine.counts["unexpected"] += 1

    def _sccrp(self, tunnel: Tunnel, data: bytes, sender: Address) -> None:
        if tunnel.state != State.OPENING or tunnel.remote:
            self.engine.counts["unexpected"] += 1
            return
        now = monotonic()
        found = self.wire.avps(data, packets.SCCRP)
        tunnel.remote = self.wire.tunnel_of(found)
        tunnel.dest = sender  # RFC 2661 8.1: the responder may answer from a port of its choice
        if window := found.get(packets.RECEIVE_WINDOW_SIZE):
            tunnel.window = max(1, packets.u16(window))
        self.tunnel_latency.append(now - tunnel.began)
        if self._trusted(tunnel, found):
            challenge = found.get(packets.CHALLENGE, b"")
            answer = packets.response(packets.SCCCN, self.settings.secret, challenge) if challenge else b""
            self.engine.send(tunnel, self.wire.scccn(tunnel.remote, answer), packets.SCCCN)

    def _trusted(self, tunnel: Tunnel, found: dict[int, bytes]) -> bool:
        answer = found.get(packets.CHALLENGE_RESPONSE, b"")
        right = packets.response_is_right(packets.SCCRP, self.settings.secret, tunnel.challenge, answer)
        if tunnel.challenge and not right:
            self.engine.complaints["wrong Challenge Response in SCCRP"] += 1
            self._lose(tunnel)
            return False
        return True

    def _icrp(self, tunnel: Tunnel, session: int, data: bytes) -> None:
        found = self.wire.avps(data, packets.ICRP)
        session = self.wire.our_session(found, session)
        began = tunnel.calls.get(session)
        if began is None or session in tunnel.sessions:
            self.engine.counts["unexpected"] += 1
            return
        self.call_latency.append(monotonic() - began)
        remote = self.wire.session_of(found)
        tunnel.sessions[session] = remote
        self.engine.send(tunnel, self.wire.iccn(tunnel.remote, remote, session), packets.ICCN, session)

    def _cdn(self, tunnel: Tunnel, session: int, data: bytes) -> None:
        found = self.wire.avps(data, packets.CDN)
        session = self.wire.our_session(found, session)
        result, error = packets.result_code(found[packets.RESULT_CODE])
        self.cdns[f"{result}/{error}"] += 1
        known = tunnel.sessions.pop(session, None) is not None
        if tunnel.calls.pop(session, None) is not None:
            self.calling -= 1
            self.calls_failed += 1
        elif known:
            self.calls_up -= 1

    def _stopccn(self, tunnel: Tunnel, data: bytes, sender: Address) -> None:
        found = self.wire.avps(data, packets.STOPCCN)
        result, error = packets.result_code(found[packets.RESULT_CODE])
        self.stopccns[f"{result}/{error}"] += 1
        if not tunnel.remote:
            tunnel.remote = self.wire.tunnel_of(found)
            tunnel.dest = sender
        self.engine.acknowledge(tunnel)
        self._lose(tunnel)

    def acknowledged(self, sent: Sent[Tunnel]) -> None:
        """Advance the tunnel or call whose message arrived."""
        tunnel = sent.link
        match sent.kind:
            case packets.SCCCN:
                self._tunnel_up(tunnel)
            case packets.ICCN if tunnel.calls.pop(sent.call, None) is not None:
                self.last = monotonic()
                self.calling -= 1
                self.calls_up += 1
            case packets.HELLO:
                self.hellos_answered += 1
                self.hellos_late += sent.tries > 0
            case packets.STOPCCN:
                self.last = monotonic()
                self.closing -= 1
                self.closed += 1
                self._down(tunnel)

    def _tunnel_up(self, tunnel: Tunnel) -> None:
        self.last = monotonic()
        tunnel.state = State.UP
        self.opening -= 1
        self.up += 1
        if tunnel.wanted:
            self._callers.append(tunnel)
        self.on_up(tunnel)

    def silent(self, link: Tunnel) -> None:
        """Give a tunnel up whose peer did not answer."""
        self._lose(link)

    def _lose(self, tunnel: Tunnel) -> None:
        match tunnel.state:
            case State.OPENING:
                self.opening -= 1
                self.failed += 1
                self.calls_failed += tunnel.wanted
            case State.UP:
                self.up -= 1
                self.dropped += 1
                self.calls_failed += tunnel.wanted
            case State.CLOSING:
                self.closing -= 1
                self.closed += 1
            case _:
                return
        self._end_calls(tunnel)
        self._down(tunnel)

    def _end_calls(self, tunnel: Tunnel) -> None:
        established = len(tunnel.sessions.keys() - tunnel.calls.keys())
        self.calls_up -= established
        self.calling -= len(tunnel.calls)
        self.calls_failed += len(tunnel.calls)
        tunnel.wanted = 0
        tunnel.calls.clear()
        tunnel.sessions.clear()

    def _down(self, tunnel: Tunnel) -> None:
        tunnel.state = State.DOWN
        self.engine.forget(tunnel)
        self.on_down(tunnel)


def wire_of(version: int, secret: bytes = b"") -> Wire:
    """Return the messages of a version of the protocol."""
    return Version3(signed=bool(secret)) if version == 3 else packets


def _nothing(_tunnel: Tunnel) -> None:
    """Ignore the news."""
