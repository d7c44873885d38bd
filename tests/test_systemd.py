from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from l2tpd.systemd import Notifier, feed_watchdog, on_journal


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """Stand where systemd stands: a datagram socket, and the environment that names it."""
    name = f"@l2tpd-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if name.startswith("@") else name)
        sock.setblocking(False)
        yield sock, {"NOTIFY_SOCKET": name}


def test_a_service_says_ready_and_stopping(supervisor: tuple[socket.socket, dict[str, str]]) -> None:
    """Each notification is one datagram of assignments; a status is a single line whatever it is made from."""
    sock, environ = supervisor
    notifier = Notifier(environ)
    notifier.ready("2 tunnels\nREADY=0")
    assert b"READY=1\nSTATUS=2 tunnels READY=0" == sock.recv(500)
    notifier.ready()
    assert b"READY=1" == sock.recv(500)
    notifier.stopping()
    assert b"STOPPING=1" == sock.recv(500)
    notifier.alive()
    assert b"WATCHDOG=1" == sock.recv(500)
    notifier.status("idle")
    assert b"STATUS=idle" == sock.recv(500)


def test_a_reload_carries_the_monotonic_clock(supervisor: tuple[socket.socket, dict[str, str]]) -> None:
    """systemd orders notifications by MONOTONIC_USEC, the clock that it has itself."""
    sock, environ = supervisor
    before = time.monotonic_ns() // 1000
    Notifier(environ).reloading()
    said = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", sock.recv(500))
    assert said is not None
    assert before <= int(said[1]) <= time.monotonic_ns() // 1000


def test_without_a_supervisor_nothing_is_sent() -> None:
    """No NOTIFY_SOCKET: no error either."""
    Notifier({}).ready("up")
    assert Notifier({}).watchdog is None


def test_a_supervisor_that_is_gone_or_full_does_not_hurt(tmp_path: Path) -> None:
    """An undeliverable notification is dropped, and a full queue does not block."""
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(2000):
            notifier.alive()
        assert b"WATCHDOG=1" == sock.recv(500)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_only_if_addressed_to_us(environ: dict[str, str], seconds: float | None) -> None:
    """WATCHDOG_PID names another process when a wrapper was meant."""
    assert seconds == Notifier(environ).watchdog


async def test_the_watchdog_is_fed_twice_in_its_time(
    supervisor: tuple[socket.socket, dict[str, str]], mock_clock: trio.testing.MockClock
) -> None:
    """The first time at once, and for as long as the loop turns."""
    sock, environ = supervisor
    async with trio.open_nursery() as nursery:
        nursery.start_soon(feed_watchdog, Notifier(environ | {"WATCHDOG_USEC": "10000000"}))
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            assert b"WATCHDOG=1" == sock.recv(500)
            with pytest.raises(BlockingIOError):
                sock.recv(500)
            mock_clock.jump(5)
        nursery.cancel_scope.cancel()


def test_stderr_is_the_journal_where_systemd_says_so(tmp_path: Path) -> None:
    """The variable names the stream by device and inode, since a child may have put something else in its place."""
    with (tmp_path / "stream").open("w") as stream, (tmp_path / "other").open("w") as other:
        status = os.fstat(stream.fileno())
        said = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert on_journal(said, stream.fileno())
        assert not on_journal(said, other.fileno())
        assert not on_journal({}, stream.fileno())
        gone = stream.fileno()
    assert not on_journal(said, gone)


async def test_no_watchdog_takes_no_task(supervisor: tuple[socket.socket, dict[str, str]]) -> None:
    """Where systemd does not ask for it, it hears nothing, and nobody waits."""
    sock, environ = supervisor
    await feed_watchdog(Notifier(environ))
    with pytest.raises(BlockingIOError):
        sock.recv(500)
