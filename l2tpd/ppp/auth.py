"""What both authentication protocols have in common: the link as they see it, and the patience that they are given."""

from __future__ import annotations

from typing import Protocol

import attrs

from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.frame import Packet
from l2tpd.ppp.numbers import Auth, Disconnect


@attrs.frozen
class Refusal:
    """Why an authentication has failed: code and direction for the disconnect cause (RFC 3145 3.3), and whose proof it was."""

    code: Disconnect
    ours: bool
    text: str


class AuthCarrier(Protocol):
    """What an authentication protocol may ask of its link."""

    def transmit(self, protocol: int, packet: bytes) -> None:
        """Send a packet."""

    def discard(self) -> None:
        """Count a packet that was dropped."""

    def check(self, credentials: Credentials) -> None:
        """Have the peer's credentials checked; the answer comes through `accept` or `refuse`."""

    def proved(self, now: float) -> None:
        """Say that this direction is done."""

    def failed(self, kind: Auth, user: str, refusal: Refusal, now: float) -> None:
        """Say that it never will be: the link must end."""

    def reflected(self, challenge: bytes, name: bytes) -> bool:
        """Tell whether a Challenge of the peer is one of ours, or comes under our own name (RFC 1994, Security Considerations)."""


@attrs.frozen
class Patience:
    """How often a packet is sent, and how many seconds lie between."""

    attempts: int
    retry: float


class Authenticator(Protocol):
    """The side that asks for proof (RFC 1994 1.2)."""

    kind: Auth
    pending: Credentials | None
    """What waits for a decision."""
    proven: bool
    """The peer was accepted."""
    deadline: float | None

    def start(self, carrier: AuthCarrier, now: float) -> None:
        """Begin."""

    def resume(self, credentials: Credentials, carrier: AuthCarrier) -> None:
        """Begin with what a LAC has been told already (RFC 2661 4.4.5)."""

    def receive(self, packet: Packet, carrier: AuthCarrier, now: float) -> None:
        """Take a packet of the peer. Raises `Malformed`."""

    def accept(self, message: bytes, carrier: AuthCarrier, now: float) -> None:
        """Answer what is pending: yes."""

    def refuse(self, message: bytes, carrier: AuthCarrier, now: float) -> None:
        """Answer what is pending: no."""

    def challenged_with(self, challenge: bytes) -> bool:
        """Tell whether this Challenge is ours."""

    def handle_timer(self, carrier: AuthCarrier, now: float) -> None:
        """Do what is due."""


class Prover(Protocol):
    """The side that proves itself, which RFC 1994 calls the peer."""

    kind: Auth
    proven: bool
    deadline: float | None

    def start(self, carrier: AuthCarrier, now: float) -> None:
        """Begin."""

    def receive(self, packet: Packet, carrier: AuthCarrier, now: float) -> None:
        """Take a packet of the authenticator. Raises `Malformed`."""

    def handle_timer(self, carrier: AuthCarrier, now: float) -> None:
        """Do what is due."""
