"""Requests of RFC 5176: who is heard, what is understood, and what has an effect only once."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.config.model import Address
from l2tpd.errors import Malformed
from l2tpd.ppp.accountant import Subscriber, Traffic
from l2tpd.radius import attributes as row
from l2tpd.radius.accounting import Identity
from l2tpd.radius.attributes import Attributes, Draft
from l2tpd.radius.dynauth import Changes, Client, Demand, Desk
from l2tpd.radius.numbers import Code, ErrorCause
from l2tpd.radius.packet import Packet, check_answer, encode_signed
from l2tpd.radius.roster import ACCOUNT, Roster

SECRET = b"secret"
NOW = 1_700_000_000.0
SERVER = Address("192.0.2.10", 40000)


def desk(window: float = 300.0) -> Desk:
    clients = [Client(prefix="192.0.2.0/28", secret=SECRET), Client(prefix="2001:db8::/64", secret=b"six")]
    return Desk(clients, lambda: Identity(identifier="lns", address="198.51.100.1"), window)


def draft(*, user: str = "joe", when: float = NOW) -> Draft:
    said: Draft = {}
    row.USER_NAME.put(said, user)
    row.EVENT_TIMESTAMP.put(said, int(when))
    return said


def request(
    said: Attributes, code: Code = Code.DISCONNECT_REQUEST, identifier: int = 1, secret: bytes = SECRET
) -> bytes:
    return encode_signed(code, identifier, said, secret)


def refusal(machine: Desk, octets: bytes) -> int:
    """Return the Error-Cause of the NAK that a request is answered with."""
    answer = machine.receive(octets, SERVER, NOW)
    assert isinstance(answer, bytes)
    packet = believed(octets, answer)
    assert packet.code in {Code.DISCONNECT_NAK, Code.COA_NAK}
    return row.ERROR_CAUSE.first(packet.attributes, 0)


def believed(octets: bytes, answer: bytes) -> Packet:
    """Read an answer as a server does."""
    packet = check_answer(octets, answer, SECRET, require_signature=True)
    assert packet.signed
    return packet


def test_a_disconnect_is_a_demand_and_then_an_ack() -> None:
    """Who is meant goes to the shell, which says what came of it."""
    machine, octets = desk(), request(draft())
    demand = machine.receive(octets, SERVER, NOW)
    assert isinstance(demand, Demand)
    assert ({"user": "joe"}, None) == (demand.match, demand.changes)
    assert Code.DISCONNECT_ACK == believed(octets, machine.answer(demand, None, NOW)).code


def test_a_change_carries_what_shall_hold() -> None:
    """Session-Timeout, Idle-Timeout and Acct-Interim-Interval; what is not said stays."""
    said = draft()
    row.SESSION_TIMEOUT.put(said, 60)
    row.ACCT_INTERIM_INTERVAL.put(said, 0)
    machine, octets = desk(), request(said, Code.COA_REQUEST)
    demand = machine.receive(octets, SERVER, NOW)
    assert isinstance(demand, Demand)
    assert Changes(session_timeout=60.0, interim_interval=0.0) == demand.changes
    answer = believed(octets, machine.answer(demand, ErrorCause.SESSION_CONTEXT_NOT_FOUND, NOW))
    assert (Code.COA_NAK, 503) == (answer.code, row.ERROR_CAUSE.first(answer.attributes, 0))


def test_a_repetition_has_no_second_effect_and_the_same_answer() -> None:
    """RFC 5176 2.3; while the first is being dealt with it is passed over."""
    machine, octets = desk(), request(draft())
    demand = machine.receive(octets, SERVER, NOW)
    assert isinstance(demand, Demand)
    assert machine.receive(octets, SERVER, NOW) is None
    answer = machine.answer(demand, None, NOW)
    assert answer == machine.receive(octets, SERVER, NOW + 299)


def test_what_was_overheard_is_of_no_use_later() -> None:
    """When the answer is forgotten the request is too old."""
    machine, octets = desk(), request(draft())
    demand = machine.receive(octets, SERVER, NOW)
    assert isinstance(demand, Demand)
    machine.answer(demand, None, NOW)
    for later in range(0, 2000, 7):
        assert not isinstance(machine.receive(octets, SERVER, NOW + later), Demand)


@pytest.mark.parametrize(
    ("octets", "source"),
    [
        (request(draft()), Address("192.0.2.16", 40000)),
        (request(draft()), Address("2001:db8::1", 40000)),
        (request(draft(), secret=b"wrong"), SERVER),
        (request(draft(when=NOW - 301)), SERVER),
        (request(draft(when=NOW + 301)), SERVER),
        (request({1: (b"joe",)}), SERVER),
        (request(draft(), Code.ACCOUNTING_REQUEST), SERVER),
        (b"", SERVER),
        (request(draft())[:-1], SERVER),
        (request({**draft(), 55: (b"\0",)}), SERVER),
    ],
    ids=[
        "stranger",
        "another's secret",
        "wrong secret",
        "old",
        "early",
        "timeless",
        "no request",
        "empty",
        "cut",
        "odd time",
    ],
)
def test_passed_over_in_silence(octets: bytes, source: Address) -> None:
    """Nothing tells somebody who has no right to ask that there is anybody."""
    machine = desk()
    assert machine.receive(octets, source, NOW) is None
    assert 1 == machine.counts["unknown", "ignored"]


def test_without_a_window_time_does_not_matter() -> None:
    """For servers that have no clock; repetitions still have no second effect for a while."""
    machine, octets = desk(0.0), request({1: (b"joe",)})
    demand = machine.receive(octets, SERVER, NOW)
    assert isinstance(demand, Demand)
    machine.answer(demand, None, NOW)
    assert isinstance(machine.receive(octets, SERVER, NOW + 10), bytes)
    assert isinstance(machine.receive(octets, SERVER, NOW + 1000), Demand)


def test_what_cannot_be_done_is_refused_with_a_cause() -> None:
    """RFC 5176 3.5; nothing of it has an effect."""
    machine = desk()
    stamp: Draft = {55: draft()[55]}
    assert ErrorCause.MISSING_ATTRIBUTE == refusal(machine, request(stamp))
    assert ErrorCause.MISSING_ATTRIBUTE == refusal(machine, request(draft(), Code.COA_REQUEST))
    assert ErrorCause.UNSUPPORTED_ATTRIBUTE == refusal(
        machine, request({**draft(), 11: (b"filter",)}, Code.COA_REQUEST)
    )
    assert ErrorCause.UNSUPPORTED_ATTRIBUTE == refusal(machine, request({**draft(), 27: (bytes(4),)}))
    assert ErrorCause.NAS_IDENTIFICATION_MISMATCH == refusal(machine, request({**draft(), 32: (b"other",)}))
    assert ErrorCause.NAS_IDENTIFICATION_MISMATCH == refusal(machine, request({**draft(), 4: (bytes(4),)}))
    assert ErrorCause.INVALID_ATTRIBUTE_VALUE == refusal(machine, request({**draft(), 8: (b"\x0a",)}))
    assert isinstance(machine.receive(request({**draft(), 32: (b"lns",)}), SERVER, NOW), Demand)


@given(st.binary(max_size=200))
def test_any_octets_are_survived(data: bytes) -> None:
    """Also when they are signed with the right secret and put into attributes."""
    machine = desk()
    machine.receive(data, SERVER, NOW)
    with suppress(Malformed):
        for number in (1, 8, 27, 55, 80, 26):
            machine.receive(request({**draft(), number: (data,)}, Code.COA_REQUEST), SERVER, NOW)


def subscriber(user: str, address: str, session: int) -> Subscriber:
    return Subscriber(
        user=user,
        address=address,
        tunnel_id=1,
        session_id=session,
        traffic=Traffic,
        disconnect=lambda _: None,
        limit=lambda *_: None,
    )


def test_the_roster_finds_who_is_meant() -> None:
    """All facts have to agree; by an index or by looking at each, it is the same."""
    roster = Roster()
    for number, user in enumerate(("joe", "joe", "jane")):
        roster.add(f"A-{number}", subscriber(user, f"10.0.0.{number}", number))
    assert ["A-0", "A-1"] == [account for account, _ in roster.find({"user": "joe"})]
    assert ["A-1"] == [account for account, _ in roster.find({"user": "joe", "address": "10.0.0.1"})]
    assert ["A-2"] == [account for account, _ in roster.find({"session_id": 2})]
    assert ["A-2"] == [account for account, _ in roster.find({ACCOUNT: "A-2", "user": "jane"})]
    assert [] == roster.find({ACCOUNT: "A-2", "user": "joe"})
    assert [] == roster.find({ACCOUNT: "A-7"})
    removed = roster.remove("A-0")
    assert removed is not None
    assert removed.user == "joe"
    assert roster.remove("A-0") is None
    assert ["A-1"] == [account for account, _ in roster.find({"user": "joe"})]
    assert (2, None, ["A-1", "A-2"]) == (len(roster), roster.get("A-0"), [account for account, _ in roster])


def test_requests_are_counted_by_what_came_of_them() -> None:
    """A repetition is none; what is not believed is of no kind."""
    machine, octets = desk(), request(draft())
    assert {0} == set(machine.counts.values())
    demand = machine.receive(octets, SERVER, NOW)
    assert isinstance(demand, Demand)
    machine.receive(octets, SERVER, NOW)
    machine.answer(demand, None, NOW)
    machine.receive(octets, SERVER, NOW)
    machine.receive(request(draft(), Code.COA_REQUEST), SERVER, NOW)
    machine.receive(b"", SERVER, NOW)
    assert {
        ("disconnect", "done"): 1,
        ("disconnect", "ignored"): 1,
        ("change", "refused"): 1,
        ("unknown", "ignored"): 1,
    } == {kind: count for kind, count in machine.counts.items() if count}


def test_proxy_states_that_no_answer_has_room_for() -> None:
    """A request that holds too many is passed over, and is no mistake of ours; as many as fit come back as they came."""
    machine = desk()
    room = {**draft(), row.PROXY_STATE.key: (bytes(253),) * 15 + (bytes(195),)}
    octets = request(room)
    demand = machine.receive(octets, SERVER, NOW)
    assert isinstance(demand, Demand)
    answer = believed(octets, machine.answer(demand, ErrorCause.SESSION_CONTEXT_NOT_FOUND, NOW))
    assert room[row.PROXY_STATE.key] == answer.attributes[row.PROXY_STATE.key]
    stamp: Draft = {row.EVENT_TIMESTAMP.key: draft()[row.EVENT_TIMESTAMP.key]}
    assert (
        machine.receive(request({**stamp, row.PROXY_STATE.key: (bytes(253),) * 15 + (bytes(220),)}), SERVER, NOW)
        is None
    )
    assert 1 == machine.counts["unknown", "ignored"]
