"""What fuzzing the decoders of version 3 begins with: every message of RFC 3931 and ways to get one wrong, assembled by hand."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Final

from fuzz.seeds import SECRET, VECTOR, avp, body, hidden, u16, u32

NONCES: Final = (bytes(range(16)), bytes(range(50, 73)))
"""Of the sender and of the receiver of every signed seed."""

_HIDING: Final = hmac.new(SECRET, b"\1", hashlib.md5).digest()
_SIGNING: Final = hmac.new(SECRET, b"\2", hashlib.md5).digest()
INTRODUCTION: Final = (avp(7, b"lcce"), u32(60, 1), u32(61, 0x01020304), avp(62, b"\0\5\0\4\0\7"))
_SESSION: Final = (u32(63, 0x101), u32(64, 0x202))
_CALL: Final = (u32(63, 0x101), u32(64, 0), u32(15, 1, 0), u16(68, 5), avp(66, b"circuit"), u16(71, 3))
_DATA: Final = (u16(69, 1), u16(70, 2), avp(74, bytes(8), flags=0), avp(75, bytes(8), flags=0))


def control3(content: bytes, connection: int = 7, ns: int = 0, nr: int = 0) -> bytes:
    """Put a control header of version 3 before a body."""
    return struct.pack("!HHIHH", 0xC803, (12 + len(content)) & 0xFFFF, connection, ns, nr) + content


def signed(kind: int, *avps: bytes, name: str = "md5") -> bytes:
    """Assemble a whole message with its digest right behind the Message Type (RFC 3931 5.4.1)."""
    size = hashlib.new(name).digest_size
    blank = control3(body(kind, avp(59, bytes((name == "sha1",)) + bytes(size)), *avps))
    nonces = b"" if kind == 1 else b"".join(NONCES)
    digest = hmac.new(_SIGNING, nonces + blank, name).digest()
    return blank[:27] + digest + blank[27 + size :]


BODIES: Final[dict[str, bytes]] = {
    "sccrq3": body(
        1, *INTRODUCTION, avp(5, bytes(8)), avp(8, b"vendor", flags=0), u16(10, 64), avp(72, b"en", flags=0)
    ),
    "sccrq3-nonce": body(1, *INTRODUCTION, avp(73, NONCES[0])),
    "sccrq3-of-both": body(1, u16(2, 0x0100), u32(3, 3), u16(9, 9), *INTRODUCTION),
    "sccrp3": body(2, *INTRODUCTION, avp(73, NONCES[1]), u16(10, 64)),
    "scccn3": body(3),
    "stopccn3": body(4, avp(1, struct.pack("!HH", 2, 3) + b"over"), u32(61, 0x01020304)),
    "stopccn3-no-id": body(4, u16(1, 1), u32(61, 0)),
    "hello3": body(6),
    "ocrq3": body(7, *_CALL, avp(65, bytes(8)), *_DATA),
    "ocrp3": body(8, *_SESSION, u16(71, 1), avp(65, bytes(4)), *_DATA, u32(25, 1, 0)),
    "occn3": body(9, *_SESSION, *_DATA, u16(71, 1)),
    "icrq3": body(10, *_CALL, avp(65, b""), avp(5, bytes(8)), *_DATA, u32(25, 1, 0)),
    "icrp3": body(11, *_SESSION, u16(71, 1), avp(65, bytes(8)), *_DATA),
    "iccn3": body(12, *_SESSION, *_DATA, u16(71, 1)),
    "cdn3": body(14, avp(1, struct.pack("!HH", 14, 0) + b"no"), *_SESSION),
    "wen3": body(15, *_SESSION, avp(34, bytes(26), flags=0)),
    "sli3": body(16, *_SESSION, u16(71, 0x7C)),
    "ack3": body(20),
    "vendors3": body(6, *[avp(58, struct.pack("!IH", 1 << 16, number) + b"x", flags=0) for number in range(3)]),
    "vendor-type3": avp(0, b"\0\1", vendor=9),
    "hidden-icrq3": body(
        10,
        avp(36, VECTOR),
        hidden(63, b"\0\0\1\1", secret=_HIDING),
        hidden(66, b"c" * 40, secret=_HIDING),
        hidden(58, struct.pack("!IH", 1 << 16, 1), secret=_HIDING),
    ),
    "cookie-of-5": body(10, *_CALL, avp(65, bytes(5))),
    "capabilities-odd": body(1, *INTRODUCTION[:3], avp(62, bytes(3))),
    "capabilities-none": body(1, *INTRODUCTION[:3], avp(62, b"")),
    "reserved-bits3": body(6, avp(66, b"x", flags=0xBC00)),
    "vendor-avp-short": body(6, avp(58, bytes(5), flags=0)),
    "digest-empty": body(6, avp(59, b"")),
    "digest-late": body(6, avp(66, b"x"), avp(59, bytes(17))),
    "digest-short": body(6, avp(59, b"\0" * 3)),
    "digest-length-lies": body(6, avp(59, bytes(17), length=300)),
    "digests-many": body(6, *[avp(59, bytes(17))] * 500),
    "vendors-many": body(6, *[avp(58, bytes(6), flags=0)] * 4_000),
}
"""Bodies: what each message may carry, and what it may not."""

RAW: Final[dict[str, bytes]] = {
    "zlb3": control3(b""),
    "zlb3-cut": control3(b"")[:11],
    "zlb3-over-ip": bytes(4) + control3(b""),
    "length3-11": b"\xc8\x03\0\x0b" + control3(b"")[4:],
    "no-length-bit3": b"\x88\x03" + control3(b"")[2:],
    "all-flags3": b"\xff\xf3" + control3(body(6))[2:],
    "data3": bytes.fromhex("0003 0000 00000101 0102030405060708 40000001") + b"frame",
    "data3-short": b"\0\3\0\0\0\0\1",
    "signed-sccrq3": signed(1, *INTRODUCTION, avp(73, NONCES[0])),
    "signed-hello3": signed(6),
    "signed-icrq3": signed(10, *_CALL, name="sha1"),
}
"""Datagrams whose header is the attack, and messages with a digest that is right."""


def datagrams() -> dict[str, bytes]:
    """Return every seed as a datagram, by name."""
    return RAW | {name: control3(content) for name, content in BODIES.items()}
