"""How much smaller a session's interface is than the path."""

from __future__ import annotations

import pytest

from l2tpd.config.model import Encapsulation, Sublayer
from l2tpd.kernel.overhead import overhead


@pytest.mark.parametrize(
    ("encap", "ip_version", "mtu"),
    [
        (Encapsulation.UDP, 4, 1438),
        (Encapsulation.UDP, 6, 1418),
        (Encapsulation.IP, 4, 1450),
        (Encapsulation.IP, 6, 1430),
    ],
)
def test_as_linux_counts(encap: Encapsulation, ip_version: int, mtu: int) -> None:
    """Of 1500 octets an Ethernet session with cookie and sublayer keeps what Linux 6.1 gives to its own interfaces."""
    assert mtu == 1500 - overhead(encap, ip_version, 3, 8, Sublayer.DEFAULT)
    assert mtu + 12 == 1500 - overhead(encap, ip_version, 3)
    assert mtu - 4 == 1500 - overhead(encap, ip_version, 3, 8, Sublayer.DEFAULT, vlan=True)


def test_ppp() -> None:
    """PPP over version 2 has the usual MTUs; what only version 3 has makes no difference."""
    assert (1460, 1440) == tuple(1500 - overhead(Encapsulation.UDP, ip_version, 2) for ip_version in (4, 6))
    assert overhead(Encapsulation.UDP, 4, 2) == overhead(Encapsulation.UDP, 4, 2, 8, Sublayer.DEFAULT, vlan=True)
