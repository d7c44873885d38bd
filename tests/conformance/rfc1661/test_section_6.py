"""RFC 1661 6, the options of LCP, and those of RFC 1570 and 1990 that we decline: each test quotes the requirement that it checks."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import LinkDown
from l2tpd.ppp.link import Phase
from l2tpd.ppp.numbers import BY_PEER, BY_US, Auth, Code, Disconnect, LcpOption, Protocol
from pppstage import ACK, BARE, IPV6CP, LCP, MAGIC, NAK, REJECT, REQUEST, Said, Scene, begin, network, opened, options

CLIENT = attrs.evolve(BARE, user="joe", password="secret")
CHOOSY = attrs.evolve(BARE, require=(Auth.MSCHAPV2, Auth.CHAP))


def asking(*pairs: tuple[int, bytes], settings: object = BARE) -> Said:
    """Return what a link answers to these options."""
    scene = begin(settings)  # type: ignore[arg-type]
    scene.heard()
    (said,) = scene.say(LCP, REQUEST, 1, options(*pairs))
    return said


def test_6_options_with_default_values_need_not_be_sent() -> None:
    """6: "If a Configuration Option is not included in a Configure-Request packet, the default value [...] is assumed"."""
    (said,) = begin(attrs.evolve(BARE, magic=False)).heard()
    assert b"" == said.data
    assert ACK == asking().code
    scene, _ = opened(data=b"")
    assert 1500 == scene.link.peer_mru
    assert b"\xff\x03\x80\x57" == scene.link._headers[IPV6CP]


def test_6_options_apply_in_one_direction() -> None:
    """6: they "apply in a half-duplex fashion [...] typically, in the receive direction of the link from the point of view" of who asks."""
    scene, _ = opened(attrs.evolve(BARE, acfc=True, pfc=True, mru=1400), b"")
    assert (1500, 1400) == (scene.link.peer_mru, scene.link.lcp.mru)
    assert b"\xff\x03\x80\x57" == scene.link._headers[IPV6CP]


@pytest.mark.parametrize("mru", [128, 576, 1280, 1500, 1501, 9000, 65535])
def test_6_1_any_mru_that_is_of_use_is_taken(mru: int) -> None:
    """6.1: it informs "that the implementation can receive larger packets, or [requests] that the peer send smaller packets"."""
    scene, _ = opened(data=options((LcpOption.MRU, mru.to_bytes(2, "big"))))
    assert mru == scene.link.peer_mru


def test_6_1_an_implementation_must_always_be_able_to_receive_1500_octets() -> None:
    """6.1: "If smaller packets are requested, an implementation MUST still be able to receive the full 1500 octet information field"."""
    scene, _ = opened(attrs.evolve(BARE, mru=576))
    (reply,) = scene.say(LCP, Code.ECHO_REQUEST, 1, MAGIC + bytes(1500 - 8))
    assert 1500 == len(reply.data) + 4


def test_6_2_the_first_one_that_both_can_do_is_taken() -> None:
    """6.2: "it SHOULD attempt to configure the most desirable protocol first"; if that is Nak'd, "the next most desirable protocol"."""
    scene = begin(CHOOSY)
    (first,) = scene.heard()
    assert Auth.MSCHAPV2.value == first.options[LcpOption.AUTHENTICATION]
    (second,) = scene.say(LCP, NAK, first.identifier, options((LcpOption.AUTHENTICATION, b"\xc2\x27")))
    assert Auth.CHAP.value == second.options[LcpOption.AUTHENTICATION]


def test_6_2_not_more_than_one_protocol_is_asked_for() -> None:
    """6.2: "An implementation MUST NOT include multiple Authentication-Protocol Configuration Options"."""
    (said,) = begin(CHOOSY).heard()
    assert 1 == said.data.count(b"\xc2\x23")


def test_6_2_a_peer_that_refuses_to_prove_itself_is_left() -> None:
    """6.2: "By default, authentication is not required"; where it is, nobody comes in without."""
    scene = begin(CHOOSY)
    (said,) = scene.heard()
    wish = options((LcpOption.AUTHENTICATION, said.options[LcpOption.AUTHENTICATION]))
    scene.say(LCP, REJECT, said.identifier, wish)
    assert Phase.TERMINATE is scene.link.phase
    scene.at(20.0)
    *_, down = scene.events()
    assert isinstance(down, LinkDown)
    assert (Disconnect.AUTH_UNACCEPTABLE, BY_PEER) == (down.cause.code, down.cause.direction)


def test_6_2_a_demand_that_we_cannot_meet_is_rejected() -> None:
    """6.2: who has no name cannot say one; the peer decides what becomes of that."""
    wish = (LcpOption.AUTHENTICATION, Auth.CHAP.value)
    said = asking(wish)
    assert (REJECT, options(wish)) == (said.code, said.data)
    assert ACK == asking(wish, settings=CLIENT).code


def test_6_3_quality_monitoring_is_declined() -> None:
    """6.3: "By default, link quality monitoring is disabled"."""
    said = asking((LcpOption.QUALITY, b"\xc0\x25\0\0\0\0"))
    assert REJECT == said.code


def test_6_4_a_different_magic_number_is_acknowledged() -> None:
    """6.4: "If the two Magic-Numbers are different, then the link is not looped-back, and the Magic-Number SHOULD be acknowledged"."""
    assert ACK == asking((LcpOption.MAGIC, MAGIC)).code


def test_6_4_an_equal_magic_number_must_be_naked_with_another() -> None:
    """6.4: "a Configure-Nak MUST be sent specifying a different Magic-Number value"."""
    scene = begin()
    (said,) = scene.heard()
    ours = said.options[LcpOption.MAGIC]
    (answer,) = scene.say(LCP, REQUEST, 1, options((LcpOption.MAGIC, ours)))
    assert (NAK, True) == (answer.code, answer.options[LcpOption.MAGIC] not in {ours, bytes(4)})


def test_6_4_zero_is_illegal_and_must_be_naked() -> None:
    """6.4: "A Magic-Number of zero is illegal and MUST always be Nak'd, if it is not Rejected outright"."""
    said = asking((LcpOption.MAGIC, bytes(4)))
    assert (NAK, True) == (said.code, any(said.options[LcpOption.MAGIC]))


def test_6_4_a_nak_makes_us_choose_another_number() -> None:
    """6.4: "a new Configure-Request SHOULD be sent with the new Magic-Number"."""
    scene = begin()
    (said,) = scene.heard()
    (again,) = scene.say(LCP, NAK, said.identifier, options((LcpOption.MAGIC, b"like")))
    assert said.options[LcpOption.MAGIC] != again.options[LcpOption.MAGIC]


def test_6_4_packets_with_our_own_number_do_not_count() -> None:
    """6.4: it detects "looped-back links"; an Echo-Request that is our own gets no answer."""
    scene, _ = opened()
    assert [] == scene.say(LCP, Code.ECHO_REQUEST, 1, scene.link.lcp.magic)
    assert 1 == scene.link.counters.discarded


def test_6_4_a_loop_is_noticed() -> None:
    """6.4: "If the link is indeed looped-back, this sequence [...] will repeat over and over again"; we end it."""
    scene = begin()
    for _ in range(20):
        for frame in scene.link.frames_to_send():
            scene.frame(frame)
    scene.at(30.0)
    (down,) = scene.events()
    assert isinstance(down, LinkDown)
    assert Disconnect.LOOPED_BACK == down.cause.code


@pytest.mark.parametrize(
    "option",
    [LcpOption.FCS_ALTERNATIVES, LcpOption.SELF_DESCRIBING_PADDING, LcpOption.CALLBACK, LcpOption.COMPOUND_FRAMES],
)
def test_options_of_rfc_1570_are_declined(option: int) -> None:
    """RFC 1661 5.4: options "not recognizable or [...] not acceptable for negotiation" are rejected: callback and the rest of RFC 1570 2."""
    said = asking((option, b"\0"))
    assert (REJECT, {option: b"\0"}) == (said.code, said.options)


@pytest.mark.parametrize("option", [LcpOption.MRRU, LcpOption.SHORT_SEQUENCE, LcpOption.ENDPOINT_DISCRIMINATOR])
def test_multilink_is_declined(option: int) -> None:
    """RFC 1990 5.1.1: a system that rejects the MRRU option does not do multilink; the other two mean nothing without."""
    said = asking((option, b"\5\xdc"), (LcpOption.MAGIC, MAGIC))
    assert (REJECT, {option: b"\5\xdc"}) == (said.code, said.options)


def test_a_multilink_packet_has_an_unknown_protocol() -> None:
    """RFC 1661 5.7: 003d is none of ours."""
    scene, _ = network()
    (said,) = scene.say(0x003D, 0xC0)
    assert (Code.PROTOCOL_REJECT, b"\x00\x3d") == (said.code, said.data[:2])


@pytest.mark.parametrize("protocol", [Protocol.CCP, 0x8053, 0x8055, 0x8281, Protocol.EAP, Protocol.LQR])
def test_compression_encryption_and_other_protocols_are_declined(protocol: int) -> None:
    """5.7: a packet "with an unknown Protocol field" is answered by a Protocol-Reject, and the link goes on."""
    scene, _ = network()
    (said,) = scene.say(protocol, REQUEST, 1, b"\x12\6\0\0\0\x40")
    assert (LCP, Code.PROTOCOL_REJECT, protocol.to_bytes(2, "big")) == (said.protocol, said.code, said.data[:2])
    assert (Phase.NETWORK, 1) == (scene.link.phase, scene.link.counters.rejected)


def test_identification_is_told_when_lcp_has_opened() -> None:
    """RFC 1570 1.1: "Identification packets MAY be sent at any time": ours, where there is one, when the peer's limits are known."""
    scene = begin(attrs.evolve(BARE, identification="l2tpd"))
    (said, *_) = scene.agree(LCP, options((LcpOption.MAGIC, MAGIC)))
    assert (LCP, Code.IDENTIFICATION) == said[:2]
    assert scene.link.lcp.magic + b"l2tpd" == said.data


def test_who_sent_a_terminate_request_is_told() -> None:
    """RFC 3145 2: the direction of a cause is that of the side that was the reason."""
    for ours, direction in ((True, BY_US), (False, BY_PEER)):
        scene: Scene = opened()[0]
        if ours:
            scene.link.close(0.0, "bye", Disconnect.NORMAL)
        else:
            scene.say(LCP, Code.TERMINATE_REQUEST, 1, b"bye")
        scene.at(20.0)
        *_, down = scene.events()
        assert isinstance(down, LinkDown)
        assert (Disconnect.NORMAL, direction, "bye") == (down.cause.code, down.cause.direction, down.cause.message)
