"""Which tunnels there are: look-ups by id, name and caller, and the counts that limits are about. No I/O.

The registry holds the shell's tunnel objects without knowing what they are; what it needs to know of one is its control connection. Counts are
kept by adding and removing, never guessed from events, so they cannot drift from what is there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from l2tpd.errors import LocalProtocolError

if TYPE_CHECKING:
    from l2tpd.config.model import Address
    from l2tpd.tunnel.core import ControlConnection


class Entry(Protocol):
    """Whatever the shell keeps for a tunnel."""

    @property
    def core(self) -> ControlConnection:
        """Return its control connection."""


E = TypeVar("E", bound=Entry)
Caller = tuple["Address", int]
"""A peer's address and the tunnel id that it assigned: what makes an SCCRQ a copy of another."""


class Registry(Generic[E]):
    """All tunnels of a daemon that are not over."""

    def __init__(self) -> None:
        """Start empty."""
        self.by_id: dict[int, E] = {}
        self.sessions = 0
        self.half_open = 0
        self._by_name: dict[str, E] = {}
        self._by_caller: dict[Caller, E] = {}
        self._calling: dict[str, dict[int, E]] = {}
        self._called: dict[int, str] = {}
        self._half_open_by_source: dict[str, int] = {}
        self._by_peer: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many tunnels there are."""
        return len(self.by_id)

    def __iter__(self) -> Iterator[E]:
        """Go through a snapshot of the tunnels."""
        return iter(list(self.by_id.values()))

    def add(self, entry: E) -> None:
        """Add a tunnel. Raises `LocalProtocolError` when its name is taken."""
        core = entry.core
        if core.name:
            if core.name in self._by_name:
                raise LocalProtocolError(f"a tunnel called `{core.name}` exists")
            self._by_name[core.name] = entry
        self.by_id[core.local_id] = entry
        if core.origin == "network":
            self._by_peer[core.profile] = self._by_peer.get(core.profile, 0) + 1

    def remove(self, entry: E) -> None:
        """Drop a tunnel; nothing happens when it is gone already."""
        core = entry.core
        if self.by_id.pop(core.local_id, None) is None:
            return
        if self._by_name.get(core.name) is entry:
            del self._by_name[core.name]
        caller = (core.peer, core.peer_id)
        if self._by_caller.get(caller) is entry:
            del self._by_caller[caller]
        if core.origin == "network":
            _lower(self._by_peer, core.profile)

    def named(self, name: str) -> E | None:
        """Return the tunnel of this name."""
        return self._by_name.get(name)

    def names(self) -> list[str]:
        """Return the names of all tunnels that have one."""
        return list(self._by_name)

    def called_by(self, caller: Caller) -> E | None:
        """Return the newest tunnel that this caller asked for."""
        return self._by_caller.get(caller)

    def note_caller(self, entry: E, caller: Caller) -> None:
        """Remember who asked for a tunnel."""
        self._by_caller[caller] = entry

    def from_peer(self, profile: str) -> int:
        """Return how many tunnels callers of a peer entry have."""
        return self._by_peer.get(profile, 0)

    def open_half(self, host: str) -> None:
        """Count a tunnel that a peer has begun to set up."""
        self.half_open += 1
        source = source_of(host)
        self._half_open_by_source[source] = self._half_open_by_source.get(source, 0) + 1

    def close_half(self, host: str) -> None:
        """Count it as set up, or as over."""
        self.half_open -= 1
        _lower(self._half_open_by_source, source_of(host))

    def half_open_from(self, host: str) -> int:
        """Return how many tunnels are being set up from where this host is."""
        return self._half_open_by_source.get(source_of(host), 0)

    def calling(self, host: str) -> list[E]:
        """Return our own unanswered requests to a host."""
        return list(self._calling.get(host, {}).values())

    def note_calling(self, entry: E, host: str) -> None:
        """Remember that a request of ours is under way to a host."""
        self._called[entry.core.local_id] = host
        self._calling.setdefault(host, {})[entry.core.local_id] = entry

    def forget_calling(self, entry: E) -> None:
        """Forget a request: it was answered, or is over."""
        host = self._called.pop(entry.core.local_id, None)
        if host is not None:
            pending = self._calling[host]
            del pending[entry.core.local_id]
            if not pending:
                del self._calling[host]


def source_of(host: str) -> str:
    """Return what counts as one source: an IPv4 address, or an IPv6 /64, since a host may use any address of its own."""
    if ":" not in host:
        return host
    network = int(ipaddress.IPv6Address(host.partition("%")[0])) >> 64
    return f"{network:x}/64"


def _lower(counts: dict[str, int], key: str) -> None:
    left = counts.get(key, 0) - 1
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
