"""Hosts for the steps of a README: each with a network, a process table, an /etc and a /run of its own, joined by cables. Needs root.

A command on a host may therefore do what it would do on a real one: install files in /etc, start a daemon that goes to the background, end it
by name, own port 1701. All of it is gone with the process that holds the host, whose standard input is ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 30.0 * float(os.environ.get("L2TPD_TESTS_SLOWNESS", "1"))
"""Seconds until something that should happen is given up; no test waits for it to pass."""

NAMESPACES = ("--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
# Its /etc is a copy, so that the steps change nothing of the machine's; bash, as process 1, reaps what daemons leave.
HOLD = """\
set -e
hostname "$1"
mount -t tmpfs tmpfs /run
cp -a /etc "$2" && mount --bind "$2" /etc
ip link set lo up
echo ready
read -r
"""


@attrs.frozen
class Host:
    """A machine of the scene; `pid` is a process in its network and mount namespaces."""

    name: str
    pid: int

    def attempt(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command to its end as root at the top of the repository; what it says comes back as one text."""
        spaces = [f"--{kind}=/proc/{self.pid}/ns/{name}" for kind, name in KINDS]
        within = (
            f"--root=/proc/{self.pid}/root",
            f"--wd={REPOSITORY}",
        )  # a guest's root is not that of its mount namespace
        argv = ["nsenter", *spaces, *within, "bash", "-c", command]
        return subprocess.run(
            argv, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=2 * PATIENCE, check=False,
        )  # fmt: skip

    def run(self, command: str) -> str:
        """Run a command that must succeed, and return what it says."""
        done = self.attempt(command)
        assert 0 == done.returncode, f"{self.name}# {command}\n{done.stdout}"
        return done.stdout

    def await_success(self, command: str) -> None:
        """Repeat a command until it succeeds."""
        until(lambda: 0 == self.attempt(command).returncode, lambda: self.run(command))


KINDS = (("net", "net"), ("mount", "mnt"), ("uts", "uts"), ("pid", "pid_for_children"))


def environment() -> dict[str, str]:
    """Return the environment of a user who has installed l2tpd where this Python is, and who is root."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin:/sbin"])
    return {**os.environ, "PATH": path, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/cli", "LC_ALL": "C.UTF-8"}


def until(probe: Callable[[], object], complaint: Callable[[], object]) -> None:
    """Wait for something that hosts do; a failed assertion says what is wrong."""
    deadline = time.monotonic() + PATIENCE
    while not probe():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)


@contextmanager
def hosts(folder: Path, *names: str) -> Iterator[Sequence[Host]]:
    """Make hosts with these names, which keep their files in `folder`."""
    with ExitStack() as stack:
        yield [stack.enter_context(_host(folder, name)) for name in names]


@contextmanager
def _host(folder: Path, name: str) -> Iterator[Host]:
    argv = ["unshare", *NAMESPACES, "bash", "-c", HOLD, "hold", name, str(folder / f"etc-{name}")]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as holder:
        assert holder.stdout is not None
        said = holder.stdout.readline()
        assert "ready\n" == said, said + holder.stdout.read()
        try:
            yield Host(name, holder.pid)
        finally:
            holder.kill()


def cable(one: Host, other: Host, *, interfaces: tuple[str, str], addresses: tuple[str, str] = ("", "")) -> None:
    """Join two hosts by a veth pair; an interface without an address is only switched on."""
    ends = [("name", name, "netns", str(host.pid)) for name, host in zip(interfaces, (one, other), strict=True)]
    subprocess.run(["ip", "link", "add", *ends[0], "type", "veth", "peer", *ends[1]], check=True)
    for host, interface, address in zip((one, other), interfaces, addresses, strict=True):
        host.run(f"ip link set {interface} up")
        if address:
            host.run(f"ip address add {address} dev {interface}")
