"""The machine's clock is set to another day, which a guest may have done to it: nothing ends, begins or hurries because of that."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from l2tpd.config.load import parse
from l2tpd.events import Stamped, What
from l2tpd.ppp.accountant import Subscriber, Traffic
from l2tpd.radius import attributes as row
from l2tpd.radius.attributes import Draft
from l2tpd.radius.client import Radius
from l2tpd.radius.numbers import Code
from l2tpd.radius.packet import encode_signed
from pair import ANYBODY, calls, carried, free_port, hear, listen, other_end, session, stage, tunnel, until

DAY = 86_400.0


@pytest.fixture
def _clock() -> Iterator[None]:
    """The clock is right again afterwards."""
    wall, began = time.time(), time.monotonic()
    yield
    time.clock_settime(time.CLOCK_REALTIME, wall + time.monotonic() - began)


@pytest.mark.usefixtures("_clock")
async def test_the_clock_jumps(tmp_path: Path) -> None:
    """A day ahead and two back: HELLOs go on at their pace, tunnel and session stay, and what happens then is stamped with the new time."""
    async with stage(tmp_path, seconds=60) as on:
        port = free_port()
        lns = await on.start("lns", listen(port) + ANYBODY)
        lac = await on.start("lac", calls("t", port, "hello_timeout = 0.2\n") + session("t", "s"))
        await until(lambda: carried(lac, "t", "s"))
        mine = tunnel(lac, "t")
        theirs, told, stamped = other_end(lns, mine), hear(on, lac), lac.bus.subscribe()
        for jump in (DAY, -2 * DAY):
            time.clock_settime(time.CLOCK_REALTIME, time.time() + jump)
            sent = mine.core.channel.stats.sent
            await until(lambda sent=sent: mine.core.channel.stats.sent > sent + 2)  # type: ignore[misc]
            assert 0 == mine.core.channel.stats.retransmitted
        assert (mine, theirs) == (tunnel(lac, "t"), other_end(lns, mine))
        assert carried(lac, "t", "s")
        assert [] == told.events
        lac.dialer.close_session("t", "s", "enough")
        await until(lambda: told.sessions(What.DOWN))
        item = await stamped.__anext__()
        assert isinstance(item, Stamped)
        assert abs(item.time - time.time()) < DAY / 2


@pytest.mark.usefixtures("_clock")
async def test_the_clock_jumps_beside_radius(tmp_path: Path) -> None:
    """A request to end a session counts for its time by our clock: none of now while ours is a day ahead, and the same once more when it is back."""
    port = free_port()
    text = f'[radius]\nspool = "{tmp_path}"\ndynauth_listen = "127.0.0.1:{port}"\n'
    config = parse([("f", text + '[radius.client.a]\nmatch = "127.0.0.1/32"\nsecret = "s"\n')])
    radius, ended = Radius(lambda: config), list[str]()
    someone = Subscriber(
        user="joe", tunnel_id=1, session_id=1, traffic=Traffic, disconnect=ended.append, limit=lambda *_: None
    )
    said: Draft = {}
    row.USER_NAME.put(said, "joe")
    row.EVENT_TIMESTAMP.put(said, int(time.time()))
    request = encode_signed(Code.DISCONNECT_REQUEST, 1, said, b"s")
    with trio.fail_after(60), trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        await server.connect(("127.0.0.1", port))
        async with trio.open_nursery() as nursery:
            await nursery.start(radius.run)
            radius.begin(someone)
            await server.send(request)
            first = await server.recv(4096)
            time.clock_settime(time.CLOCK_REALTIME, time.time() + DAY)
            await server.send(request)
            await until(lambda: radius.desk.counts["unknown", "ignored"])
            time.clock_settime(time.CLOCK_REALTIME, time.time() - DAY)
            await server.send(request)
            assert first == await server.recv(4096)
            assert 1 == len(ended)
            nursery.cancel_scope.cancel()
