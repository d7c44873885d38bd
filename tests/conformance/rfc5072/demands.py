"""What RFC 5072 demands, and no dialogue here shows: why, and where it is looked after instead."""

from __future__ import annotations

from conformance.demand import Demand

DEMANDS = (
    Demand(
        "2",
        "PPP links supporting IPv6 MUST allow the information field to be at least as large as the minimum link MTU size",
        "ppp/test_task_ipv6.py::test_a_link_that_is_too_small_for_ipv6",
        why="a link that is smaller has no IPv6: no address, and no packet passes",
    ),
    Demand(
        "4.1",
        "If an IEEE global identifier is available anywhere on the node, it should be used",
        why="one identifier for ten thousand links would tell every subscriber which machine it talks to, and is unique on none of them",
    ),
    Demand(
        "5",
        "used by the local end of the PPP link to autoconfigure an IPv6 link-local unicast address",
        "ppp/test_task_ipv6.py::test_packets_of_ipv6_cross",
    ),
    Demand("5", "it is redundant to perform duplicate address detection", why="an interface without ARP does none"),
)
