"""What has become of requests to servers: counts and durations, which outlive a change of the servers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import attrs

from l2tpd.histogram import Histogram
from l2tpd.radius.numbers import Code

ROUND_TRIP: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the time until an answer, in seconds: from a server on this machine to one that is asked many times."""

LOGIN: Final = "login"
ACCOUNTING: Final = "accounting"
SILENT: Final = "silent"
RESULTS: Final[Mapping[int, tuple[str, str]]] = {
    Code.ACCESS_ACCEPT: (LOGIN, "accepted"),
    Code.ACCESS_REJECT: (LOGIN, "rejected"),
    Code.ACCESS_CHALLENGE: (LOGIN, "challenged"),
    Code.ACCOUNTING_RESPONSE: (ACCOUNTING, "taken"),
}
"""By code of an answer, the type of request and what is said to have come of it."""

Asked = tuple[str, ...]
"""A type of request, and the name of the server that was asked."""


@attrs.define(eq=False)
class Tally:
    """The book of one type of request."""

    kind: str
    results: Counter[tuple[str, ...]] = attrs.field(factory=Counter)  # by type, server and result
    repeated: Counter[Asked] = attrs.field(factory=Counter)
    round_trips: dict[Asked, Histogram] = attrs.field(factory=dict)
    ignored: int = 0
    """Datagrams that were no answer of ours."""

    def know(self, server: str) -> None:
        """Begin with zeros for a server: a series that comes and goes cannot be added to."""
        for kind, result in (*RESULTS.values(), (self.kind, SILENT)):
            if kind == self.kind:
                self.results[kind, server, result] += 0
        self.repeated[self.kind, server] += 0
        self.round_trips.setdefault((self.kind, server), Histogram(ROUND_TRIP))

    def answered(self, server: str, code: int, seconds: float) -> None:
        """Enter an answer, and how long it took since the server was first asked."""
        self.results[self.kind, server, RESULTS[code][1]] += 1
        self.round_trips[self.kind, server].observe(seconds)

    def repeat(self, server: str) -> None:
        """Enter that a request was sent again."""
        self.repeated[self.kind, server] += 1

    def silent(self, server: str) -> None:
        """Enter that a server was asked in vain."""
        self.results[self.kind, server, SILENT] += 1


@attrs.frozen(kw_only=True)
class State:
    """RADIUS at one moment."""

    tallies: tuple[Tally, ...] = ()
    up: Mapping[Asked, bool] = attrs.field(factory=dict)  # by type and server: it is not passed over
    under_way: Mapping[str, int] = attrs.field(factory=dict)  # requests without an outcome, by type
    spooled: int = 0  # records on disk
    waiting: int = 0  # records in memory
    lost: int = 0  # records
    demands: Mapping[tuple[str, ...], int] = attrs.field(factory=dict)  # of RFC 5176: by type, and what came of them
