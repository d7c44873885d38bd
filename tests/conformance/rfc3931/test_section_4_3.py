"""RFC 3931 sections 4.3 and 5.4.1: control message authentication, computed here with HMAC written out from its definition."""

from __future__ import annotations

import hashlib

import pytest

from l2tpd.wire.digest3 import Signer, sign, verify
from l2tpd.wire.header import build_control3
from l2tpd.wire.numbers import DigestType

SECRET = b"sesame"
OURS = bytes(range(16))
THEIRS = bytes(range(100, 117))
NONCE = bytes.fromhex("801600000049") + OURS
SCCRQ = bytes.fromhex("8008 0000 0000 0001") + NONCE
HELLO = bytes.fromhex("8008 0000 0000 0006")
MD5_AVP = bytes.fromhex("8017 0000 003b 00")  # Length 23: 6 of header, 1 of Digest Type, 16 of digest
SHA1_AVP = bytes.fromhex("801b 0000 003b 01")  # Length 27
ALGORITHMS = [(DigestType.HMAC_MD5, "md5", MD5_AVP, 16), (DigestType.HMAC_SHA1, "sha1", SHA1_AVP, 20)]


def by_the_book(name: str, key: bytes, text: bytes) -> bytes:
    """HMAC: H(K xor opad, H(K xor ipad, text)), with a key of one block or less."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.new(name, bytes(octet ^ 0x36 for octet in padded) + text).digest()
    return hashlib.new(name, bytes(octet ^ 0x5C for octet in padded) + inner).digest()


def header(length: int) -> bytes:
    """Control Connection ID 0x01020304, Ns 9, Nr 10."""
    return b"\xc8\x03" + length.to_bytes(2, "big") + bytes.fromhex("01020304 0009 000a")


def plain(body: bytes) -> bytes:
    return build_control3(0x01020304, 9, 10, body)


def signed_by_hand(body: bytes, avp: bytes, name: str, size: int, nonces: bytes, secret: bytes = SECRET) -> bytes:
    """The digest with zeros in its place, computed over nonces and message, put into its place."""
    key = by_the_book("md5", secret, b"\x02")
    before = header(12 + len(body) + len(avp) + size) + body[:8] + avp
    digest = by_the_book(name, key, nonces + before + bytes(size) + body[8:])
    return before + digest + body[8:]


@pytest.mark.parametrize(("algorithm", "name", "avp", "size"), ALGORITHMS)
def test_5_4_1_the_digest_covers_local_nonce_remote_nonce_and_the_message(
    algorithm: int, name: str, avp: bytes, size: int
) -> None:
    """Both algorithms, the AVP immediately after the Message Type, the Length of the header counting it."""
    expected = signed_by_hand(HELLO, avp, name, size, OURS + THEIRS)
    assert expected == sign(plain(HELLO), [Signer.of(SECRET, algorithm)], OURS, THEIRS)


@pytest.mark.parametrize(("algorithm", "name", "avp", "size"), ALGORITHMS)
def test_5_4_1_the_sccrq_is_computed_without_nonces(algorithm: int, name: str, avp: bytes, size: int) -> None:
    """Its own stands inside it, and the other is not known; what is given is not used."""
    expected = signed_by_hand(SCCRQ, avp, name, size, b"")
    signer = Signer.of(SECRET, algorithm)
    assert expected == sign(plain(SCCRQ), [signer], OURS) == sign(plain(SCCRQ), [signer], OURS, THEIRS)
    assert verify(expected, [signer], OURS, b"whatever") is True


@pytest.mark.parametrize(("algorithm", "name", "avp", "size"), ALGORITHMS)
def test_5_4_1_the_receiver_reverses_the_nonces(algorithm: int, name: str, avp: bytes, size: int) -> None:
    """The sender's comes first on both sides."""
    from_peer = signed_by_hand(HELLO, avp, name, size, THEIRS + OURS)
    signer = Signer.of(SECRET, algorithm)
    assert verify(from_peer, [signer], THEIRS, OURS) is True
    assert verify(from_peer, [signer], OURS, THEIRS) is False


@pytest.mark.parametrize("algorithm", DigestType)
def test_4_3_any_change_of_header_or_body_is_noticed(algorithm: int) -> None:
    """Each bit of the message, the digest and its type included; a destroyed AVP header leaves no digest at all."""
    signer = Signer.of(SECRET, algorithm)
    good = sign(plain(HELLO + NONCE), [signer], THEIRS, OURS)
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert not verify(bytes(bad), [signer], THEIRS, OURS), bit


def test_4_3_the_secret_decides() -> None:
    """Another secret, or none, signs another digest."""
    message = sign(plain(HELLO), [Signer.of(SECRET)], THEIRS, OURS)
    assert verify(message, [Signer.of(b"Sesame")], THEIRS, OURS) is False
    assert verify(message, [Signer.of(b"")], THEIRS, OURS) is False


def test_4_3_without_a_secret_the_digest_is_an_integrity_check() -> None:
    """Calculated with an empty shared secret, local nonce, and remote nonce."""
    expected = signed_by_hand(HELLO, MD5_AVP, "md5", 16, b"", secret=b"")
    assert expected == sign(plain(HELLO), [Signer.of(b"")])
    assert verify(expected, [Signer.of(b"")]) is True
    assert verify(expected[:-1] + b"\xff", [Signer.of(b"")]) is False


def test_4_3_a_message_without_a_digest_is_told_from_one_with_a_wrong_digest() -> None:
    """With authentication it is as bad, without it is the usual case."""
    assert verify(plain(HELLO), [Signer.of(SECRET)], THEIRS, OURS) is None
    assert verify(plain(b""), [Signer.of(SECRET)], THEIRS, OURS) is None  # 6.15: a ZLB


def test_5_4_1_a_digest_anywhere_else_is_none() -> None:
    """It MUST be placed immediately after the Message Type AVP."""
    good = sign(plain(HELLO), [Signer.of(SECRET)], THEIRS, OURS)
    moved = plain(HELLO + NONCE + good[20:])
    assert verify(moved, [Signer.of(SECRET)], THEIRS, OURS) is None


def test_5_4_1_two_digests_are_computed_with_both_of_them_zero() -> None:
    """The second directly after the first; each of two secrets is tried with each, and one match is enough."""
    old, new = Signer.of(b"old"), Signer.of(b"new", DigestType.HMAC_SHA1)
    message = sign(plain(HELLO), [old, new], THEIRS, OURS)
    zeros = header(12 + 8 + 23 + 27) + HELLO + MD5_AVP + bytes(16) + SHA1_AVP + bytes(20)
    first = by_the_book("md5", by_the_book("md5", b"old", b"\x02"), THEIRS + OURS + zeros)
    second = by_the_book("sha1", by_the_book("md5", b"new", b"\x02"), THEIRS + OURS + zeros)
    assert zeros[:20] + MD5_AVP + first + SHA1_AVP + second == message
    for signers in ([old], [new], [old, new], [Signer.of(b"other"), new]):
        assert verify(message, signers, THEIRS, OURS) is True
    assert verify(message, [Signer.of(b"other"), Signer.of(b"new")], THEIRS, OURS) is False


def test_5_4_1_two_secrets_are_accepted_by_the_receiver_of_one_digest() -> None:
    """Each is used separately."""
    for secret in (b"old", b"new"):
        message = sign(plain(HELLO), [Signer.of(secret)], THEIRS, OURS)
        assert verify(message, [Signer.of(b"old"), Signer.of(b"new")], THEIRS, OURS) is True


def test_5_4_1_an_unknown_digest_type_beside_a_good_digest_does_no_harm() -> None:
    """It is how one will change to an algorithm that we do not have."""
    unknown = bytes.fromhex("8027 0000 003b 02")
    zeros = header(12 + 8 + 23 + 39) + HELLO + MD5_AVP + bytes(16) + unknown + bytes(32)
    digest = by_the_book("md5", by_the_book("md5", SECRET, b"\x02"), THEIRS + OURS + zeros)
    message = zeros[:20] + MD5_AVP + digest + unknown + b"x" * 32
    assert verify(message, [Signer.of(SECRET)], THEIRS, OURS) is True
    assert verify(zeros[:20] + unknown + b"x" * 32, [Signer.of(SECRET)], THEIRS, OURS) is False


def test_5_4_1_the_digest_must_not_be_hidden() -> None:
    """With the H bit it is none that could be checked."""
    good = sign(plain(HELLO), [Signer.of(SECRET)], THEIRS, OURS)
    assert verify(good[:20] + b"\xc0" + good[21:], [Signer.of(SECRET)], THEIRS, OURS) is None


def test_4_7_3_in_an_sccrq_of_version_2_the_m_bit_is_clear() -> None:
    """So that an implementation of RFC 2661 alone ignores it."""
    message = b"\xc8\x02" + plain(SCCRQ)[2:]
    done = sign(message, [Signer.of(SECRET)])
    assert bytes.fromhex("0017 0000 003b 00") == done[20:27]
    assert verify(done, [Signer.of(SECRET)]) is True
