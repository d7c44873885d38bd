"""`l2tpctl connect`: one PPP session, for as long as the command runs, without a configuration.

The command starts a daemon of its own, in a directory of its own that only this user can read, and asks it over its control socket for a tunnel and a
session, as an operator would. So secrets and password stand in no file and on no command line; what the daemon says of a failure is the sentence that the
user reads. Control-C is for the command, which tells the daemon to end politely; a second one, at once. The daemon holds the reading end of a pipe whose other
end is the command's alone, so it ends as politely where the command is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import click
import trio

from l2tpctl import render
from l2tpctl.client import Client, connected
from l2tpctl.errors import CommandError, Disconnected, NotRunning
from l2tpd.control.jsonrpc import Json

NAME = "connect"
"""Of the tunnel and of the session, and so the Remote End ID in version 3 (RFC 3931 5.4.4)."""

_POLL = (
    0.1  # seconds between two looks at what no event tells: the socket of a daemon that starts, the addresses of PPP
)
_START = 60.0  # seconds for the daemon to serve, which a busy machine may need and the peer has nothing to do with
_GOODBYE = 2.0  # seconds for the peer to acknowledge the end
_PATIENCE = 15.0  # seconds for a polite end, after which the daemon is killed

Event = Mapping[str, Json]


@attrs.frozen(kw_only=True)
class Dial:
    """Whom to call, as whom, and how: keys of `[tunnel.NAME]` and `[tunnel.NAME.session.NAME]`, l2tpd.toml(5)."""

    tunnel: Mapping[str, Json]
    session: Mapping[str, Json] = attrs.field(repr=False)  # holds the password
    data_plane: str = "auto"
    default_route: bool = False
    timeout: float = 60.0  # seconds until there are addresses
    verbose: bool = False  # the daemon's log goes to stderr
    json: bool = False


def run(wanted: Dial) -> str:
    """Connect, and stay until interrupted; returns what went wrong, or nothing."""
    return trio.run(_run, wanted)


async def _run(wanted: Dial) -> str:
    with (
        TemporaryDirectory(prefix="l2tpctl-") as place,
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals,
    ):
        folder = Path(place)
        daemon = await _start(wanted, folder)
        try:
            failure = await _until_interrupted(wanted, folder, daemon, signals)
            await _end(daemon, signals)
        finally:
            if daemon.returncode is None:
                daemon.kill()
        return failure


# --- the daemon


def configuration(folder: Path, wanted: Dial) -> str:
    """Return the configuration of the daemon: what a request cannot say."""
    return (
        "[system]\n"
        f"control_socket = {_quoted(_socket(folder))}\n"
        f"script_directory = {_quoted(folder / 'scripts')}\n"  # there are none: hooks are for the system's daemon
        f"data_plane = {_quoted(wanted.data_plane)}\n"
        f"stop_timeout = {_GOODBYE}\n"
        f"[profile.ppp.default]\ndefault_route = {str(wanted.default_route).lower()}\n"
    )


def _quoted(value: object) -> str:
    """Write a string of TOML, which a string of JSON is, but for its escapes of what needs two of them."""
    return json.dumps(str(value), ensure_ascii=False)


def _socket(folder: Path) -> Path:
    return folder / "control.sock"


async def _start(wanted: Dial, folder: Path) -> trio.Process:
    """Start the daemon in the foreground, in a session of its own: Control-C at the terminal is ours."""
    file, log = folder / "l2tpd.toml", folder / "log"
    file.write_text(configuration(folder, wanted), encoding="utf-8")
    with log.open("wb") as sink:
        return await trio.lowlevel.open_process(
            [sys.executable, "-P", "-m", "l2tpd", "-f", "--stop-at-eof", "-c", os.fspath(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=None if wanted.verbose else sink,
            start_new_session=True,
        )


async def _end(daemon: trio.Process, signals: AsyncIterator[int]) -> None:
    """Have the daemon say goodbye and end; who interrupts once more does not wait for that."""
    if daemon.returncode is not None:
        return

    async def insist() -> None:
        async for _ in signals:
            daemon.terminate()

    daemon.terminate()
    with trio.move_on_after(_PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(insist)
            await daemon.wait()
            nursery.cancel_scope.cancel()


async def _until_interrupted(wanted: Dial, folder: Path, daemon: trio.Process, signals: AsyncIterator[int]) -> str:
    """Connect and stay; returns what went wrong, nothing when a signal ended what was up."""
    call = Call(wanted, folder, daemon)

    async def talk() -> None:
        try:
            await call.carry()
        except CommandError as error:
            call.failure = str(error)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        async for _ in signals:
            call.failure = "" if call.up else "interrupted before the session was up"
            nursery.cancel_scope.cancel()
            break
    return call.failure


# --- the call


@attrs.define(eq=False)
class Call:
    """One session, from asking for the tunnel to its end; methods raise `CommandError` with what went wrong."""

    wanted: Dial
    folder: Path
    daemon: trio.Process
    up: bool = False
    failure: str = ""
    _lacking: str = (
        f"its daemon did not serve after {_START:g} seconds"  # what there is not yet, should the time be over
    )
    _tunnel: str = ""
    _session: str = ""

    async def carry(self) -> None:
        """Bring the session up, say so, and wait for its end, which is always a failure."""
        try:
            with trio.fail_after(_START):
                await self._await_socket()
            async with connected(_socket(self.folder)) as client:
                with trio.fail_after(self.wanted.timeout):
                    found = await self._connect(client)
                self.up = True
                self._say(json.dumps(found) if self.wanted.json else sentence(found))
                await self._until(client, "session", "")
        except trio.TooSlowError:
            raise CommandError(self._lacking) from None
        except Disconnected:
            raise CommandError(await self._last_words()) from None

    def _say(self, text: str) -> None:
        """Print; that it cannot be ends the call as any other failure does, with a goodbye to the peer."""
        try:
            click.echo(text)
        except OSError as error:
            raise CommandError(f"cannot write to standard output: {error.strerror}") from None

    async def _await_socket(self) -> None:
        """Wait until the daemon serves."""
        while True:
            try:
                async with connected(_socket(self.folder)):
                    return
            except NotRunning:
                if self.daemon.returncode is not None:
                    raise CommandError(await self._last_words()) from None
                await trio.sleep(_POLL)

    async def _connect(self, client: Client) -> dict[str, Json]:
        """Ask for the tunnel, then for the session, and wait for its addresses."""
        await client.call("events.subscribe", {})
        row = await client.call("tunnel.create", {"name": NAME, "keys": {**self.wanted.tunnel, "persist": False}})
        self._tunnel = f"@{_field(row, 'id')}"
        self._miss(f"there was no tunnel to {self.wanted.tunnel['peer']}")
        await self._until(client, "tunnel", "up")
        self._miss("the tunnel was up, but there was no session")
        asked: dict[str, Json] = {"tunnel": self._tunnel, "name": NAME, "keys": dict(self.wanted.session)}
        self._session = f"@{_field(await client.call('session.create', asked), 'id')}"
        await self._until(client, "session", "up")
        self._miss("the session was up, but PPP had no addresses")
        return await self._addresses(client)

    def _miss(self, what: str) -> None:
        self._lacking = f"{what} after {self.wanted.timeout:g} seconds"

    async def _until(self, client: Client, about: str, what: str) -> None:
        """Wait for an event of the tunnel or the session; the end of either is a failure."""
        while True:
            event = await client.next_event()
            if event is None:
                raise Disconnected
            if (about, what) == (event.get("object"), event.get("what")):
                return
            self._check(event)

    def _check(self, event: Event) -> None:
        """Raise `CommandError` for the end of the tunnel or of the session."""
        if event.get("what") == "deleted":
            raise CommandError(ending(event))

    async def _addresses(self, client: Client) -> dict[str, Json]:
        """Wait until PPP has settled on addresses; nothing carries it on the data plane `null`."""
        carried = _field(await client.call("system.show", {}), "data_plane") != "null"
        while True:
            shown = await self._shown(client)
            ppp = _field(shown, "ppp") or {}
            addresses = {name: _field(ppp, name) or "" for name in ("local_address", "remote_address")}
            if addresses["remote_address"] or not carried:
                return {"interface": _field(shown, "interface"), **addresses}
            with trio.move_on_after(_POLL):
                await self._until(client, "", "")

    async def _shown(self, client: Client) -> Json:
        """Ask for the session; one that is gone already has an event, which says why and is raised."""
        with contextlib.suppress(CommandError):
            return await client.call("session.show", {"tunnel": self._tunnel, "session": self._session})
        await self._until(client, "", "")
        raise Disconnected

    async def _last_words(self) -> str:
        """Say why the daemon has ended: its own words, or how it ended."""
        with trio.move_on_after(_PATIENCE):
            await self.daemon.wait()
        file = self.folder / "log"
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        said = [line.removeprefix("l2tpd: ") for line in lines if line.startswith(("l2tpd: ", str(self.folder)))]
        return "; ".join(map(render.printable, said)) or _how_ended(self.daemon.returncode)


def _how_ended(status: int | None) -> str:
    if status is None:
        return "l2tpd does not answer any more"
    return f"l2tpd was killed by signal {-status}" if status < 0 else f"l2tpd ended with status {status}"


def _field(answer: Json, name: str) -> Json:
    return answer.get(name) if isinstance(answer, dict) else None


def sentence(found: Mapping[str, Json]) -> str:
    """Say that the session is up, by which interface and with which addresses."""
    if not found.get("remote_address"):
        return "connected, but nothing here carries PPP: there are no addresses"
    said = {key: render.word(found.get(key)) for key in ("interface", "local_address", "remote_address")}
    return f"connected: {said['interface']}, local address {said['local_address']}, remote address {said['remote_address']}"


def ending(event: Event) -> str:
    """Say why a tunnel or session has ended, as its last event tells."""
    who = {"peer": "by the peer", "us": "from here"}.get(str(event.get("by")), "")
    codes = [f"{key} {render.word(event[key])}" for key in ("result", "error") if event.get(key)]
    told = render.printable(str(event.get("message") or ""))
    verb = "ended" if event.get("up") else "was not set up"
    return (
        f"the {render.word(event.get('object'))} {verb}"
        + (f": {told}" if told else "")
        + _within([*filter(None, [who]), *codes])
    )


def _within(words: list[str]) -> str:
    return f" ({', '.join(words)})" if words else ""
