"""What is measured: processor time and memory of the server, percentiles, and the tables that show them."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

Row = Mapping[str, object]

_TICK = float(os.sysconf("SC_CLK_TCK"))
_PAGE = os.sysconf("SC_PAGE_SIZE")
_UTIME, _STIME = 11, 12  # fields of /proc/PID/stat, counted after the command in parentheses


class Process:
    """Another process, read through /proc; every figure of a dead one is the last that was seen."""

    __slots__ = ("_cpu", "_rss", "pid")

    def __init__(self, pid: int) -> None:
        """Watch process `pid`."""
        self.pid = pid
        self._cpu = 0.0
        self._rss = 0

    def alive(self) -> bool:
        """Tell whether the process exists and is no zombie."""
        fields = self._stat()
        return bool(fields) and fields[0] not in {"Z", "X"}

    def cpu(self) -> float:
        """Return user and system seconds used so far, children not included.

        The scheduler's own account is exact but forgets threads that ended; user and system time come in ticks (10 ms).
        """
        if fields := self._stat():
            ticks = (int(fields[_UTIME]) + int(fields[_STIME])) / _TICK
            self._cpu = max(self._cpu, ticks, self._scheduled())
        return self._cpu

    def _scheduled(self) -> float:
        total = 0
        for task in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError, IndexError):
                total += int(task.read_text().split()[0])
        return total / 1e9

    def rss(self) -> int:
        """Return the resident set in bytes."""
        try:
            resident = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return self._rss
        self._rss = resident * _PAGE or self._rss
        return self._rss

    def descriptors(self) -> int:
        """Return how many files the process has open, -1 when it does not say."""
        try:
            return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())
        except OSError:
            return -1

    def _stat(self) -> list[str]:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return []


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the sample below which `share` (0..1) of them lie, by nearest rank; 0 when there are none."""
    if not samples:
        return 0.0
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(samples: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and maximum of samples in seconds, as milliseconds."""
    ordered = sorted(samples)
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    return {name: round(percentile(ordered, share) * 1000, 3) for name, share in shares.items()}


def rate(count: float, seconds: float) -> float:
    """Return count per second, 0 when no time passed."""
    return count / seconds if seconds > 0 else 0.0


def shown(value: object) -> str:
    """Render one cell: numbers with thousands separators and no more digits than they deserve."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float() if abs(value) >= 100:
            return f"{value:,.0f}"
        case float():
            return f"{value:.3g}"
        case None:
            return "-"
        case _:
            return str(value)


def table(rows: Iterable[Row]) -> str:
    """Lay rows out as an aligned text table whose columns are the keys of all rows, in order of appearance."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[shown(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[at]) for line in [columns, *cells]) for at in range(len(columns))]
    lines = [columns, ["-" * width for width in widths], *cells]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.ljust(width) if at == 0 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()


def as_json(value: object) -> str:
    """Render a result as one JSON document."""
    return json.dumps(value, indent=2, sort_keys=False)
