"""What becomes of the input: tables of ours, each with what could not be said in it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple

import attrs

from l2tpctl.importing.source import Item

Value = bool | int | float | str | list[str] | tuple[int, ...]
TableName = tuple[str, ...]
"""`("tunnel", "hq", "session", "one")`; `("listen", "0")` is the first `[[listen]]`; `()` holds what belongs to no table."""


class Fate(enum.Enum):
    """What became of an item that is no key of ours."""

    LOST = "no counterpart"
    SAME = "holds here anyway"


class Entry(NamedTuple):
    """A key's value, the items that said it (none where it is a default of theirs), and a remark."""

    value: Value
    items: tuple[Item, ...]
    note: str


class Remark(NamedTuple):
    """An item that is no key of ours, and why."""

    item: Item
    fate: Fate
    reason: str


@attrs.define(eq=False)
class Table:
    """A table of ours; `notes` stand above it, `remarks` in it."""

    name: TableName
    keys: dict[str, Entry] = attrs.field(factory=dict)
    notes: list[str] = attrs.field(factory=list)
    remarks: list[Remark] = attrs.field(factory=list)

    def set(self, key: str, value: Value, *items: Item, note: str = "") -> None:
        """Say a key; what said it before, in the same section, turns into a remark."""
        before = self.keys.pop(key, None)
        for item in before.items if before is not None else ():
            if item not in items:
                self.lose(item, "it is said again, which holds")
        self.keys[key] = Entry(value, items, note)

    def default(self, key: str, value: Value, note: str = "") -> None:
        """Say a default of theirs, unless the key is said."""
        if key not in self.keys:
            self.keys[key] = Entry(value, (), note)

    def add(self, key: str, values: Iterable[str], *items: Item) -> None:
        """Add to a key that is a list."""
        before = self.keys.get(key, Entry([], (), ""))
        known = before.value if isinstance(before.value, list) else []
        self.keys[key] = Entry([*known, *(new for new in values if new not in known)], (*before.items, *items), "")

    def get(self, key: str) -> Value | None:
        """Return what is said of a key."""
        entry = self.keys.get(key)
        return None if entry is None else entry.value

    def lose(self, item: Item, reason: str) -> None:
        """Note an item that we cannot say."""
        self.remarks.append(Remark(item, Fate.LOST, reason))

    def same(self, item: Item, reason: str) -> None:
        """Note an item that needs no words of ours."""
        self.remarks.append(Remark(item, Fate.SAME, reason))

    def drop(self, key: str, reason: str) -> None:
        """Take a key back: what said it turns into a remark."""
        entry = self.keys.pop(key, None)
        for item in entry.items if entry is not None else ():
            self.lose(item, reason)

    def note(self, text: str) -> None:
        """Add a line above the table, once."""
        if text not in self.notes:
            self.notes.append(text)


@attrs.define(eq=False)
class Draft:
    """A configuration in the making; `warnings` are told to the user as well."""

    file: str
    format: str
    tables: dict[TableName, Table] = attrs.field(factory=dict)
    warnings: list[str] = attrs.field(factory=list)
    _names: dict[tuple[str, str], str] = attrs.field(factory=dict)

    def table(self, *name: str) -> Table:
        """Return the table of this name; a new one if there is none."""
        return self.tables.setdefault(name, Table(name))

    def family(self, *head: str) -> list[Table]:
        """Return the tables `head.NAME`."""
        return [table for name, table in self.tables.items() if name[:-1] == head]

    def warn(self, table: Table, text: str) -> None:
        """Note what the user has to see to."""
        table.note(text)
        self.warnings.append(f"[{'.'.join(table.name)}]: {text}")

    def named(self, family: str, wanted: str, *, like: str = "") -> str:
        """Return the name of ours for a table that they call `wanted`: always the same, near to `like` if that is said, and never another's."""
        known = self._names.get((family, wanted))
        if known is None:
            taken = {name for (kind, _), name in self._names.items() if kind == family}
            known = self._names[family, wanted] = _free(instance_name(like or wanted), taken | {"default"} - {wanted})
        return known

    def fates(self) -> dict[Item, Fate | None]:
        """Return each item that came up: None where it is a key of ours, else what became of it; being a key counts most."""
        found: dict[Item, Fate | None] = {}
        for table in self.tables.values():
            for remark in table.remarks:
                if found.get(remark.item) is not Fate.SAME:
                    found[remark.item] = remark.fate
        said = (entry.items for table in self.tables.values() for entry in table.keys.values())
        return found | {item: None for items in said for item in items}


def instance_name(text: str) -> str:
    """Return what our tables may be called, as near to the text as possible."""
    kept = "".join("-" if char in ' "' or not char.isprintable() else char for char in text)
    return kept.lstrip("@-")[:100] or "unnamed"


def _free(wanted: str, taken: set[str]) -> str:
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}-{count}"
    return name
