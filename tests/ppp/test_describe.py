"""One line a frame: what it is, and never a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.ppp.describe import describe, disconnect_text
from l2tpd.ppp.frame import build_packet
from l2tpd.wire.values import DisconnectCause


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        ("ff03c021 01010010 01040578 05061a2b3c4d 0702", "LCP Configure-Request 1 <MRU 1400> <Magic 0x1a2b3c4d> <PFC>"),
        ("c021 04020007 630561", "malformed: an option whose length is wrong, 9 octets"),
        ("c021 04020007 630361", "LCP Configure-Reject 2 <option 99 0x61>"),
        ("8021 0301000a 03060a000002", "IPCP Configure-Nak 1 <IP-Address 10.0.0.2>"),
        ("8021 0101000a 810600000000", "IPCP Configure-Request 1 <Primary DNS 0.0.0.0>"),
        ("8057 0201000e 010a0000000000000001", "IPV6CP Configure-Ack 1 <Interface-Identifier 0x0000000000000001>"),
        ("80fd 0101000a 120600000001", "CCP Configure-Request 1 <MPPE 0x00000001>"),
        ("c021 09050008 00000000", "LCP Echo-Request 5"),
        ("c021 63050004", "LCP code 99 5"),
        ("c223 03070006 6f6b", "CHAP Success 7"),
        ("c223 01070009 02abcd6c73", "CHAP Challenge 7 'ls'"),
        ("c023 01070004", "PAP Request 7"),
        ("0021 4500", "IPV4, 2 octets"),
        ("1235 00", "protocol 0x1235, 1 octets"),
        ("ff03", "malformed: a frame without a protocol, 2 octets"),
        ("c021 01", "malformed: a packet shorter than its header, 3 octets"),
    ],
)
def test_a_frame_is_one_line(frame: str, line: str) -> None:
    """Names from the tables; numbers that nobody knows as numbers."""
    assert line == describe(bytes.fromhex(frame))


@pytest.mark.parametrize(
    ("cause", "by", "line"),
    [
        (DisconnectCause(0), "us", "unknown (0)"),
        (DisconnectCause(3, 0xC021, 1, "bye"), "us", "normal (3), protocol 0xc021, on the peer's side: bye"),
        (DisconnectCause(3, 0xC021, 1, "bye"), "peer", "normal (3), protocol 0xc021, on our side: bye"),
        (DisconnectCause(17, 0x8021, 2), "us", "ncp timeout (17), protocol 0x8021, on our side"),
        (DisconnectCause(17, 0x8021, 2), "peer", "ncp timeout (17), protocol 0x8021, on the peer's side"),
        (DisconnectCause(4711, 0, 7), "peer", "code (4711)"),
    ],
)
def test_why_ppp_ended_is_one_line(cause: DisconnectCause, by: str, line: str) -> None:
    """The side is seen from here, whoever says so (RFC 3145 2)."""
    assert line == disconnect_text(cause, by)


def test_a_password_is_never_shown() -> None:
    """Only who it is that logs in."""
    line = describe(b"\xc0\x23" + build_packet(1, 1, b"\x03joe\x07hunter2"))
    assert "PAP Request 1 'joe'" == line


@given(st.binary(max_size=40))
def test_anything_is_one_printable_line(frame: bytes) -> None:
    """Whatever a peer sends ends up in a log."""
    line = describe(b"\xc2\x23" + frame)
    assert line
    assert "\n" not in line
