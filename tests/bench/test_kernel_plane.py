"""The benchmark of the Linux data plane, as far as it needs no kernel of its own."""

import pytest

from bench import kernel_plane


def test_unknown_measurement() -> None:
    """A name that does not exist is told before any guest is started."""
    with pytest.raises(SystemExit, match="no such measurement: nonsense"):
        kernel_plane.main(["--only", "rates,nonsense"])


def test_calls_are_answered_without_being_connected() -> None:
    """Each call gets its ICRP, and no time that is told is longer than all of it."""
    seconds, latency = kernel_plane.rung("null", 50)
    assert 0 < latency <= seconds * 1000
