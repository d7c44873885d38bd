"""`l2tpctl import`: files in, a file out, and what the user is told."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from l2tpctl.commands import l2tpctl
from l2tpctl.importing import NAMES

Run = Callable[..., Result]

CLIENT = "[lac hq]\nlns = 192.0.2.9\nautodial = yes\nmax redials = 5\npppoptfile = /nowhere/options.hq\n"


@pytest.fixture
def run() -> Run:
    return lambda *words: CliRunner().invoke(l2tpctl, ["import", *map(str, words)], prog_name="l2tpctl")


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """A client of xl2tpd, with the options of its pppd beside it."""
    (tmp_path / "options.hq").write_text("user alice\npassword wonderland\n")
    path = tmp_path / "xl2tpd.conf"
    path.write_text(CLIENT)
    return path


def test_it_comes_out_on_standard_output(run: Run, client: Path) -> None:
    """The configuration there, the summary on standard error."""
    result = run("xl2tpd", client)
    assert 0 == result.exit_code
    assert '[tunnel.hq]\npeer = "192.0.2.9"' in result.stdout
    assert f"{client}: 3 keys translated, 2 hold here anyway, 1 without a counterpart\n" in result.stderr


def test_files_that_it_names_are_looked_for_beside_it(run: Run, client: Path) -> None:
    """As on a machine to which all of them were copied; the one that is missing is told."""
    assert 'user = "alice"\npassword = "wonderland"' in run("xl2tpd", client).stdout
    (client.parent / "options.hq").unlink()
    result = run("xl2tpd", client)
    assert "wonderland" not in result.stdout
    assert "look at [profile.ppp.to-hq]: /nowhere/options.hq could not be read" in result.stderr


def test_a_file_that_it_names_may_be_where_it_says(run: Run, client: Path, tmp_path: Path) -> None:
    """Where there is none beside it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (client.parent / "options.hq").rename(folder / "options.moved")
    client.write_text(CLIENT.replace("/nowhere/options.hq", str(folder / "options.moved")))
    assert 'user = "alice"' in run("xl2tpd", client).stdout


def test_a_file_that_cannot_be_looked_for(run: Run, client: Path) -> None:
    """Is one that cannot be read."""
    client.write_text(CLIENT.replace("/nowhere/options.hq", "x" * 300))
    result = run("xl2tpd", client)
    assert (0, True) == (result.exit_code, "could not be read" in result.stderr)


def test_the_file_is_for_its_owner_alone(run: Run, client: Path, tmp_path: Path) -> None:
    """It may hold secrets; standard output then is empty."""
    made = tmp_path / "l2tpd.toml"
    result = run("xl2tpd", client, "-o", made)
    assert (0, "") == (result.exit_code, result.stdout)
    assert 0o600 == stat.S_IMODE(made.stat().st_mode)
    assert 'password = "wonderland"' in made.read_text()


def test_no_file_is_overwritten(run: Run, client: Path, tmp_path: Path) -> None:
    """It might be the configuration that runs."""
    made = tmp_path / "l2tpd.toml"
    made.write_text("# mine")
    result = run("xl2tpd", client, "-o", made)
    assert (1, "# mine") == (result.exit_code, made.read_text())
    assert "File exists" in result.stderr


def test_json_is_one_document(run: Run, client: Path) -> None:
    """With the configuration as text, the counts and the warnings."""
    found = json.loads(run("xl2tpd", client, "--json").stdout)
    assert ({"toml", "warnings", "translated", "same", "lost"}, 1, []) == (set(found), found["lost"], found["warnings"])


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"[lac hq]\nlns", "2: a key is written NAME = VALUE"),
        (b"[lac hq]\nlns = \xff", "2: this line is not UTF-8"),
    ],
)
def test_what_is_malformed_ends_with_status_2(run: Run, tmp_path: Path, octets: bytes, said: str) -> None:
    """And with the line; nothing is written."""
    path = tmp_path / "x.conf"
    path.write_bytes(octets)
    result = run("xl2tpd", path, "-o", tmp_path / "out")
    assert (2, f"{path}:{said}\n", "") == (result.exit_code, result.stderr, result.stdout)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    """Is no file of that format either, but a failure."""
    result = run("xl2tpd", tmp_path / "none")
    assert 1 == result.exit_code
    assert "No such file" in result.stderr


def test_a_format_that_is_none(run: Run, client: Path) -> None:
    """The known ones are told."""
    result = run("l2tpns", client)
    assert 2 == result.exit_code
    assert all(name in result.stderr for name in NAMES)


def test_dos_line_ends_and_a_byte_order_mark(run: Run, client: Path) -> None:
    """Are those of some editors, and no part of a value."""
    plain = run("xl2tpd", client).stdout
    client.write_bytes(b"\xef\xbb\xbf" + CLIENT.replace("\n", "\r\n").encode())
    assert plain == run("xl2tpd", client).stdout
