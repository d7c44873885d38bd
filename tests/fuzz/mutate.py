"""Mutations of datagrams: the ways in which a message goes wrong, each one function, repeatable by the dice handed in."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

HEADER_SIZE: Final = 12
LONGEST: Final = 4096
"""Mutants do not grow beyond this, so that repeated splicing stays cheap."""

_BOUNDARIES: Final = (0, 1, 5, 6, 7, 8, 11, 12, 0x7F, 0x80, 0xFF, 0x100, 0x3FF, 0x400, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)

Mutation = Callable[[bytearray, Random], None]


def spans(data: bytes | bytearray, start: int = HEADER_SIZE) -> list[tuple[int, int]]:
    """Return (begin, end) of each AVP as far as their lengths make sense."""
    found: list[tuple[int, int]] = []
    end = len(data)
    while end - start >= 6:
        size = int.from_bytes(data[start : start + 2], "big") & 0x3FF
        if size < 6 or start + size > end:
            break
        found.append((start, start + size))
        start += size
    return found


def repaired(data: bytearray) -> bytes:
    """Return the datagram with the Length of its header set right, so that the mutation behind it is reached."""
    if len(data) >= HEADER_SIZE and data[0] & 0x40:
        data[2:4] = (len(data) & 0xFFFF).to_bytes(2, "big")
    return bytes(data)


def mutated(data: bytes, dice: Random, *, repair: float = 0.9) -> bytes:
    """Return a copy with one to four mutations; `repair` is the share of copies whose Length is set right afterwards."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 4))):
        dice.choice(MUTATIONS)(changed, dice)
    return repaired(changed) if dice.random() < repair else bytes(changed)


def _flip_bit(data: bytearray, dice: Random) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _set_octet(data: bytearray, dice: Random) -> None:
    if data:
        data[dice.randrange(len(data))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))


def _set_word(data: bytearray, dice: Random) -> None:
    if len(data) >= 2:
        at = dice.randrange(len(data) - 1)
        data[at : at + 2] = dice.choice(_BOUNDARIES).to_bytes(2, "big")


def _cut(data: bytearray, dice: Random) -> None:
    del data[dice.randrange(len(data) + 1) :]


def _append(data: bytearray, dice: Random) -> None:
    if len(data) < LONGEST:
        data += dice.randbytes(dice.choice((1, 2, 5, 6, 7, 40, 300)))


def _remove(data: bytearray, dice: Random) -> None:
    if data:
        at = dice.randrange(len(data))
        del data[at : at + dice.randrange(1, 9)]


def _insert(data: bytearray, dice: Random) -> None:
    at = dice.randrange(len(data) + 1)
    data[at:at] = dice.randbytes(dice.randrange(1, 9))


def _header_length(data: bytearray, dice: Random) -> None:
    if len(data) >= 4:
        data[2:4] = (dice.choice((*_BOUNDARIES, len(data) - 1, len(data) + 1)) & 0xFFFF).to_bytes(2, "big")


def _avp_length(data: bytearray, dice: Random) -> None:
    if found := spans(data):
        begin, end = dice.choice(found)
        size = dice.choice((0, 1, 2, 3, 4, 5, 6, 7, end - begin - 1, end - begin + 1, 1022, 1023)) & 0x3FF
        data[begin] = data[begin] & 0xFC | size >> 8
        data[begin + 1] = size & 0xFF


def _avp_bits(data: bytearray, dice: Random) -> None:
    if found := spans(data):
        data[dice.choice(found)[0]] ^= dice.choice((0x80, 0x40, 0xC0, 0x20, 0x04, 0x3C))


def _avp_number(data: bytearray, dice: Random) -> None:
    if found := spans(data):
        begin, _ = dice.choice(found)
        data[begin + 4 : begin + 6] = dice.choice(
            (dice.randrange(40), dice.randrange(100), dice.randrange(0x10000))
        ).to_bytes(2, "big")


def _avp_vendor(data: bytearray, dice: Random) -> None:
    if found := spans(data):
        begin, _ = dice.choice(found)
        data[begin + 2 : begin + 4] = dice.choice((9, 311, 3561, 0, 0xFFFF)).to_bytes(2, "big")


def _avp_value(data: bytearray, dice: Random) -> None:
    if found := spans(data):
        begin, end = dice.choice(found)
        data[begin + 6 : end] = dice.randbytes(end - begin - 6)


def _avp_resized(data: bytearray, dice: Random) -> None:
    if found := spans(data):
        begin, end = dice.choice(found)
        value = dice.randbytes(dice.choice((0, 1, 2, 3, 4, 8, 10, 16, 26, 1017)))
        size = 6 + len(value)
        data[begin:end] = bytes((data[begin] & 0xFC | size >> 8, size & 0xFF)) + data[begin + 2 : begin + 6] + value


def _avp_twice(data: bytearray, dice: Random) -> None:
    if (found := spans(data)) and len(data) < LONGEST:
        begin, end = dice.choice(found)
        at = dice.choice(found)[1]
        data[at:at] = data[begin:end] * dice.choice((1, 1, 2, 5))


def _avp_gone(data: bytearray, dice: Random) -> None:
    if found := spans(data):
        begin, end = dice.choice(found)
        del data[begin:end]


def _avps_swapped(data: bytearray, dice: Random) -> None:
    if len(found := spans(data)) > 1:
        (one, two), (three, four) = sorted(dice.sample(found, 2))
        data[one:four] = data[three:four] + data[two:three] + data[one:two]


def _vector_before(data: bytearray, dice: Random) -> None:
    """Put a Random Vector in, and make what follows it hidden."""
    if found := spans(data):
        at = dice.choice(found)[1]
        size = dice.choice((0, 1, 16, 16, 16, 1017))
        if at < len(data):
            data[at] |= 0x40
        data[at:at] = (0x8000 | 6 + size).to_bytes(2, "big") + b"\0\0\0\x24" + dice.randbytes(size)


def _other_type(data: bytearray, dice: Random) -> None:
    if len(data) >= HEADER_SIZE + 8:
        kind = dice.choice((dice.randrange(18), dice.randrange(32), dice.randrange(0x10000)))
        data[HEADER_SIZE + 6 : HEADER_SIZE + 8] = kind.to_bytes(2, "big")


def splice(one: bytes, two: bytes, dice: Random) -> bytes:
    """Return the head of one datagram with AVPs of another behind it."""
    ours, theirs = spans(one), spans(two)
    if not ours or not theirs:
        return one + two[HEADER_SIZE:]
    kept = one[: dice.choice(ours)[1]]
    taken = b"".join(two[begin:end] for begin, end in dice.choices(theirs, k=dice.randrange(1, 5)))
    return repaired(bytearray(kept + taken))


MUTATIONS: Final[tuple[Mutation, ...]] = (
    _flip_bit,
    _set_octet,
    _set_word,
    _cut,
    _append,
    _remove,
    _insert,
    _header_length,
    _avp_length,
    _avp_bits,
    _avp_number,
    _avp_vendor,
    _avp_value,
    _avp_resized,
    _avp_twice,
    _avp_gone,
    _avps_swapped,
    _vector_before,
    _other_type,
)
