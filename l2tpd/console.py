"""The daemon as its operators see it: the commands that may change it, and where the views come from.

Nothing here decides anything about the protocol. Views are made from the cores at the moment they are asked for (`portrait.py`), so they cannot
drift from what is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from l2tpd import __version__, log, portrait
from l2tpd.config import load, resolve
from l2tpd.config.contradictions import called
from l2tpd.config.diff import Plan, Verb, When
from l2tpd.control import views
from l2tpd.control.jsonrpc import NOT_FOUND, REFUSED, Json
from l2tpd.errors import ControlError, Exhausted, PlaneError
from l2tpd.events import Event
from l2tpd.kernel.plane import MovingPlane
from l2tpd.trace import WORDS, Category, mask
from l2tpd.wire.numbers import StopResult

if TYPE_CHECKING:
    from l2tpd.bus import Queue, Subscription
    from l2tpd.config.model import Config, Said
    from l2tpd.daemon import Daemon
    from l2tpd.dialer import Line
    from l2tpd.passed import Passed
    from l2tpd.ppp.instances import Instance
    from l2tpd.session.call import Call
    from l2tpd.tunnel.task import Tunnel

Counted = TypeVar("Counted", views.TunnelView, views.SessionView)

_API = int(Category.API)
_PACE = 64  # tunnels gone through before other tasks get their turn

_log = log.get("console")


class Console:
    """Implements `l2tpd.control.operator.Operator` for a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        """Serve `daemon`."""
        self._daemon = daemon
        self._totals_before: Mapping[str, int] = {}
        self._more_before: Mapping[str, int] = {}
        self._counted_since = daemon.started
        self.log_levels: Sequence[str] = tuple(log.LEVELS)
        self._shown: tuple[object, dict[str, Any]] = (None, {})
        self._refusals = log.RateLimit(rate=1 / 60, burst=1)

    # --- the system -----------------------------------------------------------------------------------------------------------

    def system(self) -> views.SystemView:
        """Describe the daemon."""
        daemon, system = self._daemon, self._daemon.config.system
        return views.SystemView(
            version=__version__,
            hostname=daemon.site.hostname,
            pid=os.getpid(),
            uptime=trio.current_time() - daemon.started,
            config_path=str(daemon.options.config_path),
            listening=tuple(
                views.Listening(address=str(one.address), encap=one.encap.value) for one in daemon.endpoint.listeners
            ),
            data_plane=daemon.adapter.plane.name,
            data_plane_reason=daemon.plane_reason,
            log_level=log.level(),
            trace=portrait.words(daemon.site.trace),
            drain=daemon.policy.drain,
            tunnels=len(daemon.registry),
            sessions=daemon.registry.sessions,
            tunnels_by_state=portrait.census(daemon.registry),
            sessions_by_state=portrait.session_census(daemon.site.calls_by_state),
            limits=views.LimitsView(
                max_tunnels=system.max_tunnels,
                max_sessions=system.max_sessions,
                max_half_open=system.max_half_open,
                max_half_open_per_source=system.max_half_open_per_source,
            ),
        )

    def statistics(self, *, reset: bool) -> views.StatisticsView | Awaitable[views.StatisticsView]:
        """Return the counters, and set them to zero afterwards when `reset` says so."""
        daemon, now, plane = self._daemon, trio.current_time(), self._daemon.adapter.plane
        # Metrics are told of these as well, and know no reset.
        more = {"crashes": daemon.crashes, "events": daemon.bus.published}
        since_reset = {name: count - self._more_before.get(name, 0) for name, count in more.items()}
        view = portrait.statistics(daemon.site.counters, now - self._counted_since, since_reset)
        if reset:
            daemon.site.counters.reset()
            self._counted_since, self._more_before = now, more
        return self._with_totals(plane, view, reset=reset) if isinstance(plane, MovingPlane) else view

    async def _with_totals(
        self, plane: MovingPlane, view: views.StatisticsView, *, reset: bool
    ) -> views.StatisticsView:
        """Add what the data plane counts; a plane knows no reset, so what it had counted by then is taken off."""
        totals, before = await plane.totals(), self._totals_before
        if reset:
            self._totals_before = totals
        return attrs.evolve(view, data={name: count - before.get(name, 0) for name, count in totals.items()})

    def set_drain(self, *, drain: bool) -> None:
        """Refuse new tunnels and sessions from now on, or accept them again."""
        if self._daemon.stopping:
            raise ControlError(REFUSED, "the daemon is stopping")
        self._daemon.policy.drain = drain
        _log.notice("drain", on=drain)

    # --- tunnels --------------------------------------------------------------------------------------------------------------

    def tunnel_ids(self) -> Collection[int]:
        """Return the identifiers of all tunnels."""
        return self._daemon.registry.by_id.keys()

    def tunnel_names(self) -> Iterable[str]:
        """Name the tunnels that have a name."""
        return self._daemon.registry.names()

    def find_tunnel(self, name: str) -> int | None:
        """Return the identifier of the tunnel called `name`, or None."""
        tunnel = self._daemon.registry.named(name)
        return None if tunnel is None else tunnel.core.local_id

    def tunnel_row(self, tunnel_id: int) -> views.TunnelRow:
        """Return the list row of a tunnel."""
        return portrait.tunnel_row(self._tunnel(tunnel_id), trio.current_time())

    def tunnel(self, tunnel_id: int) -> views.TunnelView | Awaitable[views.TunnelView]:
        """Describe a tunnel."""
        tunnel = self._tunnel(tunnel_id)
        line = self._line(tunnel)
        retry_in = self._daemon.dialer.retry_in(line) if line else None
        return self._counted(portrait.tunnel(tunnel, line, retry_in, trio.current_time()), tunnel_id)

    def create_tunnel(self, name: str, keys: Mapping[str, Json]) -> views.TunnelRow:
        """Open a tunnel as if `[tunnel.NAME]` said these keys."""
        daemon = self._daemon
        self._trace(f"create tunnel {name}")
        self._check_creates()
        instance = load.said_tunnel({"name": name, "persist": False, **keys}, daemon.config)
        limit = daemon.config.system.max_tunnels
        if limit and len(daemon.registry) >= limit:
            raise ControlError(REFUSED, f"{limit} tunnels are the limit")
        try:
            line = daemon.dialer.place(instance, daemon.config, configured=False)
        except Exhausted as error:
            raise ControlError(REFUSED, str(error)) from error
        return portrait.tunnel_row(line.tunnel, trio.current_time())

    def delete_tunnel(self, tunnel_id: int, reason: str) -> None:
        """Begin to tear a tunnel down, telling the peer the reason; it is not opened again."""
        tunnel = self._tunnel(tunnel_id)
        self._trace(f"delete tunnel @{tunnel_id}: {reason}")
        line = self._line(tunnel)
        if line is not None:
            self._daemon.dialer.remove(line.instance.name, reason)
            return
        tunnel.close(StopResult.GENERAL, reason)

    # --- sessions -------------------------------------------------------------------------------------------------------------

    def session_ids(self, tunnel_id: int) -> Collection[int]:
        """Return the identifiers of a tunnel's sessions."""
        return self._tunnel(tunnel_id).core.calls.keys()

    def session_names(self, tunnel_id: int) -> Iterable[str]:
        """Name the sessions of a tunnel that have a name."""
        return [call.name for call in self._tunnel(tunnel_id).core.calls.values() if call.name]

    def find_session(self, tunnel_id: int, name: str) -> int | None:
        """Return the identifier of the session called `name` in a tunnel, or None."""
        found = (call.local_id for call in self._tunnel(tunnel_id).core.calls.values() if call.name == name)
        return next(found, None)

    def session_row(self, tunnel_id: int, session_id: int) -> views.SessionRow:
        """Return the list row of a session."""
        tunnel, call = self._session(tunnel_id, session_id)
        return portrait.session_row(tunnel.core, call, trio.current_time())

    def session(self, tunnel_id: int, session_id: int) -> views.SessionView | Awaitable[views.SessionView]:
        """Describe a session."""
        tunnel, call = self._session(tunnel_id, session_id)
        return self._counted(portrait.session(tunnel.core, call, trio.current_time()), tunnel_id, session_id)

    async def traffic(self, rows: Sequence[views.SessionRow]) -> Sequence[views.TrafficRow]:
        """Tell what these sessions have carried, as far as the data plane counts it."""
        plane = self._daemon.adapter.plane
        if not isinstance(plane, MovingPlane):
            return []
        counted: list[views.TrafficRow] = []
        for row in rows:
            with contextlib.suppress(PlaneError):  # no longer carried
                counted.append(portrait.traffic(row, await plane.statistics(row.tunnel_id, row.id)))
        return counted

    def create_session(self, tunnel_id: int, name: str, keys: Mapping[str, Json]) -> views.SessionRow:
        """Open a session as if `[tunnel.T.session.NAME]` said these keys."""
        daemon, tunnel, now = self._daemon, self._tunnel(tunnel_id), trio.current_time()
        self._trace(f"create session {name} in tunnel @{tunnel_id}")
        self._check_creates()
        limit = daemon.config.system.max_sessions
        if limit and daemon.registry.sessions >= limit:
            raise ControlError(REFUSED, f"{limit} sessions are the limit")
        line = self._line(tunnel)
        instance = load.said_session(
            {"name": name, **keys},
            daemon.config,
            line.instance.session_profile if line else "default",
            tunnel=line.instance if line else called(tunnel.core.dialect.version),
        )
        if line is not None:
            call = daemon.dialer.add_session(line, instance)
        else:
            settings = resolve.session_settings(daemon.config, instance.profile, instance.said)
            call = tunnel.core.open_session(settings, now, name=name, profile=instance.profile)
        row = portrait.session_row(tunnel.core, call, now)
        tunnel.flush_contained()
        return row

    def delete_session(self, tunnel_id: int, session_id: int, reason: str) -> None:
        """Begin to tear a session down, telling the peer the reason; it is not asked for again."""
        tunnel, call = self._session(tunnel_id, session_id)
        self._trace(f"delete session @{session_id} in tunnel @{tunnel_id}: {reason}")
        self._forget(tunnel, call)
        tunnel.contained(lambda: tunnel.core.close_session(session_id, trio.current_time(), reason))
        tunnel.flush_contained()

    # --- PPP ------------------------------------------------------------------------------------------------------------------

    def ppp_row(self, tunnel_id: int, session_id: int) -> views.PppRow | None:
        """Return the list row of a session's PPP, None where it has none that ends here."""
        instance = self._daemon.ppp.instances.get((tunnel_id, session_id))
        return portrait.ppp_row(instance, self._tunnel(tunnel_id).core, trio.current_time()) if instance else None

    def find_ppp(self, name: str) -> list[tuple[int, int]]:
        """Return tunnel and session id of those whose interface or session is called `name`."""
        return [instance.report.key for instance in self._daemon.ppp.instances.called(name)]

    def ppp(self, tunnel_id: int, session_id: int) -> views.PppDetail:
        """Describe the PPP of a session."""
        tunnel, instance = self._tunnel(tunnel_id), self._ppp(tunnel_id, session_id)
        return portrait.ppp(instance, tunnel.core, trio.current_time())

    def destroy_ppp(self, tunnel_id: int, session_id: int, reason: str) -> None:
        """Begin to end PPP, telling the peer the reason; the session follows, and is not asked for again."""
        instance = self._ppp(tunnel_id, session_id)
        tunnel, call = self._session(tunnel_id, session_id)
        self._trace(f"destroy PPP of session @{session_id} in tunnel @{tunnel_id}: {reason}")
        self._forget(tunnel, call)
        instance.disconnect(reason or "ended by an operator")

    def _ppp(self, tunnel_id: int, session_id: int) -> Instance:
        instance = self._daemon.ppp.instances.get((tunnel_id, session_id))
        if instance is None:
            raise ControlError(NOT_FOUND, f"no PPP ends here for session @{session_id} of tunnel @{tunnel_id}")
        return instance

    def _forget(self, tunnel: Tunnel, call: Call) -> None:
        """See to it that a session is not asked for again."""
        line = self._line(tunnel)
        if line is not None and call.name:
            self._daemon.dialer.remove_session(line, call.name)

    # --- the configuration ----------------------------------------------------------------------------------------------------

    def peers(self) -> Sequence[views.PeerView]:
        """Describe who may call."""
        return [
            portrait.peer(name, peer, self._daemon.registry.from_peer(name))
            for name, peer in self._config.peers.items()
        ]

    def profiles(self) -> Sequence[views.ProfileView]:
        """Describe the profiles; `default` is always there."""
        config = self._config
        kinds: tuple[tuple[str, Mapping[str, Any], Callable[..., Any]], ...] = (
            ("tunnel", config.tunnel_profiles, resolve.tunnel_settings),
            ("session", config.session_profiles, resolve.session_settings),
            ("pseudowire", config.pseudowire_profiles, resolve.pseudowire_settings),
            ("ppp", config.ppp_profiles, resolve.ppp_settings),
        )
        return [
            views.ProfileView(kind=kind, name=name, settings=portrait.settings(settings_of(config, name)))
            for kind, profiles, settings_of in kinds
            for name in dict.fromkeys(("default", *profiles))
        ]

    def pools(self) -> Sequence[views.PoolView]:
        """Describe the address pools."""
        moving = isinstance(self._daemon.adapter.plane, MovingPlane)
        leases = self._daemon.leases
        return [
            portrait.pool(name, pool, leases.fill(name) if moving else None)
            for name, pool in self._config.pools.items()
        ]

    def config_names(self) -> Sequence[str]:
        """Name the tables of the configuration in force."""
        return list(self._by_name())

    def config_table(self, table: str) -> views.ConfigTable:
        """Return the keys that a table says, without secrets."""
        found = self._by_name()
        if table in found:
            return views.ConfigTable(table=table, keys=portrait.settings(found[table]))
        raise ControlError(NOT_FOUND, f"the configuration has no table `{table}`")

    async def plan(self) -> views.PlanView:
        """Read the configuration again and tell what applying it would change."""
        return _plan(await self._daemon.reloader.plan())

    async def reload(self) -> views.PlanView:
        """Read the configuration again and apply it."""
        self._trace("reload")
        return _plan(await self._daemon.reloader.reload())

    # --- log and trace --------------------------------------------------------------------------------------------------------

    def set_log_level(self, level: str) -> None:
        """Log from now on what is at least as severe as `level`."""
        log.set_level(level)
        self._daemon.apply_trace()

    def trace(self, tunnel_id: int | None, session_id: int | None) -> tuple[str, ...]:
        """Name what is traced for the system, a tunnel, or a session of it."""
        return portrait.words(self._traced(tunnel_id, session_id).trace)

    def set_trace(self, tunnel_id: int | None, session_id: int | None, categories: Sequence[str], *, on: bool) -> None:
        """Switch categories for the system, a tunnel, or a session of it."""
        thing = self._traced(tunnel_id, session_id)
        for word in categories:
            thing.trace = thing.trace | int(WORDS[word]) if on else thing.trace & ~int(WORDS[word])

    async def set_profile_trace(self, kind: str, name: str, categories: Sequence[str], *, on: bool) -> tuple[str, ...]:
        """Switch categories for the tunnels or sessions of a profile, also, until the configuration is read again, those to come."""
        before = self._config
        config, words = _tracing(before, kind, name, categories, on=on)
        self._daemon.config = config
        self._daemon.policy.apply(config)
        affected = _inheriting(before, config, kind)
        bits = mask(categories)
        for count, tunnel in enumerate(self._daemon.registry):
            if count % _PACE == _PACE - 1:
                await trio.lowlevel.checkpoint()
            line = self._line(tunnel)
            if line is not None:
                line.config = self._daemon.config  # which a reload may have changed meanwhile
            for thing in _of_profiles(kind, affected, tunnel, line, config):
                thing.trace = thing.trace | bits if on else thing.trace & ~bits
        return words

    def log_lines(self, limit: int) -> Sequence[views.LogLine]:
        """Return the newest lines of the log kept in memory, oldest first."""
        return [views.LogLine(time=line.time, level=line.level, text=line.text) for line in log.ring.lines(limit)]

    def clear_log(self) -> None:
        """Empty the log kept in memory."""
        log.ring.clear()

    def subscribe(self, wants: Callable[[Event], bool] | None) -> Subscription:
        """Open a subscription to events."""
        return self._daemon.bus.subscribe(wants)

    def capture(self, wants: Callable[[Passed], bool]) -> Queue[Passed]:
        """Open a subscription to control messages."""
        _log.notice("capture")
        return self._daemon.tap.attach(wants)

    def client_refused(self) -> None:
        """Count a client for whom there is no place, and log it within limits."""
        self._daemon.site.counters.clients_refused += 1
        self._refusals.say("", trio.current_time(), _log.warning, "too many control connections: a client is refused")

    def line_refused(self) -> None:
        """Count a request that is too long."""
        self._daemon.site.counters.lines_refused += 1

    def crashed(self, where: str, error: Exception) -> None:
        """Log a bug with its traceback and count it."""
        self._daemon.crashed(where, error)

    # --- within ---------------------------------------------------------------------------------------------------------------

    def _counted(self, view: Counted, tunnel_id: int, session_id: int = 0) -> Counted | Awaitable[Counted]:
        """Add what the data plane counts, where it counts: that takes a while."""
        plane = self._daemon.adapter.plane
        return _with_counters(plane, view, tunnel_id, session_id) if isinstance(plane, MovingPlane) else view

    @property
    def _config(self) -> Config:
        return self._daemon.config

    def _trace(self, text: str) -> None:
        if self._daemon.site.trace & _API:
            log.traced(Category.API, text)

    def _check_creates(self) -> None:
        if self._daemon.config.system.deny_local_creates:
            raise ControlError(REFUSED, "system.deny_local_creates is set")
        if self._daemon.stopping:
            raise ControlError(REFUSED, "the daemon is stopping")
        if self._daemon.policy.drain:
            raise ControlError(REFUSED, "the daemon is being drained")

    def _tunnel(self, tunnel_id: int) -> Tunnel:
        tunnel = self._daemon.registry.by_id.get(tunnel_id)
        if tunnel is None:
            raise ControlError(NOT_FOUND, f"there is no tunnel @{tunnel_id}")
        return tunnel

    def _session(self, tunnel_id: int, session_id: int) -> tuple[Tunnel, Call]:
        tunnel = self._tunnel(tunnel_id)
        call = tunnel.core.calls.get(session_id)
        if call is None:
            raise ControlError(NOT_FOUND, f"there is no session @{session_id} in tunnel @{tunnel_id}")
        return tunnel, call

    def _line(self, tunnel: Tunnel) -> Line | None:
        line = self._daemon.dialer.lines.get(tunnel.core.name)
        return line if line is not None and line.tunnel is tunnel else None

    def _traced(self, tunnel_id: int | None, session_id: int | None) -> Any:
        if tunnel_id is None:
            return self._daemon.site
        return self._tunnel(tunnel_id).core if session_id is None else self._session(tunnel_id, session_id)[1]

    def _by_name(self) -> dict[str, Any]:
        """Return the tables by name, made once for each configuration: looking for each anew would be quadratic."""
        if self._shown[0] is not self._config:
            self._shown = self._config, dict(self._tables())
        return self._shown[1]

    def _tables(self) -> Iterator[tuple[str, Any]]:
        config = self._config
        yield "system", config.system
        for number, listen in enumerate(config.listen):
            yield f"listen.{number}", listen
        for family, tables in (
            ("peer", config.peers),
            ("profile.tunnel", config.tunnel_profiles),
            ("profile.session", config.session_profiles),
            ("profile.pseudowire", config.pseudowire_profiles),
            ("profile.ppp", config.ppp_profiles),
            ("pool", config.pools),
            ("user", config.users),
        ):
            for name, table in tables.items():
                yield f"{family}.{name}", table
        if config.radius.servers or config.radius.clients:
            yield "radius", config.radius
        for name, tunnel in config.tunnels.items():
            yield f"tunnel.{name}", tunnel
            for inner, session in tunnel.sessions.items():
                yield f"tunnel.{name}.session.{inner}", session


async def _with_counters(plane: MovingPlane, view: Counted, tunnel_id: int, session_id: int) -> Counted:
    try:
        counters = await plane.statistics(tunnel_id, session_id)
    except PlaneError:
        return view  # not carried yet, or no longer
    return attrs.evolve(view, counters=counters)


def _tracing(
    config: Config, kind: str, name: str, categories: Sequence[str], *, on: bool
) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration with other categories in a profile, and what that profile traces then."""
    profiles = config.tunnel_profiles if kind == "tunnel" else config.session_profiles
    traced, bits = _trace_of(profiles, name), mask(categories)
    words = portrait.words(traced | bits if on else traced & ~bits)
    changed = {**profiles, name: {**profiles.get(name, {}), "trace": words}}
    if kind == "tunnel":
        return attrs.evolve(config, tunnel_profiles=changed), words
    return attrs.evolve(config, session_profiles=changed), words


def _trace_of(profiles: Mapping[str, Said], name: str) -> int:
    return mask(resolve.merged(profiles, name).get("trace", ()))


def _inheriting(before: Config, after: Config, kind: str) -> frozenset[str]:
    """Name the profiles of a kind that trace something else than before: also those that inherit from a changed `default`."""
    old, new = (config.tunnel_profiles if kind == "tunnel" else config.session_profiles for config in (before, after))
    return frozenset(name for name in new if name not in old or _trace_of(old, name) != _trace_of(new, name))


def _of_profiles(
    kind: str, profiles: Collection[str], tunnel: Tunnel, line: Line | None, config: Config
) -> Iterable[Any]:
    """Yield what has a trace of these profiles: the core of a tunnel, or its calls; not what says its own trace."""
    core = tunnel.core
    if kind == "tunnel":
        if _tunnel_profile(tunnel, config) in profiles and not (line and "trace" in line.instance.said):
            yield core
        return
    sessions = line.sessions if line else {}
    for call in core.calls.values():
        own = sessions.get(call.name)
        if call.profile in profiles and not (own and "trace" in own.said):
            yield call


def _tunnel_profile(tunnel: Tunnel, config: Config) -> str:
    """Return the tunnel profile of a tunnel: a caller's is that of the peer entry that it matched."""
    core = tunnel.core
    if core.origin == "local":
        return core.profile
    peer = config.peers.get(core.profile)
    return peer.tunnel_profile if peer else ""


def _plan(plan: Plan) -> views.PlanView:
    def said(*, verb: Verb | None = None, whens: frozenset[When]) -> tuple[str, ...]:
        steps = (step for step in plan.steps if step.when in whens and verb in {None, step.verb})
        return tuple(dict.fromkeys(".".join((*step.path, *([step.key] if step.key else []))) for step in steps))

    at_once = frozenset({When.IN_PLACE, When.NEW_ONLY})
    return views.PlanView(
        added=said(verb=Verb.ADDED, whens=at_once),
        removed=said(verb=Verb.REMOVED, whens=at_once),
        changed=said(verb=Verb.CHANGED, whens=at_once),
        restarted=said(whens=frozenset({When.RESTART_SESSION, When.RESTART_TUNNEL})),
        refused=said(whens=frozenset({When.RESTART_DAEMON})),
    )
