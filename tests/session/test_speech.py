"""What version 2 says and learns of PPP: what a LAC has negotiated in our place, and why PPP ended."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from dialogue import ZLB, Dialogue, Heard, cdn, icrq, incoming, up
from l2tpd.events import SessionEvent, What
from l2tpd.session.call import Call
from l2tpd.wire.avp import (
    ASSIGNED_SESSION_ID,
    FRAMING_TYPE,
    LAST_RECEIVED_LCP_CONFREQ,
    LAST_SENT_LCP_CONFREQ,
    PPP_DISCONNECT_CAUSE,
    PROXY_AUTHEN_CHALLENGE,
    PROXY_AUTHEN_ID,
    PROXY_AUTHEN_NAME,
    PROXY_AUTHEN_RESPONSE,
    PROXY_AUTHEN_TYPE,
    RESULT_CODE,
    TX_CONNECT_SPEED,
    Avp,
)
from l2tpd.wire.messages import message
from l2tpd.wire.numbers import CallResult, MessageType
from l2tpd.wire.values import DisconnectCause, ResultCode

REPORT: dict[Avp[Any], Any] = {
    LAST_SENT_LCP_CONFREQ: b"\x03\x05\xc2\x23\x05",
    LAST_RECEIVED_LCP_CONFREQ: b"\x05\x06\x01\x02\x03\x04",
    PROXY_AUTHEN_TYPE: 2,
    PROXY_AUTHEN_NAME: "joe",
    PROXY_AUTHEN_CHALLENGE: b"challenge",
    PROXY_AUTHEN_ID: 7,
    PROXY_AUTHEN_RESPONSE: bytes(16),
}
CAUSE = DisconnectCause(16, 0xC223, 1, "wrong password")


def word(heard: Heard, avp: Avp[Any]) -> Any:
    """Return what a message says of an AVP, None: nothing."""
    assert heard.said is not None
    return heard.said.get(avp)


def events(say: Dialogue) -> list[SessionEvent]:
    return [event for event in say.events if isinstance(event, SessionEvent) and event.what is What.DOWN]


def test_the_report_of_a_lac_is_kept_for_ppp() -> None:
    """Of the AVPs of RFC 2661 4.4.5 in an ICCN, those that PPP may go on from."""
    say = up()
    say.peer >> icrq()
    (call,) = say.core.calls.values()
    say.plane_up(call)
    reply = say.us << MessageType.ICRP
    connected = message(MessageType.ICCN, {TX_CONNECT_SPEED: 9600, FRAMING_TYPE: 1, **REPORT})
    say.peer.say(connected, session_id=word(reply, ASSIGNED_SESSION_ID))
    say.us << ZLB
    assert REPORT == call.proxy
    assert "challenge" not in repr(call)


def test_a_lac_that_reports_nothing() -> None:
    """Which is what most do."""
    assert incoming(up()).proxy is None


def test_the_cause_of_the_end_stands_in_our_cdn() -> None:
    """RFC 3145 2: beside the Result Code, and in the event."""
    say = up()
    call = incoming(say)
    call.disconnect = CAUSE
    say.do(say.core.close_session, call.local_id, text="refused", result=CallResult.ADMIN)
    heard = say.us << MessageType.CDN
    assert CAUSE == word(heard, PPP_DISCONNECT_CAUSE)
    (down,) = events(say)
    assert "auth failed (16), protocol 0xc223, on the peer's side: wrong password" == down.ppp_cause


def test_a_cause_of_any_length_fits_into_our_cdn() -> None:
    """The words may be those of the PPP peer, who can send more of them than an AVP holds."""
    say = up()
    call = incoming(say)
    call.disconnect = attrs.evolve(CAUSE, message="x" * 1400)
    say.do(say.core.close_session, call.local_id, text="refused", result=CallResult.ADMIN)
    heard = say.us << MessageType.CDN
    assert attrs.evolve(CAUSE, message="x" * 500) == word(heard, PPP_DISCONNECT_CAUSE)


def test_a_call_whose_ppp_did_not_end_has_no_cause() -> None:
    """Neither in the CDN nor in the event."""
    say = up()
    call = incoming(say)
    say.do(say.core.close_session, call.local_id, text="enough")
    heard = say.us << MessageType.CDN
    assert word(heard, PPP_DISCONNECT_CAUSE) is None
    assert [""] == [event.ppp_cause for event in events(say)]


@pytest.mark.parametrize("direction", [1, 2])
def test_the_cause_in_the_peers_cdn_is_learnt(direction: int) -> None:
    """Its sides are those of the peer."""
    say = up()
    call = incoming(say)
    values: dict[Avp[Any], Any] = {
        RESULT_CODE: ResultCode(CallResult.LOST_CARRIER),
        ASSIGNED_SESSION_ID: 500,
        PPP_DISCONNECT_CAUSE: attrs.evolve(CAUSE, direction=direction),
    }
    say.peer.say(message(MessageType.CDN, values), session_id=call.local_id)
    say.us << ZLB
    (down,) = events(say)
    side = "our" if direction == 1 else "the peer's"
    assert f"auth failed (16), protocol 0xc223, on {side} side: wrong password" == down.ppp_cause


def test_who_was_there_is_told_at_the_end() -> None:
    """User and addresses of PPP, as long as anything is told of the session."""
    say = up()
    call = incoming(say)
    call.ppp_user, call.ppp_local, call.ppp_remote = "alice", "10.0.0.1", "10.0.0.2"
    say.peer.say(cdn(), session_id=call.local_id)
    say.us << ZLB
    (down,) = events(say)
    assert ("alice", "10.0.0.1", "10.0.0.2") == (down.ppp_user, down.ppp_local, down.ppp_remote)


def test_a_cdn_of_the_peer_without_a_cause() -> None:
    """What we thought of it ourselves is not the peer's word."""
    say = up()
    call: Call = incoming(say)
    call.disconnect = CAUSE
    say.peer.say(cdn(), session_id=call.local_id)
    say.us << ZLB
    assert [""] == [event.ppp_cause for event in events(say)]
