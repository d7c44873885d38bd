"""Asking the daemon from a command, and printing what it answers."""

# ruff: noqa: PLC0415 - trio is imported when something is asked: --help should not wait for it

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import click

from l2tpctl import render
from l2tpctl.errors import CommandError
from l2tpctl.options import Choice, stop
from l2tpd.control.jsonrpc import Json


def ask(method: str, params: Mapping[str, Json] | None = None, *, pages: bool = False) -> dict[str, Json]:
    """Call a method of the daemon; ends the program with status 1 and a sentence when that fails."""
    from l2tpctl import client

    choice = click.get_current_context().ensure_object(Choice)
    try:
        answer = (client.call_all if pages else client.call)(choice.path, method, params or {})
    except CommandError as error:
        stop(error)
    return answer if isinstance(answer, dict) else {}


def tell(answer: Mapping[str, Json], text: Callable[[], str]) -> None:
    """Print an answer: as JSON if that was asked for, else as text."""
    as_json = click.get_current_context().ensure_object(Choice).json
    try:
        shown = json.dumps(answer, indent=2) if as_json else text()
    except RecursionError:  # of reading and writing, writing takes more room
        stop(CommandError("l2tpd's answer is nested too deeply"))
    if shown:
        click.echo(shown)


def rows(answer: Mapping[str, Json], key: str) -> list[render.Row]:
    """Return the rows of a list answer."""
    found = answer.get(key)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def listing(answer: Mapping[str, Json], key: str, columns: Sequence[tuple[str, render.Cell]]) -> None:
    """Print a list answer as a table."""
    tell(answer, lambda: render.table(columns, rows(answer, key)))
