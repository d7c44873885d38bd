"""The surroundings that all control connections share."""

from __future__ import annotations

from dialogue import a_site
from l2tpd.tunnel.site import Counters


def test_call_serial_numbers_begin_at_1_and_wrap() -> None:
    """Each call has its own until 32 bits are used up (RFC 2661 4.4.4)."""
    site = a_site()
    assert [1, 2, 3] == [site.next_serial() for _ in range(3)]
    site.call_serial = 0xFFFFFFFF
    assert 0 == site.next_serial()


def test_counters_can_be_reset() -> None:
    """All of them, and those by message type do not share their dictionary with anybody."""
    counters = Counters()
    counters.malformed = counters.send_failures = 5
    counters.received[1] = 7
    counters.reset()
    counters.sent[1] = 3
    assert (0, 0, {}) == (counters.malformed, counters.send_failures, counters.received)
    assert {} == Counters().sent
