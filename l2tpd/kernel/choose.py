"""Which data plane this machine gets, and in words why: the kernel's where it has one, else this process where it may make interfaces, else none."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Mapping
from typing import NamedTuple

from l2tpd.config.model import DataPlane as Word
from l2tpd.errors import PlaneError, StartupError
from l2tpd.kernel import pppox, tuntap
from l2tpd.kernel.null import NullPlane
from l2tpd.kernel.plane import DataPlane
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.kernel.worker import Worker

_GET = "Debian and Ubuntu have it in linux-image and linux-modules-extra, Fedora and RHEL in kernel-modules-extra"
_MODPROBE = ("modprobe", "--quiet", "--all", "l2tp_ppp", "l2tp_netlink")
_MODPROBE_LIMIT = 10.0  # seconds


class Chosen(NamedTuple):
    """The data plane to use, and why it is this one; `warning` says so to an operator who may expect packets to move."""

    plane: DataPlane
    reason: str
    warning: str = ""


async def choose(word: Word) -> Chosen:
    """Open the data plane that the configuration asks for. Raises `StartupError` when it demands one that is not possible here."""
    if word is Word.NULL:
        return Chosen(NullPlane(), "configured")
    opening = Worker("data plane")  # not a thread of trio's, which may have been born in another network namespace
    try:
        plane = await opening.run(_OPENERS[word])
    except PlaneError as error:
        raise StartupError(f'data_plane = "{word.value}" is not possible here: {error.text}') from error
    finally:
        opening.close()
    return plane if isinstance(plane, Chosen) else Chosen(plane, "configured")


def _best() -> Chosen:
    """Open the best plane that this machine has."""
    try:
        return Chosen(_open(), f"Linux {os.uname().release} has L2TP and PPP")
    except PlaneError as error:
        kernel = error.text
    try:
        return Chosen(_open_user(), f"Ethernet moves through this process, for {kernel}")
    except PlaneError as error:
        reason = f"{kernel}; and {error.text}"
    return Chosen(NullPlane(), reason, f"no packets will move: {reason}")


def _open_user() -> DataPlane:
    """Open the user-space plane, having tried what every Ethernet session will need. Raises `PlaneError`."""
    tuntap.probe()
    return UserPlane(Worker("user plane"))


def _open() -> DataPlane:
    """Open the Linux plane, after one attempt to load what is missing. Raises `PlaneError`."""
    try:
        return _try()
    except PlaneError as first:
        if first.errno in {errno.EPERM, errno.EACCES} or not _load():
            raise
    return _try()


def _try() -> DataPlane:
    # pyroute2 takes 12 MiB and 0.1 s: only who has L2TP in the kernel pays for it.
    from l2tpd.kernel.netlink import LinuxPlane, Netlink  # noqa: PLC0415 - see above

    _check_ppp()
    try:
        netlink = Netlink()
    except PlaneError as error:
        if error.errno != errno.ENOENT:
            raise PlaneError(error.errno, f"generic netlink does not answer: {error.text}") from error
        text = f"the kernel has no L2TP over netlink (module l2tp_netlink is missing; {_GET})"
        raise PlaneError(error.errno, text) from error
    return LinuxPlane(netlink, os.uname().release)


def _check_ppp() -> None:
    """Try what every PPP session will need. Raises `PlaneError`."""
    try:
        pppox.new_socket().close()
    except OSError as error:
        text = f"the kernel has no PPP over L2TP (module l2tp_ppp is missing; {_GET})"
        raise PlaneError(error.errno or 0, text) from error
    try:
        pppox.open_device()
    except PermissionError as error:
        text = f"{pppox.DEVICE} may not be opened: that takes root, or the capability CAP_NET_ADMIN and access to the device"
        raise PlaneError(error.errno or 0, text) from error
    except OSError as error:
        text = f"{pppox.DEVICE} cannot be opened: {error.strerror} (module ppp_generic is missing; {_GET})"
        raise PlaneError(error.errno or 0, text) from error


def _load() -> bool:
    """Have the modules loaded; tell whether it may have helped."""
    try:
        done = subprocess.run(_MODPROBE, capture_output=True, check=False, timeout=_MODPROBE_LIMIT)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


_OPENERS: Mapping[Word, Callable[[], Chosen | DataPlane]] = {
    Word.AUTO: _best,
    Word.KERNEL: _open,
    Word.USER: _open_user,
}
