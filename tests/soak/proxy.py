"""A bad path for datagrams between real processes: loses, duplicates and delays by a seeded random source."""

from __future__ import annotations

import random
import socket
from collections import Counter
from typing import NoReturn

import attrs
import trio

from badnet import Weather

IDLE = 60.0
"""Seconds without a datagram after which the socket of a caller is closed: longer than a tunnel may linger (RFC 2661 5.7)."""

LARGEST = 65535

Name = tuple[str, int]
"""An address of IPv4 or IPv6, and a port; what names an IPv6 socket may have more to it."""


@attrs.define(eq=False)
class Caller:
    """One source that calls through the proxy: the socket that the server knows it by, and when it was last used."""

    upstream: trio.socket.SocketType
    used: float
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class Proxy:
    """Listens where callers call, and passes datagrams on, each caller's from an address of its own, and the answers back."""

    def __init__(self, listen: Name, server: Name, weather: Weather, seed: int) -> None:
        """Bind to `listen` in order to pass on to `server`."""
        self.counts: Counter[str] = Counter()
        self._weather = weather
        self._random = random.Random(seed)
        self._callers: dict[Name, Caller] = {}
        self._listen, self._server = listen, server
        self._socket = _bound(listen)

    @property
    def callers(self) -> int:
        """How many callers are known."""
        return len(self._callers)

    async def run(self) -> NoReturn:
        """Pass datagrams on until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forget)
                while True:
                    data, name = await self._socket.recvfrom(LARGEST)
                    caller = self._callers.get(name) or await self._welcome(name, nursery)
                    caller.used = trio.current_time()
                    self._pass(nursery, data, caller.upstream, self._server)
        finally:
            self._socket.close()
            for caller in self._callers.values():
                caller.upstream.close()

    async def _welcome(self, name: Name, nursery: trio.Nursery) -> Caller:
        upstream = _bound((self._listen[0], 0))
        await upstream.connect(self._server)
        caller = self._callers[name] = Caller(upstream, trio.current_time())
        nursery.start_soon(self._answer, name, caller, nursery)
        return caller

    async def _answer(self, name: Name, caller: Caller, nursery: trio.Nursery) -> None:
        with caller.scope:
            while True:
                try:
                    data = await caller.upstream.recv(LARGEST)
                except ConnectionRefusedError:  # the server is not there, or is no longer
                    continue
                caller.used = trio.current_time()
                self._pass(nursery, data, self._socket, name)

    def _pass(self, nursery: trio.Nursery, data: bytes, sock: trio.socket.SocketType, to: Name) -> None:
        copies = 1 + (self._random.random() < self._weather.duplication)
        self.counts["duplicated"] += copies - 1
        for _ in range(copies):
            if self._random.random() < self._weather.loss:
                self.counts["lost"] += 1
            else:
                delay = self._random.uniform(self._weather.delay_min, self._weather.delay_max)
                nursery.start_soon(self._send_later, data, sock, to, delay)

    async def _send_later(self, data: bytes, sock: trio.socket.SocketType, to: Name, delay: float) -> None:
        await trio.sleep(delay)
        try:
            await sock.sendto(data, to)
            self.counts["passed"] += 1
        except OSError:  # nobody is there any more
            self.counts["refused"] += 1

    async def _forget(self) -> None:
        while True:
            await trio.sleep(IDLE / 4)
            now = trio.current_time()
            for name, caller in list(self._callers.items()):
                if now - caller.used > IDLE:
                    del self._callers[name]
                    caller.scope.cancel()
                    caller.upstream.close()


def _bound(name: Name) -> trio.socket.SocketType:
    family = socket.AF_INET6 if ":" in name[0] else socket.AF_INET
    sock = trio.socket.from_stdlib_socket(socket.socket(family, socket.SOCK_DGRAM))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    plain = socket.fromfd(sock.fileno(), sock.family, sock.type)
    with plain:
        plain.bind(name)
    return sock
