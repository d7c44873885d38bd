"""Processor time, memory, percentiles and tables."""

import os
import subprocess
import sys

from bench.measure import Process, milliseconds, percentile, rate, table

BURN = """
import sys, time
while time.process_time() < 0.3: pass
ballast = bytearray(32 << 20)
print("done", flush=True)
sys.stdin.read()
"""


def test_a_process_is_measured() -> None:
    """A program that burns 0.3 s and fills 32 MiB shows both; when it is dead, its last figures stand."""
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        process = Process(program.pid)
        assert program.stdout.readline() == b"done\n"
        cpu, rss = process.cpu(), process.rss()
        assert process.alive()
        assert process.descriptors() >= 3
        program.stdin.close()
        program.wait()
    assert cpu >= 0.29
    assert rss > 32 << 20
    assert not process.alive()
    assert (process.cpu(), process.rss()) == (cpu, rss)
    assert process.descriptors() == -1


def test_own_processor_time() -> None:
    """What we ourselves used is not far from what the system says."""
    assert Process(os.getpid()).cpu() > 0


def test_percentile_by_nearest_rank() -> None:
    """The 99th percentile of 1..100 is the hundredth sample; of nothing it is 0."""
    samples = [float(number) for number in range(100, 0, -1)]
    assert percentile(samples, 0.99) == 100
    assert percentile(samples, 0.5) == 51
    assert percentile([], 0.5) == 0
    assert milliseconds([0.001, 0.002, 0.003]) == {"p50_ms": 2.0, "p99_ms": 3.0, "max_ms": 3.0}


def test_rate_of_no_time_is_zero() -> None:
    """Nothing divides by zero."""
    assert rate(5, 0) == 0
    assert rate(5, 2) == 2.5


def test_table_aligns_columns() -> None:
    """Columns appear in order of first use; numbers stand to the right."""
    expected = ["what   count  met", "-----  -----  ---", "alpha  1,000", "b        0.5  yes"]
    assert expected == table([{"what": "alpha", "count": 1000}, {"what": "b", "count": 0.5, "met": True}]).splitlines()
