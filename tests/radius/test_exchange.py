"""Requests over servers that answer, do not, or are somebody else, in virtual time."""

from __future__ import annotations

import itertools
import sys

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.config.model import Address
from l2tpd.radius import attributes as row
from l2tpd.radius.exchange import Datagram, Exchange, Outcome, Question, Server
from l2tpd.radius.numbers import Code
from l2tpd.radius.packet import decode, encode_answer
from l2tpd.radius.tally import Tally

FIRST = Server(name="first", address=Address("192.0.2.1", 1812), secret=b"one", timeout=1.0, retries=2, dead_time=30.0)
SECOND = attrs.evolve(FIRST, name="second", address=Address("192.0.2.2", 1812), secret=b"two")
LOGIN = Question(code=Code.ACCESS_REQUEST, attributes={1: (b"joe",)}, password=b"secret")
STOP = Question(code=Code.ACCOUNTING_REQUEST, attributes={40: (b"\0\0\0\2",)}, born=90.0)


def random(size: int) -> bytes:
    """Give octets that are different each time."""
    return next(_numbers).to_bytes(size, "big")


_numbers = itertools.count(1)


def exchange(*servers: Server, window: int = 1024) -> Exchange:
    return Exchange(servers or (FIRST, SECOND), random, Tally("login"), window=window)


def answer(
    machine: Exchange, sent: Datagram, now: float, secret: bytes = b"one", *, sign: bool = True
) -> list[Outcome]:
    """Let the server answer what it was sent."""
    request = decode(sent.octets)
    code = Code.ACCESS_ACCEPT if request.code == Code.ACCESS_REQUEST else Code.ACCOUNTING_RESPONSE
    octets = encode_answer(code, request, {}, secret, sign=sign)
    machine.receive_datagram(sent.source, octets, sent.address, now)
    return machine.take_outcomes()


def sent_until(machine: Exchange, end: float) -> list[tuple[float, Datagram]]:
    """Let time pass and return what was sent, and when."""
    sent: list[tuple[float, Datagram]] = []
    while (when := machine.next_timer()) is not None and when <= end:
        machine.handle_timer(when)
        sent += [(when, datagram) for datagram in machine.datagrams_to_send()]
    return sent


def test_an_answer_is_the_outcome() -> None:
    """Asked once, answered, and done."""
    machine = exchange()
    ticket = machine.ask(LOGIN, 0.0)
    (sent,) = machine.datagrams_to_send()
    (outcome,) = answer(machine, sent, 0.1)
    assert outcome.answer is not None
    assert (ticket, Code.ACCESS_ACCEPT) == (outcome.ticket, outcome.answer.code)
    assert (None, 0) == (machine.next_timer(), machine.under_way)


def test_a_request_is_repeated_word_for_word_and_then_put_to_the_next_server() -> None:
    """At 0, 1 and 3 s to the first; at 7 s, anew and under the other secret, to the second; at 14 s nobody is left (RFC 5080 2.2.1)."""
    machine = exchange()
    machine.ask(LOGIN, 0.0)
    sent = [(0.0, one) for one in machine.datagrams_to_send()] + sent_until(machine, 100.0)
    assert [0.0, 1.0, 3.0, 7.0, 8.0, 10.0] == [when for when, _ in sent]
    assert [FIRST.address] * 3 + [SECOND.address] * 3 == [datagram.address for _, datagram in sent]
    octets = [datagram.octets for _, datagram in sent]
    assert octets[0] == octets[1] == octets[2]
    assert decode(octets[3]).authenticator != decode(octets[0]).authenticator
    (outcome,) = machine.take_outcomes()
    assert (None, "192.0.2.2:1812 does not answer") == (outcome.answer, outcome.reason)


def test_a_dead_server_is_passed_over_until_its_time_is_up() -> None:
    """Who has let one wait does not let the next one wait too."""
    machine = exchange()
    machine.ask(LOGIN, 0.0)
    sent_until(machine, 7.0)
    machine.ask(LOGIN, 8.0)
    machine.ask(LOGIN, 38.0)
    assert [SECOND.address, FIRST.address] == [datagram.address for datagram in machine.datagrams_to_send()[-2:]]


def test_a_late_answer_brings_a_server_back() -> None:
    """Dead is who is silent; a single word is enough."""
    machine = exchange()
    machine.ask(LOGIN, 0.0)
    machine.ask(LOGIN, 0.9)
    early, late = machine.datagrams_to_send()
    sent_until(machine, 7.5)
    assert {("login", "first"): False, ("login", "second"): True} == machine.up(7.5)
    assert [True] == [outcome.answer is not None for outcome in answer(machine, late, 7.6)]
    assert all(machine.up(7.6).values())
    assert [] == answer(machine, early, 7.7), "this question went on to the other server"


def test_a_server_that_has_lost_one_question_is_not_dead() -> None:
    """Many came at once, and one of them was lost three times: others are answered."""
    machine = exchange()
    machine.ask(LOGIN, 0.0)
    machine.ask(LOGIN, 0.0)
    lost, other = machine.datagrams_to_send()
    answer(machine, other, 0.5)
    sent = sent_until(machine, 7.0)
    assert ([1.0, 3.0, 7.0], SECOND.address) == ([when for when, _ in sent], sent[-1][1].address)
    assert all(machine.up(7.0).values())
    assert lost.octets == sent[0][1].octets


def test_where_all_are_dead_each_is_asked_once() -> None:
    """Nobody waits long for nothing, and who has come back is found."""
    machine = exchange()
    machine.ask(LOGIN, 0.0)
    sent_until(machine, 14.0)
    machine.take_outcomes()
    machine.ask(LOGIN, 20.0)
    sent = [*machine.datagrams_to_send(), *(datagram for _, datagram in sent_until(machine, 22.0))]
    assert [FIRST.address, SECOND.address] == [datagram.address for datagram in sent]
    assert [None] == [outcome.answer for outcome in machine.take_outcomes()]


def test_answers_of_others_do_not_count() -> None:
    """From another address, to another source, under another secret, or unsigned: passed over, and the right one still counts."""
    machine = exchange()
    machine.ask(LOGIN, 0.0)
    (sent,) = machine.datagrams_to_send()
    right = encode_answer(Code.ACCESS_ACCEPT, decode(sent.octets), {}, b"one", sign=True)
    machine.receive_datagram(sent.source, right, SECOND.address, 0.1)
    machine.receive_datagram(sent.source + 1, right, sent.address, 0.1)
    machine.receive_datagram(sent.source, b"", sent.address, 0.1)
    assert [] == answer(machine, sent, 0.1, b"wrong")
    assert [] == answer(machine, sent, 0.1, sign=False)
    assert 5 == machine.tally.ignored
    assert 1 == len(answer(machine, sent, 0.2))


def test_a_wrong_secret_is_in_the_reason() -> None:
    """An operator who has mistyped it must be able to find out."""
    machine = exchange(FIRST)
    machine.ask(LOGIN, 0.0)
    (sent,) = machine.datagrams_to_send()
    answer(machine, sent, 0.1, b"wrong")
    sent_until(machine, 10.0)
    (outcome,) = machine.take_outcomes()
    assert "is the secret the same" in outcome.reason


def test_more_than_256_requests_are_under_way_at_once() -> None:
    """Each has a source and identifier of its own, and any of them can be answered."""
    machine = exchange(FIRST)
    tickets = [machine.ask(LOGIN, 0.0) for _ in range(1000)]
    sent = machine.datagrams_to_send()
    assert 1000 == len({(datagram.source, datagram.octets[1]) for datagram in sent})
    assert 3 < len({datagram.source for datagram in sent})
    found = [outcome.ticket for datagram in reversed(sent) for outcome in answer(machine, datagram, 0.5)]
    assert tickets == sorted(found)


def test_an_identifier_in_use_is_passed_over() -> None:
    """One question waits for its answer while the identifiers come round."""
    machine = exchange(FIRST, window=2)
    machine.ask(LOGIN, 0.0)
    (slow,) = machine.datagrams_to_send()
    for _ in range(256):
        machine.ask(LOGIN, 0.1)
        (sent,) = machine.datagrams_to_send()
        assert (slow.source, slow.octets[1]) != (sent.source, sent.octets[1])
        answer(machine, sent, 0.1)
    assert 1 == len(answer(machine, slow, 0.2))


def test_a_server_is_not_asked_too_much_at_once() -> None:
    """Two at a time: the third follows as soon as one of them is answered."""
    machine = exchange(FIRST, window=2)
    for _ in range(3):
        machine.ask(LOGIN, 0.0)
    first, second = machine.datagrams_to_send()
    answer(machine, first, 0.1)
    (third,) = machine.datagrams_to_send()
    assert (third.source, third.octets[1]) not in {(first.source, first.octets[1]), (second.source, second.octets[1])}
    assert 2 == len([*answer(machine, second, 0.2), *answer(machine, third, 0.2)])


def test_those_who_wait_for_a_server_that_dies_turn_to_the_next() -> None:
    """They need not find out for themselves."""
    machine = exchange(window=1)
    machine.ask(LOGIN, 0.0)
    sent_until(machine, 6.0)
    machine.ask(LOGIN, 6.0)
    sent = sent_until(machine, 7.0)
    assert [(7.0, SECOND.address)] == [(when, datagram.address) for when, datagram in sent]
    sent_until(machine, 60.0)
    assert 2 == len(machine.take_outcomes())


def test_accounting_says_how_late_it_is() -> None:
    """RFC 2866 5.2: written anew for each server; a repetition stays as it is, or it would be another request."""
    machine = exchange()
    machine.ask(STOP, 100.0)
    sent = [*machine.datagrams_to_send(), *(datagram for _, datagram in sent_until(machine, 107.0))]
    assert [10, 10, 10, 17] == [row.ACCT_DELAY_TIME.first(decode(one.octets).attributes, 0) for one in sent]


def test_a_question_that_cannot_be_put_has_an_outcome_at_once() -> None:
    """No server, or a password that does not fit."""
    machine = Exchange((), random, Tally("login"))
    machine.ask(LOGIN, 0.0)
    assert ["no server is configured"] == [outcome.reason for outcome in machine.take_outcomes()]
    machine = exchange()
    machine.ask(attrs.evolve(LOGIN, password=bytes(129)), 0.0)
    assert ["a password of more than 128 octets (RFC 2865 5.2)"] == [one.reason for one in machine.take_outcomes()]
    assert 0 == machine.under_way


def test_one_that_cannot_be_put_when_its_turn_comes_stops_nobody() -> None:
    """Its turn comes in the very moment in which it has waited for too long, since the machine was busy elsewhere."""
    machine = exchange(attrs.evolve(FIRST, retries=0), window=2)
    for _ in range(2):
        machine.ask(LOGIN, 0.0)
    answer(machine, machine.datagrams_to_send()[1], 0.5)
    machine.ask(LOGIN, 0.5)
    bad = machine.ask(attrs.evolve(LOGIN, password=bytes(129)), 0.5)
    machine.handle_timer(2.0)
    outcomes = machine.take_outcomes()
    assert 3 == len(outcomes)
    assert ["a password of more than 128 octets (RFC 2865 5.2)"] == [
        one.reason for one in outcomes if one.ticket == bad
    ]
    assert 0 == machine.under_way


def test_a_question_may_be_withdrawn() -> None:
    """Its place is free for another one; its answer is nobody's."""
    machine = exchange(FIRST, window=1)
    withdrawn = machine.ask(LOGIN, 0.0)
    waiting = machine.ask(LOGIN, 0.0)
    (sent,) = machine.datagrams_to_send()
    machine.withdraw(withdrawn, 0.1)
    machine.withdraw(withdrawn, 0.1)
    (other,) = machine.datagrams_to_send()
    assert [] == answer(machine, sent, 0.2)
    assert [waiting] == [outcome.ticket for outcome in answer(machine, other, 0.2)]


@pytest.mark.parametrize("window", [1, 3, 300])
@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=60))
def test_every_question_has_one_outcome(window: int, steps: list[tuple[int, int]]) -> None:
    """Whatever is asked, answered, lost or withdrawn, in any order: one outcome each, and nothing is left in the end."""
    machine, now = exchange(window=window), 0.0
    asked: set[int] = set()
    outcomes: list[int] = []
    sent: list[Datagram] = []
    secrets = {FIRST.address: b"one", SECOND.address: b"two"}
    for step, choice in steps:
        now += choice / 10
        if step == 0:
            asked.add(machine.ask(LOGIN, now))
        elif step == 1 and sent:
            datagram = sent[choice % len(sent)]
            outcomes += [one.ticket for one in answer(machine, datagram, now, secrets[datagram.address])]
        elif step == 2 and asked - set(outcomes):
            ticket = min(asked - set(outcomes))
            machine.withdraw(ticket, now)
            asked.discard(ticket)
        machine.handle_timer(now)
        sent += machine.datagrams_to_send()
        outcomes += [one.ticket for one in machine.take_outcomes()]
    sent_until(machine, now + 1000)
    outcomes += [one.ticket for one in machine.take_outcomes()]
    assert sorted(asked) == sorted(set(outcomes) & asked)
    assert len(outcomes) == len(set(outcomes))
    assert (0, None) == (machine.under_way, machine.next_timer())


def test_many_that_cannot_be_put_in_a_row_are_no_recursion() -> None:
    """One answer makes room for all of them, and each has its outcome."""
    machine = exchange(FIRST, window=1)
    machine.ask(LOGIN, 0.0)
    (sent,) = machine.datagrams_to_send()
    tickets = {machine.ask(attrs.evolve(LOGIN, password=bytes(200)), 0.0) for _ in range(2000)}
    outcomes = answer(machine, sent, 0.1)
    assert tickets < {outcome.ticket for outcome in outcomes}
    assert 0 == machine.under_way


def test_what_became_of_requests_is_entered() -> None:
    """By server: how often it was asked again, was silent, and answered, and how long that took since it was first asked; all begin with zero."""
    machine = exchange(attrs.evolve(FIRST, name="first"), attrs.evolve(SECOND, name="second"))
    tally = machine.tally
    assert {"accepted": 0, "rejected": 0, "challenged": 0, "silent": 0} == {
        result: number for (_, server, result), number in tally.results.items() if server == "first"
    }
    machine.ask(LOGIN, 0.0)
    machine.datagrams_to_send()
    assert {("login", "first"): True, ("login", "second"): True} == machine.up(0.0)
    sent = sent_until(machine, 8.0)
    assert (2, 1) == (tally.repeated["login", "first"], tally.results["login", "first", "silent"])
    assert {("login", "first"): False, ("login", "second"): True} == machine.up(8.0)
    when, last = sent[-1]
    answer(machine, last, when + 0.5, b"two")
    assert 1 == tally.results["login", "second", "accepted"]
    found = tally.round_trips["login", "second"]
    assert (1, 1.5) == (found.count, found.total)
    assert 0 == tally.round_trips["login", "first"].count


def test_a_server_that_dies_with_many_who_wait_is_left_once() -> None:
    """Each is told to turn away once, however many are taken for lost in the same moment: twice as many take twice the work, and not four times."""

    def work(many: int) -> int:
        machine = exchange(attrs.evolve(FIRST, retries=0), window=many)
        for _ in range(2 * many):
            machine.ask(LOGIN, 0.0)
        machine.datagrams_to_send()
        calls = itertools.count()
        sys.setprofile(lambda _frame, event, _argument: next(calls) if event == "call" else None)
        try:
            machine.handle_timer(1.0)
        finally:
            sys.setprofile(None)
        return next(calls)

    assert work(200) < 3 * work(100)
