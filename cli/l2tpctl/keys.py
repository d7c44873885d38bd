"""Keys of the configuration given on the command line: `--hello-timeout 30` as the type that the daemon says the key has."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

import click

from l2tpctl.answers import rows
from l2tpd.control.jsonrpc import Json


def pairs(words: Sequence[str]) -> dict[str, str]:
    """Pair `--key value` and `--key=value` words."""
    pairs: dict[str, str] = {}
    left = iter(words)
    for word in left:
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not key:
            raise click.UsageError(f"`{word}` is not expected here: keys are given as --key value")
        text = value if equals else next(left, None)
        if text is None:
            raise click.UsageError(f"`--{key}` needs a value")
        pairs[key.replace("-", "_")] = text
    return pairs


def schemas(described: Mapping[str, Json], method: str) -> Mapping[str, Json]:
    """Find in what the daemon says of itself which keys a create method takes, and of which type."""
    found = next((row for row in rows(described, "methods") if row.get("name") == method), {})
    keys = next((row for row in rows(found, "params") if row.get("name") == "keys"), {})
    schema = keys.get("schema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def typed(key: str, text: str, schemas: Mapping[str, Json]) -> Json:
    """Read the text of a value as its key's type."""
    if key not in schemas:
        close = difflib.get_close_matches(key, list(schemas), 1)
        meant = f" (did you mean --{close[0].replace('_', '-')}?)" if close else ""
        raise click.UsageError(f"there is no key --{key.replace('_', '-')}{meant}")
    kinds = _kinds(schemas[key])
    if "array" in kinds:
        return [word.strip() for word in text.split(",") if word.strip()]
    read: dict[str, Callable[[str], Json]] = {"boolean": _boolean, "integer": int, "number": float}
    kind = next((kind for kind in read if kind in kinds), None)
    try:
        return read[kind](text) if kind else text
    except (ValueError, KeyError):
        article = {"boolean": "true or false", "integer": "an integer", "number": "a number"}[str(kind)]
        raise click.UsageError(f"--{key.replace('_', '-')} must be {article}") from None


def _boolean(text: str) -> bool:
    return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}[text.lower()]


def _kinds(schema: Json) -> set[str]:
    """Return the types that a schema allows."""
    if not isinstance(schema, dict):
        return set()
    several = schema.get("anyOf")
    if isinstance(several, list):
        return {kind for one in several for kind in _kinds(one)}
    return {str(schema.get("type"))}
