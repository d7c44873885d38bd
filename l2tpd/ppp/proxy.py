"""What a LAC has done in our place: its report in the ICCN, and what a profile lets us make of it (RFC 2661 4.4.5).

A LAC may say whatever it likes, also a proof that it has heard once and repeats. So nothing of a report is used unless a profile says so; and even then it
is judged as if the peer had said it: options that we would not have agreed on lead to a negotiation of our own, and a proof that does not fit what was
agreed on leads to another request for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from l2tpd.config.model import ProxyAuthentication, ProxyLcp
from l2tpd.ppp.credentials import CHALLENGE_SIZES, RESPONSE_SIZES, Credentials
from l2tpd.ppp.numbers import Auth
from l2tpd.ppp.settings import Proxy, ProxyPolicy
from l2tpd.wire.avp import (
    LAST_RECEIVED_LCP_CONFREQ,
    LAST_SENT_LCP_CONFREQ,
    PROXY_AUTHEN_CHALLENGE,
    PROXY_AUTHEN_ID,
    PROXY_AUTHEN_NAME,
    PROXY_AUTHEN_RESPONSE,
    PROXY_AUTHEN_TYPE,
    Avp,
)
from l2tpd.wire.numbers import ProxyAuthenType

_KINDS: Final[Mapping[int, tuple[Auth, ...]]] = {
    ProxyAuthenType.CHAP: (Auth.CHAP, Auth.MSCHAPV2),
    ProxyAuthenType.PAP: (Auth.PAP,),
}
"""What LCP may have called a proof that is reported so; MS-CHAPv2 is younger than the RFC, and LACs report it as CHAP."""


def reported(said: Mapping[Avp[Any], Any] | None) -> Proxy | None:
    """Return what the AVPs of an ICCN say of the peer, None unless they tell both sides' last Configure-Request."""
    if said is None or not {LAST_SENT_LCP_CONFREQ, LAST_RECEIVED_LCP_CONFREQ} <= said.keys():
        return None
    return Proxy(
        last_sent=said[LAST_SENT_LCP_CONFREQ],
        last_received=said[LAST_RECEIVED_LCP_CONFREQ],
        auth_type=said.get(PROXY_AUTHEN_TYPE, 0),
        name=said.get(PROXY_AUTHEN_NAME, ""),
        challenge=said.get(PROXY_AUTHEN_CHALLENGE, b""),
        identifier=said.get(PROXY_AUTHEN_ID, 0),
        response=said.get(PROXY_AUTHEN_RESPONSE, b""),
    )


def policy(lcp: ProxyLcp, authentication: ProxyAuthentication, *, asked: bool) -> ProxyPolicy:
    """Return what a link is to make of a report; `asked`: the peer has to prove who it is."""
    if lcp is ProxyLcp.IGNORE or (asked and authentication is ProxyAuthentication.IGNORE):
        return ProxyPolicy.IGNORE
    return ProxyPolicy.USE if authentication is ProxyAuthentication.USE else ProxyPolicy.RECHALLENGE


def credentials(kind: Auth, proxy: Proxy) -> Credentials | None:
    """Return the proof that a LAC has taken, None when it is not of this kind, or cannot be one."""
    fits = (
        kind in _KINDS.get(proxy.auth_type, ())
        and len(proxy.response) == RESPONSE_SIZES.get(kind, len(proxy.response))
        and len(proxy.challenge) in CHALLENGE_SIZES.get(kind, {len(proxy.challenge)})
    )
    if not fits:
        return None
    return Credentials(
        kind=kind,
        user=proxy.name,
        identifier=proxy.identifier & 0xFF,
        challenge=b"" if kind is Auth.PAP else proxy.challenge,
        response=proxy.response,
    )
