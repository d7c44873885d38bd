"""A daemon that runs as another user than root, with as many of root's capabilities as it is given and no way to more."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path

import pytest

from interop.program import Program, running, spawn

NOBODY = 65534
THREE = frozenset({"net_admin", "net_raw", "net_bind_service"})
_ROOT = Path(__file__).parents[2]
_ENVIRONMENT = {"PYTHONPATH": f"{_ROOT}:{_ROOT}/cli"}

SYSTEM = '[system]\nhostname = "nobody"\ndata_plane = "auto"\ncontrol_socket = "{folder}/socket"\nstop_timeout = 2.0\n'


def command(capabilities: Iterable[str], *words: str) -> list[str]:
    """Return the command line that runs `words` as nobody, in the network namespace of this thread."""
    given = "".join(f",+{name}" for name in sorted(capabilities))
    rights = (f"--{kind}=-all{given}" for kind in ("inh-caps", "ambient-caps", "bounding-set"))
    user = (f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")
    # A thread that starts a program may have been born in another test's namespace.
    return ["nsenter", f"--net=/proc/{os.getpid()}/ns/net", "setpriv", *user, *rights, *words]


@cache
def require_readable() -> None:
    """Skip where nobody but root can read what is to be run."""
    words = command((), sys.executable, "-c", "import l2tpd, attrs")
    done = subprocess.run(words, env=os.environ | _ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)
    if "PermissionError" in done.stderr or "Permission denied" in done.stderr or "ModuleNotFound" in done.stderr:
        pytest.skip(f"only root can read {_ROOT} and {sys.prefix}")
    assert 0 == done.returncode, done.stderr


@contextmanager
def folder() -> Iterator[Path]:
    """A folder of nobody's."""
    made = Path(tempfile.mkdtemp(prefix="l2tpd-nobody-", dir="/tmp"))
    try:
        os.chown(made, NOBODY, NOBODY)
        yield made
    finally:
        shutil.rmtree(made)


@asynccontextmanager
async def nobodys(capabilities: Iterable[str], config: str) -> AsyncIterator[Program]:
    """Run l2tpd as nobody; it has to end well."""
    with folder() as place:
        path = place / "l2tpd.toml"
        path.write_text(SYSTEM.format(folder=place) + config)
        os.chown(path, NOBODY, NOBODY)
        words = command(capabilities, sys.executable, "-m", "l2tpd", "-f", "-c", str(path))
        program = Program("l2tpd", await spawn(words, _ENVIRONMENT))
        async with running(program, signal.SIGTERM):
            yield program
        assert 0 == await program.ended(), program.log
        assert "Traceback" not in program.log, program.log


async def refused(capabilities: Iterable[str], config: str) -> str:
    """Run l2tpd as nobody, which must refuse to start; return what it says."""
    with folder() as place:
        path = place / "l2tpd.toml"
        path.write_text(SYSTEM.format(folder=place) + config)
        os.chown(path, NOBODY, NOBODY)
        words = command(capabilities, sys.executable, "-m", "l2tpd", "-f", "-c", str(path))
        program = Program("l2tpd", await spawn(words, _ENVIRONMENT))
        async with running(program, signal.SIGTERM):
            assert 0 != await program.ended()
        return program.log
