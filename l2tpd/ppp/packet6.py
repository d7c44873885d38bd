"""Packets of IPv6 by which a subscriber's machine asks its router for what it needs: Router Solicitations and DHCPv6 (RFC 4443, 4861, 8415). Pure.

Addresses are their 16 octets. Extension headers are not looked behind: neither protocol has a use for them on its way to the next router.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from l2tpd.errors import Malformed

ALL_NODES: Final = b"\xff\x02" + bytes(13) + b"\x01"  # RFC 4291 2.7.1
SERVER_PORT: Final = 547  # RFC 8415 7.2
CLIENT_PORT: Final = 546
ICMP: Final = 58  # RFC 4443 1
UDP: Final = 17
SOLICITATION: Final = 133  # RFC 4861 4.1
_HEADER: Final = struct.Struct("!IHBB16s16s")  # RFC 8200 3
_UDP: Final = struct.Struct("!HHHH")  # RFC 768
_VERSION: Final = 6 << 28
_HOPS: Final = 255  # RFC 4861 3.1: proof that nobody beyond the link has sent it
_LEAST: Final = _HEADER.size + 8  # octets of either
_PORT: Final = SERVER_PORT.to_bytes(2, "big")


class Packet(NamedTuple):
    """A packet; `payload` is what stands behind the header of IPv6, the checksum in it is right."""

    source: bytes
    destination: bytes
    protocol: int
    hops: int
    payload: bytes


def asks_router(packet: bytes | memoryview) -> bool:
    """Tell whether a packet asks the router on the link for something, rather than to be forwarded; it may well be malformed."""
    if len(packet) < _LEAST or not is_link_scope(packet[24:26]):
        return False
    if packet[6] == ICMP:
        return packet[_HEADER.size] == SOLICITATION
    return packet[6] == UDP and packet[_HEADER.size + 2 : _HEADER.size + 4] == _PORT


def is_link_scope(address: bytes | memoryview) -> bool:
    """Tell whether an address is a link-local one, or of a group on the link (RFC 4291 2.5.6, 2.7)."""
    return (address[0] == 0xFE and address[1] & 0xC0 == 0x80) or (address[0] == 0xFF and address[1] & 0x0F == 2)


def parse(octets: bytes) -> Packet:
    """Read a packet. Raises `Malformed`."""
    if len(octets) < _LEAST:
        raise Malformed("is no packet of IPv6")
    start, size, protocol, hops, source, destination = _HEADER.unpack_from(octets)
    payload = octets[_HEADER.size : _HEADER.size + size]
    if start >> 28 != 6 or not 8 <= size == len(payload):
        raise Malformed("is not the packet of IPv6 that its header says")
    if _sum(source, destination, protocol, payload):
        raise Malformed("has a wrong checksum")
    return Packet(source, destination, protocol, hops, payload)


def icmp(source: bytes, destination: bytes, message: bytes) -> bytes:
    """Return a packet with a message of ICMPv6, whose checksum stands as zeros (RFC 4443 2.3)."""
    return _packet(source, destination, ICMP, message, 2)


def udp(source: bytes, destination: bytes, payload: bytes) -> bytes:
    """Return a packet from the server's port to the client's."""
    header = _UDP.pack(SERVER_PORT, CLIENT_PORT, _UDP.size + len(payload), 0)
    return _packet(source, destination, UDP, header + payload, 6)


def udp_payload(packet: Packet) -> bytes:
    """Return what a packet of UDP carries. Raises `Malformed`."""
    size = _UDP.unpack_from(packet.payload)[2]
    if not _UDP.size <= size <= len(packet.payload):
        raise Malformed("is not the packet of UDP that its header says")
    return packet.payload[_UDP.size : size]


def _packet(source: bytes, destination: bytes, protocol: int, payload: bytes, place: int) -> bytes:
    """Write the checksum at its place: never as zero, which UDP keeps for "none" (RFC 8200 8.1)."""
    checksum = 0xFFFF - _sum(source, destination, protocol, payload)
    whole = payload[:place] + checksum.to_bytes(2, "big") + payload[place + 2 :]
    return _HEADER.pack(_VERSION, len(whole), protocol, _HOPS, source, destination) + whole


def _sum(source: bytes, destination: bytes, protocol: int, payload: bytes) -> int:
    """Add up words with the pseudo-header (RFC 8200 8.1): in one's complement that is the remainder of the whole as a number."""
    padded = payload + b"\0" * (len(payload) % 2)
    pseudo = source + destination + struct.pack("!II", len(payload), protocol)
    return int.from_bytes(pseudo + padded, "big") % 0xFFFF
