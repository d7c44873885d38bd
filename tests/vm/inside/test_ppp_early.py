"""A peer that talks PPP at the first moment that it may: its first Configure-Request, the only one that it sends, is answered."""

from __future__ import annotations

import pytest

from bench import packets
from interop.netns import Cable
from vm.inside import ppp, stage
from vm.inside.conftest import Start
from vm.inside.handmade import handmade


@pytest.mark.stock
@pytest.mark.parametrize("early", [False, True], ids=["with-the-iccn", "before-the-iccn"])
async def test_a_callers_first_frame_is_answered(cable: Cable, daemon: Start, early: bool) -> None:
    """To the LNS: in one breath with the ICCN, or once the ICRP has said where frames go."""
    with stage.secrets(cable.us), handmade(cable.them, cable.us) as caller:
        async with daemon(cable.us, ppp.LNS) as ours:
            await caller.open_tunnel()
            await caller.call()
            for step in (caller.configure, caller.connect) if early else (caller.connect, caller.configure):
                await step()
            await caller.answered()
            assert 1 == caller.requests
            assert 1 == len(await ours.sessions())


async def test_the_first_frame_of_an_lns_is_answered(cable: Cable, daemon: Start) -> None:
    """To the client: the ICCN lets an LNS talk (RFC 2661 7.4.2), and is not sent before the kernel has the session."""
    with handmade(cable.us, cable.them) as lns:
        async with daemon(cable.them, ppp.client_once(cable)) as ours:
            await lns.accept_tunnel()
            await lns.accept_call()
            await lns.hear(packets.ICCN)
            await lns.configure()
            await lns.answered()
            assert 1 == lns.requests
            assert 1 == len(await ours.sessions())
