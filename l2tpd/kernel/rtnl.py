"""Interfaces, addresses and routes as bytes: what we ask rtnetlink for, and what it answers. Pure.

The facts are those of linux/rtnetlink.h, linux/if_link.h and linux/if_addr.h. Written out here, since there are few and a session has to wait for
them: pyroute2's classes for the same take 2.5 ms of it.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final, NamedTuple

from l2tpd.kernel import nlmsg
from l2tpd.kernel.nlmsg import attribute, nested

_ASKED: Final = nlmsg.REQUEST | nlmsg.ACK
_MADE: Final = _ASKED | nlmsg.CREATE | nlmsg.EXCLUSIVE

# linux/rtnetlink.h
_NEWLINK, _DELLINK, _GETLINK, _SETLINK, _NEWADDR = 16, 17, 18, 19, 20
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWQDISC, _DELQDISC = 36, 37
_IFINFO: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, which of the flags count
_IFADDR: Final = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE: Final = struct.Struct(
    "=BBBBBBBBI"
)  # rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags
_U16, _U32, _I32 = struct.Struct("=H"), struct.Struct("=I"), struct.Struct("=i")
_TCMSG: Final = struct.Struct("=BxHiIII")  # tcmsg: family, index, handle, parent, info
_TC_ROOT: Final = 0xFFFFFFFF
_TCA_KIND: Final = 1
_RTA_DST, _RTA_OIF, _RTA_METRICS, _RTAX_MTU = 1, 4, 8, 2
_MAIN, _BOOT, _UNICAST = 254, 3, 1  # table, protocol and type of a route
_LINK_SCOPE, _NOWHERE_SCOPE = 253, 255
# linux/if_link.h
_IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_EXT_MASK = 3, 4, 5, 10, 18, 29
_IFLA_AF_SPEC, _AF_INET6, _IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE = 26, 10, 8, b"\1"
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_VLAN_ID, _IFLA_PPP_DEV_FD = 1, 2, 1, 1
_SKIP_STATISTICS: Final = 1 << 3  # RTEXT_FILTER_SKIP_STATS
# linux/if_addr.h
_IFA_ADDRESS, _IFA_LOCAL = 1, 2

_IFF_UP: Final = 1  # linux/if.h
_FAMILIES: Final = {4: 2, 6: 10}  # linux/socket.h: AF_INET, AF_INET6


class LinkFacts(NamedTuple):
    """An interface as the kernel shows it."""

    number: int  # its index
    name: str
    mtu: int  # octets
    kind: str  # `bridge`, `vlan` ...; empty: none
    lower: int  # index of the interface on which this one lies; 0: none
    vlan_id: int  # of a VLAN link, else 0


class RouteFacts(NamedTuple):
    """The route to an address."""

    interface: int  # index
    mtu: int  # octets; 0: its interface's


# --- requests ---------------------------------------------------------------------------------------------------------------------


def find_link(sequence: int, name: str) -> bytes:
    """Return the question for the interface of a name."""
    return _get_link(sequence, 0, attribute(_IFLA_IFNAME, name.encode() + b"\0"))


def get_link(sequence: int, index: int) -> bytes:
    """Return the question for an interface by its index."""
    return _get_link(sequence, index, b"")


def set_link(sequence: int, index: int, *, mtu: int | None = None, master: int = 0, up: bool = False) -> bytes:
    """Return the request to give an interface an MTU in octets, to put it into a bridge, to switch it on: what is not named stays."""
    flags = _IFF_UP if up else 0
    wanted = b"" if mtu is None else attribute(_IFLA_MTU, _I32.pack(mtu))  # the kernel has words for one that cannot be
    if master:
        wanted += attribute(_IFLA_MASTER, _U32.pack(master))
    return nlmsg.message(_SETLINK, _ASKED, sequence, _IFINFO.pack(0, 0, index, flags, flags) + wanted)


def add_vlan(sequence: int, name: str, lower: int, vlan_id: int) -> bytes:
    """Return the request to make a VLAN link on the interface with the index `lower`."""
    data = nested(_IFLA_INFO_DATA, attribute(_IFLA_VLAN_ID, _U16.pack(vlan_id)))
    what = (
        attribute(_IFLA_IFNAME, name.encode() + b"\0"),
        attribute(_IFLA_LINK, _U32.pack(lower)),
        nested(_IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, b"vlan"), data),
    )
    return nlmsg.message(_NEWLINK, _MADE, sequence, bytes(_IFINFO.size) + b"".join(what))


def add_unit(sequence: int, name: str, descriptor: int, mtu: int) -> bytes:
    """Return the request to make a PPP interface, switched on, that lives as long as a descriptor of the device; without a name it is `ppp` and its number."""
    data = nested(_IFLA_INFO_DATA, attribute(_IFLA_PPP_DEV_FD, _I32.pack(descriptor)))
    what = (
        attribute(_IFLA_IFNAME, name.encode() + b"\0") if name else b"",
        attribute(_IFLA_MTU, _I32.pack(mtu)),
        nested(_IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, b"ppp"), data),
    )
    return nlmsg.message(_NEWLINK, _MADE, sequence, _IFINFO.pack(0, 0, 0, _IFF_UP, _IFF_UP) + b"".join(what))


def delete_link(sequence: int, index: int) -> bytes:
    """Return the request to remove an interface."""
    return nlmsg.message(_DELLINK, _ASKED, sequence, _IFINFO.pack(0, 0, index, 0, 0))


def add_address(
    sequence: int, index: int, near: IPv4Interface | IPv6Interface, far: IPv4Address | IPv6Address
) -> bytes:
    """Return the request to give an interface an address, `far` being the peer's, or the same where there is none."""
    head = _IFADDR.pack(_FAMILIES[near.version], near.network.prefixlen, 0, 0, index)
    both = attribute(_IFA_LOCAL, near.ip.packed) + attribute(_IFA_ADDRESS, far.packed)
    return nlmsg.message(_NEWADDR, _MADE, sequence, head + both)


def no_own_address(sequence: int, index: int) -> bytes:
    """Return the request that the kernel shall give an interface no IPv6 address of its own making."""
    wanted = nested(_IFLA_AF_SPEC, nested(_AF_INET6, attribute(_IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE)))
    return nlmsg.message(_SETLINK, _ASKED, sequence, _IFINFO.pack(0, 0, index, 0, 0) + wanted)


def hold(sequence: int, index: int) -> bytes:
    """Return the request that an interface shall send nothing any more: a queueing discipline that drops what it gets."""
    return _blackhole(_NEWQDISC, _ASKED | nlmsg.CREATE | nlmsg.REPLACE, sequence, index)


def release(sequence: int, index: int) -> bytes:
    """Return the request to take `hold` back; another discipline that stands there stays."""
    return _blackhole(_DELQDISC, _ASKED, sequence, index)


def get_route(sequence: int, address: IPv4Address | IPv6Address, interface: int = 0) -> bytes:
    """Return the question for the route to an address, by the interface with this index where one is given."""
    head = _ROUTE.pack(_FAMILIES[address.version], address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    by = attribute(_RTA_OIF, _U32.pack(interface)) if interface else b""
    return nlmsg.message(_GETROUTE, _ASKED, sequence, head + attribute(_RTA_DST, address.packed) + by)


def add_route(sequence: int, index: int, prefix: IPv4Network | IPv6Network, mtu: int = 0) -> bytes:
    """Return the request to route a prefix into an interface, with packets of at most `mtu` octets; 0: as many as the interface takes."""
    limit = nested(_RTA_METRICS, attribute(_RTAX_MTU, _U32.pack(mtu))) if mtu else b""
    return nlmsg.message(_NEWROUTE, _MADE, sequence, _route(index, prefix, _BOOT, _LINK_SCOPE, _UNICAST) + limit)


def delete_route(sequence: int, index: int, prefix: IPv4Network | IPv6Network) -> bytes:
    """Return the request to take back what `add_route` has done."""
    return nlmsg.message(_DELROUTE, _ASKED, sequence, _route(index, prefix, 0, _NOWHERE_SCOPE, 0))


# --- answers ----------------------------------------------------------------------------------------------------------------------


def link_of(body: bytes) -> LinkFacts:
    """Read an interface out of an answer."""
    index = _IFINFO.unpack_from(body, nlmsg.HEADER.size)[2]
    said = dict(nlmsg.attributes(body, nlmsg.HEADER.size + _IFINFO.size))
    info = dict(nlmsg.attributes(said.get(_IFLA_LINKINFO, b"")))
    kind = nlmsg.text(info.get(_IFLA_INFO_KIND, b""))
    data = dict(nlmsg.attributes(info.get(_IFLA_INFO_DATA, b""))) if kind == "vlan" else {}
    mtu, lower = nlmsg.number(said.get(_IFLA_MTU, b"")), nlmsg.number(said.get(_IFLA_LINK, b""))
    vlan_id = nlmsg.number(data.get(_IFLA_VLAN_ID, b""))
    return LinkFacts(index, nlmsg.text(said.get(_IFLA_IFNAME, b"")), mtu, kind, lower, vlan_id)


def route_of(body: bytes) -> RouteFacts:
    """Read a route out of an answer."""
    said = dict(nlmsg.attributes(body, nlmsg.HEADER.size + _ROUTE.size))
    metrics = dict(nlmsg.attributes(said.get(_RTA_METRICS, b"")))
    return RouteFacts(nlmsg.number(said.get(_RTA_OIF, b"")), nlmsg.number(metrics.get(_RTAX_MTU, b"")))


# --- within -----------------------------------------------------------------------------------------------------------------------


def _blackhole(command: int, flags: int, sequence: int, index: int) -> bytes:
    head = _TCMSG.pack(0, 0, index, 0, _TC_ROOT, 0)
    return nlmsg.message(command, flags, sequence, head + attribute(_TCA_KIND, b"blackhole\0"))


def _route(index: int, prefix: IPv4Network | IPv6Network, protocol: int, scope: int, kind: int) -> bytes:
    head = _ROUTE.pack(_FAMILIES[prefix.version], prefix.prefixlen, 0, 0, _MAIN, protocol, scope, kind, 0)
    return head + attribute(_RTA_DST, prefix.network_address.packed) + attribute(_RTA_OIF, _U32.pack(index))


def _get_link(sequence: int, index: int, name: bytes) -> bytes:
    less = attribute(_IFLA_EXT_MASK, _U32.pack(_SKIP_STATISTICS))
    return nlmsg.message(_GETLINK, _ASKED, sequence, _IFINFO.pack(0, 0, index, 0, 0) + name + less)
