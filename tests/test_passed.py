"""Which control messages a capture wants, and what it is told of them."""

from __future__ import annotations

import ipaddress

import pytest

from l2tpd.config.model import Address, Encapsulation
from l2tpd.events import Lost
from l2tpd.passed import LONGEST, Chosen, Passed, told
from l2tpd.wire import avp as table
from l2tpd.wire.header import build_control
from l2tpd.wire.messages import encode, message
from l2tpd.wire.numbers import MessageType

US, THEM = Address("192.0.2.2", 1701), Address("192.0.2.1", 40000)
SECRET = b"sesame"
ICRQ = message(
    MessageType.ICRQ,
    {table.ASSIGNED_SESSION_ID: 5, table.CALL_SERIAL_NUMBER: 6, table.CALLED_NUMBER: "5551234"},
)
OCTETS = build_control(7, 0, 1, 2, encode(ICRQ, secret=SECRET, hide=True, random=bytes))


def passed(tunnel_id: int = 7, name: str = "hq", host: str = "192.0.2.1") -> Passed:
    return Passed(1000.25, "in", OCTETS, US, Address(host, 40000), Encapsulation.UDP, tunnel_id, name, SECRET)


# --- what is wanted


def test_everything_where_nothing_is_chosen() -> None:
    """Also what belongs to no tunnel."""
    assert Chosen().wants(passed(0, ""))


def test_a_name_is_followed_from_tunnel_to_tunnel() -> None:
    """What comes for the last one when it is over has only its id; that of the one before is anybody's again."""
    chosen = Chosen(named={"hq": 7})
    assert chosen.wants(passed(7, ""))
    assert chosen.wants(passed(9, "hq"))
    assert chosen.wants(passed(9, ""))
    assert not chosen.wants(passed(7, ""))
    assert not chosen.wants(passed(8, "annex"))


def test_an_id_is_no_name() -> None:
    """Whatever the tunnel of that id is called; nothing else."""
    chosen = Chosen(ids=frozenset({7}))
    assert chosen.wants(passed(7, "hq"))
    assert not chosen.wants(passed(8, "hq"))
    assert not chosen.wants(passed(0, ""))


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("192.0.2.1", True),
        ("192.0.3.1", False),
        ("2001:db8::9", True),
        ("2001:db9::9", False),
        ("fe80::1%eth0", False),
        ("::ffff:192.0.2.1", False),
    ],
)
def test_a_peer_by_its_address(host: str, wanted: bool) -> None:
    """In one of the networks; of either family."""
    chosen = Chosen(peers=(ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32")))
    assert wanted == chosen.wants(passed(0, "", host))


def test_a_tunnel_or_a_peer() -> None:
    """One of them is enough."""
    chosen = Chosen(named={"hq": 7}, peers=(ipaddress.ip_network("192.0.2.0/24"),))
    assert chosen.wants(passed(9, "hq", "198.51.100.1"))
    assert chosen.wants(passed(0, "", "192.0.2.9"))
    assert not chosen.wants(passed(0, "", "198.51.100.1"))


# --- what is told


def test_a_message_is_told_from_its_sender_to_its_receiver() -> None:
    """Received, the peer is the source; sent, we are."""
    heard, said = (told(passed()._replace(direction=way), show_hidden=False) for way in ("in", "out"))
    assert ("in", str(THEM), str(US)) == (heard["direction"], heard["source"], heard["destination"])
    assert ("out", str(US), str(THEM)) == (said["direction"], said["source"], said["destination"])
    assert ("message", 1000.25, "udp", 7, "hq", OCTETS.hex()) == tuple(
        heard[key] for key in ("object", "time", "encap", "tunnel_id", "name", "octets")
    )


@pytest.mark.parametrize(("show", "value"), [(True, '"5551234"'), (False, "<hidden>")])
def test_hidden_avps_are_shown_only_when_asked_for(show: bool, value: str) -> None:
    """The secret itself is never told."""
    said = told(passed(), show_hidden=show)
    assert f"Called Number: {value}" in str(said["text"])
    assert "sesame" not in str(said)


def test_a_message_of_senseless_length_is_told_but_not_described() -> None:
    """Its octets are all there."""
    longest = passed()._replace(octets=OCTETS[:12] + bytes(LONGEST - 12))
    longer = longest._replace(octets=longest.octets + b"\0")
    assert str(told(longest, show_hidden=True)["text"]).startswith("control tunnel=7")
    said = told(longer, show_hidden=True)
    assert ("4097 octets, too many to be described here", longer.octets.hex()) == (said["text"], said["octets"])


def test_a_gap_is_told_by_its_length() -> None:
    """As one in the events is."""
    assert {"object": "lost", "count": 4} == told(Lost(4), show_hidden=True)
