"""Netlink messages as bytes: the framing that all of its families share (linux/netlink.h, in the byte order of this machine). Pure.

A message is a header and a body; a body ends in attributes, each with its length, its kind and a value, padded to four octets. An answer is the
acknowledgement of a request, with the kernel's error number and perhaps its words, the end of a dump, or a part of what was asked for.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

REQUEST: Final = 0x1
ACK: Final = 0x4
DUMP: Final = 0x300
EXCLUSIVE: Final = 0x200  # of a request that makes something: there must be none yet
CREATE: Final = 0x400
REPLACE: Final = 0x100  # ... whatever is there

HEADER: Final = struct.Struct("=IHHII")  # length, kind, flags, sequence number, port
ATTRIBUTE: Final = struct.Struct("=HH")  # length, kind
_KIND_MASK: Final = 0x3FFF  # less the flags of nesting and byte order
_NESTED: Final = 0x8000
_ERROR: Final = struct.Struct("=i")
_CAPPED, _ACK_TLVS = 0x100, 0x200
_KIND_ERROR, _KIND_DONE = 2, 3
_NLMSGERR_ATTR_MSG: Final = 1


class Answer(NamedTuple):
    """One message of the kernel: an acknowledgement or the end of a dump (`final`), with `errno` 0 if all is well, or a part of the answer."""

    sequence: int
    final: bool
    errno: int = 0
    text: str = ""
    body: bytes = b""  # the whole message, header and all


# --- requests ---------------------------------------------------------------------------------------------------------------------


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Return a message to the kernel."""
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def unacknowledged(request: bytes) -> bytes:
    """Return a request that the kernel answers only if it refuses it."""
    length, kind, flags, sequence, port = HEADER.unpack_from(request)
    return HEADER.pack(length, kind, flags & ~ACK, sequence, port) + request[HEADER.size :]


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute."""
    length = ATTRIBUTE.size + len(value)
    return ATTRIBUTE.pack(length, kind) + value + bytes(-length & 3)


def nested(kind: int, *inner: bytes) -> bytes:
    """Return an attribute that consists of attributes."""
    return attribute(kind | _NESTED, b"".join(inner))


# --- answers ----------------------------------------------------------------------------------------------------------------------


def answers(data: bytes) -> Iterator[Answer]:
    """Take apart what one reading of the socket gave."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, flags, sequence, _port = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        body = data[offset : offset + length]
        offset += (length + 3) & ~3
        if kind in {_KIND_ERROR, _KIND_DONE}:
            yield _final(body, flags, sequence)
        else:
            yield Answer(sequence, False, 0, "", body)


def attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield kind and value of the attributes from an offset on, as far as they are whole."""
    size, unpack, end = ATTRIBUTE.size, ATTRIBUTE.unpack_from, len(data) - ATTRIBUTE.size
    while offset <= end:
        length, kind = unpack(data, offset)
        if length < size:
            return
        yield kind & _KIND_MASK, data[offset + size : offset + length]
        offset += (length + 3) & ~3


def number(value: bytes) -> int:
    """Read an unsigned number of any width, in the byte order of this machine; of nothing, 0."""
    return int.from_bytes(value, sys.byteorder)


def text(value: bytes) -> str:
    """Read text that ends in a zero."""
    return value.rstrip(b"\0").decode(errors="replace")


# --- within -----------------------------------------------------------------------------------------------------------------------


def _final(body: bytes, flags: int, sequence: int) -> Answer:
    code = _ERROR.unpack_from(body, HEADER.size)[0] if len(body) >= HEADER.size + _ERROR.size else 0
    words = _extended_text(body, flags) if flags & _ACK_TLVS else ""
    return Answer(sequence, True, -code, words)


def _extended_text(body: bytes, flags: int) -> str:
    """Return what the kernel says in words; it follows the request, of which a capped answer repeats only the header."""
    start = HEADER.size + _ERROR.size
    if len(body) < start + HEADER.size:
        return ""
    repeated = HEADER.size if flags & _CAPPED else HEADER.unpack_from(body, start)[0]
    words = (value for kind, value in attributes(body, start + ((repeated + 3) & ~3)) if kind == _NLMSGERR_ATTR_MSG)
    return text(next(words, b""))
