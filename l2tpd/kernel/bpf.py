"""Filters of sockets (linux/filter.h): what they let pass goes by a few of its octets, and what they do not costs its reader nothing."""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from collections.abc import Sequence
from typing import Final

# Codes of instructions (linux/bpf_common.h): loads take octets in network order from a place, jumps compare what was loaded last.
LOAD_WORD: Final = 0x20
LOAD_HALF: Final = 0x28
LOAD_OCTET: Final = 0x30
JUMP_EQUAL: Final = 0x15
JUMP_SET: Final = 0x45
RETURN: Final = 0x06

Instruction = tuple[int, int, int, int]
"""Code, how many instructions to skip if true, how many if false, and the operand (linux/filter.h: sock_filter)."""

PASS: Final[Instruction] = (RETURN, 0, 0, 0xFFFFFFFF)
DROP: Final[Instruction] = (RETURN, 0, 0, 0)

_ATTACH: Final = 26  # asm-generic/socket.h: SO_ATTACH_FILTER
_INSTRUCTION: Final = struct.Struct("=HBBI")


def attach(sock: socket.socket, program: Sequence[Instruction]) -> None:
    """Have a socket filter what comes. Raises `OSError` when the kernel has no room for it, or does not take it."""
    octets = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*row) for row in program))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH, struct.pack("@HP", len(program), ctypes.addressof(octets)))


def host_half(number: int) -> int:
    """Return what a load of two octets gives where this number stands in the order of this machine."""
    return int.from_bytes(number.to_bytes(2, sys.byteorder), "big")


def host_word(number: int) -> int:
    """Return what a load of four octets gives where this number stands in the order of this machine."""
    return int.from_bytes(number.to_bytes(4, sys.byteorder), "big")
