"""AVP values that are more than a number, a text or octets; each knows its own layout.

`unpack` of each gets octets whose number the AVP table has already checked against the row; `pack` raises
`ValueError`, `TypeError` or `struct.error` on what does not fit, which the encoder turns into `LocalProtocolError`.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import attrs

_WORD: Final = struct.Struct("!H")
_WORDS: Final = struct.Struct("!HH")
_CAUSE: Final = struct.Struct("!HB")
_CALL_ERRORS: Final = struct.Struct("!HIIIIII")
_ACCM: Final = struct.Struct("!HII")
_DISCONNECT: Final = struct.Struct("!HHB")
_SPEEDS: Final = struct.Struct("!HHII")
_EXTENDED: Final = struct.Struct("!IH")
_COOKIE_SIZES: Final = (0, 4, 8)


class ProtocolVersion(NamedTuple):
    """Version and revision of the protocol, 1.0 for RFC 2661 (4.4.3); compares equal to a plain `(1, 0)`."""

    version: int = 1
    revision: int = 0


@attrs.frozen
class ResultCode:
    """Why a tunnel or a session ends (RFC 2661 4.4.2).

    `error` is None when the peer gave none, `message` is text for people.
    """

    result: int
    error: int | None = None
    message: str = ""

    def pack(self) -> bytes:
        """Give the 2, 4 or more octets.

        A message without an error code travels with error code 0, as the layout demands.
        """
        if self.error is None and not self.message:
            return _WORD.pack(self.result)
        return _WORDS.pack(self.result, self.error or 0) + pack_text(self.message)

    @classmethod
    def unpack(cls, octets: bytes) -> ResultCode:
        """Read 2 octets, or 4 and a message; raise `ValueError` on 3."""
        if len(octets) == 2:
            return cls(int.from_bytes(octets, "big"))
        if len(octets) == 3:
            msg = "half an error code"
            raise ValueError(msg)
        result, error = _WORDS.unpack_from(octets)
        return cls(result, error, unpack_text(octets[4:]))


@attrs.frozen
class Q931Cause:
    """A Q.931 cause code, the message code that came with it, and an optional ASCII advisory (RFC 2661 4.4.4)."""

    cause: int
    message: int
    advisory: str = ""

    def pack(self) -> bytes:
        """Give 3 octets and the advisory."""
        return _CAUSE.pack(self.cause, self.message) + pack_text(self.advisory)

    @classmethod
    def unpack(cls, octets: bytes) -> Q931Cause:
        """Read 3 octets or more."""
        cause, message = _CAUSE.unpack_from(octets)
        return cls(cause, message, unpack_text(octets[3:]))


@attrs.frozen
class CallErrors:
    """Cumulative counters of a call since it was established, 32 bits each (RFC 2661 4.4.6)."""

    crc_errors: int = 0
    framing_errors: int = 0
    hardware_overruns: int = 0
    buffer_overruns: int = 0
    timeout_errors: int = 0
    alignment_errors: int = 0

    def pack(self) -> bytes:
        """Give 26 octets, the reserved field being 0."""
        return _CALL_ERRORS.pack(
            0,
            self.crc_errors,
            self.framing_errors,
            self.hardware_overruns,
            self.buffer_overruns,
            self.timeout_errors,
            self.alignment_errors,
        )

    @classmethod
    def unpack(cls, octets: bytes) -> CallErrors:
        """Read 26 octets; the reserved field is ignored."""
        return cls(*_CALL_ERRORS.unpack(octets)[1:])


@attrs.frozen
class AccmValue:
    """The async control character maps that the LAC should use for sending and receiving (RFC 2661 4.4.6)."""

    send: int = 0xFFFFFFFF
    receive: int = 0xFFFFFFFF

    def pack(self) -> bytes:
        """Give 10 octets, the reserved field being 0."""
        return _ACCM.pack(0, self.send, self.receive)

    @classmethod
    def unpack(cls, octets: bytes) -> AccmValue:
        """Read 10 octets; the reserved field is ignored."""
        return cls(*_ACCM.unpack(octets)[1:])


@attrs.frozen
class DisconnectCause:
    """Why PPP ended, for accounting and logs only (RFC 3145 2)."""

    code: int
    protocol: int = 0
    direction: int = 0
    message: str = ""

    def pack(self) -> bytes:
        """Give 5 octets and the message."""
        return _DISCONNECT.pack(self.code, self.protocol, self.direction) + pack_text(self.message)

    @classmethod
    def unpack(cls, octets: bytes) -> DisconnectCause:
        """Read 5 octets or more."""
        code, protocol, direction = _DISCONNECT.unpack_from(octets)
        return cls(code, protocol, direction, unpack_text(octets[5:]))


@attrs.frozen
class ConnectSpeed:
    """The present speeds of one session in bits per second (RFC 5515); `session_id` is the recipient's."""

    session_id: int
    tx: int = 0
    rx: int = 0

    def pack(self) -> bytes:
        """Give 12 octets, the reserved field being 0."""
        return _SPEEDS.pack(0, self.session_id, self.tx, self.rx)

    @classmethod
    def unpack(cls, octets: bytes) -> ConnectSpeed:
        """Read 12 octets; the reserved field is ignored."""
        return cls(*_SPEEDS.unpack(octets)[1:])


@attrs.frozen
class ExtendedAvp:
    """An attribute of a vendor whose number has 32 bits, in the value of an Extended Vendor ID AVP (RFC 3931 5.1)."""

    vendor: int
    number: int
    value: bytes = b""

    def pack(self) -> bytes:
        """Give 6 octets and the value."""
        return _EXTENDED.pack(self.vendor, self.number) + self.value

    @classmethod
    def unpack(cls, octets: bytes) -> ExtendedAvp:
        """Read 6 octets or more."""
        vendor, number = _EXTENDED.unpack_from(octets)
        return cls(vendor, number, octets[6:])


@attrs.frozen
class MessageDigest:
    """A digest as it stands in a message; whether it is right is for `wire.digest3` to say (RFC 3931 5.4.1)."""

    kind: int
    digest: bytes

    def __len__(self) -> int:
        """Count the octets of the AVP's value."""
        return 1 + len(self.digest)

    def pack(self) -> bytes:
        """Give 1 octet and the digest."""
        return bytes((self.kind,)) + self.digest

    @classmethod
    def unpack(cls, octets: bytes) -> MessageDigest:
        """Read 1 octet or more."""
        return cls(octets[0], octets[1:])


def pack_pseudowires(kinds: tuple[int, ...]) -> bytes:
    """Lay out a list of pseudowire types, 2 octets each (RFC 3931 5.4.3)."""
    return struct.pack(f"!{len(kinds)}H", *kinds)


def unpack_pseudowires(octets: bytes) -> tuple[int, ...]:
    """Read a list of pseudowire types; raise `ValueError` on half of one."""
    if len(octets) % 2:
        msg = "ends with half a pseudowire type"
        raise ValueError(msg)
    return struct.unpack(f"!{len(octets) // 2}H", octets)


def pack_cookie(cookie: bytes) -> bytes:
    """Check a cookie and give it as it is; raise `ValueError` unless it has 0, 4 or 8 octets (RFC 3931 5.4.4)."""
    if len(cookie) not in _COOKIE_SIZES:
        msg = f"of {len(cookie)} octets, not 0, 4 or 8"
        raise ValueError(msg)
    return b"".join((cookie,))


def unpack_cookie(octets: bytes) -> bytes:
    """Read a cookie; raise `ValueError` unless it has 0, 4 or 8 octets."""
    return pack_cookie(bytes(octets))


def pack_text(text: str) -> bytes:
    """Encode text as UTF-8, giving back the very octets that `unpack_text` could not decode."""
    return text.encode("utf-8", "surrogateescape")


def unpack_text(octets: bytes) -> str:
    """Decode UTF-8 (RFC 2661 4.4.2, 4.4.3); octets that are none survive as lone surrogates."""
    return octets.decode("utf-8", "surrogateescape")
