"""The attributes of RADIUS: one row, one fact, both directions.

A row is a typed key: `USER_NAME.of(attributes)` is a tuple of `str`, `USER_NAME.put(attributes, "joe")` adds one. Attributes travel as a mapping from
number, or vendor and number, to the values in the order in which they came; what no row names stays in it as it came.

Of the tagged attributes (RFC 2868 3) those rows are here that describe our own tunnels; they are written without a tag, which is one tunnel.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

import attrs

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.radius.numbers import MICROSOFT
from l2tpd.wire.values import pack_text, unpack_text

T = TypeVar("T")

Key = int | tuple[int, int]
"""A number, or a vendor's and its."""

Attributes = Mapping[Key, tuple[bytes, ...]]
Draft = dict[Key, tuple[bytes, ...]]
"""Attributes of a packet that is being written."""

LARGEST: Final = 253  # octets of a value (RFC 2865 5)


@attrs.frozen
class Value(Generic[T]):
    """How a value is written and read; `unpack` raises `ValueError`."""

    pack: Callable[[T], bytes]
    unpack: Callable[[bytes], T]


@attrs.frozen
class Attribute(Generic[T]):
    """One row."""

    name: str
    key: Key
    value: Value[T]
    where: str

    def of(self, attributes: Attributes) -> tuple[T, ...]:
        """Return the values that stand there. Raises `Malformed`."""
        try:
            return tuple(self.value.unpack(octets) for octets in attributes.get(self.key, ()))
        except ValueError as error:
            raise Malformed(f"{self.name}: {error}") from None

    def first(self, attributes: Attributes, default: T) -> T:
        """Return the first value that stands there. Raises `Malformed`."""
        return next(iter(self.of(attributes)), default)

    def put(self, draft: Draft, *values: T) -> None:
        """Add values; of text, what does not fit is cut off. Raises `LocalProtocolError` on anything else that does not fit."""
        packed = tuple(self.value.pack(value) for value in values)
        largest = LARGEST if isinstance(self.key, int) else LARGEST - 6  # RFC 2865 5.26
        if any(len(octets) > largest for octets in packed):
            raise LocalProtocolError(f"{self.name} has no room for so much")
        draft[self.key] = (*draft.get(self.key, ()), *packed)


def _sized(size: int, octets: bytes) -> bytes:
    if len(octets) != size:
        raise ValueError(f"has {len(octets)} octets instead of {size}")
    return octets


def _number(size: int) -> Value[int]:
    return Value(
        pack=lambda number: (number & (1 << 8 * size) - 1).to_bytes(size, "big"),
        unpack=lambda octets: int.from_bytes(_sized(size, octets), "big"),
    )


def _as_text(octets: bytes) -> str:
    return unpack_text(octets.removesuffix(b"\0"))  # RFC 2865 5: "MUST NOT" be there, and with some servers is


def _prefix(octets: bytes) -> str:
    """Read a prefix of IPv6: a reserved octet, a length, and as many octets as that takes or more (RFC 3162 2.3)."""
    if not 2 <= len(octets) <= 18 or octets[1] > 128 or len(octets) - 2 < (octets[1] + 7) // 8:
        raise ValueError("is no prefix")
    return str(ipaddress.IPv6Network((octets[2:].ljust(16, b"\0"), octets[1]), strict=False))


def _packed_prefix(text: str) -> bytes:
    network = ipaddress.IPv6Network(text)
    return bytes((0, network.prefixlen)) + network.network_address.packed[: (network.prefixlen + 7) // 8]


OCTETS: Final = Value[bytes](pack=bytes, unpack=bytes)
TEXT: Final = Value[str](pack=lambda text: pack_text(text)[:LARGEST], unpack=_as_text)
U32: Final = _number(4)
TAGGED: Final = _number(3)  # behind an octet of tag (RFC 2868 3.1)
TAGGED_U32: Final = Value[int](
    pack=lambda number: b"\0" + TAGGED.pack(number), unpack=lambda octets: TAGGED.unpack(_sized(4, octets)[1:])
)
IPV4: Final = Value[str](
    pack=lambda text: ipaddress.IPv4Address(text).packed,
    unpack=lambda octets: str(ipaddress.IPv4Address(_sized(4, octets))),
)
IPV6: Final = Value[str](
    pack=lambda text: ipaddress.IPv6Address(text).packed,
    unpack=lambda octets: str(ipaddress.IPv6Address(_sized(16, octets))),
)
PREFIX6: Final = Value[str](pack=_packed_prefix, unpack=_prefix)
IFID: Final = Value[bytes](pack=lambda octets: _sized(8, octets), unpack=lambda octets: _sized(8, octets))


def _microsoft(number: int) -> tuple[int, int]:
    return MICROSOFT, number


# fmt: off
USER_NAME                = Attribute("User-Name",                  1, TEXT,    "RFC 2865 5.1")
USER_PASSWORD            = Attribute("User-Password",              2, OCTETS,  "RFC 2865 5.2")
CHAP_PASSWORD            = Attribute("CHAP-Password",              3, OCTETS,  "RFC 2865 5.3")
NAS_IP_ADDRESS           = Attribute("NAS-IP-Address",             4, IPV4,    "RFC 2865 5.4")
NAS_PORT                 = Attribute("NAS-Port",                   5, U32,     "RFC 2865 5.5")
SERVICE_TYPE             = Attribute("Service-Type",               6, U32,     "RFC 2865 5.6")
FRAMED_PROTOCOL          = Attribute("Framed-Protocol",            7, U32,     "RFC 2865 5.7")
FRAMED_IP_ADDRESS        = Attribute("Framed-IP-Address",          8, IPV4,    "RFC 2865 5.8")
FRAMED_IP_NETMASK        = Attribute("Framed-IP-Netmask",          9, IPV4,    "RFC 2865 5.9")
FILTER_ID                = Attribute("Filter-Id",                 11, TEXT,    "RFC 2865 5.11")
FRAMED_MTU               = Attribute("Framed-MTU",                12, U32,     "RFC 2865 5.12")
REPLY_MESSAGE            = Attribute("Reply-Message",             18, TEXT,    "RFC 2865 5.18")
FRAMED_ROUTE             = Attribute("Framed-Route",              22, TEXT,    "RFC 2865 5.22")
STATE                    = Attribute("State",                     24, OCTETS,  "RFC 2865 5.24")
CLASS                    = Attribute("Class",                     25, OCTETS,  "RFC 2865 5.25")
SESSION_TIMEOUT          = Attribute("Session-Timeout",           27, U32,     "RFC 2865 5.27")
IDLE_TIMEOUT             = Attribute("Idle-Timeout",              28, U32,     "RFC 2865 5.28")
CALLED_STATION_ID        = Attribute("Called-Station-Id",         30, TEXT,    "RFC 2865 5.30")
CALLING_STATION_ID       = Attribute("Calling-Station-Id",        31, TEXT,    "RFC 2865 5.31")
NAS_IDENTIFIER           = Attribute("NAS-Identifier",            32, TEXT,    "RFC 2865 5.32")
PROXY_STATE              = Attribute("Proxy-State",               33, OCTETS,  "RFC 2865 5.33")
ACCT_STATUS_TYPE         = Attribute("Acct-Status-Type",          40, U32,     "RFC 2866 5.1")
ACCT_DELAY_TIME          = Attribute("Acct-Delay-Time",           41, U32,     "RFC 2866 5.2")
ACCT_INPUT_OCTETS        = Attribute("Acct-Input-Octets",         42, U32,     "RFC 2866 5.3")
ACCT_OUTPUT_OCTETS       = Attribute("Acct-Output-Octets",        43, U32,     "RFC 2866 5.4")
ACCT_SESSION_ID          = Attribute("Acct-Session-Id",           44, TEXT,    "RFC 2866 5.5")
ACCT_AUTHENTIC           = Attribute("Acct-Authentic",            45, U32,     "RFC 2866 5.6")
ACCT_SESSION_TIME        = Attribute("Acct-Session-Time",         46, U32,     "RFC 2866 5.7")
ACCT_INPUT_PACKETS       = Attribute("Acct-Input-Packets",        47, U32,     "RFC 2866 5.8")
ACCT_OUTPUT_PACKETS      = Attribute("Acct-Output-Packets",       48, U32,     "RFC 2866 5.9")
ACCT_TERMINATE_CAUSE     = Attribute("Acct-Terminate-Cause",      49, U32,     "RFC 2866 5.10")
ACCT_MULTI_SESSION_ID    = Attribute("Acct-Multi-Session-Id",     50, TEXT,    "RFC 2866 5.11")
ACCT_INPUT_GIGAWORDS     = Attribute("Acct-Input-Gigawords",      52, U32,     "RFC 2869 5.1")
ACCT_OUTPUT_GIGAWORDS    = Attribute("Acct-Output-Gigawords",     53, U32,     "RFC 2869 5.2")
EVENT_TIMESTAMP          = Attribute("Event-Timestamp",           55, U32,     "RFC 2869 5.3")
CHAP_CHALLENGE           = Attribute("CHAP-Challenge",            60, OCTETS,  "RFC 2865 5.40")
NAS_PORT_TYPE            = Attribute("NAS-Port-Type",             61, U32,     "RFC 2865 5.41")
PORT_LIMIT               = Attribute("Port-Limit",                62, U32,     "RFC 2865 5.42")
TUNNEL_TYPE              = Attribute("Tunnel-Type",               64, TAGGED_U32, "RFC 2868 3.1")
TUNNEL_MEDIUM_TYPE       = Attribute("Tunnel-Medium-Type",        65, TAGGED_U32, "RFC 2868 3.2")
TUNNEL_CLIENT_ENDPOINT   = Attribute("Tunnel-Client-Endpoint",    66, TEXT,    "RFC 2868 3.3")
TUNNEL_SERVER_ENDPOINT   = Attribute("Tunnel-Server-Endpoint",    67, TEXT,    "RFC 2868 3.4")
ACCT_TUNNEL_CONNECTION   = Attribute("Acct-Tunnel-Connection",    68, TEXT,    "RFC 2867 4.1")
CONNECT_INFO             = Attribute("Connect-Info",              77, TEXT,    "RFC 2869 5.11")
MESSAGE_AUTHENTICATOR    = Attribute("Message-Authenticator",     80, OCTETS,  "RFC 2869 5.14")
ACCT_INTERIM_INTERVAL    = Attribute("Acct-Interim-Interval",     85, U32,     "RFC 2869 5.16")
NAS_PORT_ID              = Attribute("NAS-Port-Id",               87, TEXT,    "RFC 2869 5.17")
FRAMED_POOL              = Attribute("Framed-Pool",               88, TEXT,    "RFC 2869 5.18")
NAS_IPV6_ADDRESS         = Attribute("NAS-IPv6-Address",          95, IPV6,    "RFC 3162 2.1")
FRAMED_INTERFACE_ID      = Attribute("Framed-Interface-Id",       96, IFID,    "RFC 3162 2.2")
FRAMED_IPV6_PREFIX       = Attribute("Framed-IPv6-Prefix",        97, PREFIX6, "RFC 3162 2.3")
FRAMED_IPV6_ROUTE        = Attribute("Framed-IPv6-Route",         99, TEXT,    "RFC 3162 2.5")
FRAMED_IPV6_POOL         = Attribute("Framed-IPv6-Pool",         100, TEXT,    "RFC 3162 2.6")
ERROR_CAUSE              = Attribute("Error-Cause",              101, U32,     "RFC 5176 3.5")
DELEGATED_IPV6_PREFIX    = Attribute("Delegated-IPv6-Prefix",    123, PREFIX6, "RFC 4818 3")
FRAMED_IPV6_ADDRESS      = Attribute("Framed-IPv6-Address",      168, IPV6,    "RFC 6911 3.1")
DNS_IPV6_ADDRESS         = Attribute("DNS-Server-IPv6-Address",  169, IPV6,    "RFC 6911 3.2")
ROUTE_IPV6_INFORMATION   = Attribute("Route-IPv6-Information",   170, PREFIX6, "RFC 6911 3.3")
DELEGATED_IPV6_POOL      = Attribute("Delegated-IPv6-Prefix-Pool", 171, TEXT,  "RFC 6911 3.4")
STATEFUL_IPV6_POOL       = Attribute("Stateful-IPv6-Address-Pool", 172, TEXT,  "RFC 6911 3.5")
MS_CHAP_ERROR            = Attribute("MS-CHAP-Error",            _microsoft(2), OCTETS, "RFC 2548 2.1.5")
MS_MPPE_POLICY           = Attribute("MS-MPPE-Encryption-Policy", _microsoft(7), U32,   "RFC 2548 2.4.4")
MS_MPPE_TYPES            = Attribute("MS-MPPE-Encryption-Types", _microsoft(8), U32,    "RFC 2548 2.4.5")
MS_CHAP_CHALLENGE        = Attribute("MS-CHAP-Challenge",        _microsoft(11), OCTETS, "RFC 2548 2.1.2")
MS_MPPE_SEND_KEY         = Attribute("MS-MPPE-Send-Key",         _microsoft(16), OCTETS, "RFC 2548 2.4.2")
MS_MPPE_RECV_KEY         = Attribute("MS-MPPE-Recv-Key",         _microsoft(17), OCTETS, "RFC 2548 2.4.3")
MS_CHAP2_RESPONSE        = Attribute("MS-CHAP2-Response",        _microsoft(25), OCTETS, "RFC 2548 2.3.2")
MS_CHAP2_SUCCESS         = Attribute("MS-CHAP2-Success",         _microsoft(26), OCTETS, "RFC 2548 2.3.3")
MS_PRIMARY_DNS           = Attribute("MS-Primary-DNS-Server",    _microsoft(28), IPV4,  "RFC 2548 2.7.1")
MS_SECONDARY_DNS         = Attribute("MS-Secondary-DNS-Server",  _microsoft(29), IPV4,  "RFC 2548 2.7.2")
MS_PRIMARY_NBNS          = Attribute("MS-Primary-NBNS-Server",   _microsoft(30), IPV4,  "RFC 2548 2.7.3")
MS_SECONDARY_NBNS        = Attribute("MS-Secondary-NBNS-Server", _microsoft(31), IPV4,  "RFC 2548 2.7.4")
# fmt: on

NAMES: Final[Mapping[Key, str]] = {row.key: row.name for row in tuple(globals().values()) if isinstance(row, Attribute)}
"""What the attributes of the table are called."""
