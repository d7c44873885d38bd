"""The rig's promises, which every test inside relies on; slow machines are allowed for, but no test waits for a limit that it does not set itself."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vm.outside.conftest import Run
from vm.rig.guest import RigError, Silent


@pytest.mark.parametrize("status", [0, 3, 9])
def test_exit_status_comes_back(run: Run, status: int) -> None:
    """The command's exit status is the guest's."""
    assert status == run(f"exit {status}")


def test_output_comes_back(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """What the command writes to stdout and stderr arrives in order, complete, with its line ends as they were."""
    assert 0 == run("seq 3000; echo done >&2")
    assert "".join(f"{n}\n" for n in range(1, 3001)) + "done\n" == capfd.readouterr().out


def test_the_shared_folder_is_shared(run: Run, tmp_path: Path) -> None:
    """The guest reads what the host wrote there and the other way round; nothing of the rig's own stays behind."""
    (tmp_path / "question").write_text("6 * 7")
    assert 0 == run(f"echo $(($(cat {tmp_path}/question))) > {tmp_path}/answer")
    assert "42\n" == (tmp_path / "answer").read_text()
    assert ["answer", "question"] == sorted(path.name for path in tmp_path.iterdir())


def test_the_rest_of_the_host_is_out_of_reach(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A change elsewhere works in the guest and is lost at its end."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "kept").write_text("kept")
    assert 0 == run(f"rm {elsewhere}/kept && echo new > {elsewhere}/new && cat {elsewhere}/new")
    assert ["kept"] == [path.name for path in elsewhere.iterdir()]


def test_the_command_is_root_where_the_caller_was(run: Run) -> None:
    """It has root's rights and the caller's working directory."""
    assert 0 == run(f'test "$(id -u)" = 0 && test "$PWD" = "{Path.cwd()}"')


def test_a_guest_goes_with_whoever_runs_it(rig: ModuleType, pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """Whoever is told to end leaves no guest behind."""
    argv = [
        sys.executable,
        str(rig.__file__),
        "run",
        "--version",
        pytestconfig.getoption("--kernel"),
        str(tmp_path),
        "--",
    ]
    with subprocess.Popen([*argv, "sh", "-c", "echo here; sleep 600"], stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        assert b"here\n" == runner.stdout.readline()
        assert _mentioning(tmp_path, but=runner.pid)
        runner.terminate()
        assert 128 + signal.SIGTERM == runner.wait(60)
    assert not _mentioning(tmp_path)


def _mentioning(folder: Path, but: int = 0) -> list[str]:
    """Return the processes that have a folder in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in process.read_bytes() and process.parent.name != str(but):
                found.append(process.parent.name)
    return found


def test_a_panic_is_an_error_with_the_kernels_words(run: Run) -> None:
    """When the guest's kernel dies there is no exit status, but an error that shows the end of its log."""
    with pytest.raises(RigError, match=r"(?s)died before its command ended.*Kernel panic"):
        run("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger; sleep 30")


KILLED = """\
import mmap, os, signal, time

def fork_for_ever():
    pages = mmap.PAGESIZE * 4
    areas = [mmap.mmap(-1, pages, mmap.MAP_PRIVATE, (3, 7)[n % 2]) for n in range(400)]  # two protections: none are joined
    for area in areas:
        area.write(bytes(pages))
    while child := os.fork():
        os.waitpid(child, 0)
    os._exit(0)

for turn in range(40):
    parent = os.fork() or fork_for_ever()
    time.sleep(0.15 + turn / 1000)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
"""


def test_a_process_that_is_killed_while_it_forks(run: Run, tmp_path: Path) -> None:
    """It ends, and the guest lives on: daemons that run pppd are killed at any moment."""
    (tmp_path / "killed.py").write_text(KILLED)
    assert 0 == run(f"python3 {tmp_path}/killed.py")


def test_a_time_limit_is_an_error(run: Run) -> None:
    """A guest that exceeds its limit is ended and said to have."""
    with pytest.raises(RigError, match=r"exceeded its limit of 1 s"):
        run("sleep 300", limit=1.0)


def test_a_guest_that_says_nothing_hangs(run: Run) -> None:
    """Nor is one waited for that has hung, as far as one can tell from outside."""
    with pytest.raises(Silent, match=r"said nothing for 1 s"):
        run("sleep 300", silence=1.0)


def test_no_test_is_skipped_for_want_of_a_kernel(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """Where /dev/ppp cannot be opened, the tests inside do not run, and say why: pytest ends with a usage error."""
    collect = f"{sys.executable} -m pytest -p no:cacheprovider --confcutdir=tests/vm --collect-only -q tests/vm/inside"
    assert pytest.ExitCode.USAGE_ERROR == run(f"rm /dev/ppp; {collect}")
    assert "lacks /dev/ppp (No such file or directory; module ppp_generic)" in capfd.readouterr().out
