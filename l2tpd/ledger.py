"""What was: counts and durations of what is over by the time that somebody asks. Pure.

Everything else that the metrics tell is read from the state itself when it is asked for. A tunnel that has ended cannot be asked any more, and nobody
remembers how long its set-up took; so the daemon enters here each event, each operation of the data plane, and what a tunnel had counted when it ends.

Labels are words of ours. A number that a peer chose is kept only where an RFC assigns it, for each one becomes a time series that is kept for ever.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import TYPE_CHECKING

import attrs

from l2tpd.events import ConfigReloaded, DaemonStopping, Event, PppEvent, SessionEvent, TunnelEvent, What
from l2tpd.histogram import Histogram
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, ModifySession, Operation
from l2tpd.wire.numbers import CallResult, StopResult

if TYPE_CHECKING:
    from l2tpd.tunnel.channel import ChannelStats

Labels = tuple[str, ...]

SET_UP = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds of a set-up's duration, in seconds: from two machines side by side to the last of the default retries."""

WORK = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Bounds of an operation's duration, in seconds: the kernel creates within a millisecond, and may take fifty to delete."""

OPERATIONS: dict[type[Operation], str] = {
    CreateTunnel: "create-tunnel",
    CreateSession: "create-session",
    ModifySession: "modify-session",
    DeleteSession: "delete-session",
    DeleteTunnel: "delete-tunnel",
}

OTHER = "other"
NONE = "none"
UNTOLD = "unknown"


@attrs.define(eq=False)
class Ledger:
    """The daemon's book of what is over."""

    events: Counter[Labels] = attrs.field(factory=Counter)  # by kind
    tunnel_ends: Counter[Labels] = attrs.field(factory=Counter)  # by result, who said so, and whether it had been up
    session_ends: Counter[Labels] = attrs.field(factory=Counter)
    tunnel_set_up: Histogram = attrs.field(factory=lambda: Histogram(SET_UP))
    session_set_up: Histogram = attrs.field(factory=lambda: Histogram(SET_UP))
    operations: dict[Labels, Histogram] = attrs.field(
        factory=lambda: {(word,): Histogram(WORK) for word in OPERATIONS.values()}
    )
    refused: Counter[Labels] = attrs.field(factory=Counter)  # operations, by kind
    transport: Counter[str] = attrs.field(factory=Counter)  # what tunnels that have ended had counted

    def follow(self, event: Event, took: float | None = None) -> None:
        """Enter an event; `took` is how long it was from the first message of a set-up to this, its `up`, in seconds."""
        self.events[(_word(event),)] += 1
        if isinstance(event, TunnelEvent):
            self._follow(event, took, self.tunnel_set_up, self.tunnel_ends, StopResult)
        elif isinstance(event, SessionEvent):
            self._follow(event, took, self.session_set_up, self.session_ends, CallResult)

    def performed(self, operation: Operation, seconds: float, *, refused: bool) -> None:
        """Enter an operation of the data plane."""
        word = (OPERATIONS[type(operation)],)
        self.operations[word].observe(seconds)
        self.refused[word] += refused

    def close(self, stats: ChannelStats) -> None:
        """Enter what a tunnel has counted, once, when it counts no more."""
        self.transport.update(attrs.asdict(stats))

    def _follow(
        self,
        event: TunnelEvent | SessionEvent,
        took: float | None,
        set_up: Histogram,
        ends: Counter[Labels],
        results: type[enum.IntEnum],
    ) -> None:
        if event.what is What.UP and took is not None:
            set_up.observe(took)
        elif event.what is What.DELETED:
            ends[_result(results, event.result), event.by or UNTOLD, "yes" if event.up else "no"] += 1


def events() -> tuple[str, ...]:
    """Return the words for events."""
    things = (f"{kind}-{what.value}" for kind in ("tunnel", "session") for what in What)
    return (*things, "ppp-up", "ppp-down", "config-reloaded", "config-refused", "daemon-stopping")


def _word(event: Event) -> str:
    match event:
        case TunnelEvent():
            return f"tunnel-{event.what}"
        case SessionEvent():
            return f"session-{event.what}"
        case PppEvent():
            return f"ppp-{event.what}"
        case ConfigReloaded():
            return "config-refused" if event.problems else "config-reloaded"
        case DaemonStopping():
            return "daemon-stopping"


def _result(results: type[enum.IntEnum], number: int | None) -> str:
    if number is None:
        return NONE
    try:
        return results(number).name.lower().replace("_", "-")
    except ValueError:
        return OTHER
