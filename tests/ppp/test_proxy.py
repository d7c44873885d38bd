"""What a LAC has done in our place: its report, what a profile makes of it, and a caller who was with the LAC first."""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs
import pytest

from badnet import FINE, BadNet
from l2tpd.config.model import ProxyAuthentication, ProxyLcp
from l2tpd.ppp import proxy
from l2tpd.ppp.credentials import chap_digest
from l2tpd.ppp.events import AuthFailed, CheckCredentials, Ipv4Up
from l2tpd.ppp.frame import build_options, parse_frame, parse_packet
from l2tpd.ppp.link import Link, Phase
from l2tpd.ppp.numbers import Auth, ChapCode, Code, Disconnect, LcpOption, PapCode
from l2tpd.ppp.settings import Ipv4Settings, LinkSettings, Proxy, ProxyPolicy
from l2tpd.wire.avp import (
    LAST_RECEIVED_LCP_CONFREQ,
    LAST_SENT_LCP_CONFREQ,
    PROXY_AUTHEN_CHALLENGE,
    PROXY_AUTHEN_ID,
    PROXY_AUTHEN_NAME,
    PROXY_AUTHEN_RESPONSE,
    PROXY_AUTHEN_TYPE,
    Avp,
)
from pppstage import CHAP, LCP, PAP, SERVE, Pair, Player, dice, options

SENT = options((LcpOption.MRU, b"\x05\x78"), (LcpOption.AUTHENTICATION, Auth.CHAP.value), (LcpOption.MAGIC, b"LAC!"))
RECEIVED = options((LcpOption.MAGIC, b"\1\2\3\4"), (LcpOption.PFC, b""))
BOTH: dict[Avp[Any], Any] = {LAST_SENT_LCP_CONFREQ: SENT, LAST_RECEIVED_LCP_CONFREQ: RECEIVED}
PROOF: dict[Avp[Any], Any] = {
    PROXY_AUTHEN_TYPE: 2,
    PROXY_AUTHEN_NAME: "joe",
    PROXY_AUTHEN_CHALLENGE: b"challenge",
    PROXY_AUTHEN_ID: 7,
    PROXY_AUTHEN_RESPONSE: chap_digest(7, "pw", b"challenge"),
}
REPORT = Proxy(
    last_sent=SENT,
    last_received=RECEIVED,
    auth_type=2,
    name="joe",
    challenge=b"challenge",
    identifier=7,
    response=chap_digest(7, "pw", b"challenge"),
)

# --- the report -------------------------------------------------------------------------------------------------------------------


def test_a_report_is_what_the_avps_say() -> None:
    """Both last Configure-Requests, and the proof."""
    assert REPORT == proxy.reported({**BOTH, **PROOF})
    assert Proxy(last_sent=SENT, last_received=RECEIVED) == proxy.reported(BOTH)


@pytest.mark.parametrize("said", [None, {}, PROOF, {LAST_SENT_LCP_CONFREQ: SENT}, {LAST_RECEIVED_LCP_CONFREQ: b""}])
def test_half_a_report_is_none(said: dict[Avp[Any], Any] | None) -> None:
    """Without what both sides wanted, nobody knows what they have agreed on."""
    assert proxy.reported(said) is None


@pytest.mark.parametrize(
    ("lcp", "authentication", "asked", "policy"),
    [
        ("ignore", "use", True, ProxyPolicy.IGNORE),
        ("ignore", "ignore", False, ProxyPolicy.IGNORE),
        ("use", "ignore", True, ProxyPolicy.IGNORE),
        ("use", "ignore", False, ProxyPolicy.RECHALLENGE),
        ("use", "rechallenge", True, ProxyPolicy.RECHALLENGE),
        ("use", "use", True, ProxyPolicy.USE),
    ],
)
def test_what_a_profile_allows(lcp: str, authentication: str, asked: bool, policy: ProxyPolicy) -> None:
    """A proof is only used where both keys say so; ignored, it takes the options with it where one is asked for."""
    assert policy is proxy.policy(ProxyLcp(lcp), ProxyAuthentication(authentication), asked=asked)


def test_a_proof_is_that_of_the_peer() -> None:
    """Name, identifier, challenge and response as the LAC has them."""
    said = proxy.credentials(Auth.CHAP, REPORT)
    assert said is not None
    assert ("joe", 7, b"challenge", REPORT.response) == (said.user, said.identifier, said.challenge, said.response)
    told = proxy.credentials(Auth.PAP, attrs.evolve(REPORT, auth_type=3, response=b"pw", identifier=0x107))
    assert told is not None
    assert (b"pw", b"", 7) == (told.response, told.challenge, told.identifier)


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (Auth.PAP, {}),
        (Auth.CHAP, {"auth_type": 3}),
        (Auth.CHAP, {"auth_type": 4}),
        (Auth.CHAP, {"auth_type": 0}),
        (Auth.CHAP, {"challenge": b""}),
        (Auth.CHAP, {"challenge": bytes(256)}),
        (Auth.CHAP, {"response": b""}),
        (Auth.MSCHAPV2, {"response": bytes(49)}),
        (Auth.MSCHAPV2, {"challenge": bytes(16)}),
    ],
)
def test_what_cannot_be_a_proof_is_none(kind: Auth, changed: dict[str, Any]) -> None:
    """Of another kind than was agreed on, or of a size that no peer can have sent or been sent."""
    assert proxy.credentials(kind, attrs.evolve(REPORT, **changed)) is None


# --- a caller who was with the LAC first ------------------------------------------------------------------------------------------

CLIENT = LinkSettings(name="host", user="joe", password="pw", mru=1400, pfc=True, ipv4=Ipv4Settings(ask_dns=True))
LNS = LinkSettings(name="lns", ipv4=SERVE)


class Handed(NamedTuple):
    """A caller whom a LAC has asked who it is, and the report of that."""

    client: Player
    report: Proxy


def with_the_lac(kind: Auth, **changed: Any) -> Handed:
    """Let a LAC open LCP with a caller and take its proof; it says nothing of what that is worth (RFC 2661 4.4.5)."""
    client = Player(Link(attrs.evolve(CLIENT, **changed), dice(2)))
    lac = Link(LinkSettings(name="lac", require=(kind,), ipv4=None), dice(1))
    for link in (lac, client.link):
        link.open(0.0)
        link.lower_up(0.0)
    for _ in range(10):
        for one, other in ((lac, client.link), (client.link, lac)):
            for frame in one.frames_to_send():
                other.receive_frame(frame, 0.0)
    (asked,) = (event for event in lac.take_events() if isinstance(event, CheckCredentials))
    said = asked.credentials
    report = Proxy(
        last_sent=build_options(lac.lcp.wanted.items()),
        last_received=build_options(lac.lcp.peer.items()),
        auth_type=3 if kind is Auth.PAP else 2,
        name=said.user,
        challenge=said.challenge,
        identifier=said.identifier,
        response=said.response,
    )
    return Handed(client, report)


def handed_over(handed: Handed, **settings: Any) -> Pair:
    """Connect the caller with the LNS; what it says to the LAC from now on, the LNS hears."""
    server = Player(Link(attrs.evolve(LNS, proxy=handed.report, **settings), dice(3)))
    both = Pair(server, handed.client, BadNet(server.end(), handed.client.end(), FINE))
    server.link.open(0.0)
    server.link.lower_up(0.0)
    return both


def said(both: Pair, protocol: int, code: int, origin: int = 0) -> int:
    """Count the packets of a kind that an end has sent, 0: the LNS."""
    sent = (parse_frame(one.packet) for one in both.net.passages if one.origin == origin)
    return sum(number == protocol and parse_packet(rest).code == code for number, rest in sent)


@pytest.mark.parametrize("kind", [Auth.PAP, Auth.CHAP, Auth.MSCHAPV2])
def test_nobody_is_asked_twice(kind: Auth) -> None:
    """No Configure-Request of LCP and no Challenge passes; the caller is told that its proof was right, and packets pass."""
    both = handed_over(with_the_lac(kind), require=(kind,))
    both.run(1.0)
    assert both.up
    assert "joe" == both.server.link.user
    assert 0 == said(both, LCP, Code.CONFIGURE_REQUEST) == said(both, LCP, Code.CONFIGURE_REQUEST, 1)
    assert 0 == said(both, CHAP, ChapCode.CHALLENGE)
    success, code = (PAP, PapCode.ACK) if kind is Auth.PAP else (CHAP, ChapCode.SUCCESS)
    assert 1 <= said(both, success, code)
    assert "10.0.0.2" == next(event.local for event in both.client.of(Ipv4Up) if isinstance(event, Ipv4Up))


@pytest.mark.parametrize("kind", [Auth.PAP, Auth.CHAP, Auth.MSCHAPV2])
def test_a_proxied_proof_that_is_wrong_lets_nobody_in(kind: Auth) -> None:
    """It is checked like any other, and the caller hears of it."""
    both = handed_over(with_the_lac(kind, password="guess"), require=(kind,))
    both.run(30.0, lambda: both.finished)
    assert not list(both.server.of(Ipv4Up))
    (failed,) = both.server.of(AuthFailed)
    assert isinstance(failed, AuthFailed)
    assert ("joe", False) == (failed.user, failed.ours)
    assert both.client.over is not None
    assert Disconnect.AUTH_FAILED == both.client.over.cause.code


@pytest.mark.parametrize("kind", [Auth.CHAP, Auth.MSCHAPV2])
def test_a_rechallenge_keeps_the_options(kind: Auth) -> None:
    """Whatever the LAC says of a proof: the caller has to give another one, over the LCP that is open."""
    handed = with_the_lac(kind)
    forged = attrs.evolve(handed.report, response=bytes(len(handed.report.response)))
    both = handed_over(handed._replace(report=forged), require=(kind,), proxy_policy=ProxyPolicy.RECHALLENGE)
    both.run(1.0)
    assert both.up
    assert 1 == said(both, CHAP, ChapCode.CHALLENGE)
    assert 0 == said(both, LCP, Code.CONFIGURE_REQUEST)


@pytest.mark.parametrize(
    "changed",
    [
        {"proxy_policy": ProxyPolicy.IGNORE, "require": (Auth.CHAP,)},
        {"require": (Auth.MSCHAPV2,)},
        {"require": ()},
    ],
    ids=["ignored", "another proof is asked for", "none is asked for"],
)
def test_what_is_not_used_is_negotiated_anew(changed: dict[str, Any]) -> None:
    """The caller, whose LCP was open, goes back to the beginning (RFC 1661 3.4), and comes in."""
    both = handed_over(with_the_lac(Auth.CHAP), **changed)
    both.run(5.0)
    assert both.up
    assert said(both, LCP, Code.CONFIGURE_REQUEST)


def test_options_of_a_lac_hold() -> None:
    """What the caller takes was told to the LAC alone: its MRU, and protocols of one octet."""
    both = handed_over(with_the_lac(Auth.CHAP), require=(Auth.CHAP,))
    both.run(1.0)
    assert 1400 == both.server.link.peer_mru
    assert b"\xff\x03\x21" == both.server.link.header(0x21)


def test_a_caller_may_begin_again() -> None:
    """Then the report counts for nothing: it has to prove itself to us."""
    both = handed_over(with_the_lac(Auth.CHAP), require=(Auth.CHAP,))
    both.run(1.0)
    again = Player(Link(CLIENT, dice(9)))
    fresh = Pair(both.server, again, BadNet(both.server.end(), again.end(), FINE, now=1.0))
    again.link.open(1.0)
    again.link.lower_up(1.0)
    fresh.run(3.0)
    assert fresh.up
    assert 1 == said(fresh, CHAP, ChapCode.CHALLENGE)
    assert Phase.NETWORK is both.server.link.phase
