"""The manual pages leave nothing out: every option, signal, category, quirk, method and command of the program stands in them."""

from __future__ import annotations

import argparse
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import l2tpd
from l2tpctl.commands import l2tpctl
from l2tpctl.watch import l2tpwatch
from l2tpd import app, log
from l2tpd.config.model import System
from l2tpd.control.jsonrpc import FORBIDDEN, NOT_FOUND, REFUSED
from l2tpd.control.methods import METHODS
from l2tpd.control.params import PAGE
from l2tpd.radius.attributes import ROWS, USES
from l2tpd.trace import WORDS
from l2tpd.tunnel.linger import CYCLE
from l2tpd.tunnel.quirks import QUIRKS

FOLDER = Path(l2tpd.__file__).parent / "man"
PAGES = {path.name.removesuffix(".md"): path.read_text() for path in FOLDER.glob("*.md")}


def flat(page: str) -> str:
    """Return a page without marks and with every space single, so that line breaks do not matter."""
    return re.sub(r"\s+", " ", re.sub(r"[*`\\]", "", PAGES[page]))


def section(page: str, title: str) -> str:
    """Return what stands under a heading, as far as the next one of its kind."""
    found = re.search(rf"^(#+) {title}\n(.*?)(?=^\1 |\Z)", PAGES[page], re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has a section {title}"
    return found[2]


def commands(group: click.Group, *before: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command of a tree with the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield (*before, name), command


def options(command: click.Command) -> set[str]:
    """Return the options of a command, long and short."""
    found = (
        opt
        for param in command.params
        if isinstance(param, click.Option)
        for opt in (*param.opts, *param.secondary_opts)
    )
    return {opt for opt in found if opt.startswith("-")}


def test_every_page_is_there_and_complete() -> None:
    """Five pages, each with the sections that a reader expects, each named by the others' SEE ALSO."""
    assert {"l2tpd.8", "l2tpd.toml.5", "l2tpctl.1", "l2tpwatch.1", "l2tpd-api.7"} == set(PAGES)
    for name, text in PAGES.items():
        page, _, number = name.rpartition(".")
        assert text.startswith(f"# {page}({number})\n")
        assert section(name, "NAME").strip().startswith(f"{page} - ")
        assert section(name, "DESCRIPTION").strip()
        assert any(f"{page}({number})" in section(other, "SEE ALSO") for other in PAGES if other != name)


def test_every_reference_leads_to_a_page() -> None:
    """A page of ours that another mentions exists."""
    for text in PAGES.values():
        for page, number in re.findall(r"\b(l2tp[a-z.-]*)\((\d)\)", text):
            assert f"{page}.{number}" in PAGES


# --- l2tpd(8)


def test_every_option_of_the_daemon() -> None:
    """In its short and its long form, with its argument."""
    said = section("l2tpd.8", "OPTIONS")
    for action in app._parser()._actions:
        assert isinstance(action, argparse.Action)
        argument = f" *{action.metavar}*" if action.metavar else ""
        assert ", ".join(f"**{option}**{argument}" for option in action.option_strings) + "\n" in said


def test_defaults_of_the_daemon() -> None:
    """The paths are those of the program."""
    for path in (app.DEFAULT_CONFIG, app.PID_FILE, System().control_socket):
        assert f"`{path}`\n" in section("l2tpd.8", "FILES")


def test_every_signal() -> None:
    """Those that the daemon receives, and no other."""
    said = set(re.findall(r"\*\*(SIG\w+)\*\*", section("l2tpd.8", "SIGNALS")))
    received = Path(l2tpd.__file__).with_name("signals.py").read_text()
    assert said == {number.name for number in signal.Signals if f"signal.{number.name}" in received}


def test_every_exit_status() -> None:
    """The numbers are those of the program."""
    said = re.findall(r"^(\d)$", section("l2tpd.8", "EXIT STATUS"), re.MULTILINE)
    assert [app.WELL, app.FAILED, app.MISUSED] == [int(number) for number in said]


@pytest.mark.parametrize(
    ("page", "title"), [("l2tpd.8", "LOGGING"), ("l2tpd.toml.5", r"\[system\]"), ("l2tpctl.1", "COMMANDS")]
)
def test_every_level_and_trace_category(page: str, title: str) -> None:
    """Wherever they are listed, they are all listed."""
    said = set(re.findall(r"\w+", section(page, title)))
    assert set() == {*log.LEVELS, *WORDS} - said


def test_every_trace_category_has_its_row() -> None:
    """The table of l2tpd(8) has them all, and no other."""
    rows = re.findall(r"^\| (`.*?) \|", section("l2tpd.8", "Trace categories"), re.MULTILINE)
    assert set(WORDS) == {word for row in rows for word in re.findall(r"`(\w+)`", row)}


def test_every_quirk() -> None:
    """The table of l2tpd(8) is the program's."""
    said = re.findall(r"^\| `.*$", section("l2tpd.8", "QUIRKS"), re.MULTILINE)
    assert [
        f"| `{row.name}` | {row.peers} | {row.does} | {row.answer} | {'always' if row.always else 'named'} |"
        for row in QUIRKS
    ] == said


def test_limits_are_those_of_the_program() -> None:
    """The numbers of l2tpd(8) are the program's constants."""
    assert f"rests for {CYCLE:g} seconds" in section("l2tpd.8", "LIMITS")


# --- l2tpctl(1), l2tpwatch(1), l2tpd-api(7)


def test_every_command_of_the_client() -> None:
    """Each command of l2tpctl has its entry, and each of its options is told."""
    said = flat("l2tpctl.1")
    entries = re.sub(r"[*`]", "", "\n".join(re.findall(r"^\*\*.*$", section("l2tpctl.1", "COMMANDS"), re.MULTILINE)))
    for words, command in commands(l2tpctl):
        assert re.search(rf"(?m)(^|, ){' '.join(words)}\b", entries), " ".join(words)
        for option in options(command):
            assert re.search(rf"(?<![\w-]){option}\b", said), f"{' '.join(words)} {option}"
    for option in options(l2tpctl):
        assert f"**{option}**" in section("l2tpctl.1", "OPTIONS")


def test_every_option_of_the_watcher() -> None:
    """Each option of l2tpwatch has its entry."""
    for option in options(l2tpwatch):
        assert f"**{option}**" in section("l2tpwatch.1", "OPTIONS")


def test_every_control_method() -> None:
    """The table of l2tpd-api(7) has them all, in order, with the right that each needs."""
    rows = re.findall(r"^\| `([\w.]+)` \|.*\| (\w+) \|$", section("l2tpd-api.7", "Methods"), re.MULTILINE)
    assert [(method.name, method.access) for method in METHODS.values()] == rows


def test_numbers_of_the_control_socket() -> None:
    """Error codes and page size are the program's."""
    for code in (NOT_FOUND, FORBIDDEN, REFUSED):
        assert f"| {code} |" in section("l2tpd-api.7", "Errors")
    assert f"{PAGE} by default" in flat("l2tpd-api.7")


@pytest.mark.parametrize(("use", "what"), USES.items())
def test_the_attributes_of_radius(use: str, what: str) -> None:
    """Each is named where it has its use, in the order of their numbers."""
    said = re.search(
        rf"^\*\*{what}\*\*\n: (.*?)\.\n\n", section("l2tpd.toml.5", "Attributes"), re.MULTILINE | re.DOTALL
    )
    assert said is not None
    assert [one.name for one in ROWS if use in one.use] == re.split(r",\s+", said[1])
