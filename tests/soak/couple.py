"""An LNS and a LAC, real processes, with a bad path between them: everything that may happen to them, and the silence in which all of them count the same."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import attrs
import trio

from badnet import Weather
from fuzz import seeds
from fuzz.mutate import mutated
from interop.daemon import Daemon, daemon
from interop.netns import Host
from interop.program import polled
from l2tpd.config.model import Address
from scrapes import Samples, ask, get, key, samples
from soak.authority import DYNAUTH, SECRET, Authority
from soak.proxy import Proxy

WEATHER = Weather(loss=0.05, duplication=0.05, delay_min=0.0, delay_max=0.02)
ROUND = 50.0
"""Seconds of a round, without the silence after it."""

LINGER = 33.0
"""Seconds of silence after which no tunnel that is over keeps its socket any more: a full cycle of retransmissions (RFC 2661 5.7), and a little."""

QUIET = 90.0
"""Seconds that the silence may need: a caller that nobody hears gives up after some ten, one that was heard and gets no answer after thirty."""

CONFIGURED, CREATED = 8, 24
"""Tunnels of the LAC's configuration, and how many there may be besides."""

LOOKS = 20
"""How often descriptors are counted, within a second; what stays is there at every look."""

LAST = 60
"""Lines of each daemon that are shown where something failed."""

PORT, METRICS = 1701, 9917
PREFIX = "20010db80001"
"""How addresses and prefixes of the pool begin in /proc/net."""

PORTS6 = {"lns": 6, "lac": 7, "proxy": 8}
"""Ports on the one loopback address of IPv6: these, behind 17000 and ten times the number of the couple."""

TUNNEL = "establish_timeout = 30\nretry_timeout = 0.3\nmax_retries = 4\nredial_delay = 0.2\nredial_delay_max = 1.0\nhello_timeout = {hello}\n"
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
ipv6 = true
prefix_pool = "links"
ra_interval = 4
{ppp}
[pool.subscribers]
range = "10.9.0.2-10.9.15.254"
quarantine = 1
[pool.links]
range = "2001:db8:1::/52"
prefix_length = 64
quarantine = 1
"""
LAC = """[profile.ppp.default]
ipv6 = true
user = "joe"
password = "sesame"
"""
RADIUS = """
[radius]
spool = "{folder}/spool"
dynauth_listen = "{us}:{dynauth}"
[radius.server.one]
address = "{authority}"
secret = "{secret}"
timeout = 0.3
retries = 1
dead_time = 1
[radius.client.one]
match = "{authority}"
secret = "{secret}"
"""
SCRIPT = "#!/bin/sh\nexit 0\n"
BAD = re.compile(r" (error|critical): |Traceback|crashed")


class Here(Host):
    """This machine, or the network namespace that we are in."""

    def command(self, *argv: str) -> list[str]:
        """Return the command line as it is."""
        return list(argv)


DONE: dict[str, tuple[str, *tuple[tuple[str, str], ...]]] = {
    "tunnels": ("l2tpd_tunnels_ended_total",),
    "sessions": ("l2tpd_sessions_ended_total",),
    "reloads": ("l2tpd_events_total", ("event", "config-reloaded")),
    "scripts": ("l2tpd_scripts_total", ("fate", "run")),
    "dropped packets": ("l2tpd_dropped_packets_total",),
}
"""What is over and may have left something behind, as a daemon counts it: a metric, and labels."""


@attrs.frozen
class Stock:
    """What a process has, and what it had done by then."""

    descriptors: int
    threads: int
    memory: int  # octets that no other process has
    done: Mapping[str, int]  # by words of `DONE`

    @classmethod
    async def of(cls, pid: int, told: Samples) -> Stock:
        """Take stock of a process that has told these metrics; its end of the connection by which it told them may take it a moment to close."""
        done = {word: int(total(told, *metric)) for word, metric in DONE.items()}
        has = descriptors(pid)
        for _ in range(LOOKS):
            await trio.sleep(1 / LOOKS)
            has = min(has, descriptors(pid))
        return cls(has, len(list(Path(f"/proc/{pid}/task").iterdir())), private(pid), done)

    def __str__(self) -> str:
        """Return it in words."""
        had = f"{self.memory / (1 << 20):.2f} MiB, {self.descriptors} descriptors, {self.threads} threads"
        return f"{had}; over: {', '.join(f'{number} {word}' for word, number in self.done.items())}"


def private(pid: int) -> int:
    """Return how many octets of memory a process has to itself. A share in what others have as well would grow with their end."""
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(row[1]) << 10 for row in rows if row[0] in {"Private_Clean:", "Private_Dirty:", "Swap:"})


def total(told: Samples, metric: str, *labels: tuple[str, str]) -> float:
    """Return the sum of a metric's samples that have these labels."""
    wanted = frozenset(labels)
    return sum(value for (name, has), value in told.items() if name == metric and wanted <= has)


def descriptors(pid: int) -> int:
    """Count the descriptors of a process, without the sockets from which RADIUS servers are asked: a bounded number, each opened when it is first used."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]]
    asking = {f"socket:[{row[9]}]" for row in rows if row[1].startswith("00000000:")}
    found = 0
    for link in list(Path(f"/proc/{pid}/fd").iterdir()):
        with suppress(FileNotFoundError):  # closed meanwhile
            found += str(link.readlink()) not in asking
    return found


@attrs.frozen
class Objects:
    """What the kernel has for sessions, here."""

    interfaces: int
    prefixed: int  # addresses of IPv6 that are made of prefixes of the pool
    routes: int  # of such prefixes to their sessions

    @classmethod
    def here(cls) -> Objects:
        """Count."""
        found = Path("/proc/net/if_inet6").read_text().splitlines()
        routes = Path("/proc/net/ipv6_route").read_text().splitlines()
        return cls(
            interfaces=len(socket.if_nameindex()),
            prefixed=sum(line.startswith(PREFIX) for line in found),
            routes=sum(line.startswith(PREFIX) and line.split()[1] == "40" for line in routes),
        )

    @classmethod
    def of(cls, sessions: int) -> Objects:
        """Return what there is of so many sessions whose both ends are here."""
        return cls(interfaces=2 * sessions, prefixed=sessions, routes=sessions)

    def __sub__(self, other: Objects) -> Objects:
        """Return what is here beyond others."""
        return Objects(self.interfaces - other.interfaces, self.prefixed - other.prefixed, self.routes - other.routes)


def at_port(name: tuple[str, int]) -> str:
    """Write where somebody listens as the configuration has it."""
    host, port = name
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@attrs.define(eq=False)
class Couple:
    """An LNS and a LAC over one data plane, and what happens to them."""

    plane: str
    number: int
    folder: Path
    dice: Random
    before: Objects  # that are there without it
    counts: Counter[str] = attrs.field(factory=Counter)
    ends: dict[str, Daemon] = attrs.field(factory=dict)
    proxies: list[Proxy] = attrs.field(factory=list)
    authority: Authority | None = None
    slowest: float = 0.0
    _serial: int = 0
    _seen: object = None
    _created: list[str] = attrs.field(factory=list)
    _bases: dict[str, str] = attrs.field(factory=dict)

    def host(self, name: str) -> Host:
        """Return where an end, the proxy between them, or the RADIUS server listens."""
        last = {"lns": 1, "lac": 2, "proxy": 3, "radius": 4}[name]
        return Here(namespace="", address=f"127.0.{self.number}.{last}", address6="::1")

    def socket6(self, name: str) -> tuple[str, int]:
        """Return where it listens for IPv6."""
        return self.host(name).address6, 17000 + 10 * self.number + PORTS6[name]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have both daemons run, and what is between them and beside them."""
        here, there = (self.host(name).address for name in ("proxy", "lns"))
        ways = (((here, PORT), (there, PORT)), (self.socket6("proxy"), self.socket6("lns")))
        self.proxies += [Proxy(*way, WEATHER, self.dice.randrange(1 << 30)) for way in ways]
        if self.plane != "null":
            self.authority = Authority(self.host("radius").address, there, self.dice)
        async with trio.open_nursery() as nursery:
            for beside in (*self.proxies, self.authority):
                if beside is not None:
                    nursery.start_soon(beside.run)
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
            system=f'metrics_address = "{host.address}:{METRICS}"\n[[listen]]\naddress = "{at_port(self.socket6(name))}"',
        )

    def config(self, name: str) -> str:
        """Write another configuration for an end, which keeps what is up."""
        hello = self.dice.choice((3, 4, 5))
        if name == "lns":
            ppp = self.dice.choice(("", 'dns = ["192.0.2.53"]\n'))
            return self._lns(hello, ppp)
        return self._lac(self.dice.choice((CONFIGURED - 2, CONFIGURED)), hello)

    def _lns(self, hello: int, ppp: str) -> str:
        if self.authority is None:
            return LNS.format(hello=hello, ppp=ppp)
        radius = RADIUS.format(
            folder=self.folder,
            us=self.host("lns").address,
            authority=self.host("radius").address,
            dynauth=DYNAUTH,
            secret=SECRET,
        )
        return LNS.format(hello=hello, ppp=ppp + 'auth = "pap"\nauthority = "radius"\n') + radius

    def _lac(self, lines: int, hello: int) -> str:
        """Call by IPv4 and by IPv6 in turn."""
        return LAC + "".join(self._line(f"c{number}", self._peer(number % 2 == 1), hello) for number in range(lines))

    def _peer(self, six: bool) -> str:
        return at_port(self.socket6("proxy") if six else (self.host("proxy").address, PORT))

    def _line(self, name: str, peer: str, hello: int) -> str:
        said = f'[tunnel.{name}]\npeer = "{peer}"\n' + TUNNEL.format(hello=hello)
        return said + "".join(f"[tunnel.{name}.session.s{number}]\npersist = true\n" for number in range(2))

    def _learn(self, name: str) -> None:
        """Remember the tables that the harness has written, and put the hook scripts where they say."""
        text = (self.folder / name / "l2tpd.toml").read_text()
        self._bases[name] = (
            text[: text.rindex("[[listen]]")] + text[text.rindex("[[listen]]") :].split("\n\n", 1)[0] + "\n\n"
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
                if self.authority is not None:
                    nursery.start_soon(self.authority.storm)

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
            "peer": self._peer(six=self.dice.random() < 0.5),
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
        with (
            trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as four,
            trio.socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as six,
        ):
            while True:
                for end in ("lns", "lac"):
                    for _ in range(25):
                        junk = mutated(self.dice.choice(messages)[:4096], self.dice)
                        if self.dice.random() < 0.5:
                            await four.sendto(junk, (self.host(end).address, PORT))
                        else:
                            await six.sendto(junk, self.socket6(end))
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

    async def scrape(self, end: str) -> Samples:
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

    def summary(self) -> str:
        """Return what has happened, in numbers."""
        paths = sum((proxy.counts for proxy in self.proxies), Counter[str]())
        radius = f"; RADIUS: {dict(self.authority.counts)}" if self.authority is not None else ""
        slowest = f"slowest answer {self.slowest * 1000:.0f} ms"
        return f"{self.plane}: {dict(self.counts)}; paths: {dict(paths)}{radius}; {slowest}"

    def last_words(self) -> str:
        """Return what the daemons said last, of what was not read before."""
        return "\n".join(
            "\n".join((f"the {name} of {self.plane} said last:", *end.program.lines[-LAST:]))
            for name, end in self.ends.items()
        )

    # --- silence --------------------------------------------------------------------------------------------------------------------

    async def silence(self, stocks: dict[tuple[str, str], Stock]) -> None:
        """Delete what was created, wait until only what is configured is up, make sure that everybody counts the same, and take stock."""
        lac, lns = self.ends["lac"], self.ends["lns"]
        await self.reload("lac", self._lac(CONFIGURED, 4))
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
            stocks[self.plane, name] = await Stock.of(end.program.pid, await self.scrape(name))

    async def _is_quiet(self) -> bool | None:
        wanted = {"lac": (CONFIGURED, 2 * CONFIGURED), "lns": (CONFIGURED, 2 * CONFIGURED)}
        seen = {name: await self._census(name) for name in self.ends}
        objects = Objects.here() - self.before
        served = await self._served()
        self._seen = seen, objects, served
        sessions = 2 * CONFIGURED
        return (
            (self.plane == "null" or (objects == Objects.of(sessions) and served == {sessions}))
            and all(seen[name] == (wanted[name],) * 3 for name in seen)
        ) or None

    async def _served(self) -> object:
        """Return how many sessions RADIUS and pools have: one number where all agree; something else while records are on their way."""
        if self.authority is None:
            return set()
        found = await self.scrape("lns")
        on_their_way = sum(found[key("l2tpd_radius_requests_under_way", type=kind)] for kind in ("login", "accounting"))
        if on_their_way or found[key("l2tpd_radius_spooled_records")]:
            return "records wait", on_their_way
        pools = (found[key("l2tpd_pool_addresses_used", pool=pool)] for pool in ("subscribers", "links"))
        return {len(self.authority.open), *map(int, pools)}

    async def _census(self, name: str) -> tuple[object, object, object]:
        """Return tunnels and sessions that are all up, as lists, totals and metrics have them; something else while others are on their way."""
        end = self.ends[name]
        tunnels, sessions = await end.tunnels(), await end.sessions()
        others = [row for row in (*tunnels, *sessions) if row["state"] != "up"]
        listed: object = others or (len(tunnels), len(sessions))
        shown = await end.control.call("system.show")
        found = await self.scrape(name)
        gauges = tuple(int(total(found, metric, ("state", "up"))) for metric in ("l2tpd_tunnels", "l2tpd_sessions"))
        waits = (
            found[key("l2tpd_half_open_tunnels")]
            + found[key("l2tpd_data_plane_queue")]
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
