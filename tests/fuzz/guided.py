"""Fuzzing that looks at coverage, with atheris: one process for each target, so many at a time as there are processors.

    guided.py [--seconds N] [--target NAME]... [--crashes DIRECTORY] [--keep]

It begins with the corpus (`corpus/TARGET.hex`, an input a line) and what `targets.first` knows. `--keep` writes back the smallest set of inputs that
reaches all that was reached. An input that fails ends its target, is left in the directory, and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
CORPUS: Final = HERE / "corpus"
PRODUCT: Final = tuple(str(HERE.parents[1] / directory) for directory in ("l2tpd", "cli"))
LONGEST: Final = {"core": 3000, "link": 3000, "config": 3000, "foreign": 3000}
"""Octets of an input; of what is not named here, 1,500."""
SLOWEST: Final = 20
"""Seconds after which an input is a failure."""
MEMORY: Final = 1024
"""MiB after which it is."""
_Place = tuple[str, int]
_Arc = tuple[_Place, _Place]

_RUNS = re.compile(rb"stat::number_of_executed_units: (\d+)")
_COVERED = re.compile(rb"cov: (\d+)")


class Run(NamedTuple):
    """What came of one target."""

    target: str
    inputs: int
    covered: int  # edges
    output: str  # of the process that failed


def main() -> int:
    """Aim at the targets; return the exit status."""
    sys.path[:0] = [str(HERE.parent)]
    from fuzz import targets  # noqa: PLC0415 - a child has to instrument it before

    parser = argparse.ArgumentParser(description="Fuzz l2tpd, looking at coverage.")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all targets together")
    parser.add_argument("--target", action="append", choices=list(targets.TARGETS))
    parser.add_argument("--crashes", type=Path, default=Path("crashes"), help="where failing inputs are kept")
    parser.add_argument("--keep", action="store_true", help="write what was found into the corpus")
    asked = parser.parse_args()
    chosen = asked.target or list(targets.TARGETS)
    workers = min(len(chosen), os.cpu_count() or 1)
    each = max(1, round(asked.seconds * workers / len(chosen)))
    asked.crashes.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        runs = list(pool.map(lambda name: aim(name, each, asked.crashes, keep=asked.keep), chosen))
    failed = [run for run in runs if run.output]
    for run in failed:
        print(f"FAILED {run.target}, see {asked.crashes}\n{run.output}")
    print(f"{sum(run.inputs for run in runs):,} inputs, {len(failed)} failures")
    return 1 if failed else 0


def aim(name: str, seconds: int, crashes: Path, *, keep: bool) -> Run:
    """Fuzz one target for so many seconds."""
    from fuzz import targets  # noqa: PLC0415 - see above

    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        corpus, dictionary = Path(folder, "corpus"), Path(folder, "words")
        _unpack({*targets.first(name), *read(name)}, corpus)
        dictionary.write_text("".join(f'"{word}"\n' for word in (*targets.words(name), "l2tp")), encoding="ascii")
        found = _child(
            name,
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST.get(name, 1500)}",
            f"-timeout={SLOWEST}",
            f"-rss_limit_mb={MEMORY}",
            f"-dict={dictionary}",
            f"-artifact_prefix={crashes}/{name}-",
            "-print_final_stats=1",
            str(corpus),
        )
        if keep and found.returncode == 0:
            kept = smallest(targets.TARGETS[name], [path.read_bytes() for path in corpus.iterdir()])
            (CORPUS / f"{name}.hex").write_text("".join(f"{data.hex()}\n" for data in kept if data), encoding="ascii")
    runs, covered = _RUNS.findall(found.stderr), _COVERED.findall(found.stderr)
    run = Run(
        name,
        int(runs[-1]) if runs else 0,
        int(covered[-1]) if covered else 0,
        (found.stdout + found.stderr).decode(errors="replace")[-4000:] if found.returncode else "",
    )
    took = time.monotonic() - started
    print(f"{name:10} {run.inputs:>12,} inputs in {took:7.1f} s, {run.covered:,} edges covered", flush=True)
    return run


def read(name: str) -> list[bytes]:
    """Return the corpus of a target."""
    file = CORPUS / f"{name}.hex"
    return [bytes.fromhex(line) for line in file.read_text(encoding="ascii").split()] if file.exists() else []


def smallest(target: Callable[[bytes], object], inputs: Iterable[bytes]) -> list[bytes]:
    """Return those inputs, short ones first, that reach a pair of lines which no shorter one reached."""
    seen: set[_Arc] = set()
    kept = []
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        reached = _arcs(target, data)
        if not reached <= seen:
            seen |= reached
            kept.append(data)
    return kept


def _arcs(target: Callable[[bytes], object], data: bytes) -> set[_Arc]:
    """Return which line of the product came after which while a target took an input."""
    found: set[_Arc] = set()
    last = ("", 0)

    def trace(frame: FrameType, _event: str, _argument: object) -> Any:
        nonlocal last
        file = frame.f_code.co_filename
        if not file.startswith(PRODUCT):
            return None
        here = file, frame.f_lineno
        found.add((last, here))
        last = here
        return trace

    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return found


def _unpack(inputs: Iterable[bytes], folder: Path) -> None:
    folder.mkdir()
    for place, data in enumerate(inputs):
        (folder / str(place)).write_bytes(data)


def _child(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, __file__, "--child", *arguments], capture_output=True, check=False)


def child(name: str, arguments: list[str]) -> None:
    """Be the process that fuzzes one target; does not return."""
    import atheris  # noqa: PLC0415 - optional, and it hooks the import of what follows

    sys.path[:0] = [str(HERE.parent)]
    with atheris.instrument_imports(include=["l2tpd", "l2tpctl"]):
        from fuzz import targets  # noqa: PLC0415

    atheris.Setup([sys.argv[0], *arguments], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    sys.exit(main())
