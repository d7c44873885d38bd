"""What tests/faults does to daemons without a kernel, done where the kernel carries their sessions: nothing may be left in it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import taps
from faults.blows import Blow, everywhere
from faults.others import THREE, nobodys, require_readable
from faults.scenes import (
    ETHERNET,
    POOL,
    V3,
    address_removed,
    addressed,
    ended_at_any_moment,
    interfaces,
    link,
    refused_once,
    short_of_descriptors,
)
from l2tpd.control.jsonrpc import Json
from l2tpd.daemon import Daemon
from pair import ANYBODY, QUICK, calls, carried, free_port, listen, session, stage, until

PPPD = 'ppp_engine = "pppd"\n'
VLAN = "[profile.session.default]\nvlan_id = 7\n"
BY_PPPD = f"[profile.ppp.default]\n{PPPD}"


@pytest.fixture(autouse=True)
def _namespace() -> Iterator[None]:
    """A network namespace of the test's own."""
    with taps.namespace():
        yield


def in_the_kernel() -> str:
    """Return what the kernel has of tunnels and sessions."""
    sockets = Path("/proc/thread-self/net/pppol2tp").read_text()
    return taps.ip("l2tp", "show", "tunnel") + taps.ip("l2tp", "show", "session") + sockets


def session_carried(lac: Daemon) -> bool:
    """Tell whether the session `s` of `t` is carried."""
    return carried(lac, "t", "s")


async def cancelled_everywhere(
    directory: Path, lines: str, lns_keys: str, *, stride: int, encap: str = "udp", ppp: bool = True
) -> None:
    """Cancel two daemons at every so many steps of a session's way up; look into the kernel after each time."""
    done = addressed if ppp else session_carried

    async def scenario(blow: Blow) -> None:
        await link(directory, blow, lines, lns_keys, done, data_plane="kernel", encap=encap)
        with trio.fail_after(20):  # the kernel itself lets go of sockets a moment after it was told to
            while in_the_kernel() != nothing:
                await trio.sleep(0.02)

    nothing = in_the_kernel()
    steps = await everywhere(scenario, stride=stride)
    print(f"{steps} steps, a blow after every {stride}th of them")
    assert 20 < steps


async def test_cancelled_ppp(tmp_path: Path) -> None:
    """PPP of our own, until it has its addresses."""
    await cancelled_everywhere(tmp_path, session("t", "s"), POOL.format(keys=""), stride=8)


async def test_cancelled_pppd(tmp_path: Path) -> None:
    """Two pppds."""
    await cancelled_everywhere(tmp_path, session("t", "s") + BY_PPPD, POOL.format(keys=PPPD), stride=41)


@pytest.mark.parametrize("encap", ["udp", "ip"])
async def test_cancelled_ethernet(tmp_path: Path, encap: str) -> None:
    """An Ethernet pseudowire of version 3, over UDP and over IP."""
    await cancelled_everywhere(tmp_path, ETHERNET, V3, stride=8, encap=encap, ppp=False)


def of_sessions() -> tuple[list[str], str, list[str]]:
    """Return what the network namespace has of sessions, whatever tunnels there are."""
    sockets = Path("/proc/thread-self/net/pppol2tp").read_text().splitlines()
    return interfaces(), taps.ip("l2tp", "show", "session"), [line for line in sockets if line.startswith("  SESSION")]


@pytest.mark.parametrize("encap", ["udp", "ip"])
@pytest.mark.parametrize(
    ("keys", "lns_keys"),
    [({"pseudowire": "eth"}, ""), ({"pseudowire": "eth-vlan", "vlan_id": 7}, VLAN)],
    ids=["ethernet", "vlan"],
)
async def test_an_ethernet_session_that_ends_at_any_moment(
    tmp_path: Path, keys: dict[str, Json], lns_keys: str, encap: str
) -> None:
    """Its interface goes with it, the tunnel lives on."""
    lines = 'version = "l2tpv3"\n'
    steps = await ended_at_any_moment(
        tmp_path, keys, lines, V3 + lns_keys, session_carried, of_sessions, data_plane="kernel", stride=3, encap=encap
    )
    print(f"{steps} steps")
    assert 10 < steps


async def test_a_session_of_pppd_that_ends_at_any_moment(tmp_path: Path) -> None:
    """Its interface goes with it, and so do both pppds; the tunnel lives on."""
    steps = await ended_at_any_moment(
        tmp_path, {}, BY_PPPD, POOL.format(keys=PPPD), addressed, of_sessions, data_plane="kernel", stride=53
    )
    print(f"{steps} steps, a blow after every 53rd of them")
    assert 20 < steps


@pytest.mark.parametrize("left", [0, 1, 2, 3, 5])
async def test_few_descriptors(tmp_path: Path, left: int) -> None:
    """Wherever a session runs out of them on its way, at either end: PPPoX socket, channel, unit, what the tunnel opens for itself."""
    await short_of_descriptors(tmp_path, left, data_plane="kernel")


@pytest.mark.parametrize("left", [0, 6])
async def test_few_descriptors_for_pppd(tmp_path: Path, left: int) -> None:
    """The same for pppds and their pipes."""
    await short_of_descriptors(tmp_path, left, data_plane="kernel", lns_keys=POOL.format(keys=PPPD), keys=BY_PPPD)


@pytest.mark.parametrize(
    ("number", "position"),
    [(errno.ENOBUFS, 0), (errno.EAGAIN, 1), (errno.ENODEV, 1), (errno.ENOBUFS, 2), (errno.ENODEV, 2)],
)
async def test_an_operation_is_refused(tmp_path: Path, number: int, position: int) -> None:
    """Making the tunnel, making its session, letting go: tried again, others live on."""
    await refused_once(tmp_path, number, position)


async def test_an_address_is_removed(tmp_path: Path) -> None:
    """Tunnels whose PPP the kernel carries."""
    await address_removed(tmp_path, data_plane="kernel", lns_keys=POOL.format(keys=""))


@pytest.fixture
def _everybodys_ppp() -> Iterator[None]:
    """Another user than root may open /dev/ppp."""
    device = Path("/dev/ppp")
    mode = device.stat().st_mode & 0o777
    device.chmod(0o666)
    yield
    device.chmod(mode)


@pytest.mark.usefixtures("_everybodys_ppp")
async def test_as_another_user(tmp_path: Path) -> None:
    """With three capabilities, and access to /dev/ppp, the kernel carries its sessions as it does root's."""
    require_readable()
    async with stage(tmp_path, seconds=60, data_plane="kernel") as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + ANYBODY + POOL.format(keys=""))
        async with nobodys(THREE, calls("t", port, QUICK) + session("t", "s")):
            await until(lambda: any(found.ppp_remote for one in lns.registry for found in one.core.calls.values()))
            assert 2 == taps.ip("-brief", "link", "show", "type", "ppp").count("ppp")
