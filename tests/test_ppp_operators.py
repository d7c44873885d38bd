"""PPP between two whole daemons on the user plane, as those see it who run them: events, hook scripts, commands, limits, and interfaces that others touch."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import taps
from l2tpd.console import Console
from l2tpd.daemon import Daemon
from l2tpd.errors import ControlError
from l2tpd.events import Event, PppEvent, SessionEvent, TunnelEvent, What
from l2tpd.kernel.choose import Chosen
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.kernel.worker import Worker
from l2tpd.wire.numbers import CallResult
from pair import ANYBODY, Heard, Stage, calls, free_port, hear, listen, session, stage, until

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"PPP BETWEEN DAEMONS IS NOT TESTED: {taps.why_not()}")

LNS = """
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "subscribers"
auth = "chap"
authority = "users"
ipv6 = true
dns = ["9.9.9.9", "149.112.112.112"]
{ppp}
[pool.subscribers]
range = "10.9.0.2-10.9.0.9"
[user.alice]
password = "wonder"
routes = ["192.0.2.0/24"]
[profile.session.default]
interface_name = "sub%d"
"""
CLIENT = """
[profile.ppp.default]
user = "alice"
password = "wonder"
ipv6 = true
{ppp}
"""


def scripts(place: Path, *names: str) -> Path:
    """Return a directory whose scripts of these names note their name, arguments and environment."""
    folder = place / "scripts"
    folder.mkdir(mode=0o755)
    for name in names:
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "{name} $* $(env | sort | tr "\\n" " ")" >> {folder}/notes\n')
        script.chmod(0o755)
    return folder


@asynccontextmanager
async def online(
    place: Path,
    lns: str = "",
    client: str = "",
    *,
    scripts: Path | None = None,
    networks: frozenset[str] | set[str] = frozenset({"ipv4", "ipv6"}),
) -> AsyncIterator[tuple[Stage, Daemon, Daemon, tuple[Heard, Heard]]]:
    """Have a client on line, with keys of the PPP profiles: the stage, both daemons and what they have told."""
    with taps.namespace():
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0")
        # A thread that trio has kept would be in another namespace: so each plane is made here, and its threads are its own.
        async with stage(place, 60, choose=lambda: Chosen(UserPlane(Worker("interfaces")), "for a test")) as on:
            port = free_port()
            system = f'script_directory = "{scripts}"\n' if scripts else ""
            us = await on.start("lns", listen(port) + ANYBODY + LNS.format(ppp=lns), system=system)
            heard = hear(on, us)
            them = await on.start(
                "lac",
                calls("t", port) + session("t", "s", 'interface_name = "isp"\n') + CLIENT.format(ppp=client),
                system=system,
            )
            theirs = hear(on, them)
            await until(lambda: all(networks <= up(daemon) for daemon in (us, them)))
            yield on, us, them, (heard, theirs)


def up(daemon: Daemon) -> set[str]:
    """Return what the only session of a daemon carries."""
    return {network for one in daemon.ppp.instances for network in one.report.networks}


def ppp(heard: Heard, what: What) -> list[PppEvent]:
    return [event for event in heard.events if isinstance(event, PppEvent) and event.what is what]


def words(events: list[Event]) -> list[str]:
    """Return what happened, in order."""
    named = {TunnelEvent: "tunnel", SessionEvent: "session"}
    return [
        f"{event.network if isinstance(event, PppEvent) else named[type(event)]} {event.what.value}"
        for event in events
        if isinstance(event, TunnelEvent | SessionEvent | PppEvent)
    ]


@pytest.mark.parametrize("ender", ["lns", "lac"])
async def test_events_of_ppp_lie_within_those_of_its_session(tmp_path: Path, ender: str) -> None:
    """Whoever ends it, by PPP or by a CDN; each says who it was about, and at the end what had passed, and why."""
    async with online(tmp_path) as (_, lns, lac, (heard, theirs)):
        (instance,) = lns.ppp.instances
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"sub0")
            probe.sendto(b"hello", ("192.0.2.1", 9))
            await until(lambda: instance.report.count().output_octets >= 33)
        if ender == "lns":
            Console(lns).destroy_ppp(*instance.report.key, "maintenance")
        else:
            (tunnel,) = lac.registry
            (call,) = tunnel.core.calls
            Console(lac).delete_session(tunnel.core.local_id, call, "maintenance")
        await until(lambda: heard.sessions(What.DELETED) and theirs.sessions(What.DELETED))
        for listener in (heard, theirs):
            found = [word for word in words(listener.events) if not word.startswith("tunnel")]
            found = found[found.index("session up") :]
            assert {"ipv4 up", "ipv6 up"} == set(found[1:3])
            assert {"ipv4 down", "ipv6 down"} == set(found[3:5])
            assert ["session down", "session deleted"] == found[5:7]
        up, up6 = sorted(ppp(heard, What.UP), key=lambda event: event.network)
        down = min(ppp(heard, What.DOWN), key=lambda event: event.network)
        client = min(ppp(theirs, What.UP), key=lambda event: event.network)
        assert ("alice", "sub0", "10.9.0.1", "10.9.0.2", ("192.0.2.0/24",), ()) == (
            up.user, up.interface, up.local, up.remote, up.routes, up.dns,
        )  # fmt: skip
        assert (True, True) == (up6.local.startswith("fe80::"), up6.remote.startswith("fe80::"))
        assert ("", "isp", "10.9.0.2", "10.9.0.1", ("9.9.9.9", "149.112.112.112"), "t", "s") == (
            client.user, client.interface, client.local, client.remote, client.dns, client.tunnel_name, client.name,
        )  # fmt: skip
        assert up.interface == down.interface
        assert down.tx_packets >= 1
        assert down.tx_bytes > 0
        assert down.duration > 0
        if ender == "lns":
            assert ("maintenance", "admin (1), on our side: maintenance") == (down.message, down.cause)
            (ending,) = heard.sessions(What.DOWN)
            assert (CallResult.ADMIN, "us") == (ending.result, ending.by)
            assert not lns.ppp.instances.called("sub0")
        await until(lambda: "sub0" not in taps.ip("-o", "link", "show"))


@pytest.mark.parametrize("keys", ["", "shared_interface = true"], ids=["own", "shared"])
async def test_what_has_passed_is_counted_once(tmp_path: Path, keys: str) -> None:
    """Also after its interface is gone, when accounts are closed."""
    async with online(tmp_path, keys, networks={"ipv4"}) as (_, lns, _lac, (heard, _theirs)):
        (instance,) = lns.ppp.instances
        await until(lambda: any(event.network == "ipv4" for event in ppp(heard, What.UP)))
        (up,) = (event for event in ppp(heard, What.UP) if event.network == "ipv4")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, up.interface.encode())
            probe.sendto(b"hello", ("192.0.2.1", 9))
            await until(lambda: instance.report.count().output_octets >= 33)
        Console(lns).destroy_ppp(*instance.report.key, "enough")
        await until(lambda: heard.sessions(What.DELETED))
        (down,) = (event for event in ppp(heard, What.DOWN) if event.network == "ipv4")
        await until(lambda: not list(lns.ppp.instances))
        assert (down.tx_packets, down.tx_bytes) == (
            instance.report.count().output_packets,
            instance.report.count().output_octets,
        )
        assert down.tx_packets >= 1


async def test_scripts_of_ppp_run_within_those_of_its_session(tmp_path: Path) -> None:
    """One after the other, with what pppd tells its own; and the cause stands in the session's."""
    names = ("session-up", "ip-up", "ipv6-up", "ip-down", "ipv6-down", "session-down")
    folder = scripts(tmp_path, *names)
    notes = folder / "notes"
    async with online(tmp_path, scripts=folder) as (_, lns, lac, _heard):
        (instance,) = lns.ppp.instances
        tid, sid = instance.report.key
        Console(lns).destroy_ppp(tid, sid, "maintenance")
        await until(lambda: notes.exists() and notes.read_text().count("session-down") == 2)
        await until(lambda: not list(lac.ppp.instances))
    said = [line for line in notes.read_text().splitlines() if f" {tid}/{sid} " in line or f" {tid} {sid} " in line]
    kinds = [line.split()[0] for line in said]
    assert ("session-up", "session-down") == (kinds[0], kinds[-1])
    assert sorted(names) == sorted(kinds)
    assert {"ip-up", "ipv6-up"} == set(kinds[1:3])
    told = dict(zip(kinds, said, strict=True))
    for text in (
        f"sub0 {tid}/{sid} 0 10.9.0.1 10.9.0.2 ",
        "IFNAME=sub0",
        "PEERNAME=alice",
        "FRAMED_ROUTE=192.0.2.0/24",
    ):
        assert text in told["ip-up"]
    assert "LLREMOTE=fe80::" in told["ipv6-up"]
    for text in ("REASON=maintenance", "PPP_CAUSE=admin (1)", "CONNECT_TIME=", "BYTES_SENT="):
        assert text in told["ip-down"]
    assert "PPP_CAUSE=admin (1)" in told["session-down"]
    client = next(line for line in notes.read_text().splitlines() if line.startswith("ip-up isp "))
    for text in ("USEPEERDNS=1", "DNS1=9.9.9.9", "DNS2=149.112.112.112", "IPLOCAL=10.9.0.2", "IPREMOTE=10.9.0.1"):
        assert text in client


async def test_ppp_is_listed_shown_and_destroyed(tmp_path: Path) -> None:
    """By its interface; a session of the client's configuration is not asked for again, and accounting hears of an administrator."""
    async with online(tmp_path, "session_timeout = 600\nidle_timeout = 300") as (_, lns, lac, (heard, theirs)):
        console = Console(lac)
        (key,) = console.find_ppp("isp")
        assert key == console.find_ppp("s")[0]
        row = console.ppp_row(*key)
        assert row is not None
        assert ("up", "10.9.0.2", "10.9.0.1", "t", "s") == (
            row.state, row.local_address, row.remote_address, row.tunnel_name, row.name,
        )  # fmt: skip
        view = console.ppp(*key)
        assert ("builtin", ("9.9.9.9", "149.112.112.112"), None) == (view.engine, view.dns, view.session_left)
        assert "" == view.encryption
        (other,) = Console(lns).find_ppp("sub0")
        theirs_view = Console(lns).ppp(*other)
        assert (600, 300, ("192.0.2.0/24",)) == (
            theirs_view.session_timeout, theirs_view.idle_timeout, theirs_view.routes,
        )  # fmt: skip
        assert 0 < (theirs_view.session_left or 0) <= 600
        console.destroy_ppp(*key, "")
        await until(lambda: heard.sessions(What.DELETED) and theirs.sessions(What.DELETED))
        assert "ended by an operator" in ppp(heard, What.DOWN)[0].message
        assert not lac.dialer.lines["t"].sessions
        assert console.ppp_row(*key) is None
        with pytest.raises(ControlError, match="no PPP ends here"):
            console.destroy_ppp(*key, "")


@pytest.mark.parametrize("limit", ["session_timeout", "idle_timeout"])
async def test_a_limit_of_the_profile_holds_at_once_after_a_reload(tmp_path: Path, limit: str) -> None:
    """Of a session that was let in without one; the plan says so."""
    async with online(tmp_path) as (on, lns, _, (heard, _theirs)):
        path = on.path("lns")
        path.write_text(path.read_text().replace('auth = "chap"', f'auth = "chap"\n{limit} = 0.2'))
        plan = await lns.reloader.reload()
        assert [f"profile ppp default: {limit} (not said) -> 0.2, applied now"] == [str(step) for step in plan.steps]
        await until(lambda: heard.sessions(What.DOWN))
        assert ppp(heard, What.DOWN)[0].message in {"the user's time is up", "the user has been idle for too long"}


async def test_a_limit_of_the_user_holds_at_once_after_a_reload(tmp_path: Path) -> None:
    """It goes before that of the profile, in both directions."""
    async with online(tmp_path, "session_timeout = 600") as (on, lns, _, (heard, _theirs)):
        path = on.path("lns")
        text = path.read_text()
        path.write_text(text.replace('password = "wonder"', 'password = "wonder"\nsession_timeout = 1200'))
        await lns.reloader.reload()
        (key,) = Console(lns).find_ppp("sub0")
        assert 600 < (Console(lns).ppp(*key).session_left or 0) <= 1200
        path.write_text(text.replace('password = "wonder"', 'password = "wonder"\nsession_timeout = 0.1'))
        await lns.reloader.reload()
        await until(lambda: heard.sessions(What.DOWN))


async def test_limits_come_and_go_with_their_tables(tmp_path: Path) -> None:
    """The session goes by what the configuration in force says of its user and its profile, and lives on where they are gone."""
    async with online(tmp_path, "session_timeout = 600") as (on, lns, _, (heard, _theirs)):
        path = on.path("lns")
        text, user = path.read_text(), "[user.alice]\n"
        (key,) = Console(lns).find_ppp("sub0")
        path.write_text(text.replace(user, f"{user}idle_timeout = 300\n"))
        await lns.reloader.reload()
        assert (600, 300) == _limits(lns, key)
        before, _, rest = text.partition("[profile.ppp.default]")
        bare = before + rest[rest.index("[pool.subscribers]") :].replace(user, "[user.bob]\n")
        path.write_text(bare)
        assert "user alice: idle_timeout 300.0 -> (not said), applied now" in str(await lns.reloader.reload())
        assert (0, 0) == _limits(lns, key)
        path.write_text(bare + f'{user}password = "x"\nsession_timeout = 0.1\n')
        await lns.reloader.reload()
        await until(lambda: heard.sessions(What.DOWN))
        assert "the user's time is up" == ppp(heard, What.DOWN)[0].message


def _limits(daemon: Daemon, key: tuple[int, int]) -> tuple[float, float]:
    shown = Console(daemon).ppp(*key)
    return shown.session_timeout, shown.idle_timeout


@pytest.mark.parametrize(
    ("deed", "text"),
    [(("delete", "sub0"), "was deleted"), (("set", "sub0", "down"), "was set down")],
)
async def test_an_interface_that_somebody_else_touches(tmp_path: Path, deed: tuple[str, ...], text: str) -> None:
    """Deleted or set down behind our back: the session ends, the peer is told, and nothing is left."""
    async with online(tmp_path) as (_, lns, _lac, (heard, theirs)):
        taps.ip("link", *deed)
        await until(lambda: heard.sessions(What.DELETED) and theirs.sessions(What.DELETED))
        assert text in ppp(heard, What.DOWN)[0].message
        assert "sub0" in ppp(heard, What.DOWN)[0].message
        await until(lambda: "sub0" not in taps.ip("-o", "link", "show"))
        await until(lambda: not list(lns.ppp.instances))
