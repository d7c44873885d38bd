"""The null plane accepts everything, with and without waiting, and claims to move nothing."""

from __future__ import annotations

import pytest

from l2tpd.config.model import Pseudowire
from l2tpd.kernel.null import NullPlane
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, Link, Operation, Outcome
from l2tpd.kernel.plane import MovingPlane

OPERATIONS: list[Operation] = [
    CreateTunnel(tunnel_id=1, peer_tunnel_id=2),
    CreateSession(tunnel_id=1, session_id=3, peer_session_id=4, pseudowire=Pseudowire.PPP, link=Link(name="ppp7")),
    DeleteSession(tunnel_id=1, session_id=3),
    DeleteTunnel(tunnel_id=1),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: type(operation).__name__)
async def test_everything_is_accepted(operation: Operation) -> None:
    """Every operation succeeds either way, and no interface comes of it."""
    plane = NullPlane()
    assert Outcome() == plane.perform_nowait(operation)
    assert Outcome() == await plane.perform(operation)


def test_it_moves_nothing() -> None:
    """It calls itself null, and is not asked for counters, which it has not."""
    plane = NullPlane()
    assert "null" == plane.name
    assert not isinstance(plane, MovingPlane)
