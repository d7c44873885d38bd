"""RFC 3931 section 5.4.2 in dialogues: the result codes of what was not set up in time, or was spoken to out of turn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dialogue import ZLB, Dialogue
from dialogue3 import called3, dialled3, icrp3, icrq3, ocrp3, ocrq3, scccn3, up3, up_called3
from l2tpd.config.model import Role, SessionSettings
from l2tpd.wire.avp import RESULT_CODE
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import CallResult, MessageType, StopResult
from l2tpd.wire.values import ResultCode

WITHIN = 10.0


def _asking(role: Role, kind: MessageType) -> Dialogue:
    say = up3(hello_timeout=0.0)
    say.open_session(SessionSettings(role=role, establish_timeout=WITHIN))
    say.us << kind
    say.peer >> ZLB
    return say


def _asked(said: Callable[[], Message], kind: MessageType, *, late: bool) -> Dialogue:
    say = up_called3(late=late, hello_timeout=0.0)
    say.policy.settings = SessionSettings(establish_timeout=WITHIN)
    say.peer >> said()
    say.us << kind
    say.peer >> ZLB
    return say


CALLS: dict[str, Callable[[], Dialogue]] = {
    "ICRQ, sender": lambda: _asking(Role.LAC, MessageType.ICRQ),
    "OCRQ, sender": lambda: _asking(Role.LNS, MessageType.OCRQ),
    "ICRQ, recipient": lambda: _asked(icrq3, MessageType.ICRP, late=False),
    "OCRQ, recipient": lambda: _asked(ocrq3, MessageType.OCRP, late=True),
}


@pytest.mark.parametrize("scene", CALLS)
def test_5_4_2_a_session_that_is_not_up_in_time_ends_with_16(scene: str) -> None:
    """16 - Finite state machine error or timeout"; the 10 of version 2 is not among the codes of version 3."""
    say = CALLS[scene]()
    say.at(WITHIN - 0.1)
    say.silent()
    say.at(WITHIN)
    ended = say.us << MessageType.CDN
    assert ended.said is not None
    assert ResultCode(CallResult.FSM_ERROR, 0, "not established in time") == ended.said[RESULT_CODE]
    assert "session deleted 16" == say.told()[-1]


@pytest.mark.parametrize("said", [icrp3, ocrp3])
def test_5_4_2_a_message_out_of_turn_ends_its_session_with_16(said: Callable[[int], Message]) -> None:
    """The other half of 16; no error code goes along, since result 2 alone refers to one."""
    say = _asked(icrq3, MessageType.ICRP, late=False)
    (call,) = say.core.calls.values()
    say.peer >> said(call.local_id)
    ended = say.us << MessageType.CDN
    assert ended.said is not None
    assert (16, 0) == (ended.said[RESULT_CODE].result, ended.said[RESULT_CODE].error)
    assert {} == say.core.calls


@pytest.mark.parametrize("scene", [dialled3, called3], ids=["initiator", "responder"])
def test_5_4_2_a_control_connection_that_is_not_up_in_time_ends_with_7(scene: Callable[..., Dialogue]) -> None:
    """7 - Finite state machine error or timeout": version 2 had but the first half of it."""
    say = scene(establish_timeout=WITHIN)
    say.peer >> ZLB
    say.at(WITHIN)
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert ResultCode(StopResult.FSM_ERROR, 0, "not established in time") == stopped.said[RESULT_CODE]


def test_5_4_2_a_message_out_of_turn_ends_its_connection_with_7() -> None:
    """The same for a connection."""
    say = dialled3()
    say.peer >> scccn3()
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert (7, 0) == (stopped.said[RESULT_CODE].result, stopped.said[RESULT_CODE].error)


@pytest.mark.parametrize("what", ["connection", "session"])
def test_5_4_2_error_messages_are_in_utf_8(what: str) -> None:
    """Human-readable text in all error messages MUST be provided in the UTF-8 charset."""
    say = up3()
    if what == "connection":
        say.core.close(0.0, 2, "Tschüß ☂")
    else:
        call = say.open_session()
        say.us << MessageType.ICRQ
        say.peer >> ZLB
        say.core.close_session(call.local_id, 0.0, "Tschüß ☂")
    (datagram,) = say.core.datagrams_to_send(0.0)
    say.core.take_outputs()
    assert "Tschüß ☂".encode() in datagram
