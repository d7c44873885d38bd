"""How a caller came."""

from __future__ import annotations

import pytest

from l2tpd.config.model import SessionSettings
from l2tpd.ppp.way import speeds
from l2tpd.session.call import Call, Kind


@pytest.mark.parametrize(
    ("told", "shown"),
    [((0, 0), ""), ((56000, 0), "56000"), ((56000, 56000), "56000"), ((56000, 33600), "56000/33600")],
)
def test_speeds_are_told_to_the_caller_first(told: tuple[int, int], shown: str) -> None:
    """RFC 2869 5.11; a LAC that tells one speed means both directions (RFC 2661 4.4.4)."""
    call = Call(2, Kind.LNS_INCOMING, SessionSettings(), 0.0, 1)
    call.tx_connect_speed, call.rx_connect_speed = told
    assert shown == speeds(call)
