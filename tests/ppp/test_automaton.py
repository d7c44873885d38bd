"""The automaton against the table of RFC 1661 4.1, cell by cell; its timer and its counters."""

from __future__ import annotations

import pytest

from l2tpd.errors import LocalProtocolError
from l2tpd.ppp.automaton import TABLE, TIMED, Action, Automaton, Event, Limits, State

# As it stands in the RFC, footnotes included.
RFC = """
 Up   |    2     irc,scr/6     -         -         -         -
 Down |    -         -         0       tls/1       0         1
 Open |  tls/1       1     irc,scr/6     3r        5r        5r
 Close|    0       tlf/0       2         2         4         4
  TO+ |    -         -         -         -       str/4     str/5
  TO- |    -         -         -         -       tlf/2     tlf/3
 RCR+ |    -         -       sta/2 irc,scr,sca/8   4         5
 RCR- |    -         -       sta/2 irc,scr,scn/6   4         5
 RCA  |    -         -       sta/2     sta/3       4         5
 RCN  |    -         -       sta/2     sta/3       4         5
 RTR  |    -         -       sta/2     sta/3     sta/4     sta/5
 RTA  |    -         -         2         3       tlf/2     tlf/3
 RUC  |    -         -       scj/2     scj/3     scj/4     scj/5
 RXJ+ |    -         -         2         3         4         5
 RXJ- |    -         -       tlf/2     tlf/3     tlf/2     tlf/3
 RXR  |    -         -         2         3         4         5
"""
RFC_CONTINUED = """
 Up   |    -         -         -           -
 Down |    1         1         1         tld/1
 Open |    6         7         8           9r
 Close|irc,str/4 irc,str/4 irc,str/4 tld,irc,str/4
  TO+ |  scr/6     scr/6     scr/8         -
  TO- |  tlf/3p    tlf/3p    tlf/3p        -
 RCR+ |  sca/8   sca,tlu/9   sca/8   tld,scr,sca/8
 RCR- |  scn/6     scn/7     scn/6   tld,scr,scn/6
 RCA  |  irc/7     scr/6x  irc,tlu/9   tld,scr/6x
 RCN  |irc,scr/6   scr/6x  irc,scr/8   tld,scr/6x
 RTR  |  sta/6     sta/6     sta/6   tld,zrc,sta/5
 RTA  |    6         6         8       tld,scr/6
 RUC  |  scj/6     scj/7     scj/8       scj/9
 RXJ+ |    6         6         8           9
 RXJ- |  tlf/3     tlf/3     tlf/3   tld,irc,str/5
 RXR  |    6         7         8         ser/9
"""


def cells() -> list[tuple[Event, State, str]]:
    """Every cell of the RFC as event, state and text."""
    found = []
    for block, first in ((RFC, 0), (RFC_CONTINUED, 6)):
        for line in block.strip().splitlines():
            name, _, rest = line.partition("|")
            found += [(Event(name.strip()), State(first + at), text) for at, text in enumerate(rest.split())]
    return found


def automaton(state: State, limits: Limits | None = None) -> Automaton:
    made = Automaton(limits or Limits())
    made.state = state
    return made


def test_there_are_160_cells() -> None:
    """Sixteen events in ten states, here and in the table."""
    assert 160 == len(cells()) == len(TABLE)
    assert set(TABLE) == {cell[:2] for cell in cells()}


@pytest.mark.parametrize(("event", "state", "text"), cells(), ids=lambda value: getattr(value, "name", value))
def test_a_cell_does_and_leads_as_the_rfc_says(event: Event, state: State, text: str) -> None:
    """The actions come in the order of the RFC, the state is the one behind the slash; a dash changes nothing."""
    us = automaton(state)
    if text == "-":
        with pytest.raises(LocalProtocolError):
            us.feed(event, 0.0)
        assert state is us.state
        return
    names, _, following = text.rstrip("prx").rpartition("/")
    actions = us.feed(event, 5.0)
    assert [name for name in names.split(",") if name] == [action.value for action in actions]
    assert State(int(following)) is us.state


@pytest.mark.parametrize(("event", "state", "text"), cells(), ids=lambda value: getattr(value, "name", value))
def test_the_timer_runs_in_the_states_that_know_a_timeout(event: Event, state: State, text: str) -> None:
    """4.1: scr, str and zrc start it, and it stops when a state without TO events is entered."""
    if text == "-":
        return
    us = automaton(state)
    us.deadline = 1.0 if state in TIMED else None
    actions = us.feed(event, 5.0)
    started = {Action.SCR, Action.STR, Action.ZRC} & set(actions)
    expected = 5.0 if started else 1.0 if state in TIMED else None
    assert (us.deadline is not None) == (us.state in TIMED)
    if us.deadline is not None and expected is not None:
        assert us.deadline >= expected


def test_a_request_is_sent_max_configure_times() -> None:
    """4.6: ten Configure-Requests by default, "including the first" (4.4), then the automaton stops."""
    us = automaton(State.STARTING, Limits(restart=3.0, restart_first=3.0))
    sent = us.feed(Event.UP, 0.0).count(Action.SCR)
    while us.deadline is not None:
        sent += us.expire(us.deadline).count(Action.SCR)
    assert (10, State.STOPPED) == (sent, us.state)


def test_a_terminate_request_is_sent_max_terminate_times() -> None:
    """4.6: two Terminate-Requests by default."""
    us = automaton(State.OPENED)
    sent = us.feed(Event.CLOSE, 0.0).count(Action.STR)
    while us.deadline is not None:
        sent += us.expire(us.deadline).count(Action.STR)
    assert (2, State.CLOSED) == (sent, us.state)


def test_the_restart_timer_doubles_up_to_its_value() -> None:
    """4.6: it "MAY begin at an initial small value and increase to the configured final value", at least doubling."""
    us = automaton(State.STARTING, Limits(restart=3.0, restart_first=0.5, max_configure=5))
    us.feed(Event.UP, 0.0)
    times = []
    while us.deadline is not None:
        times.append(us.deadline)
        us.expire(us.deadline)
    assert [0.5, 1.5, 3.5, 6.5, 9.5] == times


def test_an_answer_puts_counter_and_period_back() -> None:
    """4.4, irc: "the implementation MUST set the timeout period to the initial value"."""
    us = automaton(State.STARTING, Limits(restart=8.0, restart_first=1.0, max_configure=2))
    us.feed(Event.UP, 0.0)
    us.expire(1.0)
    us.feed(Event.RCN, 2.0)
    assert 3.0 == us.deadline
    us.expire(3.0)
    us.expire(5.0)
    assert State.STOPPED is us.state


def test_after_a_terminate_request_one_restart_time_is_waited() -> None:
    """4.4, zrc: pause "before proceeding to the desired final state", with nothing sent."""
    us = automaton(State.OPENED)
    us.feed(Event.RTR, 10.0)
    assert 13.0 == us.deadline
    assert (Action.TLF,) == us.expire(13.0)


def test_an_adopted_link_renegotiates_like_any_other() -> None:
    """Standing in Opened by a LAC's word, a Configure-Request gives a full set of tries."""
    us = Automaton(Limits(restart_first=1.0))
    us.adopt()
    us.feed(Event.RCR_PLUS, 0.0)
    assert 1.0 == us.deadline
    assert Action.SCR in us.expire(1.0)
