"""Manual pages for man(1): the Markdown of ours as roff with the macros of man(7).

It is the Markdown of these pages alone: headings, paragraphs, code that is indented or fenced, lists, terms with definitions, tables, and `code`, **bold** and *italic*
in a line. A table becomes terms with definitions too, since no table of ours fits a terminal of 80 columns.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence

from l2tpd import __version__

_TITLE = re.compile(r"# (?P<name>[\w.-]+)\((?P<section>\d)\)")
_FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<bold>.+?)\*\*|\*(?P<italic>[^*]+)\*|\\(?P<literal>[\\*_`|\[\]])")
_ITEM = re.compile(r"(?:-|(?P<number>\d+)\.) ")
_SPECIAL = str.maketrans(
    {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}
)  # what roff would make something prettier of, which nobody can then copy into a shell


def page(markdown: str) -> str:
    """Render a page. Raises `ValueError` when it does not begin with `# NAME(SECTION)`."""
    title = _TITLE.match(markdown)
    if title is None:
        raise ValueError("a manual page begins with its name and section")
    name, section = title["name"], title["section"]
    head = [f'.TH {_escaped(name.upper())} {section} "" "l2tpd {__version__}" "l2tpd"', ".nh", ".ad l"]
    body = _FENCED.sub(lambda fenced: textwrap.indent(fenced[1].rstrip("\n"), "    "), markdown[title.end() :])
    return "\n".join([*head, *_body(body)]) + "\n"


def _body(markdown: str) -> Iterator[str]:
    for block in re.split(r"\n{2,}", markdown.strip("\n")):
        lines = block.splitlines()
        yield from _render(lines)(lines)


def _render(lines: Sequence[str]) -> Callable[[Sequence[str]], Iterator[str]]:
    """Choose how a block is rendered, by how its lines begin."""
    for start, render in _BLOCKS.items():
        if lines[0].startswith(start):
            return render
    if _ITEM.match(lines[0]):
        return _items
    return _terms if any(line.startswith(": ") for line in lines) else _paragraph


def _heading(lines: Sequence[str]) -> Iterator[str]:
    marks, _, text = lines[0].partition(" ")
    yield f".{'SH' if marks == '##' else 'SS'} {_inline(text)}"
    if lines[1:]:
        yield from _render(lines[1:])(lines[1:])


def _code(lines: Sequence[str]) -> Iterator[str]:
    yield from (".PP", ".RS 4", ".nf", *(_guarded(_escaped(line[4:])) for line in lines), ".fi", ".RE")


def _paragraph(lines: Sequence[str]) -> Iterator[str]:
    yield ".PP"
    for number, line in enumerate(lines):
        if number and line.startswith("**"):  # a line of a synopsis
            yield ".br"
        yield _guarded(_inline(line.strip()))


def _items(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        if item := _ITEM.match(line):
            yield ".IP " + (f"{item['number']}." if item["number"] else "\\(bu") + " 4"
        yield _guarded(_inline(line[item.end() :] if item else line.strip()))


def _terms(lines: Sequence[str]) -> Iterator[str]:
    first = next(number for number, line in enumerate(lines) if line.startswith(": "))
    yield from _term(lines[:first], [line.removeprefix(": ").strip() for line in lines[first:]])


def _term(terms: Sequence[str], definition: Sequence[str]) -> Iterator[str]:
    yield ".TP"
    for number, term in enumerate(terms):
        if number:
            yield ".TQ"
        yield _guarded(_inline(term))
    yield from (_guarded(_inline(line)) for line in definition)


def _table(lines: Sequence[str]) -> Iterator[str]:
    """Make a term of each row: its first cell, and then the others, told by their headings where there are several."""
    headings, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    for first, *rest in rows:
        told = [f"*{heading}*: {cell}" for heading, cell in zip(headings[1:], rest, strict=True) if cell]
        yield from _term([first], rest if len(rest) == 1 else [";\n".join(told)])


_BLOCKS: Mapping[str, Callable[[Sequence[str]], Iterator[str]]] = {
    "#": _heading,
    "    ": _code,
    "|": _table,
}


# --- within a line


def _inline(text: str) -> str:
    """Render marks; what is between them is text."""
    done, at = "", 0
    for mark in _INLINE.finditer(text):
        done += _escaped(text[at : mark.start()]) + _marked(mark)
        at = mark.end()
    return done + _escaped(text[at:])


def _marked(mark: re.Match[str]) -> str:
    if mark["literal"]:
        return _escaped(mark["literal"])
    if mark["code"]:
        return f"\\fB{_escaped(mark['code'])}\\fR"
    return f"\\fB{_inline(mark['bold'])}\\fR" if mark["bold"] else f"\\fI{_escaped(mark['italic'])}\\fR"


def _escaped(text: str) -> str:
    return text.translate(_SPECIAL)


def _guarded(line: str) -> str:
    """Keep a line that begins as a request would from being one."""
    return "\\&" + line if line.startswith((".", "'")) else line
