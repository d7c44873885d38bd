"""The tasks that wait for the data plane, and return; and the one that lives as long as its session, where PPP or packets are ours to move.

Any other established session has no task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import trio

from l2tpd.errors import PlaneError
from l2tpd.supervise import contain
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.kernel.adapter import Adapter, Slot
    from l2tpd.kernel.ops import CreateSession, CreateTunnel, FramePort, Outcome, Pump
    from l2tpd.session.call import Call
    from l2tpd.tunnel.core import ControlConnection


_CRASHED = CallResult.LOST_CARRIER, "internal error"


class Ppp(Protocol):
    """Whatever runs PPP on a session."""

    async def run(self, tunnel_id: int, call: Call, channel: int) -> tuple[int, str]:
        """Run PPP on a call until it ends by itself; return the result code of RFC 2661 4.4.2 for the CDN, and the reason in words.

        `channel` is a descriptor of its frames, which this closes. Cancelled, it leaves nothing behind. It keeps interface and addresses of the
        call up to date.
        """

    async def run_on_port(self, tunnel_id: int, call: Call, port: FramePort) -> tuple[int, str]:
        """Run PPP, as `run` does, where the frames come to this process."""


async def carry_tunnel(
    adapter: Adapter, operation: CreateTunnel, core: ControlConnection, carried: trio.Event, flush: Callable[[], None]
) -> None:
    """Have the data plane know a tunnel; its sessions wait for `carried`."""
    try:
        await adapter.submit(operation)
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
    note: Callable[[int, Outcome], None],
) -> None:
    """Have the data plane carry a session, once it knows the tunnel, and report what came of it to the core.

    `note` is told the session id and what came of it before the core hears of it.
    """
    if carried is not None and not carried.is_set():
        await carried.wait()
    if operation.session_id not in core.calls:
        return
    try:
        outcome = await adapter.submit(operation)
    except PlaneError as error:
        core.plane_failed(operation.session_id, error.text, trio.current_time())
    else:
        if operation.session_id in core.calls:  # else its delete is on the way
            note(operation.session_id, outcome)
        core.plane_up(operation.session_id, outcome.interface, trio.current_time())
    flush()


async def carry_change(
    adapter: Adapter, slot: Slot, session_id: int, core: ControlConnection, flush: Callable[[], None]
) -> None:
    """Wait until the data plane has changed a session; one that cannot be as the peer demands is closed."""
    try:
        await adapter.settled(slot)
    except PlaneError as error:
        core.plane_failed(session_id, error.text, trio.current_time())
        flush()


async def carry_link(
    core: ControlConnection, session_id: int, work: Pump, scope: trio.CancelScope, flush: Callable[[], None]
) -> None:
    """Run what an established session needs to run until `scope` is cancelled, because the session has ended, or it ends, which ends the session."""
    with scope:
        ending = await contain(f"link of session {core.local_id}/{session_id}", work, kind="link")
        result, text = ending or _CRASHED
        core.close_session(session_id, trio.current_time(), text, result)
        flush()


async def first_of(*works: Pump) -> tuple[int, str]:
    """Run several tasks of a session at once; the end of one is the end of all."""
    endings: list[tuple[int, str]] = []

    async def run(work: Pump, scope: trio.CancelScope) -> None:
        endings.append(await work())
        scope.cancel()

    async with trio.open_nursery() as nursery:
        for work in works:
            nursery.start_soon(run, work, nursery.cancel_scope)
    return endings[0]
