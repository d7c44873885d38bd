"""Who signs what, and which messages are believed (RFC 3931 4.3); whole dialogues are in `conformance/rfc3931/test_section_4_3_dialogues.py`."""

from __future__ import annotations

import pytest

from dialogue import octets
from l2tpd.config.model import Digest, Encapsulation, TunnelSettings
from l2tpd.tunnel.guard import NONCE_SIZE, Guard
from l2tpd.wire.header import build_control3
from l2tpd.wire.messages import encode3, message
from l2tpd.wire.numbers import DigestType, MessageType

UDP, IP = Encapsulation.UDP, Encapsulation.IP
HELLO = encode3(message(MessageType.HELLO))


def guard(
    secret: bytes = b"s", encap: Encapsulation = UDP, digest: Digest = Digest.HMAC_MD5, seed: str = "us"
) -> Guard:
    return Guard.of(TunnelSettings(digest=digest), secret, encap, octets(seed))


def plain(body: bytes = HELLO) -> bytes:
    return build_control3(7, 0, 0, body)


def introduction(nonce: bytes, kind: MessageType = MessageType.SCCRP) -> bytes:
    """An SCCRP of which nothing matters but its nonce; its other AVPs are for somebody else to miss."""
    return (
        b"\x80\x08\0\0\0\0"
        + kind.to_bytes(2, "big")
        + (0x8000 | 6 + len(nonce)).to_bytes(2, "big")
        + b"\0\0\0\x49"
        + nonce
    )


def met(secret: bytes = b"s") -> tuple[Guard, Guard]:
    """Return the guards of two sides that know each other's nonces."""
    ours, theirs = guard(secret), guard(secret, seed="them")
    ours.peer_nonce, theirs.peer_nonce = theirs.nonce, ours.nonce
    return ours, theirs


@pytest.mark.parametrize(
    ("secret", "encap", "digest", "demands", "signs", "nonce"),
    [
        (b"", UDP, Digest.HMAC_MD5, False, [], 0),
        (b"", IP, Digest.HMAC_MD5, False, [DigestType.HMAC_MD5], 0),
        (b"", IP, Digest.HMAC_SHA1, False, [DigestType.HMAC_SHA1], 0),
        (b"", IP, Digest.NONE, False, [], 0),
        (b"s", UDP, Digest.HMAC_MD5, True, [DigestType.HMAC_MD5], NONCE_SIZE),
        (b"s", UDP, Digest.HMAC_SHA1, True, [DigestType.HMAC_SHA1], NONCE_SIZE),
        (b"s", IP, Digest.HMAC_MD5, True, [DigestType.HMAC_MD5], NONCE_SIZE),
        (b"s", UDP, Digest.NONE, False, [], 0),
        (b"s", IP, Digest.NONE, False, [], 0),
    ],
)
def test_what_a_tunnel_needs(
    secret: bytes, encap: Encapsulation, digest: Digest, demands: bool, signs: list[DigestType], nonce: int
) -> None:
    """With a secret all is signed and demanded; without one the digest is for integrity, directly over IP; both unless it is switched off."""
    made = guard(secret, encap, digest)
    assert (demands, signs, nonce) == (made.demands, [one.algorithm for one in made.signers], len(made.nonce))
    assert set(DigestType) == {one.algorithm for one in made.judges}


def test_without_a_signer_a_message_leaves_as_it_is() -> None:
    """Not an octet more."""
    assert plain() == guard(b"").seal(plain())


def test_two_sides_that_know_their_nonces_believe_each_other() -> None:
    """And nobody believes what he said himself."""
    ours, theirs = met()
    assert theirs.believes(ours.seal(plain()), HELLO)
    assert ours.believes(theirs.seal(plain()), HELLO)
    assert not ours.believes(ours.seal(plain()), HELLO)


def test_a_seal_is_taken_off() -> None:
    """What was signed reads as if it never had been; what is not believed is not read."""
    ours, theirs = met()
    sealed = ours.seal(plain())
    assert HELLO == theirs.unseal(sealed, sealed[12:])
    assert ours.unseal(sealed, sealed[12:]) is None


def test_the_answer_brings_the_nonce_that_it_is_signed_with() -> None:
    """It is kept only when the digest proves it; from then on no other one counts."""
    ours, theirs = guard(), guard(seed="them")
    theirs.peer_nonce = ours.nonce
    body = introduction(theirs.nonce)
    right = theirs.seal(plain(body))
    assert not ours.believes(right[:-1] + b"\0", body)
    assert b"" == ours.peer_nonce
    assert ours.believes(right, body)
    assert theirs.nonce == ours.peer_nonce
    third = guard(seed="a third")
    third.peer_nonce = ours.nonce
    assert not ours.believes(third.seal(plain(introduction(third.nonce))), introduction(third.nonce))
    assert theirs.nonce == ours.peer_nonce


@pytest.mark.parametrize("kind", [MessageType.SCCRQ, MessageType.SCCRP])
def test_a_nonce_of_our_own_is_nobodys(kind: MessageType) -> None:
    """Whatever comes with it may be made of our own words."""
    ours, mirror = guard(), guard()
    mirror.peer_nonce = ours.nonce
    body = introduction(ours.nonce, kind)
    assert not ours.believes(mirror.seal(plain(body)), body)
    assert b"" == ours.peer_nonce


def test_a_refusal_is_signed_without_a_nonce_that_its_receiver_cannot_know() -> None:
    """The caller believes it, though it has heard of no nonce."""
    asked, refusing = guard(), guard(seed="them")
    refusing.peer_nonce = asked.nonce
    assert asked.believes(refusing.part(plain(STOPPED)), STOPPED)
    assert not asked.believes(refusing.seal(plain(STOPPED)), STOPPED)
    assert plain(STOPPED) == guard(b"").part(plain(STOPPED))


def test_whoever_has_asked_believes_no_request() -> None:
    """An old one of the peer's would be signed rightly, for it has no nonce of ours in it."""
    asked, theirs = guard(), guard(seed="them")
    body = introduction(theirs.nonce, MessageType.SCCRQ)
    request = theirs.seal(plain(body))
    assert guard(seed="a listener").believes(request, body)
    asked.seal(plain(introduction(asked.nonce, MessageType.SCCRQ)))
    assert not asked.believes(request, body)
    assert b"" == asked.peer_nonce


@pytest.mark.parametrize("body", [HELLO, b"", b"\x80\x08", b"\x80\x08\0\0\0\0\0\2\x80\x07\0\0"])
def test_without_a_nonce_nothing_is_believed(body: bytes) -> None:
    """Neither what has none nor what cannot be read."""
    ours = guard()
    peer = guard(seed="them")
    peer.nonce, peer.peer_nonce = b"", ours.nonce
    datagram = plain(body)
    assert not ours.believes(peer.seal(datagram) if len(body) >= 8 else datagram, body)


STOPPED = b"\x80\x08\0\0\0\0\0\4\x80\x08\0\0\0\1\0\1"


@pytest.mark.parametrize(("nonce", "peer_nonce"), [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("known", [True, False], ids=["we know its nonce", "we do not"])
def test_a_stopccn_may_leave_out_what_its_sender_does_not_know(nonce: bool, peer_nonce: bool, known: bool) -> None:
    """One nonce of this connection must be in it: ours, or the peer's that we know already."""
    ours, theirs = met()
    if not known:
        ours.peer_nonce = b""
    theirs.nonce = theirs.nonce if nonce else b""
    theirs.peer_nonce = theirs.peer_nonce if peer_nonce else b""
    wanted = (known and nonce) or (peer_nonce and not nonce)
    assert wanted is ours.believes(theirs.seal(plain(STOPPED)), STOPPED)


@pytest.mark.parametrize("digest", Digest)
def test_without_a_secret_only_a_wrong_digest_is_disbelieved(digest: Digest) -> None:
    """None is as good as a right one, wherever it comes."""
    for ours in (guard(b"", UDP, digest), guard(b"", IP, digest), guard(b"s", UDP, Digest.NONE)):
        signed = guard(b"", IP).seal(plain())
        assert ours.believes(plain(), HELLO)
        assert ours.believes(signed, HELLO)
        assert not ours.believes(signed[:-1] + b"\xff", HELLO)
        assert not ours.believes(guard(b"s").seal(plain()), HELLO)
        assert b"" == ours.peer_nonce


def test_a_nonce_is_read_from_a_whole_answer_too() -> None:
    """Behind the digest, as it travels."""
    ours, theirs = guard(), guard(seed="them")
    theirs.peer_nonce = ours.nonce
    signed = theirs.seal(plain(introduction(theirs.nonce)))
    assert ours.believes(signed, signed[12:])
    assert theirs.nonce == ours.peer_nonce
