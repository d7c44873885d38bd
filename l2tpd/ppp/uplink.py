"""IPv6 of one subscriber at our end: what it is given, routed to it, and told; whoever runs its PPP calls this, and hands over what it asks."""

from __future__ import annotations

import math
import random
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from l2tpd.ppp.delegation import server_duid
from l2tpd.ppp.gate import Gift
from l2tpd.ppp.router6 import Router, Terms

if TYPE_CHECKING:
    from l2tpd.ppp.carrier import Carrier, Owner
    from l2tpd.ppp.gate import Gate

_MACHINE_IDS: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))  # machine-id(5)


@attrs.define(eq=False, kw_only=True)
class Uplink:
    """The router that a subscriber finds, while there is one; as clients we have none."""

    gate: Gate
    carrier: Carrier
    duid: bytes  # of our DHCPv6 server
    lost: Counter[str]  # of all subscribers: what was lost at limits, by the words of `gauges.LIMITS`
    _router: Router | None = None

    @property
    def next_timer(self) -> float:
        """When `handle_timer` has something to do."""
        return math.inf if self._router is None else self._router.next_timer

    async def give(
        self, identifier: bytes, mtu: int, route: Callable[[Iterable[str]], Awaitable[None]], routes: Iterable[str]
    ) -> Gift:
        """Return what the peer gets, `route` that and the `routes` behind it to the peer; `open` is next, if there is anything to tell it of.

        `identifier` is ours (RFC 5072 4.1), `mtu` octets.
        """
        lease = self.gate.lease
        if not lease.lns:
            return Gift()
        given = self.gate.ipv6()
        networks = (*given.prefixes, *routes)
        await route(networks)
        if networks or given.dns or given.search:
            terms = Terms(
                identifier=identifier,
                mtu=mtu,
                interval=lease.ppp.ra_interval,
                lifetime=lease.ppp.ipv6_lifetime,
                prefix=given.prefix,
                delegated=given.delegated,
                address=given.address,
                dns=given.dns,
                search=given.search,
            )
            self._router = Router(terms, self.duid, random.random)
        return given

    def open(self, owner: Owner, now: float) -> None:
        """Advertise, and hear what is asked."""
        if self._router is not None:
            self._router.begin(now)
            self.carrier.overhear(owner)
            self._speak(owner)

    def takes(self, packet: bytes) -> bool:
        """Tell whether a packet of IPv6 is for the router."""
        return self._router is not None and self._router.takes(packet)

    def ask(self, packet: bytes, owner: Owner, now: float) -> bool:
        """Take a packet for which `takes` holds, and tell whether it made sense."""
        if self._router is None:
            return False
        before = self._router.lost
        sound = self._router.receive(packet, now)
        self.lost["router-questions"] += self._router.lost - before
        self._speak(owner)
        return sound

    def handle_timer(self, owner: Owner, now: float) -> None:
        """Advertise where that is due."""
        if self._router is not None:
            self._router.handle_timer(now)
            self._speak(owner)

    def part(self, owner: Owner) -> None:
        """Tell the peer that there is no router any longer, if it still hears us."""
        router, self._router = self._router, None
        if router is not None:
            self.carrier.emit(router.farewell(), owner)

    def _speak(self, owner: Owner) -> None:
        for packet in self._router.packets_to_send() if self._router is not None else ():
            self.carrier.emit(packet, owner)


def machine_duid() -> bytes:
    """Return how the DHCPv6 servers of this machine call themselves, the same after each start. Blocks for a file or two."""
    for path in _MACHINE_IDS:
        with suppress(OSError):
            if said := path.read_bytes().strip():
                return server_duid(said)
    return server_duid(socket.gethostname().encode())
