"""Calls of the system that never wait, made without letting other threads run.

Theory of operation. Around each call of the system Python lets other threads have the interpreter, since the call may wait. To go on, a thread that works
beside a busy event loop then has to get it back, and so has the loop a moment later: where the kernel answers at once, all that costs many times what the
call does, and a session takes a dozen such calls. Nothing that may wait belongs here: the event loop would wait with it.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
from typing import Final

_POLLFD: Final = struct.Struct("=ihh")  # poll(2): descriptor, what is asked, what is so

_libc = ctypes.PyDLL(None, use_errno=True)  # unlike CDLL it keeps the interpreter


def ioctl(descriptor: int, request: int, argument: bytes) -> bytes:
    """Return what the kernel makes of a request's argument. Raises `OSError`."""
    buffer = ctypes.create_string_buffer(argument, len(argument))
    _check(_libc.ioctl(descriptor, ctypes.c_ulong(request), buffer))
    return buffer.raw


def connect(descriptor: int, address: bytes) -> None:
    """Connect a socket of a kind that knows its peer by looking it up. Raises `OSError`."""
    _check(_libc.connect(descriptor, address, len(address)))


def opened(path: str, flags: int) -> int:
    """Return a descriptor of a device. Raises `OSError`."""
    return _check(_libc.open(path.encode(), flags))


def opened_socket(family: int, kind: int, protocol: int) -> socket.socket:
    """Return a new socket. Raises `OSError`."""
    return socket.socket(family, kind, protocol, fileno=_check(_libc.socket(family, kind, protocol)))


def close(descriptor: int) -> None:
    """Close a descriptor that is not the last of what it stands for. Raises `OSError`."""
    _check(_libc.close(descriptor))


def writable(descriptor: int) -> bool:
    """Tell whether a descriptor takes something at once. Raises `OSError`."""
    asked = ctypes.create_string_buffer(_POLLFD.pack(descriptor, select.POLLOUT, 0), _POLLFD.size)
    return _check(_libc.poll(asked, ctypes.c_ulong(1), 0)) > 0


def write(descriptor: int, octets: bytes) -> None:
    """Write to a descriptor that does not block. Raises `OSError`."""
    _check(_libc.write(descriptor, octets, ctypes.c_size_t(len(octets))))


def read_into(descriptor: int, buffer: memoryview) -> int:
    """Put what a descriptor has that does not block into `buffer`, and return its size. Raises `BlockingIOError` where there is nothing, other `OSError`s."""
    return _check(_libc.read(descriptor, _room(buffer), ctypes.c_size_t(len(buffer))))


class Socket(socket.socket):
    """A socket that can be asked for what is there."""

    def take_into(self, buffer: memoryview) -> int:
        """Put a datagram that has arrived into `buffer`, and return its size there. Raises `BlockingIOError` where there is none, and other `OSError`s."""
        return _check(_libc.recv(self.fileno(), _room(buffer), ctypes.c_size_t(len(buffer)), socket.MSG_DONTWAIT))


def _room(buffer: memoryview) -> ctypes.Array[ctypes.c_char]:
    return (ctypes.c_char * len(buffer)).from_buffer(buffer)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
