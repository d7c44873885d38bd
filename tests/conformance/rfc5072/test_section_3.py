"""RFC 5072 2 and 3, IPv6 and its control protocol on a link: each test quotes the requirement that it checks."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import Ipv6Up, NetworkDown
from l2tpd.ppp.frame import build_packet
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import Auth, Code, Protocol
from pppstage import ACK, BARE, IPV6CP, LCP, REQUEST, Scene, begin, network, opened, options

PEER = options((1, b"\0\0\0\0\0\0\0\2"))
PACKET = b"\xff\x03\x00\x57" + b"`packet"


def up() -> Scene:
    """A link whose IPV6CP is Opened."""
    scene, (asked,) = network()
    scene.say(IPV6CP, ACK, asked.identifier, asked.data)
    scene.say(IPV6CP, REQUEST, 1, PEER)
    return scene


def test_2_ipv6_packets_need_an_opened_ipv6cp() -> None:
    """2: "PPP MUST reach the network-layer protocol phase, and the IPv6 Control Protocol MUST reach the Opened state"."""
    scene = begin()
    assert scene.frame(PACKET) is None
    scene, (asked,) = network()
    scene.say(IPV6CP, REQUEST, 1, PEER)
    assert (None, None) == (scene.frame(PACKET), scene.link.header(Protocol.IPV6))
    scene.say(IPV6CP, ACK, asked.identifier, asked.data)
    assert (Protocol.IPV6, b"`packet") == scene.frame(PACKET)
    assert b"\xff\x03\x00\x57" == scene.link.header(Protocol.IPV6)
    assert Ipv6Up(local=b"\0\0\0\0\0\0\0\1", peer=b"\0\0\0\0\0\0\0\2") in scene.events()


def test_3_ipv6cp_packets_before_the_network_phase_are_silently_discarded() -> None:
    """3: "IPV6CP packets that are received before this phase is reached should be silently discarded"."""
    for scene in (begin(), opened(attrs.evolve(BARE, require=(Auth.PAP,)))[0]):
        scene.heard()
        assert [] == scene.say(IPV6CP, REQUEST, 1, PEER)


@pytest.mark.parametrize("code", [0, *range(8, 16), 255])
def test_3_other_codes_should_result_in_code_rejects(code: int) -> None:
    """3: "Only Codes 1 through 7 [...] are used. Other Codes should be treated as unrecognized and should result in Code-Rejects"."""
    (said,) = up().say(IPV6CP, code, 3, b"data")
    assert (IPV6CP, Code.CODE_REJECT, build_packet(code, 3, b"data")) == (said.protocol, said.code, said.data)


def test_3_ipv6cp_waits_for_authentication() -> None:
    """3: "should be prepared to wait for Authentication [...] to finish before timing out waiting for a Configure-Ack"."""
    scene, _ = opened(attrs.evolve(BARE, require=(Auth.PAP,), auth_timeout=1000.0))
    assert not [said for said in scene.at(999.0) if said.protocol == IPV6CP]


def test_3_a_terminate_of_ipv6cp_is_not_one_of_the_link() -> None:
    """3: "exactly the same as the LCP", and RFC 1661 3.7: the end of an NCP is none of the link."""
    scene = up()
    scene.events()
    assert [(IPV6CP, Code.TERMINATE_ACK, 9, b"")] == scene.say(IPV6CP, Code.TERMINATE_REQUEST, 9)
    assert [NetworkDown] == [type(event) for event in scene.events()]
    assert (None, Phase.NETWORK) == (scene.link.header(Protocol.IPV6), scene.link.phase)


def test_3_a_peer_without_ipv6_rejects_the_protocol() -> None:
    """RFC 1661 5.7: then we stop, and what else is spoken goes on."""
    scene, said = network(attrs.evolve(BARE, ipv4=BARE.ipv4))
    assert IPV6CP == said[0].protocol
    scene.say(LCP, Code.PROTOCOL_REJECT, 1, b"\x80\x57")
    assert not [one for one in scene.at(100.0) if one.protocol == IPV6CP]
