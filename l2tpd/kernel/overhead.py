"""What of a packet on the way to the peer is no payload of the session's interface: the difference between two MTUs. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from l2tpd.config.model import Encapsulation, Sublayer

_IP: Mapping[int, int] = {4: 20, 6: 40}  # RFC 791 3.1, RFC 8200 3; no options, no extension headers
_HEADER: Mapping[tuple[int, Encapsulation], int] = {
    (2, Encapsulation.UDP): 8 + 8,  # UDP; flags, length and both ids (RFC 2661 3.1)
    (3, Encapsulation.UDP): 8 + 8,  # UDP; flags, reserved octets and session id (RFC 3931 4.1.2.1)
    (3, Encapsulation.IP): 4,  # session id (RFC 3931 4.1.1.1)
}
_FRAME: Mapping[int, int] = {
    2: 4,  # PPP: address, control, protocol (RFC 1661 2, RFC 1662 3.1)
    3: 14,  # Ethernet without the frame check sequence (RFC 4719 3.1)
}
_SUBLAYER: Mapping[Sublayer, int] = {Sublayer.NONE: 0, Sublayer.DEFAULT: 4}  # RFC 3931 4.6
_TAG = 4  # IEEE 802.1Q


def overhead(
    encap: Encapsulation,
    ip_version: int,
    version: int,
    cookie_octets: int = 0,
    sublayer: Sublayer = Sublayer.NONE,
    vlan: bool = False,
) -> int:
    """Return the octets by which the MTU of a session's interface is smaller than the path's.

    `ip_version` is 4 or 6, `version` that of L2TP: 2 carries PPP, and 3 Ethernet, whose header no interface counts in its MTU. `vlan` tells whether
    frames have a tag, for which the interface that lies upon the session's makes no room of its own. Cookie and sublayer are version 3's; with
    version 2 they are left out of account, and so are its sequence numbers, as every L2TPv2 implementation does that arrives at 1460 over IPv4.
    """
    fixed = _IP[ip_version] + _HEADER[version, encap] + _FRAME[version]
    if version == 2:
        return fixed
    return fixed + cookie_octets + _SUBLAYER[sublayer] + (_TAG if vlan else 0)
