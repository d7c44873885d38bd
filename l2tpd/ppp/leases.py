"""What one PPP session gets for as long as it lasts, whoever runs its PPP: settings, addresses, an interface name, credentials. Given back at its end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import attrs

from l2tpd.config.model import Config, PppEngine, PppSettings, Role
from l2tpd.config.resolve import ppp_settings, pseudowire_settings
from l2tpd.errors import Exhausted, LocalProtocolError
from l2tpd.ppp.pool import AddressPool

if TYPE_CHECKING:
    from l2tpd.config.model import SessionSettings
    from l2tpd.session.call import Call

DEFAULT_MTU = 1400
"""Octets: what an Ethernet path carries after IP, UDP, L2TP and PPP headers, with room for one more encapsulation such as PPPoE or IPsec."""

_NUMBERS = 1 << 16  # that a pattern of names has


@attrs.frozen(kw_only=True)
class Lease:
    """What a session has been given; addresses are empty where there is none to give."""

    ppp: PppSettings
    lns: bool
    interface: str = ""  # empty: any
    mtu: int = DEFAULT_MTU
    local: str = ""
    remote: str = ""
    user: str = ""
    password: str = attrs.field(default="", repr=False)


class Leases:
    """All that the PPP sessions of a daemon hold."""

    def __init__(self, config: Callable[[], Config]) -> None:
        """Take settings from the configuration in force."""
        self._config = config
        self._pools: dict[str, AddressPool] = {}
        self._names = _Names()

    def used(self, pool: str) -> int:
        """Return how many addresses of a pool are handed out."""
        return self._pools[pool].used if pool in self._pools else 0

    def engine(self, call: Call) -> PppEngine:
        """Return who is to run the PPP of a session."""
        config = self._config()
        return ppp_settings(config, _profile(config, call)).ppp_engine

    @contextmanager
    def lease(self, call: Call) -> Iterator[Lease]:
        """Reserve what a session needs and take it back afterwards. Raises `LocalProtocolError` and `Exhausted`."""
        config, asked = self._config(), call.settings
        profile = _profile(config, call)
        ppp = ppp_settings(config, profile)
        lns = call.kind.role is Role.LNS
        pool = self._pool(config, ppp.pool) if lns and ppp.pool else None
        if pool and not ppp.local_address:
            raise LocalProtocolError(f"the PPP profile `{profile}` has a pool but no local_address")
        remote = pool.take() if pool else ""
        interface = ""
        try:
            interface = self._names.take(asked.interface_name)
            yield Lease(
                ppp=ppp,
                lns=lns,
                interface=interface,
                mtu=ppp.mtu or asked.mtu or DEFAULT_MTU,
                local=ppp.local_address if lns else "",
                remote=remote,
                **_credentials(asked, ppp),
            )
        finally:
            self._names.give_back(asked.interface_name, interface)
            if pool:
                self._pools[ppp.pool].give_back(remote)
            call.ppp_local = call.ppp_remote = ""

    def _pool(self, config: Config, name: str) -> AddressPool:
        """Return the pool of this name, with the ranges that the configuration in force gives it. Raises `LocalProtocolError`."""
        settings = config.pools.get(name)
        if settings is None:
            raise LocalProtocolError(f"there is no pool `{name}`")
        if ":" in settings.range:
            raise LocalProtocolError(f"the pool `{name}` holds IPv6 addresses, which IPCP cannot give (RFC 1332)")
        pool = self._pools.get(name)
        if pool is None or pool.ranges != settings.range:
            ours = {ppp_settings(config, profile).local_address for profile in ("default", *config.ppp_profiles)}
            renewed = AddressPool(settings.range, ours)
            if pool is not None:
                renewed.inherit(pool)
            pool = self._pools[name] = renewed
        return pool


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


def _profile(config: Config, call: Call) -> str:
    """Return the name of a session's PPP profile."""
    return pseudowire_settings(config, call.settings.pseudowire_profile).ppp_profile


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
