"""Hook scripts as facts: which script an event calls, with what arguments, in what environment.

There are eight, named after what happens to what: `tunnel-created` to `session-deleted`; and for PPP those that pppd has, `ip-up`, `ip-down`, `ipv6-up` and
`ipv6-down`, with what theirs are told. A variable is set where it says something and is
missing otherwise, so `${MTU:-1460}` does in a shell what one expects. Arguments are numbers and fixed words; whatever text there is, names and the
peer's identifiers among it, stands in the environment alone, where no shell takes it for a command, and without control characters.

l2tpd(8), HOOK SCRIPTS, describes them to their writers; a test holds the two together.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import attrs

from l2tpd.events import Event, Network, PppEvent, SessionEvent, TunnelEvent, What

Hooked = TunnelEvent | SessionEvent | PppEvent
"""An event that may call a script."""

Instance = tuple[int, int]
"""Whose script it is, since one instance's scripts never run side by side: tunnel id, and session id or 0 for the tunnel itself."""

_PPP: Mapping[Network, str] = {"ipv4": "ip", "ipv6": "ipv6"}

SCRIPTS = (
    *(f"{about}-{what.value}" for about in ("tunnel", "session") for what in What),
    *(f"{about}-{what.value}" for about in _PPP.values() for what in (What.UP, What.DOWN)),
)
"""The names of the scripts, in the order of their life."""

TYPES: Mapping[str, str] = {"ppp": "PPP", "eth": "ETH", "eth-vlan": "ETH_VLAN"}
"""The third argument by the type of pseudowire; any other stands for itself, as its number does."""

ALWAYS = frozenset(What)
LINKED = frozenset({What.UP, What.DOWN})  # while, or just until, there is an interface
ENDED = frozenset({What.DOWN, What.DELETED})
GONE = frozenset({What.DOWN})
TYPED = frozenset({What.UP, What.DOWN, What.DELETED})  # scripts that are told the type of the session


E = TypeVar("E")


@attrs.frozen
class Variable(Generic[E]):
    """One environment variable of a kind of scripts: its name, where its value comes from, and which events have it."""

    name: str
    value: Callable[[E], str]
    when: frozenset[What] = ALWAYS


# fmt: off
VARIABLES: tuple[Variable[SessionEvent], ...] = (
    Variable("TUNNEL_NAME",             lambda event: event.tunnel_name),
    Variable("SESSION_NAME",            lambda event: event.name),
    Variable("SESSION_PROFILE_NAME",    lambda event: event.profile),
    Variable("PSEUDOWIRE_PROFILE_NAME", lambda event: event.pseudowire_profile),
    Variable("USER_DATA",               lambda event: event.user_data),
    Variable("INTERFACE_NAME",          lambda event: event.interface,                     LINKED),
    Variable("MTU",                     lambda event: str(event.mtu or ""),                LINKED),
    Variable("LOCAL_IP",                lambda event: event.address.partition("/")[0],     LINKED),
    Variable("PEER_IP",                 lambda event: event.far_address.partition("/")[0], LINKED),
    Variable("NETMASK",                 lambda event: netmask(event.address),              LINKED),
    Variable("BRIDGE",                  lambda event: event.bridge),
    Variable("PPP_USER",                lambda event: event.ppp_user,                      ENDED),
    Variable("PPP_LOCAL_IP",            lambda event: event.ppp_local,                     ENDED),
    Variable("PPP_PEER_IP",             lambda event: event.ppp_remote,                    ENDED),
    Variable("PPP_CAUSE",               lambda event: event.ppp_cause,                     ENDED),
    Variable("PPP_LOCAL_IPV6",          lambda event: event.ppp_ipv6_local,                ENDED),
    Variable("PPP_PEER_IPV6",           lambda event: event.ppp_ipv6_remote,               ENDED),
    Variable("PPP_IPV6_PREFIX",         lambda event: event.ppp_ipv6_prefix,               ENDED),
    Variable("PPP_DELEGATED_PREFIX",    lambda event: event.ppp_delegated_prefix,          ENDED),
    Variable("PPP_IPV6_ADDRESS",        lambda event: event.ppp_ipv6_address,              ENDED),
    Variable("REMOTE_END_ID",           lambda event: _end_id(event)[0]),
    Variable("REMOTE_END_ID_BIN",       lambda event: _end_id(event)[1]),
)
PPP_VARIABLES: tuple[Variable[PppEvent], ...] = (
    Variable("TUNNEL_ID",               lambda event: str(event.tunnel_id)),
    Variable("SESSION_ID",              lambda event: str(event.session_id)),
    Variable("TUNNEL_NAME",             lambda event: event.tunnel_name),
    Variable("SESSION_NAME",            lambda event: event.name),
    Variable("SESSION_PROFILE_NAME",    lambda event: event.profile),
    Variable("USER_DATA",               lambda event: event.user_data),
    Variable("IFNAME",                  lambda event: event.interface),
    Variable("MTU",                     lambda event: str(event.mtu or "")),
    Variable("PEERNAME",                lambda event: event.user),
    Variable("IPLOCAL",                 lambda event: event.local if event.network == "ipv4" else ""),
    Variable("IPREMOTE",                lambda event: event.remote if event.network == "ipv4" else ""),
    Variable("LLLOCAL",                 lambda event: event.local if event.network == "ipv6" else ""),
    Variable("LLREMOTE",                lambda event: event.remote if event.network == "ipv6" else ""),
    Variable("USEPEERDNS",              lambda event: "1" if event.dns else ""),
    Variable("DNS1",                    lambda event: "".join(event.dns[:1])),
    Variable("DNS2",                    lambda event: "".join(event.dns[1:2])),
    Variable("FRAMED_ROUTE",            lambda event: " ".join(event.routes)),
    Variable("IPV6_PREFIX",             lambda event: event.prefix),
    Variable("DELEGATED_PREFIX",        lambda event: event.delegated_prefix),
    Variable("CONNECT_TIME",            lambda event: str(round(event.duration)),  GONE),
    Variable("BYTES_RCVD",              lambda event: str(event.rx_bytes),         GONE),
    Variable("BYTES_SENT",              lambda event: str(event.tx_bytes),         GONE),
    Variable("REASON",                  lambda event: event.message,               GONE),
    Variable("PPP_CAUSE",               lambda event: event.cause,                 GONE),
)
# fmt: on
"""What scripts of sessions and of PPP find in their environment; a tunnel script finds `TUNNEL_NAME` alone."""


def hooked(event: Event) -> Hooked | None:
    """Return the event if it is one that may call a script."""
    return event if isinstance(event, TunnelEvent | SessionEvent | PppEvent) else None


def script(event: Hooked) -> str:
    """Return the name of the script that an event calls."""
    if isinstance(event, PppEvent):
        about = _PPP[event.network]
    else:
        about = "tunnel" if isinstance(event, TunnelEvent) else "session"
    return f"{about}-{event.what}"


def instance(event: Hooked) -> Instance:
    """Return whose script it is."""
    return event.tunnel_id, 0 if isinstance(event, TunnelEvent) else event.session_id


def arguments(event: Hooked) -> tuple[str, ...]:
    """Return the arguments: tunnel id, and of a session its id and, once it has come up or is over, its type; of PPP those that pppd's scripts have.

    Those are interface, device, speed, and the addresses of both ends; tunnel and session id stand for the device, and the speed is not known.
    """
    if isinstance(event, TunnelEvent):
        return (str(event.tunnel_id),)
    if isinstance(event, PppEvent):
        return event.interface, f"{event.tunnel_id}/{event.session_id}", "0", event.local, event.remote
    ids = (str(event.tunnel_id), str(event.session_id))
    return (*ids, TYPES.get(event.pseudowire, event.pseudowire)) if event.what in TYPED else ids


def environment(event: Hooked) -> dict[str, str]:
    """Return the environment variables, those without a value left out."""
    if isinstance(event, TunnelEvent):
        said = {"TUNNEL_NAME": event.name}
    elif isinstance(event, PppEvent):
        said = {row.name: row.value(event) for row in PPP_VARIABLES if event.what in row.when}
    else:
        said = {row.name: row.value(event) for row in VARIABLES if event.what in row.when}
    return {name: _harmless(value) for name, value in said.items() if value}


def netmask(address: str) -> str:
    """Return the mask of an address with a length, `255.255.255.0`; IPv6 has only lengths: `64`. Empty without an address.

    Either way `ip address add "$LOCAL_IP/$NETMASK"` is right.
    """
    if not address:
        return ""
    link = ipaddress.ip_interface(address)
    return str(link.netmask) if link.version == 4 else str(link.network.prefixlen)


def _end_id(event: SessionEvent) -> tuple[str, str]:
    """Return the Remote End ID as text or else in hexadecimal, whichever it is fit for."""
    said = event.remote_end_id
    if not said.startswith("0x"):
        return said, ""
    digits = said.removeprefix("0x")
    text = bytes.fromhex(digits).decode("utf-8", "surrogateescape")  # what is no UTF-8 does not print
    return (text, "") if text.isprintable() else ("", digits)


def _harmless(value: str) -> str:
    """Keep what prints, and the line ends and tabs that an operator may want in `user_data`; the rest becomes question marks."""
    return value if value.isprintable() else "".join(c if c.isprintable() or c in "\n\t" else "?" for c in value)
