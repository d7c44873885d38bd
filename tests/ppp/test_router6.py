"""The router at our end of a link: what it takes, and what it says."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import attrs
import pytest

from l2tpd.ppp import delegation, dhcp6, packet6
from l2tpd.ppp.dhcp6 import Code, Kind, Message, Option
from l2tpd.ppp.router6 import QUESTIONS, Router, Terms
from l2tpd.ppp.uplink import Uplink

US, PEER = b"\xfe\x80" + bytes(13) + b"\x01", b"\xfe\x80" + bytes(13) + b"\x02"
ROUTERS, SERVERS = b"\xff\x02" + bytes(13) + b"\x02", b"\xff\x02" + bytes(10) + b"\0\x01\0\x02"
SOLICITATION = b"\x85" + bytes(7)
TERMS = Terms(
    identifier=US[8:], mtu=1400, interval=600, lifetime=600, prefix="2001:db8::/64", delegated="2001:db8:1::/56"
)
ASK = dhcp6.build(Message(Kind.SOLICIT, b"abc", (Option(Code.CLIENT_ID, b"client"),)))


def router(**said: Any) -> Router:
    return Router(attrs.evolve(TERMS, **said), delegation.server_duid(b""), lambda: 0.0)


def dhcp(payload: bytes = ASK, source: bytes = PEER, destination: bytes = SERVERS) -> bytes:
    """Return a packet from the client's port to the server's."""
    packet = packet6.udp(source, destination, payload)
    return packet[:40] + packet[42:44] + packet[40:42] + packet[44:]  # the sum of both ports is what it was


def test_it_advertises() -> None:
    """At once, from our link-local address to all on the link, and then at its timer."""
    one = router()
    one.begin(0)
    (packet,) = (packet6.parse(octets) for octets in one.packets_to_send())
    assert (US, packet6.ALL_NODES, packet6.ICMP, 255, 134) == (*packet[:4], packet.payload[0])
    assert [] == one.packets_to_send()
    one.handle_timer(one.next_timer)
    assert 1 == len(one.packets_to_send())
    farewell = packet6.parse(one.farewell()).payload
    assert (134, b"\0\0") == (farewell[0], farewell[6:8])


def test_it_answers_a_solicitation() -> None:
    """To whoever asks."""
    one = router()
    solicitation = packet6.icmp(PEER, ROUTERS, SOLICITATION)
    assert one.takes(solicitation)
    assert one.receive(solicitation, 1.0)
    one.handle_timer(1.0)
    (packet,) = one.packets_to_send()
    assert PEER == packet6.parse(packet).destination


def test_it_answers_dhcp() -> None:
    """From the server's port to the client's."""
    one, asked = router(), dhcp()
    assert one.takes(asked)
    assert one.receive(asked, 0)
    (packet,) = (packet6.parse(octets) for octets in one.packets_to_send())
    assert (US, PEER, packet6.UDP, b"\x02\x23\x02\x22") == (*packet[:3], packet.payload[:4])
    assert Kind.ADVERTISE == dhcp6.parse(packet6.udp_payload(packet)).kind


def test_what_makes_no_sense() -> None:
    """It is told so, and nothing is said: a wrong checksum, half a message."""
    one = router()
    broken = bytearray(packet6.icmp(PEER, ROUTERS, SOLICITATION))
    broken[42] ^= 1
    assert [False, False] == [one.receive(octets, 0) for octets in (bytes(broken), dhcp(b"\1"))]
    assert [] == one.packets_to_send()


@pytest.mark.parametrize("source", [b"\x20\x01\x0d\xb8" + bytes(12), bytes(16)])
def test_dhcp_from_beyond_the_link(source: bytes) -> None:
    """RFC 8415 13.1 wants a link-local address; no answer goes anywhere else."""
    one = router()
    assert one.receive(dhcp(source=source), 0)
    assert [] == one.packets_to_send()


def test_with_nothing_to_offer_dhcp_is_left_to_others() -> None:
    """A solicitation is not."""
    one = router(delegated="")
    assert [True, False] == [one.takes(octets) for octets in (packet6.icmp(PEER, ROUTERS, SOLICITATION), dhcp())]


def test_a_peer_that_asks_faster_than_it_is_answered() -> None:
    """Twenty questions in a second are heard, of whatever kind, and each second anew."""
    one = router()
    heard = [sum(one.receive(dhcp(), now) for _ in range(100)) for now in (0.0, 0.9, 1.0)]
    assert [20, 0, 20] == heard
    assert 40 == len(one.packets_to_send())
    assert 260 == one.lost
    assert not one.receive(packet6.icmp(PEER, ROUTERS, SOLICITATION), 1.5)


def test_it_has_no_time_for_who_asks_for_too_much() -> None:
    """What is longer than any question, or asks for more than fits into a packet on this link, is dropped; and others are answered as before."""
    one = router()
    for number in (3800, 80):
        wanted = (Option(Code.IA_PD, bytes(12)) for _ in range(number))
        asked = dhcp(dhcp6.build(Message(Kind.SOLICIT, b"abc", (Option(Code.CLIENT_ID, b"client"), *wanted))))
        assert one.takes(asked)
        assert not one.receive(asked, 1.0)
        assert [] == one.packets_to_send()
    assert one.receive(dhcp(), 1.0)
    assert 1 == len(one.packets_to_send())
    assert 1 == one.lost


def test_what_all_subscribers_lose_is_counted_together() -> None:
    """What one asks too often adds to what others did, and what makes no sense does not count."""

    class Wire:
        def emit(self, packet: bytes, owner: object) -> None:
            del packet, owner

    lost, nobody, wire = Counter[str](), cast("Any", None), cast("Any", Wire())
    for count in (QUESTIONS + 3, QUESTIONS + 4, 1):
        uplink = Uplink(gate=nobody, carrier=wire, duid=b"", lost=lost)
        uplink._router = router()
        for _ in range(count):
            uplink.ask(dhcp(b"senseless" if count == 1 else ASK), nobody, 0.0)
    assert Counter({"router-questions": 7}) == lost
