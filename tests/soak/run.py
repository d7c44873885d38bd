"""What `nox -s soak` runs: daemons that have everything happen to them at once, for an hour or as many minutes as asked.

    run.py [--minutes N] [--seed S] [--null]

For each data plane that this machine has (the null one, and as root the user-space one, with PPP and Ethernet inside) an LNS and a LAC, real processes,
and between them a path that loses 5 % of all datagrams, doubles 5 % and reorders. In every round tunnels and sessions come and go by the hand of
operators at both ends, the configuration is read anew in another form, junk comes as fast as a slow sender sends it, watchers come, stall and go, metrics
are scraped, and hook scripts run. Then there is silence: what was created is deleted, and what the daemons have is compared with what they had in the
first silence: descriptors, threads and interfaces to the last one, memory within bounds, counters with lists and with the system. At the end nothing
may be left.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

import taps
from badnet import Weather
from bench import measure
from fuzz import seeds
from fuzz.mutate import mutated
from interop.daemon import Daemon, daemon
from interop.netns import Host
from interop.program import polled
from l2tpd.config.model import Address
from scrapes import ask, get, key, samples
from soak.proxy import Proxy

WEATHER = Weather(loss=0.05, duplication=0.05, delay_min=0.0, delay_max=0.02)
ROUND = 50.0
"""Seconds of a round, without the silence after it."""

LINGER = 33.0
"""Seconds of silence after which no tunnel that is over keeps its socket any more: a full cycle of retransmissions (RFC 2661 5.7), and a little."""

QUIET = 90.0
"""Seconds that the silence may need: a caller gives up after some ten, and half of a tunnel is forgotten after less."""

CONFIGURED, CREATED = 8, 24
"""Tunnels of the LAC's configuration, and how many there may be besides."""

PORT, METRICS = 1701, 9917
MEMORY_SHARE, MEMORY_MORE = 0.15, 4 << 20
"""How much more memory than in the second silence is flat: share, and octets."""

TUNNEL = "retry_timeout = 0.3\nmax_retries = 4\nredial_delay = 0.2\nredial_delay_max = 1.0\nhello_timeout = {hello}\n"
LNS = """[peer.default]
versions = ["l2tpv2", "l2tpv3"]
[profile.tunnel.default]
establish_timeout = 30
retry_timeout = 0.3
max_retries = 4
hello_timeout = {hello}
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "subscribers"
{ppp}
[pool.subscribers]
range = "10.9.0.2-10.9.15.254"
"""
SCRIPT = "#!/bin/sh\nexit 0\n"
BAD = re.compile(r" (error|critical): |Traceback|crashed")


class Here(Host):
    """This machine, or the network namespace that we are in."""

    def command(self, *argv: str) -> list[str]:
        """Return the command line as it is."""
        return list(argv)


@attrs.frozen
class Stock:
    """What a process has."""

    descriptors: int
    threads: int
    memory: int  # octets, proportional set

    @classmethod
    def of(cls, pid: int) -> Stock:
        """Take stock of a process."""
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        memory = int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))) * 1024
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        return cls(measure.Process(pid).descriptors(), threads, memory)


@attrs.define(eq=False)
class Couple:
    """An LNS and a LAC over one data plane, and what happens to them."""

    plane: str
    number: int
    folder: Path
    dice: Random
    interfaces: int  # that are there without it
    counts: Counter[str] = attrs.field(factory=Counter)
    ends: dict[str, Daemon] = attrs.field(factory=dict)
    proxy: Proxy = attrs.field(init=False)
    slowest: float = 0.0
    _serial: int = 0
    _seen: object = None
    _created: list[str] = attrs.field(factory=list)
    _bases: dict[str, str] = attrs.field(factory=dict)

    def host(self, name: str) -> Host:
        """Return where an end, or the proxy between them, listens."""
        last = {"lns": 1, "lac": 2, "proxy": 3}[name]
        return Here(namespace="", address=f"127.0.{self.number}.{last}", address6="::1")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have both daemons and the proxy run."""
        here, there = (self.host(name).address for name in ("proxy", "lns"))
        self.proxy = Proxy((here, PORT), (there, PORT), WEATHER, self.dice.randrange(1 << 30))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.proxy.run)
            async with AsyncExitStack() as stack:
                for name in ("lns", "lac"):
                    self.ends[name] = await stack.enter_async_context(self._daemon(name))
                    self._learn(name)
                yield
            nursery.cancel_scope.cancel()

    def _daemon(self, name: str) -> AbstractAsyncContextManager[Daemon]:
        host = self.host(name)
        return daemon(
            host,
            self.folder / name,
            self.config(name),
            data_plane=self.plane,
            log_level="notice",
            system=f'metrics_address = "{host.address}:{METRICS}"\n',
        )

    def config(self, name: str) -> str:
        """Write another configuration for an end, which keeps what is up."""
        hello = self.dice.choice((3, 4, 5))
        if name == "lns":
            ppp = self.dice.choice(("", 'dns = ["192.0.2.53"]\n'))
            return LNS.format(hello=hello, ppp=ppp)
        peer = f"{self.host('proxy').address}:{PORT}"
        several = range(self.dice.choice((CONFIGURED - 2, CONFIGURED)))
        return "".join(self._line(f"c{number}", peer, hello) for number in several)

    def _line(self, name: str, peer: str, hello: int) -> str:
        said = f'[tunnel.{name}]\npeer = "{peer}"\n' + TUNNEL.format(hello=hello)
        return said + "".join(f"[tunnel.{name}.session.s{number}]\npersist = true\n" for number in range(2))

    def _learn(self, name: str) -> None:
        """Remember the tables that the harness has written, and put the hook scripts where they say."""
        text = (self.folder / name / "l2tpd.toml").read_text()
        self._bases[name] = (
            text[: text.index("[[listen]]")] + text[text.index("[[listen]]") :].split("\n\n", 1)[0] + "\n\n"
        )
        found = re.search(r'script_directory = "(.*)"', text)
        assert found is not None
        scripts = Path(found[1])
        scripts.mkdir(mode=0o755)
        for hook in ("tunnel-up", "session-up", "session-down"):
            (scripts / hook).write_text(SCRIPT)
            (scripts / hook).chmod(0o755)

    # --- what happens ---------------------------------------------------------------------------------------------------------------

    async def storm(self, seconds: float) -> None:
        """Have everything happen at once for a while."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for task in (
                    self._churn,
                    self._operate,
                    self._reload,
                    self._flood,
                    self._watch,
                    self._scrape,
                    self._look,
                ):
                    nursery.start_soon(task)

    async def _attempt(self, end: str, method: str, **params: object) -> Any:
        """Call a method that may well be refused: what it is about may be gone. Raises `AssertionError` for a bug of the daemon."""
        try:
            result = await self.ends[end].control.call(method, **params)
        except AssertionError as error:
            if "'code': -320" not in str(error):  # the daemon's own refusals; -32603 is a bug (JSON-RPC 2.0, 5.1)
                raise
            self.counts["refused"] += 1
            return None
        self.counts[method] += 1
        return result

    async def _churn(self) -> None:
        """Create and delete tunnels and sessions at the calling end."""
        while True:
            await trio.sleep(self.dice.uniform(0.0, 0.1))
            if len(self._created) < CREATED and self.dice.random() < 0.5:
                await self._create()
            elif self._created and self.dice.random() < 0.3:
                await self._attempt("lac", "tunnel.delete", tunnel=self._created.pop(0), reason="enough")
            elif self._created:
                await self._try_session(self.dice.choice(self._created))

    async def _create(self) -> None:
        self._serial += 1
        name = f"d{self._serial}"
        keys: dict[str, object] = {
            "peer": f"{self.host('proxy').address}:{PORT}",
            "retry_timeout": 0.3,
            "max_retries": 4,
        }
        if self.dice.random() < 0.3:
            keys |= {"version": "l2tpv3", "cookie_size": self.dice.choice((0, 4, 8))}
        if await self._attempt("lac", "tunnel.create", name=name, keys=keys) is not None:
            self._created.append(name)
            for number in range(self.dice.randrange(3)):
                await self._session(name, f"s{number}", "version" in keys)

    async def _session(self, tunnel: str, name: str, ethernet: bool) -> None:
        keys = {"pseudowire": "eth"} if ethernet else {}
        await self._attempt("lac", "session.create", tunnel=tunnel, name=name, keys=keys)

    async def _try_session(self, tunnel: str) -> None:
        if self.dice.random() < 0.5:
            await self._attempt(
                "lac", "session.delete", tunnel=tunnel, session=f"s{self.dice.randrange(3)}", reason="enough"
            )
        else:
            await self._session(tunnel, f"s{self.dice.randrange(3)}", self.dice.random() < 0.5)

    async def _operate(self) -> None:
        """Delete tunnels and sessions at the called end."""
        while True:
            await trio.sleep(self.dice.uniform(0.2, 1.0))
            rows = await self.ends["lns"].sessions()
            if rows:
                row = self.dice.choice(rows)
                await self._attempt("lns", "session.delete", tunnel=f"@{row['tunnel_id']}", session=f"@{row['id']}")
            if self.dice.random() < 0.1 and (tunnels := await self.ends["lns"].tunnels()):
                await self._attempt("lns", "tunnel.delete", tunnel=f"@{self.dice.choice(tunnels)['id']}")

    async def _reload(self) -> None:
        """Write another configuration every few seconds."""
        while True:
            await trio.sleep(self.dice.uniform(1.0, 4.0))
            name = self.dice.choice(("lns", "lac"))
            await self.reload(name, self.config(name))

    async def reload(self, name: str, config: str) -> None:
        """Have an end read a configuration."""
        (self.folder / name / "l2tpd.toml").write_text(self._bases[name] + config)
        await self._attempt(name, "config.reload")

    async def _flood(self) -> None:
        """Send junk to both ends, some of which is nearly a message."""
        messages = list(seeds.datagrams().values())
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            while True:
                for end in ("lns", "lac"):
                    for _ in range(25):
                        junk = mutated(self.dice.choice(messages)[:4096], self.dice)
                        await sock.sendto(junk, (self.host(end).address, PORT))
                        self.counts["junk"] += 1
                await trio.sleep(0.05)

    async def _watch(self) -> None:
        """Come as a watcher, read a little of what happens or nothing, and go without a word."""
        while True:
            end = self.dice.choice(("lns", "lac"))
            method = self.dice.choice(("events.subscribe", "capture.start"))
            found = re.search(r'control_socket = "(.*)"', self._bases[end])
            assert found is not None
            async with await trio.open_unix_socket(found[1]) as stream:
                await stream.send_all(f'{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {{}}}}\n'.encode())
                with trio.move_on_after(self.dice.uniform(0.0, 4.0)):
                    for _ in range(self.dice.randrange(100)):
                        await stream.receive_some(4096)
                    await trio.sleep(4.0)
            self.counts["watchers"] += 1

    async def _scrape(self) -> None:
        while True:
            await trio.sleep(2.0)
            for end in ("lns", "lac"):
                await self.scrape(end)

    async def scrape(self, end: str) -> Any:
        """Return the samples of an end."""
        answer = await ask(Address(self.host(end).address, METRICS), get())
        assert 200 == answer.status
        self.counts["scrapes"] += 1
        return samples(answer.body)

    async def _look(self) -> None:
        """Measure how long an answer takes while all this happens."""
        while True:
            await trio.sleep(0.5)
            for end in self.ends.values():
                began = time.perf_counter()
                await end.control.call("system.show")
                self.slowest = max(self.slowest, time.perf_counter() - began)

    # --- silence --------------------------------------------------------------------------------------------------------------------

    async def silence(self, stocks: dict[tuple[str, str], Stock]) -> None:
        """Delete what was created, wait until only what is configured is up, make sure that everybody counts the same, and take stock."""
        lac, lns = self.ends["lac"], self.ends["lns"]
        await self.reload(
            "lac",
            "".join(
                self._line(f"c{number}", f"{self.host('proxy').address}:{PORT}", 4) for number in range(CONFIGURED)
            ),
        )
        for row in await lac.tunnels():
            if row["name"].startswith("d"):
                await self._attempt("lac", "tunnel.delete", tunnel=row["name"])
        self._created.clear()
        await polled(self._is_quiet, lambda: f"{self.plane}: no silence: {self._seen}", QUIET)
        await trio.sleep(LINGER)
        await polled(self._is_quiet, lambda: f"{self.plane}: no silence any more: {self._seen}", QUIET)
        self._read_logs()
        for end in (lac, lns):
            end.control.events.clear()
        for name, end in self.ends.items():
            stocks[self.plane, name] = Stock.of(end.program.pid)

    async def _is_quiet(self) -> bool | None:
        wanted = {"lac": (CONFIGURED, 2 * CONFIGURED), "lns": (CONFIGURED, 2 * CONFIGURED)}
        seen = {name: await self._census(name) for name in self.ends}
        links = interfaces() - self.interfaces
        self._seen = seen, links
        return (
            (self.plane == "null" or links == 4 * CONFIGURED)
            and all(seen[name] == (wanted[name],) * 3 for name in seen)
        ) or None

    async def _census(self, name: str) -> tuple[object, object, object]:
        """Return tunnels and sessions that are all up, as lists, totals and metrics have them; something else while others are on their way."""
        end = self.ends[name]
        tunnels, sessions = await end.tunnels(), await end.sessions()
        others = [row for row in (*tunnels, *sessions) if row["state"] != "up"]
        listed: object = others or (len(tunnels), len(sessions))
        shown = await end.control.call("system.show")
        found = await self.scrape(name)
        gauges = tuple(
            int(
                sum(
                    value for (metric, labels), value in found.items() if metric == wanted and ("state", "up") in labels
                )
            )
            for wanted in ("l2tpd_tunnels", "l2tpd_sessions")
        )
        waits = (
            found[key("l2tpd_half_open_tunnels")]
            + found[key("l2tpd_plane_queue")]
            + found[key("l2tpd_scripts_waiting")]
        )
        waits += found[key("l2tpd_scripts_running")]
        return listed, (shown["tunnels"], shown["sessions"]), gauges if not waits else ("something waits", waits)

    def _read_logs(self) -> None:
        """Fail if a daemon has said that something went wrong; forget what it said otherwise."""
        for name, end in self.ends.items():
            bad = [line for line in end.program.lines if BAD.search(line)]
            assert not bad, f"the {name} of {self.plane} said:\n" + "\n".join(bad[:40])
            self.counts["lines"] += len(end.program.lines)
            end.program.lines.clear()


def interfaces() -> int:
    """Count the network interfaces here."""
    return len(socket.if_nameindex())


async def soak(minutes: float, seed: int, planes: list[str], folder: Path) -> None:
    """Run couples over these planes. Raises `AssertionError` naming what is not flat."""
    before, until, rounds = interfaces(), time.monotonic() + 60 * minutes, 0
    couples = [
        Couple(plane, 10 + at, folder / plane, Random(f"{seed} {plane}"), before) for at, plane in enumerate(planes)
    ]
    history: list[dict[tuple[str, str], Stock]] = []
    links: list[int] = []
    async with AsyncExitStack() as stack:
        for couple in couples:
            await stack.enter_async_context(couple.running())
        while rounds < 3 or time.monotonic() < until:
            async with trio.open_nursery() as nursery:
                for couple in couples:
                    nursery.start_soon(couple.storm, min(ROUND, 15 * minutes))
            stocks: dict[tuple[str, str], Stock] = {}
            async with trio.open_nursery() as nursery:
                for couple in couples:
                    nursery.start_soon(couple.silence, stocks)
            history.append(stocks)
            links.append(interfaces())
            rounds += 1
            _show(rounds, stocks, links[-1])
            _judge(history, links)
        for couple in couples:
            print(
                f"{couple.plane}: {dict(couple.counts)}; path: {dict(couple.proxy.counts)}; slowest answer {couple.slowest * 1000:.0f} ms"
            )
    assert before == interfaces(), f"interfaces are left: {socket.if_nameindex()}"
    print(f"{rounds} rounds, nothing is left")


def _show(number: int, stocks: dict[tuple[str, str], Stock], links: int) -> None:
    said = "; ".join(
        f"{plane} {name}: {stock.memory / (1 << 20):.1f} MiB, {stock.descriptors} descriptors, {stock.threads} threads"
        for (plane, name), stock in stocks.items()
    )
    print(f"round {number}: {links} interfaces; {said}", flush=True)


def _judge(history: list[dict[tuple[str, str], Stock]], links: list[int]) -> None:
    """Fail unless the last silence is like the first."""
    assert links[0] == links[-1], f"interfaces: {links}"
    first, last = history[0], history[-1]
    for whose, stock in last.items():
        seen = [stocks[whose] for stocks in history]
        assert first[whose].descriptors == stock.descriptors, (
            f"{whose}: descriptors {[one.descriptors for one in seen]}"
        )
        assert stock.threads <= first[whose].threads + 2, f"{whose}: threads {[one.threads for one in seen]}"
        base = history[min(1, len(history) - 1)][whose].memory
        assert stock.memory <= base * (1 + MEMORY_SHARE) + MEMORY_MORE, (
            f"{whose}: memory {[one.memory for one in seen]}"
        )


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Return what a group of groups is about."""
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from leaves(one)
        else:
            yield one


def main() -> int:
    """Read the command line and run; return the exit status."""
    parser = argparse.ArgumentParser(description="Soak l2tpd.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--null", action="store_true", help="the null plane alone")
    asked = parser.parse_args()
    why_not = "asked not to" if asked.null else taps.why_not()
    if why_not:
        print(f"THE USER-SPACE PLANE IS NOT SOAKED: {why_not}", flush=True)
    status = 0
    planes = ["null"] if why_not else ["null", "user"]
    with TemporaryDirectory(prefix="l2tpd-soak-") as folder, nullcontext() if os.geteuid() else taps.namespace():
        try:
            trio.run(partial(soak, asked.minutes, asked.seed, planes, Path(folder)), strict_exception_groups=True)
        except* Exception as group:  # noqa: BLE001 - whatever it is, it is shown, and is our exit status
            for error in leaves(group):
                traceback.print_exception(error)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
