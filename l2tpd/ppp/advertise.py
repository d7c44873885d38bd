"""Router Advertisements to one subscriber: what they say, and when they are sent (RFC 4861 4.2, 6.2; RFC 8106). Pure; time comes in seconds.

The link has one other end, so an advertisement is a matter between the two: the prefix in it is this subscriber's alone. It is not called on-link (the
L flag is clear): there are no neighbours on such a link, whatever address they claim, and everything goes to the router.

Unsolicited ones go out three times at the beginning, and then at random moments of the interval. A solicitation is answered to whoever sent it after
a random part of half a second; another one within three seconds has to wait until these have passed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from typing import Final

import attrs

from l2tpd.errors import Malformed
from l2tpd.ppp import dhcp6, packet6
from l2tpd.ppp.packet6 import Packet

_INITIAL: Final = 3  # RFC 4861 10: MAX_INITIAL_RTR_ADVERTISEMENTS
_INITIAL_INTERVAL: Final = 16.0  # seconds, MAX_INITIAL_RTR_ADVERT_INTERVAL
_BETWEEN: Final = 3.0  # MIN_DELAY_BETWEEN_RAS
_DELAY: Final = 0.5  # MAX_RA_DELAY_TIME
_LEAST_OF_INTERVAL: Final = 0.33  # of the longest, and the whole of one below 9 seconds, RFC 4861 6.2.1
_SHORT: Final = 9.0
_LIFETIMES: Final = 3  # of the interval: AdvDefaultLifetime of 6.2.1, and RFC 8106 5.1
_LONGEST: Final = 9000  # seconds that a router may be a default router for (6.2.1)
_HOPS: Final = 64  # that the subscriber's packets begin with
_MANAGED, _OTHER, _AUTONOMOUS = 0x80, 0x40, 0x40  # flags: M and O of the advertisement, A of a prefix
_AUTONOMOUS_LENGTH: Final = 64  # of a prefix, for an address to be made of it (RFC 4862 5.5.3)
_KIND: Final = 134
_HEAD: Final = struct.Struct("!BBHBBHII")  # type, code, checksum, hop limit, flags, router lifetime, two timers
_PREFIX: Final = struct.Struct("!BBBBIII16s")  # type 3, length 4, RFC 4861 4.6.2
_MTU: Final = struct.Struct("!BBHI")  # type 5, length 1, 4.6.4
_RDNSS: Final = struct.Struct("!BBHI")  # type 25, length 1 + 2n, RFC 8106 5.1
_DNSSL: Final = struct.Struct("!BBHI")  # type 31, length in units of 8 octets, RFC 8106 5.2


@attrs.frozen(kw_only=True)
class Notice:
    """What an advertisement says; durations in seconds, the MTU in octets, what is not to be said empty."""

    interval: float
    mtu: int
    prefix: str = ""
    valid: int = 0  # how long addresses of the prefix may be used
    preferred: int = 0  # ... for something new
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()  # domains
    managed: bool = False  # DHCPv6 has an address
    other: bool = False  # DHCPv6 has something else

    @property
    def lifetime(self) -> int:
        """For how long the router stays the subscriber's."""
        return min(math.ceil(_LIFETIMES * self.interval), _LONGEST)


def advertisement(notice: Notice) -> bytes:
    """Return the message of ICMPv6, its checksum as zeros."""
    flags = notice.managed * _MANAGED | (notice.managed or notice.other) * _OTHER
    said = _head(flags, notice.lifetime) + _MTU.pack(5, 1, 0, notice.mtu)
    if notice.prefix:
        network = IPv6Network(notice.prefix)
        length = network.prefixlen
        flags = _AUTONOMOUS if length == _AUTONOMOUS_LENGTH else 0
        address = network.network_address.packed
        said += _PREFIX.pack(3, 4, length, flags, notice.valid, notice.preferred, 0, address)
    if notice.dns:
        servers = b"".join(IPv6Address(server).packed for server in notice.dns)
        said += _RDNSS.pack(25, 1 + 2 * len(notice.dns), 0, notice.lifetime) + servers
    if notice.search:
        names = dhcp6.domains(notice.search)
        names += bytes(-len(names) % 8)
        said += _DNSSL.pack(31, 1 + len(names) // 8, 0, notice.lifetime) + names
    return said


def farewell() -> bytes:
    """Return the message that says that there is no router any longer (RFC 4861 6.2.5)."""
    return _head(0, 0)


def _head(flags: int, lifetime: int) -> bytes:
    return _HEAD.pack(_KIND, 0, 0, _HOPS, flags, lifetime, 0, 0)


def check_solicitation(packet: Packet) -> None:
    """Raise `Malformed` unless this is a Router Solicitation as RFC 4861 6.1.1 wants it."""
    if packet.hops != 255:
        raise Malformed("a Router Solicitation comes from beyond the link")
    if packet.payload[1] != 0:
        raise Malformed("a Router Solicitation has a code")
    place = 8
    while place < len(packet.payload):
        length = 8 * packet.payload[place + 1] if place + 1 < len(packet.payload) else 0
        if not 0 < length <= len(packet.payload) - place:
            raise Malformed("an option of a Router Solicitation has a wrong length")
        place += length


@attrs.define(eq=False)
class Schedule:
    """When to advertise. `random` returns numbers from 0 to 1."""

    _interval: float
    _random: Callable[[], float]
    _next: float = math.inf  # for all
    _left: int = _INITIAL  # of those at the beginning, after which the interval is the whole one
    _answer: float = math.inf  # for who has asked
    _to: bytes = packet6.ALL_NODES
    _answered: float = -math.inf

    def begin(self, now: float) -> None:
        """Send the first one now."""
        self._next, self._left = now, _INITIAL

    def solicited(self, source: bytes, now: float) -> None:
        """Answer, soon."""
        self._to = source if any(source) else packet6.ALL_NODES
        if self._answer == math.inf:
            self._answer = max(now + _DELAY * self._random(), self._answered + _BETWEEN)

    @property
    def next_timer(self) -> float:
        """When `due` is to be asked."""
        return min(self._next, self._answer)

    def due(self, now: float) -> list[bytes]:
        """Return to whom an advertisement goes now."""
        to: list[bytes] = []
        if self._answer <= now:
            to.append(self._to)
            self._answer, self._answered = math.inf, now
        if self._next <= now:
            to.append(packet6.ALL_NODES)
            self._left = max(self._left - 1, 0)
            least = _LEAST_OF_INTERVAL if self._interval >= _SHORT else 1.0
            pause = self._interval * (least + (1 - least) * self._random())
            self._next = now + (min(pause, _INITIAL_INTERVAL) if self._left else pause)
        return to
