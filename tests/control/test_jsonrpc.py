"""JSON-RPC framing and messages: whatever arrives, the answer is a message or a ControlError with its code."""

import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.control.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    MAX_LINE,
    PARSE_ERROR,
    Failure,
    Json,
    Lines,
    LineTooLong,
    Request,
    RequestId,
    Response,
    read_answer,
    read_request,
    request_id,
    write_request,
    write_response,
)
from l2tpd.errors import ControlError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
IDS = st.none() | st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def refused(line: bytes) -> int:
    with pytest.raises(ControlError) as caught:
        read_request(line)
    return caught.value.code


def is_total(read: Callable[[bytes], object], octets: bytes) -> bool:
    try:
        return isinstance(read(octets), Request | Response)
    except ControlError:
        return True


# --- lines


def test_lines_are_cut_wherever_the_bytes_are() -> None:
    """One octet at a time or all at once, the same lines come out; blank ones do not."""
    stream = b'{"a":1}\n\n{"b":2}\r\n{"half'
    at_once = Lines().feed(stream)
    one_by_one = Lines()
    assert [b'{"a":1}', b'{"b":2}\r'] == at_once
    assert at_once == [line for octet in stream for line in one_by_one.feed(bytes([octet]))]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_cutting_does_not_depend_on_the_chunks(stream: bytes, cuts: list[int]) -> None:
    """However a stream is chunked, its lines are the same."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    lines = Lines()
    chunked = [line for a, b in itertools.pairwise(edges) for line in lines.feed(stream[a:b])]
    assert Lines().feed(stream) == chunked


def test_a_line_of_the_greatest_length_is_read_and_one_octet_more_is_not() -> None:
    """The limit counts the octets before the line's end."""
    longest = b"x" * MAX_LINE
    assert [longest] == Lines().feed(longest + b"\n")
    with pytest.raises(LineTooLong):
        Lines().feed(longest + b"x\n")


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    """A gigabyte without a line's end is refused as soon as the limit is passed, and what was held is dropped."""
    lines = Lines(1000)
    lines.feed(b"x" * 1000)
    with pytest.raises(LineTooLong) as caught:
        lines.feed(b"x")
    assert INVALID_REQUEST == caught.value.code
    assert [b"{}"] == lines.feed(b"{}\n")


# --- requests


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", PARSE_ERROR),
        (b"{", PARSE_ERROR),
        (b"\x00", PARSE_ERROR),
        (b'{"jsonrpc":"2.0","method":"a\x00"}', PARSE_ERROR),
        (b"\xff\xfe", PARSE_ERROR),
        (b'{"jsonrpc":"2.0","method":"\xc3"}', PARSE_ERROR),
        (b"[" * 200_000, PARSE_ERROR),
        (b'{"a":' * 100_000, PARSE_ERROR),
        (b"9" * 100_000, PARSE_ERROR),
        (b'{"jsonrpc":"2.0","method":"a","id":NaN}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","method":"a","id":1e999}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","method":"a","params":{"x":-Infinity}}', PARSE_ERROR),
        (b"[]", INVALID_REQUEST),
        (b'[{"jsonrpc":"2.0","method":"a","id":1}]', INVALID_REQUEST),
        (b"7", INVALID_REQUEST),
        (b"{}", INVALID_REQUEST),
        (b'{"method":"a"}', INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","method":"a"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","method":7}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","method":"a","id":[]}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","method":"a","id":true}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","method":"a","params":[1]}', INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","method":"a","params":null}', INVALID_PARAMS),
    ],
)
def test_a_line_that_is_no_request_is_refused_with_its_code(line: bytes, code: int) -> None:
    """Syntax is a parse error, another shape an invalid request, positional parameters invalid params (JSON-RPC 2.0 5.1)."""
    assert code == refused(line)


def test_an_id_of_null_still_asks_for_an_answer_and_no_id_does_not() -> None:
    """Only a request without the member `id` is a notification (JSON-RPC 2.0 4.1)."""
    assert read_request(b'{"jsonrpc":"2.0","method":"a","id":null}').expects_reply
    assert not read_request(b'{"jsonrpc":"2.0","method":"a"}').expects_reply


def test_the_id_of_a_refused_request_is_told_when_it_can_be_made_out() -> None:
    """A client that sends a bad request with an id can match the error to it; otherwise the id is null (5.1)."""
    assert 7 == request_id(b'{"jsonrpc":"2.0","method":1,"id":7}')
    assert request_id(b'{"id":{}}') is None
    assert request_id(b"{") is None


@given(st.binary(max_size=400))
def test_any_octets_are_a_request_or_refused(octets: bytes) -> None:
    """Reading is total: nothing but a Request or a ControlError comes out."""
    assert all(is_total(read, octets) for read in (read_request, read_answer))


@given(JSON)
def test_any_json_is_a_message_or_refused(value: Json) -> None:
    """Also what is JSON but of any shape."""
    assert all(is_total(read, json.dumps(value).encode()) for read in (read_request, read_answer))


@given(st.text(), st.dictionaries(st.text(), JSON, max_size=3), IDS)
def test_a_request_reads_as_it_was_written(method: str, params: dict[str, Json], identifier: RequestId) -> None:
    """Writing, then reading, gives the same request on one line, whatever characters it holds."""
    request = Request(method=method, params=params, id=identifier)
    line = write_request(request)
    assert 1 == line.count(b"\n")
    assert request == read_request(line)


@given(JSON, IDS)
def test_a_result_reads_as_it_was_written(result: Json, identifier: RequestId) -> None:
    """Likewise a response with a result."""
    response = Response(id=identifier, result=result)
    assert response == read_answer(write_response(response))


def test_a_failure_reads_as_it_was_written() -> None:
    """Likewise a response with an error, with and without data."""
    for data in (None, [{"file": "a"}]):
        response = Response(id=1, failure=Failure(code=-32000, message="no\nway", data=data))
        assert response == read_answer(write_response(response))


def test_lone_surrogates_survive() -> None:
    """Text that is not valid Unicode, as a peer may have sent, does not stop an answer."""
    response = Response(id=1, result="\ud800")
    assert response == read_answer(write_response(response))


@pytest.mark.parametrize(
    "line", [b'{"id":1,"error":7}', b'{"id":1,"error":{"code":"x","message":""}}', b'{"id":[],"result":1}']
)
def test_a_client_refuses_an_answer_of_another_shape(line: bytes) -> None:
    """A response whose error or id is no such thing is refused."""
    with pytest.raises(ControlError):
        read_answer(line)
