"""What L2TPv3 says about a session, message by message (RFC 3931 6.6 to 6.14), and what is learnt from the peer's messages.

The sublayer. Each side may want another L2-specific sublayer on what it receives (5.4.4), but a session of the Linux kernel has one for both directions.
So whoever is asked takes what the other side asks for, and whoever asked takes over what the answer says, and repeats it in its ICCN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from l2tpd.config.model import Pseudowire, SessionSettings, Sublayer
from l2tpd.errors import RemoteProtocolError
from l2tpd.session.call import ACTIVE, NEW, Call
from l2tpd.session.speech import Speech, Values, carrying
from l2tpd.wire.avp import (
    ASSIGNED_COOKIE,
    CALL_SERIAL_NUMBER,
    CIRCUIT_STATUS,
    DATA_SEQUENCING,
    L2_SPECIFIC_SUBLAYER,
    LOCAL_SESSION_ID,
    PHYSICAL_CHANNEL_ID,
    PSEUDOWIRE_TYPE,
    REMOTE_END_ID,
    REMOTE_SESSION_ID,
    RESULT_CODE,
    RX_CONNECT_SPEED_BPS,
    TIE_BREAKER,
    TX_CONNECT_SPEED_BPS,
    Avp,
)
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import (
    CallResult,
    ErrorCode,
    MessageType,
    PseudowireType,
    SequencingLevel,
    SublayerType,
)
from l2tpd.wire.values import ResultCode

PSEUDOWIRES: Mapping[Pseudowire, PseudowireType] = {
    Pseudowire.PPP: PseudowireType.PPP,
    Pseudowire.ETH: PseudowireType.ETHERNET,
    Pseudowire.ETH_VLAN: PseudowireType.ETHERNET_VLAN,
}
BY_TYPE: Mapping[int, Pseudowire] = {int(number): word for word, number in PSEUDOWIRES.items()}
_SUBLAYERS: Mapping[Sublayer, int] = {
    Sublayer.NONE: int(SublayerType.NONE),
    Sublayer.DEFAULT: int(SublayerType.DEFAULT),
}
_BY_SUBLAYER: Mapping[int, Sublayer] = {number: word for word, number in _SUBLAYERS.items()}


def circuit_status(call: Call, *, new: bool = False) -> int:
    """Return our Circuit Status (RFC 3931 5.4.5)."""
    return ACTIVE * call.active | NEW * new


def circuit_report(call: Call) -> Values:
    """RFC 3931 6.14, Set-Link-Info."""
    return {
        LOCAL_SESSION_ID: call.local_id,
        REMOTE_SESSION_ID: call.peer_id,
        CIRCUIT_STATUS: circuit_status(call),
    }


def _request(call: Call) -> Values:
    """RFC 3931 6.9, and 6.6 but for the channel."""
    values: dict[Avp[Any], Any] = {
        LOCAL_SESSION_ID: call.local_id,
        REMOTE_SESSION_ID: call.peer_id,  # 0: the peer has named none yet (5.4.4)
        CALL_SERIAL_NUMBER: call.serial,
        PSEUDOWIRE_TYPE: int(PSEUDOWIRES[call.settings.pseudowire]),
        REMOTE_END_ID: call.end_id,
        CIRCUIT_STATUS: circuit_status(call, new=True),
        **_cookie(call),
        **_data(call),
        **_speeds(call),
    }
    if call.tie_breaker is not None:
        values[TIE_BREAKER] = call.tie_breaker
    return values


def _icrq(call: Call) -> Values:
    """RFC 3931 6.6."""
    return {**_request(call), **_channel(call)}


def _accepted(call: Call) -> Values:
    """RFC 3931 6.7, 6.10."""
    return {
        LOCAL_SESSION_ID: call.local_id,
        REMOTE_SESSION_ID: call.peer_id,
        CIRCUIT_STATUS: circuit_status(call, new=True),
        **_cookie(call),
        **_data(call),
        **_speeds(call),
        **_channel(call),
    }


def _connected(call: Call) -> Values:
    """RFC 3931 6.8, 6.11."""
    return {LOCAL_SESSION_ID: call.local_id, REMOTE_SESSION_ID: call.peer_id, **_data(call)}


def _cookie(call: Call) -> dict[Avp[Any], Any]:
    return {ASSIGNED_COOKIE: call.cookie} if call.cookie else {}


def _data(call: Call) -> dict[Avp[Any], Any]:
    """Return what the peer has to put into its data packets besides the cookie, of which ICCN and OCCN do not speak."""
    values: dict[Avp[Any], Any] = {L2_SPECIFIC_SUBLAYER: _SUBLAYERS[call.sublayer]}
    if call.settings.sequencing_required:
        values[DATA_SEQUENCING] = int(SequencingLevel.ALL)
    return values


def _speeds(call: Call) -> dict[Avp[Any], Any]:
    asked = call.settings
    speeds: dict[Avp[Any], Any] = {TX_CONNECT_SPEED_BPS: asked.tx_connect_speed}
    if asked.rx_connect_speed:
        speeds[RX_CONNECT_SPEED_BPS] = asked.rx_connect_speed
    return speeds


def _channel(call: Call) -> dict[Avp[Any], Any]:
    number = call.settings.physical_channel_id
    return {} if number is None else {PHYSICAL_CHANNEL_ID: number}


def _cdn(local_id: int, peer_id: int, code: ResultCode) -> Values:
    """RFC 3931 6.12."""
    return {RESULT_CODE: code, LOCAL_SESSION_ID: local_id, REMOTE_SESSION_ID: peer_id}


def _settle(said: Message, settings: SessionSettings) -> SessionSettings:
    """Take the pseudowire that is asked for. Raises `RemoteProtocolError` where we cannot carry it (5.4.4, Pseudowire Type)."""
    wanted = BY_TYPE.get(said[PSEUDOWIRE_TYPE])
    if wanted is None:
        text = f"pseudowire type {said[PSEUDOWIRE_TYPE]} is not carried here"
        raise RemoteProtocolError(CallResult.BAD_PSEUDOWIRE_TYPE, ErrorCode.NONE, text)
    if wanted is Pseudowire.ETH_VLAN and not settings.vlan_id:
        raise RemoteProtocolError(CallResult.NO_FACILITIES_PERMANENT, ErrorCode.NONE, "no VLAN is configured for it")
    return carrying(settings, wanted)


def _learn(call: Call, said: Message) -> None:
    """Take what ICRQ, ICRP, OCRQ or OCRP says of the packets that its sender wants. Raises `RemoteProtocolError` with CDN codes."""
    call.peer_cookie = said.get(ASSIGNED_COOKIE) or b""
    _learn_data(call, said)
    call.circuit = said.get(CIRCUIT_STATUS)
    call.tx_connect_speed = said.get(TX_CONNECT_SPEED_BPS) or call.tx_connect_speed
    call.rx_connect_speed = said.get(RX_CONNECT_SPEED_BPS) or call.rx_connect_speed
    if not call.kind.ours:
        call.end_id = said.get(REMOTE_END_ID) or call.end_id


def _learn_connected(call: Call, said: Message) -> None:
    """Take what ICCN or OCCN adds; what they leave out stays as it was said before. Raises `RemoteProtocolError` with CDN codes.

    The data plane carries the sublayer that was settled before, and cannot change it.
    """
    sublayer: int | None = said.get(L2_SPECIFIC_SUBLAYER)
    numbers = call.sequencing if DATA_SEQUENCING not in said else bool(said[DATA_SEQUENCING])
    _check_numbers(call, numbers, _SUBLAYERS[call.sublayer] if sublayer is None else sublayer)
    if sublayer is not None and sublayer != _SUBLAYERS[call.sublayer]:
        raise RemoteProtocolError(CallResult.ERROR, ErrorCode.BAD_VALUE, "another L2-specific sublayer than before")
    call.sequencing = call.settings.sequencing_required or numbers
    call.tx_connect_speed = said.get(TX_CONNECT_SPEED_BPS) or call.tx_connect_speed
    call.rx_connect_speed = said.get(RX_CONNECT_SPEED_BPS) or call.rx_connect_speed
    if CIRCUIT_STATUS in said:
        call.circuit = said[CIRCUIT_STATUS]


def _learn_data(call: Call, said: Message) -> None:
    sublayer: int = said.get(L2_SPECIFIC_SUBLAYER) or 0
    if sublayer not in _BY_SUBLAYER:
        raise RemoteProtocolError(
            CallResult.ERROR, ErrorCode.BAD_VALUE, f"L2-specific sublayer {sublayer} is not known"
        )
    wanted = (said.get(DATA_SEQUENCING) or 0) > 0
    _check_numbers(call, wanted, sublayer)
    call.sublayer = _BY_SUBLAYER[sublayer]
    call.sequencing = call.settings.sequencing_required or wanted


def _check_numbers(call: Call, wanted: bool, sublayer: int) -> None:
    """Refuse to number packets that have no place for numbers (5.4.4, Data Sequencing). Raises `RemoteProtocolError`."""
    if (wanted or call.settings.sequencing_required) and not sublayer:
        raise RemoteProtocolError(CallResult.NO_SEQUENCING_SUBLAYER, ErrorCode.NONE, "numbers travel in the sublayer")


def _prepare(call: Call, random: Callable[[int], bytes]) -> None:
    """Choose what the peer's packets have to look like."""
    asked = call.settings
    call.cookie, call.sublayer = random(asked.cookie_size), asked.sublayer
    call.end_id = asked.remote_end_id or call.name
    call.tie_breaker = int.from_bytes(random(8), "big") if call.kind.ours else None


V3 = Speech(
    prepare=_prepare,
    says={
        MessageType.ICRQ: _icrq,
        MessageType.ICRP: _accepted,
        MessageType.ICCN: _connected,
        MessageType.OCRQ: _request,
        MessageType.OCRP: _accepted,
        MessageType.OCCN: _connected,
        MessageType.SLI: circuit_report,
    },
    cdn=_cdn,
    cause=lambda _call: {},  # RFC 3145 knows the CDN of version 2 alone
    timed_out=CallResult.FSM_ERROR,  # RFC 3931 5.4.2: "Finite state machine error or timeout"; 10 is not among its codes
    misplaced=(CallResult.FSM_ERROR, None),
    peer_id=lambda said: said.get(LOCAL_SESSION_ID) or 0,
    our_id=lambda said: said.get(REMOTE_SESSION_ID) or 0,
    end_id=lambda said: said.get(REMOTE_END_ID) or "",
    settle=_settle,
    learn=_learn,
    connected=_learn_connected,
)
