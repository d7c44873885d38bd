from __future__ import annotations

import os
import signal
import socket

import pytest
import trio
import trio.testing

from l2tpd.errors import StartupError
from l2tpd.signals import watch, watch_input
from l2tpd.supervise import crashes


class Calls:
    """Keeps what the signals asked for, and lets a test wait for it."""

    def __init__(self) -> None:
        self.send, self._receive = trio.open_memory_channel[str](100)

    def stop(self, now: bool) -> None:
        self.send.send_nowait("stop now" if now else "stop")

    def say(self, word: str) -> None:
        self.send.send_nowait(word)

    async def next(self) -> str:
        with trio.fail_after(30):
            return await self._receive.receive()


async def watching(calls: Calls, nursery: trio.Nursery) -> None:
    """Start the watch; once this returns no signal may be missed."""
    say = calls.say
    await nursery.start(watch, calls.stop, lambda: say("reload"), lambda: say("reopen"), lambda: say("dump"))


async def test_each_signal_has_its_meaning() -> None:
    """HUP reloads, USR1 reopens the log, USR2 dumps; a signal sent at once after the start is served."""
    calls = Calls()
    async with trio.open_nursery() as nursery:
        await watching(calls, nursery)
        for number, word in ((signal.SIGHUP, "reload"), (signal.SIGUSR1, "reopen"), (signal.SIGUSR2, "dump")):
            os.kill(os.getpid(), number)
            assert word == await calls.next()
        nursery.cancel_scope.cancel()


async def test_the_second_request_to_stop_is_urgent() -> None:
    """The first TERM or INT is polite; any further one, of either kind, means at once. Other signals in between change nothing."""
    calls = Calls()
    async with trio.open_nursery() as nursery:
        await watching(calls, nursery)
        said = []
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
            said.append(await calls.next())
        assert ["stop", "reload", "stop now", "stop now"] == said
        nursery.cancel_scope.cancel()


async def test_a_bug_in_what_a_signal_asks_for() -> None:
    """It is nobody else's: the next signal is served."""
    calls, before = Calls(), crashes["signal"]

    def bug() -> None:
        raise ZeroDivisionError

    async with trio.open_nursery() as nursery:
        await nursery.start(watch, calls.stop, lambda: calls.say("reload"), bug, bug)
        for count, number in enumerate((signal.SIGUSR1, signal.SIGUSR2), 1):
            os.kill(os.getpid(), number)
            with trio.fail_after(30):
                while crashes["signal"] < before + count:
                    await trio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGHUP)
        assert "reload" == await calls.next()
        nursery.cancel_scope.cancel()


async def test_the_former_meaning_returns_with_the_end_of_the_watch() -> None:
    """After the watch was cancelled the signals are what they were."""
    before = signal.getsignal(signal.SIGTERM)
    async with trio.open_nursery() as nursery:
        await watching(Calls(), nursery)
        assert before != signal.getsignal(signal.SIGTERM)
        nursery.cancel_scope.cancel()
    assert before == signal.getsignal(signal.SIGTERM)


async def test_the_end_of_the_input_is_a_request_to_stop() -> None:
    """What comes before it is dropped."""
    calls = Calls()
    reading, writing = os.pipe()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_input, calls.stop, reading)
            os.write(writing, b"x" * 10_000)
            await trio.testing.wait_all_tasks_blocked()
            assert 1 == len(nursery.child_tasks)
            os.close(writing)
            assert "stop" == await calls.next()
    finally:
        os.close(reading)


async def test_an_input_that_breaks_off() -> None:
    """That is an end like any other: it is no reason to stop otherwise than politely."""
    calls = Calls()
    ours, theirs = socket.socketpair()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_input, calls.stop, ours.fileno())
            await trio.testing.wait_all_tasks_blocked()
            ours.send(b"what nobody reads")
            theirs.close()
            assert "stop" == await calls.next()


async def test_an_input_that_others_read_too() -> None:
    """Who finds nothing there waits for more."""
    calls = Calls()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    again = os.dup(reading)
    try:
        async with trio.open_nursery() as nursery:
            for descriptor in (reading, again):
                nursery.start_soon(watch_input, calls.stop, descriptor)
            await trio.testing.wait_all_tasks_blocked()
            os.write(writing, b"x")
            await trio.testing.wait_all_tasks_blocked()
            assert 2 == len(nursery.child_tasks)
            os.close(writing)
            assert ["stop", "stop"] == [await calls.next(), await calls.next()]
    finally:
        os.close(reading)
        os.close(again)


async def test_an_input_without_an_end_to_wait_for() -> None:
    """That of a file is no event; it is said what it was wanted for."""
    file = os.open(os.devnull, os.O_RDONLY)
    try:
        with pytest.raises(StartupError, match="--stop-at-eof: standard input"):
            await watch_input(lambda _: pytest.fail("it has not ended"), file)
    finally:
        os.close(file)
