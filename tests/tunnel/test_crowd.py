"""Who has asked before."""

from __future__ import annotations

from l2tpd.tunnel.crowd import EARLIEST, LATEST, PLACES, Crowd


def test_a_request_counts_when_it_is_repeated() -> None:
    """As RFC 2661 5.8 has it repeated, after one second, three and seven; the first time it does not."""
    crowd = Crowd()
    assert [False, True, True, True] == [crowd.knows("a", when) for when in (100.0, 101.0, 103.0, 107.0)]
    assert not crowd.knows("b", 107.0)


def test_a_copy_that_the_network_made_is_no_repetition() -> None:
    """It comes at once, and does not make the caller wait any longer for its own."""
    crowd = Crowd()
    assert [False, False, False, True] == [crowd.knows("a", when) for when in (5.0, 5.0, 5.25, 5.0 + EARLIEST)]


def test_what_was_seen_long_ago_is_new() -> None:
    """Also when the clock of the table, of 16 bits, has gone round."""
    for later in (LATEST, 0x10000 / 8, 3 * 0x10000 / 8):
        crowd = Crowd()
        assert not crowd.knows("a", 1.0)
        if later == LATEST:
            assert not crowd.knows("a", 1.0 + later)
            assert crowd.knows("a", 2.0 + later)


def test_it_does_not_grow() -> None:
    """Three million requests leave a table of the same size, in which the newest are known."""
    crowd = Crowd()
    crowd.knows(0, 0.0)
    size = crowd._places.buffer_info()[1]
    for number in range(3 * PLACES):
        crowd.knows(number * 0x9E3779B97F4A7C15, 10.0)
    assert PLACES == size == crowd._places.buffer_info()[1]
    newest = range(3 * PLACES - 100, 3 * PLACES)
    assert all(crowd.knows(number * 0x9E3779B97F4A7C15, 11.0) for number in newest[-1:])
