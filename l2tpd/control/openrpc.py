"""An OpenRPC description of the control methods, made from their table, so that it cannot say anything else than what is served."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints

import attrs

from l2tpd.config.model import HostPort, SessionInstance, SessionSettings, TunnelInstance, TunnelSettings
from l2tpd.control.jsonrpc import Json
from l2tpd.control.params import SessionKeys, TunnelKeys

_SCALARS: dict[object, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    bytes: "string",  # of hexadecimal digits
    Path: "string",
    HostPort: "string",
    type(None): "null",
    dict: "object",
}


class Described(Protocol):
    """What a row of the method table tells."""

    @property
    def name(self) -> str:
        """Name the method."""
        ...

    @property
    def params(self) -> type[Any]:
        """Name the class of its parameters."""
        ...

    @property
    def result(self) -> type[Any]:
        """Name the class of its result."""
        ...

    @property
    def access(self) -> str:
        """Say `read` or `write`."""
        ...

    @property
    def doc(self) -> str:
        """Describe it in one sentence."""
        ...


def document(methods: Iterable[Described], version: str) -> dict[str, Json]:
    """Describe the methods as an OpenRPC 1.3 document."""
    return {
        "openrpc": "1.3.2",
        "info": {"title": "l2tpd control socket", "version": version},
        "methods": [_method(row) for row in methods],
    }


def _method(row: Described) -> dict[str, Json]:
    """Describe one method."""
    return {
        "name": row.name,
        "summary": row.doc,
        "paramStructure": "by-name",
        "params": [
            {"name": name, "required": required, "schema": schema} for name, required, schema in _params(row.params)
        ],
        "result": {"name": row.result.__name__, "schema": schema_of(row.result)},
        "x-access": row.access,
    }


def _params(cls: type[Any]) -> Iterable[tuple[str, bool, Json]]:
    """Describe each parameter: name, whether it must be given, schema."""
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        schema = _object(*_TABLES[cls]) if field.name == "keys" else schema_of(hints[field.name])
        yield field.name, field.default is attrs.NOTHING, schema


# The tables of the configuration whose keys a create method takes, and their fields that are no keys.
_TABLES: Mapping[type[Any], tuple[tuple[type[Any], ...], frozenset[str]]] = {
    TunnelKeys: ((TunnelInstance, TunnelSettings), frozenset({"name", "said", "sessions"})),
    SessionKeys: ((SessionInstance, SessionSettings), frozenset({"name", "said"})),
}


def _object(classes: Iterable[type[Any]], hidden: frozenset[str] = frozenset()) -> Json:
    """Describe an object that may hold the fields of these classes."""
    properties: dict[str, Json] = {}
    for cls in classes:
        hints = get_type_hints(cls)
        properties.update(
            {field.name: schema_of(hints[field.name]) for field in attrs.fields(cls) if field.name not in hidden}
        )
    return {"type": "object", "properties": properties}


def schema_of(kind: Any) -> Json:
    """Describe a type as a JSON schema."""
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in {Union, types.UnionType}:
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if origin is tuple:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is Mapping:
        return {"type": "object"}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"type": "string", "enum": [member.value for member in kind]}
    return _object((kind,))
