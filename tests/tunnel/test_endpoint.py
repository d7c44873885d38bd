"""What arrives at the listening sockets: who gets a tunnel, who is refused, and what junk costs."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from typing import Any

import pytest
from trio.testing import MockClock

from dialogue import hello, icrq, sccrq, stopccn, unknown
from house import Caller, House, Peer, established, house, settle, until
from l2tpd.config.model import Address
from l2tpd.tunnel import endpoint, port
from l2tpd.tunnel.actions import PACE
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
            assert (MessageType.SCCRP, 77, 0, 1) == (
                heard.type,
                heard.header.tunnel_id,
                heard.header.ns,
                heard.header.nr,
            )
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
    config: str, said: dict[str, Any], refusal: tuple[int, int | None]
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
            assert [None] == [heard.type for heard in await lac.rest()]
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


# --- many tunnels -------------------------------------------------------------------------------------------------------------


async def test_tunnels_that_share_an_address_and_port() -> None:
    """Whatever socket the kernel picks, a packet reaches the tunnel that it names, to the last acknowledgement."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            calls = [await lac.connect(tunnel_id) for tunnel_id in range(1, 9)]
            for call in calls + calls[::-1]:
                await call.alive()
            for call in calls:
                await call.say(stopccn(tunnel_id=call.tunnel_id))
            for call in calls:
                heard = await call.hear(None)
                assert call.ns == heard.header.nr
            assert [] == await lac.rest()
            assert [] == lns.tunnels
            assert 0 == lns.counter("no_tunnel")


async def test_we_end_tunnels_that_share_an_address_and_port(mock_clock: MockClock) -> None:
    """Every acknowledgement of our StopCCN arrives, though the sockets that could take it close one by one: nothing is repeated."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            calls = [await lac.connect(tunnel_id) for tunnel_id in range(1, 9)]
            for tunnel in lns.tunnels:
                tunnel.close(1, "enough")
            for call in calls:
                await call.hear(MessageType.STOPCCN)
                await call.acknowledge()
            await until(lambda: not lns.tunnels)
            mock_clock.jump(CYCLE)
            assert [] == await lac.rest()
            assert 0 == lns.daemon.crashes


async def test_a_burst_from_many_callers() -> None:
    """200 LACs after a power cut are all answered, each on its first request."""
    async with house() as lns:
        with ExitStack() as stack:
            lacs = [stack.enter_context(Peer(lns.address, f"127.1.{n // 20}.{n % 20 + 1}")) for n in range(200)]
            for lac in lacs:
                await lac.say(sccrq())
            ids = set()
            for lac in lacs:
                heard = await lac.hear()
                assert heard.said is not None
                assert MessageType.SCCRP == heard.type
                ids.add(heard.said[ASSIGNED_TUNNEL_ID])
            assert ids == set(lns.daemon.registry.by_id)
            assert 200 == len(ids)


async def test_what_a_new_socket_stole_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that reach a tunnel's socket before it is connected are served like all others."""
    async with house() as lns:
        with ExitStack() as stack:
            lacs = [stack.enter_context(Peer(lns.address)) for _ in range(17)]
            request = build_control(0, 0, 0, 0, encode(sccrq()))
            stolen: list[bytes] = []

            def slow(_: Listener, peer: Address, local: Address, *_ids: int) -> socket.socket:
                sock = port.bound(local, share=True)
                if not stolen:
                    for lac in lacs[1:]:
                        with socket.fromfd(lac.socket.fileno(), socket.AF_INET, socket.SOCK_DGRAM) as plain:
                            plain.sendto(request, lns.address)
                    stolen.append(sock.recv(100, socket.MSG_PEEK))  # raises when the kernel gave it nothing
                sock.connect(peer)
                return sock

            monkeypatch.setattr(Listener, "open_tunnel", slow)
            await lacs[0].throw(request)
            assert [MessageType.SCCRP] * 17 == [(await lac.hear()).type for lac in lacs]
            assert 17 == len(lns.tunnels)


# --- addresses ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listen", "called", "caller"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2", "127.0.0.1"),  # noqa: S104 - the wildcard is what is tested
        ("::1", "::1", "::1"),
        ("::", "::1", "::1"),
    ],
)
async def test_answers_leave_from_the_address_that_was_called(listen: str, called: str, caller: str) -> None:
    """SCCRP, refusal and late acknowledgement: a caller behind a firewall takes nothing from another address."""
    async with house("[peer.default]\nmax_tunnels = 1\n", listen=(listen,)) as lns:
        address = Address(called, lns.address.port)
        with Peer(address, caller) as lac:
            call = await lac.connect(1)
            assert address == call.source
            assert address == lns.the_tunnel().local
            await lac.say(sccrq(assigned_tunnel_id=2))
            assert address == (await lac.hear(2)).source
            await call.hear(MessageType.HELLO)
            await call.stop()
            await until(lambda: not lns.tunnels)
            await call.repeat(stopccn(tunnel_id=1))
            assert address == (await call.hear(None)).source


async def test_two_listeners() -> None:
    """Each answers from its own address."""
    async with house(listen=("127.0.0.1", "127.0.0.2")) as lns:
        for listener in lns.daemon.endpoint.listeners:
            with Peer(listener.address) as lac:
                assert listener.address == (await lac.connect()).source
        assert 2 == established(lns)


# --- attacks ------------------------------------------------------------------------------------------------------------------


async def test_forged_packets_change_nothing() -> None:
    """Ids and numbers may be guessed: what comes from another address or port is dropped without an answer."""
    async with house() as lns:
        with Peer(lns.address) as lac, Peer(lns.address, "127.0.0.9") as host, Peer(lns.address) as other_port:
            call = await lac.connect()
            for forger in (host, other_port):
                for said in (stopccn(tunnel_id=call.tunnel_id), hello(), icrq()):
                    await forger.say(said, call.theirs, call.ns, call.nr)
                await forger.throw(build_control(call.theirs, 0, call.ns, call.nr, b""))
                assert [] == await forger.rest()
            assert 8 == lns.counter("foreign")
            assert State.ESTABLISHED is lns.the_tunnel().core.state
            await call.alive()


async def test_junk_leaves_nothing_behind() -> None:
    """Ten thousand random datagrams, half of them with the first octets of a control packet: each is counted once, none is answered."""
    source = random.Random(1701)
    async with house() as lns:
        with Peer(lns.address) as lac:
            sent = 0
            for count in range(10_000):
                head = b"\xc8\x02" if count % 2 else b""
                await lac.throw(head + source.randbytes(source.randrange(64)))
                if count % 100 == 99:
                    sent += 100
                    await _dropped(lns, sent)
            assert [] == await lac.rest()
            assert [] == lns.tunnels
            assert 0 == len(lns.daemon.lingering) + lns.daemon.registry.half_open + lns.daemon.crashes
            await lac.connect()


async def _dropped(lns: House, count: int) -> None:
    names = ("malformed", "wrong_version", "no_tunnel", "data_dropped")
    await until(lambda: count == sum(lns.counter(name) for name in names))


async def test_a_request_of_unreasonable_size_is_dropped() -> None:
    """Reading it all would be work that anybody can order. One just below is served."""
    filler = RawAvp(mandatory=False, hidden=False, vendor=9, number=1, value=bytes(500))
    async with house() as lns:
        with Peer(lns.address) as lac:
            await lac.say(sccrq(*[filler] * 9))
            assert [] == await lac.rest()
            assert [] == lns.tunnels
            assert 1 == lns.counter("malformed")
            await lac.say(sccrq(*[filler] * 7))
            assert MessageType.SCCRP == (await lac.hear()).type


async def test_a_defect_is_refused_with_its_code() -> None:
    """An unknown mandatory AVP of a known peer: general error 8, and nothing is kept (RFC 2661 4.4.2)."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            await lac.say(sccrq(unknown(mandatory=True)))
            assert (REFUSED, 2, 8) == (await lac.hear()).refusal
            assert [] == lns.tunnels


async def test_a_bug_while_dispatching_costs_a_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener goes on reading."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            with monkeypatch.context() as patch:
                patch.setattr(lns.daemon.policy, "known", _bug)
                await lac.say(sccrq())
                await until(lambda: lns.daemon.crashes)
            assert [] == await lac.rest()
            await lac.connect()
            assert 1 == lns.daemon.crashes


def _bug(*_: object) -> None:
    raise ZeroDivisionError


async def test_when_sockets_run_out_the_newcomer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is established notices nothing."""

    def out_of_descriptors(*_: object) -> None:
        raise OSError(24, "Too many open files")

    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect(1)
            monkeypatch.setattr(Listener, "open_tunnel", out_of_descriptors)
            assert (REFUSED, 2, 4) == await lac.refused(tunnel_id=2)
            await call.alive()
            assert 1 == len(lns.tunnels)
            assert 0 == lns.daemon.registry.half_open


# --- after the end, and data --------------------------------------------------------------------------------------------------


async def test_copies_of_the_last_message_are_acknowledged_for_a_cycle(mock_clock: MockClock) -> None:
    """The peer whose acknowledgement was lost gets it again; after the cycle nobody remembers, and strangers never learn anything."""
    async with house() as lns:
        with Peer(lns.address) as lac, Peer(lns.address, "127.0.0.2") as stranger:
            call = await lac.connect()
            await call.stop()
            await until(lambda: not lns.tunnels)
            for _ in range(3):
                await call.repeat(stopccn())
                assert call.ns == (await call.hear(None)).header.nr
            await call.acknowledge()
            await stranger.say(stopccn(), call.theirs, call.ns - 1, call.nr)
            assert [] == await lac.rest() + await stranger.rest()
            mock_clock.jump(CYCLE)
            await call.repeat(stopccn())
            assert [] == await lac.rest()
            assert call.theirs not in lns.daemon.lingering


async def test_data_is_a_sign_of_life(mock_clock: MockClock) -> None:
    """HELLO is sent after a minute of silence, and a data packet of the peer is none (RFC 2661 5.5)."""
    async with house() as lns:
        with Peer(lns.address) as lac, Peer(lns.address, "127.0.0.2") as stranger:
            call = await lac.connect()
            mock_clock.jump(59)
            await lac.throw(build_data(DataHeader(call.theirs, 1), b"payload"))
            await settle()
            mock_clock.jump(59)
            assert [] == await lac.rest()
            await stranger.throw(build_data(DataHeader(call.theirs, 1), b"payload"))
            await settle()
            mock_clock.jump(2)
            assert [MessageType.HELLO] == [heard.type for heard in await lac.rest()]
            assert 2 == lns.counter("data_dropped")


async def test_a_peer_that_calls_again_while_its_last_tunnel_is_on_its_way_out_has_to_ask_twice() -> None:
    """It has ended that tunnel itself, so it is not at its limit: it is no more than early, and a refusal would end its attempt."""
    async with house("[peer.default]\nmax_tunnels = 1\n") as lns:
        with Peer(lns.address) as lac:
            first = await lac.connect()
            for number in range(1, 8 * PACE):
                await first.say(icrq(number))
                await first.hear(MessageType.ICRP)
            again = Caller(lac, 2, encode(sccrq(assigned_tunnel_id=2)))
            goodbye = build_control(first.theirs, 0, first.ns, first.nr, encode(stopccn(tunnel_id=1)))
            with socket.fromfd(lac.socket.fileno(), lac.socket.family, lac.socket.type) as at_once:
                at_once.sendto(goodbye, lns.address)
                at_once.sendto(build_control(0, 0, 0, 0, again.request), lns.address)
            await first.hear(None)
            await until(lambda: lns.counter("passed_over") + lns.counter("tunnels_refused"))
            assert lns.daemon.registry.sessions
            await until(lambda: not lns.tunnels)
            assert 0 == lns.counter("tunnels_refused")
            await again.ask()
            await again.answered()
            assert (REFUSED, 2, 4) == await lac.refused(tunnel_id=3)  # this one is too many
