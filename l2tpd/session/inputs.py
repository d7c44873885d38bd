"""What may happen to a call: the events of RFC 2661 7.4 and 7.5, and those of the data plane beneath it."""

from __future__ import annotations

from l2tpd.keys import Key
from l2tpd.wire.numbers import MessageType


class Input(Key):
    """One input of the call tables."""

    OPEN = "local open request"
    TUNNEL_OPEN = "tunnel-open"
    CLOSE = "local close request"
    TUNNEL_GONE = "tunnel gone"
    ICRQ = "ICRQ"
    ICRP = "ICRP"
    ICCN = "ICCN"
    OCRQ = "OCRQ"
    OCRP = "OCRP"
    OCCN = "OCCN"
    CDN = "CDN"
    WEN = "WEN"
    SLI = "SLI"
    BAD = "unacceptable message"
    PLANE_UP = "data plane up"
    PLANE_FAILED = "data plane failed"
    EXPIRED = "establish timeout"
    CIRCUIT = "our circuit went up or down"


BY_MESSAGE: dict[int, Input] = {
    MessageType.ICRQ: Input.ICRQ,
    MessageType.ICRP: Input.ICRP,
    MessageType.ICCN: Input.ICCN,
    MessageType.OCRQ: Input.OCRQ,
    MessageType.OCRP: Input.OCRP,
    MessageType.OCCN: Input.OCCN,
    MessageType.CDN: Input.CDN,
    MessageType.WEN: Input.WEN,
    MessageType.SLI: Input.SLI,
}
