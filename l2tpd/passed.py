"""Control messages as a capture sees them: which are wanted, and what is told of each.

A message is told with its octets, so that whoever captures can look at it with other eyes than ours, and with our own description. The secret
that goes along serves to judge what is hidden, and ends here: no text holds it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Literal, NamedTuple

import attrs

from l2tpd.config.model import Address, Encapsulation
from l2tpd.events import Lost
from l2tpd.wire import describe

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Direction = Literal["in", "out"]

LONGEST = 4096
"""Octets of a message that is described; real ones have a tenth of it, and describing more would be work that any stranger can order."""


class Passed(NamedTuple):
    """A control message that was received or sent, as UDP would carry it; `tunnel_id` is ours, 0 where it names no tunnel of ours."""

    time: float  # seconds since 1970 UTC
    direction: Direction
    octets: bytes
    local: Address
    peer: Address
    encap: Encapsulation
    tunnel_id: int
    name: str  # of the tunnel; empty for one that a peer opened, and where there is none
    secret: bytes  # shared with the peer, as far as it is known who that is


@attrs.define(eq=False)
class Chosen:
    """Which messages a capture wants: those of these tunnels and peers, or all of them where nothing is chosen.

    A name means every tunnel that has it, one after the other: `named` keeps the id of the latest, for what still comes when that is over has no
    more than an id.
    """

    named: dict[str, int] = attrs.field(factory=dict)
    ids: frozenset[int] = frozenset()
    peers: tuple[Network, ...] = ()

    def wants(self, passed: Passed) -> bool:
        """Tell whether a message is wanted."""
        if not (self.named or self.ids or self.peers):
            return True
        if passed.name in self.named:
            self.named[passed.name] = passed.tunnel_id
            return True
        return passed.tunnel_id in self.ids or passed.tunnel_id in self.named.values() or self._is_of_peer(passed)

    def _is_of_peer(self, passed: Passed) -> bool:
        if not self.peers:
            return False
        host = ipaddress.ip_address(passed.peer.host.partition("%")[0])
        return any(host in network for network in self.peers)


def told(passed: Passed | Lost, *, show_hidden: bool) -> Mapping[str, str | int | float]:
    """Turn a message into the params of a `message` notification; a gap says how many are missing."""
    if isinstance(passed, Lost):
        return {"object": "lost", "count": passed.events}
    source, destination = (passed.peer, passed.local) if passed.direction == "in" else (passed.local, passed.peer)
    return {
        "object": "message",
        "time": passed.time,
        "direction": passed.direction,
        "encap": passed.encap.value,
        "source": str(source),
        "destination": str(destination),
        "tunnel_id": passed.tunnel_id,
        "name": passed.name,
        "octets": passed.octets.hex(),
        "text": _text(passed, show_hidden=show_hidden),
    }


def _text(passed: Passed, *, show_hidden: bool) -> str:
    if len(passed.octets) > LONGEST:
        return f"{len(passed.octets)} octets, too many to be described here"
    return describe.datagram(passed.octets, passed.secret, conceal=not show_hidden)
