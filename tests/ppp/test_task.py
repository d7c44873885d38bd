"""PPP in this process: two ends on a cable of frames, each with a real TUN interface in a network namespace of its own."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import taps
from l2tpd.config.load import parse
from l2tpd.config.model import SessionSettings
from l2tpd.kernel.pppunit import Units
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.kernel.worker import Worker
from l2tpd.ppp import authorities
from l2tpd.ppp.describe import describe
from l2tpd.ppp.leases import Leases
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.task import Builtin
from l2tpd.ppp.tun import TunCarrier
from l2tpd.session.call import Call, Kind
from l2tpd.supervise import crashes
from l2tpd.wire.numbers import CallResult
from pppcable import Cable, until

pytestmark = pytest.mark.skipif(bool(taps.why_not()), reason=f"PPP IN THIS PROCESS IS NOT TESTED: {taps.why_not()}")

LNS = """
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "subscribers"
auth = "{auth}"
dns = ["9.9.9.9"]
lcp_echo_interval = {echo}
lcp_echo_failure = 2
[pool.subscribers]
range = "10.9.0.2-10.9.0.3"
"""
PROXY = LNS.format(auth="none", echo=0).replace("auth =", "proxy_arp = true\nauth =")
DEFAULT = "[profile.ppp.default]\ndefault_route = true\n"


@attrs.define(eq=False)
class End:
    """One side: its call, its cable, what it logged, and how it ended."""

    call: Call
    leases: Leases
    engine: Builtin
    cable: Cable
    lines: list[str]
    ending: tuple[int, str] | None = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    async def run(self, plane: UserPlane) -> None:
        with self.scope:
            self.ending = await self.engine.run(1, self.call, TunCarrier(self.cable, plane))
            if self.cable.other is not None:
                return


def end(config: str, kind: Kind, **settings: Any) -> End:
    """Return a side that has not begun."""
    whole = parse([("l2tpd.toml", config)])
    leases, lines = Leases(lambda: whole), list[str]()
    engine = Builtin(
        leases, lambda: "lns", lambda _tunnel, _session, went, frame: lines.append(f"{went} {describe(frame)}")
    )
    return End(Call(2, kind, SessionSettings(**settings), 0.0, 1), leases, engine, Cable(), lines)


@asynccontextmanager
async def both(lns: End, client: End, *, apart: bool = False) -> AsyncIterator[UserPlane]:
    """Run both sides on one cable, their interfaces in one namespace, or those of the client in another."""
    lns.cable.other, client.cable.other = client.cable, lns.cable
    with ExitStack() as stack, taps.namespace():
        with taps.namespace() if apart else nullcontext():
            theirs = UserPlane(Worker("the client's interfaces"))
        stack.callback(theirs.close)
        plane = UserPlane(Worker("interfaces"))
        stack.callback(plane.close)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lns.engine.clock.serve)
            nursery.start_soon(client.engine.clock.serve)
            nursery.start_soon(lns.run, plane)
            nursery.start_soon(client.run, theirs)
            yield plane
            nursery.cancel_scope.cancel()


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have alice in the secrets files, with an address of her own."""
    path = tmp_path / "secrets"
    path.write_text("alice * wonder 10.9.0.77\nbob lns builder\n")
    monkeypatch.setattr(authorities, "SECRETS", dict.fromkeys((Auth.PAP, Auth.CHAP, Auth.MSCHAPV2), path))


def names() -> list[str]:
    return [line.split(":")[1].strip() for line in taps.ip("-o", "link", "show").splitlines()]


def pair(auth: str = "none", echo: int = 0, **client: Any) -> tuple[End, End]:
    lns = end(LNS.format(auth=auth, echo=echo), Kind.LNS_INCOMING, interface_name="sub%d")
    return lns, end("", Kind.LAC_INCOMING, interface_name="isp", **client)


async def test_addresses_are_assigned_and_packets_cross() -> None:
    """From the pool, on interfaces of the names that were asked for; a packet that goes in here comes out there."""
    lns, client = pair()
    async with both(lns, client):
        await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
        assert ("10.9.0.1", "10.9.0.2", "sub0") == (lns.call.ppp_local, lns.call.ppp_remote, lns.call.interface)
        assert ("10.9.0.2", "10.9.0.1", "isp") == (client.call.ppp_local, client.call.ppp_remote, client.call.interface)
        assert 1 == lns.leases.fill("subscribers").used
        assert "10.9.0.2 peer 10.9.0.1" in taps.ip("address", "show", "dev", "isp")
        assert "mtu 1400" in taps.ip("link", "show", "dev", "isp")
        before = rx("sub0")
        # Both addresses are in this namespace: only a packet that is forced out goes across.
        taps.ip("route", "add", "10.50.0.0/24", "dev", "isp")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(3):
                sock.sendto(b"across", ("10.50.0.1", 9))
            await until(lambda: rx("sub0") >= before + 3)
        client.scope.cancel()
        await until(lambda: lns.ending)
        assert {"sub0", "isp"}.isdisjoint(names())
        assert 0 == lns.leases.fill("subscribers").used
    assert lns.ending is not None
    assert (CallResult.LOST_CARRIER, "the session ends") == lns.ending


def rx(interface: str) -> int:
    """Return how many packets an interface has received."""
    return int(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/net/dev").read_text().split(f"{interface}:")[1].split()[1])


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("auth", ["pap", "chap", "mschapv2"])
async def test_users_are_looked_up(auth: str) -> None:
    """Alice proves who she is, in each of the ways, and gets her own address."""
    lns, client = pair(auth, user="alice", password="wonder")
    async with both(lns, client):
        await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
        assert "10.9.0.77" == lns.call.ppp_remote == client.call.ppp_local


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("auth", "user", "password"),
    [*itertools.product(["pap", "chap", "mschapv2"], ["alice"], ["wrong"]), ("chap", "nobody", "wonder")],
)
async def test_who_cannot_prove_it_stays_outside(auth: str, user: str, password: str) -> None:
    """Both sides are told, nothing is given, and the call ends for administrative reasons (RFC 2661 4.4.2)."""
    lns, client = pair(auth, user=user, password=password)
    async with both(lns, client):
        await until(lambda: lns.ending and client.ending)
        assert 0 == lns.leases.fill("subscribers").used
        assert ["lo"] == names()
    assert lns.ending is not None
    assert CallResult.ADMIN == lns.ending[0]


async def test_a_secrets_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody comes in, and the daemon lives."""
    monkeypatch.setattr(authorities, "SECRETS", {Auth.CHAP: tmp_path / "missing"})
    lns, client = pair("chap", user="alice", password="wonder")
    async with both(lns, client):
        await until(lambda: lns.ending)
    assert lns.ending is not None
    assert CallResult.ADMIN == lns.ending[0]


async def test_a_peer_that_falls_silent() -> None:
    """Echo requests without an answer end the link (RFC 1661 5.8)."""
    lns, client = pair(echo=1)
    async with both(lns, client):
        await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
        client.cable.cut = True
        await until(lambda: lns.ending)
    assert lns.ending is not None
    assert CallResult.LOST_CARRIER == lns.ending[0]


async def test_an_interface_that_is_deleted() -> None:
    """The link ends politely, and so does its session."""
    lns, client = pair()
    async with both(lns, client):
        await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
        taps.ip("link", "del", "isp")
        await until(lambda: lns.ending and client.ending)
    assert client.ending is not None
    assert "the interface isp was deleted" in client.ending[1]


async def test_a_name_that_is_taken() -> None:
    """The session ends with the reason; the interface of somebody else stays."""
    lns, client = pair()
    with_it = both(lns, client)
    async with with_it:
        await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
        again = end("", Kind.LAC_INCOMING, interface_name="isp")
        other = end(LNS.format(auth="none", echo=0), Kind.LNS_INCOMING, interface_name="sub%d")
        again.cable.other, other.cable.other = other.cable, again.cable
        plane = UserPlane(Worker("more interfaces"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other.run, plane)
            await again.run(plane)
            nursery.cancel_scope.cancel()
        plane.close()
        assert "isp" in names()
    assert again.ending is not None
    assert (CallResult.NO_FACILITIES_TEMPORARY, True) == (
        again.ending[0],
        "an interface `isp` exists" in again.ending[1],
    )


async def test_proxy_arp() -> None:
    """The LNS answers for its client where the client's address belongs, while the session lasts."""
    lns = end(PROXY, Kind.LNS_INCOMING, interface_name="sub%d")
    client = end("", Kind.LAC_INCOMING)
    units = lns.engine.surroundings = Units()
    try:
        # A namespace that has the client's address itself would not look for it on any Ethernet.
        async with both(lns, client, apart=True):
            taps.ip("link", "add", "lan", "type", "veth", "peer", "name", "port")
            taps.ip("address", "add", "10.9.0.250/24", "dev", "lan")
            for name in ("lan", "port"):
                taps.ip("link", "set", name, "up")
            await until(lambda: "10.9.0.2 dev lan" in taps.ip("neighbour", "show", "proxy"))
            client.scope.cancel()
            await until(lambda: lns.ending)
            assert "" == taps.ip("neighbour", "show", "proxy")
    finally:
        units.close()


async def test_a_default_route() -> None:
    """It goes through the client's interface, while the session lasts."""
    lns, _ = pair()
    client = end(DEFAULT, Kind.LAC_INCOMING, interface_name="isp")
    units = client.engine.surroundings = Units()
    try:
        async with both(lns, client):
            await until(lambda: "default dev isp" in taps.ip("route"))
            client.scope.cancel()
            await until(lambda: lns.ending)
            assert "default" not in taps.ip("route")
    finally:
        units.close()


async def test_routes_that_cannot_be() -> None:
    """The session is up all the same, and the default route of somebody else stays."""
    lns = end(PROXY, Kind.LNS_INCOMING, interface_name="sub%d")
    client = end(DEFAULT, Kind.LAC_INCOMING, interface_name="isp")
    units = lns.engine.surroundings = client.engine.surroundings = Units()
    try:
        async with both(lns, client):
            taps.ip("route", "add", "default", "dev", "lo")
            await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
            await until(lambda: {"sub0", "isp"} <= set(names()))
            assert "default dev lo" in taps.ip("route")
            assert "" == taps.ip("neighbour", "show", "proxy")
    finally:
        units.close()


async def test_frames_that_make_no_sense_do_nothing() -> None:
    """Whatever the peer sends, the link goes on."""
    lns, client = pair()
    async with both(lns, client):
        await until(lambda: lns.call.ppp_remote and client.call.ppp_remote)
        for junk in (b"", b"\xff", b"\xff\x03", b"\xff\x03\xc0\x21", b"\xc0\x21\x01\x01\xff\xff", bytes(3000)):
            lns.cable.hear(junk)
        await trio.sleep(0.1)
        assert lns.ending is None
        assert "10.9.0.2" == lns.call.ppp_remote


async def test_a_bug_in_taking_a_frame() -> None:
    """The session ends with it, and it is counted; whoever brought the frame goes on."""

    def broken(_tunnel: int, _session: int, went: str, _frame: bytes) -> None:
        if went == "received":
            raise ZeroDivisionError

    lns, client = pair()
    lns.engine = Builtin(lns.leases, lambda: "lns", broken)
    before = crashes["link"]
    async with both(lns, client):
        await until(lambda: lns.ending)
    assert lns.ending is not None
    assert "internal error" == lns.ending[1]
    assert before < crashes["link"]


async def test_nothing_is_due_after_the_end() -> None:
    """Of a session that is over the clock of all sessions knows nothing any longer."""
    lns, client = pair(echo=60)
    async with both(lns, client):
        await until(lambda: lns.call.ppp_remote)
        assert len(lns.engine.clock._deadlines)
        lns.scope.cancel()
        await until(lambda: lns.scope.cancelled_caught)
        assert not len(lns.engine.clock._deadlines)


async def test_a_late_frame_gets_no_address() -> None:
    """Of a session that ends while its pool is empty nothing is taken when an address is free again, for nobody would give it back."""
    lns, client = pair()
    whole = parse([("l2tpd.toml", LNS.format(auth="none", echo=0) + "quarantine = 0\n")])
    lns.leases = Leases(lambda: whole)

    def hang_up(_tunnel: int, _session: int, went: str, frame: bytes) -> None:
        if went == "received" and "Configure-Ack" in describe(frame):  # with which LCP is Opened
            lns.scope.cancel()

    lns.engine = Builtin(lns.leases, lambda: "lns", hang_up)
    others = [Call(number, Kind.LNS_INCOMING, SessionSettings(), 0.0, 1) for number in (3, 4)]
    async with both(lns, client):
        with ExitStack() as held:
            for other in others:
                held.enter_context(lns.leases.lease(other, at_once=True))
            await until(lambda: lns.scope.cancelled_caught)
            assert 2 == lns.leases.fill("subscribers").used
        lns.cable.hear(b"\xff\x03\xc0\x21\x09\x01\0\x08\0\0\0\0")  # an Echo-Request
        assert 0 == lns.leases.fill("subscribers").used
