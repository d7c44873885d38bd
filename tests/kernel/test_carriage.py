"""Packets of a session and what is made of them: both versions, who numbers, what is counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.config.model import Encapsulation, Pseudowire, Sublayer
from l2tpd.errors import PlaneError
from l2tpd.kernel.carriage import Carriage, Counters, carriage
from l2tpd.kernel.genl import COUNTERS
from l2tpd.kernel.ops import CreateSession, CreateTunnel
from l2tpd.wire.header import DataHeader, build_data

ANY = Sublayer.DEFAULT


def made(version: int = 3, encap: Encapsulation = Encapsulation.UDP, **fields: object) -> Carriage:
    """Return the carriage of session 2 of tunnel 1, which the peer knows as 4 of 3."""
    said = {"pseudowire": Pseudowire.ETH if version == 3 else Pseudowire.PPP, **fields}
    session = CreateSession(tunnel_id=1, session_id=2, peer_session_id=4, **said)  # type: ignore[arg-type]
    return carriage(CreateTunnel(tunnel_id=1, peer_tunnel_id=3, version=version, encap=encap), session)


def unwrap(what: Carriage, packet: bytes | str, now: float = 0.0) -> list[bytes]:
    """Have a packet, in hexadecimal or not, taken apart; return the frames."""
    octets = packet if isinstance(packet, bytes) else bytes.fromhex(packet)
    return [bytes(frame) for frame in what.unwrap(memoryview(octets), now)]


def counted(what: Carriage) -> dict[str, int]:
    """Return the counters that have moved."""
    return {name: count for name, count in what.counters.as_mapping().items() if count}


def test_counters_have_the_kernel_s_names() -> None:
    """Both planes count the same things, but for what only this one can see."""
    assert (*COUNTERS, "rx_spoofed") == tuple(Counters().as_mapping())


def test_counters_add_up() -> None:
    """Every count is added."""
    total = Counters(*range(11))
    total.add(Counters(*range(0, 110, 10)))
    assert list(range(0, 121, 11)) == list(total.as_mapping().values())


@pytest.mark.parametrize(
    ("encap", "fields", "head"),
    [
        (Encapsulation.UDP, {"sublayer": Sublayer.NONE}, "00030000 00000004"),
        (Encapsulation.IP, {"sublayer": Sublayer.NONE}, "00000004"),
        (Encapsulation.UDP, {"peer_cookie": b"abcd"}, "00030000 00000004 61626364 00000000"),
        (Encapsulation.IP, {"cookie": b"abcd"}, "00000004 00000000"),
    ],
)
def test_heads_of_version_3(encap: Encapsulation, fields: dict[str, Any], head: str) -> None:
    """The peer's session id and cookie precede a frame, and over UDP the octets that mark it as data."""
    assert bytes.fromhex(head) == made(encap=encap, **fields).head()


def test_numbers_of_version_3() -> None:
    """Numbers begin at zero, stop when they are switched off, and go on from there."""
    session = made(sequencing=True, sublayer=ANY)
    assert ["40000000", "40000001"] == [session.head()[-4:].hex() for _ in range(2)]
    session.sequence(on=False)
    assert "00000000" == session.head()[-4:].hex()
    session.sequence(on=True)
    assert "40000002" == session.head()[-4:].hex()


def test_heads_of_version_2() -> None:
    """Version, the peer's ids, and with numbers Ns and Nr (RFC 2661 3.1); Ns has 16 bits."""
    assert "000200030004" == made(2).head().hex()
    session = made(2, sequencing=True)
    session._next = 0xFFFF
    assert ["080200030004ffff0000", "08020003000400000000"] == [session.head().hex() for _ in range(2)]


def test_a_frame_is_the_packet_s_own_memory() -> None:
    """In order and whole, it is not copied."""
    packet = memoryview(bytearray(b"\0\0\0\2\0\0\0\0frame"))
    (frame,) = made().unwrap(packet, 0.0)
    packet[8:9] = b"F"
    assert b"Frame" == bytes(frame)


def test_what_is_counted_of_packets() -> None:
    """Octets include the L2TP header, over UDP with the four octets before the session id."""
    over_udp, over_ip = made(), made(encap=Encapsulation.IP)
    for session in (over_udp, over_ip):
        assert [b"frame"] == unwrap(session, b"\0\0\0\2\0\0\0\0frame")
        session.sent(20)
    assert {"rx_packets": 1, "rx_bytes": 17, "tx_packets": 1, "tx_bytes": 20} == counted(over_udp)
    assert {"rx_packets": 1, "rx_bytes": 13, "tx_packets": 1, "tx_bytes": 20} == counted(over_ip)


@pytest.mark.parametrize("packet", ["00000002 61626365 00000000 ff", "00000002 61", "00000002"])
def test_wrong_cookies(packet: str) -> None:
    """A packet that does not carry our cookie is counted and dropped (RFC 3931 4.1)."""
    session = made(cookie=b"abcd")
    assert [] == unwrap(session, packet)
    assert {"rx_cookie_discards": 1, "rx_errors": 1} == counted(session)
    assert [b"\xff"] == unwrap(session, "00000002 61626364 00000000 ff")


@pytest.mark.parametrize(("version", "packet"), [(3, "00000002 0000"), (2, "40020009 00010002"), (2, "0202 00010002")])
def test_packets_that_are_cut_off(version: int, packet: str) -> None:
    """Less than a header is no packet."""
    session = made(version)
    assert [] == unwrap(session, packet)
    assert {"rx_invalid": 1, "rx_errors": 1} == counted(session)


def test_numbers_are_due() -> None:
    """Where packets are numbered one without a number is dropped; where they are not, one with a number is read all the same."""
    session = made(sequencing=True)
    assert [] == unwrap(session, "00000002 00000000 ff")
    assert {"rx_seq_discards": 1, "rx_errors": 1} == counted(session)
    session.sequence(on=False)
    assert [b"\xff", b"\xfe"] == unwrap(session, "00000002 00000000 ff") + unwrap(session, "00000002 40000000 fe")


def test_old_packets() -> None:
    """An old number is dropped."""
    session = made(sequencing=True)
    assert [b"a", b""] == unwrap(session, "00000002 40000005 61") + unwrap(session, "00000002 40000006")
    assert [] == unwrap(session, "00000002 40000004 61")
    assert {"rx_packets": 2, "rx_bytes": 25, "rx_seq_discards": 1, "rx_errors": 1} == counted(session)


def test_reordering() -> None:
    """A packet waits for an earlier one for as many milliseconds as the operation says, and its memory may change meanwhile."""
    session = made(sequencing=True, reorder_timeout=50)
    early = bytearray.fromhex("00000002 40000001 62")
    assert [] == list(session.unwrap(memoryview(early), 7.0))
    early[-1] = 0
    assert 7.05 == session.order.deadline
    assert [b"a", b"b"] == unwrap(session, "00000002 40000000 61", 7.01)
    assert {"rx_packets": 2, "rx_bytes": 26, "rx_oos_packets": 1} == counted(session)


@pytest.mark.parametrize("length", [False, True])
@pytest.mark.parametrize("offset", [None, 0, 5])
def test_packets_of_version_2(length: bool, offset: int | None) -> None:
    """With and without Length, numbers and padding (RFC 2661 3.1); Nr is ignored, whatever it is."""
    session = made(2)
    for ns, nr in ((None, None), (0, 0), (1, 0x7FFF), (2, 0xFFFF)):
        packet = build_data(DataHeader(1, 2, ns, nr), b"\xff\3\xc0\x21", length=length, offset=offset)
        assert [b"\xff\3\xc0\x21"] == unwrap(session, packet + (b"more" if length else b""))


def test_a_lac_does_as_the_lns_does() -> None:
    """It numbers its packets when the LNS does, and no longer than that (RFC 2661 5.4)."""
    lac = made(2)
    for packet, head in (("0802000100020000 0000", "0802"), ("000200010002", "0002")):
        assert 1 == len(unwrap(lac, packet))
        assert head == lac.head()[:2].hex()


def test_an_lns_does_not() -> None:
    """It numbers when it was told to, and drops what has no number then."""
    lns = made(2, lns_mode=True)
    assert 1 == len(unwrap(lns, "0802000100020000 0000"))
    assert "0002" == lns.head()[:2].hex()
    lns.sequence(on=True)
    assert [] == unwrap(lns, "000200010002")
    assert "0802" == lns.head()[:2].hex()


@pytest.mark.parametrize(
    ("version", "fields", "text"),
    [
        (2, {"pseudowire": Pseudowire.ETH}, "L2TPv2 carries PPP, not `eth`"),
        (3, {"cookie": b"abc"}, "a cookie has 0, 4 or 8 octets (RFC 3931 4.1), not 3"),
        (3, {"peer_cookie": b"abcdef"}, "a cookie has 0, 4 or 8 octets (RFC 3931 4.1), not 6"),
        (
            3,
            {"sequencing": True, "sublayer": Sublayer.NONE},
            "packets cannot be numbered without an L2-specific sublayer (RFC 3931 4.6)",
        ),
    ],
)
def test_what_cannot_be_carried(version: int, fields: dict[str, Any], text: str) -> None:
    """The refusal names the reason."""
    with pytest.raises(PlaneError) as caught:
        made(version, **fields)
    assert text == caught.value.text


@given(octets=st.binary(max_size=40), version=st.sampled_from((2, 3)), sequencing=st.booleans())
def test_octets_of_strangers(octets: bytes, version: int, sequencing: bool) -> None:
    """Whatever comes after our session id is delivered, held or counted, and never raises."""
    head = b"\0\0\0\2" if version == 3 else octets[:1] + b"\2"
    session = made(version, sequencing=sequencing, reorder_timeout=10)
    frames = unwrap(session, head + octets)
    held = session.order.deadline is not None
    assert 1 == len(frames) + held + session.counters.rx_errors
