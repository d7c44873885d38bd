"""Sequence arithmetic against the numbers of RFC 2661 5.8."""

from __future__ import annotations

from l2tpd.tunnel.sequence import HALF, forward


def test_the_example_of_the_rfc() -> None:
    """With 15 received last, exactly 0..15 and 32784..65535 are "less than or equal" (RFC 2661 5.8)."""
    behind = {number for number in range(65536) if forward(number, 16) >= HALF}
    assert {*range(16), *range(32784, 65536)} == behind


def test_the_next_number_is_no_step_ahead_after_the_counter_wraps() -> None:
    """A running number compares with the wire number that it is sent as, beyond 65535 too."""
    assert forward(0, 65536) == 0
    assert forward(3, 2 * 65536 + 1) == 2
    assert forward(65535, 65536) == 65535
