"""RFC 3931 section 5.4.4 in dialogues: session ids, cookies, ties, pseudowires, sublayers, and sequencing."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from dialogue import ZLB, Dialogue
from dialogue3 import (
    THEIR_CALL,
    asked3,
    cdn3,
    dialled3,
    heard,
    iccn3,
    icrp3,
    icrq3,
    incoming3,
    occn3,
    ocrp3,
    ocrq3,
    sccrp3,
    sli3,
    up3,
    up_called3,
    wen3,
)
from l2tpd.config.model import Pseudowire, Role, SessionSettings, Sublayer
from l2tpd.errors import LocalProtocolError, RemoteProtocolError
from l2tpd.kernel.ops import CreateSession, ModifySession
from l2tpd.session.call import Call, Kind
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.core import ControlConnection
from l2tpd.wire.avp import (
    ASSIGNED_COOKIE,
    CALL_SERIAL_NUMBER,
    DATA_SEQUENCING,
    L2_SPECIFIC_SUBLAYER,
    LOCAL_SESSION_ID,
    PSEUDOWIRE_CAPABILITIES,
    PSEUDOWIRE_TYPE,
    REMOTE_END_ID,
    REMOTE_SESSION_ID,
    RESULT_CODE,
    RX_CONNECT_SPEED_BPS,
    TX_CONNECT_SPEED_BPS,
)
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import CallResult, ErrorCode, MessageType

LARGEST = 2**64 - 1


def named(name: str = "circuit", **more: Any) -> SessionSettings:
    return SessionSettings(remote_end_id=name, **more)


def created(say: Dialogue) -> CreateSession:
    """Return the one session that the data plane was asked for."""
    (made,) = [operation for operation in say.plane() if isinstance(operation, CreateSession)]
    return made


def refused(say: Dialogue) -> tuple[int, int, int]:
    """Take our CDN: its result, and the session ids that it names, the peer's last."""
    said = heard(say, MessageType.CDN)
    return said[RESULT_CODE].result, said[LOCAL_SESSION_ID], said[REMOTE_SESSION_ID]


# --- Local Session ID, Remote Session ID ----------------------------------------------------------------------------------------


def test_5_4_4_the_local_session_id_must_be_echoed_in_all_later_messages() -> None:
    """the remote LCCE MUST echo this value in the Remote Session ID AVP"; ours stays the same, and both have 32 bits."""
    say = up3()
    call = asked3(say)
    say.peer >> icrp3(call.local_id)
    connected = heard(say, MessageType.ICCN)
    say.peer >> ZLB
    say.do(say.core.close_session, call.local_id)
    ended = heard(say, MessageType.CDN)
    for said in (connected, ended):
        assert (call.local_id, THEIR_CALL) == (said[LOCAL_SESSION_ID], said[REMOTE_SESSION_ID])
    assert call.local_id > 0xFFFF


def test_5_4_4_the_remote_session_id_must_be_zero_until_the_peer_has_told_one() -> None:
    """the value of the Remote Session ID AVP MUST be set to zero. Additionally, the Local Session ID AVP ... MUST be included."""
    say = up3()
    call = say.open_session()
    asked = heard(say, MessageType.ICRQ)
    assert (call.local_id, 0) == (asked[LOCAL_SESSION_ID], asked[REMOTE_SESSION_ID])
    say.do(say.core.close_session, call.local_id)
    assert (CallResult.ADMIN, call.local_id, 0) == refused(say)


def test_5_4_4_data_packets_must_be_sent_to_the_local_session_id_of_the_peer() -> None:
    """The remote LCCE MUST then send all data packets associated with this session using this value."""
    say = up_called3()
    call = incoming3(say)
    made = created(say)
    assert (call.local_id, THEIR_CALL) == (made.session_id, made.peer_session_id)


@pytest.mark.parametrize("ours", [0, None])
def test_5_4_4_a_message_without_our_id_finds_its_session_by_a_reverse_lookup(ours: int | None) -> None:
    """The peer must then use the Local Session ID AVP to perform a reverse lookup": CDN, WEN and SLI are subject to it."""
    say = up_called3(late=True)
    say.peer >> icrq3()
    (call,) = say.core.calls.values()
    there = call.local_id if ours is None else ours
    say.peer >> wen3(there)
    say.peer >> sli3(there, 0)
    say.skip()
    assert call.wan_errors is not None
    assert (5, 0) == (call.wan_errors.timeout_errors, call.circuit)
    say.peer >> cdn3(there, result=1)
    say.us << ZLB
    say.state_is(CallState.IDLE, call)
    assert "session deleted 1" in say.told()


def test_5_4_4_a_reverse_lookup_finds_no_other_session() -> None:
    """A CDN for a call that is gone, or never was, ends none and is only acknowledged."""
    say = up_called3()
    call = incoming3(say)
    for said in (cdn3(0, 4711), cdn3(call.local_id ^ 1), cdn3(call.local_id ^ 1, 4711)):
        say.peer >> said
        say.us << ZLB
    say.state_is(CallState.ESTABLISHED, call)
    assert 3 == say.site.counters.no_session


@pytest.mark.parametrize("reply", [icrp3, ocrp3])
def test_5_4_4_an_answer_to_no_session_is_refused_by_name(reply: Any) -> None:
    """7.3.2, 7.4.2: "idle, Receive ICRP: Send CDN"; the CDN names the peer's id."""
    say = up3()
    say.peer >> reply(12345)
    result, local, remote = refused(say)
    assert (CallResult.ERROR, THEIR_CALL) == (result, remote)
    assert local != 0


def test_5_4_4_a_session_id_must_not_be_zero() -> None:
    """a 4-octet non-zero unsigned integer": an ICRQ whose sender names 0 can only be acknowledged, for nobody could be told."""
    say = up_called3()
    body = say.peer.body(icrq3(1))
    one = bytes.fromhex("800a 0000 003f 00000001")
    assert one in body
    say.peer >> body.replace(one, one[:-1] + b"\0")
    say.us << ZLB
    assert {} == say.core.calls


def test_5_4_4_an_id_that_is_in_use_is_refused() -> None:
    """Invalid Session ID (5.4.2, error 5): the first session is not touched."""
    say = up_called3()
    call = incoming3(say)
    say.peer >> icrq3(call.peer_id, end_id="another")
    ended = heard(say, MessageType.CDN)
    assert (2, ErrorCode.BAD_SESSION_ID) == (ended[RESULT_CODE].result, ended[RESULT_CODE].error)
    say.state_is(CallState.ESTABLISHED, call)


# --- Assigned Cookie ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 4, 8])
def test_5_4_4_cookies_of_each_size(size: int) -> None:
    """Ours goes into ICRQ and ICRP and is checked on what arrives; a cookie of no octets is not sent at all."""
    cookie = bytes(range(size))
    settings = SessionSettings(cookie_size=size)
    say = up3()
    call = say.open_session(settings)
    asked = heard(say, MessageType.ICRQ)
    assert size == len(call.cookie)
    assert (call.cookie or None) == asked.get(ASSIGNED_COOKIE)
    say.peer >> icrp3(call.local_id, assigned_cookie=cookie)
    confirmed = heard(say, MessageType.ICCN)
    assert ASSIGNED_COOKIE not in confirmed  # 6.8
    made = created(say)
    assert (call.cookie, cookie) == (made.cookie, made.peer_cookie)
    answering = up_called3()
    answering.policy.settings = settings
    answering.peer >> icrq3(assigned_cookie=cookie)
    answered = heard(answering, MessageType.ICRP)
    made = created(answering)
    assert (made.cookie, cookie) == (answered.get(ASSIGNED_COOKIE) or b"", made.peer_cookie)


def test_5_4_4_a_cookie_is_random() -> None:
    """The Assigned Cookie is a 4-octet or 8-octet random value": no two calls have the same."""
    say = up_called3()
    assert 20 == len({incoming3(say, local).cookie for local in range(1, 21)})


@pytest.mark.parametrize("cookie", [None, b""])
def test_5_4_4_without_a_cookie_none_is_in_the_data_packets(cookie: bytes | None) -> None:
    """A missing Assigned Cookie AVP or Assigned Cookie Value of zero length indicates that the Cookie field should not be present."""
    say = up_called3()
    say.peer >> icrq3(assigned_cookie=cookie)
    say.us << MessageType.ICRP
    assert b"" == created(say).peer_cookie


# --- Serial Number, Remote End ID -------------------------------------------------------------------------------------------------


def test_5_4_4_serial_numbers_should_progressively_increase() -> None:
    """set to progressively increasing values", over all connections of a daemon."""
    say = up3()
    serials = []
    for _ in range(5):
        say.open_session()
        serials.append(heard(say, MessageType.ICRQ)[CALL_SERIAL_NUMBER])
        say.peer >> ZLB
    assert sorted(set(serials)) == serials


def test_5_4_4_the_remote_end_id_says_to_which_circuit_a_session_belongs() -> None:
    """used to bind L2TP sessions to a given circuit": what is configured is said, or else the session's name; octets stay as they are."""
    say = up3()
    for settings, name, end_id in (
        (named("gold"), "s", "gold"),
        (SessionSettings(), "silver", "silver"),
        (named("\udcff\x00"), "s", "\udcff\x00"),
    ):
        say.open_session(settings, name=name)
        assert end_id == heard(say, MessageType.ICRQ)[REMOTE_END_ID]
        say.peer >> ZLB


@attrs.define(eq=False)
class ByEndId:
    """Admits calls to the circuits it knows, as the policy of a daemon does."""

    circuits: dict[str, SessionSettings]
    live: int = 0

    def admit(self, tunnel: ControlConnection, kind: Kind, end_id: str) -> tuple[str, SessionSettings]:
        if end_id not in self.circuits:
            raise RemoteProtocolError(CallResult.NO_FACILITIES_PERMANENT, ErrorCode.NONE, "no such circuit")
        return f"profile of {end_id}", self.circuits[end_id]

    def began(self, tunnel: ControlConnection) -> None:
        self.live += 1

    def ended(self, tunnel: ControlConnection) -> None:
        self.live -= 1


def test_5_4_4_the_remote_end_id_selects_the_profile() -> None:
    """One circuit each, with its own settings; another one is refused."""
    say = up_called3()
    say.site.calls = ByEndId({"gold": SessionSettings(mtu=1400), "silver": SessionSettings(mtu=1300)})
    for place, (end_id, mtu) in enumerate((("gold", 1400), ("silver", 1300)), 1):
        say.peer >> icrq3(place, end_id=end_id)
        say.us << MessageType.ICRP
        assert mtu == created(say).link.mtu
    say.peer >> icrq3(3, end_id="lead")
    assert (CallResult.NO_FACILITIES_PERMANENT, 3) == refused(say)[::2]
    assert ["profile of gold", "profile of silver"] == [call.profile for call in say.core.calls.values()]


# --- Session Tie Breaker ----------------------------------------------------------------------------------------------------------


def tie(say: Dialogue, role: Role = Role.LAC, **settings: Any) -> Call:
    """Ask for the circuit, and have the request on its way."""
    call = say.open_session(named(role=role, **settings), name="ours", profile="mine")
    say.us << (MessageType.ICRQ if role is Role.LAC else MessageType.OCRQ)
    assert call.tie_breaker is not None
    return call


def request(role: Role, breaker: int | None) -> Message:
    return (icrq3 if role is Role.LAC else ocrq3)(tie_breaker=breaker)


ROLES = pytest.mark.parametrize("role", [Role.LAC, Role.LNS], ids=["ICRQ", "OCRQ"])


@ROLES
@pytest.mark.parametrize("breaker", [LARGEST, None])
def test_5_4_4_the_lower_tie_breaker_wins_and_must_send_a_cdn(role: Role, breaker: int | None) -> None:
    """The LCCE with the lower value "wins" and MUST send a CDN with result code set to 13"; one that sends none loses."""
    say = up3()
    call = tie(say, role)
    say.peer >> request(role, breaker)
    assert (13, THEIR_CALL) == refused(say)[::2]
    assert {call.local_id: call} == say.core.calls
    say.state_is(CallState.WAIT_REPLY, call)
    say.peer >> (icrp3 if role is Role.LAC else ocrp3)(call.local_id, 77)
    if role is Role.LNS:
        say.peer >> occn3(call.local_id, 77)
    say.skip()
    say.state_is(CallState.ESTABLISHED, call)


def test_5_4_4_the_loser_goes_on_with_the_session_of_the_peer() -> None:
    """7.3.1: "lose tie breaker: Process as ICRQ Recipient", with what was configured for the circuit; the winner's CDN ends nothing any more."""
    say = up3(max_sessions=1)
    lost = tie(say, mtu=1234)
    say.peer >> icrq3(tie_breaker=0)
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    assert (CallState.IDLE, 1234) == (lost.state, created(say).link.mtu)
    assert ("ours", "mine", Kind.LNS_INCOMING) == (call.name, call.profile, call.kind)
    say.peer >> cdn3(lost.local_id, 99, result=13)
    say.us << ZLB
    say.peer >> iccn3(call.local_id)
    say.us << ZLB
    say.state_is(CallState.ESTABLISHED, call)


@ROLES
def test_5_4_4_with_equal_tie_breakers_both_sides_must_discard_their_sessions(role: Role) -> None:
    """The names of both are free again: each may "restart session negotiation with new random tie breaker values"."""
    say = up3()
    call = tie(say, role)
    say.peer >> request(role, call.tie_breaker)
    assert (13, THEIR_CALL) == refused(say)[::2]
    assert {} == say.core.calls
    assert "session deleted 13" in say.told()
    say.peer >> ZLB
    again = tie(say, role)
    assert again.tie_breaker != call.tie_breaker


def test_5_4_4_if_neither_side_issues_a_tie_breaker_both_must_tear_down() -> None:
    """We always issue one; were it lost with an older peer, nothing would be left either."""
    say = up3()
    call = tie(say)
    call.tie_breaker = None
    say.peer >> icrq3()
    assert (13, THEIR_CALL) == refused(say)[::2]
    assert {} == say.core.calls


@pytest.mark.parametrize("end_id", ["another circuit", ""])
def test_5_4_4_another_end_id_is_no_tie(end_id: str) -> None:
    """A tie is detected by examining the peer's identity plus the per-session shared value": both calls go on."""
    say = up3()
    call = tie(say)
    say.peer >> icrq3(end_id=end_id, tie_breaker=0)
    say.us << MessageType.ICRP
    assert 2 == len(say.core.calls)
    say.state_is(CallState.WAIT_REPLY, call)


def test_5_4_4_without_end_ids_there_is_nothing_to_tie() -> None:
    """Two calls of two sides that name no circuit are two calls."""
    say = up3()
    asked3(say)
    say.peer >> icrq3(end_id="", tie_breaker=0)
    say.us << MessageType.ICRP
    assert 2 == len(say.core.calls)


def test_5_4_4_a_session_that_has_its_answer_is_no_tie_any_more() -> None:
    """which was just sent in an outgoing ICRQ": the established session stays, the later request is a session of its own."""
    say = up3()
    call = tie(say)
    say.peer >> icrp3(call.local_id, 77)
    say.us << MessageType.ICCN
    say.peer >> icrq3(tie_breaker=0)
    say.us << MessageType.ICRP
    say.state_is(CallState.ESTABLISHED, call)


# --- Pseudowire Type --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [icrq3, ocrq3])
def test_5_4_4_a_pseudowire_type_that_we_did_not_offer_must_be_refused_with_14(request_: Any) -> None:
    """Attempts to do so MUST result in the call being rejected via a CDN with the Result Code set to 14."""
    say = up_called3()
    say.peer >> request_(pseudowire_type=1)  # Frame Relay
    assert (14, THEIR_CALL) == refused(say)[::2]
    assert {} == say.core.calls


def test_5_4_4_no_pseudowire_must_be_asked_for_that_the_peer_did_not_offer() -> None:
    """A peer MUST NOT request an incoming or outgoing call with a PW Type AVP specifying a value not advertised": not even one that waited."""
    say = dialled3()
    waiting = say.open_session(SessionSettings(pseudowire=Pseudowire.ETH))
    say.peer >> sccrp3(pseudowire_capabilities=(7,))
    say.us << MessageType.SCCCN
    say.peer >> ZLB
    say.silent()
    say.state_is(CallState.IDLE, waiting)
    for role in Role:
        with pytest.raises(LocalProtocolError, match="does not carry eth"):
            say.open_session(SessionSettings(pseudowire=Pseudowire.ETH, role=role))
    asked3(say)


def test_5_4_4_every_type_that_is_offered_is_asked_for_by_its_number() -> None:
    """PPP 7, Ethernet 5, VLAN 4, all of which are in our own list."""
    say = up3()
    for pseudowire, number in ((Pseudowire.PPP, 7), (Pseudowire.ETH, 5), (Pseudowire.ETH_VLAN, 4)):
        say.open_session(SessionSettings(pseudowire=pseudowire, vlan_id=10))
        assert number == heard(say, MessageType.ICRQ)[PSEUDOWIRE_TYPE]
        say.peer >> ZLB
    offering = up_called3()
    offering.close()
    offering.skip()
    dialling = say.core.dialect.control.request(say.core)
    assert {7, 5, 4} == set(dialling[PSEUDOWIRE_CAPABILITIES])


def test_5_4_4_the_peer_gets_the_pseudowire_that_it_asks_for() -> None:
    """Ethernet, though the profile says PPP."""
    say = up_called3()
    say.peer >> icrq3(pseudowire_type=5)
    say.us << MessageType.ICRP
    assert Pseudowire.ETH is created(say).pseudowire


# --- L2-Specific Sublayer ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "used"), [(1, Sublayer.DEFAULT), (0, Sublayer.NONE), (None, Sublayer.NONE)])
@pytest.mark.parametrize("configured", Sublayer)
def test_5_4_4_the_sublayer_that_the_peer_asks_for_must_be_in_our_data_messages(
    said: int | None, used: Sublayer, configured: Sublayer
) -> None:
    """the receiving LCCE MUST include the identified L2-Specific Sublayer"; without the AVP there is none. We want the same in return."""
    say = up_called3()
    say.policy.settings = SessionSettings(sublayer=configured)
    say.peer >> icrq3(l2_specific_sublayer=said)
    answered = heard(say, MessageType.ICRP)
    assert int(used is Sublayer.DEFAULT) == answered[L2_SPECIFIC_SUBLAYER]
    assert used is created(say).sublayer


@pytest.mark.parametrize(("said", "used"), [(1, Sublayer.DEFAULT), (0, Sublayer.NONE), (None, Sublayer.NONE)])
@pytest.mark.parametrize("configured", Sublayer)
def test_5_4_4_another_answer_than_what_we_asked_for_is_taken_over_and_confirmed(
    said: int | None, used: Sublayer, configured: Sublayer
) -> None:
    """The ICCN repeats what holds now, for the answer may differ from the request."""
    say = up3()
    call = asked3(say, SessionSettings(sublayer=configured))
    say.peer >> icrp3(call.local_id, l2_specific_sublayer=said)
    connected = heard(say, MessageType.ICCN)
    assert int(used is Sublayer.DEFAULT) == connected[L2_SPECIFIC_SUBLAYER]
    assert used is created(say).sublayer


def test_5_4_4_an_unknown_sublayer_is_refused() -> None:
    """Nobody could put it in: in the request, in the answer, and in what confirms them."""
    asking = up_called3()
    asking.peer >> icrq3(l2_specific_sublayer=9)
    assert 2 == refused(asking)[0]
    answered = up3()
    call = asked3(answered)
    answered.peer >> icrp3(call.local_id, l2_specific_sublayer=9)
    assert 2 == refused(answered)[0]
    confirmed = up_called3()
    confirmed.peer >> icrq3()
    confirmed.us << MessageType.ICRP
    (call,) = confirmed.core.calls.values()
    confirmed.peer >> iccn3(call.local_id, l2_specific_sublayer=9)
    assert 2 == refused(confirmed)[0]
    assert {} == confirmed.core.calls


@pytest.mark.parametrize(("first", "then"), [(1, 0), (0, 1)])
def test_5_4_4_a_sublayer_that_changes_its_mind_is_refused(first: int, then: int) -> None:
    """The data plane carries the session already, and a sublayer cannot be changed in it."""
    say = up_called3()
    say.peer >> icrq3(l2_specific_sublayer=first)
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    say.peer >> iccn3(call.local_id, l2_specific_sublayer=then)
    assert 2 == refused(say)[0]


# --- Data Sequencing --------------------------------------------------------------------------------------------------------------


def test_5_4_4_sequencing_without_a_sublayer_must_be_disconnected_with_15() -> None:
    """If sequencing is requested without requesting a L2-Specific Sublayer AVP": whoever requests it, and in whichever message."""
    asking = up_called3()
    for local, sublayer in ((1, None), (2, 0)):
        asking.peer >> icrq3(local, data_sequencing=2, l2_specific_sublayer=sublayer)
        assert (15, local) == refused(asking)[::2]
    asking.policy.settings = SessionSettings(sequencing_required=True)
    asking.peer >> icrq3(3, l2_specific_sublayer=0)
    assert (15, 3) == refused(asking)[::2]
    answered = up3()
    call = asked3(answered, SessionSettings(sequencing_required=True))
    answered.peer >> icrp3(call.local_id, l2_specific_sublayer=None)
    assert 15 == refused(answered)[0]
    confirmed = up_called3()
    confirmed.peer >> icrq3(l2_specific_sublayer=None)
    confirmed.us << MessageType.ICRP
    (call,) = confirmed.core.calls.values()
    confirmed.peer >> iccn3(call.local_id, data_sequencing=2)
    assert 15 == refused(confirmed)[0]


@pytest.mark.parametrize(("level", "numbered"), [(None, False), (0, False), (1, True), (2, True)])
def test_5_4_4_packets_must_be_sequenced_when_the_peer_requires_it(level: int | None, numbered: bool) -> None:
    """level 2 all; level 1 too, since "all packets MUST be provided with sequence numbers" by one that cannot classify; without the AVP none."""
    say = up_called3()
    say.peer >> icrq3(data_sequencing=level)
    say.us << MessageType.ICRP
    assert numbered is created(say).sequencing
    asking = up3()
    call = asked3(asking)
    asking.peer >> icrp3(call.local_id, data_sequencing=level)
    asking.us << MessageType.ICCN
    assert numbered is created(asking).sequencing


def test_5_4_4_sequencing_that_iccn_asks_for_begins_then() -> None:
    """ICCN may carry it too; what it leaves out stays as it was."""
    say = up_called3()
    say.peer >> icrq3()
    say.us << MessageType.ICRP
    (call,) = say.core.calls.values()
    assert not created(say).sequencing
    say.peer >> iccn3(call.local_id, data_sequencing=2)
    say.us << ZLB
    (changed,) = say.plane()
    assert ModifySession(tunnel_id=say.core.local_id, session_id=call.local_id, sequencing=True) == changed
    silent = up_called3()
    assert incoming3(silent, data_sequencing=2).sequencing


def test_5_4_4_we_say_that_we_require_it() -> None:
    """Data Sequencing Level of 2 in ICRQ and ICCN, ICRP, OCRQ."""
    settings = SessionSettings(sequencing_required=True)
    say = up3()
    call = say.open_session(settings)
    assert 2 == heard(say, MessageType.ICRQ)[DATA_SEQUENCING]
    say.peer >> icrp3(call.local_id)
    assert 2 == heard(say, MessageType.ICCN)[DATA_SEQUENCING]
    say.peer >> ZLB
    say.open_session(attrs.evolve(settings, role=Role.LNS))
    assert 2 == heard(say, MessageType.OCRQ)[DATA_SEQUENCING]
    answering = up_called3()
    answering.policy.settings = settings
    answering.peer >> icrq3()
    assert 2 == heard(answering, MessageType.ICRP)[DATA_SEQUENCING]
    assert created(answering).sequencing


# --- speeds -----------------------------------------------------------------------------------------------------------------------


def test_5_4_4_connect_speeds_have_64_bits() -> None:
    """Both directions; those of the peer are kept."""
    speed = 400_000_000_000
    say = up3()
    call = say.open_session(SessionSettings(tx_connect_speed=speed, rx_connect_speed=speed + 1))
    asked = heard(say, MessageType.ICRQ)
    assert (speed, speed + 1) == (asked[TX_CONNECT_SPEED_BPS], asked[RX_CONNECT_SPEED_BPS])
    say.peer >> icrp3(call.local_id, tx_connect_speed_bps=speed + 2, rx_connect_speed_bps=speed + 3)
    say.us << MessageType.ICCN
    assert (speed + 2, speed + 3) == (call.tx_connect_speed, call.rx_connect_speed)


def test_5_4_4_without_an_rx_connect_speed_the_connection_is_symmetric() -> None:
    """represented by the single value in this AVP": then we send none."""
    say = up3()
    say.open_session(SessionSettings(tx_connect_speed=5))
    asked = heard(say, MessageType.ICRQ)
    assert (5, False) == (asked[TX_CONNECT_SPEED_BPS], RX_CONNECT_SPEED_BPS in asked)
