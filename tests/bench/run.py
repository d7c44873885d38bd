#!/usr/bin/env python3
"""The benchmark: starts the daemon for each discipline anew, lets the storm loose on it, and prints what came of it.

run.py                       all disciplines, three runs each of (a), (b), (c) and of pairs
run.py --quick               a small subset, well under half a minute
run.py --only c --json FILE  one discipline, the figures to FILE as well
run.py --server-cmd "xl2tpd -D -c FILE" --server-port 17021   any other LNS

What is to be compared runs side by side: two servers at the same time on one processor, their generators on the other, and of each pair the ratio
of processor time counts, several times over. A machine that others use as well changes its speed by a third from one minute to the next; that hits
both of a pair alike, while of two runs one after the other it says more than the servers do. Their rates tell nothing besides: two servers on one
processor share its time evenly, and each does what its share is enough for.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import marks, server
from bench.measure import Process, table

STORM = Path(__file__).with_name("storm.py")
SERVER_CPU, STORM_CPU = 0, 1
RUN_WITHIN = 900.0
LAC_WITHIN = 60.0
SECRET = "a secret of the bench"
PAIRED = "--tunnels 300 --sessions 30 --phased"

LOSSES = ("tunnels_failed", "sessions_failed", "tunnels_dropped", "unfinished", "failed", "lost", "harmed")
FAULTS = (
    "failed",
    "lost",
    "unanswered",
    "harmed",
    "left_over",
    "tracebacks",
    "unreported",
    "disordered",
    "strangers",
    "longest_ms",
)
SET_UPS = ("tunnels", "sessions", "tunnels+sessions", "subscribers")

Phase = dict[str, object]
Run = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discipline:
    """One discipline: what the storm is told, with `lac` how many tunnels and sessions our own LAC opens, or a `program` that does it all.

    What it is measured by runs `beside` it, at the same time.
    """

    name: str
    text: str
    storm: str = ""
    secret: str = ""
    repeat: bool = False
    lac: tuple[int, int] | None = None
    program: str = ""
    beside: "Discipline | None" = None


FULL = (
    Discipline(name="a", text="1,000 tunnels x 1 session", storm="--tunnels 1000 --sessions 1", repeat=True),
    Discipline(name="b", text="100 tunnels x 100 sessions", storm="--tunnels 100 --sessions 100 --phased", repeat=True),
    Discipline(
        name="c",
        text="10,000 tunnels, then 10,000 sessions",
        storm="--tunnels 10000 --sessions 1 --phased",
        repeat=True,
    ),
    Discipline(
        name="hold",
        text="10,000 tunnels and sessions held 30 s, HELLO every 10 s",
        storm="--tunnels 10000 --sessions 1 --hold 30 --hello-interval 10",
    ),
    Discipline(
        name="one-source", text="1,000 x 1 from one address and port", storm="--tunnels 1000 --sessions 1 --same-source"
    ),
    Discipline(
        name="secret", text="1,000 x 1 with Challenge both ways", storm="--tunnels 1000 --sessions 1", secret=SECRET
    ),
    Discipline(
        name="v3",
        text="300 tunnels, then 30 sessions each, in version 3 beside version 2",
        storm=f"--version 3 {PAIRED}",
        repeat=True,
        beside=Discipline(name="v2", text="the same in version 2", storm=PAIRED),
    ),
    Discipline(
        name="v3-secret",
        text="the same with every message signed, beside version 2 with Challenge both ways",
        storm=f"--version 3 {PAIRED}",
        secret=SECRET,
        repeat=True,
        beside=Discipline(name="v2-secret", text="the same in version 2", storm=PAIRED, secret=SECRET),
    ),
    Discipline(
        name="loss", text="1,000 x 1, 5 % lost each way", storm="--tunnels 1000 --sessions 1 --loss 5 --width 256"
    ),
    Discipline(
        name="reconnect",
        text="1,000 tunnels x 10 sessions, all at once",
        storm="--tunnels 1000 --sessions 10 --width 1000 --call-width 4000",
    ),
    Discipline(name="churn", text="500 slots up and down for 10 s", storm="--churn 10 --slots 500 --width 500"),
    Discipline(
        name="rotate",
        text="the same, each from a fresh source",
        storm="--churn 10 --slots 500 --width 500 --rotate-sources",
    ),
    Discipline(name="fuzz", text="20,000 hostile datagrams in 5 s", storm="--fuzz 5 --fuzz-rate 4000"),
    Discipline(name="ppp", text="10 tunnels x 100 subscribers of PPP", program="ppp_run.py null"),
    Discipline(
        name="ppp-many",
        text="100 x 100 subscribers of PPP",
        program="ppp_run.py null --tunnels 100",
    ),
    Discipline(name="ppp-chap", text="10 x 100 that prove who they are", program="ppp_run.py null --auth chap"),
    Discipline(name="ppp-user", text="10 x 100 on the user plane", program="ppp_run.py user"),
    Discipline(name="ppp-user-many", text="100 x 100 on the user plane", program="ppp_run.py user --tunnels 100"),
    Discipline(name="ppp-shared", text="100 x 100 on one interface", program="ppp_run.py shared --tunnels 100"),
    Discipline(
        name="ppp-reconnect",
        text="100 x 240 subscribers of PPP, all at once",
        program="ppp_run.py null --tunnels 100 --sessions 240 --at-once",
    ),
    Discipline(name="lac", text="our LAC opens 1,000 x 1", lac=(1000, 1)),
    *(
        Discipline(name=f"flood-{kind}", text="a flood beside 1,000 tunnels", program=f"flood.py --only {kind}")
        for kind in ("sccrq-one", "sccrq-many", "sccrq-stop", "icrq", "junk")
    ),
    Discipline(
        name="watch", text="10,000 tunnels alone beside as many watched, and with scripts", program="watched.py"
    ),
    Discipline(name="reload", text="10 of 10,000 tunnels changed by a reload", program="reloads.py"),
)

QUICK = (
    Discipline(name="a", text="200 tunnels x 1 session", storm="--tunnels 200 --sessions 1"),
    Discipline(name="b", text="10 tunnels x 100 sessions", storm="--tunnels 10 --sessions 100 --phased"),
    Discipline(name="c", text="1,000 tunnels, then 1,000 sessions", storm="--tunnels 1000 --sessions 1 --phased"),
    Discipline(
        name="hold", text="500 tunnels held 4 s", storm="--tunnels 500 --sessions 1 --hold 4 --hello-interval 2"
    ),
    Discipline(name="fuzz", text="2,000 hostile datagrams in 2 s", storm="--fuzz 2 --fuzz-rate 1000"),
)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="run.py", description="Benchmark of the control plane.")
    top.add_argument("--quick", action="store_true", help="a small subset, under 30 s")
    top.add_argument("--only", default="", metavar="NAMES", help="disciplines by name, separated by commas")
    top.add_argument("--repeat", type=int, default=3, help="runs of (a), (b), (c) and of pairs; the median is shown")
    top.add_argument("--json", default="", metavar="FILE", help="write everything as JSON too (- for standard output)")
    top.add_argument("--strict", action="store_true", help="exit with 1 when an aim is missed")
    top.add_argument(
        "--server-cmd", default="", metavar="COMMAND", help="bench this server instead; {port} is replaced"
    )
    top.add_argument(
        "--server-port", type=int, default=0, metavar="PORT", help="the port it listens on (default: one that is free)"
    )
    top.add_argument("--settle", type=float, default=1.0, metavar="S", help="how long it takes to start")
    top.add_argument("--storm-args", default="", metavar="ARGS", help="more arguments for the generator")
    return top


def chosen(options: argparse.Namespace) -> list[Discipline]:
    """Select the disciplines; raises `SystemExit` on a name that does not exist."""
    disciplines = QUICK if options.quick else FULL
    names = {name for name in options.only.split(",") if name}
    if unknown := names - {name for each in disciplines for name in names_of(each)}:
        raise SystemExit(f"no such discipline: {', '.join(sorted(unknown))}")
    picked = [each for each in disciplines if not names or names & names_of(each)]
    return [each for each in picked if not (options.server_cmd and (each.lac or each.program or each.beside))]


def names_of(discipline: Discipline) -> set[str]:
    """Return the names under which a discipline can be asked for."""
    return {discipline.name} | ({discipline.beside.name} if discipline.beside else set())


def trial(discipline: Discipline, options: argparse.Namespace) -> list[Run]:
    """Run one discipline, with what it is measured by, if anything, at the same time."""
    if discipline.beside is None:
        return [bench(discipline, options)]
    with ThreadPoolExecutor() as pool:
        measure, run = pool.map(lambda each: bench(each, options), (discipline.beside, discipline))
    return [measure, run | {"ratios": dict(marks.ratios(dict([*_figures(measure), *_figures(run)])))}]


def bench(discipline: Discipline, options: argparse.Namespace) -> Run:
    """Run one discipline against a fresh server; what failed is told in the key `error`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        try:
            if discipline.program:
                return _program(discipline)
            return _lac(discipline, Path(directory)) if discipline.lac else _lns(discipline, Path(directory), options)
        except (server.ServerError, subprocess.SubprocessError, OSError) as error:
            return {"name": discipline.name, "text": discipline.text, "error": str(error), "phases": []}


def _program(discipline: Discipline) -> Run:
    """Run a benchmark that starts what it needs; it prints its phases."""
    words = discipline.program.split()
    command = [sys.executable, str(Path(__file__).with_name(words[0])), *words[1:], "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=RUN_WITHIN, check=True)
    return {"name": discipline.name, "text": discipline.text, "phases": json.loads(done.stdout)}


def _lns(discipline: Discipline, directory: Path, options: argparse.Namespace) -> Run:
    if options.server_cmd:
        target = server.start_other(
            directory, options.server_cmd, options.server_port, cpu=SERVER_CPU, settle=options.settle
        )
    else:
        target = server.start(directory, cpu=SERVER_CPU, secret=discipline.secret)
    try:
        arguments = [*discipline.storm.split(), *options.storm_args.split()]
        arguments += ["--secret", discipline.secret] if discipline.secret else []
        phases = storm([f"127.0.0.1:{target.port}", "--pid", str(target.pid), *arguments])
        left = target.left_over()
    finally:
        target.stop()
    return _result(discipline, target, phases) | {"left_over": left}


def _lac(discipline: Discipline, directory: Path) -> Run:
    tunnels, sessions = discipline.lac or (0, 0)
    port = server.free_port()
    command = _command([f"127.0.0.1:{port}", "--lns", "--tunnels", str(tunnels), "--sessions", str(tunnels * sessions)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as lns:
        target = server.start(
            directory, cpu=SERVER_CPU, calls=server.Calls(port=port, tunnels=tunnels, sessions=sessions)
        )
        try:
            output, _ = _patiently(lns)
            cpu = Process(target.pid).cpu()  # from its birth on: set-up begins before anyone could take a reading
        finally:
            target.stop()
    phases: list[Phase] = json.loads(output)
    phases[0] |= {"cpu": round(cpu, 3), "cpu_per_1000": round(cpu * 1000 / tunnels, 4), "asked": tunnels}
    return _result(discipline, target, phases)


def _patiently(lns: "subprocess.Popen[str]") -> tuple[str, str]:
    try:
        return lns.communicate(timeout=LAC_WITHIN)
    except subprocess.TimeoutExpired:
        lns.terminate()  # it reports what it has
        return lns.communicate(timeout=LAC_WITHIN)


def _result(discipline: Discipline, target: server.Server, phases: list[Phase]) -> Run:
    return {
        "name": discipline.name,
        "text": discipline.text,
        "phases": phases,
        "stop_seconds": round(target.stop_seconds, 3),
        "exit_status": target.exit_status,
        "tracebacks": target.tracebacks(),
        "log": target.tail(),
    }


def storm(arguments: Sequence[str]) -> list[Phase]:
    """Run the generator and return its phases; raises `ServerError` when it printed none."""
    done = subprocess.run(_command(arguments), capture_output=True, text=True, timeout=RUN_WITHIN, check=False)
    if not done.stdout:
        raise server.ServerError(f"the generator failed: {done.stderr.strip()}")
    phases: list[Phase] = json.loads(done.stdout)
    return phases


def _command(arguments: Sequence[str]) -> list[str]:
    pin = ["--cpu", str(STORM_CPU)] if STORM_CPU in os.sched_getaffinity(0) else []
    return [sys.executable, str(STORM), *arguments, "--json", *pin]


def figures(runs: Sequence[Run]) -> dict[str, float]:
    """Reduce runs to figures such as `c.tunnels_per_s`: the median of several runs, but of what went wrong the worst."""
    samples: dict[str, list[float]] = {}
    for run in runs:
        for name, value in _figures(run):
            samples.setdefault(name, []).append(value)
    return {name: _reduced(name, values) for name, values in samples.items()}


def _reduced(name: str, values: Sequence[float]) -> float:
    return max(values) if name.rpartition(".")[2] in FAULTS else statistics.median(values)


def _figures(run: Run) -> Iterator[tuple[str, float]]:
    name = str(run["name"])
    yield "tracebacks", _number(run.get("tracebacks"))
    ratios = run.get("ratios")
    yield from ratios.items() if isinstance(ratios, dict) else ()
    left = run.get("left_over")
    if isinstance(left, dict) and left:
        yield "left_over", float(sum(left.values()))
    phases = run["phases"]
    for phase in phases if isinstance(phases, list) else []:
        for key, value in _of_phase(name, phase):
            if isinstance(value, int | float):
                yield key, float(value)


def _of_phase(name: str, phase: Phase) -> Iterator[tuple[str, object]]:
    """Name what one phase of discipline `name` has to say."""
    lost = sum(_number(phase.get(key)) for key in LOSSES)
    match phase["phase"]:
        case "tunnels":
            yield f"{name}.tunnels_per_s", phase["per_second"]
            yield f"{name}.bytes_per_tunnel", phase.get("bytes_each")
            yield f"{name}.growth", phase.get("growth")
            yield f"{name}.failed", lost
            yield f"{name}.sccrp_p99_ms", _p99(phase, "sccrp")
            if name != "b":
                yield f"{name}.cpu_per_1000", phase.get("cpu_per_1000")
        case "sessions":
            yield f"{name}.sessions_per_s", phase["per_second"]
            yield f"{name}.bytes_per_session", phase.get("bytes_each")
            yield f"{name}.sessions_cpu_per_1000", phase.get("cpu_per_1000")
            yield f"{name}.icrp_p99_ms", _p99(phase, "icrp")
            yield f"{name}.failed", lost
            if name == "b":
                yield f"{name}.cpu_per_1000", phase.get("cpu_per_1000")
        case "tunnels+sessions":
            yield f"{name}.tunnels_per_s", phase["per_second"]
            yield f"{name}.cpu_per_1000", phase.get("cpu_per_1000")
            yield f"{name}.bytes_per_both", phase.get("bytes_each")
            yield f"{name}.seconds", phase["seconds"]
            yield f"{name}.failed", lost
            yield f"{name}.sccrp_p99_ms", _p99(phase, "sccrp")
            yield f"{name}.icrp_p99_ms", _p99(phase, "icrp")
        case "teardown":
            yield "teardown.per_second", phase["per_second"] if name == "c" else None
        case "lns":
            yield "lac.tunnels_per_s", phase["tunnels_per_s"]
            yield "lac.cpu_per_1000", phase.get("cpu_per_1000")
            yield "lac.failed", _number(phase.get("asked")) - _number(phase.get("tunnels"))
        case "alone" | "watched" | "scripted" as phase_name:
            yield from ((f"{phase_name}.{key}", value) for key, value in phase.items())
        case _:
            yield from ((f"{name}.{key}", value) for key, value in phase.items())


def _p99(phase: Phase, key: str) -> object:
    latency = phase.get(key)
    return latency.get("p99_ms") if isinstance(latency, dict) else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def summary(runs: Sequence[Run]) -> Iterator[dict[str, object]]:
    """Yield a row for each phase of each run."""
    for run in runs:
        if "error" in run:
            yield {"discipline": run["name"], "phase": "FAILED: " + str(run["error"]).splitlines()[0]}
        phases = run["phases"]
        for phase in phases if isinstance(phases, list) else []:
            yield {"discipline": run["name"], **_row(phase)}


def _row(phase: Mapping[str, object]) -> dict[str, object]:
    done = phase.get("done", phase.get("tunnels"))
    lost = sum(_number(phase.get(key)) for key in LOSSES)
    return {
        "phase": str(phase["phase"]) + (" (server died)" if phase.get("alive") is False else ""),
        "done": done,
        "lost": int(lost),
        "s": phase["seconds"],
        "per s": phase.get("per_second", phase.get("tunnels_per_s")),
        "p99 SCCRP ms": _p99(dict(phase), "sccrp") or "",
        "p99 ICRP ms": _p99(dict(phase), "icrp") or "",
        "CPU s/1,000": phase.get("cpu_per_1000"),
        "CPU share": phase.get("cpu_share", ""),
        "bytes each": phase.get("bytes_each", "") if phase["phase"] in SET_UPS else "",
        "RSS MiB": round(_number(phase.get("rss_after")) / 2**20, 1),
        "generator us": phase.get("generator_us_each", ""),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark: 0 well, 1 when a run failed or, with --strict, an aim was missed."""
    options = parser().parse_args(argv)
    runs: list[Run] = []
    try:
        for run in _bench_all(options):
            runs.append(run)  # noqa: PERF402  what came before an interruption is kept
    except KeyboardInterrupt:
        runs.append({"name": "-", "error": "interrupted", "phases": []})
    found = figures(runs)
    print(_text(runs, found, comparable=not options.quick))
    _write(options.json, json.dumps(_report(runs, found, comparable=not options.quick), indent=2))
    missed = any(not row["met"] for row in marks.judged(found))
    return 1 if any("error" in run for run in runs) or (options.strict and missed) else 0


def _bench_all(options: argparse.Namespace) -> Iterator[Run]:
    for turn in range(options.repeat):  # in turns, for what else the machine does should hit all alike
        for discipline in chosen(options):
            if turn and not discipline.repeat:
                continue
            print(f"{discipline.name}: {discipline.text} ...", file=sys.stderr, flush=True)
            for run in trial(replace(discipline, secret="" if options.server_cmd else discipline.secret), options):
                if error := run.get("error"):
                    print(error, file=sys.stderr, flush=True)
                yield run


def _write(target: str, text: str) -> None:
    if target == "-":
        print(text)
    elif target:
        Path(target).write_text(text + "\n")


def _report(runs: Sequence[Run], found: Mapping[str, float], *, comparable: bool) -> dict[str, object]:
    return {
        "host": _host(),
        "figures": found,
        "aims": list(marks.judged(found)),
        "marks": {"source": marks.SOURCE, "rows": list(marks.compared(found)) if comparable else []},
        "summary": list(summary(runs)),
        "runs": list(runs),
    }


def _host() -> dict[str, object]:
    return {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }


def _text(runs: Sequence[Run], found: Mapping[str, float], *, comparable: bool) -> str:
    head = ", ".join(f"{key} {value}" for key, value in _host().items())
    parts = [head, table(summary(runs)), "Aims", table(marks.judged(found))]
    if comparable and (rows := list(marks.compared(found))):
        parts += [f"Against other daemons ({marks.SOURCE}); a ratio above 1: ours is better", table(rows)]
    return "\n\n".join(parts)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was measured is still told
    sys.exit(main())
