#!/usr/bin/env python3
"""A User Mode Linux kernel with L2TP: built once from Debian's kernel source, then an ordinary process that boots in half a second.

uml.py build [--version 6.1]                        build the kernel unless the cache has it
uml.py run [--version 6.1] FOLDER -- COMMAND...     run a command as root in it

The command sees the host's files read-only under an overlay whose changes are lost at the end; FOLDER alone is shared
read-write. Its output and exit status come back; 125 means that the guest itself died or exceeded its time limit.
It has one processor, no preemption and HZ=100: races of a real kernel do not show in it. It is no security boundary.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from vm.rig import debian
from vm.rig.guest import Folder, Order, RigError, cache, finish, locked, main, prepared

VERSIONS = ("6.1", "6.12")
TOOLS = {
    "gcc": "build-essential",
    "make": "build-essential",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "xz": "xz-utils",
}

WANTED = """
HOSTFS OVERLAY_FS TMPFS DEVTMPFS DEBUG_FS MAGIC_SYSRQ PANIC_ON_OOPS
NAMESPACES NET_NS USER_NS PID_NS
NET INET IPV6 PACKET UNIX IP_ADVANCED_ROUTER IP_MULTIPLE_TABLES IPV6_MULTIPLE_TABLES INET_DIAG INET_UDP_DIAG
NETDEVICES NET_CORE VETH DUMMY TUN BRIDGE BRIDGE_VLAN_FILTERING VLAN_8021Q MACVLAN
NET_SCHED NET_SCH_NETEM NET_SCH_INGRESS NET_CLS NET_CLS_ACT NET_CLS_U32 NET_ACT_GACT
L2TP L2TP_V3 L2TP_IP L2TP_ETH L2TP_DEBUGFS
PPP PPPOE PPPOL2TP PPP_ASYNC PPP_MULTILINK PPP_FILTER PPP_MPPE
"""
OPTIONS = WANTED.split()
SETTINGS = {"KERNEL_STACK_ORDER": "4"}  # for the state of a processor, see REPAIRS


class Repair(NamedTuple):
    """A fault of User Mode Linux that ends guests: in which series, and what to write in the place of what stands there."""

    versions: Sequence[str]
    path: str
    found: str
    wanted: str


REPAIRS = (
    # Before 6.13 there are 2,696 octets for a process's extended processor state. Those of a processor with AMX are 11,008, and its ptrace refuses to set
    # less, so that no process could start; with more octets, which stand on the stack too, that has to be larger.
    Repair(("6.1", "6.12"), "arch/x86/um/user-offsets.c", "HOST_FP_SIZE, 2696", "HOST_FP_SIZE, 12288"),
    # In 6.1 a page of the kernel's own that is there, such as one of a stack, was taken out of the host's memory and put back whenever the range around it
    # was flushed. A signal in between found no stack to save: a fault in the handler of faults, for ever. The host puts one page in another's place at once.
    Repair(
        ("6.1",),
        "arch/um/kernel/tlb.c",
        "err = add_munmap(addr, PAGE_SIZE, &hvc);",
        "err = pte_present(*pte) ? 0 : add_munmap(addr, PAGE_SIZE, &hvc);",
    ),
    # Since 6.8 a fork that is given up, as when the process that forks is killed, leaves a mark in the tree of areas where it stopped. User Mode Linux,
    # alone of all architectures, walks that tree as it frees it, and took the mark for an area: a panic.
    Repair(
        ("6.12",),
        "arch/um/kernel/tlb.c",
        "for_each_vma(vmi, vma)\n\t\tum_tlb_mark_sync",
        "for_each_vma(vmi, vma)\n\t\tif (!xa_is_zero(vma))\n\t\t\tum_tlb_mark_sync",
    ),
)
RECIPE = 2
"""Raised when kernels that were built before may not be used any more although their options are the same."""


def fragment() -> str:
    """Return what we add to the kernel's own defaults for User Mode Linux."""
    values = dict.fromkeys(OPTIONS, "y") | SETTINGS
    return "".join(f"CONFIG_{option}={value}\n" for option, value in values.items()) + "# CONFIG_MODULES is not set\n"


def build(version: str) -> Path:
    """Return the kernel of a series, from the cache or built now from the newest source that Debian has."""
    repairs = [repair for repair in REPAIRS if version in repair.versions]
    marks = hashlib.sha256(f"{RECIPE}\n{repairs}\n{fragment()}".encode()).hexdigest()[:12]
    folder = cache() / "uml" / version / marks
    with locked(folder):
        built = sorted(folder.glob("linux-*"), key=lambda path: path.stat().st_mtime)
        return built[-1] if built else _built(version, folder)


def _built(version: str, folder: Path) -> Path:
    debian.programs(TOOLS)
    package = f"linux-source-{version}"
    release = debian.candidate(package)
    print(f"building User Mode Linux {release}; this takes four minutes on two processors", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as path:
        work = Path(path)
        archive = debian.unpack(package, work / "deb") / f"usr/src/{package}.tar.xz"
        tree = work / "tree"
        tree.mkdir()
        _do(work, "tar", "-C", str(tree), "--strip-components=1", "-xf", str(archive))
        for repair in REPAIRS:
            if version in repair.versions:
                _repair(tree, repair)
        _configure(tree)
        _make(tree, f"-j{len(os.sched_getaffinity(0))}", "linux")
        _do(work, "strip", "-o", "linux", str(tree / "linux"))
        return (work / "linux").rename(folder / f"linux-{release}")


def _repair(tree: Path, repair: Repair) -> None:
    source = tree / repair.path
    text = source.read_text()
    if repair.found not in text:
        raise RigError(f"{repair.path} of this kernel has changed: look whether a repair is still needed")
    source.write_text(text.replace(repair.found, repair.wanted))


def _configure(tree: Path) -> None:
    config = tree / ".config"
    defaults = tree / "arch/um/configs/x86_64_defconfig"
    config.write_text(defaults.read_text() + fragment())
    _make(tree, "olddefconfig")
    lost = set(fragment().splitlines()) - set(config.read_text().splitlines())
    if lost:
        raise RigError(f"this kernel does not take the options {' '.join(sorted(lost))}")


def _make(tree: Path, *arguments: str) -> None:
    _do(tree, "nice", "-n", "10", "make", "-s", "ARCH=um", *arguments)


def _do(cwd: Path, *argv: str) -> None:
    done = subprocess.run(
        argv,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise RigError(f"{shlex.join(argv)} failed with status {done.returncode}:\n{done.stdout[-3000:]}")


HALT = "echo o >/proc/sysrq-trigger; sleep 9"
INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
n=/mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay $n
mkdir -p $n{shared}
mount -t hostfs -o {shared} hostfs $n{shared}
mount -t proc proc $n/proc
mount -t sysfs sysfs $n/sys
mount -t devtmpfs devtmpfs $n/dev
mount -t tmpfs tmpfs $n/run
mkdir -p $n/dev/pts $n/dev/shm
mount -t devpts devpts $n/dev/pts
mount -t tmpfs tmpfs $n/dev/shm
exec chroot $n /bin/sh {script}
"""


def run(kernel: Path, order: Order) -> int:
    """Run a command in a guest and return its exit status; raises `RigError` when the guest dies or exceeds its limit."""
    if os.geteuid() != 0:
        raise RigError("the guest is root with the rights of whoever starts it on the host's files: run it as root")
    with prepared(order, halt=HALT) as folder:
        init = folder.path / "init"
        shared = shlex.quote(str(order.folder.resolve()))
        init.write_text(INIT.format(shared=shared, script=shlex.quote(str(folder.script))))
        init.chmod(0o755)
        with folder.kernel_log.open("wb") as console:
            return finish(_command(kernel, order, folder, init), order, folder, stdout=console.fileno())


def _command(kernel: Path, order: Order, folder: Folder, init: Path) -> list[str]:
    """Return the command line; pinned to one processor, for unpinned its host processes hop between them and take twice the time."""
    cpus = sorted(os.sched_getaffinity(0))
    pinned = [] if shutil.which("taskset") is None else ["taskset", "-c", str(cpus[os.getpid() % len(cpus)])]
    root = ["rootfstype=hostfs", "rootflags=/", "ro", f"init={init}"]
    consoles = ["con=null", "con0=null,fd:1", "con1=null", "quiet", "loglevel=5", "panic=-1"]
    return [*pinned, str(kernel), *root, *consoles, f"mem={order.memory}", f"uml_dir={folder.path}/"]


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", VERSIONS, build, run))
