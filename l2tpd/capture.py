"""The tap through which control messages are watched as they pass: each tunnel and the endpoint note here what they receive and send.

Whoever notes asks first whether anybody watches (`tap.subscribers`), so that a message costs nothing more while nobody does. Noting never waits: a
watcher that does not keep up loses messages and is told how many, as a subscriber to events is (`bus.py`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs

from l2tpd.bus import Fan
from l2tpd.config.model import Address, Encapsulation
from l2tpd.passed import Direction, Passed

if TYPE_CHECKING:
    from l2tpd.tunnel.core import ControlConnection


@attrs.define(eq=False)
class Tap(Fan[Passed]):
    """All captures of a daemon."""

    def note(self, direction: Direction, octets: bytes, local: Address, peer: Address, core: ControlConnection) -> None:
        """Offer a message of a tunnel."""
        whose = (core.local_id, core.name, core.secret)
        self.offer(Passed(time.time(), direction, octets, local, peer, core.encap, *whose))

    def note_other(
        self, direction: Direction, octets: bytes, local: Address, peer: Address, tunnel_id: int, secret: bytes = b""
    ) -> None:
        """Offer a message that no tunnel of ours has part in: to none, or to one that is over and still known by `tunnel_id`."""
        encap = Encapsulation.UDP if local.port else Encapsulation.IP
        self.offer(Passed(time.time(), direction, octets, local, peer, encap, tunnel_id, "", secret))
