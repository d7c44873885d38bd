"""A tunnel of very many sessions ends: whoever else has something to do gets turns in between."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from faults.blows import nothing_kept
from l2tpd.daemon import Daemon
from l2tpd.events import What
from l2tpd.kernel.recording import RecordingPlane
from l2tpd.session.call import State
from l2tpd.tunnel.actions import PACE
from pair import ANYBODY, QUICK, calls, free_port, hear, listen, session, stage, tunnel, until

SESSIONS = 4 * PACE


async def turns(daemon: Daemon) -> int:
    """Count the turns that a task gets while sessions end."""
    counts = {daemon.registry.sessions}
    while daemon.registry.sessions:
        await trio.lowlevel.checkpoint()
        counts.add(daemon.registry.sessions)
    return len(counts)


def _all_carried(daemon: Daemon) -> bool:
    """Tell whether all sessions are established; that the plane has them is not enough, the core hears of that later."""
    return all(call.state is State.ESTABLISHED for call in tunnel(daemon, "t").core.calls.values())


@pytest.mark.parametrize("end", ["deleted", "stopped", "dead", "cut short"])
async def test_a_tunnel_of_many_sessions_ends(tmp_path: Path, end: str) -> None:
    """Deleted here, ended by the peer's StopCCN, or found dead: a few at a time; by a stop whose time is over, at once. All are told of, nothing is left."""
    async with stage(tmp_path, seconds=60) as on:
        port, plane = free_port(), RecordingPlane()
        lines = "".join(session("t", f"s{number}") for number in range(SESSIONS))
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("t", port, QUICK + "persist = false\n") + lines, plane=plane, stop=0.0)
        await until(lambda: lac.registry.sessions == SESSIONS == lns.registry.sessions)
        await until(lambda: _all_carried(lac) and tunnel(lac, "t").core.channel.idle)
        told, mine = hear(on, lac), tunnel(lac, "t")
        if end == "deleted":
            lac.dialer.remove("t", "enough")
        elif end == "stopped":
            next(iter(lns.registry)).close(1, "enough")
        elif end == "dead":
            mine.give_up()
        else:
            lac.stop(at_once=True)
        if end == "cut short":
            await on.ended["lac"].wait()
            nothing_kept(lac)
        else:
            assert 3 <= await turns(lac)
        await until(lambda: not plane.tunnels and told.tunnels(What.DELETED))
        assert set() == plane.sessions
        assert SESSIONS == len(told.sessions(What.DELETED)) == len(told.sessions(What.DOWN))
        if end != "cut short":
            assert told.events[-2:] == told.tunnels(What.DOWN, What.DELETED)
