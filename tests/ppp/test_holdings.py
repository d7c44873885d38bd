"""Whose an address or prefix is, whole or in part."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from l2tpd.ppp.holdings import Holdings

SIX = [
    "2001:db8::/32", "2001:db8::/48", "2001:db8::/56", "2001:db8::/64", "2001:db8::", "2001:db8::7",
    "2001:db8:0:1::/64", "2001:db8:0:1::9", "2001:db8:1::/48", "2001:db8:1:ff00::/56", "2001:db9::/64", "::", "ffff::",
]  # fmt: skip
FOUR = ["10.0.0.1", "10.0.0.2"]
MOST = 3  # of IPv6 that an owner has
MOVES = st.lists(
    st.tuples(st.sampled_from(["add", "remove"]), st.sampled_from(SIX + FOUR), st.integers(0, 3)), max_size=60
)


@given(MOVES)
def test_it_is_as_if_each_were_compared_with_all(moves: list[tuple[str, str, int]]) -> None:
    """Whatever comes and goes, as long as nobody takes what others have."""
    holdings, held = Holdings(), dict[str, int]()
    for move, text, owner in moves:
        meeting = {one for one in held if _meet(one, text)}
        assert (text in holdings) == bool(meeting)
        assert holdings.others_have(text, owner) == (text in held or any(held[one] != owner for one in meeting))
        around = {one for one in meeting if ip_network(text).prefixlen >= ip_network(one).prefixlen}
        assert holdings.has_around(text, owner) == any(held[one] == owner for one in around if ":" in text)
        room = sum(other == owner and ":" in one for one, other in held.items()) < MOST
        if move == "add" and room and not holdings.others_have(text, owner):
            holdings.add(text, owner)
            held[text] = owner
        elif move == "remove" and text in held:
            holdings.remove(text)
            del held[text]
        assert held.keys() == holdings.all


def _meet(one: str, other: str) -> bool:
    some, others = ip_network(one), ip_network(other)
    return some.version == others.version and some.overlaps(others)


def test_what_is_no_text_is_nobodys() -> None:
    """As any container has it."""
    assert 7 not in Holdings()
