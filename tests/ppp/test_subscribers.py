"""Who is behind an address."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from l2tpd.errors import LocalProtocolError
from l2tpd.ppp.subscribers import Subscribers, destination, source

IPV4 = bytes.fromhex("4500001c 00000000 40110000") + ip_address("10.0.0.1").packed + ip_address("10.0.0.2").packed
IPV6 = bytes.fromhex("60000000 00000000") + ip_address("2001:db8::1").packed + ip_address("2001:db8::2").packed


def table(**owners: str) -> Subscribers[str]:
    subscribers: Subscribers[str] = Subscribers()
    for owner, prefix in owners.items():
        subscribers.add(ip_network(prefix), owner)
    return subscribers


def whose(subscribers: Subscribers[str], address: str) -> str | None:
    return subscribers.find(ip_address(address).packed)


def test_the_longest_prefix_decides() -> None:
    """A host before its network, a small network before a large one, and nobody outside all of them."""
    subscribers = table(large="10.0.0.0/8", host="10.1.0.1", small="10.1.0.0/16", six="2001:db8::/32")
    found = [whose(subscribers, address) for address in ("10.1.0.1", "10.1.0.2", "10.2.0.1", "11.0.0.1")]
    assert ["host", "small", "large", None] == found
    assert ["six", None] == [whose(subscribers, address) for address in ("2001:db8::7", "2001:db9::7")]
    assert {"large", "host", "small", "six"} == subscribers.owners()


@pytest.mark.parametrize("prefix", ["10.0.0.1", "10.0.0.0/24", "2001:db8::1", "2001:db8::/48"])
def test_a_prefix_has_one_owner(prefix: str) -> None:
    """A second one is refused, cannot take it back, and may have it afterwards."""
    subscribers = table(first=prefix)
    with pytest.raises(LocalProtocolError, match="in use"):
        subscribers.add(ip_network(prefix), "second")
    assert not subscribers.remove(ip_network(prefix), "second")
    assert subscribers.remove(ip_network(prefix), "first")
    assert not subscribers.remove(ip_network(prefix), "first")
    subscribers.add(ip_network(prefix), "second")
    assert {"second"} == subscribers.owners()


def test_a_default_route_is_a_prefix_too() -> None:
    """Of its own version of IP."""
    subscribers = table(all="0.0.0.0/0")
    assert ["all", None] == [whose(subscribers, "192.0.2.1"), whose(subscribers, "::1")]


def test_where_packets_come_from_and_go() -> None:
    """By their headers."""
    assert ["10.0.0.1", "10.0.0.2"] == [str(ip_address(found(IPV4))) for found in (source, destination)]
    assert ["2001:db8::1", "2001:db8::2"] == [
        str(ip_address(found(memoryview(IPV6)))) for found in (source, destination)
    ]


@pytest.mark.parametrize("packet", [b"", b"\x45", IPV4[:19], IPV6[:39], b"\x00" * 60, b"\xf5" * 60])
def test_what_is_no_packet_is_nobodys(packet: bytes) -> None:
    """Too short, or of a version that we do not know."""
    assert (b"", b"") == (source(packet), destination(packet))
    assert whose(table(all="0.0.0.0/0"), "10.0.0.1") == "all"
    assert table(all="0.0.0.0/0").find(source(packet)) is None
