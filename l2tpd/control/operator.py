"""What the control methods need of the daemon.

The daemon implements `Operator`; nothing here runs. All methods that are not `async` answer at once and from memory. References have been
resolved to identifiers before the daemon is asked, by `l2tpd.control.references`; an identifier may be gone by then only in the `async` ones.
Every method may raise `ControlError` (its code is answered), `ConfigError` (all its problems are answered) or `LocalProtocolError` (answered
as refused).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, Self, TypeVar

from l2tpd.control.jsonrpc import Json
from l2tpd.control.views import (
    ConfigTable,
    LogLine,
    PeerView,
    PlanView,
    PoolView,
    PppDetail,
    PppRow,
    ProfileView,
    SessionRow,
    SessionView,
    StatisticsView,
    SystemView,
    TrafficRow,
    TunnelRow,
    TunnelView,
)
from l2tpd.events import Event, Lost, Stamped
from l2tpd.passed import Passed

T_co = TypeVar("T_co", covariant=True)


class Subscription(Protocol[T_co]):
    """A stream of events, or of whatever else happens; see `l2tpd.bus`."""

    def __aiter__(self) -> Self:
        """Return itself."""
        ...

    async def __anext__(self) -> T_co | Lost:
        """Wait for the next item or gap."""
        ...

    def rest(self, limit: int) -> Sequence[T_co | Lost]:
        """Take what waits besides, at most `limit` items."""
        ...

    def close(self) -> None:
        """Stop receiving."""
        ...


class Operator(Protocol):
    """The daemon as an operator sees it."""

    @property
    def log_levels(self) -> Sequence[str]:
        """Name the log levels, the most severe first."""
        ...

    def system(self) -> SystemView:
        """Describe the daemon."""
        ...

    def statistics(self, *, reset: bool) -> StatisticsView | Awaitable[StatisticsView]:
        """Return the counters, and set them to zero afterwards when `reset` says so."""
        ...

    def tunnel_ids(self) -> Collection[int]:
        """Return the identifiers of all tunnels; testing whether one is there must be quick."""
        ...

    def tunnel_names(self) -> Iterable[str]:
        """Name the tunnels that have a name."""
        ...

    def find_tunnel(self, name: str) -> int | None:
        """Return the identifier of the tunnel called `name`, or None."""
        ...

    def tunnel_row(self, tunnel_id: int) -> TunnelRow:
        """Return the list row of a tunnel."""
        ...

    def tunnel(self, tunnel_id: int) -> TunnelView | Awaitable[TunnelView]:
        """Describe a tunnel."""
        ...

    def create_tunnel(self, name: str, keys: Mapping[str, Json]) -> TunnelRow:
        """Open a tunnel as if `[tunnel.NAME]` said these keys; raises `ConfigError` or `ControlError`."""
        ...

    def delete_tunnel(self, tunnel_id: int, reason: str) -> None:
        """Begin to tear a tunnel down, telling the peer the reason."""
        ...

    def session_ids(self, tunnel_id: int) -> Collection[int]:
        """Return the identifiers of a tunnel's sessions."""
        ...

    def session_names(self, tunnel_id: int) -> Iterable[str]:
        """Name the sessions of a tunnel that have a name."""
        ...

    def find_session(self, tunnel_id: int, name: str) -> int | None:
        """Return the identifier of the session called `name` in a tunnel, or None."""
        ...

    def session_row(self, tunnel_id: int, session_id: int) -> SessionRow:
        """Return the list row of a session."""
        ...

    def session(self, tunnel_id: int, session_id: int) -> SessionView | Awaitable[SessionView]:
        """Describe a session."""
        ...

    async def traffic(self, rows: Sequence[SessionRow]) -> Sequence[TrafficRow]:
        """Tell what these sessions have carried; those that the data plane does not count are left out."""
        ...

    def create_session(self, tunnel_id: int, name: str, keys: Mapping[str, Json]) -> SessionRow:
        """Open a session as if `[tunnel.T.session.NAME]` said these keys; raises `ConfigError` or `ControlError`."""
        ...

    def delete_session(self, tunnel_id: int, session_id: int, reason: str) -> None:
        """Begin to tear a session down, telling the peer the reason."""
        ...

    def ppp_row(self, tunnel_id: int, session_id: int) -> PppRow | None:
        """Return the list row of a session's PPP, None where it has none that ends here."""
        ...

    def find_ppp(self, name: str) -> list[tuple[int, int]]:
        """Return tunnel and session id of those whose interface or session is called `name`."""
        ...

    def ppp(self, tunnel_id: int, session_id: int) -> PppDetail:
        """Describe the PPP of a session."""
        ...

    def destroy_ppp(self, tunnel_id: int, session_id: int, reason: str) -> None:
        """Begin to end PPP, telling the peer the reason; the session follows, and is not asked for again."""
        ...

    def peers(self) -> Sequence[PeerView]:
        """Describe who may call."""
        ...

    def profiles(self) -> Sequence[ProfileView]:
        """Describe the profiles."""
        ...

    def pools(self) -> Sequence[PoolView]:
        """Describe the address pools."""
        ...

    def config_names(self) -> Sequence[str]:
        """Name the tables of the configuration in force, in its order."""
        ...

    def config_table(self, table: str) -> ConfigTable:
        """Return the keys that one of `config_names()` says, without secrets."""
        ...

    async def plan(self) -> PlanView:
        """Read the configuration again and tell what applying it would change; raises `ConfigError`."""
        ...

    async def reload(self) -> PlanView:
        """Read the configuration again and apply it; raises `ConfigError` and then changes nothing."""
        ...

    def set_drain(self, *, drain: bool) -> None:
        """Refuse new tunnels and sessions from now on, or accept them again."""
        ...

    def set_log_level(self, level: str) -> None:
        """Log from now on what is at least as severe as this one of `log_levels`."""
        ...

    def trace(self, tunnel_id: int | None, session_id: int | None) -> tuple[str, ...]:
        """Name what is traced for the system, a tunnel, or a session of it."""
        ...

    def set_trace(self, tunnel_id: int | None, session_id: int | None, categories: Sequence[str], *, on: bool) -> None:
        """Switch these words of `l2tpd.trace.WORDS` for the system, a tunnel, or a session of it."""
        ...

    async def set_profile_trace(self, kind: str, name: str, categories: Sequence[str], *, on: bool) -> tuple[str, ...]:
        """Switch these words for every tunnel or session of a profile, those that there are and those to come; return what it traces now."""
        ...

    def log_lines(self, limit: int) -> Sequence[LogLine]:
        """Return the newest lines of the log kept in memory, oldest first."""
        ...

    def clear_log(self) -> None:
        """Empty the log kept in memory."""
        ...

    def subscribe(self, wants: Callable[[Event], bool] | None) -> Subscription[Stamped]:
        """Open a subscription to events; None wants all."""
        ...

    def capture(self, wants: Callable[[Passed], bool]) -> Subscription[Passed]:
        """Open a subscription to control messages as they are received and sent."""
        ...

    def client_refused(self) -> None:
        """Count a client for whom there is no place, and log it within limits."""
        ...

    def line_refused(self) -> None:
        """Count a request that is too long."""
        ...

    def crashed(self, where: str, error: Exception) -> None:
        """Log a bug with its traceback and count it; must not raise."""
        ...
