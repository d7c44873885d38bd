"""A network namespace to make interfaces in, two user-space planes that face each other there, and ports for whole frames.

Both planes live in the namespace and reach each other over its loopback interface, so nothing of the machine's own network is touched. Each reader does
what a tunnel's does: it takes packets from the socket and hands data packets to its plane.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Self

import attrs
import trio
from trio._core import _thread_cache

from l2tpd.config.model import Encapsulation
from l2tpd.errors import PlaneError
from l2tpd.kernel import tuntap
from l2tpd.kernel.ops import CreateSession, CreateTunnel, Outcome
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.kernel.worker import Worker

CLONE_NEWNET = 0x40000000  # linux/sched.h
L2TP = 115  # IP protocol number
ETHERTYPE = 0x88B5  # IEEE 802, for local experiments
ADDRESSES = {4: ("127.0.0.1", "127.0.0.2"), 6: ("fd00::1", "fd00::2")}
WITHIN = 5.0

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Say why no interface can be made here, or nothing when it can."""
    if os.geteuid() != 0:
        return "making network namespaces takes root"
    try:
        tuntap.probe()
    except PlaneError as error:
        return error.text
    return ""


def ip(*words: str) -> str:
    """Run iproute2 in the namespace of this thread; return what it says."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20).stdout


def ping(address: str) -> None:
    """Have an address answer, from the namespace of this thread."""
    command = ["ping", "-c", "1", "-W", "5", address]
    subprocess.run(command, check=True, capture_output=True, timeout=20)


@contextmanager
def namespace() -> Iterator[None]:
    """Take this thread to a network namespace of its own, and back; threads and programs started within are in it as well."""
    home, cache = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), _thread_cache.THREAD_CACHE
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        # A thread stays where it was born, and trio keeps those that it has had: the ones from outside are for outside.
        _thread_cache.THREAD_CACHE = _thread_cache.ThreadCache()
        # Neighbour discovery and its like would be frames that no test has sent.
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        ip("link", "set", "lo", "up")
        for address in ADDRESSES[6]:
            ip("address", "add", f"{address}/128", "dev", "lo", "nodad")
        _settle()
        yield
    finally:
        _check(_libc.setns(home, CLONE_NEWNET))
        _thread_cache.THREAD_CACHE = cache
        os.close(home)


def _settle() -> None:
    """Wait until both IPv6 addresses are ours: the kernel sees to that after it has accepted them, and until then loses packets to them."""
    until = time.monotonic() + WITHIN
    while not all(f"local {address} " in ip("-6", "route", "show", "table", "local") for address in ADDRESSES[6]):
        assert time.monotonic() < until
        time.sleep(0.005)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def has_vlan() -> bool:
    """Tell whether this kernel has VLAN links."""
    with namespace():
        ip("link", "add", "near", "type", "veth", "peer", "name", "far")
        command = ["ip", "link", "add", "link", "near", "name", "near.1", "type", "vlan", "id", "1"]
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def facing(encap: Encapsulation, version: int) -> tuple[socket.socket, socket.socket]:
    """Return two sockets that are connected to each other."""
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[version]
    kind = (socket.SOCK_DGRAM, 0) if encap is Encapsulation.UDP else (socket.SOCK_RAW, L2TP)
    ends = socket.socket(family, *kind), socket.socket(family, *kind)
    for end, address in zip(ends, ADDRESSES[version], strict=True):
        end.setblocking(False)
        end.bind((address, 0))
    ends[0].connect(ends[1].getsockname()[:2])
    ends[1].connect(ends[0].getsockname()[:2])
    return ends


@attrs.define(eq=False)
class End:
    """A plane with the socket of its one tunnel, whose number it has."""

    plane: UserPlane
    socket: socket.socket
    tunnel: CreateTunnel
    strip: int  # octets that precede what the plane wants to see
    nursery: trio.Nursery
    endings: list[tuple[int, str]] = attrs.field(factory=list)

    async def open(self, session: CreateSession) -> Outcome:
        """Create a session and run what it has to run."""
        outcome = await self.plane.perform(session)
        if outcome.pump is not None:
            self.nursery.start_soon(self._pump, outcome)
        return outcome

    async def read(self) -> None:
        """Do the work of a tunnel's reader, which has one buffer for all packets."""
        buffer = memoryview(bytearray(65535))
        while True:
            await trio.lowlevel.wait_readable(self.socket)
            size = self.socket.recv_into(buffer)
            self.plane.receive(self.tunnel.tunnel_id, buffer[self.strip : size], trio.current_time())

    def counters(self) -> Mapping[str, int]:
        """Return the counters of the tunnel with its sessions."""
        return self.plane._tunnels[self.tunnel.tunnel_id].counters().as_mapping()

    async def _pump(self, outcome: Outcome) -> None:
        assert outcome.pump is not None
        self.endings.append(await outcome.pump())


@asynccontextmanager
async def pair(encap: Encapsulation, ip_version: int = 4, version: int = 3) -> AsyncIterator[tuple[End, End]]:
    """Open two planes with one tunnel between them, number 1 here and 2 there."""
    with ExitStack() as stack:
        here, there = facing(encap, ip_version)
        planes = [UserPlane(Worker(f"plane {number}")) for number in (1, 2)]
        stack.enter_context(here)
        stack.enter_context(there)
        for plane in planes:
            stack.callback(plane.close)
        async with trio.open_nursery() as nursery:
            near = await _end(
                nursery,
                planes[0],
                CreateTunnel(tunnel_id=1, peer_tunnel_id=2, version=version, encap=encap, socket=here),
                here,
            )
            far = await _end(
                nursery,
                planes[1],
                CreateTunnel(tunnel_id=2, peer_tunnel_id=1, version=version, encap=encap, socket=there),
                there,
            )
            yield near, far
            nursery.cancel_scope.cancel()


async def _end(nursery: trio.Nursery, plane: UserPlane, tunnel: CreateTunnel, sock: socket.socket) -> End:
    await plane.perform(tunnel)
    raw_v4 = sock.type is socket.SOCK_RAW and sock.family is socket.AF_INET
    over_udp = tunnel.version == 3 and tunnel.encap is Encapsulation.UDP
    strip = 20 if raw_v4 else 4 if over_udp else 0
    end = End(plane, sock, tunnel, strip, nursery)
    nursery.start_soon(end.read)
    return end


class Wire:
    """All frames of one interface: what it is given to send leaves by its TAP, what it got from there can be read."""

    def __init__(self, interface: str, ethertype: int = ETHERTYPE) -> None:
        """Listen to frames of a type, 3 being every type."""
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ethertype))
        self.socket.setblocking(False)
        self.socket.bind((interface, ethertype))

    def __enter__(self) -> Self:
        """Do nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.socket.close()

    def send(self, frame: bytes) -> None:
        """Have the interface send a frame."""
        self.socket.send(frame)

    async def receive(self) -> bytes:
        """Return the next frame that the interface received."""
        with trio.fail_after(WITHIN):
            while True:
                await trio.lowlevel.wait_readable(self.socket)
                frame, where = self.socket.recvfrom(65535)
                if where[2] != socket.PACKET_OUTGOING:
                    return frame


def frame_of(number: int, octets: int = 60, tag: bytes = b"") -> bytes:
    """Return an Ethernet frame to everybody that nobody answers."""
    head = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + tag + ETHERTYPE.to_bytes(2, "big") + number.to_bytes(4, "big")
    return head + bytes(octets - len(head))


def batch(lines: str) -> None:
    """Have iproute2 carry out many commands in the namespace of this thread."""
    subprocess.run(["ip", "-batch", "-"], input=lines, check=True, capture_output=True, text=True, timeout=60)
