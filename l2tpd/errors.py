"""The whole exception tree: one root, and every branch says whose fault it is.

`RemoteProtocolError` and `Malformed` are the peer's fault, `LocalProtocolError` is our caller's, `ConfigError` and `ControlError` are the
operator's, `PlaneError` is the data plane's, `StartupError` is the machine's. Nothing raises the root itself.
"""

from __future__ import annotations

from typing import NamedTuple


class L2tpError(Exception):
    """Root of everything that l2tpd raises on purpose."""


class Malformed(L2tpError):
    """Bytes from the network that carry no message: count and drop them, answer nothing (RFC 2661 7.1)."""


class RemoteProtocolError(L2tpError):
    """The peer broke the protocol or asked for what it may not have; carries what to answer.

    `result` is a StopCCN or CDN result code according to the scope of the message (RFC 2661 4.4.2), `error` a general error code, `text`
    the error message sent to the peer.
    """

    def __init__(self, result: int, error: int, text: str) -> None:
        super().__init__(text)
        self.result = result
        self.error = error
        self.text = text


class LocalProtocolError(L2tpError):
    """Our own caller asked for something that the protocol or the present state forbids."""


class Exhausted(LocalProtocolError):
    """No identifier is free."""


class Problem(NamedTuple):
    """One mistake of a configuration: which file, which key path, what is wrong with it."""

    file: str
    key: str
    text: str

    def __str__(self) -> str:
        """Render as `FILE: key.path: what is wrong`."""
        return f"{self.file}: {self.key}: {self.text}" if self.key else f"{self.file}: {self.text}"


class ConfigError(L2tpError):
    """A configuration cannot be used; `problems` holds every mistake, not only the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class ControlError(L2tpError):
    """A control request cannot be carried out; `code` is a JSON-RPC 2.0 error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class PlaneError(L2tpError):
    """The data plane refused an operation; `errno` is the system's number or 0, the text says what was refused and why."""

    def __init__(self, errno: int, text: str) -> None:
        super().__init__(text)
        self.errno = errno
        self.text = text


class StartupError(L2tpError):
    """The daemon cannot start: an address in use, a missing right, a directory that does not exist."""
