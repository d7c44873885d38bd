"""The demonstration, as `nox -s demo` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "demo.py"


def perform(program: str, *arguments: str) -> tuple[int, str, str]:
    """Run a program of ours to its end, away from any terminal; returns its status and what it said on stdout and stderr.

    Whatever its end, no network namespace of it may be left.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said, complained = process.communicate(timeout=120)
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert f"l2tpd-demo-{process.pid}-" not in spaces
    return process.returncode, said, complained


RUN = f"import runpy; runpy.run_path({str(DEMO)!r}, run_name='__main__')"
# The same, with a promise that cannot be kept.
BROKEN = f"""
import runpy, sys
demo = runpy.run_path({str(DEMO)!r})
names = demo["perform"].__globals__
names["LAC_TOML"] = names["LAC_TOML"].replace('secret = "{{secret}}"', 'secret = "another"')
names["PATIENCE"] = 3.0
sys.exit(demo["main"]())
"""


@pytest.mark.parametrize("arguments", [(), ("--loopback",)])
def test_every_promise_is_kept(arguments: tuple[str, ...]) -> None:
    """It succeeds wherever it plays, says nothing on stderr, uses no colour when piped, and sums up what it has shown and what not."""
    status, said, complained = perform(RUN, *arguments)
    assert (0, "") == (status, complained), said
    for words in ("lns$ l2tpctl show tunnels", "SESSION UP: ", "SESSION DOWN: ", "\nShown, ", "\nNot shown:"):
        assert words in said
    assert "\033" not in said
    assert "over loopback" in said or not arguments


def test_failure_is_told() -> None:
    """When a promise is not kept, here since the secrets differ, it says which one, prints both logs, and ends with 1."""
    status, said, complained = perform(BROKEN, "--loopback")
    assert (1, "") == (status, complained), said
    failure = said.partition("\nFAILED: ")[2]
    assert "2 sessions are up" in failure
    assert "Challenge Response is wrong" in failure.partition("log of lns:")[2]
    assert "Shown, " not in said
