"""An LNS with the users of its configuration, and clients on cables, each with a real TUN interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from typing import Any

import attrs
import trio
import trio.testing

import taps
from l2tpd.config.load import parse
from l2tpd.config.model import Config, PppAuthority, SessionSettings
from l2tpd.kernel.tuntap import UserPlane
from l2tpd.kernel.worker import Worker
from l2tpd.ppp.authority import Request, Verdict
from l2tpd.ppp.leases import Leases
from l2tpd.ppp.task import Builtin
from l2tpd.ppp.tun import TunCarrier
from l2tpd.session.call import Call, Kind
from pppcable import Cable, until

PROFILE = """
[profile.ppp.default]
local_address = "10.9.0.1"
pool = "subscribers"
auth = "chap"
authority = "users"
dns = ["9.9.9.9"]
[pool.subscribers]
range = "10.9.0.2-10.9.0.4"
quarantine = 0
"""
PASSWORD = "wonder"
ALICE = '[user.alice]\npassword = "wonder"\n'

numbers = count(2)


@attrs.define(eq=False)
class Session:
    """One session as its two ends see it."""

    lns: Call
    client: Call
    cable: Cable = attrs.field(factory=Cable)  # at the LNS
    ending: tuple[int, str] | None = None
    hang_up: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    @property
    def is_up(self) -> bool:
        return bool(self.lns.interface and self.client.interface)


@attrs.define(eq=False)
class Lns:
    """An LNS to which clients can be connected."""

    config: Config
    engine: Builtin
    leases: Leases
    plane: UserPlane
    nursery: trio.Nursery

    def call(
        self, user: str, password: str = PASSWORD, interface: str = "sub%d", through: str = "default", **said: Any
    ) -> Session:
        """Connect a client, `through` a pseudowire profile."""
        number = next(numbers)
        settings = SessionSettings(interface_name=interface, pseudowire_profile=through)
        session = Session(
            Call(number, Kind.LNS_INCOMING, settings, 0.0, 1, **said),
            Call(number, Kind.LAC_INCOMING, SessionSettings(user=user, password=password), 0.0, 1),
        )
        ours, theirs = session.cable, Cable()
        ours.other, theirs.other = theirs, ours
        empty = Config()
        client = Builtin(Leases(lambda: empty), lambda: "client", lambda *_: None)
        self.nursery.start_soon(self._serve, session, ours)
        self.nursery.start_soon(client.clock.serve)
        self.nursery.start_soon(self._dial, session, client, theirs)
        return session

    async def up(self, user: str, password: str = PASSWORD, **said: Any) -> Session:
        """Connect a client that comes in."""
        session = self.call(user, password, **said)
        await until(lambda: session.is_up)
        return session

    def end(self, session: Session) -> None:
        """Have the LNS end a session."""
        instance = self.engine.instances.get((1, session.lns.local_id))
        assert instance is not None
        instance.disconnect("enough")

    async def refused(self, user: str, password: str = PASSWORD) -> tuple[int, str]:
        """Connect a client that does not come in, and return why."""
        session = self.call(user, password)
        await until(lambda: session.ending)
        assert not session.lns.interface
        assert session.ending is not None
        return session.ending

    async def _serve(self, session: Session, cable: Cable) -> None:
        session.ending = await self.engine.run(1, session.lns, TunCarrier(cable, self.plane))

    async def _dial(self, session: Session, client: Builtin, cable: Cable) -> None:
        with session.hang_up:
            await client.run(1, session.client, TunCarrier(cable, self.plane))


@asynccontextmanager
async def lns(config: str) -> AsyncIterator[Lns]:
    """Run an LNS, with its interfaces and those of its clients in a network namespace."""
    whole = parse([("l2tpd.toml", config)])
    leases = Leases(lambda: whole)
    engine = Builtin(leases, lambda: "lns", lambda *_: None)
    with ExitStack() as stack, taps.namespace():
        plane = UserPlane(Worker("interfaces"))
        stack.callback(plane.close)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.clock.serve)
            yield Lns(whole, engine, leases, plane, nursery)
            nursery.cancel_scope.cancel()


@attrs.define(eq=False)
class Oracle:
    """An authority that answers the same to everybody, when it is told to."""

    verdict: Verdict
    asked: list[Request] = attrs.field(factory=list)
    speaks: trio.Event = attrs.field(factory=trio.Event)

    def check_nowait(self, request: Request) -> None:
        del request

    async def check(self, request: Request) -> Verdict:
        self.asked.append(request)
        await self.speaks.wait()
        return self.verdict


@asynccontextmanager
async def asking(verdict: Verdict, config: str = PROFILE) -> AsyncIterator[tuple[Lns, Oracle]]:
    """Run an LNS that asks an oracle."""
    async with lns(config.replace('"chap"', '"pap"')) as server:
        oracle = Oracle(verdict)
        server.engine.authorities[PppAuthority.USERS] = oracle
        yield server, oracle
