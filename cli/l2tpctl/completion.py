"""What a shell may complete: names of tunnels, sessions and PPP, keys and categories; the daemon is asked, and nobody is told if it does not answer."""

# ruff: noqa: PLC0415 - the client imports trio, which nothing but completion that asks the daemon should wait for

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from l2tpctl.answers import rows
from l2tpctl.errors import CommandError
from l2tpctl.keys import schemas
from l2tpctl.options import CATEGORIES
from l2tpd.control.jsonrpc import Json

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_PATIENCE = 2.0  # seconds: until then a shell answers no other key


def tunnel_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a tunnel, if the daemon answers."""
    return _names(context, "tunnel.list", {}, "tunnels", incomplete)


def session_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a session of the tunnel before it."""
    return _names(context, "session.list", {"tunnel": context.params.get("tunnel")}, "sessions", incomplete)


def _names(context: click.Context, method: str, params: Mapping[str, Json], key: str, incomplete: str) -> list[str]:
    words = [str(row.get("name") or f"@{row.get('id')}") for row in rows(_quietly(context, method, params), key)]
    return completing(words, incomplete)


def _quietly(context: click.Context, method: str, params: Mapping[str, Json]) -> dict[str, Json]:
    """Ask the daemon; who only completes a word is told of no failure, and does not wait long."""
    from l2tpctl import client

    path = context.find_root().params.get("path")
    try:
        answer = client.call(path, method, params, _PATIENCE) if isinstance(path, Path) else {}
    except CommandError:
        return {}
    return answer if isinstance(answer, dict) else {}


class Keyed(click.Command):
    """A command that takes keys of the configuration like options, which its daemon knows."""

    method: str

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete keys as well."""
        from click.shell_completion import CompletionItem

        keys = schemas(_quietly(ctx, "rpc.discover", {}), self.method) if incomplete.startswith("-") else ()
        words = [f"--{key.replace('_', '-')}" for key in keys]
        own = super().shell_complete(ctx, incomplete)
        known = {item.value for item in own} | {word for option in self.params for word in option.opts}
        return own + [CompletionItem(word) for word in words if word.startswith(incomplete) and word not in known]


class KeyedTunnel(Keyed):
    """Of `[tunnel.NAME]`."""

    method = "tunnel.create"


class KeyedSession(Keyed):
    """Of `[tunnel.NAME.session.NAME]`."""

    method = "session.create"


def categories(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last category of a list."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{word}" for word in CATEGORIES if word.startswith(last)]


def ppp_names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the interface of a session with PPP, or its ids where it has none yet, or one that it shares."""
    found = rows(_quietly(context, "ppp.list", {}), "ppp")
    names = [str(row.get("interface") or "") for row in found]
    ids = [f"@{row.get('tunnel_id')}/{row.get('session_id')}" for row in found]
    words = (name if name and names.count(name) == 1 else other for name, other in zip(names, ids, strict=True))
    return completing(words, incomplete)


def completing(words: Iterable[str], incomplete: str) -> list[str]:
    """Keep the words that begin like this, and that a terminal may be shown: the shell puts them there as they are."""
    return [word for word in words if word.startswith(incomplete) and word.isprintable()]


ppp_argument = click.argument("ppp", shell_complete=ppp_names)
tunnel_argument = click.argument("tunnel", shell_complete=tunnel_names)
session_argument = click.argument("session", shell_complete=session_names)
categories_argument = click.argument("categories", shell_complete=categories)
