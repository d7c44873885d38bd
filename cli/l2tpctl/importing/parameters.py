"""The parameters of prol2tpd and openl2tpd, a table for each kind of object. Spellings of either, and of their releases, stand side by side."""

from __future__ import annotations

from collections.abc import Mapping

from l2tpctl.importing import values
from l2tpctl.importing.draft import Value
from l2tpctl.importing.rows import LATER, If, More, No, Row, Rows, Same, To

_TRACES: Mapping[str, tuple[str, ...]] = {
    "all": ("all",), "protocol": ("protocol",), "prot": ("protocol",), "fsm": ("fsm",), "api": ("api",), "avp": ("avp_info",),
    "avp_info": ("avp_info",), "avpinfo": ("avp_info",), "avphide": ("avp_hide",), "avp_hide": ("avp_hide",), "avpdata": ("avp_data",),
    "avp_data": ("avp_data",), "func": ("func",), "xprt": ("transport",), "transport": ("transport",), "data": ("data",),
    "system": ("system",), "ppp": ("ppp",),
}  # fmt: skip
_FRAMING = values.words({"sync": ("sync",), "async": ("async",), "any": ("sync", "async")})
_BEARER = values.words({"digital": ("digital",), "analog": ("analog",), "any": ("digital", "analog")})
_CHOSEN = No("it is chosen at random")
_BPS = values.within(1, 2**32 - 1)
_U32 = values.within(0, 2**32 - 1)


def _trace(place: str) -> Row:
    return To(place, "trace", values.words(_TRACES))


SYSTEM: Rows = {
    **dict.fromkeys(("udp_port", "port", "listen", "listen_address", "local_address"), LATER),
    **{name: To("home", "hostname", values.avp_text) for name in ("host_name", "hostname")},
    "router_id": To("home", "router_id", values.router_id),
    "max_tunnels": To("home", "max_tunnels", values.number),
    "max_sessions": To("home", "max_sessions", values.number),
    "drain_tunnels": To("home", "drain", values.boolean),
    "deny_local_tunnel_creates": To("home", "deny_local_creates", values.boolean),
    "deny_remote_tunnel_creates": To("home", "deny_remote_creates", values.boolean),
    "tunnel_establish_timeout": To("tunnels", "establish_timeout", values.at_least(1)),
    "session_establish_timeout": To("sessions", "establish_timeout", values.at_least(1)),
    "tunnel_persist_pend_timeout": LATER,
    "session_persist_pend_timeout": No("sessions come back at the pace of their tunnel"),
    **{name: _trace("home") for name in ("trace_flags", "debug", "debug_flags", "log_categories")},
    "log_level": To("home", "log_level", values.one_of({
        "critical": "critical", "crit": "critical", "error": "error", "err": "error", "warning": "warning", "warn": "warning",
        "notice": "notice", "info": "info", "debug": "debug"})),
    "autoname_interfaces": No("a session with many others takes `interface_name` with `%d`"),
    "reset_statistics": Same("counters begin at zero"),
}  # fmt: skip


_VERSIONS = values.one_of(
    {"l2tpv2": "l2tpv2", "l2tpv3": "l2tpv3", "2": "l2tpv2", "3": "l2tpv3", "v2": "l2tpv2", "v3": "l2tpv3"}
)
SETTINGS: Rows = {
    "host_name": To("home", "host_name", values.avp_text),
    "hostname": To("home", "host_name", values.avp_text),
    "secret": To("home", "secret", values.secret),
    "auth_mode": LATER,
    "hide_avps": To("home", "hide_avps", values.boolean),
    "use_tiebreaker": To("home", "tie_breaker", values.boolean),
    "tiebreaker": To("home", "tie_breaker", values.boolean),
    "hello_timeout": To("home", "hello_timeout", values.number),
    "retry_timeout": To("home", "retry_timeout", values.at_least(1)),
    "max_retries": To("home", "max_retries", values.within(1, 65535)),
    "rx_window_size": To("home", "receive_window", values.within(1, 32768)),
    "tx_window_size": No("the peer's window and congestion decide (RFC 2661 5.8)"),
    "idle_timeout": To("home", "idle_timeout", values.number),
    "max_sessions": To("home", "max_sessions", values.within(0, 65535)),
    "use_udp_checksums": To("home", "udp_checksum", values.boolean),
    "framing_caps": To("home", "framing_caps", _FRAMING),
    "framing_cap": To("home", "framing_caps", _FRAMING),
    "bearer_caps": To("home", "bearer_caps", _BEARER),
    "bearer_cap": To("home", "bearer_caps", _BEARER),
    "firmware_revision": To("home", "firmware_revision", values.within(0, 65535)),
    "establish_timeout": To("home", "establish_timeout", values.at_least(1)),
    "trace_flags": _trace("home"),
    "debug": _trace("home"),
    "log_categories": _trace("home"),
    "allow_ppp_proxy": If(yes=No("`proxy_lcp` and `proxy_auth` of the PPP profile say it"), no=Same("what a LAC agreed on is not used")),
    "do_pmtu_discovery": No("sessions get the MTU that the path to the peer leaves"),
    "mtu": No("`mtu` is said in a session or in its PPP or pseudowire profile"),
    "config_id": No("tunnels are told apart by their names"),
    "interface_name": No("a tunnel has no interface: its sessions have"),
    **dict.fromkeys(("session_profile_name", "ppp_profile_name", "session_profile", "ppp_profile", "pseudowire_profile", "pseudowire_profile_name", "ethernet_profile_name"), LATER),
}  # fmt: skip
"""Of a tunnel profile, and of a tunnel as well."""

_FROM_TUNNEL = "a profile does not say it here: a tunnel does"
PROFILE: Rows = {
    "our_udp_port": No(_FROM_TUNNEL), "peer_udp_port": No(_FROM_TUNNEL), "src_ipaddr": No(_FROM_TUNNEL), "persist": No(_FROM_TUNNEL),
    "version": No(_FROM_TUNNEL), "encap": No(_FROM_TUNNEL), "encapsulation": No(_FROM_TUNNEL), "peer_profile_name": No(_FROM_TUNNEL),
    **SETTINGS,
}  # fmt: skip

PEER_ADDRESS = ("dest_ipaddr", "peer", "peer_ipaddr", "peer_address")
TUNNEL: Rows = {
    **SETTINGS,
    **dict.fromkeys((*PEER_ADDRESS, "peer_udp_port", "udp_port", "peer_port", "profile_name", "profile", "tunnel_profile", "tunnel_profile_name"), LATER),
    **{name: To("home", "local", values.host) for name in ("src_ipaddr", "local", "local_ipaddr", "local_address")},
    "our_udp_port": To("home", "local_port", values.within(0, 65535)),
    "version": To("home", "version", _VERSIONS),
    "protocol_version": To("home", "version", _VERSIONS),
    "encap": To("home", "encap", values.one_of({"udp": "udp", "ip": "ip"})),
    "encapsulation": To("home", "encap", values.one_of({"udp": "udp", "ip": "ip"})),
    "persist": To("home", "persist", values.boolean),
    "tunnel_id": _CHOSEN,
    "peer_profile_name": No("what a peer profile says is for those who call; here the tunnel says it itself"),
}  # fmt: skip

CALL: Rows = {
    "session_id": _CHOSEN,
    "profile_name": LATER,
    "profile": LATER,
    "session_profile": LATER,
    "session_profile_name": LATER,
    "ppp_profile_name": LATER,
    "ppp_profile": LATER,
    "pseudowire_profile": LATER,
    "pseudowire_profile_name": LATER,
    "ethernet_profile_name": LATER,
    **{name: To("home", "pseudowire", values.one_of({"ppp": "ppp", "eth": "eth", "ethernet": "eth", "eth_vlan": "eth-vlan", "eth-vlan": "eth-vlan",
                                                      "vlan": "eth-vlan"})) for name in ("pseudowire", "pseudowire_type", "pw_type")},
    "session_type": To("home", "role", values.one_of({"laic": "lac", "lnoc": "lns"}) ),
    "user_name": To("home", "user"),
    "user_password": To("home", "password", values.secret),
    "interface_name": To("home", "interface_name", values.interface),
    "priv_group_id": To("home", "private_group_id", values.avp_text),
    "sequencing_required": To("home", "sequencing_required", values.boolean),
    "use_sequence_numbers": If(yes=No("`sequencing_required` asks for numbered packets"), no=Same("packets are numbered only if a peer asks for it")),
    "reorder_timeout": To("home", "reorder_timeout", values.milliseconds(0, 60)),
    "framing_type": To("home", "framing_type", values.one_of({"any": "any", "sync": "sync", "async": "async"})),
    "bearer_type": To("home", "bearer_type", values.one_of({"any": "any", "digital": "digital", "analog": "analog"})),
    "minimum_bps": To("home", "minimum_bps", _U32),
    "maximum_bps": To("home", "maximum_bps", _BPS),
    "connect_speed": LATER,
    "calling_number": To("home", "calling_number", values.avp_ascii),
    "called_number": To("home", "called_number", values.avp_ascii),
    "sub_address": To("home", "sub_address", values.avp_ascii),
    "persist": To("home", "persist", values.boolean),
    "user_data": To("home", "user_data"),
    "remote_end_id": To("home", "remote_end_id", lambda text: values.avp_text(_end_id(text))),
    "mtu": To("home", "mtu", values.within(68, 65535)),
    "vlan_id": To("home", "vlan_id", values.within(1, 4094)),
    "bridge": To("home", "bridge", values.bridge),
    "bridge_name": To("home", "bridge", values.bridge),
    "local_ipaddr": LATER,
    "netmask": LATER,
    "peer_ipaddr": To("home", "peer_address", values.host),
    "cookie_size": To("home", "cookie_size", values.one_of({"0": 0, "4": 4, "8": 8})),
    "l2spec_type": To("home", "sublayer", values.one_of({"none": "none", "default": "default"})),
    "establish_timeout": To("home", "establish_timeout", values.at_least(1)),
    "trace_flags": _trace("home"),
    "debug": _trace("home"),
    "log_categories": _trace("home"),
    "no_ppp": If(yes=No("PPP always runs on a session that carries it"), no=Same("PPP always runs on a session that carries it")),
    **{name: No("we are no access concentrator that has seen a proof or an LCP negotiation of its own") for name in
       ("use_ppp_proxy", "proxy_auth_type", "proxy_auth_name", "proxy_auth_challenge", "proxy_auth_response", "initial_rcvd_lcp_confreq",
        "last_sent_lcp_confreq", "last_rcvd_lcp_confreq")},
}  # fmt: skip
"""Of a session profile, and of a session as well."""


def sent(text: str) -> int:
    """Read the first of `SENT[:RECEIVED]`, in bits per second."""
    return _speed(text.partition(":")[0])


def received(text: str) -> int:
    """Read the second, which is the first unless it is said."""
    return _speed(text.partition(":")[2] or text.partition(":")[0])


def _speed(text: str) -> int:
    found = values.number(text)
    if found >= 2**32:
        raise values.Unsayable("only 0 to 4294967295 can be said here")
    return found


def _end_id(text: str) -> str:
    """Return a Remote End ID as ours: text, or what is not, or would be read as digits, as digits after `0x`."""
    if not text.startswith("hex:"):
        return f"0x{text.encode().hex()}" if text.startswith("0x") else text
    try:
        octets = bytes.fromhex(text[4:].replace(":", ""))
    except ValueError:
        octets = b""
    if not octets:
        raise values.Wrong(f"`{text[4:]}` is not hexadecimal")
    return f"0x{octets.hex()}"


_PROTOCOL = No("the engine's own timers and counts hold (RFC 1661 4.6)")
PROOFS = ("auth_pap", "auth_chap", "auth_mschapv1", "auth_mschapv2", "auth_eap", "auth_none", "auth_peer")
PPP: Rows = {
    "mtu": To("home", "mtu", values.within(68, 65535)),
    "mru": To("home", "mru", values.within(68, 65535)),
    "lcp_echo_interval": To("home", "lcp_echo_interval", values.within(0, 86400)),
    "lcp_echo_failure_count": To("home", "lcp_echo_failure", values.within(0, 1000)),
    "local_ipaddr": To("home", "local_address", values.ipv4),
    "dns_ipaddr_pri": More("home", "dns", values.ipv4),
    "dns_ipaddr_sec": More("home", "dns", values.ipv4),
    "default_route": To("home", "default_route", values.boolean),
    "proxy_arp": To("home", "proxy_arp", values.boolean),
    "chap_interval": To("home", "chap_rechallenge", values.number),
    **dict.fromkeys(PROOFS, LATER),
    "remote_ipaddr": No("addresses of callers come from a `pool`"),
    "ip_pool_name": No("its addresses are another daemon's: say them in a [pool.NAME] and name it in `pool`"),
    "wins_ipaddr_pri": No("there is no option for NetBIOS name servers"),
    "wins_ipaddr_sec": No("there is no option for NetBIOS name servers"),
    "use_radius": If(yes=No('`authority = "radius"` says it, with the servers in their own tables'), no=Same("pppd's files of secrets are used")),
    "radius_hint": No("it is a file for a plugin of pppd"),
    "multilink": If(yes=No("there is no multilink here"), no=Same("there is no multilink here")),
    "local_name": No("secrets are not looked up by our name"),
    "remote_name": No("secrets are not looked up by the peer's name"),
    "asyncmap": Same("there is no serial line"),
    "sync_mode": Same("there is no serial line"),
    "idle_timeout": To("home", "idle_timeout", values.number),
    "max_connect_time": To("home", "session_timeout", values.number),
    "trace_flags": No("PPP is traced by `trace` of a session"),
    **dict.fromkeys(("chap_max_challenge", "chap_restart", "pap_max_auth_requests", "pap_restart_interval", "pap_timeout",
                     "ipcp_max_config_requests", "ipcp_max_config_naks", "ipcp_max_terminate_requests", "ipcp_retransmit_interval",
                     "lcp_max_config_requests", "lcp_max_config_naks", "lcp_max_terminate_requests", "lcp_retransmit_interval",
                     "max_failure_count"), _PROTOCOL),
}  # fmt: skip

PSEUDOWIRE: Rows = {
    "mtu": To("home", "mtu", values.within(68, 65535)),
    "bridge": To("home", "bridge", values.bridge),
    "bridge_name": To("home", "bridge", values.bridge),
    "l2spec_type": To("home", "sublayer", values.one_of({"none": "none", "default": "default"})),
    "ppp_profile_name": LATER,
    "ppp_profile": LATER,
}

_ROLES: Mapping[str, Value] = {"lac": ["lac"], "lns": ["lns"], "both": ["lac", "lns"], "any": ["lac", "lns"]}
PEER: Rows = {
    **dict.fromkeys(("peer_ipaddr", "ip", "peer_ip", "address", "netmask", "we_can_be_lac", "we_can_be_lns", "peer_name", "tunnel_profile_name", "tunnel_profile", "default_tunnel_profile_name", "session_profile_name", "session_profile", "default_session_profile_name", "ppp_profile_name", "ppp_profile", "default_ppp_profile_name", "pseudowire_profile", "pseudowire_profile_name", "ethernet_profile_name"), LATER),
    "lac_lns": To("home", "roles", values.one_of(_ROLES)),
    "secret": To("home", "secret", values.secret),
    "max_tunnels": To("home", "max_tunnels", values.number),
    "peer_port": No("callers may call from any port"),
}  # fmt: skip

TUNNEL_PROFILES = ("profile_name", "profile", "tunnel_profile", "tunnel_profile_name")
CALL_PROFILES = ("session_profile_name", "session_profile", "default_session_profile_name")
PPP_PROFILES = (
    "ppp_profile_name", "ppp_profile", "default_ppp_profile_name", "pseudowire_profile", "pseudowire_profile_name", "ethernet_profile_name",
)  # fmt: skip
