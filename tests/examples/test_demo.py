"""The demonstration, as `nox -s demo` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "demo.py"


def perform(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program of ours to its end, with its output away from any terminal."""
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


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


def namespaces() -> str:
    """List the network namespaces of a demonstration that are left."""
    found = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return "\n".join(line for line in found.stdout.splitlines() if line.startswith("l2tpd-demo-"))


@pytest.mark.parametrize("arguments", [(), ("--loopback",)])
def test_every_promise_is_kept(arguments: tuple[str, ...]) -> None:
    """It succeeds wherever it plays, says nothing on stderr, uses no colour when piped, and sums up what it has shown and what not."""
    result = perform(RUN, *arguments)
    assert (0, "") == (result.returncode, result.stderr), result.stdout
    for said in ("lns$ l2tpctl show tunnels", "SESSION UP: ", "SESSION DOWN: ", "\nShown, ", "\nNot shown:"):
        assert said in result.stdout
    assert "\033" not in result.stdout
    assert ("over loopback" in result.stdout) or not arguments


def test_failure_is_told() -> None:
    """When a promise is not kept, here since the secrets differ, it says which one, prints both logs, and ends with 1."""
    result = perform(BROKEN, "--loopback")
    assert 1 == result.returncode, result.stdout + result.stderr
    failure = result.stdout.partition("\nFAILED: ")[2]
    assert "2 sessions are up" in failure
    assert "Challenge Response is wrong" in failure.partition("log of lns:")[2]
    assert "Shown, " not in result.stdout


def test_nothing_is_left() -> None:
    """No namespace outlives a demonstration."""
    if os.geteuid() == 0:  # who may not make namespaces leaves none
        perform(RUN)
        assert "" == namespaces()
