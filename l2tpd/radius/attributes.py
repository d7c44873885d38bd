"""The attributes of RADIUS: one row, one fact, both directions.

A row is a typed key: `USER_NAME.of(attributes)` is a tuple of `str`, `USER_NAME.put(attributes, "joe")` adds one. Attributes travel as a mapping from
number, or vendor and number, to the values in the order in which they came; what no row names stays in it as it came.

Of the tagged attributes (RFC 2868 3) those rows are here that describe our own tunnels; they are written without a tag, which is one tunnel.

Each row says where the attribute has its use with us, in letters of `USES`, as the tables of attributes at the end of the RFCs do. What of those RFCs has none
stands in `ignored`, with the reason.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

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
_LAST_TAG: Final = b"\x1f"  # RFC 2868 3.3: what is greater is no tag, but begins the text

USES: Final[Mapping[str, str]] = {
    "q": "sent in an Access-Request",
    "a": "taken from an Access-Accept",
    "r": "taken from an Access-Reject",
    "b": "sent in an Accounting-Request",
    "d": "in a Disconnect-Request or CoA-Request: says which sessions are meant, or who we are",
    "c": "in a CoA-Request: what shall hold from now on",
    "i": "in either of them: allowed, and of no meaning for what is asked",
    "n": "sent in the answer to either of them",
}
"""Where an attribute may have its use."""


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
    use: str  # letters of `USES`

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


def _packed_tagged(text: str) -> bytes:
    """Write a text that may have a tag before it: one that would pass for a tag itself gets one (RFC 2868 3.3)."""
    octets = TEXT.pack(text)
    return b"\0" + octets[: LARGEST - 1] if octets[:1] <= _LAST_TAG else octets


def _untagged(octets: bytes) -> bytes:
    return octets[1:] if octets[:1] <= _LAST_TAG else octets


OCTETS: Final = Value[bytes](pack=bytes, unpack=bytes)
TEXT: Final = Value[str](pack=lambda text: pack_text(text)[:LARGEST], unpack=_as_text)
U32: Final = _number(4)
TAGGED: Final = _number(3)  # behind an octet of tag (RFC 2868 3.1)
TAGGED_U32: Final = Value[int](
    pack=lambda number: b"\0" + TAGGED.pack(number), unpack=lambda octets: TAGGED.unpack(_sized(4, octets)[1:])
)
TAGGED_TEXT: Final = Value[str](pack=_packed_tagged, unpack=lambda octets: _as_text(_untagged(octets)))
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
USER_NAME                = Attribute("User-Name",                  1,              TEXT,        "RFC 2865 5.1",    "qbd")
USER_PASSWORD            = Attribute("User-Password",              2,              OCTETS,      "RFC 2865 5.2",    "q")
CHAP_PASSWORD            = Attribute("CHAP-Password",              3,              OCTETS,      "RFC 2865 5.3",    "q")
NAS_IP_ADDRESS           = Attribute("NAS-IP-Address",             4,              IPV4,        "RFC 2865 5.4",    "qbd")
NAS_PORT                 = Attribute("NAS-Port",                   5,              U32,         "RFC 2865 5.5",    "qbd")
SERVICE_TYPE             = Attribute("Service-Type",               6,              U32,         "RFC 2865 5.6",    "qab")
FRAMED_PROTOCOL          = Attribute("Framed-Protocol",            7,              U32,         "RFC 2865 5.7",    "qab")
FRAMED_IP_ADDRESS        = Attribute("Framed-IP-Address",          8,              IPV4,        "RFC 2865 5.8",    "abd")
FRAMED_MTU               = Attribute("Framed-MTU",                 12,             U32,         "RFC 2865 5.12",   "a")
REPLY_MESSAGE            = Attribute("Reply-Message",              18,             TEXT,        "RFC 2865 5.18",   "ari")
FRAMED_ROUTE             = Attribute("Framed-Route",               22,             TEXT,        "RFC 2865 5.22",   "a")
STATE                    = Attribute("State",                      24,             OCTETS,      "RFC 2865 5.24",   "i")
CLASS                    = Attribute("Class",                      25,             OCTETS,      "RFC 2865 5.25",   "abi")
SESSION_TIMEOUT          = Attribute("Session-Timeout",            27,             U32,         "RFC 2865 5.27",   "ac")
IDLE_TIMEOUT             = Attribute("Idle-Timeout",               28,             U32,         "RFC 2865 5.28",   "ac")
CALLED_STATION_ID        = Attribute("Called-Station-Id",          30,             TEXT,        "RFC 2865 5.30",   "qbd")
CALLING_STATION_ID       = Attribute("Calling-Station-Id",         31,             TEXT,        "RFC 2865 5.31",   "qbd")
NAS_IDENTIFIER           = Attribute("NAS-Identifier",             32,             TEXT,        "RFC 2865 5.32",   "qbd")
PROXY_STATE              = Attribute("Proxy-State",                33,             OCTETS,      "RFC 2865 5.33",   "in")
ACCT_STATUS_TYPE         = Attribute("Acct-Status-Type",           40,             U32,         "RFC 2866 5.1",    "b")
ACCT_DELAY_TIME          = Attribute("Acct-Delay-Time",            41,             U32,         "RFC 2866 5.2",    "b")
ACCT_INPUT_OCTETS        = Attribute("Acct-Input-Octets",          42,             U32,         "RFC 2866 5.3",    "b")
ACCT_OUTPUT_OCTETS       = Attribute("Acct-Output-Octets",         43,             U32,         "RFC 2866 5.4",    "b")
ACCT_SESSION_ID          = Attribute("Acct-Session-Id",            44,             TEXT,        "RFC 2866 5.5",    "bd")
ACCT_AUTHENTIC           = Attribute("Acct-Authentic",             45,             U32,         "RFC 2866 5.6",    "b")
ACCT_SESSION_TIME        = Attribute("Acct-Session-Time",          46,             U32,         "RFC 2866 5.7",    "b")
ACCT_INPUT_PACKETS       = Attribute("Acct-Input-Packets",         47,             U32,         "RFC 2866 5.8",    "b")
ACCT_OUTPUT_PACKETS      = Attribute("Acct-Output-Packets",        48,             U32,         "RFC 2866 5.9",    "b")
ACCT_TERMINATE_CAUSE     = Attribute("Acct-Terminate-Cause",       49,             U32,         "RFC 2866 5.10",   "bi")
ACCT_INPUT_GIGAWORDS     = Attribute("Acct-Input-Gigawords",       52,             U32,         "RFC 2869 5.1",    "b")
ACCT_OUTPUT_GIGAWORDS    = Attribute("Acct-Output-Gigawords",      53,             U32,         "RFC 2869 5.2",    "b")
EVENT_TIMESTAMP          = Attribute("Event-Timestamp",            55,             U32,         "RFC 2869 5.3",    "bin")
CHAP_CHALLENGE           = Attribute("CHAP-Challenge",             60,             OCTETS,      "RFC 2865 5.40",   "q")
NAS_PORT_TYPE            = Attribute("NAS-Port-Type",              61,             U32,         "RFC 2865 5.41",   "qb")
PORT_LIMIT               = Attribute("Port-Limit",                 62,             U32,         "RFC 2865 5.42",   "a")
TUNNEL_TYPE              = Attribute("Tunnel-Type",                64,             TAGGED_U32,  "RFC 2868 3.1",    "qb")
TUNNEL_MEDIUM_TYPE       = Attribute("Tunnel-Medium-Type",         65,             TAGGED_U32,  "RFC 2868 3.2",    "qb")
TUNNEL_CLIENT_ENDPOINT   = Attribute("Tunnel-Client-Endpoint",     66,             TAGGED_TEXT, "RFC 2868 3.3",    "qb")
TUNNEL_SERVER_ENDPOINT   = Attribute("Tunnel-Server-Endpoint",     67,             TAGGED_TEXT, "RFC 2868 3.4",    "qb")
ACCT_TUNNEL_CONNECTION   = Attribute("Acct-Tunnel-Connection",     68,             TEXT,        "RFC 2867 4.1",    "qb")
CONNECT_INFO             = Attribute("Connect-Info",               77,             TEXT,        "RFC 2869 5.11",   "qb")
MESSAGE_AUTHENTICATOR    = Attribute("Message-Authenticator",      80,             OCTETS,      "RFC 2869 5.14",   "qarin")
TUNNEL_ASSIGNMENT_ID     = Attribute("Tunnel-Assignment-ID",       82,             TAGGED_TEXT, "RFC 2868 3.7",    "qb")
ACCT_INTERIM_INTERVAL    = Attribute("Acct-Interim-Interval",      85,             U32,         "RFC 2869 5.16",   "ac")
NAS_PORT_ID              = Attribute("NAS-Port-Id",                87,             TEXT,        "RFC 2869 5.17",   "qbd")
FRAMED_POOL              = Attribute("Framed-Pool",                88,             TEXT,        "RFC 2869 5.18",   "a")
TUNNEL_CLIENT_AUTH_ID    = Attribute("Tunnel-Client-Auth-ID",      90,             TAGGED_TEXT, "RFC 2868 3.9",    "qb")
TUNNEL_SERVER_AUTH_ID    = Attribute("Tunnel-Server-Auth-ID",      91,             TAGGED_TEXT, "RFC 2868 3.10",   "qb")
NAS_IPV6_ADDRESS         = Attribute("NAS-IPv6-Address",           95,             IPV6,        "RFC 3162 2.1",    "qbd")
FRAMED_INTERFACE_ID      = Attribute("Framed-Interface-Id",        96,             IFID,        "RFC 3162 2.2",    "abd")
FRAMED_IPV6_PREFIX       = Attribute("Framed-IPv6-Prefix",         97,             PREFIX6,     "RFC 3162 2.3",    "abd")
FRAMED_IPV6_ROUTE        = Attribute("Framed-IPv6-Route",          99,             TEXT,        "RFC 3162 2.5",    "a")
FRAMED_IPV6_POOL         = Attribute("Framed-IPv6-Pool",           100,            TEXT,        "RFC 3162 2.6",    "a")
ERROR_CAUSE              = Attribute("Error-Cause",                101,            U32,         "RFC 5176 3.5",    "n")
DELEGATED_IPV6_PREFIX    = Attribute("Delegated-IPv6-Prefix",      123,            PREFIX6,     "RFC 4818 3",      "ab")
FRAMED_IPV6_ADDRESS      = Attribute("Framed-IPv6-Address",        168,            IPV6,        "RFC 6911 3.1",    "ab")
DNS_IPV6_ADDRESS         = Attribute("DNS-Server-IPv6-Address",    169,            IPV6,        "RFC 6911 3.2",    "a")
ROUTE_IPV6_INFORMATION   = Attribute("Route-IPv6-Information",     170,            PREFIX6,     "RFC 6911 3.3",    "")
DELEGATED_IPV6_POOL      = Attribute("Delegated-IPv6-Prefix-Pool", 171,            TEXT,        "RFC 6911 3.4",    "a")
STATEFUL_IPV6_POOL       = Attribute("Stateful-IPv6-Address-Pool", 172,            TEXT,        "RFC 6911 3.5",    "")
MS_CHAP_ERROR            = Attribute("MS-CHAP-Error",              _microsoft(2),  OCTETS,      "RFC 2548 2.1.5",  "r")
MS_MPPE_POLICY           = Attribute("MS-MPPE-Encryption-Policy",  _microsoft(7),  U32,         "RFC 2548 2.4.4",  "a")
MS_MPPE_TYPES            = Attribute("MS-MPPE-Encryption-Types",   _microsoft(8),  U32,         "RFC 2548 2.4.5",  "a")
MS_CHAP_CHALLENGE        = Attribute("MS-CHAP-Challenge",          _microsoft(11), OCTETS,      "RFC 2548 2.1.2",  "q")
MS_MPPE_SEND_KEY         = Attribute("MS-MPPE-Send-Key",           _microsoft(16), OCTETS,      "RFC 2548 2.4.2",  "a")
MS_MPPE_RECV_KEY         = Attribute("MS-MPPE-Recv-Key",           _microsoft(17), OCTETS,      "RFC 2548 2.4.3",  "a")
MS_CHAP2_RESPONSE        = Attribute("MS-CHAP2-Response",          _microsoft(25), OCTETS,      "RFC 2548 2.3.2",  "q")
MS_CHAP2_SUCCESS         = Attribute("MS-CHAP2-Success",           _microsoft(26), OCTETS,      "RFC 2548 2.3.3",  "a")
MS_PRIMARY_DNS           = Attribute("MS-Primary-DNS-Server",      _microsoft(28), IPV4,        "RFC 2548 2.7.6",  "a")
MS_SECONDARY_DNS         = Attribute("MS-Secondary-DNS-Server",    _microsoft(29), IPV4,        "RFC 2548 2.7.7",  "a")
MS_PRIMARY_NBNS          = Attribute("MS-Primary-NBNS-Server",     _microsoft(30), IPV4,        "RFC 2548 2.7.8",  "a")
MS_SECONDARY_NBNS        = Attribute("MS-Secondary-NBNS-Server",   _microsoft(31), IPV4,        "RFC 2548 2.7.9",  "a")
# fmt: on

ROWS: Final[tuple[Attribute[Any], ...]] = tuple(row for row in globals().values() if isinstance(row, Attribute))
"""The table."""


def used(use: str) -> frozenset[Key]:
    """Return the attributes that have this use, a letter of `USES`."""
    return frozenset(row.key for row in ROWS if use in row.use)
