"""A blocking netlink socket: requests go out, answers come back. Everything here blocks, and lets other threads run while it does.

The kernel works inside the send call and has answered when it returns, so each request costs two short calls of the system and hardly any Python:
a thread that works here keeps the interpreter to itself for some ten microseconds at a time, and the event loop gets its turn. While it sends, the
threads may change places, which costs more than most requests do: what belongs together goes in one datagram, and answers that are there are taken
without that. The socket belongs to the network namespace that its maker was in.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from l2tpd.errors import PlaneError
from l2tpd.kernel import brief, nlmsg

ROUTE: Final = 0  # linux/netlink.h
GENERIC: Final = 16
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_RECEIVE: Final = 1 << 16  # octets; one room for all that a conversation reads, see `tunnel.port.BUFFER`
_TIMEOUT: Final = 10  # seconds: a kernel that does not answer a request is a bug of its own
_TIMEVAL: Final = struct.Struct("@ll")
_SIOCGIFINDEX: Final = 0x8933  # linux/sockios.h; any socket takes it
_IFREQ: Final = struct.Struct("=16si20x")  # linux/if.h: name, index


class Conversation:
    """One request after another, each with its answers. Use it from one thread at a time."""

    def __init__(self, protocol: int) -> None:
        """Open a socket for `ROUTE` or `GENERIC`. Raises `PlaneError`."""
        self._sequence = 0
        self._buffer = memoryview(bytearray(_RECEIVE))
        try:
            self._socket = _opened(protocol)
        except OSError as error:
            raise PlaneError(error.errno or 0, f"no netlink socket: {error.strerror}") from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def next(self) -> int:
        """Return the sequence number of the next request."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return self._sequence

    def ask(self, request: bytes) -> list[bytes]:
        """Send a request with the number that `next` gave last, and return its answers. Raises `PlaneError` with what the kernel says."""
        self._send(request)
        return list(self._collect(self._sequence, self._take))

    def ask_all(self, requests: Sequence[Callable[[int], bytes]]) -> dict[int, PlaneError]:
        """Send requests, each made for its number, in one datagram: the kernel carries out every one, in this order, whatever became of those before.

        Return what it refused, by place. Raises `PlaneError` where the socket fails.
        """
        *others, last = [request(self.next()) for request in requests]
        self._send(b"".join([*map(nlmsg.unacknowledged, others), last]))
        refused: dict[int, PlaneError] = {}
        while True:
            for answer in nlmsg.answers(self._take()):
                place = len(others) - ((self._sequence - answer.sequence) & 0xFFFFFFFF)
                if place < 0 or not answer.final:
                    continue  # of a request that was given up
                if answer.errno:
                    refused[place] = _refusal(answer)
                if place == len(others):
                    return refused

    def index(self, interface: str) -> int:
        """Return the index of an interface, 0: there is none. Raises `PlaneError`.

        For a name that no interface has, the kernel may look for a module first, and the event loop waits with us: not a way to learn whether there is one.
        """
        asked = _IFREQ.pack(interface.encode(), 0)
        try:
            return int(_IFREQ.unpack(brief.ioctl(self._socket.fileno(), _SIOCGIFINDEX, asked))[1])
        except OSError as error:
            if error.errno == errno.ENODEV:
                return 0
            raise _told(error) from error

    def stream(self, request: bytes) -> Iterator[bytes]:
        """Do as `ask` does, but yield the answers as they come: of a dump, while the kernel is still at it. The next request gives up the rest."""
        self._send(request)
        return self._collect(self._sequence, self._read)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            raise _told(error) from error

    def _collect(self, sequence: int, read: Callable[[], bytes]) -> Iterator[bytes]:
        while True:
            for answer in nlmsg.answers(read()):
                if answer.sequence != sequence:
                    continue  # of a request that was given up
                if not answer.final:
                    yield answer.body
                elif answer.errno:
                    raise _refusal(answer)
                else:
                    return

    def _take(self) -> bytes:
        """Return what the kernel has answered by the time that a request was sent, as it answers all but dumps; else wait."""
        try:
            return bytes(self._buffer[: self._socket.take_into(self._buffer)])
        except BlockingIOError:
            return self._read()
        except OSError as error:
            raise _told(error) from error

    def _read(self) -> bytes:
        try:
            return bytes(self._buffer[: self._socket.recv_into(self._buffer)])
        except BlockingIOError as error:
            raise PlaneError(errno.ETIMEDOUT, f"netlink: no answer within {_TIMEOUT} seconds") from error
        except OSError as error:
            raise _told(error) from error


def _refusal(answer: nlmsg.Answer) -> PlaneError:
    return PlaneError(answer.errno, answer.text or os.strerror(answer.errno))


def _told(error: OSError) -> PlaneError:
    return PlaneError(error.errno or 0, f"netlink: {error.strerror or error}")


def _opened(protocol: int) -> brief.Socket:
    sock = brief.Socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        sock.bind((0, 0))
        # The kernel's own timeout: Python's would ask before each reading whether there is something to read.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(_TIMEOUT, 0))
        sock.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        sock.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
    except OSError:
        sock.close()
        raise
    return sock
