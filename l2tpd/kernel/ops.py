"""What a data plane can be asked to do, as frozen values, each with its inverse.

An operation names everything it needs, since the task that carries it out knows nothing of tunnels. Repeating a create that exists, or a
delete of what is gone, counts as done: that is what makes an operation safe to retry and to undo.
"""

from __future__ import annotations

from typing import Protocol

import attrs


class Descriptor(Protocol):
    """Whatever has a file descriptor: -1 once it is closed."""

    def fileno(self) -> int:
        """Return the descriptor."""


@attrs.frozen(kw_only=True)
class CreateTunnel:
    """Make the data plane know a tunnel whose control connection is established; `socket` is connected to its peer."""

    tunnel_id: int
    peer_tunnel_id: int
    socket: Descriptor | None = attrs.field(default=None, eq=False, repr=False)  # the core has none: the shell adds it


@attrs.frozen(kw_only=True)
class DeleteTunnel:
    """Forget a tunnel and every session in it, in one go."""

    tunnel_id: int


@attrs.frozen(kw_only=True)
class CreateSession:
    """Make a session carry data, under its final interface name when one is given."""

    tunnel_id: int
    session_id: int
    peer_session_id: int
    pseudowire: str
    interface_name: str = ""
    lns_mode: bool = False  # we control data sequencing (RFC 2661 5.4)
    sequencing: bool = False
    reorder_timeout: int = 0  # milliseconds that a packet may wait for an earlier one; 0: none does


@attrs.frozen(kw_only=True)
class DeleteSession:
    """Forget one session."""

    tunnel_id: int
    session_id: int


Create = CreateTunnel | CreateSession
Delete = DeleteTunnel | DeleteSession
Operation = Create | Delete

NO_CHANNEL = -1


@attrs.frozen
class Outcome:
    """What came of a create: the network interface, empty when there is none, and where PPP frames are to be had.

    `channel` is the descriptor of a PPPoX socket, which stays the plane's own; `NO_CHANNEL` where no PPP is run.
    """

    interface: str = ""
    channel: int = NO_CHANNEL


def inverse(operation: Create) -> Delete:
    """Return the delete that undoes a create."""
    if isinstance(operation, CreateTunnel):
        return DeleteTunnel(tunnel_id=operation.tunnel_id)
    return DeleteSession(tunnel_id=operation.tunnel_id, session_id=operation.session_id)
