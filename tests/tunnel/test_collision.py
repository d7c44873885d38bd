"""The tie breaker, value against value (RFC 2661 4.4.3)."""

from __future__ import annotations

import pytest

from l2tpd.tunnel.collision import Verdict, judge

LARGEST = 0xFFFF_FFFF_FFFF_FFFF


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (1, 2, Verdict.WE_WIN),  # "The lower value wins"
        (2, 1, Verdict.THEY_WIN),
        (0, LARGEST, Verdict.WE_WIN),
        (LARGEST, 0, Verdict.THEY_WIN),
        (5, 5, Verdict.BOTH_LOSE),  # "both sides MUST discard their tunnels"
        (0, 0, Verdict.BOTH_LOSE),
        (None, 7, Verdict.THEY_WIN),  # "the initiator which included the Tie Breaker AVP wins"
        (7, None, Verdict.WE_WIN),
        (0, None, Verdict.WE_WIN),  # 0 is a value, not an absence
        (None, 0, Verdict.THEY_WIN),
        (None, None, Verdict.BOTH_LIVE),  # "then two separate tunnels are opened"
    ],
)
def test_who_wins(ours: int | None, theirs: int | None, verdict: Verdict) -> None:
    """The verdict, and that the other side comes to the matching one."""
    mirrored = {Verdict.WE_WIN: Verdict.THEY_WIN, Verdict.THEY_WIN: Verdict.WE_WIN}
    assert verdict is judge(ours, theirs)
    assert mirrored.get(verdict, verdict) is judge(theirs, ours)
