"""What can be wrong between tables: names that do not exist, doubles, and settings that contradict each other once inherited.

Names are taken from the document rather than from what could be built, so that one wrong value is not reported again as a missing table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from l2tpd.config.document import Document, KeyPath
from l2tpd.config.model import Config, Peer, Said, SessionInstance, SessionSettings, TunnelInstance, TunnelSettings
from l2tpd.config.resolve import merged, peer_said
from l2tpd.config.scalars import quoted, suggestion

_REFERENCES = {
    "tunnel_profile": "profile.tunnel",
    "session_profile": "profile.session",
    "pseudowire_profile": "profile.pseudowire",
    "ppp_profile": "profile.ppp",
    "pool": "pool",
}
"""Keys whose value is the name of a table, and the family of that table."""

_HIDING = frozenset({"hide_avps", "secret"})
_PACING = frozenset({"retry_timeout", "retry_cap"})
_SPEEDS = frozenset({"minimum_bps", "maximum_bps"})

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


class Checker:
    """Runs the checks between tables over one configuration and notes what it finds in the document."""

    __slots__ = ("_config", "_document", "_names", "_settled_session", "_settled_tunnel")

    def __init__(self, config: Config, document: Document) -> None:
        self._config = config
        self._document = document
        self._names = names_in(config)
        pools = document.tree.get("pool")
        if isinstance(pools, dict):
            self._names["pool"] |= frozenset(pools)
        self._settled_tunnel: dict[str, dict[str, Any] | None] = {}
        self._settled_session: dict[str, dict[str, Any] | None] = {}

    def everything(self) -> None:
        """Check the whole configuration."""
        config = self._config
        self._listeners()
        self._profiles("session", config.session_profiles)
        self._profiles("pseudowire", config.pseudowire_profiles)
        self._profiles("ppp", config.ppp_profiles)
        for name, peer in config.peers.items():
            self._peer(name, peer)
        self._callers()
        for name, tunnel in config.tunnels.items():
            self.tunnel(tunnel, ("tunnel", name))
        self._interfaces()

    # -- single tables --------------------------------------------------------------------------------------------------------------------

    def tunnel(self, tunnel: TunnelInstance, path: KeyPath) -> None:
        """Check one tunnel with its sessions against the configuration."""
        if self._refers("tunnel_profile", tunnel.profile, (*path, "profile")):
            self._tunnel_settings(tunnel.profile, tunnel.said, path)
        self._refers("session_profile", tunnel.session_profile, (*path, "session_profile"))
        if tunnel.redial_delay > tunnel.redial_delay_max:
            self._document.wrong((*path, "redial_delay"), "is longer than `redial_delay_max`")
        if tunnel.local and _version(tunnel.local) != _version(tunnel.peer.host, _version(tunnel.local)):
            self._document.wrong((*path, "local"), "is not of the same IP version as `peer`")
        for name, call in tunnel.sessions.items():
            self.session(call, (*path, "session", name), tunnel.session_profile)

    def session(self, call: SessionInstance, path: KeyPath, inherited: str) -> None:
        """Check one session; a profile that it only inherited was checked where it is said."""
        if "pseudowire_profile" in call.said:
            self._refers("pseudowire_profile", call.said["pseudowire_profile"], (*path, "pseudowire_profile"))
        known = call.profile in self._names["profile.session"]
        if not known and call.profile != inherited:
            self._refers("session_profile", call.profile, (*path, "profile"))
        if known:
            self._session_settings(call.profile, call.said, path)

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
                if said[key] or key != "pool":
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
            self._tunnel_settings(peer.tunnel_profile, peer_said(peer), path)

    # -- settings after inheritance -------------------------------------------------------------------------------------------------------

    def _tunnel_settings(self, profile: str, said: Said, path: KeyPath) -> None:
        keys = (
            merged(self._config.tunnel_profiles, profile, said)
            if said.keys() & (_HIDING | _PACING)
            else self._of_profile(profile)
        )
        if keys.get("hide_avps") and not keys.get("secret"):
            self._document.wrong((*path, "hide_avps"), "hiding AVPs needs a `secret` (RFC 2661 4.3)")
        blank = _TUNNEL_DEFAULTS
        if keys.get("retry_timeout", blank.retry_timeout) > keys.get("retry_cap", blank.retry_cap):
            self._document.wrong((*path, "retry_cap"), "is shorter than `retry_timeout`, which it is to limit")

    def _of_profile(self, profile: str) -> dict[str, Any]:
        keys = self._settled_tunnel.get(profile)
        if keys is None:
            keys = self._settled_tunnel[profile] = merged(self._config.tunnel_profiles, profile)
        return keys

    def _session_settings(self, profile: str, said: Said, path: KeyPath) -> None:
        keys = self._settled_session.get(profile)
        if keys is None:
            keys = self._settled_session[profile] = merged(self._config.session_profiles, profile)
        if said.keys() & _SPEEDS:
            keys = {**keys, **said}
        blank = _SESSION_DEFAULTS
        if keys.get("minimum_bps", blank.minimum_bps) > keys.get("maximum_bps", blank.maximum_bps):
            self._document.wrong((*path, "minimum_bps"), "is greater than `maximum_bps`")

    # -- doubles --------------------------------------------------------------------------------------------------------------------------

    def _listeners(self) -> None:
        seen: dict[object, int] = {}
        for index, listener in enumerate(self._config.listen):
            first = seen.setdefault(listener.address, index)
            if first != index:
                self._document.wrong(
                    ("listen", f"[{index}]", "address"), f"{quoted(str(listener.address))} is `listen[{first}]` already"
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


def _version(host: str, of_names: int = 0) -> int:
    """Tell the IP version of a checked host; a DNS name may turn out to be either."""
    if ":" in host:
        return 6
    return 4 if host.rpartition(".")[2].isdigit() else of_names


_TUNNEL_DEFAULTS = TunnelSettings()
_SESSION_DEFAULTS = SessionSettings()
