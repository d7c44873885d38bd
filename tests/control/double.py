"""A second implementation of the control socket's Operator: a daemon whose tunnels are rows in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import attrs
import pytest
import trio

from l2tpd import portrait
from l2tpd.bus import Bus, Queue, Subscription
from l2tpd.capture import Tap
from l2tpd.control import methods, views
from l2tpd.control.jsonrpc import NOT_FOUND, Json, Request
from l2tpd.control.operator import Operator
from l2tpd.errors import ConfigError, ControlError, LocalProtocolError, Problem
from l2tpd.events import Event, SessionEvent, TunnelEvent, What
from l2tpd.passed import Passed


@attrs.define(eq=False)
class Double:
    """A daemon of rows; what was asked of it is in `asked`, what crashed in `crashes`."""

    tunnels: dict[int, views.TunnelView] = attrs.field(factory=dict)
    sessions: dict[int, dict[int, views.SessionView]] = attrs.field(factory=dict)
    links: dict[tuple[int, int], views.PppDetail] = attrs.field(factory=dict)
    bus: Bus = attrs.field(factory=lambda: Bus(lambda: 1000.25))
    tap: Tap = attrs.field(factory=Tap)
    drain: bool = False
    level: str = "notice"
    traced: dict[tuple[int | None, int | None], tuple[str, ...]] = attrs.field(factory=dict)
    problems: tuple[Problem, ...] = ()
    log: list[views.LogLine] = attrs.field(factory=list)
    moved: dict[int, dict[str, int]] = attrs.field(factory=dict)
    asked: list[tuple[object, ...]] = attrs.field(factory=list)
    crashes: list[tuple[str, Exception]] = attrs.field(factory=list)
    refused: int = 0
    too_long: int = 0
    log_levels: Sequence[str] = ("critical", "error", "warning", "notice", "info", "debug")

    def add_tunnel(self, number: int, name: str = "", state: str = "up", **more: Json) -> None:
        """Let there be a tunnel."""
        self.tunnels[number] = views.TunnelView(id=number, name=name, state=state, **more)  # type: ignore[arg-type]

    def add_session(self, tunnel: int, number: int, name: str = "", state: str = "up", **more: Json) -> None:
        """Let there be a session."""
        self.sessions.setdefault(tunnel, {})[number] = views.SessionView(
            id=number,
            tunnel_id=tunnel,
            name=name,
            state=state,
            **more,  # type: ignore[arg-type]
        )

    def system(self) -> views.SystemView:
        return views.SystemView(
            version="0.1",
            hostname="lns.example",
            listening=(views.Listening(address="127.0.0.1:1701"),),
            data_plane="null",
            data_plane_reason="chosen by the configuration",
            log_level=self.level,
            drain=self.drain,
            tunnels=len(self.tunnels),
            tunnels_by_state={"up": len(self.tunnels)},
        )

    def statistics(self, *, reset: bool) -> views.StatisticsView:
        self.asked.append(("statistics", reset))
        return views.StatisticsView(
            since=60.0,
            counters={"short_frames": 2},
            messages=(views.MessageCount(message="SCCRQ", sent=1, received=4, bad=1),),
        )

    def tunnel_ids(self) -> Collection[int]:
        return self.tunnels.keys()

    def tunnel_names(self) -> Iterable[str]:
        return (row.name for row in self.tunnels.values() if row.name)

    def find_tunnel(self, name: str) -> int | None:
        return next((number for number, row in self.tunnels.items() if row.name == name), None)

    def tunnel_row(self, tunnel_id: int) -> views.TunnelRow:
        view = self.tunnels[tunnel_id]
        fields = attrs.fields(views.TunnelRow)
        return views.TunnelRow(**{field.name: getattr(view, field.name) for field in fields})

    def tunnel(self, tunnel_id: int) -> views.TunnelView:
        return self.tunnels[tunnel_id]

    def create_tunnel(self, name: str, keys: Mapping[str, Json]) -> views.TunnelRow:
        self.asked.append(("create tunnel", name, dict(keys)))
        if keys.get("peer") == "nowhere":
            raise ConfigError((Problem("request", "peer", "`nowhere` is no address"),))
        self.add_tunnel(77, name, "wait-ctl-reply", peer_address=str(keys.get("peer")))
        return self.tunnel_row(77)

    def delete_tunnel(self, tunnel_id: int, reason: str) -> None:
        self.asked.append(("delete tunnel", tunnel_id, reason))
        if self.tunnels[tunnel_id].state == "closing":
            raise LocalProtocolError("the tunnel is being closed already")
        del self.tunnels[tunnel_id]

    def session_ids(self, tunnel_id: int) -> Collection[int]:
        return self.sessions.get(tunnel_id, {}).keys()

    def session_names(self, tunnel_id: int) -> Iterable[str]:
        return (row.name for row in self.sessions.get(tunnel_id, {}).values() if row.name)

    def find_session(self, tunnel_id: int, name: str) -> int | None:
        found = self.sessions.get(tunnel_id, {}).items()
        return next((number for number, row in found if row.name == name), None)

    def session_row(self, tunnel_id: int, session_id: int) -> views.SessionRow:
        view = self.sessions[tunnel_id][session_id]
        fields = attrs.fields(views.SessionRow)
        return views.SessionRow(**{field.name: getattr(view, field.name) for field in fields})

    def session(self, tunnel_id: int, session_id: int) -> views.SessionView:
        return self.sessions[tunnel_id][session_id]

    async def traffic(self, rows: Sequence[views.SessionRow]) -> Sequence[views.TrafficRow]:
        await trio.lowlevel.checkpoint()
        return [portrait.traffic(row, self.moved[row.id]) for row in rows if row.id in self.moved]

    def create_session(self, tunnel_id: int, name: str, keys: Mapping[str, Json]) -> views.SessionRow:
        self.asked.append(("create session", tunnel_id, name, dict(keys)))
        self.add_session(tunnel_id, 88, name, "wait-reply")
        return self.session_row(tunnel_id, 88)

    def delete_session(self, tunnel_id: int, session_id: int, reason: str) -> None:
        self.asked.append(("delete session", tunnel_id, session_id, reason))
        del self.sessions[tunnel_id][session_id]

    def ppp_row(self, tunnel_id: int, session_id: int) -> views.PppRow | None:
        view = self.links.get((tunnel_id, session_id))
        fields = attrs.fields(views.PppRow)
        return view and views.PppRow(**{field.name: getattr(view, field.name) for field in fields})

    def find_ppp(self, name: str) -> list[tuple[int, int]]:
        return [key for key, view in self.links.items() if name in {view.interface, view.name}]

    def ppp(self, tunnel_id: int, session_id: int) -> views.PppDetail:
        return self.links[tunnel_id, session_id]

    def destroy_ppp(self, tunnel_id: int, session_id: int, reason: str) -> None:
        self.asked.append(("destroy ppp", tunnel_id, session_id, reason))

    def peers(self) -> Sequence[views.PeerView]:
        return [views.PeerView(name="default", roles=("lac", "lns"), secret_set=True, tunnels=2)]

    def profiles(self) -> Sequence[views.ProfileView]:
        return [views.ProfileView(kind="tunnel", name="default", settings={"hello_timeout": 60.0, "secret_set": False})]

    def pools(self) -> Sequence[views.PoolView]:
        return [views.PoolView(name="subscribers", range="10.0.0.2-10.0.255.254")]

    def config_names(self) -> Sequence[str]:
        return ["system", "tunnel.hq"]

    def config_table(self, table: str) -> views.ConfigTable:
        return views.ConfigTable(table=table, keys={"hostname": "lns.example", "max_tunnels": 0})

    async def plan(self) -> views.PlanView:
        await trio.lowlevel.checkpoint()
        if self.problems:
            raise ConfigError(self.problems)
        return views.PlanView(added=("tunnel.branch",), changed=("system.log_level",))

    async def reload(self) -> views.PlanView:
        self.asked.append(("reload",))
        return await self.plan()

    def set_drain(self, *, drain: bool) -> None:
        self.drain = drain

    def set_log_level(self, level: str) -> None:
        self.level = level

    def trace(self, tunnel_id: int | None, session_id: int | None) -> tuple[str, ...]:
        return self.traced.get((tunnel_id, session_id), ())

    def set_trace(self, tunnel_id: int | None, session_id: int | None, categories: Sequence[str], *, on: bool) -> None:
        self.traced[tunnel_id, session_id] = tuple(categories) if on else ()

    async def set_profile_trace(self, kind: str, name: str, categories: Sequence[str], *, on: bool) -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        self.asked.append(("debug profile", kind, name, tuple(categories), on))
        return tuple(categories) if on else ()

    def log_lines(self, limit: int) -> Sequence[views.LogLine]:
        return self.log[-limit:]

    def clear_log(self) -> None:
        if self.log and self.log[-1].text == "this log cannot be cleared":
            raise ControlError(NOT_FOUND, "there is no log")
        if self.log and self.log[-1].text == "clearing this log is a bug":
            raise ZeroDivisionError
        self.log.clear()

    def subscribe(self, wants: Callable[[Event], bool] | None) -> Subscription:
        return self.bus.subscribe(wants, size=50)

    def capture(self, wants: Callable[[Passed], bool]) -> Queue[Passed]:
        return self.tap.attach(wants, size=50)

    def client_refused(self) -> None:
        self.refused += 1

    def line_refused(self) -> None:
        self.too_long += 1

    def crashed(self, where: str, error: Exception) -> None:
        self.crashes.append((where, error))


TUNNEL_UP = TunnelEvent(what=What.UP, tunnel_id=7, peer_tunnel_id=9, name="hq", peer_address="192.0.2.1:1701")
SESSION_DOWN = SessionEvent(
    what=What.DOWN,
    tunnel_id=7,
    session_id=3,
    peer_tunnel_id=9,
    peer_session_id=4,
    name="branch",
    interface="ppp0",
    result=3,
    error=0,
    message='administrative "reasons"\n\x1b[31m',
    by="peer",
)


def example() -> Double:
    """Make a daemon with two named tunnels and one from the network, and three sessions."""
    double = Double()
    double.add_tunnel(7, "hq1", peer_id=70, peer_address="192.0.2.1:1701", sessions=2, in_state=3725.0)
    double.add_tunnel(12, "hq2", "wait-ctl-reply", peer_address="[2001:db8::1]:1701", in_state=1.0)
    double.add_tunnel(300, peer_address="192.0.2.9:40000", peer_host_name="lac9", origin="network", sessions=1)
    double.add_session(7, 1, "one", interface="ppp0")
    double.add_session(7, 2, "two", "wait-reply")
    double.add_session(300, 5, origin="network")
    for key, user, interface, last in (((7, 1), "alice", "ppp0", 2), ((300, 5), "bob", "", 0)):
        double.links[key] = views.PppDetail(
            tunnel_id=key[0],
            session_id=key[1],
            name="one" if last else "",
            state="up" if last else "authenticate",
            user=user,
            interface=interface,
            local_address="10.0.0.1" if last else "",
            remote_address=f"10.0.0.{last}" if last else "",
            remote_ipv6="fe80::2" if last else "",
            counters={"rx_bytes": 5},
        )
    double.log.append(views.LogLine(time=0.0, level="notice", text="ready"))
    return double


def ask(operator: Operator, method: str, *, may_write: bool = True, **params: Any) -> Any:
    """Ask as a client would."""
    return methods.plain(methods.begin(operator, Request(method=method, params=params, id=1), may_write=may_write))


def refusal(operator: Operator, method: str, *, may_write: bool = True, **params: Any) -> ControlError:
    """Ask for what is refused."""
    with pytest.raises(ControlError) as caught:
        ask(operator, method, may_write=may_write, **params)
    return caught.value


def walk(operator: Operator, method: str, key: str, **params: Any) -> list[Any]:
    """Fetch all pages of a list."""
    rows: list[Any] = []
    cursor = None
    for _ in range(10_000):
        page = ask(operator, method, cursor=cursor, **params)
        rows += page[key]
        cursor = page["cursor"]
        if cursor is None:
            return rows
    raise AssertionError("the list has no end")
