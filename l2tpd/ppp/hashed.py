"""Passwords that are kept as scrypt hashes (RFC 7914), in the notation `$scrypt$ln=14,r=8,p=1$SALT$HASH`. Pure; takes a tenth of a second.

Only PAP can do with a hash: for the others both sides need the password itself (RFC 1994 2.1, RFC 2759 8).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final, NamedTuple

SALT: Final = 16  # octets of a salt that is made here
_USUAL: Final = (14, 8, 1)
_HASH: Final = 32  # octets
_NOTATION = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)\Z")
_DEAREST: Final = 1 << 26  # octets of memory: each attempt to log in takes them


class Hashed(NamedTuple):
    """The hash of a password; `cost` is the logarithm of scrypt's N."""

    cost: int
    block: int
    parallel: int
    salt: bytes
    digest: bytes


def parse(text: str) -> Hashed:
    """Read the notation. Raises `ValueError`; the text is not repeated in the message."""
    found = _NOTATION.match(text)
    if found is None:
        raise ValueError("is not of the form `$scrypt$ln=14,r=8,p=1$SALT$HASH`")
    cost, block, parallel = int(found[1]), int(found[2]), int(found[3])
    if cost >= 16 * block:  # RFC 7914 2
        raise ValueError("has a cost that is too large for its block size")
    if not (cost and block and parallel and block * parallel << cost + 7 <= _DEAREST):
        raise ValueError(f"takes no memory, or more than {_DEAREST >> 20} MiB for each attempt to log in")
    return Hashed(cost, block, parallel, _decoded(found[4]), _decoded(found[5]))


def make(password: bytes, salt: bytes) -> str:
    """Return the notation of a password; the salt is as many octets as `SALT` says, such as nobody can foretell."""
    cost, block, parallel = _USUAL
    digest = _digest(password, Hashed(cost, block, parallel, salt, bytes(_HASH)))
    return f"$scrypt$ln={cost},r={block},p={parallel}${_encoded(salt)}${_encoded(digest)}"


def matches(text: str, password: bytes) -> bool:
    """Tell whether a hash is that of a password. Raises `ValueError` for what is no hash."""
    hashed = parse(text)
    return hmac.compare_digest(hashed.digest, _digest(password, hashed))


def _digest(password: bytes, how: Hashed) -> bytes:
    number = 1 << how.cost
    memory = 256 * how.block * (number + how.parallel)  # twice what it takes
    return hashlib.scrypt(
        password, salt=how.salt, n=number, r=how.block, p=how.parallel, maxmem=memory, dklen=len(how.digest)
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("has a salt or a hash that is not base64") from None


def _encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode().rstrip("=")
