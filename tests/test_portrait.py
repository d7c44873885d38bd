"""How cores look to an operator: every state has one word, and every view says what the core knows, and no secret."""

from __future__ import annotations

import pytest

from dialogue import PEER, Policy
from l2tpd import portrait
from l2tpd.config.model import Address, HostPort, Peer, Role, SessionSettings, TunnelInstance, TunnelSettings
from l2tpd.control import views
from l2tpd.dialer import Line
from l2tpd.events import Origin
from l2tpd.ppp.way import Way
from l2tpd.session.call import Call, Ending, Ipv6Facts, Kind
from l2tpd.session.call import State as CallState
from l2tpd.trace import Category
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.facts import PeerFacts
from l2tpd.tunnel.site import Counters, Site
from l2tpd.tunnel.states import State
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import AccmValue, CallErrors

WORDS = {
    State.IDLE: "waiting",
    State.WAIT_CTL_REPLY: "wait-ctl-reply",
    State.WAIT_CTL_CONN: "wait-ctl-conn",
    State.ESTABLISHED: "up",
    State.CLOSING: "closing",
    State.LINGERING: "lingering",
    State.CLOSED: "closed",
}
CALL_WORDS = {
    CallState.IDLE: "idle",
    CallState.WAIT_TUNNEL: "wait-tunnel",
    CallState.WAIT_REPLY: "wait-reply",
    CallState.WAIT_CONNECT: "wait-connect",
    CallState.WAIT_CS_ANSWER: "wait-cs-answer",
    CallState.WAIT_PLANE: "wait-plane",
    CallState.ESTABLISHED: "up",
}
SITE = Site(random=bytes, calls=Policy(), hostname="us", vendor_name="l2tpd")
ENDING = Ending(2, 6, "no memory", "peer")


class Shell:
    """What a view takes from a tunnel."""

    def __init__(self, core: ControlConnection) -> None:
        self.core = core
        self.local = Address("192.0.2.1", 1701)


class Waiting:
    """What keeps a tunnel open."""

    instance = TunnelInstance(name="hq", peer=HostPort("lns.example", 1701))
    attempts = 3
    last_error = "no route"
    last_ending: Ending | None = ENDING


def core(origin: Origin = "local", secret: str = "") -> ControlConnection:
    return ControlConnection(
        7,
        SITE,
        TunnelSettings(secret=secret),
        PEER,
        100.0,
        origin=origin,
        name="hq",
        profile="gold",
    )


def call(kind: Kind, **settings: object) -> Call:
    return Call(5, kind, SessionSettings(**settings), 90.0, 42, name="s", profile="silver")  # type: ignore[arg-type]


@pytest.mark.parametrize("state", State)
def test_each_state_of_a_tunnel(state: State) -> None:
    """Its word is in row and view alike; only the established one is `up`."""
    shell = Shell(core())
    shell.core.state = state
    row, view = portrait.tunnel_row(shell, 110.0), portrait.tunnel(shell, None, None, 110.0)
    assert (WORDS[state],) * 2 == (row.state, view.state)
    assert (views.UP == row.state) == (state is State.ESTABLISHED)
    assert {WORDS[state]: 1} == portrait.census([shell])


@pytest.mark.parametrize("state", CallState)
def test_each_state_of_a_session(state: CallState) -> None:
    """Its word is in row, view and census alike; a session that waits for the data plane is not `up`."""
    it = call(Kind.LAC_INCOMING)
    it.state = state
    expected = CALL_WORDS[state]
    assert [expected] * 3 == [
        portrait.session_state(it),
        portrait.session_row(core(), it, 100.0).state,
        portrait.session(core(), it, 100.0).state,
    ]
    assert {expected: 2} == portrait.session_census({state: 2})
    assert {} == portrait.session_census({state: 0})


def test_a_tunnel_of_ours() -> None:
    """It tells its profile, what keeps it open, how it ended last, and how long it is there."""
    view = portrait.tunnel(Shell(core(secret="hush")), Waiting(), 2.5, 130.0)
    assert (7, "hq", "gold", "", True) == (view.id, view.name, view.profile, view.peer, view.persist)
    assert (3, "no route", 2.5) == (view.attempts, view.last_error, view.retry_in)
    assert views.EndView(result=2, error=6, message="no memory", by="peer") == view.ended
    assert (30.0, 30.0) == (view.created, view.in_state)
    assert ("192.0.2.1:1701", str(PEER)) == (view.local_address, view.peer_address)
    assert True is view.settings["secret_set"]
    assert "hush" not in repr(view)


def test_a_tunnel_of_a_callers() -> None:
    """It names the peer entry instead of a profile, and what the caller said of itself."""
    shell = Shell(core("network"))
    shell.core.facts = PeerFacts("branch", "Acme", 77, 3, 1, 9)
    shell.core.ending = ENDING
    view = portrait.tunnel(shell, None, None, 100.0)
    assert ("", "gold", "branch", False) == (view.profile, view.peer, view.peer_host_name, view.persist)
    remote = view.remote
    assert ("Acme", 77, 9) == (remote.vendor_name, remote.firmware_revision, remote.receive_window)
    assert (("sync", "async"), ("digital",)) == (remote.framing_caps, remote.bearer_caps)
    assert view.ended is not None
    assert (None, 0, "") == (view.retry_in, view.attempts, view.last_error)


def test_the_way_of_callers() -> None:
    """Addresses and names of both ends, as far as they are known."""
    shell = Shell(core("network"))
    assert Way(peer=PEER.host, local="192.0.2.1", local_name="us", name="hq") == portrait.way(shell)
    shell.core.facts = PeerFacts("branch", "Acme", 77, 3, 1, 9)
    shell.local = Address("::", 1701)
    assert Way(peer=PEER.host, peer_name="branch", local_name="us", name="hq") == portrait.way(shell)


def test_nothing_is_known_yet() -> None:
    """A tunnel that nobody has answered has no remote and no end."""
    view = portrait.tunnel(Shell(core()), None, None, 100.0)
    assert views.RemoteView() == view.remote
    assert view.ended is None
    assert (0, 0) == (view.transport.messages_sent, view.transport.in_flight)


@pytest.mark.parametrize(
    ("kind", "role", "direction", "speed", "number"),
    [
        (Kind.LAC_INCOMING, "lac", "incoming", 64_000, "said by us"),
        (Kind.LNS_INCOMING, "lns", "incoming", 9_600, "said by the peer"),
        (Kind.LAC_OUTGOING, "lac", "outgoing", 64_000, "said by the peer"),
        (Kind.LNS_OUTGOING, "lns", "outgoing", 9_600, "said by us"),
    ],
)
def test_the_four_kinds_of_call(kind: Kind, role: str, direction: str, speed: int, number: str) -> None:
    """Numbers are those of whoever asked for the call, speeds those of the LAC (RFC 2661 6.6 to 6.11)."""
    it = call(kind, tx_connect_speed=64_000, called_number="said by us")
    it.called_number, it.tx_connect_speed = "said by the peer", 9_600
    shown = portrait.session(core(), it, 100.0).call
    assert (role, direction, speed, number) == (
        shown.role,
        shown.direction,
        shown.tx_connect_speed,
        shown.called_number,
    )
    assert 42 == shown.call_serial_number


def test_a_session_of_ipv6_alone() -> None:
    """It is up without an address of IPv4, and shows what it has."""
    it = call(Kind.LNS_INCOMING)
    it.ppp_ipv6 = Ipv6Facts(
        local="fe80::1", remote="fe80::2", prefix="2001:db8::/64", delegated_prefix="2001:db8:1::/56"
    )
    shown = portrait.session(core(), it, 100.0).ppp
    assert shown is not None
    assert (views.UP, "fe80::2", "2001:db8::/64", "2001:db8:1::/56") == (
        shown.state,
        shown.remote_ipv6,
        shown.ipv6_prefix,
        shown.delegated_prefix,
    )


def test_a_session_in_full() -> None:
    """What came later in its life is shown too: errors, masks, addresses, its end; and no password."""
    it = call(Kind.LNS_INCOMING, password="hush", user_data="x=1", persist=True)
    it.wan_errors = CallErrors(1, 2, 3, 4, 5, 6)
    it.accm = AccmValue(0xFFFF, 0x0A)
    it.ppp_local, it.ppp_remote = "192.0.2.1", "192.0.2.2"
    it.ending, it.interface, it.peer_id = ENDING, "ppp0", 6
    it.trace = int(Category.FSM)
    view = portrait.session(core(), it, 100.0)
    assert (
        views.CallErrorsView(
            crc_errors=1, framing_errors=2, hardware_overruns=3, buffer_overruns=4, timeout_errors=5, alignment_errors=6
        )
        == view.call_errors
    )
    assert (0xFFFF, 0x0A) == (view.send_accm, view.receive_accm)
    assert views.PppView(state="up", local_address="192.0.2.1", remote_address="192.0.2.2") == view.ppp
    assert (6, "ppp0", "x=1", True, ("fsm",)) == (
        view.peer_id,
        view.interface,
        view.user_data,
        view.persist,
        view.trace,
    )
    assert view.ended is not None
    assert 10.0 == view.created
    assert "hush" not in repr(view)


def test_a_session_without_anything() -> None:
    """What has not happened is None."""
    view = portrait.session(core(), call(Kind.LAC_INCOMING), 100.0)
    assert (None, None, None, None, None) == (
        view.call_errors,
        view.send_accm,
        view.receive_accm,
        view.ended,
        view.ppp,
    )
    assert "network" == portrait.session_row(core(), call(Kind.LNS_INCOMING), 100.0).origin


def test_a_peer_entry() -> None:
    """Its secret is only said to be set."""
    entry = Peer(match=("192.0.2.0/24",), secret="hush", roles=(Role.LAC,), max_tunnels=4)
    view = portrait.peer("branches", entry, 2)
    assert ("branches", ("192.0.2.0/24",), ("lac",), 4, 2, True) == (
        view.name,
        view.match,
        view.roles,
        view.max_tunnels,
        view.tunnels,
        view.secret_set,
    )
    assert "hush" not in repr(view)


def test_statistics() -> None:
    """A message has a row once it was sent or received, bad ones included; counters of the daemon stand beside those of its tunnels."""
    counters = Counters(sent={1: 3}, received={2: 2, 10: 1}, bad={10: 1}, malformed=4)
    view = portrait.statistics(counters, 12.0, {"crashes": 1})
    assert (
        views.MessageCount(message="SCCRQ", sent=3),
        views.MessageCount(message="SCCRP", received=2),
        views.MessageCount(message="ICRQ", received=1, bad=1),
    ) == view.messages
    assert (4, 1, 12.0) == (view.counters["malformed"], view.counters["crashes"], view.since)
    assert "ICRQ" == MessageType.ICRQ.name


def test_words_of_a_mask() -> None:
    """Every category has its word; all of them together are not shown as one more."""
    assert () == portrait.words(0)
    assert {"fsm", "api"} == set(portrait.words(int(Category.FSM | Category.API)))
    assert "all" not in portrait.words(int(Category.ALL))


def test_a_line_is_what_keeps_a_tunnel_open() -> None:
    """The dialler's lines have everything that a view asks of them."""
    assert {"instance", "attempts", "last_error", "last_ending"} <= set(dir(Line))
