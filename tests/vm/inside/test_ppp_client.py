"""We are the client: against xl2tpd with the real pppd, and against ourselves."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import trio

from interop.netns import CABLE, Cable
from interop.program import Program, running, spawn
from vm.inside import ppp, stage
from vm.inside.conftest import Start

SESSIONS = 20

TWICE = "".join(
    f"""
[tunnel.{name}]
peer = "{{lns}}"
local = "{{local}}"
local_port = 1701
[tunnel.{name}.session.one]
"""
    for name in ("first", "second")
)


async def test_we_dial_an_xl2tpd(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """We prove who we are, take the address that we are given, under the interface name that was asked for; the password is on no command line."""
    async with stage.xl2tpd_lns(cable.us, tmp_path / "lns"), daemon(cable.them, ppp.by_pppd(ppp.client(cable))) as ours:
        (session,) = await ppp.addressed(ours)
        await stage.pings(cable.them, "10.9.0.1")
        assert ("ppp-hq", "10.9.0.1") == (session["interface"], session["ppp"]["remote_address"])
        assert "ppp-hq" in await ppp.said(cable.them, "ip", "-o", "link")
        (pid,) = await ppp.pids(cable.them, "pppd")
        command_line = await trio.Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"alice" in command_line
        assert b"secret" not in command_line
        assert "secret" not in str(session)
    await ppp.nothing_left(cable.them)


async def test_one_line_calls_an_xl2tpd(cable: Cable, tmp_path: Path) -> None:
    """`l2tpctl connect`, without a configuration: the addresses are printed, packets pass, and Control-C leaves nothing."""
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("secret\n")
    words = (
        cable.us.address,
        "--user",
        "alice",
        "--password-file",
        str(password),
        "--interface",
        "ppp-one",
        "--data-plane",
        "kernel",
    )
    async with stage.xl2tpd_lns(cable.us, tmp_path / "lns"):
        process = await spawn(cable.them.command(sys.executable, "-m", "l2tpctl", "connect", *words))
        connect = Program("l2tpctl connect", process)
        async with running(connect, signal.SIGINT):
            said = await connect.says("10.9.0.1$")
            assert "ppp-one" in said.string
            await stage.pings(cable.them, "10.9.0.1")
            connect.signal(signal.SIGINT)
            assert 0 == await connect.ended()
    await ppp.nothing_left(cable.them)


async def test_the_lns_dies_and_we_come_again(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """xl2tpd and its pppd die of SIGKILL and say nothing: we notice, and have the session again when the LNS is back."""
    async with daemon(cable.them, ppp.client(cable)) as ours:
        async with stage.xl2tpd_lns(cable.us, tmp_path / "lns") as lns:
            await ppp.addressed(ours)
            ppp.kill([lns.pid, *await ppp.pids(cable.us, "pppd")], signal.SIGKILL)
            await ours.control.event("session", "deleted")
        async with stage.xl2tpd_lns(cable.us, tmp_path / "again"):
            await ppp.addressed(ours)
            await stage.pings(cable.them, "10.9.0.1")


async def test_our_pppd_is_killed_and_the_session_comes_again(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """The death of a pppd costs its session, which is persistent and comes back, and not the tunnel."""
    async with stage.xl2tpd_lns(cable.us, tmp_path / "lns"), daemon(cable.them, ppp.by_pppd(ppp.client(cable))) as ours:
        (before,) = await ppp.addressed(ours)
        ppp.kill(await ppp.pids(cable.them, "pppd"), signal.SIGKILL)
        event = await ours.control.event("session", "deleted")
        assert "pppd was killed by SIGKILL" == event["message"]
        (after,) = await ppp.addressed(ours)
        assert before["tunnel_id"] == after["tunnel_id"]
        assert before["id"] != after["id"]


async def test_the_cable_is_cut_and_mended(cable: Cable, daemon: Start) -> None:
    """The tunnel dies with the link on both sides, is dialled again, and carries pings once the link is back."""
    with stage.secrets(cable.us):
        async with daemon(cable.us, ppp.LNS) as lns, daemon(cable.them, ppp.client(cable)) as ours:
            await ppp.addressed(ours)
            cable.us.call("ip", "link", "set", CABLE, "down")
            await ours.control.event("tunnel", "deleted")
            await lns.control.event("tunnel", "deleted")
            cable.us.call("ip", "link", "set", CABLE, "up")
            await ppp.addressed(ours)
            await stage.pings(cable.them, "10.9.0.1")


async def test_the_cable_to_an_xl2tpd_is_cut_and_mended(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """An LNS that has not noticed takes us all the same when the link is back."""
    async with stage.xl2tpd_lns(cable.us, tmp_path / "lns"), daemon(cable.them, ppp.client(cable)) as ours:
        await ppp.addressed(ours)
        cable.us.call("ip", "link", "set", CABLE, "down")
        await ours.control.event("tunnel", "deleted")
        cable.us.call("ip", "link", "set", CABLE, "up")
        await ppp.addressed(ours)
        await stage.pings(cable.them, "10.9.0.1")


async def test_many_sessions_in_one_tunnel(cable: Cable, daemon: Start) -> None:
    """Twenty sessions between two of ours: each with its own address, each carrying pings; the end of the tunnel takes all of them along."""
    more = "".join(f"[tunnel.hq.session.s{number}]\n" for number in range(1, SESSIONS))
    # Forty pppds that start at once on a slow machine may well keep each other waiting for some seconds.
    lns_says, we_say = (text.replace("failure = 3\n", "failure = 30\n") for text in (ppp.LNS, ppp.client(cable) + more))
    with stage.secrets(cable.us):
        async with daemon(cable.us, lns_says) as lns, daemon(cable.them, we_say) as ours:
            sessions = await ppp.addressed(ours, SESSIONS)
            assert SESSIONS == len({session["ppp"]["local_address"] for session in sessions})
            for session in sessions:
                await stage.pings(cable.us, session["ppp"]["local_address"])
            assert SESSIONS == (await ppp.said(cable.us, "ip", "l2tp", "show", "session")).count("Session ")
            await ours.control.call("tunnel.delete", tunnel="hq")
            for host in (cable.us, cable.them):
                await ppp.nothing_left(host)
            await lns.empty()


async def test_sequence_numbers(cable: Cable, daemon: Start) -> None:
    """With `sequencing_required` both kernels number their packets, and pings pass."""
    numbered = ppp.client(cable) + "sequencing_required = true\nreorder_timeout = 0.25\n"
    with stage.secrets(cable.us):
        async with daemon(cable.us, ppp.LNS) as lns, daemon(cable.them, numbered) as ours:
            await ppp.addressed(ours)
            await ppp.addressed(lns)
            await stage.pings(cable.them, "10.9.0.1")
            for host in (cable.us, cable.them):
                assert "send" in await ppp.said(host, "ip", "l2tp", "show", "session")


async def test_two_tunnels_between_the_same_ports(cable: Cable, daemon: Start) -> None:
    """From port 1701 to port 1701 twice: newer kernels carry both; on older ones the first is unharmed, and the second is told why it cannot be."""
    both = TWICE.format(lns=cable.us.address, local=cable.them.address)
    with stage.secrets(cable.us):
        async with (
            daemon(cable.us, ppp.LNS),
            daemon(cable.them, ppp.client(cable).partition("[tunnel")[0] + both) as ours,
        ):
            if stage.KERNEL >= (6, 11):
                for session in await ppp.addressed(ours, 2):
                    await stage.pings(cable.us, session["ppp"]["local_address"])
            else:
                await ours.program.says("this kernel carries one there: give this one another `local_port`")
                (session,) = await ppp.addressed(ours)
                await stage.pings(cable.us, session["ppp"]["local_address"])
                assert 1 == (await ppp.said(cable.them, "ip", "l2tp", "show", "tunnel")).count("Tunnel ")
