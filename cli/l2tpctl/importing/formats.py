"""The formats by name, and the way from a text to a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from l2tpctl.importing import accel, gol2tp, openl2tpd, prol2tpd, render, xl2tpd
from l2tpctl.importing.draft import Draft, Fate
from l2tpctl.importing.settle import settle
from l2tpctl.importing.source import Read, plain

FORMATS: Mapping[str, Callable[[str, str, Read], Draft]] = {
    "xl2tpd": xl2tpd.convert,
    "prol2tpd": prol2tpd.convert,
    "openl2tpd": openl2tpd.convert,
    "kl2tpd": gol2tp.kl2tpd,
    "ql2tpd": gol2tp.ql2tpd,
    "accel-ppp": accel.convert,
}
"""From the text of a file, what it is called, and the means to read others, to a draft; raises `SourceError`."""


class Outcome(NamedTuple):
    """Our configuration, what the user has to see to, and how many keys were translated, hold anyway, and have no counterpart."""

    toml: str
    warnings: tuple[str, ...]
    translated: int
    same: int
    lost: int


def convert(kind: str, text: str, file: str, read: Read) -> Outcome:
    """Convert a file of the format `kind`; raise `SourceError` where it is none."""

    def named(name: str) -> str | None:
        found = read(name)
        return None if found is None else plain(found, name)

    draft = settle(FORMATS[kind](plain(text, file), file, named))
    counts = Counter(draft.fates().values())
    return Outcome(
        render.toml(draft), tuple(dict.fromkeys(draft.warnings)), counts[None], counts[Fate.SAME], counts[Fate.LOST]
    )
