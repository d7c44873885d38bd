"""Commented TOML: whatever is said can be read again, and comments hold no control characters."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from l2tpctl.importing.draft import Draft
from l2tpctl.importing.render import toml
from l2tpctl.importing.source import Item

TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # the input is UTF-8, which has no surrogates
VALUES = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(0.001, 1e9) | TEXT | st.lists(TEXT, max_size=3)


@given(TEXT, VALUES, TEXT)
def test_what_is_said_can_be_read_again(name: str, value: bool | float | str | list[str], reason: str) -> None:
    """Names, values and comments of any text."""
    draft = Draft(reason, "xl2tpd")
    table = draft.table("tunnel", name)
    table.set("key", value, note=reason)
    table.lose(Item("key", reason, "f", 1), reason)
    table.note(reason)
    draft.table().lose(Item(name, reason, "f", 2), reason)
    assert {"tunnel": {name: {"key": value}}} == tomllib.loads(toml(draft))


def test_the_order_is_that_of_the_manual() -> None:
    """The daemon first, tunnels last, `default` before the profiles that build on it; an array of tables as such."""
    draft = Draft("f", "xl2tpd")
    for name in (
        ("tunnel", "a"),
        ("pool", "p"),
        ("profile", "ppp", "a"),
        ("profile", "ppp", "default"),
        ("listen", "0"),
        ("system",),
    ):
        draft.table(*name)
    heads = [line for line in toml(draft).split("\n") if line.startswith("[")]
    assert ["[system]", "[[listen]]", "[profile.ppp.default]", "[profile.ppp.a]", "[pool.p]", "[tunnel.a]"] == heads


def test_a_remark_stands_once() -> None:
    """In the first of the tables that have it."""
    draft, item = Draft("f", "xl2tpd"), Item("a", "b", "f", 1)
    for name in ("x", "y"):
        draft.table("pool", name).lose(item, "why")
    assert 1 == toml(draft).count("# a = b: no counterpart: why")


def test_names_stay_apart() -> None:
    """What becomes alike by losing what our names may not have gets a number; `default` is nobody's by accident."""
    draft = Draft("f", "xl2tpd")
    found = [draft.named("tunnel", wanted) for wanted in ("a b", "a-b", "a b", "@default", "default", "")]
    assert ["a-b", "a-b-2", "a-b", "default-2", "default", "unnamed"] == found


def test_a_key_that_is_said_again() -> None:
    """The last one holds; the first is a comment."""
    draft = Draft("f", "xl2tpd")
    first, last = Item("a", "1", "f", 1), Item("a", "2", "f", 2)
    draft.table("system").set("max_tunnels", 1, first)
    draft.table("system").set("max_tunnels", 2, last)
    assert "max_tunnels = 2\n# a = 1: no counterpart: it is said again, which holds" in toml(draft)
