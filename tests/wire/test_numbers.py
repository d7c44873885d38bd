"""Numbers have names, unknown ones keep theirs."""

from __future__ import annotations

import pytest

from l2tpd.wire.numbers import (
    CallResult,
    ErrorCode,
    MessageType,
    StopResult,
    call_result_text,
    error_text,
    name_of,
    stop_result_text,
)


def test_known_numbers_have_names() -> None:
    """The enumeration's own name is given."""
    assert "SCCRQ" == name_of(MessageType, 1)
    assert "SHUTTING_DOWN" == name_of(StopResult, 6)


@pytest.mark.parametrize("number", [0, 5, 13, 37, 65535, -1])
def test_unknown_numbers_are_kept(number: int) -> None:
    """An unassigned number is its own name."""
    assert str(number) == name_of(MessageType, number)


def test_every_code_has_words() -> None:
    """No result or error code is left to be looked up by the operator."""
    assert all("unknown" not in stop_result_text(code) for code in StopResult)
    assert all("unknown" not in call_result_text(code) for code in CallResult)
    assert [] == [code for code in ErrorCode if error_text(code).startswith("unknown error")]


def test_codes_without_words_say_so() -> None:
    """Vendors invent codes; the number is shown."""
    assert "unknown result 99" == stop_result_text(99)
    assert "unknown result 0" == call_result_text(0)
    assert "unknown error 10" == error_text(10)


def test_result_codes_have_the_numbers_of_the_rfc() -> None:
    """The lists of RFC 2661 4.4.2 are complete; RFC 3931 5.4.2 and RFC 4667 add to those of CDN, the former an error."""
    assert list(range(1, 8)) == list(StopResult)
    assert [*range(1, 12), 13, 14, 15, 16, 23, 24, 25] == list(CallResult)
    assert list(range(10)) == list(ErrorCode)
