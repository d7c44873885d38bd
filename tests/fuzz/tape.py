"""Dice that are not thrown but read from a tape of octets, so that what is at random in a dialogue can be chosen, kept, and changed bit by bit.

A fuzzer that looks at coverage mutates octets. Where a stage takes a `Random`, the tape makes of each input the dialogue that it stands for.
"""

from __future__ import annotations

from random import Random


class SpentError(Exception):
    """The tape has come to its end, and with it the dialogue."""


class Tape(Random):
    """A `Random` whose every draw takes octets from `data`. Raises `SpentError` when there are none left."""

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data = data
        self._at = 0

    def random(self) -> float:
        """Return a number in [0, 1) of 16 bits."""
        return self.getrandbits(16) / 65536

    def getrandbits(self, k: int, /) -> int:
        """Return `k` bits; of the last octet its lowest."""
        size = (k + 7) // 8
        octets = self._data[self._at : self._at + size]
        if len(octets) < size:
            raise SpentError
        self._at += size
        return int.from_bytes(octets, "big") & ((1 << k) - 1)
