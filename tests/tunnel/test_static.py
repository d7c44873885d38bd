"""Tunnels without negotiation, on stage: what they say, when they are up, and what they do with messages that have no place there."""

from __future__ import annotations

import itertools

import pytest

from books import consistent
from dialogue import OURS, THEIRS, ZLB, configured, hello, icrq, sccrq, stopccn
from l2tpd.config.model import Encapsulation, Pseudowire, SessionSettings
from l2tpd.errors import LocalProtocolError
from l2tpd.kernel.ops import CreateSession, CreateTunnel, DeleteSession, DeleteTunnel, Link
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.dialect import QUIESCENT, STATIC, dialect_of
from l2tpd.tunnel.inputs import Input
from l2tpd.tunnel.states import State
from l2tpd.tunnel.static import QUIESCENT_TABLE, STATIC_TABLE
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import MessageType

LAN = SessionSettings(
    pseudowire=Pseudowire.ETH,
    session_id=100,
    peer_session_id=200,
    cookie=bytes(4),
    peer_cookie=bytes(8),
    interface_name="lan",
    mtu=1400,
    bridge="br0",
    reorder_timeout=0.05,
    sequencing_required=True,
)


@pytest.mark.parametrize("table", [STATIC_TABLE, QUIESCENT_TABLE], ids=["static", "quiescent"])
def test_every_state_and_input_has_a_row(table: object) -> None:
    """The tables are complete."""
    assert set(itertools.product(State, Input)) == set(table)  # type: ignore[call-overload]


def test_a_static_tunnel_is_up_at_once_and_never_speaks() -> None:
    """Tunnel and session are made with what both ends are configured with; an hour later nothing has been said."""
    say = configured(STATIC, hello_timeout=10.0)
    say.open()
    say.state_is(State.ESTABLISHED)
    call = say.open_session(LAN, name="lan")
    assert ["tunnel created", "tunnel up", "session created", "session up"] == say.told()
    assert [
        CreateTunnel(tunnel_id=OURS, peer_tunnel_id=THEIRS, version=3, encap=Encapsulation.UDP),
        CreateSession(
            tunnel_id=OURS,
            session_id=100,
            peer_session_id=200,
            pseudowire=Pseudowire.ETH,
            link=Link(name="lan", mtu=1400, bridge="br0"),
            sequencing=True,
            reorder_timeout=50,
            cookie=bytes(4),
            peer_cookie=bytes(8),
        ),
    ] == say.plane()
    say.at(3600.0)
    say.core.probe(say.now)
    say.silent()
    say.do(say.core.close_session, 100)
    assert [DeleteSession(tunnel_id=OURS, session_id=100)] == say.plane()
    say.close()
    say.state_is(State.CLOSED)
    assert [DeleteTunnel(tunnel_id=OURS)] == say.plane()
    assert call.state is CallState.IDLE
    say.silent()


def test_an_id_can_be_used_once() -> None:
    """A second session with the numbers of the first is refused, and the first lives on."""
    say = configured(STATIC)
    say.open()
    call = say.open_session(LAN)
    with pytest.raises(LocalProtocolError, match="session id 100 is in use"):
        say.core.open_session(LAN, say.now)
    say.state_is(CallState.ESTABLISHED, call)
    say.do(say.core.close_session, 100)
    say.open_session(LAN)  # free again at once: nobody negotiates, so nobody can mistake it


def test_sessions_wait_for_a_quiescent_peer() -> None:
    """HELLO first; the tunnel is up with its acknowledgement, and the sessions with it."""
    say = configured(QUIESCENT)
    say.open()
    call = say.open_session(LAN)
    say.peer.hear(say.us << MessageType.HELLO)
    say.state_is(CallState.WAIT_TUNNEL, call)
    assert [] == say.plane()
    say.peer >> ZLB
    say.state_is(State.ESTABLISHED)
    say.state_is(CallState.ESTABLISHED, call)
    consistent(say)


def test_hellos_are_exchanged() -> None:
    """We ask after `hello_timeout` of silence, and acknowledge what the peer asks (RFC 3931 4.4)."""
    say = configured(QUIESCENT, hello_timeout=10.0)
    say.open()
    say.peer.hear(say.us << MessageType.HELLO)
    say.peer >> ZLB
    say.at(5.0)
    say.peer >> hello()
    say.us << ZLB
    say.at(14.0)
    say.silent()
    say.at(15.1)
    say.peer.hear(say.us << MessageType.HELLO)
    say.peer >> ZLB
    say.at(20.0)
    say.state_is(State.ESTABLISHED)


def test_a_quiescent_peer_that_falls_silent_ends_the_tunnel() -> None:
    """Sessions go down with the tunnel, and the reason is told."""
    say = configured(QUIESCENT, hello_timeout=10.0, max_retries=2)
    say.open()
    say.open_session(LAN)
    say.peer.hear(say.us << MessageType.HELLO)
    say.peer >> ZLB
    say.told()
    say.at(60.0)
    say.skip()
    say.state_is(State.CLOSED)
    assert ["session down", "session deleted", "tunnel down 1", "tunnel deleted 1"] == say.told()
    assert say.core.ending is not None
    assert "the peer does not answer" == say.core.ending.message


def test_a_quiescent_peer_that_never_answers() -> None:
    """No tunnel, no session: only the attempt is told."""
    say = configured(QUIESCENT, max_retries=2)
    say.open()
    say.open_session(LAN)
    say.at(60.0)
    say.skip()
    say.state_is(State.CLOSED)
    assert [] == say.plane()
    assert ["tunnel created", "session created", "session deleted", "tunnel deleted 1"] == say.told()


@pytest.mark.parametrize("said", [sccrq(), stopccn(THEIRS), icrq()], ids=["SCCRQ", "StopCCN", "ICRQ"])
def test_negotiation_has_no_place(said: Message) -> None:
    """A peer that runs the control protocol towards us is told of in the log, acknowledged, and otherwise left alone."""
    say = configured(QUIESCENT)
    say.open()
    say.peer.hear(say.us << MessageType.HELLO)
    say.peer >> ZLB
    say.remarks.clear()
    say.peer >> said
    say.us << ZLB
    say.state_is(State.ESTABLISHED)
    assert [f"{said.name} has no place in a quiescent tunnel"] == [remark.text for remark in say.remarks][-1:]


def test_a_tunnel_that_the_data_plane_refuses() -> None:
    """It ends, without deleting what was never made."""
    say = configured(STATIC, late=True)
    say.open()
    say.plane()
    say.plane_failed(0, "no such thing")
    say.state_is(State.CLOSED)
    assert [] == say.plane()


def test_a_session_that_the_data_plane_refuses() -> None:
    """It ends, the tunnel stays, and nobody is told over the wire."""
    say = configured(STATIC, late=True)
    say.open()
    say.open_session(LAN)
    say.plane()
    say.plane_failed(100, "no bridge")
    assert {} == say.core.calls
    say.state_is(State.ESTABLISHED)
    say.silent()
    assert [] == say.plane()


def test_a_session_that_is_not_carried_in_time() -> None:
    """What the data plane may still make of it is deleted."""
    say = configured(STATIC, late=True)
    say.open()
    say.open_session(LAN)
    say.plane()
    say.at(121.0)
    assert [DeleteSession(tunnel_id=OURS, session_id=100)] == say.plane()
    say.silent()


def test_what_nobody_speaks() -> None:
    """There is no static L2TPv2."""
    with pytest.raises(LocalProtocolError, match="no static l2tpv2 tunnel"):
        dialect_of(type(QUIESCENT.version)("l2tpv2"), STATIC.mode)
