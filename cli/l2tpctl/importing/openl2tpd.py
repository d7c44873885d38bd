"""openl2tpd.conf: the commands of `l2tpconfig`, one a line, such as `tunnel create tunnel_name=one dest_ipaddr=192.0.2.1`.

A line goes on behind a backslash, a semicolon ends a command as a line does, and values may stand in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from l2tpctl.importing import katalix
from l2tpctl.importing.draft import Draft
from l2tpctl.importing.katalix import Object
from l2tpctl.importing.source import Item, Line, Read, Section, SourceError

_WORD = re.compile(r'\s*(?:(#.*)|(;)|((?:"[^"]*"|[^\s";#])+)|(.))')
_NAMES = {"tunnel": "tunnel_name", "session": "session_name"}
_VERBS = frozenset({"create", "modify"})


def convert(text: str, file: str, read: Read) -> Draft:
    """Convert openl2tpd.conf."""
    return katalix.convert(Draft(file, "openl2tpd"), objects(text, file))


def objects(text: str, file: str) -> list[Object]:
    """Take the file apart; a command that modifies adds to what was created."""
    found: dict[tuple[str, str, str], Object] = {}
    for line, words in commands(text, file):
        one = _object(line, words, file)
        before = found.setdefault(one[:3], one)
        if before is not one:
            before.section.items.extend(one.section.items)
    return list(found.values())


def commands(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the commands as words, each with its line."""
    for line in _joined(text):
        said: list[str] = []
        for _comment, end, word, wrong in _WORD.findall(line.text.rstrip()):
            if wrong:
                raise SourceError(file, line.number, f"`{wrong}` makes no sense here")
            if end and said:
                yield line.number, said
            said = [] if end else [*said, word] if word else said
        if said:
            yield line.number, said


def _joined(text: str) -> Iterator[Line]:
    number, before = 1, ""
    for count, line in enumerate(text.split("\n"), 1):
        if line.rstrip("\r").endswith("\\"):
            before += line.rstrip("\r")[:-1] + " "
            continue
        yield Line(number, before + line)
        number, before = count + 1, ""
    yield Line(number, before)


def _object(line: int, words: list[str], file: str) -> Object:
    kind, verb, *said = _verbal(words)
    if kind not in katalix.KINDS or verb not in _VERBS:
        raise SourceError(file, line, f"`{' '.join(words[:3])}` is no command that a configuration has")
    pairs = [_pair(word, file, line) for word in said]
    label = _NAMES.get(kind, "profile_name")
    name = next((value for key, value in pairs if key == label), "")
    parent = next((value for key, value in pairs if key == "tunnel_name"), "") if kind == "session" else ""
    naming = {label, "tunnel_name"} if kind in _NAMES else {"profile_name"}
    items = [Item(key, value, file, line, f"{key}={value}") for key, value in pairs if key not in naming]
    return Object(
        kind, name or ("" if kind in {*_NAMES, "system"} else "default"), parent, Section(kind, name, file, line, items)
    )


def _verbal(words: list[str]) -> list[str]:
    """Return the words with the kind of object as one, and a verb in any case."""
    kind = 2 if words[1:2] == ["profile"] else 1
    return [" ".join(words[:kind]), *(words[kind:] or [""])]


def _pair(word: str, file: str, line: int) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not key:
        raise SourceError(file, line, f"`{word}` is no parameter")
    return key.lower(), value.replace('"', "") if equals else "yes"
