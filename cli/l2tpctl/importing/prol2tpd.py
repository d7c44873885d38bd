"""prol2tpd.conf: blocks in braces, `tunnel "one" {`, with a parameter and its value or values a line; sessions stand in their tunnel or name it.

A parameter that this table does not know, as releases differ, becomes a comment.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import attrs

from l2tpctl.importing import katalix
from l2tpctl.importing.draft import Draft
from l2tpctl.importing.katalix import KINDS, Object
from l2tpctl.importing.source import Item, Read, Section, SourceError

_SPELLINGS = {"ip pool": "ippool", "ip_pool": "ippool"}
_ETHERNET = frozenset({"eth", "ethernet", "vlan", "eth_vlan", "eth-vlan"})


def convert(text: str, file: str, read: Read) -> Draft:
    """Convert prol2tpd.conf."""
    draft = Draft(file, "prol2tpd")
    found = objects(text, file, draft)
    made = katalix.convert(draft, found)
    for table in made.family("tunnel"):
        calls = made.family("tunnel", table.name[1], "session")
        ethernet = any(str(call.get("pseudowire")).startswith("eth") for call in calls) or table.get("encap") == "ip"
        table.default("version", "l2tpv3" if ethernet else "l2tpv2", "not said there")
    return made


def objects(text: str, file: str, draft: Draft) -> list[Object]:
    """Take the file apart."""
    found: list[Object] = []
    open_blocks: list[Object] = []
    for number, words in _lines(text, file):
        if words[-1] == "{":
            open_blocks.append(_block(words[:-1], file, number, open_blocks))
            found.append(open_blocks[-1])
        elif words == ["}"]:
            if not open_blocks:
                raise SourceError(file, number, "there is nothing that this `}` would end")
            open_blocks.pop()
        elif open_blocks:
            open_blocks[-1].section.items.append(_item(words, file, number))
        else:
            raise SourceError(file, number, "a parameter stands in a block")
    if open_blocks:
        raise open_blocks[-1].section.wrong("this block is not ended by `}`")
    for one in found:
        _unknown(one, draft)
    return [_named(one) for one in found if one.kind in KINDS]


def _unknown(one: Object, draft: Draft) -> None:
    """Turn a block that we have no counterpart of into comments."""
    for item in one.section.items if one.kind not in KINDS else ():
        quoted = attrs.evolve(item, shown=f"{one.kind} {one.name}: {item.shown}")
        draft.table().lose(quoted, "nobody here knows such a block")


def _lines(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        try:
            lexer = shlex.shlex(line, posix=True, punctuation_chars="{}")
            lexer.whitespace_split, lexer.commenters, lexer.escape = True, "#", ""
            words = list(lexer)
        except ValueError as error:
            raise SourceError(file, number, f"{str(error).lower()} in this line") from None
        yield from ((number, part) for part in _parts(words) if part)


def _parts(words: list[str]) -> Iterator[list[str]]:
    """Part a line behind `{` and around `}`, for blocks of one line."""
    here: list[str] = []
    for word in words:
        if word == "}":
            yield here
            here = []
        here.append(word)
        if word in {"{", "}"}:
            yield here
            here = []
    yield here


def _block(words: list[str], file: str, line: int, around: list[Object]) -> Object:
    kind, name = _title(words)
    if not kind:
        raise SourceError(file, line, 'a block has a kind, as in `tunnel "one" {`')
    parent = around[-1].name if around and around[-1].kind == "tunnel" else ""
    return Object(kind, name, parent, Section(kind, name, file, line))


def _title(words: list[str]) -> tuple[str, str]:
    """Take kind and name apart: the kind has one word or two."""
    for count in (2, 1):
        kind = " ".join(words[:count]).lower()
        kind = _SPELLINGS.get(kind, kind)
        if kind in KINDS:
            return kind, " ".join(words[count:])
    return " ".join(words[:1]).lower(), " ".join(words[1:])


def _item(words: list[str], file: str, line: int) -> Item:
    name, value = words[0].lower(), " ".join(words[1:])
    return Item(name, value, file, line, f"{name} {value}".strip())


def _named(one: Object) -> Object:
    """Give a session that names its tunnel by a parameter that tunnel, and take the parameter away."""
    if one.kind != "session":
        return one
    said = one.section.last("tunnel_name", "tunnel")
    one.section.items[:] = [item for item in one.section.items if item.name not in {"tunnel_name", "tunnel"}]
    return one._replace(parent=said.value if said is not None else one.parent)
