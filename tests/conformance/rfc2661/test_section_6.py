"""RFC 2661 section 6: what each control message must carry, as the RFC lists it, in what we send and in what we accept.

The lists are typed from the RFC, with bare attribute numbers, and know nothing of the message table.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dialogue import (
    SECRET,
    ZLB,
    Dialogue,
    Heard,
    cdn,
    dialled,
    iccn,
    icrp,
    icrq,
    incoming,
    occn,
    ocrp,
    ocrq,
    reported,
    sccrp,
    sccrq,
    stage,
    stopccn,
    up,
    up_called,
)
from l2tpd.config.model import Role, SessionSettings
from l2tpd.session.call import State as CallState
from l2tpd.tunnel.states import State
from l2tpd.wire.avp import RESULT_CODE
from l2tpd.wire.messages import Message
from l2tpd.wire.numbers import MessageType
from l2tpd.wire.values import AccmValue

# message: (type number, AVPs that MUST be present, AVPs that MAY), Message Type (0) apart
SECTION_6: dict[str, tuple[int, set[int], set[int]]] = {
    "6.1 SCCRQ": (1, {2, 7, 3, 9}, {4, 10, 11, 5, 6, 8}),
    "6.2 SCCRP": (2, {2, 3, 7, 9}, {4, 6, 8, 10, 11, 13}),
    "6.3 SCCCN": (3, set(), {13}),
    "6.4 StopCCN": (4, {9, 1}, set()),
    "6.5 HELLO": (6, set(), set()),
    "6.6 ICRQ": (10, {14, 15}, {18, 25, 22, 21, 23}),
    "6.7 ICRP": (11, {14}, set()),
    "6.8 ICCN": (12, {24, 19}, {26, 27, 28, 29, 30, 31, 32, 33, 37, 38, 39}),
    "6.9 OCRQ": (7, {14, 15, 16, 17, 18, 19, 21}, {23}),
    "6.10 OCRP": (8, {14}, {25}),
    "6.11 OCCN": (9, {24, 19}, {38, 39}),
    "6.12 CDN": (14, {1, 14}, {12}),
}

RICH = SessionSettings(
    calling_number="1",
    called_number="2",
    sub_address="3",
    bearer_type="digital",
    physical_channel_id=5,
    rx_connect_speed=9_600,
    private_group_id="red",
    sequencing_required=True,
)


def last(say: Dialogue, kind: int) -> Heard:
    for heard in reversed(say.skip()):
        if heard.said is not None and kind == heard.said.type:
            return heard
    raise AssertionError(f"no message of type {kind} was sent")


def our_sccrq() -> Dialogue:
    say = stage(secret=SECRET, tie_breaker=True)
    say.open()
    return say


def our_sccrp() -> Dialogue:
    say = stage(origin="network", secret=SECRET)
    say.peer >> sccrq(challenge=b"c")
    return say


def our_scccn() -> Dialogue:
    say = dialled()
    say.peer >> sccrp()
    return say


def our_stopccn() -> Dialogue:
    say = up()
    say.close()
    return say


def our_hello() -> Dialogue:
    say = up()
    say.at(60.0)
    return say


def our_icrq() -> Dialogue:
    say = up()
    say.open_session(RICH)
    return say


def our_icrp() -> Dialogue:
    say = up_called()
    say.peer >> icrq()
    return say


def our_iccn() -> Dialogue:
    say = up()
    call = say.open_session(RICH)
    say.peer.say(icrp(), session_id=call.local_id)
    return say


def our_ocrq() -> Dialogue:
    say = up()
    say.open_session(SessionSettings(role=Role.LNS, called_number="2", sub_address="3"))
    return say


def our_ocrp() -> Dialogue:
    say = up_called()
    say.peer >> ocrq()
    return say


def our_occn() -> Dialogue:
    say = up_called()
    say.policy.settings = RICH
    say.peer >> ocrq()
    say.peer.say(b"")
    return say


def our_cdn() -> Dialogue:
    say = up()
    call = reported(say)
    say.do(say.core.close_session, call.local_id)
    return say


OURS: dict[str, Callable[[], Dialogue]] = {
    "6.1 SCCRQ": our_sccrq,
    "6.2 SCCRP": our_sccrp,
    "6.3 SCCCN": our_scccn,
    "6.4 StopCCN": our_stopccn,
    "6.5 HELLO": our_hello,
    "6.6 ICRQ": our_icrq,
    "6.7 ICRP": our_icrp,
    "6.8 ICCN": our_iccn,
    "6.9 OCRQ": our_ocrq,
    "6.10 OCRP": our_ocrp,
    "6.11 OCCN": our_occn,
    "6.12 CDN": our_cdn,
}


@pytest.mark.parametrize("name", SECTION_6)
def test_6_what_we_send_is_what_the_section_lists(name: str) -> None:
    """Every AVP that MUST be present is, and none that is not listed."""
    kind, must, may = SECTION_6[name]
    heard = last(OURS[name](), kind)
    assert heard.said is not None
    assert heard.said.fault is None
    numbers = {avp.number for avp in heard.said.values} - {0}
    assert must <= numbers
    assert numbers <= must | may


THEIRS: dict[str, tuple[Callable[[], Dialogue], Callable[[], Message]]] = {
    "6.1 SCCRQ": (lambda: stage(origin="network"), sccrq),
    "6.2 SCCRP": (dialled, sccrp),
    "6.4 StopCCN": (up, stopccn),
    "6.6 ICRQ": (up_called, icrq),
    "6.7 ICRP": (our_icrq, icrp),
    "6.8 ICCN": (our_icrp, iccn),
    "6.9 OCRQ": (up_called, ocrq),
    "6.10 OCRP": (our_ocrq, ocrp),
    "6.11 OCCN": (our_ocrq, occn),
    "6.12 CDN": (our_icrp, cdn),
}
CASES = [(name, number) for name, (_, must, _) in SECTION_6.items() for number in sorted(must)]


def without(body: bytes, number: int) -> bytes:
    """Cut one AVP out of a body."""
    kept, position = b"", 0
    while position < len(body):
        size = int.from_bytes(body[position : position + 2], "big") & 0x3FF
        if number != int.from_bytes(body[position + 4 : position + 6], "big"):
            kept += body[position : position + size]
        position += size
    return kept


@pytest.mark.parametrize(("name", "number"), CASES)
def test_6_a_message_without_what_it_must_have_is_not_accepted(name: str, number: int) -> None:
    """A message that is missing a required AVP is malformed (7.1): it ends its tunnel, or its session alone.

    StopCCN and CDN end it anyway, so they are obeyed, not answered; but a StopCCN that does not name its tunnel may be anybody's (4.4.3).
    """
    scene, said = THEIRS[name]
    say = scene()
    say.skip()
    (call_id,) = say.core.calls or (0,)
    body = say.peer.body(said())
    assert len(without(body, number)) < len(body)
    say.peer.say(without(body, number), session_id=call_id)
    answers = [heard.said.type for heard in say.skip() if heard.said is not None]
    if name == "6.4 StopCCN":
        assert [] == answers
        say.state_is(State.ESTABLISHED if number == 9 else State.LINGERING)
    elif name == "6.12 CDN":
        assert [] == answers
        say.state_is(State.ESTABLISHED)
        assert {} == say.core.calls
    elif SECTION_6[name][0] in {1, 2}:
        assert [MessageType.STOPCCN] == answers
        say.state_is(State.CLOSING)
    else:
        # An ICRQ or OCRQ that does not say who asks cannot be answered at all.
        assert answers == ([] if number == 14 and name in {"6.6 ICRQ", "6.9 OCRQ"} else [MessageType.CDN])
        say.state_is(State.ESTABLISHED)
        assert {} == say.core.calls


def test_6_every_message_that_is_checked_for_sending_is_listed() -> None:
    """The two tables above are complete for what we send; WEN and SLI are never ours to send."""
    assert set(SECTION_6) == set(OURS)
    assert {name for name, (_, must, _) in SECTION_6.items() if must} == set(THEIRS)


def test_6_3_and_6_5_need_nothing() -> None:
    """SCCCN and HELLO are complete with their Message Type."""
    say = stage(origin="network")
    say.peer >> sccrq()
    say.skip()
    say.peer >> bytes.fromhex("8008 0000 0000 0003")
    say.skip()
    say.state_is(State.ESTABLISHED)
    say.peer >> bytes.fromhex("8008 0000 0000 0006")
    assert [None] == [heard.said for heard in say.skip()]


@pytest.mark.parametrize(
    ("kind", "missing"), [(15, "Call Errors (34)"), (16, "ACCM (35)")], ids=["6.13 WEN", "6.14 SLI"]
)
def test_6_13_and_6_14_without_their_avp_end_the_session(kind: int, missing: str) -> None:
    """The following AVPs MUST be present in the WEN", "in the SLI": without, it is malformed, and its session alone ends (7.1)."""
    say = up_called()
    call = incoming(say)
    say.peer.say(b"\x80\x08\0\0\0\0" + kind.to_bytes(2, "big"), session_id=call.local_id)
    ended = (say.us << MessageType.CDN).said
    assert ended is not None
    assert missing in ended[RESULT_CODE].message
    say.state_is(State.ESTABLISHED)


def test_6_14_the_lac_must_be_able_to_update_its_call_information() -> None:
    """on an active PPP session": the newest character maps are the call's, at any time, and the session goes on."""
    say = up()
    call = reported(say)
    for maps in ((0, 0xA0000), (0xFFFFFFFF, 0)):
        body = bytes.fromhex("8008 0000 0000 0010 8010 0000 0023 0000") + b"".join(
            one.to_bytes(4, "big") for one in maps
        )
        say.peer.say(body, session_id=call.local_id)
        say.us << ZLB
        assert AccmValue(*maps) == call.accm
    say.state_is(CallState.ESTABLISHED, call)
