"""How a played peer signs what it says in version 3, and verifies what we say (RFC 3931 4.3); `wire.digest3` does the arithmetic."""

from __future__ import annotations

import attrs

from l2tpd.tunnel.guard import Guard
from l2tpd.wire.avp import CONTROL_MESSAGE_NONCE
from l2tpd.wire.digest3 import Signer, sign, verify
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import DigestType, MessageType

_INTRODUCING = frozenset({MessageType.SCCRQ, MessageType.SCCRP})


@attrs.define(eq=False)
class Seal:
    """What one peer signs with, nothing without a `signer`; its nonce goes into what introduces it, ours is learnt from what we say."""

    signer: Signer | None = None
    nonce: bytes = b"the peer's nonce"
    ours: bytes = b""

    @classmethod
    def of(cls, guard: Guard | None, secret: bytes) -> Seal:
        """Return that of a peer which does as this guard wants it."""
        return cls(Signer.of(secret) if guard is not None and guard.demands else None)

    def introduce(self, said: Message) -> Message:
        """Return the message with the nonce that it has to bring."""
        if self.signer is None or said.type not in _INTRODUCING:
            return said
        return message(said.type, {CONTROL_MESSAGE_NONCE: self.nonce, **said.values}, said.extra, said.vocabulary)

    def sign(self, datagram: bytes) -> bytes:
        """Return the datagram with a digest, where there is a message to sign."""
        if self.signer is None or len(datagram) < 20:
            return datagram
        return sign(datagram, [self.signer], self.nonce, self.ours)

    def verify(self, datagram: bytes, said: Message | None, *, heard: bool) -> bool | None:
        """Tell whether a datagram of ours has a digest, and the right one; `heard` if we have learnt the peer's nonce."""
        self.ours = (said.get(CONTROL_MESSAGE_NONCE) if said else None) or self.ours
        signer = self.signer or Signer.of(b"")
        either = [attrs.evolve(signer, algorithm=algorithm) for algorithm in DigestType]
        return verify(datagram, either, self.ours, self.nonce if heard else b"")
