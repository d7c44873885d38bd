"""RFC 2661 4.1 AVP Format and 4.2 Mandatory AVPs: each test quotes the requirement that it checks."""

from __future__ import annotations

import pytest

from l2tpd.wire.avp import ASSIGNED_SESSION_ID, HOST_NAME, RawAvp, build
from l2tpd.wire.messages import decode, encode, message
from l2tpd.wire.numbers import ErrorCode, MessageType
from l2tpd.wire.table import MESSAGES

HELLO = bytes.fromhex("8008 0000 0000 0006")
ICRP = bytes.fromhex("8008 0000 0000 000b 8008 0000 000e 0007")


def test_4_1_reserved_bits_must_be_set_to_0() -> None:
    """4.1: "Reserved bits MUST be set to 0"."""
    octets = build(HOST_NAME, "h")
    assert 0 == octets[0] & 0x3C


@pytest.mark.parametrize("bit", [0x20, 0x10, 0x08, 0x04])
def test_4_1_an_avp_with_a_reserved_bit_must_be_treated_as_unrecognized(bit: int) -> None:
    """4.1: "An AVP received with a reserved bit set to 1 MUST be treated as an unrecognized AVP"."""
    with_m = decode(HELLO + bytes([0x80 | bit, 7]) + b"\0\0\0\7h")
    assert with_m.fault is not None
    assert (ErrorCode.UNKNOWN_MANDATORY_AVP, False) == (with_m.fault.error, HOST_NAME in with_m)
    without_m = decode(HELLO + bytes([bit, 7]) + b"\0\0\0\7h")
    assert (None, False) == (without_m.fault, HOST_NAME in without_m)


def test_4_1_unrecognized_m_in_a_session_message_terminates_the_session() -> None:
    """4.1: "within a message associated with a particular session, the session [...] MUST be terminated"."""
    seen = decode(ICRP + RawAvp(True, False, 0, 999, b"").pack())
    assert seen.fault is not None
    assert (True, 7) == (seen.session_scoped, seen[ASSIGNED_SESSION_ID])


def test_4_1_unrecognized_m_in_a_tunnel_message_terminates_the_tunnel() -> None:
    """4.1: "within a message associated with the overall tunnel, the entire tunnel [...] MUST be terminated"."""
    seen = decode(HELLO + RawAvp(True, False, 0, 999, b"").pack())
    assert seen.fault is not None
    assert not seen.session_scoped


def test_4_1_unrecognized_without_m_must_be_ignored() -> None:
    """4.1: "The control message must then continue to be processed as if the AVP had not been present"."""
    seen = decode(ICRP[:8] + RawAvp(False, False, 0, 999, b"x").pack() + ICRP[8:])
    assert (None, decode(ICRP).values) == (seen.fault, seen.values)


def test_4_1_maximum_of_1023_octets_in_a_single_avp() -> None:
    """4.1: "The field itself is 10 bits, permitting a maximum of 1023 octets of data in a single AVP"."""
    assert "h" * 1017 == decode(HELLO + build(HOST_NAME, "h" * 1017))[HOST_NAME]


@pytest.mark.parametrize("length", range(6))
def test_4_1_the_minimum_length_of_an_avp_is_6(length: int) -> None:
    """4.1: "The minimum Length of an AVP is 6"."""
    seen = decode(HELLO + bytes([0x80, length]) + bytes(8))
    assert seen.fault is not None
    assert ErrorCode.BAD_LENGTH == seen.fault.error


def test_4_1_vendors_never_collide_with_the_ietf() -> None:
    """4.1: private attribute values "will not collide with any other vendor's extensions, nor with future IETF extensions"."""
    seen = decode(HELLO + RawAvp(False, False, 9, 7, b"not a host name").pack())
    assert (False, 1) == (HOST_NAME in seen, len(seen.extra))


def test_4_4_2_the_error_message_names_the_offending_attribute() -> None:
    """4.4.2: "The Error Message SHOULD contain the attribute of the offending AVP in (human readable) text form"."""
    seen = decode(HELLO + RawAvp(True, False, 9, 555, b"").pack())
    assert seen.fault is not None
    assert "vendor 9 attribute 555" in seen.fault.text


def test_4_2_new_avps_are_sent_without_m() -> None:
    """4.2: AVPs not defined in RFC 2661 need a way "such that the AVP is either not sent, or sent with the M-bit not set"."""
    for row in MESSAGES.values():
        for avp in row.need | row.may:
            assert not avp.mandatory or avp.where.startswith("RFC 2661")


def test_4_4_1_the_message_type_comes_first() -> None:
    """4.4.1: "The Message Type AVP MUST be the first AVP in a message"."""
    assert encode(message(MessageType.HELLO, {HOST_NAME: "h"})).startswith(HELLO)
