"""Requests and answers, with a socket whose readings are given, and with the kernel."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from heap import small
from l2tpd.errors import PlaneError
from l2tpd.kernel import brief, nlsock, rtnl
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

    def recv_into(self, buffer: memoryview) -> int:
        """Give the next reading."""
        if not self._readings:
            raise self._error
        reading = self._readings.pop(0)
        buffer[: len(reading)] = reading
        return len(reading)

    take_into = recv_into

    def close(self) -> None:
        """Take no more."""


def talking(
    monkeypatch: pytest.MonkeyPatch, *readings: bytes, error: OSError | None = None
) -> tuple[Conversation, Socket]:
    """Return a conversation, and the socket that it has."""
    sock = Socket(list(readings), error or OSError(errno.ENOBUFS, "No buffer space available"))
    monkeypatch.setattr(nlsock, "_opened", lambda _protocol: sock)
    return Conversation(nlsock.ROUTE), sock


class Header(NamedTuple):
    """The beginning of a request."""

    flags: int
    sequence: int


def headers(datagram: bytes) -> Iterator[Header]:
    """Yield the headers of several requests."""
    while datagram:
        length, _kind, flags, sequence, _port = struct.unpack_from("=IHHII", datagram)
        yield Header(flags, sequence)
        datagram = datagram[length:]


def answer(kind: int, sequence: int, body: bytes = bytes(20)) -> bytes:
    """Return one message from the kernel."""
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


def test_several_requests_are_one_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last is acknowledged; what is refused is told by its place, whatever else arrives, and what comes behind is awaited all the same."""
    late = answer(ERROR, 1, NO) + answer(PART, 2, b"part")
    made, sock = talking(monkeypatch, late, answer(ERROR, 3, NO), answer(ERROR, 4))
    made.next()
    refused = made.ask_all([partial(rtnl.set_link, index=7, mtu=mtu) for mtu in (1400, 1500, 1600)])
    assert [(1, errno.EEXIST)] == [(place, error.errno) for place, error in refused.items()]
    (datagram,) = sock.sent
    assert [(2, 1), (3, 1), (4, 5)] == [(said.sequence, said.flags) for said in headers(datagram)]


def test_numbers_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the greatest number comes 0, also in the middle of several requests."""
    made, _ = talking(monkeypatch, answer(ERROR, 0xFFFFFFFF, NO), answer(ERROR, 0, NO))
    made._sequence = 0xFFFFFFFE
    refused = made.ask_all([partial(rtnl.set_link, index=7, up=True)] * 2)
    assert {0, 1} == set(refused)


def test_several_requests_of_a_socket_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error of all of them."""
    made, _ = talking(monkeypatch)
    with pytest.raises(PlaneError, match="netlink: No buffer space available"):
        made.ask_all([partial(rtnl.set_link, index=7, up=True)])


def test_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first interface of a namespace is `lo`; of one that is not there the index is 0, and what is no socket knows none."""
    with closing(Conversation(nlsock.ROUTE)) as made:
        assert [1, 0] == [made.index(name) for name in ("lo", "no such one")]
    with Path("/dev/null").open("rb") as nothing:
        monkeypatch.setattr(nlsock, "_opened", lambda _protocol: nothing)
        with pytest.raises(PlaneError, match="netlink: Inappropriate ioctl"):
            Conversation(nlsock.ROUTE).index("lo")


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


def test_answers_are_read_into_one_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the conversation's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setattr(nlsock, "_opened", lambda _protocol: brief.Socket(fileno=theirs.detach()))
    part = answer(PART, 1, b"part")
    with ours, closing(Conversation(nlsock.ROUTE)) as made:
        made.next()
        for asked in (made.ask, made.stream):
            ours.send(part + answer(ERROR, 1))
            with small():
                assert [part] == list(asked(b"request"))


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
