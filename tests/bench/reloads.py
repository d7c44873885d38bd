#!/usr/bin/env python3
"""A reload: what changing ten tunnels of a large configuration touches, and for how long at a time it stalls the daemon.

reloads.py                   10,000 tunnels
reloads.py --tunnels 1000    fewer
reloads.py --json            the figures as JSON

The daemon runs in this process and calls the storm's LNS. A heart beats in its event loop; the longest time between two beats is how long a packet
might have waited. Of the ten, four take a key in place, two are opened anew, two go and two come.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

if not __package__:
    for folder in (Path(__file__).resolve().parents[1], Path(__file__).resolve().parents[2]):
        sys.path.insert(0, str(folder))

from bench import server
from bench.measure import as_json, table
from l2tpd import app, log
from l2tpd.config.load import load
from l2tpd.config.model import TunnelSettings
from l2tpd.daemon import Daemon
from l2tpd.options import Options
from l2tpd.reload import named
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.states import State

STORM = Path(__file__).with_name("storm.py")
TUNNELS = 10_000
BEAT = 0.001  # seconds
REST = 0.5  # seconds
UP_WITHIN = 120.0
ROUNDS = 3

IN_PLACE, ANEW, GONE, COME = range(4), range(4, 6), range(6, 8), range(2)

Phase = dict[str, object]
Parts = tuple[ControlConnection, TunnelSettings]
Cores = Mapping[str, Parts]


def changed(text: str) -> str:
    """Return the configuration with ten tunnels changed."""
    head, *parts = text.split("\n[tunnel.")
    for number in IN_PLACE:
        parts[number] += "hello_timeout = 30\n"
    for number in ANEW:
        parts[number] += "receive_window = 64\n"
    kept = [part for number, part in enumerate(parts) if number not in GONE]
    come = [parts[len(parts) - 1].replace(f"t{len(parts) - 1}]", f"new{number}]") for number in COME]
    return "\n[tunnel.".join([head, *kept, *come])


class Heart:
    """Beats as often as the event loop lets it."""

    def __init__(self) -> None:
        """Begin with nothing measured."""
        self.longest = 0.0

    async def beat(self) -> None:
        """Beat until cancelled."""
        last = time.perf_counter()
        while True:
            await trio.sleep(BEAT)
            now = time.perf_counter()
            self.longest = max(self.longest, now - last - BEAT)
            last = now


def cores(daemon: Daemon) -> Cores:
    """Return what each tunnel is: its control connection and the settings that this has."""
    return {name: (line.tunnel.core, line.tunnel.core.settings) for name, line in daemon.dialer.lines.items()}


def touched(before: Cores, after: Cores) -> set[str]:
    """Name the tunnels that came, went, were opened anew or took other settings."""
    return {name for name in before.keys() | after.keys() if _differ(before.get(name), after.get(name))}


def _differ(before: Parts | None, after: Parts | None) -> bool:
    return before is None or after is None or any(one is not other for one, other in zip(before, after, strict=True))


async def until_up(daemon: Daemon, tunnels: int) -> None:
    """Wait for all tunnels to be established."""
    with trio.fail_after(UP_WITHIN):
        while sum(line.tunnel.core.state is State.ESTABLISHED for line in daemon.dialer.lines.values()) < tunnels:
            await trio.sleep(0.2)


@asynccontextmanager
async def running(directory: Path, tunnels: int) -> AsyncIterator[Daemon]:
    """Run a daemon whose tunnels are up, and the LNS that they are with."""
    port = server.free_port()
    path = directory / "l2tpd.toml"
    calls = server.Calls(port=port, tunnels=tunnels, sessions=0)
    path.write_text(server.configuration(directory, server.free_port(), calls=calls))
    command = [sys.executable, str(STORM), f"127.0.0.1:{port}", "--lns", "--json"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as lns:  # noqa: ASYNC220 - no loop to stall yet
        try:
            async with trio.open_nursery() as nursery:
                ready = trio.Event()
                daemon = Daemon(named(load(path)), Options(config_path=path, ready=ready.set))
                nursery.start_soon(daemon.run)
                await ready.wait()
                app.freeze_collector()
                await until_up(daemon, tunnels)
                yield daemon
                daemon.stop(at_once=True)
        finally:
            lns.kill()


async def measure(directory: Path, tunnels: int) -> AsyncIterator[Phase]:
    """Change ten tunnels, and change them back, and so on."""
    async with running(directory, tunnels) as daemon, trio.open_nursery() as nursery:
        path, heart = directory / "l2tpd.toml", Heart()
        texts = (path.read_text(), changed(path.read_text()))
        nursery.start_soon(heart.beat)
        for turn in range(2 * ROUNDS):
            path.write_text(texts[(turn + 1) % 2])
            yield await reload(daemon, heart)
            await until_up(daemon, tunnels)
        nursery.cancel_scope.cancel()


async def reload(daemon: Daemon, heart: Heart) -> Phase:
    """Reload once."""
    before = cores(daemon)
    await trio.sleep(REST)
    resting, heart.longest = heart.longest, 0.0
    began, cpu = time.perf_counter(), time.process_time()
    plan = await daemon.reloader.reload()
    seconds, cost = time.perf_counter() - began, time.process_time() - cpu
    await trio.sleep(REST)
    found, meant = touched(before, cores(daemon)), {step.path[1] for step in plan.steps}
    return {
        "phase": "reload",
        "done": len(found),
        "strangers": len(found ^ meant),
        "seconds": round(seconds, 3),
        "cpu": round(cost, 3),
        "longest_ms": round(heart.longest * 1000, 1),
        "resting_ms": round(resting * 1000, 1),
    }


async def bench(tunnels: int) -> list[Phase]:
    """Measure on a daemon of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        (Path(directory) / "scripts").mkdir()
        return [phase async for phase in measure(Path(directory), tunnels)]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(prog="reloads.py", description="What a reload costs.")
    options.add_argument("--tunnels", type=int, default=TUNNELS)
    options.add_argument("--json", action="store_true")
    said = options.parse_args(argv)
    app.raise_descriptor_limit()
    app.tune_collector()
    log.configure("error", log.Stream())
    phases = trio.run(bench, said.tunnels)
    print(as_json(phases) if said.json else table(phases))
    return 0


if __name__ == "__main__":
    sys.exit(main())
