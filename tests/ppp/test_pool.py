"""Addresses out and back."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import Exhausted
from l2tpd.ppp import pool as pools
from l2tpd.ppp.pool import AddressPool, places

LATER = 1000.0


def test_a_range_is_given_out_in_order() -> None:
    """From the first to the last, then no more."""
    pool = AddressPool("10.0.0.2-10.0.0.4")
    assert ["10.0.0.2", "10.0.0.3", "10.0.0.4"] == [pool.take(0) for _ in range(3)]
    assert (3, 3) == (pool.used, pool.size)
    with pytest.raises(Exhausted, match=r"every address of 10\.0\.0\.2-10\.0\.0\.4 is in use$"):
        pool.take(0)


def test_an_address_rests_as_long_as_possible() -> None:
    """One that came back is not given out while others were never used; then the one that came back first."""
    pool = AddressPool("10.0.0.2-10.0.0.4")
    first, second = pool.take(0), pool.take(0)
    pool.give_back(second, 0)
    pool.give_back(first, 0)
    assert ["10.0.0.4", second, first] == [pool.take(0) for _ in range(3)]


def test_nobody_has_an_address_in_quarantine() -> None:
    """Until its time is over, however empty the pool is."""
    pool = AddressPool("10.0.0.2-10.0.0.3", quarantine=60)
    one, _ = pool.take(0), pool.take(0)
    pool.give_back(one, 10)
    assert (1, 1, 2) == (pool.used, pool.quarantined(69.9), pool.size)
    with pytest.raises(Exhausted, match="is in use, 1 of them in quarantine"):
        pool.take(69.9)
    assert one == pool.take(70)
    assert 0 == pool.quarantined(70)


def test_who_comes_back_gets_the_same_address() -> None:
    """Also out of quarantine; a stranger does not, and nobody does whose address has another holder by now."""
    pool = AddressPool("10.0.0.2-10.0.0.9", quarantine=60)
    ours = pool.take(0, "alice")
    pool.give_back(ours, 1, "alice")
    assert ours != pool.take(2, "bob")
    assert ours == pool.take(2, "alice")
    assert ours != pool.take(2, "alice")
    pool.give_back(ours, 3, "alice")
    assert ["10.0.0.5", "10.0.0.6"] == [pool.take(LATER) for _ in range(2)]
    assert ours == pool.take(LATER, "alice")


def test_an_address_that_was_somebody_elses_in_between() -> None:
    """The last user counts, and what is somebody's now is nobody else's."""
    taken: set[str] = set()
    pool = AddressPool("10.0.0.2-10.0.0.2", taken=taken)
    address = pool.take(0, "alice")
    pool.give_back(address, 0, "alice")
    assert address == pool.take(0, "bob")
    pool.give_back(address, 0, "bob")
    taken.add(address)
    for user in ("alice", "bob", ""):
        with pytest.raises(Exhausted):
            pool.take(0, user)


def test_a_prefix_keeps_its_ends() -> None:
    """The address of a network and its broadcast address are nobody's; a /31 and a /32 have neither."""
    assert ["10.0.0.1", "10.0.0.2"] == [pool.take(0) for pool in [AddressPool("10.0.0.0/30")] for _ in range(2)]
    assert ["10.0.0.0", "10.0.0.1"] == [pool.take(0) for pool in [AddressPool("10.0.0.0/31")] for _ in range(2)]
    assert "10.0.0.7" == AddressPool("10.0.0.7/32").take(0)
    assert "2001:db8::" == AddressPool("2001:db8::/64").take(0)


def test_several_ranges_and_what_is_reserved() -> None:
    """Ranges are used one after the other; our own address is never given out."""
    pool = AddressPool("10.1.0.0/30, 10.0.0.1-10.0.0.2", reserved=places(["10.0.0.1", "10.1.0.2", "192.0.2.1"]))
    assert (4, 2) == (pool.size, pool.reserved)
    assert ["10.0.0.2", "10.1.0.1"] == [pool.take(0), pool.take(0)]
    with pytest.raises(Exhausted):
        pool.take(0)
    assert "10.0.0.1" not in pool
    assert pool.covers("10.0.0.1")
    assert 10 not in pool


@pytest.mark.parametrize(
    ("ranges", "exclude", "left"),
    [
        ("10.0.0.1-10.0.0.4", "10.0.0.2-10.0.0.3", ["10.0.0.1", "10.0.0.4"]),
        ("10.0.0.1-10.0.0.4", "10.0.0.0/30", ["10.0.0.4"]),
        ("10.0.0.1-10.0.0.4", "10.0.0.3/32, 10.0.0.1/32", ["10.0.0.2", "10.0.0.4"]),
        ("10.0.0.1-10.0.0.2, 10.0.0.2-10.0.0.3", "10.0.0.1-10.0.0.1", ["10.0.0.2", "10.0.0.3"]),
        ("10.0.0.1-10.0.0.2", "2001:db8::/64", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.1-10.0.0.2", "0.0.0.0/0", []),
    ],
)
def test_what_is_excluded(ranges: str, exclude: str, left: list[str]) -> None:
    """It is not given out, not even the ends of a network; what two ranges have in common is given out once."""
    pool = AddressPool(ranges, exclude=exclude)
    assert len(left) == pool.size
    assert left == [pool.take(0) for _ in left]
    with pytest.raises(Exhausted):
        pool.take(0)


def test_other_ranges_take_over() -> None:
    """What rested there rests here, and what has been given out is seen to by whoever knows all holders."""
    old = AddressPool("10.0.0.2-10.0.0.5", quarantine=60)
    held = {old.take(0), old.take(0)}
    ours, rested = old.take(0, "alice"), old.take(0)
    old.give_back(rested, 0)
    old.give_back(ours, 90, "alice")
    assert 1 == old.quarantined(100)
    new = AddressPool("10.0.0.1-10.0.0.5", quarantine=60, taken=held)
    new.inherit(old)
    for address, user in (("10.0.0.1", ""), (ours, "alice"), (rested, "")):
        assert address == new.take(100, user)
        held.add(address)
    with pytest.raises(Exhausted):
        new.take(100)
    smaller = AddressPool("10.0.0.1-10.0.0.2")
    smaller.inherit(old)
    assert "10.0.0.1" == smaller.take(100, "alice")
    assert "10.0.0.2" == smaller.take(100)
    smaller.give_back(ours, 100)
    with pytest.raises(Exhausted):
        smaller.take(LATER)


def test_large_pools_cost_nothing() -> None:
    """Even of a /8 only what is out takes memory; sixty-five thousand are out and back, and the same users get the same again."""
    pool = AddressPool("10.0.0.0/8", exclude="10.0.0.0/9", quarantine=60)
    taken = {str(number): pool.take(0, str(number)) for number in range(65_536)}
    assert 65_536 == len(set(taken.values()))
    for user, address in taken.items():
        pool.give_back(address, 1, user)
    assert (0, 65_536) == (pool.used, pool.quarantined(2))
    assert taken == {user: pool.take(2, user) for user in reversed(taken)}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", "alice", "bob"])), max_size=60), st.sampled_from([0, 3]))
def test_nobody_shares_an_address(moves: list[tuple[bool, str]], quarantine: float) -> None:
    """Whatever comes and goes, an address has one holder, and lies in the range."""
    pool = AddressPool("10.0.0.1-10.0.0.9", quarantine=quarantine)
    held: list[tuple[str, str]] = []
    for now, (take, user) in enumerate(moves):
        if not take and held:
            address, whose = held.pop(0)
            pool.give_back(address, now, whose)
        elif take and pool.used + pool.quarantined(now) < 9:
            held.append((pool.take(now, user), user))
    addresses = [address for address, _ in held]
    assert len(set(addresses)) == len(addresses) == pool.used
    assert all(1 <= int(ipaddress.ip_address(address)) & 0xFF <= 9 for address in addresses)


def test_prefixes_are_handed_out_as_addresses_are() -> None:
    """In units of their length, the first and last among them; what a prefix that is left out touches is left out whole."""
    pool = AddressPool(
        "2001:db8:100::/54", length=56, exclude="2001:db8:100:2ff::/64", reserved=places(["2001:db8:100:100::/56"])
    )
    assert (3, 1) == (pool.size, pool.reserved)
    ours = pool.take(0, "alice")
    assert ["2001:db8:100::/56", "2001:db8:100:300::/56"] == [ours, pool.take(0)]
    with pytest.raises(Exhausted):
        pool.take(0)
    pool.give_back(ours, 1, "alice")
    assert ours == pool.take(2, "alice")


def test_a_range_of_prefixes_has_those_that_are_whole() -> None:
    """Of a range that begins or ends within one, that one is not there; of one that is too small, none is."""
    pool = AddressPool("2001:db8:0:80::-2001:db8:0:2ff:ffff:ffff:ffff:ffff", length=56)
    assert ["2001:db8:0:100::/56", "2001:db8:0:200::/56"] == [pool.take(0), pool.take(0)]
    assert 0 == AddressPool("2001:db8::/60", length=56).size
    assert 1 << 32 == AddressPool("2001:db8::/32", length=64).size  # without counting through them


@pytest.mark.parametrize(
    ("prefix", "covers", "cuts"),
    [
        ("2001:db8:100:300::/56", True, False),
        ("2001:db8:100:300::/64", False, True),
        ("2001:db8:100::/48", False, True),
        ("2001:db8:200::/56", False, False),
        ("2001:db8:100::7", False, True),
        ("10.0.0.1", False, False),
    ],
)
def test_a_prefix_that_is_partly_of_a_pool(prefix: str, covers: bool, cuts: bool) -> None:
    """Somebody who has it would have what the pool hands out to others."""
    pool = AddressPool("2001:db8:100::/48", length=56)
    assert (covers, cuts) == (pool.covers(prefix), pool.cuts(prefix))


def test_a_pool_that_nobody_could_use_up_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers without names come and go: once very many prefixes have been used, those are used again, the longest rested first."""
    monkeypatch.setattr(pools, "REMEMBERED", 10)
    pool = AddressPool("2001:db8::/32", length=64, quarantine=1)
    taken = []
    for second in range(0, 100, 2):
        taken.append(pool.take(second))
        pool.give_back(taken[-1], second)
    assert taken == 5 * taken[:10]
    assert 10 == len(set(taken))


def test_a_wide_prefix_that_somebody_has_stops_nobody() -> None:
    """Who asks is told after a while that there is nothing, and not after all that lies in it was looked at; others come to what lies behind it."""

    class Wide:
        looks = 0

        def __contains__(self, prefix: object) -> bool:
            self.looks += 1
            return str(prefix).startswith("2001:db8:0:")

    taken = Wide()
    pool, found = AddressPool("2001:db8:0:8000::-2001:db8:2:ffff:ffff:ffff:ffff:ffff", length=64, taken=taken), ""
    for asked in range(1, 20):
        with suppress(Exhausted):
            found = found or pool.take(0)
        assert taken.looks <= asked * 3000
    assert "2001:db8:1::/64" == found
