"""Every frame of a PPP call at every moment of another, and a short run of the stage `links`."""

from __future__ import annotations

import math
from random import Random

import pytest

from fuzz import links
from fuzz.crash import Crashes


@pytest.mark.parametrize("frame", links.seeds()[:: max(1, len(links.seeds()) // 60)], ids=lambda frame: frame[:8].hex())
def test_known_frames_pass_at_every_moment(frame: bytes) -> None:
    """Nothing but `Malformed` escapes, and the books of both links agree."""
    links.play(frame)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_short_run_finds_nothing(seed: int) -> None:
    """Mutants with a fixed seed; the long runs are another session's."""
    crashes = Crashes()
    assert links.run(Random(seed), crashes, datagrams=4_000, until=math.inf) >= 4_000
    assert {} == crashes.texts


def test_a_run_reaches_every_phase() -> None:
    """Calls that come up, calls that are refused, and calls that end."""
    dice = Random(1)
    seen: set[str] = set()
    for _ in range(200):
        made = links.crossing(dice)
        for _ in range(60):
            made.step()
            seen |= {player.link.phase.value for player in made.ends}
            seen |= {type(event).__name__ for player in made.ends for event in player.told}
    assert {"dead", "establish", "authenticate", "network", "terminate"} <= seen
    assert {"Ipv4Up", "Ipv6Up", "AuthFailed", "LinkDown", "NetworkDown"} <= seen
