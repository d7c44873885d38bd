"""LCP: each option both ways, loops, the keep-alive, and what a LAC has negotiated for us."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import AuthFailed, CheckCredentials, LinkDown, LinkOpened
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import BY_PEER, Auth, Code, Disconnect, LcpOption, Protocol
from l2tpd.ppp.settings import Grant, LinkSettings, Proxy, ProxyPolicy
from pppstage import ACK, BARE, CHAP, LCP, MAGIC, NAK, PAP, REJECT, REQUEST, Said, Scene, begin, opened, options

CLIENT = attrs.evolve(BARE, user="joe", password="pw")
GUARD = attrs.evolve(BARE, require=(Auth.MSCHAPV2, Auth.CHAP, Auth.PAP))
KEEPING = attrs.evolve(BARE, echo_interval=30, echo_failure=3, network_timeout=0)


def ask(settings: LinkSettings, *pairs: tuple[int, bytes]) -> Said:
    """Ask a link that has just begun for options, and return its answer."""
    scene = begin(settings)
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 1, options(*pairs))
    return said


def asked(settings: LinkSettings) -> dict[int, bytes]:
    """Return what a link asks for at first."""
    (said,) = begin(settings).heard()
    return said.options


def naked(settings: LinkSettings, number: int, *values: bytes) -> list[bytes | None]:
    """Nak one option again and again, and return what the link asks for each time."""
    scene = begin(settings)
    (said,) = scene.heard()
    answers: list[bytes | None] = []
    for value in values:
        (said,) = scene.say(LCP, NAK, said.identifier, options((number, value)))
        answers.append(said.options.get(number) if said.code == REQUEST else None)
    return answers


def ending(scene: Scene) -> LinkDown:
    *_, last = scene.events()
    assert isinstance(last, LinkDown)
    return last


# --- what we ask for --------------------------------------------------------------------------------------------------------------


def test_defaults_are_not_asked_for() -> None:
    """RFC 1661 5.1: "Configuration Options SHOULD NOT be included with default values"."""
    assert [] == list(asked(attrs.evolve(BARE, magic=False)))


def test_everything_else_is() -> None:
    """One option for each setting that differs from its default."""
    settings = attrs.evolve(GUARD, mru=1400, pfc=True, acfc=True)
    wanted = asked(settings)
    assert (1400).to_bytes(2, "big") == wanted[LcpOption.MRU]
    assert b"\xc2\x23\x81" == wanted[LcpOption.AUTHENTICATION]
    assert {LcpOption.MRU, LcpOption.AUTHENTICATION, LcpOption.MAGIC, LcpOption.PFC, LcpOption.ACFC} == set(wanted)


def test_a_smaller_mru_is_taken_and_a_larger_one_is_not() -> None:
    """The peer may not be able to send more; what we cannot take it may not talk us into."""
    settings = attrs.evolve(BARE, mru=1400)
    small, large, tiny = ((size).to_bytes(2, "big") for size in (1300, 1492, 1))
    assert [small, small, small] == naked(settings, LcpOption.MRU, small, large, tiny)


def test_a_peer_that_naks_for_ever_is_given_up() -> None:
    """RFC 1661 4.5: whatever it means by that."""
    scene = begin()
    (said,) = scene.heard()
    for _ in range(11):
        (said,) = scene.say(LCP, NAK, said.identifier, options((99, b"?")))
    assert Code.TERMINATE_REQUEST == said.code
    scene.say(LCP, Code.TERMINATE_ACK, said.identifier)
    assert (Disconnect.NO_CONVERGENCE, BY_PEER) == ((cause := ending(scene).cause).code, cause.direction)


@pytest.mark.parametrize("data", [b"", b"\x07"])
def test_a_code_reject_must_say_what_it_rejects(data: bytes) -> None:
    """Nothing is rejected by an empty one; Code-Reject itself is fundamental."""
    scene, _ = opened()
    assert bool(data) == bool(scene.say(LCP, Code.CODE_REJECT, 1, data))


def test_a_rejected_mru_is_the_default() -> None:
    """6.1: "MUST still be able to receive the full 1500 octet information field"."""
    scene = begin(attrs.evolve(BARE, mru=1400, magic=False))
    (said,) = scene.heard()
    (said,) = scene.say(LCP, REJECT, said.identifier, said.data)
    scene.say(LCP, ACK, said.identifier, said.data)
    scene.say(LCP, REQUEST, 9)
    event = scene.event()
    assert isinstance(event, LinkOpened)
    assert 1500 == event.mru


def test_the_next_method_is_tried_when_one_is_naked() -> None:
    """6.2: "the implementation SHOULD attempt the next most desirable protocol in the next Configure-Request"."""
    eap = b"\xc2\x27"
    assert [Auth.CHAP.value, Auth.PAP.value] == naked(GUARD, LcpOption.AUTHENTICATION, eap, eap)


def test_what_the_peer_would_rather_do_is_taken_if_it_suffices() -> None:
    """The Nak names the protocol that the peer can."""
    assert [Auth.PAP.value] == naked(GUARD, LcpOption.AUTHENTICATION, Auth.PAP.value)


@pytest.mark.parametrize("code", [NAK, REJECT])
def test_a_peer_that_will_not_authenticate_is_not_let_in(code: int) -> None:
    """Neither by Nak'ing all that would do nor by rejecting the option."""
    scene = begin(attrs.evolve(BARE, require=(Auth.CHAP,)))
    (said,) = scene.heard()
    value = b"\xc2\x27" if code == NAK else Auth.CHAP.value
    (said,) = scene.say(LCP, code, said.identifier, options((LcpOption.AUTHENTICATION, value)))
    assert Code.TERMINATE_REQUEST == said.code
    scene.say(LCP, Code.TERMINATE_ACK, said.identifier)
    cause = ending(scene).cause
    assert (Disconnect.AUTH_UNACCEPTABLE, LCP, BY_PEER) == (cause.code, cause.protocol, cause.direction)


def test_a_naked_magic_number_is_drawn_anew() -> None:
    """6.4: "a new Magic-Number MUST be chosen"."""
    before = asked(BARE)[LcpOption.MAGIC]
    first, second = naked(BARE, LcpOption.MAGIC, MAGIC, MAGIC)
    assert 3 == len({before, first, second})


def test_a_rejected_magic_number_counts_as_none() -> None:
    """6.4: "act as if the negotiation had been successful", and send zeros."""
    scene = begin()
    (said,) = scene.heard()
    (said,) = scene.say(LCP, REJECT, said.identifier, said.data)
    scene.say(LCP, ACK, said.identifier, said.data)
    scene.say(LCP, REQUEST, 9)
    assert [(LCP, Code.ECHO_REPLY, 1, bytes(4))] == scene.say(LCP, Code.ECHO_REQUEST, 1, bytes(4))


def test_a_magic_number_is_never_zero() -> None:
    """6.4: "A Magic-Number of zero is illegal"."""
    lcp = begin().link.lcp
    lcp.random = bytes
    assert bytes(4) != lcp.new_magic()


@pytest.mark.parametrize("number", [LcpOption.PFC, LcpOption.ACFC])
def test_a_naked_compression_is_forgone(number: int) -> None:
    """5.3 forbids the Nak, but there it is."""
    assert [None] == naked(attrs.evolve(BARE, pfc=True, acfc=True), number, b"")


# --- what the peer asks for -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [128, 576, 1492, 1500, 9000])
def test_any_useful_mru_is_granted(size: int) -> None:
    """6.1: larger ones too; "the peer is not required" to send so much."""
    assert ACK == ask(BARE, (LcpOption.MRU, size.to_bytes(2, "big"))).code


@pytest.mark.parametrize("size", [0, 1, 127])
def test_a_useless_mru_is_naked(size: int) -> None:
    """With the least that is of use."""
    said = ask(BARE, (LcpOption.MRU, size.to_bytes(2, "big")))
    assert (NAK, {LcpOption.MRU: b"\0\x80"}) == (said.code, said.options)


def test_a_character_map_is_granted_politely() -> None:
    """RFC 1662 7.1, though nothing is escaped over L2TP."""
    scene = begin()
    scene.agree(LCP, options((LcpOption.ACCM, b"\0\x0a\0\0")))
    assert isinstance(scene.event(), LinkOpened)


@pytest.mark.parametrize("auth", Auth)
def test_a_client_agrees_to_what_it_can(auth: Auth) -> None:
    """A method that is not offered is Nak'd with the best that is."""
    settings = attrs.evolve(CLIENT, offer=(Auth.CHAP, Auth.PAP))
    said = ask(settings, (LcpOption.AUTHENTICATION, auth.value))
    if auth in settings.offer:
        assert ACK == said.code
    else:
        assert (NAK, Auth.CHAP.value) == (said.code, said.options[LcpOption.AUTHENTICATION])


@pytest.mark.parametrize("value", [b"\xc2\x27", b"\xc2\x23\x06", b"\xc2\x23", b"\xc2", b"", b"\xc0\x23\0"])
def test_eap_and_nonsense_are_naked(value: bytes) -> None:
    """RFC 3748 is not spoken here; the peer is told what is."""
    said = ask(CLIENT, (LcpOption.AUTHENTICATION, value))
    assert (NAK, Auth.MSCHAPV2.value) == (said.code, said.options[LcpOption.AUTHENTICATION])


def test_without_a_user_name_we_do_not_authenticate() -> None:
    """There is nothing to say."""
    assert REJECT == ask(BARE, (LcpOption.AUTHENTICATION, Auth.CHAP.value)).code


@pytest.mark.parametrize("number", [4, 9, 10, 13, 15, 17, 18, 19, 0, 99, 255])
def test_all_other_options_are_rejected(number: int) -> None:
    """Quality, callback, multilink and what nobody knows."""
    said = ask(CLIENT, (number, b"\xc0\x25\0\0"))
    assert (REJECT, {number: b"\xc0\x25\0\0"}) == (said.code, said.options)


def test_a_magic_number_of_zero_must_be_naked() -> None:
    """6.4: "illegal and MUST always be Nak'd"."""
    said = ask(BARE, (LcpOption.MAGIC, bytes(4)))
    assert NAK == said.code
    assert bytes(4) != said.options[LcpOption.MAGIC]


def test_our_own_magic_number_must_be_naked() -> None:
    """6.4: "a Configure-Nak MUST be sent specifying a different Magic-Number value"."""
    scene = begin()
    (mine,) = scene.heard()
    (said,) = scene.say(LCP, REQUEST, 1, mine.data)
    assert NAK == said.code
    assert mine.options[LcpOption.MAGIC] != said.options[LcpOption.MAGIC]


def test_one_collision_of_magic_numbers_is_forgiven() -> None:
    """6.4: "it is possible, but not certain, that the link is looped-back"."""
    scene = begin()
    (mine,) = scene.heard()
    scene.say(LCP, REQUEST, 1, mine.data)
    scene.say(LCP, ACK, mine.identifier, mine.data)
    scene.say(LCP, REQUEST, 2, options((LcpOption.MAGIC, MAGIC)))
    assert Phase.NETWORK is scene.link.phase


# --- keep-alive -------------------------------------------------------------------------------------------------------------------


def test_echo_requests_leave_at_their_interval_and_answers_keep_the_link() -> None:
    """Each with our magic number and an identifier of its own."""
    scene, _ = opened(KEEPING)
    identifiers = set()
    for at in range(30, 600, 30):
        (said,) = [one for one in scene.at(float(at)) if one.protocol == LCP]
        assert (Code.ECHO_REQUEST, scene.link.lcp.magic) == (said.code, said.data)
        identifiers.add(said.identifier)
        assert [] == scene.say(LCP, Code.ECHO_REPLY, said.identifier, MAGIC), "there is no reply to an Echo-Reply"
    assert (19, Phase.NETWORK) == (len(identifiers), scene.link.phase)


@pytest.mark.parametrize("data", ["mine", "short", "late"])
def test_answers_that_are_none_do_not_keep_it(data: str) -> None:
    """Our own magic number means a loop (6.4), too short is malformed, and an old identifier is out of sequence."""
    scene, _ = opened(KEEPING)
    for at in (30.0, 60.0, 90.0):
        (said,) = [one for one in scene.at(at) if one.protocol == LCP]
        identifier = said.identifier + (50 if data == "late" else 0) & 0xFF
        scene.say(LCP, Code.ECHO_REPLY, identifier, {"mine": scene.link.lcp.magic, "short": b"x"}.get(data, MAGIC))
    said = scene.at(120.0)[-1]
    assert (Code.TERMINATE_REQUEST, b"3 Echo-Requests without an answer") == (said.code, said.data)
    scene.at(130.0)
    assert Disconnect.ECHO_TIMEOUT == ending(scene).cause.code


def test_a_late_answer_counts() -> None:
    """It proves that the peer lives, even if it answers the Echo-Request before last."""
    scene, _ = opened(KEEPING)
    first, _ = (one for one in scene.at(60.0) if one.protocol == LCP)
    scene.say(LCP, Code.ECHO_REPLY, first.identifier, MAGIC)
    assert [Code.ECHO_REQUEST] * 2 == [one.code for one in scene.at(120.0) if one.protocol == LCP]


def test_without_a_failure_count_echoes_go_on_for_ever() -> None:
    """They may serve to keep a middlebox awake."""
    scene, _ = opened(attrs.evolve(KEEPING, echo_failure=0))
    assert 100 == len([one for one in scene.at(3000.0) if one.code == Code.ECHO_REQUEST and one.protocol == LCP])
    assert Phase.NETWORK is scene.link.phase


@pytest.mark.parametrize("data", [b"", b"abc"])
def test_an_echo_request_without_room_for_a_magic_number_is_discarded(data: bytes) -> None:
    """5.8: the field is four octets."""
    scene, _ = opened()
    assert [] == scene.say(LCP, Code.ECHO_REQUEST, 1, data)


def test_our_own_echo_request_is_not_answered() -> None:
    """6.4: "Reception of a Magic-Number field equal to the negotiated local Magic-Number indicates a looped-back link"."""
    scene, _ = opened()
    assert [] == scene.say(LCP, Code.ECHO_REQUEST, 1, scene.link.lcp.magic)


def test_we_identify_ourselves_once_we_are_asked_to() -> None:
    """RFC 1570 1.1: "when LCP reaches the Opened state"; not to a peer that rejected the code."""
    settings = attrs.evolve(BARE, identification="l2tpd")
    scene, said = opened(settings)
    (first,) = [one for one in said if one.code == Code.IDENTIFICATION]
    assert scene.link.lcp.magic + b"l2tpd" == first.data
    scene.say(LCP, Code.CODE_REJECT, 1, bytes((Code.IDENTIFICATION, 1, 0, 8)))
    scene.say(LCP, REQUEST, 20, options((LcpOption.MAGIC, b"new!")))
    again = scene.at(1.0)[-1]
    said = scene.say(LCP, ACK, again.identifier, again.data)
    assert Phase.NETWORK is scene.link.phase
    assert not [one for one in said if one.code == Code.IDENTIFICATION]


# --- proxy ------------------------------------------------------------------------------------------------------------------------

CHALLENGE, RESPONSE = bytes(range(16)), bytes(range(16, 32))
PROXY = Proxy(
    last_sent=options((LcpOption.AUTHENTICATION, Auth.CHAP.value), (LcpOption.MAGIC, b"\1\2\3\4")),
    last_received=options((LcpOption.MRU, (1492).to_bytes(2, "big")), (LcpOption.MAGIC, MAGIC)),
    auth_type=2,
    name="joe",
    challenge=CHALLENGE,
    identifier=7,
    response=RESPONSE,
)
LNS = attrs.evolve(BARE, require=(Auth.CHAP,), proxy=PROXY)


def test_what_a_lac_has_negotiated_is_used() -> None:
    """RFC 2661 4.4.5: "allowing PPP to continue without renegotiation of LCP", and the peer gets its Success from us."""
    scene = begin(LNS)
    assert [] == scene.heard()
    up, check = scene.events()
    assert isinstance(up, LinkOpened)
    assert isinstance(check, CheckCredentials)
    assert (1492, Auth.CHAP) == (up.mtu, up.peer_proves)
    said = check.credentials
    assert ("joe", 7, CHALLENGE, RESPONSE) == (said.user, said.identifier, said.challenge, said.response)
    scene.link.accept_credentials(said, Grant(message=b"welcome"), 0.0)
    success, request = scene.heard()
    assert (CHAP, 3, 7, b"welcome") == success
    assert Protocol.IPV6CP == request.protocol
    assert [(LCP, Code.ECHO_REPLY, 1, b"\1\2\3\4")] == scene.say(LCP, Code.ECHO_REQUEST, 1, MAGIC)


def test_proxied_credentials_may_be_refused() -> None:
    """The LAC's word is no proof."""
    scene = begin(LNS)
    _, check = scene.events()
    assert isinstance(check, CheckCredentials)
    scene.link.refuse_credentials(check.credentials, b"no", 0.0)
    assert [(CHAP, 4), (LCP, Code.TERMINATE_REQUEST)] == [said[:2] for said in scene.heard()]
    assert AuthFailed(kind=Auth.CHAP, user="joe", ours=False, message="wrong name or password") == scene.event()


def test_proxied_pap_is_used() -> None:
    """Type 3; the identifier is that of the Authenticate-Request."""
    proxy = attrs.evolve(
        PROXY, last_sent=options((LcpOption.AUTHENTICATION, Auth.PAP.value)), auth_type=3, challenge=b"", response=b"pw"
    )
    scene = begin(attrs.evolve(BARE, require=(Auth.PAP,), proxy=proxy))
    _, check = scene.events()
    assert isinstance(check, CheckCredentials)
    scene.link.accept_credentials(check.credentials, Grant(), 0.0)
    assert (PAP, 2, 7, b"\0") == scene.heard()[0]


def test_the_peer_may_be_challenged_anew() -> None:
    """RFC 2661 9.5: "requiring a new round of PPP authentication [...] which may or may not include" LCP."""
    for settings in (
        attrs.evolve(LNS, proxy_policy=ProxyPolicy.RECHALLENGE),
        attrs.evolve(LNS, proxy=attrs.evolve(PROXY, auth_type=0)),
        attrs.evolve(LNS, proxy=attrs.evolve(PROXY, response=b"short")),
    ):
        scene = begin(settings)
        (said,) = scene.heard()
        assert (CHAP, 1) == said[:2]
        assert [LinkOpened] == [type(event) for event in scene.events()]


@pytest.mark.parametrize(
    "changed",
    [
        {"proxy_policy": ProxyPolicy.IGNORE},
        {"require": (Auth.PAP,)},
        {"require": ()},
        {"proxy": attrs.evolve(PROXY, last_sent=options((LcpOption.MAGIC, MAGIC)))},
        {"proxy": attrs.evolve(PROXY, last_sent=PROXY.last_sent + options((LcpOption.MRRU, b"\5\xdc")))},
        {"proxy": attrs.evolve(PROXY, last_sent=PROXY.last_sent + options((LcpOption.MRU, b"\x23\x28")))},
        {"proxy": attrs.evolve(PROXY, last_sent=PROXY.last_sent + options((LcpOption.ACCM, b"?")))},
        {"proxy": attrs.evolve(PROXY, last_received=options((LcpOption.MRRU, b"\5\xdc")))},
        {"proxy": attrs.evolve(PROXY, last_received=options((LcpOption.AUTHENTICATION, Auth.PAP.value)))},
        {"proxy": attrs.evolve(PROXY, last_received=b"\1")},
        {"proxy": attrs.evolve(PROXY, last_sent=b"\1")},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_we_would_not_have_agreed_on_is_negotiated_anew(changed: dict[str, object]) -> None:
    """RFC 2661 4.4.5: "LNS policy may be to enter an additional round of LCP negotiation"."""
    scene = begin(attrs.evolve(LNS, **changed))  # type: ignore[arg-type]
    (said,) = scene.heard()
    assert (LCP, REQUEST) == said[:2]
    assert [] == scene.events()


def test_a_client_that_renegotiates_anyway_can() -> None:
    """Its Configure-Request sends the adopted link back to Establish; the LAC's word is used no more."""
    scene = begin(LNS)
    scene.events()
    said = scene.say(LCP, REQUEST, 1, options((LcpOption.MAGIC, MAGIC)))
    assert [REQUEST, ACK] == [one.code for one in said]
    (challenge,) = scene.say(LCP, ACK, said[0].identifier, said[0].data)
    assert (CHAP, 1) == challenge[:2]
    assert [LinkOpened] == [type(event) for event in scene.events()]
