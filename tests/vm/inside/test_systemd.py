"""The unit under a systemd that has booted: as the first process of its own PID namespace, with nothing to run but the journal and l2tpd.

The unit is the one that is installed, word for word. Its sandbox hides where tests and their environment are as a rule (/home, /root, /tmp), so these
are bound to /srv, and `l2tpd` and `l2tpctl` are two lines of shell in /usr/local/sbin.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from interop.program import SLOWNESS

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0 * SLOWNESS  # seconds for what takes two
JOURNAL = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket")
TARGETS = ("sysinit", "basic", "shutdown", "network-online", "default")

CONFIG = """
[system]
hostname = "booted.example"

[tunnel.cable]
peer = "127.0.0.2:1702"
local = "127.0.0.1"
local_port = 1703
version = "l2tpv3"
mode = "static"
tunnel_id = 5
peer_tunnel_id = 6

[tunnel.cable.session.ether]
pseudowire = "eth"
interface_name = "cable0"
session_id = 7
peer_session_id = 8
"""

HOOK = """#!/bin/sh
ip link set dev "$INTERFACE_NAME" alias "by the hook" && echo "$*" >/var/lib/l2tpd/hook
"""

WRAPPER = """#!/bin/sh
export PYTHONPATH=/srv/source:/srv/source/cli:/srv/packages
exec {python} -m {module} "$@"
"""

BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /srv
mount -t tmpfs tmpfs /usr/local/sbin
mkdir -p /etc/l2tpd /srv/source /srv/packages /var/lib/l2tpd
mount -t tmpfs tmpfs /var/lib/l2tpd
mount -t tmpfs -o mode=755 tmpfs /etc/l2tpd
mount --bind {source} /srv/source
mount --bind {packages} /srv/packages
cp {folder}/etc/* /etc/l2tpd
cp {folder}/sbin/* /usr/local/sbin
mount -t proc proc /proc
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env -i PATH="$PATH" container=test SYSTEMD_UNIT_PATH={folder}/units /lib/systemd/systemd --system --log-target=null --show-status=0
"""


def child_of(parent: int) -> int | None:
    """Return the process that `parent` has started."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(words[1]) == parent:
            return int(stat.parent.name)
    return None


@attrs.frozen
class Machine:
    """A machine with systemd, whose first process has the number `init` out here."""

    init: int
    drop_ins: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it; returns with all that it said."""
        return subprocess.run(
            ["nsenter", f"--target={self.init}", "--pid", "--mount", "--root", "--wd", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def do(self, *words: str) -> str:
        """Run a command that must end well, and return what it said."""
        done = self.run(*words)
        assert 0 == done.returncode, f"{words}: {done.stdout}\n{self.run('journalctl', '--no-pager').stdout}"
        return done.stdout

    def shown(self, name: str) -> str:
        """Return a property of the service."""
        return self.do("systemctl", "show", "--value", "--property", name, "l2tpd").strip()

    def write(self, path: str, text: str) -> None:
        """Write a file there, which keeps its mode."""
        self.do("sh", "-c", 'printf %s "$1" >"$2"', "sh", text, path)

    def until(self, shell: str) -> None:
        """Wait until a shell line ends well."""
        deadline = time.monotonic() + PATIENCE
        while (done := self.run("sh", "-c", shell)).returncode:
            assert time.monotonic() < deadline, f"{shell}: {done.stdout}"
            time.sleep(0.5)  # looking costs the only processor more than what is waited for


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Boot a machine; the service is known to it, and not started."""
    folder = tmp_path_factory.mktemp("machine")
    units, etc, sbin = (folder / name for name in ("units", "etc", "sbin"))
    for place in (units, etc, sbin):
        place.mkdir()
    for name in TARGETS:
        wants = f"Wants={' '.join(JOURNAL)}\n" if name == "sysinit" else ""
        (units / f"{name}.target").write_text(f"[Unit]\nDefaultDependencies=no\n{wants}")
    for name in JOURNAL:
        shutil.copy(f"/lib/systemd/system/{name}", units)
    shutil.copy(ROOT / "examples" / "systemd" / "l2tpd.service", units)
    (etc / "l2tpd.toml").write_text(CONFIG)
    (etc / "session-up").write_text(HOOK)
    for name in ("l2tpd", "l2tpctl"):
        (sbin / name).write_text(WRAPPER.format(python=os.path.realpath(sys.executable), module=name))
    for path in (*sbin.iterdir(), etc / "session-up"):
        path.chmod(0o755)
    script = BOOT.format(folder=folder, source=ROOT, packages=sysconfig.get_path("purelib"))
    with subprocess.Popen(["unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", "-c", script]) as outside:
        try:
            yield booted(outside, folder)
        finally:
            outside.kill()


def booted(outside: subprocess.Popen[bytes], folder: Path) -> Machine:
    """Wait until systemd serves."""
    deadline = time.monotonic() + PATIENCE
    said = ""
    while time.monotonic() < deadline and outside.poll() is None:
        if (init := child_of(outside.pid)) is not None:
            found = Machine(init, folder / "units" / "l2tpd.service.d")
            said = found.run("systemctl", "is-system-running").stdout.strip()
            if said in {"running", "degraded"}:
                return found
        time.sleep(0.1)
    raise AssertionError(f"systemd did not boot: {said} (status {outside.returncode})")


@pytest.fixture(scope="module")
def service(machine: Machine) -> Machine:
    """The machine, its service started."""
    machine.do("systemctl", "start", "l2tpd")
    return machine


def test_it_serves_in_its_sandbox(service: Machine) -> None:
    """When `systemctl start` returns it serves, with three capabilities and no way to more; its hook scripts run, and can change interfaces."""
    assert "serving" == service.shown("StatusText")
    status = service.do("cat", f"/proc/{service.shown('MainPID')}/status")
    net_admin, net_raw, net_bind_service = 1 << 12, 1 << 13, 1 << 10
    assert re.search(rf"^CapBnd:\s*0*{net_admin | net_raw | net_bind_service:x}$", status, re.MULTILINE), status
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
    service.until("grep -qx '5 7 ETH' /var/lib/l2tpd/hook")
    assert "alias by the hook" in service.do("ip", "link", "show", "dev", "cable0")


def test_its_journal_has_fields(service: Machine) -> None:
    """What a line says can be asked for: here, the lines of one tunnel."""
    service.until("journalctl --no-pager --output=cat L2TPD_NAME=cable | grep -q '^tunnel up'")


def test_a_reload_tells_how_it_went(service: Machine) -> None:
    """`systemctl reload` ends well when the configuration was taken, and not when it has mistakes; then the status names one, and all goes on."""
    service.do("systemctl", "reload", "l2tpd")
    number = service.shown("MainPID")
    service.write("/etc/l2tpd/l2tpd.toml", CONFIG.replace('"booted.example"', "5"))
    assert 0 != service.run("systemctl", "reload", "l2tpd").returncode
    assert "serving by the former configuration: /etc/l2tpd/l2tpd.toml: system.hostname" in service.shown("StatusText")
    assert (number, "active") == (service.shown("MainPID"), service.shown("ActiveState"))
    assert "booted.example" in service.do("l2tpctl", "show", "system")


def test_it_stops_well(service: Machine) -> None:
    """And leaves neither socket nor interface behind."""
    service.do("systemctl", "stop", "l2tpd")
    assert ("inactive", "success") == (service.shown("ActiveState"), service.shown("Result"))
    assert 0 != service.run("test", "-e", "/run/l2tpd").returncode
    assert 0 != service.run("ip", "link", "show", "dev", "cable0").returncode


def test_a_mistake_in_the_configuration_is_no_reason_to_try_again(machine: Machine) -> None:
    """The start fails, once, and the journal has the daemon's words."""
    machine.write("/etc/l2tpd/l2tpd.toml", "[system]\nhostnam = 5\n")
    assert 0 != machine.run("systemctl", "start", "l2tpd").returncode
    assert ("failed", "2", "0") == tuple(map(machine.shown, ("ActiveState", "ExecMainStatus", "NRestarts")))
    machine.until("journalctl --no-pager --unit=l2tpd --lines=3 | grep -q system.hostnam")
    machine.do("systemctl", "reset-failed", "l2tpd")


def test_one_that_does_not_turn_is_replaced(machine: Machine) -> None:
    """By the watchdog, here after three seconds."""
    machine.drop_ins.mkdir()
    (machine.drop_ins / "soon.conf").write_text("[Service]\nWatchdogSec=3\n")
    machine.do("systemctl", "daemon-reload")
    machine.write("/etc/l2tpd/l2tpd.toml", CONFIG)
    machine.do("systemctl", "start", "l2tpd")
    stuck = machine.shown("MainPID")
    machine.do("kill", "-STOP", stuck)
    machine.until(
        f"systemctl show l2tpd >/run/shown; ! grep -qx MainPID={stuck} /run/shown && grep -qx ActiveState=active /run/shown"
    )
    assert ("serving", "1") == (machine.shown("StatusText"), machine.shown("NRestarts"))
    machine.do("systemctl", "stop", "l2tpd")
