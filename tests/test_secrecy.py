"""No secret in any log: two daemons that say all that they can, through all that has to do with a secret, and what they have said is searched."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

import taps
from l2tpd.trace import WORDS

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"NO LOG IS SEARCHED FOR SECRETS: {taps.why_not()}")

SHARED, WRONG, LATER, CREATED = "tunnel-hush-1", "tunnel-hush-2", "tunnel-hush-3", "tunnel-hush-4"
PASSWORD, MISTAKEN = "ppp-hush-5", "ppp-hush-6"
SECRETS = (SHARED, WRONG, LATER, CREATED, PASSWORD, MISTAKEN)
SYSTEM = """
[system]
control_socket = "{path}/{name}.sock"
script_directory = "{path}"
data_plane = "user"
log_level = "debug"
trace = ["all"]
stop_timeout = 2
"""
LNS = f"""
[[listen]]
address = "127.0.0.1:1701"
[peer.default]
secret = "{SHARED}"
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "subscribers"
auth = "pap"
authority = "users"
[user.alice]
password = "{PASSWORD}"
[pool.subscribers]
range = "10.9.0.2-10.9.0.9"
"""
TUNNEL = """
[tunnel.{name}]
peer = "127.0.0.1:1701"
version = "{version}"
secret = "{secret}"
hide_avps = true
retry_timeout = 0.2
max_retries = 1
redial_delay = 0.2
redial_delay_max = 0.2
[tunnel.{name}.session.s]
user = "alice"
password = "{password}"
"""
PATIENCE = 30.0


@attrs.frozen
class Said:
    """A running daemon, its log, and what it has answered."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]
    printed: list[str] = attrs.field(factory=list)

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text()

    def ask(self, method: str, **params: object) -> None:
        """Call a method of the control socket, whatever comes of it."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.folder / f"{self.name}.sock"))
            client.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
            with client.makefile() as lines:
                self.printed.append(lines.readline())

    def until(self, text: str, times: int = 1) -> None:
        """Wait for the log to have a text so many times."""
        deadline = time.monotonic() + PATIENCE
        while self.log.count(text) < times:
            assert time.monotonic() < deadline, f"{text} is not in {self.log[-5000:]}"
            time.sleep(0.05)

    def end(self) -> None:
        """Have it stop politely."""
        self.process.terminate()
        assert 0 == self.process.wait(PATIENCE)


def environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def write(folder: Path, name: str, text: str) -> Path:
    """Write a configuration that only its owner can read."""
    path = folder / f"{name}.toml"
    path.touch(0o600)
    path.write_text(SYSTEM.format(path=folder, name=name) + text)
    return path


def calls(secret: str) -> str:
    """Return the tunnels of the client: right in both versions, with a wrong secret, and with a wrong password."""
    tunnels = (
        ("v2", "l2tpv2", secret, PASSWORD),
        ("v3", "l2tpv3", secret, PASSWORD),
        ("wrong", "l2tpv2", WRONG, PASSWORD),
        ("mistaken", "l2tpv2", secret, MISTAKEN),
    )
    return "".join(
        TUNNEL.format(name=name, version=version, secret=key, password=password)
        for name, version, key, password in tunnels
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str, str], Said]]:
    """Start daemons in a network namespace of their own."""
    with ExitStack() as stack:
        stack.enter_context(taps.namespace())

        def begin(name: str, text: str) -> Said:
            command = [sys.executable, "-m", "l2tpd", "-f", "-c", str(write(tmp_path, name, text))]
            with (tmp_path / f"{name}.log").open("wb") as log:
                process = stack.enter_context(subprocess.Popen(command, env=environment(), stderr=log))
            stack.callback(process.kill)
            said = Said(name, tmp_path, process)
            said.until("notice: ready")
            return said

        yield begin


def test_no_secret_is_ever_logged(start: Callable[[str, str], Said], tmp_path: Path) -> None:
    """Set-up with the right and the wrong secret and password, hidden and signed messages, a reload, a dump, and all that shows something."""
    lns = start("lns", LNS)
    client = start("client", calls(SHARED))
    client.until("session up", 2)
    client.until("tunnel not opened")
    lns.until("session down")
    write(tmp_path, "client", calls(LATER))
    for method in ("config.plan", "config.reload", "config.show", "profiles.list", "log.show"):
        client.ask(method)
    client.ask("session.show", tunnel="v3", session="s")
    client.ask("tunnel.create", name="x", keys={"peer": "127.0.0.1:1701", "secret": CREATED})
    client.ask("tunnel.create", name="y", keys={"peer": "127.0.0.1:1701", "secret": CREATED, "no_such_key": 1})
    client.ask("session.create", tunnel="v3", name="x", keys={"user": "bob", "password": MISTAKEN})
    for method in ("config.show", "peers.list", "log.show"):
        lns.ask(method)
    for daemon in (lns, client):
        daemon.process.send_signal(signal.SIGUSR2)
    client.end()
    lns.end()
    said = "".join((lns.log, client.log, *lns.printed, *client.printed))
    unheard = {word for word in WORDS if f"{word.upper()}: " not in said} - {"all"}
    assert "secret (a secret) -> (a secret)" in said
    assert set() == unheard, "it was not that noisy"
    for secret in SECRETS:
        forms = (
            secret,
            secret.encode().hex(),
            secret.encode().hex().upper(),
            base64.b64encode(secret.encode()).decode(),
        )
        assert [] == [form for form in forms if form in said], secret
