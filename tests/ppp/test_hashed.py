"""Passwords that are kept as hashes."""

from __future__ import annotations

import hashlib

import pytest

from l2tpd.ppp import hashed

SALT = bytes(range(hashed.SALT))


def test_a_password_matches_its_hash_alone() -> None:
    """The notation is that of other programs."""
    text = hashed.make(b"wonder", SALT)
    assert text.startswith("$scrypt$ln=14,r=8,p=1$AAECAwQFBgcICQoLDA0ODw$")
    assert hashed.matches(text, b"wonder")
    assert not hashed.matches(text, b"Wonder")
    assert text != hashed.make(b"wonder", SALT[::-1])


def test_a_vector_of_the_rfc() -> None:
    """RFC 7914 12, the second: N = 1024, r = 8, p = 16."""
    text = "$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/xCSedmDDaxyevuUqD7m2DYMvfoswGQA"
    assert hashed.matches(text, b"password")
    assert hashlib.scrypt(b"password", salt=b"NaCl", n=1024, r=8, p=16) == hashed.parse(text).digest


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("wonder", "is not of the form"),
        ("$scrypt$ln=14,r=8,p=1$AAAA", "is not of the form"),
        ("$scrypt$ln=20,r=8,p=1$AAAA$AAAA", "more than 64 MiB"),
        ("$scrypt$ln=0,r=8,p=1$AAAA$AAAA", "takes no memory"),
        ("$scrypt$ln=16,r=1,p=1$AAAA$AAAA", "too large for its block size"),
        ("$scrypt$ln=14,r=8,p=1$A$AAAA", "is not base64"),
    ],
)
def test_what_is_no_hash(text: str, what: str) -> None:
    """It is refused with a reason that does not repeat it: it may be a password."""
    with pytest.raises(ValueError, match=what) as caught:
        hashed.parse(text)
    assert text not in str(caught.value)
