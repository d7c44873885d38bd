"""The trace categories: what an operator may have explained, system-wide, for one tunnel or for one session.

A mask of categories is tested before a trace line is even built, so that tracing that is off costs one bit test.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable


class Category(enum.IntFlag):
    """One category each; the names, in lower case, are the words of the configuration and of `l2tpctl debug`."""

    PROTOCOL = 1  # control messages sent and received, one line each
    FSM = 2  # inputs and state changes
    API = 4  # requests of operators
    AVP_INFO = 8  # which AVPs a message has
    AVP_HIDE = 16  # hiding
    AVP_DATA = 32  # AVP contents, secrets excepted
    FUNC = 64  # internal operations
    TRANSPORT = 128  # Ns and Nr, acknowledgements, retransmission
    DATA = 256  # octets of control messages, never user data
    SYSTEM = 512  # timers, sockets, the operating system
    PPP = 1024
    KERNEL = 2048  # operations of the data plane
    ALL = 4095


WORDS: dict[str, Category] = {str(member.name).lower(): member for member in (*Category, Category.ALL)}


def mask(words: Iterable[str]) -> int:
    """Return the mask of these words. Raises KeyError for a word that is none."""
    total = 0
    for word in words:
        total |= int(WORDS[word])
    return total
