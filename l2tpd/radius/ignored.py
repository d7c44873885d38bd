"""The attributes of the same RFCs that have no use with us: one row, one attribute, and the reason.

In an Access-Accept they are passed over (RFC 2865 5: "MAY ignore"), and the log says so; in a CoA-Request they are refused (RFC 5176 3.5, 401).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from l2tpd.radius.attributes import Key
from l2tpd.radius.numbers import MICROSOFT


@attrs.frozen
class Ignored:
    """One row."""

    name: str
    key: Key
    where: str
    why: str


_LOGIN: Final = "for logins to a host, and all we serve is PPP"
_CALLBACK: Final = "we call nobody back: LCP's Callback is rejected (RFC 1570 2.3)"
_PEER_PREFIX: Final = "a link with two ends has no mask; networks behind the subscriber are Framed-Routes"
_FILTER: Final = "packets are not filtered here"
_IPX: Final = "no IPX"
_APPLETALK: Final = "no AppleTalk"
_MULTILINK: Final = "no multilink: LCP's MRRU is rejected (RFC 1990 5.1.1)"
_EAP: Final = "no EAP: LCP refuses it"
_LAC: Final = "for a client that is to open a tunnel: we describe those that we end"
_DIALOGUE: Final = "PPP without EAP has no second question to a user"
_CHAPV1: Final = "no MS-CHAPv1 towards callers, and no change of passwords"
_IPV6: Final = "a subscriber has one address by DHCPv6 at most, its own, and learns no routes but the default"

# fmt: off
IGNORED: Final[tuple[Ignored, ...]] = (
    Ignored("Framed-IP-Netmask",             9, "RFC 2865 5.9",   _PEER_PREFIX),
    Ignored("Framed-Routing",               10, "RFC 2865 5.10",  "no routing protocol is spoken"),
    Ignored("Filter-Id",                    11, "RFC 2865 5.11",  _FILTER),
    Ignored("Framed-Compression",           13, "RFC 2865 5.13",  "no compression of headers"),
    Ignored("Login-IP-Host",                14, "RFC 2865 5.14",  _LOGIN),
    Ignored("Login-Service",                15, "RFC 2865 5.15",  _LOGIN),
    Ignored("Login-TCP-Port",               16, "RFC 2865 5.16",  _LOGIN),
    Ignored("Callback-Number",              19, "RFC 2865 5.19",  _CALLBACK),
    Ignored("Callback-Id",                  20, "RFC 2865 5.20",  _CALLBACK),
    Ignored("Framed-IPX-Network",           23, "RFC 2865 5.23",  _IPX),
    Ignored("Vendor-Specific",              26, "RFC 2865 5.26",  "of Microsoft each is a row of its own; of others nothing is understood"),
    Ignored("Termination-Action",           29, "RFC 2865 5.29",  "a user whose time is up has to call again"),
    Ignored("Login-LAT-Service",            34, "RFC 2865 5.34",  _LOGIN),
    Ignored("Login-LAT-Node",               35, "RFC 2865 5.35",  _LOGIN),
    Ignored("Login-LAT-Group",              36, "RFC 2865 5.36",  _LOGIN),
    Ignored("Framed-AppleTalk-Link",        37, "RFC 2865 5.37",  _APPLETALK),
    Ignored("Framed-AppleTalk-Network",     38, "RFC 2865 5.38",  _APPLETALK),
    Ignored("Framed-AppleTalk-Zone",        39, "RFC 2865 5.39",  _APPLETALK),
    Ignored("Acct-Multi-Session-Id",        50, "RFC 2866 5.11",  _MULTILINK),
    Ignored("Acct-Link-Count",              51, "RFC 2866 5.12",  _MULTILINK),
    Ignored("Login-LAT-Port",               63, "RFC 2865 5.43",  _LOGIN),
    Ignored("Tunnel-Password",              69, "RFC 2868 3.5",   _LAC),
    Ignored("ARAP-Password",                70, "RFC 2869 5.4",   _APPLETALK),
    Ignored("ARAP-Features",                71, "RFC 2869 5.5",   _APPLETALK),
    Ignored("ARAP-Zone-Access",             72, "RFC 2869 5.6",   _APPLETALK),
    Ignored("ARAP-Security",                73, "RFC 2869 5.7",   _APPLETALK),
    Ignored("ARAP-Security-Data",           74, "RFC 2869 5.8",   _APPLETALK),
    Ignored("Password-Retry",               75, "RFC 2869 5.9",   _DIALOGUE),
    Ignored("Prompt",                       76, "RFC 2869 5.10",  _DIALOGUE),
    Ignored("Configuration-Token",          78, "RFC 2869 5.12",  "for a proxy"),
    Ignored("EAP-Message",                  79, "RFC 2869 5.13",  _EAP),
    Ignored("Tunnel-Private-Group-ID",      81, "RFC 2868 3.6",   _LAC),
    Ignored("Tunnel-Preference",            83, "RFC 2868 3.8",   _LAC),
    Ignored("ARAP-Challenge-Response",      84, "RFC 2869 5.15",  _APPLETALK),
    Ignored("Acct-Tunnel-Packets-Lost",     86, "RFC 2867 4.2",   "the planes count no losses of one session"),
    Ignored("Login-IPv6-Host",              98, "RFC 3162 2.4",   _LOGIN),
    Ignored("Route-IPv6-Information",      170, "RFC 6911 3.3",   _IPV6),
    Ignored("Stateful-IPv6-Address-Pool",  172, "RFC 6911 3.5",   _IPV6),
    Ignored("MS-CHAP-Response",               (MICROSOFT, 1),  "RFC 2548 2.1.3", _CHAPV1),
    Ignored("MS-CHAP-CPW-1",                  (MICROSOFT, 3),  "RFC 2548 2.1.6", _CHAPV1),
    Ignored("MS-CHAP-CPW-2",                  (MICROSOFT, 4),  "RFC 2548 2.1.7", _CHAPV1),
    Ignored("MS-CHAP-LM-Enc-PW",              (MICROSOFT, 5),  "RFC 2548 2.1.8", _CHAPV1),
    Ignored("MS-CHAP-NT-Enc-PW",              (MICROSOFT, 6),  "RFC 2548 2.2",   _CHAPV1),
    Ignored("MS-RAS-Vendor",                  (MICROSOFT, 9),  "RFC 2548 2.7.1", "nothing depends on who made a server"),
    Ignored("MS-CHAP-Domain",                 (MICROSOFT, 10), "RFC 2548 2.1.4", "the user's name is what it has sent"),
    Ignored("MS-CHAP-MPPE-Keys",              (MICROSOFT, 12), "RFC 2548 2.4.1", _CHAPV1),
    Ignored("MS-BAP-Usage",                   (MICROSOFT, 13), "RFC 2548 2.5.1", _MULTILINK),
    Ignored("MS-Link-Utilization-Threshold",  (MICROSOFT, 14), "RFC 2548 2.5.2", _MULTILINK),
    Ignored("MS-Link-Drop-Time-Limit",        (MICROSOFT, 15), "RFC 2548 2.5.3", _MULTILINK),
    Ignored("MS-RAS-Version",                 (MICROSOFT, 18), "RFC 2548 2.7.2", "nothing depends on who made a server"),
    Ignored("MS-Old-ARAP-Password",           (MICROSOFT, 19), "RFC 2548 2.6.1", _APPLETALK),
    Ignored("MS-New-ARAP-Password",           (MICROSOFT, 20), "RFC 2548 2.6.2", _APPLETALK),
    Ignored("MS-ARAP-Password-Change-Reason", (MICROSOFT, 21), "RFC 2548 2.6.3", _APPLETALK),
    Ignored("MS-Filter",                      (MICROSOFT, 22), "RFC 2548 2.7.3", _FILTER),
    Ignored("MS-Acct-Auth-Type",              (MICROSOFT, 23), "RFC 2548 2.7.4", "the server has checked it, and knows"),
    Ignored("MS-Acct-EAP-Type",               (MICROSOFT, 24), "RFC 2548 2.7.5", _EAP),
    Ignored("MS-CHAP2-CPW",                   (MICROSOFT, 27), "RFC 2548 2.3.4", _CHAPV1),
    Ignored("MS-ARAP-Challenge",              (MICROSOFT, 33), "RFC 2548 2.6.4", _APPLETALK),
)
# fmt: on
"""The table."""

REASONS: Final[Mapping[Key, Ignored]] = {row.key: row for row in IGNORED}
