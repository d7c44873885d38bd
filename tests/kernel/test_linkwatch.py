"""Reports of interfaces that go up, down and away, as the kernel sends them."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

import attrs
import pytest
import trio

import taps
from faults.means import no_descriptor_left
from heap import small
from l2tpd.errors import StartupError
from l2tpd.kernel import bpf, linkwatch
from l2tpd.kernel.linkwatch import Report, reports, watch
from l2tpd.supervise import crashes

NEED_NAMESPACE = pytest.mark.skipif(bool(taps.why_not()), reason=f"INTERFACES ARE NOT WATCHED: {taps.why_not()}")


def message(kind: int, name: str, flags: int, family: int = 0) -> bytes:
    """Return a message of rtnetlink about an interface, with an attribute before the name."""
    said = name.encode() + b"\0"
    attributes = (
        struct.pack("=HH4s", 8, 99, b"else") + struct.pack("=HH", 4 + len(said), 3) + said + bytes(-len(said) % 4)
    )
    body = struct.pack("=BxHiII", family, 1, 7, flags, 0) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


@pytest.mark.parametrize(
    ("kind", "asked_for", "interface", "flags", "passes"),
    [
        (16, 0, 512, 1, False),
        (16, 0, 65534, 1, False),
        (16, 0, 512, 0x1000, True),
        (16, 0, 65534, 0x1000, True),
        (16, 0, 1, 1, True),
        (16, 0, 513, 1, True),
        (16, 2, 512, 1, True),
        (17, 0, 512, 1, True),
        (24, 0, 512, 1, True),
    ],
)
def test_what_the_filter_lets_pass(kind: int, asked_for: int, interface: int, flags: int, *, passes: bool) -> None:
    """All but that an interface of PPP or of packets is up; that too, where everything was asked for."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    header, body = struct.pack("=IHHII", 40, kind, asked_for, 0, 0), struct.pack("=BxHiII", 0, interface, 7, flags, 0)
    with near, far:
        far.setblocking(False)
        bpf.attach(far, linkwatch._FILTER)
        with suppress(PermissionError):  # which is how this kind of socket tells its sender
            near.send(header + body + b"rest")
        if passes:
            assert header + body + b"rest" == far.recv(100)
        else:
            with pytest.raises(BlockingIOError):
                far.recv(100)


async def test_a_socket_that_is_not_to_be_had() -> None:
    """It is said what it is wanted for."""
    with no_descriptor_left(), pytest.raises(StartupError, match="cannot watch the network interfaces"):
        await watch(Notebook())


def test_one_reading_may_hold_several_messages() -> None:
    """New, changed and deleted interfaces; whatever else the kernel says is passed over."""
    data = message(16, "lan", 1) + message(24, "route", 1) + message(16, "l2tpeth0", 0x1002) + message(17, "gone", 0)
    assert [Report("lan", True, True), Report("l2tpeth0", False, True), Report("gone", False, False)] == list(
        reports(data)
    )


def test_a_port_that_leaves_its_bridge_is_still_there() -> None:
    """The bridge deletes its port, of the family AF_BRIDGE; the interface lives on."""
    assert [] == list(reports(message(17, "lan", 1, family=7)))


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_what_is_cut_off_is_left(cut: int) -> None:
    """Never an exception, never an endless loop."""
    whole = message(16, "lan", 1)
    assert len(list(reports(whole[:cut]))) <= 1
    assert [] == list(reports(struct.pack("=IHHII", 3, 16, 0, 0, 0) + whole))


def test_reports_are_read_into_one_room() -> None:
    """All there are."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    notebook = Notebook()
    with ours, theirs:
        theirs.setblocking(False)
        for name in ("one", "two"):
            ours.send(message(16, name, 1))
        with small():
            linkwatch._drain(theirs, notebook)
    assert [Report("one", True, True), Report("two", True, True)] == notebook.told


@attrs.define
class Notebook:
    """An owner that writes down what it is told."""

    told: list[Report] = attrs.field(factory=list)
    checks: int = 0

    def link_changed(self, report: Report) -> None:
        self.told.append(report)

    def check(self) -> None:
        self.checks += 1

    async def hears(self, report: Report) -> None:
        with trio.fail_after(10):
            while report not in self.told:
                await trio.sleep(0.01)
        self.told.clear()


@NEED_NAMESPACE
async def test_the_kernel_tells_of_an_interface_from_its_beginning_to_its_end() -> None:
    """Made, up, down, deleted."""
    owner = Notebook()
    with taps.namespace():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch, owner)
            taps.ip("link", "add", "near", "type", "veth", "peer", "name", "far")
            await owner.hears(Report("near", False, True))
            taps.ip("link", "set", "near", "up")
            await owner.hears(Report("near", True, True))
            taps.ip("link", "set", "near", "down")
            await owner.hears(Report("near", False, True))
            taps.ip("link", "del", "near")
            await owner.hears(Report("near", False, False))
            nursery.cancel_scope.cancel()


@NEED_NAMESPACE
async def test_of_an_interface_of_packets_it_is_not_told_that_it_is_up() -> None:
    """That comes with each subscriber; but that it was set down, or is gone, is told, and what there is when everything was asked for."""
    owner = Notebook()
    with taps.namespace():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch, owner)
            taps.ip("tuntap", "add", "mode", "tun", "name", "tun7")
            await owner.hears(Report("tun7", False, True))
            taps.ip("link", "set", "tun7", "up")
            taps.ip("link", "add", "near", "type", "veth", "peer", "name", "far")
            with trio.fail_after(10):
                while Report("near", False, True) not in owner.told:
                    await trio.sleep(0.01)
            assert Report("tun7", True, True) not in owner.told
            taps.ip("link", "set", "tun7", "down")
            await owner.hears(Report("tun7", False, True))
            taps.ip("link", "del", "tun7")
            await owner.hears(Report("tun7", False, False))
            taps.ip("tuntap", "add", "mode", "tun", "name", "tun8")
            taps.batch("link set tun8 up\n" + "\n".join(f"link set near mtu {68 + number}" for number in range(2000)))
            await owner.hears(Report("tun8", True, True))
            nursery.cancel_scope.cancel()


@NEED_NAMESPACE
async def test_more_reports_than_fit_are_made_good() -> None:
    """The owner is told to look, and hears of what there is."""
    owner = Notebook()
    with taps.namespace():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch, owner)
            taps.ip("link", "add", "near", "type", "veth", "peer", "name", "far")
            lines = "\n".join(f"link set near mtu {68 + number}" for number in range(2000))
            taps.batch(lines)  # while nobody reads
            with trio.fail_after(10):
                while not owner.checks:
                    await trio.sleep(0.01)
            await owner.hears(Report("lo", True, True))
            nursery.cancel_scope.cancel()


@attrs.define
class Sick(Notebook):
    """An owner that meets a bug wherever a certain interface is concerned, and when it is to look at all."""

    def link_changed(self, report: Report) -> None:
        if report.name == "near":
            raise ZeroDivisionError
        super().link_changed(report)

    def check(self) -> None:
        super().check()
        raise ZeroDivisionError


@NEED_NAMESPACE
async def test_a_bug_of_one_interface_costs_no_other() -> None:
    """Reports of the others arrive, also of those that come later."""
    owner = Sick()
    with taps.namespace():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch, owner)
            before = crashes["link"]
            taps.ip("link", "add", "near", "type", "veth", "peer", "name", "far")
            await owner.hears(Report("far", False, True))
            taps.ip("link", "set", "far", "up")
            await owner.hears(Report("far", True, True))
            assert before < crashes["link"]
            taps.batch("\n".join(f"link set far mtu {68 + number}" for number in range(2000)))
            with trio.fail_after(10):
                while not owner.checks:
                    await trio.sleep(0.01)
            await owner.hears(Report("lo", True, True))
            nursery.cancel_scope.cancel()
