"""Tests of the rig itself, on the host: which guest they start is said on the command line."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from vm.rig import qemu, uml
from vm.rig.guest import Order

RIGS: dict[str, ModuleType] = {"uml": uml, "qemu": qemu}

Run = Callable[..., int]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller choose the guest."""
    parser.addoption("--rig", choices=sorted(RIGS), default="uml", help="the kind of guest to try")
    parser.addoption("--kernel", default="6.1", help="the series of its kernel")


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest) -> ModuleType:
    """The module of the guest that was chosen."""
    return RIGS[request.config.getoption("--rig")]


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest, rig: ModuleType) -> Path:
    """A kernel of the series that was chosen."""
    built: Path = rig.build(request.config.getoption("--kernel"))
    return built


@pytest.fixture
def run(rig: ModuleType, kernel: Path, tmp_path: Path) -> Run:
    """Run a shell line in a guest that shares `tmp_path`, with 60 s to do so unless said otherwise, and return its exit status."""

    def run(line: str, limit: float = 60.0, silence: float = math.inf) -> int:
        order = Order(folder=tmp_path, command=["sh", "-c", line], limit=limit, silence=silence)
        status: int = rig.run(kernel, order)
        return status

    return run
