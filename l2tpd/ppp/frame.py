"""The bytes of PPP as L2TP carries it: no flags, no FCS, no stuffing (RFC 2661 1.0); and the packet that all control protocols share.

Reading is liberal, since no receiver may rely on what the peer compresses while a link is being renegotiated: address and control are skipped
where they stand, and a protocol of one octet is always taken. Writing is exact; what may be left out is for the link to decide.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from l2tpd.errors import Malformed
from l2tpd.ppp.numbers import Protocol

ADDRESS_AND_CONTROL: Final = b"\xff\x03"  # RFC 1662 3.1: All-Stations, Unnumbered Information
_HEAD: Final = struct.Struct("!BBH")
HEAD: Final = _HEAD.size

Options = tuple[tuple[int, bytes], ...]
"""Configuration options in the order in which they stand: number and data."""


class Packet(NamedTuple):
    """One packet of a control or authentication protocol (RFC 1661 5, 1334 2.2, 1994 4)."""

    code: int
    identifier: int
    data: bytes


def parse_frame(frame: bytes) -> tuple[int, bytes]:
    """Split a frame into its protocol number and its information field.

    A number that breaks the rules of RFC 1661 2 is given back as it is: nobody knows such a protocol. Raises `Malformed` when none is there.
    """
    start = 2 if frame.startswith(ADDRESS_AND_CONTROL) else 0
    try:
        first = frame[start]
        if first & 1:  # RFC 1661 6.5: the low bit ends the field
            return first, frame[start + 1 :]
        return first << 8 | frame[start + 1], frame[start + 2 :]
    except IndexError:
        raise Malformed("a frame without a protocol") from None


def frame_header(protocol: int, *, acfc: bool = False, pfc: bool = False) -> bytes:
    """Return what stands before the information field, compressed as far as was agreed (RFC 1661 6.5, 6.6)."""
    short = pfc and protocol < 0x100
    return (b"" if acfc else ADDRESS_AND_CONTROL) + protocol.to_bytes(1 if short else 2, "big")


def _headers(*, acfc: bool, pfc: bool) -> Mapping[int, bytes]:
    rows: dict[int, bytes] = {protocol: frame_header(protocol, acfc=acfc, pfc=pfc) for protocol in Protocol}
    return rows | {Protocol.LCP: frame_header(Protocol.LCP)}  # which is never compressed (RFC 1661 6.5, 6.6)


HEADERS: Final = {(acfc, pfc): _headers(acfc=acfc, pfc=pfc) for acfc in (False, True) for pfc in (False, True)}
"""What stands before the packets of each protocol, by what the peer takes compressed: Address-and-Control, and Protocol fields."""


def parse_packet(octets: bytes) -> Packet:
    """Read a packet; what follows its length is padding (RFC 1661 5). Raises `Malformed`."""
    if len(octets) < HEAD:
        raise Malformed("a packet shorter than its header")
    code, identifier, length = _HEAD.unpack_from(octets)
    if not HEAD <= length <= len(octets):
        raise Malformed("a packet whose length is wrong")
    return Packet(code, identifier, octets[HEAD:length])


def build_packet(code: int, identifier: int, data: bytes) -> bytes:
    """Write a packet."""
    return _HEAD.pack(code, identifier, HEAD + len(data)) + data


def parse_options(octets: bytes) -> Options:
    """Read a list of configuration options (RFC 1661 6). Raises `Malformed` when one runs over the end or is shorter than its header."""
    found: list[tuple[int, bytes]] = []
    at, end = 0, len(octets)
    while at < end:
        if end - at < 2 or not 2 <= octets[at + 1] <= end - at:
            raise Malformed("an option whose length is wrong")
        found.append((octets[at], octets[at + 2 : at + octets[at + 1]]))
        at += octets[at + 1]
    return tuple(found)


def build_options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Write a list of configuration options."""
    return b"".join(bytes((number, len(data) + 2)) + data for number, data in options)
