"""JSON-RPC 2.0, one message a line: framing, parsing and writing, for both ends of the control socket.

Reading is total: any bytes give messages, or a `ControlError` that says what to answer. A message is one JSON object in UTF-8 on one line;
batches are not offered, since one line could then ask for an unbounded answer. Non-finite numbers are refused both ways because JSON has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeGuard

import attrs

from l2tpd.errors import ControlError

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""What JSON can say."""

RequestId = None | int | float | str

MAX_LINE = 1 << 20
"""Longest request in octets; nothing an operator has to say needs more."""

MAX_REPLY = 1 << 26
"""Longest reply that a client accepts, in octets."""

PARSE_ERROR = -32700  # JSON-RPC 2.0 section 5.1
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
NOT_FOUND = -32001  # no such tunnel, session, profile
FORBIDDEN = -32002  # the caller may read but not write
REFUSED = -32003  # a limit, a policy or the present state forbids it
CONFIG_ERROR = -32004  # the configuration has mistakes; `data` lists them
BUSY = -32005  # too many control connections


class LineTooLong(ControlError):
    """A line exceeds what its reader accepts; the connection cannot be resynchronised and should be closed."""

    def __init__(self, limit: int) -> None:
        super().__init__(INVALID_REQUEST, f"a message is longer than {limit} octets")


@attrs.frozen(kw_only=True)
class Request:
    """A call, or, when `expects_reply` is false, a notification."""

    method: str
    params: Mapping[str, Json] = attrs.field(factory=dict)
    id: RequestId = None
    expects_reply: bool = True


@attrs.frozen(kw_only=True)
class Failure:
    """The error of a response: a code of JSON-RPC or of ours, a sentence, and perhaps details."""

    code: int
    message: str
    data: Json = None


@attrs.frozen(kw_only=True)
class Response:
    """The answer to the request with the same `id`: `failure`, or `result` when there is none."""

    id: RequestId = None
    result: Json = None
    failure: Failure | None = None


class Lines:
    """Cuts a byte stream into lines; costs linear time however the bytes arrive."""

    __slots__ = ("_held", "_limit")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, received: bytes | bytearray) -> list[bytes]:
        """Return the lines that are now complete, without their ends and without blank ones.

        Raises `LineTooLong`; lines completed by the same bytes are then lost with the connection.
        """
        self._held += received
        *complete, rest = bytes(self._held).split(b"\n") if b"\n" in received else (self._held,)
        if len(rest) > self._limit or any(len(line) > self._limit for line in complete):
            self._held = bytearray()
            raise LineTooLong(self._limit)
        if complete:
            self._held = bytearray(rest)
        return [bytes(line) for line in complete if line.strip()]


def read_request(line: bytes) -> Request:
    """Read one line as a request; raises `ControlError` with the code to answer (JSON-RPC 2.0 sections 4 and 5.1)."""
    message = _object(line)
    method, params, request_id = message.get("method"), message.get("params", {}), message.get("id")
    if message.get("jsonrpc") != "2.0":
        raise ControlError(INVALID_REQUEST, 'a request says "jsonrpc": "2.0"')
    if not isinstance(method, str):
        raise ControlError(INVALID_REQUEST, "`method` must be a string")
    if not _is_id(request_id):
        raise ControlError(INVALID_REQUEST, "`id` must be a string or a finite number")
    if not isinstance(params, dict):
        raise ControlError(INVALID_PARAMS, "`params` must be an object: parameters go by name")
    return Request(method=method, params=params, id=request_id, expects_reply="id" in message)


def request_id(line: bytes) -> RequestId:
    """Return the id of a line that `read_request` refused, as far as one can be made out, or None."""
    try:
        found = _object(line).get("id")
    except ControlError:
        return None
    return found if _is_id(found) else None


def read_answer(line: bytes) -> Response | Request:
    """Read one line as a client does: a response, or a notification; raises `ControlError` when it is neither."""
    message = _object(line)
    if "method" in message:
        return read_request(line)
    found, error = message.get("id"), message.get("error")
    if not _is_id(found):
        raise ControlError(INVALID_REQUEST, "`id` must be a string or a finite number")
    if error is None:
        return Response(id=found, result=message.get("result"))
    return Response(id=found, failure=_failure(error))


def write_request(request: Request) -> bytes:
    """Write a request or notification as one line."""
    message: dict[str, Json] = {"jsonrpc": "2.0", "method": request.method, "params": request.params}
    if request.expects_reply:
        message["id"] = request.id
    return _line(message)


def write_response(response: Response) -> bytes:
    """Write a response as one line."""
    failure = response.failure
    if failure is None:
        return _line({"jsonrpc": "2.0", "id": response.id, "result": response.result})
    error: dict[str, Json] = {"code": failure.code, "message": failure.message}
    if failure.data is not None:
        error["data"] = failure.data
    return _line({"jsonrpc": "2.0", "id": response.id, "error": error})


def _line(message: Json) -> bytes:
    """Encode one message; ASCII escapes keep lone surrogates and control characters harmless."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _object(line: bytes) -> dict[str, Json]:
    """Parse a line that must hold one JSON object."""
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise ControlError(PARSE_ERROR, "the message is nested too deeply") from None
    except ValueError as error:  # also UnicodeDecodeError and numbers of thousands of digits
        raise ControlError(PARSE_ERROR, f"the line is not JSON: {_reason(error)}") from None
    if isinstance(message, list):
        raise ControlError(INVALID_REQUEST, "batches are not offered: send one request a line")
    if not isinstance(message, dict):
        raise ControlError(INVALID_REQUEST, "a message is one JSON object")
    return message


def _reason(error: ValueError) -> str:
    """Say why a line is not JSON without quoting what it holds."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else "a number cannot be read"


def _refuse_constant(_name: str) -> NoReturn:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError


def _finite(text: str) -> float:
    """Read a number that has a value; `1e999` has none."""
    if math.isinf(number := float(text)):
        raise ValueError
    return number


def _is_id(value: Json) -> TypeGuard[RequestId]:
    """Tell whether a value may be a request's id (JSON-RPC 2.0 section 4)."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, (int, str)) and not isinstance(value, bool))


def _failure(error: Json) -> Failure:
    """Read the error object of a response."""
    if (
        not isinstance(error, dict)
        or not isinstance(error.get("code"), int)
        or not isinstance(error.get("message"), str)
    ):
        raise ControlError(INVALID_REQUEST, "`error` must hold a `code` and a `message`")
    return Failure(code=error["code"], message=error["message"], data=error.get("data"))
