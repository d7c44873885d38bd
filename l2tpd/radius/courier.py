"""Carries what an exchange has to send and receive: sockets, one for each of its sources, and one timer."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs
import trio

from l2tpd import log
from l2tpd.config.model import Address
from l2tpd.radius.exchange import Datagram, Exchange, Outcome, Question
from l2tpd.supervise import contained, keep

BATCH: Final = 64  # datagrams that are read before other tasks get their turn
LARGEST: Final = 4096  # octets (RFC 2865 3)

Told = Callable[[Outcome], None]
"""Hears what has come of a question."""

_log = log.get("radius")


@attrs.define(eq=False)
class _Asked:
    question: Question
    told: Told
    ticket: int


class Courier:
    """Asks questions for others."""

    def __init__(self, exchange: Exchange) -> None:
        """Begin with an exchange, of which `replace` may make another later."""
        self.exchange = exchange
        self._asked: dict[int, _Asked] = {}
        self._sockets: dict[tuple[int, socket.AddressFamily], socket.socket] = {}
        self._nursery: trio.Nursery | None = None
        self._armed = math.inf
        self._wake = trio.Event()
        self._idle = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                try:
                    task_status.started()
                    await keep("RADIUS", self._keep_time, kind="radius")
                finally:
                    self._nursery = None  # already here: once its block is left, a nursery takes nobody
        finally:
            for one in self._sockets.values():
                one.close()
            self._sockets.clear()

    def ask_nowait(self, question: Question, told: Told) -> int:
        """Ask, and have `told` called once with what comes of it, perhaps at once; return a ticket."""
        ticket = self.exchange.ask(question, trio.current_time())
        self._asked[ticket] = _Asked(question, told, ticket)
        self._flush()
        return ticket

    async def ask(self, question: Question) -> Outcome:
        """Ask, and wait for what comes of it."""
        found: list[Outcome] = []
        done = trio.Event()

        def told(outcome: Outcome) -> None:
            found.append(outcome)
            done.set()

        asked = self._asked.get(self.ask_nowait(question, told))
        try:
            await done.wait()
        finally:
            if not found and asked is not None:
                self._withdraw(asked)
        return found[0]

    def replace(self, exchange: Exchange) -> None:
        """Go on with other servers; what is under way is put to them anew."""
        asked, self._asked, self.exchange = self._asked, {}, exchange
        for one in asked.values():
            one.ticket = exchange.ask(one.question, trio.current_time())
            self._asked[one.ticket] = one
        self._flush()

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._asked:
            self._idle = trio.Event()
            await self._idle.wait()

    def _withdraw(self, asked: _Asked) -> None:
        self.exchange.withdraw(asked.ticket, trio.current_time())
        del self._asked[asked.ticket]
        self._flush()

    def _flush(self) -> None:
        """Send what is to be sent, tell what has come of questions, and see to the timer; nothing here waits."""
        for datagram in self.exchange.datagrams_to_send():
            self._send(datagram)
        for outcome in self.exchange.take_outcomes():
            with contained("what came of a RADIUS request", kind="radius"):
                self._asked.pop(outcome.ticket).told(outcome)
        if not self._asked:
            self._idle.set()
        when = self.exchange.next_timer()
        if when is not None and when < self._armed:
            self._wake.set()

    async def _keep_time(self) -> None:
        while True:
            when = self.exchange.next_timer()
            self._armed = math.inf if when is None else when
            with trio.move_on_at(self._armed):
                await self._wake.wait()
            self._wake = trio.Event()
            self.exchange.handle_timer(trio.current_time())
            self._flush()

    def _send(self, datagram: Datagram) -> None:
        if self._nursery is None:
            return  # we are ending
        try:
            sock = self._socket(datagram, self._nursery)
        except OSError as error:
            self.exchange.unsent(datagram, str(error.strerror))
            return
        try:
            sock.sendto(datagram.octets, tuple(datagram.address))
        except OSError as error:  # as good as lost: it will be repeated, or put to another server
            _log.debug("not sent", server=str(datagram.address), reason=str(error.strerror))

    def _socket(self, datagram: Datagram, nursery: trio.Nursery) -> socket.socket:
        """Return the socket of a source, opened when it is used for the first time. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in datagram.address.host else socket.AF_INET
        one = self._sockets.get((datagram.source, family))
        if one is None:
            one = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                one.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))  # noqa: S104 - a port of its own
            except OSError:
                one.close()
                raise
            self._sockets[datagram.source, family] = one
            nursery.start_soon(partial(keep, "RADIUS", partial(self._read, datagram.source, one), kind="radius"))
        return one

    async def _read(self, source: int, one: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(one)
            self._drain(source, one)
            self._flush()

    def _drain(self, source: int, one: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data, sender = one.recvfrom(LARGEST)
            except BlockingIOError:
                return
            except OSError:  # an ICMP message about something that was sent
                continue
            self.exchange.receive_datagram(source, data, Address(sender[0], sender[1]), trio.current_time())
