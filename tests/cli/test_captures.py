"""Captures: L2TP is found under every link type, and what is broken is passed over."""

import io
import struct
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pcapng import FileWriter, blocks

from l2tpctl.captures import L2TP_PORT, Datagram, datagrams, from_hex, read
from l2tpctl.errors import CommandError

PORTS = frozenset({L2TP_PORT})
PAYLOAD = b"\xc8\x02\x00\x0c\x00\x07\x00\x00\x00\x01\x00\x02"


def udp(payload: bytes = PAYLOAD, source: int = 1701, destination: int = 40000) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload


def ipv4(body: bytes, protocol: int = 17, fragment: int = 0) -> bytes:
    fixed = struct.pack("!BBHHHBBH", 0x46, 0, 24 + len(body), 1, fragment, 64, protocol, 0)
    return fixed + bytes([192, 0, 2, 1, 198, 51, 100, 7]) + b"\x01\x01\x01\x01" + body


def ipv6(body: bytes, following: int = 17) -> bytes:
    addresses = bytes.fromhex("20010db8" + "00" * 11 + "01" + "20010db8" + "00" * 11 + "02")
    return struct.pack("!IHBB", 6 << 28, len(body), following, 64) + addresses + body


def pcap(link: int, *frames: bytes, order: str = "<", magic: int = 0xA1B2C3D4, fraction: int = 250_000) -> bytes:
    head = struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65535, link)
    return head + b"".join(struct.pack(order + "IIII", 1000, fraction, len(f), len(f)) + f for f in frames)


MACS = b"\x02" * 12
LINKS = [
    pytest.param(1, MACS + b"\x08\x00", ipv4, id="ethernet"),
    pytest.param(1, MACS + b"\x86\xdd", ipv6, id="ethernet-ipv6"),
    pytest.param(1, MACS + b"\x81\x00\x00\x07\x08\x00", ipv4, id="vlan"),
    pytest.param(1, MACS + b"\x88\xa8\x00\x07\x81\x00\x00\x08\x86\xdd", ipv6, id="two vlans"),
    pytest.param(113, b"\x00" * 14 + b"\x08\x00", ipv4, id="cooked"),
    pytest.param(276, b"\x86\xdd" + b"\x00" * 18, ipv6, id="cooked-2"),
    pytest.param(101, b"", ipv4, id="raw"),
    pytest.param(228, b"", ipv4, id="raw-ipv4"),
    pytest.param(229, b"", ipv6, id="raw-ipv6"),
    pytest.param(0, b"\x02\x00\x00\x00", ipv4, id="loopback"),
]


@pytest.mark.parametrize(("link", "before", "ip"), LINKS)
def test_datagrams_are_found_under_every_link_type(link: int, before: bytes, ip: type[bytes]) -> None:
    """With their number, time, addresses and octets; padding behind them is no part."""
    (found,) = read(pcap(link, before + ip(udp()) + b"\x00" * 6), PORTS)
    v4 = ip is ipv4
    source, destination = (
        ("192.0.2.1:1701", "198.51.100.7:40000") if v4 else ("[2001:db8::1]:1701", "[2001:db8::2]:40000")
    )
    assert Datagram(1, 1000.25, source, destination, PAYLOAD) == found


@pytest.mark.parametrize(
    ("order", "magic", "fraction"),
    [
        ("<", 0xA1B2C3D4, 250_000),
        (">", 0xA1B2C3D4, 250_000),
        ("<", 0xA1B23C4D, 250_000_000),
        (">", 0xA1B23C4D, 250_000_000),
    ],
)
def test_both_byte_orders_and_resolutions_are_read(order: str, magic: int, fraction: int) -> None:
    """Micro- and nanoseconds."""
    (found,) = read(pcap(101, ipv4(udp()), order=order, magic=magic, fraction=fraction), PORTS)
    assert 1000.25 == found.time


def test_other_ports_are_passed_over_unless_they_are_named() -> None:
    """The packet's number counts those that were passed over."""
    content = pcap(
        101, ipv4(udp(source=53)), ipv4(udp(source=53, destination=1701)), ipv4(udp(source=5000, destination=6000))
    )
    assert [2] == [found.number for found in datagrams(content, PORTS)]
    assert [3] == [found.number for found in datagrams(content, frozenset({6000}))]


def test_extension_headers_are_stepped_over_and_fragments_left() -> None:
    """A hop-by-hop header before UDP does no harm; a fragment is no datagram."""
    hop = bytes([17, 0]) + b"\x01\x04\x00\x00\x00\x00"
    fragment = bytes([17, 0, 0, 1, 0, 0, 0, 1])
    content = pcap(
        101,
        ipv6(hop + udp(), following=0),
        ipv6(fragment + udp(), following=44),
        ipv4(udp(), fragment=0x2000),
        ipv4(udp(), fragment=0x00B9),
        ipv4(udp(), protocol=6),
        b"\x55" + b"\x00" * 60,
        MACS,
    )
    assert [1] == [found.number for found in datagrams(content, PORTS)]


@pytest.mark.parametrize("ip", [ipv4, ipv6])
def test_l2tp_over_ip_is_read_as_over_udp(ip: Callable[[bytes, int], bytes]) -> None:
    """Control messages without the zero before them, data with the header that it would have; what pads a short frame is left out."""
    control, data = b"\x00" * 4 + b"\xc8\x03" + PAYLOAD[2:], b"\x00\x00\x10\x01" + b"\xff\x03"
    frames = [ip(payload, 115) for payload in (control, data)]
    found = list(datagrams(pcap(101, *(frame + b"padding" for frame in frames)), PORTS))
    assert [control[4:], b"\x00\x03\x00\x00" + data] == [datagram.octets for datagram in found]
    assert all(":1701" not in datagram.source for datagram in found)
    assert [] == list(datagrams(pcap(101, ip(b"\x00" * 3, 115)), PORTS))


def test_a_capture_that_ends_within_a_packet_gives_those_before() -> None:
    """As a capture does that is still being written."""
    content = pcap(101, ipv4(udp()), ipv4(udp()))
    assert [1] == [found.number for found in datagrams(content[:-3], PORTS)]


def test_a_capture_without_l2tp_is_told() -> None:
    """And how to name other ports."""
    with pytest.raises(CommandError, match="--port"):
        read(pcap(101, ipv4(udp(source=53))), PORTS)
    with pytest.raises(CommandError, match="within its header"):
        read(pcap(101)[:10], PORTS)


def test_a_pcapng_capture_is_read() -> None:
    """Written by the package that reads it."""
    section = blocks.SectionHeader(options={})
    section.new_member(blocks.InterfaceDescription, link_type=1, snaplen=65535, options={})
    out = io.BytesIO()
    writer = FileWriter(out, section)
    writer.write_block(section.new_member(blocks.SimplePacket, packet_data=MACS + b"\x08\x00" + ipv4(udp())))
    (found,) = read(out.getvalue(), PORTS)
    assert (1, "192.0.2.1:1701", PAYLOAD) == (found.number, found.source, found.octets)


def test_a_pcapng_capture_without_the_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """How to install it, and how to do without."""
    monkeypatch.setitem(sys.modules, "pcapng", None)
    with pytest.raises(CommandError, match=r"pip install .*editcap"):
        read(b"\x0a\x0d\x0d\x0a" + bytes(40), PORTS)


def test_a_broken_pcapng_capture_is_told() -> None:
    """A sentence, not a traceback."""
    with pytest.raises(CommandError):
        read(b"\x0a\x0d\x0d\x0a" + b"\xff" * 40, PORTS)


@given(st.binary(max_size=200))
def test_any_frame_is_a_datagram_or_passed_over(frame: bytes) -> None:
    """Under any link type reading is total."""
    for link in (0, 1, 101, 113, 276, 999):
        assert all(isinstance(found, Datagram) for found in datagrams(pcap(link, frame), frozenset(range(65536))))


@given(st.sampled_from([b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x0a\x0d\x0d\x0a", b""]), st.binary(max_size=300))
def test_any_file_is_read_or_told_to_be_none(magic: bytes, rest: bytes) -> None:
    """Nothing but datagrams or a CommandError comes out of any octets."""
    try:
        found = read(magic + rest, PORTS)
    except CommandError:
        return
    assert all(isinstance(one, Datagram) for one in found)


@pytest.mark.parametrize("text", ["c802", "C8 02", "c8:02", "0xc8 0x02", "c8,02\n", "0xc802"])
def test_hexadecimal_is_read_however_it_is_written(text: str) -> None:
    """Blanks, colons, commas, prefixes."""
    assert b"\xc8\x02" == from_hex(text)


@pytest.mark.parametrize("text", ["c80", "zz", "ümlaut"])
def test_what_is_not_hexadecimal_is_told(text: str) -> None:
    """An odd digit too many, a letter that is no digit."""
    with pytest.raises(CommandError):
        from_hex(text)
