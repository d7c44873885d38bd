"""Several TOML texts as one document that remembers which file said what, and the list of problems found in it.

A table may be spread over files; a key may not be said twice. Only where a file's subtree begins is noted, so that a file of 5,000 tunnels
costs 5,000 notes and not one a key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import tomli

from l2tpd.errors import Problem

KeyPath = tuple[str, ...]
"""Where a value stands, from the top: table names, keys, and `[0]` for an element of an array."""

DEPTH_LIMIT: Final = 16  # tables inside tables; the deepest meant one has four
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


def dotted(path: KeyPath) -> str:
    """Render a path as TOML writes it: `tunnel."a.b".peer`, `listen[1].address`."""
    text = ""
    for part in path:
        if part.startswith("[") and part.endswith("]") and part[1:-1].isdigit():
            text += part
        else:
            shown = (
                part
                if _BARE_KEY.match(part)
                else '"' + part.encode("unicode_escape", "backslashreplace").decode().replace('"', '\\"') + '"'
            )
            text += f".{shown}" if text else shown
    return text


class Document:
    """What the files say together (`tree`), which file says it (`file_of`), and what is wrong with it (`problems`)."""

    __slots__ = ("_names", "_origin", "problems", "tree")

    def __init__(self) -> None:
        self.tree: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self._origin: dict[KeyPath, str] = {}
        self._names: list[str] = []

    def wrong(self, path: KeyPath, text: str) -> None:
        """Note a problem at a path."""
        self.problems.append(Problem(self.file_of(path), dotted(path), text))

    def file_of(self, path: KeyPath) -> str:
        """Tell which file says what stands at a path."""
        for end in range(len(path), 0, -1):
            name = self._origin.get(path[:end])
            if name is not None:
                return name
        return ", ".join(self._names[:3]) + (", …" if len(self._names) > 3 else "")

    def add_text(self, name: str, text: str) -> None:
        """Parse one file's text and merge it; a syntax error becomes a problem with its line."""
        try:
            tree = tomli.loads(text)
        except RecursionError:
            self._broken(name, "is nested too deeply")
        except tomli.TOMLDecodeError as error:
            self._broken(name, f"is not TOML: {error}")
        except ValueError as error:
            # A literal outside Python's limits, such as an integer of 5,000 digits, does not come as TOMLDecodeError.
            self._broken(name, f"holds a value that cannot be read: {error}")
        else:
            self.add_tree(name, tree)

    def add_tree(self, name: str, tree: dict[str, Any]) -> None:
        """Merge a tree of plain values; it belongs to the document from now on."""
        self._names.append(name)
        self._merge(self.tree, tree, (), name)

    def _broken(self, name: str, text: str) -> None:
        self._names.append(name)
        self.problems.append(Problem(name, "", text))

    def _merge(self, into: dict[str, Any], tree: dict[str, Any], path: KeyPath, name: str) -> None:
        for key, value in tree.items():
            here = (*path, key)
            old = into.get(key, _ABSENT)
            if old is _ABSENT:
                into[key] = value
                self._origin[here] = name
            elif isinstance(old, dict) and isinstance(value, dict) and len(path) < DEPTH_LIMIT:
                self._merge(old, value, here, name)
            elif here == ("listen",) and isinstance(old, list) and isinstance(value, list):
                self._append(old, value, here, name)
            else:
                self.problems.append(Problem(name, dotted(here), f"is said in {self.file_of(here)} too"))

    def _append(self, old: list[Any], new: Sequence[Any], path: KeyPath, name: str) -> None:
        for value in new:
            self._origin[*path, f"[{len(old)}]"] = name
            old.append(value)


_ABSENT = object()
