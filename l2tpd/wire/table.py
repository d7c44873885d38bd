"""The message tables: which AVPs a control message must and may carry, and what it is about.

Version 2 is RFC 2661 6 and RFC 5515, version 3 is RFC 3931 6. What else the versions do differently when a message is
read or written stands in one value for each, a `Vocabulary`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from l2tpd.wire.avp import (
    ACCESS_LINE,
    ACCM,
    ASSIGNED_CONTROL_CONNECTION_ID,
    ASSIGNED_COOKIE,
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
    CIRCUIT_STATUS,
    CONNECT_SPEED_UPDATE,
    CONNECT_SPEED_UPDATE_ENABLE,
    CONTROL_MESSAGE_NONCE,
    DATA_SEQUENCING,
    EXTENDED_VENDOR_ID,
    FIRMWARE_REVISION,
    FRAMING_CAPABILITIES,
    FRAMING_TYPE,
    HIDDEN,
    HOST_NAME,
    INITIAL_RECEIVED_LCP_CONFREQ,
    KNOWN,
    KNOWN_3,
    L2_SPECIFIC_SUBLAYER,
    LAST_RECEIVED_LCP_CONFREQ,
    LAST_SENT_LCP_CONFREQ,
    LOCAL_SESSION_ID,
    MANDATORY,
    MAXIMUM_BPS,
    MESSAGE_DIGEST,
    MESSAGE_TYPE,
    MINIMUM_BPS,
    PHYSICAL_CHANNEL_ID,
    PPP_DISCONNECT_CAUSE,
    PREFERRED_LANGUAGE,
    PRIVATE_GROUP_ID,
    PROTOCOL_VERSION,
    PROXY_AUTHEN_CHALLENGE,
    PROXY_AUTHEN_ID,
    PROXY_AUTHEN_NAME,
    PROXY_AUTHEN_RESPONSE,
    PROXY_AUTHEN_TYPE,
    PSEUDOWIRE_CAPABILITIES,
    PSEUDOWIRE_TYPE,
    Q931_CAUSE_CODE,
    RANDOM_VECTOR,
    RECEIVE_WINDOW_SIZE,
    REMOTE_END_ID,
    REMOTE_SESSION_ID,
    RESERVED,
    RESULT_CODE,
    ROUTER_ID,
    RX_CONNECT_SPEED,
    RX_CONNECT_SPEED_BPS,
    SEQUENCING_REQUIRED,
    SUB_ADDRESS,
    TIE_BREAKER,
    TX_CONNECT_SPEED,
    TX_CONNECT_SPEED_BPS,
    VENDOR_NAME,
    Avp,
    encode_value,
    pack,
)
from l2tpd.wire.digest3 import HIDING, shared_key
from l2tpd.wire.numbers import MessageType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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

_SESSION: Final = (LOCAL_SESSION_ID, REMOTE_SESSION_ID)
_SPEEDS: Final = (TX_CONNECT_SPEED_BPS, RX_CONNECT_SPEED_BPS)
_DATA: Final = (L2_SPECIFIC_SUBLAYER, DATA_SEQUENCING, *_SPEEDS)


def _row3(
    kind: MessageType,
    where: str,
    scope: str,
    need: Iterable[AnyAvp] = (),
    may: Iterable[AnyAvp] = (),
    *,
    ends: bool = False,
) -> MessageRow:
    """Give a row of version 3, in which any message may be signed and speak of vendors (RFC 3931 4.3, 5.1)."""
    return _row(kind, where, scope, need, (*may, MESSAGE_DIGEST, EXTENDED_VENDOR_ID), ends=ends)


_ROWS_3: Final = (
    _row3(
        MessageType.SCCRQ,
        "RFC 3931 6.1",
        "tunnel",
        (HOST_NAME, ROUTER_ID, ASSIGNED_CONTROL_CONNECTION_ID, PSEUDOWIRE_CAPABILITIES),
        (CONTROL_MESSAGE_NONCE, TIE_BREAKER, VENDOR_NAME, RECEIVE_WINDOW_SIZE, PREFERRED_LANGUAGE),
    ),
    _row3(
        MessageType.SCCRP,
        "RFC 3931 6.2",
        "tunnel",
        (HOST_NAME, ROUTER_ID, ASSIGNED_CONTROL_CONNECTION_ID, PSEUDOWIRE_CAPABILITIES),
        (CONTROL_MESSAGE_NONCE, VENDOR_NAME, RECEIVE_WINDOW_SIZE, PREFERRED_LANGUAGE),
    ),
    _row3(MessageType.SCCCN, "RFC 3931 6.3", "tunnel"),
    _row3(MessageType.STOPCCN, "RFC 3931 6.4", "tunnel", (RESULT_CODE,), (ASSIGNED_CONTROL_CONNECTION_ID,), ends=True),
    _row3(MessageType.HELLO, "RFC 3931 6.5", "tunnel"),
    _row3(
        MessageType.ICRQ,
        "RFC 3931 6.6",
        "session",
        (*_SESSION, CALL_SERIAL_NUMBER, PSEUDOWIRE_TYPE, REMOTE_END_ID, CIRCUIT_STATUS),
        (ASSIGNED_COOKIE, TIE_BREAKER, *_DATA, PHYSICAL_CHANNEL_ID),
    ),
    _row3(
        MessageType.ICRP,
        "RFC 3931 6.7",
        "session",
        (*_SESSION, CIRCUIT_STATUS),
        (ASSIGNED_COOKIE, *_DATA, PHYSICAL_CHANNEL_ID),
    ),
    _row3(MessageType.ICCN, "RFC 3931 6.8", "session", _SESSION, (*_DATA, CIRCUIT_STATUS)),
    _row3(
        MessageType.OCRQ,
        "RFC 3931 6.9",
        "session",
        (*_SESSION, CALL_SERIAL_NUMBER, PSEUDOWIRE_TYPE, REMOTE_END_ID, CIRCUIT_STATUS),
        (ASSIGNED_COOKIE, TIE_BREAKER, *_DATA),
    ),
    _row3(
        MessageType.OCRP,
        "RFC 3931 6.10",
        "session",
        (*_SESSION, CIRCUIT_STATUS),
        (ASSIGNED_COOKIE, *_DATA, PHYSICAL_CHANNEL_ID),
    ),
    _row3(MessageType.OCCN, "RFC 3931 6.11", "session", _SESSION, (*_DATA, CIRCUIT_STATUS)),
    _row3(MessageType.CDN, "RFC 3931 6.12", "session", (RESULT_CODE, *_SESSION), ends=True),
    _row3(MessageType.WEN, "RFC 3931 6.13", "session", (*_SESSION, CALL_ERRORS)),
    _row3(MessageType.SLI, "RFC 3931 6.14", "session", _SESSION, (CIRCUIT_STATUS,)),
    _row3(MessageType.ACK, "RFC 3931 6.15", "tunnel"),
)

MESSAGES: Final[dict[int, MessageRow]] = {int(row.type): row for row in _ROWS}
"""The message table of version 2 by type number."""

MESSAGES_3: Final[dict[int, MessageRow]] = {int(row.type): row for row in _ROWS_3}
"""The message table of version 3 by type number."""


@attrs.frozen(kw_only=True, eq=False)
class Vocabulary:
    """What the versions do not share when a message is read or written.

    `unusual` are the header bits of an AVP that call for a closer look, `column` says which of a row's `heads` we send,
    `vendor_types` whether a Message Type may be a vendor's, and `hiding_key` makes of the shared secret what hides AVPs.
    """

    known: Mapping[int, AnyAvp]
    messages: Mapping[int, MessageRow]
    unusual: int
    column: int
    vendor_types: bool
    hiding_key: Callable[[bytes], bytes]


V2: Final = Vocabulary(
    known=KNOWN,
    messages=MESSAGES,
    unusual=HIDDEN | RESERVED,  # RFC 2661 4.1: an AVP with a reserved bit is an unrecognized one
    column=0,
    vendor_types=False,
    hiding_key=lambda secret: secret,
)
V3: Final = Vocabulary(
    known=KNOWN_3,
    messages=MESSAGES_3,
    unusual=HIDDEN,  # RFC 3931 5.1: reserved bits are ignored
    column=1,
    vendor_types=True,  # RFC 3931 5.4.1
    hiding_key=lambda secret: shared_key(secret, HIDING),
)


def _both(version_2: MessageRow, version_3: MessageRow) -> MessageRow:
    return attrs.evolve(version_2, may=version_2.may | version_3.need | version_3.may, where="RFC 3931 4.7.3")


FALLBACK: Final = attrs.evolve(
    V2,
    known=KNOWN_3,
    messages={**MESSAGES, MessageType.SCCRQ: _both(MESSAGES[MessageType.SCCRQ], MESSAGES_3[MessageType.SCCRQ])},
)
"""Version 2 in which an SCCRQ may offer version 3 besides, so that either may be answered (RFC 3931 4.7.3)."""
