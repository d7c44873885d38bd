"""The control methods, each asked as a client would, of a daemon whose tunnels are rows in memory."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from control.double import SESSION_DOWN, TUNNEL_UP, Double, ask, example, refusal, walk
from l2tpd.control import methods
from l2tpd.control.jsonrpc import FORBIDDEN, INVALID_PARAMS, METHOD_NOT_FOUND, NOT_FOUND, Json, Request
from l2tpd.control.params import PAGE
from l2tpd.errors import ConfigError, LocalProtocolError
from l2tpd.events import ConfigReloaded, DaemonStopping, Lost, Stamped

# --- who may ask, and how


def test_an_unknown_method_is_refused_with_a_suggestion() -> None:
    """The code is that of JSON-RPC; the sentence names what was perhaps meant."""
    error = refusal(Double(), "tunnel.lst")
    assert (METHOD_NOT_FOUND, "there is no method `tunnel.lst` (did you mean `tunnel.list`?)") == (
        error.code,
        error.text,
    )


WRITING: dict[str, dict[str, Any]] = {
    "tunnel.create": {"name": "x", "keys": {"peer": "192.0.2.1"}},
    "tunnel.delete": {"tunnel": "hq1"},
    "session.create": {"tunnel": "hq1", "name": "x"},
    "session.delete": {"tunnel": "hq1", "session": "one"},
    "ppp.destroy": {"ppp": "ppp0"},
    "config.reload": {},
    "debug.set": {"categories": ["all"]},
    "drain.set": {"drain": True},
    "log.clear": {},
    "capture.start": {},
    "statistics.show": {"reset": True},
}


@pytest.mark.parametrize("method", WRITING)
def test_who_may_only_read_changes_nothing(method: str) -> None:
    """Every method that changes the daemon is refused, and the daemon is not even asked."""
    double = example()
    assert FORBIDDEN == refusal(double, method, may_write=False, **WRITING[method]).code
    assert ([], False, {}, 1) == (double.asked, double.drain, double.traced, len(double.log))


def test_the_table_marks_exactly_these_methods_as_writing() -> None:
    """A new method has to be put on one side or the other; `statistics.show` writes only when it resets."""
    marked = {name for name, row in methods.METHODS.items() if row.access == methods.WRITE}
    assert set(WRITING) - {"statistics.show"} == marked


def test_who_may_only_read_may_read() -> None:
    """Everything else is answered."""
    for method, row in methods.METHODS.items():
        if row.access == methods.READ and method not in {
            "session.traffic",
            "tunnel.show",
            "session.show",
            "ppp.show",
            "events.subscribe",
            "config.plan",
        }:
            assert ask(example(), method, may_write=False) is not None
    assert "hq1" == ask(example(), "tunnel.show", may_write=False, tunnel="hq1")["name"]


# --- PPP


@pytest.mark.parametrize(
    ("wanted", "users"),
    [
        ({}, ["alice", "bob"]),
        ({"user": "bob"}, ["bob"]),
        ({"state": "up"}, ["alice"]),
        ({"tunnel": "@300"}, ["bob"]),
        ({"address": "10.0.0.2"}, ["alice"]),
        ({"address": "FE80:0::2"}, ["alice"]),
        ({"address": "10.0.0.1"}, []),  # ours
        ({"user": "alice", "state": "authenticate"}, []),
    ],
)
def test_ppp_is_listed_by_what_it_is_known_by(wanted: dict[str, Any], users: list[str]) -> None:
    """Tunnel, user, state, and the peer's address in any notation."""
    assert users == [row["user"] for row in ask(example(), "ppp.list", **wanted)["ppp"]]


def test_ppp_comes_in_pages() -> None:
    """Each once; sessions without PPP count as examined."""
    first = ask(example(), "ppp.list", limit=1)
    seen, cursor = [row["user"] for row in first["ppp"]], first["cursor"]
    while cursor is not None:
        page = ask(example(), "ppp.list", limit=1, cursor=cursor)
        seen, cursor = [*seen, *(row["user"] for row in page["ppp"])], page["cursor"]
    assert ["alice", "bob"] == seen


# --- lists


def test_tunnels_are_listed_by_ascending_id() -> None:
    """All of them on one page, each with the keys of a row and no more."""
    page = ask(example(), "tunnel.list")
    assert [7, 12, 300] == [row["id"] for row in page["tunnels"]]
    assert page["cursor"] is None
    assert "transport" not in page["tunnels"][0]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"origin": "network"}, [300]),
        ({"origin": "local"}, [7, 12]),
        ({"state": "up"}, [7, 300]),
        ({"peer": "192.0.2.1"}, [7]),
        ({"peer": "192.0.2.1:1701"}, [7]),
        ({"peer": "2001:db8::1"}, [12]),
        ({"peer": "lac9"}, [300]),
        ({"peer": "192.0.2.1:1702"}, []),
        ({"origin": "local", "state": "up"}, [7]),
    ],
)
def test_tunnels_are_filtered(wanted: dict[str, Json], ids: list[int]) -> None:
    """By origin, state and peer, all of which must match."""
    for limit in (1, 2, PAGE):
        assert ids == [row["id"] for row in walk(example(), "tunnel.list", "tunnels", limit=limit, **wanted)]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({}, [(7, 1), (7, 2), (300, 5)]),
        ({"tunnel": "hq1"}, [(7, 1), (7, 2)]),
        ({"tunnel": "hq2"}, []),
        ({"origin": "network"}, [(300, 5)]),
        ({"state": "up"}, [(7, 1), (300, 5)]),
        ({"peer": "lac9"}, [(300, 5)]),
    ],
)
def test_sessions_are_filtered(wanted: dict[str, Json], ids: list[tuple[int, int]]) -> None:
    """By tunnel, and as tunnels are; peers are those of their tunnel."""
    for limit in (1, 2, PAGE):
        rows = walk(example(), "session.list", "sessions", limit=limit, **wanted)
        assert ids == [(row["tunnel_id"], row["id"]) for row in rows]


# --- changes


def test_a_tunnel_is_created_with_the_keys_of_its_table() -> None:
    """The keys go to the daemon as they are; the answer is the new row."""
    double = example()
    row = ask(double, "tunnel.create", name="new", keys={"peer": "192.0.2.7", "hello_timeout": 5})
    assert (77, "new", "wait-ctl-reply") == (row["id"], row["name"], row["state"])
    assert [("create tunnel", "new", {"peer": "192.0.2.7", "hello_timeout": 5})] == double.asked
    with pytest.raises(ConfigError):
        ask(double, "tunnel.create", name="new", keys={"peer": "nowhere"})


def test_a_tunnel_is_deleted_with_a_reason() -> None:
    """The daemon is given the reason, the client the id."""
    double = example()
    assert {"id": 7} == ask(double, "tunnel.delete", tunnel="hq1", reason="maintenance")
    assert [("delete tunnel", 7, "maintenance")] == double.asked


def test_what_the_daemon_refuses_is_passed_on() -> None:
    """A tunnel that is closing already cannot be deleted again."""
    double = Double()
    double.add_tunnel(1, state="closing")
    with pytest.raises(LocalProtocolError):
        ask(double, "tunnel.delete", tunnel="@1")


def test_sessions_are_created_and_deleted_in_a_tunnel() -> None:
    """The tunnel is resolved first."""
    double = example()
    assert 88 == ask(double, "session.create", tunnel="hq1", name="new", keys={"called_number": "555"})["id"]
    assert {"tunnel_id": 7, "id": 1} == ask(double, "session.delete", tunnel="hq1", session="one", reason="bye")
    assert [
        ("create session", 7, "new", {"called_number": "555"}),
        ("delete session", 7, 1, "bye"),
    ] == double.asked


def test_counters_are_reset_only_when_that_is_asked() -> None:
    """Showing them leaves them alone."""
    double = example()
    assert {"short_frames": 2} == ask(double, "statistics.show")["counters"]
    ask(double, "statistics.show", reset=True)
    assert [("statistics", False), ("statistics", True)] == double.asked


def test_tracing_is_switched_for_the_system_a_tunnel_or_a_session() -> None:
    """Each by itself; the answer says what is traced now."""
    double = example()
    assert ["fsm"] == list(ask(double, "debug.set", categories=["fsm"])["trace"])
    assert ["all"] == list(ask(double, "debug.set", tunnel="hq1", categories=["all"])["trace"])
    ask(double, "debug.set", tunnel="hq1", session="one", categories=["ppp"])
    assert {(None, None): ("fsm",), (7, None): ("all",), (7, 1): ("ppp",)} == double.traced
    assert [] == list(ask(double, "debug.set", categories=["fsm"], on=False)["trace"])
    assert "debug" == ask(double, "debug.set", log_level="debug")["log_level"]


def test_words_that_are_no_category_or_level_are_refused_with_those_that_are() -> None:
    """So that nobody has to look them up."""
    error = refusal(example(), "debug.set", categories=["fsn"])
    assert INVALID_PARAMS == error.code
    assert error.text.startswith("`categories`: `fsn` is none of protocol, fsm")
    assert "`notice`" not in refusal(example(), "debug.set", log_level="loud").text
    assert INVALID_PARAMS == refusal(example(), "debug.set", session="one", categories=["fsm"]).code


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"profile": "tunnel.x"}, NOT_FOUND),
        ({"profile": "session.default"}, NOT_FOUND),
        ({"profile": "ppp.default"}, INVALID_PARAMS),
        ({"profile": "tunnel"}, INVALID_PARAMS),
        ({"profile": ""}, INVALID_PARAMS),
        ({"profile": "tunnel.default", "tunnel": "hq1"}, INVALID_PARAMS),
    ],
)
def test_a_profile_that_cannot_be_traced_is_refused(wanted: dict[str, Any], code: int) -> None:
    """None of that kind and name, or a tunnel as well: the daemon is not asked."""
    double = example()
    assert code == refusal(double, "debug.set", categories=["fsm"], **wanted).code
    assert [] == double.asked


async def test_a_profile_is_traced() -> None:
    """The answer says what it traces now."""
    double = example()
    request = Request(method="debug.set", params={"profile": "tunnel.default", "categories": ["fsm"]})
    told: Any = methods.plain(await methods.begin(double, request, may_write=True))  # type: ignore[misc]
    assert ["fsm"] == list(told["trace"])
    assert [("debug profile", "tunnel", "default", ("fsm",), True)] == double.asked


async def test_the_traffic_of_established_sessions_is_listed() -> None:
    """A page at a time; those that are not up, or that nobody counts, are left out."""
    double = example()
    double.moved = {1: {"rx_bytes": 7, "tx_packets": 2, "rx_errors": 9}, 2: {"rx_bytes": 1}}
    rows: list[Any] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        request = Request(method="session.traffic", params={"limit": 1, "cursor": cursor})
        page: Any = methods.plain(await methods.begin(double, request, may_write=False))  # type: ignore[misc]
        rows, cursor, pages = rows + list(page["sessions"]), page["cursor"], pages + 1
    assert [(1, 7, 7, 2, 0)] == [
        (row["id"], row["tunnel_id"], row["rx_bytes"], row["tx_packets"], row["tx_bytes"]) for row in rows
    ]


def test_drain_is_switched_and_told() -> None:
    """Both ways."""
    double = example()
    assert {"drain": True} == ask(double, "drain.set", drain=True)
    assert {"drain": False} == ask(double, "drain.set", drain=False)


def test_the_log_is_shown_and_cleared() -> None:
    """The newest lines, oldest first."""
    double = example()
    assert ["ready"] == [line["text"] for line in ask(double, "log.show", limit=5)["lines"]]
    assert {"done": True} == ask(double, "log.clear")
    assert [] == list(ask(double, "log.show")["lines"])


async def test_a_plan_is_awaited() -> None:
    """Reading the configuration waits for files; what changes is told as key paths."""
    waiting = methods.begin(example(), Request(method="config.plan", id=1), may_write=False)
    told: Any = methods.plain(await waiting)  # type: ignore[misc]
    assert ["tunnel.branch"] == list(told["added"])


# --- events


async def test_a_subscription_hears_the_kinds_that_were_asked_for() -> None:
    """Tunnels and sessions are filtered; what concerns the whole daemon is always told."""
    double = example()
    params: dict[str, Json] = {"tunnel": [], "session": ["down"]}
    opened = methods.begin(double, Request(method="events.subscribe", params=params), may_write=False)
    assert isinstance(opened, methods.Opened)
    for event in (TUNNEL_UP, SESSION_DOWN, ConfigReloaded(), DaemonStopping()):
        double.bus.publish(event)
    double.bus.close()
    heard = [item.event async for item in opened.subscription if isinstance(item, Stamped)]
    assert [SESSION_DOWN, ConfigReloaded(), DaemonStopping()] == heard


def test_an_event_is_told_with_its_time_and_what_it_is_about() -> None:
    """The fields of the event, beside `time` and `object`; a gap tells its length."""
    told = methods.event_params(Stamped(12.5, TUNNEL_UP))
    assert (12.5, "tunnel", "up", 7, "hq") == tuple(
        told[key] for key in ("time", "object", "what", "tunnel_id", "name")
    )
    assert {"object": "lost", "count": 4} == methods.event_params(Lost(4))
    assert {"time": 1.0, "object": "daemon", "at_once": True} == methods.event_params(
        Stamped(1.0, DaemonStopping(at_once=True))
    )
    assert "config" == methods.event_params(Stamped(1.0, ConfigReloaded()))["object"]


def test_the_manual_has_a_row_for_every_method() -> None:
    """Name, parameters, result and right as the table has them; what must be given is bold."""
    manual = Path(methods.__file__).parents[1] / "man" / "l2tpd-api.7.md"
    rows = [line for line in manual.read_text().splitlines() if line.startswith("| `")]
    assert [_manual_row(row) for row in methods.METHODS.values()] == rows


def _manual_row(row: methods.Method) -> str:
    fields = attrs.fields(row.params)
    params = ", ".join(f"**{f.name}**" if f.default is attrs.NOTHING else f.name for f in fields) or "-"
    result = "OpenRPC" if row.result is dict else row.result.__name__
    return f"| `{row.name}` | {params} | {result} | {row.access} |"


def test_the_daemon_describes_its_methods() -> None:
    """With its own version."""
    described = ask(example(), "rpc.discover")
    assert "0.1" == described["info"]["version"]
    assert len(methods.METHODS) == len(described["methods"])
