"""RFC 1332 2, IPCP among the protocols of a link: each test quotes the requirement that it checks."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import Ipv4Up
from l2tpd.ppp.frame import build_packet
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import Auth, Code, IpcpOption, LcpOption, Protocol
from l2tpd.ppp.settings import Ipv4Settings
from pppstage import ACK, BARE, IPCP, LCP, MAGIC, REQUEST, Scene, begin, network, opened, options

OURS, PEERS = b"\x0a\0\0\1", b"\x0a\0\0\2"
PLAIN = attrs.evolve(BARE, ipv6=None, ipv4=Ipv4Settings(local="10.0.0.1", peer="10.0.0.2"))
WISH = options((IpcpOption.ADDRESS, PEERS))


def up() -> Scene:
    """A link whose IPCP is Opened."""
    scene, (asked,) = network(PLAIN)
    scene.say(IPCP, ACK, asked.identifier, asked.data)
    scene.say(IPCP, REQUEST, 1, WISH)
    return scene


def test_2_ipcp_packets_before_the_network_phase_are_silently_discarded() -> None:
    """2: "IPCP packets received before this phase is reached should be silently discarded"."""
    scene = begin(PLAIN)
    scene.heard()
    assert [] == scene.say(IPCP, REQUEST, 1, WISH)
    scene, _ = opened(attrs.evolve(PLAIN, require=(Auth.PAP,)))
    assert Phase.AUTHENTICATE is scene.link.phase
    assert [] == scene.say(IPCP, REQUEST, 1, WISH)


@pytest.mark.parametrize("code", [0, *range(8, 16), 255])
def test_2_other_codes_should_result_in_code_rejects(code: int) -> None:
    """2: "Other Codes should be treated as unrecognized and should result in Code-Rejects"."""
    (said,) = up().say(IPCP, code, 3, b"data")
    assert (IPCP, Code.CODE_REJECT, build_packet(code, 3, b"data")) == (said.protocol, said.code, said.data)


def test_2_ipcp_waits_for_authentication() -> None:
    """2: "should be prepared to wait for Authentication [...] to finish before timing out waiting for a Configure-Ack"."""
    scene, _ = opened(attrs.evolve(PLAIN, require=(Auth.PAP,), auth_timeout=1000.0))
    assert not [said for said in scene.at(999.0) if said.protocol == IPCP]
    assert Phase.AUTHENTICATE is scene.link.phase


def test_2_giving_up_takes_a_configurable_amount_of_time() -> None:
    """2: "It is suggested that an implementation give up only after user intervention or a configurable amount of time"."""
    for patience in (20.0, 25.0):
        scene, _ = network(attrs.evolve(PLAIN, network_timeout=patience))
        scene.at(patience - 0.1)
        assert Phase.NETWORK is scene.link.phase
        scene.at(patience + 0.1)
        assert Phase.NETWORK is not scene.link.phase


def test_2_1_ip_packets_need_an_opened_ipcp() -> None:
    """2.1: "Before any IP packets may be communicated, [...] the IP Control Protocol must reach the Opened state"."""
    scene, (asked,) = network(PLAIN)
    packet = b"\xff\x03\x00\x21" + b"E packet"
    assert scene.frame(packet) is None
    scene.say(IPCP, ACK, asked.identifier, asked.data)
    assert scene.frame(packet) is None
    assert scene.link.header(Protocol.IPV4) is None
    scene.say(IPCP, REQUEST, 1, WISH)
    assert (Protocol.IPV4, b"E packet") == scene.frame(packet)
    assert b"\xff\x03\x00\x21" == scene.link.header(Protocol.IPV4)
    (event,) = scene.events()
    assert Ipv4Up(local="10.0.0.1", peer="10.0.0.2") == event


def test_2_1_the_length_of_an_ip_packet_is_that_of_the_information_field() -> None:
    """2.1: "The maximum length of an IP packet [...] is the same as the maximum length of the Information field"."""
    scene, _ = opened(PLAIN, options((LcpOption.MRU, (1280).to_bytes(2, "big")), (LcpOption.MAGIC, MAGIC)))
    assert 1280 == scene.link.peer_mru


def test_2_a_terminate_of_ipcp_is_not_one_of_the_link() -> None:
    """2: IPCP "is exactly the same as the Link Control Protocol", and RFC 1661 3.7: its end is none of the link."""
    scene = up()
    assert [(IPCP, Code.TERMINATE_ACK, 9, b"")] == scene.say(IPCP, Code.TERMINATE_REQUEST, 9)
    assert scene.link.header(Protocol.IPV4) is None
    scene.at(1000.0)
    assert Phase.NETWORK is scene.link.phase
    assert [] == [said for said in scene.say(IPCP, Code.TERMINATE_ACK, 10) if said.protocol == LCP]
