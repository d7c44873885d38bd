"""CCP: what is asked for, what is answered, and what becomes of a link that is to be encrypted (RFC 1962, RFC 3078)."""

from __future__ import annotations

import attrs
import pytest

from l2tpd.ppp.events import EncryptionNeeded, EncryptionOver, EncryptionUp, Ipv6Up, LinkDown
from l2tpd.ppp.mppe import STRENGTHS, Keys, Sender
from l2tpd.ppp.numbers import Auth, Code, Disconnect, LcpOption, Protocol
from l2tpd.ppp.settings import EncryptionSettings, Grant, Ipv4Settings, LinkSettings
from pppstage import ACK, BARE, CHAP, IPV6CP, LCP, NAK, REJECT, REQUEST, SERVE, Said, Scene, begin, options, pair

CCP = Protocol.CCP
KEYS = Keys(send=b"\1" * 16, receive=b"\2" * 16)
STRONG, WEAK, MEDIUM = bytes.fromhex("01000040"), bytes.fromhex("01000020"), bytes.fromhex("01000080")
MPPE = 18
RESET_REQUEST, RESET_ACK = 14, 15


def scene(encryption: EncryptionSettings | None, keys: Keys | None = KEYS) -> Scene:
    """A link whose peer has just been let in with keys."""
    stage = begin(attrs.evolve(BARE, require=(Auth.MSCHAPV2,), encryption=encryption))
    (challenge,) = [said for said in stage.agree(LCP, options((LcpOption.MAGIC, b"\1\2\3\4"))) if said.protocol == CHAP]
    stage.say(CHAP, 2, challenge.identifier, b"\x31" + bytes(49) + b"alice")
    asked = next(event for event in stage.events() if hasattr(event, "credentials"))
    stage.link.accept_credentials(asked.credentials, Grant(message=b"S=", keys=keys), stage.now)
    assert 3 == stage.heard()[0].code
    return stage


def asking(
    strengths: frozenset[int] = frozenset({128}),
    *,
    required: bool = True,
    stateful: bool = False,
    able: frozenset[int] = STRENGTHS,
) -> tuple[Scene, Said]:
    """A link that asks for encryption, and what it says."""
    stage = scene(EncryptionSettings(required=required, strengths=strengths, stateful=stateful))
    assert [EncryptionNeeded(keys=KEYS, required=required)] == stage.events()
    stage.link.encryption.agree(able, stage.link, stage.now, inside=True)
    (request,) = stage.heard()
    assert (CCP, REQUEST) == request[:2]
    return stage, request


def encrypted(*, required: bool = True, stateful: bool = False) -> Scene:
    """A link that encrypts, with IPv6 up."""
    stage, request = asking(required=required, stateful=stateful)
    stage.say(CCP, ACK, request.identifier, request.data)
    _, mine = stage.say(CCP, REQUEST, 1, request.data)
    stage.say(IPV6CP, ACK, mine.identifier, mine.data)
    stage.say(IPV6CP, REQUEST, 1, options((1, bytes(7) + b"\2")))
    return stage


def sealed(stage: Scene, packet: bytes = b"\x60" + bytes(39)) -> bytes:
    frame = stage.link.seal(Protocol.IPV6, packet)
    assert frame is not None
    assert b"\xff\x03\x00\xfd" == frame[:4]
    assert packet not in frame
    return frame


def ends(stage: Scene) -> LinkDown:
    """Let the link's Terminate-Request go unanswered."""
    stage.at(stage.now + 100)
    (down,) = [event for event in stage.events() if isinstance(event, LinkDown)]
    return down


@pytest.mark.parametrize(
    ("strengths", "stateful", "bits"),
    [
        ({128}, False, "01000040"),
        ({40, 56, 128}, False, "010000e0"),
        ({40}, True, "00000020"),
        ({56, 128}, True, "000000c0"),
    ],
)
def test_all_that_may_be_used_is_asked_for(strengths: set[int], stateful: bool, bits: str) -> None:
    """RFC 3078 2.1: "the negotiation initiator SHOULD request all of the options it supports"."""
    _, request = asking(frozenset(strengths), stateful=stateful)
    assert {MPPE: bytes.fromhex(bits)} == request.options


def test_only_what_can_be_done_is_asked_for() -> None:
    """The kernel has no keys of 56 bits."""
    _, request = asking(frozenset({40, 56}), able=frozenset({40, 128}))
    assert {MPPE: WEAK} == request.options


@pytest.mark.parametrize(
    ("strengths", "stateful", "offer", "answer"),
    [
        ({128}, False, "01000040", None),
        ({128}, False, "010000e0", "01000040"),  # "the option selected SHOULD be the strongest"
        ({40, 56}, False, "010000e0", "01000080"),
        ({40}, False, "01000040", "01000020"),
        ({128}, False, "00000040", "01000040"),  # stateful
        ({128}, True, "00000040", None),
        ({128}, True, "01000040", None),  # "stateless mode may always be negotiated"
        ({128}, False, "01000041", "01000040"),  # C: compression
        ({128}, False, "01000050", "01000040"),  # D: obsolete
        ({128}, False, "00000001", "01000040"),
        ({128}, False, "03000040", "01000040"),  # a bit that is reserved
    ],
)
def test_offers_are_answered(strengths: set[int], stateful: bool, offer: str, answer: str | None) -> None:
    """RFC 3078 2.1: "the responder SHOULD NAK with a single encryption option"."""
    stage, _ = asking(frozenset(strengths), stateful=stateful)
    (said,) = stage.say(CCP, REQUEST, 1, options((MPPE, bytes.fromhex(offer))))
    assert (NAK if answer else ACK) == said.code
    assert {MPPE: bytes.fromhex(answer or offer)} == said.options


def test_other_algorithms_are_rejected() -> None:
    """RFC 1962 2: Deflate (26), BSD-Compress (21), Predictor (1); nothing is compressed here."""
    stage, _ = asking()
    others = ((26, b"\x78\0"), (21, b"\x2f"), (1, b""))
    (said,) = stage.say(CCP, REQUEST, 1, options((MPPE, STRONG), *others))
    assert (REJECT, options(*others)) == (said.code, said.data)


def test_a_peer_that_asks_for_nothing_is_prompted() -> None:
    """It may take part yet (RFC 1661 5.3)."""
    stage, _ = asking()
    (said,) = stage.say(CCP, REQUEST, 1)
    assert (NAK, {MPPE: STRONG}) == (said.code, said.options)


def test_the_peers_choice_is_taken() -> None:
    """One strength of those that were offered."""
    stage, request = asking(frozenset({40, 56, 128}))
    (again,) = stage.say(CCP, NAK, request.identifier, options((MPPE, MEDIUM)))
    assert {MPPE: MEDIUM} == again.options


@pytest.mark.parametrize("choice", [WEAK, bytes.fromhex("00000001"), bytes(4), b"\1"])
def test_a_choice_that_cannot_be_ends_a_link_that_must_encrypt(choice: bytes) -> None:
    """Never a weaker key than was allowed (RFC 3078 9)."""
    stage, request = asking()
    said = stage.say(CCP, NAK, request.identifier, options((MPPE, choice)))
    assert (CCP, Code.TERMINATE_REQUEST) == said[0][:2]
    assert Disconnect.NO_ENCRYPTION == ends(stage).cause.code


def test_an_option_that_is_rejected_twice_is_rejected_once() -> None:
    """However often a Configure-Reject names it."""
    stage, request = asking(required=False)
    (closing,) = stage.say(CCP, REJECT, request.identifier, 2 * request.data)
    assert (CCP, Code.TERMINATE_REQUEST) == closing[:2]


def test_a_link_that_may_encrypt_goes_on_without() -> None:
    """CCP is closed, and IPV6CP begins; what it opens passes as it is."""
    stage, request = asking(required=False)
    (closing,) = stage.say(CCP, REJECT, request.identifier, request.data)
    assert (CCP, Code.TERMINATE_REQUEST) == closing[:2]
    (mine,) = stage.say(CCP, Code.TERMINATE_ACK, closing.identifier)
    assert (IPV6CP, REQUEST) == mine[:2]
    stage.say(IPV6CP, ACK, mine.identifier, mine.data)
    stage.say(IPV6CP, REQUEST, 1, options((1, bytes(7) + b"\2")))
    assert b"\xff\x03\x00\x57" == stage.link.header(Protocol.IPV6)
    assert None is stage.link.seal(Protocol.IPV6, b"\x60")


@pytest.mark.parametrize("required", [True, False])
def test_a_peer_without_ccp_is_understood(required: bool) -> None:
    """Its Protocol-Reject ends a link that must encrypt at once, and lets another go on."""
    stage, request = asking(required=required)
    rejected = CCP.to_bytes(2, "big") + b"\1\1\0\12" + request.data
    said = stage.say(LCP, Code.PROTOCOL_REJECT, 7, rejected)
    assert ((LCP, Code.TERMINATE_REQUEST) if required else (IPV6CP, REQUEST)) == said[-1][:2]


def test_a_silent_peer_ends_a_link_that_must_encrypt() -> None:
    """Not for want of an address, but of encryption."""
    stage, _ = asking()
    down = ends(stage)
    assert (Disconnect.NO_ENCRYPTION, CCP) == (down.cause.code, down.cause.protocol)


@pytest.mark.parametrize(
    ("settings", "keys"), [(EncryptionSettings(required=True), None), (None, attrs.evolve(KEYS, required=True))]
)
def test_what_cannot_be_encrypted_but_must_be_ends(settings: EncryptionSettings | None, keys: Keys | None) -> None:
    """A proof that leaves no keys; a server that requires what the profile refuses."""
    stage = scene(settings, keys)
    assert Disconnect.NO_ENCRYPTION == ends(stage).cause.code


def test_without_settings_ccp_is_a_strange_protocol() -> None:
    """Keys or not: Protocol-Reject (RFC 1661 5.7)."""
    stage = scene(None)
    stage.heard()
    (said,) = stage.say(CCP, REQUEST, 1, options((MPPE, STRONG)))
    assert (LCP, Code.PROTOCOL_REJECT) == said[:2]


def test_nobody_to_encrypt_ends_a_link_that_must() -> None:
    """The kernel may have no MPPE; then the reason is told."""
    stage = scene(EncryptionSettings(required=True))
    stage.link.encryption.forgo("the kernel has no MPPE", stage.link, stage.now)
    assert "the kernel has no MPPE" == ends(stage).cause.message


def test_no_common_strength_is_none_at_all() -> None:
    """What a server allows, what the profile allows, and what can be done."""
    stage = scene(EncryptionSettings(strengths=frozenset({40})), attrs.evolve(KEYS, strengths=frozenset({128})))
    stage.link.encryption.agree(STRENGTHS, stage.link, stage.now, inside=True)
    assert IPV6CP == stage.heard()[0].protocol


def test_network_protocols_wait_for_encryption() -> None:
    """RFC 3078 9: "Peers MUST NOT transmit user data until the MPPE negotiation is complete"; what the peer has said meanwhile is answered then."""
    stage, request = asking()
    assert [] == stage.say(IPV6CP, REQUEST, 5, options((1, bytes(7) + b"\2")))
    stage.say(CCP, ACK, request.identifier, request.data)
    said = stage.say(CCP, REQUEST, 1, request.data)
    assert [(CCP, ACK), (IPV6CP, REQUEST), (IPV6CP, ACK)] == [one[:2] for one in said]
    up = EncryptionUp(send_bits=128, receive_bits=128, send_stateless=True, receive_stateless=True)
    assert [up] == stage.events()


def test_what_the_peer_asks_for_early_waits() -> None:
    """It may be faster than whoever says how we encrypt."""
    stage = scene(EncryptionSettings(required=True))
    assert [] == stage.say(CCP, REQUEST, 5, options((MPPE, STRONG)))
    stage.link.encryption.agree(STRENGTHS, stage.link, stage.now, inside=True)
    assert [(CCP, REQUEST), (CCP, ACK)] == [said[:2] for said in stage.heard()]


def test_packets_pass_encrypted_or_not_at_all() -> None:
    """In both directions; and what is encrypted can be read by who has the other keys."""
    stage, far = encrypted(), encrypted()
    assert isinstance(stage.events()[-1], Ipv6Up)
    assert None is stage.link.header(Protocol.IPV6)
    assert None is stage.frame(b"\xff\x03\x00\x57\x60")
    assert None is stage.link.seal(Protocol.IPV4, b"\x45")
    frame = sealed(far)
    assert None is stage.frame(frame)  # of one who has the same keys as we
    other = asking()[0]
    assert None is other.frame(frame)  # CCP is not Opened there


def test_negotiating_anew_stops_packets_and_leaves_the_network_alone() -> None:
    """A Configure-Request in Opened: nothing passes until both have agreed again, then from the first key on; IPV6CP stays as it is."""
    stage = encrypted()
    stage.events()
    first = sealed(stage)
    sealed(stage)
    request, granted = stage.say(CCP, REQUEST, 2, options((MPPE, STRONG)))
    assert [(CCP, REQUEST), (CCP, ACK)] == [request[:2], granted[:2]]
    assert None is stage.link.seal(Protocol.IPV6, b"\x60")
    assert None is stage.link.header(Protocol.IPV6)
    stage.say(CCP, ACK, request.identifier, request.data)
    assert [EncryptionUp] == [type(event) for event in stage.events()]
    assert first == sealed(stage)


def test_the_same_request_again_is_a_new_negotiation() -> None:
    """Other than with an NCP: the peer may have begun with its first key anew."""
    stage = encrypted()
    said = stage.say(CCP, REQUEST, 1, options((MPPE, STRONG)))
    assert [(CCP, REQUEST), (CCP, ACK)] == [one[:2] for one in said]


@pytest.mark.parametrize("required", [True, False])
def test_the_end_of_encryption_is_the_end_of_the_link(required: bool) -> None:
    """Required or not: what was hidden is not shown later."""
    stage = encrypted(required=required)
    stage.events()
    stage.say(CCP, Code.TERMINATE_REQUEST, 9, b"no more")
    assert None is stage.link.seal(Protocol.IPV6, b"\x60")
    assert "no more" == ends(stage).cause.message


def test_lcp_takes_encryption_along() -> None:
    """Another negotiation of LCP: the keys are told to be forgotten before the networks are told to be down."""
    stage = encrypted()
    stage.events()
    stage.say(LCP, REQUEST, 77, options((LcpOption.MAGIC, b"\4\3\2\1")))
    assert EncryptionOver() == stage.events()[0]
    assert None is stage.link.seal(Protocol.IPV6, b"\x60")
    assert None is stage.link.header(Protocol.IPV6)


def test_keys_that_lcp_took_along_are_not_waited_for() -> None:
    """Whoever makes an interface for them may come late: the link has others by then, and an interface of these would have no use for its CCP."""
    stage = scene(EncryptionSettings(required=True))
    link = stage.link
    assert link.encryption.awaits(KEYS)
    stage.say(LCP, REQUEST, 7, options((LcpOption.MAGIC, b"\4\3\2\1")))
    assert not link.encryption.awaits(KEYS)
    stage.link.encryption.begin(attrs.evolve(KEYS), stage.link, stage.now)
    assert not link.encryption.awaits(KEYS)
    answered = encrypted()
    assert not answered.link.encryption.awaits(KEYS)


def test_it_is_known_whether_packets_can_pass() -> None:
    """Not while CCP is negotiated anew, whatever was told before; and that this is no beginning is told."""
    stage = encrypted()
    passing = [stage.link.encryption.up]
    first = [event for event in stage.events() if isinstance(event, EncryptionUp)]
    mine, ack = stage.say(CCP, REQUEST, 2, options((MPPE, STRONG)))
    assert (REQUEST, ACK) == (mine.code, ack.code)
    passing.append(stage.link.encryption.up)
    stage.say(CCP, ACK, mine.identifier, mine.data)
    passing.append(stage.link.encryption.up)
    assert [True, False, True] == passing
    again = [event for event in stage.events() if isinstance(event, EncryptionUp)]
    assert [False, True] == [event.resumed for event in first + again]


def test_a_reset_is_answered() -> None:
    """RFC 1962 4: with the same identifier; the next packet begins afresh (RFC 3078 8.2), also statelessly, where it does so anyway."""
    stage = encrypted(stateful=True)
    assert 0 == sealed(stage)[4] & 0x80
    (said,) = stage.say(CCP, RESET_REQUEST, 200)
    assert (CCP, RESET_ACK, 200, b"") == said
    assert 0x80 == sealed(stage)[4] & 0x80
    assert 0 == sealed(stage)[4] & 0x80


def test_a_reset_is_asked_for_once_a_second() -> None:
    """After a loss in stateful mode, for each packet that cannot be read, but not before the last request has had its time."""
    stage = encrypted(stateful=True)
    lost = b"\xff\x03\x00\xfd\x10\x05" + bytes(8)
    stage.frame(lost)
    (asked,) = stage.heard()
    assert (CCP, RESET_REQUEST, b"") == (*asked[:2], asked.data)
    stage.frame(lost)
    assert [] == stage.heard()
    stage.now += 1
    stage.frame(lost)
    (again,) = stage.heard()
    assert [] == stage.say(CCP, RESET_ACK, again.identifier)
    stage.frame(lost)
    assert 1 == len(stage.heard())


def test_what_the_kernel_cannot_read_is_asked_for_anew() -> None:
    """It hands such packets over, and reads no more until a Reset-Ack comes."""
    stage = scene(EncryptionSettings(required=True))
    stage.link.encryption.agree(STRENGTHS, stage.link, stage.now, inside=False)
    (request,) = stage.heard()
    stage.say(CCP, ACK, request.identifier, request.data)
    stage.say(CCP, REQUEST, 1, request.data)
    stage.frame(b"\xff\x03\x00\xfd\x90\x05" + bytes(8))
    assert [(CCP, RESET_REQUEST)] == [said[:2] for said in stage.heard()]
    assert None is stage.link.seal(Protocol.IPV6, b"\x60")


@pytest.mark.parametrize("code", [RESET_REQUEST, RESET_ACK])
def test_resets_before_the_time_mean_nothing(code: int) -> None:
    """CCP is not Opened."""
    stage, _ = asking()
    assert [] == stage.say(CCP, code, 3)


def test_an_unknown_code_is_rejected() -> None:
    """RFC 1661 5.6."""
    stage, _ = asking()
    assert [(CCP, Code.CODE_REJECT)] == [said[:2] for said in stage.say(CCP, 13, 3)]


def test_garbage_under_encryption_is_dropped() -> None:
    """Too short, or of a protocol that may not pass."""
    stage = encrypted()
    before = stage.link.counters.discarded
    for frame in ("ff0300fd", "ff0300fd90", "fd9000", "fd900100", "fd9002" + "00" * 40):
        assert None is stage.frame(bytes.fromhex(frame))
    assert 5 == stage.link.counters.discarded - before


@pytest.mark.parametrize("good", [False, True])
def test_keys_that_have_gone_apart_are_negotiated_anew(good: bool) -> None:
    """When hardly anything could be read for 5 seconds: with the new ones packets pass again. Some that cannot be read among others mean nothing."""
    stage = encrypted()
    inside = Protocol.IPV6.to_bytes(2, "big") + b"\x60" + bytes(39)
    stage.heard()
    said: list[Said] = []
    theirs = Sender(KEYS.receive, 128, stateless=True)
    for at in range(60):
        stage.frame(b"\xff\x03\x00\xfd\x10\x00" + bytes(42))
        if good and at % 10 == 0:
            assert stage.frame(b"\xff\x03\x00\xfd" + theirs.seal(inside)) is not None
        said += stage.at(stage.now + 0.1)
    requests = [one for one in said if one[:2] == (CCP, REQUEST)]
    assert bool(requests) != good
    if requests:
        stage.say(CCP, ACK, requests[-1].identifier, requests[-1].data)
        stage.say(CCP, REQUEST, 2, options((MPPE, STRONG)))
        theirs = Sender(KEYS.receive, 128, stateless=True)
    payload = stage.frame(b"\xff\x03\x00\xfd" + theirs.seal(inside))
    assert payload is not None
    assert inside[2:] == payload.octets


@pytest.mark.parametrize("stateful", [False, True])
def test_two_ends_come_together_again_after_an_outage(stateful: bool) -> None:
    """Of more packets than there are counts, in one direction: a Reset would not help either."""
    encryption = EncryptionSettings(required=True, stateful=stateful)
    server = LinkSettings(require=(Auth.MSCHAPV2,), ipv4=SERVE, encryption=encryption, echo_interval=0)
    client = LinkSettings(
        user="alice", password="pw", ipv4=Ipv4Settings(accept_local=True), encryption=encryption, echo_interval=0
    )
    both = pair(server, client)
    both.run(30.0, lambda: all(player.link.passes(Protocol.IPV4) for player in both.players))
    near, far = both.server.link, both.client.link
    packet = b"\x45" + bytes(39)
    for _ in range(5000):
        near.seal(Protocol.IPV4, packet)
    read = 0
    for at in range(1, 300):
        both.run(30.0 + at * 0.1)
        if (frame := near.seal(Protocol.IPV4, packet)) is not None:
            read += far.receive_frame(frame, both.net.now) == (Protocol.IPV4, packet)
    assert 200 < read
    assert not both.server.over
    assert not both.client.over
