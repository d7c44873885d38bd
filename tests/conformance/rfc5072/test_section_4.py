"""RFC 5072 4 and 5, interface identifiers and link-local addresses: each test quotes the requirement that it checks."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import Ipv6Up
from l2tpd.ppp.ipv6cp import link_local
from l2tpd.ppp.link import Phase
from l2tpd.ppp.settings import Ipv6Settings
from pppstage import ACK, BARE, IPV6CP, NAK, REJECT, REQUEST, Said, Scene, begin, network, options, pair

ZERO, OURS, PEERS = bytes(8), b"\0\0\0\0\0\0\0\1", b"\0\0\0\0\0\0\0\2"
RANDOM = attrs.evolve(BARE, ipv6=Ipv6Settings())
NOBODY = attrs.evolve(BARE, ipv6=Ipv6Settings(local=ZERO))
UNIVERSAL = 2  # the "u" bit in the first octet


def asked(settings: Ipv6Settings | None = None, seed: int = 1) -> tuple[Scene, Said]:
    """A link, and its first Configure-Request of IPV6CP."""
    scene = begin(attrs.evolve(BARE, ipv6=settings or Ipv6Settings()), seed)
    (said,) = (one for one in scene.agree(0xC021) if one.protocol == IPV6CP)
    return scene, said


def ask(scene: Scene, wish: bytes, identifier: int = 1) -> Said:
    return scene.say(IPV6CP, REQUEST, identifier, options((1, wish)))[-1]


def test_4_1_a_request_must_contain_exactly_one_identifier() -> None:
    """4.1: "A Configure-Request MUST contain exactly one instance of the interface-identifier option", of 10 octets."""
    _, said = asked()
    assert (10, b"\1\x0a") == (len(said.data), said.data[:2])


def test_4_1_a_second_one_is_rejected() -> None:
    """4.1 with RFC 1661 6: it is one of those that cannot be "listed more than once"."""
    scene, _ = asked()
    said = scene.say(IPV6CP, REQUEST, 1, options((1, PEERS), (1, OURS)))[-1]
    assert REJECT == said.code


def test_4_1_the_tentative_identifier_should_be_unique_and_not_zero() -> None:
    """4.1: "The non-zero value of the tentative interface identifier SHOULD be chosen such that the value is unique to the link"."""
    drawn = [asked(seed=seed)[1].options[1] for seed in range(30)]
    assert 30 == len(set(drawn))
    assert ZERO not in drawn


def test_4_1_the_u_bit_of_a_random_identifier_must_be_zero() -> None:
    """4.1, case 3: "In this case, the "u" bit of the interface identifier MUST be set to zero (0)"."""
    assert not any(asked(seed=seed)[1].options[1][0] & UNIVERSAL for seed in range(50))


def test_4_1_it_is_reproducible_while_the_link_lasts() -> None:
    """4.1: "preferably, consistently reproducible across initializations of the IPV6CP finite state machine"."""
    scene, first = asked()
    scene.say(IPV6CP, ACK, first.identifier, first.data)
    scene.say(IPV6CP, REQUEST, 1, options((1, PEERS)))
    (again,) = (said for said in scene.say(IPV6CP, REQUEST, 2, options((1, b"another!"))) if said.code == REQUEST)
    assert first.options == again.options


def test_4_1_a_zero_is_naked_with_a_suggestion() -> None:
    """4.1: "a Configure-Nak is sent with a non-zero interface-identifier value", "MUST be different from [ours]", "u" bit zero."""
    scene, said = asked()
    suggested = ask(scene, ZERO)
    assert NAK == suggested.code
    assert suggested.options[1] not in {ZERO, said.options[1]}
    assert not suggested.options[1][0] & UNIVERSAL
    assert suggested.options == ask(scene, ZERO, 2).options, '"consistently reproducible"'


def test_4_1_a_different_identifier_must_be_acknowledged() -> None:
    """4.1: "If the two interface identifiers are different and the received [one] is not zero, [it] MUST be acknowledged"."""
    for settings in (Ipv6Settings(), Ipv6Settings(local=OURS, peer=b"suggests")):
        scene, _ = asked(settings)
        assert ACK == ask(scene, PEERS).code


def test_4_1_an_equal_identifier_must_be_naked() -> None:
    """4.1: "If the two interface identifiers are equal and are not zero, Configure-Nak MUST be sent specifying a different non-zero" one."""
    scene, said = asked()
    ours = said.options[1]
    answer = ask(scene, ours)
    assert NAK == answer.code
    assert answer.options[1] not in {ZERO, ours}


def test_4_1_two_zeros_must_be_rejected() -> None:
    """4.1: "negotiation MUST be terminated by transmitting the Configure-Reject with the interface-identifier value set to zero"."""
    scene, said = network(NOBODY)
    assert ZERO == said[0].options[1]
    answer = ask(scene, ZERO)
    assert (REJECT, ZERO) == (answer.code, answer.options[1])


def test_4_1_no_new_request_until_one_is_due() -> None:
    """4.1: "A new Configure-Request SHOULD NOT be sent to the peer until normal processing would cause it to be sent"."""
    scene, said = asked()
    assert [NAK] == [one.code for one in scene.say(IPV6CP, REQUEST, 1, options((1, said.options[1])))]


def test_4_1_after_a_reject_the_option_must_not_be_sent() -> None:
    """4.1: "A new Configure-Request MUST NOT contain the interface-identifier option if a valid [...] Configure-Reject is received"."""
    scene, said = asked()
    answers = scene.say(IPV6CP, REJECT, said.identifier, said.data) + scene.at(50.0)
    assert not [one for one in answers if one.protocol == IPV6CP and one.code == REQUEST and one.data]


def test_4_1_a_suggestion_of_the_peer_must_be_taken() -> None:
    """4.1: "a new Configure-Request MUST be sent with the identifier value suggested in the last Configure-Nak from the peer"."""
    scene, said = asked()
    (again,) = scene.say(IPV6CP, NAK, said.identifier, options((1, PEERS)))
    assert (REQUEST, PEERS) == (again.code, again.options[1])


def test_4_1_our_own_suggestion_coming_back_calls_for_another() -> None:
    """4.1: "if the received interface identifier is equal to the one sent in the last Configure-Nak, a new [one] MUST be chosen"."""
    scene, said = asked()
    suggested = ask(scene, said.options[1]).options[1]
    (again,) = scene.say(IPV6CP, NAK, said.identifier, options((1, suggested)))
    assert again.options[1] not in {ZERO, suggested, said.options[1]}


def test_4_1_the_option_should_be_appended_to_a_nak_once() -> None:
    """4.1: "the option SHOULD be appended to a Configure-Nak"; if the next request has none either, "MUST NOT send another Configure-Nak"."""
    scene, said = asked()
    first = scene.say(IPV6CP, REQUEST, 1)[-1]
    assert NAK == first.code
    assert first.options[1] not in {ZERO, said.options[1]}
    assert ACK == scene.say(IPV6CP, REQUEST, 2)[-1].code


def test_4_1_without_the_identifier_of_the_peer_no_value_is_assumed() -> None:
    """4.1: "no default interface-identifier value should be assumed"."""
    scene, said = asked()
    for at in (1, 2):
        scene.say(IPV6CP, REQUEST, at)
    scene.say(IPV6CP, ACK, said.identifier, said.data)
    (up,) = (event for event in scene.events() if isinstance(event, Ipv6Up))
    assert b"" == up.peer


@pytest.mark.parametrize("seed", range(10))
def test_4_1_the_identifiers_must_be_unique_within_the_link(seed: int) -> None:
    """4.1: "different interface-identifier values are to be selected for the ends": also where both begin with the same."""
    both = pair(BARE, BARE, seed=seed)
    both.run(30.0)
    (one,), (other,) = (list(player.of(Ipv6Up))[-1:] for player in both.players)
    assert isinstance(one, Ipv6Up)
    assert isinstance(other, Ipv6Up)
    assert (one.local, one.peer) == (other.peer, other.local)
    assert one.local != one.peer


@pytest.mark.parametrize("number", [2, 3, 200])
def test_4_other_options_are_rejected(number: int) -> None:
    """4: "The only IPV6CP option defined in this document is the interface identifier"."""
    scene, _ = asked()
    said = scene.say(IPV6CP, REQUEST, 1, options((1, PEERS), (number, b"??")))[-1]
    assert (REJECT, {number: b"??"}) == (said.code, said.options)


def test_5_link_local_addresses_are_made_of_the_identifier() -> None:
    """5: fe80, 54 bits of zeros, and "the negotiated interface identifier"."""
    assert "fe80::200:0:0:1" == link_local(b"\2\0\0\0\0\0\0\1")
    assert Phase.NETWORK is network(RANDOM)[0].link.phase
