"""What L2TPv2 says about a call, message by message (RFC 2661 6.6 to 6.12), and what is learnt from the peer's messages.

The tables and actions know when a message is due. What stands in it depends on the version of the protocol, and a `Speech` is the whole of that
difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import attrs

from l2tpd.config.model import Pseudowire, SessionSettings
from l2tpd.session.call import Call, Kind, clip
from l2tpd.wire.avp import (
    ASSIGNED_SESSION_ID,
    BEARER_TYPE,
    CALL_SERIAL_NUMBER,
    CALLED_NUMBER,
    CALLING_NUMBER,
    FRAMING_TYPE,
    LAST_RECEIVED_LCP_CONFREQ,
    LAST_SENT_LCP_CONFREQ,
    MAXIMUM_BPS,
    MINIMUM_BPS,
    PHYSICAL_CHANNEL_ID,
    PPP_DISCONNECT_CAUSE,
    PRIVATE_GROUP_ID,
    PROXY_AUTHEN_CHALLENGE,
    PROXY_AUTHEN_ID,
    PROXY_AUTHEN_NAME,
    PROXY_AUTHEN_RESPONSE,
    PROXY_AUTHEN_TYPE,
    RESULT_CODE,
    RX_CONNECT_SPEED,
    SEQUENCING_REQUIRED,
    SUB_ADDRESS,
    TX_CONNECT_SPEED,
    Avp,
)
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import BEARERS, FRAMINGS, CallResult, ErrorCode, MessageType
from l2tpd.wire.values import ResultCode

Values = Mapping[Avp[Any], Any]

BEARER_BITS = {**BEARERS, "any": sum(BEARERS.values())}
FRAMING_BITS = {**FRAMINGS, "any": sum(FRAMINGS.values())}

_PROXY: tuple[Avp[Any], ...] = (
    LAST_SENT_LCP_CONFREQ,
    LAST_RECEIVED_LCP_CONFREQ,
    PROXY_AUTHEN_TYPE,
    PROXY_AUTHEN_NAME,
    PROXY_AUTHEN_CHALLENGE,
    PROXY_AUTHEN_ID,
    PROXY_AUTHEN_RESPONSE,
)
"""What PPP may go on from (RFC 2661 4.4.5); of the caller's first wishes there is nothing to make."""

_KINDS = 256  # of settings that are kept: there are few, and many calls


@attrs.frozen(kw_only=True, eq=False)
class Speech:
    """How a version of the protocol speaks of a call."""

    prepare: Callable[[Call, Callable[[int], bytes]], None]  # a new call; the second draws random octets
    says: Mapping[MessageType, Callable[[Call], Values]]  # what we put into a message
    cdn: Callable[[int, int, ResultCode], Values]  # our session id and the peer's, 0 if it is not known
    cause: Callable[[Call], Values]  # what a CDN may say besides, of the end of PPP
    timed_out: CallResult  # of a call that was not up in time
    misplaced: tuple[CallResult, ErrorCode | None]  # of one whose peer said what does not belong there
    peer_id: Callable[[Message], int]  # the sender's session id, 0 where the message has none
    our_id: Callable[[Message], int]  # the recipient's, 0 where the message does not say it
    end_id: Callable[[Message], str]  # to what a call is meant to go, where that is said
    settle: Callable[[Message, SessionSettings], SessionSettings]  # what a request of the peer makes of our settings
    learn: Callable[[Call, Message], None]  # from the message by which the peer asks for a call, or takes ours
    connected: Callable[[Call, Message], None]  # from ICCN or OCCN


def _icrq(call: Call) -> Values:
    """RFC 2661 6.6."""
    asked = call.settings
    values = _opening(call)
    if asked.bearer_type != "any":
        values[BEARER_TYPE] = BEARER_BITS[asked.bearer_type]
    if asked.physical_channel_id is not None:
        values[PHYSICAL_CHANNEL_ID] = asked.physical_channel_id
    return values


def _ocrq(call: Call) -> Values:
    """RFC 2661 6.9."""
    asked = call.settings
    wanted: Values = {
        MINIMUM_BPS: asked.minimum_bps,
        MAXIMUM_BPS: asked.maximum_bps,
        BEARER_TYPE: BEARER_BITS[asked.bearer_type],
        FRAMING_TYPE: FRAMING_BITS[asked.framing_type],
        CALLED_NUMBER: asked.called_number,
    }
    return {**_opening(call), **wanted}


def _accepted(call: Call) -> Values:
    """RFC 2661 6.7, 6.10."""
    return {ASSIGNED_SESSION_ID: call.local_id}


def _connected(call: Call) -> Values:
    """RFC 2661 6.8, 6.11."""
    asked = call.settings
    values: dict[Avp[Any], Any] = {
        TX_CONNECT_SPEED: min(asked.tx_connect_speed, 0xFFFFFFFF),
        FRAMING_TYPE: FRAMING_BITS[asked.framing_type],
    }
    if asked.rx_connect_speed:
        values[RX_CONNECT_SPEED] = min(asked.rx_connect_speed, 0xFFFFFFFF)
    if asked.private_group_id and call.kind is Kind.LAC_INCOMING:
        values[PRIVATE_GROUP_ID] = asked.private_group_id
    if asked.sequencing_required:
        values[SEQUENCING_REQUIRED] = True
    return values


def _cdn(local_id: int, peer_id: int, code: ResultCode) -> Values:
    """RFC 2661 6.12; the Assigned Session ID tells the peer which call even before it knows our id (4.4.4)."""
    del peer_id
    return {RESULT_CODE: code, ASSIGNED_SESSION_ID: local_id}


def _cause(call: Call) -> Values:
    """RFC 3145 2; the message may be a text of the PPP peer's, of any length."""
    cause = call.disconnect
    return {} if cause is None else {PPP_DISCONNECT_CAUSE: attrs.evolve(cause, message=clip(cause.message))}


def _opening(call: Call) -> dict[Avp[Any], Any]:
    asked = call.settings
    optional = {
        CALLED_NUMBER: asked.called_number,
        CALLING_NUMBER: asked.calling_number,
        SUB_ADDRESS: asked.sub_address,
    }
    if call.kind is Kind.LNS_OUTGOING:
        del optional[CALLING_NUMBER]  # RFC 2661 6.9: OCRQ has no Calling Number
    opening: dict[Avp[Any], Any] = {ASSIGNED_SESSION_ID: call.local_id, CALL_SERIAL_NUMBER: call.serial}
    return opening | {avp: value for avp, value in optional.items() if value}


def carrying(settings: SessionSettings, pseudowire: Pseudowire) -> SessionSettings:
    """Return settings with this pseudowire; all calls share them."""
    return settings if settings.pseudowire is pseudowire else _changed(settings, pseudowire)


@lru_cache(maxsize=_KINDS)
def _changed(settings: SessionSettings, pseudowire: Pseudowire) -> SessionSettings:
    return attrs.evolve(settings, pseudowire=pseudowire)


def _settle(said: Message, settings: SessionSettings) -> SessionSettings:
    """RFC 2661 carries PPP and nothing else."""
    del said
    return carrying(settings, Pseudowire.PPP)


def _learn(call: Call, said: Message) -> None:
    call.calling_number = said.get(CALLING_NUMBER) or call.calling_number
    call.called_number = said.get(CALLED_NUMBER) or call.called_number


def _learn_connected(call: Call, said: Message) -> None:
    call.tx_connect_speed = said.get(TX_CONNECT_SPEED) or 0
    call.rx_connect_speed = said.get(RX_CONNECT_SPEED) or 0
    call.sequencing = call.sequencing or SEQUENCING_REQUIRED in said
    call.proxy = {avp: said[avp] for avp in _PROXY if avp in said} or None


def _nothing(call: Call, random: Callable[[int], bytes]) -> None:
    """Version 2 has neither cookies nor sublayers."""
    del call, random


def _configured(call: Call, random: Callable[[int], bytes]) -> None:
    """Take everything from the configuration, which is alike at both ends."""
    del random
    asked = call.settings
    call.peer_id, call.cookie, call.peer_cookie = asked.peer_session_id, asked.cookie, asked.peer_cookie
    call.sublayer = asked.sublayer


V2 = Speech(
    prepare=_nothing,
    says={
        MessageType.ICRQ: _icrq,
        MessageType.ICRP: _accepted,
        MessageType.ICCN: _connected,
        MessageType.OCRQ: _ocrq,
        MessageType.OCRP: _accepted,
        MessageType.OCCN: _connected,
    },
    cdn=_cdn,
    cause=_cause,
    timed_out=CallResult.TIMED_OUT,
    misplaced=(CallResult.ERROR, ErrorCode.VENDOR),  # RFC 2661 4.4.2 has no code for it
    peer_id=lambda said: said.get(ASSIGNED_SESSION_ID) or 0,
    our_id=lambda _said: 0,  # it stands in the header
    end_id=lambda _said: "",
    settle=_settle,
    learn=_learn,
    connected=_learn_connected,
)
FIXED = attrs.evolve(V2, prepare=_configured)  # nothing is said about calls
