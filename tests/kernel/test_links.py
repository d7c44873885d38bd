"""Interfaces and routes, in a network namespace of the test's own; VLANs, which not every kernel has, in the virtual machine."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from ipaddress import ip_network
from typing import Any, TypeVar

import attrs
import pytest
from pyroute2 import IPRoute

from interop.program import polled
from l2tpd.errors import PlaneError
from l2tpd.kernel.links import Links
from l2tpd.kernel.ops import Link
from l2tpd.kernel.worker import Worker

T = TypeVar("T")

NAME, OTHER, BRIDGE = "l2tp-a", "l2tp-b", "l2tp-br"
_CLONE_NEWNET = 0x40000000  # linux/sched.h


@attrs.frozen
class Scene:
    """A thread in a namespace with a pair of interfaces and a bridge, and the interfaces as it sees them."""

    worker: Worker
    links: Links
    route: Any

    async def settle(self, link: Link, mtu: int = 1400, interface: str = NAME) -> str:
        """Settle an interface."""
        return await self.worker.run(lambda: self.links.settle(interface, link, mtu))

    async def addresses(self) -> set[tuple[str, str, int]]:
        """Return the addresses of the interface: ours, the peer's or ours again, and the length; but for link-local ones."""

        def look() -> set[tuple[str, str, int]]:
            index = self.route.link_lookup(ifname=NAME)[0]
            found = [
                (row.get("local") or row.get("address"), row.get("address"), row["prefixlen"])
                for row in self.route.get_addr(index=index)
            ]
            return {row for row in found if not row[0].startswith("fe80")}

        return await self.worker.run(look)

    async def interface(self) -> Any:
        """Return what the kernel tells of the interface."""
        return (await self.worker.run(lambda: list(self.route.link("get", ifname=NAME))))[0]

    async def ask(self, what: Callable[[], T]) -> T:
        """Have the thread do something."""
        return await self.worker.run(what)


def _enter() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """A namespace of our own: the thread alone is in it, and it goes with the thread."""
    if os.geteuid() != 0:
        pytest.skip("only root may make a network namespace")
    worker = Worker("links")
    await worker.run(_enter)
    links, route = await worker.run(lambda: (Links(), IPRoute()))

    def build() -> None:
        route.link("set", index=1, state="up")
        route.link("add", ifname=NAME, kind="veth", peer={"ifname": OTHER})
        route.link("add", ifname=BRIDGE, kind="bridge")
        route.link("set", index=route.link_lookup(ifname=OTHER)[0], state="up")

    def end() -> None:
        links.close()
        route.close()

    await worker.run(build)
    yield Scene(worker, links, route)
    worker.close(end)


async def test_it_looks_as_it_should(scene: Scene) -> None:
    """Size, address, and up; once more is no different, and a second address comes beside the first."""
    for _ in range(2):
        assert NAME == await scene.settle(Link(address="192.0.2.1/24"))
    assert 1400 == (found := await scene.interface()).get("mtu")
    assert found["flags"] & 1
    await scene.settle(Link(address="2001:db8::1/64"), mtu=1300)
    assert {("192.0.2.1", "192.0.2.1", 24), ("2001:db8::1", "2001:db8::1", 64)} == await scene.addresses()
    assert 1300 == (await scene.interface()).get("mtu")


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (Link(address="192.0.2.1"), ("192.0.2.1", "192.0.2.1", 32)),
        (Link(address="2001:db8::1"), ("2001:db8::1", "2001:db8::1", 128)),
        (Link(address="192.0.2.1", peer_address="198.51.100.1"), ("192.0.2.1", "198.51.100.1", 32)),
        (Link(address="2001:db8::1", peer_address="2001:db8:1::1"), ("2001:db8::1", "2001:db8:1::1", 128)),
    ],
)
async def test_addresses(scene: Scene, link: Link, expected: tuple[str, str, int]) -> None:
    """Without a length an address is a host; with a peer's beside it, it is point to point; twice is fine."""
    for _ in range(2):
        await scene.settle(link)
    assert {expected} == await scene.addresses()


async def test_a_bridge(scene: Scene) -> None:
    """The interface joins the bridge."""
    await scene.settle(Link(bridge=BRIDGE))
    bridge = await scene.ask(lambda: scene.route.link_lookup(ifname=BRIDGE)[0])
    assert bridge == (await scene.interface()).get("master")


@pytest.mark.parametrize(
    ("link", "mtu", "number", "text"),
    [
        (Link(bridge="l2tp-no"), 1400, errno.ENODEV, "there is no bridge `l2tp-no`"),
        (Link(bridge=OTHER), 1400, errno.EINVAL, f"interface `{OTHER}` is not a bridge"),
        (Link(address="192.0.2.300"), 1400, errno.EINVAL, "`192.0.2.300` is no address of an interface"),
        (Link(address="192.0.2.1", peer_address="x"), 1400, errno.EINVAL, "`x` is no address"),
        (Link(address="192.0.2.1", peer_address="::1"), 1400, errno.EINVAL, "are of different families"),
        (Link(peer_address="192.0.2.1"), 1400, errno.EINVAL, "needs one of ours beside it"),
        (Link(), 10, errno.EINVAL, f"interface {NAME} takes no MTU of 10: mtu less than device minimum"),
        (Link(vlan_id=1), 1400, errno.ENAMETOOLONG, "`l2tp-long-name.1` is longer than 15 octets"),
    ],
)
async def test_refusals(scene: Scene, link: Link, mtu: int, number: int, text: str) -> None:
    """Each says what is wrong, in the kernel's words where it is the kernel that refuses."""
    interface = "l2tp-long-name" if link.vlan_id else NAME
    if link.vlan_id:
        await scene.ask(
            lambda: scene.route.link("set", index=scene.route.link_lookup(ifname=NAME)[0], ifname=interface)
        )
    with pytest.raises(PlaneError) as refused:
        await scene.settle(link, mtu, interface)
    assert text in refused.value.text
    assert number == refused.value.errno


async def test_what_is_not_there(scene: Scene) -> None:
    """An interface that went before its turn came is named."""
    with pytest.raises(PlaneError, match="there is no interface `l2tp-no`"):
        await scene.settle(Link(), interface="l2tp-no")
    found = await scene.ask(lambda: [scene.links.exists(name) for name in (NAME, "l2tp-no", "", "x" * 16)])
    assert [True, False, False, False] == found


async def test_ways(scene: Scene) -> None:
    """A peer is reached by an interface whose MTU counts unless the route has one of its own; a link-local peer by the one it names."""
    await scene.settle(Link(address="192.0.2.1/24"))
    await scene.settle(Link(address="2001:db8::1/64"))

    def look(*peers: str) -> list[tuple[str, int]]:
        return [(scene.links.route_interface(peer), scene.links.path_mtu(peer)) for peer in peers]

    assert [(NAME, 1400)] * 2 == await scene.ask(lambda: look("192.0.2.9", "2001:db8::9"))
    assert [("lo", 65536)] * 2 == await scene.ask(lambda: look("127.0.0.1", "192.0.2.1"))
    other = (await scene.interface()).get("link")

    async def link_local() -> list[tuple[str, int]] | None:
        with suppress(PlaneError):  # until the far end, which has just come up, has an address of its own
            return await scene.ask(lambda: look(f"fe80::9%{other}"))
        return None

    assert [(OTHER, 1500)] == await polled(link_local, lambda: "a link-local peer is not reached")
    await scene.ask(lambda: scene.route.route("add", dst="198.51.100.0/24", gateway="192.0.2.9", metrics={"mtu": 1280}))
    assert [(NAME, 1280)] == await scene.ask(lambda: look("198.51.100.1"))


async def test_a_route_of_ours(scene: Scene) -> None:
    """It is there until it is taken back; twice is neither made nor taken back, and no interface has none."""
    await scene.settle(Link(address="10.9.0.1"))
    network = ip_network("10.9.0.2/32")
    await scene.worker.run(lambda: scene.links.add_route(NAME, network, 1000))
    assert (NAME, 1000) == await scene.worker.run(
        lambda: (scene.links.route_interface("10.9.0.2"), scene.links.path_mtu("10.9.0.2"))
    )
    with pytest.raises(PlaneError, match=r"10\.9\.0\.2/32 cannot be routed into l2tp-a: "):
        await scene.worker.run(lambda: scene.links.add_route(NAME, network))
    await scene.worker.run(lambda: scene.links.delete_route(NAME, network))
    with pytest.raises(PlaneError, match="stays"):
        await scene.worker.run(lambda: scene.links.delete_route(NAME, network))
    with pytest.raises(PlaneError, match="there is no interface `nowhere`"):
        await scene.worker.run(lambda: scene.links.add_route("nowhere", network))


async def test_no_way(scene: Scene) -> None:
    """The kernel says why there is no route."""
    with pytest.raises(PlaneError, match=r"no route to 203\.0\.113\.1: Network is unreachable") as refused:
        await scene.ask(lambda: scene.links.path_mtu("203.0.113.1"))
    assert errno.ENETUNREACH == refused.value.errno
    with pytest.raises(PlaneError, match="no route to nonsense"):
        await scene.ask(lambda: scene.links.route_interface("nonsense"))


async def test_an_interface_that_is_held_sends_nothing(scene: Scene) -> None:
    """But it receives; released it sends again; doing either twice changes nothing, and somebody else's discipline stays."""
    await scene.settle(Link())

    def moved() -> dict[str, int]:
        found = {name: next(iter(scene.route.link("get", ifname=name))).get("stats64") for name in (NAME, OTHER)}
        return {name: counters["tx_packets"] for name, counters in found.items()}

    def disciplines() -> list[str]:
        index = scene.route.link_lookup(ifname=NAME)[0]
        return [row.get("kind") for row in scene.route.get_qdiscs(index=index)]

    def speak() -> None:
        for name in (NAME, OTHER):
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire, suppress(OSError):
                wire.bind((name, 0))
                wire.send(b"\xff" * 12 + b"\x88\xb5" + bytes(46))

    for _ in range(2):
        await scene.ask(lambda: scene.links.hold(NAME))
    before = await scene.ask(moved)
    await scene.ask(speak)
    after = await scene.ask(moved)
    assert (0, True) == (after[NAME] - before[NAME], after[OTHER] > before[OTHER])
    for _ in range(2):
        await scene.ask(lambda: scene.links.release(NAME))
    await scene.ask(speak)
    assert (await scene.ask(moved))[NAME] > after[NAME]
    await scene.ask(lambda: scene.route.tc("add", "pfifo", scene.route.link_lookup(ifname=NAME)[0], parent=0xFFFFFFFF))
    await scene.ask(lambda: scene.links.release(NAME))
    assert ["pfifo"] == await scene.ask(disciplines)


async def test_what_is_not_there_cannot_be_held(scene: Scene) -> None:
    """The reason names the interface."""
    for what in (scene.links.hold, scene.links.release):
        with pytest.raises(PlaneError, match="there is no interface `no-such`"):
            await scene.ask(partial(what, "no-such"))
