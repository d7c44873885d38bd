"""Control message authentication of version 3 (RFC 3931 4.3 and 5.4.1): a keyed digest over every message.

`sign` and `verify` work on the raw message from the control header on (over IP: after the four octets of zeros), since
nothing in a message may be believed before its digest is. The Message Digest AVP stands right behind the Message Type,
at a fixed offset; a second one, for the time of a change of secret or algorithm, right behind the first. A digest
anywhere else is none.

The digest covers the header, whose Nr changes with every transmission: a message is signed each time it leaves.

Without a secret the digest is computed all the same, with an empty secret and no nonces: it then proves integrity only,
which messages directly over IP need because no UDP checksum protects them (4.1.1.2).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import attrs

from l2tpd.errors import LocalProtocolError
from l2tpd.wire.numbers import DigestType, MessageType

if TYPE_CHECKING:
    from _hashlib import HASH
    from collections.abc import Iterable

_START: Final = 20
"""Where the first Message Digest stands: 12 octets of header, 8 of Message Type."""

_HEAD: Final = struct.Struct("!HIB")
"""Flags with length, vendor and attribute, Digest Type."""

_HEAD_SIZE: Final = 7
_KEY: Final = 59
_BLOCK: Final = 64
"""Octets that MD5 and SHA-1 digest at a time (RFC 2104 2)."""

_MANDATORY: Final = 0x8000
_HIDDEN: Final = 0x4000
_LENGTH: Final = 0x03FF
_ALGORITHMS: Final[dict[int, str]] = {DigestType.HMAC_MD5: "md5", DigestType.HMAC_SHA1: "sha1"}
_SIZES: Final[dict[int, int]] = {DigestType.HMAC_MD5: 16, DigestType.HMAC_SHA1: 20}

_MANDATORY_HEADS: Final = {
    kind: _HEAD.pack(_MANDATORY | _HEAD_SIZE + size, _KEY, kind) + bytes(size) for kind, size in _SIZES.items()
}
_OPTIONAL_HEADS: Final = {
    kind: _HEAD.pack(_HEAD_SIZE + size, _KEY, kind) + bytes(size) for kind, size in _SIZES.items()
}
"""The AVP with a digest of zeros, as which it is digested."""

_REQUEST: Final = bytes(4) + MessageType.SCCRQ.to_bytes(2, "big")
"""Vendor, attribute and value of the Message Type: a vendor may have a type of the same number."""

_MARK: Final = bytes(2) + _KEY.to_bytes(2, "big")
"""Vendor and attribute of a Message Digest, behind its flags."""

_SECRETS: Final = 256
"""How many signers are kept for the next control connection of the same peer."""

HIDING: Final = 1
AUTHENTICATION: Final = 2
"""What a key is derived for (RFC 3931 5.3 and 5.4.1)."""


def shared_key(secret: bytes, purpose: int) -> bytes:
    """Derive the key for `HIDING` or `AUTHENTICATION` from the shared secret, so that neither betrays the other."""
    return hmac.digest(secret, bytes((purpose,)), "md5")


@attrs.frozen(repr=False)
class Signer:
    """One secret with one algorithm, ready to sign any number of messages.

    The key is hashed once, into the two states of HMAC (RFC 2104 2) that are copied for each message. `hmac.HMAC` can be
    copied as well, in half as much time again.
    """

    algorithm: int
    key: bytes
    _inner: HASH = attrs.field(init=False, eq=False)
    _outer: HASH = attrs.field(init=False, eq=False)

    @_inner.default
    def _begin(self) -> HASH:
        return self._keyed(0x36)

    @_outer.default
    def _finish(self) -> HASH:
        return self._keyed(0x5C)

    def _keyed(self, pad: int) -> HASH:
        block = bytes(octet ^ pad for octet in self.key.ljust(_BLOCK, b"\0"))
        return hashlib.new(_ALGORITHMS[self.algorithm], block, usedforsecurity=False)

    @classmethod
    @lru_cache(maxsize=_SECRETS)
    def of(cls, secret: bytes, algorithm: int = DigestType.HMAC_MD5) -> Signer:
        """Derive the key; an empty secret makes a signer of integrity alone.

        Raise `LocalProtocolError` on an algorithm that there is not.
        """
        if algorithm not in _ALGORITHMS:
            msg = f"there is no digest type {algorithm}"
            raise LocalProtocolError(msg)
        return cls(algorithm, shared_key(secret, AUTHENTICATION))

    def digest(self, nonces: bytes, covered: bytes | bytearray) -> bytes:
        """Give the keyed digest of both, one behind the other."""
        inner = self._inner.copy()
        inner.update(nonces)
        inner.update(covered)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


def sign(message: bytes, signers: Iterable[Signer], sender_nonce: bytes = b"", receiver_nonce: bytes = b"") -> bytes:
    """Insert a Message Digest behind the Message Type for each signer, one or two, and give the longer message.

    The nonces are those of the Control Message Authentication Nonce AVPs; an SCCRQ is signed without them. In a message
    of version 2, the SCCRQ of RFC 3931 4.7.3, the AVP is sent without its M bit. Raise `LocalProtocolError` on a
    message that has no body (a ZLB cannot be authenticated), has a digest, or would become too long.
    """
    signers = tuple(signers)
    _check_signable(message, signers)
    heads = _MANDATORY_HEADS if message[1] & 0xF == 3 else _OPTIONAL_HEADS
    blanks = b"".join([heads[one.algorithm] for one in signers])
    start, rest = _lengthened(message, len(blanks)) + message[4:_START], message[_START:]
    nonces = b"" if _is_request(message) else sender_nonce + receiver_nonce
    covered = start + blanks + rest
    signed = [heads[one.algorithm][:_HEAD_SIZE] + one.digest(nonces, covered) for one in signers]
    return b"".join((start, *signed, rest))


def verify(
    message: bytes, signers: Iterable[Signer], sender_nonce: bytes = b"", receiver_nonce: bytes = b""
) -> bool | None:
    """Tell whether a received message is what its sender signed: one digest that one signer agrees with is enough.

    None means that it carries no digest at all, which only a receiver that demands none may let pass. What follows the
    Length of the header is no part of the message. Digests are compared in constant time. Never raises.
    """
    if message[_START + 2 : _START + 6] != _MARK:
        return None
    message = message[: int.from_bytes(message[2:4], "big")]
    found = _digests(message)
    if not found:
        return None
    nonces = b"" if _is_request(message) else sender_nonce + receiver_nonce
    covered = bytearray(message)
    for _, where in found:
        covered[where] = bytes(where.stop - where.start)
    right = False
    for signer in signers:
        for algorithm, where in found:
            if algorithm == signer.algorithm:
                right |= hmac.compare_digest(signer.digest(nonces, covered), message[where])
    return right


def _digests(message: bytes) -> list[tuple[int, slice]]:
    """Find the Message Digest AVPs at their fixed offset, two at most, whatever is in them: type and place of each digest."""
    found: list[tuple[int, slice]] = []
    position = _START
    while len(found) < 2 and position + _HEAD_SIZE <= len(message):
        head, key, algorithm = _HEAD.unpack_from(message, position)
        end = position + (head & _LENGTH)
        if key != _KEY or head & _HIDDEN or not position + _HEAD_SIZE <= end <= len(message):
            break
        found.append((algorithm, slice(position + _HEAD_SIZE, end)))
        position = end
    return found


def _is_request(message: bytes) -> bool:
    """Tell whether this is an SCCRQ: its nonce is inside it, and the other one is not known yet (RFC 3931 5.4.1)."""
    return message[14:_START] == _REQUEST


def _check_signable(message: bytes, signers: tuple[Signer, ...]) -> None:
    if not 1 <= len(signers) <= 2:
        msg = f"a message carries one or two digests, not {len(signers)}"
        raise LocalProtocolError(msg)
    if len(message) < _START:
        msg = f"control message of {len(message)} octets has no Message Type to put a digest behind"
        raise LocalProtocolError(msg)
    if message[_START + 2 : _START + 6] == _MARK and _digests(message):
        msg = "the message has a digest already"
        raise LocalProtocolError(msg)


def _lengthened(message: bytes, more: int) -> bytes:
    """Give the first four octets of the header with the new Length."""
    length = len(message) + more
    if length > 0xFFFF:
        msg = f"signed control message of {length} octets, at most 65535 fit"
        raise LocalProtocolError(msg)
    return message[:2] + length.to_bytes(2, "big")
