"""RFC 1994 4, packets of CHAP, and its Security Considerations: each test quotes the requirement that it checks."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.chap import build_value, parse_value
from l2tpd.ppp.credentials import Credentials, chap_digest
from l2tpd.ppp.events import AuthFailed, CheckCredentials
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import Auth, ChapCode, Code, LcpOption
from l2tpd.ppp.settings import Grant, LinkSettings
from pppstage import BARE, CHAP, LCP, MAGIC, Said, Scene, begin, opened, options

SERVER = attrs.evolve(BARE, name="lns", require=(Auth.CHAP,))
CLIENT = attrs.evolve(BARE, user="joe", password="secret")
SECRET = "secret"
CHALLENGE = build_value(b"0123456789abcdef", b"them")


def server(settings: LinkSettings = SERVER) -> tuple[Scene, Said]:
    """An authenticator, and its first Challenge."""
    scene, (challenge,) = opened(settings)
    return scene, challenge


def client(settings: LinkSettings = CLIENT) -> Scene:
    """A peer that will be challenged."""
    return opened(settings, options((LcpOption.AUTHENTICATION, Auth.CHAP.value), (LcpOption.MAGIC, MAGIC)))[0]


def answer(challenge: Said, secret: str = SECRET, name: bytes = b"joe") -> bytes:
    value, _ = parse_value(challenge.data)
    return build_value(chap_digest(challenge.identifier, secret, value), name)


def asked(scene: Scene) -> list[Credentials]:
    """What the outside was asked since we last looked."""
    return [event.credentials for event in scene.events() if isinstance(event, CheckCredentials)]


def in_network() -> tuple[Scene, Said]:
    """An authenticator that has let the peer in, and the Challenge of that."""
    scene, challenge = server()
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge))
    (said,) = asked(scene)
    scene.link.accept_credentials(said, Grant(), 0.0)
    scene.heard()
    return scene, challenge


def test_4_octets_outside_the_length_are_padding() -> None:
    """4: they "should be treated as Data Link Layer padding and should be ignored on reception"."""
    scene, challenge = server()
    data = answer(challenge)
    scene.frame(b"\xff\x03\xc2\x23" + bytes((2, challenge.identifier, 0, 4 + len(data))) + data + b"\0\0")
    assert ["joe"] == [said.user for said in asked(scene)]


def test_4_1_the_authenticator_must_transmit_a_challenge() -> None:
    """4.1: "The authenticator MUST transmit a CHAP packet with the Code field set to 1 (Challenge)", under its name."""
    _, challenge = server()
    assert (CHAP, ChapCode.CHALLENGE, b"lns") == (challenge.protocol, challenge.code, parse_value(challenge.data)[1])


def test_4_1_additional_challenges_must_be_sent() -> None:
    """4.1: "until a valid Response packet is received, or an optional retry counter expires"; value and identifier "MUST be changed" each time."""
    scene, first = server()
    challenges = [first, *(said for said in scene.at(100.0) if said.protocol == CHAP)]
    assert 10 == len(challenges) == len({said.identifier for said in challenges})
    assert 10 == len({parse_value(said.data)[0] for said in challenges})
    assert Phase.AUTHENTICATE is not scene.link.phase


def test_4_1_whenever_a_challenge_is_received_the_peer_must_respond() -> None:
    """4.1: in "the Authentication phase and the Network-Layer Protocol phase"; "The Response Identifier MUST be copied"."""
    scene = client()
    (response,) = scene.say(CHAP, ChapCode.CHALLENGE, 200, CHALLENGE)
    value, name = parse_value(response.data)
    assert (ChapCode.RESPONSE, 200, b"joe") == (response.code, response.identifier, name)
    assert chap_digest(200, "secret", b"0123456789abcdef") == value
    scene.say(CHAP, ChapCode.SUCCESS, 200)
    assert Phase.NETWORK is scene.link.phase
    (again,) = (said for said in scene.say(CHAP, ChapCode.CHALLENGE, 3, CHALLENGE) if said.protocol == CHAP)
    assert (ChapCode.RESPONSE, 3) == (again.code, again.identifier)


@pytest.mark.parametrize("size", [1, 2, 16, 200, 255])
def test_4_1_a_challenge_may_have_any_size(size: int) -> None:
    """4.1: the Challenge Value "is a variable stream of octets"."""
    (response,) = client().say(CHAP, ChapCode.CHALLENGE, 1, build_value(b"v" * size, b"them"))
    assert chap_digest(1, "secret", b"v" * size) == parse_value(response.data)[0]


def test_4_1_the_name_of_a_challenge_may_be_missing() -> None:
    """4.1: "The Name field is one or more octets", but who leaves it out is answered (RFC 2759 3: Microsoft's authenticators do)."""
    (response,) = client().say(CHAP, ChapCode.CHALLENGE, 1, build_value(b"value", b""))
    assert ChapCode.RESPONSE == response.code


@pytest.mark.parametrize("data", [b"", b"\0", b"\0name", b"\x10short", b"\5value"[:4]])
def test_4_1_values_that_run_over_the_end_are_discarded(data: bytes) -> None:
    """4.1: "The Value field is one or more octets", as many as Value-Size says."""
    scene = client()
    assert [] == scene.say(CHAP, ChapCode.CHALLENGE, 1, data)
    assert 1 == scene.link.counters.discarded


def test_4_1_repeated_responses_must_return_the_same_code() -> None:
    """4.1: they "MUST return the same reply Code previously returned for that specific Challenge", so that no other secret can be tried."""
    scene, challenge = in_network()
    for data in (answer(challenge), answer(challenge, "guess"), answer(challenge, name=b"jane")):
        (again,) = scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, data)
        assert (ChapCode.SUCCESS, challenge.identifier) == (again.code, again.identifier)
    assert [] == asked(scene)
    assert "joe" == scene.link.user


def test_4_1_a_second_response_is_not_looked_at_while_the_first_is() -> None:
    """4.1: the discovery of "alternative Names and Secrets" is prevented also while the outside thinks."""
    scene, challenge = server()
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge, "guess"))
    assert [] == scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge))
    assert 1 == len(asked(scene))


@pytest.mark.parametrize("when", ["establishing", "terminating"])
def test_4_1_responses_in_any_other_phase_are_discarded(when: str) -> None:
    """4.1: "Any Response packets received during any other phase MUST be silently discarded"."""
    if when == "establishing":
        scene = begin(SERVER)
        challenge = Said(CHAP, ChapCode.CHALLENGE, 1, CHALLENGE)
    else:
        scene, challenge = server()
        scene.link.close(0.0)
    scene.heard()
    assert [] == scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge))
    assert [] == asked(scene)
    assert 1 == scene.link.counters.discarded


def test_4_2_an_equal_value_must_be_answered_by_success() -> None:
    """4.2: "MUST transmit a CHAP packet with the Code field set to 3"; "The Identifier field MUST be copied"."""
    scene, challenge = server()
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge))
    (said,) = asked(scene)
    scene.link.accept_credentials(said, Grant(message=b"welcome"), 0.0)
    assert (CHAP, ChapCode.SUCCESS, challenge.identifier, b"welcome") == scene.heard()[0]
    assert Phase.NETWORK is scene.link.phase


def test_4_2_another_value_must_be_answered_by_failure_and_should_end_the_link() -> None:
    """4.2: "MUST transmit a CHAP packet with the Code field set to 4 (Failure), and SHOULD take action to terminate the link"."""
    scene, challenge = server()
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge, "guess"))
    (said,) = asked(scene)
    scene.link.refuse_credentials(said, b"no", 0.0)
    failure, terminate = scene.heard()
    assert (CHAP, ChapCode.FAILURE, challenge.identifier, b"no") == failure
    assert (LCP, Code.TERMINATE_REQUEST) == terminate[:2]


@pytest.mark.parametrize("message", [b"", b"\0\xff", b"S=0", b"E=691 R=1"])
def test_4_2_the_message_must_not_affect_operation(message: bytes) -> None:
    """4.2: "It is intended to be human readable, and MUST NOT affect operation of the protocol"."""
    scene = client()
    scene.say(CHAP, ChapCode.CHALLENGE, 1, CHALLENGE)
    scene.say(CHAP, ChapCode.SUCCESS, 1, message)
    assert Phase.NETWORK is scene.link.phase
    scene = client()
    scene.say(CHAP, ChapCode.CHALLENGE, 1, CHALLENGE)
    scene.say(CHAP, ChapCode.FAILURE, 1, message)
    assert Phase.TERMINATE is scene.link.phase


@pytest.mark.parametrize("code", [ChapCode.SUCCESS, ChapCode.FAILURE])
def test_4_2_an_answer_that_matches_no_response_is_none(code: int) -> None:
    """4.2: the Identifier "aids in matching requests and replies"."""
    scene = client()
    scene.say(CHAP, code, 1)
    scene.say(CHAP, ChapCode.CHALLENGE, 1, CHALLENGE)
    scene.say(CHAP, code, 2)
    assert Phase.AUTHENTICATE is scene.link.phase
    assert 2 == scene.link.counters.discarded


def test_a_challenge_of_ours_is_not_answered() -> None:
    """Security Considerations: "This allows an attacker to replay the peer's challenge, accept the computed response, and use that"."""
    settings = attrs.evolve(SERVER, user="joe", password="secret")
    data = options((LcpOption.AUTHENTICATION, Auth.CHAP.value), (LcpOption.MAGIC, MAGIC))
    scene, (challenge,) = opened(settings, data)
    said = scene.say(CHAP, ChapCode.CHALLENGE, 99, challenge.data)
    assert ChapCode.RESPONSE not in {one.code for one in said if one.protocol == CHAP}
    assert Phase.TERMINATE is scene.link.phase
    assert [event for event in scene.events() if isinstance(event, AuthFailed)]


def test_a_renegotiation_authenticates_anew() -> None:
    """Security Considerations: "the LCP state machine can renegotiate the authentication protocol at any time, thus allowing a new attempt"."""
    scene, challenge = in_network()
    scene.say(LCP, Code.CONFIGURE_REQUEST, 50, options((LcpOption.MAGIC, b"new!")))
    scene.link.frames_to_send()
    assert scene.in_phase(Phase.ESTABLISH)
    (asked_for,) = scene.at(5.0)[-1:]
    said = scene.say(LCP, Code.CONFIGURE_ACK, asked_for.identifier, asked_for.data)
    (second,) = (one for one in said if one.protocol == CHAP)
    assert (ChapCode.CHALLENGE, True) == (second.code, second.data != challenge.data)
    assert Phase.AUTHENTICATE is scene.link.phase
