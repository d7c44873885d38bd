"""Speak systemd's service protocols: sd_notify(3) and its watchdog, without a library of systemd's.

Everything here is harmless where systemd is absent: without NOTIFY_SOCKET a notification goes nowhere. One that cannot be delivered is dropped too, because a service that works must not die of its supervisor's ill health.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

import trio


class Notifier:
    """Tells the service supervisor how we are."""

    __slots__ = ("_address", "_watchdog")

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from `environ`, by default the process's own."""
        environ = os.environ if environ is None else environ
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the NUL of Linux's abstract name space.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = _watchdog(environ)

    @property
    def watchdog(self) -> float | None:
        """Seconds within which systemd wants to hear from us, or None; call `alive` at half of it."""
        return self._watchdog

    def ready(self, status: str = "") -> None:
        """Announce that start-up, or a reload, is complete."""
        self._send("READY=1", status and _status(status))

    def stopping(self) -> None:
        """Announce that we are on our way out."""
        self._send("STOPPING=1")

    def reloading(self) -> None:
        """Announce that the configuration is being read again; `ready` ends this."""
        # systemd 253 ignores the message without this stamp, by which it tells an answer to its own request from an older one.
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(_status(text))

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        message = "\n".join(filter(None, assignments)).encode(errors="replace")
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.setblocking(False)
            sock.sendto(message, self._address)


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())  # a line break would start another assignment


def _watchdog(environ: Mapping[str, str]) -> float | None:
    usec = environ.get("WATCHDOG_USEC", "")
    addressee = environ.get("WATCHDOG_PID", str(os.getpid()))
    if not usec.isdecimal() or int(usec) == 0 or addressee != str(os.getpid()):
        return None
    return int(usec) / 1e6


def on_journal(environ: Mapping[str, str] | None = None, descriptor: int = 2) -> bool:
    """Tell whether what is written to a descriptor, by default stderr, goes to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    environ = os.environ if environ is None else environ
    try:
        status = os.fstat(descriptor)
    except OSError:  # it is closed
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


async def feed_watchdog(notifier: Notifier | None = None) -> None:
    """Tell systemd twice in the time that it gives us that our event loop turns; returns at once where nobody wants to hear it."""
    notifier = notifier or Notifier()
    while notifier.watchdog is not None:
        notifier.alive()
        await trio.sleep(notifier.watchdog / 2)
