"""Addresses of one pool: handed out, given back, and left to rest before anybody else gets them. Pure; time comes in seconds.

A pool may hold prefixes of one length in place of addresses. They are counted as addresses are, in units of that length, and written as prefixes; what
is said here of an address holds for such a prefix.

A pool never lists its addresses: it counts through its ranges once, and then takes whichever address has rested longest. Both cost the same for a
/30 as for a /8. An address that was in use a moment ago would receive what was meant for its last user, so it is nobody else's for `quarantine`
seconds; the user that had it may have it back at once, as whoever reconnects likes it.

An address of which somebody has a part, or what it is a part of, without having it from here, is passed over: nobody will give it back, so it is looked at
again once there are no others.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

from l2tpd.errors import Exhausted

_IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class Span(NamedTuple):
    """Addresses from `first` to `last`, as numbers of one IP version; of prefixes, without the bits behind their length."""

    version: int
    first: int
    last: int


class Place(NamedTuple):
    """Where an address or a prefix stands among all addresses of its IP version; of an address `length` is 0."""

    version: int
    number: int
    length: int = 0


class _Rest(NamedTuple):
    """Since when an address rests, and who had it; empty: nobody that has a name."""

    since: float
    user: str


_NONE: Final[Mapping[str, Place]] = {}
REMEMBERED: Final = (
    1 << 18
)  # addresses that have been used and are free: of IPv6, more than anybody has memory for would come together
_STEPS: Final = 2000  # over addresses that may not be handed out, while somebody waits: a prefix that somebody has may hold billions
_LOOKS: Final = 1000  # at addresses that were passed over, before one is said not to be there: a thousand logins later, all were looked at


class AddressPool:
    """The addresses of one `[pool.NAME]`."""

    def __init__(
        self,
        ranges: str,
        *,
        length: int = 0,
        exclude: str = "",
        reserved: Mapping[str, Place] = _NONE,
        quarantine: float = 0.0,
        taken: Container[str] = (),
        held: Iterable[str] = (),
    ) -> None:
        """Begin with everything free but `reserved`, of which somebody else disposes, and what is `taken` when it would be handed out.

        What is `held` will be given back, as if it had been handed out by `take`.

        `reserved` comes with where each address stands, by `places`: it is the same for all pools, and long.

        Ranges are prefixes or `FIRST-LAST`, separated by commas. Of an IPv4 prefix longer than two addresses the first and the last are left out:
        they are the network's own (RFC 1812 4.2.3.1). Those of `exclude` are left out whole. `length`: of IPv6 prefixes to hand out; 0: addresses.
        """
        self.ranges = ranges
        self._length = length
        self._quarantine = quarantine
        self._spans = without(spans(ranges, length=length), spans(exclude, length=length, whole=True))
        self._reserved = frozenset(address for address, place in reserved.items() if self._holds(place))
        self._taken = taken
        self._unused = _count_through(self._spans, length)
        self._held = set(held)  # by somebody who will give it back
        self._passed: OrderedDict[str, None] = OrderedDict()  # over, the longest ago first
        self._resting: OrderedDict[str, _Rest] = OrderedDict()  # in quarantine, the first to leave it first
        self._rested: OrderedDict[str, str] = OrderedDict()  # and who had it, the longest rested first
        self._former: dict[str, str] = {}  # by user, its last address, while that is nobody's

    @property
    def size(self) -> int:
        """How many addresses there are, reserved ones included."""
        return sum(span.last - span.first + 1 for span in self._spans)

    @property
    def used(self) -> int:
        """How many addresses are somebody's who will give them back."""
        return len(self._held)

    @property
    def reserved(self) -> int:
        """How many of them are not for everybody."""
        return len(self._reserved)

    def reserved_among(self, addresses: AbstractSet[str]) -> int:
        """Return how many of these are reserved here. They may be all that there are, so none of them is read."""
        return len(addresses & self._reserved)

    def quarantined(self, now: float) -> int:
        """Return how many addresses are nobody's, and nobody may have yet."""
        self._release(now)
        return len(self._resting)

    def take(self, now: float, user: str = "") -> str:
        """Hand out an address: the one that this user had, else one that was never used, else the one that has rested longest. Raises `Exhausted`.

        Once very many rest, the one that has done so for longest comes first.
        """
        self._release(now)
        address = self._again(user)
        if not address and len(self._rested) >= REMEMBERED:
            address = self._longest_rested()
        address = address or self._fresh() or self._longest_rested() or self._long_passed()
        if not address:
            resting = f", {len(self._resting)} of them in quarantine" if self._resting else ""
            raise Exhausted(f"every address of {self.ranges} is in use{resting}")
        self._held.add(address)
        return address

    def claim(self, address: str) -> None:
        """Count an address of this pool that somebody has without having been handed it by `take`."""
        self._forget(address)
        self._held.add(address)

    def give_back(self, address: str, now: float, user: str = "") -> None:
        """Take an address back; it rests from now on."""
        self._held.discard(address)
        self._passed.pop(address, None)
        if address not in self:
            return  # by now, it is not for everybody
        self._resting[address] = _Rest(now, user)
        if user:
            self._former[user] = address

    def inherit(self, other: AddressPool) -> None:
        """Go on from a pool with other settings: what rested there rests here."""
        for address, rest in other._resting.items():
            if address in self:
                self._resting[address] = rest
        for address, user in other._rested.items():
            if address in self:
                self._rested[address] = user
        self._former = {user: address for user, address in other._former.items() if address in self}

    def __contains__(self, address: object) -> bool:
        """Tell whether an address is one that this pool may hand out."""
        return isinstance(address, str) and address not in self._reserved and self.covers(address)

    def covers(self, address: str) -> bool:
        """Tell whether an address is one of these, be it reserved."""
        return self._holds(_place(address))

    def cuts(self, prefix: str) -> bool:
        """Tell whether a prefix is not one of these and yet has addresses in common with them: the pool would hand these out a second time."""
        network = ipaddress.ip_network(prefix)
        ends = network.network_address, network.broadcast_address
        first, last = (_units(int(end), self._length) for end in ends)
        meets = any(
            span.version == network.version and span.first <= last and first <= span.last for span in self._spans
        )
        return meets and not self.covers(prefix)

    # --- within -----------------------------------------------------------------------------------------------------------------

    def _holds(self, place: Place) -> bool:
        if place.length != self._length:
            return False
        number = _units(place.number, self._length)
        at = bisect_right(self._spans, (place.version, number, _BEYOND)) - 1
        return at >= 0 and self._spans[at].version == place.version and number <= self._spans[at].last

    def _release(self, now: float) -> None:
        """Let the addresses go that have been in quarantine for long enough."""
        while self._resting:
            address, rest = next(iter(self._resting.items()))
            if rest.since + self._quarantine > now:
                return
            del self._resting[address]
            self._rested[address] = rest.user

    def _again(self, user: str) -> str:
        """Return the address that a user had before, unless somebody has it."""
        address = self._former.get(user, "") if user else ""
        if not address or address in self._taken:
            return ""
        self._forget(address)
        return address

    def _fresh(self) -> str:
        until = len(self._passed) + _STEPS
        for address in self._unused:
            if not (address in self._reserved or self._known(address) or self._pass_over(address)):
                return address
            if len(self._passed) >= until:
                break  # whoever comes next goes on from here
        return ""

    def _longest_rested(self) -> str:
        while self._rested:
            address, user = self._rested.popitem(last=False)
            self._unlearn(user, address)
            if not self._pass_over(address):
                return address
        return ""

    def _long_passed(self) -> str:
        for _ in range(min(len(self._passed), _LOOKS)):
            address, _ = self._passed.popitem(last=False)
            if not self._pass_over(address):
                return address
        return ""

    def _pass_over(self, address: str) -> bool:
        """Tell whether an address may not be handed out now, and remember it if so."""
        if address not in self._taken:
            return False
        self._passed[address] = None
        return True

    def _known(self, address: str) -> bool:
        return address in self._held or address in self._resting or address in self._rested

    def _forget(self, address: str) -> None:
        """Let an address rest no longer, and be passed over no longer."""
        self._passed.pop(address, None)
        rest = self._resting.pop(address, None)
        user = self._rested.pop(address, "") if rest is None else rest.user
        self._unlearn(user, address)

    def _unlearn(self, user: str, address: str) -> None:
        if self._former.get(user) == address:
            del self._former[user]


_BEYOND = 1 << 129  # greater than every address
_BITS = 128  # of an IPv6 address: only such come as prefixes


def places(addresses: Iterable[str]) -> Mapping[str, Place]:
    """Return where each address stands."""
    return {address: _place(address) for address in addresses}


def _place(address: str) -> Place:
    if "/" not in address:
        ip = ipaddress.ip_address(address)
        return Place(ip.version, int(ip))
    network = ipaddress.ip_network(address)
    return Place(network.version, int(network.network_address), network.prefixlen)


def spans(ranges: str, *, length: int = 0, whole: bool = False) -> list[Span]:
    """Return the addresses of ranges in ascending order, each once, or the prefixes of a length; `whole`: with the ends of networks.

    A prefix that lies in a range only by a part is not among them, but with `whole` it is. Raises `ValueError`.
    """
    found = sorted(_span(part.strip(), length, whole=whole) for part in ranges.split(",") if part.strip())
    merged: list[Span] = []
    for span in found:
        if span.first > span.last:
            continue
        if merged and merged[-1].version == span.version and span.first <= merged[-1].last + 1:
            merged[-1] = merged[-1]._replace(last=max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return merged


def without(some: Iterable[Span], others: Collection[Span]) -> list[Span]:
    """Return the addresses of `some` that are not among `others`; both are in ascending order."""
    left: list[Span] = []
    for span in some:
        rest = span
        for other in others:
            if other.version != rest.version or other.last < rest.first or other.first > rest.last:
                continue
            if other.first > rest.first:
                left.append(rest._replace(last=other.first - 1))
            rest = rest._replace(first=other.last + 1)
        if rest.first <= rest.last:
            left.append(rest)
    return left


def _span(text: str, length: int, *, whole: bool) -> Span:
    first, dash, last = text.partition("-")
    if dash:
        low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        return _in_units(low.version, int(low), int(high), length, whole=whole)
    network = ipaddress.ip_network(text)
    ends = int(network.version == 4 and network.num_addresses > 2 and not whole)
    start = int(network.network_address)
    return _in_units(network.version, start + ends, start + network.num_addresses - 1 - ends, length, whole=whole)


def _in_units(version: int, first: int, last: int, length: int, *, whole: bool) -> Span:
    """Count addresses by prefixes: those that lie within whole, or all that have some of them."""
    behind = _BITS - length if length else 0
    if whole:
        return Span(version, first >> behind, last >> behind)
    return Span(version, -(-first >> behind), ((last + 1) >> behind) - 1)


def _units(number: int, length: int) -> int:
    return number >> (_BITS - length if length else 0)


def _count_through(within: Iterable[Span], length: int) -> Iterator[str]:
    for version, first, last in within:
        kind: type[_IpAddress] = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
        for number in range(first, last + 1):
            yield f"{kind(number << (_BITS - length))}/{length}" if length else str(kind(number))
