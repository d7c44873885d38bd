"""What the control methods answer with: the field names of these classes are the API.

A field is never renamed or given another meaning; new ones may be added. Durations are seconds, times seconds since 1970 UTC, sizes octets
or messages as said. No view ever holds a secret: `settings` says `secret_set` instead. Rows are what lists are made of and stay flat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from l2tpd.control.jsonrpc import Json
from l2tpd.events import By, Origin

UP: Final = "up"
"""The state of a tunnel or session that is established (a session: and its data plane is up); every other state has another name."""


@attrs.frozen(kw_only=True)
class TunnelRow:
    """One tunnel in a list."""

    id: int
    peer_id: int = 0  # 0: not known yet
    name: str = ""  # empty: created by a peer
    state: str
    version: str = "l2tpv2"
    encap: str = "udp"
    local_address: str = ""
    peer_address: str = ""
    peer_host_name: str = ""
    sessions: int = 0
    origin: Origin = "local"
    in_state: float = 0.0  # how long it has been in this state


@attrs.frozen(kw_only=True)
class SessionRow:
    """One session in a list."""

    id: int
    peer_id: int = 0
    tunnel_id: int
    tunnel_name: str = ""
    name: str = ""
    state: str
    pseudowire: str = "ppp"
    interface: str = ""
    origin: Origin = "local"
    in_state: float = 0.0


@attrs.frozen(kw_only=True)
class EndView:
    """How a tunnel or session last ended: the codes of its StopCCN or CDN (RFC 2661 4.4.2) and who sent it."""

    result: int | None = None
    error: int | None = None
    message: str = ""
    by: By = ""


@attrs.frozen(kw_only=True)
class RemoteView:
    """What a peer said of itself when the tunnel was set up (RFC 2661 4.4.3)."""

    host_name: str = ""
    vendor_name: str = ""
    firmware_revision: int | None = None
    protocol_version: str = ""
    framing_caps: tuple[str, ...] = ()
    bearer_caps: tuple[str, ...] = ()
    receive_window: int = 4  # messages
    router_id: str = ""  # version 3 (RFC 3931 5.4.3): a number written like an address
    pseudowires: tuple[str, ...] = ()
    preferred_language: str = ""


@attrs.frozen(kw_only=True)
class TransportView:
    """The reliable delivery of a tunnel's control messages (RFC 2661 5.8): present values, then counters since it was created."""

    ns: int = 0
    nr: int = 0
    receive_window: int = 0
    peer_window: int = 0
    cwnd: int = 0
    ssthresh: int = 0
    in_flight: int = 0
    queued: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    retransmits: int = 0
    zlb_sent: int = 0
    zlb_received: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    discarded: int = 0


@attrs.frozen(kw_only=True)
class TunnelView(TunnelRow):
    """One tunnel in detail; its sessions are listed by `session.list`."""

    mode: str = "dynamic"  # static, quiescent: without negotiation
    profile: str = ""
    peer: str = ""  # the `[peer.NAME]` that a caller matched
    persist: bool = False
    created: float = 0.0  # how long ago
    settings: Mapping[str, Json] = attrs.field(factory=dict)
    remote: RemoteView = attrs.field(factory=RemoteView)
    transport: TransportView = attrs.field(factory=TransportView)
    counters: Mapping[str, int] = attrs.field(factory=dict)  # of the data plane; empty where it counts nothing
    ended: EndView | None = None
    last_error: str = ""
    attempts: int = 0  # how often it was tried since it was last up
    retry_in: float | None = None  # a persistent tunnel that is down: when it will be tried again
    trace: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class CallView:
    """What was said about a call when it was set up (RFC 2661 4.4.4)."""

    role: str = ""  # lac or lns: what we are in this call
    direction: str = ""  # incoming or outgoing
    call_serial_number: int = 0
    tx_connect_speed: int = 0  # bits per second
    rx_connect_speed: int = 0
    bearer_type: str = ""
    framing_type: str = ""
    calling_number: str = ""
    called_number: str = ""
    sub_address: str = ""
    private_group_id: str = ""
    physical_channel_id: int | None = None
    sequencing_required: bool = False
    remote_end_id: str = ""  # version 3 (RFC 3931 5.4.4): text, or 0x and digits
    circuit: str = ""  # ours: active or inactive
    peer_circuit: str = ""  # the peer's; empty: not said
    sublayer: str = ""
    cookie: str = ""  # that the peer's packets carry, in hexadecimal
    peer_cookie: str = ""  # that ours carry


@attrs.frozen(kw_only=True)
class CallErrorsView:
    """The peer's last WAN-Error-Notify for a call (RFC 2661 4.4.6)."""

    crc_errors: int = 0
    framing_errors: int = 0
    hardware_overruns: int = 0
    buffer_overruns: int = 0
    timeout_errors: int = 0
    alignment_errors: int = 0


@attrs.frozen(kw_only=True)
class PppView:
    """How far PPP has come in a session that ends here, who was let in, and the addresses that it has settled on."""

    state: str = ""  # authenticated, up
    user: str = ""  # empty: nobody was asked
    local_address: str = ""
    remote_address: str = ""
    local_ipv6: str = ""  # link-local
    remote_ipv6: str = ""
    ipv6_prefix: str = ""  # of the link
    delegated_prefix: str = ""  # of the networks behind the subscriber
    ipv6_address: str = ""  # that it may ask for by DHCPv6


@attrs.frozen(kw_only=True)
class PppRow:
    """PPP of one session that ends here, in a list; addresses are those of networks that are up."""

    tunnel_id: int
    session_id: int
    tunnel_name: str = ""
    name: str = ""  # of the session
    state: str  # establish, authenticate, network, up, terminate, dead (RFC 1661 3.2)
    user: str = ""
    interface: str = ""
    local_address: str = ""
    remote_address: str = ""
    local_ipv6: str = ""  # link-local
    remote_ipv6: str = ""
    uptime: float = 0.0  # seconds since a network came up


@attrs.frozen(kw_only=True)
class PppDetail(PppRow):
    """PPP of one session in detail."""

    engine: str = ""  # builtin, pppd
    encryption: str = ""  # as in `MPPE, 128 bits, stateless`; empty: packets pass as they are
    mtu: int = 0
    dns: tuple[str, ...] = ()  # that the peer has told us
    routes: tuple[str, ...] = ()  # behind the peer
    session_timeout: float = 0.0  # 0: none
    session_left: float | None = None
    idle_timeout: float = 0.0
    counters: Mapping[str, int] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class PppList:
    """A page of PPP."""

    ppp: tuple[PppRow, ...]
    cursor: str | None = None


@attrs.frozen(kw_only=True)
class PppDestroyed:
    """PPP of this session is being ended."""

    tunnel_id: int
    session_id: int


@attrs.frozen(kw_only=True)
class SessionView(SessionRow):
    """One session in detail."""

    profile: str = ""
    pseudowire_profile: str = ""
    peer_tunnel_id: int = 0
    persist: bool = False
    created: float = 0.0
    user_data: str = ""
    settings: Mapping[str, Json] = attrs.field(factory=dict)
    call: CallView = attrs.field(factory=CallView)
    call_errors: CallErrorsView | None = None
    send_accm: int | None = None  # RFC 2661 4.4.6, Set-Link-Info
    receive_accm: int | None = None
    ended: EndView | None = None
    ppp: PppView | None = None  # None until PPP is up, and where it does not end here
    counters: Mapping[str, int] = attrs.field(factory=dict)  # of the data plane; empty where it counts nothing
    trace: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class TrafficRow:
    """What one session has carried since its data plane came up, octets with the L2TP header: rx from the peer, tx to it."""

    id: int
    tunnel_id: int
    tunnel_name: str = ""
    name: str = ""
    interface: str = ""
    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0


@attrs.frozen(kw_only=True)
class Listening:
    """One address that peers may call."""

    address: str
    encap: str = "udp"


@attrs.frozen(kw_only=True)
class LimitsView:
    """Limits in force; 0 means none."""

    max_tunnels: int = 0
    max_sessions: int = 0
    max_half_open: int = 0
    max_half_open_per_source: int = 0


@attrs.frozen(kw_only=True)
class SystemView:
    """The daemon as a whole."""

    version: str
    hostname: str = ""
    pid: int = 0
    uptime: float = 0.0
    config_path: str = ""
    listening: tuple[Listening, ...] = ()
    data_plane: str = ""
    data_plane_reason: str = ""  # why this one was chosen
    log_level: str = "notice"
    trace: tuple[str, ...] = ()
    drain: bool = False
    tunnels: int = 0
    sessions: int = 0
    tunnels_by_state: Mapping[str, int] = attrs.field(factory=dict)
    sessions_by_state: Mapping[str, int] = attrs.field(factory=dict)
    limits: LimitsView = attrs.field(factory=LimitsView)


@attrs.frozen(kw_only=True)
class MessageCount:
    """How often one type of control message was sent, received, and received in bad shape."""

    message: str
    sent: int = 0
    received: int = 0
    bad: int = 0


@attrs.frozen(kw_only=True)
class StatisticsView:
    """Counters of the whole daemon since they were last reset."""

    since: float = 0.0  # how long ago they were reset
    counters: Mapping[str, int] = attrs.field(factory=dict)
    messages: tuple[MessageCount, ...] = ()
    data: Mapping[str, int] = attrs.field(
        factory=dict
    )  # of the data plane, over all tunnels; empty where it counts nothing


@attrs.frozen(kw_only=True)
class PeerView:
    """One `[peer.NAME]` and what it has in use."""

    name: str
    match: tuple[str, ...] = ()
    host_name: str = ""
    accept: bool = True
    roles: tuple[str, ...] = ()
    secret_set: bool = False
    max_tunnels: int = 0
    tunnel_profile: str = ""
    session_profile: str = ""
    tunnels: int = 0


@attrs.frozen(kw_only=True)
class ProfileView:
    """One profile with the settings that follow from it, defaults included."""

    kind: str  # tunnel session pseudowire ppp
    name: str
    settings: Mapping[str, Json] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class PoolView:
    """One address pool, counts in addresses; they are None while nothing hands out addresses from it."""

    name: str
    range: str
    exclude: str = ""
    prefix_length: int = 0  # of the IPv6 prefixes that it hands out, and that are counted then; 0: addresses
    next: str = ""  # the pool to take from when this one has none that is free
    size: int | None = None  # `exclude` left out
    used: int | None = None
    quarantined: int | None = None
    free: int | None = None  # what anybody may have now: the rest is reserved for us and for users


@attrs.frozen(kw_only=True)
class ConfigTable:
    """One table of the configuration in force and the keys that it says."""

    table: str  # system, listen.0, tunnel.hq, tunnel.hq.session.branch …
    keys: Mapping[str, Json] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class PlanView:
    """What reading the configuration again changes, as key paths; `restarted` tunnels and sessions are torn down and set up again."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()  # changes that need the daemon to be started again


@attrs.frozen(kw_only=True)
class LogLine:
    """One line of the log that the daemon keeps in memory."""

    time: float
    level: str
    text: str


# Answers: one class a shape of `result`.


@attrs.frozen(kw_only=True)
class TunnelList:
    """One page of tunnels, by ascending id; `cursor` asks for the next page, None ends the list."""

    tunnels: tuple[TunnelRow, ...]
    cursor: str | None = None


@attrs.frozen(kw_only=True)
class SessionList:
    """One page of sessions, by ascending tunnel id and id."""

    sessions: tuple[SessionRow, ...]
    cursor: str | None = None


@attrs.frozen(kw_only=True)
class TrafficList:
    """One page of what established sessions have carried, in the order of `SessionList`; those that the data plane does not count are missing."""

    sessions: tuple[TrafficRow, ...]
    cursor: str | None = None


@attrs.frozen(kw_only=True)
class ConfigList:
    """One page of the configuration's tables, in the order of the configuration."""

    tables: tuple[ConfigTable, ...]
    cursor: str | None = None


@attrs.frozen(kw_only=True)
class PeerList:
    """One page of the peers that may call."""

    peers: tuple[PeerView, ...]
    cursor: str | None = None


@attrs.frozen(kw_only=True)
class ProfileList:
    """One page of profiles."""

    profiles: tuple[ProfileView, ...]
    cursor: str | None = None


@attrs.frozen(kw_only=True)
class PoolList:
    """One page of pools."""

    pools: tuple[PoolView, ...]
    cursor: str | None = None


@attrs.frozen(kw_only=True)
class LogLines:
    """The newest lines of the log, oldest first."""

    lines: tuple[LogLine, ...]


@attrs.frozen(kw_only=True)
class TunnelDeleted:
    """The tunnel that is now being torn down."""

    id: int


@attrs.frozen(kw_only=True)
class SessionDeleted:
    """The session that is now being torn down."""

    tunnel_id: int
    id: int


@attrs.frozen(kw_only=True)
class DrainView:
    """Whether new tunnels and sessions are being refused."""

    drain: bool


@attrs.frozen(kw_only=True)
class DebugView:
    """What is traced now for the system, tunnel, session or profile asked about, and the log level."""

    trace: tuple[str, ...]
    log_level: str


@attrs.frozen(kw_only=True)
class Subscribed:
    """Events of these kinds will follow as `event` notifications."""

    tunnel: tuple[str, ...]
    session: tuple[str, ...]
    ppp: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class CaptureStarted:
    """Control messages of these tunnels and peers will follow as `message` notifications; `version` is the daemon's."""

    tunnels: tuple[str, ...]
    peers: tuple[str, ...]
    show_hidden: bool
    version: str


@attrs.frozen(kw_only=True)
class Done:
    """Nothing to tell but that it was done."""

    done: bool = True
