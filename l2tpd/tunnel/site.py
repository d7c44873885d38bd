"""What all control connections of one daemon share: a random source, names, limits on calls, counters.

The core never reads a random source or a registry of its own; it is handed a `Site`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import attrs

from l2tpd.session.call import State as CallState

if TYPE_CHECKING:
    from l2tpd.config.model import SessionSettings, System
    from l2tpd.session.call import Kind
    from l2tpd.tunnel.core import ControlConnection


class CallPolicy(Protocol):
    """Decides over calls that peers ask for, and counts all calls against the limits."""

    def admit(self, tunnel: ControlConnection, kind: Kind, end_id: str) -> tuple[str, SessionSettings]:
        """Return profile name and settings for a call of the peer to what it calls `end_id` (RFC 3931 5.4.4). Raises `RemoteProtocolError` with CDN codes to refuse it."""

    def began(self, tunnel: ControlConnection) -> None:
        """Count a call."""

    def ended(self, tunnel: ControlConnection) -> None:
        """Count a call as over."""


@attrs.define(eq=False)
class Counters:
    """What a daemon counts over all tunnels, by message type where that matters."""

    received: dict[int, int] = attrs.field(factory=dict)
    sent: dict[int, int] = attrs.field(factory=dict)
    bad: dict[int, int] = attrs.field(factory=dict)
    malformed: int = 0  # datagrams that carry no message
    foreign: int = 0  # from another address than the tunnel's peer
    no_tunnel: int = 0  # to a tunnel id that we do not have
    no_session: int = 0  # to a session id that we do not have
    unacceptable: int = 0  # messages with a fault: answered with StopCCN or CDN, or these themselves
    ignored_avps: int = 0
    ignored_messages: int = 0
    data_dropped: int = 0  # data packets that nobody here can use
    wrong_version: int = 0
    auth_failures: int = 0
    tunnels_refused: int = 0
    sessions_refused: int = 0
    displaced: int = 0  # half-open tunnels that made room for newer ones
    overrun: int = 0  # tunnels whose peer asked for more than it took
    clients_refused: int = 0  # at the control socket, for want of a place
    lines_refused: int = 0  # requests at the control socket that are too long
    scrapes_refused: int = 0  # of the metrics, for want of a place
    passed_over: int = 0  # requests for a tunnel that have to be repeated, as so many come, or one goes
    send_failures: int = 0

    def reset(self) -> None:
        """Set every counter to zero."""
        fresh = Counters()
        for field in attrs.fields(Counters):
            setattr(self, field.name, getattr(fresh, field.name))


@attrs.define(eq=False)
class Site:
    """The surroundings of every control connection. `random(n)` returns n unpredictable octets."""

    random: Callable[[int], bytes]
    calls: CallPolicy
    hostname: str
    vendor_name: str
    router_id: int = 1  # RFC 3931 5.4.3
    trace: int = 0  # categories traced for everything
    challenges: set[bytes] = attrs.field(
        factory=set
    )  # ours that await a response: never answer one of them (reflection)
    counters: Counters = attrs.field(factory=Counters)
    call_serial: int = 0
    calls_by_state: dict[CallState, int] = attrs.field(factory=dict)
    ending: int = 0  # calls whose tunnel is over, and whose turn to end has not come

    def name(self, system: System) -> None:
        """Take over how a configuration wants us to be known."""
        self.hostname, self.vendor_name = system.hostname, system.vendor_name
        self.router_id = int(ipaddress.IPv4Address(system.router_id)) if system.router_id else 1

    def moved(self, before: CallState, after: CallState) -> None:
        """Count a call where it is now; in state idle it is not begun or over."""
        if before is not after:
            census = self.calls_by_state
            if before is not CallState.IDLE:
                census[before] = census.get(before, 0) - 1
            if after is not CallState.IDLE:
                census[after] = census.get(after, 0) + 1

    def next_serial(self) -> int:
        """Return a call serial number, unique for this daemon until it wraps (RFC 2661 4.4.4)."""
        self.call_serial = (self.call_serial + 1) & 0xFFFFFFFF
        return self.call_serial
