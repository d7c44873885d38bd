"""Signing and verifying at their edges; what the digest is computed over is in conformance/rfc3931/test_section_4_3.py."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import LocalProtocolError
from l2tpd.wire.digest3 import AUTHENTICATION, HIDING, Signer, shared_key, sign, verify, without_digest
from l2tpd.wire.header import build_control3, parse_control3
from l2tpd.wire.messages import decode3, encode3, message
from l2tpd.wire.numbers import DigestType, MessageType

SIGNER = Signer.of(b"sesame")
HELLO = build_control3(7, 8, 9, encode3(message(MessageType.HELLO)))


def test_keys_are_derived_apart() -> None:
    """HMAC-MD5 of one octet under the secret: 1 for hiding, 2 for authentication."""
    assert hmac.new(b"sesame", b"\x01", hashlib.md5).digest() == shared_key(b"sesame", HIDING)
    assert hmac.new(b"sesame", b"\x02", hashlib.md5).digest() == shared_key(b"sesame", AUTHENTICATION)


def test_a_key_is_this_very_number() -> None:
    """A vector worked out with `openssl dgst -md5 -hmac sesame` over the one octet 2."""
    assert VECTOR == shared_key(b"sesame", AUTHENTICATION).hex()


VECTOR = "552d92e4a7a06609c4250b8d34613d98"


def test_a_signer_shows_no_key() -> None:
    """A repr ends up in tracebacks."""
    assert VECTOR not in repr(SIGNER)
    assert repr(bytes.fromhex(VECTOR)) not in repr(SIGNER)


@pytest.mark.parametrize("algorithm", [2, 255, -1])
def test_an_unknown_algorithm_is_our_error(algorithm: int) -> None:
    """There are two."""
    with pytest.raises(LocalProtocolError, match=str(algorithm)):
        Signer.of(b"sesame", algorithm)


@pytest.mark.parametrize(
    ("octets", "signers", "why"),
    [
        (HELLO, [], "one or two"),
        (HELLO, [SIGNER] * 3, "one or two"),
        (build_control3(7, 8, 9, b""), [SIGNER], "no Message Type"),
        (sign(HELLO, [SIGNER]), [SIGNER], "already"),
        (build_control3(7, 8, 9, encode3(message(MessageType.HELLO)) + bytes(65508)), [SIGNER], "65551"),
    ],
)
def test_what_cannot_be_signed_is_our_error(octets: bytes, signers: list[Signer], why: str) -> None:
    """No signer or too many, a ZLB, twice, too long."""
    with pytest.raises(LocalProtocolError, match=why):
        sign(octets, signers)


def test_a_signed_message_reads_as_before() -> None:
    """The header counts the digest, and the decoder finds it where it is expected."""
    header, body = parse_control3(sign(HELLO, [SIGNER], b"a", b"b"))
    said = decode3(body)
    assert (7, 0, 8, 9) == header
    assert (None, ()) == (said.fault, said.notes)
    assert 12 + 8 + 23 == 12 + len(body)


@given(st.sampled_from(list(MessageType)), st.binary(max_size=60), st.binary(), st.binary(), st.binary(), st.booleans())
def test_round_trip(kind: int, rest: bytes, secret: bytes, ours: bytes, theirs: bytes, second: bool) -> None:
    """Whatever the message: both ends with one secret and the same nonces agree."""
    signers = [Signer.of(secret), Signer.of(secret, DigestType.HMAC_SHA1)][: 1 + second]
    body = b"\x80\x08\0\0\0\0" + kind.to_bytes(2, "big") + b"\0\6\0\0\3\xe7" + rest
    octets = sign(build_control3(1, 2, 3, body), signers, ours, theirs)
    assert all(verify(octets, [signer], ours, theirs) for signer in signers)


@given(st.binary(max_size=120))
def test_no_octets_disturb(octets: bytes) -> None:
    """Anything is verified to be nothing."""
    assert verify(octets, [SIGNER]) is not True
    assert verify(HELLO + octets, [SIGNER]) is not True


@pytest.mark.parametrize("size", range(24))
def test_every_cut_of_a_digest_is_wrong(size: int) -> None:
    """Even when its AVP says that it is so short."""
    good = sign(HELLO, [SIGNER])
    assert not verify(good[: 20 + size], [SIGNER]) or size == 23
    assert not verify(good[:20] + bytes([0x80, size]) + good[22 : 20 + size], [SIGNER]) or size == 23


@pytest.mark.parametrize("size", range(23))
def test_a_digest_that_does_not_end_is_none(size: int) -> None:
    """It is for the decoder to say what is wrong with the message."""
    assert verify(sign(HELLO, [SIGNER])[: 20 + size], [SIGNER]) is None


def test_a_message_type_1_of_a_vendor_is_no_sccrq() -> None:
    """It is signed with the nonces like any other message (RFC 3931 5.4.1)."""
    octets = build_control3(7, 8, 9, bytes.fromhex("8008 0009 0000 0001"))
    assert sign(octets, [SIGNER], b"a", b"b") != sign(octets, [SIGNER])
    assert verify(sign(octets, [SIGNER], b"a", b"b"), [SIGNER], b"a", b"b") is True


def test_what_follows_the_message_is_not_covered() -> None:
    """A carrier may have padded it (RFC 3931 3.2.1)."""
    assert verify(sign(HELLO, [SIGNER], b"a", b"b") + b"padding", [SIGNER], b"a", b"b") is True


def test_no_signer_verifies_nothing() -> None:
    """Who has no key at all cannot say that a message is right."""
    assert verify(sign(HELLO, [SIGNER]), []) is False


def test_a_body_is_read_without_its_digest() -> None:
    """The first one is taken out; a second is left to the decoder, as is a body without any."""
    _, bare = parse_control3(HELLO)
    for signers, left in (([SIGNER], bare), ([SIGNER] * 2, parse_control3(sign(HELLO, [SIGNER]))[1])):
        _, body = parse_control3(sign(HELLO, signers))
        assert len(left) == len(without_digest(body))
        assert left[:15] == without_digest(body)[:15]
    assert bare == without_digest(bare)


@pytest.mark.parametrize("head", ["c017", "8006", "8018", "83ff"])
def test_what_is_no_digest_is_left_to_the_decoder(head: str) -> None:
    """Hidden, shorter than its own head, longer than the body: nobody has verified it."""
    _, body = parse_control3(sign(HELLO, [SIGNER]))
    broken = body[:8] + bytes.fromhex(head) + body[10:]
    assert broken == without_digest(broken)
