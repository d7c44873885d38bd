"""Whole daemons on loopback, in one event loop: usually one that is called (the LNS) and one that calls (the LAC).

    async with stage(tmp_path) as on:
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("t", port))
        await until(lambda: up(lac, "t"))

Everything is real but the data plane: the null plane, unless `stage` names or `start` is given another. Each test has a deadline; what it waits for it polls.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import attrs
import trio

from l2tpd.config.load import load
from l2tpd.config.model import Address
from l2tpd.console import Console
from l2tpd.daemon import Daemon
from l2tpd.events import Event, SessionEvent, Stamped, TunnelEvent, What
from l2tpd.kernel.choose import Chosen
from l2tpd.kernel.plane import DataPlane
from l2tpd.options import Options
from l2tpd.reload import named
from l2tpd.session.call import Call
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.states import State
from l2tpd.tunnel.task import Tunnel

ANYBODY: Final = "[peer.default]\n"
QUICK: Final = "retry_timeout = 0.05\nmax_retries = 1\nredial_delay = 0.05\nredial_delay_max = 0.1\n"
"""Keys of a tunnel that gives up on a dead peer at once, and tries again soon."""

_SYSTEM: Final = '[system]\ncontrol_socket = "{socket}"\ndata_plane = "{plane}"\nstop_timeout = {stop}\n'


@attrs.define(eq=False)
class Stage:
    """Where daemons run; they end with it."""

    directory: Path
    nursery: trio.Nursery
    data_plane: str = "null"
    choose: Callable[[], Chosen | None] = lambda: None
    daemons: list[Daemon] = attrs.field(factory=list)
    ended: dict[str, trio.Event] = attrs.field(factory=dict)

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.toml"

    def write(self, name: str, text: str, *, system: str = "", stop: float = 0.2) -> Path:
        """Write a daemon's configuration: `system` are more keys of that table."""
        path = self.path(name)
        head = _SYSTEM.format(socket=self.directory / f"{name}.sock", plane=self.data_plane, stop=stop)
        path.write_text(head + system + text)
        return path

    def compose(
        self, name: str, text: str, *, ready: Callable[[], None], system: str = "", stop: float = 0.2
    ) -> Daemon:
        path = self.write(name, text, system=system, stop=stop)
        return Daemon(named(load(path)), Options(config_path=path, ready=ready), self.choose())

    async def start(
        self, name: str, text: str, *, plane: DataPlane | None = None, system: str = "", stop: float = 0.2
    ) -> Daemon:
        """Run a daemon, and return once it is ready: nothing has been dialled by then."""
        ready, self.ended[name] = trio.Event(), trio.Event()

        def note() -> None:
            if plane is not None:
                daemon.adapter.plane = plane
            ready.set()

        daemon = self.compose(name, text, ready=note, system=system, stop=stop)
        self.daemons.append(daemon)
        self.nursery.start_soon(self._run, name, daemon)
        await ready.wait()
        return daemon

    async def _run(self, name: str, daemon: Daemon) -> None:
        try:
            await daemon.run()
        finally:
            self.ended[name].set()


@asynccontextmanager
async def stage(
    directory: Path,
    seconds: float = 20,
    data_plane: str = "null",
    choose: Callable[[], Chosen | None] = lambda: None,
) -> AsyncIterator[Stage]:
    """Have a place for daemons, with a plane for each, if `choose` returns one; whatever happens on it takes no longer than `seconds`."""
    with trio.fail_after(seconds):
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            yield Stage(directory, nursery, data_plane, choose)
            nursery.cancel_scope.cancel()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a UDP port that nobody has."""
    with udp(host) as probe:
        return int(probe.getsockname()[1])


def udp(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a socket that never answers unless the test does."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, port))
    return sock


def listen(port: int, host: str = "127.0.0.1") -> str:
    return f'[[listen]]\naddress = "{host}:{port}"\n'


def calls(name: str, port: int, keys: str = QUICK, *, host: str = "127.0.0.1") -> str:
    """Return the table of a tunnel that we open."""
    return f'[tunnel.{name}]\npeer = "{host}:{port}"\n{keys}'


def session(tunnel: str, name: str, keys: str = "") -> str:
    """Return the table of a session that we ask for."""
    return f"[tunnel.{tunnel}.session.{name}]\n{keys}"


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    while not true():
        await trio.sleep(0.002)


def tunnel(daemon: Daemon, name: str) -> Tunnel:
    """Return the present tunnel of a line."""
    return daemon.dialer.lines[name].tunnel


def up(daemon: Daemon, name: str) -> bool:
    """Tell whether a line's tunnel is established."""
    return name in daemon.dialer.lines and tunnel(daemon, name).core.state is State.ESTABLISHED


def call(daemon: Daemon, name: str, session: str) -> Call | None:
    """Return a session of a line by its name."""
    return next((call for call in tunnel(daemon, name).core.calls.values() if call.name == session), None)


def carried(daemon: Daemon, name: str, session: str) -> bool:
    """Tell whether a session of a line is established."""
    found = call(daemon, name, session)
    return found is not None and found.state is CallState.ESTABLISHED


def other_end(daemon: Daemon, mine: Tunnel) -> Tunnel:
    """Return what a daemon has of the tunnel whose other end is `mine`."""
    return next(found for found in daemon.registry if found.core.peer_id == mine.core.local_id)


@attrs.define(eq=False)
class Heard:
    """The events of a daemon from now on; `closed` is set once the daemon has told its last."""

    events: list[Event] = attrs.field(factory=list)
    closed: trio.Event = attrs.field(factory=trio.Event)

    def tunnels(self, *whats: What) -> list[TunnelEvent]:
        return [event for event in self.events if isinstance(event, TunnelEvent) and event.what in whats]

    def sessions(self, *whats: What) -> list[SessionEvent]:
        return [event for event in self.events if isinstance(event, SessionEvent) and event.what in whats]


def hear(on: Stage, daemon: Daemon) -> Heard:
    """Listen to what a daemon tells its subscribers."""
    heard, subscription = Heard(), daemon.bus.subscribe()

    async def follow() -> None:
        async for item in subscription:
            assert isinstance(item, Stamped), "a test is no slow subscriber"
            heard.events.append(item.event)
        heard.closed.set()

    on.nursery.start_soon(follow)
    return heard


def address(mine: Tunnel) -> Address:
    """Return the peer's address of a tunnel."""
    return mine.core.peer


def console(daemon: Daemon) -> Console:
    """Return the console of a daemon."""
    return Console(daemon)
