"""What may happen to a control connection: the events of RFC 2661 7.2.1, and what its timers and its delivery report."""

from __future__ import annotations

from l2tpd.keys import Key
from l2tpd.wire.numbers import MessageType


class Input(Key):
    """One input of the control connection table."""

    OPEN = "local open request"
    CLOSE = "admin tunnel close"
    SCCRQ = "SCCRQ"
    SCCRP = "SCCRP"
    SCCCN = "SCCCN"
    STOPCCN = "StopCCN"
    HELLO = "HELLO"
    CALL = "message of a session"
    UNKNOWN = "unknown message that may be ignored"
    BAD = "unacceptable message"
    LOST_TIE = "lost the tie"
    PLANE_FAILED = "data plane failed"
    EXPIRED = "timer"
    DEAD = "retries exhausted"
    DELIVERED = "our StopCCN, or the message that we watch for, acknowledged"


BY_MESSAGE: dict[int, Input] = {
    MessageType.SCCRQ: Input.SCCRQ,
    MessageType.SCCRP: Input.SCCRP,
    MessageType.SCCCN: Input.SCCCN,
    MessageType.STOPCCN: Input.STOPCCN,
    MessageType.HELLO: Input.HELLO,
    MessageType.OCRQ: Input.CALL,
    MessageType.OCRP: Input.CALL,
    MessageType.OCCN: Input.CALL,
    MessageType.ICRQ: Input.CALL,
    MessageType.ICRP: Input.CALL,
    MessageType.ICCN: Input.CALL,
    MessageType.CDN: Input.CALL,
    MessageType.WEN: Input.CALL,
    MessageType.SLI: Input.CALL,
}
