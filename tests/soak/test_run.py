"""What the soak says and how it judges, tried on the programs at hand."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from random import Random

import attrs
import pytest
import trio

from interop.daemon import Control, Daemon
from interop.program import Program, running, spawn
from scrapes import key
from soak.couple import DONE, LAST, Couple, Objects, Stock, descriptors, private
from soak.run import MEMORY_MORE, judge, told

STOCK = Stock(descriptors=20, threads=2, memory=40 << 20, done=dict.fromkeys(DONE, 0))
WHOSE = ("null", "lns")


def test_private_memory_is_ones_own() -> None:
    """What a process writes to is counted once. The bounds are wide: other memory comes and goes meanwhile."""
    before = private(os.getpid())
    ours = bytearray(b"1") * (128 << 20)
    assert 64 << 20 < private(os.getpid()) - before < 192 << 20, len(ours)


async def test_stock_says_what_was_done() -> None:
    """Each count is the sum of a metric's samples with the labels that are asked for."""
    metrics = {
        key("l2tpd_sessions_ended_total", result="none", by="us", was_up="yes"): 3.0,
        key("l2tpd_sessions_ended_total", result="other", by="peer", was_up="no"): 4.0,
        key("l2tpd_events_total", event="config-reloaded"): 2.0,
        key("l2tpd_events_total", event="config-refused"): 1.0,
    }
    stock = await Stock.of(os.getpid(), metrics)
    assert {"tunnels": 0, "sessions": 7, "reloads": 2, "scripts": 0, "dropped packets": 0} == stock.done
    assert "over: 0 tunnels, 7 sessions, 2 reloads" in str(stock)


async def test_a_descriptor_that_is_about_to_be_closed_is_not_counted() -> None:
    """One that stays is."""
    kept = descriptors(os.getpid())
    closing = os.open(os.devnull, os.O_RDONLY)

    async def close() -> None:
        await trio.sleep(0.1)
        os.close(closing)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(close)
        assert kept == (await Stock.of(os.getpid(), {})).descriptors


@pytest.mark.parametrize(
    ("last", "what"),
    [
        (attrs.evolve(STOCK, descriptors=21), "descriptors"),
        (attrs.evolve(STOCK, descriptors=19), "descriptors"),
        (attrs.evolve(STOCK, threads=5), "threads"),
        (attrs.evolve(STOCK, memory=(44 << 20) + MEMORY_MORE + 1), "memory"),
    ],
)
def test_growth_is_a_failure(last: Stock, what: str) -> None:
    """One descriptor, three threads, or more memory than its bounds; a lost descriptor is no better."""
    with pytest.raises(AssertionError, match=what):
        judge([{WHOSE: STOCK}, {WHOSE: STOCK}, {WHOSE: last}])


def test_work_is_no_growth() -> None:
    """What the bounds allow passes, however much was done."""
    last = attrs.evolve(STOCK, threads=4, memory=44 << 20, done=dict.fromkeys(DONE, 1000))
    judge([{WHOSE: STOCK}, {WHOSE: STOCK}, {WHOSE: last}])


async def test_failure_tells_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The totals are told when something has failed, too, and what the daemons said last."""
    said = f"for number in range({LAST + 1}): print('line', number)"
    program = Program("l2tpd", await spawn([sys.executable, "-c", said]))
    couple = Couple("null", 10, tmp_path, Random(1), Objects(0, 0, 0))
    couple.counts["tunnel.create"] = 12
    async with running(program, signal.SIGTERM):
        await program.says(f"line {LAST}$")
        one, other = trio.socket.socketpair()
        with one, other:
            couple.ends["lns"] = Daemon(program, Control(trio.SocketStream(one)))
            with pytest.raises(AssertionError, match="as it was"), told([couple]):
                raise AssertionError("not as it was")
        *lines, totals = capsys.readouterr().out.splitlines()
    assert ["the lns of null said last:", *(f"line {number}" for number in range(1, LAST + 1))] == lines
    assert totals.startswith("null: {'tunnel.create': 12}")
