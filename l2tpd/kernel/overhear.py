"""What subscribers ask their router for, where the kernel moves their packets: one socket hears it from all PPP interfaces of a network namespace.

A packet socket gets what it is to get without any interface being a member of a group: memberships are counted for each socket and end with some
hundreds (net.core.optmem_max), descriptors with some thousands. A filter in the kernel lets through Router Solicitations and DHCPv6 from PPP interfaces
and nothing else, so that forwarded packets cost a few instructions more. The kernel sees the same packets; nobody listens to them there.

All wait in one queue, so one subscriber that fills it would crowd the others out. Whoever asks far more than any machine has to ask is therefore taken
out by the filter for a while: what it goes on sending takes no place.
"""

from __future__ import annotations

import math
import socket
from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

import trio

from l2tpd import log
from l2tpd.kernel import bpf
from l2tpd.ppp import packet6
from l2tpd.rights import RAW, lacking
from l2tpd.supervise import contain, contained
from l2tpd.tunnel.port import BUFFER, enlarge_buffer

_IPV6: Final = 0x86DD  # linux/if_ether.h: ETH_P_IPV6
_PPP: Final = 512  # linux/if_arp.h: ARPHRD_PPP
_BATCH: Final = 64
_AGAIN: Final = 10.0  # seconds until the socket, or a filter for it, is asked for once more
LOUD: Final = 100
"""Questions of an interface in a second, beyond which it is not heard for a while."""
_DEAF: Final = 10.0  # seconds of that
_MOST_DEAF: Final = 256  # interfaces at a time: what the filter of one socket has room for
_KIND: Final = 0xFFFFF000 + 28  # linux/filter.h: SKF_AD_OFF + SKF_AD_HATYPE
_INDEX: Final = 0xFFFFF000 + 8  # SKF_AD_IFINDEX
_QUESTIONS: Final = (
    (bpf.LOAD_WORD, 0, 0, _KIND),
    (bpf.JUMP_EQUAL, 0, 7, _PPP),
    (bpf.LOAD_OCTET, 0, 0, 6),  # next header
    (bpf.JUMP_EQUAL, 3, 0, packet6.ICMP),
    (bpf.JUMP_EQUAL, 0, 4, packet6.UDP),
    (bpf.LOAD_HALF, 0, 0, 42),  # destination port
    (bpf.JUMP_EQUAL, 3, 2, packet6.SERVER_PORT),
    (bpf.LOAD_OCTET, 0, 0, 40),  # type of ICMPv6
    (bpf.JUMP_EQUAL, 1, 0, packet6.SOLICITATION),
    bpf.DROP,
)
"""Drops what is no question, and goes on behind its end with what is one."""

Taker = Callable[[bytes], None]
"""Takes a packet of IPv6; neither waits nor raises."""

_log = log.get("ppp")


class Overhearer:
    """Hands the packets to whoever owns the interface by which they came."""

    def __init__(self, deaf: float = _DEAF) -> None:
        """Begin without interfaces; the socket comes with the first. `deaf`: seconds for which one that asks too much is not heard."""
        self._takers: dict[str, Taker] = {}
        self._wanted = trio.Event()
        self._deaf = deaf
        self._said = log.RateLimit(rate=1 / 60, burst=1)

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
                if reason != (reason := lacking(error, RAW)):
                    _log.warning("subscribers are not heard who ask for a router or by DHCPv6", reason=reason)
            else:
                reason = ""
                with sock:
                    await contain("what subscribers ask", partial(self._read, sock), kind="link")
            await trio.sleep(_AGAIN)

    async def _read(self, sock: socket.socket) -> None:
        loud, changed, again = Loud(self._deaf), False, math.inf
        while True:
            with trio.move_on_at(min(loud.next_timer, again)):
                await trio.lowlevel.wait_readable(sock)
            now = trio.current_time()
            changed |= loud.release(now)
            for _ in range(_BATCH):
                try:
                    size, origin = sock.recvfrom_into(BUFFER)
                except OSError:  # there is no more, or an interface has gone
                    break
                if loud.asks(origin[0], now):
                    changed = True
                    self._said.say(
                        "", now, _log.warning, "a subscriber asks too much, and is not heard", interface=origin[0]
                    )
                self._hand_over(bytes(BUFFER[:size]), origin[0])
            if changed:
                changed = not _is_attached(sock, loud.indices)
                again = now + _AGAIN if changed else math.inf

    def _hand_over(self, packet: bytes, interface: str) -> None:
        """Give a packet to whom it concerns; a bug there is no other's loss."""
        taker = self._takers.get(interface)
        with contained(f"what is asked by {interface}", kind="link"):
            if taker is not None:
                taker(packet)


class Loud:
    """Which interfaces ask more than there is room for, and are not heard for a while."""

    def __init__(self, deaf: float) -> None:
        """Begin with everybody heard; `deaf` in seconds."""
        self._deaf = deaf
        self._asked: Counter[str] = Counter()  # by interface, in this second
        self._second = -math.inf
        self._until: dict[int, float] = {}  # by index, the first to be heard again first

    @property
    def indices(self) -> Collection[int]:
        """The interfaces that are not heard."""
        return self._until.keys()

    @property
    def next_timer(self) -> float:
        """When `release` has something to do."""
        return next(iter(self._until.values()), math.inf)

    def asks(self, interface: str, now: float) -> bool:
        """Count a question; tell whether the interface is not to be heard from now on."""
        if now >= self._second + 1.0:
            self._second = now
            self._asked.clear()
        self._asked[interface] += 1
        if self._asked[interface] != LOUD + 1 or len(self._until) >= _MOST_DEAF:
            return False
        try:
            index = socket.if_nametoindex(interface)
        except OSError:  # it has gone meanwhile
            return False
        self._until.pop(index, None)  # of one that is not heard any longer, some may still have waited
        self._until[index] = now + self._deaf
        return True

    def release(self, now: float) -> bool:
        """Hear those again whose time is up; tell whether there is one."""
        over = [index for index, until in self._until.items() if until <= now]
        for index in over:
            del self._until[index]
        return bool(over)


def opened() -> socket.socket:
    """Return the socket, of the network namespace of this thread; other packets may come before the filter is there. Raises `OSError`."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket.htons(_IPV6))
    try:
        _attach(sock)
        enlarge_buffer(sock)  # all subscribers may be back at once
    except OSError:
        sock.close()
        raise
    return sock


def _is_attached(sock: socket.socket, but: Collection[int]) -> bool:
    """Attach a filter, and tell whether there was memory for it: else the one before it stays, and shuts out whom it did."""
    try:
        _attach(sock, but)
    except OSError:
        return False
    return True


def _attach(sock: socket.socket, but: Collection[int] = ()) -> None:
    """Let questions pass, but not by these interfaces. Raises `OSError`."""
    deaf = (row for index in but for row in ((bpf.JUMP_EQUAL, 0, 1, index), bpf.DROP))
    bpf.attach(sock, (*_QUESTIONS, (bpf.LOAD_WORD, 0, 0, _INDEX), *deaf, (bpf.RETURN, 0, 0, len(BUFFER))))
