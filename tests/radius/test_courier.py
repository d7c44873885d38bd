"""Questions over real sockets of loopback, to servers that are a few lines long."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from l2tpd.config.model import Address
from l2tpd.radius.courier import Courier
from l2tpd.radius.exchange import Exchange, Outcome, Question, Server
from l2tpd.radius.numbers import Code
from l2tpd.radius.packet import decode, encode_answer
from l2tpd.radius.tally import Tally
from l2tpd.supervise import crashes

SECRET = b"secret"
LOGIN = Question(code=Code.ACCESS_REQUEST, attributes={1: (b"joe",)}, password=b"x")


@attrs.define(eq=False)
class Echo:
    """A server that accepts everybody, once it is not `deaf` any longer."""

    sock: trio.socket.SocketType
    deaf: bool = False
    heard: int = 0

    @property
    def address(self) -> Address:
        host, port = self.sock.getsockname()[:2]
        return Address(host, port)

    async def serve(self) -> None:
        while True:
            data, sender = await self.sock.recvfrom(4096)
            self.heard += 1
            if not self.deaf:
                answer = encode_answer(Code.ACCESS_ACCEPT, decode(data), {}, SECRET, sign=True)
                await self.sock.sendto(answer, sender)


@asynccontextmanager
async def servers(*hosts: str) -> AsyncIterator[tuple[trio.Nursery, list[Echo]]]:
    async with trio.open_nursery() as nursery:
        echoes = []
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            sock = trio.socket.socket(family, socket.SOCK_DGRAM)
            await sock.bind((host, 0))
            echoes.append(Echo(sock))
            nursery.start_soon(echoes[-1].serve)
        yield nursery, echoes
        nursery.cancel_scope.cancel()
    for echo in echoes:
        echo.sock.close()


def exchange(*echoes: Echo, timeout: float = 5.0) -> Exchange:
    return Exchange(
        [Server(address=one.address, secret=SECRET, timeout=timeout) for one in echoes], os.urandom, Tally("login")
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_question_is_answered(host: str) -> None:
    """Over IPv4 and IPv6, many at once."""
    async with servers(host) as (nursery, (echo,)):
        courier = Courier(exchange(echo, timeout=3.0))  # a burst may be more than the socket holds
        await nursery.start(courier.run)
        answered: list[bool] = []

        async def ask() -> None:
            answered.append((await courier.ask(LOGIN)).answer is not None)

        async with trio.open_nursery() as asking:
            for _ in range(300):
                asking.start_soon(ask)
        assert [True] * 300 == answered
        await courier.idle()


async def test_what_is_under_way_goes_to_other_servers() -> None:
    """A reload has replaced the one that did not answer; who waits need not ask again."""
    async with servers("127.0.0.1", "127.0.0.1") as (nursery, (deaf, good)):
        deaf.deaf = True
        courier = Courier(exchange(deaf, timeout=60.0))
        await nursery.start(courier.run)
        found: list[bool] = []

        async def ask() -> None:
            found.append((await courier.ask(LOGIN)).answer is not None)

        async with trio.open_nursery() as asking:
            asking.start_soon(ask)
            while not deaf.heard:
                await trio.sleep(0.01)
            courier.replace(exchange(good))
        assert [True] == found


async def test_who_waits_no_longer_is_forgotten() -> None:
    """A caller has hung up: nothing is left of its question."""
    async with servers("127.0.0.1") as (nursery, (echo,)):
        echo.deaf = True
        mine = exchange(echo)
        courier = Courier(mine)
        await nursery.start(courier.run)
        with trio.move_on_after(0.05):
            await courier.ask(LOGIN)
        assert 0 == mine.under_way
        await courier.idle()


async def test_a_question_that_cannot_be_put_is_told_at_once() -> None:
    """There is nobody to ask."""
    async with servers() as (nursery, _):
        courier = Courier(exchange())
        await nursery.start(courier.run)
        assert "no server is configured" == (await courier.ask(LOGIN)).reason


async def test_time_passes_for_a_server_that_is_silent() -> None:
    """The question is repeated, and then the next server answers."""
    async with servers("127.0.0.1", "127.0.0.1") as (nursery, (deaf, good)):
        deaf.deaf = True
        courier = Courier(exchange(deaf, good, timeout=0.02))
        await nursery.start(courier.run)
        assert (await courier.ask(LOGIN)).answer is not None
        assert 3 == deaf.heard


async def test_a_bug_in_who_asked_is_no_other_askers() -> None:
    """All the others hear what came of their questions, and the next one is asked."""
    async with servers("127.0.0.1") as (nursery, (echo,)):
        courier, before = Courier(exchange(echo)), crashes["radius"]
        await nursery.start(courier.run)

        def bug(_: Outcome) -> None:
            raise ZeroDivisionError

        courier.ask_nowait(LOGIN, bug)
        assert (await courier.ask(LOGIN)).answer is not None
        assert (await courier.ask(LOGIN)).answer is not None
        assert before + 1 == crashes["radius"]


@pytest.mark.parametrize("method", ["receive_datagram", "handle_timer"])
async def test_a_bug_in_the_exchange_ends_nothing(method: str, mock_clock: trio.testing.MockClock) -> None:
    """What it was about is asked once more, in time, and answered."""
    mock_clock.rate = 20
    async with servers("127.0.0.1") as (nursery, (echo,)):
        echo.deaf = method == "handle_timer"
        mine, before = exchange(echo), crashes["radius"]
        courier = Courier(mine)
        await nursery.start(courier.run)

        class Broken(Exchange):
            def __getattribute__(self, name: str) -> object:
                if name == method:
                    mine.__class__, echo.deaf = Exchange, False
                    raise ZeroDivisionError
                return super().__getattribute__(name)

        mine.__class__ = Broken
        with trio.fail_after(600):
            assert (await courier.ask(LOGIN)).answer is not None
        assert before + 1 == crashes["radius"]
