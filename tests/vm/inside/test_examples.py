"""The examples, done as their READMEs say with the kernel's data plane; the far ends are `ip l2tp` and xl2tpd with pppd where the READMEs have those."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.plays import OURS, THEIRS

PLAYS = {**OURS, **THEIRS}


@pytest.mark.parametrize("name", PLAYS)
def test_every_step_succeeds(tmp_path: Path, name: str) -> None:
    """Each command that the README says does what it is there for, pings included."""
    assert " 3 received, 0% packet loss" in PLAYS[name].perform(tmp_path)
