"""The assigned numbers of L2TP and their wording for operators.

Numbers that arrive are kept as plain integers and never forced into an enumeration: an unknown one is shown as itself
(`name_of`), not refused.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class MessageType(enum.IntEnum):
    """Control message types (RFC 2661 3.2, RFC 3931 3.1; CSUN and CSURQ from RFC 5515)."""

    SCCRQ = 1
    SCCRP = 2
    SCCCN = 3
    STOPCCN = 4
    HELLO = 6
    OCRQ = 7
    OCRP = 8
    OCCN = 9
    ICRQ = 10
    ICRP = 11
    ICCN = 12
    CDN = 14
    WEN = 15
    SLI = 16
    ACK = 20
    CSUN = 28
    CSURQ = 29


class StopResult(enum.IntEnum):
    """Result codes of StopCCN (RFC 2661 4.4.2, the same in RFC 3931 5.4.2)."""

    GENERAL = 1
    ERROR = 2
    EXISTS = 3
    NOT_AUTHORIZED = 4
    BAD_VERSION = 5
    SHUTTING_DOWN = 6
    FSM_ERROR = 7


class CallResult(enum.IntEnum):
    """Result codes of CDN (RFC 2661 4.4.2; from LOST_TIE on RFC 3931 5.4.2; from MTU_MISMATCH on RFC 4667 4.4)."""

    LOST_CARRIER = 1
    ERROR = 2
    ADMIN = 3
    NO_FACILITIES_TEMPORARY = 4
    NO_FACILITIES_PERMANENT = 5
    INVALID_DESTINATION = 6
    NO_CARRIER = 7
    BUSY = 8
    NO_DIAL_TONE = 9
    TIMED_OUT = 10
    NO_FRAMING = 11
    LOST_TIE = 13
    BAD_PSEUDOWIRE_TYPE = 14
    NO_SEQUENCING_SUBLAYER = 15
    FSM_ERROR = 16
    MTU_MISMATCH = 23
    NO_FORWARDER = 24
    FORWARDER_NOT_AUTHORIZED = 25


class ErrorCode(enum.IntEnum):
    """General error codes, shared by StopCCN and CDN (RFC 2661 4.4.2; RFC 3931 5.4.2 adds the last)."""

    NONE = 0
    NO_CONTROL_CONNECTION = 1
    BAD_LENGTH = 2
    BAD_VALUE = 3
    NO_RESOURCES = 4
    BAD_SESSION_ID = 5
    VENDOR = 6
    TRY_ANOTHER = 7
    UNKNOWN_MANDATORY_AVP = 8
    TRY_ANOTHER_DIRECTED = 9


class Framing(enum.IntFlag):
    """Bits of the Framing Capabilities and Framing Type AVPs (RFC 2661 4.4.3, 4.4.4)."""

    SYNCHRONOUS = 1
    ASYNCHRONOUS = 2


FRAMINGS: Final = {"sync": Framing.SYNCHRONOUS.value, "async": Framing.ASYNCHRONOUS.value}
"""The bits by the words of operators."""


class Bearer(enum.IntFlag):
    """Bits of the Bearer Capabilities and Bearer Type AVPs (RFC 2661 4.4.3, 4.4.4)."""

    DIGITAL = 1
    ANALOG = 2


BEARERS: Final = {"digital": Bearer.DIGITAL.value, "analog": Bearer.ANALOG.value}
"""The bits by the words of operators."""


class ProxyAuthenType(enum.IntEnum):
    """Values of the Proxy Authen Type AVP (RFC 2661 4.4.5)."""

    TEXT = 1
    CHAP = 2
    PAP = 3
    NONE = 4
    MSCHAP_V1 = 5


class PseudowireType(enum.IntEnum):
    """What a session carries (RFC 3931 10.6; RFC 4591, RFC 4719 for Ethernet, RFC 4349 for HDLC)."""

    FRAME_RELAY = 1
    ETHERNET_VLAN = 4
    ETHERNET = 5
    HDLC = 6
    PPP = 7


class SublayerType(enum.IntEnum):
    """Values of the L2-Specific Sublayer AVP (RFC 3931 5.4.4)."""

    NONE = 0
    DEFAULT = 1


class SequencingLevel(enum.IntEnum):
    """Values of the Data Sequencing AVP: which packets its sender wants numbered (RFC 3931 5.4.4)."""

    NONE = 0
    NON_IP = 1
    ALL = 2


class CircuitStatus(enum.IntFlag):
    """Bits of the Circuit Status AVP (RFC 3931 5.4.5), those above NEW by RFC 5641, which deprecates NEW."""

    ACTIVE = 1
    NEW = 2
    CIRCUIT_RECEIVE_FAULT = 4
    CIRCUIT_TRANSMIT_FAULT = 8
    PSEUDOWIRE_RECEIVE_FAULT = 16
    PSEUDOWIRE_TRANSMIT_FAULT = 32
    STANDBY = 64


class DigestType(enum.IntEnum):
    """Algorithms of the Message Digest AVP (RFC 3931 5.4.1)."""

    HMAC_MD5 = 0
    HMAC_SHA1 = 1


BROADBAND_FORUM: Final = 3561
"""SMI enterprise number under which RFC 5515 numbers the access line AVPs."""

_STOP_RESULT_TEXTS: Final = {
    StopResult.GENERAL: "general request to clear control connection",
    StopResult.ERROR: "general error",
    StopResult.EXISTS: "control channel already exists",
    StopResult.NOT_AUTHORIZED: "requester is not authorized to establish a control channel",
    StopResult.BAD_VERSION: "protocol version of the requester is not supported",
    StopResult.SHUTTING_DOWN: "requester is being shut down",
    StopResult.FSM_ERROR: "finite state machine error",
}

_CALL_RESULT_TEXTS: Final = {
    CallResult.LOST_CARRIER: "call disconnected due to loss of carrier",
    CallResult.ERROR: "call disconnected for the reason indicated in error code",
    CallResult.ADMIN: "call disconnected for administrative reasons",
    CallResult.NO_FACILITIES_TEMPORARY: "appropriate facilities not available (temporary condition)",
    CallResult.NO_FACILITIES_PERMANENT: "appropriate facilities not available (permanent condition)",
    CallResult.INVALID_DESTINATION: "invalid destination",
    CallResult.NO_CARRIER: "no carrier detected",
    CallResult.BUSY: "busy signal detected",
    CallResult.NO_DIAL_TONE: "lack of a dial tone",
    CallResult.TIMED_OUT: "call not established within time allotted by LAC",
    CallResult.NO_FRAMING: "call connected but no appropriate framing detected",
    CallResult.LOST_TIE: "session not established due to losing tie breaker",
    CallResult.BAD_PSEUDOWIRE_TYPE: "session not established due to unsupported pseudowire type",
    CallResult.NO_SEQUENCING_SUBLAYER: "sequencing required without valid L2-specific sublayer",
    CallResult.FSM_ERROR: "finite state machine error or timeout",
    CallResult.MTU_MISMATCH: "mismatching interface MTU",
    CallResult.NO_FORWARDER: "attempt to connect to non-existent forwarder",
    CallResult.FORWARDER_NOT_AUTHORIZED: "attempt to connect to unauthorized forwarder",
}

_ERROR_TEXTS: Final = {
    ErrorCode.NONE: "no general error",
    ErrorCode.NO_CONTROL_CONNECTION: "no control connection exists yet for this LAC-LNS pair",
    ErrorCode.BAD_LENGTH: "length is wrong",
    ErrorCode.BAD_VALUE: "field value out of range or reserved field non-zero",
    ErrorCode.NO_RESOURCES: "insufficient resources to handle this operation now",
    ErrorCode.BAD_SESSION_ID: "session id invalid in this context",
    ErrorCode.VENDOR: "vendor-specific error",
    ErrorCode.TRY_ANOTHER: "try another LNS",
    ErrorCode.UNKNOWN_MANDATORY_AVP: "unknown AVP with the M bit set",
    ErrorCode.TRY_ANOTHER_DIRECTED: "try another LCCE, of those in the message",
}


def name_of(enumeration: type[enum.IntEnum], number: int) -> str:
    """Give the name that `enumeration` has for `number`, or the number in decimal when it has none."""
    try:
        return enumeration(number).name
    except ValueError:
        return str(number)


def stop_result_text(number: int) -> str:
    """Say in words what a StopCCN result code means (RFC 2661 4.4.2)."""
    return _text(_STOP_RESULT_TEXTS, number, "result")


def call_result_text(number: int) -> str:
    """Say in words what a CDN result code means (RFC 2661 4.4.2)."""
    return _text(_CALL_RESULT_TEXTS, number, "result")


def error_text(number: int) -> str:
    """Say in words what a general error code means (RFC 2661 4.4.2)."""
    return _text(_ERROR_TEXTS, number, "error")


def _text(texts: Mapping[Any, str], number: int, kind: str) -> str:
    return texts.get(number) or f"unknown {kind} {number}"
