"""The archive and the image that a stock kernel is started from, made without its tools."""

from __future__ import annotations

import lzma
import struct

from vm.rig import qemu


def test_a_member_of_the_archive() -> None:
    """Magic, thirteen fields of eight hexadecimal digits, name and content, both padded to four octets."""
    member = qemu._entry("bin/sh", 0o120777, b"busybox")
    assert b"070701" == member[:6]
    fields = [int(member[6 + 8 * n : 14 + 8 * n], 16) for n in range(13)]
    assert [0, 0o120777, 0, 0, 1, 0, 7, 0, 0, 0, 0, 7, 0] == fields
    assert b"bin/sh\0" == member[110:117]
    assert b"busybox\0" == member[120:]


def image(payload: bytes) -> bytes:
    """Assemble a bzImage of two setup sectors whose payload begins 64 octets into the protected-mode code."""
    setup = bytearray(3 * 512)
    setup[0x1F1] = 2
    struct.pack_into("<II", setup, 0x248, 64, len(payload))
    return bytes(setup) + bytes(64) + payload + b"rest"


def test_an_xz_payload_is_taken_out() -> None:
    """The compressed kernel inside is what QEMU enters; anything behind the payload's length is left."""
    assert b"\x7fELF kernel" == qemu.decompressed(image(lzma.compress(b"\x7fELF kernel") + struct.pack("<I", 11)))


def test_another_payload_is_left_to_the_kernel() -> None:
    """A kernel that is compressed otherwise is started as it is."""
    whole = image(b"\x28\xb5\x2f\xfd zstd")
    assert whole == qemu.decompressed(whole)
