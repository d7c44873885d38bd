"""Router Advertisements as octets, and when they are sent."""

from __future__ import annotations

import math

import pytest

from l2tpd.errors import Malformed
from l2tpd.ppp import advertise
from l2tpd.ppp.advertise import Notice, Schedule
from l2tpd.ppp.packet6 import ALL_NODES, ICMP, Packet

PEER = b"\xfe\x80" + bytes(13) + b"\x07"


def test_what_an_advertisement_says() -> None:
    """RFC 4861 4.2 with the options of 4.6.2, 4.6.4 and RFC 8106 5.1; the prefix is autonomous and not on-link."""
    notice = Notice(
        interval=600, mtu=1400, prefix="2001:db8::/64", valid=86400, preferred=43200, dns=("2001:db8::53",), other=True
    )
    head = "86 00 0000 40 40 0708 00000000 00000000"
    mtu = "05 01 0000 00000578"
    prefix = "03 04 40 40 00015180 0000a8c0 00000000 20010db8000000000000000000000000"
    dns = "19 03 0000 00000708 20010db8000000000000000000000053"
    assert bytes.fromhex(head + mtu + prefix + dns) == advertise.advertisement(notice)


@pytest.mark.parametrize(
    ("search", "option"),
    [
        (("example.net",), "1f 03 0000 0000000c 07 6578616d706c65 03 6e6574 00 000000"),
        (("a.bcde.", "x"), "1f 03 0000 0000000c 01 61 04 62636465 00 01 78 00 0000000000"),
    ],
)
def test_domains_to_look_names_up_in(search: tuple[str, ...], option: str) -> None:
    """RFC 8106 5.2: label by label, and zeros until it is a multiple of eight octets."""
    said = advertise.advertisement(Notice(interval=4, mtu=1280, search=search))
    assert said.endswith(bytes.fromhex(option))
    assert 0 == len(said) % 8


def test_what_there_is_not_is_not_said() -> None:
    """Neither prefix nor servers; with an address by DHCPv6 both flags are set (RFC 4861 4.2: O is redundant then)."""
    said = advertise.advertisement(Notice(interval=4, mtu=1280, managed=True))
    assert bytes.fromhex("86 00 0000 40 c0 000c 00000000 00000000 05 01 0000 00000500") == said
    assert bytes.fromhex("86 00 0000 40 00 0000 00000000 00000000") == advertise.farewell()


def test_a_prefix_of_another_length_makes_no_addresses() -> None:
    """RFC 4862 5.5.3 takes 64 bits and an identifier of 64."""
    said = advertise.advertisement(Notice(interval=600, mtu=1400, prefix="2001:db8::/60", valid=1, preferred=1))
    assert bytes((3, 4, 60, 0)) == said[24:28]


def packet(hops: int = 255, payload: bytes = b"\x85\0\0\0\0\0\0\0") -> Packet:
    return Packet(PEER, ALL_NODES, ICMP, hops, payload)


def test_solicitations() -> None:
    """RFC 4861 6.1.1: from the link, code 0, options that are whole."""
    advertise.check_solicitation(packet())
    advertise.check_solicitation(packet(payload=b"\x85" + bytes(7) + b"\x01\x01abcdef" + b"\xfd\x02" + bytes(14)))


@pytest.mark.parametrize(
    "bad",
    [
        packet(hops=254),
        packet(payload=b"\x85\1\0\0\0\0\0\0"),
        packet(payload=b"\x85" + bytes(7) + b"\x01\x00abcdef"),
        packet(payload=b"\x85" + bytes(7) + b"\x01\x02abcdef"),
        packet(payload=b"\x85" + bytes(7) + b"\x01"),
    ],
)
def test_what_is_no_solicitation(bad: Packet) -> None:
    """It is dropped in silence."""
    with pytest.raises(Malformed):
        advertise.check_solicitation(bad)


def sent(schedule: Schedule, until: float) -> list[float]:
    """Return when something is sent up to a moment."""
    times: list[float] = []
    while (when := schedule.next_timer) <= until:
        times += [when] * len(schedule.due(when))
    return times


@pytest.mark.parametrize(
    ("dice", "times"), [(1.0, [0, 16, 32, 632, 1232]), (0.0, [0, 16, 32, 230, 428, 626, 824, 1022, 1220])]
)
def test_unsolicited_ones(dice: float, times: list[float]) -> None:
    """Three with 16 seconds between them at most, then between 0.33 of the interval and the whole (RFC 4861 6.2.1, 6.2.4)."""
    schedule = Schedule(600, lambda: dice)
    assert math.inf == schedule.next_timer
    schedule.begin(0)
    assert times == pytest.approx(sent(schedule, 1240))


@pytest.mark.parametrize("dice", [0.0, 1.0])
def test_a_short_interval(dice: float) -> None:
    """It holds from the beginning, as four seconds are less than sixteen, and as it is: there have to be three between two."""
    schedule = Schedule(4, lambda: dice)
    schedule.begin(10)
    assert [10, 14, 18, 22] == sent(schedule, 25)


def test_solicitations_are_answered() -> None:
    """To whom it came from, after a random part of half a second; of many within three seconds, the first and one at their end (6.2.6)."""
    schedule = Schedule(1800, lambda: 0.5)
    schedule.begin(0)
    assert [ALL_NODES] == schedule.due(0)
    schedule.solicited(PEER, 1)
    schedule.solicited(PEER, 1.1)
    assert 1.25 == schedule.next_timer
    assert [PEER] == schedule.due(1.25)
    for tenth in range(20):
        schedule.solicited(bytes(16), 1.3 + tenth / 10)
    assert 4.25 == schedule.next_timer
    assert [] == schedule.due(4.2)
    assert [ALL_NODES] == schedule.due(4.25)  # its sender had no address
