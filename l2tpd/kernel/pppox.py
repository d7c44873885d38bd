"""PPPoX sockets of L2TP sessions, and the device that PPP needs. Everything here blocks: call it in a worker thread.

Python cannot name the addresses of these sockets, so `connect` goes through the C library. The kernel tells the forms of `sockaddr_pppol2tp`
apart by their length alone, which goes by version and by the family of an address that only a socket making its tunnel as well has to say:
the shorter form of a version does for every tunnel. A socket connected to a session takes its frames from then on and keeps those that come before PPP is ready, so
a peer that talks at once loses nothing.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping

from l2tpd.errors import PlaneError
from l2tpd.kernel import brief

DEVICE = "/dev/ppp"

_AF_PPPOX = 24  # linux/socket.h
_PX_PROTO_OL2TP = 1  # linux/if_pppox.h
_NO_ADDRESS = bytes(16)  # struct sockaddr_in; only a socket that makes the tunnel as well says one
# struct sockaddr_pppol2tp and sockaddr_pppol2tpv3: family, protocol, pid, fd, addr, s_tunnel, s_session, d_tunnel, d_session
_SESSION: Mapping[int, struct.Struct] = {2: struct.Struct("=HIii16sHHHH"), 3: struct.Struct("=HIii16sIIII")}


def new_socket() -> socket.socket:
    """Return a PPPoX socket for L2TP that does not block, connected to nothing. Raises `OSError` when the kernel has no PPP over L2TP."""
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    return brief.opened_socket(_AF_PPPOX, kind, _PX_PROTO_OL2TP)


def open_session(
    tunnel_id: int, session_id: int, peer_tunnel_id: int, peer_session_id: int, version: int = 2
) -> socket.socket:
    """Return a socket that carries the frames of a session that the kernel knows, in a tunnel of `version` 2 or 3. Raises `PlaneError`."""
    try:
        sock = new_socket()
    except OSError as error:
        raise PlaneError(error.errno or 0, f"no socket for PPP over L2TP: {error.strerror}") from error
    address = _SESSION[version].pack(
        _AF_PPPOX, _PX_PROTO_OL2TP, 0, -1, _NO_ADDRESS, tunnel_id, session_id, peer_tunnel_id, peer_session_id
    )
    try:
        brief.connect(sock.fileno(), address)
    except OSError as error:
        sock.close()
        text = f"cannot connect to session {tunnel_id}/{session_id}: {error.strerror}"
        raise PlaneError(error.errno or 0, text) from error
    return sock


def open_device() -> None:
    """Open the PPP device and close it again. Raises `OSError` when it is not there or not ours to open."""
    os.close(os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
