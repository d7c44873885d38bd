"""PAP, both sides (RFC 1334 2)."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import AuthFailed, CheckCredentials, LinkDown
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import BY_PEER, BY_US, Auth, Code, Disconnect, LcpOption, PapCode
from l2tpd.ppp.settings import Grant
from pppstage import BARE, IPV6CP, LCP, MAGIC, PAP, Said, Scene, opened, options

SERVER = attrs.evolve(BARE, require=(Auth.PAP,))
CLIENT = attrs.evolve(BARE, user="joe", password="secret")
LOGIN = b"\3joe\6secret"
OPTIONS = options((LcpOption.AUTHENTICATION, Auth.PAP.value), (LcpOption.MAGIC, MAGIC))


def server() -> Scene:
    scene, said = opened(SERVER)
    assert [] == said, "it is the peer who begins"
    return scene


def client() -> tuple[Scene, Said]:
    scene, (request,) = opened(CLIENT, OPTIONS)
    return scene, request


def asked(scene: Scene) -> CheckCredentials:
    event = scene.event()
    assert isinstance(event, CheckCredentials)
    return event


# --- authenticator ----------------------------------------------------------------------------------------------------------------


def test_a_request_is_checked_outside_and_then_acknowledged() -> None:
    """2.2.2: "MUST transmit a PAP packet with the Code field set to 2", identifier copied, message preceded by its length."""
    scene = server()
    assert [] == scene.say(PAP, PapCode.REQUEST, 5, LOGIN)
    said = asked(scene).credentials
    assert (Auth.PAP, "joe", 5, b"secret") == (said.kind, said.user, said.identifier, said.response)
    scene.link.accept_credentials(said, Grant(message=b"hi"), 0.0)
    ack, request = scene.heard()
    assert (PAP, PapCode.ACK, 5, b"\2hi") == ack
    assert IPV6CP == request.protocol
    assert "joe" == scene.link.user


def test_a_refused_peer_gets_a_nak_and_the_link_ends() -> None:
    """2.2.2: "and SHOULD take action to terminate the link"."""
    scene = server()
    scene.say(PAP, PapCode.REQUEST, 5, LOGIN)
    scene.link.refuse_credentials(asked(scene).credentials, b"go away", 0.0)
    nak, terminate = scene.heard()
    assert (PAP, PapCode.NAK, 5, b"\7go away") == nak
    assert (LCP, Code.TERMINATE_REQUEST) == terminate[:2]
    scene.at(10.0)
    failed, over = scene.events()
    assert AuthFailed(kind=Auth.PAP, user="joe", ours=False, message="wrong name or password") == failed
    assert isinstance(over, LinkDown)
    assert (Disconnect.AUTH_FAILED, PAP, BY_PEER) == (over.cause.code, over.cause.protocol, over.cause.direction)


def test_repetitions_are_not_checked_again() -> None:
    """2.2.1: "MUST return the same reply Code", under the identifier of the repetition, before the decision and after."""
    scene = server()
    scene.say(PAP, PapCode.REQUEST, 5, LOGIN)
    scene.say(PAP, PapCode.REQUEST, 6, LOGIN)
    scene.link.accept_credentials(asked(scene).credentials, Grant(), 0.0)
    assert (PAP, PapCode.ACK, 6, b"\0") == scene.heard()[0]
    assert [(PAP, PapCode.ACK, 7, b"\0")] == scene.say(PAP, PapCode.REQUEST, 7, b"\3eve\1x")
    assert [] == scene.events()


@pytest.mark.parametrize("data", [b"", b"\4joe", b"\3joe", b"\3joe\7secret", b"\0"])
def test_malformed_requests_are_discarded(data: bytes) -> None:
    """A field that runs over the end of the packet names nobody."""
    scene = server()
    assert [] == scene.say(PAP, PapCode.REQUEST, 5, data)
    assert ([], 1) == (scene.events(), scene.link.counters.discarded)


def test_empty_names_and_odd_octets_are_passed_on() -> None:
    """2.2.1: "zero or more octets"; what is no UTF-8 survives."""
    scene = server()
    scene.say(PAP, PapCode.REQUEST, 5, b"\2j\xff\0")
    said = asked(scene).credentials
    assert (b"j\xff", b"") == (said.name, said.response)


def test_a_peer_that_never_says_who_it_is_is_sent_away() -> None:
    """RFC 1661 3.5: "proceed to the Link Termination phase only after a number of authentication attempts"; here, a time."""
    scene = server()
    scene.at(59.0)
    assert scene.in_phase(Phase.AUTHENTICATE)
    scene.at(70.0)
    over = scene.event()
    assert isinstance(over, LinkDown)
    assert Disconnect.AUTH_TIMEOUT == over.cause.code


def test_an_answer_for_somebody_else_lets_nobody_in() -> None:
    """A decision about credentials of an earlier round is void."""
    scene = server()
    scene.say(PAP, PapCode.REQUEST, 5, LOGIN)
    old = asked(scene).credentials
    scene.say(LCP, Code.CONFIGURE_REQUEST, 50, options((LcpOption.MAGIC, b"new!")))
    again = scene.at(1.0)[-1]
    scene.say(LCP, Code.CONFIGURE_ACK, again.identifier, again.data)
    scene.say(PAP, PapCode.REQUEST, 1, b"\3eve\1x")
    scene.link.accept_credentials(old, Grant(), 1.0)
    scene.link.refuse_credentials(old, b"", 1.0)
    assert ([], Phase.AUTHENTICATE) == (scene.heard(), scene.link.phase)


# --- prover -----------------------------------------------------------------------------------------------------------------------


def test_a_request_is_repeated_under_another_identifier() -> None:
    """2.2.1: "The Identifier field MUST be changed each time an Authenticate-Request packet is issued"."""
    scene, first = client()
    assert (PAP, PapCode.REQUEST, LOGIN) == (first.protocol, first.code, first.data)
    (second,) = scene.at(3.0)
    assert first.identifier != second.identifier
    assert first.data == second.data


def test_the_answer_to_any_request_counts() -> None:
    """A path slower than our patience."""
    scene, first = client()
    scene.at(6.0)
    scene.say(PAP, PapCode.ACK, first.identifier, b"\0")
    assert scene.in_phase(Phase.NETWORK)


def test_an_answer_to_no_request_does_not() -> None:
    """Neither one with a strange identifier nor one that comes twice."""
    scene, first = client()
    scene.say(PAP, PapCode.ACK, first.identifier + 1, b"\0")
    assert scene.in_phase(Phase.AUTHENTICATE)
    scene.say(PAP, PapCode.ACK, first.identifier, b"\0")
    scene.say(PAP, PapCode.NAK, first.identifier, b"\0")
    assert scene.in_phase(Phase.NETWORK)


def test_a_nak_ends_the_link() -> None:
    """Asking again with the same password would not help."""
    scene, first = client()
    scene.say(PAP, PapCode.NAK, first.identifier, b"\4nope")
    scene.at(10.0)
    failed, over = scene.events()
    assert AuthFailed(kind=Auth.PAP, user="joe", ours=True, message="nope") == failed
    assert isinstance(over, LinkDown)
    assert (Disconnect.AUTH_FAILED, BY_US) == (over.cause.code, over.cause.direction)


def test_a_silent_authenticator_is_given_up() -> None:
    """2.2.1: "repeated until a valid reply packet is received, or an optional retry counter expires"."""
    scene, _ = client()
    assert 9 == len([said for said in scene.at(60.0) if said.protocol == PAP])
    failed, over = scene.events()
    assert isinstance(failed, AuthFailed)
    assert isinstance(over, LinkDown)
    assert Disconnect.AUTH_TIMEOUT == over.cause.code


def test_a_protocol_reject_ends_the_link() -> None:
    """RFC 1661 5.7: "stop sending packets of the indicated protocol"; the peer asked for PAP and does not know it."""
    scene, _ = client()
    (said,) = scene.say(LCP, Code.PROTOCOL_REJECT, 1, b"\xc0\x23")
    assert Code.TERMINATE_REQUEST == said.code
