"""A link that only listens, to try what carries a session."""

from __future__ import annotations

import attrs


@attrs.define(eq=False)
class Taken:
    """Notes frames, and why there are no more; no packet passes through it."""

    frames: list[bytes] = attrs.field(factory=list)
    reasons: list[str] = attrs.field(factory=list)

    def take(self, frame: bytes | memoryview) -> None:
        """Note a frame."""
        self.frames.append(bytes(frame))

    def header(self, protocol: int) -> None:
        """Let no packet pass."""
        del protocol

    def seal(self, protocol: int, packet: bytes | memoryview) -> bytes | None:
        """Encrypt nothing."""
        raise AssertionError(f"a packet of 0x{protocol:04x} that the kernel should have moved: {bytes(packet)!r}")

    def ask(self, packet: bytes) -> None:
        """Be asked for nothing."""
        raise AssertionError(packet)

    def gone(self, why: str) -> None:
        """Note that packets can pass no longer."""
        self.reasons.append(why)

    def lost(self, why: str) -> None:
        """Note that frames can come no longer."""
        self.reasons.append(why)
