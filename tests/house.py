"""A real daemon on loopback sockets, in the test's own event loop, and peers that are raw UDP sockets speaking `l2tpd.wire`.

    async with house("[peer.default]") as lns:
        with Peer(lns.address) as lac:
            call = await lac.call()          # SCCRQ out, SCCRP in
            await call.establish()           # SCCCN out, ZLB in

Every wait has a deadline, so a test that hears nothing fails instead of hanging.
"""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

import attrs
import trio
import trio.testing

from dialogue import hello, iccn, icrq, scccn, sccrq, stopccn
from l2tpd.config.load import parse
from l2tpd.config.model import Address
from l2tpd.daemon import Daemon
from l2tpd.options import Options
from l2tpd.reload import named
from l2tpd.tunnel.states import State
from l2tpd.tunnel.task import Tunnel
from l2tpd.wire.avp import ASSIGNED_SESSION_ID, ASSIGNED_TUNNEL_ID, RESULT_CODE
from l2tpd.wire.header import ControlHeader, build_control, parse_control
from l2tpd.wire.messages import Message, decode, encode
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import ResultCode

PATIENCE = 40.0
"""How many seconds anything may take before the test has failed."""


@attrs.define(eq=False)
class House:
    """A running daemon; `address` is its first listener."""

    daemon: Daemon
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    """Cancel it to cancel the daemon without a word of warning."""
    done: trio.Event = attrs.field(factory=trio.Event)

    @property
    def address(self) -> Address:
        return self.daemon.endpoint.listeners[0].address

    @property
    def tunnels(self) -> list[Tunnel]:
        return list(self.daemon.registry)

    def the_tunnel(self) -> Tunnel:
        """The only tunnel there is."""
        (tunnel,) = self.tunnels
        return tunnel

    def counter(self, name: str) -> int:
        return int(getattr(self.daemon.site.counters, name))


@asynccontextmanager
async def house(
    text: str = "[peer.default]\n", *, system: str = "", listen: tuple[str, ...] = ("127.0.0.1",)
) -> AsyncIterator[House]:
    """Run a daemon with this configuration; `system` are more keys of its `[system]`, `listen` its hosts."""
    with TemporaryDirectory(prefix="l2tpd-test-") as place:
        composed = House(_compose(Path(place), text, system, listen, ready := trio.Event()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, composed)
            try:
                with trio.fail_after(PATIENCE):
                    await ready.wait()
                yield composed
            finally:
                composed.daemon.stop(at_once=True)  # no waiting for peers that the test no longer plays


def _compose(place: Path, text: str, system: str, listen: tuple[str, ...], ready: trio.Event) -> Daemon:
    head = f'[system]\ncontrol_socket = "{place}/control.sock"\ndata_plane = "null"\n{system}\n'
    port = free_port()
    listeners = "".join(f'[[listen]]\naddress = "{Address(host, port)}"\n' for host in listen)
    config = parse([("test.toml", head + listeners + text)])
    return Daemon(named(config), Options(config_path=place / "test.toml", foreground=True, ready=ready.set))


def free_port() -> int:
    """Return a UDP port that nobody has, on any address."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


async def _run(composed: House) -> None:
    try:
        with composed.scope:
            await composed.daemon.run()
    finally:
        composed.done.set()


async def until(truth: Callable[[], object]) -> None:
    """Wait for something that has no event of its own; the deadline is of the real clock, for a test may have stopped trio's."""
    deadline = time.monotonic() + PATIENCE
    while not truth():
        assert time.monotonic() < deadline, "in vain"
        await trio.lowlevel.checkpoint()


async def settle() -> None:
    """Return once everybody here has done all that there is to do.

    Daemon and peers share this event loop, and what is sent on loopback has arrived when `sendto` returns: so nothing is under way any more.
    """
    await trio.testing.wait_all_tasks_blocked(0.01)


class Heard(NamedTuple):
    """A control packet from the daemon; a ZLB has no message."""

    header: ControlHeader
    said: Message | None
    source: Address

    @property
    def type(self) -> int | None:
        return self.said.type if self.said else None

    @property
    def result(self) -> ResultCode:
        assert self.said is not None
        return self.said[RESULT_CODE]

    @property
    def refusal(self) -> tuple[int | None, int, int | None]:
        """Message type, result and error code."""
        return self.type, self.result.result, self.result.error


def _read(datagram: bytes, name: Any) -> Heard:
    header, body = parse_control(datagram)
    return Heard(header, decode(body) if body else None, Address(name[0], name[1]))


@attrs.define(eq=False)
class Peer:
    """A UDP socket of a peer, which may have any number of tunnels."""

    to: Address
    host: str = "127.0.0.1"
    port: int = 0
    socket: trio.socket.SocketType = attrs.field(init=False)
    _set_aside: list[Heard] = attrs.field(factory=list)

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        plain = socket.socket(family, socket.SOCK_DGRAM)
        plain.bind((self.host, self.port))
        self.socket = trio.socket.from_stdlib_socket(plain)
        self.port = plain.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    @property
    def address(self) -> Address:
        return Address(self.host, self.port)

    async def throw(self, datagram: bytes, to: Address | None = None) -> None:
        """Send octets."""
        await self.socket.sendto(datagram, to or self.to)

    async def say(self, said: Message, tunnel_id: int = 0, ns: int = 0, nr: int = 0) -> None:
        await self.throw(build_control(tunnel_id, 0, ns, nr, encode(said)))

    async def hear(self, tunnel_id: int | None = None) -> Heard:
        """Return the next packet, or the next one to a tunnel of ours."""
        for heard in self._set_aside:
            if tunnel_id in {None, heard.header.tunnel_id}:
                self._set_aside.remove(heard)
                return heard
        with trio.fail_after(PATIENCE):
            while True:
                heard = await self._receive()
                if tunnel_id in {None, heard.header.tunnel_id}:
                    return heard
                self._set_aside.append(heard)

    async def _receive(self) -> Heard:
        return _read(*await self.socket.recvfrom(65535))

    async def rest(self) -> list[Heard]:
        """Return what else the daemon had to say by now."""
        await settle()
        heard, self._set_aside = self._set_aside, []
        stream = socket.fromfd(self.socket.fileno(), self.socket.family, self.socket.type)
        with stream:
            stream.setblocking(False)
            while True:
                try:
                    heard.append(_read(*stream.recvfrom(65535)))
                except BlockingIOError:
                    return heard

    async def refused(self, *, tunnel_id: int = 1, **more: Any) -> tuple[int | None, int, int | None]:
        """Ask for a tunnel and return how that was refused."""
        await self.say(sccrq(assigned_tunnel_id=tunnel_id, **more))
        return (await self.hear(tunnel_id)).refusal

    async def call(self, tunnel_id: int = 1, **more: Any) -> Caller:
        """Ask for a tunnel and wait for the answer."""
        caller = Caller(self, tunnel_id, encode(sccrq(assigned_tunnel_id=tunnel_id, **more)))
        await caller.ask()
        await caller.answered()
        return caller

    async def connect(self, tunnel_id: int = 1, **more: Any) -> Caller:
        """Establish a tunnel."""
        caller = await self.call(tunnel_id, **more)
        await caller.establish()
        return caller


@attrs.define(eq=False)
class Caller:
    """One control connection of a peer: its numbers, and what it says with them. It acknowledges only what it is told to."""

    peer: Peer
    tunnel_id: int
    request: bytes
    theirs: int = 0
    ns: int = 0
    nr: int = 0
    source: Address | None = None

    async def ask(self) -> None:
        """Send the SCCRQ, or a copy of it."""
        await self.peer.throw(build_control(0, 0, 0, 0, self.request))
        self.ns = 1

    async def answered(self) -> None:
        """Take the SCCRP."""
        heard = await self.hear(MessageType.SCCRP)
        assert heard.said is not None
        self.theirs = heard.said[ASSIGNED_TUNNEL_ID]
        self.source = heard.source

    async def establish(self) -> None:
        await self.say(scccn())
        await self.hear(None)

    async def say(self, said: Message, *, tunnel_id: int | None = None) -> None:
        await self.peer.say(said, self.theirs if tunnel_id is None else tunnel_id, self.ns, self.nr)
        self.ns += 1

    async def repeat(self, said: Message) -> None:
        """Say the last message again, as a peer whose acknowledgement was lost does."""
        await self.peer.say(said, self.theirs, self.ns - 1, self.nr)

    async def acknowledge(self) -> None:
        await self.peer.throw(build_control(self.theirs, 0, self.ns, self.nr, b""))

    async def hear(self, expected: int | None) -> Heard:
        """Return the next packet to this tunnel, which is of this type; None is a ZLB."""
        heard = await self.peer.hear(self.tunnel_id)
        assert expected == heard.type, heard
        if heard.said is not None:
            assert heard.header.ns == self.nr, "a retransmission"
            self.nr += 1
        return heard

    async def alive(self) -> None:
        """Make sure that the daemon still has this tunnel: its HELLO is acknowledged."""
        await self.say(hello())
        heard = await self.hear(None)
        assert self.ns == heard.header.nr

    async def stop(self) -> None:
        """End it politely."""
        await self.say(stopccn(tunnel_id=self.tunnel_id))
        heard = await self.hear(None)
        assert self.ns == heard.header.nr

    async def bring_up(self, number: int) -> None:
        """Bring up a call of this id of ours."""
        await self.say(icrq(number))
        answered = await self.hear(MessageType.ICRP)
        assert answered.said is not None
        await self.say_of_call(answered.said[ASSIGNED_SESSION_ID], iccn())
        await self.hear(None)

    async def say_of_call(self, session_id: int, said: Message) -> None:
        await self.peer.throw(build_control(self.theirs, session_id, self.ns, self.nr, encode(said)))
        self.ns += 1

    def tunnel(self, there: House) -> Tunnel:
        """The daemon's side."""
        return there.daemon.registry.by_id[self.theirs]


def established(there: House) -> int:
    return sum(tunnel.core.state is State.ESTABLISHED for tunnel in there.tunnels)
