"""What of root's rights it takes for what, who may read a secret, and how to say so where a right is missing or too much."""

from __future__ import annotations

from typing import Final

RAW: Final = "CAP_NET_RAW"
"""L2TP directly over IP without a module of the kernel's, and hearing what subscribers ask over IPv6."""

LOW_PORT: Final = "CAP_NET_BIND_SERVICE"
"""A port that the system keeps back, which are those below 1024 as a rule."""


def lacking(error: OSError, right: str) -> str:
    """Say what the system said, and which capability it takes where it forbade something; without a `right` it is something else that is forbidden."""
    hint = f"; that takes the capability {right}" if right and isinstance(error, PermissionError) else ""
    return f"{error.strerror}{hint}"


def exposed(mode: int) -> str:
    """Say that others than its owner have access to a file of secrets with these permissions, or nothing; `mode` as stat(2) has it."""
    said = f"others than its owner have access (mode {mode & 0o7777:04o}); use `chmod 600`"
    return said if mode & 0o077 else ""
