"""Hiding of AVP values (RFC 2661 4.3): an MD5 key stream chained over the cipher text, in blocks of 16 octets.

Version 3 hides in the same way, but under a key derived from the secret, `digest3.shared_key(secret, HIDING)`, that
takes the place of the secret here (RFC 3931 5.3).

It has no integrity: what comes out of `unhide` is as hostile as what went in, and a wrong secret shows only as an
inner length that does not fit.
"""

from __future__ import annotations

import hashlib
from typing import Final

from l2tpd.errors import Malformed

_BLOCK: Final = 16


def hide(avp_number: int, value: bytes, secret: bytes, random_vector: bytes, padding: bytes = b"") -> bytes:
    """Hide `value` of attribute `avp_number`; the result is 2 octets and `padding` longer (RFC 2661 4.3)."""
    plain = len(value).to_bytes(2, "big") + value + padding
    key = _md5(avp_number.to_bytes(2, "big") + secret + random_vector)
    blocks = []
    for start in range(0, len(plain), _BLOCK):
        block = _xor(plain[start : start + _BLOCK], key)
        blocks.append(block)
        key = _md5(secret + block)
    return b"".join(blocks)


def unhide(avp_number: int, value: bytes, secret: bytes, random_vector: bytes) -> bytes:
    """Recover the original value of a hidden AVP.

    Raise `Malformed` when its inner length does not fit (RFC 2661 4.3).
    """
    if len(value) < 2:
        msg = f"hidden value of {len(value)} octets"
        raise Malformed(msg)
    key = _md5(avp_number.to_bytes(2, "big") + secret + random_vector)
    plain = _xor(value[:_BLOCK], key)
    length = int.from_bytes(plain[:2], "big")
    if length > len(value) - 2:
        msg = f"hidden value of {len(value)} octets claims {length}"
        raise Malformed(msg)
    blocks = [plain]
    for start in range(_BLOCK, 2 + length, _BLOCK):
        key = _md5(secret + value[start - _BLOCK : start])
        blocks.append(_xor(value[start : start + _BLOCK], key))
    return b"".join(blocks)[2 : 2 + length]


def _md5(octets: bytes) -> bytes:
    return hashlib.md5(octets, usedforsecurity=False).digest()


def _xor(block: bytes, key: bytes) -> bytes:
    size = len(block)
    return (int.from_bytes(block, "big") ^ int.from_bytes(key[:size], "big")).to_bytes(size, "big")
