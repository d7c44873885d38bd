"""Who wins when both sides open a tunnel at once (RFC 2661 4.4.3, Tie Breaker)."""

from __future__ import annotations

import enum


class Verdict(enum.Enum):
    """What becomes of our pending tunnel and of the peer's request."""

    BOTH_LIVE = "two tunnels"
    WE_WIN = "ours stays, theirs is silently discarded"
    THEY_WIN = "ours is silently discarded, theirs is answered"
    BOTH_LOSE = "both are discarded"


def judge(ours: int | None, theirs: int | None) -> Verdict:
    """Compare two tie breakers (64-bit numbers); the lower wins, one that is absent loses, and equal ones both lose."""
    if ours is None and theirs is None:
        return Verdict.BOTH_LIVE
    if ours == theirs:
        return Verdict.BOTH_LOSE
    if theirs is None or (ours is not None and ours < theirs):
        return Verdict.WE_WIN
    return Verdict.THEY_WIN
