"""Attacks on one control connection by somebody who can send it packets: nothing raises, nothing grows, nobody else is harmed."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from books import consistent
from dialogue import (
    OURS,
    PEER,
    SECRET,
    THEIRS,
    ZLB,
    Dialogue,
    called,
    cdn,
    dialled,
    hello,
    iccn,
    icrp,
    icrq,
    incoming,
    occn,
    ocrp,
    ocrq,
    reported,
    scccn,
    sccrp,
    sccrq,
    stage,
    stopccn,
    up,
    up_called,
)
from l2tpd.config.model import Address, SessionSettings
from l2tpd.session.call import State as CallState
from l2tpd.trace import Category
from l2tpd.tunnel.core import LONGEST_QUEUE
from l2tpd.tunnel.states import State
from l2tpd.wire import digest
from l2tpd.wire.avp import ACCM, CALL_ERRORS, RESULT_CODE
from l2tpd.wire.header import build_control, parse_control
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import AccmValue, CallErrors

EVERYTHING: tuple[Message, ...] = (
    sccrq(),
    sccrp(),
    scccn(),
    stopccn(),
    stopccn(tunnel_id=77),
    hello(),
    icrq(),
    icrp(),
    iccn(),
    ocrq(),
    ocrp(),
    occn(),
    cdn(),
    message(MessageType.WEN, {CALL_ERRORS: CallErrors()}),
    message(MessageType.SLI, {ACCM: AccmValue()}),
)
SCENES: tuple[Callable[[], Dialogue], ...] = (
    lambda: stage(origin="network"),
    dialled,
    called,
    up,
    up_called,
    lambda: up(secret=""),
    lambda: called(secret=SECRET),
)


# --- forged packets (no authentication after set-up) --------------------------------------------------------------------------


def test_a_scan_of_all_tunnel_ids_tears_nothing_down() -> None:
    """A blind attacker with the right addresses sends a StopCCN to every id: none is answered but the one that names our tunnel, which lives."""
    say = up()
    call = reported(say)
    body = say.peer.body(stopccn(tunnel_id=1))
    for tunnel_id in range(65_536):
        say.core.receive_datagram(build_control(tunnel_id, 0, say.peer.ns, say.peer.nr, body), PEER, 0.0)
    say.settle()
    say.us << ZLB
    say.state_is(State.ESTABLISHED)
    say.state_is(CallState.ESTABLISHED, call)
    assert 65_535 == say.site.counters.no_tunnel


@pytest.mark.parametrize("away", [2, 3, 1_000, 0x4000, 0x8000, 0xF000, 0xFFFF - 3])
def test_a_scan_of_all_sequence_numbers_changes_nothing(away: int) -> None:
    """A blind attacker tries every Ns with an Nr that is off: each packet is dropped whole, and afterwards a genuine call still comes up."""
    say = up()
    body = say.peer.body(stopccn())
    nr = (say.peer.nr + away) & 0xFFFF
    for ns in range(65_536):
        say.core.receive_datagram(build_control(OURS, 0, ns, nr, body), PEER, 0.0)
    say.settle()
    say.silent()
    assert 65_536 == say.core.channel.stats.bad_nr
    incoming(say, 500)
    reported(say, 501)
    say.at(60.0)  # nor was any of them a sign of life
    say.us << MessageType.HELLO


def test_a_scan_of_all_sequence_numbers_with_the_right_nr_tears_nothing_down() -> None:
    """Whoever guesses Nr too gets each Ns accepted once, but does not name the peer's tunnel, so its StopCCN is ignored."""
    say = up()
    body = say.peer.body(stopccn(tunnel_id=THEIRS + 1))
    for ns in range(65_536):
        say.core.receive_datagram(build_control(OURS, 0, ns, say.peer.nr, body), PEER, 0.0)
        say.core.datagrams_to_send(0.0)
        say.core.take_outputs()
    say.state_is(State.ESTABLISHED)


def test_a_forged_acknowledgement_releases_nothing() -> None:
    """An Nr beyond what was sent condemns its packet, message included; ours is repeated until the peer really has it."""
    say = up()
    call = say.open_session()
    first = say.us << MessageType.ICRQ
    for nr in (first.ns + 2, first.ns + 100, first.ns + 0x7FFF):
        say.core.receive_datagram(build_control(OURS, 0, say.peer.ns, nr & 0xFFFF, say.peer.body(stopccn())), PEER, 0.0)
    say.settle()
    say.silent()
    say.state_is(State.ESTABLISHED)
    say.peer.deaf = True
    say.at(1.0)
    repeated = say.us << MessageType.ICRQ
    assert first.ns == repeated.ns
    say.state_is(CallState.WAIT_REPLY, call)


def test_a_cdn_for_every_session_id_ends_only_what_it_names() -> None:
    """CDN to ids that are not in use end nothing and are not answered."""
    say = up_called()
    call = incoming(say)
    body = say.peer.body(cdn(1))
    for session_id in (1, 2, 3, 4711, 65_535):
        assert session_id != call.local_id
        say.core.receive_datagram(build_control(OURS, session_id, say.peer.ns, say.peer.nr, body), PEER, 0.0)
        say.peer.ns += 1
    say.settle()
    say.us << ZLB
    say.state_is(CallState.ESTABLISHED, call)


def test_another_host_cannot_speak_for_the_peer() -> None:
    """Not in any state, whatever it says, not even with all numbers right."""
    for scene in (dialled, called, up):
        for said in EVERYTHING:
            say = scene()
            before = say.core.state
            say.peer.address = Address("203.0.113.5", 1701)
            say.peer >> said
            say.silent()
            say.state_is(before)


# --- floods -------------------------------------------------------------------------------------------------------------------


def test_a_half_open_tunnel_costs_no_data_plane() -> None:
    """Nothing is asked of the plane before SCCCN, and copies of the SCCRQ are answered by something smaller than they are."""
    say = stage(origin="network")
    copy = say.peer >> sccrq()
    say.us << MessageType.SCCRP
    for _ in range(100):
        say.core.receive_datagram(copy, PEER, 0.0)
    answers = say.core.datagrams_to_send(0.0)
    assert [12] == [len(answer) for answer in answers]
    assert [] == say.plane()


def test_junk_grows_nothing() -> None:
    """Tens of thousands of random and mutated datagrams leave the memory of an established tunnel where it was."""
    say = up_called(hello_timeout=0.0)
    call = incoming(say)
    core, dice = say.core, random.Random(1)
    seeds = [build_control(OURS, 0, 9_000, 0, say.peer.body(said)) for said in EVERYTHING]

    def flood(count: int) -> None:
        for _ in range(count):
            datagram = bytearray(dice.choice(seeds))
            datagram[dice.randrange(len(datagram))] = dice.randrange(256)
            if dice.random() < 0.1:
                datagram = bytearray(dice.randbytes(dice.randrange(64)))
            if len(datagram) >= 10:
                datagram[8:10] = (9_000).to_bytes(2, "big")  # outside the window: nobody is let in by luck
            core.receive_datagram(bytes(datagram), PEER, 0.0)
            core.take_outputs()
            core.datagrams_to_send(0.0)

    flood(2_000)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        flood(20_000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 32_768
    say.state_is(State.ESTABLISHED)
    say.state_is(CallState.ESTABLISHED, call)


def test_early_messages_fill_no_more_than_the_window() -> None:
    """With a gap left open on purpose, at most one window of messages is kept."""
    say = up_called(receive_window=16)
    body = say.peer.body(hello())
    for ahead in range(1, 30_000):
        say.core.receive_datagram(build_control(OURS, 0, (say.peer.ns + ahead) & 0xFFFF, say.peer.nr, body), PEER, 0.0)
    assert 15 == say.core.channel._receiver.waiting
    say.skip()


def test_a_flood_of_calls_stops_at_the_limit() -> None:
    """Beyond `max_sessions` each ICRQ costs one CDN and leaves nothing; established calls stay."""
    say = up_called(max_sessions=10)
    calls = [incoming(say, 1_000 + index) for index in range(10)]
    for index in range(500):
        say.peer >> icrq(2_000 + index)
        say.us << MessageType.CDN
    consistent(say)
    assert all(call.state is CallState.ESTABLISHED for call in calls)
    assert 10 == len(say.core._by_peer_id)


def test_a_peer_that_asks_and_never_takes_is_sent_away() -> None:
    """It acknowledges nothing, and each ICRQ beyond the limit queues a CDN: above 4,096 of them the tunnel is closed with result 2, error 4."""
    say = up_called(max_sessions=1, hello_timeout=0.0)
    incoming(say, 500)
    core, body = say.core, say.peer.body(icrq(501))
    for count in range(1, LONGEST_QUEUE + 3):
        say.state_is(State.ESTABLISHED)
        core.receive_datagram(build_control(OURS, 0, say.peer.ns, say.peer.nr, body), PEER, 0.0)
        say.peer.ns = (say.peer.ns + 1) & 0xFFFF
        assert count == core.channel.queued
    core.receive_datagram(build_control(OURS, 0, say.peer.ns, say.peer.nr, body), PEER, 0.0)
    say.state_is(State.CLOSING)
    assert core.ending is not None
    assert (2, 4, "us") == (core.ending.result, core.ending.error, core.ending.by)
    say.peer.deaf = True
    say.settle()
    say.at(31.0)
    say.skip()
    say.state_is(State.CLOSED)
    consistent(say)


def test_a_peer_that_takes_may_ask_for_ever() -> None:
    """The same flood from a peer that acknowledges is refused call by call, and the tunnel stays."""
    say = up_called(max_sessions=1, hello_timeout=0.0)
    incoming(say, 500)
    for _ in range(2 * LONGEST_QUEUE):
        say.peer >> icrq(501)
        say.us << MessageType.CDN
    say.state_is(State.ESTABLISHED)
    assert 1 == say.core.channel.queued


# --- takeover -----------------------------------------------------------------------------------------------------------------


def test_a_fresh_sccrq_does_not_end_an_established_tunnel() -> None:
    """To tunnel 0, with other words than the first one: to this tunnel it is a copy, and merely acknowledged."""
    say = up_called()
    datagram = build_control(0, 0, 0, 0, say.peer.body(sccrq(assigned_tunnel_id=THEIRS + 1)))
    say.core.receive_datagram(datagram, PEER, 0.0)
    say.settle()
    say.us << ZLB
    say.state_is(State.ESTABLISHED)


@pytest.mark.parametrize("scene", [called, up, up_called])
def test_a_tie_is_only_lost_while_we_ask(scene: Callable[[], Dialogue]) -> None:
    """Tie breakers have no power over tunnels that are answering or established."""
    say = scene()
    before = say.core.state
    say.do(say.core.lose_tie)
    say.silent()
    say.state_is(before)


def test_a_tie_breaker_of_the_wrong_size_is_none() -> None:
    """Not mandatory and malformed, so ignored: the call is answered as one without."""
    say = stage(origin="network")
    say.peer >> say.peer.body(sccrq()) + bytes.fromhex("000a 0000 0005 00000000")
    say.us << MessageType.SCCRP


# --- the challenge --------------------------------------------------------------------------------------------------------------


def test_two_tunnels_in_opposite_roles_cannot_be_played_against_each_other() -> None:
    """The challenge of our SCCRP, reflected in an SCCRQ of its own, gets no response that would fit."""
    victim = called(secret=SECRET)
    reflected = stage(local_id=8, origin="network", site=victim.site, secret=SECRET)
    reflected.peer >> sccrq(challenge=victim.core.challenge)
    stopped = reflected.us << MessageType.STOPCCN
    assert stopped.said is not None
    assert 4 == stopped.said[RESULT_CODE].result


def test_a_response_of_another_type_does_not_fit() -> None:
    """The type octet keeps an SCCRP's response from serving as an SCCCN's."""
    say = called(secret=SECRET)
    say.peer >> scccn(
        challenge_response=digest.challenge_response(MessageType.SCCRP, SECRET.encode(), say.core.challenge)
    )
    say.us << MessageType.STOPCCN


def test_challenges_of_failed_tunnels_are_forgotten() -> None:
    """A flood of half-open tunnels does not fill the list of challenges once they are gone."""
    site = stage().site
    for number in range(1, 200):
        say = stage(local_id=number, origin="network", site=site, secret=SECRET, establish_timeout=5.0)
        say.peer >> sccrq()
        say.at(5.0)
        say.skip()
    assert set() == site.challenges


# --- hiding -------------------------------------------------------------------------------------------------------------------


def test_a_random_vector_is_never_used_twice() -> None:
    """The key stream of each message is its own (4.3)."""
    say = up(secret="", hide_avps=False)
    say.core.secret = SECRET.encode()
    say.core.settings = type(say.core.settings)(secret=SECRET, hide_avps=True)
    say.peer.secret = SECRET.encode()
    vectors = []
    for _ in range(50):
        say.core.open_session(SessionSettings(calling_number="12345"), 0.0)
        for datagram in say.core.datagrams_to_send(0.0):
            body = parse_control(datagram)[1]
            at = body.index(bytes.fromhex("8016 0000 0024"))
            vectors.append(body[at + 6 : at + 22])
            say.core.receive_datagram(
                build_control(OURS, 0, 0, (parse_control(datagram)[0].ns + 1) & 0xFFFF, b""), PEER, 0.0
            )
    assert 10 < len(vectors) == len(set(vectors))


@given(
    inner=st.binary(min_size=0, max_size=80),
    vector=st.binary(max_size=40),
    number=st.sampled_from([9, 11, 13, 14, 15, 21, 22, 33, 46]),
)
def test_hidden_rubbish_never_raises(inner: bytes, vector: bytes, number: int) -> None:
    """Whatever comes out of the cipher is judged like anything else that a peer says."""
    hidden = (0xC000 | len(inner) + 6).to_bytes(2, "big") + b"\0\0" + number.to_bytes(2, "big") + inner
    random_vector = (0x8000 | len(vector) + 6).to_bytes(2, "big") + bytes.fromhex("0000 0024") + vector
    for kind, scene in ((2, dialled), (10, up_called), (14, up_called), (4, up)):
        say = scene()
        say.core.secret = SECRET.encode()
        say.peer >> bytes.fromhex("8008 0000 0000") + kind.to_bytes(2, "big") + random_vector + hidden
        say.skip()
        consistent(say)


# --- anything, in any state ---------------------------------------------------------------------------------------------------


@given(
    st.integers(0, len(SCENES) - 1),
    st.lists(st.tuples(st.integers(0, len(EVERYTHING) - 1), st.booleans(), st.integers(0, 4)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_any_message_in_any_state_in_any_order(
    scene: int, script: list[tuple[int, bool, int]], dice: random.Random
) -> None:
    """Whole, torn or with flipped bits, to any session: the books agree after each, and the tunnel can always be ended."""
    say = SCENES[scene]()
    say.core.trace = Category.ALL
    for index, good, target in script:
        body = bytearray(say.peer.body(EVERYTHING[index]))
        if not good:
            body[dice.randrange(8, len(body)) if len(body) > 8 else 0] ^= 1 << dice.randrange(8)
            del body[dice.randrange(len(body) + 1) :]
        sessions = [0, 1, *say.core.calls]
        say.peer.say(bytes(body), session_id=sessions[target % len(sessions)])
        say.skip()
        consistent(say)
    say.close()
    say.at(say.now + 400.0)
    say.skip()
    assert say.core.state is State.CLOSED
    consistent(say)


@given(st.binary(max_size=64), st.booleans())
def test_any_octets_at_all(data: bytes, dressed: bool) -> None:
    """Bare, or as the body of a well-formed packet in order."""
    for scene in SCENES:
        say = scene()
        if dressed:
            say.peer >> data
        else:
            say.core.receive_datagram(data, PEER, 0.0)
            say.settle()
        say.skip()
        consistent(say)


# --- logs ---------------------------------------------------------------------------------------------------------------------


def test_what_a_peer_wrote_cannot_forge_a_log_line() -> None:
    """No control character of a Host Name, a number or an error message reaches a remark; nor does a response, but for raw octets on demand."""
    evil = "a\n<4>root: \x1b[2Jb\r"
    say = stage(origin="network", secret=SECRET)
    say.core.trace = Category.ALL
    say.peer >> sccrq(host_name=evil, vendor_name=evil, challenge=b"c\n")
    say.skip()
    response = digest.challenge_response(MessageType.SCCCN, SECRET.encode(), say.core.challenge)
    say.peer >> scccn(challenge_response=response)
    say.peer >> icrq(calling_number=evil, called_number=evil)
    say.peer >> stopccn(2, 6, evil)
    say.skip()
    text = "".join(remark.text for remark in say.remarks if remark.category is not Category.DATA)
    assert text.isprintable()
    assert SECRET not in text
    assert response.hex() not in text
