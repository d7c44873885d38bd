"""The server under test: our daemon with the configuration of a benchmark, or any other command."""

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_WITHIN = 30.0
STOP_WITHIN = 15.0
LOG_TAIL = 20

CONFIG = """\
[system]
hostname = "bench.example"
data_plane = "{plane}"
control_socket = "{directory}/control.sock"
script_directory = "{directory}/scripts"
log_level = "warning"

[[listen]]
address = "127.0.0.1:{port}"
encap = "udp"

[peer.default]
accept = true
roles = ["lac", "lns"]
{secret}tunnel_profile = "default"
session_profile = "default"

[profile.tunnel.default]
hello_timeout = 60
receive_window = 128

[profile.session.default]
"""

TUNNEL = """
[tunnel.t{number}]
peer = "127.0.0.1:{lns}"
version = "l2tpv2"
encap = "udp"
"""

SESSION = """
[tunnel.t{number}.session.s{session}]
pseudowire = "ppp"
"""


class ServerError(RuntimeError):
    """The server did not start, or died."""


@dataclass(slots=True, kw_only=True)
class Server:
    """A running server and what it left behind when it stopped."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    control: Path | None = None
    stop_seconds: float = 0.0
    exit_status: int | None = None

    @property
    def pid(self) -> int:
        """The process that is measured."""
        return self.process.pid

    def stop(self) -> None:
        """Ask it to end, ask again, and in the end kill it."""
        began = time.monotonic()
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.exit_status = self.process.wait(STOP_WITHIN)
                break
        self.stop_seconds = time.monotonic() - began

    def tracebacks(self) -> int:
        """Count the tracebacks in what it wrote."""
        return self.log.read_text(errors="replace").count("Traceback (most recent call last)")

    def tail(self) -> str:
        """Return the last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:])

    def left_over(self) -> dict[str, int]:
        """Ask our daemon how many tunnels and sessions it lists as up."""
        if self.control is None:
            return {}
        return {name: _up(ask(self.control, f"{name}.list")) for name in ("tunnel", "session")}


def _up(result: object) -> int:
    rows = result if isinstance(result, list) else next((v for v in dict_values(result) if isinstance(v, list)), [])
    return sum(isinstance(row, dict) and row.get("state") == "up" for row in rows)


def dict_values(value: object) -> list[object]:
    """Return the values of a JSON object, nothing of anything else."""
    return list(value.values()) if isinstance(value, dict) else []


def ask(control: Path, method: str) -> object:
    """Call one method of the control socket (JSON-RPC 2.0, one message a line); raises `ServerError` on an error answer."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(START_WITHIN)
        sock.connect(str(control))
        sock.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).encode() + b"\n")
        with sock.makefile("rb") as lines:
            answer = json.loads(lines.readline())
    if "error" in answer:
        raise ServerError(f"{method}: {answer['error']}")
    result: object = answer["result"]
    return result


def free_port() -> int:
    """Find a UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def pinned(cpu: int) -> Iterator[None]:
    """Let processes started inside run on processor `cpu` only, where the machine has it."""
    before = os.sched_getaffinity(0)
    if cpu in before:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """What our daemon opens as a LAC: `tunnels` with `sessions` each, to the LNS on loopback at `port`."""

    port: int
    tunnels: int
    sessions: int

    def toml(self) -> Iterator[str]:
        """Yield the configuration of each tunnel and session."""
        for number in range(self.tunnels):
            yield TUNNEL.format(number=number, lns=self.port)
            yield from (SESSION.format(number=number, session=session) for session in range(self.sessions))


def configuration(
    directory: Path, port: int, secret: str = "", calls: Calls | None = None, plane: str = "null", more: str = ""
) -> str:
    """Write the configuration of a benchmark, `more` at its end."""
    line = f"secret = {json.dumps(secret)}\n" if secret else ""
    text = CONFIG.format(directory=directory, port=port, secret=line, plane=plane)
    return text + "".join(calls.toml() if calls else ()) + more


def start(
    directory: Path,
    *,
    cpu: int,
    secret: str = "",
    calls: Calls | None = None,
    plane: str = "null",
    module: str = "l2tpd",
    more: str = "",
) -> Server:
    """Start our daemon on a free port and wait until it says READY=1; with `calls` it is a LAC as well, with `more` more is configured."""
    port = free_port()
    (directory / "scripts").mkdir(exist_ok=True)
    config = directory / "l2tpd.toml"
    config.write_text(configuration(directory, port, secret, calls, plane, more))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(directory / "notify.sock"))
        notify.settimeout(0.2)
        server = _spawn([sys.executable, "-m", module, "-f", "-c", str(config)], directory, port, cpu)
        server.control = directory / "control.sock"
        _await_ready(server, notify)
    return server


def start_other(directory: Path, command: str, port: int, *, cpu: int, settle: float) -> Server:
    """Start any other server with `command`, `{port}` in it replaced, and give it `settle` seconds."""
    port = port or free_port()
    server = _spawn(shlex.split(command.replace("{port}", str(port))), directory, port, cpu)
    time.sleep(settle)
    _check_alive(server)
    return server


def _spawn(command: Sequence[str], directory: Path, port: int, cpu: int) -> Server:
    log = directory / "log"
    path = os.pathsep.join(
        [str(ROOT), str(ROOT / "cli"), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    environment = os.environ | {"NOTIFY_SOCKET": str(directory / "notify.sock"), "PYTHONPATH": path}
    with log.open("wb") as output, pinned(cpu):
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    return Server(process=process, port=port, log=log)


def _await_ready(server: Server, notify: socket.socket) -> None:
    end = time.monotonic() + START_WITHIN
    while time.monotonic() < end:
        _check_alive(server)
        with contextlib.suppress(TimeoutError):
            if b"READY=1" in notify.recv(4096).split(b"\n"):
                return
    server.stop()
    raise ServerError(f"not ready within {START_WITHIN:g} s:\n{server.tail()}")


def _check_alive(server: Server) -> None:
    if server.process.poll() is not None:
        raise ServerError(f"ended with status {server.process.returncode}:\n{server.tail()}")
