"""What PPP of a session asks of those it runs over, and they of it. Pure protocols; each data plane has its own carrier."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from l2tpd.kernel.ops import Link as Interface
    from l2tpd.ppp.accountant import Traffic
    from l2tpd.ppp.mppe import Keys


class Owner(Protocol):
    """The link that a carrier works for."""

    def take(self, frame: bytes | memoryview) -> None:
        """Take a frame of the peer; never raises, never waits."""

    def header(self, protocol: int) -> bytes | None:
        """Return what to put before a packet of a network protocol, None while none may pass as it is."""

    def seal(self, protocol: int, packet: bytes | memoryview) -> bytes | None:
        """Return the frame of a packet of a network protocol that may pass encrypted, None while none may."""

    def ask(self, packet: bytes) -> None:
        """Take a packet of IPv6 that has come by the interface and asks the router for something."""

    def gone(self, why: str) -> None:
        """Hear why packets can pass no longer."""

    def lost(self, why: str) -> None:
        """Hear why frames can come no longer."""


class Carrier(Protocol):
    """What a link runs over: its frames, and the interface of its packets."""

    @property
    def strengths(self) -> frozenset[int]:
        """The bits of a key with which the carrier encrypts packets itself; none: that is done before they come to it."""

    def send(self, frame: bytes) -> None:
        """Send a frame to the peer. Never waits: what cannot be sent now is lost."""

    def hear(self, owner: Owner) -> None:
        """Have received frames handed to `owner` from now on; it hears when there can be no more."""

    def deliver(self, packet: bytes) -> bool:
        """Pass a received packet on; tell whether that was possible."""

    async def open(self, interface: Interface, mru: int, protocol: int) -> str:
        """Make the interface for packets of a protocol, up, and return its name; `mru` is the most that we take. Raises `PlaneError`."""

    def encrypt(self, keys: Keys, *, must: bool) -> None:
        """Get ready to encrypt what the interface sends, as CCP will agree on; nothing else passes from now on if it `must`. Raises `PlaneError`."""

    def encrypted(self) -> None:
        """Hear that CCP has agreed: packets may pass."""

    async def extend(self, interface: Interface, protocol: int) -> None:
        """Let packets of another protocol pass through the interface as well, and give it their address. Raises `PlaneError`."""

    def pump(self, owner: Owner) -> Callable[[], Awaitable[None]] | None:
        """Have what the interface needs done until it is gone, of which `owner` hears, or closed; return what is to be run for it, if anything is."""

    async def route(self, prefix: str) -> None:
        """Route a prefix into the interface, for as long as that is there. Raises `PlaneError`."""

    def emit(self, packet: bytes, owner: Owner) -> None:
        """Send the peer a packet of IPv6 of our own, which counts for nothing. Never waits: what cannot be sent now is lost."""

    def overhear(self, owner: Owner) -> None:
        """Have `owner.ask` called from now on with what asks the router, where packets do not come by `owner.take`."""

    def idle(self, now: float) -> float:
        """Return for how many seconds no packet has passed through the interface, in either direction."""

    def traffic(self) -> Traffic:
        """Return what has passed through the present interface."""

    async def close(self) -> None:
        """Remove the interface, if there is one; another can be made."""

    async def finish(self) -> None:
        """Let go of everything."""


class Surroundings(Protocol):
    """What the machine around an interface is told of it; all of this raises `PlaneError`."""

    async def announce(self, peer: str) -> int:
        """Answer ARP for a peer on the Ethernet that its address belongs to, and return the index of that."""

    async def withdraw(self, peer: str, index: int) -> None:
        """Take back what `announce` has done."""

    async def add_default(self, interface: str) -> bool:
        """Route everything into an interface, unless there is a default route; tell whether it was done."""
