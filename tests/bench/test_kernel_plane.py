"""The benchmark of the Linux data plane, as far as it needs no kernel of its own."""

import pytest

from bench import kernel_plane, kernel_ppp

CALLS = 100


def test_unknown_measurement() -> None:
    """A name that does not exist is told before any guest is started."""
    with pytest.raises(SystemExit, match="no such measurement: nonsense"):
        kernel_plane.main(["--only", "rates,nonsense"])


def test_calls_are_answered_without_being_connected() -> None:
    """Each call gets its ICRP, and no time that is told is longer than all of it."""
    seconds, latency = kernel_plane.rung("null", 50)
    assert 0 < latency <= seconds * 1000


async def test_a_session_that_ends_is_waited_for_no_longer() -> None:
    """Each that did not come up is told as its client tells it, or as one of which nothing was heard."""
    ups = [f"notice: PPP up tid=1 sid={number} interface=ppp{number}" for number in range(1, CALLS - 1)]
    down = 'notice: session down name=s1 tid=1 sid=900 message="the peer does not answer"'
    sessions = kernel_ppp.Sessions(CALLS)
    assert sessions.settled([*ups, down]) is None
    assert [down, "a session neither came up nor ended"] == sessions.lost()
    assert sessions.settled([*ups, down, "notice: PPP up tid=1 sid=901 interface=ppp901"])
    assert ([down], CALLS - 1) == (sessions.lost(), len(sessions.up))
