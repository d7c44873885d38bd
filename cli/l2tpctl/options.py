"""What the commands have in common: the socket, `--json`, and how they fail."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import attrs
import click

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS = {"help_option_names": ["-h", "--help"]}

DEFAULT_SOCKET = "/run/l2tpd/control.sock"
DEFAULT_CONFIG = "/etc/l2tpd/l2tpd.toml"

LEVELS = ("critical", "error", "warning", "notice", "info", "debug")
CATEGORIES = (
    "protocol",
    "fsm",
    "api",
    "avp_info",
    "avp_hide",
    "avp_data",
    "func",
    "transport",
    "data",
    "system",
    "ppp",
    "kernel",
    "all",
)


@attrs.define
class Choice:
    """What the options before the command said."""

    path: Path = Path(DEFAULT_SOCKET)
    json: bool = False


socket_option = click.option(
    "--socket",
    "path",
    type=click.Path(path_type=Path, readable=False),  # who may not read it is told so by the client
    default=DEFAULT_SOCKET,
    show_default=True,
    envvar="L2TPD_SOCKET",
    show_envvar=True,
    metavar="PATH",
    help="Control socket of the daemon.",
)


def _set_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    """Let `--json` stand behind a command as well as before it."""
    if value:
        context.ensure_object(Choice).json = True


def json_option(command: F) -> F:
    """Give a command the option `--json`."""
    return click.option(
        "--json", is_flag=True, expose_value=False, callback=_set_json, help="Print one JSON document."
    )(command)


def perform(command: click.Command, name: str) -> NoReturn:
    """Run a command as the program `name`. It ends with status 1 where what it says cannot be written: with a sentence, but for a pipe that nobody reads."""
    _hold_streams()
    _show_everything()
    try:
        command(prog_name=name)  # click deals with the pipe
    except OSError as error:  # of files, commands have said theirs
        _forget(1)
        try:
            click.echo(f"{name}: cannot write to standard output: {error.strerror}", err=True)
        except OSError:
            _forget(2)
    sys.exit(1)


def _hold_streams() -> None:
    """Put what can be neither read nor written where whoever started us has closed a standard stream: its number is no socket's, and its use an error."""
    for fd, name, mode, flags in ((0, "stdin", "r", os.O_WRONLY), (1, "stdout", "w", os.O_RDONLY)):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, flags), fd)
            setattr(sys, name, os.fdopen(fd, mode, closefd=False))


def _show_everything() -> None:
    """Have stdout take what its encoding cannot say, as stderr does: escaped, not with a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _forget(fd: int) -> None:
    """Have Python write to nowhere what is left of a stream, which it does once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), fd)


def stop(error: Exception) -> NoReturn:
    """Say what failed and end with status 1."""
    click.echo(f"{click.get_current_context().find_root().info_name}: {error}", err=True)
    sys.exit(1)
