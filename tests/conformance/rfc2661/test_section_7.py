"""RFC 2661 section 7: the state tables, row by row, as the RFC prints them.

A row is played by a whole control connection (`statetables`).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dialogue import (
    SECRET,
    THEIRS,
    ZLB,
    Dialogue,
    called,
    cdn,
    dialled,
    iccn,
    icrp,
    icrq,
    incoming,
    occn,
    ocrp,
    ocrq,
    scccn,
    sccrp,
    sccrq,
    stage,
    stopccn,
    unknown,
    up,
    up_called,
)
from l2tpd.config.model import Role, SessionSettings
from l2tpd.session.call import Call, Kind
from l2tpd.session.call import State as CallState
from l2tpd.session.inputs import Input as CallInput
from l2tpd.session.table import TABLES
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import RESULT_CODE
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import ErrorCode, MessageType, StopResult
from l2tpd.wire.values import ProtocolVersion
from statetables import CallRow, Row, arrive, gone, hear, play, rows, sent

BAD_VERSION = ProtocolVersion(2, 0)


# --- 7.2.1 --------------------------------------------------------------------------------------------------------------------


TUNNEL_SCENES: dict[str, Callable[[], Dialogue]] = {
    "idle": lambda: stage(origin="network"),
    "wait-ctl-reply": dialled,
    "wait-ctl-conn": called,
    "wait-ctl-conn, challenged": lambda: called(secret=SECRET),
    "established": up,
}

SEVEN_TWO_ONE = [
    Row("idle", "Local Open request", Dialogue.open, ["SCCRQ"], "wait-ctl-reply"),
    Row("idle", "Receive SCCRQ, acceptable", hear(sccrq()), ["SCCRP"], "wait-ctl-conn"),
    Row("idle", "Receive SCCRQ, not acceptable", hear(sccrq(protocol_version=BAD_VERSION)), ["StopCCN"], "idle"),
    Row("idle", "Receive SCCRP", hear(sccrp()), ["StopCCN"], "idle"),
    Row("idle", "Receive SCCCN", hear(scccn()), [], "idle"),
    Row("wait-ctl-reply", "Receive SCCRP, acceptable", hear(sccrp()), ["SCCCN"], "established"),
    Row(
        "wait-ctl-reply",
        "Receive SCCRP, not acceptable",
        hear(sccrp(protocol_version=BAD_VERSION)),
        ["StopCCN"],
        "idle",
    ),
    Row("wait-ctl-reply", "Receive SCCRQ, lose tie-breaker", lambda say: say.do(say.core.lose_tie), [], "idle"),
    Row("wait-ctl-reply", "Receive SCCCN", hear(scccn()), ["StopCCN"], "idle"),
    Row("wait-ctl-conn", "Receive SCCCN, acceptable", hear(scccn()), [], "established"),
    Row("wait-ctl-conn, challenged", "Receive SCCCN, not acceptable", hear(scccn()), ["StopCCN"], "idle"),
    Row("wait-ctl-conn", "Receive SCCRP", hear(sccrp()), ["StopCCN"], "idle"),
    Row("wait-ctl-conn", "Receive SCCRQ", hear(sccrq()), ["StopCCN"], "idle"),
    Row("established", "Local Open request (new call)", Dialogue.open_session, ["ICRQ"], "established"),
    Row("established", "Admin Tunnel Close", Dialogue.close, ["StopCCN"], "idle"),
    Row("established", "Receive SCCRQ", hear(sccrq()), ["StopCCN"], "idle"),
    Row("established", "Receive SCCRP", hear(sccrp()), ["StopCCN"], "idle"),
    Row("established", "Receive SCCCN", hear(scccn()), ["StopCCN"], "idle"),
    Row("idle", "Receive StopCCN", hear(stopccn()), [], "idle"),
    Row("wait-ctl-reply", "Receive StopCCN", hear(stopccn()), [], "idle"),
    Row("wait-ctl-conn", "Receive StopCCN", hear(stopccn()), [], "idle"),
    Row("established", "Receive StopCCN", hear(stopccn()), [], "idle"),
]


@pytest.mark.parametrize("row", SEVEN_TWO_ONE, ids=lambda row: f"{row.state}: {row.event}")
def test_7_2_1_control_connection_establishment(row: Row) -> None:
    """What the row says is sent, nothing else is, and the new state is the row's."""
    play(row, TUNNEL_SCENES[row.state]())


@pytest.mark.parametrize("state", ["wait-ctl-reply", "wait-ctl-conn"])
def test_7_2_1_tunnel_open_event_to_waiting_sessions(state: str) -> None:
    """Send tunnel-open event to waiting sessions": each sends its request when the tunnel is established."""
    say = TUNNEL_SCENES[state]()
    calls = [say.open_session(), say.open_session(SessionSettings(role=Role.LNS, called_number="1"))]
    say.peer >> (sccrp() if state == "wait-ctl-reply" else scccn())
    names = sent(say)
    for _ in calls:
        say.peer.say(b"")
        names += sent(say)
    assert ["ICRQ", "OCRQ"] == names[-2:]


# --- 7.4, 7.5 -----------------------------------------------------------------------------------------------------------------


LAIC, LNIC, LAOC, LNOC = Kind.LAC_INCOMING, Kind.LNS_INCOMING, Kind.LAC_OUTGOING, Kind.LNS_OUTGOING


SEVEN_FOUR_ONE = [  # LAC Incoming Call States
    *rows(LAIC, "wait-tunnel", "local close", "", "idle"),
    *rows(LAIC, "wait-tunnel", "tunnel-open", "SCCCN ICRQ", "wait-reply"),
    *rows(LAIC, "wait-reply", "ICRP", "ICCN", "established"),
    *rows(LAIC, "wait-reply", "ICRP not acceptable", "CDN", "idle"),
    *rows(LAIC, "wait-reply", "ICRQ", "CDN", "idle"),
    *rows(LAIC, "wait-reply", "CDN, ICCN", "", "idle"),
    *rows(LAIC, "wait-reply", "local close, bearer line drop", "CDN", "idle"),
    *rows(LAIC, "established", "CDN", "", "idle"),
    *rows(LAIC, "established", "ICRQ, ICRP, ICCN", "CDN", "idle"),
    *rows(LAIC, "established", "bearer line drop, local close", "CDN", "idle"),
]
SEVEN_FOUR_TWO = [  # LNS Incoming Call States
    *rows(LNIC, "idle", "ICRQ", "ICRP", "wait-connect"),
    *rows(LNIC, "idle", "ICRQ not acceptable", "CDN", "idle"),
    *rows(LNIC, "idle", "ICRP", "CDN", "idle"),
    *rows(LNIC, "idle", "ICCN", "", "idle"),
    *rows(LNIC, "wait-connect", "ICCN", "", "established"),
    *rows(LNIC, "wait-connect", "ICCN not acceptable", "CDN", "idle"),
    *rows(LNIC, "wait-connect", "ICRQ, ICRP", "CDN", "idle"),
    *rows(LNIC, "idle, wait-connect, established", "CDN", "", "idle"),
    *rows(LNIC, "wait-connect, established", "local close", "CDN", "idle"),
    *rows(LNIC, "established", "ICRQ, ICRP, ICCN", "CDN", "idle"),
]
SEVEN_FIVE_ONE = [  # LAC Outgoing Call States
    *rows(LAOC, "idle", "OCRQ", "OCRP", "wait-cs-answer"),
    *rows(LAOC, "idle", "OCRQ not acceptable", "CDN", "idle"),
    *rows(LAOC, "idle", "OCRP", "CDN", "idle"),
    *rows(LAOC, "idle", "OCCN, CDN", "", "idle"),
    *rows(LAOC, "wait-cs-answer", "bearer answer", "OCCN", "established"),
    *rows(LAOC, "wait-cs-answer", "bearer failure", "CDN", "idle"),
    *rows(LAOC, "wait-cs-answer", "OCRQ, OCRP, OCCN", "CDN", "idle"),
    *rows(LAOC, "established", "OCRQ, OCRP, OCCN", "CDN", "idle"),
    *rows(LAOC, "wait-cs-answer, established", "CDN", "", "idle"),
    *rows(LAOC, "established", "bearer line drop, local close", "CDN", "idle"),
]
SEVEN_FIVE_TWO = [  # LNS Outgoing Call States
    *rows(LNOC, "wait-tunnel", "tunnel-open", "SCCCN OCRQ", "wait-reply"),
    *rows(LNOC, "wait-reply", "OCRP", "", "wait-connect"),
    *rows(LNOC, "wait-reply", "OCRP not acceptable", "CDN", "idle"),
    *rows(LNOC, "wait-reply", "OCCN, OCRQ", "CDN", "idle"),
    *rows(LNOC, "wait-connect", "OCCN", "", "established"),
    *rows(LNOC, "wait-connect", "OCRQ, OCRP", "CDN", "idle"),
    *rows(LNOC, "wait-reply, wait-connect, established", "CDN", "", "idle"),
    *rows(LNOC, "established", "OCRQ, OCRP, OCCN", "CDN", "idle"),
    *rows(LNOC, "wait-reply, wait-connect, established", "local close", "CDN", "idle"),
    *rows(LNOC, "wait-tunnel", "local close", "", "idle"),
]

MESSAGES: dict[str, Callable[[], Message]] = {
    "ICRQ": icrq,
    "ICRP": icrp,
    "ICCN": iccn,
    "OCRQ": ocrq,
    "OCRP": ocrp,
    "OCCN": occn,
    "CDN": cdn,
    "ICRQ not acceptable": lambda: icrq(500, unknown(mandatory=True)),
    "ICRP not acceptable": lambda: icrp(500, unknown(mandatory=True)),
    "ICCN not acceptable": lambda: iccn(unknown(mandatory=True)),
    "OCRQ not acceptable": lambda: ocrq(500, unknown(mandatory=True)),
    "OCRP not acceptable": lambda: ocrp(500, unknown(mandatory=True)),
}


def scene(kind: Kind, state: str) -> tuple[Dialogue, Call | None]:
    """Bring a call of this kind to this state, and the tunnel to where it leaves the call."""
    settings = SessionSettings(role=Role.LNS if kind is LNOC else Role.LAC, called_number="1")
    if state == "wait-tunnel":
        say = dialled()
        return say, say.open_session(settings)
    if state == "idle":
        return up_called(late=kind is LAOC), None
    call: Call
    if kind in {LAIC, LNOC}:
        say = up()
        call = say.open_session(settings)
        steps = [icrp()] if kind is LAIC else [ocrp(), occn()]
    else:
        say = up_called(late=kind is LAOC)
        say.peer >> (icrq() if kind is LNIC else ocrq())
        (call,) = say.core.calls.values()
        steps = [iccn()] if kind is LNIC else []
    while call.state.value != state and steps:
        say.peer.say(steps.pop(0), session_id=call.local_id)
    arrive(call, state, say)
    return say, call


def happen(say: Dialogue, call: Call | None, event: str) -> None:
    if event in MESSAGES:
        say.peer.say(MESSAGES[event](), session_id=call.local_id if call else 0)
    elif event == "tunnel-open":
        say.peer >> sccrp()
        say.peer.say(b"")
    elif event == "bearer answer":
        assert call is not None
        say.plane_up(call)
    elif event in {"bearer failure", "bearer line drop"}:
        assert call is not None
        say.plane_failed(call.local_id)
    else:
        assert event == "local close"
        assert call is not None
        say.do(say.core.close_session, call.local_id)


@pytest.mark.parametrize(
    "row",
    [*SEVEN_FOUR_ONE, *SEVEN_FOUR_TWO, *SEVEN_FIVE_ONE, *SEVEN_FIVE_TWO],
    ids=lambda row: f"{row.kind.value} {row.state}: {row.event}",
)
def test_7_4_and_7_5_calls(row: CallRow) -> None:
    """What the row says is sent, nothing else is, and the new state is the row's."""
    say, call = scene(row.kind, row.state)
    happen(say, call, row.event)
    assert row.sends == sent(say)
    if row.new == "idle":
        gone(say, call)
    else:
        (there,) = say.core.calls.values()
        assert (row.kind, row.new) == (there.kind, there.state.value)
    assert say.core.state is (
        State.ESTABLISHED if row.state != "wait-tunnel" or row.event == "tunnel-open" else State.WAIT_CTL_REPLY
    )


@pytest.mark.parametrize(
    ("kind", "name"), [(LAIC, "ICCN"), (LAIC, "ICRP"), (LAIC, "CDN"), (LNOC, "OCCN"), (LNOC, "OCRP"), (LNOC, "CDN")]
)
def test_7_4_1_and_7_5_2_idle_cleans_up(kind: Kind, name: str) -> None:
    """In idle the caller's tables clean up without a CDN. No call is ever found in idle by a message, so the table alone can tell."""
    action = TABLES[kind][CallState.IDLE, CallInput[name]].action
    assert "ignore" == action.__name__


def test_7_4_1_and_7_5_2_idle_to_wait_tunnel() -> None:
    """A call that is asked for while there is no tunnel waits for it ("Initiate local tunnel open")."""
    for settings in (SessionSettings(), SessionSettings(role=Role.LNS)):
        say = dialled()
        call = say.open_session(settings)
        assert "wait-tunnel" == call.state.value


# --- 7.1 ----------------------------------------------------------------------------------------------------------------------


def test_7_1_a_message_in_an_improper_sequence_clears_the_connection() -> None:
    """e.g. an SCCCN sent in reply to an SCCRQ": StopCCN, finite state machine error."""
    say = dialled()
    say.peer >> scccn()
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert StopResult.FSM_ERROR == stopped.said[RESULT_CODE].result


def test_7_1_an_unknown_mandatory_message_type_clears_the_connection() -> None:
    """a Message Type that is marked mandatory and is unknown"."""
    say = up()
    say.peer >> bytes.fromhex("8008 0000 0000 0bad")
    assert ["StopCCN"] == sent(say)


def test_7_1_a_control_message_with_a_malformed_header_should_be_discarded() -> None:
    """Neither answered nor acted upon."""
    say = up()
    say.core.receive_datagram(bytes.fromhex("c802 ffff 0007 0000 0002 0002"), say.core.peer, 0.0)
    say.settle()
    say.silent()
    say.state_is(State.ESTABLISHED)


def test_7_1_a_malformed_avp_with_the_m_bit_terminates_the_session_or_tunnel() -> None:
    """the session or tunnel should be terminated with a proper Result or Error Code sent"."""
    say = up_called()
    say.peer >> bytes.fromhex("8008 0000 0000 000a 8008 0000 000e 01f4 8008 0000 000f 0001")
    ended = say.us << MessageType.CDN
    assert ended.said is not None
    assert (2, ErrorCode.BAD_LENGTH) == (ended.said[RESULT_CODE].result, ended.said[RESULT_CODE].error)
    dialling = dialled()
    window = bytes.fromhex("8007 0000 000a 00")  # 1 octet
    dialling.peer >> dialling.peer.body(sccrp(receive_window_size=None)) + window
    stopped = dialling.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert (2, ErrorCode.BAD_LENGTH) == (stopped.said[RESULT_CODE].result, stopped.said[RESULT_CODE].error)


def test_7_1_a_malformed_message_that_ends_something_is_obeyed() -> None:
    """The session or tunnel "should be terminated", and the peer has done that: there is nobody left to send a code to."""
    say = up_called()
    call = incoming(say)
    say.peer.say(bytes.fromhex("8008 0000 0000 000e 8007 0000 0001 00 8008 0000 000e 01f4"), session_id=call.local_id)
    say.us << ZLB
    say.state_is(CallState.IDLE, call)
    say.peer >> bytes.fromhex("8008 0000 0000 0004 8008 0000 0009 0009 8006 0000 0001")
    say.us << ZLB
    say.state_is(State.LINGERING)


def test_7_1_a_malformed_avp_without_the_m_bit_is_ignored() -> None:
    """the Rx Connect Speed AVP received with a length of 8 rather than 10": "accepted as if the AVP had not been received"."""
    say, call = scene(LNIC, "wait-connect")
    assert call is not None
    body = say.peer.body(iccn()) + bytes.fromhex("0008 0000 0026 0100")
    say.peer.say(body, session_id=call.local_id)
    say.us << ZLB
    assert (CallState.ESTABLISHED, 0) == (call.state, call.rx_connect_speed)


def test_7_1_a_missing_required_avp_is_malformed() -> None:
    """a message that is missing a required AVP": an SCCRP without Host Name clears the connection, addressed to the id that it did tell."""
    say = dialled()
    whole = say.peer.body(sccrp())
    name = bytes.fromhex("800a 0000 0007") + b"peer"
    assert name in whole
    say.peer >> whole.replace(name, b"")
    stopped = say.us << MessageType.STOPCCN
    assert THEIRS == stopped.tunnel_id


def test_7_1_the_reliable_delivery_runs_before_the_tunnel_is_destroyed() -> None:
    """regardless of the initiator of the tunnel destruction, the reliable delivery mechanism must be allowed to run"."""
    say = up()
    say.peer.deaf = True
    say.close()
    say.at(20.0)
    assert ["StopCCN"] * 5 == sent(say)
    say.state_is(State.CLOSING)


def test_7_2_1_an_unsupported_earlier_version_must_be_stopped() -> None:
    """If the version is earlier and not supported, a StopCCN MUST be sent to the peer"."""
    say = dialled()
    say.peer >> sccrp(protocol_version=ProtocolVersion(0, 0))
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert StopResult.BAD_VERSION == stopped.said[RESULT_CODE].result


def test_7_6_the_sender_waits_a_finite_time_for_the_acknowledgement() -> None:
    """should wait a finite period of time for the acknowledgment of this message before releasing the control information"."""
    say = up()
    say.peer.deaf = True
    say.close()
    say.at(31.0)
    say.skip()
    say.state_is(State.CLOSED)


def test_7_6_a_tunnel_without_calls_may_stay_open() -> None:
    """Some implementations may leave a tunnel open for a period of time or perhaps indefinitely": the default."""
    say = up(hello_timeout=0.0)
    say.at(100_000.0)
    say.silent()
    say.state_is(State.ESTABLISHED)


def test_6_5_messages_of_the_tunnel_have_session_id_0() -> None:
    """6.5 for HELLO, 3.1 for the rest."""
    say = up()
    say.do(say.core.probe)
    say.peer >> message(MessageType.HELLO)
    say.close()
    assert {0} == {heard.session_id for heard in say.skip()}
