"""Asking the daemon from a command, and printing what it answers."""

# ruff: noqa: PLC0415 - trio is imported when something is asked: --help should not wait for it

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial

import click

from l2tpctl import render
from l2tpctl.errors import CommandError
from l2tpctl.options import Choice, stop
from l2tpd.control.jsonrpc import Json


def ask(method: str, params: Mapping[str, Json] | None = None) -> dict[str, Json]:
    """Call a method of the daemon; ends the program with status 1 and a sentence when that fails."""
    from l2tpctl import client

    choice = click.get_current_context().ensure_object(Choice)
    try:
        answer = client.call(choice.path, method, params or {})
    except CommandError as error:
        stop(error)
    return answer if isinstance(answer, dict) else {}


def tell(answer: Mapping[str, Json], text: Callable[[], str]) -> None:
    """Print an answer: as JSON if that was asked for, else as text."""
    as_json = click.get_current_context().ensure_object(Choice).json
    _show(partial(json.dumps, answer, indent=2) if as_json else text, "\n")


def _show(text: Callable[[], str], ending: str = "") -> None:
    try:
        shown = text()
    except RecursionError:  # of reading and writing, writing takes more room
        stop(CommandError("l2tpd's answer is nested too deeply"))
    if shown:
        click.echo(shown + ending, nl=False)


def rows(answer: Mapping[str, Json], key: str) -> list[render.Row]:
    """Return the rows of a list in an answer."""
    found = answer.get(key)
    return render.rows(found) if isinstance(found, list) else []


def listing(method: str, key: str, text: render.Pages, params: Mapping[str, Json] | None = None) -> None:
    """Call a list method and print its rows as they come, page after page: as JSON if that was asked for, else as `text` has them."""
    from l2tpctl import client

    choice = click.get_current_context().ensure_object(Choice)
    pages = render.Document(key) if choice.json else text

    def take(page: Mapping[str, Json]) -> None:
        found = page.get(key)
        _show(partial(pages.page, found if isinstance(found, list) else []))

    try:
        client.call_pages(choice.path, method, params or {}, take)
    except CommandError as error:
        stop(error)
    _show(pages.end)
