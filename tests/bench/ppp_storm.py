#!/usr/bin/env python3
"""A storm of PPP subscribers towards one LNS: tunnels, calls, LCP and IPCP, each measured from the first SCCRQ to the last address.

ppp_storm.py 127.0.0.1:1701 --tunnels 10 --sessions 100 --pid 4711
ppp_storm.py 127.0.0.1:1701 --tunnels 100 --sessions 240 --width 100 --call-width 24000
"""

import argparse
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

if not __package__:
    for folder in (Path(__file__).resolve().parents[1], Path(__file__).resolve().parents[2]):
        sys.path.insert(0, str(folder))

from bench import disciplines
from bench.disciplines import Meter, Phase
from bench.lac import Settings
from bench.measure import Process, as_json, milliseconds, table
from bench.ppp_lac import CLIENT, PppEngine, PppLac


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="ppp_storm.py", description="Load generator of PPP subscribers.")
    top.add_argument("server", metavar="ADDRESS:PORT", help="the LNS")
    top.add_argument("--tunnels", type=int, default=10)
    top.add_argument("--sessions", type=int, default=100, help="subscribers per tunnel")
    top.add_argument("--width", type=int, default=64, help="tunnels in set-up at a time")
    top.add_argument("--call-width", type=int, default=64, help="calls in set-up at a time")
    top.add_argument("--patience", type=float, default=300, metavar="S", help="longest time for all of it")
    top.add_argument("--hold", type=float, default=0, metavar="S", help="then stay for S seconds")
    top.add_argument("--pid", type=int, default=0, help="the server's process, to be measured")
    top.add_argument("--cpu", type=int, default=-1, help="run on this processor only")
    top.add_argument("--user", default="", help="who all of them are, where they are asked; the password is the same")
    top.add_argument("--json", action="store_true", help="print one JSON document")
    return top


def phases(options: argparse.Namespace) -> Iterator[Phase]:
    """Bring all subscribers up, stay, and hang up."""
    host, _, port = options.server.rpartition(":")
    server = Process(options.pid) if options.pid else None
    engine = PppEngine(("0.0.0.0", 0))  # noqa: S104 - IP_PKTINFO chooses the source
    settings = Settings(
        server=(host, int(port)), width=options.width, call_width=options.call_width, patience=options.patience
    )
    lac = PppLac(engine, settings, attrs.evolve(CLIENT, user=options.user, password=options.user))
    yield bring_up(lac, server, options.tunnels, options.sessions)
    if options.hold:
        lac.run(lac.pump, lambda: False, options.hold)
    yield disciplines.tear_down(lac, server)
    engine.close()


def bring_up(lac: PppLac, server: Process | None, tunnels: int, sessions: int) -> Phase:
    """Measure from the first SCCRQ to the last address."""
    meter = Meter(lac, server)
    opened = 0

    def pump() -> None:
        nonlocal opened
        while opened < tunnels and lac.opening < lac.settings.width:
            lac.tunnels.append(lac.open(calls=sessions))
            opened += 1
        lac.pump()

    lac.run(pump, lambda: opened == tunnels and lac.settled())
    asked = tunnels * sessions
    phase = meter.read("subscribers", lac.online, meter.until_last())
    return phase | {
        "asked": asked,
        "failed": asked - len(lac.addresses),  # also who shares an address
        "ppp": milliseconds(lac.ppp_latency),
        "redials": lac.redials,
        "endings": lac.endings,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 when every subscriber came up with an address of its own."""
    options = parser().parse_args(argv)
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})
    gc.disable()  # as in storm.py
    done = list(phases(options))
    print(as_json(done) if options.json else table({"figure": key, "value": done[0][key]} for key in done[0]))
    return 1 if any(phase.get(key) for phase in done for key in disciplines.FAILURES) else 0


if __name__ == "__main__":
    sys.exit(main())
