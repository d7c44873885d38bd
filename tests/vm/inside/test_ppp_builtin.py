"""PPP of our own on the kernel's data plane: against xl2tpd with the real pppd from either end, and against ourselves."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from interop.daemon import Daemon, Row
from interop.netns import CABLE, Cable, Host
from interop.program import PATIENCE, polled
from l2tpd.config.model import Pseudowire
from l2tpd.kernel import pppox
from l2tpd.kernel.netlink import Netlink
from l2tpd.kernel.ops import CreateSession, CreateTunnel, Link
from l2tpd.kernel.pppunit import UnitCarrier, Units
from l2tpd.ppp.numbers import Protocol
from taken import Taken
from vm.inside import ppp, stage
from vm.inside.conftest import Start

AUTH = ("pap", "chap", "mschapv2")
REQUIRE = {"pap": "require-pap", "chap": "require-chap", "mschapv2": "require-mschap-v2"}
OCTETS = 4 << 20
SESSIONS = 200
SERVED = """\
[peer.default]
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "subscribers"
[pool.subscribers]
range = "10.9.0.0/23"
"""


@attrs.frozen(kw_only=True)
class Ends:
    """Two hosts with PPP between them: who of ours is the LNS, who the client, and what the client's address is."""

    cable: Cable
    lns: Daemon | None = None
    client: Daemon | None = None

    @property
    def ours(self) -> dict[Host, Daemon]:
        """Our daemons by the hosts that they run on."""
        both = {self.cable.us: self.lns, self.cable.them: self.client}
        return {host: daemon for host, daemon in both.items() if daemon is not None}


@asynccontextmanager
async def calls(cable: Cable, daemon: Start, folder: Path, lns: str, client: str) -> AsyncIterator[Ends]:
    """Run two of ours."""
    del folder
    with stage.secrets(cable.us):
        async with daemon(cable.us, lns) as near, daemon(cable.them, client) as far:
            yield Ends(cable=cable, lns=near, client=far)


def serving(cable: Cable, daemon: Start, folder: Path, auth: str) -> AbstractAsyncContextManager[Ends]:
    """Run our LNS for xl2tpd."""

    @asynccontextmanager
    async def ends() -> AsyncIterator[Ends]:
        with stage.secrets(cable.us):
            async with (
                daemon(cable.us, demanding(auth)) as lns,
                stage.xl2tpd_lac(cable.them, folder / "lac", cable.us.address),
            ):
                yield Ends(cable=cable, lns=lns)

    return ends()


def calling(cable: Cable, daemon: Start, folder: Path, auth: str) -> AbstractAsyncContextManager[Ends]:
    """Run our client for xl2tpd."""

    @asynccontextmanager
    async def ends() -> AsyncIterator[Ends]:
        options = stage.LNS_OPTIONS.replace("require-chap", REQUIRE[auth])
        async with stage.xl2tpd_lns(cable.us, folder / "lns", options), daemon(cable.them, ppp.client(cable)) as client:
            yield Ends(cable=cable, client=client)

    return ends()


def both(cable: Cable, daemon: Start, folder: Path, auth: str) -> AbstractAsyncContextManager[Ends]:
    """Run two of ours."""
    return calls(cable, daemon, folder, demanding(auth), ppp.client(cable))


def demanding(auth: str) -> str:
    """Return the configuration of our LNS, which wants callers to prove themselves in this way."""
    return ppp.LNS.replace('"chap"', f'"{auth}"')


@pytest.mark.parametrize("auth", AUTH)
@pytest.mark.parametrize("pair", [serving, calling, both])
async def test_packets_pass(
    cable: Cable, daemon: Start, tmp_path: Path, pair: type, auth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However callers prove who they are: names and addresses are as they should be, pings and TCP pass, no pppd of ours runs, and nothing is left."""
    if auth == "pap":  # the only one that xl2tpd has to be told
        pap = stage.LNS.replace("require chap = yes\nrefuse pap = yes", "require pap = yes\nrefuse chap = yes")
        monkeypatch.setattr(stage, "LNS", pap)
    async with pair(cable, daemon, tmp_path, auth) as ends:
        for host, ours in ends.ours.items():
            (session,) = await ppp.addressed(ours)
            assert [] == await ppp.pids(host, "pppd")
            near, far = session["ppp"]["local_address"], session["ppp"]["remote_address"]
            shown = await ppp.said(host, "ip", "address", "show", "dev", session["interface"])
            assert f"inet {near} peer {far}/32" in shown
            assert "mtu 1400" in shown
            assert ("ppp-hq" if ours is ends.client else "ppp0") == session["interface"]
            await stage.pings(host, far)
        await stage.pings(cable.them, "10.9.0.1", "-s", "1372", "-M", "do")
        for way in ((), ("--reverse",)):
            assert OCTETS // 2 < await stage.transfer(cable.us, cable.them, "10.9.0.1", OCTETS, *way)
    for host in (cable.us, cable.them):
        await ppp.nothing_left(host)


async def test_packets_as_large_as_ethernet_has_them(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """With an MTU of 1500 in both profiles: the packets of L2TP are larger than the cable takes, and the kernel cuts them."""
    lns, client = (
        text.replace("[profile.ppp.default]\n", "[profile.ppp.default]\nmtu = 1500\n")
        for text in (ppp.LNS, ppp.client(cable))
    )
    async with calls(cable, daemon, tmp_path, lns, client) as ends:
        for host, ours in ends.ours.items():
            (session,) = await ppp.addressed(ours)
            assert "mtu 1500" in await ppp.said(host, "ip", "address", "show", "dev", session["interface"])
        await stage.pings(cable.them, "10.9.0.1", "-s", "1472", "-M", "do")
        for way in ((), ("--reverse",)):
            assert OCTETS // 2 < await stage.transfer(cable.us, cable.them, "10.9.0.1", OCTETS, *way)


@pytest.mark.parametrize("wrong", [serving, both])
async def test_a_wrong_password(cable: Cable, daemon: Start, tmp_path: Path, wrong: type) -> None:
    """Nobody comes in: the log says who, and there never was an interface; the address goes back."""
    with stage.secrets(cable.us, "alice * another *\n"):
        async with daemon(cable.us, ppp.LNS) as lns:
            caller: AbstractAsyncContextManager[object] = daemon(cable.them, ppp.client_once(cable))
            if wrong is serving:
                options = stage.LAC_OPTIONS.replace("secret", "wrong")
                caller = xl2tpd(cable, tmp_path, options)
            async with caller:
                await lns.program.says("'alice' is refused")
                await lns.control.event("session", "deleted")
                assert "ppp" not in await ppp.said(cable.us, "ip", "-o", "link")
                assert [0] == [pool["used"] for pool in (await lns.control.call("pools.list"))["pools"]]


@asynccontextmanager
async def xl2tpd(cable: Cable, folder: Path, options: str) -> AsyncIterator[None]:
    """Call from the far host, which has secrets already if the near one does."""
    async with stage.xl2tpd_lac(cable.them, folder / "lac", cable.us.address, options):
        yield


async def test_version_3(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """PPP over L2TPv3."""
    client = ppp.client(cable).replace("[tunnel.hq]\n", '[tunnel.hq]\nversion = "l2tpv3"\n')
    async with calls(cable, daemon, tmp_path, ppp.LNS, client) as ends:
        for host, ours in ends.ours.items():
            (session,) = await ppp.addressed(ours)
            await stage.pings(host, session["ppp"]["remote_address"])


async def test_sides_hang_up(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """Whoever ends the session, the interfaces of both are gone; the next one has the same name."""
    async with calls(cable, daemon, tmp_path, ppp.LNS, ppp.client(cable)) as ends:
        for ours in (ends.lns, ends.client):
            assert ours is not None
            (session,) = await ppp.addressed(ours)
            reference = {"tunnel": f"@{session['tunnel_id']}", "session": f"@{session['id']}"}
            await ours.control.call("session.delete", **reference)
            await ours.control.event("session", "deleted", session_id=session["id"])
            if ours is ends.client:
                for host in ends.ours:
                    await no_interface(host)
            else:  # it is persistent: it comes again
                assert ends.client is not None
                (again,) = await ppp.addressed(ends.client)
                assert "ppp-hq" == again["interface"]


async def no_interface(host: Host) -> None:
    """Wait until a namespace has no PPP interface."""

    async def gone() -> bool | None:
        return "ppp" not in await ppp.said(host, "ip", "-o", "link") or None

    await polled(gone, lambda: "an interface is left")


@pytest.mark.parametrize(("deed", "text"), [(("delete", "ppp-hq"), "deleted"), (("set", "ppp-hq", "down"), "set down")])
async def test_somebody_else_touches_an_interface(
    cable: Cable, daemon: Start, tmp_path: Path, deed: tuple[str, ...], text: str
) -> None:
    """Behind our back: the session ends, says why, and leaves the tunnel alone."""
    async with calls(cable, daemon, tmp_path, ppp.LNS, ppp.client(cable)) as ends:
        assert ends.client is not None
        (before,) = await ppp.addressed(ends.client)
        cable.them.call("ip", "link", *deed)
        event = await ends.client.control.event("session", "deleted")
        assert f"the interface ppp-hq was {text}" == event["message"]
        (after,) = await ppp.addressed(ends.client)
        assert before["tunnel_id"] == after["tunnel_id"]
        await stage.pings(cable.them, "10.9.0.1")


@pytest.mark.parametrize("pair", [serving, calling])
async def test_a_peer_falls_silent(cable: Cable, daemon: Start, tmp_path: Path, pair: type) -> None:
    """A pppd that does nothing any more is noticed by its missing answers to echo requests."""
    async with pair(cable, daemon, tmp_path, "chap") as ends:
        ((host, ours),) = ends.ours.items()
        await ppp.addressed(ours)
        theirs = await ppp.pids(cable.them if host is cable.us else cable.us, "pppd")
        ppp.kill(theirs, signal.SIGSTOP)
        event = await ours.control.event("session", "deleted")
        assert "Echo-Requests without an answer" in event["message"]
        ppp.kill(theirs, signal.SIGCONT)


async def test_a_name_is_taken(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """Of somebody else's interface: the session ends with the reason, and the interface stays."""
    cable.them.call("ip", "link", "add", "ppp-hq", "type", "dummy")
    async with calls(cable, daemon, tmp_path, ppp.LNS, ppp.client_once(cable)) as ends:
        assert ends.client is not None
        event = await ends.client.control.event("session", "deleted")
        assert "an interface `ppp-hq` exists already" == event["message"]
    assert "ppp-hq" in await ppp.said(cable.them, "ip", "-o", "link", "show", "type", "dummy")


async def test_routes(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """With `default_route` the client's packets go our way; with `proxy_arp` we answer for a caller on the Ethernet of its address; all of it ends."""
    cable.us.call("ip", "link", "add", "lan", "type", "veth", "peer", "name", "port")
    cable.us.call("ip", "address", "add", "10.9.0.250/24", "dev", "lan")
    for end in ("lan", "port"):
        cable.us.call("ip", "link", "set", end, "up")
    lns = ppp.LNS.replace("pppd_options", "proxy_arp = true\npppd_options")
    client = ppp.client_once(cable).replace("pppd_options", "default_route = true\npppd_options")
    async with calls(cable, daemon, tmp_path, lns, client) as ends:
        assert ends.client is not None
        (session,) = await ppp.addressed(ends.client)
        assert "default dev ppp-hq" in await ppp.said(cable.them, "ip", "route")
        assert "10.9.0.2 dev lan" in await ppp.said(cable.us, "ip", "neighbour", "show", "proxy")
        await stage.pings(cable.them, "10.9.0.250")
        reference = {"tunnel": f"@{session['tunnel_id']}", "session": f"@{session['id']}"}
        await ends.client.control.call("session.delete", **reference)
        await no_interface(cable.us)
        assert "" == await ppp.said(cable.us, "ip", "neighbour", "show", "proxy")
        assert "default" not in await ppp.said(cable.them, "ip", "route")


async def test_a_user_of_the_configuration(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """It has its own address and a route to what is behind it; pings keep it there, idleness ends it, and both are gone."""
    user = '[user.alice]\npassword = "secret"\naddress = "10.9.0.77"\nroutes = ["198.51.100.0/24"]\nidle_timeout = 3\n'
    lns = ppp.LNS.replace("pppd_options", 'authority = "users"\npppd_options') + user
    async with calls(cable, daemon, tmp_path, lns, ppp.client_once(cable)) as ends:
        assert ends.lns is not None
        (session,) = await ppp.addressed(ends.lns)
        assert ("alice", "10.9.0.77") == (session["ppp"]["user"], session["ppp"]["remote_address"])
        await polled(lambda: routed(cable.us, "198.51.100.0/24 dev ppp0"), lambda: "there is no route")
        cable.them.call("ip", "address", "add", "198.51.100.1/32", "dev", "ppp-hq")
        for _ in range(5):
            await stage.pings(cable.us, "198.51.100.1")
            await trio.sleep(1)
        assert ["up"] == [row["state"] for row in await ends.lns.sessions()]
        event = await ends.lns.control.event("session", "deleted")
        assert ("the user has been idle for too long", "alice", "10.9.0.77") == (
            event["message"],
            event["ppp_user"],
            event["ppp_remote"],
        )
        await no_interface(cable.us)
        assert "198.51.100.0" not in await ppp.said(cable.us, "ip", "route")


async def test_a_user_is_back_before_it_was_missed(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """Its machine was switched off: with `single_session` it takes its own place, with its address and what is behind it, and the old interface is gone."""
    user = '[user.alice]\npassword = "secret"\naddress = "10.9.0.77"\nroutes = ["198.51.100.0/24"]\n'
    keys = 'authority = "users"\nsingle_session = "replace"\npppd_options'
    lns = ppp.patient(ppp.LNS).replace("pppd_options", keys) + user
    with stage.secrets(cable.us):
        async with daemon(cable.us, lns) as ours:
            async with daemon(cable.them, ppp.client(cable)) as first:
                (old,) = await ppp.addressed(ours)
                await first.kill()
            async with daemon(cable.them, ppp.client(cable)):
                event = await ours.control.event("session", "deleted")
                assert ("its user has come anew", old["id"]) == (event["message"], event["session_id"])
                (new,) = await ppp.addressed(ours)
                assert ("10.9.0.77", "10.9.0.77") == tuple(row["ppp"]["remote_address"] for row in (old, new))
                await polled(lambda: routed(cable.us, "198.51.100.0/24 dev ppp"), lambda: "there is no route")
                assert 1 == (await ppp.said(cable.us, "ip", "-o", "address")).count("peer 10.9.0.77")
                await stage.pings(cable.us, "10.9.0.77")


async def routed(host: Host, line: str) -> bool | None:
    """Tell whether a namespace has a route."""
    return line in await ppp.said(host, "ip", "route") or None


async def test_sessions_that_end_at_any_moment(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """Cancelled at thirty moments of its life, a session leaves neither interface nor descriptor, on either side."""
    quick = ppp.client(cable).replace(
        "redial_delay = 0.2\nredial_delay_max = 1.0", "redial_delay = 0.01\nredial_delay_max = 0.01"
    )
    async with calls(cable, daemon, tmp_path, ppp.LNS, quick) as ends:
        assert ends.client is not None
        assert ends.lns is not None
        await ppp.addressed(ends.client)
        await stage.pings(cable.them, "10.9.0.1")  # so the other end has its interface too, and the sockets that stay
        before = [descriptors(ours) for ours in ends.ours.values()]
        for number in range(30):
            await trio.sleep(number * 0.01)
            await one_less(ends.lns)
        await ppp.addressed(ends.client)
        await ppp.addressed(ends.lns)

        async def the_same() -> bool | None:
            return before == [descriptors(ours) for ours in ends.ours.values()] or None

        await polled(
            the_same, lambda: f"{before} descriptors became {[descriptors(ours) for ours in ends.ours.values()]}"
        )
        for host in ends.ours:
            assert 1 == (await ppp.said(host, "ip", "-o", "link", "show", "type", "ppp")).count("\n")


def descriptors(ours: Daemon) -> int:
    """Return how many descriptors a daemon has open."""
    return len(list(Path(f"/proc/{ours.program.pid}/fd").iterdir()))


async def one_less(ours: Daemon) -> None:
    """End the session that there is, whatever its state, or comes; its caller calls again."""

    async def there() -> Row | None:
        return next(iter(await ours.sessions()), None)

    row = await polled(there, lambda: "no session comes")
    await ours.control.call("session.delete", tunnel=f"@{row['tunnel_id']}", session=f"@{row['id']}")
    await ours.control.event("session", "deleted", session_id=row["id"])


async def test_many_sessions_at_once(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """Two hundred sessions between two of ours, all at the same time: each has its interface and address, the first and the last carry pings."""
    more = "".join(f"[tunnel.hq.session.s{number}]\n" for number in range(SESSIONS))
    client = f'{ppp.QUICK}[tunnel.hq]\npeer = "{cable.us.address}"\n{more}'
    async with calls(cable, daemon, tmp_path, ppp.QUICK + SERVED, client) as ends:
        assert ends.lns is not None
        assert ends.client is not None
        await ends.client.program.says("tunnel up")
        began = time.monotonic()
        for ours in (ends.lns, ends.client):
            await all_up(ours)
        taken = time.monotonic() - began
        print(f"\n{SESSIONS} sessions of two daemons in {taken:.2f} s from the tunnel: {SESSIONS / taken:.0f} a second")
        for host in ends.ours:
            assert SESSIONS == (await ppp.said(host, "ip", "-o", "link", "show", "type", "ppp")).count("\n")
        addresses = sorted(
            line.split()[3]
            for line in (await ppp.said(cable.them, "ip", "-o", "-4", "address")).splitlines()
            if "ppp" in line
        )
        assert SESSIONS == len(set(addresses))
        for address in (addresses[0], addresses[-1]):
            await stage.pings(cable.us, address)
        began = time.monotonic()
        await ends.client.control.call("tunnel.delete", tunnel="hq")
        for host in ends.ours:
            await no_interface(host)
        print(f"and gone again after {time.monotonic() - began:.2f} s")


async def all_up(ours: Daemon) -> None:
    """Wait until every session has its interface."""

    async def up() -> bool | None:
        return SESSIONS == ours.program.log.count("PPP up") or None

    await polled(up, lambda: f"only {ours.program.log.count('PPP up')} are up", within=4 * PATIENCE)


async def test_pppd_where_the_profile_says_so(cable: Cable, daemon: Start, tmp_path: Path) -> None:
    """`ppp_engine = "pppd"` at one end, ours at the other; `cable` stays as it was."""
    client = ppp.client(cable).replace("pppd_options", 'ppp_engine = "pppd"\npppd_options')
    async with calls(cable, daemon, tmp_path, ppp.LNS, client) as ends:
        for host, ours in ends.ours.items():
            (session,) = await ppp.addressed(ours)
            await stage.pings(host, session["ppp"]["remote_address"])
        assert 1 == len(await ppp.pids(cable.them, "pppd"))
        assert [] == await ppp.pids(cable.us, "pppd")
        assert "UP" in await ppp.said(cable.us, "ip", "link", "show", CABLE)


def session(kernel: Netlink, stack: ExitStack, near: int, far: int) -> socket.socket:
    """Make one end of a session over loopback, whose ids go by the ends; return its PPPoX socket."""
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 5000 + near))
    sock.connect(("127.0.0.1", 5000 + far))
    kernel.carry_out(CreateTunnel(tunnel_id=near, peer_tunnel_id=far), descriptor=sock.fileno())
    create = CreateSession(tunnel_id=near, session_id=near, peer_session_id=far, pseudowire=Pseudowire.PPP)
    kernel.carry_out(create)
    return stack.enter_context(pppox.open_session(near, near, far, far))


async def arrived(taken: Taken, count: int) -> None:
    """Wait for so many frames."""

    async def enough() -> bool | None:
        return len(taken.frames) >= count or None

    await polled(enough, lambda: f"only these frames came: {taken.frames}")


async def test_a_second_interface() -> None:
    """After a new negotiation there is another interface of the same name, and frames come by it: those of LCP by the channel, all others by the unit."""
    with ExitStack() as stack:
        kernel, units, taken = Netlink(), Units(), Taken()
        stack.callback(kernel.close)
        stack.callback(units.close)
        peer, ours = session(kernel, stack, 1, 2), session(kernel, stack, 2, 1)
        carrier = UnitCarrier(os.dup(ours.fileno()), units)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(units.ear.serve)
            peer.send(b"\xc0\x21 waits in the socket")
            for number in (1, 2):
                await carrier.open(Link(name="again", mtu=1400), 1400, Protocol.IPV4)
                if number == 1:
                    carrier.hear(taken)
                peer.send(b"\xc0\x21 by the channel %d" % number)
                peer.send(b"\x80\x21 by the unit %d" % number)
                carrier.pump(taken)
                await arrived(taken, 1 + 2 * number)
                await carrier.close()
            nursery.cancel_scope.cancel()
        assert not taken.reasons
        await carrier.finish()
    expected = [b"\xc0\x21 waits in the socket"]
    expected += [
        b"%b %d" % (way, number) for number in (1, 2) for way in (b"\x80\x21 by the unit", b"\xc0\x21 by the channel")
    ]
    assert sorted(expected) == sorted(taken.frames)
