"""Programs whose standard streams are full, closed, or read by nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from control.running import Daemon, program

CTL = ("-m", "l2tpctl")
WATCH = ("-c", "from l2tpctl.watch import main; main()")
EXAMPLE = "c802000c0000000000000000"

# Of each way to print one.
COMMANDS = [
    (CTL, ["--help"]),
    (CTL, ["decode", EXAMPLE]),
    (CTL, ["completion", "bash"]),
    (CTL, ["show", "system"]),
    (CTL, ["show", "tunnels"]),
    (CTL, ["list", "ppp", "--json"]),
    (CTL, ["top", "-n", "1"]),
    (WATCH, ["-cc"]),
]

# A program that becomes another one without a standard stream, whose number is in the environment.
CLOSED = (
    "import os, sys; os.close(int(os.environ['WITHOUT'])); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


@pytest.mark.parametrize(("start", "words"), COMMANDS, ids="-".join)
def test_a_full_output(daemon: Daemon, start: tuple[str, ...], words: list[str]) -> None:
    """A sentence and status 1, whatever there was to print, and whoever prints it."""
    with Path("/dev/full").open("w") as full:
        done = program(*start, *words, stdout=full.fileno(), L2TPD_SOCKET=str(daemon.path))
    name = "l2tpwatch" if start is WATCH else "l2tpctl"
    assert (1, f"{name}: cannot write to standard output: No space left on device\n") == (done.returncode, done.stderr)


def test_an_output_that_is_closed(daemon: Daemon) -> None:
    """Who has something to print says that it cannot; who has nothing to print does its work."""
    shown, deleted = (
        program("-c", CLOSED, *CTL, *words, L2TPD_SOCKET=str(daemon.path), WITHOUT="1")
        for words in (["show", "tunnels"], ["delete", "tunnel", "hq1"])
    )
    text = "l2tpctl: cannot write to standard output: Bad file descriptor\n"
    assert (1, text) == (shown.returncode, shown.stderr)
    assert (0, "") == (deleted.returncode, deleted.stderr)
    assert [("delete tunnel", 7, "")] == daemon.double.asked


@pytest.mark.parametrize("words", [["show", "tunnels"], ["show", "system", "--json"], ["--help"]])
def test_an_output_that_nobody_reads(daemon: Daemon, words: list[str]) -> None:
    """Whoever read has seen enough: not a word, but not a good end either."""
    reading, writing = os.pipe()
    os.close(reading)
    done = program(*CTL, *words, stdout=writing, L2TPD_SOCKET=str(daemon.path))
    os.close(writing)
    assert (1, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["hash-password"], "cannot read standard input: Bad file descriptor"),
        (["decode", "-"], "[Errno 9] Bad file descriptor"),
    ],
)
def test_an_input_that_is_closed(words: list[str], text: str) -> None:
    """It is told as any other failure."""
    done = program("-c", CLOSED, *CTL, *words, WITHOUT="0")
    assert (1, "", f"l2tpctl: {text}\n") == (done.returncode, done.stdout, done.stderr)
