"""Say what happens: levels, sinks, trace categories, and a limit on what a peer can make us say.

A line travels: `Log` (structlog: bound context, rendering) -> a standard library record -> every sink. Records of libraries join at the second
station, so no way into the log goes round the sinks' formatting, which is where text from the network is made harmless: whatever is not
printable is written as an escape, and only a traceback may span lines, each of its lines marked.

A sink never raises and never waits: a log that is full, slow or gone costs lines, which are counted, and nothing else.

Tracing is apart from levels: the masks of `l2tpd.trace` decide, for the daemon, a tunnel or a session, and a line that is traced is a line here.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import select
import socket
import sys
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, TextIO

import structlog

from l2tpd.kernel import brief
from l2tpd.trace import WORDS

NOTICE: Final = 25

LEVELS: Final[Mapping[str, int]] = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "notice": NOTICE,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
"""The levels of l2tpd(8), gravest first."""

_NAMES: Final = {number: name for name, number in LEVELS.items()}

_PREFIX: Final = {int(category): f"{word.upper()}: " for word, category in WORDS.items()}

LINE_LIMIT: Final = 4096  # characters of a line that are kept: a peer's megabyte of text is not a log entry
MESSAGE_LIMIT: Final = 65536  # characters of an entry of the journal, whose socket takes some 200 kB in one piece
_ROOT: Final = "l2tpd"


def raised(level: str, steps: int) -> str:
    """Return the level `steps` more verbose than `level`, at most debug."""
    names = list(LEVELS)
    return names[min(names.index(level) + steps, len(names) - 1)]


def neutral(text: str) -> str:
    """Write everything that is not printable as an escape: control characters, line breaks, changes of writing direction."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


# --- what is said


class Log(structlog.BoundLoggerBase):
    """A logger with bound context; each method takes the sentence and further context, `exc_info` for a traceback."""

    def critical(self, event: str, **context: object) -> None:
        """Say that the daemon cannot go on."""
        self.say(logging.CRITICAL, event, context)

    def error(self, event: str, **context: object) -> None:
        """Say that something failed which should not."""
        self.say(logging.ERROR, event, context)

    def warning(self, event: str, **context: object) -> None:
        """Say that something is odd and the operator may want to act."""
        self.say(logging.WARNING, event, context)

    def notice(self, event: str, **context: object) -> None:
        """Say what the operator wants to know in normal service."""
        self.say(NOTICE, event, context)

    def info(self, event: str, **context: object) -> None:
        """Say what explains the rest."""
        self.say(logging.INFO, event, context)

    def debug(self, event: str, **context: object) -> None:
        """Say what a developer wants to know."""
        self.say(logging.DEBUG, event, context)

    def say(self, level: int, event: str, context: Mapping[str, object]) -> None:
        """Emit one line at `level`, if the log listens to that level."""
        logger: logging.Logger = self._logger
        if logger.isEnabledFor(level):
            args, fields = self._process_event(_NAMES[level], event, dict(context))
            text, error = args
            logger.handle(_record(logger.name, level, text, fields, error))


def get(name: str, **context: object) -> Log:
    """Return the log of the part of the program called `name`, with `context` bound to each line."""
    logger = logging.getLogger(f"{_ROOT}.{name}")
    return Log(logger, processors=_PROCESSORS, context=dict(context))


def _record(
    name: str, level: int, text: str, fields: Mapping[str, object], error: BaseException | None = None
) -> logging.LogRecord:
    # Made by hand because Logger.log() first walks the stack for a file name that no line shows.
    exc_info: tuple[type[BaseException], BaseException, TracebackType | None] | None = None
    if error is not None:
        exc_info = (type(error), error, error.__traceback__)
    record = logging.LogRecord(name, level, "", 0, text, (), exc_info)
    record.fields = fields
    return record


def _render(
    _logger: object, _name: str, event: MutableMapping[str, Any]
) -> tuple[tuple[str, BaseException | None], dict[str, Any]]:
    error = event.pop("exc_info", None)
    text = str(event.pop("event"))
    if event:
        text += "".join(f" {key}={_shown(value)}" for key, value in event.items())
    return (text, sys.exc_info()[1] if error is True else error), dict(event)


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _shown(value: object) -> str:
    text = _text(value)
    if text and not any(c in text for c in ' "='):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_PROCESSORS: Final[list[Any]] = [structlog.contextvars.merge_contextvars, _render]


# --- tracing


def traced(category: int, text: str, **fields: object) -> None:
    """Emit one line under a category of `l2tpd.trace`, whatever the log level; whether to trace was for the caller to test.

    `fields` say what the text says already, for a log that can be searched by them.
    """
    prefix = _PREFIX[int(category)]
    fields = {"category": prefix[:-2].lower(), **fields}
    logging.getLogger(_ROOT).handle(_record(_ROOT, logging.DEBUG, prefix + text, fields))


# --- how often it may be said


class RateLimit:
    """A token bucket for each key, and one for all, for messages that a peer can provoke at will.

    At most `keys` buckets are kept; a newcomer displaces the one that was quiet longest, so an attacker with many addresses costs no memory. Nor
    does it fill the log: all keys together have `total` messages, as many again each second.
    """

    __slots__ = ("_all", "_buckets", "_burst", "_keys", "_rate", "_since", "_total")

    def __init__(self, rate: float = 1.0, burst: int = 5, keys: int = 1024, total: int = 100) -> None:
        """Admit `burst` messages of a key at once and `rate` a second in the long run."""
        self._total = total
        self._all, self._since = float(total), 0.0
        self._rate = rate
        self._burst = burst
        self._keys = keys
        self._buckets: OrderedDict[Hashable, tuple[float, float, int]] = OrderedDict()  # tokens, as of when, suppressed

    def admit(self, key: Hashable, now: float) -> int | None:
        """Return None if the message must not be said, otherwise how many of its key were suppressed since the last."""
        tokens, then, suppressed = self._buckets.pop(key, (float(self._burst), now, 0))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        self._all = min(self._total, self._all + max(0.0, now - self._since) * self._total)
        self._since = now
        admitted = tokens >= 1 <= self._all
        self._all -= admitted
        self._buckets[key] = (tokens - 1, now, 0) if admitted else (tokens, now, suppressed + 1)
        if len(self._buckets) > self._keys:
            self._buckets.popitem(last=False)
        return suppressed if admitted else None

    def say(self, key: Hashable, now: float, method: Callable[..., None], event: str, **context: object) -> None:
        """Call a `Log` method if the limit admits it; the line tells how many like it were suppressed."""
        suppressed = self.admit(key, now)
        if suppressed is not None:
            method(event, **context, **({"suppressed": suppressed} if suppressed else {}))


# --- where it goes


class Sink(Protocol):
    """Somewhere lines go; must neither raise nor wait."""

    def write(self, record: logging.LogRecord, lines: list[str]) -> None:
        """Take the lines of one record, already harmless."""

    def close(self) -> None:
        """Let go of what the sink holds."""


class Line(NamedTuple):
    """One line as it is kept in memory."""

    time: float  # seconds since the epoch
    level: str
    text: str


class Ring:
    """The last lines, for `show log`."""

    def __init__(self, size: int) -> None:
        """Keep `size` lines."""
        self._lines: deque[Line] = deque(maxlen=size)

    def write(self, record: logging.LogRecord, lines: list[str]) -> None:
        """Keep the lines, forgetting the oldest."""
        self._lines.extend(Line(record.created, _level_name(record.levelno), line) for line in lines)

    def lines(self, count: int | None = None) -> list[Line]:
        """Return the last `count` lines, or all, oldest first."""
        kept = list(self._lines)
        return kept if count is None else kept[max(0, len(kept) - count) :]

    def clear(self) -> None:
        """Forget everything."""
        self._lines.clear()

    def close(self) -> None:
        """Keep the lines: the ring outlives a change of sinks."""


def _short(octets: bytes) -> bytes:
    """Cut a line to what a pipe takes in one piece where it takes anything (pipe(7): PIPE_BUF)."""
    if len(octets) < select.PIPE_BUF:
        return octets + b"\n"
    return octets[: select.PIPE_BUF - 1].decode(errors="ignore").encode() + b"\n"


class Stream:
    """A text stream, usually stderr."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to `stream`, by default to whatever stderr is at the time."""
        self._stream = stream
        self._at_once = True  # the kernel can be asked to write only what takes no waiting
        self.lost = 0

    def write(self, record: logging.LogRecord, lines: list[str]) -> None:
        """Write the lines at once, as far as they are taken at once: a pipe that nobody reads must not stop every tunnel."""
        stream = self._stream or sys.stderr
        for line in _stamped(record, lines):
            try:
                written = self._put(stream, line)
            except (OSError, ValueError):
                written = False
            self.lost += not written

    def close(self) -> None:
        """Leave the stream to its owner."""

    def _put(self, stream: TextIO, line: str) -> bool:
        """Write a line, unless that would have to wait; tell whether it was written. Raises `OSError`, `ValueError` where the stream is closed."""
        try:
            descriptor = stream.fileno()
        except io.UnsupportedOperation:  # text in memory, which always takes it
            stream.write(line + "\n")
            return True
        left = _short(line.encode(errors="backslashreplace"))
        if self._at_once:
            try:
                left = left[os.pwritev(descriptor, (left,), -1, os.RWF_NOWAIT) :]
            except BlockingIOError:  # a pipe that is full, or a file of which a part is not in memory
                pass
            except OSError:  # of a pipe before Linux 6.4, a terminal, most files: it may be written to all the same
                self._at_once = False
        return not left or (brief.writable(descriptor) and os.write(descriptor, left) == len(left))


class File:
    """A log file that can be rotated: rename it, then have it reopened."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending, readable by owner and group.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = path
        self._fd = self._open()
        self.lost = 0

    def write(self, record: logging.LogRecord, lines: list[str]) -> None:
        """Append the lines in one write, so that nothing is ever buffered here."""
        block = "".join(line + "\n" for line in _stamped(record, lines)).encode()
        try:
            complete = os.write(self._fd, block) == len(block)
        except OSError:
            complete = False
        self.lost += 0 if complete else len(lines)

    def reopen(self) -> None:
        """Go on in a fresh file of the same name; the old one is kept if that cannot be opened.

        Raises:
            OSError: it cannot be opened.
        """
        fresh = self._open()
        os.close(self._fd)
        self._fd = fresh

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
        self._fd = -1

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o640)


_DAEMON: Final = 3 << 3  # LOG_DAEMON
_SEVERITY: Final = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    NOTICE: 5,
    logging.INFO: 6,
    logging.DEBUG: 7,
}


class _Datagrams:
    """A log behind a datagram socket; one that is away is tried again at most once a second."""

    def __init__(self, path: str, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._socket: socket.socket | None = None
        self._retry_at = -1.0
        self.lost = 0

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, datagram: bytes) -> bool:
        # A second try, since a log that was restarted shows only in the first send to it.
        return any(self._connected() and self._sent(datagram) for _ in range(2))

    def _sent(self, datagram: bytes) -> bool:
        sock = self._socket  # another thread may find at this moment that nobody listens
        if sock is None:
            return False
        try:
            sock.send(datagram)
        except BlockingIOError:  # it is behind; waiting for it would stop every tunnel
            return False
        except OSError:
            self.close()
            return False
        return True

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        return sock

    def _connected(self) -> bool:
        if self._socket is None and self._clock() >= self._retry_at:
            try:
                self._socket = self._connect()
            except OSError:  # nobody listens, or no descriptor is left
                self._retry_at = self._clock() + 1.0
        return self._socket is not None


class Syslog(_Datagrams):
    """The system log, facility daemon."""

    def __init__(self, path: str = "/dev/log", clock: Callable[[], float] = time.monotonic) -> None:
        """Send to the socket at `path`; no matter whether anybody listens yet."""
        super().__init__(path, clock)

    def write(self, record: logging.LogRecord, lines: list[str]) -> None:
        """Send a datagram for each line (RFC 3164 form, as syslog(3) does)."""
        stamp = time.strftime("%b %e %H:%M:%S", time.localtime(record.created))
        head = f"<{_DAEMON | _SEVERITY.get(record.levelno, 7)}>{stamp} l2tpd[{os.getpid()}]: "
        for line in lines:
            if not self._send((head + line).encode()):
                self.lost += 1


class Journal(_Datagrams):
    """systemd's journal, by its own protocol: an entry a record, with a field for each thing that the line names.

    `journalctl L2TPD_TID=4711` then finds a tunnel's lines. Level and identifier are where journalctl looks for them: systemd.journal-fields(7).
    """

    def __init__(self, path: str = "/run/systemd/journal/socket", clock: Callable[[], float] = time.monotonic) -> None:
        """Send to the socket at `path`."""
        super().__init__(path, clock)

    def write(self, record: logging.LogRecord, lines: list[str]) -> None:
        """Send the record; a traceback is part of its message."""
        fields = {
            "MESSAGE": "\n".join(lines)[:MESSAGE_LIMIT],
            "PRIORITY": str(_SEVERITY.get(record.levelno, 7)),
            "SYSLOG_FACILITY": str(_DAEMON >> 3),
            "SYSLOG_IDENTIFIER": "l2tpd",
            "L2TPD_PART": record.name.removeprefix(_ROOT).lstrip("."),
            **{_field(key): neutral(_text(value))[:LINE_LIMIT] for key, value in getattr(record, "fields", {}).items()},
        }
        if not self._send(b"".join(_assignment(name, value.encode()) for name, value in fields.items() if value)):
            self.lost += 1


def _field(key: str) -> str:
    """Name the field of a part of a line: our own words are all letters, digits and underscores."""
    return f"L2TPD_{key.upper()}"


def _assignment(name: str, value: bytes) -> bytes:
    """Write one field, with the length of its value, which then may span lines (systemd's JOURNAL_NATIVE_PROTOCOL)."""
    return b"%s\n%s%s\n" % (name.encode(), len(value).to_bytes(8, "little"), value)


def _stamped(record: logging.LogRecord, lines: list[str]) -> list[str]:
    whole, zone = _second(int(record.created))
    head = f"{whole}.{int(record.msecs):03d}{zone} {_level_name(record.levelno)}: "
    return [head + line for line in lines]


@functools.lru_cache(maxsize=1)
def _second(moment: int) -> tuple[str, str]:
    """Write a second of the epoch in local time, and the zone: many lines have the same."""
    local = time.localtime(moment)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local), time.strftime("%z", local)


def _level_name(level: int) -> str:
    return _NAMES.get(level) or logging.getLevelName(level).lower()


def _lines(record: logging.LogRecord) -> list[str]:
    lines = [neutral(record.getMessage())]
    if record.exc_info and record.exc_info[1] is not None:
        text = "".join(traceback.format_exception(record.exc_info[1]))
        # The mark keeps an exception's text, which may quote a peer, from passing for a line of the log.
        lines += ["  | " + neutral(line) for line in text.splitlines()]
    return [line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 3] + "..." for line in lines]


class _Fan(logging.Handler):
    """The one handler: formats a record once for every sink."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        super().__init__()
        self.sinks = tuple(sinks)

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record, of whatever thread: each sink writes a line in one piece, so that none has to wait for another."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record to every sink."""
        try:
            lines = _lines(record)
        except Exception:  # noqa: BLE001 - a record of some library, whose arguments do not fit its format
            lines = [neutral(f"{record.name}: log record that cannot be formatted: {record.msg!r}")]
        for sink in self.sinks:
            sink.write(record, lines)


ring: Final = Ring(1000)
"""The last thousand lines, always kept."""

_fan: _Fan | None = None

logging.getLogger(_ROOT).addHandler(
    logging.NullHandler()
)  # or logging's last resort would print what an embedder did not ask for


def configure(level: str, *sinks: Sink) -> None:
    """Send everything of `level` and graver to `sinks` and the ring, from now on; former sinks are closed."""
    global _fan
    close()
    _fan = _Fan((ring, *sinks))
    logging.addLevelName(NOTICE, "NOTICE")
    logging.getLogger().addHandler(_fan)
    # What no line shows, and each would cost time, or even a call of the system.
    logging.logProcesses = logging.logThreads = logging.logMultiprocessing = False
    set_level(level)


def set_level(level: str) -> None:
    """Change the level at run time; libraries are heard from warning on at least, and never more than we are."""
    logging.getLogger(_ROOT).setLevel(LEVELS[level])
    logging.getLogger().setLevel(max(LEVELS[level], logging.WARNING))


def level() -> str:
    """Return the name of the present level."""
    return _level_name(logging.getLogger(_ROOT).getEffectiveLevel())


def reopen() -> None:
    """Reopen the log files, after they were rotated away.

    Raises:
        OSError: a file cannot be opened; the former goes on being written.
    """
    for sink in _fan.sinks if _fan else ():
        if isinstance(sink, File):
            sink.reopen()


def close() -> None:
    """Detach and close all sinks; the ring keeps its lines."""
    global _fan
    if _fan is not None:
        logging.getLogger().removeHandler(_fan)
        for sink in _fan.sinks:
            sink.close()
        _fan.close()
        _fan = None
