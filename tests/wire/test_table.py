"""The message table against the lists of RFC 2661 section 6; those of RFC 3931 are in conformance/rfc3931."""

from __future__ import annotations

import pytest

from l2tpd.wire.avp import KNOWN, KNOWN_3
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.table import FALLBACK, MESSAGES, MESSAGES_3, V2, AnyAvp

# Type, attributes that MUST be present, attributes that MAY be, whether it concerns a session: numbers read off sections 6.1 to 6.14.
RFC_2661 = [
    (1, {2, 7, 3, 9}, {4, 10, 11, 5, 6, 8}, False),
    (2, {2, 3, 7, 9}, {4, 6, 8, 10, 11, 13}, False),
    (3, set(), {13}, False),
    (4, {9, 1}, set(), False),
    (6, set(), set(), False),
    (7, {14, 15, 16, 17, 18, 19, 21}, {23}, True),
    (8, {14}, {25}, True),
    (9, {24, 19}, {38, 39}, True),
    (10, {14, 15}, {18, 25, 22, 21, 23}, True),
    (11, {14}, set(), True),
    (12, {24, 19}, {26, 27, 28, 29, 30, 31, 32, 33, 37, 38, 39}, True),
    (14, {1, 14}, {12}, True),
    (15, {34}, set(), True),
    (16, {35}, set(), True),
]


@pytest.mark.parametrize(("kind", "need", "may", "session"), RFC_2661)
def test_row_says_what_the_rfc_says(kind: int, need: set[int], may: set[int], *, session: bool) -> None:
    """Required AVPs exactly, optional AVPs of RFC 2661 exactly (other RFCs add some), and the scope."""
    row = MESSAGES[kind]
    assert need == {avp.number for avp in row.need}
    assert may == {avp.number for avp in row.may if avp.where.startswith("RFC 2661")}
    assert session == row.session_scoped


def test_every_message_type_has_a_row() -> None:
    """The enumeration and the tables agree; only the ACK is of version 3 alone, and of version 2 what RFC 5515 added."""
    assert set(MessageType) == set(MESSAGES) | set(MESSAGES_3)
    assert {MessageType.ACK} == set(MESSAGES_3) - set(MESSAGES)
    assert {MessageType.CSUN, MessageType.CSURQ} == set(MESSAGES) - set(MESSAGES_3)


def test_m_bit_of_the_message_type() -> None:
    """It MUST be set on all types of RFC 2661; later types leave it clear, so that others may ignore them."""
    assert {int(kind) for kind in MessageType if kind <= 16} == {row.type for row in MESSAGES.values() if row.mandatory}
    assert bytes.fromhex("8008 0000 0000 0001") == MESSAGES[1].opening
    assert bytes.fromhex("0008 0000 0000 001c") == MESSAGES[28].opening


def test_every_attribute_is_used_by_some_message() -> None:
    """No row of the AVP tables is orphaned."""
    used = set[AnyAvp]().union(*(row.listed for row in MESSAGES.values()))
    assert set(KNOWN.values()) == used
    assert set(KNOWN_3.values()) == used.union(*(row.listed for row in MESSAGES_3.values()))


def test_the_fallback_differs_from_version_2_in_the_sccrq_alone() -> None:
    """It demands what version 2 demands and expects what version 3 knows besides (RFC 3931 4.7.3)."""
    assert {kind for kind, row in FALLBACK.messages.items() if row is not V2.messages[kind]} == {MessageType.SCCRQ}
    both, two, three = (table[MessageType.SCCRQ] for table in (FALLBACK.messages, MESSAGES, MESSAGES_3))
    assert two.need == both.need
    assert two.listed | three.listed == both.listed
