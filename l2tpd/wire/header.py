"""The L2TP header: control and data, and a cheap look at it for demultiplexing.

Version 2 is RFC 2661 3.1; of version 3 the control messages are here (RFC 3931 3.2.1).

Everything here eats bytes of strangers and raises `Malformed` on what is no header, never anything else. Octets after
the Length that the header names are ignored. The reserved bits are ignored, as the RFC demands. On control messages,
where the P and O bits MUST be 0, a set P bit is ignored because it changes nothing that we do; a set O bit is
malformed because it would move the body, and a peer that breaks that rule cannot be trusted to have put the offset
field where the rule that it broke would have it. Version 3 knows neither bit: there both are reserved.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, TypeVar

from l2tpd.errors import LocalProtocolError, Malformed

_CONTROL: Final = 0x8000
_LENGTH: Final = 0x4000
_SEQUENCE: Final = 0x0800
_OFFSET: Final = 0x0200
_PRIORITY: Final = 0x0100
_VERSION: Final = 0x000F

_CONTROL_BITS: Final = _CONTROL | _LENGTH | _SEQUENCE
_CONTROL_MASK: Final = _CONTROL_BITS | _OFFSET | _VERSION
_CONTROL_FLAGS: Final = _CONTROL_BITS | 2
_CONTROL_3_MASK: Final = _CONTROL_BITS | _VERSION
_CONTROL_3_FLAGS: Final = _CONTROL_BITS | 3
_LAYOUT_MASK: Final = _CONTROL | _VERSION

_WORD: Final = struct.Struct("!H")
_WORDS_2: Final = struct.Struct("!HH")
_WORDS_3: Final = struct.Struct("!HHH")
_WORDS_4: Final = struct.Struct("!HHHH")
_WORDS_6: Final = struct.Struct("!HHHHHH")
_V3_IDENTIFIER: Final = struct.Struct("!I")
_CONTROL_3: Final = struct.Struct("!HHIHH")


Octets = bytes | memoryview
Data = TypeVar("Data", bytes, memoryview)


class Peek(NamedTuple):
    """What demultiplexing needs: version, control or data, and the recipient's ids (0 where the header has none)."""

    version: int
    control: bool
    tunnel_id: int
    session_id: int


class ControlHeader(NamedTuple):
    """The fields of a control header; the ids are those of the recipient (RFC 2661 3.1).

    In version 3 `tunnel_id` is the control connection id, 0 before its sender was told one, and `session_id` is 0 (RFC
    3931 3.2.1).
    """

    tunnel_id: int
    session_id: int
    ns: int
    nr: int


class DataHeader(NamedTuple):
    """The fields of a data header; `ns` and `nr` are None when the S bit is clear.

    `nr` means nothing on receipt (RFC 2661 3.1).
    """

    tunnel_id: int
    session_id: int
    ns: int | None = None
    nr: int | None = None
    priority: bool = False


def peek(datagram: Octets) -> Peek:
    """Read version, type and ids without a full parse; raise `Malformed` when they are cut off.

    Any version is reported and none refused: 1 is L2F (RFC 2661 3.1), whose ids lie elsewhere and read as 0. For 3
    (RFC 3931 4.1.2) the 32-bit control connection id or session id is given.
    """
    size = len(datagram)
    if size >= 8:
        flags, first, second, third = _WORDS_4.unpack_from(datagram)
        version = flags & _VERSION
        if version == 2:
            if flags & _LENGTH:
                return Peek(2, flags & _CONTROL != 0, second, third)
            return Peek(2, flags & _CONTROL != 0, first, second)
        return _peek_other(datagram, flags)
    if size < 2:
        msg = "shorter than the flags of a header"
        raise Malformed(msg)
    return _peek_short(datagram)


def _peek_short(datagram: Octets) -> Peek:
    (flags,) = _WORD.unpack_from(datagram)
    if flags & _VERSION != 2:
        return _peek_other(datagram, flags)
    if flags & _LENGTH or len(datagram) < 6:
        msg = "cut off before the ids"
        raise Malformed(msg)
    return Peek(2, flags & _CONTROL != 0, *_WORDS_2.unpack_from(datagram, 2))


def _peek_other(datagram: Octets, flags: int) -> Peek:
    version = flags & _VERSION
    control = flags & _CONTROL != 0
    if version != 3 or len(datagram) < 8:
        return Peek(version, control, 0, 0)
    (identifier,) = _V3_IDENTIFIER.unpack_from(datagram, 4)
    return Peek(3, control, identifier, 0) if control else Peek(3, control, 0, identifier)


def parse_control(datagram: bytes) -> tuple[ControlHeader, bytes]:
    """Split a control message into its header and its body; an empty body is a ZLB.

    Raise `Malformed` otherwise (RFC 2661 3.1).
    """
    size = len(datagram)
    if size < 12:
        msg = f"control header of {size} octets"
        raise Malformed(msg)
    flags, length, tunnel_id, session_id, ns, nr = _WORDS_6.unpack_from(datagram)
    if flags & _CONTROL_MASK != _CONTROL_FLAGS:
        raise Malformed(_control_defect(flags, 2))
    if not 12 <= length <= size:
        msg = f"length field {length} in a datagram of {size} octets"
        raise Malformed(msg)
    return ControlHeader(tunnel_id, session_id, ns, nr), datagram[12:length]


def parse_control3(message: bytes) -> tuple[ControlHeader, bytes]:
    """Split a control message of version 3 into its header and its body; an empty body is a ZLB (RFC 3931 6.15).

    Over IP `message` begins after the four octets of zeros (4.1.1.2). Raise `Malformed` on what is none: such a message
    MUST be discarded (7.1).
    """
    size = len(message)
    if size < 12:
        msg = f"control header of {size} octets"
        raise Malformed(msg)
    flags, length, connection_id, ns, nr = _CONTROL_3.unpack_from(message)
    if flags & _CONTROL_3_MASK != _CONTROL_3_FLAGS:
        raise Malformed(_control_defect(flags, 3))
    if not 12 <= length <= size:
        msg = f"length field {length} in a message of {size} octets"
        raise Malformed(msg)
    return ControlHeader(connection_id, 0, ns, nr), message[12:length]


def _control_defect(flags: int, version: int) -> str:
    if flags & _VERSION != version:
        return f"header version {flags & _VERSION}"
    if not flags & _CONTROL:
        return "not a control message"
    if flags & _CONTROL_BITS == _CONTROL_BITS:
        return "control message with the O bit"
    return "control message without the L or the S bit"


def build_control(tunnel_id: int, session_id: int, ns: int, nr: int, body: bytes) -> bytes:
    """Put a control header before `body`.

    Raise `LocalProtocolError` when the message or a field does not fit (RFC 2661 3.1).
    """
    try:
        return _WORDS_6.pack(_CONTROL_FLAGS, 12 + len(body), tunnel_id, session_id, ns, nr) + body
    except struct.error as error:
        msg = f"control message of {12 + len(body)} octets or a header field does not fit into 16 bits"
        raise LocalProtocolError(msg) from error


def build_control3(connection_id: int, ns: int, nr: int, body: bytes) -> bytes:
    """Put a control header of version 3 before `body`.

    Raise `LocalProtocolError` when the message or a field does not fit (RFC 3931 3.2.1).
    """
    try:
        return _CONTROL_3.pack(_CONTROL_3_FLAGS, 12 + len(body), connection_id, ns, nr) + body
    except struct.error as error:
        msg = f"control message of {12 + len(body)} octets or a header field does not fit"
        raise LocalProtocolError(msg) from error


def parse_data(datagram: Data) -> tuple[DataHeader, Data]:
    """Split a data message into its header and its payload, which is a part of the message's own memory where that is a memoryview.

    Raise `Malformed` when a field is cut off (RFC 2661 3.1).
    """
    if len(datagram) < 6:
        msg = f"data header of {len(datagram)} octets"
        raise Malformed(msg)
    (flags,) = _WORD.unpack_from(datagram)
    if flags & _LAYOUT_MASK != 2:
        msg = "not a data message" if flags & _CONTROL else f"header version {flags & _VERSION}"
        raise Malformed(msg)
    try:
        return _parse_data_fields(datagram, flags)
    except struct.error as error:
        msg = f"data header cut off after {len(datagram)} octets"
        raise Malformed(msg) from error


def _parse_data_fields(datagram: Data, flags: int) -> tuple[DataHeader, Data]:
    end = len(datagram)
    position = 2
    if flags & _LENGTH:
        length, tunnel_id, session_id = _WORDS_3.unpack_from(datagram, 2)
        if length > end:
            msg = f"length field {length} in a datagram of {end} octets"
            raise Malformed(msg)
        end = length
        position = 8
    else:
        tunnel_id, session_id = _WORDS_2.unpack_from(datagram, 2)
        position = 6
    ns: int | None = None
    nr: int | None = None
    if flags & _SEQUENCE:
        ns, nr = _WORDS_2.unpack_from(datagram, position)
        position += 4
    if flags & _OFFSET:
        (offset,) = _WORD.unpack_from(datagram, position)
        position += 2 + offset
    if position > end:
        msg = f"data header of {position} octets in a message of {end}"
        raise Malformed(msg)
    return DataHeader(tunnel_id, session_id, ns, nr, flags & _PRIORITY != 0), datagram[position:end]


def build_data(header: DataHeader, payload: bytes, *, length: bool = True, offset: int | None = None) -> bytes:
    """Put a data header before `payload`, with `offset` octets of padding.

    Raise `LocalProtocolError` on what does not fit.

    The S bit is set when `header.ns` is not None, the O bit when `offset` is not None.
    """
    flags = 2 | (_LENGTH if length else 0) | (_PRIORITY if header.priority else 0)
    try:
        ids = _WORDS_2.pack(header.tunnel_id, header.session_id)
        if header.ns is not None:
            flags |= _SEQUENCE
            ids += _WORDS_2.pack(header.ns, header.nr or 0)
        if offset is not None:
            flags |= _OFFSET
            ids += _WORD.pack(offset) + bytes(offset)
        if length:
            return _WORDS_2.pack(flags, 4 + len(ids) + len(payload)) + ids + payload
        return _WORD.pack(flags) + ids + payload
    except struct.error as error:
        msg = "data message of more than 65535 octets or a header field that does not fit into 16 bits"
        raise LocalProtocolError(msg) from error
