"""The trace lines of a control connection, one function a place where there is something to see.

Callers test the mask against `ANY_MESSAGE` or `ANY_PACKET` first: tracing that is off must cost one bit test and build nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from l2tpd.trace import Category
from l2tpd.tunnel.outputs import Remark
from l2tpd.wire.describe import dump, summary
from l2tpd.wire.messages import Message

# Plain integers: an operation on an enumeration costs thirty times as much.
PROTOCOL, FSM = int(Category.PROTOCOL), int(Category.FSM)
AVP_INFO, AVP_DATA, AVP_HIDE = int(Category.AVP_INFO), int(Category.AVP_DATA), int(Category.AVP_HIDE)
TRANSPORT, DATA = int(Category.TRANSPORT), int(Category.DATA)

ANY_MESSAGE = PROTOCOL | AVP_INFO | AVP_DATA | AVP_HIDE
ANY_PACKET = TRANSPORT | DATA


def message(verb: str, said: Message, session_id: int, mask: int) -> Iterator[Remark]:
    """Render a message that is received or sent; secrets in it are never shown."""
    if mask & PROTOCOL:
        yield Remark(Category.PROTOCOL, f"{verb} {summary(said)}", session_id)
    if mask & AVP_INFO:
        names = ", ".join(avp.name for avp in said.values)
        ignored = f"; ignored: {'; '.join(said.notes)}" if said.notes else ""
        yield Remark(Category.AVP_INFO, f"{said.name} has {names}{ignored}", session_id)
    if mask & AVP_HIDE and said.hides:
        yield Remark(Category.AVP_HIDE, f"{said.name} came with a Random Vector", session_id)
    if mask & AVP_DATA:
        for line in dump(said).splitlines():
            yield Remark(Category.AVP_DATA, line, session_id)


def packet(verb: str, ns: int, nr: int, session_id: int, body: bytes, mask: int) -> Iterator[Remark]:
    """Render what the reliable delivery sees of a packet, and the octets of its message."""
    if mask & TRANSPORT:
        what = f"{len(body)} octets" if body else "ZLB"
        yield Remark(Category.TRANSPORT, f"{verb} Ns {ns} Nr {nr}, {what}", session_id)
    if mask & DATA and body:
        yield Remark(Category.DATA, f"{verb} {body.hex()}", session_id)
