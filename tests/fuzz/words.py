"""What a peer of either version says to a core under attack: its seeds, and how they are brought to the ids and numbers of a living dialogue."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from fuzz import seeds, seeds3
from l2tpd.tunnel.dialect import V2, V3, Dialect

_CALLS: Final = ("icrq", "ocrq", "icrp", "ocrp", "iccn", "occn", "wen", "sli", "cdn", "hello")


class Words(NamedTuple):
    """The words of one version."""

    dialect: Dialect
    pool: tuple[bytes, ...]  # datagrams to be mutated
    calls: tuple[bytes, ...]  # bodies about a call, and HELLO
    bodies: Mapping[str, bytes]  # one message of each type
    about: Callable[[bytes, int, int], bytes]  # a body, speaking of the peer's session id and of ours
    introduction: Callable[[int, bytes], bytes]  # an SCCRQ or SCCRP with this nonce, where it is not empty
    stamped: Callable[[bytes, int, int, int, int], bytes]


def _about2(body: bytes, theirs: int, ours: int) -> bytes:
    del ours  # it stands in the header
    return body.replace(seeds.u16(14, seeds.CALL), seeds.u16(14, theirs & 0xFFFF))


def _about3(body: bytes, theirs: int, ours: int) -> bytes:
    told = body.replace(seeds.u32(63, 0x101), seeds.u32(63, theirs))
    return told.replace(seeds.u32(64, 0x202), seeds.u32(64, ours))


def _introduction2(kind: int, nonce: bytes) -> bytes:
    del nonce
    return seeds.BODIES["sccrq" if kind == 1 else "sccrp"]


def _introduction3(kind: int, nonce: bytes) -> bytes:
    return seeds.body(kind, *seeds3.INTRODUCTION, *([seeds.avp(73, nonce)] if nonce else []))


def _stamped3(datagram: bytes, connection: int, session: int, ns: int, nr: int) -> bytes:
    del session  # it stands in an AVP
    if len(datagram) < 12:
        return datagram
    return datagram[:4] + struct.pack("!IHH", connection, ns & 0xFFFF, nr & 0xFFFF) + datagram[12:]


def _short(datagrams: Mapping[str, bytes]) -> tuple[bytes, ...]:
    return tuple(data for data in datagrams.values() if len(data) < 2000)


WORDS2: Final = Words(
    V2,
    _short(seeds.datagrams()),
    tuple(seeds.BODIES[name] for name in (*_CALLS, "icrq-minimal", "hidden-icrq", "hidden-cdn")),
    seeds.BODIES,
    _about2,
    _introduction2,
    seeds.stamped,
)
WORDS3: Final = Words(
    V3,
    _short(seeds3.datagrams()),
    tuple(seeds3.BODIES[f"{name}3"] for name in (*_CALLS, "hidden-icrq")),
    {name.removesuffix("3"): body for name, body in seeds3.BODIES.items()},
    _about3,
    _introduction3,
    _stamped3,
)
BOTH: Final = (WORDS2, WORDS3)
