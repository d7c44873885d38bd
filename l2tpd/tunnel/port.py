"""UDP sockets for tunnels: shared listening ones and connected ones, all non-blocking.

Why SO_REUSEPORT. Every tunnel that a peer opens gets a socket of its own on the listener's address and port, connected to the peer, because the
kernel's data plane belongs to a socket. Binding the n-th socket of a port with SO_REUSEADDR walks all n (measured on Linux 6.18: 370 µs at
10,000); with SO_REUSEPORT it stops at the first (7 µs at any number). A listener is bound without either, so that an address in use is
reported, and shares its port only afterwards.

The theft window. Between bind and connect a new socket is one of those that may be handed anybody's datagrams. Whatever it got by then stays
in its queue; `take_strays` returns it to be dispatched like any other datagram, so nothing is lost.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from l2tpd.config.model import Address, Encapsulation
from l2tpd.errors import StartupError
from l2tpd.rights import LOW_PORT, lacking

BATCH = 64
"""How many datagrams are read before other tasks get their turn."""

BUFFER = memoryview(bytearray(65536))
"""Where whatever runs in trio's own thread reads into: what is found there is dealt with, or copied, before anything else is read.

Room for the largest packet, made anew for each, would break the heap into pieces without such room: what is kept meanwhile stands between them, and the
heap grows for days.
"""

_RECEIVE_BUFFER = 4 << 20  # octets; a burst of 1,000 LACs after a power cut overruns the default
ANCILLARY = socket.CMSG_SPACE(20)  # struct in6_pktinfo, the larger of the two
_IN_PKTINFO = struct.Struct("=I4s4s")  # struct in_pktinfo: interface index, local address, destination of the header
_IP_PKTINFO = 8  # linux/in.h; the socket module of Python 3.11 does not name it
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h


_OMIT_4 = socket.SOL_SOCKET, 11  # SO_NO_CHECK, asm-generic/socket.h
_OMIT_6 = socket.IPPROTO_UDP, 101  # UDP_NO_CHECK6_TX, linux/udp.h
_UDP_NO_CHECK6_RX = 102


class DatagramSocket(Protocol):
    """What a tunnel needs of its socket, whatever carries its packets; each method may raise `OSError`."""

    def fileno(self) -> int:
        """Return the descriptor."""

    def recvfrom_into(self, buffer: memoryview, /) -> tuple[int, tuple[str, int]]:
        """Put a packet into `buffer` as UDP carries it; return its size and its sender."""

    def send(self, packet: bytes | memoryview, /) -> int:
        """Send a packet to the peer that the socket is connected to."""

    def sendto(self, packet: bytes | memoryview, peer: Address, /) -> int:
        """Send a packet to a peer."""

    def connect(self, peer: Address, /) -> None:
        """Take packets of this peer only from now on."""

    def getsockname(self) -> tuple[str, int]:
        """Return our address, and what else the system knows of it."""

    def close(self) -> None:
        """Close the socket."""


class Arrived(NamedTuple):
    """A datagram with where it came from and which of our addresses it was sent to."""

    data: bytes
    peer: Address
    local: Address


class AnyListener(Protocol):
    """A listening socket, whatever carries its packets."""

    @property
    def encap(self) -> Encapsulation:
        """What carries them."""

    @property
    def address(self) -> Address:
        """Where it listens."""

    def fileno(self) -> int:
        """Return the descriptor."""

    def close(self) -> None:
        """Close the socket."""

    def serves(self, local: Address) -> bool:
        """Tell whether packets to this address of ours come in here."""

    def receive_nowait(self) -> Arrived:
        """Return one packet. Raises `BlockingIOError` when there is none, and other `OSError`s that say nothing about the listener."""

    def send_nowait(self, data: bytes, peer: Address, local: Address) -> None:
        """Send a control message from the address that the peer had called. Raises `OSError`."""

    def open_tunnel(self, peer: Address, local: Address, local_id: int, peer_id: int) -> DatagramSocket:
        """Return a socket on the address that the peer has called, connected to the peer. Raises `OSError`."""


class Listener:
    """A listening UDP socket, on one address or on all of a family."""

    encap = Encapsulation.UDP

    def __init__(self, address: Address) -> None:
        """Bind. Raises `StartupError` when the address cannot be had."""
        try:
            self.socket = _listening(address)
        except OSError as error:  # also of a machine without IPv6
            raise StartupError(f"cannot listen on {address}: {lacking(error, LOW_PORT)}") from error
        name = self.socket.getsockname()
        self.address = Address(address.host, name[1])
        self._wildcard = ipaddress.ip_address(address.host.partition("%")[0]).is_unspecified

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def serves(self, local: Address) -> bool:
        """Tell whether datagrams to this address of ours come in here."""
        return self.address == local or (
            self._wildcard and self.address.port == local.port and (":" in self.address.host) == (":" in local.host)
        )

    def receive_nowait(self) -> Arrived:
        """Return one datagram. Raises `BlockingIOError` when there is none, and other `OSError`s that say nothing about the listener."""
        if not self._wildcard:
            size, name = self.socket.recvfrom_into(BUFFER)
            return Arrived(bytes(BUFFER[:size]), Address(name[0], name[1]), self.address)
        size, ancillary, _flags, name = self.socket.recvmsg_into([BUFFER], ANCILLARY)
        local = Address(destination(ancillary) or self.address.host, self.address.port)
        return Arrived(bytes(BUFFER[:size]), Address(name[0], name[1]), local)

    def send_nowait(self, data: bytes, peer: Address, local: Address) -> None:
        """Send a datagram from the address that the peer had called. Raises `OSError`."""
        if self._wildcard:
            self.socket.sendmsg([data], source(local.host), 0, peer)
        else:
            self.socket.sendto(data, peer)

    def open_tunnel(self, peer: Address, local: Address, local_id: int, peer_id: int) -> socket.socket:
        """Return a socket on the address that the peer has called, connected to the peer. Raises `OSError`."""
        del local_id, peer_id
        return connected(local, peer, share=True)


def _listening(address: Address) -> socket.socket:
    sock = _opened(address)
    try:
        enlarge_buffer(sock)
        tell_destinations(sock)
        sock.bind(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        sock.close()
        raise
    return sock


def _opened(local: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in local.host else socket.AF_INET
    return socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def connected(local: Address, peer: Address, *, share: bool) -> socket.socket:
    """Return a socket bound to `local` and connected to `peer`. Raises `OSError`."""
    sock = bound(local, share=share)
    try:
        sock.connect(peer)
    except OSError:
        sock.close()
        raise
    return sock


def bound(local: Address, *, share: bool) -> socket.socket:
    """Return a socket bound to `local`, whose port may be 0 for any. Raises `OSError`."""
    sock = _opened(local)
    try:
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(local)
    except OSError:
        sock.close()
        raise
    return sock


def tell_destinations(sock: socket.socket) -> None:
    """Have a socket tell to which of our addresses each packet was sent, and take none of the other family."""
    if sock.family == socket.AF_INET6:
        if sock.proto in {0, socket.IPPROTO_UDP}:  # any other takes no IPv4 in any case, and refuses to be told
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)


class Unsummed(socket.socket):
    """A UDP socket whose data packets go without checksum: they leave by its descriptor, control messages by its methods, with one (RFC 3931 4.1.2.3)."""

    def send(self, *packet: Any) -> int:
        """Send a control message, as `socket.send` does."""
        with self._summed():
            return super().send(*packet)

    def sendto(self, *packet: Any) -> int:
        """Send a control message, as `socket.sendto` does."""
        with self._summed():
            return super().sendto(*packet)

    def omit(self) -> None:
        """Begin to leave checksums out, and over IPv6 to do without the peer's. Raises `OSError`."""
        self._sum(False)
        if self.family == socket.AF_INET6:
            self.setsockopt(socket.IPPROTO_UDP, _UDP_NO_CHECK6_RX, 1)

    @contextmanager
    def _summed(self) -> Iterator[None]:
        self._sum(True)
        try:
            yield
        finally:
            self._sum(False)

    def _sum(self, wanted: bool) -> None:
        self.setsockopt(*(_OMIT_6 if self.family == socket.AF_INET6 else _OMIT_4), not wanted)


def omit_checksums(sock: socket.socket) -> socket.socket:
    """Return a socket in place of this one that sends data without UDP checksums, and takes such from an IPv6 peer, where they would be dropped (RFC 6935).

    Raises `OSError`, and then both are closed.
    """
    made = Unsummed(fileno=sock.detach())
    try:
        made.setblocking(False)
        made.omit()
    except OSError:
        made.close()
        raise
    return made


def take_strays(sock: DatagramSocket, local: Address) -> list[Arrived]:
    """Return what a socket got before it was connected: no more than a batch, for its peer may be sending all the while."""
    strays: list[Arrived] = []
    for _ in range(BATCH):
        try:
            size, name = sock.recvfrom_into(BUFFER)
        except OSError:
            break
        strays.append(Arrived(bytes(BUFFER[:size]), Address(name[0], name[1]), local))
    return strays


def any_address(peer: Address) -> str:
    """Return the wildcard address of a peer's family."""
    return "::" if ":" in peer.host else "0.0.0.0"  # noqa: S104 - the kernel picks the address by route at connect


def source_towards(peer: Address) -> str:
    """Return the address of ours that the route to a peer leaves from. Raises `OSError` when there is no route."""
    with bound(Address(any_address(peer), 0), share=False) as probe:
        probe.connect(peer)
        return str(probe.getsockname()[0])


def enlarge_buffer(sock: socket.socket) -> None:
    """Give a socket room for bursts: beyond the system's limit where we have the right to."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


def destination(ancillary: list[tuple[int, int, bytes]]) -> str | None:
    """Return to which of our addresses a packet was sent, from what `tell_destinations` asked for."""
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return socket.inet_ntop(socket.AF_INET, value[8:12])
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return socket.inet_ntop(socket.AF_INET6, value[:16])
    return None


def source(host: str) -> list[tuple[int, int, bytes]]:
    """Return the ancillary data that picks a source address; the interface index stays 0, for an index that is gone makes sending fail."""
    if ":" in host:
        return [
            (
                socket.IPPROTO_IPV6,
                socket.IPV6_PKTINFO,
                socket.inet_pton(socket.AF_INET6, host.partition("%")[0]) + bytes(4),
            )
        ]
    return [(socket.IPPROTO_IP, _IP_PKTINFO, _IN_PKTINFO.pack(0, socket.inet_aton(host), bytes(4)))]
