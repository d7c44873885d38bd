"""Who may come in, from files as pppd has them (pppd(8), AUTHENTICATION): a line a user, with client, server, secret and addresses. Pure.

The first line that fits both names holds; `*` fits any name, but a name written out is preferred.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import NamedTuple

from l2tpd.ppp.authority import REFUSED, Verdict
from l2tpd.ppp.credentials import Credentials, mppe_keys, verify


class Secret(NamedTuple):
    """One line of a secrets file; `addresses` are those that the client may have, none: any."""

    client: str
    server: str
    secret: str
    addresses: tuple[str, ...]


Secrets = Mapping[str, Sequence[Secret]]
"""The lines of a file by client, in their order: a file has thousands, and each who asks to come in is looked up."""


def parse(text: str) -> Secrets:
    """Read a secrets file; a line that makes no sense is passed over, as pppd does it."""
    found: dict[str, list[Secret]] = {}
    for one in _lines(text):
        found.setdefault(one.client, []).append(one)
    return found


def find(secrets: Secrets, client: str, server: str) -> Secret | None:
    """Return the best line for a client of a server, or None."""
    lines = itertools.chain(secrets.get(client, ()), secrets.get("*", ()))
    fitting = [one for one in lines if one.server in {server, "*"}]
    return max(fitting, key=lambda one: (one.client != "*", one.server != "*"), default=None)


def decide(found: Secret | None, said: Credentials) -> Verdict:
    """Decide about a caller by its line, None if it has none; `-` in place of addresses means that it may have none (pppd(8), AUTHENTICATION)."""
    message = verify(said, found.secret) if found and found.addresses != ("-",) else None
    if found is None or message is None:
        return REFUSED
    keys = mppe_keys(said.kind, said.response, found.secret, server=True)
    return Verdict(accepted=True, message=message, address=_own_address(found), keys=keys)


def _own_address(found: Secret) -> str:
    """Return the address that a user always has, if its line names a single one; host names count for nothing."""
    if len(found.addresses) != 1:
        return ""
    try:
        return str(IPv4Address(found.addresses[0]))
    except ValueError:
        return ""


def _lines(text: str) -> Iterator[Secret]:
    for line in text.splitlines():
        words = _words(line)
        if len(words) >= 3:
            addresses = itertools.takewhile(lambda word: word != "--", words[3:])  # options of pppd's follow
            yield Secret(words[0], words[1], words[2], tuple(addresses))


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        return list(lexer)
    except ValueError:  # an open quotation mark
        return []
