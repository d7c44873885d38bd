"""Random octets that are drawn many at a time."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from l2tpd.draws import SIZE, Draws


@given(st.lists(st.integers(0, 3 * SIZE)))
def test_each_octet_is_handed_out_once(counts: list[int]) -> None:
    """As many as were asked for, in the order of the source, none left out and none twice; few are kept."""
    stream, given_out = itertools.count(), b""
    drawn: list[int] = []

    def source(count: int) -> bytes:
        drawn.append(count)
        return bytes(next(stream) % 251 for _ in range(count))

    draws = Draws(source)
    for count in counts:
        taken = draws(count)
        assert count == len(taken)
        given_out += taken
    assert bytes(number % 251 for number in range(len(given_out))) == given_out
    assert sum(drawn) - len(given_out) < 4 * SIZE


def test_the_source_is_asked_rarely() -> None:
    """A session's way up costs no call of the source most of the time."""
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    draws = Draws(source)
    for count in (2, 4, 1, 16) * 20:
        draws(count)
    assert [SIZE] == asked
