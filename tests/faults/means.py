"""The means by which tests do harm."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def no_descriptor_left(but: int = 0) -> Iterator[None]:
    """Let this process open nothing for a while, `but` so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0) for _ in range(but + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken), hard))
    for one in taken:
        os.close(one)
    try:
        if not but:
            with pytest.raises(OSError, match="Too many open files"):
                os.dup(0)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
