"""The key table: for every key of every table, how what was said becomes a checked value.

The type comes from the model, through the exact hooks registered with cattrs here; `RULES` adds what a type cannot say, one row a key with
its reason. Both are combined once, at import, into one callable a key, so that loading 65,000 tables builds nothing a table.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import cattrs

from l2tpd.config import scalars, words
from l2tpd.config.model import (
    Address,
    HostPort,
    Listen,
    Peer,
    Pool,
    PppSettings,
    PseudowireSettings,
    Radius,
    RadiusClient,
    RadiusServer,
    SessionInstance,
    SessionSettings,
    System,
    TunnelInstance,
    TunnelSettings,
    User,
    Version,
)
from l2tpd.config.scalars import ElementError, described, listed, mismatch, quoted, suggestion
from l2tpd.ppp import hashed
from l2tpd.ppp.mppe import STRENGTHS
from l2tpd.wire.values import pack_text

Check = Callable[[Any], Any]
"""Turns what was said into the value to keep; raises `ValueError` or `ElementError`."""

COOKIE_SIZES = frozenset({0, 4, 8})  # octets, RFC 3931 5.4.4
AVP_VALUE_LIMIT = 1017  # octets: the 10-bit AVP length less its 6 octets of header, RFC 2661 4.1
_U16 = 0xFFFF
_U32 = 0xFFFFFFFF
_SEARCHED = 512  # octets


# -- types, as cattrs hooks ---------------------------------------------------------------------------------------------------------------


def word(kind: type[enum.Enum], value: object) -> enum.Enum:
    """Accept a word of an enumeration; a word that only a later version knows is refused as such."""
    known = [str(member.value) for member in kind]
    if isinstance(value, str) and value in known:
        return kind(value)
    if isinstance(value, str) and value in words.LATER.get(kind, ()):
        raise ValueError(f"{quoted(value)} is not available in this version (available: {listed(known)})")
    if isinstance(value, str) and (hint := words.ELSEWHERE.get(kind, {}).get(value)):
        raise ValueError(f"{quoted(value)} is none: {hint}")
    return typing.cast("enum.Enum", _one_of_failed(value, known))


def _one_of_failed(value: object, known: typing.Sequence[str]) -> object:
    if not isinstance(value, str):
        raise mismatch(_choice(known), value)
    raise ValueError(f"{quoted(value)} is not available here: must be {_choice(known)}{suggestion(value, known)}")


def _choice(known: typing.Sequence[str]) -> str:
    if not known:
        return "left out, as no word is defined yet"
    return listed(known) if len(known) == 1 else f"one of {listed(known)}"


def _each(check: Check, values: typing.Sequence[object]) -> tuple[Any, ...]:
    found: list[tuple[str, str]] = []
    kept: list[Any] = []
    for index, value in enumerate(values):
        try:
            kept.append(check(value))
        except ValueError as error:
            found.append((f"[{index}]", str(error)))
    if found:
        raise ElementError(*found)
    if len(set(kept)) != len(kept):
        raise ValueError("names something twice")
    return tuple(kept)


def _tuple_hook(kind: Any, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    element = typing.get_args(kind)[0]
    hook = converter.get_structure_hook(element)

    def structure(value: object, _type: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise mismatch("an array", value)
        return _each(lambda item: hook(item, element), value)

    return structure


def _is_tuple(kind: Any) -> bool:
    origin: object = typing.get_origin(kind)
    return origin is tuple


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _enum_hook(kind: Any) -> Callable[[Any, Any], Any]:
    return lambda value, _type: word(kind, value)


def make_converter() -> cattrs.Converter:
    """Build a converter that knows the model's types and coerces nothing."""
    converter = cattrs.Converter(detailed_validation=False)
    for kind, hook in (
        (bool, scalars.exact_bool),
        (int, scalars.exact_int),
        (float, scalars.exact_float),
        (str, scalars.exact_str),
        (bytes, scalars.octets),
        (Path, scalars.path),
        (Address, scalars.address),
        (HostPort, scalars.host_port),
    ):
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook_factory(_is_enum, _enum_hook)
    converter.register_structure_hook_factory(_is_tuple, lambda kind: _tuple_hook(kind, converter))
    return converter


# -- rules: what a type cannot say --------------------------------------------------------------------------------------------------------


def between(low: float, high: float) -> Check:
    """Accept numbers from low to high, both included."""

    def check(value: Any) -> Any:
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}, not {described(value)}")
        return value

    return check


def at_least(low: float, reason: str = "") -> Check:
    """Accept numbers from low on; the reason, if any, is told."""

    def check(value: Any) -> Any:
        if value < low:
            raise ValueError(f"must be at least {low}{f' ({reason})' if reason else ''}, not {described(value)}")
        return value

    return check


def one_of(known: tuple[str, ...]) -> Check:
    """Accept one word of a vocabulary."""
    return lambda value: value if value in known else _one_of_failed(value, known)


def each(check: Check) -> Check:
    """Apply a check to every element of an array."""
    return lambda values: _each(check, values)


def optional(check: Check) -> Check:
    """Apply a check to a string unless it is empty, which means "not set"."""
    return lambda value: check(value) if value else value


def at_least_one(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Accept an array that is not empty."""
    if not values:
        raise ValueError("must name at least one")
    return values


def avp_octets(value: str) -> str:
    """Accept what fits an AVP, octets that are no text included: at most 1017 of them."""
    length = len(pack_text(value))
    if length > AVP_VALUE_LIMIT:
        raise ValueError(f"has {length} octets; an AVP holds {AVP_VALUE_LIMIT} (RFC 2661 4.1)")
    return value


def avp_text(value: str) -> str:
    """Accept what fits an AVP as text: at most 1017 octets of UTF-8 without control characters."""
    avp_octets(value)
    if not value.isprintable():
        raise ValueError("must not hold control characters")
    return value


def avp_ascii(value: str) -> str:
    """Accept what the RFCs call an ASCII string (RFC 2661 4.4.4; RFC 3931 5.4.3, Vendor Name)."""
    if not value.isascii():
        raise ValueError("must be ASCII (RFC 2661 4.4.4, RFC 3931 5.4.3)")
    return avp_text(value)


def absolute(value: Path) -> Path:
    """Accept an absolute path: the daemon leaves the directory where it was started."""
    if not value.is_absolute():
        raise ValueError(f"must be an absolute path, not {quoted(str(value))}")
    return value


def with_port(value: str) -> str:
    """Accept a numeric address with a port, of which none is the usual one."""
    if not scalars.address(value).port:
        raise ValueError(f"{quoted(value)} has no port")
    return value


def interface(value: str) -> str:
    """Accept what Linux takes as an interface name, `%d` included: 1 to 15 octets without space, slash and colon."""
    if not (
        value.isprintable() and len(value.encode()) <= 15 and value not in {".", ".."} and not set(value) & set(" /:")
    ):
        raise ValueError(f"{quoted(value)} is not an interface name: at most 15 octets without space, `/` and `:`")
    return value


def existing_interface(value: str) -> str:
    """Accept the name of an interface that is there: unlike that of one to be made, it is no pattern."""
    if "%" in value:
        raise ValueError(f"{quoted(value)}: a pattern names no interface that exists")
    return interface(value)


def cookie(value: bytes) -> bytes:
    """Accept 4 or 8 octets, or none (RFC 3931 5.4.4, Assigned Cookie)."""
    if len(value) not in COOKIE_SIZES:
        raise ValueError(f"has {2 * len(value)} hexadecimal digits; a cookie has 8 or 16 (RFC 3931 5.4.4)")
    return value


def cookie_size(value: int) -> int:
    """Accept the sizes of a cookie in octets (RFC 3931 5.4.4, Assigned Cookie)."""
    if value not in COOKIE_SIZES:
        raise ValueError(f"must be 0, 4 or 8 (RFC 3931 5.4.4), not {described(value)}")
    return value


def remote_end_id(value: str) -> str:
    """Accept a Remote End ID: text, or any octets as hexadecimal digits after `0x` (RFC 3931 5.4.4)."""
    identifier = scalars.end_id(value)
    return avp_text(identifier) if identifier == value else avp_octets(identifier)


def router_id(text: str) -> str:
    """Accept a router id in the notation of an IPv4 address, which it need not be (RFC 3931 5.4.3)."""
    number = ipv4(text)
    if number == "0.0.0.0":  # noqa: S104 - a number, not an address to bind
        raise ValueError("must not be 0.0.0.0, which names nobody")
    return number


def spoken_versions(value: object) -> tuple[Version, ...]:
    """Accept versions that a caller can speak: `auto` is none, but a way to find out which one is."""
    if not isinstance(value, list):
        raise mismatch("an array", value)
    known = one_of((Version.L2TPV2.value, Version.L2TPV3.value))
    return at_least_one(_each(lambda item: Version(known(item)), value))


def packet_size(value: int) -> int:
    """Accept 0 (left open) or a size that IPv4 can use (RFC 791 3.2: 68 octets at least)."""
    return value if value == 0 else typing.cast("int", between(68, _U16)(value))


def ranges(value: object) -> str:
    """Accept address ranges and prefixes, separated by commas or as an array."""
    if isinstance(value, list):
        return ", ".join(_each(lambda item: scalars.address_range(scalars.exact_str(item)), value))
    return ", ".join(scalars.address_range(part.strip()) for part in scalars.exact_str(value).split(","))


def pap_hash(text: str) -> str:
    """Accept what `l2tpctl hash-password` makes."""
    hashed.parse(text)
    return text


def radius_text(value: str) -> str:
    """Accept what fits an attribute of RADIUS as text (RFC 2865 5)."""
    if len(pack_text(value)) > 253 or not value.isprintable():
        raise ValueError("must have at most 253 octets, and no control characters (RFC 2865 5)")
    return value


def interim_interval(value: float) -> float:
    """Accept 0 or at least a minute (RFC 2869 5.16)."""
    return value if value == 0 else typing.cast("float", at_least(60, "RFC 2869 5.16")(value))


def ipv4(text: str) -> str:
    """Accept a numeric IPv4 address, the only kind that IPCP can tell (RFC 1877)."""
    host = scalars.numeric_host(text)
    if ":" in host:
        raise ValueError(f"{quoted(text)} is not an IPv4 address")
    return host


def ipv6_prefix(text: str) -> str:
    """Accept a prefix of IPv6 that leaves room for an interface identifier behind it (RFC 4291 2.5.1)."""
    network = scalars.prefix(text)
    if ":" not in network or int(network.rpartition("/")[2]) > 64:
        raise ValueError(f"{quoted(text)} is not an IPv6 prefix of at most 64 bits")
    return network


def link_prefix(text: str) -> str:
    """Accept a prefix of IPv6 that a link may have: whoever is on it makes its addresses of 64 bits (RFC 4862 5.5.3)."""
    network = ipv6_prefix(text)
    if not network.endswith("/64"):
        raise ValueError(f"{quoted(text)} has not the 64 bits that a link needs (RFC 4862 5.5.3)")
    return network


def prefix_length(value: int) -> int:
    """Accept 0, for addresses, or the length of an IPv6 prefix to hand out."""
    return value if value == 0 else typing.cast("int", between(16, 64)(value))


def ipv6_servers(values: tuple[str, ...]) -> tuple[str, ...]:
    """Accept at most three name servers by their IPv6 addresses: resolvers use no more."""
    if len(values) > 3:
        raise ValueError("names more than three servers")
    return _each(ipv6, values)


def search_list(values: tuple[str, ...]) -> tuple[str, ...]:
    """Accept domains that a Router Advertisement has room for beside what else it says."""
    names = _each(scalars.dns_name, values)
    if sum(len(name) + 2 for name in names) > _SEARCHED:
        raise ValueError(f"has names of more than {_SEARCHED} octets together")
    return names


def ipv6(text: str) -> str:
    """Accept a numeric IPv6 address that more than one link knows."""
    host = scalars.numeric_host(text)
    if ":" not in host or host.startswith(("fe8", "fe9", "fea", "feb", "ff")):
        raise ValueError(f"{quoted(text)} is not an IPv6 address that can be reached from elsewhere")
    return host


def servers(values: tuple[str, ...]) -> tuple[str, ...]:
    """Accept at most two name servers: IPCP has options for no more (RFC 1877)."""
    if len(values) > 2:
        raise ValueError("names more than two servers (RFC 1877)")
    return _each(ipv4, values)


def mppe_bits(values: tuple[int, ...]) -> tuple[int, ...]:
    """Accept strengths that MPPE has (RFC 3078 2), at least one."""
    for value in at_least_one(values):
        if value not in STRENGTHS:
            raise ValueError(f"names {value}, and MPPE has keys of 40, 56 and 128 bits (RFC 3078 2)")
    return values


def command_words(value: object) -> tuple[str, ...]:
    """Accept words for a command line; unlike those of other arrays they may well repeat."""
    if not isinstance(value, list):
        raise mismatch("an array", value)
    words_said = tuple(scalars.exact_str(word) for word in value)
    if not all(word and word.isprintable() for word in words_said):
        raise ValueError("must hold printable words")
    return words_said


_COUNT = at_least(0)
_ID = between(1, _U32)  # RFC 3931 4.1, 5.4.4: 0 is reserved
_SECONDS = at_least(0)
_PAUSE = at_least(0.01)  # a pause of zero would be a busy loop
_WORDS_TRACE = each(one_of(words.TRACE_CATEGORIES))

RULES: Mapping[tuple[type, str], Check] = {
    (System, "hostname"): avp_text,
    (System, "vendor_name"): avp_ascii,
    (System, "router_id"): optional(router_id),
    (System, "control_socket"): absolute,
    (System, "script_directory"): absolute,
    (System, "metrics_address"): optional(with_port),
    (System, "log_level"): one_of(words.LOG_LEVELS),
    (System, "trace"): _WORDS_TRACE,
    (System, "script_limit"): at_least(1),
    (System, "script_timeout"): at_least(0.1),
    (System, "max_tunnels"): _COUNT,
    (System, "max_sessions"): _COUNT,
    (System, "max_half_open"): at_least(1),
    (System, "max_half_open_per_source"): at_least(1),
    (System, "stop_timeout"): _SECONDS,
    (TunnelSettings, "host_name"): avp_text,
    (TunnelSettings, "hello_timeout"): _SECONDS,
    (TunnelSettings, "retry_timeout"): _PAUSE,
    (TunnelSettings, "retry_cap"): at_least(8, "RFC 2661 5.8"),
    (TunnelSettings, "max_retries"): between(1, _U16),
    (TunnelSettings, "receive_window"): between(
        1, 32768
    ),  # 0 is invalid and half the number space is the most, RFC 2661 5.8
    (TunnelSettings, "establish_timeout"): _PAUSE,
    (TunnelSettings, "idle_timeout"): _SECONDS,
    (TunnelSettings, "max_sessions"): between(0, _U16),
    (TunnelSettings, "framing_caps"): each(one_of(words.FRAMING_CAPS)),
    (TunnelSettings, "bearer_caps"): each(one_of(words.BEARER_CAPS)),
    (TunnelSettings, "firmware_revision"): between(0, _U16),  # RFC 2661 4.4.3
    (TunnelSettings, "quirks"): each(one_of(words.QUIRKS)),
    (TunnelSettings, "trace"): _WORDS_TRACE,
    (SessionSettings, "interface_name"): optional(interface),
    (SessionSettings, "establish_timeout"): _PAUSE,
    (SessionSettings, "bearer_type"): one_of(words.BEARER_TYPES),
    (SessionSettings, "framing_type"): one_of(words.FRAMING_TYPES),
    (SessionSettings, "calling_number"): avp_ascii,
    (SessionSettings, "called_number"): avp_ascii,
    (SessionSettings, "sub_address"): avp_ascii,
    (SessionSettings, "tx_connect_speed"): between(0, _U32),
    (SessionSettings, "rx_connect_speed"): between(0, _U32),
    (SessionSettings, "minimum_bps"): between(0, _U32),
    (SessionSettings, "maximum_bps"): between(0, _U32),
    (SessionSettings, "physical_channel_id"): optional(between(0, _U32)),
    (SessionSettings, "private_group_id"): avp_text,
    (SessionSettings, "reorder_timeout"): between(0, 60),
    (SessionSettings, "session_id"): _ID,
    (SessionSettings, "peer_session_id"): _ID,
    (SessionSettings, "cookie"): cookie,
    (SessionSettings, "peer_cookie"): cookie,
    (SessionSettings, "cookie_size"): cookie_size,
    (SessionSettings, "remote_end_id"): remote_end_id,
    (SessionSettings, "mtu"): packet_size,
    (SessionSettings, "vlan_id"): between(1, 4094),  # IEEE 802.1Q: 0 is no VLAN, 4095 is reserved
    (SessionSettings, "address"): optional(scalars.interface_address),
    (SessionSettings, "peer_address"): optional(scalars.numeric_host),
    (SessionSettings, "bridge"): optional(existing_interface),
    (SessionSettings, "trace"): _WORDS_TRACE,
    (PseudowireSettings, "mtu"): packet_size,
    (PseudowireSettings, "bridge"): optional(existing_interface),
    (PppSettings, "local_address"): optional(ipv4),
    (PppSettings, "mtu"): packet_size,
    (PppSettings, "mru"): packet_size,
    (PppSettings, "dns"): servers,
    (PppSettings, "ipv6_dns"): ipv6_servers,
    (PppSettings, "ipv6_search"): search_list,
    (PppSettings, "ipv6_lifetime"): between(600, _U32 - 1),  # all ones would be for ever (RFC 4861 4.6.2)
    (PppSettings, "ra_interval"): between(4, 1800),  # RFC 4861 6.2.1: MaxRtrAdvInterval
    (PppSettings, "chap_rechallenge"): _SECONDS,
    (PppSettings, "session_timeout"): _SECONDS,
    (PppSettings, "idle_timeout"): _SECONDS,
    (PppSettings, "lcp_echo_interval"): between(0, 86400),
    (PppSettings, "lcp_echo_failure"): between(0, 1000),
    (PppSettings, "mppe_bits"): mppe_bits,
    (Pool, "quarantine"): _SECONDS,
    (Pool, "prefix_length"): prefix_length,
    (User, "pap_hash"): optional(pap_hash),
    (User, "address"): optional(ipv4),
    (User, "prefix"): optional(link_prefix),
    (User, "delegated_prefix"): optional(ipv6_prefix),
    (User, "routes"): each(scalars.prefix),
    (User, "session_timeout"): _SECONDS,
    (User, "idle_timeout"): _SECONDS,
    (User, "max_sessions"): _COUNT,
    (Radius, "nas_identifier"): radius_text,
    (Radius, "nas_address"): optional(scalars.numeric_host),
    (Radius, "interim_interval"): interim_interval,
    (Radius, "spool"): absolute,
    (Radius, "dynauth_listen"): optional(with_port),
    (Radius, "dynauth_window"): _SECONDS,
    (RadiusServer, "address"): scalars.numeric_host,
    (RadiusServer, "auth_port"): between(0, _U16),
    (RadiusServer, "acct_port"): between(0, _U16),
    (RadiusServer, "timeout"): between(0.1, 60),
    (RadiusServer, "retries"): between(0, 10),
    (RadiusServer, "dead_time"): _SECONDS,
    (RadiusClient, "match"): scalars.prefix,
    (Peer, "match"): each(scalars.prefix),
    (Peer, "host_name"): avp_text,
    (Peer, "roles"): at_least_one,
    (Peer, "max_tunnels"): _COUNT,
    (TunnelInstance, "local"): optional(scalars.numeric_host),
    (TunnelInstance, "local_port"): between(0, _U16),
    (TunnelInstance, "tunnel_id"): _ID,
    (TunnelInstance, "peer_tunnel_id"): _ID,
    (TunnelInstance, "redial_delay"): _PAUSE,
    (TunnelInstance, "redial_delay_max"): _PAUSE,
}

WHOLE: Mapping[tuple[type, str], Check] = {
    (System, "control_mode"): scalars.file_mode,  # "0660" as well as 0o660
    (Peer, "versions"): spoken_versions,
    (PppSettings, "pppd_options"): command_words,
    (Pool, "range"): ranges,
    (Pool, "exclude"): lambda value: ranges(value) if value else "",
}
"""Keys of which the type says too much or too little: the check does all of the work."""

_NOT_KEYS = frozenset(
    {(TunnelInstance, name) for name in ("name", "said", "sessions")}
    | {(SessionInstance, name) for name in ("name", "said")}
    | {(Radius, name) for name in ("servers", "clients")}
)


def _combined(hook: Callable[[Any, Any], Any], kind: Any, rule: Check | None) -> Check:
    if rule is None:
        return lambda value: hook(value, kind)
    return lambda value: rule(hook(value, kind))


def _without_none(kind: Any) -> Any:
    """Take `int` out of `int | None`: a key that is not set is left out; JSON's null is no value."""
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    return members[0] if type(None) in typing.get_args(kind) else kind


def _keys(cls: type, converter: cattrs.Converter) -> dict[str, Check]:
    types = typing.get_type_hints(cls)
    checks: dict[str, Check] = {}
    for field in attrs.fields(cls):
        row = (cls, field.name)
        if row not in _NOT_KEYS:
            kind = _without_none(types[field.name])
            checks[field.name] = WHOLE.get(row) or _combined(converter.get_structure_hook(kind), kind, RULES.get(row))
    return checks


_converter = make_converter()
KEYS: Mapping[type, Mapping[str, Check]] = {
    cls: _keys(cls, _converter)
    for cls in (
        System,
        Listen,
        TunnelSettings,
        SessionSettings,
        PseudowireSettings,
        PppSettings,
        Pool,
        User,
        Radius,
        RadiusServer,
        RadiusClient,
        Peer,
        SessionInstance,
        TunnelInstance,
    )
}
"""For every table, the check of every key that may stand in it."""
