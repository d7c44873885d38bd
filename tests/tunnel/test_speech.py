"""Dialogues about authentication and hiding in L2TPv2, with a peer that the test plays."""

from __future__ import annotations

import pytest

from books import consistent
from dialogue import (
    OURS,
    SECRET,
    ZLB,
    a_site,
    dialled,
    scccn,
    sccrp,
    sccrq,
    stage,
)
from l2tpd.config.model import Authentication, SessionSettings
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.states import State
from l2tpd.wire import digest
from l2tpd.wire.avp import (
    ASSIGNED_TUNNEL_ID,
    CHALLENGE,
    CHALLENGE_RESPONSE,
    RESULT_CODE,
)
from l2tpd.wire.messages import message
from l2tpd.wire.numbers import MessageType, StopResult

CHALLENGE_OF_PEER = b"sixteen octets!!"


def response(kind: MessageType, challenge: bytes, secret: str = SECRET) -> bytes:
    return digest.challenge_response(kind, secret.encode(), challenge)


# --- authentication (5.1.1) ---------------------------------------------------------------------------------------------------


def test_both_sides_authenticate_when_we_dial() -> None:
    """Our challenge in SCCRQ is answered in SCCRP; the peer's, in SCCRP, is answered in SCCCN."""
    say = dialled(secret=SECRET)
    ours = say.core.challenge
    assert 16 == len(ours)
    assert {ours} == say.site.challenges
    say.peer >> sccrp(challenge=CHALLENGE_OF_PEER, challenge_response=response(MessageType.SCCRP, ours))
    say.us << message(MessageType.SCCCN, {CHALLENGE_RESPONSE: response(MessageType.SCCCN, CHALLENGE_OF_PEER)})
    say.state_is(State.ESTABLISHED)
    assert set() == say.site.challenges


def test_both_sides_authenticate_when_we_are_called() -> None:
    """The peer's challenge in SCCRQ is answered in SCCRP, which brings ours; SCCCN answers that."""
    say = stage(origin="network", secret=SECRET)
    say.peer >> sccrq(challenge=CHALLENGE_OF_PEER)
    answered = say.us << message(
        MessageType.SCCRP, {CHALLENGE_RESPONSE: response(MessageType.SCCRP, CHALLENGE_OF_PEER)}
    )
    assert answered.said is not None
    say.peer >> scccn(challenge_response=response(MessageType.SCCCN, answered.said[CHALLENGE]))
    say.us << ZLB
    say.state_is(State.ESTABLISHED)
    assert set() == say.site.challenges


def test_a_secret_without_authentication_challenges_nobody_but_answers() -> None:
    """`authentication = "none"`: we do not challenge, but a challenge MUST be answered (5.1.1)."""
    say = stage(origin="network", secret=SECRET, authentication=Authentication.NONE)
    say.peer >> sccrq(challenge=CHALLENGE_OF_PEER)
    answered = say.us << message(
        MessageType.SCCRP, {CHALLENGE_RESPONSE: response(MessageType.SCCRP, CHALLENGE_OF_PEER)}
    )
    assert answered.said is not None
    assert CHALLENGE not in answered.said
    say.peer >> scccn()
    say.us << ZLB
    say.state_is(State.ESTABLISHED)


@pytest.mark.parametrize(
    "given", [None, response(MessageType.SCCRP, b"x" * 16), bytes(16)], ids=["missing", "other challenge", "zeros"]
)
def test_an_sccrp_without_the_right_response_is_refused(given: bytes | None) -> None:
    """A wrong Challenge Response and a missing one both end the tunnel with result 4; nothing comes up (5.1.1, no silent downgrade)."""
    say = dialled(secret=SECRET)
    say.peer >> (sccrp() if given is None else sccrp(challenge_response=given))
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert StopResult.NOT_AUTHORIZED == stopped.said[RESULT_CODE].result
    say.state_is(State.CLOSING)
    assert ["tunnel created", "tunnel deleted 4"] == say.told()
    assert [] == say.plane()
    assert 1 == say.site.counters.auth_failures
    consistent(say)


@pytest.mark.parametrize("how", ["missing", "wrong secret", "response for SCCRP"])
def test_an_scccn_without_the_right_response_is_refused(how: str) -> None:
    """The answer to our challenge in SCCRP must be that of the secret and of the message type SCCCN (4.4.3)."""
    say = stage(origin="network", secret=SECRET)
    say.peer >> sccrq()
    say.us << MessageType.SCCRP
    ours = say.core.challenge
    given = {
        "missing": scccn(),
        "wrong secret": scccn(challenge_response=response(MessageType.SCCCN, ours, "other")),
        "response for SCCRP": scccn(challenge_response=response(MessageType.SCCRP, ours)),
    }
    say.peer >> given[how]
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert StopResult.NOT_AUTHORIZED == stopped.said[RESULT_CODE].result
    consistent(say)


def test_a_challenge_without_a_secret_of_ours_is_refused() -> None:
    """A challenge that we cannot answer ends the set-up with result 4, for a response MUST be sent (5.1.1)."""
    for say, request in (
        (stage(origin="network"), sccrq(challenge=CHALLENGE_OF_PEER)),
        (dialled(), sccrp(challenge=CHALLENGE_OF_PEER)),
    ):
        say.peer >> request
        stopped = say.us << MessageType.STOPCCN
        assert stopped.said is not None
        assert StopResult.NOT_AUTHORIZED == stopped.said[RESULT_CODE].result
        assert "no secret is shared" == stopped.said[RESULT_CODE].message


def test_our_own_challenge_is_never_answered() -> None:
    """A peer that sends our outstanding challenge back, in another tunnel, gets result 4 and no response to play against us."""
    site = a_site()
    dialling = stage(site=site, secret=SECRET)
    dialling.open()
    asked = dialling.us << MessageType.SCCRQ
    assert asked.said is not None
    reflecting = stage(local_id=8, origin="network", site=site, secret=SECRET)
    reflecting.peer >> sccrq(challenge=asked.said[CHALLENGE])
    stopped = reflecting.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert StopResult.NOT_AUTHORIZED == stopped.said[RESULT_CODE].result
    assert {asked.said[CHALLENGE]} == site.challenges


# --- hiding (4.3) -------------------------------------------------------------------------------------------------------------


def test_hidden_avps_are_read_and_sent() -> None:
    """With `hide_avps` both sides hide what may be hidden, from SCCRP on, and understand each other."""
    say = stage(secret=SECRET, hide_avps=True)
    say.peer.hides = True
    say.open()
    say.us << MessageType.SCCRQ
    say.peer >> sccrp(challenge_response=response(MessageType.SCCRP, say.core.challenge), vendor_name="Secretive")
    say.us << MessageType.SCCCN
    assert say.core.facts is not None
    assert "Secretive" == say.core.facts.vendor_name
    say.peer >> ZLB
    call = say.open_session(SessionSettings(calling_number="12345"))
    say.us << MessageType.ICRQ
    assert call.state is CallState.WAIT_REPLY


def test_sccrq_and_stopccn_are_never_hidden() -> None:
    """Nothing in SCCRQ is hidden, for the peer has not chosen a secret yet; nor in StopCCN, for who has a wrong secret must read it."""
    say = stage(secret=SECRET, hide_avps=True)
    say.peer.secret = b""
    say.open()
    say.us << message(MessageType.SCCRQ, {ASSIGNED_TUNNEL_ID: OURS})
    say.peer >> sccrp()
    say.us << message(MessageType.STOPCCN, {ASSIGNED_TUNNEL_ID: OURS})


def test_hidden_avps_under_another_secret_end_the_set_up() -> None:
    """What cannot be unhidden and is mandatory is an error that ends the tunnel (4.2); nothing raises."""
    say = dialled(secret=SECRET)
    say.peer.secret = b"another"
    say.peer.hides = True
    say.peer >> sccrp()
    say.us << MessageType.STOPCCN
    say.state_is(State.CLOSING)
