"""What both kinds of guest share: the folder between host and guest, what runs inside, and what comes back."""

from __future__ import annotations

import argparse
import fcntl
import math
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BROKEN = 125
"""Exit status when the guest, not the command in it, has failed: panic, time limit, no kernel."""

KERNEL_COMPLAINTS = (
    "Kernel panic",
    "BUG:",
    "Oops:",
    "WARNING: CPU",
    "WARNING: possible",
    "general protection fault",
    "refcount_t:",
)
TAIL = 80  # lines: what a panic has to say of registers and stack comes after its reason


class RigError(Exception):
    """A guest cannot be made or has died; the text is one that its user can act on."""


class Silent(RigError):
    """A guest has said nothing for so long that it must hang: User Mode Linux has, in a signal handler of its own."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A command to run as root in a guest, from the working directory of the caller."""

    folder: Path  # shared with the guest, read-write; everything else of the host is read-only there
    command: Sequence[str]
    limit: float = 600.0  # seconds of wall time
    silence: float = math.inf  # seconds of wall time in which the command writes nothing
    memory: str = "1G"
    cpus: int = 1


@dataclass(frozen=True)
class Folder:
    """Our own corner of the shared folder, for one run."""

    path: Path

    @property
    def script(self) -> Path:
        """What the guest runs as root, once its file systems are mounted."""
        return self.path / "go"

    @property
    def kernel_log(self) -> Path:
        """What the guest's kernel said."""
        return self.path / "kernel.log"

    @property
    def output(self) -> Path:
        """The command's standard output and error."""
        return self.path / "output"

    def status(self) -> int | None:
        """Return the command's exit status; None when the guest died before it could be written down."""
        try:
            return int((self.path / "status").read_text())
        except (OSError, ValueError):
            return None

    def complaints(self) -> list[str]:
        """Return the lines in which the kernel complains about itself."""
        return [line for line in self._log() if any(word in line for word in KERNEL_COMPLAINTS)]

    def tail(self) -> str:
        """Return the end of the kernel's log."""
        return "\n".join(self._log()[-TAIL:])

    def _log(self) -> list[str]:
        return self.kernel_log.read_text(errors="replace").splitlines() if self.kernel_log.exists() else []


SCRIPT = """\
exec </dev/null >{output} 2>&1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb PYTHONDONTWRITEBYTECODE=1
export L2TPD_TESTS_SLOWNESS={slowness}
mkdir -p /run/netns
mount -t debugfs debugfs /sys/kernel/debug
ip link set lo up
cd {cwd} || cd {folder}
{command}
echo $? >{status}
{halt}
"""


@contextmanager
def prepared(order: Order, *, halt: str, slowness: float = 1.0) -> Iterator[Folder]:
    """Write down what the guest is to do; `halt` is the shell line that ends it at once, `slowness` what its tests have to be patient with."""
    shared = order.folder.resolve()
    shared.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".guest-", dir=shared) as path:
        folder = Folder(Path(path))
        quoted = {
            "output": folder.output,
            "status": folder.path / "status",
            "cwd": Path.cwd(),
            "folder": shared,
        }
        script = SCRIPT.format(
            **{name: shlex.quote(str(value)) for name, value in quoted.items()},
            command=shlex.join(order.command),
            slowness=slowness,
            halt=halt,
        )
        folder.script.write_text(script)
        folder.output.touch()
        yield folder


def finish(argv: Sequence[str], order: Order, folder: Folder, *, stdout: int | None = subprocess.DEVNULL) -> int:
    """Run the guest `argv` to its end, passing on what its command writes, and return the command's exit status.

    Raises `RigError` with the end of the kernel's log when the guest panics, ends early, or exceeds its time limit; `Silent` when it says nothing.
    """
    guest = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        in_time = _follow(guest, folder.output, order)
    finally:
        _end(guest)
    status = folder.status()
    for line in folder.complaints():
        print(f"guest kernel: {line}", file=sys.stderr)
    if status is not None:
        return status
    reason = "died before its command ended" if in_time else f"exceeded its limit of {order.limit:g} s"
    raise RigError(f"the guest {reason}; its kernel said last:\n{folder.tail() or '(nothing)'}")


def _follow(guest: subprocess.Popen[bytes], output: Path, order: Order) -> bool:
    """Copy the command's output to ours until the guest ends; tell whether it did so in time. Raises `Silent`."""
    spoke = time.monotonic()
    deadline = spoke + order.limit
    with output.open("rb") as source:
        while (now := time.monotonic()) < deadline:
            ended = _waited(guest, 0.02)
            if said := source.read():
                spoke = now
                sys.stdout.buffer.write(said)
                sys.stdout.buffer.flush()
            if ended:
                return True
            if now - spoke > order.silence:
                raise Silent(f"the guest said nothing for {order.silence:g} s")
    return False


def _waited(guest: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        guest.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(guest: subprocess.Popen[bytes]) -> None:
    """Make sure that nothing of a guest is left; User Mode Linux has a host process for each of its own, and ends them on SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(guest.pid, number)
        except ProcessLookupError:
            break
        if _waited(guest, 3):
            continue  # the leader has ended; its group may not have
    guest.wait()


def _leave(number: int, _frame: object) -> None:
    """End us in an orderly way, which takes the guest along: by itself it would go on in a session of its own."""
    sys.exit(128 + number)


def cache() -> Path:
    """Return the folder that keeps what is expensive to make."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).resolve() / "l2tpd-tests"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time look for a kernel in the cache, or build it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(doc: str, versions: Sequence[str], build: Callable[[str], Path], run: Callable[[Path, Order], int]) -> int:
    """Be the command line of a rig: `build`, or `run` a command in a guest; returns the exit status."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in (
        verbs.add_parser("build", help="build the kernel if the cache has none, and print its path"),
        running := verbs.add_parser("run", help="run a command as root in a guest"),
    ):
        verb.add_argument(
            "--version", choices=versions, default=versions[0], help="kernel series (default %(default)s)"
        )
    running.add_argument(
        "--limit",
        type=float,
        default=Order.limit,
        metavar="SECONDS",
        help="end the guest after this time (default %(default)g)",
    )
    running.add_argument(
        "--silence",
        type=float,
        default=Order.silence,
        metavar="SECONDS",
        help="end the guest when its command writes nothing for so long, and try once more (default: never)",
    )
    running.add_argument("--memory", default=Order.memory, help="memory of the guest (default %(default)s)")
    running.add_argument(
        "--cpus",
        type=int,
        default=Order.cpus,
        help="processors of the guest, where it may have several (default %(default)s)",
    )
    running.add_argument(
        "folder", type=Path, help="folder that the guest may write to; the rest of the host is read-only there"
    )
    running.add_argument("command", nargs="+", help="the command and its arguments, after `--`")
    chosen = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        kernel = build(chosen.version)
        if chosen.verb == "build":
            print(kernel)
            return 0
        order = Order(
            folder=chosen.folder,
            command=chosen.command,
            limit=chosen.limit,
            silence=chosen.silence,
            memory=chosen.memory,
            cpus=chosen.cpus,
        )
        try:
            return run(kernel, order)
        except Silent as error:
            print(f"warning: {error}; it is started once more", file=sys.stderr, flush=True)
            return run(kernel, order)
    except RigError as error:
        print(f"error: {error}", file=sys.stderr)
        return BROKEN
