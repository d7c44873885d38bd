"""The header of L2TPv3 data packets (RFC 3931 4.1.1.1, 4.1.2.1) with cookie and default L2-specific sublayer (4.6).

Session id, cookie and sublayer look the same whatever carries them; over UDP four more octets precede them (`OVER_UDP`), so everything here
begins with the session id. A packet does not tell how long its cookie is nor whether it has a sublayer: both ends agreed on that, and a
`Layout` says it. What eats octets of strangers raises `Malformed` and nothing else.
"""

from __future__ import annotations

import struct
from hmac import compare_digest
from typing import Final

import attrs

from l2tpd.errors import LocalProtocolError, Malformed

OVER_UDP: Final = b"\0\3\0\0"
"""What precedes the session id of a data packet over UDP: T bit clear, version 3, reserved octets (RFC 3931 4.1.2.1)."""

COOKIES: Final = (0, 4, 8)
"""How many octets a cookie may have (RFC 3931 4.1)."""

SEQUENCE_BITS: Final = 24
"""The size of a sequence number (RFC 3931 4.6)."""

NUMBERED: Final = 0x40000000
"""The S bit of the sublayer: the sequence number is valid (RFC 3931 4.6)."""

SEQUENCE_MASK: Final = (1 << SEQUENCE_BITS) - 1
WORD: Final = struct.Struct("!I")
_ID: Final = 4


@attrs.frozen
class Layout:
    """What the packets of one direction of a session have between session id and frame: a cookie, and perhaps the default sublayer.

    `sublayer_at` and `frame_at` are offsets from the session id on.
    """

    cookie: bytes = attrs.field(default=b"", repr=False)
    sublayer: bool = False
    sublayer_at: int = attrs.field(init=False)
    frame_at: int = attrs.field(init=False)

    @sublayer_at.default
    def _after_cookie(self) -> int:
        return _ID + len(self.cookie)

    @frame_at.default
    def _after_sublayer(self) -> int:
        return self.sublayer_at + (WORD.size if self.sublayer else 0)

    def has_cookie(self, packet: memoryview) -> bool:
        """Tell whether a packet carries the cookie; how long that takes says nothing of how much of it was right."""
        return not self.cookie or compare_digest(packet[_ID : self.sublayer_at], self.cookie)


def build_data(session_id: int, layout: Layout, frame: bytes, ns: int | None = None) -> bytes:
    """Put session id, cookie and sublayer before a frame; `ns` is its sequence number, or None for a clear S bit.

    Raises `LocalProtocolError` when the session id does not fit into 32 bits, or a number is given and there is no sublayer to carry it.
    """
    return build_header(session_id, layout, ns) + frame


def build_header(session_id: int, layout: Layout, ns: int | None = None) -> bytes:
    """Return what `build_data` puts before a frame. Raises likewise."""
    if ns is not None and not layout.sublayer:
        raise LocalProtocolError("a session without L2-specific sublayer cannot number its packets")
    try:
        head = WORD.pack(session_id) + layout.cookie
    except struct.error as error:
        raise LocalProtocolError(f"session id {session_id} does not fit into 32 bits") from error
    return head + WORD.pack(sublayer_word(ns)) if layout.sublayer else head


def sublayer_word(ns: int | None) -> int:
    """Return the default sublayer as a number: its S bit with a sequence number, which may be beyond 24 bits, or nothing."""
    return 0 if ns is None else NUMBERED | (ns & SEQUENCE_MASK)


def session_of(packet: memoryview) -> int:
    """Read the session id. Raises `Malformed` when it is cut off."""
    if len(packet) < _ID:
        raise Malformed(f"data packet of {len(packet)} octets")
    session_id: int = WORD.unpack_from(packet)[0]
    return session_id


def parse_data(packet: memoryview, layout: Layout) -> tuple[int | None, memoryview]:
    """Split a packet into sequence number, None with a clear S bit, and frame; the cookie is for `Layout.has_cookie` to check.

    Reserved bits of the sublayer are ignored, and so is a number whose S bit is clear (RFC 3931 4.6). Raises `Malformed` when a field is cut off.
    """
    frame_at = layout.frame_at
    if len(packet) < frame_at:
        raise Malformed(f"data packet of {len(packet)} octets, of which its header takes {frame_at}")
    if not layout.sublayer:
        return None, packet[frame_at:]
    word: int = WORD.unpack_from(packet, frame_at - 4)[0]
    return (word & SEQUENCE_MASK if word & NUMBERED else None), packet[frame_at:]
