"""Random octets for what is drawn a few at a time: identifiers, magic numbers, challenges. Pure.

Each drawing from the system is a call of it, and a session's way up draws four times. What has been handed out is never handed out again.
"""

from __future__ import annotations

from collections.abc import Callable

SIZE = 512
"""Octets that are drawn at once: what is left of them is known to whoever can read this process, so there are not many."""


class Draws:
    """Octets of a random source, drawn many at a time; is called like the source itself."""

    __slots__ = ("_left", "_source")

    def __init__(self, source: Callable[[int], bytes]) -> None:
        """Draw from `source(number of octets)`."""
        self._source = source
        self._left = b""

    def __call__(self, count: int) -> bytes:
        """Return so many octets that nobody has had."""
        if count > len(self._left):
            self._left += self._source(max(SIZE, count))
        taken, self._left = self._left[:count], self._left[count:]
        return taken
