"""The manual pages of the wheel, made while it is built of the Markdown that they are written in."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPages(BuildHookInterface[Any]):
    """Adds a page for man(1) for each of l2tpd/man/*.md."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the pages, and say where they are installed."""
        sys.path.insert(0, self.root)
        from l2tpd.man.roff import page  # noqa: PLC0415 - found only now

        self._made = tempfile.TemporaryDirectory(prefix="l2tpd-man-")
        for source in (Path(self.root) / "l2tpd" / "man").glob("*.md"):
            made = Path(self._made.name) / source.stem
            made.write_text(page(source.read_text()))
            build_data["shared_data"][str(made)] = f"share/man/man{source.stem[-1]}/{source.stem}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made."""
        self._made.cleanup()
