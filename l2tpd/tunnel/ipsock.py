"""Sockets for L2TP directly over IP, protocol 115 (RFC 3931 4.1.1), with the face of a connected UDP socket.

Over IP a packet begins with the session id, and a control message with a session id of 0. Over UDP both begin with flags. A socket from here takes
and gives what UDP would carry: control messages without the zeros, data packets behind the four octets that stand before a session id there. So
nobody above needs to know what carries a tunnel.

There are two ways to such packets. The kernel's own sockets (`l2tpip`) belong to one tunnel, whose data the kernel then takes for itself; they need its module. A
raw socket needs no module; it gets a copy of everything that its peer sends to us, and whoever reads it keeps what is its own.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from typing import Final

from l2tpd.config.model import Address

PROTOCOL: Final = 115
"""IANA, L2TP. It also stands where a port would: without one, the system calls a socket not connected when it is asked for its peer."""

_DATA: Final = b"\0\3\0\0"  # RFC 3931 4.1.2.1: version 3, reserved
_CONTROL: Final = bytes(4)  # RFC 3931 4.1.1.2
_V4: Final = struct.Struct("=HH4sI4x")  # struct sockaddr_l2tpip
_V6: Final = struct.Struct("=HHI16sII")  # struct sockaddr_l2tpip6
_LEAST_HEADER: Final = 20  # octets of an IPv4 header without options

_libc = ctypes.CDLL(None, use_errno=True)


class IpSocket:
    """A connected socket for one tunnel over IP."""

    def __init__(self, sock: socket.socket, *, raw: bool) -> None:
        """Wrap a socket of protocol 115; a raw one of IPv4 shows the IP header."""
        self._sock = sock
        self._skip = _LEAST_HEADER if raw and sock.family == socket.AF_INET else 0
        self._raw = raw
        self._header = bytearray(_LEAST_HEADER)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def getsockname(self) -> tuple[str, int]:
        """Return our address."""
        return self._sock.getsockname()[0], 0

    def recvfrom_into(self, buffer: memoryview) -> tuple[int, tuple[str, int]]:
        """Put a packet into `buffer` as UDP would have carried it; return its size, 0 for one that is no packet, and its sender. Raises `OSError`."""
        size, sender = self._receive(buffer)
        if size < 4:
            return 0, sender
        if not self._raw and buffer[4] & 0x80:  # the kernel has taken the zeros off
            buffer[:size] = bytes(buffer[4 : 4 + size])
            return size, sender
        if buffer[4:8] == _CONTROL:
            buffer[: size - 4] = bytes(buffer[8 : 4 + size])
            return size - 4, sender
        buffer[:4] = _DATA
        return size + 4, sender

    def send(self, packet: bytes | memoryview) -> int:
        """Send a control message, or a data packet as UDP would carry it. Raises `OSError`."""
        if not packet[0] & 0x80:
            return self._sock.send(packet[4:])
        if self._raw:
            return self._sock.sendmsg([_CONTROL, packet])
        return self._sock.send(packet)

    def sendto(self, packet: bytes | memoryview, peer: object) -> int:
        """Send to the peer: a tunnel over IP has but one. Raises `OSError`."""
        del peer
        return self.send(packet)

    def connect(self, peer: object) -> None:
        """Stay connected."""

    def _receive(self, buffer: memoryview) -> tuple[int, tuple[str, int]]:
        """Put what comes after the IP header into `buffer` from its fifth octet on; return its size and the sender."""
        if not self._skip:
            size, name = self._sock.recvfrom_into(buffer[4:])
            return size, (name[0], 0)
        size, _ancillary, _flags, name = self._sock.recvmsg_into([self._header, buffer[4:]])
        options = (self._header[0] & 0xF) * 4 - _LEAST_HEADER
        size -= _LEAST_HEADER
        if options > 0:
            size -= options
            buffer[4 : 4 + size] = bytes(buffer[4 + options : 4 + options + size])
        return size, (name[0], 0)


def raw_socket(local: str, peer: str) -> IpSocket:
    """Return a raw socket between two numeric addresses, `local` empty for the one by route. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL)
    try:
        if local:
            sock.bind((local, 0))
        sock.connect((peer, PROTOCOL))
    except OSError:
        sock.close()
        raise
    return IpSocket(sock, raw=True)


def kernel_socket(local: str, connection_id: int, peer: str, peer_connection_id: int) -> IpSocket:
    """Return a socket of the kernel's L2TP for one tunnel between two numeric addresses. Raises `OSError`.

    It takes the control messages to `connection_id`, which no other socket of this machine may have.
    """
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL)
    try:
        _call(_libc.bind, sock, _named(Address(local, 0), connection_id))
        _call(_libc.connect, sock, _named(Address(peer, PROTOCOL), peer_connection_id))
    except OSError:
        sock.close()
        raise
    return IpSocket(sock, raw=False)


def _named(address: Address, connection_id: int) -> bytes:
    """Return what Python cannot say: an address with a control connection id."""
    host, _, zone = address.host.partition("%")
    if ":" in host:
        index = socket.if_nametoindex(zone) if zone else 0
        return _V6.pack(
            socket.AF_INET6,
            socket.htons(address.port),
            0,
            socket.inet_pton(socket.AF_INET6, host),
            index,
            connection_id,
        )
    return _V4.pack(socket.AF_INET, socket.htons(address.port), socket.inet_aton(host), connection_id)


def _call(function: ctypes._NamedFuncPointer, sock: socket.socket, name: bytes) -> None:
    if function(sock.fileno(), name, len(name)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
