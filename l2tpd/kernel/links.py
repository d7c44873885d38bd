"""The network interface of a session: size, VLAN link, addresses, bridge; and by which interface a peer is reached. Everything here blocks.

Theory of operation. Requests go to the kernel over one rtnetlink socket of pyroute2, which belongs to the thread that made it: a second thread
would break it. What the operator wrote is read before the kernel is asked for anything. Settling goes from the bottom up, first the
interface, then the VLAN link on it, then addresses and bridge, and switches on last, so that no packet sees half of it. A VLAN link made here is
removed again when anything after it fails; the interface itself is its maker's to remove, and addresses and bridge membership go with it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import Any, NamedTuple

from pyroute2 import IPRoute, NetlinkError

from l2tpd.errors import PlaneError
from l2tpd.kernel.ops import Link

NAME_OCTETS = 15
"""How long the name of an interface may be (IFNAMSIZ of linux/if.h, less the final zero)."""


class _Address(NamedTuple):
    """One address of an interface, as rtnetlink says it: `far` is the peer's, or our own where there is none."""

    near: IPv4Interface | IPv6Interface
    far: IPv4Address | IPv6Address


class Links:
    """The interfaces and routes of the network namespace that the thread is in. Use it from the thread that made it, and close it there."""

    def __init__(self) -> None:
        """Open the socket. Raises `PlaneError`."""
        with _told("no rtnetlink socket"):
            self._route = IPRoute(ext_ack=True, strict_check=True)

    def close(self) -> None:
        """Close the socket."""
        self._route.close()

    def exists(self, name: str) -> bool:
        """Tell whether there is an interface of this name."""
        return self._find(name) is not None

    def settle(self, interface: str, link: Link, mtu: int) -> str:
        """Make an interface look as `link` says, with packets of at most `mtu` octets, switch it on, and return which one carries the traffic.

        That is the VLAN link `INTERFACE.ID` where `link` has a VLAN, else the interface itself. Settling again what is settled changes nothing. Raises
        `PlaneError` with what is wrong; what was made here is gone then.
        """
        address = _address_of(link)
        bridge = self._bridge(link.bridge) if link.bridge else 0
        master = self._index(interface)
        if not link.vlan_id:
            self._dress(master, interface, mtu, address, bridge)
            return interface
        self._dress(master, interface, mtu, None, 0)
        name = _vlan_name(interface, link.vlan_id)
        made = self._add_vlan(name, master, link.vlan_id)
        try:
            self._dress(self._index(name), name, mtu, address, bridge)
        except PlaneError:
            if made:
                self._request(f"interface {name} cannot be removed", "link", "del", index=self._index(name))
            raise
        return name

    def route_interface(self, peer: str) -> str:
        """Return the interface by which a numeric address is reached, a link-local one with the number of its own behind `%`. Raises `PlaneError`."""
        return str(self._way(peer)[1].get("ifname"))

    def path_mtu(self, peer: str) -> int:
        """Return how many octets a packet to an address, as `route_interface` takes it, may have: what the route says, else its interface.

        Raises `PlaneError` when there is no route.
        """
        route, interface = self._way(peer)
        return int(route.get(("metrics", "mtu")) or interface.get("mtu"))

    # --- within -----------------------------------------------------------------------------------------------------------------

    def _dress(self, index: int, name: str, mtu: int, address: _Address | None, bridge: int) -> None:
        self._request(f"interface {name} takes no MTU of {mtu}", "link", "set", index=index, mtu=mtu)
        if bridge:
            self._request(f"interface {name} cannot join the bridge", "link", "set", index=index, master=bridge)
        if address is not None:
            self._add_address(index, name, address)
        self._request(f"interface {name} cannot be switched on", "link", "set", index=index, state="up")

    def _add_vlan(self, name: str, master: int, vlan_id: int) -> bool:
        """Make a VLAN link, and tell whether it had to be made."""
        there = self._find(name)
        if there is None:
            what = {"ifname": name, "kind": "vlan", "link": master, "vlan_id": vlan_id}
            self._request(f"VLAN link {name} cannot be made", "link", "add", **what)
            return True
        if (there.get("link"), there.get(("linkinfo", "data", "vlan_id"))) != (master, vlan_id):
            raise PlaneError(errno.EEXIST, f"an interface `{name}` exists already, and is not this VLAN link")
        return False

    def _add_address(self, index: int, name: str, address: _Address) -> None:
        near, far = address
        what = {"index": index, "local": str(near.ip), "address": str(far), "prefixlen": near.network.prefixlen}
        try:
            self._request(f"interface {name} does not take the address {near}", "addr", "add", **what)
        except PlaneError as error:
            if error.errno != errno.EEXIST:  # ... which it has already
                raise

    def _bridge(self, name: str) -> int:
        found = self._find(name)
        if found is None:
            raise PlaneError(errno.ENODEV, f"there is no bridge `{name}`")
        if found.get(("linkinfo", "kind")) != "bridge":
            raise PlaneError(errno.EINVAL, f"interface `{name}` is not a bridge")
        return int(found["index"])

    def _index(self, name: str) -> int:
        found = self._find(name)
        if found is None:
            raise PlaneError(errno.ENODEV, f"there is no interface `{name}`")
        return int(found["index"])

    def _find(self, name: str) -> Any:
        if not 0 < len(name.encode()) <= NAME_OCTETS:
            return None
        try:
            (found,) = self._request(f"interface {name}", "link", "get", ifname=name)
        except PlaneError as error:
            if error.errno != errno.ENODEV:
                raise
            return None
        return found

    def _way(self, peer: str) -> tuple[Any, Any]:
        """Return the route to an address, and its interface."""
        address, _, zone = peer.partition("%")
        what = {"dst": address, "oif": int(zone)} if zone else {"dst": address}
        (route,) = self._request(f"no route to {peer}", "route", "get", **what)
        (interface,) = self._request(f"the interface towards {peer}", "link", "get", index=route.get("oif"))
        return route, interface

    def _request(self, failure: str, kind: str, command: str, /, **what: Any) -> list[Any]:
        """Have one request answered. Raises `PlaneError`: what failed, in our words, and why, in the kernel's."""
        with _told(failure):
            asked: Callable[..., Any] = getattr(self._route, kind)
            return list(asked(command, **what))


@contextmanager
def _told(failure: str) -> Iterator[None]:
    """Turn the errors of pyroute2 into ours; NetlinkError is no OSError."""
    try:
        yield
    except NetlinkError as error:
        raise PlaneError(error.code, f"{failure}: {error.args[1]}") from error
    except OSError as error:
        raise PlaneError(error.errno or 0, f"{failure}: {error.strerror or error}") from error


def _address_of(link: Link) -> _Address | None:
    """Read the addresses of a link. Raises `PlaneError` naming what is wrong."""
    if not link.address:
        if link.peer_address:
            raise PlaneError(errno.EINVAL, f"the peer's address `{link.peer_address}` needs one of ours beside it")
        return None
    try:
        near = ip_interface(link.address)
    except ValueError:
        raise PlaneError(errno.EINVAL, f"`{link.address}` is no address of an interface") from None
    if not link.peer_address:
        return _Address(near, near.ip)
    try:
        far = ip_address(link.peer_address)
    except ValueError:
        raise PlaneError(errno.EINVAL, f"`{link.peer_address}` is no address") from None
    if far.version != near.version:
        raise PlaneError(errno.EINVAL, f"the addresses {near} and {far} are of different families")
    return _Address(near, far)


def _vlan_name(interface: str, vlan_id: int) -> str:
    name = f"{interface}.{vlan_id}"
    if len(name.encode()) > NAME_OCTETS:
        text = f"the VLAN link's name `{name}` is longer than {NAME_OCTETS} octets: give the interface a shorter one"
        raise PlaneError(errno.ENAMETOOLONG, text)
    return name
