"""Frames of many descriptors, of which one task hears."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
import trio
import trio.testing

from heap import small
from l2tpd import supervise
from l2tpd.kernel.pppframes import Ear, Frames


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    made = Ear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.serve)
        yield made
        nursery.cancel_scope.cancel()
    made.close()


def connected() -> tuple[socket.socket, int]:
    """Return a socket of whole frames, and the descriptor of its other end, which does not block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    return ours, theirs.detach()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, int]]:
    """A socket of whole frames: one end to use, and the descriptor of the other, which is the test's to close."""
    ours, descriptor = connected()
    with ours:
        yield ours, descriptor


async def test_frames_are_read_until_there_can_be_no_more(pair: tuple[socket.socket, int], ear: Ear) -> None:
    """An empty one is none, and no end; the end of the other side is."""
    ours, descriptor = pair
    for frame in (b"one", b"two"):
        ours.send(frame)
    ours.shutdown(socket.SHUT_WR)
    taken, frames = list[bytes](), Frames(descriptor, ear)
    with trio.fail_after(10), small():
        await frames.read(taken.append)
    assert [b"one", b"two"] == taken
    assert [descriptor] == frames.shut()
    assert [] == frames.shut()
    os.close(descriptor)


async def test_empty_frames_now_and_then(pair: tuple[socket.socket, int], ear: Ear) -> None:
    """However many come in the course of time, they are no end: at that, what is read is empty again and again."""
    ours, descriptor = pair
    taken, frames = list[bytes](), Frames(descriptor, ear)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(frames.read, taken.append)
            for _ in range(40):
                ours.send(b"")
                await trio.testing.wait_all_tasks_blocked(0.001)
            ours.send(b"frame")
            ours.shutdown(socket.SHUT_WR)
    assert [b"frame"] == taken
    os.close(frames.shut()[0])


async def test_who_reads_hears_of_the_end(pair: tuple[socket.socket, int], ear: Ear) -> None:
    """A descriptor that is shut is read no longer, neither by who waits nor by who comes later."""
    _, descriptor = pair
    taken, frames = list[bytes](), Frames(descriptor, ear)
    closed: list[bool] = []

    async def read() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await frames.read(taken.append)
        closed.append(True)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            os.close(frames.shut()[0])
        await read()
    assert [True, True] == closed


async def test_who_reads_no_longer_hears_nothing(pair: tuple[socket.socket, int], ear: Ear) -> None:
    """What comes after a reader was cancelled waits for the next one."""
    ours, descriptor = pair
    taken, frames = list[bytes](), Frames(descriptor, ear)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(frames.read, taken.append)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        ours.send(b"later")
        await trio.testing.wait_all_tasks_blocked()
        assert not taken
        ours.shutdown(socket.SHUT_WR)
        await frames.read(taken.append)
    assert [b"later"] == taken
    os.close(frames.shut()[0])


async def test_a_frame_that_ends_sessions(ear: Ear) -> None:
    """One frame has both sessions shut, its own and another that something waits for: neither is read any further."""
    with ExitStack() as stack, trio.fail_after(10):
        pairs = [connected() for _ in range(2)]
        both = [Frames(descriptor, ear) for _, descriptor in pairs]
        taken: list[bytes] = []

        def take(frame: bytes) -> None:
            taken.append(frame)
            for frames in both:
                for descriptor in frames.shut():
                    stack.callback(os.close, descriptor)

        async def read(frames: Frames) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await frames.read(take)

        for ours, _ in pairs:
            stack.enter_context(ours)
            for frame in (b"one", b"two"):
                ours.send(frame)
        async with trio.open_nursery() as nursery:
            for frames in both:
                nursery.start_soon(read, frames)
    assert [b"one"] == taken


async def test_many_frames_and_many_descriptors(ear: Ear) -> None:
    """More than are read in a turn, of either: every frame comes, in its order."""
    with ExitStack() as stack, trio.fail_after(60):
        taken: dict[int, list[bytes]] = {}
        async with trio.open_nursery() as nursery:
            for number in range(100):
                ours, descriptor = connected()
                stack.enter_context(ours)
                stack.callback(os.close, descriptor)
                for count in range(40):
                    ours.send(b"%d" % count)
                ours.shutdown(socket.SHUT_WR)
                taken[number] = []
                nursery.start_soon(Frames(descriptor, ear).read, taken[number].append)
    assert [[b"%d" % count for count in range(40)]] * 100 == list(taken.values())


async def test_a_bug_ends_the_reading_that_meets_it(pair: tuple[socket.socket, int], ear: Ear) -> None:
    """It is counted once, and others go on being heard."""
    before, (ours, descriptor) = supervise.crashes["link"], pair
    other, others = connected()
    taken: list[bytes] = []

    def fail(frame: bytes) -> None:
        raise ValueError(frame)

    with other, trio.fail_after(10):
        for sock in (ours, other):
            sock.send(b"frame")
        await Frames(descriptor, ear).read(fail)
        other.shutdown(socket.SHUT_WR)
        await Frames(others, ear).read(taken.append)
    os.close(descriptor)
    os.close(others)
    assert [b"frame"] == taken
    assert before + 1 == supervise.crashes["link"]
