#!/usr/bin/env python3
"""Floods: what strangers at full speed do to an LNS that has 1,000 tunnels, and to those who want to come in meanwhile.

flood.py                            every kind of flood, 10 s each
flood.py --seconds 2 --tunnels 50   smaller
flood.py --only sccrq-many --json   one kind, as JSON

Sources are addresses of the loopback network, chosen for each datagram: to the daemon they are as good as forged ones, for nobody answers what it sends
there. The flood comes from a process of its own, as fast as that can send. Beside it the tunnels say HELLO, and newcomers ask for a tunnel, with the
repetitions that RFC 2661 prescribes. What an established peer waits for the answer to a HELLO is no less than the longest stall of the daemon's loop.
"""

import argparse
import gc
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import disciplines, packets, server
from bench.disciplines import Phase
from bench.engine import Address, Engine, Sent, open_socket, pktinfo
from bench.hostile import FOREIGN
from bench.lac import Lac, Settings, State, Tunnel
from bench.measure import Process, as_json, milliseconds, table

SERVER_CPU, OUR_CPU = 0, 1
TUNNELS, SECONDS = 1000, 10.0
MANY = 100_000  # sources
HELLO_EVERY = 2.0  # seconds, of each tunnel
NEWCOMERS = 5.0  # a second
LAST_CALL = 0.7  # of the time: who comes later has not the time to repeat itself
SETTLE = 2.0  # seconds after a flood
CHUNK = 64  # datagrams between two looks at the clock
CALLS = 60_000  # in a tunnel of one who floods with them

Sender = Callable[[int], None]


class Cannon:
    """Sends to the server from any address of 127/8."""

    def __init__(self, target: Address) -> None:
        """Aim."""
        self.fired = self.refused = 0
        self._target = target
        self._sock = open_socket(("0.0.0.0", 0))  # noqa: S104 - the source is chosen for each datagram

    def fire(self, data: bytes | bytearray, source: int = 0) -> None:
        """Send a datagram from an address, as a number."""
        ancillary = [pktinfo(source.to_bytes(4, "big"))] if source else []
        try:
            self._sock.sendmsg((data,), ancillary, 0, self._target)
        except OSError:
            self.refused += 1
        self.fired += 1

    def ask(self, data: bytes | bytearray) -> bytes:
        """Send a datagram until it is answered, and return the answer."""
        self._sock.settimeout(0.5)
        try:
            while True:
                self.fire(data, FOREIGN)
                try:
                    return self._sock.recv(4096)
                except TimeoutError:
                    continue
        finally:
            self._sock.setblocking(False)

    def forget(self) -> None:
        """Throw away what was answered."""
        while True:
            try:
                self._sock.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                continue


def _requests(cannon: Cannon, sources: int) -> Sender:
    """SCCRQs, each for another tunnel, from so many sources in turn."""
    packet = packets.sccrq(1, 1)

    def send(number: int) -> None:
        packets.U16.pack_into(packet, packets.ID_OFFSET, number % 0xFFFF + 1)
        cannon.fire(packet, FOREIGN + number % sources)

    return send


def _given_up(cannon: Cannon) -> Sender:
    """SCCRQs, and after each the StopCCN of a caller that has not learnt our id (RFC 2661 4.4.3): what is over must be acknowledged for a while."""
    packet = packets.sccrq(1, 1)

    def send(number: int) -> None:
        tunnel, source = number // 2 % 0xFFFF + 1, FOREIGN + number // 2 % MANY
        packets.U16.pack_into(packet, packets.ID_OFFSET, tunnel)
        stop = packets.stopccn(0, tunnel)
        packets.stamp(stop, 1, 0)
        cannon.fire(stop if number % 2 else packet, source)

    return send


def _calls(cannon: Cannon) -> Sender:
    """ICRQs in a tunnel, and never an acknowledgement; sent away, the caller opens another one."""
    remote = 0

    def send(number: int) -> None:
        nonlocal remote
        place = number % CALLS
        if not place:
            remote = _tunnel_of(cannon, number // CALLS + 1)
        packet = packets.icrq(remote, place + 1, place + 1)
        packets.stamp(packet, place + 2, 1)
        cannon.fire(packet, FOREIGN)
        if number % CHUNK == 0:
            cannon.forget()

    return send


def _tunnel_of(cannon: Cannon, tunnel: int) -> int:
    answer = b""
    while answer[18:20] != packets.U16.pack(packets.SCCRP):  # else it is about the tunnel before
        cannon.forget()
        answer = cannon.ask(packets.sccrq(tunnel, 1))
    remote = packets.tunnel_of(packets.avps(answer, packets.SCCRP))
    confirm = packets.scccn(remote)
    packets.stamp(confirm, 1, 1)
    cannon.ask(confirm)
    return remote


def _junk(cannon: Cannon) -> Sender:
    """Random octets, behind a good header every other time."""
    dice = random.Random(1)
    noise = [dice.randbytes(dice.choice((0, 1, 5, 11, 12, 13, 60, 500, 1400))) for _ in range(512)]
    dressed = [packets.HEADER.pack(packets.CONTROL, 12 + len(one), 0, 0, 0, 0) + one for one in noise]

    def send(number: int) -> None:
        cannon.fire((noise if number % 2 else dressed)[number % 512], FOREIGN + number % MANY)

    return send


KINDS: Mapping[str, Callable[[Cannon], Sender]] = {
    "sccrq-one": lambda cannon: _requests(cannon, 1),
    "sccrq-many": lambda cannon: _requests(cannon, MANY),
    "sccrq-stop": _given_up,
    "icrq": _calls,
    "junk": _junk,
}


def fire(kind: str, target: Address, seconds: float, count: int) -> int:
    """Flood for so long, or with so many datagrams where a count is given; return how many were sent."""
    cannon = Cannon(target)
    send, end, number = KINDS[kind](cannon), monotonic() + seconds, 0
    while number < count if count else monotonic() < end:
        for _ in range(CHUNK):
            send(number)
            number += 1
    return cannon.fired - cannon.refused


class Witness:
    """The peers who mean it: tunnels that are up and say HELLO, and newcomers."""

    def __init__(self, lac: Lac, tunnels: int) -> None:
        """Set the tunnels up."""
        self.lac = lac
        for _ in disciplines.set_up(lac, None, tunnels, 0, phased=False):
            pass
        self.old = [tunnel for tunnel in lac.tunnels if tunnel.state == State.UP]
        self.newcomers: list[Tunnel] = []
        self.came: list[float] = []
        self.hellos: list[Sent[Tunnel]] = []
        self.waits: list[float] = []

    def watch(self, seconds: float) -> None:
        """Live beside a flood for so long."""
        began = monotonic()
        self.newcomers, self.came, self.hellos, self.waits = [], [], [], []
        waiting: list[Sent[Tunnel]] = []

        def pump() -> None:
            nonlocal waiting
            now = monotonic()
            elapsed = now - began
            while len(self.hellos) < elapsed / HELLO_EVERY * len(self.old):
                waiting.append(self.lac.hello(self.old[len(self.hellos) % len(self.old)]))
                self.hellos.append(waiting[-1])
            self.waits.extend(now - sent.at for sent in waiting if sent.acked)
            waiting = [sent for sent in waiting if not sent.acked]
            while len(self.newcomers) < min(elapsed, LAST_CALL * seconds) * NEWCOMERS:
                self.newcomers.append(self.lac.open())

        self.lac.on_up = lambda tunnel: self.came.append(monotonic() - tunnel.began)
        self.lac.run(pump, lambda: monotonic() - began >= seconds, seconds + 1)
        self.waits.extend(monotonic() - sent.at for sent in waiting)

    def part(self) -> None:
        """Let the newcomers go, and what is still asked."""
        self.lac.on_up = lambda _tunnel: None
        for tunnel in self.newcomers:
            if tunnel.state == State.UP:
                self.lac.stop(tunnel)
        self.lac.run(lambda: None, self.lac.settled, 2 * SETTLE)
        for tunnel in self.newcomers:
            if tunnel.state == State.OPENING:
                self.lac.silent(tunnel)


def measure(kind: str, witness: Witness, target: server.Server, seconds: float, count: int) -> Phase:
    """Live through one flood, and tell how it was."""
    process = Process(target.pid)
    before, handles, began = process.rss(), process.descriptors(), monotonic()
    command = [sys.executable, __file__, f"127.0.0.1:{target.port}", "--fire", kind]
    command += ["--seconds", str(seconds), "--count", str(count)]
    with server.pinned(OUR_CPU), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
        witness.watch(seconds)
        asked, came = len(witness.newcomers), list(witness.came)
        output, _ = flood.communicate(timeout=60 + 10 * seconds)
    fired, took = json.loads(output), monotonic() - began
    witness.part()
    time.sleep(SETTLE)
    lost = sum(tunnel.state != State.UP for tunnel in witness.old)
    return {
        "phase": kind,
        "done": fired,
        "per_second": round(fired / took),
        "seconds": round(took, 1),
        "tunnels": len(witness.old),
        "lost": lost,
        "newcomers": asked,
        "came_in": len(came),
        "shut_out": asked - len(came),
        "came_in_ms": milliseconds(came)["p50_ms"],
        "hello_p99_ms": milliseconds(witness.waits)["p99_ms"],
        "longest_ms": milliseconds(witness.waits)["max_ms"],
        "alive": process.alive(),
        "rss_before": before,
        "rss_after": process.rss(),
        "descriptors_grown": process.descriptors() - handles,
    }


def run(options: argparse.Namespace) -> Iterator[Phase]:
    """Run the floods that were asked for, each against a daemon of its own."""
    for kind in options.only.split(",") if options.only else KINDS:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            target = server.start(Path(directory), cpu=SERVER_CPU)
            engine = Engine[Tunnel](("0.0.0.0", 0))  # noqa: S104 - each tunnel has a source of its own
            try:
                witness = Witness(Lac(engine, Settings(server=("127.0.0.1", target.port))), options.tunnels)
                yield measure(kind, witness, target, options.seconds, options.count)
            finally:
                target.process.kill()
                target.stop()
                engine.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Flood, and tell how it was."""
    options = argparse.ArgumentParser(prog="flood.py", description="Floods, and what they do to others.")
    options.add_argument("target", nargs="?", default="", help="with --fire: whom to flood")
    options.add_argument("--fire", default="", metavar="KIND", help="be the flood")
    options.add_argument("--only", default="", metavar="KINDS", help="kinds by name, separated by commas")
    options.add_argument("--seconds", type=float, default=SECONDS)
    options.add_argument("--count", type=int, default=0, help="so many datagrams instead")
    options.add_argument("--tunnels", type=int, default=TUNNELS)
    options.add_argument("--json", action="store_true")
    said = options.parse_args(argv)
    gc.disable()
    if said.fire:
        host, _, port = said.target.rpartition(":")
        print(fire(said.fire, (host, int(port)), said.seconds, said.count))
        return 0
    phases = list(run(said))
    print(as_json(phases) if said.json else table(phases))
    return 0


if __name__ == "__main__":
    sys.exit(main())
