"""RFC 1661 4, the option negotiation: each test quotes the requirement that it checks. The table itself is in tests/ppp/test_automaton.py."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import LinkDown, NetworkDown
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import Code, Disconnect, LcpOption, Protocol
from pppstage import ACK, BARE, IPV6CP, LCP, MAGIC, NAK, REJECT, REQUEST, begin, network, opened, options

PEER = options((1, b"\0\0\0\0\0\0\0\2"))


def test_an_out_of_sequence_ack_is_silently_discarded() -> None:
    """4.3, RCA: "An out of sequence or otherwise invalid packet is silently discarded"."""
    scene = begin()
    (asked,) = scene.heard()
    scene.say(LCP, ACK, asked.identifier + 1, asked.data)
    scene.say(LCP, ACK, asked.identifier, asked.data + options((LcpOption.PFC, b"")))
    assert (2, Phase.ESTABLISH) == (scene.link.counters.discarded, scene.link.phase)


def test_a_second_ack_does_not_affect_the_automaton() -> None:
    """4.3, RCA: "all invalid Ack/Nak/Rej packets are silently discarded"; a packet doubled on its way is such a one."""
    scene, _ = opened()
    state = scene.link.lcp.state
    wanted = options(*scene.link.lcp.wanted.items())
    assert [] == scene.say(LCP, ACK, 1, wanted)
    assert [] == scene.say(LCP, NAK, 1, wanted)
    assert [] == scene.say(LCP, REJECT, 1, wanted)
    assert state is scene.link.lcp.state


def test_a_terminate_request_does_not_override_open() -> None:
    """4.3, RTR: "MUST be prepared to receive a new Configure-Request without network administrator intervention"."""
    scene = begin()
    (asked,) = scene.heard()
    assert [(LCP, Code.TERMINATE_ACK, 3, b"")] == scene.say(LCP, Code.TERMINATE_REQUEST, 3)
    scene.say(LCP, ACK, asked.identifier, asked.data)
    scene.say(LCP, REQUEST, 4, options((LcpOption.MAGIC, MAGIC)))
    assert Phase.NETWORK is scene.link.phase


def test_a_terminate_ack_serves_to_resynchronize() -> None:
    """4.3, RTA: it "may also indicate that the peer is in Closed or Stopped states"."""
    scene, _ = opened()
    said = scene.say(LCP, Code.TERMINATE_ACK, 3)
    assert [(LCP, REQUEST)] == [one[:2] for one in said]
    assert Phase.ESTABLISH is scene.link.phase


@pytest.mark.parametrize("code", [0, 14, 15, 200])
def test_a_code_reject_is_sent_for_an_unknown_code(code: int) -> None:
    """4.3, RUC: "A Code-Reject packet is sent in response"; the packet comes back without its padding."""
    scene, _ = network()
    frame = b"\xff\x03\xc0\x21" + bytes((code, 9, 0, 6)) + b"ab" + b"padding"
    scene.frame(frame)
    (said,) = scene.heard()
    assert (LCP, Code.CODE_REJECT, frame[4:10]) == (said.protocol, said.code, said.data)


def test_codes_of_lcp_are_unknown_to_an_ncp() -> None:
    """RFC 1332 2: "Only Codes 1 through 7 are used. Other Codes should be treated as unrecognized"."""
    scene, _ = network()
    (said,) = scene.say(IPV6CP, Code.ECHO_REQUEST, 1, bytes(4))
    assert (IPV6CP, Code.CODE_REJECT) == said[:2]


@pytest.mark.parametrize("code", range(1, 8))
def test_the_reject_of_a_fundamental_code_terminates_the_connection(code: int) -> None:
    """4.3, RXJ-: "an unrecoverable error that terminates the connection"."""
    scene, _ = opened()
    (said,) = scene.say(LCP, Code.CODE_REJECT, 1, bytes((code, 1, 0, 4)))
    assert (LCP, Code.TERMINATE_REQUEST) == said[:2]
    assert Phase.TERMINATE is scene.link.phase


def test_the_reject_of_an_extended_code_is_within_normal_operation() -> None:
    """4.3, RXJ+: "The implementation MUST stop sending the offending packet type"."""
    scene, _ = opened(attrs.evolve(BARE, echo_interval=30, network_timeout=0))
    assert [] == scene.say(LCP, Code.CODE_REJECT, 1, bytes((Code.ECHO_REQUEST, 1, 0, 8)))
    assert Phase.NETWORK is scene.link.phase
    assert not [said for said in scene.at(1000.0) if said.protocol == LCP]


def test_an_ncp_takes_the_reject_of_an_extended_code_as_well() -> None:
    """4.3, RXJ+: it never sent such a packet, and so has nothing to stop."""
    scene, _ = network()
    assert [] == scene.say(IPV6CP, Code.CODE_REJECT, 1, bytes((Code.ECHO_REQUEST, 1, 0, 4)))
    assert Phase.NETWORK is scene.link.phase


def test_a_silent_peer_is_given_up_after_max_configure() -> None:
    """4.6: "the number of Configure-Request packets sent without receiving a valid" answer "before assuming that the peer is unable"."""
    scene = begin()
    assert 10 == len([said for said in scene.at(100.0) if said.code == REQUEST])
    (event,) = scene.events()
    assert isinstance(event, LinkDown)
    assert Disconnect.NO_LCP == event.cause.code


def test_a_terminate_request_is_repeated_max_terminate_times() -> None:
    """4.6: "the number of Terminate-Request packets sent without receiving a Terminate-Ack"."""
    scene, _ = opened()
    scene.link.close(0.0)
    assert 2 == len([said for said in scene.at(100.0) if said.code == Code.TERMINATE_REQUEST])
    assert Phase.DEAD is scene.link.phase


def test_naks_become_rejects_after_max_failure() -> None:
    """4.6: "Any further Configure-Nak packets for peer requested options are converted to Configure-Reject packets"."""
    scene = begin()
    scene.heard()
    codes = [scene.say(LCP, REQUEST, at, options((LcpOption.MRU, b"\0\1")))[0].code for at in range(7)]
    assert [NAK] * 5 + [REJECT] * 2 == codes


def test_naks_of_the_peer_count_as_rejects_after_max_failure_and_end_in_giving_up() -> None:
    """4.5: "Implementors [...] SHOULD implement loop detection mechanisms"."""
    scene, (asked,) = network()
    for _ in range(5):
        asked = scene.say(IPV6CP, NAK, asked.identifier, PEER)[-1]
        assert REQUEST == asked.code
    said = scene.say(IPV6CP, NAK, asked.identifier, PEER)
    assert [Code.TERMINATE_REQUEST] == [one.code for one in said]
    scene.say(IPV6CP, Code.TERMINATE_ACK, said[0].identifier)
    assert [NetworkDown] == [type(event) for event in scene.events()]
    assert Phase.TERMINATE is scene.link.phase, "nothing was left that the link could be for"


def test_a_new_request_in_opened_must_renegotiate_immediately() -> None:
    """4.3, RCR: "MUST be prepared to immediately renegotiate the Configuration Options"."""
    scene, (asked,) = network()
    scene.say(IPV6CP, ACK, asked.identifier, asked.data)
    scene.say(IPV6CP, REQUEST, 1, PEER)
    said = scene.say(IPV6CP, REQUEST, 2, options((1, b"\0\0\0\0\0\0\0\3")))
    assert [REQUEST, ACK] == [one.code for one in said]
    assert scene.link.header(Protocol.IPV6) is None


def test_a_repeated_request_in_opened_is_granted_again() -> None:
    """Ours: the very request that was granted last, under its identifier, is a copy and no wish to renegotiate."""
    scene, (asked,) = network()
    scene.say(IPV6CP, ACK, asked.identifier, asked.data)
    (granted,) = scene.say(IPV6CP, REQUEST, 1, PEER)
    for _ in range(3):
        assert [granted] == scene.say(IPV6CP, REQUEST, 1, PEER)
        assert scene.link.header(Protocol.IPV6) is not None
    assert [REQUEST, ACK] == [one.code for one in scene.say(IPV6CP, REQUEST, 1, PEER)], "this peer means it"
