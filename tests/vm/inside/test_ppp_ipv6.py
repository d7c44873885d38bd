"""IPv6 in PPP of our own on the kernel's data plane, ours against ours and against the real pppd: link-local addresses at both ends, and prefixes."""

from __future__ import annotations

import signal
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from interop.netns import Cable, Host
from interop.program import Program, polled, running, spawn
from vm.inside import handmade, ppp, stage
from vm.inside.conftest import Start
from vm.inside.ethernet import entered

LNS = ppp.LNS.replace("auth =", "ipv6 = true\nauth =")

PREFIXES = (
    LNS.replace("auth =", 'prefix_pool = "links"\ndelegated_pool = "sites"\nipv6_dns = ["2001:db8:f::53"]\nauth =')
    + """\
[pool.links]
range = "2001:db8:1::/48"
prefix_length = 64
[pool.sites]
range = "2001:db8:100::/40"
prefix_length = 56
"""
)
FAR = "2001:db8:f::1"
DHCP6C = """\
interface ppp0 {{
    send ia-pd 0;
    request domain-name-servers;
    script "{script}";
}};
id-assoc pd 0 {{
    prefix-interface lan {{
        sla-id 1;
        sla-len 8;
    }};
}};
"""


async def link_local(host: Host, interface: str) -> str:
    """Wait until an interface of a host has an IPv6 address, and return it."""

    async def there() -> str | None:
        words = (await ppp.said(host, "ip", "-6", "address", "show")).split(f": {interface}:")[-1].split()
        return words[words.index("inet6") + 1].split("/")[0] if "inet6" in words else None

    return await polled(there, lambda: f"{interface} of {host.namespace} has no IPv6 address")


@pytest.mark.parametrize("caller", ["ours", "pppd"])
async def test_ipv6_passes(cable: Cable, daemon: Start, tmp_path: Path, caller: str) -> None:
    """Both protocols at once: each end answers the other's pings, over IPv4 and from link-local address to link-local address."""
    ours = ppp.client(cable).replace("user =", "ipv6 = true\nuser =", 1)
    options = stage.LAC_OPTIONS.replace("noccp", "noccp +ipv6")
    interface = "ppp-hq" if caller == "ours" else "ppp0"
    with stage.secrets(cable.us):
        async with daemon(cable.us, LNS) as lns:
            end: AbstractAsyncContextManager[object] = daemon(cable.them, ours)
            if caller == "pppd":
                end = stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address, options)
            async with end:
                await ppp.addressed(lns)
                near, far = await link_local(cable.us, "ppp0"), await link_local(cable.them, interface)
                assert near.startswith("fe80::")
                assert near != far
                await stage.pings(cable.us, f"{far}%ppp0")
                await stage.pings(cable.them, f"{near}%{interface}")
                await stage.pings(cable.us, "10.9.0.2")
    for host in (cable.us, cable.them):
        await ppp.nothing_left(host)


@pytest.mark.parametrize("auth", ["chap", "mschap-v2"])
async def test_large_packets_of_both_protocols_pass_to_a_pppd(
    cable: Cable, daemon: Start, tmp_path: Path, auth: str
) -> None:
    """We are the client of xl2tpd with the real pppd, and the MTU is Ethernet's at both ends."""
    wanted = "[profile.ppp.default]\nmtu = 1500\nipv6 = true\n"
    ours = ppp.client(cable).replace("[profile.ppp.default]\n", wanted)
    options = stage.LNS_OPTIONS.replace("noccp", "noccp +ipv6").replace("1400", "1500").replace("chap", auth)
    async with stage.xl2tpd_lns(cable.us, tmp_path / "lns", options), daemon(cable.them, ours) as client:
        await ppp.addressed(client)
        near = await link_local(cable.us, "ppp0")
        assert (await link_local(cable.them, "ppp-hq")).startswith("fe80::")
        await stage.pings(cable.them, f"{near}%ppp-hq", "-s", "1452", "-M", "do")
        await stage.pings(cable.them, "10.9.0.1", "-s", "1472", "-M", "do")
    await ppp.nothing_left(cable.them)


async def addressed(host: Host, interface: str, prefix: str) -> str:
    """Wait until an interface of a host has an address of a prefix, and return it."""

    async def there() -> str | None:
        words = (await ppp.said(host, "ip", "-6", "address", "show", "dev", interface, "-tentative")).split()
        return next((word.partition("/")[0] for word in words if word.startswith(prefix)), None)

    return await polled(there, lambda: f"{interface} of {host.namespace} has no address of {prefix}")


async def test_prefixes(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """The kernel below a real pppd makes an address of the advertised prefix; a real client of DHCPv6 gets one for the network behind it."""
    options = stage.LAC_OPTIONS.replace("noccp", "noccp +ipv6")
    cable.us.call("ip", "address", "add", f"{FAR}/128", "dev", "lo")
    cable.them.call("ip", "link", "add", "lan", "type", "veth", "peer", "name", "port")
    for end in ("lan", "port"):
        cable.them.call("ip", "link", "set", end, "up")
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, PREFIXES) as lns,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address, options),
        ):
            (session,) = await ppp.addressed(lns)
            address = await addressed(cable.them, "ppp0", "2001:db8:1:")
            await stage.pings(cable.them, FAR)
            await stage.pings(cable.us, address)
            async with dhcp6c(cable.them, tmp_path):
                inside = await addressed(cable.them, "lan", "2001:db8:100:1:")
                await stage.pings(cable.us, inside)
            told = (await ppp.shown(lns, session))["ppp"]
            assert ("2001:db8:1::/64", "2001:db8:100::/56") == (told["ipv6_prefix"], told["delegated_prefix"])
    for host in (cable.us, cable.them):
        await ppp.nothing_left(host)


@asynccontextmanager
async def dhcp6c(host: Host, folder: Path) -> AsyncIterator[Program]:
    """Run wide-dhcpv6's client on ppp0."""
    script, config = folder / "script", folder / "dhcp6c.conf"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    config.write_text(DHCP6C.format(script=script))
    words = ("dhcp6c", "-f", "-D", "-c", str(config), "-p", str(folder / "dhcp6c.pid"), "ppp0")
    program = Program("dhcp6c", await spawn(host.command(*words)))
    async with running(program, signal.SIGTERM):
        yield program
        print(f"--- dhcp6c wrote:\n{program.log}")


async def test_a_pppd_goes_on_without_ipv4(cable: Cable, daemon: Start) -> None:
    """The peer of our pppd ends IPv4 alone: that is told, and its addresses are shown no longer, until both ends have agreed on them again."""
    lns = ppp.by_pppd(ppp.LNS).replace('"noccp"', '"noccp", "+ipv6"')
    client = ppp.client(cable).replace("user =", "ipv6 = true\nuser =", 1)
    with stage.secrets(cable.us):
        async with daemon(cable.us, lns) as ours, daemon(cable.them, client) as theirs:
            (session,) = await ppp.addressed(ours)
            await ppp.addressed(theirs)
            await ours.control.event("ppp", "up", network="ipv6")
            tunnel = await ours.control.call("tunnel.show", tunnel=f"@{session['tunnel_id']}")
            port = int(tunnel["peer_address"].rpartition(":")[2])
            terminate_ipv4(cable, port, session["tunnel_id"], session["id"])
            assert "IPCP terminated by peer" == (await ours.control.event("ppp", "down", network="ipv4"))["message"]
            (session,) = await ppp.addressed(ours)
            assert "10.9.0.2" == session["ppp"]["remote_address"]


def terminate_ipv4(cable: Cable, port: int, tunnel_id: int, session_id: int) -> None:
    """Send a Terminate-Request of IPCP (RFC 1661 5.5) to the near host, as if it came from the far end of a tunnel."""
    frame = b"\xff\x03\x80\x21" + struct.pack("!BBH", 5, 99, 4)
    packet = handmade.DATA.pack(handmade.DATA_FLAGS, handmade.DATA.size + len(frame), tunnel_id, session_id) + frame
    datagram = struct.pack("!HHHH", port, handmade.PORT, 8 + len(packet), 0) + packet  # RFC 768; without a checksum
    with entered(cable.them), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as sock:
        sock.sendto(datagram, (cable.us.address, 0))
