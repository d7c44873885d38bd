"""What subscribers ask their router for, where the kernel moves their packets: one socket hears it from all PPP interfaces of a network namespace.

A packet socket gets what it is to get without any interface being a member of a group: memberships are counted for each socket and end with some
hundreds (net.core.optmem_max), descriptors with some thousands. A filter in the kernel lets through Router Solicitations and DHCPv6 from PPP interfaces
and nothing else, so that forwarded packets cost a few instructions more. The kernel sees the same packets; nobody listens to them there.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from l2tpd import log
from l2tpd.ppp import packet6
from l2tpd.supervise import contain
from l2tpd.tunnel.port import enlarge_buffer

_IPV6: Final = 0x86DD  # linux/if_ether.h: ETH_P_IPV6
_PPP: Final = 512  # linux/if_arp.h: ARPHRD_PPP
_ATTACH_FILTER: Final = 26  # asm-generic/socket.h: SO_ATTACH_FILTER
_LARGEST: Final = 1 << 16
_BATCH: Final = 64
_AGAIN: Final = 10.0  # seconds until the socket is asked for once more
_LOAD_WORD, _LOAD_HALF, _LOAD_OCTET, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x30, 0x15, 0x06  # linux/bpf_common.h
_KIND: Final = 0xFFFFF000 + 28  # linux/filter.h: SKF_AD_OFF + SKF_AD_HATYPE
_INSTRUCTION: Final = struct.Struct("=HBBI")  # sock_filter: code, how many to skip if true, if false, operand
_FILTER: Final = (
    (_LOAD_WORD, 0, 0, _KIND),
    (_JUMP_EQUAL, 0, 8, _PPP),
    (_LOAD_OCTET, 0, 0, 6),  # next header
    (_JUMP_EQUAL, 3, 0, packet6.ICMP),
    (_JUMP_EQUAL, 0, 5, packet6.UDP),
    (_LOAD_HALF, 0, 0, 42),  # destination port
    (_JUMP_EQUAL, 2, 3, packet6.SERVER_PORT),
    (_LOAD_OCTET, 0, 0, 40),  # type of ICMPv6
    (_JUMP_EQUAL, 0, 1, packet6.SOLICITATION),
    (_RETURN, 0, 0, _LARGEST),
    (_RETURN, 0, 0, 0),
)

Taker = Callable[[bytes], None]
"""Takes a packet of IPv6; neither waits nor raises."""

_log = log.get("ppp")


class Overhearer:
    """Hands the packets to whoever owns the interface by which they came."""

    def __init__(self) -> None:
        """Begin without interfaces; the socket comes with the first."""
        self._takers: dict[str, Taker] = {}
        self._wanted = trio.Event()

    def add(self, interface: str, taker: Taker) -> None:
        """Listen to an interface from now on."""
        self._takers[interface] = taker
        self._wanted.set()

    def remove(self, interface: str, taker: Taker) -> None:
        """Listen to an interface no longer for this one; there may be another of its name by now, which is somebody else's."""
        if self._takers.get(interface) == taker:
            del self._takers[interface]

    async def serve(self) -> None:
        """Listen until cancelled; where no socket is to be had, ask for it again: there may be descriptors later."""
        await self._wanted.wait()
        reason = ""
        while True:
            try:
                sock = opened()
            except OSError as error:
                if reason != (reason := str(error.strerror)):
                    _log.warning("subscribers are not heard who ask for a router or by DHCPv6", reason=reason)
            else:
                reason = ""
                with sock:
                    await contain("what subscribers ask", partial(self._read, sock), on_crash=_nothing, kind="link")
            await trio.sleep(_AGAIN)

    async def _read(self, sock: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(sock)
            for _ in range(_BATCH):
                try:
                    packet, origin = sock.recvfrom(_LARGEST)
                except OSError:  # there is no more, or an interface has gone
                    break
                self._hand_over(packet, origin[0])

    def _hand_over(self, packet: bytes, interface: str) -> None:
        """Give a packet to whom it concerns; a bug there is no other's loss."""
        taker = self._takers.get(interface)
        try:
            if taker is not None:
                taker(packet)
        except Exception as bug:  # noqa: BLE001 - the boundary between one subscriber and all
            _log.error("what a subscriber asks crashed", interface=interface, exc_info=bug)


def opened() -> socket.socket:
    """Return the socket, of the network namespace of this thread; other packets may come before the filter is there. Raises `OSError`."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(_IPV6))
    try:
        program = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*row) for row in _FILTER))
        sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", len(_FILTER), ctypes.addressof(program)))
        enlarge_buffer(sock)  # all subscribers may be back at once
    except OSError:
        sock.close()
        raise
    return sock


def _nothing(_: object) -> None:
    """Leave a crash at what its log says."""
