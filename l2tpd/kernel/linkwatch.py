"""Watches the network interfaces of sessions: whether they are up, and whether they are still there.

The kernel tells everybody who listens of every interface; what is none of ours costs one look into a dictionary. Of interfaces of PPP only that is of
interest that they are gone or were set down: while they come up, which is what most of all reports would tell of, a filter keeps them back. Reports that
were lost, because too many came at once, are made good: the owner looks what is gone, and the kernel is asked for everything that is there.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

import trio

from l2tpd.errors import StartupError
from l2tpd.kernel import bpf, nlmsg
from l2tpd.supervise import contained
from l2tpd.tunnel.port import BUFFER

_HEADER: Final = nlmsg.HEADER
_IFINFO: Final = struct.Struct("=BxHiII")  # linux/rtnetlink.h, struct ifinfomsg: family, type, index, flags, change
_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_REQUEST_DUMP: Final = 0x301
_RTMGRP_LINK: Final = 1
_IFLA_IFNAME: Final = 3
_IFF_UP: Final = 1
_BATCH: Final = 64
_PPP, _TUN = 512, 65534  # linux/if_arp.h: ARPHRD_PPP, ARPHRD_NONE
_OF_MANY: Final = 2  # linux/netlink.h: NLM_F_MULTI, of what was asked for

_FILTER: Final = (
    (bpf.LOAD_HALF, 0, 0, 4),  # kind of message
    (bpf.JUMP_EQUAL, 0, 7, bpf.host_half(_NEWLINK)),
    (bpf.LOAD_HALF, 0, 0, 6),  # flags of the message
    (bpf.JUMP_SET, 5, 0, bpf.host_half(_OF_MANY)),
    (bpf.LOAD_HALF, 0, 0, 18),  # type of the interface
    (bpf.JUMP_EQUAL, 1, 0, bpf.host_half(_PPP)),
    (bpf.JUMP_EQUAL, 0, 2, bpf.host_half(_TUN)),
    (bpf.LOAD_WORD, 0, 0, 24),  # flags of the interface
    (bpf.JUMP_SET, 1, 0, bpf.host_word(_IFF_UP)),
    bpf.PASS,
    bpf.DROP,
)
"""Lets everything pass but that an interface of packets is up. Of several messages it sees the first: the kernel tells of changes one at a time."""


class Report(NamedTuple):
    """What became of an interface."""

    name: str
    up: bool
    there: bool


class Owner(Protocol):
    """Who wants to know."""

    def link_changed(self, report: Report) -> None:
        """Take note of an interface; most of them are somebody else's."""

    def check(self) -> None:
        """Look at every interface: reports were lost."""


def reports(data: bytes) -> Iterator[Report]:
    """Take apart what one reading of the socket gave. Pure."""
    offset = 0
    while offset + _HEADER.size + _IFINFO.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        if kind in {_NEWLINK, _DELLINK} and length >= _HEADER.size + _IFINFO.size:
            family, _type, _index, flags, _change = _IFINFO.unpack_from(data, offset + _HEADER.size)
            said = dict(nlmsg.attributes(data[offset : offset + length], _HEADER.size + _IFINFO.size))
            if family == socket.AF_UNSPEC:  # others tell of a bridge's ports, say: one may go while the interface stays
                yield Report(nlmsg.text(said.get(_IFLA_IFNAME, b"")), bool(flags & _IFF_UP), kind == _NEWLINK)
        offset += (length + 3) & ~3


async def watch(owner: Owner, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Tell `owner` of every change of an interface in this network namespace, until cancelled. Raises `StartupError`."""
    try:
        sock = _opened()
    except OSError as error:
        raise StartupError(f"cannot watch the network interfaces (netlink): {error.strerror}") from error
    with sock:
        task_status.started()
        while True:
            await trio.lowlevel.wait_readable(sock)
            _drain(sock, owner)


def _opened() -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
    )
    try:
        bpf.attach(sock, _FILTER)
        sock.bind((0, _RTMGRP_LINK))
    except OSError:
        sock.close()
        raise
    return sock


def _drain(sock: socket.socket, owner: Owner) -> None:
    for _ in range(_BATCH):
        try:
            data = bytes(BUFFER[: sock.recv_into(BUFFER)])
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                with contained("looking at all interfaces", kind="link"):
                    owner.check()
                _ask_for_all(sock)
            continue
        for report in reports(data):
            with contained(f"what follows a change of {report.name}", kind="link"):
                owner.link_changed(report)


def _ask_for_all(sock: socket.socket) -> None:
    request = _HEADER.pack(_HEADER.size + _IFINFO.size, _GETLINK, _REQUEST_DUMP, 0, 0) + bytes(_IFINFO.size)
    try:
        sock.send(request)
    except OSError:
        return  # the next loss asks again
