"""Bytes to and from rtnetlink, read back by pyroute2's message classes, and answers that pyroute2 wrote."""

from __future__ import annotations

import sys
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from l2tpd.kernel import nlmsg, rtnl

ASKED, MADE = 0x5, 0x605
NEWLINK, DELLINK, GETLINK, SETLINK, NEWADDR, NEWROUTE, DELROUTE, GETROUTE = 16, 17, 18, 19, 20, 24, 25, 26


def read(kind: Any, data: bytes) -> Any:
    """Have a request read by pyroute2."""
    message = kind(data)
    message.decode()
    assert (7, len(data)) == (message["header"]["sequence_number"], message["header"]["length"])
    return message


def head(message: Any) -> tuple[int, int]:
    """Return kind and flags."""
    return message["header"]["type"], message["header"]["flags"]


def written(message: Any, fields: dict[str, Any], said: list[tuple[str, Any]], kind: int = NEWLINK) -> bytes:
    """Have an answer written by pyroute2."""
    message.update(fields)
    message["attrs"] = said
    message["header"]["type"] = kind
    message.encode()
    return bytes(message.data)


@pytest.mark.parametrize(("prefix", "family"), [("10.9.0.2", 2), ("10.77.0.0/16", 2), ("2001:db8:7::/48", 10)])
def test_routes_into_an_interface(prefix: str, family: int) -> None:
    """Of one prefix into one interface, with a size of packets only if one is said; taken back whatever else was said of it."""
    network = ip_network(prefix)
    made, sized = (read(rtmsg, rtnl.add_route(7, 5, network, mtu)) for mtu in (0, 1000))
    gone = read(rtmsg, rtnl.delete_route(7, 5, network))
    assert [(NEWROUTE, MADE), (NEWROUTE, MADE), (DELROUTE, ASKED)] == [head(one) for one in (made, sized, gone)]
    for one in (made, sized, gone):
        assert (family, network.prefixlen, 254) == (one["family"], one["dst_len"], one["table"])
        assert (str(network.network_address), 5) == (one.get_attr("RTA_DST"), one.get_attr("RTA_OIF"))
    assert (253, 1) == (made["scope"], made["type"])  # linux/rtnetlink.h: RT_SCOPE_LINK, RTN_UNICAST
    assert made.get_attr("RTA_METRICS") is None
    assert 1000 == sized.get_attr("RTA_METRICS").get_attr("RTAX_MTU")


def test_which_interface() -> None:
    """By name or by number, and without the statistics that the kernel would send along."""
    found = read(ifinfmsg, rtnl.find_link(7, "pw0"))
    assert (GETLINK, ASKED) == head(found)
    assert (0, "pw0", 8) == (found["index"], found.get_attr("IFLA_IFNAME"), found.get_attr("IFLA_EXT_MASK"))
    found = read(ifinfmsg, rtnl.get_link(7, 5))
    assert (GETLINK, ASKED) == head(found)
    assert (5, None) == (found["index"], found.get_attr("IFLA_IFNAME"))


@pytest.mark.parametrize(
    ("wanted", "flags", "said"),
    [
        ({"mtu": 1400}, 0, [("IFLA_MTU", 1400)]),
        ({"mtu": 1400, "up": True}, 1, [("IFLA_MTU", 1400)]),
        ({"mtu": 0}, 0, [("IFLA_MTU", 0)]),
        ({"mtu": -56}, 0, [("IFLA_MTU", 2**32 - 56)]),  # for the kernel to refuse
        ({"master": 9}, 0, [("IFLA_MASTER", 9)]),
        ({"up": True}, 1, []),
    ],
)
def test_changes_of_an_interface(wanted: Any, flags: int, said: list[tuple[str, int]]) -> None:
    """What is not asked for is not said: no flag counts, and no attribute stands there, but those."""
    message = read(ifinfmsg, rtnl.set_link(7, 5, **wanted))
    assert (SETLINK, ASKED) == head(message)
    assert (5, flags, flags) == (message["index"], message["flags"], message["change"])
    assert said == [tuple(found) for found in message["attrs"]]


def test_no_address_of_the_kernels_own() -> None:
    """`addrgenmode none`: the interface is named by its number, and nothing else of it changes."""
    asked = read(ifinfmsg, rtnl.no_own_address(7, 5))
    assert (SETLINK, ASKED) == head(asked)
    assert (5, 0, 0) == (asked["index"], asked["flags"], asked["change"])
    assert 1 == asked.get_nested("IFLA_AF_SPEC", "AF_INET6", "IFLA_INET6_ADDR_GEN_MODE")


def test_vlan_links() -> None:
    """One is made where there is none, and removed by its number."""
    message = read(ifinfmsg, rtnl.add_vlan(7, "pw0.12", 5, 12))
    assert (NEWLINK, MADE) == head(message)
    assert ("pw0.12", 5) == (message.get_attr("IFLA_IFNAME"), message.get_attr("IFLA_LINK"))
    assert ("vlan", 12) == (message.get(("linkinfo", "kind")), message.get(("linkinfo", "data", "vlan_id")))
    message = read(ifinfmsg, rtnl.delete_link(7, 6))
    assert ((DELLINK, ASKED), 6) == (head(message), message["index"])


@pytest.mark.parametrize("name", ["", "caller7"])
def test_ppp_interfaces(name: str) -> None:
    """One is made under its final name if it has one, with its MTU and switched on: nothing more has to be asked for."""
    request = rtnl.add_unit(7, name, 9, 1400)
    message = read(ifinfmsg, request)
    assert ((NEWLINK, MADE), (1, 1)) == (head(message), (message["flags"], message["change"]))
    assert (name or None, 1400) == (message.get_attr("IFLA_IFNAME"), message.get_attr("IFLA_MTU"))
    assert message.get(("linkinfo", "kind")) == "ppp"
    assert request.endswith(nlmsg.attribute(1, (9).to_bytes(4, sys.byteorder)))  # IFLA_PPP_DEV_FD


@pytest.mark.parametrize(
    ("near", "far", "family", "length"),
    [("192.0.2.1/24", "192.0.2.1", 2, 24), ("2001:db8::1/128", "2001:db8:1::1", 10, 128)],
)
def test_addresses(near: str, far: str, family: int, length: int) -> None:
    """Ours, and the peer's or ours again, with the length of ours."""
    message = read(ifaddrmsg, rtnl.add_address(7, 5, ip_interface(near), ip_address(far)))
    assert (NEWADDR, MADE) == head(message)
    assert (family, length, 0, 5) == (message["family"], message["prefixlen"], message["flags"], message["index"])
    assert (near.partition("/")[0], far) == (message.get_attr("IFA_LOCAL"), message.get_attr("IFA_ADDRESS"))


@pytest.mark.parametrize(
    ("address", "interface", "family", "length"), [("192.0.2.9", 0, 2, 32), ("fe80::9", 3, 10, 128)]
)
def test_which_route(address: str, interface: int, family: int, length: int) -> None:
    """That to one address, by an interface where there is one to go by."""
    message = read(rtmsg, rtnl.get_route(7, ip_address(address), interface))
    assert (GETROUTE, ASKED) == head(message)
    assert (family, length) == (message["family"], message["dst_len"])
    assert (address, interface or None) == (message.get_attr("RTA_DST"), message.get_attr("RTA_OIF"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([("IFLA_LINK", 3)], ("", 3, 0)),
        ([("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "bridge")]})], ("bridge", 0, 0)),
        ([("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "veth")]})], ("veth", 0, 0)),
    ],
)
def test_an_interface(said: list[tuple[str, Any]], expected: tuple[str, int, int]) -> None:
    """Its number, name and MTU; its kind and what it lies on, where it has such."""
    body = written(ifinfmsg(), {"index": 5, "flags": 1}, [("IFLA_IFNAME", "pw0"), ("IFLA_MTU", 1400), *said])
    assert rtnl.LinkFacts(5, "pw0", 1400, *expected) == rtnl.link_of(body)


def test_a_vlan_link() -> None:
    """What is asked for is what is found."""
    body = rtnl.add_vlan(7, "pw0.12", 5, 12)
    assert rtnl.LinkFacts(0, "pw0.12", 0, "vlan", 5, 12) == rtnl.link_of(body)


@pytest.mark.parametrize(("metrics", "mtu"), [([], 0), ([("RTA_METRICS", {"attrs": [("RTAX_MTU", 1280)]})], 1280)])
def test_a_route(metrics: list[tuple[str, Any]], mtu: int) -> None:
    """Its interface, and its MTU where it has one of its own."""
    body = written(rtmsg(), {"family": 2}, [("RTA_OIF", 5), *metrics], NEWROUTE)
    assert rtnl.RouteFacts(5, mtu) == rtnl.route_of(body)


@given(st.binary(max_size=80))
def test_attributes_of_junk(data: bytes) -> None:
    """Whatever follows the fixed part, reading it ends, and finds numbers and text."""
    fixed = rtnl.get_link(7, 5)[:32]
    link = rtnl.link_of(fixed + data)
    assert (5, str, int) == (link.number, type(link.name), type(link.mtu))
    assert rtnl.route_of(fixed[:28] + data).interface >= 0
