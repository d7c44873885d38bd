"""Frames of many descriptors, of which one task hears."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
import trio.testing

from heap import small
from l2tpd import supervise
from l2tpd.kernel.pppframes import Ear, Frames


class Heard:
    """What was heard of a descriptor."""

    def __init__(self, descriptor: int, ear: Ear) -> None:
        """Listen to it."""
        self.taken: list[bytes] = []
        self.frames = Frames(descriptor, ear)
        self._over = trio.Event()
        self.listen()

    def listen(self) -> None:
        """Listen, anew."""
        self.frames.listen(self.taken.append, self._over.set)

    @property
    def ended(self) -> bool:
        """Tell whether we have heard that there can be no more."""
        return self._over.is_set()

    async def end(self) -> None:
        """Wait until then."""
        await self._over.wait()


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
    heard = Heard(descriptor, ear)
    with trio.fail_after(10), small():
        await heard.end()
    assert [b"one", b"two"] == heard.taken
    assert [descriptor] == heard.frames.shut()
    assert [] == heard.frames.shut()
    os.close(descriptor)


async def test_empty_frames_now_and_then(pair: tuple[socket.socket, int], ear: Ear) -> None:
    """However many come in the course of time, they are no end: at that, what is read is empty again and again."""
    ours, descriptor = pair
    heard = Heard(descriptor, ear)
    for _ in range(40):
        ours.send(b"")
        await trio.testing.wait_all_tasks_blocked(0.001)
    ours.send(b"frame")
    ours.shutdown(socket.SHUT_WR)
    with trio.fail_after(10):
        await heard.end()
    assert [b"frame"] == heard.taken
    os.close(heard.frames.shut()[0])


async def test_what_is_shut_is_heard_of_no_longer(pair: tuple[socket.socket, int], ear: Ear) -> None:
    """Whoever shuts a descriptor knows: nobody is told, neither of frames nor of the end."""
    ours, descriptor = pair
    heard = Heard(descriptor, ear)
    ours.send(b"one")
    ours.shutdown(socket.SHUT_WR)
    os.close(heard.frames.shut()[0])
    await trio.testing.wait_all_tasks_blocked(0.001)
    assert [] == heard.taken
    assert not heard.ended


async def test_who_listens_no_longer_hears_nothing(pair: tuple[socket.socket, int], ear: Ear) -> None:
    """What comes after a descriptor was muted waits for who listens next."""
    ours, descriptor = pair
    heard = Heard(descriptor, ear)
    await trio.testing.wait_all_tasks_blocked()
    heard.frames.mute()
    ours.send(b"later")
    await trio.testing.wait_all_tasks_blocked(0.001)
    assert not heard.taken
    ours.shutdown(socket.SHUT_WR)
    heard.listen()
    with trio.fail_after(10):
        await heard.end()
    assert [b"later"] == heard.taken
    os.close(heard.frames.shut()[0])


async def test_a_frame_that_ends_sessions(ear: Ear) -> None:
    """One frame has both sessions shut, its own and another that has one waiting: neither is read any further."""
    with ExitStack() as stack:
        pairs = [connected() for _ in range(2)]
        both = [Frames(descriptor, ear) for _, descriptor in pairs]
        taken: list[bytes] = []
        ended: list[bool] = []

        def take(frame: bytes) -> None:
            taken.append(frame)
            for frames in both:
                for descriptor in frames.shut():
                    stack.callback(os.close, descriptor)

        for ours, _ in pairs:
            stack.enter_context(ours)
            for frame in (b"one", b"two"):
                ours.send(frame)
        for frames in both:
            frames.listen(take, lambda: ended.append(True))
        await trio.testing.wait_all_tasks_blocked(0.001)
    assert [b"one"] == taken
    assert not ended


async def test_many_frames_and_many_descriptors(ear: Ear) -> None:
    """More than are read in a turn, of either: every frame comes, in its order."""
    with ExitStack() as stack, trio.fail_after(60):
        all_heard = []
        for _ in range(100):
            ours, descriptor = connected()
            stack.enter_context(ours)
            stack.callback(os.close, descriptor)
            for count in range(40):
                ours.send(b"%d" % count)
            ours.shutdown(socket.SHUT_WR)
            all_heard.append(Heard(descriptor, ear))
        for heard in all_heard:
            await heard.end()
    assert [[b"%d" % count for count in range(40)]] * 100 == [heard.taken for heard in all_heard]


async def test_a_bug_ends_the_reading_that_meets_it(pair: tuple[socket.socket, int], ear: Ear) -> None:
    """It is counted once, whether a frame brought it out or the end, and others go on being heard."""
    before, (ours, descriptor) = supervise.crashes["link"], pair
    other, others = connected()

    def fail(*_: object) -> None:
        raise ValueError

    with other:
        ours.send(b"frame")
        frames = Frames(descriptor, ear)
        frames.listen(fail, fail)
        await trio.testing.wait_all_tasks_blocked(0.001)
        other.send(b"frame")
        other.shutdown(socket.SHUT_WR)
        heard = Heard(others, ear)
        with trio.fail_after(10):
            await heard.end()
    os.close(descriptor)
    os.close(others)
    assert [b"frame"] == heard.taken
    assert before + 2 == supervise.crashes["link"]


async def test_a_descriptor_that_cannot_be_heard(tmp_path: Path, ear: Ear) -> None:
    """A file is always readable, and the kernel takes none into a set: whoever wants to listen hears why not, and may shut it as any other."""
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT, 0o600)
    frames = Frames(descriptor, ear)
    with pytest.raises(PermissionError):
        frames.listen(print, print)
    assert [descriptor] == frames.shut()
    os.close(descriptor)
