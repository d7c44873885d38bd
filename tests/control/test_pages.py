"""Lists in pages, each fetched as a client would."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.double import Double, ask, example, refusal, walk
from l2tpd.control.jsonrpc import INVALID_PARAMS
from l2tpd.control.params import PAGE


@given(
    st.dictionaries(st.integers(1, 65535), st.sets(st.integers(1, 65535), max_size=5), max_size=12), st.integers(1, 7)
)
def test_pages_together_are_the_whole_list(sessions: dict[int, set[int]], limit: int) -> None:
    """Whatever the page's size, every tunnel and every session comes once and in order."""
    double = Double()
    for tunnel, numbers in sessions.items():
        double.add_tunnel(tunnel)
        for number in numbers:
            double.add_session(tunnel, number)
    assert sorted(sessions) == [row["id"] for row in walk(double, "tunnel.list", "tunnels", limit=limit)]
    rows = walk(double, "session.list", "sessions", limit=limit)
    assert sorted((t, s) for t, numbers in sessions.items() for s in numbers) == [
        (r["tunnel_id"], r["id"]) for r in rows
    ]


def test_a_list_goes_on_where_it_was_although_tunnels_came_and_went() -> None:
    """What was there all along is listed once; that the last one listed is gone does no harm."""
    double = example()
    page = ask(double, "tunnel.list", limit=1)
    assert [7] == [row["id"] for row in page["tunnels"]]
    del double.tunnels[7]
    double.add_tunnel(3)
    assert [12, 300] == [row["id"] for row in ask(double, "tunnel.list", cursor=page["cursor"])["tunnels"]]


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**30])
def test_a_page_has_a_bounded_size(limit: int) -> None:
    """At least one row and at most so many; nobody can ask for everything at once."""
    for method in ("tunnel.list", "session.list", "config.show", "peers.list", "log.show"):
        assert INVALID_PARAMS == refusal(example(), method, limit=limit).code


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1/2/3", "٣", "9" * 40])
def test_a_cursor_that_no_list_gave_is_refused(cursor: str) -> None:
    """Whatever stands in it."""
    for method in ("tunnel.list", "session.list", "config.show"):
        assert INVALID_PARAMS == refusal(example(), method, cursor=cursor).code


def test_a_page_of_filtered_tunnels_examines_no_more_than_its_limit() -> None:
    """Of 5,000 tunnels of which none matches, a page looks at its share and gives a cursor."""
    looked: list[int] = []

    class Counting(Double):
        def tunnel_row(self, tunnel_id: int) -> Any:
            looked.append(tunnel_id)
            return super().tunnel_row(tunnel_id)

    double = Counting()
    for number in range(1, 5001):
        double.add_tunnel(number)
    page = ask(double, "tunnel.list", state="closing")
    assert ([], str(PAGE)) == (page["tunnels"], page["cursor"])
    assert len(looked) <= PAGE + 1


def test_short_lists_are_paged_too() -> None:
    """The configuration's tables come in its order."""
    tables = walk(example(), "config.show", "tables", limit=1)
    assert ["system", "tunnel.hq"] == [table["table"] for table in tables]
    assert ["default"] == [row["name"] for row in walk(example(), "peers.list", "peers")]
    assert ["default"] == [row["name"] for row in walk(example(), "profiles.list", "profiles")]
    assert ["subscribers"] == [row["name"] for row in walk(example(), "pools.list", "pools")]
