"""Frames of PPP that the kernel hands to this process: many descriptors, of which one task hears.

Theory of operation. A session on its way up has three descriptors, two of them for good, and each has something to read a few times. Were each waited for
by trio itself, the kernel would be told of it for every such time, twice of a new one, and a task would go to sleep and wake up again. So they stand in a
set of our own (epoll(7)), each told to the kernel once, and trio waits for the set. What is left behind one frame the set shows again, behind the others.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Final

import trio

from l2tpd.kernel import brief
from l2tpd.supervise import contained
from l2tpd.tunnel.port import BUFFER

Taker = Callable[[bytes], None]
"""Takes a received frame, from its protocol field on; neither waits nor raises."""

_EMPTY: Final = 16  # frames at once: a frame may be, also one now and then, so many are the end
_TURN: Final = 64  # descriptors, until others have their turn


class Ear:
    """Waits for the frames of many descriptors at once."""

    def __init__(self) -> None:
        """Begin without any. Raises `OSError` when no descriptor is left."""
        self._set = select.epoll()
        self._heard: dict[int, Frames] = {}

    def add(self, frames: Frames) -> None:
        """Listen to these until they are removed, which has to be before their descriptor is closed. Raises `OSError`."""
        self._set.register(frames.descriptor, select.EPOLLIN)
        self._heard[frames.descriptor] = frames

    def remove(self, frames: Frames) -> None:
        """Listen to these no longer."""
        if self._heard.pop(frames.descriptor, None) is not None:
            self._set.unregister(frames.descriptor)

    async def serve(self) -> None:
        """Listen until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._set)
            for descriptor, _events in self._set.poll(0, _TURN):
                frames = self._heard.get(descriptor)
                if frames is not None:  # still: another's frame may have ended this session
                    self._hear(frames)

    def close(self) -> None:
        """Let go of the set; nobody may be listening."""
        self._set.close()

    @staticmethod
    def _hear(frames: Frames) -> None:
        more = False  # after a bug, which would be met again and again
        with contained("reading frames of PPP", kind="link"):
            more = frames.hear()
        if not more:
            frames.end()


class Frames:
    """A descriptor from which frames are read; -1 once it is shut."""

    def __init__(self, descriptor: int, ear: Ear) -> None:
        """Take over a descriptor that does not block, and of which `ear` hears."""
        self.descriptor = descriptor
        self._ear = ear
        self._take: Taker | None = None
        self._reader: trio.lowlevel.Task | None = None

    async def read(self, take: Taker) -> None:
        """Hand every frame to `take`; return when there can be no more. Raises `trio.ClosedResourceError` when it is shut."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.descriptor >= 0:
            self._ear.add(self)
            self._take, self._reader = take, trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._cancelled)
        if self.descriptor < 0:
            raise trio.ClosedResourceError

    def hear(self) -> bool:
        """Hand a frame to who reads; tell whether more may come. What is left is heard of again: mostly there is none."""
        if self._take is None:
            return True
        for _ in range(_EMPTY):
            try:
                frame = bytes(BUFFER[: brief.read_into(self.descriptor, BUFFER)])
            except BlockingIOError:
                return True
            except OSError:  # of a socket that is a channel now, or of a session that is gone
                return False
            if frame:
                self._take(frame)
                return True
        return False

    def end(self) -> None:
        """Wake who reads: there can be no more."""
        if (reader := self._leave()) is not None:
            trio.lowlevel.reschedule(reader)

    def shut(self) -> list[int]:
        """Wake who reads, and return the descriptor that is to be closed, unless that has happened before."""
        if self.descriptor < 0:
            return []
        self.end()
        descriptor, self.descriptor = self.descriptor, -1
        return [descriptor]

    def _cancelled(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._leave()
        return trio.lowlevel.Abort.SUCCEEDED

    def _leave(self) -> trio.lowlevel.Task | None:
        """Listen no longer, and return who has read."""
        self._ear.remove(self)
        reader, self._reader, self._take = self._reader, None, None
        return reader
