"""`l2tpctl capture`: control messages as they pass, into a capture file, until the daemon ends or enough were seen."""

# ruff: noqa: PLC0415 - trio is imported where it runs: --help should not wait for it

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import attrs
import click

from l2tpctl.errors import CommandError
from l2tpctl.options import stop
from l2tpctl.ring import STDOUT, Ring
from l2tpd.control.jsonrpc import Json

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@attrs.frozen(kw_only=True)
class Capture:
    """What to capture, and where to: `tunnels` and `peers` choose, `count` ends it; `size` and `ring` are those of `Ring`."""

    path: Path
    file: Path
    tunnels: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    show_hidden: bool = False
    count: int | None = None
    size: int = 0
    ring: int = 0
    json: bool = False


@attrs.define
class Tally:
    """What became of the messages: written down, or lost because they came faster."""

    captured: int = 0
    lost: int = 0
    _lost_since: int = 0  # the last one written

    def take(self, message: Mapping[str, Json], ring: Ring) -> None:
        """Write a message down, or note how many are missing."""
        missing = message.get("count")
        if message.get("object") == "lost" and isinstance(missing, int):
            self.lost += missing
            self._lost_since += missing
            return
        ring.write(message, self._lost_since)
        self.captured += 1
        self._lost_since = 0


async def follow(wanted: Capture, tally: Tally) -> None:
    """Capture until the daemon ends or enough messages were seen; raises `CommandError` and `OSError`."""
    from l2tpctl.client import connected

    chosen: dict[str, Json] = {"tunnels": wanted.tunnels, "peers": wanted.peers, "show_hidden": wanted.show_hidden}
    async with connected(wanted.path) as client:
        answer = await client.call("capture.start", chosen)
        version = str(answer.get("version")) if isinstance(answer, dict) else ""
        with Ring(wanted.file, version, size=wanted.size, count=wanted.ring) as ring:
            while tally.captured != wanted.count and (message := await client.next_event()) is not None:
                tally.take(message, ring)


def run(wanted: Capture) -> int:
    """Run `follow` and say how many there were; returns the exit status: 1 when fewer messages came than were waited for."""
    import trio

    tally = Tally()
    try:
        trio.run(follow, wanted, tally)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        return 0  # whoever reads has seen enough
    except CommandError as error:
        stop(error)
    except OSError as error:
        stop(CommandError(f"cannot write {error.filename or wanted.file}: {error.strerror}"))
    told = json.dumps({"captured": tally.captured, "lost": tally.lost}) if wanted.json else _said(tally)
    click.echo(told, err=not wanted.json or wanted.file == STDOUT)
    return int(wanted.count is not None and tally.captured < wanted.count)


def _said(tally: Tally) -> str:
    lost = f"; {tally.lost} were lost: they came faster than they were written" if tally.lost else ""
    return f"{tally.captured} control messages captured{lost}"


def octets(_context: click.Context, _parameter: click.Parameter, text: str) -> int:
    """Read a size as tcpdump does: a number of millions of octets, or one with the unit k, m or g (powers of 1024)."""
    number, unit = (text[:-1], _UNITS[text[-1].lower()]) if text[-1:].lower() in _UNITS else (text, 1_000_000)
    if not (number.isascii() and number.isdigit()) or (text != "0" and not int(number)):
        raise click.BadParameter(f"`{text}` is not a size such as 10 (millions of octets), 64k or 1g")
    return int(number) * unit
