"""The Compression Control Protocol, for the sake of MPPE alone, and what it opens: nothing is compressed here (RFC 1962, RFC 3078).

Each side asks for what it wishes to receive. We ask for every strength that may be used, the peer answers with the one that it prefers, and so do we when
it asks. Both directions are encrypted or neither: a protocol that opens without it is closed again. Packets are encrypted here where they come to this
process (`inside`), else by the kernel, which reads along.
"""

from __future__ import annotations

from typing import ClassVar, Final

import attrs

from l2tpd.ppp.control import Carrier, Control
from l2tpd.ppp.events import EncryptionUp
from l2tpd.ppp.frame import Options, Packet, build_packet
from l2tpd.ppp.mppe import Keys, Receiver, Sender
from l2tpd.ppp.numbers import BY_US, CcpCode, CcpOption, Disconnect, Protocol
from l2tpd.ppp.options import ACCEPT, Answer, Option, Table, suggest, table
from l2tpd.wire.values import DisconnectCause

_STATELESS: Final = 0x0100_0000  # the bit H; M, S and L are the strengths (RFC 3078 2)
_BITS: Final = {128: 0x40, 56: 0x80, 40: 0x20}  # the strongest first
_PATIENCE: Final = 1.0  # seconds until a Reset-Request is repeated


def pack_offer(strengths: frozenset[int], *, stateless: bool) -> bytes:
    """Return the 4 octets of Supported Bits that offer these strengths, in bits."""
    bits = sum(_BITS[strength] for strength in strengths)
    return (bits | (_STATELESS if stateless else 0)).to_bytes(4, "big")


def strongest(offer: bytes, allowed: frozenset[int]) -> int:
    """Return the strongest allowed strength of an offer, 0 if there is none."""
    bits = int.from_bytes(offer, "big")
    return next((strength for strength, bit in _BITS.items() if bits & bit and strength in allowed), 0)


def is_stateless(offer: bytes) -> bool:
    """Tell whether an offer is one of stateless mode."""
    return bool(int.from_bytes(offer, "big") & _STATELESS)


def _choice(ccp: Ccp, offer: bytes) -> bytes | None:
    """Return what we would make of an offer: one strength, and a mode; None: nothing."""
    strength = strongest(offer, ccp.strengths)
    stateless = is_stateless(offer) or not ccp.stateful  # "stateless mode may always be negotiated" (2.1)
    return pack_offer(frozenset({strength}), stateless=stateless) if strength else None


def _judge(ccp: Ccp, data: bytes) -> Answer:
    """Take an offer of one strength; of any other, or with bits that we do not know, ask for the strongest that we could take (2.1)."""
    choice = _choice(ccp, data)
    return ACCEPT if data == choice else suggest(choice or ccp.best)


@attrs.define(eq=False)
class Ccp(Control):
    """CCP of one link."""

    PROTOCOL: ClassVar[int] = Protocol.CCP
    OPTIONS: ClassVar[Table[Ccp]] = table(Option(CcpOption.MPPE, "MPPE", 4, "RFC 3078 2", _judge, _choice))
    TIMEOUT: ClassVar[Disconnect] = Disconnect.NO_ENCRYPTION
    SILENCE: ClassVar[Disconnect] = Disconnect.NO_ENCRYPTION
    COPIES: ClassVar[int] = (
        0  # a key goes on with every packet: who negotiates anew must begin with the first one, at both ends
    )

    keys: Keys = attrs.field(kw_only=True)
    strengths: frozenset[int] = attrs.field(kw_only=True)
    """Bits of a key that may be used; at least one."""
    stateful: bool = attrs.field(kw_only=True, default=False)
    """The key may be changed every 256 packets, instead of for each."""
    inside: bool = attrs.field(kw_only=True, default=True)
    begun: bool = False
    """It has been Opened with encryption."""
    _sender: Sender | None = None
    _receiver: Receiver | None = None
    _reset_id: int = 0
    _asked_until: float | None = None  # a Reset-Request waits for its answer, and is not repeated before

    def wishes(self) -> dict[int, bytes]:
        """Ask for all that may be used: "the negotiation initiator SHOULD request all of the options it supports" (2.1)."""
        self._asked_until = None
        return {CcpOption.MPPE: pack_offer(self.strengths, stateless=not self.stateful)}

    def prompts(self) -> Options:
        """Let the peer ask for encryption."""
        return ((CcpOption.MPPE, self.best),)

    def lost(self, number: int) -> DisconnectCause | None:
        """Without its one option the protocol is of no use."""
        del number
        return self.unencrypted()

    def unencrypted(self) -> DisconnectCause:
        """Say that the peer does not encrypt as we would."""
        return self.fault(Disconnect.NO_ENCRYPTION, BY_US, "the peer does not agree on encryption")

    @property
    def best(self) -> bytes:
        """What we would rather receive and send: the strongest."""
        return pack_offer(frozenset({max(self.strengths)}), stateless=not self.stateful)

    # --- packets --------------------------------------------------------------------------------------------------------------------

    def begin(self) -> EncryptionUp | None:
        """Encrypt from now on as was agreed on, which is returned; None: that is not one strength each way."""
        sends, receives = self.peer.get(CcpOption.MPPE, b""), self.wanted.get(CcpOption.MPPE, b"")
        if _choice(self, sends) != sends or _choice(self, receives) != receives:
            return None
        up = EncryptionUp(
            send_bits=strongest(sends, self.strengths),
            receive_bits=strongest(receives, self.strengths),
            send_stateless=is_stateless(sends),
            receive_stateless=is_stateless(receives),
        )
        if self.inside:
            self._sender = Sender(self.keys.send, up.send_bits, stateless=up.send_stateless)
            self._receiver = Receiver(self.keys.receive, up.receive_bits, stateless=up.receive_stateless)
        self.begun = True
        return up

    def end(self) -> None:
        """Encrypt no longer: what was agreed on is being negotiated anew, or over."""
        self._sender = self._receiver = None

    def seal(self, protocol: int, packet: bytes | memoryview) -> bytes | None:
        """Return the information field of protocol 0x00FD for a packet; None while it may not pass."""
        return self._sender.seal(protocol.to_bytes(2, "big") + packet) if self._sender is not None else None

    def unseal(self, sealed: bytes, carrier: Carrier, now: float) -> bytes | None:
        """Return the frame in such an information field, None if it cannot be read; the peer is asked for a fresh start where that helps. Raises `Malformed`.

        The kernel hands over what it cannot read itself, and reads nothing more until the peer has answered.
        """
        if self._receiver is None:
            self.request_reset(carrier, now)
            return None
        frame = self._receiver.open(sealed, now)
        if self._receiver.lost:
            self.request_reset(carrier, now)
        return frame

    # --- synchronization (RFC 1962 4, RFC 3078 8.2) -----------------------------------------------------------------------------------

    def receive_other(self, packet: Packet, carrier: Carrier, now: float) -> bool:
        """Begin afresh where the peer asks for it, or hear that the peer has."""
        if packet.code == CcpCode.RESET_REQUEST and self.opened:
            if self._sender is not None:
                self._sender.reset()
            carrier.transmit(self.PROTOCOL, build_packet(CcpCode.RESET_ACK, packet.identifier, b""))
        elif packet.code == CcpCode.RESET_ACK and packet.identifier == self._reset_id:
            self._asked_until = None
        return packet.code in {CcpCode.RESET_REQUEST, CcpCode.RESET_ACK}

    def request_reset(self, carrier: Carrier, now: float) -> None:
        """Ask the peer to begin afresh, unless it was asked just now."""
        if self.opened and (self._asked_until is None or now >= self._asked_until):
            self._reset_id, self._asked_until = self._next_id(), now + _PATIENCE
            carrier.transmit(self.PROTOCOL, build_packet(CcpCode.RESET_REQUEST, self._reset_id, b""))
