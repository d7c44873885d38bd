"""`l2tpctl top`: rates out of two samples, and the screens that are made of them."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import Result

from control.running import Daemon
from l2tpctl import top
from l2tpd.control.jsonrpc import Json

Run = Callable[..., Result]

SYSTEM: dict[str, Json] = {
    "version": "1.0",
    "hostname": "lns\x1b[2J",
    "uptime": 3600.0,
    "data_plane": "user",
    "drain": True,
    "tunnels_by_state": {"up": 2, "waiting": 1},
    "sessions_by_state": {},
}


def moved(number: int, rx: int, tx: int = 0) -> dict[str, Json]:
    return {
        "tunnel_id": 7,
        "id": number,
        "name": f"s{number}",
        "rx_bytes": rx,
        "tx_bytes": tx,
        "rx_packets": rx // 100,
        "tx_packets": 0,
    }


def sample(at: float, *traffic: dict[str, Json], sent: int = 0, data: int = 0, complete: bool = True) -> top.Sample:
    statistics: dict[str, Json] = {
        "counters": {"malformed": sent},
        "messages": [{"message": "SCCRQ", "sent": sent}, {"message": "HELLO", "sent": sent, "received": 4}],
        "data": {"rx_bytes": data, "tx_bytes": 0, "rx_packets": 0, "tx_packets": 0},
    }
    keyed: Any = {(row["tunnel_id"], row["id"]): row for row in traffic}
    return top.Sample(at=at, system=SYSTEM, statistics=statistics, traffic=keyed, complete=complete)


def test_rates_are_differences_over_time() -> None:
    """Of all message types together; by name for the daemon's own counters and the data plane's."""
    speed = top.rates(sample(10.0, sent=100, data=0), sample(12.0, sent=110, data=5000))
    assert (10.0, 0.0, 5.0, 2500.0) == tuple(
        speed[key] for key in ("messages_sent", "messages_received", "malformed", "data.rx_bytes")
    )


def test_counters_that_were_reset_meanwhile_do_not_run_backwards() -> None:
    """They have risen from 0 since."""
    assert 3.0 == top.rates(sample(0.0, sent=900), sample(1.0, sent=3))["malformed"]


def test_the_busiest_sessions_come_first() -> None:
    """By octets of both directions in between, not by what they moved before; one that is new counts from 0."""
    before = sample(0.0, moved(1, 10**9), moved(2, 0))
    after = sample(2.0, moved(1, 10**9 + 200), moved(2, 300, 500), moved(3, 1000))
    assert [(3, 500.0), (2, 150.0), (1, 100.0)] == [
        (row["id"], row["rx_bytes"]) for row in top.talkers(before, after, 9)
    ]
    assert [3] == [row["id"] for row in top.talkers(before, after, 1)]


def test_a_screen_says_what_is_going_on() -> None:
    """Head, states, rates, sessions; what comes from outside cannot steer the terminal, and what was left out is told."""
    told = top.document(sample(0.0, moved(1, 0)), sample(1.0, moved(1, 125_000), data=250_000, complete=False), 5)
    lines = top.screen(told)
    assert "l2tpd 1.0 on lns\\x1b[2J, up 01:00:00, data plane user, draining" == lines[0]
    assert ["tunnels  3: 2 up, 1 waiting", "sessions 0"] == lines[1:3]
    assert "data     in 2.00 Mbit/s, out 0 bit/s, 0.0 packets in/s, 0.0 packets out/s" == lines[4]
    assert ["7", "1", "-", "s1", "-", "1.00", "M", "0", "1.25", "k", "0"] == lines[-2].split()
    assert "first 2000" in lines[-1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 "), (999, "999 "), (1000, "1.00 k"), (123_456, "123 k"), (2.5e6, "2.50 M"), (7e12, "7000 G")],
)
def test_numbers_are_scaled(value: float, text: str) -> None:
    """Three digits or so, and the letter of their thousands."""
    assert text == top.scaled(value)


# --- against a daemon


def test_a_screen_is_printed_once_for_scripts(run: Run, daemon: Daemon) -> None:
    """Without a terminal it is plain text; with --json one document a screen."""
    daemon.double.moved = {1: {"rx_bytes": 10}, 5: {"tx_bytes": 10}}
    result = run("top", "-n", "1", "-i", "0.05")
    assert (0, "", False) == (result.exit_code, result.stderr, "\x1b" in result.stdout)
    assert [
        "control  0.0 sent/s, 0.0 received/s, 0.0 bad/s",
        "data     not counted by this data plane",
    ] == result.stdout.splitlines()[3:5]
    result = run("--json", "top", "-n", "2", "-i", "0.05", "-r", "1")
    first, second = map(json.loads, result.stdout.splitlines())
    assert (3, 1, True) == (first["tunnels_by_state"]["up"], len(second["sessions"]), second["complete"])


def test_more_sessions_than_are_looked_at(run: Run, daemon: Daemon) -> None:
    """Page after page as far as the limit; that there are more is told."""
    for number in range(10, 3000):
        daemon.double.add_session(12, number)
        daemon.double.moved[number] = {"rx_bytes": number}
    told = json.loads(run("--json", "top", "-n", "1", "-i", "0.05").stdout)
    assert (False, 20) == (told["complete"], len(told["sessions"]))


def test_without_a_daemon_there_is_a_sentence(run: Run, daemon: Daemon) -> None:
    """And status 1."""
    daemon.stop()
    result = run("top", "-n", "1")
    assert (1, f"l2tpctl: l2tpd is not running (no control socket at {daemon.path})\n") == (
        result.exit_code,
        result.stderr,
    )


@contextmanager
def on_a_terminal(*words: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run the program on a terminal of our own; yields our end of it."""
    ours, theirs = pty.openpty()
    roots = [str(Path(__file__).parents[2] / part) for part in ("", "cli")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots), "COLUMNS": "60", "LINES": "9"}
    with subprocess.Popen(
        [sys.executable, "-m", "l2tpctl", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        try:
            yield ours, process
        finally:
            process.kill()
            os.close(ours)


def read_until(descriptor: int, text: bytes) -> bytes:
    """Read what the program draws until it contains this."""
    seen, deadline = b"", time.monotonic() + 60
    while text not in seen:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, seen
        seen += os.read(descriptor, 65536)
    return seen


def test_on_a_terminal_screens_are_drawn_over_each_other(daemon: Daemon) -> None:
    """Every screen fits the terminal; Control-C is a good end and gives the terminal back as it was."""
    for number in range(10, 60):
        daemon.double.add_session(12, number)
        daemon.double.moved[number] = {"rx_bytes": number}
    with on_a_terminal("--socket", str(daemon.path), "top", "-i", "0.05") as (terminal, process):
        seen = read_until(terminal, b"\x1b[J\x1b[H")
        _, first, _ = seen.decode().split("\x1b[H", 2)
        lines = first.split("\r\n")[:-1]
        assert 8 == len(lines)
        assert max(len(line.removesuffix("\x1b[K")) for line in lines) <= 60
        assert seen.startswith(b"\x1b[?1049h\x1b[?25l")
        process.send_signal(signal.SIGINT)
        assert read_until(terminal, b"\x1b[?25h\x1b[?1049l")
        assert 0 == process.wait(20)


def test_whoever_is_killed_politely_gives_the_terminal_back(daemon: Daemon) -> None:
    """As timeout(1) does it; the status tells of the signal."""
    with on_a_terminal("--socket", str(daemon.path), "top", "-i", "0.05") as (terminal, process):
        read_until(terminal, b"\x1b[J\x1b[H")
        process.terminate()
        assert read_until(terminal, b"\x1b[?25h\x1b[?1049l")
        assert -signal.SIGTERM == process.wait(20)


@attrs.frozen
class Tmux:
    """A terminal multiplexer of our own, with one window."""

    program: str
    folder: Path

    def __call__(self, *words: str) -> str:
        environment = {
            **os.environ,
            "TMUX_TMPDIR": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        environment.pop("TMUX", None)
        command = [self.program, "-f", "/dev/null", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    def until(self, *texts: str, without: str = "\0") -> list[str]:
        """Wait for the window to show all these texts; return its lines."""
        deadline = time.monotonic() + 60
        while not all(text in (screen := self("capture-pane", "-p")) for text in texts) or without in screen:
            assert time.monotonic() < deadline, screen
            time.sleep(0.05)
        return screen.splitlines()


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    program = shutil.which("tmux")
    if program is None:
        pytest.skip("tmux is not installed")
    window = Tmux(program, tmp_path)
    try:
        yield window
    finally:
        window("kill-server")


def test_in_a_terminal_that_somebody_uses(daemon: Daemon, tmux: Tmux) -> None:
    """It goes with what happens and with the size of the window; Control-C leaves what was there before, and status 0."""
    for number in range(10, 40):
        daemon.double.add_session(12, number)
        daemon.double.moved[number] = {"rx_bytes": number}
    top = shlex.join([sys.executable, "-m", "l2tpctl", "--socket", str(daemon.path), "top", "-i", "0.1"])
    tmux("new-session", "-d", "-x", "100", "-y", "30", f"echo before; {top}; echo status $?; exec cat")
    wide = tmux.until("TunId", "12      29", without="before")
    daemon.do(lambda: daemon.double.set_drain(drain=True))
    tmux.until(", draining")
    tmux("resize-window", "-x", "60", "-y", "12")
    narrow = tmux.until("TunId", without="12      29")
    assert len(wide) <= 30
    assert len(narrow) <= 12
    assert max(map(len, narrow)) <= 60 < max(map(len, wide))
    tmux("send-keys", "C-c")
    assert ["before", "status 0"] == tmux.until("before", "status")[:2]
