"""Ethernet pseudowires between two running daemons, each in a network namespace of its own, over the user-space plane."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path

import attrs
import pytest
import trio

from interop.daemon import Daemon, Row
from interop.ethernet import endpoint, interfaces, table, unreachable
from interop.netns import Host
from interop.program import polled
from interop.scene import Scene, open_scene
from taps import has_vlan, why_not
from vm.inside import dialled
from vm.inside.ethernet import WAYS
from vm.inside.wires import all_up

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no TAP interfaces: {why_not()}")

PATHS = list(itertools.product(("udp", "ip"), (4, 6)))
CASES = range(1, 25)  # numbers of pseudowires of every path and cookie size, with and without sequence numbers
PINGS = 100  # echo requests beside a change, one each 10 ms
COOKIES = {0: ("", ""), 4: ("01020304", "a1a2a3a4"), 8: ("0102030405060708", "a1a2a3a4a5a6a7a8")}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Two hosts on a cable."""
    async with open_scene(f"pseudowires-{os.getpid()}", tmp_path, captured=False) as scene:
        for host in (scene.us, scene.them):
            # Neighbour discovery and its like would be frames that no test has sent.
            host.call("sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1")
        yield scene


def address_of(host: Host, version: int) -> str:
    return host.address6 if version == 6 else host.address


def inner(number: int, end: int) -> str:
    """Return the address inside pseudowire `number` of end 1 or 2."""
    return f"10.0.{number}.{end}"


async def pinging(host: Host, address: str, *, count: int) -> int:
    """Send echo requests, not waiting for answers; return how many answers there were."""
    argv = host.command("ping", "-n", "-q", "-c", str(count), "-i", "0.01", "-W", "1", address)
    done = await trio.run_process(argv, check=False, capture_stdout=True, capture_stderr=True)
    found = re.search(r"(\d+) received", done.stdout.decode())
    assert found, done.stdout + done.stderr
    return int(found[1])


@attrs.define
class Answers:
    """How many of many echo requests were answered, while something else happens."""

    host: Host
    address: str
    count: int = 0

    async def collect(self) -> None:
        self.count = await pinging(self.host, self.address, count=PINGS)


async def show(daemon: Daemon, interface: str) -> Row:
    """Return the detailed view of the session that has this interface."""
    (row,) = (row for row in await daemon.sessions() if row["interface"] == interface)
    found: Row = await daemon.control.call("session.show", tunnel=f"@{row['tunnel_id']}", session=f"@{row['id']}")
    return found


async def counters_of(daemon: Daemon, interface: str) -> Mapping[str, int]:
    """Return what the data plane has counted of a session."""
    found: Mapping[str, int] = (await show(daemon, interface))["counters"]
    return found


async def counted(daemon: Daemon, interface: str, enough: Callable[[Mapping[str, int]], bool]) -> Mapping[str, int]:
    """Wait until a session's counters are as said, and return them: the last packets may still be on their way."""
    last: Mapping[str, int] = {}

    async def probe() -> Mapping[str, int] | None:
        nonlocal last
        last = await counters_of(daemon, interface)
        return last if enough(last) else None

    return await polled(probe, lambda: f"{interface} has counted {last}")


def frames(host: Host, interface: str, direction: str) -> int:
    """Return how many frames the kernel has counted on an interface; what a session sends its interface receives, so `direction` is the session's."""
    listed = host.ask("ip", "-j", "-s", "link", "show", interface)
    packets: int = json.loads(listed)[0]["stats64"]["tx" if direction == "tx" else "rx"]["packets"]
    return packets


async def rewritten(daemon: Daemon, change: Callable[[str], str]) -> None:
    """Change a daemon's configuration file, and have it read again."""
    path = Path((await daemon.control.call("system.show"))["config_path"])
    path.write_text(change(path.read_text()))
    await daemon.control.call("config.reload")


def statics(ours: Host, theirs: Host, end: int) -> str:
    """Write what one end, 1 or 2, says of all static pseudowires: a tunnel for each path, in it a session for each cookie size, numbered or not."""
    written, number = "", itertools.count(1)
    for which, (encap, version) in enumerate(PATHS, start=1):
        written += table(
            f"tunnel.{encap}{version}",
            peer=endpoint(theirs, encap, version),
            local=address_of(ours, version),
            version="l2tpv3",
            encap=encap,
            mode="static",
            tunnel_id=10 * end + which,
            peer_tunnel_id=10 * (3 - end) + which,
        )
        for size, numbered in itertools.product(COOKIES, (False, True)):
            written += static_session(f"{encap}{version}", next(number), end, size, numbered=numbered)
    return written


def static_session(tunnel: str, number: int, end: int, size: int, *, numbered: bool) -> str:
    """Write one end of a static session, whose two cookies differ."""
    return table(
        f"tunnel.{tunnel}.session.s{number}",
        pseudowire="eth",
        interface_name=f"pw{number}",
        address=f"{inner(number, end)}/24",
        session_id=100 * end + number,
        peer_session_id=100 * (3 - end) + number,
        cookie=COOKIES[size][end - 1],
        peer_cookie=COOKIES[size][2 - end],
        sequencing_required=numbered,
    )


@attrs.frozen(kw_only=True)
class Wire:
    """One dynamic pseudowire that we ask for: its number, and the keys of our session beyond those that every one has."""

    number: int
    keys: Mapping[str, object] = attrs.field(factory=dict)


def caller(scene: Scene, name: str, encap: str, version: int, *wires: Wire, **keys: object) -> str:
    """Write a dynamic tunnel that we open, and its sessions; `keys` are the tunnel's beyond the usual."""
    peer, local = endpoint(scene.them, encap, version), address_of(scene.us, version)
    said = {"peer": peer, "local": local, "version": "l2tpv3", "encap": encap, **keys}
    return table(f"tunnel.{name}", **said) + "".join(dynamic_session(name, wire) for wire in wires)


def dynamic_session(tunnel: str, wire: Wire) -> str:
    """Write our end of a dynamic session."""
    said = {"interface_name": f"pw{wire.number}", "address": f"{inner(wire.number, 1)}/24", **wire.keys}
    return table(
        f"tunnel.{tunnel}.session.s{wire.number}", pseudowire="eth", remote_end_id=f"end {wire.number}", **said
    )


def called(scene: Scene, numbers: Iterable[int], **peer: object) -> str:
    """Write their end: listeners on every path but the usual one, whom they accept, and where the pseudowires of these numbers end."""
    others = [(encap, version) for encap, version in PATHS if (encap, version) != ("udp", 4)]
    written = "".join(
        f'[[listen]]\naddress = "{endpoint(scene.them, *path)}"\nencap = "{path[0]}"\n\n' for path in others
    )
    return written + table("peer.default", **peer) + "".join(map(their_end, numbers))


def their_end(number: int, **keys: object) -> str:
    """Write where a pseudowire that we ask for ends at their side."""
    said = {"interface_name": f"pw{number}", "address": f"{inner(number, 2)}/24", **keys}
    return table(f"profile.session.end{number}", pseudowire="eth", remote_end_id=f"end {number}", **said)


async def test_static(scene: Scene) -> None:
    """Static Ethernet pseudowires of every path, cookie size and sequencing carry frames; their interfaces go with the daemon."""
    await scene.daemon(statics(scene.us, scene.them, 1), data_plane="user")
    them = await scene.daemon(statics(scene.them, scene.us, 2), data_plane="user", host=scene.them)
    assert len(CASES) == len(await them.sessions())
    assert set() == await unreachable(scene.us, *(inner(number, 2) for number in CASES))
    await scene.end()
    assert not any(name.startswith("pw") for host in (scene.us, scene.them) for name in interfaces(host))


async def test_dynamic(scene: Scene) -> None:
    """Dynamic Ethernet pseudowires of every path, cookie size and sequencing carry frames; the peer's interfaces go when we do."""
    numbers = itertools.count(1)
    tunnels = ""
    for encap, version in PATHS:
        combinations = itertools.product(COOKIES, (False, True))
        wires = [
            Wire(number=next(numbers), keys={"cookie_size": size, "sequencing_required": numbered})
            for size, numbered in combinations
        ]
        tunnels += caller(scene, f"{encap}{version}", encap, version, *wires)
    them = await scene.daemon(called(scene, CASES), data_plane="user", host=scene.them)
    us = await scene.daemon(tunnels, data_plane="user")
    for number in CASES:
        await us.up(f"s{number}")
    assert set() == await unreachable(scene.us, *(inner(number, 2) for number in CASES))
    us.program.signal(signal.SIGTERM)
    await us.program.ended()
    await them.empty()
    assert not any(name.startswith("pw") for host in (scene.us, scene.them) for name in interfaces(host))


def test_the_matrix_has_every_value_with_each_pseudowire_and_path() -> None:
    """What is tried between two user planes below, and with the kernel at one end or both in `vm/inside/test_pseudowires.py`."""
    made = dialled.matrix()
    kinds, digests, ways = ("eth", "eth-vlan", "ppp"), ("none", "hmac-md5", "hmac-sha1"), WAYS.values()
    assert set(itertools.product(kinds, ways, digests)) == {(wire.pseudowire, wire.way, wire.digest) for wire in made}
    for octets in ("near_octets", "far_octets"):
        seen = [(wire, getattr(wire, octets)) for wire in made]
        assert set(itertools.product(kinds, ways, COOKIES)) == {
            (wire.pseudowire, wire.way, size) for wire, size in seen
        }
        assert set(itertools.product(kinds, digests, COOKIES)) == {
            (wire.pseudowire, wire.digest, size) for wire, size in seen
        }


async def test_every_kind_over_every_path_with_every_digest(scene: Scene) -> None:
    """Ethernet, VLANs where this kernel has them, and PPP; unsigned and signed by either hash: pings cross, and both ends see the same pseudowires."""
    made = [wire for wire in dialled.matrix() if wire.pseudowire != "eth-vlan" or has_vlan()]
    us = await scene.daemon(dialled.listener(scene.us, made), data_plane="user")
    them = await scene.daemon(dialled.caller(made), data_plane="user", host=scene.them)
    for daemon, key in ((us, "profile"), (them, "name")):
        rows = await all_up(daemon, len(made))
        assert {(wire.name, wire.pseudowire) for wire in made} == {(row[key], row["pseudowire"]) for row in rows}
    silent: set[int] = set()

    async def cross(wire: dialled.Dialled) -> None:
        if await unreachable(scene.them, wire.near_address, interface=wire.interface("far")):
            silent.add(wire.number)

    async with trio.open_nursery() as nursery:
        for wire in made:
            nursery.start_soon(cross, wire)
    assert set() == silent


async def test_tunnels_share_addresses_and_ports(scene: Scene) -> None:
    """Several dynamic tunnels between the same addresses and ports, over UDP and over IP, all carry frames."""
    tunnels = ""
    for number, encap in enumerate(("udp", "udp", "udp", "ip", "ip", "ip"), start=1):
        keys = {"local_port": 1701} if encap == "udp" else {}
        tunnels += caller(scene, f"t{number}", encap, 4, Wire(number=number), **keys)
    them = await scene.daemon(called(scene, range(1, 7)), data_plane="user", host=scene.them)
    us = await scene.daemon(tunnels, data_plane="user")
    for number in range(1, 7):
        await us.up(f"s{number}")
    assert 6 == len({row["id"] for row in await them.tunnels()})
    assert 2 == len({row["peer_address"] for row in await them.tunnels()})
    assert set() == await unreachable(scene.us, *(inner(number, 2) for number in range(1, 7)))


def lone_static(ours: Host, theirs: Host, end: int, *sessions: str, **keys: object) -> str:
    """Write one end, 1 or 2, of one tunnel `t` without negotiation."""
    ids = {"tunnel_id": 10 + end, "peer_tunnel_id": 13 - end}
    said = {
        "peer": endpoint(theirs, "udp", 4),
        "local": ours.address,
        "version": "l2tpv3",
        "mode": "static",
        **ids,
        **keys,
    }
    return table("tunnel.t", **said) + "".join(sessions)


QUIESCENT = {"mode": "quiescent", "hello_timeout": 0.5, "retry_timeout": 0.1, "max_retries": 3, "redial_delay": 0.1}


async def test_quiescent(scene: Scene) -> None:
    """A quiescent pseudowire is down while one end is alone, up when both run, down when the other is stopped or killed, and up again."""
    plain = [static_session("t", 1, end, 8, numbered=True) for end in (1, 2)]
    ours, theirs = (
        lone_static(scene.us, scene.them, 1, plain[0], **QUIESCENT),
        lone_static(scene.them, scene.us, 2, plain[1], **QUIESCENT),
    )
    us = await scene.daemon(ours, data_plane="user")
    assert ["up"] != [row["state"] for row in await us.tunnels()]
    for end in ("stopped", "killed", "left"):
        them = await scene.daemon(theirs, data_plane="user", host=scene.them)
        await us.up("s1")
        assert set() == await unreachable(scene.us, inner(1, 2))
        if end == "stopped":
            them.program.signal(signal.SIGTERM)
            await them.program.ended()
        elif end == "killed":
            await them.kill()
        else:
            break
        await us.empty()
        assert "pw1" not in interfaces(scene.us)


async def test_wrong_cookie(scene: Scene) -> None:
    """A packet with another cookie than the configured one reaches no interface and is counted; the session beside it carries on."""
    good = [static_session("t", 1, end, 8, numbered=False) for end in (1, 2)]
    bad = [
        static_session("t", 2, 1, 8, numbered=False),
        static_session("t", 2, 2, 8, numbered=False).replace("01020304", "ff020304"),
    ]
    us = await scene.daemon(lone_static(scene.us, scene.them, 1, good[0], bad[0]), data_plane="user")
    them = await scene.daemon(lone_static(scene.them, scene.us, 2, good[1], bad[1]), data_plane="user", host=scene.them)
    await them.up("s2")
    scene.them.call("ip", "neighbour", "add", inner(2, 1), "lladdr", "02:00:00:00:00:01", "dev", "pw2")
    await pinging(scene.them, inner(2, 1), count=3)
    counters = await counted(us, "pw2", lambda counters: counters["rx_cookie_discards"] >= 3)
    assert 0 == counters["rx_packets"]
    assert counters["rx_cookie_discards"] == counters["rx_errors"]
    assert set() == await unreachable(scene.us, inner(1, 2))


async def test_counters(scene: Scene) -> None:
    """`session.show`, `tunnel.show` and `statistics.show` say what the plane counted, which is what went over the interface."""
    them = await scene.daemon(called(scene, [1, 2]), data_plane="user", host=scene.them)
    us = await scene.daemon(caller(scene, "t", "udp", 4, Wire(number=1), Wire(number=2)), data_plane="user")
    await us.up("s1")
    await us.up("s2")
    assert 20 == await pinging(scene.us, inner(1, 2), count=20)
    ours = await counted(us, "pw1", lambda counters: counters["rx_packets"] == frames(scene.us, "pw1", "rx"))
    assert frames(scene.us, "pw1", "tx") == ours["tx_packets"] >= 20
    theirs = await counted(them, "pw1", lambda counters: counters["rx_packets"] == ours["tx_packets"])
    assert ours["tx_bytes"] == theirs["rx_bytes"]
    each = [await counters_of(us, interface) for interface in ("pw1", "pw2")]
    total = {name: sum(counters[name] for counters in each) for name in ours}
    assert total == (await us.control.call("tunnel.show", tunnel="t"))["counters"]
    assert total == (await us.control.call("statistics.show"))["data"]


async def test_reload_changes_one_session(scene: Scene) -> None:
    """A reload that changes one session makes that one anew; those beside it lose no packet."""
    wires = [Wire(number=number) for number in (1, 2, 3)]
    before = caller(scene, "t", "udp", 4, *wires)
    await scene.daemon(called(scene, [1, 2, 3]), data_plane="user", host=scene.them)
    us = await scene.daemon(before, data_plane="user")
    ids = {name: (await us.up(name))[1]["id"] for name in ("s1", "s2", "s3")}
    assert set() == await unreachable(scene.us, *(inner(number, 2) for number in (1, 2, 3)))
    async with trio.open_nursery() as nursery:
        answers = [Answers(scene.us, inner(number, 2)) for number in (1, 3)]
        for each in answers:
            nursery.start_soon(each.collect)
        await rewritten(us, lambda text: text.replace('"pw2"', '"pw9"'))
        await us.control.event("session", "up", name="s2", interface="pw9")
    assert [PINGS, PINGS] == [each.count for each in answers]
    assert "pw2" not in interfaces(scene.us)
    after = {row["name"]: row["id"] for row in await us.sessions() if row["state"] == "up"}
    assert {"s1": ids["s1"], "s3": ids["s3"]} == {name: after[name] for name in ("s1", "s3")}
    assert ids["s2"] != after["s2"]
    assert set() == await unreachable(scene.us, inner(2, 2))


async def test_interface_deleted(scene: Scene) -> None:
    """When somebody deletes an interface, its session ends with CDN result 1, a persistent one comes back, and the session beside it stays."""
    them = await scene.daemon(called(scene, [1, 2]), data_plane="user", host=scene.them)
    wires = [Wire(number=number, keys={"persist": True}) for number in (1, 2)]
    us = await scene.daemon(caller(scene, "t", "udp", 4, *wires, redial_delay=0.1), data_plane="user")
    kept = (await us.up("s2"))[1]["id"]
    await us.up("s1")
    scene.us.call("ip", "link", "delete", "pw1")
    down = await us.control.event("session", "down", name="s1")
    assert (1, "us") == (down["result"], down["by"])
    assert "pw1" in down["message"]
    assert 1 == (await them.control.event("session", "down", by="peer"))["result"]
    await us.up("s1")
    assert set() == await unreachable(scene.us, inner(1, 2), inner(2, 2))
    assert [kept] == [row["id"] for row in await us.sessions() if row["name"] == "s2"]


async def test_their_interface_deleted(scene: Scene) -> None:
    """When the called end loses its interface, the caller is told CDN result 1 and asks for the session again."""
    await scene.daemon(called(scene, [1]), data_plane="user", host=scene.them)
    wire = Wire(number=1, keys={"persist": True})
    us = await scene.daemon(caller(scene, "t", "ip", 4, wire, redial_delay=0.1), data_plane="user")
    await us.up("s1")
    scene.them.call("ip", "link", "delete", "pw1")
    down = await us.control.event("session", "down", name="s1")
    assert (1, "peer") == (down["result"], down["by"])
    await us.up("s1")
    assert set() == await unreachable(scene.us, inner(1, 2))


async def test_static_interface_deleted(scene: Scene) -> None:
    """A static session whose interface was deleted comes back by itself: nobody else could ask for it."""
    plain = [static_session("t", 1, end, 4, numbered=False) for end in (1, 2)]
    us = await scene.daemon(lone_static(scene.us, scene.them, 1, plain[0], redial_delay=0.1), data_plane="user")
    await scene.daemon(lone_static(scene.them, scene.us, 2, plain[1]), data_plane="user", host=scene.them)
    await us.up("s1")
    scene.us.call("ip", "link", "delete", "pw1")
    await us.control.event("session", "down", name="s1", result=1)
    await us.up("s1")
    assert set() == await unreachable(scene.us, inner(1, 2))


async def test_bridge(scene: Scene) -> None:
    """Interfaces that join a bridge at both ends make one LAN of what is behind them."""
    for host, end in ((scene.us, 1), (scene.them, 2)):
        host.call("ip", "link", "add", "lan", "type", "bridge")
        host.call("ip", "address", "add", f"10.1.0.{end}/24", "dev", "lan")
        host.call("ip", "link", "set", "lan", "up")
    profile = table("profile.session.end1", pseudowire="eth", remote_end_id="end 1", interface_name="pw1", bridge="lan")
    await scene.daemon(called(scene, []) + profile, data_plane="user", host=scene.them)
    session = table("tunnel.t.session.s1", pseudowire="eth", remote_end_id="end 1", interface_name="pw1", bridge="lan")
    us = await scene.daemon(caller(scene, "t", "udp", 4) + session, data_plane="user")
    await us.up("s1")
    assert set() == await unreachable(scene.us, "10.1.0.2")
    for host in (scene.us, scene.them):
        assert "lan" == json.loads(host.ask("ip", "-j", "link", "show", "pw1"))[0]["master"]


@pytest.mark.parametrize("encap", ["udp", "ip"])
async def test_peer_killed(scene: Scene, encap: str) -> None:
    """A killed peer answers no HELLO: tunnel and session go down, and come back when it does."""
    impatient = {"hello_timeout": 0.5, "retry_timeout": 0.1, "max_retries": 3, "redial_delay": 0.1}
    them = await scene.daemon(called(scene, [1]), data_plane="user", host=scene.them)
    us = await scene.daemon(caller(scene, "t", encap, 4, Wire(number=1), **impatient), data_plane="user")
    await us.up("s1")
    await them.kill()
    down = await us.control.event("tunnel", "down", name="t")
    assert "us" == down["by"]
    await us.control.event("session", "down", name="s1")
    assert "pw1" not in interfaces(scene.them)
    await scene.daemon(called(scene, [1]), data_plane="user", host=scene.them)
    await us.up("s1")
    assert set() == await unreachable(scene.us, inner(1, 2))
