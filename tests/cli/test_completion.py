"""What a shell is offered to complete."""

import shutil
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from control.running import Daemon, program
from l2tpctl import completion, options
from l2tpctl.commands import l2tpctl
from l2tpd.config.words import LOG_LEVELS, TRACE_CATEGORIES


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_a_completion_of_both_programs(shell: str) -> None:
    """The script names both."""
    shown = CliRunner().invoke(l2tpctl, ["completion", shell]).stdout
    assert "_L2TPCTL_COMPLETE" in shown
    assert "_L2TPWATCH_COMPLETE" in shown


def test_the_completion_for_bash_is_a_script_of_bash() -> None:
    """bash itself finds no mistake in it."""
    bash = shutil.which("bash")
    assert bash is not None
    script = CliRunner().invoke(l2tpctl, ["completion", "bash"]).stdout
    assert 0 == subprocess.run([bash, "-n"], input=script, text=True, check=False).returncode


def test_names_of_tunnels_and_sessions_are_completed(daemon: Daemon, tmp_path: Path) -> None:
    """The daemon is asked; a daemon that does not run completes nothing and says nothing."""

    def completed(line: str, socket: Path) -> list[str]:
        words = line.split(" ")
        done = program(
            "-m",
            "l2tpctl",
            _L2TPCTL_COMPLETE="bash_complete",
            COMP_WORDS=line,
            COMP_CWORD=str(len(words) - 1),
            L2TPD_SOCKET=str(socket),
        )
        assert "" == done.stderr
        return [row.partition(",")[2] for row in done.stdout.split()]

    assert ["hq1", "hq2"] == completed("l2tpctl show tunnel h", daemon.path)
    assert ["@300"] == completed("l2tpctl show tunnel @", daemon.path)
    assert ["one"] == completed("l2tpctl show session hq1 o", daemon.path)
    assert [] == completed("l2tpctl show tunnel h", tmp_path / "none")
    assert ["--hello-timeout"] == completed("l2tpctl create tunnel new --hel", daemon.path)[-1:]
    assert ["--peer", "--peer-tunnel-id"] == completed("l2tpctl create tunnel new --pee", daemon.path)
    assert ["--called-number"] == completed("l2tpctl create session hq1 new --called", daemon.path)
    assert [] == completed("l2tpctl create tunnel new --hello", tmp_path / "none")


def test_words_that_are_completed_are_the_daemons() -> None:
    """Levels and categories; of the latter the last of a list."""
    assert LOG_LEVELS == options.LEVELS
    assert {*TRACE_CATEGORIES} == {*options.CATEGORIES}
    assert ["ppp"] == completion.categories(click.Context(l2tpctl), click.Argument(["x"]), "pp")
    assert ["fsm,transport"] == completion.categories(click.Context(l2tpctl), click.Argument(["x"]), "fsm,tr")
