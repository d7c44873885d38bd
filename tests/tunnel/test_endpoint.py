"""What arrives at the listening sockets: who gets a tunnel, who is refused, and what junk costs."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

import pytest
import trio
from trio.testing import MockClock

from dialogue import hello, icrq, sccrq, stopccn, unknown
from house import Peer, established, house, settle, until
from l2tpd.config.model import Address
from l2tpd.tunnel import endpoint, port
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.linger import CYCLE
from l2tpd.tunnel.port import Listener
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import ASSIGNED_TUNNEL_ID, RawAvp
from l2tpd.wire.header import DataHeader, build_control, build_data
from l2tpd.wire.messages import encode
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import ProtocolVersion

REFUSED = MessageType.STOPCCN


# --- who gets a tunnel --------------------------------------------------------------------------------------------------------


async def test_a_request_is_answered() -> None:
    """SCCRQ in, SCCRP out, to the id that the caller assigned and with one of ours."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            await lac.say(sccrq(assigned_tunnel_id=77))
            heard = await lac.hear()
            assert heard.said is not None
            assert (MessageType.SCCRP, 77, 0, 1) == (heard.type, heard.header.tunnel_id, heard.header.ns, heard.header.nr)
            assert lns.the_tunnel().core.local_id == heard.said[ASSIGNED_TUNNEL_ID]
            assert lns.address == heard.source


@pytest.mark.parametrize(
    ("config", "said", "refusal"),
    [
        ('[peer.a]\nmatch = ["192.0.2.0/24"]\n', {}, (4, None)),
        ("[peer.default]\naccept = false\n", {}, (4, None)),
        ("[peer.default]\n", {"challenge": b"0123456789abcdef"}, (4, None)),
        ("[peer.default]\n", {"protocol_version": ProtocolVersion(2, 0)}, (5, 0x0100)),
    ],
    ids=["unknown", "not accepted", "a challenge without a secret", "another version"],
)
async def test_a_stranger_leaves_nothing_behind(
    config: str, said: dict[str, object], refusal: tuple[int, int | None]
) -> None:
    """One StopCCN for each request, also for a copy of it, and no tunnel, no lingering remains."""
    async with house(config) as lns:
        with Peer(lns.address) as lac:
            for _ in range(2):
                kind, result, error = await lac.refused(**said)
                assert (REFUSED, refusal) == (kind, (result, error or None))
            assert [] == await lac.rest()
            assert [] == lns.tunnels
            assert 0 == len(lns.daemon.lingering)
            assert 2 == lns.counter("tunnels_refused")


@pytest.mark.parametrize(
    ("system", "config", "refusal"),
    [
        ("max_tunnels = 1", "[peer.default]\n", (2, 4)),
        ("", "[peer.default]\nmax_tunnels = 1\n", (2, 4)),
    ],
    ids=["of the system", "of the peer"],
)
async def test_limits(system: str, config: str, refusal: tuple[int, int]) -> None:
    """The second tunnel is refused for lack of resources, the first lives; once it is over another one may come."""
    async with house(config, system=system) as lns:
        with Peer(lns.address) as lac:
            first = await lac.connect(1)
            assert (REFUSED, *refusal) == await lac.refused(tunnel_id=2)
            await first.hear(MessageType.HELLO)  # what stands in the way is probed
            await first.acknowledge()
            await first.alive()
            await first.stop()
            await lac.connect(3)
            assert 1 == established(lns)


async def test_a_limit_of_one_peer_is_no_other_peers() -> None:
    """Each peer entry has a count of its own."""
    config = '[peer.a]\nmatch = ["127.0.0.1"]\nmax_tunnels = 1\n[peer.b]\nmatch = ["127.0.0.2"]\nmax_tunnels = 1\n'
    async with house(config) as lns:
        with Peer(lns.address) as a, Peer(lns.address, "127.0.0.2") as b:
            await a.connect()
            await b.connect()
            assert (REFUSED, 2, 4) == await b.refused(tunnel_id=2)
            assert 2 == established(lns)


@pytest.mark.parametrize(
    ("system", "refusal"),
    [("drain = true", (2, 7)), ("deny_remote_creates = true", (4, None))],
    ids=["drained", "denied"],
)
async def test_no_new_tunnels(system: str, refusal: tuple[int, int | None]) -> None:
    """A daemon that is drained sends callers elsewhere; one that accepts no tunnels says so."""
    async with house(system=system) as lns:
        with Peer(lns.address) as lac:
            kind, result, error = await lac.refused()
            assert (REFUSED, refusal) == (kind, (result, error or None))
            assert [] == lns.tunnels


async def test_drain_keeps_what_is_there() -> None:
    """Draining refuses the newcomer alone."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect(1)
            lns.daemon.policy.drain = True
            assert (REFUSED, 2, 7) == await lac.refused(tunnel_id=2)
            await call.alive()


async def test_refusals_have_a_rate_limit(monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock) -> None:
    """Not more refusals than the bucket holds; it fills again."""
    monkeypatch.setattr(endpoint, "REFUSALS", 3.0)
    async with house("") as lns:
        with Peer(lns.address) as lac:
            for tunnel_id in range(1, 11):
                await lac.say(sccrq(assigned_tunnel_id=tunnel_id))
            assert [1, 2, 3] == [heard.header.tunnel_id for heard in await lac.rest()]
            assert 10 == lns.counter("tunnels_refused")
            mock_clock.jump(0.5)
            await lac.say(sccrq(assigned_tunnel_id=11))
            await lac.say(sccrq(assigned_tunnel_id=12))
            assert [11] == [heard.header.tunnel_id for heard in await lac.rest()]


async def test_no_refusal_without_an_id_to_send_it_to() -> None:
    """A request that does not say where to answer cannot be refused, and is not served."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            await lac.throw(build_control(0, 0, 0, 0, encode(sccrq())[:8]))
            assert [] == await lac.rest()
            assert [] == lns.tunnels


# --- half open ----------------------------------------------------------------------------------------------------------------


async def test_the_oldest_half_open_goes() -> None:
    """At the limit of all half-open tunnels the newcomer is served; who is established is not touched."""
    async with house(system="max_half_open = 2") as lns:
        with ExitStack() as stack:
            lacs = [stack.enter_context(Peer(lns.address, f"127.0.0.{n}")) for n in range(1, 6)]
            settled = await lacs[0].connect()
            calls = [await lac.call() for lac in lacs[1:]]
            assert [settled.theirs, calls[2].theirs, calls[3].theirs] == list(lns.daemon.registry.by_id)
            assert 2 == lns.daemon.registry.half_open
            await calls[3].establish()
            await settled.alive()
            assert 2 == established(lns)
            assert 1 == lns.daemon.registry.half_open


async def test_a_source_displaces_only_its_own() -> None:
    """At the limit of one source its own oldest goes, whatever else is half open."""
    async with house(system="max_half_open_per_source = 2") as lns:
        with Peer(lns.address, "127.0.0.2") as quiet, Peer(lns.address) as greedy:
            waiting = await quiet.call()
            settled = await greedy.connect(1)
            calls = [await greedy.call(tunnel_id) for tunnel_id in (2, 3, 4)]
            there = [waiting.theirs, settled.theirs, calls[1].theirs, calls[2].theirs]
            assert there == list(lns.daemon.registry.by_id)
            assert [1, 2] == [lns.daemon.registry.half_open_from(f"127.0.0.{n}") for n in (2, 1)]
            for call in (waiting, calls[1], calls[2]):
                await call.establish()
            assert 0 == lns.daemon.registry.half_open
            assert 4 == established(lns)


# --- copies and restarts ------------------------------------------------------------------------------------------------------


async def test_copies_make_no_second_tunnel() -> None:
    """However often an SCCRQ comes, it is one tunnel, and every copy is acknowledged."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.call()
            for _ in range(5):
                await call.ask()
            assert {(None, 1)} == {(heard.type, heard.header.nr) for heard in await lac.rest()}
            assert call.theirs == lns.the_tunnel().core.local_id
            await call.establish()
            assert 1 == established(lns)


async def test_a_second_late_copy_is_a_restart() -> None:
    """One copy may have been under way when the tunnel came up; a second is a caller that began anew and drew the same id."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            await call.ask()
            assert [(None, call.theirs)] == [(heard.type, call.theirs) for heard in await lac.rest()]
            assert 1 == len(lns.tunnels)
            await call.ask()
            again = await lac.rest()
            assert {MessageType.SCCRP, MessageType.HELLO} == {heard.type for heard in again}
            assert 2 == len(lns.tunnels)
            assert State.WAIT_CTL_CONN is lns.tunnels[1].core.state


async def test_a_copy_after_a_cycle_is_a_restart(mock_clock: MockClock) -> None:
    """No retransmission is under way for longer than a cycle."""
    async with house("[profile.tunnel.default]\nhello_timeout = 0\n[peer.default]\n") as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            mock_clock.jump(CYCLE + 1)
            await call.ask()
            assert MessageType.SCCRP in {heard.type for heard in await lac.rest()}
            assert 2 == len(lns.tunnels)


async def test_a_restart_on_the_same_port() -> None:
    """A caller that comes back with another id is served at once, beside its old tunnel."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            old = await lac.connect(1)
            new = await lac.connect(2)
            assert {old.theirs, new.theirs} == set(lns.daemon.registry.by_id)
            await new.alive()
            await old.alive()


# --- packets to tunnel 0 ------------------------------------------------------------------------------------------------------


async def test_a_caller_that_gave_up_before_it_knew_our_id() -> None:
    """Its StopCCN to tunnel 0 ends the tunnel and is acknowledged, and so is a copy of it while the tunnel lingers (RFC 2661 4.4.3)."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            await lac.call(5)
            for _ in range(2):
                await lac.say(stopccn(tunnel_id=5), 0, 1, 0)
                heard = await lac.hear(5)
                assert (None, 2) == (heard.type, heard.header.nr)
            assert [] == lns.tunnels
            assert 1 == len(lns.daemon.lingering)


async def test_a_stop_of_nobody_is_not_answered() -> None:
    """A StopCCN to tunnel 0 from a stranger, or for a tunnel that is up: neither changes anything."""
    async with house() as lns:
        with Peer(lns.address) as lac, Peer(lns.address, "127.0.0.2") as stranger:
            call = await lac.connect(5)
            await stranger.say(stopccn(tunnel_id=5), 0, 1, 0)
            await lac.say(stopccn(tunnel_id=5), 0, 2, 1)
            assert [] == await stranger.rest()
            assert [] == await lac.rest()
            assert 2 == lns.counter("no_tunnel")
            await call.alive()


@pytest.mark.parametrize("ns", [0, 1])
async def test_other_messages_to_tunnel_0_are_nobodys(ns: int) -> None:
    """Only an SCCRQ, and only as the first message, opens a tunnel."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            await lac.say(hello() if ns == 0 else sccrq(), 0, ns, 0)
            assert [] == await lac.rest()
            assert [] == lns.tunnels
            assert 1 == lns.counter("no_tunnel")


async def test_the_quirk_of_tunnel_id_0() -> None:
    """A peer known to name tunnel 0 in every packet gets along with us to the end (D-Link DIR-300)."""
    async with house('[profile.tunnel.default]\nquirks = ["zero-tunnel-id"]\n[peer.default]\n') as lns:
        with Peer(lns.address) as lac:
            call = await lac.call(9)
            tunnel_id, call.theirs = call.theirs, 0
            await call.establish()
            assert 1 == established(lns)
            await call.alive()
            await call.stop()
            assert tunnel_id not in lns.daemon.registry.by_id


async def test_without_the_quirk_tunnel_0_is_nobody() -> None:
    """The same packets of anybody else open and end nothing."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect(9)
            await call.say(hello(), tunnel_id=0)
            assert [] == await lac.rest()
            call.ns -= 1
            await call.alive()
