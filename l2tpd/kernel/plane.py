"""The face of every data plane."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from l2tpd.kernel.ops import Operation, Outcome


class DataPlane(Protocol):
    """Carries out operations, one at a time; the adapter task is its only caller unless it is immediate."""

    @property
    def name(self) -> str:
        """Return the word that the configuration and `show system` use for this plane."""

    def perform_nowait(self, operation: Operation) -> Outcome | None:
        """Carry out an operation that needs no waiting and return its outcome, or return None when it has to be awaited.

        Raises `PlaneError` when the plane refuses.
        """

    async def perform(self, operation: Operation) -> Outcome:
        """Carry out an operation. Raises `PlaneError` when the plane refuses."""


@runtime_checkable
class MovingPlane(Protocol):
    """What a data plane that moves packets can do beyond accepting operations."""

    @property
    def exclusive_paths(self) -> bool:
        """Tell whether a second tunnel between the same addresses and ports would take the first one's packets."""

    async def totals(self) -> Mapping[str, int]:
        """Return the counters of everything that this plane carries for us, added up by name."""

    async def statistics(self, tunnel_id: int, session_id: int = 0) -> Mapping[str, int]:
        """Return the counters of a session, or of the tunnel itself, by name. Raises `PlaneError` when there is no such thing."""

    def close(self) -> None:
        """Let go of what the plane holds open."""


@runtime_checkable
class PacketPlane(MovingPlane, Protocol):
    """A data plane in this process: the data packets of its tunnels come by their sockets, and whoever reads those hands them over."""

    def receive(self, tunnel_id: int, packet: memoryview, now: float) -> bool:
        """Take a data packet, which came at `now`, in seconds; tell whether anybody can use it. Never waits.

        Version 2: the whole packet (RFC 2661 3.1). Version 3: from the session id on (RFC 3931 4.1.1.1, 4.1.2.1), so that what carries the tunnel makes
        no difference. The memory is the caller's again afterwards.
        """

    def owner(self, packet: memoryview) -> int:
        """Return the tunnel of the session that a packet of version 3 names, taken from the session id on; 0 when there is none."""
