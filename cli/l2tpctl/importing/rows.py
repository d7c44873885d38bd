"""Rows of the formats' tables: what becomes of a key of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from l2tpctl.importing.draft import Table
from l2tpctl.importing.source import Item
from l2tpctl.importing.values import Convert, Unsayable, Wrong, boolean, text

T = TypeVar("T")

Places = Mapping[str, Table]
"""The tables of ours that a section of theirs fills, each by a short name; `home` has the comments on what fits nowhere."""


class To(NamedTuple):
    """It is a key of ours, in one of the places."""

    place: str
    key: str
    convert: Convert = text
    note: str = ""


class More(NamedTuple):
    """It adds to a key of ours that is a list; the converter returns a list."""

    place: str
    key: str
    convert: Convert


class No(NamedTuple):
    """It has no counterpart."""

    reason: str
    place: str = "home"


class Same(NamedTuple):
    """It holds here whether said or not."""

    reason: str
    place: str = "home"


class If(NamedTuple):
    """What becomes of it depends on whether it says yes or no."""

    yes: Row
    no: Row


class Later(NamedTuple):
    """The format's own code looks at it, together with others."""


Row = To | More | No | Same | If | Later
Rows = Mapping[str, Row]

UNKNOWN = No("nobody here knows this key")
LATER = Later()


def apply(rows: Rows, items: Iterable[Item], places: Places) -> None:
    """Put each item where its row says; one that no row knows is a comment."""
    for item in items:
        put(rows.get(item.name, UNKNOWN), item, places)


def put(row: Row, item: Item, places: Places) -> None:
    """Put one item where its row says."""
    try:
        _put(row, item, places)
    except Wrong as error:
        raise item.wrong(str(error)) from None
    except Unsayable as error:
        places[getattr(row, "place", "home")].lose(item, str(error))


def checked(item: Item, convert: Callable[[str], T]) -> T:
    """Convert a value that cannot be done without: what cannot be said ends the import as well."""
    try:
        return convert(item.value)
    except ValueError as error:
        raise item.wrong(str(error)) from None


def _put(row: Row, item: Item, places: Places) -> None:
    match row:
        case To(place, key, convert, note):
            places[place].set(key, convert(item.value), item, note=note)
        case More(place, key, convert):
            added = convert(item.value)
            places[place].add(key, added if isinstance(added, list) else [str(added)], item)
        case No(reason, place):
            places[place].lose(item, reason)
        case Same(reason, place):
            places[place].same(item, reason)
        case If(yes, no):
            put(yes if boolean(item.value) else no, item, places)
        case Later():
            pass
