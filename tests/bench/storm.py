#!/usr/bin/env python3
"""A storm of L2TPv2 or L2TPv3 LACs towards one LNS, or with --lns a fast LNS of version 2 for LACs to be measured against.

Standard library only and independent of `l2tpd`. Examples:

    storm.py 127.0.0.1:1701 --tunnels 1000 --sessions 1 --pid 4711
    storm.py 127.0.0.1:1701 --version 3 --tunnels 100 --sessions 100 --phased --secret s3cret
    storm.py 127.0.0.1:1701 --tunnels 10000 --phased --sessions 1 --hold 30
    storm.py 127.0.0.1:1701 --churn 10 --slots 500
    storm.py 127.0.0.1:1701 --fuzz 5 --fuzz-rate 4000
    storm.py --lns 127.0.0.1:1701        (port 0: any; it says which)
"""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import disciplines
from bench.engine import Address, Engine
from bench.hostile import Barrage
from bench.lac import Lac, Settings, Tunnel, wire_of
from bench.lns import Accepted, Lns
from bench.measure import Process, as_json, table


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="storm.py", description="L2TP load generator (many LACs), or a fast LNS.")
    top.add_argument("server", metavar="ADDRESS:PORT", help="the LNS; with --lns the address to listen on")
    top.add_argument("--lns", action="store_true", help="be an LNS")
    top.add_argument(
        "--tunnels", type=int, default=0, help="set so many tunnels up (--lns: serve so many, then report)"
    )
    top.add_argument("--sessions", type=int, default=0, help="calls per tunnel (--lns: calls in all)")
    top.add_argument("--phased", action="store_true", help="all tunnels first, then all sessions, measured apart")
    top.add_argument("--hold", type=float, default=0, metavar="S", help="then hold for S seconds with HELLOs")
    top.add_argument("--hello-interval", type=float, default=10, metavar="S")
    top.add_argument("--no-teardown", action="store_true", help="leave without StopCCN")
    top.add_argument("--churn", type=float, default=0, metavar="S", help="set up and tear down for S seconds")
    top.add_argument("--slots", type=int, default=500, help="tunnels that churn at a time")
    top.add_argument("--fuzz", type=float, default=0, metavar="S", help="fire hostile datagrams for S seconds")
    top.add_argument("--fuzz-rate", type=float, default=4000, metavar="N", help="hostile datagrams a second")
    top.add_argument("--victims", type=int, default=8, help="established tunnels beside the hostile datagrams")
    top.add_argument(
        "--loss", type=float, default=0, metavar="PERCENT", help="drop in each direction, repeatable by --seed"
    )
    top.add_argument(
        "--rto", type=float, default=1, metavar="S", help="first retransmission after S seconds, then doubling"
    )
    top.add_argument("--seed", type=int, default=1)
    top.add_argument(
        "--width", "--concurrency", type=int, default=64, help="tunnels in set-up (or tear-down) at a time"
    )
    top.add_argument("--call-width", type=int, default=64, help="calls in set-up at a time")
    top.add_argument("--same-source", action="store_true", help="all tunnels from one address and port")
    top.add_argument("--rotate-sources", action="store_true", help="a fresh source address for each new tunnel")
    top.add_argument("--port", type=int, default=0, help="source port (default: any)")
    top.add_argument(
        "--secret", default="", help="challenge the peer, and answer its challenge; in version 3 sign all messages"
    )
    top.add_argument("--version", type=int, default=2, choices=(2, 3), help="of the protocol that the LACs speak")
    top.add_argument(
        "--any-sender", action="store_true", help="accept answers from another address than the tunnel's peer"
    )
    top.add_argument("--patience", type=float, default=120, metavar="S", help="longest time for one phase")
    top.add_argument("--pid", type=int, default=0, help="the server's process, to be measured")
    top.add_argument("--cpu", type=int, default=-1, help="run on this processor only")
    top.add_argument("--json", action="store_true", help="print one JSON document")
    return top


def address(text: str) -> Address:
    """Split ADDRESS:PORT."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def lac_phases(options: argparse.Namespace) -> Iterator[disciplines.Phase]:
    """Run the disciplines that were asked for, in the order: set-up, hold, teardown, churn, fuzz."""
    server = Process(options.pid) if options.pid else None
    engine = Engine[Tunnel](
        ("0.0.0.0", options.port),  # noqa: S104  IP_PKTINFO chooses the source
        loss=options.loss / 100,
        seed=options.seed,
        check_sender=not options.any_sender,
        rto=options.rto,
        framing=wire_of(options.version, options.secret.encode()),
    )
    settings = Settings(
        server=address(options.server),
        width=options.width,
        call_width=options.call_width,
        same_source=options.same_source,
        rotate_sources=options.rotate_sources,
        secret=options.secret.encode(),
        version=options.version,
        patience=options.patience,
    )
    lac = Lac(engine, settings)
    if options.tunnels:
        yield from disciplines.set_up(lac, server, options.tunnels, options.sessions, phased=options.phased)
    if options.hold:
        yield disciplines.hold(lac, server, options.hold, options.hello_interval)
    if options.tunnels and not options.no_teardown:
        yield disciplines.tear_down(lac, server)
    if options.churn:
        yield disciplines.churn(Lac(engine, settings), server, options.slots, options.churn)
    if options.fuzz:
        barrage = Barrage(engine, settings.server, options.fuzz_rate, options.seed, foreign=not options.same_source)
        lac = Lac(engine, settings)
        yield disciplines.fuzz(lac, server, barrage, options.fuzz, options.victims)
        barrage.close()
        yield disciplines.tear_down(lac, server)
    engine.close()


def serve(options: argparse.Namespace) -> dict[str, object]:
    """Be the LNS until the asked-for number is served or a signal comes; return the report."""
    engine = Engine[Accepted](
        address(options.server),
        loss=options.loss / 100,
        seed=options.seed,
        check_sender=not options.any_sender,
        rto=options.rto,
    )
    print(f"listening on port {engine.port}", file=sys.stderr, flush=True)
    lns = Lns(engine, options.secret.encode())
    try:
        lns.serve(options.tunnels, options.sessions, options.hold)
    except KeyboardInterrupt:
        pass
    finally:
        engine.close()
    return lns.report()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the storm; 0 when all that was asked for was reached."""
    options = parser().parse_args(argv)
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})
    gc.disable()  # nothing here makes lasting cycles, and a collection would show as latency of the peer
    if options.lns:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        phases = [serve(options)]
    else:
        phases = list(lac_phases(options))
    print(as_json(phases) if options.json else _text(phases))
    return 1 if any(phase.get(key) for phase in phases for key in disciplines.FAILURES) else 0


def _text(phases: Sequence[disciplines.Phase]) -> str:
    return "\n\n".join(table(_rows(phase)) for phase in phases)


def _rows(phase: disciplines.Phase) -> Iterator[dict[str, object]]:
    for key, value in phase.items():
        if isinstance(value, dict):
            yield from ({"figure": f"{key}: {name}", "value": figure} for name, figure in value.items())
        else:
            yield {"figure": key, "value": value}


if __name__ == "__main__":
    sys.exit(main())
