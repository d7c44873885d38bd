"""The Link Control Protocol: its options, its maintenance packets, and the keep-alive (RFC 1661 5.6 to 6.6, RFC 1570 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import attrs

from l2tpd.errors import Malformed
from l2tpd.ppp.automaton import Event, State
from l2tpd.ppp.control import Carrier, Control
from l2tpd.ppp.frame import HEAD, Packet, build_packet, parse_options
from l2tpd.ppp.numbers import (
    BY_PEER,
    DEFAULT_MRU,
    MINIMUM_MRU,
    Auth,
    Code,
    Disconnect,
    LcpOption,
    Protocol,
)
from l2tpd.ppp.options import ACCEPT, REFUSE, Answer, Option, Table, accept, suggest, table
from l2tpd.ppp.settings import LinkSettings
from l2tpd.wire.values import DisconnectCause

_NO_MAGIC: Final = bytes(4)
_ANY_MAGIC: Final = b"\0\0\0\1"
_LOOPS: Final = 5
"""Requests with our own magic number that a link may bring before it counts as looped back: by chance, one of 2**160 does (RFC 1661 6.4)."""

_MAINTENANCE: Final = frozenset({Code.DISCARD_REQUEST, Code.IDENTIFICATION, Code.TIME_REMAINING})
"""Packets that call for no answer (RFC 1661 5.9, RFC 1570 1)."""


# --- the peer's options -----------------------------------------------------------------------------------------------------------


def _judge_mru(lcp: Lcp, data: bytes) -> Answer:
    del lcp
    return ACCEPT if int.from_bytes(data, "big") >= MINIMUM_MRU else suggest(MINIMUM_MRU.to_bytes(2, "big"))


def _judge_authentication(lcp: Lcp, data: bytes) -> Answer:
    offered = lcp.settings.offered
    if any(data == auth.value for auth in offered):
        return ACCEPT
    return suggest(offered[0].value) if offered else REFUSE


def _judge_magic(lcp: Lcp, data: bytes) -> Answer:
    if data != _NO_MAGIC and data != lcp.wanted.get(LcpOption.MAGIC):
        return ACCEPT
    lcp.loops += data != _NO_MAGIC
    return suggest(lcp.new_magic())


# --- the peer's opinion of ours ---------------------------------------------------------------------------------------------------


def _reconsider_mru(lcp: Lcp, data: bytes) -> bytes | None:
    """Take less than we can; more would not fit."""
    fits = MINIMUM_MRU <= int.from_bytes(data, "big") <= lcp.settings.mru
    return data if fits else lcp.wanted[LcpOption.MRU]


def _reconsider_authentication(lcp: Lcp, data: bytes) -> bytes | None:
    """Take what the peer would rather do, if it satisfies us, else try the next of ours (6.2)."""
    required = [auth.value for auth in lcp.settings.require]
    if data in required:
        return data
    following = required.index(lcp.wanted[LcpOption.AUTHENTICATION]) + 1
    return required[following] if following < len(required) else None


def _reconsider_magic(lcp: Lcp, data: bytes) -> bytes | None:
    """Choose anew in either case (6.4)."""
    del data
    return lcp.new_magic()


@attrs.define(eq=False)
class Lcp(Control):
    """LCP of one link."""

    PROTOCOL: ClassVar[int] = Protocol.LCP
    TIMEOUT: ClassVar[Disconnect] = Disconnect.LCP_TIMEOUT
    SILENCE: ClassVar[Disconnect] = Disconnect.NO_LCP
    # fmt: off
    OPTIONS: ClassVar[Table[Lcp]] = table(
        Option(LcpOption.MRU,                    "MRU",            2,    "RFC 1661 6.1", _judge_mru, _reconsider_mru),
        Option(LcpOption.ACCM,                   "ACCM",           4,    "RFC 1662 7.1", accept),  # the LAC's affair, if anybody's
        Option(LcpOption.AUTHENTICATION,         "Authentication", None, "RFC 1661 6.2", _judge_authentication, _reconsider_authentication),
        Option(LcpOption.QUALITY,                "Quality",        None, "RFC 1661 6.3"),
        Option(LcpOption.MAGIC,                  "Magic",          4,    "RFC 1661 6.4", _judge_magic, _reconsider_magic),
        Option(LcpOption.PFC,                    "PFC",            0,    "RFC 1661 6.5", accept),
        Option(LcpOption.ACFC,                   "ACFC",           0,    "RFC 1661 6.6", accept),
        Option(LcpOption.CALLBACK,               "Callback",       None, "RFC 1570 2.3"),
        Option(LcpOption.MRRU,                   "MRRU",           None, "RFC 1990 5.1.1"),  # no multilink
        Option(LcpOption.SHORT_SEQUENCE,         "Short-Sequence", None, "RFC 1990 5.1.2"),
        Option(LcpOption.ENDPOINT_DISCRIMINATOR, "Endpoint",       None, "RFC 1990 5.1.3"),
    )
    # fmt: on

    settings: LinkSettings = attrs.field(kw_only=True)
    random: Callable[[int], bytes] = attrs.field(kw_only=True)
    loops: int = 0
    """How many requests in a row carried our own magic number."""
    _echo_at: float | None = None
    _echo_id: int = 0
    _unanswered: int = 0
    _unheard: frozenset[int] = frozenset()  # codes that the peer does not know

    def wishes(self) -> dict[int, bytes]:
        """Ask for what differs from the defaults (6: they need not be sent)."""
        us = self.settings
        wanted = {
            LcpOption.MRU: us.mru.to_bytes(2, "big") if us.mru != DEFAULT_MRU else None,
            LcpOption.AUTHENTICATION: us.require[0].value if us.require else None,
            LcpOption.MAGIC: self.new_magic() if us.magic else None,
            LcpOption.PFC: b"" if us.pfc else None,
            LcpOption.ACFC: b"" if us.acfc else None,
        }
        return {number: data for number, data in wanted.items() if data is not None}

    def lost(self, number: int) -> DisconnectCause | None:
        """A peer that will not say who it is may not come in; everything else has a default."""
        if number != LcpOption.AUTHENTICATION:
            return None
        return self.fault(Disconnect.AUTH_UNACCEPTABLE, BY_PEER, "the peer refuses to authenticate itself")

    def room(self, carrier: Carrier) -> int:
        """Return the default: packets that configure are sent "as if no Configuration Options were negotiated" (5)."""
        del carrier
        return DEFAULT_MRU

    # --- what was agreed on -------------------------------------------------------------------------------------------------------

    def new_magic(self) -> bytes:
        """Draw a magic number; zero is illegal (6.4)."""
        drawn = self.random(4)
        return drawn if drawn != _NO_MAGIC else _ANY_MAGIC

    @property
    def magic(self) -> bytes:
        """Our magic number, zeros without one."""
        return self.wanted.get(LcpOption.MAGIC, _NO_MAGIC)

    @property
    def mru(self) -> int:
        """What we take: what we announced, or the default where the peer rejected that."""
        return int.from_bytes(self.wanted.get(LcpOption.MRU, b""), "big") or DEFAULT_MRU

    @property
    def peer_mru(self) -> int:
        """What the peer takes, once LCP is Opened: what it announced, or the default (6)."""
        return int.from_bytes(self.peer.get(LcpOption.MRU, b""), "big") or DEFAULT_MRU

    @property
    def authenticating(self) -> Auth | None:
        """How the peer has agreed to authenticate itself."""
        return _AUTHS.get(self.wanted.get(LcpOption.AUTHENTICATION, b""))

    @property
    def authenticated(self) -> Auth | None:
        """How we have agreed to authenticate ourselves."""
        return _AUTHS.get(self.peer.get(LcpOption.AUTHENTICATION, b""))

    def adopt(self, sent: bytes, received: bytes, carrier: Carrier, now: float) -> bool:
        """Go on with the options that a LAC has negotiated for us, if they are such as we would have (RFC 2661 4.4.5).

        False: they are not, or nobody has understood them; nothing has changed.
        """
        try:
            ours, peers = parse_options(sent), parse_options(received)
        except Malformed:
            return False
        before = self.wanted
        self.wanted = dict(ours)
        if not self._would_ask(self.wanted) or any(self._answer_to(*one, set()) is not ACCEPT for one in peers):
            self.wanted = before
            return False
        self.peer = dict(peers)
        self.automaton.adopt()
        carrier.layer_up(self, now)
        return True

    def _would_ask(self, wanted: dict[int, bytes]) -> bool:
        """Tell whether a Configure-Request that was sent in our name could have been ours."""
        proof = wanted.get(LcpOption.AUTHENTICATION)
        right = proof in {auth.value for auth in self.settings.require} if self.settings.require else proof is None
        mru = int.from_bytes(wanted.get(LcpOption.MRU, b""), "big")
        sound = all(
            number in _OURS and self.OPTIONS[number].size in {None, len(data)} for number, data in wanted.items()
        )
        return right and sound and mru <= max(self.settings.mru, DEFAULT_MRU)

    # --- packets ------------------------------------------------------------------------------------------------------------------

    def receive(self, octets: bytes, carrier: Carrier, now: float) -> None:
        """Take a packet; end the link when it only ever brings back our own."""
        super().receive(octets, carrier, now)
        if self.loops > _LOOPS:
            self.loops = 0
            carrier.give_up(self, self.fault(Disconnect.LOOPED_BACK, 0, "the link is looped back"), now)

    def receive_other(self, packet: Packet, carrier: Carrier, now: float) -> bool:
        """Take the packets that maintain a link; those of an Opened one are dropped before (5.7 to 5.9)."""
        if packet.code in _MAINTENANCE:
            return True
        receiver = self._MAINTAINERS.get(packet.code)
        if receiver is None:
            return False
        if self.opened:
            receiver(self, packet, carrier, now)
        else:
            carrier.discard()
        return True

    def code_refused(self, code: int) -> None:
        """Say no more what the peer does not understand; without Echo-Requests a dead peer goes unnoticed, but not an old one."""
        self._unheard |= {code}
        if code == Code.ECHO_REQUEST:
            self._echo_at = None

    def reject_protocol(self, protocol: int, information: bytes, carrier: Carrier) -> None:
        """Tell the peer that we do not know a protocol (5.7), with as much of the packet as it takes."""
        rejected = (protocol.to_bytes(2, "big") + information)[: carrier.peer_mru - HEAD]
        carrier.transmit(self.PROTOCOL, build_packet(Code.PROTOCOL_REJECT, self._next_id(), rejected))

    def _protocol_reject(self, packet: Packet, carrier: Carrier, now: float) -> None:
        protocol = int.from_bytes(packet.data[:2], "big")
        if protocol == Protocol.LCP:
            self.blame(self.fault(Disconnect.UNKNOWN, BY_PEER, "the peer does not know LCP"))
            self.feed(Event.RXJ_MINUS, carrier, now)
        else:
            self.feed(Event.RXJ_PLUS, carrier, now)
            carrier.protocol_refused(protocol, now)

    def _echo_request(self, packet: Packet, carrier: Carrier, now: float) -> None:
        if self._ours(packet):
            carrier.discard()
            return
        data = (self.magic + packet.data[4:])[: carrier.peer_mru - HEAD]
        self._answer = build_packet(Code.ECHO_REPLY, packet.identifier, data)
        self.feed(Event.RXR, carrier, now)

    def _echo_reply(self, packet: Packet, carrier: Carrier, now: float) -> None:
        # No RXR here: its only action is to send an Echo-Reply, and "there is no reply to an Echo-Reply" (4.3).
        if self._ours(packet) or (self._echo_id - packet.identifier & 0xFF) >= self._unanswered:
            carrier.discard()
        else:
            self._unanswered = 0

    def _ours(self, packet: Packet) -> bool:
        """Tell whether a packet is too short for a magic number, or comes from ourselves (6.4)."""
        return len(packet.data) < 4 or (packet.data[:4] == self.magic != _NO_MAGIC)

    # --- keep-alive ---------------------------------------------------------------------------------------------------------------

    def started(self, carrier: Carrier, now: float) -> None:
        """Begin what goes on while LCP is Opened."""
        self.loops = self._unanswered = 0
        if self.settings.echo_interval and Code.ECHO_REQUEST not in self._unheard:
            self._echo_at = now + self.settings.echo_interval
        if self.settings.identification and Code.IDENTIFICATION not in self._unheard:
            text = (self.magic + self.settings.identification.encode("ascii", "replace"))[: carrier.peer_mru - HEAD]
            carrier.transmit(self.PROTOCOL, build_packet(Code.IDENTIFICATION, self._next_id(), text))

    def stopped(self) -> None:
        """End it."""
        self._echo_at = None

    @property
    def deadline(self) -> float | None:
        """When the Restart timer runs out, or the next Echo-Request is due; the two never wait together."""
        return self._echo_at if self.automaton.state is State.OPENED else self.automaton.deadline

    def handle_timer(self, now: float, carrier: Carrier) -> None:
        """Repeat a request, or see whether the peer is still there."""
        super().handle_timer(now, carrier)
        if self._echo_at is None or now < self._echo_at:
            return
        if 0 < self.settings.echo_failure <= self._unanswered:
            cause = self.fault(Disconnect.ECHO_TIMEOUT, 0, f"{self._unanswered} Echo-Requests without an answer")
            carrier.give_up(self, cause, now)
            return
        self._echo_at = now + self.settings.echo_interval
        self._echo_id = self._next_id()
        self._unanswered += 1
        carrier.transmit(self.PROTOCOL, build_packet(Code.ECHO_REQUEST, self._echo_id, self.magic))

    _MAINTAINERS: ClassVar[
        Mapping[int, Callable[[Any, Packet, Carrier, float], None]]
    ] = {  # packets of an Opened link only
        Code.PROTOCOL_REJECT: _protocol_reject,
        Code.ECHO_REQUEST: _echo_request,
        Code.ECHO_REPLY: _echo_reply,
    }


_AUTHS: Final[Mapping[bytes, Auth]] = {auth.value: auth for auth in Auth}
_OURS: Final = {LcpOption.MRU, LcpOption.ACCM, LcpOption.AUTHENTICATION, LcpOption.MAGIC, LcpOption.PFC, LcpOption.ACFC}
"""Options that a LAC may have asked for in our name."""
