"""Hiding against the definition of RFC 2661 4.3 written out with hashlib, and against hostile cipher texts."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import Malformed
from l2tpd.wire.hide import hide, unhide


def by_the_book(number: int, subformat: bytes, secret: bytes, vector: bytes) -> bytes:
    """The method as the RFC explains it: b1 = MD5(AV + S + RV), bi = MD5(S + c(i-1)), ci = pi xor bi."""
    key = hashlib.md5(bytes([number >> 8, number & 255]) + secret + vector).digest()
    cipher = b""
    while subformat:
        block = bytes(p ^ k for p, k in zip(subformat[:16], key, strict=False))
        cipher += block
        subformat = subformat[16:]
        key = hashlib.md5(secret + block).digest()
    return cipher


@pytest.mark.parametrize("size", [0, 1, 2, 13, 14, 15, 29, 30, 31, 46, 1015])
@pytest.mark.parametrize("padding", [b"", b"x", b"0123456789abcdef0123"])
def test_hiding_follows_the_rfc(size: int, padding: bytes) -> None:
    """One block, exact blocks and many blocks, with and without padding."""
    value = bytes(index & 255 for index in range(size))
    subformat = bytes([size >> 8, size & 255]) + value + padding
    expected = by_the_book(33, subformat, b"secret", b"vector")
    assert expected == hide(33, value, b"secret", b"vector", padding)
    assert value == unhide(33, expected, b"secret", b"vector")


def test_hidden_length_is_value_plus_two_plus_padding() -> None:
    """The RFC's example: 4 octets and 12 of padding make an AVP of 24."""
    assert 24 == 6 + len(hide(7, b"abcd", b"s", b"v", bytes(12)))


@given(st.integers(0, 0xFFFF), st.binary(max_size=200), st.binary(min_size=1), st.binary(), st.binary(max_size=40))
def test_round_trip(number: int, value: bytes, secret: bytes, vector: bytes, padding: bytes) -> None:
    """Whatever is hidden comes back."""
    assert value == unhide(number, hide(number, value, secret, vector, padding), secret, vector)


@pytest.mark.parametrize("size", [2, 5, 16, 17, 40])
def test_every_inner_length_is_bounded(size: int) -> None:
    """Inner lengths up to the room that there is give that many octets; all others up to 0xffff are malformed."""
    vector = b"0123456789abcdef"
    for length in (*range(size + 3), 0x00FF, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF):
        cipher = by_the_book(33, length.to_bytes(2, "big") + bytes(size - 2), b"secret", vector)
        if length <= size - 2:
            assert bytes(length) == unhide(33, cipher, b"secret", vector)
        else:
            with pytest.raises(Malformed, match="claims"):
                unhide(33, cipher, b"secret", vector)


@pytest.mark.parametrize("value", [b"", b"\0"])
def test_too_short_for_an_inner_length(value: bytes) -> None:
    """A hidden value has at least two octets."""
    with pytest.raises(Malformed, match="hidden value"):
        unhide(33, value, b"secret", b"vector")


@given(st.binary(max_size=1017), st.binary(max_size=1017))
def test_any_cipher_text_is_unhidden_or_malformed(value: bytes, vector: bytes) -> None:
    """A wrong secret or random octets never do anything else."""
    try:
        clear = unhide(33, value, b"secret", vector)
    except Malformed:
        return
    assert len(clear) <= len(value) - 2
