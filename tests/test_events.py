"""Events are frozen values that name the words of the API."""

from typing import Any

import attrs
import pytest

from dialogue import a_site
from l2tpd.config.model import Address, Encapsulation, Pseudowire, SessionSettings, TunnelSettings
from l2tpd.events import SessionEvent, TunnelEvent, What
from l2tpd.session.actions import event
from l2tpd.session.call import Call, Kind
from l2tpd.tunnel.actions import tunnel_event
from l2tpd.tunnel.core import ControlConnection
from l2tpd.tunnel.dialect import STATIC


def test_the_four_things_that_may_happen_are_the_words_of_the_api() -> None:
    """created, up, down and deleted: what filters and notifications say."""
    assert ["created", "up", "down", "deleted"] == [what.value for what in What]


def test_an_event_cannot_change_after_it_was_told() -> None:
    """Several subscribers hold the same event; none may alter it."""
    told = TunnelEvent(what=What.UP, tunnel_id=1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        told.tunnel_id = 2  # type: ignore[misc]


def test_an_event_without_an_end_has_no_result() -> None:
    """A session that comes up carries neither result nor error, so that 0 can be told from nothing."""
    told = SessionEvent(what=What.UP, tunnel_id=1, session_id=2)
    assert (None, None, "") == (told.result, told.error, told.message)


def core(**more: Any) -> ControlConnection:
    return ControlConnection(
        7, a_site(), TunnelSettings(), Address("192.0.2.1", 0), 0.0, origin="local", name="hq", **more
    )


def test_a_tunnels_event_tells_its_protocol() -> None:
    """Version and encapsulation are those of the tunnel, not of most tunnels."""
    events = [
        tunnel_event(What.CREATED, core()),
        tunnel_event(What.UP, core(dialect=STATIC, encap=Encapsulation.IP, peer_id=9)),
    ]
    assert [("l2tpv2", "udp", 0), ("l2tpv3", "ip", 9)] == [(e.version, e.encap, e.peer_tunnel_id) for e in events]


def test_a_sessions_event_tells_what_the_configuration_says_of_its_interface() -> None:
    """MTU, addresses and bridge as they were configured, for scripts that set up what is around the interface."""
    settings = SessionSettings(
        pseudowire=Pseudowire.ETH,
        mtu=1460,
        address="192.0.2.1/24",
        peer_address="192.0.2.2",
        bridge="br0",
        user_data="x",
    )
    call = Call(local_id=3, kind=Kind.STATIC, settings=settings, created=0.0, serial=1, name="branch", profile="gold")
    call.interface, call.end_id = "l2tpeth0", "\udcff\1"
    assert event(What.UP, call, core()) == SessionEvent(
        what=What.UP,
        tunnel_id=7,
        session_id=3,
        name="branch",
        tunnel_name="hq",
        profile="gold",
        pseudowire_profile="default",
        pseudowire="eth",
        interface="l2tpeth0",
        up=True,
        user_data="x",
        mtu=1460,
        address="192.0.2.1/24",
        far_address="192.0.2.2",
        bridge="br0",
        remote_end_id="0xff01",
    )
