"""The oracle itself: tshark must object to what is wrong, or its silence means nothing."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from interop.capture import Wire, read

HELLO = bytes.fromhex("c802 0014 0001 0000 0002 00038008 0000 0000 0006")


def reading(folder: Path, payload: bytes) -> Wire:
    """Wrap a payload in UDP (port 1701), IPv4 and a capture file, and let tshark read it."""
    udp = struct.pack(">HHHH", 1701, 1701, 8 + len(payload), 0) + payload
    ip = (
        struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
        )
        + udp
    )
    path = folder / "one.pcap"
    path.write_bytes(
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 228) + struct.pack("<IIII", 0, 0, len(ip), len(ip)) + ip
    )
    return read(path)


def test_a_sound_packet_has_no_fault(tmp_path: Path) -> None:
    """A HELLO assembled by hand is read with its ids and blamed for nothing."""
    (packet,) = reading(tmp_path, HELLO).packets
    assert ("HELLO", 1, 0, "") == (packet.message, packet.tunnel_id, packet.session_id, packet.faults)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(HELLO[:16], id="AVP cut off"),
        pytest.param(HELLO[:13] + b"\x03" + HELLO[14:], id="AVP shorter than its header"),
        pytest.param(HELLO[:7], id="header cut off"),
    ],
)
def test_a_bad_packet_is_a_fault(tmp_path: Path, payload: bytes) -> None:
    """Whatever breaks the dissection shows up among the faults."""
    assert reading(tmp_path, payload).faults()
