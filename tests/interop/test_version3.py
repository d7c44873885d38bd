"""Version 3 between two of our daemons, on every path and with every digest, with tshark as the judge of every message."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from interop.capture import Wire
from interop.daemon import Daemon
from interop.ethernet import endpoint, table
from interop.program import polled
from interop.scene import Scene

SECRET = "swordfish"

PATHS = list(itertools.product(("udp", "ip"), (4, 6)))
DIGESTS = {"hmac-md5": ("00", 16), "hmac-sha1": ("01", 20)}
"""How RFC 3931 5.4.1 numbers the algorithms, and how many octets their digests have."""

SAID = 7
"""What we have said in a tunnel before a HELLO: SCCRQ and SCCCN, twice ICRQ and ICCN, and a CDN."""


def listeners(scene: Scene) -> str:
    """Listen on every path but the usual one."""
    others = [path for path in PATHS if path != ("udp", 4)]
    return "".join(f'[[listen]]\naddress = "{endpoint(scene.them, *path)}"\nencap = "{path[0]}"\n\n' for path in others)


def tunnels(scene: Scene) -> str:
    """Open one tunnel with one session on each path, both called after it.

    There is only one on each: tshark takes the nonces of a reply over IP for those of whichever request it saw last between the two addresses.
    """
    written = ""
    for encap, version in PATHS:
        name, local = f"{encap}{version}", scene.us.address6 if version == 6 else scene.us.address
        said = {"peer": endpoint(scene.them, encap, version), "local": local, "version": "l2tpv3", "encap": encap}
        written += table(f"tunnel.{name}", **said, persist=False)
        written += table(f"tunnel.{name}.session.{name}", pseudowire="eth")
    return written


async def exercised(us: Daemon, them: Daemon) -> None:
    """Have all tunnels up, end sessions from either side, exchange HELLO, and end the tunnels from ours."""
    names = [f"{encap}{version}" for encap, version in PATHS]
    for name in names:
        tunnel, _ = await us.up(name)
        assert "l2tpv3" == tunnel["version"]
    for session in await them.sessions():
        await them.control.call("session.delete", tunnel=f"@{session['tunnel_id']}", session=f"@{session['id']}")
    for name in names:
        await us.control.event("session", "down", name=name, by="peer")
        await us.control.call("session.create", tunnel=name, name="again", keys={"pseudowire": "eth"})
        await us.control.event("session", "up", name="again", tunnel_name=name)
        await us.control.call("session.delete", tunnel=name, session="again", reason="enough")
    for name in names:
        await heard(us, name)
        await us.control.call("tunnel.delete", tunnel=name, reason="enough")
    await them.empty()


async def heard(us: Daemon, name: str) -> None:
    """Wait until a HELLO of ours was acknowledged."""

    async def probe() -> bool | None:
        transport = (await us.control.call("tunnel.show", tunnel=name))["transport"]
        return (transport["in_flight"] == 0 and transport["ns"] > SAID) or None

    await polled(probe, lambda: f"{name} has said no HELLO")


def spoken(wire: Wire, source: str) -> dict[str, int]:
    """Count the kinds of messages that an address has sent, but for HELLO, of which there may be any number."""
    messages = Counter(wire.messages(source))
    assert messages.pop("HELLO", 0) or "SCCRP" in messages, wire.dialogue()
    return dict(messages)


@pytest.mark.parametrize("digest", ["", *DIGESTS], ids=["no secret", *DIGESTS])
async def test_every_path(scene: Scene, digest: str) -> None:
    """Set-up, HELLO, CDN of either side and StopCCN are sound over UDP and IP, over IPv4 and IPv6, and with a secret every message is signed rightly."""
    keys = {"secret": SECRET} if digest else {}
    profile = table("profile.tunnel.default", hello_timeout=0.5, **({"digest": digest} if digest else {}), **keys)
    them = await scene.daemon(listeners(scene) + profile + table("peer.default"), host=scene.them)
    us = await scene.daemon(profile + tunnels(scene))
    await exercised(us, them)
    scene.sign(SECRET if digest else "")
    wire = await scene.end()
    for mine, theirs in ((scene.us.address, scene.them.address), (scene.us.address6, scene.them.address6)):
        both = len(PATHS) // 2  # UDP and IP
        twice = {"ICRQ": 2 * both, "ICCN": 2 * both}
        assert {"SCCRQ": both, "SCCCN": both, "CDN": both, "StopCCN": both, **twice} == spoken(wire, mine)
        assert {"SCCRP": both, "CDN": both, "ICRP": 2 * both} == spoken(wire, theirs)
    assert {3} == {packet.version for packet in wire.packets}
    if digest:
        algorithm, octets = DIGESTS[digest]
        assert {(algorithm, 1 + octets)} == {(packet.digest[:2], len(packet.digest) // 2) for packet in wire.packets}
    else:
        # RFC 3931 4.1.2.1 counts on checksums, which IP alone does not have: there messages are signed without a secret, for integrity.
        assert {"", "00"} == {packet.digest[:2] for packet in wire.packets}


@pytest.mark.parametrize("digest", DIGESTS)
async def test_wrong_secret(scene: Scene, digest: str) -> None:
    """A request that is signed with another secret is dropped, as RFC 3931 5.4.1 wants it; its sender gives up."""
    them = await scene.daemon(table("peer.default", secret=SECRET), host=scene.them)
    keys = {"secret": "other", "digest": digest, "retry_timeout": 0.1, "max_retries": 3, "persist": False}
    us = await scene.daemon(table("tunnel.hq", peer=endpoint(scene.them, "udp", 4), version="l2tpv3", **keys))
    await us.gone()
    assert [] == await them.tunnels()
    scene.sign("other")
    wire = await scene.end()
    assert 4 == len(wire.sent(scene.us.address, "SCCRQ"))
    assert ["SCCRQ"] == wire.messages(scene.us.address)
    assert [] == [packet for packet in wire.packets if packet.source == scene.them.address]
