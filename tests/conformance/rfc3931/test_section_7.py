"""RFC 3931 section 7: the state tables, row by row, as the RFC prints them.

A row is played by a whole control connection (`statetables`). Ties between two connections are settled where requests arrive, and are shown in
`test_section_5_4_3.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dialogue import ZLB, Dialogue, stage, unknown
from dialogue3 import (
    called3,
    cdn3,
    dialled3,
    hello3,
    iccn3,
    icrp3,
    icrq3,
    incoming3,
    occn3,
    ocrp3,
    ocrq3,
    scccn3,
    sccrp3,
    sccrq3,
    stopccn3,
    up3,
    up_called3,
)
from l2tpd.config.model import Role, SessionSettings
from l2tpd.session.call import Call, Kind
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.dialect import V3
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import RESULT_CODE
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import ErrorCode, MessageType, StopResult
from statetables import CallRow, Row, arrive, gone, hear, play, rows, sent

UNFIT = unknown(mandatory=True)


# --- 7.2 ----------------------------------------------------------------------------------------------------------------------


SCENES: dict[str, Callable[[], Dialogue]] = {
    "idle": lambda: stage(dialect=V3, origin="network"),
    "wait-ctl-reply": dialled3,
    "wait-ctl-conn": called3,
    "established": up3,
}

SEVEN_TWO = [
    Row("idle", "Local open request", Dialogue.open, ["SCCRQ"], "wait-ctl-reply"),
    Row("idle", "Receive SCCRQ, acceptable", hear(sccrq3()), ["SCCRP"], "wait-ctl-conn"),
    Row("idle", "Receive SCCRQ, not acceptable", hear(sccrq3(UNFIT)), ["StopCCN"], "idle"),
    Row("idle", "Receive SCCRP", hear(sccrp3()), ["StopCCN"], "idle"),
    Row("wait-ctl-reply", "Receive SCCRP, acceptable", hear(sccrp3()), ["SCCCN"], "established"),
    Row("wait-ctl-reply", "Receive SCCRP, not acceptable", hear(sccrp3(UNFIT)), ["StopCCN"], "idle"),
    Row("wait-ctl-reply", "lose tie breaker", lambda say: say.do(say.core.lose_tie), [], "idle"),
    Row("wait-ctl-reply", "Receive SCCCN", hear(scccn3()), ["StopCCN"], "idle"),
    Row("wait-ctl-conn", "Receive SCCCN, acceptable", hear(scccn3()), [], "established"),
    Row("wait-ctl-conn", "Receive SCCCN, not acceptable", hear(scccn3(UNFIT)), ["StopCCN"], "idle"),
    Row("wait-ctl-conn", "Receive SCCRQ", hear(sccrq3()), ["StopCCN"], "idle"),
    Row("wait-ctl-conn", "Receive SCCRP", hear(sccrp3()), ["StopCCN"], "idle"),
    Row("established", "Local open request (new call)", Dialogue.open_session, ["ICRQ"], "established"),
    Row("established", "Administrative control-conn close", Dialogue.close, ["StopCCN"], "idle"),
    Row("established", "Receive SCCRQ", hear(sccrq3()), ["StopCCN"], "idle"),
    Row("established", "Receive SCCRP", hear(sccrp3()), ["StopCCN"], "idle"),
    Row("established", "Receive SCCCN", hear(scccn3()), ["StopCCN"], "idle"),
    Row("idle", "Receive StopCCN", hear(stopccn3()), [], "idle"),
    Row("wait-ctl-reply", "Receive StopCCN", hear(stopccn3()), [], "idle"),
    Row("wait-ctl-conn", "Receive StopCCN", hear(stopccn3()), [], "idle"),
    Row("established", "Receive StopCCN", hear(stopccn3()), [], "idle"),
]


@pytest.mark.parametrize("row", SEVEN_TWO, ids=lambda row: f"{row.state}: {row.event}")
def test_7_2_control_connection(row: Row) -> None:
    """What the row says is sent, nothing else is, and the new state is the row's."""
    play(row, SCENES[row.state]())


@pytest.mark.parametrize("state", ["wait-ctl-reply", "wait-ctl-conn"])
def test_7_2_control_conn_open_event_to_waiting_sessions(state: str) -> None:
    """Send control-conn open event to waiting sessions": each sends its request when the connection is established."""
    say = SCENES[state]()
    calls = [say.open_session(), say.open_session(SessionSettings(role=Role.LNS, called_number="1"))]
    say.peer >> (sccrp3() if state == "wait-ctl-reply" else scccn3())
    names = sent(say)
    for _ in calls:
        say.peer >> ZLB
        names += sent(say)
    assert ["ICRQ", "OCRQ"] == names[-2:]


# --- 7.3, 7.4 -----------------------------------------------------------------------------------------------------------------


ICRQ_SENDER, ICRQ_RECIPIENT = Kind.LAC_INCOMING, Kind.LNS_INCOMING
OCRQ_SENDER, OCRQ_RECIPIENT = Kind.LNS_OUTGOING, Kind.LAC_OUTGOING
OURS = {ICRQ_SENDER, OCRQ_SENDER}


SEVEN_THREE_ONE = [
    *rows(ICRQ_SENDER, "idle", "ICCN, CDN", "", "idle"),
    *rows(ICRQ_SENDER, "wait-tunnel", "local close", "", "idle"),
    *rows(ICRQ_SENDER, "wait-tunnel", "control-conn-open", "SCCCN ICRQ", "wait-reply"),
    *rows(ICRQ_SENDER, "wait-reply", "ICRP", "ICCN", "established"),
    *rows(ICRQ_SENDER, "wait-reply", "ICRP not acceptable", "CDN", "idle"),
    *rows(ICRQ_SENDER, "wait-reply", "ICRQ wins tie", "ICRP", "wait-connect"),
    *rows(ICRQ_SENDER, "wait-reply", "ICRQ loses tie", "CDN", "wait-reply"),
    *rows(ICRQ_SENDER, "wait-reply", "CDN, ICCN", "", "idle"),
    *rows(ICRQ_SENDER, "wait-reply", "local close, bearer line drop", "CDN", "idle"),
    *rows(ICRQ_SENDER, "established", "CDN", "", "idle"),
    *rows(ICRQ_SENDER, "established", "ICRQ, ICRP, ICCN", "CDN", "idle"),
    *rows(ICRQ_SENDER, "established", "local close, bearer line drop", "CDN", "idle"),
]
SEVEN_THREE_TWO = [
    *rows(ICRQ_RECIPIENT, "idle", "ICRQ", "ICRP", "wait-connect"),
    *rows(ICRQ_RECIPIENT, "idle", "ICRQ not acceptable", "CDN", "idle"),
    *rows(ICRQ_RECIPIENT, "idle", "ICRP", "CDN", "idle"),
    *rows(ICRQ_RECIPIENT, "idle", "ICCN", "", "idle"),
    *rows(ICRQ_RECIPIENT, "wait-connect", "ICCN", "", "established"),
    *rows(ICRQ_RECIPIENT, "wait-connect", "ICCN not acceptable", "CDN", "idle"),
    *rows(ICRQ_RECIPIENT, "wait-connect", "ICRQ, ICRP", "CDN", "idle"),
    *rows(ICRQ_RECIPIENT, "idle, wait-connect, established", "CDN", "", "idle"),
    *rows(ICRQ_RECIPIENT, "wait-connect, established", "local close", "CDN", "idle"),
    *rows(ICRQ_RECIPIENT, "established", "ICRQ, ICRP, ICCN", "CDN", "idle"),
]
SEVEN_FOUR_ONE = [
    *rows(OCRQ_SENDER, "idle", "OCCN, CDN", "", "idle"),
    *rows(OCRQ_SENDER, "wait-tunnel", "control-conn-open", "SCCCN OCRQ", "wait-reply"),
    *rows(OCRQ_SENDER, "wait-reply", "OCRP", "", "wait-connect"),
    *rows(OCRQ_SENDER, "wait-reply", "OCRP not acceptable, OCCN", "CDN", "idle"),
    *rows(OCRQ_SENDER, "wait-reply", "OCRQ wins tie", "OCRP OCCN", "established"),
    *rows(OCRQ_SENDER, "wait-reply", "OCRQ loses tie", "CDN", "wait-reply"),
    *rows(OCRQ_SENDER, "wait-connect", "OCCN", "", "established"),
    *rows(OCRQ_SENDER, "wait-connect", "OCRQ, OCRP", "CDN", "idle"),
    *rows(OCRQ_SENDER, "wait-reply, wait-connect, established", "CDN", "", "idle"),
    *rows(OCRQ_SENDER, "established", "OCRQ, OCRP, OCCN", "CDN", "idle"),
    *rows(OCRQ_SENDER, "wait-reply, wait-connect, established", "local close", "CDN", "idle"),
    *rows(OCRQ_SENDER, "wait-tunnel", "local close", "", "idle"),
]
SEVEN_FOUR_TWO = [
    *rows(OCRQ_RECIPIENT, "idle", "OCRQ", "OCRP", "wait-cs-answer"),
    *rows(OCRQ_RECIPIENT, "idle", "OCRQ not acceptable, OCRP", "CDN", "idle"),
    *rows(OCRQ_RECIPIENT, "idle", "OCCN, CDN", "", "idle"),
    *rows(OCRQ_RECIPIENT, "wait-cs-answer", "call placement successful", "OCCN", "established"),
    *rows(OCRQ_RECIPIENT, "wait-cs-answer", "call placement failed", "CDN", "idle"),
    *rows(OCRQ_RECIPIENT, "wait-cs-answer, established", "OCRQ, OCRP, OCCN", "CDN", "idle"),
    *rows(OCRQ_RECIPIENT, "wait-cs-answer, established", "CDN", "", "idle"),
    *rows(OCRQ_RECIPIENT, "wait-cs-answer, established", "local close", "CDN", "idle"),
    *rows(OCRQ_RECIPIENT, "established", "bearer line drop", "CDN", "idle"),
]

Event = Callable[[int], Message]
"""A message of the peer about the call to which we gave this id, 0 for none."""

MESSAGES: dict[str, Event] = {
    "ICRQ": lambda ours: icrq3(ours=ours),
    "ICRP": icrp3,
    "ICCN": iccn3,
    "OCRQ": lambda ours: ocrq3(ours=ours),
    "OCRP": ocrp3,
    "OCCN": occn3,
    "CDN": cdn3,
    "ICRQ not acceptable": lambda ours: icrq3(500, UNFIT, ours=ours),
    "ICRP not acceptable": lambda ours: icrp3(ours, 500, UNFIT),
    "ICCN not acceptable": lambda ours: iccn3(ours, 500, UNFIT),
    "OCRQ not acceptable": lambda ours: ocrq3(500, UNFIT, ours=ours),
    "OCRP not acceptable": lambda ours: ocrp3(ours, 500, UNFIT),
    "ICRQ wins tie": lambda _: icrq3(tie_breaker=0),
    "ICRQ loses tie": lambda _: icrq3(tie_breaker=2**64 - 1),
    "OCRQ wins tie": lambda _: ocrq3(tie_breaker=0),
    "OCRQ loses tie": lambda _: ocrq3(tie_breaker=2**64 - 1),
}


def scene(kind: Kind, state: str) -> tuple[Dialogue, Call | None]:
    """Bring a call of this kind to this state, and the connection to where it leaves the call."""
    role = Role.LNS if kind is OCRQ_SENDER else Role.LAC
    settings = SessionSettings(role=role, remote_end_id="circuit")
    if state == "wait-tunnel":
        say = dialled3()
        return say, say.open_session(settings)
    if state == "idle":
        return up_called3(late=kind is OCRQ_RECIPIENT), None
    if kind in OURS:
        say = up3()
        call: Call = say.open_session(settings)
        steps: list[Event] = [icrp3] if kind is ICRQ_SENDER else [ocrp3, occn3]
    else:
        say = up_called3(late=kind is OCRQ_RECIPIENT)
        say.peer >> (icrq3() if kind is ICRQ_RECIPIENT else ocrq3())
        (call,) = say.core.calls.values()
        steps = [iccn3] if kind is ICRQ_RECIPIENT else []
    while call.state.value != state and steps:
        say.peer >> steps.pop(0)(call.local_id)
    arrive(call, state, say)
    return say, call


def happen(say: Dialogue, call: Call | None, event: str) -> None:
    if event in MESSAGES:
        say.peer >> MESSAGES[event](call.local_id if call else 0)
    elif event == "control-conn-open":
        say.peer >> sccrp3()
    else:
        assert call is not None
        match event:
            case "call placement successful":
                say.plane_up(call)
            case "call placement failed" | "bearer line drop":
                say.plane_failed(call.local_id)
            case _:
                say.do(say.core.close_session, call.local_id)
    say.peer >> ZLB


@pytest.mark.parametrize(
    "row",
    [*SEVEN_THREE_ONE, *SEVEN_THREE_TWO, *SEVEN_FOUR_ONE, *SEVEN_FOUR_TWO],
    ids=lambda row: f"{row.kind.value} {row.state}: {row.event}",
)
def test_7_3_and_7_4_calls(row: CallRow) -> None:
    """What the row says is sent, nothing else is, and the new state is the row's; a lost tie goes on as the recipient (7.3.2, 7.4.2)."""
    say, call = scene(row.kind, row.state)
    happen(say, call, row.event)
    assert row.sends == sent(say)
    if row.new == "idle":
        gone(say, call)
    else:
        (there,) = say.core.calls.values()
        lost = row.event.endswith("wins tie")
        assert (lost, row.new) == (there.kind is not row.kind and row.state != "idle", there.state.value)
    say.state_is(State.ESTABLISHED if row.state != "wait-tunnel" or row.sends else State.WAIT_CTL_REPLY)


@pytest.mark.parametrize("role", Role)
def test_7_3_1_and_7_4_1_idle_to_wait_control_conn(role: Role) -> None:
    """A call that is asked for while there is no control connection waits for it ("Initiate local control-conn open")."""
    say = dialled3()
    assert "wait-tunnel" == say.open_session(SessionSettings(role=role)).state.value


def test_7_4_2_a_timer_that_expires_while_waiting_for_the_call_to_complete_sends_a_cdn() -> None:
    """If the call is not completed or a timer expires ..., send a CDN with the appropriate error condition set, and go to idle state."""
    say = up_called3(late=True, hello_timeout=0.0)
    say.peer >> ocrq3()
    say.us << MessageType.OCRP
    say.peer >> ZLB
    (call,) = say.core.calls.values()
    say.at(call.settings.establish_timeout + 1)
    say.peer >> ZLB
    assert {"CDN"} == set(sent(say))
    say.state_is(CallState.IDLE, call)


# --- 7.1, 7.5 -----------------------------------------------------------------------------------------------------------------


def test_7_1_a_message_in_the_wrong_state_clears_the_connection_and_should_be_logged() -> None:
    """Receipt of an invalid or unrecoverable malformed control message SHOULD be logged appropriately and the control connection cleared"."""
    say = dialled3()
    say.peer >> scccn3()
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert StopResult.FSM_ERROR == stopped.said[RESULT_CODE].result
    broken = up3()
    broken.peer >> bytes.fromhex("8008 0000 0000 0006 8005 0000 0001")
    broken.us << MessageType.STOPCCN
    assert broken.remarks


def test_7_1_an_unknown_mandatory_message_type_clears_the_connection() -> None:
    """a message that contains a Message Type marked as mandatory but that is unknown to the implementation"; without the M bit it is ignored."""
    say = up3()
    say.peer >> bytes.fromhex("0008 0000 0000 0bad")
    assert [] == sent(say)
    say.state_is(State.ESTABLISHED)
    say.peer >> bytes.fromhex("8008 0000 0000 0bad")
    assert ["StopCCN"] == sent(say)


@pytest.mark.parametrize(
    "header", ["c803 ffff 00000007 0002 0002", "8803 000c 00000007 0002 0002", "c80f 000c 00000007 0002 0002", "c803"]
)
def test_7_1_a_control_message_with_a_malformed_header_must_be_discarded(header: str) -> None:
    """Neither answered nor acted upon."""
    say = up3()
    say.arrive(bytes.fromhex(header), say.peer.address)
    say.silent()
    say.state_is(State.ESTABLISHED)


def test_7_1_a_malformed_avp_with_the_m_bit_shuts_down_the_session_or_connection() -> None:
    """the associated session or control connection MUST be shut down"."""
    say = up_called3()
    body = say.peer.body(icrq3())
    sublayer = bytes.fromhex("8008 0000 0045 0001")
    assert sublayer in body
    say.peer >> body.replace(sublayer, bytes.fromhex("8007 0000 0045 00"))
    ended = say.us << MessageType.CDN
    assert ended.said is not None
    assert (2, ErrorCode.BAD_LENGTH) == (ended.said[RESULT_CODE].result, ended.said[RESULT_CODE].error)
    dialling = dialled3()
    dialling.peer >> dialling.peer.body(sccrp3(receive_window_size=None)) + bytes.fromhex("8007 0000 000a 00")
    stopped = dialling.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert (2, ErrorCode.BAD_LENGTH) == (stopped.said[RESULT_CODE].result, stopped.said[RESULT_CODE].error)


def test_7_1_a_malformed_avp_without_the_m_bit_must_be_ignored() -> None:
    """The RFC's own example: an Rx Connect Speed of Length 10 rather than 14 is as if it were not present; the call comes up."""
    say, call = scene(ICRQ_RECIPIENT, "wait-connect")
    assert call is not None
    say.peer >> say.peer.body(iccn3(call.local_id)) + bytes.fromhex("000a 0000 004b 0000fa00")
    say.us << ZLB
    assert (CallState.ESTABLISHED, 0) == (call.state, call.rx_connect_speed)


def test_7_1_a_message_without_a_required_avp_is_malformed() -> None:
    """An SCCRP without Router ID clears the connection, and the StopCCN goes to the id that it did tell."""
    say = dialled3()
    whole = say.peer.body(sccrp3())
    router = bytes.fromhex("800a 0000 003c c0000209")
    assert router in whole
    say.peer >> whole.replace(router, b"")
    stopped = say.us << MessageType.STOPCCN
    assert say.core.peer_id == stopped.tunnel_id != 0


@pytest.mark.parametrize("secret", ["", "sesame"])
def test_7_1_reliable_delivery_must_be_allowed_to_run_before_the_connection_is_destroyed(secret: str) -> None:
    """7.5: "The sender of this message SHOULD wait a full control message retransmission cycle", then it is gone."""
    say = up3(secret=secret)
    say.peer.deaf = True
    say.close()
    say.at(20.0)
    assert ["StopCCN"] * 5 == sent(say)
    say.state_is(State.CLOSING)
    say.at(31.0)
    sent(say)
    say.state_is(State.CLOSED)


def test_7_2_a_local_termination_must_send_a_stopccn_which_ends_the_sessions_too() -> None:
    """3.3.2: "it is not necessary to clear each session individually"."""
    say = up_called3()
    call = incoming3(say)
    say.close()
    assert ["StopCCN"] == sent(say)
    say.state_is(CallState.IDLE, call)


def test_7_5_a_connection_without_sessions_may_stay_open() -> None:
    """When to release a control connection is an implementation issue": by default it stays."""
    say = up3(hello_timeout=0.0)
    say.at(100_000.0)
    say.silent()
    say.peer >> hello3()
    say.us << ZLB
    say.state_is(State.ESTABLISHED)
