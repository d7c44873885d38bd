"""Requests and their answers, over several servers that may be slow, dead or wrong. Pure: octets in, octets out, time passed in.

Theory of operation. A request goes to the first server that is alive, in the order of the configuration, is repeated there word for word, each time after
twice the pause (RFC 5080 2.2.1), and then goes to the next one, written anew: what it hides depends on the secret, and an identifier belongs to one
server and one port of ours. A server that has said nothing at all since it was asked is dead for a while, unless it answers another one meanwhile. Where
all are dead each is asked once, for one of them may have come back, and nobody shall wait long for nothing.

An identifier has 8 bits, so that 256 requests can be under way between two ports (RFC 2865 3). More of them take further ports of ours: the exchange
numbers these sources from 0, and the shell opens them as they are used. What a server is asked at once has a limit, `window`; others wait their
turn, and not longer than they would have waited for an answer.

An answer counts if it comes from the server that was asked, to the source and under the identifier of the request, and is signed with the secret.
Anything else is counted and forgotten.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from l2tpd.config.model import Address
from l2tpd.deadlines import Deadlines
from l2tpd.errors import LocalProtocolError, Malformed
from l2tpd.radius.attributes import ACCT_DELAY_TIME, Attributes, Draft
from l2tpd.radius.numbers import Code
from l2tpd.radius.packet import Packet, check_answer, encode_access, encode_signed
from l2tpd.radius.tally import Asked, Tally

IDENTIFIERS: Final = 256
WINDOW: Final = 1024
LONGEST_PAUSE: Final = 16.0  # seconds (RFC 5080 2.2.1, MRT)


@attrs.frozen(kw_only=True)
class Server:
    """A server as it is asked; times in seconds."""

    address: Address
    name: str = ""  # in our configuration
    secret: bytes = attrs.field(repr=False)
    timeout: float = 2.0  # until a request is repeated for the first time
    retries: int = 2  # repetitions, after which the next server is asked
    dead_time: float = 60.0


@attrs.frozen(kw_only=True)
class Question:
    """What is to be asked. `born` is when it came up, for accounting that is late; `password` is hidden on its way."""

    code: Code
    attributes: Attributes
    password: bytes | None = attrs.field(default=None, repr=False)
    born: float | None = None


@attrs.frozen(kw_only=True)
class Outcome:
    """What came of a question; without an answer `reason` says why."""

    ticket: int
    answer: Packet | None = None
    reason: str = ""


@attrs.frozen
class Datagram:
    """What is to be sent, from which of our sources."""

    source: int
    address: Address
    octets: bytes


@attrs.define(eq=False)
class _Peer:
    """A server and what it is being asked: by source and identifier."""

    server: Server
    dead_until: float = 0.0
    heard: float = -math.inf  # when it last answered anything
    asked: dict[tuple[int, int], _Request] = attrs.field(factory=dict)
    waiting: OrderedDict[int, _Request] = attrs.field(factory=OrderedDict)  # by ticket
    turn: int = 0

    def next_slot(self, sources: int) -> tuple[int, int]:
        """Return a source and identifier that were free for as long as can be; there are twice as many as may be in use."""
        while True:
            self.turn = (self.turn + 1) % (sources * IDENTIFIERS)
            slot = divmod(self.turn, IDENTIFIERS)
            if slot not in self.asked:
                return slot


@attrs.define(eq=False)
class _Request:
    ticket: int
    question: Question
    peers: list[_Peer]  # still to be asked, the present one first
    once: bool  # nobody is alive: ask each once
    slot: tuple[int, int] | None = None
    octets: bytes = b""
    sent: int = 0
    begun: float = 0.0  # when the present server was first asked
    fault: str = ""  # of the last thing that came in place of an answer
    missed: int = 0  # how often it could not even be sent, and why
    lack: str = ""


class Exchange:
    """All requests of one kind, to one list of servers."""

    def __init__(
        self,
        servers: Sequence[Server],
        random: Callable[[int], bytes],
        tally: Tally,
        *,
        require_signature: bool = True,
        window: int = WINDOW,
    ) -> None:
        """Ask `servers`, best first, and enter into `tally` what becomes of it; `random` gives unpredictable octets."""
        self._peers = [_Peer(server) for server in servers]
        self._random = random
        self.tally = tally
        for server in servers:
            tally.know(server.name)
        self._require_signature = require_signature
        self._window = window
        self._sources = max(
            1, -(-2 * window // IDENTIFIERS)
        )  # so many that an identifier rests before it is used again
        self._requests: dict[int, _Request] = {}
        self._deadlines: Deadlines[int] = Deadlines()
        self._out: list[Datagram] = []
        self._outcomes: list[Outcome] = []
        self._last_ticket = 0

    def ask(self, question: Question, now: float) -> int:
        """Begin with a question and return its ticket; what comes of it is among the outcomes, perhaps at once."""
        self._last_ticket += 1
        alive = [peer for peer in self._peers if peer.dead_until <= now]
        request = _Request(self._last_ticket, question, list(alive or self._peers), once=not alive)
        self._requests[request.ticket] = request
        self._begin(request, "no server is configured", now)
        return request.ticket

    def withdraw(self, ticket: int, now: float) -> None:
        """Forget a question that nobody waits for any longer."""
        request = self._requests.pop(ticket, None)
        if request is not None:
            self._leave(request, now)

    def receive_datagram(self, source: int, data: bytes, address: Address, now: float) -> None:
        """Take what has come to a source; never raises."""
        peer = next((one for one in self._peers if one.server.address == address), None)
        request = peer.asked.get((source, data[1])) if peer is not None and len(data) > 1 else None
        if peer is None or request is None:
            self.tally.ignored += 1
            return
        try:
            answer = check_answer(request.octets, data, peer.server.secret, require_signature=self._require_signature)
        except Malformed as error:
            self.tally.ignored += 1  # somebody may be forging answers: go on waiting for the right one
            request.fault = f", but sent {error}"
            return
        peer.dead_until, peer.heard = 0.0, now
        self.tally.answered(peer.server.name, answer.code, now - request.begun)
        self._finish(request, Outcome(ticket=request.ticket, answer=answer), now)

    def unsent(self, datagram: Datagram, lack: str) -> None:
        """Take note that we lack what it takes to send a datagram: a server that was never asked is not to blame."""
        peer = next((one for one in self._peers if one.server.address == datagram.address), None)
        request = peer.asked.get((datagram.source, datagram.octets[1])) if peer is not None else None
        if request is not None:
            request.missed, request.lack = request.missed + 1, lack

    def handle_timer(self, now: float) -> None:
        """Repeat what is due, or ask somebody else."""
        for ticket in self._deadlines.due(now):
            request = self._requests.get(ticket)
            if request is None:  # it was its turn at last just now, and could not be written
                continue
            peer = request.peers[0]
            if request.slot is None:
                self._next(request, f"{peer.server.address} is asked too much", now)
            elif request.sent <= peer.server.retries and not request.once and peer.dead_until <= now:
                self.tally.repeat(peer.server.name)
                self._send(request, request.slot[0], now)
            elif request.missed == request.sent:
                self._next(request, f"{peer.server.address} cannot be asked: {request.lack}", now)
            else:
                self.tally.silent(peer.server.name)
                if (
                    peer.heard < request.begun
                ):  # else it is only that this one was lost, as happens to many that come at once
                    self._bury(peer, now)
                self._next(request, f"{peer.server.address} does not answer{request.fault}", now)

    def next_timer(self) -> float | None:
        """When `handle_timer` has something to do."""
        return self._deadlines.next()

    def datagrams_to_send(self) -> list[Datagram]:
        """Return what is to be sent, and forget it."""
        out, self._out = self._out, []
        return out

    def take_outcomes(self) -> list[Outcome]:
        """Return what has come of questions, and forget it."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def up(self, now: float) -> dict[Asked, bool]:
        """Tell of each server, by type of request and name, whether it is asked at present."""
        return {(self.tally.kind, peer.server.name): peer.dead_until <= now for peer in self._peers}

    @property
    def under_way(self) -> int:
        """How many questions have no outcome yet."""
        return len(self._requests)

    # --- one request ----------------------------------------------------------------------------------------------------------------

    def _begin(self, request: _Request, reason: str, now: float) -> None:
        """Turn to the first of the servers that are left, or give up for this reason."""
        if not request.peers:
            self._finish(request, Outcome(ticket=request.ticket, reason=reason), now)
            return
        peer = request.peers[0]
        if len(peer.asked) < self._window:
            self._open(request, peer, now)
        else:
            peer.waiting[request.ticket] = request
            self._deadlines.set(request.ticket, now + peer.server.timeout * (peer.server.retries + 1))

    def _open(self, request: _Request, peer: _Peer, now: float) -> None:
        slot = peer.next_slot(self._sources)
        try:
            request.octets = self._encode(request.question, slot[1], peer.server.secret, now)
        except LocalProtocolError as error:
            # Not `_finish`: it holds nothing, and it was `_leave` that called, perhaps; many in a row shall not recurse.
            self._outcomes.append(Outcome(ticket=request.ticket, reason=str(error)))
            self._deadlines.cancel(request.ticket)
            self._requests.pop(request.ticket, None)
            return
        request.slot, request.sent, request.begun, request.fault, request.missed = slot, 0, now, "", 0
        peer.asked[slot] = request
        self._send(request, slot[0], now)

    def _encode(self, question: Question, identifier: int, secret: bytes, now: float) -> bytes:
        attributes: Draft = dict(question.attributes)
        if question.born is not None:
            ACCT_DELAY_TIME.put(attributes, max(0, int(now - question.born)))
        if question.code is Code.ACCESS_REQUEST:
            return encode_access(identifier, self._random(16), attributes, secret, question.password)
        return encode_signed(question.code, identifier, attributes, secret)

    def _send(self, request: _Request, source: int, now: float) -> None:
        peer = request.peers[0]
        self._out.append(Datagram(source, peer.server.address, request.octets))
        pause = min(peer.server.timeout * (1 << request.sent), max(LONGEST_PAUSE, peer.server.timeout))
        request.sent += 1
        self._deadlines.set(request.ticket, now + pause)

    def _bury(self, peer: _Peer, now: float) -> None:
        """Take a server for dead; who waits for it shall do so no longer."""
        peer.dead_until = now + peer.server.dead_time
        waiting, peer.waiting = peer.waiting, OrderedDict()  # once: many are taken for lost in the same moment
        for ticket in waiting:
            self._deadlines.set(ticket, now)

    def _next(self, request: _Request, reason: str, now: float) -> None:
        self._leave(request, now)
        del request.peers[0]
        if not request.once:  # others may have found out meanwhile who is dead
            request.peers = [peer for peer in request.peers if peer.dead_until <= now]
        self._begin(request, reason, now)

    def _finish(self, request: _Request, outcome: Outcome, now: float) -> None:
        self._outcomes.append(outcome)
        self._requests.pop(request.ticket, None)
        self._leave(request, now)

    def _leave(self, request: _Request, now: float) -> None:
        """Give back what a request holds at its server, and let the next one in."""
        self._deadlines.cancel(request.ticket)
        if not request.peers:
            return
        peer = request.peers[0]
        if request.slot is not None:
            del peer.asked[request.slot]
            request.slot = None
        else:
            peer.waiting.pop(request.ticket, None)
        while peer.waiting and len(peer.asked) < self._window and peer.dead_until <= now:
            self._open(peer.waiting.popitem(last=False)[1], peer, now)
