"""What a subscriber's machine finds at our end of its link over IPv6: a router that advertises itself, and a server of DHCPv6. Pure.

It needs no socket and no address of the system: packets that ask a router for something come to it as they come out of PPP, and its answers go into PPP
as they are. So one session costs the same on every data plane, has neither a task nor a descriptor of its own, and shared interfaces have this as
any other. Whoever owns it hands it packets, calls `handle_timer` at `next_timer`, and sends `packets_to_send` after either.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs

from l2tpd.errors import Malformed
from l2tpd.ppp import advertise, delegation, packet6
from l2tpd.ppp.advertise import Notice, Schedule
from l2tpd.ppp.delegation import Offer
from l2tpd.ppp.packet6 import Packet

_LINK: Final = b"\xfe\x80" + bytes(6)
QUESTIONS: Final = 20  # that are listened to in a second, of any kind: no machine has more
LONGEST_QUESTION: Final = 1500
"""Octets of one: no machine has as much to ask, and an answer is up to three times as long."""


@attrs.frozen(kw_only=True)
class Terms:
    """What one subscriber has of IPv6, what it has not being empty; durations in seconds, the MTU in octets."""

    identifier: bytes  # ours, 8 octets (RFC 5072 4.1)
    mtu: int
    interval: float  # the longest between two advertisements
    lifetime: int  # of prefixes and addresses; half of it, what is new may begin to use them
    prefix: str = ""  # of the link
    delegated: str = ""  # for the networks behind it
    address: str = ""  # by DHCPv6
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()  # domains


class Router:
    """The router at our end of one link."""

    def __init__(self, terms: Terms, duid: bytes, random: Callable[[], float]) -> None:
        """Begin without having said anything; `duid` is the server's name, `random` returns numbers from 0 to 1."""
        self._source = _LINK + terms.identifier
        lives = {"valid": terms.lifetime, "preferred": terms.lifetime // 2}
        self._offer = Offer(prefix=terms.delegated, address=terms.address, dns=terms.dns, search=terms.search, **lives)
        self._notice = Notice(
            interval=terms.interval,
            mtu=terms.mtu,
            prefix=terms.prefix,
            dns=terms.dns,
            search=terms.search,
            managed=bool(terms.address),
            other=bool(self._offer),
            **lives,
        )
        self._mtu = terms.mtu
        self._duid = duid
        self._schedule = Schedule(terms.interval, random)
        self._packets: list[bytes] = []
        self._second = -math.inf  # since when questions are counted
        self._asked = 0
        self.lost = 0
        """Questions that were too many, or too long, to be looked at."""

    @property
    def next_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return self._schedule.next_timer

    def begin(self, now: float) -> None:
        """Advertise from now on."""
        self._schedule.begin(now)
        self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        """Advertise where that is due."""
        for destination in self._schedule.due(now):
            self._packets.append(packet6.icmp(self._source, destination, advertise.advertisement(self._notice)))

    def takes(self, packet: bytes) -> bool:
        """Tell whether a packet is for the router rather than to be forwarded by whoever has the interface.

        Where we have nothing to offer by DHCPv6, its messages are left to a server that may listen on the interface.
        """
        return packet6.asks_router(packet) and (packet[6] == packet6.ICMP or bool(self._offer))

    def receive(self, octets: bytes, now: float) -> bool:
        """Take a packet for which `takes` holds; tell whether it was one that makes sense, and not one of too many, or too long. Never raises."""
        if now >= self._second + 1.0:
            self._second, self._asked = now, 0
        self._asked += 1
        if self._asked > QUESTIONS or len(octets) > LONGEST_QUESTION:
            self.lost += 1
            return False
        try:
            packet = packet6.parse(octets)
            if packet.protocol == packet6.ICMP:
                advertise.check_solicitation(packet)
                self._schedule.solicited(packet.source, now)
            else:
                self._serve(packet)
        except Malformed:
            return False
        return True

    def packets_to_send(self) -> list[bytes]:
        """Return whole packets of IPv6 for the subscriber."""
        packets, self._packets = self._packets, []
        return packets

    def farewell(self) -> bytes:
        """Return the packet that says that there is no router any longer."""
        return packet6.icmp(self._source, packet6.ALL_NODES, advertise.farewell())

    def _serve(self, packet: Packet) -> None:
        if packet.source[:2] != _LINK[:2]:  # RFC 8415 13.1: from the link
            return
        unicast = packet.destination == self._source
        said = delegation.answer(packet6.udp_payload(packet), self._duid, self._offer, unicast=unicast)
        if said:
            answer = packet6.udp(self._source, packet.source, said)
            if len(answer) > self._mtu:
                raise Malformed("asks for more than an answer can hold")
            self._packets.append(answer)
