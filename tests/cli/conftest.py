"""Fixtures of the command line's tests: a running daemon, and `l2tpctl` run against it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from control.double import example
from control.running import Daemon
from l2tpctl.commands import l2tpctl


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    running = Daemon(example(), tmp_path / "control.sock")
    running.start()
    yield running
    running.stop()


Run = Callable[..., Result]


@pytest.fixture
def run(daemon: Daemon) -> Run:
    """Run `l2tpctl` against the daemon."""

    def invoke(*words: str) -> Result:
        return CliRunner().invoke(l2tpctl, ["--socket", str(daemon.path), *words], prog_name="l2tpctl")

    return invoke
