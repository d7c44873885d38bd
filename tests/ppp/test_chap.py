"""CHAP, both sides: MD5, MS-CHAPv2, and MS-CHAPv1 as prover (RFC 1994, RFC 2759, RFC 2433)."""

from __future__ import annotations

import hashlib

import attrs
import pytest

from l2tpd.ppp.chap import build_value, parse_value
from l2tpd.ppp.credentials import Credentials, respond, verify
from l2tpd.ppp.events import AuthFailed, CheckCredentials, LinkDown
from l2tpd.ppp.link import Phase
from l2tpd.ppp.mschap import challenge_response, nt_password_hash
from l2tpd.ppp.numbers import BY_PEER, BY_US, Auth, ChapCode, Code, Disconnect, LcpOption
from l2tpd.ppp.settings import Grant, LinkSettings
from pppstage import ACK, BARE, CHAP, LCP, MAGIC, REQUEST, Said, Scene, begin, opened, options

SERVER = attrs.evolve(BARE, name="lns", require=(Auth.CHAP,))
SERVER2 = attrs.evolve(SERVER, require=(Auth.MSCHAPV2,))
CLIENT = attrs.evolve(BARE, user="joe", password="secret", offer=tuple(Auth))
CHALLENGE = bytes(range(16))
SECRET = "secret"


def server(settings: LinkSettings = SERVER, seed: int = 1) -> tuple[Scene, Said]:
    scene, (challenge,) = opened(settings, seed=seed)
    return scene, challenge


def client(kind: Auth = Auth.CHAP, settings: LinkSettings = CLIENT) -> Scene:
    scene, _ = opened(settings, options((LcpOption.AUTHENTICATION, kind.value), (LcpOption.MAGIC, MAGIC)))
    return scene


def answer(challenge: Said, kind: Auth = Auth.CHAP, password: str = SECRET) -> bytes:
    """The data of a right Response."""
    value, _ = parse_value(challenge.data)
    response = respond(kind, challenge.identifier, value, "joe", password, bytes(16))
    assert response is not None
    return build_value(response, b"joe")


def checking(scene: Scene) -> CheckCredentials:
    """The only question that was asked since we last looked."""
    (event,) = (event for event in scene.events() if isinstance(event, CheckCredentials))
    return event


def asked(scene: Scene) -> Credentials:
    return checking(scene).credentials


def over(scene: Scene) -> LinkDown:
    scene.at(scene.now + 10.0)
    last = scene.events()[-1]
    assert isinstance(last, LinkDown)
    return last


# --- authenticator ----------------------------------------------------------------------------------------------------------------


def test_the_authenticator_begins_with_a_challenge() -> None:
    """RFC 1994 4.1: code 1, 16 octets of value, our name."""
    _, challenge = server()
    value, name = parse_value(challenge.data)
    assert (CHAP, ChapCode.CHALLENGE, 16, b"lns") == (challenge.protocol, challenge.code, len(value), name)


def test_every_challenge_is_new() -> None:
    """4.1: Identifier and Challenge Value "MUST be changed each time a Challenge is sent"."""
    scene, first = server()
    challenges = [first, *(said for said in scene.at(27.0) if said.protocol == CHAP)]
    assert (
        10
        == len(challenges)
        == len({said.identifier for said in challenges})
        == len({said.data for said in challenges})
    )


def test_a_silent_peer_is_given_up() -> None:
    """4.1: "until a valid Response packet is received, or an optional retry counter expires"."""
    scene, _ = server()
    scene.at(30.0)
    assert Disconnect.AUTH_TIMEOUT == over(scene).cause.code


def test_a_response_is_checked_outside_and_then_answered() -> None:
    """4.2: identifier copied from the Response."""
    scene, challenge = server()
    assert [] == scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge))
    said = asked(scene)
    assert (Auth.CHAP, "joe", parse_value(challenge.data)[0]) == (said.kind, said.user, said.challenge)
    assert b"" == verify(said, "secret")
    scene.link.accept_credentials(said, Grant(message=b"welcome"), 0.0)
    assert (CHAP, ChapCode.SUCCESS, challenge.identifier, b"welcome") == scene.heard()[0]


def test_the_response_to_an_earlier_challenge_counts() -> None:
    """A path slower than our patience."""
    scene, first = server()
    scene.at(6.0)
    scene.say(CHAP, ChapCode.RESPONSE, first.identifier, answer(first))
    assert b"" == verify(asked(scene), "secret")


def test_repeated_responses_get_the_same_reply_without_asking_again() -> None:
    """4.1: "MUST return the same reply Code previously returned", whatever name and value they have now."""
    scene, challenge = server()
    right = answer(challenge)
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, right)
    assert [] == scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, right), "not decided yet"
    scene.link.accept_credentials(asked(scene), Grant(message=b"hi"), 0.0)
    success = scene.heard()[0]
    guess = build_value(bytes(16), b"eve")
    assert [success] == scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, guess)
    assert [] == scene.events()


def test_a_refused_peer_gets_a_failure_and_the_link_ends() -> None:
    """4.2: "and SHOULD take action to terminate the link"."""
    scene, challenge = server()
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge, password="guess"))
    said = asked(scene)
    assert verify(said, "secret") is None
    scene.link.refuse_credentials(said, b"no", 0.0)
    failure, terminate = scene.heard()
    assert (CHAP, ChapCode.FAILURE, challenge.identifier, b"no") == failure
    assert (LCP, Code.TERMINATE_REQUEST) == terminate[:2]
    cause = over(scene).cause
    assert (Disconnect.AUTH_FAILED, CHAP, BY_PEER) == (cause.code, cause.protocol, cause.direction)


@pytest.mark.parametrize(
    "data", [b"", b"\0joe", b"\x10short", b"\x08" + bytes(8) + b"joe", b"\x31" + bytes(49) + b"joe"]
)
def test_malformed_responses_are_discarded(data: bytes) -> None:
    """Cut ones, and values that this method does not have."""
    scene, challenge = server()
    assert [] == scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, data)
    assert ([], 1) == (scene.events(), scene.link.counters.discarded)


def test_a_response_to_no_challenge_is_discarded() -> None:
    """4.1: the identifier is that of the Challenge."""
    scene, challenge = server()
    assert [] == scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier + 1 & 0xFF, answer(challenge))
    assert [] == scene.events()


def test_a_peer_is_challenged_again_at_intervals() -> None:
    """1: "This is done upon initial link establishment, and MAY be repeated anytime"; the network stays up meanwhile."""
    scene, challenge = server(attrs.evolve(SERVER, rechallenge=100.0, network_timeout=0))
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge))
    scene.link.accept_credentials(asked(scene), Grant(), 0.0)
    for at in (100.0, 200.0):
        again = scene.at(at)[-1]
        assert (CHAP, ChapCode.CHALLENGE) == again[:2]
        assert again.data != challenge.data
        scene.say(CHAP, ChapCode.RESPONSE, again.identifier, answer(again))
        event = checking(scene)
        assert event.again
        scene.link.accept_credentials(event.credentials, Grant(), at)
        assert [(CHAP, ChapCode.SUCCESS)] == [said[:2] for said in scene.heard()]
    scene.at(335.0)
    assert Disconnect.AUTH_TIMEOUT == over(scene).cause.code


def test_those_who_came_at_once_are_not_all_challenged_at_once() -> None:
    """Up to a tenth of the interval earlier, by chance."""
    dues = set()
    for seed in range(20):
        scene, challenge = server(attrs.evolve(SERVER, rechallenge=100.0, network_timeout=0), seed)
        scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge))
        scene.link.accept_credentials(asked(scene), Grant(), 0.0)
        scene.heard()
        dues.add(next(at for at in range(1, 101) if any(said.protocol == CHAP for said in scene.at(float(at)))))
    assert dues <= set(range(91, 101))
    assert len(dues) > 5


def test_who_fails_the_second_time_is_out() -> None:
    """2: "If the values match, the authentication is acknowledged; otherwise the connection SHOULD be terminated"."""
    scene, challenge = server(attrs.evolve(SERVER, rechallenge=100.0, network_timeout=0))
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge))
    scene.link.accept_credentials(asked(scene), Grant(), 0.0)
    again = scene.at(100.0)[-1]
    scene.say(CHAP, ChapCode.RESPONSE, again.identifier, answer(again, password="guess"))
    scene.link.refuse_credentials(asked(scene), b"", 100.0)
    assert Disconnect.AUTH_FAILED == over(scene).cause.code


def test_mschapv2_success_carries_the_authenticator_response() -> None:
    """RFC 2759 5: "S=" and 40 hexadecimal digits, and a message."""
    scene, challenge = server(SERVER2)
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge, Auth.MSCHAPV2))
    said = asked(scene)
    message = verify(said, "secret")
    assert message is not None
    assert verify(said, "guess") is None
    scene.link.accept_credentials(said, Grant(message=message), 0.0)
    success = scene.heard()[0]
    assert (42 + 3, b"S=", b" M=") == (len(success.data), success.data[:2], success.data[42:])


@pytest.mark.parametrize(
    ("message", "error", "text"),
    [(b"no", b"E=691", b"M=no"), (b"E=648 R=1 C=00 V=3 M=too old", b"E=648", b"M=too old")],
)
def test_mschapv2_failure_has_the_form_of_the_rfc(message: bytes, error: bytes, text: bytes) -> None:
    """RFC 2759 6: error, no retry, a challenge of exactly 32 digits, version 3, text."""
    scene, challenge = server(SERVER2)
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, answer(challenge, Auth.MSCHAPV2))
    scene.link.refuse_credentials(asked(scene), message, 0.0)
    parts = scene.heard()[0].data.split(b" ", 4)
    assert (error, b"R=0", 34, b"V=3", text) == (parts[0], parts[1], len(parts[2]), parts[3], parts[4])


# --- prover -----------------------------------------------------------------------------------------------------------------------


def challenge(scene: Scene, value: bytes = CHALLENGE, identifier: int = 7, name: bytes = b"lns") -> list[Said]:
    return scene.say(CHAP, ChapCode.CHALLENGE, identifier, build_value(value, name))


def test_a_challenge_is_answered_with_md5() -> None:
    """RFC 1994 4.1: over "the Identifier, followed by the "secret", followed by the Challenge Value"."""
    scene = client()
    (said,) = challenge(scene)
    right = hashlib.md5(b"\x07secret" + CHALLENGE).digest()
    assert (CHAP, ChapCode.RESPONSE, 7, b"\x10" + right + b"joe") == said
    scene.say(CHAP, ChapCode.SUCCESS, 7, b"anything")
    assert scene.in_phase(Phase.NETWORK)


def test_a_response_is_repeated_until_it_is_answered() -> None:
    """4.1: "Because the Success might be lost, the authenticator MUST allow repeated Response packets"."""
    scene = client()
    (first,) = challenge(scene)
    assert [first] * 9 == scene.at(50.0)
    scene.say(CHAP, ChapCode.SUCCESS, 7)
    assert not [said for said in scene.at(70.0) if said.protocol == CHAP]


def test_a_repeated_challenge_gets_the_same_response() -> None:
    """Also where the Response has randomness in it."""
    scene = client(Auth.MSCHAPV2)
    assert challenge(scene) == challenge(scene)


def test_another_challenge_gets_another_response() -> None:
    """4.1: "Whenever a Challenge packet is received, the peer MUST transmit" a Response; on a link that is up, too."""
    scene = client()
    (first,) = challenge(scene)
    scene.say(CHAP, ChapCode.SUCCESS, 7)
    (second,) = challenge(scene, CHALLENGE[::-1], 8)
    assert first.data != second.data
    scene.say(CHAP, ChapCode.FAILURE, 8, b"no more")
    assert Disconnect.AUTH_FAILED == over(scene).cause.code


def test_a_failure_ends_the_link() -> None:
    """Its text is passed on."""
    scene = client()
    challenge(scene)
    scene.say(CHAP, ChapCode.FAILURE, 7, b"account locked")
    failed = scene.events()[0]
    assert AuthFailed(kind=Auth.CHAP, user="joe", ours=True, message="account locked") == failed
    cause = over(scene).cause
    assert (Disconnect.AUTH_FAILED, BY_US) == (cause.code, cause.direction)


@pytest.mark.parametrize("code", [ChapCode.SUCCESS, ChapCode.FAILURE])
def test_an_answer_to_no_response_is_discarded(code: int) -> None:
    """Before we have said anything, with a strange identifier, or twice."""
    scene = client()
    scene.say(CHAP, code, 7)
    challenge(scene)
    scene.say(CHAP, code, 8)
    assert scene.in_phase(Phase.AUTHENTICATE)
    scene.say(CHAP, ChapCode.SUCCESS, 7)
    scene.say(CHAP, code, 7)
    assert scene.in_phase(Phase.NETWORK)


def test_an_authenticator_that_proves_nothing_is_left() -> None:
    """RFC 2759 5: "If the authenticator response is either missing or incorrect, the peer MUST end the session"."""
    for message in (b"", b"S=" + b"0" * 40, b"welcome"):
        scene = client(Auth.MSCHAPV2)
        challenge(scene)
        scene.say(CHAP, ChapCode.SUCCESS, 7, message)
        assert Disconnect.AUTH_FAILED == over(scene).cause.code


def test_mschapv1_responds_without_a_lan_manager_part() -> None:
    """RFC 2433 6: 24 octets of zeros, 24 of NT response, and the flag that says so."""
    scene = client(Auth.MSCHAP)
    (said,) = challenge(scene, CHALLENGE[:8])
    value, name = parse_value(said.data)
    right = challenge_response(CHALLENGE[:8], nt_password_hash("secret"))
    assert (bytes(24), right, b"\1", b"joe") == (value[:24], value[24:48], value[48:], name)


@pytest.mark.parametrize(("kind", "size"), [(Auth.MSCHAP, 16), (Auth.MSCHAPV2, 8)])
def test_challenges_of_a_wrong_size_are_discarded(kind: Auth, size: int) -> None:
    """RFC 2433 5 and RFC 2759 3 fix it."""
    scene = client(kind)
    assert [] == challenge(scene, CHALLENGE[:size])
    assert 1 == scene.link.counters.discarded


@pytest.mark.parametrize("how", ["value", "name"])
def test_a_reflected_challenge_is_not_answered(how: str) -> None:
    """RFC 1994, Security Considerations: else an attacker could have us compute the Response to our own Challenge."""
    both = attrs.evolve(CLIENT, name="us", require=(Auth.CHAP,))
    scene, (ours,) = opened(both, options((LcpOption.AUTHENTICATION, Auth.CHAP.value), (LcpOption.MAGIC, MAGIC)))
    value, _ = parse_value(ours.data)
    said = challenge(scene, value if how == "value" else CHALLENGE, name=b"them" if how == "value" else b"us")
    assert [(LCP, Code.TERMINATE_REQUEST)] == [one[:2] for one in said]
    assert Disconnect.AUTH_FAILED == over(scene).cause.code


def test_both_directions_are_independent() -> None:
    """RFC 1994: "Authentication need not be full-duplex"; here it is, and the network waits for both."""
    scene, (ours,) = opened(
        attrs.evolve(CLIENT, require=(Auth.CHAP,)),
        options((LcpOption.AUTHENTICATION, Auth.CHAP.value), (LcpOption.MAGIC, MAGIC)),
    )
    challenge(scene, name=b"them")
    scene.say(CHAP, ChapCode.SUCCESS, 7)
    assert scene.in_phase(Phase.AUTHENTICATE)
    scene.say(CHAP, ChapCode.RESPONSE, ours.identifier, answer(ours))
    scene.link.accept_credentials(asked(scene), Grant(), 0.0)
    assert scene.in_phase(Phase.NETWORK)


def test_packets_of_the_other_protocol_are_discarded() -> None:
    """CHAP was agreed on, PAP was not; and unknown codes are nobody's."""
    scene, _ = server()
    assert [] == scene.say(0xC023, 1, 1, b"\3joe\6secret")
    assert [] == scene.say(CHAP, 9, 1, b"")
    assert [] == scene.events()


def test_negotiation_decides_who_proves() -> None:
    """LCP's option of either side is the request that the other prove itself (RFC 1661 6.2)."""
    scene = begin(SERVER)
    (said,) = scene.heard()
    scene.say(LCP, ACK, said.identifier, said.data)
    scene.say(LCP, REQUEST, 1, b"")
    (challenge_,) = scene.at(3.0)
    assert ChapCode.CHALLENGE == challenge_.code


def test_a_password_asker_is_not_fooled_by_its_own_name_either() -> None:
    """We ask for a password and are challenged: the Challenge is nobody's of ours, unless it bears our name."""
    settings = attrs.evolve(CLIENT, name="us", require=(Auth.PAP,))
    for name, code in ((b"them", ChapCode.RESPONSE), (b"us", Code.TERMINATE_REQUEST)):
        scene = client(settings=settings)
        assert [code] == [said.code for said in challenge(scene, name=name)]
