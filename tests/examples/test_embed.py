"""The core in a program of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EMBED = Path(__file__).parents[2] / "examples" / "embed" / "embed.py"


def test_tunnel_and_session_over_another_transport() -> None:
    """Tunnel and call come up on both sides, and the reason of the end arrives."""
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, str(EMBED)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (result.returncode, result.stderr)
    said = result.stdout.splitlines()
    for end in ("lac", "lns"):
        assert f"{end}: TunnelEvent up" in said
        assert f"{end}: SessionEvent up" in said
        assert f"{end}: TunnelEvent deleted that was all" in said
    assert "--- alice is established; the other side knows her number: 5551234" in said
    assert "--- the other side was told: result 1, that was all" == said[-1]
