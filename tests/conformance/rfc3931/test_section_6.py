"""RFC 3931 section 6: what each control message must carry, as the RFC lists it, in what is accepted and in what is sent.

The lists are typed from the RFC, with bare attribute numbers, and the messages are put together by hand.
"""

from __future__ import annotations

import pytest

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.wire.messages import MESSAGES_3, decode3, encode3, message
from l2tpd.wire.numbers import ErrorCode

DIGEST, VECTOR, NONCE = 59, 36, 73
DATA = {69, 70, 74, 75}  # L2-Specific Sublayer, Data Sequencing, Tx and Rx Connect Speed

# section: (type number, AVPs that MUST be present, AVPs that MAY), Message Type (0) apart, and whether one session is concerned
SECTION_6: dict[str, tuple[int, set[int], set[int], bool]] = {
    "6.1 SCCRQ": (1, {7, 60, 61, 62}, {VECTOR, NONCE, DIGEST, 5, 8, 10, 72}, False),
    "6.2 SCCRP": (2, {7, 60, 61, 62}, {VECTOR, NONCE, DIGEST, 8, 10, 72}, False),
    "6.3 SCCCN": (3, set(), {VECTOR, DIGEST}, False),
    "6.4 StopCCN": (4, {1}, {VECTOR, DIGEST, 61}, False),
    "6.5 HELLO": (6, set(), {VECTOR, DIGEST}, False),
    "6.6 ICRQ": (10, {63, 64, 15, 68, 66, 71}, {VECTOR, DIGEST, 65, 5, 25} | DATA, True),
    "6.7 ICRP": (11, {63, 64, 71}, {VECTOR, DIGEST, 65, 25} | DATA, True),
    "6.8 ICCN": (12, {63, 64}, {VECTOR, DIGEST, 71} | DATA, True),
    "6.9 OCRQ": (7, {63, 64, 15, 68, 66, 71}, {VECTOR, DIGEST, 65, 5} | DATA, True),
    "6.10 OCRP": (8, {63, 64, 71}, {VECTOR, DIGEST, 65, 25} | DATA, True),
    "6.11 OCCN": (9, {63, 64}, {VECTOR, DIGEST, 71} | DATA, True),
    "6.12 CDN": (14, {1, 63, 64}, {VECTOR, DIGEST}, True),
    "6.13 WEN": (15, {63, 64, 34}, {VECTOR, DIGEST}, True),
    "6.14 SLI": (16, {63, 64}, {VECTOR, DIGEST, 71}, True),
    "6.15 ACK": (20, set(), {DIGEST}, False),
}

# One value of each attribute, and its octets by 5.4.
VALUES: dict[int, str] = {
    1: "0003",
    5: "0000000000000007",
    7: "6c61633161",
    8: "6c327470",
    10: "0080",
    15: "00000001",
    25: "00000005",
    34: "0000" + "00000000" * 6,
    36: "00112233445566778899aabbccddeeff",
    59: "00" + "00" * 16,
    60: "c0000201",
    61: "01020304",
    62: "0005 0004 0007",
    63: "00000101",
    64: "00000202",
    65: "0102030405060708",
    66: "63697263756974",
    68: "0005",
    69: "0001",
    70: "0002",
    71: "0003",
    72: "656e",
    73: "00112233445566778899aabbccddeeff",
    74: "0000000005f5e100",
    75: "00000000017d7840",
}


def avp(number: int) -> bytes:
    value = bytes.fromhex(VALUES[number])
    return (0x8000 | 6 + len(value)).to_bytes(2, "big") + bytes(2) + number.to_bytes(2, "big") + value


def by_hand(kind: int, numbers: set[int]) -> bytes:
    """A message of these attributes, the digest where it must stand, then the others in order of their numbers."""
    first = [DIGEST] if DIGEST in numbers else []
    opening = b"\x80\x08\0\0\0\0" + kind.to_bytes(2, "big")
    return opening + b"".join(map(avp, [*first, *sorted(numbers - {DIGEST})]))


@pytest.mark.parametrize("section", SECTION_6)
def test_6_what_must_be_present_is_enough_and_what_may_be_is_expected(section: str) -> None:
    """Neither the required AVPs alone nor all that are listed call for a remark."""
    kind, need, may, session_scoped = SECTION_6[section]
    for numbers in (need, need | may):
        said = decode3(by_hand(kind, numbers))
        assert (None, ()) == (said.fault, said.notes)
        assert numbers - {VECTOR} == {avp.number for avp in said.values} - {0}
        assert (True, session_scoped) == (said.known, said.session_scoped)


@pytest.mark.parametrize(
    ("section", "missing"), [(name, number) for name, row in SECTION_6.items() for number in sorted(row[1])]
)
def test_6_without_a_required_avp_a_message_is_malformed(section: str, missing: int) -> None:
    """7.1: a message that is missing a required AVP; the answer names it."""
    kind, need, may, _ = SECTION_6[section]
    said = decode3(by_hand(kind, (need | may) - {missing}))
    assert said.fault is not None
    assert ErrorCode.BAD_VALUE is said.fault.error
    assert f"({missing})" in said.fault.text


@pytest.mark.parametrize(
    ("section", "missing"), [(name, number) for name, row in SECTION_6.items() for number in sorted(row[1])]
)
def test_6_nothing_is_sent_without_a_required_avp(section: str, missing: int) -> None:
    """What the RFC demands of a peer it demands of us."""
    kind, need, _, _ = SECTION_6[section]
    said = decode3(by_hand(kind, need))
    values = {avp: value for avp, value in said.values.items() if avp.number != missing}
    with pytest.raises(LocalProtocolError, match=rf"\({missing}\)"):
        encode3(message(kind, values))


@pytest.mark.parametrize("section", SECTION_6)
def test_6_what_is_sent_is_read_back_the_same(section: str) -> None:
    """Required and optional AVPs; M bits may differ from those of the sample."""
    kind, need, may, _ = SECTION_6[section]
    said = decode3(by_hand(kind, need | may))
    assert said == decode3(encode3(said))


def test_6_the_table_has_these_messages_and_no_others() -> None:
    """Section 3.1 lists the types."""
    assert {row[0] for row in SECTION_6.values()} == set(MESSAGES_3)
    assert {f"RFC 3931 {name.split()[0]}" for name in SECTION_6} == {row.where for row in MESSAGES_3.values()}
    assert {name.split()[1] for name in SECTION_6} == {row.name for row in MESSAGES_3.values()}


@pytest.mark.parametrize("section", SECTION_6)
def test_5_4_1_the_m_bit_must_be_1_on_all_message_types_of_this_document(section: str) -> None:
    """The first AVP of whatever is sent is Message Type with M."""
    kind, need, _, _ = SECTION_6[section]
    assert b"\x80\x08\0\0\0\0" + kind.to_bytes(2, "big") == encode3(decode3(by_hand(kind, need)))[:8]


@pytest.mark.parametrize(("kind", "session"), [(14, b"\0\0\0\0"), (14, b"\0\0\0\7")])
def test_5_4_4_before_a_local_session_id_was_received_the_remote_session_id_is_zero(kind: int, session: bytes) -> None:
    """An ICRQ says so always, and a CDN, WEN or SLI that follows it too early."""
    body = by_hand(kind, {1, 63, 64}).replace(bytes.fromhex(VALUES[64]), session)
    assert decode3(body).fault is None


def test_6_4_a_stopccn_of_one_that_never_assigned_an_id_still_ends_the_connection() -> None:
    """An id of zero MUST NOT be sent, but a peer that has none to name can do no better; it is noted."""
    body = by_hand(4, {1, 61}).replace(bytes.fromhex(VALUES[61]), bytes(4))
    said = decode3(body)
    assert (None, 1) == (said.fault, len(said.notes))


def test_6_12_a_cdn_of_one_that_never_assigned_an_id_still_ends_the_session() -> None:
    """The same for a call that is refused at once."""
    said = decode3(by_hand(14, {1, 63, 64}).replace(bytes.fromhex(VALUES[63]), bytes(4)))
    assert (None, 1) == (said.fault, len(said.notes))


@pytest.mark.parametrize("number", [61, 63])
def test_5_4_an_assigned_id_must_not_be_zero(number: int) -> None:
    """In a message that sets something up it cannot be used, and is out of range."""
    kind = {61: 1, 63: 10}[number]
    body = by_hand(kind, SECTION_6["6.1 SCCRQ" if kind == 1 else "6.6 ICRQ"][1])
    said = decode3(body.replace(bytes.fromhex(VALUES[number]), bytes(4)))
    assert said.fault is not None
    assert ErrorCode.BAD_VALUE is said.fault.error


def test_6_15_a_message_without_any_avp_is_no_message_to_decode() -> None:
    """A ZLB has an empty body and serves as an ACK; whether it is permitted depends on 4.3, not on the decoder."""
    with pytest.raises(Malformed):
        decode3(b"")
    assert bytes.fromhex("8008 0000 0000 0014") == encode3(message(20))
