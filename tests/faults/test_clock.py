"""The clock on the wall may jump: nothing that the daemon does or leaves undone goes by it."""

from __future__ import annotations

import ast
from pathlib import Path

import l2tpd

WALL = {"time", "time_ns", "localtime", "gmtime", "ctime", "datetime", "clock_gettime"}
"""What reads it, of the modules `time` and `datetime`."""

USES = {
    "bus": "the stamp of an event, which is only shown",
    "capture": "the stamp of a captured message, which goes to a file",
    "log": "the stamp of a line",
    "ppp.authorities": "how long ago a secrets file was changed, whose stamp is of that clock; one that jumps stamps the next change otherwise",
    "radius.client": "Event-Timestamp (RFC 2869 5.3, RFC 5176 6.3), the name of a life, the age of a record from another life",
}
"""Who reads it, and what for; everything else goes by the event loop's clock, which is monotonic."""


def reads_the_wall(source: str) -> bool:
    """Tell whether a module reads the clock on the wall."""
    nodes = list(ast.walk(ast.parse(source))) if "time" in source else []
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in {"time", "datetime", "date"}
        and node.attr in WALL | {"now", "today", "utcnow"}
        for node in nodes
    ) or any(
        isinstance(node, ast.ImportFrom)
        and node.module in {"time", "datetime"}
        and WALL & {one.name for one in node.names}
        for node in nodes
    )


def test_what_reads_the_clock_on_the_wall() -> None:
    """Those in the table, and nobody else."""
    root = Path(l2tpd.__file__).parent
    found = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for path in root.rglob("*.py")
        if reads_the_wall(path.read_text())
    }
    assert USES.keys() == found


def test_the_search_finds_what_it_looks_for() -> None:
    """Each way of reading it counts, and the monotonic clock does not."""
    for line in ("import time\ntime.time()", "from time import time", "import datetime\ndatetime.datetime.now()"):
        assert reads_the_wall(line)
    assert not reads_the_wall("import time\ntime.monotonic()\ntime.perf_counter()")
