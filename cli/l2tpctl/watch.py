"""`l2tpwatch`: one line an event, until the daemon ends, enough events were seen, or time is up.

Which keys an event shows is a table; the line is `TUNNEL UP: tid=1 peer_tid=2 name="hq"`. Text from the network is quoted, so that a line
is always one line and its words can be told apart.
"""

# ruff: noqa: PLC0415 - trio is imported where it runs: --help should not wait for it

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import attrs
import click

from l2tpctl import render
from l2tpctl.errors import CommandError
from l2tpctl.options import perform, socket_option, stop
from l2tpctl.render import printable, quoted
from l2tpd.control.jsonrpc import Json

WHATS = ("created", "up", "down", "deleted")

# key on the line, field of the event; text is quoted
_TUNNEL = (("tid", "tunnel_id"), ("peer_tid", "peer_tunnel_id"), ("name", "name"))
_SESSION_IDS = (("tid", "tunnel_id"), ("sid", "session_id"))
_SESSION_PEER_IDS = (("peer_tid", "peer_tunnel_id"), ("peer_sid", "peer_session_id"))
_NAME = (("name", "name"),)
_PROFILES = (("profile", "profile"), ("pw_profile", "pseudowire_profile"))
_END = (("result", "result"), ("error", "error"), ("message", "message"))

_PPP = (
    *_SESSION_IDS,
    ("network", "network"),
    ("user", "user"),
    ("interface", "interface"),
    ("local", "local"),
    ("remote", "remote"),
)
_PPP_END = (("rx_bytes", "rx_bytes"), ("tx_bytes", "tx_bytes"), ("cause", "cause"), ("message", "message"))

COLUMNS: Mapping[tuple[str, str], Sequence[tuple[str, str]]] = {
    ("tunnel", "created"): _TUNNEL,
    ("tunnel", "up"): _TUNNEL,
    ("tunnel", "down"): (*_TUNNEL, *_END),
    ("tunnel", "deleted"): (*_TUNNEL, *_END),
    ("session", "created"): (*_SESSION_IDS, *_NAME, *_PROFILES),
    ("session", "up"): (*_SESSION_IDS, *_SESSION_PEER_IDS, *_NAME),
    ("session", "down"): (*_SESSION_IDS, *_SESSION_PEER_IDS, *_NAME, *_END),
    ("session", "deleted"): (*_SESSION_IDS, *_NAME, *_END),
    ("ppp", "up"): _PPP,
    ("ppp", "down"): (*_PPP, *_PPP_END),
}
VERBOSE: Mapping[str, Sequence[tuple[str, str]]] = {
    "tunnel": (("version", "version"), ("encap", "encap"), ("peer", "peer_address")),
    "session": (("pseudowire", "pseudowire"), ("interface", "interface")),
    "ppp": (("name", "name"), ("mtu", "mtu"), ("dns", "dns"), ("routes", "routes")),
}
_LAST = 1 << 40  # seconds; no calendar goes so far
BARE = frozenset({"version", "encap", "pseudowire", "network"})  # words of ours that need no quotes

CSV_FIELDS = (
    "time",
    "object",
    "what",
    "tunnel_id",
    "session_id",
    "peer_tunnel_id",
    "peer_session_id",
    "name",
    "tunnel_name",
    "profile",
    "pseudowire_profile",
    "pseudowire",
    "interface",
    "version",
    "encap",
    "peer_address",
    "origin",
    "by",
    "result",
    "error",
    "message",
    # Columns are only ever added at the end: scripts count them.
    "user_data",
    "mtu",
    "address",
    "far_address",
    "bridge",
    "remote_end_id",
    "ppp_user",
    "ppp_local",
    "ppp_remote",
    "ppp_cause",
    "network",
    "user",
    "local",
    "remote",
    "dns",
    "dns_handover",
    "routes",
    "cause",
    "duration",
    "rx_packets",
    "rx_bytes",
    "tx_packets",
    "tx_bytes",
    "ppp_ipv6_local",
    "ppp_ipv6_remote",
    "ppp_ipv6_prefix",
    "ppp_delegated_prefix",
    "ppp_ipv6_address",
    "prefix",
    "delegated_prefix",
)

Event = Mapping[str, Json]


def line(event: Event, *, verbose: bool = False, prefix: bool = False) -> str:
    """Write an event of a tunnel, a session or PPP as its line."""
    about, what = str(event.get("object")), str(event.get("what"))
    columns = (*COLUMNS.get((about, what), ()), *(VERBOSE.get(about, ()) if verbose else ()))
    words = (f"{key}={_value(field, event.get(field))}" for key, field in columns if event.get(field) is not None)
    return f"{_stamp(event) if prefix else ''}{printable(f'{about} {what}'.upper())}: {' '.join(words)}"


def csv_line(event: Event) -> str:
    """Write an event of a tunnel, a session or PPP as comma separated values, the columns always the same."""
    values = (_flat(event.get(field)) for field in CSV_FIELDS)
    return _record(printable(value) if isinstance(value, str) else value for value in values)


def csv_heading() -> str:
    """Write the names of the columns."""
    return _record(CSV_FIELDS)


def _record(values: Iterable[Json]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def json_line(event: Event) -> str:
    """Write an event of any kind as the daemon told it."""
    return json.dumps(event)


def _flat(value: Json) -> Json:
    """Write a list as its words."""
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _value(field: str, value: Json) -> str:
    value = _flat(value)
    return quoted(value) if isinstance(value, str) and field not in BARE else printable(str(value))


def _stamp(event: Event) -> str:
    """Write the time of an event as local time, to the millisecond."""
    at = event.get("time")
    if not isinstance(at, (int, float)) or abs(at) > _LAST:
        return ""
    seconds, milliseconds = divmod(round(at * 1000), 1000)
    return render.stamp(seconds, "%Y-%m-%dT%H:%M:%S") + f".{milliseconds:03d} "


@attrs.frozen(kw_only=True)
class Watch:
    """What to watch for, and how to print it; with `every` also events that are neither a tunnel's nor a session's nor PPP's.

    A `heading` is printed first, once the daemon has begun to tell events.
    """

    path: Path
    write: Callable[[Event], str]
    tunnel: Sequence[str] = WHATS
    session: Sequence[str] = WHATS
    ppp: Sequence[str] = ("up", "down")
    count: int | None = None
    timeout: float = math.inf
    every: bool = False
    heading: str = ""


async def follow(watch: Watch) -> int:
    """Print events until the daemon ends, enough were printed or time is up; returns how many were."""
    import trio

    from l2tpctl.client import connected

    seen = 0
    with trio.move_on_after(watch.timeout):
        async with connected(watch.path) as client:
            await client.call(
                "events.subscribe",
                {"tunnel": list(watch.tunnel), "session": list(watch.session), "ppp": list(watch.ppp)},
            )
            if watch.heading:
                click.echo(watch.heading)
            while seen != watch.count and (event := await client.next_event()) is not None:
                seen += _print(event, watch)
    return seen


def _print(event: Event, watch: Watch) -> bool:
    """Print an event; returns whether it was one of those watched for."""
    about = str(event.get("object"))
    if about == "lost":
        click.echo(
            f"{render.word(event.get('count'))} events were lost: they came faster than they were read", err=True
        )
    if watch.every or about in {"tunnel", "session", "ppp"}:
        click.echo(watch.write(event))
        return True
    return False


def run(watch: Watch) -> int:
    """Run `follow`; returns the exit status: 1 when fewer events came than were waited for."""
    import trio

    try:
        seen = trio.run(follow, watch)
    except CommandError as error:
        stop(error)
    except KeyboardInterrupt:
        return int(watch.count is not None)  # else it had ended by itself
    return int(watch.count is not None and seen < watch.count)


def _kinds(_context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """Read a comma separated list of event kinds; `none` for none."""
    known = ("up", "down") if parameter.name == "ppp" else WHATS
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if words == ("none",):
        return ()
    for word in words:
        if word not in known:
            raise click.BadParameter(f"`{word}` is none of {', '.join(known)}, none")
    return words


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-n", "count", type=click.IntRange(1), metavar="COUNT", help="End after COUNT events.")
@click.option("-T", "timeout", type=click.FloatRange(0), metavar="SECONDS", help="End after SECONDS.")
@click.option("-t", "tunnel", default=",".join(WHATS), callback=_kinds, metavar="EVENTS", help="Tunnel events to show.")
@click.option(
    "-s", "session", default=",".join(WHATS), callback=_kinds, metavar="EVENTS", help="Session events to show."
)
@click.option("-P", "ppp", default="none", callback=_kinds, metavar="EVENTS", help="Events of PPP to show: up, down.")
@click.option(
    "-v", "verbose", is_flag=True, help="Show protocol version and peer of tunnels, type and interface of sessions."
)
@click.option("-p", "prefix", is_flag=True, help="Begin each line with the time.")
@click.option("-c", "as_csv", count=True, help="Write comma separated values; twice: below the names of the columns.")
@socket_option
def l2tpwatch(
    path: Path,
    count: int | None,
    timeout: float | None,
    tunnel: tuple[str, ...],
    session: tuple[str, ...],
    ppp: tuple[str, ...],
    verbose: bool,
    prefix: bool,
    as_csv: int,
) -> None:
    """Print a line for each tunnel or session that is created, comes up, goes down or is deleted.

    EVENTS is a comma separated list of created, up, down, deleted (all four by default, of PPP none), or none. Ends when the daemon ends. The exit status
    is 1 when COUNT events were waited for and fewer came.
    """

    def write(event: Event) -> str:
        return csv_line(event) if as_csv else line(event, verbose=verbose, prefix=prefix)

    wait = math.inf if timeout is None else timeout
    heading = csv_heading() if as_csv > 1 else ""
    watch = Watch(
        path=path,
        write=write,
        tunnel=tunnel,
        session=session,
        ppp=ppp,
        count=count,
        timeout=wait,
        heading=heading,
    )
    sys.exit(run(watch))


def main() -> NoReturn:
    """Run `l2tpwatch`."""
    perform(l2tpwatch, "l2tpwatch")
