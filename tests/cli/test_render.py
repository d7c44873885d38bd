"""Answers as text: aligned, fitting, and harmless."""

import json
import os
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpctl import render
from l2tpd.control.jsonrpc import Json


@given(st.text())
def test_printable_text_is_one_printable_line(text: str) -> None:
    """Whatever a peer sent."""
    assert render.printable(text).isprintable()
    assert render.quoted(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("é", "é"),
        ("\n", "\\x0a"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    """By its number; the rest is left as it is."""
    assert shown == render.printable(text)


def test_quotes_and_backslashes_are_escaped() -> None:
    """So that the end of a quoted text can be found."""
    assert '"a\\"b\\\\c"' == render.quoted('a"b\\c')


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "00:00:00"), (59.9, "00:00:59"), (3725, "01:02:05"), (90061, "1d 01:01:01"), (None, "-")]
)
def test_durations_are_clocks(seconds: Json, shown: str) -> None:
    """With days in front when there are some."""
    assert shown == render.clock(seconds)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (60.0, "60"),
        (0.5, "0.5"),
        (["a", 1], "a, 1"),
        ({"up": 2, "idle": 0}, "up 2, idle 0"),
    ],
)
def test_values_are_words(value: Json, shown: str) -> None:
    """Nothing is a dash, truth is yes or no."""
    assert shown == render.word(value)


def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the widest column is cut and marked; when piped nothing is."""
    row: render.Row = {"name": "n" * 200, "range": "10.0.0.1-10.0.0.9", "used": 3, "free": 5, "size": 8}
    assert "n" * 200 in render.table(render.POOLS, [row])
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((60, 24)))
    lines = render.table(render.POOLS, [row]).splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert "…  10.0.0.1-10.0…     3     5            -     8" in lines[1]


def test_a_table_without_rows_is_its_heading() -> None:
    """So that a script can drop the first line always."""
    assert "Name  Range  Used  Free  Quarantined  Size" == render.table(render.POOLS, [])


ROWS: list[Json] = [
    {"name": "n" * width, "used": width, "more": {"empty": [], "list": [1, "a\nb"]}} for width in range(1, 20, 3)
]


@pytest.mark.parametrize("cuts", [(), (7,), (2, 4), (0, 0, 7), (3, 3)])
def test_a_document_in_pages_is_the_whole(cuts: tuple[int, ...]) -> None:
    """To the last octet what it would be if all rows were there at once, also without any."""
    for whole in (ROWS, []):
        written = "".join(_paged(render.Document("rows"), whole, cuts))
        assert json.dumps({"rows": whole}, indent=2) + "\n" == written


def _paged(pages: render.Pages, whole: list[Json], cuts: tuple[int, ...]) -> list[str]:
    return [*(pages.page(whole[a:b]) for a, b in pairwise((0, *cuts, len(whole)))), pages.end()]


def test_a_table_in_pages() -> None:
    """The headings come once, and a column is as wide as what it had to hold so far: what fits into it stands below what was there before."""
    pages = render.Table([("Name", render.field("name")), ("Used", render.field("used"))])
    found = [pages.page([{"name": name, "used": 1}]) for name in ("abcdefgh", "abc", "abcdefghij", "a")]
    assert ["Name      Used\nabcdefgh     1\n", "abc          1\n", "abcdefghij     1\n", "a              1\n"] == found
    assert ("", "") == (pages.page([]), pages.end())


def test_blocks_in_pages() -> None:
    """An empty line stands between two of them, wherever a page ends."""
    for cuts in ((), (1,), (0, 1, 1, 2)):
        pages = render.Blocks(lambda row: f"[{row['name']}]\nx")
        assert "[a]\nx\n\n[b]\nx\n\n[c]\nx\n" == "".join(_paged(pages, [{"name": name} for name in "abc"], cuts))
    assert "" == "".join(_paged(render.Blocks(str), [], (0,)))


def test_details_are_aligned_and_groups_indented() -> None:
    """Objects within an object stand under their name, lists of objects a line each."""
    row: render.Row = {
        "name": "hq",
        "in_state": 61.0,
        "transport": {"ns": 1},
        "listening": [{"address": "a", "encap": "udp"}],
    }
    assert (
        "name:     hq\nin state: 00:01:01\ntransport:\n  ns: 1\nlistening:\n  address a, encap udp"
    ) == render.detail(row)
