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


Path = tuple["Address", "Address"]
"""Our address and the peer's, both with their ports."""


class Registry(Generic[E]):
    """All tunnels of a daemon that are not over."""

    def __init__(self) -> None:
        """Start empty."""
        self.by_id: dict[int, E] = {}
        self.sessions = 0
        self._half_open: dict[int, E] = {}
        self._by_name: dict[str, E] = {}
        self._by_caller: dict[Caller, E] = {}
        self._calling: dict[str, dict[int, E]] = {}
        self._called: dict[int, str] = {}
        self._half_open_by_source: dict[str, dict[int, E]] = {}
        self._by_peer: dict[str, int] = {}
        self._by_path: dict[Path, E] = {}
        self._paths: dict[int, Path] = {}

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
        path = self._paths.pop(core.local_id, None)
        if path is not None and self._by_path.get(path) is entry:
            del self._by_path[path]

    def occupy(self, entry: E, path: Path) -> None:
        """Remember whose socket is connected so, where no second may be."""
        before = self._paths.get(entry.core.local_id)
        if before is not None and self._by_path.get(before) is entry:
            del self._by_path[before]  # an attempt in vain, towards another address
        self._by_path[path] = entry
        self._paths[entry.core.local_id] = path

    def occupant(self, path: Path) -> E | None:
        """Return the tunnel whose socket is connected so."""
        return self._by_path.get(path)

    def free_name(self, entry: E) -> None:
        """Let another tunnel have the name of one that is on its way out."""
        if self._by_name.get(entry.core.name) is entry:
            del self._by_name[entry.core.name]

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

    def open_half(self, entry: E) -> None:
        """Count a tunnel that a peer has begun to set up."""
        local_id = entry.core.local_id
        self._half_open[local_id] = entry
        self._half_open_by_source.setdefault(source_of(entry.core.peer.host), {})[local_id] = entry

    def close_half(self, entry: E) -> None:
        """Count it as set up, or as over."""
        local_id, source = entry.core.local_id, source_of(entry.core.peer.host)
        self._half_open.pop(local_id, None)
        there = self._half_open_by_source.get(source)
        if there is not None:
            there.pop(local_id, None)
            if not there:
                del self._half_open_by_source[source]

    @property
    def half_open(self) -> int:
        """How many tunnels are being set up by peers."""
        return len(self._half_open)

    def half_open_from(self, host: str) -> int:
        """Return how many tunnels are being set up from where this host is."""
        return len(self._half_open_by_source.get(source_of(host), ()))

    def oldest_half_open(self, host: str = "") -> E | None:
        """Return the one that has been half open longest, of all or of those from where a host is."""
        among = self._half_open_by_source.get(source_of(host), {}) if host else self._half_open
        return next(iter(among.values()), None)

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
