"""Aims and marks."""

from bench import marks


def test_aims_are_judged_by_their_direction() -> None:
    """A rate must reach its aim, a cost must not exceed it; figures that nobody measured are not judged."""
    rows = list(marks.judged({"c.tunnels_per_s": 2500, "c.bytes_per_tunnel": 20_000, "unheard.of": 1}))
    assert [(row["wanted"], row["met"]) for row in rows] == [(">= 2000", True), ("<= 16384", False)]


def test_ratios_need_both_parts() -> None:
    """Version 3 is compared where version 2 was measured as well, and it did something."""
    measured = {"v3.cpu_per_1000": 0.5, "v2.cpu_per_1000": 0.4, "v3.sessions_cpu_per_1000": 1.0}
    assert dict(marks.ratios(measured)) == {"v3.tunnel_cpu": 0.8}
    assert dict(marks.ratios({"v3.cpu_per_1000": 0.0, "v2.cpu_per_1000": 0.4})) == {}


def test_ratio_above_one_means_better() -> None:
    """Twice the rate and half the cost are both a ratio of 2."""
    figures = {"c.tunnels_per_s": 2 * 1_660, "c.cpu_per_1000": 0.615 / 2}
    rows = [row for row in marks.compared(figures) if row["peer"] == "xl2tpd 1.3.18"]
    assert [row["ratio"] for row in rows] == [2, 2]
