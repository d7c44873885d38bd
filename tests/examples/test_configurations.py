"""The configurations of the examples, in daemons of their own that move no packets; only addresses, ports and paths are other ones."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from examples.hosts import REPOSITORY
from examples.readme import EXAMPLES, configurations

FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))

Row = Mapping[str, Any]


def until(probe: Callable[[], object], complaint: Callable[[], str]) -> None:
    """Wait for something that daemons do; a failed assertion says what they said."""
    deadline = time.monotonic() + 30
    while not probe():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.02)


@attrs.define(eq=False)
class Daemon:
    """An example's configuration as a running l2tpd."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "l2tpd.toml"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "l2tpd", *arguments, "-c", str(self.config)]

    def check(self) -> subprocess.CompletedProcess[str]:
        """Run the daemon's own check of the configuration."""
        return subprocess.run(
            self.line("-n"), env=environment(), capture_output=True, text=True, timeout=60, check=False
        )

    def start(self) -> None:
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(self.line("-f"), env=environment(), stderr=log)
        until(self.is_ready, lambda: self.log)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return " notice: ready" in self.log

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def call(self, method: str, **params: object) -> Any:
        """Call a method of its control socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(30)
            control.connect(str(self.folder / "control.sock"))
            control.sendall(
                json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"
            )
            with control.makefile("rb") as answers:
                return json.loads(answers.readline())["result"]

    def sessions(self, **wanted: str) -> list[Row]:
        """List its sessions that are up."""
        rows: list[Row] = self.call("session.list", state="up", **wanted)["sessions"]
        return rows


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


Settle = Callable[..., Daemon]


@pytest.fixture
def settle(tmp_path: Path) -> Iterator[Settle]:
    """Give a function that copies an example, with some of its text replaced, as its README says to; no daemon outlives the test."""
    daemons: list[Daemon] = []

    def copy(name: str, replaced: Mapping[str, str] | None = None, file: str = "l2tpd.toml") -> Daemon:
        daemon = Daemon(tmp_path / name)
        daemon.folder.mkdir()
        text = (EXAMPLES / name / file).read_text()
        lines = f'[system]\ncontrol_socket = "{daemon.folder}/control.sock"\ndata_plane = "null"'
        for old, new in {"[system]": lines, **(replaced or {})}.items():
            assert 1 == text.count(old), f"{name} says {old} once"
            text = text.replace(old, new)
        daemon.config.touch(mode=0o600)
        daemon.config.write_text(text)
        daemons.append(daemon)
        return daemon

    yield copy
    for daemon in daemons:
        if daemon.process is not None:
            daemon.process.kill()
            daemon.process.wait()


@pytest.mark.parametrize("path", configurations(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_dry_run_passes(path: Path, settle: Settle) -> None:
    """`l2tpd -n` finds nothing wrong with any of them."""
    result = settle(path.parent.name, file=path.name).check()
    assert (0, "") == (result.returncode, result.stderr)
    assert ": correct: " in result.stdout


def test_the_readme_is_correct(tmp_path: Path) -> None:
    """The configuration that the README of the project shows has no mistake either."""
    daemon = Daemon(tmp_path)
    _, _, rest = (REPOSITORY / "README.md").read_text().partition("\n```toml\n")
    daemon.config.touch(mode=0o600)
    daemon.config.write_text(rest.partition("\n```\n")[0])
    result = daemon.check()
    assert (0, "") == (result.returncode, result.stderr)


@pytest.mark.parametrize("name", FOLDERS)
def test_each_has_its_steps(name: str) -> None:
    """Each folder has a README with commands, and the list of examples names it."""
    assert "    " in (EXAMPLES / name / "README.md").read_text()
    assert f"({name}/)" in (EXAMPLES / "README.md").read_text()


def test_client_and_lns_meet(settle: Settle) -> None:
    """The client's call comes up at the LNS, as a session that a peer of the entry `carrier` made, and all ends well."""
    port = free_port()
    lns = settle("ppp-lns", {'"0.0.0.0:1701"': f'"127.0.0.1:{port}"', '"192.0.2.0/24"': '"127.0.0.0/8"'})
    client = settle("ppp-client", {'"192.0.2.1:1701"': f'"127.0.0.1:{port}"'})
    lns.start()
    client.start()
    until(lambda: 1 == len(lns.sessions()) == len(client.sessions()), lambda: lns.log + client.log)
    (tunnel,) = lns.call("tunnel.list")["tunnels"]
    assert ("client.example", "network") == (tunnel["peer_host_name"], tunnel["origin"])
    assert "carrier" == lns.call("tunnel.show", tunnel=f"@{tunnel['id']}")["peer"]
    numbers = {
        lns.call("session.show", tunnel=f"@{tunnel['id']}", session=f"@{row['id']}")["call"]["calling_number"]
        for row in lns.sessions()
    }
    assert {"5550001"} == numbers
    assert [0, 0] == [client.stop(), lns.stop()]
    assert " error: " not in lns.log + client.log


def test_one_daemon_is_both(settle: Settle) -> None:
    """The middle is LNS of a branch and LAC of the provider at once; it does not dial out for a branch, since its roles forbid that."""
    port, middle_port = free_port(), free_port()
    provider = settle("ppp-lns", {'"0.0.0.0:1701"': f'"127.0.0.1:{port}"', '"192.0.2.0/24"': '"127.0.0.0/8"'})
    there = {'"0.0.0.0:1701"': f'"127.0.0.1:{middle_port}"', '"198.51.100.0/24"': '"127.0.0.0/8"'}
    middle = settle("lac-and-lns", {**there, '"192.0.2.1:1701"': f'"127.0.0.1:{port}"'})
    branch = settle(
        "ppp-client", {'"192.0.2.1:1701"': f'"127.0.0.1:{middle_port}"', '"change-me"': '"of the branches"'}
    )
    for daemon in (provider, middle, branch):
        daemon.start()
    until(
        lambda: (1, 1) == (len(middle.sessions(origin="local")), len(middle.sessions(origin="network"))),
        lambda: provider.log + middle.log + branch.log,
    )
    assert 1 == len(provider.sessions())
    branch.call(
        "session.create", tunnel="provider", name="dial", keys={"role": "lns", "called_number": "1", "persist": False}
    )
    until(lambda: "name=dial" in branch.log, lambda: branch.log)
    (line,) = (line for line in branch.log.splitlines() if "name=dial" in line)
    assert "session not set up" in line
    assert "we are no LAC towards this peer" in line
    assert [0, 0, 0] == [branch.stop(), middle.stop(), provider.stop()]
