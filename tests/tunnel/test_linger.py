"""What is left of finished tunnels (RFC 2661 5.7)."""

from __future__ import annotations

import pytest

from l2tpd.config.model import Address
from l2tpd.tunnel.dialect import V2
from l2tpd.tunnel.linger import CYCLE, STRANGERS, Lingering, Remains
from l2tpd.wire.header import ControlHeader, parse_control

PEER = Address("192.0.2.9", 1701)
LEFT = Remains(7, 9, PEER, ns=3, nr=5, dialect=V2)
COPY = b"a message"  # what it says does not matter any more


def header(ns: int, tunnel_id: int = 7) -> ControlHeader:
    return ControlHeader(tunnel_id, 0, ns, 3)


def test_a_copy_of_what_was_seen_is_acknowledged_again() -> None:
    """The ZLB goes to the peer's id and carries the numbers at which the tunnel ended."""
    kept = Lingering()
    kept.add(LEFT, 0.0)
    for ns in (4, 0, 4):
        datagram = kept.answer(header(ns), COPY, COPY, PEER, 1.0)
        assert datagram is not None
        assert ((9, 0, 3, 5), b"") == parse_control(datagram)


def test_one_more_message_in_order_is_acknowledged_too() -> None:
    """The peer's StopCCN may still have been on its way when ours was acknowledged; what comes later in order counts on."""
    kept = Lingering()
    kept.add(LEFT._replace(nr=0xFFFF), 0.0)
    seen = [parse_control(kept.answer(header(ns), COPY, COPY, PEER, 1.0) or b"")[0].nr for ns in (0xFFFF, 0, 7)]
    assert [0, 1, 1] == seen


@pytest.mark.parametrize(
    ("tunnel_id", "peer", "zlb"),
    [(8, PEER, False), (7, Address("192.0.2.9", 1702), False), (7, Address("192.0.2.8", 1701), False), (7, PEER, True)],
    ids=["another id", "another port", "another host", "a ZLB"],
)
def test_nobody_else_is_answered(tunnel_id: int, peer: Address, zlb: bool) -> None:
    """Neither strangers nor acknowledgements."""
    kept = Lingering()
    kept.add(LEFT, 0.0)
    assert kept.answer(header(4, tunnel_id), b"" if zlb else COPY, COPY, peer, 1.0) is None


def test_after_a_cycle_it_is_forgotten() -> None:
    """The id is taken for 31 seconds, and no longer."""
    kept = Lingering()
    kept.add(LEFT, 100.0)
    kept.expire(100.0 + CYCLE - 0.001)
    assert 7 in kept
    kept.expire(100.0 + CYCLE)
    assert 7 not in kept
    assert 0 == len(kept)
    assert kept.answer(header(4), COPY, COPY, PEER, 100.0 + CYCLE) is None


def test_adding_forgets_what_is_due() -> None:
    """A daemon under churn keeps no more than one cycle's worth, whoever calls `expire`."""
    kept = Lingering()
    for second in range(200):
        kept.add(LEFT._replace(local_id=second + 1), float(second))
    assert CYCLE == len(kept)


def test_a_late_message_is_answered_for_a_cycle_whoever_expires() -> None:
    """A HELLO 30.9 s after the end gets its ZLB, one after 31 s gets nothing, though nobody has called `expire`."""
    kept = Lingering()
    kept.add(LEFT, 100.0)
    assert kept.answer(header(5), COPY, COPY, PEER, 130.9) is not None
    assert kept.answer(header(6), COPY, COPY, PEER, 131.0) is None
    assert 0 == len(kept)


def test_a_caller_is_found_by_its_own_id_for_a_cycle() -> None:
    """Who never learnt our id is known by address and its own id, and forgotten with the tunnel."""
    kept = Lingering()
    kept.add(LEFT, 100.0)
    assert 7 == kept.called_by(PEER, 9, 130.9)
    assert kept.called_by(PEER, 10, 130.9) is None
    assert kept.called_by(Address("192.0.2.9", 1702), 9, 130.9) is None
    assert kept.called_by(PEER, 9, 131.0) is None
    assert 0 == len(kept)


def test_the_newest_tunnel_of_a_caller_is_the_one_that_is_found() -> None:
    """Two finished tunnels of one caller with the same id: the end of the older does not forget the newer."""
    kept = Lingering()
    kept.add(LEFT, 100.0)
    kept.add(LEFT._replace(local_id=8), 110.0)
    assert 8 == kept.called_by(PEER, 9, 110.0)
    assert 8 == kept.called_by(PEER, 9, 131.0)
    assert 1 == len(kept)
    assert kept.called_by(PEER, 9, 141.0) is None


def test_strangers_give_way_to_newer_ones() -> None:
    """Anybody can leave remains behind, so a bounded number is kept of who never came up; peers are not displaced by them."""
    kept = Lingering()
    kept.add(LEFT, 0.0)
    for number in range(3 * STRANGERS):
        kept.add(
            LEFT._replace(local_id=100 + number, peer_id=number, peer=Address("203.0.113.1", number)),
            1.0,
            stranger=True,
        )
    assert STRANGERS + 1 == len(kept)
    assert 7 in kept
    assert [False, True] == [number in kept for number in (100, 100 + 3 * STRANGERS - 1)]
    kept.expire(1.0 + CYCLE)
    assert 0 == len(kept)
    assert kept.called_by(Address("203.0.113.1", 3 * STRANGERS - 1), 3 * STRANGERS - 1, 1.0 + CYCLE) is None


def test_an_id_that_is_used_again_belongs_to_its_newest_tunnel() -> None:
    """The end of the first one's cycle is not the second one's, and the first caller is forgotten."""
    kept = Lingering()
    kept.add(LEFT, 0.0, stranger=True)
    other = Address("203.0.113.1", 1701)
    kept.add(LEFT._replace(peer=other), 10.0)
    assert kept.called_by(PEER, 9, CYCLE) is None
    assert 7 in kept
    assert 7 == kept.called_by(other, 9, CYCLE)
    kept.expire(10.0 + CYCLE)
    assert 7 not in kept
