"""The gates of the project, one session each; `nox` alone runs what a change must pass.

On a bare Debian python3, python3-venv and git suffice: a session that needs more installs it when run by root, and says what to install when not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "types", "tests", "interop", "properties", "build"]

# Debian package -> a program that shows that it is there.
PROGRAMS = {
    "iproute2": "ip",
    "l2tpns": "l2tpns",
    "tcpdump": "tcpdump",
    "tshark": "tshark",
    "xl2tpd": "xl2tpd",
}
POLICY = Path("/usr/sbin/policy-rc.d")
PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"]
)  # where a user's shell does not look
ASYNC_RULES_OFF = (
    "ASYNC110",  # ruff has it too
    "ASYNC114",  # wants each startable function to be listed
    "ASYNC122",  # concerns trio before 0.27
    "ASYNC124",  # a Protocol's method may have nothing to await in one of its classes
    "ASYNC2",  # ruff has what of these concerns trio
    "ASYNC3",  # ... and these concern asyncio
    "ASYNC4",  # ... or trio before it had strict exception groups
    "ASYNC9",  # wants a checkpoint in each function on each path; ours answer at once where they can
)
SOURCES = ("l2tpd", "cli", "tests", "examples", "noxfile.py")
SLOW = ("interop", "bench", "fuzz")  # directories of tests that have a session of their own


def debian(session: nox.Session, *packages: str) -> None:
    """Make sure that programs from Debian packages are there; a package is installed without starting its service."""
    missing = [package for package in packages if shutil.which(PROGRAMS[package], path=PATH) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        session.error(
            f"this session needs {', '.join(missing)}; install with: sudo apt-get install {' '.join(missing)}"
        )
    session.log(f"installing {', '.join(missing)}")
    ours = forbid_services()
    try:
        apt_get(session, "update", "-q")
        apt_get(session, "install", "-q", "-y", "--no-install-recommends", *missing)
    finally:
        if ours:
            POLICY.unlink()


def forbid_services() -> bool:
    """Keep apt from starting daemons (xl2tpd would take UDP port 1701); tells whether the policy is ours to remove."""
    try:
        with POLICY.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        return False
    POLICY.chmod(0o755)
    return True


def apt_get(session: nox.Session, *arguments: str) -> None:
    """Run apt-get, which must not ask anything."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    result = subprocess.run(["apt-get", *arguments], env=environment, stdin=subprocess.DEVNULL, check=False)
    if result.returncode:
        session.error(f"apt-get {arguments[0]} failed with status {result.returncode}")


def install(session: nox.Session, *extras: str) -> None:
    """Install the product in place with some of its extras, and with the path on which daemons are found."""
    session.install("-q", "-e", f".[{','.join(extras)}]" if extras else ".")
    session.env["PATH"] = os.pathsep.join([session.bin, PATH])


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, async traps, and who imports whom."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    sources = [str(path) for directory in ("l2tpd", "cli", "examples") for path in Path(directory).rglob("*.py")]
    session.run("flake8-async", f"--disable={','.join(ASYNC_RULES_OFF)}", *sources)
    session.run("lint-imports", "--no-cache", "--no-logo")


@nox.session
def fix(session: nox.Session) -> None:
    """Repair what ruff can repair, and format."""
    session.install("-q", "ruff>=0.9")
    session.run("ruff", "check", "--fix", ".", success_codes=[0, 1])
    session.run("ruff", "format", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy --strict."""
    install(session, "lint", "test")
    session.install("-q", "nox")
    session.run("mypy", *(session.posargs or [source for source in SOURCES if Path(source).exists()]))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests that need no other daemon, with branch coverage."""
    debian(session, "iproute2", "tshark")
    install(session, "test")
    session.run("coverage", "erase")
    ignored = [f"--ignore=tests/{directory}" for directory in SLOW]
    session.run("coverage", "run", "-m", "pytest", *ignored, *session.posargs)
    session.run("coverage", "combine", "-q", silent=True)
    session.run("coverage", "report")


@nox.session
def properties(session: nox.Session) -> None:
    """Let Hypothesis search longer than `tests` does."""
    install(session, "test")
    session.run("pytest", "--hypothesis-profile=thorough", *(session.posargs or ["tests/properties"]))


@nox.session
def interop(session: nox.Session) -> None:
    """Talk to xl2tpd and l2tpns in network namespaces, with tshark as the judge; needs root."""
    debian(session, "iproute2", "tcpdump", "tshark", "xl2tpd", "l2tpns")
    install(session, "test")
    session.run("python", "-m", "pytest", "tests/interop", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Throw mutated datagrams at every decoder and at a daemon; pass a budget after `--`."""
    install(session, "test")
    session.run("python", "tests/fuzz/run.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure set-up rate, memory and idle cost."""
    install(session, "test")
    session.run("python", "tests/bench/run.py", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Show an LNS and a LAC bring up a tunnel with sessions, and take it down."""
    install(session)
    session.run("python", "examples/demo/demo.py", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the packages, and try the commands of the wheel in a fresh environment."""
    session.install("-q", "build")
    dist = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist), silent=True)
    (wheel,) = dist.glob("*.whl")
    session.install("-q", "--force-reinstall", "--no-deps", str(wheel))
    session.install("-q", str(wheel))
    with session.chdir(dist):  # away from the sources, which would be found first
        session.run("l2tpd", "--version")
        session.run("l2tpctl", "--help", silent=True)
        session.run("l2tpwatch", "--help", silent=True)


@nox.session
def local(session: nox.Session) -> None:
    """Run what a developer runs before each commit: lint, types, tests."""
    for name in ("lint", "types", "tests"):
        session.notify(name)
