"""RFC 3931 section 4.4: the keepalive of a control connection."""

from __future__ import annotations

import pytest

from dialogue import ZLB, a_site
from dialogue3 import hello3, up3, up_called3
from l2tpd.config.model import TunnelSettings
from l2tpd.tunnel.states import State
from l2tpd.wire.numbers import MessageType


def test_4_4_the_recommended_default_is_60_seconds() -> None:
    """a recommended default is 60 seconds, but MUST be configurable."""
    assert 60.0 == TunnelSettings().hello_timeout


@pytest.mark.parametrize("timeout", [20.0, 60.0])
@pytest.mark.parametrize("secret", ["", "sesame"])
def test_4_4_a_hello_must_be_sent_after_a_silence(timeout: float, secret: str) -> None:
    """if a period of time has passed without receiving any message (data or control) from the peer."""
    say = up3(hello_timeout=timeout, secret=secret)
    say.at(timeout - 7.0)
    say.peer >> hello3()
    say.us << ZLB
    heard = say.now
    say.at(heard + 0.8 * timeout)
    say.silent()
    due = say.core.next_timer()
    assert due is not None
    assert due <= heard + timeout
    say.at(due)
    say.us << MessageType.HELLO
    say.peer >> ZLB
    assert say.core.channel.idle


def test_4_4_hellos_of_several_connections_must_be_jittered() -> None:
    """An LCCE sending Hello messages across multiple control connections ... MUST employ a jittered timer mechanism": no two leave together, none late."""
    times = set()
    for seed in range(8):
        say = up3(hello_timeout=60.0, site=a_site(str(seed)))
        for _ in range(3):
            due = say.core.next_timer()
            assert due is not None
            assert say.now < due <= say.now + 60.0
            times.add(round(due - say.now, 6))
            say.at(due)
            say.us << MessageType.HELLO
            say.peer >> ZLB
    assert 12 < len(times)


def test_4_4_data_is_a_sign_of_life_too() -> None:
    """since the last data message or control message was received on an L2TP session or control connection, respectively."""
    say = up3(hello_timeout=20.0)
    for when in (15.0, 30.0, 45.0):
        say.at(when)
        say.core.channel.touch(when)
    say.silent()


def test_4_4_a_hello_that_is_not_reliably_delivered_declares_the_connection_down() -> None:
    """the sending LCCE declares that the control connection is down and resets its state"; on each end independently."""
    for say in (up3(hello_timeout=20.0), up_called3(hello_timeout=20.0)):
        say.peer.deaf = True
        say.at(100.0)
        assert {MessageType.HELLO} == {heard.said.type for heard in say.skip() if heard.said is not None}
        say.state_is(State.CLOSED)
        assert {"tunnel down 1", "tunnel deleted 1"} == set(say.told())


def test_4_4_hello_of_the_peer_is_acknowledged_and_changes_nothing() -> None:
    """As with any other control message."""
    say = up_called3()
    before = say.core.since
    say.at(5.0)
    say.peer >> hello3()
    say.us << ZLB
    assert (State.ESTABLISHED, before) == (say.core.state, say.core.since)
