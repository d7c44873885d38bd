"""IPv6 beside IPv4 on the interface of a session: link-local addresses on both ends, and packets between them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

import attrs
import pytest
import trio

import taps
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.kernel.worker import Worker
from l2tpd.ppp.frame import build_packet
from l2tpd.session.call import Kind
from ppp.test_task import LNS, End, end
from pppcable import until

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"PPP IN THIS PROCESS IS NOT TESTED: {taps.why_not()}")

SIX = LNS.format(auth="none", echo=0).replace("auth =", "ipv6 = true\nauth =")
CLIENT = "[profile.ppp.default]\nipv6 = true\n"
IPCP, IPV6CP = b"\x80\x21", b"\x80\x57"


@attrs.define(eq=False)
class Place:
    """A network namespace: what makes interfaces in it, and a thread in which programs see it."""

    plane: UserPlane
    thread: Worker

    async def ip(self, *words: str) -> str:
        return await self.thread.run(partial(taps.ip, *words))

    async def addresses(self, interface: str) -> str:
        return " ".join((await self.ip("-6", "address", "show", "dev", interface)).split())

    async def ping(self, address: str, interface: str) -> None:
        await self.thread.run(partial(taps.ping, f"{address}%{interface}"))


def place(*, ipv6: bool = True) -> Place:
    with taps.namespace():
        if ipv6:
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0")
        return Place(UserPlane(Worker("interfaces")), Worker("programs"))


@asynccontextmanager
async def running(lns: End, client: End, *, ipv6: bool = True) -> AsyncIterator[tuple[Place, Place]]:
    """Run both sides on one cable, each interface in a namespace of its own."""
    lns.cable.other, client.cable.other = client.cable, lns.cable
    places = place(ipv6=ipv6), place()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lns.engine.clock.serve)
            nursery.start_soon(client.engine.clock.serve)
            nursery.start_soon(lns.run, places[0].plane)
            nursery.start_soon(client.run, places[1].plane)
            yield places
            nursery.cancel_scope.cancel()
    finally:
        for one in places:
            one.thread.close()
            one.plane.close()


def both_ends(lns: str = SIX, client: str = CLIENT) -> tuple[End, End]:
    return end(lns, Kind.LNS_INCOMING, interface_name="sub%d"), end(client, Kind.LAC_INCOMING, interface_name="isp")


async def link_local(where: Place, interface: str) -> str:
    """Return the IPv6 address of an interface, once it is there."""
    for _ in itertools.repeat(None, 1000):
        words = (await where.addresses(interface)).split() if interface in await where.ip("link") else []
        if "inet6" in words:
            return words[words.index("inet6") + 1].removesuffix("/64")
        await trio.sleep(0.01)
    raise AssertionError(f"{interface} has no IPv6 address")


async def test_packets_of_ipv6_cross() -> None:
    """Each end has the link-local address of its own interface identifier and no other, and answers the other's ping."""
    lns, client = both_ends()
    async with running(lns, client) as (there, here):
        near, far = await link_local(here, "isp"), await link_local(there, "sub0")
        await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
        assert near.startswith("fe80::")
        assert any(f"0x{IPv6Address(near).packed[8:].hex()}" in line for line in lns.lines if "Configure-Ack" in line)
        assert 1 == (await here.addresses("isp")).count("inet6")
        assert "10.9.0.2 peer 10.9.0.1" in await here.ip("address", "show", "dev", "isp")
        await here.ping(far, "isp")
        await there.ping(near, "sub0")


@pytest.mark.parametrize(("lns", "client"), [(SIX, ""), (LNS.format(auth="none", echo=0), CLIENT)])
async def test_both_ends_must_want_it(lns: str, client: str) -> None:
    """Who does not rejects the protocol, and IPv4 goes on (RFC 1661 5.7)."""
    ends = both_ends(lns, client)
    async with running(*ends) as (there, here):
        await until(lambda: all(one.call.ppp_remote for one in ends))
        wanting = ends[0] if client == "" else ends[1]
        await until(lambda: any("Protocol-Reject" in line for line in wanting.lines))
        assert "" == await here.addresses("isp") + await there.addresses("sub0")
        assert not any(one.ending for one in ends)


async def test_a_machine_without_ipv6_does_without() -> None:
    """Its kernel refuses the address; IPv4 works all the same."""
    lns, client = both_ends()
    async with running(lns, client, ipv6=False) as (there, here):
        await until(lambda: (lns.call.ppp_remote and client.call.ppp_remote) or lns.ending or client.ending)
        assert (None, None) == (lns.ending, client.ending)
        await link_local(here, "isp")
        assert "" == await there.addresses("sub0")
        assert "10.9.0.1 peer 10.9.0.2" in await there.ip("address", "show", "dev", "sub0")
        assert lns.ending is client.ending is None


async def test_a_link_that_is_too_small_for_ipv6() -> None:
    """RFC 8200 5 wants 1280 octets; IPv4 does with less."""
    lns, client = both_ends(SIX.replace("auth =", "mtu = 1200\nauth ="))
    async with running(lns, client) as (_, here):
        await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
        assert "mtu 1200" in await here.ip("link", "show", "dev", "isp")
        assert "" == await here.addresses("isp")
        assert lns.ending is client.ending is None


@pytest.mark.parametrize(
    ("protocol", "left", "gone"), [(IPV6CP, "10.9.0.1 peer 10.9.0.2", "fe80::"), (IPCP, "fe80::", "10.9.0.1")]
)
async def test_one_protocol_may_end_and_the_other_stays(protocol: bytes, left: str, gone: str) -> None:
    """RFC 1661 3.7: the interface is made anew for what is left, and the link goes on; nobody is shown addresses that do not hold any longer."""
    lns, client = both_ends()
    async with running(lns, client) as (there, _):
        await link_local(there, "sub0")
        await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
        client.cable.other = None  # so that the client does not see what it has not sent being answered
        lns.cable.hear(b"\xff\x03" + protocol + build_packet(5, 99, b""))
        with trio.fail_after(20):
            while gone in (shown := await there.ip("address")) or left not in shown:
                await trio.sleep(0.01)
        assert "sub0" in shown
        assert (protocol == IPV6CP, protocol == IPCP) == (lns.call.ppp_ipv6 is None, lns.call.ppp_remote == "")
        assert lns.ending is None
