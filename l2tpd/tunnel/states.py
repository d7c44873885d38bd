"""The states of a control connection (RFC 2661 7.2.1).

The RFC's `idle` means both "not begun" and "over", and being over takes time (5.7, 5.8), so it is four states here.
"""

from __future__ import annotations

from l2tpd.keys import Key


class State(Key):
    """Where a control connection stands."""

    IDLE = "idle"  # nothing was sent or received yet
    WAIT_CTL_REPLY = "wait-ctl-reply"
    WAIT_CTL_CONN = "wait-ctl-conn"
    ESTABLISHED = "established"
    CLOSING = "closing"  # our StopCCN is on its way, and nothing else matters any more
    LINGERING = "lingering"  # both sides know that it is over; the peer's copies are still acknowledged for one cycle
    CLOSED = "closed"  # nothing is left to do
