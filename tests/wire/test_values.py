"""Composite values against layouts assembled by hand."""

from __future__ import annotations

import struct

import pytest

from l2tpd.wire.values import (
    AccmValue,
    CallErrors,
    ConnectSpeed,
    DisconnectCause,
    ExtendedAvp,
    MessageDigest,
    ProtocolVersion,
    Q931Cause,
    ResultCode,
    pack_text,
    unpack_cookie,
    unpack_pseudowires,
    unpack_text,
)

LAYOUTS = [
    (ResultCode(3), "0003"),
    (ResultCode(2, 0), "0002 0000"),
    (ResultCode(2, 8, "AVP 9"), "0002 0008 4156502039"),
    (Q931Cause(16, 0x45), "0010 45"),
    (Q931Cause(16, 0x45, "bye"), "0010 45 627965"),
    (CallErrors(1, 2, 3, 4, 5, 6), "0000 00000001 00000002 00000003 00000004 00000005 00000006"),
    (AccmValue(0x000A0000, 0xFFFFFFFF), "0000 000a0000 ffffffff"),
    (DisconnectCause(3, 0xC021, 1, "no"), "0003 c021 01 6e6f"),
    (ConnectSpeed(9, 1000, 2000), "0000 0009 000003e8 000007d0"),
    (ExtendedAvp(0x00010203, 4), "00010203 0004"),
    (ExtendedAvp(0x00010203, 4, b"AB"), "00010203 0004 4142"),
    (MessageDigest(1, bytes(20)), "01" + "00" * 20),
    (MessageDigest(7, b""), "07"),
]


@pytest.mark.parametrize(("value", "layout"), LAYOUTS)
def test_layout(value: ResultCode, layout: str) -> None:
    """Each value packs to the layout of its RFC and comes back from it."""
    octets = bytes.fromhex(layout)
    assert octets == value.pack()
    assert value == type(value).unpack(octets)


def test_result_code_alone_differs_from_error_zero() -> None:
    """The 8-octet AVP of MikroTik (value of 2 octets) has no error code; it is not the same as error 0."""
    assert ResultCode(1, None, "") == ResultCode.unpack(b"\0\1")
    assert ResultCode(1, 0, "") == ResultCode.unpack(b"\0\1\0\0")


def test_message_without_error_code_travels_with_error_zero() -> None:
    """The layout has no place for a message alone."""
    assert b"\0\3\0\0bye" == ResultCode(3, None, "bye").pack()


def test_half_an_error_code_is_refused() -> None:
    """Three octets fit no layout."""
    with pytest.raises(ValueError, match="half"):
        ResultCode.unpack(b"\0\1\0")


def test_half_a_pseudowire_type_is_refused() -> None:
    """Each has two octets."""
    assert (4, 5) == unpack_pseudowires(b"\0\4\0\5")
    with pytest.raises(ValueError, match="half"):
        unpack_pseudowires(b"\0\4\0")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 9])
def test_a_cookie_has_0_4_or_8_octets(size: int) -> None:
    """Nothing in between, and no more (RFC 3931 5.4.4)."""
    assert [b"", bytes(4), bytes(8)] == [unpack_cookie(bytes(right)) for right in (0, 4, 8)]
    with pytest.raises(ValueError, match=f"of {size} octets"):
        unpack_cookie(bytes(size))


def test_a_digest_has_the_length_of_its_avp() -> None:
    """One octet says of what type it is."""
    assert 17 == len(MessageDigest(0, bytes(16)))


def test_reserved_fields_are_ignored() -> None:
    """Call Errors and ACCM start with two reserved octets."""
    assert CallErrors() == CallErrors.unpack(b"\xff\xff" + bytes(24))
    assert AccmValue(0, 0) == AccmValue.unpack(b"\xff\xff" + bytes(8))


def test_protocol_version_is_a_pair() -> None:
    """It compares with a plain tuple."""
    assert (1, 0) == ProtocolVersion()


def test_numbers_out_of_range_do_not_pack() -> None:
    """Nothing is truncated."""
    with pytest.raises(struct.error):
        ResultCode(65536).pack()


@pytest.mark.parametrize("octets", [b"", b"caf\xc3\xa9", b"\xff\xfe\x80", bytes(range(256))])
def test_text_gives_back_every_octet(octets: bytes) -> None:
    """Text that is no UTF-8 survives a round trip unchanged."""
    assert octets == pack_text(unpack_text(octets))
