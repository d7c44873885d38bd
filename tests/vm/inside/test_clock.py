"""The machine's clock is set to another day, which a guest may have done to it: nothing ends, begins or hurries because of that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2tpd.events import Stamped, What
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
