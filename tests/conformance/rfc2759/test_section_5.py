"""RFC 2759 5 and 6, Success and Failure: each test quotes the requirement that it checks."""

from __future__ import annotations

import re

import attrs
import pytest

from l2tpd.ppp.chap import build_value, parse_value
from l2tpd.ppp.credentials import expected_success, respond, verify
from l2tpd.ppp.events import AuthFailed, CheckCredentials
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import Auth, ChapCode, Code, LcpOption
from l2tpd.ppp.settings import Grant
from pppstage import BARE, CHAP, LCP, MAGIC, Said, Scene, opened, options

SERVER = attrs.evolve(BARE, require=(Auth.MSCHAPV2,))
CLIENT = attrs.evolve(BARE, user="joe", password="clientPass")
AGREED = options((LcpOption.AUTHENTICATION, Auth.MSCHAPV2.value), (LcpOption.MAGIC, MAGIC))
VALUE = bytes(range(16))


def judged(*, right: bool, message: bytes = b"") -> tuple[Scene, Said]:
    """An authenticator after its judgement, and the packet in which it says so; `message` is that of the outside."""
    scene, (challenge,) = opened(SERVER)
    value, _ = parse_value(challenge.data)
    proof = respond(Auth.MSCHAPV2, challenge.identifier, value, "joe", "clientPass", b"p" * 16)
    assert proof is not None
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, build_value(proof, b"joe"))
    (said,) = (event.credentials for event in scene.events() if isinstance(event, CheckCredentials))
    if right:
        genuine = verify(said, "clientPass")
        assert genuine is not None
        assert expected_success(value, proof, "joe", "clientPass") == genuine
        scene.link.accept_credentials(said, Grant(message=genuine + message), 0.0)
    else:
        scene.link.refuse_credentials(said, message, 0.0)
    return scene, scene.heard()[0]


def responded() -> tuple[Scene, bytes]:
    """A client that has responded to a Challenge, and what a genuine Success says to that."""
    scene, _ = opened(CLIENT, AGREED)
    (said,) = scene.say(CHAP, ChapCode.CHALLENGE, 7, build_value(VALUE, b""))
    return scene, expected_success(VALUE, parse_value(said.data)[0], "joe", "clientPass")


@pytest.mark.parametrize("message", [b"", b" M=Welcome"])
def test_5_the_success_carries_the_authenticator_response(message: bytes) -> None:
    """5: "S=<auth_string> M=<message>", of 40 hexadecimal digits, of which "A-F (if present) MUST be uppercase"."""
    scene, success = judged(right=True, message=message)
    assert (CHAP, ChapCode.SUCCESS) == success[:2]
    assert re.fullmatch(rb"S=[0-9A-F]{40} M=(Welcome)?", success.data)
    assert Phase.NETWORK is scene.link.phase


@pytest.mark.parametrize("tail", [b"", b" M=", b" M=Access granted"])
def test_5_a_right_authenticator_response_is_verified(tail: bytes) -> None:
    """5: "The authenticating peer MUST verify the authenticator response when a Success packet is received"."""
    scene, genuine = responded()
    scene.say(CHAP, ChapCode.SUCCESS, 7, genuine + tail)
    assert Phase.NETWORK is scene.link.phase


@pytest.mark.parametrize("how", ["missing", "incorrect", "short", "lower case"])
def test_5_the_peer_must_end_the_session_otherwise(how: str) -> None:
    """5: "If the authenticator response is either missing or incorrect, the peer MUST end the session"."""
    scene, genuine = responded()
    said = {
        "missing": b"M=hello",
        "incorrect": genuine[:-1] + (b"0" if genuine[-1:] != b"0" else b"1"),
        "short": genuine[:-2],
        "lower case": genuine[:2] + genuine[2:].lower(),
    }[how]
    said = said if said != genuine else b""
    scene.say(CHAP, ChapCode.SUCCESS, 7, said)
    assert Phase.TERMINATE is scene.link.phase
    assert [event for event in scene.events() if isinstance(event, AuthFailed) and event.ours]


@pytest.mark.parametrize(
    ("message", "error"), [(b"wrong password", b"691"), (b"E=649 R=1 C=12 V=2 M=wrong password", b"649")]
)
def test_6_the_failure_has_its_form(message: bytes, error: bytes) -> None:
    """6: "E=eeeeeeeeee R=r C=[...] V=vvvvvvvvvv M=<msg>"; C "MUST be exactly 32 octets long and MUST be present", V "SHOULD always be 3"."""
    scene, failure = judged(right=False, message=message)
    assert (CHAP, ChapCode.FAILURE) == failure[:2]
    assert re.fullmatch(rb"E=%b R=0 C=[0-9A-F]{32} V=3 M=wrong password" % error, failure.data)
    assert Phase.TERMINATE is scene.link.phase


@pytest.mark.parametrize("error", [646, 647, 648, 649, 691, 709, 4711])
@pytest.mark.parametrize("retry", [0, 1])
def test_6_other_codes_are_dealt_with_gracefully(error: int, retry: int) -> None:
    """6: "implementations should deal with codes not on this list gracefully"; a retry would ask somebody who is not here."""
    scene, _ = responded()
    said = scene.say(CHAP, ChapCode.FAILURE, 7, b"E=%d R=%d C=%b V=3 M=no" % (error, retry, b"0" * 32))
    assert [(LCP, Code.TERMINATE_REQUEST)] == [one[:2] for one in said]
    (failed,) = (event for event in scene.events() if isinstance(event, AuthFailed))
    assert (True, str(error) in failed.message) == (failed.ours, True)
