from __future__ import annotations

import subprocess
import sys

from l2tpd import __version__


def test_the_package_runs_as_a_module() -> None:
    """`python -m l2tpd` is the same command as `l2tpd`."""
    result = subprocess.run(
        [sys.executable, "-m", "l2tpd", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (0, f"l2tpd {__version__}") == (result.returncode, result.stdout.splitlines()[0])
