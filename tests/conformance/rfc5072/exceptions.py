"""What RFC 5072 demands, and no dialogue here shows: why, and where it is looked after instead."""

from __future__ import annotations

from conformance.rfc3931.exceptions import Exempt

EXCEPTIONS: tuple[Exempt, ...] = (
    Exempt(
        "2",
        "PPP links supporting IPv6 MUST allow the information field to be at least as large as the minimum link MTU size",
        "a link that is smaller has no IPv6: no address, and no packet passes",
        "ppp/test_task_ipv6.py",
    ),
    Exempt(
        "4.1",
        "If an IEEE global identifier is available anywhere on the node, it should be used",
        "one identifier for ten thousand links would tell every subscriber which machine it talks to, and is unique on none of them",
    ),
    Exempt(
        "5",
        "used by the local end of the PPP link to autoconfigure an IPv6 link-local unicast address",
        "the interface",
        "ppp/test_task_ipv6.py",
    ),
    Exempt("5", "it is redundant to perform duplicate address detection", "an interface without ARP does none"),
)
