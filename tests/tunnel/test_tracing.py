"""The trace lines: each category adds its own, none shows a secret."""

from __future__ import annotations

import pytest

from dialogue import SECRET, scccn, unknown
from l2tpd.trace import Category
from l2tpd.tunnel import tracing
from l2tpd.tunnel.outputs import Remark
from l2tpd.wire.messages import decode, encode

RESPONSE = b"0123456789abcdef"
SAID = decode(encode(scccn(unknown(mandatory=False), challenge_response=RESPONSE)))


@pytest.mark.parametrize("category", [Category.PROTOCOL, Category.AVP_INFO, Category.AVP_DATA])
def test_lines_of_a_message(category: Category) -> None:
    """One category, its lines alone, each with the session."""
    lines = list(tracing.message("<-", SAID, 5, category))
    assert {(category, 5)} == {(line.category, line.session_id) for line in lines}
    assert "SCCCN" in lines[0].text


def test_a_message_in_full() -> None:
    """Every category together is every line of each; what was ignored is told, the response is not."""
    lines = list(tracing.message("->", SAID, 0, tracing.ANY_MESSAGE))
    assert {Category.PROTOCOL, Category.AVP_INFO, Category.AVP_DATA} == {line.category for line in lines}
    text = "\n".join(line.text for line in lines)
    assert RESPONSE.hex() not in text
    assert RESPONSE.decode() not in text


def test_hiding_is_told_where_there_was_any() -> None:
    """A message that came with a Random Vector."""
    body = encode(scccn(challenge_response=RESPONSE), secret=SECRET.encode(), hide=True, random=bytes)
    hidden = decode(body, secret=SECRET.encode())
    (line,) = tracing.message("<-", hidden, 0, tracing.AVP_HIDE)
    assert (Category.AVP_HIDE, "SCCCN came with a Random Vector") == (line.category, line.text)
    assert [] == list(tracing.message("<-", SAID, 0, tracing.AVP_HIDE))


def test_lines_of_a_packet() -> None:
    """Numbers and size for one category, the octets for the other; a ZLB has none."""
    assert [
        Remark(Category.TRANSPORT, "<- Ns 1 Nr 2, 2 octets", 5),
        Remark(Category.DATA, "<- c802", 5),
    ] == list(tracing.packet("<-", 1, 2, 5, b"\xc8\x02", tracing.ANY_PACKET))
    assert [Remark(Category.TRANSPORT, "-> Ns 1 Nr 2, ZLB", 0)] == list(
        tracing.packet("->", 1, 2, 0, b"", tracing.ANY_PACKET)
    )


def test_nothing_without_a_category() -> None:
    """Also for another one's mask."""
    assert [] == list(tracing.message("<-", SAID, 0, Category.TRANSPORT))
    assert [] == list(tracing.packet("<-", 1, 2, 0, b"x", Category.PROTOCOL))
