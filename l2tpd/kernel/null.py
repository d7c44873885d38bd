"""The plane that accepts everything and moves nothing: for unprivileged use, for control-plane tests and for measuring."""

from __future__ import annotations

from l2tpd.kernel.ops import Operation, Outcome

_DONE = Outcome()


class NullPlane:
    """Accept every operation at once."""

    name = "null"

    def perform_nowait(self, operation: Operation) -> Outcome | None:
        """Accept the operation."""
        del operation
        return _DONE

    async def perform(self, operation: Operation) -> Outcome:
        """Accept the operation."""
        del operation
        return _DONE
