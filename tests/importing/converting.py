"""Converting in tests: a sample or a text, to a configuration that our own loader has accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from l2tpctl.importing import formats
from l2tpctl.importing.formats import Outcome
from l2tpctl.importing.source import SourceError
from l2tpd.config.load import parse
from l2tpd.config.model import Config

SAMPLES = Path(__file__).parent / "samples"
FILES = {
    "xl2tpd": "xl2tpd.conf",
    "prol2tpd": "prol2tpd.conf",
    "openl2tpd": "openl2tpd.conf",
    "kl2tpd": "kl2tpd.toml",
    "ql2tpd": "ql2tpd.toml",
    "accel-ppp": "accel-ppp.conf",
}


def beside(name: str) -> str | None:
    """Read a file that a sample names."""
    path = SAMPLES / Path(name).name
    return path.read_text() if path.is_file() else None


def sample(kind: str) -> str:
    return (SAMPLES / FILES[kind]).read_text()


def among(files: Mapping[str, str]) -> Callable[[str], str | None]:
    return files.get


def convert(kind: str, text: str, files: Mapping[str, str] | None = None) -> Outcome:
    return formats.convert(kind, text, "their.conf", beside if files is None else among(files))


def loaded(kind: str, text: str, files: Mapping[str, str] | None = None) -> Config:
    """Convert a text and load what comes of it."""
    return parse([("ours.toml", convert(kind, text, files).toml)])


def comments(kind: str, text: str, files: Mapping[str, str] | None = None) -> list[str]:
    """Return the comments on keys that are no keys of ours."""
    found = convert(kind, text, files).toml.split("\n")
    fates = (": no counterpart: ", ": holds here anyway: ")
    return [line for line in found if any(fate in line for fate in fates)][1:]


def complaint(kind: str, text: str, files: Mapping[str, str] | None = None) -> str:
    """Convert a text that is malformed, and return what is said of it."""
    with pytest.raises(SourceError) as caught:
        convert(kind, text, files)
    return str(caught.value)
