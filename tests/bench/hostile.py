"""Hostile datagrams: what strangers may throw at an LNS (RFC 2661), repeatable by seed.

Three origins: a foreign address with the victims' port, a foreign address with another port, and a victim's own address
with another port. None of them may harm a tunnel, whose peer is an address *and* a port.
"""

import random
import struct
from collections import Counter
from collections.abc import Callable, Sequence

from bench import packets
from bench.engine import Engine, Link, open_socket, pktinfo
from bench.lac import Tunnel

FOREIGN = 0x7F400001  # 127.64.0.1
BURST = 64


class Barrage:
    """A source of hostile datagrams at a steady rate."""

    def __init__(
        self, engine: Engine[Tunnel], server: tuple[str, int], rate: float, seed: int, *, foreign: bool = True
    ) -> None:
        """Aim `rate` datagrams a second at `server`; not `foreign` (a remote server): from other ports only."""
        self.fired = self.strange_bytes = self.reflected = 0
        self.kinds: Counter[str] = Counter()
        self._rate = rate
        self._server = server
        self._foreign = foreign
        self._dice = random.Random(seed)
        self._near = engine.sock
        self._far = open_socket(("0.0.0.0", 0))  # noqa: S104  the source address is chosen for each datagram

    def fire(self, elapsed: float, victims: Sequence[Tunnel]) -> None:
        """Send what is due `elapsed` seconds after the start, at most one burst."""
        for _ in range(min(BURST, int(elapsed * self._rate) - self.fired)):
            self._one(victims)
        self._listen()

    def close(self) -> None:
        """Close the second socket."""
        self._far.close()

    def _one(self, victims: Sequence[Tunnel]) -> None:
        dice = self._dice
        victim = dice.choice(victims) if victims else Link(1, self._server, b"")
        name, make = dice.choice(KINDS)
        data = make(dice, victim)
        self.kinds[name] += 1
        self.fired += 1
        origin = dice.randrange(3)
        source = victim.source if origin == 0 else (FOREIGN + dice.randrange(1 << 16)).to_bytes(4, "big")
        sock = self._near if origin == 1 and self._foreign else self._far
        if sock is self._far:
            self.strange_bytes += len(data)
        try:
            sock.sendmsg((data,), [pktinfo(source)] if source and self._foreign else [], 0, self._server)
        except OSError:
            self.kinds["not sent"] += 1

    def _listen(self) -> None:
        """Measure what comes back to the second socket: an amplifier would be a weapon."""
        while True:
            try:
                self.reflected += len(self._far.recv(4096))
            except BlockingIOError:
                return
            except OSError:
                continue


def _addressed(victim: Link, packet: bytearray, ahead: int = 0) -> bytes:
    """Complete a message with the victim's true ids and the Ns that it would use next, as one who listens could."""
    packets.stamp(packet, (victim.ns + ahead) & 0xFFFF, victim.nr)
    return bytes(packet)


def _stop(_dice: random.Random, victim: Link) -> bytes:
    return _addressed(victim, packets.stopccn(victim.remote, victim.local))


def _hang_up(_dice: random.Random, victim: Link) -> bytes:
    session, remote = next(iter(getattr(victim, "sessions", {}).items()), (1, 1))
    return _addressed(victim, packets.cdn(victim.remote, remote, session))


def _forged_ack(dice: random.Random, victim: Link) -> bytes:
    return packets.zlb(victim.remote, victim.ns, (victim.nr + dice.randrange(1, 0x8000)) & 0xFFFF)


def _early(dice: random.Random, victim: Link) -> bytes:
    return _addressed(victim, packets.hello(victim.remote), dice.randrange(1, 0x8000))


def _half_open(dice: random.Random, _victim: Link) -> bytes:
    return bytes(packets.sccrq(dice.randrange(1, 0x10000), dice.randrange(10**packets.HOST_DIGITS)))


def _mutated(dice: random.Random, victim: Link) -> bytes:
    whole = packets.icrq(victim.remote, 9, 9) if dice.random() < 0.5 else packets.sccrq(dice.randrange(1, 0x10000), 1)
    for _ in range(dice.randrange(1, 6)):
        whole[dice.randrange(len(whole))] = dice.randrange(256)
    return bytes(whole)


def _cut(dice: random.Random, victim: Link) -> bytes:
    return _half_open(dice, victim)[: dice.randrange(80)]


def _noise(dice: random.Random, _victim: Link) -> bytes:
    return dice.randbytes(dice.choice((0, 1, 5, 11, 12, 13, 60, 500, 1400)))


def _noisy_body(dice: random.Random, victim: Link) -> bytes:
    body = dice.randbytes(dice.randrange(1, 200))
    return (
        packets.HEADER.pack(packets.CONTROL, 12 + len(body), dice.choice((0, victim.remote)), 0, victim.ns, victim.nr)
        + body
    )


def _unknown_tunnel(dice: random.Random, _victim: Link) -> bytes:
    return bytes(packets.icrq(dice.randrange(1, 0x10000), dice.randrange(1, 0x10000), 1))


def _wrong_version(dice: random.Random, victim: Link) -> bytes:
    data = bytearray(_half_open(dice, victim))
    data[1] = dice.choice((0, 1, 3, 4, 15))
    return bytes(data)


def _opening_with(*extra: bytes) -> Callable[[random.Random, Link], bytes]:
    def make(dice: random.Random, victim: Link) -> bytes:
        data = bytearray(_half_open(dice, victim)) + b"".join(extra)
        packets.U16.pack_into(data, 2, len(data))
        return bytes(data)

    return make


def _data(dice: random.Random, victim: Link) -> bytes:
    return struct.pack("!HHHH", 0x4002, 20, victim.remote, dice.randrange(4)) + dice.randbytes(12)


KINDS: tuple[tuple[str, Callable[[random.Random, Link], bytes]], ...] = (
    ("StopCCN with a victim's ids", _stop),
    ("CDN with a victim's ids", _hang_up),
    ("forged Nr", _forged_ack),
    ("HELLO far ahead", _early),
    ("half-open SCCRQ", _half_open),
    ("mutated message", _mutated),
    ("cut message", _cut),
    ("noise", _noise),
    ("noise behind a good header", _noisy_body),
    ("unknown tunnel", _unknown_tunnel),
    ("wrong version", _wrong_version),
    ("zero AVP length", _opening_with(packets.AVP_HEADER.pack(packets.MANDATORY, 0, 39))),
    ("AVP longer than the message", _opening_with(packets.AVP_HEADER.pack(packets.MANDATORY | 1023, 0, 7))),
    ("unknown mandatory AVP", _opening_with(packets.avp(999, b"x"))),
    ("hidden AVP, no Random Vector", _opening_with(packets.AVP_HEADER.pack(0xC000 | 16, 0, 8) + b"0123456789")),
    ("control characters in Host Name", _opening_with(packets.avp(packets.HOST_NAME, b"\x1b[2J\r\n\0\xff"))),
    ("many AVPs", _opening_with(packets.avp(packets.VENDOR_NAME, b"", mandatory=False) * 200)),
    ("data", _data),
)
