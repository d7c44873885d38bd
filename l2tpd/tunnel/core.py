"""The control connection: all that one tunnel does by RFC 2661 or RFC 3931, without a clock, a socket or a random source of its own.

Theory of operation. The shell feeds datagrams and the time in, and after every feeding takes datagrams and outputs out:

    core.receive_datagram(data, address, now)      core.datagrams_to_send(now) -> bytes to put on the wire
    core.handle_timer(now)                         core.take_outputs() -> events, log lines, data plane requests
    core.open(now), core.close(…), open_session …  core.next_timer() -> when to call handle_timer

A packet is first judged by where it comes from, then by its header, then by the channel (reliable delivery, 5.8), and only what the channel
delivers is decoded. A message about the tunnel goes through `table.py`; a message about a session through the tables of `session/`. The core
is the `Carrier` of its calls. Nothing here can block, and nothing that a peer sends can raise out of `receive_datagram`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from l2tpd.config.model import Address, Encapsulation, TunnelSettings
from l2tpd.deadlines import Deadlines
from l2tpd.errors import Malformed
from l2tpd.events import Origin, What
from l2tpd.ids import Allocator
from l2tpd.kernel.ops import CreateSession, Operation
from l2tpd.session.actions import event
from l2tpd.session.call import Call, Ending, Kind, clip
from l2tpd.session.inputs import Input as CallInput
from l2tpd.session.table import feed as feed_call
from l2tpd.trace import Category, mask
from l2tpd.tunnel import mail, requests, table, tracing
from l2tpd.tunnel.actions import end_calls, tunnel_event
from l2tpd.tunnel.channel import Channel
from l2tpd.tunnel.dialect import V2, Dialect
from l2tpd.tunnel.facts import PeerFacts
from l2tpd.tunnel.guard import Guard
from l2tpd.tunnel.inputs import Input
from l2tpd.tunnel.linger import CYCLE, Remains, late_ack
from l2tpd.tunnel.outputs import Output, Remark
from l2tpd.tunnel.quirks import Effect, channel_settings, effects
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import RECEIVE_WINDOW_SIZE, RX_CONNECT_SPEED
from l2tpd.wire.header import ControlHeader
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import CallResult, ErrorCode, MessageType, StopResult

if TYPE_CHECKING:
    from l2tpd.config.model import SessionSettings
    from l2tpd.events import SessionEvent
    from l2tpd.session.speech import Speech
    from l2tpd.tunnel.channel import ChannelSettings
    from l2tpd.tunnel.site import Site

Item = tuple[int, bytes]
"""What travels through the channel: the session id of the header, and the message body."""

UNPROVEN_RETRIES = 2
"""How often an SCCRP is repeated; the caller of a lost one repeats its SCCRQ and is answered anew."""

LARGEST_EARLY = 4096
"""Octets of a message that is kept until the ones before it have come; a larger one has to be repeated."""

LONGEST_QUEUE = 4096
"""Messages that may wait for a peer, beside two for each of its calls; one that asks without listening is sent away."""

_TUNNEL = 0  # the key of the tunnel's own deadline; calls use their ids, which are never 0
_NONE: list[Output] = []


@attrs.define(eq=False, init=False)
class ControlConnection:
    """One control connection and its calls. `peer` is where the next datagram goes; times are seconds of the shell's clock."""

    local_id: int
    site: Site
    settings: TunnelSettings
    secret: bytes
    quirks: Effect
    peer: Address
    origin: Origin
    dialect: Dialect
    encap: Encapsulation
    name: str
    profile: str
    created: float
    begun: float
    since: float
    state: State
    peer_id: int
    facts: PeerFacts | None
    ending: Ending | None
    tie_breaker: int | None
    guard: Guard | None
    challenge: bytes
    calls: dict[int, Call]
    asked: dict[tuple[Kind, str], Call]  # what we have asked the peer for, by Remote End ID, while it has not answered
    channel: Channel[Item]
    trace: int
    was_up: bool
    plane_asked: bool
    cleared: bool
    leaving: Ending | None  # once it is over: what its calls end with, while some are left
    _addressed: int  # the session id in the header of the packet in hand
    _late: Remains | None
    _late_acks: list[bytes]
    _by_peer_id: dict[int, Call]
    _deadlines: Deadlines[int]
    _ids: Allocator | None
    _outputs: list[Output]

    def __init__(
        self,
        local_id: int,
        site: Site,
        settings: TunnelSettings,
        peer: Address,
        now: float,
        *,
        origin: Origin,
        name: str = "",
        profile: str = "",
        dialect: Dialect = V2,
        encap: Encapsulation = Encapsulation.UDP,
        peer_id: int = 0,
        guard: Guard | None = None,
    ) -> None:
        """Start idle. `profile` names the peer entry or instance that the settings came from, `peer_id` is the peer's tunnel id where it is known."""
        self.local_id = local_id
        self.dialect = dialect
        self.encap = encap
        self.site = site
        self.settings = settings
        self.secret = settings.secret.encode("utf-8", "surrogateescape")
        self.quirks = effects(settings.quirks)
        self.peer = peer
        self.origin = origin
        self.name, self.profile = name, profile
        self.created = self.begun = self.since = now
        self.state, self.peer_id = State.IDLE, peer_id
        self.facts = self.ending = self.leaving = self.tie_breaker = None
        self.guard = None
        self.protect(guard or dialect.guard(settings, self.secret, encap, site.random))
        self.challenge, self.calls, self.asked = b"", {}, {}
        self.trace = mask(settings.trace)
        self.was_up = self.plane_asked = self.cleared = False
        self.channel = Channel(self._channel_settings(), now)
        self.channel.jitter = dialect.jitter(site.random)
        self._addressed, self._late, self._late_acks = 0, None, []
        self._by_peer_id, self._deadlines = {}, Deadlines()
        self._ids, self._outputs = None, []
        self.tell_tunnel(What.CREATED)

    # --- the five verbs -------------------------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, address: Address, now: float) -> None:
        """Take a control packet that names this tunnel, or tunnel 0 when its sender cannot know our id yet."""
        counters = self.site.counters
        if address != self.peer and not (self.state is State.WAIT_CTL_REPLY and address.host == self.peer.host):
            counters.foreign += 1
            return
        dialect = self.dialect.chosen(data)
        try:
            header, body = dialect.parse(data)
        except Malformed as defect:
            counters.malformed += 1
            self.complain(str(defect))
            return
        believed = self.guard.unseal(data, body) if dialect.guarded and self.guard is not None else body
        if believed is None:
            counters.auth_failures += 1
            self.complain("a message with a wrong digest, or without one")
        elif header.tunnel_id == self.local_id or self._may_be_unaddressed(header):
            self.speak(dialect)
            self.take_packet(header, believed, address, now)
        else:
            counters.no_tunnel += 1

    def take_packet(
        self, header: ControlHeader, body: bytes, address: Address, now: float, first: Message | None = None
    ) -> None:
        """Take a packet whose header was read and whose sender was checked; `first` is the body, where it is decoded already."""
        if self.state is State.CLOSED:
            return
        if self._late is not None:
            self._acknowledge_late(header, body)
            return
        if body and self._is_early(header.ns) and (self.state in _UNPROVEN or len(body) > LARGEST_EARLY):
            self.site.counters.ignored_messages += 1
            return  # either its sender has yet to prove that it hears us, or it is too large to be kept for it
        if (mask := self.trace | self.site.trace) & tracing.ANY_PACKET:
            self._outputs += tracing.packet("received", header.ns, header.nr, header.session_id, body, mask)
        item = (header.session_id, body) if body else None
        for session_id, octets in self.channel.receive(header.ns, header.nr, item, now):
            if address != self.peer:  # RFC 2661 8.1: the recipient of an SCCRQ may answer from another port
                self.peer = address
            self._take_message(session_id, octets, now, first)
        if self.ending is None and self.channel.queued > LONGEST_QUEUE + 2 * len(self.calls):
            self.site.counters.overrun += 1
            self.close(now, StopResult.ERROR, "the peer does not take what it asks for", ErrorCode.NO_RESOURCES)
        self._look_at_channel(now)

    def handle_timer(self, now: float) -> None:
        """Act on everything that is due."""
        if self.leaving is not None:
            end_calls(self, now)
        if self._late is None:
            self.channel.handle_timer(now)
        if self.channel.hello_due and self.state is State.ESTABLISHED:
            self.channel.jitter = self.dialect.jitter(self.site.random)
            self.send_control(message(MessageType.HELLO), now)
        for key in self._deadlines.due(now):
            if key == _TUNNEL:
                table.feed(self, Input.EXPIRED, None, now)
            elif (call := self.calls.get(key)) is not None:
                self.feed_call(call, CallInput.EXPIRED, None, now)
        self._look_at_channel(now)

    def next_timer(self) -> float | None:
        """Return when `handle_timer` wants to be called, or None."""
        if self.leaving is not None:
            return self.since
        if self._late is not None or self.state is State.CLOSED:
            return self._deadlines.next()
        ours, theirs = self._deadlines.next(), self.channel.next_timer()
        if ours is None or theirs is None:
            return theirs if ours is None else ours
        return min(ours, theirs)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return what must go to `peer` now."""
        if self.state is State.CLOSED:
            return []
        if self._late is not None:
            packets, self._late_acks = self._late_acks, []
            return packets
        packets = []
        mask = self.trace | self.site.trace
        for ns, nr, item in self.channel.transmit(now):
            session_id, body = item or (0, self.dialect.ack)
            if mask & tracing.ANY_PACKET:
                self._outputs += tracing.packet("sending", ns, nr, session_id, body, mask)
            datagram = self.dialect.build(self.peer_id, session_id, ns, nr, body)
            packets.append(self.guard.seal(datagram) if self.guard is not None else datagram)
        return packets

    def take_outputs(self) -> list[Output]:
        """Return what has happened and what is asked for since the last call."""
        outputs = self._outputs
        if not outputs:
            return _NONE
        self._outputs = []
        return outputs

    # --- commands -------------------------------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Ask the peer for a tunnel."""
        self._feed(Input.OPEN, None, now)

    def close(self, now: float, result: int = StopResult.GENERAL, text: str = "", error: int | None = None) -> None:
        """Stop the tunnel politely; nothing happens when it is over already."""
        if self.ending is None:
            self.ending = Ending(result, error, clip(text), "us")
        self._feed(Input.CLOSE, None, now)

    def lose_tie(self, now: float) -> None:
        """Silently give up our pending request in favour of the peer's (RFC 2661 4.4.3)."""
        self._feed(Input.LOST_TIE, None, now)

    def probe(self, now: float) -> None:
        """Ask at once whether the peer still knows this tunnel."""
        if self.state is State.ESTABLISHED and self.channel.idle and self.dialect.talks:
            self.send_control(message(MessageType.HELLO), now)

    def open_session(self, settings: SessionSettings, now: float, *, name: str = "", profile: str = "") -> Call:
        """Ask for a call, as soon as the tunnel is established.

        Raises `LocalProtocolError` when the tunnel is over, has reached its limit, or the peer said that it cannot serve such a call; `Exhausted`
        when every session id is taken.
        """
        kind = self.dialect.kinds[settings.role]
        requests.check_ours(self, kind, settings)
        call = self.new_call(kind, settings, now, name=name, profile=profile)
        self.feed_call(call, CallInput.OPEN, None, now)
        if self.state is State.ESTABLISHED:
            self.begin(call, now)
        return call

    def close_session(self, session_id: int, now: float, text: str = "", result: int = CallResult.ADMIN) -> None:
        """End a call politely; nothing happens when there is none."""
        call = self.calls.get(session_id)
        if call is not None:
            call.ending = Ending(result, None, clip(text), "us")
            self.feed_call(call, CallInput.CLOSE, None, now)

    def set_circuit(self, session_id: int, now: float, *, active: bool) -> None:
        """Take note that the interface of a session went up or down, and tell a peer that can be told (RFC 3931 5.4.5)."""
        call = self.calls.get(session_id)
        if call is not None and call.active != active:
            call.active = active
            self.feed_call(call, CallInput.CIRCUIT, None, now)

    def plane_up(self, session_id: int, interface: str, now: float) -> None:
        """Report that the data plane carries a session."""
        call = self.calls.get(session_id)
        if call is not None:
            call.interface = interface
            self.feed_call(call, CallInput.PLANE_UP, None, now)

    def plane_failed(self, session_id: int, text: str, now: float) -> None:
        """Report that the data plane refused a session, or the tunnel itself when `session_id` is 0."""
        if not session_id:
            self.ending = self.ending or Ending(StopResult.ERROR, ErrorCode.NO_RESOURCES, clip(text), "us")
            self._feed(Input.PLANE_FAILED, None, now)
        elif (call := self.calls.get(session_id)) is not None:
            call.ending = Ending(CallResult.NO_FACILITIES_TEMPORARY, ErrorCode.NO_RESOURCES, clip(text), "us")
            self.feed_call(call, CallInput.PLANE_FAILED, None, now)

    def reconfigure(self, settings: TunnelSettings, now: float) -> None:
        """Take over those settings that a live tunnel can change: timers, retries, limits, what is traced."""
        self.settings = settings
        self.trace = mask(settings.trace)
        self.channel.reconfigure(self._channel_settings())
        if self.state is State.ESTABLISHED:
            self.clear_deadline()
            self.watch_idleness(now)

    def give_up(self, now: float) -> None:
        """Drop the tunnel without a word."""
        self._feed(Input.DEAD, None, now)

    def remains(self) -> Remains:
        """Return what must outlive this object for another retransmission cycle."""
        ns, nr = self.channel.ns, self.channel.nr
        return self._late or Remains(self.local_id, self.peer_id, self.peer, ns, nr, self.dialect, self.guard)

    # --- for the actions of table.py ------------------------------------------------------------------------------------------

    def enter(self, state: State, now: float) -> None:
        """Move to a state."""
        if state is not self.state:
            if (self.trace | self.site.trace) & tracing.FSM:
                self._outputs.append(Remark(Category.FSM, f"{self.state.value} -> {state.value}"))
            if self.state is State.IDLE:
                self.begun = now
            self.state = state
            self.since = now

    def protect(self, guard: Guard | None) -> None:
        """Take or leave what signs our messages; a nonce of ours is remembered, for it must never come back (reflection)."""
        if self.guard is not None:
            self.site.challenges.discard(self.guard.nonce)
        self.guard = guard
        if guard is not None and guard.nonce:
            self.site.challenges.add(guard.nonce)

    def speak(self, dialect: Dialect) -> None:
        """Go on in the dialect that the peer has chosen; the calls that wait were prepared for another one."""
        if dialect is self.dialect:
            return
        self.dialect = dialect
        self.channel.jitter = dialect.jitter(self.site.random)
        if not dialect.guarded:
            self.protect(None)
        for call in self.calls.values():
            self.speech.prepare(call, self.site.random)

    def send_control(self, said: Message, now: float) -> None:
        """Send a message about the tunnel itself."""
        mail.post(self, said, 0, now)

    def send_noted(self, said: Message, now: float) -> None:
        """Send a message about the tunnel itself, and watch for its acknowledgement."""
        mail.post(self, said, 0, now, note=True)

    def learn_peer(self, said: Message) -> None:
        """Take what SCCRQ or SCCRP says of the peer."""
        self.learn_id(said)
        window = said.get(RECEIVE_WINDOW_SIZE)
        if window:
            self.channel.set_peer_window(window)
        self.facts = self.dialect.control.facts(said)

    def learn_id(self, said: Message) -> None:
        """Take the peer's tunnel id, unless it is known already."""
        if not self.peer_id:
            self.peer_id = said.get(self.dialect.control.peer_id) or 0

    def tell_tunnel(self, what: What) -> None:
        """Tell the outside what happened to the tunnel."""
        self._outputs.append(tunnel_event(what, self))

    def watch_idleness(self, now: float) -> None:
        """Start the idle timeout when there is one and no call is left."""
        if self.settings.idle_timeout and not self.calls:
            self._deadlines.set(_TUNNEL, now + self.settings.idle_timeout)

    def begin(self, call: Call, now: float) -> None:
        """Tell a waiting call that the tunnel is open, unless the peer turned out to be unable to serve it."""
        told = CallInput.TUNNEL_OPEN
        if self.facts and (lack := self.facts.lack(call.kind, call.settings)):
            told, call.ending = CallInput.CLOSE, Ending(CallResult.NO_FACILITIES_PERMANENT, None, lack, "us")
        elif self.facts:
            call.settings = self.facts.within(call.kind, call.settings)
        self.feed_call(call, told, None, now)

    def prove(self) -> None:
        """Take note that the peer hears us: from now on it deserves as many retries as configured."""
        self.channel.reconfigure(self._channel_settings())

    def retire_challenge(self) -> None:
        """Forget our challenge: it was answered, or nobody may answer it any more."""
        self.site.challenges.discard(self.challenge)
        self.challenge = b""
        if self.cleared and self.guard is not None:
            self.site.challenges.discard(self.guard.nonce)

    def complain(self, text: str) -> None:
        """Log something that the peer did wrong; the shell limits the rate."""
        self._outputs.append(Remark(None, text))

    def remark(self, remarks: Iterable[Remark]) -> None:
        """Log trace lines."""
        self._outputs += remarks

    def set_deadline(self, when: float) -> None:
        """Feed EXPIRED to the tunnel at `when`, instead of any deadline it had."""
        self._deadlines.set(_TUNNEL, when)

    def clear_deadline(self) -> None:
        """Take the tunnel's deadline back."""
        self._deadlines.cancel(_TUNNEL)

    def fall_silent(self, now: float) -> None:
        """Send nothing any more but acknowledgements: what is still queued is of no use to a peer that has ended the tunnel."""
        self._late = self.remains()
        if self.channel.transmit(now):  # what it would have sent is dropped, and with it no Ns is used up
            self._late_acks.append(self._late.ack())

    def find_call(self, said: Message) -> Call | None:
        """Return the call that the message in hand is about, if there is one."""
        addressed = self._addressed or self.speech.our_id(said)
        if addressed:
            return self.calls.get(addressed)
        if said.type in requests.ASKING:
            return None
        return self._by_peer_id.get(self.speech.peer_id(said))

    def new_call(
        self,
        kind: Kind,
        settings: SessionSettings,
        now: float,
        *,
        name: str = "",
        profile: str = "",
        serial: int | None = None,
    ) -> Call:
        """Make a call, count it and tell of it. Raises `Exhausted` when no id is free."""
        session_id = settings.session_id if kind is Kind.STATIC else self._allocator().allocate(now, self.calls)
        if Effect.SEND_RX_CONNECT_SPEED in self.quirks and not settings.rx_connect_speed:
            settings = attrs.evolve(settings, rx_connect_speed=settings.tx_connect_speed)
        number = self.site.next_serial() if serial is None else serial
        call = Call(session_id, kind, settings, now, number, name, profile)
        call.trace = mask(settings.trace)
        self.calls[session_id] = call
        self.speech.prepare(call, self.site.random)
        if self.state is State.ESTABLISHED:
            self.clear_deadline()  # a tunnel with a call is not idle
        self.site.calls.began(self)
        self.tell(event(What.CREATED, call, self))
        return call

    def knows_session_of_peer(self, peer_session_id: int) -> bool:
        """Tell whether a call has this id of the peer's."""
        return peer_session_id in self._by_peer_id

    def feed_call(self, call: Call, told: CallInput, said: Message | None, now: float) -> None:
        """Give a call one input; where its tunnel is over it ends with it, whatever the input."""
        if self.leaving is not None:
            call.ending, told, said = self.leaving, CallInput.TUNNEL_GONE, None
        before = call.state
        feed_call(call, told, said, self, now)
        self.site.moved(before, call.state)
        requests.follow(self, call, before)
        if (self.trace | call.trace | self.site.trace) & tracing.FSM:
            self._outputs.append(
                Remark(Category.FSM, f"{told.name}: {before.value} -> {call.state.value}", call.local_id)
            )

    # --- the Carrier of our calls ---------------------------------------------------------------------------------------------

    @property
    def speech(self) -> Speech:
        """How messages of a call are put, and read."""
        return self.dialect.speech

    @property
    def silent_avps(self) -> frozenset[object]:
        """AVPs that this peer must not be sent."""
        return _NO_RX_SPEED if Effect.OMIT_RX_CONNECT_SPEED in self.quirks else _NOTHING

    def send(self, message: Message, peer_session_id: int, now: float) -> None:
        """Send a message of a call."""
        mail.post(self, message, peer_session_id, now)

    def tell(self, event: SessionEvent) -> None:
        """Tell the outside what happened to a call."""
        self._outputs.append(event)

    def plane(self, operation: Operation) -> None:
        """Ask the data plane for something; while a session is made, the reply that waits for it may carry the acknowledgement."""
        self._outputs.append(operation)
        if isinstance(operation, CreateSession) and self.calls[operation.session_id].kind is not Kind.LNS_OUTGOING:
            self.channel.hold_ack()  # of an OCRP nothing follows, whatever the plane says

    def expect(self, call: Call, deadline: float) -> None:
        """Watch for the call's deadline."""
        self._deadlines.set(call.local_id, deadline)

    def relax(self, call: Call) -> None:
        """Stop watching."""
        self._deadlines.cancel(call.local_id)

    def learn_peer_id(self, call: Call, peer_session_id: int) -> None:
        """Note the peer's session id."""
        call.peer_id = peer_session_id
        self._by_peer_id[peer_session_id] = call

    def forget(self, call: Call, now: float) -> None:
        """Drop an ended call; its id rests for a retransmission cycle."""
        if self.calls.pop(call.local_id, None) is None:
            return
        if self._by_peer_id.get(call.peer_id) is call:
            del self._by_peer_id[call.peer_id]
        if call.kind is not Kind.STATIC:
            self._allocator().release(call.local_id, now)
        self.site.calls.ended(self)
        if self.leaving is not None:
            self.site.ending -= 1
        if self.state is State.ESTABLISHED and not self.cleared:
            self.watch_idleness(now)

    # --- within ---------------------------------------------------------------------------------------------------------------

    def _channel_settings(self) -> ChannelSettings:
        # A caller that has not yet shown that it hears us is answered a few times only: its address may be forged.
        few = self.origin == "network" and not self.was_up
        retries = min(UNPROVEN_RETRIES, self.settings.max_retries) if few else None
        settings = channel_settings(self.settings, self.quirks, retries)
        return settings if self.dialect.talks else attrs.evolve(settings, hello_timeout=0.0)

    def _is_early(self, ns: int) -> bool:
        return 0 < (ns - self.channel.nr) & 0xFFFF < 0x8000

    def _feed(self, told: Input, said: Message | None, now: float) -> None:
        if (self.trace | self.site.trace) & tracing.FSM:
            self._outputs.append(Remark(Category.FSM, f"{told.name} in {self.state.value}"))
        table.feed(self, told, said, now)

    def _take_message(self, session_id: int, octets: bytes, now: float, first: Message | None) -> None:
        said = first or mail.read(self, octets)
        told = mail.arrive(self, said, session_id)
        self._addressed = session_id
        self._feed(told, said, now)

    def _look_at_channel(self, now: float) -> None:
        if self.channel.delivered:
            self.channel.delivered.clear()
            self._feed(Input.DELIVERED, None, now)
        if self.channel.failed and self.state is not State.CLOSED:
            self._feed(Input.DEAD, None, now)

    def _acknowledge_late(self, header: ControlHeader, body: bytes) -> None:
        if body and self._late is not None:
            self._late, datagram = late_ack(self._late, header)
            self._late_acks.append(datagram)

    def _may_be_unaddressed(self, header: ControlHeader) -> bool:
        """Tell whether a packet to tunnel 0 may be ours: a copy of the SCCRQ, or from a peer that did not see our SCCRP or cannot address us."""
        if header.tunnel_id != 0:
            return False
        return header.ns == 0 or self.state in _UNHEARD or Effect.ACCEPT_ZERO_TUNNEL_ID in self.quirks

    def _allocator(self) -> Allocator:
        if self._ids is None:
            self._ids = Allocator(self.dialect.id_bits, self.site.random, CYCLE)
        return self._ids


_UNPROVEN = frozenset({State.IDLE, State.WAIT_CTL_CONN})
# RFC 2661 5.3: a peer that does not know our id yet sends 0
_UNHEARD = frozenset({State.WAIT_CTL_CONN, State.CLOSING, State.LINGERING})
_NOTHING: frozenset[object] = frozenset()
_NO_RX_SPEED: frozenset[object] = frozenset({RX_CONNECT_SPEED})
