#!/usr/bin/env python3
"""Subscribers of PPP towards our LNS: how many a second come up, from the first SCCRQ to the last address, and what each of them takes.

    ppp_run.py null --tunnels 10 --sessions 100      without interfaces: see ppp_daemon.py
    ppp_run.py user --tunnels 10 --sessions 100      an interface for each subscriber
    ppp_run.py shared --tunnels 100 --sessions 100   one for all (`shared_interface`)
    ppp_run.py null --tunnels 100 --sessions 240 --at-once     a region comes back after a power cut
    ppp_run.py null --auth chap                      all prove who they are to the LNS, which has its users in its configuration

The planes but `null` make interfaces in a network namespace of their own, which takes root.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if not __package__:
    for folder in (Path(__file__).resolve().parents[1], Path(__file__).resolve().parents[2]):
        sys.path.insert(0, str(folder))

import taps
from bench import server
from bench.disciplines import Phase
from bench.measure import as_json, table

STORM = Path(__file__).with_name("ppp_storm.py")
SERVER_CPU, STORM_CPU = 0, 1
WITHIN = 600.0

CONFIG = """
[profile.ppp.default]
local_address = "10.64.0.1"
pool = "subscribers"
lcp_echo_interval = 0
auth = "{auth}"
authority = "users"
shared_interface = {shared}

[pool.subscribers]
range = "10.64.0.0/15"

[user.joe]
password = "joe"
"""
USER = "joe"  # and the password


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="ppp_run.py", description="Benchmark of PPP subscribers.")
    top.add_argument("plane", choices=("null", "user", "shared"))
    top.add_argument("--tunnels", type=int, default=10)
    top.add_argument("--sessions", type=int, default=100, help="subscribers per tunnel")
    top.add_argument("--at-once", action="store_true", help="all tunnels and all calls are in set-up together")
    top.add_argument(
        "--auth", choices=("none", "pap", "chap", "mschapv2"), default="none", help="how subscribers prove who they are"
    )
    top.add_argument("--json", action="store_true", help="print one JSON document")
    return top


def measure(options: argparse.Namespace) -> list[Phase]:
    """Run it on a fresh server. Raises `ServerError`."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        contextlib.nullcontext() if options.plane == "null" else taps.namespace(),
    ):
        target = start(Path(directory), options.plane, options.auth)
        try:
            phases = storm(target, options)
            left = left_over(target)
        finally:
            target.stop()
        ending = {"tracebacks": target.tracebacks(), "stop_seconds": round(target.stop_seconds, 3)}
    phases[0] |= {"left_over": sum(left.values()), **ending}
    return phases


def left_over(target: server.Server) -> dict[str, int]:
    """Return what the server lists as up; one that does not answer has something left to do."""
    try:
        return target.left_over()
    except TimeoutError:
        return {"unanswered": 1}


def start(directory: Path, plane: str, auth: str = "none") -> server.Server:
    """Start our daemon as an LNS."""
    more = CONFIG.format(shared=str(plane == "shared").lower(), auth=auth)
    if plane == "null":
        return server.start(directory, cpu=SERVER_CPU, module="bench.ppp_daemon", more=more)
    return server.start(directory, cpu=SERVER_CPU, plane="user", more=more)


def storm(target: server.Server, options: argparse.Namespace) -> list[Phase]:
    """Run the generator and return its phases. Raises `ServerError` when it has none."""
    calls = options.tunnels * options.sessions
    wide = ["--width", str(options.tunnels), "--call-width", str(calls)] if options.at_once else []
    pin = ["--cpu", str(STORM_CPU)] if STORM_CPU in os.sched_getaffinity(0) else []
    words = ["--tunnels", str(options.tunnels), "--sessions", str(options.sessions), *wide, *pin, "--json"]
    words += [] if options.auth == "none" else ["--user", USER]
    command = [sys.executable, str(STORM), f"127.0.0.1:{target.port}", "--pid", str(target.pid), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)
    if not done.stdout:
        raise server.ServerError(f"the generator failed: {done.stderr.strip()}")
    phases: list[Phase] = json.loads(done.stdout)
    return phases


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and print what came of it; nothing where the plane is not possible."""
    options = parser().parse_args(argv)
    lack = "" if options.plane == "null" else taps.why_not()
    if lack:
        print(f"not measured: {lack}", file=sys.stderr)
    phases = [] if lack else measure(options)
    rows = (
        {"phase": phase["phase"], "figure": key, "value": value} for phase in phases for key, value in phase.items()
    )
    print(as_json(phases) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
