"""Which version a tunnel ends up with: our daemon with peers that speak version 2 alone, and with itself restricted to one (RFC 3931 4.7)."""

from __future__ import annotations

import pytest

from interop.capture import Wire
from interop.ethernet import table
from interop.scene import Scene
from interop.xl2tpd import lac_section, lns_section

SECRET = "swordfish"

SECRETS = pytest.mark.parametrize("secret", ["", SECRET], ids=["no secret", "secret"])

IMPATIENT = {"retry_timeout": 0.1, "max_retries": 3, "establish_timeout": 5.0}


def caller(scene: Scene, version: str, **keys: object) -> str:
    """Configure one tunnel to their host that is tried once, and one session."""
    peer = f"{scene.them.address}:1701"
    tunnel = table("tunnel.hq", peer=peer, local=scene.us.address, version=version, persist=False, **keys)
    return tunnel + table("tunnel.hq.session.branch", pseudowire="ppp")


def secret_of(secret: str) -> dict[str, str]:
    return {"secret": secret} if secret else {}


def versions(wire: Wire, source: str) -> list[int]:
    """Return in the headers of which versions an address has spoken, in the order of the first time."""
    return list(dict.fromkeys(packet.version for packet in wire.packets if packet.source == source))


def highest(version: str) -> int:
    """Return the error code of a StopCCN with result 5, which is laid out as a Protocol Version AVP is (RFC 2661 4.4.2 and 4.4.3)."""
    return int(version.removeprefix("l2tpv")) << 8


@SECRETS
async def test_auto_with_xl2tpd(scene: Scene, secret: str) -> None:
    """`version = "auto"` offers version 3 in a version 2 request; xl2tpd takes it for version 2, and so do we from then on."""
    lns = await scene.xl2tpd(lns_section(challenge=bool(secret)), secret=secret)
    us = await scene.daemon(caller(scene, "auto", **secret_of(secret)))
    hq, branch = await us.up()
    assert "l2tpv2" == hq["version"]
    await lns.says(f"Call established with .* Local: {branch['peer_id']}, Remote: {branch['id']}")
    wire = await scene.end()
    assert [2] == versions(wire, scene.us.address)
    assert ["SCCRQ", "SCCCN", "ICRQ", "ICCN", "StopCCN"] == wire.messages(scene.us.address)
    assert 61 in wire.sent(scene.us.address, "SCCRQ")[0].avps, "Assigned Control Connection ID"


@SECRETS
async def test_auto_with_l2tpns(scene: Scene, secret: str) -> None:
    """l2tpns ignores what it does not know of the request, and the tunnel is of version 2."""
    await scene.l2tpns(secret=secret)
    us = await scene.daemon(caller(scene, "auto", **secret_of(secret)))
    hq, _ = await us.up()
    assert "l2tpv2" == hq["version"]
    wire = await scene.end()
    assert [2] == versions(wire, scene.us.address)


@pytest.mark.parametrize("peer", ["xl2tpd", "l2tpns"])
async def test_version_3_alone_with_peers_of_version_2(scene: Scene, peer: str) -> None:
    """They do not answer a request of version 3: it is given up, nothing is left of it, and they serve the next tunnel."""
    await (scene.xl2tpd(lns_section()) if peer == "xl2tpd" else scene.l2tpns())
    us = await scene.daemon(caller(scene, "l2tpv3", **IMPATIENT))
    await us.gone()
    await us.control.call("tunnel.create", name="again", keys={"peer": f"{scene.them.address}:1701"})
    await us.control.event("tunnel", "up", name="again")
    wire = await scene.end()
    assert {"SCCRQ"} == {packet.message for packet in wire.packets if packet.version == 3}
    assert [] == wire.sent(scene.them.address, "StopCCN")


async def test_listener_serves_both(scene: Scene) -> None:
    """On one port, xl2tpd gets version 2 and a daemon of ours version 3, at the same time, with the same secret."""
    us = await scene.daemon(table("peer.default", roles=["lac", "lns"], secret=SECRET))
    lac = await scene.xl2tpd(lac_section(scene.us.address, challenge=True), secret=SECRET)
    await lac.connect()
    await lac.says("Call established with")
    peer = f"{scene.us.address}:1701"
    tunnel = table("tunnel.other", peer=peer, local=scene.them.address, version="l2tpv3", secret=SECRET)
    session = table("tunnel.other.session.lan", pseudowire="eth")
    other = await scene.daemon(tunnel + session, host=scene.them, listen="127.0.0.1")
    await other.up("lan")
    assert ["l2tpv2", "l2tpv3"] == sorted(row["version"] for row in await us.tunnels() if row["state"] == "up")
    assert 2 == len([row for row in await us.sessions() if row["state"] == "up"])
    scene.sign(SECRET)
    wire = await scene.end()
    assert {2, 3} == set(versions(wire, scene.us.address))


@pytest.mark.parametrize("secret", ["", SECRET], ids=["no secret", "secret"])
async def test_auto_between_two_of_ours(scene: Scene, secret: str) -> None:
    """Where both speak version 3, `version = "auto"` ends in it, signed where there is a secret."""
    await scene.daemon(table("peer.default", **secret_of(secret)), host=scene.them)
    us = await scene.daemon(caller(scene, "auto", **secret_of(secret)))
    hq, _ = await us.up()
    assert "l2tpv3" == hq["version"]
    scene.sign(secret)
    wire = await scene.end()
    assert [3] == versions(wire, scene.them.address)


@pytest.mark.parametrize("allowed", ["l2tpv2", "l2tpv3"])
async def test_auto_with_one_version_allowed(scene: Scene, allowed: str) -> None:
    """A peer entry that allows one version only is served in that one."""
    await scene.daemon(table("peer.default", versions=[allowed]), host=scene.them)
    us = await scene.daemon(caller(scene, "auto"))
    hq, _ = await us.up()
    assert allowed == hq["version"]


@pytest.mark.parametrize(("asked", "allowed"), [("l2tpv3", "l2tpv2"), ("l2tpv2", "l2tpv3")])
async def test_refused_version(scene: Scene, asked: str, allowed: str) -> None:
    """A request of a version that the peer entry does not allow is answered by StopCCN result 5, with the version that is, and nothing is left."""
    them = await scene.daemon(table("peer.default", versions=[allowed]), host=scene.them)
    us = await scene.daemon(caller(scene, asked))
    await us.gone()
    assert [] == await them.tunnels()
    wire = await scene.end()
    assert [(5, highest(allowed))] == wire.codes(scene.them.address, "StopCCN")
    assert 'result="5' in us.program.log


async def test_xl2tpd_is_refused_where_version_3_alone_is_allowed(scene: Scene) -> None:
    """xl2tpd reads the StopCCN result 5 that it gets."""
    us = await scene.daemon(table("peer.default", versions=["l2tpv3"]))
    lac = await scene.xl2tpd(lac_section(scene.us.address))
    await lac.connect()
    await lac.says("peer closing for reason 5")
    assert [] == await us.tunnels()
    wire = await scene.end()
    assert [(5, highest("l2tpv3"))] == wire.codes(scene.us.address, "StopCCN")
