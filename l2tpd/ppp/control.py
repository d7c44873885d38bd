"""A control protocol: what LCP and the NCPs have in common, packets and negotiation around one automaton (RFC 1661 4 to 6).

Theory of operation. `receive` turns a packet into an event of the automaton, feeds it, and carries out the actions that come back; what is to
leave the protocol goes to a `Carrier`, that is the link. A subclass adds its table of options, its wishes, and codes of its own.

A negotiation begins with the wishes afresh. A Nak changes the wish that it names, a Reject deletes it; our request keeps its identifier while it
stays the same and unanswered (5.1), and a second answer to the same request is none: packets over L2TP may be doubled, and a doubled Ack must
not tear down what it opened (4.3, RCA).

One Configure-Request is not taken for the wish to negotiate anew that 4.3 makes of it: in Opened, the very one that we have granted last, under
the same identifier. It is a copy, or a repetition because our Ack was lost, and is granted again without taking the network down. A peer that
has begun afresh with the same words has to change its identifier after our Ack (5.1) and is understood then; one that does not is at the
fourth time.

Against loops (4.5): Naks that we send become Rejects after Max-Failure, Naks that we get count as Rejects after as many, and after twice as
many we give up. Whatever cannot be parsed is dropped and counted, as the RFC wants ("silently discarded"), and so is what could only be answered
by a packet larger than the peer can take.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol

import attrs

from l2tpd.errors import Malformed
from l2tpd.ppp.automaton import NEGOTIATING, Action, Automaton, Event, Limits, State
from l2tpd.ppp.frame import HEAD, Options, Packet, build_options, build_packet, parse_options, parse_packet
from l2tpd.ppp.numbers import BY_PEER, MINIMUM_MRU, Code, Disconnect
from l2tpd.ppp.options import ACCEPT, REFUSE, Answer, Table
from l2tpd.wire.values import DisconnectCause, unpack_text

_DEAF: Final = frozenset({State.CLOSED, State.CLOSING, State.STOPPING})
"""States in which a Configure-Request is not judged: it is answered by a Terminate-Ack, or not at all."""


class Carrier(Protocol):
    """What a control protocol may ask of its link."""

    @property
    def peer_mru(self) -> int:
        """The largest information field that the peer takes."""

    def transmit(self, protocol: int, packet: bytes) -> None:
        """Send a packet."""

    def discard(self) -> None:
        """Count a packet that was dropped because it is malformed, out of sequence or unanswerable."""

    def layer_up(self, control: Control, now: float) -> None:
        """Say that the protocol is Opened."""

    def layer_down(self, control: Control, now: float) -> None:
        """Say that it is so no longer."""

    def layer_finished(self, control: Control, now: float) -> None:
        """Say that it will do nothing more by itself."""

    def protocol_refused(self, protocol: int, now: float) -> None:
        """Say that the peer does not know this protocol (RFC 1661 5.7)."""

    def give_up(self, control: Control, cause: DisconnectCause, now: float) -> None:
        """Close the protocol for this cause."""


@attrs.define(eq=False)
class Control(abc.ABC):
    """One control protocol of one link."""

    PROTOCOL: ClassVar[int]
    OPTIONS: ClassVar[Table[Any]]
    TIMEOUT: ClassVar[Disconnect] = Disconnect.NCP_TIMEOUT
    SILENCE: ClassVar[Disconnect] = Disconnect.NCP_TIMEOUT  # when the peer never said anything
    COPIES: ClassVar[int] = 3  # of a granted request that are granted again

    limits: Limits
    automaton: Automaton = attrs.field(init=False)
    wanted: dict[int, bytes] = attrs.field(factory=dict)
    """What we ask for: options by number, in the order of our Configure-Request."""
    peer: Mapping[int, bytes] = attrs.field(factory=dict)
    """What the peer was granted by our last Configure-Ack."""
    cause: DisconnectCause | None = None
    """Why it ended or is about to, since it was last Opened."""
    reported: bool = False
    """The outside knows that it is not Opened."""
    forsaken: bool = False
    """The peer has fallen silent in the middle of a negotiation that it took part in."""
    _request: bytes = b""
    _request_id: int = 0
    _heard: bool = False
    _engaged: bool = False  # the peer's last word was one of negotiation, not of the end
    _awaiting: bool = False  # no valid answer to the last request yet
    _answer: bytes = b""  # what sca, scn or ser will send
    _granted: tuple[int, bytes] = (0, b"")  # identifier and options that _answer would grant
    _granted_last: tuple[int, bytes] | None = None
    _regrants: int = 0
    _echoed_id: int = 0  # what sta will answer to
    _rejectable: bytes = b""  # what scj will reject
    _identifier: int = 0
    _naks_sent: int = 0
    _naks_taken: int = 0
    _prompted: bool = False
    _farewell: bytes = b""  # what str will say

    def __attrs_post_init__(self) -> None:
        self.automaton = Automaton(self.limits)

    # --- what a subclass knows ----------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def wishes(self) -> dict[int, bytes]:
        """Return what to ask for when a negotiation begins."""

    def prompts(self) -> Options:
        """Return the options that the peer should ask for, and the values to prompt it with (RFC 1661 5.3)."""
        return ()

    @abc.abstractmethod
    def lost(self, number: int) -> DisconnectCause | None:
        """Say why the protocol cannot go on without an option that the peer does not grant; None: it can."""

    def room(self, carrier: Carrier) -> int:
        """Return how large a packet may be that answers a Configure-Request."""
        return carrier.peer_mru

    def receive_other(self, packet: Packet, carrier: Carrier, now: float) -> bool:
        """Take a packet whose code is above Code-Reject; False: the code is unknown."""
        del packet, carrier, now
        return False

    def code_refused(self, code: int) -> None:
        """Stop sending packets of this code, which is none of the seven."""
        del code

    # --- commands -----------------------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The automaton's state."""
        return self.automaton.state

    @property
    def opened(self) -> bool:
        """Tell whether the protocol is Opened."""
        return self.automaton.state is State.OPENED

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` has something to do; None: never, as things stand."""
        return self.automaton.deadline

    def feed(self, event: Event, carrier: Carrier, now: float) -> None:
        """Give the automaton an event and do what it says."""
        before = self.automaton.state
        self._perform(self.automaton.feed(event, now), before, carrier, now)

    def close(self, carrier: Carrier, now: float, farewell: str = "") -> None:
        """Close, with a text for the Terminate-Request."""
        self._farewell = farewell.encode("ascii", "replace")[: MINIMUM_MRU - HEAD]
        self.feed(Event.CLOSE, carrier, now)

    def handle_timer(self, now: float, carrier: Carrier) -> None:
        """Let the Restart timer run out if it is due."""
        before, deadline = self.automaton.state, self.automaton.deadline
        if deadline is None or deadline > now:
            return
        actions = self.automaton.expire(now)
        if Action.TLF in actions and before in NEGOTIATING:
            self.blame(self.fault(self.TIMEOUT if self._heard else self.SILENCE, 0, "the peer does not answer"))
            self.forsaken = self._engaged
        self._perform(actions, before, carrier, now)

    def blame(self, cause: DisconnectCause) -> None:
        """Note why the protocol is about to end; the first cause is the one that counts."""
        if self.cause is None:
            self.cause = cause

    def fault(self, code: Disconnect, direction: int = 0, text: str = "") -> DisconnectCause:
        """Return a cause that names this protocol."""
        return DisconnectCause(code, self.PROTOCOL, direction, text)

    # --- packets that arrive ------------------------------------------------------------------------------------------------------

    def receive(self, octets: bytes, carrier: Carrier, now: float) -> None:
        """Take the information field of one frame. Nothing is raised, whatever it holds."""
        if self.automaton.state < State.CLOSED:  # the lower layer is down: there is nobody to talk to (RFC 1661 4.2)
            carrier.discard()
            return
        try:
            packet = parse_packet(octets)
            taken = self._take(packet, carrier, now)
        except Malformed:
            carrier.discard()
            return
        if not taken:
            self._rejectable = octets[: HEAD + len(packet.data)]
            self.feed(Event.RUC, carrier, now)

    def _take(self, packet: Packet, carrier: Carrier, now: float) -> bool:
        receiver = self._RECEIVERS.get(packet.code)
        if receiver is None:
            return self.receive_other(packet, carrier, now)
        self._heard, self._echoed_id = True, packet.identifier
        self._engaged = packet.code not in {Code.TERMINATE_REQUEST, Code.TERMINATE_ACK}
        receiver(self, packet, carrier, now)
        return True

    def _configure_request(self, packet: Packet, carrier: Carrier, now: float) -> None:
        options = parse_options(packet.data)
        if self.automaton.state in _DEAF:
            self.feed(Event.RCR_PLUS, carrier, now)
            return
        if HEAD + len(packet.data) > self.room(carrier):
            carrier.discard()
            return
        if self.opened and (packet.identifier, packet.data) == self._granted_last and self._regrants < self.COPIES:
            self._regrants += 1
            carrier.transmit(self.PROTOCOL, build_packet(Code.CONFIGURE_ACK, packet.identifier, packet.data))
            return
        code, answer = self._judge(options)
        self._granted = packet.identifier, packet.data
        granted = code == Code.CONFIGURE_ACK  # 5.2: with the very options of the request
        self._answer = build_packet(code, packet.identifier, packet.data if granted else build_options(answer))
        self.feed(Event.RCR_PLUS if granted else Event.RCR_MINUS, carrier, now)

    def _configure_ack(self, packet: Packet, carrier: Carrier, now: float) -> None:
        if not self._expected(packet) or packet.data != self._request:  # 5.2: MUST exactly match
            carrier.discard()
            return
        self._awaiting = False
        self.feed(Event.RCA, carrier, now)

    def _configure_nak(self, packet: Packet, carrier: Carrier, now: float) -> None:
        options = parse_options(packet.data)
        if not self._expected(packet) or not options:
            carrier.discard()
            return
        self._awaiting = False
        self._naks_taken += 1
        for number, data in dict(reversed(options)).items():  # of several for one number the first counts
            self._reconsider(number, data, carrier, now)
        if self._naks_taken > 2 * self.limits.max_failure:
            carrier.give_up(self, self.fault(Disconnect.NO_CONVERGENCE, BY_PEER, "the peer accepts nothing"), now)
        self.feed(Event.RCN, carrier, now)

    def _configure_reject(self, packet: Packet, carrier: Carrier, now: float) -> None:
        options = parse_options(packet.data)
        if not self._expected(packet) or not options or not set(options) <= set(self.wanted.items()):  # 5.4: a subset
            carrier.discard()
            return
        self._awaiting = False
        for number in dict(options):  # each once, however often it is said
            self._forgo(number, carrier, now)
        self.feed(Event.RCN, carrier, now)

    def _terminate_request(self, packet: Packet, carrier: Carrier, now: float) -> None:
        if self.opened:
            self.blame(self.fault(Disconnect.NORMAL, BY_PEER, unpack_text(packet.data[:255])))
        self.feed(Event.RTR, carrier, now)

    def _terminate_ack(self, packet: Packet, carrier: Carrier, now: float) -> None:
        self.feed(Event.RTA, carrier, now)

    def _code_reject(self, packet: Packet, carrier: Carrier, now: float) -> None:
        if not packet.data:
            carrier.discard()
        elif packet.data[0] in self._RECEIVERS:
            self.blame(self.fault(Disconnect.UNKNOWN, BY_PEER, f"the peer does not know code {packet.data[0]}"))
            self.feed(Event.RXJ_MINUS, carrier, now)
        else:
            self.code_refused(packet.data[0])
            self.feed(Event.RXJ_PLUS, carrier, now)

    # --- negotiation --------------------------------------------------------------------------------------------------------------

    def _expected(self, packet: Packet) -> bool:
        return self._awaiting and packet.identifier == self._request_id

    def _judge(self, options: Options) -> tuple[int, Sequence[tuple[int, bytes]]]:
        """Return the code and the options of the answer to a Configure-Request (5.2 to 5.4)."""
        patient = self._naks_sent < self.limits.max_failure
        rejected: list[tuple[int, bytes]] = []
        better: list[tuple[int, bytes]] = []
        seen: set[int] = set()
        for number, data in options:
            answer = self._answer_to(number, data, seen)
            seen.add(number)
            if answer.code == Code.CONFIGURE_NAK and patient:
                better.append((number, answer.data))
            elif answer is not ACCEPT:
                rejected.append((number, data))
        if rejected:
            return Code.CONFIGURE_REJECT, rejected
        if patient and not self._prompted:
            better.extend(prompt for prompt in self.prompts() if prompt[0] not in seen)
        if not better:
            return Code.CONFIGURE_ACK, options
        self._naks_sent += 1
        self._prompted = True  # RFC 5072 4.1: whoever was prompted and does not ask "MUST NOT" be prompted again
        return Code.CONFIGURE_NAK, better

    def _answer_to(self, number: int, data: bytes, seen: set[int]) -> Answer:
        row = self.OPTIONS.get(number)
        if row is None or number in seen:  # 6: none "can be listed more than once"
            return REFUSE
        return row.answer(self, data)

    def _reconsider(self, number: int, data: bytes, carrier: Carrier, now: float) -> None:
        if number not in self.wanted:
            return
        row = self.OPTIONS[number]
        proper = row.size is None or len(data) == row.size
        value = row.reconsider(self, data) if proper and self._naks_taken <= self.limits.max_failure else None
        if value is None:
            self._forgo(number, carrier, now)
        else:
            self.wanted[number] = value

    def _forgo(self, number: int, carrier: Carrier, now: float) -> None:
        del self.wanted[number]
        cause = self.lost(number)
        if cause is not None:
            carrier.give_up(self, cause, now)

    # --- actions ------------------------------------------------------------------------------------------------------------------

    def _perform(self, actions: tuple[Action, ...], before: State, carrier: Carrier, now: float) -> None:
        if Action.SCR in actions and before not in NEGOTIATING:
            self._begin()
        for action in actions:
            performer = self._PERFORMERS.get(action)
            if performer is not None:
                performer(self, carrier, now)

    def _begin(self) -> None:
        self.wanted = self.wishes()
        self._naks_sent = self._naks_taken = 0
        self._prompted = False

    def _next_id(self) -> int:
        self._identifier = self._identifier + 1 & 0xFF
        return self._identifier

    def _send_request(self, carrier: Carrier, now: float) -> None:
        request = build_options(self.wanted.items())
        if not self._awaiting or request != self._request:
            self._request, self._request_id, self._awaiting = request, self._next_id(), True
        carrier.transmit(self.PROTOCOL, build_packet(Code.CONFIGURE_REQUEST, self._request_id, request))

    def _send_ack(self, carrier: Carrier, now: float) -> None:
        self._granted_last, self._regrants = self._granted, 0
        self.peer = dict(parse_options(self._granted[1]))
        self._naks_sent = 0
        carrier.transmit(self.PROTOCOL, self._answer)

    def _send_answer(self, carrier: Carrier, now: float) -> None:
        carrier.transmit(self.PROTOCOL, self._answer)

    def _send_terminate_request(self, carrier: Carrier, now: float) -> None:
        self._awaiting = False
        carrier.transmit(self.PROTOCOL, build_packet(Code.TERMINATE_REQUEST, self._next_id(), self._farewell))

    def _send_terminate_ack(self, carrier: Carrier, now: float) -> None:
        carrier.transmit(self.PROTOCOL, build_packet(Code.TERMINATE_ACK, self._echoed_id, b""))

    def _send_code_reject(self, carrier: Carrier, now: float) -> None:
        rejected = self._rejectable[: carrier.peer_mru - HEAD]  # 5.6: MUST be truncated
        carrier.transmit(self.PROTOCOL, build_packet(Code.CODE_REJECT, self._next_id(), rejected))

    def _layer_up(self, carrier: Carrier, now: float) -> None:
        carrier.layer_up(self, now)

    def _layer_down(self, carrier: Carrier, now: float) -> None:
        carrier.layer_down(self, now)

    def _layer_finished(self, carrier: Carrier, now: float) -> None:
        carrier.layer_finished(self, now)

    # --- tables -------------------------------------------------------------------------------------------------------------------

    _RECEIVERS: ClassVar[
        Mapping[int, Callable[[Any, Packet, Carrier, float], None]]
    ] = {  # RFC 1661 5: every protocol has these
        Code.CONFIGURE_REQUEST: _configure_request,
        Code.CONFIGURE_ACK: _configure_ack,
        Code.CONFIGURE_NAK: _configure_nak,
        Code.CONFIGURE_REJECT: _configure_reject,
        Code.TERMINATE_REQUEST: _terminate_request,
        Code.TERMINATE_ACK: _terminate_ack,
        Code.CODE_REJECT: _code_reject,
    }

    # irc and zrc are the automaton's own; of tls nobody need be told over L2TP.
    _PERFORMERS: ClassVar[Mapping[Action, Callable[[Any, Carrier, float], None]]] = {
        Action.TLU: _layer_up,
        Action.TLD: _layer_down,
        Action.TLF: _layer_finished,
        Action.SCR: _send_request,
        Action.SCA: _send_ack,
        Action.SCN: _send_answer,
        Action.STR: _send_terminate_request,
        Action.STA: _send_terminate_ack,
        Action.SCJ: _send_code_reject,
        Action.SER: _send_answer,
    }
