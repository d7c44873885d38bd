"""What ends is freed at once, by reference counts alone, on the kernel's data plane as well; see `tests/test_cycles.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

import taps
from test_cycles import ETHERNET, LAC, LNS, left_over


@pytest.mark.parametrize("what", ["session", "tunnel"])
@pytest.mark.parametrize(("lns", "lac"), [(LNS.format(keys=""), LAC), (ETHERNET, "")], ids=["ppp", "ethernet"])
async def test_what_ends(tmp_path: Path, lns: str, lac: str, what: str) -> None:
    """Neither end keeps anything of it that nobody knows."""
    with taps.namespace():
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("0")
        assert {} == await left_over(tmp_path, "kernel", lns, lac, what)
