"""`l2tpctl capture`: what it asks the daemon for, when it ends, and how it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import Result

from control.running import Daemon
from l2tpctl.capture import octets
from l2tpctl.captures import datagrams
from l2tpd.bus import Queue
from l2tpd.config.model import Address, Encapsulation
from l2tpd.passed import Passed
from l2tpd.wire.header import build_control

HELLO = build_control(7, 0, 3, 4, bytes.fromhex("8008 0000 0000 0006"))
PASSED = Passed(
    1000.25,
    "in",
    HELLO,
    Address("192.0.2.2", 1701),
    Address("192.0.2.1", 1701),
    Encapsulation.UDP,
    7,
    "hq1",
    b"",
)

Program = subprocess.Popen[bytes]
Start = Callable[..., Program]
Run = Callable[..., Result]


@pytest.fixture
def start(daemon: Daemon) -> Iterator[Start]:
    """Start a capture and wait until the daemon knows it."""
    running: list[Program] = []

    def begin(*words: str) -> Program:
        roots = [str(Path(__file__).parents[2] / part) for part in ("", "cli")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots), "L2TPD_SOCKET": str(daemon.path)}
        argv = [sys.executable, "-m", "l2tpctl", "capture", *words]
        running.append(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment))
        deadline = time.monotonic() + 60
        while len(queues(daemon)) < len(running):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return running[-1]

    yield begin
    for program in running:
        program.kill()
        program.communicate()


def queues(daemon: Daemon) -> list[Queue[Passed]]:
    found: list[Queue[Passed]] = daemon.do(lambda: list(daemon.double.tap.subscribers))
    return found


def told(daemon: Daemon, *numbers: int) -> None:
    for number in numbers:
        daemon.do(daemon.double.tap.offer, PASSED._replace(time=float(number)))


def ended(program: Program) -> tuple[int, str, str]:
    """Wait for its end; returns status and what it printed."""
    out, err = program.communicate(timeout=60)
    return program.returncode, out.decode(), err.decode()


def times(content: bytes) -> list[float | None]:
    return [found.time for found in datagrams(content, frozenset({1701}))]


# --- when it ends


def test_it_ends_after_so_many_messages(start: Start, daemon: Daemon, tmp_path: Path) -> None:
    """`-c 2` writes two messages of three, and says so on standard error."""
    program = start("-w", str(tmp_path / "out"), "-c", "2")
    told(daemon, 1, 2, 3)
    assert (0, "", "2 control messages captured\n") == ended(program)
    assert [1.0, 2.0] == times((tmp_path / "out").read_bytes())


def test_it_ends_with_the_daemon(start: Start, daemon: Daemon, tmp_path: Path) -> None:
    """That is a good end, unless more messages were waited for."""
    enough, more = start("-w", str(tmp_path / "a")), start("-w", str(tmp_path / "b"), "-c", "9", "--json")
    daemon.stop()
    assert (0, "", "0 control messages captured\n") == ended(enough)
    status, out, err = ended(more)
    assert (1, {"captured": 0, "lost": 0}, "") == (status, json.loads(out), err)


def test_it_ends_by_control_c(start: Start, daemon: Daemon, tmp_path: Path) -> None:
    """What was captured is in the file, and said."""
    program, file = start("-w", str(tmp_path / "out")), tmp_path / "out"
    told(daemon, 1)
    deadline = time.monotonic() + 60
    while not file.exists() or not file.stat().st_size or not times(file.read_bytes()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    program.send_signal(signal.SIGINT)
    assert (0, "", "1 control messages captured\n") == ended(program)


def test_standard_output(start: Start, daemon: Daemon) -> None:
    """`-w -` writes the capture there, and nothing else."""
    program = start("-w", "-", "-c", "1", "--json")
    told(daemon, 5)
    out, err = program.communicate(timeout=60)
    assert (0, [5.0], {"captured": 1, "lost": 0}) == (program.returncode, times(out), json.loads(err))


def test_a_reader_who_has_seen_enough(start: Start, daemon: Daemon) -> None:
    """When whoever reads our output is gone, we end without a word."""
    program = start("-w", "-")
    assert program.stdout is not None
    program.stdout.close()
    program.stdout = None
    told(daemon, 1)
    _, err = program.communicate(timeout=60)
    assert (0, b"") == (program.returncode, err)


def test_what_was_lost_is_said(start: Start, daemon: Daemon, tmp_path: Path) -> None:
    """At the end, with the number."""
    program = start("-w", str(tmp_path / "out"), "-c", "3")

    def overrun() -> None:
        (queue,) = daemon.double.tap.subscribers
        queue.size = 0
        daemon.double.tap.offer(PASSED)
        daemon.double.tap.offer(PASSED)
        queue.size = 50
        for _ in range(3):
            daemon.double.tap.offer(PASSED)

    daemon.do(overrun)
    status, _, err = ended(program)
    assert (0, "3 control messages captured; 2 were lost: they came faster than they were written\n") == (status, err)


# --- what is captured


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), [7, 12, 300, 0]),
        (("hq1",), [7]),
        (("hq1", "@300"), [7, 300]),
        (("--peer", "192.0.2.9"), [0]),
        (("hq1", "--peer", "192.0.2.8/30"), [7, 0]),
        (("--peer", "2001:db8::/32"), []),
    ],
)
def test_whose_messages(
    start: Start, daemon: Daemon, tmp_path: Path, words: tuple[str, ...], wanted: list[int]
) -> None:
    """Tunnels by name or id, peers by address or prefix, and all of them when nothing is said."""
    start(*words, "-w", str(tmp_path / "out"))
    (queue,) = queues(daemon)
    assert queue.wants is not None
    rows = [(7, "hq1", "192.0.2.1"), (12, "hq2", "192.0.2.1"), (300, "", "192.0.2.1"), (0, "", "192.0.2.9")]
    passed = [PASSED._replace(tunnel_id=row[0], name=row[1], peer=Address(row[2], 1701)) for row in rows]
    assert wanted == [one.tunnel_id for one in passed if queue.wants(one)]


# --- how it fails


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("hq9", "-w", "-"), "no tunnel is called `hq9` (there are: hq1, hq2)"),
        (("@8", "-w", "-"), "no tunnel has the id 8"),
        (("--peer", "lac9", "-w", "-"), "`peers`: `lac9` is neither a numeric address nor a prefix"),
        (("-w", "/nonexistent/out"), "cannot write /nonexistent/out: No such file or directory"),
        (("-w", "/dev/full"), "cannot write /dev/full: No space left on device"),
    ],
)
def test_a_failure_is_a_sentence(run: Run, words: tuple[str, ...], sentence: str) -> None:
    """On standard error, with status 1, and no traceback."""
    result = run("capture", *words)
    assert 1 == result.exit_code
    assert result.stderr.startswith(f"l2tpctl: {sentence}")


@pytest.mark.parametrize(
    "words",
    [(), ("-w", "out", "-W", "2"), ("-w", "-", "-C", "1"), ("-w", "out", "-C", "x"), ("-w", "out", "-c", "0")],
)
def test_a_mistake_on_the_command_line(run: Run, words: tuple[str, ...]) -> None:
    """No file, a ring without a size, standard output in files, a size that is none."""
    assert 2 == run("capture", *words).exit_code


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("3", 3_000_000), ("64k", 65536), ("1M", 1 << 20), ("2g", 2 << 30)]
)
def test_sizes(text: str, size: int) -> None:
    """As tcpdump has them."""
    assert size == octets(click.Context(click.Command("x")), click.Option(["-C"]), text)


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5", "0k", "1t", "٣"])
def test_no_sizes(text: str) -> None:
    """Everything else is refused."""
    with pytest.raises(click.BadParameter):
        octets(click.Context(click.Command("x")), click.Option(["-C"]), text)
