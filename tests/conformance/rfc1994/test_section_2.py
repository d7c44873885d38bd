"""RFC 1994 2 and 3, what CHAP is, and how LCP asks for it: each test quotes the requirement that it checks."""

from __future__ import annotations

import hashlib

import attrs
import pytest

from l2tpd.ppp.chap import parse_value
from l2tpd.ppp.credentials import Credentials, chap_digest, verify
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import Auth, ChapCode, LcpOption
from l2tpd.ppp.settings import Grant
from pppstage import BARE, CHAP, LCP, MAGIC, NAK, REQUEST, begin, dice, opened, options

SERVER = attrs.evolve(BARE, name="lns", require=(Auth.CHAP,))
CLIENT = attrs.evolve(BARE, user="joe", password="secret")


def test_2_it_may_be_repeated_anytime_after_the_link_has_been_established() -> None:
    """2: "At random intervals, the authenticator sends a new challenge to the peer, and repeats steps 1 to 3"; ours are set, and up to a tenth shorter."""
    scene, (challenge,) = opened(attrs.evolve(SERVER, rechallenge=300.0, network_timeout=0.0, limits=BARE.limits))
    now = 0.0
    for after in (270.0, 540.0, 810.0):
        value, _ = parse_value(challenge.data)
        response = b"\x10" + chap_digest(challenge.identifier, "secret", value) + b"joe"
        scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, response)
        (asked,) = (event.credentials for event in scene.events() if hasattr(event, "credentials"))
        assert verify(asked, "secret") is not None
        scene.link.accept_credentials(asked, Grant(), now)
        scene.heard()
        assert not [said for said in scene.at(after) if said.protocol == CHAP]
        while not (challenges := [said for said in scene.at(now) if said.protocol == CHAP]):
            now += 1.0
        (challenge,) = challenges
        assert now <= after + 90.0


def test_2_it_is_not_repeated_unless_that_is_wanted() -> None:
    """2: it "MAY be repeated"; by default it is not."""
    scene, (challenge,) = opened(attrs.evolve(SERVER, network_timeout=0.0))
    value, _ = parse_value(challenge.data)
    response = b"\x10" + chap_digest(challenge.identifier, "secret", value) + b"joe"
    scene.say(CHAP, ChapCode.RESPONSE, challenge.identifier, response)
    (asked,) = (event.credentials for event in scene.events() if hasattr(event, "credentials"))
    scene.link.accept_credentials(asked, Grant(), 0.0)
    scene.heard()
    assert not [said for said in scene.at(100_000.0) if said.protocol == CHAP]


def test_2_3_the_secret_must_be_at_least_one_octet() -> None:
    """2.3: "The CHAP algorithm requires that the length of the secret MUST be at least 1 octet"."""
    said = [
        Credentials(kind=Auth.CHAP, user="joe", identifier=1, challenge=b"c", response=chap_digest(1, secret, b"c"))
        for secret in ("", "s")
    ]
    assert [None, b""] == [verify(one, secret) for one, secret in zip(said, ("", "s"), strict=True)]


def test_2_3_each_challenge_value_should_be_unique_and_unpredictable() -> None:
    """2.3: "Each challenge value SHOULD be unique", "unpredictable": 16 octets of the random source, in every link and in every try."""
    drawn = []
    for seed in range(20):
        scene = begin(SERVER, seed)
        said = scene.agree(LCP, options((LcpOption.MAGIC, MAGIC)))
        drawn += [parse_value(one.data)[0] for one in (*said, *scene.at(20.0)) if one.protocol == CHAP]
    assert 16 == min(map(len, drawn))
    assert len(drawn) == len(set(drawn)) > 100
    assert dice(0)(16) != dice(1)(16)


def test_3_the_option_names_chap_and_md5() -> None:
    """3: Length 5, Authentication-Protocol c223, Algorithm 5."""
    (request,) = begin(SERVER).heard()
    assert bytes.fromhex("0305c22305") in request.data
    digest = hashlib.md5(b"\7" + b"secret" + b"challenge").digest()
    assert digest == chap_digest(7, "secret", b"challenge")


@pytest.mark.parametrize("wish", [b"\xc2\x23", b"\xc2\x23\x06", b"\xc2\x23\x05\x00", b"\xc2\x27\x05"])
def test_3_another_algorithm_is_not_agreed_on(wish: bytes) -> None:
    """3: the Algorithm "indicates the authentication method to be used"; what is none of ours is Nak'd with one that is."""
    scene = begin(CLIENT)
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 1, options((LcpOption.AUTHENTICATION, wish)))
    assert (NAK, Auth.MSCHAPV2.value) == (said.code, said.options[LcpOption.AUTHENTICATION])
    assert Phase.ESTABLISH is scene.link.phase


def test_3_eap_is_declined_in_favour_of_what_we_do() -> None:
    """RFC 1661 5.3, 5.4: a value that we cannot do is Nak'd with one that we can, and the option rejected where none would be."""
    scene = begin(CLIENT)
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 1, options((LcpOption.AUTHENTICATION, b"\xc2\x27")))
    assert (NAK, {LcpOption.AUTHENTICATION: Auth.MSCHAPV2.value}) == (said.code, said.options)
    scene = begin(BARE)
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 1, options((LcpOption.AUTHENTICATION, b"\xc2\x27")))
    assert {LcpOption.AUTHENTICATION: b"\xc2\x27"} == said.options
