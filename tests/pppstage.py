"""PPP on stage: one link and a peer that is written by hand, or two links over a bad network. Time is virtual, randomness seeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import attrs

from badnet import FINE, BadNet, End, Weather
from l2tpd.ppp.credentials import mppe_keys, verify
from l2tpd.ppp.events import AddressNeeded, CheckCredentials, EncryptionNeeded, Event, LinkDown
from l2tpd.ppp.frame import build_options, build_packet, parse_frame, parse_options, parse_packet
from l2tpd.ppp.link import Link, Payload, Phase
from l2tpd.ppp.mppe import STRENGTHS
from l2tpd.ppp.numbers import Code, LcpOption, Protocol
from l2tpd.ppp.settings import Grant, Ipv4Settings, Ipv6Settings, LinkSettings

LCP, IPCP, IPV6CP, PAP, CHAP = Protocol.LCP, Protocol.IPCP, Protocol.IPV6CP, Protocol.PAP, Protocol.CHAP
REQUEST, ACK, NAK, REJECT = Code.CONFIGURE_REQUEST, Code.CONFIGURE_ACK, Code.CONFIGURE_NAK, Code.CONFIGURE_REJECT
MAGIC = b"\x11\x22\x33\x44"
"""The magic number of the peer that is written by hand."""

SERVE = Ipv4Settings(local="10.0.0.1", serve=True, dns=("192.0.2.53", "192.0.2.54"))
BARE = LinkSettings(ipv4=None, ipv6=Ipv6Settings(local=b"\0\0\0\0\0\0\0\1"), echo_interval=0)
"""The least that a link can be: nobody authenticates, and only IPv6 is spoken."""


STORM = 5_000
"""Frames after which a pair of links is taken to be in a loop: more than an hour of Echo-Requests."""


class Said(NamedTuple):
    """One packet: protocol, code, identifier, data."""

    protocol: int
    code: int
    identifier: int
    data: bytes

    @property
    def options(self) -> dict[int, bytes]:
        return dict(parse_options(self.data))


def options(*pairs: tuple[int, bytes]) -> bytes:
    return build_options(pairs)


def dice(seed: int = 1) -> Callable[[int], bytes]:
    """A random source that repeats itself from run to run."""
    return random.Random(seed).randbytes


@attrs.define(eq=False)
class Scene:
    """One link, and us in the part of its peer."""

    link: Link
    now: float = 0.0

    def say(self, protocol: int, code: int, identifier: int = 1, data: bytes = b"") -> list[Said]:
        """Say one packet, and return what the link answers."""
        self.frame(b"\xff\x03" + protocol.to_bytes(2, "big") + build_packet(code, identifier, data))
        return self.heard()

    def frame(self, frame: bytes) -> Payload | None:
        return self.link.receive_frame(frame, self.now)

    def in_phase(self, phase: Phase) -> bool:
        return self.link.phase is phase

    def heard(self) -> list[Said]:
        """Return what the link has sent since we last asked."""
        return [Said(protocol, *parse_packet(rest)) for protocol, rest in map(parse_frame, self.link.frames_to_send())]

    def at(self, now: float) -> list[Said]:
        """Let time pass, timer by timer, and return what the link sends meanwhile."""
        while (due := self.link.next_timer()) is not None and due <= now:
            self.now = due
            self.link.handle_timer(due)
        self.now = now
        return self.heard()

    def events(self) -> list[Event]:
        return self.link.take_events()

    def event(self) -> Event:
        """Return the only event that has happened."""
        (event,) = self.link.take_events()
        return event

    def agree(self, protocol: int, data: bytes = b"", identifier: int = 9) -> list[Said]:
        """Grant the link what it asks for, and ask for `data`; return what follows our being granted that."""
        asked = [said for said in self.heard() if said[:2] == (protocol, REQUEST)]
        assert asked, "the link has asked for nothing"
        self.say(protocol, ACK, asked[-1].identifier, asked[-1].data)
        first, *rest = self.say(protocol, REQUEST, identifier, data)
        assert first == (protocol, ACK, identifier, data)
        return rest


def begin(settings: LinkSettings = BARE, seed: int = 1) -> Scene:
    """A link that has just sent its first Configure-Request."""
    scene = Scene(Link(settings, dice(seed)))
    scene.link.open(0.0)
    scene.link.lower_up(0.0)
    return scene


def opened(settings: LinkSettings = BARE, data: bytes | None = None, seed: int = 1) -> tuple[Scene, list[Said]]:
    """A link whose LCP has opened, and what it said upon that; `data` is what we asked for."""
    scene = begin(settings, seed)
    said = scene.agree(LCP, options((LcpOption.MAGIC, MAGIC)) if data is None else data)
    scene.events()
    return scene, said


def network(settings: LinkSettings = BARE) -> tuple[Scene, list[Said]]:
    """A link in phase Network, and the first requests of its NCPs."""
    scene, said = opened(settings)
    assert scene.link.phase is Phase.NETWORK
    return scene, said


@attrs.define(eq=False)
class Player:
    """A link and somebody who answers its questions; events are kept."""

    link: Link
    password: str = "pw"
    address: str = "10.0.0.2"
    told: list[Event] = attrs.field(factory=list)

    def settle(self, now: float) -> None:
        while (event := self.link.next_event()) is not None:
            self.told.append(event)
            if isinstance(event, AddressNeeded):
                self.link.assign_address(self.address, now)
            elif isinstance(event, CheckCredentials):
                self._check(event, now)
            elif isinstance(event, EncryptionNeeded):
                self.link.encryption.agree(STRENGTHS, self.link, now, inside=True)

    def _check(self, event: CheckCredentials, now: float) -> None:
        said = event.credentials
        message = verify(said, self.password)
        if message is None:
            self.link.refuse_credentials(said, b"no", now)
        else:
            keys = mppe_keys(said.kind, said.response, self.password, server=True)
            self.link.accept_credentials(said, Grant(message=message, keys=keys), now)

    def end(self) -> End[bytes]:
        """One end of a bad network."""
        return End(
            receive=self._receive,
            transmit=lambda now: self.link.frames_to_send(),
            handle_timer=self._handle_timer,
            next_timer=self.link.next_timer,
        )

    def _receive(self, frame: bytes, now: float) -> None:
        self.link.receive_frame(frame, now)
        self.settle(now)

    def _handle_timer(self, now: float) -> None:
        self.link.handle_timer(now)
        self.settle(now)

    def of(self, kind: type[Event]) -> Iterator[Event]:
        return (event for event in self.told if isinstance(event, kind))

    @property
    def over(self) -> LinkDown | None:
        return next((event for event in self.told if isinstance(event, LinkDown)), None)


@attrs.define(eq=False)
class Pair:
    """Two links over a path."""

    server: Player
    client: Player
    net: BadNet[bytes]

    @property
    def players(self) -> tuple[Player, Player]:
        return self.server, self.client

    def start(self) -> None:
        for player in self.players:
            player.link.open(self.net.now)
            player.link.lower_up(self.net.now)

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        for player in self.players:
            player.settle(self.net.now)
        self.net.run_until(until, lambda: done() or self._storm())

    def _storm(self) -> bool:
        """Raise when frames breed faster than they die."""
        assert len(self.net.passages) < STORM, "the two links answer each other without end"
        return False

    @property
    def up(self) -> bool:
        return all(player.link.header(Protocol.IPV4) is not None for player in self.players)

    @property
    def finished(self) -> bool:
        return all(player.over is not None for player in self.players)


def pair(server: LinkSettings, client: LinkSettings, weather: Weather = FINE, seed: int = 0) -> Pair:
    """Two links that have begun."""
    players = Player(Link(server, dice(2 * seed + 1))), Player(Link(client, dice(2 * seed + 2)))
    both = Pair(*players, BadNet(players[0].end(), players[1].end(), weather, seed=seed))
    both.start()
    return both
