"""`l2tpctl top`: what the daemon is doing, screen after screen.

Every screen is made of two samples of the daemon's counters: rates are differences over the time between them, so that they do not depend on
when anything was reset. On a terminal the screens are drawn over each other and fit it; elsewhere they follow each other.
"""

# ruff: noqa: PLC0415 - trio is imported where it runs: --help should not wait for it

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from l2tpctl import render
from l2tpctl.answers import rows
from l2tpctl.errors import CommandError
from l2tpctl.options import stop
from l2tpd.control.jsonrpc import Json

if TYPE_CHECKING:
    from l2tpctl.client import Client

MOST_SESSIONS = 2000
"""Established sessions whose traffic is looked at: each costs the daemon a question to its data plane."""

FIRST = 0.5
"""Seconds between the samples of the first screen, at most: nobody wants to wait for it."""

Key = tuple[int, int]

# On a terminal: another screen for as long as we run, without a cursor.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"

_HIGHEST = (1 << 64) - 1  # of a counter; what is beyond is none

_FLOWS = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets")


@attrs.frozen(kw_only=True)
class Top:
    """What to show: so many screens (None: without end), a time in seconds between them, and so many rows of sessions."""

    path: Path
    count: int | None = None
    interval: float = 2.0
    lines: int = 20
    json: bool = False


@attrs.frozen(kw_only=True)
class Sample:
    """What the daemon said at a time (of a monotonic clock, in seconds)."""

    at: float
    system: Mapping[str, Json]
    statistics: Mapping[str, Json]
    traffic: Mapping[Key, render.Row]
    complete: bool = True  # all established sessions are in `traffic`


# --- from samples to screens: pure


def rates(before: Sample, after: Sample) -> dict[str, Json]:
    """Return what happened a second: messages, retransmissions and the like by counter, and what the data plane moved."""
    passed = max(after.at - before.at, 1e-9)
    then, now = _counters(before.statistics), _counters(after.statistics)
    return {name: round(_rate(then.get(name, 0), count, passed), 3) for name, count in now.items()}


def _rate(then: float, now: float, passed: float) -> float:
    """Return how fast a counter rose; one that is lower than before was reset meanwhile, and has risen from 0."""
    return (now - then if now >= then else now) / passed


def _counters(statistics: Mapping[str, Json]) -> dict[str, float]:
    """Flatten the counters of the daemon: its own, the messages of all types together, and `data.` those of the data plane."""
    messages = rows(statistics, "messages")
    flat = {f"messages_{way}": sum(_number(row.get(way)) for row in messages) for way in ("sent", "received", "bad")}
    flat |= {name: _number(count) for name, count in _table(statistics, "counters").items()}
    return flat | {f"data.{name}": _number(count) for name, count in _table(statistics, "data").items()}


def _table(of: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    found = of.get(key)
    return found if isinstance(found, dict) else {}


def _number(value: Json) -> float:
    return value if isinstance(value, (int, float)) and abs(value) <= _HIGHEST else 0


def talkers(before: Sample, after: Sample, most: int) -> list[dict[str, Json]]:
    """Return the sessions that moved most octets between two samples, the busiest first, each with its rates a second."""
    passed = max(after.at - before.at, 1e-9)
    found = [_talker(row, before.traffic.get(key, {}), passed) for key, row in after.traffic.items()]
    found.sort(key=lambda row: _number(row["rx_bytes"]) + _number(row["tx_bytes"]), reverse=True)
    return found[:most]


def _talker(row: render.Row, then: render.Row, passed: float) -> dict[str, Json]:
    flow = {name: round(_rate(_number(then.get(name)), _number(row.get(name)), passed), 3) for name in _FLOWS}
    return {**row, **flow}


def document(before: Sample, after: Sample, most: int) -> dict[str, Json]:
    """Return a screen as data; everything in `rates` and `sessions` is a second."""
    shown = ("version", "hostname", "uptime", "data_plane", "drain", "tunnels_by_state", "sessions_by_state")
    return {
        **{key: after.system.get(key) for key in shown},
        "seconds": round(after.at - before.at, 3),
        "rates": rates(before, after),
        "sessions": talkers(before, after, most),
        "complete": after.complete,
    }


def screen(told: Mapping[str, Json]) -> list[str]:
    """Set a document as the lines of a screen."""
    speed = _table(told, "rates")
    head = f"l2tpd {render.word(told.get('version'))} on {render.word(told.get('hostname'))}, up {render.clock(told.get('uptime'))}, "
    lines = [
        head + f"data plane {render.word(told.get('data_plane'))}" + (", draining" if told.get("drain") else ""),
        _census("tunnels", _table(told, "tunnels_by_state")),
        _census("sessions", _table(told, "sessions_by_state")),
        "control  "
        + _speeds(speed, ("messages_sent", "sent"), ("messages_received", "received"), ("messages_bad", "bad")),
        _data(speed),
        "",
        *render.table(TALKERS, rows(told, "sessions")).splitlines(),
    ]
    if not told.get("complete"):
        lines.append(f"(the busiest of the first {MOST_SESSIONS} established sessions)")
    return lines


def _census(what: str, by_state: Mapping[str, Json]) -> str:
    total = sum(_number(count) for count in by_state.values())
    states = ", ".join(f"{_number(count):g} {render.printable(state)}" for state, count in sorted(by_state.items()))
    return f"{what:<8} {total:g}" + (f": {states}" if states else "")


def _speeds(speed: Mapping[str, Json], *named: tuple[str, str]) -> str:
    return ", ".join(f"{_number(speed.get(key)):.1f} {name}/s" for key, name in named)


def _data(speed: Mapping[str, Json]) -> str:
    if "data.rx_bytes" not in speed:
        return "data     not counted by this data plane"
    ways = (
        f"{way} {scaled(8 * _number(speed.get(f'data.{key}_bytes')))}bit/s"
        for way, key in (("in", "rx"), ("out", "tx"))
    )
    return (
        "data     "
        + ", ".join(ways)
        + ", "
        + _speeds(speed, ("data.rx_packets", "packets in"), ("data.tx_packets", "packets out"))
    )


def scaled(value: float) -> str:
    """Write a number with three digits or a little more and the letter of its thousands: 999 k, 1.25 M."""
    for letter in ("", "k", "M", "G"):
        if value < 1000 or letter == "G":
            break
        value /= 1000
    return f"{value:.0f} {letter}" if value >= 100 or not letter else f"{value:.2f} {letter}"


def _bits(name: str) -> render.Cell:
    return lambda row: scaled(8 * _number(row.get(name))).rstrip()


def _packets(name: str) -> render.Cell:
    return lambda row: scaled(_number(row.get(name))).rstrip()


TALKERS: Sequence[tuple[str, render.Cell]] = (
    ("TunId", render.field("tunnel_id")),
    ("SessId", render.field("id")),
    ("Tunnel", render.field("tunnel_name")),
    ("Name", render.field("name")),
    ("Interface", render.field("interface")),
    ("In bit/s", _bits("rx_bytes")),
    ("Out bit/s", _bits("tx_bytes")),
    ("In pkt/s", _packets("rx_packets")),
    ("Out pkt/s", _packets("tx_packets")),
)


# --- talking to the daemon


async def sample(client: Client) -> Sample:
    """Ask the daemon for everything that a screen needs."""
    system, statistics = await client.call("system.show", {}), await client.call("statistics.show", {})
    traffic: dict[Key, render.Row] = {}
    cursor: Json = None
    while len(traffic) < MOST_SESSIONS:
        page = await client.call("session.traffic", {"cursor": cursor} if cursor is not None else {})
        page = page if isinstance(page, dict) else {}
        traffic |= {
            (int(_number(row.get("tunnel_id"))), int(_number(row.get("id")))): row for row in rows(page, "sessions")
        }
        cursor = page.get("cursor")
        if cursor is None:
            break
    return Sample(
        at=time.monotonic(),
        system=system if isinstance(system, dict) else {},
        statistics=statistics if isinstance(statistics, dict) else {},
        traffic=traffic,
        complete=cursor is None,
    )


async def follow(wanted: Top) -> None:
    """Print screens until there were enough, or the daemon ends."""
    import trio

    from l2tpctl.client import connected

    async with connected(wanted.path) as client:
        before, pause, shown = await sample(client), min(FIRST, wanted.interval), 0
        while shown != wanted.count:
            await trio.sleep(pause)
            after = await sample(client)
            _print(wanted, document(before, after, wanted.lines))
            before, pause, shown = after, wanted.interval, shown + 1


def _print(wanted: Top, told: Mapping[str, Json]) -> None:
    if wanted.json:
        click.echo(json.dumps(told))
    elif sys.stdout.isatty():
        sys.stdout.write(
            _HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in _fitted(screen(told))) + _REST_OF_SCREEN
        )
        sys.stdout.flush()
    else:
        click.echo("\n".join(screen(told)) + "\n")


def _fitted(lines: Sequence[str]) -> list[str]:
    """Cut a screen to the terminal, whose last line stays free for the cursor."""
    columns, height = shutil.get_terminal_size()
    return [line[:columns] for line in lines[: max(height - 1, 1)]]


def run(wanted: Top) -> int:
    """Run `follow`; returns the exit status. Control-C is a good end."""
    import trio

    try:
        with _screen(full=sys.stdout.isatty() and not wanted.json):
            trio.run(follow, wanted)
    except CommandError as error:
        stop(error)
    except KeyboardInterrupt:
        return 0
    return 0


@contextlib.contextmanager
def _screen(*, full: bool) -> Iterator[None]:
    """Draw on a screen of our own, and give the terminal back as it was, so that what follows is read there, also by who was killed politely."""
    if not full:
        yield
        return
    killed: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        killed.append(number)
        signal.raise_signal(signal.SIGINT)  # with which trio can deal wherever it is

    default = signal.signal(signal.SIGTERM, interrupt)
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, default)
        for number in killed:
            signal.raise_signal(number)
