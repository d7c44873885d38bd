"""What fuzzing begins with: a valid message of every type and the hostile ones of past vulnerabilities, assembled by hand.

Nothing here uses the encoder under test. `THEIRS` and `OURS` are the tunnel ids that the messages speak of; Ns and Nr are 0 and are stamped by
whoever plays a dialogue.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final

OURS: Final = 7
"""The tunnel id of the side under test."""
THEIRS: Final = 9
"""The tunnel id of the attacker's side."""
CALL: Final = 500
"""The session id of the attacker's side."""
SECRET: Final = b"sesame"
VECTOR: Final = bytes(range(16))

_AVP = struct.Struct("!HHH")
_HEADER = struct.Struct("!HHHHHH")
_M: Final = 0x8000
_H: Final = 0x4000


def avp(number: int, value: bytes, *, flags: int = _M, vendor: int = 0, length: int | None = None) -> bytes:
    """Assemble an AVP; `length` lies about its size."""
    return _AVP.pack(flags | ((6 + len(value) if length is None else length) & 0x3FF), vendor, number) + value


def u16(number: int, value: int, flags: int = _M) -> bytes:
    return avp(number, value.to_bytes(2, "big"), flags=flags)


def u32(number: int, value: int, flags: int = _M) -> bytes:
    return avp(number, value.to_bytes(4, "big"), flags=flags)


def hidden(
    number: int, value: bytes, *, inner: int | None = None, vector: bytes = VECTOR, secret: bytes = SECRET
) -> bytes:
    """Assemble an AVP hidden as RFC 2661 4.3 says; `inner` lies about the size of the value."""
    clear = (len(value) if inner is None else inner).to_bytes(2, "big") + value
    cipher, link = b"", number.to_bytes(2, "big") + secret + vector
    for start in range(0, len(clear), 16):
        pad = hashlib.md5(link, usedforsecurity=False).digest()
        block = bytes(one ^ two for one, two in zip(clear[start : start + 16], pad, strict=False))
        cipher, link = cipher + block, secret + block
    return avp(number, cipher, flags=_M | _H)


def body(kind: int, *avps: bytes) -> bytes:
    return u16(0, kind) + b"".join(avps)


def control(content: bytes, tunnel: int = OURS, session: int = 0, ns: int = 0, nr: int = 0) -> bytes:
    """Put a control header before a body."""
    return _HEADER.pack(0xC802, (12 + len(content)) & 0xFFFF, tunnel, session, ns, nr) + content


def stamped(datagram: bytes, tunnel: int, session: int, ns: int, nr: int) -> bytes:
    """Return a datagram with other ids and numbers; one too short for them is left alone."""
    if len(datagram) < 12:
        return datagram
    return datagram[:4] + struct.pack("!HHHH", tunnel, session, ns & 0xFFFF, nr & 0xFFFF) + datagram[12:]


_INTRODUCTION = (u16(2, 0x0100), u32(3, 3), u32(4, 3), avp(7, b"peer"), u16(9, THEIRS), u16(10, 64))
_INTRODUCTION_LESS = _INTRODUCTION[:4]

BODIES: Final[dict[str, bytes]] = {
    "sccrq": body(1, *_INTRODUCTION),
    "sccrq-challenge": body(1, *_INTRODUCTION, avp(11, VECTOR)),
    "sccrq-tie-breaker": body(
        1, *_INTRODUCTION, avp(5, bytes(8), flags=0), avp(8, b"vendor", flags=0), u16(6, 0x0104, 0)
    ),
    "sccrp": body(2, *_INTRODUCTION),
    "sccrp-challenge": body(2, *_INTRODUCTION, avp(11, VECTOR), avp(13, bytes(16))),
    "scccn": body(3),
    "scccn-response": body(3, avp(13, bytes(16))),
    "stopccn": body(4, u16(9, THEIRS), avp(1, struct.pack("!HH", 2, 3) + b"over")),
    "stopccn-short": body(4, u16(9, THEIRS), u16(1, 1)),
    "hello": body(6),
    "ocrq": body(
        7,
        u16(14, CALL),
        u32(15, 1),
        u32(16, 300),
        u32(17, 64_000),
        u32(18, 1),
        u32(19, 1),
        avp(21, b"555"),
        avp(23, b"4"),
    ),
    "ocrp": body(8, u16(14, CALL), u32(25, 1, 0)),
    "occn": body(9, u32(24, 64_000), u32(19, 1), u32(38, 64_000, 0), avp(39, b"")),
    "icrq": body(
        10, u16(14, CALL), u32(15, 1), u32(18, 1), u32(25, 1, 0), avp(21, b"555"), avp(22, b"556"), avp(23, b"4")
    ),
    "icrq-minimal": body(10, u16(14, CALL + 1), u32(15, 2)),
    "icrp": body(11, u16(14, CALL)),
    "iccn": body(12, u32(24, 64_000), u32(19, 1)),
    "iccn-proxy": body(
        12,
        u32(24, 64_000),
        u32(19, 1),
        avp(26, b"\1\4\5\xd4", flags=0),
        avp(27, b"\1\4\5\xd4", flags=0),
        avp(28, b"\1\4\5\xd4", flags=0),
        u16(29, 2, 0),
        avp(30, b"user", flags=0),
        avp(31, VECTOR, flags=0),
        u16(32, 7, 0),
        avp(33, bytes(16), flags=0),
        avp(37, b"group", flags=0),
        u32(38, 64_000, 0),
    ),
    "cdn": body(14, avp(1, struct.pack("!HH", 2, 4) + b"over"), u16(14, CALL), avp(12, b"\0\x10\x1fQ.931")),
    "cdn-disconnect-cause": body(14, u16(1, 3), u16(14, CALL), avp(46, b"\0\1\xc0\x21\1because", flags=0)),
    "wen": body(15, avp(34, bytes(26))),
    "sli": body(16, avp(35, bytes(10))),
    "csun": body(28, avp(97, struct.pack("!HHII", 0, CALL, 1, 2), flags=0)),
    "unknown-type": body(99),
    "unknown-type-optional": u16(0, 99, 0),
    "hidden-sccrp": body(
        2, u16(2, 0x0100), u32(3, 3), avp(7, b"peer"), avp(36, VECTOR), hidden(9, b"\0\x09"), hidden(4, b"\0\0\0\3")
    ),
    "hidden-icrq": body(
        10, avp(36, VECTOR), hidden(14, struct.pack("!H", CALL)), hidden(15, b"\0\0\0\1"), hidden(22, b"5" * 40)
    ),
    "hidden-iccn": body(
        12, avp(36, VECTOR), hidden(24, b"\0\0\xfa\0"), hidden(19, b"\0\0\0\1"), hidden(33, b"password")
    ),
    "hidden-cdn": body(14, u16(1, 3), avp(36, VECTOR), hidden(14, struct.pack("!H", CALL))),
}
"""A valid body of every kind of message."""

HOSTILE: Final[dict[str, bytes]] = {
    **{f"avp-length-{length}": body(1, *_INTRODUCTION, avp(8, b"vendor", length=length)) for length in range(6)},
    **{
        f"icrq-avp-length-{length}": body(10, u16(14, CALL), u32(15, 1), avp(22, b"556", length=length))
        for length in range(6)
    },
    "avp-length-past-the-end": body(1, *_INTRODUCTION, avp(8, b"v", length=1023)),
    "message-type-length-0": avp(0, b"\0\1", length=0),
    "message-type-length-1023": avp(0, b"\0\1", length=1023),
    "message-type-missing": b"".join(_INTRODUCTION),
    "message-type-hidden": hidden(0, b"\0\1") + b"".join(_INTRODUCTION),
    "message-type-twice": body(1, u16(0, 4), *_INTRODUCTION),
    "five-octets-behind-the-last": body(6) + bytes(5),
    **{
        f"hidden-inner-length-{inner}": body(10, avp(36, VECTOR), hidden(14, b"\1\xf4", inner=inner), u32(15, 1))
        for inner in (0, 1, 3, 14, 15, 0xFFFF)
    },
    "hidden-two-blocks-inner-length-ffff": body(
        10, u16(14, CALL), u32(15, 1), avp(36, VECTOR), hidden(22, b"5" * 40, inner=0xFFFF)
    ),
    "hidden-wrong-secret": body(10, avp(36, VECTOR), hidden(14, b"\1\xf4", secret=b"other"), u32(15, 1)),
    "hidden-without-vector": body(10, hidden(14, b"\1\xf4"), u32(15, 1)),
    "hidden-vector-late": body(10, hidden(14, b"\1\xf4"), avp(36, VECTOR), u32(15, 1)),
    "hidden-vector-empty": body(10, avp(36, b""), hidden(14, b"\1\xf4", vector=b""), u32(15, 1)),
    "hidden-vector-1017": body(10, avp(36, bytes(1017)), hidden(14, b"\1\xf4", vector=bytes(1017)), u32(15, 1)),
    "hidden-vector-repeated": body(10, *[avp(36, VECTOR)] * 50, hidden(14, b"\1\xf4"), u32(15, 1)),
    "hidden-nothing": body(10, avp(36, VECTOR), avp(14, b"", flags=_M | _H), u32(15, 1)),
    "hidden-one-octet": body(10, avp(36, VECTOR), avp(14, b"\0", flags=_M | _H), u32(15, 1)),
    "strings-of-1017": body(
        10, u16(14, CALL), u32(15, 1), avp(21, b"5" * 1017), avp(22, b"6" * 1017), avp(23, b"7" * 1017)
    ),
    "host-name-of-1017": body(1, *_INTRODUCTION_LESS[:3], avp(7, b"h" * 1017), u16(9, THEIRS)),
    "host-name-empty": body(1, *_INTRODUCTION_LESS[:3], avp(7, b""), u16(9, THEIRS)),
    "host-name-no-utf8": body(1, *_INTRODUCTION_LESS[:3], avp(7, b"\xff\xfe\x80"), u16(9, THEIRS)),
    "host-name-controls": body(1, *_INTRODUCTION_LESS[:3], avp(7, b"\x1b[2J\r\nroot: \0 \xe2\x80\xae"), u16(9, THEIRS)),
    **{
        f"fixed-layout-{number}-of-{size}": body(14, u16(1, 3), u16(14, CALL), avp(number, bytes(size)))
        for number in (1, 12, 34, 35, 46)
        for size in (0, 1, 3)
    },
    "wen-short": body(15, avp(34, bytes(25))),
    "sli-long": body(16, avp(35, bytes(11))),
    "result-code-empty": body(4, u16(9, THEIRS), avp(1, b"")),
    "result-code-odd": body(4, u16(9, THEIRS), avp(1, b"\0\1\0")),
    "result-code-long-text": body(4, u16(9, THEIRS), avp(1, b"\0\2\0\6" + b"\xff" * 1013)),
    "tie-breaker-of-7": body(1, *_INTRODUCTION, avp(5, bytes(7), flags=_M)),
    "tunnel-id-0": body(1, *_INTRODUCTION_LESS, u16(9, 0)),
    "window-0": body(1, *_INTRODUCTION_LESS, u16(9, THEIRS), u16(10, 0)),
    "challenge-empty": body(1, *_INTRODUCTION, avp(11, b"")),
    "challenge-of-1017": body(1, *_INTRODUCTION, avp(11, bytes(1017))),
    "unknown-mandatory": body(1, *_INTRODUCTION, avp(999, b"?")),
    "vendor-mandatory": body(1, *_INTRODUCTION, avp(1, b"?", vendor=9)),
    "reserved-bits": body(1, *_INTRODUCTION, avp(8, b"v", flags=_M | 0x3C00)),
    "ten-thousand-avps": body(1, *_INTRODUCTION, avp(8, b"", flags=0) * 10_000),
    "thousands-of-updates": body(28, avp(97, struct.pack("!HHII", 0, CALL, 1, 2), flags=0) * 3_600),
    "thousands-of-unknown": body(10, u16(14, CALL), u32(15, 1), avp(999, b"", flags=0) * 10_000),
}
"""Bodies that broke other people's daemons, or would have."""

RAW: Final[dict[str, bytes]] = {
    "empty": b"",
    "one-octet": b"\xc8",
    "flags-only": b"\xc8\x02",
    "zlb": control(b""),
    "zlb-to-tunnel-0": control(b"", tunnel=0),
    "zlb-cut": control(b"")[:11],
    "length-0": b"\xc8\x02\0\0" + control(b"")[4:],
    "length-11": b"\xc8\x02\0\x0b" + control(b"")[4:],
    "length-ffff": b"\xc8\x02\xff\xff" + control(BODIES["sccrq"], tunnel=0)[4:],
    "version-0": b"\xc8\0" + control(BODIES["sccrq"], tunnel=0)[2:],
    "version-1": b"\xc8\x01" + control(BODIES["sccrq"], tunnel=0)[2:],
    "version-3": b"\xc8\x03" + control(BODIES["sccrq"], tunnel=0)[2:],
    "no-length-bit": b"\x88\x02" + control(b"")[2:],
    "no-sequence-bit": b"\xc0\x02" + control(b"")[2:],
    "offset-bit": b"\xca\x02" + control(BODIES["hello"])[2:],
    "all-flags": b"\xff\xf2" + control(BODIES["hello"])[2:],
    "data": b"\x40\x02\0\x0c\0\x07\0\x01" + bytes(4),
    "data-offset-past-the-end": b"\x42\x02\0\x0c\0\x07\0\x01\xff\xff" + bytes(2),
    "data-short": b"\0\x02\0\x07\0",
    "data-everything": b"\x4b\x02\0\x14\0\x07\0\x01\0\0\0\0\0\2" + bytes(6),
}
"""Datagrams whose header is the attack."""


def datagrams() -> dict[str, bytes]:
    """Return every seed as a datagram, by name. SCCRQs go to tunnel 0, as a stranger's must."""
    made = dict(RAW)
    for name, content in (BODIES | HOSTILE).items():
        tunnel = 0 if content[6:8] == b"\0\1" and content[4:6] == b"\0\0" else OURS
        made[name] = control(content, tunnel=tunnel)
    return made
