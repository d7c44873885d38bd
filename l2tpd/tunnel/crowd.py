"""Who has asked before: in a crowd, the first request of a caller is passed over.

RFC 2661 5.8 has a caller repeat an SCCRQ word for word until it is answered, a second after the first at the earliest. Whoever floods us from forged
addresses has better things to do than to remember what it sent under which. So while very many tunnels are half open, a request that was not seen before is
only noted, which costs a hundredth of answering it, and takes no memory: a caller who means it comes in a second later.

Noted is a fingerprint and when it was first seen, in a table of fixed size that is indexed by it, so that a newcomer takes the place of whoever was there. At
50,000 requests a second, one in six is forgotten before it is repeated, and has to be repeated once more. Fingerprints are those of Python, which has
a secret of its own in each process: nobody can aim at a place in the table.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable
from typing import Final

PLACES: Final = 1 << 18
"""Places of the table, of 8 octets each."""

EARLIEST: Final = 0.5
LATEST: Final = 30.0
"""Seconds after which a request counts as repeated, and until when; a copy that the network made comes earlier."""

_TICKS: Final = 8  # a second
_CLOCK: Final = 0xFFFF


class Crowd:
    """The requests that were seen lately."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        """Start with none; the table is made when it is first needed."""
        self._places = array("Q")

    def knows(self, request: Hashable, now: float) -> bool:
        """Tell whether a request was seen some time ago; note it where it was not."""
        if not self._places:
            self._places = array("Q", bytes(8 * PLACES))
        print_of = hash(request) & 0xFFFFFFFFFFFFFFFF
        place, tick = print_of % PLACES, int(now * _TICKS) & _CLOCK
        kept = self._places[place]
        age = (tick - kept & _CLOCK) / _TICKS
        if kept | _CLOCK == print_of | _CLOCK and age < LATEST:
            return age >= EARLIEST
        self._places[place] = print_of & ~_CLOCK | tick
        return False
