"""Sockets for L2TP directly over IP, protocol 115 (RFC 3931 4.1.1), with the face of a connected UDP socket.

Over IP a packet begins with the session id, and a control message with a session id of 0. Over UDP both begin with flags. A socket from here takes
and gives what UDP would carry: control messages without the zeros, data packets behind the four octets that stand before a session id there. So
nobody above needs to know what carries a tunnel.

There are two ways to such packets. The kernel's own sockets (`l2tpip`) belong to one tunnel, whose data the kernel then takes for itself; they need its module. A
raw socket needs no module; it gets a copy of everything that its peer sends to us, and whoever reads it keeps what is its own.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import socket
import struct
from typing import Final

from l2tpd.config.model import Address, Encapsulation
from l2tpd.errors import StartupError
from l2tpd.rights import RAW, lacking
from l2tpd.tunnel.port import ANCILLARY, BUFFER, Arrived, destination, enlarge_buffer, source, tell_destinations

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


class IpListener:
    """A listening socket for protocol 115, on one address or on all of a family: it takes the messages that name no control connection.

    What names one comes by the socket of that tunnel, which stays open as long as the peer may repeat itself.
    """

    encap = Encapsulation.IP

    def __init__(self, address: Address, *, kernel: bool) -> None:
        """Bind. Raises `StartupError` when the address cannot be had."""
        self._kernel = kernel
        self.address = Address(address.host, 0)
        self._wildcard = ipaddress.ip_address(address.host.partition("%")[0]).is_unspecified
        try:
            self._socket = self._bound()
        except OSError as error:
            reason = lacking(error, RAW)
            raise StartupError(f"cannot listen on {address} for L2TP over IP: {reason}") from error

    def _bound(self) -> socket.socket:
        sock = _socket(self.address.host, raw=not self._kernel)
        try:
            enlarge_buffer(sock)
            tell_destinations(sock)
            if self._kernel:
                _call(_libc.bind, sock, _named(self.address, 0))
            else:
                sock.bind((self.address.host, 0))
        except OSError:
            sock.close()
            raise
        return sock

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def serves(self, local: Address) -> bool:
        """Tell whether packets to this address of ours come in here."""
        return not local.port and (
            self.address == local or (self._wildcard and (":" in self.address.host) == (":" in local.host))
        )

    def receive_nowait(self) -> Arrived:
        """Return one message that names no control connection. Raises `BlockingIOError` when there is none, and other `OSError`s that mean nothing.

        One packet is read, for a raw socket gets a copy of everything that the tunnels get, and whoever calls has others to serve.
        """
        size, ancillary, _flags, name = self._socket.recvmsg_into([BUFFER], ANCILLARY)
        data = bytes(BUFFER[:size])
        message = data if self._kernel else self._control(data)
        if message[4:8] != _CONTROL:
            raise OSError(errno.ENOMSG, "not for a listener")
        return Arrived(message, Address(name[0], 0), Address(destination(ancillary) or self.address.host, 0))

    def send_nowait(self, data: bytes, peer: Address, local: Address) -> None:
        """Send a control message from the address that the peer had called. Raises `OSError`."""
        packets = [data] if self._kernel else [_CONTROL, data]
        self._socket.sendmsg(packets, source(local.host) if self._wildcard else [], 0, (peer.host, 0))

    def open_tunnel(self, peer: Address, local: Address, local_id: int, peer_id: int) -> IpSocket:
        """Return a socket on the address that the peer has called, connected to the peer. Raises `OSError`."""
        del peer_id
        if self._kernel:
            return kernel_socket(local.host, local_id, peer.host)
        return raw_socket(local.host, peer.host)

    def _control(self, packet: bytes) -> bytes:
        """Return the control message of a packet, or nothing where it has none."""
        start = (packet[0] & 0xF) * 4 if self._socket.family == socket.AF_INET and packet else 0
        return packet[start + 4 :] if packet[start : start + 4] == _CONTROL else b""


def raw_socket(local: str, peer: str) -> IpSocket:
    """Return a raw socket between two numeric addresses, `local` empty for the one by route. Raises `OSError`."""
    sock = _socket(peer, raw=True)
    try:
        if local:
            sock.bind((local, 0))
        sock.connect((peer, PROTOCOL))
    except OSError:
        sock.close()
        raise
    return IpSocket(sock, raw=True)


def kernel_socket(local: str, connection_id: int, peer: str) -> IpSocket:
    """Return a socket of the kernel's L2TP for one tunnel between two numeric addresses. Raises `OSError`.

    It takes the control messages to `connection_id`, which no other socket of this machine may have.
    """
    sock = _socket(peer, raw=False)
    try:
        _call(_libc.bind, sock, _named(Address(local, 0), connection_id))
        # An IPv6 socket without the peer's id calls itself not connected; nothing else is done with that number, which we may not know yet.
        _call(_libc.connect, sock, _named(Address(peer, PROTOCOL), PROTOCOL))
    except OSError:
        sock.close()
        raise
    return IpSocket(sock, raw=False)


def _socket(host: str, *, raw: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_RAW if raw else socket.SOCK_DGRAM
    return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, PROTOCOL)


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
