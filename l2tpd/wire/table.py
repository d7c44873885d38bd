"""The message table: which AVPs a control message must and may carry, and what it is about (RFC 2661 6, RFC 5515)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from l2tpd.wire.avp import (
    ACCESS_LINE,
    ACCM,
    ASSIGNED_SESSION_ID,
    ASSIGNED_TUNNEL_ID,
    BEARER_CAPABILITIES,
    BEARER_TYPE,
    CALL_ERRORS,
    CALL_SERIAL_NUMBER,
    CALLED_NUMBER,
    CALLING_NUMBER,
    CHALLENGE,
    CHALLENGE_RESPONSE,
    CONNECT_SPEED_UPDATE,
    CONNECT_SPEED_UPDATE_ENABLE,
    FIRMWARE_REVISION,
    FRAMING_CAPABILITIES,
    FRAMING_TYPE,
    HOST_NAME,
    INITIAL_RECEIVED_LCP_CONFREQ,
    LAST_RECEIVED_LCP_CONFREQ,
    LAST_SENT_LCP_CONFREQ,
    MANDATORY,
    MAXIMUM_BPS,
    MESSAGE_TYPE,
    MINIMUM_BPS,
    PHYSICAL_CHANNEL_ID,
    PPP_DISCONNECT_CAUSE,
    PRIVATE_GROUP_ID,
    PROTOCOL_VERSION,
    PROXY_AUTHEN_CHALLENGE,
    PROXY_AUTHEN_ID,
    PROXY_AUTHEN_NAME,
    PROXY_AUTHEN_RESPONSE,
    PROXY_AUTHEN_TYPE,
    Q931_CAUSE_CODE,
    RANDOM_VECTOR,
    RECEIVE_WINDOW_SIZE,
    RESULT_CODE,
    RX_CONNECT_SPEED,
    SEQUENCING_REQUIRED,
    SUB_ADDRESS,
    TIE_BREAKER,
    TX_CONNECT_SPEED,
    VENDOR_NAME,
    Avp,
    encode_value,
    pack,
)
from l2tpd.wire.numbers import MessageType

if TYPE_CHECKING:
    from collections.abc import Iterable

AnyAvp = Avp[Any]


@attrs.frozen(eq=False)
class MessageRow:
    """What the RFC says of one message type; `ends` marks the ones that take down what they are about."""

    type: MessageType
    name: str
    need: frozenset[AnyAvp]
    may: frozenset[AnyAvp]
    session_scoped: bool
    where: str
    mandatory: bool = True
    ends: bool = False
    listed: frozenset[AnyAvp] = attrs.field(init=False)
    opening: bytes = attrs.field(init=False)

    @listed.default
    def _listed(self) -> frozenset[AnyAvp]:
        return self.need | self.may | {MESSAGE_TYPE, RANDOM_VECTOR}

    @opening.default
    def _opening(self) -> bytes:
        return opening_of(self.type, mandatory=self.mandatory)


def opening_of(kind: int, *, mandatory: bool) -> bytes:
    """Give the Message Type AVP that opens every message (RFC 2661 4.4.1)."""
    return pack(MANDATORY if mandatory else 0, MESSAGE_TYPE.key, encode_value(MESSAGE_TYPE, kind))


def _row(
    kind: MessageType,
    where: str,
    scope: str,
    need: Iterable[AnyAvp] = (),
    may: Iterable[AnyAvp] = (),
    *,
    mandatory: bool = True,
    ends: bool = False,
) -> MessageRow:
    name = "StopCCN" if kind is MessageType.STOPCCN else kind.name
    return MessageRow(kind, name, frozenset(need), frozenset(may), scope == "session", where, mandatory, ends)


_ROWS: Final = (
    _row(
        MessageType.SCCRQ,
        "RFC 2661 6.1",
        "tunnel",
        (PROTOCOL_VERSION, HOST_NAME, FRAMING_CAPABILITIES, ASSIGNED_TUNNEL_ID),
        (BEARER_CAPABILITIES, RECEIVE_WINDOW_SIZE, CHALLENGE, TIE_BREAKER, FIRMWARE_REVISION, VENDOR_NAME),
    ),
    _row(
        MessageType.SCCRP,
        "RFC 2661 6.2",
        "tunnel",
        (PROTOCOL_VERSION, FRAMING_CAPABILITIES, HOST_NAME, ASSIGNED_TUNNEL_ID),
        (
            BEARER_CAPABILITIES,
            FIRMWARE_REVISION,
            VENDOR_NAME,
            RECEIVE_WINDOW_SIZE,
            CHALLENGE,
            CHALLENGE_RESPONSE,
        ),
    ),
    _row(MessageType.SCCCN, "RFC 2661 6.3", "tunnel", (), (CHALLENGE_RESPONSE,)),
    _row(MessageType.STOPCCN, "RFC 2661 6.4", "tunnel", (ASSIGNED_TUNNEL_ID, RESULT_CODE), ends=True),
    _row(MessageType.HELLO, "RFC 2661 6.5", "tunnel"),
    _row(
        MessageType.ICRQ,
        "RFC 2661 6.6",
        "session",
        (ASSIGNED_SESSION_ID, CALL_SERIAL_NUMBER),
        (
            BEARER_TYPE,
            PHYSICAL_CHANNEL_ID,
            CALLING_NUMBER,
            CALLED_NUMBER,
            SUB_ADDRESS,
            CONNECT_SPEED_UPDATE_ENABLE,
            *ACCESS_LINE,
        ),
    ),
    _row(MessageType.ICRP, "RFC 2661 6.7", "session", (ASSIGNED_SESSION_ID,)),
    _row(
        MessageType.ICCN,
        "RFC 2661 6.8",
        "session",
        (TX_CONNECT_SPEED, FRAMING_TYPE),
        (
            INITIAL_RECEIVED_LCP_CONFREQ,
            LAST_SENT_LCP_CONFREQ,
            LAST_RECEIVED_LCP_CONFREQ,
            PROXY_AUTHEN_TYPE,
            PROXY_AUTHEN_NAME,
            PROXY_AUTHEN_CHALLENGE,
            PROXY_AUTHEN_ID,
            PROXY_AUTHEN_RESPONSE,
            PRIVATE_GROUP_ID,
            RX_CONNECT_SPEED,
            SEQUENCING_REQUIRED,
        ),
    ),
    _row(
        MessageType.OCRQ,
        "RFC 2661 6.9",
        "session",
        (
            ASSIGNED_SESSION_ID,
            CALL_SERIAL_NUMBER,
            MINIMUM_BPS,
            MAXIMUM_BPS,
            BEARER_TYPE,
            FRAMING_TYPE,
            CALLED_NUMBER,
        ),
        (SUB_ADDRESS,),
    ),
    _row(MessageType.OCRP, "RFC 2661 6.10", "session", (ASSIGNED_SESSION_ID,), (PHYSICAL_CHANNEL_ID,)),
    _row(
        MessageType.OCCN,
        "RFC 2661 6.11",
        "session",
        (TX_CONNECT_SPEED, FRAMING_TYPE),
        (RX_CONNECT_SPEED, SEQUENCING_REQUIRED),
    ),
    _row(
        MessageType.CDN,
        "RFC 2661 6.12",
        "session",
        (RESULT_CODE, ASSIGNED_SESSION_ID),
        (Q931_CAUSE_CODE, PPP_DISCONNECT_CAUSE),
        ends=True,
    ),
    _row(MessageType.WEN, "RFC 2661 6.13", "session", (CALL_ERRORS,)),
    _row(MessageType.SLI, "RFC 2661 6.14", "session", (ACCM,)),
    _row(MessageType.CSUN, "RFC 5515", "tunnel", (CONNECT_SPEED_UPDATE,), mandatory=False),
    _row(MessageType.CSURQ, "RFC 5515", "tunnel", (CONNECT_SPEED_UPDATE,), mandatory=False),
)

MESSAGES: Final[dict[int, MessageRow]] = {int(row.type): row for row in _ROWS}
"""The message table by type number."""
