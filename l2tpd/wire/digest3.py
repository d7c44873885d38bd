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
    from collections.abc import Collection, Iterable

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

    def digest(self, covered: bytes) -> bytes:
        """Give the keyed digest of some octets."""
        inner = self._inner.copy()
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
    heads = _MANDATORY_HEADS if message[1] & 0xF == 3 else _OPTIONAL_HEADS
    blanks = b""
    for one in signers:
        blanks += heads[one.algorithm]
    length = len(message) + len(blanks)
    _check_signable(message, signers, length)
    start, rest = message[:2] + length.to_bytes(2, "big") + message[4:_START], message[_START:]
    covered = _nonces(message, sender_nonce, receiver_nonce) + start + blanks + rest
    for one in signers:
        start += heads[one.algorithm][:_HEAD_SIZE] + one.digest(covered)
    return start + rest


def verify(
    message: bytes, signers: Collection[Signer], sender_nonce: bytes = b"", receiver_nonce: bytes = b""
) -> bool | None:
    """Tell whether a received message is what its sender signed: one digest that one signer agrees with is enough.

    None means that it carries no digest at all, which only a receiver that demands none may let pass. What follows the
    Length of the header is no part of the message. Digests are compared in constant time. Never raises.
    """
    if message[_START + 2 : _START + 6] != _MARK:
        return None
    message = message[: int.from_bytes(message[2:4], "big")]
    nonces = _nonces(message, sender_nonce, receiver_nonce)
    alone = False
    for signer in signers:  # nearly every message has one digest, laid out as ours are
        blank = _MANDATORY_HEADS[signer.algorithm]
        end = _START + len(blank)
        as_ours = end <= len(message) and message.startswith(blank[:_HEAD_SIZE], _START)
        if as_ours and message[end + 2 : end + 6] != _MARK:
            covered = nonces + message[:_START] + blank + message[end:]
            if hmac.compare_digest(signer.digest(covered), message[_START + _HEAD_SIZE : end]):
                return True
            alone = True
    return False if alone else _verify_each(message, signers, nonces)


def _verify_each(message: bytes, signers: Collection[Signer], nonces: bytes) -> bool | None:
    """Verify a message that has none, several, or one that is laid out otherwise."""
    covered, found = _blanked(message)
    if not found:
        return None
    covered = nonces + covered
    right = False
    for signer in signers:
        for algorithm, digest in found:
            if algorithm == signer.algorithm:
                right |= hmac.compare_digest(signer.digest(covered), digest)
    return right


def without_digest(body: bytes) -> bytes:
    """Give the body of a message that was verified without its first Message Digest, which has said all that it can."""
    head = int.from_bytes(body[8:10], "big")
    end = 8 + (head & _LENGTH)
    if body[10:14] != _MARK or head & _HIDDEN or not 8 + _HEAD_SIZE <= end <= len(body):
        return body
    return body[:8] + body[end:]


def _blanked(message: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Find the Message Digest AVPs at their fixed offset, two at most: give the message with zeros for them, and type and digest of each."""
    blanked = message
    found: list[tuple[int, bytes]] = []
    position = _START
    while message[position + 2 : position + 6] == _MARK and len(found) < 2:
        head = int.from_bytes(message[position : position + 2], "big")
        start, end = position + _HEAD_SIZE, position + (head & _LENGTH)
        if head & _HIDDEN or not start <= end <= len(message):
            break
        found.append((message[start - 1], message[start:end]))
        blanked = blanked[:start] + bytes(end - start) + blanked[end:]
        position = end
    return blanked, found


def _nonces(message: bytes, sender_nonce: bytes, receiver_nonce: bytes) -> bytes:
    """Give what is digested before a message: nothing before an SCCRQ, whose nonce is inside it while the other is not known yet (RFC 3931 5.4.1)."""
    return b"" if message[14:_START] == _REQUEST else sender_nonce + receiver_nonce


def _check_signable(message: bytes, signers: tuple[Signer, ...], length: int) -> None:
    if not 1 <= len(signers) <= 2:
        msg = f"a message carries one or two digests, not {len(signers)}"
        raise LocalProtocolError(msg)
    if len(message) < _START:
        msg = f"control message of {len(message)} octets has no Message Type to put a digest behind"
        raise LocalProtocolError(msg)
    if message[_START + 2 : _START + 6] == _MARK and _blanked(message)[1]:
        msg = "the message has a digest already"
        raise LocalProtocolError(msg)
    if length > 0xFFFF:
        msg = f"signed control message of {length} octets, at most 65535 fit"
        raise LocalProtocolError(msg)
