"""RFC 2661 4.4 AVP Summary and the malformed messages of 7.1: each test quotes the requirement that it checks."""

from __future__ import annotations

import pytest

from l2tpd.errors import Malformed
from l2tpd.wire.avp import (
    ASSIGNED_TUNNEL_ID,
    CALL_ERRORS,
    HOST_NAME,
    PROXY_AUTHEN_ID,
    RESULT_CODE,
    RX_CONNECT_SPEED,
    SEQUENCING_REQUIRED,
)
from l2tpd.wire.messages import Message, decode
from l2tpd.wire.numbers import ErrorCode
from l2tpd.wire.table import MESSAGES
from l2tpd.wire.values import CallErrors, ResultCode

SCCRQ_HEAD = "8008 0000 0000 0001 8008 0000 0002 0100 800a 0000 0003 00000003 "
CDN_HEAD = "8008 0000 0000 000e 8008 0000 000e 0007 "


def read(octets: str) -> Message:
    """Decode hexadecimal octets."""
    return decode(bytes.fromhex(octets))


def test_4_4_1_the_message_type_must_be_the_first_avp() -> None:
    """4.4.1: "The Message Type AVP MUST be the first AVP in a message"."""
    with pytest.raises(Malformed):
        read("8007 0000 0007 68 8008 0000 0000 0006")


def test_4_4_1_the_message_type_may_not_be_hidden() -> None:
    """4.4.1: "This AVP may not be hidden (the H-bit MUST be 0)"."""
    with pytest.raises(Malformed):
        read("c008 0000 0000 0006")


def test_4_4_1_unknown_message_type_with_m_clears_the_tunnel() -> None:
    """4.4.1: "if the M-bit is set within the Message Type AVP and the Message Type is unknown [...] the tunnel MUST be cleared"."""
    seen = read("8008 0000 0000 000d")
    assert seen.fault is not None
    assert not seen.session_scoped


def test_4_4_1_unknown_message_type_without_m_may_be_ignored() -> None:
    """4.4.1: "If the M-bit is not set, then the implementation may ignore an unknown message type"."""
    seen = read("0008 0000 0000 000d")
    assert (None, False) == (seen.fault, seen.known)


def test_4_4_1_m_is_set_for_all_message_types_of_the_document() -> None:
    """4.4.1: "The M-bit MUST be set to 1 for all message types defined in this document"."""
    assert all(row.opening[0] == 0x80 for row in MESSAGES.values() if row.where.startswith("RFC 2661"))


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        ("8008 0000 0001 0003", ResultCode(3)),
        ("800a 0000 0001 0002 0006", ResultCode(2, 6)),
        ("800d 0000 0001 0002 0006 627965", ResultCode(2, 6, "bye")),
    ],
)
def test_4_4_2_result_code_has_three_lengths(octets: str, value: ResultCode) -> None:
    """4.4.2: "The Length is 8 if there is no Error Code or Message, 10 if [...] no Error Message or 10 + the length"."""
    seen = read(CDN_HEAD + octets)
    assert (None, value) == (seen.fault, seen[RESULT_CODE])


def test_4_4_3_host_name_must_be_at_least_1_octet() -> None:
    """4.4.3: "The Host Name is of arbitrary length, but MUST be at least 1 octet"."""
    seen = read(SCCRQ_HEAD + "8006 0000 0007 8008 0000 0009 0001")
    assert seen.fault is not None
    assert (ErrorCode.BAD_LENGTH, False, 1) == (seen.fault.error, HOST_NAME in seen, seen[ASSIGNED_TUNNEL_ID])


def test_4_4_3_assigned_tunnel_id_is_non_zero() -> None:
    """4.4.3: "The Assigned Tunnel ID is a 2 octet non-zero unsigned integer"."""
    seen = read(SCCRQ_HEAD + "8007 0000 0007 68 8008 0000 0009 0000")
    assert seen.fault is not None
    assert ErrorCode.BAD_VALUE == seen.fault.error


def test_4_4_4_assigned_session_id_is_non_zero() -> None:
    """4.4.4: "The Assigned Session ID is a 2 octet non-zero unsigned integer"."""
    seen = read("8008 0000 0000 000b 8008 0000 000e 0000")
    assert seen.fault is not None
    assert ErrorCode.BAD_VALUE == seen.fault.error


def test_4_4_4_sequencing_required_has_no_value() -> None:
    """4.4.4: "This AVP has no Attribute Value field"."""
    iccn = "8008 0000 0000 000c 800a 0000 0018 00000001 800a 0000 0013 00000001 "
    assert read(iccn + "8006 0000 0027")[SEQUENCING_REQUIRED]
    assert read(iccn + "8007 0000 0027 01").fault is not None


def test_4_4_5_proxy_authen_id_is_the_low_octet() -> None:
    """4.4.5: "ID is a 2 octet unsigned integer, the most significant octet MUST be 0"; receivers look at the ID alone."""
    assert 9 == read("8008 0000 0000 0006 0008 0000 0020 0009")[PROXY_AUTHEN_ID]
    assert 9 == read("8008 0000 0000 0006 0008 0000 0020 ff09")[PROXY_AUTHEN_ID]


def test_4_4_6_call_errors_reserved_field_is_not_used() -> None:
    """4.4.6: "Reserved - Not used, MUST be 0", so a receiver does not look at it."""
    seen = read("8008 0000 0000 000f 8020 0000 0022 ffff" + "00000001" * 6)
    assert CallErrors(1, 1, 1, 1, 1, 1) == seen[CALL_ERRORS]


def test_7_1_malformed_avp_with_m_is_not_recoverable() -> None:
    """7.1: "if a malformed AVP is received with the M-bit set, the session or tunnel should be terminated"."""
    seen = read(CDN_HEAD + "8007 0000 0001 00")
    assert seen.fault is not None
    assert (ErrorCode.BAD_LENGTH, True) == (seen.fault.error, seen.session_scoped)


def test_7_1_malformed_avp_without_m_is_ignored() -> None:
    """7.1: "If the M-bit is not set, the AVP should be ignored [...] and the message accepted"; the example is attribute 38."""
    seen = read("8008 0000 0000 0006 0008 0000 0026 ffff")
    assert (None, False) == (seen.fault, RX_CONNECT_SPEED in seen)
    assert ("Rx Connect Speed (38) of 2 octets",) == seen.notes


def test_7_1_a_message_missing_a_required_avp_is_malformed() -> None:
    """7.1: "Examples of a malformed control message include [...] a message that is missing a required AVP"."""
    seen = read(SCCRQ_HEAD + "8008 0000 0009 0001")
    assert seen.fault is not None
    assert "SCCRQ without Host Name (7)" == seen.fault.text
