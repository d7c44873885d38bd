"""The books of a dialogue: whether what a control connection keeps agrees with itself and with what it told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from l2tpd.events import SessionEvent, TunnelEvent
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.states import State

if TYPE_CHECKING:
    from dialogue import Dialogue


def consistent(say: Dialogue) -> None:
    """Fail unless the books of the tunnel agree with each other: calls, ids, deadlines, challenges, the policy's count."""
    core = say.core
    assert len(core.calls) == say.policy.live
    assert not [call for call in core.calls.values() if call.state is CallState.IDLE]
    assert all(key == call.local_id for key, call in core.calls.items())
    assert 0 not in core.calls
    for peer_id, call in core._by_peer_id.items():
        assert core.calls.get(call.local_id) is call
        assert peer_id == call.peer_id != 0
    for call in core.calls.values():
        assert (call.state is not CallState.ESTABLISHED) == (call.local_id in core._deadlines)
    if core.cleared:
        assert {} == core.calls
        assert set() == say.site.challenges
        assert core.state in {State.CLOSING, State.LINGERING, State.CLOSED}
        # One deadline is left, the tunnel's: of a StopCCN that nobody takes, or of what may still have to be acknowledged (RFC 2661 5.7).
        assert (0 if core.state is State.CLOSED else 1) == len(core._deadlines)
        assert (core.state is not State.CLOSED) == (0 in core._deadlines)


def census(stages: Iterable[Dialogue]) -> None:
    """Fail unless each site has counted the calls of its dialogues as they are; these must be all that the site has."""
    told = {id(say.site): say.site.calls_by_state for say in stages}
    real: dict[int, Counter[CallState]] = {site: Counter() for site in told}
    for say in stages:
        real[id(say.site)].update(call.state for call in say.core.calls.values() if call.state is not CallState.IDLE)
    for site, counted in told.items():
        assert real[site] == {state: count for state, count in counted.items() if count}


def bookkeeping(say: Dialogue, *, failed: tuple[int, ...] = ()) -> None:
    """Fail unless each object was created once, went up at most once, down if it was up, and was deleted once, in that order.

    Every create that the data plane was asked for must have its delete, but for those ids in `failed`, which never came up there (0: the tunnel).
    A deleted tunnel takes its sessions with it.
    """
    for said in _by_object(say.history).values():
        assert said in (["created", "deleted"], ["created", "up", "down", "deleted"]), said
    open_sessions: set[int] = set()
    open_tunnel = False
    for operation in say.requests:
        match operation:
            case CreateTunnel():
                assert not open_tunnel
                open_tunnel = True
            case DeleteTunnel():
                assert open_tunnel
                open_tunnel = False
                open_sessions.clear()
            case CreateSession():
                assert open_tunnel
                assert operation.session_id not in open_sessions
                open_sessions.add(operation.session_id)
            case DeleteSession():
                open_sessions.remove(operation.session_id)
    if 0 not in failed:
        assert not open_tunnel
        assert open_sessions <= set(failed)


def _by_object(everything: list[TunnelEvent | SessionEvent]) -> dict[int, list[str]]:
    lives: dict[int, list[str]] = {}
    for event in everything:
        key = 0 if isinstance(event, TunnelEvent) else event.session_id
        lives.setdefault(key, []).append(event.what.value)
    return lives
