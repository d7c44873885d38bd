"""What `nox -s soak` runs: daemons that have everything happen to them at once, for an hour or as many minutes as asked.

    run.py [--minutes N] [--seed S] [--null]

For each data plane that this machine has (the null one, and as root the user-space one, with PPP and Ethernet inside) an LNS and a LAC, real processes,
and between them paths of IPv4 and IPv6 that lose 5 % of all datagrams, double 5 % and reorder. Who calls over the user-space plane is let in by a RADIUS
server that loses requests, is dead for seconds, and ends sessions; it gets an address and a prefix of IPv6 out of pools. In every round tunnels and sessions
come and go by the hand of operators at both ends, the configuration is read anew in another form, junk comes as fast as a slow sender sends it, watchers
come, stall and go, metrics are scraped, and hook scripts run. Then there is silence: what was created is deleted; lists, counters, pools, RADIUS and the
kernel have to agree on what there is; and what the daemons have is compared with what they had in the first silence: descriptors, threads and interfaces to
the last one, memory within bounds. At the end nothing may be left.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

import taps
from soak.couple import ROUND, Couple, Objects, Stock

MEMORY_SHARE, MEMORY_MORE = 0.1, 2 << 20
"""How much more memory than in the second silence is flat: share, and octets."""


async def soak(minutes: float, seed: int, planes: list[str], folder: Path) -> None:
    """Run couples over these planes. Raises `AssertionError` naming what is not flat."""
    before, until, rounds = Objects.here(), time.monotonic() + 60 * minutes, 0
    couples = [
        Couple(plane, 10 + at, folder / plane, Random(f"{seed} {plane}"), before) for at, plane in enumerate(planes)
    ]
    history: list[dict[tuple[str, str], Stock]] = []
    async with AsyncExitStack() as stack:
        for couple in couples:
            await stack.enter_async_context(couple.running())
        stack.enter_context(told(couples))
        while rounds < 3 or time.monotonic() < until:
            async with trio.open_nursery() as nursery:
                for couple in couples:
                    nursery.start_soon(couple.storm, min(ROUND, 15 * minutes))
            stocks: dict[tuple[str, str], Stock] = {}
            async with trio.open_nursery() as nursery:
                for couple in couples:
                    nursery.start_soon(couple.silence, stocks)
            history.append(stocks)
            rounds += 1
            _show(rounds, stocks)
            judge(history)
    assert before == Objects.here(), f"{before} became {Objects.here()}"
    print(f"{rounds} rounds, nothing is left")


@contextmanager
def told(couples: Iterable[Couple]) -> Iterator[None]:
    """Print at the end what has happened; if it was a failure, what the daemons said last as well."""
    try:
        yield
    except BaseException:
        for couple in couples:
            print(couple.last_words())
        raise
    finally:
        for couple in couples:
            print(couple.summary(), flush=True)


def _show(number: int, stocks: dict[tuple[str, str], Stock]) -> None:
    print(f"round {number}: {Objects.here().interfaces} interfaces")
    for (plane, name), stock in sorted(stocks.items()):
        print(f"  {plane} {name}: {stock}", flush=True)


def judge(history: list[dict[tuple[str, str], Stock]]) -> None:
    """Fail unless the last silence is like the first."""
    first, last = history[0], history[-1]
    for whose, stock in last.items():
        seen = [stocks[whose] for stocks in history]
        assert first[whose].descriptors == stock.descriptors, (
            f"{whose}: descriptors {[one.descriptors for one in seen]}"
        )
        assert stock.threads <= first[whose].threads + 2, f"{whose}: threads {[one.threads for one in seen]}"
        base = history[min(1, len(history) - 1)][whose].memory
        assert stock.memory <= base * (1 + MEMORY_SHARE) + MEMORY_MORE, (
            f"{whose}: memory {[one.memory for one in seen]}"
        )


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Return what a group of groups is about."""
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from leaves(one)
        else:
            yield one


def main() -> int:
    """Read the command line and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Soak l2tpd.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--null", action="store_true", help="the null plane alone")
    asked = parser.parse_args()
    why_not = "asked not to" if asked.null else taps.why_not()
    if why_not:
        print(f"THE USER-SPACE PLANE IS NOT SOAKED: {why_not}", flush=True)
    status = 0
    planes = ["null"] if why_not else ["null", "user"]
    with TemporaryDirectory(prefix="l2tpd-soak-") as folder, nullcontext() if os.geteuid() else taps.namespace():
        if not os.geteuid():
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0")
        try:
            trio.run(partial(soak, asked.minutes, asked.seed, planes, Path(folder)), strict_exception_groups=True)
        except* Exception as group:  # noqa: BLE001 - whatever it is, it is shown, and is our exit status
            for error in leaves(group):
                traceback.print_exception(error)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
