"""The runner of the hook scripts, with real scripts in real processes: order, limits, and everything that a bad script may try."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import attrs
import pytest
import trio

from l2tpd import hooks, log, scripts
from l2tpd.events import ConfigReloaded, PppEvent, SessionEvent, TunnelEvent, What
from l2tpd.scripts import GLANCE, Scripts, flaw

LONG = 60.0  # no script of these takes as long, unless something is wrong


ISP = PppEvent(
    what=What.UP,
    network="ipv4",
    tunnel_id=7,
    session_id=3,
    interface="isp",
    dns=("9.9.9.9",),
    dns_handover="resolvconf",
)
"""What a peer gives us as its client."""


def tunnel(number: int, what: What = What.UP, name: str = "") -> TunnelEvent:
    return TunnelEvent(what=what, tunnel_id=number, name=name)


def session(number: int, what: What) -> SessionEvent:
    return SessionEvent(what=what, tunnel_id=7, session_id=number)


@attrs.define(eq=False)
class Stage:
    """A directory with scripts, and the runner of them; scripts write into `notes` what they do."""

    folder: Path
    scripts: Scripts

    @property
    def notes(self) -> Path:
        return self.folder / "notes"

    def write(self, name: str, *lines: str, mode: int = 0o755) -> Path:
        """Install a shell script, with `$notes` for the file of the notes."""
        path = self.folder / name
        path.write_text("\n".join(("#!/bin/sh", f"notes={shlex.quote(str(self.notes))}", *lines, "")))
        path.chmod(mode)
        return path

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    async def until(self, probe: Callable[[], object]) -> None:
        with trio.fail_after(LONG):
            while not probe():
                await trio.sleep(0.005)

    async def finish(self) -> None:
        """Wait for every script that was called."""
        await self.scripts.finish(LONG)
        assert (0, 0) == (self.scripts.waiting, self.scripts.running)


@pytest.fixture
async def stage(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Stage]:
    """A runner at work on a directory of its own."""
    log.configure("info")
    log.ring.clear()
    folder = tmp_path / "scripts"
    folder.mkdir(mode=0o755)
    stage = Stage(folder, Scripts(folder))
    await nursery.start(stage.scripts.run)
    yield stage
    nursery.cancel_scope.cancel()


# --- what a script gets


async def test_a_script_gets_arguments_environment_and_nothing_else(stage: Stage) -> None:
    """Its arguments as they are, an environment of PATH and what the event tells, null streams, the daemon's user, the root directory."""
    stage.write(
        "session-up",
        'echo "args $#: $*" >> $notes',
        "tr '\\0' '\\n' < /proc/$$/environ | sed 's/^/env /' >> $notes",
        "for fd in 0 1 2; do echo fd $fd $(readlink /proc/$$/fd/$fd) >> $notes; done",
        'echo "open $(ls /proc/self/fd | wc -w)" >> $notes',
        'echo "user $(id -ru) $(id -u), in $(pwd)" >> $notes',
        "echo group $(($(ps -o pgid= -p $$) - $$)) session $(($(ps -o sid= -p $$) - $$)) >> $notes",
    )
    event = SessionEvent(
        what=What.UP, tunnel_id=7, session_id=3, tunnel_name="hq", pseudowire="eth", user_data="Zürich; exit 1"
    )
    stage.scripts.offer(event)
    await stage.finish()
    assert [
        "args 3: 7 3 ETH",
        f"env PATH={scripts.PATH}",
        "env TUNNEL_NAME=hq",
        "env USER_DATA=Zürich; exit 1",
        *(f"fd {number} /dev/null" for number in range(3)),
        "open 4",  # the three, and the directory that is being listed
        f"user {os.getuid()} {os.geteuid()}, in /",
        "group 0 session 0",
    ] == stage.noted()
    assert {"run": 1} == stage.scripts.counts


async def test_each_event_calls_its_script(stage: Stage) -> None:
    """All eight, each for its event."""
    for name in hooks.SCRIPTS:
        stage.write(name, f'echo "{name} $*" >> $notes')
    for what in What:
        stage.scripts.offer(tunnel(7, what))
    for what in What:
        stage.scripts.offer(session(3, what))
    await stage.finish()
    noted = stage.noted()
    assert [f"tunnel-{what.value} 7" for what in What] == [line for line in noted if line.startswith("tunnel")]
    assert ["session-created 7 3", *(f"session-{word} 7 3 PPP" for word in ("up", "down", "deleted"))] == [
        line for line in noted if line.startswith("session")
    ]


async def test_name_servers_are_handed_over_and_taken_back(stage: Stage) -> None:
    """To whom the event says, before `ip-up`, by the text that resolvconf reads; without one, or without a program for it, nothing but a warning."""
    stage.scripts.path = str(stage.folder)
    stage.write("resolvconf", 'echo "resolvconf $*: $(tr "\\n" "," | cat)" >> $notes')
    stage.write("ip-up", 'echo "ip-up $1 $DNS1 $DNS2" >> $notes')
    up = attrs.evolve(ISP, dns=("9.9.9.9", "1.1.1.1"))
    for event in (
        up,
        attrs.evolve(up, what=What.DOWN),
        attrs.evolve(up, dns_handover=""),
        attrs.evolve(up, dns=()),
        attrs.evolve(up, dns_handover="resolved"),
    ):
        stage.scripts.offer(event)
    await stage.finish()
    assert [
        "resolvconf -a isp.l2tpd: nameserver 9.9.9.9,nameserver 1.1.1.1,",
        "ip-up isp 9.9.9.9 1.1.1.1",
        "resolvconf -d isp.l2tpd: ",
        "ip-up isp 9.9.9.9 1.1.1.1",
        "ip-up isp",
        "ip-up isp 9.9.9.9 1.1.1.1",
    ] == [line.rstrip() if line.startswith("ip-up") else line for line in stage.noted()]
    assert {"run": 6, "refused": 1} == stage.scripts.counts  # there is no resolvectl


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("printf '\\nno such \\033interface\\nand more\\n' >&2; exit 3", 'status=3 reason="no such \\x1binterface"'),
        ("exit 1", "program=resolvconf status=1"),
        ("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1", "status=1 reason=xxx"),
        ("kill -9 $$", "status=-9"),
    ],
)
async def test_a_program_that_fails_to_take_name_servers(stage: Stage, script: str, said: str) -> None:
    """The log has its status and the first line of what it complains of, however much that is; of one that does well, nothing."""
    stage.scripts.path = str(stage.folder)
    stage.write("resolvconf", script)
    stage.scripts.offer(ISP)
    await stage.finish()
    (line,) = [line.text for line in log.ring.lines() if "name servers" in line.text]
    assert said in line
    stage.write("resolvconf", "echo much ado >&2")
    stage.scripts.offer(ISP)
    await stage.finish()
    assert 1 == sum("name servers" in line.text for line in log.ring.lines())


async def test_any_program_will_do(stage: Stage) -> None:
    """A script need not be one of the shell."""
    program = stage.folder / "tunnel-up"
    program.write_text(f"#!{sys.executable} -I\nimport sys\nopen({str(stage.notes)!r}, 'w').write(sys.argv[1])\n")
    program.chmod(0o755)
    stage.scripts.offer(tunnel(7))
    await stage.finish()
    assert ["7"] == stage.noted()


async def test_what_a_script_says_and_returns_means_nothing(stage: Stage) -> None:
    """Its exit status, even a death by a signal, and a megabyte of output do no harm, and the next script runs."""
    stage.write("tunnel-created", "head -c 1000000 /dev/zero", "head -c 1000000 /dev/zero >&2", "exit 3")
    stage.write("tunnel-up", "kill -SEGV $$")
    stage.write("tunnel-down", "echo down >> $notes")
    for what in (What.CREATED, What.UP, What.DOWN):
        stage.scripts.offer(tunnel(7, what))
    await stage.finish()
    assert ["down"] == stage.noted()
    assert {"run": 3} == stage.scripts.counts
    assert [] == log.ring.lines()


# --- order and limits


async def test_scripts_of_one_instance_run_one_after_the_other(stage: Stage) -> None:
    """In the order of the events, never two at once, however long each takes, while those of other instances run beside them."""
    for name in hooks.SCRIPTS:
        stage.write(name, f'echo "$1 $2 begin {name}" >> $notes', "sleep 0.02", f'echo "$1 $2 end {name}" >> $notes')
    for what in What:
        for number in range(1, 6):
            stage.scripts.offer(tunnel(number, what))
            stage.scripts.offer(session(number, what))
    await stage.finish()
    noted = [line.split() for line in stage.noted()]
    order = [part for what in What for part in (("begin", what.value), ("end", what.value))]
    for number in range(1, 6):
        assert [(part, f"tunnel-{word}") for part, word in order] == [
            (words[1], words[2]) for words in noted if words[0] == str(number) and len(words) == 3
        ]
        assert [(part, f"session-{word}") for part, word in order] == [
            (words[2], words[3]) for words in noted if words[:2] == ["7", str(number)]
        ]
    assert 40 == stage.scripts.counts["run"]


async def test_so_many_run_at_once_and_no_more(stage: Stage) -> None:
    """With a limit of three, the first three wait for each other and meet; no fourth is ever there."""
    stage.scripts.limit = 3
    stage.write(
        "tunnel-up", "echo + >> $notes", "until [ $(grep -c + $notes) -ge 3 ]; do sleep 0.01; done", "echo - >> $notes"
    )
    for number in range(1, 13):
        stage.scripts.offer(tunnel(number))
    await stage.finish()
    there, most = 0, 0
    for sign in stage.noted():
        there += 1 if sign == "+" else -1
        most = max(most, there)
    assert (0, 3, 12) == (there, most, stage.scripts.counts["run"])


async def test_a_higher_limit_holds_at_once(stage: Stage) -> None:
    """Raised by a reload while scripts wait, it lets the next in."""
    stage.scripts.limit = 1
    stage.write("tunnel-up", "echo $1 >> $notes", "until [ -e $notes.go ]; do sleep 0.01; done")
    for number in (1, 2):
        stage.scripts.offer(tunnel(number))
    await stage.until(lambda: ["1"] == stage.noted())
    stage.scripts.limit = 2
    stage.scripts.offer(tunnel(3))
    await stage.until(lambda: ["1", "2"] == stage.noted())
    Path(f"{stage.notes}.go").touch()
    await stage.finish()
    assert ["1", "2", "3"] == stage.noted()


async def test_name_servers_stay_where_the_interface_has_another_session_by_now(stage: Stage) -> None:
    """Its predecessor's are withdrawn late, behind a slow script: too late, for they are gone already."""
    stage.scripts.path = str(stage.folder)
    stage.write("resolvconf", 'read line; echo "resolvconf $* $line" >> $notes')
    stage.write("ip-up", '[ $SESSION_ID = 4 ] || until [ -e "$notes.go" ]; do sleep 0.01; done')
    after = attrs.evolve(ISP, session_id=4, dns=("1.1.1.1",))
    stage.scripts.offer(ISP)
    await stage.until(stage.noted)
    stage.scripts.offer(attrs.evolve(ISP, what=What.DOWN))
    stage.scripts.offer(after)
    await stage.until(lambda: any("1.1.1.1" in line for line in stage.noted()))
    stage.notes.with_suffix(".go").touch()
    await stage.finish()
    assert [f"resolvconf -a isp.l2tpd nameserver {server}" for server in ("9.9.9.9", "1.1.1.1")] == stage.noted()
    stage.scripts.offer(attrs.evolve(after, what=What.DOWN))
    await stage.finish()
    assert "resolvconf -d isp.l2tpd " == stage.noted()[-1]


@pytest.mark.parametrize("named", [("ip-up", "ip-down"), ("ip-up",), ("ip-down",)])
async def test_a_network_that_flaps_takes_no_places_of_others(stage: Stage, named: tuple[str, ...]) -> None:
    """While its script is slow, ups and downs that cancel each other are left out; what was told last is what is so."""
    for name in named:
        stage.write(name, f'until [ -e "$notes.go" ]; do sleep 0.01; done; echo {name} >> $notes')
    flaps = [attrs.evolve(ISP, what=what, dns_handover="") for what in (What.UP, What.DOWN)]
    for _ in range(500):
        for event in flaps:
            stage.scripts.offer(attrs.evolve(event))
    assert stage.scripts.waiting <= scripts.LANE + 1
    assert 0 < stage.scripts.counts["dropped"]
    stage.scripts.offer(flaps[0])
    stage.notes.with_suffix(".go").touch()
    await stage.finish()
    noted = stage.noted()
    assert named[0] == noted[-1]
    if len(named) > 1:
        assert all(before != after for before, after in itertools.pairwise(noted))


async def test_a_flood_is_dropped_beyond_the_bound_and_counted(stage: Stage) -> None:
    """Of a thousand events while one script holds everything up, as many run as may wait; the log tells of the others in a few lines."""
    stage.scripts.limit, stage.scripts.size = 1, 10
    stage.write("tunnel-up", "echo $1 >> $notes", "until [ -e $notes.go ]; do sleep 0.01; done")
    stage.scripts.offer(tunnel(1))
    await stage.until(stage.noted)
    for number in range(1000):
        stage.scripts.offer(tunnel(2 + number))
    assert (10, 990) == (stage.scripts.waiting, stage.scripts.counts["dropped"])
    Path(f"{stage.notes}.go").touch()
    await stage.finish()
    assert [str(number) for number in range(1, 12)] == stage.noted()
    lines = [line.text for line in log.ring.lines()]
    assert 1 <= len(lines) <= 10
    assert all("script dropped" in line for line in lines)


async def test_below_the_bound_nothing_is_lost(stage: Stage) -> None:
    """Two hundred events at once, as many scripts."""
    stage.write("tunnel-up", "echo $1 >> $notes")
    for number in range(200):
        stage.scripts.offer(tunnel(number))
    await stage.finish()
    assert {str(number) for number in range(200)} == set(stage.noted())
    assert {"run": 200} == stage.scripts.counts


# --- scripts that misbehave


def alive(number: str) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return "Z" != Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_a_script_that_hangs_is_killed_with_its_children(stage: Stage) -> None:
    """It ignores every signal that can be ignored and has a child that does too; both are dead when the next of its instance runs."""
    stage.scripts.timeout = 2.0  # time enough to write its notes on a busy machine
    stage.write(
        "tunnel-up",
        "trap '' TERM HUP INT QUIT",
        "sleep 1000 & echo $! >> $notes",
        "echo $$ >> $notes",
        "while :; do wait; done",
    )
    stage.write("tunnel-down", "echo down >> $notes")
    for what in (What.UP, What.DOWN):
        stage.scripts.offer(tunnel(7, what))
    await stage.finish()
    child, script, last = stage.noted()
    assert "down" == last
    await stage.until(lambda: not alive(child))  # whoever inherited it has to reap it
    assert not alive(script)
    assert {"run": 2, "killed": 1} == stage.scripts.counts
    (line,) = (line.text for line in log.ring.lines())
    assert "script killed" in line
    assert "script=tunnel-up" in line


async def test_one_that_hangs_keeps_only_its_own_waiting(stage: Stage) -> None:
    """While the script of one tunnel hangs, those of a hundred others run."""
    stage.write("tunnel-up", '[ "$1" = 1 ] && exec sleep 1000', "echo $1 >> $notes")
    for number in (1, 1, *range(2, 102)):
        stage.scripts.offer(tunnel(number))
    await stage.until(lambda: (100, 1) == (len(stage.noted()), stage.scripts.running))
    assert {str(number) for number in range(2, 102)} == set(stage.noted())
    assert 1 == stage.scripts.waiting


async def test_what_stays_in_the_background_holds_nobody_up(stage: Stage) -> None:
    """A script may leave a process behind: it counts no longer, and lives on."""
    stage.write("tunnel-up", "sleep 1000 & echo $! >> $notes")
    stage.scripts.offer(tunnel(7))
    await stage.finish()
    (left,) = stage.noted()
    assert alive(left)
    os.kill(int(left), signal.SIGKILL)


async def test_nothing_is_left_when_the_runner_is_cancelled(tmp_path: Path) -> None:
    """Cancelled, it kills what runs and has reaped it when it returns."""
    stage = Stage(tmp_path, Scripts(tmp_path))
    tmp_path.chmod(0o755)
    stage.write("tunnel-up", "sleep 1000 & echo $! $$ >> $notes", "wait")
    async with trio.open_nursery() as nursery:
        await nursery.start(stage.scripts.run)
        for number in (1, 2, 3):
            stage.scripts.offer(tunnel(number))
        await stage.until(lambda: 3 == len(stage.noted()))
        nursery.cancel_scope.cancel()
    children, processes = zip(*(line.split() for line in stage.noted()), strict=True)
    assert not any(Path(f"/proc/{number}").exists() for number in processes)
    await stage.until(lambda: not any(alive(number) for number in children))  # whoever inherited them has to reap them


async def test_a_missing_script_takes_no_place(stage: Stage) -> None:
    """Events without a script, or of another kind, are not kept."""
    for number in range(100):
        stage.scripts.offer(tunnel(number))
    stage.scripts.offer(ConfigReloaded())
    assert (0, {}) == (stage.scripts.waiting, stage.scripts.counts)
    stage.scripts.directory = stage.folder / "nowhere"
    stage.scripts.offer(tunnel(1))
    assert 0 == stage.scripts.waiting


async def test_a_script_counts_from_the_moment_that_it_is_there(stage: Stage) -> None:
    """Installed while the daemon runs, it is run, if not for an event of the very same moment; one that went while its event waited is refused."""
    stage.scripts.offer(tunnel(1))
    path = stage.write("tunnel-up", "echo $1 >> $notes")
    await trio.sleep(GLANCE)
    stage.scripts.offer(tunnel(2))
    await stage.finish()
    assert ["2"] == stage.noted()
    stage.scripts.offer(tunnel(3))
    path.unlink()
    await stage.finish()
    assert {"run": 1, "refused": 1} == stage.scripts.counts


async def test_another_directory_holds_at_once(stage: Stage, tmp_path: Path) -> None:
    """As a reload changes it."""
    stage.write("tunnel-up", "echo old >> $notes")
    other = tmp_path / "other"
    other.mkdir(mode=0o755)
    stage.write("../other/tunnel-up", "echo new >> $notes")
    stage.scripts.directory = other
    stage.scripts.offer(tunnel(1))
    await stage.finish()
    assert ["new"] == stage.noted()


@pytest.mark.parametrize(
    ("first", "reason"), [("#!/nowhere/sh", "No such file"), ("echo hello", "Exec format error"), ("", "Exec format")]
)
async def test_what_cannot_be_executed_is_refused(stage: Stage, first: str, reason: str) -> None:
    """An interpreter that is not there, no interpreter at all: a warning, and other scripts run on."""
    broken = stage.folder / "tunnel-up"
    broken.write_text(f"{first}\n" if first else "")
    broken.chmod(0o755)
    stage.write("tunnel-down", "echo down >> $notes")
    for what in (What.UP, What.DOWN):
        stage.scripts.offer(tunnel(7, what))
    await stage.finish()
    assert ["down"] == stage.noted()
    assert {"run": 1, "refused": 1} == stage.scripts.counts
    (line,) = (line.text for line in log.ring.lines())
    assert "script refused" in line
    assert reason in line


async def test_a_flawed_script_is_refused_with_a_few_warnings(stage: Stage) -> None:
    """Everybody could have written it: it does not run, and a hundred events make no hundred lines."""
    stage.write("tunnel-up", "echo $1 >> $notes", mode=0o777)
    for number in range(100):
        stage.scripts.offer(tunnel(number))
    await stage.finish()
    assert [] == stage.noted()
    assert {"refused": 100} == stage.scripts.counts
    lines = [line.text for line in log.ring.lines()]
    assert 1 <= len(lines) <= 10
    assert "can be written by others (mode 0777)" in lines[0]


# --- flaws


def test_a_proper_script_has_none(tmp_path: Path) -> None:
    """Ours, executable, written by nobody else, in such a directory; also through a link."""
    tmp_path.chmod(0o755)
    script = tmp_path / "script"
    script.touch(0o755)
    link = tmp_path / "link"
    link.symlink_to(script)
    assert ["", ""] == [flaw(script), flaw(link)]


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        (0o644, "is not executable"),
        (0o775, "can be written by others (mode 0775)"),
        (0o757, "can be written by others (mode 0757)"),
    ],
)
def test_the_mode_of_a_script_matters(tmp_path: Path, mode: int, wanted: str) -> None:
    """It must be executable, and not writable by group or others."""
    tmp_path.chmod(0o755)
    script = tmp_path / "script"
    script.touch()
    script.chmod(mode)
    assert wanted == flaw(script)


def test_whoever_can_replace_a_script_could_as_well_write_it(tmp_path: Path) -> None:
    """The directory must not be writable by others either, nor that in which a link ends."""
    exposed = tmp_path / "exposed"
    exposed.mkdir()
    exposed.chmod(0o777)
    script = exposed / "script"
    script.touch(0o755)
    link = tmp_path / "link"
    link.symlink_to(script)
    wanted = f"its directory {exposed} can be written by others (mode 0777)"
    assert [wanted, wanted] == [flaw(script), flaw(link)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_script_belongs_to_root_or_to_the_daemon(tmp_path: Path) -> None:
    """Another's is refused, as is one in another's directory."""
    tmp_path.chmod(0o755)
    script = tmp_path / "script"
    script.touch(0o755)
    os.chown(script, 1234, -1)
    assert "belongs to the user 1234" == flaw(script)
    os.chown(script, 0, -1)
    os.chown(tmp_path, 1234, -1)
    assert f"its directory {tmp_path} belongs to the user 1234" == flaw(script)


def test_a_script_is_a_file(tmp_path: Path) -> None:
    """A directory, a pipe or nothing at all is not."""
    tmp_path.chmod(0o755)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    assert ["is no file", "is no file", "cannot be read: No such file or directory"] == [
        flaw(tmp_path / name) for name in ("folder", "pipe", "nothing")
    ]


# --- the end


async def test_the_end_waits_for_scripts_but_not_for_ever(stage: Stage) -> None:
    """What can be run in the time is; the rest is told, and the runner may be cancelled."""
    stage.scripts.limit = 1
    stage.write("tunnel-down", "echo $1 >> $notes")
    stage.write("tunnel-up", "exec sleep 1000")
    for number in (1, 2):
        stage.scripts.offer(tunnel(number, What.DOWN))
    stage.scripts.offer(tunnel(3, What.UP))
    stage.scripts.offer(tunnel(4, What.DOWN))
    await stage.until(lambda: 1 == stage.scripts.waiting)
    await stage.scripts.finish(0.05)
    assert ["1", "2"] == stage.noted()
    (line,) = (line.text for line in log.ring.lines())
    assert "the end comes before all scripts were run running=1 waiting=1" in line


async def test_with_nothing_to_run_the_end_is_at_once(tmp_path: Path) -> None:
    """Also where the runner never ran."""
    with trio.fail_after(LONG):
        await Scripts(tmp_path).finish(10 * LONG)


def test_the_runner_works_in_a_process_of_its_own(tmp_path: Path) -> None:
    """In a daemon whose locale knows only ASCII a script still reads UTF-8; in one with a terminal it still reads nothing."""
    tmp_path.chmod(0o755)
    stage = Stage(tmp_path, Scripts(tmp_path))
    stage.write("tunnel-up", 'echo "$TUNNEL_NAME $(readlink /proc/$$/fd/0)" > $notes')
    program = (
        "import sys, trio\n"
        "from pathlib import Path\n"
        "from l2tpd.events import TunnelEvent, What\n"
        "from l2tpd.scripts import Scripts\n"
        "async def main():\n"
        "    scripts = Scripts(Path(sys.argv[1]))\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        await nursery.start(scripts.run)\n"
        "        scripts.offer(TunnelEvent(what=What.UP, tunnel_id=1, name='Z\\u00fcrich'))\n"
        "        await scripts.finish(60)\n"
        "        nursery.cancel_scope.cancel()\n"
        "trio.run(main)\n"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment, check=True, timeout=LONG, input=b"")
    assert ["Zürich /dev/null"] == stage.noted()


def test_numbers_of_the_manual() -> None:
    """l2tpd(8) says how many, how long and how much waits."""
    page = (Path(scripts.__file__).parent / "man" / "l2tpd.8.md").read_text()
    for said in (
        f"at most {scripts.LIMIT} at once",
        f"For {scripts.TIMEOUT:g} seconds at most",
        f"When {scripts.SIZE:,} events",
    ):
        assert said in page
