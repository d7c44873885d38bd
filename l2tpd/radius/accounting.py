"""What accounting is told of sessions: Start, Interim-Update and Stop, and that we have begun or end ourselves (RFC 2866, RFC 2869 2.1). Pure.

Theory of operation. `Books` holds a page for each session that was reported as begun, under an identifier that no other session will have, in this
life of the daemon or another. `open` and `close` return the records to deliver; `due` says whose turn for an interim record it is, and `interim`
writes that. The turns of a population that came at once are spread over the interval (RFC 2869 2.1: jitter). A counter that went back, since an
interface was made anew, never makes a record smaller than the one before: the loss would be taken for a gain of four gigabytes.

A record is attributes and the moment it is about. It keeps its moment however late it is delivered: as Event-Timestamp in it, and as
Acct-Delay-Time that is written when it is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from l2tpd.deadlines import Deadlines
from l2tpd.ppp.accountant import Cause, Subscriber, Traffic
from l2tpd.ppp.way import Way
from l2tpd.radius import attributes as row
from l2tpd.radius.attributes import Attributes, Draft
from l2tpd.radius.numbers import (
    MEDIUM_IPV4,
    MEDIUM_IPV6,
    PORT_VIRTUAL,
    PROTOCOL_PPP,
    SERVICE_FRAMED,
    TUNNEL_L2TP,
    Authentic,
    Status,
)

SHORTEST_INTERVAL: Final = 60.0  # seconds (RFC 2869 5.16: "MUST NOT" be less)
JITTER: Final = 0.1  # of the interval


@attrs.frozen(kw_only=True)
class Identity:
    """How we call ourselves in requests (RFC 2865 5.4, 5.32; RFC 3162 2.1)."""

    identifier: str
    address: str = ""

    def put(self, draft: Draft) -> None:
        """Say who we are."""
        row.NAS_IDENTIFIER.put(draft, self.identifier)
        if self.address:
            (row.NAS_IPV6_ADDRESS if ":" in self.address else row.NAS_IP_ADDRESS).put(draft, self.address)


@attrs.frozen(kw_only=True)
class Record:
    """What accounting shall be told. `moment` is seconds since 1970; a later record of the same `key` and status makes an earlier one needless."""

    key: str
    status: Status
    moment: float
    attributes: Attributes


@attrs.define(eq=False)
class _Page:
    subscriber: Subscriber
    begun: float
    interval: float
    traffic: Traffic = attrs.field(factory=Traffic)


class Books:
    """The sessions that accounting knows of. Times are seconds of the shell's clock; `wall` is seconds since 1970."""

    def __init__(
        self, life: str, identity: Callable[[], Identity], interval: Callable[[], float], random: Callable[[], float]
    ) -> None:
        """Begin; `life` tells this life of the daemon from all others, `interval` is between interims (0: none), `random` is from 0 to 1."""
        self._life = life
        self._identity = identity
        self._interval = interval
        self._random = random
        self._serial = 0
        self._pages: dict[str, _Page] = {}
        self._turns: Deadlines[str] = Deadlines()

    def __len__(self) -> int:
        """Count the sessions."""
        return len(self._pages)

    def __contains__(self, key: object) -> bool:
        """Tell whether there is such a session."""
        return key in self._pages

    def new_key(self) -> str:
        """Return an Acct-Session-Id that was never used."""
        self._serial += 1
        return f"{self._life}-{self._serial:08X}"

    def announce(self, *, on: bool, wall: float) -> Record:
        """Say that we begin, and nothing that was said of our sessions holds any longer; or that we end (RFC 2866 5.1)."""
        key, status = self.new_key(), Status.ON if on else Status.OFF
        draft = self.draft(key, status, wall)
        if not on:
            row.ACCT_TERMINATE_CAUSE.put(draft, Cause.ADMIN_REBOOT)
        return Record(key=key, status=status, moment=wall, attributes=draft)

    def open(self, key: str, subscriber: Subscriber, now: float, wall: float) -> Record:
        """Begin a page under a key of `new_key`."""
        interval = subscriber.interim_interval or self._interval()
        page = _Page(subscriber, now, max(interval, SHORTEST_INTERVAL) if interval else 0.0)
        self._pages[key] = page
        self._arm(key, page, now)
        return self._record(key, page, Status.START, now, wall)

    def renew(self, key: str, subscriber: Subscriber) -> None:
        """Describe a session otherwise from now on."""
        if key in self._pages:
            self._pages[key].subscriber = subscriber

    def interim(self, key: str, traffic: Traffic, now: float, wall: float) -> Record | None:
        """Say what a session has moved so far; None if there is no such session any longer."""
        page = self._pages.get(key)
        if page is None:
            return None
        page.traffic = traffic.not_below(page.traffic)
        self._arm(key, page, now)
        return self._record(key, page, Status.INTERIM, now, wall)

    def close(self, key: str, traffic: Traffic, cause: Cause, now: float, wall: float) -> Record | None:
        """End a page; None if there is none."""
        page = self._pages.pop(key, None)
        if page is None:
            return None
        self._turns.cancel(key)
        page.traffic = traffic.not_below(page.traffic)
        record = self._record(key, page, Status.STOP, now, wall)
        draft = dict(record.attributes)
        row.ACCT_TERMINATE_CAUSE.put(draft, cause)
        return attrs.evolve(record, attributes=draft)

    def change(self, key: str, interval: float, now: float) -> None:
        """Let interims of a session come in another interval from now on; nothing happens if there is no such session."""
        page = self._pages.get(key)
        if page is None:
            return
        page.interval = max(interval, SHORTEST_INTERVAL) if interval else 0.0
        self._turns.cancel(key)
        self._arm(key, page, now)

    def due(self, now: float) -> list[str]:
        """Return the sessions whose turn for an interim record it is."""
        return self._turns.due(now)

    def next_timer(self) -> float | None:
        """When the next turn comes."""
        return self._turns.next()

    def _arm(self, key: str, page: _Page, now: float) -> None:
        if page.interval:
            spread = 1 + JITTER * (2 * self._random() - 1)
            self._turns.set(key, now + max(page.interval * spread, SHORTEST_INTERVAL))

    def draft(self, key: str, status: Status, wall: float) -> Draft:
        """Begin a record with what all of them say."""
        draft: Draft = {}
        row.ACCT_STATUS_TYPE.put(draft, status)
        row.ACCT_SESSION_ID.put(draft, key)
        row.EVENT_TIMESTAMP.put(draft, int(wall))
        self._identity().put(draft)
        return draft

    def _record(self, key: str, page: _Page, status: Status, now: float, wall: float) -> Record:
        draft = self.draft(key, status, wall)
        describe(page.subscriber, draft)
        row.ACCT_AUTHENTIC.put(draft, Authentic.RADIUS if page.subscriber.by_radius else Authentic.LOCAL)
        if page.subscriber.state_class:
            row.CLASS.put(draft, *page.subscriber.state_class)
        if status is not Status.START:
            row.ACCT_SESSION_TIME.put(draft, max(0, round(now - page.begun)))
            count(page.traffic, draft)
        return Record(key=key, status=status, moment=wall, attributes=draft)


def describe(subscriber: Subscriber, draft: Draft) -> None:
    """Write down what is known of a session."""
    row.NAS_PORT.put(draft, subscriber.session_id)
    row.SERVICE_TYPE.put(draft, SERVICE_FRAMED)
    row.FRAMED_PROTOCOL.put(draft, PROTOCOL_PPP)
    row.NAS_PORT_TYPE.put(draft, PORT_VIRTUAL)
    for attribute, text in (
        (row.USER_NAME, subscriber.user),
        (row.FRAMED_IP_ADDRESS, subscriber.address),
        (row.FRAMED_IPV6_PREFIX, subscriber.prefix),
        (row.DELEGATED_IPV6_PREFIX, subscriber.delegated_prefix),
        (row.FRAMED_IPV6_ADDRESS, subscriber.ipv6_address),
        (row.NAS_PORT_ID, subscriber.interface),
        (row.CALLING_STATION_ID, subscriber.calling_number),
        (row.CALLED_STATION_ID, subscriber.called_number),
        (row.CONNECT_INFO, subscriber.speeds),
    ):
        if text:
            attribute.put(draft, text)
    if subscriber.interface_id:
        row.FRAMED_INTERFACE_ID.put(draft, subscriber.interface_id)
    describe_tunnel(subscriber.way, subscriber.tunnel_id, subscriber.session_id, draft)


def describe_tunnel(way: Way, tunnel_id: int, session_id: int, draft: Draft) -> None:
    """Write down by which tunnel a session came, whose client is the LAC, or with no session a tunnel (RFC 2867 4, RFC 2868 3)."""
    row.TUNNEL_TYPE.put(draft, TUNNEL_L2TP)
    row.TUNNEL_MEDIUM_TYPE.put(draft, MEDIUM_IPV6 if ":" in way.peer else MEDIUM_IPV4)
    for attribute, text in (
        (row.TUNNEL_CLIENT_ENDPOINT, way.peer),
        (row.TUNNEL_SERVER_ENDPOINT, way.local),
        (row.TUNNEL_CLIENT_AUTH_ID, way.peer_name),
        (row.TUNNEL_SERVER_AUTH_ID, way.local_name),
        (row.TUNNEL_ASSIGNMENT_ID, way.name),
    ):
        if text:
            attribute.put(draft, text)
    row.ACCT_TUNNEL_CONNECTION.put(draft, f"{tunnel_id}/{session_id}" if session_id else str(tunnel_id))


def count(traffic: Traffic, draft: Draft) -> None:
    """Write down traffic, each of octets in words of 32 bits and how often these have wrapped (RFC 2869 5.1)."""
    row.ACCT_INPUT_OCTETS.put(draft, traffic.input_octets)
    row.ACCT_OUTPUT_OCTETS.put(draft, traffic.output_octets)
    row.ACCT_INPUT_GIGAWORDS.put(draft, traffic.input_octets >> 32)
    row.ACCT_OUTPUT_GIGAWORDS.put(draft, traffic.output_octets >> 32)
    row.ACCT_INPUT_PACKETS.put(draft, traffic.input_packets)
    row.ACCT_OUTPUT_PACKETS.put(draft, traffic.output_packets)
