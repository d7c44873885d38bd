"""Events are frozen values that name the words of the API."""

import attrs
import pytest

from l2tpd.events import SessionEvent, TunnelEvent, What


def test_the_four_things_that_may_happen_are_the_words_of_the_api() -> None:
    """created, up, down and deleted: what filters and notifications say."""
    assert ["created", "up", "down", "deleted"] == [what.value for what in What]


def test_an_event_cannot_change_after_it_was_told() -> None:
    """Several subscribers hold the same event; none may alter it."""
    event = TunnelEvent(what=What.UP, tunnel_id=1)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.tunnel_id = 2  # type: ignore[misc]


def test_an_event_without_an_end_has_no_result() -> None:
    """A session that comes up carries neither result nor error, so that 0 can be told from nothing."""
    event = SessionEvent(what=What.UP, tunnel_id=1, session_id=2)
    assert (None, None, "") == (event.result, event.error, event.message)
