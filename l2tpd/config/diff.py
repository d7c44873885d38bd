"""What a reload will do: two configurations compared, step by step, before anything is touched.

`WHEN` says of every key when a new value of it takes effect. Profiles, peer entries and pools serve what is set up later and never disturb what
exists; an instance's own keys reach the running instance, in place where the protocol allows it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from l2tpd.config.model import (
    Address,
    Config,
    Listen,
    Radius,
    RadiusClient,
    RadiusServer,
    Said,
    SessionInstance,
    SessionSettings,
    System,
    TunnelInstance,
    TunnelSettings,
)
from l2tpd.config.resolve import session_settings, tunnel_settings
from l2tpd.config.scalars import end_id_as_said

Path = tuple[str, ...]
"""Names a table: `("system",)`, `("tunnel", "hq")`, `("tunnel", "hq", "session", "branch")`."""


class When(enum.Enum):
    """When a change takes effect."""

    IN_PLACE = "in-place"
    NEW_ONLY = "new-only"
    RESTART_SESSION = "restart-session"
    RESTART_TUNNEL = "restart-tunnel"
    RESTART_DAEMON = "restart-daemon"


class Verb(enum.Enum):
    """What happens to a table."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


_IN_PLACE, _NEW_ONLY = When.IN_PLACE, When.NEW_ONLY
_SESSION, _TUNNEL, _DAEMON = When.RESTART_SESSION, When.RESTART_TUNNEL, When.RESTART_DAEMON

WHEN: Mapping[tuple[type, str], When] = {
    (System, "hostname"): _NEW_ONLY,  # told once, in SCCRQ or SCCRP
    (System, "vendor_name"): _NEW_ONLY,
    (System, "router_id"): _NEW_ONLY,
    (System, "data_plane"): _DAEMON,
    (System, "control_socket"): _DAEMON,
    (System, "control_owner"): _DAEMON,
    (System, "control_group"): _DAEMON,
    (System, "control_mode"): _DAEMON,
    (System, "script_directory"): _IN_PLACE,
    (System, "script_limit"): _IN_PLACE,
    (System, "script_timeout"): _IN_PLACE,
    (System, "metrics_address"): _DAEMON,
    (System, "log_level"): _IN_PLACE,
    (System, "trace"): _IN_PLACE,
    (System, "max_tunnels"): _IN_PLACE,
    (System, "max_sessions"): _IN_PLACE,
    (System, "max_half_open"): _IN_PLACE,
    (System, "max_half_open_per_source"): _IN_PLACE,
    (System, "drain"): _IN_PLACE,
    (System, "stop_timeout"): _IN_PLACE,
    (System, "deny_local_creates"): _IN_PLACE,
    (System, "deny_remote_creates"): _IN_PLACE,
    (Listen, "address"): _DAEMON,
    (Listen, "encap"): _DAEMON,
    (TunnelInstance, "peer"): _TUNNEL,
    (TunnelInstance, "local"): _TUNNEL,
    (TunnelInstance, "local_port"): _TUNNEL,
    (TunnelInstance, "version"): _TUNNEL,
    (TunnelInstance, "encap"): _TUNNEL,
    (TunnelInstance, "mode"): _TUNNEL,
    (TunnelInstance, "tunnel_id"): _TUNNEL,
    (TunnelInstance, "peer_tunnel_id"): _TUNNEL,
    (TunnelInstance, "profile"): _TUNNEL,
    (TunnelInstance, "session_profile"): _IN_PLACE,  # for sessions asked for from now on
    (TunnelInstance, "persist"): _IN_PLACE,
    (TunnelInstance, "redial_delay"): _IN_PLACE,
    (TunnelInstance, "redial_delay_max"): _IN_PLACE,
    (TunnelSettings, "host_name"): _TUNNEL,
    (TunnelSettings, "secret"): _TUNNEL,  # also hides AVPs of messages on their way, RFC 2661 4.3
    (TunnelSettings, "secret_file"): _IN_PLACE,  # only shown; its content counts as `secret`
    (TunnelSettings, "authentication"): _TUNNEL,
    (TunnelSettings, "digest"): _TUNNEL,
    (TunnelSettings, "hide_avps"): _IN_PLACE,  # each message says for itself what it hides
    (TunnelSettings, "tie_breaker"): _TUNNEL,
    (TunnelSettings, "hello_timeout"): _IN_PLACE,
    (TunnelSettings, "retry_timeout"): _IN_PLACE,
    (TunnelSettings, "retry_cap"): _IN_PLACE,
    (TunnelSettings, "max_retries"): _IN_PLACE,
    (TunnelSettings, "receive_window"): _TUNNEL,  # told once, RFC 2661 4.4.3
    (TunnelSettings, "establish_timeout"): _IN_PLACE,
    (TunnelSettings, "idle_timeout"): _IN_PLACE,
    (TunnelSettings, "max_sessions"): _IN_PLACE,
    (TunnelSettings, "udp_checksum"): _TUNNEL,
    (TunnelSettings, "framing_caps"): _TUNNEL,
    (TunnelSettings, "bearer_caps"): _TUNNEL,
    (TunnelSettings, "firmware_revision"): _TUNNEL,
    (TunnelSettings, "quirks"): _TUNNEL,
    (TunnelSettings, "trace"): _IN_PLACE,
    (SessionInstance, "profile"): _SESSION,
    (SessionSettings, "pseudowire"): _SESSION,
    (SessionSettings, "pseudowire_profile"): _SESSION,
    (SessionSettings, "interface_name"): _SESSION,
    (SessionSettings, "role"): _SESSION,
    (SessionSettings, "establish_timeout"): _IN_PLACE,
    (SessionSettings, "persist"): _IN_PLACE,
    (SessionSettings, "bearer_type"): _SESSION,
    (SessionSettings, "framing_type"): _SESSION,
    (SessionSettings, "calling_number"): _SESSION,
    (SessionSettings, "called_number"): _SESSION,
    (SessionSettings, "sub_address"): _SESSION,
    (SessionSettings, "tx_connect_speed"): _SESSION,
    (SessionSettings, "rx_connect_speed"): _SESSION,
    (SessionSettings, "minimum_bps"): _SESSION,
    (SessionSettings, "maximum_bps"): _SESSION,
    (SessionSettings, "physical_channel_id"): _SESSION,
    (SessionSettings, "private_group_id"): _SESSION,
    (SessionSettings, "sequencing_required"): _SESSION,
    (SessionSettings, "reorder_timeout"): _SESSION,
    (SessionSettings, "session_id"): _SESSION,
    (SessionSettings, "peer_session_id"): _SESSION,
    (SessionSettings, "cookie"): _SESSION,
    (SessionSettings, "peer_cookie"): _SESSION,
    (SessionSettings, "cookie_size"): _SESSION,
    (SessionSettings, "remote_end_id"): _SESSION,
    (SessionSettings, "sublayer"): _SESSION,
    (SessionSettings, "mtu"): _SESSION,
    (SessionSettings, "vlan_id"): _SESSION,
    (SessionSettings, "address"): _SESSION,
    (SessionSettings, "peer_address"): _SESSION,
    (SessionSettings, "bridge"): _SESSION,
    (SessionSettings, "user"): _SESSION,
    (SessionSettings, "password"): _SESSION,
    (SessionSettings, "password_file"): _IN_PLACE,  # only shown; its content counts as `password`
    (SessionSettings, "user_data"): _IN_PLACE,
    (SessionSettings, "trace"): _IN_PLACE,
    (Radius, "nas_identifier"): _IN_PLACE,
    (Radius, "nas_address"): _IN_PLACE,
    (Radius, "accounting"): _NEW_ONLY,  # what was begun is ended
    (Radius, "interim_interval"): _NEW_ONLY,
    (Radius, "tunnel_accounting"): _NEW_ONLY,
    (Radius, "require_message_authenticator"): _IN_PLACE,
    (Radius, "spool"): _DAEMON,
    (Radius, "dynauth_listen"): _DAEMON,
    (Radius, "dynauth_window"): _IN_PLACE,
    **{(RadiusServer, field.name): _IN_PLACE for field in attrs.fields(RadiusServer)},
    **{(RadiusClient, field.name): _IN_PLACE for field in attrs.fields(RadiusClient)},
}
"""For the keys of the system, of listeners, of RADIUS and of instances. Keys of peers, profiles, pools and users are `NEW_ONLY`, but for `AT_ONCE`."""

AT_ONCE = frozenset(
    {("profile", "ppp", "session_timeout"), ("profile", "ppp", "idle_timeout")}
    | {("user", "session_timeout"), ("user", "idle_timeout")}
)
"""The families of tables whose keys are `NEW_ONLY`, each with a key that is not: it holds for the sessions that there are."""

_SECRETS = frozenset({"secret", "password", "pap_hash"})

_EFFECTS: Mapping[tuple[Verb, When], str] = {
    (Verb.ADDED, When.IN_PLACE): "new, started now",
    (Verb.ADDED, When.NEW_ONLY): "new, used for what is set up from now on",
    (Verb.ADDED, When.RESTART_DAEMON): "new, takes effect when the daemon is restarted",
    (Verb.REMOVED, When.IN_PLACE): "gone, closed now",
    (Verb.REMOVED, When.NEW_ONLY): "gone, what was set up with it stays",
    (Verb.REMOVED, When.RESTART_DAEMON): "gone, takes effect when the daemon is restarted",
    (Verb.CHANGED, When.IN_PLACE): "applied now",
    (Verb.CHANGED, When.NEW_ONLY): "applied to what is set up from now on",
    (Verb.CHANGED, When.RESTART_SESSION): "the session is closed and asked for again",
    (Verb.CHANGED, When.RESTART_TUNNEL): "the tunnel is closed and opened again",
    (Verb.CHANGED, When.RESTART_DAEMON): "takes effect when the daemon is restarted",
}


@attrs.frozen(kw_only=True)
class Step:
    """One difference: a table that came or went, or one key of it that changed, with both values as text (a secret's never)."""

    path: Path
    verb: Verb
    when: When
    key: str = ""
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        """Render as a sentence: `tunnel hq: hello_timeout 60.0 -> 30.0, applied now`."""
        what = f"{self.key} {self.old} -> {self.new}, " if self.key else ""
        return f"{' '.join(self.path)}: {what}{_EFFECTS[self.verb, self.when]}"

    def as_plain(self) -> dict[str, Any]:
        """Render as JSON can carry it."""
        plain: dict[str, Any] = {"table": list(self.path), "verb": self.verb.value, "when": self.when.value}
        return {**plain, "key": self.key, "old": self.old, "new": self.new} if self.key else plain


@attrs.frozen
class Plan:
    """All steps from one configuration to another, in the order of the tables; empty, and false, when nothing differs."""

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.steps)

    def __str__(self) -> str:
        """Render one sentence a line."""
        return "\n".join(map(str, self.steps)) if self.steps else "nothing changes"

    def as_plain(self) -> dict[str, Any]:
        """Render as JSON can carry it."""
        return {"steps": [step.as_plain() for step in self.steps], "needs_daemon_restart": self.needs_daemon_restart}

    @property
    def needs_daemon_restart(self) -> bool:
        """Tell whether a part of it has to wait for a restart of the daemon."""
        return any(step.when is When.RESTART_DAEMON for step in self.steps)

    def tunnels(self, verb: Verb, when: When = When.IN_PLACE) -> tuple[str, ...]:
        """List the tunnels with such a step, each once: added, removed, changed in place, changed by restart."""
        return tuple(dict.fromkeys(step.path[1] for step in self.steps if _is(step, "tunnel", 2, verb, when)))

    def sessions(self, verb: Verb, when: When = When.IN_PLACE) -> tuple[tuple[str, str], ...]:
        """List (tunnel, session) with such a step, each once; those of added, removed and restarted tunnels are not among them."""
        restarted = set(self.tunnels(Verb.CHANGED, When.RESTART_TUNNEL))
        found = ((step.path[1], step.path[3]) for step in self.steps if _is(step, "tunnel", 4, verb, when))
        return tuple(dict.fromkeys(pair for pair in found if pair[0] not in restarted))


def _is(step: Step, table: str, depth: int, verb: Verb, when: When) -> bool:
    return step.verb is verb and step.when is when and len(step.path) == depth and step.path[0] == table


def diff(old: Config, new: Config) -> Plan:
    """Compare two configurations."""
    steps = [
        *_keys(("system",), System, _fields(System, old.system), _fields(System, new.system)),
        *_listeners(old, new),
        *_new_only(("peer",), old.peers, new.peers),
        *_new_only(("profile", "tunnel"), old.tunnel_profiles, new.tunnel_profiles),
        *_new_only(("profile", "session"), old.session_profiles, new.session_profiles),
        *_new_only(("profile", "pseudowire"), old.pseudowire_profiles, new.pseudowire_profiles),
        *_new_only(("profile", "ppp"), old.ppp_profiles, new.ppp_profiles),
        *_new_only(("pool",), old.pools, new.pools),
        *_new_only(("user",), old.users, new.users),
        *_keys(("radius",), Radius, _fields(Radius, old.radius), _fields(Radius, new.radius)),
        *_radius(("radius", "server"), RadiusServer, old.radius.servers, new.radius.servers),
        *_radius(("radius", "client"), RadiusClient, old.radius.clients, new.radius.clients),
        *_tables(
            ("tunnel",),
            old.tunnels,
            new.tunnels,
            lambda path, before, after: _tunnel(path, (old, before), (new, after)),
        ),
    ]
    return Plan(tuple(steps))


# -- comparing ----------------------------------------------------------------------------------------------------------------------------

_Compare = Callable[[Path, Any, Any], Iterable[Step]]


def _tables(
    family: Path, old: Mapping[str, Any], new: Mapping[str, Any], compare: _Compare, when: When = When.IN_PLACE
) -> Iterable[Step]:
    for name in old:
        if name not in new:
            yield Step(path=(*family, name), verb=Verb.REMOVED, when=when)
    for name, after in new.items():
        if name not in old:
            yield Step(path=(*family, name), verb=Verb.ADDED, when=when)
        elif old[name] != after:
            yield from compare((*family, name), old[name], after)


def _new_only(family: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Step]:
    def compare(path: Path, before: Any, after: Any) -> Iterable[Step]:
        for step in _keys(path, None, _plain(before), _plain(after)):
            yield attrs.evolve(step, when=_IN_PLACE) if (*family, step.key) in AT_ONCE else step

    for step in _tables(family, old, new, compare, When.NEW_ONLY):
        yield step
        if step.verb is not Verb.CHANGED:  # what it says at once counts for those whom it is about and who are here
            name = step.path[-1]
            yield from compare(step.path, _at_once(family, old.get(name)), _at_once(family, new.get(name)))


def _at_once(family: Path, table: Any) -> Mapping[str, Any]:
    """Return what a table says, if there is one, of keys that hold at once; of a user it is said only if it is not nothing."""
    said = {} if table is None else _plain(table)
    silent = None if isinstance(table, Mapping) else 0
    return {key: value for key, value in said.items() if (*family, key) in AT_ONCE and value != silent}


def _listeners(old: Config, new: Config) -> Iterable[Step]:
    before = {str(listener.address): listener for listener in old.listen}
    after = {str(listener.address): listener for listener in new.listen}
    return _tables(
        ("listen",),
        before,
        after,
        lambda path, a, b: _keys(path, Listen, _fields(Listen, a), _fields(Listen, b)),
        When.RESTART_DAEMON,
    )


def _radius(family: Path, cls: type, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Step]:
    return _tables(family, old, new, lambda path, a, b: _keys(path, cls, _fields(cls, a), _fields(cls, b)))


def _tunnel(path: Path, old: tuple[Config, TunnelInstance], new: tuple[Config, TunnelInstance]) -> Iterable[Step]:
    before, after = old[1], new[1]
    yield from _keys(path, TunnelInstance, _fields(TunnelInstance, before), _fields(TunnelInstance, after))
    if before.said != after.said:
        was, will = (
            tunnel_settings(old[0], before.profile, before.said),
            tunnel_settings(new[0], after.profile, after.said),
        )
        yield from _said(path, TunnelSettings, (before.said, was), (after.said, will))
    yield from _tables(
        (*path, "session"),
        before.sessions,
        after.sessions,
        lambda below, a, b: _session(below, (old[0], a), (new[0], b)),
    )


def _session(path: Path, old: tuple[Config, SessionInstance], new: tuple[Config, SessionInstance]) -> Iterable[Step]:
    before, after = old[1], new[1]
    yield from _keys(path, SessionInstance, _fields(SessionInstance, before), _fields(SessionInstance, after))
    if before.said != after.said:
        was, will = (
            session_settings(old[0], before.profile, before.said),
            session_settings(new[0], after.profile, after.said),
        )
        yield from _said(path, SessionSettings, (before.said, was), (after.said, will))


def _said(path: Path, cls: type, old: tuple[Said, Any], new: tuple[Said, Any]) -> Iterable[Step]:
    """Compare what holds for the keys that either instance says; a key that only a profile says is that profile's matter."""
    keys = [field.name for field in attrs.fields(cls) if field.name in old[0] or field.name in new[0]]
    return _keys(path, cls, {key: getattr(old[1], key) for key in keys}, {key: getattr(new[1], key) for key in keys})


def _keys(path: Path, cls: type | None, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Step]:
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key, _UNSAID), new.get(key, _UNSAID)
        if before != after:
            when = When.NEW_ONLY if cls is None else WHEN[cls, key]
            yield Step(
                path=path, verb=Verb.CHANGED, when=when, key=key, old=_shown(key, before), new=_shown(key, after)
            )


def _fields(cls: type, value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in attrs.fields(cls) if (cls, field.name) in WHEN}


def _plain(value: Any) -> Mapping[str, Any]:
    return (
        value
        if isinstance(value, Mapping)
        else {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    )


class _Unsaid(enum.Enum):
    UNSAID = "(not said)"


_UNSAID = _Unsaid.UNSAID


def _shown(key: str, value: Any) -> str:
    if key in _SECRETS:
        return "(a secret)" if isinstance(value, str) and value else "(no secret)"
    if key == "remote_end_id" and isinstance(value, str):
        return end_id_as_said(value) or '""'
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bytes):  # a plan also goes to the log, where a cookie is nobody's business
        return "(not shown)" if value else "(none)"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return f"[{', '.join(_shown(key, item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if hasattr(value, "_fields"):
        return str(Address(*value))
    return f"0{value:o}" if key == "control_mode" else '""' if value in ("", None) else str(value)
