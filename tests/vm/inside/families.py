"""Generic netlink families by name, with the standard library alone: a script that starts in a guest should start fast."""

from __future__ import annotations

import socket
import struct


def family(name: str) -> int:
    """Return the number of a generic netlink family, 0 where the kernel has none of this name."""
    value = name.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(value), 2) + value + bytes(-len(value) % 4)  # CTRL_ATTR_FAMILY_NAME
    message = struct.pack("=IHHIIBBH", 20 + len(attribute), 16, 1, 1, 0, 3, 1, 0) + attribute  # CTRL_CMD_GETFAMILY
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as generic:
        generic.send(message)
        answer = generic.recv(65536)
    kind, position = struct.unpack_from("=H", answer, 4)[0], 20
    while kind == 16 and position < len(answer):
        length, attribute_type = struct.unpack_from("=HH", answer, position)
        if attribute_type == 1:  # CTRL_ATTR_FAMILY_ID
            return int(struct.unpack_from("=H", answer, position + 4)[0])
        position += length + (-length % 4)
    return 0
