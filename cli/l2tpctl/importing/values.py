"""Converters: a value of theirs as one that our daemon takes.

`Wrong` is for what cannot be meant, and ends the import; `Unsayable` for what is fine there but not here, and makes a comment. The limits are
those of l2tpd.toml(5).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping

from l2tpctl.importing.draft import Value

Convert = Callable[[str], Value]

L2TP_PORT = 1701  # RFC 2661 8.1
_WORDS = {
    "y": True,
    "n": False,
    "yes": True,
    "true": True,
    "on": True,
    "1": True,
    "no": False,
    "false": False,
    "off": False,
    "0": False,
}
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_NUMBER = re.compile(r"[0-9]{1,18}\Z")
AVP_LIMIT = 1017  # octets, RFC 2661 4.1


class Wrong(ValueError):
    """No such value can be meant."""


class Unsayable(ValueError):
    """Fine there, but nothing that our daemon takes; the text completes `no counterpart: ...`."""


def boolean(text: str) -> bool:
    """Read yes or no in any of the usual words."""
    try:
        return _WORDS[text.lower()]
    except KeyError:
        raise Wrong(f"`{text}` is neither yes nor no") from None


def number(text: str) -> int:
    """Read a count in decimal, or in hexadecimal after `0x`."""
    if _NUMBER.match(text):
        return int(text)
    if re.fullmatch(r"0[xX][0-9A-Fa-f]{1,16}", text):
        return int(text, 16)
    raise Wrong(f"`{text}` is not a number")


def within(low: int, high: int) -> Convert:
    """Read a number that has to be from low to high here."""

    def convert(text: str) -> int:
        value = number(text)
        if not low <= value <= high:
            raise Unsayable(f"only {low} to {high} can be said here")
        return value

    return convert


def among(*words: str) -> Convert:
    """Make a converter that takes one of these words."""

    def convert(text: str) -> str:
        if text not in words:
            raise Wrong(f"`{text}` is not one of {', '.join(words)}")
        return text

    return convert


def at_least(low: int) -> Convert:
    """Read a number; one below `low` is lifted to it."""
    return lambda text: max(number(text), low)


def milliseconds(low: float, high: float) -> Convert:
    """Read milliseconds as seconds."""

    def convert(text: str) -> float:
        seconds = number(text) / 1000
        if not low <= seconds <= high:
            raise Unsayable(f"only {low:g} to {high:g} seconds can be said here")
        return seconds

    return convert


def text(value: str) -> str:
    """Take a string as it is."""
    if "\0" in value:
        raise Unsayable("a NUL cannot be said here")
    return value


def avp_text(value: str) -> str:
    """Take a string that an AVP can hold."""
    if not value.isprintable() or len(value.encode()) > AVP_LIMIT:
        raise Unsayable(f"an AVP holds {AVP_LIMIT} octets of printable text")
    return value


def avp_ascii(value: str) -> str:
    """Take a string that the RFC wants in ASCII (RFC 2661 4.4.4)."""
    if not value.isascii():
        raise Unsayable("only ASCII can be said here (RFC 2661 4.4.4)")
    return avp_text(value)


def secret(value: str) -> str:
    """Take a secret, which is not empty."""
    if not value:
        raise Unsayable("an empty secret is none")
    return text(value)


def interface(value: str) -> str:
    """Take the name of an interface."""
    if not value.isprintable() or len(value.encode()) > 15 or value in {"", ".", ".."} or set(value) & set(" /:"):
        raise Unsayable("an interface has a name of 1 to 15 octets without space, `/` and `:`")
    return value


def bridge(value: str) -> str:
    """Take the name of an interface that is there, which is no pattern."""
    if "%" in value:
        raise Unsayable("a pattern names no bridge that is there")
    return interface(value)


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if "%" in value else ipaddress.ip_address(value)
    except ValueError:
        return None


def ipv4(value: str) -> str:
    """Take a numeric IPv4 address."""
    found = _address(value)
    if found is None or found.version != 4:
        raise Unsayable("a numeric IPv4 address is needed here")
    return str(found)


def router_id(value: str) -> str:
    """Take a Router ID, a number or what looks like an IPv4 address."""
    if "." in value:
        dotted = ipv4(value)
    else:
        identifier = number(value)
        dotted = ".".join(str(identifier >> shift & 255) for shift in (24, 16, 8, 0)) if identifier < 2**32 else ""
    if dotted in {"", "0.0.0.0"}:  # noqa: S104 - a number, not an address to bind
        raise Unsayable("only 1 to 4294967295 can be said here")
    return dotted


def host(value: str) -> str:
    """Take a numeric address."""
    found = _address(value)
    if found is None:
        raise Unsayable("a numeric address is needed here")
    return str(found)


def interface_address(value: str) -> str:
    """Take an address that an interface can have."""
    found = _address(value)
    if found is None or found.is_unspecified or found.is_multicast:
        raise Unsayable("a numeric address of an interface is needed here")
    return str(found)


def split_port(value: str) -> tuple[str, int]:
    """Take `HOST`, `HOST:PORT` or `[V6]:PORT` apart; a port that is not said is 0."""
    if value.startswith("["):
        inside, bracket, rest = value[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise Wrong(f"`{value}` is no address with a port")
        return inside, _port(rest[1:]) if rest else 0
    if value.count(":") > 1:
        return value, 0
    name, colon, port = value.partition(":")
    return name, _port(port) if colon else 0


def _port(value: str) -> int:
    if not _NUMBER.match(value) or not 1 <= int(value) <= 65535:
        raise Wrong(f"`{value}` is no port")
    return int(value)


def join_port(name: str, port: int) -> str:
    """Write a host with its port, which is left out where it is 0."""
    bracketed = f"[{name}]" if ":" in name else name
    return f"{bracketed}:{port}" if port else bracketed


def peer(value: str, port: int = 0) -> str:
    """Take where a peer is: an address or a DNS name, with a port or without; `port` is the one that holds then."""
    name, said = split_port(value)
    return join_port(_peer_host(name), said or port)


def _peer_host(name: str) -> str:
    found = _address(name)
    if found is not None:
        if found.is_unspecified or found.is_multicast:
            raise Wrong(f"`{name}` is no address of a single peer")
        return str(found)
    bare = name.removesuffix(".")
    numeric = bare.rpartition(".")[2].isdigit()
    if not bare.isascii() or numeric or len(bare) > 253 or not all(map(_LABEL.match, bare.split("."))):
        raise Wrong(f"`{name}` is neither an address nor a DNS name")
    return name


def version_of(name: str) -> int:
    """Tell the IP version of a host; 0 for a DNS name, which may have either."""
    found = _address(name)
    return 0 if found is None else found.version


def prefix(value: str) -> str:
    """Take an address, a prefix, or an address with a netmask; bits of the host are left out."""
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise Wrong(f"`{value}` is neither an address nor a prefix") from None


Span = tuple[int, int]
"""The first and the last of a range of IPv4 addresses, as numbers."""


def span(value: str) -> Span:
    """Take a range of IPv4 addresses: `A-B`, `A - B`, `10.0.0.2-254`, a single address, or a prefix, of which the first and last are left out."""
    first, dash, last = (part.strip() for part in value.partition("-"))
    if not dash:
        return _prefix_span(first)
    if last.isascii() and last.isdigit():
        last = f"{first.rpartition('.')[0]}.{last}"
    low, high = _address(first), _address(last)
    if low is None or high is None or low.version != 4 or high.version != 4:
        raise Unsayable("a range of numeric IPv4 addresses is needed here")
    if int(low) > int(high):
        raise Wrong(f"`{value}` ends before it begins")
    return int(low), int(high)


def area(value: str) -> Span:
    """Take the same for who may call: of a prefix, all addresses."""
    return span(value) if "/" not in value else _network(value)


def _network(value: str) -> Span:
    try:
        network = ipaddress.IPv4Network(value, strict=False)
    except ValueError:
        raise Unsayable("a range of numeric IPv4 addresses is needed here") from None
    return int(network.network_address), int(network.broadcast_address)


def _prefix_span(value: str) -> Span:
    low, high = _network(value)
    return (low + 1, high - 1) if high - low > 1 else (low, high)


def without(spans: Iterable[Span], hole: Span) -> list[Span]:
    """Take a range out of ranges."""
    kept = []
    for low, high in spans:
        kept += [(low, min(high, hole[0] - 1)), (max(low, hole[1] + 1), high)]
    return [(low, high) for low, high in dict.fromkeys(kept) if low <= high]


def ranges(spans: Iterable[Span]) -> str:
    """Write ranges as a pool has them."""
    ends = ((str(ipaddress.IPv4Address(low)), str(ipaddress.IPv4Address(high))) for low, high in spans)
    return ", ".join(f"{low}-{high}" for low, high in ends)


def prefixes(spans: Iterable[Span]) -> list[str]:
    """Write ranges as prefixes."""
    address = ipaddress.IPv4Address
    found = (ipaddress.summarize_address_range(address(low), address(high)) for low, high in spans)
    return [str(network) for networks in found for network in networks]


def words(known: Mapping[str, Iterable[str]]) -> Callable[[str], list[str]]:
    """Take a list of words, each as some of ours; a word that has none is passed over, and all of them have none is unsayable."""

    def convert(value: str) -> list[str]:
        said = [word.strip("\"'").lower() for word in re.split(r"[\s,|]+", value) if word.strip("\"'")]
        ours = list(dict.fromkeys(new for word in said for new in known.get(word, ())))
        if said and not ours:
            raise Unsayable("none of these words is known here")
        return ours

    return convert


def one_of(known: Mapping[str, Value]) -> Convert:
    """Take one word of theirs as a value of ours."""

    def convert(value: str) -> Value:
        try:
            return known[value.lower()]
        except KeyError:
            raise Unsayable(f"of such words only {', '.join(known)} can be said here") from None

    return convert
