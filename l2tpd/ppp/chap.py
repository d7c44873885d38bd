"""The Challenge Handshake Authentication Protocol, both sides: MD5, MS-CHAPv2, and as prover MS-CHAPv1 (RFC 1994, 2759, 2433).

Every Challenge has an identifier and a value of its own, also one that is only sent because no answer came (4.1). So that a path slower than our
patience can be used nevertheless, an answer to any Challenge of the present round counts; the first one ends the round.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final

import attrs

from l2tpd.errors import Malformed
from l2tpd.ppp.auth import AuthCarrier, Patience, Refusal
from l2tpd.ppp.credentials import MSCHAPV2_CHALLENGE, RESPONSE_SIZES, Credentials, expected_success, mppe_keys, respond
from l2tpd.ppp.frame import Packet, build_packet
from l2tpd.ppp.mppe import Keys
from l2tpd.ppp.numbers import Auth, ChapCode, Disconnect, Protocol
from l2tpd.wire.values import pack_text, unpack_text

_CHALLENGE_SIZE: Final = 16  # octets; what MS-CHAPv2 prescribes (RFC 2759 3) and MD5 deserves (RFC 1994 2.3)
_SPREAD: Final = 0.1  # of an interval, by which a round comes earlier
_AUTHENTICATION_FAILURE: Final = b"691"  # RFC 2759 6


def parse_value(data: bytes) -> tuple[bytes, bytes]:
    """Split the data of a Challenge or Response into value and name (RFC 1994 4.1). Raises `Malformed`."""
    if not data or not 0 < data[0] < len(data):
        raise Malformed("a value runs over the end")
    return data[1 : data[0] + 1], data[data[0] + 1 :]


def build_value(value: bytes, name: bytes) -> bytes:
    """Return the data of a Challenge or Response."""
    return bytes((len(value),)) + value + name


@attrs.define(eq=False)
class ChapAuthenticator:
    """We challenge the peer, at first and then again every `interval` seconds or up to a tenth earlier, if that is not 0."""

    kind: Auth
    name: str
    patience: Patience
    interval: float
    random: Callable[[int], bytes]
    pending: Credentials | None = None
    proven: bool = False
    deadline: float | None = None
    _identifier: int = 0
    _challenges: dict[int, bytes] = attrs.field(factory=dict)  # of the present round
    _pending_id: int = 0
    _verdict: bytes = b""  # the packet
    _verdict_id: int = -1

    def start(self, carrier: AuthCarrier, now: float) -> None:
        """Send the first Challenge, under an identifier that a late Response to an earlier link will not have."""
        self._identifier = self.random(1)[0]
        self._challenge(carrier, now)

    def resume(self, credentials: Credentials, carrier: AuthCarrier) -> None:
        """Go on with a Response that a LAC has received."""
        self._identifier = credentials.identifier
        self._ask(credentials, carrier)

    def receive(self, packet: Packet, carrier: AuthCarrier, now: float) -> None:
        """Have a Response checked; answer its repetitions alike, without asking again (4.1)."""
        value, name = parse_value(packet.data)
        if packet.identifier == self._verdict_id:
            carrier.transmit(Protocol.CHAP, self._verdict)
        elif packet.identifier not in self._challenges or len(value) != RESPONSE_SIZES[self.kind]:
            carrier.discard()
        else:
            challenge = self._challenges[packet.identifier]
            self._ask(
                Credentials(
                    kind=self.kind,
                    user=unpack_text(name),
                    identifier=packet.identifier,
                    challenge=challenge,
                    response=value,
                ),
                carrier,
            )

    def accept(self, message: bytes, carrier: AuthCarrier, now: float) -> None:
        """Send a Success, and think of the next round."""
        if self.kind is Auth.MSCHAPV2 and b" M=" not in message:
            message += b" M="  # RFC 2759 5: for people, and without words here; some look for it
        self._decide(ChapCode.SUCCESS, message, carrier)
        self.proven = True
        self.deadline = now + self._pause() if self.interval else None
        carrier.proved(now)

    def refuse(self, message: bytes, carrier: AuthCarrier, now: float) -> None:
        """Send a Failure; what MS-CHAPv2 lays down of it, we fill in (RFC 2759 6): no retry."""
        if self.kind is Auth.MSCHAPV2:
            error = message[2:].split(b" ", 1)[0] if message.startswith(b"E=") else _AUTHENTICATION_FAILURE
            text = message if not message.startswith(b"E=") else message.partition(b"M=")[2]
            challenge = self.random(MSCHAPV2_CHALLENGE).hex().upper().encode()
            message = b"E=%b R=0 C=%b V=3 M=%b" % (error, challenge, text)
        self._decide(ChapCode.FAILURE, message, carrier)

    def challenged_with(self, challenge: bytes) -> bool:
        """Tell whether this Challenge is ours."""
        return challenge in self._challenges.values()

    def handle_timer(self, carrier: AuthCarrier, now: float) -> None:
        """Send another Challenge, or give up."""
        if len(self._challenges) >= self.patience.attempts:
            self.deadline = None
            refusal = Refusal(Disconnect.AUTH_TIMEOUT, ours=False, text="no answer to Challenges")
            carrier.failed(self.kind, "", refusal, now)
        else:
            self._challenge(carrier, now)

    def _challenge(self, carrier: AuthCarrier, now: float) -> None:
        self._identifier = self._identifier + 1 & 0xFF
        value = self._challenges[self._identifier] = self.random(_CHALLENGE_SIZE)
        self.deadline = now + self.patience.retry
        data = build_value(value, pack_text(self.name))
        carrier.transmit(Protocol.CHAP, build_packet(ChapCode.CHALLENGE, self._identifier, data))

    def _ask(self, credentials: Credentials, carrier: AuthCarrier) -> None:
        self.pending, self._pending_id, self.deadline = credentials, credentials.identifier, None
        self._challenges.clear()
        carrier.check(credentials)

    def _pause(self) -> float:
        """Return the seconds until the next round: some less than said, lest all who came at once are asked at once for ever."""
        return self.interval * (1 - _SPREAD * self.random(1)[0] / 256)

    def _decide(self, code: int, message: bytes, carrier: AuthCarrier) -> None:
        self._verdict_id, self.pending = self._pending_id, None
        self._verdict = build_packet(code, self._verdict_id, message)
        carrier.transmit(Protocol.CHAP, self._verdict)


@attrs.define(eq=False)
class ChapProver:
    """We answer Challenges, whenever they come, and repeat the answer until we know what it was worth: a Success may be lost (4.1)."""

    kind: Auth
    user: str
    password: str = attrs.field(repr=False)
    patience: Patience
    random: Callable[[int], bytes]
    proven: bool = False
    deadline: float | None = None
    """When the Response is repeated; None: we have not been asked, or have our answer, or have repeated enough."""
    _sent: int = 0
    _asked: tuple[int, bytes] = (0, b"")  # identifier and value of the last Challenge; no value is empty
    _response: bytes = b""
    _awaiting: bool = False

    @property
    def keys(self) -> Keys | None:
        """What the last proof is worth for encryption: nothing, but for MS-CHAPv2's."""
        return mppe_keys(self.kind, self._response, self.password, server=False) if self.proven else None

    def start(self, carrier: AuthCarrier, now: float) -> None:
        """Wait for a Challenge."""

    def receive(self, packet: Packet, carrier: AuthCarrier, now: float) -> None:
        """Answer a Challenge, or learn what our answer was worth."""
        if packet.code == ChapCode.CHALLENGE:
            self._challenged(packet, carrier, now)
        elif not self._awaiting or packet.identifier != self._asked[0]:
            carrier.discard()
        elif packet.code == ChapCode.FAILURE:
            self._refused(unpack_text(packet.data), carrier, now)
        elif self._genuine(self._asked[1], packet.data):
            self._awaiting, self.deadline, self.proven = False, None, True
            carrier.proved(now)
        else:
            self._refused(
                "the authenticator does not know our password", carrier, now
            )  # RFC 2759 5: "MUST end the session"

    def handle_timer(self, carrier: AuthCarrier, now: float) -> None:
        """Repeat the Response; after the last time, the end of the phase or another Challenge is waited for."""
        if self._sent < self.patience.attempts:
            self._respond(carrier, now)
        else:
            self.deadline = None

    def _challenged(self, packet: Packet, carrier: AuthCarrier, now: float) -> None:
        value, name = parse_value(packet.data)
        if carrier.reflected(value, name):
            self._refused("the peer answers our Challenge with a Challenge of ours", carrier, now)
            return
        if self._asked != (packet.identifier, value):
            response = respond(self.kind, packet.identifier, value, self.user, self.password, self.random(16))
            if response is None:
                raise Malformed("a Challenge of the wrong size")
            self._asked, self._response, self._sent = (packet.identifier, value), response, 0
        self._awaiting = True
        self._respond(carrier, now)

    def _respond(self, carrier: AuthCarrier, now: float) -> None:
        self._sent += 1
        self.deadline = now + self.patience.retry
        data = build_value(self._response, pack_text(self.user))
        carrier.transmit(Protocol.CHAP, build_packet(ChapCode.RESPONSE, self._asked[0], data))

    def _genuine(self, challenge: bytes, message: bytes) -> bool:
        """Tell whether a Success comes from somebody who knows the password, where it can be told (RFC 2759 8.8)."""
        if self.kind is not Auth.MSCHAPV2:
            return True
        right = expected_success(challenge, self._response, self.user, self.password)
        return hmac.compare_digest(right, message[: len(right)])

    def _refused(self, text: str, carrier: AuthCarrier, now: float) -> None:
        self._awaiting, self.deadline = False, None
        carrier.failed(self.kind, self.user, Refusal(Disconnect.AUTH_FAILED, ours=True, text=text), now)
