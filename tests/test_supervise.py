from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from l2tpd import log
from l2tpd.supervise import contain, contained, crashes, goodbye, keep, welcome


class Bug(Exception):
    """What no code of ours expects."""


async def crash() -> None:
    """Fail as a bug in a task would."""
    await trio.lowlevel.checkpoint()
    raise Bug("broken \x1b[31m")


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Log into the ring only, which starts empty."""
    log.configure("info")
    log.ring.clear()


async def test_a_crash_ends_one_task_alone() -> None:
    """The neighbour of a crashed task runs on; the crash is counted, reported with its exceptions, and its traceback logged once."""
    before = crashes["tunnel"]
    reported: list[ExceptionGroup[Exception]] = []
    neighbour = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: contain("tunnel 5", crash, on_crash=reported.append, kind="tunnel"))
        await trio.testing.wait_all_tasks_blocked()
        neighbour.set()
    assert neighbour.is_set()
    assert before + 1 == crashes["tunnel"]
    assert [Bug] == [type(error) for group in reported for error in group.exceptions]
    text = "\n".join(line.text for line in log.ring.lines())
    assert 1 == text.count("tunnel 5 crashed")
    assert 1 == text.count("Traceback (most recent call last)")
    assert "broken \\x1b[31m" in text


async def test_without_a_crash_nothing_is_said() -> None:
    """A task that simply returns is not reported."""
    reported: list[object] = []
    await contain("tunnel 5", trio.lowlevel.checkpoint, on_crash=reported.append)
    assert [] == reported
    assert [] == log.ring.lines()


async def test_cancellation_passes_even_while_a_bug_unwinds() -> None:
    """A nursery that holds both a bug and Cancelled gives up the bug here and lets the cancellation through."""
    reported: list[ExceptionGroup[Exception]] = []

    async def cancelled_bug() -> None:
        outer.cancel()
        raise Bug

    async def crash_while_cancelled() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 1000)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(cancelled_bug)

    with trio.CancelScope() as outer:
        await contain("tunnel 5", crash_while_cancelled, on_crash=reported.append)
        await trio.lowlevel.checkpoint()
        pytest.fail("the cancellation was swallowed")
    assert outer.cancelled_caught
    assert 1 == len(reported)


async def test_a_failing_cleanup_does_not_break_the_boundary() -> None:
    """An exception of on_crash is logged and contained as well."""

    def cleanup(group: ExceptionGroup[Exception]) -> None:
        raise ZeroDivisionError

    await contain("tunnel 5", crash, on_crash=cleanup)
    assert any("cleaning up after tunnel 5 failed" in line.text for line in log.ring.lines())


async def test_what_serves_everybody_begins_anew(mock_clock: MockClock) -> None:
    """A second after each crash, and after an end that should not have come; a cancellation ends it."""
    mock_clock.autojump_threshold = 0
    began: list[float] = []

    async def serve() -> None:
        began.append(trio.current_time())
        if len(began) < 4:
            await crash()

    start = trio.current_time()
    with trio.move_on_after(4.5) as scope:
        await keep("the service", serve, kind="service")
    assert scope.cancelled_caught
    assert [0, 1, 2, 3, 4] == [round(when - start) for when in began]
    assert 3 == crashes["service"]


def test_a_bug_of_a_block_stays_there() -> None:
    """It is counted and logged with its traceback; what is no bug but a blow passes."""
    before = crashes["block"]

    def fail(error: type[BaseException]) -> None:
        raise error

    with contained("the block", kind="block"):
        fail(Bug)
    assert before + 1 == crashes["block"]
    text = "\n".join(line.text for line in log.ring.lines())
    assert all(text.count(part) == 1 for part in ("the block crashed", "Traceback"))
    with pytest.raises(KeyboardInterrupt), contained("the block", kind="block"):
        fail(KeyboardInterrupt)
    assert before + 1 == crashes["block"]


async def test_goodbye_outlives_a_cancellation_until_its_deadline(mock_clock: MockClock) -> None:
    """A cancelled task may still talk to its peer, for five seconds and no longer."""
    mock_clock.autojump_threshold = 0
    said = []
    with trio.CancelScope() as outer:
        outer.cancel()
        try:
            await trio.sleep(1)
        finally:
            with goodbye(5) as scope:
                said.append("StopCCN")
                await trio.sleep(4)
                said.append("StopCCN again")
                await trio.sleep(4)
                said.append("too late")
    assert ["StopCCN", "StopCCN again"] == said
    assert scope.cancelled_caught


class Tired:
    """A socket that listens, and whose system has run out of things at first."""

    def __init__(self, listener: trio.socket.SocketType, *errors: int) -> None:
        self.listener = listener
        self.errors = list(errors)

    async def accept(self) -> Any:
        if self.errors:
            raise OSError(self.errors.pop(), "accept")
        return await self.listener.accept()


async def test_who_connects_while_nothing_is_left_is_served_later(autojump_clock: MockClock) -> None:
    """Neither that nor a client that left too early ends the server; the log says once for how long somebody waits, and a bug ends one client alone."""
    before = crashes["guest"]

    async def serve(stream: trio.SocketStream) -> None:
        if await stream.receive_some() == b"bug":
            await crash()
        await stream.send_all(b"welcome")

    with socket.socket() as plain:
        plain.setblocking(False)
        plain.bind(("127.0.0.1", 0))
        plain.listen()
        tired: Any = Tired(trio.socket.from_stdlib_socket(plain), *[errno.EMFILE] * 100, errno.ECONNABORTED)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(welcome, tired, "guest", serve, nursery)
            for said, answer in ((b"bug", b""), (b"hello", b"welcome")):
                async with await trio.open_tcp_stream(*plain.getsockname()) as stream:
                    await stream.send_all(said)
                    assert answer == await stream.receive_some()
            nursery.cancel_scope.cancel()
    assert before + 1 == crashes["guest"]
    assert 1 == sum("a guest has to wait" in line.text for line in log.ring.lines())
