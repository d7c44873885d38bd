"""What others can make the daemon keep is bounded: the table of l2tpd(8), LIMITS, is that of the program, and each row is driven to its limit by a test."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import attrs
import pytest

import l2tpd
from dialogue import OURS, PEER, hello, up_called
from hostile.test_attacks import named
from house import Peer, house
from l2tpd import bus, gauges, ids, log, metrics, scripts
from l2tpd.config.load import parse
from l2tpd.config.model import Address, System, TunnelSettings
from l2tpd.control import jsonrpc, server
from l2tpd.events import DaemonStopping
from l2tpd.kernel import adapter, overhear, reorder, tuntap
from l2tpd.ppp import link, pool, router6
from l2tpd.radius import attributes as row
from l2tpd.radius import client, dynauth, exchange, spool
from l2tpd.radius.accounting import Identity, Record
from l2tpd.radius.attributes import Draft
from l2tpd.radius.dynauth import Client
from l2tpd.radius.numbers import Code, Status
from l2tpd.radius.packet import encode_signed
from l2tpd.tunnel import core, crowd, endpoint, linger
from l2tpd.wire import messages
from l2tpd.wire.header import build_control

RING = 1000
CORE = "hostile/test_core_attacks.py::"

BOUNDS: Mapping[str, tuple[object, str]] = {
    "half-open tunnels": ("max_half_open", "tunnel/test_endpoint.py::test_the_oldest_half_open_goes"),
    "half-open tunnels of a source": (
        "max_half_open_per_source",
        "tunnel/test_endpoint.py::test_a_source_displaces_only_its_own",
    ),
    "requests for a tunnel in a crowd": (crowd.PLACES, "tunnel/test_crowd.py::test_it_does_not_grow"),
    "requests that the sockets of tunnels took": (
        endpoint.MOST_STRAYS,
        "hostile/test_floods.py::test_a_stray_waits_its_turn",
    ),
    "octets of a request for a tunnel": (
        endpoint.LARGEST_REQUEST,
        "tunnel/test_endpoint.py::test_a_request_of_unreasonable_size_is_dropped",
    ),
    "refusals of requests": (int(endpoint.REFUSALS), "tunnel/test_endpoint.py::test_refusals_have_a_rate_limit"),
    "tunnels": ("max_tunnels", "tunnel/test_endpoint.py::test_limits"),
    "ended tunnels of strangers that still acknowledge": (
        linger.STRANGERS,
        "tunnel/test_linger.py::test_strangers_give_way_to_newer_ones",
    ),
    "identifiers of strangers that rest": (ids.STRANGERS, "test_ids.py::test_strangers_cannot_use_the_ids_up"),
    "sessions": ("max_sessions", CORE + "test_a_flood_of_calls_stops_at_the_limit"),
    "control messages that came early": (
        "receive_window",
        CORE + "test_early_messages_fill_no_more_than_the_window",
    ),
    "octets of one of these": (core.LARGEST_EARLY, "hostile/test_bounds.py::test_a_large_early_message_is_not_kept"),
    "control messages that wait for the peer": (
        core.LONGEST_QUEUE,
        CORE + "test_a_peer_that_asks_and_never_takes_is_sent_away",
    ),
    "notes on a message": (messages.MAX_NOTES, "wire/test_messages.py::test_notes_are_bounded"),
    "packets that wait for their place": (reorder.HELD, "kernel/test_reorder.py::test_memory"),
    "frames that wait for PPP to begin": (
        tuntap.WAITING,
        "kernel/test_tuntap.py::test_nobody_takes_frames",
    ),
    "times that LCP, IPCP and IPV6CP come up": (
        link.NEGOTIATIONS,
        "ppp/test_link.py::test_who_negotiates_without_end_is_sent_away",
    ),
    "questions to the router of a subscriber": (
        router6.QUESTIONS,
        "ppp/test_router6.py::test_a_peer_that_asks_faster_than_it_is_answered",
    ),
    "questions that the kernel passes on": (
        overhear.LOUD,
        "kernel/test_overhear.py::test_one_that_asks_without_end_crowds_nobody_out",
    ),
    "octets of one of those": (
        router6.LONGEST_QUESTION,
        "ppp/test_router6.py::test_it_has_no_time_for_who_asks_for_too_much",
    ),
    "addresses that were used and are free": (
        pool.REMEMBERED,
        "ppp/test_pool.py::test_a_pool_that_nobody_could_use_up_does_not_grow_for_ever",
    ),
    "operations of the data plane": (adapter.QUEUE, "kernel/test_adapter.py::test_the_submitter_waits_for_room"),
    "events that wait for a script": (
        scripts.SIZE,
        "test_scripts.py::test_a_flood_is_dropped_beyond_the_bound_and_counted",
    ),
    "scripts that run": ("script_limit", "test_scripts.py::test_so_many_run_at_once_and_no_more"),
    "events that wait for a watcher": (
        bus.DEFAULT_SIZE,
        "control/test_server.py::test_a_watcher_that_does_not_read_loses_events_and_is_told_how_many",
    ),
    "control connections": (
        server.MAX_CONNECTIONS,
        "control/test_server.py::test_connections_are_capped_for_everyone",
    ),
    "octets of a request": (
        jsonrpc.MAX_LINE,
        "control/test_server.py::test_a_line_without_end_closes_the_connection",
    ),
    "scrapes": (metrics.MAX_CONNECTIONS, "test_metrics.py::test_more_connections_than_there_are_places"),
    "requests at a RADIUS server": (
        exchange.WINDOW,
        "radius/test_exchange.py::test_a_server_is_not_asked_too_much_at_once",
    ),
    "answers to RADIUS requests that are remembered": (
        dynauth.REMEMBERED,
        "hostile/test_bounds.py::test_answers_that_are_remembered",
    ),
    "accounting records in memory": (
        client.WAITING,
        "hostile/test_bounds.py::test_accounting_records_in_memory",
    ),
    "accounting records on disk": (
        spool.LIMIT,
        "radius/test_spool.py::test_there_is_room_for_so_many_and_interims_go_first",
    ),
    "lines of the log that peers provoke, but for what comes up": (
        100,
        "hostile/test_attacks.py::test_a_thousand_addresses_do_not_fill_the_log",
    ),
    "lines of the log in memory": (RING, "test_log.py::test_the_ring_keeps_the_last_lines"),
    "characters of a line of the log": (log.LINE_LIMIT, "test_log.py::test_a_line_has_a_limit"),
}
"""By what the manual calls it: a number, or the key that sets it, and the test that drives it there."""

METRICS = {row.name for row in gauges.METRICS}
PAGE = (Path(l2tpd.__file__).parent / "man" / "l2tpd.8.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in PAGE.partition("## LIMITS")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| what")
]


def test_the_manual_has_every_bound_and_no_other() -> None:
    """In the same order, with the number of the program or the key that sets it; each metric that it names exists."""
    assert list(BOUNDS) == [row[0] for row in ROWS]
    keys = {field.name for table in (System, TunnelSettings) for field in attrs.fields(table)}
    for what, limit, _of, consequence, seen in ROWS:
        bound = BOUNDS[what][0]
        assert limit == (f"`{bound}`" if isinstance(bound, str) else str(bound)), what
        assert bound in keys or not isinstance(bound, str), what
        assert consequence
        assert not seen.startswith("`l2tpd_") or seen.strip("`") in METRICS, what


@pytest.mark.parametrize("what", BOUNDS)
def test_every_bound_is_driven_to_its_limit(what: str) -> None:
    """By a test that exists."""
    path, _, name = BOUNDS[what][1].partition("::")
    assert name in named(path)


# --- those that are not driven elsewhere


def test_a_large_early_message_is_not_kept() -> None:
    """One octet more than may wait has to be repeated; what just fits waits for its turn."""
    for size, kept in ((core.LARGEST_EARLY, 1), (core.LARGEST_EARLY + 1, 0)):
        say = up_called()
        body = say.peer.body(hello())
        say.core.receive_datagram(
            build_control(OURS, 0, say.peer.ns + 1, say.peer.nr, body.ljust(size, b"\0")), PEER, 0.0
        )
        assert kept == say.core.channel._receiver.waiting
        say.skip()


def test_answers_that_are_remembered() -> None:
    """A server that has asked for more than can be remembered is passed over until the oldest is too old to be repeated."""
    desk = dynauth.Desk(
        [Client(prefix="192.0.2.0/28", secret=b"secret")], lambda: Identity(identifier="lns", address=""), 300.0
    )
    for number in range(dynauth.REMEMBERED):
        desk._answers[Address("192.0.2.1", 1), 0, number.to_bytes(4, "big")] = 1000.0, b""
    octets, later = (_demand(when) for when in (1100, 1700))
    assert desk.receive(octets, Address("192.0.2.1", 1), 1100.0) is None
    assert dynauth.REMEMBERED == len(desk._answers)
    assert desk.receive(later, Address("192.0.2.1", 1), 1700.0) is not None


def _demand(when: int) -> bytes:
    said: Draft = {}
    row.USER_NAME.put(said, "joe")
    row.EVENT_TIMESTAMP.put(said, when)
    return encode_signed(Code.DISCONNECT_REQUEST, 1, said, b"secret")


async def test_what_is_lost_at_a_limit_is_counted() -> None:
    """Half-open tunnels, connections and events: each in the metric, and once in the log."""
    async with house(system="max_half_open = 2") as there:
        with Peer(there.address) as lac:
            for tunnel_id in range(1, 6):
                await lac.call(tunnel_id)
        subscription = there.daemon.bus.subscribe(size=1)
        there.daemon.publish(DaemonStopping(at_once=False))
        there.daemon.publish(DaemonStopping(at_once=False))
        assert 3 == there.counter("displaced")
        assert there.daemon.lost()["events"] == subscription.lost > 0


async def test_accounting_records_in_memory() -> None:
    """While nobody takes any, so many are kept; the next are lost, which is counted, and nothing that is kept makes room for them."""
    config = parse([("f", '[radius]\n[radius.server.a]\naddress = "192.0.2.1"\nsecret = "s"\n')])
    radius = client.Radius(lambda: config)
    radius._announcing = True  # an Accounting-On is about to go to the spool, and all that follows behind it
    records = (
        Record(key=str(number), status=Status.START, moment=0.0, attributes={}) for number in range(client.WAITING + 2)
    )
    for record in records:
        radius._deliver(record)
    assert (client.WAITING, 2) == (radius.state().waiting, radius.lost)
    assert {str(number) for number in range(client.WAITING)} == radius._keeping


# --- nothing that bounds is left out

BOUNDING = re.compile(
    r"(^|_)(MAX|MOST|LIMIT|LARGEST|LONGEST|WINDOW|QUEUE|QUEUED|HELD|KEPT|WAITING|REMEMBERED|CROWD|PLACES|STRANGERS|STRAYS|QUESTIONS|BACKLOG)(_|$)|^(DEFAULT_)?SIZE$"
)
"""What a constant of the program is called that bounds something."""

FORMAT = "a format has it so"
OURS_ALONE = "it is about files that only their owner writes"
ELSEWHERE: Mapping[str, str] = {
    "config.document.DEPTH_LIMIT": OURS_ALONE,
    "config.keys.AVP_VALUE_LIMIT": OURS_ALONE,
    "config.load.FILE_LIMIT": OURS_ALONE,
    "config.load.SECRET_FILE_LIMIT": OURS_ALONE,
    "control.jsonrpc.MAX_REPLY": "it is what a client takes",
    "control.server.BACKLOG": "the system keeps that queue",
    "control.server.BATCHES_KEPT": "what several watchers share, made anew where it is gone",
    "control.server.LINES_KEPT": "what several watchers share, made anew where it is gone",
    "control.server.MAX_CONNECTIONS_OF_USERS": "in the row of control connections",
    "control.server.MAX_CONNECTIONS_PER_USER": "in the row of control connections",
    "control.server.MAX_PATH": FORMAT,
    "draws.SIZE": "what is drawn of random octets at once, whoever asks for them",
    "log.MESSAGE_LIMIT": FORMAT,
    "metrics.CROWD": "in the row of scrapes",
    "metrics.MAX_REQUEST": "l2tpd(8) has it in METRICS",
    "passed.LONGEST": "what is longer is shown in part",
    "ppp.dhcp6.LONGEST_DUID": FORMAT,
    "radius.attributes.LARGEST": FORMAT,
    "radius.courier.LARGEST": FORMAT,
    "radius.exchange.LONGEST_PAUSE": "seconds",
    "radius.packet.LARGEST": FORMAT,
    "radius.packet.PASSWORD_LIMIT": FORMAT,
    "scripts.LIMIT": "what `script_limit` is unless somebody says otherwise",
    "tunnel.policy.CROWD": "where a crowd begins",
    "tunnel.sender.DEFAULT_PEER_WINDOW": FORMAT,
    "tunnel.sender.LARGEST_WINDOW": FORMAT,
    "wire.avp.MAX_VALUE": FORMAT,
    "wire.messages.MAX_BODY": FORMAT,
}
"""Constants that bound nothing that others could make the daemon keep, or are told in another row."""


@cache
def bounding() -> set[str]:
    """Return the public constants of the program whose names say that they bound something."""
    root = Path(l2tpd.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for statement in ast.parse(path.read_text()).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            if names and names[0].isupper() and names[0][0] != "_" and BOUNDING.search(names[0]):
                found.add((module, names[0]))
    numbers = {
        name for name in found if isinstance(getattr(importlib.import_module(f"l2tpd.{name[0]}"), name[1]), int | float)
    }
    return {f"{module}.{name}" for module, name in numbers}


def test_the_table_is_complete() -> None:
    """Whoever writes a constant that bounds something has to list it, or to say here why not."""
    listed = set(
        re.findall(r"\b([a-z0-9]+\.[A-Z_]+)\b", Path(__file__).read_text().partition("BOUNDS: ")[2].partition('"""')[0])
    )
    assert set() == {name for name in bounding() - ELSEWHERE.keys() if ".".join(name.split(".")[-2:]) not in listed}
    assert ELSEWHERE.keys() <= bounding()
