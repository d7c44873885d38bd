"""Our manual pages as man(1) shows them: without a warning, and without a word lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

import l2tpd
from l2tpd.man import roff

FOLDER = Path(l2tpd.__file__).parent / "man"
PAGES = sorted(path.name.removesuffix(".md") for path in FOLDER.glob("*.md"))
HEAD = "# x(1)\n\n"


def body(markdown: str) -> list[str]:
    """Render what stands under a title."""
    title, *rest = roff.page(HEAD + markdown).splitlines()
    assert title.startswith(".TH X 1 ")
    return rest[2:]


def man(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Show a page as on a terminal of 80 columns, without marks."""
    program = shutil.which("man")
    if program is None:
        pytest.skip("man is not installed (Debian: man-db)")
    return subprocess.run(
        [program, "-E", "UTF-8", "-Tutf8", *options, "-l", str(path)],
        env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def close(text: str) -> str:
    """Take all space out, for man breaks lines where it likes."""
    return re.sub(r"\s+", "", text)


def without_overstrikes(text: str) -> str:
    """Take out what prints a character twice to make it bold, or a line below it."""
    return re.sub(r".\x08", "", re.sub(r"\x1b\[[0-9;]*m", "", text))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_rendered_without_warnings(page: str, tmp_path: Path) -> None:
    """groff has nothing to remark on, and every word that is marked as code or bold can be read."""
    markdown = (FOLDER / f"{page}.md").read_text()
    (tmp_path / page).write_text(roff.page(markdown))
    assert "" == man(tmp_path / page, "--warnings", "-Z").stderr
    shown = close(without_overstrikes(man(tmp_path / page).stdout))
    lost = [
        mark
        for mark in re.findall(r"`([^`\n]+)`|^\*\*([^*\n]+)\*\*", markdown, re.MULTILINE)
        if close("".join(mark)) not in shown
    ]
    assert [] == lost


@pytest.mark.parametrize("page", PAGES)
def test_every_word_is_there(page: str, tmp_path: Path) -> None:
    """As often as it is written, at least: only the title is another, and rows of tables repeat the headings."""
    markdown = (FOLDER / f"{page}.md").read_text()
    (tmp_path / page).write_text(roff.page(markdown))
    written = re.sub(r"(?m)^# .*$|^\|.*\n\|---.*$|^```\w+$", "", markdown)
    assert Counter() == words(written) - words(without_overstrikes(man(tmp_path / page).stdout))


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"[A-Za-z]+", text))


def test_headings() -> None:
    """Sections and parts of sections; text may follow at once."""
    assert [".SH FILES", ".SS Data planes", ".PP", "Text."] == body("## FILES\n\n### Data planes\nText.")


def test_a_definition_belongs_to_its_terms() -> None:
    """Several lines of terms are several terms, and the lines of a definition one text."""
    expected = [".TP", "\\fB\\-a\\fR \\fIX\\fR,", ".TQ", "\\fB\\-b\\fR", "Does a", "or b."]
    assert expected == body("**-a** *X*,\n**-b**\n: Does a\n  or b.")


def test_lists() -> None:
    """Numbered and not, with lines that go on."""
    assert [".IP \\(bu 4", "one", "more", ".IP \\(bu 4", "two"] == body("- one\n  more\n- two")
    assert [".IP 1. 4", "one"] == body("1. one")


def test_a_table_is_terms() -> None:
    """Two columns are a term and its definition; of more each is told by its heading."""
    assert [".TP", "\\fBa\\fR", "what"] == body("| name | text |\n|---|---|\n| `a` | what |")
    assert [".TP", "a", "\\fIn\\fR: 1;", "\\fItext\\fR: what"] == "\n".join(
        body("| name | n | text |\n|---|---|---|\n| a | 1 | what |")
    ).splitlines()


def test_nothing_is_taken_for_a_request_or_made_prettier() -> None:
    """A line that begins with a dot, and characters that roff would replace."""
    assert [".PP", "\\&.x"] == body(".x")
    assert [".PP", "\\(aqa\\(aq \\(dqb\\(dq \\e \\(ha \\(ti \\(ga"] == body("'a' \"b\" \\\\ ^ ~ \\`")
    assert [".PP", ".RS 4", ".nf", "a  \\-b", "\\&.c", ".fi", ".RE"] == body("    a  -b\n    .c")


def test_a_page_has_a_title() -> None:
    """Without one it would be filed nowhere."""
    with pytest.raises(ValueError, match="section"):
        roff.page("## NAME\n")


def test_fenced_code_stays_as_it_is() -> None:
    """Line by line, like indented code."""
    fenced, indented = "# x(1)\n\n## A\n\n```toml\n[a]\n\nb = 1\n```\n", "# x(1)\n\n## A\n\n    [a]\n\n    b = 1\n"
    assert "[a]\n" in roff.page(fenced)
    assert roff.page(indented).split() == roff.page(fenced).split()
