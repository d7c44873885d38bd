"""Which data plane a machine gets. This one is whatever runs the tests: with L2TP in its kernel or, more often, without."""

from __future__ import annotations

import errno

import pytest
import trio

import taps
from l2tpd.config.model import DataPlane
from l2tpd.errors import PlaneError, StartupError
from l2tpd.kernel import choose as module
from l2tpd.kernel import pppox, tuntap
from l2tpd.kernel.choose import choose
from l2tpd.kernel.ops import Link
from l2tpd.kernel.plane import PacketPlane
from l2tpd.kernel.tuntap import UserPlane


async def test_null_is_a_choice() -> None:
    """Who asks for nothing gets nothing, without a warning."""
    chosen = await choose(DataPlane.NULL)
    assert ("null", "configured", "") == (chosen.plane.name, chosen.reason, chosen.warning)


def refuse(number: int, text: str) -> object:
    """Return a function that raises such an `OSError`."""

    def raising() -> None:
        raise OSError(number, text)

    return raising


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine without L2TP that has no modules to load either, nor TUN; the list grows with each attempt."""
    attempts: list[int] = []
    monkeypatch.setattr(tuntap, "DEVICE", "/nowhere/tun")
    monkeypatch.setattr(pppox, "new_socket", refuse(errno.EPROTONOSUPPORT, "Protocol not supported"))

    def load() -> bool:
        attempts.append(1)
        return False

    monkeypatch.setattr(module, "_load", load)
    return attempts


async def test_auto_without_l2tp(loads: list[int]) -> None:
    """No L2TP, no packets: the null plane, and a warning that names the module and where to get it. Loading it is tried once."""
    chosen = await choose(DataPlane.AUTO)
    assert "null" == chosen.plane.name
    assert chosen.warning.startswith(
        "no packets will move: the kernel has no PPP over L2TP (module l2tp_ppp is missing; Debian and Ubuntu have it in"
    )
    assert chosen.reason in chosen.warning
    assert chosen.reason.endswith(
        "; and /nowhere/tun cannot be opened: No such file or directory (module tun is missing, or the container was not given the device)"
    )
    assert [1] == loads


async def test_kernel_without_l2tp(loads: list[int]) -> None:
    """Who demands the kernel gets a start that fails, in one sentence."""
    with pytest.raises(
        StartupError, match='data_plane = "kernel" is not possible here: the kernel has no PPP over L2TP'
    ):
        await choose(DataPlane.KERNEL)
    assert [1] == loads


def free_interfaces() -> None:
    """Make one and remove it: nothing is in the way."""


async def test_auto_without_l2tp_with_tun(loads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the kernel's L2TP is missing, packets move through this process; there is nothing to warn of."""
    monkeypatch.setattr(tuntap, "probe", free_interfaces)
    chosen = await choose(DataPlane.AUTO)
    assert isinstance(chosen.plane, PacketPlane)
    chosen.plane.close()
    assert ("user", "") == (chosen.plane.name, chosen.warning)
    assert chosen.reason.startswith("Ethernet moves through this process, for the kernel has no PPP over L2TP")
    assert [1] == loads


async def test_user_is_a_choice(loads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for the user-space plane gets it, whatever the kernel has."""
    monkeypatch.setattr(tuntap, "probe", free_interfaces)
    chosen = await choose(DataPlane.USER)
    assert isinstance(chosen.plane, PacketPlane)
    chosen.plane.close()
    assert ("user", "configured", "") == (chosen.plane.name, chosen.reason, chosen.warning)
    assert [] == loads


async def test_user_without_tun(loads: list[int]) -> None:
    """Who demands it where no interface can be made gets a start that fails, in one sentence."""
    with pytest.raises(StartupError, match='data_plane = "user" is not possible here: /nowhere/tun cannot be opened'):
        await choose(DataPlane.USER)
    assert [] == loads


async def test_loading_helps(loads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """After modules were loaded everything is tried again, and then the next thing that is missing is told."""
    monkeypatch.setattr(pppox, "open_device", refuse(errno.ENXIO, "No such device or address"))

    def load() -> bool:
        monkeypatch.setattr(pppox, "new_socket", lambda: open("/dev/null", "rb"))  # noqa: SIM115, PTH123 - something to close
        return True

    monkeypatch.setattr(module, "_load", load)
    chosen = await choose(DataPlane.AUTO)
    assert chosen.reason.startswith(
        "/dev/ppp cannot be opened: No such device or address (module ppp_generic is missing;"
    )
    assert [] == loads


async def test_rights_are_no_matter_of_modules(loads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to open the device no module is loaded, and the sentence says which right it takes."""
    monkeypatch.setattr(pppox, "new_socket", lambda: open("/dev/null", "rb"))  # noqa: SIM115, PTH123 - something to close
    monkeypatch.setattr(pppox, "open_device", refuse(errno.EPERM, "Operation not permitted"))
    chosen = await choose(DataPlane.AUTO)
    assert chosen.reason.startswith("/dev/ppp may not be opened: that takes root")
    assert [] == loads


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOENT, "the kernel has no L2TP over netlink (module l2tp_netlink is missing;"),
        (errno.EPERM, "generic netlink does not answer: in these words"),
    ],
)
async def test_netlink_refuses(loads: list[int], monkeypatch: pytest.MonkeyPatch, number: int, reason: str) -> None:
    """With PPP there and no family `l2tp`, it is the netlink module that is missing."""
    from l2tpd.kernel import netlink  # noqa: PLC0415 - as choose does

    def raising() -> None:
        raise PlaneError(number, "in these words")

    monkeypatch.setattr(pppox, "new_socket", lambda: open("/dev/null", "rb"))  # noqa: SIM115, PTH123 - something to close
    monkeypatch.setattr(pppox, "open_device", lambda: None)
    monkeypatch.setattr(netlink, "Netlink", raising)
    chosen = await choose(DataPlane.AUTO)
    assert ("null", reason) == (chosen.plane.name, chosen.reason[: len(reason)])
    assert len(loads) == (number == errno.ENOENT)


def test_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that says yes, one that says no, one that is not there."""
    for program, expected in (("true", True), ("false", False), ("/nowhere/modprobe", False)):
        monkeypatch.setattr(module, "_MODPROBE", (program,))
        assert expected is module._load()


@pytest.mark.skipif(bool(taps.why_not()), reason=f"no interfaces: {taps.why_not()}")
async def test_interfaces_are_made_where_the_daemon_is() -> None:
    """In the network namespace of the event loop's thread, wherever the threads were born that everybody shares."""
    await trio.to_thread.run_sync(int)
    with taps.namespace():
        plane = (await choose(DataPlane.USER)).plane
        assert isinstance(plane, UserPlane)
        await plane.open_tun(Link(name="here", mtu=1400))
        assert " here: " in taps.ip("link", "show")
        plane.close()
