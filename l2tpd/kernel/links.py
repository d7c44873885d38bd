"""The network interface of a session: size, VLAN link, addresses, bridge; and by which interface a peer is reached. Everything here blocks.

Theory of operation. Requests go to the kernel over one rtnetlink socket. What the operator wrote is read before the kernel is asked for anything,
and the kernel is asked for nothing that was not written: each request takes time that a session waits for. Settling goes from the bottom up, first
the interface, then the VLAN link on it, then addresses and bridge, and switches on last, so that no packet sees half of it. All that one interface
needs goes to the kernel at once, which goes on behind what it refuses: an interface that lacks something may be switched on until it is removed. A VLAN
link made here is removed again when anything after it fails; the interface itself is its maker's to remove, and addresses and bridge membership go
with it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)
from typing import NamedTuple

from l2tpd.errors import PlaneError
from l2tpd.kernel import nlsock, rtnl
from l2tpd.kernel.ops import Link

Network = IPv4Network | IPv6Network

NAME_OCTETS = 15
"""How long the name of an interface may be (IFNAMSIZ of linux/if.h, less the final zero)."""


_NOT_HELD = frozenset({errno.ENOENT, errno.EINVAL})  # no discipline there, or of another kind


class _Address(NamedTuple):
    """One address of an interface, as rtnetlink says it: `far` is the peer's, or our own where there is none."""

    near: IPv4Interface | IPv6Interface
    far: IPv4Address | IPv6Address


class _Step(NamedTuple):
    """One request of several, and what has failed if the kernel refuses it with another error than `tolerated`."""

    failure: str
    request: Callable[[int], bytes]
    tolerated: int = 0


class Links:
    """The interfaces and routes of the network namespace that its maker was in. Use it from one thread at a time."""

    def __init__(self) -> None:
        """Open the socket. Raises `PlaneError`."""
        self._route = nlsock.Conversation(nlsock.ROUTE)

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
                self._request(f"interface {name} cannot be removed", partial(rtnl.delete_link, index=self._index(name)))
            raise
        return name

    def add_address(self, interface: str, link: Link) -> None:
        """Give an interface that is settled otherwise the addresses of `link`, if it has any. Raises `PlaneError` with what is wrong."""
        if (address := _address_of(link)) is not None:
            self._take([_addressing(self._index(interface), interface, address)])

    def disown(self, interface: str) -> None:
        """Have the kernel give an interface no IPv6 address of its own making; one that knows no IPv6 does so anyway."""
        index = self._index(interface)
        with suppress(PlaneError):
            self._request("", partial(rtnl.no_own_address, index=index))

    def hold(self, interface: str) -> None:
        """Have an interface drop what it should send, until `release`; it receives all the same. Raises `PlaneError`."""
        self._request(f"interface {interface} cannot be held", partial(rtnl.hold, index=self._index(interface)))

    def release(self, interface: str) -> None:
        """Let an interface send again; nothing happens where somebody has given it another queueing discipline meanwhile. Raises `PlaneError`."""
        try:
            self._request(f"interface {interface} stays held", partial(rtnl.release, index=self._index(interface)))
        except PlaneError as error:
            if error.errno not in _NOT_HELD:
                raise

    def add_route(self, interface: str, prefix: Network, mtu: int = 0) -> None:
        """Route a prefix into an interface, with packets of at most `mtu` octets; 0: as many as the interface takes. Raises `PlaneError`."""
        what = partial(rtnl.add_route, index=self._index(interface), prefix=prefix, mtu=mtu)
        self._request(f"{prefix} cannot be routed into {interface}", what)

    def delete_route(self, interface: str, prefix: Network) -> None:
        """Take back what `add_route` has done. Raises `PlaneError`."""
        what = partial(rtnl.delete_route, index=self._index(interface), prefix=prefix)
        self._request(f"the route of {prefix} into {interface} stays", what)

    def route_interface(self, peer: str) -> str:
        """Return the interface by which a numeric address is reached, a link-local one with the number of its own behind `%`. Raises `PlaneError`."""
        return self._towards(peer, self._way(peer)).name

    def path_mtu(self, peer: str) -> int:
        """Return how many octets a packet to an address, as `route_interface` takes it, may have: what the route says, else its interface.

        Raises `PlaneError` when there is no route.
        """
        route = self._way(peer)
        return route.mtu or self._towards(peer, route).mtu

    # --- within -----------------------------------------------------------------------------------------------------------------

    def _dress(self, index: int, name: str, mtu: int, address: _Address | None, bridge: int) -> None:
        steps = [_Step(f"interface {name} takes no MTU of {mtu}", partial(rtnl.set_link, index=index, mtu=mtu))]
        if bridge:
            joining = partial(rtnl.set_link, index=index, master=bridge)
            steps.append(_Step(f"interface {name} cannot join the bridge", joining))
        if address is not None:
            steps.append(_addressing(index, name, address))
        switching_on = partial(rtnl.set_link, index=index, up=True)
        steps.append(_Step(f"interface {name} cannot be switched on", switching_on))
        self._take(steps)

    def _take(self, steps: Sequence[_Step]) -> None:
        """Take several steps at once. Raises `PlaneError` with the first that failed, by when the kernel has taken those behind it too."""
        refused = self._route.ask_all([step.request for step in steps])
        for place, step in enumerate(steps):
            error = refused.get(place)
            if error is not None and error.errno != step.tolerated:
                raise PlaneError(error.errno, f"{step.failure}: {error.text}") from error

    def _add_vlan(self, name: str, master: int, vlan_id: int) -> bool:
        """Make a VLAN link, and tell whether it had to be made."""
        there = self._find(name)
        if there is None:
            what = partial(rtnl.add_vlan, name=name, lower=master, vlan_id=vlan_id)
            self._request(f"VLAN link {name} cannot be made", what)
            return True
        if (there.lower, there.vlan_id) != (master, vlan_id):
            raise PlaneError(errno.EEXIST, f"an interface `{name}` exists already, and is not this VLAN link")
        return False

    def _bridge(self, name: str) -> int:
        found = self._find(name)
        if found is None:
            raise PlaneError(errno.ENODEV, f"there is no bridge `{name}`")
        if found.kind != "bridge":
            raise PlaneError(errno.EINVAL, f"interface `{name}` is not a bridge")
        return found.number

    def _index(self, name: str) -> int:
        index = self._route.index(name) if 0 < len(name.encode()) <= NAME_OCTETS else 0
        if not index:
            raise PlaneError(errno.ENODEV, f"there is no interface `{name}`")
        return index

    def _find(self, name: str) -> rtnl.LinkFacts | None:
        if not 0 < len(name.encode()) <= NAME_OCTETS:
            return None
        try:
            (found,) = self._request(f"interface {name}", partial(rtnl.find_link, name=name))
        except PlaneError as error:
            if error.errno != errno.ENODEV:
                raise
            return None
        return rtnl.link_of(found)

    def _way(self, peer: str) -> rtnl.RouteFacts:
        address, _, zone = peer.partition("%")
        try:
            what = partial(rtnl.get_route, address=ip_address(address), interface=int(zone or 0))
        except ValueError:
            raise PlaneError(errno.EINVAL, f"no route to {peer}, which is no address") from None
        (route,) = self._request(f"no route to {peer}", what)
        return rtnl.route_of(route)

    def _towards(self, peer: str, route: rtnl.RouteFacts) -> rtnl.LinkFacts:
        what = partial(rtnl.get_link, index=route.interface)
        (interface,) = self._request(f"the interface towards {peer}", what)
        return rtnl.link_of(interface)

    def _request(self, failure: str, request: Callable[[int], bytes]) -> list[bytes]:
        """Have one request answered. Raises `PlaneError`: what failed, in our words, and why, in the kernel's."""
        try:
            return self._route.ask(request(self._route.next()))
        except PlaneError as error:
            raise PlaneError(error.errno, f"{failure}: {error.text}") from error


def _addressing(index: int, name: str, address: _Address) -> _Step:
    adding = partial(rtnl.add_address, index=index, near=address.near, far=address.far)
    return _Step(f"interface {name} does not take the address {address.near}", adding, errno.EEXIST)


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
