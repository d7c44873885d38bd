"""Hook scripts as facts: which script an event calls, with what arguments, in what environment.

There are eight, named after what happens to what: `tunnel-created` to `session-deleted`. A variable is set where it says something and is
missing otherwise, so `${MTU:-1460}` does in a shell what one expects. Arguments are numbers and fixed words; whatever text there is, names and the
peer's identifiers among it, stands in the environment alone, where no shell takes it for a command, and without control characters.

l2tpd(8), HOOK SCRIPTS, describes them to their writers; a test holds the two together.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

import attrs

from l2tpd.events import Event, SessionEvent, TunnelEvent, What

Hooked = TunnelEvent | SessionEvent
"""An event that may call a script."""

Instance = tuple[int, int]
"""Whose script it is, since one instance's scripts never run side by side: tunnel id, and session id or 0 for the tunnel itself."""

SCRIPTS = tuple(f"{about}-{what.value}" for about in ("tunnel", "session") for what in What)
"""The names of the scripts, in the order of their life."""

TYPES: Mapping[str, str] = {"ppp": "PPP", "eth": "ETH", "eth-vlan": "ETH_VLAN"}
"""The third argument by the type of pseudowire; any other stands for itself, as its number does."""

ALWAYS = frozenset(What)
LINKED = frozenset({What.UP, What.DOWN})  # while, or just until, there is an interface
ENDED = frozenset({What.DOWN, What.DELETED})
TYPED = frozenset({What.UP, What.DOWN, What.DELETED})  # scripts that are told the type of the session


@attrs.frozen
class Variable:
    """One environment variable of the session scripts: its name, where its value comes from, and which events have it."""

    name: str
    value: Callable[[SessionEvent], str]
    when: frozenset[What] = ALWAYS


# fmt: off
VARIABLES = (
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
    Variable("REMOTE_END_ID",           lambda event: _end_id(event)[0]),
    Variable("REMOTE_END_ID_BIN",       lambda event: _end_id(event)[1]),
)
# fmt: on
"""What a session script finds in its environment; a tunnel script finds `TUNNEL_NAME` alone."""


def hooked(event: Event) -> Hooked | None:
    """Return the event if it is one that may call a script."""
    return event if isinstance(event, TunnelEvent | SessionEvent) else None


def script(event: Hooked) -> str:
    """Return the name of the script that an event calls."""
    return f"{'tunnel' if isinstance(event, TunnelEvent) else 'session'}-{event.what.value}"


def instance(event: Hooked) -> Instance:
    """Return whose script it is."""
    return event.tunnel_id, event.session_id if isinstance(event, SessionEvent) else 0


def arguments(event: Hooked) -> tuple[str, ...]:
    """Return the arguments: tunnel id, and of a session its id and, once it has come up or is over, its type."""
    if isinstance(event, TunnelEvent):
        return (str(event.tunnel_id),)
    ids = (str(event.tunnel_id), str(event.session_id))
    return (*ids, TYPES.get(event.pseudowire, event.pseudowire)) if event.what in TYPED else ids


def environment(event: Hooked) -> dict[str, str]:
    """Return the environment variables, those without a value left out."""
    if isinstance(event, TunnelEvent):
        said = {"TUNNEL_NAME": event.name}
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
