"""Allocate tunnel and session identifiers that nobody can guess and that no late packet can mistake.

Identifiers are drawn from a random source that the caller hands in (RFC 2661 9.1 asks for unpredictable ones: whoever guesses an id can inject
packets). A released id rests for a quarantine, since the peer may still repeat a message that names it (RFC 2661 5.7: 31 seconds).

Ids that strangers had, who never proved that they hear us, rest only as long as there is room: a bounded number of them, the oldest of which goes when
there are more. Otherwise 2,115 forged requests a second would keep all 65,535 ids resting, and nobody could come in.

Almost every draw succeeds at once. When the space is nearly full a few draws are followed by a walk from a random place, which ends at the
latest after one step more than there are ids taken: the last free id of 65,535 is found, and a full space is known to be full.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from l2tpd.errors import Exhausted

STRANGERS = 8192
"""How many ids that strangers had may rest: an eighth of the smallest space."""

_DRAWS = 16  # at three quarters full, fifteen of 1,500 allocations need the walk


class Allocator:
    """Hands out identifiers from 1 to 2**bits - 1; zero is reserved (RFC 2661 3.1)."""

    __slots__ = ("_last", "_octets", "_quarantine", "_random", "_resting", "_strangers")

    def __init__(self, bits: int, random: Callable[[int], bytes], quarantine: float) -> None:
        """Draw from `random(number of octets)`; keep released ids back for `quarantine` seconds."""
        self._last = (1 << bits) - 1
        self._octets = (bits + 7) // 8
        self._random = random
        self._quarantine = quarantine
        self._resting: dict[int, float] = {}  # id -> end of its rest; in order of release, hence of expiry
        self._strangers: dict[int, float] = {}  # likewise, those that strangers had

    def allocate(self, now: float, taken: Collection[int]) -> int:
        """Return an id that is neither in `taken` nor resting.

        Raises:
            Exhausted: every id is taken or resting.
        """
        self._wake(now)
        if len(taken) + len(self._resting) + len(self._strangers) >= self._last:
            raise Exhausted(f"all {self._last} identifiers are in use or in quarantine")
        for _ in range(_DRAWS):
            candidate = self._draw()
            if candidate and not self._holds(candidate, taken):
                return candidate
        return self._walk(candidate or 1, taken)

    def release(self, identifier: int, now: float, *, stranger: bool = False) -> None:
        """Let `identifier` rest from `now` on; that of a `stranger` gives way when too many of them do."""
        if self._quarantine <= 0:
            return
        resting = self._strangers if stranger else self._resting
        resting.pop(identifier, None)
        resting[identifier] = now + self._quarantine
        if len(self._strangers) > STRANGERS:
            del self._strangers[next(iter(self._strangers))]

    def _holds(self, candidate: int, taken: Collection[int]) -> bool:
        return candidate in taken or candidate in self._resting or candidate in self._strangers

    def _draw(self) -> int:
        return int.from_bytes(self._random(self._octets), "big") & self._last

    def _walk(self, candidate: int, taken: Collection[int]) -> int:
        """Return the next id that is free: there is one, for fewer than all are held."""
        while self._holds(candidate, taken):
            candidate = candidate % self._last + 1
        return candidate

    def _wake(self, now: float) -> None:
        for resting in (self._resting, self._strangers):
            while resting:
                identifier = next(iter(resting))
                if resting[identifier] > now:
                    break
                del resting[identifier]
