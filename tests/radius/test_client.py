"""RADIUS as the daemon has it, with a server that takes what it is told to take. Time passes faster than it does for others."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
from trio.abc import Clock

from l2tpd.config.load import parse
from l2tpd.ppp.accountant import Cause, Subscriber, Traffic
from l2tpd.radius import attributes as row
from l2tpd.radius.accounting import Books, Identity
from l2tpd.radius.client import Radius
from l2tpd.radius.numbers import Code, Status
from l2tpd.radius.packet import Packet, check_answer, decode, encode_answer, encode_signed
from l2tpd.radius.spool import Spool
from l2tpd.supervise import crashes

SECRET = b"secret"
FASTER = 30.0
EVERYTHING = frozenset(Status)


@attrs.define(eq=False)
class Server:
    """Takes accounting of these statuses, and is silent about others."""

    sock: trio.socket.SocketType
    takes: frozenset[Status] = frozenset()
    heard: list[Status] = attrs.field(factory=list)
    comes_back: frozenset[Status] = frozenset()  # what it takes besides from the first record on that it takes
    records: dict[tuple[str, Status], None] = attrs.field(
        factory=dict
    )  # each once, however often it came: where it stood last

    @property
    def taken(self) -> list[Status]:
        return [status for _, status in self.records]

    async def serve(self) -> None:
        while True:
            data, sender = await self.sock.recvfrom(4096)
            request = decode(data)
            status = Status(row.ACCT_STATUS_TYPE.first(request.attributes, 0))
            self.heard.append(status)
            if status in self.takes:
                self.takes |= self.comes_back
                key = row.ACCT_SESSION_ID.first(request.attributes, ""), status
                self.records.pop(key, None)
                self.records[key] = None
                await self.sock.sendto(encode_answer(Code.ACCOUNTING_RESPONSE, request, {}, SECRET, sign=False), sender)


@asynccontextmanager
async def served(
    folder: Path, more: str = "", takes: frozenset[Status] = frozenset()
) -> AsyncIterator[tuple[Radius, Server]]:
    """Run the client with a server that takes nothing yet, or this."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await sock.bind(("127.0.0.1", 0))
    server = Server(sock, takes)
    text = (
        f'[radius]\nspool = "{folder}/spool"\n{more}[radius.server.one]\naddress = "127.0.0.1"\nsecret = "secret"\n'
        f"acct_port = {sock.getsockname()[1]}\ntimeout = 5\nretries = 1\ndead_time = 2\n"
    )
    config = parse([("f", text)])
    radius = Radius(lambda: config)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve)
            await nursery.start(radius.run)
            yield radius, server
            nursery.cancel_scope.cancel()
    finally:
        sock.close()


async def until(done: Callable[[], bool]) -> None:
    with trio.fail_after(60 * FASTER):
        while not done():
            await trio.sleep(0.2)


def somebody(number: int = 1) -> Subscriber:
    return Subscriber(
        user="joe",
        tunnel_id=1,
        session_id=number,
        traffic=Traffic,
        disconnect=lambda _: None,
        limit=lambda *_: None,
    )


async def answered(asks: trio.socket.SocketType, request: bytes, secret: bytes = SECRET) -> Packet:
    with trio.fail_after(20 * FASTER):
        return check_answer(request, await asks.recv(4096), secret, require_signature=True)


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Let time pass faster."""
    return trio.testing.MockClock(rate=FASTER)


async def test_nothing_overtakes_an_accounting_on(tmp_path: Path, clock: Clock) -> None:
    """While no server takes it nothing else is told; when one does it comes first, and with it all that has happened since."""
    async with served(tmp_path) as (radius, server):
        account = radius.begin(somebody())
        await until(lambda: radius.state().spooled == 2)
        radius.end(account, Cause.USER_REQUEST)
        radius.begin(somebody(2))
        await until(lambda: radius.state().spooled == 4)
        server.takes = EVERYTHING
        await until(lambda: not radius.state().spooled)
        assert Status.ON == server.taken[0]
        assert [Status.START, Status.START, Status.STOP] == sorted(server.taken[1:])
        radius.begin(somebody(3))
        await until(lambda: server.taken.count(Status.START) == 3)


async def test_a_server_that_comes_back_in_between(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """It has missed the Accounting-On and took the Start behind it: it hears both again, in their order, and nothing is given up."""
    async with served(tmp_path) as (radius, server):
        server.comes_back = EVERYTHING
        radius.begin(somebody())
        await until(lambda: radius.state().spooled == 2)
        server.takes = frozenset({Status.START})
        await until(lambda: not radius.state().spooled)
        assert [Status.ON, Status.START] == server.taken
        assert server.heard.index(Status.START) < len(server.heard) - 1 - server.heard[::-1].index(Status.ON)
    assert "given up" not in caplog.text


async def test_what_begins_meanwhile_is_held(tmp_path: Path, clock: Clock) -> None:
    """An Accounting-On that is only late is waited for, without the spool."""
    async with served(tmp_path) as (radius, server):
        radius.begin(somebody())
        await until(lambda: server.heard[:1] == [Status.ON])
        server.takes = EVERYTHING
        await until(lambda: server.taken == [Status.ON, Status.START])
        assert {Status.ON} == set(server.heard[:-1])


async def test_a_server_that_takes_no_accounting_on(tmp_path: Path, clock: Clock) -> None:
    """It hears of sessions all the same."""
    async with served(tmp_path) as (radius, server):
        server.takes = EVERYTHING - {Status.ON}
        radius.begin(somebody())
        radius.begin(somebody(2))
        await until(lambda: server.taken == [Status.START, Status.START])
        await until(lambda: not radius.state().spooled)
        radius.begin(somebody(3))
        await until(lambda: len(server.taken) == 3)


async def test_what_is_kept_of_a_session_is_told_in_order(tmp_path: Path, clock: Clock) -> None:
    """A Start that came behind its Stop would leave a session at the server for ever; nothing of a session is asked before what came first has an outcome."""
    spool = Spool(tmp_path / "spool")
    books = Books("life", lambda: Identity(identifier="lns"), lambda: 0.0, lambda: 0.5)
    for number, key in enumerate(("one", "two")):
        for moment, record in enumerate(
            (
                books.open(key, somebody(), 0.0, 1000.0),
                books.close(key, Traffic(), Cause.USER_REQUEST, 1.0, 1001.0),
            )
        ):
            assert record is not None
            assert spool.add(record)
            file = tmp_path / "spool" / f"{key}.{record.status.name.lower()}.json"
            os.utime(file, (moment + 10 * number, moment + 10 * number))
    async with served(tmp_path, takes=EVERYTHING) as (radius, server):
        await until(lambda: len(server.taken) == 5)
        taken = [status for status in server.taken if status is not Status.ON]
        assert [Status.START, Status.START, Status.STOP, Status.STOP] == taken
        await until(lambda: not radius.state().spooled)


async def test_what_waits_for_the_disk_is_not_overtaken(tmp_path: Path, clock: Clock) -> None:
    """Nobody takes a Start, and the disk is slow: the Stop waits behind it all the same."""
    async with served(tmp_path, takes=frozenset({Status.ON})) as (radius, server):
        await until(lambda: server.taken == [Status.ON])
        async with radius._limiter:  # of the disk's thread
            account = radius.begin(somebody())
            await until(lambda: bool(radius._to_keep))
            server.takes = EVERYTHING
            radius.end(account, Cause.USER_REQUEST)
            await until(lambda: len(radius._to_keep) == 2 or len(server.taken) == 2)
        await until(lambda: len(server.taken) == 3)
        assert [Status.ON, Status.START, Status.STOP] == server.taken


async def test_an_accounting_on_outlives_the_daemon(tmp_path: Path, clock: Clock) -> None:
    """It is told by the next one, before that one's own."""
    async with served(tmp_path) as (radius, _):
        radius.begin(somebody())
    async with served(tmp_path) as (radius, server):
        server.takes = EVERYTHING
        await until(lambda: len(server.taken) == 3)
        assert [Status.ON, Status.START, Status.ON] == server.taken


@pytest.mark.parametrize("match", ["127.0.0.0/8", "::ffff:127.0.0.1", "::/0"])
async def test_a_client_by_ipv4_where_ipv6_is_listened_to(tmp_path: Path, clock: Clock, match: str) -> None:
    """The system tells its address as one of IPv6; the table of clients has it as it is, or in the other way."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 0))
        port = probe.getsockname()[1]
    more = f'accounting = false\ndynauth_window = 0\ndynauth_listen = "[::]:{port}"\n[radius.client.four]\nmatch = "{match}"\nsecret = "secret"\n'
    async with served(tmp_path, more) as (radius, _):
        ended: list[str] = []
        radius.begin(attrs.evolve(somebody(), disconnect=ended.append))
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            request = encode_signed(Code.DISCONNECT_REQUEST, 1, {row.USER_NAME.key: (b"joe",)}, SECRET)
            await asks.sendto(request, ("127.0.0.1", port))
            answer = await answered(asks, request)
        assert Code.DISCONNECT_ACK == answer.code
        assert ["ended by RADIUS"] == ended


async def test_a_bug_that_a_request_meets_costs_that_request(tmp_path: Path, clock: Clock) -> None:
    """What comes of it in a session is no reason for RADIUS, and with it the daemon, to end: the next request is answered."""

    def broken(_: str) -> None:
        raise ZeroDivisionError

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    more = f'accounting = false\ndynauth_window = 0\ndynauth_listen = "127.0.0.1:{port}"\n[radius.client.one]\nmatch = "127.0.0.1"\nsecret = "secret"\n'
    async with served(tmp_path, more) as (radius, _):
        before = crashes["radius"]
        radius.begin(attrs.evolve(somebody(), disconnect=broken))
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            for number, user in enumerate((b"joe", b"ann")):
                request = encode_signed(Code.DISCONNECT_REQUEST, number, {row.USER_NAME.key: (user,)}, SECRET)
                await asks.sendto(request, ("127.0.0.1", port))
            answer = await answered(asks, request)
        assert Code.DISCONNECT_NAK == answer.code
        assert before + 1 == crashes["radius"]


async def test_the_longest_prefix_of_clients_wins(tmp_path: Path, clock: Clock) -> None:
    """Whatever the order in which they stand in the file: its secret counts, and no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    more = f'accounting = false\ndynauth_window = 0\ndynauth_listen = "127.0.0.1:{port}"\n' + "".join(
        f'[radius.client.{name}]\nmatch = "{match}"\nsecret = "{name}"\n'
        for name, match in (("wide", "::ffff:127.0.0.0/104"), ("host", "127.0.0.1"), ("middle", "127.0.0.0/24"))
    )
    async with served(tmp_path, more) as (radius, _):
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            for number, secret in enumerate((b"wide", b"middle", b"host")):
                request = encode_signed(Code.DISCONNECT_REQUEST, number, {row.USER_NAME.key: (b"joe",)}, secret)
                await asks.sendto(request, ("127.0.0.1", port))
            answer = await answered(asks, request, b"host")
        assert Code.DISCONNECT_NAK == answer.code
        assert 2 == radius.state().demands["unknown", "ignored"]


async def test_a_bug_in_one_session_keeps_no_other_from_its_interim_records(tmp_path: Path, clock: Clock) -> None:
    """Nor does what cannot be counted end RADIUS, and with it the daemon."""

    def broken() -> Traffic:
        raise ZeroDivisionError

    async with served(tmp_path, "interim_interval = 60\n", EVERYTHING) as (radius, server):
        before = crashes["radius"]
        radius.begin(attrs.evolve(somebody(1), traffic=broken))
        radius.begin(somebody(2))
        await until(lambda: before < crashes["radius"] and Status.INTERIM in server.heard)
