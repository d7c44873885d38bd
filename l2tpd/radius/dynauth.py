"""What a server wants of sessions that are up: end them, or change what holds for them (RFC 5176). Pure: octets in, octets out, time passed in.

Theory of operation. `receive` returns None for what is to be passed over in silence: it comes from nobody we know, is not signed with that one's secret, is
old, or has no time at which it was written. A repetition of a request is answered as it was, and has no effect (RFC 5176 2.3); the answer is
remembered for as long as a copy would not be old, so that nobody can have an effect twice with what he has overheard. Anything else is a `Demand`,
whose effect is the shell's affair, or the answer to what we cannot do.

A session is described by what a request says of it; it has to agree with all of that (RFC 5176 3), and a demand is for all sessions that do.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from l2tpd.config.model import Address
from l2tpd.errors import Malformed
from l2tpd.radius import attributes as row
from l2tpd.radius.accounting import Identity
from l2tpd.radius.attributes import Attribute, Attributes, Draft, Key
from l2tpd.radius.numbers import Code, ErrorCause
from l2tpd.radius.packet import HEAD, LARGEST, Packet, check_request, encode_answer
from l2tpd.radius.roster import ACCOUNT, Match

REMEMBERED: Final = 65536  # answers; a server that asks for more within the window is passed over


@attrs.frozen(kw_only=True)
class Client:
    """Who may ask: an address or prefix, and the secret."""

    prefix: str
    secret: bytes = attrs.field(repr=False)

    def covers(self, host: str) -> bool:
        """Tell whether a host is this client; a prefix of IPv6 may hold IPv4's addresses, too (RFC 4291 2.5.5.2)."""
        prefix = ipaddress.ip_network(self.prefix)
        return ipaddress.ip_address(f"::ffff:{host}" if prefix.version == 6 and ":" not in host else host) in prefix


@attrs.frozen(kw_only=True)
class Changes:
    """What a CoA-Request wants to hold; None: as before. Seconds, 0 being never."""

    session_timeout: float | None = None
    idle_timeout: float | None = None
    interim_interval: float | None = None


@attrs.frozen(kw_only=True)
class Demand:
    """A request that is to have an effect; `changes` is None where sessions are to end."""

    request: Packet
    client: Client
    source: Address
    match: Match
    changes: Changes | None = None


_SESSION: Final[Mapping[Key, tuple[Attribute[Any], str]]] = {  # RFC 5176 3: how a session may be described
    attribute.key: (attribute, name)
    for attribute, name in (
        (row.USER_NAME, "user"),
        (row.ACCT_SESSION_ID, ACCOUNT),
        (row.FRAMED_IP_ADDRESS, "address"),
        (row.FRAMED_INTERFACE_ID, "interface_id"),
        (row.FRAMED_IPV6_PREFIX, "prefix"),
        (row.NAS_PORT, "session_id"),
        (row.NAS_PORT_ID, "interface"),
        (row.CALLING_STATION_ID, "calling_number"),
        (row.CALLED_STATION_ID, "called_number"),
    )
}
_CHANGES: Final[Mapping[Key, tuple[Attribute[int], str]]] = {
    attribute.key: (attribute, name)
    for attribute, name in (
        (row.SESSION_TIMEOUT, "session_timeout"),
        (row.IDLE_TIMEOUT, "idle_timeout"),
        (row.ACCT_INTERIM_INTERVAL, "interim_interval"),
    )
}
_OURSELVES: Final = {row.NAS_IDENTIFIER.key, row.NAS_IP_ADDRESS.key, row.NAS_IPV6_ADDRESS.key}
_ASIDE: Final = row.used("i")
_ACK: Final = {Code.DISCONNECT_REQUEST: Code.DISCONNECT_ACK, Code.COA_REQUEST: Code.COA_ACK}
_NAK: Final = {Code.DISCONNECT_REQUEST: Code.DISCONNECT_NAK, Code.COA_REQUEST: Code.COA_NAK}

_KINDS: Final = {Code.DISCONNECT_REQUEST: "disconnect", Code.COA_REQUEST: "change"}
_STRANGE: Final = "unknown", "ignored"  # what is not believed is of no kind
_COUNTED: Final = (*itertools.product(_KINDS.values(), ("done", "refused", "ignored")), _STRANGE)

_Seen = tuple[Address, int, bytes]
"""Who asked, under which identifier and authenticator."""


class Desk:
    """Takes requests, and remembers what it has answered."""

    def __init__(self, clients: Sequence[Client], identity: Callable[[], Identity], window: float) -> None:
        """Listen to `clients` alone. A request counts for `window` seconds before and after its time; 0: for ever, and it needs no time."""
        self.clients = tuple(clients)
        self.window = window
        self._identity = identity
        self._answers: dict[_Seen, tuple[float, bytes]] = {}  # the oldest first
        self._under_way: set[_Seen] = set()
        self.counts: Counter[tuple[str, ...]] = Counter(dict.fromkeys(_COUNTED, 0))
        """Requests by type, and what came of them."""

    def receive(self, data: bytes, source: Address, wall: float) -> Demand | bytes | None:
        """Return what is to be done, or an answer, or nothing. Never raises."""
        client = next((one for one in self.clients if one.covers(source.host)), None)
        try:
            request = None if client is None else self._believed(data, client, wall)
        except Malformed:
            request = None
        if client is None or request is None:
            self.counts[_STRANGE] += 1
            return None
        return self._new(request, client, source, wall)

    def answer(self, demand: Demand, cause: ErrorCause | None, wall: float) -> bytes:
        """Return the answer to a demand: an ACK, or a NAK with a cause."""
        return self._answer(demand.request, demand.client, demand.source, cause, wall)

    def _believed(self, data: bytes, client: Client, wall: float) -> Packet:
        request = check_request(data, client.secret, require_signature=False)
        if request.code not in _ACK:
            raise Malformed("no request of dynamic authorization")
        written = row.EVENT_TIMESTAMP.first(request.attributes, 0)
        if self.window and abs(wall - written) > self.window:  # RFC 5176 6.3
            raise Malformed("too old, or without a time")
        states = request.attributes.get(row.PROXY_STATE.key, ())
        if sum(2 + len(state) for state in states) > LARGEST - HEAD - 30:  # octets of all else that an answer holds
            raise Malformed("no room for its Proxy-States in an answer")
        return request

    def _new(self, request: Packet, client: Client, source: Address, wall: float) -> Demand | bytes | None:
        seen = source, request.identifier, request.authenticator
        self._clean(wall)
        if seen in self._answers:
            return self._answers[seen][1]
        if seen in self._under_way or len(self._answers) + len(self._under_way) >= REMEMBERED:
            self.counts[_KINDS[Code(request.code)], "ignored"] += 1
            return None
        try:
            match, changes = self._match(request), self._changes(request)
            cause = self._objection(request, match, changes)
        except Malformed:
            return self._answer(request, client, source, ErrorCause.INVALID_ATTRIBUTE_VALUE, wall)
        if cause is not None:
            return self._answer(request, client, source, cause, wall)
        self._under_way.add(seen)
        return Demand(request=request, client=client, source=source, match=match, changes=changes)

    def _match(self, request: Packet) -> Match:
        """Return who is meant. Raises `Malformed`."""
        said = request.attributes
        return {name: attribute.of(said)[0] for key, (attribute, name) in _SESSION.items() if key in said}

    def _changes(self, request: Packet) -> Changes | None:
        """Return what shall hold, None where a session shall end. Raises `Malformed`."""
        if request.code != Code.COA_REQUEST:
            return None
        said = request.attributes
        return Changes(**{name: float(attr.of(said)[0]) for key, (attr, name) in _CHANGES.items() if key in said})

    def _objection(self, request: Packet, match: Match, changes: Changes | None) -> ErrorCause | None:
        """Say why it cannot be done, whatever sessions there are (RFC 5176 3.5)."""
        if not self._meant(request.attributes):
            return ErrorCause.NAS_IDENTIFICATION_MISMATCH
        known = _SESSION.keys() | _OURSELVES | _ASIDE | (set() if changes is None else _CHANGES.keys())
        if not request.attributes.keys() <= known:
            return ErrorCause.UNSUPPORTED_ATTRIBUTE
        if not match or changes == Changes():
            return ErrorCause.MISSING_ATTRIBUTE
        return None

    def _meant(self, said: Attributes) -> bool:
        """Tell whether a request is for us (RFC 5176 3)."""
        us: Draft = {}
        self._identity().put(us)
        return all(said[key] == us[key] for key in _OURSELVES & said.keys() & us.keys())

    def _answer(self, request: Packet, client: Client, source: Address, cause: ErrorCause | None, wall: float) -> bytes:
        draft: Draft = {}
        row.EVENT_TIMESTAMP.put(draft, int(wall))  # RFC 5176 3.6, 6.3
        if cause is not None:
            row.ERROR_CAUSE.put(draft, cause)
        code = (_ACK if cause is None else _NAK)[Code(request.code)]
        self.counts[_KINDS[Code(request.code)], "done" if cause is None else "refused"] += 1
        octets = encode_answer(code, request, draft, client.secret, sign=True)
        seen = source, request.identifier, request.authenticator
        self._under_way.discard(seen)
        self._answers[seen] = wall, octets
        return octets

    def _clean(self, wall: float) -> None:
        """Forget answers to requests that would be too old by now; without a window, after the longest that a server may repeat them."""
        longest = 2 * self.window or 300.0
        while self._answers:
            seen, (when, _) = next(iter(self._answers.items()))
            if abs(wall - when) <= longest:
                return
            del self._answers[seen]
