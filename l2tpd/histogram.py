"""How long things took: counts by upper bound, as Prometheus wants them. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

import attrs


@attrs.define(eq=False)
class Histogram:
    """Observations counted by the first of the ascending `bounds` that is not below them; what is beyond all of them is counted too. `total` adds them up."""

    bounds: tuple[float, ...]
    total: float = 0.0
    _counts: list[int] = attrs.field(init=False)

    @_counts.default
    def _zeroes(self) -> list[int]:
        return [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Yield each bound as Prometheus writes it, `+Inf` last, with the number of observations up to it."""
        return zip((*map(repr, map(float, self.bounds)), "+Inf"), accumulate(self._counts), strict=True)
