"""Two PPP links over a path that loses, doubles, delays and reorders, and is cut, with an outside that takes its time, in virtual time.

Whatever the weather and whatever the operators do, no exception escapes; within bounded time both ends have the same networks, one at least, and
agree on both addresses, or both are over: a network that one of them has given up may be missing, and the other goes on (RFC 1661 3.6), but none that
either cannot do without; and a caller who does not know the password is never in.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from hypothesis import given
from hypothesis import strategies as st

from badnet import DEAD, FINE, BadNet, End, Weather
from l2tpd.ppp.events import AddressNeeded, CheckCredentials, Ipv4Up, Ipv6Up
from l2tpd.ppp.link import Link, Phase
from l2tpd.ppp.numbers import Auth, Protocol
from l2tpd.ppp.settings import Ipv4Settings, Ipv6Settings, LinkSettings
from pppstage import SERVE, Player, dice

SERVER = LinkSettings(name="lns", ipv4=SERVE, ipv6=Ipv6Settings(), acfc=True, echo_interval=10.0, rechallenge=25.0)
CLIENT = LinkSettings(
    name="host",
    user="joe",
    password="pw",
    mru=1400,
    pfc=True,
    ipv4=Ipv4Settings(ask_dns=True),
    ipv6=Ipv6Settings(),
    echo_interval=15.0,
)
RIGHT = "pw"
NONE: tuple[int, ...] = ()
REQUIRED = st.sampled_from([NONE, (Protocol.IPCP,), (Protocol.IPV6CP,)])
METHODS = [(), (Auth.PAP,), (Auth.CHAP,), (Auth.MSCHAPV2,), (Auth.MSCHAPV2, Auth.CHAP, Auth.PAP)]
_DATA = {Protocol.IPCP: Protocol.IPV4, Protocol.IPV6CP: Protocol.IPV6}
PATIENCE = 60.0 + 60.0 + 60.0 + 4 * 15.0 + 10.0
"""The deadlines of the phases, the unanswered Echo-Requests of the patient end, and the Terminate-Requests."""

WEATHER = st.builds(
    Weather,
    loss=st.floats(0.0, 0.5),
    duplication=st.floats(0.0, 0.5),
    delay_min=st.floats(0.0, 0.2),
    delay_max=st.floats(0.2, 1.5),
)
DEED = st.tuples(
    st.floats(0.1, 20.0), st.integers(0, 1), st.sampled_from(["cut", "mend", "mend", "storm", "close", "drop"])
)


@attrs.define(eq=False)
class Node(Player):
    """A link with somebody who answers its questions `delay` seconds later."""

    delay: float = 0.0
    pending: list[tuple[float, Callable[[float], None]]] = attrs.field(factory=list)

    def settle(self, now: float) -> None:
        for event in self.link.take_events():
            self.told.append(event)
            if isinstance(event, AddressNeeded):
                self.later(now, lambda when: self.link.assign_address(self.address, when))
            elif isinstance(event, CheckCredentials):
                self.later(now, lambda when, event=event: self._check(event, when))  # type: ignore[misc]

    def later(self, now: float, answer: Callable[[float], None]) -> None:
        if self.delay:
            self.pending.append((now + self.delay, answer))
        else:
            answer(now)
            self.settle(now)

    def tick(self, now: float) -> None:
        due = [answer for when, answer in self.pending if when <= now]
        self.pending = [(when, answer) for when, answer in self.pending if when > now]
        for answer in due:
            answer(now)
        self._handle_timer(now)

    def next_timer(self) -> float | None:
        own = self.link.next_timer()
        return min((*(when for when, _ in self.pending), *([] if own is None else [own])), default=None)

    def end(self) -> End[bytes]:
        return End(
            receive=self._receive,
            transmit=lambda now: self.link.frames_to_send(),
            handle_timer=self.tick,
            next_timer=self.next_timer,
        )

    @property
    def up(self) -> bool:
        return Protocol.IPV4 in self.networks

    @property
    def networks(self) -> set[Protocol]:
        return {network for network in (Protocol.IPV4, Protocol.IPV6) if self.link.header(network) is not None}


def make(
    methods: tuple[Auth, ...],
    weather: Weather,
    seed: int,
    delay: float,
    password: str = RIGHT,
    required: tuple[tuple[int, ...], tuple[int, ...]] = (NONE, NONE),
) -> tuple[Node, Node, BadNet[bytes]]:
    server = Node(Link(attrs.evolve(SERVER, require=methods, required=required[0]), dice(2 * seed + 1)), delay=delay)
    client = Node(Link(attrs.evolve(CLIENT, password=password, required=required[1]), dice(2 * seed + 2)))
    net = BadNet(server.end(), client.end(), weather, seed=seed)
    for node in (server, client):
        node.link.open(0.0)
        node.link.lower_up(0.0)
        node.settle(0.0)
    return server, client, net


def do(deed: str, node: Node, net: BadNet[bytes], weather: Weather) -> None:
    match deed:
        case "close":
            node.link.close(net.now, "enough")
        case "drop":
            node.link.lower_down(net.now)
        case "cut":
            net.weather = DEAD
        case "storm":
            net.weather = Weather(loss=0.7, duplication=0.7, delay_min=0.0, delay_max=5.0)
        case _:
            net.weather = weather
    node.settle(net.now)


def last(node: Node, kind: type[Ipv4Up | Ipv6Up]) -> tuple[object, object]:
    """Return our and the peer's address as a node was told last."""
    *_, event = (event for event in node.told if isinstance(event, kind))
    assert isinstance(event, Ipv4Up | Ipv6Up)
    return event.local, event.peer


def check(node: Node) -> None:
    """Fail unless the books agree."""
    link = node.link
    assert (link.cause is None) or (link.phase is Phase.DEAD and link.next_timer() is None)
    assert link.cause is not None or link.next_timer() is not None
    assert link.header(Protocol.IPV4) is None or link.phase is Phase.NETWORK


@given(
    weather=WEATHER,
    methods=st.sampled_from(METHODS),
    deeds=st.lists(DEED, max_size=8),
    seed=st.integers(0, 2**16),
    delay=st.sampled_from([0.0, 0.0, 0.3, 7.0]),
    required=st.tuples(REQUIRED, REQUIRED),
)
def test_both_ends_are_up_or_both_are_over(
    weather: Weather,
    methods: tuple[Auth, ...],
    deeds: list[tuple[float, int, str]],
    seed: int,
    delay: float,
    required: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    """After the deeds the path mends; within bounded time the two agree, and after a close nothing is left on either."""
    server, client, net = make(methods, weather, seed, delay, required=required)
    nodes = (server, client)
    for wait, who, deed in deeds:
        net.run_until(net.now + wait)
        do(deed, nodes[who], net, weather)
        net.flush()
        for node in nodes:
            check(node)
    net.weather = FINE
    net.run_until(net.now + PATIENCE)
    for node in nodes:
        check(node)
    assert server.networks == client.networks
    assert bool(server.networks) is (server.over is None) is (client.over is None)
    if server.networks:
        assert {_DATA[Protocol(number)] for wanted in required for number in wanted} <= server.networks
    if server.up:
        assert ("10.0.0.1", "10.0.0.2") == last(server, Ipv4Up) == last(client, Ipv4Up)[::-1]
    if Protocol.IPV6 in server.networks:
        assert last(server, Ipv6Up) == last(client, Ipv6Up)[::-1]
    if server.networks:
        client.link.close(net.now)
        client.settle(net.now)
        net.flush()
        net.run_until(net.now + PATIENCE)
    assert all(node.over is not None and node.next_timer() is None for node in nodes)


@given(
    weather=WEATHER,
    methods=st.sampled_from(METHODS[1:]),
    deeds=st.lists(DEED, max_size=4),
    seed=st.integers(0, 2**16),
    delay=st.sampled_from([0.0, 3.0]),
)
def test_a_stranger_is_never_in(
    weather: Weather, methods: tuple[Auth, ...], deeds: list[tuple[float, int, str]], seed: int, delay: float
) -> None:
    """At no moment, and in the end both links are over."""
    server, client, net = make(methods, weather, seed, delay, "a guess")
    for wait, who, deed in deeds:
        net.run_until(net.now + wait)
        do(deed, (server, client)[who], net, weather)
        net.flush()
    net.weather = FINE
    net.run_until(net.now + 2 * PATIENCE)
    assert not list(server.of(Ipv4Up))
    assert not list(server.of(Ipv6Up))
    assert server.over is not None
    assert client.over is not None


@given(weather=WEATHER, methods=st.sampled_from(METHODS), seed=st.integers(0, 2**16))
def test_a_link_that_is_up_stays_up_through_bad_weather(weather: Weather, methods: tuple[Auth, ...], seed: int) -> None:
    """Ten minutes in which one packet in fifty is lost, and all are late: both ends see the same come of it."""
    server, client, net = make(methods, FINE, seed, 0.0)
    net.run_until(5.0)
    assert server.up
    assert client.up
    net.weather = attrs.evolve(weather, loss=min(weather.loss, 0.02))
    net.run_until(605.0)
    net.weather = FINE
    net.run_until(net.now + PATIENCE)
    for node in (server, client):
        check(node)
    assert server.networks == client.networks
    assert bool(server.networks) is (server.over is None) is (client.over is None)
