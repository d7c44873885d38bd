"""Thousands of short calls, from the storm of the benchmarks, at a real daemon: the story that its events tell stays in order."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import trio

from dialogue import cdn, icrq
from house import House, Peer, house, settle, until
from l2tpd import log
from l2tpd.bus import Subscription
from l2tpd.control.jsonrpc import Request, write_request
from l2tpd.events import Lost, SessionEvent, Stamped, TunnelEvent, What
from l2tpd.wire.header import build_control

STORM = Path(__file__).parent / "bench" / "storm.py"
CALLS = ("--tunnels", "100", "--sessions", "20")  # all at once, and ended with their tunnels
CHURN = ("--churn", "1", "--slots", "100")  # tunnels that end as soon as they are up
LIFE = list(What)  # in the order in which things happen to an object
SMALL = 50

Object = tuple[int, int]


async def storm(there: House) -> None:
    """Have the calls, and wait until the daemon has forgotten them."""
    command = [sys.executable, str(STORM), f"127.0.0.1:{there.address.port}", *CALLS, *CHURN, "--json"]
    await trio.run_process(command, stdout=subprocess.DEVNULL)
    await until(lambda: not there.tunnels)


def lives(items: Iterable[Stamped | Lost]) -> dict[Object, list[What]]:
    """Return what happened to each tunnel and session, in the order in which it was told."""
    found: dict[Object, list[What]] = {}
    for item in items:
        if isinstance(item, Stamped) and isinstance(item.event, TunnelEvent | SessionEvent):
            session = item.event.session_id if isinstance(item.event, SessionEvent) else 0
            found.setdefault((item.event.tunnel_id, session), []).append(item.event.what)
    return found


def everything(subscription: Subscription) -> list[Stamped | Lost]:
    return subscription.rest(1_000_000)


async def test_each_object_lives_in_order() -> None:
    """Whatever was up was created before, goes down and is deleted after; sessions come after their tunnel and go before it."""
    async with house() as there:
        told = there.daemon.bus.subscribe(size=1_000_000)
        await storm(there)
        items = everything(told)
    assert 0 == told.lost
    found = lives(items)
    assert 2000 == sum(bool(session) for _, session in found)
    assert {(What.CREATED, What.UP, What.DOWN, What.DELETED)} == {tuple(life) for life in found.values()}
    first: dict[int, Object] = {}
    last: dict[int, Object] = {}
    for item in items:
        assert isinstance(item, Stamped)
        assert isinstance(item.event, TunnelEvent | SessionEvent)
        which = item.event.tunnel_id, item.event.session_id if isinstance(item.event, SessionEvent) else 0
        first.setdefault(which[0], which)
        last[which[0]] = which
    assert {0} == {session for _, session in (*first.values(), *last.values())}


async def test_what_a_small_queue_loses_is_told_where_it_was() -> None:
    """A subscriber who looks in now and then finds everything in order and each gap counted; one who never did finds the beginning."""
    async with house() as there:
        bus = there.daemon.bus
        seldom, never = bus.subscribe(size=SMALL), bus.subscribe(size=SMALL)
        heard: list[Stamped | Lost] = []

        async def look() -> None:
            while True:
                heard.extend(everything(seldom))
                await trio.sleep(0.05)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await storm(there)
            nursery.cancel_scope.cancel()
        heard.extend(everything(seldom))
        left, published = everything(never), bus.published
        for items in (heard, left):
            lost = sum(item.events for item in items if isinstance(item, Lost))
            assert lost > 0
            assert published == lost + sum(isinstance(item, Stamped) for item in items)
            for life in lives(items).values():
                assert sorted(set(life), key=LIFE.index) == life
    *kept, gap = left
    assert SMALL == len(kept)
    assert gap == Lost(published - SMALL)


async def test_a_stalled_watcher_delays_nobody() -> None:
    """On the control socket: one reads nothing until all is over; the other has been told everything, or how much it lost, by then."""
    async with house() as there:
        path = str(there.daemon.config.system.control_socket)
        async with await trio.open_unix_socket(path) as stalled, await trio.open_unix_socket(path) as reading:
            for stream in (stalled, reading):
                await stream.send_all(write_request(Request(id=1, method="events.subscribe", params={})))
                await stream.receive_some()
            tally: Counter[str] = Counter()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(count, reading, tally)
                await storm(there)
                published = there.daemon.bus.published
                await until(lambda: tally["events"] + tally["lost"] == published)
                late: Counter[str] = Counter()
                nursery.start_soon(count, stalled, late)
                await until(lambda: late["events"] + late["lost"] == published)
                nursery.cancel_scope.cancel()
    assert late["lost"] > 0


async def count(stream: trio.SocketStream, tally: Counter[str]) -> None:
    """Count the events that come, and those that are said to be lost."""
    rest = b""
    async for chunk in stream:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            params = json.loads(line)["params"]
            tally.update(lost=params["count"]) if params["object"] == "lost" else tally.update(events=1)


async def test_what_a_peer_provokes_is_said_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    """Two hundred broken packets in a tunnel from one address are a handful of lines; another address has its own."""
    async with house() as there:
        for host in ("127.0.0.1", "127.0.0.2"):
            with Peer(there.address, host) as peer:
                caller = await peer.connect()
                broken = build_control(caller.theirs, 0, caller.ns, caller.nr, b"\0\1")  # half the header of an AVP
                for _ in range(200):
                    await peer.throw(broken)
                await settle()
            said = [line for line in caplog.messages if f"peer={host}" in line]
            assert 0 < len(said) <= 10, caplog.messages


async def test_calls_that_come_to_nothing_are_said_a_few_times(caplog: pytest.LogCaptureFixture) -> None:
    """A peer that asks for a hundred calls and gives each up has a handful of lines, which tell how many there were."""
    caplog.set_level(log.NOTICE)
    async with house() as there:
        with Peer(there.address) as peer:
            caller = await peer.connect()
            for number in range(1, 101):
                await caller.say(icrq(number))
                await caller.say(cdn(number))
                await settle()
            await until(lambda: not there.daemon.registry.sessions)
    said = [line for line in caplog.messages if "session not set up" in line]
    assert 0 < len(said) <= 20, said
