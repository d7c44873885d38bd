"""Tests that need a kernel with L2TP and PPP: they refuse to be skipped, and run where `nox -s kernel` and `nox -s vm` put them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing
from itertools import count
from pathlib import Path

import pytest

from interop.daemon import Daemon
from interop.netns import Cable, Host, require_root
from interop.netns import cable as laid
from l2tpd.kernel.netlink import LinuxPlane, Netlink
from vm.inside import ethernet, stage

Start = Callable[[Host, str], AbstractAsyncContextManager[Daemon]]


def pytest_configure(config: pytest.Config) -> None:
    """Make our marker known."""
    config.addinivalue_line("markers", "stock: run on the stock kernel, slowly, for every change: one of each kind")


def pytest_sessionstart() -> None:
    """Fail loudly, not test by test, where these tests cannot run."""
    try:
        require_root()
        stage.require_kernel()
    except (PermissionError, RuntimeError) as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture
def cable() -> Iterator[Cable]:
    """Two namespaces joined by a veth pair, 192.0.2.1 and 192.0.2.2."""
    with laid(f"vm-{os.getpid()}") as ends:
        yield ends


@pytest.fixture
def daemon(tmp_path: Path) -> Start:
    """Start l2tpd in a namespace, with a configuration, and connect to its control socket: a context whose value is a `Daemon`."""
    numbers = count(1)

    def start(host: Host, config: str) -> AbstractAsyncContextManager[Daemon]:
        return stage.l2tpd(host, tmp_path / f"l2tpd-{next(numbers)}", config)

    return start


@pytest.fixture
def plane(cable: Cable) -> Iterator[LinuxPlane]:
    """A plane at our end of the cable."""
    with ethernet.opened(cable.us) as made:
        yield made


@pytest.fixture
def kernel(cable: Cable) -> Iterator[Netlink]:
    """A look at the kernel at our end apart from the plane's own."""
    with ethernet.entered(cable.us):
        made = Netlink()
    with closing(made):
        yield made


@pytest.fixture
def near(cable: Cable) -> Iterator[socket.socket]:
    """A socket as a tunnel over UDP and IPv4 has one."""
    with ethernet.entered(cable.us):
        made = ethernet.carrier(ethernet.WAYS["udp4"])
    with made:
        yield made
