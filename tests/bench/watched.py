#!/usr/bin/env python3
"""What watchers and hook scripts cost: the same tunnels set up alone, with twenty watchers of which one is stalled, and with a script for each besides.

watched.py                   10,000 tunnels, three times
watched.py --tunnels 1000    fewer
watched.py --json            the figures as JSON

Each time it is a daemon of its own. Alone and watched run side by side, for the reason that `run.py` gives, and the ratio of their processor time is
what the watchers cost. Afterwards every watcher must have been told everything in order, or how much it has lost.
"""

import argparse
import json
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import server
from bench.measure import as_json, table

STORM = Path(__file__).with_name("storm.py")
SERVER_CPU, STORM_CPU = 0, 1
TUNNELS = 10_000
WATCHERS = 20
ROUNDS = 3
QUIET = 1.0  # seconds in which nothing comes any more: that was all
SCRIPTS_WITHIN = 300.0
STORM_WITHIN = 300.0
CHUNK = 1 << 17
ORDER = ("created", "up", "down", "deleted")
SUBSCRIBE = b'{"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": {}}\n'

Phase = dict[str, object]


# --- the watchers: a process of their own, told by a line that the stalled one may read


def watch(path: str, number: int) -> list[Phase]:
    """Subscribe `number` times; read all but the first until standard input ends, then all of them until nothing comes."""
    heard: dict[socket.socket, list[bytes]] = {subscribed(path): [] for _ in range(number)}
    stalled = next(iter(heard))
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        for sock in heard:
            if sock is not stalled:
                selector.register(sock, selectors.EVENT_READ)
        print("ready", flush=True)
        patience = None
        while ready := selector.select(patience):
            for key, _ in ready:
                if key.fileobj is sys.stdin:
                    selector.unregister(sys.stdin)
                    selector.register(stalled, selectors.EVENT_READ)
                    patience = QUIET
                elif isinstance(key.fileobj, socket.socket):
                    read(selector, key.fileobj, heard[key.fileobj])
    return [told(b"".join(chunks)) | {"stalled": sock is stalled} for sock, chunks in heard.items()]


def subscribed(path: str) -> socket.socket:
    """Open a connection that is subscribed."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(SUBSCRIBE)
    while not sock.recv(CHUNK).endswith(b"\n"):
        pass
    return sock


def read(selector: selectors.BaseSelector, sock: socket.socket, chunks: list[bytes]) -> None:
    """Keep what has come; it is looked at afterwards."""
    chunk = sock.recv(CHUNK)
    if chunk:
        chunks.append(chunk)
    else:
        selector.unregister(sock)


def told(octets: bytes) -> Phase:
    """Count the events that a watcher was told of, those that it was told it has lost, and those that came too late."""
    stage: dict[int, int] = {}
    counts: Counter[str] = Counter()
    for line in octets.splitlines():
        event = json.loads(line)["params"]
        if event["object"] == "lost":
            counts["lost"] += event["count"]
            continue
        counts["events"] += 1
        rank = ORDER.index(event["what"])
        counts["disordered"] += stage.get(event["tunnel_id"], -1) >= rank
        stage[event["tunnel_id"]] = rank
    return {"events": counts["events"], "lost": counts["lost"], "disordered": counts["disordered"]}


@contextmanager
def watchers(control: Path, number: int) -> Iterator["subprocess.Popen[str]"]:
    """Run so many watchers."""
    command = [sys.executable, __file__, "--watch", str(control), "--watchers", str(number)]
    with (
        server.pinned(STORM_CPU),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


# --- the runs


def run(name: str, tunnels: int, number: int, *, scripts: bool = False) -> Phase:
    """Set tunnels up beside so many watchers, with or without a script for each tunnel."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        directory = Path(place)
        if scripts:
            write_script(directory)
        target = server.start(directory, cpu=SERVER_CPU)
        assert target.control is not None
        try:
            if not number:
                return {"phase": name} | storm(target, tunnels)
            with watchers(target.control, number) as process:
                phase = {"phase": name} | storm(target, tunnels)
                if scripts:
                    phase["scripts_lost"] = tunnels - scripts_run(directory, tunnels)
                output, _ = process.communicate()
            return phase | judged(json.loads(output), published(target.control))
        finally:
            target.stop()


def storm(target: server.Server, tunnels: int) -> Phase:
    """Have the generator set tunnels up, and keep them."""
    command = [
        sys.executable,
        str(STORM),
        f"127.0.0.1:{target.port}",
        "--pid",
        str(target.pid),
        "--tunnels",
        str(tunnels),
        "--sessions",
        "0",
    ]
    with server.pinned(STORM_CPU):
        done = subprocess.run(
            [*command, "--phased", "--no-teardown", "--json"],
            capture_output=True,
            text=True,
            timeout=STORM_WITHIN,
            check=False,
        )
    if not done.stdout:
        raise server.ServerError(f"the generator failed: {done.stderr.strip()}")
    (phase,) = json.loads(done.stdout)
    wanted = ("done", "seconds", "per_second", "cpu_per_1000", "tunnels_failed", "rss_after")
    return {key: phase[key] for key in wanted}


def write_script(directory: Path) -> None:
    """Install a script that leaves a mark."""
    script = directory / "scripts" / "tunnel-up"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\nprintf . >> {directory}/marks\n")
    script.chmod(0o755)


def scripts_run(directory: Path, expected: int) -> int:
    """Return how many scripts left their mark, once they all have or no more do."""
    marks, seen, end = directory / "marks", -1, time.monotonic() + SCRIPTS_WITHIN
    while (now := marks.stat().st_size if marks.exists() else 0) not in {seen, expected} and time.monotonic() < end:
        seen = now
        time.sleep(2 * QUIET)
    return now


def published(control: Path) -> int:
    """Ask the daemon how many events there were."""
    found = server.ask(control, "statistics.show")
    assert isinstance(found, dict)
    return int(found["counters"]["events"])


def judged(reports: Sequence[Phase], events: int) -> Phase:
    """Compare what the watchers were told with what happened."""
    return {
        "events": events,
        "unreported": sum(abs(events - int(str(one["events"])) - int(str(one["lost"]))) for one in reports),
        "disordered": sum(int(str(one["disordered"])) for one in reports),
        "lost_by_stalled": sum(int(str(one["lost"])) for one in reports if one["stalled"]),
        "lost_by_others": sum(int(str(one["lost"])) for one in reports if not one["stalled"]),
    }


def phases(tunnels: int, rounds: int) -> Iterator[Phase]:
    """Yield the runs, those side by side so many times."""
    for _ in range(rounds):
        yield from pair(tunnels)
    yield run("scripted", tunnels, WATCHERS, scripts=True)


def pair(tunnels: int) -> tuple[Phase, Phase]:
    """Set tunnels up alone and watched, side by side: how much the processor time has grown."""
    with ThreadPoolExecutor() as pool:
        alone, watched = pool.map(run, ("alone", "watched"), (tunnels, tunnels), (0, WATCHERS))
    return alone, watched | {"cpu_ratio": round(cpu(watched) / cpu(alone), 3)}


def cpu(phase: Phase) -> float:
    """Return the processor time for 1,000 tunnels, in seconds."""
    return float(str(phase["cpu_per_1000"]))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(prog="watched.py", description="What watchers and scripts cost.")
    options.add_argument("--tunnels", type=int, default=TUNNELS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--json", action="store_true")
    options.add_argument("--watch", default="", help=argparse.SUPPRESS)
    options.add_argument("--watchers", type=int, default=WATCHERS, help=argparse.SUPPRESS)
    said = options.parse_args(argv)
    if said.watch:
        print(json.dumps(watch(said.watch, said.watchers)))
        return 0
    found = list(phases(said.tunnels, said.rounds))
    print(as_json(found) if said.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
