"""What every test begins and ends with."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

import dialogue

# Whoever runs us in the background of a shell has SIGINT ignored, which the programs that we start and interrupt would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile("quick", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=2_000)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def _curtain() -> Iterator[None]:
    """A dialogue that ended before everything that we said was expected has failed."""
    yield
    dialogue.curtain()
