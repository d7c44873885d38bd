"""The console command `l2tpd`: read the command line and the configuration, go to the background, run the daemon, answer with an exit status.

Everything that must happen before the event loop exists happens here. The order matters: configuration errors are reported while there is
still a terminal; the forks come before trio starts, which does not survive them; the process that was started stays until its grandchild
says through a pipe that it serves, or why it does not, so that the exit status tells the truth.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import gc
import os
import resource
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import attrs
import trio

from l2tpd import __version__, log
from l2tpd.clock import PassClock
from l2tpd.config.model import Config
from l2tpd.errors import ConfigError, L2tpError, StartupError
from l2tpd.options import Options
from l2tpd.systemd import Notifier, on_journal

Serve = Callable[[Config, Options], Awaitable[None]]

DEFAULT_CONFIG = Path("/etc/l2tpd/l2tpd.toml")
PID_FILE = Path("/run/l2tpd/l2tpd.pid")

WELL, FAILED, MISUSED = 0, 1, 2

_COPYRIGHT = "Copyright the l2tpd authors. Licensed under the Apache License, Version 2.0; there is no warranty."
_READY = b"ready\n"

_log = log.get("app")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0 well, 1 failed at run time, 2 usage or configuration error."""
    arguments = _parser().parse_args(argv)
    from l2tpd.config.load import load  # noqa: PLC0415 - it pulls in much that --help and --version need not wait for
    from l2tpd.daemon import serve  # noqa: PLC0415 - likewise

    return run(arguments, load, serve)


def run(arguments: argparse.Namespace, load: Callable[[Path], Config], serve: Serve, pid_file: Path = PID_FILE) -> int:
    """Do what the parsed `arguments` ask for, with `load` for the configuration and `serve` as the daemon's main task."""
    hold_standard_streams()
    options = _options(arguments)
    if options.stop_at_eof and not options.foreground:
        _complain("l2tpd: --stop-at-eof takes --foreground: in the background there is no standard input")
        return MISUSED
    try:
        config = load(options.config_path)
    except ConfigError as error:
        for problem in error.problems:
            _complain(str(problem))
        return MISUSED
    if arguments.dry_run:
        print(summary(options.config_path, config))
        return WELL
    if options.foreground:
        return Process(config, options, serve).run(_complain)
    return daemonise(functools.partial(_background, Process(config, options, serve), pid_file))


def summary(path: Path, config: Config) -> str:
    """Say in one line what a configuration holds."""
    sessions = sum(len(tunnel.sessions) for tunnel in config.tunnels.values())
    counts = (
        (len(config.listen), "listening address", "es"),
        (len(config.peers), "peer", "s"),
        (len(config.tunnels), "tunnel", "s"),
        (sessions, "session", "s"),
    )
    said = ", ".join(f"{count} {noun}{'' if count == 1 else plural}" for count, noun, plural in counts)
    return f"{path}: correct: {said}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="l2tpd", description="L2TP daemon: tunnels and sessions as LAC and as LNS.", allow_abbrev=False
    )
    add = parser.add_argument
    add(
        "-v",
        "--version",
        action="version",
        version=f"l2tpd {__version__}\n{_COPYRIGHT}",
        help="show version and copyright, and exit",
    )
    add("-f", "--foreground", action="store_true", help="stay in the foreground and log to stderr")
    add("--stop-at-eof", action="store_true", help="stop when standard input ends; with --foreground only")
    add(
        "-c",
        "--config-file",
        metavar="PATH",
        type=Path,
        default=DEFAULT_CONFIG,
        help="configuration: a file or a directory of *.toml (default: %(default)s)",
    )
    add("-o", "--log-file", metavar="FILE", type=Path, help="log to FILE")
    add("-n", "--dry-run", action="store_true", help="check the configuration, report, and exit")
    add("-d", "--debug", action="count", default=0, help="log more; may be repeated")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter  # keeps the two lines of --version apart
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    # The daemon will live in /, where relative paths mean something else. Symbolic links stay as they are: they may change before a reload.
    return Options(
        config_path=_absolute(arguments.config_file),
        foreground=arguments.foreground,
        stop_at_eof=arguments.stop_at_eof,
        log_file=arguments.log_file and _absolute(arguments.log_file),
        debug_level=arguments.debug,
        ready=lambda: None,
    )


def _absolute(path: Path) -> Path:
    return Path.cwd() / path


def _complain(text: str) -> None:
    print(text, file=sys.stderr)


# --- the process that serves


@attrs.define(eq=False)
class Process:
    """The daemon proper, in whichever process it ends up."""

    config: Config
    options: Options
    serve: Serve

    def run(self, complain: Callable[[str], None], ready: Callable[[], None] = lambda: None) -> int:
        """Serve until the end; `ready` is called once, `complain` gets a sentence for each reason not to start or to stop early."""
        try:
            self._open_log()
            raise_descriptor_limit()
            tune_collector()
            options = attrs.evolve(self.options, ready=functools.partial(self._ready, ready))
            clock = PassClock()
            trio.run(self.serve, self.config, options, clock=clock, instruments=[clock])
        except KeyboardInterrupt:  # before the signal receiver was open
            return FAILED
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - the last line of defence
            return self._failed(error, complain)
        finally:
            log.close()
        return WELL

    def _failed(self, error: Exception | BaseExceptionGroup[BaseException], complain: Callable[[str], None]) -> int:
        leaves = list(_leaves(error))
        if not all(isinstance(leaf, Exception) for leaf in leaves):
            raise error
        if not all(isinstance(leaf, (L2tpError, OSError)) for leaf in leaves):
            _log.critical("l2tpd crashed", exc_info=error)
        for leaf in leaves:
            sentence = _sentence(leaf)
            complain(f"l2tpd: {sentence}")
            if not self._logs_to_terminal:  # where one of the two is enough
                _log.critical(sentence)
        return FAILED

    @property
    def _logs_to_terminal(self) -> bool:
        return self.options.foreground and self.options.log_file is None

    def _open_log(self) -> None:
        level = log.raised(self.config.system.log_level, self.options.debug_level)
        if self.options.log_file is not None:
            log.configure(level, log.File(self.options.log_file))
        else:
            log.configure(level, self._usual_log())

    def _usual_log(self) -> log.Sink:
        """Choose where lines go unless a file was asked for; what we say on stderr under systemd would reach the journal without its fields."""
        if not self.options.foreground:
            return log.Syslog()
        return log.Journal() if on_journal() else log.Stream()

    def _ready(self, then: Callable[[], None]) -> None:
        freeze_collector()
        _log.notice("ready")
        Notifier().ready("serving")
        then()


def _leaves(error: BaseException) -> Iterator[BaseException]:
    # trio wraps what leaves a nursery in groups, however few there are.
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, (L2tpError, OSError)):
        return str(error)
    return f"internal error: {type(error).__name__}: {error}"


def hold_standard_streams() -> None:
    """Open what of stdin, stdout and stderr whoever started us has closed, lest a socket of ours takes its number and is written to."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        setattr(sys, ("stdin", "stdout", "stderr")[fd], os.fdopen(fd, "r" if fd == 0 else "w", closefd=False))
    os.close(fd)


def raise_descriptor_limit() -> None:
    """Allow this process as many descriptors as its hard limit admits: each tunnel needs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tune_collector() -> None:
    """Let the cycle collector run seldom: at its default thresholds it takes half the time of a mass set-up."""
    gc.set_threshold(50_000, 20, 100)


def freeze_collector() -> None:
    """Exempt what start-up left behind from every later collection."""
    gc.collect()
    gc.freeze()


# --- the way to the background


def _background(process: Process, pid_file: Path, report: Callable[[bytes], None]) -> int:
    def complain(text: str) -> None:
        report(text.encode(errors="replace") + b"\n")

    try:
        held = PidFile.take(pid_file)
    except (OSError, StartupError) as error:
        complain(f"l2tpd: {_sentence(error)}")
        return FAILED
    try:
        return process.run(complain, lambda: report(_READY))
    finally:
        held.release()


def daemonise(work: Callable[[Callable[[bytes], None]], int]) -> int:
    """Run `work` in a daemon, and return when it has said whether it serves.

    `work` gets a function that reports to the process waiting here: `ready`, or complaints, which are printed on stderr. Returns 0 if it was
    ready, 1 if it ended before. Only the process that called returns.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()  # close-on-exec both
    child = os.fork()
    if child == 0:
        os.close(reading)
        _detach(work, writing)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        return _await_report(iter(pipe.readline, b""))


def _await_report(lines: Iterator[bytes]) -> int:
    complained = False
    for line in lines:
        if line == _READY:
            return WELL
        _complain(line.decode(errors="replace").rstrip("\n"))
        complained = True
    if not complained:
        _complain("l2tpd: ended before it was ready; see the system log")
    return FAILED


def _detach(work: Callable[[Callable[[bytes], None]], int], writing: int) -> NoReturn:
    """Become a daemon and do the work. Whatever happens, nothing of the caller's stack runs again in this process."""
    status = FAILED
    try:
        os.setsid()
        # The session leader leaves, so that the daemon can never acquire a terminal.
        if os.fork() != 0:
            os._exit(WELL)
        os.chdir("/")
        os.umask(
            0o022
        )  # the members of a group must get to the control socket; what is secret is made with its own mode
        _silence()
        _close_inherited(writing)
        status = work(_reporter(writing))
    finally:
        os._exit(status)


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    if null > 2:  # not one of the three just replaced
        os.close(null)


def _close_inherited(but: int) -> None:
    """Close what whoever started us had open: a pipe would never end, a lock never be let go."""
    # Not closerange: where the kernel has none and the limit is a thousand millions, as in some containers, it takes minutes.
    for path in list(Path("/proc/self/fd").glob("*")):  # without /proc they stay
        if int(path.name) not in {0, 1, 2, but}:
            with contextlib.suppress(OSError):  # the one by which the list was read
                os.close(int(path.name))


def _reporter(writing: int) -> Callable[[bytes], None]:
    """Return a function that writes to the waiting parent; after `ready` there is no parent any more."""
    open_ = True

    def report(message: bytes) -> None:
        nonlocal open_
        if not open_:
            return
        try:
            os.write(writing, message)
        except OSError:  # the parent was killed; the daemon lives on
            message = _READY
        if message == _READY:
            os.close(writing)
            open_ = False

    return report


@attrs.define(eq=False)
class PidFile:
    """A file with our process id, locked as long as we live.

    The lock, not the number, tells whether a daemon runs: the kernel drops it with the process, so a file left by a crash is taken over even
    if its number meanwhile belongs to somebody else.
    """

    path: Path
    fd: int

    @classmethod
    def take(cls, path: Path) -> PidFile:
        """Create or take over the file at `path` and write our process id.

        Raises:
            StartupError: a living process holds it.
            OSError: the file or its directory cannot be made.
        """
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running = os.read(fd, 20).decode("ascii", "replace").strip()
                os.close(fd)
                text = f"already running as process {running or '(starting)'}, which holds {path}"
                raise StartupError(text) from None
            if _is_same(fd, path):
                break
            os.close(fd)  # its former holder removed it between our open and our lock
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        return cls(path, fd)

    def release(self) -> None:
        """Remove the file; a directory that was taken away meanwhile is no matter."""
        self.path.unlink(missing_ok=True)
        os.close(self.fd)


def _is_same(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
