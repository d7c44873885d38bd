"""One tunnel in the running daemon: its socket, its nursery, its timer.

Theory of operation. The core decides; this carries out. `run` is the tunnel's task: it opens the nursery that holds the socket reader and the
tasks of sessions that wait for something, and is itself the timer. The reader drains its socket without awaiting, feeds the core, and flushes
once. `flush` has no await in it, so between a feeding and what follows from it no other task can see half a state.

A packet is never trusted for the socket that it came by: two tunnels may run between the same pair of addresses and ports. The reader keeps
what names its own tunnel and gives everything else to the endpoint.

Ends. A tunnel ends when its core says so. If the task is cancelled before that, it says goodbye within `stop_timeout`, shielded. If it
crashes, `crashed` sends one StopCCN and cleans up, and only this tunnel is gone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from l2tpd.config.model import Address, Encapsulation
from l2tpd.errors import PlaneError
from l2tpd.events import Event, SessionEvent, TunnelEvent, What
from l2tpd.kernel.ops import (
    NO_CHANNEL,
    Create,
    CreateTunnel,
    DeleteSession,
    DeleteTunnel,
    ModifySession,
    Operation,
    Outcome,
    Pump,
)
from l2tpd.session.inputs import Input as CallInput
from l2tpd.session.task import carry_change, carry_link, carry_session, carry_tunnel, first_of
from l2tpd.supervise import contained, crashes, goodbye
from l2tpd.trace import Category
from l2tpd.tunnel.actions import drop, end_calls
from l2tpd.tunnel.outputs import Output, Remark
from l2tpd.tunnel.port import BATCH, BUFFER, Arrived, DatagramSocket, any_address, source_towards, take_strays
from l2tpd.tunnel.quirks import Effect
from l2tpd.tunnel.states import State
from l2tpd.wire.numbers import CallResult, StopResult

if TYPE_CHECKING:
    from l2tpd.capture import Tap
    from l2tpd.kernel.adapter import Adapter
    from l2tpd.kernel.plane import PacketPlane
    from l2tpd.session.call import Call
    from l2tpd.session.task import Ppp
    from l2tpd.tunnel.core import ControlConnection
    from l2tpd.wire.header import ControlHeader
    from l2tpd.wire.messages import Message

KERNEL = int(Category.KERNEL)
_BUGS_MET = 10  # calls whose end meets a bug, after which a tunnel drops the others too: to log each takes a millisecond of everybody's
_OPENING = frozenset({State.IDLE, State.WAIT_CTL_REPLY, State.WAIT_CTL_CONN})


class House(Protocol):
    """What a tunnel needs of the daemon."""

    @property
    def adapter(self) -> Adapter:
        """The task that serves the data plane."""

    @property
    def ppp(self) -> Ppp:
        """What runs PPP where the data plane hands its frames to us."""

    @property
    def stop_timeout(self) -> float:
        """How long a goodbye may take, in seconds."""

    @property
    def packets(self) -> PacketPlane | None:
        """The data plane, where it is in this process and takes data packets from us."""

    @property
    def tap(self) -> Tap:
        """Who watches control messages."""

    def dispatch(self, arrived: Arrived) -> Tunnel | None:
        """Find the tunnel that a datagram is for and feed it; return it to be flushed."""

    def publish(self, event: Event) -> None:
        """Tell everyone who listens."""

    def remark(self, tunnel: Tunnel, remark: Remark) -> None:
        """Log a line about a tunnel."""

    def opened(self, tunnel: Tunnel) -> None:
        """Take note that a tunnel is no longer half open."""

    def over(self, tunnel: Tunnel) -> None:
        """Take note that a tunnel has ended, and take over what must linger of it."""


@attrs.define(eq=False)
class Link:
    """What one session has to run: PPP on the plane's descriptor of its frames, or the plane's own pump; and the scope of its task."""

    outcome: Outcome
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False, kw_only=True)
class Tunnel:
    """A control connection with its socket; `connected` until then says whether the kernel filters its sender."""

    core: ControlConnection
    house: House
    local: Address
    sock: DatagramSocket | None = None
    connected: bool = False
    request: int = 0  # hash of the SCCRQ that it answers
    late_copies: int = 0  # of that request, since the tunnel is up
    shared_port: bool = False  # on a listener's port: what comes late reaches the listener
    half_open: bool = True
    up_since: float | None = None
    ended: bool = False
    finished: bool = False
    broken: bool = False
    send_failures: int = 0
    _bug: Exception | None = None
    _early: list[Create | ModifySession] | None = (
        None  # what the plane was asked for before there was a task to wait for it
    )
    _scope: trio.CancelScope | None = None
    _nursery: trio.Nursery | None = None
    _carried: trio.Event | None = None  # set once the plane has the tunnel, where that takes time
    _links: dict[int, Link] | None = None  # by session, where PPP ends here

    async def run(self) -> None:
        """Live until the tunnel is over."""
        try:
            await self._live()
        except* Exception:
            self.broken = True
            raise
        finally:
            if not self.ended and not self.broken:
                with goodbye(self.house.stop_timeout):
                    self.core.close(trio.current_time(), StopResult.SHUTTING_DOWN, "shutting down")
                    self.flush()
                    await self._live()  # noqa: ASYNC102 - goodbye is a shield with a deadline
                self._end_calls()
            if not self.broken:  # `crashed` still needs the socket, to tell the peer
                self._release()

    def receive(self, data: bytes, peer: Address) -> None:
        """Feed a control packet that names this tunnel; the caller flushes."""
        if self.house.tap.subscribers:
            self.house.tap.note("in", data, self._called_from(), peer, self.core)
        self.core.receive_datagram(data, peer, trio.current_time())

    def receive_contained(self, data: bytes, peer: Address) -> None:
        """Feed a packet from another task: a bug of this tunnel is raised in its own."""
        self.contained(lambda: self.receive(data, peer))

    def flush_contained(self) -> None:
        """Flush from another task: a bug of this tunnel is raised in its own."""
        self.contained(self.flush)

    def probe(self) -> None:
        """Ask the peer at once whether it still knows this tunnel."""
        self.core.probe(trio.current_time())
        self.flush_contained()

    def begin(self, header: ControlHeader, body: bytes, peer: Address, said: Message) -> None:
        """Answer the SCCRQ that asked for this tunnel, before its task runs."""
        self.contained(lambda: self._answer(header, body, peer, said))

    def repeat(self, header: ControlHeader, body: bytes, peer: Address) -> None:
        """Take a copy of the SCCRQ that this tunnel answers: in the header that it came in, which may be of another version."""
        self.contained(lambda: self.core.take_packet(header, body, peer, trio.current_time()))

    def close(self, result: int, text: str) -> None:
        """Stop the tunnel politely from another task; nothing happens when it is over already."""
        self.contained(lambda: self.core.close(trio.current_time(), result, text))
        self.flush_contained()

    def _answer(self, header: ControlHeader, body: bytes, peer: Address, said: Message) -> None:
        self.core.take_packet(header, body, peer, trio.current_time(), said)
        self.flush()

    def contained(self, work: Callable[[], None]) -> None:
        """Do something with this tunnel from another task: a bug is raised in the tunnel's own task, once it has one."""
        try:
            work()
        except Exception as bug:  # the boundary between this tunnel and the task that feeds it
            if self.sock is None and not self.ended:
                raise  # it waits to be dialled: no task of its own could raise it
            self._bug = bug
            if self._scope is not None:
                self._scope.cancel()

    def flush(self) -> None:
        """Carry out whatever the core asks for, and look after the timer. Never awaits."""
        core, now = self.core, trio.current_time()
        while outputs := core.take_outputs():
            for output in outputs:
                self._act(output, now)
        for datagram in core.datagrams_to_send(now):
            self._send(datagram)
        if core.state not in _OPENING:
            self._settle()
        self._watch(core.next_timer())

    def give_up(self) -> None:
        """Drop the tunnel without a word; another task asks for it."""
        self.contained(lambda: self.core.give_up(trio.current_time()))
        self.flush_contained()

    def abandon(self) -> None:
        """End without waiting for anybody: what had to be said was said."""
        self.finished = True
        self._watch(None)

    def crashed(self, text: str) -> None:
        """Clean up after a bug of ours: one StopCCN without waiting for its acknowledgement, and nothing left behind, whatever meets the bug again."""
        for step in self._last_steps(text, trio.current_time()):
            with contained(f"the end of tunnel {self.core.local_id}", kind="tunnel"):
                step()

    def _last_steps(self, text: str, now: float) -> Iterator[Callable[[], None]]:
        yield partial(self.core.close, now, StopResult.GENERAL, text)
        yield self.flush
        before = crashes["tunnel"]
        for call in list(self.core.calls.values()):
            if crashes["tunnel"] < before + _BUGS_MET:
                yield partial(self.core.feed_call, call, CallInput.TUNNEL_GONE, None, now)
        yield partial(drop, self.core, now)
        yield self.flush
        if self.core.plane_asked:  # the bug may have kept a flush from it; twice does nothing
            yield partial(self._ask_plane, DeleteTunnel(tunnel_id=self.core.local_id), now)
        yield self._release

    # --- tasks ----------------------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._read)
            early, self._early = self._early, None
            for operation in early or ():
                self._start(nursery, operation)
            await self._keep_time()
            self._nursery = None
            nursery.cancel_scope.cancel()

    async def _keep_time(self) -> None:
        while not self._done():
            with trio.CancelScope(deadline=_deadline(self.core.next_timer())) as self._scope:
                await trio.sleep_forever()  # noqa: TID251 - what happens is the deadline, which moves
            self._scope = None
            if not self._done():
                self.core.handle_timer(trio.current_time())
                self.flush()

    def _done(self) -> bool:
        """Tell whether the tunnel is over; raise the bug that another task met on our behalf."""
        if self._bug is not None:
            raise self._bug
        return self.finished

    async def _read(self) -> None:
        sock = self.sock
        while sock is not None:
            await trio.lowlevel.wait_readable(sock)
            fed = self._drain(sock)
            for other in fed - {self}:
                other.flush_contained()
            if self in fed:
                self.flush()

    def _drain(self, sock: DatagramSocket) -> set[Tunnel]:
        """Read what has arrived and feed it; return the tunnels that got something from it, which data of sessions is not for a core."""
        fed: set[Tunnel] = set()
        now = trio.current_time()
        for _ in range(BATCH):
            try:
                size, name = sock.recvfrom_into(BUFFER)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error on its way: a hint, no death sentence
            if size > 1 and not BUFFER[0] & 0x80 and self._take_data(BUFFER[:size], name, now):
                continue
            self._sort(bytes(BUFFER[:size]), Address(name[0], name[1]), fed)
        return fed

    def _take_data(self, packet: memoryview, name: tuple[str, int], now: float) -> bool:
        """Hand a data packet to a data plane in this process; tell whether it was for a session of this tunnel."""
        packets, core = self.house.packets, self.core
        if packets is None or not (self.connected or name[:2] == core.peer) or packet[1] & 0xF != core.dialect.header:
            return False
        if not packets.receive(core.local_id, packet if core.dialect.header == 2 else packet[4:], now):
            return False
        if core.dialect.header == 2:  # RFC 2661 5.5: data is a sign of life; in version 3 only what is signed is
            core.channel.touch(now)
        return True

    def _sort(self, data: bytes, peer: Address, fed: set[Tunnel]) -> None:
        # Control, and our own id behind the length: nothing else needs to be known to keep the packet.
        core = self.core
        own = core.local_id.to_bytes(2, "big") if core.dialect.header == 2 else core.local_id.to_bytes(4, "big")
        named = len(data) > 7 and data[0] & 0x80 and data[4:].startswith(own)
        if core.encap is Encapsulation.IP and not named:
            return  # whatever it is for has got a copy of its own
        if named or (self._unaddressed(data) and peer == self.core.peer):
            self.receive(data, peer)
            fed.add(self)
        elif (other := self.house.dispatch(Arrived(data, peer, self.local))) is not None:
            fed.add(other)

    def _unaddressed(self, data: bytes) -> bool:
        """Tell whether a packet to tunnel 0 is for us, from a peer known to send such; an SCCRQ with Ns 0 never is."""
        new = data[8:10] == b"\0\0" and data[18:20] == b"\0\1"
        return Effect.ACCEPT_ZERO_TUNNEL_ID in self.core.quirks and data[4:6] == b"\0\0" and not new

    # --- carrying out ---------------------------------------------------------------------------------------------------------

    def _act(self, output: Output, now: float) -> None:
        if isinstance(output, (TunnelEvent, SessionEvent)):
            self.house.publish(output)
            if self._links is not None and isinstance(output, SessionEvent):
                self._follow(output, self._links)
        elif isinstance(output, Remark):
            self.house.remark(self, output)
        else:
            self._ask_plane(output, now)

    def _ask_plane(self, operation: Operation, now: float) -> None:
        session_id = 0 if isinstance(operation, (CreateTunnel, DeleteTunnel)) else operation.session_id
        if (self.core.trace | self.core.site.trace) & KERNEL:
            self.house.remark(self, Remark(Category.KERNEL, str(operation), session_id))
        try:
            outcome = self.house.adapter.perform_nowait(operation)
        except PlaneError as error:
            if not isinstance(operation, (DeleteTunnel, DeleteSession)):
                self.core.plane_failed(session_id, error.text, now)
            return
        if outcome is not None:
            if not isinstance(operation, ModifySession):
                self.core.plane_up(session_id, outcome.interface, now)
        elif isinstance(operation, (DeleteTunnel, DeleteSession)):
            self.house.adapter.delete(operation)
        elif self._nursery is not None:
            self._start(self._nursery, operation)
        else:
            self._early = [*(self._early or ()), operation]

    def _start(self, nursery: trio.Nursery, operation: Create | ModifySession) -> None:
        if isinstance(operation, ModifySession):
            adapter = self.house.adapter
            slot = adapter.change(operation)  # at once: tasks begin in any order
            nursery.start_soon(carry_change, adapter, slot, operation.session_id, self.core, self.flush)
        elif isinstance(operation, CreateTunnel):
            self._carried = trio.Event()
            operation = attrs.evolve(operation, socket=self.sock)
            nursery.start_soon(carry_tunnel, self.house.adapter, operation, self.core, self._carried, self.flush)
        else:
            nursery.start_soon(
                carry_session, self.house.adapter, operation, self.core, self._carried, self.flush, self._note_outcome
            )

    def _note_outcome(self, session_id: int, outcome: Outcome) -> None:
        """Keep what a session has to run, before the core hears that the plane carries it."""
        if outcome.channel != NO_CHANNEL or outcome.pump is not None or outcome.port is not None:
            self._links = {} if self._links is None else self._links
            self._links[session_id] = Link(outcome)

    def _follow(self, event: SessionEvent, links: dict[int, Link]) -> None:
        """Begin with what a session has to run when it comes up, and end it with the session."""
        if event.what is What.UP and event.session_id in links:
            self._begin_link(event.session_id, links[event.session_id])
        elif event.what is What.DELETED and (ended := links.pop(event.session_id, None)) is not None:
            ended.scope.cancel()

    def _begin_link(self, session_id: int, link: Link) -> None:
        call = self.core.calls.get(session_id)
        if call is None or self._nursery is None:
            return
        work = self._work(call, link.outcome)
        if work is not None:
            self._nursery.start_soon(carry_link, self.core, session_id, work, link.scope, self.flush)

    def _work(self, call: Call, outcome: Outcome) -> Pump | None:
        """Return what a session has to run."""
        if outcome.port is None:
            return outcome.pump or self._ppp(call, outcome.channel)
        ppp: Pump = partial(self.house.ppp.run_on_port, self.core.local_id, call, outcome.port)
        return partial(first_of, ppp, outcome.pump) if outcome.pump else ppp

    def _ppp(self, call: Call, channel: int) -> Pump | None:
        try:
            # The plane closes its own whenever the session ends, and then the number may become anybody's.
            own = os.dup(channel)
        except OSError as error:
            self.core.close_session(
                call.local_id,
                trio.current_time(),
                f"no descriptor for PPP: {error.strerror}",
                CallResult.NO_FACILITIES_TEMPORARY,
            )
            return None
        return partial(self.house.ppp.run, self.core.local_id, call, own)

    def _called_from(self) -> Address:
        """Return which address of ours the peer sees, also while the socket leaves that to the route."""
        if self.local.host != any_address(self.core.peer):
            return self.local
        try:
            return Address(source_towards(self.core.peer), self.local.port)
        except OSError:
            return self.local

    def _send(self, datagram: bytes) -> None:
        if self.sock is None:
            return
        try:
            if self.connected:
                self.sock.send(datagram)
            else:
                self.sock.sendto(datagram, self.core.peer)
        except OSError:  # full buffers, an ICMP error, no route: all of them loss, which the channel repairs
            self.send_failures += 1
            self.core.site.counters.send_failures += 1
            return
        if self.house.tap.subscribers:
            self.house.tap.note("out", datagram, self._called_from(), self.core.peer, self.core)

    def _settle(self) -> None:
        """Follow the core from being set up to established, and to its end."""
        core = self.core
        if self.half_open and (core.was_up or core.origin == "local"):
            self.half_open = False
            self.house.opened(self)
        if core.was_up and self.up_since is None:
            self.up_since = core.since
        if not self.connected and core.state is State.ESTABLISHED and self.sock is not None:
            self._connect(self.sock)
        if core.leaving is not None:
            return
        if core.cleared and not self.ended and core.state is not State.CLOSING:
            self.ended = True
            self.house.over(self)
        if core.state is State.CLOSED or (self.ended and self.shared_port):
            self.finished = True

    def _connect(self, sock: DatagramSocket) -> None:
        # RFC 2661 8.1: from now on addresses and ports are static, so the kernel may as well refuse everybody else.
        try:
            sock.connect(self.core.peer)
            self.connected = True
            self.local = _own_address(sock)
        except OSError:
            self.send_failures += 1

    def _watch(self, when: float | None) -> None:
        scope = self._scope
        if scope is None:
            return
        if self.finished:
            scope.cancel()
        elif when is not None and when < scope.deadline:
            scope.deadline = (
                when  # later ones wait for the next wake: a spurious wake is cheaper than moving a deadline
            )

    def _end_calls(self) -> None:
        """End at once what calls are left, for whom nobody will come back."""
        if self.core.leaving is not None:
            end_calls(self.core, trio.current_time(), len(self.core.calls))
            self.flush()

    def _release(self) -> None:
        if not self.ended:
            self.ended = True
            self.house.over(self)
        if self.sock is not None:
            # What it still holds may be for another tunnel between the same two addresses and ports. It is closed before that is seen
            # to, for as long as it is open it goes on taking what would be lost with it.
            strays = take_strays(self.sock, self.local) if self.core.encap is Encapsulation.UDP else []
            self.sock.close()
            self.sock = None
            self._return(strays)

    def _return(self, strays: list[Arrived]) -> None:
        for stray in strays:
            other = self.house.dispatch(stray)
            if other is not None and other is not self:
                other.flush_contained()


def _own_address(sock: DatagramSocket) -> Address:
    name = sock.getsockname()
    return Address(name[0], name[1])


def _deadline(when: float | None) -> float:
    return math.inf if when is None else when
