"""The disciplines of the storm: what is done to a server, phase by phase, and what each phase measured.

A phase is a dict of plain numbers, ready for JSON. `each` figures divide by what the phase achieved.
"""

import time
from collections import Counter
from collections.abc import Iterator
from time import monotonic, process_time

from bench.engine import Sent
from bench.hostile import Barrage
from bench.lac import Lac, State, Tunnel
from bench.measure import Process, milliseconds, rate

Phase = dict[str, object]
SETTLE = 0.3  # the server finishes its own work before memory is read
GRACE = 3.0
ANSWER_WITHIN = 8.0
PROBES = 7
BEFORE_AND_AFTER = 2  # calls of a victim: one placed before the hostile datagrams, one after
SLICES = 10
FAILURES = (
    "tunnels_failed",
    "tunnels_dropped",
    "sessions_failed",
    "lost",
    "unanswered",
    "failed",
    "complaints",
    "harmed",
    "unfinished",
)


class Meter:
    """Snapshots at the start of a phase; `read` gives the differences."""

    def __init__(self, lac: Lac, server: Process | None) -> None:
        """Start measuring."""
        self._lac, self._server = lac, server
        if server:
            lac.server_lives = server.alive
        self.rss = server.rss() if server else 0
        self._cpu = server.cpu() if server else 0.0
        self._own = process_time()
        self._counts = Counter(lac.engine.counts)
        self._complaints = Counter(lac.engine.complaints)
        self._stopccns, self._cdns = Counter(lac.stopccns), Counter(lac.cdns)
        self._latencies = len(lac.tunnel_latency), len(lac.call_latency)
        self.began = monotonic()

    def until_last(self) -> float:
        """Return the seconds until the last success: what is lost for good costs 31 s of patience, which is not the rate."""
        return max(0.0, self._lac.last - self.began)

    def read(self, name: str, done: int, seconds: float | None = None) -> Phase:
        """Return the phase `name` that achieved `done` set-ups, tear-downs or answers."""
        whole = monotonic() - self.began
        wall = whole if seconds is None else seconds
        lac, engine = self._lac, self._lac.engine
        own = process_time() - self._own
        phase: Phase = {
            "phase": name,
            "done": done,
            "seconds": round(wall, 3),
            "per_second": round(rate(done, wall), 1),
            "whole_seconds": round(whole, 3),
        }
        if len(lac.tunnel_latency) > self._latencies[0]:
            phase["sccrp"] = milliseconds(lac.tunnel_latency[self._latencies[0] :])
        if len(lac.call_latency) > self._latencies[1]:
            phase["icrp"] = milliseconds(lac.call_latency[self._latencies[1] :])
        phase |= self._of_server(done, whole)
        phase["generator_cpu"] = round(own, 3)
        phase["generator_us_each"] = round(own * 1e6 / done, 1) if done else None
        phase["datagrams"] = engine.counts - self._counts
        phase["complaints"] = engine.complaints - self._complaints
        phase["stopccn"], phase["cdn"] = lac.stopccns - self._stopccns, lac.cdns - self._cdns
        return phase

    def _of_server(self, done: int, whole: float) -> Phase:
        if self._server is None:
            return {}
        cpu = self._server.cpu() - self._cpu
        time.sleep(SETTLE)
        rss, alive = self._server.rss(), self._server.alive()
        return {
            "cpu": round(cpu, 3),
            "cpu_per_1000": round(cpu * 1000 / done, 4) if done else None,
            "cpu_share": round(cpu / whole, 4) if whole else None,
            "rss_before": self.rss,
            "rss_after": rss,
            "bytes_each": round((rss - self.rss) / done) if done and alive else None,
            "descriptors": self._server.descriptors(),
            "alive": alive,
        }


class Curve:
    """The server's processor time as tunnels grow in number: does a set-up cost more beside many of them?"""

    def __init__(self, lac: Lac, server: Process | None, tunnels: int) -> None:
        """Take a reading at each tenth of `tunnels`."""
        self._lac, self._server = lac, server
        self._step = max(1, tunnels // SLICES)
        self._points = [(0, server.cpu())] if server else []
        if server:
            lac.on_up = self._look

    def _look(self, _tunnel: Tunnel) -> None:
        if self._server and self._lac.up % self._step == 0:
            self._points.append((self._lac.up, self._server.cpu()))

    def read(self) -> Phase:
        """Return CPU seconds per 1,000 tunnels in each slice, and the last by the second of them (the first warms up)."""
        self._lac.on_up = lambda _tunnel: None
        pairs = zip(self._points, self._points[1:], strict=False)
        slices = [round((cpu - cpu0) * 1000 / (up - up0), 4) for (up0, cpu0), (up, cpu) in pairs if up > up0]
        if len(slices) < SLICES // 2 or slices[1] <= 0:
            return {}
        return {"slices": slices, "growth": round(slices[-1] / slices[1], 3)}


def set_up(lac: Lac, server: Process | None, tunnels: int, calls: int, *, phased: bool) -> Iterator[Phase]:
    """Set `tunnels` up with `calls` calls each, which follow their tunnel at once, or when `phased` all tunnels."""
    meter = Meter(lac, server)
    early = 0 if phased else calls
    curve = Curve(lac, server, tunnels)
    _open_all(lac, tunnels, early)
    name = "tunnels+sessions" if early else "tunnels"
    yield meter.read(name, lac.up, meter.until_last()) | _tally(lac) | curve.read()
    if phased and calls:
        meter = Meter(lac, server)
        for tunnel in lac.tunnels:
            if tunnel.state == State.UP:
                lac.call(tunnel, calls)
        lac.run(lac.pump_calls, lac.settled)
        yield meter.read("sessions", lac.calls_up, meter.until_last()) | _tally(lac)


def _open_all(lac: Lac, tunnels: int, calls: int) -> None:
    left = iter(range(tunnels))
    started = 0

    def pump() -> None:
        nonlocal started
        while lac.opening < lac.settings.width and next(left, None) is not None:
            started += 1
            lac.tunnels.append(lac.open(calls=calls))
        lac.pump_calls()

    lac.run(pump, lambda: started == tunnels and lac.settled())


def _tally(lac: Lac) -> Phase:
    return {
        "tunnels_up": lac.up,
        "tunnels_failed": lac.failed,
        "tunnels_dropped": lac.dropped,
        "sessions_up": lac.calls_up,
        "sessions_failed": lac.calls_failed,
        "unfinished": lac.opening + lac.calling,
    }


def hold(lac: Lac, server: Process | None, seconds: float, interval: float) -> Phase:
    """Hold all tunnels for `seconds`; each says HELLO every `interval` seconds, evenly spread. Count the unanswered."""
    meter = Meter(lac, server)
    tunnels = [tunnel for tunnel in lac.tunnels if tunnel.state == State.UP]
    answered, dropped = lac.hellos_answered, lac.dropped
    late = lac.hellos_late
    said: list[Sent[Tunnel]] = []

    def pump() -> None:
        due = min(monotonic() - meter.began, seconds) / interval * len(tunnels)
        while tunnels and len(said) < due:
            tunnel = tunnels[len(said) % len(tunnels)]
            said.append(lac.hello(tunnel) if tunnel.state == State.UP else _unsaid(tunnel))

    lac.run(pump, lambda: monotonic() - meter.began >= seconds, seconds + GRACE)
    wall = monotonic() - meter.began
    phase = meter.read("hold", lac.hellos_answered - answered, wall)
    lac.run(_idle, lambda: all(sent.acked for sent in said), GRACE)
    good = lac.hellos_answered - answered
    return phase | {
        "tunnels_held": lac.up,
        "hellos": len(said),
        "unanswered": len(said) - good,
        "late": lac.hellos_late - late,
        "lost": lac.dropped - dropped,
    }


def _unsaid(tunnel: Tunnel) -> Sent[Tunnel]:
    sent = Sent(tunnel, bytearray(), 0, 0)
    sent.acked = True
    return sent


def tear_down(lac: Lac, server: Process | None) -> Phase:
    """Say StopCCN in every tunnel, `width` at a time."""
    meter = Meter(lac, server)
    left = [tunnel for tunnel in lac.tunnels if tunnel.state == State.UP]
    asked, before = len(left), lac.closed

    def pump() -> None:
        while left and lac.closing < lac.settings.width:
            tunnel = left.pop()
            if tunnel.state == State.UP:
                lac.stop(tunnel)

    lac.run(pump, lambda: not left and lac.closing == 0)
    phase = meter.read("teardown", lac.closed - before, meter.until_last())
    return phase | {"asked": asked}


def churn(lac: Lac, server: Process | None, slots: int, seconds: float) -> Phase:
    """Set tunnels up and tear them down again at once in `slots` slots for `seconds`."""
    meter = Meter(lac, server)
    before, failed = lac.closed, lac.failed
    end = meter.began + seconds
    idle = list(range(slots))
    lac.on_up = lac.stop
    lac.on_down = lambda tunnel: idle.append(tunnel.slot)

    def pump() -> None:
        while idle and monotonic() < end:
            lac.open(idle.pop())

    lac.run(pump, lambda: monotonic() >= end, seconds + GRACE)
    cycles = lac.closed - before
    phase = meter.read("churn", cycles, monotonic() - meter.began)
    lac.run(_idle, lac.settled, GRACE)
    return phase | {"slots": slots, "failed": lac.failed - failed, "unfinished": lac.opening + lac.closing}


def fuzz(lac: Lac, server: Process | None, barrage: Barrage, seconds: float, victims: int) -> Phase:
    """Fire hostile datagrams for `seconds` beside established victims and fresh probes; then see who lives."""
    _open_all(lac, victims, 1)
    prey = [tunnel for tunnel in lac.tunnels if tunnel.state == State.UP]
    meter = Meter(lac, server)
    probes: list[Tunnel] = []
    ticks = _every(meter.began, 1.0)
    starts = _every(meter.began, seconds / PROBES)

    def pump() -> None:
        elapsed = monotonic() - meter.began
        if elapsed < seconds:
            barrage.fire(elapsed, prey)
            if next(ticks):
                for tunnel in prey:
                    if tunnel.state == State.UP and tunnel.has_room():
                        lac.hello(tunnel)
            if len(probes) < PROBES and next(starts):
                probes.append(lac.open(calls=1))
        lac.pump_calls()

    lac.run(pump, lambda: monotonic() - meter.began >= seconds and lac.settled(), seconds + GRACE)
    during = sum(_serves(lac, tunnel) for tunnel in probes)
    phase = meter.read("fuzz", barrage.fired, seconds)
    last = lac.open(calls=1)
    living = [tunnel for tunnel in prey if tunnel.state == State.UP]
    said = [lac.hello(tunnel) for tunnel in living]
    for tunnel in living:
        lac.call(tunnel, 1)
    lac.run(lac.pump_calls, lambda: lac.settled() and all(sent.acked for sent in said), ANSWER_WITHIN)
    alive = sum(tunnel.state == State.UP and len(_established(tunnel)) == BEFORE_AND_AFTER for tunnel in prey)
    after = _serves(lac, last)
    return phase | {
        "victims": len(prey),
        "victims_answering": sum(sent.acked for sent in said),
        "victims_alive": alive,
        "probes": len(probes),
        "probes_ok": during,
        "probe_after": after,
        "harmed": victims - alive + PROBES - during + (not after),
        "amplification": round(barrage.reflected / barrage.strange_bytes, 3) if barrage.strange_bytes else None,
        "kinds": barrage.kinds,
    }


def _established(tunnel: Tunnel) -> set[int]:
    return tunnel.sessions.keys() - tunnel.calls.keys()


def _serves(lac: Lac, tunnel: Tunnel) -> bool:
    """Tell whether a probe got its tunnel and its call, and close it."""
    served = tunnel.state == State.UP and len(_established(tunnel)) == 1
    if tunnel.state == State.UP:
        lac.stop(tunnel)
    elif tunnel.state != State.DOWN:
        lac.silent(tunnel)
    return served


def _every(began: float, interval: float) -> Iterator[bool]:
    """Yield True once each `interval` seconds, False in between."""
    due = began
    while True:
        late = monotonic() >= due
        if late:
            due += interval
        yield late


def _idle() -> None:
    """Let the network do its work."""
