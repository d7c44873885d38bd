"""Who has which address and prefix: nobody has what another has, a part of it, or what it is a part of. Pure.

Of IPv4 there are single addresses, which a dictionary finds. Of two prefixes of IPv6 one contains the other or they have nothing in common. An owner may
have one within another, an address on its own link, but never one within another owner's; so whatever meets a prefix stands near it in their order.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator, KeysView
from typing import Final, NamedTuple

_MOST: Final = 4  # that one owner has of IPv6, and one more


class _Stretch(NamedTuple):
    """An address or prefix of IPv6: its first and its last address as numbers, and how it is written."""

    first: int
    last: int
    text: str


class Holdings:
    """Addresses and prefixes, and their owners, each of whom has three of IPv6 at most."""

    def __init__(self) -> None:
        """Begin without any."""
        self._owners: dict[str, Hashable] = {}
        self._routed: dict[str, Hashable] = {}  # to whom, of what nobody had then
        self._stretches: list[_Stretch] = []  # in ascending order

    def __contains__(self, text: object) -> bool:
        """Tell whether anybody has an address or prefix, a part of it, or what it is a part of, or this very one is routed to somebody."""
        if text in self._owners or text in self._routed:
            return True
        return isinstance(text, str) and next(self._meeting(text), None) is not None

    @property
    def all(self) -> KeysView[str]:
        """Everything that anybody has."""
        return self._owners.keys()

    def owner(self, text: str) -> Hashable | None:
        """Return who has this very address or prefix, or has it routed to it, None: nobody."""
        return self._routed.get(text) if text not in self._owners else self._owners[text]

    def add(self, text: str, owner: Hashable) -> None:
        """Note that an owner has an address or prefix, for which `others_have` does not hold."""
        self._owners[text] = owner
        if ":" in text:
            insort(self._stretches, _stretch(text))

    def remove(self, text: str) -> None:
        """Note that nobody has an address or prefix any longer."""
        del self._owners[text]
        if ":" in text:
            del self._stretches[bisect_left(self._stretches, _stretch(text))]

    def route(self, text: str, owner: Hashable) -> None:
        """Note to whom an address or prefix is routed that nobody has."""
        self._routed[text] = owner

    def unroute(self, text: str) -> None:
        """Note that it is so no longer."""
        del self._routed[text]

    def others_have(self, text: str, owner: Hashable) -> bool:
        """Tell whether somebody else has it, a part of it or a route for it, or the owner has this very one."""
        if self._routed.get(text, owner) != owner:
            return True
        return text in self._owners or any(self._owners[one.text] != owner for one in self._meeting(text))

    def has_around(self, text: str, owner: Hashable) -> bool:
        """Tell whether an owner has a prefix of which this is a part."""
        return any(self._owners[one.text] == owner and _contains(one, text) for one in self._meeting(text))

    def _meeting(self, text: str) -> Iterator[_Stretch]:
        """Yield what meets an address or prefix: all of it that has one owner, enough to know of another if there are more."""
        if ":" not in text or not self._stretches:
            return
        asked = _stretch(text)
        place = bisect_left(self._stretches, (asked.first,))
        for near in self._stretches[max(place - _MOST, 0) : place + _MOST]:
            if near.first <= asked.last and asked.first <= near.last:
                yield near


def _contains(around: _Stretch, text: str) -> bool:
    asked = _stretch(text)
    return around.first <= asked.first and asked.last <= around.last


def _stretch(text: str) -> _Stretch:
    address, _, length = text.partition("/")
    first = int(ipaddress.IPv6Address(address))  # a third of what a whole network takes to read
    behind = 128 - int(length or 128)
    return _Stretch(first, first | (1 << behind) - 1, text)
