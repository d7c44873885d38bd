"""The example with RADIUS, done as its README says."""

from __future__ import annotations

from pathlib import Path

import pytest

import taps
from examples.plays import RADIUS


@pytest.mark.skipif(bool(taps.why_not()), reason=f"THE EXAMPLE WITH RADIUS IS NOT TESTED: {taps.why_not()}")
def test_every_step_succeeds(tmp_path: Path) -> None:
    """The subscriber comes in with the address that RADIUS says, accounting knows of her, and the server ends her session."""
    said = RADIUS["radius-lns"].perform(tmp_path)
    assert " 3 received, 0% packet loss" in said
    assert "10.64.0.99" in said
    assert "Acct-Status-Type = Start" in said
    assert "Disconnect-ACK" in said
    assert "RADIUS: disconnect client=198.51.100.2 sessions=1" in said
