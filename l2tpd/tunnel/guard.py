"""Authentication and integrity of control messages in L2TPv3 (RFC 3931 4.3, 5.4.1): who signs what, and which messages are believed.

With a secret every message is signed, and none is believed that is not: there is nothing to which an attacker could talk two peers down. Without a
secret, or where the configuration wants no digest, one that comes proves integrity only, and is checked. We send such a one directly over IP, where no
checksum protects a message (4.1.1.2).

A StopCCN may leave before both nonces are known: the one side gives up before it has our SCCRP, the other refuses an SCCRQ without ever telling a nonce.
What its sender does not know it leaves out, so such a StopCCN is verified without it as well. It is still bound to a nonce that was drawn for this connection.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from l2tpd.config.model import Digest, Encapsulation, TunnelSettings
from l2tpd.errors import Malformed
from l2tpd.wire.avp import CONTROL_MESSAGE_NONCE
from l2tpd.wire.digest3 import Signer, sign, verify, without_digest
from l2tpd.wire.messages import V3, decode
from l2tpd.wire.numbers import DigestType, MessageType

NONCE_SIZE = 16

_SCCRQ = MessageType.SCCRQ.to_bytes(2, "big")
_STOPCCN = MessageType.STOPCCN.to_bytes(2, "big")
_TYPES = {Digest.HMAC_MD5: DigestType.HMAC_MD5, Digest.HMAC_SHA1: DigestType.HMAC_SHA1}


@attrs.define(eq=False)
class Guard:
    """The digests of one control connection."""

    demands: bool  # messages without a digest are not believed
    signers: tuple[Signer, ...]  # of what we send; none: it goes unsigned
    judges: tuple[Signer, ...]  # of what arrives, whatever algorithm the peer prefers
    nonce: bytes = b""
    peer_nonce: bytes = b""
    asked: bool = False  # by an SCCRQ of ours

    @classmethod
    def of(cls, settings: TunnelSettings, secret: bytes, encap: Encapsulation, random: Callable[[int], bytes]) -> Guard:
        """Return what a tunnel of these settings needs."""
        if settings.digest is Digest.NONE:
            return cls(False, (), _judges(b""))
        signs = bool(secret) or encap is Encapsulation.IP
        signers = (Signer.of(secret, _TYPES[settings.digest]),) if signs else ()
        return cls(bool(secret), signers, _judges(secret), random(NONCE_SIZE) if secret else b"")

    def seal(self, datagram: bytes) -> bytes:
        """Sign a message on its way out; its header is final."""
        self.asked = self.asked or datagram[18:20] == _SCCRQ
        return sign(datagram, self.signers, self.nonce, self.peer_nonce) if self.signers else datagram

    def part(self, datagram: bytes) -> bytes:
        """Sign the StopCCN that refuses an SCCRQ: its receiver knows no nonce of ours."""
        return sign(datagram, self.signers, b"", self.peer_nonce) if self.signers else datagram

    def unseal(self, datagram: bytes, body: bytes) -> bytes | None:
        """Return the body of a received message without the digest, or None where it is not believed."""
        return without_digest(body) if self.believes(datagram, body) else None

    def believes(self, datagram: bytes, body: bytes) -> bool:
        """Tell whether a received message is its sender's; `body` is what follows its header."""
        if not self.demands:
            return verify(datagram, self.judges) is not False
        if self.asked and body[6:8] == _SCCRQ:
            return False  # signed without a nonce of ours: an old one of the peer's, or our own (reflection)
        nonce = self.peer_nonce or _nonce_in(body)  # an SCCRP is signed with the nonce that it brings
        if nonce and nonce != self.nonce and verify(datagram, self.judges, nonce, self.nonce):
            self.peer_nonce = nonce
            return True
        return body[6:8] == _STOPCCN and self._ends(datagram)

    def _ends(self, datagram: bytes) -> bool:
        """Tell whether a StopCCN is that of a peer which knows but one of the nonces."""
        known = ((b"", self.nonce), (self.peer_nonce, b"")) if self.peer_nonce else ((b"", self.nonce),)
        return any(verify(datagram, self.judges, *nonces) for nonces in known)


def _judges(secret: bytes) -> tuple[Signer, ...]:
    return tuple(Signer.of(secret, kind) for kind in _TYPES.values())


def _nonce_in(body: bytes) -> bytes:
    try:
        return decode(body, vocabulary=V3).get(CONTROL_MESSAGE_NONCE) or b""
    except Malformed:
        return b""
