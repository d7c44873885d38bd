"""The stage itself: l2tpd runs in a guest as it does elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.netns import Cable
from vm.inside import stage

DIAL = """
[tunnel.hq]
peer = "{peer}:1701"
secret = "swordfish"

[tunnel.hq.session.branch]
pseudowire = "ppp"
"""
ANSWER = """
[peer.branches]
match = ["{network}"]
roles = ["lns"]
secret = "swordfish"
"""


@pytest.mark.stock
async def test_two_l2tpd_in_a_guest(cable: Cable, tmp_path: Path) -> None:
    """A LAC and an LNS in two namespaces set up a tunnel and a session, asked through their control sockets, and part in peace."""
    answer, dial = ANSWER.format(network="192.0.2.0/24"), DIAL.format(peer=cable.them.address)
    async with stage.l2tpd(cable.them, tmp_path / "lns", answer, data_plane="null") as theirs:
        async with stage.l2tpd(cable.us, tmp_path / "lac", dial, data_plane="null") as ours:
            _, session = await ours.up("branch")
            _, other = await theirs.up()
            assert (session["id"], session["peer_id"]) == (other["peer_id"], other["id"])
        await theirs.empty()


def test_pings_are_counted(cable: Cable) -> None:
    """Every answered ping counts, none do where nobody is or where no route leads: a test that counts pings can fail."""
    assert 2 == stage.ping(cable.us, cable.them.address, count=2)
    assert 0 == stage.ping(cable.us, "192.0.2.77", count=1)
    assert 0 == stage.ping(cable.us, "198.51.100.1", count=1)
