"""l2tpd as its users see it: the command, the configuration file, the control socket. Nothing of the package is imported."""

from __future__ import annotations

import json
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from interop.netns import Host
from interop.program import PATIENCE, Program, Watched, polled, running, spawn

Row = Mapping[str, Any]

SYSTEM = """\
[system]
hostname = "l2tpd.example"
data_plane = "{data_plane}"
control_socket = "{folder}/control.sock"
script_directory = "{folder}/scripts"
log_level = "{log_level}"
stop_timeout = {stop_timeout}
{system}
[[listen]]
address = "{listen}:1701"

"""

REPOSITORY = Path(__file__).parents[2]


class Control(Watched):
    """A client of the control socket: JSON-RPC 2.0, one message a line, with the events that came in between."""

    def __init__(self, stream: trio.SocketStream) -> None:
        """Talk over a connected stream."""
        super().__init__()
        self.events: list[Row] = []
        self._stream = stream
        self._answers: dict[int, Row] = {}
        self._last_id = 0
        self._sending = trio.Lock()
        self._closed = False

    async def call(self, method: str, **params: object) -> Any:
        """Call a method and return its result; raises `AssertionError` when the daemon answers with an error."""
        self._last_id += 1
        number = self._last_id
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        async with self._sending:
            await self._stream.send_all(json.dumps(request).encode() + b"\n")
        answer: Row = await self.until(lambda: self._answer(number), lambda: f"{method} was not answered")
        assert "error" not in answer, f"{method} {params}: {answer['error']}"
        return answer["result"]

    def _answer(self, number: int) -> Row | None:
        assert number in self._answers or not self._closed, "the daemon closed the control socket"
        return self._answers.pop(number, None)

    async def event(self, kind: str, what: str, **fields: object) -> Row:
        """Wait for an event about a tunnel or session, whose fields have these values, and return it; earlier ones count."""

        def probe() -> Row | None:
            wanted = {"object": kind, "what": what, **fields}
            return next((event for event in self.events if wanted.items() <= event.items()), None)

        def complaint() -> str:
            return f"no event `{kind} {what}` with {fields}; there were:\n" + "\n".join(map(str, self.events))

        return await self.until(probe, complaint)

    async def read(self) -> None:
        """Sort what comes in until the daemon closes the connection."""
        rest = b""
        try:
            async for chunk in self._stream:
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    self._take(json.loads(line))
                self.changed()
        except trio.BrokenResourceError:
            rest = b""  # killed daemons close their sockets this way
        self._closed = True
        self.changed()

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "event":
            self.events.append(message["params"])
        else:
            self._answers[message["id"]] = message


class Daemon:
    """A running l2tpd with a control connection that has subscribed to all events."""

    def __init__(self, program: Program, control: Control) -> None:
        """Join the two."""
        self.program = program
        self.control = control
        self._status = 0

    async def kill(self) -> None:
        """Kill it, so that it has no time to say goodbye to anybody."""
        self._status = -signal.SIGKILL
        self.program.signal(signal.SIGKILL)
        await self.program.ended()

    async def ended_well(self) -> None:
        """Wait for its end; raises `AssertionError` unless it ended as it was asked to, and without a bug that it noticed."""
        assert self._status == await self.program.ended(), self.program.log
        assert "Traceback" not in self.program.log, self.program.log

    async def tunnel(self) -> Row:
        """Return the list row of the only tunnel there is."""
        (row,) = await self.tunnels()
        return row

    async def tunnels(self) -> list[Row]:
        """Return the list rows of all tunnels."""
        return list((await self.control.call("tunnel.list"))["tunnels"])

    async def sessions(self) -> list[Row]:
        """Return the list rows of all sessions."""
        return list((await self.control.call("session.list"))["sessions"])

    async def up(self, name: str | None = None) -> tuple[Row, Row]:
        """Wait until a session, the one called `name` if said, and its tunnel are up; return the list rows of the tunnel and of the session.

        Asked for rather than told by events: a tunnel of the configuration may be up before anybody could subscribe.
        """

        async def session_up() -> Row | None:
            rows = [row for row in await self.sessions() if row["state"] == "up" and name in {None, row["name"]}]
            return rows[0] if rows else None

        session = await polled(
            session_up, lambda: f"no session {name or ''} is up; the daemon wrote:\n{self.program.log}"
        )
        (tunnel,) = (row for row in await self.tunnels() if row["id"] == session["tunnel_id"])
        assert "up" == tunnel["state"]
        return tunnel, session

    async def empty(self) -> None:
        """Wait until no session and no tunnel is up; one that was cleared may stay listed for as long as its peer may retransmit."""

        async def nothing_up() -> bool | None:
            rows = [*await self.tunnels(), *await self.sessions()]
            return all(row["state"] != "up" for row in rows) or None

        await polled(nothing_up, lambda: f"something is still up; the daemon wrote:\n{self.program.log}")

    async def gone(self) -> None:
        """Wait until no tunnel and no session is listed."""

        async def nothing() -> bool | None:
            return not [*await self.tunnels(), *await self.sessions()] or None

        await polled(nothing, lambda: f"something is still there; the daemon wrote:\n{self.program.log}")


@asynccontextmanager
async def daemon(
    host: Host,
    folder: Path,
    config: str,
    *,
    listen: str = "",
    data_plane: str = "null",
    stop_timeout: float = 2.0,
    log_level: str = "debug",
    subscribed: bool = True,
    system: str = "",
) -> AsyncIterator[Daemon]:
    """Run l2tpd in the foreground on a host, listening on its address unless told otherwise, with `config` behind the tables that all tests share.

    `system` are more keys of that table. Its events are told to the control connection if that is `subscribed`.

    It is ready when the block begins, and has to end well at the end of the block.
    """
    folder.mkdir(parents=True)
    with _short_folder() as short:
        head = SYSTEM.format(
            folder=short,
            listen=listen or host.address,
            data_plane=data_plane,
            stop_timeout=stop_timeout,
            log_level=log_level,
            system=system,
        )
        (folder / "l2tpd.toml").write_text(head + config)
        (folder / "l2tpd.toml").chmod(0o600)  # it may hold secrets
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            await notify.bind(f"{short}/notify")
            env = {"NOTIFY_SOCKET": f"{short}/notify", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/cli"}
            argv = host.command(sys.executable, "-m", "l2tpd", "-f", "-c", str(folder / "l2tpd.toml"))
            program = Program("l2tpd", await spawn(argv, env))
            async with running(program, signal.SIGTERM):
                await _ready(notify, program)
                async with _control(f"{short}/control.sock", subscribed=subscribed) as control:
                    running_daemon = Daemon(program, control)
                    yield running_daemon
            await running_daemon.ended_well()


@asynccontextmanager
async def _control(path: str, *, subscribed: bool) -> AsyncIterator[Control]:
    """Connect to the control socket, and subscribe to all events if asked to."""
    async with await trio.open_unix_socket(path) as stream, trio.open_nursery() as nursery:
        control = Control(stream)
        nursery.start_soon(control.read)
        if subscribed:
            await control.call("events.subscribe")
        yield control
        nursery.cancel_scope.cancel()


def _short_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for sockets: the path of one may not be longer than 107 octets, which pytest's folders are at times."""
    return tempfile.TemporaryDirectory(prefix="l2tpd-interop-", dir="/tmp")


async def _ready(notify: trio.socket.SocketType, program: Program) -> None:
    """Wait for READY=1; raises `AssertionError` with the daemon's output when it ends or does nothing instead."""
    async with trio.open_nursery() as nursery:

        async def listen(until: Callable[[], None]) -> None:
            while b"READY=1" not in (await notify.recv(4096)).split(b"\n"):
                pass
            until()

        async def fail() -> None:
            with trio.move_on_after(PATIENCE):
                await program.ended()
            message = f"l2tpd did not become ready; it wrote:\n{program.log}"
            raise AssertionError(message)

        nursery.start_soon(listen, nursery.cancel_scope.cancel)
        nursery.start_soon(fail)
