"""The parameters that control methods take, and reading them strictly.

Nothing is coerced: `"7"` is no integer and `1` no boolean. A key that a method does not know is an error, so that a mistyped filter never
shows everything. Errors name the key.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import attrs
import cattrs
from cattrs.errors import (
    BaseValidationError,
    ClassValidationError,
    ForbiddenExtraKeysError,
)
from cattrs.gen import make_dict_structure_fn

from l2tpd.control.jsonrpc import INVALID_PARAMS, Json
from l2tpd.errors import ControlError
from l2tpd.events import Origin

P = TypeVar("P")

PAGE = 250
"""Most rows in one answer: what the daemon computes without looking at the network in between, some milliseconds also among 65,000."""

LOG_LINES = 1000
"""Most lines of the log in one answer: all that are kept in memory."""

Words = tuple[str, ...]
Kind = Literal["created", "up", "down", "deleted"]
KINDS: tuple[Kind, ...] = ("created", "up", "down", "deleted")
TunnelState = Literal["waiting", "wait-ctl-reply", "wait-ctl-conn", "up", "closing", "lingering", "closed"]
SessionState = Literal["idle", "wait-tunnel", "wait-reply", "wait-connect", "wait-cs-answer", "wait-plane", "up"]
PppState = Literal["establish", "authenticate", "network", "up", "terminate", "dead"]
"""The words for states, as lists show them."""

Flap = Literal["up", "down"]
FLAPS: tuple[Flap, ...] = ("up", "down")


@attrs.frozen(kw_only=True)
class Nothing:
    """No parameters."""


@attrs.frozen(kw_only=True)
class Page:
    """Which page of a list: at most `limit` rows after `cursor`, which the page before gave."""

    cursor: str | None = None
    limit: int = PAGE


@attrs.frozen(kw_only=True)
class OriginFilter(Page):
    """What is asked for by who created it and by peer (address with or without port, or Host Name)."""

    origin: Origin | None = None
    peer: str | None = None


@attrs.frozen(kw_only=True)
class TunnelFilter(OriginFilter):
    """Tunnels asked for."""

    state: TunnelState | None = None


@attrs.frozen(kw_only=True)
class SessionFilter(OriginFilter):
    """Sessions asked for; `tunnel` is a name or `@ID`."""

    state: SessionState | None = None
    tunnel: str | None = None


@attrs.frozen(kw_only=True)
class PppFilter(Page):
    """PPP asked for: of a tunnel, by name or `@ID`; by user; by the peer's address, in whatever notation; by state."""

    tunnel: str | None = None
    user: str | None = None
    address: str | None = None
    state: PppState | None = None


@attrs.frozen(kw_only=True)
class TunnelRef:
    """One tunnel, by name or `@ID`."""

    tunnel: str


@attrs.frozen(kw_only=True)
class SessionRef(TunnelRef):
    """One session, by name or `@ID`, of one tunnel."""

    session: str


@attrs.frozen(kw_only=True)
class TunnelEnd(TunnelRef):
    """A tunnel to delete; the peer is told the reason in its StopCCN (RFC 2661 4.4.2)."""

    reason: str = ""


@attrs.frozen(kw_only=True)
class SessionEnd(SessionRef):
    """A session to delete; the peer is told the reason in its CDN (RFC 2661 4.4.2)."""

    reason: str = ""


@attrs.frozen(kw_only=True)
class PppRef:
    """PPP of one session, by its interface, by the name of the session, or by `@TUNNEL/SESSION`, with both ids."""

    ppp: str


@attrs.frozen(kw_only=True)
class PppEnd(PppRef):
    """PPP to end; the peer is told the reason in its Terminate-Request (RFC 1661 5.5), and in the CDN that follows."""

    reason: str = ""


@attrs.frozen(kw_only=True)
class TunnelKeys:
    """A tunnel to create: its name, and the keys that `[tunnel.NAME]` would say."""

    name: str
    keys: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class SessionKeys:
    """A session to create in a tunnel: its name, and the keys that `[tunnel.T.session.NAME]` would say."""

    tunnel: str
    name: str
    keys: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Reset:
    """Whether the counters are set to zero after they were read; that takes the right to write."""

    reset: bool = False


@attrs.frozen(kw_only=True)
class Debug:
    """What to trace, and the log level: categories switched `on` or off for the system, one tunnel, one session of it, or all of a profile.

    `profile` is `tunnel.NAME` or `session.NAME`, as in `[profile.tunnel.NAME]`.
    """

    tunnel: str | None = None
    session: str | None = None
    profile: str | None = None
    categories: Words = ()
    on: bool = True
    log_level: str | None = None


@attrs.frozen(kw_only=True)
class Drain:
    """Whether new tunnels and sessions are to be refused."""

    drain: bool


@attrs.frozen(kw_only=True)
class LogTail:
    """How many lines of the log, the newest."""

    limit: int = LOG_LINES


@attrs.frozen(kw_only=True)
class Kinds:
    """Which events to send, by what happened to tunnels, to sessions and to PPP; reloads and the daemon's end are always told."""

    tunnel: tuple[Kind, ...] = KINDS
    session: tuple[Kind, ...] = KINDS
    ppp: tuple[Flap, ...] = FLAPS


@attrs.frozen(kw_only=True)
class Captured:
    """Which control messages to send: those of these tunnels, by name or `@ID`, and of the peers in these networks; all where none is given.

    With `show_hidden` hidden AVPs are shown in the text of a message.
    """

    tunnels: Words = ()
    peers: Words = ()
    show_hidden: bool = False


def read(cls: type[P], params: Mapping[str, Json]) -> P:
    """Structure `params` as `cls`; raises `ControlError` (invalid params) that names every wrong key."""
    try:
        return _converter.structure(params, cls)
    except BaseValidationError as error:
        raise ControlError(INVALID_PARAMS, "; ".join(_problems(error, "", cls))) from None


def _problems(error: Exception, path: str, cls: type[object] | None) -> list[str]:
    """Flatten a validation error into sentences, each with its key."""
    if isinstance(error, ClassValidationError):
        placed, bare = error.group_exceptions()
        return [
            *(line for inner, note in placed for line in _problems(inner, _join(path, note.name), None)),
            *(line for inner in bare for line in _problems(inner, path, cls)),
        ]
    if isinstance(error, ForbiddenExtraKeysError):
        return [_unknown(key, _join(path, key), cls) for key in sorted(error.extra_fields)]
    if isinstance(error, KeyError):
        return [f"`{path}` is missing"]
    return [f"`{path}` {error}" if isinstance(error, _WrongType) else f"`{path}` has a wrong value"]


def _unknown(key: str, path: str, cls: type[object] | None) -> str:
    """Say that a key is not known, and which one was perhaps meant."""
    known = [field.name for field in attrs.fields(cls)] if cls is not None and attrs.has(cls) else []
    return f"`{path[:100]}` is not a parameter{meant(key, known)}"


def meant(word: str, known: Iterable[str]) -> str:
    """Say which word was perhaps meant."""
    close = difflib.get_close_matches(word[:100], list(known), 1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def _join(path: str, name: str) -> str:
    """Extend a key path."""
    return f"{path}.{name}" if path else name


class _WrongType(Exception):
    """A value is of another type than its key takes; the text goes behind the key's name."""


def _exactly(expected: type[object], name: str) -> Callable[[object, object], object]:
    """Make a hook that takes values of this very type and no other."""

    def hook(value: object, _cls: object) -> object:
        if type(value) is not expected:
            text = f"must be {name}"
            raise _WrongType(text)
        return value

    return hook


def _one_of(value: object, cls: Any) -> object:
    """Take one of the words of a Literal."""
    if not isinstance(value, str) or value not in cls.__args__:
        text = "must be one of " + ", ".join(cls.__args__)
        raise _WrongType(text)
    return value


def _words(value: object, cls: Any) -> object:
    """Take a list; a string, though iterable, is none."""
    if not isinstance(value, list):
        text = "must be a list"
        raise _WrongType(text)
    return tuple(_converter.structure(item, cls.__args__[0]) for item in value)


def _table(value: object, _cls: object) -> object:
    """Take an object whose values are checked by whoever knows its keys."""
    if not isinstance(value, dict):
        text = "must be an object"
        raise _WrongType(text)
    return value


def _strict() -> cattrs.Converter:
    """Build the converter: exact scalars, no unknown keys."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for expected, name in ((bool, "true or false"), (int, "an integer"), (str, "a string")):
        converter.register_structure_hook(expected, _exactly(expected, name))
    converter.register_structure_hook_func(lambda cls: getattr(cls, "__origin__", None) is Literal, _one_of)
    converter.register_structure_hook_func(lambda cls: getattr(cls, "__origin__", None) is tuple, _words)
    converter.register_structure_hook_func(lambda cls: getattr(cls, "__origin__", None) is Mapping, _table)
    converter.register_structure_hook_factory(
        attrs.has, lambda cls: make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)
    )
    return converter


_converter = _strict()
