"""What the PPP sessions of a daemon hold."""

from __future__ import annotations

import pytest

from l2tpd.config.load import parse
from l2tpd.config.model import SessionSettings
from l2tpd.errors import LocalProtocolError
from l2tpd.ppp.leases import Leases
from l2tpd.session.call import Call, Kind

CONFIG = """
[profile.ppp.default]
pool = "one"
local_address = "10.0.0.1"
mtu = {mtu}
[pool.one]
range = "10.0.0.2-10.0.0.2"
quarantine = 0
"""


def caller(number: int) -> Call:
    return Call(number, Kind.LNS_INCOMING, SessionSettings(interface_name="isp%d"), 0.0, 1)


def test_a_reload_is_for_those_who_come_later() -> None:
    """A session has the settings with which it began, the next one those of the configuration in force."""
    first, second = (parse([("l2tpd.toml", CONFIG.format(mtu=mtu))]) for mtu in (1300, 1400))
    config = first
    leases = Leases(lambda: config)
    with leases.lease(caller(1)) as lease:
        config = second
        with leases.lease(caller(2)) as other:
            assert (1300, 1400) == (lease.mtu, other.mtu)


def test_who_gets_no_address_keeps_no_name() -> None:
    """What was reserved for a session that cannot be goes to the next one."""
    whole = parse([("l2tpd.toml", CONFIG.format(mtu=1300))])
    leases = Leases(lambda: whole)
    with leases.lease(caller(1), at_once=True) as lease:
        assert ("isp0", "10.0.0.2") == (lease.interface, lease.remote)
        with pytest.raises(LocalProtocolError), leases.lease(caller(2), at_once=True):
            pass
        with leases.lease(caller(3)) as other:
            assert "isp1" == other.interface
    with leases.lease(caller(4), at_once=True) as lease:
        assert ("isp0", "10.0.0.2") == (lease.interface, lease.remote)
