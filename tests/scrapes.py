"""Play Prometheus: ask a running daemon for its metrics over a real connection, and read the answer as Prometheus' own client does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import trio
from prometheus_client.parser import text_string_to_metric_families

from house import PATIENCE, House
from l2tpd.config.model import Address
from l2tpd.control.views import PoolView
from l2tpd.ledger import Ledger
from l2tpd.metrics import Parts, serve


class Reply(NamedTuple):
    """What came back on a connection before it was closed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: bytes) -> Samples:
    """Read a scrape as Prometheus' own client does."""
    families = text_string_to_metric_families(text.decode())
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


async def ask(address: Address, request: bytes) -> Reply:
    """Say this on a connection and return what was answered until its end."""
    with trio.fail_after(PATIENCE):
        async with await trio.open_tcp_stream(address.host, address.port) as stream:
            await stream.send_all(request)
            return await reply(stream)


async def reply(stream: trio.SocketStream) -> Reply:
    """Read an answer to the end of its connection."""
    head, _, body = b"".join([chunk async for chunk in stream]).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return Reply(int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body)


def get(path: str = "/metrics", method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: here\r\n{more}\r\n".encode()


async def scrape(address: Address) -> Samples:
    """Return every sample of a scrape."""
    answer = await ask(address, get())
    assert 200 == answer.status
    assert "text/plain; version=0.0.4; charset=utf-8" == answer.headers["content-type"]
    return samples(answer.body)


def parts(there: House, ledger: Ledger | None = None) -> Parts:
    """Return the parts of a running daemon."""
    daemon = there.daemon
    return Parts(
        registry=daemon.registry,
        site=daemon.site,
        adapter=daemon.adapter,
        scripts=daemon.scripts,
        ledger=ledger or Ledger(),
        system=lambda: daemon.config.system,
        drain=lambda: daemon.policy.drain,
        pools=lambda: (PoolView(name="subscribers", range="10.0.0.0/8", used=3), PoolView(name="idle", range="")),
        radius=daemon.radius.state,
        lost=daemon.lost,
    )


@asynccontextmanager
async def exposed(there: House, ledger: Ledger | None = None) -> AsyncIterator[Address]:
    """Serve the metrics of a running daemon on a port that nobody has."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(serve, Address("127.0.0.1", 0), parts(there, ledger))
        nursery.cancel_scope.cancel()
