"""What operators may do to a running daemon, and what they are told."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from l2tpd import log
from l2tpd.console import _PACE, Console
from l2tpd.control import views
from l2tpd.control.jsonrpc import NOT_FOUND, REFUSED
from l2tpd.daemon import Daemon
from l2tpd.errors import ControlError, L2tpError, PlaneError
from l2tpd.kernel.null import NullPlane
from pair import ANYBODY, QUICK, Stage, calls, carried, free_port, listen, other_end, session, stage, tunnel, until, up


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Start with an empty log at its usual level, and leave it so."""
    log.ring.clear()
    log.configure("notice")
    yield
    log.ring.clear()
    log.close()


async def desk(on: Stage, text: str = "", *, system: str = "", port: int = 0) -> tuple[Console, Daemon, Daemon, int]:
    """Return the console of a LAC, the LAC, an LNS and its port."""
    port = port or free_port()
    lns = await on.start("lns", listen(port) + ANYBODY)
    lac = await on.start("lac", text, system=system)
    return Console(lac), lac, lns, port


def refusal(error: pytest.ExceptionInfo[ControlError]) -> int:
    return error.value.code


# --- tunnels and sessions


async def test_a_tunnel_from_beginning_to_end(tmp_path: Path) -> None:
    """Created, it is there by name and by id; deleted, the peer hears the operator's reason, and it does not come again."""
    async with stage(tmp_path) as on:
        console, lac, lns, port = await desk(on)
        row = console.create_tunnel("hq", {"peer": f"127.0.0.1:{port}", "persist": True})
        assert ("hq", "waiting", "local") == (row.name, row.state, row.origin)
        assert row.id == console.find_tunnel("hq")
        assert ["hq"] == list(console.tunnel_names())
        await until(lambda: up(lac, "hq") and any(found.core.was_up for found in lns.registry))
        assert "up" == console.tunnel_row(row.id).state
        theirs = other_end(lns, tunnel(lac, "hq"))
        console.delete_tunnel(row.id, "moving house")
        await until(lambda: theirs.core.ending is not None)
        assert theirs.core.ending is not None
        assert (1, "moving house") == (theirs.core.ending.result, theirs.core.ending.message)
        assert {} == lac.dialer.lines
        await until(lambda: row.id not in console.tunnel_ids())
        assert console.find_tunnel("hq") is None


async def test_a_session_from_beginning_to_end(tmp_path: Path) -> None:
    """Created in a tunnel, it comes up; deleted, the peer hears the reason in the CDN and the tunnel stays."""
    port = free_port()
    async with stage(tmp_path) as on:
        console, lac, lns, port = await desk(on, calls("t", port), port=port)
        await until(lambda: up(lac, "t"))
        of = tunnel(lac, "t").core.local_id
        row = console.create_session(of, "s", {"persist": True, "called_number": "99"})
        assert ("s", of, "t", "local") == (row.name, row.tunnel_id, row.tunnel_name, row.origin)
        assert (row.id, ["s"], [row.id]) == (
            console.find_session(of, "s"),
            list(console.session_names(of)),
            list(console.session_ids(of)),
        )
        await until(lambda: carried(lac, "t", "s") and lns.registry.sessions)
        assert "up" == console.session_row(of, row.id).state
        told = console.session(of, row.id)
        assert isinstance(told, views.SessionView)
        assert ("99", "lac", True) == (told.call.called_number, told.call.role, told.persist)
        theirs = next(iter(other_end(lns, tunnel(lac, "t")).core.calls.values()))
        console.delete_session(of, row.id, "enough said")
        await until(lambda: theirs.ending is not None)
        assert theirs.ending is not None
        assert "enough said" == theirs.ending.message
        await until(lambda: console.find_session(of, "s") is None)
        assert {} == lac.dialer.lines["t"].sessions
        assert up(lac, "t")


async def test_a_session_in_a_callers_tunnel(tmp_path: Path) -> None:
    """The LNS's operator may ask for an outgoing call in a tunnel that a peer opened."""
    port = free_port()
    async with stage(tmp_path) as on:
        _, lac, lns, _ = await desk(on, calls("t", port), port=port)
        await until(lambda: up(lac, "t") and any(found.core.was_up for found in lns.registry))
        theirs, console = other_end(lns, tunnel(lac, "t")), Console(lns)
        row = console.create_session(theirs.core.local_id, "out", {"role": "lns"})
        await until(lambda: "up" == console.session_row(theirs.core.local_id, row.id).state)
        console.delete_tunnel(theirs.core.local_id, "closed")
        await until(lambda: theirs.core.cleared)


async def test_a_profile_is_traced(tmp_path: Path) -> None:
    """Those tunnels and sessions that have it from there trace it, until it is switched off, and those to come, until the next reload."""
    port = free_port()
    text = (
        '[profile.tunnel.quiet]\ntrace = ["data"]\n[profile.session.own]\n'
        + calls("a", port)
        + session("a", "s")
        + session("a", "o", 'profile = "own"\n')
        + session("a", "t", 'trace = ["ppp"]\n')
        + calls("b", port, 'profile = "quiet"\n')
        + calls("c", port, QUICK + 'trace = ["fsm"]\n')
    )
    async with stage(tmp_path) as on:
        console, lac, _, _ = await desk(on, text, port=port)
        await until(
            lambda: carried(lac, "a", "s") and carried(lac, "a", "o") and carried(lac, "a", "t") and up(lac, "b")
        )
        before = lac.config
        assert ("api",) == await console.set_profile_trace("tunnel", "default", ["api"], on=True)
        assert ("ppp", "kernel") == await console.set_profile_trace("session", "default", ["kernel", "ppp"], on=True)
        traced = {name: console.trace(tunnel(lac, name).core.local_id, None) for name in "abc"}
        assert {"a": ("api",), "b": ("data",), "c": ("fsm",)} == traced
        of = tunnel(lac, "a").core.local_id
        row = console.create_session(of, "new", {})
        found = {name: console.trace(of, console.find_session(of, name)) for name in ("s", "o", "t", "new")}
        both = ("ppp", "kernel")
        assert {"s": both, "o": both, "t": ("ppp",), "new": both} == found
        assert row.id == console.find_session(of, "new")
        assert () == await console.set_profile_trace("tunnel", "default", ["all"], on=False)
        assert () == console.trace(of, None)
        await console.reload()
        assert before == lac.config
        assert both == console.trace(of, console.find_session(of, "s"))
        assert () == console.trace(of, console.create_session(of, "newer", {}).id)


async def test_a_reload_comes_while_a_profile_is_being_traced(tmp_path: Path) -> None:
    """The configuration that came last is the one that every tunnel is dialled by, also one that the tracing comes to after it."""
    async with stage(tmp_path) as on:
        lac = await on.start("lac", "".join(calls(f"t{number}", 9) for number in range(2 * _PACE + 2)))
        before = lac.config
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(Console(lac).set_profile_trace, "tunnel", "default", ["api"], on=True))
            while lac.config is before:
                await trio.lowlevel.checkpoint()
            lac.config = read = attrs.evolve(lac.config)
        assert read is lac.dialer.lines[f"t{2 * _PACE + 1}"].config


async def test_a_callers_tunnel_has_the_profile_of_its_peer_entry(tmp_path: Path) -> None:
    """It is traced with that profile, and not with the one that has the name of the entry."""
    port = free_port()
    async with stage(tmp_path) as on:
        peers = '[peer.default]\ntunnel_profile = "callers"\n[profile.tunnel.callers]\n'
        lns = await on.start("lns", listen(port) + peers)
        lac = await on.start("lac", calls("t", port))
        await until(lambda: up(lac, "t") and any(found.core.was_up for found in lns.registry))
        (theirs,) = lns.registry
        console = Console(lns)
        await console.set_profile_trace("tunnel", "callers", ["fsm"], on=True)
        assert ("fsm",) == console.trace(theirs.core.local_id, None)


@pytest.mark.parametrize("what", ["twice", "while waiting"])
async def test_a_session_that_cannot_be(tmp_path: Path, what: str) -> None:
    """A name that is taken, or a tunnel that waits to be dialled: it is refused, and nothing of it stays behind."""
    port = free_port()
    async with stage(tmp_path) as on:
        text = calls("t", port, QUICK if what == "twice" else QUICK + 'local = "192.0.2.77"\n') + session("t", "s")
        console, lac, _, _ = await desk(on, text, port=port)
        line = lac.dialer.lines["t"]
        await until(lambda: carried(lac, "t", "s") if what == "twice" else line.last_error)
        with pytest.raises(L2tpError, match="exists" if what == "twice" else "waits"):
            console.create_session(line.tunnel.core.local_id, "s" if what == "twice" else "z", {})
        assert ["s"] == list(line.sessions)


async def test_what_is_not_there(tmp_path: Path) -> None:
    """Tunnels, sessions and tables that do not exist are not found, whatever is asked of them."""
    async with stage(tmp_path) as on:
        console, lac, _, port = await desk(on)
        for ask in (
            console.tunnel,
            console.tunnel_row,
            console.session_ids,
            lambda number: console.trace(number, None),
        ):
            with pytest.raises(ControlError) as error:
                ask(77)
            assert NOT_FOUND == refusal(error)
        row = console.create_tunnel("t", {"peer": f"127.0.0.1:{port}"})
        with pytest.raises(ControlError) as error:
            console.session(row.id, 77)
        assert NOT_FOUND == refusal(error)
        with pytest.raises(ControlError) as error:
            console.config_table("tunnel.nobody")
        assert NOT_FOUND == refusal(error)
        assert 1 == len(lac.registry)


async def test_limits(tmp_path: Path) -> None:
    """At the limits of the system a create is refused and leaves nothing."""
    port = free_port()
    async with stage(tmp_path) as on:
        console, lac, _, _ = await desk(
            on, calls("t", port) + session("t", "s"), system="max_tunnels = 1\nmax_sessions = 1\n", port=port
        )
        await until(lambda: carried(lac, "t", "s"))
        with pytest.raises(ControlError, match="1 tunnels are the limit") as error:
            console.create_tunnel("u", {"peer": f"127.0.0.1:{port}"})
        assert REFUSED == refusal(error)
        with pytest.raises(ControlError, match="1 sessions are the limit"):
            console.create_session(tunnel(lac, "t").core.local_id, "z", {})
        assert ["t"] == list(lac.dialer.lines)
        assert 1 == lac.registry.sessions


async def test_local_creates_may_be_denied(tmp_path: Path) -> None:
    """`deny_local_creates` refuses tunnels, whatever they say."""
    async with stage(tmp_path) as on:
        console, _, _, port = await desk(on, system="deny_local_creates = true\n")
        with pytest.raises(ControlError, match="deny_local_creates") as error:
            console.create_tunnel("u", {"peer": f"127.0.0.1:{port}"})
        assert REFUSED == refusal(error)


async def test_drain(tmp_path: Path) -> None:
    """While draining neither we nor a peer may open anything; what is up stays, and afterwards all is as before."""
    port = free_port()
    async with stage(tmp_path) as on:
        console, lac, lns, port = await desk(on, calls("t", port), port=port)
        await until(lambda: up(lac, "t"))
        console.set_drain(drain=True)
        assert console.system().drain
        with pytest.raises(ControlError, match="drained"):
            console.create_tunnel("u", {"peer": f"127.0.0.1:{port}"})
        with pytest.raises(ControlError, match="drained"):
            console.create_session(tunnel(lac, "t").core.local_id, "z", {})
        assert up(lac, "t")
        console.set_drain(drain=False)
        Console(lns).set_drain(drain=True)
        console.create_tunnel("u", {"peer": f"127.0.0.1:{port}", "persist": True})
        await until(lambda: lac.dialer.lines["u"].last_ending is not None)
        Console(lns).set_drain(drain=False)
        await until(lambda: up(lac, "u"))


async def test_while_stopping(tmp_path: Path) -> None:
    """Nothing is created any more, and the drain cannot be switched off."""
    async with stage(tmp_path) as on:
        console, lac, _, port = await desk(on)
        lac.stop(at_once=False)
        with pytest.raises(ControlError, match="stopping"):
            console.create_tunnel("u", {"peer": f"127.0.0.1:{port}"})
        with pytest.raises(ControlError, match="stopping"):
            console.set_drain(drain=False)
        await on.ended["lac"].wait()


# --- what they are told


async def test_the_system(tmp_path: Path) -> None:
    """Counts and states are those of what there is."""
    port = free_port()
    async with stage(tmp_path) as on:
        console, lac, lns, _ = await desk(on, calls("t", port) + session("t", "s"), port=port)
        await until(lambda: carried(lac, "t", "s") and lns.registry.sessions)
        view = console.system()
        assert (1, 1, {"up": 1}, {"up": 1}) == (
            view.tunnels,
            view.sessions,
            view.tunnels_by_state,
            view.sessions_by_state,
        )
        assert ("null", "configured", str(on.path("lac"))) == (
            view.data_plane,
            view.data_plane_reason,
            view.config_path,
        )
        assert (views.Listening(address=f"127.0.0.1:{port}"),) == Console(lns).system().listening


def told(view: views.StatisticsView | Awaitable[views.StatisticsView]) -> views.StatisticsView:
    """Return what a daemon tells at once whose data plane counts nothing."""
    assert isinstance(view, views.StatisticsView)
    return view


async def test_statistics_and_their_reset(tmp_path: Path) -> None:
    """Messages are counted by type, until they are reset."""
    port = free_port()
    async with stage(tmp_path) as on:
        console, lac, _, _ = await desk(on, calls("t", port), port=port)
        await until(lambda: up(lac, "t"))
        before = told(console.statistics(reset=True))
        counts = {count.message: (count.sent, count.received) for count in before.messages}
        assert ((1, 0), (0, 1), (1, 0)) == (counts["SCCRQ"], counts["SCCRP"], counts["SCCCN"])
        after = told(console.statistics(reset=False))
        assert [] == [count.message for count in after.messages if count.message.startswith("SCC")]
        assert 0 == after.counters["crashes"]
        assert 0 <= after.counters["events"] < before.counters["events"]


async def test_tables_without_secrets(tmp_path: Path) -> None:
    """Every table of the configuration is there, by name; secrets are only said to be set."""
    text = (
        listen(free_port())
        + '[peer.x]\nsecret = "hush1"\n'
        + '[profile.tunnel.p]\nsecret = "hush2"\n'
        + '[profile.ppp.q]\npassword = "hush3"\n'
        + '[pool.z]\nrange = "192.0.2.0/28"\n'
        + calls("t", free_port(), 'secret = "hush4"\n')
        + session("t", "s", 'password = "hush5"\n')
    )
    async with stage(tmp_path) as on:
        console, lac, _, _ = await desk(on, text)
        names = console.config_names()
        expected = [
            "system",
            "listen.0",
            "peer.x",
            "profile.tunnel.p",
            "profile.ppp.q",
            "pool.z",
            "tunnel.t",
            "tunnel.t.session.s",
        ]
        assert expected == list(names)
        tables = {name: console.config_table(name).keys for name in names}
        for name in ("peer.x", "profile.tunnel.p", "tunnel.t"):
            assert tables[name]["secret_set"] is True
        assert tables["tunnel.t.session.s"]["password_set"] is True
        shown = [
            tables,
            console.peers(),
            console.profiles(),
            console.tunnel(tunnel(lac, "t").core.local_id),
            console.pools(),
        ]
        assert "hush" not in repr(shown)
        assert [("z", "192.0.2.0/28", None)] == [(pool.name, pool.range, pool.used) for pool in console.pools()]


async def test_profiles_and_peers(tmp_path: Path) -> None:
    """`default` is a profile of each kind, said or not; a peer entry tells how many tunnels it has."""
    port = free_port()
    async with stage(tmp_path) as on:
        _, lac, lns, _ = await desk(on, calls("t", port), port=port)
        await until(lambda: up(lac, "t") and any(found.core.was_up for found in lns.registry))
        console = Console(lns)
        assert [(kind, "default") for kind in ("tunnel", "session", "pseudowire", "ppp")] == [
            (profile.kind, profile.name) for profile in console.profiles()
        ]
        assert [("default", 1, ("lac", "lns"))] == [(peer.name, peer.tunnels, peer.roles) for peer in console.peers()]


class Counting(NullPlane):
    """A plane that says it moves packets, and counts those of one tunnel."""

    exclusive_paths = False

    def __init__(self) -> None:
        self.known: set[int] = set()

    async def statistics(self, tunnel_id: int, session_id: int = 0) -> Mapping[str, int]:
        if tunnel_id not in self.known:
            raise PlaneError(19, "no such tunnel")
        return {"rx_packets": session_id + 1}

    async def totals(self) -> Mapping[str, int]:
        return {"rx_packets": 7 * len(self.known)}

    def close(self) -> None:
        """Have nothing open."""


async def test_counters_of_the_data_plane(tmp_path: Path) -> None:
    """They are added where the plane knows the tunnel; where it does not, the view is told without them."""
    port, plane = free_port(), Counting()
    async with stage(tmp_path) as on:
        await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("t", port) + session("t", "s"), plane=plane)
        await until(lambda: carried(lac, "t", "s"))
        console, of = Console(lac), tunnel(lac, "t").core.local_id
        its = console.find_session(of, "s")
        assert its is not None
        for known, counted in (((), ({}, {})), ((of,), ({"rx_packets": 1}, {"rx_packets": its + 1}))):
            plane.known = set(known)
            of_tunnel, of_session = console.tunnel(of), console.session(of, its)
            assert not isinstance(of_tunnel, views.TunnelView)
            assert not isinstance(of_session, views.SessionView)
            assert counted == ((await of_tunnel).counters, (await of_session).counters)


async def test_the_traffic_of_sessions(tmp_path: Path) -> None:
    """What the data plane counts of each; what it does not carry any more is left out, and a plane that counts nothing says nothing."""
    rows = [views.SessionRow(id=3, tunnel_id=of, state="up", interface=f"eth{of}") for of in (7, 8)]
    async with stage(tmp_path) as on:
        lac = await on.start("lac", "")
        assert [] == await Console(lac).traffic(rows)
        lac.adapter.plane = plane = Counting()
        plane.known = {7}
        expected = views.TrafficRow(id=3, tunnel_id=7, interface="eth7", rx_packets=4)
        assert [expected] == await Console(lac).traffic(rows)


async def test_totals_of_the_data_plane_count_from_the_last_reset(tmp_path: Path) -> None:
    """A plane goes on counting; what it had counted at the reset is taken off."""
    plane = Counting()
    async with stage(tmp_path) as on:
        console = Console(await on.start("lac", "", plane=plane))
        for known, reset, told in ((2, False, 14), (2, True, 14), (2, False, 0), (3, False, 7)):
            plane.known = set(range(known))
            view = console.statistics(reset=reset)
            assert not isinstance(view, views.StatisticsView)
            assert {"rx_packets": told} == (await view).data


async def test_a_plan_names_what_it_changes(tmp_path: Path) -> None:
    """Added, removed, changed, restarted, and what needs a new process: each by its path."""
    port = free_port()
    async with stage(tmp_path) as on:
        console, _, _, _ = await desk(on, "".join(calls(name, port) for name in ("a", "b", "c")), port=port)
        on.write(
            "lac",
            calls("b", port, QUICK + "hello_timeout = 9\n")
            + calls("c", port, QUICK + "firmware_revision = 2\n")
            + calls("d", port),
            system='script_directory = "/nowhere"\n',
        )
        plan = await console.plan()
        assert (("tunnel.d",), ("tunnel.a",)) == (plan.added, plan.removed)
        assert "tunnel.b.hello_timeout" in plan.changed
        assert "tunnel.c.firmware_revision" in plan.restarted
        assert plan == await console.reload()


# --- log and trace


async def test_the_log(tmp_path: Path) -> None:
    """Its level follows at once, at `info` every message gets a line, and it can be read and emptied."""
    async with stage(tmp_path) as on:
        console, lac, _, port = await desk(on)
        console.set_log_level("info")
        assert "info" == console.system().log_level
        console.create_tunnel("t", {"peer": f"127.0.0.1:{port}"})
        await until(lambda: up(lac, "t"))
        assert any("SCCRQ" in line.text for line in console.log_lines(1000))
        assert 1 == len(console.log_lines(1))
        console.set_log_level("notice")
        console.clear_log()
        assert [] == list(console.log_lines(10))


async def test_trace_of_system_tunnel_and_session(tmp_path: Path) -> None:
    """Categories are switched on and off for each of the three alone."""
    port = free_port()
    async with stage(tmp_path) as on:
        console, lac, _, _ = await desk(on, calls("t", port) + session("t", "s"), port=port)
        await until(lambda: carried(lac, "t", "s"))
        of = tunnel(lac, "t").core.local_id
        its = console.find_session(of, "s")
        for thing, part in ((None, None), (of, None), (of, its)):
            assert () == console.trace(thing, part)
            console.set_trace(thing, part, ["fsm", "api"], on=True)
            assert {"fsm", "api"} == set(console.trace(thing, part))
            console.set_trace(thing, part, ["fsm"], on=False)
            assert ("api",) == console.trace(thing, part)
        console.delete_tunnel(of, "seen enough")
        assert any("seen enough" in line.text for line in console.log_lines(1000))


async def test_a_crash_is_counted_and_logged(tmp_path: Path) -> None:
    """With its traceback, and in the statistics."""
    async with stage(tmp_path) as on:
        console, _, _, _ = await desk(on)
        console.crashed("a method", ValueError("a bug"))
        assert 1 == told(console.statistics(reset=False)).counters["crashes"]
        assert any("a method crashed" in line.text for line in console.log_lines(100))
