"""The files for service managers, in the hands of the programs that they are for: systemd's own verifier, udev's, a shell, logrotate."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import attrs
import pytest

from l2tpd.kernel import tuntap

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "systemd"
UNIT = (FOLDER / "l2tpd.service").read_text()
CAPABILITIES = {"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE"}
PATIENCE = 60


def program(name: str) -> str:
    """Return where a program is; skip the test where there is none."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it said, all in one."""
    return subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def version(of: str) -> int:
    """Return the version of one of systemd's programs."""
    return int(run(of, "--version").stdout.split()[1])


# --- the unit


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, as installed beside a program that is there."""
    path = tmp_path / "l2tpd.service"
    path.write_text(re.sub("^(Exec.*)=l2tp[a-z]+ ", rf"\1={sys.executable} ", UNIT, flags=re.MULTILINE))
    return path


def test_systemd_understands_the_unit(unit: Path) -> None:
    """Every line of it; but for notify-reload where that is not known yet, which leaves the service at notify."""
    analyze = program("systemd-analyze")
    said = run(analyze, "verify", "--man=no", unit).stdout
    complaints = {line.partition(": ")[2] for line in said.splitlines() if "l2tpd.service" in line}
    assert complaints == (
        set() if version(analyze) >= 253 else {"Failed to parse service type, ignoring: notify-reload"}
    )


def test_the_verifier_would_have_complained(unit: Path) -> None:
    """A word that it does not know is said: the silence above means something."""
    unit.write_text(UNIT.replace("RestrictRealtime=yes", "RestrictRealtime=perhaps"))
    assert "perhaps" in run(program("systemd-analyze"), "verify", "--man=no", unit).stdout


def test_systemd_finds_the_sandbox_good(unit: Path) -> None:
    """Exposure of at most 3.0 of 10, which is systemd's "OK": as good as a service of root's can be that handles interfaces."""
    done = run(program("systemd-analyze"), "security", "--offline=true", "--threshold=30", "--no-pager", unit)
    assert 0 == done.returncode, done.stdout


def test_three_capabilities() -> None:
    """No more is left to whoever takes the daemon over."""
    (said,) = re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT, re.MULTILINE)
    assert set(said.split()) == CAPABILITIES


def test_the_daemon_is_content_with_them(tmp_path: Path) -> None:
    """With these alone, and no way to new ones, it serves, carries packets in user space, and ends well."""
    if os.geteuid() != 0:
        pytest.skip("a network namespace needs root")
    if not Path("/dev/net/tun").exists():
        pytest.skip("this kernel has no TUN/TAP")
    config = tmp_path / "l2tpd.toml"
    config.write_text(
        f'[system]\ncontrol_socket = "{tmp_path}/control.sock"\ndata_plane = "user"\nscript_directory = "{tmp_path}"\n'
    )
    bounds = ",".join(("-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in sorted(CAPABILITIES))))
    sandbox = [program("unshare"), "--net", program("setpriv"), f"--bounding-set={bounds}", "--no-new-privs"]
    with subprocess.Popen(
        [*sandbox, sys.executable, "-m", "l2tpd", "-f", "-c", config],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.PIPE,
        text=True,
    ) as daemon:
        assert daemon.stderr is not None
        said = []
        for line in daemon.stderr:
            said.append(line)
            if "notice: ready" in line:
                daemon.terminate()
    assert 0 == daemon.returncode, said
    assert any("notice: ready" in line for line in said), said


# --- interfaces


def patterns(file: str, key: str, separator: str | None) -> list[str]:
    """Return the patterns of names that a file is about."""
    (said,) = re.findall(rf'^.*\b{key}="?([^"\n]*)', (FOLDER / file).read_text(), re.MULTILINE)
    return str(said).split(separator)


@pytest.mark.parametrize(
    ("file", "key", "separator"),
    [
        ("70-l2tpd.network", "Name", None),
        ("70-l2tpd.link", "OriginalName", None),
        ("70-l2tpd.rules", "KERNEL=", "|"),
    ],
)
def test_whose_interfaces_are_left_alone(file: str, key: str, separator: str | None) -> None:
    """Those that the kernel, pppd and we name by ourselves, and no other."""
    meant = patterns(file, key, separator)
    ours = ["l2tpeth0", "ppp12", tuntap._ANY_NAME % 3, tuntap._ANY_PPP % 4]
    others = ["lo", "eth0", "enp3s0", "wlan0", "tun0", "br0", "veth1"]
    left = [name for name in (*ours, *others) if any(fnmatch.fnmatchcase(name, pattern) for pattern in meant)]
    assert ours == left


def test_udev_understands_the_rules() -> None:
    """By its own verifier, which is there since version 254."""
    udevadm = program("udevadm")
    if (found := int(run(udevadm, "--version").stdout)) < 254:
        pytest.skip(f"udevadm {found} has no `verify`")
    done = run(udevadm, "verify", "--resolve-names=never", FOLDER / "70-l2tpd.rules")
    assert 0 == done.returncode, done.stdout


# --- where they are installed


def test_what_the_wheel_installs() -> None:
    """Each file is there, goes where its program looks for it, and none is forgotten."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    places = {
        ".service": "lib/systemd/system",
        ".network": "lib/systemd/network",
        ".link": "lib/systemd/network",
        ".rules": "lib/udev/rules.d",
    }
    expected = {
        f"examples/systemd/{path.name}": f"{places.get(path.suffix, 'share/l2tpd')}/{path.name}"
        for path in FOLDER.iterdir()
        if path.suffix != ".md"
    }
    installed = {
        source: target for source, target in table["shared-data"].items() if source.startswith("examples/systemd/")
    }
    assert expected == installed


# --- without systemd


@attrs.frozen
class Machine:
    """A place where a daemon may run in the background: a mount namespace whose /run is empty."""

    folder: Path

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script there, which leaves no daemon behind."""
        text = f"mount -t tmpfs none /run\nend() {{ {self.service} stop; }}\ntrap end EXIT\n{script}"
        return run(
            program("unshare"), "--mount", "sh", "-e", "-c", text,
            L2TPD=str(self.folder / "l2tpd"),
            L2TPD_OPTIONS=f"-c {self.folder}/l2tpd.toml -o {self.log}",
            PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
        )  # fmt: skip

    @property
    def service(self) -> str:
        return f"{FOLDER}/l2tpd.sysv"

    @property
    def log(self) -> Path:
        return self.folder / "l2tpd.log"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    if os.geteuid() != 0:
        pytest.skip("a mount namespace needs root")
    program("flock")
    start = tmp_path / "l2tpd"
    start.write_text(f'#!/bin/sh\nexec {sys.executable} -m l2tpd "$@"\n')
    start.chmod(0o755)
    (tmp_path / "l2tpd.toml").write_text(
        f'[system]\ncontrol_socket = "{tmp_path}/control.sock"\ndata_plane = "null"\nscript_directory = "{tmp_path}"\n'
    )
    return Machine(tmp_path)


def test_a_service_from_start_to_stop(machine: Machine) -> None:
    """Each verb of the script does what it says, also when it need not be done, and status tells it by its exit status."""
    done = machine.run(f"""
        service={machine.service}
        $service status || echo "status $?"
        $service start
        $service start
        $service status
        $service reload
        number=$(cat /run/l2tpd/l2tpd.pid)
        $service restart
        test "$number" != "$(cat /run/l2tpd/l2tpd.pid)"
        $service stop
        $service stop
        $service status || echo "status $?"
        $service reload || echo "reload $?"
        echo 1 > /run/l2tpd/l2tpd.pid  # whose daemon has crashed, and whose number is another's now
        $service status || echo "status $?"
        $service begin || echo "begin $?"
    """)
    assert 0 == done.returncode, done.stdout
    said = [line for line in done.stdout.splitlines() if not line.startswith("usage")]
    stopped = ["l2tpd is not running", "status 3"]
    assert [*stopped, "l2tpd is running", *stopped, "reload 1", *stopped, "begin 2"] == said
    log = machine.log.read_text()
    assert 2 == log.count("notice: ready")
    assert "configuration reloaded" in log


def test_a_service_that_cannot_start_says_why(machine: Machine) -> None:
    """The exit status and the words are the daemon's."""
    (machine.folder / "l2tpd.toml").write_text("[system]\nhostnam = 1\n")
    done = machine.run(f"{machine.service} start || echo status $?")
    assert "hostnam" in done.stdout
    assert "status 2" in done.stdout


# What openrc-run(8) brings to a script, as far as ours asks for it; start-stop-daemon is the machine's own.
OPENRC = """
ebegin() { :; }
eend() { return "$1"; }
einfo() { echo "$*"; }
eerror() { echo "$*"; }
checkpath() { mkdir -p "$4"; }
service_started() { test -e /run/started; }
. "$SCRIPT"
command=$L2TPD
RC_CMD=$1
begin() {
    start_pre && start-stop-daemon --start --exec "$command" --pidfile "$pidfile" -- $command_args && touch /run/started
}
end() { stop_pre && stop && rm -f /run/started; }
case $1 in
start) begin ;;
stop) end ;;
restart) end && begin ;;
*) "$1" ;;
esac
"""


def test_an_openrc_service(machine: Machine) -> None:
    """Each verb does what it says; one that was killed has crashed, and whoever has its number now is left alone."""
    program("start-stop-daemon")
    (machine.folder / "openrc").write_text(OPENRC)
    done = machine.run(f"""
        export SCRIPT={FOLDER}/l2tpd.openrc
        service="sh {machine.folder}/openrc"
        $service status || echo "$?"
        $service start
        $service status
        $service reload
        $service reopen
        number=$(cat /run/l2tpd/l2tpd.pid)
        $service restart
        test "$number" != "$(cat /run/l2tpd/l2tpd.pid)"
        echo x > {machine.folder}/l2tpd.toml
        $service reload 2>/dev/null || echo "reload $?"
        $service restart 2>/dev/null || echo "restart $?"
        $service status
        kill -KILL "$(cat /run/l2tpd/l2tpd.pid)"
        flock --shared /run/l2tpd/l2tpd.pid true
        $service status || echo "$?"
        sleep 60 &
        echo $! > /run/l2tpd/l2tpd.pid
        $service stop
        kill $!
        $service status || echo "$?"
    """)
    stopped = ["status: stopped", "3"]
    expected = [
        *stopped,
        "status: started",
        "reload 2",
        "restart 2",
        "status: started",
        "status: crashed",
        "32",
        *stopped,
    ]
    assert (0, expected) == (done.returncode, done.stdout.splitlines())
    log = machine.log.read_text()
    assert (2, 1) == (log.count("notice: ready"), log.count("configuration reloaded"))


def test_a_running_service_is_not_given_up_for_a_mistake(machine: Machine) -> None:
    """SysV's restart and reload look at the configuration before they touch the daemon."""
    done = machine.run(f"""
        service={machine.service}
        $service start
        number=$(cat /run/l2tpd/l2tpd.pid)
        echo x > {machine.folder}/l2tpd.toml
        $service restart 2>/dev/null || echo "restart $?"
        $service reload 2>/dev/null || echo "reload $?"
        $service status
        test "$number" = "$(cat /run/l2tpd/l2tpd.pid)"
    """)
    assert (0, ["restart 2", "reload 2", "l2tpd is running"]) == (done.returncode, done.stdout.splitlines())


def test_logrotate(machine: Machine) -> None:
    """Its own run: what is logged after it is in the new file, and the daemon never stopped."""
    rotate = program("logrotate")
    config = (FOLDER / "l2tpd.logrotate").read_text()
    config = config.replace("/var/log/l2tpd/*.log", str(machine.log)).replace(" root adm", "")
    (machine.folder / "rotate").write_text(config)
    (machine.folder / "rotate").chmod(0o644)
    done = machine.run(f"""
        {machine.service} start
        chmod 755 {machine.folder}
        {rotate} --force --state {machine.folder}/state {machine.folder}/rotate
        {machine.service} stop
    """)
    assert 0 == done.returncode, done.stdout
    assert "notice: ready" in machine.log.with_name("l2tpd.log.1").read_text()
    assert "stopping" in machine.log.read_text()


UNDER_SYSTEMD = """
import os, socket, subprocess, sys
os.makedirs("/run/systemd/journal")
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal, open(sys.argv[1] + "/stderr", "w") as stderr:
    journal.bind("/run/systemd/journal/socket")
    journal.settimeout(20)
    status = os.fstat(stderr.fileno())
    environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    command = [sys.executable, "-m", "l2tpd", "-f", "-c", sys.argv[1] + "/l2tpd.toml"]
    with subprocess.Popen(command, stderr=stderr, env=environment) as daemon:
        said = b""
        while b"SYSLOG_IDENTIFIER" not in said or b"ready" not in said:
            said = journal.recv(65536)
        daemon.terminate()
sys.exit(daemon.returncode)
"""


def test_what_systemd_starts_logs_to_the_journal(machine: Machine) -> None:
    """By the journal's own protocol, and nothing a second time on stderr."""
    (machine.folder / "journal.py").write_text(UNDER_SYSTEMD)
    script = f"mount -t tmpfs none /run; exec {sys.executable} {machine.folder}/journal.py {machine.folder}"
    done = run(
        program("unshare"), "--mount", "sh", "-e", "-c", script, PYTHONPATH=os.pathsep.join(filter(None, sys.path))
    )
    assert 0 == done.returncode, done.stdout
    assert "" == (machine.folder / "stderr").read_text()


def test_the_script_for_openrc_is_one() -> None:
    """A shell can read it; its program and file are those of the others."""
    script = FOLDER / "l2tpd.openrc"
    done = run(program("sh"), "-n", script)
    assert 0 == done.returncode, done.stdout
    assert 'pidfile="/run/l2tpd/l2tpd.pid"' in script.read_text()
