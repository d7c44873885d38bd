"""The tables of what RFC 2661 and RFC 3931 demand are complete, and all tables name tests that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from conformance.demand import Demand
from conformance.rfc2661 import demands as rfc2661
from conformance.rfc2759 import demands as rfc2759
from conformance.rfc3931 import demands as rfc3931
from conformance.rfc5072 import demands as rfc5072

HERE = Path(__file__).parent
TESTS = HERE.parent
KEYWORD = re.compile(r"\b(MUST|SHOULD|REQUIRED|SHALL)\b")
BINDING = re.compile(r"\b(must|should|shall|not more than)\b", re.IGNORECASE)
TABLES = {"rfc2661": rfc2661, "rfc3931": rfc3931}
PARTIAL = {"rfc2759": rfc2759, "rfc5072": rfc5072}
"""Tables of nothing but what the tests of their folder do not show."""
EACH = pytest.mark.parametrize("rfc", TABLES)


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names of the test functions of a file."""
    found = ast.parse(path.read_text("utf-8")).body
    functions = (node for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in functions if node.name.startswith("test_"))


def names_of(rfc: str, files: str = "test_*.py") -> Counter[str]:
    """Return the names of the tests of an RFC's folder, and how often each is given."""
    return Counter(name for path in (HERE / rfc).glob(files) for name in names_in(path))


def missing(rfc: str, rows: Iterable[Demand]) -> list[str]:
    """Return the tests that rows name and that do not exist."""
    near, gone = names_of(rfc), []
    for name in {name for row in rows for name in row.tests.split()}:
        file, _, function = name.rpartition("::")
        there = names_in(TESTS / file) if file and (TESTS / file).is_file() else near
        if function not in there:
            gone.append(name)
    return gone


@EACH
def test_every_sentence_has_a_row(rfc: str) -> None:
    """As many as the RFC has in each section; a row quotes what binds, and a section that exists."""
    table, rows = TABLES[rfc], TABLES[rfc].DEMANDS
    found: Counter[str] = Counter()
    for row in rows:
        assert BINDING.search(row.words), row
        found[row.section] += row.times if KEYWORD.search(row.words) else 0
    assert table.SENTENCES == {section: count for section, count in found.items() if count}


@pytest.mark.parametrize("rfc", TABLES | PARTIAL)
def test_every_row_has_tests_that_exist_or_a_reason(rfc: str) -> None:
    """A reason is more than a word."""
    rows = (TABLES | PARTIAL)[rfc].DEMANDS
    assert [] == missing(rfc, rows)
    assert [] == [row for row in rows if not row.tests and " " not in row.why]


@EACH
def test_no_row_is_there_twice(rfc: str) -> None:
    """What a section says several times has one row that says how often."""
    counts = Counter((row.section, row.words) for row in TABLES[rfc].DEMANDS)
    assert [] == [key for key, count in counts.items() if count > 1]


@EACH
def test_every_test_is_named(rfc: str) -> None:
    """By the sentence that it shows, or as one of those that show what is said without a MUST; and no name is given twice."""
    there, besides = names_of(rfc, "test_section_*.py"), set(TABLES[rfc].BESIDES.split())
    named = {name for row in TABLES[rfc].DEMANDS for name in row.tests.split()}
    assert set(there) - named == besides
    assert [] == [name for name, count in there.items() if count > 1]


@EACH
def test_the_section_stands_in_each_name(rfc: str) -> None:
    """A test is found by the section that it is about."""
    assert [] == [name for name in names_of(rfc, "test_section_*.py") if not re.match(r"test_[3-7](_\d+)*_", name)]
