"""RFC 3931 section 5: the format of AVPs, the M bit, hiding, and the layout of each attribute; all octets put together by hand."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from l2tpd.errors import Malformed
from l2tpd.wire.avp import KNOWN_3, RawAvp
from l2tpd.wire.messages import decode3, encode3, message
from l2tpd.wire.numbers import (
    CallResult,
    CircuitStatus,
    DigestType,
    ErrorCode,
    PseudowireType,
    SequencingLevel,
    StopResult,
    SublayerType,
)
from l2tpd.wire.values import CallErrors, ExtendedAvp, MessageDigest, ResultCode

HELLO = "8008 0000 0000 0006"
ICCN = "8008 0000 0000 000c 800a 0000 003f 00000101 800a 0000 0040 00000202"
SESSION = "800a 0000 003f 00000101 800a 0000 0040 00000202"
VECTOR = bytes(range(16))

# Number, M bit that SHOULD be sent, whether the H bit may be set, Length where there is one, a value, its octets; from 5.1 and 5.4.
ATTRIBUTES: list[tuple[int, bool, bool, int | None, Any, str]] = [
    (1, True, False, None, ResultCode(2, 6, "no"), "0002 0006 6e6f"),
    (5, True, False, 14, 0x0102030405060708, "0102030405060708"),
    (7, True, False, None, "lcce", "6c636365"),
    (8, False, True, None, "l2tpd", "6c32747064"),
    (10, True, False, 8, 128, "0080"),
    (15, False, True, 10, 7, "00000007"),
    (25, False, True, 10, 5, "00000005"),
    (34, False, True, 32, CallErrors(1, 2, 3, 4, 5, 6), "0000" + "".join(f"{n:08x}" for n in range(1, 7))),
    (58, False, True, None, (ExtendedAvp(0x00010203, 7, b"x"),), "00010203 0007 78"),
    (59, True, False, None, (MessageDigest(0, bytes(16)),), "00" + "00" * 16),
    (60, True, False, 10, 0xC0000201, "c0000201"),
    (61, True, True, 10, 0x01020304, "01020304"),
    (62, True, True, None, (5, 4, 7), "0005 0004 0007"),
    (63, True, True, 10, 0x0101, "00000101"),
    (64, True, True, 10, 0, "00000000"),
    (65, True, True, None, b"\1\2\3\4", "01020304"),
    (66, True, True, None, "circuit", "63697263756974"),
    (68, True, True, 8, 5, "0005"),
    (69, True, True, 8, 1, "0001"),
    (70, True, True, 8, 2, "0002"),
    (71, True, True, 8, 3, "0003"),
    (72, False, True, None, "en", "656e"),
    (73, True, False, None, bytes(16), "00" * 16),
    (74, False, True, 14, 10**10, "00000002540be400"),
    (75, False, True, 14, 10**9, "000000003b9aca00"),
]


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def avp(number: int, value: bytes, flags: int = 0x8000) -> bytes:
    return (flags | 6 + len(value)).to_bytes(2, "big") + bytes(2) + number.to_bytes(2, "big") + value


@pytest.mark.parametrize(("number", "mandatory", "hideable", "length", "value", "layout"), ATTRIBUTES)
def test_5_4_each_attribute(
    number: int, *, mandatory: bool, hideable: bool, length: int | None, value: Any, layout: str
) -> None:
    """It is sent with the M bit and the layout of its section, and read back; fixed Lengths are fixed."""
    row = KNOWN_3[number]
    built = avp(number, octets(layout), 0x8000 if mandatory else 0)
    assert octets(HELLO) + built == encode3(message(6, {row: value}))
    assert value == decode3(octets(HELLO) + built)[row]
    assert hideable == row.hideable
    if length is not None:
        assert (length, length) == (row.minimum + 6, row.maximum + 6)


@pytest.mark.parametrize(("number", "mandatory", "hideable", "length", "value", "layout"), ATTRIBUTES)
def test_5_4_what_must_not_be_hidden_never_is(
    number: int, *, mandatory: bool, hideable: bool, length: int | None, value: Any, layout: str
) -> None:
    """This AVP MUST NOT be hidden (the H bit MUST be 0)", though everything that may be is; Message Type and Random Vector go first, in clear."""
    del length, layout
    body = encode3(message(6, {KNOWN_3[number]: value}), secret=b"sesame", hide=True, random=lambda size: VECTOR[:size])
    *_, last = headers(body)
    assert (0x80 * mandatory | 0x40 * hideable, number) == last
    assert [(0x80, 0), (0x80, 36)][: 1 + hideable] == headers(body)[:-1]


def headers(body: bytes) -> list[tuple[int, int]]:
    """Return M and H bit, and attribute, of each AVP."""
    found = []
    while body:
        head = int.from_bytes(body[:2], "big")
        found.append((head >> 8 & 0xFC, int.from_bytes(body[4:6], "big")))
        body = body[head & 1023 :]
    return found


@pytest.mark.parametrize("opening", [HELLO.replace("8008", "c008"), "8007 0000 0007 68" + HELLO])
def test_5_4_1_the_message_type_must_be_first_and_in_clear(opening: str) -> None:
    """The Message Type AVP MUST be the first AVP in a message", "This AVP MUST NOT be hidden": nothing else can be read as a message."""
    with pytest.raises(Malformed):
        decode3(octets(opening))


def test_5_4_the_table_is_complete() -> None:
    """Message Type and Random Vector are shown elsewhere, 67 is not defined, 76 to 79 are another RFC's."""
    defined = {row[0] for row in ATTRIBUTES} | {0, 36}
    assert defined == {number for number, row in KNOWN_3.items() if row.where.startswith("RFC 3931")} | SHARED


SHARED = {0, 1, 5, 7, 8, 10, 15, 25, 34, 36}


@pytest.mark.parametrize("number", sorted({row[0] for row in ATTRIBUTES} - {58}))
def test_5_1_reserved_bits_must_be_ignored_upon_receipt(number: int) -> None:
    """Version 2 takes such an AVP for an unrecognized one; version 3 does not."""
    layout = {row[0]: row[5] for row in ATTRIBUTES}[number]
    said = decode3(octets(HELLO) + avp(number, octets(layout), 0xBC00))
    assert KNOWN_3[number] in said
    assert said.fault is None


def test_5_1_reserved_bits_of_the_message_type_are_ignored_too() -> None:
    """The rule has no exception."""
    assert 6 == decode3(octets("bc08 0000 0000 0006")).type


def test_5_1_an_extended_vendor_id_may_occur_many_times() -> None:
    """Each is kept with its 32-bit Vendor ID, attribute and value, and none is understood: the M bit is 0."""
    body = octets(HELLO) + avp(58, octets("00010000 0001 41"), 0) + avp(58, octets("ffffffff 0002"), 0)
    expected = (ExtendedAvp(0x00010000, 1, b"A"), ExtendedAvp(0xFFFFFFFF, 2))
    said = decode3(body)
    assert (expected, None) == (said[KNOWN_3[58]], said.fault)
    assert body == encode3(said)


def test_5_1_a_vendor_avp_of_16_bits_is_kept_octet_for_octet() -> None:
    """Vendor 9, attribute 1, without the M bit."""
    said = decode3(octets(HELLO) + octets("0008 0009 0001 abcd"))
    assert ((RawAvp(False, False, 9, 1, b"\xab\xcd"),), None) == (said.extra, said.fault)


@pytest.mark.parametrize(("opening", "session_scoped"), [(HELLO, False), (ICCN, True)])
def test_5_2_an_unrecognized_avp_with_the_m_bit_ends_the_session_or_the_control_connection(
    opening: str, *, session_scoped: bool
) -> None:
    """Result Code 2 with Error Code 8, in a CDN or in a StopCCN according to the message."""
    said = decode3(octets(opening) + octets("8006 0000 03e7"))
    assert said.fault is not None
    assert (ErrorCode.UNKNOWN_MANDATORY_AVP, session_scoped) == (said.fault.error, said.session_scoped)


@pytest.mark.parametrize("opening", [HELLO, ICCN])
def test_5_2_an_unrecognized_avp_without_the_m_bit_must_be_ignored(opening: str) -> None:
    """As if it were not present."""
    assert decode3(octets(opening) + octets("0006 0000 03e7")).fault is None


@pytest.mark.parametrize("number", [row[0] for row in ATTRIBUTES])
def test_5_2_the_m_bit_of_a_recognized_avp_is_of_no_consequence(number: int) -> None:
    """Neither set nor clear is it ever validated."""
    layout = octets({row[0]: row[5] for row in ATTRIBUTES}[number])
    with_m, without = (decode3(octets(HELLO) + avp(number, layout, flags)) for flags in (0x8000, 0))
    assert with_m == without
    assert with_m.fault is None


def test_7_1_a_connect_speed_of_4_octets_without_the_m_bit_is_ignored() -> None:
    """The RFC's own example: Rx Connect Speed of Length 10 rather than 14."""
    said = decode3(octets(ICCN) + avp(75, bytes(4), 0))
    assert (None, False, 1) == (said.fault, KNOWN_3[75] in said, len(said.notes))


@pytest.mark.parametrize(
    ("number", "value"), [(65, "010203"), (65, "0102030405"), (62, "00"), (62, "000500"), (68, "05"), (74, "00000001")]
)
def test_7_1_a_wrong_length_with_the_m_bit_is_fatal(number: int, value: str) -> None:
    """Error Code 2: Length is wrong; a cookie has 0, 4 or 8 octets, a capability 2."""
    said = decode3(octets(HELLO) + avp(number, octets(value)))
    assert said.fault is not None
    assert ErrorCode.BAD_LENGTH is said.fault.error


@pytest.mark.parametrize("cookie", [b"", bytes(4), bytes(8)])
def test_5_4_4_a_cookie_has_0_32_or_64_bits(cookie: bytes) -> None:
    """Its length is that of the AVP."""
    said = decode3(encode3(message(6, {KNOWN_3[65]: cookie})))
    assert cookie == said[KNOWN_3[65]]


def hidden_by_hand(number: int, value: bytes, secret: bytes, vector: bytes = VECTOR) -> bytes:
    """5.3: the length and the value, blocks of 16 octets xored with MD5 chains under HMAC-MD5(secret, 1)."""
    key = hmac.new(secret, b"\x01", hashlib.md5).digest()
    clear = len(value).to_bytes(2, "big") + value
    cipher, link = b"", number.to_bytes(2, "big") + key + vector
    for start in range(0, len(clear), 16):
        pad = hashlib.md5(link).digest()
        block = bytes(one ^ two for one, two in zip(clear[start : start + 16], pad, strict=False))
        cipher, link = cipher + block, key + block
    return cipher


@pytest.mark.parametrize(("number", "value"), [(66, "circuit"), (66, "x" * 40), (72, "en")])
def test_5_3_a_hidden_avp_is_read_with_the_key_derived_from_the_secret(number: int, value: str) -> None:
    """One block and several."""
    cipher = hidden_by_hand(number, value.encode(), b"sesame")
    body = octets(HELLO) + avp(36, VECTOR) + avp(number, cipher, 0xC000)
    said = decode3(body, secret=b"sesame")
    assert (value, True, None) == (said[KNOWN_3[number]], said.hides, said.fault)


def test_5_3_what_is_hidden_is_hidden_with_the_derived_key() -> None:
    """The Random Vector goes first; here the padding is cut so that the octets can be compared."""
    value = "exactly 14 b.."
    sent = message(6, {KNOWN_3[66]: value, KNOWN_3[60]: 1})
    body = encode3(sent, secret=b"sesame", hide=True, random=lambda size: VECTOR[:size])
    expected = avp(36, VECTOR) + avp(66, hidden_by_hand(66, value.encode(), b"sesame"), 0xC000)
    assert octets(HELLO) + expected + avp(60, octets("00000001")) == body


def test_5_3_a_hidden_avp_needs_a_random_vector_before_it() -> None:
    """And one with the M bit that cannot be read is fatal."""
    cipher = hidden_by_hand(66, b"circuit", b"sesame")
    said = decode3(octets(HELLO) + avp(66, cipher, 0xC000) + avp(36, VECTOR), secret=b"sesame")
    assert said.fault is not None
    assert "Random Vector" in said.fault.text


def test_5_4_2_codes() -> None:
    """Those of version 2 keep their numbers, 13 to 16 are new for a CDN, and error 9."""
    assert list(range(1, 8)) == list(StopResult)
    assert {1, 2, 3, 4, 5, 13, 14, 15, 16} <= set(CallResult)
    assert list(range(10)) == list(ErrorCode)


def test_5_4_values_of_the_registries() -> None:
    """5.4.1, 5.4.4, 5.4.5 with the bits of RFC 5641, and the pseudowire types of RFC 4719 and their neighbours."""
    assert [0, 1] == list(DigestType)
    assert [0, 1] == list(SublayerType)
    assert [0, 1, 2] == list(SequencingLevel)
    assert [1 << bit for bit in range(7)] == list(CircuitStatus)
    assert (1, 2) == (CircuitStatus.ACTIVE, CircuitStatus.NEW)
    assert (4, 5, 7) == (PseudowireType.ETHERNET_VLAN, PseudowireType.ETHERNET, PseudowireType.PPP)


def test_5_4_3_a_host_name_must_have_an_octet() -> None:
    """The Host Name is of arbitrary length, but MUST be at least 1 octet."""
    said = decode3(octets("8008 0000 0000 0001 8006 0000 0007"))
    assert said.fault is not None
    assert ErrorCode.BAD_LENGTH is said.fault.error


def test_5_3_a_new_random_vector_applies_to_what_follows_it() -> None:
    """When a different random vector is used ..., a new Random Vector AVP MUST be placed in the control message before the first AVP to which it applies."""
    said = decode3(
        octets(HELLO)
        + avp(36, VECTOR)
        + avp(66, hidden_by_hand(66, b"circuit", b"sesame"), 0xC000)
        + avp(36, VECTOR[::-1])
        + avp(72, hidden_by_hand(72, b"en", b"sesame", VECTOR[::-1]), 0x4000),
        secret=b"sesame",
    )
    assert ("circuit", "en") == (said[KNOWN_3[66]], said[KNOWN_3[72]])
