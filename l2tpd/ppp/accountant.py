"""What is told of a subscriber to whoever keeps accounts of them, and may have its session changed or ended. Pure values and a protocol."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

import attrs

from l2tpd.ppp.way import UNTOLD, Way


class Cause(enum.IntEnum):
    """Why a session ended, as accounting puts it: Acct-Terminate-Cause (RFC 2866 5.10)."""

    USER_REQUEST = 1
    LOST_CARRIER = 2
    LOST_SERVICE = 3
    IDLE_TIMEOUT = 4
    SESSION_TIMEOUT = 5
    ADMIN_RESET = 6
    ADMIN_REBOOT = 7
    NAS_ERROR = 9
    NAS_REQUEST = 10
    USER_ERROR = 17


@attrs.frozen(kw_only=True)
class Traffic:
    """What a session has moved, in packets of network protocols: `input` came from the subscriber (RFC 2866 5.3)."""

    input_octets: int = 0
    output_octets: int = 0
    input_packets: int = 0
    output_packets: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        """Add two counts of each kind."""
        return Traffic(
            input_octets=self.input_octets + other.input_octets,
            output_octets=self.output_octets + other.output_octets,
            input_packets=self.input_packets + other.input_packets,
            output_packets=self.output_packets + other.output_packets,
        )

    def not_below(self, before: Traffic) -> Traffic:
        """Return the greater of two counts of each kind."""
        return Traffic(
            input_octets=max(self.input_octets, before.input_octets),
            output_octets=max(self.output_octets, before.output_octets),
            input_packets=max(self.input_packets, before.input_packets),
            output_packets=max(self.output_packets, before.output_packets),
        )


@attrs.define(eq=False)
class Meter:
    """Counts packets where they pass."""

    input_octets: int = 0
    output_octets: int = 0
    input_packets: int = 0
    output_packets: int = 0

    def took(self, octets: int) -> None:
        """Count a packet from the subscriber."""
        self.input_octets += octets
        self.input_packets += 1

    def gave(self, octets: int) -> None:
        """Count a packet to the subscriber."""
        self.output_octets += octets
        self.output_packets += 1

    def read(self) -> Traffic:
        """Return what has passed so far."""
        return Traffic(
            input_octets=self.input_octets,
            output_octets=self.output_octets,
            input_packets=self.input_packets,
            output_packets=self.output_packets,
        )


@attrs.frozen(kw_only=True)
class Subscriber:
    """A session whose network is up; what is not known is empty. Times in seconds, 0 where there is no limit."""

    user: str = ""
    address: str = ""
    interface_id: bytes = b""  # of IPv6: 8 octets
    prefix: str = ""  # of its link
    delegated_prefix: str = ""  # of the networks behind it
    ipv6_address: str = ""  # that it may ask for by DHCPv6
    interface: str = ""
    tunnel_id: int
    session_id: int
    way: Way = UNTOLD
    calling_number: str = ""
    called_number: str = ""
    speeds: str = ""  # of the link to it, as `way.speeds` puts it
    by_radius: bool = False  # it was RADIUS that let it in
    state_class: tuple[bytes, ...] = ()  # what accounting has to give back (RFC 2865 5.25)
    interim_interval: float = 0.0  # between two accounting records, if the authority wants one of its own
    traffic: Callable[[], Traffic] = attrs.field(repr=False)
    """Returns what it has moved so far."""
    disconnect: Callable[[str], None] = attrs.field(repr=False)
    """Ends it, for a reason in words."""
    limit: Callable[[float | None, float | None], None] = attrs.field(repr=False)
    """Sets how long it may last, counted from its beginning, and how long it may be idle; None leaves it as it is."""


class Accountant(Protocol):
    """Keeps accounts of subscribers."""

    def begin(self, subscriber: Subscriber) -> str:
        """Take note of a session, and return the name of its account."""

    def renew(self, account: str, subscriber: Subscriber) -> None:
        """Take note that a session is described otherwise now: it has got an address, or another interface."""

    def end(self, account: str, cause: Cause) -> None:
        """Close the account of a session that is about to end."""
