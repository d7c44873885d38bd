"""A RADIUS server of a bad day: it refuses some, loses requests, is dead for seconds, ends sessions; and knows which accounts are open."""

from __future__ import annotations

import socket
import time
from collections import Counter
from random import Random
from typing import Final, NoReturn

import trio

from l2tpd.radius import attributes as row
from l2tpd.radius.numbers import Code, Status
from l2tpd.radius.packet import Packet, decode, encode_answer, encode_signed

SECRET: Final = "testing 123"
AUTH, ACCT, DYNAUTH = 1812, 1813, 3799
LOSS, REFUSAL = 0.05, 0.05  # shares of all requests, and of those for access
DEAD, ALIVE = (0.5, 4.0), (5.0, 15.0)  # seconds at a stretch


class Authority:
    """Serves one daemon. What it says of a session is what accounting said of it."""

    def __init__(self, address: str, daemon: str, dice: Random) -> None:
        """Listen on the usual ports of `address`; `daemon` is where requests of RFC 5176 are heard."""
        self.counts: Counter[str] = Counter()
        self.open: set[str] = set()
        """Acct-Session-Ids of the sessions that began and have not ended."""
        self.dead = False
        self._ended: set[str] = set()
        self._dice = dice
        self._daemon = (daemon, DYNAUTH)
        self._sockets = [_bound(address, port) for port in (AUTH, ACCT, 0)]

    async def run(self) -> NoReturn:
        """Serve until cancelled."""
        access, accounts, changes = self._sockets
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve, access)
                nursery.start_soon(self._serve, accounts)
                await self._hear_of_changes(changes)
        finally:
            for sock in self._sockets:
                sock.close()

    async def storm(self) -> NoReturn:
        """Die and come back, again and again, and end sessions; being cancelled brings it back for good."""
        try:
            while True:
                with trio.move_on_after(self._dice.uniform(*ALIVE)):
                    await self._end_sessions()
                self.dead = True
                await trio.sleep(self._dice.uniform(*DEAD))
                self.dead = False
        finally:
            self.dead = False

    async def _serve(self, sock: trio.socket.SocketType) -> NoReturn:
        while True:
            data, sender = await sock.recvfrom(4096)
            if self.dead or self._dice.random() < LOSS:
                self.counts["unheard"] += 1
            else:
                await sock.sendto(self._answer(decode(data)), sender)

    def _answer(self, request: Packet) -> bytes:
        if request.code == Code.ACCOUNTING_REQUEST:
            self._enter(request)
            return encode_answer(Code.ACCOUNTING_RESPONSE, request, {}, SECRET.encode(), sign=False)
        code = Code.ACCESS_REJECT if self._dice.random() < REFUSAL else Code.ACCESS_ACCEPT
        self.counts[code.name.lower()] += 1
        return encode_answer(code, request, {}, SECRET.encode(), sign=True)

    def _enter(self, request: Packet) -> None:
        """Keep the books: a record may come more than once, and the first of a session after its last."""
        account = row.ACCT_SESSION_ID.first(request.attributes, "")
        status = Status(row.ACCT_STATUS_TYPE.first(request.attributes, 0))
        self.counts[f"accounting_{status.name.lower()}"] += 1
        if status is Status.START and account not in self._ended:
            self.open.add(account)
        elif status is Status.STOP:
            self.open.discard(account)
            self._ended.add(account)

    async def _end_sessions(self) -> NoReturn:
        while True:
            await trio.sleep(self._dice.uniform(0.5, 2.0))
            if self.open:
                wanted: row.Draft = {}
                row.ACCT_SESSION_ID.put(wanted, self._dice.choice(sorted(self.open)))
                row.EVENT_TIMESTAMP.put(wanted, int(time.time()))
                number = self.counts["disconnect_request"] % 256
                request = encode_signed(Code.DISCONNECT_REQUEST, number, wanted, SECRET.encode())
                self.counts["disconnect_request"] += 1
                await self._sockets[-1].sendto(request, self._daemon)

    async def _hear_of_changes(self, sock: trio.socket.SocketType) -> NoReturn:
        while True:
            self.counts[Code(decode(await sock.recv(4096)).code).name.lower()] += 1


def _bound(address: str, port: int) -> trio.socket.SocketType:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))
    return trio.socket.from_stdlib_socket(sock)
