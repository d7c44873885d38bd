"""Every known input, and a short run of every stage: what `nox -s fuzz` does for longer."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from fuzz import cores, decoders, endpoint, seeds, seeds3
from fuzz.crash import Crashes

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.bin"))
KNOWN = {**seeds.datagrams(), **seeds3.datagrams(), **{path.stem: path.read_bytes() for path in CORPUS}}


@pytest.mark.parametrize("name", KNOWN)
def test_known_inputs_pass_every_decoder_and_every_state(name: str) -> None:
    """Hand-assembled messages of each type, hostile ones, and whatever once failed: nothing but `Malformed` escapes."""
    decoders.decode_everything(KNOWN[name])
    cores.play(KNOWN[name])


@pytest.mark.parametrize(("stage", "datagrams"), [(decoders.run, 5_000), (cores.run, 5_000)], ids=["decoders", "cores"])
def test_a_short_run_finds_nothing(stage: Callable[..., int], datagrams: int) -> None:
    """Mutants with a fixed seed; the long runs are another session's."""
    crashes = Crashes()
    assert stage(Random(1), crashes, datagrams=datagrams, until=math.inf) >= datagrams
    assert {} == crashes.texts


def test_a_daemon_under_a_hail_forgets_it() -> None:
    """Half-open tunnels stay within their limit, no bug has to be contained, and nothing is left when strangers fall silent."""
    crashes = Crashes()
    assert endpoint.run(Random(1), crashes, datagrams=5_000, until=math.inf) >= 5_000
    assert {} == crashes.texts
