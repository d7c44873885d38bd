"""The command from outside: each test starts it as a process, with a small main task in the place of the daemon's."""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
import trio

from l2tpd import __version__
from l2tpd.app import PidFile, freeze_collector, raise_descriptor_limit, summary, tune_collector
from l2tpd.config.model import Config, HostPort, SessionInstance, TunnelInstance
from l2tpd.errors import StartupError

HARNESS = """
import os, signal, sys
from pathlib import Path
import trio
from l2tpd import app, log
from l2tpd.config.model import Config, System
from l2tpd.errors import ConfigError, Problem, StartupError
from l2tpd.signals import watch

def load(path):
    if not path.exists():
        raise ConfigError((Problem(str(path), "", "no such file"), Problem(str(path), "system.hostname", "must be text")))
    return Config(system=System(log_level=os.environ.get("LEVEL", "notice")))

async def serve(config, options):
    {body}

sys.exit(app.run(app._parser().parse_args(), load, serve, Path({pid_file!r})))
"""

SERVE = """
log.get("test").info("working in " + os.getcwd())
log.get("test").debug("deep down")
async with trio.open_nursery() as nursery:
    await nursery.start(watch, lambda now: nursery.cancel_scope.cancel(), *[lambda: None] * 3)
    options.ready()
"""


@attrs.define
class Command:
    """Starts `l2tpd` with another main task."""

    directory: Path

    @property
    def pid_file(self) -> Path:
        return self.directory / "run" / "l2tpd.pid"

    @property
    def config(self) -> Path:
        return self.directory / "l2tpd.toml"

    def line(self, body: str, *arguments: str) -> list[str]:
        """Return the command line that runs `body` as the main task."""
        program = HARNESS.format(body=textwrap.indent(body, "    ").strip(), pid_file=str(self.pid_file))
        return [sys.executable, "-c", program, *arguments]

    def run(self, body: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run to the end and return what was said."""
        return subprocess.run(
            self.line(body, *arguments),
            env=environment(**environ),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def environment(**more: str) -> dict[str, str]:
    """Return the environment in which the sources are found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """Give a command with an empty configuration; no daemon of it outlives the test."""
    command = Command(tmp_path)
    command.config.touch()
    yield command
    if command.pid_file.exists():
        os.kill(int(command.pid_file.read_text()), signal.SIGKILL)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process does."""
    with trio.fail_after(30):
        while not condition():
            await trio.sleep(0.01)


# --- options


def test_version_is_said_on_stdout(command: Command) -> None:
    """-v prints version and copyright and exits with 0."""
    for option in ("-v", "--version"):
        result = command.run("raise AssertionError", option)
        assert (0, f"l2tpd {__version__}") == (result.returncode, result.stdout.splitlines()[0])
        assert "Apache" in result.stdout


def test_help_names_every_option(command: Command) -> None:
    """Each short option is shown with its long form."""
    said = command.run("raise AssertionError", "-h").stdout
    for pair in (
        "-h, --help",
        "-v, --version",
        "-f, --foreground",
        "-c PATH, --config-file PATH",
        "-o FILE, --log-file FILE",
    ):
        assert pair in said
    assert "-n, --dry-run" in said
    assert "-d, --debug" in said


@pytest.mark.parametrize("arguments", [["--unknown"], ["-c"], ["operand"], ["--fore"]])
def test_misuse_ends_with_two(command: Command, arguments: list[str]) -> None:
    """An unknown or abbreviated option, a missing or surplus operand: usage on stderr, status 2."""
    result = command.run("raise AssertionError", *arguments)
    assert 2 == result.returncode
    assert result.stderr.startswith("usage: l2tpd")


def test_the_background_has_no_standard_input_to_end(command: Command) -> None:
    """So who asks to stop with it is told, and nothing is started."""
    result = command.run("raise AssertionError", "--stop-at-eof", "-c", "l2tpd.toml")
    assert 2 == result.returncode
    assert result.stderr.startswith("l2tpd: --stop-at-eof takes --foreground")


def test_all_configuration_errors_are_printed(command: Command) -> None:
    """Each error is one line on stderr, without a traceback, and the status is 2, also where a daemon was asked for."""
    missing = command.directory / "missing.toml"
    expected = f"{missing}: no such file\n{missing}: system.hostname: must be text\n"
    for mode in (["-f"], ["-n"], []):
        result = command.run(SERVE, *mode, "-c", "missing.toml")
        assert (2, "", expected) == (result.returncode, result.stdout, result.stderr)


def test_a_dry_run_reports_and_does_nothing(command: Command) -> None:
    """-n checks, says what was found, and never runs the main task."""
    result = command.run("raise AssertionError", "-n", "-c", "l2tpd.toml")
    expected = f"{command.config}: correct: 0 listening addresses, 0 peers, 0 tunnels, 0 sessions\n"
    assert (0, expected, "") == (result.returncode, result.stdout, result.stderr)


def test_the_summary_counts() -> None:
    """Singular and plural are right."""
    tunnel = TunnelInstance(name="hq", peer=HostPort("192.0.2.1", 1701), sessions={"a": SessionInstance(name="a")})
    assert "x: correct: 0 listening addresses, 0 peers, 1 tunnel, 1 session" == summary(
        Path("x"), Config(tunnels={"hq": tunnel})
    )


# --- foreground


def test_foreground_logs_to_stderr(command: Command) -> None:
    """With -f the log is stderr, `ready` is said at notice level, no pid file is written, and the end is well."""
    result = command.run("assert options.foreground\noptions.ready()", "-f", "-c", "l2tpd.toml")
    assert (0, "") == (result.returncode, result.stdout)
    assert result.stderr.endswith(" notice: ready\n")
    assert not command.pid_file.exists()


@pytest.mark.parametrize(
    ("options", "levels"), [([], ["notice"]), (["-d"], ["notice", "info"]), (["-dd"], ["notice", "info", "debug"])]
)
def test_each_debug_option_says_more(command: Command, options: list[str], levels: list[str]) -> None:
    """From notice, -d leads to info, a second to debug."""
    body = "\n".join(f"log.get('test').{level}('x')" for level in ("notice", "info", "debug"))
    result = command.run(body, "-f", *options, "-c", "l2tpd.toml")
    assert levels == [line.split()[1].rstrip(":") for line in result.stderr.splitlines()]


def test_a_log_file_takes_the_place_of_stderr(command: Command) -> None:
    """-o FILE gets the log, relative to where the command was given."""
    result = command.run("options.ready()", "-f", "-o", "l2tpd.log", "-c", "l2tpd.toml")
    assert (0, "") == (result.returncode, result.stderr)
    assert (command.directory / "l2tpd.log").read_text().endswith(" notice: ready\n")


def test_ready_is_told_to_systemd(command: Command) -> None:
    """NOTIFY_SOCKET hears READY=1."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(command.directory / "notify"))
        sock.setblocking(False)
        command.run("options.ready()", "-f", "-c", "l2tpd.toml", NOTIFY_SOCKET=str(command.directory / "notify"))
        assert b"READY=1\nSTATUS=serving" == sock.recv(100)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("raise StartupError('no address to listen on')", "l2tpd: no address to listen on"),
        ("open('/nonexistent/socket')", "l2tpd: /nonexistent/socket: No such file or directory"),
        (
            "async with trio.open_nursery() as nursery:\n    raise OSError(98, 'Address already in use', '0.0.0.0:1701')",
            "l2tpd: 0.0.0.0:1701: Address already in use",
        ),
    ],
)
def test_a_failed_start_is_one_sentence(command: Command, body: str, sentence: str) -> None:
    """What the machine refuses is said without a traceback, however trio wraps it; the status is 1."""
    result = command.run(body, "-f", "-c", "l2tpd.toml")
    assert (1, f"{sentence}\n") == (result.returncode, result.stderr)


def test_a_bug_leaves_its_traceback_in_the_log(command: Command) -> None:
    """An exception nobody meant is logged in full, and still ends with status 1."""
    result = command.run("1 / 0", "-f", "-o", "l2tpd.log", "-c", "l2tpd.toml")
    assert (1, "l2tpd: internal error: ZeroDivisionError: division by zero\n") == (result.returncode, result.stderr)
    assert "Traceback (most recent call last)" in (command.directory / "l2tpd.log").read_text()


def test_a_log_that_cannot_be_opened_is_a_failed_start(command: Command) -> None:
    """The directory of the log file must exist."""
    result = command.run("options.ready()", "-f", "-o", "/nonexistent/log", "-c", "l2tpd.toml")
    assert (1, "l2tpd: /nonexistent/log: No such file or directory\n") == (result.returncode, result.stderr)


async def test_an_interrupt_before_the_daemon_listens_is_quiet(command: Command) -> None:
    """Control-C while starting ends with 1, without a traceback."""
    body = "print('started', flush=True)\nawait trio.sleep(60)"
    process = await trio.lowlevel.open_process(
        command.line(body, "-f", "-c", "l2tpd.toml"),
        env=environment(),
        cwd=command.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with process.stdout, process.stderr:
        with trio.fail_after(30):
            await process.stdout.receive_some()
            process.send_signal(signal.SIGINT)
            said = b"".join([chunk async for chunk in process.stderr])
            assert (1, b"") == (await process.wait(), said)


# --- background


async def test_a_daemon_detaches_and_cleans_up(command: Command) -> None:
    """The command returns 0 once it is ready; the daemon has its own session, no terminal, the root directory, and removes its pid file."""
    result = command.run(SERVE, "-d", "-o", "l2tpd.log", "-c", "l2tpd.toml")
    assert (0, "", "") == (result.returncode, result.stdout, result.stderr)
    pid = int(command.pid_file.read_text())
    assert os.getsid(pid) not in {pid, os.getsid(0)}
    assert {"/dev/null"} == {str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in range(3)}
    assert Path("/") == Path(f"/proc/{pid}/cwd").readlink()
    os.kill(pid, signal.SIGTERM)
    await until(lambda: not command.pid_file.exists())
    text = (command.directory / "l2tpd.log").read_text()
    assert "notice: ready" in text
    assert "info: working in /" in text


def test_a_daemon_is_started_by_who_has_closed_its_streams(command: Command) -> None:
    """What it opens takes their numbers neither in the process that waits, nor in the daemon, nor in one that stays in the foreground."""
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    missing = subprocess.run([*closed, *command.line(SERVE, "-f", "-c", "none")], env=environment(), check=False)
    assert 2 == missing.returncode
    started = subprocess.run(
        [*closed, *command.line(SERVE, "-c", os.fspath(command.config))], env=environment(), timeout=60, check=False
    )
    assert 0 == started.returncode
    pid = int(command.pid_file.read_text())
    assert {"/dev/null"} == {str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in range(3)}


def test_a_daemon_keeps_nothing_that_its_starter_had_open(command: Command) -> None:
    """Whoever waits for the end of a pipe, as debconf does, or for a lock, is not kept waiting."""
    reading, writing = os.pipe()
    subprocess.run(
        command.line(SERVE, "-c", os.fspath(command.config)),
        env=environment(),
        pass_fds=[writing],
        timeout=60,
        check=True,
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert [pipe] == select.select([pipe], [], [], 30)[0]
        assert b"" == pipe.read()


@pytest.mark.parametrize("files", [(), ("-o", "l2tpd.log")])
def test_a_daemon_that_cannot_start_tells_its_parent(command: Command, files: tuple[str, ...]) -> None:
    """The error reaches the terminal although the daemon has none; status 1, no pid file left."""
    result = command.run("raise StartupError('no address to listen on')", *files, "-c", "l2tpd.toml")
    assert (1, "l2tpd: no address to listen on\n") == (result.returncode, result.stderr)
    assert not command.pid_file.exists()


def test_a_daemon_that_dies_without_a_word_is_noticed(command: Command) -> None:
    """Even a kill before it was ready gives status 1 and a sentence."""
    result = command.run("os.kill(os.getpid(), signal.SIGKILL)", "-c", "l2tpd.toml")
    assert (1, "l2tpd: ended before it was ready; see the system log\n") == (result.returncode, result.stderr)
    command.pid_file.unlink()


async def test_a_second_daemon_is_refused_and_a_dead_one_replaced(command: Command) -> None:
    """While the first lives its pid file is respected; after a crash the file is taken over."""
    assert 0 == command.run(SERVE, "-c", "l2tpd.toml").returncode
    pid = int(command.pid_file.read_text())
    result = command.run(SERVE, "-c", "l2tpd.toml")
    assert (1, f"l2tpd: already running as process {pid}, which holds {command.pid_file}\n") == (
        result.returncode,
        result.stderr,
    )
    os.kill(pid, signal.SIGKILL)
    await until(lambda: command.run(SERVE, "-c", "l2tpd.toml").returncode == 0)
    assert pid != int(command.pid_file.read_text())


# --- parts


def test_a_stale_pid_file_is_taken_over_whatever_it_says(tmp_path: Path) -> None:
    """A number that belongs to a living stranger does not keep us from starting: the lock decides."""
    path = tmp_path / "new" / "l2tpd.pid"
    path.parent.mkdir()
    path.write_text("1\n" + "x" * 100)
    held = PidFile.take(path)
    assert f"{os.getpid()}\n" == path.read_text()
    with pytest.raises(StartupError, match=f"already running as process {os.getpid()}"):
        PidFile.take(path)
    held.release()
    assert not path.exists()
    PidFile.take(path).release()


def test_a_pid_file_is_no_symbolic_link(tmp_path: Path) -> None:
    """Whoever may write to the directory cannot have us overwrite a file elsewhere."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "l2tpd.pid").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        PidFile.take(tmp_path / "l2tpd.pid")
    assert "precious" == (tmp_path / "victim").read_text()


def test_the_descriptor_limit_is_raised_to_the_hard_one() -> None:
    """The soft limit follows the hard limit, in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        raise_descriptor_limit()
        assert (hard, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_collector_is_tuned_for_many_lasting_objects() -> None:
    """Collections are seldom, and what start-up made is exempt."""
    before = gc.get_threshold()
    try:
        tune_collector()
        assert before[0] < gc.get_threshold()[0]
        freeze_collector()
        assert 0 < gc.get_freeze_count()
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
