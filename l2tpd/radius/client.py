"""RADIUS for the daemon: an authority for callers, an accountant of subscribers, and an ear for servers that want a session changed or ended.

Theory of operation. Log-ins and accounting have an exchange and a courier each, so that neither waits behind the other. A record that no server has taken
goes to the spool, and so does what comes after it from the same session; a task delivers the spool, oldest first, as long as that succeeds, and tries
again a while after it has not. Files are written and read in a thread of their own.

Accounting-On ends at a server whatever has begun before, so nothing may overtake it: until there is an outcome, what comes after it is held; if no server
takes it, it goes to the spool, and all else behind it. Where servers take other records and not this one, it is given up.

The end has an order: sessions have ended and their Stops are under way; `finish` waits for them within bounds, says Accounting-Off, and what is not
delivered by then goes to the spool. Cancelled, it keeps what it has, at once.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

import trio

from l2tpd import log
from l2tpd.config import scalars
from l2tpd.config.model import Address
from l2tpd.errors import LocalProtocolError, StartupError
from l2tpd.ppp.accountant import Traffic
from l2tpd.ppp.authority import Request, Verdict
from l2tpd.ppp.way import UNTOLD, Way
from l2tpd.radius import access
from l2tpd.radius.accounting import Books, Identity, Record
from l2tpd.radius.courier import LARGEST, Courier
from l2tpd.radius.dynauth import Client, Demand, Desk
from l2tpd.radius.exchange import Exchange, Outcome, Question, Server
from l2tpd.radius.ignored import REASONS
from l2tpd.radius.numbers import Code, ErrorCause, Status
from l2tpd.radius.roster import Roster
from l2tpd.radius.spool import Spool
from l2tpd.radius.tally import ACCOUNTING, LOGIN, State, Tally
from l2tpd.radius.tunnels import TunnelBooks
from l2tpd.rights import LOW_PORT, lacking
from l2tpd.supervise import contained, crashes, keep

if TYPE_CHECKING:
    from l2tpd.config.model import Config
    from l2tpd.events import Event
    from l2tpd.ppp.accountant import Cause, Subscriber
    from l2tpd.radius.packet import Packet

PATIENCE: Final = 15.0  # seconds between two attempts to deliver the spool
AGAIN: Final = 1.0  # second between two attempts to keep a record for which there is no descriptor
WAITING: Final = 100_000  # records in memory: under way, behind an Accounting-On, and before the spool
BATCH: Final = 64  # records that are delivered at once
FINISH: Final = 5.0  # seconds for what is under way when the daemon stops

_ANNOUNCEMENTS: Final = {Status.ON: "Accounting-On", Status.OFF: "Accounting-Off"}

_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE})  # reasons that pass as others let go of descriptors

_log = log.get("radius")


class Radius:
    """All of RADIUS; an `Authority`, and an `Accountant`."""

    def __init__(
        self,
        config: Callable[[], Config],
        way_of: Callable[[int], Way] = lambda _tunnel_id: UNTOLD,
        measure: Callable[[str], Traffic] = lambda _interface: Traffic(),
    ) -> None:
        """Take settings from the configuration in force; nothing is opened yet.

        What is known of a tunnel comes from `way_of`, what an interface has carried from `measure`.
        """
        self._config = config
        self._tallies = Tally(LOGIN), Tally(ACCOUNTING)
        self._login, self._account = (Courier(self._exchange(tally)) for tally in self._tallies)
        life = f"{int(time.time()):08X}{os.urandom(2).hex().upper()}"
        self.books = Books(life, self.identity, lambda: config().radius.interim_interval, random.random)
        self.tunnels = TunnelBooks(self.books, way_of, measure)
        self.roster = Roster()
        self.desk = self._desk()
        self.lost = 0
        """Records that nobody has taken and for which there was no room either."""
        self.put_off = 0
        """How often there was no descriptor to keep a record."""
        self._spool: Spool | None = None
        self._to_keep: dict[int, Record] = {}  # by serial: not delivered
        self._keeping: set[str] = set()  # whose they are, until the spool says so
        self._under_way: dict[int, Record] = {}
        self._held: list[Record] | None = None  # behind an Accounting-On that is under way
        self._announcing = False  # an Accounting-On is about to go to the spool
        self._serial = 0
        self._wake_keeper = trio.Event()
        self._wake_timer = trio.Event()
        self._limiter = trio.CapacityLimiter(1)
        self._remarks = log.RateLimit(rate=1 / 3600, burst=1)

    # --- configuration --------------------------------------------------------------------------------------------------------------

    def identity(self) -> Identity:
        """Return how we call ourselves."""
        config = self._config()
        return Identity(
            identifier=config.radius.nas_identifier or config.system.hostname, address=config.radius.nas_address
        )

    def apply(self) -> None:
        """Go on with the servers and clients of a configuration that was read anew."""
        for courier, tally in zip((self._login, self._account), self._tallies, strict=True):
            courier.replace(self._exchange(tally))
        desk = self._desk()
        self.desk.clients, self.desk.window = desk.clients, desk.window

    def _exchange(self, tally: Tally) -> Exchange:
        settings, for_login = self._config().radius, tally.kind == LOGIN
        servers = [
            Server(
                address=Address(server.address, server.auth_port if for_login else server.acct_port),
                name=name,
                secret=server.secret.encode(),
                timeout=server.timeout,
                retries=server.retries,
                dead_time=server.dead_time,
            )
            for name, server in settings.servers.items()
            if (server.auth_port if for_login else server.acct_port)
        ]
        return Exchange(servers, os.urandom, tally, require_signature=settings.require_message_authenticator)

    def _desk(self) -> Desk:
        settings = self._config().radius
        clients = [Client(prefix=one.match, secret=one.secret.encode()) for one in settings.clients.values()]
        clients.sort(key=lambda one: _size(one.prefix))
        return Desk(clients, self.identity, settings.dynauth_window)

    @property
    def _accounting(self) -> bool:
        settings = self._config().radius
        return settings.accounting and any(server.acct_port for server in settings.servers.values())

    def state(self) -> State:
        """Return how it is now, for the metrics."""
        now, couriers = trio.current_time(), (self._login, self._account)
        return State(
            tallies=self._tallies,
            up={asked: up for courier in couriers for asked, up in courier.exchange.up(now).items()},
            under_way={courier.exchange.tally.kind: courier.exchange.under_way for courier in couriers},
            spooled=0 if self._spool is None else len(self._spool),
            waiting=self._waiting,
            lost=self.lost,
            demands=self.desk.counts,
        )

    # --- authority ------------------------------------------------------------------------------------------------------------------

    def check_nowait(self, request: Request) -> None:
        """Always ask to be awaited."""
        del request

    async def check(self, request: Request) -> Verdict:
        """Ask the servers about a caller; never raises, and is done in bounded time."""
        outcome = await self._ask_about(request)
        if outcome.answer is None:
            found, reason = Verdict(accepted=False, message=b"try again later"), outcome.reason
        else:
            found, reason = access.verdict(request.credentials.kind, outcome.answer)
            self._say_ignored(outcome.answer)
        if not found.accepted:
            ids = {"tid": request.tunnel_id, "sid": request.session_id}
            _log.warning("RADIUS: not let in", **ids, user=request.credentials.user, reason=reason)
        return found

    def _say_ignored(self, answer: Packet) -> None:
        """Tell the operator, seldom, what a server grants or forbids without effect."""
        for key in answer.attributes.keys() & REASONS.keys():
            row, text = REASONS[key], "RADIUS: an attribute has no effect"
            self._remarks.say(key, trio.current_time(), _log.info, text, attribute=row.name, reason=row.why)

    async def _ask_about(self, request: Request) -> Outcome:
        try:
            question = access.question(request, self.identity())
        except LocalProtocolError as error:  # a LAC may report a challenge that no attribute holds
            return Outcome(ticket=0, reason=str(error))
        return await self._login.ask(question)

    # --- accountant -----------------------------------------------------------------------------------------------------------------

    def begin(self, subscriber: Subscriber) -> str:
        """Take note of a session, and say so if there is accounting."""
        account = self.books.new_key()
        self.roster.add(account, subscriber)
        if self._accounting:
            self._deliver(self.books.open(account, subscriber, trio.current_time(), time.time()))
            self._wake_timer.set()
        return account

    def renew(self, account: str, subscriber: Subscriber) -> None:
        """Describe a session otherwise, and say so at once."""
        if self.roster.remove(account) is not None:
            self.roster.add(account, subscriber)
            self.books.renew(account, subscriber)
            self._write_interim(account)

    def end(self, account: str, cause: Cause) -> None:
        """Close the account of a session; its counters are read now."""
        subscriber = self.roster.remove(account)
        if subscriber is not None:
            record = self.books.close(account, subscriber.traffic(), cause, trio.current_time(), time.time())
            if record is not None:
                self._deliver(record)

    def follow(self, event: Event) -> None:
        """Take note of what happens to tunnels and their sessions, and say so where that is wanted."""
        wanted = self._config().radius.tunnel_accounting and self._accounting
        if wanted or len(self.tunnels):
            record = self.tunnels.follow(event, trio.current_time(), time.time(), wanted=wanted)
            if record is not None:
                self._deliver(record)

    def _deliver(self, record: Record) -> None:
        """Have a server take a record, or keep it: never waits."""
        if self._waiting >= WAITING:
            self._lose(record, "too many wait")
            return
        self._serial += 1
        serial = self._serial
        kept = self._spool is not None and (self._spool.announces or self._spool.holds(record.key))
        if kept or self._announcing or record.key in self._keeping:
            self._keep(serial, record)
            return
        if self._held is not None:
            self._held.append(record)
            return
        if record.status is Status.ON:
            self._held = []
        self._under_way[serial] = record
        self._account.ask_nowait(_question(record), partial(self._delivered, serial))

    @property
    def _waiting(self) -> int:
        return len(self._under_way) + len(self._held or ()) + len(self._to_keep)

    def _delivered(self, serial: int, outcome: Outcome) -> None:
        record = self._under_way.pop(serial)
        needless = record.status is Status.INTERIM and record.key not in self.books  # its Stop has gone out meanwhile
        if outcome.answer is None and record.status in _ANNOUNCEMENTS:
            _log.warning(f"RADIUS: no server takes {_ANNOUNCEMENTS[record.status]}", reason=outcome.reason)
        if outcome.answer is None and not needless:
            self._keep(serial, record)
        if record.status is Status.ON:
            self._release()

    def _release(self) -> None:
        """Deliver what was held behind an Accounting-On, or keep it behind that."""
        held, self._held = self._held or [], None
        for record in held:
            self._deliver(record)

    def _keep(self, serial: int, record: Record) -> None:
        if record.status is Status.OFF:
            return  # the Accounting-On of our next life says as much
        self._announcing |= record.status is Status.ON
        self._to_keep[serial] = record
        self._keeping.add(record.key)
        self._wake_keeper.set()

    # --- tasks ----------------------------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Raises `StartupError` when what the configuration asks for cannot be opened."""
        ear = self._open_ear()
        try:
            await self._prepare()
            async with trio.open_nursery() as nursery:
                await nursery.start(self._login.run)
                await nursery.start(self._account.run)
                tasks = [self._keep_records, self._deliver_spool, self._write_interims]
                for task in (*tasks, *([partial(self._listen, ear)] if ear is not None else ())):
                    nursery.start_soon(partial(keep, "RADIUS", task, kind="radius"))
                if self._accounting:
                    self._deliver(self.books.announce(on=True, wall=time.time()))
                task_status.started()
        finally:
            if ear is not None:
                ear.close()
            self.close()

    def close(self) -> None:
        """Keep what nobody has taken, when nobody asks any longer. Blocks."""
        for serial, record in self._under_way.items():
            self._keep(serial, record)
        self._under_way.clear()
        self._release()
        self._keep_now(for_good=True)

    async def _prepare(self) -> None:
        if self._accounting:
            try:
                await trio.to_thread.run_sync(self._open_spool, limiter=self._limiter)
            except OSError as error:
                raise StartupError(f"radius.spool: {error}") from error

    async def finish(self) -> None:
        """Let what is under way be delivered, within bounds, and say that we end."""
        with trio.move_on_after(FINISH):
            await self._account.idle()
            if self._accounting:
                self._deliver(self.books.announce(on=False, wall=time.time()))
                await self._account.idle()

    async def _keep_records(self) -> None:
        while True:
            await self._wake_keeper.wait()
            self._wake_keeper = trio.Event()
            while not await trio.to_thread.run_sync(self._keep_now, limiter=self._limiter):
                self.put_off += 1
                await trio.sleep(AGAIN)

    def _keep_now(self, *, for_good: bool = False) -> bool:
        """Write what was not delivered to the spool; where there is no descriptor for it return False, unless it is now or never. Blocks."""
        for serial, record in tuple(self._to_keep.items()):
            try:
                kept, reason = self._open_spool().add(record), "there is no more room"
            except OSError as error:
                if error.errno in _PASSING and not for_good:
                    return False
                kept, reason = False, str(error)
            if not kept:
                self._lose(record, reason)
            del self._to_keep[serial]
            self._keeping.discard(record.key)
            if record.status is Status.ON:
                self._announcing = False  # from now on the spool says so
        return True

    def _lose(self, record: Record, reason: str) -> None:
        self.lost += 1
        _log.error("an accounting record is lost", account=record.key, status=record.status.name, reason=reason)

    def _open_spool(self) -> Spool:
        """Return the spool, opened when there is a use for it: accounting may come with a reload. Blocks. Raises `OSError`."""
        if self._spool is None:
            self._spool = Spool(self._config().radius.spool)
        return self._spool

    async def _deliver_spool(self) -> None:
        """Deliver what is kept, as long as somebody takes it; then try again after a while."""
        while True:
            try:
                while await self._deliver_some():
                    await trio.lowlevel.checkpoint()
            except OSError as error:
                _log.error("the accounting that is kept cannot be read", reason=str(error))
            await trio.sleep(PATIENCE)

    async def _deliver_some(self) -> bool:
        """Deliver the oldest records; tell whether all of them were taken, and there were some."""
        if self._spool is None or not len(self._spool):
            return False
        records = await trio.to_thread.run_sync(self._spool.oldest, BATCH, limiter=self._limiter)
        if records and records[0].status is Status.ON:
            taken, left = await self._announced(records), []
        else:
            records = [*itertools.takewhile(lambda one: one.status is not Status.ON, records)]
            taken = await self._taken(records)
            left = [record for record in records if record not in taken]
        await trio.to_thread.run_sync(self._forget, taken, left, limiter=self._limiter)
        return bool(taken)

    async def _taken(self, records: Iterable[Record]) -> list[Record]:
        """Have servers take records, those of a session one after the other: tasks begin in any order. Return those that were taken."""
        taken: list[Record] = []
        sessions: dict[str, list[Record]] = {}
        for record in records:
            sessions.setdefault(record.key, []).append(record)

        async def deliver(session: list[Record]) -> None:
            taken.extend([one for one in session if (await self._account.ask(_question(one))).answer is not None])

        async with trio.open_nursery() as nursery:
            for session in sessions.values():
                nursery.start_soon(deliver, session)
        return taken

    async def _announced(self, records: list[Record]) -> list[Record]:
        """Have a server take an Accounting-On, the first of these; if none does but takes what comes next, go on without it.

        A server may have come back in between, so it is asked once more; what came next is then told again, for the Accounting-On has ended it.
        """
        first, *others = records
        if (await self._account.ask(_question(first))).answer is not None:
            return [first]
        taken = await self._taken(itertools.takewhile(lambda one: one.status is not Status.ON, others[:1]))
        if not taken:
            return []
        if (await self._account.ask(_question(first))).answer is not None:
            return [first]
        _log.warning("RADIUS: servers take accounting, but not Accounting-On: it is given up")
        return [first, *taken]

    def _forget(self, taken: list[Record], left: list[Record]) -> None:
        if self._spool is not None:
            for record in taken:
                self._spool.done(record)
            self._spool.put_off(left)  # one that no server ever takes shall not stop the others

    async def _write_interims(self) -> None:
        while True:
            when = self.books.next_timer()
            with trio.move_on_at(float("inf") if when is None else when):
                await self._wake_timer.wait()
            self._wake_timer = trio.Event()
            for account in self.books.due(trio.current_time()):
                with contained(f"interim accounting of {account}", kind="radius"):
                    self._write_interim(account)

    def _write_interim(self, account: str) -> None:
        subscriber = self.roster.get(account)
        if subscriber is not None:
            record = self.books.interim(account, subscriber.traffic(), trio.current_time(), time.time())
            if record is not None:
                self._deliver(record)

    # --- dynamic authorization ------------------------------------------------------------------------------------------------------

    def _open_ear(self) -> socket.socket | None:
        listen = self._config().radius.dynauth_listen
        if not listen:
            return None
        address = scalars.address(listen)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        ear = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            ear.bind(tuple(address))
        except OSError as error:
            ear.close()
            raise StartupError(f"radius.dynauth_listen: {address}: {lacking(error, LOW_PORT)}") from error
        return ear

    async def _listen(self, ear: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(ear)
            try:
                data, sender = ear.recvfrom(LARGEST)
            except OSError:  # nothing there after all, or an ICMP message about an answer
                continue
            answer = self._answer_contained(data, Address(_as_it_is(sender[0]), sender[1]))
            if answer is not None:
                try:
                    ear.sendto(answer, sender)
                except OSError as error:
                    _log.debug("not sent", client=sender[0], reason=str(error.strerror))

    def _answer_contained(self, data: bytes, source: Address) -> bytes | None:
        """Answer so that a bug that a request meets, here or in the sessions that it is about, costs this request and no daemon."""
        try:
            return self._answer(data, source)
        except Exception as bug:  # noqa: BLE001 - the boundary between one request and everybody
            crashes["radius"] += 1
            _log.error("a RADIUS request crashed", client=source.host, exc_info=bug)
            return None

    def _answer(self, data: bytes, source: Address) -> bytes | None:
        found = self.desk.receive(data, source, time.time())
        return self.desk.answer(found, self._obey(found), time.time()) if isinstance(found, Demand) else found

    def _obey(self, demand: Demand) -> ErrorCause | None:
        """Do what is asked of the sessions that are meant; return the reason if that cannot be done."""
        meant = self.roster.find(demand.match)
        if not meant:
            return ErrorCause.SESSION_CONTEXT_NOT_FOUND
        what = "disconnect" if demand.changes is None else "change"
        _log.notice(f"RADIUS: {what}", client=demand.source.host, sessions=len(meant))
        for account, subscriber in meant:
            if demand.changes is None:
                subscriber.disconnect("ended by RADIUS")
                continue
            subscriber.limit(demand.changes.session_timeout, demand.changes.idle_timeout)
            if demand.changes.interim_interval is not None:
                self.books.change(account, demand.changes.interim_interval, trio.current_time())
                self._wake_timer.set()
        return None


def _size(prefix: str) -> int:
    """Return of how many bits the addresses of a prefix differ, be it one of IPv4 or one of IPv6 that holds such."""
    network = ip_network(prefix)
    return network.max_prefixlen - network.prefixlen


def _as_it_is(host: str) -> str:
    """Return the IPv4 address of a host that has come to a socket of IPv6 by it (RFC 4291 2.5.5.2)."""
    address = ip_address(host)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return host if mapped is None else str(mapped)


def _question(record: Record) -> Question:
    """Return what to ask; the age of the record goes by the clock on the wall, since it may be from another life."""
    born = trio.current_time() - max(0.0, time.time() - record.moment)
    return Question(code=Code.ACCOUNTING_REQUEST, attributes=record.attributes, born=born)
