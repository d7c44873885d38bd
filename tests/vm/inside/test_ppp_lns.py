"""We are the LNS: callers with xl2tpd and the real pppd get an address from our pool, prove who they are, and exchange packets with us."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from interop.netns import CABLE, Cable
from vm.inside import ppp, stage
from vm.inside.conftest import Start

WRONG = stage.LAC_OPTIONS.replace("password secret", "password wrong")


async def test_a_client_gets_an_address_and_pings(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """Address from the pool, pings both ways, counters of the kernel above 0; the client leaves and nothing stays behind."""
    with stage.secrets(cable.us):
        async with daemon(cable.us, ppp.LNS) as ours:
            async with stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address):
                (session,) = await ppp.addressed(ours)
                await stage.pings(cable.us, "10.9.0.2")
                assert 3 == await trio.to_thread.run_sync(stage.ping, cable.them, "10.9.0.1")
                found = {"state": "up", "user": "alice", "local_address": "10.9.0.1", "remote_address": "10.9.0.2"}
                assert found.items() <= session["ppp"].items()
                assert "ppp0" == session["interface"]
                counters = (await ppp.shown(ours, session))["counters"]
                assert 0 < counters["rx_packets"]
                assert 0 < counters["tx_packets"]
                tunnel = await ours.control.call("tunnel.show", tunnel=f"@{session['tunnel_id']}")
                assert counters["tx_packets"] <= tunnel["counters"]["tx_packets"]
                assert "kernel" == (await ours.control.call("system.show"))["data_plane"]
                assert [1] == [pool["used"] for pool in (await ours.control.call("pools.list"))["pools"]]
            await ours.empty()
            await ppp.nothing_left(cable.us)
            assert [0] == [pool["used"] for pool in (await ours.control.call("pools.list"))["pools"]]


async def test_a_wrong_password_ends_the_call_and_says_why(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """Our pppd refuses the caller, which the log says in words; the call ends, the address goes back, the daemon goes on."""
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, ppp.by_pppd(ppp.LNS)) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address, WRONG),
        ):
            await ours.program.says("Peer alice failed CHAP authentication")  # whether its status says so is a race
            await ours.control.event("session", "deleted")  # by whichever pppd ended first
            await ppp.nothing_left_of_pppd(cable.us)
            assert [0] == [pool["used"] for pool in (await ours.control.call("pools.list"))["pools"]]


async def test_a_pppd_says_why_it_ends(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """It sets its interface down first, at which nobody interrupts it."""
    timed = ppp.by_pppd(ppp.LNS).replace('auth = "chap"', 'auth = "chap"\nsession_timeout = 1')
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, timed) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address),
        ):
            event = await ours.control.event("session", "deleted")
            assert "the time for this connection is used up" == event["message"]


@pytest.mark.stock
async def test_pppd_is_killed(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """Our pppd dies of SIGKILL: its session ends with a CDN that says so, and the caller's pppd goes as well."""
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, ppp.by_pppd(ppp.LNS)) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address),
        ):
            await ppp.addressed(ours)
            ppp.kill(await ppp.pids(cable.us, "pppd"), signal.SIGKILL)
            event = await ours.control.event("session", "deleted")
            assert (1, "pppd was killed by SIGKILL", "us") == (event["result"], event["message"], event["by"])
            await ppp.nothing_left_of_pppd(cable.them)


async def test_the_callers_pppd_is_killed(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """The other pppd dies of SIGKILL: the caller's CDN ends the session, and our pppd with it."""
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, ppp.LNS) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address),
        ):
            await ppp.addressed(ours)
            ppp.kill(await ppp.pids(cable.them, "pppd"), signal.SIGKILL)
            assert "peer" == (await ours.control.event("session", "deleted"))["by"]
            await ppp.nothing_left_of_pppd(cable.us)


async def test_the_caller_dies(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """xl2tpd and its pppd die of SIGKILL and say nothing: echo requests or hellos notice, and everything of the call is gone."""
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, ppp.LNS) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address) as theirs,
        ):
            await ppp.addressed(ours)
            ppp.kill([theirs.pid, *await ppp.pids(cable.them, "pppd")], signal.SIGKILL)
            await ours.control.event("session", "deleted")
            await ppp.nothing_left(cable.us)


async def test_the_operator_ends_the_session(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """`delete session` sends the CDN; both pppds end and the kernel forgets the session."""
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, ppp.LNS) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address),
        ):
            (session,) = await ppp.addressed(ours)
            reference = {"tunnel": f"@{session['tunnel_id']}", "session": f"@{session['id']}"}
            await ours.control.call("session.delete", **reference, reason="maintenance")
            event = await ours.control.event("session", "deleted")
            assert (3, "maintenance", "us") == (event["result"], event["message"], event["by"])
            for host in (cable.us, cable.them):
                await ppp.nothing_left_of_pppd(host)


async def test_the_cable_is_cut(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """With the link down the tunnel dies on our side and leaves nothing behind; with the link up again the caller may come back."""
    with stage.secrets(cable.us):
        async with daemon(cable.us, ppp.LNS) as ours:
            async with stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address):
                await ppp.addressed(ours)
                cable.us.call("ip", "link", "set", CABLE, "down")
                await ours.control.event("session", "deleted")
                await ppp.nothing_left(cable.us)
                cable.us.call("ip", "link", "set", CABLE, "up")
            async with stage.xl2tpd_lac(cable.them, tmp_path / "again", cable.us.address):
                (session,) = await ppp.addressed(ours)
                await stage.pings(cable.us, session["ppp"]["remote_address"])
                assert "10.9.0.2" == session["ppp"]["remote_address"]  # which rests for everybody but its last user


async def test_we_stop(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """A polite stop of the daemon takes its pppds along and leaves an empty kernel."""
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, ppp.LNS) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address),
        ):
            await ppp.addressed(ours)
            ours.program.signal(signal.SIGTERM)
            await ours.program.ended()
            await ppp.nothing_left(cable.us)


@pytest.mark.stock
async def test_we_are_killed(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """SIGKILL leaves nothing for the next start to clean: tunnel and session go with our descriptors, pppd by its echo requests."""
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, ppp.LNS) as ours,
            stage.xl2tpd_lac(cable.them, tmp_path / "lac", cable.us.address),
        ):
            await ppp.addressed(ours)
            await ours.kill()
            await ppp.nothing_left(cable.us)


TWICE = "".join(
    f"""
[tunnel.{name}]
peer = "{{lns}}"
local = "{{local}}"
local_port = 1701
persist = false
"""
    for name in ("first", "second")
)


async def test_a_caller_with_two_tunnels_from_one_port(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """A caller whose tunnels share a port gets both from a newer kernel; from an older one the first, and for the second a reason and a way out."""
    calls = TWICE.format(lns=cable.us.address, local=cable.them.address)
    async with (
        daemon(cable.us, ppp.LNS) as ours,
        stage.l2tpd(cable.them, tmp_path / "caller", calls, data_plane="null") as caller,
    ):
        if stage.KERNEL >= (6, 11):
            await ours.program.says("tunnel up")
            await ours.program.says("tunnel up")
            assert 2 == (await ppp.said(cable.us, "ip", "l2tp", "show", "tunnel")).count("Tunnel ")
        else:
            await caller.program.says("call from another port")
            await ours.program.says("tunnel up")
            (tunnel,) = await ours.tunnels()
            assert "up" == tunnel["state"]
            assert 1 == (await ppp.said(cable.us, "ip", "l2tp", "show", "tunnel")).count("Tunnel ")
