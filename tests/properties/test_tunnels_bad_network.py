"""Two whole control connections of either version, with calls, over a path that loses, doubles, delays and reorders, in virtual time.

Whatever the weather and whatever the operators do, no exception escapes, every tunnel and call ends up established or gone within bounded
time, and what was created was deleted.
"""

from __future__ import annotations

import random
from typing import Literal

import attrs
from hypothesis import given
from hypothesis import strategies as st

from badnet import DEAD, FINE, BadNet, End, Weather
from dialogue import Policy, octets
from l2tpd.config.model import Address, Digest, Role, SessionSettings, TunnelSettings
from l2tpd.errors import LocalProtocolError
from l2tpd.events import SessionEvent, TunnelEvent
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.dialect import EITHER, V2, V3, Dialect
from l2tpd.tunnel.site import Site
from l2tpd.tunnel.states import State
from l2tpd.wire.messages import FALLBACK, decode

LEFT, RIGHT = Address("192.0.2.1", 1701), Address("192.0.2.2", 1701)
PATIENCE = 31.0 + 120.0 + 31.0 + 31.0
"""The longest that anything may take: a HELLO or request unanswered, an establish timeout, a StopCCN unanswered, the linger."""


@attrs.define(eq=False)
class Node:
    """One core with a data plane that answers after `delay` seconds, or refuses with probability `failures`."""

    core: ControlConnection
    peer: Address
    policy: Policy
    delay: float
    failures: float
    dice: random.Random
    pending: list[tuple[float, CreateSession]] = attrs.field(factory=list)
    lives: dict[int, list[str]] = attrs.field(factory=dict)
    made: set[int] = attrs.field(factory=set)

    def receive(self, data: bytes, now: float) -> None:
        if self.core.state is State.IDLE:
            self.begin(data, now)
        else:
            self.core.receive_datagram(data, self.peer, now)

    def begin(self, data: bytes, now: float) -> None:
        """Do as a listener, which opens a tunnel for an SCCRQ alone, and only if it believes it."""
        core = self.core
        dialect = V3 if data[1] & 0xF == 3 else V2
        header, body = dialect.parse(data)
        if header.tunnel_id or header.ns or (core.guard is not None and not core.guard.believes(data, body)):
            return
        first = decode(body, vocabulary=FALLBACK) if dialect is V2 and core.dialect is V3 else None
        core.take_packet(header, body, self.peer, now, first)

    def handle_timer(self, now: float) -> None:
        due = [operation for when, operation in self.pending if when <= now]
        self.pending = [(when, operation) for when, operation in self.pending if when > now]
        for operation in due:
            self.answer(operation, now)
        self.core.handle_timer(now)

    def next_timer(self) -> float | None:
        times = [when for when, _ in self.pending]
        if (own := self.core.next_timer()) is not None:
            times.append(own)
        return min(times) if times else None

    def transmit(self, now: float) -> list[bytes]:
        while outputs := self.core.take_outputs():
            for output in outputs:
                match output:
                    case TunnelEvent():
                        self.lives.setdefault(0, []).append(output.what.value)
                    case SessionEvent():
                        self.lives.setdefault(output.session_id, []).append(output.what.value)
                    case CreateTunnel():
                        self.made.add(0)
                    case DeleteTunnel():
                        self.made.clear()
                    case DeleteSession():
                        self.made.discard(output.session_id)
                    case CreateSession():
                        self.made.add(output.session_id)
                        if self.delay:
                            self.pending.append((now + self.delay, output))
                        else:
                            self.answer(output, now)
                    case _:
                        pass
        return self.core.datagrams_to_send(now)

    def answer(self, operation: CreateSession, now: float) -> None:
        if self.dice.random() < self.failures:
            self.made.discard(operation.session_id)
            self.core.plane_failed(operation.session_id, "bad luck", now)
        else:
            self.core.plane_up(operation.session_id, "ppp0", now)

    def end(self) -> End[bytes]:
        return End(
            receive=self.receive, transmit=self.transmit, handle_timer=self.handle_timer, next_timer=self.next_timer
        )

    def check(self) -> None:
        """Fail unless the books agree."""
        core = self.core
        assert len(core.calls) == self.policy.live
        assert all(call.state is not CallState.IDLE for call in core.calls.values())
        assert all(core.calls.get(call.local_id) is call for call in core._by_peer_id.values())
        for said in self.lives.values():
            assert ["created", "up", "down", "deleted"][: len(said)] == said or ["created", "deleted"] == said


def make(
    local_id: int,
    peer: Address,
    chosen: TunnelSettings,
    *,
    seed: int,
    delay: float,
    failures: float,
    dialect: Dialect = V2,
) -> Node:
    policy = Policy(settings=SessionSettings(establish_timeout=60.0))
    site = Site(random=octets(f"{local_id} {seed}"), calls=policy, hostname=f"h{local_id}", vendor_name="v")
    origin: Literal["local", "network"] = "local" if local_id == 1 else "network"
    core = ControlConnection(local_id, site, chosen, peer, 0.0, origin=origin, name="", dialect=dialect)
    return Node(core, peer, policy, delay, failures, random.Random(seed))


WEATHER = st.builds(
    Weather,
    loss=st.floats(0.0, 0.5),
    duplication=st.floats(0.0, 0.5),
    delay_min=st.floats(0.0, 0.2),
    delay_max=st.floats(0.2, 2.0),
)
SETTINGS = st.sampled_from(
    [
        TunnelSettings(hello_timeout=20.0),
        TunnelSettings(hello_timeout=20.0, secret="s"),
        TunnelSettings(hello_timeout=20.0, secret="s", hide_avps=True, receive_window=4),
        TunnelSettings(hello_timeout=20.0, secret="s", digest=Digest.HMAC_SHA1),
        TunnelSettings(hello_timeout=20.0, idle_timeout=15.0, max_sessions=3, receive_window=1),
    ]
)
DIALECTS = st.sampled_from([(V2, V2), (V3, V3), (V3, V3), (EITHER, V2), (EITHER, V3)])
"""What the left side asks in, and what the right side answers in."""
DEED = st.tuples(
    st.floats(0.1, 8.0),
    st.integers(0, 1),
    st.sampled_from(["report", "ask", "claim", "claim", "end", "end first", "probe", "stop", "cut", "mend"]),
)


def do(deed: str, node: Node, net: BadNet[bytes], weather: Weather) -> None:
    core, now = node.core, net.now
    match deed:
        case "report" | "ask" | "claim":  # a claim of both sides at once is a tie in version 3
            role = Role.LNS if deed == "ask" else Role.LAC
            end_id = "circuit" if deed == "claim" else ""
            wanted = SessionSettings(role=role, called_number="1", establish_timeout=60.0, remote_end_id=end_id)
            try:
                core.open_session(wanted, now)
            except LocalProtocolError:
                assert core.state in {State.CLOSING, State.LINGERING, State.CLOSED} or core.settings.max_sessions
        case "end" | "end first":
            for session_id in list(core.calls)[: 1 if deed == "end first" else -1]:
                core.close_session(session_id, now)
        case "probe":
            core.probe(now)
        case "stop":
            if core.state is not State.IDLE:
                core.close(now)
        case "cut":
            net.weather = DEAD
        case _:
            net.weather = weather


@given(
    weather=WEATHER,
    chosen=SETTINGS,
    dialects=DIALECTS,
    deeds=st.lists(DEED, max_size=20),
    seed=st.integers(0, 2**16),
    delay=st.sampled_from([0.0, 0.05, 3.0]),
    failures=st.sampled_from([0.0, 0.3]),
)
def test_everything_ends_established_or_gone(
    weather: Weather,
    chosen: TunnelSettings,
    dialects: tuple[Dialect, Dialect],
    deeds: list[tuple[float, int, str]],
    seed: int,
    delay: float,
    failures: float,
) -> None:
    """After the deeds the path mends; within bounded time both ends agree, and after a stop nothing is left on either."""
    left = make(1, RIGHT, chosen, seed=seed, delay=delay, failures=failures, dialect=dialects[0])
    right = make(2, LEFT, chosen, seed=seed + 1, delay=delay, failures=failures, dialect=dialects[1])
    nodes = (left, right)
    net = BadNet(left.end(), right.end(), weather, seed=seed)
    left.core.open(0.0)
    for wait, who, deed in deeds:
        net.run_until(net.now + wait)
        do(deed, nodes[who], net, weather)
        net.flush()
        for node in nodes:
            node.check()
    net.weather = FINE
    net.run_until(net.now + PATIENCE)
    for node in nodes:
        node.check()
        assert node.core.state in {State.IDLE, State.ESTABLISHED, State.CLOSED}
        assert all(call.state is CallState.ESTABLISHED for call in node.core.calls.values())
    if left.core.state is State.ESTABLISHED:
        assert State.ESTABLISHED is right.core.state
        pairs = {(call.local_id, call.peer_id) for call in left.core.calls.values()}
        assert pairs == {(call.peer_id, call.local_id) for call in right.core.calls.values()}
    for node in nodes:
        if node.core.state is State.ESTABLISHED:
            node.core.close(net.now)
    net.flush()
    net.run_until(net.now + PATIENCE)
    for node in nodes:
        assert node.core.state in {State.IDLE, State.CLOSED}
        node.check()
        assert node.core.next_timer() is None
        assert set() == node.made
        assert all(said[-1] == "deleted" for key, said in node.lives.items() if node.core.state is State.CLOSED)
        assert set() == node.core.site.challenges


@given(seed=st.integers(0, 2**16), loss=st.floats(0.0, 0.25), chosen=SETTINGS, dialects=DIALECTS)
def test_a_tunnel_with_calls_comes_up_through_bad_weather(
    seed: int, loss: float, chosen: TunnelSettings, dialects: tuple[Dialect, Dialect]
) -> None:
    """Up to a quarter of all packets lost: the tunnel and three calls are up on both sides within 25 s, unless one message was lost six times."""
    left = make(1, RIGHT, chosen, seed=seed, delay=0.0, failures=0.0, dialect=dialects[0])
    right = make(2, LEFT, chosen, seed=seed + 1, delay=0.0, failures=0.0, dialect=dialects[1])
    net = BadNet(left.end(), right.end(), Weather(loss=loss, duplication=0.2, delay_min=0.0, delay_max=0.3), seed=seed)
    left.core.open(0.0)
    for _ in range(3):
        left.core.open_session(SessionSettings(), 0.0)

    def ready() -> bool:
        return all(
            3 == len(node.core.calls) and all(call.state is CallState.ESTABLISHED for call in node.core.calls.values())
            for node in (left, right)
        )

    net.run_until(150.0, ready)
    assert ready() or State.CLOSED in {left.core.state, right.core.state}
