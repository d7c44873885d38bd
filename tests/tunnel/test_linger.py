"""What is left of finished tunnels (RFC 2661 5.7)."""

from __future__ import annotations

import pytest

from l2tpd.config.model import Address
from l2tpd.tunnel.linger import CYCLE, Lingering, Remains
from l2tpd.wire.header import ControlHeader, parse_control

PEER = Address("192.0.2.9", 1701)
LEFT = Remains(7, 9, PEER, ns=3, nr=5)


def header(ns: int, tunnel_id: int = 7) -> ControlHeader:
    return ControlHeader(tunnel_id, 0, ns, 3)


def test_a_copy_of_what_was_seen_is_acknowledged_again() -> None:
    """The ZLB goes to the peer's id and carries the numbers at which the tunnel ended."""
    kept = Lingering()
    kept.add(LEFT, 0.0)
    for ns in (4, 0, 4):
        datagram = kept.answer(header(ns), PEER, zlb=False)
        assert datagram is not None
        assert ((9, 0, 3, 5), b"") == parse_control(datagram)


def test_one_more_message_in_order_is_acknowledged_too() -> None:
    """The peer's StopCCN may still have been on its way when ours was acknowledged; what comes later in order counts on."""
    kept = Lingering()
    kept.add(LEFT._replace(nr=0xFFFF), 0.0)
    seen = [parse_control(kept.answer(header(ns), PEER, zlb=False) or b"")[0].nr for ns in (0xFFFF, 0, 7)]
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
    assert kept.answer(header(4, tunnel_id), peer, zlb=zlb) is None


def test_after_a_cycle_it_is_forgotten() -> None:
    """The id is taken for 31 seconds, and no longer."""
    kept = Lingering()
    kept.add(LEFT, 100.0)
    kept.expire(100.0 + CYCLE - 0.001)
    assert 7 in kept
    kept.expire(100.0 + CYCLE)
    assert 7 not in kept
    assert 0 == len(kept)
    assert kept.answer(header(4), PEER, zlb=False) is None


def test_adding_forgets_what_is_due() -> None:
    """A daemon under churn keeps no more than one cycle's worth, whoever calls `expire`."""
    kept = Lingering()
    for second in range(200):
        kept.add(LEFT._replace(local_id=second + 1), float(second))
    assert CYCLE == len(kept)
