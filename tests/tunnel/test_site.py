"""The surroundings that all control connections share."""

from __future__ import annotations

from dialogue import ZLB, a_site, reported, stopccn, up
from l2tpd.session.call import State
from l2tpd.tunnel.site import Counters
from l2tpd.wire.numbers import MessageType


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


def test_calls_are_counted_where_they_are() -> None:
    """A call begins and ends in `idle`, where it is not counted; a move to where it is already counts nothing."""
    site = a_site()
    for before, after in (
        (State.IDLE, State.WAIT_TUNNEL),
        (State.WAIT_TUNNEL, State.WAIT_TUNNEL),
        (State.IDLE, State.WAIT_PLANE),
        (State.WAIT_PLANE, State.ESTABLISHED),
        (State.IDLE, State.IDLE),
    ):
        site.moved(before, after)
    assert {State.WAIT_TUNNEL: 1, State.WAIT_PLANE: 0, State.ESTABLISHED: 1} == site.calls_by_state
    site.moved(State.ESTABLISHED, State.IDLE)
    site.moved(State.WAIT_TUNNEL, State.IDLE)
    assert {0} == set(site.calls_by_state.values())


def test_calls_of_all_tunnels_are_counted_together() -> None:
    """Two tunnels of one site: each call under its state, and none when the tunnels are gone."""
    site = a_site()
    one, two = up(site=site), up(site=site, local_id=8)
    reported(one)
    two.open_session()
    two.us << MessageType.ICRQ
    assert (1, 1) == (site.calls_by_state[State.ESTABLISHED], site.calls_by_state[State.WAIT_REPLY])
    for say in (one, two):
        say.peer >> stopccn()
        say.us << ZLB
    assert {0} == set(site.calls_by_state.values())
