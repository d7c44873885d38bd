"""The benchmark of PPP subscribers, as programs."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import taps
from bench.ppp_lac import frame_of

PROGRAM = Path(__file__).with_name("ppp_run.py")
WITHIN = 120


@pytest.mark.parametrize(("plane", "auth"), [("null", "none"), ("null", "chap"), ("user", "none"), ("shared", "none")])
def test_a_few_subscribers_come_up(plane: str, auth: str) -> None:
    """Each gets an address of its own, and nothing stays behind; nobody is told of figures that there are not."""
    words = [plane, "--auth", auth, "--tunnels", "2", "--sessions", "5", "--at-once", "--json"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words], capture_output=True, text=True, timeout=WITHIN, check=True
    )
    phases = json.loads(done.stdout)
    if plane != "null" and (lack := taps.why_not()):
        assert phases == []
        assert lack in done.stderr
        return
    up, down = phases
    assert ("subscribers", 10, 10, 0) == (up["phase"], up["asked"], up["done"], up["failed"])
    assert up["per_second"] > 0
    assert (0, 0) == (up["tracebacks"], up["left_over"])
    assert ("teardown", 2) == (down["phase"], down["done"])


@pytest.mark.parametrize(
    ("packet", "found"),
    [
        (struct.pack("!HHH", 0x0002, 7, 8) + b"frame", (7, 8, b"frame")),
        (struct.pack("!HHHH", 0x4002, 13, 7, 8) + b"frame", (7, 8, b"frame")),
        (struct.pack("!HHHHH", 0x0802, 7, 8, 1, 2) + b"frame", (7, 8, b"frame")),
        (struct.pack("!HHHH", 0x0202, 7, 8, 2) + b"xxframe", (7, 8, b"frame")),
        (b"\0\2\0", (0, 0, b"")),
        (struct.pack("!HHH", 0x0003, 7, 8), (0, 0, b"")),
    ],
)
def test_data_messages_are_taken_apart(packet: bytes, found: tuple[int, int, bytes]) -> None:
    """With each of the fields that may be there (RFC 2661 3.1); what is none is nobody's."""
    assert found == frame_of(packet)
