"""The tasks that wait for the data plane, and return. An established session without PPP of ours has no task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from l2tpd.errors import PlaneError

if TYPE_CHECKING:
    from l2tpd.kernel.adapter import Adapter
    from l2tpd.kernel.ops import CreateSession, CreateTunnel
    from l2tpd.tunnel.core import ControlConnection


async def carry_tunnel(
    adapter: Adapter, operation: CreateTunnel, core: ControlConnection, carried: trio.Event, flush: Callable[[], None]
) -> None:
    """Have the data plane know a tunnel; its sessions wait for `carried`."""
    try:
        await adapter.create(operation)
    except PlaneError as error:
        core.plane_failed(0, error.text, trio.current_time())
        flush()
    carried.set()


async def carry_session(
    adapter: Adapter,
    operation: CreateSession,
    core: ControlConnection,
    carried: trio.Event | None,
    flush: Callable[[], None],
) -> None:
    """Have the data plane carry a session, once it knows the tunnel, and report what came of it to the core."""
    if carried is not None:
        await carried.wait()
    if operation.session_id not in core.calls:
        return
    try:
        outcome = await adapter.create(operation)
    except PlaneError as error:
        core.plane_failed(operation.session_id, error.text, trio.current_time())
    else:
        core.plane_up(operation.session_id, outcome.interface, trio.current_time())
    flush()
