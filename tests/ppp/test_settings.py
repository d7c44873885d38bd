"""Settings: what cannot work is refused when they are made, not in the middle of a negotiation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from l2tpd.errors import LocalProtocolError
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.settings import Grant, Ipv4Settings, Ipv6Settings, LinkSettings
from pppstage import IPCP, REQUEST, SERVE, network, options


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ipv4Settings(local="10.0.0"),
        lambda: Ipv4Settings(peer="lns.example"),
        lambda: Ipv4Settings(dns=("192.0.2.1", "2001:db8::1")),
        lambda: Ipv4Settings(nbns=("x",)),
        lambda: Ipv6Settings(local=b"\1"),
        lambda: Ipv6Settings(peer=bytes(9)),
        lambda: LinkSettings(mru=127),
        lambda: LinkSettings(mru=65536),
        lambda: LinkSettings(require=(Auth.CHAP, Auth.MSCHAP)),
        lambda: Grant(address="10.0.0.256"),
        lambda: Grant(interface_id=b"1234567"),
    ],
)
def test_what_cannot_work_is_refused(make: Callable[[], object]) -> None:
    """The text names the setting."""
    with pytest.raises(LocalProtocolError):
        make()


def test_secrets_are_not_shown() -> None:
    """Settings may end up in a log."""
    assert "hunter2" not in repr(LinkSettings(user="joe", password="hunter2"))


def test_without_a_name_nothing_is_offered() -> None:
    """There is nothing to prove."""
    assert ((), LinkSettings().offer) == (LinkSettings().offered, LinkSettings(user="joe").offered)


def test_an_address_that_is_none_leaves_the_question_open() -> None:
    """The caller's mistake harms nobody; the right answer still counts."""
    scene, _ = network(LinkSettings(ipv4=SERVE, echo_interval=0))
    with pytest.raises(LocalProtocolError):
        scene.link.assign_address("nonsense", 0.0)
    assert [] == scene.heard()
    scene.link.assign_address("10.0.0.2", 0.0)
    assert [(IPCP, REQUEST, options((3, b"\x0a\0\0\1")))] == [(said[0], said[1], said[3]) for said in scene.heard()]
