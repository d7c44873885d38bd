"""No descriptor is left, wherever one is wanted: what wants it fails in words and comes back later, and everything that is up stays up."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

import taps
from dialogue import sccrq
from faults.means import no_descriptor_left
from faults.scenes import short_of_descriptors
from l2tpd import log, supervise
from l2tpd.config.load import parse
from l2tpd.config.model import Address
from l2tpd.daemon import Daemon
from l2tpd.errors import ConfigError
from l2tpd.events import What
from l2tpd.ppp.accountant import Cause, Subscriber, Traffic
from l2tpd.radius.client import Radius
from l2tpd.radius.courier import Courier
from l2tpd.radius.exchange import Exchange, Question, Server
from l2tpd.radius.numbers import Code
from l2tpd.radius.packet import decode, encode_answer
from l2tpd.radius.tally import Tally
from l2tpd.wire.header import build_control
from l2tpd.wire.messages import encode
from pair import (
    ANYBODY,
    Heard,
    Stage,
    calls,
    carried,
    free_port,
    hear,
    listen,
    session,
    stage,
    tunnel,
    until,
    up,
)
from scrapes import get

INTERFACES = pytest.mark.skipif(bool(taps.why_not()), reason=f"no interfaces: {taps.why_not()}")
KEEP = "persist = true\n"


@pytest.fixture
def namespace() -> Iterator[None]:
    """A network namespace of the test's own."""
    with taps.namespace():
        yield


@attrs.define(eq=False)
class Scene:
    """An LNS and a LAC with a tunnel and a session that are up, and must stay so."""

    on: Stage
    port: int
    lns: Daemon
    lac: Daemon
    told: Heard

    def is_well(self) -> bool:
        """Tell whether nothing has happened to what was up."""
        return carried(self.lac, "old", "s") and not [
            event for event in self.told.tunnels(What.DOWN) if event.name == "old"
        ]

    async def add(self, text: str, system: str = "") -> None:
        """Have the LAC read a configuration with more tunnels."""
        self.on.write("lac", old(self.port) + text, system=system)
        await self.lac.reloader.reload()


def old(port: int) -> str:
    return calls("old", port, "") + session("old", "s")


@asynccontextmanager
async def scene(directory: Path, *, data_plane: str = "null", system: str = "", lns: str = "") -> AsyncIterator[Scene]:
    async with stage(directory, data_plane=data_plane) as on:
        port = free_port()
        there = await on.start("lns", listen(port) + ANYBODY + lns)
        lac = await on.start("lac", old(port), system=system)
        told = hear(on, lac)
        await until(lambda: carried(lac, "old", "s"))
        yield Scene(on, port, there, lac, told)


async def test_a_tunnel_of_ours(tmp_path: Path) -> None:
    """The line says why, and is dialled again until there is one."""
    async with scene(tmp_path) as at:
        at.on.write("lac", old(at.port) + calls("new", at.port))
        plan = await at.lac.reloader._read()
        with no_descriptor_left():
            await at.lac.reloader._apply(*plan)
            await until(lambda: "Too many open files" in at.lac.dialer.lines["new"].last_error)
            assert at.is_well()
        await until(lambda: up(at.lac, "new"))
        assert at.is_well()


async def test_a_tunnel_of_a_peer(tmp_path: Path) -> None:
    """The newcomer is refused for want of resources, and gets in later; who is in stays in."""
    async with scene(tmp_path) as at:
        with trio.socket.from_stdlib_socket(_stranger(at.port)) as stranger:
            before = len(at.lns.registry)
            with no_descriptor_left():
                await stranger.send(_sccrq())
                assert b"no resources for another tunnel" in await stranger.recv(1500)
                assert before == len(at.lns.registry)
            assert 1 == at.lns.site.counters.tunnels_refused
            await stranger.send(_sccrq())
            await until(lambda: before + 1 == len(at.lns.registry))
        assert at.is_well()


def _stranger(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.connect(("127.0.0.1", port))
    return sock


def _sccrq() -> bytes:
    return build_control(0, 0, 0, 0, encode(sccrq(assigned_tunnel_id=77)))


async def test_a_control_client(tmp_path: Path) -> None:
    """It waits, and is answered when there is one."""
    async with scene(tmp_path) as at:
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            with no_descriptor_left():
                await client.connect(str(tmp_path / "lac.sock"))
                await client.send(b'{"jsonrpc": "2.0", "id": 1, "method": "system.show", "params": {}}\n')
                with trio.move_on_after(0.2) as waiting:
                    await client.recv(10)
                assert waiting.cancelled_caught
            assert 1 == json.loads((await client.recv(1 << 16)).split(b"\n")[0])["result"]["sessions"]
        assert at.is_well()


async def test_a_scrape(tmp_path: Path) -> None:
    """It waits likewise; the log says so once, however long that lasts."""
    log.ring.clear()
    log.configure("info")
    port = free_port()
    async with scene(tmp_path, system=f'metrics_address = "127.0.0.1:{port}"\n') as at:
        with trio.socket.socket() as client:
            with no_descriptor_left():
                await client.connect(("127.0.0.1", port))
                await client.send(get())
                with trio.move_on_after(5 * supervise.PAUSE) as waiting:
                    await client.recv(10)
                assert waiting.cancelled_caught
            assert b"HTTP/1.1 200" in await client.recv(1 << 16)
        said = [line.text for line in log.ring.lines() if "has to wait" in line.text]
        assert 1 == len(said)
        assert "a metrics client" in said[0]
        assert "Too many open files" in said[0]
        assert at.is_well()


async def test_a_reload(tmp_path: Path) -> None:
    """What cannot be read is not used: the old configuration is in force, and the next attempt succeeds."""
    async with scene(tmp_path) as at:
        at.on.write("lac", old(at.port) + calls("new", at.port))
        with no_descriptor_left():
            with pytest.raises(ConfigError, match="Too many open files"):
                await at.lac.reloader.reload()
            assert ["old"] == list(at.lac.dialer.lines)
        await at.lac.reloader.reload()
        await until(lambda: up(at.lac, "new"))
        assert at.is_well()


async def test_a_hook_script(tmp_path: Path) -> None:
    """It is not run, which is counted; the next one is."""
    folder = tmp_path / "scripts"
    folder.mkdir(mode=0o755)
    script = folder / "session-down"
    script.write_text(f"#!/bin/sh\n: > {folder}/ran\n")
    script.chmod(0o755)
    system = f'script_directory = "{folder}"\n'
    async with scene(tmp_path, system=system) as at:
        await at.add(calls("t", at.port) + session("t", "a") + session("t", "b"), system)
        await until(lambda: carried(at.lac, "t", "a") and carried(at.lac, "t", "b"))
        with no_descriptor_left():
            at.lac.dialer.close_session("t", "a", "enough")
            await until(lambda: at.lac.scripts.counts["refused"])
        at.lac.dialer.close_session("t", "b", "enough")
        await until((folder / "ran").exists)
        assert at.is_well()


async def test_a_capture(tmp_path: Path) -> None:
    """Messages are shown all the same."""
    async with scene(tmp_path) as at:
        watching = at.lac.tap.attach(None)
        with no_descriptor_left():
            tunnel(at.lac, "old").probe()
            shown = await watching.__anext__()
        assert shown is not None
        watching.close()
        assert at.is_well()


@INTERFACES
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("left", range(4))
async def test_an_interface(tmp_path: Path, left: int) -> None:
    """A session whose PPP gets no interface, or not all that it takes, is closed, and is asked for again."""
    await short_of_descriptors(tmp_path, left)


@INTERFACES
@pytest.mark.usefixtures("namespace")
async def test_what_became_of_an_interface(tmp_path: Path) -> None:
    """Where nobody can tell whether an interface is gone, after reports were lost, it is not; with a descriptor, one that is gone is found."""
    async with stage(tmp_path, data_plane="user") as on:
        port = free_port()
        await on.start("lns", listen(port) + ANYBODY + 'versions = ["l2tpv3"]\n')
        line = calls("t", port, 'version = "l2tpv3"\n') + session("t", "s", 'pseudowire = "eth"\n')
        lac = await on.start("lac", line)
        await until(lambda: carried(lac, "t", "s"))
        with no_descriptor_left():
            lac.circuits.check()
            assert carried(lac, "t", "s")
        lac.circuits.check()
        assert carried(lac, "t", "s")
        (key,) = lac.circuits._sessions.values()
        lac.circuits._sessions = {"gone": key}
        lac.circuits.check()
        assert not carried(lac, "t", "s")


async def test_a_log_in_by_radius() -> None:
    """A caller is refused with the reason in the log, no server is taken for dead because of it, and the next caller is let in."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    address = Address(*server.getsockname())
    mine = Exchange([Server(address=address, secret=b"s", timeout=0.02)], os.urandom, Tally("login"))
    question = Question(code=Code.ACCESS_REQUEST, attributes={1: (b"joe",)}, password=b"x")
    courier = Courier(mine)

    async def accept() -> None:
        await trio.lowlevel.wait_readable(server)
        asked, caller = server.recvfrom(4096)
        server.sendto(encode_answer(Code.ACCESS_ACCEPT, decode(asked), {}, b"s", sign=True), caller)

    with server, trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(courier.run)
            with no_descriptor_left():
                outcome = await courier.ask(question)
            assert (None, f"{address} cannot be asked: Too many open files") == (outcome.answer, outcome.reason)
            assert all(mine.up(trio.current_time()).values())
            nursery.start_soon(accept)
            assert (await courier.ask(question)).answer is not None
            nursery.cancel_scope.cancel()


async def test_accounting_that_nobody_takes(tmp_path: Path) -> None:
    """Where there is no descriptor to keep a record either, it waits in memory, and is lost only if the daemon ends before there is one."""
    text = f'[radius]\nspool = "{tmp_path}/spool"\n[radius.server.a]\naddress = "127.0.0.1"\nacct_port = {free_port()}\nsecret = "s"\n'
    config = parse([("f", text + "timeout = 0.1\nretries = 0\ndead_time = 0.1\n")])
    radius = Radius(lambda: config)
    someone = Subscriber(
        user="joe", tunnel_id=1, session_id=1, traffic=Traffic, disconnect=lambda _: None, limit=lambda *_: None
    )
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(radius.run)
            await until(lambda: radius.state().spooled == 1)  # Accounting-On: what comes next is to be kept behind it
            with no_descriptor_left():
                radius.end(radius.begin(someone), Cause.USER_REQUEST)
                await until(lambda: radius.put_off)
                assert (2, 0) == (radius.state().waiting, radius.lost)
            await until(lambda: radius.state().spooled == 3 and not radius.state().waiting)
            with no_descriptor_left():
                radius.begin(someone)
                radius.close()
            assert 1 == radius.lost
            nursery.cancel_scope.cancel()
