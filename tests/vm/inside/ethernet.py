#!/usr/bin/env python3
"""Ethernet pseudowires for tests: what is ours by the Linux plane in a namespace, what is the far end's by `ip l2tp`.

ethernet.py LOCAL PEER    make tunnel 4001 with session 77 and interface `ours`, say `ready`, and hold them until killed.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import trio

from interop.netns import Host
from l2tpd.config.model import Encapsulation, Pseudowire
from l2tpd.kernel.netlink import LinuxPlane, Netlink
from l2tpd.kernel.ops import CreateSession, CreateTunnel, Link
from l2tpd.kernel.worker import Worker
from l2tpd.tunnel.ipsock import kernel_socket

TUNNEL, PEER_TUNNEL, SESSION, PEER_SESSION = 4001, 4002, 77, 78
PORT = 5000
INTERFACE = "ours"
ADDRESS, PEER_ADDRESS = "10.7.0.1", "10.7.0.2"
_CLONE_NEWNET = 0x40000000  # linux/sched.h

_libc = ctypes.CDLL(None, use_errno=True)


@attrs.frozen(kw_only=True)
class Way:
    """What carries a tunnel, and between which addresses of the cable."""

    encap: Encapsulation
    near: str
    far: str

    @property
    def family(self) -> socket.AddressFamily:
        """The family of both addresses."""
        return socket.AF_INET6 if ":" in self.near else socket.AF_INET

    def back(self) -> Way:
        """Return the way as the far end sees it."""
        return attrs.evolve(self, near=self.far, far=self.near)

    def ends(self) -> list[str]:
        """Return how `ip l2tp` of the far end calls this."""
        ports = ["udp_sport", str(PORT), "udp_dport", str(PORT)] if self.encap is Encapsulation.UDP else []
        return ["encap", self.encap.value, "local", self.far, "remote", self.near, *ports]


WAYS = {
    f"{encap.value}{version}": Way(encap=encap, near=near, far=far)
    for encap in Encapsulation
    for version, near, far in ((4, "192.0.2.1", "192.0.2.2"), (6, "2001:db8::1", "2001:db8::2"))
}
"""By `udp4`, `udp6`, `ip4` and `ip6`."""


@contextmanager
def entered(host: Host) -> Iterator[None]:
    """Be in a namespace: sockets, and threads that begin here, stay there. There is no awaiting within."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{host.namespace}", os.O_RDONLY)
    try:
        _set(there)
        yield
    finally:
        _set(back)
        os.close(there)
        os.close(back)


def _set(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def opened(host: Host) -> Iterator[LinuxPlane]:
    """A plane that works in a namespace."""
    with entered(host):
        plane = LinuxPlane(Netlink(), os.uname().release, Worker("netlink", alone=False))
    try:
        yield plane
    finally:
        plane.close()


def carrier(way: Way, tunnel_id: int = TUNNEL, peer_tunnel_id: int = PEER_TUNNEL, port: int = PORT) -> socket.socket:
    """Return a socket connected to the far end as a tunnel needs it."""
    if way.encap is Encapsulation.IP:
        return kernel_socket(way.near, tunnel_id, way.far)._sock
    made = socket.socket(way.family, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((way.near, port))
    made.connect((way.far, port))
    return made


def tunnel(sock: socket.socket, way: Way, tunnel_id: int = TUNNEL) -> CreateTunnel:
    """Return the operation that makes a tunnel on a socket."""
    return CreateTunnel(tunnel_id=tunnel_id, peer_tunnel_id=PEER_TUNNEL, version=3, encap=way.encap, socket=sock)


SESSION_CREATE = CreateSession(
    tunnel_id=TUNNEL,
    session_id=SESSION,
    peer_session_id=PEER_SESSION,
    pseudowire=Pseudowire.ETH,
    link=Link(name=INTERFACE, address=f"{ADDRESS}/24"),
)
"""An Ethernet pseudowire without cookies and numbers."""


def far_tunnel(host: Host, way: Way) -> None:
    """Make the far end of the tunnel."""
    ids = ("tunnel_id", str(PEER_TUNNEL), "peer_tunnel_id", str(TUNNEL))
    host.call("ip", "l2tp", "add", "tunnel", *ids, *way.ends())


def far_session(host: Host, ours: CreateSession = SESSION_CREATE, name: str = "theirs") -> None:
    """Make the far end of a session, with the interface `theirs`, switched on."""
    words = [
        *("name", name, "tunnel_id", str(PEER_TUNNEL)),
        *("session_id", str(ours.peer_session_id), "peer_session_id", str(ours.session_id)),
        *("l2spec_type", ours.sublayer.value),
        *(("cookie", ours.cookie.hex()) if ours.cookie else ()),
        *(("peer_cookie", ours.peer_cookie.hex()) if ours.peer_cookie else ()),
        *(("seq", "both") if ours.sequencing else ()),
    ]
    host.call("ip", "l2tp", "add", "session", *words)
    host.call("ip", "link", "set", name, "up")


def addressed(host: Host, interface: str, address: str = PEER_ADDRESS) -> None:
    """Give an interface an address."""
    host.call("ip", "address", "add", f"{address}/24", "dev", interface)


def opposite(host: Host, ours: CreateSession = SESSION_CREATE) -> None:
    """Have `ip l2tp` make the far end of a session over UDP and IPv4, with its tunnel and an address."""
    far_tunnel(host, WAYS["udp4"])
    far_session(host, ours)
    addressed(host, "theirs")


async def hold(way: Way) -> None:
    """Make a tunnel with a session, say so, and wait for the end."""
    plane = LinuxPlane(Netlink(), os.uname().release)
    with carrier(way) as sock:
        await plane.perform(tunnel(sock, way))
        await plane.perform(SESSION_CREATE)
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)


def holding(host: Host, way: Way) -> list[str]:
    """Return the command line that runs `hold` in a namespace."""
    return host.command(sys.executable, str(Path(__file__)), way.near, way.far)


if __name__ == "__main__":
    trio.run(hold, Way(encap=Encapsulation.UDP, near=sys.argv[1], far=sys.argv[2]))
