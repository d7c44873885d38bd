"""The daemon on a data plane that carries frames of PPP and makes no interfaces: what its PPP costs without those of the kernel.

The null plane runs no PPP, for where nothing moves no peer would ever answer. This one is the user-space plane but for the interfaces, so that
LCP and IPCP cross the wire, and packets of subscribers go nowhere.
"""

import sys

import attrs
import trio

from l2tpd import daemon
from l2tpd.app import main
from l2tpd.config.model import DataPlane
from l2tpd.kernel.choose import Chosen
from l2tpd.kernel.ops import Link
from l2tpd.kernel.tuntap import Tap, UserPlane
from l2tpd.kernel.worker import Worker


@attrs.define(eq=False)
class Nowhere(Tap):
    """An interface that has never a packet, and takes none."""

    closed: trio.Event = attrs.field(factory=trio.Event)

    async def readable(self) -> None:
        """Wait until it is closed."""
        await self.closed.wait()
        raise trio.ClosedResourceError

    def shut(self) -> list[int]:
        """Wake who waits."""
        self.closed.set()
        return []


class FramePlane(UserPlane):
    """Carries frames."""

    name = "frames"

    async def open_tun(self, interface: Link) -> Tap:
        """Pretend to make an interface."""
        await trio.lowlevel.checkpoint()
        return Nowhere(-1, interface.name or "none")

    async def close_tun(self, tun: Tap) -> None:
        """Remove it again."""
        await trio.lowlevel.checkpoint()
        tun.shut()


async def choose(word: DataPlane) -> Chosen:
    """Choose it, whatever was configured."""
    await trio.lowlevel.checkpoint()
    return Chosen(FramePlane(Worker("frames")), f'instead of "{word.value}", to be measured')


if __name__ == "__main__":
    daemon.choose = choose  # type: ignore[attr-defined]  # the name is the daemon's own, and there is no other way in
    sys.exit(main())
