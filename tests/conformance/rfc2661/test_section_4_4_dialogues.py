"""RFC 2661 section 4.4 in dialogues and on the wire: which bits our AVPs have, and what each of them is good for."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from dialogue import (
    OURS,
    SECRET,
    ZLB,
    Dialogue,
    dialled,
    iccn,
    icrp,
    icrq,
    incoming,
    ocrq,
    sccrp,
    sccrq,
    stage,
    unknown,
    up,
    up_called,
)
from house import Peer, free_port, house
from l2tpd.config.model import Authentication, Role, SessionSettings
from l2tpd.errors import LocalProtocolError
from l2tpd.kernel.ops import CreateSession, ModifySession
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import (
    ASSIGNED_TUNNEL_ID,
    BEARER_CAPABILITIES,
    BEARER_TYPE,
    CALL_SERIAL_NUMBER,
    FRAMING_TYPE,
    KNOWN,
    RECEIVE_WINDOW_SIZE,
    RESULT_CODE,
    SEQUENCING_REQUIRED,
    TIE_BREAKER,
)
from l2tpd.wire.messages import Message, decode, encode, message
from l2tpd.wire.numbers import CallResult, ErrorCode, MessageType

HELLO = "8008 0000 0000 0006"
LARGEST = 2**64 - 1
OUTGOING = SessionSettings(role=Role.LNS, called_number="1")

# Attribute, M bit, whether the H bit may be set, a value as its section lays it out; read off 4.4.1 to 4.4.6.
ATTRIBUTES: list[tuple[int, bool, bool, str]] = [
    (1, True, False, "0002 0006 6e6f"),
    (2, True, False, "0100"),
    (3, True, True, "00000003"),
    (4, True, True, "00000003"),
    (5, False, False, "0102030405060708"),
    (6, False, True, "0100"),
    (7, True, False, "6c6163"),
    (8, False, True, "6c32747064"),
    (9, True, True, "0007"),
    (10, True, False, "0080"),
    (11, True, True, "010203"),
    (12, True, False, "0010 00"),
    (13, True, True, "00112233445566778899aabbccddeeff"),
    (14, True, True, "0007"),
    (15, True, True, "00000007"),
    (16, True, True, "0000012c"),
    (17, True, True, "0000fa00"),
    (18, True, True, "00000001"),
    (19, True, True, "00000001"),
    (21, True, True, "353535"),
    (22, True, True, "353535"),
    (23, True, True, "31"),
    (24, True, True, "0000fa00"),
    (25, False, True, "00000005"),
    (26, False, True, "0104"),
    (27, False, True, "0104"),
    (28, False, True, "0104"),
    (29, False, True, "0002"),
    (30, False, True, "75736572"),
    (31, False, True, "0102"),
    (32, False, True, "0009"),
    (33, False, True, "0102"),
    (34, True, True, "0000" + "00000001" * 6),
    (35, True, True, "0000 00000000 00000001"),
    (37, False, True, "726564"),
    (38, False, True, "00002580"),
    (39, True, False, ""),
]


@pytest.mark.parametrize(("number", "mandatory", "hideable", "value"), ATTRIBUTES)
def test_4_4_each_attribute(number: int, *, mandatory: bool, hideable: bool, value: str) -> None:
    """The M-bit for this AVP MUST be set to" what its section says; "This AVP MUST NOT be hidden" where it says so; reserved bits and fields are 0."""
    row, octets = KNOWN[number], bytes.fromhex(value)
    said = message(MessageType.HELLO, {row: row.decode(octets)})
    head = (0x8000 * mandatory | 6 + len(octets)).to_bytes(2, "big")
    assert bytes.fromhex(HELLO) + head + bytes(2) + number.to_bytes(2, "big") + octets == encode(said)
    hidden = encode(said, secret=b"sesame", hide=True, random=os.urandom)
    assert hideable is any(
        hidden[place : place + 6] == _hidden(hidden[place:], number) for place in range(8, len(hidden))
    )
    assert hideable is not (octets in hidden and hidden.endswith(octets))


def _hidden(rest: bytes, number: int) -> bytes:
    """Return the header that this attribute would have if it were hidden, with the M bit and length that stand here."""
    return bytes([rest[0] & 0x83 | 0x40]) + rest[1:2] + bytes(2) + number.to_bytes(2, "big")


def test_4_4_all_attributes_are_listed() -> None:
    """But for Message Type and Random Vector, which are shown below, and 20, which is none."""
    assert set(range(40)) - {0, 20, 36} == {row[0] for row in ATTRIBUTES}


def test_4_4_1_message_type_and_random_vector_are_never_hidden() -> None:
    """The Message Type AVP MUST be the first AVP", and the vector "MUST precede the first AVP with the H bit set"; both with M-bit and without H-bit."""
    row = KNOWN[8]
    body = encode(message(MessageType.HELLO, {row: "v"}), secret=b"sesame", hide=True, random=os.urandom)
    assert bytes.fromhex(HELLO + "8016 0000 0024") == body[:14]


def test_4_4_1_a_random_vector_is_another_one_each_time() -> None:
    """a "random value", of at least 16 octets as is recommended; a daemon draws it from the system."""
    vectors = set()
    for _ in range(20):
        body = encode(message(MessageType.HELLO, {KNOWN[8]: "v"}), secret=b"s", hide=True, random=os.urandom)
        vectors.add(body[14:30])
    assert 20 == len(vectors)


@pytest.mark.parametrize("what", ["tunnel", "session"])
def test_4_4_2_error_messages_are_in_utf_8(what: str) -> None:
    """Human readable text in all error messages MUST be provided in the UTF-8 charset."""
    say = up()
    if what == "tunnel":
        say.core.close(0.0, 2, "Tschüß ☂")
    else:
        call = say.open_session()
        say.us << MessageType.ICRQ
        say.peer >> ZLB
        say.core.close_session(call.local_id, 0.0, "Tschüß ☂")
    (datagram,) = say.core.datagrams_to_send(0.0)
    say.core.take_outputs()
    assert "Tschüß ☂".encode() in datagram


def test_4_4_2_error_6_says_more_in_its_message() -> None:
    """When a General Error Code of 6 is used, additional information about the error SHOULD be included in the Error Message field."""
    say = up_called()
    call = incoming(say)
    say.peer.say(iccn(), session_id=call.local_id)
    ended = (say.us << MessageType.CDN).said
    assert ended is not None
    assert (CallResult.ERROR, ErrorCode.VENDOR) == (ended[RESULT_CODE].result, ended[RESULT_CODE].error)
    assert "ICCN is not expected in state established" == ended[RESULT_CODE].message


# --- what SCCRQ and SCCRP announce ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [True, False], ids=["SCCRQ", "SCCRP"])
def test_4_4_3_the_bearer_capabilities_must_be_present(asked: bool) -> None:
    """if the sender can place outgoing calls when requested."""
    say = stage(origin="local" if asked else "network", bearer_caps=("digital",))
    if asked:
        say.open()
    else:
        say.peer >> sccrq()
    (heard,) = say.skip()
    assert heard.said is not None
    assert 1 == heard.said[BEARER_CAPABILITIES]


def talking(**offers: object) -> Dialogue:
    """Return a dialogue with an established tunnel to a LAC that offers this."""
    say = dialled()
    say.peer >> sccrp(**offers)
    say.us << MessageType.SCCCN
    say.peer >> ZLB
    return say


@pytest.mark.parametrize(("bearer", "framing"), [(1, 1), (2, 2), (1, 3), (3, 2), (3, 3)])
def test_4_4_4_an_ocrq_must_have_no_bits_that_were_not_offered(bearer: int, framing: int) -> None:
    """Bits in the Value field of this AVP MUST only be set by the LNS for an OCRQ if it was set in the" Bearer and Framing Capabilities received."""
    say = talking(bearer_capabilities=bearer, framing_capabilities=framing)
    call = say.open_session(OUTGOING)
    asked = (say.us << MessageType.OCRQ).said
    assert asked is not None
    assert (bearer, framing) == (asked[BEARER_TYPE], asked[FRAMING_TYPE])
    assert CallState.WAIT_REPLY is call.state


@pytest.mark.parametrize(
    "offers", [{"bearer_capabilities": None}, {"bearer_capabilities": 0}, {"framing_capabilities": 0}]
)
def test_4_4_3_no_call_must_be_requested_that_was_not_offered(offers: dict[str, object]) -> None:
    """A peer MUST NOT request ... a Framing Type AVP specifying a value not advertised"; 6.9: an LNS "MUST have received a Bearer Capabilities AVP"."""
    say = talking(**offers)
    with pytest.raises(LocalProtocolError, match="the peer has no any"):
        say.core.open_session(OUTGOING, 0.0)
    say.silent()


@pytest.mark.parametrize("announced", [None, 4, 1])
def test_4_4_3_the_window_that_the_peer_announces_is_kept(announced: int | None) -> None:
    """If absent, the peer must assume a Window Size of 4 for its transmit window"; each acknowledgement lets another message go."""
    say = talking(receive_window_size=announced)
    assert say.core.facts is not None
    assert (announced or 4) == say.core.facts.receive_window == say.core.channel.peer_window


def test_4_4_3_our_window_is_announced() -> None:
    """The number of messages that we take before one of them is acknowledged."""
    say = stage(receive_window=33)
    say.open()
    say.us << message(MessageType.SCCRQ, {RECEIVE_WINDOW_SIZE: 33})


@pytest.mark.parametrize("heard", [True, False], ids=["after SCCRP", "before"])
def test_4_4_3_a_stopccn_must_name_the_id_that_was_first_sent(heard: bool) -> None:
    """permitting the peer to identify the appropriate tunnel even if a StopCCN is sent before an Assigned Tunnel ID AVP is received."""
    say = up() if heard else dialled()
    if not heard:
        say.peer >> ZLB
    say.close()
    stopped = say.us << message(MessageType.STOPCCN, {ASSIGNED_TUNNEL_ID: OURS})
    assert heard is (stopped.tunnel_id != 0)


# --- Tie Breaker ------------------------------------------------------------------------------------------------------------------

CALLING = """
[peer.default]
[tunnel.t]
peer = "127.0.0.1:{port}"
tie_breaker = true
persist = false
"""


@pytest.mark.parametrize(
    ("theirs", "we_live", "they_live"),
    [
        (lambda _: LARGEST, True, False),
        (lambda _: None, True, False),
        (lambda _: 0, False, True),
        (lambda ours: ours, False, False),
    ],
    ids=["we win", "only ours", "we lose", "equal"],
)
async def test_4_4_3_the_lower_tie_breaker_wins_and_the_loser_must_silently_discard(
    theirs: Callable[[int], int | None], *, we_live: bool, they_live: bool
) -> None:
    """In the case where a tie breaker is present on both sides, and the value is equal, both sides MUST discard their tunnels."""
    port = free_port()
    async with house(CALLING.format(port=port)) as there:
        with Peer(there.address, port=port) as peer:
            mine = there.the_tunnel()
            asked = await peer.hear(0)
            assert asked.said is not None
            breaker = asked.said[TIE_BREAKER]
            await peer.say(sccrq(assigned_tunnel_id=77, tie_breaker=theirs(breaker)))
            if they_live:
                assert MessageType.SCCRP == (await peer.hear(77)).type
            else:
                assert [] == [heard for heard in await peer.rest() if heard.header.tunnel_id]
            assert we_live is (mine.core.state is State.WAIT_CTL_REPLY)
            assert we_live + they_live == sum(tunnel.core.state is not State.CLOSED for tunnel in there.tunnels)


# --- calls ------------------------------------------------------------------------------------------------------------------------


def test_4_4_4_call_serial_numbers_progressively_increase() -> None:
    """set to progressively increasing values", over incoming and outgoing calls."""
    say = up()
    serials = []
    for settings in (SessionSettings(), OUTGOING, SessionSettings()):
        say.open_session(settings)
        (heard,) = say.skip()
        assert heard.said is not None
        serials.append(heard.said[CALL_SERIAL_NUMBER])
        say.peer >> ZLB
    assert sorted(set(serials)) == serials


def test_4_4_4_sequence_numbers_must_be_present_where_they_are_required() -> None:
    """Sequence Numbers MUST always be present on the data channel", whoever has required them (5.4)."""
    asking = up()
    call = asking.open_session(SessionSettings(sequencing_required=True))
    asking.us << MessageType.ICRQ
    asking.peer.say(icrp(), session_id=call.local_id)
    asking.us << message(MessageType.ICCN, {SEQUENCING_REQUIRED: True})
    (made,) = [done for done in asking.plane() if isinstance(done, CreateSession)]
    assert made.sequencing
    answering = up_called()
    answering.peer >> icrq()
    answering.us << MessageType.ICRP
    (call,) = answering.core.calls.values()
    answering.plane()
    answering.peer.say(iccn(sequencing_required=True), session_id=call.local_id)
    answering.us << ZLB
    assert [ModifySession(tunnel_id=OURS, session_id=call.local_id, sequencing=True)] == answering.plane()


# --- 4.1, on a whole control connection -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [icrq, ocrq], ids=["ICRQ", "OCRQ"])
def test_4_1_the_session_must_be_terminated(request_: Callable[..., Message]) -> None:
    """If the M bit is set on an unrecognized AVP within a message associated with a particular session": with Error Code 8, and the tunnel stays."""
    say = up_called()
    say.peer >> request_(500, unknown(mandatory=True))
    ended = (say.us << MessageType.CDN).said
    assert ended is not None
    assert (2, 8) == (ended[RESULT_CODE].result, ended[RESULT_CODE].error)
    assert "999" in ended[RESULT_CODE].message
    say.state_is(State.ESTABLISHED)


def test_4_1_the_entire_tunnel_must_be_terminated() -> None:
    """and all sessions within", if it is a message of the tunnel."""
    say = up_called()
    call = incoming(say)
    say.peer >> message(MessageType.HELLO, {}, [unknown(mandatory=True)])
    ended = (say.us << MessageType.STOPCCN).said
    assert ended is not None
    assert (2, 8) == (ended[RESULT_CODE].result, ended[RESULT_CODE].error)
    say.state_is(CallState.IDLE, call)


def test_4_1_it_must_be_ignored_without_the_m_bit() -> None:
    """as if the AVP had not been present."""
    say = up_called()
    say.peer >> icrq(500, unknown(mandatory=False))
    say.us << MessageType.ICRP
    assert decode(say.peer.body(icrq(500, unknown(mandatory=False)))).fault is None


def test_4_3_the_h_bit_must_not_be_set_without_a_secret() -> None:
    """The H bit MUST only be set if a shared secret exists", whatever the settings say; with one, what may be hidden is."""
    for secret in ("", SECRET):
        say = up(secret=secret, hide_avps=True, authentication=Authentication.NONE)
        say.core.open_session(SessionSettings(calling_number="555"), 0.0)
        (datagram,) = say.core.datagrams_to_send(0.0)
        say.core.take_outputs()
        flags, position = [], 12
        while position < len(datagram):
            flags.append(datagram[position] & 0x40)
            position += int.from_bytes(datagram[position : position + 2], "big") & 0x3FF
        assert bool(secret) is any(flags)
