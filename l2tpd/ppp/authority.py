"""What a link asks of whoever knows the users, and what it hears. Pure values; `secrets`, `users` and RADIUS answer.

An `Authority` waits for as long as it needs, a bounded time, and never raises: where its own means fail, nobody comes in by it and the log says why.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.mppe import Keys
from l2tpd.ppp.way import UNTOLD, Way


@attrs.frozen(kw_only=True)
class Request:
    """What is known of a caller when it has said who it is; what is not known is empty."""

    credentials: Credentials
    tunnel_id: int  # ours, as all identifiers here
    session_id: int
    way: Way = UNTOLD
    calling_number: str = ""  # of the ICRQ (RFC 2661 4.4.4)
    called_number: str = ""
    speeds: str = ""  # of the link to the caller, as `way.speeds` puts it
    interface: str = ""  # the name that its interface will have, where that is settled already
    lns_name: str = ""  # ours, as in our Challenges


@attrs.frozen(kw_only=True)
class Verdict:
    """What comes of a request; what is empty or 0 is as the PPP profile says, or without a limit. Times in seconds, `mtu` in octets of a packet."""

    accepted: bool
    message: bytes = b""  # of the Success, Ack, Failure or Nak; of MS-CHAPv2's Success: RFC 2759 5
    address: str = ""  # of the subscriber; empty: from the pool
    pool: str = ""  # another pool than the profile's
    dns: tuple[str, ...] = ()
    nbns: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()  # prefixes towards the subscriber
    interface_id: bytes = b""  # 8 octets (RFC 5072 4.1)
    prefix: str = ""  # of the link; empty: from the pool
    prefix_pool: str = ""  # another pool than the profile's
    delegated_prefix: str = ""  # for the networks behind the subscriber; empty: from the pool
    delegated_pool: str = ""  # likewise
    ipv6_address: str = ""  # that the subscriber may ask for by DHCPv6
    ipv6_dns: tuple[str, ...] = ()
    mtu: int = 0  # at most
    keys: Keys | None = None  # for encryption
    max_sessions: int = 0  # of this user at a time, with this one
    session_timeout: float = 0.0
    idle_timeout: float = 0.0  # without a packet in either direction
    interim_interval: float = 0.0  # between two accounting records
    state_class: tuple[bytes, ...] = ()  # what accounting has to give back (RFC 2865 5.25)


class Authority(Protocol):
    """Knows who may come in."""

    def check_nowait(self, request: Request) -> Verdict | None:
        """Decide about a caller, if that takes no time; None: `check` has to be asked."""

    async def check(self, request: Request) -> Verdict:
        """Decide about a caller."""


REFUSED = Verdict(accepted=False, message=b"unknown user, or wrong password")
"""What a caller hears that cannot prove who it is; it need not know which of the two was wrong."""
