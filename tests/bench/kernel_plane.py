#!/usr/bin/env python3
"""The Linux data plane: what the kernel carries for us beside what it carries for `ip l2tp`, and how fast sessions come and go.

kernel_plane.py                      every measurement in User Mode Linux 6.1 and 6.12, then in the stock kernel of Debian under QEMU
kernel_plane.py --guest uml-6.1      in one guest (uml-6.1, uml-6.12, qemu-6.1); may be repeated
kernel_plane.py --only rates,gap     some measurements: traffic, rates, rings, ppp, ppp-many, gap
kernel_plane.py --json FILE          the figures to FILE as well

Both ends of a tunnel are namespaces of one guest, and all of a packet's way costs the same processor: compare figures within a guest. Under QEMU
each instruction is emulated, and deleting a session waits until other processors have seen it, which in User Mode Linux costs nothing. Needs root.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, redirect_stdout
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import trio

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench import kernel_ppp, server
from bench.engine import Engine
from bench.lac import Lac, Settings, Tunnel
from bench.measure import Row, milliseconds, rate, table
from interop.netns import Cable, Host, cable
from interop.program import Program, running, spawn
from l2tpd.config.model import Encapsulation, Pseudowire
from l2tpd.errors import PlaneError
from l2tpd.kernel.adapter import Adapter
from l2tpd.kernel.netlink import LinuxPlane, Netlink
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, Link, Operation
from vm.inside import ethernet
from vm.inside.ethernet import PEER_SESSION, PEER_TUNNEL, SESSION, TUNNEL
from vm.rig import qemu, uml
from vm.rig.guest import Order, RigError


class Guest(NamedTuple):
    """A kernel to measure, and how much it is asked for: whose instructions are emulated, the clients give up when there are many."""

    rig: ModuleType
    series: str  # of the kernel
    cpus: int
    calls: int  # of a turn beside xl2tpd
    crowds: tuple[int, ...]  # of subscribers


GUESTS = {
    "uml-6.1": Guest(uml, "6.1", cpus=1, calls=300, crowds=(1_000, 10_000)),
    "uml-6.12": Guest(uml, "6.12", cpus=1, calls=300, crowds=(1_000, 10_000)),
    "qemu-6.1": Guest(qemu, "6.1", cpus=2, calls=100, crowds=()),
}

LIMIT = 2400.0  # seconds that a guest may take for everything
MEMORY = "6G"  # at most; 10,000 subscribers and those that call for them have 20,000 interfaces, whose kernel takes most of it
DESCRIPTORS = 100_000  # of a process; two for each subscriber
ROUNDS = 5
SECONDS = 2  # of each transfer
SMALL = 64  # octets of a small datagram
FLEET = 200  # sessions that come and go
AT_A_TIME = 16  # of them that are asked for at a time
RINGS = 1000  # calls that are answered
BEAT = 0.002  # seconds between two beats of the heart
HANDMADE_PORT = 5001
NETWORKS = {"ours": "10.7.0", "ip l2tp": "10.8.0"}


# --- what the kernel carries --------------------------------------------------------------------------------------------------


async def traffic(ends: Cable) -> list[Row]:
    """Measure an Ethernet pseudowire over UDP that our planes made at both ends, and one that `ip l2tp` made, in turns."""
    near, far = (TUNNEL, SESSION), (PEER_TUNNEL, PEER_SESSION)
    with ExitStack() as stack:
        await _ours(stack, ends.us, ends.them, near, far)
        await _ours(stack, ends.them, ends.us, far, near)
        _by_hand(ends.us, ends.them)
        _by_hand(ends.them, ends.us)
        return [await _compared(ends, name, unit, options) for name, unit, options in TRANSFERS]


TRANSFERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("TCP", "Mbit/s", ()),
    ("TCP, other way", "Mbit/s", ("--reverse",)),
    (f"UDP of {SMALL} octets", "packets/s", ("--udp", "-b", "0", "-l", str(SMALL))),
)


async def _ours(stack: ExitStack, host: Host, peer: Host, ids: tuple[int, int], peer_ids: tuple[int, int]) -> None:
    """Make one end with a plane of ours."""
    plane = stack.enter_context(ethernet.opened(host))
    way = ethernet.Way(encap=Encapsulation.UDP, near=host.address, far=peer.address)
    with ethernet.entered(host):
        sock = stack.enter_context(ethernet.carrier(way))
    await plane.perform(CreateTunnel(tunnel_id=ids[0], peer_tunnel_id=peer_ids[0], version=3, socket=sock))
    link = Link(name="ours", address=f"{NETWORKS['ours']}.{host.address[-1]}/24")
    session = CreateSession(
        tunnel_id=ids[0], session_id=ids[1], peer_session_id=peer_ids[1], pseudowire=Pseudowire.ETH, link=link
    )
    await plane.perform(session)


def _by_hand(host: Host, peer: Host) -> None:
    """Make one end with `ip l2tp`, with the MTU that ours has."""
    port = str(HANDMADE_PORT)
    path = ("encap", "udp", "local", host.address, "remote", peer.address, "udp_sport", port, "udp_dport", port)
    host.call("ip", "l2tp", "add", "tunnel", "tunnel_id", "7", "peer_tunnel_id", "7", *path)
    session = ("name", "hand", "tunnel_id", "7", "session_id", "9", "peer_session_id", "9")
    host.call("ip", "l2tp", "add", "session", *session)
    shown = subprocess.run(host.command("ip", "-j", "link", "show", "ours"), check=True, capture_output=True).stdout
    host.call("ip", "link", "set", "hand", "mtu", str(json.loads(shown)[0]["mtu"]), "up")
    host.call("ip", "address", "add", f"{NETWORKS['ip l2tp']}.{host.address[-1]}/24", "dev", "hand")


async def _compared(ends: Cable, name: str, unit: str, options: Sequence[str]) -> Row:
    """Transfer by either pseudowire in turns, and compare the medians."""
    found: dict[str, list[float]] = {kind: [] for kind in NETWORKS}
    for _ in range(ROUNDS):
        for kind, network in NETWORKS.items():
            found[kind].append(await _transfer(ends, f"{network}.{ends.us.address[-1]}", options))
    ours, theirs = (statistics.median(found[kind]) for kind in NETWORKS)
    return {"figure": f"{name}, {unit}", "ours": ours, "ip l2tp": theirs, "ratio": ours / theirs}


async def _transfer(ends: Cable, address: str, options: Sequence[str]) -> float:
    """Send to `address` of our host for a while; return Mbit/s, of UDP the packets that arrived in a second."""
    iperf = Program("iperf3", await spawn(ends.us.command("iperf3", "-s", "-1", "--forceflush", "-B", address)))
    async with running(iperf, None):
        await iperf.says("Server listening")
        argv = ends.them.command("iperf3", "-c", address, "-t", str(SECONDS), "-J", *options)
        done = await trio.run_process(argv, capture_stdout=True)
    end = json.loads(done.stdout)["end"]
    if "--udp" in options:
        return rate(end["sum"]["packets"] - end["sum"]["lost_packets"], end["sum"]["seconds"])
    return float(end["sum_received"]["bits_per_second"]) / 1e6


# --- sessions that come and go ------------------------------------------------------------------------------------------------


async def rates(ends: Cable) -> list[Row]:
    """Create and delete sessions through the adapter, and what `ip -batch` does for comparison."""
    by_hand = _batch(ends.us)
    rows: list[Row] = []
    for kind in (Pseudowire.ETH, Pseudowire.PPP):
        async with _adapter(kind) as (adapter, tunnel):
            created, deleted = await _created(adapter, kind), await _deleted(adapter, tunnel)
            await _created(adapter, kind)
            gone = await _gone(adapter)
        theirs = by_hand if kind is Pseudowire.ETH else (None, None)
        for word, ours, hand in zip(("created", "deleted"), (created, deleted), theirs, strict=True):
            ratio = ours / hand if hand else None
            rows.append(
                {"figure": f"{kind.value} sessions {word} a second", "ours": ours, "ip l2tp": hand, "ratio": ratio}
            )
        rows.append({"figure": f"{FLEET} {kind.value} sessions gone with their tunnel, s", "ours": gone})
    return rows


@asynccontextmanager
async def _adapter(kind: Pseudowire) -> AsyncIterator[tuple[Adapter, CreateTunnel]]:
    """Serve a plane that has a tunnel, in the guest's own namespace."""
    way = ethernet.Way(encap=Encapsulation.UDP, near="127.0.0.1", far="127.0.0.2")
    version = 2 if kind is Pseudowire.PPP else 3
    with closing(LinuxPlane(Netlink(), os.uname().release)) as plane, ethernet.carrier(way) as sock:
        adapter = Adapter(plane, _refused)
        tunnel = CreateTunnel(tunnel_id=TUNNEL, peer_tunnel_id=PEER_TUNNEL, version=version, socket=sock)
        async with trio.open_nursery() as nursery:
            await nursery.start(adapter.run)
            await adapter.submit(tunnel)
            yield adapter, tunnel
            adapter.delete(DeleteTunnel(tunnel_id=TUNNEL))
            nursery.cancel_scope.cancel()


def _refused(operation: Operation, error: PlaneError) -> None:
    raise error


async def _created(adapter: Adapter, kind: Pseudowire) -> float:
    """Ask for all sessions, a few at a time as calls come in; return how many a second there were."""
    numbers = iter(range(1, FLEET + 1))
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(AT_A_TIME):
            nursery.start_soon(_create, adapter, kind, numbers)
    return rate(FLEET, trio.current_time() - begin)


async def _create(adapter: Adapter, kind: Pseudowire, numbers: Iterator[int]) -> None:
    for number in numbers:
        link = Link(name=f"fleet{number}" if kind is Pseudowire.ETH else "")
        await adapter.submit(
            CreateSession(tunnel_id=TUNNEL, session_id=number, peer_session_id=number, pseudowire=kind, link=link)
        )


async def _deleted(adapter: Adapter, tunnel: CreateTunnel) -> float:
    """Delete all sessions, one by one; return how many a second there were."""
    begin = trio.current_time()
    for number in range(1, FLEET + 1):
        adapter.delete(DeleteSession(tunnel_id=TUNNEL, session_id=number))
        await trio.lowlevel.checkpoint()
    await adapter.submit(tunnel)  # which is there: done as soon as the deletes are
    return rate(FLEET, trio.current_time() - begin)


async def _gone(adapter: Adapter) -> float:
    """Delete the tunnel; return how long the kernel took to forget its sessions, which it does after it has answered."""
    netlink = Netlink()
    begin = trio.current_time()
    adapter.delete(DeleteTunnel(tunnel_id=TUNNEL))
    while await trio.to_thread.run_sync(netlink.sessions):
        await trio.sleep(BEAT)
    netlink.close()
    return trio.current_time() - begin


def _batch(host: Host) -> tuple[float, float]:
    """Create and delete as many Ethernet sessions by one run of `ip` each; return how many a second."""
    numbers = range(1, FLEET + 1)
    ids = "tunnel_id 7 session_id {0}"
    path = f"encap udp local {host.address} remote 192.0.2.2 udp_sport {HANDMADE_PORT} udp_dport {HANDMADE_PORT}"
    host.call("ip", "l2tp", "add", "tunnel", "tunnel_id", "7", "peer_tunnel_id", "7", *path.split())
    create = f"l2tp add session name fleet{{0}} {ids} peer_session_id {{0}}\nlink set fleet{{0}} up\n"
    created = _timed(host, "".join(create.format(number) for number in numbers))
    deleted = _timed(host, "".join(f"l2tp del session {ids}\n".format(number) for number in numbers))
    host.call("ip", "l2tp", "del", "tunnel", "tunnel_id", "7")
    return created, deleted


def _timed(host: Host, lines: str) -> float:
    begin = time.monotonic()
    subprocess.run(host.command("ip", "-batch", "-"), input=lines.encode(), check=True, capture_output=True)
    return rate(FLEET, time.monotonic() - begin)


async def gap(ends: Cable) -> list[Row]:
    """Tell by how much a task that wants to run every 2 ms is late: with nothing to do, and while sessions come and go."""
    rows = await _late("with nothing to do", _nothing)
    for kind in (Pseudowire.ETH, Pseudowire.PPP):
        async with _adapter(kind) as (adapter, tunnel):
            rows += await _late(f"while {FLEET} {kind.value} sessions are created", partial(_created, adapter, kind))
            rows += await _late(f"while {FLEET} {kind.value} sessions are deleted", partial(_deleted, adapter, tunnel))
    return rows


async def _nothing() -> None:
    await trio.sleep(3)


async def _late(when: str, work: Callable[[], Awaitable[object]]) -> list[Row]:
    delays: list[float] = []

    async def beat() -> None:
        while True:
            due = trio.current_time() + BEAT
            await trio.sleep_until(due)
            delays.append(trio.current_time() - due)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat)
        await work()
        nursery.cancel_scope.cancel()
    found = milliseconds(delays)
    return [
        {"figure": f"a beat of 2 ms is late, {word}, {when}, ms", "ours": found[key]}
        for word, key in (("99 in 100", "p99_ms"), ("worst", "max_ms"))
    ]


# --- calls to the daemon ------------------------------------------------------------------------------------------------------


class Ringing(Lac):
    """A LAC that leaves its calls unconnected: an ICRP says that the LNS has the session in its kernel, and no PPP begins."""

    def _icrp(self, tunnel: Tunnel, session: int, data: bytes) -> None:
        if (began := tunnel.calls.pop(session, None)) is not None:
            self.last = time.monotonic()
            self.call_latency.append(self.last - began)
            self.calling -= 1


async def rings(ends: Cable) -> list[Row]:
    """Have our daemon answer calls, with the kernel's data plane and with none: from the first ICRQ to the last ICRP."""
    rows: list[Row] = []
    for plane in ("kernel", "null"):
        seconds, latency = await trio.to_thread.run_sync(rung, plane, RINGS)
        figure = f"{RINGS} calls, first ICRQ to last kernel session, s ({plane})"
        rows += [{"figure": figure, "ours": seconds}, {"figure": f"... p99 of one, ms ({plane})", "ours": latency}]
    return rows


def rung(plane: str, calls: int) -> tuple[float, float]:
    """Have a daemon with this data plane answer calls; return the time that all of them took, and in milliseconds the 99th percentile of one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        lns = server.start(Path(directory), cpu=0, plane=plane)
        try:
            engine: Engine[Tunnel] = Engine(("127.0.0.1", 0))
            lac = Ringing(engine, Settings(server=("127.0.0.1", lns.port), same_source=True))
            tunnel = lac.open()
            lac.run(_pass, lambda: lac.up == 1)
            begin = time.monotonic()
            lac.call(tunnel, calls)
            lac.run(lac.pump_calls, lac.settled)
            engine.close()
        finally:
            lns.stop()
    if len(lac.call_latency) != calls:
        raise server.ServerError(f"{len(lac.call_latency)} of {calls} calls were answered: {dict(lac.cdns)}")
    return lac.last - begin, milliseconds(lac.call_latency)["p99_ms"]


def _pass() -> None:
    """Send nothing more."""


# --- guests -------------------------------------------------------------------------------------------------------------------

Measure = Callable[[Cable], Awaitable[list[Row]]]


def measures(guest: Guest) -> dict[str, Measure]:
    """Return the measurements by name, as a guest makes them."""
    return {
        "traffic": traffic,
        "rates": rates,
        "rings": rings,
        "ppp": partial(kernel_ppp.beside_xl2tpd, calls=guest.calls),
        "ppp-many": partial(kernel_ppp.crowds, sizes=guest.crowds),
        "gap": gap,
    }


NAMES = tuple(measures(GUESTS["uml-6.1"]))


def inside(guest: Guest, names: Sequence[str], target: Path) -> None:
    """Measure in this guest; the rows go to `target`, for each measurement by name."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    found: dict[str, list[Row]] = {}
    for name in names:
        with (
            cable(f"bench-{name}") as ends,
            redirect_stdout(None),
        ):  # on which programs of the tests' stage tell their logs
            found[name] = trio.run(measures(guest)[name], ends)
        target.write_text(json.dumps(found))


def measured(name: str, names: Sequence[str]) -> dict[str, list[Row]]:
    """Measure in the guest of a name and return the rows by measurement; what failed is told on standard error."""
    guest = GUESTS[name]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        target = Path(folder) / "figures.json"
        which = ["--guest", name, "--only", ",".join(names)]
        command = [sys.executable, str(Path(__file__).resolve()), "--inside", str(target), *which]
        order = Order(folder=Path(folder), command=command, limit=LIMIT, memory=MEMORY, cpus=guest.cpus)
        status = guest.rig.run(guest.rig.build(guest.series), order)
        found: dict[str, list[Row]] = json.loads(target.read_text()) if target.exists() else {}
    if status:
        print(f"{name}: ended with status {status}", file=sys.stderr)
    return found


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="kernel_plane.py", description="Benchmark of the Linux data plane, in guests.")
    top.add_argument("--guest", choices=GUESTS, action="append", help="a guest; default: all")
    top.add_argument("--only", default=",".join(NAMES), metavar="NAMES", help="measurements, separated by commas")
    top.add_argument("--json", default="", metavar="FILE", help="write the figures as JSON too")
    top.add_argument("--inside", default="", metavar="FILE", help=argparse.SUPPRESS)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print: 0 well, 1 when a guest or a measurement failed."""
    options = parser().parse_args(argv)
    names = options.only.split(",")
    if unknown := set(names) - set(NAMES):
        raise SystemExit(f"no such measurement: {', '.join(sorted(unknown))}")
    guests = options.guest or list(GUESTS)
    if options.inside:
        inside(GUESTS[guests[0]], names, Path(options.inside))
        return 0
    found: dict[str, dict[str, list[Row]]] = {}
    for guest in guests:
        try:
            found[guest] = measured(guest, names)
        except RigError as error:
            print(f"{guest}: {error}", file=sys.stderr)
            found[guest] = {}
        rows = list(_rows(found[guest]))
        print(f"{guest}\n\n{table(rows) if rows else 'nothing was measured'}\n", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(set(names) == set(rows) for rows in found.values()) else 1


def _rows(found: dict[str, list[Row]]) -> Iterator[Row]:
    for rows in found.values():
        yield from rows


if __name__ == "__main__":
    sys.exit(main())
