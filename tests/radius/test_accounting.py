"""What accounting is told, in virtual time."""

from __future__ import annotations

import attrs

from l2tpd.ppp.accountant import Cause, Subscriber, Traffic
from l2tpd.radius import attributes as row
from l2tpd.radius.accounting import Books, Identity, Record
from l2tpd.radius.numbers import Status

WALL = 1_700_000_000.0


def nothing(*_: object) -> None:
    """Do as one is told, that is nothing."""


JOE = Subscriber(
    user="joe", address="10.0.0.7", tunnel_id=1, session_id=2, traffic=Traffic, disconnect=nothing, limit=nothing
)


def books(life: str = "A", interval: float = 600.0, random: float = 0.5) -> Books:
    return Books(life, lambda: Identity(identifier="lns", address="2001:db8::1"), lambda: interval, lambda: random)


def numbers(record: Record | None) -> dict[str, int]:
    """Return what a record says in numbers."""
    assert record is not None
    rows = (
        row.ACCT_STATUS_TYPE, row.ACCT_SESSION_TIME, row.ACCT_INPUT_OCTETS, row.ACCT_INPUT_GIGAWORDS, row.ACCT_OUTPUT_OCTETS,
        row.ACCT_OUTPUT_GIGAWORDS, row.ACCT_INPUT_PACKETS, row.ACCT_OUTPUT_PACKETS, row.ACCT_TERMINATE_CAUSE,
    )  # fmt: skip
    return {one.name.removeprefix("Acct-"): value for one in rows for value in one.of(record.attributes)}


def test_counters_beyond_32_bits_are_told_in_gigawords() -> None:
    """RFC 2869 5.1: how often a counter of 32 bits has wrapped."""
    ours = books()
    ours.open("k", JOE, 100.0, WALL)
    moved = Traffic(input_octets=3 << 32 | 5, output_octets=(1 << 32) - 1, input_packets=7, output_packets=8)
    assert {
        "Status-Type": Status.STOP,
        "Session-Time": 50,
        "Input-Octets": 5,
        "Input-Gigawords": 3,
        "Output-Octets": 0xFFFFFFFF,
        "Output-Gigawords": 0,
        "Input-Packets": 7,
        "Output-Packets": 8,
        "Terminate-Cause": Cause.IDLE_TIMEOUT,
    } == numbers(ours.close("k", moved, Cause.IDLE_TIMEOUT, 150.0, WALL + 50))


def test_a_start_has_no_counters_and_no_cause() -> None:
    """RFC 2866 5.3, 5.7, 5.10: these are for the end of a session."""
    record = books().open("k", JOE, 100.0, WALL)
    assert {"Status-Type": Status.START} == numbers(record)
    assert int(WALL) == row.EVENT_TIMESTAMP.first(record.attributes, 0)
    assert "2001:db8::1" == row.NAS_IPV6_ADDRESS.first(record.attributes, "")


def test_a_counter_never_goes_back() -> None:
    """An interface that is gone counts nothing: what was told already still holds."""
    ours = books()
    ours.open("k", JOE, 0.0, WALL)
    ours.interim("k", Traffic(input_octets=100, output_packets=9), 600.0, WALL)
    stop = numbers(ours.close("k", Traffic(output_octets=5), Cause.LOST_CARRIER, 700.0, WALL))
    assert (100, 5, 9) == (stop["Input-Octets"], stop["Output-Octets"], stop["Output-Packets"])


def test_identifiers_are_never_used_twice() -> None:
    """Not in this life of the daemon, nor in another one."""
    one, other = books("A"), books("B")
    assert 200 == len({book.new_key() for book in (one, other) for _ in range(100)})


def test_interims_come_in_their_interval_give_or_take_a_tenth() -> None:
    """RFC 2869 2.1: the turns of a population that came at once are spread."""
    for random, when in ((0.0, 540.0), (0.5, 600.0), (1.0, 660.0)):
        ours = books(random=random)
        ours.open("k", JOE, 0.0, WALL)
        assert when == ours.next_timer()
        assert ["k"] == ours.due(when)
        ours.interim("k", Traffic(), when, WALL)
        assert 2 * when == ours.next_timer()


def test_the_server_may_want_another_interval() -> None:
    """RFC 2869 5.16: at least a minute, whoever asks; without one, none."""
    ours = books(interval=0.0)
    ours.open("k", JOE, 0.0, WALL)
    assert ours.next_timer() is None
    ours.open("l", attrs.evolve(JOE, interim_interval=30.0), 0.0, WALL)
    assert 60.0 == ours.next_timer()
    ours.change("l", 900.0, 10.0)
    assert 910.0 == ours.next_timer()
    ours.change("l", 0.0, 10.0)
    ours.change("nobody", 60.0, 10.0)
    assert ours.next_timer() is None


def test_nobody_is_told_of_sessions_that_are_over() -> None:
    """A second end is none, and no interim follows."""
    ours = books()
    ours.open("k", JOE, 0.0, WALL)
    assert "k" in ours
    ours.close("k", Traffic(), Cause.USER_REQUEST, 1.0, WALL)
    assert ours.close("k", Traffic(), Cause.USER_REQUEST, 1.0, WALL) is None
    assert ours.interim("k", Traffic(), 1.0, WALL) is None
    assert (None, 0) == (ours.next_timer(), len(ours))


def test_what_is_known_later_is_told_from_then_on() -> None:
    """An address that came after the Start; of a session that is over, nothing is known."""
    ours = books()
    ours.open("k", attrs.evolve(JOE, address=""), 0.0, WALL)
    ours.renew("k", JOE)
    ours.renew("nobody", JOE)
    stop = ours.close("k", Traffic(), Cause.USER_REQUEST, 1.0, WALL)
    assert stop is not None
    assert "10.0.0.7" == row.FRAMED_IP_ADDRESS.first(stop.attributes, "")


def test_ipv6_is_told() -> None:
    """RFC 3162 3, RFC 4818 3, RFC 6911 3.1: what a session has, and nothing of it where there is none."""
    six = attrs.evolve(
        JOE,
        interface_id=b"12345678",
        prefix="2001:db8::/64",
        delegated_prefix="2001:db8:100::/56",
        ipv6_address="2001:db8::7",
    )
    told = books().open("k", six, 0.0, WALL).attributes
    assert ("2001:db8::/64", b"12345678") == (
        row.FRAMED_IPV6_PREFIX.first(told, ""),
        row.FRAMED_INTERFACE_ID.first(told, b""),
    )
    assert ("2001:db8:100::/56", "2001:db8::7") == (
        row.DELEGATED_IPV6_PREFIX.first(told, ""),
        row.FRAMED_IPV6_ADDRESS.first(told, ""),
    )
    assert not {96, 97, 123, 168} & books().open("k", JOE, 0.0, WALL).attributes.keys()


def test_we_say_when_we_begin_and_end() -> None:
    """RFC 2866 5.1: Accounting-On and Accounting-Off, about no session in particular."""
    ours = books()
    on, off = ours.announce(on=True, wall=WALL), ours.announce(on=False, wall=WALL)
    assert {"Status-Type": Status.ON} == numbers(on)
    assert {"Status-Type": Status.OFF, "Terminate-Cause": Cause.ADMIN_REBOOT} == numbers(off)
    assert on.key != off.key
    assert row.USER_NAME.key not in on.attributes


def test_a_class_is_given_back_and_an_unknown_address_is_not_told() -> None:
    """RFC 2865 5.25: unmodified, in every record; RFC 2865 5.4: an address or an identifier is enough."""
    ours = Books("A", lambda: Identity(identifier="lns"), lambda: 0.0, lambda: 0.5)
    record = ours.open("k", attrs.evolve(JOE, state_class=(b"a", b"\0")), 0.0, WALL)
    assert (b"a", b"\0") == row.CLASS.of(record.attributes)
    assert not {row.NAS_IP_ADDRESS.key, row.NAS_IPV6_ADDRESS.key} & record.attributes.keys()
