"""Which engine runs the PPP of a session: ours, or where its profile says so a pppd, which needs the kernel's data plane."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from l2tpd.config.model import PppEngine
from l2tpd.errors import LocalProtocolError
from l2tpd.kernel.pppunit import UnitCarrier, Units
from l2tpd.ppp.shared import SharedCarrier, SharedTuns
from l2tpd.ppp.task import Builtin
from l2tpd.ppp.tun import TunCarrier, Tuns
from l2tpd.supervise import keep
from l2tpd.wire.numbers import CallResult

if TYPE_CHECKING:
    from l2tpd.kernel.ops import FramePort
    from l2tpd.ppp.pppd import Pppd
    from l2tpd.session.call import Call


class Engines:
    """The PPP of a daemon's sessions; `tuns` makes the interfaces of those whose packets this process moves."""

    def __init__(self, pppd: Pppd, builtin: Builtin) -> None:
        """Begin without interfaces to make."""
        self._pppd = pppd
        self._builtin = builtin
        self._units = builtin.surroundings = Units()
        self.instances = pppd.instances = builtin.instances
        self.lost = builtin.lost
        self.tuns: Tuns | None = None
        self.shared = SharedTuns(lambda: self.tuns)

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what many sessions have in common, until cancelled."""
        async with trio.open_nursery() as nursery:
            for name, serve in (("PPP's clock", self._builtin.clock.serve), ("reading PPP", self._units.ear.serve)):
                nursery.start_soon(partial(keep, name, serve, kind="link"))
            nursery.start_soon(self._units.overhearer.serve)
            await nursery.start(self.shared.serve)
            task_status.started()

    async def run(self, tunnel_id: int, call: Call, channel: int) -> tuple[int, str]:
        """Run PPP on a PPPoX socket, until it ends by itself."""
        try:
            engine = self._builtin.leases.engine(call)
        except LocalProtocolError as error:  # a reload has taken its profile away
            os.close(channel)
            return CallResult.NO_FACILITIES_TEMPORARY, str(error)
        if engine is PppEngine.PPPD:
            return await self._pppd.run(tunnel_id, call, channel)
        carrier = UnitCarrier(channel, self._units)
        try:
            return await self._builtin.run(tunnel_id, call, carrier)
        finally:
            await carrier.finish()  # noqa: ASYNC102 - shielded, and done already unless PPP could not begin

    def run_on_port(self, tunnel_id: int, call: Call, port: FramePort) -> Coroutine[Any, Any, tuple[int, str]]:
        """Run PPP on frames that come to this process, until it ends by itself; the task of each session has one coroutine less for it."""
        if self.tuns is None:
            raise LocalProtocolError("a data plane hands us frames, but makes no interfaces")
        try:
            engine, profile = self._builtin.leases.engine(call), self._builtin.leases.shared(call)
        except LocalProtocolError as error:
            return _refuse(CallResult.NO_FACILITIES_TEMPORARY, str(error))
        if engine is PppEngine.PPPD:
            text = 'a pppd (`ppp_engine = "pppd"`) needs `data_plane = "kernel"`'
            return _refuse(CallResult.NO_FACILITIES_PERMANENT, text)
        carrier = SharedCarrier(port, self.shared, profile) if profile else TunCarrier(port, self.tuns)
        return self._builtin.run(tunnel_id, call, carrier)

    def close(self) -> None:
        """End the threads that make interfaces, when no session is left. Blocks."""
        self._units.close()


async def _refuse(result: int, text: str) -> tuple[int, str]:
    """Run no PPP, and end the call with this result of RFC 2661 4.4.2, and this reason in words."""
    await trio.lowlevel.checkpoint()
    return result, text
