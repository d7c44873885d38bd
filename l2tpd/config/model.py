"""The configuration as values: what each TOML table may say, with its type, unit and default.

A class stands for a table; every field is a key. All classes are frozen and every key of a profile has a default, so a table that names a
few keys is as valid as one that names none. Inheritance (`default` profile, named profile, instance) is a merge of the keys that were *said*,
done before the defaults apply: that is why `Config` keeps profiles as mappings of said keys (`Said`), not as finished settings.

Durations are seconds, sizes octets or messages as the comment says.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from l2tpd.keys import Key

Said = Mapping[str, Any]
"""Keys that a table says, each with its checked and converted value."""


class Role(Key):
    """What we are towards the peer of a session (RFC 2661 1.2)."""

    LAC = "lac"
    LNS = "lns"


class Version(enum.Enum):
    """Which protocol a tunnel speaks."""

    L2TPV2 = "l2tpv2"
    L2TPV3 = "l2tpv3"
    AUTO = "auto"  # version 3, or version 2 with a peer that speaks no other (RFC 3931 4.7.3)


class Encapsulation(enum.Enum):
    """What carries the tunnel's packets."""

    UDP = "udp"
    IP = "ip"  # protocol 115, version 3 only


class Pseudowire(Key):
    """What a session carries."""

    PPP = "ppp"
    ETH = "eth"
    ETH_VLAN = "eth-vlan"


class Mode(enum.Enum):
    """How a tunnel comes about."""

    DYNAMIC = "dynamic"  # by the control protocol
    STATIC = "static"  # both ends are configured alike, and no control message is sent
    QUIESCENT = "quiescent"  # as static, but HELLO messages tell whether the peer is there


class Sublayer(Key):
    """The L2-specific sublayer of version 3 data packets (RFC 3931 4.6)."""

    NONE = "none"
    DEFAULT = "default"


class Digest(enum.Enum):
    """How control messages of version 3 are signed (RFC 3931 5.4.1)."""

    NONE = "none"
    HMAC_MD5 = "hmac-md5"
    HMAC_SHA1 = "hmac-sha1"


class DataPlane(enum.Enum):
    """Who moves the packets of established sessions."""

    AUTO = "auto"
    KERNEL = "kernel"
    USER = "user"
    NULL = "null"


class Authentication(enum.Enum):
    """Whether we challenge the peer when a secret is set (RFC 2661 5.1.1)."""

    CHALLENGE = "challenge"
    NONE = "none"


class PppAuthentication(enum.Enum):
    """How a caller must prove who it is, inside PPP."""

    NONE = "none"
    PAP = "pap"
    CHAP = "chap"
    MSCHAPV2 = "mschapv2"


class ProxyLcp(enum.Enum):
    """What to make of the LCP options that a LAC has agreed on in our place (RFC 2661 4.4.5)."""

    IGNORE = "ignore"  # negotiate anew
    USE = "use"  # go on from there, where we could have agreed on the same


class ProxyAuthentication(enum.Enum):
    """What to make of the proof that a LAC has taken in our place, where its LCP options are used (RFC 2661 4.4.5)."""

    IGNORE = "ignore"  # negotiate anew, where a proof is asked for
    USE = "use"  # check it as if the caller had given it to us
    RECHALLENGE = "rechallenge"  # ask the caller again


class PppAuthority(enum.Enum):
    """Who knows the callers of the built-in engine."""

    SECRETS = "secrets"  # pppd's files
    USERS = "users"  # the tables `[user.NAME]`
    RADIUS = "radius"


class SingleSession(enum.Enum):
    """What to do when a user comes who has a session already."""

    OFF = "off"  # let it in, up to its `max_sessions`
    DENY = "deny"  # turn it away
    REPLACE = "replace"  # end the old one first


class Mppe(enum.Enum):
    """Whether packets inside PPP are encrypted, by the built-in engine (RFC 3078)."""

    REFUSE = "refuse"
    ALLOW = "allow"  # if the peer will
    REQUIRE = "require"  # or there is no session


class DnsHandover(enum.Enum):
    """Who is told of the name servers that a peer gives us."""

    NONE = "none"
    RESOLVCONF = "resolvconf"
    RESOLVED = "resolved"


class PppEngine(enum.Enum):
    """Who runs PPP."""

    BUILTIN = "builtin"
    PPPD = "pppd"


class Address(NamedTuple):
    """A numeric IPv4 or IPv6 address, with a UDP port; L2TP over IP has none, which is 0."""

    host: str
    port: int

    def __str__(self) -> str:
        """Render as RFC 3986 does: `192.0.2.1:1701`, `[2001:db8::1]:1701`, and without port `192.0.2.1`, `[2001:db8::1]`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


class HostPort(NamedTuple):
    """Where a peer is to be found: a numeric address or a DNS name, with a UDP port; L2TP over IP has none, which is 0."""

    host: str
    port: int


@attrs.frozen(kw_only=True)
class System:
    """`[system]`: the daemon as a whole."""

    hostname: str = ""  # Host Name AVP; empty: the machine's own name
    vendor_name: str = "l2tpd"  # Vendor Name AVP
    router_id: str = ""  # Router ID AVP of version 3, written as an IPv4 address; empty: derived from the host name
    data_plane: DataPlane = DataPlane.AUTO
    control_socket: Path = Path("/run/l2tpd/control.sock")
    control_owner: str = ""  # user name; empty: the daemon's own
    control_group: str = ""  # group name; its members may read state
    control_mode: int = 0o660
    script_directory: Path = Path("/etc/l2tpd")
    script_limit: int = 16  # hook scripts that run at once
    script_timeout: float = 30.0  # seconds, then a script is killed
    metrics_address: str = ""  # where Prometheus may ask; empty: nowhere
    log_level: str = "notice"  # critical error warning notice info debug
    trace: tuple[str, ...] = ()  # trace categories, see l2tpd(8)
    max_tunnels: int = 0  # 0: no limit
    max_sessions: int = 0  # 0: no limit
    max_half_open: int = 4096  # tunnels being set up by peers, all together
    max_half_open_per_source: int = 1024  # of these, from one IPv4 address or one IPv6 /64
    drain: bool = False  # refuse new tunnels and sessions, keep the old
    stop_timeout: float = 5.0  # how long a polite stop waits for the peers
    deny_local_creates: bool = False  # `l2tpctl create` is refused
    deny_remote_creates: bool = False  # tunnels asked for by peers are refused


@attrs.frozen(kw_only=True)
class Listen:
    """`[[listen]]`: one address that peers may call."""

    address: Address
    encap: Encapsulation = Encapsulation.UDP


@attrs.frozen(kw_only=True, cache_hash=True)
class TunnelSettings:
    """`[profile.tunnel.NAME]`, and any of these keys in `[tunnel.NAME]`: how a control connection behaves."""

    host_name: str = ""  # Host Name AVP; empty: system.hostname
    secret: str = attrs.field(default="", repr=False)  # shared secret; empty: none
    secret_file: Path | None = None  # its first line is the secret
    authentication: Authentication = Authentication.CHALLENGE
    digest: Digest = Digest.HMAC_MD5  # of version 3, where a secret is shared or the messages travel directly over IP
    hide_avps: bool = False
    tie_breaker: bool = False  # ask for a single tunnel where both sides call each other
    hello_timeout: float = 60.0  # 0: never
    retry_timeout: float = 1.0
    retry_cap: float = 8.0  # at least 8, RFC 2661 5.8
    max_retries: int = 5
    receive_window: int = 128  # messages
    establish_timeout: float = 120.0
    idle_timeout: float = 0.0  # close this long after the last session ended; 0: never
    max_sessions: int = 0  # 0: no limit
    udp_checksum: bool = True  # false: data goes without, and over IPv6 such is taken
    framing_caps: tuple[str, ...] = ("sync", "async")
    bearer_caps: tuple[str, ...] = ("digital", "analog")
    firmware_revision: int = 1
    quirks: tuple[str, ...] = ()  # rows of the quirk table, see l2tpd.toml(5)
    trace: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, cache_hash=True)
class SessionSettings:
    """`[profile.session.NAME]`, and any of these keys in `[tunnel.NAME.session.NAME]`: what a call asks for and announces."""

    pseudowire: Pseudowire = Pseudowire.PPP
    pseudowire_profile: str = "default"
    interface_name: str = ""
    role: Role = Role.LAC  # lac: we report an incoming call (ICRQ); lns: we ask for an outgoing one (OCRQ)
    establish_timeout: float = 120.0
    persist: bool = False
    bearer_type: str = "any"  # any digital analog
    framing_type: str = "any"  # any sync async
    calling_number: str = ""
    called_number: str = ""
    sub_address: str = ""
    tx_connect_speed: int = 1_000_000_000  # bits per second
    rx_connect_speed: int = 0  # 0: not announced
    minimum_bps: int = 0
    maximum_bps: int = 1_000_000_000
    physical_channel_id: int | None = None
    private_group_id: str = ""
    sequencing_required: bool = False
    reorder_timeout: float = 0.0  # how long a numbered data packet may wait for an earlier one; 0: not at all
    session_id: int = 0  # of a static tunnel: ours
    peer_session_id: int = 0  # of a static tunnel: the peer's
    cookie: bytes = attrs.field(
        default=b"", repr=False
    )  # of a static tunnel: what the peer's packets carry, 0, 4 or 8 octets
    peer_cookie: bytes = attrs.field(default=b"", repr=False)  # of a static tunnel: what ours carry
    cookie_size: int = 8  # of a dynamic tunnel: octets that the peer's packets have to carry, 0, 4 or 8
    remote_end_id: str = ""  # Remote End ID AVP: what the peer calls the other end; empty: the session's name
    sublayer: Sublayer = Sublayer.DEFAULT
    mtu: int = 0  # of the interface; 0: what the path to the peer leaves
    vlan_id: int = 0  # of a VLAN pseudowire
    address: str = ""  # of the interface
    peer_address: str = ""
    bridge: str = ""  # that the interface joins
    user: str = ""  # who we are towards the PPP peer; empty: as the PPP profile says
    password: str = attrs.field(default="", repr=False)
    password_file: Path | None = None  # its first line is the password
    user_data: str = ""  # handed to the hook scripts
    trace: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class PseudowireSettings:
    """`[profile.pseudowire.NAME]`: what belongs to the pseudowire rather than to the call.

    A session has `mtu`, `bridge` and `sublayer` from here unless its own table or its session profile says them.
    """

    mtu: int = 0  # 0: what the path to the peer leaves
    bridge: str = ""
    sublayer: Sublayer = Sublayer.DEFAULT
    ppp_profile: str = "default"


@attrs.frozen(kw_only=True)
class PppSettings:
    """`[profile.ppp.NAME]`: PPP inside a session."""

    ppp_engine: PppEngine = PppEngine.BUILTIN
    local_address: str = ""  # ours, as LNS
    pool: str = ""  # the peers', as LNS
    mtu: int = 0  # octets; 0: the pseudowire's, else 1400
    mru: int = 0  # octets; 0: as mtu
    shared_interface: bool = (
        False  # one for all sessions of this profile, as LNS, where packets move through this process
    )
    auth: PppAuthentication = PppAuthentication.NONE  # what we ask of callers, as LNS
    chap_rechallenge: float = 0.0  # seconds after which a caller has to prove itself again; 0: never
    proxy_lcp: ProxyLcp = ProxyLcp.IGNORE
    proxy_auth: ProxyAuthentication = ProxyAuthentication.IGNORE
    ipv6: bool = False  # offer IPv6, with link-local addresses
    prefix_pool: str = ""  # of the prefixes of callers' links, as LNS
    delegated_pool: str = ""  # of the prefixes for the networks behind callers, as LNS
    ipv6_dns: tuple[str, ...] = ()  # told to callers over IPv6, at most three
    ipv6_search: tuple[str, ...] = ()  # domains in which callers are to look names up, told likewise
    ipv6_lifetime: int = 86400  # seconds for which callers may go on with a prefix; half of them for what is new
    ra_interval: float = 600.0  # seconds at most between two Router Advertisements
    authority: PppAuthority = PppAuthority.SECRETS  # who knows the callers
    single_session: SingleSession = SingleSession.OFF
    user: str = ""  # who we are, where the peer asks
    password: str = attrs.field(default="", repr=False)
    password_file: Path | None = None  # its first line is the password
    session_timeout: float = 0.0  # seconds, unless the user has a limit of its own; 0: none
    idle_timeout: float = 0.0  # seconds without a packet, likewise
    dns: tuple[str, ...] = ()  # told to callers, at most two
    proxy_arp: bool = False
    default_route: bool = False
    dns_handover: DnsHandover = DnsHandover.NONE  # as client
    require_ipv4: bool | None = None  # the session ends where IPv4 does not come up, or goes down; None: as client
    require_ipv6: bool = False
    lcp_echo_interval: int = 30  # seconds; 0: never
    lcp_echo_failure: int = 3  # echo requests without an answer that end the session; 0: any number
    mppe: Mppe = Mppe.REFUSE
    mppe_bits: tuple[int, ...] = (128,)  # strengths that may be agreed on
    mppe_stateful: bool = False  # the key is changed every 256 packets instead of for each
    pppd_options: tuple[str, ...] = ()  # appended to pppd's command line


@attrs.frozen(kw_only=True)
class Pool:
    """`[pool.NAME]`: addresses for subscribers."""

    range: str  # prefixes and FIRST-LAST, separated by commas
    prefix_length: int = 0  # of the IPv6 prefixes that it hands out; 0: addresses
    exclude: str = ""  # likewise: what is not handed out
    next: str = ""  # the pool to take from when this one has no free address
    quarantine: float = 60.0  # seconds for which an address that was in use is nobody else's


@attrs.frozen(kw_only=True)
class User:
    """`[user.NAME]`: who may come in where a PPP profile says `authority = "users"`."""

    password: str = attrs.field(default="", repr=False)
    password_file: Path | None = None  # its first line is the password
    pap_hash: str = attrs.field(default="", repr=False)  # in place of the password, for PAP alone; see `ppp.hashed`
    enabled: bool = True
    address: str = ""  # of its own, that no pool hands out
    pool: str = ""  # empty: that of the PPP profile
    prefix: str = ""  # of its link, that no pool hands out
    prefix_pool: str = ""  # empty: that of the PPP profile
    delegated_prefix: str = ""  # for the networks behind it, that no pool hands out
    delegated_pool: str = ""  # empty: that of the PPP profile
    routes: tuple[str, ...] = ()  # prefixes that are behind it
    session_timeout: float = 0.0  # seconds; 0: none
    idle_timeout: float = 0.0  # seconds without a packet; 0: none
    max_sessions: int = 0  # at a time; 0: no limit


@attrs.frozen(kw_only=True)
class RadiusServer:
    """`[radius.server.NAME]`: a server that is asked who may come in, and told what has become of them; the first that is said is asked first."""

    address: str = ""  # numeric
    secret: str = attrs.field(default="", repr=False)
    secret_file: Path | None = None  # its first line is the secret
    auth_port: int = 1812  # 0: it is not asked who may come in
    acct_port: int = 1813  # 0: it takes no accounting
    timeout: float = 2.0  # until a request is repeated, each time after twice as long
    retries: int = 2  # repetitions, then another server is asked
    dead_time: float = 60.0  # for which a server that was silent is passed over


@attrs.frozen(kw_only=True)
class RadiusClient:
    """`[radius.client.NAME]`: who may end or change sessions by RFC 5176."""

    match: str = ""  # an address or a prefix
    secret: str = attrs.field(default="", repr=False)
    secret_file: Path | None = None


@attrs.frozen(kw_only=True)
class Radius:
    """`[radius]`: how servers know us, and what they are told."""

    nas_identifier: str = ""  # NAS-Identifier; empty: system.hostname
    nas_address: str = ""  # NAS-IP-Address or NAS-IPv6-Address; empty: not said
    accounting: bool = True
    interim_interval: float = (
        600.0  # between two interim records of a session, unless its server says otherwise; 0: none
    )
    tunnel_accounting: bool = False  # tell of tunnels and their sessions as such, too (RFC 2867)
    require_message_authenticator: bool = True  # in answers to Access-Requests
    spool: Path = Path("/var/lib/l2tpd/accounting")  # for records that no server takes at present
    dynauth_listen: str = ""  # where requests of RFC 5176 come to; empty: nowhere
    dynauth_window: float = 300.0  # by which a request may be older or younger than now; 0: any age
    servers: Mapping[str, RadiusServer] = attrs.field(factory=dict)
    clients: Mapping[str, RadiusClient] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Peer:
    """`[peer.NAME]`: who may call us, as what, and with which profiles.

    A caller is matched by its Host Name AVP first, then by the longest prefix of `match`, then by the peer called `default`.
    """

    match: tuple[str, ...] = ()  # prefixes or addresses
    host_name: str = ""
    accept: bool = True
    roles: tuple[Role, ...] = (Role.LAC, Role.LNS)
    versions: tuple[Version, ...] = (Version.L2TPV2, Version.L2TPV3)
    secret: str = attrs.field(default="", repr=False)
    secret_file: Path | None = None
    max_tunnels: int = 0  # from this peer entry; 0: no limit
    tunnel_profile: str = "default"
    session_profile: str = "default"


@attrs.frozen(kw_only=True)
class SessionInstance:
    """`[tunnel.NAME.session.NAME]`: a session that we ask for."""

    name: str
    profile: str = "default"
    said: Said = attrs.field(factory=dict, repr=False)  # may hold a secret


@attrs.frozen(kw_only=True)
class TunnelInstance:
    """`[tunnel.NAME]`: a tunnel that we open."""

    name: str
    peer: HostPort
    local: str = ""  # numeric address; empty: by route
    local_port: int = 0  # 0: any free one
    version: Version = Version.L2TPV2
    encap: Encapsulation = Encapsulation.UDP
    mode: Mode = Mode.DYNAMIC
    tunnel_id: int = 0  # of a static tunnel: ours
    peer_tunnel_id: int = 0  # of a static tunnel: the peer's
    profile: str = "default"
    session_profile: str = "default"
    persist: bool = True
    redial_delay: float = 1.0  # first pause before the tunnel is tried again; doubles
    redial_delay_max: float = 60.0
    said: Said = attrs.field(factory=dict, repr=False)  # may hold a secret
    sessions: Mapping[str, SessionInstance] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Config:
    """A whole configuration, checked: every name that a table refers to exists."""

    system: System = attrs.field(factory=System)
    listen: tuple[Listen, ...] = ()
    peers: Mapping[str, Peer] = attrs.field(factory=dict)
    tunnel_profiles: Mapping[str, Said] = attrs.field(factory=dict)
    session_profiles: Mapping[str, Said] = attrs.field(factory=dict)
    pseudowire_profiles: Mapping[str, Said] = attrs.field(factory=dict)
    ppp_profiles: Mapping[str, Said] = attrs.field(factory=dict)
    pools: Mapping[str, Pool] = attrs.field(factory=dict)
    users: Mapping[str, User] = attrs.field(factory=dict)
    radius: Radius = attrs.field(factory=Radius)
    tunnels: Mapping[str, TunnelInstance] = attrs.field(factory=dict)
