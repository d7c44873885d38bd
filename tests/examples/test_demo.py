"""The demonstration, as `nox -s demo` runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from l2tpd.errors import PlaneError
from l2tpd.kernel import tuntap

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "demo.py"


def perform(program: str, *arguments: str, before: Sequence[str] = ()) -> tuple[int, str, str]:
    """Run a program of ours to its end, away from any terminal; returns its status and what it said on stdout and stderr.

    `before` are words in front of its command line, of a program that becomes it. Whatever its end, no network namespace of it may be left.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [*before, sys.executable, "-c", program, *arguments]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said, complained = process.communicate(timeout=300)
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert f"l2tpd-demo-{process.pid}-" not in spaces
    return process.returncode, said, complained


RUN = f"import runpy; runpy.run_path({str(DEMO)!r}, run_name='__main__')"
# The same, with a promise that cannot be kept.
BROKEN = f"""
import runpy, sys
demo = runpy.run_path({str(DEMO)!r})
names = demo["perform"].__globals__
texts = names["CONFIGURATIONS"]
texts["lac"] = texts["lac"].replace('secret = "{{secret}}"', 'secret = "another"')
names["PATIENCE"] = 10.0
sys.exit(demo["main"]())
"""
CARRIED = "an Ethernet pseudowire by L2TPv3 (RFC 3931, RFC 4719) that carries packets"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
NO_TUN = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /dev/net && exec "$@"', "sh")
# Debian gives the device to everybody, some containers to root alone.
TUN_FOR_ALL = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t tmpfs tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"',
    "sh",
)


def packets_move() -> bool:
    """Tell whether we may make the interfaces that packets take."""
    try:
        tuntap.probe()
    except PlaneError:
        return False
    return os.geteuid() == 0


@pytest.mark.parametrize("arguments", [(), ("--loopback",)])
def test_every_promise_is_kept(arguments: tuple[str, ...]) -> None:
    """It succeeds wherever it plays, says nothing on stderr, uses no colour when piped, and sums up what it has shown and what not."""
    status, said, complained = perform(RUN, *arguments)
    assert (0, "") == (status, complained), said
    for words in ("lns$ l2tpctl show tunnels", "SESSION UP: ", "SESSION DOWN: ", "\nShown, ", "\nNot shown:"):
        assert words in said
    assert "\033" not in said
    assert "over loopback" in said or not arguments
    assert (CARRIED in said) == (packets_move() and not arguments), said


@pytest.mark.skipif(not packets_move(), reason="takes root, and a device for interfaces that can be hidden")
def test_without_a_device_for_interfaces_it_says_so() -> None:
    """Where the daemon can make no interface there is no pseudowire; everything else is shown, and the reason is said."""
    status, said, complained = perform(RUN, before=NO_TUN)
    assert (0, "") == (status, complained), said
    assert CARRIED not in said
    assert "  - packets through a pseudowire: /dev/net/tun cannot be opened" in said


@pytest.mark.skipif(not packets_move(), reason="takes root, who can become an ordinary user")
def test_an_ordinary_user_sees_all_of_it() -> None:
    """Where users may make user namespaces and open the device, nobody has to be root to see packets move."""
    alone = ("unshare", "-Urnm", sys.executable, "-c", f"open({str(DEMO)!r})")
    if subprocess.run([*NOBODY, *alone], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not allowed, or our Python is not for everybody")
    status, said, complained = perform(RUN, before=(*TUN_FOR_ALL, *NOBODY))
    assert (0, "") == (status, complained), said
    assert CARRIED in said


def test_failure_is_told() -> None:
    """When a promise is not kept, here since the secrets differ, it says which one, prints both logs, and ends with 1."""
    status, said, complained = perform(BROKEN, "--loopback")
    assert (1, "") == (status, complained), said
    failure = said.partition("\nFAILED: ")[2]
    assert "2 sessions are up" in failure
    assert "Challenge Response is wrong" in failure.partition("log of lns:")[2]
    assert "Shown, " not in said
