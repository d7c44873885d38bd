"""All formats: the samples convert, nothing of them is lost silently, and what comes out is what our daemon takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from importing.converting import FILES, SAMPLES, beside, convert, sample
from l2tpctl.importing import NAMES, accel, formats, openl2tpd, pppd, prol2tpd, xl2tpd
from l2tpctl.importing.draft import Draft
from l2tpctl.importing.source import Item, SourceError
from l2tpd.config.load import parse


def test_each_name_has_a_converter_and_a_sample() -> None:
    """The names that the command line offers are those of the table."""
    assert set(NAMES) == set(formats.FORMATS) == set(FILES)


@pytest.mark.parametrize("kind", NAMES)
def test_the_daemon_takes_what_comes_out(kind: str, tmp_path: Path) -> None:
    """`l2tpd -n`, run as a program, says that it is correct."""
    path = tmp_path / "l2tpd.toml"
    path.touch(mode=0o600)
    path.write_text(convert(kind, sample(kind)).toml)
    done = subprocess.run(
        [sys.executable, "-m", "l2tpd", "-n", "-c", str(path)], capture_output=True, text=True, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert ": correct: " in done.stdout


def items_of(kind: str) -> Iterable[Item]:
    """Take a sample apart, without converting it."""
    text = sample(kind)
    if kind == "xl2tpd":
        yield from (item for section in xl2tpd.sections(text, "f") for item in section.items)
        yield from pppd.options(beside("options.xl2tpd") or "", "f", pppd.SERVER)
        yield from pppd.options(beside("options.upstream") or "", "f", pppd.CLIENT)
    elif kind == "accel-ppp":
        yield from (item for section in accel.sections(text, "f") for item in section.items)
    elif kind == "openl2tpd":
        yield from (item for one in openl2tpd.objects(text, "f") for item in one.section.items)
    elif kind == "prol2tpd":
        yield from (item for one in prol2tpd.objects(text, "f", Draft("f", kind)) for item in one.section.items)


@pytest.mark.parametrize("kind", ["xl2tpd", "accel-ppp", "openl2tpd", "prol2tpd"])
def test_no_key_is_lost_silently(kind: str) -> None:
    """Each key of a sample is a key of ours, or a comment says what became of it."""
    draft = formats.FORMATS[kind](sample(kind), "f", beside)
    known = {(item.name, item.line) for item in draft.fates()}
    assert [] == [item for item in items_of(kind) if (item.name, item.line) not in known]


@pytest.mark.parametrize("kind", ["kl2tpd", "ql2tpd"])
def test_no_key_of_toml_is_lost_silently(kind: str) -> None:
    """The same, for the formats that a TOML reader takes apart."""
    draft = formats.FORMATS[kind](sample(kind), "f", beside)
    known = {item.name for item in draft.fates()}
    said = {line.partition(" = ")[0] for line in sample(kind).split("\n") if " = " in line}
    assert set() == said - known


@pytest.mark.parametrize("kind", NAMES)
def test_what_comes_out_is_the_same_each_time(kind: str) -> None:
    """Nothing depends on chance, so that two runs can be compared."""
    assert convert(kind, sample(kind)) == convert(kind, sample(kind))


@pytest.mark.parametrize("kind", NAMES)
def test_an_empty_file_is_an_empty_configuration(kind: str) -> None:
    """Which our daemon takes, too."""
    found = convert(kind, "", {})
    assert (0, 0, 0) == (found.translated, found.same, found.lost)
    parse([("ours.toml", found.toml)])


def test_samples_are_all_used() -> None:
    """No file lies here that no test reads."""
    named = {*FILES.values(), "l2tp-secrets", "options.xl2tpd", "options.upstream", "one.args"}
    assert named == {path.name for path in SAMPLES.iterdir()}


@pytest.mark.parametrize("kind", NAMES)
def test_a_nul_is_refused_with_its_place(kind: str) -> None:
    """No value of ours can hold one, and no text of theirs should."""
    with pytest.raises(SourceError, match="f:2: this line holds a NUL"):
        formats.convert(kind, "# a comment\nsecret = a\0b\n", "f", beside)
