"""The gates of the project, one session each; `nox` alone runs what a change must pass.

On a bare Debian python3, python3-venv and git suffice: a session that needs more installs it when run by root, and says what to install when not.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import nox

nox.needs_version = ">=2024.4"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "types", "tests", "coverage", "interop", "kernel", "fuzz", "properties", "build"]

# Debian package -> a program that shows that it is there.
PROGRAMS = {
    "freeradius": "freeradius",
    "freeradius-utils": "radclient",
    "iperf3": "iperf3",
    "iproute2": "ip",
    "iputils-ping": "ping",
    "l2tpns": "l2tpns",
    "logrotate": "logrotate",
    "man-db": "man",
    "ppp": "pppd",
    "prometheus": "promtool",
    "systemd": "systemd-analyze",
    "tcpdump": "tcpdump",
    "tmux": "tmux",
    "tshark": "tshark",
    "udev": "udevadm",
    "wide-dhcpv6-client": "dhcp6c",
    "xl2tpd": "xl2tpd",
}
USED_BY_TESTS = ("iproute2", "iputils-ping", "logrotate", "man-db", "prometheus", "systemd", "tmux", "tshark", "udev")
POLICY = Path("/usr/sbin/policy-rc.d")
LOCK = Path("/run/lock/l2tpd-nox")
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
# Debian builds its Python for speed, which under emulation is worth a third of a guest's time, and is what users have. None: the Python of nox.
# A Python without ensurepip, which is in a package of its own, cannot make an environment.
GUEST_PYTHONS = [
    f"/usr/bin/python3.{minor}" for minor in range(11, 20) if Path(f"/usr/lib/python3.{minor}/ensurepip").exists()
]
GUEST_PYTHON = GUEST_PYTHONS[0] if GUEST_PYTHONS else None
GUEST_KERNELS = {"uml": ("6.1", "6.12"), "qemu": ("6.1",)}
# Of the extra `test` without Hypothesis, which pytest-trio imports where it is: five seconds under emulation.
GUEST_TOOLS = ("pytest>=8.2", "pytest-rerunfailures>=16.7", "pytest-trio>=0.8")
GUEST_LIMIT = 1800  # seconds
GUEST_SILENCE = 400  # seconds until a guest is taken for stuck and started once more: no wait of a test is longer
# Looking at the stack of a test that runs may crash it, and each wait of a test says by itself what did not come.
GUEST_PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "--confcutdir=tests/vm", "-o=faulthandler_timeout=0")
SOURCES = ("l2tpd", "cli", "tests", "examples", "noxfile.py")
SLOW = ("interop", "bench", "fuzz", "vm")  # directories of tests that have a session of their own
# ... and those in which daemons are processes, or which add nothing to what is covered.
OUTSIDE = ("examples", "faults", "hostile", "soak")
CORE_COVERED = 99.5  # per cent of the branches of the core


def debian(session: nox.Session, *packages: str) -> None:
    """Make sure that programs from Debian packages are there; a package is installed without starting its service."""
    missing = [package for package in packages if shutil.which(PROGRAMS[package], path=PATH) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        session.error(
            f"this session needs {', '.join(missing)}; install with: sudo apt-get install {' '.join(missing)}"
        )
    with LOCK.open("w") as lock:  # sessions may run side by side, and one must not take away the policy of another
        fcntl.flock(lock, fcntl.LOCK_EX)
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
    """Run the tests that need no other daemon."""
    debian(session, *USED_BY_TESTS)
    install(session, "test")
    session.run("python", "-m", "pytest", *(f"--ignore=tests/{directory}" for directory in SLOW), *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """See that the tests take nearly every branch of the core; the shell is run by daemons, in guests and by faults as well, and is not counted."""
    debian(session, *USED_BY_TESTS)
    install(session, "test")
    pure = f"--omit={','.join(shell_files())}"
    ignored = (f"--ignore=tests/{directory}" for directory in (*SLOW, *OUTSIDE))
    session.run("coverage", "run", pure, "-m", "pytest", "-q", *ignored, *session.posargs)
    session.run("coverage", "report", pure, f"--fail-under={CORE_COVERED}")


def shell_files() -> list[str]:
    """Read from the contract about who is pure which files are not: in it they may import everything."""
    contracts = nox.project.load_toml("pyproject.toml")["tool"]["importlinter"]["contracts"]
    pure = next(contract for contract in contracts if contract["id"] == "pure")
    modules = (rule.removesuffix(" -> **") for rule in pure["ignore_imports"] if rule.endswith(" -> **"))
    return [module.replace(".", "/") + ".py" for module in modules]


@nox.session
def properties(session: nox.Session) -> None:
    """Let Hypothesis search longer than `tests` does."""
    install(session, "test")
    session.run("pytest", "--hypothesis-profile=thorough", *(session.posargs or ["tests/properties"]))


@nox.session
def interop(session: nox.Session) -> None:
    """Talk to xl2tpd and l2tpns in network namespaces, with tshark as the judge, and to FreeRADIUS; needs root."""
    debian(session, "freeradius", "freeradius-utils", "iproute2", "tcpdump", "tshark", "xl2tpd", "l2tpns")
    install(session, "test")
    session.run("python", "-m", "pytest", "tests/interop", *session.posargs)


@nox.session(python=GUEST_PYTHON)
def kernel(session: nox.Session) -> None:
    """Run what needs L2TP in the kernel in User Mode Linux, built once; needs root; `-- --version 6.1` takes one of 6.1 and 6.12, the rest goes to pytest."""
    in_guests(session, "uml")


@nox.session(python=GUEST_PYTHON)
def vm(session: nox.Session) -> None:
    """Run the tests of `kernel` in the stock kernel of Debian under QEMU, `-- -m stock` those chosen for every change; needs root; `--` goes to pytest."""
    in_guests(session, "qemu")


def in_guests(session: nox.Session, rig: str) -> None:
    """Try the rig itself on the host, then run the tests inside a guest of each kernel; what comes back is in the session's folder."""
    debian(session, "iperf3", "iproute2", "iputils-ping", "ppp", "systemd", "wide-dhcpv6-client", "xl2tpd")
    install(session)
    session.install("-q", *GUEST_TOOLS)
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--version", choices=GUEST_KERNELS[rig], action="append")
    chosen, arguments = parser.parse_known_args(session.posargs)
    arguments += shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))  # a guest has an environment of its own
    # A guest cannot keep what it compiles, and would do so anew for each process.
    session.run(
        "python", "-m", "compileall", "-q", "l2tpd", "cli", "tests/examples", "tests/interop", "tests/vm", silent=True
    )
    versions = chosen.version or GUEST_KERNELS[rig]
    for version in versions:
        session.run("python", *GUEST_PYTEST, "tests/vm/outside", f"--rig={rig}", f"--kernel={version}")
    if len(versions) == 1:
        in_guest(session, rig, versions[0], arguments)
        return
    # Each guest has one processor, so that two take hardly longer than one; what they say is shown when all have ended.
    # The examples try what their READMEs say, which the age of a kernel does not change, and take a quarter of the time: the newest does them.
    older = [*arguments, "--ignore=tests/vm/inside/test_examples.py"]
    with ThreadPoolExecutor(len(versions)) as guests:
        running = [
            guests.submit(
                in_guest, session, rig, version, arguments if version == versions[-1] else older, "output.txt"
            )
            for version in versions
        ]
    for version in versions:
        print((guest_folder(session, version) / "output.txt").read_text(errors="replace"), flush=True)
    failures = [failure for guest in running if (failure := guest.exception()) is not None]
    if failures:
        raise failures[0]


def in_guest(session: nox.Session, rig: str, version: str, arguments: list[str], output: str = "") -> None:
    """Run the tests inside a guest of one kernel; what they say goes into the file `output` of its folder where one is named."""
    back = guest_folder(session, version)
    shutil.rmtree(back, ignore_errors=True)
    back.mkdir(parents=True)
    where = [] if any(argument.startswith("tests") for argument in arguments) else ["tests/vm/inside"]
    limits = ("--limit", str(GUEST_LIMIT), "--silence", str(GUEST_SILENCE))
    guest = (f"tests/vm/rig/{rig}.py", "run", "--version", version, *limits, str(back), "--")
    with (back / output).open("w") if output else nullcontext() as said:
        session.run(
            "python",
            *guest,
            str(Path(session.bin) / "python"),
            *GUEST_PYTEST,
            f"--junitxml={back}/junit.xml",
            *where,
            *arguments,
            stdout=said,
        )


def guest_folder(session: nox.Session, version: str) -> Path:
    """Return where what comes back from a guest is."""
    return (Path(session.virtualenv.location) / "guest" / version).resolve()


@nox.session
def fuzz(session: nox.Session) -> None:
    """Throw mutated datagrams at decoders, cores and a daemon, then let coverage guide the mutations; for ten minutes, or `-- --seconds N`."""
    install(session, "fuzz")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=600.0)
    budget: float = parser.parse_args(session.posargs).seconds
    crashes = f"--crashes={Path(session.create_tmp()).resolve()}/crashes"
    session.run("python", "-m", "pytest", "tests/fuzz")
    session.run("python", "tests/fuzz/run.py", f"--seconds={budget / 5}", crashes)
    session.run("python", "tests/fuzz/guided.py", f"--seconds={budget * 4 / 5}", crashes)


@nox.session
def soak(session: nox.Session) -> None:
    """Have everything happen to daemons at once for an hour, or `-- --minutes N`: memory, descriptors, threads and interfaces must stay as they are."""
    install(session, "test")
    if os.geteuid() == 0:
        debian(session, "iproute2")
    session.run("python", "tests/soak/run.py", *session.posargs)


@nox.session(python=GUEST_PYTHON)
def bench(session: nox.Session) -> None:
    """Measure set-up rate, memory and idle cost; as root also the Linux data plane, in guests, unless arguments after `--` ask for something else."""
    install(session, "test")
    session.run("python", "tests/bench/run.py", *session.posargs)
    if os.geteuid() == 0 and not session.posargs:
        debian(session, "iperf3", "iproute2", "ppp", "xl2tpd")
        session.run("python", "tests/bench/kernel_plane.py")


@nox.session
def demo(session: nox.Session) -> None:
    """Show an LNS and a LAC bring up tunnels with sessions, ping through one, and take them down."""
    if os.geteuid() == 0:
        debian(session, "iproute2", "iputils-ping")
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
        session.run("test", "-s", f"{session.virtualenv.location}/share/man/man5/l2tpd.toml.5", external=True)
        session.run("l2tpctl", "--help", silent=True)
        session.run("l2tpwatch", "--help", silent=True)


@nox.session
def local(session: nox.Session) -> None:
    """Run what a developer runs before each commit: lint, types, tests."""
    for name in ("lint", "types", "tests"):
        session.notify(name)
