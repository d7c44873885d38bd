"""The user-space plane on machines that forbid it, and where it has rights only in namespaces of its own."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from l2tpd.errors import PlaneError
from l2tpd.kernel import tuntap
from taps import why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no TAP interfaces: {why_not()}")

OTHERWISE = """
import socket, trio
from l2tpd.config.model import DataPlane, Pseudowire
from l2tpd.kernel.choose import choose
from l2tpd.kernel.ops import CreateSession, CreateTunnel, Link

async def main():
    plane = (await choose(DataPlane.USER)).plane
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.2", 1701))
        await plane.perform(CreateTunnel(tunnel_id=1, peer_tunnel_id=1, version=3, socket=sock))
        link = Link(name="mine", address="192.0.2.1/24")
        print((await plane.perform(CreateSession(tunnel_id=1, session_id=1, peer_session_id=1, pseudowire=Pseudowire.ETH, link=link))).interface)
        plane.close()

trio.run(main)
"""
# Nothing but what Linux wants of whoever gives root to a user namespace, since 5.12.
WITHOUT_RIGHTS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all,+setfcap")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `l2tpd` is importable in it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(tuntap.__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def test_without_rights_but_in_namespaces_of_its_own() -> None:
    """In a user and network namespace that it made, a process that has no right outside carries packets as well."""
    entry = (
        *WITHOUT_RIGHTS,
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        'ip link set lo up && exec "$@"',
        "sh",
    )
    if run(*entry, "true").returncode:
        pytest.skip("user namespaces are forbidden on this machine")
    done = run(*entry, sys.executable, "-c", OTHERWISE)
    assert ("mine\n", "", 0) == (done.stdout, done.stderr, done.returncode)


@pytest.mark.parametrize(
    ("device", "number", "text"),
    [
        (
            "/nowhere/tun",
            errno.ENOENT,
            "/nowhere/tun cannot be opened: No such file or directory (module tun is missing",
        ),
        ("/dev/null", errno.ENOTTY, "interface `here` cannot be made: Inappropriate ioctl for device"),
    ],
)
def test_no_device(monkeypatch: pytest.MonkeyPatch, device: str, number: int, text: str) -> None:
    """Where no interface can be made the reason is told."""
    monkeypatch.setattr(tuntap, "DEVICE", device)
    with pytest.raises(PlaneError) as caught:
        tuntap.open_tap("here")
    assert (number, text) == (caught.value.errno, caught.value.text[: len(text)])


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (0o600, "no interface can be made: that takes root, or the capability CAP_NET_ADMIN"),
        (0, "tun may not be opened: that takes root, or access to the device"),
    ],
)
def test_without_rights(tmp_path: Path, mode: int, text: str) -> None:
    """Who lacks a right is told which one it takes."""
    device = tmp_path / "tun"
    os.mknod(device, mode | stat.S_IFCHR, os.makedev(10, 200))  # as linux/miscdevice.h numbers it
    code = f"from l2tpd.kernel import tuntap; tuntap.DEVICE = {str(device)!r}; tuntap.probe()"
    assert run(*WITHOUT_RIGHTS, sys.executable, "-c", code).stderr.rstrip().endswith(text)
