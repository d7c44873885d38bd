"""RFC 1661 2 and 3, encapsulation and the phases of a link: each test quotes the requirement that it checks."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import LinkDown
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import Auth, Code, LcpOption, Protocol
from l2tpd.ppp.settings import LinkSettings
from pppstage import ACK, BARE, CHAP, IPCP, IPV6CP, LCP, MAGIC, PAP, REQUEST, begin, network, opened, options

GUARDED = attrs.evolve(BARE, require=(Auth.PAP,))
ADDRESS = options((1, b"\0\0\0\0\0\0\0\2"))


@pytest.mark.parametrize("protocol", [0xC020, 0x0002, 0x8020])
def test_frames_which_dont_comply_must_be_treated_as_having_an_unrecognized_protocol(protocol: int) -> None:
    """2: "Frames received which don't comply with these rules MUST be treated as having an unrecognized Protocol"."""
    scene, _ = network()
    (said,) = scene.say(protocol, 1)
    assert (LCP, Code.PROTOCOL_REJECT) == said[:2]
    assert protocol.to_bytes(2, "big") == said.data[:2]


@pytest.mark.parametrize("protocol", [IPCP, IPV6CP, PAP, CHAP, Protocol.IPV6, 0x80FD])
def test_non_lcp_packets_received_while_establishing_must_be_silently_discarded(protocol: int) -> None:
    """3.4: "Any non-LCP packets received during this phase MUST be silently discarded"."""
    scene = begin()
    scene.heard()
    assert [] == scene.say(protocol, 1)
    assert (Phase.ESTABLISH, 1) == (scene.link.phase, scene.link.counters.discarded)


def test_a_configure_request_causes_a_return_to_establishment() -> None:
    """3.4: "The receipt of the LCP Configure-Request causes a return to the Link Establishment phase"."""
    for settings, phase in ((BARE, Phase.NETWORK), (GUARDED, Phase.AUTHENTICATE)):
        scene, _ = opened(settings)
        assert phase is scene.link.phase
        said = scene.say(LCP, REQUEST, 77, options((LcpOption.MAGIC, b"new!")))
        assert Phase.ESTABLISH is scene.link.phase
        assert [(LCP, REQUEST), (LCP, ACK)] == [one[:2] for one in said]


def test_an_implementation_must_request_the_authentication_it_desires() -> None:
    """3.5: "it MUST request the use of that authentication protocol during Link Establishment phase"."""
    (request,) = begin(GUARDED).heard()
    assert Auth.PAP.value == request.options[LcpOption.AUTHENTICATION]


def test_advancement_must_not_occur_until_authentication_has_completed() -> None:
    """3.5: "All other packets received during this phase MUST be silently discarded", and nothing is configured."""
    scene, said = opened(GUARDED)
    assert [] == said
    assert [] == scene.say(IPV6CP, REQUEST, 1, ADDRESS)
    assert [] == scene.say(0x80FD, REQUEST, 1)
    assert Phase.AUTHENTICATE is scene.link.phase


def test_each_ncp_may_be_opened_and_closed_at_any_time() -> None:
    """3.6, 3.7: "the fact that one NCP has Closed is not sufficient reason to cause the termination of the PPP link"."""
    scene, _ = network()
    asked = scene.link.settings
    assert asked.ipv6 is not None
    scene.say(IPV6CP, ACK, 1, options((1, asked.ipv6.local)))
    scene.say(IPV6CP, REQUEST, 1, ADDRESS)
    assert scene.link.header(Protocol.IPV6) is not None
    assert [(IPV6CP, Code.TERMINATE_ACK, 5, b"")] == scene.say(IPV6CP, Code.TERMINATE_REQUEST, 5)
    assert scene.link.header(Protocol.IPV6) is None
    scene.at(1000.0)
    assert Phase.NETWORK is scene.link.phase
    said = scene.say(IPV6CP, REQUEST, 6, ADDRESS)
    assert [(IPV6CP, REQUEST), (IPV6CP, ACK)] == [one[:2] for one in said]


def test_packets_of_an_ncp_that_is_not_opened_must_be_silently_discarded() -> None:
    """3.6: "Any supported network-layer protocol packets received when the corresponding NCP is not in the Opened state"."""
    scene, _ = network()
    assert [] == scene.say(Protocol.IPV6, 1)
    assert [(LCP, Code.PROTOCOL_REJECT)] == [said[:2] for said in scene.say(Protocol.IPV4, 1)]


def test_the_receiver_of_a_terminate_request_must_not_disconnect_at_once() -> None:
    """3.7: "MUST NOT disconnect until at least one Restart time has passed after sending a Terminate-Ack"."""
    scene, _ = network()
    assert [(LCP, Code.TERMINATE_ACK, 5, b"")] == scene.say(LCP, Code.TERMINATE_REQUEST, 5, b"bye")
    assert Phase.TERMINATE is scene.link.phase
    scene.at(2.9)
    assert not any(isinstance(event, LinkDown) for event in scene.events())
    scene.at(3.1)
    assert [LinkDown] == [type(event) for event in scene.events()]


def test_the_sender_of_a_terminate_request_should_disconnect_after_the_ack() -> None:
    """3.7: "The sender of the Terminate-Request SHOULD disconnect after receiving a Terminate-Ack"."""
    scene, _ = network()
    scene.link.close(0.0, "bye")
    (said,) = scene.heard()
    assert (LCP, Code.TERMINATE_REQUEST, b"bye") == (said.protocol, said.code, said.data)
    scene.say(LCP, Code.TERMINATE_ACK, said.identifier)
    assert Phase.DEAD is scene.link.phase


def test_non_lcp_packets_received_while_terminating_must_be_silently_discarded() -> None:
    """3.7: "Any non-LCP packets received during this phase MUST be silently discarded"."""
    scene, _ = network()
    scene.link.close(0.0)
    scene.heard()
    assert [] == scene.say(IPV6CP, REQUEST, 1, ADDRESS)
    assert [] == scene.say(0x80FD, REQUEST, 1)


def test_a_link_without_patience_has_no_deadlines() -> None:
    """3.6: "implementations SHOULD avoid fixed timeouts": they can be switched off."""
    settings = LinkSettings(ipv4=None, ipv6=BARE.ipv6, network_timeout=0, echo_interval=0)
    scene, _ = network(settings)
    scene.at(10_000.0)
    assert Phase.NETWORK is scene.link.phase
    assert MAGIC == scene.link.lcp.peer[LcpOption.MAGIC]
