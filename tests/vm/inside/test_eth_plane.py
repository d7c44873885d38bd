"""Ethernet pseudowires of the Linux plane on the real kernel, most of them against `ip l2tp` at the far end."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from functools import partial
from typing import Any

import attrs
import pytest
import trio

from interop.netns import CABLE, Cable, Host
from interop.program import polled
from l2tpd.config.model import Pseudowire, Sublayer
from l2tpd.errors import PlaneError
from l2tpd.kernel.adapter import Adapter
from l2tpd.kernel.links import Links
from l2tpd.kernel.netlink import LinuxPlane, Netlink
from l2tpd.kernel.ops import DeleteSession, DeleteTunnel, Link, ModifySession
from vm.inside import ethernet, stage
from vm.inside.ethernet import ADDRESS, INTERFACE, PEER_ADDRESS, SESSION, TUNNEL, WAYS
from vm.inside.ppp import said

CREATE = ethernet.SESSION_CREATE
DELETE = DeleteSession(tunnel_id=TUNNEL, session_id=SESSION)
COOKIES = {0: (b"", b""), 4: (b"\1\2\3\4", b"\5\6\7\0"), 8: (b"\0\1\2\3\4\5\6\7", b"abcdefgh")}
"""By length, what the peer's packets carry and what ours do."""
CANCELS = 40
UDP4 = WAYS["udp4"]


async def interfaces(host: Host) -> dict[str, Any]:
    """Return what there is of interfaces in a namespace, by name."""
    return {found["ifname"]: found for found in json.loads(await said(host, "ip", "-j", "-s", "link"))}


async def nothing_left(host: Host, kernel: Netlink) -> None:
    """Wait until there is no tunnel, no session and no interface of one; the kernel forgets a tunnel after the request is answered."""
    found: list[object] = []

    async def gone() -> bool | None:
        links = [name for name in await interfaces(host) if name.startswith(("ours", "pw"))]
        found[:] = [*kernel.tunnels(), *kernel.sessions(), *links]
        return None if found else True

    await polled(gone, lambda: f"this is left: {found}")


async def both_ways(cable: Cable, near: str = ADDRESS, far: str = PEER_ADDRESS) -> None:
    """Ping from either end."""
    await stage.pings(cable.us, far)
    await stage.pings(cable.them, near)


@pytest.mark.parametrize("sequencing", [False, True], ids=["plain", "numbered"])
@pytest.mark.parametrize("octets", COOKIES)
@pytest.mark.parametrize("way", WAYS)
async def test_against_ip_l2tp(cable: Cable, plane: LinuxPlane, way: str, octets: int, sequencing: bool) -> None:
    """Pings go across both ways, with different cookies in either direction, and packets that both ends demand to be numbered."""
    cookie, peer_cookie = COOKIES[octets]
    create = attrs.evolve(CREATE, cookie=cookie, peer_cookie=peer_cookie, sequencing=sequencing)
    ethernet.far_tunnel(cable.them, WAYS[way])
    ethernet.far_session(cable.them, create)
    ethernet.addressed(cable.them, "theirs")
    with ethernet.entered(cable.us):
        sock = ethernet.carrier(WAYS[way])
    with sock:
        await plane.perform(ethernet.tunnel(sock, WAYS[way]))
        outcome = await plane.perform(create)
        assert INTERFACE == outcome.interface
        await both_ways(cable)
        counted = await plane.statistics(TUNNEL, SESSION)
        assert 0 == counted["rx_cookie_discards"] + counted["rx_seq_discards"] + counted["rx_errors"]


@pytest.mark.parametrize("octets", COOKIES)
@pytest.mark.parametrize("way", WAYS)
async def test_the_size_is_what_the_kernel_finds(cable: Cable, plane: LinuxPlane, way: str, octets: int) -> None:
    """The MTU that we work out of the path is the one that the kernel gives the far end of the same session."""
    cookie, peer_cookie = COOKIES[octets]
    create = attrs.evolve(CREATE, cookie=cookie, peer_cookie=peer_cookie)
    ethernet.far_tunnel(cable.them, WAYS[way])
    ethernet.far_session(cable.them, create)
    with ethernet.entered(cable.us):
        sock = ethernet.carrier(WAYS[way])
    with sock:
        await plane.perform(ethernet.tunnel(sock, WAYS[way]))
        await plane.perform(create)
        ours, theirs = (await interfaces(cable.us))[INTERFACE], (await interfaces(cable.them))["theirs"]
        assert theirs["mtu"] == ours["mtu"]


async def test_a_size_of_our_own(cable: Cable, plane: LinuxPlane, near: socket.socket) -> None:
    """A configured MTU holds whatever the path; one that cannot be leaves no session behind."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    with pytest.raises(PlaneError, match="interface ours takes no MTU of 65536: mtu greater than device maximum"):
        await plane.perform(attrs.evolve(CREATE, link=Link(name=INTERFACE, mtu=65536)))
    assert INTERFACE not in await interfaces(cable.us)
    await plane.perform(attrs.evolve(CREATE, link=Link(name=INTERFACE, mtu=1234)))
    assert 1234 == (await interfaces(cable.us))[INTERFACE]["mtu"]


async def test_without_sublayer(cable: Cable, plane: LinuxPlane, near: socket.socket) -> None:
    """Data packets go without an L2-specific sublayer when both ends are told so."""
    create = attrs.evolve(CREATE, sublayer=Sublayer.NONE)
    ethernet.opposite(cable.them, create)
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(create)
    await both_ways(cable)
    with pytest.raises(PlaneError, match="have no place for numbers"):
        await plane.perform(ModifySession(tunnel_id=TUNNEL, session_id=SESSION, sequencing=True))
    assert 1500 - 20 - 8 - 8 - 14 == (await interfaces(cable.us))[INTERFACE]["mtu"]


@pytest.mark.stock
async def test_a_vlan(cable: Cable, plane: LinuxPlane, kernel: Netlink, near: socket.socket) -> None:
    """The VLAN link on the session's interface has the traffic; both are up; both go with the session."""
    create = attrs.evolve(
        CREATE, pseudowire=Pseudowire.ETH_VLAN, link=Link(name=INTERFACE, vlan_id=7, address=f"{ADDRESS}/24")
    )
    ethernet.far_tunnel(cable.them, UDP4)
    ethernet.far_session(cable.them, create)
    cable.them.call("ip", "link", "add", "link", "theirs", "name", "theirs.7", "type", "vlan", "id", "7")
    cable.them.call("ip", "link", "set", "theirs.7", "up")
    ethernet.addressed(cable.them, "theirs.7")
    await plane.perform(ethernet.tunnel(near, UDP4))
    outcome = await plane.perform(create)
    assert "ours.7" == outcome.interface
    assert outcome == await plane.perform(create)
    await both_ways(cable)
    assert {1500 - 20 - 8 - 8 - 4 - 14 - 4} == {
        found["mtu"] for name, found in (await interfaces(cable.us)).items() if name in {"ours", "ours.7"}
    }
    await plane.perform(DELETE)
    await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))
    await nothing_left(cable.us, kernel)


async def test_a_vlan_link_that_cannot_be(cable: Cable) -> None:
    """What was made is gone again when something after it fails; what was there before stays, and has to be the VLAN link that is wanted."""
    bad, good = Link(vlan_id=5, address="ff02::1/64"), Link(vlan_id=5)
    name = f"{CABLE}.5"
    with ethernet.entered(cable.us), closing(Links()) as links:
        with pytest.raises(PlaneError, match=f"interface {name} does not take the address ff02::1/64: "):
            links.settle(CABLE, bad, 1400)
        assert not links.exists(name)
        assert name == links.settle(CABLE, good, 1400) == links.settle(CABLE, good, 1400)
        with pytest.raises(PlaneError, match="does not take"):
            links.settle(CABLE, bad, 1400)
        assert links.exists(name)
        cable.us.call("ip", "link", "add", f"{CABLE}.6", "type", "bridge")
        with pytest.raises(PlaneError, match=f"an interface `{CABLE}.6` exists already, and is not this VLAN link"):
            links.settle(CABLE, Link(vlan_id=6), 1400)
        with pytest.raises(PlaneError, match=f"VLAN link {CABLE}.4999 cannot be made: "):
            links.settle(CABLE, Link(vlan_id=4999), 1400)


async def test_bridges(cable: Cable, plane: LinuxPlane, near: socket.socket) -> None:
    """Two bridges with the pseudowire between them are one network."""
    for host, address in ((cable.us, ADDRESS), (cable.them, PEER_ADDRESS)):
        host.call("ip", "link", "add", "br0", "type", "bridge")
        host.call("ip", "link", "set", "br0", "up")
        ethernet.addressed(host, "br0", address)
    ethernet.far_tunnel(cable.them, UDP4)
    ethernet.far_session(cable.them)
    cable.them.call("ip", "link", "set", "theirs", "master", "br0")
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(attrs.evolve(CREATE, link=Link(name=INTERFACE, bridge="br0")))
    await both_ways(cable)


@pytest.mark.parametrize(
    ("bridge", "text"), [("br9", "there is no bridge `br9`"), (CABLE, f"interface `{CABLE}` is not a bridge")]
)
async def test_no_such_bridge(
    cable: Cable, plane: LinuxPlane, kernel: Netlink, near: socket.socket, bridge: str, text: str
) -> None:
    """A bridge that is none is named, and the session does not stay behind."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    with pytest.raises(PlaneError, match=text):
        await plane.perform(attrs.evolve(CREATE, link=Link(name=INTERFACE, bridge=bridge)))
    assert [] == kernel.sessions()
    assert INTERFACE not in await interfaces(cable.us)


@pytest.mark.parametrize(
    ("near_address", "far_address"), [("10.8.0.1", "10.8.0.2"), ("2001:db8:8::1", "2001:db8:8::2")]
)
async def test_a_point_to_point_address(
    cable: Cable, plane: LinuxPlane, near: socket.socket, near_address: str, far_address: str
) -> None:
    """An address with a peer's beside it reaches just that."""
    ethernet.far_tunnel(cable.them, UDP4)
    ethernet.far_session(cable.them)
    words = ("address", "add", near_address.replace("::1", "::2"), "peer", near_address, "dev", "theirs", "nodad")
    cable.them.call("ip", *words) if ":" in near_address else cable.them.call(
        "ip", "address", "add", far_address, "peer", near_address, "dev", "theirs"
    )
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(attrs.evolve(CREATE, link=Link(name=INTERFACE, address=near_address, peer_address=far_address)))
    await both_ways(cable, near_address, far_address)


async def test_the_kernel_names_it(cable: Cable, plane: LinuxPlane, near: socket.socket) -> None:
    """Without a name of ours the kernel's is found out."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    outcome = await plane.perform(attrs.evolve(CREATE, link=Link()))
    assert "l2tpeth0" == outcome.interface
    assert "UP" in str((await interfaces(cable.us))["l2tpeth0"]["flags"])


@pytest.mark.stock
async def test_what_was_asked_for(plane: LinuxPlane, kernel: Netlink, near: socket.socket) -> None:
    """The kernel has ids, numbering and reorder timeout as said, and follows a change of numbering in either direction."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(attrs.evolve(CREATE, sequencing=True, reorder_timeout=250))
    assert [(TUNNEL, ethernet.PEER_TUNNEL, 3)] == [facts[:3] for facts in kernel.tunnels()]
    (facts,) = kernel.sessions()
    assert (TUNNEL, SESSION, ethernet.PEER_SESSION, 5) == facts[:4]
    assert facts.lns_mode  # or else the peer's packets would overrule us
    assert facts.reorder_timeout in range(230, 271)  # the kernel counts in ticks
    assert INTERFACE == facts.interface
    for wanted in (False, True):
        assert (not wanted, not wanted) == (facts.send_sequence, facts.receive_sequence)
        await plane.perform(ModifySession(tunnel_id=TUNNEL, session_id=SESSION, sequencing=wanted))
        (facts,) = kernel.sessions()
    assert (True, True) == (facts.send_sequence, facts.receive_sequence)


@pytest.mark.stock
async def test_statistics_are_the_kernels(
    cable: Cable, plane: LinuxPlane, kernel: Netlink, near: socket.socket
) -> None:
    """What we tell of a session is what the kernel tells of it and of its interface; totals outlive sessions and tunnels."""
    cable.them.call("sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=1")
    cable.us.call("sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=1")  # so that nothing moves but what we send
    ethernet.opposite(cable.them)
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(CREATE)
    await both_ways(cable)
    assert 3 == await trio.to_thread.run_sync(stage.ping, cable.us, PEER_ADDRESS)
    seen: list[object] = []

    async def agreed() -> Mapping[str, int] | None:
        shown = (await interfaces(cable.us))[INTERFACE]["stats64"]
        counted, total = await plane.statistics(TUNNEL, SESSION), await plane.totals()
        seen[:] = [shown, counted, total, kernel.session(TUNNEL, SESSION).counters]
        moved = counted["rx_packets"], counted["tx_packets"]
        same = counted == total == seen[3] and moved == (shown["rx"]["packets"], shown["tx"]["packets"])
        return counted if same else None

    counted = await polled(agreed, lambda: f"the kernel and we do not agree: {seen}")
    assert counted["tx_packets"] >= 3
    whole, theirs = await plane.statistics(TUNNEL), kernel.tunnel(TUNNEL).counters
    assert theirs.keys() == whole.keys()
    assert whole["tx_packets"] >= counted["tx_packets"]
    for operation in (DELETE, CREATE, DeleteTunnel(tunnel_id=TUNNEL)):
        await plane.perform(operation)
        total = await plane.totals()
        assert all(total[name] >= count for name, count in counted.items())


async def test_a_wrong_cookie(cable: Cable, plane: LinuxPlane, near: socket.socket) -> None:
    """What comes with another cookie than ours is dropped and counted, for the totals as well, also when the session has gone."""
    ethernet.far_tunnel(cable.them, UDP4)
    ethernet.far_session(cable.them, attrs.evolve(CREATE, cookie=b"abcd"))
    ethernet.addressed(cable.them, "theirs")
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(attrs.evolve(CREATE, cookie=b"efgh"))
    assert 0 == await trio.to_thread.run_sync(lambda: stage.ping(cable.them, ADDRESS, count=1))
    counted = await plane.statistics(TUNNEL, SESSION)
    assert counted["rx_cookie_discards"] >= 1
    assert 0 == counted["rx_packets"]
    await plane.perform(DELETE)
    assert (await plane.totals())["rx_cookie_discards"] >= counted["rx_cookie_discards"]


# --- what comes in the wrong order ------------------------------------------------------------------------------------------------


def data_packet(number: int, mark: int) -> bytes:
    """Return a numbered data packet for our session, whose frame carries a mark."""
    frame = b"\xff" * 6 + b"\2\0\0\0\0\1" + b"\x88\xb5" + bytes([mark]) * 46  # IEEE 802: local experimental
    return struct.pack("!III", 0x00030000, SESSION, 0x40000000 | number) + frame


def marks(sock: socket.socket) -> Iterator[int]:
    """Yield the marks of the frames that wait on a packet socket."""
    with suppress(BlockingIOError):
        while True:
            frame = sock.recv(2048)
            if frame[12:14] == b"\x88\xb5":
                yield frame[14]


@pytest.mark.parametrize(
    ("patience", "sent", "expected", "counter"),
    [
        (2000, [(0, 0), (2, 2), (1, 1), (3, 3)], [0, 1, 2, 3], "rx_oos_packets"),
        (0, [(0, 0), (2, 2), (1, 1), (2, 9), (3, 3)], [0, 1, 9, 3], "rx_seq_discards"),
    ],
    ids=["put right", "dropped"],
)
async def test_the_wrong_order(
    cable: Cable,
    plane: LinuxPlane,
    near: socket.socket,
    patience: int,
    sent: list[tuple[int, int]],
    expected: list[int],
    counter: str,
) -> None:
    """With a reorder timeout, what came early waits for its turn; without, it is dropped; either is counted."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(attrs.evolve(CREATE, sequencing=True, reorder_timeout=patience))
    with ExitStack() as stack:
        with ethernet.entered(cable.us):
            tap = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)))
            tap.bind((INTERFACE, 3))
            tap.setblocking(False)
        with ethernet.entered(cable.them):
            far = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            far.bind((UDP4.far, ethernet.PORT))
        for number, mark in sent:
            far.sendto(data_packet(number, mark), (UDP4.near, ethernet.PORT))
        arrived: list[int] = []

        async def last() -> bool | None:
            arrived.extend(marks(tap))
            return True if 3 in arrived else None

        await polled(last, lambda: f"only {arrived} arrived")
    assert expected == arrived
    assert 1 == (await plane.statistics(TUNNEL, SESSION))[counter]


# --- refusals ---------------------------------------------------------------------------------------------------------------------


async def test_a_name_that_is_taken(plane: LinuxPlane, kernel: Netlink, near: socket.socket) -> None:
    """The interface that has the name stays as it is, and the refusal cannot be taken for one of the id."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    with pytest.raises(PlaneError, match=f"an interface `{CABLE}` exists already") as refused:
        await plane.perform(attrs.evolve(CREATE, link=Link(name=CABLE)))
    assert errno.ENOTUNIQ == refused.value.errno
    assert [] == kernel.sessions()


async def test_a_session_id_that_is_taken(cable: Cable, plane: LinuxPlane) -> None:
    """Over IP, ids are the whole system's: the refusal says so by its number, by which another id is drawn."""
    way = WAYS["ip4"]
    with ExitStack() as stack:
        for number in (TUNNEL, TUNNEL + 100):
            with ethernet.entered(cable.us):
                sock = stack.enter_context(ethernet.carrier(way, number))
            await plane.perform(ethernet.tunnel(sock, way, number))
        await plane.perform(CREATE)
        with pytest.raises(PlaneError, match="it has a session of this id already") as refused:
            await plane.perform(attrs.evolve(CREATE, tunnel_id=TUNNEL + 100, link=Link(name="other")))
        assert errno.EEXIST == refused.value.errno


async def test_version_2_carries_ppp_only(plane: LinuxPlane, kernel: Netlink, near: socket.socket) -> None:
    """An Ethernet pseudowire in an L2TPv2 tunnel is refused in words."""
    await plane.perform(attrs.evolve(ethernet.tunnel(near, UDP4), version=2))
    with pytest.raises(PlaneError, match="no pseudowire `eth` for L2TPv2"):
        await plane.perform(CREATE)
    assert [] == kernel.sessions()


@pytest.mark.parametrize(
    ("peer", "address"), [("198.51.100.9", "198.51.100.1/24"), ("2001:db8:51::9", "2001:db8:51::1/64")]
)
async def test_a_tunnel_into_itself(cable: Cable, plane: LinuxPlane, kernel: Netlink, peer: str, address: str) -> None:
    """An address by which the peer would be reached through its own pseudowire is refused, and nothing of the session stays behind."""
    way = WAYS["udp6" if ":" in peer else "udp4"]
    cable.us.call("ip", "route", "add", "default", "via", way.far)
    with ethernet.entered(cable.us):
        sock = ethernet.carrier(attrs.evolve(way, far=peer))
    with sock:
        await plane.perform(ethernet.tunnel(sock, way))
        with pytest.raises(PlaneError, match=f"packets to {peer} would go into its interface ours") as refused:
            await plane.perform(attrs.evolve(CREATE, link=Link(name=INTERFACE, address=address)))
        assert errno.ELOOP == refused.value.errno
        assert [] == kernel.sessions()
        await plane.perform(CREATE)
        await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))
    await nothing_left(cable.us, kernel)


async def test_a_tunnel_in_a_tunnel(cable: Cable, plane: LinuxPlane, near: socket.socket) -> None:
    """A peer that is reached through another tunnel is fine, until that other tunnel would be reached through its."""
    cable.us.call("ip", "route", "add", "default", "via", UDP4.far)
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(CREATE)
    with ethernet.entered(cable.us):
        sock = ethernet.carrier(attrs.evolve(UDP4, near=ADDRESS, far=PEER_ADDRESS))
    with sock:
        await plane.perform(ethernet.tunnel(sock, UDP4, 5001))
        inner = attrs.evolve(CREATE, tunnel_id=5001, session_id=SESSION + 1)
        with pytest.raises(PlaneError, match=r"packets to 192\.0\.2\.2 would go into its interface inner"):
            await plane.perform(
                attrs.evolve(inner, link=Link(name="inner", address="192.0.2.9", peer_address=UDP4.far))
            )
        outcome = await plane.perform(attrs.evolve(inner, link=Link(name="inner", address="10.9.0.1/24")))
        assert "inner" == outcome.interface


# --- ends -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.stock
async def test_deletes_leave_nothing(cable: Cable, plane: LinuxPlane, kernel: Netlink, near: socket.socket) -> None:
    """Deletes may be repeated, and a session may be made again; what others deleted is deleted."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    for _ in range(2):
        await plane.perform(CREATE)
        for _ in range(2):
            await plane.perform(DELETE)
        assert INTERFACE not in await interfaces(cable.us)
    await plane.perform(CREATE)
    ids = ("tunnel_id", str(TUNNEL), "session_id", str(SESSION))
    cable.us.call("ip", "l2tp", "del", "session", *ids)
    await plane.perform(DELETE)
    await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))
    await nothing_left(cable.us, kernel)


@pytest.mark.parametrize("way", WAYS)
async def test_it_comes_back_at_once(cable: Cable, plane: LinuxPlane, kernel: Netlink, way: str) -> None:
    """A tunnel with twenty sessions goes, and the same one comes, numbers, names and all, though the kernel is not done with the first."""
    sessions = [
        attrs.evolve(CREATE, session_id=number, peer_session_id=number, link=Link(name=f"pw{number}"))
        for number in range(1, 21)
    ]
    for _ in range(3):
        with ethernet.entered(cable.us):
            sock = ethernet.carrier(WAYS[way])
        with sock:
            await plane.perform(ethernet.tunnel(sock, WAYS[way]))
            for session in sessions:
                await plane.perform(session)
            assert 20 == len(kernel.sessions())
            await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))
    await nothing_left(cable.us, kernel)


async def test_a_session_comes_back_at_once(plane: LinuxPlane, near: socket.socket) -> None:
    """In a tunnel that stays, with its number and name: Linux 6.12 says that it has let go of a session before it has."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(CREATE)
    for _ in range(100):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(plane.perform, DELETE)
            await trio.lowlevel.checkpoint()
            await plane.perform(CREATE)  # its turn comes right after that of the other
    await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))


async def test_a_vlan_link_that_somebody_deleted(
    cable: Cable, plane: LinuxPlane, kernel: Netlink, near: socket.socket
) -> None:
    """An interface that went behind our back does not hinder the end of its session."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    link = Link(name=INTERFACE, vlan_id=7)
    await plane.perform(attrs.evolve(CREATE, pseudowire=Pseudowire.ETH_VLAN, link=link))
    cable.us.call("ip", "link", "del", "ours.7")
    await plane.perform(DELETE)
    await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))
    await nothing_left(cable.us, kernel)


@pytest.mark.stock
async def test_many_sessions_go_at_once(cable: Cable, plane: LinuxPlane, kernel: Netlink, near: socket.socket) -> None:
    """One operation ends a tunnel with all its sessions and their interfaces."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    for number in range(1, 51):
        link = Link(name=f"pw{number}", mtu=1400)
        await plane.perform(attrs.evolve(CREATE, session_id=number, peer_session_id=number, link=link))
    assert 50 == len(kernel.sessions())
    await plane.perform(DeleteTunnel(tunnel_id=TUNNEL))
    await nothing_left(cable.us, kernel)


@pytest.mark.stock
async def test_a_crash_leaves_nothing(cable: Cable, kernel: Netlink) -> None:
    """Killed, a process takes its tunnel, session and interface along; the tunnel of `ip l2tp` beside it is not touched by any of it."""
    other = ("tunnel_id", "9", "peer_tunnel_id", "9", "encap", "ip", "local", UDP4.near, "remote", UDP4.far)
    cable.us.call("ip", "l2tp", "add", "tunnel", *other)
    ids = ("tunnel_id", "9", "session_id", "9", "peer_session_id", "9")
    cable.us.call("ip", "l2tp", "add", "session", "name", "others", *ids)
    path = os.pathsep.join(map(str, (stage.REPOSITORY, stage.REPOSITORY / "tests")))
    environment = os.environ | {"PYTHONPATH": path}
    async with trio.open_nursery() as nursery:
        command = ethernet.holding(cable.us, UDP4)
        process = await nursery.start(
            partial(
                trio.run_process, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, check=False
            )
        )
        assert b"ready\n" == await process.stdout.receive_some()
        assert {9, TUNNEL} == {facts.tunnel_id for facts in kernel.tunnels()}
        assert {"others", INTERFACE} <= set(await interfaces(cable.us))
        process.kill()

    async def gone() -> bool | None:
        there = {"others", INTERFACE} & set(await interfaces(cable.us))
        ids = {facts.tunnel_id for facts in kernel.tunnels()} | {facts.session_id for facts in kernel.sessions()}
        return True if there == {"others"} and ids == {9} else None

    await polled(gone, lambda: "something of the killed process is left, or the other tunnel is not", within=10)
    with ethernet.opened(cable.us) as next_run:
        assert {} == {name: count for name, count in (await next_run.totals()).items() if count}
    assert {9} == {facts.tunnel_id for facts in kernel.tunnels()}


@pytest.mark.stock
async def test_several_tunnels_on_one_path(
    cable: Cable, plane: LinuxPlane, kernel: Netlink, near: socket.socket
) -> None:
    """Over UDP a second tunnel between the same ports is made only where the kernel can carry both; over IP there is no such limit."""
    await plane.perform(ethernet.tunnel(near, UDP4))
    with ethernet.entered(cable.us):
        same = ethernet.carrier(UDP4)
    with same:
        if stage.KERNEL >= (6, 11):
            await plane.perform(ethernet.tunnel(same, UDP4, 5001))
        else:
            with pytest.raises(PlaneError, match="give one of them another `local_port`"):
                await plane.perform(ethernet.tunnel(same, UDP4, 5001))
    way = WAYS["ip4"]
    with ExitStack() as stack:
        for number in (6001, 6002):
            with ethernet.entered(cable.us):
                sock = stack.enter_context(ethernet.carrier(way, number, number))
            await plane.perform(ethernet.tunnel(sock, way, number))
        assert {6001, 6002} <= {facts.tunnel_id for facts in kernel.tunnels()}


@pytest.mark.stock
async def test_cancelling_leaves_nothing(cable: Cable, plane: LinuxPlane, kernel: Netlink) -> None:
    """A VLAN pseudowire is cancelled at any moment of its creation, forty times over: neither kernel nor namespace has anything of it afterwards."""
    adapter = Adapter(plane, lambda _operation, error: pytest.fail(str(error)))
    link = Link(name=INTERFACE, vlan_id=7, address=f"{ADDRESS}/24")
    create = attrs.evolve(CREATE, pseudowire=Pseudowire.ETH_VLAN, link=link)
    async with trio.open_nursery() as nursery:
        await nursery.start(adapter.run)
        for number in range(CANCELS):
            with ethernet.entered(cable.us):
                sock = ethernet.carrier(UDP4)
            with sock:
                with trio.move_on_after(number * 0.001):
                    await adapter.submit(ethernet.tunnel(sock, UDP4))
                    await adapter.submit(create)
                adapter.delete(DeleteTunnel(tunnel_id=TUNNEL))
                while adapter.waiting:
                    await trio.lowlevel.checkpoint()
            await nothing_left(cable.us, kernel)
        nursery.cancel_scope.cancel()
    await nothing_left(cable.us, kernel)


@pytest.mark.stock
async def test_silence(cable: Cable, plane: LinuxPlane, kernel: Netlink, near: socket.socket) -> None:
    """RFC 3931 5.4.5: made so, the session sends no packet until it is told to, and none when it is told not to; it receives all the time."""
    ethernet.opposite(cable.them)
    await plane.perform(ethernet.tunnel(near, UDP4))
    await plane.perform(attrs.evolve(CREATE, sending=False))
    change = partial(ModifySession, tunnel_id=TUNNEL, session_id=SESSION, sequencing=False)
    for _ in range(2):
        before = kernel.session(TUNNEL, SESSION).counters
        for host, address in ((cable.us, PEER_ADDRESS), (cable.them, ADDRESS)):
            assert 0 == await trio.to_thread.run_sync(stage.ping, host, address)
        after = kernel.session(TUNNEL, SESSION).counters
        assert (before["tx_packets"], True) == (after["tx_packets"], before["rx_packets"] < after["rx_packets"])
        await plane.perform(change(sending=True))
        await both_ways(cable)
        await plane.perform(change(sending=False))
