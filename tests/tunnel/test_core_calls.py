"""Dialogues about what a control connection decides over calls: refusals, limits, the peer's capabilities, ids."""

from __future__ import annotations

import attrs
import pytest

from books import bookkeeping, consistent
from dialogue import (
    OURS,
    OUTGOING,
    THEIRS,
    ZLB,
    a_site,
    cdn,
    iccn,
    icrp,
    icrq,
    incoming,
    occn,
    ocrp,
    ocrq,
    reported,
    sccrp,
    stage,
    unknown,
    up,
    up_called,
)
from l2tpd.config.model import Role, SessionSettings, TunnelSettings
from l2tpd.errors import Exhausted, LocalProtocolError, RemoteProtocolError
from l2tpd.session.call import State
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.states import State as TunnelState
from l2tpd.wire.avp import (
    ACCM,
    ASSIGNED_SESSION_ID,
    RESULT_CODE,
)
from l2tpd.wire.header import ControlHeader
from l2tpd.wire.messages import decode, message
from l2tpd.wire.numbers import CallResult, ErrorCode, MessageType
from l2tpd.wire.values import AccmValue, ResultCode

# --- refusals -----------------------------------------------------------------------------------------------------------------


def test_the_limit_of_the_tunnel() -> None:
    """The call beyond `max_sessions` gets CDN with result 4 and error 4, addressed by its own id; the first is not harmed."""
    say = up_called(max_sessions=1)
    first = incoming(say, 500)
    say.peer >> icrq(501)
    refused = say.us << MessageType.CDN
    assert (THEIRS, 501) == refused[:2]
    assert refused.said is not None
    assert (4, 4) == (refused.said[RESULT_CODE].result, refused.said[RESULT_CODE].error)
    assert refused.said[ASSIGNED_SESSION_ID] not in say.core.calls
    say.state_is(State.ESTABLISHED, first)
    assert 1 == say.site.counters.sessions_refused
    with pytest.raises(LocalProtocolError, match="limit"):
        say.core.open_session(SessionSettings(), 0.0)
    consistent(say)


def test_the_policy_refuses() -> None:
    """What `admit` raises is what the CDN says, and nothing is counted or created."""
    say = up_called()
    say.policy.refusal = RemoteProtocolError(CallResult.NO_FACILITIES_PERMANENT, ErrorCode.TRY_ANOTHER, "go away")
    say.peer >> icrq()
    refused = say.us << MessageType.CDN
    assert refused.said is not None
    assert ResultCode(5, 7, "go away") == refused.said[RESULT_CODE]
    assert [] == say.told()
    consistent(say)


def test_an_unknown_mandatory_avp_ends_the_call_alone() -> None:
    """In a session message it costs the session: result 2, error 8 (4.1, 4.2); the tunnel lives."""
    say = up_called()
    say.peer >> icrq(500, unknown(mandatory=True))
    refused = say.us << MessageType.CDN
    assert 500 == refused.session_id
    say.peer >> icrq(501)
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    say.peer.say(iccn(unknown(mandatory=True)), session_id=call.local_id)
    ended = say.us << MessageType.CDN
    for heard in (refused, ended):
        assert heard.said is not None
        assert (2, 8) == (heard.said[RESULT_CODE].result, heard.said[RESULT_CODE].error)
    say.state_is(TunnelState.ESTABLISHED)
    consistent(say)


def test_an_unknown_mandatory_avp_in_a_tunnel_message_ends_the_tunnel() -> None:
    """The same AVP in SCCRP costs the tunnel: StopCCN, result 2, error 8 (4.1, 4.2)."""
    say = stage()
    say.open()
    say.us << MessageType.SCCRQ
    say.peer >> sccrp(unknown(mandatory=True))
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert (2, 8) == (stopped.said[RESULT_CODE].result, stopped.said[RESULT_CODE].error)
    assert THEIRS == stopped.tunnel_id


def test_an_unknown_avp_that_is_not_mandatory_is_ignored() -> None:
    """Counted, and that is all (4.1)."""
    say = up_called()
    say.peer >> icrq(500, unknown(mandatory=False))
    say.us << MessageType.ICRP


def test_an_icrq_without_a_required_avp_is_refused() -> None:
    """Without Call Serial Number: CDN to the Assigned Session ID that it did carry (7.1)."""
    say = up_called()
    say.peer >> bytes.fromhex("8008 0000 0000 000a 8008 0000 000e 01f4")
    refused = say.us << MessageType.CDN
    assert 500 == refused.session_id


def test_an_icrq_without_an_id_cannot_be_answered() -> None:
    """No Assigned Session ID, nobody to send a CDN to: acknowledged and counted."""
    say = up_called()
    say.peer >> bytes.fromhex("8008 0000 0000 000a 800a 0000 000f 00000001")
    say.us << ZLB
    assert 1 == say.site.counters.no_session


def test_a_session_id_that_the_peer_has_in_use() -> None:
    """A new request under the id of a live call is refused alone, result 2 and error 5; the call goes on, and afterwards the id may be used again."""
    for request in (icrq(), ocrq()):
        say = up_called()
        call = incoming(say)
        say.told()
        say.peer >> request
        refused = say.us << MessageType.CDN
        assert 500 == refused.session_id
        assert refused.said is not None
        assert (2, 5) == (refused.said[RESULT_CODE].result, refused.said[RESULT_CODE].error)
        assert call.local_id != refused.said[ASSIGNED_SESSION_ID]
        say.state_is(State.ESTABLISHED, call)
        assert [] == say.told()
        assert 1 == say.site.counters.sessions_refused
        consistent(say)
        say.peer.say(cdn(), session_id=call.local_id)
        say.us << ZLB
        incoming(say)


def test_a_request_to_a_live_call_ends_it() -> None:
    """An ICRQ or OCRQ whose header names our call is out of its place there: CDN, clean up (7.4.2, established)."""
    for request in (icrq(), ocrq(), icrq(501)):
        say = up_called()
        call = incoming(say)
        say.peer.say(request, session_id=call.local_id)
        ended = say.us << MessageType.CDN
        assert 500 == ended.session_id
        say.state_is(State.IDLE, call)
        consistent(say)


def test_an_answer_to_a_call_that_we_never_made() -> None:
    """ICRP and OCRP for no call get a CDN with error 5, ICCN, OCCN, WEN and SLI nothing (7.4.1 to 7.5.2: idle)."""
    say = up()
    for said in (icrp(), ocrp()):
        say.peer.say(said, session_id=4711)
        refused = say.us << MessageType.CDN
        assert refused.said is not None
        assert (2, 5) == (refused.said[RESULT_CODE].result, refused.said[RESULT_CODE].error)
    for said in (iccn(), occn(), message(MessageType.SLI, {ACCM: AccmValue()})):
        say.peer.say(said, session_id=4711)
        say.us << ZLB
    assert {} == say.core.calls


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        ("8008 0000 0000 000e 8008 0000 000e 01f4", (0, None, "")),
        ("8008 0000 0000 000e 8008 0000 0001 0003", (3, None, "")),
        ("8008 0000 0000 000e 8008 0000 0001 0003 8008 0000 000e 01f4 8006 0000 03e7", (3, None, "")),
        ("8008 0000 0000 000e 8007 0000 0001 03 8008 0000 000e 01f4", (0, None, "")),
    ],
    ids=["no Result Code", "no Assigned Session ID", "unknown mandatory AVP", "malformed Result Code"],
)
def test_a_faulty_cdn_is_obeyed(body: str, ending: tuple[int, int | None, str]) -> None:
    """The peer is done with the call whatever is wrong with its CDN; answering it would only confuse both (7.1)."""
    for say in (up(), up_called()):
        call = reported(say)
        say.peer.say(bytes.fromhex(body), session_id=call.local_id)
        say.us << ZLB
        say.state_is(State.IDLE, call)
        assert call.ending is not None
        assert (*ending, "peer") == attrs.astuple(call.ending)
        assert {MessageType.CDN: 1} == say.site.counters.bad
        consistent(say)


def test_a_faulty_cdn_to_no_call_is_counted() -> None:
    """It ends nothing, and is not answered."""
    say = up()
    say.peer.say(bytes.fromhex("8008 0000 0000 000e 8008 0000 000e 01f4"), session_id=4711)
    say.us << ZLB
    assert 1 == say.site.counters.no_session


# --- capabilities -------------------------------------------------------------------------------------------------------------


def test_no_outgoing_call_to_a_peer_without_bearer_capabilities() -> None:
    """6.9: an LNS MUST have received Bearer Capabilities before it asks."""
    say = stage()
    waiting = say.open_session(OUTGOING)
    say.open()
    say.us << MessageType.SCCRQ
    say.peer >> sccrp(bearer_capabilities=None)
    say.us << MessageType.SCCCN
    say.peer >> ZLB
    say.silent()
    say.state_is(State.IDLE, waiting)
    assert waiting.ending is not None
    assert (5, "the peer has no any bearer") == (waiting.ending.result, waiting.ending.message)
    with pytest.raises(LocalProtocolError, match="bearer"):
        say.core.open_session(OUTGOING, 0.0)
    consistent(say)


@pytest.mark.parametrize(
    ("bearer", "framing", "fits"), [("digital", "sync", True), ("analog", "sync", False), ("digital", "async", False)]
)
def test_an_outgoing_call_asks_only_for_what_the_peer_has(bearer: str, framing: str, fits: bool) -> None:
    """4.4.3: a bearer or framing that was not offered is not asked for."""
    say = stage()
    say.open()
    say.us << MessageType.SCCRQ
    say.peer >> sccrp(bearer_capabilities=1, framing_capabilities=1)
    say.us << MessageType.SCCCN
    say.peer >> ZLB
    settings = SessionSettings(role=Role.LNS, called_number="1", bearer_type=bearer, framing_type=framing)
    if fits:
        say.open_session(settings)
        say.us << MessageType.OCRQ
    else:
        with pytest.raises(LocalProtocolError, match="the peer has no"):
            say.core.open_session(settings, 0.0)


# --- ids ----------------------------------------------------------------------------------------------------------------------


def test_session_ids_are_never_zero_and_rest_after_use() -> None:
    """A random source that yields only zeros and sevens still gives ids from 1, each different, and an old one only after 31 s."""
    yields = iter([0, 0, 7, 7])
    site = a_site()
    site.random = lambda size: next(yields, 7).to_bytes(size, "big")
    core = ControlConnection(OURS, site, TunnelSettings(), up().core.peer, 0.0, origin="local")
    first, second = core.open_session(SessionSettings(), 0.0), core.open_session(SessionSettings(), 0.0)
    assert (7, 8) == (first.local_id, second.local_id)
    core.close_session(first.local_id, 0.0)
    assert 9 == core.open_session(SessionSettings(), 30.9).local_id
    assert 7 == core.open_session(SessionSettings(), 31.0).local_id


LONG = SessionSettings(establish_timeout=1e6)


def test_all_65535_session_ids_can_be_used() -> None:
    """With every id but 0 taken the operator is told so and a peer's call is refused; the one that becomes free is found."""
    say = up_called(hello_timeout=0.0)
    core = say.core
    for _ in range(65_535):
        core.open_session(LONG, 0.0)
        core.take_outputs()
    assert set(range(1, 65_536)) == set(core.calls)
    with pytest.raises(Exhausted):
        core.open_session(SessionSettings(), 0.0)
    say.peer >> icrq()
    say.peer.deaf = True  # its refusal waits behind all the requests of ours that it has not taken
    queued = [decode(body).type for _, body in core.channel._sender._items.values()]
    assert 1 == queued.count(MessageType.CDN)
    say.skip()
    assert 1 == say.site.counters.sessions_refused
    core.close_session(4711, 0.0)
    with pytest.raises(Exhausted):
        core.open_session(LONG, 30.9)
    assert 4711 == core.open_session(LONG, 31.0).local_id


def test_refused_calls_use_up_no_ids() -> None:
    """More calls than there are ids, refused within a second, each get their CDN, and nothing is kept of them."""
    say = up_called(max_sessions=1)
    first = incoming(say, 500)
    channel, core = say.core.channel, say.core
    body = say.peer.body(icrq(501))
    for _ in range(66_000):
        core.take_packet(ControlHeader(OURS, 0, say.peer.ns, channel.ns), body, core.peer, 1.0)
        say.peer.ns = (say.peer.ns + 1) & 0xFFFF
        assert 1 == len(core.datagrams_to_send(1.0))
    core.close_session(first.local_id, 1.0)
    assert core.open_session(LONG, 1.0).local_id


def test_many_calls_in_one_tunnel() -> None:
    """A hundred calls come and go; the books are balanced after each."""
    say = up_called()
    calls = [incoming(say, 1_000 + index) for index in range(100)]
    consistent(say)
    for index, call in enumerate(calls):
        say.peer.say(cdn(1_000 + index), session_id=call.local_id)
        say.us << ZLB
    consistent(say)
    say.close()
    say.us << MessageType.STOPCCN
    say.peer >> ZLB
    bookkeeping(say)
