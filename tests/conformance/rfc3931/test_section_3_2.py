"""RFC 3931 sections 3.2.1 and 4.1: the header of a control message, over UDP and over IP, octet by octet."""

from __future__ import annotations

import struct

import pytest

from l2tpd.errors import Malformed
from l2tpd.wire.header import ControlHeader, Peek, build_control3, parse_control3, peek


def by_hand(flags: int = 0xC803, length: int = 14, rest: bytes = b"AB") -> bytes:
    """Figure 3.2.1: flags and version, Length, Control Connection ID of 32 bits, Ns, Nr."""
    return struct.pack("!HHIHH", flags, length, 0x01020304, 9, 10) + rest


def test_3_2_1_layout() -> None:
    """T, L and S are set, Ver is 3, and the Control Connection ID takes the place of both ids of version 2."""
    assert bytes.fromhex("c803 000e 01020304 0009 000a 4142") == by_hand()
    assert (ControlHeader(0x01020304, 0, 9, 10), b"AB") == parse_control3(by_hand())
    assert by_hand() == build_control3(0x01020304, 9, 10, b"AB")


@pytest.mark.parametrize("bit", [1, 2, 3, 5, 6, 7, 8, 9, 10, 11])
def test_3_2_1_reserved_bits_must_be_ignored_on_incoming_messages(bit: int) -> None:
    """Also bits 6 and 7, which were O and P in version 2; bit 1 is L and set in any case."""
    assert (ControlHeader(0x01020304, 0, 9, 10), b"AB") == parse_control3(by_hand(0xC803 | 0x8000 >> bit))


def test_3_2_1_reserved_bits_must_be_0_on_outgoing_messages() -> None:
    """The first two octets are always the same."""
    assert b"\xc8\x03" == build_control3(0xFFFFFFFF, 65535, 65535, bytes(100))[:2]


@pytest.mark.parametrize(
    ("flags", "why"),
    [(0x4803, "not a control"), (0x8803, "L or the S"), (0xC003, "L or the S"), (0xC802, "version 2"), (0xC80F, "15")],
)
def test_3_2_1_the_t_l_and_s_bits_must_be_1_and_ver_3(flags: int, why: str) -> None:
    """7.1: a control message with a malformed header MUST be discarded."""
    with pytest.raises(Malformed, match=why):
        parse_control3(by_hand(flags))


@pytest.mark.parametrize("length", [0, 11, 15, 0xFFFF])
def test_3_2_1_the_length_counts_from_the_t_bit(length: int) -> None:
    """Less than the header or more than arrived is malformed."""
    with pytest.raises(Malformed, match="length"):
        parse_control3(by_hand(length=length))


def test_3_2_1_what_follows_the_length_is_no_part_of_the_message() -> None:
    """A carrier may have padded it."""
    assert b"AB" == parse_control3(by_hand(rest=b"ABpadding"))[1]


def test_3_2_1_the_first_message_has_control_connection_id_0() -> None:
    """5.4.3: before the peer has assigned one, 0 stands there."""
    assert ControlHeader(0, 0, 0, 0) == parse_control3(bytes.fromhex("c803 000c 00000000 0000 0000"))[0]


def test_4_1_1_2_over_ip_32_bits_of_zeros_stand_before_the_same_header() -> None:
    """The Length does not count them: the same octets are a message of either encapsulation once they are off."""
    over_ip = bytes(4) + by_hand()
    assert parse_control3(by_hand()) == parse_control3(over_ip[4:])
    assert len(over_ip) - 4 == int.from_bytes(over_ip[6:8], "big")


@pytest.mark.parametrize("flags", [0x0003, 0x7FF3, 0x4B03])
def test_4_1_2_1_over_udp_the_t_bit_clear_makes_a_data_message(flags: int) -> None:
    """All x bits are ignored, and the session id stands behind a reserved word."""
    assert Peek(3, False, 0, 0x01020304) == peek(struct.pack("!HHI", flags, 0xFFFF, 0x01020304) + b"frame")
    with pytest.raises(Malformed):
        parse_control3(struct.pack("!HHI", flags, 0xFFFF, 0x01020304) + b"frame")


def test_4_1_2_1_ver_is_inspected_first() -> None:
    """The same bits mean other things in version 2: its Length moves the ids."""
    assert Peek(3, True, 0x01020304, 0) == peek(by_hand())
    assert Peek(2, True, 0x0102, 0x0304) == peek(by_hand(0xC802))
