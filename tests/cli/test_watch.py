"""`l2tpwatch` and `l2tpctl watch`: one line an event, and when they end."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from control.double import SESSION_DOWN, TUNNEL_UP
from control.running import Daemon
from l2tpctl.watch import CSV_FIELDS, csv_line, l2tpwatch, line
from l2tpd.control.methods import event_params
from l2tpd.events import Event, PppEvent, SessionEvent, Stamped, TunnelEvent, What


def told(event: Event) -> Any:
    return event_params(Stamped(1000.25, event))


# --- lines


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (TUNNEL_UP, 'TUNNEL UP: tid=7 peer_tid=9 name="hq"'),
        (
            TunnelEvent(what=What.CREATED, tunnel_id=3, origin="network"),
            'TUNNEL CREATED: tid=3 peer_tid=0 name=""',
        ),
        (
            TunnelEvent(what=What.DOWN, tunnel_id=3, result=1, error=0, message="bye"),
            'TUNNEL DOWN: tid=3 peer_tid=0 name="" result=1 error=0 message="bye"',
        ),
        (
            SessionEvent(what=What.CREATED, tunnel_id=7, session_id=3, name="b", profile="p", pseudowire_profile="w"),
            'SESSION CREATED: tid=7 sid=3 name="b" profile="p" pw_profile="w"',
        ),
        (
            SessionEvent(what=What.UP, tunnel_id=7, session_id=3, peer_tunnel_id=9, peer_session_id=4),
            'SESSION UP: tid=7 sid=3 peer_tid=9 peer_sid=4 name=""',
        ),
        (
            SESSION_DOWN,
            (
                'SESSION DOWN: tid=7 sid=3 peer_tid=9 peer_sid=4 name="branch" result=3 error=0 '
                'message="administrative \\"reasons\\"\\x0a\\x1b[31m"'
            ),
        ),
        (
            SessionEvent(what=What.DELETED, tunnel_id=7, session_id=3, name="b"),
            'SESSION DELETED: tid=7 sid=3 name="b" message=""',
        ),
    ],
)
def test_an_event_is_one_line(event: Event, text: str) -> None:
    """Identifiers, names in quotes, and at the end why; what is not known is left out, what is hostile is escaped."""
    assert text == line(told(event))


def test_verbose_lines_tell_more() -> None:
    """Of a tunnel its protocol and peer, of a session its type and interface."""
    assert line(told(TUNNEL_UP), verbose=True).endswith(' version=l2tpv2 encap=udp peer="192.0.2.1:1701"')
    assert line(told(SESSION_DOWN), verbose=True).endswith(' pseudowire=ppp interface="ppp0"')


def test_a_prefix_is_the_time_of_the_event() -> None:
    """Local time to the millisecond."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(1000))
    assert line(told(TUNNEL_UP), prefix=True).startswith(f"{stamp}.250 TUNNEL UP: ")


@pytest.mark.parametrize(
    ("at", "second", "fraction"), [(1.001, 1, "001"), (1.9996, 2, "000"), (1700000000.29, 1700000000, "290")]
)
def test_milliseconds_are_rounded_with_their_second(at: float, second: int, fraction: str) -> None:
    """A time that is next to the following second is that second, and none loses a millisecond to binary fractions."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(second))
    assert line(event_params(Stamped(at, TUNNEL_UP)), prefix=True).startswith(f"{stamp}.{fraction} ")


def test_every_field_of_an_event_has_a_column() -> None:
    """Comma separated values leave nothing out but whether it has ever been up, which follows from the events before."""
    known = {field.name for kind in (TunnelEvent, SessionEvent, PppEvent) for field in attrs.fields(kind)}
    assert known | {"time", "object"} == {*CSV_FIELDS, "up"}


def test_values_that_hold_separators_are_quoted() -> None:
    """What a peer says is one value, whatever is in it; line ends are escaped, so that a record is a line."""
    event = attrs.evolve(SESSION_DOWN, message='a,b "c"\r\n=1+1', user_data=" x ")
    text = csv_line(told(event))
    assert ',"a,b ""c""\\x0d\\x0a=1+1",' in text
    record = dict(zip(CSV_FIELDS, next(csv.reader([text])), strict=True))
    assert ('a,b "c"\\x0d\\x0a=1+1', " x ") == (record["message"], record["user_data"])


def test_comma_separated_values_have_the_same_columns_always() -> None:
    """One record an event, on one line whatever its message holds."""
    for event in (TUNNEL_UP, SESSION_DOWN):
        text = csv_line(told(event))
        assert 1 == len(text.splitlines())
        (row,) = csv.reader([text])
        assert len(CSV_FIELDS) == len(row)
    record = dict(zip(CSV_FIELDS, row, strict=True))
    assert ("session", "down", "7", "3", "branch") == tuple(
        record[key] for key in ("object", "what", "tunnel_id", "session_id", "name")
    )


# --- the programs


@attrs.define(eq=False)
class Watcher:
    """A running watcher: a process whose lines are read."""

    process: subprocess.Popen[str]

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> tuple[int, str]:
        """Wait for its end; returns status and what was left to read."""
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out


Start = Callable[..., Watcher]


@pytest.fixture
def start(daemon: Daemon) -> Iterator[Start]:
    """Start a watcher and wait until the daemon knows it."""
    running: list[Watcher] = []

    def begin(*words: str, program: str = "l2tpctl.watch") -> Watcher:
        roots = [str(Path(__file__).parents[2] / part) for part in ("", "cli")]
        code = f"import {program} as p; p.main()"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots), "L2TPD_SOCKET": str(daemon.path)}
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        running.append(Watcher(process))
        known = len(running)
        deadline = time.monotonic() + 60
        while daemon.do(lambda: len(daemon.double.bus.subscribers)) < known:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return running[-1]

    yield begin
    for watcher in running:
        watcher.process.kill()
        watcher.process.communicate()


def test_it_prints_events_and_ends_when_the_daemon_ends(start: Start, daemon: Daemon) -> None:
    """A line comes as soon as its event; the daemon's end is a good end."""
    watcher = start()
    daemon.do(daemon.double.bus.publish, TUNNEL_UP)
    assert 'TUNNEL UP: tid=7 peer_tid=9 name="hq"\n' == watcher.line()
    daemon.stop()
    assert (0, "") == watcher.end()


def test_it_ends_after_so_many_events(start: Start, daemon: Daemon) -> None:
    """`-n 2` prints two lines of three events."""
    watcher = start("-n", "2")
    for _ in range(3):
        daemon.do(daemon.double.bus.publish, TUNNEL_UP)
    status, out = watcher.end()
    assert (0, 2) == (status, len(out.splitlines()))


def test_it_prints_only_what_was_asked_for(start: Start, daemon: Daemon) -> None:
    """`-t none -s down` leaves a session that went down."""
    watcher = start("-t", "none", "-s", "down,created", "-c", "-n", "1")
    daemon.do(daemon.double.bus.publish, TUNNEL_UP)
    daemon.do(daemon.double.bus.publish, SESSION_DOWN)
    status, out = watcher.end()
    assert (0, True) == (status, out.startswith("1000.25,session,down,7,3,"))


def test_a_heading_names_the_columns(start: Start, daemon: Daemon) -> None:
    """`-cc` begins with their names, which is no event; what follows can be read by them."""
    watcher = start("-cc", "-n", "1")
    daemon.do(daemon.double.bus.publish, SESSION_DOWN)
    status, out = watcher.end()
    (row,) = csv.DictReader(out.splitlines())
    assert (0, "session", "3", "branch") == (status, row["object"], row["session_id"], row["name"])


def test_it_ends_when_nobody_reads_it_any_more(start: Start, daemon: Daemon) -> None:
    """As in `l2tpwatch | head -1`: without a word, at the next event."""
    watcher = start()
    assert watcher.process.stdout is not None
    assert watcher.process.stderr is not None
    watcher.process.stdout.close()
    daemon.do(daemon.double.bus.publish, TUNNEL_UP)
    assert 1 == watcher.process.wait(20)
    assert "" == watcher.process.stderr.read()


def test_it_ends_when_the_time_is_up(daemon: Daemon) -> None:
    """With 0 when nothing was waited for, with 1 when events were and did not come."""
    words = ["--socket", str(daemon.path), "-T", "0.05"]
    assert 0 == CliRunner().invoke(l2tpwatch, words).exit_code
    assert 1 == CliRunner().invoke(l2tpwatch, [*words, "-n", "1"]).exit_code


def test_an_interrupt_is_a_good_end(start: Start) -> None:
    """Control-C ends it without a traceback."""
    watcher = start()
    watcher.process.send_signal(signal.SIGINT)
    assert (0, "") == watcher.end()


def test_an_interrupt_is_none_while_events_are_waited_for(start: Start) -> None:
    """Whoever goes on with what `-n 1` waited for must not take it for the event."""
    watcher = start("-n", "1")
    watcher.process.send_signal(signal.SIGINT)
    assert (1, "") == watcher.end()


def test_mistakes_are_told(daemon: Daemon) -> None:
    """A word that is no event is a mistake of usage; the daemon that is not running a sentence."""
    result = CliRunner().invoke(l2tpwatch, ["-t", "upp"])
    assert (2, True) == (result.exit_code, "`upp` is none of created, up, down, deleted, none" in result.stderr)
    daemon.stop()
    result = CliRunner().invoke(l2tpwatch, ["--socket", str(daemon.path)], prog_name="l2tpwatch")
    assert (1, f"l2tpwatch: l2tpd is not running (no control socket at {daemon.path})\n") == (
        result.exit_code,
        result.stderr,
    )


def test_l2tpctl_watch_prints_json_a_line(start: Start, daemon: Daemon) -> None:
    """With `--json` each event is the document that the daemon sent."""
    watcher = start("--json", "watch", program="l2tpctl.commands")
    daemon.do(daemon.double.bus.publish, SESSION_DOWN)
    assert told(SESSION_DOWN) == json.loads(watcher.line())
    daemon.stop()
    assert 0 == watcher.end()[0]


def test_l2tpctl_watch_prints_lines_with_the_time(start: Start, daemon: Daemon) -> None:
    """Without `--json` each event is a line as `l2tpwatch -v -p` prints it."""
    watcher = start("watch", program="l2tpctl.commands")
    daemon.do(daemon.double.bus.publish, TUNNEL_UP)
    assert line(told(TUNNEL_UP), verbose=True, prefix=True) + "\n" == watcher.line()


def test_lost_events_are_told(start: Start, daemon: Daemon) -> None:
    """More events at once than the daemon keeps for one watcher: the number of the lost goes to stderr."""

    def burst() -> None:
        for _ in range(60):
            daemon.double.bus.publish(TUNNEL_UP)

    watcher = start("-n", "51")
    daemon.do(burst)
    assert watcher.process.stderr is not None
    assert "10 events were lost: they came faster than they were read\n" == watcher.process.stderr.readline()
    daemon.do(daemon.double.bus.publish, TUNNEL_UP)
    status, out = watcher.end()
    assert (0, 51) == (status, len(out.splitlines()))
