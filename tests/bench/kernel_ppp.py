"""Sessions of PPP on the Linux data plane, inside a guest: beside xl2tpd, which starts a pppd for each, and as many as a region has.

The client is l2tpd in another namespace of the same guest, so both ends share its only processor.
"""

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import trio

from bench.measure import Process, Row, rate
from interop.daemon import Daemon, daemon
from interop.netns import Cable, Host
from vm.inside import ppp, stage

TURNS = 6  # of either LNS
PATIENCE = 60.0  # seconds that all sessions of a turn may take: one whose LNS never answers is given up, by either end, within 30
CROWD_PATIENCE = 600.0  # seconds that a crowd may take


async def beside_xl2tpd(ends: Cable, calls: int) -> list[Row]:
    """Bring PPP up on many sessions of one client of ours: with our LNS, and with xl2tpd, which starts a pppd for each.

    What an LNS costs is told apart: all that the processor did, in whatever process or in the kernel itself, but for the client and for us. Either LNS
    writes the log that it writes unasked. What all turns took together is compared. A session that does not come up is told on standard error, and
    counted: nobody calls again, and what it cost is shared by those that did.
    """
    ours, theirs = [], []
    for turn in range(1, TURNS + 1):
        ours.append(_told("ours", turn, await _called_ours(ends, calls)))
        theirs.append(_told("xl2tpd + pppd", turn, await _called_theirs(ends, calls)))
    our_pace, their_pace = (statistics.median(called.pace for called in found) for found in (ours, theirs))
    our_cost, their_cost = (_cost(found) for found in (ours, theirs))
    pace, cost, lost = (
        f"{calls} sessions of PPP, {what}"
        for what in ("per s", "ms of the LNS each", f"how many did not come up in {TURNS} turns")
    )
    return [
        {"figure": pace, "ours": our_pace, "xl2tpd + pppd": their_pace, "ratio": our_pace / their_pace},
        {"figure": cost, "ours": our_cost, "xl2tpd + pppd": their_cost, "ratio": their_cost / our_cost, "aim": 10},
        {"figure": lost, "ours": _lost(ours), "xl2tpd + pppd": _lost(theirs)},
    ]


async def crowds(ends: Cable, sizes: Sequence[int]) -> list[Row]:
    """Bring PPP up on as many sessions as a region has, which no LNS gets to that has a pppd for each."""
    return [row for size in sizes for row in await _crowd(ends, size)]


async def _crowd(ends: Cable, size: int) -> list[Row]:
    with stage.secrets(ends.us), tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with _l2tpd(ends.us, Path(folder, "lns"), ppp.LNS) as lns:
            server = Process(lns.program.pid)
            before = server.rss()
            async with _calling(ends, Path(folder, "client"), size, CROWD_PATIENCE) as (client, called):
                grown = server.rss() - before
                await client.kill()
            await lns.kill()
    found = {
        "per s": called.pace,
        "ms of the LNS each": _cost([called]),
        "KiB of the LNS each": grown / 1024 / called.up,
        "how many did not come up": len(_told("ours", 1, called).lost),
    }
    return [{"figure": f"{size:,} sessions of PPP, {what}", "ours": value} for what, value in found.items()]


class Called(NamedTuple):
    """What became of all sessions of a turn."""

    pace: float  # sessions a second, from the tunnel to the last that came up
    up: int  # sessions that came up
    worked: float  # seconds of processor that the LNS took
    lost: list[str]  # of each other one, what its client said of it


def _told(whose: str, turn: int, called: Called) -> Called:
    """Tell on standard error what did not come up."""
    for line in called.lost:
        print(f"{whose}, turn {turn}: {line}", file=sys.stderr)
    return called


def _cost(turns: Sequence[Called]) -> float:
    """Return the milliseconds of processor that the LNS took for each session that came up: one turn has too few ticks to tell."""
    return 1000 * sum(called.worked for called in turns) / sum(called.up for called in turns)


def _lost(turns: Sequence[Called]) -> int:
    return sum(len(called.lost) for called in turns)


async def _called_ours(ends: Cable, calls: int) -> Called:
    with stage.secrets(ends.us), tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with (
            _l2tpd(ends.us, Path(folder, "lns"), ppp.LNS),
            _calling(ends, Path(folder, "ours"), calls) as (_, called),
        ):
            return called


async def _called_theirs(ends: Cable, calls: int) -> Called:
    options = stage.LNS_OPTIONS + "lcp-max-configure 60\n"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        lns = stage.xl2tpd_lns(ends.us, Path(folder, "lns"), options)
        async with lns, _calling(ends, Path(folder, "theirs"), calls) as (_, called):
            return called


def _l2tpd(host: Host, folder: Path, config: str) -> AbstractAsyncContextManager[Daemon]:
    """Run l2tpd as it runs for nobody in particular: it logs what it logs by default, and tells its events to nobody.

    It asks rarely whether a peer is there: many pppds keep each other waiting for longer than the tests' echoes and HELLOs allow.
    """
    how = {"data_plane": "kernel", "log_level": "notice"}
    return daemon(host, folder, ppp.patient(config), stop_timeout=5.0, subscribed=False, **how)


@asynccontextmanager
async def _calling(
    ends: Cable, folder: Path, calls: int, within: float = PATIENCE
) -> AsyncIterator[tuple[Daemon, Called]]:
    """Run a client that opens all sessions at once, until each has come up or ended. Raises `AssertionError` when none comes up."""
    more = "".join(f"[tunnel.hq.session.s{number}]\n" for number in range(1, calls))
    async with _l2tpd(ends.them, folder, ppp.client(ends) + more) as ours:
        await ours.program.says("tunnel up")
        client, sessions = Process(ours.program.pid), Sessions(calls)
        begin, before = trio.current_time(), _others(client)
        with contextlib.suppress(AssertionError):  # in time, that is: what is missing then is lost
            await ours.program.until(lambda: sessions.settled(ours.program.lines), lambda: "", within=within)
        worked = _others(client) - before
        if not sessions.up:
            raise AssertionError(f"PPP did not come up: {ours.program.log}")
        pace = rate(len(sessions.up), sessions.last - begin)
        yield ours, Called(pace, len(sessions.up), worked, sessions.lost())


class Sessions:
    """What a client's log says of its sessions, as it is written."""

    def __init__(self, calls: int) -> None:
        """Begin with none of so many."""
        self._calls = calls
        self.up: set[str] = set()
        self.last = 0.0  # when the last came up
        self._down: dict[str, str] = {}
        self._read = 0

    def settled(self, lines: Sequence[str]) -> bool | None:
        """Read what is new; tell whether each session has come up or ended."""
        for line in lines[self._read :]:
            name = line.partition(" sid=")[2].partition(" ")[0]
            if " PPP up " in line:
                self.up.add(name)
                self.last = trio.current_time()
            elif " session down " in line:
                self._down[name] = line
        self._read = len(lines)
        return len(self.up | self._down.keys()) >= self._calls or None

    def lost(self) -> list[str]:
        """Return what was said of those that did not come up."""
        ended = [line for name, line in self._down.items() if name not in self.up]
        silent = self._calls - len(self.up) - len(ended)
        return ended + ["a session neither came up nor ended"] * silent


def _others(client: Process) -> float:
    """Return the seconds that the processors have worked since they started, for others than a client and us."""
    user, nice, system, _idle, _wait, *interrupts = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    busy = sum(map(int, (user, nice, system, *interrupts))) / os.sysconf("SC_CLK_TCK")
    return busy - client.cpu() - time.process_time()
