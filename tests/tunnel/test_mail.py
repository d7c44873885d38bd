"""Messages on their way into a control connection and out of it."""

from __future__ import annotations

import pytest

from dialogue import ZLB, dialled, hello, icrq, stage, unknown, up, up_called
from dialogue3 import hello3, up3
from l2tpd.config.model import Digest, SessionSettings
from l2tpd.tunnel import mail
from l2tpd.tunnel.dialect import V3
from l2tpd.tunnel.inputs import Input
from l2tpd.wire.messages import Message, message
from l2tpd.wire.numbers import ErrorCode, MessageType


@pytest.mark.parametrize("body", [b"", b"\x80", bytes.fromhex("8008 0000 0001 0006")])
def test_what_cannot_be_read_becomes_a_message_with_a_fault(body: bytes) -> None:
    """RFC 2661 7.1, RFC 3931 7.1: the state is unknown, and the connection is cleared."""
    for say in (up(), up3()):
        said = mail.read(say.core, body)
        assert (0, False, ErrorCode.BAD_LENGTH) == (said.type, said.known, said.fault.error if said.fault else None)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (hello(), Input.HELLO),
        (icrq(), Input.CALL),
        (message(4711), Input.UNKNOWN),
        (icrq(500, unknown(mandatory=True)), Input.CALL),
    ],
    ids=["hello", "call", "unknown", "call with a fault"],
)
def test_which_input_a_message_is(said: Message, told: Input) -> None:
    """What concerns a call goes to it, with its faults; what nobody knows is counted."""
    say = up()
    read = mail.read(say.core, say.peer.body(said))
    read.fault = None if told is Input.UNKNOWN else read.fault
    before = say.site.counters.ignored_messages
    assert told is mail.arrive(say.core, read, 0)
    assert (told is Input.UNKNOWN) == (say.site.counters.ignored_messages == before + 1)
    say.core.take_outputs()


def test_a_fault_of_the_tunnel_is_bad_unless_the_peer_leaves() -> None:
    """Whoever leaves need not do it in good order."""
    say = up()
    for body, told in (("8008 0000 0000 0006 8006 0000 03e7", Input.BAD), ("8008 0000 0000 0004", Input.STOPCCN)):
        assert told is mail.arrive(say.core, mail.read(say.core, bytes.fromhex(body)), 0)
    assert 2 == say.site.counters.unacceptable
    say.core.take_outputs()


def test_messages_are_counted_by_type_and_strange_ones_together() -> None:
    """A peer cannot fill the table."""
    say = up_called()
    counters = say.site.counters
    counters.received.clear()
    for body in ("8008 0000 0000 0006", "0008 0000 0000 1111", "0008 0000 0000 2222"):
        say.peer >> bytes.fromhex(body)
        say.us << ZLB
    assert {MessageType.HELLO: 1, 0: 2} == counters.received
    assert 2 == counters.ignored_messages


def hidden(say_secret: str, **settings: object) -> set[int]:
    """Return which attributes of our ICRQ travel hidden."""
    say = up3(secret=say_secret, **settings)
    heard: list[bytes] = []
    say.core.open_session(SessionSettings(remote_end_id="circuit"), 0.0)
    heard += say.core.datagrams_to_send(0.0)
    (datagram,) = heard
    found, position = set(), 12
    while position < len(datagram):
        if datagram[position] & 0x40:
            found.add(int.from_bytes(datagram[position + 4 : position + 6], "big"))
        position += int.from_bytes(datagram[position : position + 2], "big") & 0x3FF
    return found


def test_what_may_be_hidden_is_where_messages_are_signed() -> None:
    """RFC 3931 5.3: "The H bit MUST only be set if (1) a shared secret exists and (2) Control Message Authentication is enabled"."""
    assert {63, 64, 66, 68} <= hidden("s", hide_avps=True)
    assert set() == hidden("s", hide_avps=True, digest=Digest.NONE)
    assert set() == hidden("", hide_avps=True)
    assert set() == hidden("s")


def test_what_must_be_read_without_a_secret_is_never_hidden() -> None:
    """An SCCRQ, from which the secret is found, and a StopCCN, which says why."""
    for say in (stage(secret="s", hide_avps=True), stage(dialect=V3, secret="s", hide_avps=True)):
        say.open()
        asked = say.us << MessageType.SCCRQ
        assert asked.said is not None
        assert not asked.said.hides
    for up_ in (up3(secret="s", hide_avps=True), dialled(secret="s", hide_avps=True)):
        up_.peer >> ZLB
        up_.close()
        stopped = up_.us << MessageType.STOPCCN
        assert stopped.said is not None
        assert not stopped.said.hides


def test_what_is_hidden_is_read() -> None:
    """By the key that RFC 3931 5.3 derives from the secret."""
    say = up3(secret="s", hide_avps=True)
    say.open_session(SessionSettings(remote_end_id="circuit"))
    asked = say.us << MessageType.ICRQ
    assert asked.said is not None
    assert (True, None) == (asked.said.hides, asked.said.fault)
    say.peer >> hello3()
    say.us << ZLB


def test_messages_are_traced_both_ways() -> None:
    """Where the operator wants them."""
    say = up()
    say.site.trace = 0xFFFF
    say.peer >> hello()
    say.us << ZLB
    say.do(say.core.probe)
    say.us << MessageType.HELLO
    told = [remark.text for remark in say.remarks]
    assert [word for word in ("received", "sending") if not any(text.startswith(word) for text in told)] == []
