"""The storm against its own LNS, both as programs over loopback."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

STORM = Path(__file__).with_name("storm.py")
WITHIN = 60


class Lns:
    """A `storm.py --lns` that runs."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        """Keep the process and the port that it chose."""
        self.process = process
        self.port = port
        self.report: dict[str, Any] = {}


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


@contextlib.contextmanager
def lns(*arguments: str) -> Iterator[Lns]:
    """Run an LNS; on leaving, end it and keep its report."""
    command = [sys.executable, str(STORM), "--lns", "127.0.0.1:0", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        it = Lns(process, int(_line(process.stderr).split()[-1]))
        try:
            yield it
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=WITHIN)
    it.report = json.loads(output)[0]


def storm(port: int, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run a storm; return its exit status and its phases by name."""
    command = [sys.executable, str(STORM), f"127.0.0.1:{port}", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN, check=False)
    assert done.stderr == ""
    return done.returncode, {phase["phase"]: phase for phase in json.loads(done.stdout)}


def test_fifty_tunnels_with_two_sessions() -> None:
    """All 50 tunnels and 100 sessions come up at both ends, and all go down again."""
    with lns() as server:
        status, phases = storm(server.port, "--tunnels", "50", "--sessions", "2", "--pid", str(server.process.pid))
    assert status == 0
    assert phases["tunnels+sessions"]["tunnels_up"] == 50
    assert phases["tunnels+sessions"]["sessions_up"] == 100
    assert phases["tunnels+sessions"]["alive"]
    assert phases["teardown"]["done"] == 50
    assert {key: server.report[key] for key in ("tunnels", "sessions", "tunnels_up", "sessions_up", "complaints")} == {
        "tunnels": 50,
        "sessions": 100,
        "tunnels_up": 0,
        "sessions_up": 0,
        "complaints": {},
    }
    assert server.report["stopccn"] == {"1/0": 50}


def test_phases_apart_and_held() -> None:
    """Tunnels first, sessions after; each HELLO while holding is answered."""
    arguments = ["--tunnels", "20", "--sessions", "3", "--phased", "--hold", "0.4", "--hello-interval", "0.2"]
    with lns() as server:
        status, phases = storm(server.port, *arguments)
    assert status == 0
    assert list(phases) == ["tunnels", "sessions", "hold", "teardown"]
    assert phases["sessions"]["sessions_up"] == 60
    assert phases["hold"]["tunnels_held"] == 20
    assert phases["hold"]["hellos"] > 0
    assert phases["hold"]["unanswered"] == phases["hold"]["lost"] == 0


def test_one_address_and_port_with_a_secret() -> None:
    """Tunnels that share address and port come up, with Challenge and Response in both directions."""
    with lns("--secret", "s3cret") as server:
        status, phases = storm(
            server.port, *["--tunnels", "20", "--sessions", "1", "--same-source", "--secret", "s3cret"]
        )
    assert status == 0
    assert phases["tunnels+sessions"]["tunnels_up"] == 20
    assert server.report["complaints"] == {}


def test_wrong_secret() -> None:
    """With different secrets no tunnel comes up, and the storm says so."""
    with lns("--secret", "one") as server:
        status, phases = storm(server.port, *["--tunnels", "3", "--secret", "another"])
    assert status == 1
    assert phases["tunnels"]["tunnels_failed"] == 3
    assert phases["tunnels"]["complaints"] == {"wrong Challenge Response in SCCRP": 3}


def test_loss_is_made_good() -> None:
    """With 10 % lost in each direction at both ends everything comes up, by retransmission."""
    loss = ["--loss", "10", "--rto", "0.05"]
    with lns(*loss) as server:
        _, phases = storm(server.port, "--tunnels", "40", "--sessions", "3", "--no-teardown", *loss)
    assert phases["tunnels+sessions"]["tunnels_up"] == 40
    assert phases["tunnels+sessions"]["sessions_up"] == 120
    assert phases["tunnels+sessions"]["datagrams"]["retransmitted"] > 0


def test_silent_server_fails_each_tunnel() -> None:
    """A server that never answers costs each tunnel its retransmissions; none is reported as up."""
    with lns("--loss", "100") as server:
        status, phases = storm(server.port, *["--tunnels", "3", "--rto", "0.01"])
    assert status == 1
    assert phases["tunnels"]["tunnels_up"] == 0
    assert phases["tunnels"]["tunnels_failed"] == 3
    assert phases["tunnels"]["datagrams"] == {"sent": 18, "retransmitted": 15, "given up": 3}


def test_churn_leaves_nothing() -> None:
    """Slots go up and down again and again; in the end no tunnel is left."""
    with lns() as server:
        status, phases = storm(server.port, *["--churn", "0.5", "--slots", "10", "--rotate-sources"])
    assert status == 0
    assert phases["churn"]["done"] > 10
    assert phases["churn"]["failed"] == phases["churn"]["unfinished"] == 0
    assert server.report["tunnels_up"] == 0


def test_hostile_datagrams_harm_nobody() -> None:
    """Victims stay up and probes are served while strangers fire every kind of hostile datagram."""
    with lns() as server:
        status, phases = storm(server.port, *["--fuzz", "1", "--fuzz-rate", "1000", "--victims", "4"])
    assert phases["fuzz"]["harmed"] == 0
    assert status == 0
    assert phases["fuzz"]["victims_alive"] == 4
    assert phases["fuzz"]["probes_ok"] == 7
    assert phases["fuzz"]["probe_after"]
    assert phases["fuzz"]["done"] > 0
