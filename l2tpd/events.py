"""What the outside may see happen: frozen values, built by the core, without a time stamp.

An event says what happened to which tunnel or session and, at its end, why. The core builds events and never reads a clock; the shell's
bus puts each into a `Stamped` as it fans it out. `created` comes before `up`, and `deleted` after
`down`. PPP of a session is up only while the session is. Each attempt to open a persistent tunnel is an object of its own, with an id of its own.
"""

from __future__ import annotations

import enum
from typing import Literal, NamedTuple

import attrs


class What(enum.StrEnum):
    """What may happen to a tunnel or a session."""

    CREATED = "created"
    UP = "up"
    DOWN = "down"
    DELETED = "deleted"


Origin = Literal["local", "network"]
"""Who asked for a tunnel or session: our operator or configuration, or a peer."""

By = Literal["us", "peer", ""]
"""Who ended a tunnel or session; empty while nobody has."""


@attrs.frozen(kw_only=True)
class TunnelEvent:
    """Something happened to a tunnel; `result`, `error` and `message` are those of its StopCCN (RFC 2661 4.4.2), when there was one."""

    what: What
    tunnel_id: int
    peer_tunnel_id: int = 0  # 0: not known yet
    name: str = ""  # empty: created by a peer
    origin: Origin = "local"
    version: str = "l2tpv2"
    encap: str = "udp"
    peer_address: str = ""
    result: int | None = None
    error: int | None = None
    message: str = ""
    by: By = ""
    up: bool = False  # it has been up


@attrs.frozen(kw_only=True)
class SessionEvent:
    """Something happened to a session; `result`, `error` and `message` are those of its CDN (RFC 2661 4.4.2), when there was one."""

    what: What
    tunnel_id: int
    session_id: int
    peer_tunnel_id: int = 0
    peer_session_id: int = 0
    name: str = ""
    tunnel_name: str = ""
    profile: str = ""
    pseudowire_profile: str = ""
    pseudowire: str = "ppp"
    interface: str = ""
    result: int | None = None
    error: int | None = None
    message: str = ""
    by: By = ""
    up: bool = False  # it has been up
    user_data: str = ""
    mtu: int = 0  # what the configuration says of the interface from here on; 0: nothing
    address: str = ""  # 192.0.2.1/24
    far_address: str = ""  # of the far end of a point-to-point link
    bridge: str = ""
    remote_end_id: str = ""  # RFC 3931 5.4.4: text, or 0x and hexadecimal digits
    ppp_user: str = ""  # at its end: who was let in, and the addresses that PPP had settled on
    ppp_local: str = ""
    ppp_remote: str = ""
    ppp_cause: str = ""  # why PPP ended, where somebody said so (RFC 3145)
    ppp_ipv6_local: str = ""  # link-local
    ppp_ipv6_remote: str = ""
    ppp_ipv6_prefix: str = ""  # of the link
    ppp_delegated_prefix: str = ""  # of the networks behind the subscriber
    ppp_ipv6_address: str = ""  # that it might ask for by DHCPv6


Network = Literal["ipv4", "ipv6"]
"""What PPP carries."""


@attrs.frozen(kw_only=True)
class PppEvent:
    """A network protocol came up or went down in the PPP of a session that ends here; the counters are those of the session, since its beginning."""

    what: What  # UP or DOWN
    network: Network
    tunnel_id: int
    session_id: int
    tunnel_name: str = ""
    name: str = ""  # of the session
    profile: str = ""
    user_data: str = ""
    user: str = ""  # who was let in; empty: nobody was asked
    interface: str = ""
    mtu: int = 0
    local: str = ""  # our address; that of IPv6 is link-local, made of the interface identifier (RFC 5072 5)
    remote: str = ""  # the peer's, empty: it never said
    dns: tuple[str, ...] = ()  # name servers that the peer has told us
    dns_handover: str = ""  # who else is told of them: resolvconf, resolved; empty: nobody
    routes: tuple[str, ...] = ()  # prefixes behind the peer
    prefix: str = ""  # of the peer's link, by IPv6
    delegated_prefix: str = ""  # of the networks behind the peer, by DHCPv6
    message: str = ""  # why it went down
    cause: str = ""  # why PPP ended, where somebody said so (RFC 3145)
    duration: float = 0.0  # how long it was up, in seconds
    rx_packets: int = 0  # from the peer
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0


@attrs.frozen(kw_only=True)
class ConfigReloaded:
    """The configuration was read again; with `problems` set it was refused and the old one is still in force."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    problems: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class DaemonStopping:
    """The daemon is saying goodbye to its peers and will end; `at_once` when it was told not to wait for them."""

    at_once: bool = False


Event = TunnelEvent | SessionEvent | PppEvent | ConfigReloaded | DaemonStopping


class Stamped(NamedTuple):
    """An event with the wall-clock time at which it was published, in seconds since 1970 UTC."""

    time: float
    event: Event


class Lost(NamedTuple):
    """A gap: this many events in a row were not delivered because the subscriber had fallen behind."""

    events: int
