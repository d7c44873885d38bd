"""Addresses out and back."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import Exhausted
from l2tpd.ppp.pool import AddressPool


def test_a_range_is_given_out_in_order() -> None:
    """From the first to the last, then no more."""
    pool = AddressPool("10.0.0.2-10.0.0.4")
    assert ["10.0.0.2", "10.0.0.3", "10.0.0.4"] == [pool.take() for _ in range(3)]
    assert (3, 3) == (pool.used, pool.size)
    with pytest.raises(Exhausted, match=r"every address of 10\.0\.0\.2-10\.0\.0\.4 is in use"):
        pool.take()


def test_an_address_rests_as_long_as_possible() -> None:
    """One that came back is not given out while others were never used; then the one that came back first."""
    pool = AddressPool("10.0.0.2-10.0.0.4")
    first, second = pool.take(), pool.take()
    pool.give_back(second)
    pool.give_back(first)
    assert ["10.0.0.4", second, first] == [pool.take() for _ in range(3)]


def test_a_prefix_keeps_its_ends() -> None:
    """The address of a network and its broadcast address are nobody's; a /31 and a /32 have neither."""
    assert ["10.0.0.1", "10.0.0.2"] == [pool.take() for pool in [AddressPool("10.0.0.0/30")] for _ in range(2)]
    assert ["10.0.0.0", "10.0.0.1"] == [pool.take() for pool in [AddressPool("10.0.0.0/31")] for _ in range(2)]
    assert "10.0.0.7" == AddressPool("10.0.0.7/32").take()
    assert "2001:db8::" == AddressPool("2001:db8::/64").take()


def test_several_ranges_and_what_is_reserved() -> None:
    """Ranges are used one after the other; our own address is never given out."""
    pool = AddressPool("10.0.0.1-10.0.0.2, 10.1.0.0/30", {"10.0.0.1", "10.1.0.2"})
    assert ["10.0.0.2", "10.1.0.1"] == [pool.take(), pool.take()]
    with pytest.raises(Exhausted):
        pool.take()
    assert "10.0.0.1" not in pool
    assert 10 not in pool


def test_what_was_not_given_out_does_not_come_back() -> None:
    """Nothing happens, however often."""
    pool = AddressPool("10.0.0.2-10.0.0.2")
    pool.give_back("10.0.0.2")
    address = pool.take()
    pool.give_back(address)
    pool.give_back(address)
    assert address == pool.take()
    with pytest.raises(Exhausted):
        pool.take()


def test_other_ranges_take_over() -> None:
    """What the old ranges have given out is not given out twice; outside the new ranges it does not come back."""
    old = AddressPool("10.0.0.2-10.0.0.3")
    inside, outside = old.take(), old.take()
    new = AddressPool("10.0.0.1-10.0.0.2")
    new.inherit(old)
    assert 2 == new.used
    assert "10.0.0.1" == new.take()
    new.give_back(outside)
    with pytest.raises(Exhausted):
        new.take()
    new.give_back(inside)
    assert inside == new.take()


def test_large_pools_cost_nothing() -> None:
    """Even of a /8 only what is out takes memory; sixty-five thousand are out and back."""
    pool = AddressPool("10.0.0.0/8")
    taken = [pool.take() for _ in range(65_536)]
    assert 65_536 == len(set(taken))
    for address in taken:
        pool.give_back(address)
    assert 0 == pool.used


@given(st.lists(st.booleans(), max_size=60))
def test_nobody_shares_an_address(moves: list[bool]) -> None:
    """Whatever comes and goes, an address has one holder, and lies in the range."""
    pool = AddressPool("10.0.0.1-10.0.0.9")
    held: list[str] = []
    for take in moves:
        if take and len(held) < 9:
            held.append(pool.take())
        elif not take and held:
            pool.give_back(held.pop(0))
    assert len(set(held)) == len(held) == pool.used
    assert all(1 <= int(ipaddress.ip_address(address)) & 0xFF <= 9 for address in held)
