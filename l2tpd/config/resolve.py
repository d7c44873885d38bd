"""What finally holds for a tunnel, a session or a caller: the inheritance of profiles, and which peer entry a caller belongs to.

Settings are a merge of what was *said*: the profile `default`, then the named profile, then the instance; the model's defaults fill the rest.
Equal settings are one object, so ten thousand tunnels of a profile share theirs, also across a reload.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping
from typing import Any

import attrs

from l2tpd.config.model import Config, Peer, PppSettings, PseudowireSettings, Said, SessionSettings, TunnelSettings
from l2tpd.errors import LocalProtocolError

SECRETS = frozenset({"secret", "password"})
"""Keys that hold a secret; `KEY_file` names a file that does."""

_INHERITED = frozenset(field.name for field in attrs.fields(PseudowireSettings)) & frozenset(
    field.name for field in attrs.fields(SessionSettings)
)
"""Keys that a session has from its pseudowire profile where neither itself nor its session profile says them: those that both tables know."""

_NOTHING: Said = {}
_SHARED = 4096  # distinct settings of a kind kept for sharing


def merged(profiles: Mapping[str, Said], name: str, said: Said = _NOTHING) -> dict[str, Any]:
    """Merge what the profile `default`, the named profile and an instance say; raise `LocalProtocolError` if there is no such profile."""
    keys: dict[str, Any] = dict(profiles.get("default", _NOTHING))
    if name != "default":
        if name not in profiles:
            raise LocalProtocolError(f"there is no profile `{name}`")
        _override(keys, profiles[name])
    _override(keys, said)
    return keys


def _override(keys: dict[str, Any], said: Said) -> None:
    for secret in SECRETS & said.keys():
        keys.pop(f"{secret}_file", None)  # a secret's file belongs to that secret
    keys.update(said)


@functools.lru_cache(maxsize=_SHARED)
def _tunnel(keys: frozenset[tuple[str, Any]]) -> TunnelSettings:
    return TunnelSettings(**dict(keys))


@functools.lru_cache(maxsize=_SHARED)
def _session(keys: frozenset[tuple[str, Any]]) -> SessionSettings:
    return SessionSettings(**dict(keys))


@functools.lru_cache(maxsize=_SHARED)
def _pseudowire(keys: frozenset[tuple[str, Any]]) -> PseudowireSettings:
    return PseudowireSettings(**dict(keys))


@functools.lru_cache(maxsize=_SHARED)
def _ppp(keys: frozenset[tuple[str, Any]]) -> PppSettings:
    return PppSettings(**dict(keys))


def tunnel_settings(config: Config, profile: str = "default", said: Said = _NOTHING) -> TunnelSettings:
    """Resolve the settings of a tunnel; `host_name` falls back to `system.hostname`."""
    keys = merged(config.tunnel_profiles, profile, said)
    if not keys.get("host_name"):
        keys["host_name"] = config.system.hostname
    return _tunnel(frozenset(keys.items()))


def session_settings(config: Config, profile: str = "default", said: Said = _NOTHING) -> SessionSettings:
    """Resolve the settings of a session, with what it has from its pseudowire profile."""
    keys = merged(config.session_profiles, profile, said)
    below = merged(config.pseudowire_profiles, keys.get("pseudowire_profile", "default"))
    inherited = {key: below[key] for key in _INHERITED & below.keys() - keys.keys()}
    return _session(frozenset({**keys, **inherited}.items()))


def pseudowire_settings(config: Config, profile: str = "default") -> PseudowireSettings:
    """Resolve a pseudowire profile."""
    return _pseudowire(frozenset(merged(config.pseudowire_profiles, profile).items()))


def ppp_settings(config: Config, profile: str = "default") -> PppSettings:
    """Resolve a PPP profile."""
    return _ppp(frozenset(merged(config.ppp_profiles, profile).items()))


def peer_said(peer: Peer) -> Said:
    """Tell which tunnel keys a peer entry sets over its tunnel profile: its secret, if it has one."""
    return {"secret": peer.secret, "secret_file": peer.secret_file} if peer.secret else _NOTHING


def listener_settings(config: Config, peer: Peer) -> TunnelSettings:
    """Resolve the settings of a tunnel that a caller belonging to this peer entry opens."""
    return tunnel_settings(config, peer.tunnel_profile, peer_said(peer))


class PeerTable:
    """Finds the peer entry of a caller; built once a configuration, asked once an SCCRQ.

    A search costs one look-up by Host Name, and, where there are prefixes, the parsing of the address and one look-up for each prefix length
    in use.
    """

    __slots__ = ("_by_host_name", "_by_length", "_config", "_default", "_settings")

    def __init__(self, config: Config) -> None:
        self._config = config
        self._settings: dict[str, TunnelSettings] = {}
        self._by_host_name = {peer.host_name: name for name, peer in config.peers.items() if peer.host_name}
        self._by_length = _by_length(config.peers)
        default = config.peers.get("default")
        self._default = None if default is None else ("default", default)

    def find(self, host_name: str, address: str) -> tuple[str, Peer] | None:
        """Find name and entry by Host Name, else by the longest prefix, else `default`; None means that nobody knows this caller.

        The address is numeric; one that is not matches no prefix.
        """
        name = self._by_host_name.get(host_name)
        if name is None and self._by_length:
            name = self._by_address(address)
        return self._default if name is None else (name, self._config.peers[name])

    def settings(self, name: str) -> TunnelSettings:
        """Return the tunnel settings of the callers of a peer entry; the same object each time."""
        settings = self._settings.get(name)
        if settings is None:
            settings = self._settings[name] = listener_settings(self._config, self._config.peers[name])
        return settings

    def _by_address(self, address: str) -> str | None:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return None
        if ip.version == 6 and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped  # how a caller over IPv4 shows at a listener on [::]
        number = int(ip)
        for shift, names in self._by_length.get(ip.version, ()):
            name = names.get(number >> shift)
            if name is not None:
                return name
        return None


class PppProfiles:
    """The PPP profiles of sessions; built once a configuration, asked several times a session.

    All of it raises `LocalProtocolError` for a profile that is not there.
    """

    __slots__ = ("_names", "_settings", "config")

    def __init__(self, config: Config) -> None:
        self.config = config
        self._names: dict[str, str] = {}
        self._settings: dict[str, PppSettings] = {}

    def name(self, pseudowire_profile: str) -> str:
        """Return the name of the PPP profile that belongs to a pseudowire profile."""
        name = self._names.get(pseudowire_profile)
        if name is None:
            name = pseudowire_settings(self.config, pseudowire_profile).ppp_profile
            self._names[pseudowire_profile] = name
        return name

    def settings(self, name: str) -> PppSettings:
        """Return the settings of a PPP profile; the same object each time."""
        settings = self._settings.get(name)
        if settings is None:
            settings = self._settings[name] = ppp_settings(self.config, name)
        return settings


_Lengths = list[tuple[int, dict[int, str]]]


def _by_length(peers: Mapping[str, Peer]) -> dict[int, _Lengths]:
    """Index prefixes: per IP version, longest first, (bits to drop, network number -> peer name)."""
    found: dict[tuple[int, int], dict[int, str]] = {}
    for name, peer in peers.items():
        for text in peer.match:
            network = ipaddress.ip_network(text)
            shift = network.max_prefixlen - network.prefixlen
            found.setdefault((network.version, shift), {})[int(network.network_address) >> shift] = name
    table: dict[int, _Lengths] = {}
    for (version, shift), names in sorted(found.items()):
        table.setdefault(version, []).append((shift, names))
    return table
