"""What can go wrong on this side of the control socket, each with the sentence that the user reads."""

from __future__ import annotations

from pathlib import Path

from l2tpd.errors import L2tpError


class CommandError(L2tpError):
    """A command failed at run time: the sentence goes to stderr and the exit status is 1."""


class NotRunning(CommandError):
    """Nobody answers on the control socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"l2tpd is not running (no control socket at {path})")


class NotAllowed(CommandError):
    """The user may not connect to the control socket."""

    def __init__(self, path: Path, group: str) -> None:
        who = f"root and members of the group `{group}` may" if group else "only root may"
        super().__init__(f"you may not use the control socket {path}: {who}")


class Disconnected(CommandError):
    """The daemon closed the connection before it had answered."""

    def __init__(self) -> None:
        super().__init__("l2tpd closed the connection before it had answered")
