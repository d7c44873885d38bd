"""The endpoint: a daemon's state as Prometheus reads it, and strangers who cannot hold it up."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from dialogue import iccn, icrq
from house import PATIENCE, Peer, house
from l2tpd import metrics
from l2tpd.config.model import Address
from l2tpd.errors import PlaneError, StartupError
from l2tpd.events import ConfigReloaded, TunnelEvent, What
from l2tpd.gauges import METRICS, STRIDE
from l2tpd.kernel.null import NullPlane
from l2tpd.ledger import Ledger
from l2tpd.metrics import CROWD, MAX_CONNECTIONS, MAX_REQUEST, serve
from l2tpd.wire.avp import ASSIGNED_SESSION_ID
from l2tpd.wire.header import build_control
from l2tpd.wire.messages import encode
from l2tpd.wire.numbers import MessageType
from scrapes import Samples, ask, exposed, get, key, parts, scrape

# --- what is told


async def test_a_scrape_tells_what_there_is() -> None:
    """A caller's tunnel is counted by state, its messages by type, the process by itself; a name that is in no table is not told."""
    ledger = Ledger()
    async with house() as there, exposed(there, ledger) as address:
        with Peer(there.address) as lac:
            await lac.connect()
            ledger.follow(TunnelEvent(what=What.UP, tunnel_id=1), 0.02)
            told = await scrape(address)
    assert 1 == told[key("l2tpd_tunnels", state="up", version="l2tpv2")]
    assert 1 == told[key("l2tpd_control_messages_total", type="SCCRQ", direction="received")]
    assert 1 == told[key("l2tpd_control_messages_total", type="SCCRP", direction="sent")]
    assert 1 == told[key("l2tpd_tunnel_setup_seconds_bucket", le="0.025")]
    assert 0 == told[key("l2tpd_tunnel_setup_seconds_bucket", le="0.01")]
    assert 1 == told[key("l2tpd_tunnel_setup_seconds_count")]
    assert 1 == told[key("l2tpd_data_plane_info", plane="null")]
    assert 4096 == told[key("l2tpd_limit", limit="max_half_open")]
    assert 3 == told[key("l2tpd_pool_addresses_used", pool="subscribers")]
    assert 0 < told[key("process_start_time_seconds")]
    ours = {name for name, _ in told if name.startswith("l2tpd_")}
    tails = ("", "_bucket", "_count", "_sum")
    assert ours <= {metric.name + tail for metric in METRICS for tail in tails}


async def test_a_pool_that_nobody_draws_from_is_not_told() -> None:
    """How much of it is used is not known, which is not the same as none."""
    async with house() as there, exposed(there) as address:
        assert key("l2tpd_pool_addresses_used", pool="idle") not in await scrape(address)


async def test_a_scrape_tells_the_present() -> None:
    """What was changed since the last one is told by the next."""
    async with house() as there, exposed(there) as address:
        assert 0 == (await scrape(address))[key("l2tpd_draining")]
        there.daemon.policy.drain = True
        assert 1 == (await scrape(address))[key("l2tpd_draining")]


async def test_many_tunnels() -> None:
    """More than are gone through in one step are all counted."""
    async with house() as there, exposed(there) as address:
        with Peer(there.address) as lac:
            for number in range(STRIDE + 1):
                await lac.call(number + 1)
            told = await scrape(address)
    assert STRIDE + 1 == told[key("l2tpd_tunnels", state="wait-ctl-conn", version="l2tpv2")]
    assert STRIDE + 1 == told[key("l2tpd_half_open_tunnels")]


async def test_scrapes_side_by_side() -> None:
    """Each gets a whole answer."""
    answers: list[Samples] = []

    async def one(address: Address) -> None:
        answers.append(await scrape(address))

    async with house() as there, exposed(there) as address, trio.open_nursery() as nursery:
        for _ in range(MAX_CONNECTIONS):
            nursery.start_soon(one, address)
    assert MAX_CONNECTIONS == len(answers)
    assert 1 == len({frozenset(name for name in answer) for answer in answers})


# --- the data plane's counts


class CountingPlane(NullPlane):
    """A data plane that counts; it answers as slowly as the test wants, or not."""

    exclusive_paths = False

    def __init__(self) -> None:
        self.sent = 0
        self.answer = trio.Event()
        self.error: Exception | None = None

    async def totals(self) -> Mapping[str, int]:
        """Answer when told to, with what was counted by then."""
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return {"tx_packets": self.sent, "rx_packets": 2, "rx_cookie_discards": 1}

    async def statistics(self, tunnel_id: int, session_id: int = 0) -> Mapping[str, int]:
        """There is no such thing here."""
        raise PlaneError(0, f"no session {tunnel_id}/{session_id}")

    def close(self) -> None:
        """Hold nothing open."""


@asynccontextmanager
async def counting() -> AsyncIterator[tuple[CountingPlane, Address]]:
    async with house() as there, exposed(there) as address:
        there.daemon.adapter.plane = plane = CountingPlane()
        yield plane, address


SENT = key("l2tpd_data_packets_total", direction="sent")
AGE = key("l2tpd_data_age_seconds")


async def test_the_data_plane_is_asked_at_each_scrape() -> None:
    """Its counts are those of now."""
    async with counting() as (plane, address):
        plane.answer.set()
        for plane.sent in (5, 6):
            told = await scrape(address)
            assert plane.sent == told[SENT]
            assert 1 == told[key("l2tpd_data_discards_total", reason="cookie")]


async def test_a_slow_data_plane_costs_only_its_own_counts(mock_clock: trio.testing.MockClock) -> None:
    """The scrape is answered without them, the next one with what came in the meantime, and how old that is, is said."""
    async with counting() as (plane, address), trio.open_nursery() as nursery:
        answers: list[Samples] = []

        async def one() -> None:
            answers.append(await scrape(address))

        async def slow() -> Samples:
            nursery.start_soon(one)
            while True:
                await trio.testing.wait_all_tasks_blocked(0.01)
                if answers:
                    return answers.pop()
                if not plane.answer.is_set() and plane_asked():
                    mock_clock.jump(metrics.DATA_PATIENCE)

        def plane_asked() -> bool:
            return 1 == plane.answer.statistics().tasks_waiting

        told = await slow()
        assert SENT not in told
        assert AGE not in told
        plane.sent = 7
        plane.answer.set()
        told = await slow()
        assert 7 == told[SENT]
        plane.answer = trio.Event()
        told = await slow()
        assert 7 == told[SENT]
        assert metrics.DATA_PATIENCE == told[AGE]
        plane.answer.set()


@pytest.mark.parametrize("error", [PlaneError(5, "no answer"), OSError(5, "no answer")])
async def test_a_data_plane_that_fails(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, with the reason, and the rest is told."""
    async with counting() as (plane, address):
        plane.error = error
        plane.answer.set()
        for _ in range(3):
            assert SENT not in await scrape(address)
    said = [line for line in caplog.messages if "cannot be read" in line]
    assert 1 == len(said)
    assert "no answer" in said[0]


async def test_a_bug_in_the_data_plane_is_counted() -> None:
    """It is logged as one, told by the next scrape, and ends nothing."""
    async with counting() as (plane, address):
        plane.error = ZeroDivisionError()
        plane.answer.set()
        task = key("l2tpd_crashes_total", task="metrics")
        first = (await scrape(address))[task]
        assert first + 1 == (await scrape(address))[task]


# --- strangers


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/metrics?name=l2tpd_tunnels"), 200),
        (get("/"), 404),
        (get("/metrics/"), 404),
        (get("/metricsandmore"), 404),
        (get("/metrics", "POST", "Content-Length: 4\r\n") + b"\r\nxyz", 405),
        (get("/metrics", "DELETE"), 405),
        (get("/metrics", "CONNECT"), 405),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),  # without a Host
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400),  # TLS
        (get("/metrics", more=f"X: {'x' * 2 * MAX_REQUEST}\r\n"), 431),
        (b"GET /" + b"x" * 2 * MAX_REQUEST, 431),
    ],
)
async def test_only_get_metrics_is_answered(request_: bytes, status: int) -> None:
    """Everything else is refused in HTTP's own words, and the connection is closed."""
    async with house() as there, exposed(there) as address:
        answer = await ask(address, request_)
        assert status == answer.status
        assert "close" == answer.headers["connection"]
        assert len(answer.body) == int(answer.headers["content-length"])
        assert ("get" == answer.headers.get("allow")) == (405 == status)


async def test_head_gets_no_body() -> None:
    """RFC 9110 9.3.2: not even one that says why there is none."""
    async with house() as there, exposed(there) as address:
        answer = await ask(address, get(method="HEAD"))
        assert (405, b"") == (answer.status, answer.body)


async def test_a_second_request_on_a_connection_is_not_answered() -> None:
    """One is served; so nobody keeps a place."""
    async with house() as there, exposed(there) as address:
        answer = await ask(address, get("/none") + get("/none"))
        assert 404 == answer.status
        assert 1 == answer.body.count(b"404")


async def test_more_connections_than_there_are_places() -> None:
    """Whoever comes too late is told so at once, and one who leaves makes room."""
    async with house() as there, exposed(there) as address:
        idle = [await trio.open_tcp_stream(address.host, address.port) for _ in range(MAX_CONNECTIONS)]
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert 503 == (await ask(address, get())).status
        assert 1 == there.counter("scrapes_refused")
        await idle.pop().aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert 200 == (await ask(address, get())).status
        for stream in idle:
            await stream.aclose()


async def test_a_crowd_is_not_even_refused() -> None:
    """Who comes when the refused ones are still being seen off is closed without a word, so that descriptors stay for tunnels."""
    async with house() as there, exposed(there) as address:
        crowd = [await trio.open_tcp_stream(address.host, address.port) for _ in range(CROWD)]
        await trio.testing.wait_all_tasks_blocked(0.01)
        async with await trio.open_tcp_stream(address.host, address.port) as late:
            assert b"" == await late.receive_some()
            assert CROWD - MAX_CONNECTIONS + 1 == there.counter("scrapes_refused")
        for stream in crowd:
            await stream.aclose()


@pytest.mark.parametrize("said", [b"", b"GET /metrics HTTP/1.1\r\nHost:"])
async def test_who_does_not_finish_is_cut_off(said: bytes, mock_clock: trio.testing.MockClock) -> None:
    """A client that says nothing, or stops half way, has its time and no more."""
    async with house() as there, exposed(there) as address:
        async with await trio.open_tcp_stream(address.host, address.port) as stream:
            await stream.send_all(said)
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(metrics.PATIENCE)
            assert b"" == await stream.receive_some()
        assert 200 == (await ask(address, get())).status


async def test_who_goes_away_is_forgotten() -> None:
    """A client that closes before it has said all, or read anything, disturbs nobody."""
    async with house() as there, exposed(there) as address:
        for said in (b"", b"GET /met", get()):
            async with await trio.open_tcp_stream(address.host, address.port) as stream:
                await stream.send_all(said)
        told = await scrape(address)
        assert 0 == told.get(key("l2tpd_crashes_total", task="metrics client"), 0)


# --- listening


async def test_an_address_in_use() -> None:
    """It is said which one, and what for."""
    async with house() as there, exposed(there) as address:
        with pytest.raises(StartupError, match=rf"cannot listen on {address} for metrics"):
            await serve(address, parts(there))


async def test_ipv6() -> None:
    """The loopback address of IPv6 does as well."""
    async with house() as there, trio.open_nursery() as nursery:
        address = await nursery.start(serve, Address("::1", 0), parts(there))
        assert 200 == (await ask(address, get())).status
        nursery.cancel_scope.cancel()


# --- in the daemon


def free_tcp_port() -> int:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


async def test_a_daemon_from_beginning_to_end_of_a_tunnel() -> None:
    """Where the configuration says an address, set-ups, operations, events, ends and repetitions are told there, and stay told."""
    address = Address("127.0.0.1", free_tcp_port())
    async with house(system=f'metrics_address = "{address}"') as there:
        with Peer(there.address) as lac:
            caller = await lac.connect()
            await caller.say(icrq())
            answer = (await caller.hear(MessageType.ICRP)).said
            assert answer is not None
            connected = build_control(caller.theirs, answer[ASSIGNED_SESSION_ID], caller.ns, caller.nr, encode(iccn()))
            await lac.throw(connected)
            await caller.hear(None)
            caller.ns += 1
            told = await scrape(address)
            assert 1 == told[key("l2tpd_tunnel_setup_seconds_count")]
            assert 1 == told[key("l2tpd_session_setup_seconds_count")]
            assert 1 == told[key("l2tpd_sessions", state="up", pseudowire="ppp")]
            assert 1 == told[key("l2tpd_data_plane_operation_seconds_count", operation="create-session")]
            assert 1 == told[key("l2tpd_events_total", event="session-up")]
            acknowledged = key("l2tpd_control_acknowledgements_total", direction="sent")
            before = told[acknowledged]
            await caller.stop()
            told = await scrape(address)
    assert before + 1 == told[acknowledged]
    assert 0 == told[key("l2tpd_tunnels", state="up", version="l2tpv2")]
    assert 1 == told[key("l2tpd_tunnels_ended_total", result="general", by="peer", was_up="yes")]
    assert 1 == told[key("l2tpd_data_plane_operation_seconds_count", operation="delete-tunnel")]


async def test_a_reload_is_an_event() -> None:
    """Told as well as published."""
    async with house() as there:
        there.daemon.publish(ConfigReloaded(problems=("all wrong",)))
        assert 1 == there.daemon.ledger.events[("config-refused",)]


def test_without_the_packages(tmp_path: Path) -> None:
    """Who asks for metrics is told what to install."""
    config = tmp_path / "l2tpd.toml"
    config.write_text(
        f'[system]\ncontrol_socket = "{tmp_path}/control.sock"\ndata_plane = "null"\nmetrics_address = "127.0.0.1:9701"\n'
    )
    program = "import sys; sys.modules['h11'] = None; from l2tpd.app import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "-f", "-c", config],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert 1 == done.returncode
    assert "system.metrics_address takes the package h11 (pip install 'l2tpd[metrics]')" in done.stderr
