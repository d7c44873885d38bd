"""Single values of the configuration: exact types without coercion, and the grammars of addresses, prefixes, ranges, names and modes.

Every function takes what a file or a request said and returns the value in its one canonical form, or raises `ValueError` with a text that
completes the sentence `FILE: key.path: …`. Nothing is guessed: `"60"` is no number, `1` is no boolean.
"""

from __future__ import annotations

import difflib
import functools
import ipaddress
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from l2tpd.config.model import Address, HostPort
from l2tpd.wire.values import pack_text, unpack_text

L2TP_PORT: Final = 1701  # RFC 2661 8.1
_SHOWN = 60  # longest excerpt of a wrong value in a message
_COMPARED = 200  # most words that a misspelt one is compared with

_IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})*\Z")
_OCTAL = re.compile(r"0?[0-7]{3}\Z")


class ElementError(ValueError):
    """Several mistakes in one value; `found` holds pairs of where (such as `[2]`) and what."""

    def __init__(self, *found: tuple[str, str]) -> None:
        super().__init__("; ".join(text for _, text in found))
        self.found = found


def quoted(value: str) -> str:
    """Render a string of the operator's in a message, cut to a readable length."""
    shown = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    return f"`{shown}`" if shown.isprintable() else f"`{shown.encode('unicode_escape').decode()}`"


def described(value: object) -> str:
    """Say in TOML's words what a value is."""
    if isinstance(value, bool):
        return f"the boolean `{str(value).lower()}`"
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, int):
        return f"the integer {value}" if value.bit_length() <= 2 * _SHOWN else "a huge integer"
    if isinstance(value, float):
        return f"the float {value}"
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return "an array"
    return "a table" if isinstance(value, dict) else "a date or time"


def mismatch(expected: str, value: object) -> ValueError:
    """Make the error of a value that is not of the expected type."""
    return ValueError(f"must be {expected}, not {described(value)}")


def suggestion(word: str, known: Iterable[str]) -> str:
    """Say "; did you mean `x`?" when a known word looks like this one, else nothing."""
    return _suggestion(word, tuple(known)) if len(word) <= _SHOWN else ""


@functools.lru_cache(maxsize=256)  # the same slip in 65,000 tables costs one comparison, not a minute
def _suggestion(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1) if len(known) <= _COMPARED else []
    return f"; did you mean `{close[0]}`?" if close else ""


def listed(words: Iterable[str]) -> str:
    """Render words as a list: "`a`, `b`"."""
    return ", ".join(f"`{word}`" for word in words)


def exact_bool(value: object, _type: object = None) -> bool:
    """Accept a boolean and nothing that only looks like one."""
    if not isinstance(value, bool):
        raise mismatch("`true` or `false`", value)
    return value


def exact_int(value: object, _type: object = None) -> int:
    """Accept an integer; a boolean, a float or a string of digits is refused."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise mismatch("an integer", value)
    return value


def exact_float(value: object, _type: object = None) -> float:
    """Accept a finite float or an integer."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise mismatch("a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise mismatch("a finite number", value)
    return number


def exact_str(value: object, _type: object = None) -> str:
    """Accept a string that can be written as UTF-8 and that holds no NUL."""
    if not isinstance(value, str):
        raise mismatch("a string", value)
    if "\0" in value:
        raise ValueError("must not hold a NUL")
    if not value.isascii():
        _encodable(value)
    return value


def _encodable(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode: it holds half of a surrogate pair") from None


def octets(value: object, _type: object = None) -> bytes:
    """Accept octets as a string of hexadecimal digits, two an octet, with or without `0x`; the value is not repeated in a message."""
    digits = exact_str(value).removeprefix("0x")
    if not _HEXADECIMAL.match(digits):
        raise ValueError("must consist of hexadecimal digits, two an octet, without separators")
    return bytes.fromhex(digits)


def end_id(text: str) -> str:
    """Accept an identifier of any octets, as text or as `0x` and hexadecimal digits; return what the wire's text would be."""
    if not text.startswith("0x"):
        return text
    if text == "0x":
        raise ValueError("`0x` is followed by no digits")
    return unpack_text(octets(text))


def end_id_as_said(identifier: str) -> str:
    """Return what says an identifier: itself, or its octets as `0x` and digits where it cannot be printed or would be taken for such."""
    plain = identifier.isprintable() and not identifier.startswith("0x")
    return identifier if plain else f"0x{pack_text(identifier).hex()}"


def path(value: object, _type: object = None) -> Path:
    """Accept a string that names a file."""
    text = exact_str(value)
    if not text:
        raise ValueError("must name a file")
    return Path(text)


def file_mode(value: object) -> int:
    """Accept the access mode of a socket: the string "0660" or the octal integer 0o660, without execute bits."""
    if isinstance(value, str) and _OCTAL.match(value):
        mode = int(value, 8)
    elif isinstance(value, int) and not isinstance(value, bool):
        mode = value
    else:
        raise ValueError(f'must be an access mode such as "0660" or 0o660, not {described(value)}')
    if mode & ~0o666 or mode & 0o600 != 0o600:
        raise ValueError(
            f'must let the owner read and write and nobody execute, such as "0660" or 0o660, not {described(value)}'
        )
    return mode


def ip(text: str) -> _IpAddress:
    """Parse a numeric IPv4 or IPv6 address without a zone."""
    if "%" in text:
        raise ValueError(f"{quoted(text)}: an interface name inside an address is not supported")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not an IPv4 or IPv6 address") from None


def numeric_host(text: str) -> str:
    """Accept a numeric address and return its canonical text."""
    return str(ip(text))


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"{quoted(text)} is not a port from 1 to 65535")
    return int(text)


def _host_and_port(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or ":" not in host:
            raise ValueError(f"{quoted(text)} is not of the form `[2001:db8::1]:1701`")
        return numeric_host(host), _port(rest[1:]) if rest else 0
    if text.count(":") > 1:
        # Without brackets, nobody can tell whether the last group of `2001:db8::1:1701` is the port.
        raise ValueError(f"{quoted(text)}: an IPv6 address needs brackets, such as `[2001:db8::1]:1701`")
    host, colon, port = text.partition(":")
    return host, _port(port) if colon else 0


def address(value: object, _type: object = None) -> Address:
    """Parse `192.0.2.1:1701`, `[2001:db8::1]:1701` or either without the port, which then is 0."""
    host, port = _host_and_port(exact_str(value))
    return Address(numeric_host(host), port)


def host_port(value: object, _type: object = None) -> HostPort:
    """Parse where a peer is: as `address`, or with a DNS name in place of the address; a port that is not said is 0."""
    text = exact_str(value)
    host, port = _host_and_port(text)
    if ":" not in host and not _looks_numeric(host):
        return HostPort(dns_name(host), port)
    found = ip(host)
    if found.is_unspecified or found.is_multicast:
        raise ValueError(f"{quoted(text)} is no address of a single peer")
    return HostPort(str(found), port)


def _looks_numeric(host: str) -> bool:
    return host.rstrip(".").rpartition(".")[2].isdigit()


def dns_name(text: str) -> str:
    """Accept what can be a DNS name (RFC 1035 2.3.4, underscores allowed); it is not looked up."""
    bare = text.removesuffix(".")
    if not bare.isascii():
        raise ValueError(f"{quoted(text)}: write a name outside ASCII in its `xn--` form")
    if len(bare) > 253 or not all(_LABEL.match(label) for label in bare.split(".")):
        raise ValueError(f"{quoted(text)} is neither an address nor a DNS name")
    return text


def interface_address(text: str) -> str:
    """Accept the address of an interface, `192.0.2.1/24`, `2001:db8::1/64` or without a length; return it in its canonical text."""
    host, slash, length = text.partition("/")
    found = ip(host)
    if found.is_unspecified or found.is_multicast:
        raise ValueError(f"{quoted(text)} is no address of an interface")
    if not slash:
        return str(found)
    if not (length.isascii() and length.isdigit() and len(length) <= 3 and int(length) <= found.max_prefixlen):
        raise ValueError(f"{quoted(text)} has no prefix length from 0 to {found.max_prefixlen}")
    return f"{found}/{int(length)}"


def prefix(text: str) -> str:
    """Accept `203.0.113.0/24`, `2001:db8::/32` or a single address, and return it as a prefix."""
    if "%" in text:
        raise ValueError(f"{quoted(text)}: an interface name inside an address is not supported")
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not an address or a prefix such as `203.0.113.0/24`") from None
    single = text.partition("/")[0]
    raise ValueError(
        f"{quoted(text)} has bits set beyond its prefix length: is `{meant}` meant, or the one address `{single}`?"
    )


def address_range(text: str) -> str:
    """Accept `10.0.0.2-10.0.255.254` or a prefix."""
    first, dash, last = text.partition("-")
    if not dash:
        return prefix(text)
    low, high = ip(first.strip()), ip(last.strip())
    if low.version != high.version:
        raise ValueError(f"{quoted(text)} mixes IPv4 and IPv6")
    if int(low) > int(high):
        raise ValueError(f"{quoted(text)} ends before it begins")
    return f"{low}-{high}"


def instance_name(text: str) -> str:
    """Accept the name of a table: 1 to 128 printable characters, none of them a space or a quote; `@` opens an ID, so it may not open a name."""
    if not 1 <= len(text) <= 128:
        raise ValueError("a name has 1 to 128 characters")
    if text[0] in "@-":
        raise ValueError(f"a name may not begin with `{text[0]}`")
    if not text.isprintable() or " " in text or '"' in text:
        raise ValueError("a name consists of printable characters without spaces and quotes")
    return text


def user_name(text: str) -> str:
    """Accept the name of a user, which other people have chosen: 1 to 255 octets, as PAP can carry them (RFC 1334 2.2.1)."""
    if not 1 <= len(pack_text(text)) <= 255:
        raise ValueError("the name of a user has 1 to 255 octets")
    return text
