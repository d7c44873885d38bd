"""Messages of version 3, and the one message that speaks both versions; the lists and layouts are in conformance/rfc3931."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.wire import avp as table
from l2tpd.wire.avp import KNOWN_3, MESSAGE_TYPE, Avp, RawAvp, encode_value
from l2tpd.wire.messages import (
    FALLBACK,
    MAX_NOTES,
    MESSAGES_3,
    V3,
    Message,
    Quirks,
    decode,
    decode3,
    encode,
    encode3,
    message,
    offers_v3,
)
from l2tpd.wire.numbers import ErrorCode, MessageType
from l2tpd.wire.values import CallErrors, ExtendedAvp, MessageDigest, ResultCode

SECRET = b"sesame"
EITHER: dict[Avp[Any], Any] = {
    table.PROTOCOL_VERSION: (1, 0),
    table.FRAMING_CAPABILITIES: 3,
    table.HOST_NAME: "lcce",
    table.ASSIGNED_TUNNEL_ID: 4711,
    table.ROUTER_ID: 1,
    table.ASSIGNED_CONTROL_CONNECTION_ID: 0x01020304,
    table.PSEUDOWIRE_CAPABILITIES: (7, 5),
}


def texts(*, least: int = 0) -> st.SearchStrategy[str]:
    return st.text(min_size=least, max_size=40).filter(lambda text: text.isprintable())


def words(bits: int, *, least: int = 0) -> st.SearchStrategy[int]:
    return st.integers(least, (1 << bits) - 1)


def blob(*, least: int = 0, most: int = 40) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=least, max_size=most)


VALUES: dict[Avp[Any], st.SearchStrategy[Any]] = {
    table.RESULT_CODE: st.builds(ResultCode, words(16), words(16), texts()),
    table.TIE_BREAKER: words(64),
    table.HOST_NAME: texts(least=1),
    table.VENDOR_NAME: texts(),
    table.RECEIVE_WINDOW_SIZE: words(16, least=1),
    table.CALL_SERIAL_NUMBER: words(32),
    table.PHYSICAL_CHANNEL_ID: words(32),
    table.CALL_ERRORS: st.builds(CallErrors, *[words(32)] * 6),
    table.EXTENDED_VENDOR_ID: st.lists(st.builds(ExtendedAvp, words(32), words(16), blob()), min_size=1).map(tuple),
    table.MESSAGE_DIGEST: st.lists(st.builds(MessageDigest, words(8), blob()), min_size=1, max_size=2).map(tuple),
    table.ROUTER_ID: words(32),
    table.ASSIGNED_CONTROL_CONNECTION_ID: words(32, least=1),
    table.PSEUDOWIRE_CAPABILITIES: st.lists(words(16), min_size=1, max_size=100).map(tuple),
    table.LOCAL_SESSION_ID: words(32, least=1),
    table.REMOTE_SESSION_ID: words(32),
    table.ASSIGNED_COOKIE: st.sampled_from([0, 4, 8]).flatmap(lambda size: blob(least=size, most=size)),
    table.REMOTE_END_ID: texts(),
    table.PSEUDOWIRE_TYPE: words(16),
    table.L2_SPECIFIC_SUBLAYER: words(16),
    table.DATA_SEQUENCING: words(16),
    table.CIRCUIT_STATUS: words(16),
    table.PREFERRED_LANGUAGE: texts(),
    table.CONTROL_MESSAGE_NONCE: blob(least=1),
    table.TX_CONNECT_SPEED_BPS: words(64),
    table.RX_CONNECT_SPEED_BPS: words(64),
}


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Any message of the table with its required AVPs and some of the others."""
    row = draw(st.sampled_from(list(MESSAGES_3.values())))
    optional = sorted(row.may, key=lambda avp: avp.number)
    chosen = [*sorted(row.need, key=lambda avp: avp.number), *draw(st.lists(st.sampled_from(optional), unique=True))]
    return message(row.type, {avp: draw(VALUES[avp]) for avp in chosen}, vocabulary=V3)


def counting() -> Callable[[int], bytes]:
    """A random source of the same octets in every run, and never the same twice in one."""
    calls = iter(range(1 << 30))
    return lambda size: hashlib.shake_128(next(calls).to_bytes(4, "big")).digest(size)


@given(messages())
def test_round_trip(sent: Message) -> None:
    """What is encoded is read back without a remark."""
    seen = decode3(encode3(sent))
    assert sent == seen
    assert (None, (), False) == (seen.fault, seen.notes, seen.hides)


@given(messages())
def test_round_trip_hidden(sent: Message) -> None:
    """And so is what may be hidden, by one who knows the secret."""
    seen = decode3(encode3(sent, secret=SECRET, hide=True, random=counting()), secret=SECRET)
    assert sent == seen
    assert (None, ()) == (seen.fault, seen.notes)


@given(messages())
def test_a_hidden_message_is_read_by_nobody_else(sent: Message) -> None:
    """Neither without the secret nor with the keys of version 2."""
    body = encode3(sent, secret=SECRET, hide=True, random=counting())
    hideable = {avp for avp in sent.values if avp.hideable}
    assert not hideable & decode3(body).values.keys()
    if table.REMOTE_END_ID in hideable:
        expected = sent.values[table.REMOTE_END_ID]
        assert expected == "" or expected != decode(body, secret=SECRET, vocabulary=FALLBACK).get(table.REMOTE_END_ID)


def test_every_listed_attribute_is_drawn() -> None:
    """No row of the message table escapes the round trip."""
    assert set(VALUES) == {avp for row in MESSAGES_3.values() for avp in row.need | row.may}


@given(st.sampled_from(sorted(MESSAGES_3)), st.binary(max_size=200))
def test_any_octets_give_a_message(kind: int, rest: bytes) -> None:
    """Whatever follows the Message Type, within bounds."""
    seen = decode3(b"\x80\x08\0\0\0\0" + kind.to_bytes(2, "big") + rest, secret=SECRET)
    assert kind == seen.type
    assert len(seen.notes) <= MAX_NOTES


def test_many_repeated_avps_are_gathered_in_order() -> None:
    """Two attributes that repeat, interleaved."""
    digests = tuple(MessageDigest(0, bytes([number]) * 16) for number in range(2))
    vendors = tuple(ExtendedAvp(number, 1) for number in range(3))
    hello = message(MessageType.HELLO, {table.MESSAGE_DIGEST: digests, table.EXTENDED_VENDOR_ID: vendors})
    assert hello == decode3(encode3(hello))


def test_a_repeated_avp_of_a_wrong_length_is_noted() -> None:
    """The good one before it stays."""
    body = encode3(message(MessageType.HELLO, {table.EXTENDED_VENDOR_ID: (ExtendedAvp(1, 2),)}))
    seen = decode3(body + bytes.fromhex("0008 0000 003a 0000"))
    assert (ExtendedAvp(1, 2),) == seen[table.EXTENDED_VENDOR_ID]
    assert ("another Extended Vendor ID (58) ignored",) == seen.notes


def test_attributes_of_version_2_are_recognized_and_only_noted() -> None:
    """RFC 3931 4.7.3: liberal in accepting the presence of AVPs specific to version 2, even if the M bit is set."""
    needed = {avp: EITHER[avp] for avp in MESSAGES_3[MessageType.SCCRQ].need}
    seen = decode3(encode3(message(MessageType.SCCRQ, needed)) + bytes.fromhex("8008 0000 0009 1267"))
    assert (None, 4711) == (seen.fault, seen[table.ASSIGNED_TUNNEL_ID])
    assert ("Assigned Tunnel ID (9) is not expected in SCCRQ",) == seen.notes


def test_quirks_forgive_unknown_avps_as_in_version_2() -> None:
    """The M bit of a vendor that does not mean it."""
    body = encode3(message(MessageType.HELLO), vocabulary=V3) + bytes.fromhex("8006 0009 0001")
    fault = decode3(body).fault
    assert fault is not None
    assert ErrorCode.UNKNOWN_MANDATORY_AVP is fault.error
    assert decode3(body, quirks=Quirks(ignore_vendor_avps=True)).fault is None


@pytest.mark.parametrize(("opening", "fatal"), [("8008 0009 0000 0001", True), ("0008 0009 0000 0001", False)])
def test_a_message_type_of_a_vendor_is_unknown(opening: str, *, fatal: bool) -> None:
    """RFC 3931 5.4.1: its M bit says whether the control connection is cleared; the number is not one of ours."""
    seen = decode3(bytes.fromhex(opening))
    assert (False, False, fatal) == (seen.known, seen.session_scoped, seen.fault is not None)
    assert "unknown message type 1 of vendor 9" == (seen.fault.text if seen.fault else seen.notes[0])
    with pytest.raises(Malformed):
        decode(bytes.fromhex(opening))
    with pytest.raises(LocalProtocolError):
        encode3(seen)


@pytest.mark.parametrize(
    "opening", ["8008 0009 0001 0001", "8007 0000 0000 01", "c008 0000 0000 0001", "8008 0000 003b 00"]
)
def test_no_message_type_first_is_malformed(opening: str) -> None:
    """Another attribute, a wrong length, a hidden one, too little."""
    with pytest.raises(Malformed):
        decode3(bytes.fromhex(opening))


def test_each_version_knows_its_own_types() -> None:
    """The ACK is of version 3, the CSUN of version 2; both are named in either."""
    ack, csun = bytes.fromhex("8008 0000 0000 0014"), bytes.fromhex("0008 0000 0000 001c")
    assert ("ACK", True) == (decode3(ack).name, decode3(ack).known)
    assert ("ACK", False) == (decode(ack).name, decode(ack).known)
    assert decode(ack).fault is not None
    assert ("CSUN", False, None) == (decode3(csun).name, decode3(csun).known, decode3(csun).fault)


def test_raw_avps_go_out_as_they_came() -> None:
    """Unknown attributes survive."""
    extra = (RawAvp(False, False, 9, 1, b"x"), RawAvp(False, False, 0, 999, b""))
    hello = message(MessageType.HELLO, {}, extra, V3)
    assert hello == decode3(encode3(hello))


OFFER = encode(message(MessageType.SCCRQ, EITHER, vocabulary=FALLBACK), vocabulary=FALLBACK)
"""An SCCRQ of version 2 that offers version 3 (RFC 3931 4.7.3)."""


def test_an_offer_of_version_3_may_be_ignored() -> None:
    """Version 3's AVPs go without the M bit, version 2's as they would anyway."""
    bits, rest = {}, OFFER
    while rest:
        head = int.from_bytes(rest[:2], "big")
        bits[int.from_bytes(rest[4:6], "big")] = bool(head & 0x8000)
        rest = rest[head & 0x3FF :]
    assert {0: True, 2: True, 3: True, 7: True, 9: True, 60: False, 61: False, 62: False} == bits


def test_who_knows_version_2_alone_ignores_an_offer() -> None:
    """To it the message is an SCCRQ like any other."""
    seen = decode(OFFER)
    assert seen.fault is None
    assert {avp for avp in EITHER if avp in table.KNOWN.values()} | {MESSAGE_TYPE} == set(seen.values)
    assert not offers_v3(seen)


def test_who_knows_both_versions_reads_an_offer() -> None:
    """It reads all and finds nothing remarkable."""
    seen = decode(OFFER, vocabulary=FALLBACK)
    assert {**EITHER, MESSAGE_TYPE: 1} == seen.values
    assert (None, ()) == (seen.fault, seen.notes)
    assert offers_v3(seen)


@pytest.mark.parametrize("missing", [table.ROUTER_ID, table.ASSIGNED_CONTROL_CONNECTION_ID])
def test_half_an_offer_is_none(missing: Avp[Any]) -> None:
    """Without one of them no SCCRP of version 3 could be right; version 2 still can."""
    values = {avp: value for avp, value in EITHER.items() if avp is not missing}
    seen = decode(encode(message(MessageType.SCCRQ, values), vocabulary=FALLBACK), vocabulary=FALLBACK)
    assert (None, False) == (seen.fault, offers_v3(seen))


def test_no_other_message_offers_anything() -> None:
    """It is the first message alone that can."""
    assert not offers_v3(message(MessageType.SCCRP, EITHER))


def test_an_offer_is_still_an_sccrq_of_version_2() -> None:
    """The header says 2, and what version 2 demands must be there."""
    values = {avp: value for avp, value in EITHER.items() if avp is not table.ASSIGNED_TUNNEL_ID}
    with pytest.raises(LocalProtocolError, match=r"\(9\)"):
        encode(message(MessageType.SCCRQ, values), vocabulary=FALLBACK)


def test_all_of_version_3_is_all_there_is() -> None:
    """Every row encodes what it was drawn with; none of them is out of reach of the strategies but those of version 2."""
    assert {row for row in KNOWN_3.values() if row.where.startswith("RFC 3931")} <= set(VALUES)
    assert b"\0\5" == encode_value(table.PSEUDOWIRE_TYPE, 5)
