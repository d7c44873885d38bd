"""What one session has been given for its PPP. Pure."""

from __future__ import annotations

import attrs

from l2tpd.config.model import PppSettings

DEFAULT_MTU = 1400
"""Octets: what an Ethernet path carries after IP, UDP, L2TP and PPP headers, with room for one more encapsulation such as PPPoE or IPsec."""


@attrs.frozen(kw_only=True)
class Lease:
    """What a session has been given; addresses are empty where there is none to give.

    `profile` is the name of its PPP profile. `pool` is where it may take an address from; `remote` is one that it has from there already.
    """

    ppp: PppSettings
    profile: str = "default"
    lns: bool
    interface: str = ""  # empty: any
    mtu: int = DEFAULT_MTU
    local: str = ""
    pool: str = ""
    remote: str = ""
    user: str = ""
    password: str = attrs.field(default="", repr=False)
