"""What `nox -s fuzz` runs: datagrams at random and by mutation, against decoders, whole cores and a whole daemon.

    run.py [--seconds N] [--datagrams N] [--seed S] [--stage NAME]... [--crashes DIRECTORY]

The same seed gives the same datagrams. Every failure of a new kind is kept in the directory, as small as it gets, and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz import cores, decoders, endpoint, links
from fuzz.crash import Crashes

STAGES: dict[str, Callable[..., int]] = {
    "decoders": decoders.run,
    "cores": cores.run,
    "links": links.run,
    "endpoint": endpoint.run,
}


def main() -> int:
    """Run the stages one after the other; return the exit status."""
    asked = _arguments()
    crashes = Crashes(asked.crashes)
    chosen = asked.stage or list(STAGES)
    total = 0
    for name in chosen:
        before, started = _resident(), time.monotonic()
        until = started + asked.seconds / len(chosen) if asked.seconds else math.inf
        limit = asked.datagrams // len(chosen) if asked.datagrams else sys.maxsize
        count = STAGES[name](Random(f"{asked.seed} {name}"), crashes, datagrams=limit, until=until)
        took = time.monotonic() - started
        total += count
        print(
            f"{name:10} {count:>12,} datagrams in {took:7.1f} s, {count / took:>9,.0f}/s; "
            f"resident {before:.0f} MiB before, {_resident():.0f} MiB after",
            flush=True,
        )
    for kind, times in crashes.kinds.items():
        print(f"FAILED {kind}: {times} times\n{crashes.texts[kind]}")
    print(f"{total:,} datagrams, {crashes.total} failures of {len(crashes.kinds)} kinds, seed {asked.seed}")
    return 1 if crashes.total else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz l2tpd.")
    parser.add_argument("--seconds", type=float, default=0.0, help="for all stages together")
    parser.add_argument("--datagrams", type=int, default=0, help="for all stages together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stage", action="append", choices=list(STAGES))
    parser.add_argument("--crashes", type=Path, default=None, help="where failing inputs are kept")
    asked = parser.parse_args()
    if not asked.seconds and not asked.datagrams:
        asked.seconds = 60.0
    return asked


def _resident() -> float:
    """Return how many MiB of this process are in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    sys.exit(main())
