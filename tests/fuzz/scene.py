"""One control connection under attack: how to bring it into a state, feed it, and tell whether it is still sound.

The attacker knows what no stranger could: our ids, which Ns and Nr the channel wants next, and the secret. The data plane answers when the dice say so.
"""

from __future__ import annotations

from random import Random
from typing import Any, Final

import attrs

from fuzz import seeds
from fuzz.crash import need
from fuzz.words import WORDS2, WORDS3, Words
from l2tpd.config.model import (
    Address,
    Authentication,
    Digest,
    Encapsulation,
    Role,
    SessionSettings,
    Sublayer,
    TunnelSettings,
)
from l2tpd.errors import Exhausted, LocalProtocolError, RemoteProtocolError
from l2tpd.events import SessionEvent, TunnelEvent, What
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, ModifySession
from l2tpd.session.call import Call, Kind
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.core import LONGEST_QUEUE, ControlConnection
from l2tpd.tunnel.dialect import EITHER, V3, Dialect
from l2tpd.tunnel.outputs import Output
from l2tpd.tunnel.quirks import QUIRKS
from l2tpd.tunnel.site import Site
from l2tpd.tunnel.states import State
from l2tpd.wire import digest
from l2tpd.wire.messages import decode
from l2tpd.wire.numbers import MessageType
from seal import Seal

PEER: Final = Address("192.0.2.9", 1701)
OTHER_PORT: Final = Address("192.0.2.9", 1702)
STRANGER: Final = Address("198.51.100.1", 1701)

ORDER: Final = {
    state: place
    for place, state in enumerate(
        (
            State.IDLE,
            State.WAIT_CTL_REPLY,
            State.WAIT_CTL_CONN,
            State.ESTABLISHED,
            State.CLOSING,
            State.LINGERING,
            State.CLOSED,
        )
    )
}
CALL_ORDER: Final[dict[Kind, tuple[CallState, ...]]] = {
    Kind.LAC_INCOMING: (
        CallState.IDLE,
        CallState.WAIT_TUNNEL,
        CallState.WAIT_REPLY,
        CallState.WAIT_PLANE,
        CallState.ESTABLISHED,
    ),
    Kind.LNS_INCOMING: (CallState.IDLE, CallState.WAIT_PLANE, CallState.WAIT_CONNECT, CallState.ESTABLISHED),
    Kind.LAC_OUTGOING: (CallState.IDLE, CallState.WAIT_CS_ANSWER, CallState.ESTABLISHED),
    Kind.LNS_OUTGOING: (
        CallState.IDLE,
        CallState.WAIT_TUNNEL,
        CallState.WAIT_REPLY,
        CallState.WAIT_CONNECT,
        CallState.WAIT_PLANE,
        CallState.ESTABLISHED,
    ),
}
"""RFC 2661 7.4, 7.5: the states through which a live call moves, forwards only."""

BACKLOG: Final = LONGEST_QUEUE + 64
"""Messages of ours that may wait for a peer that does not acknowledge, beside a few for each call."""


@attrs.define(eq=False)
class Policy:
    """Admits calls, now and then one too many."""

    dice: Random
    live: int = 0

    def admit(self, tunnel: ControlConnection, kind: Kind, end_id: str) -> tuple[str, SessionSettings]:
        if self.dice.random() < 0.02:
            raise RemoteProtocolError(4, 4, "no more")
        return "default", wishes(self.dice)

    def began(self, tunnel: ControlConnection) -> None:
        self.live += 1

    def ended(self, tunnel: ControlConnection) -> None:
        self.live -= 1


@attrs.define(eq=False)
class Scene:
    """A core, the wires around it, and a mirror of what it said that it did."""

    core: ControlConnection
    policy: Policy
    dice: Random
    words: Words = WORDS2
    seal: Seal = attrs.field(factory=Seal)
    now: float = 0.0
    plane: set[int] = attrs.field(
        factory=set
    )  # sessions that the data plane was asked for and not told to delete; 0: the tunnel
    refused: set[int] = attrs.field(factory=set)  # sessions whose creation failed; a delete may still be on its way
    waiting: list[int] = attrs.field(factory=list)  # sessions whose creation was not answered yet
    lives: dict[int, list[What]] = attrs.field(factory=dict)
    heard: list[bytes] = attrs.field(factory=list)  # datagrams that were fed, to be repeated
    before: State = State.IDLE
    calls_before: dict[int, tuple[Call, CallState]] = attrs.field(factory=dict)
    sent: int = 0

    # --- feeding ------------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, address: Address = PEER) -> None:
        """Deliver a datagram as the shell would, and let the core speak. Raises `Breach` when it is not sound afterwards."""
        if self.core.state is State.IDLE:
            header, body = self.words.dialect.parse(data)
            if self.core.guard is None or self.core.guard.believes(data, body):
                self.core.take_packet(header, body, address, self.now)
        else:
            self.core.receive_datagram(data, address, self.now)
        if self.core.guard is not None and self.core.guard.peer_nonce:
            self.seal.nonce = self.core.guard.peer_nonce  # whatever the dice have put into the request
        self.settle()

    def settle(self) -> None:
        """Carry out what the core asks for, collect what it sends, and check all books."""
        rounds = 0
        while outputs := self.core.take_outputs():
            rounds += 1
            need(rounds < 8, "outputs that never end")
            need(len(outputs) <= 2048 + 8 * (len(self.calls_before) + len(self.core.calls)), "too many outputs at once")
            for output in outputs:
                self._act(output)
        packets = self.core.datagrams_to_send(self.now)
        need(len(packets) <= max(self.core.channel.peer_window, 64), "more datagrams than the peer's window")
        for packet in packets:
            self._hear(packet)
        self.sent += len(packets)
        self.check()

    def _act(self, output: Output) -> None:
        match output:
            case CreateTunnel():
                need(0 not in self.plane, "a tunnel created twice")
                self.plane.add(0)
            case DeleteTunnel():
                need(0 in self.plane, "a tunnel deleted that is not there")
                self.plane.clear()
                self.waiting.clear()
            case CreateSession(session_id=session):
                need(0 in self.plane and session not in self.plane, "a session created twice or outside a tunnel")
                self.plane.add(session)
                self._answer_plane(session)
            case DeleteSession(session_id=session):
                need(session in self.plane | self.refused, "a session deleted that is not there")
                self.plane.discard(session)
                self.waiting = [one for one in self.waiting if one != session]
            case ModifySession(session_id=session):
                need(session in self.plane, "a session changed that is not there")
            case TunnelEvent():
                self._live(0, output.what)
            case SessionEvent():
                self._live(output.session_id, output.what)
            case _:
                need(len(output.text) < 200_000, "a remark without measure")

    def _answer_plane(self, session: int) -> None:
        luck = self.dice.random()
        if luck < 0.8:
            self.core.plane_up(session, "ppp0", self.now)
        elif luck < 0.85:
            self.fail_plane(session)
        else:
            self.waiting.append(session)

    def fail_plane(self, session: int) -> None:
        """Let the data plane refuse a session."""
        self.plane.discard(session)
        self.refused.add(session)
        self.waiting = [one for one in self.waiting if one != session]
        self.core.plane_failed(session, "no", self.now)

    def _live(self, key: int, what: What) -> None:
        life = self.lives.setdefault(key, [])
        life.append(what)
        whole = [What.CREATED, What.UP, What.DOWN, What.DELETED]
        need(
            life in ([What.CREATED], whole[:2], whole[:3], whole, [What.CREATED, What.DELETED]),
            f"events out of order: {life}",
        )
        if what is What.DELETED:
            del self.lives[key]

    def _hear(self, packet: bytes) -> None:
        core = self.core
        header, body = core.dialect.parse(packet)
        need(header.tunnel_id == core.peer_id, "a packet to another tunnel than the peer's")
        said = decode(body, secret=core.secret, vocabulary=core.dialect.vocabulary) if body else None
        right = self.seal.verify(packet, said, heard=core.guard is not None and core.guard.peer_nonce != b"")
        if core.guard is not None and core.guard.peer_nonce and self.seal.ours:
            need(right is True, "a message without its digest")
        if said is not None:
            need(said.fault is None, f"a message that we would refuse ourselves: {said!r} {said.fault}")

    # --- soundness ----------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise `Breach` unless the books of the core agree with each other and stay within bounds."""
        core, channel = self.core, self.core.channel
        need(
            ORDER[core.state] >= ORDER[self.before],
            f"a tunnel that went backwards: {self.before.value} to {core.state.value}",
        )
        self.before = core.state
        self._check_calls()
        need(channel._receiver.waiting < channel._receiver.window, "too many early messages")
        need(len(channel._sender._items) == channel.queued, "messages kept that were acknowledged")
        need(
            channel.queued <= BACKLOG + 8 * len(core.calls), "messages without end for a peer that does not acknowledge"
        )
        need(len(core._deadlines) <= len(core.calls) + 1, "deadlines of nobody")
        need(len(core._deadlines._heap) <= 2 * len(core._deadlines) + 66, "a heap of dead deadlines")
        need(len(core._late_acks) == 0, "acknowledgements that were not sent")
        nonce = core.guard.nonce if core.guard is not None else b""
        need(core.site.challenges <= {core.challenge, nonce}, "challenges of nobody")
        if core.cleared:
            need(
                not core.calls and not core.site.challenges and 0 not in self.plane,
                "an ended tunnel that left something behind",
            )
            need(0 not in self.lives, "an ended tunnel whose end was not told")
        if core.state is not State.CLOSED and core.state is not State.IDLE:
            due = core.next_timer()
            need(due is not None or core.state is State.ESTABLISHED, "a tunnel that waits for nothing")
            need(
                due is None or due > self.now - 1e-9 or core.channel.next_timer() == due,
                f"a deadline that passed: {due} at {self.now}",
            )

    def _check_calls(self) -> None:
        core = self.core
        need(len(core.calls) == self.policy.live, "a call that is counted wrongly")
        need(len(core._by_peer_id) <= len(core.calls), "peer ids of nobody")
        for peer_id, call in core._by_peer_id.items():
            need(
                core.calls.get(call.local_id) is call and call.peer_id == peer_id != 0,
                "a peer id that leads to another call",
            )
        for key, call in core.calls.items():
            need(key == call.local_id != 0 and call.state is not CallState.IDLE, "a call under another id, or over")
            need((call.state is not CallState.ESTABLISHED) == (key in core._deadlines), "a call without its deadline")
            order = CALL_ORDER[call.kind]
            known = self.calls_before.get(key)
            past = known[1] if known is not None and known[0] is call else CallState.IDLE
            need(
                call.state in order and order.index(call.state) >= order.index(past),
                f"a call that went backwards: {past} to {call.state}",
            )
        need(self.plane - {0} <= core.calls.keys(), "a session that the data plane keeps for ever")
        self.calls_before = {key: (call, call.state) for key, call in core.calls.items()}

    def portrait(self) -> tuple[Any, ...]:
        """Return all that a stranger's datagram must not change."""
        core = self.core
        calls = {key: (call.state, call.peer_id, call.wan_errors) for key, call in core.calls.items()}
        return (
            core.state,
            core.peer,
            core.peer_id,
            core.channel.stats,
            calls,
            core.next_timer(),
            core.ending,
            core._late,
            core.channel.queued,
        )

    # --- what an honest peer would have said --------------------------------------------------------------------------------

    def say(self, body: bytes, session: int = 0, address: Address = PEER) -> None:
        """Say a message with the numbers that the core expects, everything acknowledged."""
        channel = self.core.channel
        tunnel = 0 if self.core.state is State.IDLE else self.core.local_id
        self.feed(self.packet(body, session, channel.nr, channel.ns, tunnel), address)

    @property
    def nonce(self) -> bytes:
        """The nonce that the peer introduces itself with, empty where it does not sign."""
        return self.seal.nonce if self.seal.signer is not None else b""

    def packet(self, body: bytes, session: int, ns: int, nr: int, tunnel: int = seeds.OURS) -> bytes:
        """Return a body as a datagram, signed where the peer signs."""
        return self.seal.sign(self.words.dialect.build(tunnel, session, ns & 0xFFFF, nr & 0xFFFF, body))

    def stamped(self, data: bytes, tunnel: int, session: int, ns: int, nr: int) -> bytes:
        """Return a datagram with other ids and numbers, and most times signed; one that cannot be is left as it is."""
        ready = self.words.stamped(data, tunnel, session, ns, nr)
        if self.dice.random() < 0.05:
            return ready
        try:
            return self.seal.sign(ready)
        except LocalProtocolError:
            return ready


def wishes(dice: Random) -> SessionSettings:
    """Draw what is wanted of a session."""
    return SessionSettings(
        role=dice.choice((Role.LAC, Role.LNS)),
        called_number="123",
        sequencing_required=dice.random() < 0.1,
        cookie_size=dice.choice((0, 4, 8)),
        sublayer=dice.choice(tuple(Sublayer)),
        remote_end_id=dice.choice(("", "circuit", "circuit")),
    )


def settings_of(dice: Random) -> TunnelSettings:
    """Draw tunnel settings."""
    secret = dice.choice(("", "", seeds.SECRET.decode()))
    named = [quirk.name for quirk in QUIRKS if not quirk.always]
    return TunnelSettings(
        secret=secret,
        hide_avps=bool(secret) and dice.random() < 0.5,
        authentication=dice.choice(tuple(Authentication)),
        digest=dice.choice(tuple(Digest)),
        quirks=tuple(dice.sample(named, dice.choice((0, 0, 1, 2)))),
        max_sessions=dice.choice((0, 0, 3)),
        receive_window=dice.choice((4, 16, 128)),
        idle_timeout=dice.choice((0, 0, 30)),
        tie_breaker=dice.random() < 0.5,
    )


def scene(dice: Random, origin: Any, words: Words = WORDS2) -> Scene:
    """Return an idle core whose peer has these words, or one that is calling; one that calls may offer both versions."""
    policy = Policy(dice)
    site = Site(
        random=dice.randbytes, calls=policy, hostname="us", vendor_name="l2tpd", trace=dice.choice((0, 0, 0, 0xFFFF))
    )
    offers = origin == "local" and dice.random() < 0.3
    dialect: Dialect = EITHER if offers else words.dialect
    core = ControlConnection(
        seeds.OURS,
        site,
        settings_of(dice),
        PEER,
        0.0,
        origin=origin,
        name="t" if origin == "local" else "",
        dialect=dialect,
        encap=dice.choice(tuple(Encapsulation)) if dialect is V3 else Encapsulation.UDP,
    )
    made = Scene(core, policy, dice, words, Seal.of(core.guard if words is WORDS3 else None, core.secret))
    if origin == "local":
        core.open(0.0)
        made.settle()
    return made


def called(dice: Random, words: Words = WORDS2) -> Scene:
    """Return a core that has answered the peer's SCCRQ."""
    made = scene(dice, "network", words)
    made.say(words.introduction(1, made.nonce))
    return made


def up(dice: Random, words: Words = WORDS2) -> Scene:
    """Return an established core, whoever asked for it, with calls of every kind on their ways."""
    made = called(dice, words) if dice.random() < 0.6 else scene(dice, "local", words)
    opening = made.core.state is State.WAIT_CTL_CONN
    kind = MessageType.SCCCN if opening else MessageType.SCCRP
    response = b""
    if made.core.challenge and words is WORDS2:
        response = seeds.avp(13, digest.challenge_response(kind, made.core.secret, made.core.challenge))
    made.say(seeds.body(3, response) if opening else words.introduction(2, made.nonce) + response)
    need(made.core.state is State.ESTABLISHED, "an honest peer that was refused")
    for _ in range(dice.randrange(6)):
        open_call(made)
    return made


def open_call(made: Scene) -> None:
    """Begin a call of some kind, and carry it on for some steps."""
    dice, core, words = made.dice, made.core, made.words
    known = set(core.calls)
    peer_id = dice.randrange(1, 2000)
    ours = dice.random() < 0.5
    if ours:
        open_session(made)
    else:
        made.say(words.about(words.bodies[dice.choice(("icrq", "ocrq"))], peer_id, 0))
    for call in [core.calls[key] for key in core.calls.keys() - known]:
        if ours and dice.random() < 0.8:
            answer = words.bodies["icrp" if call.kind is Kind.LAC_INCOMING else "ocrp"]
            made.say(words.about(answer, peer_id, call.local_id), call.local_id)
        if dice.random() < 0.8:
            follow = {Kind.LNS_INCOMING: "iccn", Kind.LNS_OUTGOING: "occn"}.get(call.kind)
            if follow and call.local_id in core.calls and core.state is State.ESTABLISHED:
                made.say(words.about(words.bodies[follow], peer_id, call.local_id), call.local_id)


def open_session(made: Scene) -> None:
    """Let the operator ask for a session; that it is refused is an answer like any other."""
    try:
        made.core.open_session(wishes(made.dice), made.now, name="s")
    except (LocalProtocolError, Exhausted):
        return
    made.settle()
