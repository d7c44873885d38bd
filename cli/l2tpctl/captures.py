"""Find the L2TP datagrams in what `l2tpctl decode` was given: hexadecimal text, a pcap file or a pcapng file.

Reading is total: a packet that is cut short or of another kind is passed over, a file that is no capture is a `CommandError`.
"""

# ruff: noqa: PLC0415 - python-pcapng is optional

from __future__ import annotations

import io
import ipaddress
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from l2tpctl.errors import CommandError

L2TP_PORT = 1701  # RFC 2661 8.1

_PCAP_MAGIC = {  # byte order, seconds per unit of the fraction
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_MAX_PACKET = 1 << 18  # octets; no snapshot is longer

# link type of the capture (https://www.tcpdump.org/linktypes.html): octets before the EtherType, or None where IP begins at once
_ETHERTYPE_AT = {1: 12, 113: 14, 276: 0}
_LINK_LENGTH = {1: 14, 113: 16, 276: 20}
_RAW_IP = frozenset({12, 14, 101, 228, 229})
_LOOPBACK = frozenset({0, 108})  # 4 octets of address family
_VLAN = frozenset({0x8100, 0x88A8})
_IPV4, _IPV6, _UDP, _L2TP = 0x0800, 0x86DD, 17, 115
_DATA_OVER_UDP = b"\x00\x03\x00\x00"  # flags and version, reserved: before the Session ID (RFC 3931 4.1.2.1)
_EXTENSIONS = frozenset({0, 43, 60})  # hop-by-hop, routing, destination options (RFC 8200 4)
_FRAGMENT = 44


class Datagram(NamedTuple):
    """One datagram as it is over UDP: when and between whom, as far as that is known, and its octets."""

    number: int  # of the packet in the capture, from 1; 0 outside a capture
    time: float | None  # seconds since 1970 UTC
    source: str
    destination: str
    octets: bytes


def datagrams(content: bytes, ports: frozenset[int]) -> Iterator[Datagram]:
    """Yield the datagrams of a capture file that come from or go to one of the UDP ports, or run directly over IP."""
    packets = _pcapng(content) if content[:4] == _PCAPNG_MAGIC else _pcap(content)
    for number, (time, link, frame) in enumerate(packets, 1):
        found = _datagram(link, frame, ports)
        if found is not None:
            yield Datagram(number, time, *found)


def read(content: bytes, ports: frozenset[int]) -> list[Datagram]:
    """Return the datagrams of a capture file, or the one written in hexadecimal; raises `CommandError` when there is none."""
    if content[:4] != _PCAPNG_MAGIC and content[:4] not in _PCAP_MAGIC:
        return [Datagram(0, None, "", "", from_hex(content.decode("ascii", "replace")))]
    found = list(datagrams(content, ports))
    if not found:
        raise CommandError("the capture holds no L2TP datagram (--port names other UDP ports than 1701)")
    return found


def from_hex(text: str) -> bytes:
    """Read octets written in hexadecimal, with or without `0x`, blanks, colons; raises `CommandError`."""
    digits = "".join(part.removeprefix("0x") for part in text.replace(":", " ").replace(",", " ").split())
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise CommandError("this is neither a file nor octets in hexadecimal") from None


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _pcap(content: bytes) -> Iterator[tuple[float | None, int, bytes]]:
    """Read a classic capture; stops at a packet that is cut short."""
    order, unit = _PCAP_MAGIC[content[:4]]
    if len(content) < 24:
        raise CommandError("the capture ends within its header")
    (link,) = struct.unpack_from(order + "I", content, 20)
    record = struct.Struct(order + "IIII")
    at = 24
    while at + record.size <= len(content):
        seconds, fraction, kept, _ = record.unpack_from(content, at)
        at += record.size
        if kept > _MAX_PACKET or at + kept > len(content):
            return
        yield seconds + fraction * unit, link & 0xFFFF, content[at : at + kept]
        at += kept


def _pcapng(content: bytes) -> Iterable[tuple[float | None, int, bytes]]:
    """Read a pcapng capture, if the package for it is installed."""
    try:
        from pcapng import FileScanner
        from pcapng.blocks import EnhancedPacket, SimplePacket
        from pcapng.exceptions import PcapngException
    except ImportError:
        raise CommandError(
            "reading pcapng takes the package python-pcapng (pip install 'l2tpd[capture]'); `editcap -F pcap` converts the file"
        ) from None
    try:
        for block in FileScanner(io.BytesIO(content)):
            if isinstance(block, EnhancedPacket | SimplePacket):
                yield getattr(block, "timestamp", None), block.interface.link_type, block.packet_data
    except (PcapngException, ValueError, struct.error, EOFError) as error:
        raise CommandError(f"the capture cannot be read to its end: {error}") from None


def _datagram(link: int, frame: bytes, ports: frozenset[int]) -> tuple[str, str, bytes] | None:
    """Return source, destination and octets of a frame's datagram; None if it holds none of ours, or not the whole of it."""
    try:
        found = _ip(_network(link, frame))
        if found is None:
            return None
        protocol, source, destination, payload = found
        return (_udp if protocol == _UDP else _over_ip)(source, destination, payload, ports)
    except (struct.error, IndexError, ValueError):
        return None


def _udp(source: str, destination: str, payload: bytes, ports: frozenset[int]) -> tuple[str, str, bytes] | None:
    sport, dport, length = struct.unpack_from("!HHH", payload)
    if ports.isdisjoint((sport, dport)):
        return None
    return _join(source, sport), _join(destination, dport), payload[8:length]


def _over_ip(source: str, destination: str, payload: bytes, _ports: frozenset[int]) -> tuple[str, str, bytes]:
    """Put what runs over IP into the form that it has over UDP: Session ID 0 marks a control message there (RFC 3931 4.1.1)."""
    control = struct.unpack_from("!I", payload) == (0,)
    return source, destination, payload[4:] if control else _DATA_OVER_UDP + payload


def _network(link: int, frame: bytes) -> bytes:
    """Return the IP packet of a frame; raises ValueError when there is none."""
    if link in _RAW_IP:
        return frame
    if link in _LOOPBACK:
        return frame[4:]
    if link not in _LINK_LENGTH:
        raise ValueError
    at, start = _ETHERTYPE_AT[link], _LINK_LENGTH[link]
    (kind,) = struct.unpack_from("!H", frame, at)
    while kind in _VLAN:
        (kind,) = struct.unpack_from("!H", frame, start + 2)
        start += 4
    if kind not in {_IPV4, _IPV6}:
        raise ValueError
    return frame[start:]


def _ip(packet: bytes) -> tuple[int, str, str, bytes] | None:
    """Return protocol, source, destination and payload of an IPv4 or IPv6 packet; None for other protocols than ours, and for fragments."""
    if packet[0] >> 4 == 4:
        end, fragment = struct.unpack_from("!H2xH", packet, 2)
        fragment &= 0x3FFF
        protocol, start = packet[9], (packet[0] & 15) * 4
        source, destination = packet[12:16], packet[16:20]
    elif packet[0] >> 4 == 6:
        fragment, protocol, start = 0, packet[6], 40
        end = start + struct.unpack_from("!H", packet, 4)[0]
        source, destination = packet[8:24], packet[24:40]
        while protocol in _EXTENSIONS:
            protocol, start = packet[start], start + 8 + packet[start + 1] * 8
        fragment = protocol == _FRAGMENT
    else:
        return None
    if protocol not in {_UDP, _L2TP} or fragment:
        return None
    return protocol, str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination)), packet[start:end]
