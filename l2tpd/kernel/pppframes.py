"""Frames of PPP that the kernel hands to this process: many descriptors, of which one task hears.

Theory of operation. A session on its way up has three descriptors, two of them for good, and each has something to read a few times. Were each waited for
by trio itself, the kernel would be told of it for every such time, twice of a new one, and a task would go to sleep and wake up again. So they stand in a
set of our own (epoll(7)), each told to the kernel once, and trio waits for the set. What is left behind one frame the set shows again, behind the others.
Frames are handed to functions: a task for each descriptor would take 2,000 octets to wait for what it hands on there and then.
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
            with contained("the end of frames of PPP", kind="link"):
                frames.end()


class Frames:
    """A descriptor from which frames are read; -1 once it is shut."""

    def __init__(self, descriptor: int, ear: Ear) -> None:
        """Take over a descriptor that does not block, and of which `ear` hears."""
        self.descriptor = descriptor
        self._ear = ear
        self._take: Taker | None = None
        self._ended: Callable[[], None] | None = None

    def listen(self, take: Taker, ended: Callable[[], None]) -> None:
        """Hand every frame to `take` from now on, until `mute` or `shut`; call `ended` when there can be no more. Raises `OSError`."""
        self._ear.add(self)
        self._take, self._ended = take, ended

    def mute(self) -> None:
        """Listen no longer: what comes waits."""
        self._ear.remove(self)
        self._take = self._ended = None

    def hear(self) -> bool:
        """Hand a frame to who listens; tell whether more may come. What is left is heard of again: mostly there is none."""
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
        """Tell who listens that there can be no more."""
        ended = self._ended
        self.mute()
        if ended is not None:
            ended()

    def shut(self) -> list[int]:
        """Listen no longer, and return the descriptor that is to be closed, unless that has happened before."""
        if self.descriptor < 0:
            return []
        self.mute()
        descriptor, self.descriptor = self.descriptor, -1
        return [descriptor]
