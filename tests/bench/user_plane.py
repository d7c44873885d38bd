#!/usr/bin/env python3
"""The user-space data plane: how many packets a second two of them carry, one at each end of a tunnel and each on one core.

user_plane.py                large and small frames, unnumbered, with the offered rate raised until more than one in a hundred is lost three times in a row
user_plane.py --profile      the same with a profile of both planes on standard error
user_plane.py --json FILE    the figures to FILE as well

Both planes are processes of their own in one network namespace and reach each other over its loopback interface. Frames of a type that nobody
answers are put into the interface of the first and counted as they come out of that of the second. Needs root and two cores.
"""

import argparse
import cProfile
import json
import os
import pstats
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trio

if not __package__:
    for folder in (Path(__file__).resolve().parents[1], Path(__file__).resolve().parents[2]):
        sys.path.insert(0, str(folder))

from l2tpd.config.model import Pseudowire
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteTunnel, Link
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.kernel.worker import Worker
from l2tpd.tunnel.port import BATCH
from taps import Wire, frame_of, namespace, why_not

PORTS = {"here": (17011, 17012), "there": (17012, 17011)}
SIZES = (1400, 64)  # octets of a frame
SECONDS = 2.0
LOSS = 0.01  # that ends the climb
FAILURES = 3  # in a row, since other programs may have had the processor
FIRST = 15000.0  # frames a second
STEP = 1.25
TICK = 0.001
PRIORITY = -19  # of all three processes, so that what else runs on the machine matters little

Row = dict[str, float]


async def serve(name: str) -> None:
    """Carry one tunnel's packets; answer each line of standard input with the counters and the processor time so far."""
    local, peer = PORTS[name]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind(("127.0.0.1", local))
        sock.connect(("127.0.0.1", peer))
        plane = UserPlane(Worker("bench"))
        await plane.perform(CreateTunnel(tunnel_id=1, peer_tunnel_id=1, version=3, socket=sock))
        outcome = await plane.perform(
            CreateSession(
                tunnel_id=1, session_id=1, peer_session_id=1, pseudowire=Pseudowire.ETH, link=Link(name=name, mtu=1500)
            )
        )
        assert outcome.pump is not None
        print("ready", flush=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcome.pump)
            nursery.start_soon(read, sock, plane)
            while await trio.to_thread.run_sync(sys.stdin.readline):
                counters = dict(await plane.statistics(1, 1))
                print(json.dumps({**counters, "cpu": time.process_time()}), flush=True)
            nursery.cancel_scope.cancel()
        await plane.perform(DeleteTunnel(tunnel_id=1))
        plane.close()


async def read(sock: socket.socket, plane: UserPlane) -> None:
    """Do what a tunnel's reader does with data packets."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        for _ in range(BATCH):
            try:
                data, _name = sock.recvfrom(65535)
            except BlockingIOError:
                break
            plane.receive(1, memoryview(data)[4:], trio.current_time())
        else:
            await trio.lowlevel.checkpoint()


class End:
    """One plane in a process of its own, on one core."""

    def __init__(self, name: str, core: int, profile: bool) -> None:
        """Start it and wait until it is there."""
        command = [sys.executable, __file__, "--end", name, *(["--profile"] if profile else [])]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(self.process.pid, {core})
        assert "ready\n" == self._line()

    def ask(self) -> Row:
        """Return its counters and processor time."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer: Row = json.loads(self._line())
        return answer

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextmanager
def both(profile: bool) -> Iterator[tuple[End, End]]:
    """Run both planes."""
    with ExitStack() as stack:
        ends = []
        for core, name in enumerate(PORTS):
            ends.append(End(name, core % (os.cpu_count() or 1), profile))
            stack.callback(ends[-1].close)
        yield ends[0], ends[1]


def offer(wire: Wire, frame: bytes, rate: float, seconds: float) -> int:
    """Send frames at an even rate, in bursts of a millisecond; return how many."""
    begin, sent = time.monotonic(), 0
    while (now := time.monotonic()) < begin + seconds:
        due = int((now - begin) * rate)
        while sent < due:
            try:
                wire.send(frame)
            except OSError:
                pass
            sent += 1
        time.sleep(TICK)
    return sent


def trial(here: End, there: End, octets: int, rate: float) -> Row:
    """Offer a rate for a while; return what came of it."""
    before = here.ask(), there.ask()
    with Wire("here") as wire:
        begin = time.monotonic()
        sent = offer(wire, frame_of(1, octets), rate, SECONDS)
        took = time.monotonic() - begin
    after = settled(here, there)
    received = after[1]["rx_packets"] - before[1]["rx_packets"]
    return {
        "octets": octets,
        "offered": sent / took,
        "delivered": received / took,
        "mbit": received * octets * 8 / took / 1e6,
        "lost": 1 - received / sent,
        "unread": 1 - (after[0]["tx_packets"] - before[0]["tx_packets"]) / sent,
        "send_us": 1e6
        * (after[0]["cpu"] - before[0]["cpu"])
        / max(1, after[0]["tx_packets"] - before[0]["tx_packets"]),
        "receive_us": 1e6 * (after[1]["cpu"] - before[1]["cpu"]) / max(1, received),
    }


def settled(here: End, there: End) -> tuple[Row, Row]:
    """Return the counters once everything under way has arrived."""
    last = None
    while (now := (here.ask(), there.ask()))[1]["rx_packets"] != last:
        last = now[1]["rx_packets"]
        time.sleep(0.2)
    return now


def climb(here: End, there: End, octets: int) -> Row:
    """Raise the rate until too much is lost; return the last trial before that."""
    rate, failures, best = FIRST, 0, {}
    while failures < FAILURES:
        row = trial(here, there, octets, rate)
        show(row)
        if row["lost"] <= LOSS:
            rate, failures, best = rate * STEP, 0, row
        else:
            failures += 1
    return best or row


def show(row: Row) -> None:
    """Print a trial."""
    print(
        f"{row['octets']:5} octets: {row['offered']:8.0f}/s offered, {row['delivered']:8.0f}/s delivered, {row['mbit']:6.0f} Mbit/s, "
        f"{100 * row['lost']:5.2f} % lost, of these {100 * row['unread']:5.2f} before the plane; processor {row['send_us']:5.1f} us to send, {row['receive_us']:5.1f} us to receive",
        flush=True,
    )


def main() -> int:
    """Measure, or be one of the planes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--end", choices=PORTS, help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path)
    said = parser.parse_args()
    if said.end:
        profiled(said.end) if said.profile else trio.run(serve, said.end)
        return 0
    if why_not():
        print(why_not(), file=sys.stderr)
        return 1
    os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    with namespace(), both(said.profile) as (here, there):
        rows = [climb(here, there, octets) for octets in SIZES]
    print()
    for row in rows:
        show(row)
    if said.json:
        said.json.write_text(json.dumps(rows))
    return 0


def profiled(name: str) -> None:
    """Be one of the planes and say what takes the time."""
    with cProfile.Profile() as profile:
        trio.run(serve, name)
    print(f"--- {name}", file=sys.stderr)
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    sys.exit(main())
