"""tshark as an oracle: packets into a capture file made by hand, and back what it reads, field by field."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

WARNING = 0x400000  # Wireshark's PI_WARN; PI_ERROR is above it, notes and chats below
UDP = 17
L2TP = 115

Dissection = dict[str, list[str]]
Reader = Callable[[Any], list[str]]


def number(value: int) -> list[str]:
    """Print as tshark does a decimal field."""
    return [str(value)]


def text(value: str) -> list[str]:
    """Print as tshark does a string field."""
    return [value]


def octets(value: bytes) -> list[str]:
    """Print as tshark does a field of octets."""
    return [value.hex()]


def bit(mask: int) -> Reader:
    """Print as tshark does a boolean field."""
    return lambda value: [str(int(value & mask != 0))]


def attribute(name: str) -> Reader:
    """Read one field of a composite value."""
    return lambda value: [str(getattr(value, name))]


class Packet(NamedTuple):
    """What is sent between 10.0.0.1 and 10.0.0.2, over UDP port 1701 or directly over IP."""

    payload: bytes
    back: bool = False
    protocol: int = UDP


def capture(packets: Sequence[Packet]) -> bytes:
    """Give a classic pcap file of raw IPv4 packets."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    for index, packet in enumerate(packets):
        carried = _udp(packet.payload) if packet.protocol == UDP else packet.payload
        octets = _ipv4(index, packet, carried)
        out += struct.pack("<IIII", index, 0, len(octets), len(octets)) + octets
    return out


def _udp(payload: bytes) -> bytes:
    return struct.pack("!HHHH", 1701, 1701, 8 + len(payload), 0) + payload


def _ipv4(index: int, packet: Packet, carried: bytes) -> bytes:
    ends = (b"\x0a\0\0\2", b"\x0a\0\0\1") if packet.back else (b"\x0a\0\0\1", b"\x0a\0\0\2")
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(carried), index, 0, 64, packet.protocol, 0, *ends)
    checksum = 0xFFFF - (sum(struct.unpack("!10H", ip)) % 0xFFFF)
    return b"".join((ip[:10], checksum.to_bytes(2, "big"), ip[12:], carried))


def dissect(packets: Sequence[Packet], fields: Sequence[str], folder: Path, *options: str) -> list[Dissection]:
    """Give the values of the fields in each packet; `options` are preferences, such as l2tp.shared_secret:x."""
    program = shutil.which("tshark")
    assert program is not None, "tshark is not installed: it is the oracle of this test and cannot be done without"
    path = folder / "built.pcap"
    path.write_bytes(capture(packets))
    command = [program, "-n", "-r", str(path), "-T", "fields", "-E", "separator=/t", "-E", "aggregator=|"]
    for option in options:
        command += ["-o", option]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert len(packets) == len(lines)
    return [
        {field: value.split("|") for field, value in zip(fields, line.split("\t"), strict=True) if value}
        for line in lines
    ]


def complaints(seen: Dissection) -> list[str]:
    """Say what tshark has against a packet: its expert messages if one is a warning or worse."""
    bad = "_ws.malformed" in seen or any(int(one) >= WARNING for one in seen.get("_ws.expert.severity", []))
    return seen.get("_ws.expert.message", ["malformed"]) if bad else []
