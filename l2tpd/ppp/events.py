"""What a link tells the outside; and what it asks of it."""

from __future__ import annotations

from typing import ClassVar

import attrs

from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.mppe import Keys
from l2tpd.ppp.numbers import Auth, Protocol
from l2tpd.wire.values import DisconnectCause


@attrs.frozen(kw_only=True)
class LinkOpened:
    """LCP has opened: what holds for frames from now on. `mru` is what we take, `mtu` what we send at most, in octets of information."""

    mru: int
    mtu: int
    peer_proves: Auth | None  # how the peer will prove who it is
    we_prove: Auth | None  # how we shall


@attrs.frozen(kw_only=True)
class CheckCredentials:
    """Who is this? Answer with `Link.accept_credentials` or `Link.refuse_credentials`. `again`: the peer is in already."""

    credentials: Credentials
    again: bool = False


@attrs.frozen(kw_only=True)
class AuthFailed:
    """Somebody was refused: the peer by us, or we by the peer."""

    kind: Auth
    user: str
    ours: bool  # it is our proof that was refused
    message: str


@attrs.frozen(kw_only=True)
class AddressNeeded:
    """Which address shall this peer have? Answer with `Link.assign_address` or `Link.deny_address`; `user` is empty without authentication."""

    user: str


@attrs.frozen(kw_only=True)
class EncryptionNeeded:
    """Who will encrypt packets? Answer with `Encryption.agree` or `Encryption.forgo`; until then no network protocol is negotiated."""

    keys: Keys
    required: bool


@attrs.frozen(kw_only=True)
class EncryptionUp:
    """Packets pass encrypted from now on, with keys of so many bits; stateless ones change with each packet, others with every 256th."""

    send_bits: int
    receive_bits: int
    send_stateless: bool
    receive_stateless: bool
    resumed: bool = False  # CCP was negotiated anew, and nothing else with it


@attrs.frozen(kw_only=True)
class EncryptionOver:
    """Nothing is encrypted any longer, or will be, for LCP has fallen or the peer will not; whoever encrypts packets shall forget the keys."""


@attrs.frozen(kw_only=True)
class Ipv4Up:
    """IPv4 packets may pass. `peer` is empty when it never said; `dns` is what the peer told us."""

    protocol: ClassVar[int] = Protocol.IPV4
    local: str
    peer: str
    dns: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Ipv6Up:
    """IPv6 packets may pass. Interface identifiers are 8 octets, the peer's empty when it never said."""

    protocol: ClassVar[int] = Protocol.IPV6
    local: bytes
    peer: bytes


@attrs.frozen(kw_only=True)
class NetworkDown:
    """Packets of this protocol (0x0021, 0x0057) may pass no longer, or never will; another negotiation may follow on the same link."""

    protocol: int
    cause: DisconnectCause | None = None


@attrs.frozen(kw_only=True)
class LinkDown:
    """The link has ended, once and for all. `cause` is what a CDN may say (RFC 3145)."""

    cause: DisconnectCause


Event = (
    LinkOpened
    | CheckCredentials
    | AuthFailed
    | AddressNeeded
    | EncryptionNeeded
    | EncryptionUp
    | EncryptionOver
    | Ipv4Up
    | Ipv6Up
    | NetworkDown
    | LinkDown
)
