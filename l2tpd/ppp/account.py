"""The account of one session, for as long as its network is up: from its first network protocol to its end. Pure.

An interface counts what it moves, and may be made anew during a session: what the earlier one had counted is added. Accounts are kept of callers alone; as a
client we are the subscriber.

An account knows who runs its session only while the session's network is up. Otherwise they would know each other for ever, and what a session had would be
garbage until the cycle collector came by, which is after thousands of sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from l2tpd.ppp.accountant import Cause, Subscriber, Traffic
from l2tpd.ppp.ipv6cp import identifier
from l2tpd.ppp.numbers import BY_PEER, Disconnect
from l2tpd.ppp.way import Way, speeds
from l2tpd.session.call import NO_IPV6
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.ppp.accountant import Accountant
    from l2tpd.ppp.authority import Verdict
    from l2tpd.session.call import Call

_BY_LINK: Final[Mapping[int, Cause]] = {  # RFC 3145 3
    Disconnect.ADMIN: Cause.ADMIN_RESET,
    Disconnect.NORMAL: Cause.ADMIN_RESET,
    Disconnect.ECHO_TIMEOUT: Cause.LOST_CARRIER,
    Disconnect.LCP_TIMEOUT: Cause.LOST_CARRIER,
    Disconnect.NO_LCP: Cause.LOST_CARRIER,
    Disconnect.LOOPED_BACK: Cause.LOST_CARRIER,
    Disconnect.AUTH_FAILED: Cause.USER_ERROR,
    Disconnect.AUTH_TIMEOUT: Cause.USER_ERROR,
    Disconnect.NCP_TIMEOUT: Cause.USER_ERROR,
    Disconnect.NO_CONVERGENCE: Cause.USER_ERROR,
}
_BY_CDN: Final[Mapping[int | None, Cause]] = {  # RFC 2661 4.4.2; None: the whole tunnel has ended
    CallResult.LOST_CARRIER: Cause.LOST_CARRIER,
    CallResult.ADMIN: Cause.ADMIN_RESET,
    None: Cause.LOST_SERVICE,
}


_NO_TRAFFIC: Final = Traffic()


class WayIn(Protocol):
    """What the way in of a session has found."""

    tunnel_id: int
    way: Way
    verdict: Verdict
    cause: Cause | None  # the limit that ends the session


class Owner(Protocol):
    """Who runs the session's PPP."""

    def disconnect(self, text: str) -> None:
        """End the session, for a reason in words."""

    def limit(self, session_timeout: float | None, idle_timeout: float | None) -> None:
        """Set how long it may last and be idle, in seconds; None leaves it as it is."""


@attrs.define(eq=False, kw_only=True)
class Account:
    """The account of one session; without an `accountant` nobody hears of it."""

    accountant: Accountant | None
    call: Call
    gate: WayIn
    by_radius: bool
    count: Callable[[], Traffic]  # what the present interface has moved
    told: bool = False  # the session is ended for somebody else, whoever's CDN comes first then
    _name: str = ""
    _where: tuple[Any, ...] = ()  # as it was told last
    _before: Traffic = _NO_TRAFFIC  # by interfaces that are gone
    _why: Cause | None = None  # it has ended

    def moved(self) -> Traffic:
        """Return what the session has moved."""
        return self._before + self.count()

    def open(self, owner: Owner) -> None:
        """Begin, or say what is new if it has begun: a network protocol is up."""
        if self.accountant is None:
            return
        now = _keeping(self._where, self._described(owner))
        if not self._name:
            self._name = self.accountant.begin(now)
        elif _where(now) != self._where:
            self.accountant.renew(self._name, now)
        self._where = _where(now)

    def _described(self, owner: Owner) -> Subscriber:
        call, verdict = self.call, self.gate.verdict
        six = call.ppp_ipv6 or NO_IPV6
        return Subscriber(
            user=call.ppp_user,
            address=call.ppp_remote,
            interface_id=identifier(six.remote),
            prefix=six.prefix,
            delegated_prefix=six.delegated_prefix,
            ipv6_address=six.address,
            interface=call.interface,
            tunnel_id=self.gate.tunnel_id,
            session_id=call.local_id,
            way=self.gate.way,
            calling_number=call.calling_number,
            called_number=call.called_number,
            speeds=speeds(call),
            by_radius=self.by_radius,
            state_class=verdict.state_class,
            interim_interval=verdict.interim_interval,
            traffic=self.moved,
            disconnect=owner.disconnect,
            limit=owner.limit,
        )

    def carry_over(self) -> None:
        """Add what the interface has counted, before it is removed."""
        self._before = self.moved()

    def settle(self) -> None:
        """Read the counters for the last time, while the interface is still there, and note why it ends."""
        self._before, self.count = self.moved(), Traffic
        self._why = self._cause()

    def close(self) -> None:
        """End."""
        if self.accountant is not None and self._name:
            self.accountant.end(self._name, self._why or self._cause())
        self._name = ""

    def _cause(self) -> Cause:
        """Say why: a limit was reached, the link has ended, or the call was taken from under it."""
        said, ending = self.call.disconnect, self.call.ending
        if self.gate.cause is not None:
            return self.gate.cause
        if self.told:
            return Cause.ADMIN_RESET
        if said is not None and said.code == Disconnect.NORMAL and said.direction == BY_PEER:
            return Cause.USER_REQUEST
        if said is not None:
            return _BY_LINK.get(said.code, Cause.NAS_ERROR)
        return _BY_CDN.get(ending.result, Cause.NAS_ERROR) if ending is not None else Cause.NAS_REQUEST


_WHERE: Final = "address", "interface", "interface_id", "prefix", "delegated_prefix", "ipv6_address"
"""What may become known of a session, or change, while it lasts."""


_where: Final[Callable[[Subscriber], tuple[Any, ...]]] = attrgetter(*_WHERE)


def _keeping(before: tuple[Any, ...], now: Subscriber) -> Subscriber:
    """Describe a session with what it had `before` where it has nothing now.

    It holds that until its end, though the protocol for it be down; and a server's pool takes back what a Stop names.
    """
    kept = {name: old for name, old in zip(_WHERE, before, strict=False) if not getattr(now, name)}
    return attrs.evolve(now, **kept) if kept else now
