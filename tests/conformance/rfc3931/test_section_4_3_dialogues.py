"""RFC 3931 section 4.3 in dialogues: which messages a control connection believes, and which it signs; the arithmetic is in `test_section_4_3.py`."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from dialogue import OURS, SECRET, ZLB, Dialogue, a_site, stage
from dialogue3 import (
    called3,
    dialled3,
    hello3,
    incoming3,
    reported3,
    scccn3,
    sccrp3,
    sccrq3,
    stopccn3,
    up3,
    up_called3,
)
from l2tpd.config.model import Digest, Encapsulation
from l2tpd.tunnel.dialect import V3
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import CONTROL_MESSAGE_NONCE, MESSAGE_DIGEST, RESULT_CODE
from l2tpd.wire.digest3 import Signer, sign
from l2tpd.wire.header import build_control3
from l2tpd.wire.numbers import DigestType, MessageType, StopResult
from seal import Seal

BOTH = pytest.mark.parametrize("kind", DigestType, ids=lambda kind: kind.name)
OTHER = Seal(Signer.of(b"another secret"))


def ended_for(say: Dialogue) -> int:
    """Take our StopCCN and return its result."""
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    return stopped.said[RESULT_CODE].result


# --- what we say --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", [Digest.HMAC_MD5, Digest.HMAC_SHA1])
def test_4_3_with_a_secret_all_messages_carry_a_right_digest(digest: Digest) -> None:
    """It is now included in all L2TP messages": from the SCCRQ to the StopCCN, ACKs too, whoever asked, with both hashes."""
    for establish in (up3, up_called3):
        say = establish(secret=SECRET, digest=digest)
        algorithm = DigestType.HMAC_SHA1 if digest is Digest.HMAC_SHA1 else DigestType.HMAC_MD5
        say.peer.seal.signer = Signer.of(SECRET.encode(), algorithm)
        reported3(say)
        incoming3(say, 77)
        say.peer >> hello3()
        acknowledged = say.us << ZLB
        say.close()
        stopped = say.us << MessageType.STOPCCN
        assert (True, True) == (acknowledged.signed, stopped.signed)
        assert stopped.said is not None
        (only,) = stopped.said[MESSAGE_DIGEST]
        assert algorithm == only.kind
        assert 0 == say.site.counters.auth_failures


@pytest.mark.parametrize("asked", [True, False])
def test_5_4_1_the_nonce_must_be_present_in_sccrq_and_sccrp(asked: bool) -> None:
    """If Control Message Authentication is enabled", with 16 octets as is recommended, and never the same twice."""
    seen = set()
    for seed in range(20):
        site = a_site(str(seed))
        say = stage(dialect=V3, secret=SECRET, site=site, origin="local" if asked else "network")
        if asked:
            say.open()
        else:
            say.peer >> sccrq3()
        heard = say.us << (MessageType.SCCRQ if asked else MessageType.SCCRP)
        assert heard.said is not None
        assert heard.signed
        assert 16 == len(heard.said[CONTROL_MESSAGE_NONCE])
        seen.add(heard.said[CONTROL_MESSAGE_NONCE])
    assert 20 == len(seen)


def test_4_3_without_a_secret_neither_nonce_nor_digest_is_sent_over_udp() -> None:
    """The Control Message Authentication mechanism is optional."""
    for scene, kind in ((stage(dialect=V3), MessageType.SCCRQ), (stage(dialect=V3, origin="network"), 0)):
        if kind:
            scene.open()
        else:
            scene.peer >> sccrq3()
        (heard,) = scene.skip()
        assert heard.said is not None
        assert (None, False) == (heard.signed, CONTROL_MESSAGE_NONCE in heard.said)


def test_4_1_1_2_over_ip_a_digest_without_a_secret_should_always_be_enabled() -> None:
    """Control Message Authentication, even with an empty password field, provides for a sufficient packet integrity check"; a nonce is not sent."""
    for establish in (up3, up_called3):
        say = establish(encap=Encapsulation.IP)
        say.peer >> hello3()
        heard = say.us << ZLB
        assert heard.signed is True
    say = stage(dialect=V3, encap=Encapsulation.IP)
    say.open()
    asked = say.us << MessageType.SCCRQ
    assert asked.said is not None
    assert (True, False) == (asked.signed, CONTROL_MESSAGE_NONCE in asked.said)


def test_4_1_1_2_unless_the_operator_wants_none() -> None:
    """SHOULD": `digest = "none"` turns it off."""
    say = up3(encap=Encapsulation.IP, digest=Digest.NONE)
    say.peer >> hello3()
    heard = say.us << ZLB
    assert heard.signed is None


# --- what we believe ----------------------------------------------------------------------------------------------------------


@BOTH
def test_5_4_1_both_digest_types_are_understood_whichever_we_send(kind: DigestType) -> None:
    """Digest Type 0 (HMAC-MD5) MUST be supported, while Digest Type 1 (HMAC-SHA-1) SHOULD be supported."""
    say = dialled3(secret=SECRET)
    say.peer.seal.signer = Signer.of(SECRET.encode(), kind)
    say.peer >> sccrp3()
    say.us << MessageType.SCCCN
    answering = stage(dialect=V3, secret=SECRET, origin="network", digest=Digest.HMAC_SHA1)
    answering.peer.seal.signer = Signer.of(SECRET.encode(), kind)
    answering.peer >> sccrq3()
    answering.us << MessageType.SCCRP
    answering.peer >> scccn3()
    answering.us << ZLB


SEALS = {
    "another secret": Seal(Signer.of(b"another secret")),
    "no digest": Seal(),
    "an empty secret": Seal(Signer.of(b"")),
}


@pytest.mark.parametrize("seal", SEALS.values(), ids=SEALS)
def test_5_4_1_if_the_calculation_fails_the_message_must_be_dropped(seal: Seal) -> None:
    """Without an answer and without effect, in every state; a digest that is missing is as bad, so that nobody can talk us down."""
    for scene, said in (
        (stage(dialect=V3, origin="network", secret=SECRET), sccrq3()),
        (dialled3(secret=SECRET), sccrp3()),
        (called3(secret=SECRET), scccn3()),
        (up3(secret=SECRET), stopccn3()),
        (up3(secret=SECRET), hello3()),
    ):
        before, good = (scene.core.state, scene.core.channel.nr), scene.peer.seal
        scene.peer.seal = Seal(seal.signer, ours=good.ours)
        scene.peer >> said
        scene.silent()
        assert before == (scene.core.state, scene.core.channel.nr)
        assert 1 == scene.site.counters.auth_failures


def test_4_3_what_was_dropped_is_taken_when_it_comes_rightly_signed() -> None:
    """The wrong message has used up no number and no nonce."""
    say = dialled3(secret=SECRET)
    good = say.peer.seal
    say.peer.seal = Seal(OTHER.signer, nonce=b"a false nonce", ours=good.ours)
    say.peer >> sccrp3()
    say.peer.ns, say.peer.seal = 0, good
    say.peer >> sccrp3()
    say.us << MessageType.SCCCN
    say.state_is(State.ESTABLISHED)


@pytest.mark.parametrize("scene", [up3, up_called3])
def test_4_3_a_message_of_another_connection_is_dropped(scene: object) -> None:
    """replay attacks that would otherwise be trivial to mount": the nonces of this connection are part of what is signed."""
    assert callable(scene)
    say = scene(secret=SECRET)
    for seal in (
        Seal(say.peer.seal.signer, nonce=b"an older nonce..", ours=say.peer.seal.ours),
        Seal(say.peer.seal.signer, nonce=say.peer.seal.nonce, ours=b"our older nonce."),
        Seal(say.peer.seal.signer, nonce=say.peer.seal.ours, ours=say.peer.seal.nonce),  # our own message comes back
    ):
        datagram = seal.sign(build_control3(OURS, say.peer.ns, say.peer.nr, say.peer.body(hello3())))
        say.arrive(datagram, say.peer.address)
    say.silent()
    assert 3 == say.site.counters.auth_failures


def test_4_3_with_a_secret_an_sccrp_without_a_nonce_is_dropped() -> None:
    """Control Message Authentication is always bidirectional; either both sides participate in authentication, or neither does."""
    say = dialled3(secret=SECRET)
    body = say.peer.body(sccrp3())
    nonce = bytes.fromhex("8016 0000 0049") + say.peer.seal.nonce
    assert nonce in body
    say.peer >> body.replace(nonce, b"")
    say.silent()
    say.state_is(State.WAIT_CTL_REPLY)


@pytest.mark.parametrize("settings", [{}, {"secret": SECRET, "digest": Digest.NONE}], ids=["no secret", "no digest"])
def test_4_3_a_peer_that_authenticates_is_refused_where_we_do_not(settings: dict[str, Any]) -> None:
    """If an SCCRQ or SCCRP contains a ... Nonce AVP, the receiver of the message MUST respond with a Message Digest AVP": which we cannot, and say so."""
    dialling = dialled3(**settings)
    dialling.peer >> sccrp3(control_message_nonce=bytes(16))
    assert StopResult.NOT_AUTHORIZED == ended_for(dialling)
    answering = stage(dialect=V3, origin="network", **settings)
    answering.peer >> sccrq3(control_message_nonce=bytes(16))
    assert StopResult.NOT_AUTHORIZED == ended_for(answering)


@pytest.mark.parametrize("encap", Encapsulation)
@pytest.mark.parametrize("settings", [{}, {"secret": SECRET, "digest": Digest.NONE}], ids=["no secret", "no digest"])
def test_4_3_without_authentication_an_invalid_digest_drops_the_message(
    settings: dict[str, Any], encap: Encapsulation
) -> None:
    """it should be assumed that the message has been corrupted in transit"; a valid one, or none at all, is taken."""
    say = up3(encap=encap, **settings)
    for signer, heard in ((Signer.of(b""), True), (Signer.of(b"x"), False), (None, True)):
        say.peer.seal = Seal(signer, nonce=b"")
        say.peer >> hello3()
        if heard:
            say.us << ZLB
        else:
            say.silent()
            say.peer.ns -= 1
    assert 1 == say.site.counters.auth_failures


def test_4_3_a_reflected_request_is_not_believed() -> None:
    """Our own SCCRQ comes back rightly signed: nobody who has proved anything has said it."""
    say = stage(dialect=V3, secret=SECRET)
    say.core.open(0.0)
    (ours,) = say.core.datagrams_to_send(0.0)
    say.core.take_outputs()
    say.arrive(ours, say.peer.address)
    say.silent()
    assert (State.WAIT_CTL_REPLY, 1) == (say.core.state, say.site.counters.auth_failures)


def test_4_3_an_old_request_of_the_peer_is_not_believed_while_we_ask() -> None:
    """replay attacks that would otherwise be trivial to mount": an SCCRQ is signed without a nonce of ours, and would replace the peer's nonce."""
    say = dialled3(secret=SECRET)
    old = say.peer.body(sccrq3(control_message_nonce=b"an older nonce.."))
    say.arrive(say.peer.seal.sign(build_control3(0, 0, 0, old)), say.peer.address)
    say.silent()
    assert 1 == say.site.counters.auth_failures
    say.peer >> sccrp3()
    say.us << MessageType.SCCCN


def test_4_3_a_request_with_a_nonce_of_ours_is_refused() -> None:
    """An SCCRQ of ours that is sent back to our own listener must not make us sign for both sides."""
    site = a_site()
    say = dialled3(secret=SECRET, site=site)
    answering = stage(dialect=V3, secret=SECRET, site=site, origin="network", local_id=8)
    answering.peer.seal.nonce = say.peer.seal.ours
    answering.peer >> sccrq3()
    assert StopResult.NOT_AUTHORIZED == ended_for(answering)
    say.state_is(State.WAIT_CTL_REPLY)


def test_5_4_1_one_right_digest_of_two_must_be_enough() -> None:
    """If two Message Digest AVPs are received in a control message, the message MUST be accepted if either Message Digest is valid."""
    say = up3(secret=SECRET)
    right, wrong = Signer.of(SECRET.encode(), DigestType.HMAC_SHA1), Signer.of(b"the secret before")
    plain = build_control3(OURS, say.peer.ns, say.peer.nr, say.peer.body(hello3()))
    say.arrive(sign(plain, [wrong, right], say.peer.seal.nonce, say.peer.seal.ours), say.peer.address)
    say.us << ZLB


# --- a StopCCN while a nonce is not known -----------------------------------------------------------------------------------------


def test_4_3_a_refusal_of_one_that_knows_the_secret_ends_our_request() -> None:
    """The peer refuses our SCCRQ, so we have no nonce of its: what it cannot expect us to know it leaves out."""
    say = dialled3(secret=SECRET)
    say.peer.seal.nonce = b""
    say.peer >> stopccn3(4)
    say.us << ZLB
    say.state_is(State.LINGERING)


def test_4_3_a_caller_that_gives_up_before_our_sccrp_is_believed() -> None:
    """It has not learnt our nonce."""
    say = called3(secret=SECRET)
    say.peer.seal.ours = b""
    say.peer.tunnel_id, say.peer.nr = 0, 0
    say.peer >> stopccn3()
    say.us << ZLB
    say.state_is(State.LINGERING)


def test_4_3_no_other_message_may_leave_a_nonce_out() -> None:
    """And a StopCCN must be bound to a nonce of this connection."""
    say = called3(secret=SECRET)
    ours = say.peer.seal.ours
    for said, seal in (
        (scccn3(), Seal(say.peer.seal.signer, say.peer.seal.nonce, b"")),
        (scccn3(), Seal(say.peer.seal.signer, b"", ours)),
        (stopccn3(), Seal(say.peer.seal.signer, b"", b"")),
        (stopccn3(), Seal(say.peer.seal.signer, b"an older nonce..", b"")),
    ):
        say.peer.seal = seal
        say.peer >> said
        say.peer.ns -= 1
    say.silent()
    say.state_is(State.WAIT_CTL_CONN)
    dialling = dialled3(secret=SECRET)
    dialling.peer.seal = Seal(dialling.peer.seal.signer, b"", b"")
    dialling.peer >> stopccn3()
    dialling.state_is(State.WAIT_CTL_REPLY)


def test_4_3_our_stopccn_before_any_sccrp_is_signed_with_what_we_know() -> None:
    """local_nonce + remote_nonce", of which the second is empty: computed here by hand."""
    say = dialled3(secret=SECRET)
    say.peer.deaf = True
    say.core.close(0.0)
    say.core.channel.receive(0, 1, None, 0.0)  # the SCCRQ has arrived
    (datagram,) = say.core.datagrams_to_send(0.0)
    say.core.take_outputs()
    key = hmac.new(SECRET.encode(), b"\2", "md5").digest()
    blank = datagram[:27] + bytes(16) + datagram[43:]
    assert hmac.new(key, say.peer.seal.ours + blank, hashlib.md5).digest() == datagram[27:43]
