"""RFC 1334 2, the Password Authentication Protocol: each test quotes the requirement that it checks."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.events import AuthFailed, CheckCredentials
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import Auth, Code, LcpOption, PapCode
from l2tpd.ppp.settings import Grant, LinkSettings
from pppstage import BARE, IPV6CP, LCP, MAGIC, NAK, PAP, REQUEST, Said, Scene, begin, opened, options

SERVER = attrs.evolve(BARE, require=(Auth.PAP,))
CLIENT = attrs.evolve(BARE, user="joe", password="secret")
LOGIN = b"\3joe\6secret"


def server() -> Scene:
    """An authenticator whom nobody has told a name yet."""
    return opened(SERVER)[0]


def asked(scene: Scene) -> Credentials:
    """What the outside is asked, once."""
    (event,) = (event for event in scene.events() if isinstance(event, CheckCredentials))
    return event.credentials


def client() -> tuple[Scene, Said]:
    """A peer that has to prove itself, and its first request."""
    scene, (request,) = opened(CLIENT, options((LcpOption.AUTHENTICATION, Auth.PAP.value), (LcpOption.MAGIC, MAGIC)))
    return scene, request


def test_2_a_stronger_method_must_be_offered_prior_to_pap() -> None:
    """2: "Any implementations which include a stronger authentication method (such as CHAP [...]) MUST offer to negotiate that method prior to PAP"."""
    (first, *_, last) = LinkSettings(user="joe").offered
    assert (Auth.MSCHAPV2, Auth.PAP) == (first, last)
    scene = begin(attrs.evolve(CLIENT, echo_interval=0))
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 1, options((LcpOption.AUTHENTICATION, b"\xc0\x27")))
    assert (NAK, Auth.MSCHAPV2.value) == (said.code, said.options[LcpOption.AUTHENTICATION])
    scene = begin(attrs.evolve(SERVER, require=(Auth.CHAP, Auth.PAP)))
    (request,) = scene.heard()
    assert Auth.CHAP.value == request.options[LcpOption.AUTHENTICATION]
    wish = options((LcpOption.AUTHENTICATION, Auth.PAP.value))
    (again,) = scene.say(LCP, NAK, request.identifier, wish)
    assert Auth.PAP.value == again.options[LcpOption.AUTHENTICATION]


def test_2_1_the_option_has_no_data() -> None:
    """2.1: Length 4, Authentication-Protocol c023, "There is no Data field"; another length is no PAP."""
    (request,) = begin(SERVER).heard()
    assert bytes.fromhex("0304c023") in request.data
    scene = begin(CLIENT)
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 1, options((LcpOption.AUTHENTICATION, b"\xc0\x23\x05")))
    assert NAK == said.code


def test_2_2_octets_outside_the_length_are_padding() -> None:
    """2.2: "Octets outside the range of the Length field should be treated as Data Link Layer padding and should be ignored"."""
    scene = server()
    scene.frame(b"\xff\x03\xc0\x23" + bytes((PapCode.REQUEST, 1, 0, 4 + len(LOGIN))) + LOGIN + b"padding")
    said = asked(scene)
    assert ("joe", b"secret") == (said.user, said.response)


def test_2_2_1_the_request_must_be_repeated() -> None:
    """2.2.1: "MUST be repeated until a valid reply packet is received, or an optional retry counter expires"."""
    scene, first = client()
    requests = [first, *(said for said in scene.at(100.0) if said.protocol == PAP)]
    assert 10 == len(requests)
    assert {LOGIN} == {said.data for said in requests}


def test_2_2_1_the_identifier_must_be_changed_each_time() -> None:
    """2.2.1: "The Identifier field MUST be changed each time an Authenticate-Request packet is issued"."""
    scene, first = client()
    requests = [first, *(said for said in scene.at(100.0) if said.protocol == PAP)]
    assert len(requests) == len({said.identifier for said in requests})


def test_2_2_1_repeated_requests_return_the_same_code() -> None:
    """2.2.1: "MUST allow repeated Authenticate-Request packets", which "MUST return the same reply Code"; nobody is asked again."""
    scene = server()
    scene.say(PAP, PapCode.REQUEST, 1, LOGIN)
    assert [] == scene.say(PAP, PapCode.REQUEST, 2, LOGIN), "while the outside thinks"
    scene.link.accept_credentials(asked(scene), Grant(), 0.0)
    (ack,) = (said for said in scene.heard() if said.protocol == PAP)
    assert (PapCode.ACK, 2) == (ack.code, ack.identifier)
    for at, login in ((3, LOGIN), (4, b"\3joe\5wrong"), (5, b"\4jane\6secret")):
        (again,) = scene.say(PAP, PapCode.REQUEST, at, login)
        assert (PapCode.ACK, at) == (again.code, again.identifier)
    assert Phase.NETWORK is scene.link.phase
    assert not [event for event in scene.events() if isinstance(event, CheckCredentials)]


@pytest.mark.parametrize("when", ["establishing", "terminating"])
def test_2_2_1_requests_in_any_other_phase_are_discarded(when: str) -> None:
    """2.2.1: "Any Authenticate-Request packets received during any other phase MUST be silently discarded"."""
    scene = begin(SERVER) if when == "establishing" else server()
    if when == "terminating":
        scene.link.close(0.0)
    scene.heard()
    assert [] == scene.say(PAP, PapCode.REQUEST, 1, LOGIN)
    assert not [event for event in scene.events() if isinstance(event, CheckCredentials)]
    assert 1 == scene.link.counters.discarded


def test_2_2_1_name_and_password_may_be_empty() -> None:
    """2.2.1: both fields are "zero or more octets"."""
    scene = server()
    scene.say(PAP, PapCode.REQUEST, 1, b"\0\0")
    said = asked(scene)
    assert ("", b"") == (said.user, said.response)


@pytest.mark.parametrize("data", [b"", b"\3jo", b"\3joe", b"\3joe\7secret", b"\xff" + bytes(100)])
def test_2_2_1_fields_that_run_over_the_end_are_discarded(data: bytes) -> None:
    """2.2.1: Peer-ID-Length and Passwd-Length speak of fields that have to be there."""
    scene = server()
    assert [] == scene.say(PAP, PapCode.REQUEST, 1, data)
    assert 1 == scene.link.counters.discarded
    assert [] == scene.events()


def test_2_2_2_an_acceptable_pair_must_be_acknowledged() -> None:
    """2.2.2: "MUST transmit a PAP packet with the Code field set to 2"; "The Identifier field MUST be copied"; Msg-Length before the message."""
    scene = server()
    scene.say(PAP, PapCode.REQUEST, 77, LOGIN)
    scene.link.accept_credentials(asked(scene), Grant(message=b"welcome"), 0.0)
    ack, request = scene.heard()
    assert (PAP, PapCode.ACK, 77, b"\7welcome") == ack
    assert (IPV6CP, REQUEST) == request[:2]


def test_2_2_2_another_pair_must_be_naked_and_should_end_the_link() -> None:
    """2.2.2: "MUST transmit a PAP packet with the Code field set to 3 (Authenticate-Nak), and SHOULD take action to terminate the link"."""
    scene = server()
    scene.say(PAP, PapCode.REQUEST, 77, LOGIN)
    scene.link.refuse_credentials(asked(scene), b"no", 0.0)
    nak, terminate = scene.heard()
    assert (PAP, PapCode.NAK, 77, b"\2no") == nak
    assert (LCP, Code.TERMINATE_REQUEST) == terminate[:2]


@pytest.mark.parametrize("message", [b"", b"\0", b"\2hi", b"\xffhi", b"no length here"])
@pytest.mark.parametrize("code", [PapCode.ACK, PapCode.NAK])
def test_2_2_2_the_message_must_not_affect_operation(code: int, message: bytes) -> None:
    """2.2.2: the message "is intended to be human readable, and MUST NOT affect operation of the protocol"."""
    scene, request = client()
    scene.say(PAP, code, request.identifier, message)
    assert (Phase.NETWORK if code == PapCode.ACK else Phase.TERMINATE) is scene.link.phase
    assert bool([event for event in scene.events() if isinstance(event, AuthFailed)]) is (code == PapCode.NAK)


def test_2_2_a_reply_to_somebody_else_is_no_valid_one() -> None:
    """2.2: the Identifier "aids in matching requests and replies"; and who proves nothing cannot be accepted."""
    scene, request = client()
    scene.say(PAP, PapCode.ACK, request.identifier + 100)
    assert Phase.AUTHENTICATE is scene.link.phase
    bare = server()
    bare.say(PAP, PapCode.ACK, 1)
    assert Phase.AUTHENTICATE is bare.link.phase
