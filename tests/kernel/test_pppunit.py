"""PPP interfaces of the kernel: descriptors of frames, and routes and neighbours in a namespace; units themselves in the virtual machine."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import trio
import trio.testing

import taps
from l2tpd.errors import PlaneError
from l2tpd.kernel.ops import Link
from l2tpd.kernel.pppunit import UnitCarrier, Units
from l2tpd.ppp.numbers import Protocol
from taken import Taken

needs_namespaces = pytest.mark.skipif(bool(taps.why_not()), reason=f"ROUTES OF PPP ARE NOT TESTED: {taps.why_not()}")
LCP = b"\xc0\x21\x09\x01\x00\x08\x00\x00\x00\x00"


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, int]]:
    """A socket of whole frames: one end to use, and the descriptor of the other, which is the test's to close."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    with ours:
        yield ours, theirs.detach()


@pytest.fixture
async def units() -> AsyncIterator[Units]:
    made = Units()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.ear.serve)
        yield made
        nursery.cancel_scope.cancel()
    made.close()


async def test_the_kernel_writes_address_and_control(pair: tuple[socket.socket, int], units: Units) -> None:
    """What is sent begins with the protocol, whatever the link puts before it; what comes is handed over as it is; after the end nothing happens."""
    ours, descriptor = pair
    carrier, taken = UnitCarrier(descriptor, units), Taken()
    for frame in (b"\xff\x03" + LCP, LCP):
        carrier.send(frame)
        assert LCP == ours.recv(100)
    ours.send(LCP)
    ours.shutdown(socket.SHUT_WR)
    carrier.hear(taken)
    with trio.fail_after(10):
        while not taken.reasons:
            await trio.testing.wait_all_tasks_blocked(0.001)
    assert [LCP] == taken.frames
    assert ["the kernel has the session no longer"] == taken.reasons
    assert not carrier.deliver(b"a packet that came too early")
    await carrier.finish()
    carrier.send(LCP)
    await carrier.finish()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


async def test_what_is_no_session(pair: tuple[socket.socket, int], units: Units) -> None:
    """A socket that is not PPPoX becomes no channel: the error says so, there is no interface to remove or to read from, and its frames go on."""
    carrier, taken = UnitCarrier(pair[1], units), Taken()
    carrier.hear(taken)
    for _ in range(2):
        with pytest.raises(PlaneError, match="the session cannot become a PPP channel: "):
            await carrier.open(Link(mtu=1400), 1400, Protocol.IPV4)
        pair[0].send(LCP)
        carrier.send(LCP)
        assert LCP == pair[0].recv(100)
    with trio.fail_after(10):
        while len(taken.frames) < 2:
            await trio.testing.wait_all_tasks_blocked(0.001)
    carrier.pump(taken)
    with pytest.raises(PlaneError, match="there is no PPP interface"):
        await carrier.extend(Link(mtu=1400), Protocol.IPV6)
    await carrier.close()
    await carrier.finish()
    assert not taken.reasons
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pair[1])


@needs_namespaces
async def test_a_neighbour_is_announced(units: Units) -> None:
    """On the Ethernet that its address belongs to, twice as well as once; not behind a router, and not where nothing leads."""
    with taps.namespace():
        taps.ip("link", "add", "lan", "type", "veth", "peer", "name", "port")
        taps.ip("address", "add", "10.9.0.250/24", "dev", "lan")
        for end in ("lan", "port"):
            taps.ip("link", "set", end, "up")
        taps.ip("route", "add", "10.8.0.0/24", "via", "10.9.0.1")
        index = await units.announce("10.9.0.2")
        assert index == await units.announce("10.9.0.2")
        assert socket.if_nametoindex("lan") == index
        assert "10.9.0.2 dev lan proxy" in " ".join(taps.ip("neighbour", "show", "proxy").split())
        await units.withdraw("10.9.0.2", index)
        await units.withdraw("10.9.0.2", index)
        assert "" == taps.ip("neighbour", "show", "proxy")
        with pytest.raises(PlaneError, match=r"10\.8\.0\.2 belongs to no Ethernet that we are connected to"):
            await units.announce("10.8.0.2")
        taps.ip("route", "add", "10.6.0.0/24", "dev", "lo")
        with pytest.raises(PlaneError, match=r"10\.6\.0\.2 belongs to no Ethernet"):
            await units.announce("10.6.0.2")
        with pytest.raises(PlaneError, match=r"no route to 10\.7\.0\.2: "):
            await units.announce("10.7.0.2")


@needs_namespaces
@pytest.mark.parametrize("metric", ["0", "100"])
async def test_a_default_route(units: Units, metric: str) -> None:
    """It is added where there is none, whatever the metric of one that is there."""
    with taps.namespace():
        for name in ("ppp-hq", "other"):
            taps.ip("tuntap", "add", name, "mode", "tun")
            taps.ip("link", "set", name, "up")
        assert await units.add_default("ppp-hq")
        assert "default dev ppp-hq scope link" in " ".join(taps.ip("route").split())
        assert not await units.add_default("other")
        taps.ip("route", "replace", "default", "dev", "other", "metric", metric)
        taps.ip("link", "delete", "ppp-hq")
        assert not await units.add_default("ppp-hq")
        assert "default dev other" in taps.ip("route")
        taps.ip("route", "flush", "default")
        with pytest.raises(PlaneError, match="no default route through ppp-hq: "):
            await units.add_default("ppp-hq")
