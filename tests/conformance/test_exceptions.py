"""The tables of exceptions of the RFCs that PPP consists of."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.rfc2759 import exceptions as rfc2759
from conformance.rfc3931.exceptions import Exempt
from conformance.rfc5072 import exceptions as rfc5072

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "row", rfc2759.EXCEPTIONS + rfc5072.EXCEPTIONS, ids=lambda row: f"{row.section} {row.demand[:40]}"
)
def test_what_is_said_to_be_tested_elsewhere_has_a_file_there(row: Exempt) -> None:
    """And an exception without one gives a reason that is more than a word."""
    assert row.demand
    if row.elsewhere:
        assert (TESTS / row.elsewhere).is_file()
    else:
        assert " " in row.reason
