"""Tunnel authentication of RFC 2661 5.1.1: a CHAP-like MD5 over message type, secret and challenge."""

from __future__ import annotations

import hashlib
import hmac


def challenge_response(message_type: int, secret: bytes, challenge: bytes) -> bytes:
    """Give the 16 octets that answer `challenge` in a message of `message_type`.

    The type is 2 in an SCCRP and 3 in an SCCCN (RFC 2661 4.4.3), so that neither can be replayed as the other.
    """
    return hashlib.md5(bytes((message_type & 0xFF,)) + secret + challenge, usedforsecurity=False).digest()


def verify(message_type: int, secret: bytes, challenge: bytes, response: bytes) -> bool:
    """Tell in constant time whether `response`, which came in a message of `message_type`, answers our `challenge`."""
    return hmac.compare_digest(challenge_response(message_type, secret, challenge), response)
