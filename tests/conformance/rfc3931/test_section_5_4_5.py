"""RFC 3931 section 5.4.5 in dialogues: the state of the circuits of both sides."""

from __future__ import annotations

from dialogue import OURS, ZLB
from dialogue3 import asked3, heard, iccn3, icrp3, icrq3, ocrq3, reported3, sli3, up3, up_called3
from l2tpd.config.model import Role, SessionSettings
from l2tpd.kernel.ops import CreateSession, ModifySession
from l2tpd.session.call import Call
from l2tpd.session.call import State as CallState
from l2tpd.wire.avp import CIRCUIT_STATUS
from l2tpd.wire.numbers import MessageType


def test_5_4_5_the_circuit_status_must_be_advertised_in_requests_and_answers() -> None:
    """ICRQ, ICRP, OCRQ, and OCRP", Active, with the New bit that "SHOULD still be set the first time"; reserved bits are 0."""
    say = up3()
    for role, kind in ((Role.LAC, MessageType.ICRQ), (Role.LNS, MessageType.OCRQ)):
        say.open_session(SessionSettings(role=role))
        assert 3 == heard(say, kind)[CIRCUIT_STATUS]
        say.peer >> ZLB
    answering = up_called3()
    for local, (request_, kind) in enumerate(((icrq3, MessageType.ICRP), (ocrq3, MessageType.OCRP)), 1):
        answering.peer >> request_(local)
        assert 3 == heard(answering, kind)[CIRCUIT_STATUS]
        answering.peer >> ZLB
        answering.skip()


def test_5_4_5_the_status_of_the_peer_is_kept_and_reserved_bits_are_ignored() -> None:
    """The ICCN, OCCN, and SLI control messages all MAY contain this AVP to update the status of the circuit."""
    say = up_called3()
    say.peer >> icrq3(circuit_status=2)
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    assert 2 == call.circuit
    say.peer >> iccn3(call.local_id, circuit_status=1)
    say.us << ZLB
    assert 1 == call.circuit
    for status in (0, 0xFF81):
        say.peer >> sli3(call.local_id, status)
        say.us << ZLB
        assert status & 1 == (call.circuit or 0) & 1
    say.state_is(CallState.ESTABLISHED, call)


def test_5_4_5_a_change_of_our_circuit_is_told_by_sli() -> None:
    """Once up, each change is told once, without the New bit."""
    say = up3()
    call = reported3(say)
    for active in (False, True):
        say.do(say.core.set_circuit, call.local_id, active=active)
        assert int(active) == heard(say, MessageType.SLI)[CIRCUIT_STATUS]
        say.peer >> ZLB
        say.do(say.core.set_circuit, call.local_id, active=active)
        say.silent()


def test_5_4_5_a_circuit_that_went_down_while_the_session_was_set_up_is_told_afterwards() -> None:
    """The request said Active."""
    say = up3()
    call = asked3(say)
    say.do(say.core.set_circuit, call.local_id, active=False)
    say.silent()
    say.peer >> icrp3(call.local_id)
    say.us << MessageType.ICCN
    say.peer >> ZLB
    assert 0 == heard(say, MessageType.SLI)[CIRCUIT_STATUS]


def test_5_4_5_a_circuit_that_came_up_while_the_session_was_set_up_is_told_afterwards() -> None:
    """The answer said Not Active, and the peer would go on believing it."""
    say = up_called3(late=True)
    say.peer >> icrq3()
    (call,) = say.core.calls.values()
    say.do(say.core.set_circuit, call.local_id, active=False)
    say.plane_up(call)
    assert 2 == heard(say, MessageType.ICRP)[CIRCUIT_STATUS]
    say.do(say.core.set_circuit, call.local_id, active=True)
    say.peer >> iccn3(call.local_id)
    assert 1 == heard(say, MessageType.SLI)[CIRCUIT_STATUS]


def test_5_4_5_all_data_traffic_must_not_begin_towards_a_circuit_that_is_not_active() -> None:
    """ICRQ said Not Active: the session is made so that it sends nothing; ICCN advertises it as Active."""
    say = up_called3()
    say.peer >> icrq3(circuit_status=2)
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    (made,) = say.plane()
    assert isinstance(made, CreateSession)
    assert not made.sending
    say.peer >> iccn3(call.local_id, circuit_status=1)
    say.us << ZLB
    assert [changed(call, sending=True)] == say.plane()


def test_5_4_5_all_data_traffic_must_cease_until_the_circuit_is_advertised_as_active() -> None:
    """Each change is passed on once; what says nothing of a circuit changes nothing."""
    say = up_called3()
    say.peer >> icrq3()
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    say.peer >> iccn3(call.local_id)
    say.us << ZLB
    say.plane()
    for status, expected in ((0, [False]), (2, []), (1, [True]), (3, [])):
        say.peer >> sli3(call.local_id, status)
        say.us << ZLB
        assert [changed(call, sending=sending) for sending in expected] == say.plane()


def test_5_4_5_numbers_and_silence_do_not_undo_each_other() -> None:
    """The data plane is told both at once."""
    say = up_called3()
    say.peer >> icrq3(data_sequencing=2)
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    say.peer >> iccn3(call.local_id)
    say.us << ZLB
    say.plane()
    say.peer >> sli3(call.local_id, 0)
    say.us << ZLB
    assert [changed(call, sending=False, sequencing=True)] == say.plane()


def changed(call: Call, *, sending: bool, sequencing: bool = False) -> ModifySession:
    """Return what the data plane is to be told."""
    return ModifySession(tunnel_id=OURS, session_id=call.local_id, sequencing=sequencing, sending=sending)
