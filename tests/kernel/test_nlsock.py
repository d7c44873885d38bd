"""Requests and answers, with a socket whose readings are given, and with the kernel."""

from __future__ import annotations

import errno
import struct
from contextlib import closing

import pytest

from l2tpd.errors import PlaneError
from l2tpd.kernel import nlsock, rtnl
from l2tpd.kernel.nlsock import Conversation

ERROR, PART = 2, 0x1C
NO = struct.pack("=i", -errno.EEXIST) + bytes(16)


class Socket:
    """A netlink socket that gives these readings, and then this error."""

    def __init__(self, readings: list[bytes], error: OSError) -> None:
        """Give one reading after the other."""
        self._readings, self._error = readings, error
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Take a request."""
        if not self._readings:
            raise self._error
        self.sent.append(data)

    def recv(self, _size: int) -> bytes:
        """Give the next reading."""
        if not self._readings:
            raise self._error
        return self._readings.pop(0)

    def close(self) -> None:
        """Take no more."""


def talking(
    monkeypatch: pytest.MonkeyPatch, *readings: bytes, error: OSError | None = None
) -> tuple[Conversation, Socket]:
    """Return a conversation, and the socket that it has."""
    sock = Socket(list(readings), error or OSError(errno.ENOBUFS, "No buffer space available"))
    monkeypatch.setattr(nlsock, "_opened", lambda _protocol: sock)
    return Conversation(nlsock.ROUTE), sock


def answer(kind: int, sequence: int, body: bytes = bytes(20)) -> bytes:
    """Return one message from the kernel."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


def test_answers_to_others_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """What belongs to a request that was given up does not answer the next one."""
    ours = answer(PART, 2, b"ours")
    made, sock = talking(monkeypatch, answer(PART, 1, b"late") + answer(ERROR, 1, NO), ours + answer(ERROR, 2))
    assert (1, 2) == (made.next(), made.next())
    assert [ours] == made.ask(b"request")
    assert [b"request"] == sock.sent


def test_numbers_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have 32 bits."""
    made, _ = talking(monkeypatch)
    made._sequence = 0xFFFFFFFF
    assert 0 == made.next()


def test_the_kernel_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without words of its own the kernel is quoted by its error number."""
    made, _ = talking(monkeypatch, answer(ERROR, 1, NO))
    made.next()
    with pytest.raises(PlaneError, match=r"^File exists$") as refused:
        made.ask(b"request")
    assert errno.EEXIST == refused.value.errno


def test_a_stream_that_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers come as they are read, and the next request is not disturbed by the rest."""
    made, _ = talking(monkeypatch, answer(PART, 1), answer(PART, 1), answer(ERROR, 1), answer(ERROR, 2))
    made.next()
    assert answer(PART, 1) == next(made.stream(b"request"))
    made.next()
    assert [] == made.ask(b"request")


@pytest.mark.parametrize(
    ("readings", "error", "number", "text"),
    [
        ([], OSError(errno.EPERM, "Operation not permitted"), errno.EPERM, "netlink: Operation not permitted"),
        ([answer(ERROR, 7)], OSError(errno.ENOBUFS, "No buffer space"), errno.ENOBUFS, "netlink: No buffer space"),
        ([answer(ERROR, 7)], BlockingIOError(), errno.ETIMEDOUT, "netlink: no answer within 10 seconds"),
        ([], OSError("strange"), 0, "netlink: strange"),
    ],
    ids=["send", "recv", "silence", "no number"],
)
def test_the_socket_fails(
    monkeypatch: pytest.MonkeyPatch, readings: list[bytes], error: OSError, number: int, text: str
) -> None:
    """Sending, receiving or waiting for too long: the system's words and number, or ours where it has none."""
    made, _ = talking(monkeypatch, *readings, error=error)
    made.next()
    with pytest.raises(PlaneError) as failed:
        made.ask(b"request")
    assert (number, text) == (failed.value.errno, failed.value.text)


def test_a_protocol_that_is_none() -> None:
    """The kernel's word for it, and no socket that stays open."""
    with pytest.raises(PlaneError, match=r"^no netlink socket: Protocol not supported$"):
        Conversation(999)


def test_the_kernel_answers() -> None:
    """Nobody needs rights to ask for the first interface."""
    with closing(Conversation(nlsock.ROUTE)) as made:
        (body,) = made.ask(rtnl.find_link(made.next(), "lo"))
        assert "lo" == rtnl.link_of(body).name
        with pytest.raises(PlaneError) as refused:
            made.ask(rtnl.find_link(made.next(), "l2tp-no"))
        assert errno.ENODEV == refused.value.errno
