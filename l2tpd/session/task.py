"""The tasks that wait for the data plane, and return; and the one that lives as long as the PPP of its session.

An established session without PPP of ours has no task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import trio

from l2tpd.errors import PlaneError
from l2tpd.supervise import contain
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.kernel.adapter import Adapter
    from l2tpd.kernel.ops import CreateSession, CreateTunnel, ModifySession
    from l2tpd.session.call import Call
    from l2tpd.tunnel.core import ControlConnection


class Ppp(Protocol):
    """Whatever runs PPP on a session."""

    async def run(self, tunnel_id: int, call: Call, channel: int) -> tuple[int, str]:
        """Run PPP on a call until it ends by itself; return the result code of RFC 2661 4.4.2 for the CDN, and the reason in words.

        `channel` is a descriptor of its frames, which this closes. Cancelled, it leaves nothing behind. It keeps interface and addresses of the
        call up to date.
        """


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
    note: Callable[[int, int], None],
) -> None:
    """Have the data plane carry a session, once it knows the tunnel, and report what came of it to the core.

    `note` is told the session id and the channel of its PPP frames before the core hears of it.
    """
    if carried is not None:
        await carried.wait()
    if operation.session_id not in core.calls:
        return
    try:
        outcome = await adapter.submit(operation)
    except PlaneError as error:
        core.plane_failed(operation.session_id, error.text, trio.current_time())
    else:
        if operation.session_id in core.calls:  # else its delete is on the way
            note(operation.session_id, outcome.channel)
        core.plane_up(operation.session_id, outcome.interface, trio.current_time())
    flush()


async def carry_change(
    adapter: Adapter, operation: ModifySession, core: ControlConnection, flush: Callable[[], None]
) -> None:
    """Have the data plane change a session; one that cannot be as the peer demands is closed."""
    try:
        await adapter.submit(operation)
    except PlaneError as error:
        core.plane_failed(operation.session_id, error.text, trio.current_time())
        flush()


async def carry_ppp(
    ppp: Ppp, core: ControlConnection, call: Call, channel: int, scope: trio.CancelScope, flush: Callable[[], None]
) -> None:
    """Run PPP on an established session until `scope` is cancelled, because the session has ended, or PPP ends, which ends the session.

    `channel` is a descriptor of its frames, which PPP closes.
    """
    ending: tuple[int, str] = (CallResult.LOST_CARRIER, "internal error of PPP")

    async def run() -> None:
        nonlocal ending
        ending = await ppp.run(core.local_id, call, channel)

    with scope:
        await contain(f"PPP of session {core.local_id}/{call.local_id}", run, on_crash=lambda _: None, kind="ppp")
        result, text = ending
        core.close_session(call.local_id, trio.current_time(), text, result)
        flush()
