"""Starting, asking and stopping the daemon, with a small program in its place that obeys the same contract."""

import os
import tomllib
from pathlib import Path

import pytest

from bench import server

DAEMON = """
import json, os, signal, socket, sys, tomllib
config = tomllib.load(open(sys.argv[sys.argv.index("-c") + 1], "rb"))
control = socket.socket(socket.AF_UNIX)
control.bind(config["system"]["control_socket"])
control.listen()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"STATUS=up\\nREADY=1", os.environ["NOTIFY_SOCKET"])
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
while True:
    client, _ = control.accept()
    with client, client.makefile("rb") as lines:
        question = json.loads(lines.readline())
        rows = [{"state": "up"}, {"state": "closing"}] if question["method"] == "tunnel.list" else []
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": rows}
        client.sendall(json.dumps(answer).encode() + b"\\n")
"""


def test_start_ask_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """READY=1 ends the wait; what is up is counted; SIGTERM ends it and its exit status is kept."""
    (tmp_path / "obedient.py").write_text(DAEMON)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    running = server.start(tmp_path, cpu=0, module="obedient")
    assert running.left_over() == {"tunnel": 1, "session": 0}
    running.stop()
    assert running.exit_status == 7
    assert running.tracebacks() == 0


def test_a_daemon_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error carries the exit status and what the daemon wrote."""
    (tmp_path / "failing.py").write_text("raise RuntimeError('out of luck')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(server.ServerError, match=r"(?s)status 1.*out of luck"):
        server.start(tmp_path, cpu=0, module="failing")


def test_configuration_is_toml() -> None:
    """Each tunnel and session of the LAC has its table; a secret is quoted."""
    text = server.configuration(Path("/run/b"), 1701, 'se"cret', server.Calls(port=1702, tunnels=2, sessions=2))
    config = tomllib.loads(text)
    assert config["listen"] == [{"address": "127.0.0.1:1701", "encap": "udp"}]
    assert config["peer"]["default"]["secret"] == 'se"cret'
    assert [len(tunnel["session"]) for tunnel in config["tunnel"].values()] == [2, 2]
    assert config["tunnel"]["t1"]["peer"] == "127.0.0.1:1702"


def test_pinned_children_only() -> None:
    """Inside, the processor is chosen; outside, everything is as before."""
    before = os.sched_getaffinity(0)
    with server.pinned(min(before)):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
