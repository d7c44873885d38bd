"""What a peer says of itself, and which calls it can serve by that."""

from __future__ import annotations

import attrs
import pytest

from dialogue import sccrp, sccrq
from l2tpd.config.model import SessionSettings
from l2tpd.session.call import Kind
from l2tpd.tunnel.facts import facts_of


def test_facts_are_those_of_the_message() -> None:
    """Absent ones are empty, an absent window is 4 (RFC 2661 4.4.3)."""
    full = sccrq(vendor_name="v", firmware_revision=3)
    bare = sccrp(bearer_capabilities=None, receive_window_size=None)
    assert ("peer", "v", 3, 3, 3, 64) == attrs.astuple(facts_of(full))[:6]
    assert ("peer", "", 0, 3, 0, 4) == attrs.astuple(facts_of(bare))[:6]


@pytest.mark.parametrize(
    ("bearer", "framing", "bearer_caps", "framing_caps", "lack"),
    [
        ("any", "any", 1, 2, ""),
        ("digital", "sync", 1, 1, ""),
        ("analog", "async", 2, 2, ""),
        ("any", "any", None, 3, "the peer has no any bearer"),  # 6.9: none was ever offered
        ("analog", "any", 1, 3, "the peer has no analog bearer"),
        ("digital", "async", 3, 1, "the peer has no async framing"),
        ("any", "any", 3, 0, "the peer has no any framing"),
    ],
)
def test_outgoing_calls_ask_for_what_was_offered(
    bearer: str, framing: str, bearer_caps: int | None, framing_caps: int, lack: str
) -> None:
    """RFC 2661 4.4.3 and 6.9; an incoming call asks the peer for nothing of the kind."""
    facts = facts_of(sccrp(bearer_capabilities=bearer_caps, framing_capabilities=framing_caps))
    wanted = SessionSettings(bearer_type=bearer, framing_type=framing)
    assert lack == facts.lack(Kind.LNS_OUTGOING, wanted)
    assert facts.lack(Kind.LAC_INCOMING, wanted) == ""


@pytest.mark.parametrize(
    ("bearer_caps", "framing_caps", "asked"),
    [(1, 1, ("digital", "sync")), (2, 3, ("analog", "any")), (3, 0xFFFFFFFE, ("any", "async")), (3, 3, ("any", "any"))],
)
def test_any_is_what_was_offered(bearer_caps: int, framing_caps: int, asked: tuple[str, str]) -> None:
    """RFC 2661 4.4.4: no other bits are in an OCRQ; reserved ones of the peer mean nothing, and settings that fit stay the same object."""
    facts = facts_of(sccrp(bearer_capabilities=bearer_caps, framing_capabilities=framing_caps))
    wanted = SessionSettings()
    within = facts.within(Kind.LNS_OUTGOING, wanted)
    assert asked == (within.bearer_type, within.framing_type)
    assert within is facts.within(Kind.LNS_OUTGOING, wanted)
    assert (within is wanted) is (asked == ("any", "any"))
    assert wanted is facts.within(Kind.LAC_INCOMING, wanted)
