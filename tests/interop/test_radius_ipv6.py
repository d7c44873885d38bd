"""What FreeRADIUS assigns of IPv6 and of encryption, as a client of ours has it in the end: by its kernel, by DHCPv6, by packets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import taps
from interop.daemon import Daemon
from interop.freeradius import SECRET, FreeRadius
from interop.netns import Host
from interop.program import polled
from interop.scene import Scene
from interop.test_radius_lns import CLIENT, LNS, RIGHT, addressed, radclient, told
from l2tpd.ppp import dhcp6
from l2tpd.ppp.dhcp6 import Code, Kind, Message, Option
from l2tpd.ppp.ipv6cp import identifier

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"NO SESSION OF RADIUS IS TESTED: {taps.why_not()}")

OWN = """\
joe Cleartext-Password := "secret"
    Framed-Interface-Id = 0:0:0:99,
    Framed-IPv6-Prefix = 2001:db8:77::/64,
    Framed-IPv6-Address = 2001:db8:77::7,
    Delegated-IPv6-Prefix = 2001:db8:7700::/56,
    Framed-IPv6-Route = "2001:db8:7777::/48 :: 1",
    DNS-Server-IPv6-Address = 2001:db8:f::53,
    DNS-Server-IPv6-Address += 2001:db8:f::54
jim Cleartext-Password := "secret"
    Delegated-IPv6-Prefix = 2001:db8:7700::/60,
    Framed-IPv6-Address = 2001:db8:77::7
jill Cleartext-Password := "secret"
    Framed-IPv6-Pool = "links",
    Delegated-IPv6-Prefix-Pool = "sites"
"""
POOLS = """
[pool.links]
range = "2001:db8:1::/48"
prefix_length = 64
[pool.sites]
range = "2001:db8:100::/40"
prefix_length = 56
"""
PPP = "[profile.ppp.default]\n"
_ASK = """\
import socket, sys
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.settimeout(10)
sock.bind(("::", 546))
sock.sendto(bytes.fromhex(sys.argv[2]), ("ff02::1:2", 547, 0, socket.if_nametoindex(sys.argv[1])))
print(sock.recv(2000).hex())
"""


async def dialled(
    scene: Scene, folder: Path, *, auth: str = "chap", lns: str = "", client: str = "", user: str = "joe"
) -> tuple[Daemon, Daemon]:
    """Start the LNS and the client, with something more in their PPP profiles."""
    text = LNS.format(auth=auth, spool=folder / "spool", secret=SECRET).replace(PPP, f"{PPP}ipv6 = true\n{lns}") + POOLS
    server = await scene.daemon(text, data_plane="user")
    return server, await called(scene, user, client=client)


async def called(scene: Scene, user: str, *, listen: str = "", client: str = "") -> Daemon:
    return await scene.daemon(
        CLIENT.format(user=user, password=RIGHT) + f"{PPP}ipv6 = true\n{client}",
        host=scene.them,
        listen=listen or scene.them.address,
        data_plane="user",
    )


async def with_ipv6(daemon: Daemon, user: str) -> Mapping[str, Any]:
    """Wait until a user's IPv6 is up, and return what is shown of its session."""

    async def probe() -> Mapping[str, Any] | None:
        for row in await daemon.sessions():
            shown = await daemon.control.call("session.show", tunnel=f"@{row['tunnel_id']}", session=f"@{row['id']}")
            if shown["ppp"] and shown["ppp"]["user"] == user and shown["ppp"]["remote_ipv6"]:
                return dict(shown)
        return None

    return await polled(probe, lambda: f"{user} has no IPv6:\n{daemon.program.log}")


async def has_address(host: Host, interface: str, prefix: str) -> str:
    """Wait until the kernel has made an address of a prefix, and return it."""

    async def probe() -> str | None:
        words = host.ask("ip", "-6", "address", "show", "dev", interface, "-tentative").split()
        return next((word.partition("/")[0] for word in words if word.startswith(prefix)), None)

    return await polled(probe, lambda: host.ask("ip", "-6", "address"))


def asked(host: Host, interface: str) -> Mapping[int, Option]:
    """Ask by DHCPv6 for an address and a prefix at once, and return the options of the reply by their codes."""
    wishes = (
        Option(Code.CLIENT_ID, b"\0\3\0\1abcdef"),
        Option(Code.RAPID_COMMIT, b""),
        *(Option(code, b"\0\0\0\7" + bytes(8)) for code in (Code.IA_NA, Code.IA_PD)),
    )
    solicit = dhcp6.build(Message(Kind.SOLICIT, b"abc", wishes))
    reply = dhcp6.parse(bytes.fromhex(host.ask("python3", "-c", _ASK, interface, solicit.hex())))
    assert (Kind.REPLY, b"abc") == reply[:2]
    return {option.code: option for option in reply.options}


def server(scene: Scene, folder: Path, users: str = OWN) -> FreeRadius:
    return FreeRadius(folder / "radius", 1812, 1813, users, prefix=tuple(scene.us.command()))


async def test_what_the_server_assigns_of_ipv6(scene: Scene, tmp_path: Path) -> None:
    """Prefix of the link, address, delegated prefix, route and name servers: each is there, works, and stands in the account."""
    radius = server(scene, tmp_path)
    async with radius.running():
        lns, client = await dialled(scene, tmp_path)
        shown = (await with_ipv6(lns, "joe"))["ppp"]
        near = shown["remote_ipv6"]
        assert "fe80::99" != near  # the client has one of its own, which "MUST be acknowledged" (RFC 5072 4.1)
        assert ("2001:db8:77::/64", "2001:db8:7700::/56", "2001:db8:77::7") == (
            shown["ipv6_prefix"], shown["delegated_prefix"], shown["ipv6_address"],
        )  # fmt: skip
        isp, sub = (await addressed(client))["interface"], (await addressed(lns))["interface"]
        assert f"{near}/64" in scene.them.ask("ip", "-6", "address", "show", "dev", isp)
        made = await has_address(scene.them, isp, "2001:db8:77:")
        scene.us.call("ip", "address", "add", "2001:db8:f::1/128", "dev", "lo")
        scene.them.call("ping", "-c", "1", "-W", "5", "-I", made, "2001:db8:f::1")
        routes = scene.us.ask("ip", "-6", "route", "show", "dev", sub).split()
        assert {"2001:db8:77::/64", "2001:db8:77::7", "2001:db8:7700::/56", "2001:db8:7777::/48"} <= set(routes)
        given = asked(scene.them, isp)
        servers = b"".join(socket.inet_pton(socket.AF_INET6, f"2001:db8:f::5{last}") for last in (3, 4))
        assert servers == given[Code.DNS].data
        assert socket.inet_pton(socket.AF_INET6, "2001:db8:77::7") in given[Code.IA_NA].data
        assert bytes((56,)) + socket.inet_pton(socket.AF_INET6, "2001:db8:7700::") in given[Code.IA_PD].data
        await client.control.call("tunnel.delete", tunnel="up")
        stop = await told(radius, "Stop")
        told_so = {
            "Framed-Interface-Id": ":".join(f"{word:x}" for word in struct.unpack("!4H", identifier(near))),
            "Framed-IPv6-Prefix": "2001:db8:77::/64",
            "Framed-IPv6-Address": "2001:db8:77::7",
            "Delegated-IPv6-Prefix": "2001:db8:7700::/56",
        }
        assert told_so == {name: stop.get(name) for name in told_so}


async def test_what_another_has_is_not_given_by_the_server_either(scene: Scene, tmp_path: Path) -> None:
    """An address and a part of a delegated prefix that are in use: the second session has neither, the log says so, and afterwards they are free."""
    radius = server(scene, tmp_path)
    async with radius.running():
        lns, first = await dialled(scene, tmp_path)
        assert "2001:db8:77::7" == (await with_ipv6(lns, "joe"))["ppp"]["ipv6_address"]
        second = await called(scene, "jim", listen="127.0.0.1")
        shown = (await with_ipv6(lns, "jim"))["ppp"]
        assert ("", "") == (shown["delegated_prefix"], shown["ipv6_address"])
        for own in ("2001:db8:7700::/60", "2001:db8:77::7"):
            assert f"{own} is not free" in lns.program.log
        for client in (first, second):
            await client.control.call("tunnel.delete", tunnel="up")
        await lns.empty()
        await called(scene, "jim", listen="127.0.0.2")
        shown = (await with_ipv6(lns, "jim"))["ppp"]
        assert ("2001:db8:7700::/60", "2001:db8:77::7") == (shown["delegated_prefix"], shown["ipv6_address"])


async def test_the_server_names_pools_of_prefixes(scene: Scene, tmp_path: Path) -> None:
    """Ours, of which the session gets the first prefix each; accounting has them, and the server ends the session by the one of its link."""
    radius = server(scene, tmp_path)
    async with radius.running():
        lns, _ = await dialled(scene, tmp_path, user="jill")
        shown = (await with_ipv6(lns, "jill"))["ppp"]
        assert ("2001:db8:1::/64", "2001:db8:100::/56") == (shown["ipv6_prefix"], shown["delegated_prefix"])
        nobody = "Framed-IPv6-Prefix = 2001:db8:2::/64"
        assert "Session-Context-Not-Found" in await radclient(scene, "disconnect", nobody)
        assert "Disconnect-ACK" in await radclient(scene, "disconnect", "Framed-IPv6-Prefix = 2001:db8:1::/64")
        stop = await told(radius, "Stop")
        assert ("2001:db8:1::/64", "2001:db8:100::/56") == (stop["Framed-IPv6-Prefix"], stop["Delegated-IPv6-Prefix"])


async def encryption(daemon: Daemon) -> str:
    """Return how packets of the only session are encrypted, once its network is up."""
    shown = await addressed(daemon)
    found = await daemon.control.call("ppp.show", ppp=f"@{shown['tunnel_id']}/{shown['id']}")
    return str(found["encryption"])


MPPE = 'mppe = "allow"\nmppe_bits = {}\n'


async def test_the_keys_of_the_server_encrypt(scene: Scene, tmp_path: Path) -> None:
    """MS-CHAPv2 by the server, which sends a key for each direction: packets pass in both, so ours are those that the client has made itself."""
    radius = server(scene, tmp_path)
    radius.mschap = "require_encryption = yes\nrequire_strong = no"
    async with radius.running():
        ends = await dialled(scene, tmp_path, auth="mschapv2", lns=MPPE.format([40, 128]), client=MPPE.format([40]))
        assert ["MPPE, 40 bits, stateless"] * 2 == [await encryption(one) for one in ends]
        scene.them.call("ping", "-c", "3", "-W", "5", "10.9.0.1")


async def test_the_server_requires_strong_encryption(scene: Scene, tmp_path: Path) -> None:
    """MS-MPPE-Encryption-Policy and -Types: our profile would let the caller in without any, or with less, but there is no session."""
    radius = server(scene, tmp_path)
    radius.mschap = "require_encryption = yes\nrequire_strong = yes"
    async with radius.running():
        allow = MPPE.format([40, 128])
        lns, _ = await dialled(scene, tmp_path, auth="mschapv2", lns=allow, client=MPPE.format([40]))
        down = await lns.control.event("session", "down", by="us")
        assert "encrypt" in down["message"]
        assert not [one for one in radius.records() if one["Acct-Status-Type"] == "Start"]
