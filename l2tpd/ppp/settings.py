"""What one link is told before it begins, and what it is told of a user. What cannot work raises `LocalProtocolError` when it is made."""

from __future__ import annotations

import enum
import ipaddress
from typing import Any, Final

import attrs

from l2tpd.errors import LocalProtocolError
from l2tpd.ppp.automaton import Limits
from l2tpd.ppp.mppe import Keys
from l2tpd.ppp.numbers import DEFAULT_MRU, MINIMUM_MRU, Auth


def _addresses(holder: object, field: attrs.Attribute[Any], value: str | tuple[str, ...]) -> None:
    """See to it that texts are IPv4 addresses or empty, before they are needed in the middle of a negotiation."""
    for text in (value,) if isinstance(value, str) else value:
        try:
            if text:
                ipaddress.IPv4Address(text)
        except ValueError:
            raise LocalProtocolError(f"{field.name}: {text!r} is no IPv4 address") from None


def _identifier(holder: object, field: attrs.Attribute[Any], value: bytes) -> None:
    """See to it that an interface identifier has its 8 octets, or none."""
    if len(value) not in {0, 8}:
        raise LocalProtocolError(f"{field.name}: an interface identifier has 8 octets")


def _mru(holder: object, field: attrs.Attribute[Any], value: int) -> None:
    """See to it that an MRU fits its option and is of use."""
    if not MINIMUM_MRU <= value <= 0xFFFF:
        raise LocalProtocolError(f"{field.name}: {value} is not between {MINIMUM_MRU} and 65535")


def _answerable(holder: object, field: attrs.Attribute[Any], value: tuple[Auth, ...]) -> None:
    """See to it that peers are only asked for what we can check."""
    if Auth.MSCHAP in value:
        raise LocalProtocolError(f"{field.name}: MS-CHAPv1 is only for proving ourselves")


_LIMITS: Final = Limits()


class ProxyPolicy(enum.Enum):
    """What to make of what a LAC has negotiated in our place (RFC 2661 4.4.5, 9.5)."""

    IGNORE = "ignore"  # negotiate anew
    USE = "use"  # believe all of it
    RECHALLENGE = "rechallenge"  # keep the options, authenticate anew


@attrs.frozen(kw_only=True)
class Proxy:
    """What the ICCN of a LAC says of the peer (RFC 2661 4.4.5); options as octets, as they stand in a Configure-Request."""

    last_sent: bytes
    last_received: bytes
    auth_type: int = 0  # 2: CHAP, 3: PAP, 4: none; 0: not said
    name: str = ""
    challenge: bytes = b""
    identifier: int = 0
    response: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen(kw_only=True)
class Ipv4Settings:
    """IPv4 over a link; addresses in dotted notation, empty where there is none."""

    local: str = attrs.field(default="", validator=_addresses)  # ours; empty: the peer tells us
    accept_local: bool = False  # take another than `local` if the peer insists
    peer: str = attrs.field(default="", validator=_addresses)  # the peer's; empty: see `serve`
    serve: bool = False  # an address for the peer is ours to give and will be asked for; else the peer knows its own
    dns: tuple[str, ...] = attrs.field(default=(), validator=_addresses)  # told to a peer that asks, at most two
    nbns: tuple[str, ...] = attrs.field(default=(), validator=_addresses)  # likewise
    ask_dns: bool = False  # ask the peer for servers


@attrs.frozen(kw_only=True)
class Ipv6Settings:
    """IPv6 over a link; interface identifiers of 8 octets, empty: drawn at random."""

    local: bytes = attrs.field(default=b"", validator=_identifier)
    peer: bytes = attrs.field(default=b"", validator=_identifier)  # suggested to a peer that has none


def _some(holder: object, field: attrs.Attribute[Any], value: frozenset[int]) -> None:
    """See to it that there is a strength to agree on."""
    if not value:
        raise LocalProtocolError(f"{field.name}: at least one is needed")


@attrs.frozen(kw_only=True)
class EncryptionSettings:
    """Encryption by MPPE; without these settings CCP is a protocol that we do not speak."""

    required: bool = False  # no packet may pass without
    strengths: frozenset[int] = attrs.field(default=frozenset({128}), validator=_some)  # bits of a key that may be used
    stateful: bool = False  # the key may be changed every 256 packets, instead of for each


@attrs.frozen(kw_only=True)
class LinkSettings:
    """One link; times in seconds, 0 where something never happens, sizes in octets of the information field."""

    name: str = "l2tpd"  # who we are in our Challenges
    mru: int = attrs.field(default=DEFAULT_MRU, validator=_mru)  # the most that we take
    mtu: int = 0  # the most that we send even where the peer would take more; 0: no limit
    magic: bool = True
    acfc: bool = False  # offer to take frames without address and control
    pfc: bool = False  # offer to take protocols of one octet
    require: tuple[Auth, ...] = attrs.field(default=(), validator=_answerable)
    """How the peer must authenticate itself, the best first; empty: it need not."""
    offer: tuple[Auth, ...] = (Auth.MSCHAPV2, Auth.CHAP, Auth.PAP)  # how we may, the best first
    user: str = ""  # who we are where the peer asks; empty: we refuse to say
    password: str = attrs.field(default="", repr=False)
    auth_timeout: float = 60.0  # for both directions together
    auth_retry: float = 3.0  # between two Challenges or Authenticate-Requests
    auth_attempts: int = 10  # of these
    rechallenge: float = 0.0  # between two authentications of a peer on a link that is up (CHAP)
    echo_interval: float = 30.0
    echo_failure: int = 3  # Echo-Requests without an answer that end the link; 0: any number
    establish_timeout: float = 60.0  # for LCP to open
    network_timeout: float = 60.0  # for the first network protocol to open
    identification: str = ""  # told to the peer when LCP has opened (RFC 1570 1.1); empty: nothing
    limits: Limits = _LIMITS
    ipv4: Ipv4Settings | None = attrs.field(factory=Ipv4Settings)  # None: not over this link
    ipv6: Ipv6Settings | None = None  # likewise
    encryption: EncryptionSettings | None = None
    required: tuple[int, ...] = ()  # control protocols (0x8021, 0x8057) whose end is that of the link
    proxy: Proxy | None = None
    proxy_policy: ProxyPolicy = ProxyPolicy.USE

    @property
    def offered(self) -> tuple[Auth, ...]:
        """How we are ready to authenticate ourselves: not at all without a name."""
        return self.offer if self.user else ()


@attrs.frozen(kw_only=True)
class Grant:
    """What an accepted user gets on this link; what is empty stays as the settings say."""

    address: str = attrs.field(default="", validator=_addresses)
    dns: tuple[str, ...] = attrs.field(default=(), validator=_addresses)
    nbns: tuple[str, ...] = attrs.field(default=(), validator=_addresses)
    interface_id: bytes = attrs.field(default=b"", validator=_identifier)
    keys: Keys | None = None  # for encryption
    message: bytes = b""  # of the Success or Ack; MS-CHAPv2 needs the authenticator response in it (RFC 2759 5)
