"""The commands of `l2tpctl`.

Most are one row of work: call a method, print its result. trio and the client are imported only by commands that talk to the daemon, so that
`--help`, completion and `decode` answer at once.
"""

# ruff: noqa: PLC0415 - trio, and what only one command needs, is imported there: --help should not wait for it

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from l2tpctl import capture as capturing
from l2tpctl import local, migrate, render
from l2tpctl.answers import ask, listing, rows, tell
from l2tpctl.completion import (
    KeyedSession,
    KeyedTunnel,
    categories_argument,
    ppp_argument,
    session_argument,
    tunnel_argument,
    tunnel_names,
)
from l2tpctl.keys import pairs, schemas, typed
from l2tpctl.options import LEVELS, SETTINGS, Choice, json_option, perform, socket_option
from l2tpctl.ring import STDOUT
from l2tpd.control.jsonrpc import Json

PATH = click.Path(path_type=Path, dir_okay=False, readable=False)
CREATE = {**SETTINGS, "ignore_unknown_options": True, "allow_extra_args": True}


# --- the tree


@click.group(context_settings=SETTINGS)
@socket_option
@json_option
@click.version_option(package_name="l2tpd", prog_name="l2tpctl")
@click.pass_context
def l2tpctl(context: click.Context, path: Path) -> None:
    """Show and control a running l2tpd.

    TUNNEL and SESSION are a name, or @ID. The exit status is 0 when all went well, 1 when it failed, 2 for a mistake on the command line.
    """
    choice = context.obj if isinstance(context.obj, Choice) else Choice(path)
    choice.path = path
    context.obj = choice


@l2tpctl.group(context_settings=SETTINGS)
def show() -> None:
    """Show the daemon, tunnels, sessions, and what is configured."""


@show.command("system")
@json_option
def show_system() -> None:
    """Show the daemon: version, listeners, data plane, counts, limits."""
    answer = ask("system.show")
    tell(answer, lambda: render.detail(answer))


def filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a list command its filters."""
    for option in (
        click.option("--local", "origin", flag_value="local", help="Only what we created."),
        click.option("--remote", "origin", flag_value="network", help="Only what peers created."),
        click.option("--state", metavar="STATE", help="Only those in this state, such as up."),
        click.option("--peer", metavar="PEER", help="Only those of the peer with this address or host name."),
    ):
        command = option(command)
    return command


def _said(**options: Json) -> dict[str, Json]:
    """Keep the options that were given."""
    return {key: value for key, value in options.items() if value is not None}


@show.command("tunnels")
@filters
@json_option
def show_tunnels(origin: str | None, state: str | None, peer: str | None) -> None:
    """List tunnels; N marks those that peers created."""
    wanted = _said(origin=origin, state=state and state.lower(), peer=peer)
    listing("tunnel.list", "tunnels", render.Table(render.TUNNELS), wanted)


part_argument = click.argument("part", required=False, type=click.Choice(["config", "status"]))

# What `config` shows of a tunnel or session, and `status` leaves out: what was configured, as against what came of it.
CONFIGURED = frozenset({"mode", "profile", "pseudowire_profile", "peer", "persist", "user_data", "settings", "trace"})
IDENTITY = frozenset({"id", "name", "tunnel_id", "tunnel_name"})


def _part(answer: Mapping[str, Json], part: str | None) -> dict[str, Json]:
    """Take the part of a tunnel or session that was asked for; both with what it is called."""
    wanted = {None: answer.keys(), "config": CONFIGURED | IDENTITY, "status": answer.keys() - CONFIGURED}[part]
    return {key: value for key, value in answer.items() if key in wanted}


@show.command("tunnel")
@tunnel_argument
@part_argument
@json_option
def show_tunnel(tunnel: str, part: str | None) -> None:
    """Show one tunnel: settings, peer, transport, how it last ended; or only what was configured, or only its status."""
    answer = _part(ask("tunnel.show", {"tunnel": tunnel}), part)
    tell(answer, lambda: render.detail(answer))


@show.command("sessions")
@click.argument("tunnel", required=False, shell_complete=tunnel_names)
@filters
@json_option
def show_sessions(tunnel: str | None, origin: str | None, state: str | None, peer: str | None) -> None:
    """List sessions, of one tunnel or of all; N marks those that peers created."""
    wanted = _said(tunnel=tunnel, origin=origin, state=state and state.lower(), peer=peer)
    listing("session.list", "sessions", render.Table(render.SESSIONS), wanted)


@show.command("session")
@tunnel_argument
@session_argument
@part_argument
@json_option
def show_session(tunnel: str, session: str, part: str | None) -> None:
    """Show one session of a tunnel; or only what was configured, or only its status."""
    answer = _part(ask("session.show", {"tunnel": tunnel, "session": session}), part)
    tell(answer, lambda: render.detail(answer))


@show.command("ppp")
@ppp_argument
@json_option
def show_ppp(ppp: str) -> None:
    """Show PPP of one session: user, addresses, limits, what it has carried."""
    answer = ask("ppp.show", {"ppp": ppp})
    tell(answer, lambda: render.detail(answer))


@show.command("peers")
@json_option
def show_peers() -> None:
    """List who may call, and as what."""
    listing("peers.list", "peers", render.Table(render.PEERS))


@show.command("profiles")
@json_option
def show_profiles() -> None:
    """Show the profiles with all their settings."""
    listing("profiles.list", "profiles", render.Blocks(_profile))


def _profile(row: render.Row) -> str:
    settings = row.get("settings")
    title = f"[profile.{render.word(row.get('kind'))}.{render.word(row.get('name'))}]"
    return render.detail(settings if isinstance(settings, dict) else {}, title)


@show.command("pools")
@json_option
def show_pools() -> None:
    """List the address pools."""
    listing("pools.list", "pools", render.Table(render.POOLS))


@show.command("config")
@json_option
def show_config() -> None:
    """Show the configuration in force; secrets are not told."""
    listing("config.show", "tables", render.Blocks(_table))


def _table(row: render.Row) -> str:
    keys = row.get("keys")
    said = keys.items() if isinstance(keys, dict) else ()
    lines = (f"{render.printable(key)} = {json.dumps(value)}" for key, value in said)
    return "\n".join([f"[{render.word(row.get('table'))}]", *lines])


@show.command("log")
@click.option("-n", "limit", type=click.IntRange(1, 1000), default=1000, show_default=True, help="How many lines.")
@json_option
def show_log(limit: int) -> None:
    """Show the newest lines of the log that the daemon keeps in memory."""
    answer = ask("log.show", {"limit": limit})
    tell(answer, lambda: "\n".join(_log_line(row) for row in rows(answer, "lines")))


def _log_line(row: render.Row) -> str:
    stamp = render.stamp(row.get("time"), "%Y-%m-%d %H:%M:%S")
    return f"{stamp} {render.word(row.get('level'))}: {render.word(row.get('text'))}"


@l2tpctl.group(context_settings=SETTINGS)
def clear() -> None:
    """Clear what the daemon keeps."""


@clear.command("log")
@json_option
def clear_log() -> None:
    """Empty the log that the daemon keeps in memory."""
    tell(ask("log.clear"), str)


@l2tpctl.command()
@click.option("--reset", is_flag=True, help="Set the counters to zero after showing them.")
@json_option
def statistics(reset: bool) -> None:
    """Show the daemon's counters."""
    answer = ask("statistics.show", {"reset": reset})
    tell(answer, lambda: _statistics(answer))


def _statistics(answer: Mapping[str, Json]) -> str:
    head = render.detail({key: value for key, value in answer.items() if key != "messages"})
    messages = rows(answer, "messages")
    return f"{head}\n\n{render.table(render.MESSAGES, messages)}" if messages else head


# --- create and delete


@l2tpctl.group(context_settings=SETTINGS)
def create() -> None:
    """Create a tunnel or a session."""


@create.command("tunnel", cls=KeyedTunnel, context_settings=CREATE)
@click.argument("name")
@click.option("--peer", required=True, metavar="HOST[:PORT]", help="Whom to call.")
@click.argument("keys", nargs=-1, type=click.UNPROCESSED, metavar="[--KEY VALUE]...")
@json_option
def create_tunnel(name: str, peer: str, keys: tuple[str, ...]) -> None:
    """Open a tunnel called NAME.

    KEY is any key of a [tunnel.NAME] table of the configuration, such as --hello-timeout 30; a list is written with commas.
    """
    said: dict[str, Json] = {"peer": peer, **_keys("tunnel.create", keys)}
    answer = ask("tunnel.create", {"name": name, "keys": said})
    tell(answer, lambda: f"tunnel {name} is created: @{render.word(answer.get('id'))}")


@create.command("session", cls=KeyedSession, context_settings=CREATE)
@tunnel_argument
@click.argument("name")
@click.argument("keys", nargs=-1, type=click.UNPROCESSED, metavar="[--KEY VALUE]...")
@json_option
def create_session(tunnel: str, name: str, keys: tuple[str, ...]) -> None:
    """Open a session called NAME in TUNNEL.

    KEY is any key of a [tunnel.NAME.session.NAME] table of the configuration, such as --called-number 5551234.
    """
    answer = ask("session.create", {"tunnel": tunnel, "name": name, "keys": _keys("session.create", keys)})
    where = f"of tunnel @{answer.get('tunnel_id')}"
    tell(answer, lambda: f"session {name} is created: @{render.word(answer.get('id'))} {render.printable(where)}")


def _keys(method: str, words: Sequence[str]) -> dict[str, Json]:
    """Read `--key value` words, each value as the type that the daemon's description gives its key."""
    said = pairs(words)
    known = schemas(ask("rpc.discover"), method) if said else {}
    return {key: typed(key, text, known) for key, text in said.items()}


reason_option = click.option("--reason", default="", metavar="TEXT", help="What to tell the peer.")


@l2tpctl.group(context_settings=SETTINGS)
def delete() -> None:
    """Delete a tunnel or a session."""


@delete.command("tunnel")
@tunnel_argument
@reason_option
@json_option
def delete_tunnel(tunnel: str, reason: str) -> None:
    """Tear a tunnel down, with all its sessions."""
    tell(ask("tunnel.delete", {"tunnel": tunnel, "reason": reason}), str)


@delete.command("session")
@tunnel_argument
@session_argument
@reason_option
@json_option
def delete_session(tunnel: str, session: str, reason: str) -> None:
    """Tear one session of a tunnel down."""
    tell(ask("session.delete", {"tunnel": tunnel, "session": session, "reason": reason}), str)


# --- PPP


@l2tpctl.group("list", context_settings=SETTINGS)
def listed() -> None:
    """List what there is of a kind."""


@listed.command("ppp")
@click.option("--tunnel", metavar="TUNNEL", shell_complete=tunnel_names, help="Only that of sessions of this tunnel.")
@click.option("--user", metavar="USER", help="Only that of this user.")
@click.option("--address", metavar="ADDRESS", help="Only that of the peer with this address.")
@click.option("--state", metavar="STATE", help="Only that in this state, such as up.")
@json_option
def list_ppp(tunnel: str | None, user: str | None, address: str | None, state: str | None) -> None:
    """List PPP of sessions where it ends here, with user and addresses."""
    wanted = _said(tunnel=tunnel, user=user, address=address, state=state and state.lower())
    listing("ppp.list", "ppp", render.Table(render.PPP), wanted)


@l2tpctl.group(context_settings=SETTINGS)
def destroy() -> None:
    """End what is running."""


@destroy.command("ppp")
@ppp_argument
@reason_option
@json_option
def destroy_ppp(ppp: str, reason: str) -> None:
    """End PPP of one session politely, and then the session.

    PPP is an interface, a session, or @TUNNEL/SESSION with both ids.
    """
    tell(ask("ppp.destroy", {"ppp": ppp, "reason": reason}), str)


# --- the running daemon


@l2tpctl.group(context_settings=SETTINGS)
def debug() -> None:
    """Switch what is traced.

    CATEGORIES is a comma separated list, or all.
    """


switch_argument = click.argument("switch", type=click.Choice(["on", "off"]))


def _debug(categories: str, switch: str, **target: Json) -> None:
    words: list[Json] = [word.strip() for word in categories.split(",") if word.strip()]
    answer = ask("debug.set", {**target, "categories": words, "on": switch == "on"})
    tell(answer, lambda: f"traced: {render.word(answer.get('trace'))}")


@debug.command("system")
@categories_argument
@switch_argument
@json_option
def debug_system(categories: str, switch: str) -> None:
    """Trace every tunnel and session."""
    _debug(categories, switch)


@debug.command("tunnel")
@tunnel_argument
@categories_argument
@switch_argument
@json_option
def debug_tunnel(tunnel: str, categories: str, switch: str) -> None:
    """Trace one tunnel."""
    _debug(categories, switch, tunnel=tunnel)


@debug.command("session")
@tunnel_argument
@session_argument
@categories_argument
@switch_argument
@json_option
def debug_session(tunnel: str, session: str, categories: str, switch: str) -> None:
    """Trace one session."""
    _debug(categories, switch, tunnel=tunnel, session=session)


@debug.command("profile")
@click.argument("kind", type=click.Choice(["tunnel", "session"]))
@click.argument("profile")
@categories_argument
@switch_argument
@json_option
def debug_profile(kind: str, profile: str, categories: str, switch: str) -> None:
    """Trace the tunnels or sessions of a profile: those that there are, and, until the next reload, those to come."""
    _debug(categories, switch, profile=f"{kind}.{profile}")


@debug.command("level")
@click.argument("level", type=click.Choice(LEVELS))
@json_option
def debug_level(level: str) -> None:
    """Set what is logged: what is as grave as LEVEL, or graver."""
    answer = ask("debug.set", {"log_level": level})
    tell(answer, lambda: f"log level: {render.word(answer.get('log_level'))}")


def _plan(answer: Mapping[str, Json]) -> str:
    """Say what a plan changes, a line each."""
    lines = [
        f"{render.printable(kind)}: {render.word(path)}" for kind, paths in answer.items() for path in _list(paths)
    ]
    return "\n".join(lines) or "nothing changes"


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else ()


@l2tpctl.command()
@json_option
def plan() -> None:
    """Show what a reload would change."""
    answer = ask("config.plan")
    tell(answer, lambda: _plan(answer))


@l2tpctl.command()
@json_option
def reload() -> None:
    """Read the configuration again and apply it."""
    answer = ask("config.reload")
    tell(answer, lambda: _plan(answer))


@l2tpctl.command()
@switch_argument
@json_option
def drain(switch: str) -> None:
    """Refuse new tunnels and sessions, or accept them again; what is established stays."""
    tell(ask("drain.set", {"drain": switch == "on"}), str)


@l2tpctl.command()
@json_option
def watch() -> None:
    """Print events as they happen, until the daemon ends; with --json one document a line."""
    from l2tpctl import watch as watching

    choice = click.get_current_context().ensure_object(Choice)
    write = watching.json_line if choice.json else lambda event: watching.line(event, verbose=True, prefix=True)
    sys.exit(watching.run(watching.Watch(path=choice.path, write=write, every=choice.json)))


@l2tpctl.command()
@click.argument("tunnels", nargs=-1, metavar="[TUNNEL]...", shell_complete=tunnel_names)
@click.option("--peer", "peers", multiple=True, metavar="ADDRESS", help="Also what this address or prefix says.")
@click.option("-w", "file", required=True, type=PATH, metavar="FILE", help="Where to; - for standard output.")
@click.option("-C", "size", default="0", callback=capturing.octets, metavar="SIZE", help="Begin a file after so much.")
@click.option("-W", "ring", type=click.IntRange(1), default=None, metavar="FILES", help="How many files, in a ring.")
@click.option("-c", "count", type=click.IntRange(1), metavar="COUNT", help="End after COUNT messages.")
@click.option("--show-hidden", is_flag=True, help="Show hidden AVPs in the comments.")
@json_option
def capture(tunnels: tuple[str, ...], peers: tuple[str, ...], size: int, ring: int | None, **more: Any) -> None:
    """Write control messages to pcapng files, each with what it says as a comment, until Control-C or the daemon ends.

    Without TUNNEL and ADDRESS all are captured.
    """
    if ring and not size:
        raise click.UsageError("-W is of use with -C only")
    if size and more["file"] == STDOUT:
        raise click.UsageError("standard output cannot be cut into files")
    choice = click.get_current_context().ensure_object(Choice)
    wanted = {"tunnels": tunnels, "peers": peers, "size": size, "ring": ring or 0, **more}
    sys.exit(capturing.run(capturing.Capture(path=choice.path, json=choice.json, **wanted)))


@l2tpctl.command()
@click.option("-n", "count", type=click.IntRange(1), metavar="COUNT", help="End after COUNT screens.")
@click.option(
    "-i",
    "interval",
    type=click.FloatRange(0.05, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two screens, over which the rates are taken.",
)
@click.option(
    "-r",
    "lines",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="ROWS",
    help="Busiest sessions to show.",
)
@json_option
def top(count: int | None, interval: float, lines: int) -> None:
    """Show rates, states and the busiest sessions, again and again; Control-C ends it. With --json one document a line."""
    from l2tpctl import top as live

    choice = click.get_current_context().ensure_object(Choice)
    sys.exit(live.run(live.Top(path=choice.path, count=count, interval=interval, lines=lines, json=choice.json)))


for command in (*local.COMMANDS, migrate.import_command):
    l2tpctl.add_command(command)


def main() -> NoReturn:
    """Run `l2tpctl`."""
    perform(l2tpctl, "l2tpctl")
