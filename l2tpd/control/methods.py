"""The control methods: one row a method, and the functions named there.

`begin` runs a request as far as it goes without waiting; lists come in pages (`l2tpd.control.pages`), so that no request takes long.
Whoever can connect to the socket may read; who may write is decided by the server from the peer's credentials.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

import attrs
import cattrs

from l2tpd.control import pages, views
from l2tpd.control import params as p
from l2tpd.control.jsonrpc import (
    FORBIDDEN,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    Json,
    Request,
)
from l2tpd.control.openrpc import document
from l2tpd.control.operator import Operator, Subscription
from l2tpd.control.references import new_name, ppp_ids, session_id, there_are, tunnel_id
from l2tpd.errors import ControlError
from l2tpd.events import (
    ConfigReloaded,
    DaemonStopping,
    Event,
    Lost,
    PppEvent,
    SessionEvent,
    Stamped,
    TunnelEvent,
)
from l2tpd.passed import Chosen, Network, Passed, told
from l2tpd.trace import WORDS

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

READ = "read"
WRITE = "write"


@attrs.frozen
class Method:
    """One control method: what it takes and returns, which right it needs, and the function that carries it out."""

    name: str
    params: type[Any]
    result: type[Any]
    access: str
    run: Callable[[Operator, Any], object]
    doc: str


@attrs.frozen
class Opened(Generic[T]):
    """An answer with the subscription that the server now has to serve: each item as a notification of this name, with these params."""

    answer: object
    subscription: Subscription[T]
    notification: str
    params: Callable[[T | Lost], Mapping[str, Json]]
    may_wait: bool = False  # a moment, so that many subscribers who are told the same cost little


# --- running a request


def begin(operator: Operator, request: Request, *, may_write: bool) -> object:
    """Run a request; returns its result, or an awaitable of it.

    Raises `ControlError` for a method or parameter that is not known, a missing right, or what the operator refuses; `ConfigError` and
    `LocalProtocolError` come from the operator.
    """
    row = METHODS.get(request.method)
    if row is None:
        raise ControlError(
            METHOD_NOT_FOUND, f"there is no method `{request.method[:100]}`{p.meant(request.method, METHODS)}"
        )
    arguments = p.read(row.params, request.params)
    if (row.access == WRITE or getattr(arguments, "reset", False)) and not may_write:
        raise ControlError(
            FORBIDDEN, f"`{row.name}` is not for everybody: it takes root, the daemon's user or the owner of the socket"
        )
    return row.run(operator, arguments)


def plain(result: object) -> Json:
    """Turn a view into what JSON can say."""
    answer: Json = _converter.unstructure(result)
    return answer


def event_params(item: Stamped | Lost) -> dict[str, Json]:
    """Turn an event into the params of an `event` notification: `object` says what the rest is about."""
    if isinstance(item, Lost):
        return {"object": "lost", "count": item.events}
    told: dict[str, Json] = {"time": item.time, "object": _OBJECTS[type(item.event)]}
    told.update(_converter.unstructure(item.event))
    return told


_OBJECTS = {
    TunnelEvent: "tunnel",
    SessionEvent: "session",
    PppEvent: "ppp",
    ConfigReloaded: "config",
    DaemonStopping: "daemon",
}

_converter = cattrs.Converter()


# --- tunnels


def _tunnel_matches(row: views.TunnelRow, wanted: p.TunnelFilter) -> bool:
    """Apply the filters of a list to a tunnel."""
    return (
        (wanted.origin is None or row.origin == wanted.origin)
        and (wanted.state is None or row.state == wanted.state)
        and (wanted.peer is None or _is_peer(row, wanted.peer))
    )


def _is_peer(row: views.TunnelRow, peer: str) -> bool:
    """Tell whether a tunnel's peer is the one meant by an address, with or without port, or a Host Name."""
    host = row.peer_address.rpartition(":")[0].strip("[]")
    return peer in {row.peer_address, host, row.peer_host_name}


def _tunnel_steps(operator: Operator, wanted: p.TunnelFilter) -> Iterator[tuple[str, views.TunnelRow | None]]:
    (last,) = pages.position(wanted.cursor, 1)
    for number in pages.ascending(operator.tunnel_ids(), last + 1):
        row = operator.tunnel_row(number)
        yield str(number), row if _tunnel_matches(row, wanted) else None


def _tunnel_list(operator: Operator, wanted: p.TunnelFilter) -> views.TunnelList:
    rows, cursor = pages.cut(_tunnel_steps(operator, wanted), wanted)
    return views.TunnelList(tunnels=rows, cursor=cursor)


def _tunnel_show(operator: Operator, ref: p.TunnelRef) -> views.TunnelView | Awaitable[views.TunnelView]:
    return operator.tunnel(tunnel_id(operator, ref.tunnel))


def _tunnel_create(operator: Operator, wanted: p.TunnelKeys) -> views.TunnelRow:
    return operator.create_tunnel(new_name(wanted.name), wanted.keys)


def _tunnel_delete(operator: Operator, wanted: p.TunnelEnd) -> views.TunnelDeleted:
    number = tunnel_id(operator, wanted.tunnel)
    operator.delete_tunnel(number, wanted.reason)
    return views.TunnelDeleted(id=number)


# --- sessions


def _session_steps(operator: Operator, wanted: p.SessionFilter) -> Iterator[tuple[str, views.SessionRow | None]]:
    tunnel, last = pages.position(wanted.cursor, 2)
    only = None if wanted.tunnel is None else tunnel_id(operator, wanted.tunnel)
    for owner in pages.ascending(operator.tunnel_ids() if only is None else (only,), tunnel):
        numbers = operator.session_ids(owner)
        if not numbers or (wanted.peer is not None and not _is_peer(operator.tunnel_row(owner), wanted.peer)):
            yield f"{owner + 1}/0", None
            continue
        for number in pages.ascending(numbers, last + 1 if owner == tunnel else 0):
            row = operator.session_row(owner, number)
            matches = wanted.origin in {None, row.origin} and wanted.state in {None, row.state}
            yield f"{owner}/{number}", row if matches else None


def _session_list(operator: Operator, wanted: p.SessionFilter) -> views.SessionList:
    rows, cursor = pages.cut(_session_steps(operator, wanted), wanted)
    return views.SessionList(sessions=rows, cursor=cursor)


def _session_traffic(operator: Operator, page: p.Page) -> Awaitable[views.TrafficList]:
    established = p.SessionFilter(cursor=page.cursor, limit=page.limit, state=views.UP)
    return _counted(operator, _session_list(operator, established))


async def _counted(operator: Operator, page: views.SessionList) -> views.TrafficList:
    return views.TrafficList(sessions=tuple(await operator.traffic(page.sessions)), cursor=page.cursor)


def _session_ids(operator: Operator, ref: p.SessionRef) -> tuple[int, int]:
    owner = tunnel_id(operator, ref.tunnel)
    return owner, session_id(operator, owner, ref.session)


def _session_show(operator: Operator, ref: p.SessionRef) -> views.SessionView | Awaitable[views.SessionView]:
    return operator.session(*_session_ids(operator, ref))


def _session_create(operator: Operator, wanted: p.SessionKeys) -> views.SessionRow:
    return operator.create_session(tunnel_id(operator, wanted.tunnel), new_name(wanted.name), wanted.keys)


def _session_delete(operator: Operator, wanted: p.SessionEnd) -> views.SessionDeleted:
    owner, number = _session_ids(operator, wanted)
    operator.delete_session(owner, number, wanted.reason)
    return views.SessionDeleted(tunnel_id=owner, id=number)


# --- PPP


def _ppp_steps(operator: Operator, wanted: p.PppFilter) -> Iterator[tuple[str, views.PppRow | None]]:
    tunnel, last = pages.position(wanted.cursor, 2)
    only = None if wanted.tunnel is None else tunnel_id(operator, wanted.tunnel)
    address = None if wanted.address is None else _address(wanted.address)
    for owner in pages.ascending(operator.tunnel_ids() if only is None else (only,), tunnel):
        numbers = operator.session_ids(owner)
        if not numbers:
            yield f"{owner + 1}/0", None
            continue
        for number in pages.ascending(numbers, last + 1 if owner == tunnel else 0):
            row = operator.ppp_row(owner, number)
            yield f"{owner}/{number}", row if row is not None and _ppp_matches(row, wanted, address) else None


def _ppp_matches(row: views.PppRow, wanted: p.PppFilter, address: str | None) -> bool:
    return (
        wanted.user in {None, row.user}
        and wanted.state in {None, row.state}
        and (address is None or address in {row.remote_address, row.remote_ipv6})
    )


def _address(text: str) -> str:
    """Return an address in its usual notation; raises `ControlError`."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ControlError(INVALID_PARAMS, f"`address`: `{text[:100]}` is no numeric address") from None


def _ppp_list(operator: Operator, wanted: p.PppFilter) -> views.PppList:
    rows, cursor = pages.cut(_ppp_steps(operator, wanted), wanted)
    return views.PppList(ppp=rows, cursor=cursor)


def _ppp_show(operator: Operator, ref: p.PppRef) -> views.PppDetail:
    return operator.ppp(*ppp_ids(operator, ref.ppp))


def _ppp_destroy(operator: Operator, wanted: p.PppEnd) -> views.PppDestroyed:
    owner, number = ppp_ids(operator, wanted.ppp)
    operator.destroy_ppp(owner, number, wanted.reason)
    return views.PppDestroyed(tunnel_id=owner, session_id=number)


# --- the daemon


def _system_show(operator: Operator, _: p.Nothing) -> views.SystemView:
    return operator.system()


def _statistics_show(operator: Operator, wanted: p.Reset) -> views.StatisticsView | Awaitable[views.StatisticsView]:
    return operator.statistics(reset=wanted.reset)


def _config_show(operator: Operator, page: p.Page) -> views.ConfigList:
    names, cursor = pages.by_index(operator.config_names(), page)
    return views.ConfigList(tables=tuple(operator.config_table(name) for name in names), cursor=cursor)


def _config_plan(operator: Operator, _: p.Nothing) -> Awaitable[views.PlanView]:
    return operator.plan()


def _config_reload(operator: Operator, _: p.Nothing) -> Awaitable[views.PlanView]:
    return operator.reload()


def _peers_list(operator: Operator, page: p.Page) -> views.PeerList:
    rows, cursor = pages.by_index(operator.peers(), page)
    return views.PeerList(peers=tuple(rows), cursor=cursor)


def _profiles_list(operator: Operator, page: p.Page) -> views.ProfileList:
    rows, cursor = pages.by_index(operator.profiles(), page)
    return views.ProfileList(profiles=tuple(rows), cursor=cursor)


def _pools_list(operator: Operator, page: p.Page) -> views.PoolList:
    rows, cursor = pages.by_index(operator.pools(), page)
    return views.PoolList(pools=tuple(rows), cursor=cursor)


def _debug_set(operator: Operator, wanted: p.Debug) -> views.DebugView | Awaitable[views.DebugView]:
    _check_words("categories", wanted.categories, WORDS)
    if wanted.log_level is not None:
        _check_words("log_level", (wanted.log_level,), operator.log_levels)
    if wanted.session is not None and wanted.tunnel is None:
        raise ControlError(INVALID_PARAMS, "`session` needs the `tunnel` that it belongs to")
    owner = None if wanted.tunnel is None else tunnel_id(operator, wanted.tunnel)
    number = None if owner is None or wanted.session is None else session_id(operator, owner, wanted.session)
    profile = None if wanted.profile is None else _profile(operator, wanted)
    if wanted.log_level is not None:
        operator.set_log_level(wanted.log_level)
    if profile is not None:
        return _trace_profile(operator, *profile, wanted)
    if wanted.categories:
        operator.set_trace(owner, number, wanted.categories, on=wanted.on)
    return views.DebugView(trace=operator.trace(owner, number), log_level=operator.system().log_level)


def _profile(operator: Operator, wanted: p.Debug) -> tuple[str, str]:
    """Return kind and name of the profile that is meant, if there is one."""
    kind, dot, name = (wanted.profile or "").partition(".")
    if wanted.tunnel is not None or not dot or kind not in {"tunnel", "session"}:
        raise ControlError(INVALID_PARAMS, "`profile` is tunnel.NAME or session.NAME, and goes without `tunnel`")
    known = [row.name for row in operator.profiles() if row.kind == kind]
    if name not in known:
        raise ControlError(NOT_FOUND, f"no {kind} profile is called `{name[:100]}`{there_are(known, name)}")
    return kind, name


async def _trace_profile(operator: Operator, kind: str, name: str, wanted: p.Debug) -> views.DebugView:
    trace = await operator.set_profile_trace(kind, name, wanted.categories, on=wanted.on)
    return views.DebugView(trace=trace, log_level=operator.system().log_level)


def _check_words(key: str, words: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a word that is not one of the known ones."""
    for word in words:
        if word not in known:
            raise ControlError(INVALID_PARAMS, f"`{key}`: `{word[:100]}` is none of {', '.join(known)}")


def _drain_set(operator: Operator, wanted: p.Drain) -> views.DrainView:
    operator.set_drain(drain=wanted.drain)
    return views.DrainView(drain=operator.system().drain)


def _log_show(operator: Operator, wanted: p.LogTail) -> views.LogLines:
    return views.LogLines(lines=tuple(operator.log_lines(pages.limit(wanted, p.LOG_LINES))))


def _log_clear(operator: Operator, _: p.Nothing) -> views.Done:
    operator.clear_log()
    return views.Done()


def _events_subscribe(operator: Operator, wanted: p.Kinds) -> Opened[Stamped]:
    kinds: Mapping[type[object], frozenset[str]] = {
        TunnelEvent: frozenset(wanted.tunnel),
        SessionEvent: frozenset(wanted.session),
        PppEvent: frozenset(wanted.ppp),
    }

    def wants(event: Event) -> bool:
        return not isinstance(event, TunnelEvent | SessionEvent | PppEvent) or event.what.value in kinds[type(event)]

    answer = views.Subscribed(tunnel=wanted.tunnel, session=wanted.session, ppp=wanted.ppp)
    everything = wanted == p.Kinds()  # the usual watcher, and then there is nothing to ask about each event
    return Opened(answer, operator.subscribe(None if everything else wants), "event", event_params, may_wait=True)


def _capture_start(operator: Operator, wanted: p.Captured) -> Opened[Passed]:
    numbers = {reference: tunnel_id(operator, reference) for reference in wanted.tunnels}
    chosen = Chosen(
        named={name: number for name, number in numbers.items() if not name.startswith("@")},
        ids=frozenset(number for name, number in numbers.items() if name.startswith("@")),
        peers=tuple(_network(text) for text in wanted.peers),
    )
    answer = views.CaptureStarted(
        tunnels=wanted.tunnels,
        peers=wanted.peers,
        show_hidden=wanted.show_hidden,
        version=operator.system().version,
    )
    return Opened(answer, operator.capture(chosen.wants), "message", partial(told, show_hidden=wanted.show_hidden))


def _network(text: str) -> Network:
    """Read an address or a prefix; raises `ControlError`."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ControlError(
            INVALID_PARAMS, f"`peers`: `{text[:100]}` is neither a numeric address nor a prefix such as 192.0.2.0/24"
        ) from None


def _discover(operator: Operator, _: p.Nothing) -> Mapping[str, Json]:
    return document(METHODS.values(), operator.system().version)


# fmt: off
_ROWS = (
    Method("system.show",      p.Nothing,       views.SystemView,     READ,  _system_show,      "Describe the daemon."),
    Method("statistics.show",  p.Reset,         views.StatisticsView, READ,  _statistics_show,  "Return the daemon's counters; resetting them takes the right to write."),
    Method("tunnel.list",      p.TunnelFilter,  views.TunnelList,     READ,  _tunnel_list,      "List tunnels, a page at a time."),
    Method("tunnel.show",      p.TunnelRef,     views.TunnelView,     READ,  _tunnel_show,      "Describe a tunnel."),
    Method("tunnel.create",    p.TunnelKeys,    views.TunnelRow,      WRITE, _tunnel_create,    "Open a tunnel with the keys of a `[tunnel.NAME]` table."),
    Method("tunnel.delete",    p.TunnelEnd,     views.TunnelDeleted,  WRITE, _tunnel_delete,    "Tear a tunnel down with a StopCCN."),
    Method("session.list",     p.SessionFilter, views.SessionList,    READ,  _session_list,     "List sessions, a page at a time."),
    Method("session.show",     p.SessionRef,    views.SessionView,    READ,  _session_show,     "Describe a session."),
    Method("session.traffic",  p.Page,          views.TrafficList,    READ,  _session_traffic,  "List what established sessions have carried, a page at a time."),
    Method("session.create",   p.SessionKeys,   views.SessionRow,     WRITE, _session_create,   "Open a session with the keys of a `[tunnel.T.session.NAME]` table."),
    Method("session.delete",   p.SessionEnd,    views.SessionDeleted, WRITE, _session_delete,   "Tear a session down with a CDN."),
    Method("ppp.list",         p.PppFilter,     views.PppList,        READ,  _ppp_list,         "List PPP that ends here, a page at a time."),
    Method("ppp.show",         p.PppRef,        views.PppDetail,      READ,  _ppp_show,         "Describe the PPP of a session."),
    Method("ppp.destroy",      p.PppEnd,        views.PppDestroyed,   WRITE, _ppp_destroy,      "End PPP with a Terminate-Request, and its session with a CDN."),
    Method("peers.list",       p.Page,          views.PeerList,       READ,  _peers_list,       "List who may call, a page at a time."),
    Method("profiles.list",    p.Page,          views.ProfileList,    READ,  _profiles_list,    "List profiles with their settings, a page at a time."),
    Method("pools.list",       p.Page,          views.PoolList,       READ,  _pools_list,       "List address pools, a page at a time."),
    Method("config.show",      p.Page,          views.ConfigList,     READ,  _config_show,      "Return the configuration in force, some tables at a time."),
    Method("config.plan",      p.Nothing,       views.PlanView,       READ,  _config_plan,      "Tell what a reload would change."),
    Method("config.reload",    p.Nothing,       views.PlanView,       WRITE, _config_reload,    "Read the configuration again and apply it."),
    Method("debug.set",        p.Debug,         views.DebugView,      WRITE, _debug_set,        "Switch trace categories or the log level."),
    Method("drain.set",        p.Drain,         views.DrainView,      WRITE, _drain_set,        "Refuse new tunnels and sessions, or accept them again."),
    Method("log.show",         p.LogTail,       views.LogLines,       READ,  _log_show,         "Return the newest lines of the log kept in memory."),
    Method("log.clear",        p.Nothing,       views.Done,           WRITE, _log_clear,        "Empty the log kept in memory."),
    Method("events.subscribe", p.Kinds,         views.Subscribed,     READ,  _events_subscribe, "Send events as `event` notifications from now on."),
    Method("capture.start",    p.Captured,      views.CaptureStarted, WRITE, _capture_start,   "Send control messages as `message` notifications from now on."),
    Method("rpc.discover",     p.Nothing,       dict,                 READ,  _discover,         "Return this description of all methods (OpenRPC)."),
)
# fmt: on

METHODS: Mapping[str, Method] = {row.name: row for row in _ROWS}
"""The method table, by name."""
