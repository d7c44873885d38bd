"""What the command line says to the daemon, as a value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs


@attrs.frozen(kw_only=True)
class Options:
    """How the daemon was started; paths are absolute."""

    config_path: Path
    foreground: bool = False
    stop_at_eof: bool = False  # when standard input ends
    log_file: Path | None = None
    debug_level: int = 0  # how many steps more verbose than the configuration's log level
    ready: Callable[[], None]
    """Call once, when every listener and the control socket are open: logs it, tells systemd and the waiting parent process."""
