#!/usr/bin/env python3
"""Managed L2TPv3 tunnels over UDP with one Ethernet session each, all between the same addresses and ports.

managed.py LOCAL PEER ID...    interface pwID for each; then on stdin
send ID                        send a control packet to the peer's tunnel of this number
count                          print how many datagrams came up on each socket since, in the order of the ids

Everything goes when the process ends, as the kernel ties a managed tunnel to its socket.
"""

from __future__ import annotations

import socket
import struct
import sys

from vm.inside.families import family

PORT = 1701
CODES = {
    1: "=H",
    2: "=H",
    7: "=B",
    9: "=I",
    10: "=I",
    11: "=I",
    12: "=I",
    23: "=I",
}  # attribute -> struct code; others are bytes
TUNNEL_CREATE, SESSION_CREATE = 1, 5
PW_TYPE, ENCAP_TYPE, PROTO_VERSION, IFNAME, CONN_ID, PEER_CONN_ID, SESSION_ID, PEER_SESSION_ID, FD = (
    1,
    2,
    7,
    8,
    9,
    10,
    11,
    12,
    23,
)
UDP, ETHERNET = 0, 5


def request(netlink: socket.socket, command: int, *attributes: tuple[int, int | bytes]) -> None:
    """Send one command of the family l2tp and wait for its acknowledgement; raises `OSError`."""
    body = struct.pack("=BBH", command, 1, 0) + b"".join(_attribute(kind, value) for kind, value in attributes)
    netlink.send(struct.pack("=IHHII", 16 + len(body), family("l2tp"), 5, 1, 0) + body)
    (error,) = struct.unpack_from("=i", netlink.recv(65536), 16)
    if error:
        raise OSError(-error, f"l2tp command {command}")


def _attribute(kind: int, value: int | bytes) -> bytes:
    octets = struct.pack(CODES[kind], value) if isinstance(value, int) else value
    return struct.pack("=HH", 4 + len(octets), kind) + octets + bytes(-len(octets) % 4)


def tunnel(netlink: socket.socket, local: str, peer: str, number: int) -> socket.socket:
    """Create a tunnel and its session, both ends having the same ids, and return its socket."""
    carrier = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    carrier.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    carrier.bind((local, PORT))
    carrier.connect((peer, PORT))
    carrier.setblocking(False)
    ids = ((CONN_ID, number), (PEER_CONN_ID, number))
    request(netlink, TUNNEL_CREATE, *ids, (PROTO_VERSION, 3), (ENCAP_TYPE, UDP), (FD, carrier.fileno()))
    calls = ((SESSION_ID, 100 + number), (PEER_SESSION_ID, 100 + number))
    request(netlink, SESSION_CREATE, ids[0], *calls, (PW_TYPE, ETHERNET), (IFNAME, f"pw{number}".encode() + b"\0"))
    return carrier


def drained(carrier: socket.socket) -> int:
    """Return how many datagrams wait on a socket, taking them off."""
    count = 0
    while True:
        try:
            carrier.recv(65536)
        except BlockingIOError:
            return count
        count += 1


def main(local: str, peer: str, *numbers: str) -> None:
    """Make the tunnels, say so, and obey until stdin ends."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as netlink:
        carriers = {int(number): tunnel(netlink, local, peer, int(number)) for number in numbers}
    print("ready", flush=True)
    for line in sys.stdin:
        verb, *arguments = line.split()
        if verb == "send":  # RFC 3931 3.2.1: T, L and S, version 3, twelve octets, Ns 0, Nr 0
            carriers[int(arguments[0])].send(struct.pack("!HHIHH", 0xC803, 12, int(arguments[0]), 0, 0))
        print(*(drained(carrier) for carrier in carriers.values()) if verb == "count" else ["sent"], flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
