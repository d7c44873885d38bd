"""L2TPv2 control messages as prebuilt templates, and the little parsing that a load generator needs (RFC 2661).

Written from the RFC alone and without a line of `l2tpd`, so that a codec error on either side shows as a disagreement.
A message is a `bytearray`; the sender fills in Ns and Nr at each transmission (`stamp`).
"""

import hashlib
import hmac
import struct
from collections.abc import Iterator, Mapping

CONTROL = 0xC802  # RFC 2661 3.1: T, L and S set, O and P clear, reserved bits zero, Ver 2
HEADER_LENGTH = 12
HEADER = struct.Struct("!HHHHHH")  # flags, length, tunnel id, session id, Ns, Nr
SEQUENCE = struct.Struct("!HH")
SEQUENCE_OFFSET = 8
AVP_HEADER = struct.Struct("!HHH")  # M, H, reserved, length; vendor id; attribute type
U16 = struct.Struct("!H")
U32 = struct.Struct("!I")

# RFC 2661 3.2
SCCRQ, SCCRP, SCCCN, STOPCCN, HELLO = 1, 2, 3, 4, 6
ICRQ, ICRP, ICCN, CDN = 10, 11, 12, 14
NAMES = {
    SCCRQ: "SCCRQ",
    SCCRP: "SCCRP",
    SCCCN: "SCCCN",
    STOPCCN: "StopCCN",
    HELLO: "HELLO",
    ICRQ: "ICRQ",
    ICRP: "ICRP",
    ICCN: "ICCN",
    CDN: "CDN",
}

# RFC 2661 4.4
MESSAGE_TYPE, RESULT_CODE, PROTOCOL_VERSION, FRAMING_CAPABILITIES, BEARER_CAPABILITIES = 0, 1, 2, 3, 4
FIRMWARE_REVISION, HOST_NAME, VENDOR_NAME, ASSIGNED_TUNNEL_ID, RECEIVE_WINDOW_SIZE = 6, 7, 8, 9, 10
CHALLENGE, CHALLENGE_RESPONSE, ASSIGNED_SESSION_ID, CALL_SERIAL_NUMBER = 11, 13, 14, 15
BEARER_TYPE, FRAMING_TYPE, CALLING_NUMBER, TX_CONNECT_SPEED = 18, 19, 22, 24

MANDATORY = 0x8000
HIDDEN = 0x4000
RESERVED = 0x3C00
LENGTH_MASK = 0x03FF
DEFAULT_WINDOW = 4  # RFC 2661 4.4.3: assumed when no Receive Window Size was sent

# What the RFC requires of a reply: message type -> AVPs (RFC 2661 6.2, 6.4, 6.7, 6.13)
REQUIRED = {
    SCCRP: (PROTOCOL_VERSION, FRAMING_CAPABILITIES, HOST_NAME, ASSIGNED_TUNNEL_ID),
    STOPCCN: (ASSIGNED_TUNNEL_ID, RESULT_CODE),
    ICRP: (ASSIGNED_SESSION_ID,),
    CDN: (RESULT_CODE, ASSIGNED_SESSION_ID),
}


class MalformedError(ValueError):
    """A received message breaks a MUST of RFC 2661."""


def avp(kind: int, value: bytes, *, mandatory: bool = True) -> bytes:
    """Build one IETF AVP (RFC 2661 4.1)."""
    return AVP_HEADER.pack((MANDATORY if mandatory else 0) | (6 + len(value)), 0, kind) + value


def message(kind: int, *avps: bytes) -> bytes:
    """Build a control message with zero ids and sequence numbers."""
    body = avp(MESSAGE_TYPE, U16.pack(kind)) + b"".join(avps)
    return HEADER.pack(CONTROL, HEADER_LENGTH + len(body), 0, 0, 0, 0) + body


def u16_avp(kind: int, value: int) -> bytes:
    """Build an AVP with a 16 bit value."""
    return avp(kind, U16.pack(value))


def u32_avp(kind: int, value: int) -> bytes:
    """Build an AVP with a 32 bit value."""
    return avp(kind, U32.pack(value))


def _opening(kind: int, host: bytes, window: int) -> bytes:
    return message(
        kind,
        u16_avp(ASSIGNED_TUNNEL_ID, 0),  # first, so that its offset is the same in every message
        u16_avp(PROTOCOL_VERSION, 0x0100),
        u32_avp(FRAMING_CAPABILITIES, 3),
        u32_avp(BEARER_CAPABILITIES, 0),
        avp(FIRMWARE_REVISION, U16.pack(0x0100), mandatory=False),
        avp(HOST_NAME, host),
        avp(VENDOR_NAME, b"storm", mandatory=False),
        u16_avp(RECEIVE_WINDOW_SIZE, window),
    )


ID_OFFSET = HEADER_LENGTH + 8 + 6  # value of the AVP that follows the Message Type
SERIAL_OFFSET = ID_OFFSET + 2 + 6
HOST_DIGITS = 7
WINDOW = 1024

_SCCRQ = _opening(SCCRQ, b"storm-lac-" + b"0" * HOST_DIGITS, WINDOW)
_HOST_OFFSET = _SCCRQ.index(b"storm-lac-") + len(b"storm-lac-")
_SCCRP = _opening(SCCRP, b"storm-lns", WINDOW)
_SCCCN = message(SCCCN)
_STOPCCN = message(STOPCCN, u16_avp(ASSIGNED_TUNNEL_ID, 0), avp(RESULT_CODE, SEQUENCE.pack(1, 0)))
_HELLO = message(HELLO)
_ICRQ = message(
    ICRQ,
    u16_avp(ASSIGNED_SESSION_ID, 0),
    u32_avp(CALL_SERIAL_NUMBER, 0),
    u32_avp(BEARER_TYPE, 1),
    avp(CALLING_NUMBER, b"5550100"),
)
_ICRP = message(ICRP, u16_avp(ASSIGNED_SESSION_ID, 0))
_ICCN = message(ICCN, u32_avp(TX_CONNECT_SPEED, 100_000_000), u32_avp(FRAMING_TYPE, 1))
_CDN = message(CDN, u16_avp(ASSIGNED_SESSION_ID, 0), avp(RESULT_CODE, SEQUENCE.pack(3, 0)))


def _extended(template: bytes, extra: bytes) -> bytearray:
    packet = bytearray(template + extra)
    U16.pack_into(packet, 2, len(packet))
    return packet


def sccrq(tunnel: int, index: int, challenge: bytes = b"") -> bytearray:
    """Build the SCCRQ of LAC number `index` that assigns `tunnel`."""
    packet = _extended(_SCCRQ, avp(CHALLENGE, challenge)) if challenge else bytearray(_SCCRQ)
    U16.pack_into(packet, ID_OFFSET, tunnel)
    packet[_HOST_OFFSET : _HOST_OFFSET + HOST_DIGITS] = b"%07d" % index
    return packet


def sccrp(peer: int, tunnel: int, challenge: bytes = b"", answer: bytes = b"") -> bytearray:
    """Build the SCCRP to `peer` that assigns `tunnel`."""
    extra = (avp(CHALLENGE, challenge) if challenge else b"") + (avp(CHALLENGE_RESPONSE, answer) if answer else b"")
    packet = _extended(_SCCRP, extra)
    U16.pack_into(packet, 4, peer)
    U16.pack_into(packet, ID_OFFSET, tunnel)
    return packet


def scccn(peer: int, answer: bytes = b"") -> bytearray:
    """Build the SCCCN to `peer`."""
    packet = _extended(_SCCCN, avp(CHALLENGE_RESPONSE, answer)) if answer else bytearray(_SCCCN)
    U16.pack_into(packet, 4, peer)
    return packet


def stopccn(peer: int, tunnel: int) -> bytearray:
    """Build the StopCCN to `peer` for our `tunnel`: result 1, general request to clear."""
    packet = bytearray(_STOPCCN)
    U16.pack_into(packet, 4, peer)
    U16.pack_into(packet, ID_OFFSET, tunnel)
    return packet


def hello(peer: int) -> bytearray:
    """Build a HELLO to `peer`."""
    packet = bytearray(_HELLO)
    U16.pack_into(packet, 4, peer)
    return packet


def icrq(peer: int, session: int, serial: int) -> bytearray:
    """Build the ICRQ to `peer` that assigns `session`."""
    packet = bytearray(_ICRQ)
    U16.pack_into(packet, 4, peer)
    U16.pack_into(packet, ID_OFFSET, session)
    U32.pack_into(packet, SERIAL_OFFSET, serial & 0xFFFFFFFF)
    return packet


def icrp(peer: int, peer_session: int, session: int) -> bytearray:
    """Build the ICRP to `peer` that assigns `session`."""
    packet = bytearray(_ICRP)
    SEQUENCE.pack_into(packet, 4, peer, peer_session)
    U16.pack_into(packet, ID_OFFSET, session)
    return packet


def iccn(peer: int, peer_session: int, session: int = 0) -> bytearray:
    """Build the ICCN of a call; version 2 says nothing of our own id in it."""
    packet = bytearray(_ICCN)
    SEQUENCE.pack_into(packet, 4, peer, peer_session)
    return packet


def cdn(peer: int, peer_session: int, session: int) -> bytearray:
    """Build a CDN for our `session`: result 3, administrative reasons."""
    packet = bytearray(_CDN)
    SEQUENCE.pack_into(packet, 4, peer, peer_session)
    U16.pack_into(packet, ID_OFFSET, session)
    return packet


def zlb(peer: int, ns: int, nr: int) -> bytes:
    """Build a Zero-Length Body acknowledgement (RFC 2661 5.8)."""
    return HEADER.pack(CONTROL, HEADER_LENGTH, peer, 0, ns, nr)


def stamp(packet: bytearray, ns: int, nr: int) -> None:
    """Write Ns and Nr into a message."""
    SEQUENCE.pack_into(packet, SEQUENCE_OFFSET, ns, nr)


def response(kind: int, secret: bytes, challenge: bytes) -> bytes:
    """Compute a Challenge Response: MD5 over message type, secret and challenge (RFC 2661 4.4.3, 5.1.1)."""
    return hashlib.md5(bytes((kind,)) + secret + challenge, usedforsecurity=False).digest()


def response_is_right(kind: int, secret: bytes, challenge: bytes, answer: bytes) -> bool:
    """Tell whether `answer` is the Challenge Response that belongs in message `kind`."""
    return hmac.compare_digest(response(kind, secret, challenge), answer)


def message_type(data: bytes) -> int:
    """Read the Message Type, which must be the first AVP; raises `MalformedError` (RFC 2661 4.1, 4.4.1)."""
    if len(data) < HEADER_LENGTH + 8:
        raise MalformedError("too short for a Message Type AVP")
    flags, vendor, kind = AVP_HEADER.unpack_from(data, HEADER_LENGTH)
    if vendor or kind != MESSAGE_TYPE or flags & ~MANDATORY != 8:
        raise MalformedError("the first AVP is no Message Type")
    (value,) = U16.unpack_from(data, HEADER_LENGTH + 6)
    return int(value)


def walk(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (flags, vendor, type, value) of each AVP after the header; raises `MalformedError`."""
    at, end = HEADER_LENGTH, len(data)
    while at < end:
        if end - at < 6:
            raise MalformedError("octets left over after the last AVP")
        flags, vendor, kind = AVP_HEADER.unpack_from(data, at)
        length = flags & LENGTH_MASK
        if length < 6 or at + length > end:
            raise MalformedError("AVP shorter than its header or longer than the message")
        yield flags, vendor, kind, data[at + 6 : at + length]
        at += length


def avps(data: bytes, kind: int, required: Mapping[int, tuple[int, ...]] = REQUIRED) -> dict[int, bytes]:
    """Read the IETF AVPs of message `kind`, by type; raises `MalformedError` when one is broken or missing."""
    found: dict[int, bytes] = {}
    for flags, vendor, attribute, value in walk(data):
        if flags & RESERVED:
            raise MalformedError("AVP with reserved bits set")
        if vendor:
            continue
        if flags & HIDDEN:
            raise MalformedError("hidden AVP, which was not asked for")
        found[attribute] = value
    for attribute in required.get(kind, ()):
        if attribute not in found:
            raise MalformedError(f"{NAMES[kind]} without AVP {attribute}")
    return found


def ids(high: int, low: int) -> tuple[int, int]:
    """Return tunnel and session id of a header."""
    return high, low


def only_acknowledges(data: bytes) -> bool:
    """Tell whether a message is a Zero-Length Body message."""
    return len(data) == HEADER_LENGTH


def tunnel_of(found: dict[int, bytes]) -> int:
    """Read the id that the peer has assigned to a tunnel; raises `MalformedError`."""
    return u16(found[ASSIGNED_TUNNEL_ID])


def session_of(found: dict[int, bytes]) -> int:
    """Read the id that the peer has assigned to a session; raises `MalformedError`."""
    return u16(found[ASSIGNED_SESSION_ID])


def our_session(found: dict[int, bytes], addressed: int) -> int:
    """Tell which of our sessions a message is about: the one that its header addresses."""
    return addressed


def u16(value: bytes) -> int:
    """Read a 16 bit value; raises `MalformedError` when it has another length."""
    if len(value) != 2:
        raise MalformedError("16 bit value of another length")
    return int.from_bytes(value, "big")


def result_code(value: bytes) -> tuple[int, int]:
    """Read result and error code (0 when absent) of a Result Code AVP (RFC 2661 4.4.2)."""
    if len(value) < 2 or len(value) == 3:
        raise MalformedError("Result Code of 0, 1 or 3 octets")
    return int.from_bytes(value[:2], "big"), int.from_bytes(value[2:4], "big")
