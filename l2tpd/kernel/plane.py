"""The face of every data plane."""

from __future__ import annotations

from typing import Protocol

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
