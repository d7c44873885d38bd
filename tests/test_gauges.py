"""The table of the metrics: nothing that is counted is missing from it, and what it tells is what there is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import pytest

import l2tpd
from dialogue import PEER, Policy
from l2tpd.config.model import Pseudowire, Role, SessionSettings, TunnelSettings
from l2tpd.control.views import LimitsView
from l2tpd.gauges import METRICS, STRIDE, Reading, Scripts, Type, Walk
from l2tpd.histogram import Histogram
from l2tpd.kernel.carriage import Counters as CarriageCounters
from l2tpd.kernel.genl import COUNTERS
from l2tpd.ledger import Labels, Ledger
from l2tpd.radius.numbers import Code
from l2tpd.radius.tally import ACCOUNTING, LOGIN, State, Tally
from l2tpd.tunnel.channel import ChannelStats
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.site import Counters, Site
from l2tpd.wire.numbers import MessageType

TABLE = {metric.name: metric for metric in METRICS}
IN_MESSAGES = {"sent", "received", "old_nr"}
"""Of `ChannelStats`: the first two are told by type of message; an old Nr is nobody's fault and drops nothing."""


class Shell:
    """What a walk takes from a tunnel."""

    def __init__(self, local_id: int = 1, sessions: int = 0) -> None:
        site = Site(random=bytes, calls=Policy(), hostname="us", vendor_name="l2tpd")
        settings = TunnelSettings(max_sessions=0)
        self.core = ControlConnection(local_id, site, settings, PEER, 0.0, origin="local")
        for _ in range(sessions):
            self.core.open_session(SessionSettings(role=Role.LAC), 0.0)


def reading(**more: Any) -> Reading:
    """Return a daemon that has done nothing, but for these."""
    nothing: dict[str, Any] = {
        "version": "1.2",
        "plane": "null",
        "walk": Walk(),
        "ledger": Ledger(),
        "counters": Counters(),
        "limits": LimitsView(),
        "half_open": 0,
        "drain": False,
        "scripts": Scripts(running=0, waiting=0, fates={}),
        "queue": 0,
        "crashes": {},
        "lost": {},
        "pools": {},
        "data": {},
        "data_age": None,
        "radius": State(),
    }
    return Reading(**{**nothing, **more})


def values(of: Reading) -> dict[tuple[str, Labels], float]:
    """Return every sample; of a histogram the number of its observations."""
    return {
        (metric.name, labels): value.count if isinstance(value, Histogram) else value
        for metric in METRICS
        for labels, value in metric.read(of).items()
    }


def value(of: Reading, name: str, *labels: str) -> float:
    """Return one sample."""
    return values(of)[name, labels]


# --- the table


def test_names_are_as_prometheus_wants_them() -> None:
    """Each is there once, has our prefix and the suffix of its type, and a sentence that explains it."""
    assert len(TABLE) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"l2tpd_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.type is Type.COUNTER), metric.name
        assert metric.name.endswith("_seconds") or metric.type is not Type.HISTOGRAM, metric.name
        assert re.fullmatch(r"[A-Z].*\.|.*; .*\.", metric.help), metric.name


def test_every_sample_has_a_value_for_each_label() -> None:
    """... whatever the daemon has seen."""
    for metric in METRICS:
        for labels in metric.read(full()):
            assert len(metric.labels) == len(labels), metric.name


def test_what_is_drawn_is_there_from_the_beginning() -> None:
    """A daemon that has just started tells all states, operations, events and fates as zero, so that their rate is known when they first happen."""
    there = values(reading())
    for name, labels in (
        ("l2tpd_tunnels", ("up", "l2tpv2")),
        ("l2tpd_tunnels", ("wait-ctl-conn", "l2tpv3")),
        ("l2tpd_sessions", ("wait-plane", "eth-vlan")),
        ("l2tpd_events_total", ("tunnel-down",)),
        ("l2tpd_data_plane_operations_refused_total", ("create-session",)),
        ("l2tpd_scripts_total", ("killed",)),
        ("l2tpd_tunnel_setup_seconds", ()),
        ("l2tpd_dropped_packets_total", ("foreign",)),
    ):
        assert 0 == there[name, labels]


def test_the_manual_lists_them() -> None:
    """The table of l2tpd(8) is the program's."""
    page = Path(l2tpd.__file__).with_name("man") / "l2tpd.8.md"
    said = re.findall(r"^\| `l2tpd_.*$", page.read_text(), re.MULTILINE)
    assert [
        f"| `{row.name}` | {row.type.value} | {', '.join(f'`{label}`' for label in row.labels)} | {row.help.removesuffix('.')} |"
        for row in METRICS
    ] == said


# --- nothing is missing


def told_by_radius(numbers: Iterator[int]) -> State:
    tally = Tally(LOGIN, ignored=next(numbers))
    tally.know("one")
    tally.results[LOGIN, "one", "accepted"] = next(numbers)
    tally.repeated[LOGIN, "one"] = next(numbers)
    return State(
        tallies=(tally,),
        up={(LOGIN, "one"): True},
        under_way={LOGIN: next(numbers)},
        spooled=next(numbers),
        lost=next(numbers),
        demands={("disconnect", "done"): next(numbers)},
    )


def full() -> Reading:
    """Return a daemon every count of which is another number."""
    numbers = count(1_000)
    counters = Counters(received={1: next(numbers)}, sent={2: next(numbers)}, bad={0: next(numbers)})
    for field in attrs.fields(Counters):
        if isinstance(getattr(counters, field.name), int):
            setattr(counters, field.name, next(numbers))
    return reading(
        counters=counters,
        walk=Walk(transport=Counter({field.name: next(numbers) for field in attrs.fields(ChannelStats)})),
        data={name: next(numbers) for name in COUNTERS},
        limits=LimitsView(**{field.name: next(numbers) for field in attrs.fields(LimitsView)}),
        scripts=Scripts(running=next(numbers), waiting=next(numbers), fates={"run": next(numbers)}),
        half_open=next(numbers),
        queue=next(numbers),
        crashes={"tunnel": next(numbers)},
        lost={"events": next(numbers)},
        pools={"subscribers": next(numbers)},
        data_age=float(next(numbers)),
        radius=told_by_radius(numbers),
    )


def test_everything_that_is_counted_is_told() -> None:
    """Each count, of daemon, channels and data planes, is the value of some sample: who adds one to them adds a row here."""
    of = full()
    told = set(values(of).values())
    counted = {**attrs.asdict(of.counters), **of.data, **attrs.asdict(of.limits), **of.pools, **of.crashes, **of.lost}
    counted |= {name: number for name, number in of.walk.transport.items() if name not in IN_MESSAGES}
    counted |= {"running": of.scripts.running, "waiting": of.scripts.waiting, "run": of.scripts.fates["run"]}
    counted |= {"half_open": of.half_open, "queue": of.queue, "age": of.data_age}
    counted |= {name: number for name, number in attrs.asdict(of.radius).items() if name in {"spooled", "lost"}}
    counted |= {"under way": of.radius.under_way[LOGIN], "demands": of.radius.demands["disconnect", "done"]}
    (tally,) = of.radius.tallies
    counted |= {
        "strange": tally.ignored,
        "repeated": tally.repeated[LOGIN, "one"],
        "accepted": tally.results[LOGIN, "one", "accepted"],
    }
    missing = {name for name, number in counted.items() if isinstance(number, (int, float)) and number not in told}
    assert set() == missing
    for kinds in (of.counters.received, of.counters.sent, of.counters.bad):
        assert set(kinds.values()) <= told


def test_both_data_planes_count_the_same() -> None:
    """What is told of one is told of the other, for both count by Linux' names; only this process can see who pretends to be somebody else."""
    assert {*COUNTERS, "rx_spoofed"} == {field.name for field in attrs.fields(CarriageCounters)}


# --- what they tell


def test_messages_by_type_and_direction() -> None:
    """A type that we do not know is told as unknown, whatever its number."""
    of = reading(counters=Counters(received={0: 3, MessageType.SCCRQ: 2}, sent={MessageType.SCCRP: 2}, bad={0: 1}))
    assert 2 == value(of, "l2tpd_control_messages_total", "SCCRQ", "received")
    assert 2 == value(of, "l2tpd_control_messages_total", "SCCRP", "sent")
    assert 3 == value(of, "l2tpd_control_messages_total", "unknown", "received")
    assert 1 == value(of, "l2tpd_bad_control_messages_total", "unknown")


def test_servers_of_radius() -> None:
    """All results of a server are there from the beginning; one that is taken for dead is told as 0."""
    tally = Tally(ACCOUNTING)
    tally.know("one")
    tally.answered("one", Code.ACCOUNTING_RESPONSE, 0.002)
    of = reading(radius=State(tallies=(tally,), up={(ACCOUNTING, "one"): False}))
    assert 1 == value(of, "l2tpd_radius_requests_total", ACCOUNTING, "one", "taken")
    assert 0 == value(of, "l2tpd_radius_requests_total", ACCOUNTING, "one", "silent")
    assert 0 == value(of, "l2tpd_radius_retransmits_total", ACCOUNTING, "one")
    assert 1 == value(of, "l2tpd_radius_answer_seconds", ACCOUNTING, "one")
    assert 0 == value(of, "l2tpd_radius_server_up", ACCOUNTING, "one")


def test_a_plane_that_counts_nothing_tells_nothing() -> None:
    """No traffic and no knowledge of traffic are not the same."""
    names = [name for name, _ in values(reading()) if name.startswith("l2tpd_data_")]
    assert names
    assert all(name.startswith("l2tpd_data_plane_") for name in names)


def test_an_older_kernel_counts_less() -> None:
    """What it does not count is left out, and the rest is told."""
    of = reading(data={"tx_packets": 5, "rx_packets": 6})
    assert 5 == value(of, "l2tpd_data_packets_total", "sent")
    assert 6 == value(of, "l2tpd_data_packets_total", "received")
    assert not TABLE["l2tpd_data_bytes_total"].read(of)
    assert not TABLE["l2tpd_data_discards_total"].read(of)


# --- walks


def walked(*shells: Shell, transport: Counter[str] | None = None) -> tuple[Walk, int]:
    """Return a walk that was done, and how often others had their turn."""
    walk = Walk(transport=transport or Counter())
    return walk, sum(1 for _ in walk.steps(shells))


def test_a_walk_counts_tunnels_and_sessions() -> None:
    """By what an operator sees of them."""
    walk, _ = walked(Shell(1, sessions=3), Shell(2))
    assert {("waiting", "l2tpv2"): 2} == dict(walk.tunnels)
    assert {("wait-tunnel", Pseudowire.PPP.value): 3} == dict(walk.sessions)


@pytest.mark.parametrize(
    ("shells", "steps"),
    [((), 0), ([Shell(1)] * STRIDE, 1), ([Shell(1)] * (3 * STRIDE + 1), 3), ([Shell(1, sessions=2 * STRIDE)], 2)],
    ids=["none", "a stride", "three strides", "sessions"],
)
def test_a_walk_lets_others_have_their_turn(shells: list[Shell], steps: int) -> None:
    """Many tunnels, or many sessions in one: after each stride of them the walk stands still."""
    assert steps == walked(*shells)[1]


def test_what_ended_tunnels_had_counted_stays_counted() -> None:
    """A walk adds to it what the others have counted, so that no sum ever falls."""
    shell = Shell()
    shell.core.open(0.0)
    for now in (0.0, 1.0, 3.0):  # the first time, and two repetitions
        shell.core.handle_timer(now)
        shell.core.datagrams_to_send(now)
    walk, _ = walked(shell, transport=Counter(retransmitted=40, sent=50))
    assert 42 == value(reading(walk=walk), "l2tpd_control_retransmits_total")
    assert 51 == walk.transport["sent"]
