"""Tunnels that are over but must still acknowledge.

RFC 2661 5.7 and 5.8: whoever answered a StopCCN stays able to acknowledge its copies for a full retransmission cycle (31 s), or the peer whose
ack was lost retries into a void. A finished tunnel needs no task for that: what is left of it is its ids, its peer and two sequence
numbers, held here. Its id stays taken as long, so that no late packet reaches a new tunnel.

That much anybody can bring about, under any address: an SCCRQ, and a StopCCN after it. So of callers who never proved that they hear us a bounded number
is kept, and the oldest goes when there are more; it loses an acknowledgement and repeats its StopCCN in vain.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from l2tpd.config.model import Address
from l2tpd.wire.header import ControlHeader

if TYPE_CHECKING:
    from l2tpd.tunnel.dialect import Dialect
    from l2tpd.tunnel.guard import Guard

CYCLE = 31.0
"""A full retransmission cycle in seconds (RFC 2661 5.7)."""

STRANGERS = 4096
"""How many tunnels of strangers are kept: of those that never came up."""


class Remains(NamedTuple):
    """What is left of a finished tunnel."""

    local_id: int
    peer_id: int
    peer: Address
    ns: int
    nr: int
    dialect: Dialect
    guard: Guard | None = None

    def ack(self) -> bytes:
        """Return the packet that acknowledges what was seen."""
        datagram = self.dialect.build(self.peer_id, 0, self.ns, self.nr, self.dialect.ack)
        return self.guard.seal(datagram) if self.guard is not None else datagram


def late_ack(remains: Remains, header: ControlHeader) -> tuple[Remains, bytes]:
    """Return what acknowledges a late message of the peer, and what is left afterwards.

    It acknowledges what the tunnel had seen when it ended, and the next message where that is what came: not its content matters any more,
    only that its sender may stop repeating it.
    """
    if header.ns == remains.nr:
        remains = remains._replace(nr=(remains.nr + 1) & 0xFFFF)
    return remains, remains.ack()


class Lingering:
    """The finished tunnels of a daemon, oldest first."""

    def __init__(self) -> None:
        """Start with none."""
        self._remains: dict[int, Remains] = {}
        self._by_caller: dict[tuple[Address, int], int] = {}
        self._until: dict[int, float] = {}
        self._ends: deque[tuple[float, int]] = deque()
        self._strangers: deque[tuple[float, int]] = deque()

    def __contains__(self, local_id: object) -> bool:
        """Tell whether a tunnel id is still taken."""
        return local_id in self._remains

    def __len__(self) -> int:
        """Return how many finished tunnels are kept."""
        return len(self._remains)

    @property
    def strangers(self) -> int:
        """How many of these never came up."""
        return len(self._strangers)

    def add(self, remains: Remains, now: float, *, stranger: bool = False) -> None:
        """Keep a finished tunnel for one cycle from now; that of a `stranger` gives way when there are too many of them."""
        self.expire(now)
        self._drop(remains.local_id)  # of a stranger whose id did not rest for long
        self._remains[remains.local_id] = remains
        self._by_caller[remains.peer, remains.peer_id] = remains.local_id
        self._until[remains.local_id] = until = now + CYCLE
        (self._strangers if stranger else self._ends).append((until, remains.local_id))
        if len(self._strangers) > STRANGERS:
            self._end(*self._strangers.popleft())

    def answer(self, header: ControlHeader, body: bytes, datagram: bytes, peer: Address, now: float) -> bytes | None:
        """Return what acknowledges a late message to a finished tunnel, or None when nothing is due.

        Only the tunnel's own peer is answered.
        """
        self.expire(now)
        remains = self._remains.get(header.tunnel_id)
        if remains is None or not body or remains.peer != peer:
            return None
        if remains.guard is not None and not remains.guard.believes(datagram, body):
            return None
        self._remains[remains.local_id], answer = late_ack(remains, header)
        return answer

    def called_by(self, peer: Address, peer_id: int, now: float) -> int | None:
        """Return the id of the finished tunnel to which a peer gave `peer_id`: one that never learnt ours can name only its own."""
        self.expire(now)
        return self._by_caller.get((peer, peer_id))

    def expire(self, now: float) -> None:
        """Forget the tunnels whose cycle is over."""
        for ends in (self._ends, self._strangers):
            while ends and ends[0][0] <= now:
                self._end(*ends.popleft())

    def _end(self, until: float, local_id: int) -> None:
        if self._until.get(local_id) == until:  # else the id has been somebody else's since
            self._drop(local_id)

    def _drop(self, local_id: int) -> None:
        remains = self._remains.pop(local_id, None)
        if remains is not None:
            del self._until[local_id]
            if self._by_caller.get((remains.peer, remains.peer_id)) == local_id:
                del self._by_caller[remains.peer, remains.peer_id]
