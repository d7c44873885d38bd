"""Floods at a real daemon: who floods uses up nothing that others need, and these notice little."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from bench import flood
from bench.measure import Process
from dialogue import hello, scccn, sccrq, stopccn
from house import Caller, House, Peer, established, house, until
from l2tpd.config.model import Address
from l2tpd.tunnel.dialect import V2
from l2tpd.tunnel.endpoint import GIVEN_UP, MOST_STRAYS
from l2tpd.tunnel.linger import CYCLE, Remains
from l2tpd.tunnel.port import Arrived
from l2tpd.wire.avp import ASSIGNED_TUNNEL_ID
from l2tpd.wire.header import build_control
from l2tpd.wire.messages import encode
from l2tpd.wire.numbers import MessageType

COUNT = 3_000
"""Datagrams of a flood."""

QUICK = "[peer.default]\n[profile.tunnel.default]\nretry_timeout = 0.05\nhello_timeout = 0\n"
"""Strangers who do not answer are given up soon, for the test to see that nothing is left of them."""

LIMITS = "max_half_open = 2048\nmax_half_open_per_source = 512\nmax_sessions = 100"


@asynccontextmanager
async def flooded(there: House, kind: str) -> AsyncIterator[None]:
    """Have a flood going on while the body runs, and wait until all of it was sent."""
    target = f"127.0.0.1:{there.address.port}"
    command = [sys.executable, flood.__file__, target, "--fire", kind, "--count", str(COUNT)]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(partial(trio.run_process, command, stdout=subprocess.DEVNULL))
        yield
        with trio.fail_after(60):
            await process.wait()


async def come_in(there: House, lac: Peer) -> Caller:
    """Ask for a tunnel, and repeat what is not answered, as a caller does (RFC 2661 5.8)."""
    caller = Caller(lac, 1, encode(sccrq(assigned_tunnel_id=1)))

    def is_up() -> bool:
        return any(tunnel.core.peer == lac.address and tunnel.core.was_up for tunnel in there.tunnels)

    with trio.fail_after(60):
        while not is_up():
            with trio.move_on_after(1.0):
                await caller.ask()
                while (heard := await lac.hear(1)).type != MessageType.SCCRP or heard.said is None:
                    pass
                caller.theirs, caller.nr = heard.said[ASSIGNED_TUNNEL_ID], 1
                await caller.say(scccn())
                await until(is_up)
    caller.ns = 2
    return caller


async def answered(caller: Caller) -> None:
    """Say HELLO until it is acknowledged: also the kernel loses packets in a flood."""
    with trio.fail_after(60):
        await caller.say(hello())
        while True:
            with trio.move_on_after(1.0):
                while (await caller.peer.hear(caller.tunnel_id)).header.nr != caller.ns:
                    pass
                return
            await caller.repeat(hello())


async def calm(truth: Callable[[], bool]) -> None:
    """Wait for what a flood has left to go; the machine may have others to serve, too."""
    with trio.fail_after(60):
        while not truth():
            await trio.sleep(0.05)


@pytest.mark.parametrize("kind", flood.KINDS)
async def test_a_flood_harms_nobody_else(kind: str) -> None:
    """Tunnels that are up stay up and are answered, a newcomer comes in, and when it is over nothing is left that would show it."""
    async with house(QUICK, system=LIMITS) as there:
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer(there.address, f"127.0.2.{n}")) for n in range(1, 11)]
            old = [await peer.connect() for peer in peers]
            us = Process(os.getpid())
            descriptors = us.descriptors()
            async with flooded(there, kind):
                newcomer = await come_in(there, stack.enter_context(Peer(there.address, "127.0.3.1")))
                for caller in old:
                    await answered(caller)
            await calm(lambda: there.daemon.registry.half_open == 0)
            for caller in (*old, newcomer):
                await answered(caller)
            await calm(lambda: us.descriptors() < descriptors + 50)
            assert 0 == there.daemon.crashes


async def test_in_a_crowd_a_request_has_to_be_repeated(mock_clock: MockClock) -> None:
    """From an eighth of the limit on, though not below 256: the first request is counted, its copy a second later is served, as everybody's is afterwards."""
    async with house(system="max_half_open = 2400") as lns:
        with ExitStack() as stack:
            crowd = [stack.enter_context(Peer(lns.address, f"127.0.1.{n}")) for n in range(1, 4)]
            for lac in crowd:
                for tunnel_id in range(1, 101):
                    await lac.say(sccrq(assigned_tunnel_id=tunnel_id))
            await until(lambda: lns.daemon.registry.half_open == 300)
            late = stack.enter_context(Peer(lns.address))
            caller = Caller(late, 1, encode(sccrq(assigned_tunnel_id=1)))
            await caller.ask()
            await caller.ask()
            assert [] == await late.rest()
            assert 2 == lns.counter("passed_over")
            mock_clock.jump(1.0)
            await caller.ask()
            await caller.answered()
            await caller.establish()
            assert 1 == established(lns)
            await until(lambda: lns.daemon.registry.half_open == 300)


async def test_callers_who_give_up_are_a_crowd() -> None:
    """An SCCRQ with a StopCCN behind it leaves nothing half open; after 512 within a cycle, a request has to be repeated all the same."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            for tunnel_id in (1, 2):
                await lac.say(sccrq(assigned_tunnel_id=tunnel_id))
                await lac.say(stopccn(tunnel_id=tunnel_id), 0, 1, 0)
            await until(lambda: lns.daemon.lingering.strangers == 2)
            assert not lns.tunnels
            for number in range(GIVEN_UP - 2):
                remains = Remains(70_000 + number, 1, Address("203.0.113.1", number), 0, 0, V2)
                lns.daemon.lingering.add(remains, trio.current_time(), stranger=True)
            await lac.rest()
            await lac.say(sccrq(assigned_tunnel_id=3))
            assert [] == await lac.rest()
            assert 1 == lns.counter("passed_over")


async def test_a_crowd_that_has_gone_is_none(mock_clock: MockClock) -> None:
    """A cycle after the last of those who gave up, a request is answered at once, though nothing has come in between."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            for number in range(GIVEN_UP):
                remains = Remains(70_000 + number, 1, Address("203.0.113.1", number), 0, 0, V2)
                lns.daemon.lingering.add(remains, trio.current_time(), stranger=True)
            mock_clock.jump(CYCLE)
            await lac.say(sccrq(assigned_tunnel_id=1))
            assert [MessageType.SCCRP] == [heard.type for heard in await lac.rest()]
            assert 0 == lns.counter("passed_over")


async def test_a_stray_waits_its_turn() -> None:
    """What a tunnel's socket took and what asks for a tunnel is put aside, up to a limit; what is for another tunnel is not."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            caller = await lac.connect()
            request = Arrived(build_control(0, 0, 0, 0, encode(sccrq(assigned_tunnel_id=2))), lac.address, lns.address)
            hers = Arrived(
                build_control(caller.theirs, 0, caller.ns, caller.nr, encode(hello())), lac.address, lns.address
            )
            assert caller.tunnel(lns) is lns.daemon.dispatch(hers)
            before = len(lns.tunnels)
            for _ in range(MOST_STRAYS + 10):
                assert lns.daemon.dispatch(request) is None
            assert before == len(lns.tunnels)
            assert 10 == lns.counter("passed_over")
            await until(lambda: len(lns.tunnels) == 2)


async def test_the_ids_of_displaced_strangers_do_not_rest_for_long() -> None:
    """2,115 forged requests a second would otherwise have them all resting; those of peers rest as RFC 2661 5.7 has it."""
    async with house(system="max_half_open = 2") as lns:
        with Peer(lns.address) as lac:
            known = await lac.connect(1)
            for tunnel_id in range(2, 12):
                await lac.call(tunnel_id)
            await known.stop()
            ids = lns.daemon._ids[16]
            await until(lambda: (1, 8) == (len(ids._resting), len(ids._strangers)))
