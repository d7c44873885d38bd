"""RFC 2661 4.3 Hiding of AVP Attribute Values: each test quotes the requirement that it checks."""

from __future__ import annotations

import hashlib

import pytest

from l2tpd.errors import LocalProtocolError
from l2tpd.wire.avp import CHALLENGE, HIDDEN, KNOWN, RANDOM_VECTOR, VENDOR_NAME
from l2tpd.wire.hide import hide
from l2tpd.wire.messages import decode, encode, message
from l2tpd.wire.numbers import MessageType

SECRET = b"shared secret"
VECTOR = bytes(range(16))
SENT = message(MessageType.HELLO, {VENDOR_NAME: "a vendor with a long name", CHALLENGE: b"challenge"})


def headers(body: bytes) -> list[tuple[bool, int]]:
    """H bit and attribute of each AVP in order."""
    found = []
    while body:
        head = int.from_bytes(body[:2], "big")
        found.append((head & HIDDEN != 0, int.from_bytes(body[4:6], "big")))
        body = body[head & 1023 :]
    return found


def test_4_3_the_h_bit_needs_a_shared_secret() -> None:
    """4.3: "The H bit MUST only be set if a shared secret exists between the LAC and LNS"."""
    with pytest.raises(LocalProtocolError):
        encode(SENT, secret=b"", hide=True, random=bytes)


def test_4_3_a_random_vector_precedes_the_first_hidden_avp() -> None:
    """4.3: "a Random Vector AVP must also be present in the message and MUST precede the first AVP having an H bit of 1"."""
    body = encode(SENT, secret=SECRET, hide=True, random=lambda size: VECTOR[:size])
    assert [(False, 0), (False, RANDOM_VECTOR.number), (True, VENDOR_NAME.number), (True, CHALLENGE.number)] == headers(
        body
    )


def test_4_4_avps_that_must_not_be_hidden_are_not() -> None:
    """4.4: "This AVP MUST NOT be hidden" of types 0, 1, 2, 5, 7, 10, 12, 36 and 39, and of no other."""
    assert {0, 1, 2, 5, 7, 10, 12, 36, 39} == {
        avp.number for avp in KNOWN.values() if not avp.hideable and avp.where.startswith("RFC 2661")
    }


def test_4_3_the_original_length_is_restored_whatever_the_padding() -> None:
    """4.3: "Padding does NOT alter the value placed in the Length of Original Attribute Value field"."""
    for padding in (b"", b"x", bytes(30)):
        hidden = hide(11, b"challenge", SECRET, VECTOR, padding)
        avp = (0xC000 | 6 + len(hidden)).to_bytes(2, "big") + b"\0\0\0\x0b" + hidden
        body = bytes.fromhex("8008 0000 0000 0006 8016 0000 0024") + VECTOR + avp
        assert b"challenge" == decode(body, secret=SECRET)[CHALLENGE]


def test_4_3_first_segment_is_md5_of_type_secret_and_vector() -> None:
    """4.3: "An MD5 hash is performed on the concatenation of: the 2 octet Attribute number [...], the shared secret, [...] random vector"."""
    key = hashlib.md5(b"\0\x0b" + SECRET + VECTOR).digest()
    assert bytes(a ^ b for a, b in zip(b"\0\1c", key, strict=False)) == hide(11, b"c", SECRET, VECTOR)


def test_4_3_second_segment_is_md5_of_secret_and_first_result() -> None:
    """4.3: "a second one-way MD5 hash is calculated over [...] the shared secret followed by the result of the first XOR"."""
    hidden = hide(11, b"c" * 20, SECRET, VECTOR)
    key = hashlib.md5(SECRET + hidden[:16]).digest()
    assert b"c" * 6 == bytes(a ^ b for a, b in zip(hidden[16:], key, strict=False))


def test_4_3_the_random_vector_is_the_last_one_before() -> None:
    """4.3: "the random vector is taken from the last Random Vector AVP encountered in the message prior to the AVP to be unhidden"."""
    hidden = hide(11, b"challenge", SECRET, VECTOR)
    avp = (0xC000 | 6 + len(hidden)).to_bytes(2, "big") + b"\0\0\0\x0b" + hidden
    other = bytes.fromhex("8007 0000 0024 ff")
    body = bytes.fromhex("8008 0000 0000 0006") + other + bytes.fromhex("8016 0000 0024") + VECTOR + avp + other
    assert b"challenge" == decode(body, secret=SECRET)[CHALLENGE]
