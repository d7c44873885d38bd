"""Converters: what our daemon takes comes out, and everything else is refused as what it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpctl.importing import values
from l2tpctl.importing.values import Unsayable, Wrong
from l2tpd.config import scalars
from l2tpd.config.keys import interface, ranges

SPANS = st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda pair: (min(pair), max(pair)))


@given(
    st.text()
    | st.sampled_from(["a.b:1", "[::1]:9", "192.0.2.1", "2001:db8::1", "h:70000", "1.2.3", "[::", "ä.b", "224.0.0.1"])
)
def test_a_peer_is_one_of_ours(text: str) -> None:
    """Whatever comes out, our daemon takes."""
    try:
        found = values.peer(text)
    except Wrong:
        return
    assert scalars.host_port(found).host


@given(st.text())
def test_an_interface_is_one_of_ours(text: str) -> None:
    """Likewise; the name is not changed."""
    try:
        found = values.interface(text)
    except Unsayable:
        return
    assert text == interface(found)


@given(st.lists(SPANS, max_size=4), SPANS)
def test_a_hole_takes_out_what_it_holds(spans: list[values.Span], hole: values.Span) -> None:
    """And nothing else."""

    def members(found: list[values.Span]) -> set[int]:
        return {number for low, high in found for number in range(low, high + 1)}

    kept = values.without(spans, hole)
    assert members(spans) - set(range(hole[0], hole[1] + 1)) == members(kept)
    if kept:
        ranges(values.ranges(kept))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("10.0.0.2-10.0.0.9", "10.0.0.2-10.0.0.9"),
        ("10.0.0.2 - 10.0.0.9", "10.0.0.2-10.0.0.9"),
        ("10.0.0.2-254", "10.0.0.2-10.0.0.254"),
        ("10.0.0.0/24", "10.0.0.1-10.0.0.254"),
        ("10.0.0.0/31", "10.0.0.0-10.0.0.1"),
        ("10.0.0.7", "10.0.0.7-10.0.0.7"),
    ],
)
def test_ranges(text: str, written: str) -> None:
    """In all of their notations."""
    assert written == values.ranges([values.span(text)])


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (values.number, "-1"), (values.number, "0x"), (values.number, "1.5"), (values.number, ""), (values.boolean, "perhaps"),
        (values.split_port, "[::1"), (values.split_port, "[::1]9"), (values.split_port, "a:b"), (values.peer, "a b"), (values.prefix, "x"),
        (values.span, "10.0.0.9-10.0.0.2"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(convert: Callable[[str], object], text: str) -> None:
    """Ends the import."""
    with pytest.raises(Wrong):
        convert(text)


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (values.within(1, 9), "10"), (values.milliseconds(0, 60), "60001"), (values.text, "a\0"), (values.avp_text, "a\nb"),
        (values.avp_text, "x" * 1018), (values.avp_ascii, "ä"), (values.secret, ""), (values.bridge, "br%d"), (values.ipv4, "2001:db8::1"),
        (values.host, "here"), (values.interface_address, "224.0.0.1"), (values.interface_address, "x"), (values.span, "2001:db8::1-2001:db8::2"), (values.span, "x"), (values.area, "10.0.0.0/x"),
        (values.words({"a": ("b",)}), "c d"), (values.one_of({"a": "b"}), "c"), (values.router_id, "0"), (values.router_id, "0.0.0.0"),  # noqa: S104 - an identifier
        (values.router_id, "4294967296"),
    ],
)  # fmt: skip
def test_what_is_fine_there_but_not_here(convert: Callable[[str], object], text: str) -> None:
    """Becomes a comment."""
    with pytest.raises(Unsayable):
        convert(text)


def test_values_that_are_brought_into_bounds() -> None:
    """And words, of which those that we have are kept."""
    assert [8, 9] == [values.at_least(8)(text) for text in ("6", "9")]
    assert (["b"], [], 31) == (
        values.words({"a": ("b",)})("A, c"),
        values.words({"a": ("b",)})(""),
        values.number("0x1f"),
    )
