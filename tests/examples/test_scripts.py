"""The example of a hook script, run by the runner of the daemon on a real interface in a network namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "scripts"
SPACE = f"l2tpd-scripts-{os.getpid()}"

# What the daemon does as a session comes up; the event is all that the test makes up.
DAEMON = """
import sys
from pathlib import Path
import trio
from l2tpd.events import SessionEvent, What
from l2tpd.scripts import Scripts

async def main(folder, interface, user_data):
    scripts = Scripts(Path(folder))
    event = SessionEvent(
        what=What.UP, tunnel_id=7, session_id=3, pseudowire="eth", interface=interface, user_data=user_data
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(scripts.run)
        scripts.offer(event)
        await scripts.finish(60)
        nursery.cancel_scope.cancel()
    assert {"run": 1} == scripts.counts, scripts.counts

trio.run(main, *sys.argv[1:])
"""


def ip(*words: str) -> str:
    return subprocess.run(["ip", "-n", SPACE, *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def _space() -> Iterator[None]:
    """A network namespace with an interface `test0`."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    subprocess.run(["ip", "netns", "add", SPACE], check=True)
    try:
        ip("link", "add", "test0", "type", "veth", "peer", "name", "far0")
        ip("link", "set", "test0", "up")
        yield
    finally:
        subprocess.run(["ip", "netns", "del", SPACE], check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The script, installed as its README says to."""
    tmp_path.chmod(0o755)
    shutil.copy(FOLDER / "session-up", tmp_path)
    (tmp_path / "session-up").chmod(0o755)
    return tmp_path


def come_up(folder: Path, interface: str, user_data: str) -> None:
    """Tell the script that a session came up."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = ["ip", "netns", "exec", SPACE, sys.executable, "-c", DAEMON, str(folder), interface, user_data]
    subprocess.run(command, env=environment, check=True, timeout=120)


def routes() -> set[str]:
    """Return the networks behind `test0`, without those that every interface has."""
    lines = [*ip("-4", "route").splitlines(), *ip("-6", "route").splitlines()]
    return {line.split()[0] for line in lines if "dev test0" in line} - {"fe80::/64", "ff00::/8"}


def test_it_is_executable() -> None:
    """As it is checked out, so that its README can be followed."""
    assert os.access(FOLDER / "session-up", os.X_OK)


@pytest.mark.usefixtures("_space")
def test_networks_of_user_data_are_routed_into_the_session(folder: Path) -> None:
    """Both families, again without complaint when they are there, gone with the interface."""
    for _ in range(2):
        come_up(folder, "test0", "198.51.100.0/24 2001:db8:17::/48")
    assert {"198.51.100.0/24", "2001:db8:17::/48"} == routes()
    ip("link", "del", "test0")
    assert set() == routes()


@pytest.mark.usefixtures("_space")
def test_a_mistake_in_user_data_costs_only_itself(folder: Path) -> None:
    """What is no network is passed over; nothing in it is run or expanded."""
    canary = folder / "canary"
    come_up(folder, "test0", f"$(touch {canary}) ;touch${{IFS}}{canary} * 198.51.100.0/24")
    assert {"198.51.100.0/24"} == routes()
    assert not canary.exists()


@pytest.mark.usefixtures("_space")
def test_without_an_interface_nothing_is_done(folder: Path) -> None:
    """Where pppd has yet to make the interface."""
    come_up(folder, "", "198.51.100.0/24")
    assert set() == routes()
