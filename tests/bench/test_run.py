"""The benchmark as a whole, against the storm's own LNS as the server."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import run

LNS = f"{sys.executable} {run.STORM} --lns 127.0.0.1:{{port}}"


def test_any_server_is_benched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One quick discipline yields its figures, the aims they concern, and the same as JSON."""
    target = tmp_path / "figures.json"
    assert run.main(["--quick", "--only", "b", "--server-cmd", LNS, "--json", str(target)]) == 0
    report = json.loads(target.read_text())
    assert [row["phase"] for row in report["summary"]] == ["tunnels", "sessions", "teardown"]
    assert [row["done"] for row in report["summary"]] == [10, 1000, 10]
    assert report["figures"]["b.failed"] == 0
    assert report["figures"]["b.sessions_per_s"] > 0
    assert report["marks"]["rows"] == []
    assert "sessions/s, 100 a tunnel" in capsys.readouterr().out


def test_a_server_that_does_not_start_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The bench says what the server wrote, and fails."""
    command = f"{sys.executable} -c \"import sys; sys.exit('no such config')\""
    assert run.main(["--quick", "--only", "a", "--server-cmd", command]) == 1
    assert "no such config" in capsys.readouterr().err


def test_unknown_discipline() -> None:
    """A name that does not exist is told."""
    with pytest.raises(SystemExit, match="nonsense"):
        run.main(["--only", "nonsense"])


def test_a_fault_in_one_of_three_runs_is_not_averaged_away() -> None:
    """Rates are medians, faults are the worst."""
    runs: list[run.Run] = [
        {
            "name": "a",
            "phases": [{"phase": "tunnels+sessions", "per_second": speed, "seconds": 1, "tunnels_failed": lost}],
        }
        for speed, lost in ((100, 0), (300, 2), (200, 0))
    ]
    figures = run.figures(runs)
    assert (figures["a.tunnels_per_s"], figures["a.failed"]) == (200, 2)


def test_version_2_runs_beside_version_3() -> None:
    """Either name asks for the pair; each has a server of its own, and the ratio is that of these two."""
    options = run.parser().parse_args(["--only", "v2-secret"])
    (pair,) = run.chosen(options)
    assert pair.name == "v3-secret"
    assert pair.beside is not None
    few = "--tunnels 5 --sessions 5 --phased"
    small = replace(pair, storm=f"--version 3 {few}", beside=replace(pair.beside, storm=few))
    runs = run.trial(small, options)
    assert [["tunnels", "sessions", "teardown"]] * 2 == [[row["phase"] for row in run.summary([one])] for one in runs]
    figures = run.figures(runs)
    assert figures["v2-secret.failed"] == figures["v3-secret.failed"] == 0
    ratio = figures["v2-secret.sessions_cpu_per_1000"] / figures["v3-secret.sessions_cpu_per_1000"]
    assert figures["v3-secret.session_cpu"] == round(ratio, 3)


def test_of_pairs_the_median_ratio_counts() -> None:
    """Not the ratio of the medians: a slow minute hits both of a pair, and no other."""
    runs: list[run.Run] = [
        {"name": "v3", "phases": [], "ratios": {"v3.tunnel_cpu": ratio}} for ratio in (0.9, 0.5, 0.8)
    ]
    assert run.figures(runs)["v3.tunnel_cpu"] == 0.8
