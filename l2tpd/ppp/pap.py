"""The Password Authentication Protocol, both sides (RFC 1334 2)."""

from __future__ import annotations

import attrs

from l2tpd.errors import Malformed
from l2tpd.ppp.auth import AuthCarrier, Patience, Refusal
from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.frame import Packet, build_packet
from l2tpd.ppp.numbers import Auth, Disconnect, PapCode, Protocol
from l2tpd.wire.values import pack_text, unpack_text


def _field(octets: bytes) -> tuple[bytes, bytes]:
    """Split off a field that begins with its length. Raises `Malformed`."""
    if not octets or len(octets) <= octets[0]:
        raise Malformed("a field runs over the end")
    return octets[1 : octets[0] + 1], octets[octets[0] + 1 :]


def _with_length(octets: bytes) -> bytes:
    return bytes((len(octets),)) + octets


@attrs.define(eq=False)
class PapAuthenticator:
    """We ask for a password; it is the peer who repeats itself until it is answered."""

    kind: Auth = Auth.PAP
    pending: Credentials | None = None
    proven: bool = False
    deadline: float | None = None
    _identifier: int = 0  # of the last request
    _verdict: tuple[int, bytes] | None = None

    def start(self, carrier: AuthCarrier, now: float) -> None:
        """Wait for the peer."""

    def resume(self, credentials: Credentials, carrier: AuthCarrier) -> None:
        """Go on with a request that a LAC has received."""
        self._identifier, self.pending = credentials.identifier, credentials
        carrier.check(credentials)

    def receive(self, packet: Packet, carrier: AuthCarrier, now: float) -> None:
        """Have a request checked; answer its repetitions alike, without asking again (2.2.1)."""
        name, rest = _field(packet.data)
        password, _ = _field(rest)
        self._identifier = packet.identifier
        if self._verdict is not None:
            self._answer(*self._verdict, carrier)
        elif self.pending is None:
            said = Credentials(kind=Auth.PAP, user=unpack_text(name), identifier=packet.identifier, response=password)
            self.pending = said
            carrier.check(said)

    def accept(self, message: bytes, carrier: AuthCarrier, now: float) -> None:
        """Send an Authenticate-Ack."""
        self._decide(PapCode.ACK, message, carrier)
        self.proven = True
        carrier.proved(now)

    def refuse(self, message: bytes, carrier: AuthCarrier, now: float) -> None:
        """Send an Authenticate-Nak."""
        self._decide(PapCode.NAK, message, carrier)

    def challenged_with(self, challenge: bytes) -> bool:
        """PAP has no challenges."""
        del challenge
        return False

    def handle_timer(self, carrier: AuthCarrier, now: float) -> None:
        """Nothing is ever due."""

    def _decide(self, code: int, message: bytes, carrier: AuthCarrier) -> None:
        self.pending, self._verdict = None, (code, _with_length(message[:255]))
        self._answer(*self._verdict, carrier)

    def _answer(self, code: int, data: bytes, carrier: AuthCarrier) -> None:
        carrier.transmit(Protocol.PAP, build_packet(code, self._identifier, data))


@attrs.define(eq=False)
class PapProver:
    """We say our password, until we are answered."""

    user: str
    password: str = attrs.field(repr=False)
    patience: Patience
    kind: Auth = Auth.PAP
    proven: bool = False
    deadline: float | None = None
    _sent: int = 0
    _identifier: int = 0

    def start(self, carrier: AuthCarrier, now: float) -> None:
        """Send the first request."""
        self.handle_timer(carrier, now)

    def receive(self, packet: Packet, carrier: AuthCarrier, now: float) -> None:
        """Take the answer to any of our requests."""
        if self.deadline is None or (self._identifier - packet.identifier & 0xFF) >= self._sent:
            carrier.discard()
            return
        self.deadline = None
        if packet.code == PapCode.ACK:
            self.proven = True
            carrier.proved(now)
        else:
            text = unpack_text(packet.data[1:])  # some leave the length out; "MUST NOT affect operation" (2.2.2)
            carrier.failed(Auth.PAP, self.user, Refusal(Disconnect.AUTH_FAILED, ours=True, text=text), now)

    def handle_timer(self, carrier: AuthCarrier, now: float) -> None:
        """Repeat the request, under another identifier (2.2.1), or give up."""
        if self._sent >= self.patience.attempts:
            refusal = Refusal(Disconnect.AUTH_TIMEOUT, ours=True, text="no answer to Authenticate-Requests")
            self.deadline = None
            carrier.failed(Auth.PAP, self.user, refusal, now)
            return
        self._sent += 1
        self._identifier = self._identifier + 1 & 0xFF
        self.deadline = now + self.patience.retry
        data = _with_length(pack_text(self.user)[:255]) + _with_length(pack_text(self.password)[:255])
        carrier.transmit(Protocol.PAP, build_packet(PapCode.REQUEST, self._identifier, data))
