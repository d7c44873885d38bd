"""The AVP table row by row against the text of the RFC, and the building of single AVPs."""

from __future__ import annotations

from typing import Any

import pytest

from l2tpd.errors import LocalProtocolError
from l2tpd.wire import avp as table
from l2tpd.wire.avp import (
    ACCM,
    ASSIGNED_SESSION_ID,
    ASSIGNED_TUNNEL_ID,
    CALL_ERRORS,
    CALLED_NUMBER,
    CHALLENGE,
    HOST_NAME,
    KNOWN,
    KNOWN_3,
    PROTOCOL_VERSION,
    PROXY_AUTHEN_ID,
    RECEIVE_WINDOW_SIZE,
    RESULT_CODE,
    SEQUENCING_REQUIRED,
    TIE_BREAKER,
    TX_CONNECT_SPEED,
    VENDOR_NAME,
    Avp,
    RawAvp,
    build,
    pack,
)
from l2tpd.wire.values import AccmValue, ExtendedAvp, MessageDigest, ResultCode

# Number, M bit, may be hidden, Length of the whole AVP where RFC 2661 4.4 gives one number, read off the text of each section.
RFC_2661 = [
    (0, True, False, 8),
    (1, True, False, None),
    (2, True, False, 8),
    (3, True, True, 10),
    (4, True, True, 10),
    (5, False, False, 14),
    (6, False, True, 8),
    (7, True, False, None),
    (8, False, True, None),
    (9, True, True, 8),
    (10, True, False, 8),
    (11, True, True, None),
    (12, True, False, None),
    (13, True, True, 22),
    (14, True, True, 8),
    (15, True, True, 10),
    (16, True, True, 10),
    (17, True, True, 10),
    (18, True, True, 10),
    (19, True, True, 10),
    (21, True, True, None),
    (22, True, True, None),
    (23, True, True, None),
    (24, True, True, 10),
    (25, False, True, 10),
    (26, False, True, None),
    (27, False, True, None),
    (28, False, True, None),
    (29, False, True, 8),
    (30, False, True, None),
    (31, False, True, None),
    (32, False, True, 8),
    (33, False, True, None),
    (34, True, True, 32),
    (35, True, True, 16),
    (36, True, False, None),
    (37, False, True, None),
    (38, False, True, 10),
    (39, True, False, 6),
]


@pytest.mark.parametrize(("number", "mandatory", "hideable", "length"), RFC_2661)
def test_row_says_what_the_rfc_says(number: int, *, mandatory: bool, hideable: bool, length: int | None) -> None:
    """M bit, hiding and Length of every attribute of RFC 2661."""
    row = KNOWN[number]
    assert (mandatory, hideable) == (row.mandatory, row.hideable)
    if length is not None:
        assert (length, length) == (row.minimum + 6, row.maximum + 6)
    else:
        assert row.minimum < row.maximum == 1017


def test_the_table_is_complete_and_has_no_more() -> None:
    """Attributes 0 to 39 except the reserved 20, RFC 3145's 46, RFC 5515's 97 and 98."""
    assert [*(set(range(40)) - {20}), 46, 97, 98] == [key for key in sorted(KNOWN) if key < 0x10000]


def test_every_constant_is_in_the_table_and_says_where_it_comes_from() -> None:
    """A row is found by its vendor and number and cites its RFC; version 2 has all but those of RFC 3931."""
    rows = [row for row in vars(table).values() if isinstance(row, Avp)]
    assert len(rows) == len(KNOWN_3)
    assert all(KNOWN_3[row.vendor << 16 | row.number] is row and row.where.startswith("RFC ") for row in rows)
    assert {row for row in rows if not row.where.startswith("RFC 3931")} == set(KNOWN.values())


def test_m_bits_of_a_version_that_does_not_define_the_attribute_are_clear() -> None:
    """RFC 3931 4.7.3: attributes of version 3 in an SCCRQ of version 2, and the other way round what a call for PPP says."""
    assert not any(row.mandatory for row in KNOWN_3.values() if row.where.startswith("RFC 3931"))
    shared = {0, 1, 5, 7, 8, 10, 15, 25, 34, 36}
    assert {0, 1, 5, 7, 10, 36} == {row.number for row in KNOWN.values() if row.mandatory3}
    assert {row.number for row in KNOWN.values() if row.mandatory3} <= shared
    assert (0x8006, 0x8006) == HOST_NAME.heads
    assert (0x0006, 0x8006) == TIE_BREAKER.heads == table.ROUTER_ID.heads
    assert (0x8006, 0x0006) == ASSIGNED_TUNNEL_ID.heads


@pytest.mark.parametrize(
    ("row", "value", "octets"),
    [
        (PROTOCOL_VERSION, (1, 0), "8008 0000 0002 0100"),
        (HOST_NAME, "lac1", "800a 0000 0007 6c616331"),
        (ASSIGNED_TUNNEL_ID, 0x1234, "8008 0000 0009 1234"),
        (TIE_BREAKER, 1, "000e 0000 0005 0000000000000001"),
        (CHALLENGE, b"\1\2", "8008 0000 000b 0102"),
        (SEQUENCING_REQUIRED, True, "8006 0000 0027"),
        (VENDOR_NAME, "", "0006 0000 0008"),
        (PROXY_AUTHEN_ID, 7, "0008 0000 0020 0007"),
        (ACCM, AccmValue(0, 1), "8010 0000 0023 0000 00000000 00000001"),
        (RESULT_CODE, ResultCode(1), "8008 0000 0001 0001"),
        (table.AGENT_CIRCUIT_ID, "x", "0007 0de9 0001 78"),
    ],
)
def test_build_by_hand(row: Avp[Any], value: object, octets: str) -> None:
    """One AVP is flags with length, vendor, attribute, value (RFC 2661 4.1)."""
    assert bytes.fromhex(octets) == build(row, value)


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (HOST_NAME, ""),
        (HOST_NAME, "x" * 1018),
        (HOST_NAME, b"octets"),
        (HOST_NAME, "\ud800"),
        (ASSIGNED_TUNNEL_ID, 0),
        (ASSIGNED_TUNNEL_ID, 65536),
        (ASSIGNED_SESSION_ID, -1),
        (ASSIGNED_SESSION_ID, "1"),
        (RECEIVE_WINDOW_SIZE, 0),
        (TX_CONNECT_SPEED, 1 << 32),
        (CHALLENGE, 5),
        (CHALLENGE, "text"),
        (CHALLENGE, b""),
        (table.CHALLENGE_RESPONSE, bytes(15)),
        (PROTOCOL_VERSION, 0x0100),
        (PROXY_AUTHEN_ID, 256),
        (SEQUENCING_REQUIRED, False),
        (CALL_ERRORS, None),
        (RESULT_CODE, ResultCode(2, 0, "x" * 1014)),
        (table.ASSIGNED_CONTROL_CONNECTION_ID, 0),
        (table.LOCAL_SESSION_ID, 1 << 32),
        (table.ASSIGNED_COOKIE, b"123"),
        (table.ASSIGNED_COOKIE, "1234"),
        (table.ASSIGNED_COOKIE, 8),
        (table.PSEUDOWIRE_CAPABILITIES, ()),
        (table.PSEUDOWIRE_CAPABILITIES, (5, 65536)),
        (table.PSEUDOWIRE_CAPABILITIES, 5),
        (table.REMOTE_END_ID, b"octets"),
        (table.CONTROL_MESSAGE_NONCE, b""),
        (table.MESSAGE_DIGEST, (MessageDigest(256, b""),)),
        (table.EXTENDED_VENDOR_ID, (ExtendedAvp(1 << 32, 0),)),
    ],
)
def test_values_that_do_not_fit_are_our_error(row: Avp[Any], value: object) -> None:
    """Wrong types, numbers and lengths are refused, never truncated."""
    with pytest.raises(LocalProtocolError):
        build(row, value)


def test_maximal_text_fits() -> None:
    """An AVP has at most 1023 octets, 1017 of them value."""
    assert 1023 == len(build(CALLED_NUMBER, "9" * 1017))


def test_raw_avp_packs_as_it_stood() -> None:
    """All four reserved bits, M, H, vendor and value are kept."""
    assert bytes.fromhex("fc08 0009 000c abcd") == RawAvp(True, True, 9, 12, b"\xab\xcd", 15).pack()
    assert bytes.fromhex("0006 0000 0014") == RawAvp(False, False, 0, 20, b"").pack()


@pytest.mark.parametrize("raw", [RawAvp(False, False, 65536, 0, b""), RawAvp(False, False, 0, 0, bytes(1018))])
def test_raw_avp_out_of_range_is_our_error(raw: RawAvp) -> None:
    """Vendor numbers have 16 bits, values 1017 octets."""
    with pytest.raises(LocalProtocolError):
        raw.pack()


def test_pack_refuses_an_impossible_key() -> None:
    """Vendor and attribute together have 32 bits."""
    with pytest.raises(LocalProtocolError):
        pack(0, 1 << 32, b"")


def test_rows_show_name_and_number_only() -> None:
    """A row in a message to people is readable."""
    assert "Host Name (7)" == str(HOST_NAME)
    assert "Agent Circuit ID (3561/1)" == repr(table.AGENT_CIRCUIT_ID)
