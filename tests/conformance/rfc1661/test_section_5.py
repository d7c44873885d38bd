"""RFC 1661 5, packets: each test quotes the requirement that it checks."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.automaton import Limits
from l2tpd.ppp.frame import build_packet, parse_frame
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import Code, LcpOption, Protocol
from pppstage import ACK, BARE, IPV6CP, LCP, MAGIC, NAK, REJECT, REQUEST, begin, network, opened, options

SMALL = options((LcpOption.MRU, (128).to_bytes(2, "big")), (LcpOption.MAGIC, MAGIC))
OWN = b"\0\0\0\0\0\0\0\1"


def test_lcp_packets_are_sent_as_if_no_options_were_negotiated() -> None:
    """5: "always sent as if no Configuration Options were negotiated"; 6.5, 6.6: whatever the code."""
    scene, _ = opened(data=options((LcpOption.PFC, b""), (LcpOption.ACFC, b"")))
    scene.frame(b"\xff\x03\xc0\x21" + build_packet(Code.ECHO_REQUEST, 1, bytes(4)))
    scene.frame(b"\xff\x03\x80\x57" + build_packet(REQUEST, 1, options((1, b"\0" * 8))))
    echo, nak = scene.link.frames_to_send()
    assert b"\xff\x03\xc0\x21" == echo[:4]
    assert b"\x80\x57" == nak[:2]


@pytest.mark.parametrize("packet", ["01", "01010003", "0101000a0305", "010100080305c223", "0101000601"])
def test_a_packet_with_an_invalid_length_is_silently_discarded(packet: str) -> None:
    """5, 6: "without affecting the automaton"."""
    scene = begin()
    scene.heard()
    scene.frame(b"\xff\x03\xc0\x21" + bytes.fromhex(packet))
    assert ([], 1) == (scene.heard(), scene.link.counters.discarded)


def test_the_identifier_changes_with_the_options_and_with_every_valid_reply() -> None:
    """5.1: "MUST be changed whenever the contents of the Options field changes, and whenever a valid reply has been received"."""
    scene, (first,) = network()
    (again,) = scene.at(1.0)
    assert first == again, '"For retransmissions, the Identifier MAY remain unchanged"'
    (changed,) = scene.say(IPV6CP, NAK, first.identifier, options((1, b"12345678")))
    assert changed.identifier != first.identifier
    assert changed.data != first.data


def test_acknowledged_options_must_not_be_reordered_or_modified() -> None:
    """5.2: the Ack of all options is their copy."""
    scene = begin()
    scene.heard()
    data = options((LcpOption.ACFC, b""), (LcpOption.MAGIC, MAGIC), (LcpOption.ACCM, bytes(4)), (LcpOption.PFC, b""))
    assert [(LCP, ACK, 200, data)] == scene.say(LCP, REQUEST, 200, data)


def test_acceptable_options_are_filtered_out_of_a_nak() -> None:
    """5.3: "filled with only the unacceptable Configuration Options", in their order."""
    scene = begin()
    scene.heard()
    data = options((LcpOption.MAGIC, bytes(4)), (LcpOption.ACFC, b""), (LcpOption.MRU, b"\0\1"))
    (said,) = scene.say(LCP, REQUEST, 5, data)
    assert (NAK, 5, [LcpOption.MAGIC, LcpOption.MRU]) == (said.code, said.identifier, list(said.options))


def test_a_reject_holds_what_is_not_negotiable_unmodified() -> None:
    """5.4: "filled with only the unacceptable Configuration Options", "not reordered or modified in any way"."""
    scene = begin()
    scene.heard()
    refused = ((LcpOption.CALLBACK, b"\6"), (LcpOption.MRRU, b"\5\xdc"), (LcpOption.ENDPOINT_DISCRIMINATOR, b"\1abc"))
    data = options(refused[0], (LcpOption.MRU, b"\5\xdc"), *refused[1:])
    assert [(LCP, REJECT, 5, options(*refused))] == scene.say(LCP, REQUEST, 5, data)


def test_a_reject_goes_before_a_nak() -> None:
    """5.4: when both are due, the Reject is sent; the peer's next request will be Nak'd."""
    scene = begin()
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 5, options((LcpOption.MRU, b"\0\1"), (99, b"?")))
    assert (REJECT, {99: b"?"}) == (said.code, said.options)


def test_boolean_options_of_a_wrong_length_must_be_rejected() -> None:
    """5.3: "Options which have no value fields (boolean options) MUST use the Configure-Reject reply instead"."""
    scene = begin()
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 5, options((LcpOption.PFC, b"x")))
    assert (REJECT, {LcpOption.PFC: b"x"}) == (said.code, said.options)


@pytest.mark.parametrize("data", [b"", b"\5", b"\5\xdc\0"])
def test_an_option_of_a_wrong_length_is_naked_with_a_right_one(data: bytes) -> None:
    """6: "a Configure-Nak SHOULD be transmitted which includes the desired Configuration Option with an appropriate Length and Data"."""
    scene = begin()
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 5, options((LcpOption.MRU, data)))
    assert (NAK, 2) == (said.code, len(said.options[LcpOption.MRU]))


def test_an_option_that_stands_twice_is_rejected() -> None:
    """6: "None of the Configuration Options in this specification can be listed more than once"."""
    scene = begin()
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 5, options((LcpOption.MRU, b"\5\xdc"), (LcpOption.MRU, b"\5\xd0")))
    assert (REJECT, {LcpOption.MRU: b"\5\xd0"}) == (said.code, said.options)


def test_what_was_rejected_must_not_be_asked_for_again() -> None:
    """5.4: "it MUST NOT include any of the Configuration Options listed in the Configure-Reject"."""
    scene = begin(attrs.evolve(BARE, mru=1400))
    (asked,) = scene.heard()
    rejected = options((LcpOption.MRU, asked.options[LcpOption.MRU]))
    (again,) = scene.say(LCP, REJECT, asked.identifier, rejected)
    assert [LcpOption.MAGIC] == list(again.options)


@pytest.mark.parametrize("rejected", [b"", options((LcpOption.PFC, b"")), options((LcpOption.MAGIC, b"none"))])
def test_a_reject_of_what_was_not_asked_for_is_invalid(rejected: bytes) -> None:
    """5.4: "a proper subset of those in the last transmitted Configure-Request. Invalid packets are silently discarded"."""
    scene = begin()
    (asked,) = scene.heard()
    assert [] == scene.say(LCP, REJECT, asked.identifier, rejected)
    assert 1 == scene.link.counters.discarded


def test_a_code_reject_must_be_truncated_to_the_peers_mru() -> None:
    """5.6: "The Rejected-Packet MUST be truncated to comply with the peer's established MRU"; its identifier changes."""
    scene, _ = opened(data=SMALL)
    first, second = (scene.say(LCP, 99, 1, b"x" * 500)[0] for _ in range(2))
    assert 128 == 4 + len(first.data)
    assert first.identifier != second.identifier


def test_a_protocol_reject_must_be_truncated_to_the_peers_mru() -> None:
    """5.7: "The Rejected-Information MUST be truncated to comply with the peer's established MRU"; its identifier changes."""
    scene, _ = opened(data=SMALL)
    first, second = (scene.say(0x80FD, 1, 1, b"x" * 500)[0] for _ in range(2))
    assert (LCP, Code.PROTOCOL_REJECT, b"\x80\xfd") == (first.protocol, first.code, first.data[:2])
    assert 128 == 4 + len(first.data)
    assert first.identifier != second.identifier


def test_upon_a_protocol_reject_we_must_stop_sending() -> None:
    """5.7: "the implementation MUST stop sending packets of the indicated protocol at the earliest opportunity"."""
    scene, _ = network()
    said = scene.say(LCP, Code.PROTOCOL_REJECT, 1, b"\x80\x57")
    said += scene.say(IPV6CP, REQUEST, 1, options((1, b"12345678")))
    assert not [one for one in said if one.protocol == IPV6CP]
    assert not [one for one in scene.at(100.0) if one.protocol == IPV6CP]


def test_the_reject_of_a_data_protocol_closes_its_ncp() -> None:
    """5.7: a peer that does not know IPv6 packets has no use for IPV6CP either."""
    scene, _ = network()
    scene.say(LCP, Code.PROTOCOL_REJECT, 1, b"\x00\x57IPv6")
    assert Phase.TERMINATE is scene.link.phase


def test_the_reject_of_lcp_itself_is_catastrophic() -> None:
    """4.3, RXJ-: "a Protocol-Reject of LCP!"."""
    scene, _ = network()
    (said,) = scene.say(LCP, Code.PROTOCOL_REJECT, 1, b"\xc0\x21")
    assert Code.TERMINATE_REQUEST == said.code


@pytest.mark.parametrize("code", [Code.PROTOCOL_REJECT, Code.ECHO_REQUEST, Code.ECHO_REPLY, Code.DISCARD_REQUEST])
def test_maintenance_packets_before_opened_are_silently_discarded(code: int) -> None:
    """5.7, 5.8: "received in any state other than the LCP Opened state SHOULD be silently discarded"."""
    scene = begin()
    scene.heard()
    assert [] == scene.say(LCP, code, 1, b"\x80\x57abcd")


def test_an_echo_request_must_be_answered_with_our_magic_number() -> None:
    """5.8: "an Echo-Reply MUST be transmitted", with the identifier and the data of the request."""
    scene, _ = opened()
    magic = scene.link.lcp.magic
    assert [(LCP, Code.ECHO_REPLY, 42, magic + b"data")] == scene.say(LCP, Code.ECHO_REQUEST, 42, MAGIC + b"data")


def test_without_the_option_the_magic_number_must_be_zero() -> None:
    """5.8: "Until the Magic-Number Configuration Option has been successfully negotiated, [it] MUST be transmitted as zero"."""
    scene, _ = opened(attrs.evolve(BARE, magic=False))
    assert [(LCP, Code.ECHO_REPLY, 42, bytes(4))] == scene.say(LCP, Code.ECHO_REQUEST, 42, MAGIC)


def test_an_echo_reply_never_exceeds_the_peers_mru() -> None:
    """5: "The Length MUST NOT exceed the MRU of the link"."""
    scene, _ = opened(data=SMALL)
    (said,) = scene.say(LCP, Code.ECHO_REQUEST, 1, MAGIC + b"x" * 1000)
    assert 128 == 4 + len(said.data)


def test_a_request_that_only_a_larger_packet_could_answer_is_discarded() -> None:
    """5: ditto, for the answers that may not be cut."""
    scene = begin()
    scene.heard()
    data = options(*((200, b"x" * 250) for _ in range(6)))
    assert [] == scene.say(LCP, REQUEST, 1, data)
    assert 1 == scene.link.counters.discarded


@pytest.mark.parametrize("code", [Code.DISCARD_REQUEST, Code.IDENTIFICATION, Code.TIME_REMAINING])
def test_packets_without_an_answer_have_none(code: int) -> None:
    """5.9: "the receiver MUST silently discard any Discard-Request"; RFC 1570 1.1, 1.2: "There is no response"."""
    scene, _ = opened()
    assert [] == scene.say(LCP, code, 1, MAGIC + bytes(4) + b"hello")
    assert Phase.NETWORK is scene.link.phase


def test_a_terminate_request_of_ours_keeps_to_the_peers_mru() -> None:
    """5: ditto, for our farewell."""
    scene, _ = opened(data=SMALL)
    scene.link.close(0.0, "x" * 500)
    (frame,) = scene.link.frames_to_send()
    assert 128 == len(parse_frame(frame)[1])


def test_counters_can_be_configured() -> None:
    """4.6: Max-Terminate and the Restart timer "MUST be configurable"."""
    scene = begin(attrs.evolve(BARE, limits=Limits(restart=1.0, max_configure=3)))
    assert 3 == len(scene.at(3.0))
    assert Phase.DEAD is scene.link.phase


def test_what_the_wire_shows_of_our_first_request() -> None:
    """5.1, 6.4: FF 03 C0 21, code 1, identifier 1, length, Magic-Number; no option has its default value."""
    scene = begin()
    (frame,) = scene.link.frames_to_send()
    assert bytes.fromhex("ff03 c021 0101 000a 0506") + scene.link.lcp.magic == frame
    assert OWN != scene.link.lcp.magic
    assert Protocol.LCP == parse_frame(frame)[0]
