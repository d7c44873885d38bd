"""Messages of DHCPv6 as octets, and their options (RFC 8415 8, 21; RFC 3646). Pure."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from l2tpd.errors import Malformed

_OPTION: Final = struct.Struct("!HH")  # code, octets of data
_IA: Final = struct.Struct("!4sII")  # IAID, T1, T2
_ADDRESS: Final = struct.Struct("!16sII")  # address, preferred and valid lifetime
_PREFIX: Final = struct.Struct("!IIB16s")  # preferred and valid lifetime, length, prefix
LONGEST_DUID: Final = 130  # octets, RFC 8415 11.1


class Kind(enum.IntEnum):
    """What a message is (RFC 8415 7.3)."""

    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    INFORMATION_REQUEST = 11


class Code(enum.IntEnum):
    """Options that we read or write (RFC 8415 21, RFC 3646)."""

    CLIENT_ID = 1
    SERVER_ID = 2
    IA_NA = 3
    IA_TA = 4
    ADDRESS = 5
    PREFERENCE = 7
    STATUS = 13
    RAPID_COMMIT = 14
    DNS = 23
    SEARCH = 24
    IA_PD = 25
    PREFIX = 26


class Status(enum.IntEnum):
    """What has become of a request (RFC 8415 21.13)."""

    SUCCESS = 0
    NO_ADDRESS = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    USE_MULTICAST = 5
    NO_PREFIX = 6


class Option(NamedTuple):
    """An option; unknown ones are kept as they are."""

    code: int
    data: bytes


class Message(NamedTuple):
    """A message between client and server; the transaction has 3 octets."""

    kind: int
    transaction: bytes
    options: tuple[Option, ...]

    def first(self, code: int) -> bytes | None:
        """Return the data of an option, None where it is not."""
        return next((option.data for option in self.options if option.code == code), None)


class Association(NamedTuple):
    """What a client calls an identity association: addresses or prefixes that belong together."""

    code: int  # IA_NA, IA_TA or IA_PD
    iaid: bytes
    options: tuple[Option, ...]


def parse(octets: bytes) -> Message:
    """Read a message. Raises `Malformed`."""
    if len(octets) < 4:
        raise Malformed("a message of DHCPv6 has at least 4 octets")
    return Message(octets[0], octets[1:4], parse_options(octets[4:]))


def build(message: Message) -> bytes:
    """Write a message."""
    return bytes((message.kind,)) + message.transaction + build_options(message.options)


def parse_options(octets: bytes) -> tuple[Option, ...]:
    """Read options, in their order. Raises `Malformed`."""
    found: list[Option] = []
    place = 0
    while place < len(octets):
        if len(octets) - place < _OPTION.size:
            raise Malformed("an option of DHCPv6 is cut off")
        code, size = _OPTION.unpack_from(octets, place)
        place += _OPTION.size
        if len(octets) - place < size:
            raise Malformed(f"option {code} of DHCPv6 is cut off")
        found.append(Option(code, octets[place : place + size]))
        place += size
    return tuple(found)


def build_options(options: Iterable[Option]) -> bytes:
    """Write options."""
    return b"".join(_OPTION.pack(option.code, len(option.data)) + option.data for option in options)


def association(option: Option) -> Association:
    """Read an identity association. Raises `Malformed`."""
    head = 4 if option.code == Code.IA_TA else _IA.size  # RFC 8415 21.5: without times
    if len(option.data) < head:
        raise Malformed(f"option {option.code} of DHCPv6 is too short")
    return Association(option.code, option.data[:4], parse_options(option.data[head:]))


def associated(whole: Association, t1: int = 0, t2: int = 0) -> Option:
    """Write an identity association; the client has to ask again after `t1` seconds, and after `t2` asks anybody."""
    head = whole.iaid if whole.code == Code.IA_TA else _IA.pack(whole.iaid, t1, t2)
    return Option(whole.code, head + build_options(whole.options))


def address_of(data: bytes) -> bytes:
    """Return the 16 octets of the address in an option of that name. Raises `Malformed`."""
    if len(data) < _ADDRESS.size:
        raise Malformed("an address of DHCPv6 is cut off")
    return data[:16]


def prefix_of(data: bytes) -> tuple[bytes, int]:
    """Return the 16 octets of the prefix in an option of that name, and its length. Raises `Malformed`."""
    if len(data) < _PREFIX.size or data[8] > 128:
        raise Malformed("a prefix of DHCPv6 is cut off, or no prefix")
    return data[9:25], data[8]


def address_option(address: bytes, preferred: int, valid: int) -> Option:
    """Write an address with its lifetimes in seconds."""
    return Option(Code.ADDRESS, _ADDRESS.pack(address, preferred, valid))


def prefix_option(prefix: bytes, length: int, preferred: int, valid: int) -> Option:
    """Write a prefix with its lifetimes in seconds."""
    return Option(Code.PREFIX, _PREFIX.pack(preferred, valid, length, prefix))


def domains(names: Iterable[str]) -> bytes:
    """Write domains as RFC 8415 10 has it: label by label, and never shortened."""
    return b"".join(
        b"".join(bytes((len(label),)) + label.encode("ascii") for label in name.removesuffix(".").split(".")) + b"\0"
        for name in names
    )


def status(code: Status, text: str) -> Option:
    """Write what has become of a request."""
    return Option(Code.STATUS, code.to_bytes(2, "big") + text.encode())
