"""IPCP: who gets which address and which name servers (RFC 1332, RFC 1877)."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import AddressNeeded, Ipv4Up, LinkDown
from l2tpd.ppp.ipcp import pack_address, unpack_address
from l2tpd.ppp.numbers import Disconnect, IpcpOption, LcpOption, Protocol
from l2tpd.ppp.settings import Ipv4Settings
from pppstage import ACK, BARE, IPCP, LCP, MAGIC, NAK, REJECT, REQUEST, SERVE, Said, Scene, network, options

ZERO = bytes(4)
OURS, PEERS, OTHER = (pack_address(text) for text in ("10.0.0.1", "10.0.0.2", "10.9.9.9"))
SERVER = attrs.evolve(BARE, ipv6=None, ipv4=SERVE)
CLIENT = attrs.evolve(BARE, ipv6=None, ipv4=Ipv4Settings(ask_dns=True))


def served(ipv4: Ipv4Settings = SERVE) -> Scene:
    """A server that has just been told which address the peer shall have."""
    scene, said = network(attrs.evolve(SERVER, ipv4=ipv4))
    assert [] == said
    scene.link.assign_address("10.0.0.2", scene.now)
    return scene


def ask(scene: Scene, *pairs: tuple[int, bytes], identifier: int = 1) -> Said:
    """Ask for options and return the answer."""
    return scene.say(IPCP, REQUEST, identifier, options(*pairs))[-1]


# --- the server -------------------------------------------------------------------------------------------------------------------


def test_the_outside_is_asked_for_an_address_and_nothing_is_said_before() -> None:
    """The pool or RADIUS may take its time."""
    scene, said = network(SERVER)
    assert [] == said
    assert [] == scene.at(5.0)
    scene.link.assign_address("10.0.0.2", 5.0)
    (request,) = scene.heard()
    assert (IPCP, REQUEST, {IpcpOption.ADDRESS: OURS}) == (request.protocol, request.code, request.options)


def test_a_request_that_came_before_the_address_is_not_lost() -> None:
    """It is answered as soon as the address is known."""
    scene, _ = network(SERVER)
    assert [] == scene.say(IPCP, REQUEST, 4, options((IpcpOption.ADDRESS, ZERO)))
    scene.link.assign_address("10.0.0.2", 0.0)
    _, said = scene.heard()
    assert (NAK, 4, {IpcpOption.ADDRESS: PEERS}) == (said.code, said.identifier, said.options)


@pytest.mark.parametrize("wish", [ZERO, OTHER, OURS])
def test_every_other_address_is_naked_with_the_assigned_one(wish: bytes) -> None:
    """RFC 1332 3.3: "The peer can provide this information by NAKing the option, and returning a valid IP-address"."""
    said = ask(served(), (IpcpOption.ADDRESS, wish))
    assert (NAK, {IpcpOption.ADDRESS: PEERS}) == (said.code, said.options)


def test_insisting_on_another_address_ends_in_a_reject() -> None:
    """After Max-Failure Naks the option is rejected, and never granted."""
    scene = served()
    codes = [ask(scene, (IpcpOption.ADDRESS, OTHER), identifier=at).code for at in range(8)]
    assert [NAK] * 5 + [REJECT] * 3 == codes


def test_the_assigned_address_is_granted_and_reported() -> None:
    """Both addresses are known when IPCP opens."""
    scene = served()
    rest = scene.agree(IPCP, options((IpcpOption.ADDRESS, PEERS)))
    assert [] == rest
    assert Ipv4Up(local="10.0.0.1", peer="10.0.0.2") == scene.events()[-1]
    assert scene.link.header(Protocol.IPV4) is not None


def test_an_address_from_the_settings_needs_no_question() -> None:
    """A peer of whom all is known."""
    settings = attrs.evolve(SERVER, ipv4=Ipv4Settings(local="10.0.0.1", serve=True, peer="10.0.0.7"))
    scene, (request,) = network(settings)
    assert (IPCP, REQUEST) == request[:2]
    assert NAK == ask(scene, (IpcpOption.ADDRESS, PEERS)).code
    assert [] == scene.events()


def test_a_peer_that_does_not_ask_is_prompted_once() -> None:
    """3.3: "the option SHOULD be appended to a Configure-Nak"; a peer that still does not ask is let be."""
    scene = served()
    scene.heard()
    said = ask(scene)
    assert (NAK, {IpcpOption.ADDRESS: PEERS}) == (said.code, said.options)
    assert ACK == ask(scene, identifier=2).code


def test_name_servers_are_told_where_they_are_known() -> None:
    """RFC 1877 1.1: "the remote peer specifies the address by NAKing this option"."""
    scene = served(attrs.evolve(SERVE, dns=("192.0.2.53",), nbns=("192.0.2.137", "192.0.2.138")))
    wish = ((129, ZERO), (130, ZERO), (131, ZERO), (132, ZERO))
    said = ask(scene, (3, PEERS), *wish)
    assert (REJECT, {131: ZERO}) == (said.code, said.options), "there is no second one"
    said = ask(scene, (3, PEERS), wish[0], wish[1], wish[3], identifier=2)
    right = {129: "192.0.2.53", 130: "192.0.2.137", 132: "192.0.2.138"}
    assert (NAK, right) == (said.code, {number: unpack_address(data) for number, data in said.options.items()})
    assert ACK == ask(scene, (3, PEERS), *said.options.items(), identifier=3).code


@pytest.mark.parametrize("option", [(1, ZERO + ZERO), (2, b"\0\x2d\x0f\1"), (4, ZERO), (99, b"")])
def test_compression_and_the_old_addresses_option_are_rejected(option: tuple[int, bytes]) -> None:
    """RFC 1332 3.1: deprecated; Van Jacobson compression is not for us."""
    said = ask(served(), option, (IpcpOption.ADDRESS, PEERS))
    assert (REJECT, dict([option])) == (said.code, said.options)


def test_our_own_address_is_not_given_up() -> None:
    """A Nak does not move us, and without the peer's consent we have it all the same."""
    scene = served()
    (request,) = scene.heard()
    (again,) = scene.say(IPCP, NAK, request.identifier, options((IpcpOption.ADDRESS, OTHER)))
    assert {IpcpOption.ADDRESS: OURS} == again.options
    (bare,) = scene.say(IPCP, REJECT, again.identifier, again.data)
    assert {} == bare.options
    scene.say(IPCP, ACK, bare.identifier, b"")
    ask(scene, (IpcpOption.ADDRESS, PEERS))
    assert Ipv4Up(local="10.0.0.1", peer="10.0.0.2") == scene.events()[-1]


def test_another_address_of_ours_is_taken_where_that_is_allowed() -> None:
    """`accept_local`."""
    scene = served(attrs.evolve(SERVE, accept_local=True))
    (request,) = scene.heard()
    (again,) = scene.say(IPCP, NAK, request.identifier, options((IpcpOption.ADDRESS, OTHER)))
    assert {IpcpOption.ADDRESS: OTHER} == again.options


def test_answers_to_questions_that_nobody_asks_do_nothing() -> None:
    """Such as come after the peer has gone, or twice."""
    scene = served()
    scene.agree(IPCP, options((IpcpOption.ADDRESS, PEERS)))
    scene.link.assign_address("10.0.0.9", 0.0)
    assert [] == scene.heard()
    assert scene.link.header(Protocol.IPV4) is not None


def test_the_same_user_keeps_its_address_when_lcp_renegotiates() -> None:
    """The outside is not asked again."""
    scene = served()
    scene.agree(IPCP, options((IpcpOption.ADDRESS, PEERS)))
    scene.events()
    again = scene.say(LCP, REQUEST, 5, options((LcpOption.MAGIC, MAGIC[::-1])))
    scene.say(LCP, ACK, again[0].identifier, again[0].data)
    assert not [event for event in scene.events() if isinstance(event, AddressNeeded)]
    assert NAK == ask(scene, (IpcpOption.ADDRESS, ZERO), identifier=77).code


# --- the client -------------------------------------------------------------------------------------------------------------------


def test_a_client_takes_address_and_name_servers() -> None:
    """It asks with zeros, and for what the peer names."""
    scene, (request,) = network(CLIENT)
    assert {3: ZERO, 129: ZERO, 131: ZERO} == request.options
    told = options((3, PEERS), (129, OTHER), (131, OURS))
    (again,) = scene.say(IPCP, NAK, request.identifier, told)
    assert told == again.data
    scene.say(IPCP, ACK, again.identifier, told)
    assert ACK == ask(scene, (3, OURS)).code
    assert Ipv4Up(local="10.0.0.2", peer="10.0.0.1", dns=("10.9.9.9", "10.0.0.1")) == scene.events()[-1]


def test_a_client_does_without_name_servers_that_are_refused() -> None:
    """By a Reject, or by a Nak that names none."""
    scene, (request,) = network(CLIENT)
    (again,) = scene.say(IPCP, REJECT, request.identifier, options((131, ZERO)))
    assert {3: ZERO, 129: ZERO} == again.options
    (again,) = scene.say(IPCP, NAK, again.identifier, options((3, PEERS), (129, ZERO)))
    assert {3: PEERS} == again.options


@pytest.mark.parametrize("how", ["rejected", "granted"])
def test_a_client_without_an_address_ends_the_link(how: str) -> None:
    """Whether the peer rejects the option or grants the zeros."""
    scene, (request,) = network(CLIENT)
    if how == "rejected":
        scene.say(IPCP, REJECT, request.identifier, options((3, ZERO)))
    else:
        scene.say(IPCP, ACK, request.identifier, request.data)
        ask(scene, (3, OURS))
    scene.at(20.0)
    over = scene.events()[-1]
    assert isinstance(over, LinkDown)
    assert (Disconnect.NO_ADDRESS, IPCP) == (over.cause.code, over.cause.protocol)


def test_a_client_never_takes_zeros_for_an_address() -> None:
    """A Nak that names nothing changes nothing."""
    scene, (request,) = network(CLIENT)
    (again,) = scene.say(IPCP, NAK, request.identifier, options((3, ZERO)))
    assert ZERO == again.options[3]


def test_a_client_accepts_any_peer_but_its_double() -> None:
    """A peer without an address, or with ours, has not understood."""
    settings = attrs.evolve(CLIENT, ipv4=Ipv4Settings(local="10.0.0.2"))
    for wish, code in ((OURS, ACK), (PEERS, REJECT), (ZERO, REJECT)):
        scene, _ = network(settings)
        assert code == ask(scene, (3, wish)).code


def test_a_peer_may_open_without_ever_saying_its_address() -> None:
    """Then nobody knows it."""
    scene, (request,) = network(attrs.evolve(CLIENT, ipv4=Ipv4Settings(local="10.0.0.2")))
    scene.say(IPCP, ACK, request.identifier, request.data)
    assert ACK == ask(scene).code
    assert Ipv4Up(local="10.0.0.2", peer="") == scene.events()[-1]


def test_addresses_are_packed_and_unpacked() -> None:
    """Zeros are the empty text."""
    assert b"\xc0\0\2\1" == pack_address("192.0.2.1")
    assert ("192.0.2.1", "", ZERO) == (unpack_address(b"\xc0\0\2\1"), unpack_address(ZERO), pack_address(""))
