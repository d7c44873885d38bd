"""Headers: every combination of flags, every cut, and the refusal to build what does not fit (RFC 2661 3.1, RFC 3931 3.2.1)."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.wire.header import (
    ControlHeader,
    DataHeader,
    Peek,
    build_control,
    build_control3,
    build_data,
    parse_control,
    parse_control3,
    parse_data,
    peek,
)

WORD = st.integers(0, 0xFFFF)
FLAGS = list(itertools.product((False, True), repeat=4))


def data_by_hand(*, length: bool, sequence: bool, offset: bool, priority: bool) -> bytes:
    """A data message laid out by hand: tunnel 0x1111, session 0x2222, Ns 3, Nr 4, 5 octets of offset, payload PPP."""
    flags = 2 | length << 14 | sequence << 11 | offset << 9 | priority << 8
    rest = b"\x11\x11\x22\x22"
    rest += b"\0\3\0\4" if sequence else b""
    rest += b"\0\5padme" if offset else b""
    rest += b"PPP"
    return struct.pack("!H", flags) + (struct.pack("!H", len(rest) + 4) if length else b"") + rest


def test_control_header_by_hand() -> None:
    """Flags 0xC802, length 14, then ids, Ns and Nr; the body follows."""
    octets = bytes.fromhex("c802 000e 1234 5678 0009 000a 4142")
    assert (ControlHeader(0x1234, 0x5678, 9, 10), b"AB") == parse_control(octets)
    assert octets == build_control(0x1234, 0x5678, 9, 10, b"AB")


def test_zlb_has_an_empty_body() -> None:
    """Twelve octets are a zero-length body message."""
    assert (ControlHeader(1, 0, 2, 3), b"") == parse_control(build_control(1, 0, 2, 3, b""))


def test_octets_after_the_length_are_ignored() -> None:
    """The Length field rules, not the size of the datagram."""
    assert b"AB" == parse_control(build_control(1, 0, 2, 3, b"AB") + b"trailer")[1]


@pytest.mark.parametrize("bits", [0x2000, 0x1000, 0x0400, 0x0080, 0x0040, 0x0020, 0x0010, 0x0100])
def test_reserved_bits_and_priority_are_ignored_on_control_messages(bits: int) -> None:
    """All reserved bits MUST be ignored on incoming messages; the P bit changes nothing."""
    octets = struct.pack("!HHHHHH", 0xC802 | bits, 12, 1, 2, 3, 4)
    assert ControlHeader(1, 2, 3, 4) == parse_control(octets)[0]


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (0xC801, "version 1"),
        (0xC803, "version 3"),
        (0xC800, "version 0"),
        (0x4802, "not a control"),
        (0x8802, "L or the S"),
        (0xC002, "L or the S"),
        (0x8002, "L or the S"),
        (0xCA02, "O bit"),
    ],
)
def test_control_header_with_wrong_flags_is_malformed(flags: int, why: str) -> None:
    """T, L and S must be set, O must not be, and the version is 2."""
    with pytest.raises(Malformed, match=why):
        parse_control(struct.pack("!HHHHHH", flags, 12, 1, 2, 3, 4))


@pytest.mark.parametrize("length", [0, 1, 11, 13, 0xFFFF])
def test_length_out_of_bounds_is_malformed(length: int) -> None:
    """A Length below 12 or past the datagram is refused."""
    with pytest.raises(Malformed, match="length field"):
        parse_control(struct.pack("!HHHHHH", 0xC802, length, 1, 2, 3, 4))


@pytest.mark.parametrize("size", range(12))
def test_every_cut_of_a_control_header_is_malformed(size: int) -> None:
    """Fewer than twelve octets are no control header."""
    with pytest.raises(Malformed, match="octets"):
        parse_control(build_control(1, 2, 3, 4, b"")[:size])


def test_control_message_of_65535_octets_is_built_and_one_more_refused() -> None:
    """The Length field has 16 bits; nothing is truncated."""
    assert 65535 == len(build_control(1, 2, 3, 4, bytes(65535 - 12)))
    with pytest.raises(LocalProtocolError, match="65536"):
        build_control(1, 2, 3, 4, bytes(65536 - 12))


@pytest.mark.parametrize("field", range(4))
@pytest.mark.parametrize("value", [-1, 65536])
def test_control_fields_out_of_range_are_our_error(field: int, value: int) -> None:
    """Ids and sequence numbers have 16 bits."""
    fields = [1, 2, 3, 4]
    fields[field] = value
    with pytest.raises(LocalProtocolError):
        build_control(fields[0], fields[1], fields[2], fields[3], b"")


@given(WORD, WORD, WORD, WORD, st.binary(max_size=40))
def test_control_round_trip(tunnel_id: int, session_id: int, ns: int, nr: int, body: bytes) -> None:
    """What is built parses to the same fields, and peek agrees."""
    octets = build_control(tunnel_id, session_id, ns, nr, body)
    assert (ControlHeader(tunnel_id, session_id, ns, nr), body) == parse_control(octets)
    assert Peek(2, True, tunnel_id, session_id) == peek(octets)


@pytest.mark.parametrize("size", range(12))
def test_every_cut_of_a_control_header_of_version_3_is_malformed(size: int) -> None:
    """Fewer than twelve octets are no control header (RFC 3931 3.2.1)."""
    with pytest.raises(Malformed, match="octets"):
        parse_control3(build_control3(1, 2, 3, b"")[:size])


@pytest.mark.parametrize("length", [0, 11, 13, 0xFFFF])
def test_length_of_version_3_out_of_bounds_is_malformed(length: int) -> None:
    """A Length below 12 or past the message is refused."""
    with pytest.raises(Malformed, match="length field"):
        parse_control3(struct.pack("!HHIHH", 0xC803, length, 1, 2, 3))


@pytest.mark.parametrize(("connection_id", "ns", "nr"), [(-1, 0, 0), (1 << 32, 0, 0), (1, 65536, 0), (1, 0, -1)])
def test_control_fields_of_version_3_out_of_range_are_our_error(connection_id: int, ns: int, nr: int) -> None:
    """The id has 32 bits, Ns and Nr have 16."""
    with pytest.raises(LocalProtocolError):
        build_control3(connection_id, ns, nr, b"")


def test_control_message_of_version_3_too_long_for_its_length_is_our_error() -> None:
    """The Length field has 16 bits; nothing is truncated."""
    assert 65535 == len(build_control3(1, 2, 3, bytes(65535 - 12)))
    with pytest.raises(LocalProtocolError, match="65536"):
        build_control3(1, 2, 3, bytes(65536 - 12))


@given(st.integers(0, (1 << 32) - 1), WORD, WORD, st.binary(max_size=40))
def test_control_round_trip_of_version_3(connection_id: int, ns: int, nr: int, body: bytes) -> None:
    """What is built parses to the same fields, and peek agrees."""
    octets = build_control3(connection_id, ns, nr, body)
    assert (ControlHeader(connection_id, 0, ns, nr), body) == parse_control3(octets)
    assert Peek(3, True, connection_id, 0) == peek(octets)


@pytest.mark.parametrize(("length", "sequence", "offset", "priority"), FLAGS)
def test_data_header_by_hand(*, length: bool, sequence: bool, offset: bool, priority: bool) -> None:
    """All sixteen layouts of a data message parse, peek and build."""
    octets = data_by_hand(length=length, sequence=sequence, offset=offset, priority=priority)
    header = DataHeader(0x1111, 0x2222, 3 if sequence else None, 4 if sequence else None, priority)
    assert (header, b"PPP") == parse_data(octets)
    assert Peek(2, False, 0x1111, 0x2222) == peek(octets)
    built = build_data(header, b"PPP", length=length, offset=5 if offset else None)
    assert octets.replace(b"padme", bytes(5)) == built


@pytest.mark.parametrize(("length", "sequence", "offset", "priority"), FLAGS)
def test_every_cut_of_a_data_message_is_malformed_or_a_shorter_payload(
    *, length: bool, sequence: bool, offset: bool, priority: bool
) -> None:
    """A cut inside the header, or below the Length, is malformed; without Length the payload just gets shorter."""
    octets = data_by_hand(length=length, sequence=sequence, offset=offset, priority=priority)
    for size in range(len(octets)):
        if not length and size >= len(octets) - 3:
            assert b"PPP"[: size - len(octets)] == parse_data(octets[:size])[1]
        else:
            with pytest.raises(Malformed):
                parse_data(octets[:size])


def test_data_octets_after_the_length_are_ignored() -> None:
    """Padding of the carrier is not payload."""
    assert b"PPP" == parse_data(build_data(DataHeader(1, 2), b"PPP") + bytes(9))[1]


@pytest.mark.parametrize("offset", [4, 0xFFFF])
def test_offset_past_the_end_is_malformed(offset: int) -> None:
    """The offset must leave at least an empty payload."""
    octets = struct.pack("!HHHH", 0x0202, 1, 2, offset) + b"abc"
    with pytest.raises(Malformed, match="data header"):
        parse_data(octets)


def test_data_length_inside_the_header_is_malformed() -> None:
    """A Length that ends before the header does is refused."""
    with pytest.raises(Malformed, match="data header"):
        parse_data(struct.pack("!HHHH", 0x4002, 7, 1, 2))


@pytest.mark.parametrize("flags", [0x8002, 0xC802, 0x0001, 0x0003])
def test_control_messages_and_other_versions_are_no_data(flags: int) -> None:
    """Only version 2 with T clear is a data message here."""
    with pytest.raises(Malformed):
        parse_data(struct.pack("!HHHHHH", flags, 12, 1, 2, 3, 4))


def test_data_message_too_long_for_its_length_field_is_our_error() -> None:
    """With a Length field 65535 octets are the limit; without it there is none."""
    with pytest.raises(LocalProtocolError):
        build_data(DataHeader(1, 2), bytes(65535 - 7))
    assert 65534 == len(build_data(DataHeader(1, 2), bytes(65528), length=False))


@pytest.mark.parametrize("header", [DataHeader(-1, 2), DataHeader(1, 65536), DataHeader(1, 2, 65536, 0)])
def test_data_fields_out_of_range_are_our_error(header: DataHeader) -> None:
    """Ids and sequence numbers have 16 bits."""
    with pytest.raises(LocalProtocolError):
        build_data(header, b"")


def test_peek_reports_other_versions() -> None:
    """L2F and unknown versions are reported without ids; version 3 with its 32-bit id (RFC 3931 4.1.2)."""
    assert Peek(1, True, 0, 0) == peek(bytes.fromhex("c001 0000 0000 0000"))
    assert Peek(1, False, 0, 0) == peek(bytes.fromhex("0001"))
    assert Peek(7, False, 0, 0) == peek(bytes.fromhex("0007 ffff ffff ffff"))
    assert Peek(3, True, 0x01020304, 0) == peek(bytes.fromhex("c803 000c 01020304 0000 0000"))
    assert Peek(3, False, 0, 0x01020304) == peek(bytes.fromhex("0003 0000 01020304"))


def test_peek_needs_the_ids() -> None:
    """Six octets suffice without Length, eight with it."""
    assert Peek(2, False, 1, 2) == peek(bytes.fromhex("0002 0001 0002"))
    for text in ("", "00", "0002", "0002 0001 00", "4002 0008 0001 00", "4002 0008 0001"):
        with pytest.raises(Malformed):
            peek(bytes.fromhex(text))


@given(st.binary(max_size=64))
def test_any_octets_are_parsed_or_malformed(octets: bytes) -> None:
    """Nothing but Malformed ever leaves the parsers, and a parsed payload is a part of what came."""
    for parser in (peek, parse_control, parse_control3, parse_data):
        try:
            result = parser(octets)
        except Malformed:
            continue
        assert isinstance(result, Peek) or result[1] in octets
