"""The fixture that every scenario plays on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interop.netns import require_root
from interop.scene import Scene, open_scene


def pytest_sessionstart() -> None:
    """Fail loudly, not test by test, where these tests cannot run."""
    try:
        require_root()
    except PermissionError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Two hosts on a cable that is being captured; whatever a test has done, tshark has the last word on its packets."""
    async with open_scene(f"l2tpd-{os.getpid()}", tmp_path) as scene:
        yield scene
