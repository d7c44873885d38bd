"""The assigned numbers of PPP. What arrives is kept as a plain integer and never forced into an enumeration."""

from __future__ import annotations

import enum
from typing import Final

DEFAULT_MRU: Final = 1500  # RFC 1661 6.1: octets of an information field, in force until something else is agreed on
MINIMUM_MRU: Final = 128  # ours: less than this carries no useful packet


class Protocol(enum.IntEnum):
    """PPP protocol field values (RFC 1661 2 and the RFCs of the protocols)."""

    IPV4 = 0x0021
    IPV6 = 0x0057
    COMPRESSED = 0x00FD  # or encrypted (RFC 1962 5, RFC 3078 3)
    IPCP = 0x8021
    IPV6CP = 0x8057
    CCP = 0x80FD
    LCP = 0xC021
    PAP = 0xC023
    LQR = 0xC025
    CHAP = 0xC223
    EAP = 0xC227


class Code(enum.IntEnum):
    """Packet codes of LCP (RFC 1661 5, RFC 1570 1); an NCP has those up to Code-Reject (RFC 1332 2)."""

    CONFIGURE_REQUEST = 1
    CONFIGURE_ACK = 2
    CONFIGURE_NAK = 3
    CONFIGURE_REJECT = 4
    TERMINATE_REQUEST = 5
    TERMINATE_ACK = 6
    CODE_REJECT = 7
    PROTOCOL_REJECT = 8
    ECHO_REQUEST = 9
    ECHO_REPLY = 10
    DISCARD_REQUEST = 11
    IDENTIFICATION = 12
    TIME_REMAINING = 13


class LcpOption(enum.IntEnum):
    """LCP configuration options that we know by name (RFC 1661 6, 1662 7.1, 1570 2, 1990 5.1)."""

    MRU = 1
    ACCM = 2
    AUTHENTICATION = 3
    QUALITY = 4
    MAGIC = 5
    PFC = 7
    ACFC = 8
    FCS_ALTERNATIVES = 9
    SELF_DESCRIBING_PADDING = 10
    CALLBACK = 13
    COMPOUND_FRAMES = 15
    MRRU = 17
    SHORT_SEQUENCE = 18
    ENDPOINT_DISCRIMINATOR = 19


class IpcpOption(enum.IntEnum):
    """IPCP configuration options (RFC 1332 3, RFC 1877 1)."""

    ADDRESSES = 1
    COMPRESSION = 2
    ADDRESS = 3
    PRIMARY_DNS = 129
    PRIMARY_NBNS = 130
    SECONDARY_DNS = 131
    SECONDARY_NBNS = 132


class Ipv6cpOption(enum.IntEnum):
    """IPV6CP configuration options (RFC 5072 4)."""

    INTERFACE_IDENTIFIER = 1


class CcpCode(enum.IntEnum):
    """Packet codes of CCP besides those of every NCP (RFC 1962 4)."""

    RESET_REQUEST = 14
    RESET_ACK = 15


class CcpOption(enum.IntEnum):
    """CCP configuration options: of the algorithms, the one that encrypts (RFC 3078 2)."""

    MPPE = 18


class PapCode(enum.IntEnum):
    """Packet codes of PAP (RFC 1334 2.2)."""

    REQUEST = 1
    ACK = 2
    NAK = 3


class ChapCode(enum.IntEnum):
    """Packet codes of CHAP (RFC 1994 4)."""

    CHALLENGE = 1
    RESPONSE = 2
    SUCCESS = 3
    FAILURE = 4


class Auth(enum.Enum):
    """Ways to authenticate; the value is what LCP's Authentication-Protocol option says of it."""

    PAP = b"\xc0\x23"  # RFC 1334 2.1
    CHAP = b"\xc2\x23\x05"  # RFC 1994 3, MD5
    MSCHAP = b"\xc2\x23\x80"  # RFC 2433 2
    MSCHAPV2 = b"\xc2\x23\x81"  # RFC 2759 2

    @property
    def protocol(self) -> int:
        """Return the PPP protocol that carries it."""
        return int.from_bytes(self.value[:2], "big")


class Disconnect(enum.IntEnum):
    """Why a link ended (RFC 3145 3); of multilink, callback and encryption we only read."""

    UNKNOWN = 0
    ADMIN = 1
    NO_RENEGOTIATION = 2
    NORMAL = 3  # direction 1: the peer sent the Terminate-Request, 2: we did
    NO_ENCRYPTION = 4  # direction 1: the peer requires it, 2: we do
    LCP_TIMEOUT = 5
    NO_LCP = 6
    LOOPED_BACK = 7
    ECHO_TIMEOUT = 8
    WRONG_ENDPOINT = 9
    WRONG_MRRU = 10
    WRONG_SEQUENCE_FORMAT = 11
    NO_CALLBACK = 12
    AUTH_TIMEOUT = 13
    WRONG_NAME = 14
    AUTH_UNACCEPTABLE = 15  # direction 1: the peer refuses all of ours, 2: we refuse all of the peer's
    AUTH_FAILED = 16  # direction 1: the peer's proof, 2: ours
    NCP_TIMEOUT = 17
    NO_NCP = 18
    NO_CONVERGENCE = 19  # direction 1: too many Configure-Naks from the peer, 2: to the peer
    NO_ADDRESS = 20


BY_PEER: Final = 1
BY_US: Final = 2
"""Directions that a disconnect cause names (RFC 3145 2); 0 where it names none."""
