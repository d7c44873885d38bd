"""Packets as octets: the examples of RFC 2865, signatures of all kinds, and whatever else a network may send."""

from __future__ import annotations

import hmac
from contextlib import suppress
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad.packet import Packet as RawPacket

from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.radius import attributes as row
from l2tpd.radius.attributes import Draft
from l2tpd.radius.numbers import Code
from l2tpd.radius.packet import (
    ANSWERS,
    Packet,
    check_answer,
    check_request,
    decode,
    encode_access,
    encode_answer,
    encode_signed,
)

SECRET = b"xyzzy5461"  # of RFC 2865 7
TELNET = bytes.fromhex(  # RFC 2865 7.1
    "01000038 0f403f9473978057bd83d5cb98f4227a 01066e656d6f 02120dbe708d93d413ce3196e43f782a0aee 0406c0a80110 050600000003"
)
LOGIN = bytes.fromhex("02000026 86fe220e7624ba2a1005f6bf9b55e0b2 060600000001 0f0600000000 0e06c0a80103")
FRAMED = bytes.fromhex(  # RFC 2865 7.2
    "01010047 2aee86f08d0d55969ca5978e0d3367a2 0108666c6f707379 031316e97557c316185895f293ff634407727504"
    "06c0a80110 050600000014 060600000002 070600000001"
)
FRAMED_ACCEPT = bytes.fromhex(
    "02010038 15efbc7dab26cfa3dc34d9c03c8601a4 060600000002 070600000001 0806fffffffe 0a0600000002 0d0600000001 0c06000005dc"
)


def answered(code: Code, request: bytes, draft: Draft, *, sign: bool = True, secret: bytes = SECRET) -> bytes:
    """Answer as a server does."""
    return encode_answer(code, decode(request), draft, secret, sign=sign)


def signed(code: int, identifier: int, attributes: bytes, vector: bytes = bytes(16)) -> bytes:
    """Write a packet around any octets, with a right authenticator."""
    head = bytes((code, identifier)) + (20 + len(attributes)).to_bytes(2, "big")
    return head + md5(head + vector + attributes + SECRET).digest() + attributes


def test_the_password_is_hidden_as_in_the_example_of_the_rfc() -> None:
    """RFC 2865 7.1: nemo with arctangent, and a Message-Authenticator besides."""
    example = decode(TELNET)
    draft = {key: value for key, value in example.attributes.items() if key != 2}
    ours = decode(encode_access(0, example.authenticator, draft, SECRET, b"arctangent"))
    assert example.attributes[2] == ours.attributes[2]
    assert ours.signed
    assert row.MESSAGE_AUTHENTICATOR.key == next(iter(ours.attributes)), "it stands before all others"
    assert {**ours.attributes, 80: ()} == {**example.attributes, 80: ()}


def test_the_answer_of_the_rfc_is_believed() -> None:
    """RFC 2865 7.1: an unsigned Access-Accept, where it need not be signed."""
    accept = check_answer(TELNET, LOGIN, SECRET, require_signature=False)
    assert (Code.ACCESS_ACCEPT, "192.168.1.3") == (accept.code, "192.168.1.3")
    assert (bytes((192, 168, 1, 3)),) == accept.attributes[14]


def test_an_unsigned_answer_to_a_login_is_not_believed() -> None:
    """CVE-2024-3596: a Response Authenticator can be forged."""
    with pytest.raises(Malformed, match="no Message-Authenticator"):
        check_answer(TELNET, LOGIN, SECRET, require_signature=True)


def test_a_signed_answer_is_believed_and_one_with_a_wrong_signature_is_not() -> None:
    """RFC 2869 5.14: the signature is over the answer with the authenticator of the request."""
    right = answered(Code.ACCESS_ACCEPT, TELNET, {27: (bytes(4),)})
    assert check_answer(TELNET, right, SECRET, require_signature=True).signed
    body = right[20:].replace(right[22:38], bytes(16))
    with pytest.raises(Malformed, match="wrong Message-Authenticator"):
        check_answer(TELNET, signed(2, 0, body, decode(TELNET).authenticator), SECRET, require_signature=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda octets: octets[:1] + b"\7" + octets[2:],  # another identifier
        lambda octets: b"\5" + octets[1:],  # a kind that answers something else
        lambda octets: octets[:10] + b"\0\0" + octets[12:],
        lambda octets: octets[:-1] + bytes((octets[-1] ^ 1,)),
        lambda octets: octets[:-1],
        lambda octets: octets[:19],
    ],
)
def test_a_spoilt_answer_is_malformed(spoil: object) -> None:
    """One octet that is not as it was sent is enough."""
    assert callable(spoil)
    with pytest.raises(Malformed):
        check_answer(
            TELNET, spoil(answered(Code.ACCESS_ACCEPT, TELNET, {27: (b"\0\0\0\7",)})), SECRET, require_signature=False
        )


def test_padding_behind_a_packet_is_ignored() -> None:
    """RFC 2865 3: octets outside the range of the Length field."""
    right = answered(Code.ACCESS_REJECT, TELNET, {18: (b"no",)})
    assert Code.ACCESS_REJECT == check_answer(TELNET, right + b"\0\0\0", SECRET, require_signature=True).code


def test_a_proxy_state_that_was_not_sent_gives_a_forgery_away() -> None:
    """The octets by which a collision is made have to stand somewhere, and stand in a Proxy-State."""
    with pytest.raises(Malformed, match="Proxy-State"):
        check_answer(TELNET, answered(Code.ACCESS_ACCEPT, TELNET, {33: (b"x",)}), SECRET, require_signature=True)


def test_accounting_is_signed_by_its_authenticator() -> None:
    """RFC 2866 3: a digest over the packet with zeros in its place."""
    octets = encode_signed(Code.ACCOUNTING_REQUEST, 9, {40: (b"\0\0\0\1",)}, SECRET)
    assert octets == signed(4, 9, bytes.fromhex("280600000001"))
    assert 9 == check_request(octets, SECRET, require_signature=False).identifier
    with pytest.raises(Malformed, match="Request Authenticator"):
        check_request(octets, b"another", require_signature=False)
    with pytest.raises(Malformed, match="no Message-Authenticator"):
        check_request(octets, SECRET, require_signature=True)


def test_a_signed_request_is_checked() -> None:
    """RFC 5176 3.4: a Message-Authenticator may come with a Disconnect-Request, and is computed with an authenticator of zeros."""
    octets = encode_signed(Code.DISCONNECT_REQUEST, 1, {80: (b"",), 1: (b"joe",)}, SECRET)
    assert check_request(octets, SECRET, require_signature=True).signed
    spoilt = octets[20:38].replace(octets[22:30], bytes(8)) + octets[38:]
    with pytest.raises(Malformed, match="Message-Authenticator"):
        check_request(signed(40, 1, spoilt), SECRET, require_signature=False)
    with pytest.raises(Malformed, match="size"):
        check_request(signed(40, 1, b"\x50\x06abcd"), SECRET, require_signature=False)


def test_an_answer_has_the_proxy_states_of_its_request() -> None:
    """RFC 2865 5.33: unmodified and in order."""
    request = decode(signed(43, 5, b"\x21\x03b\x21\x03a"))
    answer = encode_answer(Code.COA_ACK, request, {}, SECRET, sign=False)
    assert (b"b", b"a") == decode(answer).attributes[33]
    assert Code.COA_ACK == check_answer(request.octets, answer, SECRET, require_signature=True).code


def test_a_vendors_attributes_are_taken_apart_and_put_together() -> None:
    """RFC 2865 5.26: several may stand in one attribute; what cannot be taken apart stays as it is."""
    packet = decode(signed(2, 0, bytes.fromhex("1a1000000137 1c060a000001 1d040a00".replace(" ", ""))))
    assert (bytes((10, 0, 0, 1)),) == packet.attributes[311, 28]
    assert (b"\x0a\x00",) == packet.attributes[311, 29]
    assert (bytes.fromhex("000001371cff"),) == decode(signed(2, 0, bytes.fromhex("1a08000001371cff"))).attributes[26]
    draft: Draft = {}
    row.MS_PRIMARY_DNS.put(draft, "10.0.0.1")
    assert bytes.fromhex("1a0c000001371c060a000001") == encode_signed(Code.COA_REQUEST, 1, draft, SECRET)[20:]


def test_what_does_not_fit_is_our_callers_fault() -> None:
    """A password has 128 octets at most, a packet 4096."""
    with pytest.raises(LocalProtocolError, match="128"):
        encode_access(0, bytes(16), {}, SECRET, bytes(129))
    with pytest.raises(LocalProtocolError, match="4"):
        encode_signed(Code.ACCOUNTING_REQUEST, 0, {25: (bytes(253),) * 17}, SECRET)


def test_a_packet_larger_than_any_is_malformed() -> None:
    """RFC 2865 3: 4096 octets are the most, whatever the library would take."""
    with pytest.raises(Malformed, match="octets"):
        decode(signed(2, 0, b"\x19\xff".ljust(255, b"x") * 17))


def test_the_second_example_of_the_rfc_is_read() -> None:
    """RFC 2865 7.2: flopsy with CHAP."""
    packet = decode(FRAMED)
    assert ("flopsy", 20, 1) == (
        row.USER_NAME.first(packet.attributes, ""),
        row.NAS_PORT.first(packet.attributes, 0),
        row.FRAMED_PROTOCOL.first(packet.attributes, 0),
    )
    accept = check_answer(FRAMED, FRAMED_ACCEPT, SECRET, require_signature=False).attributes
    assert ("255.255.255.254", 1500) == (row.FRAMED_IP_ADDRESS.first(accept, ""), row.FRAMED_MTU.first(accept, 0))


@given(st.binary(max_size=300))
def test_any_octets_are_a_packet_or_malformed(data: bytes) -> None:
    """Nothing but `Malformed` escapes, also when the header is a right one."""
    for octets in (data, signed(2, 0, data)):
        try:
            assert isinstance(decode(octets), Packet)
        except Malformed:
            continue
    for octets in (data, signed(2, 0, data, decode(TELNET).authenticator), signed(40, 0, data)):
        with suppress(Malformed):
            check_answer(TELNET, octets, SECRET, require_signature=False)
        with suppress(Malformed):
            check_request(octets, SECRET, require_signature=False)


def test_only_the_four_kinds_of_requests_have_answers() -> None:
    """A request that we did not send has none."""
    assert {Code.ACCESS_REQUEST, Code.ACCOUNTING_REQUEST, Code.DISCONNECT_REQUEST, Code.COA_REQUEST} == ANSWERS.keys()


def test_a_signature_is_found_wherever_it_stands() -> None:
    """Servers put it where they like; a log-in without a password is signed as well."""
    request = encode_access(3, bytes(16), {3: (bytes(17),)}, SECRET)
    assert decode(request).signed
    assert 2 not in decode(request).attributes
    authenticator = decode(request).authenticator
    attributes = b"\x12\x04hi" + b"\x50\x12" + bytes(16)
    head = bytes((2, 3)) + (20 + len(attributes)).to_bytes(2, "big")
    signature = hmac.digest(SECRET, head + authenticator + attributes, "md5")
    answer = signed(2, 3, attributes[:-16] + signature, authenticator)
    assert check_answer(request, answer, SECRET, require_signature=True).signed


def test_keys_come_in_clear() -> None:
    """RFC 2548 2.4.2, as the library hides them (RFC 2868 3.5 does so alike); they are shown to nobody who looks at the packet."""
    library = RawPacket(secret=SECRET, authenticator=decode(TELNET).authenticator)
    hidden: Draft = {(311, 16): (library.SaltCrypt(b"s" * 16),), (311, 17): (library.SaltCrypt(b"r" * 16),)}
    found = check_answer(TELNET, answered(Code.ACCESS_ACCEPT, TELNET, hidden), SECRET, require_signature=False)
    assert {(311, 16): (b"s" * 16,), (311, 17): (b"r" * 16,)} == found.keys
    assert "s" * 16 not in repr(found)


@pytest.mark.parametrize("value", [b"", b"\x80", b"\x80\0", bytes(17), b"\xff" * 18, b"\xff" * 33])
def test_a_key_that_makes_no_sense_is_none(value: bytes) -> None:
    """Whoever sends it knows the secret: the answer counts, and the log says that there are no keys where some are needed."""
    found = check_answer(
        TELNET, answered(Code.ACCESS_ACCEPT, TELNET, {(311, 16): (value,)}), SECRET, require_signature=False
    )
    assert len(found.keys[311, 16][0]) < 16
