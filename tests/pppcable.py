"""A cable of frames between two engines of PPP, and somebody who waits."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio


@attrs.define(eq=False)
class Cable:
    """One end of a cable of frames, with a queue that keeps them in order: a `FramePort`."""

    other: Cable | None = None
    cut: bool = False
    refused: int = 0  # packets whose source was not the peer's
    _taker: Callable[[bytes], None] | None = None
    _waiting: list[bytes] = attrs.field(factory=list)

    def send(self, frame: bytes | memoryview) -> None:
        if self.other is not None and not self.cut:
            trio.lowlevel.current_trio_token().run_sync_soon(self.other.hear, bytes(frame))

    def hear(self, frame: bytes) -> None:
        if self._taker is None:
            self._waiting.append(frame)
        else:
            self._taker(frame)

    def attach(self, taker: Callable[[bytes], None]) -> None:
        self._taker = taker
        while self._waiting:
            taker(self._waiting.pop(0))

    def spoofed(self) -> None:
        self.refused += 1


async def until(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    with trio.fail_after(20):
        while not true():
            await trio.sleep(0.01)
