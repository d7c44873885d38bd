"""The plane that records: a scripted far end for tests of everything above it.

It refuses what a real plane refuses (a session in a tunnel that is not there), so a test that leaves something behind can see it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from l2tpd.errors import PlaneError
from l2tpd.kernel.ops import (
    CreateSession,
    CreateTunnel,
    DeleteSession,
    DeleteTunnel,
    ModifySession,
    Operation,
    Outcome,
)


async def _at_once() -> None:
    """Take no time."""


@attrs.define(eq=False)
class RecordingPlane:
    """Record every operation; fail those whose position (from 0) is in `failing`; wait for `delay()` in each."""

    failing: frozenset[int] = frozenset()
    delay: Callable[[], Awaitable[None]] = _at_once
    name: str = "recording"
    log: list[Operation] = attrs.field(factory=list)
    tunnels: set[int] = attrs.field(factory=set)
    sessions: set[tuple[int, int]] = attrs.field(factory=set)

    def perform_nowait(self, operation: Operation) -> Outcome | None:
        """Always ask to be awaited."""
        del operation
        return None

    async def perform(self, operation: Operation) -> Outcome:
        """Record the operation and carry it out on the sets of what exists."""
        position = len(self.log)
        self.log.append(operation)
        await self.delay()
        if position in self.failing:
            raise PlaneError(12, f"operation {position} fails by script")
        return self._apply(operation)

    def _apply(self, operation: Operation) -> Outcome:
        match operation:
            case CreateTunnel():
                self.tunnels.add(operation.tunnel_id)
            case DeleteTunnel():
                self.tunnels.discard(operation.tunnel_id)
                self.sessions = {key for key in self.sessions if key[0] != operation.tunnel_id}
            case CreateSession():
                if operation.tunnel_id not in self.tunnels:
                    raise PlaneError(19, f"no tunnel {operation.tunnel_id}")
                self.sessions.add((operation.tunnel_id, operation.session_id))
                return Outcome(operation.link.name or f"rec{operation.session_id}")
            case ModifySession():
                if (operation.tunnel_id, operation.session_id) not in self.sessions:
                    raise PlaneError(19, f"no session {operation.session_id}")
            case DeleteSession():
                self.sessions.discard((operation.tunnel_id, operation.session_id))
        return Outcome()
