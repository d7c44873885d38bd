"""IPV6CP: the four cases of a Configure-Request, and what becomes of a Nak (RFC 5072 4.1)."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import Ipv6Up, LinkDown
from l2tpd.ppp.ipv6cp import Ipv6cp, link_local
from l2tpd.ppp.numbers import Disconnect
from l2tpd.ppp.settings import Ipv6Settings
from pppstage import ACK, BARE, IPV6CP, NAK, REJECT, REQUEST, Said, Scene, network, options

ZERO, OURS, PEERS = bytes(8), b"\0\0\0\0\0\0\0\1", b"\0\0\0\0\0\0\0\2"
RANDOM = attrs.evolve(BARE, ipv6=Ipv6Settings())


def identifier(said: Said) -> bytes:
    return said.options[1]


def ask(scene: Scene, wish: bytes, number: int = 1) -> Said:
    return scene.say(IPV6CP, REQUEST, number, options((1, wish)))[-1]


def test_a_different_identifier_must_be_acknowledged() -> None:
    """4.1: "the interface identifier MUST be acknowledged", even if another one was to be suggested."""
    for settings in (BARE, attrs.evolve(BARE, ipv6=Ipv6Settings(local=OURS, peer=b"\0\0\0\0\0\0\0\7"))):
        scene, _ = network(settings)
        assert ACK == ask(scene, PEERS).code


def test_zero_gets_a_suggestion() -> None:
    """4.1: non-zero, different from ours, with the "u" bit clear; the same again when asked again."""
    scene, _ = network()
    first, second = ask(scene, ZERO), ask(scene, ZERO, 2)
    assert NAK == first.code
    assert identifier(first) == identifier(second)
    assert identifier(first) not in {ZERO, OURS}
    assert 0 == identifier(first)[0] & 2


def test_the_suggestion_may_be_given() -> None:
    """By RADIUS (RFC 3162 2.2) or the settings."""
    scene, _ = network(attrs.evolve(BARE, ipv6=Ipv6Settings(local=OURS, peer=PEERS)))
    assert PEERS == identifier(ask(scene, ZERO))


def test_an_equal_identifier_gets_a_different_suggestion() -> None:
    """4.1: "Configure-Nak MUST be sent specifying a different non-zero interface-identifier value"."""
    scene, _ = network(attrs.evolve(BARE, ipv6=Ipv6Settings(local=OURS, peer=OURS)))
    said = ask(scene, OURS)
    assert NAK == said.code
    assert identifier(said) not in {ZERO, OURS}


def test_two_zeros_must_be_rejected() -> None:
    """4.1: "negotiation MUST be terminated by transmitting the Configure-Reject"."""
    scene, (request,) = network(attrs.evolve(BARE, ipv6=Ipv6Settings(local=ZERO)))
    assert ZERO == identifier(request)
    assert (REJECT, ZERO) == ((said := ask(scene, ZERO)).code, identifier(said))


def test_a_peer_that_does_not_ask_is_prompted_once() -> None:
    """4.1: "the option SHOULD be appended to a Configure-Nak"; then "MUST NOT send another Configure-Nak with this option"."""
    scene, _ = network()
    (first,) = scene.say(IPV6CP, REQUEST, 1)
    (second,) = scene.say(IPV6CP, REQUEST, 2)
    assert (NAK, ACK) == (first.code, second.code)
    assert identifier(first) not in {ZERO, OURS}


def test_a_suggestion_of_the_peer_is_taken() -> None:
    """4.1: "a new Configure-Request MUST be sent with the identifier value suggested"."""
    scene, (request,) = network()
    (again,) = scene.say(IPV6CP, NAK, request.identifier, options((1, PEERS)))
    assert PEERS == identifier(again)


def test_our_own_suggestion_coming_back_makes_us_choose_anew() -> None:
    """4.1: "if the received interface identifier is equal to the one sent in the last Configure-Nak, a new [one] MUST be chosen"."""
    scene, (request,) = network()
    suggested = identifier(ask(scene, ZERO))
    (again,) = scene.say(IPV6CP, NAK, request.identifier, options((1, suggested)))
    assert identifier(again) not in {suggested, OURS, ZERO}


def test_a_rejected_identifier_leaves_nothing_to_talk_about() -> None:
    """4.1: "MUST NOT contain the interface-identifier option" again; and without one there is no link-local address."""
    scene, (request,) = network()
    scene.say(IPV6CP, REJECT, request.identifier, request.data)
    scene.at(20.0)
    over = scene.events()[-1]
    assert isinstance(over, LinkDown)
    assert (Disconnect.NO_ADDRESS, IPV6CP) == (over.cause.code, over.cause.protocol)


def test_identifiers_are_random_and_last_as_long_as_the_link() -> None:
    """4.1, case 3; "preferably, consistently reproducible across initializations of the IPV6CP finite state machine"."""
    scene, (request,) = network(RANDOM)
    ours = identifier(request)
    assert 0 == ours[0] & 2
    scene.say(IPV6CP, ACK, request.identifier, request.data)
    ask(scene, PEERS)
    assert Ipv6Up(local=ours, peer=PEERS) == scene.events()[-1]
    again, _ = scene.say(IPV6CP, REQUEST, 50, options((1, b"\0\0\0\0\0\0\0\3")))
    assert ours == identifier(again)


@pytest.mark.parametrize("number", [2, 99])
def test_other_options_are_rejected(number: int) -> None:
    """RFC 5172's compression among them."""
    scene, _ = network()
    (said,) = scene.say(IPV6CP, REQUEST, 1, options((1, PEERS), (number, b"\0\x4f")))
    assert (REJECT, {number: b"\0\x4f"}) == (said.code, said.options)


def test_a_random_source_that_draws_zero_or_ours_is_stepped_over() -> None:
    """4.1: never zero, never equal to the other end's."""
    scene, _ = network()
    (ncp,) = (one for one in scene.link._ncps if isinstance(one, Ipv6cp))
    ncp.random = bytes
    assert PEERS == identifier(ask(scene, ZERO))


def test_link_local_addresses() -> None:
    """RFC 5072 5: fe80::/10 and the identifier."""
    assert ("fe80::2", "") == (link_local(PEERS), link_local(b""))
