"""Subscribers behind many LACs: for each call a PPP link of our own engine, from the ICCN until IPCP has opened (RFC 1661, RFC 1332).

The control messages are the storm's templates; only what is inside the calls is `l2tpd`'s, for a client of PPP is worth writing once.
"""

import heapq
import struct
from array import array
from collections import Counter
from random import Random
from time import monotonic

from bench import packets
from bench.engine import Address, Engine, Sent
from bench.lac import Lac, Settings, State, Tunnel
from l2tpd.ppp.events import Ipv4Up, LinkDown
from l2tpd.ppp.link import Link
from l2tpd.ppp.settings import Ipv4Settings, LinkSettings

DATA = struct.pack("!H", 0x0002)  # RFC 2661 3.1: a data message without Length, numbers and offset, version 2
LENGTH, NUMBERS, OFFSET = 0x4000, 0x0800, 0x0200
IDS = struct.Struct("!HH")

CLIENT = LinkSettings(echo_interval=0.0, ipv4=Ipv4Settings(accept_local=True, ask_dns=True))
"""Who asks for nothing but an address, and says who it is where it is asked; its Echo-Requests would measure the generator."""


class Subscriber:
    """One call with its PPP."""

    __slots__ = ("address", "began", "link", "session", "started", "tunnel")

    def __init__(self, tunnel: Tunnel, session: int, link: Link) -> None:
        """Begin with a link that waits for its call."""
        self.tunnel = tunnel
        self.session = session
        self.link = link
        self.began = 0.0
        self.started = False
        self.address = ""


class PppEngine(Engine[Tunnel]):
    """An engine that has data messages taken, too."""

    def __init__(self, bind: Address) -> None:
        """Open the socket."""
        super().__init__(bind)
        self.subscribers: PppLac

    def _datagram(self, data: bytes, hit: bytes, sender: Address) -> None:
        if data and data[0] & 0x80:
            super()._datagram(data, hit, sender)
        else:
            self.counts["data"] += 1
            self.subscribers.data(data)


class PppLac(Lac):
    """LACs whose calls have subscribers."""

    def __init__(self, engine: PppEngine, settings: Settings, client: LinkSettings = CLIENT, seed: int = 1) -> None:
        """Take the engine over; each subscriber is a `client`, `seed` makes the magic numbers."""
        super().__init__(engine, settings)
        engine.subscribers = self
        self._client = client
        self.all: dict[tuple[int, int], Subscriber] = {}  # by the ids of our tunnel and session
        self.addresses: set[str] = set()
        self.online = self.redials = 0
        self.endings: Counter[str] = Counter()  # why links went down
        self.ppp_latency = array("d")  # seconds from the ICCN to IPCP Opened
        self._random = Random(seed).randbytes
        self._timers: list[tuple[float, int, Subscriber]] = []
        self._count = 0

    # --- what the engine reports --------------------------------------------------------------------------------------------------

    def _icrp(self, tunnel: Tunnel, session: int, data: bytes) -> None:
        super()._icrp(tunnel, session, data)
        if session in tunnel.sessions and (tunnel.local, session) not in self.all:
            link = Link(self._client, self._random)
            self.all[tunnel.local, session] = subscriber = Subscriber(tunnel, session, link)
            subscriber.began = monotonic()

    def acknowledged(self, sent: Sent[Tunnel]) -> None:
        """Let a subscriber begin whose ICCN has arrived."""
        super().acknowledged(sent)
        if sent.kind == packets.ICCN and (subscriber := self.all.get((sent.link.local, sent.call))) is not None:
            self._start(subscriber)

    def _cdn(self, tunnel: Tunnel, session: int, data: bytes) -> None:
        before = tunnel.sessions.keys() | tunnel.calls.keys()
        super()._cdn(tunnel, session, data)
        for ended in before - (tunnel.sessions.keys() | tunnel.calls.keys()):
            self._redial(tunnel, ended)

    def _redial(self, tunnel: Tunnel, session: int) -> None:
        """Place the call of a subscriber anew, who was cut off and does not leave it at that."""
        self._bury(tunnel, session)
        if tunnel.state == State.UP:
            self.redials += 1
            self.call(tunnel, 1)

    def _bury(self, tunnel: Tunnel, session: int) -> None:
        subscriber = self.all.pop((tunnel.local, session), None)
        if subscriber is not None and subscriber.address:
            self.online -= 1
            self.addresses.discard(subscriber.address)

    def _lose(self, tunnel: Tunnel) -> None:
        """Open a tunnel that was lost anew, with all its calls."""
        lost = tunnel.state in {State.OPENING, State.UP}
        sessions = tunnel.sessions.keys() | tunnel.calls.keys()
        calls = len(sessions) + tunnel.wanted
        super()._lose(tunnel)
        for session in sessions:
            self._bury(tunnel, session)
        if lost:
            self.redials += calls
            self.tunnels.append(self.open(tunnel.slot, calls))

    def data(self, packet: bytes) -> None:
        """Take a data message: the LNS may well begin before it acknowledges the ICCN."""
        tunnel, session, frame = frame_of(packet)
        subscriber = self.all.get((tunnel, session))
        if subscriber is None:
            self.engine.counts["data for nobody"] += 1
            return
        self._start(subscriber)
        subscriber.link.receive_frame(frame, monotonic())
        self._settle(subscriber)

    # --- PPP ----------------------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Place calls, and serve the links whose time has come."""
        self.pump_calls()
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            subscriber = heapq.heappop(self._timers)[2]
            subscriber.link.handle_timer(now)
            self._settle(subscriber)

    def settled(self) -> bool:
        """Tell whether every call that is up has its address, and no other is on its way."""
        return super().settled() and self.online >= len(self.all)

    def _start(self, subscriber: Subscriber) -> None:
        if not subscriber.started:
            subscriber.started = True
            now = monotonic()
            subscriber.link.open(now)
            subscriber.link.lower_up(now)
            self._settle(subscriber)

    def _settle(self, subscriber: Subscriber) -> None:
        """Carry out what a link asks for, and look after its timer."""
        link, tunnel = subscriber.link, subscriber.tunnel
        head = DATA + IDS.pack(tunnel.remote, tunnel.sessions.get(subscriber.session, 0))
        for frame in link.frames_to_send():
            self.engine.transmit(tunnel, head + frame)
        for event in link.take_events():
            if isinstance(event, Ipv4Up):
                self._up(subscriber, event.local)
            elif isinstance(event, LinkDown):
                self.endings[event.cause.message] += 1
                self._hang_up(subscriber)
        if (when := link.next_timer()) is not None:
            self._count += 1
            heapq.heappush(self._timers, (when, self._count, subscriber))

    def _hang_up(self, subscriber: Subscriber) -> None:
        tunnel, session = subscriber.tunnel, subscriber.session
        if tunnel.state == State.UP and session in tunnel.sessions and session not in tunnel.calls:
            self.hang_up(tunnel, session)
            self._redial(tunnel, session)

    def _up(self, subscriber: Subscriber, address: str) -> None:
        self.addresses.discard(subscriber.address)  # of an IPCP that was opened before
        self.online += not subscriber.address
        self.addresses.add(address)
        subscriber.address = address
        self.last = monotonic()
        self.ppp_latency.append(self.last - subscriber.began)


def frame_of(packet: bytes) -> tuple[int, int, bytes]:
    """Take a data message apart: tunnel, session, frame; ids 0 of what is none (RFC 2661 3.1)."""
    at, flags = 2, int.from_bytes(packet[:2], "big")
    at += 2 if flags & LENGTH else 0
    if flags & 0xF != packets.CONTROL & 0xF or len(packet) < at + IDS.size:
        return 0, 0, b""
    tunnel, session = IDS.unpack_from(packet, at)
    at += IDS.size + (4 if flags & NUMBERS else 0)
    if flags & OFFSET:
        at += 2 + int.from_bytes(packet[at : at + 2], "big")
    return tunnel, session, packet[at:]
