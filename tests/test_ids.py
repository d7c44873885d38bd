from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import Exhausted, LocalProtocolError
from l2tpd.ids import STRANGERS, Allocator


def drawing(*values: int) -> Callable[[int], bytes]:
    """Return a random source that yields these values, the last for ever."""
    remaining = list(values)

    def random(octets: int) -> bytes:
        value = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return value.to_bytes(octets, "big")

    return random


def test_zero_is_never_allocated() -> None:
    """Zero means `no tunnel` on the wire (RFC 2661 3.1); a draw of zero is repeated."""
    assert 7 == Allocator(16, drawing(0, 0, 7), 31.0).allocate(0.0, ())


def test_a_source_stuck_at_zero_still_gives_an_id() -> None:
    """Even a broken random source costs unpredictability only."""
    assert 1 == Allocator(16, drawing(0), 31.0).allocate(0.0, ())


def test_ids_in_use_are_refused() -> None:
    """An id that is in use is drawn again."""
    assert 9 == Allocator(16, drawing(5, 6, 9), 31.0).allocate(0.0, {5, 6})


def test_a_released_id_rests_for_the_quarantine() -> None:
    """Until the quarantine ends a late message may name the old owner (RFC 2661 5.7); afterwards the id is as good as any."""
    ids = Allocator(16, drawing(5, 9, 5), 31.0)
    ids.release(5, 100.0)
    assert 9 == ids.allocate(130.9, ())
    assert 5 == ids.allocate(131.0, ())


def test_an_id_released_twice_rests_from_the_second_time() -> None:
    """The later release counts, and those released in between are not held up by it."""
    ids = Allocator(16, drawing(1, 2, 3, 1, 2, 1), 10.0)
    ids.release(1, 0.0)
    ids.release(2, 1.0)
    ids.release(1, 5.0)
    assert [3, 2, 1] == [ids.allocate(now, ()) for now in (10.0, 11.0, 15.0)]


def test_without_quarantine_an_id_returns_at_once() -> None:
    """A quarantine of zero keeps nothing back."""
    ids = Allocator(16, drawing(5), 0.0)
    ids.release(5, 0.0)
    assert 5 == ids.allocate(0.0, ())


@pytest.mark.parametrize("free", [1, 2, 40_000, 65_535])
def test_the_last_free_id_of_65535_is_found(free: int) -> None:
    """However full the space, a free id is found wherever it lies."""
    taken = set(range(1, 65_536)) - {free}
    assert free == Allocator(16, os.urandom, 31.0).allocate(0.0, taken)


def test_a_full_space_is_refused() -> None:
    """When all ids are in use or resting, the caller learns it instead of waiting for ever."""
    ids = Allocator(4, os.urandom, 31.0)
    ids.release(15, 0.0)
    with pytest.raises(Exhausted, match="all 15 identifiers are in use or in quarantine") as raised:
        ids.allocate(1.0, range(1, 15))
    assert isinstance(raised.value, LocalProtocolError)
    assert 15 == ids.allocate(31.0, range(1, 15))


def test_a_full_space_is_known_to_be_full_without_a_draw() -> None:
    """A flood of requests to a full space costs a comparison each: nothing is drawn, and nothing is walked."""

    def never(octets: int) -> bytes:
        raise AssertionError(f"{octets} octets drawn")

    class Everything(set[int]):
        def __contains__(self, key: object) -> bool:
            raise AssertionError(f"{key} looked up")

    ids = Allocator(4, never, 31.0)
    ids.release(15, 0.0)
    with pytest.raises(Exhausted):
        ids.allocate(30.9, Everything(range(1, 15)))


def test_every_id_is_allocated_before_the_space_is_full() -> None:
    """Allocating without releasing visits each id once."""
    ids, taken = Allocator(8, os.urandom, 31.0), set[int]()
    for _ in range(255):
        taken.add(ids.allocate(0.0, taken))
    assert set(range(1, 256)) == taken


@given(bits=st.sampled_from([16, 24, 32]), seed=st.binary(min_size=64, max_size=64))
def test_an_id_fits_its_width(bits: int, seed: bytes) -> None:
    """An id is at least one and has at most the asked for number of bits."""
    stream = iter(seed * 2)
    allocated = Allocator(bits, lambda octets: bytes(next(stream) for _ in range(octets)), 31.0).allocate(0.0, ())
    assert 0 < allocated < 1 << bits


def test_strangers_cannot_use_the_ids_up() -> None:
    """What a hundred thousand of them had within a cycle is free again but for the last ones; what a peer had rests on."""
    ids = Allocator(16, os.urandom, 31.0)
    known = ids.allocate(0.0, ())
    ids.release(known, 0.0)
    for number in range(100_000):
        ids.release(ids.allocate(number / 10_000, ()), number / 10_000, stranger=True)
    rest = 65_535 - STRANGERS - 1
    assert ids.allocate(10.0, range(rest - 1))
    with pytest.raises(Exhausted):
        ids.allocate(10.0, range(rest))
    everybody = {ids.allocate(10.0, set(range(1, 100))) for _ in range(2_000)}
    assert known not in everybody
    assert 65_535 == ids.allocate(41.0, range(1, 65_535))
