"""One holder for each address, over all pools and all assignments."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.config.load import parse
from l2tpd.errors import Exhausted, LocalProtocolError
from l2tpd.ppp import pool as pool_module
from l2tpd.ppp.addresses import Addresses, Fill, Use

POOLS = """
[profile.ppp.default]
local_address = "10.0.0.1"
[pool.small]
range = "10.0.0.0/29"
exclude = "10.0.0.2-10.0.0.4"
next = "large"
[pool.large]
range = ["10.0.1.1-10.0.1.2", "10.0.2.1-10.0.2.2"]
quarantine = 5
[pool.six]
range = "2001:db8::/64"
[user.alice]
password = "wonder"
address = "10.0.0.5"
"""


def addresses(config: str = POOLS) -> Addresses:
    found = Addresses()
    found.configure(parse([("l2tpd.toml", config)]))
    return found


def test_the_next_pool_takes_over() -> None:
    """When the first has none left, and only then; our own address and a user's are not handed out."""
    pools = addresses()
    assert ["10.0.0.6", "10.0.1.1", "10.0.1.2"] == [pools.take("small", holder, 0) for holder in "abc"]
    assert Fill(size=3, used=1, quarantined=0, free=0) == pools.fill("small", 0)
    assert Fill(size=4, used=2, quarantined=0, free=2) == pools.fill("large", 0)
    pools.release("b", 1)
    assert Fill(size=4, used=1, quarantined=1, free=2) == pools.fill("large", 2)
    pools.release("a", 2)
    assert "10.0.0.6" == pools.take("small", "d", 70)


def test_every_pool_is_empty() -> None:
    """The last one says so."""
    pools = addresses()
    for holder in range(5):
        pools.take("small", holder, 0)
    with pytest.raises(Exhausted, match=r"10\.0\.2\.1-10\.0\.2\.2 is in use"):
        pools.take("small", "late", 0)


def test_who_has_an_address_keeps_it() -> None:
    """Asked again, it is the same; asked for another pool, the old one goes back."""
    pools = addresses()
    assert "10.0.0.6" == pools.take("small", "a", 0) == pools.take("small", "a", 1)
    assert "10.0.1.1" == pools.take("large", "a", 2)
    assert (0, 1) == (pools.fill("small", 2).used, pools.fill("large", 2).used)
    assert "10.0.1.1" == pools.take("small", "a", 3)  # which leads there


def test_an_address_of_ones_own() -> None:
    """It has one holder at a time, counts in the pool that it lies in, and never becomes anybody's."""
    pools = addresses()
    assert pools.claim("10.0.0.5", "a", 0)
    assert pools.claim("10.0.0.5", "a", 0)
    assert not pools.claim("10.0.0.5", "b", 0)
    assert Fill(size=3, used=1, quarantined=0, free=1) == pools.fill("small", 0)
    assert "10.0.0.6" == pools.take("small", "b", 0)
    pools.release("a", 0)
    pools.release("a", 0)
    assert "10.0.1.1" == pools.take("small", "c", 100)
    assert pools.claim("10.0.0.5", "d", 100)


def test_an_address_that_is_assigned_out_of_a_pool() -> None:
    """The pool passes it over, also where it was resting; given back it rests like any other."""
    pools = addresses()
    assert pools.claim("10.0.1.1", "a", 0)
    assert "10.0.1.2" == pools.take("large", "b", 0)
    pools.release("b", 0)
    assert pools.claim("10.0.1.2", "c", 1)
    assert ["10.0.2.1", "10.0.2.2"] == [pools.take("large", holder, 50) for holder in "de"]
    pools.release("a", 50)
    with pytest.raises(Exhausted):
        pools.take("large", "f", 54)
    assert "10.0.1.1" == pools.take("large", "f", 55)


def test_how_full_a_pool_is_costs_no_reading_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """All users may be there at once, each with an address of its own, and somebody asks for all pools every few seconds."""
    pools = addresses()
    assert pools.claim("10.0.0.5", "a", 0, "alice")

    def read(address: str) -> None:
        raise AssertionError(address)

    monkeypatch.setattr(pool_module, "_place", read)
    assert Fill(size=3, used=1, quarantined=0, free=1) == pools.fill("small", 0)
    assert Fill(size=4, used=0, quarantined=0, free=4) == pools.fill("large", 0)


def test_an_address_outside_all_pools() -> None:
    """It is nobody else's while somebody has it."""
    pools = addresses()
    assert pools.claim("192.0.2.9", "a", 0)
    assert not pools.claim("192.0.2.9", "b", 0)
    assert pools.claim("192.0.2.10", "a", 0)
    assert pools.claim("192.0.2.9", "b", 0)


def test_a_reload_keeps_what_is_handed_out() -> None:
    """Whatever becomes of the pool that it came from."""
    pools = addresses()
    assert "10.0.1.1" == pools.take("large", "a", 0)
    pools.configure(parse([("l2tpd.toml", POOLS.replace("10.0.1.1-10.0.1.2", "10.0.1.0-10.0.1.1"))]))
    assert Fill(size=4, used=1, quarantined=0, free=3) == pools.fill("large", 0)
    assert ["10.0.1.0", "10.0.2.1"] == [pools.take("large", holder, 0) for holder in "bc"]
    pools.configure(parse([("l2tpd.toml", "")]))
    with pytest.raises(LocalProtocolError, match="there is no pool `large`"):
        pools.take("large", "d", 0)
    pools.release("b", 0)
    pools.configure(parse([("l2tpd.toml", POOLS)]))
    assert Fill(size=4, used=2, quarantined=0, free=2) == pools.fill("large", 0)
    assert "10.0.1.2" == pools.take("large", "e", 0)


def test_pools_that_share_addresses() -> None:
    """What one has given out the other passes over, also after it came back and went out by the first."""
    pools = addresses('[pool.a]\nrange = "10.0.0.2-10.0.0.3"\nquarantine = 0\n[pool.b]\nrange = "10.0.0.3-10.0.0.4"\n')
    assert ["10.0.0.2", "10.0.0.3"] == [pools.take("a", holder, 0) for holder in (1, 2)]
    assert "10.0.0.4" == pools.take("b", 3, 0)
    pools.release(2, 0)
    assert "10.0.0.3" == pools.take("a", 4, 1)
    with pytest.raises(Exhausted):
        pools.take("b", 5, 1)


def test_pools_that_cannot_be_used() -> None:
    """One that is not there, and one of IPv6."""
    pools = addresses()
    with pytest.raises(LocalProtocolError, match="there is no pool `none`"):
        pools.check("none")
    with pytest.raises(LocalProtocolError, match="IPv6"):
        pools.take("six", "a", 0)


CONFIGS = [
    parse([("l2tpd.toml", POOLS)]),
    parse([("l2tpd.toml", POOLS.replace('exclude = "10.0.0.2-10.0.0.4"\n', ""))]),
    parse([("l2tpd.toml", POOLS.replace('next = "large"\n', "").replace("10.0.0.5", "10.0.1.1"))]),
    parse([("l2tpd.toml", POOLS.replace("pool.large", "pool.other").replace('next = "large"\n', ""))]),
]
HOLDERS = st.integers(0, 5)
MOVES = st.one_of(
    st.tuples(st.just("take"), st.sampled_from(["small", "large", "other"]), HOLDERS),
    st.tuples(st.just("claim"), st.sampled_from(["10.0.0.5", "10.0.0.6", "10.0.1.1", "192.0.2.1"]), HOLDERS),
    st.tuples(st.just("release"), st.just(""), HOLDERS),
    st.tuples(st.just("configure"), st.just(""), st.integers(0, len(CONFIGS) - 1)),
)


@given(st.lists(MOVES, max_size=80))
def test_one_holder_for_each_address(moves: list[tuple[str, str, int]]) -> None:
    """Whatever is asked for, assigned, given back and configured anew; the counts are right throughout."""
    pools, config, held = Addresses(), CONFIGS[0], dict[int, str]()
    pools.configure(config)
    for now, (move, what, who) in enumerate(moves):
        if move == "configure":
            config = CONFIGS[who]
            pools.configure(config)
        elif move == "release":
            pools.release(who, now)
            held.pop(who, None)
        elif move == "claim" and pools.claim(what, who, now, f"user {who}"):
            held[who] = what
        elif move == "take":
            try:
                held[who] = pools.take(what, who, now, f"user {who}")
            except Exhausted:
                held.pop(who, None)
            except LocalProtocolError:
                assert what not in config.pools
        assert len(set(held.values())) == len(held)
        for name in config.pools.keys() - {"six"}:
            size, used, quarantined, free = pools.fill(name, now)
            assert 0 <= used <= len(held)
            assert 0 <= quarantined + free <= size


PREFIXES = """
[pool.links]
range = "2001:db8:1::/56"
prefix_length = 64
[pool.sites]
range = "2001:db8:100::/40"
prefix_length = 56
[user.alice]
password = "wonder"
prefix = "2001:db8:1::/64"
delegated_prefix = "2001:db8:100::/56"
"""


def test_prefixes_are_held_as_addresses_are() -> None:
    """A user's own are handed out to nobody else, and each use holds one."""
    pools = addresses(PREFIXES)
    assert "2001:db8:1:1::/64" == pools.take("links", "a", 0, use=Use.LINK)
    assert "2001:db8:100:100::/56" == pools.take("sites", "a", 0, use=Use.DELEGATION)
    assert pools.claim("2001:db8:1::/64", "b", 0, "alice", Use.LINK)
    assert not pools.claim("2001:db8:1::/64", "c", 0, "alice", Use.LINK)
    assert Fill(size=256, used=2, quarantined=0, free=254) == pools.fill("links", 0)


@pytest.mark.parametrize(
    ("pool", "use", "complaint"),
    [
        ("sites", Use.ADDRESS, "holds prefixes, which IPCP cannot give"),
        ("sites", Use.LINK, "holds no prefixes of 64 bits"),
        ("small", Use.DELEGATION, "holds addresses, not prefixes"),
        ("six", Use.LINK, "holds addresses, not prefixes"),
    ],
)
def test_a_pool_that_holds_something_else(pool: str, use: Use, complaint: str) -> None:
    """RADIUS may name it: the error says what is wrong."""
    pools = addresses(POOLS + PREFIXES.partition("[user")[0])
    with pytest.raises(LocalProtocolError, match=complaint):
        pools.take(pool, "a", 0, use=use)


def test_what_a_pool_hands_out_by_parts_is_nobodys_own() -> None:
    """A prefix that RADIUS says, of which a pool would hand out a half to somebody else."""
    pools = addresses(PREFIXES)
    assert not pools.claim("2001:db8:100:200::/60", "a", 0)
    assert pools.claim("2001:db8:900::/60", "a", 0)


def test_a_prefix_within_that_of_another() -> None:
    """Nobody has a part of what another has, or what that is a part of, until it has gone; the same session may, for an address on its own link."""
    pools = addresses(PREFIXES)
    assert pools.claim("2001:db8:900::/56", "a", 0, use=Use.DELEGATION)
    assert not pools.claim("2001:db8:900::/60", "b", 0, use=Use.DELEGATION)
    assert not pools.claim("2001:db8:900::/48", "b", 0, use=Use.DELEGATION)
    assert not pools.claim("2001:db8:900:7::7", "b", 0, use=Use.HOST)
    assert pools.claim("2001:db8:900:7::7", "a", 0, use=Use.HOST)
    assert pools.claim("2001:db8:900:100::/56", "b", 0, use=Use.DELEGATION)
    pools.release("a", 0)
    assert pools.claim("2001:db8:900::/60", "c", 0, use=Use.DELEGATION)


def test_an_address_in_the_prefixes_of_a_pool() -> None:
    """It is for whom the pool has given the prefix, and for nobody else."""
    pools = addresses(PREFIXES)
    assert "2001:db8:1:1::/64" == pools.take("links", "a", 0, use=Use.LINK)
    assert not pools.claim("2001:db8:1:1::7", "b", 0, use=Use.HOST)
    assert not pools.claim("2001:db8:1:2::7", "b", 0, use=Use.HOST)
    assert pools.claim("2001:db8:1:1::7", "a", 0, use=Use.HOST)
    assert Fill(size=256, used=1, quarantined=0, free=254) == pools.fill("links", 0)


def test_a_pool_that_comes_later_passes_over_what_somebody_has() -> None:
    """A reload has brought it, and an assigned prefix has begun to lie in it, larger or smaller than its own are."""
    pools = addresses("")
    assert pools.claim("2001:db8:1::/63", "a", 0, use=Use.LINK)
    assert pools.claim("2001:db8:100::/64", "b", 0, use=Use.LINK)
    pools.configure(parse([("l2tpd.toml", PREFIXES.partition("[user")[0])]))
    assert "2001:db8:1:2::/64" == pools.take("links", "c", 0, use=Use.LINK)
    assert "2001:db8:100:100::/56" == pools.take("sites", "c", 0, use=Use.DELEGATION)


LINKS = parse([("l2tpd.toml", '[pool.links]\nrange = "2001:db8:1::/63"\nprefix_length = 64\nquarantine = 2\n')])
WHOLE = ["2001:db8:1::/64", "2001:db8:9::/64", "2001:db8::/48"]
TURNS = st.one_of(
    st.tuples(st.just("take"), st.just("links"), st.integers(0, 2)),
    st.tuples(st.just("claim"), st.sampled_from(WHOLE), st.integers(0, 2)),
    st.tuples(st.just("add"), st.sampled_from(["2001:db8:1::7", "2001:db8:1:1::7"]), st.integers(0, 2)),
    st.tuples(st.just("release"), st.just(""), st.integers(0, 2)),
    st.tuples(st.just("configure"), st.just(""), st.integers(0, 1)),
)


@given(st.lists(TURNS, max_size=40), st.sampled_from(["", "alice"]))
def test_no_prefix_is_ever_lost(turns: list[tuple[str, str, int]], user: str) -> None:
    """Whoever had it, a part of it or what it is a part of, and however it came to that: once all have gone and it has rested, a pool hands it out."""
    pools, now = Addresses(), 0
    pools.configure(LINKS)
    for now, (turn, what, who) in enumerate(turns):
        if turn == "configure":
            pools.configure(LINKS if who else parse([]))
        elif turn == "release":
            pools.release(who, now)
        elif turn in {"claim", "add"}:
            pools.claim(what, who, now, user, Use.LINK if turn == "claim" else Use.HOST)
        else:
            with suppress(Exhausted, LocalProtocolError):
                pools.take(what, who, now, user, Use.LINK)
    for who in range(3):
        pools.release(who, now)
    pools.configure(LINKS)
    assert 2 == len({pools.take("links", f"late {number}", now + 2, use=Use.LINK) for number in range(2)})


def test_a_prefix_of_which_its_last_holder_has_an_address_still() -> None:
    """A session gets another prefix and keeps the address: the first is nobody's until that has gone as well, and then anybody's."""
    pools = Addresses()
    pools.configure(LINKS)
    first = pools.take("links", "a", 0, "alice", Use.LINK)
    assert pools.claim("2001:db8:1::7", "a", 0, "alice", Use.HOST)
    assert pools.claim("2001:db8:9::/64", "a", 0, "alice", Use.LINK)
    assert first != pools.take("links", "b", 10, use=Use.LINK)
    for user in ("", "alice"):
        with pytest.raises(Exhausted):
            pools.take("links", "c", 10, user, Use.LINK)
    pools.release("a", 10)
    assert first == pools.take("links", "c", 10, use=Use.LINK)


SMALL = """
[pool.a]
range = "10.0.0.1-10.0.0.2"
[pool.links]
range = "2001:db8:1::/63"
prefix_length = 64
"""


@pytest.mark.parametrize(
    ("prefix", "first", "pool", "use"),
    [
        ("10.0.0.1/32", "10.0.0.1", "a", Use.ADDRESS),
        ("2001:db8:1::/64", "2001:db8:1::/64", "links", Use.LINK),
    ],
)
def test_what_is_routed_to_somebody_is_nobody_elses_address(prefix: str, first: str, pool: str, use: Use) -> None:
    """Its packets would go there; it is had again once the route has gone, and the other way round what somebody has is routed to nobody else."""
    pools = Addresses()
    pools.configure(parse([("l2tpd.toml", SMALL)]))
    assert pools.route(prefix, "alice")
    assert pools.route(prefix, "alice")
    assert not pools.route(prefix, "bob")
    assert not pools.claim(first, "bob", 0, use=use)
    other = pools.take(pool, "bob", 0, use=use)
    assert first != other
    with pytest.raises(Exhausted):
        pools.take(pool, "carol", 0, use=use)
    assert pools.claim(first, "alice", 0, use=use)
    pools.release("alice", 0)
    assert first == pools.take(pool, "carol", 1000, use=use)
    assert not pools.route(prefix, "bob")
    assert pools.route("198.51.100.0/24", "bob")
    pools.release("carol", 1000)
    assert pools.route(prefix, "bob")
