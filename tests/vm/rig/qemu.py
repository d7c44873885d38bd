#!/usr/bin/env python3
"""The stock kernel of Debian under QEMU's software emulation: real modules, real RCU delays, and no need for KVM.

qemu.py build [--version 6.1]                       fetch the kernel and make its first file system unless the cache has both
qemu.py run [--version 6.1] FOLDER -- COMMAND...    run a command as root in it

As `uml.py`, which is 5 to 15 times faster. Run guests that run side by side with one processor each: emulated
processors that wait for each other's locks make each other many times slower.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from vm.rig import debian
from vm.rig.guest import Folder, Order, RigError, cache, finish, locked, main, prepared

PACKAGES = {"6.1": ("linux-image-amd64", r"linux-image-6\.1\..*-amd64")}
TOOLS = {"qemu-system-x86_64": "qemu-system-x86", "modprobe": "kmod"}
RECIPE = 1
"""Raised when what was made before may not be used any more although the modules are the same."""

WANTED = """
virtio_pci virtio_rng 9pnet_virtio 9p overlay
l2tp_netlink l2tp_eth l2tp_ppp l2tp_ip l2tp_ip6 l2tp_debugfs pppoe ppp_async ppp_mppe
veth dummy tun bridge 8021q macvlan
sch_netem sch_ingress cls_u32 act_gact udp_diag inet_diag
"""
MODULES = WANTED.split()
APPLETS = ("sh", "mount", "mkdir", "insmod", "switch_root", "cat")
XZ = b"\xfd7zXZ"

INIT = """\
#!/bin/sh
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for module in $(cat /modules/order); do insmod /modules/$module; done
nine=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o ro,cache=loose,$nine host /ro
mount -t tmpfs tmpfs /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work overlay /new
mkdir -p "/new$guest_shared"
mount -t 9p -o rw,cache=none,$nine shared "/new$guest_shared"
for kind in dev proc sys; do mount --move /$kind /new/$kind; done
mount -t tmpfs tmpfs /new/run
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts devpts /new/dev/pts
mount -t tmpfs tmpfs /new/dev/shm
exec switch_root /new /bin/sh "$guest_script"
"""
SLOWNESS = 4.0
"""Python takes thirteen times as long as on the host, most of what tests wait for less."""
HALT = "echo o >/proc/sysrq-trigger; sleep 2; echo b >/proc/sysrq-trigger; sleep 9"


def build(version: str) -> Path:
    """Return a folder with `vmlinux` and `initrd` of a series, from the cache or made now of Debian's newest stock kernel."""
    debian.programs(TOOLS)
    marks = hashlib.sha256(f"{RECIPE}\n{MODULES}\n{INIT}".encode()).hexdigest()[:12]
    folder = cache() / "qemu" / version / marks
    with locked(folder):
        built = sorted(folder.glob("linux-*"), key=lambda path: path.stat().st_mtime)
        return built[-1] if built else _built(version, folder)


def _built(version: str, folder: Path) -> Path:
    metapackage, pattern = PACKAGES[version]
    debian.candidate(metapackage)
    package = debian.depends(metapackage, pattern)
    release = package.removeprefix("linux-image-")
    print(f"fetching Debian's kernel {release}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as path:
        work = Path(path)
        image = debian.unpack(package, work / "deb")
        busybox = debian.unpack("busybox-static", work / "busybox") / "bin/busybox"
        made = work / "made"
        made.mkdir()
        (made / "vmlinux").write_bytes(decompressed((image / f"boot/vmlinuz-{release}").read_bytes()))
        (made / "initrd").write_bytes(b"".join(initrd(image, release, busybox.read_bytes())))
        return made.rename(folder / f"linux-{release}")


def decompressed(image: bytes) -> bytes:
    """Return the ELF file in a bzImage: QEMU enters it directly, so that nothing is decompressed under emulation.

    Any other kind of payload is left to the kernel, which takes longer; offsets by Documentation/x86/boot.rst.
    """
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1F1] or 4) + 1) * 512 + offset
    payload = image[start : start + length]
    return lzma.LZMADecompressor().decompress(payload) if payload.startswith(XZ) else image


def initrd(image: Path, release: str, busybox: bytes) -> Iterator[bytes]:
    """Make the first file system: busybox, the modules in the order of their dependencies, and our init, as a cpio archive."""
    modules = dict(_modules(image, release))
    yield from map(_folder, ("bin", "dev", "proc", "sys", "modules", "ro", "rw", "new"))
    yield _entry("bin/busybox", 0o100755, busybox)
    yield from (_entry(f"bin/{applet}", 0o120777, b"busybox") for applet in APPLETS)
    yield from (_entry(f"modules/{name}", 0o100644, content) for name, content in modules.items())
    yield _entry("modules/order", 0o100644, "\n".join(modules).encode())
    yield _entry("init", 0o100755, INIT.encode())
    yield _entry("TRAILER!!!", 0, b"")


def _modules(image: Path, release: str) -> Iterator[tuple[str, bytes]]:
    _said("depmod", "-b", str(image), release)
    for module in MODULES:
        for line in _said("modprobe", "--show-depends", "-d", str(image), "-S", release, module).splitlines():
            if found := re.match(r"insmod (.*\.ko(\.xz)?)(\s|$)", line):  # options may follow
                content = Path(found[1]).read_bytes()
                yield Path(found[1]).name.removesuffix(".xz"), lzma.decompress(content) if found[2] else content


def _said(*argv: str) -> str:
    env = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise RigError(f"{shlex.join(argv)} failed: {done.stderr.strip()}")
    return done.stdout


def _folder(name: str) -> bytes:
    return _entry(name, 0o040755, b"")


def _entry(name: str, mode: int, content: bytes) -> bytes:
    """Return one member of a cpio archive in the "new ASCII" format (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    path = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def run(kernel: Path, order: Order) -> int:
    """Run a command in a guest and return its exit status; raises `RigError` when the guest dies or exceeds its limit."""
    if os.geteuid() != 0:
        raise RigError("the guest is root with the rights of whoever starts it on the host's files: run it as root")
    if any(character.isspace() for character in str(order.folder.resolve())):
        raise RigError(f"the path of {order.folder} has a space, which a kernel's command line cannot carry")
    with prepared(order, halt=HALT, slowness=SLOWNESS) as folder:
        return finish(_command(kernel, order, folder), order, folder)


def _command(kernel: Path, order: Order, folder: Folder) -> list[str]:
    """Return the command line of QEMU; machine q35, for microvm has no clock to calibrate by and at times hangs at boot."""
    shared = order.folder.resolve()
    # fmt: off
    append = [
        "console=ttyS0", "quiet", "loglevel=5", "panic=-1", "oops=panic", "random.trust_cpu=on", "mitigations=off", "audit=0",
        "8250.nr_uarts=1", "tsc=reliable", f"guest_shared={shared}", f"guest_script={folder.script}",
    ]
    return [
        "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "qemu64",
        "-smp", str(order.cpus), "-m", order.memory, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-kernel", str(kernel / "vmlinux"), "-initrd", str(kernel / "initrd"), "-append", " ".join(append),
        "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
        "-fsdev", f"local,id=shared,path={shared},security_model=none,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=shared,mount_tag=shared",
        "-device", "virtio-rng-pci", "-serial", f"file:{folder.kernel_log}",
    ]
    # fmt: on


if __name__ == "__main__":
    sys.exit(main(__doc__ or "", list(PACKAGES), build, run))
