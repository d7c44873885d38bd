"""Configuration values as views tell them: what JSON can say, and never a secret."""

from __future__ import annotations

import enum
from collections.abc import Container, Mapping, Sequence
from pathlib import PurePath
from typing import TypeGuard

import attrs

from l2tpd.config.model import Address, HostPort
from l2tpd.config.scalars import end_id_as_said
from l2tpd.control.jsonrpc import Json

SECRETS = frozenset({"secret", "password", "pap_hash"})
"""Keys whose value is replaced by `KEY_set`: whether there is one."""


def told(value: object, *, without: Container[str] = ()) -> dict[str, Json]:
    """Turn a configuration object, or the keys that a table says, but for those of `without`, into what may be told of it."""
    items = value if isinstance(value, Mapping) else _fields(value)
    return dict(_told(str(key), item) for key, item in items.items() if key not in without)


def _fields(value: object) -> dict[str, object]:
    """Return the fields of an attrs object."""
    return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}  # type: ignore[arg-type]


def _told(key: str, value: object) -> tuple[str, Json]:
    """Turn one key and its value into what may be told of them."""
    if key == "remote_end_id":
        return key, end_id_as_said(str(value))
    if key == "control_mode" and isinstance(value, int):
        return key, f"{value:04o}"  # as the configuration takes it
    return (f"{key}_set", bool(value)) if key in SECRETS else (key, _json(value))


def _json(value: object) -> Json:
    """Turn a value into what JSON can say; addresses become text, as the configuration writes them."""
    if isinstance(value, enum.Enum):
        return _json(value.value)
    if isinstance(value, HostPort | Address):
        return str(Address(*value))
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if _is_sequence(value):
        return [_json(item) for item in value]
    if isinstance(value, Mapping) or attrs.has(type(value)):
        return told(value)
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


def _is_sequence(value: object) -> TypeGuard[Sequence[object] | frozenset[object]]:
    """Tell whether a value is a list of others, which text is not."""
    return isinstance(value, list | tuple | frozenset)
