"""Sequence arithmetic of the control channel (RFC 2661 5.8).

Inside the channel every message has a number that runs on for ever; on the wire it is cut to 16 bits. Only a distance
from a known running number is ever computed from a wire number, so nothing here or elsewhere compares two wire numbers
directly.
"""

from __future__ import annotations

from typing import Final

MASK: Final = 0xFFFF

HALF: Final = 0x8000
"""Distances from here on point backwards: the last received number and the 32767 before it (RFC 2661 5.8)."""


def forward(number: int, base: int) -> int:
    """Count the steps from `base` (running or wire) to the wire number `number`: `HALF` or more means behind."""
    return (number - base) & MASK
