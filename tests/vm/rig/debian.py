"""Packages from Debian: tools installed when root, everything else only fetched and unpacked, so that the machine stays as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from vm.rig.guest import RigError

BACKPORTS = Path("/etc/apt/sources.list.d/l2tpd-tests-backports.list")
SOURCE = "deb http://deb.debian.org/debian bookworm-backports main\n"


def programs(needed: dict[str, str]) -> None:
    """Make sure that programs are there: program -> package; raises `RigError` saying what to install."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = sorted({package for program, package in needed.items() if shutil.which(program, path=path) is None})
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RigError(f"missing {', '.join(missing)}; install with: sudo apt-get install {' '.join(missing)}")
    _lists()
    _apt("install", "-q", "-y", "--no-install-recommends", *missing)


def candidate(package: str) -> str:
    """Return the version of a package that apt would fetch, after adding Debian's backports where only those have it."""
    _lists()
    version = _policy(package)
    if not version and os.geteuid() == 0 and not BACKPORTS.exists():
        BACKPORTS.write_text(SOURCE)
        _lists()
        version = _policy(package)
    if not version:
        raise RigError(
            f"no Debian source that apt knows has the package {package}, and bookworm-backports could not be had either"
        )
    return version


def depends(package: str, pattern: str) -> str:
    """Return the first package that `package` depends on and whose name matches."""
    shown = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True, check=False).stdout
    for name in re.findall(r"Depends: (\S+)", shown):
        if re.fullmatch(pattern, name):
            return str(name)
    raise RigError(f"{package} does not depend on anything like {pattern}")


def unpack(package: str, folder: Path) -> Path:
    """Fetch a package, without installing it, and unpack its files under `folder`, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    fetched = folder / ".deb"
    fetched.mkdir()
    fetched.chmod(0o777)  # apt fetches as a user of its own where it can
    _apt("download", "-q", package, cwd=fetched)
    (archive,) = fetched.glob("*.deb")
    if subprocess.run(["dpkg-deb", "-x", archive, folder], check=False).returncode:
        raise RigError(f"dpkg-deb cannot unpack {archive.name}")
    shutil.rmtree(fetched)
    return folder


def _lists() -> None:
    if os.geteuid() == 0:
        with suppress(RigError):  # one of the machine's other sources may be out of order; what we need will be missed
            _apt("update", "-q")


def _policy(package: str) -> str:
    shown = subprocess.run(
        ["apt-cache", "policy", package], capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"}
    ).stdout
    found = re.search(r"Candidate: (\S+)", shown)
    return found[1] if found and found[1] != "(none)" else ""


def _apt(*arguments: str, cwd: Path | None = None) -> None:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        ["apt-get", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=env,
        cwd=cwd,
    )
    if done.returncode:
        raise RigError(f"apt-get {' '.join(arguments)} failed:\n{done.stdout[-2000:]}")
