"""The bad network is itself a thing that can be wrong."""

from __future__ import annotations

import pytest

from badnet import DEAD, BadNet, End, Weather


class Talker:
    """Say every line of a list, one a second, and remember what is heard and when."""

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.said = 0
        self.heard: list[tuple[float, int]] = []

    def end(self) -> End[int]:
        """Make the end to be joined."""
        return End(
            receive=self.receive, transmit=self.transmit, handle_timer=self.handle_timer, next_timer=self.next_timer
        )

    def receive(self, packet: int, now: float) -> None:
        """Remember what is heard."""
        self.heard.append((now, packet))

    def transmit(self, now: float) -> list[int]:
        """Say the next line when its second has come."""
        if self.said < self.lines and now >= self.said:
            self.said += 1
            return [self.said]
        return []

    def handle_timer(self, now: float) -> None:
        """Leave it to transmit, which looks at the time itself."""

    def next_timer(self) -> float | None:
        """Return the second of the next line."""
        return float(self.said) if self.said < self.lines else None


def talk(weather: Weather, seed: int = 1, lines: int = 200) -> tuple[list[int], BadNet[int]]:
    """Let one talk to the other and return what arrived."""
    speaker, listener = Talker(lines), Talker(0)
    net = BadNet(speaker.end(), listener.end(), weather, seed=seed)
    net.run_until(1e6)
    return [packet for _, packet in listener.heard], net


def test_fine_weather_changes_nothing() -> None:
    """Without loss everything arrives once, in order, after the delay."""
    speaker, listener = Talker(3), Talker(0)
    BadNet(speaker.end(), listener.end(), Weather(delay_min=0.5, delay_max=0.5)).run_until(100.0)
    assert [(0.5, 1), (1.5, 2), (2.5, 3)] == listener.heard


def test_each_kind_of_bad_weather_does_what_it_says() -> None:
    """Loss loses some, duplication repeats some, unequal delays reorder some, a dead path loses all."""
    lossy, _ = talk(Weather(loss=0.3))
    assert 100 < len(lossy) < 180
    doubled, _ = talk(Weather(duplication=0.3))
    assert set(range(1, 201)) == set(doubled)
    assert 220 < len(doubled) < 300
    shuffled, _ = talk(Weather(delay_min=0.0, delay_max=5.0))
    assert sorted(shuffled) == list(range(1, 201)) != shuffled
    assert [] == talk(DEAD)[0]


def test_the_same_seed_is_the_same_weather() -> None:
    """A run can be repeated exactly, and another seed differs."""
    weather = Weather(loss=0.2, duplication=0.2, delay_min=0.0, delay_max=3.0)
    assert talk(weather, seed=7)[1].passages == talk(weather, seed=7)[1].passages
    assert talk(weather, seed=7)[0] != talk(weather, seed=8)[0]


def test_a_deadline_that_never_moves_is_found() -> None:
    """A core that names a past deadline for ever fails the test instead of hanging it."""
    stuck = Talker(0)
    end = stuck.end()
    end.next_timer = lambda: 0.0
    with pytest.raises(AssertionError, match="time stands still"):
        BadNet(end, Talker(0).end()).run_until(1.0)
