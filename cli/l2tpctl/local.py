"""The commands of `l2tpctl` that need no running daemon."""

# ruff: noqa: PLC0415 - what only one command needs is imported there: --help should not wait for it

from __future__ import annotations

import errno
import ipaddress
import os
import shutil
import stat
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import click

from l2tpctl import render
from l2tpctl.answers import tell
from l2tpctl.errors import CommandError
from l2tpctl.options import DEFAULT_CONFIG, SETTINGS, Choice, json_option, stop
from l2tpd.control.jsonrpc import Json
from l2tpd.rights import exposed


@click.command(context_settings=SETTINGS)
@click.argument("source", nargs=-1, required=True, metavar="HEX|FILE.pcap|FILE.pcapng|-")
@click.option(
    "--port", "ports", type=click.IntRange(1, 65535), multiple=True, help="UDP port in captures; 1701 by default."
)
@click.option(
    "--secret-file",
    type=click.File("rb"),
    metavar="FILE",
    help="Its first line is the shared secret, for hidden AVPs; - for standard input.",
)
@json_option
def decode(source: tuple[str, ...], ports: tuple[int, ...], secret_file: BinaryIO | None) -> None:
    """Explain L2TP datagrams: octets in hexadecimal, or a capture file; `-` reads either from standard input."""
    from l2tpctl import captures
    from l2tpd.wire import describe

    secret = _secret_of(secret_file).encode("utf-8", "surrogateescape")
    try:
        content = _content(source)
        found = captures.read(content, frozenset(ports or (captures.L2TP_PORT,)))
    except CommandError as error:
        stop(error)
    told: list[Json] = [
        {**at._asdict(), "octets": at.octets.hex(), "text": describe.datagram(at.octets, secret)} for at in found
    ]
    tell({"datagrams": told}, lambda: "\n".join(_decoded(row) for row in told if isinstance(row, dict)))


def _content(source: tuple[str, ...]) -> bytes:
    """Return what is to be decoded: standard input, a file, or the words themselves."""
    try:
        if source == ("-",):
            return sys.stdin.buffer.read()
        if len(source) == 1 and Path(source[0]).is_file():
            return Path(source[0]).read_bytes()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # no file's name, but octets
            raise CommandError(str(error)) from None
    if len(source) == 1 and ("/" in source[0] or source[0].endswith((".pcap", ".pcapng"))):
        raise CommandError(f"there is no file {source[0]}")
    return " ".join(source).encode("utf-8", "replace")


def _decoded(row: Mapping[str, Json]) -> str:
    """Set one decoded datagram, with a heading when it comes from a capture."""
    if not row.get("number"):
        return str(row.get("text"))
    at = row.get("time")
    stamp = f"{at:.6f} " if isinstance(at, float) else ""
    return f"#{row.get('number')} {stamp}{row.get('source')} > {row.get('destination')}\n{row.get('text')}"


@click.command(context_settings=SETTINGS)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell's completion of l2tpctl and l2tpwatch: eval "$(l2tpctl completion bash)"."""
    from click.shell_completion import get_completion_class

    from l2tpctl.watch import l2tpwatch

    l2tpctl = click.get_current_context().find_root().command
    commands: tuple[tuple[str, Any], ...] = (("l2tpctl", l2tpctl), ("l2tpwatch", l2tpwatch))
    made = get_completion_class(shell)
    if made is not None:
        for name, command in commands:
            click.echo(made(command, {}, name, f"_{name.upper()}_COMPLETE").source())


# --- before a daemon is started


@click.command(context_settings=SETTINGS)
@click.option(
    "-c",
    "--config-file",
    "path",
    type=click.Path(path_type=Path, readable=False),  # what cannot be read is a finding
    default=DEFAULT_CONFIG,
    show_default=True,
    metavar="PATH",
    help="Configuration: a file or a directory of *.toml.",
)
@json_option
def check(path: Path) -> None:
    """Tell whether this machine has what the configuration needs, and what to do where it has not.

    The exit status is 0 when there is no error, 2 when the configuration has mistakes, 1 for any other error.
    """
    from l2tpd import preflight

    found = list(preflight.examine(path))
    wrong = {finding.topic for finding in found if finding.verdict is preflight.Verdict.ERROR}
    told: list[Json] = [attrs.asdict(finding) for finding in found]
    tell({"findings": told}, lambda: "\n".join(_finding(row) for row in told if isinstance(row, dict)))
    sys.exit(2 if preflight.CONFIGURATION in wrong else int(bool(wrong)))


def _finding(row: Mapping[str, Json]) -> str:
    """Set one finding: verdict, topic, text, and below it what to do; on a terminal they are broken where its lines end."""
    width = max(shutil.get_terminal_size().columns, 60) if sys.stdout.isatty() else 10_000
    head = f"{str(row.get('verdict')).upper():<8} {row.get('topic')!s:<15} "
    said = [head + render.printable(str(row.get("text")))]
    said += [" " * len(head) + f"-> {render.printable(str(row.get('remedy')))}"] if row.get("remedy") else []
    return "\n".join(textwrap.fill(line, width, subsequent_indent=" " * len(head)) for line in said)


# --- a daemon of our own


@click.command(context_settings=SETTINGS)
@click.argument("peer", metavar="PEER[:PORT]")
@click.option("--user", default="", metavar="NAME", help="Who we are towards the PPP peer.")
@click.option(
    "--password-file",
    type=click.File("rb"),
    metavar="FILE",
    help="Its first line is the password; - for standard input.",
)
@click.option(
    "--secret-file",
    type=click.File("rb"),
    metavar="FILE",
    help="Its first line is the secret shared with the peer.",
)
@click.option(
    "--version", type=click.Choice(["l2tpv2", "l2tpv3", "auto"]), default="l2tpv2", show_default=True, help="Protocol."
)
@click.option("--interface", default="", metavar="NAME", help="Name of the interface; one that is free if not given.")
@click.option("--local", default="", metavar="ADDRESS", help="Our address; by route if not given.")
@click.option("--default-route", is_flag=True, help="Send everything through the session that has no other route.")
@click.option(
    "--data-plane",
    type=click.Choice(["auto", "kernel", "user", "null"]),
    default="auto",
    show_default=True,
    help="Who moves the packets.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up when it takes longer.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show the log.")
@json_option
def connect(
    peer: str, password_file: BinaryIO | None, secret_file: BinaryIO | None, timeout: float, **more: Any
) -> None:
    """Bring up one PPP session to PEER, without a configuration or a running daemon, and keep it until Control-C.

    The addresses are printed once it is up. The exit status is 0 when it was up and ended by Control-C, 1 when it could not be set up or ended by itself.
    """
    from l2tpctl import connect as calling

    named = {"version": more["version"], "local": more["local"], "secret": _secret_of(secret_file)}
    asked = {"user": more["user"], "password": _secret_of(password_file), "interface_name": more["interface"]}
    wanted = calling.Dial(
        tunnel={"peer": _bracketed(peer), **_given(named)},
        session={"pseudowire": "ppp", **_given(asked)},
        timeout=timeout,
        json=click.get_current_context().ensure_object(Choice).json,
        **{key: more[key] for key in ("data_plane", "default_route", "verbose")},
    )
    failure = calling.run(wanted)
    if failure:
        stop(CommandError(failure))


@click.command("hash-password", context_settings=SETTINGS)
@json_option
def hash_password() -> None:
    """Hash a password for `pap_hash` of a `[user.NAME]`; it is asked for, or the first line of standard input."""
    from l2tpd.ppp import hashed

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True).encode(
            "utf-8", "surrogateescape"
        )
    else:
        try:
            password = sys.stdin.buffer.readline().rstrip(b"\r\n")
        except OSError as error:
            stop(CommandError(f"cannot read standard input: {error.strerror}"))
    if not password:
        stop(CommandError("there is no password on standard input"))
    text = hashed.make(password, os.urandom(hashed.SALT))
    tell({"pap_hash": text}, lambda: text)


def _bracketed(peer: str) -> str:
    """Put an IPv6 address that stands alone into the brackets that a port would need."""
    try:
        return f"[{ipaddress.IPv6Address(peer)}]"
    except ValueError:
        return peer


def _given(keys: Mapping[str, Json]) -> dict[str, Json]:
    """Keep the keys that have a value: the others are the daemon's to choose."""
    return {key: value for key, value in keys.items() if value}


def _secret_of(file: BinaryIO | None) -> str:
    """Return the first line of an open file; ends the program when there is none, or when others have access to it, which a pipe or a terminal need not mind."""
    if file is None:
        return ""
    mode = os.fstat(file.fileno()).st_mode
    complaint = exposed(mode) if stat.S_ISREG(mode) else ""
    if complaint:
        stop(CommandError(f"{file.name}: {complaint}"))
    try:
        line = file.readline().rstrip(b"\r\n")
    except OSError as error:
        stop(CommandError(f"{file.name}: {error.strerror}"))
    if not line:
        stop(CommandError(f"{file.name}: its first line is empty"))
    return line.decode("utf-8", "surrogateescape")


COMMANDS = (decode, check, connect, hash_password, completion)
