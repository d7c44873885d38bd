"""The order of received packets: dialogues of (time, number) and what is delivered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.kernel.reorder import HELD, RESYNCHRONISE, Order

LAST = 0xFFFFFF  # of 24 bits


def frame(ns: int) -> bytes:
    """Return the frame that travels under a number."""
    return ns.to_bytes(3, "big")


def take(order: Order, *numbers: int, now: float = 0.0) -> list[int]:
    """Take packets as a session does; return the numbers of the frames delivered."""
    given_out: list[int] = []
    for ns in numbers:
        if order.follows(ns):
            given_out.append(ns)
        else:
            given_out += [int.from_bytes(octets, "big") for octets in order.take(ns, frame(ns), now)]
    return given_out


def expire(order: Order, now: float) -> list[int]:
    """Let time pass; return the numbers of the frames delivered."""
    return [int.from_bytes(octets, "big") for octets in order.expire(now)]


def counts(order: Order) -> tuple[int, int]:
    """Return how many were discarded, and how many came out of order."""
    return order.discarded, order.out_of_order


def test_in_order() -> None:
    """Numbers begin at zero, and after the last one comes zero (RFC 3931 4.6)."""
    order = Order(24)
    assert [0, 1, 2] == take(order, 0, 1, 2)
    order.expected = LAST
    assert [LAST, 0, 1] == take(order, LAST, 0, 1)
    assert (0, 0) == counts(order)


def test_sixteen_bits() -> None:
    """L2TPv2 has fewer (RFC 2661 5.4)."""
    order = Order(16, expected=0xFFFF)
    assert [0xFFFF, 0] == take(order, 0xFFFF, 0)


def test_loss() -> None:
    """What follows a gap is new, and delivered at once; what comes late is old, and dropped (RFC 3931 appendix C)."""
    order = Order(24)
    assert [0, 3, 4] == take(order, 0, 3, 1, 2, 4)
    assert (2, 0) == counts(order)


def test_duplicates() -> None:
    """A number is delivered once."""
    order = Order(24, timeout=1.0)
    assert [0, 1] == take(order, 0, 0, 1, 0, 3, 3)
    assert [2, 3] == take(order, 2)
    assert (3, 1) == counts(order)


@pytest.mark.parametrize(("ns", "new"), [(100 + (1 << 23) - 1, True), (100 + (1 << 23), False), (99, False)])
def test_half_the_numbers_are_new(ns: int, new: bool) -> None:
    """The border lies half the number space from the expected number."""
    assert take(Order(24, expected=100), ns) == ([ns] if new else [])


def test_reordering() -> None:
    """With a timeout a packet waits for an earlier one, and both come in order."""
    order = Order(24, timeout=0.1)
    assert [0] == take(order, 0, 3, 2, now=5.0)
    assert 5.1 == pytest.approx(order.deadline)
    assert [1, 2, 3] == take(order, 1, now=5.05)
    assert order.deadline is None
    assert (0, 2) == counts(order)


def test_waiting_ends() -> None:
    """When its time is up a packet is delivered, and what it waited for is old from then on; a later one goes on waiting."""
    order = Order(24, timeout=0.1)
    assert [] == take(order, 2, now=1.0)
    assert [] == take(order, 5, now=1.05)
    assert [] == expire(order, 1.0999)
    assert [2] == expire(order, 1.1)
    assert 1.15 == pytest.approx(order.deadline)
    assert [] == take(order, 1, now=1.11)
    assert [3] == take(order, 3, now=1.12)
    assert [5] == expire(order, 1.2)
    assert (1, 1) == counts(order)


def test_what_came_before_a_late_one_goes_with_it() -> None:
    """A packet whose time is up takes along those before it, whose time is not."""
    order = Order(24, timeout=0.1)
    take(order, 5, now=1.0)
    take(order, 3, 6, now=1.09)
    assert [3, 5, 6] == expire(order, 1.1)


def test_memory() -> None:
    """One packet more than may be held gives up the oldest gap."""
    order = Order(24, timeout=60.0)
    assert [] == take(order, *range(2, 2 * HELD + 1, 2))
    assert [2] == take(order, 2 * HELD + 2)
    assert [3, 4] == take(order, 3)


def test_a_peer_that_begins_anew() -> None:
    """A row of old numbers is a new order: the last of the row is delivered, and all that follow; what was held comes first."""
    order = Order(24, timeout=1.0, expected=1000)
    assert [] == take(order, 1002, *range(RESYNCHRONISE - 1))
    assert [1002, RESYNCHRONISE - 1, RESYNCHRONISE] == take(order, RESYNCHRONISE - 1, RESYNCHRONISE)
    assert (RESYNCHRONISE - 1, 0) == counts(order)
    order = Order(24, expected=1000)
    assert [RESYNCHRONISE - 1, RESYNCHRONISE] == take(order, *range(RESYNCHRONISE + 1))


@pytest.mark.parametrize("between", [1000, 1001, 7])
def test_stragglers_are_no_new_order(between: int) -> None:
    """Old numbers that are no row, or come between new ones, are dropped for ever."""
    order = Order(24, expected=1000)
    old = [*range(RESYNCHRONISE - 1), between, RESYNCHRONISE - 1]
    assert take(order, *old) == ([between] if between >= 1000 else [])


@given(st.permutations(range(40)), st.sampled_from((0, LAST - 20)))
def test_any_permutation(numbers: list[int], first: int) -> None:
    """What all arrives within the timeout is delivered completely and in order, across the wrap as well."""
    order = Order(24, timeout=1.0, expected=first)
    arrived = [(first + number) & LAST for number in numbers]
    assert [(first + number) & LAST for number in range(40)] == take(order, *arrived)
    assert order.deadline is None


@given(st.lists(st.tuples(st.integers(0, 300), st.floats(0, 0.2)), max_size=300), st.sampled_from((0.0, 0.1)))
def test_any_network(packets: list[tuple[int, float]], timeout: float) -> None:
    """Whatever arrives whenever: each packet is delivered once or counted as discarded, and few are held."""
    order = Order(9, timeout=timeout)
    now, delivered = 0.0, 0
    for ns, later in packets:
        now += later
        delivered += len(expire(order, now)) + len(take(order, ns, now=now))
        assert len(order._held) <= HELD
        assert order.deadline is None or order.deadline > now
    delivered += len(expire(order, now + 1))
    assert order.deadline is None
    assert len(packets) == delivered + order.discarded
