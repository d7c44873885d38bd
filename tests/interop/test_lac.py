"""Our LAC with the LNS of others: xl2tpd and l2tpns."""

from __future__ import annotations

import os
import signal

import pytest

from interop.daemon import Daemon, Row
from interop.netns import EVERY_ADDRESS
from interop.program import polled
from interop.scene import Scene
from interop.xl2tpd import lns_section

SECRET = "swordfish"

SECRETS = pytest.mark.parametrize("secret", ["", SECRET], ids=["no secret", "secret"])

ESTABLISHED = ["SCCRQ", "SCCCN", "ICRQ", "ICCN"]
"""What a LAC has said when its tunnel and one session are up (RFC 2661 7.2.1 and 7.4)."""


def tunnel(
    scene: Scene,
    *,
    secret: str = "",
    keys: str = "",
    sessions: int = 1,
    persist: bool = False,
    source: str | None = None,
) -> str:
    """Configure one tunnel to their host, tried once unless it is to persist, with some sessions; `source` are the keys that say where from."""
    calls = "".join(f'[tunnel.hq.session.branch{number}]\npseudowire = "ppp"\n' for number in range(1, sessions + 1))
    shared = f'secret = "{secret}"\n' if secret else ""
    source = f'local = "{scene.us.address}"\nlocal_port = 1701' if source is None else source
    head = f'[tunnel.hq]\npeer = "{scene.them.address}:1701"\n{source}\npersist = {str(persist).lower()}\n'
    return f"{head}{shared}{keys}\n{calls}"


async def refused(us: Daemon) -> None:
    """Find the persistent tunnel down, and why: we refused the peer with StopCCN result 4 (RFC 2661 4.4.2, not authorized)."""

    async def ended() -> Row | None:
        end: Row | None = (await us.control.call("tunnel.show", tunnel="hq"))["ended"]
        return end

    end = await polled(ended, lambda: f"hq has not ended; the daemon wrote:\n{us.program.log}")
    assert (4, "us") == (end["result"], end["by"])
    assert "up" != (await us.tunnel())["state"]


@SECRETS
async def test_lac_to_xl2tpd_lns(scene: Scene, secret: str) -> None:
    """Tunnel and session come up, with challenges both ways when there is a secret; both sides agree on the ids and stop in peace."""
    lns = await scene.xl2tpd(lns_section(challenge=bool(secret)), secret=secret)
    us = await scene.daemon(tunnel(scene, secret=secret))
    hq, branch = await us.up()
    said = await lns.says(r"Connection established to 192\.0\.2\.1, 1701\.  Local: (\d+), Remote: (\d+)")
    assert (hq["peer_id"], hq["id"]) == (int(said[1]), int(said[2]))
    said = await lns.says(r"Call established with 192\.0\.2\.1, PID: \d+, Local: (\d+), Remote: (\d+)")
    assert (branch["peer_id"], branch["id"]) == (int(said[1]), int(said[2]))
    assert ("hq", "local", "192.0.2.2:1701") == (hq["name"], hq["origin"], hq["peer_address"])
    wire = await scene.end()
    assert [*ESTABLISHED, "StopCCN"] == wire.messages(scene.us.address)
    assert bool(secret) == (11 in wire.sent(scene.us.address, "SCCRQ")[0].avps), "Challenge AVP"


@pytest.mark.parametrize("listen", [EVERY_ADDRESS, "192.0.2.1"])
@pytest.mark.parametrize("source", ["", "local_port = 1701"], ids=["any port", "port 1701"])
async def test_lac_calls_from_the_address_of_the_route(scene: Scene, source: str, listen: str) -> None:
    """Without `local`, the route picks our address; any port will do, and 1701 too although we listen on it."""
    lns = await scene.xl2tpd(lns_section())
    us = await scene.daemon(tunnel(scene, source=source), listen=listen)
    await us.up()
    said = await lns.says(r"Connection established to 192\.0\.2\.1, (\d+)\.")
    assert ("1701" == said[1]) == bool(source)


async def test_lac_hides_avps_from_onlookers_not_from_xl2tpd(scene: Scene) -> None:
    """With `hide_avps`, xl2tpd reads what tshark cannot, and the session comes up."""
    lns = await scene.xl2tpd(lns_section(challenge=True, hidden=True), secret=SECRET)
    us = await scene.daemon(tunnel(scene, secret=SECRET, keys="hide_avps = true"))
    await us.up()
    await lns.says("Call established with")
    wire = await scene.end()
    assert sum(packet.hidden for packet in wire.packets if packet.source == scene.us.address) > 0, wire.dialogue()


async def test_two_sessions_in_one_tunnel_to_xl2tpd(scene: Scene) -> None:
    """Two sessions share a tunnel; the end of one leaves the other up."""
    lns = await scene.xl2tpd(lns_section())
    us = await scene.daemon(tunnel(scene, sessions=2))
    for number in (1, 2):
        await us.up(f"branch{number}")
        await lns.says("Call established with")
    await us.control.call("session.delete", tunnel="hq", session="branch1")
    await lns.says("peer closing for reason 3")
    await us.control.event("session", "down", name="branch1")
    assert ["up"] == [row["state"] for row in await us.sessions() if row["name"] == "branch2"]
    assert 1 == (await us.tunnel())["sessions"]


async def test_we_delete_the_session_xl2tpd_is_lns(scene: Scene) -> None:
    """`session.delete` sends CDN result 3 with the reason given; xl2tpd reads it, and the tunnel stays."""
    lns = await scene.xl2tpd(lns_section())
    us = await scene.daemon(tunnel(scene))
    await us.up()
    await us.control.call("session.delete", tunnel="hq", session="branch1", reason="line moved")
    await lns.says(r"peer closing for reason 3 .*\(line moved\)")
    await lns.says(r"Connection closed to .*, serial \d+ \(line moved\)")
    down = await us.control.event("session", "down")
    assert (3, "line moved", "us") == (down["result"], down["message"], down["by"])
    assert "up" == (await us.tunnel())["state"]
    wire = await scene.end()
    assert [3] == [result for result, _ in wire.codes(scene.us.address, "CDN")]


async def test_we_delete_the_tunnel_xl2tpd_is_lns(scene: Scene) -> None:
    """`tunnel.delete` sends StopCCN result 1 with the reason given; xl2tpd reads it and ends the call with the tunnel."""
    lns = await scene.xl2tpd(lns_section())
    us = await scene.daemon(tunnel(scene))
    await us.up()
    await us.control.call("tunnel.delete", tunnel="hq", reason="maintenance")
    await lns.says(r"peer closing for reason 1 .*\(maintenance\)")
    down = await us.control.event("tunnel", "down", name="hq")
    assert (1, "maintenance", "us") == (down["result"], down["message"], down["by"])
    await us.control.event("session", "down", name="branch1")
    await us.empty()
    wire = await scene.end()
    assert [*ESTABLISHED, "StopCCN"] == wire.messages(scene.us.address)


async def test_we_are_terminated_xl2tpd_is_lns(scene: Scene) -> None:
    """SIGTERM is polite: xl2tpd is told StopCCN result 6, and the daemon ends well once that is acknowledged."""
    lns = await scene.xl2tpd(lns_section())
    us = await scene.daemon(tunnel(scene))
    await us.up()
    us.program.signal(signal.SIGTERM)
    await lns.says("peer closing for reason 6")
    assert 0 == await us.program.ended()
    wire = await scene.end()
    assert [6] == [result for result, _ in wire.codes(scene.us.address, "StopCCN")]


async def test_xl2tpd_lns_ends_the_call(scene: Scene) -> None:
    """When their pppd ends we are told CDN result 1, the session goes down with it, and the tunnel stays."""
    lns = await scene.xl2tpd(lns_section())
    us = await scene.daemon(tunnel(scene))
    await us.up()
    (pid,) = await lns.pppd_pids(1)
    os.kill(pid, signal.SIGTERM)
    down = await us.control.event("session", "down", name="branch1")
    assert (1, "peer") == (down["result"], down["by"])
    assert "up" == (await us.tunnel())["state"]
    wire = await scene.end()
    assert [(1, 0)] == wire.codes(scene.them.address, "CDN")


async def test_xl2tpd_lns_is_interrupted(scene: Scene) -> None:
    """Its StopCCN ends tunnel and session; its result and words are kept."""
    lns = await scene.xl2tpd(lns_section())
    us = await scene.daemon(tunnel(scene))
    await us.up()
    lns.signal(signal.SIGINT)
    down = await us.control.event("tunnel", "down", name="hq")
    assert (1, 0, "Server closing", "peer") == (down["result"], down["error"], down["message"], down["by"])
    await us.control.event("session", "down", name="branch1")
    await us.empty()


async def test_xl2tpd_lns_has_another_secret(scene: Scene) -> None:
    """Its Challenge Response in SCCRP is wrong, so we refuse with StopCCN result 4, which it reads."""
    lns = await scene.xl2tpd(lns_section(challenge=True), secret="other")
    us = await scene.daemon(tunnel(scene, secret=SECRET, keys="redial_delay = 60", persist=True))
    await lns.says("peer closing for reason 4")
    await refused(us)
    wire = await scene.end()
    assert ["SCCRQ", "StopCCN"] == wire.messages(scene.us.address)


async def test_xl2tpd_lns_is_killed(scene: Scene) -> None:
    """Nobody answers our HELLO: after the retries the tunnel is declared dead, with its session."""
    lns = await scene.xl2tpd(lns_section())
    us = await scene.daemon(tunnel(scene, keys="hello_timeout = 1\nretry_timeout = 0.25\nmax_retries = 3"))
    await us.up()
    lns.signal(signal.SIGKILL)
    down = await us.control.event("tunnel", "down", name="hq")
    assert "us" == down["by"]
    await us.control.event("session", "down", name="branch1")
    await us.empty()
    wire = await scene.end()
    assert wire.sent(scene.us.address, "HELLO"), wire.dialogue()


async def test_persistent_tunnel_survives_a_restart_of_xl2tpd(scene: Scene) -> None:
    """Killed and started again, the LNS knows nothing of the tunnel: we notice, dial again and have the session back."""
    first = await scene.xl2tpd(lns_section())
    keys = "hello_timeout = 1\nretry_timeout = 0.25\nmax_retries = 3\nredial_delay = 0.25"
    us = await scene.daemon(tunnel(scene, keys=keys, persist=True))
    before, _ = await us.up()
    first.signal(signal.SIGKILL)
    await first.ended()
    second = await scene.xl2tpd(lns_section())
    await us.control.event("tunnel", "down", name="hq")
    await second.says("Call established with")
    after, _ = await us.up()
    assert "hq" == after["name"]
    assert before["peer_id"] != after["peer_id"]


@SECRETS
async def test_lac_to_l2tpns(scene: Scene, secret: str) -> None:
    """Tunnel and session come up; the LCP packets that l2tpns sends at once do no harm."""
    lns = await scene.l2tpns(secret=secret)
    us = await scene.daemon(tunnel(scene, secret=secret))
    await us.up()
    await lns.says("LCP: send ConfigReq")
    wire = await scene.end()
    assert [*ESTABLISHED, "StopCCN"] == wire.messages(scene.us.address)
    assert wire.sent(scene.them.address, "data")


async def test_we_delete_the_session_l2tpns_is_lns(scene: Scene) -> None:
    """`session.delete` is understood: l2tpns closes the session, and the tunnel stays."""
    lns = await scene.l2tpns()
    us = await scene.daemon(tunnel(scene))
    await us.up()
    await us.control.call("session.delete", tunnel="hq", session="branch1", reason="line moved")
    await lns.says("Received CDN")
    down = await us.control.event("session", "down")
    assert (3, "us") == (down["result"], down["by"])
    assert "up" == (await us.tunnel())["state"]


async def test_we_delete_the_tunnel_l2tpns_is_lns(scene: Scene) -> None:
    """`tunnel.delete` is understood: l2tpns drops the tunnel."""
    lns = await scene.l2tpns()
    us = await scene.daemon(tunnel(scene))
    await us.up()
    await us.control.call("tunnel.delete", tunnel="hq")
    await lns.says("Received StopCCN")
    await us.control.event("tunnel", "down", name="hq", result=1, by="us")
    await us.empty()


async def test_l2tpns_shuts_down(scene: Scene) -> None:
    """Its StopCCN, result 6 without an error code, ends tunnel and session, and it sees our acknowledgement before it goes."""
    lns = await scene.l2tpns()
    us = await scene.daemon(tunnel(scene))
    await us.up()
    lns.signal(signal.SIGQUIT)
    down = await us.control.event("tunnel", "down", name="hq")
    assert (6, "peer") == (down["result"], down["by"])
    await us.control.event("session", "down", name="branch1")
    await lns.says("Shutdown complete")
    wire = await scene.end()
    assert [(6, None)] == wire.codes(scene.them.address, "StopCCN")


async def test_l2tpns_has_another_secret(scene: Scene) -> None:
    """Its Challenge Response is wrong, so we refuse with StopCCN result 4."""
    lns = await scene.l2tpns(secret="other")
    us = await scene.daemon(tunnel(scene, secret=SECRET, keys="redial_delay = 60", persist=True))
    await lns.says("Received StopCCN")
    await refused(us)
    wire = await scene.end()
    assert [4] == [result for result, _ in wire.codes(scene.us.address, "StopCCN")]


async def test_l2tpns_is_killed(scene: Scene) -> None:
    """Nobody answers our HELLO: after the retries the tunnel is declared dead."""
    lns = await scene.l2tpns()
    us = await scene.daemon(tunnel(scene, keys="hello_timeout = 1\nretry_timeout = 0.25\nmax_retries = 3"))
    await us.up()
    lns.signal(signal.SIGKILL)
    await us.control.event("tunnel", "down", name="hq", by="us")
    await us.empty()
