"""Keys on the command line: paired, and read as the type that the daemon's description gives them."""

import click
import pytest

from l2tpctl.keys import pairs, typed
from l2tpd.control.jsonrpc import Json

SCHEMAS: dict[str, Json] = {
    "flag": {"type": "boolean"},
    "window": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "timeout": {"type": "number"},
    "secret": {"type": "string"},
    "trace": {"type": "array", "items": {"type": "string"}},
    "strange": True,
}


def test_words_are_paired() -> None:
    """With a blank or an equals sign, with dashes or underlines; a value may look like anything."""
    words = ["--hello-timeout", "3", "--secret=a=b", "--host_name", "--odd", "--empty="]
    assert {"hello_timeout": "3", "secret": "a=b", "host_name": "--odd", "empty": ""} == pairs(words)


@pytest.mark.parametrize("words", [["x"], ["--"], ["--key"], ["-k", "v"], ["--a", "1", "b"]])
def test_what_is_no_pair_is_a_mistake(words: list[str]) -> None:
    """Of usage."""
    with pytest.raises(click.UsageError):
        pairs(words)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("flag", "on", True),
        ("flag", "No", False),
        ("window", "64", 64),
        ("timeout", "0.5", 0.5),
        ("secret", "1234", "1234"),
        ("trace", "fsm, data,", ["fsm", "data"]),
        ("strange", "x", "x"),
    ],
)
def test_a_value_has_the_type_of_its_key(key: str, text: str, value: Json) -> None:
    """Digits are text where the key is text."""
    assert value == typed(key, text, SCHEMAS)


@pytest.mark.parametrize(("key", "text"), [("flag", "maybe"), ("window", "x"), ("timeout", ""), ("windov", "1")])
def test_a_value_that_does_not_fit_is_a_mistake(key: str, text: str) -> None:
    """Of usage, and so is a key that is none."""
    with pytest.raises(click.UsageError):
        typed(key, text, SCHEMAS)
