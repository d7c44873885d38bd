"""The table of exceptions, and the names of the tests of this folder."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from conformance.rfc3931.exceptions import EXCEPTIONS, Exempt

HERE = Path(__file__).parent
TESTS = HERE.parents[1]


@pytest.mark.parametrize("row", EXCEPTIONS, ids=lambda row: f"{row.section} {row.demand[:40]}")
def test_what_is_said_to_be_tested_elsewhere_has_a_file_there(row: Exempt) -> None:
    """And an exception without one gives a reason that is more than a word."""
    section, demand, reason, elsewhere = row
    assert re.fullmatch(r"[3457](\.\d+)*", section)
    assert demand
    if elsewhere:
        assert (TESTS / elsewhere).is_file()
    else:
        assert " " in reason


@pytest.mark.parametrize("path", sorted(HERE.glob("test_section_*.py")), ids=lambda path: path.stem)
def test_the_section_stands_in_each_name(path: Path) -> None:
    """A test is found by the section that it is about."""
    names = [
        node.name
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    wrong = [
        name for name in names if name.startswith("test_") and not re.match(r"test_[3-7](_\d+)*_|test_values_of", name)
    ]
    assert [] == wrong
