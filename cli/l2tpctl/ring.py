"""Captured control messages as pcapng files: one file, or a ring of them.

The daemon tells messages, not packets. The IP and UDP headers that a reader of captures expects around them are made here, of the addresses that
the daemon tells: as small as they can be, with right lengths and checksums. Each packet is written out at once, so the file is whole whenever
somebody reads it, or we end.
"""

# ruff: noqa: PLC0415 - python-pcapng is optional

from __future__ import annotations

import io
import ipaddress
import os
import platform
import stat
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from l2tpctl.errors import CommandError
from l2tpd.control.jsonrpc import Json

RAW_IP = 101  # LINKTYPE_RAW, https://www.tcpdump.org/linktypes.html
UDP, L2TP = 17, 115  # IANA, protocol numbers
_HOPS = 64
_DONT_FRAGMENT = 0x4000
_OVER_IP = bytes(4)  # what stands before a control message over IP (RFC 3931 4.1.1.2)
_DIRECTIONS = {"in": 1, "out": 2}  # of epb_flags, draft-ietf-opsawg-pcapng 4.3.1
_LAST = 1 << 44  # seconds; in microseconds, 64 bits hold them (4.3)
_MOST_LOST = (1 << 64) - 1
_MAX_COMMENT = 65000  # octets; an option of pcapng has 65535

STDOUT = Path("-")

Host = ipaddress.IPv4Address | ipaddress.IPv6Address


class Ring:
    """Where captured messages go: `path`, or with `size` a row of files of about so many octets, or with `count` too a ring of so many.

    The names are those of tcpdump: `FILE`, `FILE1`, `FILE2` ...; in a ring `FILE0` to `FILE9`, or with as many digits as it takes. The path `-` is
    standard output. Methods raise `OSError`, `__init__` raises `CommandError` too.
    """

    def __init__(self, path: Path, version: str, *, size: int = 0, count: int = 0) -> None:
        self._path, self._size, self._count = path, size, count
        self._number = 0
        self._begin = _sections(version)
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, message: Mapping[str, Json], lost: int = 0) -> None:
        """Write the params of a `message` notification down, before which so many were lost."""
        if self._size and self._written >= self._size:
            self._file.close()
            self._number = (self._number + 1) % self._count if self._count else self._number + 1
            self._open()
        self._put(self._packet(message, lost))

    def _open(self) -> None:
        """Begin with the next file."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        # What is captured is for nobody else's eyes.
        number = os.dup(1) if self._path == STDOUT else os.open(self._name(), flags, 0o600)
        self._file, self._written = os.fdopen(number, "wb", buffering=0), 0
        if self._path != STDOUT and stat.S_ISREG(
            os.fstat(number).st_mode
        ):  # one that was there keeps its mode, and a device must
            os.fchmod(number, 0o600)
        head, self._packet = self._begin()
        try:
            self._put(head)
        except OSError:
            self._file.close()
            raise

    def _name(self) -> str:
        if self._count:
            return f"{self._path}{self._number:0{len(str(self._count - 1))}}"
        return f"{self._path}{self._number or ''}"

    def _put(self, octets: bytes) -> None:
        self._written += len(octets)
        while octets:  # a signal may cut a write short
            octets = octets[self._file.write(octets) :]


Packets = Callable[[Mapping[str, Json], int], bytes]


def _sections(version: str) -> Callable[[], tuple[bytes, Packets]]:
    """Return what begins a section: it gives its first blocks, and a function that makes the block of each message."""
    try:
        from pcapng import FileWriter, blocks
    except ImportError:
        raise CommandError("writing pcapng takes the package python-pcapng (pip install 'l2tpd[capture]')") from None

    def begin() -> tuple[bytes, Packets]:
        out = io.BytesIO()
        section = blocks.SectionHeader(
            options={
                "shb_hardware": platform.machine(),
                "shb_os": platform.platform(),
                "shb_userappl": f"l2tpd {version}",
            }
        )
        section.new_member(
            blocks.InterfaceDescription,
            link_type=RAW_IP,
            options={"if_name": "l2tpd", "if_description": "L2TP control messages; the IP and UDP headers are made up"},
        )
        writer = FileWriter(out, section)

        def make(message: Mapping[str, Json], lost: int) -> bytes:
            block = section.new_member(blocks.EnhancedPacket)
            _fill(block, message, lost)
            writer.write_block(block)
            return _taken(out)

        return _taken(out), make

    return begin


def _taken(out: io.BytesIO) -> bytes:
    """Empty a buffer; returns what was in it."""
    octets = out.getvalue()
    out.seek(0)
    out.truncate()
    return octets


def _fill(block: Any, message: Mapping[str, Json], lost: int) -> None:
    """Make a block of a message: microseconds since 1970, the packet, direction, what was lost before it, and our description."""
    at = message.get("time")
    stamp = round(at * 1_000_000) if isinstance(at, (int, float)) and 0 <= at < _LAST else 0
    block.timestamp_high, block.timestamp_low = stamp >> 32, stamp & 0xFFFFFFFF
    block.packet_data = packet(message)
    block.options["opt_comment"] = _comment(message)
    block.options["epb_flags"] = _DIRECTIONS.get(str(message.get("direction")), 0)
    if lost > 0:
        block.options["epb_dropcount"] = min(lost, _MOST_LOST)


def _comment(message: Mapping[str, Json]) -> str:
    number, name = message.get("tunnel_id"), message.get("name")
    tunnel = f"tunnel @{number}" + (f" {name}" if name else "") if number else "no tunnel"
    octets = f"{tunnel}\n{message.get('text')}".encode("utf-8", "replace")
    return octets[:_MAX_COMMENT].decode("utf-8", "ignore")


# --- packets


def packet(message: Mapping[str, Json]) -> bytes:
    """Return a message as the IP packet that may have carried it; raises `CommandError` when that cannot be."""
    try:
        source, sport = _place(str(message.get("source")))
        destination, dport = _place(str(message.get("destination")))
        octets = bytes.fromhex(str(message.get("octets")))
        if message.get("encap") == "ip":
            return _ip(source, destination, L2TP, _OVER_IP + octets)
        return _ip(source, destination, UDP, _udp(source, destination, (sport, dport), octets))
    except (ValueError, struct.error) as error:  # the latter of a port or a length that has no place in its header
        raise CommandError(f"l2tpd told a message that cannot be read: {error}") from None


def _place(text: str) -> tuple[Host, int]:
    """Read `192.0.2.1:1701`, `[2001:db8::1]:1701`, or the same without a port; raises ValueError."""
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, "0"
    return ipaddress.ip_address(host.strip("[]").partition("%")[0]), int(port)


def _udp(source: Host, destination: Host, ports: tuple[int, int], octets: bytes) -> bytes:
    length = 8 + len(octets)
    pseudo = source.packed + destination.packed + struct.pack("!HH", UDP, length)  # RFC 768, RFC 8200 8.1: summed alike
    head = struct.pack("!HHH", *ports, length)
    return head + (_checksum(pseudo + head + octets) or 0xFFFF).to_bytes(2, "big") + octets


def _ip(source: Host, destination: Host, protocol: int, carried: bytes) -> bytes:
    if source.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(carried), protocol, _HOPS)
        return head + source.packed + destination.packed + carried
    length = 20 + len(carried)
    head = struct.pack("!BBHHHBB", 0x45, 0, length, 0, _DONT_FRAGMENT, _HOPS, protocol)
    ends = source.packed + destination.packed
    return head + _checksum(head + ends).to_bytes(2, "big") + ends + carried


def _checksum(octets: bytes) -> int:
    """Return the checksum of RFC 1071 over octets, padded to whole words."""
    padded = octets + bytes(len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
