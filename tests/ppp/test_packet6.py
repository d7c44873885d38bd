"""Packets of IPv6 as octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import Malformed
from l2tpd.ppp import packet6

HERE, THERE = b"\xfe\x80" + bytes(13) + b"\x01", b"\xfe\x80" + bytes(13) + b"\x02"
SOLICIT = b"\x85\0\0\0\0\0\0\0"


def test_an_icmp_packet() -> None:
    """Header of RFC 8200 3 with a hop limit of 255, and the checksum that others compute: of fe80::1 to ff02::2, by hand."""
    packet = packet6.icmp(HERE, packet6.ALL_NODES, SOLICIT)
    assert bytes.fromhex("60000000 0008 3a ff") == packet[:8]
    assert HERE + packet6.ALL_NODES == packet[8:40]
    # fe80 + 1 + ff02 + 1 + 8 + 3a + 8500 = 282c6, and the carry: 82c8; its complement is 7d37.
    assert bytes.fromhex("8500 7d37 00000000") == packet[40:]
    assert (HERE, packet6.ALL_NODES, packet6.ICMP, 255) == packet6.parse(packet)[:4]


def test_a_udp_packet() -> None:
    """From the server's port to the client's; an odd number of octets counts as if a zero followed."""
    packet = packet6.udp(HERE, THERE, b"abc")
    assert bytes.fromhex("0223 0222 000b") == packet[40:46]
    assert b"abc" == packet6.udp_payload(packet6.parse(packet))


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(1, 255))
def test_what_is_changed_on_its_way_is_refused(payload: bytes, place: int, change: int) -> None:
    """Everything but version, class, flow and hop limit is under the checksum, or contradicts the length."""
    packet = bytearray(packet6.udp(HERE, THERE, payload))
    place = 8 + place % (len(packet) - 8)
    packet[place] ^= change
    with pytest.raises(Malformed):
        packet6.parse(bytes(packet))


@given(st.binary(max_size=100))
def test_any_octets(octets: bytes) -> None:
    """Nothing but `Malformed` comes of them."""
    packet6.asks_router(octets)
    try:
        packet = packet6.parse(octets)
        packet6.udp_payload(packet)
    except Malformed:
        return
    assert len(octets) >= 48


def test_padding_behind_a_packet_is_not_its_own() -> None:
    """The header says how long it is; less than that is no packet."""
    packet = packet6.udp(HERE, THERE, b"abc")
    assert packet6.parse(packet) == packet6.parse(packet + b"padding")
    for short in (packet[:-1], packet[:47], b""):
        with pytest.raises(Malformed):
            packet6.parse(short)


def test_a_length_of_udp_that_is_wrong() -> None:
    """Too long, too short: with a right checksum, too."""
    for size in (b"\0\7", b"\0\14"):
        packet = packet6.parse(packet6.udp(HERE, THERE, b"abc"))
        with pytest.raises(Malformed):
            packet6.udp_payload(packet._replace(payload=packet.payload[:4] + size + packet.payload[6:]))


@pytest.mark.parametrize(
    ("destination", "asks"),
    [
        (b"\xff\x02" + bytes(13) + b"\x02", True),
        (THERE, True),
        (b"\x20\x01\x0d\xb8" + bytes(12), False),  # to be forwarded
        (b"\xff\x05" + bytes(13) + b"\x02", False),  # site scope
        (b"\xfe\xc0" + bytes(14), False),
    ],
)
def test_what_asks_the_router(destination: bytes, asks: bool) -> None:
    """A solicitation or DHCPv6 to an address of the link, and nothing else."""
    solicit = packet6.icmp(HERE, destination, SOLICIT)
    dhcp = bytearray(packet6.udp(HERE, destination, b""))
    dhcp[42:44] = b"\x02\x23"
    assert [asks, asks] == [packet6.asks_router(solicit), packet6.asks_router(bytes(dhcp))]
    assert not packet6.asks_router(packet6.icmp(HERE, destination, b"\x80" + SOLICIT[1:]))  # an Echo-Request
    assert not packet6.asks_router(packet6.udp(HERE, destination, b""))  # to another port
    assert not packet6.asks_router(solicit[:47])
