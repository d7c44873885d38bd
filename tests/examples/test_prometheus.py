"""The example for Prometheus and Grafana: a real Prometheus reads a daemon by it, and finds all that is drawn and all that is alarming."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import trio

from dialogue import icrq
from house import House, Peer, house
from l2tpd.config.model import Address
from l2tpd.gauges import METRICS
from l2tpd.kernel.genl import COUNTERS
from l2tpd.kernel.null import NullPlane
from l2tpd.radius.client import Radius
from l2tpd.radius.numbers import Code
from l2tpd.wire.numbers import MessageType
from scrapes import ask, exposed, get

FOLDER = Path(__file__).parents[2] / "examples" / "prometheus"
BOARD = json.loads((FOLDER / "dashboard.json").read_text())
PATIENCE = 60.0
DAEMON = "127.0.0.1:9701"  # in the example
PEERS = '[peer.default]\n[peer.banned]\nmatch = ["127.0.0.2"]\naccept = false\n'
SERVER = '[radius]\naccounting = false\n[radius.server.one]\naddress = "127.0.0.1"\nsecret = "x"\n'
RUBBISH = b"\xc8\x02 rubbish"
CANNOT_BE = re.compile(r"(l2tpd_send_failures_total.*|^changes.*|.*l2tpd_radius_server_up.*) > 0")
"""What will not happen to a test: the system refuses to send, the daemon was started again just now, a server is dead. All the same it could be drawn."""


def program(name: str) -> str:
    """Return where a program of Prometheus' is; skip the test where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: prometheus)")
    return found


def drawn() -> Iterator[str]:
    """Yield the expressions of the dashboard."""
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for note in BOARD["annotations"]["list"]:
        yield note["expr"]


def alarming() -> list[str]:
    """Return the expressions of the alerts."""
    return re.findall(r"^ +expr: (.*)$", (FOLDER / "alerts.yml").read_text(), re.MULTILINE)


def filled(expression: str) -> str:
    """Put in what Grafana would."""
    return expression.replace("$__rate_interval", "10s").replace("$instance", ".*")


# --- the files


def test_what_is_drawn_and_alarming_is_told() -> None:
    """Each name in an expression is one of the table, or of the process."""
    told = {metric.name + tail for metric in METRICS for tail in ("", "_bucket")}
    for expression in (*drawn(), *alarming()):
        names = set(re.findall(r"\b(?:l2tpd|process)_[a-z_]+", re.sub(r"\{.*?\}", "", expression)))
        assert names or expression.startswith("up"), expression
        assert {name for name in names if name.startswith("l2tpd_")} <= told, expression


def test_each_label_is_one_of_its_metric() -> None:
    """A label that its metric does not have would silently select nothing."""
    labels = {metric.name.removesuffix("_total"): {*metric.labels, "instance", "job"} for metric in METRICS}
    for expression in (*drawn(), *alarming()):
        for name, selector in re.findall(r"\b(l2tpd_[a-z_]+)\{(.*?)\}", expression):
            known = labels[name.removesuffix("_bucket").removesuffix("_total")]
            assert set(re.findall(r"(\w+)=", selector)) <= known, expression


def test_panels_do_not_overlap() -> None:
    """Each has its place on the board, and its number."""
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_the_configuration_is_one() -> None:
    """Prometheus' own checker accepts it, with the alerts that it names."""
    done = subprocess.run(
        [program("promtool"), "check", "config", "prometheus.yml"],
        cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout


# --- a real Prometheus


class Carrying(NullPlane):
    """A plane that has carried more each time it is asked; what a real one counts is for its own tests."""

    exclusive_paths = False

    def __init__(self) -> None:
        self._carried = 0

    async def totals(self) -> Mapping[str, int]:
        self._carried += 1000
        return dict.fromkeys(COUNTERS, self._carried)

    async def statistics(self, tunnel_id: int, session_id: int = 0) -> Mapping[str, int]:
        return await self.totals()

    def close(self) -> None:
        pass


@asynccontextmanager
async def watched() -> AsyncIterator[Address]:
    """Run a daemon with a tunnel that stays, and all that can happen to others, again and again."""
    async with house(PEERS + SERVER) as there, exposed(there, there.daemon.ledger) as address:
        there.daemon.adapter.plane = Carrying()
        with Peer(there.address) as lac, Peer(there.address, "127.0.0.2") as banned:
            await (await lac.connect()).say(icrq())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(happen, there, banned)
                yield address
                nursery.cancel_scope.cancel()


async def happen(there: House, banned: Peer) -> None:
    """Have tunnels with a call come and go, others refused, and rubbish thrown."""
    with Peer(there.address) as lac:
        for number in itertools.count(1):
            caller = await lac.connect(number)
            await caller.say(icrq())
            await caller.hear(MessageType.ICRP)
            await caller.stop()
            await lac.throw(RUBBISH)
            await banned.refused(tunnel_id=number)
            ask_servers(there.daemon.radius)
            await trio.sleep(0.2)


def ask_servers(radius: Radius) -> None:
    """Have a server of RADIUS answer, and not at once, and ask for something itself."""
    login, _ = radius.state().tallies
    login.repeat("one")
    login.answered("one", Code.ACCESS_ACCEPT, 0.01)
    radius.desk.counts["disconnect", "done"] += 1


async def test_a_scrape_is_as_prometheus_wants_it() -> None:
    """`promtool check metrics` has nothing to remark on names, types and texts."""
    tool = program("promtool")
    async with watched() as address:
        text = (await ask(address, get())).body
    ours = b"".join(line for line in text.splitlines(keepends=True) if b"process_" not in line)
    done = await trio.run_process(
        [tool, "check", "metrics"], stdin=ours, capture_stdout=True, stderr=subprocess.STDOUT, check=False
    )
    assert (0, b"") == (done.returncode, done.stdout)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """A Prometheus that runs, by the example's configuration, but for whom it asks and how often."""

    def __init__(self, folder: Path, target: Address) -> None:
        shutil.copy(FOLDER / "alerts.yml", folder)
        text = (FOLDER / "prometheus.yml").read_text()
        assert DAEMON in text
        (folder / "prometheus.yml").write_text(text.replace(DAEMON, str(target)).replace("15s", "1s"))
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"

    async def run(self, path: str) -> None:
        """Run until cancelled."""
        await trio.run_process(
            [path, "--config.file=prometheus.yml", f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address={self.address}"],
            cwd=self.folder, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    async def query(self, expression: str) -> list[Any]:
        """Return the values of an expression now; nothing while it does not answer."""
        url = f"http://{self.address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        answer = await trio.to_thread.run_sync(_fetch, url, abandon_on_cancel=True)
        return answer["data"]["result"] if answer else []

    async def until(self, expression: str) -> list[Any]:
        """Wait for an expression to have a value."""
        deadline = time.monotonic() + PATIENCE
        while not (found := await self.query(expression)):
            assert time.monotonic() < deadline, f"no value for {expression}"
            await trio.sleep(0.2)
        return found


def _fetch(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - of ours
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
            return None  # it has still to read its storage
        raise AssertionError(f"{url}: {error.read().decode()}") from None
    except OSError:
        return None  # it does not listen yet


async def test_prometheus_reads_a_daemon(tmp_path: Path) -> None:
    """It finds the tunnel; every expression of the dashboard has a value, and none of the alerts has one."""
    path = program("prometheus")
    async with watched() as address, trio.open_nursery() as nursery:
        prometheus = Prometheus(tmp_path, address)
        nursery.start_soon(prometheus.run, path)
        (tunnels,) = await prometheus.until('l2tpd_tunnels{state="up", version="l2tpv2"} > 0')
        assert str(address) == tunnels["metric"]["instance"]
        await prometheus.until("rate(process_cpu_seconds_total[10s]) > 0")
        for expression in map(filled, drawn()):
            await prometheus.until(CANNOT_BE.sub(r"\1", expression))
        for expression in alarming():
            assert [] == await prometheus.query(expression), expression
        nursery.cancel_scope.cancel()
