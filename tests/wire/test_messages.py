"""Decoding and encoding of whole messages: by hand, round trip, and whatever a peer may get wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.wire import avp as table
from l2tpd.wire.avp import (
    ASSIGNED_SESSION_ID,
    ASSIGNED_TUNNEL_ID,
    CALL_SERIAL_NUMBER,
    CALLED_NUMBER,
    CALLING_NUMBER,
    CHALLENGE,
    CONNECT_SPEED_UPDATE,
    FIRMWARE_REVISION,
    FRAMING_CAPABILITIES,
    FRAMING_TYPE,
    HOST_NAME,
    KNOWN,
    MESSAGE_TYPE,
    PROTOCOL_VERSION,
    PROXY_AUTHEN_NAME,
    PROXY_AUTHEN_RESPONSE,
    RANDOM_VECTOR,
    RECEIVE_WINDOW_SIZE,
    RESULT_CODE,
    RX_CONNECT_SPEED,
    TX_CONNECT_SPEED,
    VENDOR_NAME,
    Avp,
    RawAvp,
    build,
)
from l2tpd.wire.messages import MAX_NOTES, Fault, Message, Quirks, decode, encode, message
from l2tpd.wire.numbers import ErrorCode, MessageType
from l2tpd.wire.table import MESSAGES
from l2tpd.wire.values import (
    AccmValue,
    CallErrors,
    ConnectSpeed,
    DisconnectCause,
    ProtocolVersion,
    Q931Cause,
    ResultCode,
)

SECRET = b"sesame"
SCCRQ = bytes.fromhex(
    "8008 0000 0000 0001"  # Message Type SCCRQ
    "8008 0000 0002 0100"  # Protocol Version 1.0
    "800a 0000 0003 00000003"  # Framing Capabilities
    "800a 0000 0007 6c616331"  # Host Name "lac1"
    "8008 0000 0009 1267"  # Assigned Tunnel ID 4711
)
ICRQ = bytes.fromhex(
    "8008 0000 0000 000a"  # Message Type ICRQ
    "8008 0000 000e 0007"  # Assigned Session ID 7
    "800a 0000 000f 00000001"  # Call Serial Number 1
)
SCCRQ_VALUES: dict[Avp[Any], Any] = {
    PROTOCOL_VERSION: (1, 0),
    FRAMING_CAPABILITIES: 3,
    HOST_NAME: "lac1",
    ASSIGNED_TUNNEL_ID: 4711,
}


def numbers(bits: int, *, least: int = 0) -> st.SearchStrategy[int]:
    """Unsigned numbers of so many bits."""
    return st.integers(least, (1 << bits) - 1)


OCTETS = st.binary(max_size=60)
TEXTS = OCTETS.map(lambda octets: octets.decode("utf-8", "surrogateescape"))
SPECIAL: dict[Avp[Any], st.SearchStrategy[Any]] = {
    PROTOCOL_VERSION: st.builds(ProtocolVersion, numbers(8), numbers(8)),
    HOST_NAME: TEXTS.filter(bool),
    RESULT_CODE: st.builds(ResultCode, numbers(16)) | st.builds(ResultCode, numbers(16), numbers(16), TEXTS),
    table.Q931_CAUSE_CODE: st.builds(Q931Cause, numbers(16), numbers(8), TEXTS),
    table.CALL_ERRORS: st.builds(CallErrors, *[numbers(32)] * 6),
    table.ACCM: st.builds(AccmValue, numbers(32), numbers(32)),
    table.PPP_DISCONNECT_CAUSE: st.builds(DisconnectCause, numbers(16), numbers(16), numbers(8), TEXTS),
    CONNECT_SPEED_UPDATE: st.lists(
        st.builds(ConnectSpeed, numbers(16), numbers(32), numbers(32)), min_size=1, max_size=5
    ).map(tuple),
    ASSIGNED_TUNNEL_ID: numbers(16, least=1),
    ASSIGNED_SESSION_ID: numbers(16, least=1),
    RECEIVE_WINDOW_SIZE: numbers(16, least=1),
    table.PROXY_AUTHEN_ID: numbers(8),
    table.SEQUENCING_REQUIRED: st.just(True),
    table.CONNECT_SPEED_UPDATE_ENABLE: st.just(True),
    CALLED_NUMBER: TEXTS,
    CALLING_NUMBER: TEXTS,
    table.SUB_ADDRESS: TEXTS,
    VENDOR_NAME: TEXTS,
    PROXY_AUTHEN_NAME: TEXTS,
    table.PRIVATE_GROUP_ID: TEXTS,
    table.AGENT_CIRCUIT_ID: TEXTS.filter(bool),
    table.AGENT_REMOTE_ID: TEXTS.filter(bool),
    CHALLENGE: OCTETS.filter(bool),
    table.PROXY_AUTHEN_CHALLENGE: OCTETS.filter(bool),
    PROXY_AUTHEN_RESPONSE: OCTETS,
    table.INITIAL_RECEIVED_LCP_CONFREQ: OCTETS,
    table.LAST_SENT_LCP_CONFREQ: OCTETS,
    table.LAST_RECEIVED_LCP_CONFREQ: OCTETS,
    table.ACCESS_LOOP_ENCAPSULATION: st.binary(min_size=3, max_size=3),
    table.CHALLENGE_RESPONSE: st.binary(min_size=16, max_size=16),
}
RAW = st.builds(RawAvp, st.just(False), st.just(False), st.just(9), numbers(16), OCTETS, st.integers(0, 15))


def values_of(avp: Avp[Any]) -> st.SearchStrategy[Any]:
    """Any value that the row can carry; a row of fixed size without an own strategy is an unsigned number."""
    return SPECIAL[avp] if avp in SPECIAL else numbers(8 * avp.minimum)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any valid message: every required AVP, some optional ones, in any order, with some unknown AVPs."""
    row = MESSAGES[draw(st.sampled_from(sorted(MESSAGES)))]
    may = sorted(row.may, key=lambda avp: avp.key)
    chosen = draw(st.lists(st.sampled_from(may), unique=True)) if may else []
    order = draw(st.permutations([*sorted(row.need, key=lambda avp: avp.key), *chosen]))
    return message(row.type, {avp: draw(values_of(avp)) for avp in order}, draw(st.lists(RAW, max_size=3)))


def counting() -> Callable[[int], bytes]:
    """A source of octets that differ from call to call and are the same in every run."""
    calls = 0

    def source(size: int) -> bytes:
        nonlocal calls
        calls += 1
        return hashlib.shake_128(str(calls).encode()).digest(size)

    return source


def test_sccrq_by_hand() -> None:
    """Five AVPs assembled by hand give five values."""
    seen = decode(SCCRQ)
    assert (None, (), ()) == (seen.fault, seen.notes, seen.extra)
    assert (1, "SCCRQ", False, True) == (seen.type, seen.name, seen.session_scoped, seen.known)
    assert ((1, 0), 3, "lac1", 4711) == tuple(seen[avp] for avp in SCCRQ_VALUES)
    assert (1, None) == (seen[MESSAGE_TYPE], seen.get(CHALLENGE))
    assert HOST_NAME in seen
    assert CHALLENGE not in seen


def test_encode_gives_the_very_octets() -> None:
    """The encoder writes what the hand wrote."""
    assert SCCRQ == encode(message(MessageType.SCCRQ, SCCRQ_VALUES))


@given(messages())
def test_round_trip(sent: Message) -> None:
    """What is encoded decodes to the same message without a note; reserved bits of unknown AVPs survive too."""
    seen = decode(encode(sent))
    assert sent == seen
    assert () == seen.notes


@given(messages())
def test_round_trip_hidden(sent: Message) -> None:
    """Hidden, too; and a wrong or missing secret gives a message, never an exception."""
    body = encode(sent, secret=SECRET, hide=True, random=counting())
    assert sent == decode(body, secret=SECRET)
    assert sent.type == decode(body, secret=b"another").type == decode(body).type


@given(messages())
def test_hidden_values_are_not_in_clear(sent: Message) -> None:
    """Every AVP that may be hidden has the H bit, a Random Vector stands before the first, none is unhideable."""
    vector_seen = False
    body = encode(sent, secret=SECRET, hide=True, random=counting())
    for flags, number in walk(body):
        avp = KNOWN.get(number)
        vector_seen |= avp is RANDOM_VECTOR
        assert bool(flags & 0x4000) == (avp is not None and avp.hideable)
        assert vector_seen or not flags & 0x4000


def walk(body: bytes) -> list[tuple[int, int]]:
    """Flags and key of each AVP."""
    found = []
    while body:
        size = int.from_bytes(body[:2], "big") & 1023
        found.append((int.from_bytes(body[:2], "big") & 0xFC00, int.from_bytes(body[2:6], "big")))
        body = body[size:]
    return found


def test_the_same_attribute_twice_is_hidden_under_two_vectors() -> None:
    """One key stream for two values would give away their exclusive-or."""
    speeds = (ConnectSpeed(1, 2, 3), ConnectSpeed(4, 5, 6))
    sent = message(MessageType.CSUN, {CONNECT_SPEED_UPDATE: speeds})
    body = encode(sent, secret=SECRET, hide=True, random=counting())
    assert [0, 36, 97, 36, 97] == [key for _, key in walk(body)]
    assert speeds == decode(body, secret=SECRET)[CONNECT_SPEED_UPDATE]


def test_hidden_by_hand() -> None:
    """A Challenge hidden with hashlib, 3 octets of padding, is read back."""
    vector = b"0123456789abcdef"
    plain = b"\0\4" + b"abcd" + b"pad"
    key = hashlib.md5(b"\0\x0b" + SECRET + vector).digest()
    cipher = bytes(p ^ k for p, k in zip(plain, key, strict=False))
    body = SCCRQ + b"\x80\x16\0\0\0\x24" + vector + b"\xc0\x0f\0\0\0\x0b" + cipher
    assert b"abcd" == decode(body, secret=SECRET)[CHALLENGE]


def test_the_last_random_vector_counts() -> None:
    """With several Random Vectors each hidden AVP uses the closest one before it (RFC 2661 4.4.1)."""
    sent = message(MessageType.SCCRQ, {**SCCRQ_VALUES, VENDOR_NAME: "v", CHALLENGE: b"c"})
    one = encode(sent, secret=SECRET, hide=True, random=counting())
    two = encode(message(MessageType.HELLO, {CHALLENGE: b"other"}), secret=SECRET, hide=True, random=lambda n: b"z" * n)
    seen = decode(one + two[8:], secret=SECRET)
    assert (b"c", ("another Challenge (11) ignored",)) == (seen[CHALLENGE], seen.notes)
    swapped = decode(SCCRQ + two[8:] + one[8:], secret=SECRET)
    assert b"other" == swapped[CHALLENGE]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        SCCRQ[:7],
        SCCRQ[8:],  # no Message Type first
        b"\xc0" + SCCRQ[1:],  # hidden
        b"\x84" + SCCRQ[1:],  # reserved bit: unrecognized
        b"\x80\x07" + SCCRQ[2:],
        b"\x80\x09" + SCCRQ[2:],
        b"\x80\x00" + SCCRQ[2:],
        b"\x80\x08\0\x09" + SCCRQ[4:],  # Cisco's attribute 0
    ],
)
def test_no_message_type_first_is_malformed(body: bytes) -> None:
    """The Message Type MUST come first, 8 octets long, unhidden."""
    with pytest.raises(Malformed):
        decode(body)


def test_unknown_message_type_with_m_is_a_fault_of_the_tunnel() -> None:
    """The tunnel MUST be cleared (RFC 2661 4.4.1)."""
    seen = decode(bytes.fromhex("8008 0000 0000 0025"))
    assert Fault(ErrorCode.BAD_VALUE, "unknown message type 37") == seen.fault
    assert ("37", False, False) == (seen.name, seen.session_scoped, seen.known)


def test_unknown_message_type_without_m_may_be_ignored() -> None:
    """Nothing in it can be a fault, as all of it is ignored."""
    seen = decode(bytes.fromhex("0008 0000 0000 0025 8006 0000 03e7"))
    assert (None, False) == (seen.fault, seen.known)
    assert ("unknown message type 37", "unknown AVP vendor 0 attribute 999") == seen.notes


def test_unknown_message_type_can_be_encoded() -> None:
    """Tests and tools may send what nobody knows."""
    assert bytes.fromhex("8008 0000 0000 0025") == encode(message(37))


@pytest.mark.parametrize(("vendor", "number"), [(0, 999), (0, 20), (9, 12), (311, 1)])
def test_unknown_mandatory_avp_is_a_fault(vendor: int, number: int) -> None:
    """Error 8 names the attribute; the rest of the message is still read, and the AVP kept."""
    raw = RawAvp(True, False, vendor, number, b"xyz")
    body = SCCRQ[:8] + raw.pack() + SCCRQ[8:]
    seen = decode(body)
    assert Fault(ErrorCode.UNKNOWN_MANDATORY_AVP, f"unknown AVP vendor {vendor} attribute {number}") == seen.fault
    assert (4711, (raw,)) == (seen[ASSIGNED_TUNNEL_ID], seen.extra)


def test_unknown_optional_avp_is_kept_and_ignored() -> None:
    """Without the M bit an unrecognized AVP MUST be ignored; it survives octet for octet."""
    raw = RawAvp(False, False, 9, 12, b"xyz")
    seen = decode(SCCRQ + raw.pack())
    assert (None, (), (raw,)) == (seen.fault, seen.notes, seen.extra)
    assert SCCRQ + raw.pack() == encode(seen)


def test_quirks_forgive_the_m_bit_of_unknown_avps() -> None:
    """Vendors' AVPs and unknown IETF ones are forgiven apart; both leave a note."""
    vendor = SCCRQ + RawAvp(True, False, 9, 12, b"").pack()
    ietf = SCCRQ + RawAvp(True, False, 0, 999, b"").pack()
    assert decode(vendor, quirks=Quirks(ignore_vendor_avps=True)).fault is None
    assert decode(ietf, quirks=Quirks(ignore_vendor_avps=True)).fault is not None
    forgiven = decode(ietf, quirks=Quirks(ignore_unknown_avps=True))
    assert (None, ("unknown AVP vendor 0 attribute 999",)) == (forgiven.fault, forgiven.notes)


@pytest.mark.parametrize("bit", [0x20, 0x10, 0x08, 0x04])
def test_reserved_bit_makes_an_avp_unrecognized(bit: int) -> None:
    """Known or not, with M it is a fault, without M it is skipped (RFC 2661 4.1)."""
    fatal = decode(SCCRQ + bytes([0x80 | bit, 7]) + b"\0\0\0\x0bc")
    assert Fault(ErrorCode.UNKNOWN_MANDATORY_AVP, "reserved bit set on Challenge (11)") == fatal.fault
    harmless = decode(SCCRQ + bytes([bit, 7]) + b"\0\0\0\x0bc")
    assert (None, None, (RawAvp(False, False, 0, 11, b"c", bit >> 2),)) == (
        harmless.fault,
        harmless.get(CHALLENGE),
        harmless.extra,
    )


def test_malformed_optional_avp_is_ignored_with_a_note() -> None:
    """The RFC's own example (7.1): Rx Connect Speed of 8 octets instead of 10, M clear."""
    body = encode(message(MessageType.ICCN, {TX_CONNECT_SPEED: 1, FRAMING_TYPE: 1}))
    seen = decode(body + bytes.fromhex("0008 0000 0026 ffff"))
    assert (None, None) == (seen.fault, seen.get(RX_CONNECT_SPEED))
    assert ("Rx Connect Speed (38) of 2 octets",) == seen.notes


def test_malformed_avp_with_m_is_a_fault_though_the_table_says_optional() -> None:
    """The M bit on the wire decides, not the one that ought to be there."""
    body = encode(message(MessageType.ICCN, {TX_CONNECT_SPEED: 1, FRAMING_TYPE: 1}))
    seen = decode(body + bytes.fromhex("8008 0000 0026 ffff"))
    assert Fault(ErrorCode.BAD_LENGTH, "Rx Connect Speed (38) of 2 octets") == seen.fault


def test_the_first_fault_counts_and_later_ids_are_found() -> None:
    """An ICRQ with a bad AVP before its Assigned Session ID can still be answered by a CDN to that session."""
    bad = bytes.fromhex("8007 0000 0012 00") + bytes.fromhex("8006 0000 03e7")
    seen = decode(ICRQ[:8] + bad + ICRQ[8:])
    assert Fault(ErrorCode.BAD_LENGTH, "Bearer Type (18) of 1 octets") == seen.fault
    assert ("unknown AVP vendor 0 attribute 999",) == seen.notes
    assert (7, True) == (seen[ASSIGNED_SESSION_ID], seen.session_scoped)


@pytest.mark.parametrize("row", [row for row in MESSAGES.values() if row.need], ids=lambda row: row.name)
def test_each_required_avp_is_required(row: Any) -> None:
    """Leaving out any AVP that MUST be present is a fault on receipt, where the message may not be ignored, and our error on sending."""
    samples = {avp: sample(avp) for avp in row.need}
    assert decode(encode(message(row.type, samples))).fault is None
    for missing in row.need:
        rest = {avp: value for avp, value in samples.items() if avp is not missing}
        body = b"".join(build(avp, value) for avp, value in rest.items())
        defect = f"{row.name} without {missing}"
        assert Fault(ErrorCode.BAD_VALUE, defect) == decode(b"\x80" + row.opening[1:] + body).fault
        if not row.mandatory:
            seen = decode(row.opening + body)
            assert (None, (defect,)) == (seen.fault, seen.notes)
        with pytest.raises(LocalProtocolError, match="without"):
            encode(message(row.type, rest))


def sample(avp: Avp[Any]) -> Any:
    """Some value that the row can carry."""
    composite: dict[Avp[Any], Any] = {
        PROTOCOL_VERSION: (1, 0),
        HOST_NAME: "h",
        RESULT_CODE: ResultCode(1),
        CALLED_NUMBER: "1",
        table.CALL_ERRORS: CallErrors(),
        table.ACCM: AccmValue(),
    }
    return composite.get(avp, (ConnectSpeed(1),) if avp.repeats else 1)


@pytest.mark.parametrize(
    ("octets", "avp"),
    [("8008 0000 0009 0000", ASSIGNED_TUNNEL_ID), ("8008 0000 000a 0000", RECEIVE_WINDOW_SIZE)],
)
def test_zero_is_out_of_range(octets: str, avp: Avp[int]) -> None:
    """Assigned ids are non-zero; a window of zero could never be used."""
    seen = decode(SCCRQ[:-8] + bytes.fromhex(octets))
    assert seen.fault is not None
    assert (ErrorCode.BAD_VALUE, f"{avp} is zero") == (seen.fault.error, seen.fault.text)
    assert avp not in seen


def test_zero_id_in_a_message_that_ends_is_only_noted() -> None:
    """A peer that refuses a call before it chose an id sends 0; the CDN still counts."""
    seen = decode(bytes.fromhex("8008 0000 0000 000e 8008 0000 0001 0004 8008 0000 000e 0000"))
    assert (None, 0, ResultCode(4)) == (seen.fault, seen[ASSIGNED_SESSION_ID], seen[RESULT_CODE])
    assert ("Assigned Session ID (14) is zero",) == seen.notes


def test_the_first_of_two_wins() -> None:
    """A second AVP of one kind is ignored, even if it is malformed."""
    seen = decode(SCCRQ + build(HOST_NAME, "other") + bytes.fromhex("8007 0000 0009 00"))
    assert (None, "lac1") == (seen.fault, seen[HOST_NAME])
    assert ("another Host Name (7) ignored", "another Assigned Tunnel ID (9) ignored") == seen.notes


def test_a_second_message_type_is_ignored() -> None:
    """The first AVP alone says what the message is."""
    seen = decode(SCCRQ + bytes.fromhex("8008 0000 0000 0004"))
    assert (1, None) == (seen.type, seen.fault)


def test_avps_that_the_message_does_not_list_are_accepted() -> None:
    """mpd5 sends extra AVPs in SCCCN; they are readable and noted."""
    seen = decode(encode(message(MessageType.SCCCN)) + build(FIRMWARE_REVISION, 5) + build(VENDOR_NAME, "mpd"))
    assert (None, 5, "mpd") == (seen.fault, seen[FIRMWARE_REVISION], seen[VENDOR_NAME])
    assert tuple(f"{avp} is not expected in SCCCN" for avp in (FIRMWARE_REVISION, VENDOR_NAME)) == seen.notes


def test_result_code_of_eight_octets_is_complete() -> None:
    """MikroTik sends a Result Code without error code; that is legal (RFC 2661 4.4.2)."""
    seen = decode(bytes.fromhex("8008 0000 0000 000e 8008 0000 0001 0003 8008 0000 000e 0007"))
    assert (None, ResultCode(3)) == (seen.fault, seen[RESULT_CODE])


def test_repeating_avps_are_gathered() -> None:
    """A CSUN carries one Connect Speed Update for each session (RFC 5515)."""
    speeds = tuple(ConnectSpeed(index, 1, 2) for index in range(1, 4))
    seen = decode(encode(message(MessageType.CSUN, {CONNECT_SPEED_UPDATE: speeds})))
    assert (speeds, ()) == (seen[CONNECT_SPEED_UPDATE], seen.notes)


def test_an_avp_that_must_not_be_hidden_is_read_and_noted() -> None:
    """A hidden Host Name breaks a rule, but is understood."""
    vector = bytes(16)
    key = hashlib.md5(b"\0\7" + SECRET + vector).digest()
    cipher = bytes(p ^ k for p, k in zip(b"\0\4lac2", key, strict=False))
    body = SCCRQ[:26] + b"\x80\x16\0\0\0\x24" + vector + b"\xc0\x0c\0\0\0\7" + cipher + SCCRQ[36:]
    seen = decode(body, secret=SECRET)
    assert (None, "lac2", ("Host Name (7) must not be hidden",)) == (seen.fault, seen[HOST_NAME], seen.notes)


def test_notes_are_bounded() -> None:
    """Thousands of defects leave a handful of notes."""
    seen = decode(SCCRQ + build(HOST_NAME, "x") * 5000)
    assert MAX_NOTES == len(seen.notes)


def test_missing_value_is_a_key_error_and_get_gives_none() -> None:
    """Only AVPs known to be present are indexed."""
    seen = decode(SCCRQ)
    with pytest.raises(KeyError):
        seen[CHALLENGE]


def test_repr_shows_no_value() -> None:
    """A proxied password must not reach a traceback."""
    shown = repr(message(MessageType.ICCN, {PROXY_AUTHEN_RESPONSE: b"hunter2"}))
    assert "<Message ICCN: Proxy Authen Response>" == shown


@pytest.mark.parametrize(("secret", "random"), [(b"", counting()), (SECRET, None)])
def test_hiding_needs_a_secret_and_a_random_source(secret: bytes, random: Callable[[int], bytes] | None) -> None:
    """The H bit MUST only be set if a shared secret exists (RFC 2661 4.3)."""
    with pytest.raises(LocalProtocolError, match="secret"):
        encode(message(MessageType.SCCRQ, SCCRQ_VALUES), secret=secret, hide=True, random=random)


def test_a_message_that_hides_nothing_needs_neither() -> None:
    """HELLO has nothing to hide."""
    assert bytes.fromhex("8008 0000 0000 0006") == encode(message(MessageType.HELLO), hide=True)


def test_hidden_values_are_padded_to_blocks_and_bounded() -> None:
    """The length of a name is masked; a value that leaves no room for its length is refused, not sent in clear."""
    sent: dict[Avp[Any], Any] = {ASSIGNED_SESSION_ID: 1, CALL_SERIAL_NUMBER: 1, CALLED_NUMBER: "1" * 1015}
    body = encode(message(MessageType.ICRQ, sent), secret=SECRET, hide=True, random=counting())
    assert "1" * 1015 == decode(body, secret=SECRET)[CALLED_NUMBER]
    assert 8 + 22 + 22 + 22 + 1023 == len(body)
    with pytest.raises(LocalProtocolError, match="1018"):
        encode(
            message(MessageType.ICRQ, {**sent, CALLED_NUMBER: "1" * 1016}), secret=SECRET, hide=True, random=counting()
        )


def test_a_hidden_unknown_avp_is_kept_but_not_passed_on() -> None:
    """Without its Random Vector nobody could read it."""
    raw = RawAvp(False, True, 9, 12, b"cipher")
    seen = decode(SCCRQ + raw.pack(), secret=SECRET)
    assert (None, (raw,)) == (seen.fault, seen.extra)
    with pytest.raises(LocalProtocolError, match="hidden"):
        encode(seen)


def test_a_message_too_long_for_the_header_is_our_error() -> None:
    """Nothing is truncated."""
    extra = [RawAvp(False, False, 9, 1, bytes(1017))] * 65
    with pytest.raises(LocalProtocolError, match="at most"):
        encode(message(MessageType.HELLO, {}, extra))


def test_a_repeating_avp_needs_a_tuple() -> None:
    """One value alone is our error."""
    with pytest.raises(LocalProtocolError, match="tuple"):
        encode(message(MessageType.CSUN, {CONNECT_SPEED_UPDATE: 5}))


@pytest.mark.parametrize("kind", [MessageType.CSUN, MessageType.CSURQ], ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    ("rest", "note"),
    [
        ("", "without Connect Speed Update (97)"),
        ("8007 0000 0061 00", "Connect Speed Update (97) of 1 octets"),
        ("8006 0000 03e7", "unknown AVP vendor 0 attribute 999"),
        ("8042 0000 0061", "claims 66 of 6 octets"),
        ("80", "1 octets after the last AVP"),
    ],
    ids=["missing", "malformed", "unknown mandatory", "torn", "trailing"],
)
def test_a_message_that_may_be_ignored_is_never_a_fault(kind: MessageType, rest: str, note: str) -> None:
    """RFC 5515 sends CSUN and CSURQ with the Message Type's M bit clear, so whatever else is wrong ends no tunnel; with the bit it does."""
    body = b"\0\0\0\0" + int(kind).to_bytes(2, "big") + bytes.fromhex(rest)
    seen = decode(b"\x00\x08" + body)
    assert seen.fault is None
    assert any(note in text for text in seen.notes)
    assert decode(b"\x80\x08" + body).fault is not None


def test_the_m_bit_of_a_message_that_must_be_known_excuses_nothing() -> None:
    """A HELLO or ICRQ whose sender cleared the M bit is judged as ever: only types that may be ignored can be."""
    assert decode(b"\x00" + ICRQ[1:8]).fault is not None
    assert decode(bytes.fromhex("0008 0000 0000 0006 8006 0000 03e7")).fault is not None


def test_a_message_with_a_random_vector_says_so() -> None:
    """The vector is consumed by the reading; that there was one is kept, and makes no message unequal."""
    plain = message(MessageType.ICRQ, {ASSIGNED_SESSION_ID: 7, table.CALL_SERIAL_NUMBER: 1})
    open_, hidden = encode(plain), encode(plain, secret=b"s", hide=True, random=bytes)
    assert (False, True) == (decode(open_).hides, decode(hidden, secret=b"s").hides)
    assert decode(open_) == decode(hidden, secret=b"s")
    assert RANDOM_VECTOR not in decode(hidden, secret=b"s")
