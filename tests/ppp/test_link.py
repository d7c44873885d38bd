"""One link: its commands, its events, its phases and their deadlines."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.errors import LocalProtocolError
from l2tpd.ppp.events import AddressNeeded, CheckCredentials, Ipv4Up, Ipv6Up, LinkDown, LinkOpened, NetworkDown
from l2tpd.ppp.link import FORGOTTEN, NEGOTIATIONS, Link, Phase
from l2tpd.ppp.numbers import BY_PEER, BY_US, Auth, Code, Disconnect, LcpOption, Protocol
from l2tpd.ppp.settings import Grant, Ipv4Settings, Ipv6Settings, LinkSettings
from l2tpd.wire.values import DisconnectCause
from pppstage import (
    ACK,
    BARE,
    IPCP,
    IPV6CP,
    LCP,
    MAGIC,
    NAK,
    PAP,
    REQUEST,
    SERVE,
    Said,
    Scene,
    begin,
    dice,
    network,
    opened,
    options,
)

OURS, PEERS = b"\0\0\0\0\0\0\0\1", b"\0\0\0\0\0\0\0\2"
DUAL = attrs.evolve(BARE, ipv4=Ipv4Settings(local="10.0.0.2"))


def ipv6_up(scene: Scene) -> None:
    """Open IPV6CP."""
    scene.say(IPV6CP, REQUEST, 1, options((1, PEERS)))
    scene.say(IPV6CP, ACK, 1, options((1, OURS)))
    assert isinstance(scene.events()[-1], Ipv6Up)


def test_what_the_peer_takes_holds_while_lcp_is_opened() -> None:
    """While it is negotiated anew, the default does (RFC 1661 6)."""
    scene, _ = opened(BARE, options((LcpOption.MRU, (1280).to_bytes(2, "big"))))
    assert 1280 == scene.link.peer_mru
    scene.say(LCP, REQUEST, 10, options((LcpOption.MAGIC, MAGIC)))
    assert (Phase.ESTABLISH, 1500) == (scene.link.phase, scene.link.peer_mru)


def down(scene: Scene) -> DisconnectCause:
    """Return why the link has ended, which it must have by now or in ten seconds."""
    scene.at(scene.now + 10.0)
    last = scene.events()[-1]
    assert isinstance(last, LinkDown)
    assert (Phase.DEAD, None) == (scene.link.phase, scene.link.next_timer())
    return last.cause


# --- commands ---------------------------------------------------------------------------------------------------------------------


def test_nothing_is_said_before_the_layer_below_is_up() -> None:
    """RFC 1661 3.3: phase Dead."""
    link = Link(BARE, dice())
    link.open(0.0)
    assert ([], None, Phase.DEAD) == (link.frames_to_send(), link.next_timer(), link.phase)
    link.receive_frame(b"\xff\x03\xc0\x21\1\1\0\4", 0.0)
    assert ([], 1) == (link.frames_to_send(), link.counters.discarded)


def test_the_order_of_open_and_lower_up_does_not_matter() -> None:
    """4.3, Open: "the establishment of the link is automatically delayed"."""
    link = Link(BARE, dice())
    link.lower_up(0.0)
    assert [] == link.frames_to_send()
    link.open(0.0)
    assert 1 == len(link.frames_to_send())


def test_the_layer_below_comes_up_once() -> None:
    """Another call is another session."""
    scene = begin()
    with pytest.raises(LocalProtocolError):
        scene.link.lower_up(1.0)
    scene.link.lower_down(1.0)
    with pytest.raises(LocalProtocolError):
        scene.link.lower_up(2.0)


@pytest.mark.parametrize("with_open", [False, True])
@pytest.mark.parametrize("with_lower", [False, True])
def test_a_link_can_be_closed_at_once(with_open: bool, with_lower: bool) -> None:
    """It is over, and says so once, wherever it stood."""
    link = Link(BARE, dice())
    if with_open:
        link.open(0.0)
    if with_lower:
        link.lower_up(0.0)
    link.close(0.0, "never mind")
    link.close(0.0, "really")
    scene = Scene(link)
    assert DisconnectCause(Disconnect.ADMIN, 0, BY_US, "never mind") == down(scene)
    link.close(20.0)
    link.lower_down(20.0)
    assert [] == scene.events()


def test_losing_the_layer_below_ends_the_link_in_silence() -> None:
    """There is nobody to say goodbye to; what was up is reported down first."""
    scene, _ = network()
    ipv6_up(scene)
    scene.link.lower_down(1.0, "CDN received")
    network_down, link_down = scene.events()
    assert NetworkDown(protocol=Protocol.IPV6) == network_down
    assert LinkDown(cause=DisconnectCause(Disconnect.UNKNOWN, 0, 0, "CDN received")) == link_down
    assert [] == scene.heard()


def test_the_first_cause_counts() -> None:
    """Losing the layer below while the peer's Terminate-Ack is waited for is only what we asked for."""
    scene, _ = network()
    scene.link.close(0.0, "quota", Disconnect.NORMAL)
    scene.link.lower_down(1.0)
    assert DisconnectCause(Disconnect.NORMAL, 0, BY_US, "quota") == down(scene)


# --- events -----------------------------------------------------------------------------------------------------------------------


def test_events_come_one_by_one_or_all_at_once() -> None:
    """The oldest first, each once."""
    scene = begin()
    scene.agree(LCP, options((LcpOption.MRU, (1400).to_bytes(2, "big")), (LcpOption.ACFC, b"")))
    right = LinkOpened(mru=1500, mtu=1400, peer_proves=None, we_prove=None)
    assert right == scene.link.next_event()
    assert None is scene.link.next_event()
    assert [] == scene.link.take_events()


def test_we_send_no_more_than_we_are_told_to() -> None:
    """The path may carry less than the peer can take."""
    scene = begin(attrs.evolve(BARE, mtu=1300))
    scene.agree(LCP)
    event = scene.event()
    assert isinstance(event, LinkOpened)
    assert 1300 == event.mtu


def test_a_grant_overrides_the_settings() -> None:
    """An accepted user may come with an address, name servers and an interface identifier (RFC 2865 5.8, RFC 3162 2.2)."""
    settings = attrs.evolve(DUAL, ipv4=SERVE, require=(Auth.PAP,))
    scene, _ = opened(settings)
    scene.say(PAP, 1, 1, b"\3joe\0")
    event = scene.event()
    assert isinstance(event, CheckCredentials)
    grant = Grant(address="10.7.7.7", dns=("192.0.2.99",), nbns=("192.0.2.98",), interface_id=b"\0\0\0\0\0\0\0\7")
    scene.link.accept_credentials(event.credentials, grant, 0.0)
    scene.heard()
    assert [] == scene.events(), "no address needs to be asked for"
    (ipv4,) = scene.say(IPCP, REQUEST, 1, options((3, bytes(4)), (129, bytes(4)), (130, bytes(4))))
    assert (NAK, {3: bytes((10, 7, 7, 7)), 129: bytes((192, 0, 2, 99)), 130: bytes((192, 0, 2, 98))}) == (
        ipv4.code,
        ipv4.options,
    )
    (ipv6,) = scene.say(IPV6CP, REQUEST, 1, options((1, bytes(8))))
    assert b"\0\0\0\0\0\0\0\7" == ipv6.options[1]


def test_another_user_gets_another_address() -> None:
    """After a new negotiation somebody else may be there."""
    settings = attrs.evolve(BARE, ipv6=None, ipv4=SERVE, require=(Auth.PAP,))
    scene, _ = opened(settings)
    for user, address in ((b"joe", "10.0.0.2"), (b"eve", "10.0.0.3")):
        scene.say(PAP, 1, 1, bytes((len(user),)) + user + b"\0")
        event = scene.event()
        assert isinstance(event, CheckCredentials)
        scene.link.accept_credentials(event.credentials, Grant(), 0.0)
        assert AddressNeeded(user=user.decode()) == scene.event()
        scene.link.assign_address(address, 0.0)
        said = scene.say(IPCP, REQUEST, 1, options((3, bytes(4))))[-1]
        assert address == ".".join(map(str, said.options[3]))
        request, _ = scene.say(LCP, REQUEST, 9, options((LcpOption.MAGIC, user.ljust(4))))
        scene.say(LCP, ACK, request.identifier, request.data)
        scene.events()


# --- phases -----------------------------------------------------------------------------------------------------------------------


def test_a_negotiation_that_leads_nowhere_ends() -> None:
    """A peer whose every request must be rejected never gets out of Establish, and its deadline is ours."""
    scene = begin()
    (request,) = scene.heard()
    scene.say(LCP, ACK, request.identifier, request.data)
    for at in range(1, 60):
        for said in scene.at(float(at)):
            if said.code == REQUEST:
                scene.say(LCP, ACK, said.identifier, said.data)
        scene.say(LCP, REQUEST, at, options((99, b"")))
    assert Phase.ESTABLISH is scene.link.phase
    scene.at(61.0)
    assert Disconnect.LCP_TIMEOUT == down(scene).code


def test_a_link_without_a_network_ends() -> None:
    """Nobody answers our NCPs: nothing is carried, and something is occupied."""
    scene, _ = network()
    scene.at(59.0)
    assert Phase.NETWORK is scene.link.phase
    assert [Disconnect.NCP_TIMEOUT] == [
        event.cause.code for event in scene.events() if isinstance(event, NetworkDown) and event.cause
    ]
    scene.at(61.0)
    assert Disconnect.NCP_TIMEOUT == down(scene).code


def test_a_link_that_wants_no_network_is_for_nothing() -> None:
    """Neither IPv4 nor IPv6."""
    scene, _ = opened(LinkSettings(ipv4=None))
    assert Disconnect.NO_NCP == down(scene).code


def test_a_peer_that_knows_neither_network_protocol_is_left() -> None:
    """With the second Protocol-Reject nothing is left; each is reported when it comes."""
    scene, _ = network(DUAL)
    ipv6_up(scene)
    scene.say(LCP, Code.PROTOCOL_REJECT, 1, IPV6CP.to_bytes(2, "big"))
    event = scene.event()
    assert isinstance(event, NetworkDown)
    assert Phase.NETWORK is scene.link.phase
    scene.say(LCP, Code.PROTOCOL_REJECT, 2, IPCP.to_bytes(2, "big"))
    cause = down(scene)
    assert (Disconnect.NO_NCP, IPCP, BY_PEER) == (cause.code, cause.protocol, cause.direction)


def test_a_refused_protocol_stays_away_when_lcp_renegotiates() -> None:
    """RFC 1661 5.7: the peer would only reject it again."""
    scene, _ = network(DUAL)
    ipv6_up(scene)
    scene.say(LCP, Code.PROTOCOL_REJECT, 1, IPCP.to_bytes(2, "big"))
    request, _ = scene.say(LCP, REQUEST, 9, options((LcpOption.MAGIC, MAGIC[::-1])))
    said = scene.say(LCP, ACK, request.identifier, request.data)
    assert [IPV6CP] == [one.protocol for one in said]
    assert [] == scene.say(IPCP, REQUEST, 1, options((3, b"\x0a\0\0\1")))


def test_a_protocol_may_be_refused_while_its_address_is_waited_for() -> None:
    """The answer that comes later is void."""
    scene, _ = network(attrs.evolve(DUAL, ipv4=SERVE))
    scene.say(LCP, Code.PROTOCOL_REJECT, 1, IPCP.to_bytes(2, "big"))
    assert isinstance(scene.event(), NetworkDown)
    scene.link.assign_address("10.0.0.2", 0.0)
    assert [] == scene.heard()


def test_the_reject_of_a_protocol_that_we_do_not_use_is_ignored() -> None:
    """Whatever the peer means."""
    scene, _ = network()
    assert [] == scene.say(LCP, Code.PROTOCOL_REJECT, 1, b"\x12\x34")
    assert Phase.NETWORK is scene.link.phase


def test_who_negotiates_without_end_is_sent_away() -> None:
    """IPV6CP again and again: the link ends, since each time is an event; at a slower pace that may go on for ever."""
    scene, _ = network()
    ipv6_up(scene)
    for number in range(3, NEGOTIATIONS + 1):  # LCP was one
        assert Phase.NETWORK is scene.link.phase
        _ipv6_anew(scene, number)
    assert isinstance(scene.events()[-1], Ipv6Up)
    scene.at(scene.now + FORGOTTEN)
    for number in range(NEGOTIATIONS + 1, NEGOTIATIONS + 200):
        _ipv6_anew(scene, number)
        assert isinstance(scene.events()[-1], Ipv6Up)
        scene.at(scene.now + FORGOTTEN)
    _ipv6_anew(scene, 3)
    said = _ipv6_anew(scene, 4)
    assert (LCP, Code.TERMINATE_REQUEST) == said[-1][:2]
    assert b"the peer negotiates anew without end" == said[-1].data
    assert Disconnect.ADMIN == down(scene).code


def _ipv6_anew(scene: Scene, number: int) -> list[Said]:
    """Negotiate IPV6CP once more, in the part of the peer; return what the link says in the end."""
    asked = scene.say(IPV6CP, REQUEST, number % 256, options((1, number.to_bytes(8, "big"))))
    (ours,) = [said for said in asked if said[:2] == (IPV6CP, REQUEST)]
    return scene.say(IPV6CP, ACK, ours.identifier, ours.data)


def test_renegotiation_takes_the_network_down_and_up() -> None:
    """3.4: each is reported."""
    scene, _ = network()
    ipv6_up(scene)
    request, _ = scene.say(LCP, REQUEST, 9, options((LcpOption.MAGIC, MAGIC[::-1])))
    assert NetworkDown(protocol=Protocol.IPV6) == scene.event()
    assert None is scene.link.header(Protocol.IPV6)
    (again,) = scene.say(LCP, ACK, request.identifier, request.data)
    scene.say(IPV6CP, ACK, again.identifier, again.data)
    scene.say(IPV6CP, REQUEST, 3, options((1, PEERS)))
    assert [LinkOpened, Ipv6Up] == [type(event) for event in scene.events()]


# --- frames -----------------------------------------------------------------------------------------------------------------------


def test_packets_of_the_network_pass_both_ways() -> None:
    """While their NCP is Opened, and whatever the compression."""
    scene, _ = opened(BARE, options((LcpOption.MAGIC, MAGIC), (LcpOption.PFC, b"")))
    assert None is scene.frame(b"\xff\x03\x00\x57IPv6")
    ipv6_up(scene)
    for head in (b"\xff\x03\x00\x57", b"\x00\x57", b"\xff\x03\x57", b"\x57"):
        assert (Protocol.IPV6, b"IPv6") == scene.frame(head + b"IPv6")
    assert b"\xff\x03\x57" == scene.link.header(Protocol.IPV6)
    assert None is scene.link.header(Protocol.IPV4)


def test_an_answer_that_the_peer_cannot_take_is_not_sent() -> None:
    """A Configure-Reject cannot be cut."""
    scene, _ = opened(BARE, options((LcpOption.MRU, b"\0\x80"), (LcpOption.MAGIC, MAGIC)))
    before = scene.link.counters.discarded
    assert [] == scene.say(IPV6CP, REQUEST, 1, options((99, b"x" * 200)))
    assert before + 1 == scene.link.counters.discarded


def test_a_login_that_the_peer_cannot_take_is_not_sent() -> None:
    """Nor cut: that would be another name."""
    settings = attrs.evolve(BARE, user="u" * 100, password="p" * 100)
    proof = options((LcpOption.MRU, b"\0\x80"), (LcpOption.AUTHENTICATION, Auth.PAP.value))
    _, said = opened(settings, proof)
    assert [] == said


def test_counters_count() -> None:
    """Frames in and out, dropped ones, and protocols that we do not speak."""
    scene, _ = network()
    before = attrs.astuple(scene.link.counters)
    scene.frame(b"")
    scene.say(0x80FD, 1)
    after = attrs.astuple(scene.link.counters)
    assert (2, 1, 1, 1) == tuple(new - old for old, new in zip(before, after, strict=True))


def test_ipv4_and_ipv6_open_independently() -> None:
    """3.6: "each network-layer protocol MUST be separately configured"."""
    scene, (ipv4, _) = network(DUAL)
    ipv6_up(scene)
    assert None is scene.link.header(Protocol.IPV4)
    scene.say(IPCP, ACK, ipv4.identifier, ipv4.data)
    scene.say(IPCP, REQUEST, 1, options((3, b"\x0a\0\0\1")))
    assert Ipv4Up(local="10.0.0.2", peer="10.0.0.1") == scene.event()


def test_two_links_share_their_settings() -> None:
    """Nothing of one link shows in another."""
    settings = attrs.evolve(BARE, ipv6=Ipv6Settings())
    first, second = Link(settings, dice(1)), Link(settings, dice(2))
    for link in (first, second):
        link.open(0.0)
        link.lower_up(0.0)
    assert first.frames_to_send() != second.frames_to_send()
    first.close(0.0)
    assert Phase.ESTABLISH is second.phase


# --- a peer that falls silent in one protocol -------------------------------------------------------------------------------------


def half_open(*words: tuple[int, bytes], required: tuple[int, ...] = ()) -> Scene:
    """A link whose IPv4 is up, and whose peer has said these words of IPV6CP and then no more."""
    ours = Ipv4Settings(local="10.0.0.1", peer="10.0.0.2")
    both = attrs.evolve(BARE, ipv4=ours, echo_interval=0, required=required)
    scene, said = network(both)
    (asked,) = (one for one in said if one.protocol == IPCP)
    scene.say(IPCP, ACK, asked.identifier, asked.data)
    scene.say(IPCP, REQUEST, 1, options((3, b"\x0a\0\0\2")))
    assert scene.link.header(Protocol.IPV4) is not None
    for code, data in words:
        scene.say(IPV6CP, code, 1, data)
    return scene


def test_a_negotiation_that_the_peer_leaves_in_the_middle_ends_the_link() -> None:
    """It may have that protocol open by itself: our Ack has arrived, its own was lost. It calls again, and then both protocols work."""
    scene = half_open((REQUEST, options((1, b"\0\0\0\0\0\0\0\2"))))
    scene.at(60.0)
    last = scene.events()[-1]
    assert isinstance(last, LinkDown)
    assert (Disconnect.NCP_TIMEOUT, IPV6CP) == (last.cause.code, last.cause.protocol)


UNWANTED = pytest.mark.parametrize(
    "words",
    [
        (),
        ((Code.TERMINATE_ACK, b""),),
        ((REQUEST, options((1, b"\0\0\0\0\0\0\0\2"))), (Code.TERMINATE_REQUEST, b"")),
    ],
    ids=["never took part", "is closed", "has closed it"],
)


@UNWANTED
def test_a_peer_that_does_not_want_a_protocol_keeps_the_others(words: tuple[tuple[int, bytes], ...]) -> None:
    """RFC 1661 3.7: an NCP that is not opened is no reason to end a link."""
    scene = half_open(*words)
    scene.at(1000.0)
    assert Phase.NETWORK is scene.link.phase
    assert scene.link.header(Protocol.IPV4) is not None


@UNWANTED
def test_a_peer_that_does_not_want_what_we_cannot_do_without_loses_the_link(
    words: tuple[tuple[int, bytes], ...],
) -> None:
    """The session would be of no use: whoever needs the protocol calls again, or goes elsewhere."""
    scene = half_open(*words, required=(IPV6CP,))
    scene.at(1000.0)
    last = scene.events()[-1]
    assert isinstance(last, LinkDown)
    assert last.cause.message


def test_a_required_protocol_that_is_negotiated_anew_keeps_the_link() -> None:
    """It goes down for a moment, and comes up again."""
    scene = half_open(required=(IPCP,))
    scene.events()
    (anew, *_) = (said for said in scene.say(IPCP, REQUEST, 9, options((3, b"\x0a\0\0\2"))) if said.code == REQUEST)
    assert scene.link.header(Protocol.IPV4) is None
    scene.say(IPCP, ACK, anew.identifier, anew.data)
    assert scene.link.header(Protocol.IPV4) is not None


def test_a_required_protocol_that_the_peer_does_not_know_ends_the_link() -> None:
    """RFC 1661 5.7: a Protocol-Reject is for good."""
    scene = half_open(required=(IPCP,))
    scene.say(LCP, Code.PROTOCOL_REJECT, 1, IPCP.to_bytes(2, "big") + b"\1\1\0\4")
    assert Phase.TERMINATE is scene.link.phase
