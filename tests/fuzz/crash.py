"""What goes wrong in fuzzing: collected, made small, and kept as a file that can be played again."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

ATTEMPTS: Final = 4_000
"""How often the minimiser may try."""


class Breach(AssertionError):
    """Something that must hold for every input does not."""


def need(holds: object, what: str) -> None:
    """Fail with `what` unless it holds."""
    if not holds:
        raise Breach(what)


def minimised(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """Return a smallest part of `data` for which `fails` still tells True: octets are removed, in ever smaller runs."""
    left = ATTEMPTS
    run = max(1, len(data) // 2)
    while run:
        at = 0
        while at < len(data) and left:
            left -= 1
            shorter = data[:at] + data[at + run :]
            if fails(shorter):
                data = shorter
            else:
                at += run
        run //= 2
    return data


@attrs.define(eq=False)
class Crashes:
    """The failures of one run, one kept for each place that they come from."""

    directory: Path | None = None
    total: int = 0
    kinds: dict[str, int] = attrs.field(factory=dict)
    texts: dict[str, str] = attrs.field(factory=dict)

    def note(self, stage: str, error: Exception, data: bytes, fails: Callable[[bytes], bool] | None = None) -> None:
        """Count a failure; the first of its kind is minimised and written with its traceback."""
        kind = f"{stage}-{signature(error)}"
        self.total += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.kinds[kind] > 1:
            return
        self.texts[kind] = "".join(traceback.format_exception(error))
        if fails is not None and fails(data):
            data = minimised(data, fails)
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / f"{kind}.bin").write_bytes(data)
            (self.directory / f"{kind}.txt").write_text(self.texts[kind], encoding="utf-8", errors="replace")


def signature(error: Exception) -> str:
    """Return a name for the place and type of an error; a `Breach` is named by what it says."""
    if isinstance(error, Breach):
        said = str(error).split(":", maxsplit=1)[0]
        return "breach-" + "-".join(said.lower().split())[:60]
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{Path(frames[-1].filename).stem}-{frames[-1].name}-{frames[-1].lineno}" if frames else "nowhere"
    return f"{type(error).__name__}-{where}"


def digest(data: bytes) -> str:
    """Return a short name for an input."""
    return hashlib.sha256(data).hexdigest()[:12]
