"""Who may have a tunnel or a call: peers, roles, limits, drain. Decisions only; what is refused leaves no state behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from l2tpd.config.model import Config, SessionSettings, TunnelSettings, Version
from l2tpd.config.resolve import PeerTable, session_settings
from l2tpd.errors import RemoteProtocolError
from l2tpd.session.call import Kind
from l2tpd.wire.numbers import CallResult, ErrorCode, StopResult

if TYPE_CHECKING:
    from l2tpd.config.model import Peer
    from l2tpd.registry import Registry
    from l2tpd.tunnel.core import ControlConnection


CROWD = 256
"""Half-open tunnels, also of one source, that nobody minds; above, and above an eighth of a limit, a request has to be repeated."""


class Admitted(NamedTuple):
    """A caller that may have a tunnel: the peer entry that it matched, and what follows from it."""

    peer: str
    settings: TunnelSettings
    versions: tuple[Version, ...] = (Version.L2TPV2, Version.L2TPV3)


class Policy:
    """The configuration's answer to every request of a peer. `registry` supplies the counts."""

    def __init__(self, config: Config, registry: Registry[Any]) -> None:
        """Apply a configuration."""
        self._registry = registry
        self.drain = config.system.drain
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Apply another configuration from now on; what was admitted stays."""
        self.config = config
        self._peers = PeerTable(config)
        self._sessions: dict[str, tuple[str, SessionSettings]] = {}
        self._by_end_id = {
            said["remote_end_id"]: (name, session_settings(config, name))
            for name, said in config.session_profiles.items()
            if said.get("remote_end_id")
        }

    def known(self, host_name: str, address: str) -> Admitted:
        """Return what applies to a caller. Raises `RemoteProtocolError` when nobody of that name or address may call."""
        found = self._peers.find(host_name, address)
        if found is None or not found[1].accept:
            raise RemoteProtocolError(StopResult.NOT_AUTHORIZED, ErrorCode.NONE, "this peer is not accepted")
        return Admitted(found[0], self._peers.settings(found[0]), found[1].versions)

    def secret_of(self, host_name: str, address: str) -> bytes:
        """Return the secret shared with a caller, empty when there is none or nobody knows it."""
        found = self._peers.find(host_name, address)
        return self._peers.settings(found[0]).secret.encode("utf-8", "surrogateescape") if found else b""

    def admit_tunnel(self, admitted: Admitted) -> None:
        """Check the limits for one more tunnel. Raises `RemoteProtocolError` with what to answer."""
        system, registry = self.config.system, self._registry
        if system.deny_remote_creates:
            raise RemoteProtocolError(StopResult.NOT_AUTHORIZED, ErrorCode.NONE, "tunnels are not accepted here")
        if self.drain:
            raise RemoteProtocolError(StopResult.ERROR, ErrorCode.TRY_ANOTHER, "being drained")
        peer = self._peer(admitted.peer)
        for reached, limit, what in (
            (len(registry), system.max_tunnels, "tunnels"),
            (registry.from_peer(admitted.peer), peer.max_tunnels, "tunnels of this peer"),
        ):
            if limit and reached >= limit:
                raise RemoteProtocolError(StopResult.ERROR, ErrorCode.NO_RESOURCES, f"{limit} {what} are the limit")

    def is_crowded(self, host: str) -> bool:
        """Tell whether so many tunnels are half open that a host has to ask twice for another one."""
        system, registry = self.config.system, self._registry
        everywhere, here = system.max_half_open // 8, system.max_half_open_per_source // 8
        return registry.half_open >= max(CROWD, everywhere) or registry.half_open_from(host) >= max(CROWD, here)

    def displaced(self, host: str) -> Any | None:
        """Return the half-open tunnel that has to go before a host may begin another, or None while the limits leave room.

        The oldest goes rather than the newcomer: who means it needs a round trip, and a flood of forged requests would otherwise lock
        everybody out until they expire.
        """
        system, registry = self.config.system, self._registry
        if registry.half_open_from(host) >= system.max_half_open_per_source:
            return registry.oldest_half_open(host)
        return registry.oldest_half_open() if registry.half_open >= system.max_half_open else None

    def admit(self, tunnel: ControlConnection, kind: Kind, end_id: str) -> tuple[str, SessionSettings]:
        """Return profile and settings for a call that the peer of a tunnel asks for: those of its `end_id` (RFC 3931 5.4.4) where one has them.

        Raises `RemoteProtocolError` to refuse it.
        """
        if self.drain:
            raise RemoteProtocolError(CallResult.ERROR, ErrorCode.TRY_ANOTHER, "being drained")
        limit = self.config.system.max_sessions
        if limit and self._registry.sessions >= limit:
            raise RemoteProtocolError(
                CallResult.NO_FACILITIES_TEMPORARY, ErrorCode.NO_RESOURCES, f"{limit} sessions are the limit"
            )
        peer = self.config.peers.get(tunnel.profile) if tunnel.origin == "network" else None
        if peer is not None and kind.role not in peer.roles:
            text = f"we are no {kind.role.name} towards this peer"
            raise RemoteProtocolError(CallResult.NO_FACILITIES_PERMANENT, ErrorCode.NONE, text)
        return self._by_end_id.get(end_id) or self._session_settings(tunnel, peer)

    def began(self, tunnel: ControlConnection) -> None:
        """Count a call."""
        del tunnel
        self._registry.sessions += 1

    def ended(self, tunnel: ControlConnection) -> None:
        """Count a call as over."""
        del tunnel
        self._registry.sessions -= 1

    def _peer(self, name: str) -> Peer:
        return self.config.peers[name]

    def _session_settings(self, tunnel: ControlConnection, peer: Peer | None) -> tuple[str, SessionSettings]:
        if peer is not None:
            profile = peer.session_profile
        else:
            instance = self.config.tunnels.get(tunnel.name)
            profile = instance.session_profile if instance else "default"
        if profile not in self._sessions:
            self._sessions[profile] = (profile, session_settings(self.config, profile))
        return self._sessions[profile]
