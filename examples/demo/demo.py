"""See l2tpd run: an LNS and a LAC on one machine, shown step by step with the commands that a user would type.

The two hosts are network namespaces joined by a cable (a veth pair), within a user namespace where we are not root; or, where namespaces are not
allowed, two addresses of the loopback interface, between which no packets of users move. Everything is made in a temporary directory and removed at the end. The exit status is 0 when all went as it should; otherwise the
logs of both daemons are printed and it is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

PATIENCE = 15.0
"""Seconds after which something that should have happened is given up."""
POLL = 0.05
SECRET = "correct horse battery staple"  # noqa: S105 - of this demonstration alone

MAINS = {"l2tpd": "l2tpd.app", "l2tpctl": "l2tpctl.__main__", "l2tpwatch": "l2tpctl.watch"}

CONFIGURATIONS = {path.stem: path.read_text() for path in Path(__file__).parent.glob("*.toml")}
"""What the hosts are told, by the names of the files beside this one; words in braces stand for what differs from run to run."""

DAVE = """
[tunnel.hq.session.dave]
calling_number = "5550004"
"""

# An SCCRQ as any client might send it: Host Name "stranger", Assigned Tunnel ID 7.
STRANGER = (
    "c802 003c 0000 0000 0000 0000 8008 0000 0000 0001 8008 0000 0002 0100"
    " 800a 0000 0003 0000 0003 800e 0000 0007 7374 7261 6e67 6572 8008 0000 0009 0007"
)

CALL = """\
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(10)
    sock.sendto(bytes.fromhex(sys.argv[3]), (sys.argv[1], int(sys.argv[2])))
    print(sock.recv(2048).hex())
"""


# Where an ordinary user may make network namespaces: as root of a user namespace, with a /run of its own, in which `ip netns` keeps them.
INSIDE = ("unshare", "-Urnm", "sh", "-c", 'mount -t tmpfs tmpfs /run && exec "$@"', "sh")

PROBE = """\
from l2tpd.errors import PlaneError
from l2tpd.kernel import tuntap
try:
    tuntap.probe()
except PlaneError as error:
    print(error.text)
"""


class Unexpected(Exception):
    """Something that this demonstration promises did not come true."""


# --- the page


def styled(text: str, code: str) -> str:
    """Colour a text on a terminal; elsewhere leave it alone."""
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def say(text: str) -> None:
    """Print a paragraph."""
    print(textwrap.fill(text, 100), flush=True)


def printed(text: str) -> None:
    """Print what a program said, indented."""
    if text.strip():
        print(textwrap.indent(text.rstrip("\n"), "    "), flush=True)


def expect(condition: object, promise: str) -> None:
    """Raise `Unexpected` unless the promise is kept."""
    if not condition:
        raise Unexpected(promise)


def until(probe: Callable[[], object], promise: str) -> None:
    """Wait for something that another process does; raises `Unexpected` when it does not come true."""
    deadline = time.monotonic() + PATIENCE
    while not probe():
        expect(time.monotonic() < deadline, promise)
        time.sleep(POLL)


# --- the hosts


@dataclass(frozen=True)
class Host:
    """One host of the scene: `enter` is what a command must begin with to run there."""

    name: str
    address: str
    port: int
    folder: Path
    enter: tuple[str, ...] = ()

    def argv(self, program: str, arguments: Sequence[str]) -> list[str]:
        """Return the real command line of one of our programs, or of another one."""
        if program not in MAINS:
            return [*self.enter, program, *arguments]
        start = f"import sys; from {MAINS[program]} import main; sys.exit(main())"
        return [*self.enter, sys.executable, "-c", start, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of this host's commands, in which l2tpctl finds its daemon and Python the sources."""
        path = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
        return {**os.environ, "PYTHONPATH": path, "L2TPD_SOCKET": str(self.folder / f"{self.name}.sock")}

    def typed(self, *words: str, background: bool = False) -> None:
        """Print a command as a user of this host would type it."""
        prompt = styled(f"{self.name}$", "1;34")
        print(f"  {prompt} {styled(shlex.join(words), '1')}{' &' if background else ''}", flush=True)

    def ask(self, program: str, *arguments: str) -> str:
        """Run a program without showing it, and return what it prints; raises `Unexpected` when it fails."""
        result = subprocess.run(
            self.argv(program, arguments), env=self.environment, cwd=self.folder, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        if result.returncode:
            said = result.stdout + result.stderr
            raise Unexpected(f"`{program} {shlex.join(arguments)}` succeeds on {self.name}:\n{said.rstrip()}")
        return result.stdout

    def run(self, program: str, *arguments: str) -> str:
        """Show a command and what it prints, and return that."""
        self.typed(program, *arguments)
        text = self.ask(program, *arguments)
        printed(text)
        return text

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Ask the daemon itself for the tunnels or sessions that are up, to compare them with what was shown."""
        request = {"jsonrpc": "2.0", "id": 1, "method": f"{kind[:-1]}.list", "params": {"state": "up"}}
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(PATIENCE)
            control.connect(self.environment["L2TPD_SOCKET"])
            control.sendall(json.dumps(request).encode() + b"\n")
            with control.makefile("rb") as answer:
                found: list[dict[str, Any]] = json.loads(answer.readline())["result"][kind]
        return found

    def write(self, name: str, text: str) -> None:
        """Write a file that only its owner can read, since it holds a secret, and show it."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        self.typed("cat", name)
        printed(text)


def run_quietly(*argv: str) -> None:
    """Run a command of the system; raises `CalledProcessError` or `OSError`."""
    subprocess.run(argv, check=True, capture_output=True, timeout=20)


def works(*argv: str) -> bool:
    """Tell whether a command of the system succeeds."""
    try:
        run_quietly(*argv)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def enter_user_namespace() -> None:
    """Begin again as root of a user namespace; return where we are root already, or where that is not allowed."""
    if os.geteuid() != 0 and works(*INSIDE, sys.executable, "-c", ""):
        os.execvp(INSIDE[0], [*INSIDE, sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - no shell is wanted


def lack_of_namespaces() -> str:
    """Say why we may not make network namespaces; nothing when we may."""
    if os.geteuid() != 0:
        return "neither are we root, nor may we be root of a user namespace, as network namespaces need"
    if shutil.which("ip") is None:
        return "the program `ip` (package iproute2) is missing"
    probe = f"l2tpd-demo-{os.getpid()}"
    usable = works("ip", "netns", "add", probe) and works("ip", "netns", "exec", probe, "true")
    works("ip", "netns", "delete", probe)
    return "" if usable else "this system does not allow network namespaces"


def lack_of_packets(host: Host) -> str:
    """Say why no packets of users can move between the hosts; nothing when they can."""
    if not host.enter:
        return "both hosts are the same machine, which keeps its packets to itself"
    if shutil.which("ping") is None:
        return "the program `ping` (package iputils-ping) is missing"
    command = [*host.enter, sys.executable, "-c", PROBE]
    probe = subprocess.run(command, env=host.environment, capture_output=True, text=True, timeout=60, check=True)
    return probe.stdout.strip()


@contextmanager
def cabled(folder: Path) -> Iterator[tuple[Host, Host]]:
    """Make two network namespaces with a cable between them; they are removed at the end, and the cable with them."""
    spaces = {name: f"l2tpd-demo-{os.getpid()}-{name}" for name in ("lns", "lac")}
    addresses = {"lns": "192.0.2.1", "lac": "192.0.2.2"}
    with ExitStack() as stack:
        for space in spaces.values():
            run_quietly("ip", "netns", "add", space)
            stack.callback(run_quietly, "ip", "netns", "delete", space)
        far_end = ("peer", "name", "cable0", "netns", spaces["lac"])
        run_quietly("ip", "link", "add", "cable0", "netns", spaces["lns"], "type", "veth", *far_end)
        for name, space in spaces.items():
            run_quietly("ip", "-n", space, "address", "add", f"{addresses[name]}/24", "dev", "cable0")
            run_quietly("ip", "-n", space, "link", "set", "lo", "up")
            run_quietly("ip", "-n", space, "link", "set", "cable0", "up")
        lns, lac = (
            Host(name, addresses[name], 1701, folder, ("ip", "netns", "exec", space)) for name, space in spaces.items()
        )
        yield lns, lac


@contextmanager
def looped(folder: Path) -> Iterator[tuple[Host, Host]]:
    """Give two addresses of the loopback interface, and a port that is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    yield Host("lns", "127.0.0.1", port, folder), Host("lac", "127.0.0.2", port, folder)


# --- what runs in the background


@dataclass
class Daemon:
    """A running l2tpd whose log goes to a file."""

    host: Host
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> Path:
        """Return the file of its log."""
        return log_of(self.host)

    def settled(self) -> bool:
        """Tell whether it serves; raises `Unexpected` when it has ended instead."""
        expect(self.process.poll() is None, f"l2tpd goes on running on {self.host.name}")
        return " notice: ready" in self.log.read_text()

    def stop(self) -> int:
        """Stop it politely, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def log_of(host: Host) -> Path:
    """Return where the daemon of a host logs."""
    return host.folder / f"{host.name}.log"


@dataclass
class Watch:
    """A running l2tpwatch; `shown` counts the lines that were printed already."""

    host: Host
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    shown: int = 0

    def read(self) -> None:
        """Collect its lines until it ends; runs in a thread."""
        if self.process.stdout is not None:
            self.lines.extend(line.rstrip("\n") for line in iter(self.process.stdout.readline, ""))

    def tell(self, *beginning: tuple[str, str]) -> None:
        """Wait for events that begin and go on like this, then print what has come since the last time."""
        for start, part in beginning:
            until(lambda: self.saw(start, part), f"l2tpwatch on {self.host.name} prints `{start} … {part}`")  # noqa: B023 - called at once
        print(f"  {styled('l2tpwatch on ' + self.host.name + ' has printed:', '3')}", flush=True)
        fresh = self.lines[self.shown :]
        self.shown += len(fresh)
        printed("\n".join(fresh))

    def saw(self, start: str, part: str) -> bool:
        """Tell whether such an event is among those not shown yet."""
        return any(line.startswith(start) and part in line for line in self.lines[self.shown :])


def end(process: subprocess.Popen[Any]) -> None:
    """Make sure that a process is gone."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- the play


@dataclass
class Demo:
    """The demonstration; `stack` ends whatever it started."""

    lns: Host
    lac: Host
    stack: ExitStack
    steps: int = 0
    daemons: dict[str, Daemon] = field(default_factory=dict)
    watch: Watch | None = None

    def play(self, *, packets: bool) -> None:
        """Show everything, in order; raises `Unexpected` at the first promise that is not kept. `packets`: also what takes interfaces."""
        for act in (
            self.start_lns, self.start_lac, self.look, self.call_out, self.add_and_delete, self.refuse, self.reload,
            self.take_down, self.stop,
        ):  # fmt: skip
            act()
        if packets:
            self.join()
            self.carry()
            self.part()

    def step(self, sentence: str) -> None:
        """Announce a step."""
        self.steps += 1
        print(flush=True)
        print(styled(textwrap.fill(f"{self.steps}. {sentence}", 100, subsequent_indent="   "), "1;32"), flush=True)

    def start_lns(self) -> None:
        """Configure the LNS, check, start and watch it."""
        self.step("The LNS gets a configuration, checks it (-n), starts, and is watched in the background.")
        self._configure(self.lns, "lns")
        self._start(self.lns)
        self.watch = self._watch(self.lns)
        peers = self.lns.run("l2tpctl", "show", "peers")
        expect("stranger" in peers, "both peer entries are listed")

    def start_lac(self) -> None:
        """Configure and start the LAC, which calls at once."""
        self.step("The LAC starts: it opens a tunnel with a secret, and reports two incoming calls through it.")
        self._configure(self.lac, "lac")
        self._start(self.lac)
        self._sessions_up(2)
        self._told(("TUNNEL UP", "peer_tid="), ("SESSION UP", ""))

    def look(self) -> None:
        """Show tunnels and sessions on both sides."""
        self.step("Both ends list the tunnel and its sessions; N marks what the other side created.")
        for host in (self.lac, self.lns):
            for kind in ("tunnels", "sessions"):
                expect(" UP " in host.run("l2tpctl", "show", kind), f"{host.name} shows its {kind} as up")
        ours, theirs = self.lac.rows("tunnels")[0], self.lns.rows("tunnels")[0]
        crossed = (ours["id"], ours["peer_id"]) == (theirs["peer_id"], theirs["id"])
        expect(crossed, "each end knows the other's tunnel id")

    def call_out(self) -> None:
        """Let the LNS ask for an outgoing call."""
        self.step("The other direction: the LNS asks the LAC to dial a number, an outgoing call in the same tunnel.")
        tunnel = f"@{self.lns.rows('tunnels')[0]['id']}"
        asked = ("--role", "lns", "--called-number", "5551234")
        self.lns.run("l2tpctl", "create", "session", tunnel, "dial-out", *asked)
        self._sessions_up(3)
        self.lns.run("l2tpctl", "show", "sessions", tunnel)
        self._told(("SESSION UP", 'name="dial-out"'))

    def add_and_delete(self) -> None:
        """Add and delete a session while everything runs."""
        self.step("A session is added while all this runs, and deleted again; the LNS is told why.")
        self.lac.run("l2tpctl", "create", "session", "hq", "carol", "--calling-number", "5550003")
        self._sessions_up(4)
        self.lac.run("l2tpctl", "delete", "session", "hq", "carol", "--reason", "wrong number")
        self._sessions_up(3)
        self._told(("SESSION DOWN", 'result=3 error=0 message="wrong number"'), ("SESSION DELETED", "wrong number"))

    def refuse(self) -> None:
        """Let a stranger call, and decode the answer."""
        self.step("A caller with another secret and a stranger without any are refused; one answer is decoded.")
        where = f"{self.lns.address}:{self.lns.port}"
        self.lac.run("l2tpctl", "create", "tunnel", "impostor", "--peer", where, "--secret", "guessed")
        self._told(("TUNNEL DELETED", "result=4"))
        call = [*self.lac.enter, sys.executable, "-c", CALL, self.lns.address, str(self.lns.port), STRANGER]
        answer = subprocess.run(call, check=False, capture_output=True, text=True, timeout=20).stdout.strip()
        expect(answer, "the LNS answers the stranger")
        text = self.lac.run("l2tpctl", "decode", answer)
        expect("StopCCN" in text and "not accepted" in text, "the answer is a StopCCN that says why")
        expect(1 == len(self.lns.rows("tunnels")), "neither has left a tunnel behind")

    def reload(self) -> None:
        """Change the configuration of the LAC."""
        self.step("The LAC's configuration gets one more session: plan says what a reload would do, reload does it.")
        before = {row["id"] for row in self.lac.rows("sessions")}
        with (self.lac.folder / "lac.toml").open("a") as file:
            file.write(DAVE)
        self.lac.typed("tail", "-n2", "lac.toml")
        printed(DAVE.strip("\n"))
        for command in ("plan", "reload"):
            expect("dave" in self.lac.run("l2tpctl", command), f"{command} names the new session")
        self._sessions_up(4)
        after = {row["id"] for row in self.lac.rows("sessions")}
        expect(before < after, "the other sessions have not noticed")
        self.lac.run("l2tpctl", "show", "sessions")
        self._told(("SESSION UP", ""))

    def take_down(self) -> None:
        """Delete the tunnel with a reason."""
        self.step("The LAC deletes the tunnel with a reason; result, error and message arrive at the LNS.")
        self.lac.run("l2tpctl", "delete", "tunnel", "hq", "--reason", "moving house")
        self._told(("TUNNEL DOWN", 'result=1 error=0 message="moving house"'), ("TUNNEL DELETED", "moving house"))
        for host in (self.lac, self.lns):
            expect(not host.rows("tunnels") and not host.rows("sessions"), f"nothing is left on {host.name}")
        self.lns.run("l2tpctl", "show", "tunnels")
        expect("moving house" in self.lns.run("l2tpctl", "show", "log", "-n", "1"), "the log of the LNS has it too")

    def stop(self) -> None:
        """Stop both daemons."""
        self.step("Both daemons are stopped politely, and l2tpwatch ends with the daemon that it watched.")
        self._stop()
        if self.watch is not None:
            expect(self.watch.process.wait(PATIENCE) == 0, "l2tpwatch ends with the daemon")

    def join(self) -> None:
        """Set up an Ethernet pseudowire."""
        self.step(
            "Now a cable by L2TPv3: one Ethernet pseudowire, its control messages signed, whose frames the daemons"
            ' themselves carry (data_plane = "user") between an interface `lan` on each host.'
        )
        for host in (self.lns, self.lac):
            self._configure(host, f"{host.name}-ethernet")
            self._start(host)
        self._sessions_up(1)
        for host in (self.lac, self.lns):
            expect(" lan" in host.run("l2tpctl", "show", "sessions"), f"the session has its interface on {host.name}")

    def carry(self) -> None:
        """Send packets through it."""
        self.step("Packets go through the tunnel.")
        expect(" 3 received" in self.lac.run("ping", "-c", "3", "-i", "0.2", "10.7.0.1"), "three pings are answered")
        self.lns.run("l2tpctl", "statistics")

    def part(self) -> None:
        """Stop both daemons; their interfaces go with them."""
        self.step("Both daemons are stopped again, and their interfaces are gone.")
        self._stop()
        for host in (self.lac, self.lns):
            expect(not works(*host.enter, "ip", "link", "show", "dev", "lan"), f"the interface is gone on {host.name}")

    # --- within

    def _stop(self) -> None:
        for host in (self.lac, self.lns):
            host.typed("kill", "%1")
            status = self.daemons[host.name].stop()
            printed(f"l2tpd ended with status {status}")
            expect(status == 0, f"l2tpd ends well on {host.name}")
            expect(" error: " not in log_of(host).read_text(), f"l2tpd logs no error on {host.name}")

    def _configure(self, host: Host, name: str) -> None:
        text = CONFIGURATIONS[name].format(
            folder=host.folder, lns=self.lns.address, lac=self.lac.address, port=self.lns.port, secret=SECRET
        )
        host.write(f"{host.name}.toml", text)
        checked = host.run("l2tpd", "-n", "-c", f"{host.name}.toml")
        expect(": correct: " in checked, f"the configuration of {host.name} is correct")

    def _start(self, host: Host) -> None:
        words = ("-f", "-c", f"{host.name}.toml")
        host.typed("l2tpd", *words, background=True)
        with log_of(host).open("wb") as log:
            process = subprocess.Popen(host.argv("l2tpd", words), env=host.environment, cwd=host.folder, stderr=log)
        self.stack.callback(end, process)
        daemon = self.daemons[host.name] = Daemon(host, process)
        until(daemon.settled, f"l2tpd becomes ready on {host.name}")

    def _watch(self, host: Host) -> Watch:
        host.typed("l2tpwatch", background=True)
        process = subprocess.Popen(
            host.argv("l2tpwatch", ()), env=host.environment, cwd=host.folder, stdout=subprocess.PIPE, text=True
        )
        watch = Watch(host, process)
        reader = threading.Thread(target=watch.read)
        reader.start()
        self.stack.callback(reader.join)
        self.stack.callback(end, process)
        return watch

    def _sessions_up(self, count: int) -> None:
        for host in (self.lac, self.lns):
            until(lambda: len(host.rows("sessions")) == count, f"{count} sessions are up on {host.name}")  # noqa: B023 - called at once

    def _told(self, *beginning: tuple[str, str]) -> None:
        if self.watch is not None:
            self.watch.tell(*beginning)


SHOWN = """\
a tunnel between two l2tpd (L2TPv2, RFC 2661), authenticated by a secret; a caller with another secret was refused
five sessions in it: two incoming calls configured, one outgoing call, one added by hand, one by a reload
the same ids and states seen from both ends, and every change as a line of l2tpwatch
a caller that is not accepted, and the StopCCN that tells it so, decoded
reasons that travel: result, error and message of a CDN and a StopCCN, as the other side saw them
a polite end of everything, with exit status 0 and no error in either log"""


CARRIED = "an Ethernet pseudowire by L2TPv3 (RFC 3931, RFC 4719) that carries packets, without any L2TP in the kernel"


def sum_up(where: str, seconds: float, lack: str) -> None:
    """Say what was shown, and what was not."""
    print(f"\n{styled('Shown', '1;32')}, {where}, in {seconds:.1f} s, each point checked:", flush=True)
    for line in [*SHOWN.splitlines(), *([] if lack else [CARRIED])]:
        print(f"  - {line}")
    print(f"\n{styled('Not shown', '1;33')}:")
    if lack:
        print(f"  - packets through a pseudowire: {lack}")
    print("  - PPP with its addresses, bridges, VLANs, and other people's L2TP at the far end: the other examples")


def stage(loopback: bool, folder: Path, stack: ExitStack) -> tuple[Host, Host, str]:
    """Set the stage; returns both hosts and a word about where they are."""
    lack = "asked for with --loopback" if loopback else lack_of_namespaces()
    if lack:
        say(f"Both hosts are addresses of the loopback interface ({lack}).")
        return *stack.enter_context(looped(folder)), "over loopback"
    say("The hosts `lns` and `lac` are two network namespaces of this machine, joined by a cable (a veth pair).")
    return *stack.enter_context(cabled(folder)), "between two network namespaces"


def show_logs(*hosts: Host) -> None:
    """Print the logs of the daemons."""
    for host in hosts:
        log = log_of(host)
        print(f"\nlog of {host.name}:")
        printed(log.read_text(errors="replace") if log.exists() else "(none)")


def perform(loopback: bool, folder: Path) -> int:
    """Set the stage, play, clean up; returns the exit status."""
    began = time.monotonic()
    with ExitStack() as stack:
        lns, lac, where = stage(loopback, folder, stack)
        say("On each, L2TPD_SOCKET names the control socket of its own daemon, so that l2tpctl needs no --socket.")
        lack = lack_of_packets(lac)
        try:
            Demo(lns, lac, stack).play(packets=not lack)
        except (Unexpected, OSError, subprocess.SubprocessError, KeyError, IndexError, ValueError) as failure:
            print(f"\n{styled('FAILED', '1;31')}: this was expected, and is not so: {failure}")
            show_logs(lns, lac)
            return 1
    sum_up(where, time.monotonic() - began, lack)
    return 0


def leave(_number: int, _frame: object) -> NoReturn:
    """Turn a signal into an exception, so that everything is cleaned up."""
    raise SystemExit(1)


def main() -> int:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description="Show an LNS and a LAC bring up tunnels, and take them down.")
    parser.add_argument("--loopback", action="store_true", help="do without namespaces even where they are allowed")
    arguments = parser.parse_args()
    if not arguments.loopback:
        enter_user_namespace()
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)
    with tempfile.TemporaryDirectory(prefix="l2tpd-demo-") as folder:
        try:
            return perform(arguments.loopback, Path(folder))
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
