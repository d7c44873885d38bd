"""The computations of MS-CHAP, versions 1 and 2 (RFC 2433 A, RFC 2759 8), under the names of the RFCs.

MD4 and DES are broken; nothing here protects anything but a login over an otherwise protected path. They come from pycryptodome, since OpenSSL 3
hides them.
"""

from __future__ import annotations

import hashlib
from typing import Final

from Crypto.Cipher import DES
from Crypto.Hash import MD4

# RFC 2759 8.7
_MAGIC1: Final = b"Magic server to client signing constant"
_MAGIC2: Final = b"Pad to make it do more than one iteration"


def challenge_hash(peer_challenge: bytes, authenticator_challenge: bytes, user: bytes) -> bytes:
    """Return the 8 octets that both challenges and the user name, without its domain, come to (RFC 2759 8.2)."""
    return hashlib.sha1(peer_challenge + authenticator_challenge + user.rpartition(b"\\")[2]).digest()[:8]


def nt_password_hash(password: str) -> bytes:
    """Return the 16 octets of MD4 over the password in UTF-16 (RFC 2759 8.3)."""
    return MD4.new(password.encode("utf-16-le", "surrogatepass")).digest()  # noqa: S303 - prescribed


def challenge_response(challenge: bytes, password_hash: bytes) -> bytes:
    """Return the 24 octets of 8 octets of challenge, encrypted under three keys (RFC 2759 8.5)."""
    keys = password_hash.ljust(21, b"\0")
    return b"".join(_des(challenge, keys[at : at + 7]) for at in (0, 7, 14))


def generate_nt_response(authenticator_challenge: bytes, peer_challenge: bytes, user: bytes, password: str) -> bytes:
    """Return the 24 octets that prove knowledge of the password (RFC 2759 8.1)."""
    challenge = challenge_hash(peer_challenge, authenticator_challenge, user)
    return challenge_response(challenge, nt_password_hash(password))


def authenticator_response(
    password: str, nt_response: bytes, peer_challenge: bytes, authenticator_challenge: bytes, user: bytes
) -> bytes:
    """Return "S=" and 40 digits, with which the authenticator proves that it knows the password too (RFC 2759 8.7)."""
    hash_hash = MD4.new(nt_password_hash(password)).digest()  # noqa: S303 - prescribed
    inner = hashlib.sha1(hash_hash + nt_response + _MAGIC1).digest()
    challenge = challenge_hash(peer_challenge, authenticator_challenge, user)
    outer = hashlib.sha1(inner + challenge + _MAGIC2).digest()
    return b"S=" + outer.hex().upper().encode()


def des_key(raw: bytes) -> bytes:
    """Spread 7 octets over 8 and make the parity of each odd (RFC 2759 9.3)."""
    bits = int.from_bytes(raw, "big")
    halves = [bits >> shift & 0x7F for shift in range(49, -1, -7)]
    return bytes(seven << 1 | ~seven.bit_count() & 1 for seven in halves)


def _des(clear: bytes, raw_key: bytes) -> bytes:
    return DES.new(des_key(raw_key), DES.MODE_ECB).encrypt(clear)  # noqa: S304 - prescribed
