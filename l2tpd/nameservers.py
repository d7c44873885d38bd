"""Who is told of the name servers that a peer has given us, and how: one row for each such program. Pure.

Its own interface names an entry, with a suffix that keeps it apart from those of a DHCP client, say; the entry is withdrawn when the network goes down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from l2tpd.events import PppEvent, What


class Call(NamedTuple):
    """A program that is run, its arguments, and what it reads."""

    program: str
    arguments: tuple[str, ...]
    text: bytes = b""


class _Taker(NamedTuple):
    """Who takes name servers, and who takes them back."""

    up: Callable[[PppEvent], Call]
    down: Callable[[PppEvent], Call]


def _lines(event: PppEvent) -> bytes:
    """Return name servers in the form of resolv.conf(5)."""
    return "".join(f"nameserver {server}\n" for server in event.dns).encode()


_TAKERS: Mapping[str, _Taker] = {
    "resolvconf": _Taker(
        up=lambda event: Call("resolvconf", ("-a", f"{event.interface}.l2tpd"), _lines(event)),
        down=lambda event: Call("resolvconf", ("-d", f"{event.interface}.l2tpd")),
    ),
    "resolved": _Taker(
        up=lambda event: Call("resolvectl", ("dns", event.interface, *event.dns)),
        down=lambda event: Call("resolvectl", ("revert", event.interface)),
    ),
}


def handover(event: PppEvent) -> Call | None:
    """Return whom to tell of the name servers of an event, None: nobody."""
    taker = _TAKERS.get(event.dns_handover)
    if taker is None or not event.dns:
        return None
    return taker.up(event) if event.what is What.UP else taker.down(event)
