"""The messages of the generator, against octets assembled by hand from RFC 2661."""

import pytest

from bench import packets

SCCRQ = bytes.fromhex(
    "c802 006a 0000 0000 0000 0000"
    "8008 0000 0000 0001"  # Message Type 1
    "8008 0000 0009 1234"  # Assigned Tunnel ID
    "8008 0000 0002 0100"  # Protocol Version 1.0
    "800a 0000 0003 00000003"  # Framing Capabilities
    "800a 0000 0004 00000000"  # Bearer Capabilities
    "0008 0000 0006 0100"  # Firmware Revision, not mandatory
    "8017 0000 0007 73746f726d2d6c61632d30303030303432"  # Host Name storm-lac-0000042
    "000b 0000 0008 73746f726d"  # Vendor Name, not mandatory
    "8008 0000 000a 0400"  # Receive Window Size 1,024
)
ICRQ = bytes.fromhex(
    "c802 003d 0005 0000 0000 0000"
    "8008 0000 0000 000a"
    "8008 0000 000e 0006"  # Assigned Session ID
    "800a 0000 000f 00000007"  # Call Serial Number
    "800a 0000 0012 00000001"  # Bearer Type
    "800d 0000 0016 35353530313030"  # Calling Number
)
ICCN = bytes.fromhex(
    "c802 0028 0005 0006 0000 0000"
    "8008 0000 0000 000c"
    "800a 0000 0018 05f5e100"  # (Tx) Connect Speed
    "800a 0000 0013 00000001"  # Framing Type
)
STOPCCN = bytes.fromhex(
    "c802 0026 0005 0000 0000 0000"
    "8008 0000 0000 0004"
    "8008 0000 0009 0006"
    "800a 0000 0001 0001 0000"  # Result Code 1, error 0
)


@pytest.mark.parametrize(
    ("expected", "built"),
    [
        (SCCRQ, packets.sccrq(0x1234, 42)),
        (ICRQ, packets.icrq(5, 6, 7)),
        (ICCN, packets.iccn(5, 6)),
        (STOPCCN, packets.stopccn(5, 6)),
        (bytes.fromhex("c802 0014 0007 0000 0000 0000 8008 0000 0000 0006"), packets.hello(7)),
        (bytes.fromhex("c802 000c 0007 0000 0102 0304"), packets.zlb(7, 0x102, 0x304)),
    ],
)
def test_messages_are_the_octets_of_the_rfc(expected: bytes, built: bytes) -> None:
    """Each message has the header of RFC 2661 3.1 and its required AVPs with their M bits."""
    assert expected == bytes(built)


def test_a_challenge_lengthens_the_message() -> None:
    """The Challenge AVP comes last, and the Length field counts it."""
    built = packets.sccrq(0x1234, 42, b"0123456789abcdef")
    assert len(SCCRQ) + 22 == len(built) == int.from_bytes(built[2:4], "big")
    assert b"0123456789abcdef" == packets.avps(bytes(built), packets.SCCRQ)[packets.CHALLENGE]


def test_challenge_response() -> None:
    """The response is MD5 over message type, secret and challenge; the digest here was made with md5sum."""
    answer = bytes.fromhex("dd4186e2196f00124a9d588f02701259")
    assert answer == packets.response(packets.SCCRP, b"secret", bytes(range(16)))
    assert packets.response_is_right(packets.SCCRP, b"secret", bytes(range(16)), answer)
    assert not packets.response_is_right(packets.SCCCN, b"secret", bytes(range(16)), answer)


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("an AVP shorter than its header", "8005 0000 0009"),
        ("an AVP longer than the message", "8009 0000 0009 0001"),
        ("octets left over", "8008 0000 0009 0001 8008"),
        ("reserved bits", "8408 0000 0009 0001"),
        ("a hidden AVP", "c008 0000 0009 0001"),
    ],
)
def test_a_broken_avp_is_refused(what: str, body: str) -> None:
    """What breaks RFC 2661 4.1 is told as malformed, never as another exception."""
    broken = packets.message(packets.HELLO) + bytes.fromhex(body)
    with pytest.raises(packets.MalformedError):
        packets.avps(broken, packets.HELLO)


def test_a_missing_avp_is_refused() -> None:
    """An ICRP without Assigned Session ID breaks RFC 2661 6.7."""
    with pytest.raises(packets.MalformedError, match="ICRP without AVP 14"):
        packets.avps(packets.message(packets.ICRP), packets.ICRP)


def test_message_type_comes_first() -> None:
    """A message whose first AVP is another one has no type (RFC 2661 4.4.1)."""
    swapped = packets.HEADER.pack(packets.CONTROL, 20, 0, 0, 0, 0) + packets.u16_avp(packets.ASSIGNED_TUNNEL_ID, 1)
    with pytest.raises(packets.MalformedError):
        packets.message_type(swapped)
    assert packets.SCCRQ == packets.message_type(SCCRQ)


@pytest.mark.parametrize(("expected", "value"), [((1, 0), "0001"), ((2, 4), "00020004"), ((2, 6), "00020006 6162")])
def test_result_code(expected: tuple[int, int], value: str) -> None:
    """Error code and text are optional (RFC 2661 4.4.2)."""
    assert expected == packets.result_code(bytes.fromhex(value))
