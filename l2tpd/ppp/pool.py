"""Addresses for subscribers: handed out, given back, and left to rest as long as possible before they are handed out again. Pure.

A pool never lists its addresses: it counts through its ranges once, and then takes whichever address has been back the longest. Both cost the
same for a /30 as for a /8. An address that was in use a moment ago would receive what was meant for its last user; resting the longest keeps
that away from the new one as well as can be without a clock.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Collection, Iterator

from l2tpd.errors import Exhausted

_IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_Span = tuple[_IpAddress, int]
"""First address and count of addresses."""


class AddressPool:
    """The addresses of one `[pool.NAME]`."""

    def __init__(self, ranges: str, reserved: Collection[str] = ()) -> None:
        """Begin with everything free but `reserved`; `ranges` are prefixes or `FIRST-LAST`, separated by commas.

        Of an IPv4 prefix longer than two addresses the first and the last are left out: they are the network's own (RFC 1812 4.2.3.1).
        """
        self.ranges = ranges
        self._spans = [_span(part.strip()) for part in ranges.split(",")]
        self._unused = _count_through(self._spans)
        self._rested: deque[str] = deque()
        self._held: set[str] = set()
        self._reserved = frozenset(reserved)

    @property
    def used(self) -> int:
        """How many addresses are handed out."""
        return len(self._held)

    @property
    def size(self) -> int:
        """How many addresses there are, reserved ones included."""
        return sum(count for _, count in self._spans)

    @property
    def held(self) -> Collection[str]:
        """The addresses that are handed out."""
        return self._held

    def take(self) -> str:
        """Hand out an address: one that was never used, else the one that has rested longest. Raises `Exhausted`."""
        for address in self._unused:
            if address not in self._reserved and address not in self._held:
                break
        else:
            if not self._rested:
                raise Exhausted(f"every address of {self.ranges} is in use")
            address = self._rested.popleft()
        self._held.add(address)
        return address

    def give_back(self, address: str) -> None:
        """Take an address back; nothing happens when it was not handed out."""
        if address in self._held:
            self._held.discard(address)
            if address in self:
                self._rested.append(address)

    def inherit(self, other: AddressPool) -> None:
        """Go on from a pool with other ranges: what it has handed out stays out."""
        self._held.update(other.held)

    def __contains__(self, address: object) -> bool:
        """Tell whether an address lies in the ranges and is free to be handed out."""
        if not isinstance(address, str) or address in self._reserved:
            return False
        ip = ipaddress.ip_address(address)
        return any(ip.version == first.version and 0 <= int(ip) - int(first) < count for first, count in self._spans)


def _span(text: str) -> _Span:
    first, dash, last = text.partition("-")
    if dash:
        low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        return low, int(high) - int(low) + 1
    network = ipaddress.ip_network(text)
    if network.version == 4 and network.num_addresses > 2:
        return network.network_address + 1, network.num_addresses - 2
    return network.network_address, network.num_addresses


def _count_through(spans: list[_Span]) -> Iterator[str]:
    for first, count in spans:
        for offset in range(count):
            yield str(first + offset)
