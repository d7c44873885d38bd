"""PPP with l2tpns, which asks FreeRADIUS who may come in: as the LNS of our client, with packets through its TUN and ours."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

import taps
from interop.freeradius import SECRET, FreeRadius
from interop.scene import Scene
from interop.test_radius_lns import addressed, told

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"NO PPP WITH L2TPNS IS TESTED: {taps.why_not()}")

GATEWAY = "10.99.0.1"  # of l2tpns' TUN
POOL = [ipaddress.ip_network(text) for text in ("10.10.10.0/24", "10.13.10.0/24")]  # of Debian's package
USERS = 'joe Cleartext-Password := "secret"\n    Service-Type = Framed-User, Framed-Protocol = PPP\n'
LNS = """\
set radius_authtypes "{auth}"
set radius_secret "{secret}"
set radius_accounting yes
set iftun_address {gateway}
set peer_address {gateway}
set primary_dns 9.9.9.9
"""
CLIENT = """\
[tunnel.up]
peer = "{peer}"
[tunnel.up.session.line]
pseudowire = "ppp"
user = "joe"
password = "{password}"
"""


@pytest.mark.parametrize("auth", ["pap", "chap"])
async def test_our_client_with_l2tpns(scene: Scene, tmp_path: Path, auth: str) -> None:
    """It gets an address of their pool, and packets as large as may be pass; their accounting knows when it hangs up."""
    radius = FreeRadius(tmp_path / "radius", 1812, 1813, USERS, prefix=tuple(scene.them.command()))
    async with radius.running():
        await scene.l2tpns(more=LNS.format(auth=auth, secret=SECRET, gateway=GATEWAY))
        us = await scene.daemon(CLIENT.format(peer=scene.them.address, password="secret"), data_plane="user")
        shown = await addressed(us)
        assert any(ipaddress.ip_address(shown["ppp"]["local_address"]) in network for network in POOL)
        for size in (
            "56",
            "1372",
        ):  # that is 1400 octets of packet: l2tpns sends nothing that is larger than our MRU, and does not cut it either
            scene.us.call("ping", "-c", "3", "-W", "5", "-s", size, GATEWAY)
        start = await told(radius, "Start")
        assert ("joe", shown["ppp"]["local_address"]) == (start["User-Name"], start["Framed-IP-Address"])
        await us.control.call("tunnel.delete", tunnel="up")
        await told(radius, "Stop")
        await scene.end()


OURS = """\
[peer.default]
roles = ["lns"]
secret = "between"
[profile.tunnel.default]
authentication = "none"
[profile.ppp.default]
local_address = "10.88.0.1"
pool = "subscribers"
auth = "chap"
authority = "users"
[pool.subscribers]
range = "10.88.0.2-10.88.0.9"
[user."joe@friend"]
password = "secret"
"""
CALLER = """\
[tunnel.up]
peer = "192.0.2.2"
local_port = 0
[tunnel.up.session.line]
pseudowire = "ppp"
user = "joe@friend"
password = "secret"
"""


async def test_l2tpns_hands_a_caller_on_to_our_lns(scene: Scene, tmp_path: Path) -> None:
    """A caller of theirs whose name says so belongs to us: it gets an address of ours, and its packets pass through l2tpns."""
    forward = f'setforward "@friend" {scene.us.address} 1701 between\n'
    await scene.l2tpns(more=LNS.format(auth="chap", secret=SECRET, gateway=GATEWAY) + forward)
    lns = await scene.daemon(OURS, data_plane="user")
    caller = await scene.daemon(CALLER, host=scene.them, listen="127.0.0.1", data_plane="user")
    shown = await addressed(caller)
    assert "10.88.0.2" == shown["ppp"]["local_address"]
    assert "joe@friend" == (await addressed(lns))["ppp"]["user"]
    scene.them.call("ping", "-c", "3", "-W", "5", "10.88.0.1")
    await caller.control.call("tunnel.delete", tunnel="up")
    await lns.control.event("session", "down")
