"""What accounting is told of tunnels and their links, which are their sessions: that they begin, end, or did not come about (RFC 2867 3). Pure.

It follows events. What was told to begin is told to end, whatever a reload says meanwhile; and a link has its place in a tunnel that was told of. Of
tunnels that strangers ask for in vain nothing is said, for they may do so as fast as they like, and from addresses that are not theirs.

What a link has carried is told by the events of its PPP, and is counted by its interface where it carries something else; a tunnel has carried what its
links have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from l2tpd.config.model import Pseudowire
from l2tpd.events import Event, PppEvent, SessionEvent, TunnelEvent, What
from l2tpd.ppp.accountant import Cause, Traffic
from l2tpd.ppp.way import Way
from l2tpd.radius import attributes as row
from l2tpd.radius.accounting import Books, Record, count, describe_tunnel
from l2tpd.radius.numbers import Status
from l2tpd.wire.numbers import CallResult, StopResult

_TUNNEL_ENDS: Final[Mapping[int | None, Cause]] = {  # RFC 2661 4.4.2
    None: Cause.LOST_SERVICE,  # no StopCCN has said anything
    StopResult.GENERAL: Cause.ADMIN_RESET,
    StopResult.SHUTTING_DOWN: Cause.ADMIN_REBOOT,
}
_LINK_ENDS: Final[Mapping[int | None, Cause]] = {
    None: Cause.LOST_SERVICE,  # its tunnel has ended
    CallResult.LOST_CARRIER: Cause.LOST_CARRIER,
    CallResult.ADMIN: Cause.ADMIN_RESET,
}

_Key = tuple[int, int]
"""Our tunnel id, and the session id or 0 for the tunnel itself."""


@attrs.define(eq=False)
class _Page:
    account: str
    begun: float
    way: Way  # whose peer is the tunnel's client
    traffic: Traffic = attrs.field(factory=Traffic)  # as far as that is known


class TunnelBooks:
    """The tunnels and links that accounting knows of. Times are seconds of the shell's clock; `wall` is seconds since 1970."""

    def __init__(self, books: Books, way_of: Callable[[int], Way], measure: Callable[[str], Traffic]) -> None:
        """Begin; names of accounts and the heads of records are those of `books`.

        `way_of` describes a tunnel, `measure` returns what an interface has carried.
        """
        self._books = books
        self._way_of = way_of
        self._measure = measure
        self._pages: dict[_Key, _Page] = {}

    def __len__(self) -> int:
        """Count the tunnels and links."""
        return len(self._pages)

    def follow(self, event: Event, now: float, wall: float, *, wanted: bool) -> Record | None:
        """Return what is to be told of an event, if anything is; `wanted`: also of what begins now."""
        if isinstance(event, TunnelEvent):
            return self._tunnel(event, now, wall, wanted=wanted)
        if isinstance(event, PppEvent):
            self._count(event)
        return self._link(event, now, wall) if isinstance(event, SessionEvent) else None

    def _tunnel(self, event: TunnelEvent, now: float, wall: float, *, wanted: bool) -> Record | None:
        key = event.tunnel_id, 0
        if event.what is What.UP and wanted:
            return self._begin(key, Status.TUNNEL_START, self._ends(event), now, wall)
        if event.what is not What.DELETED:
            return None
        cause = _TUNNEL_ENDS.get(event.result, Cause.NAS_ERROR)
        if key in self._pages:
            return self._end(key, Status.TUNNEL_STOP, cause, now, wall)
        if event.up or event.origin != "local" or not wanted:
            return None
        return self._reject(key, Status.TUNNEL_REJECT, self._ends(event), cause, wall)

    def _link(self, event: SessionEvent, now: float, wall: float) -> Record | None:
        key, tunnel = (event.tunnel_id, event.session_id), self._pages.get((event.tunnel_id, 0))
        if event.what is What.UP and tunnel is not None:
            return self._begin(key, Status.TUNNEL_LINK_START, tunnel.way, now, wall)
        if event.what is What.DOWN and key in self._pages and event.pseudowire != Pseudowire.PPP.value:
            self._pages[key].traffic = self._measure(event.interface)  # which is still there
        if event.what is not What.DELETED:
            return None
        cause = _LINK_ENDS.get(event.result, Cause.NAS_ERROR)
        if key in self._pages:
            if tunnel is not None:
                tunnel.traffic += self._pages[key].traffic
            return self._end(key, Status.TUNNEL_LINK_STOP, cause, now, wall, event.ppp_user)
        if event.up or tunnel is None:
            return None
        return self._reject(key, Status.TUNNEL_LINK_REJECT, tunnel.way, cause, wall)

    def _count(self, event: PppEvent) -> None:
        """Note what PPP of a session has carried, of which the first network that ends may tell less than the last."""
        page = self._pages.get((event.tunnel_id, event.session_id))
        if page is not None:
            told = Traffic(
                input_octets=event.rx_bytes,
                output_octets=event.tx_bytes,
                input_packets=event.rx_packets,
                output_packets=event.tx_packets,
            )
            page.traffic = told.not_below(page.traffic)

    def _ends(self, event: TunnelEvent) -> Way:
        """Describe a tunnel by its ends, of which the client is the one that has asked for it (RFC 2868 3.3)."""
        way = self._way_of(event.tunnel_id)
        if event.origin != "local":
            return way
        swapped = {"peer": way.local, "local": way.peer, "peer_name": way.local_name, "local_name": way.peer_name}
        return attrs.evolve(way, **swapped)

    def _begin(self, key: _Key, status: Status, way: Way, now: float, wall: float) -> Record:
        page = self._pages[key] = _Page(self._books.new_key(), now, way)
        return self._record(page.account, key, status, way, wall)

    def _end(self, key: _Key, status: Status, cause: Cause, now: float, wall: float, user: str = "") -> Record:
        page = self._pages.pop(key)
        record = self._record(page.account, key, status, page.way, wall, cause)
        draft = dict(record.attributes)
        row.ACCT_SESSION_TIME.put(draft, max(0, round(now - page.begun)))
        count(page.traffic, draft)
        if user:
            row.USER_NAME.put(draft, user)
        return attrs.evolve(record, attributes=draft)

    def _reject(self, key: _Key, status: Status, way: Way, cause: Cause, wall: float) -> Record:
        return self._record(self._books.new_key(), key, status, way, wall, cause)

    def _record(
        self, account: str, key: _Key, status: Status, way: Way, wall: float, cause: Cause | None = None
    ) -> Record:
        draft = self._books.draft(account, status, wall)
        describe_tunnel(way, *key, draft)
        if session_id := key[1]:
            row.NAS_PORT.put(draft, session_id)
        if cause is not None:
            row.ACCT_TERMINATE_CAUSE.put(draft, cause)
        return Record(key=account, status=status, moment=wall, attributes=draft)
