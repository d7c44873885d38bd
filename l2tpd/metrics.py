"""Tell Prometheus how the daemon is: `GET /metrics` on an address of its own, off unless the configuration says one.

Theory of operation. A scrape takes a `Reading` and renders the table of `gauges` with it. Going through the tunnels yields to others after each step;
what the data plane counts is asked for beside the scrape, which waits for it a moment only: a kernel that is slow costs a scrape its newest counts, not
its answer. Whoever scrapes while another one does waits for its turn.

What a stranger who can connect may do: have one of `MAX_CONNECTIONS`, send `MAX_REQUEST` octets of request, and take `PATIENCE` seconds with it. One
request is served on a connection. Nothing that is told is secret, but it shows who is busy: an address that others reach belongs behind a packet filter.

It takes the extra `metrics`, so this module is imported only where it is to be served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import h11
import trio
from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from l2tpd import __version__, gauges, log, supervise
from l2tpd.config.model import Address
from l2tpd.control.views import LimitsView, PoolView
from l2tpd.errors import PlaneError, StartupError
from l2tpd.gauges import METRICS, Metric, Reading, Type, Walk
from l2tpd.histogram import Histogram
from l2tpd.kernel.plane import MovingPlane
from l2tpd.rights import LOW_PORT, lacking

if TYPE_CHECKING:
    from l2tpd.config.model import System
    from l2tpd.kernel.adapter import Adapter
    from l2tpd.ledger import Ledger
    from l2tpd.radius.tally import State
    from l2tpd.registry import Registry
    from l2tpd.scripts import Scripts
    from l2tpd.tunnel.site import Site

PATH = "/metrics"
MAX_CONNECTIONS = 8
CROWD = 2 * MAX_CONNECTIONS
"""So many connections, and no more are even refused: a refusal takes a descriptor, and up to `PARTING` seconds."""
MAX_REQUEST = 8192  # octets of request line and headers
PATIENCE = 10.0  # seconds for a request and its answer
DATA_PATIENCE = 2.0  # seconds of these for the counts of the data plane
PARTING = 1.0  # seconds for a client to close
CHUNK = 4096  # octets read at once

TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""The format that every Prometheus reads; anything else would be chosen by what a stranger says."""

_log = log.get("metrics")


@attrs.frozen(kw_only=True, eq=False)
class Parts:
    """What the metrics are read from; the functions are called at each scrape, for their answers change."""

    registry: Registry[Any]
    site: Site
    adapter: Adapter
    scripts: Scripts
    ledger: Ledger
    system: Callable[[], System]
    drain: Callable[[], bool]
    pools: Callable[[], Iterable[PoolView]]
    radius: Callable[[], State]
    lost: Callable[[], Mapping[str, int]]


async def serve(
    address: Address, parts: Parts, *, task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED
) -> NoReturn:
    """Serve the metrics at a numeric address until cancelled. Reports where it listens; raises `StartupError` when it cannot."""
    try:
        (listener,) = await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as error:
        raise StartupError(f"cannot listen on {address} for metrics: {lacking(error, LOW_PORT)}") from error
    async with trio.open_nursery() as nursery:
        server = _Server(Scraper(parts, nursery))
        name = listener.socket.getsockname()
        task_status.started(Address(name[0], name[1]))
        async with listener:
            await supervise.welcome(listener.socket, "metrics client", server.admit, nursery)


# --- what is told


class Scraper:
    """Takes readings and renders them."""

    def __init__(self, parts: Parts, nursery: trio.Nursery) -> None:
        """Read from `parts`; what takes longer than a scrape goes on in `nursery`."""
        self._parts = parts
        self._data = _DataCounts(parts.adapter, nursery)
        self._process = ProcessCollector(registry=None)
        self._turn = trio.Lock()
        self._thread = trio.CapacityLimiter(1)  # the shared ones may all be waiting for a resolver

    def refused(self) -> None:
        """Count a client for whom there is no place."""
        self._parts.site.counters.scrapes_refused += 1

    async def scrape(self) -> bytes:
        """Return all metrics in the text format."""
        async with self._turn:
            # In a thread: it counts the descriptors, of which each tunnel has one.
            process = await trio.to_thread.run_sync(lambda: list(self._process.collect()), limiter=self._thread)
            reading = await self.read()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected([*families(reading), *process]))
        return generate_latest(registry)

    async def read(self) -> Reading:
        """Return the daemon as it is now."""
        parts = self._parts
        await self._data.refresh()
        walk = await self._walk()
        system, site = parts.system(), parts.site
        return Reading(
            version=__version__,
            plane=parts.adapter.plane.name,
            walk=walk,
            ledger=parts.ledger,
            counters=site.counters,
            limits=LimitsView(**{field.name: getattr(system, field.name) for field in attrs.fields(LimitsView)}),
            half_open=parts.registry.half_open,
            drain=parts.drain(),
            scripts=gauges.Scripts(
                running=parts.scripts.running, waiting=parts.scripts.waiting, fates=parts.scripts.counts
            ),
            queue=parts.adapter.waiting,
            crashes=supervise.crashes,
            lost=parts.lost(),
            pools={pool.name: pool.used for pool in parts.pools() if pool.used is not None},
            data=self._data.counts,
            data_age=self._data.age(),
            radius=parts.radius(),
        )

    async def _walk(self) -> Walk:
        walk = Walk(self._parts.ledger.transport.copy())
        for _ in walk.steps(self._parts.registry):
            await trio.lowlevel.checkpoint()
        return walk


class _DataCounts:
    """What the data plane counts, as of its last answer."""

    def __init__(self, adapter: Adapter, nursery: trio.Nursery) -> None:
        self.counts: Mapping[str, int] = {}
        self._adapter = adapter
        self._nursery = nursery
        self._taken: float | None = None
        self._asked: trio.Event | None = None  # set with the answer to the question that is open
        self._remarks = log.RateLimit(rate=1 / 600, burst=1)

    def age(self) -> float | None:
        """Return how old the counts are, in seconds; None while there are none."""
        return None if self._taken is None else trio.current_time() - self._taken

    async def refresh(self) -> None:
        """Ask the plane if it counts, unless a question is open, and wait a moment for the answer."""
        plane = self._adapter.plane
        if not isinstance(plane, MovingPlane):
            return
        if self._asked is None:
            # The kernel's plane answers in a thread, and who waits for that cannot be cancelled: so it is not the scrape that does.
            self._asked = trio.Event()
            self._nursery.start_soon(self._ask, plane, self._asked)
        with trio.move_on_after(DATA_PATIENCE):
            await self._asked.wait()

    async def _ask(self, plane: MovingPlane, asked: trio.Event) -> None:
        async def ask() -> None:
            try:
                self.counts = await plane.totals()
            except (PlaneError, OSError) as error:
                now, text = trio.current_time(), "what the data plane counts cannot be read"
                self._remarks.say("", now, _log.warning, text, reason=str(error))
            else:
                self._taken = trio.current_time()

        try:
            await supervise.contain("reading the data plane's counts", ask, kind="metrics")
        finally:
            self._asked = None
            asked.set()


@attrs.frozen(eq=False)
class _Collected(Collector):
    """Families that have been collected already."""

    _families: list[Family]

    def collect(self) -> Iterable[Family]:
        """Return them."""
        return self._families


_FAMILIES: Mapping[Type, Callable[..., Any]] = {
    Type.GAUGE: GaugeMetricFamily,
    Type.COUNTER: CounterMetricFamily,
    Type.HISTOGRAM: HistogramMetricFamily,
}


def families(reading: Reading) -> Iterable[Family]:
    """Yield every metric of the table with its samples."""
    for metric in METRICS:
        yield _family(metric, reading)


def _family(metric: Metric, reading: Reading) -> Family:
    family = _FAMILIES[metric.type](metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.read(reading).items():
        if isinstance(value, Histogram):
            family.add_metric(labels, buckets=list(value.cumulative()), sum_value=value.total)
        else:
            family.add_metric(labels, value)
    made: Family = family
    return made


# --- HTTP


@attrs.frozen
class _Answer:
    """A response: its status, and the text that says what it is about."""

    status: HTTPStatus
    body: bytes = b""
    bare: bool = False  # it answers HEAD: the headers, and nothing more

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Return the headers."""
        allow = [("Allow", "GET")] if self.status is HTTPStatus.METHOD_NOT_ALLOWED else []
        length = ("Content-Length", str(len(self.text)))
        return [("Content-Type", TEXT), length, ("Connection", "close"), ("Cache-Control", "no-store"), *allow]

    @property
    def text(self) -> bytes:
        """Return the body: where there is none, the status in words."""
        return self.body or f"{self.status.value} {self.status.phrase}\n".encode()


class _Server:
    """What all connections share."""

    def __init__(self, scraper: Scraper) -> None:
        self._scraper = scraper
        self._connections = 0

    async def admit(self, stream: trio.SocketStream) -> None:
        """Serve one client, within limits."""
        if self._connections >= MAX_CONNECTIONS:
            self._scraper.refused()
        if self._connections >= CROWD:
            return
        self._connections += 1
        try:
            with trio.move_on_after(PATIENCE):
                await self._serve(stream)
        finally:
            self._connections -= 1

    async def _serve(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
        try:
            answer = await self._answer(http, stream)
            if answer is not None:
                await _send(http, stream, answer)
        except trio.BrokenResourceError:
            return  # the client has gone

    async def _answer(self, http: h11.Connection, stream: trio.SocketStream) -> _Answer | None:
        """Read a request and return the answer; None when there was no request."""
        if self._connections > MAX_CONNECTIONS:
            return _Answer(HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            request = await _request(http, stream)
        except h11.RemoteProtocolError as error:
            return _Answer(HTTPStatus(error.error_status_hint))
        if request is None:
            return None
        return attrs.evolve(await self._respond(request), bare=request.method == b"HEAD")

    async def _respond(self, request: h11.Request) -> _Answer:
        if request.target.partition(b"?")[0] != PATH.encode():
            return _Answer(HTTPStatus.NOT_FOUND)
        if request.method != b"GET":
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED)
        return _Answer(HTTPStatus.OK, await self._scraper.scrape())


async def _request(http: h11.Connection, stream: trio.SocketStream) -> h11.Request | None:
    """Read until there is a request; None when the client has gone before. Raises `h11.RemoteProtocolError`."""
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await stream.receive_some(CHUNK))
    return event if isinstance(event, h11.Request) else None


async def _send(http: h11.Connection, stream: trio.SocketStream, answer: _Answer) -> None:
    head = http.send(h11.Response(status_code=answer.status, headers=answer.headers))
    body = None if answer.bare else http.send(h11.Data(data=answer.text))
    await stream.send_all((head or b"") + (body or b""))
    await stream.send_eof()
    # Closing while there is something unread would reset the connection, and the answer might be lost with it.
    with trio.move_on_after(PARTING):
        while await stream.receive_some(CHUNK):
            pass
