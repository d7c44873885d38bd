"""Which session has which address: all pools together, and the addresses that users have of their own. Pure; time comes in seconds.

Prefixes of IPv6 are held as addresses are, and a session may hold one for each `Use`.

An address has one owner, whichever way it came to it, and so has each part of a prefix. So an address that RADIUS or a secrets file assigns is not handed
out by a pool as well, and two sessions of a user do not share that user's own.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_network
from typing import Final, NamedTuple

from l2tpd.config.model import Config, Pool
from l2tpd.config.resolve import ppp_settings
from l2tpd.errors import Exhausted, LocalProtocolError
from l2tpd.ppp.holdings import Holdings
from l2tpd.ppp.pool import AddressPool, Place, places


class Use(enum.StrEnum):
    """What a session needs an address or a prefix for; each is held by itself."""

    ADDRESS = "address"  # by IPCP
    LINK = "prefix_pool"  # the prefix of the link, of which the subscriber makes its addresses (RFC 4862 5.5.3)
    DELEGATION = "delegated_pool"  # for the networks behind the subscriber (RFC 8415 6.3)
    HOST = "ipv6_address"  # of IPv6, for the subscriber's own machine (RFC 8415 6.2); no pool has such


_USES = tuple(Use)


def unfit(pool: Pool, use: Use) -> str:
    """Return why a pool does not hold what is needed; empty: it does."""
    if use is Use.ADDRESS:
        if pool.prefix_length:
            return "holds prefixes, which IPCP cannot give (RFC 1332)"
        return "holds IPv6 addresses, which IPCP cannot give (RFC 1332)" if ":" in pool.range else ""
    if not pool.prefix_length:
        return "holds addresses, not prefixes: it says no `prefix_length`"
    wrong = use is Use.LINK and pool.prefix_length != LINK_LENGTH
    return f"holds no prefixes of {LINK_LENGTH} bits, which a link needs (RFC 4862 5.5.3)" if wrong else ""


LINK_LENGTH: Final = 64


class Held(NamedTuple):
    """What one has for one use; `pool` is the name of the pool to which it goes back, empty: none."""

    address: str
    pool: str
    user: str


class Fill(NamedTuple):
    """How full a pool is, in addresses: `size` is all of them, `free` what anybody may have now."""

    size: int
    used: int
    quarantined: int
    free: int


class _Kept(NamedTuple):
    """A pool, and what it was made from."""

    settings: Pool
    reserved: Mapping[str, Place]
    pool: AddressPool


class Addresses:
    """All addresses of a daemon's subscribers."""

    def __init__(self) -> None:
        """Begin without pools."""
        self._config = Config()
        self._pools: dict[str, _Kept] = {}
        self._reserved: Mapping[str, Place] = {}
        self._holdings = Holdings()
        self._held: dict[tuple[Hashable, Use], Held] = {}
        self._routed: dict[Hashable, list[str]] = {}  # beside what is held

    def configure(self, config: Config) -> None:
        """Go by a configuration from now on; what is handed out stays so, and what rests rests."""
        if config is self._config:
            return
        self._config = config
        said = _reserved(config)
        self._reserved = reserved = self._reserved if said == self._reserved.keys() else places(said)
        old, self._pools = self._pools, {}
        for name, settings in config.pools.items():
            kept = old.get(name)
            if kept is None or kept.settings != settings or kept.reserved is not reserved:
                kept = _Kept(settings, reserved, self._made(name, settings, reserved, kept))
            self._pools[name] = kept

    def check(self, pool: str, use: Use = Use.ADDRESS) -> None:
        """Raise `LocalProtocolError` unless there is such a pool, of what is needed."""
        settings = self._config.pools.get(pool)
        if settings is None:
            raise LocalProtocolError(f"there is no pool `{pool}`")
        if reason := unfit(settings, use):
            raise LocalProtocolError(f"the pool `{pool}` {reason}")

    def take(self, pool: str, owner: Hashable, now: float, user: str = "", use: Use = Use.ADDRESS) -> str:
        """Hand out an address of a pool, or of the next that is not empty; what the owner has it keeps. Raises `Exhausted`, `LocalProtocolError`."""
        held = self._held.get((owner, use))
        chain = list(self._chain(pool, use))
        if held is not None and held.pool in chain:
            return held.address
        self._give_up(owner, use, now)
        found = self._first_free(chain, now, user)
        self._hold(owner, use, found)
        return found.address

    def claim(self, address: str, owner: Hashable, now: float, user: str = "", use: Use = Use.ADDRESS) -> bool:
        """Note that somebody has an address of its own; tell whether that may be: nobody else has it or a part of it, and no pool hands out a part of it."""
        held = self._held.get((owner, use))
        if held is not None and held.address == address:
            return True
        if not self._may_have(address, owner):
            return False
        self._give_up(owner, use, now)
        home = next((name for name, kept in self._pools.items() if kept.pool.covers(address)), "")
        if home:
            self._pools[home].pool.claim(address)
        self._hold(owner, use, Held(address, home, user))
        return True

    def route(self, prefix: str, owner: Hashable) -> bool:
        """Note that a prefix is routed to somebody, and nobody else gets it as an address either; tell whether that may be: nobody else has this very one."""
        network = ip_network(prefix)
        single = network.prefixlen == network.max_prefixlen
        text = str(network.network_address) if single else prefix
        before = self._holdings.owner(text)
        if before is None:
            self._holdings.route(text, owner)
            self._routed.setdefault(owner, []).append(text)
        return before in (None, owner)

    def release(self, owner: Hashable, now: float) -> None:
        """Take back all that somebody has."""
        for use in _USES:
            self._give_up(owner, use, now)
        for text in self._routed.pop(owner, ()):
            self._holdings.unroute(text)

    def fill(self, name: str, now: float) -> Fill:
        """Tell how full a pool of the configuration is."""
        kept = self._pools[name]
        pool, resting = kept.pool, kept.pool.quarantined(now)
        reserved_in_use = pool.reserved_among(self._holdings.all)
        free = pool.size - pool.reserved - (pool.used - reserved_in_use) - resting
        return Fill(pool.size, pool.used, resting, max(free, 0))

    # --- within -----------------------------------------------------------------------------------------------------------------

    def _may_have(self, address: str, owner: Hashable) -> bool:
        if self._holdings.others_have(address, owner):
            return False
        return self._holdings.has_around(address, owner) or not any(
            kept.pool.cuts(address) for kept in self._pools.values()
        )

    def _hold(self, owner: Hashable, use: Use, held: Held) -> None:
        self._held[owner, use] = held
        self._holdings.add(held.address, owner)

    def _give_up(self, owner: Hashable, use: Use, now: float) -> None:
        held = self._held.pop((owner, use), None)
        if held is None:
            return
        self._holdings.remove(held.address)
        if held.pool in self._pools:  # and was not taken out of the configuration
            self._pools[held.pool].pool.give_back(held.address, now, held.user)

    def _first_free(self, chain: Sequence[str], now: float, user: str) -> Held:
        """Take an address out of the first pool that has one. Raises `Exhausted`."""
        *earlier, last = chain
        for name in earlier:
            with suppress(Exhausted):
                return Held(self._pools[name].pool.take(now, user), name, user)
        return Held(self._pools[last].pool.take(now, user), last, user)

    def _chain(self, name: str, use: Use) -> Iterator[str]:
        """Yield a pool and those that follow it when it is empty; `config.checks` sees to it that there is an end."""
        while name:
            self.check(name, use)
            yield name
            name = self._config.pools[name].next

    def _made(self, name: str, settings: Pool, reserved: Mapping[str, Place], old: _Kept | None) -> AddressPool:
        pool = AddressPool(
            settings.range,
            length=settings.prefix_length,
            exclude=settings.exclude,
            reserved=reserved,
            quarantine=settings.quarantine,
            taken=self._holdings,
            held=(held.address for held in self._held.values() if held.pool == name),
        )
        if old is not None:
            pool.inherit(old.pool)
        return pool


def _reserved(config: Config) -> frozenset[str]:
    """Return the addresses that no pool hands out: our own, and those of users."""
    ours = {ppp_settings(config, profile).local_address for profile in ("default", *config.ppp_profiles)}
    users = config.users.values()
    theirs = {what for user in users for what in (user.address, user.prefix, user.delegated_prefix)}
    return frozenset(ours | theirs) - {""}
