"""The listening sockets: what arrives there, which tunnel it is for, and who may open a new one.

Theory of operation. A datagram is judged by its first octets alone until it is known to be worth more. Data and control packets go to the
tunnel that they name, which checks its peer itself. Tunnel 0 is for those who cannot know an id yet: a new SCCRQ, a copy of one that is being
answered, or the StopCCN of a caller that gave up. Nothing is allocated for any other packet, and nothing is sent in answer to it: there is no
state that junk could fill, and no reflection.

A new SCCRQ passes, in this order: is it a copy; can it be read; is its sender known and accepted; are we not calling the same peer ourselves
(tie breaker); do the limits allow one more. A refusal is one StopCCN that leaves no state behind; should it be lost, the caller repeats its
SCCRQ and is refused again. Refusals have a rate limit, for a source address is easily forged before the tunnel is up.
"""

from __future__ import annotations

import math
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import trio

from l2tpd import log
from l2tpd.config.model import Encapsulation, Version
from l2tpd.errors import Exhausted, Malformed, RemoteProtocolError
from l2tpd.trace import Category
from l2tpd.tunnel import speech
from l2tpd.tunnel.collision import Verdict, judge
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.crowd import Crowd
from l2tpd.tunnel.dialect import V2, V3, Dialect
from l2tpd.tunnel.guard import Guard
from l2tpd.tunnel.linger import CYCLE
from l2tpd.tunnel.outputs import Remark
from l2tpd.tunnel.port import BATCH, AnyListener, Arrived, take_strays
from l2tpd.tunnel.states import State
from l2tpd.tunnel.task import House, Tunnel
from l2tpd.wire.avp import HOST_NAME, MESSAGE_DIGEST, RESULT_CODE, TIE_BREAKER
from l2tpd.wire.header import ControlHeader, peek
from l2tpd.wire.messages import FALLBACK, Message, decode, encode, message, offers_v3
from l2tpd.wire.numbers import ErrorCode, MessageType, StopResult
from l2tpd.wire.values import ResultCode

if TYPE_CHECKING:
    from l2tpd.config.model import Address
    from l2tpd.registry import Registry
    from l2tpd.tunnel.linger import Lingering
    from l2tpd.tunnel.policy import Admitted, Policy
    from l2tpd.tunnel.site import Site

SYSTEM = int(Category.SYSTEM)

LARGEST_REQUEST = 4096
"""Octets of an SCCRQ; real ones have a tenth of it, and reading more for strangers would be work that anyone can order."""

GIVEN_UP = 512
"""How many callers may have given up within a cycle before requests have to be repeated: that is a flood, too, though none of it is half open."""

PROBES = 16
PROBE_PAUSE = 1.0
"""How many tunnels of a refused caller are probed, and how many seconds pass before that is done again."""

_DIALECTS = {2: V2, 3: V3}

_SCCRQ = bytes.fromhex("0000 0000 0001")
"""What a Message Type AVP with SCCRQ has behind its flags and length."""

WRONG_DIGEST = "the digest is wrong"
"""RFC 3931 5.4.1: such a message MUST be dropped, so nobody is told."""

REFUSALS = 1000.0
"""How many refusals a second may leave."""

MOST_STRAYS = 1024
"""Datagrams for tunnel 0 that may wait which the sockets of tunnels took; more are lost, as in a full socket buffer."""


_log = log.get("endpoint")


class Asked(NamedTuple):
    """What a message to nobody in particular says, and the dialect that it is answered in."""

    dialect: Dialect
    header: ControlHeader
    body: bytes
    said: Message


class Ward(House, Protocol):
    """What the endpoint needs of the daemon, beside what every tunnel needs."""

    @property
    def site(self) -> Site:
        """What all control connections share."""

    @property
    def registry(self) -> Registry[Tunnel]:
        """The tunnels."""

    @property
    def lingering(self) -> Lingering:
        """The tunnels that are over and must still acknowledge."""

    @property
    def policy(self) -> Policy:
        """Who may call."""

    @property
    def exclusive_paths(self) -> bool:
        """Tell whether a second tunnel between the same addresses and ports would take the first one's packets."""

    @property
    def kernel_sockets(self) -> bool:
        """Tell whether tunnels over IP need the kernel's own sockets, for the kernel to take their data."""

    def check_id(self, tunnel_id: int) -> None:
        """Raise `LocalProtocolError` when a configured tunnel id is in use."""

    def new_id(self, bits: int) -> int:
        """Return a tunnel id of so many bits. Raises `Exhausted`."""

    def launch(self, tunnel: Tunnel) -> None:
        """Start the task of a tunnel."""

    def crashed(self, where: str, bug: Exception) -> None:
        """Log a bug with its traceback, and count it."""

    def serves(self, local: Address) -> bool:
        """Tell whether a listener takes what is sent to this address of ours."""


class Endpoint:
    """All listeners of a daemon."""

    def __init__(self, ward: Ward) -> None:
        """Serve a daemon."""
        self._ward = ward
        self._refusals = REFUSALS
        self._refilled = -math.inf
        self._next_probe = -math.inf
        self._strays: deque[Arrived] = deque(maxlen=MOST_STRAYS)
        self._strayed = trio.Event()
        self._crowd = Crowd()
        self._remarks = log.RateLimit(rate=1 / 60, burst=1)
        self.listeners: list[AnyListener] = []

    async def serve(
        self, listener: AnyListener, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Read a listener until cancelled."""
        self.listeners.append(listener)
        task_status.started()
        try:
            while True:
                await trio.lowlevel.wait_readable(listener)
                for tunnel in self._drain(listener):
                    tunnel.flush_contained()
        finally:
            self.listeners.remove(listener)
            listener.close()

    async def sort_strays(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dispatch what `forward` and new sockets have put aside, until cancelled.

        One of these may open a tunnel, whose socket takes the next ones: in a flood there is always another. So others get their turn in between.
        """
        task_status.started()
        while True:
            await self._strayed.wait()
            strays = [self._strays.popleft() for _ in range(min(BATCH, len(self._strays)))]
            for tunnel in {fed for stray in strays if (fed := self.dispatch_contained(stray)) is not None}:
                tunnel.flush_contained()
            if not self._strays:
                self._strayed = trio.Event()
            await trio.lowlevel.checkpoint()

    def forward(self, arrived: Arrived) -> Tunnel | None:
        """Dispatch what the socket of a tunnel took for somebody else; what is for tunnel 0 and may ask for a new one waits its turn."""
        if arrived.data[:1] > b"\x7f" and arrived.data[4:6] == b"\0\0":
            self._put_aside([arrived])
            return None
        return self.dispatch_contained(arrived)

    def _put_aside(self, strays: list[Arrived]) -> None:
        """Keep datagrams until `sort_strays` comes to them, the newest where there are too many."""
        if strays:
            self._ward.site.counters.passed_over += max(0, len(self._strays) + len(strays) - MOST_STRAYS)
            self._strays.extend(strays)
            self._strayed.set()

    def _drain(self, listener: AnyListener) -> set[Tunnel]:
        fed: set[Tunnel] = set()
        for _ in range(BATCH):
            try:
                arrived = listener.receive_nowait()
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of something sent earlier
            tunnel = self.dispatch_contained(arrived)
            if tunnel is not None:
                fed.add(tunnel)
        return fed

    def dispatch_contained(self, arrived: Arrived) -> Tunnel | None:
        """Dispatch a datagram so that a bug that it meets costs this datagram and no listener."""
        try:
            return self.dispatch(arrived)
        except Exception as bug:  # noqa: BLE001 - the boundary between one datagram and everybody's listener
            self._ward.crashed("dispatching a datagram", bug)
            return None

    def dispatch(self, arrived: Arrived) -> Tunnel | None:
        """Feed a datagram to the tunnel that it is for, opening one where that is asked for; return it to be flushed."""
        counters = self._ward.site.counters
        try:
            version, control, tunnel_id, _ = peek(arrived.data)
        except Malformed:
            counters.malformed += 1
            return None
        tunnel = self._ward.registry.by_id.get(tunnel_id)
        if not control and version in _DIALECTS:
            self._take_data(tunnel, version, arrived)
            return None
        if version not in _DIALECTS:
            counters.wrong_version += 1  # RFC 2661 3.1, 8.1: discarded, L2F silently
            return None
        dialect = _DIALECTS[version]
        if not tunnel_id:
            return self._take_unaddressed(arrived, dialect)
        if tunnel is None or tunnel.sock is None:  # one that waits to be opened expects nobody
            self._note(arrived, tunnel_id)
            self._answer_late(arrived, dialect)
            return None
        if tunnel.core.dialect.chosen(arrived.data).header != version:
            self._note(arrived, tunnel_id)
            counters.wrong_version += 1
            return None
        tunnel.receive_contained(arrived.data, arrived.peer)
        return tunnel

    # --- what names no live tunnel --------------------------------------------------------------------------------------------

    def _take_data(self, tunnel: Tunnel | None, version: int, arrived: Arrived) -> None:
        """Hand a data packet to a data plane in this process; in version 3 nothing but its session id says whose it is."""
        packets, packet = self._ward.packets, memoryview(arrived.data)
        if version == 3:
            packet = packet[4:]
            tunnel = self._ward.registry.by_id.get(packets.owner(packet)) if packets else None
        if tunnel is not None and (tunnel.core.peer, tunnel.core.dialect.header) == (arrived.peer, version):
            now = trio.current_time()
            if version == 2:
                tunnel.core.channel.touch(now)  # RFC 2661 5.5: data is a sign of life
            if packets is not None and packets.receive(tunnel.core.local_id, packet, now):
                return
        self._ward.site.counters.data_dropped += 1

    def _answer_late(self, arrived: Arrived, dialect: Dialect) -> None:
        """Acknowledge a copy of the last message of a tunnel that is over; anything else is nobody's."""
        try:
            header, body = dialect.parse(arrived.data)
        except Malformed:
            self._ward.site.counters.malformed += 1
            return
        self._acknowledge_late(header, body, arrived)

    def _acknowledge_late(self, header: ControlHeader, body: bytes, arrived: Arrived) -> None:
        answer = self._ward.lingering.answer(header, body, arrived.data, arrived.peer, trio.current_time())
        if answer is None:
            self._ward.site.counters.no_tunnel += 1
        else:
            self._send(answer, arrived, header.tunnel_id)

    def _take_unaddressed(self, arrived: Arrived, dialect: Dialect) -> Tunnel | None:
        if arrived.data[14:20] == _SCCRQ and self._is_passed_over(arrived):
            self._ward.site.counters.passed_over += 1
            return None
        try:
            asked = self._read(arrived, dialect)
        except Malformed:
            self._note(arrived)
            self._ward.site.counters.malformed += 1
            return None
        header, body, said = asked.header, asked.body, asked.said
        peer_id = said.get(dialect.control.peer_id)
        known = self._ward.registry.called_by((arrived.peer, peer_id)) if peer_id else None
        if said.type == MessageType.STOPCCN and known is not None and known.core.state is State.WAIT_CTL_CONN:
            # RFC 2661 4.4.3: sent before the caller had learnt our id, so only its own id says which tunnel is meant.
            known.receive_contained(arrived.data, arrived.peer)
            return known
        late = self._ward.lingering.called_by(arrived.peer, peer_id, trio.current_time()) if peer_id else None
        self._note(arrived, known.core.local_id if known else late or 0, said.get(HOST_NAME) or "")
        if said.type == MessageType.STOPCCN and late is not None:
            self._acknowledge_late(header._replace(tunnel_id=late), body, arrived)
            return None
        if said.type != MessageType.SCCRQ or header.ns != 0:
            self._ward.site.counters.no_tunnel += 1
            return None
        if known is not None and header.nr == 0 and self._is_copy(known, body):
            known.repeat(header, body, arrived.peer)
            return known
        if header.nr != 0:  # we have said nothing yet that could be acknowledged
            self._ward.site.counters.malformed += 1
            return None
        if known is not None:
            known.probe()  # its caller has begun anew under the same id, so very likely nobody is there any more
        return self._take_request(arrived, asked)

    def _is_passed_over(self, arrived: Arrived) -> bool:
        """Tell whether a request has to be repeated before it is read."""
        now, lingering = trio.current_time(), self._ward.lingering
        lingering.expire(now)
        if not self._ward.policy.is_crowded(arrived.peer.host) and lingering.strangers < GIVEN_UP:
            return False
        if self._crowd.knows((arrived.peer, arrived.data), now):
            return False
        self._remarks.say(
            "crowd", now, _log.warning, "many tunnels are half open: who asks for another has to ask twice"
        )
        return True

    def _read(self, arrived: Arrived, dialect: Dialect) -> Asked:
        """Read a message to nobody in particular, with the secret that its Host Name leads to if it hides something. Raises `Malformed`."""
        header, body = dialect.parse(arrived.data)
        if len(body) > LARGEST_REQUEST:
            raise Malformed(f"request of {len(body)} octets")
        # A request of version 2 may offer version 3 as well (RFC 3931 4.7.3).
        vocabulary = FALLBACK if dialect is V2 else dialect.vocabulary
        said = decode(body, vocabulary=vocabulary)
        if said.fault is not None and said.type == MessageType.SCCRQ:
            secret = self._ward.policy.secret_of(said.get(HOST_NAME) or "", arrived.peer.host)
            said = decode(body, secret=secret, vocabulary=vocabulary) if secret else said
        return Asked(dialect, header, body, said)

    def _is_copy(self, tunnel: Tunnel, body: bytes) -> bool:
        """Tell a repeated SCCRQ from a new one of a caller that restarted and drew the same id.

        Copies are unchanged. Once the tunnel is up, one may still be on its way; a second one means that the caller knows of no answer.
        """
        if tunnel.request != hash(body):
            return False
        if tunnel.core.state is State.WAIT_CTL_CONN:
            return True
        tunnel.late_copies += 1
        return tunnel.late_copies == 1 and trio.current_time() - tunnel.core.created < CYCLE

    # --- new tunnels ----------------------------------------------------------------------------------------------------------

    def _take_request(self, arrived: Arrived, asked: Asked) -> Tunnel | None:
        counters, said, guard = self._ward.site.counters, asked.said, None
        try:
            admitted = self._ward.policy.known(said.get(HOST_NAME) or "", arrived.peer.host)
            listener = self._listener_of(arrived.local)
            guard = self._guard(arrived, asked, admitted, listener.encap)
            asked = self._choose(asked, admitted, guard)
            self._ward.policy.admit_tunnel(admitted)
            self._leave_path(arrived, listener.encap)
            if not self._survives_collision(arrived.peer, asked):
                return None
            self._make_room(arrived.peer.host)
            return self._open(listener, arrived, asked, admitted, guard)
        except RemoteProtocolError as refusal:
            if refusal.error == ErrorCode.NO_RESOURCES and self._ward.site.ending:
                # What is in the way may be a tunnel that is over but for its calls, of this very caller: who asks again will know.
                counters.passed_over += 1
                return None
            counters.tunnels_refused += 1
            if refusal.text != WRONG_DIGEST:
                self._refuse(arrived, asked, refusal, guard)
            if refusal.error == ErrorCode.NO_RESOURCES:
                self._probe_tunnels_of(arrived.peer.host)
        except (OSError, Exhausted):
            # Descriptors or ids have run out: the newcomer is refused, and nobody who is established notices.
            counters.tunnels_refused += 1
            full = RemoteProtocolError(StopResult.ERROR, ErrorCode.NO_RESOURCES, "no resources for another tunnel")
            self._refuse(arrived, asked, full, guard)
        return None

    def _guard(self, arrived: Arrived, asked: Asked, admitted: Admitted, encap: Encapsulation) -> Guard | None:
        """Return what signs the answers to a request that its sender has signed, where it needs to; None for one that is not believed."""
        if asked.dialect is V2 and not (offers_v3(asked.said) and Version.L2TPV3 in admitted.versions):
            return None
        settings = admitted.settings
        secret = settings.secret.encode("utf-8", "surrogateescape")
        guard = Guard.of(settings, secret, encap, self._ward.site.random)
        return guard if guard.believes(arrived.data, asked.body) else None

    def _choose(self, asked: Asked, admitted: Admitted, guard: Guard | None) -> Asked:
        """Return the request with the dialect to answer it in, if it is in order. Raises `RemoteProtocolError`."""
        said = asked.said
        if guard is not None:
            asked = asked._replace(dialect=V3)
        elif asked.dialect is V3:
            raise speech.unauthorized(self._ward.site, WRONG_DIGEST if MESSAGE_DIGEST in said else "not signed")
        if said.fault is not None:
            raise RemoteProtocolError(StopResult.ERROR, said.fault.error, said.fault.text)
        if asked.dialect.version not in admitted.versions:
            highest = max(version.value for version in admitted.versions)[-1]
            raise RemoteProtocolError(StopResult.BAD_VERSION, int(highest) << 8, f"only version {highest} is spoken")
        asked.dialect.control.check(said, admitted.settings, self._ward.site)
        return asked

    def _leave_path(self, arrived: Arrived, encap: Encapsulation) -> None:
        """Refuse a second tunnel on a path where the data plane can have but one: even its socket would silence the first. Raises `RemoteProtocolError`.

        A caller that has restarted calls from the same port again, so whether the first is still alive is worth asking at once.
        """
        if encap is Encapsulation.IP or not self._ward.exclusive_paths:
            return
        first = self._ward.registry.occupant((arrived.local, arrived.peer))
        if first is not None:
            first.probe()
            text = f"this host carries one tunnel between {arrived.local} and {arrived.peer}; call from another port"
            raise RemoteProtocolError(StopResult.ERROR, ErrorCode.NO_RESOURCES, text)

    def _make_room(self, host: str) -> None:
        displaced = self._ward.policy.displaced(host)
        if displaced is not None:
            self._ward.site.counters.displaced += 1
            self._remarks.say(
                "limit", trio.current_time(), _log.warning, "half-open tunnels are at their limit: the oldest make room"
            )
            displaced.give_up()

    def _probe_tunnels_of(self, host: str) -> None:
        """Find out whether the tunnels that stand in the way are still wanted: their caller may have restarted, and come back."""
        now = trio.current_time()
        if now < self._next_probe:
            return
        self._next_probe = now + PROBE_PAUSE
        there = [tunnel for tunnel in self._ward.registry if tunnel.core.peer.host == host]
        for tunnel in there[:PROBES]:
            tunnel.probe()

    def _survives_collision(self, peer: Address, asked: Asked) -> bool:
        """Settle who wins where we are calling the caller ourselves (RFC 2661 4.4.3); return whether its request lives.

        Raises `RemoteProtocolError` where it does not, and its sender is to be told (RFC 3931 5.4.3).
        """
        lives, theirs = True, asked.said.get(TIE_BREAKER)
        for ours in self._ward.registry.calling(peer.host):
            verdict = judge(ours.core.tie_breaker, theirs)
            if verdict in {Verdict.THEY_WIN, Verdict.BOTH_LOSE}:
                ours.contained(partial(ours.core.lose_tie, trio.current_time()))
                ours.flush_contained()
            if verdict in {Verdict.WE_WIN, Verdict.BOTH_LOSE}:
                lives = False
        if not lives and asked.dialect is V3:
            raise RemoteProtocolError(StopResult.EXISTS, ErrorCode.NONE, "we have called first")
        return lives

    def _open(
        self, listener: AnyListener, arrived: Arrived, asked: Asked, admitted: Admitted, guard: Guard | None
    ) -> Tunnel:
        ward, now, peer, dialect = self._ward, trio.current_time(), arrived.peer, asked.dialect
        core = ControlConnection(
            ward.new_id(dialect.id_bits),
            ward.site,
            admitted.settings,
            peer,
            now,
            origin="network",
            profile=admitted.peer,
            dialect=dialect,
            encap=listener.encap,
            guard=guard,
        )
        peer_id = asked.said[dialect.control.peer_id]
        try:
            sock = listener.open_tunnel(peer, arrived.local, core.local_id, peer_id)
        except OSError:
            core.protect(None)  # nobody will see its nonce
            raise
        over_udp = listener.encap is Encapsulation.UDP
        tunnel = Tunnel(
            core=core,
            house=ward,
            local=arrived.local,
            sock=sock,
            connected=True,
            shared_port=over_udp,
            request=hash(asked.body),
        )
        if (core.trace | ward.site.trace) & SYSTEM:
            ward.remark(tunnel, Remark(Category.SYSTEM, f"socket {arrived.local} towards {peer}"))
        ward.registry.add(tunnel)
        if ward.exclusive_paths and over_udp:
            ward.registry.occupy(tunnel, (arrived.local, peer))
        ward.registry.open_half(tunnel)
        ward.registry.note_caller(tunnel, (peer, peer_id))
        tunnel.begin(asked.header, asked.body, peer, asked.said)
        ward.launch(tunnel)
        if over_udp and tunnel.sock is not None:
            self._put_aside(take_strays(tunnel.sock, arrived.local))
        return tunnel

    def _listener_of(self, local: Address) -> AnyListener:
        for listener in self.listeners:
            if listener.serves(local):
                return listener
        raise OSError(f"nothing listens on {local} any more")

    def _refuse(self, arrived: Arrived, asked: Asked, refusal: RemoteProtocolError, guard: Guard | None = None) -> None:
        """Send one StopCCN and forget about it. Only an SCCRQ that gave its sender's id can be answered."""
        dialect = asked.dialect
        peer_id = asked.said.get(dialect.control.peer_id)
        if not peer_id or not self._may_refuse():
            return
        code = ResultCode(refusal.result, refusal.error, refusal.text)
        our_id = int.from_bytes(self._ward.site.random(2), "big") or 1  # any will do: nothing is kept under it
        said = message(MessageType.STOPCCN, {dialect.control.peer_id: our_id, RESULT_CODE: code})
        datagram = dialect.build(peer_id, 0, 0, 1, encode(said, vocabulary=dialect.vocabulary))
        self._send(guard.part(datagram) if guard is not None else datagram, arrived)

    def _may_refuse(self) -> bool:
        now = trio.current_time()
        self._refusals = min(REFUSALS, self._refusals + (now - self._refilled) * REFUSALS)
        self._refilled = now
        if self._refusals < 1:
            return False
        self._refusals -= 1
        return True

    def _send(self, data: bytes, arrived: Arrived, tunnel_id: int = 0) -> None:
        try:
            self._listener_of(arrived.local).send_nowait(data, arrived.peer, arrived.local)
        except OSError:
            self._ward.site.counters.send_failures += 1
            return
        if self._ward.tap.subscribers:
            self._ward.tap.note_other("out", data, arrived.local, arrived.peer, tunnel_id)

    def _note(self, arrived: Arrived, tunnel_id: int = 0, host_name: str = "") -> None:
        """Show those who watch what comes for no live tunnel; the tunnels themselves show what they are fed."""
        if self._ward.tap.subscribers:
            secret = self._ward.policy.secret_of(host_name, arrived.peer.host)
            self._ward.tap.note_other("in", arrived.data, arrived.local, arrived.peer, tunnel_id, secret)
