"""Stage `links`: PPP of two ends that talk to each other, while frames between them go wrong and strange ones come.

After each step the books of both links are checked (`Crossing.check`). Some callers do not know the password, and must never come in, whatever becomes
of what they say. A pair that is over is replaced, so that there is always a crowd in all phases.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from random import Random
from typing import Any, Final

import attrs

from badnet import FINE
from fuzz.crash import Crashes, need
from fuzz.mutate import mutated
from l2tpd.errors import Malformed
from l2tpd.ppp.chap import build_value, parse_value
from l2tpd.ppp.describe import describe
from l2tpd.ppp.events import Ipv4Up, Ipv6Up
from l2tpd.ppp.frame import (
    ADDRESS_AND_CONTROL,
    build_options,
    build_packet,
    frame_header,
    parse_frame,
    parse_options,
    parse_packet,
)
from l2tpd.ppp.link import Link, Phase
from l2tpd.ppp.numbers import Auth, Protocol
from l2tpd.ppp.settings import EncryptionSettings, Ipv4Settings, Ipv6Settings, LinkSettings
from pppstage import Player, pair

CROWD: Final = 24
BATCH: Final = 100
LIFE: Final = 300
"""Steps after which a pair is replaced although it lives."""
LONGEST_WAIT: Final = 61.0
"""Seconds after which a link that is not over has something to do: its phases' deadlines, and its Echo-Requests."""
PASSWORD: Final = "correct horse battery"
METHODS: Final = ((), (Auth.PAP,), (Auth.CHAP,), (Auth.MSCHAPV2,), (Auth.MSCHAPV2, Auth.CHAP, Auth.PAP))

SERVER: Final = LinkSettings(
    name="lns",
    ipv4=Ipv4Settings(local="10.0.0.1", serve=True, dns=("192.0.2.53",)),
    ipv6=Ipv6Settings(),
    rechallenge=40.0,
    identification="us",
)
CLIENT: Final = LinkSettings(
    name="host", user="joe", password=PASSWORD, mru=1400, pfc=True, ipv4=Ipv4Settings(ask_dns=True), ipv6=Ipv6Settings()
)
MAINTENANCE: Final = (
    "c021 05050008 62796521",  # Terminate-Request
    "c021 06050004",  # Terminate-Ack
    "c021 07050008 09010004",  # Code-Reject of Echo-Request
    "c021 07050008 01010004",  # ... of Configure-Request
    "c021 08050006 8021",  # Protocol-Reject
    "c021 08050006 c223",
    "c021 09050008 00000000",
    "c021 0a050008 00000000",
    "c021 0b050008 00000000",
    "c021 0c05000a 00000000 6869",  # Identification
    "c021 0d05000c 00000000 00000e10",  # Time-Remaining
    "c021 63050004",
    "8021 05050004",
    "8057 05050004",
    "80fd 0101000a 1206 01000040",  # CCP
    "80fd 0301000a 1206 01000020",
    "80fd 0e010004",  # Reset-Request
    "80fd 0f010004",  # Reset-Ack
    "00fd 9000 0021450000",  # encrypted
    "00fd 9fff 0021450000",
    "c227 01010005 01",  # EAP
    "c025 0102030405060708",  # LQR
    "003d c0000000 c021",  # multilink
    "0021 4500001400004000400100000a0000020a000001",
    "0057 60000000000000ff",
)


@cache
def seeds() -> tuple[bytes, ...]:
    """Return every frame of a call with each kind of login, and what else a link may hear."""
    frames = [ADDRESS_AND_CONTROL + bytes.fromhex(text) for text in MAINTENANCE]
    for place, methods in enumerate(METHODS):
        # Another password than in the crowd: PAP says it aloud, and whoever repeats that may come in.
        both = pair(attrs.evolve(SERVER, require=methods), attrs.evolve(CLIENT, password="pw"), FINE, place)
        both.run(65.0)
        both.client.link.close(both.net.now, "bye")
        both.run(both.net.now + 5.0)
        frames += [passage.packet for passage in both.net.passages]
    return tuple(dict.fromkeys(frames))


def decode_everything(frame: bytes) -> None:
    """Feed one frame to every decoder of PPP. Raises `Breach`, or whatever else escaped from a decoder."""
    line = describe(frame)
    need("\n" not in line and line.isprintable(), "a description that could steer a terminal")
    try:
        protocol, information = parse_frame(frame)
        need(parse_frame(frame_header(protocol) + information) == (protocol, information), "a frame that changes")
        packet = parse_packet(information)
        need(information.startswith(build_packet(*packet)), "a packet that does not survive being built again")
    except Malformed:
        return
    with suppress(Malformed):
        need(build_options(parse_options(packet.data)) == packet.data, "options that do not survive being built again")
    with suppress(Malformed):
        need(build_value(*parse_value(packet.data)) == packet.data, "a value that does not survive being built again")


@attrs.define(eq=False)
class Crossing:
    """Two ends that talk, where `welcome` says whether the caller knows the password; or may do without."""

    dice: Random
    server: Player
    client: Player
    welcome: bool
    required: bool = False  # both ends require encryption
    now: float = 0.0
    posts: dict[int, list[bytes]] = attrs.field(factory=lambda: {0: [], 1: []})  # frames on their way to an end
    old: list[bytes] = attrs.field(factory=list)
    last: bytes = b""

    @property
    def ends(self) -> tuple[Player, Player]:
        return self.server, self.client

    @property
    def over(self) -> bool:
        return all(player.over for player in self.ends)

    def step(self) -> bool:
        """Let one thing happen; tell whether it was a frame."""
        place = self.dice.randrange(2)
        choice = self.dice.random()
        if choice < 0.6 and self.posts[place]:
            self.deliver(place, self.posts[place].pop(0))
        elif choice < 0.75:
            frames = self.old if self.old and self.dice.random() < 0.5 else seeds()
            frame = self.dice.choice(frames)
            self.deliver(place, self.wrong(frame) if self.dice.random() < 0.7 else frame)
        elif choice < 0.99:
            self.pass_time()
            return False
        else:
            self.operate(self.ends[place].link)
            return False
        return True

    def deliver(self, place: int, frame: bytes) -> None:
        """Hand a frame to an end: as it is, twice, wrong, or not at all."""
        choice = self.dice.random()
        if choice < 0.04:
            return
        if choice < 0.12:
            frame = self.wrong(frame)
        self.last = frame
        self.old.append(frame)
        del self.old[:-64]
        decode_everything(frame)
        for _ in range(2 if choice > 0.96 else 1):
            before = self.ends[place].link.peer_mru
            self.ends[place].link.receive_frame(frame, self.now)
            self.settle(place, before)

    def wrong(self, frame: bytes) -> bytes:
        """Change a frame; mostly so that its lengths are right, or nobody would look at the rest."""
        changed = bytearray(mutated(frame, self.dice, repair=0.0))
        if self.dice.random() < 0.7 and len(changed) >= 8:
            at = 4 if changed[:2] == ADDRESS_AND_CONTROL else 2
            changed[at + 2 : at + 4] = min(len(changed) - at, 0xFFFF).to_bytes(2, "big")
        return bytes(changed)

    def pass_time(self) -> None:
        """Let the next timer run out, or a moment pass."""
        timers = [when for player in self.ends if (when := player.link.next_timer()) is not None]
        wait = self.dice.choice((0.001, 0.05, 0.5)) if self.dice.random() < 0.8 or not timers else 0.0
        self.now = self.now + wait if wait else max(self.now, min(timers))
        for place, player in enumerate(self.ends):
            before = player.link.peer_mru
            player.link.handle_timer(self.now)
            self.settle(place, before)

    def operate(self, link: Link) -> None:
        """Have somebody end a link, politely or not."""
        if self.dice.random() < 0.7:
            link.close(self.now, "operator")
        else:
            link.lower_down(self.now)
        for place, player in enumerate(self.ends):
            self.settle(place, player.link.peer_mru)

    def settle(self, place: int, before: int) -> None:
        """Answer what a link asks, take what it sends, and look at its books; `before` is the MRU of its peer until now."""
        player = self.ends[place]
        player.settle(self.now)
        largest = max(before, player.link.peer_mru, 1500)
        for frame in player.link.frames_to_send():
            need(len(frame) <= largest + 4, "a frame larger than the peer takes")
            need(parse_frame(frame)[0] in _OURS, "a frame of a protocol that we do not speak")
            self.posts[1 - place].append(frame)
        self.check(player)

    def check(self, player: Player) -> None:
        """Fail unless the books of a link agree."""
        link = player.link
        due = link.next_timer()
        if link.cause is not None:
            need(link.phase is Phase.DEAD and due is None, "a link that lives after its end")
        else:
            # RFC 1661 4.3, RXJ+: a peer that does not know Echo-Requests gets none, and packets are all that tells whether it is there.
            quiet = bool(link.encryption.passing) or any(link.header(protocol) is not None for protocol in _NETWORKS)
            need(quiet if due is None else due <= self.now + LONGEST_WAIT, "a link that waits for ever")
        for protocol in _NETWORKS:
            need(link.header(protocol) is None or link.phase is Phase.NETWORK, "packets that pass in another phase")
            need(link.header(protocol) is None or not link.encryption.on, "packets that should be encrypted")
            need(link.header(protocol) is None or not self.required, "packets that must be encrypted")
        ups = [event for event in player.told if isinstance(event, Ipv4Up | Ipv6Up)]
        if player is self.server and not self.welcome:
            need(link.phase is not Phase.NETWORK and not ups, "a stranger who came in")
        for event in ups:
            wrong = player is self.server and isinstance(event, Ipv4Up) and event.peer != "10.0.0.2"
            need(not wrong, "an address that nobody gave")


_NETWORKS: Final = (Protocol.IPV4, Protocol.IPV6)
_OURS: Final = {Protocol.LCP, Protocol.IPCP, Protocol.IPV6CP, Protocol.CCP, Protocol.PAP, Protocol.CHAP}
_SECRECY: Final = (
    None,
    None,
    EncryptionSettings(),
    EncryptionSettings(required=True),
    EncryptionSettings(stateful=True),
)


def crossing(dice: Random) -> Crossing:
    """Return a pair that has just begun."""
    methods = dice.choice(METHODS)
    knows = not methods or dice.random() < 0.7
    ours = PASSWORD if Auth.PAP not in methods else "another"  # PAP says it aloud, and whoever repeats that may come in
    mutual: dict[str, Any] = {"user": "lns", "password": ours} if dice.random() < 0.2 else {}
    caller = attrs.evolve(CLIENT, password=PASSWORD if knows else "a guess", require=methods if mutual else ())
    secrecy = dice.choice(_SECRECY)
    server = attrs.evolve(SERVER, require=methods, encryption=secrecy, **mutual)
    made = Crossing(
        dice,
        Player(Link(server, dice.randbytes), PASSWORD),
        Player(Link(attrs.evolve(caller, encryption=secrecy), dice.randbytes), ours),
        knows,
        secrecy is not None and secrecy.required,
    )
    for place, player in enumerate(made.ends):
        player.link.open(0.0)
        player.link.lower_up(0.0)
        made.settle(place, 1500)
    return made


def run(dice: Random, crashes: Crashes, *, datagrams: int, until: float) -> int:
    """Deliver so many frames, or until the time is over; return how many there were."""
    crowd = [crossing(dice) for _ in range(CROWD)]
    ages = [dice.randrange(LIFE) for _ in crowd]
    count = steps = 0
    while count < datagrams and (steps % BATCH or time.monotonic() < until):
        steps += 1
        place = dice.randrange(CROWD)
        made = crowd[place]
        ages[place] += 1
        failed = False
        try:
            count += made.step()
        except Exception as error:  # noqa: BLE001 - that nothing escapes is what is tested
            crashes.note(f"links-{made.server.link.phase.value}", error, made.last)
            failed = True
        if failed or made.over or ages[place] > LIFE:
            crowd[place], ages[place] = crossing(dice), 0
    return count


def play(frame: bytes, seed: int = 1) -> None:
    """Give one frame to both ends of a pair at every moment of a call. Raises whatever goes wrong."""
    decode_everything(frame)
    for moment in range(0, 40, 3):
        made = crossing(Random(seed))
        made.dice = Random(0)
        for _ in range(moment):
            for place in (0, 1):
                if made.posts[place]:
                    made.ends[place].link.receive_frame(made.posts[place].pop(0), made.now)
                    made.settle(place, 1500)
        for place in (0, 1):
            made.ends[place].link.receive_frame(frame, made.now)
            made.settle(place, 65535)
        for player in made.ends:
            player.link.close(made.now)
        for _ in range(200):
            if made.over:
                break
            made.pass_time()
