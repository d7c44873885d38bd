"""The plane that records: what it keeps, what it refuses."""

from __future__ import annotations

import pytest

from l2tpd.config.model import Pseudowire
from l2tpd.errors import PlaneError
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, Link, Operation
from l2tpd.kernel.recording import RecordingPlane

TUNNEL = CreateTunnel(tunnel_id=1, peer_tunnel_id=2)
SESSION = CreateSession(tunnel_id=1, session_id=3, peer_session_id=4, pseudowire=Pseudowire.PPP)


async def test_everything_is_recorded_in_order() -> None:
    """The log holds each operation, and the sets what exists after them."""
    plane = RecordingPlane()
    script: list[Operation] = [TUNNEL, SESSION, DeleteSession(tunnel_id=1, session_id=3), DeleteTunnel(tunnel_id=1)]
    exists = []
    for operation in script:
        await plane.perform(operation)
        exists.append((len(plane.tunnels), len(plane.sessions)))
    assert script == plane.log
    assert [(1, 0), (1, 1), (1, 0), (0, 0)] == exists


async def test_a_session_needs_its_tunnel() -> None:
    """As in the kernel, there is no session in a tunnel that is not there (ENODEV)."""
    plane = RecordingPlane()
    with pytest.raises(PlaneError) as refused:
        await plane.perform(SESSION)
    assert 19 == refused.value.errno
    assert set() == plane.sessions


async def test_a_tunnel_takes_its_sessions_along() -> None:
    """Deleting a tunnel deletes what is in it, and nothing of another tunnel."""
    plane = RecordingPlane()
    for tunnel in (1, 2):
        await plane.perform(CreateTunnel(tunnel_id=tunnel, peer_tunnel_id=9))
        await plane.perform(CreateSession(tunnel_id=tunnel, session_id=3, peer_session_id=4, pseudowire=Pseudowire.PPP))
    await plane.perform(DeleteTunnel(tunnel_id=1))
    assert ({2}, {(2, 3)}) == (plane.tunnels, plane.sessions)


async def test_failures_are_by_position() -> None:
    """The scripted operation fails, is recorded, and changes nothing; the next one works."""
    plane = RecordingPlane(failing=frozenset({0}))
    with pytest.raises(PlaneError, match="operation 0 fails by script"):
        await plane.perform(TUNNEL)
    assert ([TUNNEL], set()) == (plane.log, plane.tunnels)
    await plane.perform(TUNNEL)
    assert {1} == plane.tunnels


@pytest.mark.parametrize(("wanted", "given"), [("", "rec3"), ("ppp7", "ppp7")])
async def test_interface_names(wanted: str, given: str) -> None:
    """A session has the interface that it asks for, else one named after it."""
    plane = RecordingPlane()
    await plane.perform(TUNNEL)
    outcome = await plane.perform(
        CreateSession(tunnel_id=1, session_id=3, peer_session_id=4, pseudowire=Pseudowire.PPP, link=Link(name=wanted))
    )
    assert given == outcome.interface


def test_it_always_wants_to_be_awaited() -> None:
    """Nothing is done at once, so that whoever uses it goes through the adapter's task."""
    plane = RecordingPlane()
    assert plane.perform_nowait(TUNNEL) is None
    assert [] == plane.log
