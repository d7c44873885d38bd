"""Octets sent to break decoders: each case broke some L2TP implementation once. All give a message or `Malformed`."""

from __future__ import annotations

import hashlib
import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.errors import Malformed
from l2tpd.wire import avp as table
from l2tpd.wire.avp import ASSIGNED_TUNNEL_ID, CHALLENGE, HOST_NAME, KNOWN, Avp, build
from l2tpd.wire.describe import datagram, dump, summary
from l2tpd.wire.header import build_control
from l2tpd.wire.messages import Message, decode
from l2tpd.wire.numbers import ErrorCode
from l2tpd.wire.table import MESSAGES

SECRET = b"sesame"
VECTOR = b"0123456789abcdef"
SCCRQ = bytes.fromhex(
    "8008 0000 0000 0001 8008 0000 0002 0100 800a 0000 0003 00000003 800a 0000 0007 6c616331 8008 0000 0009 1267"
)
TYPES = sorted(MESSAGES)


def opening(kind: int) -> bytes:
    """The Message Type AVP."""
    return b"\x80\x08\0\0\0\0" + kind.to_bytes(2, "big")


def raw(flags: int, number: int, value: bytes) -> bytes:
    """An AVP with a true length."""
    return (flags << 8 | len(value) + 6).to_bytes(2, "big") + b"\0\0" + number.to_bytes(2, "big") + value


def cipher(number: int, plain: bytes, vector: bytes, secret: bytes = SECRET) -> bytes:
    """Hide a subformat, however false its inner length is."""
    key = hashlib.md5(number.to_bytes(2, "big") + secret + vector).digest()
    out = b""
    for start in range(0, len(plain), 16):
        block = bytes(p ^ k for p, k in zip(plain[start : start + 16], key, strict=False))
        out += block
        key = hashlib.md5(secret + block).digest()
    return out


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("length", range(6))
def test_avp_length_below_its_header(kind: int, length: int) -> None:
    """A length of 0 to 5 (accel-ppp CVE-2020-15173, tcpdump's endless loop) ends the reading with error 2."""
    for number in (1, 7, 9, 14, 21, 33, 999):
        for flags in (0x80, 0x00, 0xC0):
            body = opening(kind) + bytes([flags, length]) + b"\0\0" + number.to_bytes(2, "big") + b"value"
            seen = decode(body, secret=SECRET)
            assert seen.fault is not None
            assert ErrorCode.BAD_LENGTH == seen.fault.error


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("length", [12, 13, 100, 1023])
def test_avp_length_past_the_end(kind: int, length: int) -> None:
    """A length beyond the message ends the reading with error 2; what came before stays readable."""
    body = opening(kind) + build(HOST_NAME, "h") + (0x8000 | length).to_bytes(2, "big") + b"\0\0\0\x09\0\0\0\0\0"
    seen = decode(body)
    assert seen.fault is not None
    assert (ErrorCode.BAD_LENGTH, "h") == (seen.fault.error, seen[HOST_NAME])


@pytest.mark.parametrize("size", range(1, 6))
def test_octets_after_the_last_avp(size: int) -> None:
    """Less than an AVP header at the end is error 2."""
    seen = decode(SCCRQ + bytes(size))
    assert seen.fault is not None
    assert (ErrorCode.BAD_LENGTH, 4711) == (seen.fault.error, seen[ASSIGNED_TUNNEL_ID])


def test_every_cut_of_a_message() -> None:
    """Cut anywhere, an SCCRQ is malformed or a message with a fault."""
    for size in range(len(SCCRQ)):
        try:
            seen = decode(SCCRQ[:size])
        except Malformed:
            assert size < 8
        else:
            assert seen.fault is not None


@pytest.mark.parametrize("size", [2, 3, 10, 16, 17, 18, 33])
def test_hidden_inner_lengths(size: int) -> None:
    """The inner length comes out of the cipher and may be anything (accel-ppp 9554ce05)."""
    for inner in (*range(size + 2), *range(0x100, 0x10000, 0x555), 0xFFFE, 0xFFFF):
        plain = inner.to_bytes(2, "big") + bytes(size - 2)
        body = SCCRQ + raw(0x80, 36, VECTOR) + raw(0xC0, 11, cipher(11, plain, VECTOR))
        seen = decode(body, secret=SECRET)
        if 0 < inner <= size - 2:
            assert (None, bytes(inner)) == (seen.fault, seen[CHALLENGE])
        else:
            assert seen.fault is not None
            assert CHALLENGE not in seen


@pytest.mark.parametrize("size", [0, 1, 2, 15, 16, 17, 1017])
@pytest.mark.parametrize("mandatory", [0x80, 0x00])
def test_wrong_secret_is_no_exception(size: int, mandatory: int) -> None:
    """Cipher text under another secret, of every block count, gives a message."""
    for start in range(64):
        noise = hashlib.shake_128(bytes([start])).digest(size)
        seen = decode(SCCRQ + raw(0x80, 36, VECTOR) + raw(mandatory | 0x40, 11, noise), secret=SECRET)
        assert seen.fault is None or mandatory
        assert 4711 == seen[ASSIGNED_TUNNEL_ID]


@pytest.mark.parametrize(("flags", "fatal"), [(0xC0, True), (0x40, False)])
@pytest.mark.parametrize(
    ("vectors", "secret", "why"),
    [
        ([], SECRET, "without a Random Vector"),
        ([VECTOR], b"", "no secret"),
        ([VECTOR], SECRET, "inner length"),
    ],
)
def test_hidden_without_the_means(vectors: list[bytes], secret: bytes, why: str, flags: int, *, fatal: bool) -> None:
    """Without a Random Vector, a secret or a true inner length a hidden AVP is malformed; its M bit says how bad that is."""
    body = SCCRQ + b"".join(raw(0x80, 36, vector) for vector in vectors)
    seen = decode(body + raw(flags, 11, cipher(11, b"\xff\xff" + bytes(8), VECTOR)), secret=secret)
    if fatal:
        assert seen.fault is not None
        assert ErrorCode.BAD_VALUE == seen.fault.error
        assert why in seen.fault.text
    else:
        assert seen.fault is None
        assert why in seen.notes[0]


def test_random_vector_late() -> None:
    """A Random Vector after the hidden AVP does not help it."""
    hidden = raw(0xC0, 11, cipher(11, b"\0\1c", VECTOR))
    seen = decode(SCCRQ + hidden + raw(0x80, 36, VECTOR), secret=SECRET)
    assert seen.fault is not None
    assert "without a Random Vector" in seen.fault.text


@pytest.mark.parametrize("vector", [b"", b"x", bytes(1017)])
def test_random_vector_of_any_length(vector: bytes) -> None:
    """Empty or 1017 octets long, it is used as it is (arbitrary length, RFC 2661 4.4.1)."""
    hidden = raw(0xC0, 11, cipher(11, b"\0\1c", vector))
    assert b"c" == decode(SCCRQ + raw(0x80, 36, vector) + hidden, secret=SECRET)[CHALLENGE]


def test_random_vector_repeated() -> None:
    """The closest one before counts."""
    hidden = raw(0xC0, 11, cipher(11, b"\0\1c", VECTOR))
    body = SCCRQ + raw(0x80, 36, b"first") + raw(0x80, 36, b"second") + raw(0x80, 36, VECTOR) + hidden
    seen = decode(body, secret=SECRET)
    assert (None, (), b"c") == (seen.fault, seen.notes, seen[CHALLENGE])


def test_random_vector_hidden() -> None:
    """A hidden Random Vector cannot be read, and nothing hidden after it either."""
    hidden = raw(0xC0, 11, cipher(11, b"\0\1c", VECTOR))
    seen = decode(SCCRQ + raw(0xC0, 36, VECTOR) + hidden, secret=SECRET)
    assert seen.fault is not None
    assert CHALLENGE not in seen


@pytest.mark.parametrize(
    "avp",
    [table.RESULT_CODE, table.Q931_CAUSE_CODE, table.CALL_ERRORS, table.ACCM, table.PPP_DISCONNECT_CAUSE],
    ids=str,
)
def test_fixed_layouts_cut_short(avp: Avp[Any]) -> None:
    """Every size below the layout (mpd5 CVE-2020-7465) is a fault with M and a note without, never a read past the end."""
    for size in range(avp.minimum):
        fatal = decode(opening(6) + raw(0x80, avp.number, bytes(size)))
        assert fatal.fault is not None
        assert ErrorCode.BAD_LENGTH == fatal.fault.error
        harmless = decode(opening(6) + raw(0x00, avp.number, bytes(size)))
        assert (None, False) == (harmless.fault, avp in harmless)


def test_result_code_with_half_an_error_code() -> None:
    """Three octets are neither a result alone nor a result with an error."""
    seen = decode(opening(14) + raw(0x80, 1, b"\0\1\0"))
    assert seen.fault is not None
    assert ErrorCode.BAD_LENGTH == seen.fault.error


@pytest.mark.parametrize("avp", [row for row in KNOWN.values() if 0 < row.key < 0x10000], ids=str)
def test_every_size_of_every_attribute(avp: Avp[Any]) -> None:
    """All value sizes from 0 to 40 and the greatest: in bounds and accepted, or a fault."""
    for size in (*range(41), 1016, 1017):
        seen = decode(opening(6) + raw(0x80, avp.number, b"\0" * (size - 1) + b"\1" if size else b""))
        if not avp.minimum <= size <= avp.maximum:
            assert seen.fault is not None


@pytest.mark.parametrize("number", [7, 8, 21, 22, 23, 30, 37])
def test_maximal_strings(number: int) -> None:
    """Strings of 1017 octets (accel-ppp copied them into 254) are read whole and shown bounded."""
    seen = decode(opening(10) + raw(0x80, number, b"\xff" * 1017))
    assert 1017 == len(seen[KNOWN[number]])
    assert 300 > len(summary(seen))
    assert "\\xff" in dump(seen)


@given(st.binary(max_size=300), st.sampled_from([b"", SECRET]))
def test_any_octets(octets: bytes, secret: bytes) -> None:
    """Random octets after a Message Type give a message; describing it never fails."""
    for kind in (1, 14, 37):
        seen = decode(opening(kind) + octets, secret=secret)
        assert isinstance(seen, Message)
        assert summary(seen).isprintable()


@given(st.binary(max_size=120))
def test_any_datagram(octets: bytes) -> None:
    """Any datagram has a description of printable lines."""
    assert all(line.isprintable() for line in datagram(octets).split("\n"))
    try:
        decode(octets)
    except Malformed:
        assert len(octets) < 8 or octets[:1] not in {b"\x80", b"\0"} or octets[1:6] != b"\x08\0\0\0\0"


@given(st.data())
def test_mutated_messages(source: st.DataObject) -> None:
    """A valid message with some octets changed, inserted or removed is still a message or `Malformed`."""
    hidden = raw(0x80, 36, VECTOR) + raw(0xC0, 11, cipher(11, b"\0\1c", VECTOR))
    octets = bytearray(SCCRQ + hidden + build(table.RECEIVE_WINDOW_SIZE, 4))
    for _ in range(source.draw(st.integers(1, 6))):
        position = source.draw(st.integers(0, len(octets) - 1))
        octets[position : position + source.draw(st.integers(0, 2))] = source.draw(st.binary(max_size=3))
    try:
        seen = decode(bytes(octets), secret=SECRET)
    except Malformed:
        return
    if seen.fault is None and seen.type == 1:
        assert MESSAGES[1].need <= seen.values.keys()


def calls_to_decode(body: bytes, secret: bytes) -> int:
    """Count the Python and C calls that one decoding makes."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        decode(body, secret=secret)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    "unit",
    [
        raw(0x00, 999, b""),
        raw(0x80, 999, b""),
        raw(0x80, 7, b"x"),
        raw(0x00, 7, b""),
        raw(0x84, 7, b""),
        raw(0x80, 36, VECTOR),
        raw(0x40, 8, bytes(16)),
        raw(0x80, 97, bytes(12)),
    ],
    ids=["unknown", "unknown-M", "repeated", "empty", "reserved", "vector", "hidden", "repeating"],
)
def test_work_is_linear(unit: bytes) -> None:
    """Ten times as many AVPs make at most about ten times as many calls, counted, not timed."""
    start = opening(28) + raw(0x80, 36, VECTOR)
    small = calls_to_decode(start + unit * 100, SECRET)
    large = calls_to_decode(start + unit * 1000, SECRET)
    assert large <= 10 * small


def test_a_whole_datagram_of_hidden_avps_is_bounded_work() -> None:
    """65,000 octets of cipher text cost one MD5 for each block at most."""
    unit = raw(0x40, 11, bytes(1017))
    calls = calls_to_decode(opening(1) + raw(0x80, 36, VECTOR) + unit * 60, SECRET)
    assert calls < 60 * 65 * 10


def test_a_control_datagram_full_of_nothing_is_described() -> None:
    """The greatest datagram of empty AVPs has a description."""
    body = opening(6) + raw(0x00, 999, b"") * 10000
    assert 10000 <= datagram(build_control(1, 0, 0, 0, body)).count("AVP 0/999")
