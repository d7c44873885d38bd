"""What can be wrong between tables: names that do not exist, doubles, and settings that contradict each other once inherited.

Names are taken from the document rather than from what could be built, so that one wrong value is not reported again as a missing table; and a
tunnel or session of which a value is wrong already is not searched for contradictions, which that value might make or hide.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from l2tpd.config import contradictions
from l2tpd.config.document import Document, KeyPath, dotted
from l2tpd.config.model import (
    Address,
    Config,
    Digest,
    Encapsulation,
    Mode,
    Mppe,
    Peer,
    Pool,
    PppAuthentication,
    PppAuthority,
    PppEngine,
    Said,
    SessionInstance,
    SessionSettings,
    TunnelInstance,
    TunnelSettings,
    Version,
)
from l2tpd.config.resolve import merged, peer_said, session_settings, tunnel_settings
from l2tpd.config.scalars import L2TP_PORT, end_id_as_said, quoted, suggestion
from l2tpd.errors import LocalProtocolError
from l2tpd.ppp.addresses import Use, unfit
from l2tpd.ppp.pool import spans, without

_REFERENCES = {
    "tunnel_profile": "profile.tunnel",
    "session_profile": "profile.session",
    "pseudowire_profile": "profile.pseudowire",
    "ppp_profile": "profile.ppp",
    **dict.fromkeys(("pool", "prefix_pool", "delegated_pool"), "pool"),
    "next": "pool",
}
"""Keys whose value is the name of a table, and the family of that table."""

_POOLS = {"pool": Use.ADDRESS, "prefix_pool": Use.LINK, "delegated_pool": Use.DELEGATION}
"""Keys that name a pool, and what is drawn from it."""

_HIDING = frozenset({"hide_avps", "secret"})
_SIGNING = frozenset({"digest", "secret"})
_PACING = frozenset({"retry_timeout", "retry_cap"})
_SPEEDS = frozenset({"minimum_bps", "maximum_bps"})
_KIND = frozenset({"version", "encap", "mode"})

Names = Mapping[str, frozenset[str]]
"""The names that exist in each family of tables."""


def names_in(config: Config) -> dict[str, frozenset[str]]:
    """List the names that a finished configuration defines."""
    families: dict[str, Mapping[str, Any]] = {
        "profile.tunnel": config.tunnel_profiles,
        "profile.session": config.session_profiles,
        "profile.pseudowire": config.pseudowire_profiles,
        "profile.ppp": config.ppp_profiles,
    }
    # The profile `default` exists whether a file mentions it or not.
    return {family: frozenset(tables) | {"default"} for family, tables in families.items()} | {
        "pool": frozenset(config.pools)
    }


_PPPD_ITSELF: Mapping[str, str] = {
    "authority": "looks its users up itself",
    "dns_handover": "hands name servers over itself, by `usepeerdns`",
    "single_session": "tells nobody who its caller is",
    "require_ipv4": "decides by itself when to end",
    "require_ipv6": "decides by itself when to end",
}
"""Keys of a PPP profile that are for the built-in engine alone, and what a pppd does instead."""


class Checker:
    """Runs the checks between tables over one configuration and notes what it finds in the document."""

    __slots__ = ("_config", "_document", "_flawed", "_names", "_settled_session", "_settled_tunnel")

    def __init__(self, config: Config, document: Document) -> None:
        self._config = config
        self._document = document
        self._names = names_in(config)
        pools = document.tree.get("pool")
        if isinstance(pools, dict):
            self._names["pool"] |= frozenset(pools)
        self._flawed = {problem.key.rpartition(".")[0] for problem in document.problems}
        self._settled_tunnel: dict[str, dict[str, Any] | None] = {}
        self._settled_session: dict[str, dict[str, Any] | None] = {}

    def everything(self) -> None:
        """Check the whole configuration."""
        config = self._config
        self._listeners()
        self._profiles("session", config.session_profiles)
        self._ends()
        self._profiles("pseudowire", config.pseudowire_profiles)
        self._profiles("ppp", config.ppp_profiles)
        self._authorities()
        self._encryption()
        self._pools()
        self._users()
        self._radius()
        for name, peer in config.peers.items():
            self._peer(name, peer)
        self._callers()
        for name, tunnel in config.tunnels.items():
            self.tunnel(tunnel, ("tunnel", name))
        self._interfaces()
        self._statics(_statics(config))

    def requested_tunnel(self, tunnel: TunnelInstance) -> None:
        """Check a tunnel that a request adds to the configuration."""
        self.tunnel(tunnel, ())
        if tunnel.mode is not Mode.DYNAMIC:
            self._statics([*_statics(self._config), Static.of(tunnel, ())])

    def requested_session(self, call: SessionInstance, tunnel: TunnelInstance) -> None:
        """Check a session that a request adds to a tunnel, which may be one that the configuration does not know."""
        self.session(call, (), tunnel)
        if tunnel.mode is not Mode.DYNAMIC:
            here = Static.of(tunnel, ("tunnel", tunnel.name))
            added = here._replace(sessions=[*here.sessions, ((), call)])
            self._statics([*_statics(self._config, but=tunnel.name), added])

    # -- single tables --------------------------------------------------------------------------------------------------------------------

    def tunnel(self, tunnel: TunnelInstance, path: KeyPath) -> None:
        """Check one tunnel with its sessions against the configuration."""
        if self._refers("tunnel_profile", tunnel.profile, (*path, "profile")):
            if tunnel.mode is Mode.DYNAMIC:
                self._hiding(tunnel.profile, tunnel.said, path)
                if tunnel.version is not Version.L2TPV2:
                    self._signing(tunnel.profile, tunnel.said, path)
            self._pacing(tunnel.profile, tunnel.said, path)
            self._tunnel_contradictions(tunnel, path)
        self._refers("session_profile", tunnel.session_profile, (*path, "session_profile"))
        if tunnel.redial_delay > tunnel.redial_delay_max:
            self._document.wrong((*path, "redial_delay"), "is longer than `redial_delay_max`")
        if tunnel.local and _version(tunnel.local) != _version(tunnel.peer.host, _version(tunnel.local)):
            self._document.wrong((*path, "local"), "is not of the same IP version as `peer`")
        for name, call in tunnel.sessions.items():
            self.session(call, (*path, "session", name), tunnel)

    def session(self, call: SessionInstance, path: KeyPath, tunnel: TunnelInstance) -> None:
        """Check one session; a profile that it only inherited was checked where it is said."""
        if "pseudowire_profile" in call.said:
            self._refers("pseudowire_profile", call.said["pseudowire_profile"], (*path, "pseudowire_profile"))
        known = call.profile in self._names["profile.session"]
        if not known and call.profile != tunnel.session_profile:
            self._refers("session_profile", call.profile, (*path, "profile"))
        if known:
            self._speeds(call.profile, call.said, path)
            self._session_contradictions(call, path, tunnel)

    def _refers(self, key: str, name: str, path: KeyPath) -> bool:
        family = _REFERENCES[key]
        known = self._names[family]
        if name in known:
            return True
        self._document.wrong(
            path,
            f"there is no `[{family}.{name}]`{suggestion(name, known)}" if name else f"must name a `[{family}.NAME]`",
        )
        return False

    def _profiles(self, kind: str, profiles: Mapping[str, Said]) -> None:
        for name, said in profiles.items():
            for key in _REFERENCES.keys() & said.keys():
                if key in _POOLS:
                    self._draws(key, said[key], ("profile", kind, name, key))
                else:
                    self._refers(key, said[key], ("profile", kind, name, key))

    def _peer(self, name: str, peer: Peer) -> None:
        path = ("peer", name)
        if name == "default" and (peer.match or peer.host_name):
            key = "match" if peer.match else "host_name"
            self._document.wrong(
                (*path, key),
                "`[peer.default]` is for callers that no other entry matches, so it takes no `match` and no `host_name`: name this entry",
            )
        self._refers("session_profile", peer.session_profile, (*path, "session_profile"))
        if self._refers("tunnel_profile", peer.tunnel_profile, (*path, "tunnel_profile")) and peer.accept:
            self._hiding(peer.tunnel_profile, peer_said(peer), path)
            self._pacing(peer.tunnel_profile, peer_said(peer), path)
            if Version.L2TPV3 in peer.versions:
                self._signing(peer.tunnel_profile, peer_said(peer), path)

    # -- settings after inheritance -------------------------------------------------------------------------------------------------------

    def _hiding(self, profile: str, said: Said, path: KeyPath) -> None:
        keys = self._merged_tunnel(profile, said, _HIDING)
        if keys.get("hide_avps") and not keys.get("secret"):
            self._document.wrong((*path, "hide_avps"), "hiding AVPs needs a `secret` (RFC 2661 4.3)")

    def _signing(self, profile: str, said: Said, path: KeyPath) -> None:
        keys = self._merged_tunnel(profile, said, _SIGNING)
        if keys.get("digest") is Digest.NONE and keys.get("secret"):
            # RFC 3931 4.3. Anybody could talk a tunnel of `version = "auto"` up to version 3 to get past the challenge of version 2.
            text = '`"none"` leaves the `secret` without use: in L2TPv3 nothing but the digest proves that a peer knows it (RFC 3931 4.3)'
            self._document.wrong((*path, "digest"), text)

    def _pacing(self, profile: str, said: Said, path: KeyPath) -> None:
        keys, blank = self._merged_tunnel(profile, said, _PACING), _TUNNEL_DEFAULTS
        if keys.get("retry_timeout", blank.retry_timeout) > keys.get("retry_cap", blank.retry_cap):
            self._document.wrong((*path, "retry_cap"), "is shorter than `retry_timeout`, which it is to limit")

    def _merged_tunnel(self, profile: str, said: Said, asked: frozenset[str]) -> dict[str, Any]:
        """Return what holds for the keys asked for; where the instance says none of them, that is what holds for its profile."""
        return merged(self._config.tunnel_profiles, profile, said) if said.keys() & asked else self._of_profile(profile)

    def _of_profile(self, profile: str) -> dict[str, Any]:
        keys = self._settled_tunnel.get(profile)
        if keys is None:
            keys = self._settled_tunnel[profile] = merged(self._config.tunnel_profiles, profile)
        return keys

    def _speeds(self, profile: str, said: Said, path: KeyPath) -> None:
        keys = self._settled_session.get(profile)
        if keys is None:
            keys = self._settled_session[profile] = merged(self._config.session_profiles, profile)
        if said.keys() & _SPEEDS:
            keys = {**keys, **said}
        blank = _SESSION_DEFAULTS
        if keys.get("minimum_bps", blank.minimum_bps) > keys.get("maximum_bps", blank.maximum_bps):
            self._document.wrong((*path, "minimum_bps"), "is greater than `maximum_bps`")

    # -- contradictions -------------------------------------------------------------------------------------------------------------------

    def _tunnel_contradictions(self, tunnel: TunnelInstance, path: KeyPath) -> None:
        if self._sound(path, *_profile_paths("tunnel", tunnel.profile)):
            settings = tunnel_settings(self._config, tunnel.profile, tunnel.said)
            found = list(contradictions.found(contradictions.TUNNEL, tunnel, settings, tunnel.said))
            self._tell(found, path)
            if any(key in _KIND for key, _ in found):
                self._flawed.add(dotted(path))  # what its sessions may say nobody knows

    def _session_contradictions(self, call: SessionInstance, path: KeyPath, tunnel: TunnelInstance) -> None:
        settings = self._resolved(call.profile, call.said)
        if settings is not None and self._sound(path, path[:-2]):
            self._tell(contradictions.found(contradictions.SESSION, tunnel, settings, call.said), path)

    def _resolved(self, profile: str, said: Said) -> SessionSettings | None:
        """Return what holds for a session, or None where a profile of it is missing or wrong, which was told."""
        try:
            settings = session_settings(self._config, profile, said)
        except LocalProtocolError:
            return None
        profiles = (*_profile_paths("session", profile), *_profile_paths("pseudowire", settings.pseudowire_profile))
        return settings if self._sound(*profiles) else None

    def _sound(self, *paths: KeyPath) -> bool:
        return not self._flawed or self._flawed.isdisjoint(map(dotted, paths))

    def _tell(self, found: Iterable[tuple[str, str]], path: KeyPath) -> None:
        for key, text in found:
            self._document.wrong((*path, key) if key else path, text)

    # -- subscribers ----------------------------------------------------------------------------------------------------------------------

    def _authorities(self) -> None:
        for name in self._config.ppp_profiles:
            keys = merged(self._config.ppp_profiles, name)
            for key, pppd in _PPPD_ITSELF.items() if keys.get("ppp_engine") is PppEngine.PPPD else ():
                if key in keys:
                    text = f"has no use here: a pppd {pppd}; leave out one of `{key}` and `ppp_engine`"
                    self._document.wrong(("profile", "ppp", name, key), text)
            if keys.get("require_ipv6") and not keys.get("ipv6"):
                self._document.wrong(("profile", "ppp", name, "require_ipv6"), "needs `ipv6 = true`")

    def _encryption(self) -> None:
        """A profile that asks callers for another proof than MS-CHAPv2 has no keys for them (RFC 3079 3)."""
        for name in self._config.ppp_profiles:
            keys = merged(self._config.ppp_profiles, name)
            path = ("profile", "ppp", name)
            if keys.get("ppp_engine") is PppEngine.PPPD:
                for key in ("mppe", "mppe_bits", "mppe_stateful"):
                    if key in keys:
                        self._document.wrong((*path, key), "has no use here: a pppd is told by `pppd_options`")
            elif keys.get("mppe") is Mppe.REQUIRE and _without_keys(keys):
                self._document.wrong(
                    (*path, "mppe"), '`"require"` needs `auth = "mschapv2"`: no other proof leaves keys'
                )

    def _pools(self) -> None:
        pools = self._config.pools
        for name, pool in pools.items():
            path = ("pool", name, "next")
            self._prefixes(pool, ("pool", name, "prefix_length"))
            if not pool.next or not self._refers("next", pool.next, path):
                continue
            if pool.next in pools and pools[pool.next].prefix_length != pool.prefix_length:
                self._document.wrong(path, f"{quoted(pool.next)} has another `prefix_length`")
            seen, after = [name], pool.next
            while after in pools and after not in seen:
                seen.append(after)
                after = pools[after].next
            if after == name == min(seen, key=list(pools).index):  # once for each circle
                self._document.wrong(path, f"leads back to this pool: {' -> '.join((*seen, name))}")
        self._apart()

    def _prefixes(self, pool: Pool, path: KeyPath) -> None:
        """Tell where a pool of prefixes has none."""
        if not pool.prefix_length:
            return
        if "." in pool.range:
            self._document.wrong(path, "is for IPv6: prefixes of IPv4 are not handed out")
        elif not spans(pool.range, length=pool.prefix_length):
            self._document.wrong(path, f"no prefix of {pool.prefix_length} bits lies within {quoted(pool.range)}")

    def _apart(self) -> None:
        """Tell where two pools have addresses in common and hand them out in prefixes of different lengths: one would lie within another's."""
        found = sorted(
            (first, last, name) for name, pool in self._config.pools.items() for first, last in _extents(pool)
        )
        farthest, other = -1, ""
        for first, last, name in found:
            lengths = {self._config.pools[of].prefix_length for of in (name, other) if of}
            if first <= farthest and len(lengths) > 1:
                self._document.wrong(
                    ("pool", name, "range"),
                    f"has prefixes in common with {quoted(other)}, which hands them out in another length",
                )
            if last > farthest:
                farthest, other = last, name

    def _draws(self, key: str, pool: str, path: KeyPath) -> None:
        """Tell where a pool that is not there is to be drawn from, or one that holds something else."""
        if not pool or not self._refers(key, pool, path) or pool not in self._config.pools:
            return
        if reason := unfit(self._config.pools[pool], _POOLS[key]):
            self._document.wrong(path, f"{quoted(pool)} {reason}")

    def _users(self) -> None:
        addresses: dict[str, str] = {}
        for name, user in self._config.users.items():
            path = ("user", name)
            for draw in _POOLS:
                self._draws(draw, getattr(user, draw), (*path, draw))
            if bool(user.password) == bool(user.pap_hash) and self._sound(path):
                text = "is said as well as `password`: which of them holds?" if user.password else ""
                key = (*path, "pap_hash") if user.password else path
                self._document.wrong(key, text or "`password`, `password_file` or `pap_hash` is missing")
            for what in ("address", "prefix", "delegated_prefix"):
                own: str = getattr(user, what)
                if own and addresses.setdefault(own, name) != name:
                    text = f"{quoted(own)} belongs to `[{dotted(('user', addresses[own]))}]` already"
                    self._document.wrong((*path, what), text)

    def _radius(self) -> None:
        radius = self._config.radius
        for name, server in radius.servers.items():
            self._needs(("radius", "server", name), address=server.address, secret=server.secret)
        for name, client in radius.clients.items():
            self._needs(("radius", "client", name), match=client.match, secret=client.secret)
        if radius.dynauth_listen and not radius.clients:
            text = "nobody may ask: a `[radius.client.NAME]` is missing"
            self._document.wrong(("radius", "dynauth_listen"), text)
        if not any(server.auth_port for server in radius.servers.values()):
            for name, said in self._config.ppp_profiles.items():
                if said.get("authority") is PppAuthority.RADIUS:
                    text = "there is no `[radius.server.NAME]` with an `auth_port`"
                    self._document.wrong(("profile", "ppp", name, "authority"), text)

    def _needs(self, path: KeyPath, **said: str) -> None:
        for key, value in said.items():
            if not value and self._sound(path):
                self._document.wrong(path, f"`{key}` is missing")

    # -- doubles --------------------------------------------------------------------------------------------------------------------------

    def _listeners(self) -> None:
        seen: dict[object, int] = {}
        for index, listener in enumerate(self._config.listen):
            path = ("listen", f"[{index}]", "address")
            if listener.encap is Encapsulation.IP and listener.address.port:
                self._document.wrong(path, contradictions.NO_PORTS)
            first = seen.setdefault((listener.encap, listener.address), index)
            if first != index:
                self._document.wrong(path, f"{quoted(str(listener.address))} is `listen[{first}]` already")

    def _ends(self) -> None:
        """Tell which profiles would serve the same sessions: the Remote End ID of a peer's request selects one (RFC 3931 5.4.4)."""
        seen: dict[str, str] = {}
        for name, said in self._config.session_profiles.items():
            end_id = said.get("remote_end_id")
            if end_id and seen.setdefault(end_id, name) != name:
                self._document.wrong(
                    ("profile", "session", name, "remote_end_id"),
                    f"{quoted(end_id_as_said(end_id))} belongs to `[profile.session.{seen[end_id]}]` already",
                )

    def _callers(self) -> None:
        names: dict[str, str] = {}
        prefixes: dict[str, str] = {}
        for name, peer in self._config.peers.items():
            if peer.host_name and names.setdefault(peer.host_name, name) != name:
                self._document.wrong(
                    ("peer", name, "host_name"),
                    f"{quoted(peer.host_name)} belongs to `[peer.{names[peer.host_name]}]` already",
                )
            for index, prefix in enumerate(peer.match):
                if prefixes.setdefault(prefix, name) != name:
                    self._document.wrong(
                        ("peer", name, "match", f"[{index}]"),
                        f"{quoted(prefix)} belongs to `[peer.{prefixes[prefix]}]` already",
                    )

    def _interfaces(self) -> None:
        seen: dict[str, tuple[str, str]] = {}
        for tunnel in self._config.tunnels.values():
            for name, call in tunnel.sessions.items():
                interface = call.said.get("interface_name")
                # A name with `%d` is a pattern that the kernel numbers, so several sessions may share it.
                if (
                    interface
                    and "%" not in interface
                    and seen.setdefault(interface, (tunnel.name, name)) != (tunnel.name, name)
                ):
                    first = ".session.".join(seen[interface])
                    self._document.wrong(
                        ("tunnel", tunnel.name, "session", name, "interface_name"),
                        f"{quoted(interface)} belongs to `[tunnel.{first}]` already",
                    )

    def _statics(self, statics: Iterable[Static]) -> None:
        """Tell what static tunnels or sessions have in common although packets are told apart by it."""
        seen: dict[Hashable, KeyPath] = {}
        for path, tunnel, sessions in statics:
            if tunnel.tunnel_id:
                self._claim(seen, _both(("tunnel", tunnel.tunnel_id)), (*path, "tunnel_id"), str(tunnel.tunnel_id))
            if tunnel.encap is Encapsulation.UDP:
                port = tunnel.local_port or L2TP_PORT
                way = _both((tunnel.local, port, tunnel.peer))
                self._claim(seen, way, (*path, "peer"), f"{Address(*tunnel.peer)} from port {port}")
            for below, call in sessions:
                settings = self._resolved(call.profile, call.said)
                if settings is not None and settings.session_id:
                    claims = _session_claims(settings.session_id, tunnel.encap, path)
                    self._claim(seen, claims, (*below, "session_id"), str(settings.session_id))

    def _claim(self, seen: dict[Hashable, KeyPath], claims: Claims, path: KeyPath, value: str) -> None:
        first = next((seen[key] for key in claims.others if key in seen), None)
        if first is not None:
            self._document.wrong(path, f"{quoted(value)} belongs to `[{dotted(first)}]` already")
        for key in claims.mine:
            seen.setdefault(key, path[:-1])


def _extents(pool: Pool) -> Iterator[tuple[int, int]]:
    """Return from which address to which a pool hands out prefixes."""
    length = pool.prefix_length
    if not length:
        return
    behind = 128 - length
    for span in without(spans(pool.range, length=length), spans(pool.exclude, length=length, whole=True)):
        if span.version == 6:
            yield span.first << behind, ((span.last + 1) << behind) - 1


class Static(NamedTuple):
    """A tunnel without control protocol, and its sessions, with where each of them is said."""

    path: KeyPath
    tunnel: TunnelInstance
    sessions: Sequence[tuple[KeyPath, SessionInstance]]

    @classmethod
    def of(cls, tunnel: TunnelInstance, path: KeyPath) -> Static:
        """Take a tunnel as it stands at a path."""
        return cls(path, tunnel, [((*path, "session", name), call) for name, call in tunnel.sessions.items()])


class Claims(NamedTuple):
    """Under which keys a value is noted, and under which of them another one's may not be noted."""

    mine: tuple[Hashable, ...]
    others: tuple[Hashable, ...]


def _both(key: Hashable) -> Claims:
    return Claims((key,), (key,))


def _session_claims(session_id: int, encap: Encapsulation, tunnel: KeyPath) -> Claims:
    """Claim a session's identifier: over IP for the whole machine, over UDP inside its tunnel, whose socket its packets come by.

    Linux holds an identifier of a session over IP against those over UDP too.
    """
    anywhere, over_ip, inside = (
        ("session", session_id),
        ("session", session_id, "ip"),
        ("session", session_id, tunnel),
    )
    if encap is Encapsulation.IP:
        return Claims((anywhere, over_ip), (anywhere,))
    return Claims((anywhere, inside), (inside, over_ip))


def _statics(config: Config, *, but: str = "") -> Iterator[Static]:
    """Yield the tunnels of a configuration that no control messages set up, except the one called `but`."""
    for name, tunnel in config.tunnels.items():
        if tunnel.mode is not Mode.DYNAMIC and name != but:
            yield Static.of(tunnel, ("tunnel", name))


def _profile_paths(kind: str, name: str) -> tuple[KeyPath, KeyPath]:
    return ("profile", kind, "default"), ("profile", kind, name)


def _without_keys(keys: Mapping[str, Any]) -> bool:
    """Tell whether a PPP profile is one for callers and asks them for a proof that leaves no keys."""
    auth = keys.get("auth", PppAuthentication.NONE)
    serves = auth is not PppAuthentication.NONE or "pool" in keys or "local_address" in keys
    return serves and auth is not PppAuthentication.MSCHAPV2


def _version(host: str, of_names: int = 0) -> int:
    """Tell the IP version of a checked host; a DNS name may turn out to be either."""
    if ":" in host:
        return 6
    return 4 if host.rpartition(".")[2].isdigit() else of_names


_TUNNEL_DEFAULTS = TunnelSettings()
_SESSION_DEFAULTS = SessionSettings()
