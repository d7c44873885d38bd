"""Which of the two runs the PPP of a session: pppd where the kernel has its frames, ours where they come to this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2tpd.errors import LocalProtocolError
from l2tpd.ppp.task import Builtin, Tuns

if TYPE_CHECKING:
    from l2tpd.kernel.ops import FramePort
    from l2tpd.ppp.pppd import Pppd
    from l2tpd.session.call import Call


class Engines:
    """The PPP of a daemon's sessions; `tuns` makes the interfaces of those that run here."""

    def __init__(self, pppd: Pppd, builtin: Builtin) -> None:
        """Begin without interfaces to make."""
        self._pppd = pppd
        self._builtin = builtin
        self.tuns: Tuns | None = None

    async def run(self, tunnel_id: int, call: Call, channel: int) -> tuple[int, str]:
        """Have pppd run PPP on a PPPoX socket, until it ends by itself."""
        return await self._pppd.run(tunnel_id, call, channel)

    async def run_on_port(self, tunnel_id: int, call: Call, port: FramePort) -> tuple[int, str]:
        """Run PPP on frames that come to this process, until it ends by itself."""
        if self.tuns is None:
            raise LocalProtocolError("a data plane hands us frames, but makes no interfaces")
        return await self._builtin.run(tunnel_id, call, port, self.tuns)
