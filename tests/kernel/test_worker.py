"""The thread that blocks, so that the event loop does not."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from types import FrameType
from typing import Any

import pytest
import trio
import trio.testing

from l2tpd.kernel import worker
from l2tpd.kernel.worker import Closer, Worker


@pytest.fixture(name="thread")
def made() -> Iterator[Worker]:
    """A thread."""
    with closing(Worker("test")) as opened:
        yield opened


async def test_one_thread_does_everything(thread: Worker) -> None:
    """All work is done in one thread, not in ours, in the order in which it came."""
    done: list[tuple[int, threading.Thread]] = []
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(thread.run, lambda number=number: done.append((number, threading.current_thread())))
    threads = {thread for _, thread in done}
    assert sorted(range(20)) == sorted(number for number, _ in done)
    assert 1 == len(threads)
    assert threading.current_thread() not in threads


async def test_several_threads() -> None:
    """There are as many as there is work at a time, but no more than were allowed; all of them end."""
    both, threads = threading.Barrier(2, timeout=60), set()

    def meets_another() -> None:
        both.wait()
        threads.add(threading.current_thread())

    with closing(Worker("test", 2)) as pool:
        first = [await pool.run(threading.current_thread) for _ in range(3)]
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(pool.run, meets_another)
    assert {first[0]} == set(first) < threads
    assert (2, [False, False]) == (len(threads), [thread.is_alive() for thread in threads])


async def test_what_comes_of_it(thread: Worker) -> None:
    """The result, or the exception, is the caller's, and does not end the thread."""
    assert "well" == await thread.run(lambda: "well")
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        await thread.run(sys.exit)
    assert "still there" == await thread.run(lambda: "still there")


async def test_what_is_done_at_once_where_there_is_one_processor() -> None:
    """It is done here, unless the thread has something to do, which may concern the same: then behind that."""
    gate, done = threading.Event(), list[tuple[str, bool]]()

    def work(name: str) -> None:
        done.append((name, threading.current_thread() is threading.main_thread()))

    async def hold() -> None:
        await alone.run(lambda: gate.wait(60) or pytest.fail("nobody let it go on"))

    async def ask(name: str) -> None:
        await alone.run(partial(work, name), at_once=True)

    with closing(Worker("test", alone=True)) as alone, closing(Worker("test", alone=False)) as beside:
        await ask("first")
        with pytest.raises(ZeroDivisionError):
            await alone.run(lambda: 1 // 0, at_once=True)
        await alone.run(partial(work, "not said to be quick"))
        await beside.run(partial(work, "beside others"), at_once=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask, "behind")
            await trio.testing.wait_all_tasks_blocked()
            gate.set()
    expected = [("first", True), ("not said to be quick", False), ("beside others", False), ("behind", False)]
    assert expected == done


async def test_others_run_meanwhile(thread: Worker) -> None:
    """While the thread blocks, until another task lets it go on, the event loop does not."""
    gate = threading.Event()

    async def lets_go() -> None:
        gate.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.run, lambda: gate.wait(60) or pytest.fail("the event loop stood still"))
        nursery.start_soon(lets_go)


async def test_the_loop_hears_of_all(thread: Worker) -> None:
    """What is done while the loop stands still, and after, wakes whoever waits for it."""
    done, heard = threading.Semaphore(0), list[int]()

    def work(number: int) -> int:
        done.release()
        return number

    async def asks(number: int) -> None:
        heard.append(await thread.run(partial(work, number)))

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(asks, number)
        await trio.testing.wait_all_tasks_blocked()
        assert all(done.acquire(timeout=60) for _ in range(3))  # the loop stands still
        nursery.start_soon(asks, 3)
    assert [0, 1, 2, 3] == sorted(heard)


async def test_two_threads_are_done_at_once() -> None:
    """Both tasks wake, also where two threads go through telling the loop line by line side by side."""
    done, tasks = worker._Done(), list[trio.lowlevel.Task]()
    abreast = threading.Barrier(2, timeout=60)

    def before_each_line(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is not worker._Done.tell.__code__:
            return None
        if event == "line":
            abreast.wait()
        return before_each_line

    def tell(task: trio.lowlevel.Task) -> None:
        sys.settrace(before_each_line)
        done.tell(task)
        sys.settrace(None)

    async def wait() -> None:
        tasks.append(trio.lowlevel.current_task())
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            threads = [threading.Thread(target=tell, args=(task,)) for task in tasks]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


async def test_what_has_begun_is_waited_for(thread: Worker) -> None:
    """Cancelled, the caller still gets the result; what was not handed over yet is not begun."""
    begun, gate, done = threading.Event(), threading.Event(), []

    def work() -> str:
        begun.set()
        assert gate.wait(60)
        done.append("work")
        return "result"

    async def cancels(scope: trio.CancelScope) -> None:
        while not begun.is_set():
            await trio.sleep(0.001)
        scope.cancel()
        gate.set()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancels, scope)
            assert "result" == await thread.run(work)
            await thread.run(lambda: done.append("late"))
    assert ["work"] == done


async def test_the_end() -> None:
    """What was handed over is done first, then the last work, in the same thread; after it nothing is taken; ending twice is fine."""
    thread = Worker("test")
    done: list[object] = [await thread.run(threading.current_thread)]
    thread.close(lambda: done.append(threading.current_thread()))
    thread.close()
    assert done[0] is done[1]
    assert 2 == len(done)
    assert isinstance(done[0], threading.Thread)
    assert not done[0].is_alive()
    with pytest.raises(RuntimeError, match="the thread `test` has ended"):
        await thread.run(lambda: None)


def test_a_socket_that_cannot_be_closed() -> None:
    """It is nobody else's loss: those after it are closed all the same."""
    broken, other = socket.socket(), socket.socket()
    os.close(broken.fileno())
    closer = Closer()
    closer.close([broken, other])
    closer.finish()
    assert -1 == other.fileno()


def test_nobody_is_left_to_hear_of_it() -> None:
    """Work whose event loop has ended meanwhile is done all the same, and what comes after it as well."""
    done: list[str] = []

    thread = Worker("test")

    async def hands_over() -> worker._Job[None]:
        return worker._Job(lambda: done.append("work"))

    thread._queue.put(trio.run(hands_over).carry_out)
    thread.close(lambda: done.append("last"))
    assert ["work", "last"] == done


def test_what_a_loop_has_for_all_workers_goes_with_it() -> None:
    """The descriptor by which threads tell it."""

    async def use() -> int:
        with closing(Worker("test")) as thread:
            await thread.run(lambda: None)
            return worker._done()._bell

    bell = trio.run(use)
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(bell)
