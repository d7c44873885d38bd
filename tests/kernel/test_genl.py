"""Bytes to and from the kernel, written out by hand from linux/genetlink.h, linux/netlink.h and linux/l2tp.h (little endian, as all of ours are)."""

from __future__ import annotations

import struct

import attrs
import pytest

from l2tpd.config.model import Encapsulation, Pseudowire, Sublayer
from l2tpd.errors import PlaneError
from l2tpd.kernel import genl
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, Link, ModifySession, Operation

FAMILY = 0x19


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) & 3)


def message(kind: int, flags: int, body: bytes, sequence: int = 7) -> bytes:
    """Return one netlink message from the kernel."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def generic(command: int, *attributes: bytes) -> bytes:
    """Return what follows the netlink header in a generic netlink message."""
    return struct.pack("=BBH", command, 1, 0) + b"".join(attributes)


def u8(kind: int, value: int) -> bytes:
    """Return an attribute of one octet."""
    return attribute(kind, bytes([value]))


def u16(kind: int, value: int) -> bytes:
    """Return an attribute of two octets."""
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    """Return an attribute of four octets."""
    return attribute(kind, struct.pack("=I", value))


def u64(kind: int, value: int) -> bytes:
    """Return an attribute of eight octets."""
    return attribute(kind, struct.pack("=Q", value))


CREATE = CreateSession(tunnel_id=1, session_id=2, peer_session_id=3, pseudowire=Pseudowire.PPP)
NUMBERED = attrs.evolve(CREATE, lns_mode=True, sequencing=True, reorder_timeout=250)


@pytest.mark.parametrize(
    ("operation", "command", "attributes"),
    [
        (CreateTunnel(tunnel_id=1, peer_tunnel_id=2), 1, [u32(9, 1), u32(10, 2), u8(7, 2), u16(2, 0), u32(23, 5)]),
        (
            CreateTunnel(tunnel_id=1, peer_tunnel_id=2, version=3, encap=Encapsulation.IP),
            1,
            [u32(9, 1), u32(10, 2), u8(7, 3), u16(2, 1), u32(23, 5)],
        ),
        (DeleteTunnel(tunnel_id=1), 2, [u32(9, 1)]),
        (CREATE, 5, [u32(9, 1), u32(11, 2), u32(12, 3), u8(19, 0), u8(18, 0), u16(1, 7), u8(20, 0)]),
        (NUMBERED, 5, [u32(9, 1), u32(11, 2), u32(12, 3), u8(19, 1), u8(18, 1), u64(22, 250), u16(1, 7), u8(20, 1)]),
        (ModifySession(tunnel_id=1, session_id=2, sequencing=True), 7, [u32(9, 1), u32(11, 2), u8(19, 1), u8(18, 1)]),
        (DeleteSession(tunnel_id=1, session_id=2), 6, [u32(9, 1), u32(11, 2)]),
    ],
)
def test_each_operation_as_the_kernel_reads_it(operation: Operation, command: int, attributes: list[bytes]) -> None:
    """A request with acknowledgement; every attribute has the width of its policy in the kernel."""
    assert message(FAMILY, 0x5, generic(command, *attributes)) == genl.request(operation, FAMILY, 7, descriptor=5)


FIRST = [u32(9, 1), u32(11, 2), u32(12, 3)]
NAMED = Link(name="pw0", vlan_id=7)


@pytest.mark.parametrize(
    ("operation", "attributes"),
    [
        (attrs.evolve(CREATE, link=NAMED), [*FIRST, u8(19, 0), u8(18, 0), u16(1, 7), u8(20, 1), u8(5, 1)]),
        (
            attrs.evolve(CREATE, pseudowire=Pseudowire.ETH, sublayer=Sublayer.NONE),
            [*FIRST, u8(19, 0), u8(18, 0), u16(1, 5), u8(20, 1), u8(5, 0)],
        ),
        (
            attrs.evolve(
                CREATE,
                pseudowire=Pseudowire.ETH_VLAN,
                cookie=b"mine",
                peer_cookie=b"theirs!!",
                link=NAMED,
                sequencing=True,
                reorder_timeout=5,
            ),
            [
                *(*FIRST, u8(19, 1), u8(18, 1), u64(22, 5), u16(1, 5), u8(20, 1), u8(5, 1)),
                *(attribute(15, b"theirs!!"), attribute(16, b"mine"), attribute(8, b"pw0\0")),
            ],
        ),
    ],
    ids=["ppp", "eth", "vlan"],
)
def test_sessions_of_version_3(operation: CreateSession, attributes: list[bytes]) -> None:
    """The kernel's own cookie is what it sends, its peer cookie what it wants to see; our numbering always holds; PPP has no name to give."""
    assert message(FAMILY, 0x5, generic(5, *attributes)) == genl.request(operation, FAMILY, 7, version=3)


@pytest.mark.parametrize(
    ("operation", "version", "text"),
    [
        (attrs.evolve(CREATE, pseudowire=Pseudowire.ETH), 2, "no pseudowire `eth` for L2TPv2"),
        (attrs.evolve(CREATE, pseudowire=Pseudowire.ETH_VLAN), 2, "no pseudowire `eth-vlan` for L2TPv2"),
        (attrs.evolve(CREATE, cookie=b"abc"), 3, "a cookie has 4 or 8 octets, not 3"),
        (attrs.evolve(CREATE, peer_cookie=bytes(9)), 3, "a cookie has 4 or 8 octets, not 9"),
        (attrs.evolve(NUMBERED, sublayer=Sublayer.NONE), 3, "no place for numbers"),
    ],
)
def test_what_the_kernel_does_not_have(operation: CreateSession, version: int, text: str) -> None:
    """It is refused in words, before the kernel is asked."""
    with pytest.raises(PlaneError, match=text):
        genl.request(operation, FAMILY, 7, version=version)


def test_questions() -> None:
    """A tunnel, a session, all of either, and the number of the family."""
    assert message(FAMILY, 0x5, generic(4, u32(9, 1))) == genl.query(FAMILY, 7, 1)
    assert message(FAMILY, 0x5, generic(8, u32(9, 1), u32(11, 2))) == genl.query(FAMILY, 7, 1, 2)
    assert message(FAMILY, 0x301, generic(4)) == genl.dump_tunnels(FAMILY, 7)
    assert message(FAMILY, 0x301, generic(8)) == genl.dump_sessions(FAMILY, 7)
    assert message(16, 0x5, generic(3, attribute(2, b"l2tp\0"))) == genl.resolve_family(7)


def test_the_number_of_the_family() -> None:
    """Read from CTRL_ATTR_FAMILY_ID."""
    assert 0x1C == genl.family_of(message(16, 0, generic(1, attribute(2, b"l2tp\0"), u16(1, 0x1C))))


def test_a_tunnel() -> None:
    """Its ids, version and counters; a counter that an old kernel lacks is missing, not 0."""
    stats = attribute(
        30 | 0x8000, u64(1, 11) + u64(2, 12) + u64(3, 0) + u64(4, 14) + u64(5, 15) + u64(6, 0) + u64(7, 0) + u64(8, 0)
    )
    facts = genl.tunnel_of(message(FAMILY, 0, generic(4, u32(9, 1), u32(10, 2), u8(7, 2), stats)))
    assert (1, 2, 2) == facts[:3]
    assert {
        "tx_packets": 11,
        "tx_bytes": 12,
        "tx_errors": 0,
        "rx_packets": 14,
        "rx_bytes": 15,
        "rx_seq_discards": 0,
        "rx_oos_packets": 0,
        "rx_errors": 0,
    } == facts.counters


def test_a_session() -> None:
    """Its ids, kind and sequencing, with the two newest counters where the kernel has them, and none where it says none."""
    said = [u32(9, 1), u32(11, 2), u32(12, 3), u16(1, 7), u8(18, 1), u8(19, 0), u8(20, 1), u64(22, 250)]
    counted = attribute(30 | 0x8000, u64(10, 5) + u64(11, 6))
    facts = genl.session_of(message(FAMILY, 0, generic(8, *said, attribute(8, b"pw0\0"), counted)))
    expected = genl.SessionFacts(
        tunnel_id=1,
        session_id=2,
        peer_session_id=3,
        pseudowire=7,
        lns_mode=True,
        send_sequence=False,
        receive_sequence=True,
        reorder_timeout=250,
        interface="pw0",
        counters={"rx_cookie_discards": 5, "rx_invalid": 6},
    )
    assert expected == facts
    assert facts.counters == genl.counters_of(message(FAMILY, 0, generic(8, *said, counted)))
    bare = genl.session_of(message(FAMILY, 0, generic(8, *said)))
    assert ("", {}) == (bare.interface, bare.counters)
