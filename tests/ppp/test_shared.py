"""One interface for all sessions of a profile: an LNS in one network namespace, its clients, in two others by turns."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from typing import NoReturn

import attrs
import pytest
import trio
import trio.testing

import taps
from l2tpd.config.load import parse
from l2tpd.config.model import SessionSettings
from l2tpd.errors import PlaneError
from l2tpd.kernel.ops import Link as Interface
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.kernel.worker import Worker
from l2tpd.ppp.leases import Leases
from l2tpd.ppp.numbers import Protocol
from l2tpd.ppp.shared import SharedCarrier, SharedTuns
from l2tpd.ppp.task import Builtin
from l2tpd.ppp.tun import TunCarrier
from l2tpd.session.call import Call, Kind
from l2tpd.supervise import crashes
from pppcable import Cable, until

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"SHARED INTERFACES ARE NOT TESTED: {taps.why_not()}")

LNS = """
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "subscribers"
shared_interface = true
[pool.subscribers]
range = "10.9.0.2-10.9.0.9"
quarantine = 0
"""
PORT = 9999


@attrs.define(eq=False)
class Line:
    """A session, from the client to the LNS."""

    lns: Call
    client: Call
    cable: Cable
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    ending: tuple[int, str] | None = None

    @property
    def up(self) -> bool:
        return bool(self.lns.ppp_remote and self.client.ppp_remote and self.client.interface)


class Home:
    """Where clients live: a network namespace, which is this thread's while it is made."""

    def __init__(self) -> None:
        """Have a plane there, sockets for later, an address behind the client, and the next client's."""
        for address in ("10.77.0.1", "10.9.0.3"):
            taps.ip("address", "add", f"{address}/32", "dev", "lo")
        self.plane = UserPlane(Worker("a client's interfaces"))
        self._spare = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]

    def bound(self, source: str, interface: str) -> trio.socket.SocketType:
        """Return a socket that sends from an address, through an interface."""
        sock = self._spare.pop()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sock.bind((source, PORT))
        return trio.socket.from_stdlib_socket(sock)

    def close(self) -> None:
        """Leave."""
        self.plane.close()
        for sock in self._spare:
            sock.close()


@attrs.define(eq=False)
class Stage:
    """The LNS, its namespace, which is that of the test, and the clients."""

    plane: UserPlane
    homes: list[Home]
    shared: SharedTuns
    nursery: trio.Nursery
    config: str = LNS
    leases: Leases = attrs.field(init=False)
    lines: list[Line] = attrs.field(factory=list)
    carriers: list[SharedCarrier] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.leases = Leases(lambda: parse([("l2tpd.toml", self.config)]))

    def dial(self, **ppp: int) -> Line:
        """Begin a session; the client's profile says `ppp`."""
        number, near, far = len(self.lines) + 1, Cable(), Cable()
        near.other, far.other = far, near
        settings = SessionSettings(interface_name="subs")
        line = Line(Call(number, Kind.LNS_INCOMING, settings, 0.0, 1), _client(number), near)
        said = "[profile.ppp.default]\n" + "".join(f"{key} = {value}\n" for key, value in ppp.items())
        whole = parse([("l2tpd.toml", said)])
        self.lines.append(line)
        ours, theirs = Builtin(self.leases, str, _mute), Builtin(Leases(lambda: whole), str, _mute)
        for engine in (ours, theirs):
            self.nursery.start_soon(engine.clock.serve)
        self.nursery.start_soon(self._serve, line, ours)
        self.nursery.start_soon(self._call, line, theirs, far)
        return line

    async def connect(self, **ppp: int) -> Line:
        line = self.dial(**ppp)
        await until(lambda: line.up)
        return line

    async def _serve(self, line: Line, engine: Builtin) -> None:
        carrier = SharedCarrier(line.cable, self.shared, self.leases.shared(line.lns))
        self.carriers.append(carrier)
        with line.scope:
            line.ending = await engine.run(1, line.lns, carrier)

    async def _call(self, line: Line, engine: Builtin, cable: Cable) -> None:
        await engine.run(1, line.client, TunCarrier(cable, self.home(line).plane))

    def home(self, line: Line) -> Home:
        return self.homes[(line.client.local_id - 1) % len(self.homes)]

    def socket(self, line: Line, source: str) -> trio.socket.SocketType:
        """Return a socket of a client that sends from an address through the session."""
        return self.home(line).bound(source, line.client.interface)


def _client(number: int) -> Call:
    return Call(number, Kind.LAC_INCOMING, SessionSettings(interface_name=f"isp{number}"), 0.0, 1)


def _mute(_tunnel: int, _session: int, _went: str, _frame: bytes) -> None:
    """Log nothing."""


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Open all namespaces."""
    with ExitStack() as stack, taps.namespace():
        homes: list[Home] = []
        for _ in range(2):
            with taps.namespace():
                homes.append(Home())
            stack.callback(homes[-1].close)
        plane = UserPlane(Worker("interfaces"))
        stack.callback(plane.close)
        shared = SharedTuns(lambda: plane)
        async with trio.open_nursery() as services:
            await services.start(shared.serve)
            async with trio.open_nursery() as nursery:
                yield Stage(plane, homes, shared, nursery)
                nursery.cancel_scope.cancel()
            services.cancel_scope.cancel()


@asynccontextmanager
async def echo() -> AsyncIterator[list[str]]:
    """Answer datagrams to the LNS, and note where they come from."""
    seen: list[str] = []
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        await sock.bind(("10.9.0.1", PORT))

        async def serve() -> None:
            while True:
                data, name = await sock.recvfrom(100)
                seen.append(name[0])
                await sock.sendto(data, name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield seen
            nursery.cancel_scope.cancel()


def interfaces() -> str:
    return taps.ip("-brief", "address", "show")


def test_who_shares() -> None:
    """Sessions of a profile that says so, as LNS."""
    alone = parse([("l2tpd.toml", LNS.replace("shared_interface = true", ""))])
    shared = parse([("l2tpd.toml", LNS)])
    lns, client = (Call(1, kind, SessionSettings(), 0.0, 1) for kind in (Kind.LNS_INCOMING, Kind.LAC_INCOMING))
    assert ["default", "", ""] == [
        Leases(lambda: shared).shared(lns),
        Leases(lambda: shared).shared(client),
        Leases(lambda: alone).shared(lns),
    ]


async def test_subscribers_share_an_interface() -> None:
    """Each has a route to it, and gets what is sent to its address: ours answers both of them."""
    async with stage() as scene:
        first, second = await scene.connect(), await scene.connect()
        assert ("subs", "subs") == (first.lns.interface, second.lns.interface)
        assert "10.9.0.1/32" in interfaces()
        routes = taps.ip("route", "show", "dev", "subs")
        assert ("10.9.0.2", "10.9.0.3") == (first.lns.ppp_remote, second.lns.ppp_remote)
        assert all(address in routes for address in ("10.9.0.2", "10.9.0.3"))
        async with echo() as seen:
            for line, text in ((first, b"from the first"), (second, b"from the second")):
                with scene.socket(line, line.lns.ppp_remote) as sock, trio.fail_after(10):
                    await sock.sendto(text, ("10.9.0.1", PORT))
                    assert text == await sock.recv(100)
            assert ["10.9.0.2", "10.9.0.3"] == seen
        pinging = Worker("ping")  # a thread of trio's may have been born in another namespace
        for line in (first, second):
            await pinging.run(partial(taps.ping, line.lns.ppp_remote))
        pinging.close()


async def test_nobody_sends_from_a_neighbours_address() -> None:
    """Such packets are dropped and counted, and the neighbour is as well off as before."""
    async with stage() as scene:
        first, second = await scene.connect(), await scene.connect()
        async with echo() as seen:
            with scene.socket(first, second.lns.ppp_remote) as thief:
                await thief.sendto(b"I am the second", ("10.9.0.1", PORT))
                await until(lambda: first.cable.refused)
            with scene.socket(second, second.lns.ppp_remote) as sock, trio.fail_after(10):
                await sock.sendto(b"it is me", ("10.9.0.1", PORT))
                assert b"it is me" == await sock.recv(100)
            assert ["10.9.0.3"] == seen
        assert (1, 0) == (first.cable.refused, second.cable.refused)


def _all_up(lines: list[Line]) -> bool:
    return all(line.up for line in lines)


async def test_a_network_behind_a_subscriber() -> None:
    """It is routed there and may send, for as long as the subscriber is there."""
    async with stage() as scene:
        line = await scene.connect()
        carrier = scene.carriers[0]
        await carrier.route("10.77.0.0/24")
        assert "10.77.0.0/24" in taps.ip("route", "show", "dev", "subs")
        async with echo() as seen:
            with scene.socket(line, "10.77.0.1") as sock, trio.fail_after(10):
                await sock.sendto(b"from behind", ("10.9.0.1", PORT))
                assert b"from behind" == await sock.recv(100)
            assert ["10.77.0.1"] == seen
        line.scope.cancel()
        await until(lambda: "10.77.0.0/24" not in taps.ip("route"))


async def test_the_interface_goes_with_the_last_one() -> None:
    """Routes go one by one; and whoever comes afterwards gets an interface again."""
    async with stage() as scene:
        first, second = await scene.connect(), await scene.connect()
        first.scope.cancel()
        await until(lambda: "10.9.0.2" not in taps.ip("route"))
        assert "10.9.0.3" in taps.ip("route")
        second.scope.cancel()
        await until(lambda: "subs" not in interfaces())
        third = await scene.connect()
        assert f"{third.lns.ppp_remote} scope link" in " ".join(taps.ip("route", "show", "dev", "subs").split())


async def test_the_last_one_leaves_before_one_with_many_networks() -> None:
    """Whose routes are still being taken back then, one by one, while the interface goes."""
    async with stage() as scene:
        many, one = await scene.connect(), await scene.connect()
        for number in range(8):
            await scene.carriers[0].route(f"10.77.{number}.0/24")
        for line in (many, one):
            line.scope.cancel()
        await until(lambda: all(line.scope.cancelled_caught for line in (many, one)))
        assert "subs" not in interfaces()


@pytest.mark.parametrize("goes", [True, False])
async def test_a_route_that_is_somebody_elses(goes: bool) -> None:
    """It is waited for in case its interface is on its way out; once the session is over, nothing of it is left in either case."""
    async with stage() as scene:
        taps.ip("link", "add", "former", "type", "veth", "peer", "name", "peer")
        taps.ip("link", "set", "former", "up")
        taps.ip("route", "add", "10.9.0.2/32", "dev", "former", "scope", "link")
        line = scene.dial()
        await until(lambda: "subs" in interfaces())
        if goes:
            taps.ip("link", "delete", "former")
            await until(lambda: line.up and "10.9.0.2" in taps.ip("route", "show", "dev", "subs"))
            line.scope.cancel()
        else:
            await until(lambda: line.ending)
        await until(lambda: "subs" not in interfaces())


async def test_many_come_and_go_at_once() -> None:
    """Nobody is left without a place, and nothing stays behind, also where the last leaves while the next one comes."""
    async with stage() as scene:
        for _turn in range(3):
            lines = [scene.dial() for _ in range(4)]
            await until(partial(_all_up, lines))
            assert 1 == interfaces().count("subs")
            for line in lines:
                line.scope.cancel()
        await until(lambda: "subs" not in interfaces())


async def test_an_interface_that_is_deleted_ends_all_its_sessions() -> None:
    """Each with the reason; the next one makes another interface."""
    async with stage() as scene:
        lines = [await scene.connect(), await scene.connect()]
        taps.ip("link", "del", "subs")
        await until(lambda: all(line.ending for line in lines))
        assert ["the interface subs was deleted"] * 2 == [line.ending[1] for line in lines if line.ending]
        await scene.connect()
        assert "subs" in interfaces()


@pytest.mark.parametrize("method", ["forward", "gone"])
async def test_a_bug_of_one_session_is_no_others(method: str) -> None:
    """Of packets to it, and where it is to hear that the interface is gone: the others have theirs, and hear it."""

    class Broken(SharedCarrier):
        __slots__ = ()

        def __getattribute__(self, name: str) -> object:
            if name == method:
                raise ZeroDivisionError
            return super().__getattribute__(name)

    async with stage() as scene:
        ill, well = await scene.connect(), await scene.connect()
        before, ended = crashes["link"], [well, *([ill] if method == "forward" else ())]
        scene.carriers[0].__class__ = Broken
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.sendto(b"to the first", (ill.lns.ppp_remote, PORT))
        async with echo() as seen:
            with scene.socket(well, well.lns.ppp_remote) as sock, trio.fail_after(10):
                await sock.sendto(b"it is me", ("10.9.0.1", PORT))
                assert b"it is me" == await sock.recv(100)
            assert [well.lns.ppp_remote] == seen
        taps.ip("link", "del", "subs")
        await until(lambda: all(line.ending for line in ended))
        assert before + 1 == crashes["link"]
        assert well.ending is not None
        assert "the interface subs was deleted" == well.ending[1]


async def test_whoever_is_cancelled_while_leaving_leaves_no_route() -> None:
    """What was claimed is forgotten as soon as leaving begins: nobody could take it back later."""
    async with stage() as on:
        lines = [await on.connect() for _ in range(2)]
        gone, stays = (line.lns.ppp_remote for line in lines)
        with trio.CancelScope() as scope:
            scope.cancel()
            await on.carriers[0].close()
        routes = taps.ip("route", "show", "dev", "subs")
        assert (False, True) == (f"{gone} " in routes, f"{stays} " in routes)


async def test_each_takes_packets_of_its_own_size() -> None:
    """The interface is for the largest, and the routes say what the others take."""
    async with stage() as scene:
        small, large = await scene.connect(mru=1000), await scene.connect()
        routes = taps.ip("route", "show", "dev", "subs").splitlines()
        assert [True, False] == ["mtu 1000" in line for line in routes]
        assert "mtu 1400" in taps.ip("link", "show", "dev", "subs")
        assert (small.lns.ppp_remote, large.lns.ppp_remote) == tuple(line.split()[0] for line in routes)


async def test_a_reload_changes_our_address() -> None:
    """Who is there keeps the old one, and who comes has the new one, on the same interface."""
    async with stage() as scene:
        await scene.connect()
        scene.config = LNS.replace("10.9.0.1", "10.9.0.254")
        later = await scene.connect()
        assert "10.9.0.254" == later.lns.ppp_local
        assert "10.9.0.1/32 10.9.0.254/32" in interfaces()


async def test_an_address_that_another_session_has() -> None:
    """It is refused to the second, whose place is given back."""
    async with stage() as scene:
        line = await scene.connect()
        other = SharedCarrier(Cable(), scene.shared, "default")
        wanted = Interface(name="subs", mtu=1400, address="10.9.0.1", peer_address=line.lns.ppp_remote)
        with pytest.raises(PlaneError, match="in use by another session"):
            await other.open(wanted, 1400, Protocol.IPV4)
        await other.close()
        assert line.lns.ppp_remote in taps.ip("route", "show", "dev", "subs")


async def test_what_a_shared_interface_cannot() -> None:
    """Carry anything before a protocol is up, and do with a data plane without interfaces."""
    async with stage() as scene:
        carrier = SharedCarrier(Cable(), scene.shared, "default")
        wanted = Interface(mtu=1400, address="fe80::1/64")
        with pytest.raises(PlaneError, match="no interface"):
            await carrier.extend(wanted, Protocol.IPV6)
        assert not carrier.deliver(b"\x45" + bytes(19))
        wanted = Interface(mtu=1400, address="10.9.0.1", peer_address="10.9.0.2")
        for plane, complaint in ((None, "makes no interfaces"), (scene.plane, "nobody reads")):
            lost = SharedCarrier(Cable(), SharedTuns(partial(_given, plane)), "default")
            with pytest.raises(PlaneError, match=complaint):
                await lost.open(wanted, 1400, Protocol.IPV4)
            await lost.finish()


class Refusing(UserPlane):
    """A plane that makes no interface, once it may say so."""

    def __init__(self) -> None:
        super().__init__(Worker("refuses"))
        self.attempts, self.may_answer = 0, trio.Event()

    async def open_tun(self, interface: Interface) -> NoReturn:
        self.attempts += 1
        await self.may_answer.wait()
        raise PlaneError(errno.EEXIST, f"an interface `{interface.name}` exists already")


async def test_all_who_wait_for_an_interface_hear_that_there_is_none() -> None:
    """An attempt may take seconds: they do not try in their turn. Who comes later does."""
    with closing(Refusing()) as plane:
        shared, refused = SharedTuns(lambda: plane), list[int]()

        async def come() -> None:
            carrier = SharedCarrier(Cable(), shared, "default")
            with pytest.raises(PlaneError, match="`subs` exists already") as told:
                await carrier.open(Interface(name="subs", mtu=1400, address="10.9.0.1"), 1400, Protocol.IPV4)
            refused.append(told.value.errno)
            await carrier.finish()

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(come)
            await trio.testing.wait_all_tasks_blocked()
            plane.may_answer.set()
        assert (1, [errno.EEXIST] * 5) == (plane.attempts, refused)
        await come()
        assert 2 == plane.attempts


def _given(plane: UserPlane | None) -> UserPlane | None:
    return plane
