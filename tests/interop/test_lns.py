"""Our LNS with the LAC of others: xl2tpd."""

from __future__ import annotations

import os
import signal

import pytest

from interop.daemon import Daemon
from interop.netns import CABLE, EVERY_ADDRESS
from interop.scene import Scene
from interop.xl2tpd import Xl2tpd, lac_section

SECRET = "swordfish"

SECRETS = pytest.mark.parametrize("secret", ["", SECRET], ids=["no secret", "secret"])

IMPATIENT = "[profile.tunnel.default]\nhello_timeout = 1\nretry_timeout = 0.25\nmax_retries = 3\n"


def peer(*, secret: str = "") -> str:
    """Accept whoever calls; with a secret, whoever knows it."""
    return '[peer.default]\naccept = true\nroles = ["lns"]\n' + (f'secret = "{secret}"\n' if secret else "")


async def called(scene: Scene, config: str, *, secret: str = "", challenge: bool = False) -> tuple[Daemon, Xl2tpd]:
    """Start our LNS and their LAC, and let it call us."""
    us = await scene.daemon(config)
    lac = await scene.xl2tpd(lac_section(scene.us.address, challenge=challenge), secret=secret)
    await lac.connect()
    return us, lac


@SECRETS
async def test_xl2tpd_lac_to_our_lns(scene: Scene, secret: str) -> None:
    """Tunnel and session come up, with challenges both ways when there is a secret, and both sides agree on the ids."""
    us, lac = await called(scene, peer(secret=secret), secret=secret, challenge=bool(secret))
    tunnel, session = await us.up()
    said = await lac.says(r"Connection established to 192\.0\.2\.1, 1701\.  Local: (\d+), Remote: (\d+)")
    assert (tunnel["peer_id"], tunnel["id"]) == (int(said[1]), int(said[2]))
    said = await lac.says(r"Call established with 192\.0\.2\.1, Local: (\d+), Remote: (\d+), Serial: \d+")
    assert (session["peer_id"], session["id"]) == (int(said[1]), int(said[2]))
    assert ("network", "192.0.2.2:1701") == (tunnel["origin"], tunnel["peer_address"])
    assert "xl2tpd.lac" == tunnel["peer_host_name"]
    wire = await scene.end()
    assert ["SCCRP", "ICRP", "StopCCN"] == [*dict.fromkeys(wire.messages(scene.us.address))]


async def test_replies_leave_from_the_address_that_was_called(scene: Scene) -> None:
    """On a host with two addresses that listens on all, the second one called is the one that answers, from the first packet to the last."""
    scene.us.call("ip", "address", "add", "192.0.2.3/24", "dev", CABLE)
    us = await scene.daemon(peer(), listen=EVERY_ADDRESS)
    lac = await scene.xl2tpd(lac_section("192.0.2.3"))
    await lac.connect()
    await lac.says("Call established with 192.0.2.3")
    await us.up()
    wire = await scene.end()
    assert {"192.0.2.3", scene.them.address} == {packet.source for packet in wire.packets}


async def test_we_challenge_and_xl2tpd_does_not(scene: Scene) -> None:
    """A LAC that does not challenge answers our challenge all the same, and is let in."""
    us, lac = await called(scene, peer(secret=SECRET), secret=SECRET)
    await us.up()
    await lac.says("Call established with")


async def test_random_vectors_without_hidden_avps(scene: Scene) -> None:
    """xl2tpd's `hidden bit` puts a Random Vector into every message and hides nothing, which is no reason to refuse it."""
    us = await scene.daemon(peer(secret=SECRET))
    lac = await scene.xl2tpd(lac_section(scene.us.address, challenge=True, hidden=True), secret=SECRET)
    await lac.connect()
    await us.up()
    wire = await scene.end()
    assert 36 in wire.sent(scene.them.address, "SCCRQ")[0].avps


async def test_two_tunnels_from_one_address_and_port(scene: Scene) -> None:
    """Two tunnels between the same two sockets are two tunnels, and one ends without the other."""
    us = await scene.daemon(peer())
    lac = await scene.xl2tpd(*(lac_section(scene.us.address, name=name) for name in ("one", "two")))
    for name in ("one", "two"):
        await lac.connect(name)
        await lac.says("Call established with")
    assert [("up", "192.0.2.2:1701")] * 2 == [(row["state"], row["peer_address"]) for row in await us.tunnels()]
    await lac.disconnect("one")
    gone = await us.control.event("tunnel", "down", by="peer")
    assert ["up"] == [row["state"] for row in await us.tunnels() if row["id"] != gone["tunnel_id"]]
    assert ["up"] == [row["state"] for row in await us.sessions() if row["tunnel_id"] != gone["tunnel_id"]]


async def test_xl2tpd_lac_closes_the_tunnel(scene: Scene) -> None:
    """Its StopCCN ends tunnel and session; its result and words are kept."""
    us, lac = await called(scene, peer())
    await us.up()
    await lac.disconnect()
    down = await us.control.event("tunnel", "down")
    assert (1, 0, "Goodbye!", "peer") == (down["result"], down["error"], down["message"], down["by"])
    await us.control.event("session", "down")
    await us.empty()
    wire = await scene.end()
    assert [(1, 0)] == wire.codes(scene.them.address, "StopCCN")
    assert [] == wire.sent(scene.us.address, "StopCCN")


async def test_xl2tpd_lac_ends_the_call(scene: Scene) -> None:
    """When their pppd ends we are told CDN result 1; the session is gone, the tunnel stays."""
    us, lac = await called(scene, peer())
    await us.up()
    (pid,) = await lac.pppd_pids(1)
    os.kill(pid, signal.SIGTERM)
    down = await us.control.event("session", "down")
    assert (1, "peer") == (down["result"], down["by"])
    await us.control.event("session", "deleted")
    assert ["up"] == [row["state"] for row in await us.tunnels()]


async def test_we_delete_the_session_xl2tpd_is_lac(scene: Scene) -> None:
    """`session.delete` sends CDN result 3 with the reason given, which xl2tpd reads."""
    us, lac = await called(scene, peer())
    tunnel, session = await us.up()
    await us.control.call("session.delete", tunnel=f"@{tunnel['id']}", session=f"@{session['id']}", reason="no credit")
    await lac.says(r"peer closing for reason 3 .*\(no credit\)")
    await us.control.event("session", "down", result=3, message="no credit", by="us")


async def test_we_delete_the_tunnel_xl2tpd_is_lac(scene: Scene) -> None:
    """`tunnel.delete` sends StopCCN result 1 with the reason given, which xl2tpd reads."""
    us, lac = await called(scene, peer())
    tunnel, _ = await us.up()
    await us.control.call("tunnel.delete", tunnel=f"@{tunnel['id']}", reason="maintenance")
    await lac.says(r"peer closing for reason 1 .*\(maintenance\)")
    await us.control.event("tunnel", "down", result=1, message="maintenance", by="us")
    await us.empty()


async def test_we_are_terminated_xl2tpd_is_lac(scene: Scene) -> None:
    """SIGTERM is polite: xl2tpd is told StopCCN result 6, and the daemon ends well."""
    us, lac = await called(scene, peer())
    await us.up()
    us.program.signal(signal.SIGTERM)
    await lac.says("peer closing for reason 6")
    assert 0 == await us.program.ended()


async def test_xl2tpd_lac_answers_with_another_secret(scene: Scene) -> None:
    """It does not challenge us but must answer our challenge: wrongly, so we refuse with StopCCN result 4, which it reads."""
    us, lac = await called(scene, peer(secret=SECRET), secret="other")
    await lac.says("peer closing for reason 4")
    assert [] == [row for row in await us.tunnels() if row["state"] == "up"]
    wire = await scene.end()
    assert [4] == [result for result, _ in wire.codes(scene.us.address, "StopCCN")]
    assert "ICRP" not in wire.messages(scene.us.address)


async def test_xl2tpd_lac_challenges_with_another_secret(scene: Scene) -> None:
    """Our Challenge Response does not satisfy it: it refuses in its own way, StopCCN result 2 error 6, and we keep what it said."""
    us, _ = await called(scene, peer(secret=SECRET), secret="other", challenge=True)
    gone = await us.control.event("tunnel", "deleted")
    assert (2, 6, "peer") == (gone["result"], gone["error"], gone["by"])
    wire = await scene.end()
    assert [(2, 6)] == wire.codes(scene.them.address, "StopCCN")


async def test_xl2tpd_lac_has_no_secret(scene: Scene) -> None:
    """A LAC that cannot answer our challenge gives up by itself, StopCCN result 2 error 6; we keep what it said."""
    us, lac = await called(scene, peer(secret=SECRET))
    await lac.says("No secret")
    gone = await us.control.event("tunnel", "deleted")
    assert (2, 6, "peer") == (gone["result"], gone["error"], gone["by"])
    wire = await scene.end()
    assert "ICRP" not in wire.messages(scene.us.address)


async def test_unknown_peer_is_refused(scene: Scene) -> None:
    """Where only others are welcome, xl2tpd is told StopCCN result 4 in answer to its SCCRQ, and nothing of it is kept."""
    config = '[peer.default]\naccept = false\n\n[peer.friend]\nmatch = ["203.0.113.0/24"]\n'
    us, lac = await called(scene, config)
    await lac.says("peer closing for reason 4")
    assert [] == [row for row in await us.tunnels() if row["state"] == "up"]
    wire = await scene.end()
    assert [4] == [result for result, _ in wire.codes(scene.us.address, "StopCCN")]
    assert "SCCRP" not in wire.messages(scene.us.address)


async def test_peer_is_known_by_its_host_name(scene: Scene) -> None:
    """The Host Name AVP picks the peer before any address does, and with it the secret."""
    config = f'[peer.default]\naccept = false\n\n[peer.branch]\nhost_name = "xl2tpd.lac"\nsecret = "{SECRET}"\n'
    us, lac = await called(scene, config, secret=SECRET, challenge=True)
    await us.up()
    await lac.says("Call established with")


async def test_xl2tpd_lac_is_killed(scene: Scene) -> None:
    """Nobody answers our HELLO: after the retries the tunnel is declared dead, with its session."""
    us, lac = await called(scene, peer() + IMPATIENT)
    await us.up()
    lac.signal(signal.SIGKILL)
    await us.control.event("tunnel", "down", by="us")
    await us.control.event("session", "down")
    await us.empty()
    wire = await scene.end()
    assert wire.sent(scene.us.address, "HELLO"), wire.dialogue()


async def test_restarted_xl2tpd_lac_is_served_at_once(scene: Scene) -> None:
    """Killed and back from the same address and port before we have noticed, the LAC gets a new tunnel while the old one is still listed."""
    us, first = await called(scene, peer())
    old, _ = await us.up()
    first.signal(signal.SIGKILL)
    await first.ended()
    second = await scene.xl2tpd(lac_section(scene.us.address))
    await second.connect()
    await second.says("Call established with")
    up = {row["id"] for row in await us.tunnels() if row["state"] == "up"}
    assert (2, True) == (len(up), old["id"] in up)
