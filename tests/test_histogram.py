from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.histogram import Histogram


def test_each_bound_counts_what_is_not_above_it() -> None:
    """A value at a bound is within it; what is beyond all bounds is counted under +Inf, as is everything."""
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert [("0.1", 2), ("1.0", 3), ("+Inf", 4)] == list(histogram.cumulative())
    assert pytest.approx(7.65) == histogram.total


def test_two_histograms_share_nothing() -> None:
    """What one has observed is not in another with the same bounds."""
    bounds = (1.0,)
    one, other = Histogram(bounds), Histogram(bounds)
    one.observe(0.5)
    assert (1, 0) == (one.count, other.count)


@given(st.lists(st.floats(0, 100)))
def test_counts_never_fall_from_bound_to_bound(values: list[float]) -> None:
    """Whatever is observed, the counts ascend and end with the number of observations."""
    histogram = Histogram((0.5, 5.0, 50.0))
    for value in values:
        histogram.observe(value)
    counts = [count for _, count in histogram.cumulative()]
    assert sorted(counts) == counts
    assert len(values) == counts[-1] == histogram.count
