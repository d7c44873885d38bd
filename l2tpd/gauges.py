"""The metrics: what is told to Prometheus, under which name, and how it is read from one reading of the daemon. Pure.

Theory of operation. A `Reading` is the daemon at one moment, in plain values. `METRICS` is a table: one row, one metric, with a function that picks its
samples out of a reading. So a metric can neither be forgotten when something happens nor drift from what there is: nothing is ever added up for a metric
but in the `Ledger`, which has what is over.

What takes going through every tunnel is in the `Walk`. It is done in steps, for 65,000 tunnels take a tenth of a second and other tasks want their turn.

Names: https://prometheus.io/docs/practices/naming. Every label has a bounded number of values, none of which a peer can choose.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import add, attrgetter
from typing import TYPE_CHECKING

import attrs

from l2tpd import portrait
from l2tpd.config.model import Pseudowire, Version
from l2tpd.control.views import UP
from l2tpd.histogram import Histogram
from l2tpd.ledger import OPERATIONS, Labels, Ledger, events
from l2tpd.radius import tally as radius
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.channel import ChannelStats
from l2tpd.tunnel.states import State
from l2tpd.wire.numbers import MessageType, name_of

if TYPE_CHECKING:
    from l2tpd.control.views import LimitsView
    from l2tpd.registry import Entry
    from l2tpd.tunnel.site import Counters

STRIDE = 128
"""Tunnels or sessions that are gone through in one step of a walk."""


@attrs.define(eq=False)
class Walk:
    """What is counted by going through the tunnels; `transport` begins with what tunnels that have ended had counted."""

    transport: Counter[str] = attrs.field(factory=Counter)
    tunnels: Counter[Labels] = attrs.field(factory=Counter)  # by state and version
    sessions: Counter[Labels] = attrs.field(factory=Counter)  # by state and pseudowire

    def steps(self, tunnels: Iterable[Entry]) -> Iterator[None]:
        """Go through the tunnels, a step between two looks at the clock.

        `tunnels` must be those of the moment at which `transport` was taken: one that ends meanwhile is counted here, and only here.
        """
        seen = 0
        sums = [self.transport[name] for name in _TRANSPORT]
        for tunnel in tunnels:
            core = tunnel.core
            self.tunnels[portrait.state(core), core.dialect.version.value] += 1
            sums = list(map(add, sums, _counts(core.channel.stats)))
            for call in list(core.calls.values()) if core.calls else ():
                self.sessions[portrait.session_state(call), call.settings.pseudowire.value] += 1
                seen += 1
                if seen % STRIDE == 0:
                    yield
            seen += 1
            if seen % STRIDE == 0:
                yield
        self.transport = Counter(dict(zip(_TRANSPORT, sums, strict=True)))


_TRANSPORT = tuple(field.name for field in attrs.fields(ChannelStats))
_counts = attrgetter(*_TRANSPORT)


@attrs.frozen(kw_only=True)
class Scripts:
    """The hook scripts: how many run and wait, and what became of the others."""

    running: int
    waiting: int
    fates: Mapping[str, int]


@attrs.frozen(kw_only=True)
class Reading:
    """The daemon at one moment."""

    version: str
    plane: str
    walk: Walk
    ledger: Ledger
    counters: Counters
    limits: LimitsView
    half_open: int
    drain: bool
    scripts: Scripts
    queue: int  # operations of the data plane that have not begun
    crashes: Mapping[str, int]
    lost: Mapping[str, int]  # by words of `LIMITS`
    pools: Mapping[str, int]  # addresses that are handed out, by pool
    data: Mapping[str, int]  # what the data plane counts; empty where it counts nothing
    data_age: float | None  # seconds since it was asked; None: it never answered
    radius: radius.State


class Type(enum.Enum):
    """The types of Prometheus' metrics that there are here."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


Samples = Mapping[Labels, float] | Mapping[Labels, Histogram]


@attrs.frozen
class Metric:
    """One row: `read` returns the values, in the order of `labels`."""

    name: str
    type: Type
    labels: tuple[str, ...]
    help: str
    read: Callable[[Reading], Samples]


def _each(states: Iterable[str], words: Iterable[str], found: Mapping[Labels, int]) -> Mapping[Labels, float]:
    """Return what was found, with a zero for what could have been: a series that comes and goes cannot be drawn, nor added to."""
    return {**{(state, word): 0.0 for state in states for word in words}, **found}


# A state in which nothing was ever found, such as lingering, whose tunnels are no longer listed, has no series.
_TUNNEL_STATES = (UP, "waiting", *(state.value for state in (State.WAIT_CTL_REPLY, State.WAIT_CTL_CONN, State.CLOSING)))
_SESSION_STATES = (UP, *(state.value for state in CallState if state not in {CallState.IDLE, CallState.ESTABLISHED}))
_VERSIONS = tuple(version.value for version in Version if version is not Version.AUTO)
_PSEUDOWIRES = tuple(pseudowire.value for pseudowire in Pseudowire)

SENT, RECEIVED = "sent", "received"

DROPS: tuple[tuple[str, str], ...] = (
    ("malformed", "malformed"),
    ("foreign", "foreign"),
    ("no-tunnel", "no_tunnel"),
    ("no-session", "no_session"),
    ("wrong-version", "wrong_version"),
    ("authentication", "auth_failures"),
    ("data", "data_dropped"),
    ("ignored", "ignored_messages"),
    ("crowd", "passed_over"),
)
"""Reasons for a drop, and their fields of `Counters`."""

TRANSPORT_DROPS = (("duplicate", "duplicates"), ("window", "out_of_window"), ("acknowledgement", "bad_nr"))
"""... and of `ChannelStats`."""

DATA_DROPS = (
    ("sequence", "rx_seq_discards"),
    ("cookie", "rx_cookie_discards"),
    ("invalid", "rx_invalid"),
    ("spoofed", "rx_spoofed"),
)
"""... and of what data planes count, as Linux names it."""

LIMITS: tuple[tuple[str, str], ...] = (
    ("half-open-tunnels", "displaced"),
    ("queued-messages", "overrun"),
    ("control-connections", "clients_refused"),
    ("control-requests", "lines_refused"),
    ("scrapes", "scrapes_refused"),
    ("router-questions", ""),
    ("events", ""),
    ("captured-messages", ""),
)
"""Limits at which something is lost, and their fields of `Counters`, where they have one."""

FATES = ("run", "killed", "refused", "dropped")


def _messages(reading: Reading) -> Mapping[Labels, float]:
    counters = reading.counters
    ways = ((SENT, counters.sent), (RECEIVED, counters.received))
    return {(_type(kind), way): count for way, counts in ways for kind, count in counts.items()}


def _type(kind: int) -> str:
    return name_of(MessageType, kind) if kind else "unknown"  # 0 stands for all that we do not know


def _drops(reading: Reading) -> Mapping[Labels, float]:
    found: dict[Labels, float] = {(reason,): getattr(reading.counters, field) for reason, field in DROPS}
    return found | {(reason,): reading.walk.transport[field] for reason, field in TRANSPORT_DROPS}


def _limits(reading: Reading) -> Mapping[Labels, float]:
    counted: dict[Labels, float] = {
        (word,): float(getattr(reading.counters, field)) if field else 0.0 for word, field in LIMITS
    }
    return {**counted, **_by(reading.lost)}


def _ways(unit: str) -> Callable[[Reading], Mapping[Labels, float]]:
    """Return a reader of both directions of what the data plane counts; it has no samples where there is no count."""
    ways = ((SENT, f"tx_{unit}"), (RECEIVED, f"rx_{unit}"))
    return lambda reading: {(way,): reading.data[name] for way, name in ways if name in reading.data}


def _alone(read: Callable[[Reading], float]) -> Callable[[Reading], Mapping[Labels, float]]:
    return lambda reading: {(): read(reading)}


def _words(
    words: Iterable[str], read: Callable[[Reading], Mapping[Labels, float]]
) -> Callable[[Reading], Mapping[Labels, float]]:
    """Return a reader that has a zero for each of the words."""
    zeroes: dict[Labels, float] = {(word,): 0.0 for word in words}
    return lambda reading: {**zeroes, **read(reading)}


def _gauge(name: str, labels: tuple[str, ...], text: str, read: Callable[[Reading], Mapping[Labels, float]]) -> Metric:
    return Metric(f"l2tpd_{name}", Type.GAUGE, labels, text, read)


def _counter(
    name: str, labels: tuple[str, ...], text: str, read: Callable[[Reading], Mapping[Labels, float]]
) -> Metric:
    return Metric(f"l2tpd_{name}_total", Type.COUNTER, labels, text, read)


def _histogram(
    name: str, labels: tuple[str, ...], text: str, read: Callable[[Reading], Mapping[Labels, Histogram]]
) -> Metric:
    return Metric(f"l2tpd_{name}_seconds", Type.HISTOGRAM, labels, text, read)


METRICS: tuple[Metric, ...] = (
    # the daemon
    _gauge("build_info", ("version",), "The program that runs; always 1.", lambda r: {(r.version,): 1}),
    _gauge("data_plane_info", ("plane",), "Who moves packets; always 1.", lambda r: {(r.plane,): 1}),
    _gauge("draining", (), "Whether new tunnels and sessions are refused.", _alone(lambda r: r.drain)),
    _gauge(
        "limit",
        ("limit",),
        "The limits of [system]; 0 means none.",
        lambda r: {(name,): float(limit) for name, limit in attrs.asdict(r.limits).items()},
    ),
    _counter("crashes", ("task",), "Bugs that were contained; the log has them.", lambda r: _by(r.crashes)),
    _counter("events", ("event",), "Events.", _words(events(), lambda r: r.ledger.events)),
    # tunnels and sessions
    _gauge(
        "tunnels",
        ("state", "version"),
        "Tunnels by state.",
        lambda r: _each(_TUNNEL_STATES, _VERSIONS, r.walk.tunnels),
    ),
    _gauge("half_open_tunnels", (), "Tunnels that peers are setting up.", _alone(lambda r: r.half_open)),
    _gauge(
        "sessions",
        ("state", "pseudowire"),
        "Sessions by state.",
        lambda r: _each(_SESSION_STATES, _PSEUDOWIRES, r.walk.sessions),
    ),
    _histogram(
        "tunnel_setup",
        (),
        "How long it took to set up tunnels that came up, from the first message on.",
        lambda r: {(): r.ledger.tunnel_set_up},
    ),
    _histogram(
        "session_setup",
        (),
        "How long it took to set up sessions that came up, from the first message on; the data plane included.",
        lambda r: {(): r.ledger.session_set_up},
    ),
    _counter(
        "tunnels_ended",
        ("result", "by", "was_up"),
        "Tunnels that ended, by StopCCN result code, by who said so, and whether they had been up.",
        lambda r: r.ledger.tunnel_ends,
    ),
    _counter(
        "sessions_ended",
        ("result", "by", "was_up"),
        "Sessions that ended, by CDN result code, by who said so, and whether they had been up.",
        lambda r: r.ledger.session_ends,
    ),
    _counter(
        "refused",
        ("what",),
        "Tunnels and sessions that were refused to peers.",
        lambda r: {("tunnel",): r.counters.tunnels_refused, ("session",): r.counters.sessions_refused},
    ),
    _counter(
        "limit_reached",
        ("limit",),
        "How often something was lost at a limit; LIMITS tells what.",
        _limits,
    ),
    _gauge("pool_addresses_used", ("pool",), "Addresses that are handed out.", lambda r: _by(r.pools)),
    # the control protocol
    _counter(
        "control_messages", ("type", "direction"), "Control messages, each counted once however often sent.", _messages
    ),
    _counter(
        "bad_control_messages",
        ("type",),
        "Control messages received with a fault.",
        lambda r: {(_type(kind),): float(count) for kind, count in r.counters.bad.items()},
    ),
    _counter(
        "control_retransmits",
        (),
        "Control messages that were sent again.",
        _alone(lambda r: r.walk.transport["retransmitted"]),
    ),
    _counter(
        "control_acknowledgements",
        ("direction",),
        "Packets that only acknowledged.",
        lambda r: {(SENT,): r.walk.transport["zlb_sent"], (RECEIVED,): r.walk.transport["zlb_received"]},
    ),
    _counter(
        "control_out_of_order",
        (),
        "Control messages that came early and were kept.",
        _alone(lambda r: r.walk.transport["out_of_order"]),
    ),
    _counter("dropped_packets", ("reason",), "Packets that were received and dropped by the daemon.", _drops),
    _counter(
        "unacceptable_messages",
        (),
        "Messages that were answered by ending a tunnel or session.",
        _alone(lambda r: r.counters.unacceptable),
    ),
    _counter(
        "ignored_avps", (), "AVPs that were not understood and need not be.", _alone(lambda r: r.counters.ignored_avps)
    ),
    _counter(
        "send_failures", (), "Packets that the system would not send.", _alone(lambda r: r.counters.send_failures)
    ),
    # the data plane
    _histogram(
        "data_plane_operation",
        ("operation",),
        "How long operations of the data plane took, as exact as a pass of the event loop is long; 0 where none had to be waited for.",
        lambda r: r.ledger.operations,
    ),
    _counter(
        "data_plane_operations_refused",
        ("operation",),
        "Operations that the data plane refused.",
        _words(OPERATIONS.values(), lambda r: r.ledger.refused),
    ),
    _gauge("data_plane_queue", (), "Operations of the data plane that have not begun.", _alone(lambda r: r.queue)),
    _counter("data_packets", ("direction",), "Data packets.", _ways("packets")),
    _counter("data_bytes", ("direction",), "Octets of data packets, with the header of L2TP.", _ways("bytes")),
    _counter("data_errors", ("direction",), "Data packets that failed, every discard included.", _ways("errors")),
    _counter(
        "data_discards",
        ("reason",),
        "Data packets that were received and discarded.",
        lambda r: {(reason,): r.data[name] for reason, name in DATA_DROPS if name in r.data},
    ),
    _counter(
        "data_out_of_order",
        (),
        "Data packets that were put into their place.",
        lambda r: {(): r.data["rx_oos_packets"]} if "rx_oos_packets" in r.data else {},
    ),
    _gauge(
        "data_age_seconds",
        (),
        "How old the counts of the data plane are.",
        lambda r: {} if r.data_age is None else {(): r.data_age},
    ),
    # RADIUS
    _counter(
        "radius_requests",
        ("type", "server", "result"),
        "Requests to RADIUS servers, by what came of them.",
        lambda r: _tallied(r, lambda tally: tally.results),
    ),
    _counter(
        "radius_retransmits",
        ("type", "server"),
        "Requests to RADIUS servers that were sent again.",
        lambda r: _tallied(r, lambda tally: tally.repeated),
    ),
    _histogram(
        "radius_answer",
        ("type", "server"),
        "How long RADIUS servers took to answer, from the first time that they were asked.",
        lambda r: {labels: found for tally in r.radius.tallies for labels, found in tally.round_trips.items()},
    ),
    _gauge(
        "radius_server_up",
        ("type", "server"),
        "Whether a RADIUS server is asked at present, or taken for dead.",
        lambda r: {labels: float(up) for labels, up in r.radius.up.items()},
    ),
    _gauge(
        "radius_requests_under_way",
        ("type",),
        "Requests to RADIUS servers that have no outcome yet.",
        lambda r: _by(r.radius.under_way),
    ),
    _counter(
        "radius_ignored_answers",
        ("type",),
        "Datagrams that were no answer to what RADIUS servers were asked.",
        lambda r: {(tally.kind,): tally.ignored for tally in r.radius.tallies},
    ),
    _gauge(
        "radius_spooled_records",
        (),
        "Accounting records on disk, which no RADIUS server has taken yet.",
        _alone(lambda r: r.radius.spooled),
    ),
    _gauge(
        "radius_waiting_records",
        (),
        "Accounting records in memory, which neither a RADIUS server nor the disk has taken yet.",
        _alone(lambda r: r.radius.waiting),
    ),
    _counter("radius_lost_records", (), "Accounting records that were lost.", _alone(lambda r: r.radius.lost)),
    _counter(
        "radius_dynauth_requests",
        ("type", "result"),
        "Requests to end or change sessions, by what came of them.",
        lambda r: {labels: float(number) for labels, number in r.radius.demands.items()},
    ),
    # hook scripts
    _counter(
        "scripts",
        ("fate",),
        "Hook scripts: run, of these killed for taking too long; refused; dropped.",
        _words(FATES, lambda r: _by(r.scripts.fates)),
    ),
    _gauge("scripts_running", (), "Hook scripts that run.", _alone(lambda r: r.scripts.running)),
    _gauge("scripts_waiting", (), "Events that wait for their script.", _alone(lambda r: r.scripts.waiting)),
)


def _tallied(reading: Reading, of: Callable[[radius.Tally], Mapping[tuple[str, ...], int]]) -> Mapping[Labels, float]:
    return {labels: number for tally in reading.radius.tallies for labels, number in of(tally).items()}


def _by(counts: Mapping[str, int]) -> Mapping[Labels, float]:
    return {(word,): count for word, count in counts.items()}
