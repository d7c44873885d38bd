"""The draft as commented TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from l2tpctl.importing.draft import Draft, Fate, Remark, Table, TableName, Value

ORDER = ("system", "listen", "peer", "profile", "pool", "radius", "tunnel")
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def toml(draft: Draft) -> str:
    """Write the draft; what belongs to no table stands at the end."""
    parts = [_head(draft)]
    _once(draft)
    parts += ["\n".join(_table(table)) for table in _sorted(draft) if table.name]
    rest = draft.tables.get(())
    if rest is not None and (rest.remarks or rest.notes):
        parts.append("\n".join(("# What belongs to none of these tables:", *_comments(rest))))
    return "\n\n".join(parts) + "\n"


def _once(draft: Draft) -> None:
    """Leave each remark to the first table that has it."""
    seen: set[Remark] = set()
    for table in _sorted(draft):
        table.remarks[:] = [remark for remark in table.remarks if remark not in seen]
        seen.update(table.remarks)


def _head(draft: Draft) -> str:
    return "\n".join((
        comment(f"Made by `l2tpctl import {draft.format}` from {draft.file}; see l2tpd.toml(5)."),
        "# A comment `NAME = value: no counterpart: reason` is a key that could not be said here.",
    ))  # fmt: skip


def _sorted(draft: Draft) -> list[Table]:
    """Put tables into the order of the manual, by name; the profile `default` first, since the others build on it; servers as they were said."""
    made = list(draft.tables.values())
    return sorted(made, key=lambda table: _rank(table.name, made.index(table)))


def _rank(name: TableName, made: int) -> tuple[int, TableName]:
    head = name[0] if name else ""
    parts = (f"{made:09}",) if head == "radius" else tuple("" if part == "default" else part for part in name)
    return (ORDER.index(head) if head in ORDER else len(ORDER), parts)


def _table(table: Table) -> Iterator[str]:
    yield from map(comment, table.notes)
    yield "[[listen]]" if table.name[0] == "listen" else f"[{'.'.join(map(name, table.name))}]"
    for key, entry in table.keys.items():
        remark = f"  {comment(entry.note)}" if entry.note else ""
        yield f"{key} = {value(entry.value)}{remark}"
    yield from map(_remark, table.remarks)


def _comments(table: Table) -> Iterator[str]:
    yield from map(comment, table.notes)
    yield from map(_remark, table.remarks)


def _remark(remark: Remark) -> str:
    fate: Fate = remark.fate
    return comment(f"{remark.item.shown}: {fate.value}: {remark.reason}")


def comment(text: str) -> str:
    """Write a line of comment; TOML allows no control characters in it."""
    kept = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return f"# {''.join(kept)}"


def name(part: str) -> str:
    """Write a part of a table's name."""
    return part if _BARE.match(part) else value(part)


def value(said: Value) -> str:
    """Write a value. TOML's strings are JSON's, except that DEL has to be escaped too."""
    if isinstance(said, list | tuple):
        return f"[{', '.join(map(value, said))}]"
    if isinstance(said, str):
        return json.dumps(said, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(said).lower() if isinstance(said, bool) else format(said, "d" if isinstance(said, int) else "")
