"""What one PPP session gets for as long as it lasts, whoever runs its PPP: settings, addresses, an interface name, credentials. Given back at its end."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import attrs

from l2tpd.config.model import Config, PppAuthority, PppEngine, PppSettings, Role, User
from l2tpd.config.resolve import PppProfiles
from l2tpd.errors import Exhausted, LocalProtocolError
from l2tpd.ppp.addresses import Addresses, Fill, Use
from l2tpd.ppp.lease import DEFAULT_MTU, Lease

if TYPE_CHECKING:
    from l2tpd.config.model import SessionSettings
    from l2tpd.session.call import Call

_NOBODY = User()
_NUMBERS = 1 << 16  # that a pattern of names has


class Name(NamedTuple):
    """Whose a session is: two authorities may know two people by one name."""

    authority: PppAuthority
    user: str


class _Guest(NamedTuple):
    """A session of which it is known whose it is, and what has it end."""

    name: Name
    make_way: Callable[[], None]


@attrs.define(eq=False)
class Tenure:
    """Has what a session needs, as long as it lasts; no generator, which would take ten times the memory for each session."""

    _leases: Leases
    _call: Call
    _at_once: bool
    _interface: str = ""

    def __enter__(self) -> Lease:
        lease = self._leases.let(self._call, at_once=self._at_once)
        self._interface = lease.interface
        return lease

    def __exit__(self, *_: object) -> None:
        self._leases.take_back(self._call, self._interface)


class Leases:
    """All that the PPP sessions of a daemon hold."""

    def __init__(self, config: Callable[[], Config], clock: Callable[[], float] = time.monotonic) -> None:
        """Take settings from the configuration in force; `clock` tells seconds."""
        self.config = config
        self._clock = clock
        self._resolved: PppProfiles | None = None
        self._addresses = Addresses()
        self._names = _Names()
        self._guests: dict[Call, _Guest] = {}
        self._sessions: dict[Name, dict[Call, None]] = {}  # one name may have thousands
        self._watched: dict[Call, list[Callable[[], None]]] = {}

    def fill(self, pool: str) -> Fill:
        """Tell how full a pool of the configuration is."""
        self._addresses.configure(self.config())
        return self._addresses.fill(pool, self._clock())

    def engine(self, call: Call) -> PppEngine:
        """Return who is to run the PPP of a session."""
        profiles = self._profiles()
        return profiles.settings(_profile(profiles, call)).ppp_engine

    def shared(self, call: Call) -> str:
        """Return the PPP profile whose interface a session shares; empty: it has one of its own."""
        profiles = self._profiles()
        profile = _profile(profiles, call)
        return profile if call.kind.role is Role.LNS and profiles.settings(profile).shared_interface else ""

    def timeouts(self, call: Call, lease: Lease) -> tuple[float, float]:
        """Return how long a session may last and be idle, in seconds, 0: for ever; as its user has it, else its profile, in the configuration in force.

        Where that has no such profile any longer, it counts as one that says nothing.
        """
        profiles, config = self._profiles(), self.config()
        ppp = profiles.settings(lease.profile if lease.profile in config.ppp_profiles else "default")
        user = config.users.get(call.ppp_user, _NOBODY) if lease.ppp.authority is PppAuthority.USERS else _NOBODY
        return user.session_timeout or ppp.session_timeout, user.idle_timeout or ppp.idle_timeout

    def lease(self, call: Call, *, at_once: bool = False) -> Tenure:
        """Reserve what a session needs and take it back afterwards. Raises `LocalProtocolError` and `Exhausted` when it is entered.

        `at_once`: with an address for the peer, before anybody knows who that is; else `take` or `claim` gives it one.
        """
        return Tenure(self, call, at_once)

    def let(self, call: Call, *, at_once: bool) -> Lease:
        """Reserve what a session needs, until it is taken back. Raises `LocalProtocolError` and `Exhausted`."""
        profiles, asked = self._profiles(), call.settings
        profile = _profile(profiles, call)
        ppp = profiles.settings(profile)
        lns = call.kind.role is Role.LNS
        pool = ppp.pool if lns else ""
        if pool:
            self._check(profiles.config, profile, ppp)
        interface = self._names.take(asked.interface_name)
        try:
            return Lease(
                ppp=ppp,
                profile=profile,
                lns=lns,
                interface=interface,
                mtu=ppp.mtu or asked.mtu or DEFAULT_MTU,
                local=ppp.local_address if lns else "",
                pool=pool,
                remote=self.take(call, pool) if pool and at_once else "",
                **_credentials(asked, ppp),
            )
        except BaseException:
            self.take_back(call, interface)
            raise

    def take_back(self, call: Call, interface: str) -> None:
        """Let other sessions have what one has had, and the name of its interface."""
        self._names.give_back(call.settings.interface_name, interface)
        self._addresses.release(call, self._clock())
        self._leave(call)
        for tell in self._watched.pop(call, ()):
            tell()

    # --- what a session is given once it is known who the peer is ------------------------------------------------------------------

    def enter(self, call: Call, name: Name, limit: int, make_way: Callable[[], None]) -> bool:
        """Count a session of a user; tell whether that may be: with it there are at most `limit`, where 0 is any number. `make_way` ends it."""
        there = self._sessions.get(name, {})
        if limit and len(there) - (call in there) >= limit:
            return False
        self._leave(call)
        self._guests[call] = _Guest(name, make_way)
        self._sessions.setdefault(name, {})[call] = None
        return True

    def others(self, call: Call, name: Name) -> list[Call]:
        """Return the sessions of a user, but for one."""
        return [other for other in self._sessions.get(name, ()) if other is not call]

    def send_away(self, call: Call, tell: Callable[[], None]) -> None:
        """End one of the `others`, and have `tell` called once it has given back what it had."""
        self._watched.setdefault(call, []).append(tell)
        self._guests[call].make_way()

    def take(self, call: Call, pool: str, use: Use = Use.ADDRESS) -> str:
        """Return an address out of a pool, or out of the next one, for as long as the lease lasts. Raises `Exhausted` and `LocalProtocolError`."""
        self._addresses.configure(self.config())
        return self._addresses.take(pool, call, self._clock(), self._user(call), use)

    def claim(self, call: Call, address: str, use: Use = Use.ADDRESS) -> bool:
        """Let a session have an address that is assigned to it, unless another one has it or a part of it; tell which."""
        self._addresses.configure(self.config())
        return self._addresses.claim(address, call, self._clock(), self._user(call), use)

    def claim_route(self, call: Call, prefix: str) -> bool:
        """Let a session have a prefix routed to its peer for as long as the lease lasts, unless another one has it; tell which."""
        return self._addresses.route(prefix, call)

    def _profiles(self) -> PppProfiles:
        """Return the profiles of the configuration in force."""
        config = self.config()
        if self._resolved is None or self._resolved.config is not config:
            self._resolved = PppProfiles(config)
        return self._resolved

    def _leave(self, call: Call) -> None:
        guest = self._guests.pop(call, None)
        if guest is not None:
            del self._sessions[guest.name][call]
            if not self._sessions[guest.name]:
                del self._sessions[guest.name]

    def _user(self, call: Call) -> str:
        guest = self._guests.get(call)
        return guest.name.user if guest else ""

    def _check(self, config: Config, profile: str, ppp: PppSettings) -> None:
        """Raise `LocalProtocolError` for a pool that no session can use."""
        if not ppp.local_address:
            raise LocalProtocolError(f"the PPP profile `{profile}` has a pool but no local_address")
        self._addresses.configure(config)
        self._addresses.check(ppp.pool)


class _Names:
    """The interface names that sessions ask for."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._lowest: dict[str, int] = {}  # by pattern, the number from which on some may be free

    def take(self, pattern: str) -> str:
        """Return the name to ask for: `%d` becomes the lowest number that is free. Raises `Exhausted`."""
        before, mark, after = pattern.partition("%d")
        if not mark:
            return pattern
        lowest = self._lowest.get(pattern, 0)
        for number in chain(range(lowest, _NUMBERS), range(lowest)):
            name = f"{before}{number}{after}"
            if name not in self._taken and not _exists(name):
                self._taken.add(name)
                self._lowest[pattern] = number + 1
                return name
        raise Exhausted(f"no interface name `{pattern}` is free")

    def give_back(self, pattern: str, name: str) -> None:
        """Let another session have a name; nothing happens if `take` gave none, or had no choice."""
        before, mark, after = pattern.partition("%d")
        if mark and name in self._taken:
            self._taken.discard(name)
            number = int(name[len(before) : len(name) - len(after)])
            self._lowest[pattern] = min(number, self._lowest[pattern])


def _profile(profiles: PppProfiles, call: Call) -> str:
    """Return the name of a session's PPP profile."""
    return profiles.name(call.settings.pseudowire_profile)


def _credentials(asked: SessionSettings, ppp: PppSettings) -> dict[str, str]:
    """Return user and password of a session: its own, else those of its PPP profile."""
    whose = asked if asked.user else ppp
    return {"user": whose.user, "password": whose.password}


def _exists(interface: str) -> bool:
    try:
        socket.if_nametoindex(interface)
    except OSError:
        return False
    return True
