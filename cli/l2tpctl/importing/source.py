"""What is read: items with the place they stand at, and the error that names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import attrs

from l2tpctl.errors import CommandError

Read = Callable[[str], str | None]
"""Reads a file that the input names, by its path; None where that cannot be."""


class SourceError(CommandError):
    """The input is not of its format; says `FILE:LINE: what`."""

    def __init__(self, file: str, line: int, text: str) -> None:
        super().__init__(f"{file}:{line}: {text}")


def plain(text: str, file: str) -> str:
    """Return a text that holds no NUL, which no value of ours can hold; raises `SourceError` at the first."""
    before, found, _ = text.partition("\0")
    if found:
        raise SourceError(file, before.count("\n") + 1, "this line holds a NUL")
    return text


@attrs.frozen(eq=False)
class Item:
    """One key of the input with its value as text; two that look alike are still two. `shown` is how a comment quotes it."""

    name: str
    value: str
    file: str
    line: int
    shown: str = attrs.field()

    @shown.default
    def _as_assignment(self) -> str:
        return f"{self.name} = {self.value}" if self.value else self.name

    def wrong(self, text: str) -> SourceError:
        """Make the error of a value that cannot be meant."""
        return SourceError(self.file, self.line, f"{self.name}: {text}")


@attrs.frozen(eq=False)
class Section:
    """A part of the input: its kind, its name (or nothing), its items in order, and where it begins."""

    kind: str
    name: str
    file: str
    line: int
    items: list[Item] = attrs.field(factory=list)

    def all(self, *names: str) -> list[Item]:
        """Return the items of these names, in order."""
        return [item for item in self.items if item.name in names]

    def last(self, *names: str) -> Item | None:
        """Return the item of these names that counts: the last."""
        return next(iter(reversed(self.all(*names))), None)

    def wrong(self, text: str) -> SourceError:
        """Make the error of a section that cannot be meant."""
        return SourceError(self.file, self.line, text)


class Line(NamedTuple):
    """A line that says something, and its number from 1."""

    number: int
    text: str


def lines(text: str, comment: str) -> Iterator[Line]:
    """Yield the lines that say something, without what follows the comment character and without spaces around."""
    for number, line in enumerate(text.split("\n"), 1):
        said = line.partition(comment)[0].strip()
        if said:
            yield Line(number, said)


def heading(file: str, line: Line) -> str | None:
    """Return what stands in the brackets of `[...]`, or None where the line is none such."""
    if not line.text.startswith("["):
        return None
    inside, bracket, rest = line.text[1:].partition("]")
    if not bracket or rest.strip() or not inside.strip():
        raise SourceError(file, line.number, "a section is written [NAME]")
    return inside.strip()
