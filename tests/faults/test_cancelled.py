"""Everything is cancelled at every step of everything that a daemon does, and nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import taps
from faults.blows import Blow, everywhere, nothing_kept
from faults.scenes import (
    ETHERNET,
    POOL,
    PREFIX_POOLS,
    PREFIXES,
    V3,
    addressed,
    ended_at_any_moment,
    interfaces,
    link,
    lns_and_lac,
)
from l2tpd.kernel.recording import RecordingPlane
from pair import ANYBODY, calls, carried, free_port, listen, session, stage, until, up

INTERFACES = pytest.mark.skipif(bool(taps.why_not()), reason=f"no interfaces: {taps.why_not()}")


@pytest.fixture
def namespace() -> Iterator[None]:
    """A network namespace of the test's own."""
    with taps.namespace():
        yield


@pytest.mark.parametrize("plane", ["null", pytest.param("user", marks=INTERFACES)])
async def test_starting(tmp_path: Path, plane: str) -> None:
    """From the first step of a daemon until it is ready, with everything that it can open, and to the end of a stop."""
    system = f'metrics_address = "127.0.0.1:{free_port()}"\n'
    radius = (
        f'[radius]\nspool = "{tmp_path}/spool"\ndynauth_listen = "127.0.0.1:{free_port()}"\n'
        '[radius.server.a]\naddress = "127.0.0.1"\nsecret = "s"\n[radius.client.a]\nmatch = "127.0.0.1/32"\nsecret = "s"\n'
    )
    port = free_port()

    async def scenario(blow: Blow) -> None:
        async with stage(tmp_path, data_plane=plane) as on:
            blow.strikes(on.nursery.cancel_scope)
            daemon = on.compose(
                "d", listen(port) + ANYBODY + radius, ready=lambda: daemon.stop(at_once=True), system=system
            )
            await daemon.run()
            blow.holds()
        nothing_kept(daemon)
        assert not (tmp_path / "d.sock").exists()

    assert 10 < await everywhere(scenario)


async def test_setting_up(tmp_path: Path) -> None:
    """A tunnel with two sessions, from the first SCCRQ until both are carried at both ends."""
    lines = session("t", "s") + session("t", "out", 'role = "lns"\n')

    async def scenario(blow: Blow) -> None:
        planes = RecordingPlane(), RecordingPlane()
        async with stage(tmp_path) as on:
            lac = await lns_and_lac(on, lines, planes=planes)
            blow.strikes(on.nursery.cancel_scope)
            await until(lambda: carried(lac, "t", "s") and carried(lac, "t", "out") and len(planes[0].sessions) == 2)
            blow.holds()
        assert [(set(), set())] * 2 == [(plane.tunnels, plane.sessions) for plane in planes]
        for daemon in on.daemons:
            nothing_kept(daemon)

    assert 10 < await everywhere(scenario)


async def test_stopping(tmp_path: Path) -> None:
    """A polite stop of the calling side, from the signal until the called one has forgotten it."""

    async def scenario(blow: Blow) -> None:
        planes = RecordingPlane(), RecordingPlane()
        async with stage(tmp_path) as on:
            lac = await lns_and_lac(on, session("t", "s"), planes=planes)
            await until(lambda: carried(lac, "t", "s") and planes[0].sessions)
            blow.strikes(on.nursery.cancel_scope)
            lac.stop(at_once=False)
            await on.ended["lac"].wait()
            await until(lambda: not planes[0].tunnels)
            blow.holds()
        assert [(set(), set())] * 2 == [(plane.tunnels, plane.sessions) for plane in planes]
        for daemon in on.daemons:
            nothing_kept(daemon)

    assert 10 < await everywhere(scenario)


async def test_reloading(tmp_path: Path) -> None:
    """A reload that takes a tunnel away, changes one, and brings one with a session."""

    async def scenario(blow: Blow) -> None:
        planes = RecordingPlane(), RecordingPlane()
        async with stage(tmp_path) as on:
            lac = await lns_and_lac(on, session("t", "s"), planes=planes)
            port = lac.dialer.lines["t"].instance.peer.port
            on.write("lac", calls("t", port) + calls("a", port) + calls("b", port), stop=0.01)
            await lac.reloader.reload()
            await until(lambda: up(lac, "t") and up(lac, "a") and up(lac, "b"))
            changed = calls("a", port, "secret = 's'\npersist = false\n") + calls("b", port, "hello_timeout = 7\n")
            on.write("lac", changed + calls("n", port) + session("n", "s"), stop=0.01)
            blow.strikes(on.nursery.cancel_scope)
            lac.reloader.request()
            await until(lambda: "n" in lac.dialer.lines and carried(lac, "n", "s"))
            blow.holds()
        assert [(set(), set())] * 2 == [(plane.tunnels, plane.sessions) for plane in planes]
        for daemon in on.daemons:
            nothing_kept(daemon)

    assert 10 < await everywhere(scenario, stride=3)


async def test_a_control_request_and_a_capture(tmp_path: Path) -> None:
    """A client creates a tunnel, watches, and has messages captured, over the control socket; it goes with the daemon, or the daemon with it."""

    async def scenario(blow: Blow) -> None:
        async with stage(tmp_path) as on:
            await lns_and_lac(on, "")
            blow.strikes(on.nursery.cancel_scope)
            async with await trio.open_unix_socket(tmp_path / "lac.sock") as watching:
                await ask(watching, "events.subscribe")
                async with await trio.open_unix_socket(tmp_path / "lac.sock") as capturing:
                    await ask(capturing, "capture.start")
                    await ask(watching, "tunnel.delete", tunnel="t")
                    await ask(watching, "config.reload")
            blow.holds()
        for daemon in on.daemons:
            nothing_kept(daemon)

    assert 10 < await everywhere(scenario)


async def ask(stream: trio.SocketStream, method: str, **params: object) -> None:
    """Call a method and wait for an answer, whatever it is."""
    await stream.send_all(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
    received = b""
    while b'"id"' not in received:
        more = await stream.receive_some()
        assert more
        received += more


async def test_a_hook_script(tmp_path: Path) -> None:
    """Scripts that hang at set-up go with the daemon, and so do their children."""
    folder = tmp_path / "scripts"
    folder.mkdir(mode=0o755)
    for name in ("tunnel-created", "tunnel-up"):
        script = folder / name
        script.write_text(f"#!/bin/sh\n: > {folder}/{name}.ran\nexec sleep 1000\n")
        script.chmod(0o755)

    async def scenario(blow: Blow) -> None:
        for note in folder.glob("*.ran"):
            note.unlink()
        async with stage(tmp_path) as on:
            port = free_port()
            await on.start("lns", listen(port) + ANYBODY, stop=0.01)
            await on.start("lac", calls("t", port), system=f'script_directory = "{folder}"\n', stop=0.01)
            blow.strikes(on.nursery.cancel_scope)
            await until((folder / "tunnel-created.ran").exists)
            blow.holds()

    assert 5 < await everywhere(scenario)


@INTERFACES
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("keys", ["", "shared_interface = true\n"], ids=["own", "shared"])
async def test_ppp(tmp_path: Path, keys: str, six: bool) -> None:
    """PPP from its first frame until both ends have addresses and interfaces: the LNS's own for each session, and one for all of them; with prefixes."""
    lns_keys, lines = POOL.format(keys=keys), session("t", "s")
    if six:
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0")
        lns_keys, lines = (
            POOL.format(keys=keys + PREFIXES) + PREFIX_POOLS,
            lines + "[profile.ppp.default]\nipv6 = true\n",
        )

    async def scenario(blow: Blow) -> None:
        await link(tmp_path, blow, lines, lns_keys, lambda lac: addressed(lac, six=six))

    assert 10 < await everywhere(scenario, stride=2)


@INTERFACES
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("encap", ["udp", "ip"])
async def test_ethernet(tmp_path: Path, encap: str) -> None:
    """An Ethernet pseudowire of version 3, over UDP and over IP, from the first message until both ends have an interface."""

    async def scenario(blow: Blow) -> None:
        await link(tmp_path, blow, ETHERNET, V3, lambda lac: carried(lac, "t", "s"), encap=encap)

    assert 10 < await everywhere(scenario, stride=2)


@INTERFACES
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("keys", ["", "shared_interface = true\n"], ids=["own", "shared"])
async def test_a_session_that_ends_at_any_moment(tmp_path: Path, keys: str) -> None:
    """A session is closed at every step of its PPP: its interfaces and addresses go with it, the tunnel stays."""
    assert 10 < await ended_at_any_moment(
        tmp_path, {}, "", POOL.format(keys=keys), addressed, interfaces, data_plane="user", stride=1
    )
