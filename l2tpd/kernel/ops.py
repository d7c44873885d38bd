"""What a data plane can be asked to do, as frozen values, each with its inverse.

An operation names everything it needs, since the task that carries it out knows nothing of tunnels. Repeating a create that exists, or a
delete of what is gone, counts as done: that is what makes an operation safe to retry and to undo.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs

from l2tpd.config.model import Encapsulation, Pseudowire, Sublayer


class Descriptor(Protocol):
    """Whatever has a file descriptor: -1 once it is closed."""

    def fileno(self) -> int:
        """Return the descriptor."""


@attrs.frozen(kw_only=True)
class CreateTunnel:
    """Make the data plane know a tunnel whose control connection is established; `socket` is connected to its peer."""

    tunnel_id: int
    peer_tunnel_id: int
    version: int = 2  # of the header: 2 (RFC 2661 3.1) or 3 (RFC 3931 4.1)
    encap: Encapsulation = Encapsulation.UDP
    socket: Descriptor | None = attrs.field(default=None, eq=False, repr=False)  # the core has none: the shell adds it


@attrs.frozen(kw_only=True)
class DeleteTunnel:
    """Forget a tunnel and every session in it, in one go."""

    tunnel_id: int


@attrs.frozen(kw_only=True)
class Link:
    """How the network interface of a session is to look; where PPP ends here, PPP sees to addresses and MTU itself."""

    name: str = ""  # final from the beginning; empty: the plane's choice
    mtu: int = 0  # octets; 0: what the path to the peer leaves
    vlan_id: int = 0  # of a VLAN pseudowire (RFC 4719 3.2): frames travel with this tag
    address: str = ""  # ours: 192.0.2.1/24, 2001:db8::1/64; without a length, a host
    peer_address: str = ""  # of the far end of a point-to-point address; empty: none
    bridge: str = ""  # that the interface joins; empty: none


@attrs.frozen(kw_only=True)
class CreateSession:
    """Make a session carry data, under its final interface name when one is given."""

    tunnel_id: int
    session_id: int
    peer_session_id: int
    pseudowire: Pseudowire
    link: Link = Link()
    lns_mode: bool = False  # we control data sequencing (RFC 2661 5.4)
    sequencing: bool = False
    reorder_timeout: int = 0  # milliseconds that a packet may wait for an earlier one; 0: none does
    cookie: bytes = attrs.field(
        default=b"", repr=False
    )  # that the peer's packets must carry (RFC 3931 4.1): 0, 4 or 8 octets
    peer_cookie: bytes = attrs.field(default=b"", repr=False)  # that the peer wants to see in ours
    sublayer: Sublayer = Sublayer.DEFAULT  # RFC 3931 4.6; only version 3 has one
    sending: bool = True  # the peer takes packets by now (RFC 3931 5.4.5, 6.10); in the kernel PPP is sent all the same


@attrs.frozen(kw_only=True)
class ModifySession:
    """Change what a peer may change once the session is there: whether data packets are numbered (RFC 2661 4.4.4), and whether it takes any."""

    tunnel_id: int
    session_id: int
    sequencing: bool
    sending: bool = True


@attrs.frozen(kw_only=True)
class DeleteSession:
    """Forget one session."""

    tunnel_id: int
    session_id: int


Create = CreateTunnel | CreateSession
Delete = DeleteTunnel | DeleteSession
Operation = Create | ModifySession | Delete

NO_CHANNEL = -1


Pump = Callable[[], Awaitable[tuple[int, str]]]
"""Moves the packets of a session until it cannot any more; returns the result code for the CDN, and the reason in words."""


class FramePort(Protocol):
    """Both directions of a session's PPP frames, from the protocol field or the octets before it on, for PPP that runs in this process."""

    def send(self, frame: bytes | memoryview) -> None:
        """Send a frame to the peer. Never waits: what cannot be sent now is counted and lost."""

    def spoofed(self) -> None:
        """Count a received packet as one whose source is not the peer's; it is an error like any other, and one of its own."""

    def attach(self, taker: Callable[[bytes | memoryview], None]) -> None:
        """Have every received frame handed to `taker` from now on, first those that have waited for one.

        `taker` must neither wait nor raise; a memoryview is only its own until it returns. Few frames wait: more are counted as `rx_errors` and lost.
        """


@attrs.frozen
class Outcome:
    """What came of a create: the network interface, empty when there is none, and what its session has to run.

    `channel` is the descriptor of a PPPoX socket, which stays the plane's own; `NO_CHANNEL` where no PPP is run. `pump` is a task that the session
    has to run for its packets to move; None where something else moves them. `port` has the frames of PPP where the plane is in this process.
    """

    interface: str = ""
    channel: int = NO_CHANNEL
    pump: Pump | None = attrs.field(default=None, eq=False)
    port: FramePort | None = attrs.field(default=None, eq=False)


def inverse(operation: Create) -> Delete:
    """Return the delete that undoes a create."""
    if isinstance(operation, CreateTunnel):
        return DeleteTunnel(tunnel_id=operation.tunnel_id)
    return DeleteSession(tunnel_id=operation.tunnel_id, session_id=operation.session_id)
