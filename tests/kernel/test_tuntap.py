"""The user-space plane with real TAP interfaces and real sockets, in a network namespace of the test's own."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from l2tpd.config.model import Encapsulation, Pseudowire, Sublayer
from l2tpd.errors import PlaneError
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, Link, ModifySession
from l2tpd.kernel.plane import DataPlane, PacketPlane
from l2tpd.kernel.tuntap import WAITING, UserPlane
from l2tpd.kernel.worker import Worker
from l2tpd.wire.data3 import OVER_UDP, Layout, build_data
from l2tpd.wire.numbers import CallResult
from taps import WITHIN, Wire, frame_of, has_vlan, ip, namespace, pair, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no TAP interfaces: {why_not()}")

COOKIES = {0: b"", 4: b"abcd", 8: b"12345678"}
LCP = bytes.fromhex("ff03c021 01010004")  # a Configure-Request (RFC 1661 5.1)
UDP = Encapsulation.UDP
SUBLAYER = Layout(sublayer=True)


vlan = pytest.mark.skipif(bool(why_not()) or not has_vlan(), reason="this kernel has no VLAN links")


@pytest.fixture(autouse=True)
def elsewhere() -> Iterator[None]:
    """Run each test in a network namespace of its own."""
    with namespace():
        yield


@pytest.fixture
async def plane() -> AsyncIterator[UserPlane]:
    """A plane without tunnels."""
    made = UserPlane(Worker("plane"))
    yield made
    made.close()


def session(name: str, session_id: int = 1, **fields: object) -> CreateSession:
    """Return an Ethernet session with the same number on both sides; its interface is called `name`."""
    said = {"link": Link(name=name), "pseudowire": Pseudowire.ETH, **fields}
    tunnel_id = 2 if name.startswith("there") else 1
    return CreateSession(tunnel_id=tunnel_id, session_id=session_id, peer_session_id=session_id, **said)  # type: ignore[arg-type]


def ppp(tunnel_id: int, **fields: object) -> CreateSession:
    """Return a PPP session, number 1 on both sides."""
    return CreateSession(tunnel_id=tunnel_id, session_id=1, peer_session_id=1, pseudowire=Pseudowire.PPP, **fields)  # type: ignore[arg-type]


def interfaces() -> set[str]:
    """Return the names of the interfaces that there are, but for those that some kernels give to every namespace."""
    return {link["ifname"] for link in json.loads(ip("-json", "link"))} - {"lo", "sit0"}


def mtu(name: str) -> int:
    """Return an interface's MTU."""
    return int(json.loads(ip("-json", "link", "show", name))[0]["mtu"])


async def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true."""
    with trio.fail_after(WITHIN):
        while not condition():
            await trio.sleep(0.005)


def numbered(ns: int | None) -> bytes:
    """Return what a peer sends: a packet of session 1 over UDP, whose frame has the same number."""
    return OVER_UDP + build_data(1, SUBLAYER, frame_of(ns or 0), ns)


async def refusal(plane: UserPlane, operation: CreateSession | CreateTunnel | ModifySession) -> str:
    """Return the words in which an operation is refused."""
    with pytest.raises(PlaneError) as caught:
        await plane.perform(operation)
    return caught.value.text


# --- frames -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encap", "ip_version", "cookie", "sequencing"),
    [*itertools.product(Encapsulation, (4, 6), (0, 4, 8), (False, True))],
)
async def test_frames_both_ways(encap: Encapsulation, ip_version: int, cookie: int, sequencing: bool) -> None:
    """Whatever carries them and however they are marked, frames arrive as they were sent, and both sides count them alike."""
    ours, theirs = COOKIES[cookie], COOKIES[cookie][::-1]
    async with pair(encap, ip_version) as (here, there):
        await here.open(session("here", cookie=ours, peer_cookie=theirs, sequencing=sequencing))
        await there.open(session("there", cookie=theirs, peer_cookie=ours, sequencing=sequencing))
        with Wire("here") as near, Wire("there") as far:
            for number, octets in enumerate((60, 1400)):
                near.send(frame_of(number, octets))
                assert frame_of(number, octets) == await far.receive()
                far.send(frame_of(number + 100))
                assert frame_of(number + 100) == await near.receive()
        assert 2 == here.counters()["tx_packets"] == there.counters()["rx_packets"]
        header = (8 if encap is UDP else 4) + cookie + 4
        assert 1460 + 2 * header == here.counters()["tx_bytes"] == there.counters()["rx_bytes"]


async def test_a_burst() -> None:
    """More frames than a pump sends at once all arrive, in order."""
    async with pair(UDP) as (here, there):
        await here.open(session("here"))
        await there.open(session("there"))
        with Wire("here") as near, Wire("there") as far:
            for number in range(200):
                near.send(frame_of(number))
            for number in range(200):
                assert frame_of(number) == await far.receive()


async def test_ping() -> None:
    """Two hosts whose interfaces are the two ends of a session reach each other, and the largest packet fits through."""
    ip("link", "set", "lo", "mtu", "1500")
    far_host = f"user-{os.getpid()}"
    async with pair(UDP) as (here, there):
        await here.open(session("here", link=Link(name="here", address="192.0.2.1/24")))
        await there.open(session("there"))
        ip("netns", "add", far_host)
        try:
            ip("link", "set", "there", "netns", far_host)
            ip("-n", far_host, "address", "add", "192.0.2.2/24", "dev", "there")
            ip("-n", far_host, "link", "set", "there", "up")
            size = str(mtu("here") - 28)
            command = ["ping", "-c", "3", "-i", "0.05", "-W", "2", "-M", "do", "-s", size, "192.0.2.2"]
            # Not by trio, whose threads are in the namespace that they were born in.
            with subprocess.Popen(command, stdout=subprocess.PIPE) as ping:  # noqa: ASYNC220
                await until(lambda: ping.poll() is not None)
                said = ping.communicate()[0]
        finally:
            ip("netns", "delete", far_host)
        assert b"3 received" in said


@vlan
async def test_vlan() -> None:
    """The frames of a VLAN session carry its tag, and the traffic's interface is the VLAN link (RFC 4719 3.2)."""
    async with pair(UDP) as (here, there):
        link = Link(name="here", vlan_id=100)
        outcome = await here.open(session("here", pseudowire=Pseudowire.ETH_VLAN, link=link))
        assert "here.100" == outcome.interface
        await there.open(session("there"))
        ip("link", "add", "link", "there", "name", "tagged", "type", "vlan", "id", "100")
        ip("link", "set", "tagged", "up")
        with Wire("here.100") as near, Wire("tagged") as far:
            near.send(frame_of(1))
            assert frame_of(1) == await far.receive()
            far.send(frame_of(2))
            assert frame_of(2) == await near.receive()
        await here.plane.perform(DeleteSession(tunnel_id=1, session_id=1))
        assert {"there", "tagged"} == interfaces()


async def test_bridge() -> None:
    """A session that joins a bridge carries what comes by the bridge's other ports."""
    ip("link", "add", "br0", "type", "bridge")
    ip("link", "add", "port", "type", "veth", "peer", "name", "host")
    ip("link", "set", "port", "master", "br0")
    for name in ("br0", "port", "host"):
        ip("link", "set", name, "up")
    async with pair(UDP) as (here, there):
        await here.open(session("here", link=Link(name="here", bridge="br0")))
        await there.open(session("there"))
        with Wire("host") as near, Wire("there") as far:
            near.send(frame_of(1))
            assert frame_of(1) == await far.receive()


async def test_ppp_frames() -> None:
    """PPP frames go both ways through ports, over version 2 with and without numbers; those that came early are not lost."""
    async with pair(UDP, version=2) as (here, there):
        lac, lns = await here.open(ppp(1)), await there.open(ppp(2, lns_mode=True, sequencing=True))
        assert ("", None) == (lac.interface, lac.pump)
        assert lac.port is not None
        assert lns.port is not None
        received: list[bytes] = []
        heard: list[bytes] = []
        for frame in (LCP, LCP[1:]):
            lns.port.send(frame)
        await until(lambda: here.counters()["rx_packets"] == 2)
        lac.port.attach(lambda frame: received.append(bytes(frame)))
        lns.port.attach(lambda frame: heard.append(bytes(frame)))
        lac.port.send(memoryview(LCP))  # numbered, as the LNS's was (RFC 2661 5.4)
        lns.port.send(LCP[::-1])
        await until(lambda: heard and len(received) == 3)
        assert ([LCP, LCP[1:], LCP[::-1]], [LCP]) == (received, heard)
        assert 10 + len(LCP) == here.counters()["tx_bytes"]


async def test_ppp_over_version_3() -> None:
    """Version 3 carries PPP as well (RFC 4349)."""
    async with pair(Encapsulation.IP) as (here, there):
        near, far = await here.open(ppp(1)), await there.open(ppp(2))
        received: list[bytes] = []
        assert near.port is not None
        assert far.port is not None
        far.port.attach(lambda frame: received.append(bytes(frame)))
        near.port.send(LCP)
        await until(lambda: received)
        assert [LCP] == received


async def test_nobody_takes_frames() -> None:
    """Few PPP frames wait for somebody to take them; the others are counted and lost."""
    async with pair(UDP) as (here, _there):
        outcome = await here.open(ppp(1))
        for ns in range(WAITING + 3):
            here.plane.receive(1, memoryview(build_data(1, SUBLAYER, bytes([ns]))), trio.current_time())
        assert 3 == here.counters()["rx_errors"]
        received: list[bytes] = []
        assert outcome.port is not None
        outcome.port.attach(lambda frame: received.append(bytes(frame)))
        assert [bytes([ns]) for ns in range(WAITING)] == received


# --- order ------------------------------------------------------------------------------------------------------------------------


async def test_reordering() -> None:
    """Numbered packets that arrive out of order come out in order."""
    async with pair(UDP) as (here, there):
        await here.open(session("here", sequencing=True, reorder_timeout=60_000))
        with Wire("here") as near:
            for ns in (2, 1, 0):
                there.socket.send(numbered(ns))
            assert [frame_of(ns) for ns in range(3)] == [await near.receive() for _ in range(3)]
        assert (3, 2) == (here.counters()["rx_packets"], here.counters()["rx_oos_packets"])


async def test_waiting_ends() -> None:
    """A packet that waits for one that never comes is delivered when its time is up, though no other arrives."""
    async with pair(UDP) as (here, there):
        await here.open(session("here", sequencing=True, reorder_timeout=20))
        with Wire("here") as near:
            for ns in (3, 7):
                there.socket.send(numbered(ns))
                assert frame_of(ns) == await near.receive()
            there.socket.send(numbered(6))
            await until(lambda: here.counters()["rx_seq_discards"])


async def test_waiting_ends_for_ppp() -> None:
    """So it is with PPP, which has no interface to wait at."""
    async with pair(UDP) as (here, there):
        outcome = await here.open(ppp(1, sequencing=True, reorder_timeout=20))
        received: list[bytes] = []
        assert outcome.port is not None
        outcome.port.attach(lambda frame: received.append(bytes(frame)))
        there.socket.send(numbered(3))
        await until(lambda: received)
        await here.plane.perform(DeleteSession(tunnel_id=1, session_id=1))
        await until(lambda: here.endings)
        assert [(CallResult.ADMIN, "the session was deleted")] == here.endings


async def test_numbers_are_due_when_switched_on() -> None:
    """From a change of the session on, packets are numbered and those without a number dropped."""
    async with pair(UDP) as (here, there):
        await here.open(session("here"))
        await there.open(session("there", sequencing=True))
        with Wire("here") as near, Wire("there") as far:
            near.send(frame_of(1))
            await until(lambda: there.counters()["rx_seq_discards"])
            await here.plane.perform(ModifySession(tunnel_id=1, session_id=1, sequencing=True))
            near.send(frame_of(2))
            assert frame_of(2) == await far.receive()


async def test_a_peer_that_wants_nothing_gets_nothing() -> None:
    """Neither at first nor later, until it wants again; what it sends is taken all the same."""
    async with pair(UDP) as (here, there):
        await here.open(session("here", sending=False))
        await there.open(session("there"))
        with Wire("here") as near, Wire("there") as far:
            near.send(frame_of(1))
            await until(lambda: 1 == here.counters()["tx_errors"])
            far.send(frame_of(2))
            assert frame_of(2) == await near.receive()
            for sending in (True, False):
                change = ModifySession(tunnel_id=1, session_id=1, sequencing=False, sending=sending)
                await here.plane.perform(change)
                near.send(frame_of(3))
                if sending:
                    assert frame_of(3) == await far.receive()
            await until(lambda: 2 == here.counters()["tx_errors"])


# --- what goes wrong --------------------------------------------------------------------------------------------------------------


async def test_packets_that_are_not_ours() -> None:
    """A wrong cookie and an unknown session are counted; whoever asks is told whether the session was known."""
    async with pair(UDP) as (here, there):
        await here.open(session("here", cookie=b"abcd"))
        there.socket.send(OVER_UDP + build_data(1, Layout(b"abcx", sublayer=True), frame_of(1)))
        await until(lambda: here.counters()["rx_cookie_discards"])
        assert not here.plane.receive(1, memoryview(b"\0\0\0\2frame"), 0.0)
        assert not here.plane.receive(7, memoryview(b"\0\0\0\1frame"), 0.0)
        assert (1, 1) == (here.counters()["rx_invalid"], here.counters()["rx_errors"])


async def test_tap_deleted_behind_our_back() -> None:
    """The pump ends with a reason; packets are counted as errors; the session can be deleted like any other."""
    async with pair(UDP) as (here, there):
        await here.open(session("here"))
        ip("link", "delete", "here")
        await until(lambda: here.endings)
        assert [(CallResult.LOST_CARRIER, "interface here is gone (File descriptor in bad state)")] == here.endings
        there.socket.send(numbered(None))
        await until(lambda: here.counters()["rx_errors"])
        await here.plane.perform(DeleteSession(tunnel_id=1, session_id=1))
        await here.open(session("here"))
        assert {"here"} == interfaces()


async def test_an_interface_that_is_off() -> None:
    """What it cannot take is counted; it works again when it is switched on."""
    async with pair(UDP) as (here, there):
        await here.open(session("here"))
        ip("link", "set", "here", "down")
        there.socket.send(numbered(None))
        await until(lambda: here.counters()["rx_errors"])
        ip("link", "set", "here", "up")
        with Wire("here") as near:
            there.socket.send(numbered(None))
            assert frame_of(0) == await near.receive()
        assert [] == here.endings


async def test_a_socket_that_is_closed() -> None:
    """Frames for a socket that its tunnel has closed already are counted and lost."""
    async with pair(UDP) as (here, _there):
        await here.open(session("here"))
        spare = here.plane._tunnels[1].sessions[1].session
        with socket.socket() as closed:
            pass
        spare.socket = closed
        with Wire("here") as near:
            near.send(frame_of(1))
            await until(lambda: here.counters()["tx_errors"])
        assert 0 == here.counters()["tx_packets"]


async def test_a_cancelled_pump_can_begin_again() -> None:
    """Cancelled while it waits, it leaves the session as it was."""
    async with pair(UDP) as (here, there):
        outcome = await here.plane.perform(session("here"))
        assert outcome.pump is not None
        with trio.move_on_after(0.01):
            await outcome.pump()
        await there.open(session("there"))
        with Wire("here") as near, Wire("there") as far:
            here.nursery.start_soon(outcome.pump)
            near.send(frame_of(1))
            assert frame_of(1) == await far.receive()
            far.send(frame_of(2))
            assert frame_of(2) == await near.receive()


# --- life -------------------------------------------------------------------------------------------------------------------------


async def test_planes_of_every_kind(plane: UserPlane) -> None:
    """It is a data plane whose packets come by this process, which may have any number of tunnels on one path."""
    as_plane: DataPlane = plane
    assert isinstance(as_plane, PacketPlane)
    assert ("user", False) == (plane.name, plane.exclusive_paths)
    assert plane.perform_nowait(DeleteTunnel(tunnel_id=1)) is None


async def test_nothing_is_left() -> None:
    """Deleted sessions and tunnels take their interfaces with them; deleting again is fine."""
    async with pair(UDP) as (here, _there):
        for number in (1, 2, 3):
            await here.open(session(f"here{number}", number))
        assert {"here1", "here2", "here3"} == interfaces()
        for _ in range(2):
            await here.plane.perform(DeleteSession(tunnel_id=1, session_id=1))
        assert {"here2", "here3"} == interfaces()
        for _ in range(2):
            await here.plane.perform(DeleteTunnel(tunnel_id=1))
        assert set() == interfaces()
        await until(lambda: len(here.endings) == 3)
        assert {(CallResult.ADMIN, "the session was deleted")} == set(here.endings)
        await here.plane.perform(DeleteSession(tunnel_id=1, session_id=2))


async def test_a_session_that_is_deleted_at_once() -> None:
    """A pump that comes too late finds that there is nothing to do."""
    async with pair(UDP) as (here, _there):
        outcome = await here.plane.perform(session("here"))
        await here.plane.perform(DeleteSession(tunnel_id=1, session_id=1))
        assert outcome.pump is not None
        assert (CallResult.ADMIN, "the session was deleted") == await outcome.pump()


async def test_closing_the_plane(plane: UserPlane) -> None:
    """Interfaces of sessions that nobody deleted go with it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.2", 1701))
        await plane.perform(CreateTunnel(tunnel_id=1, peer_tunnel_id=1, version=3, socket=sock))
        await plane.perform(session("here"))
        plane.close()
    assert set() == interfaces()


async def test_creating_again() -> None:
    """What exists is not made a second time."""
    async with pair(UDP) as (here, _there):
        await here.plane.perform(here.tunnel)
        assert await here.open(session("here")) is await here.plane.perform(session("here"))
        assert {"here"} == interfaces()


async def test_the_kernel_chooses_the_name() -> None:
    """Without a name the first of its kind that is free is taken."""
    async with pair(UDP) as (here, _there):
        for number in (1, 2):
            outcome = await here.open(session("here", number, link=Link()))
            assert f"l2tp{number - 1}" == outcome.interface


@pytest.mark.parametrize(
    ("encap", "ip_version", "fields", "expected"),
    [
        (UDP, 4, {}, 1446),
        (Encapsulation.IP, 6, {"cookie": b"12345678", "peer_cookie": b"abcd"}, 1434),
        (UDP, 6, {"sublayer": Sublayer.NONE}, 1430),
    ],
)
async def test_mtu(encap: Encapsulation, ip_version: int, fields: dict[str, Any], expected: int) -> None:
    """It is what the path leaves beside the headers of what we send, unless the configuration says one."""
    ip("link", "set", "lo", "mtu", "1500")
    async with pair(encap, ip_version) as (here, _there):
        await here.open(session("here", **fields))
        assert expected == mtu("here")
        await here.open(session("here2", 2, link=Link(name="here2", mtu=1300)))
        assert 1300 == mtu("here2")


async def test_counters_outlive_sessions() -> None:
    """A tunnel counts for the sessions that it has had, the plane for all tunnels."""
    async with pair(UDP) as (here, there):
        plane = here.plane
        await here.open(session("here", cookie=b"abcd"))
        there.socket.send(numbered(None))
        await until(lambda: here.counters()["rx_cookie_discards"])
        assert 1 == (await plane.statistics(1, 1))["rx_cookie_discards"]
        await plane.perform(DeleteSession(tunnel_id=1, session_id=1))
        assert 1 == (await plane.statistics(1))["rx_cookie_discards"]
        with pytest.raises(PlaneError, match="no session 1/1"):
            await plane.statistics(1, 1)
        await plane.perform(DeleteTunnel(tunnel_id=1))
        assert 1 == (await plane.totals())["rx_cookie_discards"]
        with pytest.raises(PlaneError, match="no tunnel 1"):
            await plane.statistics(1)


# --- refusals ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"link": Link(name="lo")}, "an interface `lo` exists already"),
        ({"link": Link(name="a/b")}, "`a/b` is no name for an interface"),
        (
            {"link": Link(name="a-name-of-16-oct")},
            "`a-name-of-16-oct` is no name for an interface: it is longer than 15 octets",
        ),
        ({"link": Link(name="here", bridge="br7")}, "there is no bridge `br7`"),
        ({"cookie": b"abc"}, "a cookie has 0, 4 or 8 octets (RFC 3931 4.1), not 3"),
        ({"tunnel_id": 7}, "the user-space plane has no tunnel 7"),
    ],
)
async def test_sessions_that_cannot_be(fields: dict[str, Any], text: str) -> None:
    """The refusal names the reason, and leaves nothing."""
    async with pair(UDP) as (here, _there):
        said = {"tunnel_id": 1, "link": Link(name="here"), "pseudowire": Pseudowire.ETH, **fields}
        operation = CreateSession(session_id=1, peer_session_id=1, **said)
        assert text == await refusal(here.plane, operation)
        assert set() == interfaces()


@pytest.mark.parametrize("peer", ["192.0.2.9", "2001:db8::9"])
async def test_a_tunnel_through_itself(plane: UserPlane, peer: str) -> None:
    """An address that leads the way to the peer into the session itself is refused."""
    six = ":" in peer
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0")
    ip("link", "add", "cable", "type", "veth", "peer", "name", "elsewhere")
    ip("link", "set", "elsewhere", "up")
    ip("address", "add", "2001:db8::1/64" if six else "192.0.2.1/24", "dev", "cable", *(["nodad"] if six else []))
    ip("link", "set", "cable", "up")
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((peer, 1701))
        await plane.perform(CreateTunnel(tunnel_id=1, peer_tunnel_id=1, version=3, socket=sock))
        address = "2001:db8::8/125" if six else "192.0.2.10/29"
        text = await refusal(plane, session("here", link=Link(name="here", address=address)))
        assert text.startswith(f"the peer {peer} would be reached through here")
        assert {"cable", "elsewhere"} == interfaces()
        await plane.perform(session("here", link=Link(name="here", address="198.51.100.1/24")))
        assert {"cable", "elsewhere", "here"} == interfaces()


async def test_tunnels_that_cannot_be(plane: UserPlane) -> None:
    """A tunnel needs a socket, open and connected."""
    operation = CreateTunnel(tunnel_id=1, peer_tunnel_id=1)
    assert "tunnel 1 has no socket any more" == await refusal(plane, operation)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        operation = CreateTunnel(tunnel_id=1, peer_tunnel_id=1, socket=sock)
        assert "the socket of tunnel 1: Transport endpoint is not connected" == await refusal(plane, operation)
    assert "the socket of tunnel 1: Bad file descriptor" == await refusal(plane, operation)


async def test_numbers_that_cannot_be() -> None:
    """Without a sublayer packets are not numbered, later no more than at first."""
    async with pair(UDP) as (here, _there):
        await here.open(session("here", sublayer=Sublayer.NONE))
        change = ModifySession(tunnel_id=1, session_id=1, sequencing=True)
        assert "packets cannot be numbered without an L2-specific sublayer (RFC 3931 4.6)" == await refusal(
            here.plane, change
        )
        gone = ModifySession(tunnel_id=1, session_id=2, sequencing=True)
        assert "the user-space plane has no session 1/2" == await refusal(here.plane, gone)


@pytest.mark.parametrize("version", [2, 3])
async def test_octets_of_strangers(version: int) -> None:
    """Whatever arrives, the plane says whether it is for a session, and counts what is not fit for one."""
    random = Random(2661)
    heads = (b"", b"\0\0\0\1", b"\0\2\0\1\0\1", b"\x4a\2\0\x10\0\1\0\1")
    packets = [random.choice(heads) + random.randbytes(random.randrange(24)) for _ in range(1000)]
    async with pair(UDP, version=version) as (here, _there):
        await here.open(ppp(1, sequencing=True, reorder_timeout=1000))
        known = [here.plane.receive(1, memoryview(packet), trio.current_time()) for packet in packets].count(True)
        assert 200 < known < 600
        assert 1000 - known == here.plane._tunnels[1].past.rx_invalid
        session_counters = await here.plane.statistics(1, 1)
        assert known == session_counters["rx_errors"] + session_counters["rx_packets"]
