"""The AVP table: one typed row an attribute (RFC 2661 4.1 and 4.4, RFC 3931 5.1 and 5.4, RFC 3145, RFC 5515).

A row is a key: `message[HOST_NAME]` is a `str`, and the row is the only place that knows how it is laid out, whether
the M bit is sent and whether the value may be hidden. Rows are compared by identity. Attributes without a row travel
as `RawAvp`. An attribute that both versions of the protocol have is one row, named as in RFC 2661.

The failover attributes 76 to 79 (RFC 4951) have no row on purpose: whoever asks to recover a tunnel sets the M bit on
its Tunnel Recovery, to be refused by those that cannot.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import attrs

from l2tpd.errors import LocalProtocolError
from l2tpd.wire.numbers import BROADBAND_FORUM
from l2tpd.wire.values import (
    AccmValue,
    CallErrors,
    ConnectSpeed,
    DisconnectCause,
    ExtendedAvp,
    MessageDigest,
    ProtocolVersion,
    Q931Cause,
    ResultCode,
    pack_cookie,
    pack_pseudowires,
    pack_text,
    unpack_cookie,
    unpack_pseudowires,
    unpack_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MANDATORY: Final = 0x8000
HIDDEN: Final = 0x4000
RESERVED: Final = 0x3C00
LENGTH: Final = 0x03FF

HEADER: Final = struct.Struct("!HI")
"""Flags with length, then vendor and attribute as one number: the key of the table."""

HEADER_SIZE: Final = 6
MAX_VALUE: Final = LENGTH - HEADER_SIZE


@attrs.frozen(eq=False)
class Codec(Generic[T]):
    """A layout; `decode` gets octets within the bounds and raises `ValueError` on a value out of range."""

    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]
    minimum: int
    maximum: int


@attrs.frozen(eq=False, repr=False)
class Avp(Generic[T]):
    """A row of the table: an attribute and the type of its value; `minimum` and `maximum` count octets before hiding.

    `mandatory` is the M bit that we send in version 2, `mandatory3` the one in version 3; where the
    version does not define the attribute it is clear, so that a peer may ignore it (RFC 3931 4.7.3). `sensitive` values
    are never shown unless asked for. An attribute that `repeats` has a tuple of one-element values, one for each AVP of
    the message.
    """

    number: int
    name: str
    decode: Callable[[bytes], T]
    encode: Callable[[T], bytes]
    minimum: int
    maximum: int
    mandatory: bool
    mandatory3: bool
    hideable: bool
    where: str
    vendor: int = 0
    sensitive: bool = False
    repeats: bool = False
    key: int = attrs.field(init=False)
    heads: tuple[int, int] = attrs.field(init=False)

    @key.default
    def _key(self) -> int:
        return self.vendor << 16 | self.number

    @heads.default
    def _heads(self) -> tuple[int, int]:
        """Flags with the length of an empty value, in version 2 and in version 3."""
        return self.mandatory * MANDATORY | HEADER_SIZE, self.mandatory3 * MANDATORY | HEADER_SIZE

    def __repr__(self) -> str:
        """Name and number, for messages to people."""
        return f"{self.name} ({self.vendor}/{self.number})" if self.vendor else f"{self.name} ({self.number})"


class RawAvp(NamedTuple):
    """An AVP that the table does not know or may not interpret, octet for octet as it stood on the wire.

    `hidden` ones stay hidden.
    """

    mandatory: bool
    hidden: bool
    vendor: int
    number: int
    value: bytes
    reserved: int = 0

    def pack(self) -> bytes:
        """Give the AVP as it stands; raise `LocalProtocolError` when a field does not fit."""
        flags = (MANDATORY if self.mandatory else 0) | (HIDDEN if self.hidden else 0) | self.reserved << 10
        return pack(flags, self.vendor << 16 | self.number, self.value)


def pack(flags: int, key: int, value: bytes) -> bytes:
    """Put an AVP header before `value`; raise `LocalProtocolError` above 1017 octets (RFC 2661 4.1)."""
    if len(value) > MAX_VALUE:
        msg = f"AVP value of {len(value)} octets, at most {MAX_VALUE} fit"
        raise LocalProtocolError(msg)
    try:
        return HEADER.pack(flags | HEADER_SIZE + len(value), key) + value
    except struct.error as error:
        msg = "AVP flags, vendor or attribute number out of range"
        raise LocalProtocolError(msg) from error


def encode_value(avp: Avp[T], value: T) -> bytes:
    """Lay out `value` as the row says, without header; raise `LocalProtocolError` when it does not fit the row."""
    try:
        octets = avp.encode(value)
    except (ValueError, TypeError, AttributeError, OverflowError, struct.error) as error:
        msg = f"{avp} cannot carry {type(value).__name__}: {error}"
        raise LocalProtocolError(msg) from error
    if not avp.minimum <= len(octets) <= avp.maximum:
        msg = f"{avp} of {len(octets)} octets, not {avp.minimum} to {avp.maximum}"
        raise LocalProtocolError(msg)
    return octets


def build(avp: Avp[T], value: T) -> bytes:
    """Give one whole AVP of version 2 in clear; raise `LocalProtocolError` when the value does not fit the row."""
    octets = encode_value(avp, value)
    return HEADER.pack(avp.heads[0] + len(octets), avp.key) + octets


def _decode_nonzero(octets: bytes) -> int:
    number = int.from_bytes(octets, "big")
    if not number:
        msg = "is zero"
        raise ValueError(msg)
    return number


def _nonzero(layout: struct.Struct) -> Codec[int]:
    def encode(number: int) -> bytes:
        if not number:
            msg = "is zero"
            raise ValueError(msg)
        return layout.pack(number)

    return Codec(_decode_nonzero, encode, layout.size, layout.size)


def _encode_flag(value: object) -> bytes:
    if value is not True:
        msg = "a flag is present or absent, never false"
        raise ValueError(msg)
    return b""


def _encode_octets(octets: bytes) -> bytes:
    # bytes(5) would quietly be five zeros; a join takes octets only.
    return b"".join((octets,))


def _encode_low_octet(number: int) -> bytes:
    return bytes((0, number))


def _single(codec: Codec[T]) -> Codec[tuple[T, ...]]:
    return Codec(
        lambda octets: (codec.decode(octets),), lambda value: codec.encode(value[0]), codec.minimum, codec.maximum
    )


_WORD: Final = struct.Struct("!H")
_LONG: Final = struct.Struct("!I")
_HUGE: Final = struct.Struct("!Q")

U16: Final[Codec[int]] = Codec(int.from_bytes, _WORD.pack, 2, 2)
U32: Final[Codec[int]] = Codec(int.from_bytes, _LONG.pack, 4, 4)
U64: Final[Codec[int]] = Codec(int.from_bytes, _HUGE.pack, 8, 8)
NONZERO: Final[Codec[int]] = _nonzero(_WORD)
NONZERO_32: Final[Codec[int]] = _nonzero(_LONG)
LOW_OCTET: Final[Codec[int]] = Codec(lambda octets: octets[1], _encode_low_octet, 2, 2)
TEXT: Final[Codec[str]] = Codec(unpack_text, pack_text, 0, MAX_VALUE)
NAME: Final[Codec[str]] = Codec(unpack_text, pack_text, 1, MAX_VALUE)
SHORT_TEXT: Final[Codec[str]] = Codec(unpack_text, pack_text, 1, 63)
OCTETS: Final[Codec[bytes]] = Codec(bytes, _encode_octets, 0, MAX_VALUE)
SOME_OCTETS: Final[Codec[bytes]] = Codec(bytes, _encode_octets, 1, MAX_VALUE)
OCTETS_3: Final[Codec[bytes]] = Codec(bytes, _encode_octets, 3, 3)
OCTETS_16: Final[Codec[bytes]] = Codec(bytes, _encode_octets, 16, 16)
FLAG: Final[Codec[bool]] = Codec(lambda _: True, _encode_flag, 0, 0)
VERSION: Final[Codec[ProtocolVersion]] = Codec(lambda octets: ProtocolVersion(*octets), bytes, 2, 2)
RESULT: Final[Codec[ResultCode]] = Codec(ResultCode.unpack, ResultCode.pack, 2, MAX_VALUE)
CAUSE: Final[Codec[Q931Cause]] = Codec(Q931Cause.unpack, Q931Cause.pack, 3, MAX_VALUE)
ERRORS: Final[Codec[CallErrors]] = Codec(CallErrors.unpack, CallErrors.pack, 26, 26)
CHARACTER_MAPS: Final[Codec[AccmValue]] = Codec(AccmValue.unpack, AccmValue.pack, 10, 10)
DISCONNECT: Final[Codec[DisconnectCause]] = Codec(DisconnectCause.unpack, DisconnectCause.pack, 5, MAX_VALUE)
SPEEDS: Final[Codec[tuple[ConnectSpeed, ...]]] = _single(Codec(ConnectSpeed.unpack, ConnectSpeed.pack, 12, 12))
VENDORS: Final[Codec[tuple[ExtendedAvp, ...]]] = _single(Codec(ExtendedAvp.unpack, ExtendedAvp.pack, 6, MAX_VALUE))
DIGESTS: Final[Codec[tuple[MessageDigest, ...]]] = _single(
    Codec(MessageDigest.unpack, MessageDigest.pack, 1, MAX_VALUE)
)
PSEUDOWIRES: Final[Codec[tuple[int, ...]]] = Codec(unpack_pseudowires, pack_pseudowires, 2, MAX_VALUE)
COOKIE: Final[Codec[bytes]] = Codec(unpack_cookie, pack_cookie, 0, 8)

KNOWN: Final[dict[int, Avp[Any]]] = {}
"""Every row of version 2 by vendor and attribute number, as the two stand in an AVP header."""

KNOWN_3: Final[dict[int, Avp[Any]]] = {}
"""What version 3 recognizes, that is every row: version 2's must be borne in an SCCRQ (RFC 3931 4.7.3), and calls that
carry PPP go on describing their line with them."""


def avp(number: int, name: str, codec: Codec[T], bits: str, where: str, vendor: int = 0) -> Avp[T]:
    """Enter a row into both tables.

    `bits` says M bit sent in version 2, M bit sent in version 3, may be Hidden, is Sensitive, Repeats.
    """
    row = avp3(number, name, codec, bits, where, vendor)
    KNOWN[row.key] = row
    return row


def avp3(number: int, name: str, codec: Codec[T], bits: str, where: str, vendor: int = 0) -> Avp[T]:
    """Enter a row into the table of version 3 alone."""
    row = Avp(
        number,
        name,
        codec.decode,
        codec.encode,
        codec.minimum,
        codec.maximum,
        "M" in bits,
        "3" in bits,
        "H" in bits,
        where,
        vendor,
        "S" in bits,
        "R" in bits,
    )
    KNOWN_3[row.key] = row
    return row


# fmt: off
MESSAGE_TYPE                 = avp( 0, "Message Type",                 U16,            "M3--", "RFC 2661 4.4.1")
RESULT_CODE                  = avp( 1, "Result Code",                  RESULT,         "M3--", "RFC 2661 4.4.2")
PROTOCOL_VERSION             = avp( 2, "Protocol Version",             VERSION,        "M---", "RFC 2661 4.4.3")
FRAMING_CAPABILITIES         = avp( 3, "Framing Capabilities",         U32,            "M-H-", "RFC 2661 4.4.3")
BEARER_CAPABILITIES          = avp( 4, "Bearer Capabilities",          U32,            "M-H-", "RFC 2661 4.4.3")
TIE_BREAKER                  = avp( 5, "Tie Breaker",                  U64,            "-3--", "RFC 2661 4.4.3")
FIRMWARE_REVISION            = avp( 6, "Firmware Revision",            U16,            "--H-", "RFC 2661 4.4.3")
HOST_NAME                    = avp( 7, "Host Name",                    NAME,           "M3--", "RFC 2661 4.4.3")
VENDOR_NAME                  = avp( 8, "Vendor Name",                  TEXT,           "--H-", "RFC 2661 4.4.3")
ASSIGNED_TUNNEL_ID           = avp( 9, "Assigned Tunnel ID",           NONZERO,        "M-H-", "RFC 2661 4.4.3")
RECEIVE_WINDOW_SIZE          = avp(10, "Receive Window Size",          NONZERO,        "M3--", "RFC 2661 4.4.3")
CHALLENGE                    = avp(11, "Challenge",                    SOME_OCTETS,    "M-H-", "RFC 2661 4.4.3")
Q931_CAUSE_CODE              = avp(12, "Q.931 Cause Code",             CAUSE,          "M---", "RFC 2661 4.4.4")
CHALLENGE_RESPONSE           = avp(13, "Challenge Response",           OCTETS_16,      "M-HS", "RFC 2661 4.4.3")
ASSIGNED_SESSION_ID          = avp(14, "Assigned Session ID",          NONZERO,        "M-H-", "RFC 2661 4.4.4")
CALL_SERIAL_NUMBER           = avp(15, "Call Serial Number",           U32,            "M-H-", "RFC 2661 4.4.4")
MINIMUM_BPS                  = avp(16, "Minimum BPS",                  U32,            "M-H-", "RFC 2661 4.4.4")
MAXIMUM_BPS                  = avp(17, "Maximum BPS",                  U32,            "M-H-", "RFC 2661 4.4.4")
BEARER_TYPE                  = avp(18, "Bearer Type",                  U32,            "M-H-", "RFC 2661 4.4.4")
FRAMING_TYPE                 = avp(19, "Framing Type",                 U32,            "M-H-", "RFC 2661 4.4.4")
CALLED_NUMBER                = avp(21, "Called Number",                TEXT,           "M-H-", "RFC 2661 4.4.4")
CALLING_NUMBER               = avp(22, "Calling Number",               TEXT,           "M-H-", "RFC 2661 4.4.4")
SUB_ADDRESS                  = avp(23, "Sub-Address",                  TEXT,           "M-H-", "RFC 2661 4.4.4")
TX_CONNECT_SPEED             = avp(24, "(Tx) Connect Speed",           U32,            "M-H-", "RFC 2661 4.4.4")
PHYSICAL_CHANNEL_ID          = avp(25, "Physical Channel ID",          U32,            "--H-", "RFC 2661 4.4.4")
INITIAL_RECEIVED_LCP_CONFREQ = avp(26, "Initial Received LCP CONFREQ", OCTETS,         "--H-", "RFC 2661 4.4.5")
LAST_SENT_LCP_CONFREQ        = avp(27, "Last Sent LCP CONFREQ",        OCTETS,         "--H-", "RFC 2661 4.4.5")
LAST_RECEIVED_LCP_CONFREQ    = avp(28, "Last Received LCP CONFREQ",    OCTETS,         "--H-", "RFC 2661 4.4.5")
PROXY_AUTHEN_TYPE            = avp(29, "Proxy Authen Type",            U16,            "--H-", "RFC 2661 4.4.5")
PROXY_AUTHEN_NAME            = avp(30, "Proxy Authen Name",            TEXT,           "--H-", "RFC 2661 4.4.5")
PROXY_AUTHEN_CHALLENGE       = avp(31, "Proxy Authen Challenge",       SOME_OCTETS,    "--H-", "RFC 2661 4.4.5")
PROXY_AUTHEN_ID              = avp(32, "Proxy Authen ID",              LOW_OCTET,      "--H-", "RFC 2661 4.4.5")
PROXY_AUTHEN_RESPONSE        = avp(33, "Proxy Authen Response",        OCTETS,         "--HS", "RFC 2661 4.4.5")
CALL_ERRORS                  = avp(34, "Call Errors",                  ERRORS,         "M-H-", "RFC 2661 4.4.6")
ACCM                         = avp(35, "ACCM",                         CHARACTER_MAPS, "M-H-", "RFC 2661 4.4.6")
RANDOM_VECTOR                = avp(36, "Random Vector",                OCTETS,         "M3--", "RFC 2661 4.4.1")
PRIVATE_GROUP_ID             = avp(37, "Private Group ID",             TEXT,           "--H-", "RFC 2661 4.4.4")
RX_CONNECT_SPEED             = avp(38, "Rx Connect Speed",             U32,            "--H-", "RFC 2661 4.4.4")
SEQUENCING_REQUIRED          = avp(39, "Sequencing Required",          FLAG,           "M---", "RFC 2661 4.4.4")
PPP_DISCONNECT_CAUSE         = avp(46, "PPP Disconnect Cause Code",    DISCONNECT,     "--H-", "RFC 3145 2")
CONNECT_SPEED_UPDATE         = avp(97, "Connect Speed Update",         SPEEDS,         "--HR", "RFC 5515")
CONNECT_SPEED_UPDATE_ENABLE  = avp(98, "Connect Speed Update Enable",  FLAG,           "--H-", "RFC 5515")


def _access_line(number: int, name: str, codec: Codec[T]) -> Avp[T]:
    return avp(number, name, codec, "--H-", "RFC 5515", vendor=BROADBAND_FORUM)


AGENT_CIRCUIT_ID                           = _access_line(  1, "Agent Circuit ID",                           SHORT_TEXT)
AGENT_REMOTE_ID                            = _access_line(  2, "Agent Remote ID",                            SHORT_TEXT)
ACTUAL_DATA_RATE_UPSTREAM                  = _access_line(129, "Actual Data Rate Upstream",                  U64)
ACTUAL_DATA_RATE_DOWNSTREAM                = _access_line(130, "Actual Data Rate Downstream",                U64)
MINIMUM_DATA_RATE_UPSTREAM                 = _access_line(131, "Minimum Data Rate Upstream",                 U64)
MINIMUM_DATA_RATE_DOWNSTREAM               = _access_line(132, "Minimum Data Rate Downstream",               U64)
ATTAINABLE_DATA_RATE_UPSTREAM              = _access_line(133, "Attainable Data Rate Upstream",              U64)
ATTAINABLE_DATA_RATE_DOWNSTREAM            = _access_line(134, "Attainable Data Rate Downstream",            U64)
MAXIMUM_DATA_RATE_UPSTREAM                 = _access_line(135, "Maximum Data Rate Upstream",                 U64)
MAXIMUM_DATA_RATE_DOWNSTREAM               = _access_line(136, "Maximum Data Rate Downstream",               U64)
MINIMUM_DATA_RATE_UPSTREAM_LOW_POWER       = _access_line(137, "Minimum Data Rate Upstream Low-Power",       U64)
MINIMUM_DATA_RATE_DOWNSTREAM_LOW_POWER     = _access_line(138, "Minimum Data Rate Downstream Low-Power",     U64)
MAXIMUM_INTERLEAVING_DELAY_UPSTREAM        = _access_line(139, "Maximum Interleaving Delay Upstream",        U32)
ACTUAL_INTERLEAVING_DELAY_UPSTREAM         = _access_line(140, "Actual Interleaving Delay Upstream",         U32)
MAXIMUM_INTERLEAVING_DELAY_DOWNSTREAM      = _access_line(141, "Maximum Interleaving Delay Downstream",      U32)
ACTUAL_INTERLEAVING_DELAY_DOWNSTREAM       = _access_line(142, "Actual Interleaving Delay Downstream",       U32)
ACCESS_LOOP_ENCAPSULATION                  = _access_line(144, "Access Loop Encapsulation",                  OCTETS_3)
ANCP_ACCESS_LINE_TYPE                      = _access_line(145, "ANCP Access Line Type",                      U32)
IWF_SESSION                                = _access_line(254, "IWF Session",                                U32)

EXTENDED_VENDOR_ID             = avp3(58, "Extended Vendor ID",                   VENDORS,     "--HR", "RFC 3931 5.1")
MESSAGE_DIGEST                 = avp3(59, "Message Digest",                       DIGESTS,     "-3SR", "RFC 3931 5.4.1")
ROUTER_ID                      = avp3(60, "Router ID",                            U32,         "-3--", "RFC 3931 5.4.3")
ASSIGNED_CONTROL_CONNECTION_ID = avp3(61, "Assigned Control Connection ID",       NONZERO_32,  "-3H-", "RFC 3931 5.4.3")
PSEUDOWIRE_CAPABILITIES        = avp3(62, "Pseudowire Capabilities List",         PSEUDOWIRES, "-3H-", "RFC 3931 5.4.3")
LOCAL_SESSION_ID               = avp3(63, "Local Session ID",                     NONZERO_32,  "-3H-", "RFC 3931 5.4.4")
REMOTE_SESSION_ID              = avp3(64, "Remote Session ID",                    U32,         "-3H-", "RFC 3931 5.4.4")
ASSIGNED_COOKIE                = avp3(65, "Assigned Cookie",                      COOKIE,      "-3HS", "RFC 3931 5.4.4")
REMOTE_END_ID                  = avp3(66, "Remote End ID",                        TEXT,        "-3H-", "RFC 3931 5.4.4")
PSEUDOWIRE_TYPE                = avp3(68, "Pseudowire Type",                      U16,         "-3H-", "RFC 3931 5.4.4")
L2_SPECIFIC_SUBLAYER           = avp3(69, "L2-Specific Sublayer",                 U16,         "-3H-", "RFC 3931 5.4.4")
DATA_SEQUENCING                = avp3(70, "Data Sequencing",                      U16,         "-3H-", "RFC 3931 5.4.4")
CIRCUIT_STATUS                 = avp3(71, "Circuit Status",                       U16,         "-3H-", "RFC 3931 5.4.5")
PREFERRED_LANGUAGE             = avp3(72, "Preferred Language",                   TEXT,        "--H-", "RFC 3931 5.4.3")
CONTROL_MESSAGE_NONCE          = avp3(73, "Control Message Authentication Nonce", SOME_OCTETS, "-3--", "RFC 3931 5.4.1")
TX_CONNECT_SPEED_BPS           = avp3(74, "Tx Connect Speed BPS",                 U64,         "--H-", "RFC 3931 5.4.4")
RX_CONNECT_SPEED_BPS           = avp3(75, "Rx Connect Speed BPS",                 U64,         "--H-", "RFC 3931 5.4.4")
# fmt: on

ACCESS_LINE: Final[tuple[Avp[Any], ...]] = tuple(row for row in KNOWN.values() if row.vendor == BROADBAND_FORUM)
"""The rows that a LAC may add to an ICRQ to describe the subscriber's line (RFC 5515)."""
