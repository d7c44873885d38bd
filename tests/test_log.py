from __future__ import annotations

import io
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from faults.means import no_descriptor_left
from l2tpd import log
from l2tpd.trace import Category


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Start each test with an empty ring, and leave no sink behind."""
    log.ring.clear()
    log.configure("notice")
    yield
    log.close()


def said() -> list[str]:
    """Return what was logged, without time stamps."""
    return [f"{line.level}: {line.text}" for line in log.ring.lines()]


# --- levels


@pytest.mark.parametrize(("level", "number"), [(level, number) for number, level in enumerate(log.LEVELS)])
def test_a_level_lets_itself_and_the_graver_through(level: str, number: int) -> None:
    """Of one line at each level those down to the configured one are kept."""
    log.configure(level)
    speaker = log.get("test")
    for method in ("critical", "error", "warning", "notice", "info", "debug"):
        getattr(speaker, method)("x")
    assert [f"{name}: x" for name in list(log.LEVELS)[: number + 1]] == said()
    assert level == log.level()


def test_the_level_changes_at_run_time() -> None:
    """Loggers that exist already follow."""
    speaker = log.get("test")
    speaker.info("before")
    log.set_level("info")
    speaker.info("after")
    assert ["info: after"] == said()


@pytest.mark.parametrize(
    ("level", "steps", "result"),
    [("notice", 0, "notice"), ("notice", 1, "info"), ("notice", 2, "debug"), ("error", 9, "debug")],
)
def test_each_debug_option_is_one_step(level: str, steps: int, result: str) -> None:
    """More steps than there are levels end at debug."""
    assert result == log.raised(level, steps)


# --- lines


def test_a_line_has_a_time_a_level_and_its_context() -> None:
    """Bound and given context follow the sentence; what contains a space is quoted, octets are hexadecimal."""
    stream = io.StringIO()
    log.configure("notice", log.Stream(stream))
    log.get("test", tunnel=5).bind(peer="a b").notice("up", secret=b"\x01\xff", text='say "x"', empty="")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} notice: up .*\n", stream.getvalue())
    assert ['notice: up tunnel=5 peer="a b" secret=01ff text="say \\"x\\"" empty=""'] == said()


def test_context_of_the_task_is_added() -> None:
    """Context variables are bound for everything that a task says."""
    with structlog.contextvars.bound_contextvars(session=7):
        log.get("test").notice("up")
    assert ["notice: up session=7"] == said()


def test_a_traceback_cannot_pass_for_lines_of_the_log() -> None:
    """An exception's text may quote a peer: each of its lines is marked, and escapes are neutral."""

    def fail() -> None:
        raise ValueError("evil\nnotice: all is well\x1b[2J")

    try:
        fail()
    except ValueError:
        log.get("test").error("crashed", exc_info=True)
    first, *rest = said()
    assert "error: crashed" == first
    assert all(line.startswith("error:   | ") for line in rest)
    assert "error:   | notice: all is well\\x1b[2J" == rest[-1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zürich 東京", "Zürich 東京"),
        ("a\nb\r\x00\x1b[31m\x7f", "a\\nb\\r\\x00\\x1b[31m\\x7f"),
        ("\x85\u2028\u202e\ufeff", "\\x85\\u2028\\u202e\\ufeff"),
        ("\udcff", "\\udcff"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    """Line breaks, terminal sequences, direction changes and broken text are shown, not obeyed; other scripts are left alone."""
    assert shown == log.neutral(text)


@given(st.text())
def test_whatever_a_peer_sends_is_one_harmless_line(text: str) -> None:
    """Any text ends up as one printable line that can be encoded."""
    log.ring.clear()
    log.get("test").notice("peer says", text=text)
    (line,) = log.ring.lines()
    assert line.text.isprintable()
    assert line.text.encode()


def test_a_line_has_a_limit() -> None:
    """A megabyte of text is cut."""
    log.get("test").notice("x" * 1_000_000)
    (line,) = log.ring.lines()
    assert log.LINE_LIMIT == len(line.text)
    assert line.text.endswith("x...")


def test_libraries_are_heard_in_the_same_form() -> None:
    """Records of the standard library go through the same sinks; below warning they are not heard, and bad ones do no harm."""
    library = logging.getLogger("some.library")
    library.warning("odd %s", "\x1b[31m")
    library.info("chatter")
    broken = logging.LogRecord("some.library", logging.WARNING, "", 0, "broken %d", ("x",), None)
    (ours,) = [handler for handler in logging.getLogger().handlers if isinstance(handler, log._Fan)]
    ours.handle(broken)  # ours alone: pytest's own handler would not bear it
    assert [
        "warning: odd \\x1b[31m",
        "warning: some.library: log record that cannot be formatted: 'broken %d'",
    ] == said()


# --- tracing


def test_trace_lines_begin_with_their_category() -> None:
    """Each category has its prefix, and is logged whatever the level: whoever traces has asked for it."""
    log.configure("critical")
    for category in Category:
        log.traced(category, "tunnel 5: x")
    assert [f"debug: {category.name}: tunnel 5: x" for category in Category] == said()


# --- rate limit


def test_a_burst_passes_and_the_rest_is_counted() -> None:
    """Two at once and one a second: what was kept silent is told with the next line."""
    limit = log.RateLimit(rate=1.0, burst=2)
    assert [0, 0, None, None] == [limit.admit("peer", 0.0) for _ in range(4)]
    assert [None, 3, None] == [limit.admit("peer", now) for now in (0.5, 1.0, 1.1)]
    assert [1, 0, None] == [limit.admit("peer", 100.0) for _ in range(3)]


def test_each_key_has_its_own_bucket() -> None:
    """A noisy peer does not silence another."""
    limit = log.RateLimit(rate=1.0, burst=1)
    assert [0, None, 0] == [limit.admit(key, 0.0) for key in ("a", "a", "b")]


def test_many_keys_cost_no_memory() -> None:
    """A flood from a million addresses keeps as many buckets as allowed, those seen last."""
    limit = log.RateLimit(burst=1, keys=10)
    for key in range(1000):
        limit.admit(key, 0.0)
    assert list(range(990, 1000)) == list(limit._buckets)


def test_a_limited_line_says_how_many_were_suppressed() -> None:
    """The first line after a silence has the count."""
    limit = log.RateLimit(rate=1.0, burst=1)
    for now in (0.0, 0.1, 0.2, 5.0):
        limit.say("peer", now, log.get("test").warning, "bad message", peer="192.0.2.1")
    assert ["warning: bad message peer=192.0.2.1", "warning: bad message peer=192.0.2.1 suppressed=2"] == said()


# --- sinks


def test_the_ring_keeps_the_last_lines() -> None:
    """Older lines are forgotten; a count asks for the newest."""
    ring = log.Ring(3)
    log.configure("notice", ring)
    for number in range(5):
        log.get("test").notice(str(number))
    assert ["2", "3", "4"] == [line.text for line in ring.lines()]
    assert ["4"] == [line.text for line in ring.lines(1)]
    assert [] == ring.lines(0)
    ring.clear()
    assert [] == ring.lines()


def test_a_file_is_complete_at_once_and_survives_rotation(tmp_path: Path) -> None:
    """Nothing is buffered; after rename and reopen the new file has what follows, and others may not read it."""
    path = tmp_path / "l2tpd.log"
    log.configure("notice", log.File(path))
    log.get("test").notice("one")
    path.rename(tmp_path / "l2tpd.log.1")
    log.get("test").notice("two")
    log.reopen()
    log.get("test").notice("three")
    assert ["one", "two"] == [line.split()[-1] for line in (tmp_path / "l2tpd.log.1").read_text().splitlines()]
    assert ["three"] == [line.split()[-1] for line in path.read_text().splitlines()]
    assert 0 == path.stat().st_mode & 0o007


def test_a_file_that_cannot_be_reopened_goes_on(tmp_path: Path) -> None:
    """The operator learns of the error, and the old file is written on."""
    path = tmp_path / "logs" / "l2tpd.log"
    path.parent.mkdir()
    log.configure("notice", log.File(path))
    path.parent.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        log.reopen()
    log.get("test").notice("still here")
    assert (tmp_path / "moved" / "l2tpd.log").read_text().endswith("still here\n")


def test_a_full_disk_costs_lines_only() -> None:
    """Where nothing can be written the loss is counted and nobody hurt."""
    sink = log.File(Path("/dev/full"))
    log.configure("notice", sink)
    log.get("test").notice("x")
    assert 1 == sink.lost


def test_a_stream_that_is_gone_costs_lines_only() -> None:
    """A closed stderr, or one whose reader is gone, is no reason to die."""
    closed, whole = io.StringIO(), io.StringIO()
    closed.close()
    sink = log.Stream(closed)
    log.configure("notice", sink, log.Stream(whole))
    log.get("test").notice("x")
    assert 1 == sink.lost
    assert whole.getvalue().endswith(" notice: x\n")


def test_a_pipe_that_nobody_reads_costs_lines_only() -> None:
    """While it is full, lines are lost and counted, and nothing waits; once it is read, lines go through again, whole."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    with open(reading, "rb") as reader, open(writing, "w", encoding="utf-8") as writer:  # noqa: PTH123 - no path
        sink = log.Stream(writer)
        log.configure("notice", sink)
        log.get("test").notice("lost")
        log.get("test").critical("lost too", exc_info=ValueError("bad"))
        lost = sink.lost
        assert 3 <= lost  # one line, then one and its traceback
        os.set_blocking(reading, False)
        while set(reader.read(65_536) or b"") == {0}:
            pass
        log.get("test").notice("heard")
        assert (reader.read() or b"").endswith(b" notice: heard\n")
        assert lost == sink.lost


@pytest.mark.parametrize("kind", ["file", "terminal"])
def test_streams_of_other_kinds(kind: str, tmp_path: Path) -> None:
    """Each line reaches a file whole, at its end, and a terminal, which knows nothing of writing at once."""
    reading, writing = os.openpty() if kind == "terminal" else (-1, os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT))
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123 - no path
        sink = log.Stream(stream)
        log.configure("notice", sink)
        for number in range(3):
            log.get("test").notice(f"line {number}")
        assert 0 == sink.lost
        if kind == "terminal":
            with open(reading, "rb", buffering=0) as screen:  # noqa: PTH123 - the same
                text = b""
                while text.count(b"\n") < 3:
                    text += screen.read(10_000)
        else:
            text = (tmp_path / "log").read_bytes()
    assert [f"notice: line {number}".encode() for number in range(3)] == [
        line.partition(b" ")[2] for line in text.splitlines()
    ]


def test_stderr_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream without a name is the standard error of the moment."""
    log.configure("notice", log.Stream())
    log.get("test").notice("x")
    assert capsys.readouterr().err.endswith(" notice: x\n")


@pytest.fixture
def syslogd(tmp_path: Path) -> Iterator[socket.socket]:
    """Stand where the system's logger stands."""
    with listening(tmp_path / "log") as sock:
        yield sock


def listening(path: Path) -> socket.socket:
    """Open the socket of a system logger at `path`."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(path))
    sock.setblocking(False)
    return sock


def test_syslog_gets_facility_daemon_and_a_datagram_a_line(tmp_path: Path, syslogd: socket.socket) -> None:
    """Notice of facility daemon is 29, debug 31; the lines of a traceback come one by one."""
    log.configure("notice", log.Syslog(str(tmp_path / "log")))
    log.get("test").notice("up", tunnel=5)
    head = rb"<29>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d l2tpd\[%d\]: " % os.getpid()
    assert re.fullmatch(head + rb"up tunnel=5", syslogd.recv(1000))
    log.traced(Category.FSM, "x")
    assert syslogd.recv(1000).startswith(b"<31>")
    log.get("test").critical("crashed", exc_info=ValueError("bad"))
    assert syslogd.recv(1000).startswith(b"<26>")
    assert syslogd.recv(1000).endswith(b"  | ValueError: bad")


def test_syslog_may_come_late_go_and_come_back(tmp_path: Path) -> None:
    """Lines said while no syslog listens are lost and counted; it is looked for again after a second, and a restart costs nothing."""
    now = 0.0
    sink = log.Syslog(str(tmp_path / "log"), clock=lambda: now)
    log.configure("notice", sink)
    log.get("test").notice("early")
    with listening(tmp_path / "log") as first:
        log.get("test").notice("too soon to try again")
        assert 2 == sink.lost
        now = 1.0
        log.get("test").notice("one")
        assert first.recv(1000).endswith(b": one")
    (tmp_path / "log").unlink()
    with listening(tmp_path / "log") as second:
        log.get("test").notice("two")
        assert second.recv(1000).endswith(b": two")
    assert 2 == sink.lost


def test_without_a_descriptor_for_syslog_lines_are_lost(tmp_path: Path, syslogd: socket.socket) -> None:
    """A daemon that has used up its descriptors logs on: the line is lost, and the next after a second arrives."""
    now = 0.0
    sink = log.Syslog(str(tmp_path / "log"), clock=lambda: now)
    log.configure("notice", sink)
    with no_descriptor_left():
        log.get("test").notice("lost")
    assert 1 == sink.lost
    now = 1.0
    log.get("test").notice("heard")
    assert syslogd.recv(1000).endswith(b": heard")
    assert 1 == sink.lost


def test_a_syslog_that_does_not_read_never_blocks(tmp_path: Path, syslogd: socket.socket) -> None:
    """Once its queue is full, lines are dropped and counted; what had room arrives."""
    sink = log.Syslog(str(tmp_path / "log"))
    log.configure("notice", sink)
    for number in range(5000):
        log.get("test").notice(str(number))
    assert 0 < sink.lost < 5000
    assert syslogd.recv(1000).endswith(b": 0")


def entry(datagram: bytes) -> dict[str, str]:
    """Read an entry of the journal: each field is a name, a line end, the length of the value, the value, a line end."""
    fields = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        length = int.from_bytes(rest[:8], "little")
        value, datagram = rest[8 : 8 + length], rest[9 + length :]
        assert b"\n" == rest[8 + length : 9 + length]
        fields[name.decode()] = value.decode()
    return fields


def test_the_journal_gets_a_field_for_all_that_a_line_names(tmp_path: Path, syslogd: socket.socket) -> None:
    """The line is as elsewhere; beside it stands what a search goes by, as harmless as the line."""
    log.configure("notice", log.Journal(str(tmp_path / "log")))
    log.get("daemon", tid=5).notice("tunnel up", name="\x1b[2J", cookie=b"\x01\xff", message="")
    expected = {
        "MESSAGE": 'tunnel up tid=5 name=\\x1b[2J cookie=01ff message=""',
        "PRIORITY": "5",
        "SYSLOG_FACILITY": "3",
        "SYSLOG_IDENTIFIER": "l2tpd",
        "L2TPD_PART": "daemon",
        "L2TPD_TID": "5",
        "L2TPD_NAME": "\\x1b[2J",
        "L2TPD_COOKIE": "01ff",
    }
    assert expected == entry(syslogd.recv(1000))
    log.traced(Category.AVP_INFO, "tunnel 5: x", tid=5)
    found = entry(syslogd.recv(1000))
    assert ("AVP_INFO: tunnel 5: x", "7", "avp_info", "5") == tuple(
        found[name] for name in ("MESSAGE", "PRIORITY", "L2TPD_CATEGORY", "L2TPD_TID")
    )


def test_a_traceback_is_one_entry_of_the_journal(tmp_path: Path, syslogd: socket.socket) -> None:
    """Its lines stand in the message; what no datagram would hold is cut."""
    log.configure("notice", log.Journal(str(tmp_path / "log")))
    log.get("test").critical("crashed", exc_info=ValueError("bad"))
    assert "crashed\n  | ValueError: bad" == entry(syslogd.recv(1000))["MESSAGE"]
    log.get("test").critical("crashed", exc_info=ValueError("\n".join(["€" * 5000] * 100)))
    assert log.MESSAGE_LIMIT == len(entry(syslogd.recv(500_000))["MESSAGE"])


def test_without_sinks_nothing_reaches_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Who embeds the package and configures no log hears nothing from it."""
    log.close()
    log.get("test").critical("x")
    assert ("", "") == capsys.readouterr()


def test_changing_the_sinks_closes_the_old_ones(tmp_path: Path) -> None:
    """A second configuration replaces the first, and closing twice is no error."""
    log.configure("notice", log.File(tmp_path / "old"))
    log.configure("notice", log.File(tmp_path / "new"))
    log.get("test").notice("x")
    assert "" == (tmp_path / "old").read_text()
    assert "" != (tmp_path / "new").read_text()
    log.close()
    log.close()
    log.reopen()
