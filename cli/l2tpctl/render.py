"""Answers of the daemon as text: tables that fit a terminal, plain columns when piped.

Names, addresses and messages come from peers: what is not printable is shown escaped, so that nobody's Host Name rewrites the operator's
screen, and nothing is ever read as markup.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from l2tpd.control.jsonrpc import Json

Row = Mapping[str, Json]
Cell = Callable[[Row], str]


def printable(text: str) -> str:
    """Show what is not printable as escapes: control characters, line ends, terminal sequences, lone surrogates."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def quoted(text: str) -> str:
    """Put a text between double quotes; quotes and backslashes in it are escaped."""
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def clock(seconds: Json) -> str:
    """Show a duration as HH:MM:SS, with days in front when there are some."""
    if not isinstance(seconds, (int, float)):
        return "-"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (f"{days}d " if days else "") + f"{hour:02d}:{minute:02d}:{second:02d}"


def stamp(seconds: Json, pattern: str) -> str:
    """Show seconds since 1970 as local time by a pattern of strftime(3); `-` for what is no time that has a date."""
    try:
        return time.strftime(pattern, time.localtime(seconds)) if isinstance(seconds, (int, float)) else "-"
    except (OverflowError, ValueError, OSError):
        return "-"


def word(value: Json) -> str:
    """Show one value; `-` for what is empty."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return ", ".join(word(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{printable(key)} {word(item)}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def field(name: str) -> Cell:
    """Make a cell that shows one field."""
    return lambda row: word(row.get(name))


def duration(name: str) -> Cell:
    """Make a cell that shows a field as a duration."""
    return lambda row: clock(row.get(name))


def _flag(row: Row) -> str:
    return "N" if row.get("origin") == "network" else ""


def _state(row: Row) -> str:
    return word(row.get("state")).upper()


def _protocol(row: Row) -> str:
    return f"{word(row.get('version'))}/{word(row.get('encap'))}"


# heading, cell; numbers stand to the right
TUNNELS: Sequence[tuple[str, Cell]] = (
    ("", _flag),
    ("TunId", field("id")),
    ("Name", field("name")),
    ("State", _state),
    ("Time", duration("in_state")),
    ("Protocol", _protocol),
    ("Peer", field("peer_address")),
    ("Sessions", field("sessions")),
)
SESSIONS: Sequence[tuple[str, Cell]] = (
    ("", _flag),
    ("TunId", field("tunnel_id")),
    ("SessId", field("id")),
    ("Name", field("name")),
    ("State", _state),
    ("Time", duration("in_state")),
    ("Type", field("pseudowire")),
    ("Interface", field("interface")),
)
PPP: Sequence[tuple[str, Cell]] = (
    ("TunId", field("tunnel_id")),
    ("SessId", field("session_id")),
    ("Name", field("name")),
    ("State", _state),
    ("Time", duration("uptime")),
    ("User", field("user")),
    ("Interface", field("interface")),
    ("Address", lambda row: word(row.get("remote_address") or row.get("remote_ipv6"))),
)
PEERS: Sequence[tuple[str, Cell]] = (
    ("Name", field("name")),
    ("Host name", field("host_name")),
    ("Match", field("match")),
    ("Accept", field("accept")),
    ("Roles", field("roles")),
    ("Secret", field("secret_set")),
    ("Profiles", lambda row: f"{word(row.get('tunnel_profile'))} / {word(row.get('session_profile'))}"),
    ("Tunnels", field("tunnels")),
)
POOLS: Sequence[tuple[str, Cell]] = (
    ("Name", field("name")),
    ("Range", field("range")),
    ("Used", field("used")),
    ("Free", field("free")),
    ("Quarantined", field("quarantined")),
    ("Size", field("size")),
)
MESSAGES: Sequence[tuple[str, Cell]] = (
    ("Message", field("message")),
    ("Sent", field("sent")),
    ("Received", field("received")),
    ("Bad", field("bad")),
)
NUMERIC = frozenset(
    {"TunId", "SessId", "Sessions", "Tunnels", "Used", "Free", "Quarantined", "Size", "Sent", "Received", "Bad"}
) | {f"{way} {unit}" for way in ("In", "Out") for unit in ("bit/s", "pkt/s")}
DURATIONS = frozenset({"uptime", "in_state", "created", "since", "retry_in"})


class Pages(Protocol):
    """What becomes of a list that comes in pages."""

    def page(self, found: Sequence[Json], /) -> str:
        """Return the text of one more page, with what separates it from the others."""

    def end(self) -> str:
        """Return what comes after the last."""


class _Lines:
    """Pages that end with their last line."""

    def end(self) -> str:
        """Add nothing."""
        return ""


class Table(_Lines):
    """Rows in columns; on a terminal the widest text is cut so that a line fits.

    Text that is wider than all on the pages before makes its column wider from its page on.
    """

    def __init__(self, columns: Sequence[tuple[str, Cell]]) -> None:
        """Begin with the headings."""
        self._cells = [cell for _, cell in columns]
        self._to_right = [heading in NUMERIC for heading, _ in columns]
        self._headings = [[heading for heading, _ in columns]]
        self._widths = [len(heading) for heading, _ in columns]

    def page(self, found: Sequence[Json], /) -> str:
        """Set one more page."""
        lines = [*self._headings, *([cell(row) for cell in self._cells] for row in rows(found))]
        self._headings = []
        self._widths = [max(column) for column in zip(self._widths, *(map(len, line) for line in lines), strict=True)]
        fitted = _fitted(list(self._widths))
        return "".join(f"{_set(line, fitted, self._to_right)}\n" for line in lines)


class Blocks(_Lines):
    """Some lines for each row, as `text` sets it, with an empty line between two."""

    def __init__(self, text: Callable[[Row], str]) -> None:
        self._text = text
        self._gap = ""

    def page(self, found: Sequence[Json], /) -> str:
        """Set one more page."""
        texts = [self._text(row) for row in rows(found)]
        gap, self._gap = self._gap, "\n" if texts else self._gap
        return "".join((gap, "\n\n".join(texts), "\n")) if texts else ""


class Document:
    """One document of JSON: an object with the list under its `key`, set as `json.dumps` does with an indentation of 2."""

    def __init__(self, key: str) -> None:
        self._encode = json.JSONEncoder(indent=2).encode
        self._before = f"{{\n  {json.dumps(key)}: ["
        self._after = "]\n}\n"

    def page(self, found: Sequence[Json], /) -> str:
        """Set one more page."""
        texts = ["\n    " + self._encode(row).replace("\n", "\n    ") for row in found]
        text = self._before + ",".join(texts) if texts else ""
        if texts:
            self._before, self._after = ",", "\n  ]\n}\n"
        return text

    def end(self) -> str:
        """Finish the list and the object."""
        return ("" if self._before == "," else self._before) + self._after


def rows(found: Sequence[Json]) -> list[Row]:
    """Return what are rows among these."""
    return [row for row in found if isinstance(row, dict)]


def table(columns: Sequence[tuple[str, Cell]], found: Sequence[Json]) -> str:
    """Set rows in columns, all at once, without the end of the last line."""
    return Table(columns).page(found).removesuffix("\n")


def _fitted(widths: list[int]) -> list[int]:
    """Narrow the widest columns until a line fits the terminal; when piped nothing is cut."""
    if sys.stdout.isatty():
        spare = shutil.get_terminal_size().columns - sum(widths) - 2 * (len(widths) - 1)
        while spare < 0 and max(widths) > 8:
            widths[widths.index(max(widths))] -= 1
            spare += 1
    return widths


def _set(line: Sequence[str], widths: Sequence[int], to_right: Sequence[bool]) -> str:
    """Set one line, every cell at its width."""
    cut = (text if len(text) <= width else text[: width - 1] + "…" for text, width in zip(line, widths, strict=True))
    placed = (
        text.rjust(width) if right else text.ljust(width)
        for text, width, right in zip(cut, widths, to_right, strict=True)
    )
    return "  ".join(placed).rstrip()


def detail(row: Row, title: str = "") -> str:
    """Set one object as `key: value` lines, the objects within it indented under their names."""
    simple = [(name, value) for name, value in row.items() if not _is_group(value)]
    groups = [(name, value) for name, value in row.items() if _is_group(value)]
    width = max((len(name) for name, _ in simple), default=0) + 1
    lines = [title] if title else []
    lines += [f"{_label(name) + ':':<{width}} {_shown(name, value)}".rstrip() for name, value in simple]
    for name, value in groups:
        inner = detail(value) if isinstance(value, dict) else _rows(value)
        lines += [f"{_label(name)}:", *("  " + text for text in inner.splitlines())]
    return "\n".join(lines)


def _is_group(value: Json) -> bool:
    """Tell whether a value is set on lines of its own."""
    return bool(value) and (isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict)))


def _rows(value: Json) -> str:
    """Set a list of objects, one a line."""
    rows = value if isinstance(value, list) else []
    return "\n".join(word(row) for row in rows)


def _label(name: str) -> str:
    return printable(name).replace("_", " ")


def _shown(name: str, value: Json) -> str:
    return clock(value) if name in DURATIONS else word(value)
