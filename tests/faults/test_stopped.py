"""A daemon that is stopped (SIGSTOP, a suspended machine, a debugger) while its peer goes on, and continues as if it had been away for no time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from interop.daemon import Daemon as Process
from interop.daemon import daemon
from interop.netns import Host
from l2tpd.events import What
from pair import call, calls, carried, hear, session, stage, tunnel, until, up

LNS = f"127.77.{os.getpid() // 250 % 250}.{1 + os.getpid() % 250}"  # of this run alone: the port is fixed
KEYS = "hello_timeout = 0.2\nretry_timeout = 0.1\nredial_delay = 0.1\nredial_delay_max = 0.2\n"


class Here(Host):
    """The network namespace of the tests; a thread that starts a program may have been born in another test's."""

    def command(self, *argv: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{os.getpid()}/ns/net", *argv] if os.geteuid() == 0 else list(argv)


HERE = Here(namespace="", address=LNS, address6="::1")
CONFIG = "[peer.default]\n[profile.tunnel.default]\nhello_timeout = 0.2\nretry_timeout = 0.1\nmax_retries = {retries}\n"


async def one_tunnel(lns: Process) -> None:
    """Wait until the LNS has the tunnel with its session, and no other."""
    while [row["state"] for row in (*await lns.tunnels(), *await lns.sessions())] != ["up", "up"]:
        pass


@pytest.mark.parametrize("retries", [60, 2], ids=["shorter", "longer"])
async def test_stopped(tmp_path: Path, retries: int) -> None:
    """Stopped for less than its peer's patience, the tunnel lives; for more, the peer has given up and gets in again: one tunnel, one session."""
    config = CONFIG.format(retries=retries)
    async with stage(tmp_path, seconds=60) as on, daemon(HERE, tmp_path / "lns", config) as lns:
        lac = await on.start("lac", calls("t", 1701, f"{KEYS}max_retries = {retries}\n", host=LNS) + session("t", "s"))
        await until(lambda: carried(lac, "t", "s"))
        first, told = tunnel(lac, "t"), hear(on, lac)
        lns.program.signal(signal.SIGSTOP)
        if retries == 60:
            sent = first.core.channel.stats.retransmitted
            await until(lambda: first.core.channel.stats.retransmitted > sent + 2)
            lns.program.signal(signal.SIGCONT)
            await until(lambda: first.core.channel.idle)
            assert first is tunnel(lac, "t")
            assert carried(lac, "t", "s")
        else:
            await until(lambda: told.tunnels(What.DELETED))
            await until(lambda: lac.dialer.lines["t"].attempts > 2)
            lns.program.signal(signal.SIGCONT)
            await until(lambda: up(lac, "t") and carried(lac, "t", "s"))
            assert call(lac, "t", "s") is not None
        await one_tunnel(lns)
        lac.stop(at_once=False)
        await on.ended["lac"].wait()


MANY = 50


@pytest.mark.parametrize("retries", [60, 4], ids=["shorter", "longer"])
async def test_many_tunnels_are_stopped(tmp_path: Path, retries: int) -> None:
    """With many tunnels all of them live, or all are there again, each once: what all send at that moment stops nobody."""
    config = CONFIG.format(retries=retries)
    async with stage(tmp_path, seconds=120) as on, daemon(HERE, tmp_path / "lns", config) as lns:
        lines = (calls(f"t{one}", 1701, f"{KEYS}max_retries = {retries}\n", host=LNS) for one in range(MANY))
        lac = await on.start("lac", "".join(lines))
        names = list(lac.dialer.lines)
        await until(lambda: all(up(lac, name) for name in names))
        before, told = [tunnel(lac, name) for name in names], hear(on, lac)
        lns.program.signal(signal.SIGSTOP)
        if retries == 60:
            await until(lambda: all(one.core.channel.stats.retransmitted > 2 for one in before))
        else:
            await until(lambda: len({event.name for event in told.tunnels(What.DELETED)}) == MANY)
        lns.program.signal(signal.SIGCONT)
        await until(lambda: all(up(lac, name) and tunnel(lac, name).core.channel.idle for name in names))
        if retries == 60:
            assert before == [tunnel(lac, name) for name in names]
        while ["up"] * MANY != [row["state"] for row in await lns.tunnels()]:
            pass
        lac.stop(at_once=False)
        await on.ended["lac"].wait()
