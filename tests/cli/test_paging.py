"""A list of many rows, fetched by the client over the real socket: whole, while the daemon's other tasks go on having their turns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from control.double import Double
from l2tpctl.client import connected
from l2tpd.control import server
from l2tpd.control.params import PAGE

MANY = 20_000


@attrs.define(eq=False)
class Counting(Double):
    """A daemon that knows how many rows it has computed since anybody else had a turn."""

    at_once: int = 0
    most: int = 0

    def _count(self) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)

    def tunnel_row(self, tunnel_id: int) -> Any:
        self._count()
        return super().tunnel_row(tunnel_id)

    def session_row(self, tunnel_id: int, session_id: int) -> Any:
        self._count()
        return super().session_row(tunnel_id, session_id)


def crowded() -> Counting:
    """Make a daemon with many tunnels, and many sessions in one of them."""
    double = Counting()
    for number in range(1, MANY + 1):
        double.add_tunnel(number, f"t{number}")
        double.add_session(7, number)
    return double


@pytest.mark.parametrize(("method", "key"), [("tunnel.list", "tunnels"), ("session.list", "sessions")])
async def test_many_rows_stall_nobody(tmp_path: Path, method: str, key: str) -> None:
    """Twenty thousand rows arrive, each once and in order; between two turns of another task no more than a page of them is computed."""
    double, path, ids = crowded(), tmp_path / "control.sock", list[Any]()

    def take(page: Mapping[str, Any]) -> None:
        assert len(page[key]) <= PAGE
        ids.extend(row["id"] for row in page[key])

    async def heartbeat() -> None:
        while True:
            double.at_once = 0
            await trio.lowlevel.checkpoint()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(server.serve, double, path, "", "", 0o660))
            nursery.start_soon(heartbeat)
            async with connected(path) as client:
                await client.call_pages(method, {}, take)
            nursery.cancel_scope.cancel()
    assert list(range(1, MANY + 1)) == ids
    assert 0 < double.most <= PAGE + 1  # one more, to see whether another page follows
