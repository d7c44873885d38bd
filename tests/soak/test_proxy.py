"""The bad path of the soak: what is lost is lost, what is doubled is doubled, and each caller has an address of its own behind it."""

from __future__ import annotations

import trio
import trio.testing

from badnet import FINE, Weather
from pair import free_port, udp
from soak.proxy import Proxy

HOST = "127.0.0.1"


async def talk(weather: Weather, seed: int, said: int) -> tuple[list[bytes], int, Proxy]:
    """Have two callers say something, each `said` times, to a server that echoes; return what came back, and how many sources it came from."""
    sources: set[object] = set()
    with udp() as server, udp() as one, udp() as other:
        proxy = Proxy((HOST, free_port()), server.getsockname(), weather, seed)
        echoing, first, second = (trio.socket.from_stdlib_socket(sock.dup()) for sock in (server, one, other))

        async def echo() -> None:
            while True:
                data, name = await echoing.recvfrom(100)
                sources.add(name)
                await echoing.sendto(data, name)

        back: list[bytes] = []

        async def collect(sock: trio.socket.SocketType) -> None:
            while True:
                back.append(await sock.recv(100))

        with trio.fail_after(20), echoing, first, second:
            async with trio.open_nursery() as nursery:
                for task in (echo, proxy.run):
                    nursery.start_soon(task)
                for sock in (first, second):
                    nursery.start_soon(collect, sock)
                    for number in range(said):
                        await sock.sendto(str(number).encode(), proxy._listen)
                while proxy.counts["passed"] + proxy.counts["lost"] < 2 * said or len(sources) < 2:
                    await trio.sleep(0.005)
                await trio.testing.wait_all_tasks_blocked(0.05)
                nursery.cancel_scope.cancel()
    return back, len(sources), proxy


async def test_a_fine_path() -> None:
    """Everything comes back once, and the server sees two sources."""
    back, sources, proxy = await talk(FINE, 1, 20)
    assert sorted(str(number).encode() for number in range(20) for _ in range(2)) == sorted(back)
    assert (2, 2) == (sources, proxy.callers)


async def test_a_bad_path() -> None:
    """Some datagrams are lost and some come twice."""
    _, _, proxy = await talk(Weather(loss=0.2, duplication=0.2, delay_min=0.0, delay_max=0.01), 1, 100)
    assert proxy.counts["lost"] > 10
    assert proxy.counts["duplicated"] > 10
