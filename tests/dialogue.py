"""The playbook: a dialogue between one control connection and a peer that the test plays, in virtual time.

    say = answer()                        # a core that waits for the peer's SCCRQ
    say.peer >> sccrq()                   # the peer says this, with the Ns and Nr that an honest peer would use
    say.us << MessageType.SCCRP           # and we must have answered exactly this
    say.at(1.0)                           # time passes; timers fire on the way
    say.us << MessageType.SCCRP           # repeated
    say.peer >> ZLB
    say.silent()                          # we have nothing more to say

Whatever we put on the wire must be expected, in order: after every test `conftest.py` calls `curtain`, which fails when something was not. The
played peer counts what it hears, so its Nr acknowledges everything unless it is `deaf`. The data plane answers at once, unless `late`.

In version 3 (`dialogue3.py` has its messages) a peer that shares a secret with us signs what it says; what we sign is verified as it is heard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import attrs

import books
from l2tpd.config.model import Address, Encapsulation, Role, SessionSettings, TunnelSettings
from l2tpd.errors import RemoteProtocolError
from l2tpd.events import SessionEvent, TunnelEvent, What
from l2tpd.kernel.ops import CreateSession, Operation
from l2tpd.session.call import Call, Kind
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.dialect import V2, V3, Dialect
from l2tpd.tunnel.outputs import Output, Remark
from l2tpd.tunnel.site import Site
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import (
    ASSIGNED_SESSION_ID,
    ASSIGNED_TUNNEL_ID,
    BEARER_CAPABILITIES,
    BEARER_TYPE,
    CALL_SERIAL_NUMBER,
    CALLED_NUMBER,
    FRAMING_CAPABILITIES,
    FRAMING_TYPE,
    HOST_NAME,
    MAXIMUM_BPS,
    MINIMUM_BPS,
    PROTOCOL_VERSION,
    RECEIVE_WINDOW_SIZE,
    RESULT_CODE,
    TX_CONNECT_SPEED,
    Avp,
    RawAvp,
)
from l2tpd.wire.describe import summary
from l2tpd.wire.messages import FALLBACK, Message, decode, encode, message
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import ProtocolVersion, ResultCode
from seal import Seal

OURS: Final = 7
"""Our tunnel id in every dialogue."""
THEIRS: Final = 9
"""The played peer's tunnel id."""
PEER: Final = Address("192.0.2.9", 1701)
SECRET: Final = "sesame"
OUTGOING = SessionSettings(role=Role.LNS, called_number="555", sub_address="7", minimum_bps=300, maximum_bps=64_000)


class Zlb:
    """A message without a body: only an acknowledgement."""


ZLB: Final = Zlb()


# --- what a peer may say ------------------------------------------------------------------------------------------------------


def sccrq(*extra: RawAvp, **more: Any) -> Message:
    return message(MessageType.SCCRQ, _introduction(more), extra)


def sccrp(*extra: RawAvp, **more: Any) -> Message:
    return message(MessageType.SCCRP, _introduction(more), extra)


def scccn(*extra: RawAvp, **more: Any) -> Message:
    return message(MessageType.SCCCN, _named(more), extra)


def stopccn(result: int = 1, error: int | None = None, text: str = "", tunnel_id: int = THEIRS) -> Message:
    return message(MessageType.STOPCCN, {ASSIGNED_TUNNEL_ID: tunnel_id, RESULT_CODE: ResultCode(result, error, text)})


def hello() -> Message:
    return message(MessageType.HELLO)


def icrq(session_id: int = 500, *extra: RawAvp, **more: Any) -> Message:
    return message(MessageType.ICRQ, {ASSIGNED_SESSION_ID: session_id, CALL_SERIAL_NUMBER: 1, **_named(more)}, extra)


def icrp(session_id: int = 500, *extra: RawAvp) -> Message:
    return message(MessageType.ICRP, {ASSIGNED_SESSION_ID: session_id}, extra)


def iccn(*extra: RawAvp, **more: Any) -> Message:
    return message(MessageType.ICCN, {TX_CONNECT_SPEED: 64_000, FRAMING_TYPE: 1, **_named(more)}, extra)


def ocrq(session_id: int = 500, *extra: RawAvp, **more: Any) -> Message:
    values: dict[Avp[Any], Any] = {
        ASSIGNED_SESSION_ID: session_id,
        CALL_SERIAL_NUMBER: 1,
        MINIMUM_BPS: 300,
        MAXIMUM_BPS: 64_000,
        BEARER_TYPE: 1,
        FRAMING_TYPE: 1,
        CALLED_NUMBER: "555",
        **_named(more),
    }
    return message(MessageType.OCRQ, values, extra)


def ocrp(session_id: int = 500, *extra: RawAvp) -> Message:
    return message(MessageType.OCRP, {ASSIGNED_SESSION_ID: session_id}, extra)


def occn(*extra: RawAvp) -> Message:
    return message(MessageType.OCCN, {TX_CONNECT_SPEED: 64_000, FRAMING_TYPE: 1}, extra)


def cdn(session_id: int = 500, result: int = 3, error: int | None = None, text: str = "", *extra: RawAvp) -> Message:
    return message(
        MessageType.CDN, {RESULT_CODE: ResultCode(result, error, text), ASSIGNED_SESSION_ID: session_id}, extra
    )


def unknown(*, mandatory: bool, vendor: int = 0) -> RawAvp:
    """An AVP that nobody knows."""
    return RawAvp(mandatory, hidden=False, vendor=vendor, number=999, value=b"?")


def _introduction(more: Mapping[str, Any]) -> dict[Avp[Any], Any]:
    values: dict[Avp[Any], Any] = {
        PROTOCOL_VERSION: ProtocolVersion(1, 0),
        FRAMING_CAPABILITIES: 3,
        BEARER_CAPABILITIES: 3,
        HOST_NAME: "peer",
        ASSIGNED_TUNNEL_ID: THEIRS,
        RECEIVE_WINDOW_SIZE: 64,
    }
    return {avp: value for avp, value in {**values, **_named(more)}.items() if value is not None}


def _named(more: Mapping[str, Any]) -> dict[Avp[Any], Any]:
    from l2tpd.wire import avp  # noqa: PLC0415 - its constants by name, so that a test can write `challenge=b"…"`

    return {getattr(avp, name.upper()): value for name, value in more.items()}


# --- the stage ----------------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Policy:
    """Admits every call with these settings, until `refusal` is set; `live` is what it was told of calls."""

    settings: SessionSettings = attrs.field(factory=SessionSettings)
    refusal: RemoteProtocolError | None = None
    live: int = 0

    def admit(self, tunnel: ControlConnection, kind: Kind, end_id: str) -> tuple[str, SessionSettings]:
        if self.refusal is not None:
            raise self.refusal
        return "default", self.settings

    def began(self, tunnel: ControlConnection) -> None:
        self.live += 1

    def ended(self, tunnel: ControlConnection) -> None:
        self.live -= 1


def octets(seed: str) -> Callable[[int], bytes]:
    """Return a random source that can be repeated and yields the same octet twice as rarely as a real one."""
    count = 0

    def random(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_128(f"{seed} {count}".encode()).digest(size)

    return random


class Heard(NamedTuple):
    """A control packet that we have sent, as the peer sees it."""

    tunnel_id: int
    session_id: int
    ns: int
    nr: int
    said: Message | None  # None: a ZLB
    address: Address
    signed: bool | None = None  # its digest is right, or wrong; None: there is none


STAGES: Final[list[Dialogue]] = []
"""The dialogues of the test that is running."""


@attrs.define(eq=False)
class Side:
    """`us << expectation`: what we must have said next."""

    stage: Dialogue
    last: Heard | None = None

    def __lshift__(self, expected: Message | int | Zlb) -> Heard:
        self.last = self.stage.expect(expected)
        return self.last


@attrs.define(eq=False)
class Player:
    """`peer >> message`: what the peer says. Its counters are those of an honest peer; set them to play another one."""

    stage: Dialogue
    address: Address = PEER
    tunnel_id: int = 0  # the id it puts into headers: ours, once it knows it
    ns: int = 0
    nr: int = 0
    deaf: bool = False
    secret: bytes = b""
    hides: bool = False
    speaks: Dialect | None = None  # other than the one we speak
    seal: Seal = attrs.field(factory=Seal)

    @property
    def dialect(self) -> Dialect:
        return self.speaks or self.stage.core.dialect

    def __rshift__(self, said: Message | Zlb | bytes) -> bytes:
        return self.say(said)

    def say(self, said: Message | Zlb | bytes, *, session_id: int = 0) -> bytes:
        """Say a message, in the name of the session that the header names; return the datagram, to be repeated by `again`."""
        body = self.body(said)
        datagram = self.seal.sign(self.dialect.build(self.tunnel_id, session_id, self.ns, self.nr, body))
        counts = not isinstance(said, Zlb) and said != b""
        if counts:
            self.ns = (self.ns + 1) & 0xFFFF
        self.stage.note(
            "peer >>",
            said if isinstance(said, Message) else ("raw" if counts else "ZLB"),
            self.ns - counts,
            self.nr,
        )
        self.stage.arrive(datagram, self.address)
        return datagram

    def again(self, datagram: bytes, address: Address | None = None) -> None:
        """Repeat a datagram as it was."""
        self.stage.note("peer >>", "(again)", *self.dialect.parse(datagram)[0][2:])
        self.stage.arrive(datagram, address or self.address)

    def body(self, said: Message | Zlb | bytes) -> bytes:
        if isinstance(said, bytes):
            return said
        if isinstance(said, Zlb):
            return self.dialect.ack
        said, random = self.seal.introduce(said), octets("vectors")
        return encode(said, secret=self.secret, hide=self.hides, random=random, vocabulary=said.vocabulary)

    def hear(self, heard: Heard) -> None:
        if heard.said is None or self.deaf:
            return
        if heard.ns == self.nr:
            self.nr = (self.nr + 1) & 0xFFFF
        told = heard.said.get(self.dialect.control.peer_id)
        if told and not self.tunnel_id:
            self.tunnel_id = told


@attrs.define(eq=False)
class Dialogue:
    """One control connection on stage; `events`, `asked` and `remarks` collect what it told, oldest first.

    `told` and `plane` take these; `history` and `requests` keep them all.
    """

    core: ControlConnection
    policy: Policy
    now: float = 0.0
    late: bool = False  # the data plane answers when the test says so
    events: list[TunnelEvent | SessionEvent] = attrs.field(factory=list)
    asked: list[Operation] = attrs.field(factory=list)
    remarks: list[Remark] = attrs.field(factory=list)
    wire: list[Heard] = attrs.field(factory=list)
    script: list[str] = attrs.field(factory=list)
    failed: bool = False
    history: list[TunnelEvent | SessionEvent] = attrs.field(factory=list)
    requests: list[Operation] = attrs.field(factory=list)
    us: Side = attrs.field(init=False)
    peer: Player = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        STAGES.append(self)
        self.us = Side(self)
        self.peer = Player(self, secret=self.core.secret, seal=Seal.of(self.core.guard, self.core.secret))

    @property
    def site(self) -> Site:
        return self.core.site

    # --- what happens -------------------------------------------------------------------------------------------------------

    def at(self, when: float) -> None:
        """Let time pass, and every timer on the way fire at its own moment; what happened before that moment must have been expected."""
        assert when >= self.now, f"time runs backwards: {when} after {self.now}"
        for _ in range(10_000):
            due = self.core.next_timer()
            if due is None or due >= when:
                break
            self._tick(max(due, self.now))
        else:
            self._fail("time to pass", "a deadline that is never moved")
        self._tick(when)

    def _tick(self, when: float) -> None:
        self.now = when
        self.core.handle_timer(when)
        self.settle()

    def arrive(self, datagram: bytes, address: Address) -> None:
        """Deliver a datagram, as the shell does: the first packet to an idle tunnel was routed to it by its listener."""
        if self.core.state is State.IDLE:
            self._begin(datagram, address)
        else:
            self.core.receive_datagram(datagram, address, self.now)
        self.settle()

    def _begin(self, datagram: bytes, address: Address) -> None:
        core = self.core
        offer = core.dialect is V3 and datagram[1] & 0xF == 2  # an SCCRQ for either version (RFC 3931 4.7.3)
        header, body = (V2 if offer else core.dialect).parse(datagram)
        if core.guard is not None and not core.guard.believes(datagram, body):
            core.site.counters.auth_failures += 1
            return
        first = decode(body, vocabulary=FALLBACK) if offer else None
        core.take_packet(header, body, address, self.now, first)

    def do(self, command: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        """Give the core a command, then let it speak."""
        self.script.append(f"{self.now:9.3f}  us:      {command.__name__}")
        result = command(*arguments, now=self.now, **more)
        self.settle()
        return result

    def open(self) -> None:
        self.do(self.core.open)

    def close(self, **more: Any) -> None:
        self.do(self.core.close, **more)

    def open_session(self, settings: SessionSettings | None = None, **more: Any) -> Call:
        call: Call = self.do(self.core.open_session, settings or SessionSettings(), **more)
        return call

    def plane_up(self, call: Call, interface: str = "ppp0") -> None:
        self.do(self.core.plane_up, call.local_id, interface)

    def plane_failed(self, session_id: int, text: str = "no") -> None:
        self.do(self.core.plane_failed, session_id, text)

    def settle(self) -> None:
        """Carry out what the core asks for, until it asks for nothing more; then put its packets on the wire."""
        while outputs := self.core.take_outputs():
            for output in outputs:
                self._act(output)
        for datagram in self.core.datagrams_to_send(self.now):
            self._hear(datagram)

    def _act(self, output: Output) -> None:
        if isinstance(output, (TunnelEvent, SessionEvent)):
            self.events.append(output)
            self.history.append(output)
        elif isinstance(output, Remark):
            self.remarks.append(output)
        else:
            self.asked.append(output)
            self.requests.append(output)
            if isinstance(output, CreateSession) and not self.late:
                self.core.plane_up(output.session_id, "ppp0", self.now)

    def _hear(self, datagram: bytes) -> None:
        core, peer = self.core, self.peer
        header, body = core.dialect.parse(datagram)
        said = decode(body, secret=peer.secret, vocabulary=core.dialect.vocabulary) if body else None
        signed = peer.seal.verify(datagram, said, heard=core.guard is not None and core.guard.peer_nonce != b"")
        heard = Heard(*header, said, core.peer, signed)
        self.note("us   <<", heard.said or "ZLB", heard.ns, heard.nr)
        self.wire.append(heard)
        self.peer.hear(heard)

    # --- what must have happened --------------------------------------------------------------------------------------------

    def expect(self, expected: Message | int | Zlb) -> Heard:
        """Take the oldest packet of ours that was not expected yet, and compare."""
        if not self.wire:
            self._fail(_wanted(expected), "silence")
        heard = self.wire.pop(0)
        if not _matches(expected, heard.said):
            self._fail(_wanted(expected), summary(heard.said) if heard.said else "ZLB")
        return heard

    def silent(self) -> None:
        """Fail when we have said anything that was not expected."""
        if self.wire:
            self._fail("silence", ", ".join(heard.said.name if heard.said else "ZLB" for heard in self.wire))

    def state_is(self, state: State | CallState, call: Call | None = None) -> None:
        """Fail unless the tunnel, or the call, is in this state."""
        actual = self.core.state if call is None else call.state
        if actual is not state:
            self._fail(f"state {state.value}", f"state {actual.value}")

    def told(self) -> list[str]:
        """Take the events so far, each as `tunnel up` or `session down 3`."""
        words = [_word(event) for event in self.events]
        self.events.clear()
        return words

    def plane(self) -> list[Operation]:
        """Take what the data plane was asked for so far."""
        asked, self.asked = self.asked, []
        return asked

    def skip(self) -> list[Heard]:
        """Take everything that we have said so far, whatever it was."""
        heard, self.wire = self.wire, []
        return heard

    def note(self, who: str, said: Message | str, ns: int, nr: int) -> None:
        text = summary(said) if isinstance(said, Message) else said
        self.script.append(f"{self.now:9.3f}  {who} ns={ns & 0xFFFF} nr={nr} {text}")

    def _fail(self, expected: str, actual: str) -> None:
        self.failed = True
        raise AssertionError(
            "\n".join(
                ["the dialogue went another way", *self.script, f"- expected  {expected}", f"+ actual    {actual}"]
            )
        )


def _wanted(expected: Message | int | Zlb) -> str:
    if isinstance(expected, Message):
        return summary(expected)
    return "ZLB" if isinstance(expected, Zlb) else MessageType(expected).name


def _matches(expected: Message | int | Zlb, said: Message | None) -> bool:
    if isinstance(expected, Zlb):
        return said is None
    if said is None or said.fault is not None:
        return False
    if isinstance(expected, int):
        return expected == said.type
    return expected.type == said.type and all(said.get(avp) == value for avp, value in expected.values.items())


def _word(event: TunnelEvent | SessionEvent) -> str:
    thing = "tunnel" if isinstance(event, TunnelEvent) else "session"
    over = event.what in {What.DOWN, What.DELETED} and event.result is not None
    return f"{thing} {event.what.value}" + (f" {int(event.result or 0)}" if over else "")


# --- scenes that many dialogues begin with ------------------------------------------------------------------------------------


def a_site(seed: str = "us", policy: Policy | None = None) -> Site:
    return Site(random=octets(seed), calls=policy or Policy(), hostname="us", vendor_name="l2tpd")


def stage(
    *,
    local_id: int = OURS,
    origin: Any = "local",
    site: Site | None = None,
    late: bool = False,
    dialect: Dialect = V2,
    peer_id: int = 0,
    encap: Encapsulation = Encapsulation.UDP,
    **settings: Any,
) -> Dialogue:
    """Return a dialogue with an idle core of these tunnel settings."""
    policy = Policy()
    surroundings = site or a_site(policy=policy)
    surroundings.calls = policy
    core = ControlConnection(
        local_id,
        surroundings,
        TunnelSettings(**settings),
        PEER,
        0.0,
        origin=origin,
        name="t" if origin == "local" else "",
        dialect=dialect,
        encap=encap,
        peer_id=peer_id,
    )
    return Dialogue(core, policy, late=late)


def configured(dialect: Dialect, **more: Any) -> Dialogue:
    """Return a dialogue in a tunnel about which nothing needs to be negotiated; it is idle."""
    say = stage(dialect=dialect, peer_id=THEIRS, **more)
    say.peer.tunnel_id = OURS
    return say


def dialled(**settings: Any) -> Dialogue:
    """Return a dialogue in which our SCCRQ is out."""
    say = stage(**settings)
    say.open()
    say.us << MessageType.SCCRQ
    return say


def called(asked: Message | None = None, **settings: Any) -> Dialogue:
    """Return a dialogue in which the peer's SCCRQ was answered by our SCCRP."""
    say = stage(origin="network", **settings)
    say.peer >> (asked or sccrq())
    say.us << MessageType.SCCRP
    return say


def up(answered: Message | None = None, **settings: Any) -> Dialogue:
    """Return a dialogue in an established tunnel that we asked for; events and plane requests so far are taken."""
    say = dialled(**settings)
    say.peer >> (answered or sccrp())
    say.us << MessageType.SCCCN
    say.peer >> ZLB
    return _fresh(say)


def up_called(asked: Message | None = None, confirmed: Message | None = None, **settings: Any) -> Dialogue:
    """Return a dialogue in an established tunnel that the peer asked for."""
    say = called(asked, **settings)
    say.peer >> (confirmed or scccn())
    say.us << ZLB
    return _fresh(say)


def _fresh(say: Dialogue) -> Dialogue:
    say.silent()
    say.state_is(State.ESTABLISHED)
    say.told()
    say.plane()
    return say


def incoming(say: Dialogue, session_id: int = 500) -> Call:
    """Let the peer, as LAC, bring up a call; return ours."""
    before = set(say.core.calls)
    say.peer >> icrq(session_id)
    reply = say.us << MessageType.ICRP
    assert reply.said is not None
    say.peer.say(iccn(), session_id=reply.said[ASSIGNED_SESSION_ID])
    say.us << ZLB
    (new,) = set(say.core.calls) - before
    return say.core.calls[new]


def reported(say: Dialogue, session_id: int = 500, settings: SessionSettings | None = None) -> Call:
    """Bring up a call that we, as LAC, report; return it."""
    call = say.open_session(settings)
    say.us << MessageType.ICRQ
    say.peer.say(icrp(session_id), session_id=call.local_id)
    say.us << MessageType.ICCN
    say.peer >> ZLB
    say.state_is(CallState.ESTABLISHED, call)
    return call


def curtain() -> None:
    """Fail when a dialogue ended before everything that we said in it was expected, or with a wrong count of its calls."""
    stages, STAGES[:] = STAGES[:], []
    if any(say.failed for say in stages):
        return  # the test itself says what went wrong
    for say in stages:
        say.silent()
    books.census(stages)
