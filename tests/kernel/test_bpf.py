"""Filters of sockets."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

import pytest

from l2tpd.kernel import bpf


def test_what_a_filter_lets_pass() -> None:
    """It goes by octets in the order of the network, and what it drops is never seen."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        far.setblocking(False)
        program = (
            (bpf.LOAD_HALF, 0, 0, 2),
            (bpf.JUMP_EQUAL, 0, 3, 0x0102),
            (bpf.LOAD_OCTET, 0, 0, 0),
            (bpf.JUMP_SET, 0, 1, 0x80),
            bpf.PASS,
            bpf.DROP,
        )
        bpf.attach(far, program)
        for datagram in (b"\x80\0\1\2", b"\x80\0\2\1", b"\x7f\0\1\2", b"\xff\0\1\2 and more", b"\x80"):
            with suppress(PermissionError):  # which is how this kind of socket tells its sender
                near.send(datagram)
        assert [b"\x80\0\1\2", b"\xff\0\1\2 and more"] == [far.recv(100) for _ in range(2)]
        with pytest.raises(BlockingIOError):
            far.recv(100)


def test_a_filter_that_makes_no_sense() -> None:
    """The kernel takes none that jumps behind its end."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far, pytest.raises(OSError, match="Invalid argument"):
        bpf.attach(far, [(bpf.JUMP_EQUAL, 9, 9, 0), bpf.DROP])


def test_numbers_in_the_order_of_this_machine() -> None:
    """What a load gives of them, which goes by the order of the network."""
    if sys.byteorder == "little":
        assert (0x1000, 0x01000000) == (bpf.host_half(16), bpf.host_word(1))
    else:
        assert (16, 1) == (bpf.host_half(16), bpf.host_word(1))
