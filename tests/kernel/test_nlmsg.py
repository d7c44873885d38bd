"""The framing of netlink, written out by hand from linux/netlink.h."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2tpd.kernel import nlmsg

FAMILY, SEQUENCE = 0x19, 7
MULTI, CAPPED, TLVS = 0x2, 0x100, 0x200
ERROR, DONE = 2, 3
REQUEST = nlmsg.message(FAMILY, nlmsg.REQUEST | nlmsg.ACK, SEQUENCE, b"body")


def answer(kind: int, flags: int, body: bytes, sequence: int = SEQUENCE) -> bytes:
    """Return one message from the kernel."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


def refused(number: int, more: bytes) -> bytes:
    """Return the body of a refusal."""
    return struct.pack("=i", -number) + more


def test_a_request_that_is_answered_only_if_refused() -> None:
    """It lacks the flag, and nothing else."""
    assert nlmsg.message(FAMILY, nlmsg.REQUEST, SEQUENCE, b"body") == nlmsg.unacknowledged(REQUEST)


def test_a_request() -> None:
    """Length, kind, flags, number and no port come before the body; the flags are those of linux/netlink.h."""
    assert struct.pack("=IHHII", 20, FAMILY, 0x5, SEQUENCE, 0) + b"body" == REQUEST
    assert (0x300, 0x200, 0x400) == (nlmsg.DUMP, nlmsg.EXCLUSIVE, nlmsg.CREATE)


@pytest.mark.parametrize("octets", range(6))
def test_attributes_are_padded(octets: int) -> None:
    """To four octets, which their length does not count; what is written is what is read."""
    value = b"x" * octets
    built = nlmsg.attribute(5, value)
    assert (struct.pack("=HH", 4 + octets, 5) + value).ljust((7 + octets) & ~3, b"\0") == built
    assert [(5, value), (6, b"end")] == list(nlmsg.attributes(built + nlmsg.attribute(6, b"end")))


def test_attributes_in_attributes() -> None:
    """The flag that says so is not part of the kind."""
    inner = nlmsg.attribute(1, b"one"), nlmsg.attribute(2, b"two")
    built = nlmsg.nested(18, *inner)
    assert struct.pack("=HH", 20, 18 | 0x8000) == built[:4]
    assert [(18, b"".join(inner))] == list(nlmsg.attributes(built))


def test_values() -> None:
    """Numbers of any width, and text up to its zero; what is not there is nothing."""
    widths = (b"", b"\x07", struct.pack("=H", 7), struct.pack("=I", 7), struct.pack("=Q", 7))
    assert [0, 7, 7, 7, 7] == [nlmsg.number(value) for value in widths]
    assert ["pw0", "", "\ufffd"] == [nlmsg.text(value) for value in (b"pw0\0", b"", b"\xff\0")]


def test_answers_come_apart() -> None:
    """One reading may hold a part of an answer, an acknowledgement and the end of a dump."""
    part = answer(FAMILY, MULTI, b"four")
    ack = answer(ERROR, CAPPED, refused(0, bytes(16)), 8)
    done = answer(DONE, MULTI, refused(0, b""), 9)
    assert [
        nlmsg.Answer(7, final=False, body=part),
        nlmsg.Answer(8, final=True),
        nlmsg.Answer(9, final=True),
    ] == list(nlmsg.answers(part + ack + done))


@pytest.mark.parametrize("capped", [True, False])
def test_a_refusal_brings_the_words_of_the_kernel(capped: bool) -> None:
    """The extended acknowledgement follows the header of the request, or all of it."""
    repeated = REQUEST[:16] if capped else REQUEST
    words = nlmsg.attribute(2, bytes(4)) + nlmsg.attribute(1, b"not so\0")
    refusal = answer(ERROR, TLVS | (CAPPED if capped else 0), refused(17, repeated + words))
    assert [nlmsg.Answer(7, final=True, errno=17, text="not so")] == list(nlmsg.answers(refusal))


@pytest.mark.parametrize(
    "refusal",
    [
        answer(ERROR, TLVS | CAPPED, refused(1, bytes(16))),  # words are promised, and there are none
        answer(ERROR, TLVS | CAPPED, refused(1, b"")),  # no request repeated
        answer(ERROR, TLVS | CAPPED, refused(1, bytes(16) + struct.pack("=HH", 3, 1))),  # shorter than its header
        answer(ERROR, TLVS, refused(1, struct.pack("=IHHII", 4000, 0, 0, 0, 0))),  # longer than the answer
    ],
)
def test_a_refusal_without_words(refusal: bytes) -> None:
    """The number counts even where the words cannot be found."""
    assert [nlmsg.Answer(7, final=True, errno=1)] == list(nlmsg.answers(refusal))


def test_a_length_that_cannot_be() -> None:
    """A message shorter than its own header ends the reading; what came before it counts."""
    done = answer(DONE, MULTI, refused(0, b""))
    assert [nlmsg.Answer(7, final=True)] == list(nlmsg.answers(done + struct.pack("=IHHII", 3, 3, 0, 7, 0)))


@given(st.binary(max_size=80))
def test_junk_ends(data: bytes) -> None:
    """Whatever comes, taking it apart ends, and yields no more than there is."""
    assert len(data) >= 16 * len(list(nlmsg.answers(data)))
    assert len(data) >= 4 * len(list(nlmsg.attributes(data)))
