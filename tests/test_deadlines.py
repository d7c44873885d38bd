from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from l2tpd.deadlines import Deadlines


def test_nothing_is_armed_at_first() -> None:
    """A new set has no next deadline, and nothing is ever due."""
    deadlines: Deadlines[str] = Deadlines()
    assert deadlines.next() is None
    assert [] == deadlines.due(1e9)
    assert 0 == len(deadlines)


def test_due_keys_come_earliest_first_and_once() -> None:
    """What is due is handed out in order of time, and is then disarmed."""
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("late", 3.0)
    deadlines.set("early", 1.0)
    deadlines.set("middle", 2.0)
    assert 1.0 == deadlines.next()
    assert ["early", "middle"] == deadlines.due(2.0)
    assert [] == deadlines.due(2.0)
    assert 3.0 == deadlines.next()


def test_setting_again_moves_the_deadline_either_way() -> None:
    """The last word counts, whether it is earlier or later."""
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 5.0)
    deadlines.set("a", 9.0)
    assert 9.0 == deadlines.next()
    deadlines.set("a", 1.0)
    assert ["a"] == deadlines.due(1.0)
    assert [] == deadlines.due(10.0)


def test_a_cancelled_key_is_never_due() -> None:
    """Cancelling disarms; cancelling what is not armed is no error."""
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.cancel("a")
    deadlines.cancel("b")
    assert deadlines.next() is None
    assert "a" not in deadlines
    assert [] == deadlines.due(2.0)


def test_equal_deadlines_are_served_in_order_of_arming_and_keys_are_not_compared() -> None:
    """Keys that have no order may share a deadline."""
    deadlines: Deadlines[object] = Deadlines()
    keys = [object(), object(), 3, "three"]
    for key in keys:
        deadlines.set(key, 1.0)
    assert keys == deadlines.due(1.0)


def test_moving_a_deadline_forever_does_not_grow_the_heap() -> None:
    """A retransmission timer that is re-armed by every message leaves no trail of dead entries."""
    deadlines: Deadlines[str] = Deadlines()
    for number in range(10_000):
        deadlines.set("hello", 60.0 + number)
    assert 100 > len(deadlines._heap)
    for number in range(10_000):
        deadlines.set(str(number), 60.0)
    for number in range(10_000):
        deadlines.cancel(str(number))
    assert 100 > len(deadlines._heap)
    assert ["hello"] == deadlines.due(1e6)


class AgainstDictionary(RuleBasedStateMachine):
    """A plain dictionary, searched in full, is the model."""

    def __init__(self) -> None:
        super().__init__()
        self.deadlines: Deadlines[int] = Deadlines()
        self.model: dict[int, float] = {}

    @rule(key=st.integers(0, 9), when=st.integers(0, 20))
    def set(self, key: int, when: int) -> None:
        self.deadlines.set(key, when)
        self.model[key] = when

    @rule(key=st.integers(0, 9))
    def cancel(self, key: int) -> None:
        self.deadlines.cancel(key)
        self.model.pop(key, None)

    @rule(now=st.integers(0, 20))
    def due(self, now: int) -> None:
        keys = self.deadlines.due(now)
        assert sorted(key for key, when in self.model.items() if when <= now) == sorted(keys)
        times = [self.model.pop(key) for key in keys]
        assert sorted(times) == times

    @invariant()
    def same(self) -> None:
        assert min(self.model.values(), default=None) == self.deadlines.next()
        assert len(self.model) == len(self.deadlines)


TestAgainstDictionary = AgainstDictionary.TestCase
