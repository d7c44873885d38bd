"""Prefixes to a subscriber: the client's kernel makes an address of the advertised one, and packets find their way by it."""

from __future__ import annotations

import socket
from functools import partial

import pytest
import trio

import taps
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.ppp import dhcp6
from l2tpd.ppp.addresses import Use
from l2tpd.ppp.dhcp6 import Code, Kind, Message, Option
from l2tpd.ppp.shared import SharedCarrier, SharedTuns
from l2tpd.session.call import Kind as CallKind
from ppp.test_task import LNS, End, end
from ppp.test_task_ipv6 import CLIENT, Place, link_local, running
from pppcable import until

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"PREFIXES ARE NOT TESTED: {taps.why_not()}")

PREFIXES = (
    LNS.format(auth="none", echo=0).replace(
        "auth =",
        'ipv6 = true\nprefix_pool = "links"\ndelegated_pool = "sites"\nipv6_dns = ["2001:db8:f::53"]\nipv6_search = ["example.net"]\nauth =',
    )
    + """
[pool.links]
range = "2001:db8:1::/48"
prefix_length = 64
[pool.sites]
range = "2001:db8:100::/40"
prefix_length = 56
"""
)
FAR = "2001:db8:f::1"
FREEBIND = 78  # linux/in6.h: IPV6_FREEBIND


def ends(lns: str = PREFIXES, client: str = CLIENT) -> tuple[End, End]:
    return end(lns, CallKind.LNS_INCOMING, interface_name="sub%d"), end(
        client, CallKind.LAC_INCOMING, interface_name="isp"
    )


async def made_address(where: Place, prefix: str) -> str:
    """Return the address that the kernel has made of a prefix, once it is there."""
    await link_local(where, "isp")
    with trio.fail_after(20):
        while True:
            words = (await where.ip("-6", "address", "show", "dev", "isp", "-tentative")).split()
            found = [word.partition("/")[0] for word in words if word.startswith(prefix)]
            if found:
                return found[0]
            await trio.sleep(0.01)


async def test_a_client_makes_an_address_of_its_prefix() -> None:
    """By its kernel alone: with the default route that came with it, it reaches what is beyond the LNS, and is reached."""
    lns, client = ends()
    async with running(lns, client) as (there, here):
        await there.ip("address", "add", f"{FAR}/128", "dev", "lo")
        address = await made_address(here, "2001:db8:1:")
        assert "default via fe80::" in await here.ip("-6", "route", "show", "dev", "isp")
        await here.thread.run(partial(taps.ping, FAR))
        await there.thread.run(partial(taps.ping, address))
        facts = lns.call.ppp_ipv6
        assert facts is not None
        assert ("2001:db8:1::/64", "2001:db8:100::/56") == (facts.prefix, facts.delegated_prefix)
        routes = await there.ip("-6", "route", "show", "dev", "sub0")
        assert {"2001:db8:1::/64", "2001:db8:100::/56"} <= {line.split()[0] for line in routes.splitlines()}
        assert [1, 1] == [lns.leases.fill(pool).used for pool in ("links", "sites")]
        client.scope.cancel()
        await until(lambda: lns.ending)
        assert [0, 0] == [lns.leases.fill(pool).used for pool in ("links", "sites")]


async def test_a_session_without_ipv4_tells_at_its_end_what_it_had() -> None:
    """As its scripts and events promise."""
    lns, client = ends(PREFIXES.replace('pool = "subscribers"\n', ""), CLIENT + "require_ipv4 = false\n")
    async with running(lns, client) as (_, here):
        await made_address(here, "2001:db8:1:")
        client.scope.cancel()
        await until(lambda: lns.ending)
        facts = lns.call.ppp_ipv6
        assert facts is not None
        assert ("", "2001:db8:1::/64", "2001:db8:100::/56") == (
            lns.call.ppp_remote, facts.prefix, facts.delegated_prefix,
        )  # fmt: skip


def asked(interface: str, message: bytes) -> bytes:
    """Send a message of DHCPv6 from the client's port and return the answer."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.bind(("::", 546))
        sock.sendto(message, ("ff02::1:2", 547, 0, socket.if_nametoindex(interface)))
        return sock.recv(2000)


async def test_a_prefix_is_delegated() -> None:
    """Out of the kernel's own sockets, a Solicit with Rapid Commit gets the prefix that is routed to the session."""
    lns, client = ends()
    association = Option(Code.IA_PD, b"\0\0\0\7" + bytes(8))
    names = Option(Code.CLIENT_ID, b"\0\3\0\1abcdef"), Option(Code.RAPID_COMMIT, b"")
    solicit = dhcp6.build(Message(Kind.SOLICIT, b"abc", (*names, association)))
    async with running(lns, client) as (_, here):
        await made_address(here, "2001:db8:1:")
        reply = dhcp6.parse(await here.thread.run(partial(asked, "isp", solicit)))
        assert (Kind.REPLY, b"abc") == reply[:2]
        assert socket.inet_pton(socket.AF_INET6, "2001:db8:f::53") == reply.first(Code.DNS)
        assert b"\x07example\x03net\0" == reply.first(Code.SEARCH)  # RFC 3646 4
        granted = dhcp6.association(next(option for option in reply.options if option.code == Code.IA_PD))
        prefix, length = dhcp6.prefix_of(granted.options[0].data)
        assert ("2001:db8:100::", 56) == (socket.inet_ntop(socket.AF_INET6, prefix), length)


class Sharing(End):
    """An LNS whose sessions have an interface in common."""

    async def run(self, plane: UserPlane) -> None:
        shared = SharedTuns(lambda: plane)
        async with trio.open_nursery() as nursery:
            await nursery.start(shared.serve)
            self.ending = await self.engine.run(1, self.call, SharedCarrier(self.cable, shared, "default"))
            nursery.cancel_scope.cancel()


async def test_on_a_shared_interface() -> None:
    """There it is the same, but that link-local addresses have no use: what comes from them is dropped, and nobody is accused."""
    lns, client = ends()
    shared = Sharing(lns.call, lns.leases, lns.engine, lns.cable, lns.lines)
    async with running(shared, client) as (there, here):
        await there.ip("address", "add", f"{FAR}/128", "dev", "lo")
        address = await made_address(here, "2001:db8:1:")
        await here.thread.run(partial(taps.ping, FAR))
        await there.thread.run(partial(taps.ping, address))
        assert "2001:db8:1::/64" in await there.ip("-6", "route", "show", "dev", "sub0")
        assert 0 == lns.cable.refused
        await here.thread.run(partial(sent_from, "2001:db8:dead::1", FAR))
        await until(lambda: lns.cable.refused)


def sent_from(source: str, destination: str) -> None:
    """Send a packet from an address, whosever it is."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, FREEBIND, 1)
        sock.bind((source, 0))
        sock.sendto(b"mine", (destination, 9))


OWN = (
    PREFIXES.replace('auth = "none"', 'auth = "pap"\nauthority = "users"')
    + """
[user.alice]
password = "wonder"
prefix = "2001:db8:2::/64"
delegated_prefix = "2001:db8:200::/56"
routes = ["2001:db8:300::/48", "192.0.2.0/24"]
"""
)


async def test_a_user_has_prefixes_of_its_own() -> None:
    """And a network behind it, which is routed where its version of IP is spoken."""
    lns, client = ends(OWN, CLIENT + 'user = "alice"\npassword = "wonder"\n')
    async with running(lns, client) as (there, here):
        await made_address(here, "2001:db8:2:")
        await until(lambda: lns.call.ppp_ipv6 and lns.call.ppp_remote)
        routes = await there.ip("-6", "route", "show", "dev", "sub0")
        assert {"2001:db8:2::/64", "2001:db8:200::/56", "2001:db8:300::/48"} <= set(routes.split())
        assert "192.0.2.0/24" in await there.ip("route", "show", "dev", "sub0")


async def test_what_is_taken_is_not_given() -> None:
    """A second session of a user gets prefixes out of the pools, and where there are none, none: that is no reason to refuse it."""
    lns, client = ends(OWN, CLIENT + 'user = "alice"\npassword = "wonder"\n')
    other = end("", CallKind.LNS_INCOMING).call
    assert lns.leases.claim(other, "2001:db8:2::/64", Use.LINK)
    assert lns.leases.claim(other, "2001:db8:200::/56", Use.DELEGATION)
    async with running(lns, client) as (_, here):
        await made_address(here, "2001:db8:1:")
        facts = lns.call.ppp_ipv6
        assert facts is not None
        assert ("2001:db8:1::/64", "2001:db8:100::/56") == (facts.prefix, facts.delegated_prefix)
    bare = OWN.replace('prefix_pool = "links"\n', "")
    lns, client = ends(bare, CLIENT + 'user = "alice"\npassword = "wonder"\n')
    assert lns.leases.claim(other, "2001:db8:2::/64", Use.LINK)
    async with running(lns, client):
        await until(lambda: lns.call.ppp_ipv6)
        facts = lns.call.ppp_ipv6
        assert facts is not None
        assert ("", "2001:db8:200::/56") == (facts.prefix, facts.delegated_prefix)
