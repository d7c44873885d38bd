"""RFC 3931 section 4.7: both versions on one port, and the request that either may answer; on listeners of a daemon, and in dialogues."""

from __future__ import annotations

from typing import Any

import pytest

from dialogue import ZLB, Dialogue, incoming, sccrp, sccrq, stage, stopccn
from dialogue3 import hello3, icrp3, incoming3, said3, scccn3, sccrp3, sccrq3, stopccn3
from house import Peer, house
from house3 import Peer3
from l2tpd.config.model import Pseudowire, SessionSettings, Version
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.dialect import EITHER, V2, V3
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import (
    ASSIGNED_CONTROL_CONNECTION_ID,
    ASSIGNED_COOKIE,
    ASSIGNED_TUNNEL_ID,
    CONTROL_MESSAGE_NONCE,
    REMOTE_END_ID,
    RESULT_CODE,
    TIE_BREAKER,
    RawAvp,
)
from l2tpd.wire.digest3 import Signer
from l2tpd.wire.messages import FALLBACK, Message, message
from l2tpd.wire.numbers import MessageType
from seal import Seal

SECRET = "sesame"
SEALED = Seal(Signer.of(SECRET.encode()))


def both(connection_id: int = 9) -> Message:
    """An SCCRQ that is properly formatted for both versions."""
    values = sccrq(assigned_tunnel_id=connection_id).values
    more = sccrq3(assigned_control_connection_id=connection_id).values
    return message(MessageType.SCCRQ, {**values, **more}, vocabulary=FALLBACK)


def seal() -> Seal:
    return Seal(SEALED.signer)


# --- we ask -----------------------------------------------------------------------------------------------------------------------


def asked(**settings: Any) -> Dialogue:
    """Return a dialogue in which our request for either version is out; the peer has yet to choose."""
    say = stage(dialect=EITHER, **settings)
    say.open()
    return say


def test_4_7_3_the_request_has_ver_2_and_all_avps_of_both_versions() -> None:
    """with its Ver field set to 2, and ensuring that any L2TPv3-specific AVPs in the message are sent with each M bit set to 0"."""
    core = stage(dialect=EITHER, secret=SECRET, tie_breaker=True).core
    core.open(0.0)
    (datagram,) = core.datagrams_to_send(0.0)
    assert (0xC8, 2) == (datagram[0], datagram[1])
    assert bytes(4) == datagram[4:8]
    numbers, position = {}, 12
    while position < len(datagram):
        size = int.from_bytes(datagram[position : position + 2], "big") & 0x3FF
        numbers[int.from_bytes(datagram[position + 4 : position + 6], "big")] = datagram[position] >> 7
        position += size
    assert {0, 2, 3, 7, 9} <= {number for number, mandatory in numbers.items() if mandatory}  # RFC 2661 6.1
    assert {7, 60, 61, 62} <= numbers.keys()  # 6.1
    assert {0} == {mandatory for number, mandatory in numbers.items() if number >= 58}
    assert {59, 73} <= numbers.keys()
    core.take_outputs()


@pytest.mark.parametrize("secret", ["", SECRET])
def test_4_7_3_an_answer_of_ver_3_goes_on_in_version_3(secret: str) -> None:
    """If the peer implementation is L2TPv3-capable, a control message with the Ver field set to 3 ... will be sent in response."""
    say = asked(secret=secret)
    say.us << MessageType.SCCRQ
    say.peer.speaks = V3
    say.peer >> sccrp3()
    connected = say.us << MessageType.SCCCN
    assert (V3, True if secret else None) == (say.core.dialect, connected.signed)
    say.peer >> ZLB
    incoming3(say)
    say.close()
    say.us << MessageType.STOPCCN


def test_4_7_3_an_answer_of_ver_2_goes_on_in_version_2() -> None:
    """If a message is received with the Ver field set to 2, it must be assumed that the peer implementation is L2TPv2-only."""
    say = asked()
    say.us << MessageType.SCCRQ
    say.peer.speaks = V2
    say.peer >> sccrp()
    say.us << MessageType.SCCCN
    assert V2 is say.core.dialect
    say.peer >> ZLB
    incoming(say)
    assert set() == say.site.challenges


@pytest.mark.parametrize(("speaks", "refusal"), [(V2, stopccn(5, 0x100)), (V3, stopccn3(5, 0x200))], ids=["2", "3"])
def test_4_7_3_a_refusal_of_either_version_is_understood(speaks: object, refusal: Message) -> None:
    """The peer wants neither."""
    say = asked()
    say.us << MessageType.SCCRQ
    say.peer.speaks = V2 if speaks is V2 else V3
    say.peer >> refusal
    say.us << ZLB
    say.state_is(State.LINGERING)


def test_4_7_3_no_fall_back_once_version_3_was_chosen() -> None:
    """What says Ver 2 afterwards is not the peer's."""
    say = asked()
    say.us << MessageType.SCCRQ
    say.peer.speaks = V3
    say.peer >> sccrp3()
    say.us << MessageType.SCCCN
    say.peer.speaks = V2
    say.peer >> stopccn()
    say.silent()
    say.state_is(State.ESTABLISHED)


def test_4_7_3_with_a_secret_an_unsigned_answer_of_ver_3_is_no_answer() -> None:
    """4.3 holds for it as for any other; the honest one, of the same Ver, is still taken."""
    say = asked(secret=SECRET)
    say.us << MessageType.SCCRQ
    say.peer.speaks = V3
    good, say.peer.seal = say.peer.seal, Seal()
    say.peer >> sccrp3()
    say.silent()
    say.state_is(State.WAIT_CTL_REPLY)
    say.peer.ns, say.peer.seal = 0, good
    say.peer >> sccrp3()
    say.us << MessageType.SCCCN


def test_4_7_3_with_a_secret_version_2_has_to_prove_that_it_knows_it() -> None:
    """RFC 2661 5.1.1: falling back is not a way around the secret."""
    say = asked(secret=SECRET)
    say.us << MessageType.SCCRQ
    say.peer.speaks, say.peer.seal = V2, Seal()
    say.peer >> sccrp()
    stopped = say.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert 4 == stopped.said[RESULT_CODE].result


def test_4_7_3_a_session_that_waited_is_asked_for_in_the_words_of_version_3() -> None:
    """Though it was wanted before anybody knew the version: with its Remote End ID, a tie breaker and a cookie."""
    say = asked()
    call = say.open_session(SessionSettings(remote_end_id="circuit", pseudowire=Pseudowire.ETH))
    say.us << MessageType.SCCRQ
    say.peer.speaks = V3
    say.peer >> sccrp3()
    say.us << MessageType.SCCCN
    say.peer >> ZLB
    request = (say.us << MessageType.ICRQ).said
    assert request is not None
    assert ("circuit", 8) == (request[REMOTE_END_ID], len(request[ASSIGNED_COOKIE]))
    assert TIE_BREAKER in request
    say.peer >> icrp3(call.local_id)
    say.us << MessageType.ICCN


def test_4_7_3_a_session_that_version_2_cannot_carry_is_not_asked_for() -> None:
    """An ICRQ of version 2 says PPP, whatever was meant."""
    say = asked()
    call = say.open_session(SessionSettings(pseudowire=Pseudowire.ETH))
    say.us << MessageType.SCCRQ
    say.peer.speaks = V2
    say.peer >> sccrp()
    say.us << MessageType.SCCCN
    say.peer >> ZLB
    say.silent()
    say.state_is(CallState.IDLE, call)


# --- we are asked -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["", SECRET])
async def test_4_7_2_one_port_serves_both_versions(secret: str) -> None:
    """The Ver field is used to distinguish L2TPv2 packets from L2TPv3 packets."""
    async with house(
        f'[peer.default]\nsecret = "{secret}"\n[profile.tunnel.default]\nauthentication = "none"\n'
    ) as there:
        with Peer3(there.address) as new, Peer(there.address) as old:
            new.seal = seal() if secret else Seal()
            answer = await new.ask(sccrq3(assigned_control_connection_id=0x12345678))
            assert (3, 0x12345678, MessageType.SCCRP) == (answer.version, answer.connection_id, answer.type)
            assert (True if secret else None) == answer.signed
            assert answer.said is not None
            theirs = answer.said[ASSIGNED_CONTROL_CONNECTION_ID]
            await new.throw(new.packet(scccn3(), theirs, 1, 1))
            acknowledged = await new.heard()
            assert (None, 2) == (acknowledged.type, acknowledged.nr)
            await (await old.connect(5)).alive()
            assert {Version.L2TPV2, Version.L2TPV3} == {tunnel.core.dialect.version for tunnel in there.tunnels}


@pytest.mark.parametrize("secret", ["", SECRET])
async def test_4_7_3_a_request_for_either_version_is_answered_in_version_3(secret: str) -> None:
    """To the id in its Assigned Control Connection ID; a copy of the request is answered in version 3 as well."""
    async with house(f'[peer.default]\nsecret = "{secret}"\n') as there:
        with Peer3(there.address, seal=seal() if secret else Seal()) as peer:
            request = peer.packet(both(), version=2)
            await peer.throw(request)
            answer = await peer.heard()
            assert (3, 9, MessageType.SCCRP) == (answer.version, answer.connection_id, answer.type)
            assert (True if secret else None) == answer.signed
            await peer.throw(request)
            copied = await peer.heard()
            assert (3, 9) == (copied.version, copied.connection_id)
            assert 1 == len(there.tunnels)
            assert there.the_tunnel().core.dialect is V3
            assert answer.said is not None
            assert ASSIGNED_TUNNEL_ID not in answer.said


@pytest.mark.parametrize(
    ("versions", "version", "kind"), [('["l2tpv2"]', 2, MessageType.SCCRP), ('["l2tpv3"]', 3, MessageType.SCCRP)]
)
async def test_4_7_3_a_request_for_either_version_gets_the_one_that_we_speak(
    versions: str, version: int, kind: MessageType
) -> None:
    """An implementation of one version alone takes its own AVPs and ignores the other's."""
    async with house(f"[peer.default]\nversions = {versions}\n") as there:
        with Peer3(there.address) as peer:
            answer = await peer.ask(both(), version=2)
            assert (version, kind) == (answer.version, answer.type)


@pytest.mark.parametrize(
    ("versions", "version", "error"), [('["l2tpv2"]', 3, 0x200), ('["l2tpv3"]', 2, 0x300)], ids=["3 to 2", "2 to 3"]
)
async def test_5_4_2_a_version_that_we_do_not_speak_is_refused_in_its_own_words(
    versions: str, version: int, error: int
) -> None:
    """StopCCN 5, "Error Code indicates highest version supported", in the format that the caller reads, and no state."""
    async with house(f"[peer.default]\nversions = {versions}\n") as there:
        with Peer3(there.address) as peer:
            answer = await peer.ask(sccrq3() if version == 3 else sccrq(), version=version)
            assert (version, 9, MessageType.STOPCCN) == (answer.version, answer.connection_id, answer.type)
            assert answer.said is not None
            assert (5, error) == (answer.said[RESULT_CODE].result, answer.said[RESULT_CODE].error)
            assert [] == there.tunnels


async def test_4_7_3_with_a_secret_an_offer_of_version_3_that_is_not_signed_falls_back() -> None:
    """Version 3 would not be believed; version 2 has its own challenge."""
    async with house(f'[peer.default]\nsecret = "{SECRET}"\n') as there:
        with Peer3(there.address) as peer:
            answer = await peer.ask(both(), version=2)
            assert (2, MessageType.SCCRP) == (answer.version, answer.type)


async def test_4_3_with_a_secret_a_request_without_a_digest_is_refused() -> None:
    """It is no forgery, and its sender can be told that it has to sign; nothing is kept."""
    async with house(f'[peer.default]\nsecret = "{SECRET}"\n') as there:
        with Peer3(there.address) as peer:
            answer = await peer.ask(sccrq3())
            assert (3, MessageType.STOPCCN) == (answer.version, answer.type)
            assert answer.said is not None
            assert 4 == answer.said[RESULT_CODE].result
            assert CONTROL_MESSAGE_NONCE not in answer.said
            assert [] == there.tunnels


async def test_5_4_1_a_request_with_a_wrong_digest_must_be_dropped() -> None:
    """If the calculation fails, the message MUST be dropped": nobody is told, and nothing is kept."""
    async with house(f'[peer.default]\nsecret = "{SECRET}"\n') as there:
        with Peer3(there.address, seal=Seal(Signer.of(b"another secret"))) as peer:
            await peer.throw(peer.packet(sccrq3()))
            await peer.silence()
            assert [] == there.tunnels
            assert 1 == there.counter("auth_failures")


async def test_4_3_the_refusal_of_a_request_that_was_signed_is_signed() -> None:
    """The receiver of the message MUST respond with a Message Digest AVP in all subsequent messages sent": without the nonce that the caller cannot know."""
    async with house(f'[peer.default]\nsecret = "{SECRET}"\nversions = ["l2tpv2"]\n') as there:
        with Peer3(there.address, seal=seal()) as peer:
            answer = await peer.ask(sccrq3())
            assert (MessageType.STOPCCN, True) == (answer.type, answer.signed)


@pytest.mark.parametrize("version", [2, 3])
async def test_4_7_3_all_must_be_liberal_in_accepting_avps_of_version_2_in_an_sccrq(version: int) -> None:
    """an SCCRQ control message with the Ver field set to 2 or 3 and the presence of L2TPv2-specific AVPs", "even if the M bit is set"."""
    old = [RawAvp(True, False, 0, number, b"\1\0") for number in (2, 9)]
    old += [RawAvp(True, False, 0, number, bytes(4)) for number in (3, 4)]
    request = said3(MessageType.SCCRQ, sccrq3().values, *old)
    async with house('[peer.default]\nversions = ["l2tpv3"]\n') as there:
        with Peer3(there.address) as peer:
            answer = await peer.ask(request, version=version)
            assert (3, MessageType.SCCRP) == (answer.version, answer.type)


@pytest.mark.parametrize("version", [0, 1, 4, 15])
async def test_3_2_1_other_versions_are_dropped_without_a_word(version: int) -> None:
    """Nobody there would understand an answer."""
    async with house() as there:
        with Peer3(there.address) as peer:
            packet = bytearray(peer.packet(sccrq3()))
            packet[1] = version
            await peer.throw(bytes(packet))
            await peer.silence()
            assert 1 == there.counter("wrong_version")


async def test_4_7_2_a_connection_takes_no_packet_of_the_other_version() -> None:
    """Its id may name another one there."""
    async with house() as there:
        with Peer3(there.address) as peer:
            answer = await peer.ask(sccrq3())
            assert answer.said is not None
            theirs = answer.said[ASSIGNED_CONTROL_CONNECTION_ID]
            await peer.throw(peer.packet(scccn3(), theirs, 1, 1))
            await peer.heard()
            old = V2.build(theirs & 0xFFFF, 0, 2, 1, bytes.fromhex("8008 0000 0000 0006"))
            await peer.throw(old[:4] + theirs.to_bytes(4, "big") + old[8:])
            await peer.silence()
            await peer.throw(peer.packet(hello3(), theirs, 2, 1))
            acknowledged = await peer.heard()
            assert 3 == acknowledged.nr
