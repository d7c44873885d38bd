"""The foreign daemons among themselves: what the harness shows of them is what the other tests in this folder rely on."""

from __future__ import annotations

import os
import signal

import pytest

from interop.scene import Scene
from interop.xl2tpd import lac_section, lns_section

SECRET = "swordfish"


@pytest.mark.parametrize("secret", ["", SECRET], ids=["no secret", "secret"])
async def test_xl2tpd_to_xl2tpd(scene: Scene, secret: str) -> None:
    """A tunnel and a call come up, with challenges both ways when there is a secret, and `d` ends them with StopCCN result 1."""
    lns = await scene.xl2tpd(lns_section(challenge=bool(secret)), secret=secret)
    lac = await scene.xl2tpd(lac_section(scene.them.address, challenge=bool(secret)), secret=secret, host=scene.us)
    await lac.connect()
    for end in (lac, lns):
        await end.says("Connection established to")
        await end.says("Call established with")
    await lac.pppd_pids(1)
    await lac.disconnect()
    await lns.says(r"peer closing for reason 1 .*error = 0 \(Goodbye!\)")
    wire = await scene.end()
    assert [(1, 0)] == wire.codes(scene.us.address, "StopCCN")
    assert ["SCCRQ", "SCCCN", "ICRQ", "ICCN", "StopCCN"] == wire.messages(scene.us.address)
    assert ["SCCRP", "ICRP"] == wire.messages(scene.them.address)


async def test_two_tunnels_between_two_hosts(scene: Scene) -> None:
    """xl2tpd opens a tunnel for each `[lac]` section, from one address and port to one address and port."""
    lns = await scene.xl2tpd(lns_section())
    sections = [lac_section(scene.them.address, name=name) for name in ("one", "two")]
    lac = await scene.xl2tpd(*sections, host=scene.us)
    for name in ("one", "two"):
        await lac.connect(name)
        await lns.says("Call established with")
    wire = await scene.end()
    assert ["SCCRQ", "SCCCN", "ICRQ", "ICCN"] * 2 == wire.messages(scene.us.address)


async def test_end_of_pppd_ends_the_call(scene: Scene) -> None:
    """When the LNS's pppd ends, the LAC is told by CDN result 1, and the tunnel stays."""
    lns = await scene.xl2tpd(lns_section())
    lac = await scene.xl2tpd(lac_section(scene.them.address), host=scene.us)
    await lac.connect()
    await lns.says("Call established with")
    (pid,) = await lns.pppd_pids(1)
    os.kill(pid, signal.SIGTERM)
    await lac.says("peer closing for reason 1")
    await lac.says("Connection closed to .*, serial 1")
    wire = await scene.end()
    assert [(1, 0)] == wire.codes(scene.them.address, "CDN")
    assert [] == wire.sent(scene.us.address, "StopCCN")


async def test_wrong_secret_between_xl2tpds(scene: Scene) -> None:
    """xl2tpd refuses a wrong Challenge Response with result 2, error 6."""
    lns = await scene.xl2tpd(lns_section(challenge=True), secret=SECRET)
    lac = await scene.xl2tpd(lac_section(scene.them.address, challenge=True), secret="wrong", host=scene.us)
    await lac.connect()
    await lns.says("peer closing for reason 2 .*error = 6")
    wire = await scene.end()
    assert [(2, 6)] == wire.codes(scene.us.address, "StopCCN")


async def test_xl2tpd_without_the_secret(scene: Scene) -> None:
    """A LAC that is challenged and knows no secret closes with result 2, error 6."""
    lns = await scene.xl2tpd(lns_section(challenge=True), secret=SECRET)
    lac = await scene.xl2tpd(lac_section(scene.them.address), host=scene.us)
    await lac.connect()
    await lac.says("No secret")
    await lns.says(r"peer closing for reason 2 .*error = 6 \(No secret key on our end\)")
    wire = await scene.end()
    assert [(2, 6)] == wire.codes(scene.us.address, "StopCCN")


async def test_interrupt_is_polite(scene: Scene) -> None:
    """SIGINT makes xl2tpd say StopCCN result 1."""
    lns = await scene.xl2tpd(lns_section())
    lac = await scene.xl2tpd(lac_section(scene.them.address), host=scene.us)
    await lac.connect()
    await lac.says("Call established with")
    lns.signal(signal.SIGINT)
    await lac.says("peer closing for reason 1 .*Server closing")
    assert 1 == await lns.ended()


async def test_hidden_bit_hides_nothing(scene: Scene) -> None:
    """With `hidden bit`, xl2tpd puts a Random Vector (36) into every message and hides no AVP: that it *reads* hidden ones is for us to show."""
    lns = await scene.xl2tpd(lns_section(challenge=True, hidden=True), secret=SECRET)
    lac = await scene.xl2tpd(lac_section(scene.them.address, challenge=True, hidden=True), secret=SECRET, host=scene.us)
    await lac.connect()
    await lns.says("Call established with")
    wire = await scene.end()
    assert [36 in packet.avps for packet in wire.packets] == [packet.message != "ZLB" for packet in wire.packets]
    assert 0 == sum(packet.hidden for packet in wire.packets)


@pytest.mark.parametrize("secret", ["", SECRET], ids=["no secret", "secret"])
async def test_xl2tpd_to_l2tpns(scene: Scene, secret: str) -> None:
    """l2tpns takes tunnel and call, sends LCP into it, and on SIGQUIT says StopCCN result 6."""
    lns = await scene.l2tpns(secret=secret)
    lac = await scene.xl2tpd(lac_section(scene.them.address, challenge=bool(secret)), secret=secret, host=scene.us)
    await lac.connect()
    await lac.says("Call established with")
    await lns.says("LCP: send ConfigReq")
    lns.signal(signal.SIGQUIT)
    await lac.says("peer closing for reason 6")
    wire = await scene.end()
    assert [(6, None)] == wire.codes(scene.them.address, "StopCCN")
    assert wire.sent(scene.them.address, "data")
