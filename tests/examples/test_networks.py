"""The examples that carry packets, done as their READMEs say, with whatever data plane this machine has; `tests/vm` does them with the kernel's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from examples.plays import OURS
from l2tpd.errors import PlaneError
from l2tpd.kernel import tuntap

VLAN = "ip link add one type veth peer name two && ip link add link one name one.7 type vlan id 7"


@pytest.fixture(autouse=True)
def _able() -> None:
    """Root, and a data plane that moves packets."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    try:
        tuntap.probe()
    except PlaneError as error:
        pytest.skip(f"no packets can move: {error.text}")


@pytest.mark.parametrize("name", OURS)
def test_every_step_succeeds(tmp_path: Path, name: str) -> None:
    """Each command that the README says does what it is there for, pings included."""
    if (
        name == "vlan"
        and subprocess.run(["unshare", "-n", "sh", "-c", VLAN], capture_output=True, check=False).returncode
    ):
        pytest.skip("this kernel has no VLANs (module 8021q)")
    said = OURS[name].perform(tmp_path)
    assert ": correct: " in said
    assert " 3 received, 0% packet loss" in said
