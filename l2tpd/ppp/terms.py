"""How the link of a session behaves, from what the session was given. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from l2tpd.config.model import Mppe, PppAuthentication, PppSettings
from l2tpd.ppp import proxy
from l2tpd.ppp.numbers import Auth, Protocol
from l2tpd.ppp.settings import EncryptionSettings, Ipv4Settings, Ipv6Settings, LinkSettings, Proxy

if TYPE_CHECKING:
    from l2tpd.ppp.lease import Lease

_REQUIRE = {
    PppAuthentication.NONE: (),
    PppAuthentication.PAP: (Auth.PAP,),
    PppAuthentication.CHAP: (Auth.CHAP,),
    PppAuthentication.MSCHAPV2: (Auth.MSCHAPV2,),
}


def settings(lease: Lease, name: str, report: Proxy | None = None) -> LinkSettings:
    """Return how the link of a session behaves; `report`: what a LAC has negotiated in our place."""
    ppp = lease.ppp
    client = not lease.lns
    require = _REQUIRE[ppp.auth] if lease.lns else ()
    return LinkSettings(
        name=name,
        mru=ppp.mru or lease.mtu,
        mtu=lease.mtu,
        require=require,
        user=lease.user,
        password=lease.password,
        echo_interval=ppp.lcp_echo_interval,
        echo_failure=ppp.lcp_echo_failure,
        rechallenge=ppp.chap_rechallenge,
        encryption=_encryption(ppp),
        required=_required(ppp, client=client),
        proxy=report,
        proxy_policy=proxy.policy(ppp.proxy_lcp, ppp.proxy_auth, asked=bool(require)),
        ipv6=Ipv6Settings() if ppp.ipv6 else None,
        ipv4=Ipv4Settings(
            local=lease.local,
            accept_local=client,
            serve=bool(lease.pool),
            dns=ppp.dns if lease.lns else (),
            ask_dns=client,
        ),
    )


def _encryption(ppp: PppSettings) -> EncryptionSettings | None:
    if ppp.mppe is Mppe.REFUSE:
        return None
    required = ppp.mppe is Mppe.REQUIRE
    return EncryptionSettings(required=required, strengths=frozenset(ppp.mppe_bits), stateful=ppp.mppe_stateful)


def _required(ppp: PppSettings, *, client: bool) -> tuple[int, ...]:
    """Return the control protocols without which the session is of no use: to a client IPv4, unless its profile says otherwise."""
    ipv4 = client if ppp.require_ipv4 is None else ppp.require_ipv4
    wanted = ((Protocol.IPCP, ipv4), (Protocol.IPV6CP, ppp.require_ipv6))
    return tuple(protocol for protocol, needed in wanted if needed)
