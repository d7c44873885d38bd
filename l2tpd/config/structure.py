"""From a document to the model: every table walked once, every mistake noted with its path, nothing raised on the way.

What cannot be built because a value in it is wrong is left out; the document then has problems and no `Config` comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from l2tpd.config.document import Document, KeyPath
from l2tpd.config.keys import KEYS, Check
from l2tpd.config.model import (
    Address,
    Config,
    Encapsulation,
    HostPort,
    Listen,
    Peer,
    Pool,
    PppSettings,
    PseudowireSettings,
    Radius,
    RadiusClient,
    RadiusServer,
    Said,
    SessionInstance,
    SessionSettings,
    System,
    TunnelInstance,
    TunnelSettings,
    User,
)
from l2tpd.config.scalars import L2TP_PORT, ElementError, described, instance_name, suggestion, user_name

ReadSecret = Callable[[Path], str]
"""Returns the secret that a file holds, or raises `ValueError` with what is wrong with the file."""

_PROFILES: Mapping[str, type] = {
    "tunnel": TunnelSettings,
    "session": SessionSettings,
    "pseudowire": PseudowireSettings,
    "ppp": PppSettings,
}
_TABLES = ("system", "listen", "peer", "profile", "pool", "user", "radius", "tunnel")

_TUNNEL_OWN = KEYS[TunnelInstance]
_SESSION_OWN = KEYS[SessionInstance]
_TUNNEL_KEYS = {**KEYS[TunnelSettings], **_TUNNEL_OWN}
_SESSION_KEYS = {**KEYS[SessionSettings], **_SESSION_OWN}


class Structurer:
    """Builds the model's values out of one document."""

    __slots__ = ("_document", "_read_secret")

    def __init__(self, document: Document, read_secret: ReadSecret) -> None:
        self._document = document
        self._read_secret = read_secret

    def config(self) -> Config:
        """Build everything; meaningless if the document has problems afterwards."""
        tree = self._document.tree
        for key in tree:
            if key not in _TABLES:
                self._document.wrong((key,), f"no such table{suggestion(key, _TABLES)}")
        profiles = self._profiles(tree.get("profile", {}))
        return Config(
            system=System(**self._table(KEYS[System], tree.get("system", {}), ("system",))),
            listen=self._listeners(tree.get("listen", [])),
            peers=self._instances(Peer, tree.get("peer", {}), ("peer",)),
            tunnel_profiles=profiles["tunnel"],
            session_profiles=profiles["session"],
            pseudowire_profiles=profiles["pseudowire"],
            ppp_profiles=profiles["ppp"],
            pools=self._instances(Pool, tree.get("pool", {}), ("pool",)),
            users=self._instances(User, tree.get("user", {}), ("user",), user_name),
            radius=self._radius(tree.get("radius", {})),
            tunnels=self._tunnels(tree.get("tunnel", {})),
        )

    # -- tables ---------------------------------------------------------------------------------------------------------------------------

    def _table(self, keys: Mapping[str, Check], said: object, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if not isinstance(said, dict):
            self._document.wrong(path, f"must be a table, not {described(said)}")
            return values
        for key, value in said.items():
            check = keys.get(key)
            if check is None:
                self._document.wrong((*path, key), f"no such key{suggestion(key, keys)}")
                continue
            try:
                values[key] = check(value)
            except ValueError as error:
                self._refused((*path, key), error)
        for secret in ("secret", "password"):
            if f"{secret}_file" in values:
                self._secret_from_file(secret, values, path)
        return values

    def _refused(self, path: KeyPath, error: ValueError) -> None:
        if isinstance(error, ElementError):
            for where, text in error.found:
                self._document.wrong((*path, where), text)
        else:
            self._document.wrong(path, str(error))

    def _secret_from_file(self, secret: str, values: dict[str, Any], path: KeyPath) -> None:
        key = f"{secret}_file"
        here = (*path, key)
        if secret in values:
            self._document.wrong(here, f"`{secret}` is said as well: which of them holds?")
            return
        # Relative to the file that says it: a configuration can be moved and checked anywhere.
        file = Path(self._document.file_of(here)).parent / values[key]
        try:
            values[secret] = self._read_secret(file)
        except ValueError as error:
            self._document.wrong(here, f"{file}: {error}")
        values[key] = file

    def _named(self, said: object, path: KeyPath, check: Callable[[str], str] = instance_name) -> list[tuple[str, Any]]:
        if not isinstance(said, dict):
            self._document.wrong(path, f"must hold named tables, not {described(said)}")
            return []
        for name in said:
            try:
                check(name)
            except ValueError as error:
                self._document.wrong((*path, name), str(error))
        return list(said.items())

    def _lacks(self, key: str, said: object, path: KeyPath) -> bool:
        lacking = isinstance(said, dict) and key not in said
        if lacking:
            self._document.wrong(path, f"`{key}` is missing")
        return lacking

    # -- kinds of tables ------------------------------------------------------------------------------------------------------------------

    def _profiles(self, said: object) -> dict[str, dict[str, Said]]:
        profiles: dict[str, dict[str, Said]] = {kind: {} for kind in _PROFILES}
        for kind, tables in self._kinds(said):
            path = ("profile", kind)
            profiles[kind] = {
                name: self._table(KEYS[_PROFILES[kind]], table, (*path, name))
                for name, table in self._named(tables, path)
            }
        return profiles

    def _kinds(self, said: object) -> list[tuple[str, Any]]:
        if not isinstance(said, dict):
            self._document.wrong(("profile",), f"must be a table, not {described(said)}")
            return []
        for kind in said:
            if kind not in _PROFILES:
                self._document.wrong(("profile", kind), f"no such kind of profile{suggestion(kind, _PROFILES)}")
        return [(kind, tables) for kind, tables in said.items() if kind in _PROFILES]

    def _listeners(self, said: object) -> tuple[Listen, ...]:
        if not isinstance(said, list):
            self._document.wrong(
                ("listen",), f"must be an array of tables, written `[[listen]]`, not {described(said)}"
            )
            return ()
        listeners = []
        for index, table in enumerate(said):
            path = ("listen", f"[{index}]")
            values = self._table(KEYS[Listen], table, path)
            if not self._lacks("address", table, path) and "address" in values:
                listeners.append(Listen(**_with_port("address", values)))
        return tuple(listeners)

    def _instances(
        self, cls: Any, said: object, path: KeyPath, check: Callable[[str], str] = instance_name
    ) -> dict[str, Any]:
        instances = {}
        for name, table in self._named(said, path, check):
            values = self._table(KEYS[cls], table, (*path, name))
            if cls is not Pool or (not self._lacks("range", table, (*path, name)) and "range" in values):
                instances[name] = cls(**values)
        return instances

    def _radius(self, said: object) -> Radius:
        own, below = said, {}
        if isinstance(said, dict):
            own = {key: value for key, value in said.items() if key not in {"server", "client"}}
            below = said
        return Radius(
            **self._table(KEYS[Radius], own, ("radius",)),
            servers=self._instances(RadiusServer, below.get("server", {}), ("radius", "server")),
            clients=self._instances(RadiusClient, below.get("client", {}), ("radius", "client")),
        )

    def _tunnels(self, said: object) -> dict[str, TunnelInstance]:
        tunnels = {}
        for name, table in self._named(said, ("tunnel",)):
            tunnel = self.tunnel(name, table, ("tunnel", name))
            if tunnel is not None:
                tunnels[name] = tunnel
        return tunnels

    def tunnel(self, name: str, said: object, path: KeyPath) -> TunnelInstance | None:
        """Build one `[tunnel.NAME]` with its sessions; None if it cannot be built."""
        sessions: object = {}
        if isinstance(said, dict) and "session" in said:
            sessions = said["session"]
            said = {key: value for key, value in said.items() if key != "session"}
        values = self._table(_TUNNEL_KEYS, said, path)
        lacking = self._lacks("peer", said, path)
        own = {key: values.pop(key) for key in _TUNNEL_OWN if key in values}
        inherited = own.get("session_profile", "default")
        below = (*path, "session")
        calls = {
            call: self.session(call, table, (*below, call), inherited) for call, table in self._named(sessions, below)
        }
        if lacking or "peer" not in own:
            return None
        return TunnelInstance(name=name, said=values, sessions=calls, **_with_port("peer", own))

    def session(self, name: str, said: object, path: KeyPath, inherited: str) -> SessionInstance:
        """Build one `[tunnel.NAME.session.NAME]`; its profile, when not said, is the one inherited."""
        values = self._table(_SESSION_KEYS, said, path)
        profile = values.pop("profile", inherited)
        return SessionInstance(name=name, profile=profile, said=values)


def _with_port(key: str, values: dict[str, Any]) -> dict[str, Any]:
    """Fill in the port that the address of this key does not say; over IP there is none."""
    said: Address | HostPort = values[key]
    over_ip = values.get("encap") is Encapsulation.IP
    return values if said.port or over_ip else {**values, key: said._replace(port=L2TP_PORT)}
