"""The facts of one call."""

from __future__ import annotations

import pytest

from l2tpd.config.model import Role, SessionSettings
from l2tpd.session.call import Call, Kind, State, clip


@pytest.mark.parametrize(
    ("kind", "role", "ours"),
    [
        (Kind.LAC_INCOMING, Role.LAC, True),
        (Kind.LNS_INCOMING, Role.LNS, False),
        (Kind.LAC_OUTGOING, Role.LAC, False),
        (Kind.LNS_OUTGOING, Role.LNS, True),
    ],
)
def test_what_a_kind_says(kind: Kind, role: Role, ours: bool) -> None:
    """Incoming calls are asked for by the LAC, outgoing ones by the LNS (RFC 2661 7.4, 7.5)."""
    assert (role, ours) == (kind.role, kind.ours)


def test_a_new_call_is_idle_since_it_was_made() -> None:
    """Nothing is known of it yet."""
    call = Call(1, Kind.LAC_INCOMING, SessionSettings(), 5.0, 1)
    assert (State.IDLE, 5.0, 0, False) == (call.state, call.since, call.peer_id, call.plane_asked)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("short", "short"),
        ("x" * 501, "x" * 500),
        ("ä" * 251, "ä" * 250),
        ("a" + "€" * 200, "a" + "€" * 166),
        ("\ud800", "?"),
    ],
)
def test_a_reason_is_cut_between_characters(text: str, kept: str) -> None:
    """500 octets of UTF-8 at most, never half a character, nothing that cannot be encoded."""
    assert kept == clip(text)
