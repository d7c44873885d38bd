"""One tunnel in the running daemon: its life, its end and what a bug of it costs."""

from __future__ import annotations

import trio

from house import Peer, established, house, until
from l2tpd.tunnel.states import State
from l2tpd.wire.header import build_control
from l2tpd.wire.numbers import MessageType, StopResult


async def test_a_tunnel_lives_and_ends() -> None:
    """Set up, kept, torn down by its peer: at the end nothing is left but what must linger."""
    async with house() as lns:
        with Peer(lns.address) as lac:
            call = await lac.connect()
            tunnel = lns.the_tunnel()
            assert State.ESTABLISHED is tunnel.core.state
            assert tunnel.up_since is not None
            await call.alive()
            await call.stop()
            await until(lambda: tunnel.sock is None)
            assert [] == lns.tunnels
            assert call.theirs in lns.daemon.lingering
            assert 0 == lns.daemon.crashes
