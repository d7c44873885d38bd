"""The way in: what one caller is asked for and given, and for how long it may stay.

Who knows the callers is an `Authority`, which may take its time; the link goes on meanwhile. What comes of it is applied only if the link still waits for
it: the caller may have hung up, or have said something else since.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs
import trio

from l2tpd import log
from l2tpd.config.model import SingleSession
from l2tpd.errors import LocalProtocolError
from l2tpd.ppp.accountant import Cause
from l2tpd.ppp.addresses import Use
from l2tpd.ppp.authority import REFUSED, Request, Verdict
from l2tpd.ppp.instances import Limits
from l2tpd.ppp.leases import Name
from l2tpd.ppp.numbers import Disconnect
from l2tpd.ppp.settings import Grant
from l2tpd.ppp.way import Way, speeds

if TYPE_CHECKING:
    from l2tpd.ppp.authority import Authority
    from l2tpd.ppp.credentials import Credentials
    from l2tpd.ppp.events import CheckCredentials
    from l2tpd.ppp.lease import Lease
    from l2tpd.ppp.leases import Leases
    from l2tpd.ppp.link import Link
    from l2tpd.session.call import Call

_UNASKED = Verdict(accepted=True)  # what holds where no caller has to say who it is

_PATIENCE = 30.0  # seconds for which a caller waits for its user's old session to be gone: others may be removed before it; callers wait about as long

_log = log.get("ppp")


def _asleep() -> None:
    """Wake nobody: the link is not served yet."""


@attrs.frozen(kw_only=True)
class Gift:
    """What a peer gets over IPv6; what it does not get is empty."""

    prefix: str = ""  # of the link
    delegated: str = ""  # for the networks behind the peer
    address: str = ""
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()  # domains

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What is routed to the peer."""
        return tuple(filter(None, (self.prefix, self.delegated, self.address and f"{self.address}/128")))


@attrs.define(eq=False, kw_only=True)
class Gate:
    """The way in of one session; `way` is its tunnel, `name` ours in Challenges."""

    tunnel_id: int
    way: Way
    name: str
    call: Call
    lease: Lease
    leases: Leases
    link: Link
    authority: Authority
    wake: Callable[[], None] = _asleep  # has whoever serves the link look at it
    verdict: Verdict = _UNASKED
    cause: Cause | None = None  # why we end the session, as accounting puts it, where the link does not tell
    _address: str = ""  # that the caller was given
    _session_timeout: float | None = None  # laid down for this very session; None: as its user or its profile has it
    _idle_timeout: float | None = None
    _began: float = 0.0
    _up: bool = False  # packets may pass
    _ends: float = math.inf  # when the time of the session is up
    _looks: float = math.inf  # when to look whether packets have passed

    def check_nowait(self, asked: CheckCredentials) -> bool:
        """Let a caller in or turn it away, for which the link waits, if it takes no time to know which; tell whether that was so."""
        if not self.link.awaits(asked.credentials):
            return True  # it has begun anew since
        verdict = self.authority.check_nowait(self._request(asked.credentials))
        if verdict is None or self._supplanted(asked, verdict):
            return False
        self._decide(asked, verdict, trio.current_time())
        return True

    async def check(self, asked: CheckCredentials) -> None:
        """Ask whether a caller may come in, and let it in with what it is granted or turn it away."""
        verdict = await self.authority.check(self._request(asked.credentials))
        with trio.move_on_after(_PATIENCE):
            while self.link.awaits(asked.credentials) and (others := self._supplanted(asked, verdict)):
                await self._supplant(others)
        if self.link.awaits(asked.credentials):
            self._decide(asked, verdict, trio.current_time())
            self.wake()

    def make_way(self) -> None:
        """End the session for its user's next one, without waiting for the peer, who seldom is there any longer."""
        now = trio.current_time()
        if self.link.lcp.cause is None:  # else it is ending already, and why is known
            self.cause = Cause.NAS_REQUEST
        self.link.close(now, "its user has come anew")
        self.link.lower_down(now)
        self.wake()

    def any_address(self) -> str:
        """Return an address for a peer of which nobody knows who it is. Raises `LocalProtocolError`."""
        return self.leases.take(self.call, self.lease.pool)

    def ipv6(self) -> Gift:
        """Return what the peer gets over IPv6; for what is not to be had, it gets nothing, and the log says why."""
        verdict, ppp = self.verdict, self.lease.ppp
        return Gift(
            prefix=self._find_ipv6(Use.LINK, verdict.prefix, verdict.prefix_pool or ppp.prefix_pool),
            delegated=self._find_ipv6(
                Use.DELEGATION, verdict.delegated_prefix, verdict.delegated_pool or ppp.delegated_pool
            ),
            address=self._find_ipv6(Use.HOST, verdict.ipv6_address, ""),  # last: it may lie in either of them
            dns=verdict.ipv6_dns or ppp.ipv6_dns,
            search=ppp.ipv6_search,
        )

    # --- limits -------------------------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """When `overdue` is to be asked."""
        return min(self._ends, self._looks)

    def begin(self, now: float) -> None:
        """Watch from now on whether packets pass."""
        self._up = True
        self.apply(now)
        self._looks += self.limits(now).idle_timeout  # nothing has had the time to pass

    def limits(self, now: float) -> Limits:
        """Return how long the session may last: as somebody has laid down for it, else as for all of its user or profile."""
        session, idle = self.leases.timeouts(self.call, self.lease)
        return Limits(
            session_timeout=session if self._session_timeout is None else self._session_timeout,
            idle_timeout=idle if self._idle_timeout is None else self._idle_timeout,
            left=None if self._ends == math.inf else max(self._ends - now, 0.0),
        )

    def apply(self, now: float) -> None:
        """Go by the limits as they are now, also where a reload has changed them."""
        self._began = self._began or now
        limits = self.limits(now)
        self._ends = self._began + limits.session_timeout if limits.session_timeout else math.inf
        self._looks = now if limits.idle_timeout and self._up else math.inf

    def overdue(self, now: float, idle: Callable[[float], float]) -> str:
        """Return why the session has to end now, empty: it need not, or has ended; `idle` tells for how many seconds no packet has passed."""
        if self.link.cause is not None:
            return ""
        if now >= self._ends:
            self._ends = self._looks = math.inf
            self.cause = Cause.SESSION_TIMEOUT
            return "the user's time is up"
        if now < self._looks:
            return ""
        limit = self.limits(now).idle_timeout
        if not limit:  # any longer
            self._looks = math.inf
            return ""
        left = limit - idle(now)
        self._looks = now + left if left > 0 else math.inf
        self.cause = None if left > 0 else Cause.IDLE_TIMEOUT
        return "" if left > 0 else "the user has been idle for too long"

    def limit(self, session_timeout: float | None, idle_timeout: float | None, now: float) -> None:
        """Change what the session may have from its beginning on, and idle; 0: any, None: as before."""
        if session_timeout is not None:
            self._session_timeout = session_timeout
        if idle_timeout is not None:
            self._idle_timeout = idle_timeout
        self.apply(now)

    # --- within -------------------------------------------------------------------------------------------------------------------

    def _request(self, said: Credentials) -> Request:
        return Request(
            credentials=said,
            tunnel_id=self.tunnel_id,
            session_id=self.call.local_id,
            way=self.way,
            calling_number=self.call.calling_number,
            called_number=self.call.called_number,
            speeds=speeds(self.call),
            interface=self.lease.interface,
            lns_name=self.name,
        )

    def _decide(self, asked: CheckCredentials, verdict: Verdict, now: float) -> None:
        said = asked.credentials
        if not verdict.accepted:
            self.link.refuse_credentials(said, verdict.message or REFUSED.message, now)
        elif not self.leases.enter(self.call, self._whose(asked), self._limit(asked, verdict), self.make_way):
            self.link.refuse_credentials(said, b"too many sessions of this user", now, self._too_many)
        else:
            try:
                self._let_in(asked, verdict, now)
            except LocalProtocolError as error:
                self._warn(said.user, str(error))
                self.link.close(now, str(error), Disconnect.NO_ADDRESS)

    def _whose(self, asked: CheckCredentials) -> Name:
        return Name(self.lease.ppp.authority, asked.credentials.user)

    def _single(self, asked: CheckCredentials) -> SingleSession:
        """Return what to do about other sessions of a caller; one that is in already, and proves itself again, has nothing to do with them."""
        is_in = asked.again and asked.credentials.user == self.call.ppp_user
        return SingleSession.OFF if is_in else self.lease.ppp.single_session

    def _limit(self, asked: CheckCredentials, verdict: Verdict) -> int:
        """Return how many sessions the user may have, 0: any number."""
        return verdict.max_sessions if self._single(asked) is SingleSession.OFF else 1

    @property
    def _too_many(self) -> str:
        replaces = self.lease.ppp.single_session is SingleSession.REPLACE
        return "its old session does not end" if replaces else "it has as many sessions as it may have"

    def _supplanted(self, asked: CheckCredentials, verdict: Verdict) -> list[Call]:
        """Return the sessions that have to go before a caller is let in."""
        replaces = verdict.accepted and self._single(asked) is SingleSession.REPLACE
        return self.leases.others(self.call, self._whose(asked)) if replaces else []

    async def _supplant(self, others: Sequence[Call]) -> None:
        """End sessions of the user, and wait until they have given back what they had."""
        gone = [trio.Event() for _ in others]
        for other, event in zip(others, gone, strict=True):
            self.leases.send_away(other, event.set)
        for event in gone:
            await event.wait()

    def _let_in(self, asked: CheckCredentials, verdict: Verdict, now: float) -> None:
        """Let a caller in; one that is in already keeps its address. Raises `LocalProtocolError` when what it is to have is not to be had."""
        said = asked.credentials
        if not asked.again:
            self._address = self._find(Use.ADDRESS, said.user, verdict.address, verdict.pool or self.lease.pool)
        grant = Grant(
            address=self._address,
            dns=verdict.dns,
            nbns=verdict.nbns,
            interface_id=verdict.interface_id,
            keys=verdict.keys,
            message=verdict.message,
        )
        self.verdict, self.call.ppp_user = verdict, said.user
        self._session_timeout, self._idle_timeout = verdict.session_timeout or None, verdict.idle_timeout or None
        self.apply(now)  # from its beginning on: a caller that proves itself again has no more time for that
        self.link.accept_credentials(said, grant, now)

    def _find(self, use: Use, user: str, own: str, pool: str) -> str:
        """Return what is a user's own, else something out of its pool; empty where there is neither. Raises `LocalProtocolError`."""
        if own:
            if self.leases.claim(self.call, own, use):
                return own
            text = f"{own} is not free: it, or a part of it, is in use or a pool's"
            if not pool:
                raise LocalProtocolError(text)
            self._warn(user, f"{text}: it gets one out of the pool")
        return self.leases.take(self.call, pool, use) if pool else ""

    def _find_ipv6(self, use: Use, own: str, pool: str) -> str:
        user = self.call.ppp_user
        try:
            return self._find(use, user, own, pool)
        except LocalProtocolError as error:
            self._warn(user, str(error))
            return ""

    def _warn(self, user: str, reason: str) -> None:
        _log.warning(
            "PPP: a user cannot be served as it should",
            tid=self.tunnel_id,
            sid=self.call.local_id,
            user=user,
            reason=reason,
        )
