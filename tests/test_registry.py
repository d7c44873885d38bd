"""Which tunnels there are: look-ups and counts stay true through every coming and going."""

from __future__ import annotations

import attrs
import pytest

from dialogue import Policy, octets
from l2tpd.config.model import Address, TunnelSettings
from l2tpd.errors import LocalProtocolError
from l2tpd.events import Origin
from l2tpd.registry import Registry, source_of
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.site import Site

SITE = Site(random=octets("registry"), calls=Policy(), hostname="us", vendor_name="")
PEER = Address("192.0.2.9", 1701)
OURS = Address("192.0.2.1", 1701)


@attrs.define(eq=False)
class Entry:
    """All that the registry wants of a tunnel."""

    core: ControlConnection


def entry(
    local_id: int, peer: Address = PEER, *, name: str = "", origin: Origin = "network", profile: str = "isp"
) -> Entry:
    return Entry(
        ControlConnection(local_id, SITE, TunnelSettings(), peer, 0.0, name=name, origin=origin, profile=profile)
    )


def test_what_was_added_is_found() -> None:
    """By id and by name; the counts follow."""
    registry: Registry[Entry] = Registry()
    named, nameless = entry(1, name="t", origin="local"), entry(2)
    registry.add(named)
    registry.add(nameless)
    assert [named, nameless] == list(registry)
    assert (named, None) == (registry.named("t"), registry.named(""))
    assert ["t"] == registry.names()
    assert (2, 1) == (len(registry), registry.from_peer("isp"))


def test_what_was_removed_is_gone() -> None:
    """From every look-up and count; a second time changes nothing."""
    registry: Registry[Entry] = Registry()
    first, second = entry(1), entry(2)
    registry.add(first)
    registry.add(second)
    registry.note_caller(first, (PEER, 0))
    registry.occupy(first, (OURS, PEER))
    for _ in range(2):
        registry.remove(first)
        assert ([second], 1) == (list(registry), registry.from_peer("isp"))
        assert registry.called_by((PEER, 0)) is None
        assert registry.occupant((OURS, PEER)) is None
    registry.remove(second)
    assert (0, 0) == (len(registry), registry.from_peer("isp"))
    assert {} == registry._by_peer


def test_iteration_is_over_a_snapshot() -> None:
    """Tunnels may go while somebody goes through them."""
    registry: Registry[Entry] = Registry()
    for local_id in (1, 2, 3):
        registry.add(entry(local_id))
    for one in registry:
        registry.remove(one)
    assert 0 == len(registry)


def test_a_name_is_taken_once() -> None:
    """A second tunnel of the name is refused and leaves nothing behind, until the first frees it."""
    registry: Registry[Entry] = Registry()
    old, new = entry(1, name="t", origin="local"), entry(2, name="t", origin="local")
    registry.add(old)
    with pytest.raises(LocalProtocolError):
        registry.add(new)
    assert [old] == list(registry)
    registry.free_name(old)
    registry.add(new)
    registry.free_name(old)
    registry.remove(old)
    assert new is registry.named("t")


def test_the_newest_tunnel_of_a_caller_counts() -> None:
    """The end of an older one does not hide it."""
    registry: Registry[Entry] = Registry()
    old, new = entry(1), entry(2)
    for one in (old, new):
        registry.add(one)
        registry.note_caller(one, (PEER, 0))
    registry.remove(old)
    assert new is registry.called_by((PEER, 0))
    assert registry.called_by((PEER, 7)) is None


def test_the_newest_occupant_of_a_path_counts() -> None:
    """Likewise between two addresses and ports."""
    registry: Registry[Entry] = Registry()
    old, new = entry(1), entry(2)
    for one in (old, new):
        registry.add(one)
        registry.occupy(one, (OURS, PEER))
    registry.remove(old)
    assert new is registry.occupant((OURS, PEER))


def test_half_open_tunnels_are_counted_by_source() -> None:
    """All together and each source for itself; the oldest is known for both."""
    registry: Registry[Entry] = Registry()
    here = [entry(1), entry(2, PEER._replace(port=9))]
    there = entry(3, Address("192.0.2.10", 1701))
    for one in (there, *here):
        registry.open_half(one)
    assert (3, 2, 1, 0) == (
        registry.half_open,
        registry.half_open_from("192.0.2.9"),
        registry.half_open_from("192.0.2.10"),
        registry.half_open_from("192.0.2.11"),
    )
    assert (there, here[0]) == (registry.oldest_half_open(), registry.oldest_half_open("192.0.2.9"))
    assert registry.oldest_half_open("192.0.2.11") is None
    for _ in range(2):
        registry.close_half(here[0])
    assert here[1] is registry.oldest_half_open("192.0.2.9")
    registry.close_half(here[1])
    registry.close_half(there)
    assert 0 == registry.half_open
    assert registry.oldest_half_open() is None
    assert {} == registry._half_open_by_source


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:0:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_one_source(one: str, other: str, same: bool) -> None:
    """An IPv4 address, or the /64 from which an IPv6 host may take any address."""
    assert same is (source_of(one) == source_of(other))


def test_our_own_requests_are_known_by_host() -> None:
    """Until they are answered or over; forgetting one twice changes nothing."""
    registry: Registry[Entry] = Registry()
    first, second = entry(1, origin="local"), entry(2, origin="local")
    registry.note_calling(first, "192.0.2.9")
    registry.note_calling(second, "192.0.2.9")
    assert [first, second] == registry.calling("192.0.2.9")
    assert [] == registry.calling("192.0.2.10")
    for _ in range(2):
        registry.forget_calling(first)
        assert [second] == registry.calling("192.0.2.9")
    registry.forget_calling(second)
    assert {} == registry._calling
