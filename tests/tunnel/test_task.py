"""One tunnel in the running daemon: its life, its end and what a bug of it costs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from dialogue import cdn, hello, iccn, icrq, sccrq, stopccn
from house import Caller, House, Peer, established, free_port, house, settle, until
from l2tpd.config.model import Address
from l2tpd.events import Event, SessionEvent, What
from l2tpd.kernel.ops import CreateSession, Operation, Outcome
from l2tpd.kernel.recording import RecordingPlane
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.kernel.worker import Worker
from l2tpd.session.call import Call
from l2tpd.supervise import crashes
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import ASSIGNED_SESSION_ID
from l2tpd.wire.numbers import MessageType, StopResult


async def test_a_tunnel_lives_and_ends() -> None:
    """Set up, kept, torn down by its peer: at the end nothing is left but what must linger."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            tunnel = lns.the_tunnel()
            assert State.ESTABLISHED is tunnel.core.state
            assert tunnel.up_since is not None
            await call.alive()
            await call.stop()
            await until(lambda: tunnel.sock is None)
            assert [] == lns.tunnels
            assert call.theirs in lns.daemon.lingering
            assert 0 == lns.daemon.crashes


async def test_the_timer_repeats_what_is_not_acknowledged(mock_clock: MockClock) -> None:
    """SCCRP is repeated after 1 and 2 seconds, but to a stranger, perhaps forged, no oftener; in the end nothing is left of it."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            await lac.call()
            heard = []
            for pause in (1, 2, 4, 8, 8):
                mock_clock.jump(pause)
                heard += await lac.rest()
            assert [(MessageType.SCCRP, 0)] * 2 == [(repeated.type, repeated.header.ns) for repeated in heard]
            mock_clock.jump(120)
            await until(lambda: not lns.tunnels)
            assert 0 == lns.daemon.registry.half_open


async def test_a_silent_peer_is_found_out(mock_clock: MockClock) -> None:
    """HELLO after a minute; no answer to any of its copies, and the tunnel is over."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            await lac.connect()
            for pause in (60, 1, 2, 4, 8, 8, 8):
                mock_clock.jump(pause)
                await settle()
            await until(lambda: not established(lns))
            hellos = [heard for heard in await lac.rest() if heard.type == MessageType.HELLO]
            assert 6 == len(hellos)


async def test_each_tunnel_of_a_caller_has_a_socket_of_its_own() -> None:
    """On the listener's address and port, connected: the kernel's data plane belongs to a socket."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            for tunnel_id in (1, 2):
                await lac.connect(tunnel_id)
            sockets = [tunnel.sock for tunnel in lns.tunnels if isinstance(tunnel.sock, socket.socket)]
            assert 2 == len({sock.fileno() for sock in sockets})
            assert {tuple(lns.address)} == {sock.getsockname() for sock in sockets}
            assert {tuple(lac.address)} == {sock.getpeername() for sock in sockets}


async def test_an_icmp_error_ends_nothing() -> None:
    """A port that is closed for a moment is a lost packet, which retransmission repairs."""
    async with house("[profile.tunnel.default]\nretry_timeout = 0.1\n[peer.default]\n") as lns:
        port = free_port()
        with Peer(lns.address, port=port) as lac:
            call = await lac.connect()
        tunnel = lns.the_tunnel()
        tunnel.probe()  # comes back as "port unreachable"
        await settle()
        with Peer(lns.address, port=port) as again:
            call.peer = again
            await call.hear(MessageType.HELLO)
            await call.acknowledge()
            await call.alive()
            assert State.ESTABLISHED is tunnel.core.state
            assert 0 == lns.daemon.crashes


# --- goodbye ------------------------------------------------------------------------------------------------------------------


async def test_a_polite_stop_waits_for_the_peer() -> None:
    """StopCCN "shutting down", and the end comes with its acknowledgement."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            lns.daemon.stop(at_once=False)
            await _farewell(call)
            await lns.done.wait()
            assert [] == lns.tunnels


async def test_a_cancelled_daemon_says_goodbye() -> None:
    """Every tunnel sends its StopCCN even where nobody asked politely, and takes the acknowledgement."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            calls = [await lac.connect(tunnel_id) for tunnel_id in (1, 2, 3)]
            lns.scope.cancel()
            await settle()
            assert calls[0].theirs in lns.daemon.registry.by_id  # it waits for the acknowledgement
            for call in calls:
                await _farewell(call)
            await lns.done.wait()
            assert [] == lns.tunnels
            assert 0 == lns.daemon.crashes


async def test_a_goodbye_does_not_wait_for_ever() -> None:
    """A peer that acknowledges nothing holds a cancelled daemon up for `stop_timeout`."""
    async with house(system="stop_timeout = 0.05") as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            lns.scope.cancel()
            await call.hear(MessageType.STOPCCN)
            await until(lns.done.is_set)
            assert [] == lns.tunnels


async def test_a_stranger_is_not_waited_for() -> None:
    """Who began a tunnel and never proved to be there hears the StopCCN, and the stop goes on."""
    async with house(system="stop_timeout = 3600") as lns:
        with Peer(lns.address) as lac:
            call = await lac.call()
            await call.acknowledge()
            await settle()
            lns.daemon.stop(at_once=False)
            await call.hear(MessageType.STOPCCN)
            await until(lns.done.is_set)
            assert [] == lns.tunnels


async def _farewell(call: Caller) -> None:
    heard = await call.hear(MessageType.STOPCCN)
    assert StopResult.SHUTTING_DOWN == heard.result.result
    await call.acknowledge()


# --- bugs ---------------------------------------------------------------------------------------------------------------------


def plant_bug(patch: pytest.MonkeyPatch, method: str, local_id: int | None) -> None:
    """Make a method raise, on one control connection or on all."""
    sound: Callable[..., Any] = getattr(ControlConnection, method)

    def broken(core: ControlConnection, *arguments: Any, **more: Any) -> Any:
        if local_id in {None, core.local_id}:
            raise ZeroDivisionError(method)
        return sound(core, *arguments, **more)

    patch.setattr(ControlConnection, method, broken)


async def _crashed(lns: House, theirs: int) -> None:
    await until(lambda: theirs not in lns.daemon.registry.by_id)
    await until(lambda: lns.daemon.crashes)
    assert 1 == lns.daemon.crashes


@pytest.mark.parametrize("first", [True, False], ids=["by another's socket", "by its own"])
async def test_a_bug_of_one_tunnel_ends_that_tunnel(monkeypatch: pytest.MonkeyPatch, first: bool) -> None:
    """Its peer gets one StopCCN; one crash is counted; the others and the listener live. Whose socket got the packet does not matter."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            calls = [await lac.connect(tunnel_id) for tunnel_id in (1, 2)]
            ill, well = calls if first else calls[::-1]
            plant_bug(monkeypatch, "receive_datagram", ill.theirs)
            await ill.say(hello())
            heard = await ill.hear(MessageType.STOPCCN)
            assert (StopResult.GENERAL, "internal error") == (heard.result.result, heard.result.message)
            await _crashed(lns, ill.theirs)
            await well.alive()
            await lac.connect(3)
            assert 2 == established(lns)


async def test_a_bug_that_its_timer_meets(monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock) -> None:
    """The tunnel's own task fails, and nobody else's."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            ill, well = [await lac.connect(tunnel_id) for tunnel_id in (1, 2)]
            plant_bug(monkeypatch, "handle_timer", ill.theirs)
            mock_clock.jump(60)
            await _crashed(lns, ill.theirs)
            await ill.hear(MessageType.STOPCCN)
            await well.hear(MessageType.HELLO)
            await well.acknowledge()
            await well.alive()


async def test_a_bug_while_a_request_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of the tunnel, not even half open, and the next caller is served."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            with monkeypatch.context() as patch:
                plant_bug(patch, "take_packet", None)
                await lac.say(sccrq())
                await until(lambda: lns.daemon.crashes and not lns.tunnels)
            assert 1 == lns.daemon.crashes
            assert 0 == lns.daemon.registry.half_open
            await lac.rest()
            await lac.connect(2)


async def test_a_bug_that_prevents_even_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the core cannot be closed either, its socket and its place are free all the same."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            tunnel = lns.the_tunnel()
            plant_bug(monkeypatch, "receive_datagram", None)
            with monkeypatch.context() as patch:
                plant_bug(patch, "close", None)
                await call.say(hello())
                await until(lambda: tunnel.sock is None)
            assert [] == lns.tunnels
            assert [] == await lac.rest()


@pytest.mark.parametrize("ill", [1, 2], ids=["one call", "all calls"])
async def test_a_bug_that_keeps_calls_from_ending(monkeypatch: pytest.MonkeyPatch, ill: int) -> None:
    """They are counted no longer all the same, nothing counts as about to end, and those that can be are told of."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            tunnel, ended = lns.the_tunnel(), lns.daemon.bus.subscribe(_is_the_end_of_a_call)
            for number in (1, 2):
                await call.bring_up(number)
            assert {2} == {lns.daemon.registry.sessions, len(tunnel.core.calls)}
            broken = list(tunnel.core.calls)[:ill]
            sound = ControlConnection.feed_call

            def feed_call(core: ControlConnection, one: Call, *more: Any) -> None:
                if one.local_id in broken:
                    raise ZeroDivisionError
                sound(core, one, *more)

            monkeypatch.setattr(ControlConnection, "feed_call", feed_call)
            await call.say(stopccn(tunnel_id=call.tunnel_id))
            await _crashed(lns, call.theirs)
            site = lns.daemon.site
            assert (0, 0) == (site.ending, lns.daemon.registry.sessions)
            assert {0} == set(site.calls_by_state.values())
            assert 2 - ill == len(ended.rest(10))
            assert tunnel.sock is None


async def test_a_bug_that_keeps_many_calls_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not met for each of them, for that holds all tunnels up; they are counted no longer all the same."""
    many = 30
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            for number in range(1, many + 1):
                await call.bring_up(number)
            assert many == lns.daemon.registry.sessions
            before = crashes["tunnel"]
            monkeypatch.setattr(ControlConnection, "feed_call", _fail)
            await call.say(stopccn(tunnel_id=call.tunnel_id))
            await _crashed(lns, call.theirs)
            assert crashes["tunnel"] < before + many
            assert (0, 0) == (lns.daemon.site.ending, lns.daemon.registry.sessions)


def _fail(*_: object) -> None:
    raise ZeroDivisionError


def _is_the_end_of_a_call(event: Event) -> bool:
    return isinstance(event, SessionEvent) and event.what is What.DELETED


async def test_a_bug_in_what_hears_of_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first call's end cannot be told, and with it what came after, the data plane lets go of the tunnel all the same."""
    async with house() as lns:
        lns.daemon.adapter.plane = plane = RecordingPlane()
        with Peer(lns.address) as lac:
            call = await lac.connect()
            for number in (1, 2):
                await call.bring_up(number)
            assert (1, 2) == (len(plane.tunnels), len(plane.sessions))
            monkeypatch.setattr(lns.daemon.circuits, "follow", _fail)
            await call.say(stopccn(tunnel_id=call.tunnel_id))
            await _crashed(lns, call.theirs)
            await until(lambda: not plane.tunnels)
            assert not plane.sessions


async def test_a_crashed_tunnels_peer_may_call_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the same port, with the same id."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            with monkeypatch.context() as patch:
                plant_bug(patch, "receive_datagram", call.theirs)
                await call.say(stopccn())
                await call.hear(MessageType.STOPCCN)
                await _crashed(lns, call.theirs)
            again = await lac.connect()
            await again.alive()
            assert Address(*lns.address) == again.source


@pytest.mark.parametrize("size", range(9))
async def test_packets_that_are_hardly_any_end_nothing(size: int) -> None:
    """Where data packets come to this process too, a tunnel outlives every datagram that is too short to be one."""
    plane = UserPlane(Worker("plane"))
    try:
        async with house() as lns:
            lns.daemon.packets = plane
            with Peer(lns.address) as lac:
                call = await lac.connect()
                for first in (0x00, 0x80, 0x40, 0xC0):
                    await lac.throw(bytes((first,) * size))
                await call.alive()
            assert 0 == lns.daemon.crashes
    finally:
        plane.close()


@attrs.define(eq=False)
class Pumping(RecordingPlane):
    """A plane whose sessions have something to run; `pumps` is how many run."""

    pumps: int = 0
    exhausted: trio.Event = attrs.field(factory=trio.Event)

    async def perform(self, operation: Operation) -> Outcome:
        done = await super().perform(operation)
        return Outcome(pump=self._pump) if isinstance(operation, CreateSession) else done

    async def _pump(self) -> tuple[int, str]:
        self.pumps += 1
        try:
            await self.exhausted.wait()
        finally:
            self.pumps -= 1
        return 1, "exhausted"


async def test_a_link_runs_while_its_session_is_up() -> None:
    """An L2TP Session MUST be established before L2TP can begin to tunnel PPP frames (RFC 2661 5): not when the peer asks, but with its ICCN."""
    plane = Pumping()
    async with house() as there:
        there.daemon.adapter.plane = plane
        with Peer(there.address) as peer:
            caller = await peer.connect()
            await caller.say(icrq())
            answered = await caller.hear(MessageType.ICRP)
            assert answered.said is not None
            session_id = answered.said[ASSIGNED_SESSION_ID]
            await settle()
            assert 0 == plane.pumps
            await caller.say_of_call(session_id, iccn())
            await caller.hear(None)
            await until(lambda: plane.pumps == 1)
            await caller.say_of_call(session_id, cdn())
            await until(lambda: plane.pumps == 0)
