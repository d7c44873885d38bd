"""Challenge and response against MD5 by hand (RFC 2661 5.1.1)."""

from __future__ import annotations

import hashlib

import pytest

from l2tpd.wire.digest import challenge_response, verify


def test_response_is_md5_of_type_secret_and_challenge() -> None:
    """The ID octet is the type of the message that carries the response: 2 for SCCRP, 3 for SCCCN."""
    assert hashlib.md5(b"\x02" + b"secret" + b"challenge").digest() == challenge_response(2, b"secret", b"challenge")
    assert hashlib.md5(b"\x03" + b"secret" + b"challenge").digest() == challenge_response(3, b"secret", b"challenge")


def test_response_is_this_very_number() -> None:
    """A vector worked out with the md5sum program: octet 2, then "sesame", then 0123456789abcdef."""
    assert VECTOR == challenge_response(2, b"sesame", b"0123456789abcdef").hex()


VECTOR = "507c2be0ed7f23f57751800ae98bdc3a"


def test_the_right_response_verifies() -> None:
    """Both ends with one secret agree."""
    assert verify(2, b"s", b"c", challenge_response(2, b"s", b"c"))


@pytest.mark.parametrize("response", [b"", b"short", bytes(16), bytes(17)])
def test_a_wrong_response_does_not(response: bytes) -> None:
    """Any other octets, of whatever length, are refused without an exception."""
    assert not verify(2, b"s", b"c", response)


def test_a_response_cannot_be_replayed_in_the_other_message() -> None:
    """An SCCRP response is no SCCCN response."""
    assert not verify(3, b"s", b"c", challenge_response(2, b"s", b"c"))
