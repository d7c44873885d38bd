"""Two links over a path that loses, doubles and delays, and one link against garbage, in virtual time.

Whatever happens, nothing is raised, no timer stands still, every link is up or over within bounded time, and both say the same of the addresses.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnet import DEAD, Weather
from l2tpd.ppp.events import AuthFailed, Ipv4Up, Ipv6Up, LinkDown
from l2tpd.ppp.frame import build_packet
from l2tpd.ppp.link import Link, Phase
from l2tpd.ppp.numbers import BY_PEER, BY_US, Auth, Disconnect, Protocol
from l2tpd.ppp.settings import Ipv4Settings, Ipv6Settings, LinkSettings, Proxy, ProxyPolicy
from l2tpd.wire.values import DisconnectCause
from pppstage import LCP, SERVE, Pair, Player, begin, dice, network, pair

SERVER = LinkSettings(name="lns", ipv4=SERVE, ipv6=Ipv6Settings(), acfc=True)
CLIENT = LinkSettings(
    name="lac", user="joe", password="pw", mru=1400, pfc=True, ipv4=Ipv4Settings(ask_dns=True), ipv6=Ipv6Settings()
)
PATIENCE = 60.0 + 60.0 + 60.0 + 10.0
"""The phases' deadlines, and the Terminate-Requests."""

WEATHERS = st.builds(
    Weather,
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    duplication=st.sampled_from([0.0, 0.1, 0.5]),
    delay_max=st.sampled_from([0.01, 0.2]),
)
METHODS = [(), (Auth.PAP,), (Auth.CHAP,), (Auth.MSCHAPV2,), (Auth.MSCHAPV2, Auth.CHAP, Auth.PAP)]


def addresses(player: Player) -> Ipv4Up:
    """What a player was told last of its addresses."""
    *_, last = player.of(Ipv4Up)
    assert isinstance(last, Ipv4Up)
    return last


def end_of(player: Player) -> LinkDown:
    assert player.over is not None
    return player.over


def agree(both: Pair) -> None:
    """Both ends know the same addresses, and know them the other way round."""
    server, client = (addresses(player) for player in both.players)
    assert ("10.0.0.1", "10.0.0.2") == (server.local, server.peer)
    assert (server.local, server.peer) == (client.peer, client.local)
    assert ("192.0.2.53", "192.0.2.54") == client.dns


@pytest.mark.parametrize("methods", METHODS, ids=str)
@pytest.mark.parametrize("mutual", [False, True], ids=["one way", "both ways"])
def test_two_links_come_up(methods: tuple[Auth, ...], mutual: bool) -> None:
    """With every way to authenticate, in one direction or in both, within a second of a quiet path."""
    server = attrs.evolve(SERVER, require=methods, user="lns" if mutual else "", password="pw")
    both = pair(server, attrs.evolve(CLIENT, require=methods if mutual else ()))
    both.run(1.0)
    assert both.up
    agree(both)
    assert not both.finished
    assert all(0 == player.link.counters.discarded for player in both.players)


@given(WEATHERS, st.sampled_from(METHODS), st.integers(0, 2**32))
def test_links_come_up_whatever_the_weather(weather: Weather, methods: tuple[Auth, ...], seed: int) -> None:
    """They are up in the end, or one of them has given up and both are over; then they end in order."""
    both = pair(attrs.evolve(SERVER, require=methods), CLIENT, weather, seed)
    both.run(PATIENCE, lambda: both.up)
    if both.up:
        both.run(both.net.now + 5.0)
    if both.up:
        agree(both)
    for player in both.players:
        player.link.close(both.net.now)
    both.run(both.net.now + PATIENCE, lambda: both.finished)
    assert both.finished
    assert all(player.link.next_timer() is None for player in both.players)


@given(WEATHERS, st.sampled_from(METHODS[1:]), st.integers(0, 2**32))
def test_a_wrong_password_never_lets_in(weather: Weather, methods: tuple[Auth, ...], seed: int) -> None:
    """However the path is, the link ends, and the server says why unless it never heard the credentials."""
    both = pair(attrs.evolve(SERVER, require=methods), attrs.evolve(CLIENT, password="guess"), weather, seed)
    both.run(2 * PATIENCE, lambda: both.finished)
    assert both.finished
    assert not list(both.server.of(Ipv4Up))
    if weather.loss == 0.0:
        assert [failed for failed in both.server.of(AuthFailed) if isinstance(failed, AuthFailed) and not failed.ours]
        assert Disconnect.AUTH_FAILED == end_of(both.server).cause.code


def test_a_link_through_a_lossy_path_stays_up_while_echoes_come() -> None:
    """Loss of single Echo-Requests is not the death of a peer."""
    both = pair(SERVER, CLIENT, Weather(loss=0.01), 7)
    both.run(3600.0)
    assert both.up


def test_a_dead_path_ends_a_link_by_its_echoes() -> None:
    """Three unanswered Echo-Requests, 30 s apart, and a Terminate-Request that nobody answers either."""
    both = pair(SERVER, CLIENT)
    both.run(1.0)
    both.net.weather = DEAD
    both.run(200.0, lambda: both.finished)
    assert both.net.now < 130.0
    assert {Disconnect.ECHO_TIMEOUT} == {end_of(player).cause.code for player in both.players}


def test_a_peer_that_never_speaks_is_given_up() -> None:
    """Ten Configure-Requests, then the link is over."""
    both = pair(SERVER, CLIENT, DEAD)
    both.run(100.0, lambda: both.finished)
    assert {Disconnect.NO_LCP} == {end_of(player).cause.code for player in both.players}


def test_a_link_that_hears_itself_is_looped_back() -> None:
    """RFC 1661 6.4: the magic numbers are equal again and again."""
    scene = begin(CLIENT)
    for _ in range(100):
        for frame in scene.link.frames_to_send():
            scene.frame(frame)
    scene.at(20.0)
    (event,) = scene.events()
    assert isinstance(event, LinkDown)
    assert Disconnect.LOOPED_BACK == event.cause.code


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.builds(
                lambda protocol, code, identifier, data: (
                    b"\xff\x03" + protocol.to_bytes(2, "big") + build_packet(code, identifier, data)
                ),
                st.sampled_from([0xC021, 0x8021, 0x8057, 0xC023, 0xC223, 0x80FD, 0x21, 0x57, 0xC227]),
                st.integers(0, 14),
                st.integers(0, 3),
                st.one_of(
                    st.binary(max_size=24),
                    st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=8)), max_size=4).map(
                        lambda pairs: b"".join(bytes((number, len(data) + 2)) + data for number, data in pairs)
                    ),
                ),
            ),
        ),
        max_size=30,
    ),
    st.sampled_from(["begun", "network", "server", "client"]),
    st.floats(0.0, 5.0),
)
def test_garbage_is_survived(frames: list[bytes], where: str, pause: float) -> None:
    """In every phase, whatever comes, nothing is raised, no answer is larger than the peer takes, and the link can be ended."""
    settings = attrs.evolve(SERVER, require=METHODS[-1]) if where == "server" else CLIENT
    scene = network(attrs.evolve(CLIENT, require=()))[0] if where == "network" else begin(settings)
    player = Player(scene.link)
    for frame in frames:
        scene.frame(frame)
        player.settle(scene.now)
        assert all(len(sent) <= 1504 for sent in scene.link.frames_to_send())
        scene.at(scene.now + pause)
        player.settle(scene.now)
    scene.link.close(scene.now)
    scene.at(scene.now + 20.0)
    player.settle(scene.now)
    assert Phase.DEAD is scene.link.phase
    assert player.over is not None
    assert scene.link.next_timer() is None


@given(st.data())
def test_a_mutated_dialogue_is_survived(data: st.DataObject) -> None:
    """Two links of which every frame may be cut, changed or repeated; nothing is raised."""
    server = Player(Link(attrs.evolve(SERVER, require=METHODS[-1]), dice(1)))
    client = Player(Link(CLIENT, dice(2)))
    both = Pair(server, client, pair(SERVER, CLIENT).net)
    both.start()
    for step in range(12):
        for player, other in ((server, client), (client, server)):
            for frame in player.link.frames_to_send():
                where = data.draw(st.integers(0, len(frame) - 1))
                change = data.draw(st.integers(0, 400))
                changed = frame[:where] + (bytes((change,)) + frame[where + 1 :] if change < 256 else b"")
                other.link.receive_frame(frame if change > 300 else changed, float(step))
            other.link.handle_timer(float(step))
            other.settle(float(step))
    for player in both.players:
        player.link.lower_down(20.0)
        player.settle(20.0)
        assert player.over is not None


@given(st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 6), st.binary(max_size=60))
def test_whatever_a_lac_reports_is_survived(sent: bytes, received: bytes, kind: int, response: bytes) -> None:
    """Nonsense in the proxy AVPs leads to a negotiation of our own at worst."""
    proxy = Proxy(last_sent=sent, last_received=received, auth_type=kind, name="joe", response=response)
    scene = begin(attrs.evolve(SERVER, proxy=proxy, proxy_policy=ProxyPolicy.USE, require=(Auth.CHAP, Auth.PAP)))
    scene.link.close(scene.now)
    scene.at(20.0)
    assert Phase.DEAD is scene.link.phase


def test_ipv6_ends_have_different_identifiers() -> None:
    """RFC 5072 4.1: unique within the link, and each side knows both."""
    both = pair(SERVER, CLIENT)
    both.run(1.0)
    (server,), (client,) = (list(player.of(Ipv6Up)) for player in both.players)
    assert isinstance(server, Ipv6Up)
    assert isinstance(client, Ipv6Up)
    assert server.local != server.peer
    assert (server.local, server.peer) == (client.peer, client.local)


def test_packets_pass_with_the_header_that_the_peer_takes() -> None:
    """The client offered to take short protocols, the server to do without address and control."""
    both = pair(SERVER, CLIENT)
    both.run(1.0)
    assert bytes.fromhex("ff0321") == both.server.link.header(Protocol.IPV4)
    assert bytes.fromhex("0021") == both.client.link.header(Protocol.IPV4)
    assert (Protocol.IPV4, b"IP") == both.client.link.receive_frame(b"\xff\x03\x21IP", 1.0)


def test_a_link_lives_once() -> None:
    """After its end it neither hears nor speaks."""
    both = pair(SERVER, CLIENT)
    both.run(1.0)
    both.client.link.close(1.0, "enough")
    both.run(10.0, lambda: both.finished)
    assert DisconnectCause(Disconnect.ADMIN, 0, BY_US, "enough") == end_of(both.client).cause
    assert DisconnectCause(Disconnect.NORMAL, LCP, BY_PEER, "enough") == end_of(both.server).cause
    both.client.link.receive_frame(b"\xff\x03" + LCP.to_bytes(2, "big") + build_packet(1, 1, b""), 11.0)
    assert [] == both.client.link.frames_to_send()
