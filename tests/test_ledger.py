from __future__ import annotations

import pytest

from l2tpd.events import ConfigReloaded, DaemonStopping, Event, PppEvent, SessionEvent, TunnelEvent, What
from l2tpd.kernel.ops import CreateTunnel, DeleteSession, Operation
from l2tpd.ledger import OPERATIONS, Ledger, events
from l2tpd.tunnel.channel import ChannelStats
from l2tpd.wire.numbers import CallResult, StopResult

EVERY_EVENT: tuple[Event, ...] = (
    *(TunnelEvent(what=what, tunnel_id=1) for what in What),
    *(SessionEvent(what=what, tunnel_id=1, session_id=2) for what in What),
    *(PppEvent(what=what, network="ipv4", tunnel_id=1, session_id=2) for what in (What.UP, What.DOWN)),
    ConfigReloaded(),
    ConfigReloaded(problems=("none",)),
    DaemonStopping(),
)


def test_each_event_has_its_word() -> None:
    """The words that are announced are those under which events are entered."""
    ledger = Ledger()
    for event in EVERY_EVENT:
        ledger.follow(event)
    assert {(word,): 1 for word in events()} == dict(ledger.events)


def test_how_long_a_set_up_took() -> None:
    """Only what came up was set up; where nothing was asked for nothing took time."""
    ledger = Ledger()
    ledger.follow(TunnelEvent(what=What.UP, tunnel_id=1), 0.25)
    ledger.follow(TunnelEvent(what=What.DELETED, tunnel_id=2), 9.0)
    ledger.follow(SessionEvent(what=What.UP, tunnel_id=1, session_id=1), 0.5)
    ledger.follow(SessionEvent(what=What.UP, tunnel_id=1, session_id=2))
    ledger.follow(ConfigReloaded(), 3.0)
    assert (1, 0.25) == (ledger.tunnel_set_up.count, ledger.tunnel_set_up.total)
    assert (1, 0.5) == (ledger.session_set_up.count, ledger.session_set_up.total)


@pytest.mark.parametrize(
    ("result", "word"),
    [(StopResult.NOT_AUTHORIZED, "not-authorized"), (None, "none"), (40_000, "other"), (0, "other")],
)
def test_ends_of_tunnels(result: int | None, word: str) -> None:
    """A result code that no RFC assigns is not told by its number: a peer could have as many series as it likes."""
    ledger = Ledger()
    ledger.follow(TunnelEvent(what=What.DELETED, tunnel_id=1, result=result, by="peer", up=True))
    assert {(word, "peer", "yes"): 1} == dict(ledger.tunnel_ends)


def test_ends_of_sessions() -> None:
    """Theirs are the result codes of CDN; one that nobody ended on purpose was ended by an unknown."""
    ledger = Ledger()
    ledger.follow(SessionEvent(what=What.DELETED, tunnel_id=1, session_id=1, result=CallResult.LOST_CARRIER, by="us"))
    ledger.follow(SessionEvent(what=What.DELETED, tunnel_id=1, session_id=2))
    assert {("lost-carrier", "us", "no"): 1, ("none", "unknown", "no"): 1} == dict(ledger.session_ends)


def test_every_operation_has_its_word() -> None:
    """The table knows all that a data plane can be asked for."""
    assert set(OPERATIONS) == set(Operation.__args__)


def test_operations() -> None:
    """Each kind has its durations, those that were refused included."""
    ledger = Ledger()
    ledger.performed(CreateTunnel(tunnel_id=1, peer_tunnel_id=2), 0.002, refused=False)
    ledger.performed(DeleteSession(tunnel_id=1, session_id=2), 0.03, refused=True)
    counts = {word: histogram.count for (word,), histogram in ledger.operations.items() if histogram.count}
    assert {"create-tunnel": 1, "delete-session": 1} == counts
    assert 1 == ledger.refused[("delete-session",)]
    assert 0 == ledger.refused[("create-tunnel",)]


def test_what_ended_tunnels_had_counted() -> None:
    """It is added up by name."""
    ledger = Ledger()
    names = [field.name for field in ChannelStats.__attrs_attrs__]
    for factor in (1, 10):
        ledger.close(ChannelStats(**{name: factor * number for number, name in enumerate(names)}))
    assert {name: 11 * number for number, name in enumerate(names)} == dict(ledger.transport)
