"""Calls of the system that keep the interpreter."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from l2tpd.kernel import brief

SIOCGIFINDEX = 0x8933
LO = struct.pack("=16si20x", b"lo", 0)


def test_an_ioctl() -> None:
    """It does as Python's own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert fcntl.ioctl(sock, SIOCGIFINDEX, LO) == brief.ioctl(sock.fileno(), SIOCGIFINDEX, LO)
        with pytest.raises(OSError, match="No such device") as refused:
            brief.ioctl(sock.fileno(), SIOCGIFINDEX, bytes(40))
    assert errno.ENODEV == refused.value.errno


def test_an_address_in_octets() -> None:
    """A socket is connected, or the kernel says why not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        brief.connect(sock.fileno(), struct.pack("=H2s4s8x", socket.AF_INET, b"\x06\xa5", b"\x7f\0\0\1"))
        assert ("127.0.0.1", 1701) == sock.getpeername()
        with pytest.raises(OSError, match="Invalid argument"):
            brief.connect(sock.fileno(), b"\x02\x00")


def test_a_device(tmp_path: Path) -> None:
    """It is opened with these flags; one that is not there is no device."""
    descriptor = brief.opened("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        assert not os.get_inheritable(descriptor)
        assert 1 == os.write(descriptor, b"x")
    finally:
        os.close(descriptor)
    with pytest.raises(FileNotFoundError):
        brief.opened(str(tmp_path / "none"), os.O_RDWR)


def test_what_has_arrived() -> None:
    """Datagrams are taken one by one, as far as they fit, and nobody waits for the next."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    room = memoryview(bytearray(8))
    with brief.Socket(fileno=near.detach()) as sock, far:
        with pytest.raises(BlockingIOError):
            sock.take_into(room)
        far.send(b"first")
        far.send(b"the second")
        assert [b"first", b"the seco"] == [bytes(room[: sock.take_into(room)]) for _ in range(2)]


def test_frames() -> None:
    """They are read and written whole by a descriptor that does not block; what does not work says why."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    room = memoryview(bytearray(8))
    near.setblocking(False)
    with near, far:
        with pytest.raises(BlockingIOError):
            brief.read_into(near.fileno(), room)
        far.send(b"a frame that is too long")
        far.send(b"")
        assert [b"a frame "] == [bytes(room[: brief.read_into(near.fileno(), room)])]
        brief.write(near.fileno(), b"one\0two")
        assert b"one\0two" == far.recv(100)
    with pytest.raises(OSError, match="Bad file descriptor"):
        brief.write(-1, b"")


def test_a_socket() -> None:
    """It is one like any other, of the kind that was asked for; one of a kind that there is not is refused."""
    with brief.opened_socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0) as sock:
        assert not os.get_inheritable(sock.fileno())
        sock.connect(("127.0.0.1", 1701))
        assert ("127.0.0.1", 1701) == sock.getpeername()
    with pytest.raises(OSError, match="not supported"):
        brief.opened_socket(socket.AF_INET, socket.SOCK_RDM, 0)


def test_a_descriptor_is_closed() -> None:
    """Once: what is closed cannot be closed."""
    reading, writing = os.pipe()
    os.close(reading)
    brief.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        brief.close(writing)


def test_what_takes_something_at_once() -> None:
    """A pipe does until it is full."""
    reading, writing = os.pipe()
    try:
        assert brief.writable(writing)
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, bytes(4096))
        assert not brief.writable(writing)
    finally:
        os.close(reading)
        os.close(writing)
