"""RFC 1332 3, the options of IPCP, and RFC 1877 1, name servers: each test quotes the requirement that it checks."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import Ipv4Up
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import IpcpOption, Protocol
from l2tpd.ppp.settings import Ipv4Settings
from pppstage import ACK, BARE, IPCP, NAK, REJECT, REQUEST, Said, Scene, network, options

ZERO, OURS, PEERS, OTHER = bytes(4), b"\x0a\0\0\1", b"\x0a\0\0\2", b"\x0a\x09\x09\x09"
SERVER = Ipv4Settings(local="10.0.0.1", peer="10.0.0.2", dns=("192.0.2.53",), nbns=("192.0.2.137", "192.0.2.138"))
CLIENT = Ipv4Settings(ask_dns=True)
DNS, DNS2, NBNS, NBNS2 = (
    IpcpOption.PRIMARY_DNS,
    IpcpOption.SECONDARY_DNS,
    IpcpOption.PRIMARY_NBNS,
    IpcpOption.SECONDARY_NBNS,
)


def negotiating(ipv4: Ipv4Settings) -> tuple[Scene, Said]:
    """A link whose IPCP has asked, and what it asked for."""
    scene, (asked,) = network(attrs.evolve(BARE, ipv6=None, ipv4=ipv4))
    return scene, asked


def ask(scene: Scene, *pairs: tuple[int, bytes], identifier: int = 1) -> Said:
    return scene.say(IPCP, REQUEST, identifier, options(*pairs))[-1]


@pytest.mark.parametrize("ipv4", [SERVER, CLIENT])
def test_3_1_ip_addresses_is_never_sent(ipv4: Ipv4Settings) -> None:
    """3.1: the use of IP-Addresses "has been deprecated", and "this option SHOULD NOT be sent" where the other was received."""
    scene, asked = negotiating(ipv4)
    assert IpcpOption.ADDRESSES not in asked.options
    again = scene.say(IPCP, NAK, asked.identifier, options((IpcpOption.ADDRESSES, OTHER + OURS)))
    assert all(IpcpOption.ADDRESSES not in said.options for said in again)


def test_3_1_ip_addresses_is_rejected() -> None:
    """3.1: "Support for this option MAY be removed"; then the peer is told, and negotiates the other one."""
    scene, _ = negotiating(SERVER)
    said = ask(scene, (IpcpOption.ADDRESSES, PEERS + OURS))
    assert (REJECT, {IpcpOption.ADDRESSES: PEERS + OURS}) == (said.code, said.options)
    assert ACK == ask(scene, (IpcpOption.ADDRESS, PEERS), identifier=2).code


def test_3_2_by_default_compression_is_not_enabled() -> None:
    """3.2: "By default, compression is not enabled"; we neither ask for it nor do it."""
    for ipv4 in (SERVER, CLIENT):
        scene, asked = negotiating(ipv4)
        assert IpcpOption.COMPRESSION not in asked.options
        van_jacobson = options((IpcpOption.COMPRESSION, b"\x00\x2d\x0f\x01"))
        assert (REJECT, van_jacobson) == scene.say(IPCP, REQUEST, 1, van_jacobson)[-1][1::2]


def test_3_3_the_senders_address_is_negotiated() -> None:
    """3.3: "It allows the sender of the Configure-Request to state which IP-address is desired"."""
    assert OURS == negotiating(SERVER)[1].options[IpcpOption.ADDRESS]


def test_3_3_zeros_ask_for_an_address() -> None:
    """3.3: or it may "request that the peer provide the information", by an address of zeros."""
    scene, asked = negotiating(CLIENT)
    assert ZERO == asked.options[IpcpOption.ADDRESS]
    (again,) = scene.say(IPCP, NAK, asked.identifier, options((IpcpOption.ADDRESS, PEERS)))
    assert PEERS == again.options[IpcpOption.ADDRESS]


@pytest.mark.parametrize("wish", [ZERO, OTHER, OURS])
def test_3_3_the_peer_can_provide_this_information_by_naking(wish: bytes) -> None:
    """3.3: "by NAKing the option, and returning a valid IP-address": the one that it is to have, whatever it wants."""
    said = ask(negotiating(SERVER)[0], (IpcpOption.ADDRESS, wish))
    assert (NAK, {IpcpOption.ADDRESS: PEERS}) == (said.code, said.options)


def test_3_3_another_address_is_refused_in_the_end() -> None:
    """3.3 with RFC 1661 4.6: a peer that insists is rejected after Max-Failure Naks, and packets from it do not pass."""
    scene, _ = negotiating(SERVER)
    codes = [ask(scene, (IpcpOption.ADDRESS, OTHER), identifier=at).code for at in range(8)]
    assert [NAK] * 5 + [REJECT] * 3 == codes
    assert scene.link.header(Protocol.IPV4) is None


def test_3_3_the_option_should_be_appended_to_a_nak() -> None:
    """3.3: "If [...] the peer did not provide the option in its Configure-Request, the option SHOULD be appended to a Configure-Nak"."""
    scene, _ = negotiating(SERVER)
    said = scene.say(IPCP, REQUEST, 1)[-1]
    assert (NAK, {IpcpOption.ADDRESS: PEERS}) == (said.code, said.options)
    assert ACK == scene.say(IPCP, REQUEST, 2)[-1].code, "it is asked once"


def test_3_3_a_wrong_length_is_answered_with_a_right_one() -> None:
    """3.3: Length 6."""
    said = ask(negotiating(SERVER)[0], (IpcpOption.ADDRESS, PEERS + b"?"))
    assert (NAK, {IpcpOption.ADDRESS: PEERS}) == (said.code, said.options)


def test_3_3_by_default_no_address_is_assigned() -> None:
    """3.3: "By default, no IP address is assigned": a client that gets none has no IPv4."""
    scene, asked = negotiating(CLIENT)
    scene.say(IPCP, ACK, asked.identifier, asked.data)
    scene.say(IPCP, REQUEST, 1, options((IpcpOption.ADDRESS, OURS)))
    scene.at(20.0)
    assert not [event for event in scene.events() if isinstance(event, Ipv4Up)]
    assert Phase.NETWORK is not scene.link.phase


@pytest.mark.parametrize(("option", "server"), [(DNS, "192.0.2.53"), (NBNS, "192.0.2.137"), (NBNS2, "192.0.2.138")])
def test_rfc_1877_1_servers_are_told_by_a_nak(option: int, server: str) -> None:
    """RFC 1877 1: "the remote peer specifies the address by NAKing this option, and returning the IP address of a valid [...] server"."""
    scene, _ = negotiating(SERVER)
    octets = bytes(map(int, server.split(".")))
    said = ask(scene, (IpcpOption.ADDRESS, PEERS), (option, ZERO))
    assert (NAK, {option: octets}) == (said.code, said.options)
    assert ACK == ask(scene, (IpcpOption.ADDRESS, PEERS), (option, octets), identifier=2).code


def test_rfc_1877_1_a_server_that_we_do_not_know_is_rejected() -> None:
    """RFC 1877 1: "By default, no [...] address is provided"."""
    said = ask(negotiating(SERVER)[0], (IpcpOption.ADDRESS, PEERS), (DNS2, ZERO))
    assert (REJECT, {DNS2: ZERO}) == (said.code, said.options)


def test_rfc_1877_1_we_ask_for_name_servers_with_zeros() -> None:
    """RFC 1877 1.1, 1.3: zeros are "an explicit request that the peer provide the address information"; NBNS are of no use to us."""
    scene, asked = negotiating(CLIENT)
    assert {IpcpOption.ADDRESS: ZERO, DNS: ZERO, DNS2: ZERO} == asked.options
    told = options((IpcpOption.ADDRESS, PEERS), (DNS, OTHER))
    (second,) = scene.say(IPCP, NAK, asked.identifier, told)
    assert OTHER == second.options[DNS]
    (third,) = scene.say(IPCP, REJECT, second.identifier, options((DNS2, ZERO)))
    assert {IpcpOption.ADDRESS: PEERS, DNS: OTHER} == third.options
    scene.say(IPCP, ACK, third.identifier, third.data)
    scene.say(IPCP, REQUEST, 1, options((IpcpOption.ADDRESS, OURS)))
    (up,) = (event for event in scene.events() if isinstance(event, Ipv4Up))
    assert ("10.0.0.2", "10.0.0.1", ("10.9.9.9",)) == (up.local, up.peer, up.dns)
