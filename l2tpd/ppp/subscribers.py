"""Who is behind an address, where many subscribers share one interface. Pure.

The longest prefix decides, as in any routing table. Nearly every subscriber has one address and nothing else, which a dictionary finds at once; for
prefixes there is a dictionary for each length in use, and an address is looked up in each, the longest first.
"""

from __future__ import annotations

import math
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Generic, NamedTuple, TypeVar

from l2tpd.errors import LocalProtocolError

Network = IPv4Network | IPv6Network
Octets = bytes | bytearray | memoryview

T = TypeVar("T")

_SOURCE: Final = {4: slice(12, 16), 6: slice(8, 24)}  # RFC 791 3.1, RFC 8200 3
_DESTINATION: Final = {4: slice(16, 20), 6: slice(24, 40)}
_HEADER: Final = {4: 20, 6: 40}  # octets, the least there are


class _Shape(NamedTuple):
    """A kind of prefix: how many octets its addresses have, and how many bits of them it says."""

    octets: int
    length: int


class Subscribers(Generic[T]):
    """The owners of prefixes, of both versions of IP."""

    def __init__(self) -> None:
        """Begin without any."""
        self._hosts: dict[bytes, T] = {}
        self._networks: dict[_Shape, dict[int, T]] = {}  # by the bits of the prefix
        self._shapes: list[_Shape] = []  # the longest prefixes first

    def add(self, prefix: Network, owner: T) -> None:
        """Give a prefix to an owner. Raises `LocalProtocolError` when it has one."""
        if self._exactly(prefix) is not None:
            raise LocalProtocolError(f"{prefix} is in use by another session")
        if prefix.prefixlen == prefix.max_prefixlen:
            self._hosts[prefix.network_address.packed] = owner
        else:
            self._networks.setdefault(_shape(prefix), {})[_bits(prefix)] = owner
            self._shapes = sorted(self._networks, key=lambda shape: -shape.length)

    def remove(self, prefix: Network, owner: T) -> bool:
        """Take a prefix back and return whether it was the owner's; else nothing happens."""
        if self._exactly(prefix) is not owner:
            return False
        if prefix.prefixlen == prefix.max_prefixlen:
            del self._hosts[prefix.network_address.packed]
        else:
            del self._networks[_shape(prefix)][_bits(prefix)]
        return True

    def owners(self) -> set[T]:
        """Return all who have a prefix."""
        return {*self._hosts.values(), *(owner for table in self._networks.values() for owner in table.values())}

    def find(self, address: bytes) -> T | None:
        """Return whose an address is, which is given as its octets; None: nobody's."""
        owner = self._hosts.get(address)
        return owner if owner is not None or not self._shapes else self._within(address)

    def _within(self, address: bytes) -> T | None:
        number, octets = int.from_bytes(address, "big"), len(address)
        for shape in self._shapes:
            bits = number >> (8 * octets - shape.length) if shape.octets == octets else -1
            if (owner := self._networks[shape].get(bits)) is not None:
                return owner
        return None

    def _exactly(self, prefix: Network) -> T | None:
        if prefix.prefixlen == prefix.max_prefixlen:
            return self._hosts.get(prefix.network_address.packed)
        return self._networks.get(_shape(prefix), {}).get(_bits(prefix))


def source(packet: Octets) -> bytes:
    """Return the address that an IP packet comes from; nothing of what is no packet."""
    return bytes(packet[_SOURCE[packet[0] >> 4]]) if _is_whole(packet) else b""


def destination(packet: Octets) -> bytes:
    """Return the address that an IP packet goes to; nothing of what is no packet."""
    return bytes(packet[_DESTINATION[packet[0] >> 4]]) if _is_whole(packet) else b""


def _is_whole(packet: Octets) -> bool:
    return len(packet) > 0 and len(packet) >= _HEADER.get(packet[0] >> 4, math.inf)


def _shape(prefix: Network) -> _Shape:
    return _Shape(prefix.max_prefixlen // 8, prefix.prefixlen)


def _bits(prefix: Network) -> int:
    return int(prefix.network_address) >> (prefix.max_prefixlen - prefix.prefixlen)
