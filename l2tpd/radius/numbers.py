"""Numbers of RADIUS, under the names of the RFCs. What stands here is what we say or understand; other numbers are kept as they come."""

from __future__ import annotations

import enum
from typing import Final

MICROSOFT: Final = 311  # RFC 2548 2


class Code(enum.IntEnum):
    """Kinds of packets (RFC 2865 4, RFC 2866 4, RFC 5176 2.3)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45


class Status(enum.IntEnum):
    """Acct-Status-Type (RFC 2866 5.1, RFC 2867 3)."""

    START = 1
    STOP = 2
    INTERIM = 3
    ON = 7
    OFF = 8
    TUNNEL_START = 9
    TUNNEL_STOP = 10
    TUNNEL_REJECT = 11
    TUNNEL_LINK_START = 12
    TUNNEL_LINK_STOP = 13
    TUNNEL_LINK_REJECT = 14


class ErrorCause(enum.IntEnum):
    """Error-Cause (RFC 5176 3.5)."""

    UNSUPPORTED_ATTRIBUTE = 401
    MISSING_ATTRIBUTE = 402
    NAS_IDENTIFICATION_MISMATCH = 403
    INVALID_REQUEST = 404
    INVALID_ATTRIBUTE_VALUE = 407
    SESSION_CONTEXT_NOT_FOUND = 503


class Authentic(enum.IntEnum):
    """Acct-Authentic (RFC 2866 5.6)."""

    RADIUS = 1
    LOCAL = 2


SERVICE_FRAMED: Final = 2  # Service-Type, RFC 2865 5.6
PROTOCOL_PPP: Final = 1  # Framed-Protocol, RFC 2865 5.7
PORT_VIRTUAL: Final = 5  # NAS-Port-Type, RFC 2865 5.41
TUNNEL_L2TP: Final = 3  # Tunnel-Type, RFC 2868 3.1
MEDIUM_IPV4: Final = 1  # Tunnel-Medium-Type, RFC 2868 3.2
MEDIUM_IPV6: Final = 2
