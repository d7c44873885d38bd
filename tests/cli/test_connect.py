"""`l2tpctl connect` as a program: its own daemon calls a real one on loopback. No packets move here; how PPP fares is for machines that have it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from interop.netns import Host, cable
from l2tpctl import connect, local
from l2tpd.config.load import parse
from l2tpd.console import Console
from pair import ANYBODY, free_port, listen, stage, udp, until
from taps import why_not

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(Path(__file__).parents[2] / part) for part in ("", "cli")),
}
LIMIT = 60.0  # seconds in which programs have started and ended, however busy the machine is


@attrs.define(eq=False)
class Program:
    """A running `l2tpctl connect`, whose temporary files are in a folder of their own."""

    process: trio.Process
    folder: Path

    async def line(self) -> str:
        """Return what it prints first."""
        assert self.process.stdout is not None
        text = b""
        async for part in self.process.stdout:
            text += part
            if b"\n" in text:
                break
        return text.decode().partition("\n")[0]

    async def end(self) -> tuple[int, str]:
        """Wait for its end; return status and complaint. It leaves no file and no process behind."""
        assert self.process.stderr is not None
        complaint = b"".join([part async for part in self.process.stderr]).decode()
        status = await self.process.wait()
        assert [] == list(self.folder.iterdir())
        assert [] == self.daemons()
        return status, complaint

    def daemons(self) -> list[int]:
        """Return the processes that were started for it and run."""
        marks = (f"{self.folder}/".encode(), b"l2tpd.toml")
        lines = {int(path.parent.name): _read(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
        return [pid for pid, line in lines.items() if all(mark in line for mark in marks)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


@asynccontextmanager
async def program(tmp_path: Path, *words: str, host: Host | None = None) -> AsyncIterator[Program]:
    """Run `l2tpctl connect`, on another host if one is given, with the data plane that moves nothing, unless the words say another."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    command = [sys.executable, "-m", "l2tpctl", "connect", "--data-plane", "null", *words]
    process = await trio.lowlevel.open_process(
        host.command(*command) if host else command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, "TMPDIR": str(folder)},
    )
    running = Program(process, folder)
    try:
        yield running
    finally:
        process.kill()
        for pid in running.daemons():
            with suppress(ProcessLookupError):  # it ends with the command, by itself
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("version", ["l2tpv2", "l2tpv3", "auto"])
async def test_a_session_lives_until_control_c(tmp_path: Path, version: str) -> None:
    """It is up at the far end by the time that it is told of; interrupted, the peer hears a goodbye and the status is 0."""
    async with stage(tmp_path, LIMIT) as on:
        lns = await on.start("lns", listen(port := free_port()) + ANYBODY)
        async with program(tmp_path, f"127.0.0.1:{port}", "--user", "alice", "--version", version, "--json") as calling:
            told = json.loads(await calling.line())
            assert {"interface": "", "local_address": "", "remote_address": ""} == told
            await until(lambda: lns.registry.sessions)
            (tunnel,) = lns.registry
            assert ("l2tpv2" if version == "l2tpv2" else "l2tpv3") == tunnel.core.dialect.version.value
            calling.process.send_signal(signal.SIGINT)
            assert (0, "") == await calling.end()
            assert tunnel.core.ending is not None
            assert "peer" == tunnel.core.ending.by


async def test_it_is_killed(tmp_path: Path) -> None:
    """Its daemon does not outlive it for long, and the peer is told."""
    async with stage(tmp_path, LIMIT) as on:
        lns = await on.start("lns", listen(port := free_port()) + ANYBODY)
        async with program(tmp_path, f"127.0.0.1:{port}", "--json") as calling:
            await calling.line()
            await until(lambda: lns.registry.sessions)
            (tunnel,) = lns.registry
            assert calling.daemons()
            calling.process.kill()
            await calling.process.wait()
            await until(lambda: not calling.daemons() and tunnel.core.ending is not None)
            assert tunnel.core.ending is not None
            assert "peer" == tunnel.core.ending.by


LNS = """
[system]
control_socket = "{folder}/lns.sock"
data_plane = "user"
[[listen]]
address = "0.0.0.0:1701"
[peer.default]
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "callers"
[pool.callers]
range = "10.9.0.2-10.9.0.9"
"""


@asynccontextmanager
async def lns(host: Host, tmp_path: Path, ppp: str = "") -> AsyncIterator[None]:
    """Run an LNS on a host, which gives callers addresses; `ppp` are more keys of its PPP profile."""
    file = tmp_path / "lns.toml"
    file.write_text(LNS.replace("[pool", f"{ppp}\n[pool").format(folder=tmp_path))
    file.chmod(0o600)
    command = host.command(sys.executable, "-m", "l2tpd", "-f", "-c", str(file))
    process = await trio.lowlevel.open_process([*command, "-o", str(tmp_path / "lns.log")], env=ENVIRONMENT)
    try:
        await until((tmp_path / "lns.sock").exists)
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_ppp_runs_in_it(tmp_path: Path) -> None:
    """Between two hosts: the addresses that are told are there under the name that was asked for, they carry pings, and go with the session."""
    with trio.fail_after(LIMIT), cable(f"connect-{os.getpid()}") as ends:
        words = (ends.us.address, "--data-plane", "user", "--interface", "ppp-here", "--json")
        async with lns(ends.us, tmp_path), program(tmp_path, *words, host=ends.them) as calling:
            told = {"interface": "ppp-here", "local_address": "10.9.0.2", "remote_address": "10.9.0.1"}
            assert told == json.loads(await calling.line())
            ends.them.call("ping", "-c", "1", "-W", "5", "-I", "10.9.0.2", "10.9.0.1")
            assert "10.9.0.2" in ends.them.ask("ip", "-o", "address", "show", "dev", "ppp-here")
            calling.process.send_signal(signal.SIGINT)
            assert (0, "") == await calling.end()
            assert "ppp-here" not in ends.them.ask("ip", "-o", "link")


@pytest.mark.skipif(bool(why_not()), reason=why_not())
@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("", "the peer refuses to authenticate itself"),
        ("wrong", "(unknown user, or wrong|wrong name or) password"),
    ],
)
async def test_ppp_does_not_let_us_in(tmp_path: Path, password: str, complaint: str) -> None:
    """The reason is the LNS's, also where the session has gone by the time that its addresses are asked for."""
    secret_file(tmp_path / "password", f"{password}\n")
    given = ("--user", "alice", "--password-file", str(tmp_path / "password")) if password else ()
    users = 'auth = "chap"\nauthority = "users"\n[user.alice]\npassword = "right"'
    with trio.fail_after(LIMIT), cable(f"connect-{os.getpid()}") as ends:
        words = (ends.us.address, "--data-plane", "user", *given)
        async with lns(ends.us, tmp_path, users), program(tmp_path, *words, host=ends.them) as calling:
            status, said = await calling.end()  # in the words of whichever end was first
            assert 1 == status
            assert re.fullmatch(
                rf"l2tpctl: the session ended: {complaint} \((by the peer|from here), result 3\)\n", said
            ), said


def test_an_ipv6_peer_needs_no_brackets(tmp_path: Path) -> None:
    """Where there is no port there is nothing to tell apart; a scope is part of the address."""
    assert ("[::1]", "[fe80::1%eth0]") == (local._bracketed("::1"), local._bracketed("fe80::1%eth0"))
    for peer in ("192.0.2.1", "192.0.2.1:1701", "[::1]:1701", "[::1]", "lns.example", "lns.example:1702"):
        assert peer == local._bracketed(peer)


async def test_secrets_are_nowhere_to_be_seen(tmp_path: Path) -> None:
    """Neither on a command line nor in a file; nobody else can look into its folder."""
    for name in ("password", "secret"):
        secret_file(tmp_path / name, f"tops3cret {name}\nrest\n")
    files = ("--password-file", str(tmp_path / "password"), "--secret-file", str(tmp_path / "secret"))
    async with stage(tmp_path, LIMIT) as on:
        port = free_port()
        await on.start("lns", listen(port) + '[peer.default]\nsecret = "tops3cret secret"\n')
        async with program(tmp_path, f"127.0.0.1:{port}", "--user", "alice", *files) as calling:
            assert (await calling.line()).startswith("connected, but nothing here carries PPP")
            (folder,) = calling.folder.iterdir()
            assert 0o700 == folder.stat().st_mode & 0o777
            texts = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
            texts += [
                Path(f"/proc/{pid}/{what}").read_bytes() for pid in calling.daemons() for what in ("cmdline", "environ")
            ]
            assert len(texts) >= 4
            assert [] == [text for text in texts if b"tops3cret" in text]
            calling.process.send_signal(signal.SIGTERM)
            assert (0, "") == await calling.end()


async def test_the_peer_ends_the_session(tmp_path: Path) -> None:
    """Its words are told, and the status is 1."""
    async with stage(tmp_path, LIMIT) as on:
        lns = await on.start("lns", listen(port := free_port()) + ANYBODY)
        async with program(tmp_path, f"127.0.0.1:{port}") as calling:
            await calling.line()
            await until(lambda: lns.registry.sessions)
            (tunnel,) = lns.registry
            console = Console(lns)
            console.delete_session(tunnel.core.local_id, next(iter(tunnel.core.calls)), "go \x1b[31m home")
            status, complaint = await calling.end()
            assert (1, True) == (status, "the session ended: go \\x1b[31m home (by the peer, result 3)" in complaint), (
                complaint
            )


def test_no_word_of_an_end_gives_orders_to_a_terminal() -> None:
    """Whatever an event says, and of whatever kind its values are."""
    told = connect.ending({"object": "\x1b[2J", "message": "\x1b[31m", "error": "\x07", "up": True})
    assert r"the \x1b[2J ended: \x1b[31m (error \x07)" == told


async def test_the_daemon_dies(tmp_path: Path) -> None:
    """Killed, it can say nothing: how it ended is told."""
    async with stage(tmp_path, LIMIT) as on:
        await on.start("lns", listen(port := free_port()) + ANYBODY)
        async with program(tmp_path, f"127.0.0.1:{port}") as calling:
            await calling.line()
            (pid,) = calling.daemons()
            os.kill(pid, signal.SIGKILL)
            assert (1, "l2tpctl: l2tpd was killed by signal 9\n") == await calling.end()


async def test_nobody_reads_that_it_is_up(tmp_path: Path) -> None:
    """It ends with a sentence, and the peer hears a goodbye."""
    async with stage(tmp_path, LIMIT) as on:
        lns = await on.start("lns", listen(port := free_port()) + ANYBODY)
        async with program(tmp_path, f"127.0.0.1:{port}") as calling:
            assert calling.process.stdout is not None
            await calling.process.stdout.aclose()
            await until(lambda: lns.registry.sessions)
            (tunnel,) = lns.registry
            assert (1, "l2tpctl: cannot write to standard output: Broken pipe\n") == await calling.end()
            assert tunnel.core.ending is not None
            assert "peer" == tunnel.core.ending.by


async def refuses(tmp_path: Path, *words: str) -> str:
    """Run it to its end, which is a failure; return the complaint."""
    with trio.fail_after(LIMIT):
        async with program(tmp_path, *words) as calling:
            status, complaint = await calling.end()
            assert 1 == status
            return complaint.removeprefix("l2tpctl: ").removesuffix("\n")


async def test_a_peer_that_wants_a_secret(tmp_path: Path) -> None:
    """The reason is a sentence."""
    async with stage(tmp_path, LIMIT) as on:
        await on.start("lns", listen(port := free_port()) + '[peer.default]\nsecret = "other"\n')
        assert "the tunnel was not set up: no secret is shared (from here, result 4)" == await refuses(
            tmp_path, f"127.0.0.1:{port}"
        )


async def test_what_cannot_be_begun(tmp_path: Path) -> None:
    """An address that is not ours: what the daemon says of the attempt is told."""
    complaint = await refuses(tmp_path, "127.0.0.1:9", "--local", "192.0.2.77")
    assert complaint.startswith("the tunnel was not set up: cannot open a socket from 192.0.2.77 to 127.0.0.1:9: "), (
        complaint
    )


async def test_what_a_key_may_not_be(tmp_path: Path) -> None:
    """The daemon checks it as in a configuration."""
    assert "peer: `x` is not a port from 1 to 65535" == await refuses(tmp_path, "127.0.0.1:x")


def secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file that only its owner can read, unless another `mode` is wanted."""
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("option", ["--password-file", "--secret-file"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
async def test_a_file_that_others_can_read(tmp_path: Path, option: str, mode: int) -> None:
    """It is refused as in a configuration, before anything is started."""
    file = secret_file(tmp_path / "known", "tops3cret\n", mode)
    told = f"{file}: others than its owner have access (mode {mode:04o}); use `chmod 600`"
    assert told == await refuses(tmp_path, "127.0.0.1:9", option, str(file))


def test_a_pipe_need_not_be_the_owners_alone(tmp_path: Path) -> None:
    """What a program writes there is nowhere to be read again: as `-`, or where a shell names it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    with os.fdopen(os.open(pipe, os.O_RDWR), "r+b", buffering=0) as file:
        file.write(b"tops3cret\nrest\n")
        with pipe.open("rb") as reader:
            assert "tops3cret" == local._secret_of(reader)


async def test_an_empty_password_file(tmp_path: Path) -> None:
    """It is a mistake of the user's, told before anything is started."""
    file = secret_file(tmp_path / "empty", "")
    assert f"{file}: its first line is empty" == await refuses(tmp_path, "127.0.0.1:9", "--password-file", str(file))


async def test_it_takes_too_long(tmp_path: Path) -> None:
    """A peer that does not answer is given up on when the time is over."""
    with udp() as silent:
        peer = f"127.0.0.1:{silent.getsockname()[1]}"
        complaint = await refuses(tmp_path, peer, "--timeout", "3")
    assert f"there was no tunnel to {peer} after 3 seconds" == complaint


async def test_it_is_interrupted_before_it_is_connected(tmp_path: Path) -> None:
    """Then it was in vain, and the status says so."""
    with trio.fail_after(LIMIT), udp() as silent:
        async with program(tmp_path, f"127.0.0.1:{silent.getsockname()[1]}") as calling:
            await trio.lowlevel.wait_readable(silent)
            calling.process.send_signal(signal.SIGINT)
            calling.process.send_signal(signal.SIGINT)  # it need not wait for a peer that is not there
            assert (1, "l2tpctl: interrupted before the session was up\n") == await calling.end()


def test_its_configuration_is_one(tmp_path: Path) -> None:
    """Also in a folder with a name that needs quotes; nothing in it is a secret."""
    folder = tmp_path / 'a "b" ü 🜁'
    wanted = connect.Dial(tunnel={}, session={"password": "tops3cret"}, data_plane="user", default_route=True)
    text = connect.configuration(folder, wanted)
    config = parse([("made", text)])
    assert (folder / "control.sock", "user") == (config.system.control_socket, config.system.data_plane.value)
    assert {"default_route": True} == dict(config.ppp_profiles["default"])
    assert "tops3cret" not in text + repr(wanted)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            {"interface": "ppp0", "local_address": "10.0.0.2", "remote_address": "10.0.0.1"},
            "connected: ppp0, local address 10.0.0.2, remote address 10.0.0.1",
        ),
        ({"interface": ""}, "connected, but nothing here carries PPP: there are no addresses"),
    ],
)
def test_what_is_said_when_it_is_up(found: dict[str, Any], text: str) -> None:
    """Interface and both addresses, where there are any."""
    assert text == connect.sentence(found)
